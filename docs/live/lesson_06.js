// Lesson 6: the valley of a relu unit (stan/models/mlp.stan) and the same model with incoming
// weights of length 1 (stan/models/mlp_unit_norm.stan).
"use strict";

const NOISE_SEED = 6;
const TRUE = { c: -0.5, slope: 1.2, shift: 0.3, sigma: 0.3 };
const MOST_ROWS = 48;

/** @returns {{x: number, y: number}[]} rows of data, the first few of which are spread as well */
function rowsInUse(settings) {
  const random = new RandomNumbers(NOISE_SEED, 0);
  const all = Array.from({ length: MOST_ROWS }, (_, i) => {
    const x = -2 + 4 * ((0.5 + 0.6180339887498949 * i) % 1);
    const y = TRUE.c + TRUE.slope * Math.max(0, x + TRUE.shift) + TRUE.sigma * random.normal();
    return { x, y };
  });
  return all.slice(0, settings.rows);
}

function isUnitNorm(settings) {
  return settings.coordinates === "unit-norm";
}

/**
 * The function with the smallest squared error whose hinge opens to the right.
 * @returns {{shift: number, slope: number, c: number, sigma: number}} of
 *   c + slope max(0, x + shift)
 */
function bestFunction(rows) {
  const centre = mean(rows.map(({ y }) => y));
  const fits = grid(-1.5, 1.9, 341).map((shift) => {
    const h = rows.map(({ x }) => Math.max(0, x + shift));
    const middle = mean(h);
    const moment = (f) => rows.reduce((sum, row, i) => sum + (h[i] - middle) * f(row, i), 0);
    const slope = moment(({ y }) => y - centre) / moment((_, i) => h[i] - middle);
    const c = centre - slope * middle;
    const error = mean(rows.map(({ y }, i) => (y - c - slope * h[i]) ** 2));
    return { shift, slope, c, sigma: Math.max(0.1, Math.sqrt(error)) };
  });
  return fits.reduce((best, fit) => (fit.sigma < best.sigma ? fit : best));
}

/**
 * Where along its valley the posterior of one function is: weights w, shift w and slope / w compute
 * the same for all w > 0, and given the function, log p(w) is
 * -((1 + shift²) w² + slope² / w²) / (2 prior²) and a constant.
 * @returns {{middle: number, ends: number[]}} the median of w, and the ends of its middle 80 %
 */
function valleyOf({ shift, slope }, prior) {
  const ways = grid(0, 6 * prior, 6001).slice(1);
  const cost = ways.map((w) => (1 + shift * shift) * w * w + (slope * slope) / (w * w));
  const least = cost.reduce((best, one) => Math.min(best, one), Infinity);
  let sum = 0;
  const sums = cost.map((one) => (sum += Math.exp((least - one) / (2 * prior * prior))));
  const quantile = (share) => ways[sums.findIndex((one) => one >= share * sum)];
  return { middle: quantile(0.5), ends: [quantile(0.1), quantile(0.9)] };
}

/** Lengths of steps: square roots of the diagonal of the inverse curvature at a point. */
function scalesAt(gradient, x) {
  const h = 1e-4;
  const columns = Array.from(x, (_, i) => {
    const moved = (by) => gradient(x.map((value, j) => (i === j ? value + by : value)));
    const [right, left] = [moved(h), moved(-h)];
    return Array.from(x, (_, j) => (left[j] - right[j]) / (2 * h));
  });
  return Float64Array.from(inverse(columns), (row, i) => Math.sqrt(row[i]));
}

/**
 * @param {number[][]} matrix square
 * @returns {number[][]} its inverse, by elimination with the largest pivots
 */
function inverse(matrix) {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let k = 0; k < n; k += 1) {
    let pivot = k;
    for (let i = k; i < n; i += 1) if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    rows[k] = rows[k].map((value, _, { [k]: head }) => value / head);
    for (let i = 0; i < n; i += 1) {
      const factor = rows[i][k];
      if (i !== k) rows[i] = rows[i].map((value, j) => value - factor * rows[k][j]);
    }
  }
  return rows.map((row) => row.slice(n));
}

