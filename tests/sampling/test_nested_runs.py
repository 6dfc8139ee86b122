"""How nested runs are made: base measures by name, executors, targets, checkpoints, the prior.

Three standard errors throughout, with fixed seeds.
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
from typing import Any

import numpy as np
import pytest
from scipy import special

from conftest import MODELS, Y_BERNOULLI, closed_form, needs_tools, small_network, two_peaks
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError
from manymodes.modes.comparison import compare
from manymodes.modes.find import ModeSettings
from manymodes.report.nested_notes import effort_lines, nested_cautions
from manymodes.sampling.base_measures import STUDENT4, BaseMeasure, write_measure
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import Nested, PriorIntegral, load_nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

SMALL = PolyChordSettings(nlive=100)
PILOT = NutsSettings(warmup=200, draws=200)


def run(posterior: Posterior, **options: Any) -> Nested:
    return run_nested(
        posterior, **{"runs": 2, "polychord": SMALL, "seed": seeded(1), "quiet": True, **options}
    )


def truth_of_bernoulli(a: float, b: float) -> float:
    hits, n = int(Y_BERNOULLI.sum()), len(Y_BERNOULLI)
    return float(special.betaln(a + hits, b + n - hits) - special.betaln(a, b))


def assert_within(found: Nested, truth: float) -> None:
    assert 0 < found.log_z_sd < 0.3
    assert abs(found.log_z - truth) < 3 * found.log_z_sd


# ---------------------------------------------------------------- base measures by name


@needs_tools
def test_a_program_without_the_switch_is_integrated_over_what_fits_chains(tmp_path: Path) -> None:
    """A normal and an exponential prior and no data: the integral is 1."""
    found = run(Posterior(Program(MODELS / "plain.stan"), {}), out=tmp_path)
    assert found.base.source == "chains"
    assert "has no data item 'prior_only'" in found.base.reason
    assert_within(found, 0.0)
    assert np.isnan(found.d_kl[0])
    assert found.prior_integral is None
    again = load_nested(found.posterior, tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.base.quantile(again.cube), again.eta)
    assert again.log_z == found.log_z


@needs_tools
@pytest.mark.parametrize("reference", ["prior", "chains", "peaks"])
def test_base_measures_agree_on_the_evidence_and_on_the_information(reference: str) -> None:
    """D_KL of Beta(7, 5) from Beta(2, 3), in closed form."""
    posterior = closed_form("bernoulli", (2.0, 3.0))
    found = run(posterior, reference=reference)
    assert_within(found, truth_of_bernoulli(2.0, 3.0))
    a, b = 2.0 + Y_BERNOULLI.sum(), 3.0 + len(Y_BERNOULLI) - Y_BERNOULLI.sum()
    d_kl = (
        special.betaln(2, 3)
        - special.betaln(a, b)
        + (a - 2) * (special.digamma(a) - special.digamma(a + b))
        + (b - 3) * (special.digamma(b) - special.digamma(a + b))
    )
    value, sd = found.d_kl
    assert 0 < sd < 0.2
    assert abs(value - d_kl) < 3 * sd
    assert found.edge_shares.max() < 0.01
    assert found.prior_integral is not None
    assert abs(found.prior_integral.log_z) < 3 * found.prior_integral.log_z_sd


@needs_tools
def test_the_cube_needs_parameters_on_the_cube() -> None:
    with pytest.raises(InputError, match=r"parameters on \(0, 1\), and in closed_forms mu is not"):
        run(closed_form(), reference="cube")
    found = run(closed_form("bernoulli", (1.0, 1.0)), reference="cube")
    assert (found.base.source, found.base.exact) == ("cube", True)
    assert_within(found, truth_of_bernoulli(1.0, 1.0))


@needs_tools
def test_a_measure_that_does_not_cover_the_posterior_is_told_of(tmp_path: Path) -> None:
    posterior = two_peaks(30.0, 0.5)
    narrow = BaseMeasure.product((STUDENT4,) * 2, [0.0, 0.0], [0.3, 1.0])
    write_measure(tmp_path / "narrow.json", narrow)
    found = run(posterior, reference=str(tmp_path / "narrow.json"))
    assert found.edge_shares[0] > 0.9
    assert any("outer thousandths of coordinate x.1" in text for text in nested_cautions(found))
    assert not nested_cautions(run(posterior, reference="prior"))


# ---------------------------------------------------------------- modes


@needs_tools
def test_peaks_are_found_without_chains() -> None:
    """Peaks 24 widths apart, and the shares of the evidence that they have."""
    nested = run(two_peaks(24.0, 2 / 3), reference="peaks")
    places = sorted(one.location[0] for one in nested.base.components if one.origin == "peaks")
    assert np.allclose(places, [-11.9, 11.9], atol=0.5)
    assert nested.missed_share < 0.02
    found = compare(
        nested.posterior,
        nested=nested,
        settings=ModeSettings(climbs=60),
        seed=seeded(1),
        quiet=True,
    )
    right, _ = found.prominent
    assert abs(right.evidence.value - 2 / 3) < 3 * right.evidence.sd < 0.2


@needs_tools
def test_a_base_measure_of_chains_says_what_chains_missed() -> None:
    """Chains of the left peak alone: the right one is covered by the prior's component only."""
    posterior = two_peaks(8.0, 2 / 3)
    starts = run_chains(posterior, chains=8, nuts=PILOT, seed=seeded(1), quiet=True)
    left = starts.select(starts.eta[:, :, 0].mean(axis=1) < 0)
    nested = run(posterior, reference="chains", chains=left)
    assert 0.3 < nested.missed_share < 0.9
    assert any("chains did not visit" in text for text in nested_cautions(nested))


