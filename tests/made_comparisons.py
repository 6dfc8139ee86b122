"""Comparisons made up of whole cloth, for what is written and drawn of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from conftest import made_chains
from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.modes.find import Modes
from manymodes.modes.stacked_chains import stack_chains
from manymodes.networks.network import Network
from manymodes.sampling.base_measures import LOGISTIC, BaseMeasure
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested, NestedRun
from manymodes.statistics.chain_weightings import Weighing, weighings
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.pooled import Groups

N_OBS, DRAWS = 30, 60


@dataclass(frozen=True)
class StubPosterior:
    """A posterior without a compiled model: rows and unconstrained points are the same."""

    network: Network | None
    data: dict[str, Any]
    dims: int
    name: str = "stub"
    n_obs: int = N_OBS
    has_log_lik: bool = False
    prior_only: bool | None = None

    @property
    def unconstrained_names(self) -> tuple[str, ...]:
        return tuple(f"x.{i + 1}" for i in range(self.dims))

    @property
    def exported_names(self) -> dict[str, str]:
        return {}

    @property
    def program(self) -> SimpleNamespace:
        return SimpleNamespace(kernel_state=None if self.network is None else "avx2")

    def unpack(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        if self.network is None:
            return {"mu": rows[..., 0], "theta": rows[..., 1:]}
        found, start = {}, 0
        for name, shape in self.network.weight_shapes.items():
            size = math.prod(shape)
            values = rows[..., start : start + size].reshape(*rows.shape[:-1], *shape)
            found[name] = np.abs(values) if name == "sigma" else values
            start += size
        return found

    def constrain_rows(self, eta: np.ndarray) -> np.ndarray:
        return eta

    def predict(self, rows: np.ndarray, X: np.ndarray) -> np.ndarray:
        assert self.network is not None
        return self.network.predict(self.unpack(rows), X)

    def function_values(self, rows: np.ndarray, X: np.ndarray) -> np.ndarray:
        assert self.network is not None
        return self.network.function_values(self.unpack(rows), X)


class StubBase(BaseMeasure):
    """The prior, uniform on (-5, 5)."""

    def quantile(self, cube: np.ndarray) -> np.ndarray:
        return 10 * np.asarray(cube) - 5


def make_posterior(network: Network | None) -> StubPosterior:
    if network is None:
        return StubPosterior(None, {}, dims=4)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N_OBS, network.inputs))
    return StubPosterior(
        network, network.data(X, **outcomes(network, rng)), dims=network.parameter_count
    )


def outcomes(network: Network, rng: np.random.Generator) -> dict[str, Any]:
    """Return targets that a network may have, with exposure or trials of counts."""
    likelihood = network.likelihood_parts
    if likelihood.is_real:
        several = (network.outputs,) if network.outputs > 1 else ()
        return {"y": rng.normal(size=(N_OBS, *several))}
    if likelihood.kind == "binomial":
        return {"y": rng.integers(4, size=N_OBS), "trials": rng.integers(3, 9, size=N_OBS)}
    if likelihood.has_exposure:
        return {"y": rng.poisson(4, N_OBS), "exposure": rng.uniform(0.5, 3, N_OBS)}
    return {"y": rng.integers(max(2, network.outputs), size=N_OBS)}


def nested_run(dims: int, seed: int, shift: float = 0.0, nlive: int = 50) -> NestedRun:
    """Simulate a perfect run: the volume under each point's contour is known."""
    rng = np.random.default_rng(seed)

    def height(volume: float) -> float:
        return shift - 40 * volume ** (2 / dims)

    live = [(volume, -math.inf) for volume in rng.uniform(size=nlive).tolist()]
    dead = []
    for _ in range(8 * nlive):
        live.sort()
        volume, birth = live.pop()
        dead.append((height(volume), birth))
        live.append((volume * float(rng.uniform()), height(volume)))
    dead += [(height(volume), birth) for volume, birth in sorted(live, reverse=True)]
    logl, births = map(np.array, zip(*dead, strict=True))
    return NestedRun(
        cube=rng.uniform(size=(len(logl), dims)),
        logl=logl,
        birth=births,
        evaluations=12_345,
        failures=0,
        prior_trials=nlive,
        prior_inside=nlive,
        seconds=1.5,
    )


