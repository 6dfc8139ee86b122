"""Lesson 12: what chains have not seen: the part that they can count, and the part they cannot."""

from __future__ import annotations

# %% [markdown]
# # 12. What have we not seen?
#
# **All chains ended in modes that we know by now. How much is there that none of them found?**
#
# A curve has three steps. We fit it with a network of three tanh units,
#
# $$y_n \sim \operatorname{normal}(f(x_n), \sigma), \qquad
#   f(x) = c + \sum_{j=1}^{3} v_j \tanh(w_j x + b_j),$$
#
# whose weights have normal priors with standard deviation 2. Each function of this network has
# $3! \cdot 2^3 = 48$ copies (lesson 1), so that we know how many copies there are to find.

# %%
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import norm

import manymodes as mm
from manymodes.report.plots.style import FUNCTIONS, GRID, PALE, SOFT, WHOLE
from manymodes.statistics.coverage import (
    accumulation,
    chance_of_all,
    coverage,
    expected_chains,
    smallest_sure_share,
)
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.lessons import Lesson, Number, jackknife

PEAKS = """\
// A wide peak around -1 and a narrow one around 6, under a wide prior: a posterior
// whose two evidences are known in closed form. There are no observations.
data {
  real<lower=0> narrow; // standard deviation of the narrow peak
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector[2] x;
}
model {
  target += normal_lpdf(x | 0, 5);
  if (!prior_only) {
    target += log_sum_exp(normal_lpdf(x | -1, 1),
                          log(4) + normal_lpdf(x | 6, narrow));
  }
}
"""


def steps() -> tuple[np.ndarray, np.ndarray]:
    """Return 90 places, shape (90, 1), and a curve with three steps, observed with noise."""
    x = np.linspace(-3, 3, 90)
    curve = 1.5 * (np.tanh(4 * (x + 2)) - np.tanh(4 * x) + np.tanh(4 * (x - 2)))
    return x[:, None], curve + np.random.default_rng(1).normal(0, 0.3, 90)


