"""Lesson 2: R-hat of weights, of canonical weights and of predictions, and its own scatter."""

from __future__ import annotations

# %% [markdown]
# # 2. R-hat is right and irrelevant
#
# **What does R-hat of a weight say about the predictions of a network?**
#
# The data are those of lesson 1: 60 patients, a dose, and whether the patient was cured. Network
# and prior are the same too, with $H$ tanh units:
#
# $$p(x) = \operatorname{logistic}\Bigl(c + \sum_{j=1}^{H} v_j \tanh(w_j x + b_j)\Bigr).$$

# %%
import numpy as np

import manymodes as mm
from manymodes.networks.symmetry import canonical
from manymodes.report.plots.style import FUNCTIONS, PALE, SOFT
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number, jackknife

PRIOR_SD = 2


def doses() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 standardised doses, shape (60, 1), and whether each patient was cured."""
    rng = np.random.default_rng(1)
    dose = np.linspace(0, 10, 60).round(2)
    cured = rng.binomial(1, np.where((dose > 3) & (dose < 7), 0.9, 0.1))
    return ((dose - dose.mean()) / dose.std())[:, None], cured


def worst(draws: np.ndarray) -> float:
    """Return the largest R-hat of any column of draws, shape (chain, draw, column)."""
    return float(np.nanmax(rhat(draws)))


def flat(draws: dict[str, np.ndarray]) -> np.ndarray:
    """Return the weights of a network as columns, shape (chain, draw, weight)."""
    return np.concatenate([one.reshape(*one.shape[:2], -1) for one in draws.values()], axis=-1)


def weights(chains: mm.Chains) -> dict[str, np.ndarray]:
    """Return the weights of chains by name."""
    drawn = chains.variables()
    return {name: drawn[name] for name in ("W", "b", "V", "c")}


def probabilities(draws: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the probability of a cure at each dose, shape (chain, draw, dose)."""
    units = np.tanh(draws["W"] * x[:, 0] + draws["b"][..., None])  # chain, draw, unit, dose
    return 1 / (1 + np.exp(-draws["c"] - (draws["V"][..., 0, :, None] * units).sum(axis=-2)))


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(2, "two", "sixteen")
    X, y = doses()

    def posterior(units: int, name: str) -> mm.Posterior:
        """Return the posterior of a network."""
        network = mm.Network(1, (units,), activation="tanh", prior=f"normal:{PRIOR_SD}")
        return mm.Posterior.from_network(network, X, y, name)

    two, sixteen = posterior(2, "two"), posterior(16, "sixteen")

    # %% [markdown]
    # ## The Stan program
    #
    # One program serves both networks: the number of units is data.

    # %%
    lesson.program(two)

    # %% [markdown]
    # ## What goes wrong first
    #
    # Sixteen chains, and the rule that every R-hat must be below 1.01.

    # %%
    nuts = mm.NutsSettings(warmup=300, draws=300)
    chains = mm.run_chains(two, chains=16, nuts=nuts, **lesson.at("two"))
    found = mm.compare(two, chains=chains, **lesson.kept("two"))
    drawn = weights(chains)
    for name, draws in drawn.items():
        print(f"largest R-hat of {name}: {worst(draws.reshape(*draws.shape[:2], -1)):.2f}")

    # %% [markdown]
    # R-hat is right: the chains are in different copies of one function, and the weights have
    # different values in each. Longer chains hardly help: chains seldom change their copy.
    #
    # ## Why R-hat of a weight says little
    #
    # Ask another question of the same draws: do the chains agree on the **predictions**? That is
    # R-hat in function space, of the probability of a cure at every dose.

    # %%
    predicted = probabilities(drawn, X)
    lesson.note(
        Number(
            "largest R-hat of a prediction",
            worst(predicted),
            jackknife(worst, predicted),
            below=1.05,
        )
    )
    print(
        f"largest R-hat in canonical weight space: {worst(flat(canonical(two.network, drawn))):.3f}"
    )

    # %% [markdown]
    # *Canonical weight space* has one copy of each draw, here the one with positive $v$ and
    # increasing $b$. The chains agree there as well: nothing but the copy set them apart.
    #
    # Now see that R-hat of a weight is about labels. Replace every draw by a **random copy
    # of itself**: put its units in a random order, and turn the signs of random units. The
    # posterior does not change, since all copies have the same density. So these are valid moves;
    # a sampler may make them after every step.

    # %%
    rng = np.random.default_rng(lesson.seed)

    def random_copy(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every draw with its units in random order and with random signs."""
        shape = draws["b"].shape
        order = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        sign = rng.choice([-1, 1], shape)
        w, b, v = (
            np.take_along_axis(sign * one, order, -1)
            for one in (draws["W"][..., 0], draws["b"], draws["V"][..., 0, :])
        )
        return {"W": w[..., None], "b": b, "V": v[..., None, :], "c": draws["c"]}

    shuffled = random_copy(drawn)
    change = np.abs(probabilities(shuffled, X) - predicted).max()
    print(f"largest change of a prediction: {change:.0e}")
    assert change < 1e-12
    print(f"largest R-hat of a weight, as sampled: {worst(flat(drawn)):.2f}")
    lesson.settle(
        Number(
            "largest R-hat of a weight, of random copies of the same draws",
            worst(flat(shuffled)),
            jackknife(worst, flat(shuffled)),
            below=1.02,
        )
    )

    # %% [markdown]
    # No prediction has changed, and R-hat of the weights went from hopeless to perfect. A figure
    # that a change of labels can move so far is not about the function.
    #
    # ## The fix that fails
    #
    # *Trust a fine R-hat of the weights.* The larger the network, the finer it gets. With sixteen
    # units for a curve that needs two, most weights are hardly informed by the data: their
    # posterior looks like their prior, which has one mode. Izmailov and others (2021) saw the
    # same in deep networks.

    # %%
    many = mm.run_chains(sixteen, chains=16, nuts=nuts, **lesson.at("sixteen"))
    fine = {}
    for name, run in {"two units": chains, "sixteen units": many}.items():
        columns = flat(weights(run))
        spread = columns.std(axis=(0, 1)) / PRIOR_SD
        fine[name] = spread, rhat(columns)
        print(
            f"{name}: {np.mean(fine[name][1] < 1.1):.0%} of the weights have R-hat below 1.1; "
            f"posterior over prior standard deviation: {np.median(spread):.2f} (median)"
        )
    predicted_by_many = probabilities(weights(many), X)
    print(f"sixteen units, largest R-hat of a prediction: {worst(predicted_by_many):.2f}")

    # %% [markdown]
    # The predictions of both networks agree. R-hat of the weights was hopeless for the small one
    # and fine for the large one. So it did not tell us, in either case.
    #
    # *One threshold for all.* R-hat scatters, and how much depends on the length of the chains.
    # Take chains that are **right**: stationary, with a correlation of 0.9 from draw to draw,
    # which is what NUTS may have on a hard weight. Their R-hat is above 1.01 as long as they are
    # short.

    # %%
    def right_chains(draws: int) -> np.ndarray:
        """Return sixteen stationary chains of correlation 0.9, for 200 independent weights."""
        steps = rng.normal(size=(16, draws, 200))
        steps[:, 1:] *= np.sqrt(1 - 0.9**2)
        for draw in range(1, draws):
            steps[:, draw] += 0.9 * steps[:, draw - 1]
        return steps

    lengths = (50, 100, 200, 400, 800, 1600)
    of_right = np.stack([rhat(right_chains(n)) for n in lengths])
    for n, values in zip(lengths, of_right, strict=True):
        low, high = np.quantile(values, [0.05, 0.95])
        print(f"{n:5d} draws: R-hat of right chains is {low:.3f} to {high:.3f} (90 %)")

    # %%
    figure, axes = lesson.figure(2)
    for (name, (spread, values)), colour in zip(fine.items(), FUNCTIONS, strict=False):
        axes[0].plot(spread, values, "o", ms=4, color=colour, alpha=0.7, label=name)
    axes[0].axhline(1.1, lw=0.8, color=SOFT)
    axes[0].legend()
    axes[0].set(
        xlabel="posterior sd / prior sd of a weight", ylabel="R-hat", title="weights like the prior"
    )
    middle = np.median(of_right, axis=1)
    axes[1].fill_between(
        lengths, *np.quantile(of_right, [0.05, 0.95], axis=1), color=FUNCTIONS[2], alpha=0.3, lw=0
    )
    axes[1].plot(lengths, middle, color=FUNCTIONS[2])
    for threshold in (1.01, 1.1):
        axes[1].axhline(threshold, lw=0.8, color=SOFT)
        axes[1].annotate(f"{threshold}", (1600, threshold), color=SOFT, va="bottom", ha="right")
    axes[1].set(
        xscale="log", xticks=lengths, xticklabels=lengths, xlabel="draws of a chain",
        title="R-hat of chains that are right",
    )  # fmt: skip
    axes[1].minorticks_off()
    axes[1].tick_params(color=PALE)
    lesson.show(
        figure,
        "Left: R-hat of each weight of a network of two and of sixteen units, by how much the data "
        "inform it. Right: R-hat of sixteen stationary chains of correlation 0.9, median and 90 %, "
        "with the thresholds 1.01 and 1.1.",
    )

    # %% [markdown]
    # ## The fix that works
    #
    # Judge chains by what you will use: the predictions, with a limit that chains of this length
    # can keep. manymodes reports R-hat in three spaces. Its limit is what stationary chains of
    # the same number and effective length reach by chance. It is 1.01 for long chains, and never
    # more than 1.05: chains that cannot keep this are too short to be judged, right or not.

    # %%
    for space in mm.diagnose(found).spaces:
        print(
            f"{space.space:10} R-hat up to {space.worst_rhat:.3f}, limit {space.limits.max():.3f}: "
            f"the chains {'agree' if space.agree else 'do not agree'}"
        )
    lesson.finish({"two": found})

    # %% [markdown]
    # ## Exercises
    #
    # 1. Does R-hat of the output bias $c$ change when every draw is replaced by a random copy?
    #
    #    <details><summary>Answer</summary>
    #
    #    No. Neither an exchange of units nor a change of signs of tanh units moves $c$.
    #
    #    </details>
    #
    # 2. Two chains are in two different *functions*. Can random copies hide that from R-hat of
    #    the weights? Can they hide it from R-hat of the predictions?
    #
    #    <details><summary>Answer</summary>
    #
    #    From R-hat of the weights, partly: random copies make every weight symmetric around 0, so
    #    that only a difference in size is left. From the predictions, no: copies do not change
    #    them.
    #
    #    </details>
    #
    # 3. Sixteen chains of 100 draws have R-hat 1.2 for some prediction, and draws that follow one
    #    another have a correlation of 0.9. Are the chains wrong?
    #
    #    <details><summary>Answer</summary>
    #
    #    Not necessarily: the right panel shows that chains that are right may have it at that
    #    length. Run them longer: R-hat of right chains falls, that of stuck chains stays.
    #
    #    </details>
    #
    # ## References
    #
    # - Izmailov, Vikram, Hoffman, Wilson (2021). What are Bayesian neural network posteriors
    #   really like? Proceedings of Machine Learning Research 139, 4629.
    # - Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021). Rank-normalization, folding, and
    #   localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16,
    #   667.
    # - Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari, Gelman (2024). Nested R-hat:
    #   assessing the convergence of Markov chain Monte Carlo when running many short chains.
    #   Bayesian Analysis.
