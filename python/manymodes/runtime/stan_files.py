"""The places of what manymodes ships beside its modules: Stan and C++ sources, lessons."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def stan_dir() -> Path:
    """Return the directory with everything that Stan or a C++ compiler reads.

    In an editable install that is ``stan/`` of the checkout, in a wheel ``manymodes/stan``.
    """
    return shipped_dir("stan")


def shipped_dir(name: str) -> Path:
    """Return a directory that the wheel carries in the package, and the checkout at its top."""
    shipped = _PACKAGE / name
    return shipped if shipped.is_dir() else _PACKAGE.parents[1] / name