if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(12, "network", "peaks")
    X, y = steps()
    network = mm.Network(1, (3,), activation="tanh", likelihood="normal", prior="normal:2")
    posterior = mm.Posterior.from_network(network, X, y, "network")

    # %% [markdown]
    # ## The Stan program

    # %%
    lesson.program(posterior)

    # %% [markdown]
    # ## What goes wrong first
    #
    # We run 96 chains, look at the first sixteen, and count the different copies in which they
    # end. The copy of a draw is the order of its three steps and the signs of its outgoing
    # weights.

    # %%
    def copy_of(draws: dict[str, np.ndarray]) -> np.ndarray:
        """Return a number for the copy of each draw: 48 different ones."""
        order = np.argsort(draws["b"] / draws["W"][..., 0], axis=-1)
        signs = (draws["V"][..., 0, :] > 0) @ np.array([1, 2, 4])
        return 8 * (3 * order[..., 0] + order[..., 1]) + signs

    chains = mm.run_chains(
        posterior, chains=96, nuts=mm.NutsSettings(warmup=100, draws=100), **lesson.at("network")
    )
    copies = copy_of({name: one[:, -1] for name, one in chains.variables().items()})
    few = len(set(copies[:16].tolist()))
    print(f"sixteen chains end in {few} different copies")

    # %% [markdown]
    # It is tempting to report this number of modes. Each of them is a mode, and every chain is in
    # one. But how many of 48 modes can sixteen chains find at all?

    # %% [markdown]
    # ## Why a mode that was found once counts
    #
    # Here we know the truth. The chains start evenly in a cube around 0, which has the symmetry
    # of the network: exchange two units or turn their signs, and the starts are as before. So
    # each chain ends in each of the 48 copies with the same probability, $1/48$. Sixteen chains
    # miss a given copy with probability $(47/48)^{16}$. A seventeenth chain therefore ends in a
    # copy that is new with that probability, 71.4 %. We count it: we take 17 of the 96 chains and
    # ask whether the last one is in a copy of its own, for all choices together.

    # %%
    def found_by(chains: int, copies: np.ndarray) -> float:
        """Return how many copies so many of the chains find, on average over all choices."""
        counts = np.unique(copies, return_counts=True)[1]
        return float(accumulation(counts, [chains], replications=2)[0][0])

    def seventeenth(copies: np.ndarray) -> float:
        """Return how often a seventeenth chain finds a new copy."""
        return found_by(17, copies) - found_by(16, copies)

    lesson.settle(
        Number(
            "chance that a seventeenth chain finds a new copy",
            seventeenth(copies),
            jackknife(seventeenth, copies),
            expected=(47 / 48) ** 16,
            percent=True,
        )
    )
    print(f"chance that 96 chains find all 48: {chance_of_all(48, 96):.1g}")
    print(f"chains until all 48 are found, on average: {expected_chains(48):.0f}")

    # %% [markdown]
    # Usually we do not know how many modes there are, nor that they are equal. The chains tell
    # nevertheless. Take one chain out. Is its copy unknown to all the others? It is if the copy
    # was found only once. So a new chain ends in a new copy about as often as one of our $n$
    # chains is the only one in its copy. If $f_1$ copies were found once, the unseen share is
    # about $f_1/n$. Good (1953) published this estimate, and he had it from Turing.
    #
    # We make it from the first half of the chains. If they found $m$ copies, the truth is
    # $(48 - m)/48$. And the second half must find new copies about that often.

    # %%
    half = len(copies) // 2
    counts = np.unique(copies[:half], return_counts=True)[1]
    known = coverage(counts)
    print(f"{half} chains: {known.found} copies, {known.once} of them found once")
    lesson.note(
        Number(
            "unseen share by Good and Turing, from the first half",
            known.unseen,
            known.unseen_sd,
            expected=(48 - known.found) / 48,
            percent=True,
        )
    )
    new = float(np.isin(copies[half:], copies[:half], invert=True).mean())
    lesson.note(
        Number(
            "share of the second half in new copies, minus this estimate",
            new - known.unseen,
            float(np.hypot(known.unseen_sd, np.sqrt(new * (1 - new) / half))),
            expected=0.0,
        )
    )

    # %% [markdown]
    # ## The fix that fails
    #
    # *More chains from the same starts.* All this is about **starts**: the unseen share is that
    # of the starting points whose chains end in new modes. A mode that no start leads to is not
    # in it. We make such a posterior. It has a wide peak around -1 and a narrow one around 6, and
    # both of their evidences are known: the peak around $m$ with standard deviation $s$ has the
    # evidence $w \, \operatorname{normal}(m \mid 0, \sqrt{25 + s^2})^2$ with its weight $w$.

    # %%
    with TemporaryDirectory() as folder:
        file = Path(folder) / "peaks.stan"
        file.write_text(PEAKS, encoding="utf-8")
        peaks = mm.Posterior(mm.Program(file), {"narrow": 0.2, "prior_only": 0}, "peaks")
        lesson.program(peaks)
        nuts = mm.NutsSettings(warmup=150, draws=200)
        starts = mm.run_chains(peaks, chains=64, nuts=nuts, **lesson.at("peaks"))
        wide = 1 * norm.pdf(-1, 0, np.sqrt(25 + 1)) ** 2
        narrow = 4 * norm.pdf(6, 0, np.sqrt(25 + 0.2**2)) ** 2
        share = float(narrow / (wide + narrow))
        in_narrow = (starts.rows.mean(axis=1) > 2.5).all(axis=-1)
        seen = coverage(np.array([np.sum(~in_narrow), np.sum(in_narrow)]))
        print(f"probability of the narrow peak: {share:.1%}, chains in it: {in_narrow.sum()} of 64")
        print(f"largest R-hat: {rhat(starts.rows).max():.2f}")
        print(f"Good and Turing's unseen share: {seen.unseen:.0%}, at most {seen.unseen_upper:.1%}")

    # %% [markdown]
    # No chain is in the narrow peak, which holds half of the probability. R-hat is close to 1,
    # and no mode was found only once, so that nothing seems to be unseen. The
    # estimate is not wrong. It says that next to no *start* leads elsewhere, and that is true.
    # More chains from the same starts would confirm it.

    # %% [markdown]
    # ## The fix that works
    #
    # *A second engine, which does not depend on those starts.* Tempering comes from the prior,
    # where the narrow peak is small but not hidden. Its draws know the shares of both peaks.

    # %%
    tempered = mm.run_tempered(peaks, **lesson.at("peaks"))
    there = (tempered.rows > 2.5).all(axis=1)
    found = tempered.share(there.astype(float))
    lesson.note(
        Number(
            "probability of the narrow peak by tempering",
            found.value,
            found.sd,
            expected=share,
            percent=True,
        )
    )

    # %% [markdown]
    # Chains that begin at tempered draws do the same: now the share of chains in a mode is an
    # estimate of its probability, because their *starts* are in proportion to it.

    # %%
    with TemporaryDirectory() as folder:
        file = Path(folder) / "starts.json"
        chosen = tempered.rows[:: len(tempered.rows) // 64][:64]
        file.write_text(json.dumps([{"x": x.tolist()} for x in chosen]), encoding="utf-8")
        again = mm.run_chains(
            peaks, chains=64, nuts=nuts, init=str(file), seed=lesson.seed, quiet=True
        )
    occupied = float((again.rows.mean(axis=1) > 2.5).all(axis=-1).mean())
    lesson.note(
        Number(
            "share of chains in the narrow peak, from tempered starts",
            occupied,
            float(np.hypot(np.sqrt(share * (1 - share) / 64), found.sd)),
            expected=share,
            percent=True,
        )
    )

    # %%
    figure, (curve, plane) = lesson.figure(2, height=3.4)
    sizes = np.arange(1, 2 * half + 1)
    curve.plot(sizes, 48 * (1 - (47 / 48) ** sizes), color=WHOLE, lw=1, ls="--")
    mean, sd = accumulation(counts, sizes, seed=lesson.seed)
    for part, colour in ((sizes <= half, FUNCTIONS[0]), (sizes >= half, FUNCTIONS[1])):
        band = (mean - 2 * sd)[part], (mean + 2 * sd)[part]
        curve.fill_between(sizes[part], *band, color=colour, alpha=0.18, lw=0)
        curve.plot(sizes[part], mean[part], color=colour, lw=1.8)
    seen_by = [len(set(copies[:size].tolist())) for size in sizes]
    curve.step(sizes, seen_by, where="post", color=SOFT, lw=0.9)
    curve.axhline(48, color=PALE, lw=0.8)
    curve.text(2, 48.6, "all 48 copies", color=SOFT, va="bottom")
    for height, text, colour in (
        (16, "first half of the chains", FUNCTIONS[0]),
        (11, "extrapolated from it", FUNCTIONS[1]),
        (6, "chains as they came", SOFT),
        (1, "truth (dashed)", WHOLE),
    ):
        curve.text(2 * half, height, text, color=colour, ha="right", va="bottom")
    curve.set(title="what chains can count", xlabel="chains", ylabel="copies found", ylim=(0, 57))
    plane.fill([-2, 2, 2, -2], [-2, -2, 2, 2], color=GRID, lw=0)
    plane.text(1.85, 1.85, "starts", color=SOFT, ha="right", va="top")
    plane.plot(*tempered.rows[::8].T, ".", ms=3, mew=0, color=FUNCTIONS[1], alpha=0.7)
    plane.plot(
        *starts.rows[:, ::20].reshape(-1, 2).T, ".", ms=3, mew=0, color=FUNCTIONS[0], alpha=0.7
    )
    plane.text(-1, 2.6, "chains", color=FUNCTIONS[0], ha="center")
    plane.text(5.0, 6.0, "tempering only", color=FUNCTIONS[1], ha="right", va="center")
    plane.set(title="what they cannot", xlabel="first coordinate", ylabel="second coordinate")
    plane.set(xlim=(-5, 8), ylim=(-5, 8))
    lesson.show(
        figure,
        "Left: copies found by so many chains, with an extrapolation from the first half and its "
        "band of two standard errors, and the exact curve. Right: a posterior with a wide and a "
        "narrow peak of nearly equal probability. All chains from the grey square end in the "
        "wide one.",
    )

    # %% [markdown]
    # ## What to report
    #
    # - *About starts*: the unseen share with its limit, and `smallest_sure_share`: a mode to
    #   which more than this share of the starts lead was found with a probability of 95 %.
    # - *About probability*: that a second engine saw no other mode. This is evidence and no
    #   proof: exercise 3 has a peak that tempering misses too. Further seeds and engines, wider
    #   starts and knowledge of the problem make it stronger.

    # %%
    print(f"smallest sure share of {len(copies)} starts: {smallest_sure_share(len(copies)):.1%}")
    lesson.finish(
        {
            "network": mm.compare(
                posterior,
                chains=chains,
                settings=mm.ModeSettings(climbs=50),
                **lesson.kept("network"),
            ),
            "peaks": mm.compare(peaks, chains=starts, tempered=tempered, **lesson.kept("peaks")),
        }
    )

    # %% [markdown]
    # ## Exercises
    #
    # 1. The network of lesson 1 has eight equal copies. How many chains does it take to find all
    #    of them with a probability of 95 %?
    #
    #    <details><summary>Answer</summary>
    #
    #    `chance_of_all(8, n)` is above 0.95 from n = 38 on, nearly five times the number of
    #    modes. Even if nothing is known about the modes, `smallest_sure_share(38)` holds: a mode
    #    to which more than 7.6 % of the starts lead was found with a probability of 95 %.
    #
    #    </details>
    #
    # 2. Start the chains of the two peaks further apart, with `init="radius:10"`. Is the share of
    #    chains in the narrow peak right now?
    #
    #    <details><summary>Answer</summary>
    #
    #    No. Only starts near the peak lead there: it got 1, 5 and 4 of 64 chains with the seeds 1
    #    to 3. So the peak is known now, but it holds half of the probability and a few per cent
    #    of the chains.
    #
    #    </details>
    #
    # 3. Give the narrow peak a standard deviation of 0.02. The exact probabilities hardly change.
    #    What does tempering say?
    #
    #    <details><summary>Answer</summary>
    #
    #    With the seeds 1 and 2 it has not one draw in the peak, and log_z is lower by about 0.7
    #    nats, the logarithm of 2, with a stated error of about 0.05. Tempering sees a peak only
    #    if a hot replica comes near it. The second engine can miss what the first one missed.
    #
    #    </details>
    #
    # ## References
    #
    # - Good (1953). The population frequencies of species and the estimation of population
    #   parameters. Biometrika 40, 237.
    # - Esty (1983). A normal limit law for a nonparametric estimator of the coverage of a random
    #   sample. Annals of Statistics 11, 905.
    # - Chao (1984). Nonparametric estimation of the number of classes in a population.
    #   Scandinavian Journal of Statistics 11, 265.
    # - Colwell and others (2012). Models and estimators linking individual-based and sample-based
    #   rarefaction, extrapolation and comparison of assemblages. Journal of Plant Ecology 5, 3.
