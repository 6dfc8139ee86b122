"""Checks of an evidence: each method against the truth, by mode, and what is said of them.

The draws of "chains" are exact ones of posteriors in closed form, in whichever modes a test puts
them: three standard errors, fixed seeds.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from conftest import (
    QUICK_POLYCHORD,
    Y_BERNOULLI,
    Y_NORMAL,
    closed_form,
    made_chains,
    needs_tools,
    two_peaks,
)
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.checks import (
    BRIDGE,
    IMPORTANCE,
    LAPLACE,
    MODE,
    NESTED,
    POOLED,
    SUM,
    TRUSTED_K,
    WHOLE,
    Agreement,
    Check,
    Checks,
    check,
)
from manymodes.modes.checks import copies as copies_room
from manymodes.modes.checks.basins import Basins, basins_of, density_of
from manymodes.modes.checks.bridge_sampling import bridge_by_mode, bridge_whole, log_sum
from manymodes.modes.checks.copies import Copies, Family, completed, find_copies, missing_copies
from manymodes.modes.checks.laplace import laplace
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.find import ModeSettings
from manymodes.networks.network import Network
from manymodes.report import write_report
from manymodes.report.checks_verdict import checks_verdict
from manymodes.report.plots import plot_checks
from manymodes.report.summary_words import add_verdicts
from manymodes.report.terminal import checks_text
from manymodes.results.run_directory import summarise
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import run_nested
from manymodes.statistics.estimate import Estimate
from seeds import seeded
from sentences import tells

FEW = ModeSettings(climbs=40)


def compared(posterior: Posterior, eta: np.ndarray) -> Comparison:
    rows = posterior.constrain_rows(eta)
    chains = made_chains(posterior, eta, rows=rows)
    return compare(posterior, chains=chains, settings=FEW, seed=seeded(1), quiet=True)


def value(checks: Checks, method: str, scope: str, mode: int = 0) -> Check:
    row = checks.row(method, scope, mode)
    assert row is not None
    return row


def assert_within(row: Check | Estimate, truth: float, k: float = 3.0) -> None:
    found = row.estimate if isinstance(row, Check) else row
    assert 0 < found.sd < 0.3
    assert abs(found.value - truth) < k * found.sd


@pytest.fixture(scope="module")
def peaks(tools: Any) -> tuple[Comparison, float]:
    """Two peaks far apart, the one with 19/20 of the mass visited by two chains of forty."""
    posterior = two_peaks(20.0, 0.95).compile()
    rng = np.random.default_rng(seeded(1))
    right = np.arange(40) < 2
    spread = np.sqrt(100 / 101)
    centre = np.where(right, 10.0, -10.0) * 100 / 101
    eta = spread * rng.standard_normal((40, 100, 2))
    eta[..., 0] += centre[:, None]
    truth = stats.norm.logpdf([10.0, 0.0], 0, np.sqrt(101)).sum()
    return compared(posterior, eta), float(truth)


# ---------------------------------------------------------------- closed forms


@needs_tools
@pytest.mark.parametrize("kind", ["normal", "bernoulli"])
def test_conjugate_posteriors(kind: str) -> None:
    """All methods from exact draws; without nested runs they check one another."""
    posterior = closed_form(kind)
    rng = np.random.default_rng(seeded(2))
    if kind == "normal":
        n = len(Y_NORMAL)
        truth = stats.multivariate_normal(np.zeros(n), np.eye(n) + 4.0).logpdf(Y_NORMAL)
        precision = n + 1 / 4
        eta = Y_NORMAL.sum() / precision + rng.standard_normal((4, 400, 1)) / np.sqrt(precision)
    else:
        hits = int(Y_BERNOULLI.sum())
        misses = len(Y_BERNOULLI) - hits
        truth = special.betaln(1 + hits, 1 + misses)
        eta = special.logit(rng.beta(1 + hits, 1 + misses, (4, 400, 1)))
    checks = check(compared(posterior, eta))
    for method in (BRIDGE, IMPORTANCE):
        for scope, mode in ((MODE, 1), (SUM, 0)):
            assert_within(value(checks, method, scope, mode), truth)
    assert_within(value(checks, POOLED, WHOLE), truth)
    off = abs(value(checks, LAPLACE, MODE, 1).log_z - truth)
    assert off < 1e-5 if kind == "normal" else 0.005 < off < 0.1
    assert checks.agree
    assert value(checks, NESTED, WHOLE).remark == "there are no nested runs"
    assert "agree within errors: the only difference is" in checks_verdict(checks)
    assert "all draws at once" not in checks_verdict(checks)


def test_two_peaks_by_mode_and_not(peaks: tuple[Comparison, float]) -> None:
    """By mode both are exact; all draws at once are far off, for chains chose the small peak."""
    comparison, truth = peaks
    assert len(comparison.summaries) == 2
    by_mode = bridge_by_mode(comparison, seed=seeded(3))
    for mode, found in by_mode.items():
        members = comparison.chain_modes == mode
        assert comparison.chains is not None
        share = 0.95 if comparison.chains.eta[members][0, 0] > 0 else 0.05
        assert_within(found.estimate, truth + math.log(share))
    total = log_sum({mode: found.estimate for mode, found in by_mode.items()})
    assert_within(total, truth)
    pooled = bridge_whole(comparison, seed=seeded(3))
    assert pooled.converged
    assert truth - pooled.log_z > 2.0
    assert truth - pooled.log_z > 20 * pooled.log_z_sd
    checks = check(comparison)
    assert checks.agree
    assert re.search(r"Bridge sampling\b[^.]*\ball draws\b.* -\d", checks_verdict(checks))


@needs_tools
def test_nested_runs_alone() -> None:
    """Without chains there is no bridge sampling, and that is said."""
    posterior = closed_form()
    nested = run_nested(posterior, polychord=QUICK_POLYCHORD, seed=seeded(1), quiet=True)
    comparison = compare(posterior, nested=nested, settings=FEW, seed=seeded(1), quiet=True)
    checks = check(comparison)
    assert value(checks, BRIDGE, WHOLE).remark == "there are no chains"
    assert checks.row(POOLED, WHOLE) is None
    assert [(one.first, one.second) for one in checks.agreements] == [(NESTED, IMPORTANCE)]
    assert checks.agree
    assert "bridge sampling: there are no chains" in checks_text("mean", comparison, checks)
    for function in (bridge_by_mode, bridge_whole):
        with pytest.raises(InputError, match="has no chains, which bridge sampling needs"):
            function(comparison)


def test_a_wrong_evidence_is_told(peaks: tuple[Comparison, float]) -> None:
    """A density that lacks a constant in one of two methods: the verdict says which and by what."""
    comparison, _ = peaks
    checks = check(comparison)
    wrong = tuple(
        replace(one, difference=one.difference + 1.0) if one.modes == (1,) else one
        for one in checks.agreements
    )
    told = replace(checks, agreements=wrong)
    assert not told.agree
    assert f"{IMPORTANCE} differs from {BRIDGE} by " in checks_verdict(told)
    assert re.search(r"\d nats, mode 1\)", checks_verdict(told))
    assert tells(checks_verdict(told), "2 of 3", "within 3.3 errors")
    nothing = replace(checks, agreements=())
    assert nothing.agree is None
    assert "nothing is checked" in checks_verdict(nothing)


def test_bridge_sampling_says_where_it_is_unreliable(peaks: tuple[Comparison, float]) -> None:
    """The figures are in the row, the file and the text; the verdict says why, in its own words."""
    comparison, _ = peaks
    checks = check(comparison)
    rows = [value(checks, BRIDGE, MODE, mode.id) for mode in comparison.summaries]
    assert all(row.reliable and 0.3 < row.reshuffled_sd / row.log_z_sd < 2.5 for row in rows)
    assert not any(row.pareto_k > TRUSTED_K for row in rows)
    total = value(checks, BRIDGE, SUM)
    assert total.reshuffled_sd == pytest.approx(
        log_sum({row.mode: Estimate(row.log_z, row.reshuffled_sd) for row in rows}).sd
    )
    assert "Bridge sampling is unreliable" not in checks_verdict(checks)
    kept = Checks.from_dict(json.loads(json.dumps(checks.as_dict(), allow_nan=False)))
    np.testing.assert_equal(asdict(value(kept, BRIDGE, MODE, 1)), asdict(rows[0]))

    def doubted(**changes: float) -> Checks:
        first = value(checks, BRIDGE, MODE, 1)
        worse = replace(first, reliable=False, **changes)
        return replace(checks, rows=tuple(worse if row is first else row for row in checks.rows))

    few = doubted(pareto_k=1.234)
    assert tells(checks_verdict(few), "unreliable in mode 1", "Pareto k 1.23", "above 0.7")
    assert tells(checks_verdict(few), "compared with no other method")
    assert re.search(r"\b1 .*1\.23  unreliable", checks_text("peaks", comparison, few))
    apart = doubted(reshuffled_sd=3.14 * value(checks, BRIDGE, MODE, 1).log_z_sd)
    assert tells(checks_verdict(apart), "mode 1", "reshuffled blocks", "3.1 times")
    assert "unreliable" not in checks_text("peaks", comparison, checks)
    short = doubted(pareto_k=math.nan)
    short = replace(
        short,
        rows=tuple(
            replace(row, remark="9 draws are too few for a Pareto k: unreliable")
            if not row.reliable
            else row
            for row in short.rows
        ),
    )
    assert "mode 1: 9 draws are too few for a Pareto k." in checks_verdict(short)


@needs_tools
def test_an_estimate_that_a_few_draws_decide_is_compared_with_nothing() -> None:
    """Short chains: the terms of 20 draws have no tail to which a Pareto k could be fitted."""
    posterior = closed_form("normal")
    precision = len(Y_NORMAL) + 1 / 4
    rng = np.random.default_rng(seeded(7))
    eta = Y_NORMAL.sum() / precision + rng.standard_normal((4, 10, 1)) / np.sqrt(precision)
    checks = check(compared(posterior, eta))
    row = value(checks, BRIDGE, MODE, 1)
    assert (row.reliable, row.remark) == (
        False,
        "20 draws are too few for a Pareto k: unreliable",
    )
    assert math.isfinite(row.log_z)
    assert tells(value(checks, BRIDGE, SUM).remark, "mode 1", "unreliable")
    assert checks.agree is None
    assert tells(checks_verdict(checks), "nothing is checked")
    assert tells(checks_verdict(checks), "unreliable in mode 1", "20 draws")


def test_checks_of_an_earlier_version_are_read() -> None:
    """Rows of 0.1.0 have no diagnostics: what is not known is not doubted."""
    row = {"method": BRIDGE, "scope": MODE, "mode": 1, "log_z": -1.0, "log_z_sd": 0.1, "remark": ""}
    kept = Checks.from_dict({"rows": [row], "agreements": [], "limit": 3.0, "copies": ""})
    (one,) = kept.rows
    assert one.reliable
    assert math.isnan(one.pareto_k)
    assert math.isnan(one.reshuffled_sd)


def test_the_limit_grows_with_the_number_of_comparisons() -> None:
    """Family-wise three sigma: checked by counting among independent normals."""
    assert Agreement("a", "b", (1,), 0.6, 0.2).z == pytest.approx(3)
    scores = np.abs(np.random.default_rng(seeded(4)).standard_normal((20_000, 9))).max(axis=1)
    beyond = (scores > 3.6153).mean()
    assert beyond == pytest.approx(0.0027, abs=3 * math.sqrt(0.0027 / 20_000))


# ---------------------------------------------------------------- XOR


def test_xor_with_the_constrained_prior(xor: dict[str, Posterior], shared: Any) -> None:
    """Short runs of both engines: every method agrees with every other.

    The warm-up is long enough for chains to leave the tiny modes that they begin in. Of those,
    nested runs of so few live points hold a handful of draws, whose share comes out too high.
    """
    posterior = xor["constrained"]
    settings = NutsSettings(warmup=1000, draws=500)
    with shared("xor-checks") as out:
        chains = run_chains(
            posterior,
            chains=32,
            nuts=settings,
            seed=seeded(1),
            out=out,
            resume=True,
            quiet=True,
        )
        nested = run_nested(
            posterior, polychord=QUICK_POLYCHORD, seed=seeded(1), out=out, resume=True, quiet=True
        )
    comparison = compare(
        posterior,
        chains=chains,
        nested=nested,
        settings=ModeSettings(climbs=150),
        seed=seeded(1),
        quiet=True,
    )
    checks = check(comparison)
    pairs = {(one.first, one.second) for one in checks.agreements}
    assert pairs == {(NESTED, BRIDGE), (NESTED, IMPORTANCE), (BRIDGE, IMPORTANCE)}
    assert checks.agree, checks_verdict(checks)
    assert tells(checks.copies, "'pd-skew'", "some copies")


def test_what_is_written_of_the_full_prior(xor_comparison: Comparison, tmp_path: Any) -> None:
    checks = check(xor_comparison)
    assert tells(checks.copies, "exchanges", "exact")
    assert "flips" not in checks.copies
    text = checks_text("full", xor_comparison, checks)
    assert f"{POOLED}: " in text
    assert "copies" in text
    assert all(len(line) <= 90 for line in text.splitlines())
    named = {"full": checks}
    entry = summarise({"full": xor_comparison}, command="x", seed=1, checks=named)
    assert "verdict" not in entry["posteriors"]["full"]["checks"]
    add_verdicts(entry, {}, named)
    kept = json.loads(json.dumps(entry["posteriors"]["full"]["checks"], allow_nan=False))
    assert kept["verdict"] == checks_verdict(checks)
    assert {row["method"] for row in kept["rows"]} == {
        NESTED,
        BRIDGE,
        POOLED,
        LAPLACE,
        IMPORTANCE,
    }
    write_report(
        tmp_path / "report.html", {"full": xor_comparison}, title="XOR", checks={"full": checks}
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Independent checks of the evidence" in page
    assert "all draws at once" in page
    assert "Meng, Wong (1996)" in page
    assert "Micaletto, Vehtari (2025)" in page
    assert "errors of bridge sampling" in page
    plain = write_report(tmp_path / "plain.html", {"full": xor_comparison}, title="XOR")
    assert plain is None
    assert "Independent checks" not in (tmp_path / "plain.html").read_text(encoding="utf-8")
    figure = plot_checks(xor_comparison, checks)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[-2:] == ["sum of modes", "with copies"]


# ---------------------------------------------------------------- basins


def test_basins_follow_the_nearest_known_draw(peaks: tuple[Comparison, float]) -> None:
    """Second halves are not known, and are given the mode that they have."""
    comparison, _ = peaks
    basins = basins_of(comparison)
    chains = comparison.chains
    assert chains is not None
    np.testing.assert_array_equal(
        basins(chains.eta[:, 50:].reshape(-1, 2)), comparison.chain_modes[:, 50:].ravel()
    )
    assert len(basins.points) == 40 * 50 + 2
    np.testing.assert_allclose(basins.scale, np.sqrt(100 / 101), rtol=0.1)
    ids = basins(np.array([[-9.0, 40.0], [9.0, 0.0]]))
    assert ids[0] != ids[1]
    assert basins.within(int(ids[1]))(np.array([[8.0, 1.0], [-8.0, 1.0]])).tolist() == [True, False]


# ---------------------------------------------------------------- copies


def regression(activation: str, hidden: int, prior: str, constraint: str = "none") -> Posterior:
    """Return a network 1-hidden-1 on a curve that takes all of its units."""
    rng = np.random.default_rng(seeded(5))
    x = np.linspace(-3, 3, 60)
    y = np.tanh(3 * (x + 1.5)) + 0.5 * np.tanh(2 * (x - 1.5)) + 0.05 * rng.standard_normal(60)
    network = Network(
        1, (hidden,), activation=activation, likelihood="normal", prior=prior, constraint=constraint
    )
    return Posterior.from_network(network, x[:, None], y)


def top_of(posterior: Posterior) -> np.ndarray:
    """Return a maximum of the density, the highest of a few climbs."""
    rng = np.random.default_rng(seeded(6))
    starts = rng.normal(size=(6, posterior.dims))
    found = [
        laplace(density_of(posterior), posterior.gradient, start, draws=20) for start in starts
    ]
    proper = [one for one in found if math.isfinite(one.log_z)]
    return max(proper, key=lambda one: one.height).maximum


def only(*tops: np.ndarray) -> Basins:
    points = np.array(tops)
    return Basins(points, np.arange(1, len(tops) + 1), np.ones(points.shape[1]))


@needs_tools
def test_copies_of_a_tanh_network() -> None:
    """H! 2^H of them; two known ones leave that many less two, whichever two they are."""
    posterior = regression("tanh", 2, "normal:2")
    top = top_of(posterior)
    assert posterior.network is not None
    found = find_copies(posterior, {1: top}, only(top))
    assert found.families == (Family((1,), 8),)
    assert tells(found.remark, "exchanges and flips", "exact")
    orbit = copies_room._orbit(posterior, posterior.network, top, flips=True)
    heights = [posterior.log_density(point) for point in orbit]
    np.testing.assert_allclose(heights, heights[0])
    np.testing.assert_allclose(orbit[0], top)
    assert len(np.unique(orbit.round(6), axis=0)) == 8
    for other in orbit[1:]:
        both = find_copies(posterior, {1: top, 2: other}, only(top, other))
        assert both.families == (Family((1, 2), 8),)


@needs_tools
def test_a_mode_that_is_its_own_copy_counts_once() -> None:
    """Two equal units: exchanging them leaves the mode where it is."""
    posterior = regression("sigmoid", 2, "normal:2")
    names = posterior.unconstrained_names
    alike = {"W_raw": 1.3, "b": -0.4, "V": 0.7, "c": 0.1, "sigma": -1.0}
    eta = np.array([alike[name.split(".")[0]] for name in names])
    assert find_copies(posterior, {1: eta}, only(eta)).families == (Family((1,), 1),)


@needs_tools
@pytest.mark.parametrize(
    ("activation", "constraint", "families", "said"),
    [
        ("sigmoid", "none", (Family((1,), 2),), "copies by exchanges of units are exact"),
        ("sigmoid", "ordered", (), "constraint 'ordered' leaves one copy of each function"),
        ("tanh", "ordered", (), "constraint 'ordered' keeps some copies and drops or cuts others"),
    ],
)
def test_only_exact_symmetries_count(
    activation: str, constraint: str, families: tuple[Family, ...], said: str
) -> None:
    """A sigmoid's flip moves a bias, which the prior notices; a constraint leaves less."""
    posterior = regression(activation, 2, "uniform:5", constraint)
    if not families:
        assert find_copies(posterior, {}, only(np.zeros(1))) == Copies((), said)
        return
    top = top_of(posterior)
    assert find_copies(posterior, {1: top}, only(top)) == Copies(families, said)


