// Non-reversible parallel tempering from a base measure to a density (Syed, Bouchard-Cote,
// Deligiannidis and Doucet 2022, JRSS B 84, algorithms 1 and 2).
//
// Each inverse temperature has one state. A scan moves all states, that at 0 by an
// independent draw of the base measure, the others by Hamiltonian Monte Carlo and by
// members of the symmetry group, and then swaps neighbours, the even pairs and the odd
// pairs in turn. Rounds double in length. Between rounds, and only there, temperatures,
// step sizes, numbers of steps and metrics are learned from the round that ended (step
// sizes also within the short rounds at the beginning), so that within a long round the
// chain is a Markov chain, and the last round alone is kept.

#ifndef MANYMODES_TEMPERED_TEMPERING_HPP
#define MANYMODES_TEMPERED_TEMPERING_HPP

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "runners/arrays.hpp"
#include "tempered/hmc.hpp"
#include "tempered/kernel_arrays.hpp"
#include "tempered/ladder.hpp"
#include "tempered/metric.hpp"
#include "tempered/path.hpp"
#include "runners/random.hpp"
#include "tempered/symmetry.hpp"

namespace manymodes {

struct TemperingSettings {
  int rounds = 10;             // the last of them has 2^rounds scans
  int temperatures = 0;        // 0: as many as the barrier asks for
  double per_barrier = 2.0;    // temperatures for each unit of the barrier
  double steps = 0.0;          // leapfrog steps of a move; 0: learned
  MetricKind metric = MetricKind::dense;
  std::size_t most_draws = 4096;
  std::size_t climbers = 24;   // that make the first states
  std::size_t beginnings = 1;  // of a run of whose early draws of q none comes to p
};

class Tempering {
 public:
  Tempering(Path* path, BridgeModel* model, Symmetry* symmetry, TemperingSettings settings,
            std::uint64_t seed, std::string output, FILE* progress)
      : path_(path),
        model_(model),
        symmetry_(symmetry),
        settings_(settings),
        random_(seed),
        hmc_(path),
        output_(std::move(output)),
        progress_(progress) {}

  // Runs all rounds that the output file does not hold yet.
  void run() {
    Arrays before;
    if (before.read(output_)) {
      restore(before);
    } else {
      begin();
    }
    while (round_ < settings_.rounds) {
      Arrays out = next_round();
      tell();
      if (round_ == kJudged && arrived_.empty() && settings_.beginnings > 1) {
        out = best_beginning(std::move(out));
      }
      out.write(output_);
    }
  }

 private:
  static constexpr std::size_t kHistory = 9;  // numbers for each round
  static constexpr int kFewest = 6;       // temperatures
  static constexpr int kMost = 300;
  static constexpr int kJudged = 7;       // the round after which beginnings are compared
  static constexpr int kShortRounds = 6;  // in which step sizes are corrected at every move
  static constexpr std::size_t kMostSettling = 64;
  static constexpr int kClimbMoves = 3;         // of each, on each rung
  static constexpr std::size_t kFewTrips = 3;
  static constexpr double kFirstSteps = 8.0;
  static constexpr double kForget = 0.05;  // of the first metric, at each move
  static constexpr double kRung = 1.25;    // ratio of the first inverse temperatures
  static constexpr double kSnapshotNumbers = 5e6;  // gradients of a round that are learned from

  std::size_t count() const { return betas_.size(); }
  std::size_t last() const { return betas_.size() - 1; }

  // ------------------------------------------------------------------ the beginning

