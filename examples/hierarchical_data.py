"""Data for hierarchical.stan: twelve groups of measurements, some kept for predictions.

hierarchical_data.py FOLDER writes train.json, and new.json: other measurements of the same groups.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

GROUPS, ROWS, NEW = 12, 240, 120
EFFECT_SD, NOISE_SD = 0.5, 0.3


def made(seed: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the data of the program, and those of new measurements."""
    rng = np.random.default_rng(seed)
    n = ROWS + NEW
    X = rng.normal(size=(n, 2))
    group = rng.integers(GROUPS, size=n)
    effect = rng.normal(0, EFFECT_SD, GROUPS)
    y = np.tanh(2 * X[:, 0]) - np.tanh(X[:, 0] + X[:, 1]) + effect[group]
    y += rng.normal(0, NOISE_SD, n)

    def part(rows: slice) -> dict[str, Any]:
        return {
            "N": len(y[rows]),
            "M": 2,
            "J": GROUPS,
            "H": 3,
            "X": X[rows].tolist(),
            "group": (group[rows] + 1).tolist(),
            "y": y[rows].tolist(),
            "prior_only": 0,
        }

    return part(slice(ROWS)), part(slice(ROWS, n))


def main() -> None:
    """Write both files."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in zip(("train", "new"), made(), strict=True):
        (folder / f"{name}.json").write_text(json.dumps(data) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
