"""Settings that a caller changes by keyword."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from manymodes.errors import InputError

Settings = TypeVar("Settings")


def changed(
    settings: Settings | None, kind: type[Settings], changes: Mapping[str, Any]
) -> Settings:
    """Return settings with some of their fields changed.

    Parameters
    ----------
    settings : kind, optional
        What is changed; the defaults where it is None.
    kind : type
        A frozen data class.
    changes : mapping
        New values of fields, by name.

    Raises
    ------
    InputError
        The settings are of another kind, or a value is out of its range.
    TypeError
        There is no such field.
    """
    if settings is None:
        return kind(**changes)
    if not isinstance(settings, kind):
        raise InputError(f"settings: {type(settings).__name__} is given, not {kind.__name__}")
    return replace(settings, **changes) if changes else settings  # type: ignore[type-var]
