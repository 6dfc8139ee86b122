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

  // Turns the velocity u towards the unit vector e of the force, exactly; returns the change
  // of the kinetic energy. With p = 1 + u'e, q = 1 - u'e and z = exp(-angle) nothing
  // overflows, and nothing cancels where the velocity points against the force.
  double kick(double time, const VectorXd& scale, Phase* phase) {
    force_ = scale.cwiseProduct(phase->gradient);
    const double size = force_.norm();
    if (size == 0.0) {
      return 0.0;
    }
    force_ /= size;
    VectorXd& velocity = phase->velocity;
    const double degrees = static_cast<double>(dims_ - 1);
    const double angle = time * size / degrees, z = std::exp(-angle);
    const double p = 0.5 * (velocity + force_).squaredNorm();
    const double q = 0.5 * (velocity - force_).squaredNorm();
    velocity -= velocity.dot(force_) * force_;
    velocity = (p - z * z * q) * force_ + 2.0 * z * velocity;
    if (velocity.squaredNorm() == 0.0) {
      velocity = -force_;  // against the force, and too fast to be turned
    }
    velocity.normalize();
    const double with = std::log(p), against = std::log(q) - 2.0 * angle;
    const double top = std::max(with, against);
    const double rest = std::exp(std::min(with, against) - top);
    return degrees * (angle - std::log(2.0) + top + std::log1p(rest));
  }

  BridgeModel* model_;
  Eigen::Index dims_;
  VectorXd force_;
};

}  // namespace manymodes

#endif
