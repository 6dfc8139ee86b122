// The log likelihood of a fully connected network and its gradient, in plain C++: pointers in,
// numbers out, no Stan and no Eigen. The arithmetic is in simd.hpp, compiled here for each
// instruction set; the best one that the processor has is chosen at run time.
#ifndef MANYMODES_NETWORK_HPP
#define MANYMODES_NETWORK_HPP

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "description.hpp"
#include "likelihood.hpp"

namespace manymodes {

// Doubles of scratch memory for each panel of a block.
inline long scratch_rows(const Network& net, bool gradient) {
  long rows = net.units[net.layers];
  for (int l = 1; l < net.layers; ++l) {
    rows += (gradient ? 2 : 1) * net.units[l] + 1;
  }
  return rows;
}

// Panels that go forward and backward together: so many that they stay in the second-level cache,
// inputs included, or in the first-level one when only the value is wanted.
inline int panels_in_block(const Network& net, bool gradient) {
  constexpr long most_bytes = 640 * 1024, most_bytes_value = 24 * 1024;
  long rows = scratch_rows(net, gradient) + (gradient ? net.units[0] + 1 : 0);
  long fitting = (gradient ? most_bytes : most_bytes_value) / (rows * panel * 8);
  long fewest = gradient ? 4 : 1;
  long block = fitting < fewest ? fewest : fitting < 16 ? fitting : 16;
  return static_cast<int>(block < panels(net.n) ? block : panels(net.n));
}

} // namespace manymodes

#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 12)
#define MANYMODES_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MANYMODES_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, bits{__VA_ARGS__})
#endif
#define MANYMODES_UNROLL _Pragma("GCC unroll 32")

#define MANYMODES_SET baseline
#define MANYMODES_TARGET
#define MANYMODES_LANES 2
#define MANYMODES_UNITS 6
#define MANYMODES_OUTER 3
#define MANYMODES_INPUTS 4
#include "simd.hpp"

#if defined(__x86_64__)
#define MANYMODES_SET avx2
#define MANYMODES_TARGET __attribute__((target("avx2,fma")))
#define MANYMODES_LANES 4
#define MANYMODES_UNITS 6
#define MANYMODES_OUTER 4
#define MANYMODES_INPUTS 3
#include "simd.hpp"

#define MANYMODES_SET avx512
#define MANYMODES_TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define MANYMODES_LANES 8
#define MANYMODES_UNITS 12
#define MANYMODES_OUTER 6
#define MANYMODES_INPUTS 4
#include "simd.hpp"
#endif

#undef MANYMODES_SHUFFLE
#undef MANYMODES_UNROLL

namespace manymodes {

enum class Simd { baseline, avx2, avx512 };

// The widest instruction set of this processor; MANYMODES_SIMD=baseline or avx2 limits it.
inline Simd find_simd() {
#if defined(__x86_64__)
  const char* limit = std::getenv("MANYMODES_SIMD");
  bool baseline_only = limit && std::strcmp(limit, "baseline") == 0;
  bool avx2_only = limit && std::strcmp(limit, "avx2") == 0;
  __builtin_cpu_init();
  if (!baseline_only && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
                && __builtin_cpu_supports("avx512vl");
    return wide && !avx2_only ? Simd::avx512 : Simd::avx2;
  }
#endif
  return Simd::baseline;
}

inline Simd simd_here() {
  static const Simd found = find_simd();
  return found;
}

// Memory that a thread keeps from one evaluation to the next; it only grows.
class Memory {
 public:
  double* take(long doubles) {
    if (doubles > size_) {
      memory_.reset(); // first, so that both are never there at once
      memory_.reset(new double[doubles + 7]);
      size_ = doubles;
    }
    auto past_line = reinterpret_cast<std::uintptr_t>(memory_.get()) % 64;
    return memory_.get() + (64 - past_line) % 64 / 8; // the begin of a cache line
  }

