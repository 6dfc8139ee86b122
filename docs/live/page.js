// A page of a lesson: controls, address, animation, and drawing on canvas.
"use strict";

/**
 * What a lesson gives to the page.
 * @typedef {Object} Lesson
 * @property {number} chains how many chains run
 * @property {Slider[]} sliders
 * @property {Choice[]} choices
 * @property {(settings: Settings) => Problem} problem
 * @property {(settings: Settings) => Object} data data of the Stan program
 * @property {(settings: Settings, random: RandomNumbers) => Float64Array} start of a chain
 * @property {View[]} views
 * @property {(settings: Settings) => {title: string, names: string[]}} modes
 * @property {(run: Run) => Figure[]} figures beyond those of every lesson
 * @property {(settings: Settings) => Object} [exact] what is known exactly, for tests
 * @property {{name: string, text: string, settings: Settings}[]} tries
 * @property {string[]} look what to look at, paragraphs of HTML
 * @property {string[]} model how it is computed, paragraphs of HTML
 *
 * @typedef {Object.<string, number|string>} Settings values of sliders and choices, and the seed
 * @typedef {{key: string, label: string, values: number[], value: number}} Slider
 * @typedef {{key: string, label: string, options: string[][], value: string, restarts: boolean}}
 *   Choice its options are pairs of value and text
 * @typedef {Model & {mode: (x: Float64Array) => number, tracked: Tracked[]}} Problem
 * @typedef {{label: string, of: (x: Float64Array) => number}} Tracked a quantity with an R-hat
 * @typedef {{title: string, says: string, draw: (plot: Plot, run: Run) => void}} View
 * @typedef {{label: string, value: string, verdict?: string, good?: boolean}} Figure
 *
 * @typedef {Object} Run
 * @property {Settings} settings
 * @property {Problem} problem
 * @property {Chain[]} chains
 * @property {number} steps draws of each chain, the starting point left out
 * @property {number} phase how much of the last step's path is shown, from 0 to 1
 */

/** Draws of a chain after which it stops. */
const MOST_STEPS = 20000;

/** Steps that a page without motion takes at once. */
const LEAP = 500;

/** Steps a second; at the slowest speed a chain is seen on its way. */
const SPEEDS = { slow: 2, medium: 30, fast: 1500 };

/** Milliseconds of computing between two pictures. */
const BUDGET = 14;

/** R-hat up to which chains are said to agree. */
const AGREE = 1.05;

/** Fewest steps that figures of chains are computed from. */
const FEWEST = 40;

const SHAPES = [
  "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z",
  "M-4.5-4.5H4.5V4.5H-4.5Z",
  "M0-5.8L5.5 4.2H-5.5Z",
  "M0-6.2L6.2 0L0 6.2L-6.2 0Z",
  "M0 5.8L5.5-4.2H-5.5Z",
  "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  "M0-6L5.7-1.9L3.5 4.9H-3.5L-5.7-1.9Z",
  "M0-6.6L1.7-2.2L6.3-2L2.7.9L3.9 5.3L0 2.8L-3.9 5.3L-2.7.9L-6.3-2L-1.7-2.2Z",
];
const OUTLINES = SHAPES.map((shape) => new Path2D(shape));

const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

// ---------------------------------------------------------------- drawing

/** Colours of the style sheet by name, read once for each theme. */
const colours = new Map();

/**
 * @param {string} name of a variable of the style sheet, without its dashes
 * @returns {string}
 */
function colour(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
}

/**
 * @param {number} chain
 * @returns {string} colour of a chain
 */
function chainColour(chain) {
  return colour(`chain${chain + 1}`);
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} most
 * @returns {number[]} round numbers from low to high, at most this many
 */
function ticks(low, high, most) {
  const least = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} n
 * @returns {number[]} n numbers at equal distances
 */
function grid(low, high, n) {
  return Array.from({ length: n }, (_, i) => low + ((high - low) * i) / (n - 1));
}

/**
 * @param {number} value
 * @returns {string} as few digits as say it
 */
function plain(value) {
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

/**
 * @param {number} log
 * @returns {string} e with this exponent
 */
function powerOfE(log) {
  const raised = { "-": "⁻", ".": "·" };
  const digits = Array.from(log.toFixed(1), (sign) => raised[sign] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]);
  return `e${digits.join("")}`;
}

