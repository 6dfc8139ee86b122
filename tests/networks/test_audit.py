"""The audit: counts against full enumeration, exact shares, and what it says about them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.networks.audit import Audit, audit, evidence_shift
from manymodes.networks.audit.count import count_copies, list_copies
from manymodes.networks.constraints import admits
from manymodes.networks.network import Network
from manymodes.networks.symmetry import group_order
from manymodes.report.audit_words import audit_text, side_by_side
from pages import page
from seeds import seeded
from sentences import tells

SIGMAS = 4
SHAPES = [
    (2, (2,), 1),
    (1, (1, 1), 1),
    (3, (3,), 2),
    (2, (4,), 1),
    (3, (2,), 1),
    (2, (3, 2), 1),
    (2, (2, 2), 3),
    (1, (2, 3), 1),
]
PRIORS = ["normal:1", "uniform:1", "ard"]
CONSTRAINTS = ["none", "ordered", "ordered-signed", "unit-norm", "pd-skew", "svd"]


def combinations() -> list[Network]:
    """Return every small network and constraint that go together."""
    found = []
    for inputs, hidden, outputs in SHAPES:
        for activation in ("tanh", "sigmoid", "relu"):
            for prior in PRIORS:
                for constraint in CONSTRAINTS:
                    likelihood = "bernoulli" if outputs == 1 else "categorical"
                    arguments = (inputs, hidden, outputs, activation, likelihood, prior)
                    try:
                        found.append(Network(*arguments, constraint))
                    except InputError:
                        continue
    return found


def name(network: Network) -> str:
    widths = "-".join(map(str, (network.inputs, *network.hidden, network.outputs)))
    return f"{network.constraint}-{network.activation}-{network.prior}-{widths}"


def within(value: float, exact: float, sd: float) -> bool:
    return abs(value - exact) < SIGMAS * sd


# -------------------------------------------------------------------------- counting


@pytest.mark.parametrize("network", combinations(), ids=name)
def test_counts_are_those_of_full_enumeration(network: Network) -> None:
    rng = np.random.default_rng(seeded(1))
    weights = network.sample_prior(rng, 40)
    count, listed = count_copies(network, weights, rng), list_copies(network, weights)
    assert count.exact
    np.testing.assert_array_equal(count.base * count.admitted, listed.admitted)
    np.testing.assert_array_equal(count.base * count.supported, listed.supported)


def test_all_constraints_are_among_the_combinations() -> None:
    seen = {(network.constraint, network.activation) for network in combinations()}
    assert len(seen) == 3 * 4 + 2 + 1  # none, ordered, pd-skew, svd; ordered-signed; unit-norm


@pytest.mark.parametrize(
    ("constraint", "activation", "inputs", "hidden", "prior"),
    [
        ("pd-skew", "tanh", 2, (2,), "uniform:5"),
        ("pd-skew", "sigmoid", 2, (2,), "uniform:5"),
        ("pd-skew", "tanh", 3, (3,), "normal:2"),
        ("pd-skew", "relu", 3, (3,), "uniform:1"),
        ("pd-skew", "tanh", 2, (2, 2), "normal:1"),
        ("pd-skew:lu", "tanh", 3, (3,), "laplace:1"),
        ("svd", "relu", 3, (4,), "normal:1"),
        ("svd", "relu", 2, (3, 3), "student:3,1"),
        ("ordered", "sigmoid", 2, (3,), "uniform:1"),
    ],
)
def test_mean_number_of_copies_is_the_order_times_the_mass_of_the_region(
    constraint: str, activation: str, inputs: int, hidden: tuple[int, ...], prior: str
) -> None:
    """Within 4 combined standard errors; so is the region's share of the same draws."""
    network = Network(inputs, hidden, activation=activation, prior=prior, constraint=constraint)
    found = audit(network, orbits=20_000)
    members, region = found.members, found.region
    assert members.exact is not None
    assert region.exact is not None
    assert members.exact == pytest.approx(group_order(network) * region.exact)
    assert within(
        members.value, members.exact, max(1e-12, math.hypot(members.sd, members.exact_sd))
    )
    assert within(region.value, region.exact, math.hypot(region.sd, region.exact_sd))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("hidden", [(8,), (8, 8)])
