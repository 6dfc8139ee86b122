// The arithmetic of the network kernel for one instruction set. No include guard: network.hpp
// includes this file once for each instruction set, with
//
//   MANYMODES_SET        the name of the namespace
//   MANYMODES_TARGET      the target attribute of every function
//   MANYMODES_LANES       doubles in a vector
//   MANYMODES_UNITS       units that one pass of `affine` computes (2 vectors each in registers)
//   MANYMODES_OUTER       units, and
//   MANYMODES_INPUTS      inputs (4) of one pass of `outer`
//
// Only pointers to double and plain structs cross between namespaces: no vector type, and nothing
// of Eigen or the standard library, is compiled differently in two of them.
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
  return (vec)_mm512_min_pd((__m512d)all(high), _mm512_max_pd((__m512d)all(low), (__m512d)x));
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

// ---- Functions: |relative error| below 2.5 units in the last place ------------------------------

// exp(x), within 1.3e-16 relative for -707 <= x <= 709; beyond, its value there; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), q minimax of degree 9 (4e-18).
MANYMODES_INLINE vec exponential(vec x) {
  const double magic = 6755399441055744.0; // adding it rounds to an integer, in the low bits
  x = between(-707.0, x, 709.0);
  vec shifted = x * 1.4426950408889634 + magic;
  vec n = shifted - magic;
  vec r = x - n * 6.93147180369123816490e-01; // 33 bits of ln 2: the product is exact
  r = r - n * 1.90821492927058770002e-10;
  vec q = r * 2.498871654213527e-08 + 2.762743598186563e-07;
  q = q * r + 2.755761445856592e-06;
  q = q * r + 2.4801501833295044e-05;
  q = q * r + 0.00019841269486734167;
  q = q * r + 0.001388888893408589;
  q = q * r + 0.008333333333496161;
  q = q * r + 0.04166666666657269;
  q = q * r + 0.16666666666666427;
  q = q * r + 0.5000000000000004;
  q = q * r + 1.0;
  q = q * r + 1.0;
  return (vec)((bits)q + ((bits)shifted << 52));
}

// log((1 + s) / (1 - s)) = 2 s + 2 s^3 p(s^2) for |s| <= 1/3, p minimax of degree 9 (1.4e-18).
MANYMODES_INLINE vec twice_atanh(vec s) {
  vec z = s * s;
  vec p = z * 0.08509290034896586 + 0.0417004938451421;
  p = p * z + 0.0605304346093763;
  p = p * z + 0.06650486748228034;
  p = p * z + 0.07693279965147043;
  p = p * z + 0.09090871962283548;
  p = p * z + 0.11111111984871003;
  p = p * z + 0.14285714273926847;
  p = p * z + 0.20000000000078622;
  p = p * z + 0.33333333333333154;
  vec twice = s + s;
  return twice * (z * p) + twice;
}

// log(1 + t) for t >= 0, also accurate for small t; NaN stays NaN.
MANYMODES_INLINE vec log_one_plus(vec t) {
  // 1 + t = 2^n m with m in [sqrt(1/2), sqrt(2)): where n is 0, m - 1 is t itself.
  vec u = t + 1.0;
  bits n = ((bits)u - 0x3fe6a09e667f3bcdLL) >> 52;
  vec m = (vec)((bits)u - (n << 52));
  vec f = n == 0 ? t : m - 1.0;
  // n is small and not negative: in the low bits of a double it is n above 2^52.
  vec exponent = (vec)(n + 0x4330000000000000LL) - 4503599627370496.0;
  return exponent * 6.93147180369123816490e-01 + (twice_atanh(f / (f + 2.0)) +
                                       exponent * 1.90821492927058770002e-10);
}

// ---- Products -----------------------------------------------------------------------------------

enum class Then { store, times_smooth_slope, times_relu_slope };

// A block of panels: `rows` values for each observation, of which a step uses the first ones.
struct Block {
  double* data;
  int rows;
};

