"""The place of manymodes' Stan and C++ sources."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def stan_dir() -> Path:
    """Return the directory with everything that Stan or a C++ compiler reads.

    In an editable install that is ``stan/`` of the checkout, in a wheel ``manymodes/stan``.
    """
    shipped = _PACKAGE / "stan"
    return shipped if shipped.is_dir() else _PACKAGE.parents[1] / "stan"
