"""Lesson 11: evidence, leave-one-out and fresh data against the number of units; easy and hard."""

from __future__ import annotations

# %% [markdown]
# # 11. How many units?
#
# **What do the evidence, leave-one-out scores and fresh data say about the number of hidden
# units, and is a larger network easier to sample?**
#
# Points of two classes lie on the corners of a square, each class on one diagonal. A network with
# $H$ tanh units gives the log odds of class 1,
#
# $$f(x) = c + \sum_{j=1}^{H} v_j \tanh(w_j \cdot x + b_j),$$
#
# and every weight has a normal prior with standard deviation 2.

# %%
import numpy as np

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, SOFT
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number, jackknife

PRIOR_SD = 2
SIZES = (1, 2, 3, 4, 6, 8)
LARGE = (2, 4, 8, 16, 32)


def corners(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n noisy corners of a square, shape (n, 2), and 1 for those on its first diagonal."""
    rng = np.random.default_rng(seed)
    corner = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])[rng.integers(4, size=n)]
    return corner + 0.5 * rng.normal(size=(n, 2)), (corner.prod(axis=1) > 0).astype(int)


def log_score(probability: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log predictive density of each row: of the mean over draws, shape (rows,)."""
    mean = probability.mean(axis=0)
    return np.log(np.where(y == 1, mean, 1 - mean))


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(11, *(f"units-{units}" for units in sorted({*SIZES, *LARGE})))
    X, y = corners(80, 1)
    fresh_X, fresh_y = corners(2000, 2)

    def posterior(units: int) -> mm.Posterior:
        """Return the posterior of a network with so many units."""
        network = mm.Network(2, (units,), activation="tanh", prior=f"normal:{PRIOR_SD}")
        return mm.Posterior.from_network(network, X, y, f"units-{units}")

    # %% [markdown]
    # ## The Stan program
    #
    # The number of units is data, so that one program serves all sizes.

    # %%
    lesson.program(posterior(1))

    # %% [markdown]
    # ## What goes wrong first
    #
    # *Take the size that fits best.* The fit to the data only ever becomes better. So we need a
    # score that counts the cost of units. There are two, and they are not the same:
    #
    # - the **evidence** $\log Z$ is the score of predicting the rows one after the other, the
    #   first ones from the prior. It charges for the room that the prior wastes;
    # - the **leave-one-out** score and the score on **fresh data** predict a row from all others.
    #   They charge for what is overfitted, and the prior hardly matters to them.

    # %%
    found, loo, fresh = {}, {}, {}
    for units in SIZES:
        name = f"units-{units}"
        tempered = mm.run_tempered(posterior(units), **lesson.at(name))
        draws = tempered.rows
        fit = posterior(units).predict(draws, X)
        density = np.where(y == 1, fit, 1 - fit)
        loo[units] = -np.log((1 / density).mean(axis=0))  # importance sampling, row by row
        fresh[units] = log_score(posterior(units).predict(draws, fresh_X), fresh_y)
        found[name] = tempered
        print(
            f"{units} units: log_z {tempered.log_z:7.2f} ± {tempered.log_z_sd:.2f}, leave-one-out "
            f"{loo[units].sum():6.2f}, fresh data {80 * fresh[units].mean():6.2f} (per 80 rows)"
        )

    # %% [markdown]
    # From one unit to three, all scores rise steeply: the classes need them. Beyond,
    # leave-one-out and fresh data gain little, while the evidence goes on rising.
    #
    # ## Why the evidence need not prefer the small network
    #
    # A unit whose outgoing weight is 0 does nothing: at $v_H = 0$ the network with $H$ units
    # **is** the network with $H - 1$. So both evidences are tied by the density of $v_H$ at 0,
    # before and after the data (Dickey 1971):
    #
    # $$\frac{Z_{H-1}}{Z_H} = \frac{p(v_H = 0 \mid y)}{p(v_H = 0)}.$$
    #
    # We can count that from the draws of the larger network alone, and compare it with the two
    # evidences that tempering measured. The units are exchangeable, so that every one of them
    # counts.

    # %%
    def log_density_ratio(units: int, width: float = 0.25) -> tuple[float, float]:
        """Return log of posterior over prior density of an outgoing weight at 0, and its error."""
        tempered = found[f"units-{units}"]
        v = posterior(units).unpack(tempered.rows)["V"][:, 0]
        near = tempered.share((np.abs(v) < width).mean(axis=1))
        prior = 2 * width / (PRIOR_SD * np.sqrt(2 * np.pi))
        return float(np.log(near.value / prior)), near.sd / near.value

    larger = 4
    ratio, ratio_sd = log_density_ratio(larger)
    less, more = (found[f"units-{units}"] for units in (larger - 1, larger))
    lesson.settle(
        Number(
            f"log Z({larger - 1}) - log Z({larger}), by tempering minus by the density at 0 (nats)",
            less.log_z - more.log_z - ratio,
            float(np.sqrt(less.log_z_sd**2 + more.log_z_sd**2 + ratio_sd**2)),
            expected=0.0,
        )
    )
    print(f"by the density at 0: {ratio:.2f} ± {ratio_sd:.2f} nats")

    # %% [markdown]
    # If the data push outgoing weights away from 0, the larger network has the larger evidence.
    # Here the classes are far apart, and more units make steeper functions, which a prior of
    # standard deviation 2 allows to few units only. The evidence answers a question about the
    # **prior**, too.
    #
    # ## The fix that fails
    #
    # *Call the most probable size the true one.* With equal prior probabilities of the sizes,
    # $P(H \mid y)$ follows from the evidences. But another prior scale gives other probabilities,
    # on the same data and with nearly the same predictions.

    # %%
    log_z = np.array([found[f"units-{units}"].log_z for units in SIZES])
    probable = np.exp(log_z - np.logaddexp.reduce(log_z))
    for units, probability in zip(SIZES, probable, strict=True):
        print(f"P({units} units | data) = {probability:.1%}")
    gain = fresh[8] - fresh[3]
    lesson.note(
        Number(
            "gain of eight units over three on fresh data (nats a row)",
            float(gain.mean()),
            float(gain.std(ddof=1) / np.sqrt(len(gain))),
            below=0.1,
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # Say which question is asked. For predictions, take the smallest size beyond which fresh or
    # left-out rows gain nothing, or average over sizes. For $P(H \mid y)$, state the prior that
    # was meant for functions, and report how the answer depends on it.
    #
    # ## Is a larger network easier?
    #
    # 64 short chains each, for networks of 2 to 32 units on the same data. How many functions do
    # the chains find, and do they agree on the predictions?

    # %%
    worst, errors, functions = [], [], []

    def largest(draws: np.ndarray) -> float:
        """Return the largest R-hat of any prediction."""
        return float(rhat(draws).max())

    for units in LARGE:
        name = f"units-{units}"
        one = posterior(units)
        chains = mm.run_chains(
            one, chains=64, nuts=mm.NutsSettings(warmup=100, draws=50), **lesson.at(name)
        )
        settings = mm.ModeSettings(climbs=64)
        seen = mm.compare(one, chains=chains, settings=settings, **lesson.kept(name))
        rows = chains.rows.reshape(-1, chains.rows.shape[-1])
        predicted = one.predict(rows, X[::4]).reshape(64, 50, -1)
        worst.append(largest(predicted))
        errors.append(jackknife(largest, predicted))
        functions.append(len(seen.functions))
        if units == LARGE[0]:
            kept = seen
        basins = "too many to tell" if seen.modes.are_functions else len(seen.modes.peaks)
        print(
            f"{units:2d} units: R-hat of predictions {worst[-1]:.3f} ± {errors[-1]:.3f}, "
            f"of weights {np.nanmax(seen.rhat_weights):.2f}; functions found {functions[-1]}, "
            f"basins {basins}"
        )
    lesson.note(
        Number(
            "largest R-hat of predictions, 2 units minus 32",
            worst[0] - worst[-1],
            float(np.hypot(errors[0], errors[-1])),
            above=0.1,
        )
    )

    # %% [markdown]
    # Yes: the smallest network that can do the job is the hardest one. It has to decide which
    # unit does what, and chains that decided differently compute different functions. With many
    # units there is a way around every obstacle: the functions merge into one. The weights still
    # have all their copies; nobody needs them.

    # %%
    figure, axes = lesson.figure(2)
    for values, label, colour in (
        (log_z, "log Z", FUNCTIONS[0]),
        ([loo[units].sum() for units in SIZES], "leave-one-out", FUNCTIONS[1]),
        ([80 * fresh[units].mean() for units in SIZES], "fresh data, 80 rows", FUNCTIONS[2]),
    ):
        axes[0].plot(SIZES, values, "o-", ms=4, color=colour, label=label)
    axes[0].set(xlabel="hidden units", ylabel="nats", title="three scores")
    axes[0].legend()
    axes[1].errorbar(LARGE, worst, errors, fmt="o-", ms=4, color=FUNCTIONS[3])
    axes[1].axhline(1.01, lw=0.8, color=SOFT)
    for units, value, number in zip(LARGE, worst, functions, strict=True):
        axes[1].annotate(
            str(number), (units, value), (5, 5), textcoords="offset points", color=FUNCTIONS[3]
        )
    axes[1].set(
        xscale="log", xticks=LARGE, xticklabels=LARGE, xlim=(1.8, 60), xlabel="hidden units",
        ylabel="largest R-hat of a prediction", title="64 chains, functions found",
    )  # fmt: skip
    axes[1].minorticks_off()
    lesson.show(
        figure,
        "Left: evidence, leave-one-out score and score on fresh data by the number of units. "
        "Right: how far 64 short chains agree on predictions, and how many functions they found.",
    )

    # %%
    lesson.finish({kept.posterior.name: kept})

    # %% [markdown]
    # ## Exercises
    #
    # 1. What is $Z_{H-1}/Z_H$ if the data say nothing about $v_H$?
    #
    #    <details><summary>Answer</summary>
    #
    #    One: posterior and prior density of $v_H$ at 0 are then equal. A unit that the data do
    #    not mention costs no evidence.
    #
    #    </details>
    #
    # 2. The prior of $v$ is made a hundred times wider. What happens to $Z_{H-1}/Z_H$ for a unit
    #    that the data do inform?
    #
    #    <details><summary>Answer</summary>
    #
    #    The prior density at 0 falls by a factor of a hundred. If the posterior of $v_H$ stays as
    #    it is, the ratio grows by a hundred: the evidence turns to the smaller network by 4.6
    #    nats, although the predictions are the same. This is Lindley's paradox.
    #
    #    </details>
    #
    # 3. Why do 64 chains of 32 units agree on predictions, while their weights do not need to?
    #
    #    <details><summary>Answer</summary>
    #
    #    Predictions do not depend on the labels of the units, and with many units the functions
    #    of all chains are the same. Lesson 2 shows how little R-hat of a weight says.
    #
    #    </details>
    #
    # ## References
    #
    # - Dickey (1971). The weighted likelihood ratio, linear hypotheses on normal location
    #   parameters. Annals of Mathematical Statistics 42, 204.
    # - Vehtari, Gelman, Gabry (2017). Practical Bayesian model evaluation using leave-one-out
    #   cross-validation and WAIC. Statistics and Computing 27, 1413.
    # - MacKay (1992). A practical Bayesian framework for backpropagation networks. Neural
    #   Computation 4, 448.
    # - Izmailov, Vikram, Hoffman, Wilson (2021). What are Bayesian neural network posteriors
    #   really like? Proceedings of Machine Learning Research 139, 4629.