// `units` outputs for each observation: bias + sum over inputs of weight times input.
//
// weights: [input][n_out], from the first of these units on; bias: likewise, or null for 0. With
// `times_...` the outputs are multiplied by the slope of the activation with the outputs `a`,
// (a - low) (1 - a), or 1 where a > 0.
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
          if (then == Then::times_smooth_slope) {
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
        to.data + at, to.rows, a.data + (then == Then::store ? 0 : at), a.rows, low);           \
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
      switch (n_in - i) {
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
          outer_units<4>(units, d, delta.rows, x, input.rows, panels, at, n_out);
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

// Targets of the observations from `row` on, in a vector; 0 beyond the last one.
MANYMODES_INLINE vec targets(const Network& net, long row) {
  bool real = net.likelihood == Likelihood::normal;
  if (row + lanes <= net.n) {
    return real ? load(net.y_real + row)
                : __builtin_convertvector(*reinterpret_cast<const ints*>(net.y_int + row), vec);
  }
  vec y = {};
  for (int i = 0; row + i < net.n; ++i) {
    y[i] = real ? net.y_real[row + i] : net.y_int[row + i];
  }
  return y;
}

MANYMODES_INLINE void keep(const Network& net, long row, vec terms, double* pointwise) {
  for (int i = 0; i < lanes && row + i < net.n; ++i) {
    pointwise[row + i] = terms[i];
  }
}

// The log likelihoods of a vector of observations, given the outputs of the network, [unit][panel];
// these are replaced by the derivatives with respect to them.
MANYMODES_INLINE vec bernoulli(double* eta, vec y) {
  vec sign = y + y - 1.0;
  vec t = load(eta) * sign; // the logit of what was observed
  vec e = exponential(t < 0.0 ? t : -t);
  vec below = t < 0.0 ? t : all(0);
  // 1 - (probability of what was observed), without cancellation
  store(eta, sign * (t < 0.0 ? all(1) : e) / (e + 1.0));
  return below - twice_atanh(e / (e + 2.0));
}

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
    store(eta + (k - 1) * panel, e);
  }
  vec scale = 1.0 / (others + 1.0);
  for (int k = 1; k <= classes; ++k) {
    vec p = load(eta + (k - 1) * panel) * scale;
    store(eta + (k - 1) * panel, (y == all(k) ? all(1) : all(0)) - p);
  }
  return observed - log_one_plus(others);
}

MANYMODES_INLINE vec normal(double* eta, vec y, double inverse_sigma) {
  vec r = (y - load(eta)) * inverse_sigma;
  store(eta, r * inverse_sigma);
  return r * r;
}

// The sum of the log likelihoods of a block; of squared standardised residuals for the normal one.
// `eta` becomes the derivatives. `ones` is 1 for each observation, 0 for what only fills a panel.
MANYMODES_FUNCTION double likelihood(const Network& net, long first_panel, int panels, Block eta,
                                     Block ones, double* pointwise) {
  vec total = all(0);
  double inverse_sigma = 1 / net.sigma;
  for (int p = 0; p < panels; ++p) {
    for (int v = 0; v < panel; v += lanes) {
      long row = (first_panel + p) * panel + v;
      double* at = eta.data + static_cast<long>(p) * eta.rows * panel + v;
      vec y = targets(net, row);
      vec terms = net.likelihood == Likelihood::bernoulli     ? bernoulli(at, y)
                  : net.likelihood == Likelihood::categorical ? categorical(at, y, eta.rows)
                                                              : normal(at, y, inverse_sigma);
      if (pointwise) {
        keep(net, row, terms, pointwise);
      }
      if (row + lanes > net.n) {
        vec one = load(ones.data + static_cast<long>(p) * ones.rows * panel + v);
        terms = one > 0.0 ? terms : all(0);
        for (int k = 0; k < eta.rows; ++k) {
          store(at + k * panel, one > 0.0 ? load(at + k * panel) : all(0));
        }
      }
      total += terms;
    }
  }
  return sum(total);
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
    Block ones = {at[0].data + net.units[0] * panel, at[0].rows};
    total += likelihood(net, first, panels, delta[last], ones, pointwise);
    if (!gradient) {
      continue;
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
