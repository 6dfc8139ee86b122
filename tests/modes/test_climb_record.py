"""What a run keeps of its climbs: hits, misses, damage, kills, and the numbers of modes."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, RecordWarning
from manymodes.modes.climb_record import RECORD, ClimbRecord, Known, climb_record
from manymodes.modes.comparison import compare
from manymodes.modes.explorer import Explorer
from manymodes.modes.find import Modes, ModeSettings, _Pool, find_modes
from manymodes.modes.numbers import keep_numbers, numbered
from manymodes.runtime.storage import read_arrays
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered

FEW = ModeSettings(climbs=60)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The climbs and paths that were computed."""
    found: list[str] = []
    ask = Explorer._ask

    def noted(self: Explorer, kind: str, questions: Any, keep: Any) -> None:
        found.extend(kind for _ in questions if kind in ("climb", "relaxed"))
        ask(self, kind, questions, keep)

    monkeypatch.setattr(Explorer, "_ask", noted)
    return found


def same(one: Modes, other: Modes) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=True)
        for f in dataclasses.fields(Modes)
        if f.name != "kept_numbers"
    )


@needs_tools
def test_every_draw_climbs_once(
    xor_chains: Chains,
    xor_nested: Nested,
    xor_tempered: Tempered,
    tmp_path: Path,
    asked: list[str],
) -> None:
    """Chains alone, then the engines, then all: the last has nothing left to climb."""
    given: dict[str, Any] = {"settings": FEW, "quiet": True}
    posterior = xor_chains.posterior
    find_modes(posterior, chains=xor_chains, kept=tmp_path, **given)
    assert asked.count("climb") > 8
    asked.clear()
    find_modes(posterior, nested=xor_nested, tempered=xor_tempered, kept=tmp_path, **given)
    assert asked.count("climb") > 60
    asked.clear()
    engines = {"chains": xor_chains, "nested": xor_nested, "tempered": xor_tempered}
    whole = find_modes(posterior, **engines, kept=tmp_path, **given)
    assert asked.count("climb") == 0
    asked.clear()
    again = find_modes(posterior, **engines, kept=tmp_path, **given)
    assert not asked
    alone = find_modes(posterior, **engines, workers=1, **given)
    assert same(whole, again)
    assert same(whole, alone)


@pytest.mark.parametrize("content", [b"", b"PK no archive", None])
@needs_tools
def test_a_damaged_record_is_left_out_and_replaced(
    xor_chains: Chains, tmp_path: Path, content: bytes | None, asked: list[str]
) -> None:
    posterior = xor_chains.posterior
    first = find_modes(posterior, chains=xor_chains, settings=FEW, quiet=True, kept=tmp_path)
    path = tmp_path / RECORD
    whole = path.read_bytes()
    if content is None:  # a flipped bit
        middle = len(whole) // 2
        content = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes(content)
    asked.clear()
    with pytest.warns(RecordWarning, match="damaged"):
        again = find_modes(posterior, chains=xor_chains, settings=FEW, quiet=True, kept=tmp_path)
    assert asked.count("climb") > 8
    assert same(first, again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = climb_record(posterior, tmp_path)
    assert len(record.climbs) == asked.count("climb")


@needs_tools
def test_a_record_of_another_posterior_is_left_out(
    xor: dict[str, Posterior], normal: Posterior, tmp_path: Path
) -> None:
    with Explorer(_landscape(normal), climb_record(normal, tmp_path)) as explorer:
        explorer.record.fix(explorer.landscape.frame)
        explorer.climbs(np.array([[0.5]]))
    assert climb_record(normal, tmp_path).climbs
    with pytest.warns(RecordWarning, match="another posterior"):
        assert not climb_record(xor["full"], tmp_path).climbs


@needs_tools
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heights", np.array([np.nan])),
        ("ends", np.zeros((1, 2))),
        ("scale", np.array([-1.0])),
        ("families", np.array(["gamma"])),
        ("numbers", np.array([[0], [1]])),
        ("location", np.array(["a"])),
    ],
)
def test_a_record_with_other_contents_is_left_out(
    normal: Posterior, tmp_path: Path, name: str, value: Any
) -> None:
    with Explorer(_landscape(normal), climb_record(normal, tmp_path)) as explorer:
        explorer.record.fix(explorer.landscape.frame)
        explorer.climbs(np.array([[0.5]]))
        ones = np.ones(1, dtype=np.intp)
        keep_numbers(explorer.record, np.array([[0.5]]), ones, ones)
    path = tmp_path / RECORD
    arrays = read_arrays(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert climb_record(normal, tmp_path).known.modes.tolist() == [1]
    np.savez(path, **{**arrays, name: value})  # type: ignore[arg-type]
    with pytest.warns(RecordWarning, match="damaged"):
        record = climb_record(normal, tmp_path)
    assert (record.frame, record.climbs, len(record.known.modes)) == (None, {}, 0)


@needs_tools
def test_a_record_is_a_file_of_its_folder(normal: Posterior, tmp_path: Path) -> None:
    """A pipe would never end, and a link may lead to anything."""
    os.mkfifo(tmp_path / RECORD)
    with pytest.warns(RecordWarning, match="no file of its folder"):
        assert climb_record(normal, tmp_path).frame is None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.npz").write_bytes(b"mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / RECORD).symlink_to(elsewhere / "mine.npz")
    with pytest.warns(RecordWarning, match="no file of its folder"):
        record = climb_record(normal, run)
    with Explorer(_landscape(normal), record) as explorer:
        record.fix(explorer.landscape.frame)
        explorer.climbs(np.array([[0.5]]))
    assert (elsewhere / "mine.npz").read_bytes() == b"mine"
    assert len(climb_record(normal, run).climbs) == 1
    with pytest.raises(InputError, match="not a folder"):
        climb_record(normal, tmp_path / "missing")


