#include "model.hpp"

#include <stan/version.hpp>

#include <boost/random/uniform_real_distribution.hpp>

#include <sstream>
#include <stdexcept>
#include <utility>

namespace {

using stan::math::var;
using stan::model::model_base;

/** Stan's four log densities, chosen at run time. */
template <typename T>
T stan_log_density(const model_base& model, bool propto, bool jacobian,
                   Eigen::Matrix<T, Eigen::Dynamic, 1>& theta, std::ostream* prints) {
  if (propto) {
    return jacobian ? model.log_prob_propto_jacobian(theta, prints)
                    : model.log_prob_propto(theta, prints);
  }
  return jacobian ? model.log_prob_jacobian(theta, prints) : model.log_prob(theta, prints);
}

/** Stan 2.30 and later can unconstrain a vector; earlier versions read it variable by variable. */
template <typename Model>
auto unconstrain_vector(const Model& model, const std::vector<double>& theta,
                        std::vector<double>& theta_unc, std::ostream* prints, int)
    -> decltype(model.unconstrain_array(theta, theta_unc, prints), true) {
  model.unconstrain_array(theta, theta_unc, prints);
  return true;
}

template <typename Model>
bool unconstrain_vector(const Model&, const std::vector<double>&, std::vector<double>&,
                        std::ostream*, long) {
  return false;
}

}  // namespace

// Of a program whose user header does not define it: the linker takes that one before a weak one.
__attribute__((weak)) std::unique_ptr<bridge::analytic_density> new_analytic_density(
    const stan::io::var_context&) {
  return nullptr;
}

double bs_model::log_density(bool propto, bool jacobian, const double* theta) const {
  double lp;
  if (evaluate_analytically(jacobian, theta, nullptr, lp)) {
    return lp;
  }
  if (propto) {  // with double parameters everything is a constant and would be dropped
    return evaluate(propto, jacobian, theta, nullptr);
  }
  bridge::evaluation call;
  call.state.point = Eigen::Map<const Eigen::VectorXd>(theta, size_);
  return stan_log_density(*model_, propto, jacobian, call.state.point, call.prints);
}

double bs_model::gradient(bool propto, bool jacobian, const double* theta, double* grad) const {
  double lp;
  if (evaluate_analytically(jacobian, theta, grad, lp)) {
    return lp;
  }
  return evaluate(propto, jacobian, theta, grad);
}

/** False if there is no analytic density, or it is not finite here: then the program is asked. */
bool bs_model::evaluate_analytically(bool jacobian, const double* theta, double* grad,
                                     double& lp) const {
  if (!analytic_ || !jacobian) {
    return false;
  }
  lp = analytic_->evaluate(theta, grad);
  double zero = lp * 0;  // NaN if a number is not finite
  for (size_t i = 0; grad && i < size_; ++i) {
    zero += grad[i] * 0;
  }
  return zero == 0;
}

double bs_model::evaluate(bool propto, bool jacobian, const double* theta, double* grad) const {
  bridge::evaluation call;
  auto& point = call.state.var_point;
  point.resize(size_);
  for (size_t i = 0; i < size_; ++i) {
    point.coeffRef(i) = var(theta[i]);
  }
  // Programs may not change their parameters, so `point` still holds them afterwards.
  var lp = stan_log_density(*model_, propto, jacobian, point, call.prints);
  if (grad) {
    lp.grad();
    for (size_t i = 0; i < size_; ++i) {
      grad[i] = point.coeff(i).adj();
    }
  }
  return lp.val();
}

void bs_model::constrain(bool include_tp, bool include_gq, const double* theta_unc,
                         double* theta, bs_rng* rng) const {
  if (include_gq && !rng) {
    throw std::invalid_argument("generated quantities need an RNG, and none was given");
  }
  static bs_rng unused_rng(0);  // Stan wants one, and draws only in generated quantities
  bridge::evaluation call;
  call.state.constrain_in.assign(theta_unc, theta_unc + size_);
  std::vector<double>& out = call.state.constrain_out;
  model_->write_array((rng ? *rng : unused_rng).engine, call.state.constrain_in,
                      call.state.no_integers, out, include_tp, include_gq, call.prints);
  if (out.size() != size(include_tp, include_gq)) {
    throw std::logic_error("the model wrote " + std::to_string(out.size()) + " values where "
                           + std::to_string(size(include_tp, include_gq)) + " were expected");
  }
  std::copy(out.begin(), out.end(), theta);
}

void bs_model::unconstrain(const double* theta, double* theta_unc) const {
  bridge::evaluation call;
  const std::vector<double> in(theta, theta + size(false, false));
  std::vector<double> out;
  if (unconstrain_vector(*model_, in, out, call.prints, 0)) {
    std::copy(out.begin(), out.end(), theta_unc);
  } else {
    read_parameters(bridge::parameter_values(parameters_, in.data()), theta_unc, call.prints);
  }
}

void bs_model::unconstrain_json(const char* json, double* theta_unc) const {
  bridge::evaluation call;
  const bridge::json_context given = bridge::read_json(json ? json : "");
  validate(given, false);
  read_parameters(bridge::parameter_values({}, nullptr, &given), theta_unc, call.prints);
}

