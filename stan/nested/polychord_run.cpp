// One PolyChord run over the density of a compiled Stan program.
//
//   polychord_run CONFIG
//
// PolyChord samples the unit cube, which a base measure maps to the unconstrained space:
// a component is eta = location + scale z, scale lower triangular, z independent with
// known quantiles. Of several components, the first cube coordinate says which one maps
// the others; it runs through them many times over, so that slices cross between them.
// With q the density of the whole mixture, the likelihood is
// p(y, theta(eta)) |J(eta)| / q(eta), so that the evidence is the integral of the
// program's density whatever q is. Every evaluation stays in this process: BridgeStan's
// shared object and PolyChord's library are opened here, and no interpreter is in the
// loop.
//
// CONFIG is a text file of "key value" lines (see `Config`). Progress goes to standard
// output in lines that begin with "@". What PolyChord or a `print` of the Stan program
// writes there is led elsewhere: to the named pipe `prints`, or nowhere. The dead points go to a binary file: two int64
// (rows, columns) and the rows as doubles, a row being the cube coordinates, the
// log likelihood of the birth contour and the log likelihood.
//
// Exit status: 0 finished; 2 the configuration or a library cannot be used; 3 PolyChord
// ended too early; 4 the disk is full or fails; whatever PolyChord stops with otherwise.

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

const double kPi = 3.14159265358979323846;
const double kEpsilon = std::numeric_limits<double>::epsilon();
const double kLogZero = -1e30;  // PolyChord: at or below is outside the prior
const double kNegligible = 40.0;  // nats: a component so far below another counts as nothing
const double kInfinity = std::numeric_limits<double>::infinity();
const double kCycles = 16.0;    // of the coordinate that chooses the component
const int kDiskFails = 4;

// ---------------------------------------------------------------- base measures

enum class Family { normal, logistic, student4, cauchy };

// Quantile of the standard normal: Wichura (1988), Applied Statistics 37, AS 241,
// PPND16; relative accuracy about 1e-16.
double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    const double num =
        (((((((2509.0809287301226727 * r + 33430.575583588128105) * r +
              67265.770927008700853) * r + 45921.953931549871457) * r +
            13731.693765509461125) * r + 1971.5909503065514427) * r +
          133.14166789178437745) * r + 3.387132872796366608);
    const double den =
        (((((((5226.495278852545925 * r + 28729.085735721942674) * r +
              39307.89580009271061) * r + 21213.794301586595867) * r +
            5394.1960214247511077) * r + 687.1870074920579083) * r +
          42.313330701600911252) * r + 1.0);
    return q * num / den;
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1.0 - p));
  double value;
  if (r <= 5.0) {
    r -= 1.6;
    value =
        (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r +
              0.24178072517745061177) * r + 1.27045825245236838258) * r +
            3.64784832476320460504) * r + 5.7694972214606914055) * r +
          4.6303378461565452959) * r + 1.42343711074968357734) /
        (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r +
              0.0151986665636164571966) * r + 0.14810397642748007459) * r +
            0.68976733498510000455) * r + 1.6763848301838038494) * r +
          2.05319162663775882187) * r + 1.0);
  } else {
    r -= 5.0;
    value =
        (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
              0.0012426609473880784386) * r + 0.026532189526576123093) * r +
            0.29656057182850489123) * r + 1.7848265399172913358) * r +
          5.4637849111641143699) * r + 6.6579046435011037772) /
        (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r +
              1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r +
            0.0148753612908506148525) * r + 0.13692988092273580531) * r +
          0.59983220655588793769) * r + 1.0);
  }
  return q < 0 ? -value : value;
}

// Quantile of Student's t with four degrees of freedom, in closed form (Shaw 2006,
// Journal of Computational Finance 9(4), section 3).
double student4_quantile(double p) {
  const double a = std::sqrt(4.0 * p * (1.0 - p));
  const double q = std::cos(std::acos(std::min(a, 1.0)) / 3.0) / a;
  return std::copysign(2.0 * std::sqrt(std::max(q - 1.0, 0.0)), p - 0.5);
}