  // The first states: a small population climbs from q to the posterior by sequential
  // Monte Carlo, and leaves a member, with what was learned, on every rung.
  void begin() {
    const std::size_t n = settings_.climbers;
    std::vector<State> climbers(n, path_->empty());
    std::vector<double> heights;
    for (State& one : climbers) {
      path_->draw_inside(&random_, &one);
      heights.push_back(one.v());
    }
    betas_ = first_rungs(heights);
    Kernel kernel;
    kernel.centre = VectorXd::Zero(path_->dims());
    kernel.steps = settings_.steps > 0.0 ? settings_.steps : kFirstSteps;
    VectorXd gradient = kernel.centre, second = kernel.centre;
    double log_z = 0.0;
    for (const State& one : climbers) {
      one.gradient(betas_[1], &gradient);
      second += gradient.cwiseAbs2() / static_cast<double>(n);
    }
    for (std::size_t i = 0; i < count(); ++i) {
      if (i > 0) {
        log_z += select(betas_[i] - betas_[i - 1], &climbers);
      }
      for (int move = 0; i > 0 && move < kClimbMoves; ++move) {
        for (State& one : climbers) {
          kernel.metric.reset(second.cwiseMax(1e-200).cwiseSqrt().cwiseInverse());
          kernel.correct_step(hmc_.move(&one, betas_[i], &kernel, &random_),
                              static_cast<double>(n) * move);
          symmetry_->move(path_, &one, betas_[i], &random_);
          one.gradient(betas_[i], &gradient);
          second += kForget * (gradient.cwiseAbs2() - second);
        }
      }
      kernel.centre.setZero();
      for (const State& one : climbers) {
        kernel.centre += one.eta / static_cast<double>(n);
      }
      kernel.metric.reset(second.cwiseMax(1e-200).cwiseSqrt().cwiseInverse());
      kernels_.push_back(kernel);
    }
    std::fprintf(progress_, "@climbed %.17g %" PRId64 "\n", log_z, model_->evaluations);
    descend(&climbers);
  }

  // Leads a population from the posterior down to q by sequential Monte Carlo; it leaves a
  // member on every rung. What the cold end has found then stands as far down as it can.
  void descend(std::vector<State>* climbers) {
    states_.resize(count());
    for (std::size_t i = count(); i-- > 0;) {
      if (i < last()) {
        select(betas_[i] - betas_[i + 1], climbers);
      }
      for (int move = 0; i > 0 && move < kClimbMoves; ++move) {
        for (State& one : *climbers) {
          hmc_.move(&one, betas_[i], &kernels_[i], &random_);
          symmetry_->move(path_, &one, betas_[i], &random_);
        }
      }
      states_[i] = (*climbers)[random_.below(climbers->size())];
    }
  }

  // While hardly any draw of q comes to the posterior, the cold states have found what the
  // others would need many rounds to find: the next round begins from them.
  void spread_down() {
    const std::size_t dims = static_cast<std::size_t>(path_->dims());
    const std::size_t kept = at_draws_.size() / 4, n = std::min(settings_.climbers, kept);
    std::vector<State> climbers;
    for (std::size_t k = kept - n; k < kept; ++k) {
      climbers.push_back(path_->empty());
      State& one = climbers.back();
      one.eta = Eigen::Map<const VectorXd>(draws_.data() + k * dims, path_->dims());
      one.ancestor = static_cast<std::int64_t>(at_draws_[4 * k + 3]);
      path_->evaluate(&one);
    }
    descend(&climbers);
  }

  // Resamples climbers by exp(width V), systematically; returns the log of its mean.
  double select(double width, std::vector<State>* climbers) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (const State& one : *climbers) {
      top = std::max(top, width * one.v());
    }
    for (const State& one : *climbers) {
      sum += std::exp(width * one.v() - top);
    }
    std::vector<State> chosen;
    const double n = static_cast<double>(climbers->size());
    double place = random_.uniform(), passed = 0.0;
    for (const State& one : *climbers) {
      passed += std::exp(width * one.v() - top) / sum * n;
      for (; place < passed; place += 1.0) {
        chosen.push_back(one);
      }
    }
    while (chosen.size() < climbers->size()) {  // rounding
      chosen.push_back(climbers->back());
    }
    climbers->swap(chosen);
    return top + std::log(sum / n);
  }

  // Inverse temperatures at which to begin: from where V hardly counts, each a little
  // larger than the one before.
  std::vector<double> first_rungs(std::vector<double> heights) const {
    std::sort(heights.begin(), heights.end());
    const double spread = heights[3 * heights.size() / 4] - heights[heights.size() / 4];
    const double first = std::min(std::max(0.5 / std::max(spread, 1e-300), 1e-9), 0.3);
    const double ratio = settings_.temperatures > 2
                             ? std::pow(1.0 / first, 1.0 / (settings_.temperatures - 2))
                             : kRung;
    std::vector<double> found{0.0};
    for (double beta = first; beta < 1.0 / std::sqrt(ratio); beta *= ratio) {
      found.push_back(beta);
    }
    found.push_back(1.0);
    return found;
  }