/** The network as weights w, b, v, c and log sigma. */
function plainCoordinates(prior) {
  return {
    from: ([w, b, v, c, logSigma]) => Float64Array.of(w, b, v, c, logSigma),
    weights: (x) => x,
    logPrior: ([w, b, v]) => logNormal(w, prior) + logNormal(b, prior) + logNormal(v, prior),
    priorSlope: ([w, b, v]) => [-w / prior ** 2, -b / prior ** 2, -v / prior ** 2],
    hidden: ([w, b], input) => Math.max(0, w * input + b),
    out: ([, , v]) => v,
    into: (_, input) => [input, 1],
  };
}

/** The same network as r w (of which the sign is in use), b / r and r v, where r = |w|. */
function unitNormCoordinates(prior) {
  return {
    from: ([w, b, v, c, logSigma]) =>
      Float64Array.of(w, b / Math.abs(w), v * Math.abs(w), c, logSigma),
    weights: ([w, b, v, c, logSigma]) =>
      Float64Array.of(w, b * Math.abs(w), v / Math.abs(w), c, logSigma),
    // The Jacobian is r for b and 1 / r for v: together 1.
    logPrior: ([w, b, v]) =>
      logNormal(w, prior) + logNormal(b * Math.abs(w), prior) + logNormal(v / Math.abs(w), prior),
    priorSlope: ([w, b, v]) => [
      (-w - b * b * w + (v * v) / (w * w * w)) / prior ** 2,
      (-b * w * w) / prior ** 2,
      -v / (w * w) / prior ** 2,
    ],
    hidden: ([w, b], input) => Math.max(0, Math.sign(w) * input + b),
    out: ([, , v]) => v,
    into: () => [0, 1],
  };
}

/** @returns {Problem} */
function valleyProblem(settings) {
  const rows = rowsInUse(settings);
  const { prior } = settings;
  const space = (isUnitNorm(settings) ? unitNormCoordinates : plainCoordinates)(prior);
  const predict = (x, input) => x[3] + space.out(x) * space.hidden(x, input);

  function logDensity(x) {
    const sigma = Math.exp(x[4]);
    let sum = space.logPrior(x) + logNormal(x[3], prior);
    sum += Math.log(2) + logNormal(sigma, 1) + x[4]; // half-normal sigma, and its Jacobian
    for (const row of rows) sum += logNormal(row.y - predict(x, row.x), sigma);
    return sum;
  }

  function gradient(x) {
    const precision = Math.exp(-2 * x[4]);
    const slope = Float64Array.of(...space.priorSlope(x), -x[3] / prior ** 2, 1 - 1 / precision);
    for (const row of rows) {
      const hidden = space.hidden(x, row.x);
      const error = row.y - predict(x, row.x);
      const down = error * precision;
      if (hidden > 0) {
        const [byW, byB] = space.into(x, row.x);
        slope[0] += down * space.out(x) * byW;
        slope[1] += down * space.out(x) * byB;
      }
      slope[2] += down * hidden;
      slope[3] += down;
      slope[4] += error * down - 1;
    }
    return slope;
  }

  const best = bestFunction(rows);
  const valley = valleyOf(best, prior);
  const along = (w) =>
    space.from([w, best.shift * Math.abs(w), best.slope / w, best.c, Math.log(best.sigma)]);
  const place = (x) => {
    const weights = space.weights(x);
    return Math.log(Math.abs(weights[0] / weights[2]));
  };
  const part = (x) => {
    const w = space.weights(x)[0];
    if (w < 0) return 3;
    return Number(w > valley.ends[0]) + Number(w > valley.ends[1]);
  };
  return {
    dimension: 5,
    logDensity,
    gradient,
    scales: scalesAt(gradient, along(valley.middle)),
    mode: part,
    tracked: [
      { label: "the weight w", of: (x) => space.weights(x)[0] },
      { label: "the product w·v", of: (x) => space.weights(x)[0] * space.weights(x)[2] },
      { label: "the prediction at x = 1", of: (x) => predict(x, 1) },
    ],
    rows,
    best,
    valley,
    along,
    place,
    predict,
    weights: space.weights,
    from: space.from,
  };
}

