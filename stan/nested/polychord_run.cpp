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

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runners/base_measure.hpp"
#include "runners/bridge_model.hpp"
#include "runners/child.hpp"
#include "runners/configuration.hpp"

namespace {

using manymodes::kDiskFails;
using manymodes::open_library;
using manymodes::symbol;

const double kLogZero = -1e30;  // PolyChord: at or below is outside the prior

// ---------------------------------------------------------------- configuration

struct Config {
  std::string model_library, data_file, polychord_library, output, prints;
  std::vector<std::string> preload;
  manymodes::Base base;
  bool newer_interface = false;  // argument list of PolyChord 1.20 and later
  bool clustering = false;
  bool checkpoints = false;  // write polychord.resume, and go on from it
  bool mpi = false;          // this is one process of an MPI job
  int nlive = 0, nprior = 0, num_repeats = 0, seed = 0, max_ndead = -1, nfail = -1;
  double precision = 1e-3, compression = std::exp(-1.0);
};

Config read_config(const char* path) {
  Config config;
  manymodes::read_configuration(path, [&config](const std::string& key, const std::string& value) {
    if (key == "model_library") config.model_library = value;
    else if (key == "data_file") config.data_file = value;
    else if (key == "polychord_library") config.polychord_library = value;
    else if (key == "preload") config.preload.push_back(value);
    else if (key == "output") config.output = value;
    else if (key == "prints") config.prints = value;
    else if (key == "component") manymodes::add_component(value, &config.base);
    else if (key == "coordinate") manymodes::add_coordinate(value, &config.base);
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
    else return false;
    return true;
  });
  config.base.finish();
  return config;
}

// ---------------------------------------------------------------- the run
//
// PolyChord's callbacks carry no user pointer, hence one run per process and the
// state at namespace scope.

struct State {
  Config config;
  manymodes::BridgeModel model;
  std::vector<double> inside;  // the cube point, moved off the faces
  std::vector<double> eta;
  int64_t prior_trials = 0;   // draws of the base measure until nprior were inside
  int64_t prior_inside = 0;
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
  manymodes::replace_file(kCountsFile, [](std::ostream& out) {
    out << state.model.evaluations << ' ' << state.model.outside << ' ' << state.model.failures
        << ' ' << state.prior_trials << ' ' << state.prior_inside << '\n';
  });
}

void read_counts() {
  std::ifstream checkpoint("polychord.resume"), in(kCountsFile);
  if (checkpoint && in) {
    in >> state.model.evaluations >> state.model.outside >> state.model.failures >>
        state.prior_trials >> state.prior_inside;
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

double evaluate(const double* cube) {
  for (std::size_t i = 0; i < state.inside.size(); ++i) {
    state.inside[i] = std::min(std::max(cube[i], 1e-300), 1.0 - 0.5 * manymodes::kEpsilon);
  }
  const double log_q = state.config.base.map(state.inside.data(), state.eta.data());
  const double value = state.model.log_density(state.eta.data()) - log_q;
  return value > kLogZero ? value : kLogZero;
}

extern "C" double log_likelihood(double* cube, int, double*, int) {
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
  manymodes::replace_file(state.config.output, [&](std::ostream& out) {
    const int64_t shape[2] = {ndead, npars};
    out.write(reinterpret_cast<const char*>(shape), sizeof shape);
    out.write(reinterpret_cast<const char*>(dead),
              static_cast<std::streamsize>(sizeof(double)) * ndead * npars);
  });
  state.wrote = true;
}

extern "C" void dumper(int ndead, int nlive, int npars, double* live, double* dead,
                       double*, double log_z, double log_z_sd) {
  std::fprintf(state.progress, "@progress %d %d %.17g %.17g %.17g", ndead, nlive, log_z,
               log_z_sd, live_log_z(ndead, nlive, npars, live));
  std::fprintf(state.progress, " %" PRId64 " %" PRId64 " %" PRId64 "\n",
               state.model.evaluations, state.model.outside, state.model.failures);
  std::fflush(state.progress);
  std::cout.flush();
  if (nlive == 0) {
    write_dead(ndead, npars, dead);
  } else if (state.config.checkpoints) {
    write_counts();
  }
}

void open_model() {
  const Config& config = state.config;
  state.model.open(config.model_library, config.data_file,
                   static_cast<unsigned int>(config.seed));
  if (state.model.dims() != config.base.dims()) {
    throw std::runtime_error("the base measure has another dimension than the program");
  }
  state.eta.resize(config.base.dims());
  state.inside.resize(config.base.cube_dims());
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
  if (!manymodes::end_with_parent()) {
    return 2;
  }
  try {
    if (argc != 2) {
      throw std::runtime_error("usage: polychord_run CONFIG");
    }
    state.config = read_config(argv[1]);
    state.progress = manymodes::divert_prints(state.config.prints);
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
  if (state.model.failures > 0) {
    std::cerr << "first failed evaluation: " << state.model.first_failure << '\n';
  }
  std::fprintf(state.progress,
               "@done %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
               state.model.evaluations, state.model.outside, state.model.failures,
               state.prior_trials, state.prior_inside);
  std::fflush(state.progress);
  return 0;
}
