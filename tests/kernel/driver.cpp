// The kernel without Stan. As a library: one evaluation through plain C. As a program: random
// networks over everything that it can compute, in memory of exactly the size that is needed, for
// a build with sanitizers; it exits with 1 if an answer differs from one in long double, if
// threads change a bit of it, or if the forms of an evaluation disagree.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "density.hpp"
#include "network.hpp"

namespace {

using manymodes::Network;
using manymodes::Simd;
using real = long double;

struct OwnThreads {
  static constexpr bool parallel = true;

  template <typename Task>
  void operator()(int tasks, const Task& task) const {
    std::vector<std::thread> threads;
    for (int i = 0; i < tasks; ++i) {
      threads.emplace_back([&task, i] { task(i); });
    }
    for (auto& thread : threads) {
      thread.join();
    }
  }
};

template <typename T>
std::unique_ptr<T[]> exact(const std::vector<T>& values) {
  std::unique_ptr<T[]> copy(new T[values.size()]);
  std::copy(values.begin(), values.end(), copy.get());
  return copy;
}

// Value and gradient in long double, observation by observation.
real reference(const Network& net, const std::vector<double>& X, std::vector<real>& gradient) {
  const int last = net.layers, outputs = net.units[last];
  std::fill(gradient.begin(), gradient.end(), 0);
  real value = 0;
  for (long row = 0; row < net.n; ++row) {
    std::vector<std::vector<real>> a(last + 1);
    std::vector<long> begins(last + 1);
    for (int i = 0; i < net.units[0]; ++i) {
      a[0].push_back(X[i * net.n + row]);
    }
    long begin = 0;
    for (int l = 1; l <= last; ++l) {
      const int n_in = net.units[l - 1], n_out = net.units[l];
      begins[l] = begin;
      for (int u = 0; u < n_out; ++u) {
        real z = net.weights[begin + n_in * n_out + u];
        for (int i = 0; i < n_in; ++i) {
          z += net.weights[begin + i * n_out + u] * a[l - 1][i];
        }
        if (l < last) {
          z = net.activation == manymodes::Activation::sigmoid ? 1 / (1 + std::exp(-z))
              : net.activation == manymodes::Activation::tanh  ? std::tanh(z)
                                                               : std::max<real>(z, 0);
        }
        a[l].push_back(z);
      }
      begin += (n_in + 1) * n_out;
    }
    std::vector<real> delta(outputs);
    std::vector<real>& eta = a[last];
    for (int i = 0; net.skip && i < net.units[0]; ++i) {
      for (int u = 0; u < outputs; ++u) {
        eta[u] += net.weights[begin + i * outputs + u] * a[0][i];
      }
    }
    real* of_noise = gradient.data() + manymodes::weight_count(net);
    const int n_targets = manymodes::targets(net);
    const real half_log = std::log(2 * std::acos(real(-1))) / 2;
    if (net.likelihood == manymodes::Likelihood::bernoulli) {
      const real t = (2 * net.y_int[row] - 1) * eta[0];
      value += t < 0 ? t - std::log1p(std::exp(t)) : -std::log1p(std::exp(-t));
      delta[0] = (2 * net.y_int[row] - 1) / (1 + std::exp(t));
    } else if (net.likelihood == manymodes::Likelihood::categorical) {
      const real largest = *std::max_element(eta.begin(), eta.end());
      real sum = 0;
      for (real one : eta) {
        sum += std::exp(one - largest);
      }
      value += eta[net.y_int[row] - 1] - largest - std::log(sum);
      for (int k = 0; k < outputs; ++k) {
        delta[k] = (k == net.y_int[row] - 1) - std::exp(eta[k] - largest) / sum;
      }
    } else if (net.likelihood == manymodes::Likelihood::poisson) {
      const real log_mean = eta[0] + net.log_exposure[row];
      value += net.y_int[row] * log_mean - std::exp(log_mean) + net.constants[row];
      delta[0] = net.y_int[row] - std::exp(log_mean);
    } else if (net.likelihood == manymodes::Likelihood::binomial) {
      const real t = eta[0], p = 1 / (1 + std::exp(-t));
      value += net.y_int[row] * t - net.trials[row] * std::log1p(std::exp(t)) + net.constants[row];
      delta[0] = net.y_int[row] - net.trials[row] * p;
    } else if (net.likelihood == manymodes::Likelihood::negative_binomial) {
      const int y = net.y_int[row];
      const real log_mean = eta[0] + net.log_exposure[row], sigma = net.noise[0];
      const real phi = 1 / (sigma * sigma), growth = std::log1p(std::exp(log_mean) / phi);
      const real p = std::exp(log_mean) / (phi + std::exp(log_mean));
      real of_phi = (y + phi) * p / phi - growth;
      value += y * log_mean - (y + phi) * growth + net.constants[row];
      for (int i = 0; i < y; ++i) {
        value += std::log1p(i / phi);
        of_phi += 1 / (phi + i) - 1 / phi;
      }
      delta[0] = y - (y + phi) * p;
      of_noise[0] += of_phi * -2 * phi / sigma;
    } else {
      for (int k = 0; k < n_targets; ++k) {
        const bool own = net.likelihood == manymodes::Likelihood::heteroscedastic;
        const real sigma = own ? std::exp(eta[n_targets + k]) : real(net.noise[k]);
        const real r = (net.y_real[k * net.n + row] - eta[k]) / sigma, nu = net.nu;
        real slope = r;
        value -= std::log(sigma);
        if (net.likelihood == manymodes::Likelihood::student) {
          slope = (nu + 1) * r / (nu + r * r);
          value += net.nu_constant - (nu + 1) / 2 * std::log1p(r * r / nu);
        } else {
          value += -r * r / 2 - half_log;
        }
        delta[k] = slope / sigma;
        (own ? delta[n_targets + k] : of_noise[k]) += own ? r * r - 1 : (r * slope - 1) / sigma;
      }
    }
    for (int i = 0; net.skip && i < net.units[0]; ++i) {
      for (int u = 0; u < outputs; ++u) {
        gradient[begin + i * outputs + u] += delta[u] * a[0][i];
      }
    }
    for (int l = last; l >= 1; --l) {
      const int n_in = net.units[l - 1], n_out = net.units[l];
      std::vector<real> before(n_in);
      for (int u = 0; u < n_out; ++u) {
        for (int i = 0; i < n_in; ++i) {
          gradient[begins[l] + i * n_out + u] += delta[u] * a[l - 1][i];
          before[i] += delta[u] * net.weights[begins[l] + i * n_out + u];
        }
        gradient[begins[l] + n_in * n_out + u] += delta[u];
      }
      for (int i = 0; i < n_in && l > 1; ++i) {
        const real out = a[l - 1][i];
        before[i] *= net.activation == manymodes::Activation::sigmoid ? out * (1 - out)
                     : net.activation == manymodes::Activation::tanh  ? (1 - out) * (1 + out)
                                                                      : out > 0;
      }
      delta = before;
    }
  }
  return value;
}

// One random network; returns whether all is as it should be.
bool check(unsigned seed, Simd simd, long n, std::vector<int> units, int activation, int likelihood,
           bool skip = false) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const int outputs = units.back();
  const bool counts = likelihood < 3 || likelihood > 5;
  const int targets = counts ? 0 : likelihood == 4 ? outputs / 2 : outputs;
  std::vector<double> X(n * units[0]), y_real(n * targets);
  std::vector<double> log_exposure(n), constants(n), noise(outputs, 0.7);
  std::vector<int> y_int(counts ? n : 0), trials(n);
  for (auto* values : {&X, &y_real, &log_exposure, &constants}) {
    for (double& x : *values) {
      x = normal(random);
    }
  }
  for (int& t : trials) {
    t = random() % 30 + 1;
  }
  for (std::size_t i = 0; i < y_int.size(); ++i) {
    y_int[i] = likelihood == 1   ? random() % 2
               : likelihood == 2 ? random() % outputs + 1
               : likelihood == 8 ? random() % (trials[i] + 1)
                                 : random() % 60;
  }
  std::unique_ptr<double[]> panels(
      new double[manymodes::panels(n) * manymodes::panel * (units[0] + 1)]);
  manymodes::lay_out(X.data(), n, units[0], panels.get());
  const auto exact_int = exact(y_int), exact_trials = exact(trials);
  const auto exact_real = exact(y_real), exact_exposure = exact(log_exposure);
  const auto exact_constants = exact(constants);

