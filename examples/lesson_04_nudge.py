"""Lesson 4: a prior that nudges two labels apart, and what it leaves to the wrong order."""

from __future__ import annotations

# %% [markdown]
# # 4. A nudge is not a constraint
#
# **Can different prior means tell two labels which is which?**
#
# Forty fossils come from two species, twenty from each. Nobody knows the species of any. The log
# of their size is measured in units of its standard deviation within a species. We know a little:
# species 1 is usually the smaller one. So we write
#
# $$y_n \sim \tfrac12 \operatorname{normal}(\mu_1, 1) + \tfrac12 \operatorname{normal}(\mu_2, 1),
# \qquad \mu_1 \sim \operatorname{normal}(-d, s), \quad \mu_2 \sim \operatorname{normal}(d, s),$$
#
# with $s = 2$ and $d = 1$, and hope that the prior means keep the labels in their places. We call
# $d$ the nudge.

# %%
import numpy as np
from scipy.special import logsumexp

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, PALE, STEPS, WHOLE
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number, jackknife
from manymodes.toolchain import stan_dir

PRIOR_SD = 2.0
GRID = np.linspace(-6, 6, 301)
FIRST, SECOND = np.meshgrid(GRID, GRID, indexing="ij")  # of the two locations


def sizes(times: int = 1) -> np.ndarray:
    """Return the sizes of the fossils, or of more of their kind, shape (40 * times,)."""
    noise = np.random.default_rng(1).normal(size=(times, 2, 20))
    return (noise + np.array([[-1.5], [1.5]])).round(2).ravel()


def mixture(y: np.ndarray, nudge: float) -> mm.Posterior:
    """Return the posterior under a nudge."""
    data = {"N": len(y), "y": y.tolist(), "K": 2, "theta": [0.5, 0.5], "mu_sd": PRIOR_SD}
    data |= {"mu_mean": [-nudge, nudge], "prior_only": 0, "save_log_lik": 1}
    program = mm.Program(stan_dir() / "models" / "mixture_locations.stan")
    return mm.Posterior(program, data, f"nudge of {nudge:g}")


def log_likelihood(y: np.ndarray) -> np.ndarray:
    """Return the log likelihood on the grid, less its constants, shape (301, 301)."""
    terms = -0.5 * (y[:, None] - GRID) ** 2
    return sum(np.logaddexp.outer(one, one) for one in terms)


def masses(log_lik: np.ndarray, nudge: float) -> np.ndarray:
    """Return the posterior mass of every cell of the grid."""
    log_prior = -0.5 * ((FIRST + nudge) ** 2 + (SECOND - nudge) ** 2) / PRIOR_SD**2
    return np.exp(log_lik + log_prior - logsumexp(log_lik + log_prior))


def wrong_order(mass: np.ndarray) -> float:
    """Return the mass where species 1 is the larger one; cells on the line count half."""
    return float(mass[FIRST > SECOND].sum() + 0.5 * mass[FIRST == SECOND].sum())


