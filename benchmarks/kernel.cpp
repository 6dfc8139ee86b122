// What benchmarks/kernel.py times: loops over a compiled density, and what this core can do at best.
// Rates are the caller's to compute: every function does a known amount of work and returns
// something that depends on all of it.

#include <cstddef>

namespace {

using Value = int (*)(const void*, bool, bool, const double*, double*, char**);
using Gradient = int (*)(const void*, bool, bool, const double*, double*, double*, char**);

// Chains of fused multiply-adds that do not wait for one another: `chains` registers of `Vector`.
template <typename Vector, int chains>
double multiply_add(long rounds) {
  constexpr int lanes = sizeof(Vector) / sizeof(double);
  Vector sums[chains], factor, term;
  for (int lane = 0; lane < lanes; ++lane) {
    factor[lane] = 1 - 1e-3 * (lane + 1);
    term[lane] = 1e-3 * (lane + 1);
    for (int chain = 0; chain < chains; ++chain) {
      sums[chain][lane] = chain;
    }
  }
  for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 32
    for (int chain = 0; chain < chains; ++chain) {
      sums[chain] = sums[chain] * factor + term;
    }
  }
  double total = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    for (int chain = 0; chain < chains; ++chain) {
      total += sums[chain][lane];
    }
  }
  return total;
}

typedef double Wide __attribute__((vector_size(64), aligned(64)));
typedef double Narrow __attribute__((vector_size(32), aligned(32)));

}  // namespace

extern "C" {

// Evaluate `n` points `passes` times over; add values and gradients up into `sum` (1 + dims).
// Returns how many evaluations failed.
int gradients(Gradient density, const void* model, const double* points, int n, int passes,
              int dims, double* gradient, double* sum) {
  int failed = 0;
  for (int pass = 0; pass < passes; ++pass) {
    for (int i = 0; i < n; ++i) {
      double value = 0;
      failed += density(model, false, true, points + static_cast<std::ptrdiff_t>(i) * dims,
                        &value, gradient, nullptr) != 0;
      sum[0] += value;
      for (int d = 0; d < dims; ++d) {
        sum[1 + d] += gradient[d];
      }
    }
  }
  return failed;
}

// The same for values alone: `sum` has one entry.
int values(Value density, const void* model, const double* points, int n, int passes, int dims,
           double* sum) {
  int failed = 0;
  for (int pass = 0; pass < passes; ++pass) {
    for (int i = 0; i < n; ++i) {
      double value = 0;
      failed += density(model, false, true, points + static_cast<std::ptrdiff_t>(i) * dims,
                        &value, nullptr) != 0;
      sum[0] += value;
    }
  }
  return failed;
}

// 2 * 16 * 8 floating-point operations a round in registers of 512 bits, 2 * 12 * 4 in those of 256.
double multiply_add_512(long rounds) { return multiply_add<Wide, 16>(rounds); }
double multiply_add_256(long rounds) { return multiply_add<Narrow, 12>(rounds); }

// Read `n` numbers (a multiple of 64, aligned to 64 bytes) `passes` times.
double read_through(const double* numbers, long n, long passes) {
  Wide sums[8] = {};
  for (long pass = 0; pass < passes; ++pass) {
    const Wide* from = reinterpret_cast<const Wide*>(numbers);
    for (long i = 0; i < n / 8; i += 8) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        sums[j] += from[i + j];
      }
    }
  }
  double total = 0;
  for (int j = 0; j < 8; ++j) {
    for (int lane = 0; lane < 8; ++lane) {
      total += sums[j][lane];
    }
  }
  return total;
}
}