def test_eight_units_are_no_burden(activation: str, hidden: tuple[int, ...]) -> None:
    """Every constraint is counted exactly, in groups of up to 1e14 members."""
    prior = "uniform:1" if activation == "sigmoid" else "normal:1"
    for constraint in CONSTRAINTS:
        try:
            network = Network(8, hidden, activation=activation, prior=prior, constraint=constraint)
        except InputError:
            continue
        found = audit(network, orbits=60)
        assert found.method in ("count", "argument")
        assert found.none.value + found.one.value + found.several.value == pytest.approx(1)
        assert found.group_order == (
            math.factorial(8) * (1 if activation == "relu" else 256)
        ) ** len(hidden)


def test_sampled_members_estimate_what_cannot_be_counted() -> None:
    """Wider than what is listed: 12!/2 orders are admitted in the mean."""
    network = Network(1, (12,), activation="relu", constraint="svd")
    found = audit(network, orbits=400)
    assert found.method == "sample"
    assert math.isnan(found.none.value)
    assert found.members.exact == pytest.approx(math.factorial(12) / 2)
    assert within(found.members.value, found.members.exact, found.members.sd)
    assert not found.fundamental_domain
    assert found.as_dict()["orbits"] == {"none": None, "one": None, "several": None}
    assert "not counted" in audit_text(found)


# -------------------------------------------------------------------------- exact shares


@pytest.mark.parametrize(
    ("activation", "prior", "lost"),
    [
        ("tanh", "uniform:5", 13 / 36),
        ("tanh", "normal:1", math.sqrt(2) - 1),
        ("sigmoid", "normal:3", math.sqrt(2) - 1),
        ("relu", "uniform:5", 1 - 2 * 23 / 288),
        # 23/36 of the orbits have a copy in the region, 19/24 of those in the box.
        ("sigmoid", "uniform:5", 1 - 23 / 36 * 19 / 24),
    ],
)
def test_pd_skew_at_two_units(activation: str, prior: str, lost: float) -> None:
    network = Network(2, (2,), activation=activation, prior=prior, constraint="pd-skew")
    found = audit(network, orbits=20_000)
    region = 23 / 288 if prior.startswith("uniform") else (2 - math.sqrt(2)) / 8
    assert found.region.exact == pytest.approx(region)
    assert within(found.region.value, region, found.region.sd)
    assert found.none.exact == pytest.approx(lost)
    assert within(found.none.value, lost, found.none.sd)
    assert 0.002 < found.none.sd < 0.004
    assert found.several.value == 0
    assert not found.fundamental_domain
    assert found.certain
    assert found.evidence.rejection == pytest.approx(math.log(region))
    if activation == "tanh":
        assert found.evidence.largest_rise == pytest.approx(-math.log(8 * region))


def test_pd_skew_at_two_layers_of_two_units() -> None:
    network = Network(2, (2, 2), prior="uniform:1", constraint="pd-skew")
    found = audit(network, orbits=20_000)
    assert found.one.exact == pytest.approx((23 / 36) ** 2)
    assert within(found.one.value, (23 / 36) ** 2, found.one.sd)


@pytest.mark.parametrize("hidden", [(2,), (3,), (3, 2)])
@pytest.mark.parametrize("prior", ["normal:1", "uniform:5", "ard"])
def test_ordered_and_signed_tanh_holds_exactly_one_copy(
    hidden: tuple[int, ...], prior: str
) -> None:
    network = Network(2, hidden, activation="tanh", prior=prior, constraint="ordered-signed")
    found = audit(network, orbits=500)
    assert found.one.value == found.one.exact == 1
    assert found.histogram == ((1, 1.0),)
    assert found.enumerated >= 100
    assert found.fundamental_domain
    assert found.certain
    assert found.evidence.same


