"""Lesson 1: the eight copies of a network with two tanh units, counted, and how to keep one."""

from __future__ import annotations

# %% [markdown]
# # 1. Eight copies
#
# **Why does a network with two tanh units have eight modes?**
#
# A treatment works between two doses. We fit the probability of a cure with a small network,
#
# $$p(x) = \operatorname{logistic}\bigl(c + v_1 \tanh(w_1 x + b_1) + v_2 \tanh(w_2 x + b_2)\bigr),$$
#
# and give each of its seven weights a normal prior with standard deviation 2.

# %%
import numpy as np

import manymodes as mm
from manymodes.networks.symmetry import canonical, group_order
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number, jackknife


def doses() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 standardised doses, shape (60, 1), and whether each patient was cured."""
    rng = np.random.default_rng(1)
    dose = np.linspace(0, 10, 60).round(2)
    cured = rng.binomial(1, np.where((dose > 3) & (dose < 7), 0.9, 0.1))
    return ((dose - dose.mean()) / dose.std())[:, None], cured


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(1, "free", "ordered-signed")
    X, y = doses()

    def network(constraint: str) -> mm.Network:
        """Return the network under a constraint."""
        return mm.Network(1, (2,), activation="tanh", prior="normal:2", constraint=constraint)

    posterior = mm.Posterior.from_network(network("none"), X, y, "free")

    # %% [markdown]
    # ## The Stan program
    #
    # It is the general network of manymodes: widths, activation and prior are data. The files
    # that it includes are in `stan/functions`.

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # Sixteen chains do not agree. R-hat of the weights is far above 1.01.

    # %%
    chains = mm.run_chains(
        posterior, chains=16, nuts=mm.NutsSettings(warmup=300, draws=300), **lesson.at("free")
    )
    tempered = mm.run_tempered(posterior, **lesson.at("free"))
    found = mm.compare(posterior, chains=chains, tempered=tempered, **lesson.kept("free"))
    print(f"largest R-hat of a weight:     {np.nanmax(found.rhat_weights):.2f}")
    print(f"largest R-hat of a prediction: {np.nanmax(found.rhat_function):.2f}")
    print(f"prominent modes: {len(found.prominent)}, functions: {found.prominent_functions}")

    # %% [markdown]
    # ## Why eight
    #
    # Two moves leave the function $p(x)$ as it is. We can exchange the two units. And tanh is
    # odd, so that we can turn the signs of $w_j$, $b_j$ and $v_j$ of one unit, all three at once.
    # There are $2!$ orders and $2^2$ choices of signs: $2! \cdot 2^2 = 8$ sets of weights for one
    # function. The prior is the same for all of them, and so is the likelihood. A mode therefore
    # comes eight times (unless its two units are equal up to signs, or one of them is zero), and
    # all eight hold the same probability.
    #
    # A set with one member of every family of copies is called a *fundamental domain*. It holds
    # exactly $1/8 = 12.5\,\%$ of the probability. One of them is easy to see here. The curve
    # rises at the lower dose and falls at the upper one, so that, with positive $v$, one unit has
    # a positive input weight and the other a negative one: take $v_1 > 0$, $v_2 > 0$ and
    # $w_1 < w_2$. Tempering moves between the copies, so that we can count how many of its draws
    # lie in that set. Chains cannot tell us: most of them stay in one copy, and the others change
    # it only a few times.

    # %%
    def one_copy(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the copy of each draw with positive v and increasing w."""
        turned = np.sign(draws["V"][..., 0, :])
        units = {"w": draws["W"][..., 0] * turned, "b": draws["b"] * turned}
        order = np.argsort(units["w"], axis=-1)
        units["v"] = np.abs(draws["V"][..., 0, :])
        return {name: np.take_along_axis(unit, order, -1) for name, unit in units.items()}

    draws = posterior.unpack(tempered.rows)
    w, v = draws["W"][..., 0], draws["V"][:, 0]
    inside = (v > 0).all(axis=1) & (w[:, 0] < w[:, 1])
    share = tempered.share(inside.astype(float))
    lesson.settle(
        Number(
            "share of the posterior in one copy",
            share.value,
            share.sd,
            expected=1 / 8,
            percent=True,
        )
    )
    for hidden in [(2,), (3,), (2, 2)]:
        print(hidden, group_order(mm.Network(1, hidden, activation="tanh")), "copies")

    # %% [markdown]
    # The numbers of copies of several layers multiply, because each layer can be rearranged on
    # its own: a network with two layers of two units has $8 \cdot 8 = 64$.

    # %%
    sampled = chains.variables()
    moved = one_copy(sampled)
    figure, axes = lesson.figure(2)
    for panel, weights, title in (
        (axes[0], sampled["W"][..., 0], "as sampled: eight copies"),
        (axes[1], moved["w"], "one copy of each draw"),
    ):
        for chain in weights[:, ::10]:
            panel.plot(chain[:, 0], chain[:, 1], ".", ms=3, alpha=0.5)
        panel.axhline(0, lw=0.5, color="#8a8f98")
        panel.axvline(0, lw=0.5, color="#8a8f98")
        panel.set(title=title, xlabel="input weight of unit 1")
    axes[0].set_ylabel("input weight of unit 2")
    lesson.show(
        figure,
        "The input weights of both units in sixteen chains. A chain has one colour; there are "
        "ten colours, so that some serve two chains. Left: as they were sampled. Right: the copy "
        "of each draw with positive outgoing weights and increasing input weights.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *Longer chains.* With three times as many draws, chains still change copies far too seldom.
    # R-hat stays far above 1.01.

    # %%
    longer = mm.run_chains(
        posterior, chains=16, nuts=mm.NutsSettings(warmup=300, draws=900), seed=2, quiet=True
    )
    print(f"largest R-hat of an input weight: {rhat(longer.variables()['W']).max():.2f}")

    # %% [markdown]
    # *A wall through the mode.* The constraint `ordered-signed` asks for positive outgoing
    # weights and for increasing **biases**. That is a fundamental domain too, and the evidence
    # agrees: with the prior multiplied by 8 on the domain, log_z is what it was. But in this
    # posterior the two biases are often nearly equal. The wall $b_1 = b_2$ goes through the mode,
    # a chain that begins on one side of it hardly comes to the other, and R-hat stays bad. The
    # walls also cut the one mode into pieces, which a climb tells apart: the report of this
    # program counts more modes than one.

    # %%
    constrained = mm.Posterior.from_network(network("ordered-signed"), X, y, "ordered-signed")
    one_chains = mm.run_chains(
        constrained,
        chains=16,
        nuts=mm.NutsSettings(warmup=300, draws=300),
        **lesson.at("ordered-signed"),
    )
    one_tempered = mm.run_tempered(constrained, **lesson.at("ordered-signed"))
    one = mm.compare(
        constrained, chains=one_chains, tempered=one_tempered, **lesson.kept("ordered-signed")
    )
    print(f"largest R-hat of a weight: {np.nanmax(one.rhat_weights):.2f}")
    print(f"prominent modes: {len(one.prominent)}")
    below = tempered.share((np.diff(one_copy(draws)["b"])[:, 0] > 0).astype(float))
    print(f"share of the mode on one side of the wall: {below.value:.0%} ± {below.sd:.0%}")
    lesson.note(
        Number(
            "log_z with the constraint minus log_z without (nats)",
            one.headline.log_z.value - found.headline.log_z.value,
            float(np.hypot(one.headline.log_z.sd, found.headline.log_z.sd)),
            expected=0.0,
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # Sample without the constraint, and move each draw to its copy in the domain **afterwards**.
    # All copies are equal, so that this changes no prediction, and chains that are not
    # constrained cross $b_1 = b_2$ freely. Either domain will do.

    # %%
    def worst(weights: np.ndarray) -> float:
        """Return the largest R-hat of any weight, shape (chain, draw, weight)."""
        return float(rhat(weights).max())

    weights = np.concatenate(list(moved.values()), axis=-1)
    lesson.note(
        Number(
            "largest R-hat after the draws were moved to one copy",
            worst(weights),
            jackknife(worst, weights),
            below=1.05,
        )
    )
    by_bias = canonical(network("none"), sampled)
    for name, values in by_bias.items():
        print(f"ordered by bias, largest R-hat of {name}: {rhat(values).max():.3f}")

    # %%
    lesson.finish({"free": found, "ordered-signed": one})

    # %% [markdown]
    # ## Exercises
    #
    # 1. How many modes has a network with one hidden layer of four tanh units, at least?
    #
    #    <details><summary>Answer</summary>
    #
    #    $4! \cdot 2^4 = 384$, for each function that is a mode.
    #
    #    </details>
    #
    # 2. The units are relu instead of tanh. Which of the two moves is left, and which new one
    #    appears?
    #
    #    <details><summary>Answer</summary>
    #
    #    The exchange of units is left. relu is not odd, so that signs cannot be turned. But
    #    relu(rz) = r relu(z) for r > 0, so that a unit can be scaled: lesson 6 is about that
    #    valley.
    #
    #    </details>
    #
    # 3. Give `b` a normal prior around 1 instead of 0. Are there still eight copies of equal
    #    weight?
    #
    #    <details><summary>Answer</summary>
    #
    #    No. The function still has eight sets of weights, and the likelihood is the same for all
    #    of them. But turning the signs of a unit moves its bias from b to -b, and the prior
    #    prefers one of the two. Lesson 4 shows how much such a prior can be trusted.
    #
    #    </details>
    #
    # ## References
    #
    # - Hecht-Nielsen (1990). On the algebraic structure of feedforward network weight spaces.
    #   Advanced Neural Computers.
    # - Sussmann (1992). Uniqueness of the weights for minimal feedforward nets with a given
    #   input-output map. Neural Networks 5, 589.
    # - Chen, Lu, Hecht-Nielsen (1993). On the geometry of feedforward neural network error
    #   surfaces. Neural Computation 5, 910.
