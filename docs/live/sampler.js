// Chains on a log density: seeded random numbers, HMC, Metropolis, R-hat and effective draws.
"use strict";

/**
 * A log density on unconstrained space.
 * @typedef {Object} Model
 * @property {number} dimension number of parameters
 * @property {(x: Float64Array) => number} logDensity in nats, with all constants and Jacobians
 * @property {(x: Float64Array) => Float64Array} gradient of the log density
 * @property {Float64Array} [scales] lengths of a step in each coordinate; ones if left out
 */

/**
 * One chain: where it is, and what it has drawn.
 * @typedef {Object} Chain
 * @property {Float64Array} x the current draw
 * @property {number} value log density of the current draw
 * @property {Float64Array} slope gradient at the current draw; empty under Metropolis
 * @property {RandomNumbers} random
 * @property {Float64Array[]} draws the starting point and every draw since
 * @property {Float64Array[]} path points that the last step visited
 * @property {number} acceptance sum of acceptance probabilities
 * @property {number} evaluations of the density or of its gradient
 */

/** Most leapfrog steps of one transition of HMC; their number is uniform from 1 to this. */
const MOST_LEAPFROGS = 20;

/** Random numbers by xoshiro128** (Blackman and Vigna 2021), seeded by SplitMix32. */
class RandomNumbers {
  /**
   * @param {number} seed whole number
   * @param {number} stream whole number: numbers of different streams are independent
   */
  constructor(seed, stream) {
    let state = (Math.imul(seed, 0x9e3779b9) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
    this.state = Uint32Array.from({ length: 4 }, () => {
      state = (state + 0x9e3779b9) >>> 0;
      let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      return (word ^ (word >>> 15)) >>> 0;
    });
    this.spare = NaN;
  }

  /** @returns {number} 32 random bits */
  bits() {
    const s = this.state;
    const rotate = (word, by) => (word << by) | (word >>> (32 - by));
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return result;
  }

  /** @returns {number} uniform on (0, 1), both ends left out */
  uniform() {
    return (this.bits() + 0.5) / 4294967296;
  }

  /** @returns {number} standard normal, by the polar method */
  normal() {
    if (!Number.isNaN(this.spare)) {
      const spare = this.spare;
      this.spare = NaN;
      return spare;
    }
    let u;
    let v;
    let square;
    do {
      u = 2 * this.uniform() - 1;
      v = 2 * this.uniform() - 1;
      square = u * u + v * v;
    } while (square >= 1);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.spare = v * factor;
    return u * factor;
  }

  /**
   * @param {number} n
   * @returns {Float64Array} n standard normal numbers
   */
  normals(n) {
    return Float64Array.from({ length: n }, () => this.normal());
  }
}

/**
 * @param {Model} model
 * @param {Float64Array} start
 * @param {RandomNumbers} random
 * @returns {Chain}
 */
function newChain(model, start, random) {
  return {
    x: start,
    value: model.logDensity(start),
    slope: model.gradient(start),
    random,
    draws: [start],
    path: [start],
    acceptance: 0,
    evaluations: 0,
  };
}

/** The samplers by name: each advances a chain by one draw. */
const SAMPLERS = { hmc: hmcStep, metropolis: metropolisStep };

/**
 * Advance a chain by one transition of Hamiltonian Monte Carlo; its metric is diagonal.
 * @param {Model} model
 * @param {Chain} chain
 * @param {number} stepSize of the leapfrog integrator
 */
function hmcStep(model, chain, stepSize) {
  const leapfrogs = 1 + Math.floor(MOST_LEAPFROGS * chain.random.uniform());
  const momentum = chain.random.normals(model.dimension);
  const energy = (value) => value - 0.5 * momentum.reduce((sum, p) => sum + p * p, 0);
  const before = energy(chain.value);
  const x = Float64Array.from(chain.x);
  const lengths = stepLengths(model, stepSize);
  let slope = chain.slope;
  chain.path = [chain.x];
  for (let step = 0; step < leapfrogs; step += 1) {
    for (let i = 0; i < x.length; i += 1) {
      momentum[i] += 0.5 * lengths[i] * slope[i];
      x[i] += lengths[i] * momentum[i];
    }
    slope = model.gradient(x);
    for (let i = 0; i < x.length; i += 1) momentum[i] += 0.5 * lengths[i] * slope[i];
    chain.path.push(Float64Array.from(x));
  }
  chain.evaluations += leapfrogs;
  const value = model.logDensity(x);
  settle(chain, x, value, slope, energy(value) - before);
}

/**
 * @param {Model} model
 * @param {number} stepSize
 * @returns {Float64Array} lengths of a step in each coordinate
 */
function stepLengths(model, stepSize) {
  const scales = model.scales ?? new Float64Array(model.dimension).fill(1);
  return scales.map((scale) => stepSize * scale);
}

/**
 * Advance a chain by one transition of random-walk Metropolis.
 * @param {Model} model
 * @param {Chain} chain
 * @param {number} stepSize standard deviation of the proposal, relative to the scales
 */
function metropolisStep(model, chain, stepSize) {
  const lengths = stepLengths(model, stepSize);
  const x = chain.x.map((value, i) => value + lengths[i] * chain.random.normal());
  const value = model.logDensity(x);
  chain.evaluations += 1;
  chain.path = [chain.x, x];
  settle(chain, x, value, chain.slope, value - chain.value);
}

/**
 * Accept or refuse a proposal.
 * @param {Chain} chain
 * @param {Float64Array} x
 * @param {number} value
 * @param {Float64Array} slope
 * @param {number} gain of the log joint density (nats); a proposal without one is refused
 */
function settle(chain, x, value, slope, gain) {
  const probability = Number.isNaN(gain) ? 0 : Math.min(1, Math.exp(gain));
  chain.acceptance += probability;
  if (chain.random.uniform() < probability) {
    chain.x = x;
    chain.value = value;
    chain.slope = slope;
  }
  chain.draws.push(chain.x);
}

/**
 * R-hat of chains that are split into halves, by ranks (Vehtari et al. 2021): the larger of that
 * of the values and that of their distances from the median.
 * @param {number[][]} chains values of one quantity, chains of equal length
 * @returns {number} NaN if there are fewer than 4 values a chain, or if all are the same
 */
function rhat(chains) {
  const halves = split(chains);
  if (halves[0].length < 2) return NaN;
  const sorted = halves.flat().sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  const folded = halves.map((half) => half.map((value) => Math.abs(value - median)));
  return Math.max(plainRhat(normalScores(halves)), plainRhat(normalScores(folded)));
}

/**
 * @param {number[][]} chains
 * @returns {number[][]} both halves of each chain, without the middle draw of an odd number
 */
function split(chains) {
  const half = Math.floor(chains[0].length / 2);
  return chains.flatMap((chain) => [chain.slice(0, half), chain.slice(chain.length - half)]);
}

/**
 * @param {number[][]} chains
 * @returns {number} square root of pooled variance over variance within chains
 */
function plainRhat(chains) {
  const n = chains[0].length;
  const within = mean(chains.map(variance));
  const between = variance(chains.map(mean));
  return Math.sqrt((n - 1) / n + between / within);
}

/**
 * @param {number[][]} chains
 * @returns {number[][]} normal quantiles of (rank - 3/8) / (number + 1/4); ties share their rank
 */
function normalScores(chains) {
  const values = Float64Array.from(chains.flat());
  const sorted = Float64Array.from(values).sort();
  const scores = new Map();
  for (let low = 0; low < sorted.length;) {
    let high = low + 1;
    while (high < sorted.length && sorted[high] === sorted[low]) high += 1;
    const rank = (low + 1 + high) / 2;
    scores.set(sorted[low], normalQuantile((rank - 0.375) / (sorted.length + 0.25)));
    low = high;
  }
  return chains.map((chain) => chain.map((value) => scores.get(value)));
}

/**
 * Quantile of the standard normal distribution, by the rational approximation of Acklam, whose
 * relative error is below 1.2e-9.
 * @param {number} p between 0 and 1
 * @returns {number}
 */
function normalQuantile(p) {
  const polynomial = (coefficients, x) => coefficients.reduce((sum, c) => sum * x + c, 0);
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    const top = [
      -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734,
      4.374664141464968, 2.938163982698783,
    ];
    const bottom = [
      7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1,
    ];
    return polynomial(top, q) / polynomial(bottom, q);
  }
  const q = p - 0.5;
  const top = [
    -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2,
    -3.066479806614716e1, 2.506628277459239,
  ];
  const bottom = [
    -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1,
    -1.328068155288572e1, 1,
  ];
  return (q * polynomial(top, q * q)) / polynomial(bottom, q * q);
}

