// Stan's side of the network kernel: the functions that the .stanfunctions files of this folder
// declare, for the models of stan/models. A user header for stanc's --allow-undefined;
// MANYMODES_NAMESPACE is the model's namespace, NAME_model_namespace.
//
// The definitions, in Stan, are the files of the same names in stan/functions.
#ifndef MANYMODES_MLP_HPP
#define MANYMODES_MLP_HPP

#include <stan/model/model_header.hpp>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <limits>
#include <ostream>
#include <thread>
#include <vector>

#include "network.hpp"
#include "operands.hpp"
#include "weight_priors.hpp"

namespace manymodes {

// Threads for one likelihood: STAN_NUM_THREADS, as Stan understands it (-1: one for each core), but
// 1 if it is unset or is no such number.
inline int find_threads() {
  const char* said = std::getenv("STAN_NUM_THREADS");
  int threads = said ? std::atoi(said) : 1;
  if (threads == -1) {
    threads = static_cast<int>(std::thread::hardware_concurrency());
  }
  return threads < 1 ? 1 : threads;
}

struct Threads {
  static constexpr bool parallel = true;
  int number;

  template <typename Task>
  void operator()(int tasks, const Task& task) const {
    static tbb::task_arena arena(number);
    arena.execute([&] { tbb::parallel_for(0, tasks, task); });
  }
};

// Call `act` with what runs the slices of a likelihood: so many threads, or this one.
template <typename Do>
double on_threads(const Do& act) {
  static const int threads = find_threads();
  return threads > 1 ? act(Threads{threads}) : act(Serial{});
}

// What only the likelihoods of mlp_general.stan need; empty for others.
struct Counts {
  const std::vector<int>& trials;
  const Eigen::VectorXd& log_exposure;
  const Eigen::VectorXd& constants;
};

inline const Counts& no_counts() {
  static const std::vector<int> none;
  static const Eigen::VectorXd empty;
  static const Counts counts{none, empty, empty};
  return counts;
}

inline void check_targets(const char* function, const Network& net) {
  if (net.likelihood == Likelihood::binomial) {
    for (long i = 0; i < net.n; ++i) {
      stan::math::check_bounded(function, "y_int", net.y_int[i], 0, net.trials[i]);
    }
    return;
  }
  const int low = net.likelihood == Likelihood::categorical ? 1 : 0;
  const int high = net.likelihood == Likelihood::bernoulli     ? 1
                   : net.likelihood == Likelihood::categorical ? net.units[net.layers]
                                                               : std::numeric_limits<int>::max();
  int wrong = 0;
  for (long i = 0; i < net.n; ++i) {
    wrong |= (net.y_int[i] < low) | (net.y_int[i] > high);
  }
  if (wrong) {
    for (long i = 0; i < net.n; ++i) {
      stan::math::check_bounded(function, "y_int", net.y_int[i], low, high);
    }
  }
}

// Set what a likelihood needs besides the network, after a check of its sizes.
inline void set_outcomes(const char* function, Network& net, long n_int, long n_real,
                         const Counts& counts, double nu) {
  using stan::math::check_size_match;
  const int outputs = net.units[net.layers];
  const bool real = net.likelihood == Likelihood::normal || net.likelihood == Likelihood::student
                    || net.likelihood == Likelihood::heteroscedastic;
  const bool rates = net.likelihood == Likelihood::poisson
                     || net.likelihood == Likelihood::negative_binomial;
  if (net.likelihood == Likelihood::heteroscedastic) {
    stan::math::check_nonnegative(function, "half of the outputs", outputs % 2 ? -1 : outputs / 2);
  } else if (!real && net.likelihood != Likelihood::categorical) {
    check_size_match(function, "rows of V", outputs, "outputs of this likelihood", 1);
  }
  net.n = real ? n_real / targets(net) : n_int;
  check_size_match(function, "size of y_real", n_real, "real outcomes",
                   real ? net.n * targets(net) : 0);
  check_size_match(function, "size of y_int", n_int, "integer outcomes", real ? 0 : net.n);
  check_size_match(function, "size of log_exposure", counts.log_exposure.size(), "rates",
                   rates ? net.n : 0);
  check_size_match(function, "size of trials", counts.trials.size(), "binomial outcomes",
                   net.likelihood == Likelihood::binomial ? net.n : 0);
  check_size_match(function, "size of constants", counts.constants.size(), "counts",
                   rates || net.likelihood == Likelihood::binomial ? net.n : 0);
  net.trials = counts.trials.data();
  net.log_exposure = counts.log_exposure.data();
  net.constants = counts.constants.data();
  if (net.likelihood == Likelihood::student) {
    stan::math::check_positive_finite(function, "nu", nu);
    net.nu = nu;
    net.nu_constant = stan::math::lgamma((nu + 1) / 2) - stan::math::lgamma(nu / 2)
                      - std::log(nu * stan::math::pi()) / 2;
  }
}

// The log likelihood, or with `pointwise` that of each observation as well.
//
// Throws std::invalid_argument for sizes that do not agree, std::domain_error for a target that is
// not allowed or a likelihood that is not a finite number.
template <typename X1_t, typename Y_t, typename W_t, typename B_t, typename W_deep_t, typename V_t,
          typename C_t, typename Skip_t, typename S_t>
auto log_likelihood(const char* function, const X1_t& X1, const std::vector<int>& hidden,
                    int activation, int likelihood, const std::vector<int>& y_int,
                    const Y_t& y_real, const Counts& counts, double nu, const W_t& W,
                    const B_t& b, const W_deep_t& W_deep, const V_t& V, const C_t& c,
                    const Skip_t& S, const S_t& sigma, double* pointwise) {
  using stan::math::check_size_match;

  stan::math::check_bounded(function, "activation", activation, 1, 3);
  stan::math::check_bounded(function, "likelihood", likelihood, 1, 8);
  const int layers = static_cast<int>(hidden.size()) + 1;
  stan::math::check_bounded(function, "number of hidden layers", layers - 1, 1, max_layers - 1);
  int units[max_layers + 1];
  units[0] = static_cast<int>(X1.cols()) - 1;
  std::copy(hidden.begin(), hidden.end(), units + 1);
  units[layers] = static_cast<int>(V.rows());

  Network net;
  net.layers = layers;
  net.units = units;
  net.activation = static_cast<Activation>(activation);
  net.likelihood = static_cast<Likelihood>(likelihood);
  net.inputs = X1.data();
  net.y_int = y_int.data();
  net.y_real = y_real.data();
  net.skip = S.size() > 0;
  set_outcomes(function, net, y_int.size(), y_real.size(), counts, nu);

  long n_b = 0, n_deep = 0;
  for (int l = 1; l < layers; ++l) {
    stan::math::check_positive(function, "hidden", units[l]);
    n_b += units[l];
    n_deep += l > 1 ? static_cast<long>(units[l]) * units[l - 1] : 0;
  }
  check_size_match(function, "rows of X1", X1.rows(), "rows for the targets",
                   panels(net.n) * panel);
  check_size_match(function, "rows of W", W.rows(), "hidden[1]", units[1]);
  check_size_match(function, "columns of W", W.cols(), "inputs", units[0]);
  check_size_match(function, "size of b", b.size(), "hidden units", n_b);
  check_size_match(function, "size of W_deep", W_deep.size(), "weights of later layers", n_deep);
  check_size_match(function, "columns of V", V.cols(), "units of the last layer",
                   units[layers - 1]);
  check_size_match(function, "size of c", c.size(), "rows of V", units[layers]);
  check_size_match(function, "size of sigma", sigma.size(), "noise of this likelihood",
                   noise_count(net));
  if (net.skip) {
    check_size_match(function, "rows of S", S.rows(), "rows of V", units[layers]);
    check_size_match(function, "columns of S", S.cols(), "inputs", units[0]);
  }
  if (!y_int.empty()) {
    check_targets(function, net);
  }

  static thread_local Memory memory;
  const long n_weights = weight_count(net);
  const long size = n_weights + noise_count(net);
  double* values = memory.take(size);
  Operands<stan::return_type_t<W_t, B_t, W_deep_t, V_t, C_t, Skip_t, S_t>> operands(size, values);
  long first_b = 0, first_deep = 0;
  for (int l = 1; l <= layers; ++l) {
    const long n = static_cast<long>(units[l - 1]) * units[l];
    if (l == layers) {
      operands.add_matrix(V);
      operands.add_segment(c, 0, units[l]);
    } else {
      if (l == 1) {
        operands.add_matrix(W);
      } else {
        operands.add_segment(W_deep, first_deep, n);
        first_deep += n;
      }
      operands.add_segment(b, first_b, units[l]);
      first_b += units[l];
    }
  }
  operands.add_matrix(S);
  operands.add_segment(sigma, 0, noise_count(net));
  net.noise = values + n_weights;
  for (int k = 0; k < noise_count(net); ++k) {
    stan::math::check_positive_finite(function, "sigma", net.noise[k]);
  }
  net.sigma = noise_count(net) > 0 ? net.noise[0] : 1;
  net.weights = values;

  double* derivatives = operands.derivatives();
  const double value = on_threads(
      [&](const auto& run) { return network_sum(net, derivatives, pointwise, run); });
  stan::math::check_finite(function, "log likelihood", value);
  return operands.result(value);
}

} // namespace manymodes