/** A picture with two axes on a canvas. */
class Plot {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.field = { key: "", picture: document.createElement("canvas") };
  }

  /**
   * Begin a new picture. Its lengths are pixels at the usual size of text, and grow with it.
   * @param {{x: number[], y: number[], xName: string, yName: string, yTicks?: boolean}} axes
   */
  begin({ x, y, xName, yName, yTicks = true }) {
    const zoom = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    const width = this.canvas.clientWidth / zoom;
    const height = this.canvas.clientHeight / zoom;
    const ratio = zoom * (window.devicePixelRatio || 1);
    const pixels = [width, height].map((length) => Math.round(length * ratio));
    if (this.canvas.width !== pixels[0]) this.canvas.width = pixels[0];
    if (this.canvas.height !== pixels[1]) this.canvas.height = pixels[1];
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.box = { left: yTicks ? 62 : 30, right: width - 22, top: 10, bottom: height - 46 };
    this.x = x;
    this.y = y;
    this.names = { x: xName, y: yName };
    this.yTicks = yTicks;
  }

  /** Keep what is drawn by `inside` within the axes. */
  within(inside) {
    const { left, right, top, bottom } = this.box;
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, top, right - left, bottom - top);
    this.context.clip();
    inside();
    this.context.restore();
  }

  /** Draw ticks and names of both axes. */
  axes() {
    const { left, right, top, bottom } = this.box;
    const pen = this.context;
    pen.strokeStyle = colour("pale");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(left, top);
    pen.lineTo(left, bottom);
    pen.lineTo(right, bottom);
    pen.stroke();
    for (const value of ticks(...this.x, Math.max(4, (right - left) / 65))) {
      this.text(plain(value), this.across(value), bottom + 17, { align: "center", soft: true });
    }
    for (const value of this.yTicks ? ticks(...this.y, (bottom - top) / 45) : []) {
      this.text(plain(value), left - 7, this.up(value) + 5, { align: "right", soft: true });
    }
    this.text(this.names.x, (left + right) / 2, bottom + 38, { align: "center" });
    pen.save();
    pen.translate(14, (top + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    this.text(this.names.y, 0, 0, { align: "center" });
    pen.restore();
  }

  /** @returns {number} pixels from the left */
  across(value) {
    const { left, right } = this.box;
    return left + ((right - left) * (value - this.x[0])) / (this.x[1] - this.x[0]);
  }

  /** @returns {number} pixels from the top */
  up(value) {
    const { top, bottom } = this.box;
    return bottom - ((bottom - top) * (value - this.y[0])) / (this.y[1] - this.y[0]);
  }

  /** Write text at a place in pixels. */
  text(text, x, y, { align = "left", soft = false, paint = "", bold = false } = {}) {
    this.context.font = `${bold ? "600 " : ""}${soft ? 14 : 15}px ${colour("sans")}`;
    this.context.textAlign = align;
    this.context.fillStyle = paint || colour(soft ? "soft" : "ink");
    this.context.fillText(text, x, y);
  }

  /**
   * Draw a line through points.
   * @param {number[][]} points pairs of values on the axes
   */
  line(points, { paint, width = 2, alpha = 1, dash = [] }) {
    const pen = this.context;
    pen.save();
    pen.globalAlpha = alpha;
    pen.strokeStyle = paint;
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.setLineDash(dash);
    pen.beginPath();
    points.forEach(([x, y]) => pen.lineTo(this.across(x), this.up(y)));
    pen.stroke();
    pen.restore();
  }

  /** Fill the room between a curve and a level. */
  area(points, level, { paint, alpha = 1 }) {
    const pen = this.context;
    pen.save();
    pen.globalAlpha = alpha;
    pen.fillStyle = paint;
    pen.beginPath();
    pen.moveTo(this.across(points[0][0]), this.up(level));
    points.forEach(([x, y]) => pen.lineTo(this.across(x), this.up(y)));
    pen.lineTo(this.across(points[points.length - 1][0]), this.up(level));
    pen.fill();
    pen.restore();
  }

  /** Draw many small dots of one colour. */
  dots(points, { paint, size = 2.4, alpha = 0.35 }) {
    const pen = this.context;
    pen.save();
    pen.globalAlpha = alpha;
    pen.fillStyle = paint;
    for (const [x, y] of points) {
      pen.fillRect(this.across(x) - size / 2, this.up(y) - size / 2, size, size);
    }
    pen.restore();
  }

  /** Draw the shape of a chain in its colour. */
  marker(x, y, chain, { size = 1.35, hollow = false } = {}) {
    const pen = this.context;
    pen.save();
    pen.translate(this.across(x), this.up(y));
    pen.scale(size, size);
    pen.lineWidth = 2.6 / size;
    pen.strokeStyle = hollow ? chainColour(chain) : colour("card");
    pen.fillStyle = hollow ? colour("card") : chainColour(chain);
    pen.stroke(OUTLINES[chain]);
    pen.fill(OUTLINES[chain]);
    pen.restore();
  }

  /**
   * Shade where a density is high, in bands of its log.
   * @param {string} key the picture is kept for as long as this stays
   * @param {(x: number, y: number) => number} logDensity
   */
  shade(key, logDensity) {
    const { left, right, top, bottom } = this.box;
    const width = Math.round(right - left);
    const height = Math.round(bottom - top);
    const whole = [key, width, height, dark.matches].join();
    if (this.field.key !== whole) {
      this.field.key = whole;
      this.paintField(width, height, logDensity);
    }
    this.context.drawImage(this.field.picture, left, top, width, height);
  }

  /** Paint the bands, from a coarse grid of the log density. */
  paintField(width, height, logDensity) {
    const [columns, rows] = [width, height].map((length) => Math.ceil(length / 2));
    const values = grid(...this.y, rows).map((y) =>
      grid(...this.x, columns).map((x) => logDensity(x, y)),
    );
    const most = values.flat().reduce((best, value) => Math.max(best, value), -Infinity);
    const { picture } = this.field;
    picture.width = width;
    picture.height = height;
    const pen = picture.getContext("2d");
    const image = pen.createImageData(width, height);
    const shades = BANDS.map((_, band) => channels(colour(`band${band + 1}`)));
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        const value = between(
          values,
          (column / (width - 1)) * (columns - 1),
          (1 - row / (height - 1)) * (rows - 1),
        );
        const band = BANDS.findIndex((depth) => most - value < depth);
        if (band >= 0) image.data.set([...shades[band], 255], 4 * (row * width + column));
      }
    }
    pen.putImageData(image, 0, 0);
  }
}