/**
 * Effective number of draws of all chains together, for the mean of a quantity: autocorrelations
 * of halves of chains are summed in pairs, which fall and stay positive (Geyer 1992, Vehtari et
 * al. 2021).
 * @param {number[][]} chains values of one quantity, chains of equal length
 * @returns {number} NaN if there are fewer than 8 values a chain, or if all are the same
 */
function effectiveDraws(chains) {
  if (chains[0].length < 8) return NaN;
  const halves = split(chains);
  const n = halves[0].length;
  const covariances = halves.map(autocovariances);
  const covariance = (lag) => mean(covariances.map((one) => one[lag]));
  const within = (covariance(0) * n) / (n - 1);
  const pooled = ((n - 1) / n) * within + variance(halves.map(mean));
  if (!(pooled > 0)) return NaN;
  const correlation = (lag) => (lag === 0 ? 1 : 1 - (within - covariance(lag)) / pooled);
  const last = Math.max(0, Math.floor((n - 1) / 2) - 1);
  let time = -1;
  let least = Infinity;
  for (let k = 0; k <= last; k += 1) {
    const even = correlation(2 * k);
    const pair = even + correlation(2 * k + 1);
    if (pair <= 0 || k === last) {
      time += pair < 0 ? Math.max(0, even) : even;
      break;
    }
    least = Math.min(least, pair);
    time += 2 * least;
  }
  const draws = n * halves.length;
  return draws / Math.max(time, 1 / Math.log10(draws));
}

