"""Noisy XOR: the network and the data of Yallup et al. (2022), with and without the constraint.

Four clusters of points on the corners of a square, two classes, and a network 2-2-1 with sigmoid
units: 9 parameters, each uniform on (-5, 5). The full prior is compared with the paper's
constraint on the input weights (``pd-skew``), on one training set and ten test sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.networks.network import Network
from manymodes.report import DataNames, Table
from manymodes.runtime.seeds import check_seed
from manymodes.statistics.estimate import Estimate
from manymodes.studies import XOR_DATA_SEED
from manymodes.studies.conduct import Effort, Findings, conduct
from manymodes.types import BoolArray, FloatArray

CENTRES = ((1, 1), (-1, -1), (1, -1), (-1, 1))
COUNTS = (30, 100, 10, 80)
LABELS = (1, 1, 0, 0)
TEST_SETS = 10
NOISE_SD = 0.5

NAMES = DataNames(
    ("first coordinate", "second coordinate"), "class", ("0", "1"), "noisy XOR, simulated"
)

CONSTRAINTS = {"full": "none", "constrained": "pd-skew"}
"""The posteriors of the study and the constraints they are made with."""


@dataclass(frozen=True)
class XorData:
    """A training set and its test sets.

    Attributes
    ----------
    X : array of shape (220, 2)
        Inputs.
    y : int array of shape (220,)
        Classes, 0 or 1.
    tests : tuple of (X, y)
        Test sets of the same proportions with fresh noise.
    """

    X: FloatArray
    y: npt.NDArray[np.int64]
    tests: tuple[tuple[FloatArray, npt.NDArray[np.int64]], ...]


def xor_data(seed: int = XOR_DATA_SEED, noise_sd: float = NOISE_SD) -> XorData:
    """Draw the data of the study.

    Parameters
    ----------
    seed : int
        Decides the noise of the training set and of the test sets.
    noise_sd : float
        Standard deviation of the Gaussian noise on each coordinate.

    Raises
    ------
    InputError
        The standard deviation is not positive, or the seed is negative.
    """
    if not (np.isfinite(noise_sd) and noise_sd > 0):
        raise InputError(f"noise-sd: {noise_sd} is not a positive number")
    check_seed(seed, "data-seed")
    centres = np.repeat(np.array(CENTRES, dtype=float), COUNTS, axis=0)
    y = np.repeat(np.array(LABELS, dtype=np.int64), COUNTS)
    sets = [
        centres + np.random.default_rng(child).normal(scale=noise_sd, size=centres.shape)
        for child in np.random.SeedSequence(seed).spawn(1 + TEST_SETS)
    ]
    return XorData(sets[0], y, tuple((X, y) for X in sets[1:]))


def xor_network(constraint: str = "none") -> Network:
    """Return the study's network, 2-2-1, under a constraint."""
    return Network(
        inputs=2,
        hidden=(2,),
        activation="sigmoid",
        likelihood="bernoulli",
        prior="uniform:5",
        constraint=constraint,
    )


def xor_posteriors(data: XorData, *, kernel: bool = True) -> dict[str, Posterior]:
    """Return the study's two posteriors by name; `kernel` as in `Posterior.from_network`."""
    return {
        name: Posterior.from_network(xor_network(constraint), data.X, data.y, name, kernel=kernel)
        for name, constraint in CONSTRAINTS.items()
    }


