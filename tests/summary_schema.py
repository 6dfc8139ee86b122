"""What the design says of `summary.json`."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "dims": int,
    "n_obs": int,
    "chains": {
        "n": int,
        "failed": int,
        "draws": int,
        "divergences": int,
        "seconds": float,
        "rhat_weights": float,
        "rhat_function": float,
    },
    "nested": {
        "log_z": float,
        "log_z_sd": float,
        "nlive": int,
        "runs": int,
        "evaluations": int,
        "seconds": float,
        "insertion_p": float,
    },
    "modes": [
        {
            "id": int,
            "function": int,
            "log_z": float,
            "log_z_sd": float,
            "weight": {"evidence": float, "evidence_sd": float, "stacking": float,
                       "occupancy": float},
        }
    ],
    "prominent_modes": int,
    "prominent_functions": int,
}  # fmt: skip
"""The design's schema; entries may have more keys."""


def assert_follows(value: Any, schema: Any, where: str = "") -> None:
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        for key, inner in schema.items():
            assert key in value, f"{where}.{key}"
            assert_follows(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        assert value, where
        for i, item in enumerate(value):
            assert_follows(item, schema[0], f"{where}[{i}]")
    else:
        allowed = (float, int, type(None)) if schema is float else schema
        assert isinstance(value, allowed), f"{where}: {value!r}"
