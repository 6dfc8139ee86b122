"""Lesson 5: a component that the data do not need, the cross it makes, and its price."""

from __future__ import annotations

# %% [markdown]
# # 5. One component too many
#
# **What does a posterior look like when the model has a component that the data do not need?**
#
# A new drug may help a share $p$ of the patients, and move their result by $\mu$:
#
# $$p(y) = (1 - p) \operatorname{normal}(y \mid 0, 1) + p \operatorname{normal}(y \mid \mu, 1),
# \qquad p \sim \operatorname{uniform}(0, 1), \quad \mu \sim \operatorname{normal}(0, 2).$$
#
# In truth it helps nobody. All results are normal(0, 1). The model can say so in two ways: by
# $p = 0$ and any $\mu$, or by $\mu = 0$ and any $p$. These are two lines, not a point.

# %%
import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, SOFT, STEPS, WHOLE
from manymodes.statistics.diagnostics import ess_bulk, rhat
from manymodes.studies.lessons import Lesson, Number, jackknife
from manymodes.toolchain import stan_dir

VALUES = np.linspace(-6, 10, 801)  # results are rounded to these, so that they can be counted
CHANCES = norm.pdf(VALUES) / norm.pdf(VALUES).sum()


def admixture(y: np.ndarray, least: float = -np.inf) -> mm.Posterior:
    """Return the posterior given results, with locations above the least."""
    data = {"N": len(y), "y": y.tolist(), "mu_least": least, "prior_only": 0, "save_log_lik": 0}
    program = mm.Program(stan_dir() / "models" / "mixture_admixture.stan")
    return mm.Posterior(program, data, "admixture")


def counted(y: np.ndarray) -> np.ndarray:
    """Return how often each of the values is a result, shape (1, 801)."""
    return np.bincount(np.rint((y + 6) / 0.02).astype(int), minlength=len(VALUES))[None]


