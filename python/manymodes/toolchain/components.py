"""The parts of the toolchain: one `Component` for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Source = Literal["environment", "cmdstanpy", "installed", "index", "github", "manymodes", "missing"]


@dataclass(frozen=True)
class Component:
    """One part of the toolchain, as found.

    Attributes
    ----------
    name
        ``"cmdstan"``, ``"bridge"``, ``"polychord"`` or ``"compiler"``.
    version
        As the part itself states it, or None when it does not.
    source
        ``"environment"`` (an environment variable names it), ``"cmdstanpy"`` (CmdStanPy's
        directory), ``"installed"`` (found where its own installer puts it), ``"index"`` or
        ``"github"`` (set up by manymodes from there), ``"manymodes"`` (shipped with manymodes)
        or ``"missing"``.
    path
        CmdStan's directory, BridgeStan's home, PolyChord's library file, or the C++ compiler.
    ok
        Whether it can be used.
    problem, remedy
        If it cannot be used: what is wrong and what to do, one line each.
    notes
        Remarks for the user on a part that works.
    """

    name: str
    version: str | None
    source: Source
    path: Path | None
    ok: bool
    problem: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the component as ``doctor --json`` prints it."""
        return {
            "version": self.version,
            "source": self.source,
            "path": None if self.path is None else str(self.path),
            "ok": self.ok,
            "problem": self.problem,
            "remedy": self.remedy,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Toolchain:
    """The parts that compile a posterior and sample it."""

    cmdstan: Component
    bridge: Component
    polychord: Component
    compiler: Component

    @property
    def components(self) -> tuple[Component, ...]:
        """All parts, in the order in which they are shown."""
        return (self.cmdstan, self.bridge, self.polychord, self.compiler)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``doctor --json`` prints: part name → version, source, path, ok, ..."""
        return {component.name: component.as_dict() for component in self.components}
