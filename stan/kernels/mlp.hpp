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

inline void check_targets(const char* function, const Network& net) {
  const int low = net.likelihood == Likelihood::bernoulli ? 0 : 1;
  const int high = net.likelihood == Likelihood::bernoulli ? 1 : net.units[net.layers];
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

// The log likelihood, or with `pointwise` that of each observation as well.
//
// Throws std::invalid_argument for sizes that do not agree, std::domain_error for a target that is
// not allowed or a likelihood that is not a finite number.
template <typename X1_t, typename Y_t, typename W_t, typename B_t, typename W_deep_t, typename V_t,
          typename C_t, typename S_t>
auto log_likelihood(const char* function, const X1_t& X1, const std::vector<int>& hidden,
                    int activation, int likelihood, const std::vector<int>& y_int,
                    const Y_t& y_real, const W_t& W, const B_t& b, const W_deep_t& W_deep,
                    const V_t& V, const C_t& c, const S_t& sigma, double* pointwise) {
  using stan::math::check_size_match;

  stan::math::check_bounded(function, "activation", activation, 1, 3);
  stan::math::check_bounded(function, "likelihood", likelihood, 1, 3);
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
  const long normal = net.likelihood == Likelihood::normal;
  net.n = normal ? y_real.size() : y_int.size();
  net.inputs = X1.data();
  net.y_int = y_int.data();
  net.y_real = y_real.data();

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
  check_size_match(function, "size of sigma", sigma.size(), "1 with a normal likelihood, else 0",
                   normal);
  if (net.likelihood != Likelihood::categorical) {
    check_size_match(function, "rows of V", V.rows(), "outputs of this likelihood", 1L);
  }
  if (!normal) {
    check_targets(function, net);
  }

  static thread_local Memory memory;
  const long n_weights = weight_count(net);
  const long size = n_weights + normal;
  double* values = memory.take(size);
  Operands<stan::return_type_t<W_t, B_t, W_deep_t, V_t, C_t, S_t>> operands(size, values);
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
  net.sigma = 1;
  if (normal) {
    operands.add_segment(sigma, 0, 1);
    net.sigma = values[n_weights];
    stan::math::check_positive_finite(function, "sigma", net.sigma);
  }
  net.weights = values;

  double* derivatives = operands.derivatives();
  static const int threads = find_threads();
  const double value = threads > 1
                           ? network_sum(net, derivatives, pointwise, Threads{threads})
                           : network_sum(net, derivatives, pointwise, Serial{});
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
                                   y_int, y_real, W, b, W_deep, V, c, sigma, nullptr);
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
                            likelihood, y_int, y_real, W, b, W_deep, V, c, sigma, terms.data());
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
