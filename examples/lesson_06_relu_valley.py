"""Lesson 6: a relu unit can be scaled at no cost, and one coordinate system makes that easy."""

from __future__ import annotations

# %% [markdown]
# # 6. The relu valley
#
# **Why are chains of a relu network so slow, even if it has a single unit?**
#
# A pollutant does no harm below a threshold, and harm in proportion above it. We fit the harm
# with a network of one relu unit,
#
# $$f(x) = c + v \max(0, w x + b),$$
#
# normal noise, and a normal prior with standard deviation 2 on each of the four weights.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, PALE
from manymodes.statistics.diagnostics import ess_bulk, rhat
from manymodes.studies.lessons import Lesson, Number, jackknife

NUTS = mm.NutsSettings(warmup=300, draws=400)


def doses() -> tuple[np.ndarray, np.ndarray]:
    """Return 40 standardised doses, shape (40, 1), and the standardised harm that they did."""
    dose = np.linspace(0, 10, 40)
    harm = 1 + 0.5 * np.maximum(dose - 4, 0) + np.random.default_rng(6).normal(0, 0.3, 40)
    return ((dose - dose.mean()) / dose.std())[:, None], (harm - harm.mean()) / harm.std()


def network(constraint: str, sd: float = 2) -> mm.Network:
    """Return the network under a constraint, with a normal prior of this standard deviation."""
    return mm.Network(
        1,
        (1,),
        activation="relu",
        likelihood="normal",
        prior=f"normal:{sd}",
        constraint=constraint,
    )


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(6, "none", "unit-norm")
    X, y = doses()
    free = mm.Posterior.from_network(network("none"), X, y, "none")
    norm = mm.Posterior.from_network(network("unit-norm"), X, y, "unit-norm")

    # %% [markdown]
    # ## The Stan program
    #
    # The constraint `unit-norm` has a program of its own. It is the one that works in the end.

    # %%
    lesson.program(norm)

    # %% [markdown]
    # ## What goes wrong first
    #
    # We sample the weights as they are. All eight chains start from draws of the posterior, so
    # that none is in a wrong place. They need long trajectories, and yet they know the size of
    # $w$ badly. They know the function better, its slope and its threshold.

    # %%
    scratch = TemporaryDirectory()

    def sampled(posterior: mm.Posterior) -> tuple[mm.Tempered, mm.Chains]:
        """Return tempered draws of a posterior, and eight chains that start from some of them."""
        name = posterior.name
        at = lesson.at(name)
        at["out"] = at["out"] or Path(scratch.name) / name
        tempered = mm.run_tempered(posterior, rounds=10, max_rounds=11, **at)
        return tempered, mm.run_chains(posterior, chains=8, nuts=NUTS, init=str(at["out"]), **at)

    def quantities(chains: mm.Chains) -> dict[str, np.ndarray]:
        """Return the size of w, which the data do not see, and what they do see."""
        drawn = chains.variables()
        w, v, b = drawn["W"][..., 0, 0], drawn["V"][..., 0, 0], drawn["b"][..., 0]
        size = drawn["r"][..., 0] if "r" in drawn else np.abs(w)
        return {"log |w|": np.log(size), "slope v w": v * w, "threshold -b/w": -b / w}

    def tell(chains: mm.Chains) -> None:
        """Print what the chains took, and how well they know each quantity."""
        steps = np.nanmean(chains.stats["n_steps"])
        print(
            f"step size {np.median(chains.step_size):.3f}, {steps:.0f} leapfrog steps a draw, "
            f"{chains.divergences} of {chains.total_draws} transitions divergent"
        )
        for name, values in quantities(chains).items():
            ess = float(ess_bulk(values))
            print(f"{name:>15}: R-hat {float(rhat(values)):.3f}, {ess:.0f} effective draws")

    tempered, chains = sampled(free)
    found = mm.compare(free, chains=chains, tempered=tempered, **lesson.kept("none"))
    tell(chains)
    print(f"modes: {len(found.summaries)}")

    # %% [markdown]
    # ## Why a valley
    #
    # For $r > 0$ we have $\max(0, r z) = r \max(0, z)$. We can replace $w$, $b$ and $v$ by $r w$,
    # $r b$ and $v / r$, and the function is what it was. Tanh units have copies, which are
    # points. A relu unit has a *curve* of them: $v w$ is a constant, so that the posterior of
    # $(w, v)$ lies along a hyperbola. Only the prior ends it, and it does so where $w$ or $v$ is
    # a few prior standard deviations. This is one mode, and yet no chain gets through it fast:
    #
    # - the curve is long in proportion to the prior standard deviation $s$;
    # - where one of the weights is about $s$, the curve is narrow: an error of $v w$ by a little
    #   is an error of the other weight by that little divided by $s$;
    # - the curve bends, and no fixed metric straightens it.
    #
    # The step has to suit the narrowest part, and the trajectory the whole length. A wider prior
    # makes both worse.

    # %%
    for sd in (1, 2, 4):
        posterior = mm.Posterior.from_network(network("none", sd), X, y, f"sd {sd}")
        wide = (
            chains
            if sd == 2
            else mm.run_chains(
                posterior,
                chains=4,
                nuts=mm.NutsSettings(warmup=300, draws=200),
                init=str(lesson.at("none")["out"] or Path(scratch.name) / "none"),
                seed=lesson.seed,
                quiet=True,
            )
        )
        print(
            f"prior sd {sd}: step size {np.median(wide.step_size):.3f}, tree depth "
            f"{np.nanmean(wide.stats['tree_depth']):.1f} on average"
        )

    # %% [markdown]
    # The cure is to cut the curve by a slice, and to keep the place along the curve as a
    # coordinate of its own. `unit-norm` computes the function from weights of length 1,
    # $u = w / r$ with $r = |w|$, from $b / r$ and from $v r$. The data see these three, and not
    # $r$. The prior sees $r$: it is the prior of $w$, $b$ and $v$, written in the new coordinates
    # with the Jacobian. So it is the same model, and the evidence proves it: log_z must not
    # change. (With $H$ units the constraint orders their biases, too, and multiplies the prior by
    # $H!$, so that log_z stays. With one unit there is nothing to order.)

    # %%
    norm_tempered, norm_chains = sampled(norm)
    slice_found = mm.compare(
        norm, chains=norm_chains, tempered=norm_tempered, **lesson.kept("unit-norm")
    )
    lesson.settle(
        Number(
            "log_z with unit-norm minus log_z without (nats)",
            norm_tempered.log_z - tempered.log_z,
            float(np.hypot(norm_tempered.log_z_sd, tempered.log_z_sd)),
            expected=0.0,
        )
    )

    # %%
    figure, axes = lesson.figure(2, height=3.2)
    w, v = (chains.variables()[name][..., 0, 0] for name in ("W", "V"))
    drawn = norm_chains.variables()
    for panel, across, along, title in (
        (axes[0], w, v, "the weights as they are"),
        (axes[1], drawn["r"][..., 0], drawn["V"][..., 0, 0], "the same model with unit norm"),
    ):
        panel.plot(across.ravel(), along.ravel(), ".", ms=2, color=PALE, alpha=0.35)
        panel.plot(across[0, :40], along[0, :40], "o-", ms=3, lw=0.8, color=FUNCTIONS[1])
        panel.set(title=title, xlim=(0, 6), ylim=(0, 4.5))
    axes[0].set(xlabel="w", ylabel="v")
    axes[1].set(xlabel="r = |w|", ylabel="v r")
    lesson.show(
        figure,
        "Draws of all chains (grey), and the first forty draws of one chain, in order (orange). "
        "Left: the valley of w and v. Right: with unit norm the place along the valley, r, is a "
        "coordinate, and the data determine the other one, v r.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *A smaller step and a longer warm-up.* They are the usual advice for a sampler in trouble.
    # They may free a chain that was stuck at an end of the valley. But the valley is as long as
    # before, and the chains take more steps for each draw. The warm-up cannot find a better
    # metric, because the metric is the same at every point and the valley bends.

    # %%
    careful = mm.run_chains(
        free,
        chains=8,
        nuts=mm.NutsSettings(warmup=600, draws=400, adapt_delta=0.95),
        init=str(lesson.at("none")["out"] or Path(scratch.name) / "none"),
        seed=lesson.seed,
        quiet=True,
    )
    tell(careful)

    # %% [markdown]
    # ## The fix that works
    #
    # The slice. We count effective draws of the slowest of the three quantities, for each
    # thousand leapfrog steps, because steps are what costs time. (A few transitions may diverge
    # still: where $r$ is near 0, $v$ has to be large, and the prior forbids it like a wall.)

    # %%
    def per_step(chains: mm.Chains) -> tuple[float, float]:
        """Return the log of effective draws per thousand leapfrog steps, and its error."""
        steps = np.nansum(chains.stats["n_steps"], axis=1)
        values = np.stack(list(quantities(chains).values()), axis=-1)

        def log_rate(some: np.ndarray) -> float:
            return float(np.log(1000 * ess_bulk(values[some]).min() / steps[some].sum()))

        numbers = np.arange(chains.n_chains)
        return log_rate(numbers), jackknife(log_rate, numbers)

    tell(norm_chains)
    for name, some in (
        ("as they are", chains),
        ("smaller step", careful),
        ("unit norm", norm_chains),
    ):
        print(f"effective draws per 1000 steps, {name}: {np.exp(per_step(some)[0]):.2f}")
    (slow, slow_sd), (fast, fast_sd) = per_step(careful), per_step(norm_chains)
    lesson.note(
        Number(
            "log of effective draws a step: unit norm minus smaller step",
            fast - slow,
            float(np.hypot(fast_sd, slow_sd)),
            above=0.0,
        )
    )
    print(f"unit norm gives {np.exp(fast - slow):.0f} times as many as the smaller step")
    scratch.cleanup()

    # %%
    lesson.finish({"none": found, "unit-norm": slice_found})

    # %% [markdown]
    # ## Exercises
    #
    # 1. A network has one hidden layer of $H$ relu units. How many dimensions has the set of
    #    weights that compute the same function as given ones, at least?
    #
    #    <details><summary>Answer</summary>
    #
    #    $H$: each unit can be scaled by a factor of its own. There are also $H!$ orders of the
    #    units, and each has such a set.
    #
    #    </details>
    #
    # 2. Take 1 as the length of $w$ and drop $r$ from the model. Give $u$, $b / r$ and $v r$
    #    priors of their own. Is this the same model?
    #
    #    <details><summary>Answer</summary>
    #
    #    No, unless the priors are those that the old ones imply. If $w$ and $v$ are normal with
    #    standard deviation 2, then $v r$ is a product of two normal variables: its density has an
    #    infinite peak at 0 and tails that are heavier than normal. With another prior, log_z is
    #    another. It may well be a good model, but it has to be called a new one.
    #
    #    </details>
    #
    # 3. Where on the valley is the posterior density of $(w, v)$ highest, if $b$ is 0 and the
    #    data determine $v w = k > 0$ exactly?
    #
    #    <details><summary>Answer</summary>
    #
    #    At $w = v = \sqrt{k}$. The likelihood is the same all along the valley, and the prior
    #    density falls with $w^2 + v^2$, which is least there if $v w = k$.
    #
    #    </details>
    #
    # ## References
    #
    # - Pourzanjani, Jiang, Petzold (2017). Improving the identifiability of neural networks for
    #   Bayesian inference. NIPS workshop on Bayesian deep learning.
    # - Hoffman, Gelman (2014). The No-U-Turn sampler. Journal of Machine Learning Research 15,
    #   1593.