def gains(p: np.ndarray, mu: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return log likelihoods on a grid, less that of normal(0, 1), of R data sets (P, M, R)."""
    odds = np.expm1(mu[:, None] * VALUES - mu[:, None] ** 2 / 2)
    return np.stack([np.log1p(share * odds) @ counts.T for share in p])


def log_evidence(counts: np.ndarray) -> np.ndarray:
    """Return the log evidence minus that of normal(0, 1), (R,): cells of equal width in logs."""

    def cells(least: float, most: float, n: int) -> tuple[np.ndarray, np.ndarray]:
        edges = np.linspace(np.log(least), np.log(most), n + 1)
        middle = np.exp((edges[1:] + edges[:-1]) / 2)
        return middle, np.log(middle * (edges[1] - edges[0]))

    p, log_p = cells(1e-6, 1, 48)
    mu, log_mu = cells(1e-5, 8, 48)
    log_mu += norm.logpdf(mu, 0, 2)
    room = (log_p[:, None] + log_mu)[..., None]
    both = [logsumexp(gains(p, sign * mu, counts) + room, axis=(0, 1)) for sign in (-1, 1)]
    return np.logaddexp(*both)


def rate(chains: np.ndarray) -> float:
    """Return effective draws per 1000 leapfrog steps, of draws and their steps (C, S, 2)."""
    return float(1000 * ess_bulk(chains[..., 0]) / chains[..., 1].sum())


def log_ratio(some: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Return the log of the ratio of two rates, and its standard error."""
    sds = [jackknife(rate, one) / rate(one) for one in (some, others)]
    return float(np.log(rate(some) / rate(others))), float(np.hypot(*sds))


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(5, "free", "apart")
    rng = np.random.default_rng(lesson.seed)
    everybody = rng.choice(VALUES, size=5000, p=CHANCES)
    y = everybody[:200]
    posterior = admixture(y)

    # %% [markdown]
    # ## The Stan program

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # There are only two parameters, and no copies of a mode. Still the sampler has trouble. For
    # comparison we give it as many results where the drug does help: two patients of five, by 3.
    # We count the effective draws of $p$ for every 1000 leapfrog steps. This number does not
    # depend on the speed of the machine. The lines below compare two such rates by the logarithm
    # of their ratio: log 0.5 = -0.69 is half the rate, and 0 the same rate.

    # %%
    nuts = mm.NutsSettings(warmup=300, draws=400)

    def described(name: str, chains: mm.Chains) -> np.ndarray:
        """Say how chains went; return draws of p and leapfrog steps, shape (C, S, 2)."""
        p = chains.variables()["p"]
        both = np.stack([p, chains.stats["n_steps"]], axis=-1)
        print(
            f"{name}: {rate(both):4.0f} effective draws of p per 1000 steps, "
            f"R-hat {float(rhat(p)):.3f}, {chains.divergences} divergences"
        )
        return both

    chains = mm.run_chains(posterior, chains=8, nuts=nuts, **lesson.at("free"))
    helped = (y + 3 * (rng.random(len(y)) < 0.4)).round(2)
    healthy = mm.run_chains(admixture(helped), chains=8, nuts=nuts, seed=lesson.seed, quiet=True)
    regular = described("the drug helps some", healthy)
    singular = described("it helps nobody    ", chains)
    lesson.note(
        Number(
            "log of effective draws per step: the drug helps nobody, over it helps some",
            *log_ratio(singular, regular),
            below=np.log(0.5),
        )
    )

    # %% [markdown]
    # ## Why a cross
    #
    # Where $\mu$ is not large, the average loss of log likelihood per patient is about $\tfrac12
    # p^2 \mu^2$. So $N$ patients rule out what has $p \, |\mu|$ well above $1 / \sqrt N$. What is
    # left is the room between hyperbolas: a cross with long arms, also called a bow tie. (We see
    # its upper half, because $p$ is not negative.) With more patients the arms get thinner. They
    # do not get shorter, so that relative to their width they lengthen like $\sqrt N$. One step
    # size has to fit the thin and the wide parts.
    #
    # The room tells us the evidence. The part of a unit square with $p \, |\mu| < \varepsilon$ is
    # $\varepsilon \, (1 + \log(1 / \varepsilon))$: the logarithm comes from the crossing. With
    # our prior and this loss the integral has a closed form,
    #
    # $$\int_0^1 \mathrm{E}_\mu \, e^{-N p^2 \mu^2 / 2} \, dp
    # = \int_0^1 \frac{dp}{\sqrt{1 + 4 N p^2}}
    # = \frac{\operatorname{arsinh}(2 \sqrt N)}{2 \sqrt N}.$$
    #
    # For large $N$ it goes like $\log N / \sqrt N$. So we expect
    #
    # $$\log Z = \log Z_0 - \lambda \log N + \log \operatorname{arsinh}(2 \sqrt N)
    # + \text{const}, \qquad \lambda = \tfrac12,$$
    #
    # where $Z_0$ is the evidence of normal(0, 1), and the constant is the mean of a term
    # that depends on chance. This is a sketch and no proof: it takes the mean loss for the loss
    # of the data at hand. The number below tests it. (Watanabe 2009 proves the law.)
    #
    # A regular model pays $\tfrac12$ for each parameter, which is $\lambda = d/2 = 1$ here (this
    # is what BIC counts). The singular one pays half of that. Watanabe calls $\lambda$ the real
    # log canonical threshold, or learning coefficient.
    #
    # With two parameters we can sum over a grid, for two hundred data sets of each size. The
    # scatter over data sets gives the standard error.

    # %%
    N = np.array([100, 1000, 10_000, 100_000, 1_000_000])
    by_data = np.array([log_evidence(rng.multinomial(n, CHANCES, size=200)) for n in N])
    mean, sd = by_data.mean(axis=1), by_data.std(axis=1, ddof=1) / np.sqrt(by_data.shape[1])
    crossing = np.log(np.arcsinh(2 * np.sqrt(N)))
    paid = mean - crossing  # -lambda log N, and a constant
    span = np.log(N[-1] / N[1])
    lesson.settle(
        Number(
            "what the evidence pays for each unit of log N",
            -(paid[-1] - paid[1]) / span,
            float(np.hypot(sd[1], sd[-1]) / span),
            expected=0.5,
        )
    )
    tempered = mm.run_tempered(
        posterior, rounds=8, max_rounds=8, target_sd=0.2, **lesson.at("free")
    )
    found = mm.compare(posterior, chains=chains, tempered=tempered, **lesson.kept("free"))
    log_z0 = float(norm.logpdf(y).sum())
    lesson.note(
        Number(
            "log_z by tempering minus log_z on the grid (nats)",
            tempered.log_z - log_z0 - float(log_evidence(counted(y))[0]),
            tempered.log_z_sd,
            expected=0.0,
        )
    )

    # %%
    figure, axes = lesson.figure(3, height=2.9)
    p, mu = np.linspace(0.0025, 0.9975, 200), np.linspace(-3, 3, 241)
    for panel, n in zip(axes, (50, 5000), strict=False):
        log_density = gains(p, mu, counted(everybody[:n]))[..., 0] + norm.logpdf(mu, 0, 2)
        levels = log_density.max() - np.array([6.0, 4.0, 2.0, 1.0, 0.0])
        panel.contourf(mu, p, log_density, levels=levels, colors=[STEPS[i] for i in (1, 3, 6, 9)])
        panel.set(title=f"{n} patients", xlabel="effect", xticks=[-2, 0, 2], yticks=[0, 0.5, 1])
    axes[0].set_ylabel("share of patients")
    log_n = np.log10(N)
    axes[2].errorbar(log_n, mean, sd, fmt="o", ms=5, color=FUNCTIONS[0], label="measured")
    laws = {
        "singular, 1/2": (crossing - 0.5 * np.log(N), WHOLE),
        "regular, 1": (-np.log(N), FUNCTIONS[1]),
    }
    for label, (law, colour) in laws.items():
        axes[2].plot(log_n, law - law[1] + mean[1], color=colour, lw=1.2, label=label)
    axes[2].set(title="log evidence (nats)", xlabel="patients", xticks=[2, 4, 6])
    axes[2].set_xticklabels(["100", "10 000", "1 000 000"])
    axes[2].set_ylim(-12, 1.5)
    axes[2].tick_params(axis="x", colors=SOFT)
    axes[2].legend(loc="lower left", frameon=False)
    lesson.show(
        figure,
        "Left and middle: the exact posterior of the same experiment with 50 and with 5000 "
        "patients; the steps are 1, 2, 4 and 6 nats below the peak. Right: the mean log evidence "
        "over that of normal(0, 1), measured on 200 data sets of each size, with the laws of a "
        "singular and of a regular model through the point at 1000.",
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *Order.* We ask for $\mu > 0$. This cuts the cross in half, and that helps. But the two
    # lines still meet: order removes copies, and a singularity is no copy. The rate stays far
    # below that of the regular posterior.

    # %%
    ordered = described(
        "ordered, effect above 0",
        mm.run_chains(admixture(y, 0.0), chains=8, nuts=nuts, seed=lesson.seed, quiet=True),
    )
    lesson.note(
        Number(
            "log of effective draws per step: ordered, over the drug helps some",
            *log_ratio(ordered, regular),
            below=np.log(0.5),
        )
    )

    # %% [markdown]
    # *Smaller steps.* Stan warns of divergences, and advises to raise `adapt_delta`. Smaller
    # steps usually lead to fewer divergences, but they do not shorten the arms. The rate stays as
    # far from that of the regular posterior.

    # %%
    smaller = mm.NutsSettings(warmup=300, draws=400, adapt_delta=0.99)
    careful = described(
        "adapt_delta 0.99       ",
        mm.run_chains(posterior, chains=8, nuts=smaller, seed=lesson.seed, quiet=True),
    )
    lesson.note(
        Number(
            "log of effective draws per step: adapt_delta 0.99, over the drug helps some",
            *log_ratio(careful, regular),
            below=np.log(0.5),
        )
    )

    # %% [markdown]
    # ## The fix that works
    #
    # *Keep the two lines apart.* An effect below 1 would be of no use to anybody. So we ask for
    # $\mu > 1$. Then only $p = 0$ says that the drug helps nobody. One line is left, and no
    # cross. The rate rises above that of the cross. It does not reach that of the regular
    # posterior: along the line $p = 0$ the effect is still free. This is another prior, and so
    # another model: it leaves out small effects and harm.

    # %%
    apart = admixture(y, 1.0)
    apart_chains = mm.run_chains(apart, chains=8, nuts=nuts, **lesson.at("apart"))
    separate = described("effect above 1         ", apart_chains)
    lesson.note(
        Number(
            "log of effective draws per step: effect above 1, over any effect",
            *log_ratio(separate, singular),
            above=0.0,
        )
    )
    apart_found = mm.compare(apart, chains=apart_chains, **lesson.kept("apart"))

    # %% [markdown]
    # *Ask the evidence.* Is the component needed at all? The evidence of normal(0, 1) is known,
    # because it has no parameter. It wins, but by little: a superfluous component costs only half
    # a nat for each unit of $\log N$, and gets a part of that back for the crossing. A component
    # that is needed wins by much more.

    # %%
    print(f"nobody is helped: log_z - log_z0 = {tempered.log_z - log_z0:.1f} nats")
    some = float(log_evidence(counted(helped))[0])
    print(f"some are helped:  log_z - log_z0 = {some:.1f} nats")
    lesson.finish({"free": found, "apart": apart_found})

    # %% [markdown]
    # ## Exercises
    #
    # 1. The share is known: $p = 1/2$. What is $\lambda$ now?
    #
    #    <details><summary>Answer</summary>
    #
    #    Only $\mu = 0$ gives normal(0, 1), and the loss is about $\mu^2 / 8$ per patient. The
    #    model is regular with one parameter: $\lambda = 1/2$. The free share $p$ above does not
    #    raise $\lambda$. It even gives back $\log \log N$.
    #
    #    </details>
    #
    # 2. Take two components of equal weight with scale 1, and let both locations be free. The
    #    results are normal(0, 1). What is $\lambda$?
    #
    #    <details><summary>Answer</summary>
    #
    #    $3/4$, not $d/2 = 1$. The mean of the two locations is an ordinary parameter and pays
    #    $1/2$. The distance $\delta$ between them changes only the variance, by its square, so
    #    that the loss goes with $\delta^4$. This pays $1/4$. (Yamazaki and Watanabe find $3/4$
    #    also where the weight is free.)
    #
    #    </details>
    #
    # 3. The drug helps nobody. Does the posterior of $p$ shrink to 0 with the number of patients?
    #
    #    <details><summary>Answer</summary>
    #
    #    Only very slowly. Where $\mu$ is small, any $p$ will do. For large $N$ the logarithm of
    #    $p$ is spread evenly between $-\tfrac12 \log N$ and 0. A large posterior mean of $p$ is
    #    no sign of an effect.
    #
    #    </details>
    #
    # ## References
    #
    # - Watanabe (2009). Algebraic Geometry and Statistical Learning Theory. Cambridge University
    #   Press.
    # - Yamazaki, Watanabe (2003). Singularities in mixture models and upper bounds of stochastic
    #   complexity. Neural Networks 16, 1029.
    # - Rousseau, Mengersen (2011). Asymptotic behaviour of the posterior distribution in
    #   overfitted mixture models. Journal of the Royal Statistical Society B 73, 689.