/**
 * @param {number[]} values
 * @returns {Float64Array} autocovariances at all lags, each a sum divided by the number of values
 */
function autocovariances(values) {
  const n = values.length;
  const size = 2 ** Math.ceil(Math.log2(2 * n));
  const centre = mean(values);
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  values.forEach((value, i) => {
    real[i] = value - centre;
  });
  fourier(real, imaginary);
  for (let i = 0; i < size; i += 1) {
    real[i] = real[i] * real[i] + imaginary[i] * imaginary[i];
    imaginary[i] = 0;
  }
  fourier(real, imaginary);
  return real.subarray(0, n).map((value) => value / size / n);
}

/**
 * Fast Fourier transform in place, of a length that is a power of two.
 * @param {Float64Array} real
 * @param {Float64Array} imaginary
 */
function fourier(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < n; half *= 2) {
    for (let k = 0; k < half; k += 1) {
      const cosine = Math.cos((Math.PI * k) / half);
      const sine = -Math.sin((Math.PI * k) / half);
      for (let low = k; low < n; low += 2 * half) {
        const high = low + half;
        const a = real[high] * cosine - imaginary[high] * sine;
        const b = real[high] * sine + imaginary[high] * cosine;
        real[high] = real[low] - a;
        imaginary[high] = imaginary[low] - b;
        real[low] += a;
        imaginary[low] += b;
      }
    }
  }
}

/**
 * @param {ArrayLike<number>} values
 * @returns {number}
 */
function mean(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += values[i];
  return sum / values.length;
}

/**
 * @param {ArrayLike<number>} values
 * @returns {number} sum of squared deviations over the number of values less 1
 */
function variance(values) {
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += (values[i] - centre) ** 2;
  return sum / (values.length - 1);
}

/**
 * @param {number[]} terms
 * @returns {number} log of the sum of exponentials
 */
function logSumExp(terms) {
  const most = Math.max(...terms);
  if (most === -Infinity) return most;
  return most + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - most), 0));
}

/**
 * @param {number} x
 * @returns {number} log(1 + exp(x))
 */
function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * @param {number} x
 * @returns {number} 1 / (1 + exp(-x))
 */
function logistic(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : 1 - 1 / (1 + Math.exp(x));
}

/**
 * @param {number} x
 * @param {number} sd
 * @returns {number} log density of normal(0, sd)
 */
function logNormal(x, sd) {
  return -0.5 * (x / sd) ** 2 - Math.log(sd) - 0.5 * Math.log(2 * Math.PI);
}
