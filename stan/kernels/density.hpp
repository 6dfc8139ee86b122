// The log posterior density of a network and its gradient, from the unconstrained vector on: scales
// and weights, their priors, the likelihood. Plain C++: no Stan, no autodiff.
//
// What it computes is defined by stan/models/mlp.stan and mlp_general.stan (without a constraint).
// Scales are their logarithms here, so that what they multiply has itself as a derivative.
#ifndef MANYMODES_DENSITY_HPP
#define MANYMODES_DENSITY_HPP

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "network.hpp"

namespace manymodes {

enum class Family { normal = 1, uniform, laplace, student };
enum class ScalePrior { fixed, half_normal, half_cauchy, gamma_precision, half_student };

// The prior of a positive scale s.
struct Scale {
  ScalePrior prior = ScalePrior::fixed;
  double width = 1; // of the prior, or the scale if it is fixed
  double alpha = 1; // twice the shape of the Gamma, or degrees of freedom of Student-t

  bool sampled() const { return prior != ScalePrior::fixed; }

  // The part of its log density that does not depend on s; 0 if it is fixed.
  double constant() const {
    const double twice = std::log(2.0) - std::log(width);
    switch (prior) {
      case ScalePrior::half_normal:
        return twice - half_log_two_pi;
      case ScalePrior::half_cauchy:
        return twice - std::log(std::acos(-1.0));
      case ScalePrior::gamma_precision:
        return std::log(2.0) + alpha / 2 * std::log(rate()) - std::lgamma(alpha / 2);
      case ScalePrior::half_student:
        return twice + student_constant(alpha);
      default:
        return 0;
    }
  }

  // The log density of u = log s less the constant; the derivative is added to `slope`.
  double log_density(double u, double s, double& slope) const {
    const double q = s / width * (s / width);
    switch (prior) {
      case ScalePrior::half_normal:
        slope += 1 - q;
        return u - q / 2;
      case ScalePrior::half_cauchy:
        slope += 1 - 2 * q / (1 + q);
        return u - std::log1p(q);
      case ScalePrior::gamma_precision:
        slope += 2 * rate() / (s * s) - alpha;
        return -alpha * u - rate() / (s * s);
      case ScalePrior::half_student:
        slope += 1 - (alpha + 1) * q / (alpha + q);
        return u - (alpha + 1) / 2 * std::log1p(q / alpha);
      default:
        return 0;
    }
  }

  // The log density of Student-t with scale 1 at 0.
  static double student_constant(double nu) {
    return std::lgamma((nu + 1) / 2) - std::lgamma(nu / 2) - std::log(nu * std::acos(-1.0)) / 2;
  }

 private:
  double rate() const { return alpha / 2 * width * width; }
};

// Weights that share a prior. They stand in columns, one for each input or unit that they come from.
struct Group {
  int columns = 1;
  long weights = 0;
  Family family = Family::normal;
  double nu = 1;        // degrees of freedom of Student-t
  bool centred = false; // the parameters are the weights; otherwise these divided by their scale
  Scale scale;          // of all weights
  Scale column_scale;   // of those of a column besides; 1 if it is fixed
};

// Columns and weights of the groups of a network: weights of its layers up to the last hidden one,
// biases of these, weights and biases of the outputs, and weights from inputs to outputs if there are
// such.
inline std::vector<Group> groups_of(const Network& net) {
  const int hidden = net.layers - 1;
  const auto matrix = [&](int from, int to) {
    Group group;
    group.columns = net.units[from];
    group.weights = static_cast<long>(net.units[from]) * net.units[to];
    return group;
  };
  const auto biases = [&](int layer) {
    Group group;
    group.weights = net.units[layer];
    return group;
  };
  std::vector<Group> groups;
  for (int l = 1; l <= hidden; ++l) {
    groups.push_back(matrix(l - 1, l));
  }
  for (int l = 1; l <= hidden; ++l) {
    groups.push_back(biases(l));
  }
  groups.push_back(matrix(hidden, net.layers));
  groups.push_back(biases(net.layers));
  if (net.skip) {
    groups.push_back(matrix(0, net.layers));
  }
  return groups;
}

class NetworkDensity {
 public:
  // Numbers that a network points to.
  struct Data {
    std::vector<int> units, y_int, trials;
    std::vector<double> y_real, log_exposure, constants;
    Memory inputs;
  };