def run_xor(
    out: Path,
    *,
    noise_sd: float = NOISE_SD,
    data_seed: int = XOR_DATA_SEED,
    effort: Effort | None = None,
) -> dict[str, Comparison]:
    """Run the study and write its results into a directory.

    Parameters
    ----------
    out : Path
        The run directory.
    noise_sd, data_seed
        As in `xor_data`.
    effort : Effort, optional
        How much is sampled, and how.

    Raises
    ------
    InputError
        A setting is out of its range, or the directory cannot be used.
    """
    data = xor_data(data_seed, noise_sd)

    def find(comparisons: Mapping[str, Comparison]) -> Findings:
        inside = share_inside(comparisons["full"])
        return Findings(
            {
                "share_inside_constraint": inside.value,
                "share_inside_constraint_sd": inside.sd,
            },
            {
                "title": "Noisy XOR: one network, many modes",
                "introduction": _introduction(noise_sd, data_seed),
                "test_sets": data.tests,
                "notes": _notes(inside),
                "appendix": seed_tables(),
                "names": dict.fromkeys(CONSTRAINTS, NAMES),
            },
        )

    decided = {"noise_sd": noise_sd, "data_seed": data_seed}
    effort = effort or Effort()
    posteriors = xor_posteriors(data, kernel=effort.kernel)
    return conduct("xor", out, posteriors, effort, decided, find)


def share_inside(full: Comparison) -> Estimate:
    """Return the share of the full posterior whose input weights satisfy the constraint.

    That is: symmetric part positive definite, skew part positive above the diagonal. From
    tempered draws, with the scatter of their tours and runs; without, from nested points, with
    the error of the modes' evidence.
    """
    if full.tempered is not None:
        return full.tempered.share(_inside(full.posterior, full.tempered.rows).astype(float))
    assert full.nested is not None
    inside = _inside(full.posterior, full.nested.rows)
    weights = full.nested_weights
    by_mode = np.array(
        [
            (weights * inside)[members].sum() / max(weights[members].sum(), 1e-300)
            for mode in full.summaries
            for members in [full.nested_modes == mode.id]
        ]
    )
    draws = by_mode @ full.evidence_draws
    return Estimate(float(weights @ inside), float(draws.std(ddof=1)))


def _inside(posterior: Posterior, rows: FloatArray) -> BoolArray:
    """Return which draws, shape (n, P), satisfy the constraint, shape (n,)."""
    W = posterior.unpack(rows)["W"]
    symmetric = (W + W.swapaxes(-1, -2)) / 2
    return np.asarray((np.linalg.eigvalsh(symmetric)[:, 0] > 0) & (W[:, 0, 1] > W[:, 1, 0]))


def _introduction(noise_sd: float, data_seed: int) -> str:
    return (
        "Four clouds of points stand on the corners of a square; points on one diagonal belong "
        "to class 1, points on the other to class 0. A network with two hidden units learns to "
        "tell them apart. Its posterior has many modes: copies that compute the same function "
        "with hidden units exchanged or flipped, and solutions that really differ. Two priors "
        "are compared: every weight uniform on (-5, 5), and the same prior under the constraint "
        "of Yallup et al. (2022) on the input weights. "
        f"Noise with standard deviation {noise_sd:g}, data seed {data_seed}."
    )


def _notes(inside: Estimate) -> list[str]:
    return [
        "The paper's noise “with a variance of 0.5” can be read as a variance or as "
        "the scale that a sampler takes. By default the study takes 0.5 as the standard "
        f"deviation, and data seed {XOR_DATA_SEED}: the first whose constrained posterior has two "
        "prominent modes. The appendix shows how the picture depends on both choices.",
        f"{100 * inside.value:.1f} ± {100 * inside.sd:.1f} % of the full posterior lies "
        "inside the constrained "
        "region; the region is 23/288 = 8.0 % of the prior. The constraint is no "
        "fundamental domain: it cannot hold a copy of every function, and drops some.",
    ]


def seed_tables() -> list[Table]:
    """Return the shipped tables over data seeds and both readings of the noise."""
    source = resources.files("manymodes.studies") / "xor_seeds.json"
    if not source.is_file():
        return []
    shipped = json.loads(source.read_text(encoding="utf-8"))
    return [
        Table(
            entry["title"],
            tuple(entry["columns"]),
            tuple(map(tuple, entry["rows"])),
            entry["caption"],
        )
        for entry in shipped["tables"]
    ]
