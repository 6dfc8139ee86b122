// The arithmetic of the network kernel for one instruction set. No include guard: network.hpp
// includes this file once for each instruction set, with
//
//   MANYMODES_SET        the name of the namespace
//   MANYMODES_TARGET      the target attribute of every function
//   MANYMODES_LANES       doubles in a vector
//   MANYMODES_UNITS       units that one pass of `affine` computes (2 vectors each in registers)
//   MANYMODES_OUTER       units, and
//   MANYMODES_INPUTS      inputs (3 or 4) of one pass of `outer`
//
// Only pointers to double and plain structs cross between namespaces: no vector type, and nothing
// of Eigen or the standard library, is compiled differently in two of them.
//
// Polynomials are summed in even and odd powers, apart: half the steps that wait for one another.
//
// Everything is laid out in panels of `panel` observations: a panel holds, unit after unit, one
// value for each of its observations. So every load is contiguous, a vector is a few observations
// of one unit, and no step needs a shuffle but the sums over observations at the end of a block.

#define MANYMODES_INLINE static inline __attribute__((always_inline)) MANYMODES_TARGET
#define MANYMODES_FUNCTION static __attribute__((noinline)) MANYMODES_TARGET

namespace manymodes {
namespace MANYMODES_SET {

constexpr int lanes = MANYMODES_LANES;

typedef double vec __attribute__((vector_size(8 * MANYMODES_LANES)));
typedef long long bits __attribute__((vector_size(8 * MANYMODES_LANES)));
typedef int ints __attribute__((vector_size(4 * MANYMODES_LANES), aligned(4), may_alias));
// What is read and written in memory, where data of Stan is aligned to 8 or 16 bytes only.
typedef double stored __attribute__((vector_size(8 * MANYMODES_LANES), aligned(8), may_alias));

MANYMODES_INLINE vec load(const double* x) { return *reinterpret_cast<const stored*>(x); }
MANYMODES_INLINE void store(double* x, vec v) { *reinterpret_cast<stored*>(x) = v; }
MANYMODES_INLINE vec all(double x) { return vec{} + x; }

// x, but at least low and at most high; NaN stays NaN. The x86 instructions give their second
// operand where one is NaN; compilers do not see that the comparisons are those instructions.
MANYMODES_INLINE vec between(double low, vec x, double high) {
#if MANYMODES_LANES == 8
  // With a mask, since gcc 12 warns of what _mm512_min_pd itself leaves undefined.
  __m512d from_low = _mm512_mask_max_pd((__m512d)x, 0xff, (__m512d)all(low), (__m512d)x);
  return (vec)_mm512_mask_min_pd(from_low, 0xff, (__m512d)all(high), from_low);
#elif MANYMODES_LANES == 4
  return (vec)_mm256_min_pd((__m256d)all(high), _mm256_max_pd((__m256d)all(low), (__m256d)x));
#else
  x = x < low ? all(low) : x;
  return x > high ? all(high) : x;
#endif
}

MANYMODES_INLINE double sum(vec v) {
  double total = 0;
  for (int i = 0; i < lanes; ++i) {
    total += v[i];
  }
  return total;
}

// The sums of `lanes` vectors, as one vector: halves are added pair by pair.
MANYMODES_INLINE vec sums(const vec* v) {
#if MANYMODES_LANES == 8
  vec pairs[4], fours[2];
  for (int i = 0; i < 4; ++i) {
    vec a = v[2 * i], b = v[2 * i + 1];
    pairs[i] = MANYMODES_SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
               + MANYMODES_SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 2; ++i) {
    vec a = pairs[2 * i], b = pairs[2 * i + 1];
    fours[i] = MANYMODES_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
               + MANYMODES_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  return MANYMODES_SHUFFLE(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11)
         + MANYMODES_SHUFFLE(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15);
#elif MANYMODES_LANES == 4
  vec a = MANYMODES_SHUFFLE(v[0], v[1], 0, 4, 2, 6) + MANYMODES_SHUFFLE(v[0], v[1], 1, 5, 3, 7);
  vec b = MANYMODES_SHUFFLE(v[2], v[3], 0, 4, 2, 6) + MANYMODES_SHUFFLE(v[2], v[3], 1, 5, 3, 7);
  return MANYMODES_SHUFFLE(a, b, 0, 1, 4, 5) + MANYMODES_SHUFFLE(a, b, 2, 3, 6, 7);
#else
  return MANYMODES_SHUFFLE(v[0], v[1], 0, 2) + MANYMODES_SHUFFLE(v[0], v[1], 1, 3);
#endif
}

// ---- Functions: relative errors as tests/kernel/driver.cpp measures them ------------------------

// exp(x), within 2e-16 relative for -707 <= x <= 709; beyond, its value there; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), q minimax of degree 9 (4e-18).
MANYMODES_INLINE vec exponential(vec x) {
  const double magic = 6755399441055744.0; // adding it rounds to an integer, in the low bits
  x = between(-707.0, x, 709.0);
  vec shifted = x * 1.4426950408889634 + magic;
  vec n = shifted - magic;
  vec r = x - n * 6.93147180369123816490e-01; // 33 bits of ln 2: the product is exact
  r = r - n * 1.90821492927058770002e-10;
  vec z = r * r;
  vec even = z * 2.762743598186563e-07 + 2.4801501833295044e-05;
  vec odd = z * 2.498871654213527e-08 + 2.755761445856592e-06;
  even = even * z + 0.001388888893408589;
  odd = odd * z + 0.00019841269486734167;
  even = even * z + 0.04166666666657269;
  odd = odd * z + 0.008333333333496161;
  even = even * z + 0.5000000000000004;
  odd = odd * z + 0.16666666666666427;
  vec q = odd * r + even;
  q = q * r + 1.0;
  q = q * r + 1.0;
  return (vec)((bits)q + ((bits)shifted << 52));
}

// log((1 + s) / (1 - s)) = 2 s + 2 s^3 p(s^2) for |s| <= 1/3, p minimax of degree 9 (1.4e-18).
MANYMODES_INLINE vec twice_atanh(vec s) {
  vec z = s * s;
  vec y = z * z;
  vec even = y * 0.0417004938451421 + 0.06650486748228034;
  vec odd = y * 0.08509290034896586 + 0.0605304346093763;
  even = even * y + 0.09090871962283548;
  odd = odd * y + 0.07693279965147043;
  even = even * y + 0.14285714273926847;
  odd = odd * y + 0.11111111984871003;
  even = even * y + 0.33333333333333154;
  odd = odd * y + 0.20000000000078622;
  vec p = odd * z + even;
  vec twice = s + s;
  return twice * (z * p) + twice;
}

// log(1 + t), within 4.5e-16 relative for t >= 0, also where t is small; NaN stays NaN.
MANYMODES_INLINE vec log_one_plus(vec t) {
  // 1 + t = 2^n m with m in [sqrt(1/2), sqrt(2)): where n is 0, m - 1 is t itself.
  vec u = t + 1.0;
  bits n = ((bits)u - 0x3fe6a09e667f3bcdLL) >> 52;
  vec m = (vec)((bits)u - (n << 52));
  vec f = n == 0 ? t : m - 1.0;
  // n is small and not negative: in the low bits of a double it is n above 2^52.
  vec exponent = (vec)(n + 0x4330000000000000LL) - 4503599627370496.0;
  vec small = twice_atanh(f / (f + 2.0)) + exponent * 1.90821492927058770002e-10;
  return exponent * 6.93147180369123816490e-01 + small + (t - t); // NaN if t is
}

// ---- Products -----------------------------------------------------------------------------------

enum class Then { store, add, times_smooth_slope, times_relu_slope };

// A block of panels: `rows` values for each observation, of which a step uses the first ones.
struct Block {
  double* data;
  int rows;
};

// `units` outputs for each observation: bias + sum over inputs of weight times input.
//
// weights: [input][n_out], from the first of these units on; bias: likewise, or null for 0. With
// `add` the outputs are added to what is there. With `times_...` they are multiplied by the slope of
// the activation with the outputs `a`, (a - low) (1 - a), or 1 where a > 0.
template <int units, Then then>
MANYMODES_FUNCTION void affine_units(const double* from, int from_rows, int n_in, int panels,
                                     const double* weights, int n_out, const double* bias,
                                     double* to, int to_rows, const double* a, int a_rows,
                                     double low) {
  for (int p = 0; p < panels; ++p) {
    for (int v = 0; v < panel; v += 2 * lanes) {
      vec total[units][2];
      MANYMODES_UNROLL
      for (int u = 0; u < units; ++u) {
        total[u][0] = total[u][1] = all(bias ? bias[u] : 0.0);
      }
      const double* x = from + v;
      const double* w = weights;
      for (int i = 0; i < n_in; ++i, x += panel, w += n_out) {
        vec x0 = load(x), x1 = load(x + lanes);
        MANYMODES_UNROLL
        for (int u = 0; u < units; ++u) {
          total[u][0] += x0 * w[u];
          total[u][1] += x1 * w[u];
        }
      }
      MANYMODES_UNROLL
      for (int u = 0; u < units; ++u) {
        for (int half = 0; half < 2; ++half) {
          vec value = total[u][half];
          int at = u * panel + v + half * lanes;
          if (then == Then::add) {
            value += load(to + at);
          } else if (then == Then::times_smooth_slope) {
            vec out = load(a + at);
            value *= (out - low) * (1.0 - out);
          } else if (then == Then::times_relu_slope) {
            value = load(a + at) > 0.0 ? value : all(0);
          }
          store(to + at, value);
        }
      }
    }
    from += from_rows * panel;
    to += to_rows * panel;
    a += a_rows * panel;
  }
}

// `affine_units` for all units of a layer, in passes of about equal width.
template <Then then>
MANYMODES_INLINE void affine(Block from, int n_in, int panels, const double* weights, int n_out,
                             const double* bias, Block to, Block a, double low) {
  int passes = (n_out + MANYMODES_UNITS - 1) / MANYMODES_UNITS;
  for (int first = 0; passes > 0; --passes) {
    int units = (n_out - first + passes - 1) / passes;
    int at = first * panel;
    switch (units) {
#define MANYMODES_CASE(u)                                                                       \
  case u:                                                                                       \
    affine_units<(u <= MANYMODES_UNITS ? u : 1), then>(                                         \
        from.data, from.rows, n_in, panels, weights + first, n_out, bias ? bias + first : bias,  \
        to.data + at, to.rows, a.data + (then < Then::times_smooth_slope ? 0 : at), a.rows, low); \
    break;
      MANYMODES_CASE(1)
      MANYMODES_CASE(2)
      MANYMODES_CASE(3)
      MANYMODES_CASE(4)
      MANYMODES_CASE(5)
      MANYMODES_CASE(6)
      MANYMODES_CASE(7)
      MANYMODES_CASE(8)
      MANYMODES_CASE(9)
      MANYMODES_CASE(10)
      MANYMODES_CASE(11)
      MANYMODES_CASE(12)
#undef MANYMODES_CASE
    }
    first += units;
  }
}

// to[i][u] += sum over observations of delta_u times input_i, for a tile of units and inputs.
template <int units, int inputs>
MANYMODES_FUNCTION void outer_tile(const double* delta, int delta_rows, const double* input,
                                   int input_rows, int panels, double* to, int n_out) {
  constexpr int tile = units * inputs, padded = (tile + lanes - 1) / lanes * lanes;
  vec total[padded] = {};
  for (int p = 0; p < panels; ++p) {
    for (int v = 0; v < panel; v += lanes) {
      vec x[inputs];
      MANYMODES_UNROLL
      for (int i = 0; i < inputs; ++i) {
        x[i] = load(input + i * panel + v);
      }
      MANYMODES_UNROLL
      for (int u = 0; u < units; ++u) {
        vec d = load(delta + u * panel + v);
        MANYMODES_UNROLL
        for (int i = 0; i < inputs; ++i) {
          total[i * units + u] += d * x[i];
        }
      }
    }
    delta += delta_rows * panel;
    input += input_rows * panel;
  }
  double flat[padded];
  MANYMODES_UNROLL
  for (int k = 0; k < padded; k += lanes) {
    store(flat + k, sums(total + k));
  }
  for (int i = 0; i < inputs; ++i) {
    for (int u = 0; u < units; ++u) {
      to[i * n_out + u] += flat[i * units + u];
    }
  }
}

template <int inputs>
MANYMODES_INLINE void outer_units(int units, const double* delta, int delta_rows,
                                  const double* input, int input_rows, int panels, double* to,
                                  int n_out) {
  switch (units) {
#define MANYMODES_CASE(u)                                                                       \
  case u:                                                                                       \
    outer_tile<(u <= MANYMODES_OUTER ? u : 1), inputs>(delta, delta_rows, input, input_rows,     \
                                                       panels, to, n_out);                      \
    break;
    MANYMODES_CASE(1)
    MANYMODES_CASE(2)
    MANYMODES_CASE(3)
    MANYMODES_CASE(4)
    MANYMODES_CASE(5)
    MANYMODES_CASE(6)
#undef MANYMODES_CASE
  }
}

// to[i][u] += sum over observations of delta_u times input_i, for all units and inputs.
MANYMODES_INLINE void outer(Block delta, int n_out, Block input, int n_in, int panels,
                            double* to) {
  for (int i = 0; i < n_in; i += MANYMODES_INPUTS) {
    const double* x = input.data + i * panel;
    int passes = (n_out + MANYMODES_OUTER - 1) / MANYMODES_OUTER;
    for (int first = 0; passes > 0; --passes) {
      int units = (n_out - first + passes - 1) / passes;
      const double* d = delta.data + first * panel;
      double* at = to + static_cast<long>(i) * n_out + first;
      switch (n_in - i < MANYMODES_INPUTS ? n_in - i : MANYMODES_INPUTS) {
        case 1:
          outer_units<1>(units, d, delta.rows, x, input.rows, panels, at, n_out);
          break;
        case 2:
          outer_units<2>(units, d, delta.rows, x, input.rows, panels, at, n_out);
          break;
        case 3:
          outer_units<3>(units, d, delta.rows, x, input.rows, panels, at, n_out);
          break;
        default:
          outer_units<MANYMODES_INPUTS>(units, d, delta.rows, x, input.rows, panels, at, n_out);
      }
      first += units;
    }
  }
}

// ---- Activations --------------------------------------------------------------------------------

// Replace what goes into the first n units of each panel by what comes out of them.
MANYMODES_FUNCTION void activate(Block z, int n, int panels, Activation activation) {
  for (int p = 0; p < panels; ++p) {
    double* at = z.data + static_cast<long>(p) * z.rows * panel;
    const double* end = at + n * panel;
    if (activation == Activation::sigmoid) {
      for (; at < end; at += lanes) {
        store(at, 1.0 / (exponential(-load(at)) + 1.0));
      }
    } else if (activation == Activation::tanh) {
      for (; at < end; at += lanes) {
        store(at, 2.0 / (exponential(load(at) * -2.0) + 1.0) - 1.0);
      }
    } else {
      for (; at < end; at += lanes) {
        vec x = load(at);
        store(at, x < 0.0 ? all(0) : x); // NaN stays NaN
      }
    }
  }
}

// ---- Likelihoods --------------------------------------------------------------------------------

MANYMODES_INLINE vec load(const int* x) {
  return __builtin_convertvector(*reinterpret_cast<const ints*>(x), vec);
}

// Targets of the observations from `row` on, in a vector; 0 beyond the last one.
template <typename Target>
MANYMODES_INLINE vec targets(const Target* y, long n, long row) {
  if (row + lanes <= n) {
    return load(y + row);
  }
  double part[lanes] = {};
  for (int i = 0; row + i < n; ++i) {
    part[i] = y[row + i];
  }
  return load(part);
}

// The log likelihoods of a vector of observations, given the outputs of the network, [unit][panel];
// with `gradient` these are replaced by the derivatives with respect to them.

// A Bernoulli log likelihood is `lower` - log(1 + e).
template <bool gradient>
MANYMODES_INLINE void bernoulli(double* eta, vec y, vec& lower, vec& e) {
  vec sign = y + y - 1.0;
  vec t = load(eta) * sign; // the logit of what was observed
  lower = t < 0.0 ? t : all(0);
  e = exponential(lower + lower - t); // exp(-|t|)
  if (gradient) {
    // 1 - (probability of what was observed), without cancellation
    store(eta, (t < 0.0 ? sign : sign * e) / (e + 1.0));
  }
}

// Sums log(1 + e): as the logarithm of a product where e is not small, so that a block of
// observations takes one logarithm. Its factors are at most 2: a block of 256 does not overflow.
struct LogProduct {
  vec product, rest;

  MANYMODES_INLINE void add(LogProduct& total, vec e) {
    auto small = e < 0.0009765625; // the series is within 1.5e-16 there, the product within 1.2e-13
    vec series = e * 0.2 - 0.25;
    series = series * e + 0.3333333333333333;
    series = series * e - 0.5;
    series = series * e + 1.0;
    total.product *= small ? all(1) : e + 1.0;
    total.rest += small ? series * e : all(0);
  }
};

template <bool gradient>
MANYMODES_INLINE vec categorical(double* eta, vec y, int classes) {
  vec largest = load(eta);
  vec which = all(1);
  for (int k = 2; k <= classes; ++k) {
    vec next = load(eta + (k - 1) * panel);
    which = next > largest ? all(k) : which;
    largest = next > largest ? next : largest;
  }
  vec observed = all(0);
  vec others = all(0); // sum of exp over all classes but the largest
  for (int k = 1; k <= classes; ++k) {
    vec distance = load(eta + (k - 1) * panel) - largest;
    vec e = exponential(distance);
    observed = y == all(k) ? distance : observed;
    others += which == all(k) ? all(0) : e;
    if (gradient) {
      store(eta + (k - 1) * panel, e);
    }
  }
  if (gradient) {
    vec scale = 1.0 / (others + 1.0);
    for (int k = 1; k <= classes; ++k) {
      vec p = load(eta + (k - 1) * panel) * scale;
      store(eta + (k - 1) * panel, (y == all(k) ? all(1) : all(0)) - p);
    }
  }
  return observed - log_one_plus(others);
}

template <bool gradient>
MANYMODES_INLINE vec normal(double* eta, vec y, double inverse_sigma) {
  vec r = (y - load(eta)) * inverse_sigma;
  if (gradient) {
    store(eta, r * inverse_sigma);
  }
  return r * r;
}

template <Likelihood kind, bool gradient>
MANYMODES_INLINE vec terms(const Network& net, long row, double* eta) {
  if (kind == Likelihood::bernoulli) {
    vec lower, e;
    bernoulli<gradient>(eta, targets(net.y_int, net.n, row), lower, e);
    return lower - twice_atanh(e / (e + 2.0));
  }
  if (kind == Likelihood::categorical) {
    return categorical<gradient>(eta, targets(net.y_int, net.n, row),
                                 net.units[net.layers]);
  }
  return normal<gradient>(eta, targets(net.y_real, net.n, row), 1 / net.sigma);
}

// The sum of the log likelihoods of a block; of squared standardised residuals for the normal one.
// With `gradient`, `eta` becomes the derivatives.
template <Likelihood kind, bool gradient>
MANYMODES_FUNCTION double likelihood(const Network& net, long first_panel, int panels, Block eta,
                                     double* pointwise) {
  vec total = all(0);
  LogProduct losses = {all(1), all(0)};
  for (int p = 0; p < panels; ++p) {
    for (int v = 0; v < panel; v += lanes) {
      long row = (first_panel + p) * panel + v;
      double* at = eta.data + static_cast<long>(p) * eta.rows * panel + v;
      bool whole = !pointwise && row + lanes <= net.n;
      if (kind == Likelihood::bernoulli && whole) {
        vec lower, e;
        bernoulli<gradient>(at, load(net.y_int + row), lower, e);
        total += lower;
        LogProduct::add(losses, e);
        continue;
      }
      vec values = terms<kind, gradient>(net, row, at);
      if (!whole) {
        double part[lanes];
        store(part, values);
        for (int i = 0; i < lanes; ++i) {
          if (row + i < net.n) {
            if (pointwise) {
              pointwise[row + i] = part[i];
            }
          } else { // only fills the panel
            part[i] = 0;
            for (int k = 0; gradient && k < eta.rows; ++k) {
              at[k * panel + i] = 0;
            }
          }
        }
        values = load(part);
      }
      total += values;
    }
  }
  double product = 1;
  for (int i = 0; i < lanes; ++i) {
    product *= losses.product[i];
  }
  return sum(total - losses.rest) - std::log(product);
}

// 1 for the observations of a vector from `row` on, 0 beyond the last one.
MANYMODES_INLINE vec present(long n, long row) {
  vec here = all(0);
  for (int i = 0; i < lanes; ++i) {
    here[i] = row + i < n;
  }
  return here;
}

// log(1 + exp(t)), and its derivative.
MANYMODES_INLINE vec softplus(vec t, vec& slope) {
  vec e = exponential(t > 0.0 ? -t : t);
  slope = (t > 0.0 ? all(1) : e) / (e + 1.0);
  return (t > 0.0 ? t : all(0)) + log_one_plus(e);
}

// The log likelihoods of a vector of observations with the outputs `eta`, [unit][panel]. With
// `gradient` these become the derivatives, and those with respect to the noise are added to
// `noise_gradient`; `here` is 0 for what only fills the panel, `constant` what real outcomes have in
// common.
template <Likelihood kind, bool gradient>
MANYMODES_INLINE vec general_terms(const Network& net, long row, double* eta, vec here,
                                   double constant, double* noise_gradient) {
  if (kind == Likelihood::poisson) {
    vec y = targets(net.y_int, net.n, row);
    vec log_mean = load(eta) + targets(net.log_exposure, net.n, row);
    vec mean = exponential(log_mean);
    if (gradient) {
      store(eta, y - mean);
    }
    return y * log_mean - mean + targets(net.constants, net.n, row);
  }
  if (kind == Likelihood::binomial) {
    vec y = targets(net.y_int, net.n, row), trials = targets(net.trials, net.n, row);
    vec t = load(eta), p;
    vec failures = softplus(t, p);
    if (gradient) {
      store(eta, y - trials * p);
    }
    return y * t - trials * failures + targets(net.constants, net.n, row);
  }
  const int n_targets = targets(net);
  vec value = all(constant);
  for (int k = 0; k < n_targets; ++k) {
    double* mean = eta + k * panel;
    vec r = targets(net.y_real + k * net.n, net.n, row) - load(mean);
    if (kind == Likelihood::heteroscedastic) {
      double* log_sd = eta + (n_targets + k) * panel;
      vec s = load(log_sd), inverse = exponential(-s);
      r *= inverse;
      value += r * r * -0.5 - s;
      if (gradient) {
        store(mean, r * inverse);
        store(log_sd, r * r - 1.0);
      }
    } else {
      const double inverse = 1 / net.noise[k];
      r *= inverse;
      vec slope = r;
      if (kind == Likelihood::student) {
        slope = r * (net.nu + 1) / (r * r + net.nu);
        value -= log_one_plus(r * r / net.nu) * ((net.nu + 1) / 2);
      } else {
        value += r * r * -0.5;
      }
      if (gradient) {
        store(mean, slope * inverse);
        noise_gradient[k] += sum((r * slope - 1.0) * here) * inverse;
      }
    }
  }
  return value;
}

// The sum of `general_terms` over a block.
template <Likelihood kind, bool gradient>
MANYMODES_FUNCTION double general_likelihood(const Network& net, long first_panel, int panels,
                                             Block eta, double* pointwise,
                                             double* noise_gradient) {
  double constant = kind == Likelihood::student ? net.nu_constant : -half_log_two_pi;
  constant *= targets(net);
  for (int k = 0; k < noise_count(net); ++k) {
    constant -= std::log(net.noise[k]);
  }
  vec total = all(0);
  for (int p = 0; p < panels; ++p) {
    for (int v = 0; v < panel; v += lanes) {
      const long row = (first_panel + p) * panel + v;
      double* at = eta.data + static_cast<long>(p) * eta.rows * panel + v;
      const bool whole = row + lanes <= net.n;
      vec here = whole ? all(1) : present(net.n, row);
      vec value = general_terms<kind, gradient>(net, row, at, here, constant, noise_gradient);
      for (int k = 0; gradient && !whole && k < eta.rows; ++k) {
        vec slope = load(at + k * panel);
        store(at + k * panel, here > 0.0 ? slope : all(0));
      }
      for (int i = 0; pointwise && i < lanes && row + i < net.n; ++i) {
        pointwise[row + i] = value[i];
      }
      total += here > 0.0 ? value : all(0);
    }
  }
  return sum(total);
}

// `noise_gradient`: what the derivatives with respect to the noise are added to, but for a normal
// likelihood of one target, whose callers know them from the sum.
template <bool gradient>
MANYMODES_INLINE double likelihood(const Network& net, long first_panel, int panels, Block eta,
                                   double* pointwise, double* noise_gradient) {
#define MANYMODES_GENERAL(kind)                                                                  \
  general_likelihood<Likelihood::kind, gradient>(net, first_panel, panels, eta, pointwise,       \
                                                 noise_gradient)
  switch (net.likelihood) {
    case Likelihood::bernoulli:
      return likelihood<Likelihood::bernoulli, gradient>(net, first_panel, panels, eta, pointwise);
    case Likelihood::categorical:
      return likelihood<Likelihood::categorical, gradient>(net, first_panel, panels, eta,
                                                           pointwise);
    case Likelihood::heteroscedastic:
      return MANYMODES_GENERAL(heteroscedastic);
    case Likelihood::student:
      return MANYMODES_GENERAL(student);
    case Likelihood::poisson:
      return MANYMODES_GENERAL(poisson);
    case Likelihood::binomial:
      return MANYMODES_GENERAL(binomial);
    case Likelihood::negative_binomial:
      return negative_binomial(net, first_panel, panels, eta.data, gradient, noise_gradient,
                               pointwise);
    default:
      return sums_squares(net)
                 ? likelihood<Likelihood::normal, gradient>(net, first_panel, panels, eta, pointwise)
                 : MANYMODES_GENERAL(normal);
  }
#undef MANYMODES_GENERAL
}

// ---- The network --------------------------------------------------------------------------------

// The sum of `likelihood` over some panels of observations; with `gradient` (else null), its
// derivatives are added to that, laid out as net.weights.
MANYMODES_FUNCTION double evaluate(const Network& net, long first_panel, long end_panel,
                                   double* scratch, double* gradient, double* pointwise) {
  int last = net.layers; // the outputs: units[0] inputs, units[1] the first hidden layer, ...
  int block_panels = panels_in_block(net, gradient != nullptr);
  Block at[max_layers + 1], delta[max_layers + 1];
  for (int l = 1; l < last; ++l) {
    at[l] = {scratch, net.units[l] + 1};
    scratch += static_cast<long>(at[l].rows) * panel * block_panels;
    for (int p = 0; gradient && p < block_panels; ++p) { // what biases are multiplied with
      for (int v = 0; v < panel; v += lanes) {
        store(at[l].data + (static_cast<long>(p) * at[l].rows + net.units[l]) * panel + v, all(1));
      }
    }
    if (gradient) {
      delta[l] = {scratch, net.units[l]};
      scratch += static_cast<long>(delta[l].rows) * panel * block_panels;
    }
  }
  delta[last] = {scratch, net.units[last]};
  double low = net.activation == Activation::tanh ? -1 : 0;
  double total = 0;
  for (long first = first_panel; first < end_panel; first += block_panels) {
    int panels = static_cast<int>(end_panel - first < block_panels ? end_panel - first
                                                                   : block_panels);
    at[0] = {const_cast<double*>(net.inputs) + first * (net.units[0] + 1) * panel,
             net.units[0] + 1};
    const double* weights = net.weights;
    for (int l = 1; l <= last; ++l) {
      int n_in = net.units[l - 1], n_out = net.units[l];
      Block to = l < last ? at[l] : delta[last];
      affine<Then::store>(at[l - 1], n_in, panels, weights, n_out,
                          weights + static_cast<long>(n_in) * n_out, to, to, low);
      if (l < last) {
        activate(to, n_out, panels, net.activation);
      }
      weights += static_cast<long>(n_in + 1) * n_out;
    }
    if (net.skip) {
      affine<Then::add>(at[0], net.units[0], panels, weights, net.units[last], nullptr,
                        delta[last], delta[last], low);
    }
    if (!gradient) {
      total += likelihood<false>(net, first, panels, delta[last], pointwise, nullptr);
      continue;
    }
    double* noise_gradient = gradient + weight_count(net);
    total += likelihood<true>(net, first, panels, delta[last], pointwise, noise_gradient);
    if (net.skip) {
      outer(delta[last], net.units[last], at[0], net.units[0], panels,
            gradient + (weights - net.weights));
    }
    const double* transposed = net.transposed_end;
    double* to = gradient + (weights - net.weights);
    for (int l = last; l >= 1; --l) {
      int n_in = net.units[l - 1], n_out = net.units[l];
      to -= static_cast<long>(n_in + 1) * n_out;
      outer(delta[l], n_out, at[l - 1], n_in + 1, panels, to);
      if (l > 1) {
        transposed -= static_cast<long>(n_in) * n_out;
        if (net.activation == Activation::relu) {
          affine<Then::times_relu_slope>(delta[l], n_out, panels, transposed, n_in, nullptr,
                                         delta[l - 1], at[l - 1], low);
        } else {
          affine<Then::times_smooth_slope>(delta[l], n_out, panels, transposed, n_in, nullptr,
                                           delta[l - 1], at[l - 1], low);
        }
      }
    }
  }
  return total;
}

} // namespace MANYMODES_SET
} // namespace manymodes

#undef MANYMODES_INLINE
#undef MANYMODES_FUNCTION
#undef MANYMODES_SET
#undef MANYMODES_TARGET
#undef MANYMODES_LANES
#undef MANYMODES_UNITS
#undef MANYMODES_OUTER
#undef MANYMODES_INPUTS
