"""The base measure of programs that are written on the unit cube."""

from __future__ import annotations

import numpy as np
from scipy import special

from manymodes.errors import InputError
from manymodes.posterior import Posterior
from manymodes.reference._measure import LOGISTIC, BaseMeasure

_PROBES = 8


def cube_measure(posterior: Posterior) -> BaseMeasure:
    """Return the base measure of a program whose parameters all live on (0, 1).

    This is the convention of PolyStan: such parameters are the cube itself, which the program
    turns into quantities of its own, and its density is the likelihood. Uniform on (0, 1) is
    logistic on Stan's unconstrained scale.

    Raises
    ------
    InputError
        A parameter does not live on (0, 1).
    """
    if not on_unit_cube(posterior):
        raise InputError(
            f"reference: the parameters of {posterior.program.name} do not all live on (0, 1), "
            "as 'cube' needs: use 'prior' or 'chains'"
        )
    dims = posterior.dims
    return BaseMeasure.product(
        (LOGISTIC,) * dims,
        np.zeros(dims),
        np.ones(dims),
        source="cube",
        exact=True,
        reason="the unit cube itself, on which all parameters live",
        log_prior=0.0,
    )


def on_unit_cube(posterior: Posterior) -> bool:
    """Whether all parameters live on (0, 1), each on its own: eta is their logit."""
    n_parameters = int(posterior.model.param_num())
    if n_parameters != posterior.dims or n_parameters == 0:
        return False
    eta = np.random.default_rng(1).normal(scale=2.0, size=(_PROBES, posterior.dims))
    rows = posterior.constrain_rows(eta)[:, :n_parameters]
    return bool(np.allclose(rows, special.expit(eta), rtol=1e-12, atol=1e-12))
