// The negative binomial likelihood, observation by observation: its Gamma functions have loops whose
// lengths differ. Plain C++, the same on every instruction set.
#ifndef MANYMODES_LIKELIHOOD_HPP
#define MANYMODES_LIKELIHOOD_HPP

#include <cmath>

#include "description.hpp"

namespace manymodes {

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

// The log likelihood of a count with the output `eta`, the logarithm of its mean less that of its
// exposure. With `gradient` eta becomes the derivative, and that with respect to the noise is added
// to `noise_gradient`.
inline double negative_binomial(const Network& net, long row, double& eta, bool gradient,
                                double& noise_gradient) {
  const int y = net.y_int[row];
  const double log_mean = eta + net.log_exposure[row];
  const double phi = 1 / (net.noise[0] * net.noise[0]);
  double rising_slope, p;
  const double rising = log_rising(phi, y, rising_slope);
  const double growth = softplus(log_mean - std::log(phi), p); // log(1 + mean / phi)
  if (gradient) {
    eta = y - (y + phi) * p;
    noise_gradient += (rising_slope - growth + (y + phi) * p / phi) * -2 * phi / net.noise[0];
  }
  return rising + y * log_mean - (y + phi) * growth + net.constants[row];
}

// The sum over the observations of some panels; `eta`: their outputs, [panel]. With `gradient` they
// become the derivatives, 0 for what only fills a panel.
inline double negative_binomial(const Network& net, long first_panel, int panels, double* eta,
                                bool gradient, double* noise_gradient, double* pointwise) {
  double total = 0, of_noise = 0;
  for (long row = first_panel * panel; row < (first_panel + panels) * panel; ++row, ++eta) {
    if (row < net.n) {
      const double value = negative_binomial(net, row, *eta, gradient, of_noise);
      total += value;
      if (pointwise) {
        pointwise[row] = value;
      }
    } else if (gradient) {
      *eta = 0;
    }
  }
  if (gradient) {
    *noise_gradient += of_noise;
  }
  return total;
}

} // namespace manymodes

#endif