def gap(mass: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the distance between the two locations."""
    distance = np.abs(SECOND - FIRST)
    mean = float((mass * distance).sum())
    return mean, float(np.sqrt((mass * (distance - mean) ** 2).sum()))


def worst(values: np.ndarray) -> float:
    """Return the largest R-hat of values of shape (chain, draw, component)."""
    return float(rhat(values).max())


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(4, "nudge", "sorted")
    y = sizes()
    posterior = mixture(y, 1.0)

    # %% [markdown]
    # ## The Stan program

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # Forty-eight chains start at random. The nudge does not bring them together: R-hat is far
    # above 1.01, and a large part of the chains has species 1 as the larger one.

    # %%
    nuts = mm.NutsSettings(warmup=200, draws=200)
    chains = mm.run_chains(posterior, chains=48, nuts=nuts, **lesson.at("nudge"))
    tempered = mm.run_tempered(posterior, rounds=12, **lesson.at("nudge"))
    found = mm.compare(posterior, chains=chains, tempered=tempered, **lesson.kept("nudge"))
    mu = chains.variables()["mu"]
    wrong = (mu[..., 0] > mu[..., 1]).mean(axis=1)  # share of each chain's draws
    print(f"largest R-hat of a location: {worst(mu):.2f}")
    print(f"chains in the wrong order:   {(wrong > 0.5).sum()} of {len(wrong)}")

    # %% [markdown]
    # ## Why the wrong order keeps its mass
    #
    # Exchange the two locations. The likelihood is the same. Only the prior changes, by the
    # factor
    #
    # $$\frac{p(\mu_2, \mu_1)}{p(\mu_1, \mu_2)}
    # = \exp\left(-\frac{2 d \, (\mu_2 - \mu_1)}{s^2}\right).$$
    #
    # With $\mu_2 - \mu_1 = 3$ this is $e^{-1.5}$: the wrong order keeps about
    # $1 / (1 + e^{1.5}) = 18\,\%$ of the posterior. There is no $N$ in this factor. Ten times as
    # many fossils make both modes narrower. They do not make the wrong one lighter.
    #
    # With two parameters we can sum the posterior over a fine grid. That gives the mass of the
    # wrong order exactly for our data. Tempering agrees with it.

    # %%
    log_lik = log_likelihood(y)
    exact = wrong_order(masses(log_lik, 1.0))
    tempered_mu = posterior.unpack(tempered.rows)["mu"]
    share = tempered.share((tempered_mu[:, 0] > tempered_mu[:, 1]).astype(float))
    lesson.settle(
        Number(
            "posterior probability of the wrong order",
            share.value,
            share.sd,
            expected=exact,
            percent=True,
        )
    )
    for times in (1, 4, 16):
        mass = wrong_order(masses(log_likelihood(sizes(times)), 1.0))
        print(f"exact probability of the wrong order with {40 * times} fossils: {mass:.1%}")

    # %% [markdown]
    # The share of the *chains* in the wrong order is another thing. A chain goes to the mode that
    # is near its start, and stays there. The starts know nothing of the nudge.

    # %%
    lesson.note(
        Number(
            "share of the chains in the wrong order",
            float(wrong.mean()),
            float(wrong.std(ddof=1) / np.sqrt(len(wrong))),
            above=exact,
            percent=True,
        )
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *A stronger nudge.* We make $d$ four times and sixteen times as large. The exact probability
    # of the wrong order soon is next to nothing. But the chains do not notice. As long as the
    # wrong order is a mode, those that start near it stay in it.

    # %%
    nudges = [1.0, 4.0, 16.0]
    by_nudge = [mu]
    for nudge in nudges[1:]:
        some = mm.run_chains(
            mixture(y, nudge), chains=48, nuts=nuts, seed=lesson.seed + int(nudge), quiet=True
        )
        by_nudge.append(some.variables()["mu"])
    in_wrong = [(some[..., 0] > some[..., 1]).mean(axis=1) for some in by_nudge]
    for nudge, chain_shares in zip(nudges, in_wrong, strict=True):
        mass = wrong_order(masses(log_lik, nudge))
        print(f"nudge {nudge:2.0f}: exact {mass:.2g}, chains {chain_shares.mean():.2f}")

    # %% [markdown]
    # And a strong nudge costs. It pulls the two species apart, so that they look more different
    # than they are.

    # %%
    unbiased, width = gap(masses(log_lik, 0.0))
    right = by_nudge[-1][in_wrong[-1] < 0.5]
    lesson.note(
        Number(
            "gap between the species under a nudge of 16, minus the gap without (posterior sds)",
            float(((right[..., 1] - right[..., 0]).mean() - unbiased) / width),
            float((right[..., 1] - right[..., 0]).mean(axis=1).std(ddof=1))
            / np.sqrt(len(right))
            / width,
            above=0.5,
        )
    )

    # %%
    figure, axes = lesson.figure(3, height=2.9)
    log_mass = np.log(np.maximum(masses(log_lik, 1.0).T, 1e-300))
    levels = log_mass.max() - np.array([9.0, 6.0, 3.0, 1.5, 0.0])
    axes[0].contourf(GRID, GRID, log_mass, levels=levels, colors=[STEPS[i] for i in (1, 3, 5, 8)])
    for chain, colour in zip(mu, np.where(wrong > 0.5, FUNCTIONS[1], FUNCTIONS[0]), strict=True):
        axes[0].plot(*chain[-1], ".", ms=5, color=colour, mew=0)
    axes[0].axline((0, 0), slope=1, lw=0.8, color=PALE)
    axes[0].set(title="posterior, nudge 1", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    axes[0].set(xlabel="location of species 1", ylabel="location of species 2", aspect="equal")
    strengths = np.geomspace(0.25, 20, 60)
    curves = [masses(log_lik, nudge) for nudge in strengths]
    axes[1].plot(strengths, [wrong_order(mass) for mass in curves], color=WHOLE, label="exact")
    axes[1].errorbar(
        nudges,
        [shares.mean() for shares in in_wrong],
        [shares.std(ddof=1) / np.sqrt(len(shares)) for shares in in_wrong],
        fmt="o", ms=5, color=FUNCTIONS[1], label="chains",
    )  # fmt: skip
    axes[1].legend(loc="upper right", frameon=False)
    axes[1].set(title="share in the wrong order", ylim=(-0.03, 1.0))
    axes[2].plot(strengths, [(gap(mass)[0] - unbiased) / width for mass in curves], color=WHOLE)
    axes[2].set(title="error of the gap (sds)", ylim=(-0.05, 1.8))
    for panel in axes[1:]:
        panel.set(xscale="log", xlabel="nudge", xticks=nudges, xticklabels=["1", "4", "16"])
        panel.minorticks_off()
    lesson.show(
        figure,
        "Left: the exact posterior under a nudge of 1, and the last draw of each chain, blue in "
        "the right order and orange in the wrong one. Middle: the exact probability of the wrong "
        "order by the strength of the nudge, and the share of chains in it. Right: how much too "
        "far apart the two species are estimated, in posterior standard deviations.",
    )

    # %% [markdown]
    # ## The fix that works
    #
    # Do not nudge. Give both labels the same prior, $d = 0$, and sort the two locations of each
    # draw afterwards. The two modes are now copies, so that it does not matter in which of them a
    # chain is. After sorting all chains agree, and they give the gap that the grid gives.

    # %%
    alike = mixture(y, 0.0)
    alike_chains = mm.run_chains(alike, chains=48, nuts=nuts, **lesson.at("sorted"))
    alike_found = mm.compare(alike, chains=alike_chains, **lesson.kept("sorted"))
    in_order = np.sort(alike_chains.variables()["mu"], axis=-1)
    lesson.note(
        Number(
            "largest R-hat of a sorted location",
            worst(in_order),
            jackknife(worst, in_order),
            below=1.05,
        )
    )
    gaps = np.diff(in_order, axis=-1).mean(axis=(1, 2))
    lesson.note(
        Number(
            "gap between the species",
            float(gaps.mean()),
            float(gaps.std(ddof=1) / np.sqrt(len(gaps))),
            expected=unbiased,
        )
    )

    # %% [markdown]
    # If the nudge is what you really believe about the two species, keep it. Then the mass of the
    # wrong order is a true answer: it is the probability that species 1 is the larger one. But
    # only an engine that moves between the modes will tell you.

    # %%
    lesson.finish({"nudge": found, "sorted": alike_found})

    # %% [markdown]
    # ## Exercises
    #
    # 1. The two species lie at $-3$ and $3$ instead of $-1.5$ and $1.5$. About which probability
    #    does the nudge of 1 leave to the wrong order, if there are many fossils?
    #
    #    <details><summary>Answer</summary>
    #
    #    The factor is $\exp(-2 \cdot 1 \cdot 6 / 4) = e^{-3}$, so that the wrong order keeps
    #    $1 / (1 + e^3) = 4.7\,\%$. The further the species lie apart, the more the same nudge
    #    says.
    #
    #    </details>
    #
    # 2. A friend keeps the nudge and sorts the locations of each tempered draw. Which prior do
    #    her sorted draws have?
    #
    #    <details><summary>Answer</summary>
    #
    #    That of a sorted pair of prior draws. Its density at $\mu_1 < \mu_2$ is
    #    $p(\mu_1, \mu_2) + p(\mu_2, \mu_1)$. It is a proper prior, and the sorted draws are draws
    #    of its posterior. With chains instead of tempering this is not so: the two orders are not
    #    copies, and the chains give them the wrong shares.
    #
    #    </details>
    #
    # 3. Would it help to start all chains in the right order?
    #
    #    <details><summary>Answer</summary>
    #
    #    R-hat would be low. But the chains then sample the prior that is cut off at
    #    $\mu_1 = \mu_2$, not the one in the program, and nothing in the output says so. It is
    #    more honest to write the order into the program, as lesson 3 does.
    #
    #    </details>
    #
    # ## References
    #
    # - Celeux, Hurn, Robert (2000). Computational and inferential difficulties with mixture
    #   posterior distributions. Journal of the American Statistical Association 95, 957.
    # - Jasra, Holmes, Stephens (2005). Markov chain Monte Carlo methods and the label switching
    #   problem in Bayesian mixture modeling. Statistical Science 20, 50.
    # - Betancourt (2017). Identifying Bayesian mixture models. Stan case study.
