"""Draws of stacked chains: shares, sources, short chains, predictions, and the DataTree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from manymodes.density.labels import exported_names
from manymodes.density.variables import Variable
from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.results import stacked_draws
from manymodes.results.stacked_draws import stack_draws


@dataclass
class FakePosterior:
    """Two variables, `a` (2,) and `b` (), or those of a network; no Stan program."""

    network: Network | None = None
    name: str = "fake"
    data: dict[str, Any] = field(default_factory=dict)
    data_file: Path | None = None

    @property
    def n_obs(self) -> int:
        return int(self.data["N"])

    @property
    def variables(self) -> tuple[Variable, ...]:
        shapes: dict[str, tuple[int, ...]] = {"a": (2,), "b": ()}
        if self.network is not None:
            shapes = dict(self.network.weight_shapes)
        starts = np.cumsum([0, *(int(np.prod(s)) for s in shapes.values())])
        return tuple(
            Variable(n, s, int(i)) for (n, s), i in zip(shapes.items(), starts, strict=False)
        )

    @property
    def exported_names(self) -> dict[str, str]:
        return exported_names(self.variables)

    def unpack(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {variable.name: variable.take(rows) for variable in self.variables}

    def predict(self, rows: np.ndarray, X: np.ndarray) -> np.ndarray:
        assert self.network is not None
        return self.network.predict(self.unpack(rows), X)


@dataclass
class FakeChains:
    """Chains whose draws tell where they come from: rows are NaN beyond a chain's length."""

    posterior: FakePosterior
    lengths: np.ndarray
    rows: np.ndarray
    index: np.ndarray

    @property
    def n_chains(self) -> int:
        return len(self.index)


def plain_chains() -> Any:
    """Three chains of 10, 4 and 10 draws, numbered 0, 2 and 5; `b` is 100 chain + draw."""
    rows = np.zeros((3, 10, 3))
    rows[..., 2] = 100 * np.arange(3)[:, None] + np.arange(10)
    rows[1, 4:] = np.nan
    return FakeChains(FakePosterior(), np.array([10, 4, 10]), rows, np.array([0, 2, 5]))


def network_chains(likelihood: str = "bernoulli") -> Any:
    outputs = 3 if likelihood in ("categorical", "heteroscedastic") else 1
    network = Network(2, (3,), outputs=outputs, activation="tanh", likelihood=likelihood)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(7, 2))
    real = network.likelihood_parts.is_real
    y = rng.normal(size=(7, outputs) if outputs > 1 else 7) if real else rng.integers(2, size=7)
    trials = np.full(7, 5) if likelihood == "binomial" else None
    posterior = FakePosterior(network, data=network.data(X, y, trials=trials))
    size = sum(variable.size for variable in posterior.variables)
    rows = np.random.default_rng(0).normal(size=(2, 6, size))
    start = 0
    for name, shape in network.weight_shapes.items():
        if name == "sigma":
            rows[..., start] = np.abs(rows[..., start])
        start += int(np.prod(shape))
    return FakeChains(posterior, np.array([6, 6]), rows, np.arange(2))


def test_draws_say_where_they_come_from() -> None:
    chains = plain_chains()
    tree = stack_draws(chains, [0.5, 0.2, 0.3], n=40, seed=3, weighting="evidence")
    draws = tree["posterior"].to_dataset()
    assert dict(draws.sizes) == {"chain": 1, "draw": 40, "a_dim_0": 2}
    position = np.searchsorted(chains.index, draws["source_chain"])
    expected = 100 * position + draws["source_draw"].to_numpy()
    np.testing.assert_array_equal(draws["b"][0], expected)
    assert np.bincount(draws["source_chain"]).tolist() == [20, 0, 8, 0, 0, 12]
    assert np.isfinite(draws["b"]).all()
    short = draws["source_draw"].to_numpy()[draws["source_chain"].to_numpy() == 2]
    assert np.bincount(short).tolist() == [2, 2, 2, 2]
    assert (np.diff(position) < 0).any()
    assert tree.attrs["weighting"] == "evidence"
    np.testing.assert_allclose(tree["weights/weight"].sel(source_chain=5), 0.3)
    assert "predictions" not in tree.children


