// Lesson 10: a Cauchy location with data from two places (stan/models/cauchy_location.stan; with
// another prior scale, tests/models/cauchy_prior_sd.stan).
"use strict";

/**
 * Noise of the observations on the left. The first 50 here and on the right are the published data:
 * in R, set.seed(100), rcauchy(50, -10, 1) and rcauchy(50, 10, 1), less their places.
 */
const LEFT_NOISE = [
  1.449469, 1.049408, -6.028731, 0.179009, 10.087954, 19.596329, -0.668621, 2.317263, -6.787933,
  0.59251, -2.414289, -0.388079, 1.211532, 3.028653, -0.924093, -1.70283, 0.748918, 2.082912,
  2.116044, -1.46857, -8.851035, -1.282491, -8.260212, -1.006479, 3.899903, 0.597437, -0.879936,
  -0.388846, -6.431828, 1.191343, 27.207671, -0.228463, 1.942832, -0.145022, -1.420254, -0.361963,
  0.636415, -2.323051, -0.032797, 0.433817, 1.698944, -0.451061, -0.840135, -0.602891, -2.971717,
  36.293671, -0.825377, -0.380646, 0.76424, 1.442863, 1.659992, 2.763398, 0.129691, 2.149539,
  -4.410047, -1.523603, -0.090989, -1.35872, 0.036287, -8.921128, -0.563865, -0.694086, 0.259882,
  0.932635, -0.107254, 0.118907, -0.268826, -1.161755, 0.730275, -0.548934, 2.971306, 2.853381,
  11.570146, -3.716933, 1.999541, 0.089693, -0.015433, -0.13413, -6.1085, 0.33172,
];

/** Noise of the observations on the right. */
const RIGHT_NOISE = [
  1.69735, 0.720221, 0.913925, 1.170006, -3.389453, 1.021534, 0.408657, 0.881093, -3.159371,
  0.782792, 8.731107, -2.007601, -0.124501, -1.615877, 5.745515, 2.087094, 7.144013, 5.774069,
  0.969632, -1.429043, 3.534553, 1.663665, -4.310308, -0.104048, -1.795154, -2.420713, -0.483472,
  -0.855283, -0.574448, 0.295679, 7.822022, -3.0976, -0.257688, -0.054012, 0.119322, -4.00223,
  -1.110747, 0.992129, 1.383101, -1.109677, -0.300932, 0.774758, 2.093237, 6.102526, -0.302742,
  2.76233, -18.212781, 0.415094, 0.09499, -0.871588, 0.926812, -0.47019, -1.076617, 118.427696,
  -3.898755, 0.050885, 11.391988, 0.133964, 8.600405, -2.310968, -1.652181, 0.280452, 0.48439,
  -0.295717, 0.405161, -1.14248, -0.15717, 0.137055, 0.061651, 0.7221, -62.576962, -0.235469,
  0.464446, 0.587988, -2.87275, -0.652942, -0.536002, -0.7854, 0.059827, -1.393918,
];

/** Parameter of the symmetric Dirichlet prior on stacking weights, as in manymodes. */
const STACKING_PRIOR = 1.0001;

/** How far a side of the posterior is integrated, and in how many parts. */
const SIDE = { length: 40, parts: 4000 };

/** @returns {number[]} observations: those on the left first */
function twoPlaces({ n, share, distance }) {
  const onTheLeft = Math.round(n * share);
  return [
    ...LEFT_NOISE.slice(0, onTheLeft).map((noise) => noise - distance / 2),
    ...RIGHT_NOISE.slice(0, n - onTheLeft).map((noise) => noise + distance / 2),
  ];
}

/** @returns {number} log density of the Cauchy distribution at a distance from its location */
function logCauchy(distance) {
  return -Math.log(Math.PI) - Math.log1p(distance * distance);
}

