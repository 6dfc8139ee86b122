"""The driver of many chains: attempts, limits, full disks, and what a score means."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import closed_form, made_chains, needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, StorageError
from manymodes.sampling.chains.chain_files import record_file, record_numbers
from manymodes.sampling.chains.chains import Chains, load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings

SHORT = NutsSettings(warmup=100, draws=60)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def run(posterior: Posterior, executor: Executor, **options: Any) -> Chains:
    given = {"chains": 4, "nuts": SHORT, "quiet": True, "executor": executor, **options}
    return run_chains(posterior, **given)


# ---------------------------------------------------------------- attempts


def test_a_chain_that_fails_is_tried_again_with_another_seed(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    """Half the seeds fail at once: three more attempts save most chains, and none is another's."""
    unlucky = closed_form(unlucky=0.5)
    once = run(unlucky, executor, chains=12, retries=0)
    more = run(unlucky, executor, chains=12, retries=3, out=tmp_path)
    assert 0 < len(once.failures) < 12
    assert len(more.failures) < len(once.failures)
    assert set(more.failures) <= set(once.failures)
    at_first = more.index[more.attempts == 0]
    np.testing.assert_array_equal(at_first, once.index)
    np.testing.assert_array_equal(more.eta[more.attempts == 0], once.eta)
    assert more.attempts.max() <= 3
    assert len(np.unique(more.eta[:, 0, 0])) == more.n_chains
    again = run(unlucky, executor, chains=12, retries=3)
    np.testing.assert_array_equal(more.eta, again.eta)
    kept = load_chains(unlucky, tmp_path)
    assert kept is not None
    assert kept.failures == more.failures
    np.testing.assert_array_equal(kept.attempts, more.attempts)


@needs_tools
def test_a_chain_that_never_starts_is_reported_with_its_attempts(executor: Executor) -> None:
    chains = run(closed_form(unlucky=0.9), executor, chains=8, retries=1)
    assert chains.failures
    for message in chains.failures.values():
        assert message.startswith("2 attempts; the last: ")
        assert "this seed is unlucky" in message


# ---------------------------------------------------------------- limits


def test_a_time_limit_keeps_the_draws_made_by_then(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    settings = NutsSettings(warmup=100, draws=1_000_000)
    chains = run(normal, executor, chains=3, nuts=settings, time_limit=0.7, out=tmp_path)
    assert (chains.lengths > 4).all()
    assert (chains.lengths < settings.draws).all()
    assert chains.n_draws == chains.lengths.max()
    assert chains.total_draws == chains.lengths.sum() == chains.present.sum()
    for eta, length in zip(chains.eta, chains.lengths, strict=True):
        assert np.isfinite(eta[:length]).all()
        assert np.isnan(eta[length:]).all()
    assert chains.whole.n_chains == (chains.lengths == chains.n_draws).sum()
    kept = load_chains(normal, tmp_path)
    assert kept is not None
    np.testing.assert_array_equal(kept.lengths, chains.lengths)
    again = run(normal, executor, chains=3, nuts=settings, resume=True, out=tmp_path)
    np.testing.assert_array_equal(again.lengths, chains.lengths)


def test_a_limit_that_no_chain_can_keep_is_not_tried_again(
    normal: Posterior, executor: Executor
) -> None:
    settings = NutsSettings(warmup=2_000_000, draws=10)
    with pytest.raises(Exception, match=r"no chain finished: the time limit of 0\.2 s"):
        run(normal, executor, chains=1, nuts=settings, time_limit=0.2)


def test_chains_of_different_lengths_are_told_apart() -> None:
    posterior: Any = object()
    eta = np.arange(24.0).reshape(3, 4, 2)
    chains = made_chains(posterior, eta, lengths=[4, 2, 4])
    assert (chains.total_draws, chains.cut.tolist()) == (10, [False, True, False])
    np.testing.assert_array_equal(
        chains.flat(chains.eta)[:, 0], [0, 2, 4, 6, 8, 10, 16, 18, 20, 22]
    )
    np.testing.assert_array_equal(chains.whole.index, [0, 2])
    assert np.isnan(chains.stats["diverging"][1, 2:]).all()
    assert chains.divergences == 0
    whole = replace(chains, lengths=np.full(3, 4))
    assert whole.whole is whole


# ---------------------------------------------------------------- disks


def test_a_full_disk_ends_the_run_and_loses_nothing(
    normal: Posterior, executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third chain's file is written to a device that is always full."""
    before = run(normal, executor)
    folder = tmp_path / "chains"
    savez = np.savez

    def full(file: Any, **arrays: Any) -> None:
        if record_file(folder, 2).name in file.name:
            with open("/dev/full", "wb", buffering=0) as device:
                device.write(b"0")
        savez(file, **arrays)

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(StorageError, match=r"chain-00002\.npz cannot be written: No space"):
            run(normal, executor, out=tmp_path)
    assert 2 not in record_numbers(folder)
    after = run(normal, executor, out=tmp_path, resume=True)
    np.testing.assert_array_equal(before.eta, after.eta)


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("retries", -1, "retries: -1 is not 0 or more"),
        ("time_limit", 0.0, "time_limit: 0.0 is not a positive number"),
        ("superchain", 3, "superchain: 4 chains cannot be put in groups of 3"),
        ("share_warmup", -1, "share_warmup: -1 is not 0 or more"),
        ("sampler", "gibbs", "sampler: 'gibbs'"),
        ("init", "radius:x", "radius:x"),
    ],
)
def test_options_out_of_range_are_refused(
    normal: Posterior, executor: Executor, tmp_path: Path, option: str, value: Any, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        run(normal, executor, out=tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()
