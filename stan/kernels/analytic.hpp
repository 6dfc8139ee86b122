// The density of one of manymodes' own programs without autodiff, for our BridgeStan home, which
// asks for it. A user header of an unchanged program includes this file, with
//
//   MANYMODES_DENSITY     the function below that reads the program's data
//
// The program stays the definition: these functions read its data items by name after it has taken
// them, and give null for data whose density is not written here.
#ifndef MANYMODES_ANALYTIC_HPP
#define MANYMODES_ANALYTIC_HPP

#include "mlp.hpp"

#if __has_include("analytic_density.hpp")
#include "analytic_density.hpp"
#include "density.hpp"

namespace manymodes {

class AnalyticDensity : public bridge::analytic_density {
 public:
  explicit AnalyticDensity(NetworkDensity density) : density_(std::move(density)) {}

  long size() const override { return density_.size(); }

  double evaluate(const double* theta, double* grad) const override {
    return on_threads([&](const auto& run) { return density_.evaluate(theta, grad, run); });
  }

 private:
  NetworkDensity density_;
};

// Data items by name.
class Items {
 public:
  explicit Items(const stan::io::var_context& context) : context_(context) {}

  int whole(const char* name) const { return context_.vals_i(name).at(0); }
  double real(const char* name) const { return context_.vals_r(name).at(0); }
  std::vector<int> wholes(const char* name) const { return context_.vals_i(name); }
  std::vector<double> reals(const char* name) const { return context_.vals_r(name); }

 private:
  const stan::io::var_context& context_;
};

// The data that all programs have. `net` points to them; its likelihood and its layers are set.
inline NetworkDensity::Data read_network(const Items& items, Network& net) {
  NetworkDensity::Data data;
  data.units = items.wholes("hidden");
  data.units.insert(data.units.begin(), items.whole("M"));
  data.units.push_back(items.whole("K"));
  data.y_int = items.wholes("y_int");
  data.y_real = items.reals("y_real");
  net.layers = static_cast<int>(data.units.size()) - 1;
  net.units = data.units.data();
  net.activation = static_cast<Activation>(items.whole("activation"));
  net.likelihood = static_cast<Likelihood>(items.whole("likelihood"));
  net.n = items.whole("N");
  net.y_int = data.y_int.data();
  net.y_real = data.y_real.data();
  const std::vector<double> inputs = items.reals("X");
  double* panels = data.inputs.take(manymodes::panels(net.n) * panel * (data.units[0] + 1));
  lay_out(inputs.data(), net.n, data.units[0], panels);
  net.inputs = panels;
  return data;
}

using Analytic = std::unique_ptr<bridge::analytic_density>;

// Null if the likelihood does not take the outcomes: the program says so at each evaluation.
inline Analytic finish(NetworkDensity::Data data, const Network& net, std::vector<Group> groups,
                       const Scale& noise, bool prior_only) {
  if (net.layers > max_layers) {
    return nullptr;
  }
  const Eigen::VectorXd log_exposure
      = Eigen::Map<const Eigen::VectorXd>(data.log_exposure.data(), data.log_exposure.size());
  const Eigen::VectorXd constants
      = Eigen::Map<const Eigen::VectorXd>(data.constants.data(), data.constants.size());
  try {
    Network checked = net;
    set_outcomes("", checked, data.y_int.size(), data.y_real.size(),
                 {data.trials, log_exposure, constants}, net.nu);
    if (checked.n != net.n) {
      return nullptr;
    }
    if (!data.y_int.empty()) {
      check_targets("", checked);
    }
  } catch (const std::exception&) {
    return nullptr;
  }
  return Analytic(new AnalyticDensity(
      NetworkDensity(std::move(data), net, std::move(groups), noise, prior_only)));
}

// mlp.stan: one prior for all weights.
inline Analytic mlp(const Items& items) {
  Network net;
  NetworkDensity::Data data = read_network(items, net);
  const double scale = items.real("prior_scale");
  const bool ard = items.whole("ard") == 1;
  const auto family = static_cast<Family>(items.whole("prior_family"));
  if (ard && family == Family::uniform) {
    return nullptr;
  }
  std::vector<Group> groups = groups_of(net);
  for (Group& group : groups) {
    group.family = family;
    group.nu = items.real("prior_nu");
    group.scale.width = scale;
    group.centred = family != Family::uniform;
  }
  if (ard) {
    groups[0].centred = false;
    groups[0].scale.width = 1;
    groups[0].column_scale = {ScalePrior::half_student, scale, 4};
  }
  const Scale noise = {ScalePrior::half_normal, items.real("sigma_scale"), 1};
  return finish(std::move(data), net, std::move(groups), noise, items.whole("prior_only") == 1);
}

// mlp_general.stan without a constraint.
inline Analytic mlp_general(const Items& items) {
  if (items.whole("increasing") == 1 || items.whole("positive") == 1) {
    return nullptr;
  }
  Network net;
  NetworkDensity::Data data = read_network(items, net);
  net.skip = items.whole("skip") == 1;
  net.nu = items.real("noise_nu");
  net.nu_constant = Scale::student_constant(net.nu);
  data.trials = items.wholes("trials");
  data.log_exposure = items.reals("log_exposure");
  for (std::size_t i = 0; i < data.y_int.size(); ++i) {
    if (net.likelihood == Likelihood::binomial) {
      data.constants.push_back(
          stan::math::binomial_coefficient_log(data.trials.at(i), data.y_int[i]));
    } else if (!data.log_exposure.empty()) {
      data.constants.push_back(-stan::math::lgamma(data.y_int[i] + 1));
    }
  }
  net.trials = data.trials.data();
  net.log_exposure = data.log_exposure.data();
  net.constants = data.constants.data();

  std::vector<Group> groups = groups_of(net);
  const std::vector<int> family = items.wholes("family"), scale_prior = items.wholes("scale_prior"),
                         source_prior = items.wholes("source_prior"),
                         centred = items.wholes("centred");
  const std::vector<double> nu = items.reals("nu"), scale = items.reals("scale"),
                            scale_alpha = items.reals("scale_alpha"),
                            source_alpha = items.reals("source_alpha");
  for (std::size_t g = 0; g < groups.size(); ++g) {
    Group& group = groups[g];
    group.family = static_cast<Family>(family.at(g));
    group.nu = nu.at(g);
    group.centred = centred.at(g) == 1;
    group.scale = {static_cast<ScalePrior>(scale_prior.at(g)), scale.at(g), scale_alpha.at(g)};
    group.column_scale = {static_cast<ScalePrior>(source_prior.at(g)), 1, source_alpha.at(g)};
    if (group.centred && group.family == Family::uniform) {
      return nullptr; // bounds that do not move with the scale
    }
  }
  const Scale noise = {static_cast<ScalePrior>(items.whole("noise_prior")),
                       items.real("noise_scale"), items.real("noise_alpha")};
  return finish(std::move(data), net, std::move(groups), noise, items.whole("prior_only") == 1);
}

} // namespace manymodes

std::unique_ptr<bridge::analytic_density> new_analytic_density(const stan::io::var_context& data) {
  return manymodes::MANYMODES_DENSITY(manymodes::Items(data));
}

#endif
#endif
