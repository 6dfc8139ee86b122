"""The means of groups, centred or not: both densities by SciPy, and that they are one model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import halfnorm, norm

from conftest import needs_tools
from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from seeds import seeded

pytestmark = needs_tools

MU_SD, TAU_SD = 5.0, 1.5
Y = np.array([-2.1, 0.3, 0.4, 1.7])
S = np.array([0.5, 1.0, 2.0, 0.7])


def posterior(*, centred: bool, prior_only: bool = False) -> Posterior:
    data = {
        "J": len(Y),
        "y": Y.tolist(),
        "s": S.tolist(),
        "tau_sd": TAU_SD,
        "centred": int(centred),
        "prior_only": int(prior_only),
        "save_log_lik": 1,
    }
    return Posterior(Program(toolchain.stan_dir() / "models" / "group_means.stan"), data)


def points(n: int) -> np.ndarray:
    return np.random.default_rng(seeded(9)).normal(size=(n, 2 + len(Y)))


@pytest.mark.parametrize("centred", [True, False], ids=["centred", "not-centred"])
def test_the_density_has_all_constants(centred: bool) -> None:
    whole = posterior(centred=centred)
    prior = posterior(centred=centred, prior_only=True)
    for eta in points(5):
        mu, tau, z = eta[0], np.exp(eta[1]), eta[2:]
        theta = z if centred else mu + tau * z
        expected = norm.logpdf(mu, 0, MU_SD) + halfnorm.logpdf(tau, scale=TAU_SD) + eta[1]
        expected += norm.logpdf(z, *((mu, tau) if centred else (0, 1))).sum()
        assert prior.log_density(eta) == pytest.approx(expected, rel=1e-12)
        log_lik = norm.logpdf(Y, theta, S)
        assert whole.log_density(eta) == pytest.approx(expected + log_lik.sum(), rel=1e-12)
        np.testing.assert_allclose(whole.log_lik(eta[None])[0], log_lik, rtol=1e-12)


def test_both_sets_of_parameters_are_one_model() -> None:
    """At the same means the densities differ by the Jacobian, tau^J."""
    centred, free = posterior(centred=True), posterior(centred=False)
    for eta in points(5):
        moved = np.concatenate([eta[:2], eta[0] + np.exp(eta[1]) * eta[2:]])
        jacobian = len(Y) * eta[1]
        assert free.log_density(eta) == pytest.approx(
            centred.log_density(moved) + jacobian, rel=1e-12
        )