@pytest.mark.parametrize(
    ("constraint", "activation", "hidden", "copies"),
    [
        ("none", "tanh", (3,), 48),
        ("ordered", "tanh", (3,), 8),
        ("ordered", "sigmoid", (2, 2), 16),
        ("ordered", "relu", (3,), 1),
        ("unit-norm", "relu", (3, 2), 1),
        ("svd", "tanh", (2,), 2),
        ("svd", "tanh", (4,), math.factorial(4) * 4),
        ("svd", "sigmoid", (4, 2), math.factorial(4) * 4 * 2),
        ("none", "relu", (3,), 6),
    ],
)
def test_constraints_that_hold_the_same_number_of_every_function(
    constraint: str, activation: str, hidden: tuple[int, ...], copies: int
) -> None:
    found = audit(Network(2, hidden, activation=activation, constraint=constraint), orbits=200)
    assert found.histogram == ((copies, 1.0),)
    assert found.copies.value == found.copies.exact == copies
    assert found.none.value == found.none.exact == 0
    assert found.continuum == (activation == "relu" and constraint != "unit-norm")
    assert found.fundamental_domain == (copies == 1 and not found.continuum)
    assert found.enumerated > 0 or found.group_order > 1000


@pytest.mark.parametrize("units", [1, 2])
def test_a_box_loses_copies_of_sigmoid_units(units: int) -> None:
    """The one ordered and signed copy needs an output bias outside of the box: H/8 of functions."""
    network = Network(
        2, (units,), activation="sigmoid", prior="uniform:5", constraint="ordered-signed"
    )
    found = audit(network, orbits=20_000)
    assert found.none.exact == units / 8
    assert within(found.none.value, units / 8, found.none.sd)
    assert found.lost_to_support == found.lost_to_support.__class__(found.none.value, found.none.sd)
    assert found.members.value == 1
    assert not found.fundamental_domain
    assert not found.evidence.same
    unbounded = audit(Network(2, (units,), activation="sigmoid", constraint="ordered-signed"))
    assert unbounded.fundamental_domain
    assert not unbounded.evidence.same


def test_deep_sigmoid_networks_keep_one_signed_copy_at_least_and_sometimes_more() -> None:
    network = Network(2, (3, 3), activation="sigmoid", constraint="ordered-signed")
    found = audit(network, orbits=5_000)
    assert found.none.value == found.none.exact == 0
    assert found.several.value > 0.1
    assert found.one.value > 0.1
    assert not found.fundamental_domain


def test_no_exception_is_not_called_a_proof() -> None:
    """Few orbits can all have one copy where others have several."""
    network = Network(2, (2, 2), activation="sigmoid", constraint="ordered-signed")
    lucky = next(
        found
        for found in (audit(network, orbits=3, seed=seeded(seed)) for seed in range(50))
        if found.one.value == 1
    )
    assert lucky.fundamental_domain
    assert not lucky.certain
    assert lucky.at_most == 1
    assert lucky.as_dict()["share_of_exceptions_at_most"] == 1
    assert tells(audit_text(lucky), "no proof", "at most 100 %", "functions")
    assert not audit(network, orbits=300).fundamental_domain


def test_errors_are_not_zero_where_nothing_was_seen() -> None:
    network = Network(6, (6,), constraint="pd-skew")
    found = audit(network, orbits=100)
    assert found.one.value == 0
    assert found.one.sd > 0.005
    assert found.members.exact is not None
    assert found.members.exact < 1e-4
    assert "at most" in audit_text(found)


def test_the_seed_decides_and_its_absence_does_not_matter() -> None:
    network = Network(2, (2,), constraint="pd-skew")
    assert audit(network, orbits=300, seed=seeded(2)) == audit(network, orbits=300, seed=seeded(2))
    assert (
        audit(network, orbits=300, seed=seeded(3)).none
        != audit(network, orbits=300, seed=seeded(2)).none
    )


# -------------------------------------------------------------------------- the prior


def moves(found: Audit, kind: str) -> list[Any]:
    return [move for move in found.invariance if move.kind == kind]