double quantile(Family family, double u) {
  switch (family) {
    case Family::normal:
      return normal_quantile(u);
    case Family::logistic:
      return std::log(u / (1.0 - u));
    case Family::student4:
      return student4_quantile(u);
    case Family::cauchy:
      break;
  }
  return std::copysign(1.0 / std::tan(kPi * std::min(u, 1.0 - u)), u - 0.5);
}

// One component of the base measure. Row i of `scale` holds the i + 1 numbers of the
// lower triangle, row after row.
struct Component {
  double log_weight = 0.0;
  double log_constant = 0.0;  // of its density: weight, scale and families' constants
  bool all_student = true;
  std::vector<Family> families;
  std::vector<double> location;
  std::vector<double> scale;

  void add(Family family, double place, const std::vector<double>& row) {
    static const double constants[] = {-0.5 * std::log(2.0 * kPi), 0.0, std::log(0.375),
                                       -std::log(kPi)};
    families.push_back(family);
    all_student = all_student && family == Family::student4;
    location.push_back(place);
    scale.insert(scale.end(), row.begin(), row.end());
    log_constant += constants[static_cast<int>(family)] - std::log(row.back());
  }

  // The point at cube coordinates u; z gets its standard coordinates.
  void map(const double* u, double* z, double* eta) const {
    const double* row = scale.data();
    for (std::size_t i = 0; i < families.size(); ++i) {
      z[i] = quantile(families[i], u[i]);
      double sum = location[i];
      for (std::size_t j = 0; j <= i; ++j) {
        sum += *row++ * z[j];
      }
      eta[i] = sum;
    }
  }

  // The standard coordinates of a point.
  void invert(const double* eta, double* z) const {
    const double* row = scale.data();
    for (std::size_t i = 0; i < families.size(); ++i) {
      double rest = eta[i] - location[i];
      for (std::size_t j = 0; j < i; ++j) {
        rest -= *row++ * z[j];
      }
      z[i] = rest / *row++;
    }
  }

  // Whether the log density, times the weight, is certainly below `floor` at a point. Each
  // factor of Student's t is at most one, so that the first coordinates may tell. `z` is
  // overwritten; it has the standard coordinates of the point if the answer is no.
  bool is_below(double floor, const double* eta, double* z) const {
    const double log_most = (log_weight + log_constant - floor) / 2.5;
    if (!all_student || !(log_most < 700.0)) {  // a double holds no larger factor
      invert(eta, z);
      return false;
    }
    const double most = std::exp(log_most);
    const double* row = scale.data();
    double factors = 1.0;
    for (std::size_t i = 0; i < families.size(); ++i) {
      double rest = eta[i] - location[i];
      for (std::size_t j = 0; j < i; ++j) {
        rest -= *row++ * z[j];
      }
      z[i] = rest / *row++;
      factors *= 1.0 + 0.25 * z[i] * z[i];
      if (factors > most) {
        return true;
      }
    }
    return false;
  }

  // The log density, times the weight, at standard coordinates z. Factors of Student's t
  // and Cauchy's are multiplied in blocks, of which one logarithm is taken.
  double log_density(const double* z) const {
    double total = log_weight + log_constant;
    double student = 1.0, cauchy = 1.0;
    for (std::size_t i = 0; i < families.size(); ++i) {
      const double square = z[i] * z[i];
      switch (families[i]) {
        case Family::normal:
          total -= 0.5 * square;
          break;
        case Family::logistic: {
          const double size = std::fabs(z[i]);
          total -= size + 2.0 * std::log1p(std::exp(-size));
          break;
        }
        case Family::student4:
          student *= 1.0 + 0.25 * square;
          break;
        case Family::cauchy:
          cauchy *= 1.0 + square;
          break;
      }
      if (student > 1e100 || cauchy > 1e100) {
        total -= 2.5 * std::log(student) + std::log(cauchy);
        student = cauchy = 1.0;
      }
    }
    return total - 2.5 * std::log(student) - std::log(cauchy);
  }
};

struct Base {
  std::vector<Component> components;
  std::vector<double> edges;  // upper ends of the components' shares of the first coordinate
  std::vector<double> z, terms;

  std::size_t dims() const { return components.front().families.size(); }
  std::size_t cube_dims() const { return dims() + (components.size() > 1); }