/** Depths below the highest log density at which shades change (nats). */
const BANDS = [0.5, 2, 4.5, 8, 12.5, 18];

/**
 * @param {string} text a colour such as #0072b2
 * @returns {number[]} red, green and blue
 */
function channels(text) {
  return [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16));
}

/**
 * @param {number[][]} values
 * @param {number} x place along a row
 * @param {number} y place along a column
 * @returns {number} value between the four nearest ones
 */
function between(values, x, y) {
  const column = Math.min(Math.floor(x), values[0].length - 2);
  const row = Math.min(Math.floor(y), values.length - 2);
  const [right, up] = [x - column, y - row];
  const along = (line) => line[column] * (1 - right) + line[column + 1] * right;
  return along(values[row]) * (1 - up) + along(values[row + 1]) * up;
}

/**
 * Draw where chains were and are in a plane.
 * @param {Plot} plot
 * @param {Run} run
 * @param {(x: Float64Array, chain: number) => number[]} at the place of a chain's draw
 */
function drawChains(plot, run, at, { paths = true } = {}) {
  run.chains.forEach((chain, number) => {
    const paint = chainColour(number);
    const place = (x) => at(x, number);
    plot.dots(recent(chain, 600).map(place), { paint });
    if (still.matches || !paths) return;
    const way = chain.path.slice(0, 1 + Math.ceil(run.phase * (chain.path.length - 1)));
    plot.line(way.map(place), { paint, width: 1.6, alpha: 0.7 });
  });
  run.chains.forEach((chain, number) => {
    const shown = run.phase < 1 ? onTheWay(chain.path, run.phase) : chain.x;
    plot.marker(...at(shown, number), number, { hollow: run.phase < 1 });
  });
}

/**
 * @param {Float64Array[]} path
 * @param {number} phase from 0 to 1
 * @returns {Float64Array} the point at this share of the path
 */
function onTheWay(path, phase) {
  const place = phase * (path.length - 1);
  const before = path[Math.floor(place)];
  const after = path[Math.min(Math.floor(place) + 1, path.length - 1)];
  const share = place - Math.floor(place);
  return before.map((value, i) => value + share * (after[i] - value));
}

