"""Held-out rows: kept with a run, and scored under each chain."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import made_chains
from manymodes.errors import InputError, ResultsError
from manymodes.modes.held_out import HeldOut, held_out_lpd, keep_held_out, kept_held_out
from manymodes.networks.network import Network
from manymodes.tables.table import Table


def test_rows_are_kept_as_the_network_takes_them(tmp_path: Path) -> None:
    """Standardised like the training part; a density per unit of the table, not of that."""
    source, target = tmp_path / "net", tmp_path / "run"
    source.mkdir()
    target.mkdir()
    train = pd.DataFrame({"a": [1.0, 3.0, 5.0, 7.0], "t": [0.0, 20.0, 10.0, 30.0]})
    rows = pd.DataFrame({"a": [4.0, 9.0], "t": [15.0, 40.0]})
    table = Table.fit(train, "t", "normal")
    keep_held_out(table, source, target)
    assert kept_held_out(target) is None
    rows.to_csv(source / "holdout.csv", index=False)
    keep_held_out(table, source, target)
    kept = kept_held_out(target)
    assert kept is not None
    np.testing.assert_allclose(kept.X[:, 0], (rows["a"] - 4) / train["a"].std(ddof=0))
    np.testing.assert_allclose(kept.y, (rows["t"] - 15) / train["t"].std(ddof=0))
    assert kept.log_unit == pytest.approx(-np.log(train["t"].std(ddof=0)))
    (source / "holdout.csv").unlink()
    keep_held_out(table, source, target)
    assert kept_held_out(target) is None
    (target / "held_out.npz").write_bytes(b"no arrays")
    with pytest.raises(ResultsError, match="damaged"):
        kept_held_out(target)


@pytest.mark.parametrize(
    ("likelihood", "choices"),
    [("poisson", {"exposure": "n"}), ("binomial", {"trials": "n"}), ("normal", {})],
)
def test_counts_and_several_targets_are_kept_and_scored(
    tmp_path: Path, likelihood: str, choices: dict[str, str]
) -> None:
    several = likelihood == "normal"
    frame = pd.DataFrame({"a": [1.0, 3.0, 5.0], "t": [0, 2, 1], "n": [4, 3, 5]})
    target = ["t", "n"] if several else "t"
    table = Table.fit(frame, target, likelihood, **choices)
    source, run, again = (tmp_path / name for name in ("net", "run", "again"))
    for folder in (source, run, again):
        folder.mkdir()
    frame.to_csv(source / "holdout.csv", index=False)
    keep_held_out(table, source, run)
    keep_held_out(table, run, again)
    kept = kept_held_out(again)
    assert kept is not None
    assert kept.counted_over.keys() == ({"exposure", "trials"} & choices.keys())
    for values in kept.counted_over.values():
        np.testing.assert_array_equal(values, frame["n"])
    network = Network(1, (2,), 2 if several else 1, likelihood=likelihood)
    weights = network.sample_prior(np.random.default_rng(1), 3)
    log_lik = network.log_lik(weights, kept.X, kept.y, **kept.counted_over)
    assert log_lik.shape == (3, 3)
    unit = -np.log(frame[["t", "n"]].std(ddof=0)).sum() if several else 0.0
    assert kept.log_unit == pytest.approx(unit)


def test_density_is_the_mean_over_the_draws_that_a_chain_has() -> None:
    network = Network(2, (2,), likelihood="normal")
    rng = np.random.default_rng(4)
    weights = network.sample_prior(rng, 12)
    flat = np.concatenate([weights[n].reshape(12, -1) for n in network.weight_shapes], axis=1)

    def unpack(rows: Any) -> dict[str, Any]:
        found, start = {}, 0
        for name, shape in network.weight_shapes.items():
            size = int(np.prod(shape, dtype=int))
            found[name] = rows[:, start : start + size].reshape(len(rows), *shape)
            start += size
        return found

    posterior: Any = SimpleNamespace(network=network, name="made", unpack=unpack)
    chains = made_chains(posterior, flat.reshape(2, 6, -1), lengths=[6, 4])
    rows = HeldOut(rng.normal(size=(3, 2)), rng.normal(size=3), log_unit=-0.7)
    density = np.exp(network.log_lik(weights, rows.X, rows.y))
    expected = np.stack([density[:6].mean(axis=0), density[6:10].mean(axis=0)], axis=1)
    np.testing.assert_allclose(held_out_lpd(chains, rows), np.log(expected) - 0.7, rtol=1e-12)
    posterior.network = None
    with pytest.raises(InputError, match="has no network"):
        held_out_lpd(chains, rows)
