"""Diagnostics, PSIS-LOO and weights beside arviz-stats: values, times, and odd cases.

Draws are made up: autoregressions of coefficient 0.5 whose chains sit in one of four modes. Each
statistic is computed for all columns by both, and the largest difference is relative to ArviZ's
value. ArviZ gets its columns in the order in which it reads them fastest, and its array interface,
without labels. Times are seconds of one core, which other work on the machine changes little;
ours would also share its columns among all cores. The ratio is ArviZ's time over ours. Columns are
computed one by one, so that the largest table is left to R-hat.

PSIS-LOO is that of each chain alone, which stacking needs, and that of all chains as one sample.
The tails that are smoothed have 3 sqrt(S / r_eff) draws. arviz-stats rounds that number down, the
R package loo up, and ours, too. So each is compared twice: with an efficiency that makes the
number whole, and with the efficiency 1.

Odd cases are printed as they come: our value, and ArviZ's.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from arviz_stats import compare
from arviz_stats.base import array_stats
from scipy.signal import lfilter
from scores import arviz_input, arviz_weights, judged
from timing import alternate, ratio, show

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.statistics.diagnostics import ess_bulk, ess_tail, nested_rhat, r_eff, rhat
from manymodes.statistics.loo import psis_loo, psis_weights
from manymodes.statistics.stacking import pseudo_bma_plus, stack
from manymodes.types import FloatArray

_LARGE = 2 * 10**6  # numbers from which everything is timed once
_PROB = (0.05, 0.95)


def run(_: Posterior, quick: bool) -> None:
    """Print everything, on smaller shapes if it is to be quick."""
    warnings.simplefilter("ignore")
    chains, draws, columns = ((4, 8), 100, (2, 5)) if quick else ((64, 256), 1000, (9, 65, 362))
    with np.errstate(all="ignore"):
        odd_draws()
        odd_log_lik()
    for count in chains:
        compare_weights(40 if quick else 220, count)
    for count in (2, 4) if quick else (4, 64):
        compare_loo((count, 400 if quick else 1000, 220))
    for count in chains:
        for width in columns:
            largest = (count, width) == (chains[-1], columns[-1])
            compare_diagnostics((count, draws, width), only="R-hat" if largest else None)


def made_draws(shape: tuple[int, int, int]) -> FloatArray:
    """Return draws (C, S, K) of chains in four modes."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=shape)
    noise[:, 0] /= np.sqrt(1 - 0.5**2)
    moved: FloatArray = lfilter([1.0], [1.0, -0.5], noise, axis=1)
    moved += (np.arange(shape[0]) % 4)[:, None, None]
    return moved


def made_log_lik(shape: tuple[int, int, int]) -> FloatArray:
    """Return log likelihoods (C, S, N) whose ratios have tails from light to far too heavy."""
    rng = np.random.default_rng(2)
    scale = rng.gamma(1.0, 0.3, size=shape[2])
    return np.asarray(-scale * rng.gamma(1.0, 1.0, size=shape) - rng.random(shape[2]))