/**
 * @param {Chain} chain
 * @param {number} most
 * @returns {Float64Array[]} its latest draws, of many every so many-th
 */
function recent(chain, most) {
  const draws = chain.draws.slice(Math.max(0, chain.draws.length - 8 * most));
  const every = Math.ceil(draws.length / most);
  return draws.filter((_, i) => i % every === 0);
}

/**
 * @param {Run} run
 * @returns {Float64Array[][]} draws of each chain without the first half, which is for warm-up
 */
function kept(run) {
  return run.chains.map((chain) => chain.draws.slice(1 + Math.floor(run.steps / 2)));
}

/**
 * @param {Run} run
 * @param {(x: Float64Array) => number} of
 * @returns {number[][]} a quantity by chain, of at most 1000 of the draws that are kept
 */
function thinned(run, of) {
  return kept(run).map((draws) => {
    const every = Math.ceil(draws.length / 1000);
    return draws.filter((_, i) => i % every === 0).map(of);
  });
}

/**
 * Draw one quantity against the number of steps, chain by chain.
 * @param {Plot} plot
 * @param {Run} run
 * @param {(x: Float64Array) => number} of
 */
function drawTraces(plot, run, of) {
  const every = Math.max(1, Math.ceil(run.steps / 700));
  run.chains.forEach((chain, number) => {
    const points = [];
    for (let step = 0; step <= run.steps; step += every) points.push([step, of(chain.draws[step])]);
    plot.line(points, { paint: chainColour(number), width: 1.5, alpha: 0.85 });
  });
  run.chains.forEach((chain, number) => plot.marker(run.steps, of(chain.x), number));
}

/**
 * @param {Run} run
 * @returns {number[]} the range of steps that traces are drawn on
 */
function stepRange(run) {
  const last = [100, 200, 500, 1000, 2000, 5000, 10000, MOST_STEPS].find((n) => n >= run.steps);
  return [-last / 40, 1.03 * last];
}

/**
 * @param {number[]} values
 * @param {number[]} range values beyond it are left out
 * @param {number} bins
 * @returns {number[][]} middle, height and width of each bar; heights are a density
 */
function histogram(values, [low, high], bins) {
  const width = (high - low) / bins;
  const counts = new Array(bins).fill(0);
  for (const value of values) {
    const bin = Math.floor((value - low) / width);
    if (bin >= 0 && bin < bins) counts[bin] += 1;
  }
  return counts.map((count, bin) => [
    low + (bin + 0.5) * width,
    count / values.length / width,
    width,
  ]);
}

/**
 * @param {Plot} plot
 * @param {number[][]} bins as `histogram` returns them
 */
function drawHistogram(plot, bins) {
  for (const [middle, height, width] of bins) {
    const edge = [
      [middle - 0.47 * width, height],
      [middle + 0.47 * width, height],
    ];
    plot.area(edge, 0, { paint: colour("bar") });
  }
}

// ---------------------------------------------------------------- the run

/**
 * @param {Lesson} lesson
 * @param {Settings} settings
 * @returns {Run} chains at their starting points
 */
function newRun(lesson, settings) {
  const problem = lesson.problem(settings);
  const chains = Array.from({ length: lesson.chains }, (_, number) => {
    const random = new RandomNumbers(settings.seed, number);
    return newChain(problem, lesson.start(settings, random), random);
  });
  return { settings, problem, chains, steps: 0, phase: 1 };
}

/**
 * Advance every chain by one step.
 * @param {Run} run
 */
function advance(run) {
  const step = SAMPLERS[run.settings.sampler];
  run.chains.forEach((chain) => step(run.problem, chain, run.settings.step));
  run.steps += 1;
}

/**
 * @param {number} value an R-hat
 * @returns {{value: string, verdict: string, good?: boolean}}
 */
function verdict(value) {
  if (Number.isNaN(value)) return { value: "–", verdict: "too few steps yet" };
  const good = value <= AGREE;
  const shown = value < 100 ? value.toFixed(2) : "> 100";
  return { value: shown, verdict: `the chains ${good ? "agree" : "disagree"}`, good };
}

/**
 * The figures that every lesson has.
 * @param {Run} run
 * @returns {Figure[]}
 */
