"""The cost of PSIS-LOO and stacking beside ArviZ's loo and compare, and beside SLSQP.

PSIS-LOO: all chains' leave-one-out densities from their log likelihoods, in memory.

Stacking: the weights of 8, 64 and 256 chains of the XOR network from one and the same matrix of
leave-one-out densities, of which each chain is a column. ArviZ is its own `compare` with method
``stacking``, given those densities as finished `ELPDData`, so that it computes no leave-one-out;
its time includes its table of differences. SLSQP is SciPy's, as ArviZ calls it, on densities
divided by their row's largest. For all three the score reached, summed in one way for all, and
the certificate: how many nats any other weights could gain at most, from the gradient at the
weights.

The large case is made up: 1000 chains x 10,000 observations, every chain in one of twelve modes
whose log densities are normal numbers, and 0.05 of noise of its own. Measured are one call of
`stack` and one of `weight_errors`, each in a process of its own, which also tells its peak
memory, the densities included.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from arviz_base import from_dict
from arviz_stats import compare
from arviz_stats.loo import loo
from arviz_stats.utils import ELPDData
from scipy.optimize import minimize
from timing import alternate, ratio, show

from manymodes.density.posterior import Posterior
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.statistics.diagnostics import r_eff
from manymodes.statistics.loo import psis_loo
from manymodes.statistics.stacking import stack, weight_errors
from manymodes.types import FloatArray


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


def arviz_input(lpd: FloatArray) -> dict[str, ELPDData]:
    """Return leave-one-out densities as the finished results that ArviZ compares."""
    n_obs = len(lpd)
    return {
        str(k): ELPDData(
            kind="loo",
            elpd=float(column.sum()),
            se=float(np.sqrt(n_obs * column.var())),
            p=0.0,
            n_samples=1000,
            n_data_points=n_obs,
            scale="log",
            warning=False,
            good_k=0.7,
            elpd_i=xr.DataArray(column, dims=["obs"]),
            pareto_k=xr.DataArray(np.zeros(n_obs), dims=["obs"]),
        )
        for k, column in enumerate(lpd.T)
    }


def arviz_weights(results: dict[str, ELPDData]) -> FloatArray:
    """Return ArviZ's stacking weights, in the order of the chains."""
    table = compare(results, method="stacking")
    return table["weight"].loc[list(results)].to_numpy(dtype=float)


def judged(lpd: FloatArray, weights: FloatArray) -> str:
    """Return score and certificate (nats) of weights made positive and to sum to one."""
    w = np.maximum(weights, 0)
    w /= w.sum()
    top = lpd.max(axis=1, keepdims=True)
    density = np.exp(lpd - top)
    mixture = density @ w
    score = float((np.log(mixture) + top[:, 0]).sum())
    certificate = float((density.T @ (1 / mixture)).max()) - len(lpd)
    return f"{score:.6f} nats (certificate {max(certificate, 0):.2g})"


def run(posterior: Posterior, quick: bool) -> None:
    """Print times and the objectives that were reached, for few and many chains."""
    counts = (4, 8, 16) if quick else (8, 64, 256)
    settings = NutsSettings(warmup=200, draws=200)
    found = run_chains(posterior, chains=counts[-1], nuts=settings, workers=2, quiet=True)
    log_lik = np.stack([posterior.log_lik(eta) for eta in found.eta[: counts[1]]])
    warnings.simplefilter("ignore")
    for count in counts:
        print(f"  {count} chains of {settings.draws} draws")
        if count <= counts[1]:
            compare_loo(log_lik[:count], 1 if quick else 3)
        compare_stacking(found.lpd[:count].T, 1 if count > 100 else 3)
    large_case(*((60, 500) if quick else (1000, 10_000)))


def compare_loo(log_lik: FloatArray, repeats: int) -> None:
    """Print the times of PSIS-LOO and how far the results differ."""
    timed = alternate(
        {"ours": lambda: ours(log_lik), "arviz": lambda: with_arviz(log_lik)}, repeats
    )
    show("PSIS-LOO", timed["ours"].text())
    show("PSIS-LOO, ArviZ chain by chain", timed["arviz"].text())
    show("ratio ArviZ : ours", ratio(timed["arviz"], timed["ours"]))
    difference = np.abs(timed["ours"].values[0] - timed["arviz"].values[0]).max()
    show("largest difference of an elpd_i", f"{difference:.2g} nats")


def compare_stacking(lpd: FloatArray, repeats: int) -> None:
    """Print the times of stacking, the scores that were reached, and their certificates."""
    results = arviz_input(lpd)
    timed = alternate(
        {
            "ours": lambda: stack(lpd, lam=1.0).weights,
            "arviz": lambda: arviz_weights(results),
            "slsqp": lambda: slsqp(lpd),
        },
        repeats,
    )
    names = {"ours": "stacking", "arviz": "stacking, ArviZ", "slsqp": "stacking, SLSQP"}
    for key, name in names.items():
        show(name, timed[key].text(1e3, "ms"))
    for key in ("arviz", "slsqp"):
        show(f"ratio {names[key].split(', ')[1]} : ours", ratio(timed[key], timed["ours"]))
    for key, name in names.items():
        show(f"score reached, {name}", judged(lpd, timed[key].values[0]))


def large_case(n_chains: int, n_obs: int) -> None:
    """Print time, peak memory and certificate of stacking many chains of many observations."""
    print(f"  {n_chains} chains x {n_obs} observations, made up ({8e-6 * n_chains * n_obs:.0f} MB)")
    for label, job in (("stacking", _stack), ("errors of 12 modes, 50 replications", _errors)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, said = pool.apply(_measured, (job, n_chains, n_obs))
        show(label, f"{seconds:.3g} s, peak of the process {peak:.2f} GB{said}")


def _measured(job: Callable[..., str], n_chains: int, n_obs: int) -> tuple[float, float, str]:
    rng = np.random.default_rng(0)
    member = rng.integers(12, size=n_chains)
    lpd = rng.normal(size=(n_obs, 12))[:, member]
    lpd += 0.05 * rng.normal(size=lpd.shape)
    begun = time.perf_counter()
    said = job(lpd, np.eye(12)[member])
    seconds = time.perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, said


def _stack(lpd: FloatArray, _: Any) -> str:
    found = stack(lpd)
    return f", objective within {found.objective_certificate:.1g} nats"


def _errors(lpd: FloatArray, modes: FloatArray) -> str:
    errors = weight_errors(lpd, modes, n_boot=50, rng=np.random.default_rng(1))
    return f", largest {errors.sd.max():.2g}"
