"""Nested sampling where the likelihood has plateaus, no bound, or a prior without an integral.

Three standard errors throughout, with fixed seeds; few live points.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special

from conftest import improper, made_chains, needs_tools
from manymodes import load
from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.modes.checks import NESTED, check
from manymodes.modes.comparison import compare
from manymodes.modes.find import ModeSettings
from manymodes.modes.summary_entries import nested_entry
from manymodes.report import write_report
from manymodes.report.mode_notes import mode_notes
from manymodes.report.nested_notes import effort_lines, nested_cautions
from manymodes.report.terminal import comparison_table
from manymodes.runtime.storage import json_text
from manymodes.sampling.nested import Nested, PriorIntegral, run_nested
from manymodes.sampling.nested.meaning import figure, log_z_line, what_log_z_is
from manymodes.sampling.nested.runs import _runs_needed
from manymodes.sampling.nested.settings import NestedSettings, PolyChordSettings
from seeds import seeded

pytestmark = needs_tools

FEW = ModeSettings(climbs=20)


def integrated(kind: int, reference: str = "prior", nlive: int = 60, seed: int = 1) -> Nested:
    settings = PolyChordSettings(nlive=nlive, num_repeats=6)
    return run_nested(
        improper(kind), polychord=settings, reference=reference, seed=seeded(seed), quiet=True
    )


def steps_log_z() -> float:
    """Return the log mean of exp(-floor(4 m)), m the larger of two standard normals."""
    k = np.arange(-60, 60)
    mass = np.diff(special.ndtr(np.append(k, 60) / 4) ** 2)
    return float(np.log(mass @ np.exp(-k.astype(float))))


@pytest.mark.parametrize(("kind", "truth"), [(10, math.log(5.5)), (14, steps_log_z())])
def test_evidence_on_plateaus(kind: int, truth: float) -> None:
    """With a test that has one rank at most for each point, and memory to match."""
    found = integrated(kind)
    assert abs(found.log_z - truth) < 3 * found.log_z_sd
    assert 0 < found.log_z_sd < 0.4
    if np.isfinite(found.insertion_p):
        assert found.insertion_p > 1e-3
    for run in found.runs:
        assert (run.logl > run.birth).all()


@pytest.mark.parametrize("kind", [11, 12])
def test_a_flat_likelihood_is_a_result(kind: int) -> None:
    """Everywhere, or where it is not zero: no insertion test, and nothing else that is wrong."""
    found = integrated(kind)
    inside = 1.0 if kind == 11 else 0.5
    assert found.log_z_restricted == 0.0
    assert abs(found.log_z - math.log(inside)) <= 3 * found.log_z_sd
    assert found.log_z_sd < 0.1
    assert (found.log_z_sd == 0.0) == (kind == 11)
    assert math.isnan(found.insertion_p)
    assert json.loads(json_text({"p": found.insertion_p})) == {"p": None}
    said = " ".join(effort_lines(found))
    assert "insertion-index p: none (no live point was drawn" in said
    assert "the likelihood is the same at all" in said
    assert "nan" not in said
    assert nested_cautions(found) == []


def test_a_density_without_a_bound_says_so() -> None:
    """Its integral is finite, and found; its peak is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = integrated(13)
        assert abs(found.log_z - 0.9**2 / 2) < 3 * found.log_z_sd
        comparison = compare(improper(13), nested=found, settings=FEW, quiet=True)
        table = comparison_table("unbounded", comparison)
    assert [mode.evidence.value for mode in comparison.prominent] == [pytest.approx(1.0)]
    assert any(
        "no maximum" in text and "sigma downwards" in text for text in mode_notes(comparison)
    )
    assert "no maximum in the searched box" in table


def test_an_improper_prior_leaves_no_evidence(tmp_path: Path) -> None:
    """The integral of the density as written is found, and called that; Jeffreys' prior."""
    settings = PolyChordSettings(nlive=60)
    with pytest.raises(InputError, match="the prior of sigma in improper is improper"):
        run_nested(improper(4), polychord=settings, reference="prior", out=tmp_path, quiet=True)
    found = integrated(4, "peaks")
    y = np.array([1.0, 2.0, 0.5])

    def over_mean(log_sigma: float) -> float:
        covariance = np.exp(2 * log_sigma) * np.eye(3) + 2.0
        return float(
            np.exp(-0.5 * y @ np.linalg.solve(covariance, y))
            / np.sqrt(np.linalg.det(2 * np.pi * covariance))
        )

    truth = math.log(integrate.quad(over_mean, -12, 12, limit=200)[0])
    assert abs(found.log_z - truth) < 3 * found.log_z_sd
    assert not found.is_evidence
    assert math.isnan(found.d_kl[0])
    assert "the prior of sigma is improper" in what_log_z_is(found)
    assert any("the integral of the density as written" in text for text in nested_cautions(found))