function commonFigures(run) {
  const sum = (key) => run.chains.reduce((total, chain) => total + chain[key], 0);
  const share = sum("acceptance") / (run.steps * run.chains.length);
  const rhats = run.problem.tracked.map(({ label, of }) => ({
    label: `R-hat of ${label}`,
    ...verdict(run.steps < FEWEST ? NaN : rhat(thinned(run, of))),
  }));
  const end = run.steps < MOST_STEPS ? "" : ": the end, Restart begins anew";
  return [
    {
      label: "Steps of each chain",
      value: run.steps.toLocaleString("en-GB"),
      verdict: `seed ${run.settings.seed}${end}`,
    },
    { label: "Acceptance", value: run.steps ? `${(100 * share).toFixed(0)} %` : "–" },
    ...rhats,
  ];
}

// ---------------------------------------------------------------- the page

/**
 * @param {string} tag
 * @param {Object} [properties]
 * @param {(Node|string)[]} [children]
 * @returns {HTMLElement}
 */
function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * @param {number} chain
 * @returns {SVGElement} the shape of a chain in its colour
 */
function badge(chain) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "-7 -7 14 14");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[chain]);
  path.style.fill = `var(--chain${chain + 1})`;
  svg.append(path);
  return svg;
}

/** The page: it shows a run, and changes it as the controls say. */
class Page {
  /** @param {Lesson} lesson */
  constructor(lesson) {
    this.lesson = lesson;
    this.goal = 0;
    this.speed = "medium";
    this.beginning = 0;
    this.figuresDrawn = 0;
    this.build();
    this.follow();
    this.readAddress();
    window.addEventListener("hashchange", () => this.readAddress());
    window.addEventListener("resize", () => this.draw());
    dark.addEventListener("change", () => {
      colours.clear();
      this.draw();
    });
    still.addEventListener("change", () => this.pause());
  }

  get choices() {
    return [...this.lesson.choices, SAMPLER];
  }

  /** @returns {Settings} the settings that the page begins with */
  defaults() {
    const given = [...this.lesson.sliders, ...this.choices].map(({ key, value }) => [key, value]);
    return { ...Object.fromEntries(given), seed: 1 };
  }

  get running() {
    return this.run.steps < this.goal;
  }

  // ---- making the page

  build() {
    const find = (id) => document.getElementById(id);
    this.parts = Object.fromEntries(
      ["start", "step", "restart", "seed", "figures", "modes", "said"].map((id) => [id, find(id)]),
    );
    this.plots = this.lesson.views.map((view) => this.addView(find("views"), view));
    this.lesson.sliders.forEach((slider) => find("sliders").append(this.sliderOf(slider)));
    this.choices.forEach((choice) => find("choices").append(this.choiceOf(choice)));
    find("choices").append(this.speedChoice());
    this.lesson.tries.forEach((one) => find("tries").append(this.tryOf(one)));
    const paragraphs = (texts) => texts.map((html) => element("p", { innerHTML: html }));
    find("look").append(...paragraphs(this.lesson.look));
    find("model").append(...paragraphs(this.lesson.model));
  }

