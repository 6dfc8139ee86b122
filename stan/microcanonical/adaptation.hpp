// What a chain learns in its warm-up: the scale of each parameter and the step size.

#ifndef MANYMODES_MICROCANONICAL_ADAPTATION_HPP
#define MANYMODES_MICROCANONICAL_ADAPTATION_HPP

#include <Eigen/Dense>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "microcanonical/dynamics.hpp"

namespace manymodes {

using Eigen::ArrayXd;

// Means and variances of draws, entry by entry (Welford 1962, Technometrics 4(3)).
class Moments {
 public:
  void reset(Eigen::Index dims) {
    count_ = 0.0;
    mean_ = squares_ = ArrayXd::Zero(dims);
  }

  void add(const VectorXd& draw) {
    count_ += 1.0;
    const ArrayXd off = draw.array() - mean_;
    mean_ += off / count_;
    squares_ += off * (draw.array() - mean_);
  }

  double count() const { return count_; }
  ArrayXd variance() const { return squares_ / std::max(count_ - 1.0, 1.0); }

 private:
  double count_ = 0.0;
  ArrayXd mean_, squares_;
};

// The scale of each parameter: (variance of draws / variance of gradients)^(1/4), which
// makes both variances equal and is right for normal densities however few draws there
// are of what moves slowly (the diagonal that nutpie learns, too). It is learned anew in
// windows, each half as long again as the one before.
class Scales {
 public:
  Scales(Eigen::Index dims, std::size_t warmup)
      : scale(VectorXd::Ones(dims)), until_(static_cast<std::size_t>(kShare * warmup)) {
    restart();
  }

  VectorXd scale;

  // Takes a draw of the warm-up and its gradient; returns whether the scales are new.
  bool take(std::size_t iteration, const VectorXd& eta, const VectorXd& gradient) {
    if (iteration >= until_) {
      return false;
    }
    draws_.add(eta);
    gradients_.add(gradient);
    if (iteration + 1 != end_) {
      return false;
    }
    learn();
    length_ = length_ + length_ / 2;
    end_ += length_;
    if (end_ + length_ + length_ / 2 > until_) {
      end_ = until_;
    }
    restart();
    return true;
  }

 private:
  static constexpr double kShare = 0.75;  // of the warm-up; the rest is the step size's
  static constexpr double kOwn = 5.0;     // draws that the scales so far count as
  static constexpr double kLeast = 1e-100;

  void restart() {
    draws_.reset(scale.size());
    gradients_.reset(scale.size());
  }

  // A parameter that did not move, or whose gradient did not, keeps its scale.
  void learn() {
    const ArrayXd draws = draws_.variance(), gradients = gradients_.variance();
    const double n = draws_.count();
    for (Eigen::Index i = 0; i < scale.size(); ++i) {
      if (draws[i] > kLeast && gradients[i] > kLeast) {
        const double found = 0.25 * (std::log(draws[i]) - std::log(gradients[i]));
        scale[i] = std::exp((n * found + kOwn * std::log(scale[i])) / (n + kOwn));
      }
    }
  }

  Moments draws_, gradients_;
  std::size_t until_, length_ = 10, end_ = 10;
};

// The step size at which the acceptance is the one aimed at, by stochastic approximation
// with averaging (Polyak and Juditsky 1992, SIAM Journal on Control and Optimization 30(4)).
class StepSize {
 public:
  explicit StepSize(double acceptance) : acceptance_(acceptance) {}

  void restart(double size) {
    log_size_ = std::log(size);
    mean_ = count_ = 0.0;
  }

  void take(double acceptance) {
    count_ += 1.0;
    log_size_ += (acceptance - acceptance_) / std::sqrt(count_);
    mean_ += (log_size_ - mean_) * std::min(1.0, 2.0 / count_);
  }

  // Ends the learning with the mean, in which later ones count more.
  void settle() {
    if (count_ > 0.0) {
      log_size_ = mean_;
    }
  }

  double size() const { return std::exp(log_size_); }

 private:
  double acceptance_, log_size_ = 0.0, mean_ = 0.0, count_ = 0.0;
};

// How long a trajectory is, in units of the scales. Trajectories have half, once or twice
// the length, at random. The three are compared by how far they move the log density and
// the distance from the centre, squared, for each gradient (Hoffman, Radul and Sountsov
// 2021, AISTATS, for the second).
class Length {
 public:
  static constexpr std::size_t kTrials = 3;

  explicit Length(Eigen::Index dims) : value_(std::sqrt(static_cast<double>(dims))) {
    least_ = 0.1 * value_;
    most_ = 20.0 * value_;
  }

  double value() const { return value_; }
  double tried(std::size_t choice) const { return factors()[choice] * value_; }

  // Takes a trajectory of the warm-up, from `before` to `after`.
  void take(std::size_t choice, double gradients, const Phase& after, const Phase& before,
            const VectorXd& scale) {
    if (centre_.size() == 0) {
      centre_ = before.eta;
    }
    Trial& trial = trials_[choice];
    const double radius = radius_of(after.eta, scale) - radius_of(before.eta, scale);
    trial.gradients += gradients;
    trial.density += std::pow(after.log_p - before.log_p, 2);
    trial.radius += radius * radius;
  }

  // Moves towards the best of the three.
  void choose(const VectorXd& centre) {
    std::array<double, kTrials> found{};
    for (std::size_t k = 0; k < kTrials; ++k) {
      const Trial& one = trials_[k];
      found[k] = one.gradients > 0.0 ? std::sqrt(one.density * one.radius) / one.gradients : 0.0;
    }
    const auto best = std::max_element(found.begin(), found.end()) - found.begin();
    if (found[static_cast<std::size_t>(best)] > 0.0) {
      const double factor = best == 0 ? 1.0 / 1.5 : best == 1 ? 1.0 : 1.5;
      value_ = std::min(std::max(factor * value_, least_), most_);
    }
    trials_ = {};
    centre_ = centre;
  }

 private:
  struct Trial {
    double gradients = 0.0, density = 0.0, radius = 0.0;
  };

  static std::array<double, kTrials> factors() { return {{0.5, 1.0, 2.0}}; }

  double radius_of(const VectorXd& eta, const VectorXd& scale) const {
    return (eta - centre_).cwiseQuotient(scale).squaredNorm();
  }

  double value_, least_, most_;
  std::array<Trial, kTrials> trials_{};
  VectorXd centre_;
};

}  // namespace manymodes

#endif