def test_what_has_no_finite_integral_has_no_figure() -> None:
    endless = PriorIntegral(math.inf, math.nan, ("b",), endless=("b",))
    found = replace(integrated(4, "peaks"), prior_integral=endless)
    entry = nested_entry(found)
    assert all(math.isnan(entry[name]) for name in ("log_z", "log_z_sd", "d_kl", "d_kl_sd"))
    assert all(math.isnan(value) for value in (found.log_z, found.log_z_sd, *found.log_z_by_run))
    assert all(math.isnan(value) for value in (found.log_z_volume_sd, found.log_z_between_sd))
    assert math.isnan(found.log_z_restricted)
    assert _runs_needed(found, NestedSettings(target_sd=0.01)) == len(found.runs)
    assert log_z_line(found) == "log_z = none: the density has no finite integral"


@pytest.mark.parametrize("with_chains", [False, True])
def test_modes_of_what_has_no_finite_integral_have_no_evidence(
    tmp_path: Path, with_chains: bool
) -> None:
    """Their figures are null, as log_z is, and no sentence says that runs did not reach them."""
    endless = PriorIntegral(math.inf, math.nan, ("b",), endless=("b",))
    found = replace(integrated(4, "peaks"), prior_integral=endless)
    posterior, chains = improper(4), None
    if with_chains:
        rng = np.random.default_rng(3)
        eta = found.eta[rng.choice(len(found.weights), (4, 50), p=found.weights)]
        chains = made_chains(posterior, eta, rows=posterior.constrain_rows(eta))
    comparison = compare(posterior, nested=found, chains=chains, settings=FEW, quiet=True)
    assert comparison.unweighed == comparison.summaries
    assert comparison.unreached == ()
    assert comparison.ranked_by == ("occupancy" if with_chains else "")
    entry = json.loads(json_text(comparison.as_dict()))
    assert entry["nested"]["log_z"] is entry["nested"]["log_z_volume_sd"] is None
    assert entry["unassigned"] is None
    assert entry["modes_only_chains_found"] == 0
    for mode in entry["modes"]:
        assert mode["log_z"] is mode["log_z_sd"] is None
        assert mode["weight"]["evidence"] is mode["weight"]["evidence_sd"] is None
        assert (mode["weight"]["occupancy"] is None) is not with_chains
    table = comparison_table("endless", comparison)
    assert "no mode has an evidence, for the density has no finite integral" in table
    assert "nan" not in table
    write_report(tmp_path / "report.html", {"endless": comparison}, title="Endless")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the density has no finite integral" in page
    assert "did not reach" not in page
    assert ">nan" not in page
    checks = check(comparison)
    assert not any(NESTED in (one.first, one.second) for one in checks.agreements)
    (row,) = (row for row in checks.rows if row.method == NESTED)
    assert row.remark == "the density has no finite integral"


@pytest.mark.parametrize("log_prior", [-1e300, -800.0, 710.0, 1e300])
def test_integrals_beyond_a_double_are_told_by_their_logarithm(log_prior: float) -> None:
    found = replace(integrated(4, "peaks"), prior_integral=PriorIntegral(log_prior, 0.1))
    (text,) = (text for text in nested_cautions(found) if "not normalised" in text)
    assert "inf" not in text
    assert len(text) < 400
    assert (figure(1e300), figure(-123.456), figure(1e6)) == ("1e+300", "-123.46", "1000000.00")


def test_the_command_line_ends_with_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posterior = improper(13)
    data = tmp_path / "data.json"
    data.write_text(json.dumps({**posterior.data}))
    out = tmp_path / "run"
    command = [str(posterior.program.stan_file), str(data), "--nlive", "20", "--out", str(out)]
    assert main(["evidence", *command, "--runs", "1", "--quiet", "--seed", "2147483647"]) == 0
    page = (out / "report.html").read_text()
    assert "no maximum in the searched box" in page
    run = load(out)
    (entry,) = run.summary["posteriors"].values()
    assert entry["unassigned"] == pytest.approx(0.0)
    assert len(run.modes) == 1
    assert "Traceback" not in capsys.readouterr().err