  void finish() {
    double sum = 0.0;
    for (const Component& one : components) {
      if (one.families.size() != dims()) {
        throw std::runtime_error("the components of the base measure differ in dimension");
      }
      edges.push_back(sum += std::exp(one.log_weight));
    }
    z.resize(dims());
    terms.resize(components.size());
  }

  // Maps a cube point to `eta` and returns the log density of the mixture there.
  double map(const double* u, double* eta) {
    if (components.size() == 1) {
      components[0].map(u, z.data(), eta);
      return components[0].log_density(z.data());
    }
    std::size_t chosen = 0;
    double whole;
    const double place = std::modf(kCycles * u[0], &whole);
    while (chosen + 1 < components.size() && place >= edges[chosen]) {
      ++chosen;
    }
    components[chosen].map(u + 1, z.data(), eta);
    terms[chosen] = components[chosen].log_density(z.data());
    double top = terms[chosen];
    for (std::size_t k = 0; k < components.size(); ++k) {
      if (k != chosen) {
        const bool nothing = components[k].is_below(top - kNegligible, eta, z.data());
        terms[k] = nothing ? -kInfinity : components[k].log_density(z.data());
        top = std::max(top, terms[k]);
      }
    }
    double sum = 0.0;
    for (const double term : terms) {
      sum += std::exp(term - top);
    }
    return top + std::log(sum);
  }
};

// ---------------------------------------------------------------- configuration

struct Config {
  std::string model_library, data_file, polychord_library, output, prints;
  std::vector<std::string> preload;
  Base base;
  bool newer_interface = false;  // argument list of PolyChord 1.20 and later
  bool clustering = false;
  bool checkpoints = false;  // write polychord.resume, and go on from it
  bool mpi = false;          // this is one process of an MPI job
  int nlive = 0, nprior = 0, num_repeats = 0, seed = 0, max_ndead = -1, nfail = -1;
  double precision = 1e-3, compression = std::exp(-1.0);
};

// "WEIGHT" opens a component; its coordinates follow.
void add_component(const std::string& value, Base* base) {
  base->components.emplace_back();
  base->components.back().log_weight = std::log(std::stod(value));
}

// "FAMILY LOCATION ROW": one coordinate of the last component.
void add_coordinate(const std::string& value, Base* base) {
  static const char* const names[] = {"normal", "logistic", "student4", "cauchy"};
  if (base->components.empty()) {
    throw std::runtime_error("a coordinate before the first component");
  }
  Component& one = base->components.back();
  std::istringstream in(value);
  std::string name;
  double location = 0.0, entry = 0.0;
  in >> name >> location;
  std::vector<double> row;
  while (in >> entry) {
    row.push_back(entry);
  }
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) {
    throw std::runtime_error("unknown base measure: " + name);
  }
  if (row.size() != one.families.size() + 1 || !(row.back() > 0)) {
    throw std::runtime_error("bad coordinate: " + value);
  }
  one.add(static_cast<Family>(found - std::begin(names)), location, row);
}

Config read_config(const char* path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error(std::string("cannot read ") + path);
  }
  Config config;
  std::string line;
  while (std::getline(file, line)) {
    const auto space = line.find(' ');
    const std::string key = line.substr(0, space);
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    if (key == "model_library") config.model_library = value;
    else if (key == "data_file") config.data_file = value;
    else if (key == "polychord_library") config.polychord_library = value;
    else if (key == "preload") config.preload.push_back(value);
    else if (key == "output") config.output = value;
    else if (key == "prints") config.prints = value;
    else if (key == "component") add_component(value, &config.base);
    else if (key == "coordinate") add_coordinate(value, &config.base);
    else if (key == "newer_interface") config.newer_interface = value == "1";
    else if (key == "clustering") config.clustering = value == "1";
    else if (key == "checkpoints") config.checkpoints = value == "1";
    else if (key == "mpi") config.mpi = value == "1";
    else if (key == "nlive") config.nlive = std::stoi(value);
    else if (key == "nprior") config.nprior = std::stoi(value);
    else if (key == "num_repeats") config.num_repeats = std::stoi(value);
    else if (key == "nfail") config.nfail = std::stoi(value);
    else if (key == "max_ndead") config.max_ndead = std::stoi(value);
    else if (key == "seed") config.seed = std::stoi(value);
    else if (key == "precision") config.precision = std::stod(value);
    else throw std::runtime_error("unknown key: " + key);
  }
  if (config.base.components.empty()) {
    throw std::runtime_error("there is no base measure");
  }
  config.base.finish();
  return config;
}

