// The likelihoods that simd.hpp does not have, observation by observation: their cost is small
// beside that of the hidden units. Plain C++, the same on every instruction set; network.hpp
// includes it.
#ifndef MANYMODES_LIKELIHOOD_HPP
#define MANYMODES_LIKELIHOOD_HPP

#include <cmath>

namespace manymodes {

constexpr double half_log_two_pi = 0.91893853320467274178;

// log(1 + exp(t)), and its derivative.
inline double softplus(double t, double& slope) {
  const double e = std::exp(t > 0 ? -t : t);
  slope = (t > 0 ? 1 : e) / (1 + e);
  return (t > 0 ? t : 0) + std::log1p(e);
}

// What Stirling's formula for log Gamma(x) lacks (to 1e-15 for x >= 16), and its derivative.
inline double stirling_rest(double x, double& slope) {
  const double r = 1 / x, s = r * r;
  slope = -s * (1 / 12.0 - s * (1 / 120.0 - s * (1 / 252.0 - s * (1 / 240.0))));
  return r * (1 / 12.0 - s * (1 / 360.0 - s * (1 / 1260.0 - s * (1 / 1680.0))));
}

// log(Gamma(phi + y) / Gamma(phi)) - y log(phi) for a count y, and its derivative with respect to
// phi. It is small where phi is large: the difference of two log Gamma would have no digits there.
inline double log_rising(double phi, int y, double& slope) {
  double sum = 0;
  slope = 0;
  int i = 0;
  for (; i < y && phi + i < 16; ++i) {
    sum += std::log1p(i / phi);
    slope += 1 / (phi + i) - 1 / phi;
  }
  if (i == y) {
    return sum;
  }
  const double low = phi + i, rest = y - i, high = low + rest;
  double slope_low, slope_high;
  const double growth = std::log1p(rest / low);
  sum += (high - 0.5) * growth - rest + stirling_rest(high, slope_high)
         - stirling_rest(low, slope_low) + rest * std::log1p(i / phi);
  slope += growth - (high - 0.5) * rest / (low * high) + slope_high - slope_low + rest / low
           - rest / phi;
  return sum;
}

// The log likelihood of an observation. eta: outputs of the network, `panel` apart; with `gradient`
// they become the derivatives, and those with respect to the noise are added to `noise_gradient`.
inline double one_observation(const Network& net, long row, double* eta, bool gradient,
                              double* noise_gradient) {
  double value = 0;
  switch (net.likelihood) {
    case Likelihood::poisson: {
      const double log_mean = eta[0] + net.log_exposure[row], mean = std::exp(log_mean);
      if (gradient) {
        eta[0] = net.y_int[row] - mean;
      }
      return net.y_int[row] * log_mean - mean + net.constants[row];
    }
    case Likelihood::negative_binomial: {
      const int y = net.y_int[row];
      const double log_mean = eta[0] + net.log_exposure[row];
      const double phi = 1 / (net.noise[0] * net.noise[0]);
      double rising_slope, p;
      const double rising = log_rising(phi, y, rising_slope);
      const double growth = softplus(log_mean - std::log(phi), p); // log(1 + mean / phi)
      if (gradient) {
        eta[0] = y - (y + phi) * p;
        noise_gradient[0] += (rising_slope - growth + (y + phi) * p / phi) * -2 * phi / net.noise[0];
      }
      return rising + y * log_mean - (y + phi) * growth + net.constants[row];
    }
    case Likelihood::binomial: {
      double p;
      const double failures = softplus(eta[0], p);
      value = net.y_int[row] * eta[0] - net.trials[row] * failures + net.constants[row];
      if (gradient) {
        eta[0] = net.y_int[row] - net.trials[row] * p;
      }
      return value;
    }
    case Likelihood::heteroscedastic: {
      const int n_targets = targets(net);
      for (int k = 0; k < n_targets; ++k) {
        double* mean = eta + k * panel;
        double* log_sd = eta + (n_targets + k) * panel;
        const double inverse = std::exp(-*log_sd);
        const double r = (net.y_real[k * net.n + row] - *mean) * inverse;
        value += -r * r / 2 - *log_sd - half_log_two_pi;
        if (gradient) {
          *mean = r * inverse;
          *log_sd = r * r - 1;
        }
      }
      return value;
    }
    default: { // normal and Student-t
      const bool student = net.likelihood == Likelihood::student;
      for (int k = 0; k < targets(net); ++k) {
        double* mean = eta + k * panel;
        const double sd = net.noise[k], r = (net.y_real[k * net.n + row] - *mean) / sd;
        const double slope = student ? (net.nu + 1) * r / (net.nu + r * r) : r;
        value += student ? net.nu_constant - (net.nu + 1) / 2 * std::log1p(r * r / net.nu)
                         : -r * r / 2 - half_log_two_pi;
        value -= std::log(sd);
        if (gradient) {
          *mean = slope / sd;
          noise_gradient[k] += (r * slope - 1) / sd;
        }
      }
      return value;
    }
  }
}

// The sum over the observations of some panels; `eta`: their outputs, [unit][panel]. With `gradient`
// they become the derivatives with respect to them, 0 for what only fills a panel.
inline double one_by_one(const Network& net, long first_panel, int panels, double* eta,
                         bool gradient, double* noise_gradient, double* pointwise) {
  const int outputs = net.units[net.layers];
  double total = 0;
  for (int p = 0; p < panels; ++p, eta += static_cast<long>(outputs) * panel) {
    for (int i = 0; i < panel; ++i) {
      const long row = (first_panel + p) * panel + i;
      if (row < net.n) {
        const double value = one_observation(net, row, eta + i, gradient, noise_gradient);
        total += value;
        if (pointwise) {
          pointwise[row] = value;
        }
      } else {
        for (int k = 0; gradient && k < outputs; ++k) {
          eta[k * panel + i] = 0;
        }
      }
    }
  }
  return total;
}

} // namespace manymodes

#endif
