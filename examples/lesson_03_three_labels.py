"""Lesson 3: the six orders of three labels, what ordering them mends, and what it leaves."""

from __future__ import annotations

# %% [markdown]
# # 3. Three labels
#
# **Three groups are mixed; which chain knows their names, and does ordering them help?**
#
# Sixty measurements come from three groups. Nobody wrote down which comes from which. We fit a
# mixture of three normal components with equal weights,
#
# $$p(y) = \tfrac13 \sum_{k=1}^{3} \operatorname{normal}(y \mid \mu_k, \sigma_k),$$
#
# with $\mu_k \sim \operatorname{normal}(0, 5)$ and
# $\log \sigma_k \sim \operatorname{normal}(0, 0.5)$. All six parameters are free.

# %%
from itertools import permutations

import numpy as np

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS
from manymodes.statistics.diagnostics import ess_bulk, rhat
from manymodes.studies.lessons import Lesson, Number, jackknife
from manymodes.toolchain import stan_dir


def measurements(distance: float) -> np.ndarray:
    """Return 20 measurements of each of three groups that lie this far apart, shape (60,)."""
    noise = np.random.default_rng(1).normal(size=(3, 20))
    return (noise + distance * np.array([[-1], [0], [1]])).round(2).ravel()


def mixture(y: np.ndarray, *, ordered: bool) -> mm.Posterior:
    """Return the posterior of the mixture, free or with increasing locations."""
    data = {"N": len(y), "y": y.tolist(), "K": 3, "mu_sd": 5, "log_sigma_sd": 0.5}
    data |= {"prior_only": 0, "save_log_lik": 1}
    if not ordered:
        data["theta"] = [1 / 3] * 3
    name = "mixture_normals_ordered" if ordered else "mixture_normals"
    return mm.Posterior(mm.Program(stan_dir() / "models" / f"{name}.stan"), data, name)


