"""The colours of the page, light and dark, and which of them stands for a figure's colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.colors import to_hex, to_rgb

from manymodes.report.plots.style import (
    CLASSES,
    FIELDS,
    FUNCTIONS,
    GRID,
    PALE,
    PAPER,
    POSTERIORS,
    REST,
    SHADES,
    SOFT,
    STEPS,
    WHOLE,
    tint,
)

_TINTS = (*SHADES[1:], 0.45, 0.5, 0.55, 0.62, 0.65)
_DARK_CARD = "#1d2025"
_DARK_FIELDS = ("#5d4720", "#262a30", "#2a4062")  # of a probability of 0, one half and 1
_DARK_STEPS = ("#1f2925", "#2f5a4b", "#55a187")


def function_variable(function: int) -> str:
    """Return the CSS colour of a function's number."""
    return f"var(--f{function})" if 0 < function <= len(FUNCTIONS) else "var(--rest)"


def _variables() -> Iterator[tuple[str, str, str]]:
    """Yield the name of each colour of figures, and its values in the light and the dark theme."""
    single: tuple[tuple[str, Sequence[str], float], ...] = (
        ("f", FUNCTIONS, 0.42),
        ("p", POSTERIORS, 0.35),
        ("c", CLASSES, 0.5),
    )
    for name, colours, lighter in single:
        for place, colour in enumerate(colours, start=1):
            yield f"{name}{place}", colour, tint(colour, lighter)
    for name, colours, ends in (("m", FIELDS, _DARK_FIELDS), ("s", STEPS, _DARK_STEPS)):
        for place, colour in enumerate(colours):
            yield f"{name}{place}", colour, _between(ends, place / (len(colours) - 1))
    yield "rest", REST, "#777c84"


def _between(ends: tuple[str, str, str], share: float) -> str:
    low, middle, high = ends
    start, end, part = (low, middle, 2 * share) if share <= 0.5 else (middle, high, 2 * share - 1)
    red, green, blue = (a + (b - a) * part for a, b in zip(to_rgb(start), to_rgb(end), strict=True))
    return str(to_hex((red, green, blue)))


def colour_rules(*, dark: bool) -> str:
    """Return the declarations of the colours of figures in one theme."""
    return " ".join(f"--{name}: {night if dark else day};" for name, day, night in _variables())


def _stand_ins() -> dict[str, str]:
    plain = {
        WHOLE: "var(--ink)",
        SOFT: "var(--soft)",
        PALE: "var(--pale)",
        GRID: "var(--line)",
        PAPER: "var(--card)",
    }
    plain |= {day: f"var(--{name})" for name, day, _ in _variables()}
    mixed = {}
    for colour in (WHOLE, *FUNCTIONS, *POSTERIORS):
        for share in _TINTS:
            part = round(100 * (1 - share))
            mix = f"color-mix(in srgb, {plain[colour]} {part}%, var(--card))"
            mixed[tint(colour, share)] = mix
    return {**mixed, **plain}


STAND_INS = _stand_ins()
"""The CSS colour that stands for each colour of figures, by its six digits."""
