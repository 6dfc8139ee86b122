"""Lesson 8: a chain that is stuck in a funnel looks like a mode, and stacking does not cure it."""

from __future__ import annotations

# %% [markdown]
# # 8. Funnel or mode?
#
# **Some chains are stuck. Does that mean that there is another mode?**
#
# Twenty-four clinics report an effect $y_j$, each with the standard error 1. The true effects
# $\theta_j$ differ from clinic to clinic, by an amount that we do not know:
#
# $$y_j \sim \operatorname{normal}(\theta_j, 1), \quad
# \theta_j \sim \operatorname{normal}(\mu, \tau), \quad
# \mu \sim \operatorname{normal}(0, 5), \quad
# \tau \sim \operatorname{half-normal}(2).$$

# %%
import numpy as np
from scipy import integrate, stats

import manymodes as mm
from manymodes.density.program import Program
from manymodes.report.plots.style import FUNCTIONS, PALE, REST, WHOLE
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number
from manymodes.toolchain import stan_dir

CLINICS, MU_SD, TAU_SD = 24, 5.0, 2.0
SMALL = 0.1  # a standard deviation between clinics that is of no practical interest


def reported() -> np.ndarray:
    """Return an estimated effect for each clinic, whose true effects differ by 0.3."""
    return np.random.default_rng(8).normal(1, np.hypot(1.0, 0.3), CLINICS).round(2)


def model(y: np.ndarray, name: str) -> mm.Posterior:
    """Return the posterior with the parameters ``centred`` or ``non-centred``."""
    data = {
        "J": CLINICS,
        "y": y.tolist(),
        "s": [1.0] * CLINICS,
        "tau_sd": TAU_SD,
        "centred": int(name == "centred"),
        "prior_only": 0,
        "save_log_lik": 0,
    }
    return mm.Posterior(Program(stan_dir() / "models" / "group_means.stan"), data, name)


def log_joint(y: np.ndarray, tau: float) -> float:
    """Return the log of p(y, tau), without the other parameters (nats)."""
    covariance = (1 + tau**2) * np.eye(CLINICS) + MU_SD**2
    prior = np.log(2) + stats.norm.logpdf(tau, 0, TAU_SD)
    return float(stats.multivariate_normal.logpdf(y, np.zeros(CLINICS), covariance) + prior)