/**
 * One mode: the part of the posterior on one side of the border.
 * @typedef {Object} Side
 * @property {string} name
 * @property {number[]} mu grid of locations
 * @property {number[]} weights posterior probabilities of the grid within the mode
 * @property {number} logZ log evidence of the mode (nats)
 * @property {number[]} looDensity log leave-one-out density of each observation (nats)
 */

/**
 * The modes of the posterior, exactly: by quadrature on each side of the border.
 * @param {number[]} y
 * @param {(mu: number) => number} logJoint
 * @returns {Side[]} two of them, or one if the density has one peak only
 */
function sidesOf(y, logJoint) {
  const border = borderOf(logJoint);
  if (Number.isNaN(border)) {
    return [sideOf("the only mode", y, logJoint, -SIDE.length, SIDE.length)];
  }
  return [
    sideOf("left", y, logJoint, border - SIDE.length, border),
    sideOf("right", y, logJoint, border, border + SIDE.length),
  ];
}

/** @returns {number} where the density is lowest between its two highest peaks, or NaN */
function borderOf(logJoint) {
  const mu = grid(-SIDE.length, SIDE.length, 8001);
  const heights = mu.map(logJoint);
  const isPeak = (i) => heights[i] > heights[i - 1] && heights[i] >= heights[i + 1];
  const peaks = heights
    .map((_, i) => i)
    .filter(isPeak)
    .sort((i, j) => heights[j] - heights[i]);
  if (peaks.length < 2) return NaN;
  const [low, high] = peaks.slice(0, 2).sort((i, j) => i - j);
  let lowest = low;
  for (let i = low; i <= high; i += 1) if (heights[i] < heights[lowest]) lowest = i;
  return mu[lowest];
}

/** @returns {Side} with integrals by Simpson's rule */
function sideOf(name, y, logJoint, low, high) {
  const mu = grid(low, high, SIDE.parts + 1);
  const width = (high - low) / SIDE.parts;
  const logArea = mu.map((_, i) => {
    const inner = i % 2 === 1 ? 4 : 2;
    return Math.log(((i === 0 || i === SIDE.parts ? 1 : inner) * width) / 3);
  });
  const logMass = mu.map((one, i) => logJoint(one) + logArea[i]);
  const logZ = logSumExp(logMass);
  const weights = logMass.map((one) => Math.exp(one - logZ));
  const looDensity = y.map((one) => {
    const without = mu.map((location, i) => logMass[i] - logCauchy(one - location));
    return logZ - logSumExp(without);
  });
  return { name, mu, weights, logZ, looDensity };
}

/**
 * Stacking weights of two modes: they maximise the sum of log(w p + (1 - w) q) over observations.
 * With the prior of STACKING_PRIOR the derivative falls from +∞ to -∞; Newton steps that leave the
 * bracket of its zero are replaced by halving it.
 * @param {number[]} p log density of each observation under the first mode
 * @param {number[]} q under the second
 * @returns {number} weight of the first mode
 */
function stackTwo(p, q) {
  const gains = p.map((one, i) => {
    const most = Math.max(one, q[i]);
    const [first, second] = [Math.exp(one - most), Math.exp(q[i] - most)];
    return (w) => (first - second) / (w * first + (1 - w) * second);
  });
  const extra = STACKING_PRIOR - 1;
  let [low, high, w] = [0, 1, 0.5];
  for (let round = 0; round < 200; round += 1) {
    const terms = gains.map((gain) => gain(w));
    const slope = terms.reduce((sum, g) => sum + g, extra / w - extra / (1 - w));
    const bend = terms.reduce((sum, g) => sum + g * g, extra / w ** 2 + extra / (1 - w) ** 2);
    const newton = w + slope / bend;
    if (Math.abs(newton - w) < 1e-14) break;
    if (slope > 0) low = w;
    else high = w;
    w = newton > low && newton < high ? newton : (low + high) / 2;
  }
  return w;
}

/**
 * @param {number[][]} looDensity by mode
 * @param {number[]} weights of the modes
 * @returns {number} mean log score of the mixture (nats an observation)
 */
