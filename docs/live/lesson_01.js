// Lesson 1: the eight copies of a network with two tanh units (stan/models/mlp.stan).
"use strict";

/** Cured (1) or not (0) at 60 doses from 0 to 10: the data of the README's tour. */
const CURED = Array.from("010100000000000000111110011110111110111111000000000000000000", Number);
const DOSE = CURED.map((_, i) => Math.round((1000 * i) / 59) / 100);
const DOSE_MEAN = mean(DOSE);
const DOSE_SD = Math.sqrt(mean(DOSE.map((dose) => (dose - DOSE_MEAN) ** 2)));

/** An order of the rows in which the first few are spread over all doses. */
const ORDER = DOSE.map((_, i) => (37 * i) % DOSE.length);

/** Names of the parameters, in the order of the Stan program. */
const WEIGHTS = ["w₁", "w₂", "b₁", "b₂", "v₁", "v₂", "c"];
const PAIRS = { w: [0, 1], b: [2, 3], v: [4, 5] };

/** @returns {number} a dose as the network sees it */
function standardised(dose) {
  return (dose - DOSE_MEAN) / DOSE_SD;
}

/** @returns {number[]} rows that are in use */
function rowsOf(settings) {
  return ORDER.slice(0, settings.rows);
}

/**
 * @param {Float64Array} x w₁, w₂, b₁, b₂, v₁, v₂, c
 * @param {number} input
 * @returns {number} log odds of a cure
 */
function logOdds(x, input) {
  return x[4] * Math.tanh(x[0] * input + x[2]) + x[5] * Math.tanh(x[1] * input + x[3]) + x[6];
}

/** @returns {number} probability of a cure at a dose */
function cure(x, dose) {
  return logistic(logOdds(x, standardised(dose)));
}

/**
 * The one of the eight copies whose w are positive and whose b fall.
 * @param {Float64Array} x
 * @returns {{x: Float64Array, copy: number}} its weights, and which copy x is: 4 for exchanged
 *   units, 2 for a negative w₁ and 1 for a negative w₂
 */
function canonical(x) {
  const unit = (h) => [x[h], x[2 + h], x[4 + h]].map((weight) => Math.sign(x[h] || 1) * weight);
  const units = [unit(0), unit(1)];
  const exchanged = units[1][1] > units[0][1];
  if (exchanged) units.reverse();
  const [[w1, b1, v1], [w2, b2, v2]] = units;
  const copy = 4 * exchanged + 2 * (x[0] < 0) + (x[1] < 0);
  return { x: Float64Array.of(w1, w2, b1, b2, v1, v2, x[6]), copy };
}

/**
 * @param {Float64Array} x
 * @returns {Float64Array[]} all eight copies
 */
function copies(x) {
  const swapped = [x, Float64Array.of(x[1], x[0], x[3], x[2], x[5], x[4], x[6])];
  const flipped = (one, h) => one.map((weight, i) => (i < 6 && i % 2 === h ? -weight : weight));
  const first = swapped.flatMap((one) => [one, flipped(one, 0)]);
  return first.flatMap((one) => [one, flipped(one, 1)]);
}

/** @returns {Problem} */
function networkProblem(settings) {
  const rows = rowsOf(settings);
  const inputs = rows.map((row) => standardised(DOSE[row]));
  const cured = rows.map((row) => CURED[row]);
  const { prior } = settings;

  function logDensity(x) {
    let sum = 0;
    for (const weight of x) sum += logNormal(weight, prior);
    for (let n = 0; n < inputs.length; n += 1) {
      const odds = logOdds(x, inputs[n]);
      sum += cured[n] * odds - softplus(odds);
    }
    return sum;
  }

  function gradient(x) {
    const slope = x.map((weight) => -weight / prior ** 2);
    for (let n = 0; n < inputs.length; n += 1) {
      const first = Math.tanh(x[0] * inputs[n] + x[2]);
      const second = Math.tanh(x[1] * inputs[n] + x[3]);
      const residual = cured[n] - logistic(x[4] * first + x[5] * second + x[6]);
      const down = [x[4] * (1 - first * first), x[5] * (1 - second * second)];
      slope[0] += residual * down[0] * inputs[n];
      slope[1] += residual * down[1] * inputs[n];
      slope[2] += residual * down[0];
      slope[3] += residual * down[1];
      slope[4] += residual * first;
      slope[5] += residual * second;
      slope[6] += residual;
    }
    return slope;
  }

  return {
    dimension: 7,
    logDensity,
    gradient,
    mode: (x) => canonical(x).copy,
    tracked: [
      { label: "the weight w₁", of: (x) => x[0] },
      { label: "w₁ in canonical form", of: (x) => canonical(x).x[0] },
      { label: "p(cured) at dose 5", of: (x) => cure(x, 5) },
    ],
  };
}

/** @returns {number[]} range of a weight in pictures */
function weightRange(settings) {
  const most = 2 + 3 * settings.prior;
  return [-most, most];
}

function drawWeights(plot, run) {
  const pair = PAIRS[run.settings.pair];
  const [x, y] = [weightRange(run.settings), weightRange(run.settings)];
  const at = (draw) => [draw[pair[0]], draw[pair[1]]];
  plot.begin({ x, y, xName: WEIGHTS[pair[0]], yName: WEIGHTS[pair[1]] });
  plot.within(() => {
    crosshair(plot);
    const seen = run.chains.flatMap((chain) => recent(chain, 60).slice(20));
    plot.dots(seen.flatMap(copies).map(at), { paint: colour("pale"), alpha: 0.22 });
    drawChains(plot, run, at);
  });
  plot.axes();
}