  Network net;
  net.layers = static_cast<int>(units.size()) - 1;
  net.units = units.data();
  net.activation = static_cast<manymodes::Activation>(activation);
  net.likelihood = static_cast<manymodes::Likelihood>(likelihood);
  net.n = n;
  net.inputs = panels.get();
  net.y_int = exact_int.get();
  net.y_real = exact_real.get();
  net.sigma = 0.7;
  net.skip = skip;
  net.noise = noise.data();
  net.trials = exact_trials.get();
  net.log_exposure = exact_exposure.get();
  net.constants = exact_constants.get();
  net.nu = 3;
  net.nu_constant = -1.0008888496236017; // log(2 / (pi sqrt(3)))
  std::vector<double> weights(manymodes::weight_count(net));
  for (double& w : weights) {
    w = 0.7 * normal(random);
  }
  const auto exact_weights = exact(weights);
  net.weights = exact_weights.get();

  const long size = weights.size() + manymodes::noise_count(net);
  std::unique_ptr<double[]> gradient(new double[size]), again(new double[size]);
  std::unique_ptr<double[]> pointwise(new double[n]);
  const double value
      = manymodes::network_sum(net, gradient.get(), nullptr, manymodes::Serial{}, simd);
  const double threaded = manymodes::network_sum(net, again.get(), nullptr, OwnThreads{}, simd);
  const double alone
      = manymodes::network_sum(net, nullptr, pointwise.get(), manymodes::Serial{}, simd);
  std::vector<real> expected(size);
  const real exact_value = reference(net, X, expected);

