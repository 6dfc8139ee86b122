"""Lesson 9: a constraint on the weights of a network that loses a third of its functions."""

from __future__ import annotations

# %% [markdown]
# # 9. A constraint that loses functions
#
# **Does a constraint that removes copies keep one copy of every function?**
#
# Four clouds of points stand on the corners of a square, and each diagonal is a class of its own
# (noisy XOR). A network with two hidden units gives the probability of the first class:
#
# $$p(x) = \operatorname{logistic}\bigl(c + v_1 \tanh(w_1 \cdot x + b_1)
#   + v_2 \tanh(w_2 \cdot x + b_2)\bigr).$$
#
# All nine weights are uniform on (-5, 5). Two moves leave $p$ and the prior as they are: we can
# exchange the units, and we can turn the signs of $w_j$, $b_j$ and $v_j$. So each function has
# $2! \cdot 2^2 = 8$ copies.
#
# Yallup et al. (2022) remove copies by a constraint on the matrix $W$ with the rows $w_1$ and
# $w_2$: its symmetric part $(W + W')/2$ must be positive definite, and its skew part
# $(W - W')/2$ must be positive above the diagonal. It looks natural: every square matrix is the
# sum of these two parts, and the constraint fixes the signs of both.

# %%
import math

import numpy as np

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, GRID, PALE, SOFT
from manymodes.studies.lessons import Lesson, Number
from manymodes.studies.xor import xor_data, xor_network