function drawCanonical(plot, run) {
  const pair = PAIRS[run.settings.pair];
  const [x, y] = [weightRange(run.settings), weightRange(run.settings)];
  const names = pair.map((place) => `${WEIGHTS[place]}, canonical`);
  plot.begin({ x, y, xName: names[0], yName: names[1] });
  plot.within(() => {
    crosshair(plot);
    const at = (draw) => {
      const { x: weights } = canonical(draw);
      return [weights[pair[0]], weights[pair[1]]];
    };
    drawChains(plot, run, at, { paths: false });
  });
  plot.axes();
}

function crosshair(plot) {
  const faint = { paint: colour("line"), width: 1.5 };
  plot.line(
    [
      [plot.x[0], 0],
      [plot.x[1], 0],
    ],
    faint,
  );
  plot.line(
    [
      [0, plot.y[0]],
      [0, plot.y[1]],
    ],
    faint,
  );
}

function drawCure(plot, run) {
  plot.begin({ x: [0, 10], y: [-0.1, 1.1], xName: "dose", yName: "p(cured)" });
  const doses = grid(0, 10, 81);
  const curve = (x) => doses.map((dose) => [dose, cure(x, dose)]);
  plot.within(() => {
    const truth = [
      [0, 0.1],
      [3, 0.1],
      [3, 0.9],
      [7, 0.9],
      [7, 0.1],
      [10, 0.1],
    ];
    plot.line(truth, { paint: colour("pale"), dash: [6, 5], width: 2 });
    run.chains.forEach((chain, number) => {
      const paint = chainColour(number);
      for (const x of recent(chain, 10).slice(-6)) {
        plot.line(curve(x), { paint, width: 1, alpha: 0.18 });
      }
      plot.line(curve(chain.x), { paint, width: 2.4, alpha: 0.9 });
    });
    const rows = rowsOf(run.settings);
    const points = rows.map((row, i) => [
      DOSE[row],
      CURED[row] ? 1.03 + 0.02 * (i % 3) : -0.03 - 0.02 * (i % 3),
    ]);
    plot.dots(points, { paint: colour("ink"), size: 5, alpha: 0.75 });
  });
  plot.axes();
}

showLesson({
  chains: 8,
  sliders: [
    { key: "prior", label: "Prior scale of all weights", values: [0.5, 1, 2, 3, 5], value: 2 },
    { key: "rows", label: "Rows of data in use", values: [5, 10, 20, 30, 40, 50, 60], value: 60 },
    { key: "step", label: "Step size", values: [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5], value: 0.2 },
  ],
  choices: [
    {
      key: "pair",
      label: "Weights shown",
      options: [
        ["w", "w₁, w₂"],
        ["b", "b₁, b₂"],
        ["v", "v₁, v₂"],
      ],
      value: "w",
      restarts: false,
    },
  ],
  problem: networkProblem,
  data: (settings) => {
    const rows = rowsOf(settings);
    return {
      X: rows.map((row) => [standardised(DOSE[row])]),
      y: rows.map((row) => CURED[row]),
    };
  },
  start: (settings, random) => random.normals(7).map((weight) => settings.prior * weight),
  modes: () => ({
    title: "Copies (order of the units · signs of w)",
    names: ["1 2", "2 1"].flatMap((order) =>
      ["+ +", "+ −", "− +", "− −"].map((signs) => `${order} · ${signs}`),
    ),
  }),
  figures: () => [],
  views: [
    {
      title: "Weight space",
      says: "Each chain has a colour and a shape. Grey: all eight copies of what they drew.",
      draw: drawWeights,
    },
    {
      title: "Canonical weight space",
      says: "The same draws, each moved to the copy with positive w and with b₁ above b₂.",
      draw: drawCanonical,
    },
    {
      title: "Function space",
      says: "What each chain predicts now. Dots: the data; dashed: the truth.",
      draw: drawCure,
    },
  ],
  tries: [
    {
      name: "60 rows: stuck in copies",
      text:
        "R-hat of w₁ stays large, and R-hat of the prediction goes to 1. Nothing is wrong with " +
        "the predictions.",
      settings: {},
    },
    {
      name: "5 rows: copies join",
      text:
        "With little data and a narrow prior the copies overlap. Now chains change copies, and " +
        "all three R-hats go to 1.",
      settings: { rows: 5, prior: 1, step: 0.5 },
    },
    {
      name: "Metropolis: slow as well",
      text:
        "A random walk with small steps has not yet mixed within a copy. Now R-hat of the " +
        "prediction is large too, and this is a real warning.",
      settings: { sampler: "metropolis", step: 0.1 },
    },
  ],
  look: [
    "Watch the shapes in the left picture. Each chain walks to one of the clouds and mostly " +
      "stays there: on the way to another one, the posterior is low. The four " +
      "clouds hold two copies each, as the two units can also be exchanged.",
    "The picture in the middle undoes exchanges and flips. The clouds fall on one another. In " +
      "the picture on the right there never were eight of anything: all chains draw the same " +
      "curve.",
    "So <b>R-hat of a weight answers a question that nobody asked</b>: whether chains agree on " +
      "the name of a unit. Ask for R-hat of a prediction, or of weights in canonical form.",
  ],
  model: [
    "log odds(cured) = v₁ tanh(w₁ x + b₁) + v₂ tanh(w₂ x + b₂) + c, where x is the " +
      "standardised dose. All seven weights are normal with mean 0. The density is that of " +
      "<code>stan/models/mlp.stan</code> with one input, two hidden tanh units and the prior " +
      "<code>normal</code>.",
    "HMC has a unit metric and 1 to 20 leapfrog steps; chains start at draws from the prior. " +
      "R-hat is that of Vehtari and others (2021), of the second half of each chain. Up to 1.05 " +
      "the page says that chains agree.",
  ],
});