  real scale = 1, apart = 0, sum = 0;
  for (long i = 0; i < size; ++i) {
    scale = std::max(scale, std::fabs(expected[i]));
    apart = std::max(apart, std::fabs(expected[i] - gradient[i]));
  }
  for (long i = 0; i < n; ++i) {
    sum += pointwise[i];
  }
  const real unit = 1e-13L * std::max<real>(1, std::fabs(exact_value));
  const bool right = std::fabs(value - exact_value) <= unit && std::fabs(alone - exact_value) <= unit
                     && std::fabs(sum - exact_value) <= unit && apart <= 1e-13L * scale
                     && threaded == value
                     && std::equal(again.get(), again.get() + size, gradient.get());
  if (!right) {
    std::printf("seed %u, instruction set %d, n %ld, layers %d, activation %d, likelihood %d, skip %d: "
                "value %.17g, threads %.17g, alone %.17g, sum %.17Lg, exact %.17Lg; "
                "gradient off by %.2Lg of %.2Lg\n",
                seed, static_cast<int>(simd), n, net.layers, activation, likelihood, skip, value,
                threaded, alone, sum, exact_value, apart, scale);
  }
  return right;
}

// One random network with its priors; whether the gradient of its density is that of differences,
// and the same with and without threads.
bool check_density(unsigned seed, long n, std::vector<int> units, int likelihood, bool skip) {
  using manymodes::Family;
  using manymodes::ScalePrior;
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Network net;
  manymodes::NetworkDensity::Data data;
  data.units = std::move(units);
  net.layers = static_cast<int>(data.units.size()) - 1;
  net.units = data.units.data();
  net.activation = manymodes::Activation::tanh;
  net.likelihood = static_cast<manymodes::Likelihood>(likelihood);
  net.n = n;
  net.skip = skip;
  net.nu = 3;
  for (int i = 0; i < n; ++i) {
    data.y_int.push_back(random() % 2);
    data.log_exposure.push_back(normal(random));
    data.constants.push_back(normal(random));
  }
  for (int i = 0; i < n * manymodes::targets(net); ++i) {
    data.y_real.push_back(normal(random));
  }
  std::vector<double> X(n * data.units[0]);
  for (double& x : X) {
    x = normal(random);
  }
  double* inputs = data.inputs.take(manymodes::panels(n) * manymodes::panel * (net.units[0] + 1));
  manymodes::lay_out(X.data(), n, net.units[0], inputs);
  net.inputs = inputs;
  net.y_int = data.y_int.data();
  net.y_real = data.y_real.data();
  net.log_exposure = data.log_exposure.data();
  net.constants = data.constants.data();
  std::vector<manymodes::Group> groups = manymodes::groups_of(net);
  const auto scale = [&] {
    const auto prior = static_cast<ScalePrior>(random() % 5);
    return manymodes::Scale{prior, 0.5 + random() % 3, 1.5 + random() % 3};
  };
  for (manymodes::Group& group : groups) {
    group.family = static_cast<Family>(1 + random() % 4);
    group.nu = 3;
    group.centred = group.family != Family::uniform && random() % 2;
    group.scale = scale();
    group.column_scale = scale();
    if (!group.column_scale.sampled()) {
      group.column_scale.width = 1;
    }
  }
  const manymodes::NetworkDensity density(std::move(data), net, std::move(groups), scale(),
                                          seed % 7 == 0);
  const long size = density.size();
  std::unique_ptr<double[]> theta(new double[size]), gradient(new double[size]),
      again(new double[size]);
  for (long i = 0; i < size; ++i) {
    theta[i] = 0.4 * normal(random);
  }
  const auto alone = [&] { return density.evaluate(theta.get(), nullptr, manymodes::Serial{}); };
  const double value = density.evaluate(theta.get(), gradient.get(), manymodes::Serial{});
  bool right = std::fabs(alone() - value) <= 1e-13 * std::max(1.0, std::fabs(value))
               && density.evaluate(theta.get(), again.get(), OwnThreads{}) == value
               && std::equal(again.get(), again.get() + size, gradient.get());
  for (long i = 0; i < size; ++i) {
    const double at = theta[i], step = 1e-5;
    theta[i] = at + step;
    double difference = alone();
    theta[i] = at - step;
    difference = (difference - alone()) / (2 * step);
    theta[i] = at;
    right &= std::fabs(difference - gradient[i]) <= 1e-5 * std::max(1.0, std::fabs(gradient[i]));
  }
  if (!right) {
    std::printf("seed %u: the gradient of the density is not that of its differences\n", seed);
  }
  return right;
}

