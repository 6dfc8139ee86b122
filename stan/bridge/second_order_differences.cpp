#include "second_order.hpp"

#include <limits>

namespace {

using Eigen::VectorXd;

/** A step of eps^(1/4): truncation (h^4 / 30) and rounding (eps / h) stay below 1e-11. */
const double relative_step = std::pow(std::numeric_limits<double>::epsilon(), 0.25);

double scale(double x) { return std::max(1.0, std::fabs(x)); }

/**
 * Derivative of the gradient along `direction`: a five-point stencil of step `h`. Opposite points
 * are subtracted first, so that what the step does not change comes out as zero.
 */
void difference(const bs_model& model, bool propto, bool jacobian,
                const Eigen::Map<const VectorXd>& theta, const VectorXd& direction, double h,
                Eigen::Ref<VectorXd> out) {
  VectorXd point(theta.size());
  VectorXd ahead(theta.size());
  VectorXd behind(theta.size());
  const auto across = [&](double step) {
    point = theta + step * direction;
    model.gradient(propto, jacobian, point.data(), ahead.data());
    point = theta - step * direction;
    model.gradient(propto, jacobian, point.data(), behind.data());
    ahead -= behind;
  };
  across(h);
  out = 8 * ahead;
  across(2 * h);
  out -= ahead;
  out /= 12 * h;
}

}  // namespace

double bridge::hessian(const bs_model& model, bool propto, bool jacobian, const double* theta,
                       double* grad, double* hess) {
  const Eigen::Index n = model.unconstrained_size();
  const Eigen::Map<const VectorXd> x(theta, n);
  Eigen::MatrixXd columns(n, n);
  const double lp = model.gradient(propto, jacobian, theta, grad);
  for (Eigen::Index i = 0; i < n; ++i) {
    difference(model, propto, jacobian, x, VectorXd::Unit(n, i), relative_step * scale(x[i]),
               columns.col(i));
  }
  Eigen::Map<Eigen::MatrixXd>(hess, n, n) = 0.5 * (columns + columns.transpose());
  return lp;
}

double bridge::hessian_vector_product(const bs_model& model, bool propto, bool jacobian,
                                      const double* theta, const double* v, double* hvp) {
  const Eigen::Index n = model.unconstrained_size();
  const Eigen::Map<const VectorXd> x(theta, n);
  const VectorXd direction = Eigen::Map<const VectorXd>(v, n);
  // The step that moves no coordinate by more than its own scale allows.
  double longest = 0;
  for (Eigen::Index i = 0; i < n; ++i) {
    longest = std::max(longest, std::fabs(direction[i]) / scale(x[i]));
  }
  Eigen::Map<VectorXd> out(hvp, n);
  if (longest > 0) {
    VectorXd result(n);
    difference(model, propto, jacobian, x, direction, relative_step / longest, result);
    out = result;
  } else {
    out = direction;  // zero, or NaN as in the input
  }
  return model.log_density(propto, jacobian, theta);
}