def _landscape(posterior: Posterior) -> Any:
    from manymodes.modes.landscape import Landscape
    from manymodes.sampling.base_measures import prior_measure

    return Landscape(posterior, prior_measure(posterior))


def _killed(posterior: Posterior, folder: Path, points: Any) -> None:
    """Climb, keep each climb at once, and be killed after five."""
    record = climb_record(posterior, folder)
    explorer = Explorer(_landscape(posterior), record, workers=1)
    record.fix(explorer.landscape.frame)

    def told(done: int, left: str) -> None:
        record._next = time.monotonic() - 1.0
        if done == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    explorer.climbs(points, told)


@needs_tools
def test_a_killed_command_goes_on_where_it_stopped(
    xor: dict[str, Posterior], tmp_path: Path, asked: list[str]
) -> None:
    posterior = xor["full"]
    points = np.random.default_rng(1).normal(size=(12, 9))
    process = multiprocessing.get_context("spawn").Process(
        target=_killed, args=(posterior, tmp_path, points)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    record = climb_record(posterior, tmp_path)
    assert 4 <= len(record.climbs) < 12
    kept = len(record.climbs)
    with Explorer(_landscape(posterior), record) as explorer:
        ends, _ = explorer.climbs(points)
    assert asked.count("climb") == 12 - kept
    with Explorer(_landscape(posterior)) as explorer:
        np.testing.assert_array_equal(ends, explorer.climbs(points)[0])


@needs_tools
def test_what_is_found_before_an_error_is_kept(xor: dict[str, Posterior], tmp_path: Path) -> None:
    posterior = xor["full"]
    record = climb_record(posterior, tmp_path)

    def told(done: int, left: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with Explorer(_landscape(posterior), record, workers=2) as explorer:
        record.fix(explorer.landscape.frame)
        with pytest.raises(KeyboardInterrupt):
            explorer.climbs(np.random.default_rng(1).normal(size=(12, 9)), told)
    assert len(climb_record(posterior, tmp_path).climbs) == 3


# ---------------------------------------------------------------- which draws climb


@pytest.mark.parametrize("size", [0, 1, 2, 7, 600])
def test_half_of_the_draws_that_climb_are_among_the_whole(size: int) -> None:
    weights = np.random.default_rng(3).random(2000)
    pool = _Pool("tempered", weights[:, None], weights[:, None], weights / weights.sum())
    whole, half = (pool.choose(size, 1, half=some) for some in (False, True))
    assert set(half.tolist()) <= set(whole.tolist())
    assert len(half) <= (size + 3) / 2
    assert (len(half) > 0) == (size > 0)


# ---------------------------------------------------------------- numbers


def first_seen(order: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """Return functions in the order in which their modes come."""
    return np.array(list(dict.fromkeys(functions[order].tolist())), dtype=np.intp)


def none_known(dims: int = 1) -> Known:
    return Known(np.empty((0, dims)), *np.empty((2, 0), dtype=np.intp))


def test_without_a_record_modes_are_numbered_by_weight() -> None:
    order, functions = np.array([2, 0, 1]), np.array([5, 5, 0])
    modes, names = numbered(
        order,
        functions,
        first_seen(order, functions),
        np.zeros((2, 3), dtype=np.intp),
        none_known(),
    )
    assert modes.tolist() == [2, 3, 1]
    assert names.tolist() == [2, 2, 1]


def test_known_modes_keep_their_numbers_and_new_ones_take_the_next() -> None:
    """Of four kept modes two are found again, in another order; two modes are new."""
    known = Known(np.zeros((4, 1)), np.array([1, 2, 3, 4]), np.array([1, 1, 2, 3]))
    kept = np.array([[0, 3, 0, 1], [0, 2, 0, 1]])
    functions = np.array([0, 1, 2, 0])  # mode 0 is new and a copy of mode 3
    modes, names = numbered(
        np.array([0, 1, 2, 3]), functions, first_seen(np.arange(4), functions), kept, known
    )
    assert modes.tolist() == [5, 3, 6, 1]
    assert names.tolist() == [1, 2, 4, 1]


def test_two_functions_that_were_one_have_two_numbers() -> None:
    known = Known(np.zeros((2, 1)), np.array([1, 2]), np.array([1, 1]))
    kept = np.array([[2, 1], [1, 1]])
    _, names = numbered(np.array([0, 1]), np.array([0, 1]), np.array([0, 1]), kept, known)
    assert names.tolist() == [2, 1]


def test_the_numbers_of_modes_that_are_gone_stay_taken(normal: Posterior) -> None:
    record = ClimbRecord(normal)
    first = np.array([1, 2])
    keep_numbers(record, np.array([[0.0], [1.0]]), first, first)
    keep_numbers(record, np.array([[1.0], [5.0]]), np.array([2, 3]), np.array([2, 3]))
    assert sorted(record.known.modes.tolist()) == [1, 2, 3]
    modes, _ = numbered(
        np.array([0]), np.array([0]), np.array([0]), np.zeros((2, 1), dtype=np.intp), record.known
    )
    assert modes.tolist() == [4]


def test_of_very_many_modes_that_are_gone_the_first_stay(
    normal: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manymodes.modes.numbers._MOST", 3)
    record = ClimbRecord(normal)
    first = np.arange(1, 5)
    keep_numbers(record, np.zeros((4, 1)), first, first)
    assert sorted(record.known.modes.tolist()) == [1, 2, 3, 4]  # none of them is gone
    keep_numbers(record, np.zeros((2, 1)), np.array([3, 5]), np.array([3, 5]))
    assert sorted(record.known.modes.tolist()) == [1, 3, 5]
    two = np.zeros((2, 2), dtype=np.intp)
    modes, _ = numbered(np.array([1, 0]), np.array([0, 1]), np.array([1, 0]), two, record.known)
    assert modes.tolist() == [4, 2]  # numbers that are free again


@needs_tools
def test_a_mode_keeps_its_number_when_evidence_comes(
    xor_chains: Chains, xor_tempered: Tempered, tmp_path: Path
) -> None:
    """Tables are ordered by weight, and each maximum has the number that it had first."""
    posterior = xor_chains.posterior
    given: dict[str, Any] = {"settings": FEW, "quiet": True, "kept": tmp_path}
    first = compare(posterior, chains=xor_chains, **given)
    assert [mode.id for mode in first.summaries] == [*range(1, len(first.summaries) + 1)]
    second = compare(posterior, chains=xor_chains, tempered=xor_tempered, **given)
    shares = [mode.evidence.value for mode in second.summaries]
    assert shares == sorted(shares, reverse=True)

    def by_place(found: Any) -> dict[Any, tuple[int, int]]:
        function = {mode.id: mode.function for mode in found.summaries}
        return {
            tuple(peak.round(1)): (label, function[label])
            for peak, label in zip(found.modes.peaks, found.labels.tolist(), strict=True)
        }

    before, after = by_place(first), by_place(second)
    shared = before.keys() & after.keys()
    assert len(shared) >= 0.7 * len(before)
    assert all(before[peak] == after[peak] for peak in shared)
    assert len({mode.id for mode in second.summaries}) == len(second.summaries)
    assert any(a.id > b.id for a, b in zip(second.summaries, second.summaries[1:], strict=False))
    second.as_dict()
    fresh = compare(posterior, chains=xor_chains, tempered=xor_tempered, settings=FEW, quiet=True)
    assert [mode.id for mode in fresh.summaries] == [*range(1, len(fresh.summaries) + 1)]
    assert [m.evidence.value for m in fresh.summaries] == pytest.approx(shares, nan_ok=True)