function meanScore(looDensity, weights) {
  const scores = looDensity[0].map((_, i) =>
    logSumExp(weights.map((weight, k) => Math.log(weight) + looDensity[k][i])),
  );
  return mean(scores);
}

/**
 * @param {Side} side
 * @param {number} y
 * @returns {number} predictive density of the mode at y
 */
function predictive({ mu, weights }, y) {
  let sum = 0;
  for (let i = 0; i < mu.length; i += 1) {
    if (weights[i] > 1e-14) sum += weights[i] / (Math.PI * (1 + (y - mu[i]) ** 2));
  }
  return sum;
}

/** The last problem, which sliders that only move the chains need not compute again. */
let lastProblem = { key: "", problem: null };

/** @returns {Problem} */
function locationProblem(settings) {
  const { n, share, distance, prior } = settings;
  const key = [n, share, distance, prior].join();
  if (key !== lastProblem.key) lastProblem = { key, problem: newLocationProblem(settings) };
  return lastProblem.problem;
}

/** @returns {Problem} */
function newLocationProblem(settings) {
  const y = twoPlaces(settings);
  const { prior } = settings;
  const logJoint = (mu) => y.reduce((sum, one) => sum + logCauchy(one - mu), logNormal(mu, prior));
  const slope = (mu) =>
    y.reduce((sum, one) => sum + (2 * (one - mu)) / (1 + (one - mu) ** 2), -mu / prior ** 2);
  const sides = sidesOf(y, logJoint);
  const loo = sides.map(({ looDensity }) => looDensity);
  const total = logSumExp(sides.map(({ logZ }) => logZ));
  const evidence = sides.map(({ logZ }) => Math.exp(logZ - total));
  const first = sides.length === 2 ? stackTwo(...loo) : 1;
  const stacking = sides.length === 2 ? [first, 1 - first] : [1];
  const border = sides.length === 2 ? sides[1].mu[0] : Infinity;
  const curve = grid(...locationRange(settings), 501).map((mu) => [mu, logJoint(mu)]);
  const outcomes = grid(...locationRange(settings), 241);
  const densities = outcomes.map((one) => sides.map((side) => predictive(side, one)));
  const mixed = (weights) =>
    outcomes.map((one, i) => [one, weights.reduce((sum, w, k) => sum + w * densities[i][k], 0)]);
  return {
    dimension: 1,
    logDensity: (x) => logJoint(x[0]),
    gradient: (x) => Float64Array.of(slope(x[0])),
    mode: (x) => Number(x[0] >= border),
    tracked: [
      { label: "the location μ", of: (x) => x[0] },
      {
        label: "the density of y on the right",
        of: (x) => Math.exp(logCauchy(settings.distance / 2 - x[0])),
      },
    ],
    y,
    sides,
    curve,
    weights: { evidence, stacking },
    scores: { evidence: meanScore(loo, evidence), stacking: meanScore(loo, stacking) },
    predictions: { evidence: mixed(evidence), stacking: mixed(stacking) },
  };
}

/** @returns {number[]} range of locations and outcomes in pictures */
function locationRange({ distance }) {
  const most = distance / 2 + 8;
  return [-most, most];
}

function drawPosterior(plot, run) {
  const { curve, logDensity } = run.problem;
  const most = curve.reduce((best, [, height]) => Math.max(best, height), -Infinity);
  const least = curve.reduce((worst, [, height]) => Math.min(worst, height), Infinity);
  const lane = 0.055 * (most - least); // chains are drawn one above the other
  const y = [-1.04 * (most - least), 7 * lane];
  plot.begin({ x: locationRange(run.settings), y, xName: "μ", yName: "log density (0: the top)" });
  const shifted = curve.map(([mu, height]) => [mu, height - most]);
  plot.within(() => {
    plot.area(shifted, y[0], { paint: colour("line"), alpha: 0.45 });
    plot.line(shifted, { paint: colour("ink"), width: 2.2 });
    drawChains(plot, run, (x, chain) => [x[0], logDensity(x) - most + (chain + 1) * lane]);
  });
  plot.axes();
}

