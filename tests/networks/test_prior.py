"""The priors of single weights: how they are written, and that they are normalised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from manymodes.errors import InputError
from manymodes.networks.prior import Prior
from seeds import seeded


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("normal:1", Prior("normal", 1.0)),
        ("uniform:2.5", Prior("uniform", 2.5)),
        ("laplace:0.5", Prior("laplace", 0.5)),
        ("student:4,2", Prior("student", 2.0, nu=4.0)),
        ("ard", Prior("normal", 1.0, ard=True)),
        ("ard:3", Prior("normal", 3.0, ard=True)),
    ],
)
def test_priors_are_read(text: str, prior: Prior) -> None:
    assert Prior.parse(text) == prior


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "allowed are normal:SD, uniform:B"),
        ("gamma:1", "allowed are normal:SD, uniform:B"),
        ("normal", "as in 'normal:1'"),
        ("normal:", "a positive number"),
        ("normal:x", "a positive number"),
        ("normal:-1", "a positive number"),
        ("laplace:0", "as in 'laplace:1'"),
        ("uniform:inf", "a positive number"),
        ("uniform:1,2", "a positive number"),
        ("student:4", "as in 'student:4,1'"),
        ("student:4,", "two positive numbers"),
        ("ard:", "as in 'ard:1'"),
    ],
)
def test_bad_priors_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match="prior") as caught:
        Prior.parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["normal:2", "uniform:2", "laplace:2", "student:3,2"])
def test_density_integrates_to_one_and_draws_follow_it(text: str) -> None:
    prior = Prior.parse(text)
    mass, _ = integrate.quad(
        lambda w: math.exp(prior.log_density(w)), -400, 400, points=[-2, 0, 2], limit=400
    )
    assert mass == pytest.approx(1, abs=1e-4)
    draws = prior.sample((4000,), np.random.default_rng(seeded(1)))
    assert stats.kstest(draws, prior.distribution.cdf).pvalue > 1e-3
    assert np.all(np.abs(draws) <= prior.bound)


def test_scales_of_inputs_are_half_student_t() -> None:
    """Weights given their scale are normal with it, other weights with the prior's own."""
    prior = Prior.parse("ard:2")
    shapes = {"W": (3, 2), "b": (3,)}
    draws = prior.sample_weights(shapes, 4000, np.random.default_rng(seeded(2)))
    scales = draws["input_scale"]
    assert scales.shape == (4000, 2)
    assert stats.kstest(scales[:, 0] / 2, lambda x: 2 * stats.t.cdf(x, 4) - 1).pvalue > 1e-3
    assert stats.kstest(draws["W"][:, 1, 1] / scales[:, 1], "norm").pvalue > 1e-3
    assert stats.kstest(draws["b"][:, 0] / 2, "norm").pvalue > 1e-3
