"""Priors by group: how they are written, what they mean, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import manymodes as mm
from manymodes.errors import InputError
from manymodes.networks.group_priors import GroupPrior, ScalePrior, sets_noise
from manymodes.networks.network import Network
from manymodes.networks.symmetry import act, random_members
from seeds import seeded

FBM = "ih=0.05:0.5 bh=0.05:0.5 ho=x0.05:0.5 bo=100 noise=0.05:0.5"


def fixed(width: float) -> ScalePrior:
    return ScalePrior("fixed", width)


def gamma(width: float, alpha: float) -> ScalePrior:
    return ScalePrior("gamma", width, alpha)


def network(prior: str, **others: Any) -> Network:
    arguments = {"likelihood": "normal", "activation": "tanh", **others}
    return Network(4, arguments.pop("hidden", (9,)), prior=prior, **arguments)


def test_fbms_example_is_one_line() -> None:
    """Neal's simple regression: 8 units here are 9, so that the square root of x is 3."""
    prior = network(FBM).prior_parts
    assert list(prior.groups) == ["ih", "bh1", "ho", "bo"]
    assert prior.groups["ih"] == GroupPrior("normal", gamma(0.05, 0.5))
    assert prior.groups["ho"] == GroupPrior("normal", gamma(0.05 / 3, 0.5))
    assert prior.groups["bo"] == GroupPrior("normal", fixed(100.0))
    assert prior.noise == gamma(0.05, 0.5)
    assert network("fbm").prior_parts == prior


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", GroupPrior("normal", fixed(2.0))),
        ("x2", GroupPrior("normal", fixed(1.0))),
        ("0.5:3", GroupPrior("normal", gamma(0.5, 3.0))),
        ("0.5:3:4", GroupPrior("normal", gamma(0.5, 3.0), math.inf, gamma(1.0, 4.0))),
        ("0.5::4", GroupPrior("normal", fixed(0.5), math.inf, gamma(1.0, 4.0))),
        ("0.5:3:4:5", GroupPrior("student", gamma(0.5, 3.0), 5.0, gamma(1.0, 4.0))),
        ("normal:2", GroupPrior("normal", fixed(2.0))),
        ("normal:2/sqrt", GroupPrior("normal", fixed(1.0))),
        ("laplace:half-normal(3)", GroupPrior("laplace", ScalePrior("half-normal", 3.0))),
        ("student:4,half-cauchy(1)/sqrt", GroupPrior("student", ScalePrior("half-cauchy", 0.5), 4)),
        (
            "normal:half-cauchy(1)*half-cauchy",
            GroupPrior(
                "normal", ScalePrior("half-cauchy", 1), math.inf, ScalePrior("half-cauchy", 1)
            ),
        ),
        ("normal:1*gamma(3)", GroupPrior("normal", fixed(1.0), math.inf, gamma(1.0, 3.0))),
        ("uniform:5", GroupPrior("uniform", fixed(5.0))),
    ],
)
def test_a_prior_is_read(text: str, expected: GroupPrior) -> None:
    """Of the weights from four inputs."""
    assert network(f"ih={text}").prior_parts.groups["ih"] == expected


def test_a_text_says_whether_it_has_a_noise() -> None:
    assert [
        sets_noise(one) for one in (FBM, "fbm bo=1", "scaled", "scaled noise=1", "normal:1")
    ] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_a_bias_has_two_levels() -> None:
    """FBM's second number is of single biases, which have no sources."""
    assert network("bh=0.5:3:4").prior_parts.groups["bh1"] == GroupPrior(
        "student", gamma(0.5, 3.0), 4.0
    )


def test_what_is_left_out_has_the_prior_without_a_group() -> None:
    prior = network("laplace:2 hh=normal:3 hh3=normal:4", hidden=(5, 6, 7)).prior_parts
    found = {name: (one.family, one.scale.width) for name, one in prior.groups.items()}
    assert found["ih"] == ("laplace", 2.0) == found["bo"]
    assert (found["hh2"], found["hh3"]) == (("normal", 3.0), ("normal", 4.0))
    assert network("ih=normal:2").prior_parts.groups["ho"] == GroupPrior("normal", fixed(1.0))