  // Where no draw of q comes to the posterior, the branch into which the first states fell is
  // hardly ever left: other beginnings are tried, and the one with the most evidence is gone
  // on with. The rest of the run is a Markov chain from there. `first` is what the round that
  // ended found.
  Arrays best_beginning(Arrays first) {
    const auto begun = std::chrono::steady_clock::now();
    Arrays best = std::move(first);
    std::vector<double>& heights = beginnings_;
    heights = {height_of(best)};
    while (heights.size() < settings_.beginnings) {
      round_ = 0;
      history_.clear();
      kernels_.clear();
      begin();
      Arrays next;
      while (round_ < kJudged) {
        next = next_round();
      }
      heights.push_back(height_of(next));
      if (heights.back() > *std::max_element(heights.begin(), heights.end() - 1)) {
        best = std::move(next);
      }
      std::fprintf(progress_, "@beginning %zu %zu %.17g\n", heights.size(), settings_.beginnings,
                   heights.back());
      std::fflush(progress_);
    }
    restore_ladder(best);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    double* row = history_.data() + history_.size() - kHistory;
    row[7] = static_cast<double>(model_->evaluations);
    row[8] += spent.count();
    best["history"] = history_;
    keep_totals(&best);
    return best;
  }

  // The mean of both directions' log ratio in the last round.
  static double height_of(const Arrays& found) {
    const std::vector<double>& rows = found.at("history");
    const double* row = rows.data() + rows.size() - kHistory;
    return 0.5 * (row[4] + row[5]);
  }

  // ------------------------------------------------------------------ a round

  // Carries out a round and learns from it; returns all that is kept.
  Arrays next_round() {
    ++round_;
    carry_out();
    Arrays out = found();
    learn();
    keep_state(&out);
    return out;
  }

  void carry_out() {
    begun_ = std::chrono::steady_clock::now();
    scans_ = std::size_t{1} << round_;
    settle();
    v_.assign(scans_ * count(), 0.0);
    rejection_.assign(last(), 0.0);
    draws_.clear();
    at_draws_.clear();
    arrived_.clear();
    begin_snapshots();
    for (Kernel& kernel : kernels_) {
      kernel.begin_round();
    }
    const std::size_t stride = (scans_ + settings_.most_draws - 1) / settings_.most_draws;
    const std::int64_t newest = path_->drawn;
    auto told = begun_;
    for (std::size_t scan = 0; scan < scans_; ++scan) {
      explore(scan, round_ <= kShortRounds);
      record(scan);
      const State& cold = states_.back();
      if (cold.ancestor > newest) {
        arrived_.insert(cold.ancestor);
      }
      if (scan % stride == stride - 1) {
        draws_.insert(draws_.end(), cold.eta.data(), cold.eta.data() + cold.eta.size());
        for (const double one : {static_cast<double>(scan), cold.log_p, cold.log_q,
                                 static_cast<double>(cold.ancestor)}) {
          at_draws_.push_back(one);
        }
      }
      swap(scan);
      const auto now = std::chrono::steady_clock::now();
      if (now - told > std::chrono::milliseconds(300)) {
        std::fprintf(progress_, "@scan %d %zu %zu\n", round_, scan + 1, scans_);
        std::fflush(progress_);
        told = now;
      }
    }
    for (double& one : rejection_) {
      one /= static_cast<double>(scans_);
    }
  }

  // Corrects the step sizes, whose metric is new, in scans that are not kept.
  void settle() {
    if (round_ <= kShortRounds) {
      return;
    }
    const std::size_t scans = std::min<std::size_t>(scans_ / 8, kMostSettling);
    rejection_.assign(last(), 0.0);
    for (std::size_t scan = 0; scan < scans; ++scan) {
      explore(scan, true);
      swap(scan);
    }
  }

  void explore(std::size_t scan, bool correct) {
    path_->draw(&random_, &states_[0]);
    for (std::size_t i = 1; i < count(); ++i) {
      const double acceptance = hmc_.move(&states_[i], betas_[i], &kernels_[i], &random_);
      if (correct) {
        kernels_[i].correct_step(acceptance, static_cast<double>(scan));
      }
      symmetry_->move(path_, &states_[i], betas_[i], &random_);
    }
  }

