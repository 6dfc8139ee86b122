// Annealed importance sampling along a learned ladder, in both directions (Neal 2001,
// Statistics and Computing 11; Grosse, Ghahramani and Adams 2015, arXiv 1511.02543).
//
// Forward, a draw of the base measure is moved once at each inverse temperature up to the
// density; the mean of its weight is the evidence. Backward, an exact draw of the density
// is moved down in the reverse order; the mean of its inverse weight is one over the
// evidence. So, by Jensen's inequality, the log of the first mean is a lower bound and
// minus the log of the second an upper bound, in expectation. Nothing is adapted on the way.

#ifndef MANYMODES_TEMPERED_ANNEALING_HPP
#define MANYMODES_TEMPERED_ANNEALING_HPP

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runners/arrays.hpp"
#include "tempered/hmc.hpp"
#include "tempered/kernel_arrays.hpp"
#include "tempered/ladder.hpp"
#include "tempered/path.hpp"
#include "runners/random.hpp"
#include "tempered/symmetry.hpp"

namespace manymodes {

struct AnnealingSettings {
  std::string ladder;        // the output file of a tempered run
  std::size_t levels = 0;    // steps from 0 to 1; 0: no annealing
  std::size_t forward = 0;   // chains from the base measure
  std::size_t backward = 0;  // chains from the exact draws, in turn
  std::vector<std::vector<double>> starts;  // exact draws of the density

  // "LEVELS FORWARD BACKWARD"
  void set(const std::string& value) {
    std::istringstream in(value);
    if (!(in >> levels >> forward >> backward) || levels == 0) {
      throw std::runtime_error("anneal needs LEVELS FORWARD BACKWARD: " + value);
    }
  }

  // The coordinates of an exact draw.
  void add_start(const std::string& value) {
    std::istringstream in(value);
    starts.emplace_back();
    for (double one; in >> one;) {
      starts.back().push_back(one);
    }
  }
};

class Annealing {
 public:
  Annealing(Path* path, BridgeModel* model, Symmetry* symmetry, AnnealingSettings settings,
            std::uint64_t seed, std::string output, FILE* progress)
      : path_(path),
        model_(model),
        symmetry_(symmetry),
        settings_(std::move(settings)),
        random_(seed),
        hmc_(path),
        output_(std::move(output)),
        progress_(progress) {}

  void run() {
    const auto begun = std::chrono::steady_clock::now();
    refine();
    Arrays out;
    out["betas"] = betas_;
    std::size_t done = 0;
    for (std::size_t i = 0; i < settings_.forward; ++i) {
      out["forward"].push_back(up());
      tell(++done);
    }
    if (settings_.backward > 0 && settings_.starts.empty()) {
      throw std::runtime_error("annealing backward needs an exact draw");
    }
    for (std::size_t i = 0; i < settings_.backward; ++i) {
      out["backward"].push_back(down(settings_.starts[i % settings_.starts.size()]));
      tell(++done);
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    out["counts"] = {static_cast<double>(model_->evaluations), spent.count()};
    out.write(output_);
  }

 private:
  // Places the levels at equal steps of the barrier, and gives each the kernel of the
  // nearest inverse temperature of the ladder, with step sizes between its neighbours'.
  void refine() {
    Arrays from;
    if (!from.read(settings_.ladder)) {
      throw std::runtime_error("cannot read " + settings_.ladder);
    }
    const std::vector<double>& old = from.at("next_betas");
    const std::vector<Kernel> kernels = read_kernels(from, old.size(), path_->dims());
    betas_ = spaced(old, std::vector<double>(old.size() - 1, 1.0), settings_.levels + 1);
    for (const double beta : betas_) {
      kernels_.push_back(kernels[std::max<std::size_t>(nearest(old, beta), 1)]);
      Kernel& kernel = kernels_.back();
      kernel.step = between(old, kernels, beta, [](const Kernel& one) { return one.step; });
      kernel.steps = between(old, kernels, beta, [](const Kernel& one) { return one.steps; });
    }
  }

  // On the log scale; what the base measure has was never learned.
  template <typename Value>
  static double between(const std::vector<double>& old, const std::vector<Kernel>& kernels,
                        double beta, Value value) {
    std::size_t right = 1;
    while (right + 1 < old.size() && old[right] < beta) {
      ++right;
    }
    const double t = (beta - old[right - 1]) / (old[right] - old[right - 1]);
    const std::size_t left = std::max<std::size_t>(right - 1, 1);
    return std::exp((1.0 - t) * std::log(value(kernels[left])) +
                    t * std::log(value(kernels[right])));
  }

  // The log weight of a forward chain.
  double up() {
    State state = path_->empty();
    path_->draw(&random_, &state);
    double log_weight = 0.0;
    for (std::size_t k = 1;; ++k) {
      log_weight += (betas_[k] - betas_[k - 1]) * state.v();
      if (k == settings_.levels || !std::isfinite(log_weight)) {
        return log_weight;  // minus infinity where the density is zero at the draw
      }
      hmc_.move(&state, betas_[k], &kernels_[k], &random_);
      symmetry_->move(path_, &state, betas_[k], &random_);
    }
  }

  // The log weight of a backward chain, whose moves are those of a forward one reversed.
  double down(const std::vector<double>& start) {
    State state = path_->empty();
    if (start.size() != static_cast<std::size_t>(path_->dims())) {
      throw std::runtime_error("an exact draw has another dimension than the program");
    }
    state.eta = Eigen::Map<const VectorXd>(start.data(), path_->dims());
    path_->evaluate(&state);
    if (!std::isfinite(state.log_p)) {
      throw std::runtime_error("the density is zero at an exact draw");
    }
    double log_weight = 0.0;
    for (std::size_t k = settings_.levels;; --k) {
      log_weight += (betas_[k] - betas_[k - 1]) * state.v();
      if (k == 1) {
        return log_weight;
      }
      symmetry_->move(path_, &state, betas_[k - 1], &random_);
      hmc_.move(&state, betas_[k - 1], &kernels_[k - 1], &random_);
    }
  }

  void tell(std::size_t done) const {
    std::fprintf(progress_, "@anneal %zu %zu\n", done, settings_.forward + settings_.backward);
    std::fflush(progress_);
  }

  Path* path_;
  BridgeModel* model_;
  Symmetry* symmetry_;
  AnnealingSettings settings_;
  Random random_;
  Hmc hmc_;
  std::string output_;
  FILE* progress_;
  std::vector<double> betas_;
  std::vector<Kernel> kernels_;
};

}  // namespace manymodes

#endif
