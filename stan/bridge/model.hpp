#ifndef MANYMODES_BRIDGE_MODEL_HPP
#define MANYMODES_BRIDGE_MODEL_HPP

// A Stan model behind the C interface. Functions here may throw; the C functions catch.

#include <stan/io/empty_var_context.hpp>
#include <stan/model/model_base.hpp>
#include <stan/services/util/create_rng.hpp>

#include "analytic_density.hpp"
#include "context.hpp"
#include "runtime.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

/** The factory that stanc writes at the end of every model. */
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* prints);

/** Stan's RNG, whichever this version has; stream 1 of a seed, as chain 1 of CmdStan. */
class bs_rng {
 public:
  using engine_type = decltype(stan::services::util::create_rng(0u, 0u));

  explicit bs_rng(unsigned int seed) : engine(stan::services::util::create_rng(seed, 1)) {}

  engine_type engine;
};

class bs_model {
 public:
  bs_model(const char* data, unsigned int seed) {
    build(data, seed);
    size_ = model_->num_params_r();
    if (analytic_ && static_cast<size_t>(analytic_->size()) != size_) {
      throw std::logic_error("the analytic density is one of " + std::to_string(analytic_->size())
                             + " parameters, the program one of " + std::to_string(size_));
    }
    name_ = model_->model_name();
    std::vector<std::string> names;
    model_->unconstrained_param_names(names, false, false);
    unconstrained_names_ = join(names);
    find_parameters();
  }

  const std::string& name() const { return name_; }
  const std::string& unconstrained_names() const { return unconstrained_names_; }
  const std::string& info() const { return info_.get([this] { return describe(); }); }
  size_t unconstrained_size() const { return size_; }

  const std::string& names(bool include_tp, bool include_gq) const {
    return block(include_tp, include_gq).names;
  }
  size_t size(bool include_tp, bool include_gq) const {
    return block(include_tp, include_gq).size;
  }

  double log_density(bool propto, bool jacobian, const double* theta) const;
  double gradient(bool propto, bool jacobian, const double* theta, double* grad) const;

  void constrain(bool include_tp, bool include_gq, const double* theta_unc, double* theta,
                 bs_rng* rng) const;
  void unconstrain(const double* theta, double* theta_unc) const;
  void unconstrain_json(const char* json, double* theta_unc) const;
  void initialize(const char* json, bs_rng& rng, double radius, int max_tries, bool jacobian,
                  double* theta_unc) const;

  const stan::model::model_base& stan_model() const { return *model_; }

 private:
  /** A value that is computed when it is first asked for. */
  template <typename T>
  class lazy {
   public:
    template <typename F>
    const T& get(F&& compute) const {
      std::call_once(once_, [&] { value_ = compute(); });
      return value_;
    }

   private:
    mutable std::once_flag once_;
    mutable T value_;
  };

  struct names_and_size {
    std::string names;
    size_t size = 0;
  };

  std::unique_ptr<stan::model::model_base> model_;
  std::unique_ptr<bridge::analytic_density> analytic_;  // null for most programs
  size_t size_;
  std::string name_;
  std::string unconstrained_names_;
  std::vector<bridge::parameter> parameters_;
  lazy<std::string> info_;
  std::array<lazy<names_and_size>, 4> blocks_;

  void build(const char* data, unsigned int seed) {
    const std::string text = data ? data : "";
    bridge::evaluation call;
    if (text.empty()) {
      stan::io::empty_var_context nothing;
      model_.reset(&new_model(nothing, seed, call.prints));
      return;
    }
    bridge::json_context context = bridge::read_json(text, true);
    model_.reset(&new_model(context, seed, call.prints));
    analytic_ = new_analytic_density(context);
  }

  static std::string join(const std::vector<std::string>& names) {
    std::string joined;
    for (const std::string& name : names) {
      joined += joined.empty() ? name : "," + name;
    }
    return joined;
  }

  const names_and_size& block(bool include_tp, bool include_gq) const {
    return blocks_[2 * include_tp + include_gq].get([=] {
      std::vector<std::string> names;
      model_->constrained_param_names(names, include_tp, include_gq);
      return names_and_size{join(names), names.size()};
    });
  }

  void find_parameters();
  std::string describe() const;
  bool evaluate_analytically(bool jacobian, const double* theta, double* grad, double& lp) const;
  double evaluate(bool propto, bool jacobian, const double* theta, double* grad) const;
  void read_parameters(const bridge::parameter_values& values, double* theta_unc,
                       std::ostream* prints) const;
  void validate(const stan::io::var_context& given, bool partial) const;
};

#endif
