"""The example of a network inside a larger model: its density, and that the kernel is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from seeds import seeded

pytestmark = needs_tools

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    command = [sys.executable, str(EXAMPLES / "hierarchical_data.py"), str(folder)]
    subprocess.run(command, check=True)
    made: dict[str, Any] = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    assert json.loads((folder / "new.json").read_text(encoding="utf-8"))["J"] == made["J"]
    return made


def posterior(data: dict[str, Any], *, kernel: bool = True) -> Posterior:
    return Posterior(Program(EXAMPLES / "hierarchical.stan", kernel), data, "hierarchical")


def test_the_density_is_the_models(data: dict[str, Any]) -> None:
    """Log likelihoods, the prior and the effects of groups, by NumPy and SciPy."""
    model = posterior(data)
    assert model.program.uses_kernel
    eta = 0.7 * np.random.default_rng(seeded(1)).normal(size=model.dims)
    named = model.constrain(eta)
    X, group = np.array(data["X"]), np.array(data["group"]) - 1
    mean = np.tanh(X @ named["W"].T + named["b"]) @ named["V"][0] + named["c"][0]
    mean = mean + named["effect"][group]
    expected = stats.norm.logpdf(data["y"], mean, named["sigma"])
    np.testing.assert_allclose(model.log_lik(eta), expected, rtol=1e-10)
    prior = sum(stats.norm.logpdf(named[name]).sum() for name in ("W", "b", "c", "z"))
    prior += stats.norm.logpdf(named["V"], scale=3**-0.5).sum()
    for name in ("tau", "sigma"):
        prior += float(stats.halfnorm.logpdf(named[name]) + np.log(named[name]))
    assert model.prior.log_density(eta) == pytest.approx(prior, rel=1e-10)
    assert model.log_density(eta) == pytest.approx(prior + expected.sum(), rel=1e-10)


def test_the_kernel_and_stan_agree(data: dict[str, Any]) -> None:
    ours, stan = posterior(data), posterior(data, kernel=False)
    assert not stan.program.uses_kernel
    eta = 0.7 * np.random.default_rng(seeded(2)).normal(size=ours.dims)
    value, gradient = ours.gradient(eta)
    expected, by_autodiff = stan.gradient(eta)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, by_autodiff, rtol=1e-9, atol=1e-9)