// ---------------------------------------------------------------- the run
//
// PolyChord's callbacks carry no user pointer, hence one run per process and the
// state at namespace scope.

using LogDensity = int (*)(const void*, bool, bool, const double*, double*, char**);
using FreeError = void (*)(char*);

struct State {
  Config config;
  const void* model = nullptr;
  LogDensity log_density = nullptr;
  FreeError free_error = nullptr;
  std::vector<double> inside;  // the cube point, moved off the faces
  std::vector<double> eta;
  int64_t evaluations = 0;
  int64_t outside = 0;        // density exactly zero
  int64_t failures = 0;       // exception, NaN or infinity
  int64_t prior_trials = 0;   // draws of the base measure until nprior were inside
  int64_t prior_inside = 0;
  std::string first_failure;
  bool wrote = false;
  FILE* progress = nullptr;  // the standard output that we were given
  int rank = 0, processes = 1;  // of an MPI job

  // Initial points are shared out among MPI processes, which cannot tell when the last
  // one was found: then nothing is counted, and 0 trials are reported.
  bool counts_prior() const { return processes == 1 && prior_inside < config.nprior; }
} state;

// A run that goes on from a checkpoint adds to what it counted before.
const char kCountsFile[] = "counts";

void write_counts() {
  const std::string partial = std::string(kCountsFile) + ".partial";
  std::ofstream out(partial);
  out << state.evaluations << ' ' << state.outside << ' ' << state.failures << ' '
      << state.prior_trials << ' ' << state.prior_inside << '\n';
  out.close();
  if (!out || std::rename(partial.c_str(), kCountsFile) != 0) {
    std::cerr << "cannot write " << kCountsFile << '\n';
    std::_Exit(kDiskFails);
  }
}

void read_counts() {
  std::ifstream checkpoint("polychord.resume"), in(kCountsFile);
  if (checkpoint && in) {
    in >> state.evaluations >> state.outside >> state.failures >> state.prior_trials >>
        state.prior_inside;
  }
}

// The place of this process in an MPI job, as MPICH's and Open MPI's mpiexec tell it.
void find_rank() {
  for (const auto& names : {std::make_pair("PMI_RANK", "PMI_SIZE"),
                            std::make_pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")}) {
    const char* rank = std::getenv(names.first);
    const char* size = std::getenv(names.second);
    if (rank && size) {
      state.rank = std::stoi(rank);
      state.processes = std::stoi(size);
    }
  }
}

double count_failure(const char* message) {
  if (state.failures++ == 0) {
    state.first_failure = message;
  }
  return kLogZero;
}

double evaluate(const double* cube) {
  for (std::size_t i = 0; i < state.inside.size(); ++i) {
    state.inside[i] = std::min(std::max(cube[i], 1e-300), 1.0 - 0.5 * kEpsilon);
  }
  const double log_q = state.config.base.map(state.inside.data(), state.eta.data());
  double log_p = 0.0;
  char* error = nullptr;
  if (state.log_density(state.model, false, true, state.eta.data(), &log_p, &error)) {
    const double value = count_failure(error ? error : "the density threw");
    if (error) state.free_error(error);
    return value;
  }
  const double value = log_p - log_q;
  if (std::isnan(value)) {
    return count_failure("the density is not a number");
  }
  if (value == std::numeric_limits<double>::infinity()) {
    return count_failure("the density is infinite");
  }
  if (!(value > kLogZero)) {
    ++state.outside;
    return kLogZero;
  }
  return value;
}

extern "C" double log_likelihood(double* cube, int, double*, int) {
  ++state.evaluations;
  const double value = evaluate(cube);
  if (state.counts_prior()) {
    ++state.prior_trials;
    state.prior_inside += value > kLogZero;
  }
  return value;
}

extern "C" void prior(double* cube, double* theta, int n) {
  std::copy(cube, cube + n, theta);
}

// log of the evidence that the live points still hold, on PolyChord's own estimate of
// the volume: only for the progress display.
double live_log_z(int ndead, int nlive, int npars, const double* live) {
  if (nlive == 0) {
    return -std::numeric_limits<double>::infinity();
  }
  double top = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < nlive; ++i) {
    top = std::max(top, live[static_cast<std::size_t>(i + 1) * npars - 1]);
  }
  double sum = 0.0;
  for (int i = 0; i < nlive; ++i) {
    sum += std::exp(live[static_cast<std::size_t>(i + 1) * npars - 1] - top);
  }
  const int shrinking = std::max(state.config.nprior - state.config.nlive, 0);
  const double log_x =
      ndead < shrinking
          ? std::log1p(-static_cast<double>(ndead) / (state.config.nprior + 1.0))
          : std::log((state.config.nlive + 1.0) / (shrinking + state.config.nlive + 1.0)) -
                (ndead - shrinking) / static_cast<double>(state.config.nlive);
  return top + std::log(sum / nlive) + log_x;
}