if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(9, "none", "pd-skew", "mirrored", "ordered-signed")
    whole = xor_data(4)
    X, y = whole.X[::2], whole.y[::2]

    def network(constraint: str) -> mm.Network:
        """Return the network under a constraint."""
        return mm.Network(2, (2,), activation="tanh", prior="uniform:5", constraint=constraint)

    free = mm.Posterior.from_network(network("none"), X, y, "none")
    constrained = mm.Posterior.from_network(network("pd-skew"), X, y, "pd-skew")

    # %% [markdown]
    # ## The Stan program
    #
    # The program has parameters for both parts of $W$ and includes the Jacobian. The prior is
    # that of the network without a constraint, restricted to the region and renormalised. So the
    # evidences with and without the constraint can be compared.

    # %%
    lesson.program(constrained)

    # %% [markdown]
    # ## What goes wrong first
    #
    # We temper without the constraint, and with it. Then we do something harmless: we turn the
    # sign of the first coordinate of the data. The prior is symmetric, so that nothing can
    # depend on this sign. Without a constraint, log_z is the same number for both, exactly. Under
    # the constraint it is not.

    # %%
    mirror = np.array([-1, 1])
    mirrored = mm.Posterior.from_network(network("pd-skew"), X * mirror, y, "mirrored")
    short = mm.TemperedSettings(runs=6, rounds=11, max_rounds=11)
    long = mm.TemperedSettings(runs=6, rounds=12, max_rounds=12)
    tempered = {
        "none": mm.run_tempered(free, long, **lesson.at("none")),
        "pd-skew": mm.run_tempered(constrained, short, **lesson.at("pd-skew")),
        "mirrored": mm.run_tempered(mirrored, short, **lesson.at("mirrored")),
    }
    for name, one in tempered.items():
        print(f"{name:8}  log_z {one.log_z:.2f} ± {one.log_z_sd:.2f} nats")

    # %% [markdown]
    # ## Why functions are lost
    #
    # We take functions at random from the prior, list all eight copies of each, and ask of each
    # copy whether the constraint admits it.
    #
    # No function has two copies in the region (`mm.audit(network("pd-skew")).why` is a proof). So
    # the share of functions that are kept is eight times the share of the prior that is in the
    # region. For uniform weights this share is $23/288$. Eight times this is $23/36$, which is
    # less than 1: a share of $13/36$ of the functions has no copy left.

    # %%
    def admitted(W: np.ndarray) -> np.ndarray:
        """Return whether the constraint admits matrices, shape (..., 2, 2)."""
        symmetric = (W + W.swapaxes(-1, -2)) / 2
        definite = (symmetric[..., 0, 0] > 0) & (np.linalg.det(symmetric) > 0)
        return definite & (W[..., 0, 1] > W[..., 1, 0])

    def copies(W: np.ndarray) -> np.ndarray:
        """Return all eight copies of matrices, shape (8, ..., 2, 2)."""
        signs = [np.array([[s], [t]]) for s in (-1, 1) for t in (-1, 1)]
        return np.stack([sign * order for order in (W, W[..., ::-1, :]) for sign in signs])

    rng = np.random.default_rng(lesson.seed)
    n_functions = 40_000
    kept = admitted(copies(rng.uniform(-5, 5, (n_functions, 2, 2)))).sum(axis=0)
    lost = float((kept == 0).mean())
    print(f"most copies of one function in the region: {kept.max()}")
    lesson.settle(
        Number(
            "share of the prior's functions without a copy",
            lost,
            math.sqrt(lost * (1 - lost) / n_functions),
            expected=13 / 36,
            percent=True,
        )
    )

    # %% [markdown]
    # Yallup et al. have sigmoid units. A flip of a sigmoid unit also moves the output bias $c$ by
    # $v_j$, and can push it out of its bounds. A copy by no, one or two flips stays inside with
    # probability $1$, $3/4$ or $2/3$, and the copy in the region needs them with probability
    # $1/4$, $1/2$ and $1/4$. So $19/24$ of the copies are left, and
    # $1 - \frac{23}{36} \cdot \frac{19}{24} = 427/864$ of the functions are lost: nearly half.

    # %%
    audit = mm.audit(xor_network("pd-skew"), orbits=20_000, seed=lesson.seed)
    lesson.note(
        Number(
            "the same with sigmoid units",
            audit.none.value,
            audit.none.sd,
            expected=427 / 864,
            percent=True,
        )
    )

    # %% [markdown]
    # Now we understand the evidence. With the region's share $P$ of the prior and its share $Q$
    # of the posterior (both without the constraint), the constraint changes log_z by
    # $\ln(Q/P)$. We know $P$ exactly, and we count $Q$ in the tempered draws, with all copies
    # of each draw. To mirror the data is to turn the sign of the first column of $W$. So the same
    # draws predict both changes, before any constrained program runs. `mm.evidence_shift` does
    # the same for any network.

    # %%
    W = free.unpack(tempered["none"].rows)["W"]
    for name, matrices in (("pd-skew", W), ("mirrored", W * mirror)):
        share = tempered["none"].share(admitted(copies(matrices)).sum(axis=0) / 8)
        predicted = math.log(share.value * 288 / 23)
        measured = tempered[name].log_z - tempered["none"].log_z
        error = math.hypot(tempered[name].log_z_sd, tempered["none"].log_z_sd)
        print(f"{name:8}  measured {measured:.2f}, functions lost {1 - 8 * share.value:.0%}")
        lesson.note(
            Number(
                f"{name}: change of log_z, measured minus predicted (nats)",
                measured - predicted,
                math.hypot(error, share.sd / share.value),
                expected=0.0,
            )
        )

    # %% [markdown]
    # The picture shows which functions these are. Flips make the diagonal of $W$ positive, and
    # this can be done in one way for each of the two orders of the units. So each function is two
    # points in the plane of the symmetric and the skew part. The region is the upper half of a
    # strip of this plane. A function is lost if both of its points are outside.

    # %%
    figure, axes = lesson.figure(2, height=3.6)
    some = W[:: len(W) // 400]
    for panel, matrices, title in (
        (axes[0], some, "the data as they are"),
        (axes[1], some * mirror, "the first coordinate mirrored"),
    ):
        both = np.stack([matrices, matrices[:, ::-1]])
        both = both * np.sign(np.diagonal(both, axis1=-2, axis2=-1))[..., None]
        scale = 2 * np.sqrt(both[..., 0, 0] * both[..., 1, 1])
        symmetric = (both[..., 0, 1] + both[..., 1, 0]) / scale
        skew = (both[..., 0, 1] - both[..., 1, 0]) / scale
        inside = admitted(both)
        gone = ~inside.any(axis=0)
        panel.fill_between([-1, 1], 0, 3, color=GRID, lw=0, zorder=0)
        for which, colour, label in (
            (np.stack([gone, gone]), FUNCTIONS[1], f"lost: {gone.mean():.0%}"),
            (inside, FUNCTIONS[0], f"kept: {1 - gone.mean():.0%}"),
        ):
            dots = {"ms": 4, "alpha": 0.6, "mew": 0, "color": colour, "label": label}
            panel.plot(symmetric[which], skew[which], ".", **dots)
        panel.axhline(0, lw=0.6, color=PALE)
        panel.set(title=title, xlabel="symmetric part", xlim=(-2.5, 2.5), ylim=(-1.7, 2.3))
        panel.legend(loc="lower center", markerscale=3, handletextpad=0.1, frameon=False, ncols=2)
        panel.text(0, 2.2, "region", color=SOFT, ha="center", va="top")
    axes[0].set_ylabel("skew part")
    lesson.show(
        figure,
        "Functions drawn from the posterior without a constraint, in the plane of the symmetric "
        "and the skew part of W, each divided by the root of the product of its diagonal. Blue: "
        "the copy in the region of each function that has one. Orange: both points of each "
        "function that has none.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *Rejecting.* We could sample without the constraint and throw all draws away that are
    # outside of the region. No function comes back, of course. And the evidence gets worse: the
    # prior on the region now adds up to $23/288$ instead of 1. Whatever the data, log_z is lower
    # by $\ln(288/23) = 2.5275$ than that of the constrained program.

    # %%
    accepted = tempered["none"].share(admitted(W).astype(float))
    rejected = tempered["none"].log_z + math.log(accepted.value)
    rejected_sd = math.hypot(tempered["none"].log_z_sd, accepted.sd / accepted.value)
    lesson.note(
        Number(
            "log_z of the constrained program minus log_z by rejecting (nats)",
            tempered["pd-skew"].log_z - rejected,
            math.hypot(tempered["pd-skew"].log_z_sd, rejected_sd),
            expected=math.log(288 / 23),
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # *A fundamental domain*: a region with exactly one copy of every function. For tanh units,
    # take positive outgoing weights and increasing biases, $v_j > 0$ and $b_1 < b_2$. Exactly one
    # choice of signs and one order do that, whatever the function. The region is $1/8$ of the
    # prior and, because all copies are equal, $1/8$ of the posterior. So log_z does not change,
    # with any data. (Whether chains mix well in a domain is another question: see lesson 1.)

    # %%
    domain = mm.Posterior.from_network(network("ordered-signed"), X, y, "ordered-signed")
    tempered["ordered-signed"] = mm.run_tempered(domain, short, **lesson.at("ordered-signed"))
    print(f"functions lost: {mm.audit(network('ordered-signed'), seed=lesson.seed).none.value:.0%}")
    lesson.note(
        Number(
            "change of log_z by the fundamental domain (nats)",
            tempered["ordered-signed"].log_z - tempered["none"].log_z,
            math.hypot(tempered["ordered-signed"].log_z_sd, tempered["none"].log_z_sd),
            expected=0.0,
        )
    )

    # %%
    few = mm.ModeSettings(climbs=32)
    lesson.finish(
        {
            name: mm.compare(one.posterior, tempered=one, settings=few, **lesson.kept(name))
            for name, one in tempered.items()
        }
    )

    # %% [markdown]
    # ## Exercises
    #
    # 1. Do positive outgoing weights and increasing biases make a fundamental domain for sigmoid
    #    units too, if all weights are uniform on (-5, 5)? Ask `mm.audit`.
    #
    #    <details><summary>Answer</summary>
    #
    #    No. A quarter of the functions is lost. Each function has one copy with increasing biases
    #    and positive outgoing weights, but a flip moves c by v_j, and c may leave its bounds. For
    #    two units this happens with probability 1/4.
    #
    #    </details>
    #
    # 2. With normal weights the region has $(2 - \sqrt 2)/8$ of the prior. Which share of the
    #    functions does it lose for tanh units, and by how much can log_z rise at most?
    #
    #    <details><summary>Answer</summary>
    #
    #    The share that is kept is $8 \cdot (2 - \sqrt 2)/8 = 58.6\,\%$, so that 41.4 % are lost.
    #    If the data want only functions that are kept, the posterior has $1/8$ of its mass in the
    #    region, and log_z rises by $-\ln(2 - \sqrt 2) = 0.535$ nats. It can fall without limit.
    #
    #    </details>
    #
    # 3. The constraint needs a square matrix. `svd` does not: W = U diag(s) V', with decreasing s
    #    and rotations by less than a right angle. Audit it with two inputs, three tanh units and
    #    the prior `normal:1`. Does it lose functions? Is it a fundamental domain?
    #
    #    <details><summary>Answer</summary>
    #
    #    It loses none, and log_z stays what it was. But it is no fundamental domain: it keeps 12
    #    of the 48 copies of every function. It removes the flips of two units and no exchange.
    #
    #    </details>
    #
    # ## References
    #
    # - Yallup, Handley, Hobson, Lasenby, Lemos (2022). Split personalities in Bayesian neural
    #   networks: the case for full marginalisation. arXiv:2205.11151.
    # - Chen, Lu, Hecht-Nielsen (1993). On the geometry of feedforward neural network error
    #   surfaces. Neural Computation 5, 910.
    # - Sussmann (1992). Uniqueness of the weights for minimal feedforward nets with a given
    #   input-output map. Neural Networks 5, 589.
    # - Pourzanjani, Jiang, Mitchell, Atzberger, Petzold (2021). Bayesian inference over the
    #   Stiefel manifold via the Givens representation. Bayesian Analysis 16, 639.
