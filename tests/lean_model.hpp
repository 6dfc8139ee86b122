// Instead of Stan's model_base_crtp, for many programs in one object file: of the sixteen log
// densities of each only the two that the tests call are compiled, a fraction of the work.
#ifndef MANYMODES_TESTS_LEAN_MODEL_HPP
#define MANYMODES_TESTS_LEAN_MODEL_HPP

#include <stan/model/model_header.hpp>
#include <stan/version.hpp>

#include <stdexcept>
#include <vector>

namespace stan {
namespace model {

#if STAN_MINOR == 27
using rng_t = boost::ecuyer1988;
#endif

template <typename M>
class lean_model : public model_base {
  using doubles = std::vector<double>;
  using vars = std::vector<math::var>;
  using integers = std::vector<int>;
  using var_vector = Eigen::Matrix<math::var, -1, 1>;

  const M& model() const { return static_cast<const M&>(*this); }

 public:
  explicit lean_model(size_t size) : model_base(size) {}

  double log_prob_jacobian(Eigen::VectorXd& theta, std::ostream* out) const override {
    return model().template log_prob<false, true>(theta, out);
  }
  math::var log_prob_jacobian(var_vector& theta, std::ostream* out) const override {
    return model().template log_prob<false, true>(theta, out);
  }
  void write_array(rng_t& rng, doubles& theta, integers& none, doubles& values, bool transformed,
                   bool generated, std::ostream* out) const override {
    model().write_array(rng, theta, none, values, transformed, generated, out);
  }

#define NEVER(result, function) \
  result function const override { throw std::logic_error("this is not compiled"); }
#define NEVER_OF_ARRAYS(density)                             \
  NEVER(double, density(doubles&, integers&, std::ostream*)) \
  NEVER(math::var, density(vars&, integers&, std::ostream*))
#define NEVER_OF_VECTORS(density)                          \
  NEVER(double, density(Eigen::VectorXd&, std::ostream*))  \
  NEVER(math::var, density(var_vector&, std::ostream*))
  NEVER_OF_ARRAYS(log_prob)
  NEVER_OF_ARRAYS(log_prob_jacobian)
  NEVER_OF_ARRAYS(log_prob_propto)
  NEVER_OF_ARRAYS(log_prob_propto_jacobian)
  NEVER_OF_VECTORS(log_prob)
  NEVER_OF_VECTORS(log_prob_propto)
  NEVER_OF_VECTORS(log_prob_propto_jacobian)
  NEVER(void, write_array(rng_t&, Eigen::VectorXd&, Eigen::VectorXd&, bool, bool, std::ostream*))
#if STAN_MINOR > 27
  NEVER(void, unconstrain_array(const Eigen::VectorXd&, Eigen::VectorXd&, std::ostream*))
  NEVER(void, unconstrain_array(const doubles&, doubles&, std::ostream*))
#endif
  NEVER(void, transform_inits(const io::var_context&, Eigen::VectorXd&, std::ostream*))
  NEVER(void, transform_inits(const io::var_context&, integers&, doubles&, std::ostream*))
#undef NEVER
#undef NEVER_OF_ARRAYS
#undef NEVER_OF_VECTORS
};

}  // namespace model
}  // namespace stan

#endif
