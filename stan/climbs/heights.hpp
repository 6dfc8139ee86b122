// Heights over climbing coordinates: the log of posterior over prior, with its gradient.
//
// A coordinate is climbed in units of its frame's scale, or on the unit interval if its frame is
// logistic (a bounded parameter is linear there, and its bound is a wall). Python's `Landscape`
// defines the same coordinates.

#ifndef MANYMODES_CLIMBS_HEIGHTS_HPP
#define MANYMODES_CLIMBS_HEIGHTS_HPP

#include <cmath>
#include <cstddef>
#include <vector>

#include "runners/bridge_model.hpp"

namespace manymodes {

using Point = std::vector<double>;

constexpr double kLowest = -1e10;  // the height where the density is zero

struct Coordinate {
  bool on_interval = false;
  double location = 0.0, scale = 1.0;
  double low = 0.0, high = 0.0;  // the box
};

class Heights {
 public:
  // `prior` may be null: then the height is the log density itself.
  Heights(BridgeModel* posterior, BridgeModel* prior, std::vector<Coordinate> frame)
      : frame(std::move(frame)),
        posterior_(posterior),
        prior_(prior),
        eta_(this->frame.size()),
        slope_(this->frame.size()) {}

  std::size_t dims() const { return frame.size(); }

  double at(const double* x) {
    to_unconstrained(x);
    double value = posterior_->log_density(eta_.data());
    if (prior_ != nullptr) {
      value -= prior_->log_density(eta_.data());
    }
    return std::isfinite(value) ? value : kLowest;
  }

  // The log density of the program, whatever its prior.
  double density(const double* x) {
    to_unconstrained(x);
    return posterior_->log_density(eta_.data());
  }

  // Where the density is zero the gradient is, too.
  double at(const double* x, double* gradient) {
    ++gradients;
    to_unconstrained(x);
    double value = posterior_->log_density_gradient(eta_.data(), gradient);
    if (prior_ != nullptr && std::isfinite(value)) {
      value -= prior_->log_density_gradient(eta_.data(), slope_.data());
    }
    const bool known = std::isfinite(value);
    for (std::size_t i = 0; i < dims(); ++i) {
      if (!known) {
        gradient[i] = 0.0;
        continue;
      }
      if (prior_ != nullptr) {
        gradient[i] -= slope_[i];
      }
      gradient[i] *= frame[i].scale;
      if (frame[i].on_interval) {
        gradient[i] /= x[i] * (1.0 - x[i]);
      }
    }
    return known ? value : kLowest;
  }

  // Moves a point into the box.
  void clip(double* x) const {
    for (std::size_t i = 0; i < dims(); ++i) {
      x[i] = std::fmin(std::fmax(x[i], frame[i].low), frame[i].high);
    }
  }

  const std::vector<Coordinate> frame;
  std::size_t gradients = 0;

 private:
  void to_unconstrained(const double* x) {
    for (std::size_t i = 0; i < dims(); ++i) {
      const Coordinate& one = frame[i];
      const double z = one.on_interval ? std::log(x[i] / (1.0 - x[i])) : x[i];
      eta_[i] = one.location + one.scale * z;
    }
  }

  BridgeModel* posterior_;
  BridgeModel* prior_;
  Point eta_, slope_;
};

}  // namespace manymodes

#endif
