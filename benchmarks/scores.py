"""The cost of PSIS-LOO and stacking beside ArviZ's loo and a generic optimiser."""

from __future__ import annotations

import warnings

import numpy as np
from arviz_base import from_dict
from arviz_stats.loo import loo
from scipy.optimize import minimize
from timing import alternate, ratio, show

from manymodes.chains import run_chains
from manymodes.diagnostics import r_eff
from manymodes.loo import psis_loo
from manymodes.nuts import NutsSettings
from manymodes.posterior import FloatArray, Posterior
from manymodes.stacking import stack


def ours(log_lik: FloatArray) -> FloatArray:
    """Return the leave-one-out densities of each chain, shape (N, C)."""
    return np.stack(
        [psis_loo(one, r_eff=float(np.mean(r_eff(one)))).elpd_i for one in log_lik], axis=1
    )


def with_arviz(log_lik: FloatArray) -> FloatArray:
    """Do the same with `arviz_stats.loo`, chain by chain."""
    columns = []
    for one in log_lik:
        groups = {
            "posterior": {"mean": one[None].mean(axis=-1)},
            "log_likelihood": {"y": one[None]},
        }
        r = float(np.mean(r_eff(one)))
        columns.append(np.ravel(loo(from_dict(groups), pointwise=True, reff=r).elpd_i))
    return np.stack(columns, axis=1)


def slsqp(lpd: FloatArray) -> FloatArray:
    """Return stacking weights by SciPy's SLSQP on the simplex."""
    p = np.exp(lpd - lpd.max(axis=1, keepdims=True))
    k = lpd.shape[1]
    return np.asarray(
        minimize(
            lambda w: -np.log(p @ w).sum(),
            np.full(k, 1 / k),
            jac=lambda w: -(p / (p @ w)[:, None]).sum(axis=0),
            bounds=[(0, 1)] * k,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
            method="SLSQP",
            options={"maxiter": 1000},
        ).x
    )


def score(lpd: FloatArray, weights: FloatArray) -> float:
    """Return the stacking score (nats) of weights made to sum to one."""
    w = np.maximum(weights, 0)
    top = lpd.max(axis=1, keepdims=True)
    return float((np.log(np.exp(lpd - top) @ (w / w.sum())) + top[:, 0]).sum())


def run(posterior: Posterior, quick: bool) -> None:
    """Print times and the objectives that were reached, for few and many chains."""
    counts = (4, 8) if quick else (8, 64)
    settings = NutsSettings(warmup=200, draws=200) if quick else NutsSettings()
    found = run_chains(posterior, chains=counts[-1], settings=settings, workers=2, quiet=True)
    log_lik = posterior.log_lik(found.eta)
    warnings.simplefilter("ignore")
    for count in counts:
        print(f"  {count} chains")
        lpd = compare_loo(log_lik[:count], 1 if quick else 3)
        compare_stacking(lpd)


def compare_loo(log_lik: FloatArray, repeats: int) -> FloatArray:
    """Print the times of PSIS-LOO; return its leave-one-out densities."""
    timed = alternate(
        {"ours": lambda: ours(log_lik), "arviz": lambda: with_arviz(log_lik)}, repeats
    )
    lpd: FloatArray = timed["ours"].values[0]
    show("PSIS-LOO", timed["ours"].text())
    show("PSIS-LOO, ArviZ chain by chain", timed["arviz"].text())
    show("ratio ArviZ : ours", ratio(timed["arviz"], timed["ours"]))
    difference = np.abs(lpd - timed["arviz"].values[0]).max()
    show("largest difference of an elpd_i", f"{difference:.2g} nats")
    return lpd


def compare_stacking(lpd: FloatArray) -> None:
    """Print the times of stacking and the scores that were reached."""
    timed = alternate({"ours": lambda: stack(lpd, lam=1.0), "slsqp": lambda: slsqp(lpd)}, 3)
    best = timed["ours"].values[0]
    show("stacking", timed["ours"].text(1e3, "ms"))
    show("stacking, SLSQP", timed["slsqp"].text(1e3, "ms"))
    show("ratio SLSQP : ours", ratio(timed["slsqp"], timed["ours"]))
    show("score reached, ours", f"{best.score:.6f} nats (certificate {best.certificate:.2g})")
    show("score reached, SLSQP", f"{score(lpd, timed['slsqp'].values[0]):.6f} nats")
