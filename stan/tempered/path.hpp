// The path of densities from the base measure q to the program's density p.
//
// At inverse temperature beta the density is p^beta q^(1 - beta), from q at 0 to p at 1.
// With V = log p - log q its logarithm is log q + beta V, and V is all that swaps and the
// stepping stone need of a state.

#ifndef MANYMODES_TEMPERED_PATH_HPP
#define MANYMODES_TEMPERED_PATH_HPP

#include <Eigen/Dense>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "runners/base_measure.hpp"
#include "runners/bridge_model.hpp"
#include "runners/random.hpp"

namespace manymodes {

using Eigen::VectorXd;

// A point of the unconstrained space with both log densities and their gradients.
struct State {
  VectorXd eta, grad_q, grad_p;
  double log_q = 0.0, log_p = 0.0;
  std::int64_t ancestor = -1;  // number of the draw of q that it descends from

  double v() const { return log_p - log_q; }

  double log_density(double beta) const {
    return beta == 0.0 ? log_q : log_q + beta * (log_p - log_q);
  }

  // Of the log density at beta, into `out`.
  void gradient(double beta, VectorXd* out) const {
    out->noalias() = (1.0 - beta) * grad_q + beta * grad_p;
  }
};

class Path {
 public:
  Path(Base base, BridgeModel* model) : base_(std::move(base)), model_(model) {
    if (model_->dims() != base_.dims()) {
      throw std::runtime_error("the base measure has another dimension than the program");
    }
  }

  Eigen::Index dims() const { return static_cast<Eigen::Index>(base_.dims()); }

  State empty() const {
    State state;
    for (VectorXd* one : {&state.eta, &state.grad_q, &state.grad_p}) {
      one->setZero(dims());
    }
    return state;
  }

  // Fills in the densities and gradients at `state->eta`.
  void evaluate(State* state) {
    evaluate_base(state);
    state->log_p = model_->log_density_gradient(state->eta.data(), state->grad_p.data());
  }

  void evaluate_base(State* state) {
    state->log_q = base_.log_density_gradient(state->eta.data(), state->grad_q.data());
  }

  // An independent draw of q.
  void draw(Random* random, State* state) {
    auto uniform = [random] { return random->uniform(); };
    base_.draw(uniform, state->eta.data());
    evaluate(state);
    state->ancestor = ++drawn;
    drawn_inside += std::isfinite(state->log_p);
  }

  // A draw of q at which p is above zero.
  void draw_inside(Random* random, State* state) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      draw(random, state);
      if (std::isfinite(state->log_p)) {
        return;
      }
    }
    std::string why = model_->first_failure;
    throw std::runtime_error("none of " + std::to_string(kAttempts) +
                             " draws of the base measure has a density above zero" +
                             (why.empty() ? "" : ": " + why));
  }

  std::int64_t drawn = 0;         // draws of q so far
  std::int64_t drawn_inside = 0;  // those with p above zero

 private:
  static constexpr int kAttempts = 20000;
  Base base_;
  BridgeModel* model_;
};

}  // namespace manymodes

#endif