  addView(place, view) {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${view.title}: ${view.says}`);
    const caption = element("figcaption", {}, [element("b", { textContent: view.title })]);
    caption.append(` ${view.says}`);
    place.append(element("figure", {}, [canvas, caption]));
    return new Plot(canvas);
  }

  sliderOf({ key, label, values }) {
    const id = `slider-${key}`;
    const input = element("input", { type: "range", id, min: 0, max: values.length - 1 });
    input.addEventListener("input", () => this.change({ [key]: values[Number(input.value)] }));
    const name = element("label", { htmlFor: id, textContent: label });
    const value = element("output", { id: `${id}-value`, htmlFor: id });
    return element("div", { className: "slider" }, [name, value, input]);
  }

  choiceOf({ key, label, options }) {
    const segments = options.map(([value, text]) => {
      const input = element("input", { type: "radio", name: key, value });
      input.addEventListener("change", () => this.change({ [key]: value }));
      return element("label", {}, [input, element("span", { textContent: text })]);
    });
    const legend = element("legend", { textContent: label });
    return element("fieldset", {}, [legend, element("div", { className: "segments" }, segments)]);
  }

  speedChoice() {
    const options = Object.keys(SPEEDS).map((name) => [name, name]);
    const made = this.choiceOf({ key: "speed", label: "Speed", options });
    made.querySelectorAll("input").forEach((input) => {
      input.checked = input.value === this.speed;
    });
    return made;
  }

  tryOf({ name, text, settings }) {
    const button = element("button", { type: "button", textContent: name });
    button.addEventListener("click", () => {
      this.restart({ ...this.defaults(), ...settings }, 0);
      this.start();
      document.getElementById("views").scrollIntoView({ block: "nearest" });
    });
    return element("li", {}, [button, element("p", { textContent: text })]);
  }

  follow() {
    const { start, step, restart, seed } = this.parts;
    start.addEventListener("click", () => (this.running ? this.pause() : this.start()));
    step.addEventListener("click", () => this.takeOne());
    restart.addEventListener("click", () => this.restart(this.run.settings, 0));
    seed.addEventListener("click", () => {
      this.restart({ ...this.run.settings, seed: this.run.settings.seed + 1 }, 0);
    });
  }

  // ---- the address

  /** Show what the address says; what it does not say, or says wrongly, is as at first. */
  readAddress() {
    const given = new URLSearchParams(window.location.hash.slice(1));
    if (this.run && given.toString() === this.address()) return;
    const settings = this.defaults();
    for (const { key, values } of this.lesson.sliders) {
      if (values.map(String).includes(given.get(key))) settings[key] = Number(given.get(key));
    }
    for (const { key, options } of this.choices) {
      if (options.some(([value]) => value === given.get(key))) settings[key] = given.get(key);
    }
    const whole = (key, least) => {
      const value = Number(given.get(key) ?? NaN);
      return Number.isSafeInteger(value) && value >= least ? value : least;
    };
    settings.seed = whole("seed", 1);
    this.restart(settings, Math.min(whole("steps", 0), MOST_STEPS));
  }

  address() {
    return new URLSearchParams({ ...this.run.settings, steps: this.run.steps }).toString();
  }

  writeAddress() {
    if (window.location.hash.slice(1) !== this.address()) {
      window.history.replaceState(null, "", `#${this.address()}`);
    }
  }

  // ---- what the controls do

  /** Change some settings; chains begin anew unless only the picture is another one. */
  change(changed) {
    if ("speed" in changed) {
      this.speed = changed.speed;
      this.beginning = 0;
      return;
    }
    const settings = { ...this.run.settings, ...changed };
    const harmless = this.choices.filter(({ restarts }) => !restarts).map(({ key }) => key);
    if (Object.keys(changed).every((key) => harmless.includes(key))) {
      this.run.settings = settings;
      this.show();
    } else {
      const running = this.running && !this.catching;
      this.restart(settings, 0);
      if (running) this.start();
    }
  }

  /** Put chains at their starting points, and take them on to a number of steps. */
  restart(settings, steps) {
    this.run = newRun(this.lesson, settings);
    this.goal = steps;
    this.catching = true;
    this.names = this.lesson.modes(settings).names;
    this.show();
    if (steps) this.animate();
  }

  start() {
    this.catching = still.matches;
    this.goal = still.matches ? Math.min(this.run.steps + LEAP, MOST_STEPS) : MOST_STEPS;
    this.beginning = 0;
    this.show();
    this.animate();
  }

  pause() {
    this.goal = this.run.steps;
    this.run.phase = 1;
    this.show();
  }

  takeOne() {
    if (this.run.steps < MOST_STEPS) advance(this.run);
    this.pause();
  }

  /** Take steps, picture after picture, until the goal is reached or moved. */
  animate() {
    if (this.frame) return;
    const next = (now) => {
      this.frame = 0;
      if (!this.running) return;
      this.advanceUntil(now);
      if (!this.running) {
        this.pause();
        return;
      }
      const late = now - this.figuresDrawn > 400;
      if (!this.catching || (late && !still.matches)) this.draw();
      if (late && !still.matches) this.showFigures(now);
      this.frame = requestAnimationFrame(next);
    };
    this.frame = requestAnimationFrame(next);
  }

  /** Take as many steps as are due at a time, and as fit into the budget. */
  advanceUntil(now) {
    const rate = SPEEDS[this.speed] / 1000;
    if (!this.beginning || this.catching) {
      this.beginning = now;
      this.before = this.run.steps;
    }
    const exact = this.before + 1 + rate * (now - this.beginning);
    const due = this.catching ? this.goal : Math.min(Math.floor(exact), this.goal);
    const end = performance.now() + BUDGET;
    while (this.run.steps < due && performance.now() < end) advance(this.run);
    if (this.run.steps < due) {
      this.beginning = now;
      this.before = this.run.steps;
    }
    const slow = !this.catching && this.speed === "slow";
    this.run.phase = slow ? Math.min(1, 1.25 * (exact - Math.floor(exact))) : 1;
  }

  // ---- showing

  show() {
    this.showControls();
    this.draw();
    this.showFigures(performance.now());
  }

  showControls() {
    const { settings } = this.run;
    for (const { key, values } of this.lesson.sliders) {
      const input = document.getElementById(`slider-${key}`);
      input.value = values.indexOf(settings[key]);
      input.setAttribute("aria-valuetext", plain(settings[key]));
      document.getElementById(`slider-${key}-value`).value = plain(settings[key]);
    }
    for (const { key } of this.choices) {
      document.querySelectorAll(`input[name="${key}"]`).forEach((input) => {
        input.checked = input.value === settings[key];
      });
    }
    const begin = still.matches ? `Run ${LEAP} steps` : "Start";
    this.parts.start.textContent = this.running ? "Pause" : begin;
  }

  draw() {
    this.lesson.views.forEach((view, i) => view.draw(this.plots[i], this.run));
  }

  showFigures(now) {
    this.figuresDrawn = now;
    const figures = [...commonFigures(this.run), ...this.lesson.figures(this.run)];
    const columns = figures.length > 5 ? Math.ceil(figures.length / 2) : figures.length;
    this.parts.figures.style.setProperty("--columns", columns);
    this.parts.figures.replaceChildren(...figures.map(figureOf));
    this.showModes();
    if (!this.running || !this.catching) this.writeAddress(); // on the way it is where we go
    if (!this.running) this.say(figures);
  }

  /** Tell those who do not see the page, when it rests. */
  say(figures) {
    const told = figures.map(({ label, value }) => `${label}: ${value}`);
    this.parts.said.textContent = this.run.steps ? told.join("; ") : "";
  }

  showModes() {
    const { title, names } = this.lesson.modes(this.run.settings);
    const cells = names.map((name) => element("li", {}, [element("span", { textContent: name })]));
    const counts = names.map(() => 0);
    this.run.chains.forEach((chain, number) => {
      const mode = this.run.problem.mode(chain.x);
      counts[mode] += 1;
      cells[mode].append(badge(number));
    });
    counts.forEach((count, mode) => {
      const told = count === 1 ? "1 chain" : `${count} chains`;
      cells[mode].append(element("span", { className: "unseen", textContent: told }));
      cells[mode].classList.toggle("empty", count === 0);
    });
    const taken = counts.filter(Boolean).length;
    const heading = `${title}: ${this.run.chains.length} chains in ${taken} of ${names.length}`;
    const list = element("ul", {}, cells);
    list.style.setProperty("--columns", names.length > 6 ? names.length / 2 : names.length);
    this.parts.modes.replaceChildren(element("h2", { textContent: heading }), list);
  }
}

