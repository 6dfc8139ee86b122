"""Base measures: the maps from the unit cube to the unconstrained space of a Stan program."""

from __future__ import annotations

from manymodes.reference._chains import chains_measure
from manymodes.reference._cube import cube_measure
from manymodes.reference._measure import (
    CAUCHY,
    CYCLES,
    FAMILIES,
    LOGISTIC,
    NORMAL,
    STUDENT4,
    BaseMeasure,
    Component,
    read_measure,
    write_measure,
)
from manymodes.reference._peaks import peaks_measure
from manymodes.reference._prior import ImproperPriorError, prior_measure, proper_prior_measure

__all__ = [
    "CAUCHY",
    "CYCLES",
    "FAMILIES",
    "LOGISTIC",
    "NORMAL",
    "STUDENT4",
    "BaseMeasure",
    "Component",
    "ImproperPriorError",
    "chains_measure",
    "cube_measure",
    "peaks_measure",
    "prior_measure",
    "proper_prior_measure",
    "read_measure",
    "write_measure",
]