@needs_tools
def test_a_mixture_measure_finds_both_peaks_with_the_right_shares() -> None:
    """Peaks 24 widths apart: each run crosses between them by the component's coordinate."""
    posterior = two_peaks(24.0, 2 / 3)
    chains = run_chains(posterior, chains=8, nuts=PILOT, seed=seeded(1), quiet=True)
    nested = run(posterior, reference="chains", chains=chains)
    assert len(nested.base.components) == 3
    found = compare(
        posterior, nested=nested, settings=ModeSettings(climbs=60), seed=seeded(1), quiet=True
    )
    assert [mode.runs for mode in found.prominent] == [(1, 2), (1, 2)]
    right, left = found.prominent
    for mode, share in ((right, 2 / 3), (left, 1 / 3)):
        assert 0.005 < mode.evidence.sd < 0.06
        assert abs(mode.evidence.value - share) < 3 * mode.evidence.sd


@needs_tools
def test_modes_that_a_run_missed_are_named() -> None:
    """Some run of ten live points loses a peak of a fiftieth of the evidence."""
    posterior = two_peaks(24.0, 0.98)
    nested = run(
        posterior, runs=6, polychord=PolyChordSettings(nlive=10, nprior=10), seed=seeded(3)
    )
    found = compare(
        posterior, nested=nested, settings=ModeSettings(climbs=60), seed=seeded(1), quiet=True
    )
    small = found.summaries[1]
    assert 0 < len(small.runs) < 6
    assert found.as_dict()["modes"][1]["recovery"] == pytest.approx(len(small.runs) / 6)
    assert found.as_dict()["modes"][0]["recovery"] == 1
    assert abs(small.evidence.value - 0.02) < 3 * small.evidence.sd


# ---------------------------------------------------------------- a target, an executor


@needs_tools
def test_runs_are_added_until_the_error_is_small(tmp_path: Path) -> None:
    posterior = closed_form()
    first = run(posterior, runs=1, out=tmp_path)
    kept = (tmp_path / "nested" / "run-000.npz").stat()
    found = run(posterior, runs=1, target_sd=0.04, out=tmp_path, resume=True)
    assert found.log_z_sd <= 0.04 < first.log_z_sd
    assert len(found.runs) > 1
    assert (tmp_path / "nested" / "run-000.npz").stat() == kept
    limited = run(posterior, runs=1, target_sd=1e-4, max_runs=3)
    assert len(limited.runs) == 3


