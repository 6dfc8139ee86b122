// Microcanonical dynamics: motion at unit speed that keeps the energy.
//
// A position eta moves along a unit velocity u, in coordinates in which each parameter is
// divided by its scale, and the gradient g of the log density turns u (Robnik, De Luca,
// Silverstein and Seljak 2023, Journal of Machine Learning Research 24(311), eq. 14 to 16):
//
//   d eta = scale u dt,   du = (1 - u u') scale g dt / (D - 1).
//
// The energy is (D - 1) log w - log p, w the speed that the unit velocity stands for. One
// step is the second-order integrator of least error with two gradients (Omelyan, Mryglod
// and Folk 2003, Computer Physics Communications 151).

#ifndef MANYMODES_MICROCANONICAL_DYNAMICS_HPP
#define MANYMODES_MICROCANONICAL_DYNAMICS_HPP

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runners/bridge_model.hpp"
#include "runners/random.hpp"

namespace manymodes {

using Eigen::VectorXd;

constexpr double kGradientsOfStep = 2.0;

// A position with its log density and gradient, and a velocity.
struct Phase {
  VectorXd eta, gradient, velocity;
  double log_p = 0.0;
};

class Dynamics {
 public:
  explicit Dynamics(BridgeModel* model)
      : model_(model), dims_(static_cast<Eigen::Index>(model->dims())) {}

  Eigen::Index dims() const { return dims_; }

  void evaluate(Phase* phase) const {
    phase->gradient.resize(dims_);
    phase->log_p = model_->log_density_gradient(phase->eta.data(), phase->gradient.data());
  }

  // Makes the velocity anew, uniform on the sphere.
  void draw_velocity(Phase* phase, Random* random) const {
    phase->velocity.resize(dims_);
    for (Eigen::Index i = 0; i < dims_; ++i) {
      phase->velocity[i] = random->normal();
    }
    phase->velocity.normalize();
  }

  // Moves the phase by one step; returns the change of its energy. Where there is no
  // density that is infinite, and the phase is not to be used.
  double step(double size, const VectorXd& scale, Phase* phase) {
    const double before = phase->log_p;
    double kinetic = kick(kOuter * size, scale, phase);
    drift(0.5 * size, scale, phase);
    evaluate(phase);
    if (!std::isfinite(phase->log_p)) {
      return std::numeric_limits<double>::infinity();
    }
    kinetic += kick((1.0 - 2.0 * kOuter) * size, scale, phase);
    drift(0.5 * size, scale, phase);
    evaluate(phase);
    if (!std::isfinite(phase->log_p)) {
      return std::numeric_limits<double>::infinity();
    }
    kinetic += kick(kOuter * size, scale, phase);
    return kinetic - (phase->log_p - before);
  }

 private:
  static constexpr double kOuter = 0.1931833275037836;

  void drift(double time, const VectorXd& scale, Phase* phase) const {
    phase->eta.array() += time * scale.array() * phase->velocity.array();
  }

  // Turns the velocity towards the gradient, exactly; returns the change of the kinetic
  // energy. With z = exp(-angle) nothing overflows.
  double kick(double time, const VectorXd& scale, Phase* phase) {
    force_ = scale.cwiseProduct(phase->gradient);
    const double size = force_.norm();
    if (size == 0.0) {
      return 0.0;
    }
    force_ /= size;
    const double degrees = static_cast<double>(dims_ - 1);
    const double angle = time * size / degrees, z = std::exp(-angle);
    const double along = std::min(std::max(phase->velocity.dot(force_), -1.0), 1.0);
    phase->velocity *= 2.0 * z;
    phase->velocity += (1.0 - z) * (1.0 + z + along * (1.0 - z)) * force_;
    phase->velocity.normalize();
    return degrees * (angle - std::log(2.0) + std::log1p(along + (1.0 - along) * z * z));
  }

  BridgeModel* model_;
  Eigen::Index dims_;
  VectorXd force_;
};

}  // namespace manymodes

#endif