/** @returns {{x: number[], y: number[], xName: string, yName: string}} what the plane shows */
function planeOf({ settings, problem }) {
  const corners = problem.valley.ends.map(problem.along);
  const [widest, highest] = [0, 2].map((place) => Math.max(...corners.map((x) => x[place])));
  const x = [-0.3 * widest, 1.7 * widest];
  if (isUnitNorm(settings)) {
    return { x, y: [-0.5 * highest, 2 * highest], xName: "w = ± r", yName: "r·v" };
  }
  return { x, y: [-0.3 * highest, 1.7 * highest], xName: "w", yName: "v" };
}

function drawPlane(plot, run) {
  const { settings, problem } = run;
  const { best, valley } = problem;
  plot.begin(planeOf(run));
  plot.within(() => {
    const { prior, rows, coordinates } = settings;
    plot.shade([prior, rows, coordinates].join(), (x, y) => {
      const shift = isUnitNorm(settings) ? best.shift : best.shift * Math.abs(x);
      return problem.logDensity(Float64Array.of(x, shift, y, best.c, Math.log(best.sigma)));
    });
    drawChains(plot, run, (x) => [x[0], x[2]]);
    valley.ends.forEach((w) => endMark(plot, problem.along(w)));
  });
  plot.axes();
}

/** Mark an end of the valley by a ring. */
function endMark(plot, x) {
  const pen = plot.context;
  pen.save();
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(plot.across(x[0]), plot.up(x[2]), 13, 0, 2 * Math.PI);
  pen.stroke();
  pen.restore();
}

function drawPlace(plot, run) {
  const { place, along, valley } = run.problem;
  const ends = valley.ends.map((w) => place(along(w)));
  const y = [ends[0] - 3, ends[1] + 2];
  plot.begin({ x: stepRange(run), y, xName: "step", yName: "log |w / v|" });
  plot.within(() => {
    for (const end of ends) {
      plot.line(
        [
          [0, end],
          [plot.x[1], end],
        ],
        { paint: colour("pale"), dash: [6, 5] },
      );
    }
    drawTraces(plot, run, place);
  });
  plot.axes();
}

function drawHinge(plot, run) {
  const { predict, rows } = run.problem;
  plot.begin({ x: [-2.2, 2.2], y: [-1.6, 3.2], xName: "x", yName: "y" });
  const inputs = grid(-2.2, 2.2, 89);
  const curve = (x) => inputs.map((input) => [input, predict(x, input)]);
  plot.within(() => {
    run.chains.forEach((chain, number) => {
      const paint = chainColour(number);
      for (const x of recent(chain, 14).slice(-10)) {
        plot.line(curve(x), { paint, width: 1, alpha: 0.16 });
      }
      plot.line(curve(chain.x), { paint, width: 2.4, alpha: 0.9 });
    });
    plot.dots(
      rows.map(({ x, y }) => [x, y]),
      { paint: colour("ink"), size: 5, alpha: 0.75 },
    );
  });
  plot.axes();
}

/** @returns {number} how often chains went from one end of the valley to the other */
function crossings(run) {
  return run.chains.reduce((total, chain) => {
    let [last, count] = [-1, 0];
    for (const x of chain.draws) {
      const end = run.problem.mode(x);
      if (end === 0 || end === 2) {
        if (last >= 0 && end !== last) count += 1;
        last = end;
      }
    }
    return total + count;
  }, 0);
}

/** @returns {Figure[]} */
function valleyFigures(run) {
  const count = crossings(run);
  const paid = run.chains.reduce((sum, chain) => sum + chain.evaluations, 0);
  const values = kept(run).map((chain) => chain.map(run.problem.place));
  const effective = run.steps < FEWEST ? NaN : effectiveDraws(values);
  const draws = values.length * values[0].length;
  const what = run.settings.sampler === "hmc" ? "Leapfrog steps" : "Evaluations";
  return [
    {
      label: "Effective draws of log |w / v| in 1000 steps",
      value: Number.isNaN(effective) ? "–" : plain(Math.round((10000 * effective) / draws) / 10),
    },
    {
      label: `${what} for one crossing`,
      value: count ? Math.round(paid / count).toLocaleString("en-GB") : "–",
      verdict: count ? `${count} crossings` : `none in ${paid.toLocaleString("en-GB")}`,
    },
  ];
}

