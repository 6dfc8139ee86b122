// Lesson 3: three components and their labels (stan/models/mixture_normals.stan and
// stan/models/mixture_normals_ordered.stan).
"use strict";

const COMPONENTS = 3;
const LOG_SIGMA_SD = 0.5;
const DATA_SEED = 6;

/** Log of a component's weight and of the constant of the normal density. */
const LOG_CONSTANT = -Math.log(COMPONENTS) - 0.5 * Math.log(2 * Math.PI);

/** The 3! orders of the labels, from left to right. */
const ORDERS = ["1 2 3", "1 3 2", "2 1 3", "2 3 1", "3 1 2", "3 2 1"];

/** @returns {number[]} observations: equally many around each of three places, with sd 1 */
function observations(settings) {
  const random = new RandomNumbers(DATA_SEED, 0);
  const places = [-settings.distance, 0, settings.distance];
  return Array.from({ length: settings.n }, (_, i) => places[i % 3] + random.normal());
}

function isOrdered(settings) {
  return settings.labels === "ordered";
}

/**
 * @param {Float64Array} x unconstrained parameters
 * @param {boolean} ordered whether locations are the first one and logs of steps
 * @returns {number[]} locations mu
 */
function locations(x, ordered) {
  if (!ordered) return [x[0], x[1], x[2]];
  const second = x[0] + Math.exp(x[1]);
  return [x[0], second, second + Math.exp(x[2])];
}

/**
 * Log density of the mixture at y, and the shares of the components in it. This is where chains
 * spend their time: nothing is allocated.
 * @param {number} y
 * @param {number[]} mu
 * @param {Float64Array} x whose last three entries are logs of scales
 * @param {Float64Array} shares of the components, which are written
 * @returns {number} log density (nats)
 */
function mixtureTerms(y, mu, x, shares) {
  let most = -Infinity;
  for (let k = 0; k < COMPONENTS; k += 1) {
    const z = (y - mu[k]) * Math.exp(-x[COMPONENTS + k]);
    shares[k] = -0.5 * z * z - x[COMPONENTS + k];
    if (shares[k] > most) most = shares[k];
  }
  let sum = 0;
  for (let k = 0; k < COMPONENTS; k += 1) {
    shares[k] = Math.exp(shares[k] - most);
    sum += shares[k];
  }
  for (let k = 0; k < COMPONENTS; k += 1) shares[k] /= sum;
  return most + Math.log(sum) + LOG_CONSTANT;
}

/** @returns {number} density of the mixture at y */
function mixtureDensity(y, mu, x) {
  return Math.exp(mixtureTerms(y, mu, x, new Float64Array(COMPONENTS)));
}

/** @returns {Problem} */
function mixtureProblem(settings) {
  const y = observations(settings);
  const ordered = isOrdered(settings);
  const { prior } = settings;
  const shares = new Float64Array(COMPONENTS);

  function logDensity(x) {
    const mu = locations(x, ordered);
    let sum = ordered ? Math.log(6) + x[1] + x[2] : 0;
    for (let k = 0; k < COMPONENTS; k += 1) {
      sum += logNormal(mu[k], prior) + logNormal(x[COMPONENTS + k], LOG_SIGMA_SD);
    }
    for (const one of y) sum += mixtureTerms(one, mu, x, shares);
    return sum;
  }

  /** Slope of the log density of locations and log scales, without Jacobian. */
  function plainGradient(mu, x) {
    const slope = new Float64Array(2 * COMPONENTS);
    for (let k = 0; k < COMPONENTS; k += 1) {
      slope[k] = -mu[k] / prior ** 2;
      slope[COMPONENTS + k] = -x[COMPONENTS + k] / LOG_SIGMA_SD ** 2;
    }
    const inverse = x.slice(COMPONENTS).map((logScale) => Math.exp(-logScale));
    for (const one of y) {
      mixtureTerms(one, mu, x, shares);
      for (let k = 0; k < COMPONENTS; k += 1) {
        const z = (one - mu[k]) * inverse[k];
        slope[k] += shares[k] * z * inverse[k];
        slope[COMPONENTS + k] += shares[k] * (z * z - 1);
      }
    }
    return slope;
  }

  function gradient(x) {
    const slope = plainGradient(locations(x, ordered), x);
    if (ordered) {
      const [first, second, third] = slope;
      slope[0] = first + second + third;
      slope[1] = (second + third) * Math.exp(x[1]) + 1;
      slope[2] = third * Math.exp(x[2]) + 1;
    }
    return slope;
  }

  function mode(x) {
    if (ordered) return 0;
    const labels = [0, 1, 2].sort((a, b) => x[a] - x[b]);
    return ORDERS.indexOf(labels.map((label) => label + 1).join(" "));
  }

  const mu = (x) => locations(x, ordered);
  const logStep = 1 / Math.max(1, settings.distance); // as long as a step of a location
  return {
    scales: Float64Array.of(1, ...(ordered ? [logStep, logStep] : [1, 1]), 1, 1, 1),
    dimension: 2 * COMPONENTS,
    logDensity,
    gradient,
    mode,
    mu,
    y,
    tracked: [
      { label: "the location μ₁", of: (x) => mu(x)[0] },
      { label: "the smallest location", of: (x) => Math.min(...mu(x)) },
      { label: "the density of y at 0", of: (x) => mixtureDensity(0, mu(x), x) },
    ],
  };
}

