"""The mixture of normals, free and ordered: both densities by SciPy, and copies by symmetry."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from conftest import needs_tools
from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from seeds import seeded

pytestmark = needs_tools

MU_SD, LOG_SIGMA_SD = 3.0, 0.7
Y = np.array([-2.1, 0.3, 0.4, 1.7, 5.0])
THETA = np.array([0.5, 0.3, 0.2])
EQUAL = np.full(3, 1 / 3)


def posterior(theta: np.ndarray | None, *, prior_only: bool = False) -> Posterior:
    """Return the free mixture with these weights, or, without any, the ordered one."""
    data = {
        "N": len(Y),
        "y": Y.tolist(),
        "K": 3,
        "mu_sd": MU_SD,
        "log_sigma_sd": LOG_SIGMA_SD,
        "prior_only": int(prior_only),
        "save_log_lik": 1,
    }
    if theta is not None:
        data["theta"] = theta.tolist()
    name = "mixture_normals" if theta is not None else "mixture_normals_ordered"
    return Posterior(Program(toolchain.stan_dir() / "models" / f"{name}.stan"), data)


def points(n: int) -> np.ndarray:
    return np.random.default_rng(seeded(8)).normal(size=(n, 6))


def log_prior(mu: np.ndarray, log_sigma: np.ndarray) -> float:
    return float(norm.logpdf(mu, 0, MU_SD).sum() + norm.logpdf(log_sigma, 0, LOG_SIGMA_SD).sum())


def log_lik(mu: np.ndarray, log_sigma: np.ndarray, theta: np.ndarray) -> np.ndarray:
    terms = np.log(theta) + norm.logpdf(Y[:, None], mu, np.exp(log_sigma))
    return np.asarray(logsumexp(terms, axis=1))


@pytest.mark.parametrize("theta", [THETA, EQUAL], ids=["weighted", "equal"])
def test_the_free_density_has_all_constants(theta: np.ndarray) -> None:
    whole, prior = posterior(theta), posterior(theta, prior_only=True)
    for eta in points(5):
        mu, log_sigma = eta[:3], eta[3:]
        expected = log_prior(mu, log_sigma)
        assert prior.log_density(eta) == pytest.approx(expected, rel=1e-12)
        expected += log_lik(mu, log_sigma, theta).sum()
        assert whole.log_density(eta) == pytest.approx(expected, rel=1e-12)


def test_the_ordered_density_is_that_of_all_copies() -> None:
    """With the Jacobian of ordered vectors, it is the sum of the free density's 3! copies."""
    free, ordered = posterior(EQUAL), posterior(None)
    for eta in points(5):
        mu = eta[0] + np.concatenate([[0], np.cumsum(np.exp(eta[1:3]))])
        copies = [
            free.log_density(np.concatenate([mu[list(order)], eta[3:][list(order)]]))
            for order in permutations(range(3))
        ]
        expected = logsumexp(copies) + eta[1] + eta[2]
        assert ordered.log_density(eta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("theta", [THETA, None], ids=["free", "ordered"])
def test_log_lik_adds_up_to_the_likelihood(theta: np.ndarray | None) -> None:
    whole, prior = posterior(theta), posterior(theta, prior_only=True)
    draws = points(4)
    likelihood = [whole.log_density(eta) - prior.log_density(eta) for eta in draws]
    found = whole.log_lik(draws)
    assert found.shape == (4, len(Y))
    np.testing.assert_allclose(found.sum(axis=1), likelihood, rtol=0, atol=1e-10)
