// Compiled together with one model (BRIDGE_MODEL is its C++ from stanc, in quotes), because
// forward-over-reverse types need the model's own templates and not the virtual functions.

#include <stan/math/mix.hpp>

#include BRIDGE_MODEL

#include "second_order.hpp"

namespace {

using stan::math::fvar;
using stan::math::var;

/** One forward tangent along `v`, one reverse sweep: the density and H v. */
double hessian_times(const bs_model& model, bool propto, bool jacobian, const double* theta,
                     const double* v, double* hv) {
  const auto& program = static_cast<const stan_model&>(model.stan_model());
  const Eigen::Index n = model.unconstrained_size();
  bridge::evaluation call;
  Eigen::Matrix<fvar<var>, Eigen::Dynamic, 1> point(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    point.coeffRef(i) = fvar<var>(theta[i], v[i]);
  }
  fvar<var> lp;
  if (propto) {
    lp = jacobian ? program.template log_prob<true, true>(point, call.prints)
                  : program.template log_prob<true, false>(point, call.prints);
  } else {
    lp = jacobian ? program.template log_prob<false, true>(point, call.prints)
                  : program.template log_prob<false, false>(point, call.prints);
  }
  lp.d_.grad();
  for (Eigen::Index i = 0; i < n; ++i) {
    hv[i] = point.coeff(i).val_.adj();
  }
  return lp.val_.val();
}

}  // namespace

double bridge::hessian(const bs_model& model, bool propto, bool jacobian, const double* theta,
                       double* grad, double* hess) {
  const Eigen::Index n = model.unconstrained_size();
  const double lp = model.gradient(propto, jacobian, theta, grad);
  Eigen::MatrixXd columns(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const Eigen::VectorXd unit = Eigen::VectorXd::Unit(n, i);
    hessian_times(model, propto, jacobian, theta, unit.data(), columns.col(i).data());
  }
  Eigen::Map<Eigen::MatrixXd>(hess, n, n) = 0.5 * (columns + columns.transpose());
  return lp;
}

double bridge::hessian_vector_product(const bs_model& model, bool propto, bool jacobian,
                                      const double* theta, const double* v, double* hvp) {
  return hessian_times(model, propto, jacobian, theta, v, hvp);
}