/** @returns {number[]} range of locations in pictures */
function placeRange(settings) {
  const most = settings.distance + 4;
  return [-most, most];
}

function drawLocations(plot, run) {
  const range = placeRange(run.settings);
  const { mu } = run.problem;
  plot.begin({ x: range, y: range, xName: "μ₁", yName: "μ₂" });
  plot.within(() => {
    if (isOrdered(run.settings)) {
      plot.area(
        [
          [range[0], range[0]],
          [range[1], range[1]],
        ],
        range[1],
        { paint: colour("line"), alpha: 0.45 },
      );
    }
    plot.line(
      [
        [range[0], range[0]],
        [range[1], range[1]],
      ],
      { paint: colour("line") },
    );
    drawChains(plot, run, (x) => mu(x).slice(0, 2));
  });
  plot.axes();
}

function drawFirstLocation(plot, run) {
  const { mu } = run.problem;
  plot.begin({ x: stepRange(run), y: placeRange(run.settings), xName: "step", yName: "μ₁" });
  plot.within(() => drawTraces(plot, run, (x) => mu(x)[0]));
  plot.axes();
}

function drawMixture(plot, run) {
  const { mu, y } = run.problem;
  const range = placeRange(run.settings);
  const bins = histogram(y, range, Math.min(40, Math.ceil(2.5 * Math.sqrt(y.length))));
  const truth = (place) =>
    mixtureDensity(place, [-run.settings.distance, 0, run.settings.distance], new Float64Array(6));
  const places = grid(...range, 141);
  const most = 1.15 * Math.max(...places.map(truth), ...bins.map(([, height]) => height));
  plot.begin({ x: range, y: [0, most], xName: "y", yName: "density", yTicks: false });
  plot.within(() => {
    drawHistogram(plot, bins);
    const curve = (x) => places.map((place) => [place, mixtureDensity(place, mu(x), x)]);
    run.chains.forEach((chain, number) => {
      plot.line(curve(chain.x), { paint: chainColour(number), width: 2.4, alpha: 0.9 });
    });
    plot.line(
      places.map((place) => [place, truth(place)]),
      {
        paint: colour("ink"),
        dash: [6, 5],
        width: 1.8,
      },
    );
  });
  plot.axes();
}

/** @returns {Float64Array} a start near the true groups with labels at random, or from the prior */
function startOf(settings, random) {
  const noise = random.normals(6);
  const mu = noise.slice(0, 3).map((one) => settings.prior * one);
  if (settings.starts === "groups") {
    const places = ORDERS[Math.floor(6 * random.uniform())].split(" ").map(Number);
    places.forEach((place, k) => {
      mu[k] = settings.distance * (place - 2) + 0.3 * noise[k];
    });
  }
  const scales = noise.slice(3).map((one) => LOG_SIGMA_SD * one);
  if (!isOrdered(settings)) return Float64Array.of(...mu, ...scales);
  mu.sort();
  return Float64Array.of(mu[0], Math.log(mu[1] - mu[0]), Math.log(mu[2] - mu[1]), ...scales);
}

/** @returns {number} changes of the order of the labels in all chains */
function labelChanges(run) {
  const changes = run.chains.map((chain) => {
    const labels = chain.draws.map(run.problem.mode);
    return labels.filter((label, i) => i > 0 && label !== labels[i - 1]).length;
  });
  return changes.reduce((sum, one) => sum + one, 0);
}

