"""Nested sampling: evidence in closed form, repeatability, and failures that are told.

Three standard errors throughout, with fixed seeds.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from conftest import Y_BERNOULLI, Y_NORMAL, closed_form, needs_tools, small_network, two_peaks
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, SamplingError
from manymodes.runtime.progress import Progress
from manymodes.sampling.base_measures import STUDENT4, BaseMeasure, prior_measure, write_measure
from manymodes.sampling.nested import Nested, load_nested, polychord_run, run_nested
from manymodes.sampling.nested.polychord_run import RunsDisplay
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

SMALL = PolyChordSettings(nlive=100)


def run(posterior: Posterior, **options: Any) -> Nested:
    return run_nested(
        posterior, **{"runs": 2, "polychord": SMALL, "seed": seeded(1), "quiet": True, **options}
    )


def assert_within(value: float, truth: float, sd: float, k: float = 3.0) -> None:
    assert 0 < sd < 0.5
    assert abs(value - truth) < k * sd


# ---------------------------------------------------------------- closed forms


@needs_tools
def test_evidence_of_a_normal_mean() -> None:
    n = len(Y_NORMAL)
    truth = stats.multivariate_normal(np.zeros(n), np.eye(n) + 4.0).logpdf(Y_NORMAL)
    found = run(closed_form())
    assert_within(found.log_z, truth, found.log_z_sd)
    mean = found.weights @ found.rows[:, 0]
    precision = n + 1 / 4
    spread = np.sqrt(found.weights @ (found.rows[:, 0] - mean) ** 2)
    effective = 1 / np.sum(found.weights**2)
    assert abs(mean - Y_NORMAL.sum() / precision) < 4 / np.sqrt(precision * effective)
    assert spread == pytest.approx(precision**-0.5, rel=4 / np.sqrt(effective))


@needs_tools
@pytest.mark.parametrize("shapes", [(1.0, 1.0), (2.0, 3.0)])
def test_evidence_of_a_bernoulli_probability(shapes: tuple[float, float]) -> None:
    """With a base measure that is the prior, and with a fitted one."""
    hits, a, b = int(Y_BERNOULLI.sum()), *shapes
    truth = special.betaln(a + hits, b + len(Y_BERNOULLI) - hits) - special.betaln(a, b)
    found = run(closed_form("bernoulli", shapes))
    assert found.base.exact == (shapes == (1.0, 1.0))
    assert_within(found.log_z, truth, found.log_z_sd)


@needs_tools
def test_evidence_of_two_peaks() -> None:
    """A product of normals for each peak: widths 10 and 1 on both axes."""
    truth = sum(stats.norm.logpdf(x, 0, np.sqrt(101)) for x in (3.0, 0.0))
    found = run(two_peaks(6.0, 2 / 3))
    assert_within(found.log_z, truth, found.log_z_sd)


@needs_tools
@pytest.mark.parametrize(
    ("prior", "constraint"),
    [("uniform:5", "none"), ("normal:1.5", "none"), ("uniform:5", "pd-skew")],
)
def test_the_prior_alone_has_evidence_one(prior: str, constraint: str, tmp_path: Path) -> None:
    """Over a wider base measure: over the prior itself every height would be 0."""
    posterior = small_network(prior, constraint, prior_only=True)
    exact = prior_measure(posterior)
    one = exact.components[0]
    wide = BaseMeasure.product((STUDENT4,) * 9, one.location, 1.25 * one.scale.diagonal())
    write_measure(tmp_path / "wide.json", wide)
    found = run(posterior, reference=str(tmp_path / "wide.json"))
    assert found.base.families == wide.families
    assert_within(found.log_z, 0.0, found.log_z_sd)


@needs_tools
def test_rejection_gives_both_evidences() -> None:
    """The transform renormalises the prior on the region, rejection does not."""
    transformed = run(small_network("uniform:5", "pd-skew"))
    rejected = run(small_network("uniform:5", "pd-skew:reject"))
    inside, inside_sd = rejected.log_prior_inside
    assert_within(inside, np.log(23 / 288), inside_sd)
    error = np.hypot(transformed.log_z_sd, rejected.log_z_sd)
    assert_within(rejected.log_z_restricted, transformed.log_z, error)
    assert rejected.log_z == pytest.approx(rejected.log_z_restricted + inside)
    assert transformed.log_prior_inside == (0.0, 0.0)


def test_runs_agree_and_merge(xor_nested: Nested) -> None:
    n = xor_nested
    assert len(n.runs) == 2
    assert len(n.logl) == sum(len(one.logl) for one in n.runs)
    assert (np.diff(n.logl) >= 0).all()
    assert abs(np.diff(n.log_z_by_run)[0]) < 4 * 2 * n.log_z_sd
    assert 1e-3 < n.insertion_p <= 1
    assert n.weights.sum() == pytest.approx(1)
    samples = n.samples
    names = samples.columns.get_level_values(0)
    assert [name for name in names if name[:2] == "W["] == ["W[1,1]", "W[2,1]", "W[1,2]", "W[2,2]"]
    assert float(samples.logZ()) == pytest.approx(n.log_z, abs=3 * n.log_z_sd)


# ---------------------------------------------------------------- repeatability


@needs_tools
def test_the_same_seed_gives_the_same_runs(tmp_path: Path) -> None:
    first, again = (run(closed_form(), seed=4) for _ in range(2))
    other = run(closed_form(), seed=5)
    np.testing.assert_array_equal(first.logl, again.logl)
    assert first.log_z == again.log_z
    assert first.log_z != other.log_z


@needs_tools
def test_more_runs_keep_the_first_ones(tmp_path: Path) -> None:
    run(closed_form(), runs=1, out=tmp_path)
    kept = (tmp_path / "nested" / "run-000.npz").stat()
    more = run(closed_form(), runs=3, out=tmp_path, resume=True)
    assert len(more.runs) == 3
    assert (tmp_path / "nested" / "run-000.npz").stat() == kept
    assert len({one.logl[-1] for one in more.runs}) == 3
    loaded = load_nested(closed_form(), tmp_path)
    assert loaded is not None
    assert (loaded.log_z, loaded.nlive) == (more.log_z, 100)
    assert not list((tmp_path / "nested").glob(".running-*"))


@needs_tools
def test_other_settings_are_not_continued(tmp_path: Path) -> None:
    run(closed_form(), runs=1, out=tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "nested").iterdir()}
    with pytest.raises(InputError, match="holds earlier results"):
        run(closed_form(), runs=1, out=tmp_path)
    for change in ({"seed": 2}, {"polychord": replace(SMALL, nlive=50)}):
        with pytest.raises(InputError, match=r"other settings \((seed|nlive) was"):
            run(closed_form(), runs=1, out=tmp_path, resume=True, **change)
    with pytest.raises(InputError, match=r"other settings \(data was"):
        run(closed_form(prior=(1.0, 1.0)), runs=1, out=tmp_path, resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "nested").iterdir()} == before


@needs_tools
def test_a_damaged_run_is_reported(tmp_path: Path) -> None:
    run(closed_form(), runs=1, out=tmp_path)
    path = tmp_path / "nested" / "run-000.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ResultsError, match=r"run-000\.npz is damaged"):
        run(closed_form(), runs=1, out=tmp_path, resume=True)


# ---------------------------------------------------------------- failures


@needs_tools
def test_one_run_that_fails_does_not_cost_the_others() -> None:
    found = run(closed_form(unlucky=0.5), runs=6, seed=seeded(2))
    assert 0 < len(found.failures) < 6
    assert len(found.runs) == 6 - len(found.failures)
    assert all("this seed is unlucky" in message for message in found.failures.values())


@needs_tools
def test_all_runs_failing_is_an_error_with_the_childs_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = polychord_run.polychord_library(polychord_run.require("polychord"))
    bad = replace(library, path=tmp_path / "absent.so")
    monkeypatch.setattr(polychord_run, "polychord_library", lambda toolchain: bad)
    with pytest.raises(SamplingError, match=r"no nested run finished: .*absent\.so"):
        run(closed_form(), out=tmp_path)
    assert not list(tmp_path.rglob(".running-*"))


def test_a_killed_child_is_reported(tmp_path: Path) -> None:
    display = RunsDisplay(Progress("", quiet=True))
    with pytest.raises(SamplingError, match=r"the nested run was ended by SIGKILL: out of memory"):
        polychord_run._run_child(
            ["sh", "-c", "echo out of memory >&2; kill -9 $$"], tmp_path, display, 0, 1
        )
    with pytest.raises(SamplingError, match=r"the nested run failed: I stop here"):
        polychord_run._run_child(["sh", "-c", "echo I stop here; exit 0"], tmp_path, display, 0, 1)


@needs_tools
def test_a_run_killed_from_outside_is_reported() -> None:
    """SIGKILL to the child process itself, found among this process's children."""

    def kill_first_child() -> None:
        for _ in range(600):
            for entry in Path("/proc").glob("[0-9]*/stat"):  # pid (name) state parent ...
                with suppress(OSError):
                    name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
                    if name.startswith("polychord_run") and int(rest.split()[1]) == os.getpid():
                        os.kill(int(entry.parent.name), signal.SIGKILL)
                        return
            time.sleep(0.02)

    polychord_run.nested_runner()
    killer = threading.Thread(target=kill_first_child)
    killer.start()
    with pytest.raises(SamplingError, match=r"no nested run finished: .*SIGKILL"):
        run(small_network(), runs=1, polychord=PolyChordSettings(nlive=400), retries=0)
    killer.join()


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Return a function that lets the first attempts at each run be killed; it gives the seeds."""

    def arrange(deaths: int) -> list[int]:
        seeds: list[int] = []
        whole, died = polychord_run._run_child, Counter[int]()

        def child(command: list[str], folder: Path, show: Any, index: int, *rest: int) -> Any:
            config = (folder / "config").read_text()
            seeds.append(int(config.rpartition("seed ")[2].split()[0]))
            died[index] += 1
            if died[index] > deaths:
                return whole(command, folder, show, index, *rest)
            assert polychord_run.nested_runner().is_file()
            return whole(["sh", "-c", "kill -9 $$"], folder, show, index, *rest)

        monkeypatch.setattr(polychord_run, "_run_child", child)
        return seeds

    return arrange


@needs_tools
def test_a_killed_run_is_tried_again_with_another_seed(
    dying: Callable[[int], list[int]], capfd: pytest.CaptureFixture[str]
) -> None:
    seeds = dying(1)
    nested = run_nested(closed_form(), runs=2, polychord=PolyChordSettings(nlive=50), workers=1)
    assert len(nested.runs) == 2
    assert nested.failures == {}
    assert len(set(seeds)) == 4
    assert "2 runs, 2 tried again, " in capfd.readouterr().err


@needs_tools
def test_a_run_that_is_killed_each_time_fails_and_others_are_kept(
    dying: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seeds = dying(3)
    with pytest.raises(SamplingError, match=r"no nested run finished: 3 attempts; .*SIGKILL$"):
        run(closed_form(), runs=1, out=tmp_path)
    assert len(set(seeds)) == 3
    assert not list(tmp_path.rglob("*running-*"))
    monkeypatch.undo()
    resumed = run(closed_form(), runs=1, out=tmp_path, resume=True)
    undisturbed = run(closed_form(), runs=1)
    np.testing.assert_array_equal(resumed.runs[0].logl, undisturbed.runs[0].logl)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nlive": 5}, "nlive: 5"),
        ({"nlive": 100, "nprior": 20}, "nprior: 20"),
        ({"num_repeats": 0}, "num_repeats: 0"),
        ({"precision": 0.0}, "precision: 0.0"),
        ({"precision": float("nan")}, "precision: nan"),
        ({"processes": 0}, "processes: 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"^{said} is "):
        PolyChordSettings(**settings)


@pytest.mark.parametrize(("option", "value"), [("runs", 0), ("seed", -1), ("retries", -1)])
def test_options_out_of_range_are_refused(option: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{option}: {value} is not"):
        run(closed_form(), out=tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()