def make_nested(posterior: StubPosterior, **changes: Any) -> Nested:
    runs = tuple(nested_run(posterior.dims, seed) for seed in (1, 2))
    dims = posterior.dims
    base = StubBase.product(
        (LOGISTIC,) * dims, np.zeros(dims), np.ones(dims), exact=True, reason="the prior itself"
    )
    return Nested(posterior, base, nlive=50, runs=runs, failures={}, **changes)


def make_chains(posterior: StubPosterior, labels: np.ndarray) -> Chains:
    rng = np.random.default_rng(5)
    rows = rng.normal(scale=0.4, size=(*labels.shape, posterior.dims)) + labels[..., None]
    lpd = rng.normal(-0.5, 0.1, size=(len(labels), N_OBS))
    return made_chains(posterior, rows, lpd=lpd)


def summary(
    mode: int,
    function: int,
    evidence: tuple[float, float] = (math.nan, math.nan),
    stacking: tuple[float, float] = (math.nan, math.nan),
    occupancy: tuple[float, float] = (math.nan, math.nan),
    chains: int = 0,
) -> ModeSummary:
    log_z = -30.0 + math.log(evidence[0]) if evidence[0] > 0 else -math.inf
    return ModeSummary(
        mode,
        function,
        height=-20.0 - mode,
        log_z=Estimate(math.nan if math.isnan(evidence[0]) else log_z, 0.2),
        evidence=Estimate(*evidence),
        stacking=Estimate(*stacking),
        occupancy=Estimate(*occupancy),
        chains=chains,
    )


TWO_MODES = (
    summary(1, 1, (0.82, 0.03), (0.55, 0.2), (0.71, 0.08), 3),
    summary(2, 2, (0.18, 0.03), (0.45, 0.2), (0.29, 0.08), 1),
)
XOR = Network(2, (2,), activation="sigmoid", prior="uniform:5")


def make(
    network: Network | None = XOR,
    modes: tuple[ModeSummary, ...] = TWO_MODES,
    *,
    chains: bool = True,
    nested: bool = True,
) -> Comparison:
    posterior = make_posterior(network)
    rng = np.random.default_rng(7)
    n_modes = len(modes)
    chain_labels = np.repeat(np.arange(4) % n_modes, DRAWS).reshape(4, DRAWS)
    if n_modes > 1:
        chain_labels[0, 20:] = 1
    sampled = make_chains(posterior, chain_labels) if chains else None
    integrated = make_nested(posterior) if nested else None
    n = len(integrated.logl) if integrated else 0
    classes = network.outputs if network and network.likelihood == "categorical" else 1
    nested_labels = rng.choice(n_modes, size=n, p=[0.82, 0.18][:n_modes] if n_modes == 2 else None)
    if not nested:
        modes = tuple(replace(m, evidence=Estimate(), log_z=Estimate()) for m in modes)
    if not chains:
        modes = tuple(replace(m, stacking=Estimate(), occupancy=Estimate()) for m in modes)
    return Comparison(
        posterior=posterior,
        chains=sampled,
        nested=integrated,
        modes=Modes(
            peaks=np.zeros((n_modes, posterior.dims)),
            heights=np.array([mode.height for mode in modes]),
            chains=chain_labels if chains else np.empty((0, 0), dtype=int),
            nested=nested_labels,
            reached_by_run=np.array([[not math.isnan(mode.evidence.value)] for mode in modes]),
            functions=np.array([mode.function - 1 for mode in modes]),
            disagreement=0.0,
            climbs=10,
            starts=np.empty(0, dtype=int),
        ),
        summaries=modes,
        labels=np.arange(1, n_modes + 1),
        nested_weights=integrated.weights if integrated else np.empty(0),
        stacked=stack_chains(sampled, Groups.single(sampled.n_chains)) if sampled else None,
        weighings=weighed(sampled.lpd, chain_labels[:, 0]) if sampled else (),
        rhat_weights=np.linspace(1.0, 3.0, posterior.dims) if chains else np.empty(0),
        rhat_function=np.linspace(1.0, 1.4, N_OBS * classes) if chains and network else np.empty(0),
    )


def weighed(lpd: np.ndarray, modes: np.ndarray) -> tuple[Weighing, ...]:
    shares = np.eye(int(modes.max()) + 1)[modes]
    return weighings(lpd.T, shares=shares, n_boot=5, rng=np.random.default_rng(12))


def several(n: int, functions: Callable[[int], int] = lambda mode: 1) -> tuple[ModeSummary, ...]:
    share = (1 / n, 0.01)
    return tuple(summary(i, functions(i), share, share, share, 1) for i in range(1, n + 1))
