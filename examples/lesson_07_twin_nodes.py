"""Lesson 7: a unit too many is idle or does part of another's work, and ordering does not help."""

from __future__ import annotations

# %% [markdown]
# # 7. Twin nodes
#
# **The data need one unit and the network has two. What does the other one do?**
#
# A dose raises a response, smoothly, from one level to another: the curve is one tanh. We fit a
# network with two units,
#
# $$f(x) = c + v_1 \tanh(w_1 x + b_1) + v_2 \tanh(w_2 x + b_2),$$
#
# normal noise, and a normal prior with standard deviation 3 on each weight.

# %%
import numpy as np

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, PALE
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number

IDLE = 0.1  # of the whole rise: a unit that does less is called idle


def doses() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 standardised doses, shape (60, 1), and the responses to them."""
    dose = np.linspace(-2, 2, 60)
    response = np.tanh(1.5 * dose) + np.random.default_rng(7).normal(0, 0.3, 60)
    return dose[:, None], response


def network(hidden: int, constraint: str = "none", active: str | None = None) -> mm.Network:
    """Return the network with so many units, under a constraint, or of variable size."""
    return mm.Network(
        1,
        (hidden,),
        activation="tanh",
        likelihood="normal",
        prior="normal:3",
        constraint=constraint,
        active=active,
    )


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(7, "none", "ordered-signed", "one-unit", "variable")
    X, y = doses()
    none = mm.Posterior.from_network(network(2), X, y, "none")
    one = mm.Posterior.from_network(network(1), X, y, "one-unit")
    ordered = mm.Posterior.from_network(network(2, "ordered-signed"), X, y, "ordered-signed")
    variable = mm.Posterior.from_network(network(2, active="geometric:0.5"), X, y, "variable")

    # %% [markdown]
    # ## The Stan program
    #
    # This is the program that works in the end: the number of units is unknown, and the density
    # is summed over it.

    # %%
    lesson.program(variable)

    # %% [markdown]
    # ## What goes wrong first
    #
    # Eight chains agree about the predictions. They do not agree about the weights. To see how
    # much of that is left without copies, we look at how far each unit makes the response *rise*
    # from the lowest dose to the highest. The rise does not change if the signs of a unit are
    # turned. We sort the two rises, so that the order of the units does not matter either. R-hat
    # of the larger rise is smaller than that of a weight, but larger than that of both together.

    # %%
    def rises(posterior: mm.Posterior, rows: np.ndarray) -> np.ndarray:
        """Return the rise of each unit over the doses, shape (..., 2), of rows (..., P)."""
        drawn = posterior.unpack(rows)
        w, b, v = drawn["W"][..., 0], drawn["b"], drawn["V"][..., 0, :]
        return np.asarray(v * (np.tanh(2 * w + b) - np.tanh(b - 2 * w)))

    nuts = mm.NutsSettings(warmup=300, draws=300)
    chains = mm.run_chains(none, chains=8, nuts=nuts, **lesson.at("none"))

    def run(posterior: mm.Posterior, rounds: int = 11) -> mm.Tempered:
        """Return tempered draws, whose shares and evidence need no chain that mixes."""
        at = lesson.at(posterior.name)
        return mm.run_tempered(posterior, rounds=rounds, max_rounds=rounds, **at)

    tempered = run(none)
    found = mm.compare(none, chains=chains, tempered=tempered, **lesson.kept("none"))
    both = np.sort(rises(none, chains.rows), axis=-1)
    print(f"R-hat of the larger rise:       {float(rhat(both[..., 1])):.2f}")
    print(f"R-hat of both together:         {float(rhat(both.sum(axis=-1))):.2f}")
    print(f"largest R-hat of a weight:      {np.nanmax(found.rhat_weights):.2f}")
    print(f"largest R-hat of a prediction:  {np.nanmax(found.rhat_function):.2f}")
    print(f"modes: {len(found.summaries)}, functions: {len(found.functions)}")

    # %% [markdown]
    # ## Why the second unit is never settled
    #
    # There are three ways to compute one tanh with two units.
    #
    # - One unit is *idle*. It adds nothing, because $v_2$ is near 0 and $w_2$ and $b_2$ are free.
    #   Or it adds a constant, because $w_2$ is near 0, or $b_2$ large, and $c$ takes the constant
    #   back.
    # - The units are *twins*. They have nearly the same $w$ and $b$, and share the work: any
    #   $v_1 + v_2 = v$ will do. Müller and Ríos Insua call this node duplication.
    # - They are *opposed*. One rises too far, and the other takes some of it back.
    #
    # The three ways are joined: let $v_2$ go from below 0 to above it, at the same $w$ and $b$,
    # and take from $v_1$ what $v_2$ gains. The function stays as it is. So they are one ridge,
    # along which the sum of the rises is nearly constant. The data say what the sum is, and
    # little but the prior says where on the ridge we are. (There may be small peaks on the
    # ridge, and `compare` counts them as modes: the second unit fits a little of the noise by a
    # small step. They are hardly functions of their own.)
    #
    # Copies are something else: exchanging the units mirrors the ridge. An order of the units
    # keeps one of each point and its mirror image. Whatever does not change under an exchange
    # has the same probability as before. This is exact, and we can test it: under
    # `ordered-signed` an idle unit must be as probable as without it.

    # %%
    def ways(posterior: mm.Posterior, draws: mm.Tempered) -> dict[str, np.ndarray]:
        """Return which draws have an idle unit, twins and opposed units."""
        rise = rises(posterior, draws.rows)
        idle = np.abs(rise).min(axis=1) < IDLE * np.abs(rise.sum(axis=1))
        same = np.prod(rise, axis=1) > 0
        return {"idle": idle, "twins": ~idle & same, "opposed": ~idle & ~same}

    one_tempered = run(one)
    ordered_tempered = run(ordered, rounds=10)  # its gradients cost more
    by_way = {
        posterior.name: {
            way: draws.share(member.astype(float)) for way, member in ways(posterior, draws).items()
        }
        for posterior, draws in ((none, tempered), (ordered, ordered_tempered))
    }
    for name, shares in by_way.items():
        told = ", ".join(f"{way} {part.value:.1%} ± {part.sd:.1%}" for way, part in shares.items())
        print(f"{name}: {told}")
    idle, idle_ordered = (by_way[name]["idle"] for name in ("none", "ordered-signed"))
    lesson.settle(
        Number(
            "share with an idle unit: ordered-signed minus none",
            idle_ordered.value - idle.value,
            float(np.hypot(idle_ordered.sd, idle.sd)),
            expected=0.0,
            percent=True,
        )
    )

    # %%
    figure, axes = lesson.figure(2, height=3.7)
    for panel, posterior, draws, title in (
        (axes[0], none, tempered, "no constraint"),
        (axes[1], ordered, ordered_tempered, "ordered-signed"),
    ):
        rise = rises(posterior, draws.rows)
        for (way, member), colour in zip(ways(posterior, draws).items(), FUNCTIONS, strict=False):
            some = rise[member][:: max(1, len(rise) // 2500)]
            panel.plot(some[:, 0], some[:, 1], ".", ms=3, alpha=0.5, color=colour, label=way)
        panel.axline((0, 2), slope=-1, lw=0.8, ls=":", color=PALE)
        panel.set(title=title, xlabel="rise by unit 1", xlim=(-3, 5), ylim=(-3, 5), aspect="equal")
    axes[0].set_ylabel("rise by unit 2")
    axes[1].legend(loc="upper right", frameon=False, markerscale=2.5, handletextpad=0.1)
    lesson.show(
        figure,
        "How far each unit makes the response rise, in tempered draws: the units share a rise of "
        "about 2 (dotted) in all ways. Left without a constraint, right with the biases in order "
        "and positive outgoing weights: the ridge is as long.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *Ordering.* Chains under `ordered-signed` have no copies, and still do not agree about the
    # weights. We measure the ridge by the root mean square of the difference of the rises, over
    # the standard deviation of their sum. The constraint does not make it shorter.

    # %%
    ordered_chains = mm.run_chains(ordered, chains=8, nuts=nuts, **lesson.at("ordered-signed"))
    ordered_found = mm.compare(
        ordered,
        chains=ordered_chains,
        tempered=ordered_tempered,
        **lesson.kept("ordered-signed"),
    )
    print(f"largest R-hat of a weight: {np.nanmax(ordered_found.rhat_weights):.2f}")
    for posterior, draws in ((none, tempered), (ordered, ordered_tempered)):
        rise = rises(posterior, draws.rows)
        along = np.sqrt(np.mean((rise[:, 1] - rise[:, 0]) ** 2))
        print(f"{posterior.name}: length over width {along / rise.sum(axis=1).std():.0f}")
    lesson.note(
        Number(
            "log_z with ordered-signed minus log_z without (nats)",
            ordered_tempered.log_z - tempered.log_z,
            float(np.hypot(ordered_tempered.log_z_sd, tempered.log_z_sd)),
            expected=0.0,
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # Ask how many units there are. `active="geometric:0.5"` makes their number unknown: after
    # each unit a further one is active with probability 1/2. With at most two units, one and two
    # have the probability 1/2 each. Then the posterior says how far the second unit is wanted,
    # and with one unit there is no ridge. The answer must be that of Bayes' rule with
    # the evidence of two separate networks, of one unit and of two. Do not expect it to be
    # extreme: an idle unit does no harm, so that the larger network fits as well, and loses
    # only the prior probability that its second unit does something else.

    # %%
    variable_tempered = run(variable)
    active = mm.posterior_active(variable_tempered)
    odds = float(np.exp(tempered.log_z - one_tempered.log_z))
    separate = 1 / (1 + odds)
    separate_sd = separate * (1 - separate) * np.hypot(tempered.log_z_sd, one_tempered.log_z_sd)
    print(f"P(one unit), network of variable size: {active.probability[0]:.3f}")
    print(f"P(one unit), two separate networks:    {separate:.3f}")
    lesson.note(
        Number(
            "P(one unit): network of variable size minus two separate networks",
            float(active.probability[0]) - separate,
            float(np.hypot(active.probability_sd[0], separate_sd)),
            expected=0.0,
        )
    )
    print(f"log_z of one unit less that of two: {one_tempered.log_z - tempered.log_z:.2f} nats")

    # %%
    variable_found = mm.compare(variable, tempered=variable_tempered, **lesson.kept("variable"))
    one_found = mm.compare(one, tempered=one_tempered, **lesson.kept("one-unit"))
    lesson.finish(
        {
            "none": found,
            "ordered-signed": ordered_found,
            "one-unit": one_found,
            "variable": variable_found,
        }
    )

    # %% [markdown]
    # ## Exercises
    #
    # 1. A network has three units, and the data need one. How many dimensions has the set of
    #    weights with three equal pairs $(w_j, b_j)$ that compute the function of the one unit?
    #
    #    <details><summary>Answer</summary>
    #
    #    Two: all $v_1, v_2, v_3$ with the sum $v$. If two units are idle with $v_2 = v_3 = 0$
    #    instead, $w_2, b_2, w_3, b_3$ are free: four dimensions.
    #
    #    </details>
    #
    # 2. The likelihood is highest at a point where the units are twins. Is its Hessian singular
    #    there?
    #
    #    <details><summary>Answer</summary>
    #
    #    Yes. The likelihood does not change along the line $v_1 + v_2 = v$, so that its second
    #    derivative along the line is 0. At a maximum no direction has a positive one, and then a
    #    direction with 0 is an eigenvector with the eigenvalue 0. So a normal approximation at
    #    the peak fails, and so do criteria that count weights, such as BIC. The evidence itself
    #    is an integral, and is well defined.
    #
    #    </details>
    #
    # 3. You only want predictions. Do you have to do anything about twins?
    #
    #    <details><summary>Answer</summary>
    #
    #    Not for the sake of the predictions: all points of the ridge compute nearly the same
    #    function, and R-hat of the predictions is good. But do not explain the weights, one by
    #    one, to anybody.
    #
    #    </details>
    #
    # ## References
    #
    # - Müller, Ríos Insua (1998). Issues in Bayesian analysis of neural network models. Neural
    #   Computation 10, 749. (Section 3.7 is about node duplication.)
    # - Watanabe (2009). Algebraic geometry and statistical learning theory. Cambridge University
    #   Press.