def worst(values: np.ndarray) -> float:
    """Return the largest R-hat of values of shape (chain, draw, component)."""
    return float(rhat(values).max())


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(3, "free", "ordered")
    y = measurements(4.0)
    posterior = mixture(y, ordered=False)

    # %% [markdown]
    # ## The Stan program

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # The groups lie four standard deviations apart, so that they are easy to see. Still the
    # sixteen chains do not agree on a single location. R-hat is far above 1.01.

    # %%
    nuts = mm.NutsSettings(warmup=300, draws=300)
    chains = mm.run_chains(posterior, chains=16, nuts=nuts, **lesson.at("free"))
    tempered = mm.run_tempered(posterior, rounds=11, max_rounds=11, **lesson.at("free"))
    found = mm.compare(posterior, chains=chains, tempered=tempered, **lesson.kept("free"))
    mu = chains.variables()["mu"]
    print(f"largest R-hat of a location: {worst(mu):.2f}")
    print("posterior mean of each location in three chains:")
    for chain in mu[:3]:
        print("   ", chain.mean(axis=0).round(1))

    # %% [markdown]
    # Tempering moves between the modes and gives the right posterior. But its means are useless,
    # too: all three are alike. They must be, because the three labels have the same posterior.

    # %%
    tempered_mu = posterior.unpack(tempered.rows)["mu"]
    print("posterior mean of each location by tempering:", tempered_mu.mean(axis=0).round(1))

    # %% [markdown]
    # ## Why six
    #
    # Exchange two labels, and the two components exchange their places in the sum. The sum is
    # what it was. The prior is the same for all labels, so that it does not change either. There
    # are $3! = 6$ orders of three labels. Each order of the locations therefore holds exactly one
    # sixth of the posterior, whatever the data are. This is no approximation, and it needs no
    # separated groups.

    # %%
    orders = list(permutations(range(3)))
    shares = [
        tempered.share((np.argsort(tempered_mu, axis=1) == order).all(axis=1).astype(float))
        for order in orders
    ]
    lesson.settle(
        Number(
            "share of the posterior with increasing locations",
            shares[0].value,
            shares[0].sd,
            expected=1 / 6,
            percent=True,
        )
    )
    for order, share in zip(orders, shares, strict=True):
        sampled = (np.argsort(mu, axis=-1) == order).all(axis=-1).mean()
        print(
            "labels from left to right", *(label + 1 for label in order),
            f"tempering {share.value:.0%}, chains {sampled:.0%}",
        )  # fmt: skip

    # %% [markdown]
    # The shares of the chains are something else. Each chain stays where it fell in, so that
    # they count the chains, not the posterior.
    #
    # ## The fix that fails
    #
    # *More draws.* Eight chains that are three times as long stay in their modes as well.

    # %%
    longer = mm.run_chains(
        posterior,
        chains=8,
        nuts=mm.NutsSettings(warmup=300, draws=900),
        seed=lesson.seed + 1,
        quiet=True,
    )
    print(f"largest R-hat of a location: {worst(longer.variables()['mu']):.2f}")

    # %% [markdown]
    # *The wrong order.* We give label 1 to the narrowest component of each draw, and label 3 to
    # the widest. This keeps one order of six, too. But the three groups are equally wide. The
    # narrowest component is now one group and then another, and its location is spread over all
    # of them. R-hat may look well. The labels still mean nothing.

    # %%
    sigma = chains.variables()["sigma"]
    by_width = np.take_along_axis(mu, np.argsort(sigma, axis=-1), -1)
    by_place = np.sort(mu, axis=-1)
    print(f"largest R-hat of a location, labels by width: {worst(by_width):.2f}")
    print("posterior sd of each location, labels by width:", by_width.std(axis=(0, 1)).round(1))
    print("posterior sd of each location, labels by place:", by_place.std(axis=(0, 1)).round(1))
    lesson.note(
        Number(
            "posterior sd of the narrowest component's location",
            float(by_width[..., 0].std()),
            jackknife(lambda some: float(some[..., 0].std()), by_width),
            above=1.0,
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # The locations tell the groups apart. `mixture_normals_ordered.stan` has the same model with
    # $\mu_1 < \mu_2 < \mu_3$. It keeps one order of six, and multiplies the prior by $3!$ there,
    # so that the prior is still a probability. All chains agree. And the evidence has not
    # changed, as it must be: that tests the constraint.

    # %%
    constrained = mixture(y, ordered=True)
    one_chains = mm.run_chains(constrained, chains=16, nuts=nuts, **lesson.at("ordered"))
    one_tempered = mm.run_tempered(constrained, **lesson.at("ordered"))
    one = mm.compare(
        constrained, chains=one_chains, tempered=one_tempered, **lesson.kept("ordered")
    )
    one_mu = one_chains.variables()["mu"]
    print("posterior mean of each location:", one_mu.mean(axis=(0, 1)).round(1))
    lesson.note(
        Number(
            "largest R-hat of an ordered location",
            worst(one_mu),
            jackknife(worst, one_mu),
            below=1.05,
        )
    )
    lesson.note(
        Number(
            "log_z ordered minus log_z free (nats)",
            one_tempered.log_z - tempered.log_z,
            float(np.hypot(one_tempered.log_z_sd, tempered.log_z_sd)),
            expected=0.0,
        )
    )

    # %% [markdown]
    # ## What stays
    #
    # Order removes the copies, and nothing else. Move the same groups closer together, to a
    # distance of one and a half standard deviations. Now a component can be the group in the
    # middle, or half of a group beside it, or both groups at once. These are different
    # explanations of the data, not copies of one. The ordered posterior holds all of them. It is
    # wide, and it leans against the wall $\mu_1 = \mu_2$, where two components lie in one place
    # and the label of a group says nothing.

    # %%
    closer = mm.run_chains(
        mixture(measurements(1.5), ordered=True),
        chains=8,
        nuts=nuts,
        seed=lesson.seed,
        quiet=True,
    ).variables()["mu"]

    def near(some: np.ndarray) -> float:
        """Return the share of draws with two locations within half a standard deviation."""
        return float((np.diff(some, axis=-1).min(axis=-1) < 0.5).mean())

    lesson.note(
        Number(
            "share of draws with two components in one place, groups close together",
            near(closer),
            jackknife(near, closer),
            above=0.1,
            percent=True,
        )
    )
    print(f"the same, groups far apart: {near(one_mu):.0%}")
    for what, some in (("far apart", one_mu[:8]), ("close together", closer)):
        print(f"effective draws of 2400, groups {what}: {ess_bulk(some).min():.0f} or more")

    # %%
    figure, axes = lesson.figure(3, height=2.9)
    for panel, some, title in (
        (axes[0], mu, "free: any order"),
        (axes[1], one_mu, "ordered: one"),
        (axes[2], closer, "ordered, groups close"),
    ):
        for number, chain in enumerate(some[:, ::6]):
            colour = FUNCTIONS[number % len(FUNCTIONS)]
            panel.plot(chain[:, 0], chain[:, 1], ".", ms=4, alpha=0.4, color=colour, mew=0)
        panel.axline((0, 0), slope=1, lw=0.8, color="#8a8f98")
        panel.set(title=title, xlabel="location of label 1", aspect="equal")
    axes[0].set_ylabel("location of label 2")
    for panel in axes[:2]:
        panel.set(xlim=(-6, 6), ylim=(-6, 6), xticks=[-4, 0, 4], yticks=[-4, 0, 4])
    axes[2].set(xlim=(-3, 1), ylim=(-2, 2), xticks=[-2, 0], yticks=[-2, 0, 2])
    lesson.show(
        figure,
        "Draws of the first two locations, one colour for each of eight chains and again for the "
        "next eight. The grey line is where they are equal. Left: free, every chain in an order "
        "of its own. Middle: ordered, one mode. Right: ordered, with groups that lie close "
        "together; the posterior is wide and leans against the wall.",
    )

    # %%
    lesson.finish({"free": found, "ordered": one})

    # %% [markdown]
    # ## Exercises
    #
    # 1. How many orders have five labels? What does one chain that stays in one of them miss of
    #    log_z, if the orders are well separated?
    #
    #    <details><summary>Answer</summary>
    #
    #    $5! = 120$. The chain sees one of 120 equal parts, so that the evidence of its mode is
    #    lower by $\log 120 = 4.79$ nats.
    #
    #    </details>
    #
    # 2. Take the draws of the free chains and sort the locations of each draw. Is this a draw of
    #    the ordered posterior?
    #
    #    <details><summary>Answer</summary>
    #
    #    Yes, if the scales move along with their locations. The six orders are copies, so that it
    #    does not matter in which of them a chain was. Here R-hat after sorting is as low as that
    #    of the ordered program (compute `worst(by_place)`).
    #
    #    </details>
    #
    # 3. The weights of the components are known, and they are 0.5, 0.3 and 0.2. Are there still
    #    six modes of equal weight?
    #
    #    <details><summary>Answer</summary>
    #
    #    No. A label now stands for a component with a known weight, and exchanging two labels
    #    changes the likelihood. There can be six modes still, but the data prefer some of them.
    #    Ordering the locations would then throw away solutions that are no copies.
    #
    #    </details>
    #
    # ## References
    #
    # - Betancourt (2017). Identifying Bayesian mixture models. Stan case study.
    # - Stephens (2000). Dealing with label switching in mixture models. Journal of the Royal
    #   Statistical Society B 62, 795.
    # - Jasra, Holmes, Stephens (2005). Markov chain Monte Carlo methods and the label switching
    #   problem in Bayesian mixture modeling. Statistical Science 20, 50.
