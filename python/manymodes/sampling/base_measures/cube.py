"""The base measure of programs that are written on the unit cube."""

from __future__ import annotations

import numpy as np

from manymodes.density.parameter_space import off_unit_cube, on_unit_cube
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.sampling.measure import LOGISTIC, BaseMeasure


def cube_measure(posterior: Posterior) -> BaseMeasure:
    """Return the base measure of a program whose parameters all live on (0, 1).

    This is the convention of PolyStan: such parameters are the cube itself, the program turns them
    into its own quantities, and its density is the likelihood. Uniform on (0, 1) is
    logistic on Stan's unconstrained scale.

    Raises
    ------
    InputError
        A parameter does not live on (0, 1).
    """
    if not on_unit_cube(posterior):
        raise InputError(
            f"reference: 'cube' needs parameters on (0, 1), and in {posterior.program.name} "
            f"{', '.join(off_unit_cube(posterior)) or 'nothing'} is not: use 'prior' or 'chains'"
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