@needs_tools
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"target_sd": 0.0}, "target_sd: 0.0 is not above 0"),
        ({"runs": 4, "max_runs": 3}, r"max_runs: 3 is less than runs \(4\)"),
        ({"polychord": PolyChordSettings(processes=2)}, "processes: 2 need a PolyChord built with"),
    ],
)
def test_what_cannot_be_is_refused(option: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(closed_form(), **option)


@needs_tools
def test_an_executor_gives_the_same_runs(tmp_path: Path) -> None:
    """Runs travel back from other processes, which share no folder."""
    here = run(closed_form(), seed=7)
    with ProcessPoolExecutor(2) as pool:
        there = run(closed_form(), seed=7, executor=pool, out=tmp_path)
    np.testing.assert_array_equal(here.logl, there.logl)
    assert here.log_z == there.log_z
    assert sorted(p.name for p in (tmp_path / "nested").glob("*.npz")) == [
        "run-000.npz",
        "run-001.npz",
    ]


# ---------------------------------------------------------------- checkpoints

SLOW = """
import sys
from conftest import small_network
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
if __name__ == "__main__":
    run_nested(small_network(), runs=1, polychord=PolyChordSettings(nlive=200), seed=5,
               out=sys.argv[1], resume=True, checkpoints=True, quiet=True)
"""


@needs_tools
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Its contours all are those of its points, and its evidence agrees with another run's."""
    small_network().compile()
    script = tmp_path / "slow.py"
    script.write_text(SLOW, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    child = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    checkpoint = tmp_path / "out" / "nested" / "unfinished-000" / "polychord.resume"
    for _ in range(1200):
        if checkpoint.exists() or child.poll() is not None:
            break
        time.sleep(0.05)
    assert checkpoint.exists()
    time.sleep(0.3)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    found = run(
        small_network(),
        runs=1,
        polychord=PolyChordSettings(nlive=200),
        seed=5,
        out=tmp_path / "out",
        resume=True,
        checkpoints=True,
    )
    (one,) = found.runs
    assert one.resumed == 1
    inner = one.birth[np.isfinite(one.birth)]
    assert np.isin(inner, one.logl).all()
    assert (one.birth == -np.inf).sum() == 2000
    assert one.prior_trials >= one.prior_inside == 2000
    other = run(small_network(), runs=1, polychord=PolyChordSettings(nlive=200), seed=6)
    sd = np.hypot(found.log_z_sd, other.log_z_sd)
    assert abs(found.log_z - other.log_z) < 3 * sd
    assert not checkpoint.parent.exists()
    assert any("1 of 1 runs went on from a checkpoint" in line for line in effort_lines(found))


# ---------------------------------------------------------------- the prior's integral


@needs_tools
def test_a_prior_that_is_not_normalised_is_told_of() -> None:
    """A uniform prior cut off by rejection: its integral is 23/288."""
    rejecting = replace(small_network("uniform:5", "pd-skew:reject"), network=None)
    found = run(rejecting, runs=1)
    prior = found.prior_integral
    assert prior is not None
    assert prior.is_off
    assert 0 < prior.log_z_sd < 0.1
    assert abs(prior.log_z - np.log(23 / 288)) < 3 * prior.log_z_sd
    assert found.base.exact
    texts = [text for text in nested_cautions(found) if "the prior is not normalised" in text]
    assert len(texts) == 1
    assert f"log_z is {found.log_z - prior.log_z:.2f}" in texts[0]


def test_an_exact_prior_is_off_by_a_constant_that_is_known_exactly() -> None:
    assert PriorIntegral(np.log(2), 0.0).is_off
    assert not PriorIntegral(0.0, 0.0).is_off
    assert not PriorIntegral(0.1, 0.05).is_off