const SAMPLER = {
  key: "sampler",
  label: "Sampler",
  options: [
    ["hmc", "HMC"],
    ["metropolis", "Metropolis"],
  ],
  value: "hmc",
  restarts: true,
};

/**
 * @param {Figure} figure
 * @returns {HTMLElement}
 */
function figureOf({ label, value, verdict: told = "", good }) {
  const judged = good === undefined ? "" : good ? "good" : "bad";
  return element("div", { className: judged }, [
    element("dt", { textContent: label }),
    element("dd", {}, [
      element("b", { textContent: value }),
      element("span", { textContent: told }),
    ]),
  ]);
}

/**
 * Show a lesson, and hand its parts to those who check them.
 * @param {Lesson} lesson
 */
function showLesson(lesson) {
  const page = new Page(lesson);
  const problem = (settings) => lesson.problem({ ...page.run.settings, ...settings });
  window.manymodes = {
    logDensity: (x, settings) => problem(settings).logDensity(Float64Array.from(x)),
    gradient: (x, settings) => Array.from(problem(settings).gradient(Float64Array.from(x))),
    data: (settings) => lesson.data({ ...page.run.settings, ...settings }),
    exact: (settings) => lesson.exact?.({ ...page.run.settings, ...settings }),
    rhat,
    effectiveDraws,
    get settings() {
      return { ...page.run.settings };
    },
    get steps() {
      return page.run.steps;
    },
    get running() {
      return page.running;
    },
    get draws() {
      return page.run.chains.map((chain) => chain.draws.map((draw) => Array.from(draw)));
    },
  };
}