 private:
  std::unique_ptr<double[]> memory_;
  long size_ = 0;
};

// Of the thread that calls it: for the steps of a slice, and for what slices share.
inline Memory& slice_memory() {
  static thread_local Memory memory;
  return memory;
}

inline Memory& shared_memory() {
  static thread_local Memory memory;
  return memory;
}

// One after another, on this thread.
struct Serial {
  static constexpr bool parallel = false;
  template <typename Task>
  void operator()(int tasks, const Task& task) const {
    for (int i = 0; i < tasks; ++i) {
      task(i);
    }
  }
};

// Slices of the observations whose sums are made apart, then added in their order. Their number
// depends on the data and the network alone, so the result does not depend on threads.
inline int slices(const Network& net) {
  constexpr double fewest_products = 2e6; // in a slice: 0.2 ms or so, forward and backward
  double products = 0;
  for (int l = 0; l < net.layers; ++l) {
    products += static_cast<double>(net.units[l]) * net.units[l + 1];
  }
  double fitting = products * net.n / fewest_products;
  long most = panels(net.n) < 64 ? panels(net.n) : 64;
  return fitting < 1 || most < 1 ? 1 : fitting < most ? static_cast<int>(fitting)
                                                      : static_cast<int>(most);
}

inline double evaluate(Simd simd, const Network& net, long first, long end, double* scratch,
                       double* gradient, double* pointwise) {
#if defined(__x86_64__)
  if (simd == Simd::avx512) {
    return avx512::evaluate(net, first, end, scratch, gradient, pointwise);
  }
  if (simd == Simd::avx2) {
    return avx2::evaluate(net, first, end, scratch, gradient, pointwise);
  }
#endif
  return baseline::evaluate(net, first, end, scratch, gradient, pointwise);
}

// The log likelihood in nats.
//
// gradient: if not null, becomes the derivatives with respect to the weights, as they are laid out,
//   and to the noise, as many as noise_count.
// pointwise: if not null, becomes the log likelihood of each observation.
// run(tasks, task): calls task(i) for each i below `tasks`, in any order, on any threads.
template <typename Run>
double network_sum(Network net, double* gradient, double* pointwise, const Run& run,
                   Simd simd = simd_here()) {
  const int n_slices = slices(net);
  const bool squares = sums_squares(net);
  const long n_weights = weight_count(net) + (squares ? 0 : noise_count(net)); // summed by slices
  const long n_panels = panels(net.n);
  const long n_scratch = scratch_rows(net, gradient) * panel * panels_in_block(net, gradient);
  const long n_first = static_cast<long>(net.units[0] + 1) * net.units[1]; // of the first layer
  const int copies = !gradient ? 0 : Run::parallel ? n_slices - 1 : n_slices > 1;
  double* shared = shared_memory().take((gradient ? n_weights - n_first : 0) + copies * n_weights
                                      + n_slices);
  if (gradient) {
    std::memset(gradient, 0, n_weights * sizeof(double));
    const double* matrix = net.weights + n_first;
    for (int l = 1; l < net.layers; ++l) {
      const int n_in = net.units[l], n_out = net.units[l + 1];
      for (int u = 0; u < n_out; ++u) {
        for (int i = 0; i < n_in; ++i) {
          *shared++ = matrix[static_cast<long>(i) * n_out + u];
        }
      }
      matrix += static_cast<long>(n_in + 1) * n_out;
    }
    net.transposed_end = shared;
  }
  double* sums = shared;
  double* partial = sums + n_slices; // gradients of the slices from the second on
  auto add = [&](int slice) {
    const double* from = partial + (Run::parallel ? (slice - 1) * n_weights : 0);
    for (long i = 0; i < n_weights; ++i) {
      gradient[i] += from[i];
    }
  };
  run(n_slices, [&](int slice) {
    double* to = gradient;
    if (gradient && slice > 0) {
      to = partial + (Run::parallel ? (slice - 1) * n_weights : 0);
      std::memset(to, 0, n_weights * sizeof(double));
    }
    sums[slice] = evaluate(simd, net, slice * n_panels / n_slices, (slice + 1) * n_panels / n_slices,
                           slice_memory().take(n_scratch), to, pointwise);
    if (!Run::parallel && to != gradient) {
      add(slice);
    }
  });
  double sum = 0;
  for (int slice = 0; slice < n_slices; ++slice) {
    sum += sums[slice];
    if (Run::parallel && gradient && slice > 0) {
      add(slice);
    }
  }
  if (!squares) {
    return sum;
  }
  const double constant = -std::log(net.sigma) - half_log_two_pi;
  if (gradient) {
    gradient[n_weights] = (sum - net.n) / net.sigma;
  }
  for (long i = 0; pointwise && i < net.n; ++i) {
    pointwise[i] = constant - pointwise[i] / 2;
  }
  return net.n * constant - sum / 2;
}

// Lay inputs out in panels: from [input][n] to a matrix of whole panels, `rows` = panels(n) * panel
// by inputs + 1, whose last input is 1 for an observation; what fills the last panel is 0.
inline void lay_out(const double* inputs, long n, int n_in, double* to) {
  for (long p = 0; p < panels(n); ++p) {
    for (int i = 0; i <= n_in; ++i) {
      for (long row = p * panel; row < (p + 1) * panel; ++row) {
        *to++ = row >= n ? 0 : i == n_in ? 1 : inputs[i * n + row];
      }
    }
  }
}

} // namespace manymodes

#endif