def compare_diagnostics(shape: tuple[int, int, int], only: str | None = None) -> None:
    """Print times and differences of R-hat, effective sample sizes and nested R-hat."""
    print("  {} chains x {} draws x {} columns".format(*shape))
    draws = made_draws(shape)
    columns = np.ascontiguousarray(np.moveaxis(draws, 2, 0))
    groups = np.repeat(np.arange(shape[0] // 2), 2)
    ours: dict[str, Callable[..., FloatArray]] = {
        "R-hat": partial(rhat, draws, threads=1),
        "bulk ESS": partial(ess_bulk, draws, threads=1),
        "tail ESS": partial(ess_tail, draws, prob=_PROB, threads=1),
        "nested R-hat": partial(nested_rhat, draws, groups, threads=1),
    }
    theirs: dict[str, Callable[[], FloatArray]] = {
        "R-hat": partial(array_stats.rhat, columns),
        "bulk ESS": partial(array_stats.ess, columns, method="bulk"),
        "tail ESS": partial(array_stats.ess, columns, method="tail", prob=_PROB),
        "nested R-hat": partial(array_stats.rhat_nested, columns, superchain_ids=groups),
    }
    for name in ours if only is None else [only]:
        calls = {"ours": ours[name], "arviz": theirs[name]}
        _show(name, calls, 1 if draws.size > _LARGE else 3)


def compare_loo(shape: tuple[int, int, int]) -> None:
    """Print times and differences of relative efficiencies, PSIS-LOO and its weights."""
    print("  log likelihood of {} chains x {} draws x {} observations".format(*shape))
    log_lik = made_log_lik(shape)
    by_chain = np.ascontiguousarray(np.moveaxis(log_lik, 2, 1))  # (C, N, S)
    likelihood = np.exp(by_chain)[:, :, None]
    pooled = log_lik.reshape(-1, shape[2])
    as_one = np.ascontiguousarray(pooled.T)[:, None]  # (N, 1, C S)
    repeats = 1 if log_lik.size > _LARGE else 3
    efficiencies = {
        "ours": lambda: np.stack([r_eff(chain) for chain in log_lik]),
        "arviz": lambda: array_stats.ess(likelihood, method="mean", relative=True),
    }
    _show("relative efficiency of each chain", efficiencies, repeats)
    for said, samples, arviz, size in (
        ("each chain", log_lik, by_chain[:, :, None], shape[1]),
        ("all as one", pooled[None], as_one[None], len(pooled)),
    ):
        for r in sorted({_whole_tail(size), 1.0}):
            calls = {
                "ours": partial(_elpds, samples, r),
                "arviz": lambda arviz=arviz, r=r: array_stats.loo(arviz, r_eff=r)[0],
            }
            _show(f"elpd_i, {said}, r_eff {r:.4g}", calls, repeats)
    r = _whole_tail(len(pooled))
    calls = {
        "ours": lambda: np.exp(psis_weights(-pooled, r_eff=r)[0]),
        "arviz": lambda: np.exp(array_stats.psislw(as_one[:, 0], r_eff=r)[0].T),
    }
    _show("PSIS weights, all as one", calls, repeats, relative=False)


def _elpds(samples: FloatArray, r: float) -> FloatArray:
    return np.stack([psis_loo(one, r_eff=r).elpd_i for one in samples])


def _whole_tail(size: int) -> float:
    """Return an efficiency near 1 with which 3 sqrt(S / r_eff) is whole to the last bit."""
    roots = range(int(np.sqrt(size)), 1, -1)
    return next(size / m**2 for m in roots if 3 * np.sqrt(size / (size / m**2)) == 3 * m)


def compare_weights(n_obs: int, chains: int) -> None:
    """Print times, and the scores that stacking weights reach, of made-up densities."""
    print(f"  weights of {chains} chains, {n_obs} observations")
    rng = np.random.default_rng(3)
    lpd = rng.normal(size=(n_obs, 4))[:, np.arange(chains) % 4]
    lpd += 0.05 * rng.normal(size=lpd.shape)
    results = arviz_input(lpd)

    def bootstrapped() -> FloatArray:
        table = compare(results, method="BB-pseudo-BMA")
        return np.asarray(table["weight"].loc[list(results)].to_numpy(dtype=float))

    timed = alternate(
        {"ours": lambda: stack(lpd, lam=1.0).weights, "arviz": lambda: arviz_weights(results)},
        1 if chains > 100 else 3,
        time.process_time,
    )
    for name, found in timed.items():
        show(f"stacking, {name}", f"{found.text(1e3, 'ms')}, {judged(lpd, found.values[0])}")
    show("ratio arviz : ours", ratio(timed["arviz"], timed["ours"]))
    calls = {
        "ours": lambda: pseudo_bma_plus(lpd, n_boot=1000, rng=np.random.default_rng(4)),
        "arviz": bootstrapped,
    }
    _show("pseudo-BMA+, each with its own random numbers", calls, 1, relative=False)


def odd_draws() -> None:
    """Print R-hat, bulk and tail ESS of columns that are no ordinary draws."""
    print("  R-hat, bulk ESS, tail ESS of 4 chains x 100 draws: ours; ArviZ")
    plain = made_draws((4, 100, 1))[:, :, 0]
    cases = {
        "a constant column": np.full_like(plain, 2.5),
        "each chain stands still at its value": np.repeat(np.arange(4.0)[:, None], 100, axis=1),
        "one NaN": _with(plain, np.nan),
        "one chain cut short after 60 draws, NaN behind": _cut(plain),
        "one infinite draw": _with(plain, np.inf),
        "both infinities": _with(_with(plain, np.inf), -np.inf, 8),
        "one chain alone": plain[:1],
        "an odd number of draws": plain[:, :99],
        "three draws": plain[:, :3],
    }
    for name, column in cases.items():
        ours = [_value(lambda f=f, x=column: f(x)) for f in (rhat, ess_bulk, ess_tail)]
        arviz = [
            _value(lambda x=column: array_stats.rhat(x)),
            _value(lambda x=column: array_stats.ess(x, method="bulk")),
            _value(lambda x=column: array_stats.ess(x, method="tail", prob=_PROB)),
        ]
        show(name, f"{', '.join(ours)}; {', '.join(arviz)}")


def odd_log_lik() -> None:
    """Print elpd_i and Pareto k of observations that are no ordinary ones."""
    print("  elpd_i, Pareto k of 1 chain x 100 draws: ours; ArviZ")
    plain = made_log_lik((1, 100, 1))[0, :, 0]
    two_values = np.where(np.arange(100) < 40, 0.0, -3.0)
    cases = {
        "a constant observation": np.full(100, -2.5),
        "one draw is -inf": _with(plain, -np.inf),
        "one draw is +inf": _with(plain, np.inf),
        "one draw is NaN": _with(plain, np.nan),
        "a tail of equal values": two_values,
        "ratios beyond the range of a double": np.linspace(-1e5, 0, 100),
        "20 draws": plain[:20],
    }
    for name, column in cases.items():
        ours = [
            _value(lambda x=column: psis_loo(x[:, None]).elpd_i[0]),
            _value(lambda x=column: psis_loo(x[:, None]).pareto_k[0]),
        ]
        arviz = [
            _value(lambda x=column, i=i: array_stats.loo(x[None], r_eff=1.0)[i]) for i in (0, 1)
        ]
        show(name, f"{', '.join(ours)}; {', '.join(arviz)}")


def _with(values: FloatArray, odd: float, place: int = 7) -> FloatArray:
    changed = values.copy()
    changed[..., place] = odd
    return changed


def _cut(chains: FloatArray) -> FloatArray:
    changed = chains.copy()
    changed[-1, 60:] = np.nan
    return changed


def _value(call: Callable[[], Any]) -> str:
    """Return a figure, or the name of the error that is raised instead."""
    try:
        return f"{float(call()):.4g}"
    except InputError:
        return "refused"
    except Exception as error:
        return type(error).__name__


def _show(
    name: str,
    calls: Mapping[str, Callable[[], FloatArray]],
    repeats: int,
    *,
    relative: bool = True,
) -> None:
    """Print times, their ratio, and the largest difference."""
    timed = alternate(calls, repeats, time.process_time)
    ours, arviz = (np.asarray(timed[key].values[0]) for key in ("ours", "arviz"))
    size = np.maximum(np.abs(arviz), 1e-300) if relative else 1.0
    difference = float(np.max(np.abs(ours - arviz) / size))
    times = f"ours {timed['ours'].median:.3g} s, arviz {timed['arviz'].median:.3g} s"
    compared = f"ratio {ratio(timed['arviz'], timed['ours'])}, differ by {difference:.2g}"
    show(name, f"{times}, {compared}")