showLesson({
  chains: 6,
  sliders: [
    {
      key: "distance",
      label: "Distance between the true means",
      values: [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8],
      value: 4,
    },
    { key: "n", label: "Observations", values: [15, 30, 60, 120, 240], value: 60 },
    { key: "prior", label: "Prior scale of the locations", values: [2, 5, 10, 20], value: 5 },
    { key: "step", label: "Step size", values: [0.01, 0.02, 0.05, 0.1, 0.2, 0.3], value: 0.1 },
  ],
  choices: [
    {
      key: "labels",
      label: "Locations",
      options: [
        ["free", "free"],
        ["ordered", "ordered"],
      ],
      value: "free",
      restarts: true,
    },
    {
      key: "starts",
      label: "Starts",
      options: [
        ["groups", "at the groups"],
        ["prior", "anywhere"],
      ],
      value: "groups",
      restarts: true,
    },
  ],
  problem: mixtureProblem,
  data: (settings) => ({
    N: settings.n,
    y: observations(settings),
    K: COMPONENTS,
    ...(isOrdered(settings) ? {} : { theta: [1 / 3, 1 / 3, 1 / 3] }),
    mu_sd: settings.prior,
    log_sigma_sd: LOG_SIGMA_SD,
    prior_only: 0,
    save_log_lik: 0,
  }),
  start: startOf,
  modes: (settings) =>
    isOrdered(settings)
      ? { title: "Orders of the labels", names: [`labels ${ORDERS[0]}`] }
      : { title: "Orders of the labels", names: ORDERS.map((order) => `labels ${order}`) },
  figures: (run) => [
    {
      label: "Changes of labels per 1000 steps of a chain",
      value: run.steps
        ? plain(Number(((1000 * labelChanges(run)) / run.steps / run.chains.length).toFixed(1)))
        : "–",
    },
  ],
  views: [
    {
      title: "Locations",
      says: "Free: six clouds, one for each order of the labels. Ordered: only the shaded region.",
      draw: drawLocations,
    },
    {
      title: "One location, step by step",
      says: "Lines side by side: chains keep their labels. Lines that cross: they change them.",
      draw: drawFirstLocation,
    },
    {
      title: "Function space",
      says: "The mixture of each chain now. Bars: the data; dashed: the truth.",
      draw: drawMixture,
    },
  ],
  tries: [
    {
      name: "Far apart: labels are frozen",
      text:
        "At a distance of 4 chains keep their labels. R-hat of μ₁ is large, and says only that " +
        "components have different names.",
      settings: {},
    },
    {
      name: "Close: labels change all the time",
      text:
        "At a distance of 1 the six clouds are one. R-hat of μ₁ comes down to 1, and μ₁ by " +
        "itself means nothing any more.",
      settings: { distance: 1, step: 0.2 },
    },
    {
      name: "Ordered: what remains",
      text:
        "One order of labels is left. But chains that start anywhere can still be wrong: two " +
        "components share one group of data, and one spans two groups.",
      settings: { labels: "ordered", distance: 8, prior: 10, starts: "prior" },
    },
  ],
  look: [
    "Start with the picture on the left. It has six clouds, because the three locations can be " +
      "named in 3! = 6 ways, and the prior and the likelihood do not care. Each has exactly 1/6 " +
      "of the posterior, however many chains happen to be in it.",
    "Make the distance smaller, and look for the moment when the lines in the middle begin to " +
      "cross. It comes when the groups of data overlap: then a chain can exchange two labels on " +
      "its way through equal locations.",
    "Ordering keeps one sixth of the space and six times the prior, so the evidence stays the " +
      "same. <b>It removes copies, not real modes.</b> A chain whose components divide the data " +
      "wrongly has another function: look at the picture on the right, and at R-hat of the " +
      "density. And where the true means are close, the edge of the ordered region cuts through " +
      "the middle of the posterior.",
  ],
  model: [
    "y ~ ⅓ normal(μ₁, σ₁) + ⅓ normal(μ₂, σ₂) + ⅓ normal(μ₃, σ₃), with μ ~ normal(0, prior " +
      "scale) and log σ ~ normal(0, 0.5). The density is that of " +
      "<code>stan/models/mixture_normals.stan</code>; ordered, of " +
      "<code>mixture_normals_ordered.stan</code>, whose unconstrained locations are μ₁ and the " +
      "logs of the two steps.",
    "HMC has a unit metric and 1 to 20 leapfrog steps; chains start near the true groups with " +
      "labels at random, or anywhere: at draws from the prior. R-hat is that of Vehtari and " +
      "others (2021), of the second half of each chain. Up to 1.05 the page says that chains " +
      "agree.",
  ],
});