  void record(std::size_t scan) {
    for (std::size_t i = 0; i < count(); ++i) {
      const State& state = states_[i];
      v_[scan * count() + i] = state.v();
      if (std::isfinite(state.log_p) && scan % snapshot_stride_ == snapshot_stride_ - 1) {
        const auto column = static_cast<Eigen::Index>(snapshots_[i].n++);
        snapshots_[i].q.col(column) = state.grad_q;
        snapshots_[i].p.col(column) = state.grad_p;
        snapshots_[i].sum += state.eta;
      }
    }
  }

  // Swaps neighbours: pairs that begin at an even place in even scans, the others in odd
  // ones. The acceptance of every pair is recorded in every scan.
  void swap(std::size_t scan) {
    for (std::size_t i = 0; i < last(); ++i) {
      const double gain =
          (betas_[i + 1] - betas_[i]) * (states_[i].v() - states_[i + 1].v());
      const double acceptance = std::min(1.0, std::exp(gain));
      rejection_[i] += 1.0 - acceptance;
      swaps_.resize(last());
      swaps_[i] = acceptance;
    }
    for (std::size_t i = scan % 2; i < last(); i += 2) {
      if (random_.uniform() < swaps_[i]) {
        std::swap(states_[i], states_[i + 1]);
      }
    }
  }

  // ------------------------------------------------------------------ learning

  struct Snapshots {
    MatrixXd q, p;  // gradients, one in each column
    std::size_t n = 0;
    VectorXd sum;   // of the points
  };

  void begin_snapshots() {
    const double each = kSnapshotNumbers / static_cast<double>(count() * path_->dims());
    const auto most = static_cast<std::size_t>(std::max(16.0, std::min(each, 1024.0)));
    snapshot_stride_ = (scans_ + most - 1) / most;
    const auto kept = static_cast<Eigen::Index>(scans_ / snapshot_stride_);
    snapshots_.assign(count(), Snapshots());
    for (Snapshots& one : snapshots_) {
      one.q.resize(path_->dims(), kept);
      one.p.resize(path_->dims(), kept);
      one.sum.setZero(path_->dims());
    }
  }

  void learn() {
    for (Kernel& kernel : kernels_) {
      kernel.adjust_step();
    }
    if (settings_.steps <= 0.0 && round_ >= 4) {
      learn_steps();
    }
    const std::vector<double> old = betas_;
    std::size_t wanted = count();
    if (settings_.temperatures == 0 && round_ >= 4) {
      double barrier = 0.0;
      for (const double one : rejection_) {
        barrier += one;
      }
      const double asked = std::ceil(settings_.per_barrier * barrier) + 1.0;
      wanted = static_cast<std::size_t>(std::min<double>(std::max<double>(asked, kFewest), kMost));
      const double change = static_cast<double>(wanted) / static_cast<double>(count());
      if (change > 0.87 && change < 1.15) {
        wanted = count();
      }
    }
    if (round_ >= 2) {
      betas_ = spaced(old, rejection_, wanted);
    }
    std::vector<State> states;
    std::vector<Kernel> kernels;
    for (const double beta : betas_) {
      // At 0 the density may be zero at a state, which would have no weight elsewhere.
      const std::size_t i = std::max<std::size_t>(nearest(old, beta), beta > 0.0 ? 1 : 0);
      states.push_back(states_[i]);
      kernels.push_back(kernels_[i]);
      kernels.back().step = between(old, beta, [this](std::size_t k) { return kernels_[k].step; });
      kernels.back().steps =
          between(old, beta, [this](std::size_t k) { return kernels_[k].steps; });
      learn_metric(snapshots_[i], beta, &kernels.back());
    }
    if (betas_.size() == old.size()) {
      states = states_;
    }
    states_ = states;
    kernels_ = kernels;
    if (arrived_.size() < kFewTrips && round_ >= 4) {
      spread_down();
    }
  }

