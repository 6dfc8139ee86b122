"""The XOR study's data, and the tables that its defaults come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from manymodes.errors import InputError
from manymodes.studies import XOR_DATA_SEED, xor, xor_seeds
from manymodes.studies.conduct import Effort
from manymodes.studies.xor import CENTRES, COUNTS, LABELS, seed_tables, xor_data, xor_posteriors
from sentences import tells


def test_data_are_the_papers_clusters() -> None:
    data = xor_data(seed=3, noise_sd=0.5)
    assert data.X.shape == (220, 2)
    assert np.bincount(data.y).tolist() == [90, 130]
    edges = np.concatenate([[0], np.cumsum(COUNTS)])
    for centre, label, low, high in zip(CENTRES, LABELS, edges, edges[1:], strict=False):
        cluster = data.X[low:high]
        error = 0.5 / np.sqrt(high - low)
        assert np.abs(cluster.mean(axis=0) - centre).max() < 4 * error
        assert (data.y[low:high] == label).all()


def test_noise_sd_scales_the_same_noise() -> None:
    narrow, wide = xor_data(4, 0.5), xor_data(4, 1.0)
    centres = np.repeat(np.array(CENTRES, dtype=float), COUNTS, axis=0)
    np.testing.assert_allclose(2 * (narrow.X - centres), wide.X - centres, atol=1e-12)


def test_test_sets_have_fresh_noise() -> None:
    data = xor_data(5)
    assert len(data.tests) == 10
    sets = [data.X, *(X for X, _ in data.tests)]
    assert len({X.tobytes() for X in sets}) == 11
    pooled = np.concatenate(sets) - np.tile(
        np.repeat(np.array(CENTRES, dtype=float), COUNTS, axis=0), (11, 1)
    )
    assert abs(pooled.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * pooled.size)


@pytest.mark.parametrize(("seed", "noise_sd"), [(1, 0.0), (1, -1.0), (1, float("nan")), (-1, 0.5)])
def test_bad_settings_are_refused(seed: int, noise_sd: float) -> None:
    with pytest.raises(InputError, match=r"noise-sd|data-seed"):
        xor_data(seed, noise_sd)


def test_both_posteriors_have_the_same_data() -> None:
    full, constrained = xor_posteriors(xor_data(1)).values()
    assert full.data["X"] == constrained.data["X"]
    assert full.data["y_int"] == constrained.data["y_int"]
    assert np.isclose(constrained.data["log_region"], np.log(23 / 288), atol=1e-12)


def test_shipped_tables_cover_both_readings_and_give_the_default_seed() -> None:
    by_sd, by_variance = seed_tables()
    assert len(by_sd.rows) == len(by_variance.rows) == 20
    constrained = by_sd.columns.index("constrained: modes")
    first = next(row for row in by_sd.rows if row[constrained] == "2")
    assert int(first[0]) == XOR_DATA_SEED == xor.XOR_DATA_SEED


def test_seeds_are_integrated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, int]] = []

    def integrate(out: Path, noise_sd: float, data_seed: int, *_: object) -> dict[str, object]:
        out.mkdir()
        calls.append((noise_sd, data_seed))
        entry = {
            "prominent_modes": data_seed,
            "prominent_functions": 1,
            "log_z": -70.0,
            "log_z_sd": 0.1,
            "second": 0.1,
            "second_sd": 0.01,
        }
        return {"full": entry, "constrained": entry, "inside": 0.05, "inside_sd": 0.01}

    monkeypatch.setattr(xor_seeds, "_integrate", integrate)
    xor_seeds.run_xor_seeds(tmp_path, data_seeds=2, effort=Effort(quiet=True))
    content = xor_seeds.run_xor_seeds(
        tmp_path, data_seeds=3, effort=Effort(resume=True, quiet=True)
    )
    assert sorted(calls) == sorted(
        (sd, seed) for sd in xor_seeds.READINGS.values() for seed in (1, 2, 3)
    )
    assert [row[0] for row in content["tables"][0]["rows"]] == ["1", "2", "3"]
    assert tells(content["tables"][0]["caption"], "two or more in 2 of 3", "exactly two in 1")
    assert "standard deviation 0.5" in xor_seeds.tables_text(content)
    with pytest.raises(InputError, match="--resume"):
        xor_seeds.run_xor_seeds(tmp_path, data_seeds=1, effort=Effort(quiet=True))