@pytest.mark.parametrize(
    ("prior", "others", "words"),
    [
        ("iho=1", {}, "'iho' in 'iho=1' is no group"),
        ("hh2=1", {}, "no group of this network"),
        ("io=1", {}, "add skip connections"),
        ("ih=normal", {}, "'ih=normal' is not understood"),
        ("ih=normal:-1", {}, "not understood"),
        ("ih=normal:0", {}, "not positive"),
        ("ih=student:1", {}, "not understood"),
        ("ih=uniform:half-normal(1)", {}, "bound of a uniform prior is fixed"),
        ("bh=normal:1*half-cauchy", {}, "biases have one source"),
        ("ih=1 ih=2", {}, "second prior for ih"),
        ("ih=1 normal:1 normal:2", {}, "second prior without a group"),
        ("ih=1 noise=normal:1", {}, "'noise=normal:1' is not understood"),
        ("ih=1 noise=1", {"likelihood": "poisson"}, "has no noise"),
        ("ih=1 noise=1", {"sigma": 1.0}, "known one"),
        ("ard", {"skip": True}, "ih=normal:1*half-cauchy"),
        ("ih=1", {"constraint": "svd"}, "use constraint none, ordered, ordered-signed"),
        ("ih=1", {"active": "uniform"}, "leave one out"),
        ("normal:1", {"skip": True, "constraint": "unit-norm", "activation": "relu"}, "(skip)"),
        ("fbm", {"likelihood": "heteroscedastic"}, "give bo a smaller one"),
        ("fbm", {"sigma_scale": 2.0}, "two priors of it; leave one out"),
        ("ih=1", {"centred": True}, "samples none; leave centred out"),
        ("normal:1", {"centred": False}, "samples none; leave centred out"),
        ("normal:1", {"sigma": -1.0}, "not a positive finite number"),
        ("normal:1", {"sigma": 1.0, "likelihood": "bernoulli"}, "no noise of its own"),
        (
            "bh1=uniform:1 bh2=normal:1",
            {"hidden": (2, 2), "constraint": "ordered"},
            "give bh one family",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(prior: str, others: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        network(prior, **others)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scale", [ScalePrior("half-normal", 0.7), ScalePrior("half-cauchy", 2.0), gamma(0.3, 3.0)]
)
def test_scales_are_drawn_from_their_density(scale: ScalePrior) -> None:
    """The density integrates to one, and draws have it."""
    grid = np.linspace(-12, 14, 20_001)
    density = np.exp(scale.log_density(np.exp(grid)) + grid)
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-4)
    cdf = np.cumsum(density) * (grid[1] - grid[0])
    draws = np.log(scale.sample((4000,), np.random.default_rng(seeded(1))))
    assert stats.kstest(draws, lambda x: np.interp(x, grid, cdf)).pvalue > 1e-3


def test_fbms_precision_has_its_mean() -> None:
    """Its mean is one over the squared width."""
    s = gamma(0.5, 6.0).sample((100_000,), np.random.default_rng(seeded(2)))
    assert (s**-2.0).mean() == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("centred", [True, False])
def test_parameters_and_weights_belong_together(centred: bool) -> None:
    """A raw weight is a weight over its scale; the weight itself where it is centred."""
    made = network(
        "ih=normal:half-normal(1)*half-cauchy ho=0.5:2:3 bo=normal:3", skip=True, hidden=(3, 2)
    )
    draws = made.sample_prior(np.random.default_rng(seeded(3)), 7)
    raw = made.program_values(draws, centred=centred)
    scale = draws["group_scale"][:, :1] * draws["source_scale"][:, :4]
    expected = draws["W"] if centred else draws["W"] / scale[:, None, :]
    np.testing.assert_allclose(raw["W_raw"], expected)
    own = draws["group_scale"][:, 1:] * draws["source_scale"][:, 4:]
    np.testing.assert_allclose(
        raw["V_raw"], draws["V"] if centred else draws["V"] / own[:, None, :]
    )
    np.testing.assert_allclose(raw["c_raw"], draws["c"] / 3)
    assert {name: value.shape[1:] for name, value in raw.items()} == {
        made.program_names.get(name, name): shape
        for name, shape in {**made.weight_shapes, **made.scale_shapes}.items()
    }


def test_units_take_their_scales_along() -> None:
    """The prior density, given all scales, is the same after an exchange of units."""
    made = network("ih=1:2:3 hh=1:2:3 ho=1:2:3 bh=1:2:3 bo=1", hidden=(3, 4))
    rng = np.random.default_rng(seeded(4))
    draws = made.sample_prior(rng, 5)
    moved = act(made, draws, *random_members(made, 5, rng))
    assert not np.allclose(moved["source_scale"], draws["source_scale"])
    np.testing.assert_allclose(made.log_prior(moved), made.log_prior(draws))
    X = rng.normal(size=(6, 4))
    np.testing.assert_allclose(made.predict(moved, X), made.predict(draws, X), rtol=1e-9)


def test_an_audit_knows_the_symmetry_of_such_priors() -> None:
    made = network("fbm", hidden=(3,), constraint="ordered-signed")
    found = mm.audit(made, orbits=300)
    assert found.fundamental_domain
    assert all(one.invariant and one.change < 1e-6 for one in found.invariance)


def test_an_audit_refuses_boxes_of_biases_that_flips_leave() -> None:
    made = network("ih=normal:1 bo=uniform:3", hidden=(2,), activation="sigmoid")
    with pytest.raises(InputError, match="uniform prior of bo cannot be audited"):
        mm.audit(made, orbits=10)


def test_a_linear_network_is_there_with_skip() -> None:
    """With hidden units that do nothing, what remains is the linear model."""
    made = network("normal:1", skip=True, hidden=(2,))
    weights = {name: np.zeros(shape) for name, shape in made.weight_shapes.items()}
    weights["S"] = np.array([[1.0, -2.0, 0.5, 0.0]])
    weights["c"] = np.array([0.25])
    X = np.random.default_rng(seeded(5)).normal(size=(8, 4))
    np.testing.assert_allclose(made.predict(weights, X), X @ weights["S"][0] + 0.25)