showLesson({
  chains: 4,
  sliders: [
    {
      key: "prior",
      label: "Prior scale: the length of the valley",
      values: [1, 2, 3, 5, 10],
      value: 10,
    },
    { key: "rows", label: "Rows of data: how narrow it is", values: [6, 12, 24, 48], value: 24 },
    {
      key: "step",
      label: "Step size",
      values: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
      value: 0.01,
    },
  ],
  choices: [
    {
      key: "coordinates",
      label: "Coordinates",
      options: [
        ["weights", "weights"],
        ["unit-norm", "unit norm"],
      ],
      value: "weights",
      restarts: true,
    },
  ],
  problem: valleyProblem,
  data: (settings) => {
    const rows = rowsInUse(settings);
    return { X: rows.map(({ x }) => [x]), y: rows.map(({ y }) => y) };
  },
  start: (settings, random) => {
    const { along, valley } = valleyProblem(settings);
    const [low, high] = valley.ends.map(Math.log);
    return along(Math.exp(low + (high - low) * random.uniform()));
  },
  modes: () => ({
    title: "Parts of the valley",
    names: ["first end: large v", "middle", "second end: large w", "w below 0"],
  }),
  figures: valleyFigures,
  views: [
    {
      title: "The valley",
      says:
        "Shade: log density where the other parameters fit best. Rings: its ends; a tenth of the " +
        "posterior is beyond each.",
      draw: drawPlane,
    },
    {
      title: "Where along the valley",
      says: "Step by step. Dashed: the ends. A chain that mixes crosses many times.",
      draw: drawPlace,
    },
    {
      title: "Function space",
      says: "What each chain predicts now. Dots: the data.",
      draw: drawHinge,
    },
  ],
  tries: [
    {
      name: "A long, curved valley",
      text:
        "Steps must be small for the narrow arms, and the way is long: thousands of leapfrog " +
        "steps for one crossing. The prediction does not notice.",
      settings: {},
    },
    {
      name: "The same model, unit norm",
      text:
        "Length and direction are coordinates of their own. The valley is straight, so steps can " +
        "be longer: around 100 times as many effective draws.",
      settings: { coordinates: "unit-norm", step: 0.1 },
    },
    {
      name: "Steps too large for a bend",
      text:
        "In the weights, long steps leave the narrow arms: acceptance falls, and chains stand " +
        "still for long times.",
      settings: { step: 0.1 },
    },
  ],
  look: [
    "All points of the green valley predict the same. Only the prior tells them apart: it ends " +
      "the valley where w or v becomes large. So a wider prior makes a longer valley, and more " +
      "data make a narrower one.",
    "Compare R-hat of w with R-hat of the product w·v and of the prediction. Chains that have " +
      "walked a part of the valley only disagree on w, and agree on all that the data say " +
      "something about.",
    "<b>Unit norm is not another model.</b> The switch takes the length r = |w| out of the " +
      "unit and multiplies it into v. The prior on networks stays the same, and so does the " +
      "posterior. The data see r·v and b/r; given these, r follows the prior alone. With one " +
      "input the direction is only a sign, so w = ± r. The sampler feels the difference, because " +
      "its steps are straight.",
  ],
  model: [
    "y ~ normal(v max(0, w x + b) + c, σ). The four weights are normal with mean 0, σ is " +
      "half-normal with scale 1 and sampled on the log scale: five parameters. The density is " +
      "that of <code>stan/models/mlp.stan</code> with one relu unit; with unit norm, of " +
      "<code>stan/models/mlp_unit_norm.stan</code>.",
    "HMC has 1 to 20 leapfrog steps and a diagonal metric, which comes from the curvature in " +
      "the middle of the valley, in the same way for both coordinates. Step sizes are relative " +
      "to it. Chains start in the valley, at random places between its ends, which are the 10 % " +
      "and 90 % quantiles of w given the best function. Effective draws are those of Geyer " +
      "(1992), for all chains together.",
  ],
});