def test_posteriors_without_a_symmetry_say_so() -> None:
    assert "has no network" in find_copies(closed_form(), {}, only(np.zeros(1))).remark
    one = regression("sigmoid", 1, "normal:1")
    assert find_copies(one, {}, only(np.zeros(1))).remark == "one hidden unit: no exchange of units"
    wide = regression("tanh", 6, "normal:1")
    said = find_copies(wide, {}, only(np.zeros(1))).remark
    assert tells(said, "46080 copies", "exchanges and flips", "too many")


def test_completing_a_sum() -> None:
    """Eight copies of which two are known, and one alone: 8 times the mean of the two, and 1."""
    copies = Copies((Family((1, 3), 8), Family((2,), 1)), "")
    known = {1: Estimate(math.log(2), 0.1), 2: Estimate(math.log(5), 0.2), 3: Estimate(math.log(4))}
    known[3] = Estimate(math.log(4), 0.1)
    full = completed(known, copies)
    assert full is not None
    assert full.value == pytest.approx(math.log(8 * 3 + 5))
    assert full.sd == pytest.approx(math.hypot(4 * math.hypot(0.2, 0.4), 1.0) / 29)
    assert missing_copies({1, 2, 3}, copies) == 6
    assert missing_copies({1}, copies) == 7
    assert completed({2: known[2]}, copies) is None
    assert completed({2: known[2], 1: Estimate()}, copies) is None