  // The value at beta between its neighbours among the old betas, on the log scale.
  template <typename Value>
  static double between(const std::vector<double>& old, double beta, Value value) {
    std::size_t right = 1;
    while (right + 1 < old.size() && old[right] < beta) {
      ++right;
    }
    const double t = (beta - old[right - 1]) / (old[right] - old[right - 1]);
    // That of the base measure is never used, and so never learned.
    const std::size_t left = std::max<std::size_t>(right - 1, 1);
    return std::exp((1.0 - t) * std::log(value(left)) + t * std::log(value(right)));
  }

  void learn_metric(const Snapshots& from, double beta, Kernel* kernel) const {
    if (from.n == 0) {
      return;
    }
    const auto n = static_cast<Eigen::Index>(from.n);
    const VectorXd before = kernel->metric.scale;
    const MatrixXd g = (1.0 - beta) * from.q.leftCols(n) + beta * from.p.leftCols(n);
    kernel->metric.learn(g, before, settings_.metric);
    kernel->centre = from.sum / static_cast<double>(n);
  }

  // Moves the number of steps towards the best of the three that were tried, of a
  // temperature and its neighbours together.
  void learn_steps() {
    std::vector<double> factor(count(), 1.0);
    for (std::size_t i = 1; i < count(); ++i) {
      std::array<double, 3> sum{};
      for (std::size_t k = std::max<std::size_t>(i - 1, 1); k <= std::min(i + 1, last()); ++k) {
        const std::array<double, 3> one = efficiency(kernels_[k].trials);
        const double top = *std::max_element(one.begin(), one.end());
        for (std::size_t m = 0; m < 3 && top > 0.0; ++m) {
          sum[m] += one[m] / top;
        }
      }
      const auto best = std::max_element(sum.begin(), sum.end()) - sum.begin();
      factor[i] = best == 0 ? 1.0 / 1.5 : best == 1 ? 1.0 : 1.5;
    }
    for (std::size_t i = 1; i < count(); ++i) {
      kernels_[i].steps = std::min(std::max(kernels_[i].steps * factor[i], 1.0), kMostSteps);
    }
  }

  // ------------------------------------------------------------------ the output

  // Log of the ratio of normalising constants of neighbours, estimated from the colder
  // (`up` false) or the warmer one.
  double stepping_stone(bool up) const {
    double total = 0.0;
    for (std::size_t i = 0; i < last(); ++i) {
      const double width = betas_[i + 1] - betas_[i], sign = up ? 1.0 : -1.0;
      const std::size_t column = up ? i : i + 1;
      double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (std::size_t s = 0; s < scans_; ++s) {
        top = std::max(top, sign * width * v_[s * count() + column]);
      }
      for (std::size_t s = 0; s < scans_; ++s) {
        sum += std::exp(sign * width * v_[s * count() + column] - top);
      }
      total += sign * (top + std::log(sum / static_cast<double>(scans_)));
    }
    return total;
  }

