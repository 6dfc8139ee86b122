#ifndef MANYMODES_BRIDGE_ANALYTIC_DENSITY_HPP
#define MANYMODES_BRIDGE_ANALYTIC_DENSITY_HPP

// What the user header of a program may offer: its log density and gradient without autodiff.

#include <stan/io/var_context.hpp>

#include <memory>

namespace bridge {

/** The density that a program with its data defines, in a form that knows its own gradient. */
class analytic_density {
 public:
  virtual ~analytic_density() = default;

  /** Size of the unconstrained vector. */
  virtual long size() const = 0;

  /**
   * The log density of an unconstrained vector with the Jacobian and all constants; the program
   * drops none for propto. `grad`, if it is not null, becomes the gradient. The value is not finite
   * where the program may have something to say: then the program itself is asked. May be called
   * from several threads at once.
   */
  virtual double evaluate(const double* theta, double* grad) const = 0;
};

}  // namespace bridge

/** The density of the program with these data, which it has taken; null if there is none. */
std::unique_ptr<bridge::analytic_density> new_analytic_density(const stan::io::var_context& data);

#endif