def sets_of_four(values: np.ndarray) -> np.ndarray:
    """Return values of 24 chains, shape (24, ...), as six sets of four."""
    return values.reshape(6, 4, *values.shape[1:])


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(8, "centred", "non-centred")
    y = reported()
    centred, non_centred = model(y, "centred"), model(y, "non-centred")

    # %% [markdown]
    # ## The Stan program
    #
    # One program has two sets of parameters, and `centred` chooses one of them. With 1 the
    # parameters are the effects $\theta_j$. With 0 they are $z_j = (\theta_j - \mu) / \tau$.

    # %%
    lesson.program(centred)

    # %% [markdown]
    # ## What goes wrong first
    #
    # We write the model as the formula has it: centred. Twenty-four chains do not agree, and
    # transitions diverge. The share of draws with a small $\tau$ differs a lot between chains.
    # Most chains hardly ever get there. If one does, it stays for long, as a chain does that has
    # found a mode of its own.

    # %%
    nuts = mm.NutsSettings(warmup=300, draws=300)
    stuck = mm.run_chains(centred, chains=24, nuts=nuts, **lesson.at("centred"))
    found = mm.compare(centred, chains=stuck, **lesson.kept("centred"))

    def small(chains: mm.Chains) -> np.ndarray:
        """Return the share of draws with a small tau in each chain."""
        return np.asarray((chains.variables()["tau"] < SMALL).mean(axis=1))

    print(f"R-hat of log tau: {float(rhat(np.log(stuck.variables()['tau']))):.2f}")
    print(f"divergent transitions: {stuck.divergences} of {stuck.total_draws}")
    print(f"share of draws with tau < {SMALL} in each chain (%):")
    print(" ".join(f"{100 * share:.0f}" for share in sorted(small(stuck))))
    print(f"modes: {len(found.summaries)}")

    # %% [markdown]
    # ## Why it is no mode
    #
    # Between a mode and the rest lies a region of low probability. Here there is none. We can
    # check that, because all parameters but $\tau$ integrate out: given $\tau$, the estimates
    # $y$ are jointly normal, with the variances $1 + \tau^2 + 25$ and the covariances 25. One
    # integral is left, and quadrature gives it. The density of $\log \tau$ has one hump, and it
    # goes down towards $\tau = 0$ without any gap. Nor can there be two modes side by side: given
    # $\tau$, the other parameters are jointly normal, which is one hump.
    #
    # What the chains meet is a *funnel*. Given $\tau$ and $\mu$, the prior lets each of the 24
    # effects lie within about $\tau$ of $\mu$. Divide $\tau$ by ten, and the volume is smaller by
    # a factor of $10^{24}$. The density inside is higher by as much, so that the neck of the
    # funnel keeps its probability. But a step that suits the wide part is far too long for the
    # neck. A chain outside hardly gets in, and a chain inside hardly gets out.
    #
    # The non-centred parameters have no funnel: $z_j$ has the standard deviation 1 in the prior,
    # whatever $\tau$ is.

    # %%
    def mass(low: float, high: float) -> float:
        """Return the integral of p(y, tau), times e^30, between two values of tau."""
        points = [p for p in (0.1, 0.5, 1.0, 2.0) if low < p < high]
        value, _ = integrate.quad(
            lambda tau: np.exp(30 + log_joint(y, tau)), low, high, points=points or None
        )
        return float(value)

    whole = mass(0, 20)
    exact = mass(0, SMALL) / whole
    tau = np.geomspace(0.002, 10, 400)
    density = tau * np.exp([30 + log_joint(y, one) for one in tau]) / whole  # of log tau
    turns = np.diff(np.sign(np.diff(density)))
    print(f"humps of the density of log tau: {int((turns < 0).sum())}")
    print(f"P(tau < {SMALL}) by quadrature: {exact:.2%}")

    free = mm.run_chains(non_centred, chains=24, nuts=nuts, **lesson.at("non-centred"))
    tempered = mm.run_tempered(non_centred, rounds=9, **lesson.at("non-centred"))
    good = mm.compare(non_centred, chains=free, tempered=tempered, **lesson.kept("non-centred"))
    shares = small(free)
    lesson.settle(
        Number(
            f"P(tau < {SMALL}) from non-centred chains",
            float(shares.mean()),
            float(shares.std(ddof=1) / np.sqrt(len(shares))),
            expected=exact,
            percent=True,
        )
    )
    lesson.note(
        Number(
            "log_z of the non-centred program (nats)",
            tempered.log_z,
            tempered.log_z_sd,
            expected=float(np.log(whole) - 30),
        )
    )

    # %%
    figure, axes = lesson.figure(2, height=3.3)
    for chains, colour, size, label in (
        (free, REST, 2, "non-centred"),
        (stuck, FUNCTIONS[0], 2, "centred"),
    ):
        drawn = chains.variables()
        first, scale = drawn["theta"][..., 0] - drawn["mu"], drawn["tau"]
        axes[0].plot(first.ravel(), scale.ravel(), ".", ms=size, color=colour, label=label)
    bad = stuck.stats["diverging"] > 0
    axes[0].plot(first[bad], scale[bad], "x", ms=4, mew=0.9, color=FUNCTIONS[1], label="divergent")
    axes[0].axhline(SMALL, lw=0.8, ls=":", color=PALE)
    axes[0].set(yscale="log", ylim=(0.001, 4), xlim=(-4, 4))
    axes[0].set(title="the funnel", xlabel="theta of clinic 1, less mu", ylabel="tau")
    axes[0].legend(loc="lower right", markerscale=1.8, handletextpad=0.1, frameon=False)
    edges = np.linspace(np.log10(0.004), np.log10(3), 36)
    for chains, colour, label in (
        (free, REST, "non-centred"),
        (stuck, FUNCTIONS[0], "centred"),
    ):
        logs = np.log10(chains.variables()["tau"]).ravel()
        counts = np.histogram(logs, edges)[0] / len(logs) / np.diff(edges)
        filled = chains is free
        axes[1].stairs(counts, 10**edges, fill=filled, color=colour, lw=1.4, label=label)
    axes[1].plot(tau, np.log(10) * density, color=WHOLE, lw=1.4, label="exact")
    axes[1].axvline(SMALL, lw=0.8, ls=":", color=PALE)
    axes[1].set(xscale="log", xlim=(0.004, 4), title="what the chains make of it", xlabel="tau")
    axes[1].set(ylabel="density of log10 tau")
    axes[1].legend(loc="upper left", frameon=False)
    lesson.show(
        figure,
        "Left: draws of tau and of one clinic's effect. The centred chains (blue, their divergent "
        "transitions as crosses) do not sample the neck of the funnel as the non-centred ones "
        "(grey) do. Right: the density of log tau, by quadrature and from both sets of chains. "
        f"The dotted lines are at {SMALL}.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *Stacking.* It is made for chains that do not mix. It weighs whole chains, by how well each
    # one predicts the estimates. That helps if each chain holds one mode, and is right within
    # it. Here all chains are on the same hump, and none of them is right: nearly all miss the
    # neck, and a chain that is stuck in it misses the rest. A mixture cannot hold draws that no
    # chain has made. And stacking does not see the bias: a chain without the neck predicts nearly
    # as well as a chain with it, so that the weights follow chance.
    #
    # We take the chains as six sets of four, as six users would have them, stack each set, and
    # ask how far its share of small $\tau$ is from the truth.

    # %%
    def stacked(chains: mm.Chains) -> np.ndarray:
        """Return the share of small tau after stacking, for each of six sets of four chains."""
        scores = sets_of_four(chains.lpd)
        weights = [mm.stack(four.T).weights for four in scores]
        return np.sum(weights * sets_of_four(small(chains)), axis=1)

    def far(shares: np.ndarray) -> tuple[float, float]:
        """Return the mean distance from the exact share, as a part of it, and its error."""
        distance = np.abs(shares / exact - 1)
        return float(distance.mean()), float(distance.std(ddof=1) / np.sqrt(len(distance)))

    print(f"exact: {exact:.1%}")
    print("stacked:", ", ".join(f"{share:.1%}" for share in stacked(stuck)))
    lesson.note(
        Number(
            f"relative error of P(tau < {SMALL}) from four stacked centred chains",
            *far(stacked(stuck)),
            above=0.2,
        )
    )

    # %% [markdown]
    # *A smaller step.* With `adapt_delta=0.99` the steps are shorter and the chains take more of
    # them. Chains get into the neck more easily. But the neck goes on, ever narrower, and no step
    # is short enough for all of it. Transitions may still diverge, and four chains together are
    # still far from the truth.

    # %%
    shorter = mm.run_chains(
        centred,
        chains=24,
        nuts=mm.NutsSettings(warmup=300, draws=300, adapt_delta=0.99),
        seed=lesson.seed,
        quiet=True,
    )
    for name, chains in (("0.8", stuck), ("0.99", shorter)):
        pooled = sets_of_four(small(chains)).mean(axis=1)
        error, sd = far(pooled)
        steps = np.nanmean(chains.stats["n_steps"])
        print(
            f"adapt_delta {name}: {chains.divergences} divergences, {steps:.0f} steps a draw, "
            f"relative error of four pooled chains {error:.2f} ± {sd:.2f}"
        )

    # %% [markdown]
    # ## The fix that works
    #
    # Change the parameters, not the weights of the chains. The same program with `centred = 0`
    # has the same posterior of $\mu$, $\tau$ and $\theta$. Its chains agree with each other, and
    # with the quadrature. They do so with the default settings.

    # %%
    error, sd = far(sets_of_four(small(free)).mean(axis=1))
    lesson.note(
        Number(
            f"relative error of P(tau < {SMALL}) from four non-centred chains",
            error,
            sd,
            below=0.25,
        )
    )
    print(f"R-hat of log tau: {float(rhat(np.log(free.variables()['tau']))):.3f}")
    print(f"divergent transitions: {free.divergences} of {free.total_draws}")
    for name, chains in (("centred", stuck), ("non-centred", free)):
        print(f"median step size, {name}: {np.median(chains.step_size):.2f}")

    # %%
    lesson.finish({"centred": found, "non-centred": good})

    # %% [markdown]
    # ## Exercises
    #
    # 1. The standard errors of the clinics are 0.03 instead of 1. Which parameters are better
    #    now?
    #
    #    <details><summary>Answer</summary>
    #
    #    The centred ones. The data now hold each effect within 0.03 of its estimate, whatever
    #    $\tau$ is, and $\tau$ itself is well known and far from 0: there is no neck. In the
    #    non-centred parameters $\theta_j = \mu + \tau z_j$ is nearly fixed, so that $\mu$,
    #    $\tau$ and $z_j$ depend on each other strongly.
    #
    #    </details>
    #
    # 2. Two chains disagree. How do you find out whether they are in two modes or in a funnel?
    #
    #    <details><summary>Answer</summary>
    #
    #    See whether a path of high density joins them: `compare` does, and finds one mode here.
    #    See where transitions diverge: in a funnel they do so near its neck, at one end of a
    #    scale. Change the parameters: a funnel may go away, and two regions of high probability
    #    with little between them stay.
    #
    #    </details>
    #
    # 3. Why does the density of the centred parameters have no maximum, although its integral is
    #    1?
    #
    #    <details><summary>Answer</summary>
    #
    #    Put all effects at $\theta_j = \mu$ and let $\tau$ go to 0. The likelihood stays above
    #    0, and the prior density of the 24 effects, $(2 \pi \tau^2)^{-12}$, has no bound. The
    #    volume in which it is so high shrinks like $\tau^{24}$, so that the integral stays
    #    finite. The height of a density says nothing about probability.
    #
    #    </details>
    #
    # ## References
    #
    # - Neal (2003). Slice sampling. Annals of Statistics 31, 705. (The funnel, section 8.)
    # - Papaspiliopoulos, Roberts, Sköld (2007). A general framework for the parametrization of
    #   hierarchical models. Statistical Science 22, 59.
    # - Betancourt, Girolami (2015). Hamiltonian Monte Carlo for hierarchical models. In: Current
    #   Trends in Bayesian Methodology with Applications.
    # - Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
    #   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