  // What the round found.
  Arrays found() {
    double barrier = 0.0;
    for (const double one : rejection_) {
      barrier += one;
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
    for (const double one :
         {static_cast<double>(round_), static_cast<double>(scans_), static_cast<double>(count()),
          barrier, stepping_stone(true), stepping_stone(false),
          static_cast<double>(arrived_.size()), static_cast<double>(model_->evaluations),
          spent.count()}) {
      history_.push_back(one);
    }
    Arrays out;
    out["history"] = history_;
    out["betas"] = betas_;
    out["v"] = v_;
    out["draws"] = draws_;
    out["at_draws"] = at_draws_;
    out["rejection"] = rejection_;
    for (const Kernel& one : kernels_) {
      out["step"].push_back(one.step);
      out["steps"].push_back(one.steps);
      out["acceptance"].push_back(one.moves > 0.0 ? one.accepted / one.moves : 1.0);
      out["rank"].push_back(static_cast<double>(one.metric.gains.size()));
    }
    return out;
  }

  std::vector<double> counts() const {
    std::vector<double> found;
    for (const std::int64_t one : {model_->evaluations, model_->outside, model_->failures,
                                   path_->drawn, path_->drawn_inside}) {
      found.push_back(static_cast<double>(one));
    }
    return found;
  }

  void tell() const {
    const double* last = history_.data() + history_.size() - kHistory;
    std::fprintf(progress_, "@round %d %.0f %.0f %.6g %.17g %.17g %.0f %.0f %.6g\n", round_,
                 last[1], last[2], last[3], last[4], last[5], last[6], last[7], last[8]);
    std::fflush(progress_);
  }

  // What is needed to go on with the next round.
  void keep_state(Arrays* out) const {
    (*out)["next_betas"] = betas_;
    for (const State& one : states_) {
      out->add("next_eta", one.eta.data(), static_cast<std::size_t>(one.eta.size()));
      (*out)["next_ancestor"].push_back(static_cast<double>(one.ancestor));
    }
    for (const Kernel& one : kernels_) {
      const Metric& metric = one.metric;
      (*out)["next_step"].push_back(one.step);
      (*out)["next_steps"].push_back(one.steps);
      out->add("next_centre", one.centre.data(), static_cast<std::size_t>(one.centre.size()));
      out->add("next_scale", metric.scale.data(), static_cast<std::size_t>(metric.scale.size()));
      (*out)["next_rank"].push_back(static_cast<double>(metric.gains.size()));
      out->add("next_gains", metric.gains.data(), static_cast<std::size_t>(metric.gains.size()));
      out->add("next_vectors", metric.vectors.data(),
               static_cast<std::size_t>(metric.vectors.size()));
    }
    keep_totals(out);
  }

  // What belongs to the run and not to its ladder.
  void keep_totals(Arrays* out) const {
    (*out)["counts"] = counts();
    (*out)["beginnings"] = beginnings_;
    (*out)["next_random"].clear();
    for (const std::uint64_t word : random_.words) {
      (*out)["next_random"].push_back(static_cast<double>(word >> 32));
      (*out)["next_random"].push_back(static_cast<double>(word & 0xffffffffu));
    }
  }

  // Goes on from the end of the last round that was kept.
  void restore(const Arrays& from) {
    restore_ladder(from);
    const std::vector<double>& words = from.at("next_random");
    for (std::size_t k = 0; k < 4; ++k) {
      random_.words[k] = (static_cast<std::uint64_t>(words.at(2 * k)) << 32) |
                         static_cast<std::uint64_t>(words.at(2 * k + 1));
    }
    beginnings_ = from.at("beginnings");
    const std::vector<double>& counts = from.at("counts");
    model_->evaluations = static_cast<std::int64_t>(counts.at(0));
    model_->outside = static_cast<std::int64_t>(counts.at(1));
    model_->failures = static_cast<std::int64_t>(counts.at(2));
    path_->drawn = static_cast<std::int64_t>(counts.at(3));
    path_->drawn_inside = static_cast<std::int64_t>(counts.at(4));
  }

  void restore_ladder(const Arrays& from) {
    history_ = from.at("history");
    round_ = static_cast<int>(history_.at(history_.size() - kHistory));
    betas_ = from.at("next_betas");
    const Eigen::Index dims = path_->dims();
    const double* eta = from.at("next_eta").data();
    kernels_ = read_kernels(from, count(), dims);
    states_.clear();
    for (std::size_t i = 0; i < count(); ++i, eta += dims) {
      states_.push_back(path_->empty());
      State& state = states_.back();
      state.eta = Eigen::Map<const VectorXd>(eta, dims);
      path_->evaluate(&state);
      state.ancestor = static_cast<std::int64_t>(from.at("next_ancestor").at(i));
    }
  }

  Path* path_;
  BridgeModel* model_;
  Symmetry* symmetry_;
  TemperingSettings settings_;
  Random random_;
  Hmc hmc_;
  std::string output_;
  FILE* progress_;

  int round_ = 0;  // the last one that was begun
  std::size_t scans_ = 0;
  std::vector<double> betas_;
  std::vector<State> states_;
  std::vector<Kernel> kernels_;
  std::vector<double> swaps_, rejection_;  // of each pair of neighbours
  std::vector<double> v_;                  // (scans, temperatures)
  std::vector<double> draws_, at_draws_;   // (n, D); (n, 4): scan, log p, log q, ancestor
  std::set<std::int64_t> arrived_;         // draws of q in this round that came to beta = 1
  std::vector<double> history_;
  std::vector<double> beginnings_;  // log ratio after the early rounds of each
  std::vector<Snapshots> snapshots_;
  std::size_t snapshot_stride_ = 1;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace manymodes

#endif
