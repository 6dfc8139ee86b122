"""Lesson 10: two modes, whose weights for belief and for prediction differ by a factor of e^13."""

from __future__ import annotations

# %% [markdown]
# # 10. Believe or predict?
#
# **Which mode of a posterior should we trust: the one with the evidence, or the one that
# predicts?**
#
# A hundred observations come from two places, half from each. Our model knows one place only,
#
# $$y_n \sim \operatorname{Cauchy}(\mu, 1), \qquad \mu \sim \operatorname{normal}(0, 10).$$
#
# A Cauchy distribution has heavy tails. So the model can stay at one of the places and take the
# other half of the data for outliers. The example is that of Yao, Vehtari and Gelman (2022).

# %%
import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.integrate import quad
from scipy.special import expit, logsumexp, softmax

import manymodes as mm
from manymodes.modes.checks.result import BRIDGE, MODE
from manymodes.report.plots.style import FUNCTIONS, PALE, REST, SOFT, WHOLE
from manymodes.statistics.pooled import pooled_lpd
from manymodes.studies.cauchy import cauchy_data, cauchy_modes, cauchy_posterior
from manymodes.studies.lessons import Lesson, Number, jackknife
from manymodes.toolchain import stan_dir

if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(10, "one-location", "two-locations")
    y = cauchy_data()
    posterior = cauchy_posterior(y)

    # %% [markdown]
    # ## The Stan program

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # We run sixteen chains. They find two modes, one at each place, and stay where they are. Then
    # we ask three usual questions. How many chains are in each mode (occupancy)? How much
    # evidence does each mode have? We integrate each by bridge sampling from its own chains. And
    # which weights would make the best predictions, if each observation was predicted from the
    # others (stacking)?

    # %%
    nuts = mm.NutsSettings(warmup=150, draws=200)
    chains = mm.run_chains(
        posterior, chains=16, nuts=nuts, init="radius:10", **lesson.at("one-location")
    )
    tempered = mm.run_tempered(posterior, **lesson.at("one-location"))
    found = mm.compare(posterior, chains=chains, tempered=tempered, **lesson.kept("one-location"))
    left, right = sorted(
        found.summaries,
        key=lambda mode: found.modes.peaks[np.flatnonzero(found.labels == mode.id)[0]][0],
    )
    checks = mm.check(found, seed=lesson.seed)
    integrals = [checks.row(BRIDGE, MODE, mode.id) for mode in (left, right)]
    log_ratio = integrals[1].log_z - integrals[0].log_z
    evidence = np.array([expit(-log_ratio), expit(log_ratio)])
    stacking = np.array([left.stacking.value, right.stacking.value])
    print("              left          right")
    print(f"occupancy     {left.occupancy.value:<13.2f} {right.occupancy.value:.2f}")
    print(f"evidence      {evidence[0]:<13.1e} {evidence[1]:.6f}")
    print(f"stacking      {stacking[0]:<13.3f} {stacking[1]:.3f}")

    # %% [markdown]
    # Is one of them wrong? There is only one parameter, so that both weights can be computed
    # without sampling, by quadrature. The evidence prefers the mode on the right by a factor of
    # $e^{13.26}$, and stacking gives it 0.523. The sampled weights are these.

    # %%
    exact = cauchy_modes(y)
    lesson.note(
        Number(
            "log of the ratio of the evidences (nats)",
            log_ratio,
            float(np.hypot(*(np.fmax(one.log_z_sd, one.reshuffled_sd) for one in integrals))),
            expected=exact.log_ratio,
        )
    )

    def weight_on_the_right(chains: np.ndarray) -> float:
        """Return the stacking weight of the right mode from chains: their sides, then scores."""
        pooled = pooled_lpd(chains[:, 1:].T, chains[:, 0], np.ones(len(chains)))
        return float(mm.stack(pooled).weights[1])

    sides = chains.rows[..., 0].mean(axis=1) > 0
    lesson.note(
        Number(
            "stacking weight of the mode on the right",
            stacking[1],
            jackknife(weight_on_the_right, np.column_stack([sides, chains.scored_lpd.T])),
            expected=exact.stacking[1],
        )
    )

    # %% [markdown]
    # ## Why both are right
    #
    # They answer two questions.
    #
    # *What do we believe?* If all data come from one place, where is it? The evidence of a mode
    # is its share of the posterior. Each observation multiplies the ratio of the two evidences
    # by a factor of its own. A little more luck on the right, a hundred times over, becomes a
    # factor of $e^{13}$.
    #
    # *What do we predict?* Which mixture of the modes predicts the next observation best? Half of
    # the observations come from the left. A mixture without a part there loses several nats on
    # each of them. Stacking leaves each observation out and sees this.
    #
    # If the model was right, the two questions would have one answer. It is wrong, and we can
    # measure what that costs. We draw fresh data from the same two places. Each mode predicts
    # them with its own draws; the modes have their evidence weights first and their stacking
    # weights then. Quadrature says what the second must gain over the first.

    # %%
    LOCATIONS = np.linspace(-60, 60, 2401)

    def log_cauchy(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Return the log density of points (N,) around centres (G,), shape (N, G)."""
        return -np.log(np.pi) - np.log1p((points[:, None] - centres) ** 2)

    def by_quadrature(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return evidence and stacking weight of each mode, and its posterior on the grid."""
        log_lik = log_cauchy(y, LOCATIONS)
        log_joint = log_lik.sum(axis=0) - LOCATIONS**2 / 200
        inner = log_joint[1:-1]
        valleys = np.flatnonzero((inner < log_joint[:-2]) & (inner <= log_joint[2:])) + 1
        modes = np.split(np.arange(len(LOCATIONS)), valleys)
        log_z = np.array([logsumexp(log_joint[mode]) for mode in modes])
        lpd = [
            logsumexp(log_joint[mode]) - logsumexp(log_joint[mode] - log_lik[:, mode], axis=1)
            for mode in modes
        ]
        inside = np.zeros((len(modes), len(LOCATIONS)))
        for one, mode in zip(inside, modes, strict=True):
            one[mode] = softmax(log_joint[mode])
        return softmax(log_z), mm.stack(np.stack(lpd, axis=1)).weights, inside

    def log_score(points: np.ndarray, centres: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the log density of points under a mixture of Cauchy distributions."""
        return np.log(np.exp(log_cauchy(points, centres)) @ weights)

    exact_evidence, exact_stacking, inside = by_quadrature(y)

    def gain_at(point: float) -> float:
        """Return what stacking gains at a fresh observation, times the density of this."""
        at = np.array([point])
        stacked = log_score(at, LOCATIONS, exact_stacking @ inside)
        weighed = log_score(at, LOCATIONS, exact_evidence @ inside)
        truth = np.exp(log_cauchy(at, np.array([-10, 10]))).mean()
        return float(truth * (stacked - weighed)[0])

    borders = [-np.inf, -20, -10, 10, 20, np.inf]
    expected_gain = sum(quad(gain_at, *ends, limit=200)[0] for ends in pairwise(borders))

    draws = chains.rows[..., 0].ravel()[::10]
    shares = np.stack([draws < 0, draws > 0]) / [[(draws < 0).sum()], [(draws > 0).sum()]]
    fresh = cauchy_data(1000 + lesson.seed, 4000)
    stacked = log_score(fresh, draws, stacking @ shares)
    weighed = log_score(fresh, draws, evidence @ shares)
    lesson.settle(
        Number(
            "gain of stacking over evidence on fresh data (nats per observation)",
            float((stacked - weighed).mean()),
            float((stacked - weighed).std(ddof=1) / np.sqrt(len(fresh))),
            expected=expected_gain,
        )
    )

    # %%
    figure, (belief, forecast) = lesson.figure(2, height=3.2)
    line = np.linspace(-17, 17, 1701)
    log_joint = log_cauchy(y, line).sum(axis=0) - line**2 / 200
    log_joint -= log_joint.max()
    lower = log_joint[line < 0].max()
    belief.plot(line, log_joint, color=WHOLE)
    belief.plot([-9.7, 9.9], [lower, lower], lw=0.9, ls="--", color=PALE)
    belief.annotate(
        "",
        xy=(9.9, 0),
        xytext=(9.9, lower),
        arrowprops={"arrowstyle": "<->", "color": FUNCTIONS[0], "shrinkA": 0, "shrinkB": 0},
    )
    belief.text(7.6, lower / 2, "13 nats", ha="right", va="center", color=FUNCTIONS[0])
    belief.set(title="belief: where is the location?", xlabel="location", ylim=(-60, 4))
    belief.set_ylabel("log posterior density (nats)")
    places = np.linspace(-20, 20, 801)
    near = fresh[np.abs(fresh) < 20]
    share = np.full(len(near), 80 / 40 / len(fresh))
    forecast.hist(near, bins=80, range=(-20, 20), weights=share, color=REST, alpha=0.55)
    for weights, name, colour, height in (
        (evidence, "by evidence", FUNCTIONS[0], 0.28),
        (stacking, "by stacking", FUNCTIONS[1], 0.24),
    ):
        density = np.exp(log_score(places, draws, weights @ shares))
        forecast.plot(places, density, color=colour)
        forecast.text(-19.5, height, name, color=colour)
    forecast.text(-19.5, 0.20, "fresh data", color=SOFT)
    forecast.set(title="prediction: where is the next one?", xlabel="observation")
    forecast.set_ylabel("density")
    lesson.show(
        figure,
        "Left: the log posterior of the location. Its two peaks differ by about 13 nats. Right: "
        "fresh data, and the predictions of both modes together, weighed by evidence and by "
        "stacking.",
    )

    # %% [markdown]
    # ## And if the model is right?
    #
    # Then the evidence weights are the best, on average over data sets that the prior and the
    # model generate. No other prediction from the same data has a higher expected log score
    # (Aitchison 1975). We generate small data sets from one place, keep those whose posterior has
    # several modes, and measure it on fresh data from the same place.

    # %%
    rng = np.random.default_rng(lesson.seed)
    gains = []
    for _ in range(400):
        centre = rng.normal(0, 10)
        few = centre + rng.standard_cauchy(6)
        more = centre + rng.standard_cauchy(200)
        by_evidence, by_stacking, parts = by_quadrature(few)
        if len(parts) > 1:
            weighed = log_score(more, LOCATIONS, by_evidence @ parts)
            stacked = log_score(more, LOCATIONS, by_stacking @ parts)
            gains.append(float((weighed - stacked).mean()))
    print(f"{len(gains)} of 400 data sets of six observations have several modes")
    lesson.note(
        Number(
            "gain of evidence over stacking where the model is right (nats per observation)",
            float(np.mean(gains)),
            float(np.std(gains, ddof=1) / np.sqrt(len(gains))),
            above=0.0,
        )
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *More chains, and longer ones.* After the warm-up no chain leaves its mode. So the share of
    # chains in a mode depends on where they start, and more chains only measure that share more
    # precisely. To see that it is neither weight, we take 30 of the observations on the left
    # away. Now the valley is left of the middle. From near 0 all chains go to the right, however
    # many there are. From far apart, some go to the left.

    # %%
    fewer = np.concatenate([y[:20], y[50:]])
    uneven = cauchy_posterior(fewer)
    by_evidence, by_stacking, _ = by_quadrature(fewer)
    print(f"evidence of the left mode {by_evidence[0]:.0e}, stacking {by_stacking[0]:.2f}")
    for starts, number, length in (
        ("radius:2", 8, 200),
        ("radius:2", 24, 400),
        ("radius:40", 24, 200),
    ):
        run = mm.run_chains(
            uneven,
            chains=number,
            nuts=mm.NutsSettings(warmup=150, draws=length),
            init=starts,
            seed=lesson.seed,
            quiet=True,
        )
        occupied = (run.rows[..., 0] < 0).mean()
        print(f"{number} chains of {length} from {starts}: occupancy of the left {occupied:.2f}")

    # %% [markdown]
    # ## The fix that works
    #
    # *Say which question is asked.* To report what the data say about $\mu$ under this model,
    # take the evidence. To predict, take stacking.
    #
    # *Then enlarge the model.* Where the two weights differ so much, the model lacks what its
    # modes have together. Stacking even says what: a mixture of two places.

    # %%
    data = {"N": len(y), "y": y.tolist(), "prior_only": 0, "save_log_lik": 0}
    file = stan_dir() / "models" / "cauchy_two_locations.stan"
    larger = mm.Posterior(mm.Program(file), data, "two-locations")
    lesson.program(larger)

    # %% [markdown]
    # The chains start at draws of tempering. (From elsewhere, some chains are stuck with one
    # location at an outlier, a mode of next to no evidence.)

    # %%
    larger_tempered = mm.run_tempered(larger, **lesson.at("two-locations"))
    chosen = larger_tempered.rows[:: len(larger_tempered.rows) // 8][:8]
    starts = [{"mu": [low, high], "theta": theta} for low, high, theta in chosen.tolist()]
    with TemporaryDirectory() as folder:
        begin = Path(folder) / "starts.json"
        begin.write_text(json.dumps(starts), encoding="utf-8")
        larger_chains = mm.run_chains(
            larger, chains=8, nuts=nuts, init=str(begin), **lesson.at("two-locations")
        )
    both = mm.compare(
        larger, chains=larger_chains, tempered=larger_tempered, **lesson.kept("two-locations")
    )
    mode = both.summaries[0]
    print(f"weights of the heaviest mode: evidence {mode.evidence.value:.3f}, ", end="")
    print(f"stacking {mode.stacking.value:.3f}, occupancy {mode.occupancy.value:.3f}")
    print(f"largest R-hat: {np.nanmax(both.rhat_weights):.2f}")
    print(f"log_z: {found.headline.log_z.value:.1f} before, {both.headline.log_z.value:.1f} now")

    # %% [markdown]
    # One mode holds nearly everything: belief and prediction agree. The evidence of the larger
    # model is higher by more than a hundred nats. So the data did not say that the right place is
    # the true one. They said that, of two bad answers, it is the less bad one.
    #
    # The larger model predicts about as well as stacking did. Stacking had repaired the
    # prediction already; now the belief is repaired too.

    # %%
    sampled = larger_chains.variables()
    centres = sampled["mu"].reshape(-1, 2)[::10]
    theta = sampled["theta"].reshape(-1)[::10]
    mixed = np.stack([theta, 1 - theta], axis=1) / len(theta)
    enlarged = log_score(fresh, centres.ravel(), mixed.ravel())
    difference = enlarged - log_score(fresh, draws, stacking @ shares)
    error = difference.std(ddof=1) / np.sqrt(len(fresh))
    print(f"score minus that of stacking: {difference.mean():.3f} ± {error:.3f} nats each")

    # %%
    lesson.finish({"one-location": found, "two-locations": both})

    # %% [markdown]
    # ## Exercises
    #
    # 1. Draw data again with other seeds, with 100 and with 400 observations, and compute
    #    `cauchy_modes(y).log_ratio`. How does it grow with the number of observations?
    #
    #    <details><summary>Answer</summary>
    #
    #    The log of the ratio is a sum of terms, one for each observation, whose mean is 0 here.
    #    So it is a random walk: its size doubles with four times the data (the standard deviation
    #    is about 18 nats with 100 observations and 40 with 400), and either mode wins in about
    #    half of the data sets. More data make the evidence surer of one mode, and not righter.
    #
    #    </details>
    #
    # 2. Of 100 observations 30 come from the left. Where do both weights of the left mode go as
    #    the data grow?
    #
    #    <details><summary>Answer</summary>
    #
    #    The stacking weight goes to a value near 0.3, because it follows the shares of the
    #    observations. The evidence weight goes to 0 at an exponential rate: now the terms of the
    #    random walk have a mean that is not 0.
    #
    #    </details>
    #
    # 3. Give the model a scale of 20 in place of 1: y ~ Cauchy(mu, 20). How many modes are there
    #    now, and is the model better?
    #
    #    <details><summary>Answer</summary>
    #
    #    There is one, near 0. Two observations at -a and a give the likelihood a valley in the
    #    middle only if the scale is below a, here 10. R-hat is good now, and belief and
    #    prediction agree, but the model is no better: it predicts most where no data are.
    #    Agreement of the two weights does not prove a model.
    #
    #    </details>
    #
    # ## References
    #
    # - Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
    #   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
    # - Yao, Vehtari, Simpson, Gelman (2018). Using stacking to average Bayesian predictive
    #   distributions. Bayesian Analysis 13, 917.
    # - Aitchison (1975). Goodness of prediction fit. Biometrika 62, 547.
    # - Meng, Wong (1996). Simulating ratios of normalizing constants via a simple identity: a
    #   theoretical exploration. Statistica Sinica 6, 831.