void bs_model::initialize(const char* json, bs_rng& rng, double radius, int max_tries,
                          bool jacobian, double* theta_unc) const {
  if (!(radius >= 0) || !std::isfinite(radius)) {
    throw std::invalid_argument("init_radius must be finite and not negative");
  }
  if (max_tries < 1) {
    throw std::invalid_argument("max_tries must be at least 1");
  }
  std::unique_ptr<bridge::json_context> given;
  if (json && *json) {
    given.reset(new bridge::json_context(bridge::read_json(json)));
    validate(*given, true);
  }
  const auto is_given = [&](const bridge::parameter& p) {
    return given && given->contains_r(p.name);
  };
  const bool any = std::any_of(parameters_.begin(), parameters_.end(), is_given);
  const bool all = any && std::all_of(parameters_.begin(), parameters_.end(), is_given);

  std::vector<double> constrained(size(false, false));
  std::string problem;
  const int tries = all || radius == 0 ? 1 : max_tries;
  for (int attempt = 0; attempt < tries; ++attempt) {
    std::fill_n(theta_unc, size_, 0.0);
    if (radius > 0) {
      boost::random::uniform_real_distribution<double> uniform(-radius, radius);
      std::generate_n(theta_unc, size_, [&] { return uniform(rng.engine); });
    }
    try {
      if (any) {
        constrain(false, false, theta_unc, constrained.data(), nullptr);
        bridge::evaluation call;
        read_parameters(bridge::parameter_values(parameters_, constrained.data(), given.get()),
                        theta_unc, call.prints);
      }
      const double lp = log_density(false, jacobian, theta_unc);
      if (std::isfinite(lp)) {
        return;
      }
      problem = "the log density is " + std::to_string(lp);
    } catch (const std::domain_error& e) {  // a rejected point; other errors are final
      problem = e.what();
    }
  }
  throw std::domain_error("initialization failed after " + std::to_string(tries)
                          + (tries == 1 ? " try: " : " tries; at the last point: ") + problem);
}

void bs_model::find_parameters() {
  std::vector<std::string> names;
  std::vector<bridge::dimensions> dims;
  model_->get_param_names(names);
  model_->get_dims(dims);
  const size_t total = size(false, false);
  size_t start = 0;
  // Transformed parameters and generated quantities follow the parameters. Variables without
  // elements carry nothing to read and are left out, so that the first `total` elements suffice.
  for (size_t i = 0; i < names.size() && start < total; ++i) {
    const size_t count = bridge::element_count(dims[i]);
    if (count > 0) {
      parameters_.push_back({names[i], dims[i], start, count});
      start += count;
    }
  }
}

void bs_model::validate(const stan::io::var_context& given, bool partial) const {
  for (const bridge::parameter& p : parameters_) {
    if (!partial || given.contains_r(p.name)) {
      given.validate_dims("parameter initialization", p.name, "double", p.dims);
    }
  }
}

void bs_model::read_parameters(const bridge::parameter_values& values, double* theta_unc,
                               std::ostream* prints) const {
  std::vector<int> no_integers;
  std::vector<double> out;
  model_->transform_inits(values, no_integers, out, prints);
  if (out.size() != size_) {
    throw std::logic_error("the model read " + std::to_string(out.size()) + " values where "
                           + std::to_string(size_) + " were expected");
  }
  std::copy(out.begin(), out.end(), theta_unc);
}

std::string bs_model::describe() const {
  std::ostringstream text;
  text << "BridgeStan version: " << bs_major_version << '.' << bs_minor_version << '.'
       << bs_patch_version << " (manymodes home)\n"
       << "Stan version: " << stan::MAJOR_VERSION << '.' << stan::MINOR_VERSION << '.'
       << stan::PATCH_VERSION << "\nStan C++ Defines:\n";
  const std::pair<const char*, bool> defines[] = {
#ifdef STAN_THREADS
      {"STAN_THREADS", true},
#else
      {"STAN_THREADS", false},
#endif
#ifdef STAN_MPI
      {"STAN_MPI", true},
#else
      {"STAN_MPI", false},
#endif
#ifdef STAN_OPENCL
      {"STAN_OPENCL", true},
#else
      {"STAN_OPENCL", false},
#endif
#ifdef STAN_NO_RANGE_CHECKS
      {"STAN_NO_RANGE_CHECKS", true},
#else
      {"STAN_NO_RANGE_CHECKS", false},
#endif
#ifdef STAN_CPP_OPTIMS
      {"STAN_CPP_OPTIMS", true},
#else
      {"STAN_CPP_OPTIMS", false},
#endif
#ifdef BRIDGESTAN_AD_HESSIAN
      {"BRIDGESTAN_AD_HESSIAN", true},
#else
      {"BRIDGESTAN_AD_HESSIAN", false},
#endif
  };
  for (const auto& define : defines) {
    text << '\t' << define.first << '=' << (define.second ? "true" : "false") << '\n';
  }
  text << "Gradient: " << (analytic_ ? "analytic" : "autodiff") << "\nStan Compiler Details:\n";
  for (const std::string& detail : model_->model_compile_info()) {
    text << '\t' << detail << '\n';
  }
  return text.str();
}