def test_seed_decides() -> None:
    first, again, other = (
        stack_draws(plain_chains(), [0.5, 0.2, 0.3], n=9, seed=seed)["posterior/b"].to_numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "categorical", "normal", "heteroscedastic", "binomial"]
)
def test_predictions_are_those_of_the_drawn_networks(
    likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = network_chains(likelihood)
    monkeypatch.setattr(stacked_draws, "_BLOCK", 60)  # a few draws at a time
    tree = stack_draws(chains, [0.25, 0.75], n=8, seed=1)
    mean = tree["predictions/mean"]
    assert mean.dtype == np.float32
    assert mean.dims[:3] == ("chain", "draw", "obs")
    several = {"categorical": "class", "heteroscedastic": "target"}.get(likelihood)
    assert mean.dims[3:] == ((several,) if several else ())
    assert mean.shape == (1, 8, 7) + ((3,) if several else ())
    for i in range(8):
        row = chains.rows[int(mean["source_chain"][i]), int(mean["source_draw"][i])]
        alone = chains.posterior.predict(row[None], chains.posterior.data["X"])[0]
        np.testing.assert_allclose(mean[0, i], alone, rtol=1e-5, atol=1e-6)


def test_predictions_at_other_inputs_and_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = network_chains()
    X = np.zeros((2, 2))
    assert stack_draws(chains, [0.5, 0.5], n=4, seed=1, X=X)["predictions/mean"].shape == (1, 4, 2)
    monkeypatch.setattr(stacked_draws, "_MOST_PREDICTIONS", 27)
    tree = stack_draws(chains, [0.5, 0.5], n=4, seed=1)  # 28 values
    assert "predictions" not in tree.children
    assert "28 values" in tree.attrs["predictions"]
    assert "predictions" in stack_draws(chains, [0.5, 0.5], n=4, seed=1, X=X).children


@pytest.mark.parametrize(
    "likelihood",
    ["bernoulli", "categorical", "normal", "heteroscedastic", "binomial", "negative-binomial"],
)
def test_predictive_draws_are_of_the_likelihood(
    likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their mean over many draws is the mean prediction at each row, in units of the data."""
    monkeypatch.setattr(stacked_draws, "_BLOCK", 50_000)  # in several blocks
    chains = network_chains(likelihood)
    tree = stack_draws(chains, [0.25, 0.75], n=20_000, seed=1)
    y, observed = tree["posterior_predictive/y"], tree["observed_data/y"]
    assert y.dims[2:] == observed.dims
    assert y.shape[2:] == observed.shape
    assert y.dtype.kind == observed.dtype.kind
    np.testing.assert_array_equal(y["source_chain"], tree["posterior/source_chain"])
    mean = tree["predictions/mean"].values[0]
    drawn = y.values[0].astype(float)
    if likelihood == "categorical":
        assert set(np.unique(drawn)) == {0.0, 1.0, 2.0}
        drawn = (drawn[..., None] == np.arange(3)).astype(float)
    if likelihood == "binomial":
        drawn = drawn / 5
    error = (drawn - mean).std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs((drawn - mean).mean(axis=0)) < 5 * error).all()
    again = stack_draws(chains, [0.25, 0.75], n=20_000, seed=1)["posterior_predictive/y"]
    np.testing.assert_array_equal(y, again)


def test_too_many_predictive_draws_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_draws, "_MOST_PREDICTIONS", 27)
    tree = stack_draws(network_chains(), [0.5, 0.5], n=4, seed=1)  # 28 values
    assert "posterior_predictive" not in tree.children
    assert "28 values" in tree.attrs["posterior_predictive"]


def test_arviz_checks_predictions_by_these_groups(tmp_path: Path) -> None:
    arviz_plots = pytest.importorskip("arviz_plots")
    pytest.importorskip("matplotlib").use("Agg")
    stack_draws(network_chains("normal"), [0.5, 0.5], n=60, seed=1).to_netcdf(
        tmp_path / "stacked.nc", engine="h5netcdf"
    )
    with xr.open_datatree(tmp_path / "stacked.nc", engine="h5netcdf") as tree:
        drawn = arviz_plots.plot_ppc_dist(tree.load(), num_samples=20, backend="matplotlib")
    figure = drawn.viz["figure"].item()
    assert sum(len(axes.lines) for axes in figure.axes) >= 21  # 20 samples and the data


def test_survives_netcdf(tmp_path: Path) -> None:
    tree = stack_draws(network_chains(), [0.5, 0.5], n=4, seed=1)
    tree.to_netcdf(tmp_path / "stacked.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "stacked.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(
            again["posterior/source_chain"], tree["posterior/source_chain"]
        )
        np.testing.assert_array_equal(again["predictions/mean"], tree["predictions/mean"])
        assert again.attrs["weighting"] == "stacking"


def test_input_errors() -> None:
    chains = plain_chains()
    for wrong in ([0.5, 0.5], [[0.5, 0.2, 0.3]]):
        with pytest.raises(InputError, match="give one for each of 3 chains"):
            stack_draws(chains, wrong, seed=1)
    with pytest.raises(InputError, match="not probabilities"):
        stack_draws(chains, [0.5, 0.5, 0.5], seed=1)
    with pytest.raises(InputError, match="n: 0 is not 1 or more"):
        stack_draws(chains, [0.5, 0.2, 0.3], n=0, seed=1)
    with pytest.raises(InputError, match="seed: -1 is not 0 or more"):
        stack_draws(chains, [0.5, 0.2, 0.3], seed=-1)
    with pytest.raises(InputError, match="X: the posterior 'fake' has no network"):
        stack_draws(chains, [0.5, 0.2, 0.3], seed=1, X=np.zeros((2, 2)))