  // net: with its data, but for weights and noise. groups: those of `groups_of`, with their priors.
  // noise: its prior, or its value.
  NetworkDensity(Data data, const Network& net, std::vector<Group> groups, const Scale& noise,
                 bool prior_only)
      : data_(std::move(data)), net_(net), groups_(std::move(groups)), noise_(noise),
        prior_only_(prior_only) {
    constant_ = noise_.constant() * noise_count(net_);
    for (const Group& g : groups_) {
      scales_ += g.scale.sampled();
      column_scales_ += g.column_scale.sampled() ? g.columns : 0;
      constant_ += g.scale.constant() + g.column_scale.constant() * g.columns;
      const double each = g.family == Family::normal    ? -half_log_two_pi
                          : g.family == Family::laplace ? -std::log(2.0)
                          : g.family == Family::student ? Scale::student_constant(g.nu)
                                                        : 0; // see `uniform`
      constant_ += each * g.weights;
      if (g.centred && !g.scale.sampled()) {
        constant_ -= std::log(g.scale.width) * g.weights;
      }
    }
    find_places();
  }

  // Parameters: logarithms of scales and column scales, weights, logarithms of the noise.
  long size() const {
    return scales_ + column_scales_ + weight_count(net_)
           + (noise_.sampled() ? noise_count(net_) : 0);
  }

  // The log density in nats. gradient: if not null, becomes the derivatives. run: as network_sum's.
  template <typename Run>
  double evaluate(const double* theta, double* gradient, const Run& run) const {
    static thread_local Memory memory, spare;
    const long n_weights = weight_count(net_), n_noise = noise_count(net_);
    const long first_noise = size() - (noise_.sampled() ? n_noise : 0);
    double* weights = memory.take(3 * n_weights + 2 * n_noise);
    double* noise = weights + n_weights;
    double* slopes = noise + n_noise;               // of the likelihood
    double* reach = slopes + n_weights + n_noise;   // of weights with respect to parameters
    double* grad = gradient ? gradient : spare.take(size());

    std::fill_n(grad, scales_ + column_scales_, 0.0);
    double value = constant_;
    each_column([&](const Group& g, const Column& at) {
      double log_scale = 0, scale = g.scale.width;
      if (at.scale >= 0) {
        log_scale = theta[at.scale];
        scale = std::exp(log_scale);
        if (at.first) {
          value += g.scale.log_density(log_scale, scale, grad[at.scale]);
        }
      }
      if (at.column_scale >= 0) {
        const double u = theta[at.column_scale], s = std::exp(u);
        value += g.column_scale.log_density(u, s, grad[at.column_scale]);
        log_scale += u;
        scale *= s;
      }
      double of_scale = 0;
      value += prior(g, at.n, theta + at.parameter, scale, weights + at.weight, reach + at.weight,
                     grad + at.parameter, of_scale);
      if (g.centred) {
        value -= at.n * log_scale;
        add_to_scales(at, grad, of_scale - at.n);
      }
    });
    for (long k = 0; k < n_noise; ++k) {
      noise[k] = noise_.width;
      if (noise_.sampled()) {
        noise[k] = std::exp(theta[first_noise + k]);
        grad[first_noise + k] = 0;
        value += noise_.log_density(theta[first_noise + k], noise[k], grad[first_noise + k]);
      }
      if (!(noise[k] > 0) || std::isinf(noise[k])) {
        return std::numeric_limits<double>::quiet_NaN();
      }
    }
    if (prior_only_) {
      return value;
    }

    Network net = net_;
    net.weights = weights;
    net.noise = noise;
    net.sigma = n_noise > 0 ? noise[0] : 1;
    value += network_sum(net, gradient ? slopes : nullptr, nullptr, run);
    if (!gradient) {
      return value;
    }
    each_column([&](const Group& g, const Column& at) {
      double of_scale = 0;
      for (long i = 0; i < at.n; ++i) {
        gradient[at.parameter + i] += slopes[at.weight + i] * reach[at.weight + i];
      }
      if (!g.centred && (at.scale >= 0 || at.column_scale >= 0)) {
        for (long i = 0; i < at.n; ++i) {
          of_scale += slopes[at.weight + i] * weights[at.weight + i];
        }
        add_to_scales(at, gradient, of_scale);
      }
    });
    for (long k = 0; noise_.sampled() && k < n_noise; ++k) {
      gradient[first_noise + k] += slopes[n_weights + k] * noise[k];
    }
    return value;
  }

