"""Parallel tempering: known evidences, shares of modes, copies, rounds that go on, faults.

Four standard errors throughout, with seeds from `seeded`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from conftest import MODELS, Y_BERNOULLI, closed_form, improper, small_network, two_peaks
from exact import NAMES, make
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import DensityError, InputError, ResultsError, SamplingError
from manymodes.networks.network import Network
from manymodes.report.tempered_notes import tempered_cautions, tempered_lines
from manymodes.sampling.base_measures import NORMAL, BaseMeasure, Component, write_measure
from manymodes.sampling.runners import arrays_bytes, read_output
from manymodes.sampling.tempered import (
    Tempered,
    TemperedSettings,
    display,
    load_tempered,
    run_tempered,
)
from manymodes.sampling.tempered.group_moves import group_entries
from manymodes.sampling.tempered.runs import is_enough
from seeds import seeded

pytestmark = pytest.mark.toolchain


def run(posterior: Posterior, **options: Any) -> Tempered:
    given = {"rounds": 9, "max_rounds": 11, "seed": seeded(1), "quiet": True, **options}
    return run_tempered(posterior, **given)


def assert_right(found: Tempered, truth: float) -> None:
    assert 0 < found.log_z_sd < 0.3
    assert abs(found.log_z - truth) < 4 * found.log_z_sd + 1e-3
    assert found.mixes


# ---------------------------------------------------------------- evidences that are known


def test_the_conjugate_normal_model(tools: Any) -> None:
    posterior = closed_form()
    y = np.array(posterior.data["y"])
    cov = np.eye(len(y)) + 4.0
    truth = float(stats.multivariate_normal(np.zeros(len(y)), cov).logpdf(y))
    found = run(posterior)
    assert_right(found, truth)
    mean, sd = float(y.sum() / (len(y) + 0.25)), float(1 / np.sqrt(len(y) + 0.25))
    assert abs(found.eta.mean() - mean) < 4 * sd / np.sqrt(found.effective_samples)
    assert found.eta.std() == pytest.approx(sd, rel=0.1)
    assert found.effective_samples <= len(found.eta)
    d_kl = np.log(2 / sd) + (sd**2 + mean**2) / 8 - 0.5
    assert abs(found.d_kl[0] - d_kl) < 4 * found.d_kl[1] + 1e-3


@pytest.mark.parametrize("shapes", [(2.0, 3.0), (1.0, 1.0)])
def test_the_beta_bernoulli_model(shapes: tuple[float, float], tools: Any) -> None:
    a, b = shapes
    hits, n = int(Y_BERNOULLI.sum()), len(Y_BERNOULLI)
    truth = float(special.betaln(a + hits, b + n - hits) - special.betaln(a, b))
    assert_right(run(closed_form("bernoulli", shapes)), truth)


@pytest.mark.parametrize("distance", [4.0, 20.0, 40.0])
def test_far_peaks_have_their_shares(distance: float, tools: Any) -> None:
    """Two peaks of a tenth and nine tenths, up to 40 standard deviations apart."""
    posterior = two_peaks(distance, 0.9)
    at = np.linspace(-120, 120, 200_001)
    right, left = (stats.norm(s * distance / 2, 1).pdf(at) for s in (1, -1))
    density = stats.norm(0, 10).pdf(at) * (0.9 * right + 0.1 * left)
    step = at[1] - at[0]
    truth = np.log(density.sum() * step) + np.log(stats.norm(0, np.sqrt(101)).pdf(0))
    found = run(posterior, rounds=10)
    assert_right(found, float(truth))
    share = found.share((found.eta[:, 0] > 0).astype(float))
    assert 0 < share.sd < 0.1
    assert abs(share.value - float(density[at > 0].sum() / density.sum())) < 4 * share.sd


def test_a_prior_alone_integrates_to_one(tools: Any) -> None:
    found = run(small_network(prior_only=True))
    assert found.log_z == pytest.approx(0, abs=1e-6)
    assert found.log_z_sd == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.removesuffix("_prior") == name != "mixture_narrow"]
)
def test_every_constrained_type_of_stan(name: str, tools: Any) -> None:
    """Their evidence is known in closed form or by quadrature; so is that of eighteen modes."""
    exact = make(name)
    found = run(exact.posterior, rounds=10)
    assert_right(found, exact.found_log_z)
    if exact.components:
        inside = np.stack([one.log_density(found.rows) for one in exact.components]).argmax(axis=0)
        for number, mode in enumerate(exact.components):
            share = found.share((inside == number).astype(float))
            assert abs(share.value - mode.share) < 4 * share.sd + 0.01


def test_what_tempering_cannot_find_is_missed_by_its_share(tools: Any) -> None:
    """A third of the evidence in a mode a fifth as wide, in ten dimensions: a known failure.

    At inverse temperature b it holds a share of about 5^(-10 (1 - b)), so that no state meets it.
    docs/calibration.md shows it as failing.
    """
    exact = make("mixture_narrow")
    found = run(exact.posterior)
    assert abs(found.log_z - (exact.log_z + np.log(2 / 3))) < 5 * found.log_z_sd


def test_a_base_measure_of_several_components_with_correlations(tools: Any, tmp_path: Path) -> None:
    """The gradient of a mixture of triangular components is that of its density."""
    scale = np.array([[3.0, 0.0], [2.0, 4.0]])
    parts = (
        Component((NORMAL, NORMAL), np.array([2.0, 0.0]), scale, 0.3),
        Component(("student4", "logistic"), np.array([-2.0, 0.5]), 2 * scale, 0.5),
        Component(("cauchy", "student4"), np.array([0.0, 0.0]), np.diag([2.0, 1.0]), 0.2),
    )
    write_measure(tmp_path / "base.json", BaseMeasure(parts))
    mixed = run(two_peaks(6.0, 0.5), reference=str(tmp_path / "base.json"))
    plain = run(two_peaks(6.0, 0.5))
    sd = np.hypot(mixed.log_z_sd, plain.log_z_sd)
    assert abs(mixed.log_z - plain.log_z) < 4 * sd
    # With exact gradients nearly every move of small steps is accepted.
    assert min(one.acceptance[1:].min() for one in mixed.runs) > 0.4


# ---------------------------------------------------------------- networks and their copies


@pytest.mark.parametrize(
    ("activation", "prior", "exact"),
    [("tanh", "normal:1", True), ("tanh", "uniform:3", True), ("sigmoid", "normal:1", False)],
)
def test_moves_of_the_group_leave_the_density_alone(
    activation: str, prior: str, exact: bool, tools: Any
) -> None:
    """Exchanges always do; flips do where they only change signs."""
    rng = np.random.default_rng(seeded(1))
    network = Network(2, (3, 2), activation=activation, prior=prior)
    X, y = rng.normal(size=(20, 2)), rng.integers(0, 2, 20)
    posterior = Posterior.from_network(network, X, y)
    base = BaseMeasure.product(
        (NORMAL,) * posterior.dims, np.zeros(posterior.dims), np.ones(posterior.dims)
    )
    entries = group_entries(posterior, base, 1)
    assert [value for key, value in entries if key == "layer"] == [1, 1]
    assert len([1 for key, _ in entries if key == "unit"]) == 5
    flips = [str(value).split() for key, value in entries if key == "flip"]
    assert {flip[0] == "1" for flip in flips} == {exact}
    assert [flip for flip in flips if len(flip) > 2 + int(flip[1])] == ([] if exact else flips)


def test_a_constraint_leaves_no_group(tools: Any) -> None:
    posterior = small_network(constraint="ordered")
    base = BaseMeasure.product(
        (NORMAL,) * posterior.dims, np.zeros(posterior.dims), np.ones(posterior.dims)
    )
    assert group_entries(posterior, base, 1) == []


def test_copies_weigh_the_same_and_moves_do_not_change_the_evidence(tools: Any) -> None:
    """Signs and order of units are uniform by symmetry; log_z is the same with and without."""
    rng = np.random.default_rng(seeded(2))
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    network = Network(2, (3,), activation="tanh", prior="normal:2")
    posterior = Posterior.from_network(network, X, y)
    found, plain = run(posterior), run(posterior, symmetry=False, seed=seeded(3))
    sd = np.hypot(found.log_z_sd, plain.log_z_sd)
    assert abs(found.log_z - plain.log_z) < 4 * sd
    weights = posterior.unpack(found.rows)
    for unit in range(3):
        share = found.share((weights["V"][:, 0, unit] > 0).astype(float))
        assert abs(share.value - 0.5) < 4 * share.sd
        assert share.sd < 0.05
    largest = found.share((np.abs(weights["V"][:, 0]).argmax(axis=1) == 0).astype(float))
    assert abs(largest.value - 1 / 3) < 4 * largest.sd


# ---------------------------------------------------------------- rounds and runs


def test_a_run_of_more_rounds_is_the_one_that_was_made_at_once(tools: Any, tmp_path: Path) -> None:
    posterior, fixed = closed_form(), {"runs": 2, "target_sd": 9.0}
    run(posterior, rounds=6, max_rounds=6, out=tmp_path / "a", **fixed)
    later = run(posterior, rounds=8, max_rounds=8, out=tmp_path / "a", resume=True, **fixed)
    once = run(posterior, rounds=8, max_rounds=8, out=tmp_path / "b", **fixed)
    np.testing.assert_array_equal(later.eta, once.eta)
    assert later.log_z == once.log_z
    assert [one.number for one in once.runs[0].rounds] == list(range(1, 9))
    assert [one.scans for one in once.runs[0].rounds] == [2**r for r in range(1, 9)]


def test_a_run_that_nothing_reaches_tries_other_beginnings(tools: Any, tmp_path: Path) -> None:
    """Of 150 temperatures: no draw of the base measure can pass them in the 128 scans of a round.

    A run that is killed before the beginnings are compared, or after, comes to the same.
    """
    posterior = closed_form()
    fixed = {"runs": 1, "target_sd": 99.0, "temperatures": 150, "steps": 1, "beginnings": 3}
    seven = run(posterior, rounds=7, max_rounds=7, out=tmp_path / "a", **fixed)
    (only,) = seven.runs
    assert only.beginnings.shape == (3,)
    assert (only.last.forward + only.last.backward) / 2 == only.beginnings.max()
    assert [one.number for one in only.rounds] == list(range(1, 8))
    assert "the best of 3 beginnings" in " ".join(tempered_lines(seven))
    alone = run(posterior, rounds=7, max_rounds=7, **{**fixed, "beginnings": 1})
    assert alone.runs[0].beginnings.size == 0
    assert only.last.gradients > 2.5 * alone.runs[0].last.gradients
    later = run(posterior, rounds=8, max_rounds=8, out=tmp_path / "a", resume=True, **fixed)
    run(posterior, rounds=6, max_rounds=6, out=tmp_path / "b", **fixed)
    other = run(posterior, rounds=8, max_rounds=8, out=tmp_path / "b", resume=True, **fixed)
    np.testing.assert_array_equal(later.eta, other.eta)
    assert later.runs[0].last.gradients == other.runs[0].last.gradients
    assert run(posterior, rounds=7, max_rounds=7).runs[0].beginnings.size == 0  # no need


def test_rounds_are_added_until_the_error_is_the_one_aimed_at(tools: Any) -> None:
    posterior = two_peaks(10.0, 0.5)
    rough = run(posterior, rounds=6, max_rounds=6, target_sd=9.0)
    fine = run(posterior, rounds=6, max_rounds=13, target_sd=rough.log_z_sd / 2)
    assert fine.log_z_sd <= rough.log_z_sd / 2
    assert fine.runs[0].last.number > 6
    settings = TemperedSettings(target_sd=fine.log_z_sd * 1.01)
    assert is_enough(fine, settings)
    assert not is_enough(fine, replace(settings, target_sd=fine.log_z_sd * 0.99))


def test_a_directory_gives_its_runs_again(tools: Any, tmp_path: Path) -> None:
    posterior = closed_form()
    found = run(posterior, runs=3, out=tmp_path)
    kept = load_tempered(posterior, tmp_path)
    assert kept is not None
    assert (kept.log_z, kept.log_z_sd) == (found.log_z, found.log_z_sd)
    np.testing.assert_array_equal(kept.eta, found.eta)
    one = tmp_path / "tempered" / "run-001.npz"
    one.write_bytes(one.read_bytes()[:-100])
    with pytest.raises(ResultsError, match=r"run-001\.npz is damaged"):
        load_tempered(posterior, tmp_path)
    one.unlink()
    again = run(posterior, runs=3, out=tmp_path, resume=True)
    np.testing.assert_array_equal(again.eta, found.eta)
    with pytest.raises(InputError, match="seed"):
        run(posterior, runs=3, out=tmp_path, resume=True, seed=seeded(9))


def test_a_killed_command_goes_on_from_its_last_round(tools: Any, tmp_path: Path) -> None:
    """The result is that of a command that was not killed, to the last digit."""
    posterior = two_peaks(10.0, 0.5)
    posterior.program.library()
    code = (
        "import sys; sys.path.insert(0, {tests!r})\n"
        "from pathlib import Path\nfrom conftest import two_peaks\nimport manymodes as mm\n"
        "mm.run_tempered(two_peaks(10.0, 0.5), runs=1, rounds=16, target_sd=9.0, seed=1,"
        " out=Path({out!r}), quiet=True)\n"
    ).format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "a"))
    child = subprocess.Popen([sys.executable, "-c", code])
    output = tmp_path / "a" / "tempered" / "unfinished-000" / "output.bin"
    for _ in range(600):
        if output.exists() and len(read_output(output)["history"]) >= 9 * 8:
            break
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = len(read_output(output)["history"]) // 9
    assert 8 <= kept < 16
    fixed = {"runs": 1, "rounds": 16, "max_rounds": 16, "target_sd": 9.0, "seed": 1}
    resumed = run_tempered(posterior, out=tmp_path / "a", resume=True, quiet=True, **fixed)
    whole = run_tempered(posterior, out=tmp_path / "b", quiet=True, **fixed)
    np.testing.assert_array_equal(resumed.eta, whole.eta)
    assert not output.parent.exists()


def test_runs_on_an_executor_are_those_of_this_machine(tools: Any) -> None:
    posterior = closed_form()
    with ProcessPoolExecutor(2) as executor:
        far = run(posterior, runs=2, rounds=7, max_rounds=8, executor=executor)
    near = run(posterior, runs=2, rounds=7, max_rounds=8)
    np.testing.assert_array_equal(far.eta, near.eta)


def test_arrays_survive_their_file(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3.0), "nothing": np.empty(0), "b": np.array([np.inf, -1.5])}
    path = tmp_path / "x.bin"
    path.write_bytes(arrays_bytes(arrays))
    found = read_output(path)
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
    path.write_bytes(arrays_bytes(arrays)[:-3])
    with pytest.raises(SamplingError, match="cut off"):
        read_output(path)


# ---------------------------------------------------------------- what is wrong is said


def test_a_density_that_is_zero_everywhere_is_one_line(tools: Any) -> None:
    with pytest.raises(DensityError, match="is zero at 4000 points"):
        run(closed_form(rejects=True), retries=0)


def test_improper_priors_have_no_evidence(tools: Any) -> None:
    found = run(improper(1), runs=2, rounds=5, max_rounds=5)
    assert not found.is_evidence
    assert np.isnan([found.log_z, found.log_z_sd, found.forward, found.d_kl[0]]).all()
    assert any("no finite integral" in text for text in tempered_cautions(found))


def test_a_funnel_is_not_missed(tools: Any) -> None:
    """Centred eight schools: with steps of one size log_z was 0.15 too low, by 2.5 errors."""
    exact = make("eight_schools")
    assert exact.log_z == pytest.approx(-31.108, abs=0.001)
    found = [run(exact.posterior, seed=seeded(k)) for k in range(3)]
    errors = np.array([one.log_z_sd for one in found])
    z = np.array([one.log_z for one in found]) - exact.log_z
    assert (np.abs(z) < 4 * errors).all()
    assert abs(z.mean()) < 3 * np.sqrt((errors**2).sum()) / 3


def test_a_program_that_rejects_half_of_the_line(tools: Any) -> None:
    """No state of density zero is carried to a temperature at which it would have no weight."""
    y = [0.3, 1.2, -0.4, 2.0, 0.9]
    posterior = Posterior(Program(MODELS / "half.stan"), {"N": 5, "y": y}, "half")
    found = run(posterior, runs=3, rounds=8, max_rounds=8)
    assert not found.failures
    rounds = [one for each in found.runs for one in each.rounds]
    assert np.isfinite([(one.forward, one.backward) for one in rounds]).all()
    spread = 1 / (5 + 1 / 4)
    mean = spread * sum(y)
    whole = stats.multivariate_normal(np.zeros(5), np.eye(5) + 4).logpdf(y)
    truth = float(whole + stats.norm.logsf(0, mean, np.sqrt(spread)))
    assert_right(found, truth)


def test_a_run_that_has_not_mixed_says_so(tools: Any) -> None:
    """Five rounds are 62 scans: too few for a network of several modes."""
    found = run(small_network(n=80), rounds=4, max_rounds=4)
    assert not found.mixes
    said = " ".join(tempered_cautions(found))
    assert "may have missed modes" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runs": 0}, "runs: 0"),
        ({"rounds": 2}, "rounds: 2"),
        ({"rounds": 12, "max_rounds": 11}, "max_rounds: 11"),
        ({"target_sd": 0.0}, "target_sd: 0"),
        ({"temperatures": 2}, "temperatures: 2"),
        ({"per_barrier": 1.0}, "per_barrier: 1"),
        ({"steps": 0}, "steps: 0"),
        ({"beginnings": 0}, "beginnings: 0"),
        ({"metric": "full"}, "metric: 'full'"),
        ({"retries": -1}, "retries: -1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_setting_out_of_its_range_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TemperedSettings(**given)


def test_the_kinds_of_metric_agree_on_correlated_weights(tools: Any) -> None:
    exact = make("cov_matrix")
    for metric in ("dense", "diagonal"):
        assert_right(run(exact.posterior, metric=metric), exact.found_log_z)


def test_programs_without_a_switch_are_tempered_from_what_fits_chains(tools: Any) -> None:
    found = run(Posterior(Program(MODELS / "plain.stan"), {}))
    assert found.base.source == "chains"
    assert_right(found, 0.0)


# ---------------------------------------------------------------- progress


def test_progress_names_other_beginnings_and_does_not_guess_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rounds of other beginnings are not those of the run; the time left is that of the rest."""
    now = [0.0]
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: now[0]))
    said: list[str] = []
    progress = SimpleNamespace(update=said.append)
    shown = display.TemperedDisplay(progress)  # type: ignore[arg-type]

    def line(seconds: float, word: str, *fields: object) -> str:
        now[0] = seconds
        shown(0, 9, word, [*map(str, fields)])
        return said[-1]

    assert line(0.0, "scan", 7, 0, 64).startswith("run 1: round 7 of 9")
    found = line(10.0, "round", 7, 100, 200, 4.0, -1.5, -1.25, 3, 0.1, 10.0)
    assert found.endswith("log_z -1.50 to -1.25, barrier 4.0, 3 round trips, 30 s left")
    assert line(11.0, "scan", 1, 1, 2).endswith("3 round trips, other beginnings")
    assert line(60.0, "beginning", 2, 3, -2.0).endswith("beginning 2 of 3")
    assert line(61.0, "scan", 5, 1, 16).endswith("beginning 2 of 3")
    assert "beginning" not in line(100.0, "beginning", 3, 3, -1.0)
    assert line(100.0, "scan", 8, 0, 128).startswith("run 1: round 8 of 9")
    assert line(110.0, "scan", 8, 64, 128).endswith(", 50 s left")
