"""The Cauchy study: the published data, exact weights, and what chains and nested runs find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import cauchy, norm

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.nested.settings import NestedSettings, PolyChordSettings
from manymodes.studies.cauchy import (
    CauchyModes,
    cauchy_data,
    cauchy_modes,
    cauchy_posterior,
    run_cauchy,
)
from manymodes.studies.conduct import Effort
from manymodes.types import FloatArray


@pytest.fixture(scope="module")
def y() -> FloatArray:
    return cauchy_data()


@pytest.fixture(scope="module")
def exact(y: FloatArray) -> CauchyModes:
    return cauchy_modes(y)


def test_data_are_those_of_r() -> None:
    """R's runif after set.seed(100) and set.seed(123) begins with these numbers."""
    for seed, first in ((100, 0.3077661), (123, 0.2875775)):
        assert cauchy_data(seed)[0] == pytest.approx(-10 + np.tan(np.pi * first), abs=1e-5)
    assert cauchy_data(123)[1] == pytest.approx(-10 + np.tan(np.pi * 0.7883051), abs=1e-5)
    y = cauchy_data(7, 2000)
    np.testing.assert_allclose(np.median(y[:1000]), -10, atol=4 * np.pi / 2 / np.sqrt(1000))
    np.testing.assert_allclose(np.median(y[1000:]), 10, atol=4 * np.pi / 2 / np.sqrt(1000))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="data-seed: -1"):
        cauchy_data(-1)
    for n in (0, 7):
        with pytest.raises(InputError, match=f"n: {n} is not an even number"):
            cauchy_data(1, n)
    with pytest.raises(InputError, match="one mode on each side"):
        cauchy_modes(np.full(10, 10.0))
    with pytest.raises(InputError, match="chains: 0"):
        run_cauchy(Path("unused"), effort=Effort(chains=ChainSettings(chains=0)))


def test_evidence_of_each_mode_is_that_of_a_plain_sum(y: FloatArray, exact: CauchyModes) -> None:
    mu = np.linspace(-60, 60, 240_001)
    log_joint = norm.logpdf(mu, 0, 10) + sum(cauchy.logpdf(one, mu) for one in y)
    height = log_joint.max()
    mass = np.exp(log_joint - height) * (mu[1] - mu[0])
    for side, inside in enumerate((mu < exact.barrier, mu > exact.barrier)):
        assert exact.log_z[side] == pytest.approx(height + np.log(mass[inside].sum()), abs=1e-6)
        assert exact.peaks[side] == pytest.approx(mu[inside][mass[inside].argmax()], abs=1e-3)


def test_evidence_prefers_one_mode_and_stacking_neither(exact: CauchyModes) -> None:
    assert exact.log_ratio > 13
    assert exact.evidence[1] > 0.99999
    # Half of the data come from each place; a weight is known to about 1 / sqrt(4 N) = 0.05.
    assert exact.stacking[1] == pytest.approx(0.5, abs=3 * 0.05)
    mixture = np.log(np.exp(exact.lpd) @ np.array(exact.stacking)).sum()
    assert mixture - exact.lpd.sum(axis=0).max() > 100  # nats that the mixture predicts better


def test_leave_one_out_densities_are_those_without_the_observation(exact: CauchyModes) -> None:
    y = cauchy_data()
    for i in (0, 30, 75):
        rest = np.delete(y, i)
        mu = np.linspace(exact.barrier, 40, 20_001)
        log_joint = norm.logpdf(mu, 0, 10) + sum(cauchy.logpdf(one, mu) for one in rest)
        weight = np.exp(log_joint - log_joint.max())
        density = (weight * cauchy.pdf(y[i], mu)).sum() / weight.sum()
        assert exact.lpd[i, 1] == pytest.approx(np.log(density), abs=1e-4)


def test_program_is_the_same_density(y: FloatArray, exact: CauchyModes, tools: object) -> None:
    posterior = cauchy_posterior(y)
    for mu in (-9.0, 0.5, *exact.peaks):
        log_lik = cauchy.logpdf(y, mu)
        expected = norm.logpdf(mu, 0, 10) + log_lik.sum()
        assert posterior.log_density([mu]) == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(posterior.log_lik([mu]), log_lik, atol=1e-12)
        assert posterior.prior.log_density([mu]) == pytest.approx(norm.logpdf(mu, 0, 10))


@pytest.fixture(scope="module")
def run(tools: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("cauchy") / "run"
    effort = Effort(
        chains=ChainSettings(chains=8, nuts=NutsSettings(warmup=200, draws=300)),
        nested=NestedSettings(runs=1, polychord=PolyChordSettings(nlive=100)),
        quiet=True,
    )
    found = run_cauchy(out, effort=effort)
    return out, found["cauchy"]


def test_both_weights_are_found(run: tuple[Path, Comparison], exact: CauchyModes) -> None:
    """Evidence within 5 of its standard errors, stacking within 3 of the exact weight's."""
    found = run[1]
    assert len(found.summaries) == 2
    for mode in found.summaries:
        side = int(found.modes.peaks[np.flatnonzero(found.labels == mode.id)[0]][0] > 0)
        assert mode.id == 2 - side
        assert mode.log_z.value == pytest.approx(exact.log_z[side], abs=5 * mode.log_z.sd)
        assert mode.stacking.value == pytest.approx(exact.stacking[side], abs=0.01)
        assert abs(mode.stacking.value - 0.5) < 3 * mode.stacking.sd
        assert 0.02 < mode.stacking.sd < 0.08
    assert found.summaries[1].evidence.value < 1e-4


def test_weightings_side_by_side(run: tuple[Path, Comparison]) -> None:
    found = run[1]
    stacking, by_chain, bma, uniform, evidence = found.weighings
    assert by_chain.name == "chain stacking"
    assert evidence.mode_weights[found.labels == 1] > 0.999
    for one in (by_chain, bma, uniform, evidence):
        assert one.difference.value <= 1.0  # no weighting predicts better by more than a nat
    # Evidence gives half of the data to the other mode, at about log(1 + 20^2) nats each.
    assert evidence.difference.value < -100
    assert stacking.held_out.value == pytest.approx(stacking.loo.value, abs=5)


def test_what_is_written(run: tuple[Path, Comparison], exact: CauchyModes) -> None:
    out = run[0]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["command"] == "study cauchy"
    assert summary["exact"]["log_ratio"] == pytest.approx(exact.log_ratio)
    report = (out / "report.html").read_text()
    for text in ("Sampled and exact weights", "How to weigh the chains", "e^13.26"):
        assert text in report