// Largest relative errors of the functions, in units of 2^-53, over their ranges.
struct Worst {
  double exponential = 0, log_one_plus = 0;
};

#define MANYMODES_WORST(set, target)                                                              \
  target Worst worst_of_##set() {                                                                 \
    namespace simd = manymodes::set;                                                              \
    Worst worst;                                                                                  \
    const double unit = 1.1102230246251565e-16;                                                   \
    double x[8], t[8], exps[8], logs[8];                                                          \
    for (int k = 0; k < 400000; k += 8) {                                                         \
      for (int i = 0; i < 8; ++i) {                                                               \
        x[i] = -707 + 1416 * ((k + i) / 400000.0);                                                \
        t[i] = std::exp(-40 + 60 * ((k + i) / 400000.0));                                         \
      }                                                                                           \
      for (int i = 0; i < 8; i += simd::lanes) {                                                  \
        simd::store(exps + i, simd::exponential(simd::load(x + i)));                              \
        simd::store(logs + i, simd::log_one_plus(simd::load(t + i)));                             \
      }                                                                                           \
      for (int i = 0; i < 8; ++i) {                                                               \
        const real e = std::exp(real(x[i])), l = std::log1p(real(t[i]));                          \
        worst.exponential = std::max<double>(worst.exponential, std::fabs(exps[i] - e) / e / unit); \
        worst.log_one_plus                                                                        \
            = std::max<double>(worst.log_one_plus, std::fabs(logs[i] - l) / l / unit);            \
      }                                                                                           \
    }                                                                                             \
    return worst;                                                                                 \
  }