// The declarations as stanc writes them: older ones declare the functions of this namespace before
// they are called, so parameters and result types have to be the same, letter by letter.
namespace MANYMODES_NAMESPACE {

inline int input_rows(const int& N, std::ostream*) {
  stan::math::check_nonnegative("input_rows", "N", N);
  return static_cast<int>(manymodes::panels(N) * manymodes::panel);
}

template <typename T0__>
Eigen::Matrix<stan::promote_args_t<stan::value_type_t<T0__>>, -1, -1> network_inputs(
    const T0__& X, std::ostream*) {
  const Eigen::MatrixXd inputs = X;
  Eigen::MatrixXd panels(manymodes::panels(X.rows()) * manymodes::panel, X.cols() + 1);
  manymodes::lay_out(inputs.data(), inputs.rows(), static_cast<int>(inputs.cols()), panels.data());
  return panels;
}

template <typename T0__, typename T5__, typename T6__, typename T7__, typename T8__, typename T9__,
          typename T10__, typename T11__>
stan::promote_args_t<stan::value_type_t<T0__>, stan::value_type_t<T5__>, stan::value_type_t<T6__>,
                     stan::value_type_t<T7__>, stan::value_type_t<T8__>,
                     stan::promote_args_t<stan::value_type_t<T9__>, stan::value_type_t<T10__>,
                                          stan::value_type_t<T11__>>>
network_log_likelihood(const T0__& X1, const std::vector<int>& hidden, const int& activation,
                       const int& likelihood, const std::vector<int>& y_int, const T5__& y_real,
                       const T6__& W, const T7__& b, const T8__& W_deep, const T9__& V,
                       const T10__& c, const T11__& sigma, std::ostream*) {
  return manymodes::log_likelihood("network_log_likelihood", X1, hidden, activation, likelihood,
                                   y_int, y_real, manymodes::no_counts(), 0, W, b, W_deep, V, c,
                                   Eigen::MatrixXd(), sigma, nullptr);
}

template <typename T0__, typename T5__, typename T6__, typename T7__, typename T8__, typename T9__,
          typename T10__, typename T11__>
Eigen::Matrix<
    stan::promote_args_t<stan::value_type_t<T0__>, stan::value_type_t<T5__>,
                         stan::value_type_t<T6__>, stan::value_type_t<T7__>,
                         stan::value_type_t<T8__>,
                         stan::promote_args_t<stan::value_type_t<T9__>, stan::value_type_t<T10__>,
                                              stan::value_type_t<T11__>>>,
    -1, 1>
network_pointwise_log_likelihood(const T0__& X1, const std::vector<int>& hidden,
                                 const int& activation, const int& likelihood,
                                 const std::vector<int>& y_int, const T5__& y_real, const T6__& W,
                                 const T7__& b, const T8__& W_deep, const T9__& V, const T10__& c,
                                 const T11__& sigma, std::ostream*) {
  Eigen::VectorXd terms(likelihood == 3 ? y_real.size() : y_int.size());
  manymodes::log_likelihood("network_pointwise_log_likelihood", X1, hidden, activation,
                            likelihood, y_int, y_real, manymodes::no_counts(), 0, W, b, W_deep, V,
                            c, Eigen::MatrixXd(), sigma, terms.data());
  return terms;
}

template <typename T0__, typename T5__, typename T7__, typename T8__, typename T10__, typename T11__,
          typename T12__, typename T13__, typename T14__, typename T15__, typename T16__>
stan::promote_args_t<stan::value_type_t<T0__>, stan::value_type_t<T5__>, stan::value_type_t<T7__>,
                     stan::value_type_t<T8__>, stan::value_type_t<T10__>,
                     stan::promote_args_t<
                         stan::value_type_t<T11__>, stan::value_type_t<T12__>,
                         stan::value_type_t<T13__>, stan::value_type_t<T14__>,
                         stan::value_type_t<T15__>,
                         stan::promote_args_t<stan::value_type_t<T16__>>>>
general_log_likelihood(
    const T0__& X1, const std::vector<int>& hidden, const int& activation, const int& likelihood,
    const std::vector<int>& y_int, const T5__& y_real, const std::vector<int>& trials,
    const T7__& log_exposure, const T8__& constants, const double& nu, const T10__& W,
    const T11__& b, const T12__& W_deep, const T13__& V, const T14__& c, const T15__& S,
    const T16__& sigma, std::ostream*) {
  return manymodes::log_likelihood("general_log_likelihood", X1, hidden, activation, likelihood,
                                   y_int, y_real, {trials, log_exposure, constants}, nu, W, b,
                                   W_deep, V, c, S, sigma, nullptr);
}

template <typename T0__, typename T5__, typename T7__, typename T8__, typename T10__, typename T11__,
          typename T12__, typename T13__, typename T14__, typename T15__, typename T16__>
Eigen::Matrix<
stan::promote_args_t<stan::value_type_t<T0__>, stan::value_type_t<T5__>, stan::value_type_t<T7__>,
                     stan::value_type_t<T8__>, stan::value_type_t<T10__>,
                     stan::promote_args_t<
                         stan::value_type_t<T11__>, stan::value_type_t<T12__>,
                         stan::value_type_t<T13__>, stan::value_type_t<T14__>,
                         stan::value_type_t<T15__>,
                         stan::promote_args_t<stan::value_type_t<T16__>>>>,
    -1, 1>
general_pointwise_log_likelihood(
    const T0__& X1, const std::vector<int>& hidden, const int& activation, const int& likelihood,
    const std::vector<int>& y_int, const T5__& y_real, const std::vector<int>& trials,
    const T7__& log_exposure, const T8__& constants, const double& nu, const T10__& W,
    const T11__& b, const T12__& W_deep, const T13__& V, const T14__& c, const T15__& S,
    const T16__& sigma, std::ostream*) {
  const bool counts = likelihood < 3 || likelihood > 5;
  Eigen::VectorXd terms(counts ? y_int.size()
                        : likelihood == 4 ? 2 * y_real.size() / V.rows()
                                          : y_real.size() / V.rows());
  manymodes::log_likelihood("general_pointwise_log_likelihood", X1, hidden, activation, likelihood,
                            y_int, y_real, {trials, log_exposure, constants}, nu, W, b, W_deep, V,
                            c, S, sigma, terms.data());
  return terms;
}

template <typename T0__, typename T1__, typename T2__, typename T3__, typename T4__>
stan::promote_args_t<stan::value_type_t<T0__>, stan::value_type_t<T1__>, stan::value_type_t<T2__>,
                     stan::value_type_t<T3__>, stan::value_type_t<T4__>>
weights_prior_kernel(const T0__& W_raw, const T1__& W_deep, const T2__& b, const T3__& V,
                     const T4__& c, const int& family, const double& raw_scale,
                     const double& scale, const double& nu, std::ostream*) {
  return manymodes::weights_prior_kernel(W_raw, W_deep, b, V, c, family, raw_scale, scale, nu);
}

} // namespace MANYMODES_NAMESPACE

#endif