void write_dead(int ndead, int npars, const double* dead) {
  const std::string partial = state.config.output + ".partial";
  std::ofstream out(partial, std::ios::binary);
  const int64_t shape[2] = {ndead, npars};
  out.write(reinterpret_cast<const char*>(shape), sizeof shape);
  out.write(reinterpret_cast<const char*>(dead),
            static_cast<std::streamsize>(sizeof(double)) * ndead * npars);
  out.close();
  if (!out || std::rename(partial.c_str(), state.config.output.c_str()) != 0) {
    std::cerr << "cannot write " << state.config.output << '\n';
    std::_Exit(kDiskFails);
  }
  state.wrote = true;
}

extern "C" void dumper(int ndead, int nlive, int npars, double* live, double* dead,
                       double*, double log_z, double log_z_sd) {
  std::fprintf(state.progress, "@progress %d %d %.17g %.17g %.17g", ndead, nlive, log_z,
               log_z_sd, live_log_z(ndead, nlive, npars, live));
  std::fprintf(state.progress, " %" PRId64 " %" PRId64 " %" PRId64 "\n", state.evaluations,
               state.outside, state.failures);
  std::fflush(state.progress);
  std::cout.flush();
  if (nlive == 0) {
    write_dead(ndead, npars, dead);
  } else if (state.config.checkpoints) {
    write_counts();
  }
}

// Keeps standard output for progress, and leads what others write there to the pipe.
void divert_prints() {
  state.progress = fdopen(dup(STDOUT_FILENO), "w");
  int target = -1;
  if (!state.config.prints.empty()) {
    // Without a reader on this machine (another host of an MPI job), opening would wait.
    target = open(state.config.prints.c_str(), O_WRONLY | O_NONBLOCK);
  }
  if (target >= 0) {
    fcntl(target, F_SETFL, fcntl(target, F_GETFL) & ~O_NONBLOCK);
  } else {
    target = open("/dev/null", O_WRONLY);
  }
  if (state.progress == nullptr || target < 0 || dup2(target, STDOUT_FILENO) < 0) {
    throw std::runtime_error("standard output cannot be led elsewhere");
  }
  close(target);
}

void* open_library(const std::string& path, int flags) {
  void* handle = dlopen(path.c_str(), flags);
  if (handle == nullptr) {
    throw std::runtime_error(dlerror());
  }
  return handle;
}

template <typename Function>
Function symbol(void* library, const char* name) {
  void* address = dlsym(library, name);
  if (address == nullptr) {
    throw std::runtime_error(std::string("missing symbol ") + name);
  }
  return reinterpret_cast<Function>(address);
}

void open_model() {
  std::ifstream file(state.config.data_file);
  if (!file) {
    throw std::runtime_error("cannot read " + state.config.data_file);
  }
  std::stringstream data;
  data << file.rdbuf();
  void* library = open_library(state.config.model_library, RTLD_NOW);
  using Construct = void* (*)(const char*, unsigned int, char**);
  using Size = int (*)(const void*);
  char* error = nullptr;
  state.model = symbol<Construct>(library, "bs_model_construct")(
      data.str().c_str(), static_cast<unsigned int>(state.config.seed), &error);
  if (state.model == nullptr) {
    throw std::runtime_error(error ? error : "the model cannot be constructed");
  }
  const int dims = symbol<Size>(library, "bs_param_unc_num")(state.model);
  if (dims != static_cast<int>(state.config.base.dims())) {
    throw std::runtime_error("the base measure has another dimension than the program");
  }
  state.eta.resize(dims);
  state.inside.resize(state.config.base.cube_dims());
  state.log_density = symbol<LogDensity>(library, "bs_log_density");
  state.free_error = symbol<FreeError>(library, "bs_free_error_msg");
}