@pytest.mark.parametrize("prior", ["normal:1", "uniform:5", "laplace:2", "student:3,1", "ard:2"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_invariance_of_the_prior(activation: str, prior: str) -> None:
    found = audit(Network(2, (3, 2), activation=activation, prior=prior), orbits=500)
    assert len(moves(found, "swap")) == 3
    for move in moves(found, "swap") + (moves(found, "flip") if activation == "tanh" else []):
        assert move.invariant
        assert move.change < 1e-9
        assert move.outside == 0
    other = moves(found, "flip") + moves(found, "rescale")
    assert len(other) == 5
    if activation != "tanh":
        for move in other:
            assert not move.invariant
            assert move.change > 0.1 or move.outside > 0.1
    assert found.as_dict()["invariance"]["swap units 1 and 2 of layer 1"] is True


def test_a_flip_leaves_the_box_one_time_in_four() -> None:
    """P(|c + v| > 1) = 1/4 for c and v uniform on (-1, 1)."""
    found = audit(Network(2, (2,), activation="sigmoid", prior="uniform:3"), orbits=2_000)
    for move in moves(found, "flip"):
        assert within(move.outside, 0.25, move.outside_sd)


# -------------------------------------------------------------------------- evidence


def weighted(network: Network, n: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return draws of the prior and their likelihoods on a few points."""
    rng = np.random.default_rng(seeded(7))
    X = np.array([[0.0, 0.0], [2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    y = np.array([1, 0, 0, 1, 1])
    draws = network.sample_prior(rng, n)
    return draws, np.exp(network.log_lik(draws, X, y).sum(axis=-1))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_predicted_shift_of_the_evidence(activation: str) -> None:
    """Z on the region over Z, both by importance sampling of other draws than the prediction's."""
    network = Network(2, (2,), activation=activation, prior="normal:3", constraint="pd-skew")
    draws, likelihood = weighted(network, 200_000)
    half = slice(100_000, None)
    predicted = evidence_shift(
        network, {key: value[:100_000] for key, value in draws.items()}, likelihood[:100_000]
    )
    inside = admits(network, {key: value[half] for key, value in draws.items()})
    part = likelihood[half] * inside / math.exp(network.region.log_mass)
    ratio = part.mean() / likelihood[half].mean()
    scatter = (part - ratio * likelihood[half]).std() / likelihood[half].mean()
    error = math.hypot(predicted.sd, scatter / ratio / math.sqrt(100_000))
    assert error < 0.12
    assert within(predicted.value, math.log(ratio), error)
    assert activation != "tanh" or predicted.value < -4 * predicted.sd


def test_equal_numbers_of_copies_shift_nothing_and_rejection_shifts_by_the_mass() -> None:
    for constraint in ("none", "ordered", "ordered-signed", "svd"):
        network = Network(2, (3,), prior="normal:1", constraint=constraint)
        draws, likelihood = weighted(network, 50)
        shift = evidence_shift(network, draws, likelihood)
        assert shift.value == pytest.approx(0, abs=1e-12)
        assert shift.sd == pytest.approx(0, abs=1e-12)
    shifts = [
        evidence_shift(Network(2, (2,), constraint=name), weighted(Network(2, (2,)), 500)[0]).value
        for name in ("pd-skew", "pd-skew:reject")
    ]
    assert shifts[1] - shifts[0] == pytest.approx(math.log((2 - math.sqrt(2)) / 8))


def test_what_cannot_be_predicted_is_refused() -> None:
    network = Network(2, (2,), constraint="pd-skew:lu")
    draws = network.sample_prior(np.random.default_rng(1), 5)
    with pytest.raises(InputError, match="pd-skew:lu"):
        evidence_shift(network, draws)
    with pytest.raises(InputError, match="weights"):
        evidence_shift(Network(2, (2,)), draws, np.zeros(5))


# -------------------------------------------------------------------------- what is said


def test_words_for_the_study_of_xor() -> None:
    network = Network(2, (2,), activation="sigmoid", prior="uniform:5", constraint="pd-skew")
    said = " ".join(audit_text(audit(network, orbits=1_000)).split())
    assert "8 sets of weights compute the same function" in said
    assert "Fundamental domain: no" in said
    assert "at most 63.889 % of functions have one" in said
    assert "Lost: 49.42% of functions" in said
    assert "lowers log_z by 2.5275 nats" in said
    assert "flip of a unit, layer 1 no" in said


@pytest.mark.slow
def test_every_combination_has_words_and_json() -> None:
    small = [network for network in combinations() if group_order(network) <= 50]
    assert len(small) > 100
    for network in small:
        found = audit(network, orbits=20)
        assert all(len(line) <= 100 for line in audit_text(found).splitlines())
        assert "nan" not in audit_text(found)
        json.dumps(found.as_dict(), allow_nan=False)


def test_side_by_side() -> None:
    audits = [audit(Network(2, (2,), constraint=c), orbits=200) for c in ("none", "ordered-signed")]
    table = side_by_side(audits, {"unit-norm": "needs relu"})
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line}
    assert rows["none"] == ["100.00%", "0%", "0%", "100.00%", "8", "no", "kept"]
    assert rows["ordered-signed"] == ["12.50%", "0%", "100.00%", "0%", "1", "yes", "kept"]
    assert "unit-norm: refused: needs relu" in table


COMMAND = ["audit", "--inputs", "2", "--hidden", "2", "--orbits", "300"]


def changed(options: list[str]) -> list[str]:
    """Return the command with further options; those that it has already are replaced."""
    given = dict(zip(COMMAND[1::2], COMMAND[2::2], strict=True))
    given |= dict(zip(options[::2], options[1::2], strict=True))
    return [COMMAND[0], *(word for option in given.items() for word in option)]


def test_json_alone_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "audit.png"
    options = ["--activation", "sigmoid", "--constraint", "pd-skew", "--prior", "uniform:5"]
    assert main([*COMMAND, *options, "--json", "--figure", str(figure)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["group_order"] == 8
    assert isinstance(found["group_order"], int)
    assert set(found["orbits"]) == {"none", "one", "several"}
    assert sum(found["orbits"].values()) == pytest.approx(1)
    assert all(0 < sd < 0.05 for sd in found["orbits_sd"].values())
    assert found["fundamental_domain"] is False
    assert found["invariance"]["flip unit 1 of layer 1"] is False
    assert found["region"]["exact"] == pytest.approx(23 / 288)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_text_and_table_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMAND, "--constraint", "ordered-signed"]) == 0
    assert "Exactly one copy of every function is kept" in capsys.readouterr().out
    figure = tmp_path / "all.svg"
    assert main([*COMMAND, "--figure", str(figure)]) == 0
    said = capsys.readouterr().out
    assert "ordered-signed" in said
    assert "unit-norm: refused" in said
    assert "<svg" in figure.read_text(encoding="utf-8")
    assert main([*COMMAND, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["constraints"]) == {"none", "ordered", "ordered-signed", "pd-skew", "svd"}
    assert set(found["refused"]) == {"unit-norm"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--constraint", "convex"], "'convex' is unknown"),
        (["--constraint", "unit-norm"], "units that can be rescaled"),
        (["--constraint", "pd-skew", "--hidden", "3"], "use hidden layers of 2 units"),
        (["--activation", "cosine"], "'cosine' is unknown"),
        (["--prior", "uniform:-1"], "positive number"),
        (["--orbits", "0"], "0 is not a whole number"),
        (["--orbits", "1"], "too few for an error"),
        (["--outputs", "3"], "use likelihood 'categorical'"),
        (["--figure", "nowhere/audit.png"], "--figure: 'nowhere/audit.png' cannot be written"),
        (["--figure", "audit.doc"], "--figure: 'audit.doc' cannot be written"),
    ],
)
def test_wrong_input_is_one_line(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(changed(options)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


# -------------------------------------------------------------------------- the page


SECTION = page("docs/constraints.md").split("\n## ")[0]


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    outside = re.sub(r"```.*?```", "", SECTION, flags=re.DOTALL).replace("\\\n", "")
    block = [line[4:] for line in outside.splitlines() if line.startswith("    ")]
    commands = [line.split() for line in block if line.startswith("manymodes ")]
    assert len(commands) == 2
    for command in commands:
        assert main(command[1:]) == 0
    said = capsys.readouterr().out.splitlines()
    shown = [line for line in block if not line.startswith("manymodes ")]
    assert len(shown) > 25
    assert [line for line in shown if line not in said] == []


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
    exec(code, {})
    assert f"prints `{capsys.readouterr().out.strip()}`" in SECTION