function drawPredictions(plot, run) {
  const { y, predictions } = run.problem;
  const range = locationRange(run.settings);
  const bins = histogram(y, range, Math.round((range[1] - range[0]) / 1.2));
  const heights = [...predictions.evidence, ...predictions.stacking, ...bins].map(([, one]) => one);
  const top = 1.28 * Math.max(...heights);
  plot.begin({ x: range, y: [0, top], xName: "next y", yName: "density", yTicks: false });
  plot.within(() => {
    drawHistogram(plot, bins);
    plot.line(predictions.evidence, { paint: colour("evidence"), width: 3, dash: [9, 5] });
    plot.line(predictions.stacking, { paint: colour("stacking"), width: 3 });
  });
  const { left, top: up } = plot.box;
  legend(plot, left + 12, up + 16, "evidence-weighted", "evidence", [9, 5]);
  legend(plot, left + 12, up + 38, "stacked", "stacking", []);
  plot.axes();
}

function legend(plot, x, y, text, name, dash) {
  const pen = plot.context;
  pen.save();
  pen.strokeStyle = colour(name);
  pen.lineWidth = 3;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x, y - 5);
  pen.lineTo(x + 34, y - 5);
  pen.stroke();
  pen.restore();
  plot.text(text, x + 42, y);
}

/** Three weights of each mode, as bars that fill a line: the left mode from the left. */
function drawThreeWeights(plot, run) {
  const { sides, weights, mode } = run.problem;
  const occupancy = sides.map(
    (_, k) => run.chains.filter((chain) => mode(chain.x) === k).length / run.chains.length,
  );
  const rows = [
    ["evidence weight: where is μ?", weights.evidence, "evidence"],
    ["stacking weight: what is next?", weights.stacking, "stacking"],
    ["occupancy: where do chains sit?", occupancy, "rest"],
  ];
  plot.begin({ x: [0, 1], y: [0, 3], xName: "", yName: "", yTicks: false });
  const { left, right, top, bottom } = plot.box;
  const [start, width, tall] = [left - 16, right - left + 16, (bottom + 30 - top) / 3];
  const pen = plot.context;
  rows.forEach(([name, shares, paint], row) => {
    const y = top + row * tall;
    plot.text(name, start, y + 16, { bold: true });
    pen.fillStyle = colour("line");
    pen.fillRect(start, y + 26, width, tall * 0.32);
    pen.fillStyle = colour(paint);
    pen.fillRect(start, y + 26, width * shares[0], tall * 0.32);
    pen.fillStyle = colour("ink");
    if (shares.length === 2) {
      pen.fillRect(start + width * shares[0] - 1, y + 22, 2, tall * 0.32 + 8);
    }
    const under = y + 26 + tall * 0.32 + 18;
    shares.forEach((share, k) => {
      const align = k === 0 ? "left" : "right";
      const x = k === 0 ? start : start + width;
      plot.text(`${sides[k].name} ${shareText(share)}`, x, under, { align });
    });
  });
}

/** @returns {string} a share, as a power of e where a decimal would be all zeros */
function shareText(share) {
  return share > 0 && share < 0.0005 ? powerOfE(Math.log(share)) : share.toFixed(3);
}

/** @returns {Figure[]} */
function weightFigures(run) {
  const { sides, weights, scores } = run.problem;
  if (sides.length < 2) return [{ label: "Modes", value: "1", verdict: "nothing to weigh" }];
  const ratio = Math.abs(sides[0].logZ - sides[1].logZ);
  const heavy = sides[0].logZ > sides[1].logZ ? 0 : 1;
  return [
    {
      label: "Evidence of the heavier mode over the other",
      value: powerOfE(ratio),
      verdict: `the ${sides[heavy].name} mode is heavier`,
    },
    {
      label: `Stacking weight of the ${sides[heavy].name} mode`,
      value: weights.stacking[heavy].toFixed(2),
    },
    {
      label: "Log score of stacking less that of evidence",
      value: (scores.stacking - scores.evidence).toFixed(2),
      verdict: "nats an observation, left out in turn",
    },
  ];
}