using LikelihoodCallback = double (*)(double*, int, double*, int);
using PriorCallback = void (*)(double*, double*, int);
using DumperCallback = void (*)(int, int, int, double*, double*, double*, double, double);

// The argument lists of `polychord_c_interface` before 1.20 and from 1.20 on.
using Interface = void (*)(LikelihoodCallback, PriorCallback, DumperCallback, int, int, int,
                           int, bool, int, double, double, int, double, bool, bool, bool,
                           bool, bool, bool, bool, bool, bool, bool, double, int, int, char*,
                           char*, int, double*, int*, int, double*, int*, int, int*);
using NewerInterface = void (*)(LikelihoodCallback, PriorCallback, DumperCallback, int, int,
                                int, int, bool, int, double, double, int, double, bool, bool,
                                bool, bool, bool, bool, bool, bool, bool, bool, bool, double,
                                bool, int, int, char*, char*, int, double*, int*, int, double*,
                                int*, int, int*);

void run_polychord() {
  for (const auto& path : state.config.preload) {
    open_library(path, RTLD_NOW | RTLD_GLOBAL);
  }
  void* library = open_library(state.config.polychord_library, RTLD_NOW);
  const Config& c = state.config;
  const int dims = static_cast<int>(state.inside.size());
  char base_dir[] = ".";
  char file_root[] = "polychord";
  double grade_fraction[] = {1.0};
  int grade_dims[] = {dims};
  double contour[] = {0.0};
  int contour_nlive[] = {0};
  // Fortran's handle of MPI_COMM_WORLD: 0 in Open MPI, another constant in MPICH.
  const bool open_mpi = dlsym(library, "ompi_mpi_comm_world") != nullptr;
  int communicator = state.processes == 1 || open_mpi ? 0 : 0x44000000;
  const bool no = false;
  const bool keep = c.checkpoints;
  if (c.newer_interface) {
    symbol<NewerInterface>(library, "polychord_c_interface")(
        log_likelihood, prior, dumper, c.nlive, c.num_repeats, c.nprior, c.nfail,
        c.clustering, 0, c.precision, kLogZero, c.max_ndead, 0.0, no, no, no, keep, no, keep,
        no, no, no, no, no, c.compression, true, dims, 0, base_dir, file_root, 1,
        grade_fraction, grade_dims, 0, contour, contour_nlive, c.seed, &communicator);
  } else {
    symbol<Interface>(library, "polychord_c_interface")(
        log_likelihood, prior, dumper, c.nlive, c.num_repeats, c.nprior, c.nfail,
        c.clustering, 0, c.precision, kLogZero, c.max_ndead, 0.0, no, no, no, keep, no, keep,
        no, no, no, no, c.compression, dims, 0, base_dir, file_root, 1, grade_fraction,
        grade_dims, 0, contour, contour_nlive, c.seed, &communicator);
  }
}

}  // namespace

int main(int argc, char** argv) {
  // End with the process that asked for the run.
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    return 2;
  }
  try {
    if (argc != 2) {
      throw std::runtime_error("usage: polychord_run CONFIG");
    }
    state.config = read_config(argv[1]);
    divert_prints();
    if (state.config.mpi) {
      find_rank();
    }
    if (state.config.checkpoints) {
      read_counts();
    }
    open_model();
    run_polychord();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  if (!state.wrote && state.rank == 0) {
    std::cerr << "PolyChord ended without its last points\n";
    return 3;
  }
  if (state.failures > 0) {
    std::cerr << "first failed evaluation: " << state.first_failure << '\n';
  }
  std::fprintf(state.progress,
               "@done %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
               state.evaluations, state.outside, state.failures, state.prior_trials,
               state.prior_inside);
  std::fflush(state.progress);
  return 0;
}