MANYMODES_WORST(baseline, )
#if defined(__x86_64__)
MANYMODES_WORST(avx2, __attribute__((target("avx2,fma"))))
MANYMODES_WORST(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))))
#endif

// Whether the functions are as accurate as simd.hpp says.
bool check_functions(Simd set) {
  Worst worst = worst_of_baseline();
#if defined(__x86_64__)
  worst = set == Simd::avx512 ? worst_of_avx512() : set == Simd::avx2 ? worst_of_avx2() : worst;
#endif
  std::printf("instruction set %d: exp within %.2f, log(1 + t) within %.2f units of 2^-53\n",
              static_cast<int>(set), worst.exponential, worst.log_one_plus);
  return worst.exponential * 1.12e-16 < 2e-16 && worst.log_one_plus * 1.12e-16 < 4.5e-16;
}

}  // namespace

extern "C" {

int kernel_simd_here() { return static_cast<int>(manymodes::simd_here()); }

// Inputs X are [input][n], weights as the kernel has them; `gradient` and `pointwise` may be null.
double kernel_evaluate(int simd, int layers, const int* units, int activation, int likelihood,
                       long n, const double* X, const int* y_int, const double* y_real,
                       double sigma, const double* weights, double* gradient, double* pointwise) {
  std::vector<double> panels(manymodes::panels(n) * manymodes::panel * (units[0] + 1));
  manymodes::lay_out(X, n, units[0], panels.data());
  Network net;
  net.layers = layers;
  net.units = units;
  net.activation = static_cast<manymodes::Activation>(activation);
  net.likelihood = static_cast<manymodes::Likelihood>(likelihood);
  net.n = n;
  net.inputs = panels.data();
  net.y_int = y_int;
  net.y_real = y_real;
  net.sigma = sigma;
  net.noise = &sigma;
  net.weights = weights;
  return manymodes::network_sum(net, gradient, pointwise, manymodes::Serial{},
                                static_cast<Simd>(simd));
}
}

int main() {
  const std::vector<std::vector<int>> hidden
      = {{1}, {2}, {3, 2}, {13}, {5, 7, 4}, {25, 6}, {2, 2, 2, 2}};
  int wrong = 0, all = 0;
  unsigned seed = 0;
  for (int simd = 0; simd <= static_cast<int>(manymodes::simd_here()); ++simd) {
    for (long n : {0L, 1L, 5L, 16L, 17L, 100L, 300L}) {
      for (const auto& layers : hidden) {
        for (int activation = 1; activation <= 3; ++activation) {
          for (int likelihood = 1; likelihood <= 8; ++likelihood) {
            std::vector<int> units = {static_cast<int>(1 + seed % 9)};
            units.insert(units.end(), layers.begin(), layers.end());
            const int several = 1 + seed % 5;
            units.push_back(likelihood == 4                      ? 2 * several
                            : likelihood == 2 || likelihood == 5 ? several
                                                                 : 1);
            const bool skip = seed % 3 == 0;
            wrong += !check(++seed, static_cast<Simd>(simd), n, units, activation, likelihood, skip);
            ++all;
          }
        }
      }
    }
    wrong += !check_functions(static_cast<Simd>(simd));
    // Several slices and blocks.
    wrong += !check(++seed, static_cast<Simd>(simd), 3001, {70, 20, 3}, 2, 2);
    wrong += !check(++seed, static_cast<Simd>(simd), 997, {300, 11, 1}, 1, 3);
    wrong += !check(++seed, static_cast<Simd>(simd), 3001, {70, 20, 3}, 2, 3, true);
    all += 3;
  }
  for (int likelihood : {1, 3, 4, 5, 6, 7}) {
    for (const auto& layers : hidden) {
      std::vector<int> units = {static_cast<int>(1 + seed % 4)};
      units.insert(units.end(), layers.begin(), layers.end());
      units.push_back(likelihood == 4 || likelihood == 5 ? 2 : 1);
      const bool skip = seed % 2 == 0;
      wrong += !check_density(++seed, 20, units, likelihood, skip);
      ++all;
    }
  }
  std::printf("%d of %d networks wrong\n", wrong, all);
  return wrong > 0;
}
