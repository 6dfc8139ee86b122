// Hamiltonian Monte Carlo at one inverse temperature, and what is learned about it.

#ifndef MANYMODES_TEMPERED_HMC_HPP
#define MANYMODES_TEMPERED_HMC_HPP

#include <array>
#include <cmath>

#include "tempered/metric.hpp"
#include "tempered/path.hpp"
#include "runners/random.hpp"

namespace manymodes {

constexpr double kTargetAcceptance = 0.8;
constexpr double kMostSteps = 256.0;
constexpr double kCareful = 0.2;    // share of moves whose steps are smaller than was learned,
constexpr double kSmallest = 0.01;  // down to this part: they leave narrow necks

// A move takes half, once or twice the number of steps that was learned, at random. The
// three are compared by how far they move V and the distance from the centre, squared,
// for each gradient (Hoffman, Radul and Sountsov 2021, for the second).
struct Trial {
  double moves = 0.0, gradients = 0.0, v = 0.0, radius = 0.0;
};

struct Kernel {
  double step = 0.1;   // leapfrog step size, in units of the metric
  double steps = 4.0;  // leapfrog steps of a move
  Metric metric;
  VectorXd centre;  // of the draws of the round before

  // Of this round.
  double moves = 0.0, accepted = 0.0;
  std::array<Trial, 3> trials{};

  void begin_round() {
    moves = accepted = 0.0;
    trials = {};
  }

  // Corrects the step size by the acceptance of one move, the k-th.
  void correct_step(double acceptance, double k) {
    step *= std::exp((acceptance - kTargetAcceptance) / std::sqrt(1.0 + k));
  }

  // Moves the step size to where the acceptance is expected to be the one aimed at: the
  // acceptance is 2 Phi(-c step^2) for some c (Beskos et al. 2013, Bernoulli 19(5A)).
  void adjust_step() {
    if (moves < 1.0) {
      return;
    }
    const double mean = std::min(std::max(accepted / moves, 1e-3), 1.0 - 1e-3);
    const double factor =
        std::sqrt(normal_quantile(0.5 * kTargetAcceptance) / normal_quantile(0.5 * mean));
    step *= std::min(std::max(factor, 0.5), 2.0);
  }
};

// How well each number of steps moves a state: the geometric mean of two squared jumps for
// each gradient, zero if it was not tried.
inline std::array<double, 3> efficiency(const std::array<Trial, 3>& trials) {
  std::array<double, 3> found{};
  for (std::size_t k = 0; k < trials.size(); ++k) {
    const Trial& one = trials[k];
    found[k] = one.gradients > 0.0 ? std::sqrt(one.v * one.radius) / one.gradients : 0.0;
  }
  return found;
}

class Hmc {
 public:
  explicit Hmc(Path* path) : path_(path), next_(path->empty()) {
    for (VectorXd* one : {&momentum_, &force_, &gradient_, &moved_}) {
      one->setZero(path->dims());
    }
  }

  // Moves a state; returns the probability with which the proposal was accepted.
  double move(State* state, double beta, Kernel* kernel, Random* random) {
    const std::size_t choice = random->below(3);
    const double wanted = kernel->steps * (choice == 0 ? 0.5 : choice == 1 ? 1.0 : 2.0);
    const int steps = std::max(1, static_cast<int>(std::lround(wanted)));
    double step = kernel->step * (0.8 + 0.4 * random->uniform());
    const bool careful = random->uniform() < kCareful;
    if (careful) {
      step *= std::pow(kSmallest, random->uniform());
    }
    const double acceptance = propose(*state, beta, *kernel, step, steps, random);
    Trial unused;
    Trial& trial = careful ? unused : kernel->trials[choice];
    trial.moves += 1.0;
    trial.gradients += steps;
    if (!careful) {
      kernel->moves += 1.0;
      kernel->accepted += acceptance;
    }
    if (random->uniform() < acceptance) {
      const double radius = radius_of(next_, *kernel) - radius_of(*state, *kernel);
      trial.v += std::pow(next_.v() - state->v(), 2);
      trial.radius += radius * radius;
      next_.ancestor = state->ancestor;
      std::swap(*state, next_);
    }
    return acceptance;
  }

 private:
  double radius_of(const State& state, const Kernel& kernel) const {
    return ((state.eta - kernel.centre).cwiseQuotient(kernel.metric.scale)).squaredNorm();
  }

  // Runs a trajectory from `state` to `next_`; returns its acceptance probability.
  double propose(const State& state, double beta, const Kernel& kernel, double step, int steps,
                 Random* random) {
    for (Eigen::Index i = 0; i < momentum_.size(); ++i) {
      momentum_[i] = random->normal();
    }
    const double before = state.log_density(beta) - 0.5 * momentum_.squaredNorm();
    next_.eta = state.eta;
    next_.grad_q = state.grad_q;
    next_.grad_p = state.grad_p;
    kick(beta, kernel, 0.5 * step);
    for (int i = 1; i <= steps; ++i) {
      kernel.metric.apply(momentum_, &moved_);
      next_.eta.noalias() += step * moved_;
      path_->evaluate(&next_);
      if (!std::isfinite(next_.log_p) || !std::isfinite(next_.log_q)) {
        return 0.0;
      }
      kick(beta, kernel, i < steps ? step : 0.5 * step);
      if (i < steps && before - next_.log_density(beta) > kHopeless) {
        return 0.0;  // the energy cannot come back
      }
    }
    const double after = next_.log_density(beta) - 0.5 * momentum_.squaredNorm();
    return std::isfinite(after) ? std::min(1.0, std::exp(after - before)) : 0.0;
  }

  void kick(double beta, const Kernel& kernel, double step) {
    next_.gradient(beta, &gradient_);
    kernel.metric.apply_transpose(gradient_, &force_);
    momentum_.noalias() += step * force_;
  }

  static constexpr double kHopeless = 1e5;
  Path* path_;
  State next_;
  VectorXd momentum_, force_, gradient_, moved_;
};

}  // namespace manymodes

#endif