showLesson({
  chains: 6,
  sliders: [
    {
      key: "distance",
      label: "Distance of the two places",
      values: [2, 4, 6, 8, 12, 16, 20, 24],
      value: 20,
    },
    {
      key: "share",
      label: "Share of the observations on the left",
      values: [0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8],
      value: 0.5,
    },
    { key: "n", label: "Observations", values: [10, 20, 40, 60, 80, 100], value: 100 },
    { key: "prior", label: "Prior scale of μ", values: [2, 5, 10, 20], value: 10 },
    { key: "step", label: "Step size", values: [0.02, 0.05, 0.1, 0.2, 0.5, 1], value: 0.1 },
  ],
  choices: [],
  problem: locationProblem,
  data: (settings) => ({
    N: settings.n,
    y: twoPlaces(settings),
    prior_sd: settings.prior,
    prior_only: 0,
    save_log_lik: 0,
  }),
  start: (settings, random) => Float64Array.of(settings.prior * random.normal()),
  modes: (settings) => ({
    title: "Modes",
    names: locationProblem(settings).sides.map(({ name }) => name),
  }),
  figures: weightFigures,
  exact: (settings) => {
    const { sides, weights, scores } = locationProblem(settings);
    return { logZ: sides.map(({ logZ }) => logZ), ...weights, scores };
  },
  views: [
    {
      title: "Posterior of the location",
      says:
        "Chains climb the hill on whose side they begin, and stay. Each is drawn at a height of " +
        "its own.",
      draw: drawPosterior,
    },
    {
      title: "Prediction of the next observation",
      says: "Bars: the data. The two mixtures use the same two modes with other weights.",
      draw: drawPredictions,
    },
    {
      title: "Three weights of the two modes",
      says: "The first two are exact. The mark divides left from right.",
      draw: drawThreeWeights,
    },
  ],
  tries: [
    {
      name: "Half and half",
      text:
        "The published data. Evidence believes one place almost completely; stacking gives each " +
        "about one half, and predicts the data far better.",
      settings: {},
    },
    {
      name: "Fewer observations",
      text:
        "With 10 observations the evidence is less sure, and stacking hardly changes: one weight " +
        "grows with the data, the other converges.",
      settings: { n: 10 },
    },
    {
      name: "60 % on the left",
      text:
        "Stacking follows the share of the data. Evidence decides for the larger group, as if " +
        "the other did not exist.",
      settings: { share: 0.6 },
    },
  ],
  look: [
    "The model says that all observations come from one place. Given this, the evidence asks " +
      "<b>which place</b>, and each observation multiplies the answer: small differences of 100 " +
      "observations become a factor like e<sup>13</sup>.",
    "Stacking asks another question: which mixture of the two modes predicts an observation " +
      "that was left out? The answer is about the share of the data in each place. " +
      "It does not become extreme with more data.",
    "If the model were true, both would agree in the end. <b>They disagree because the model " +
      "is wrong</b>: half of the data are where it says that none can be. Occupancy answers neither " +
      "question: it counts where chains began.",
  ],
  model: [
    "y ~ cauchy(μ, 1) and μ ~ normal(0, prior scale). With prior scale 10 the density is that " +
      "of <code>stan/models/cauchy_location.stan</code>. With 100 observations, half on the left " +
      "at a distance of 20, the data are those of Yao, Vehtari and Gelman (2022).",
    "The border of the modes is the lowest point between the two highest peaks. The evidence " +
      "of a side is its integral by Simpson’s rule; leave-one-out densities come from the same " +
      "grid, and stacking weights from Newton’s method on them, with the weak prior that " +
      "manymodes has. HMC has a unit metric and 1 to 20 leapfrog steps; chains start at draws " +
      "from the prior. R-hat is that of Vehtari and others (2021), of the second half of each " +
      "chain.",
  ],
});
