#ifndef MANYMODES_BRIDGE_SECOND_ORDER_HPP
#define MANYMODES_BRIDGE_SECOND_ORDER_HPP

// Hessians and Hessian-vector products of a model's log density.

#include "model.hpp"

namespace bridge {

/**
 * Both return the log density. By default they take fourth-order central differences of
 * gradients, which works for every Stan function; with BRIDGESTAN_AD_HESSIAN (a make flag) they
 * use nested autodiff, which is exact but which not every function supports.
 */
double hessian(const bs_model& model, bool propto, bool jacobian, const double* theta,
               double* grad, double* hess);
double hessian_vector_product(const bs_model& model, bool propto, bool jacobian,
                              const double* theta, const double* v, double* hvp);

}  // namespace bridge

#endif
