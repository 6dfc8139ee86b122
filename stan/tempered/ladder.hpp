// The ladder of inverse temperatures: where they stand, and how many there are.

#ifndef MANYMODES_TEMPERED_LADDER_HPP
#define MANYMODES_TEMPERED_LADDER_HPP

#include <algorithm>
#include <cmath>
#include <vector>

namespace manymodes {

// Slopes of the monotone cubic through points of ascending x and y (Fritsch and Carlson
// 1980, SIAM Journal on Numerical Analysis 17, with the harmonic mean of their section 4's
// successors, Fritsch and Butland 1984).
inline std::vector<double> monotone_slopes(const std::vector<double>& x,
                                           const std::vector<double>& y) {
  const std::size_t n = x.size();
  std::vector<double> secant(n - 1), slope(n);
  for (std::size_t i = 0; i + 1 < n; ++i) {
    secant[i] = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
  }
  slope.front() = secant.front();
  slope.back() = secant.back();
  for (std::size_t i = 1; i + 1 < n; ++i) {
    const double left = x[i] - x[i - 1], right = x[i + 1] - x[i];
    const double w1 = 2.0 * right + left, w2 = right + 2.0 * left;
    const bool flat = secant[i - 1] <= 0.0 || secant[i] <= 0.0;
    slope[i] = flat ? 0.0 : (w1 + w2) / (w1 / secant[i - 1] + w2 / secant[i]);
  }
  return slope;
}

// Places `count` inverse temperatures, from 0 to 1, so that all neighbours have the same
// rejection rate of swaps: they stand at equal steps of the barrier, whose value at a
// temperature is the sum of the rejection rates below it (Syed et al. 2022, section 5.1).
inline std::vector<double> spaced(const std::vector<double>& betas,
                                  const std::vector<double>& rejection, std::size_t count) {
  std::vector<double> barrier(betas.size(), 0.0);
  for (std::size_t i = 1; i < betas.size(); ++i) {
    barrier[i] = barrier[i - 1] + std::max(rejection[i - 1], 1e-4);
  }
  const std::vector<double> slope = monotone_slopes(barrier, betas);
  std::vector<double> found(count, 0.0);
  found.back() = 1.0;
  std::size_t left = 0;
  for (std::size_t k = 1; k + 1 < count; ++k) {
    const double place = barrier.back() * static_cast<double>(k) / static_cast<double>(count - 1);
    while (left + 2 < barrier.size() && barrier[left + 1] < place) {
      ++left;
    }
    const double width = barrier[left + 1] - barrier[left];
    const double t = (place - barrier[left]) / width;
    const double rise = betas[left + 1] - betas[left];
    const double a = slope[left] * width - rise, b = rise - slope[left + 1] * width;
    const double value = betas[left] + t * rise + t * (1.0 - t) * ((1.0 - t) * a + t * b);
    found[k] = std::min(std::max(value, betas[left]), betas[left + 1]);
  }
  return found;
}

// The place of `beta` among ascending betas: that of the nearest.
inline std::size_t nearest(const std::vector<double>& betas, double beta) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < betas.size(); ++i) {
    if (std::fabs(betas[i] - beta) < std::fabs(betas[best] - beta)) {
      best = i;
    }
  }
  return best;
}

}  // namespace manymodes

#endif
