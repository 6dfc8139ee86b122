// The prior of a network's weights with its gradient.
#ifndef MANYMODES_WEIGHT_PRIORS_HPP
#define MANYMODES_WEIGHT_PRIORS_HPP

#include <cmath>

#include "network.hpp"
#include "operands.hpp"

namespace manymodes {

// Log density of n independent weights less the constant of the family (1 normal, 2 uniform,
// 3 Laplace, 4 Student-t), in nats; with `derivatives` (else null), its gradient too.
inline double prior_kernel(const double* w, long n, int family, double scale, double nu,
                           double* derivatives) {
  const double s = 1 / scale;
  const double jacobian = -n * std::log(scale);
  double sum = 0;
  if (n == 0) {
    return 0;
  }
  switch (family) {
    case 1:
      for (long i = 0; i < n; ++i) {
        sum += w[i] * w[i];
      }
      for (long i = 0; derivatives && i < n; ++i) {
        derivatives[i] = -w[i] * s * s;
      }
      return jacobian - sum * s * s / 2;
    case 2:
      for (long i = 0; derivatives && i < n; ++i) {
        derivatives[i] = 0;
      }
      return jacobian;
    case 3:
      for (long i = 0; i < n; ++i) {
        sum += std::fabs(w[i]);
      }
      for (long i = 0; derivatives && i < n; ++i) {
        derivatives[i] = w[i] > 0 ? -s : w[i] < 0 ? s : 0;
      }
      return jacobian - sum * s;
    default:
      for (long i = 0; i < n; ++i) {
        sum += std::log1p(w[i] * s * (w[i] * s) / nu);
      }
      for (long i = 0; derivatives && i < n; ++i) {
        derivatives[i] = -(nu + 1) * (w[i] * s) * s / (nu + w[i] * s * (w[i] * s));
      }
      return jacobian
             + n * (stan::math::lgamma((nu + 1) / 2) - stan::math::lgamma(nu / 2) - std::log(nu) / 2)
             - (nu + 1) / 2 * sum;
  }
}

template <typename W_t, typename W_deep_t, typename B_t, typename V_t, typename C_t>
auto weights_prior_kernel(const W_t& W_raw, const W_deep_t& W_deep, const B_t& b, const V_t& V,
                          const C_t& c, int family, double raw_scale, double scale, double nu) {
  static thread_local Memory memory;
  stan::math::check_bounded("weights_prior_kernel", "prior_family", family, 1, 4);
  const long raw = W_raw.size();
  const long size = raw + W_deep.size() + b.size() + V.size() + c.size();
  double* values = memory.take(size);
  Operands<stan::return_type_t<W_t, W_deep_t, B_t, V_t, C_t>> operands(size, values);
  operands.add_matrix(W_raw);
  operands.add_segment(W_deep, 0, W_deep.size());
  operands.add_segment(b, 0, b.size());
  operands.add_matrix(V);
  operands.add_segment(c, 0, c.size());
  double* derivatives = operands.derivatives();
  return operands.result(
      prior_kernel(values, raw, family, raw_scale, nu, derivatives)
      + prior_kernel(values + raw, size - raw, family, scale, nu,
                     derivatives ? derivatives + raw : nullptr));
}

} // namespace manymodes

#endif