 private:
  // Where a column, or a group whose columns have one scale, stands: among the parameters, and
  // among the weights as the kernel has them. Places of scales are negative if they are fixed.
  struct Column {
    long parameter, weight, n, scale, column_scale;
    bool first; // of its group
  };

  Data data_;
  Network net_;
  std::vector<Group> groups_;
  Scale noise_;
  bool prior_only_;
  std::vector<long> places_; // of each group's first weight, as the kernel has them
  long scales_ = 0, column_scales_ = 0;
  double constant_ = 0;

  // The kernel has the biases of a layer behind its weights.
  void find_places() {
    const int hidden = net_.layers - 1;
    places_.assign(groups_.size(), 0);
    long at = 0;
    for (int l = 0; l < hidden; ++l) {
      places_[l] = at;
      places_[hidden + l] = at + groups_[l].weights;
      at += groups_[l].weights + groups_[hidden + l].weights;
    }
    for (std::size_t g = 2 * hidden; g < groups_.size(); ++g) {
      places_[g] = at;
      at += groups_[g].weights;
    }
  }

  template <typename Do>
  void each_column(const Do& act) const {
    long scale = 0, column_scale = scales_, parameter = scales_ + column_scales_;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      const Group& g = groups_[i];
      const int columns = g.column_scale.sampled() ? g.columns : 1;
      for (int c = 0; c < columns; ++c) {
        const long n = g.weights / columns;
        act(g, Column{parameter, places_[i] + c * n, n, g.scale.sampled() ? scale : -1,
                      g.column_scale.sampled() ? column_scale++ : -1, c == 0});
        parameter += n;
      }
      scale += g.scale.sampled();
    }
  }

  static void add_to_scales(const Column& at, double* grad, double slope) {
    for (long place : {at.scale, at.column_scale}) {
      if (place >= 0) {
        grad[place] += slope;
      }
    }
  }

  // The log density of n parameters of a group less its constant, with that of the bounds. They
  // have the scale 1, or `scale` if they are centred; then the derivative with respect to log(scale)
  // is added to `of_scale`, but for the -1 of each. `grad` becomes the derivatives, `w` the weights,
  // `reach` the derivatives of these.
  static double prior(const Group& g, long n, const double* theta, double scale, double* w,
                      double* reach, double* grad, double& of_scale) {
    const double inverse = g.centred ? 1 / scale : 1, factor = g.centred ? 1 : scale;
    double sum = 0;
    if (g.family == Family::uniform) {
      // u is the logit of where the parameter stands between its bounds. Where p is 1 / (1 + exp(-u)),
      // u has the density p (1 - p).
      for (long i = 0; i < n; ++i) {
        const double u = theta[i], e = std::exp(-std::fabs(u));
        const double middle = std::copysign((1 - e) / (1 + e), u);
        sum -= std::fabs(u) + 2 * std::log1p(e);
        grad[i] = -middle;
        w[i] = middle * factor;
        reach[i] = 2 * e / ((1 + e) * (1 + e)) * factor;
      }
      return sum;
    }
    for (long i = 0; i < n; ++i) {
      w[i] = theta[i] * factor;
      reach[i] = factor;
    }
    switch (g.family) {
      case Family::normal:
        for (long i = 0; i < n; ++i) {
          const double t = theta[i] * inverse;
          sum += t * t;
          grad[i] = -t * inverse;
        }
        of_scale += sum;
        return -sum / 2;
      case Family::laplace:
        for (long i = 0; i < n; ++i) {
          sum += std::fabs(theta[i]) * inverse;
          grad[i] = theta[i] > 0 ? -inverse : theta[i] < 0 ? inverse : 0;
        }
        of_scale += sum;
        return -sum;
      default:
        for (long i = 0; i < n; ++i) {
          const double t = theta[i] * inverse, slope = (g.nu + 1) * t / (g.nu + t * t);
          sum += std::log1p(t * t / g.nu);
          grad[i] = -slope * inverse;
          of_scale += slope * t;
        }
        return -(g.nu + 1) / 2 * sum;
    }
  }
};

} // namespace manymodes

#endif
