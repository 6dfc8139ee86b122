"""Examine the toolchain and say what was found, what is missing, and what to do about it."""

from __future__ import annotations

import textwrap

from manymodes.toolchain import trial
from manymodes.toolchain.components import Component, Toolchain
from manymodes.toolchain.discovery import find
from manymodes.toolchain.paths import home

_TITLES = {
    "cmdstan": "CmdStan",
    "bridge": "BridgeStan",
    "polychord": "PolyChord",
    "compiler": "C++ and make",
}
_SOURCES = {
    "environment": "named by an environment variable",
    "cmdstanpy": "in CmdStanPy's directory",
    "installed": "already installed",
    "index": "set up from the package index",
    "github": "set up from the official release",
    "manymodes": "the one shipped with manymodes",
    "missing": "",
}
_POLYCHORD_TERMS = (
    "PolyChord is free for academic use under its own licence and asks to be cited: "
    "Handley, Hobson and Lasenby (2015), MNRAS Letters 450, L61 and MNRAS 453, 4384."
)


def doctor(*, deep: bool = False) -> Toolchain:
    """Find the toolchain; with `deep`, also let its parts do a small piece of their work."""
    toolchain = find()
    return trial.tried(toolchain) if deep else toolchain


def render(toolchain: Toolchain) -> str:
    """Describe a toolchain in lines for a terminal, the terms of PolyChord included."""
    lines = [line for component in toolchain.components for line in _describe(component)]
    lines += ["", f"Installed parts and compiled programs are kept in {home()}."]
    if toolchain.polychord.source != "missing":
        lines += textwrap.wrap(_POLYCHORD_TERMS, width=98)
    return "\n".join(lines)


def _describe(component: Component) -> list[str]:
    title = f"{_TITLES[component.name]:<13}"
    indent = " " * len(title)
    what = [component.version, _SOURCES[component.source]]
    state = "ok" if component.ok else "missing" if component.source == "missing" else "BROKEN"
    lines = [f"{title}{state:<9}{', '.join(filter(None, what))}".rstrip()]
    if component.path is not None:
        lines.append(f"{indent}{component.path}")
    if not component.ok:
        lines += [f"{indent}{component.problem}", f"{indent}→ {component.remedy}"]
    return lines + [f"{indent}note: {note}" for note in component.notes]
