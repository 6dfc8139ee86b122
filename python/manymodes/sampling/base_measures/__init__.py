"""Base measures: the maps from the unit cube to the unconstrained space of a Stan program."""

from __future__ import annotations

from manymodes.sampling.base_measures.chains import chains_measure
from manymodes.sampling.base_measures.coverage import is_outside, outside_share
from manymodes.sampling.base_measures.cube import cube_measure
from manymodes.sampling.base_measures.peaks import peaks_measure
from manymodes.sampling.base_measures.prior import (
    ImproperPriorError,
    prior_measure,
    proper_prior_measure,
)
from manymodes.sampling.measure import (
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
    "is_outside",
    "outside_share",
    "peaks_measure",
    "prior_measure",
    "proper_prior_measure",
    "read_measure",
    "write_measure",
]
