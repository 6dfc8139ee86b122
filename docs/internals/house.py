"""Draw docs/internals/house.svg, the packages and their imports: python docs/internals/house.py.

A package stands above all that it imports. An arrow that a longer way implies is not drawn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from textwrap import wrap

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "manymodes"
PICTURE = Path(__file__).with_name("house.svg")

Arrows = Mapping[str, set[str]]
"""What each package imports."""

WIDTH, HEIGHT, GAP, RISE = 270, 92, 26, 40
INK, FILL, LINE = "#30343b", "#e6edf5", "#8a8f98"
LETTERS, LINES = 40, 3  # below a package's name


def modules() -> dict[str, Path]:
    """Return the file of each module by its dotted name below the package, whose own is empty."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import of ours, at any depth of a file.

    The name is that of a module, or of something in one.

    Raises
    ------
    ValueError
        An import is relative, or takes the package itself.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: a relative import")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == PACKAGE.name:
                if not rest:
                    raise ValueError(f"{path}:{node.lineno}: imports the package's face")
                yield node.lineno, rest


def rooms() -> dict[str, list[Path]]:
    """Return the files of each package, and of each module beside the packages."""
    found: dict[str, list[Path]] = {}
    for name, path in modules().items():
        if name not in {"", "__main__"}:
            found.setdefault(name.partition(".")[0], []).append(path)
    return found


def arrows() -> dict[str, set[str]]:
    """Return what each package imports of ours, at any depth of its files."""
    packages = rooms()
    return {
        name: {other.partition(".")[0] for path in paths for _, other in imported(path)}
        & packages.keys() - {name}
        for name, paths in packages.items()
    }


def floors(imports: Arrows) -> list[list[str]]:
    """Return the packages of each floor, from the ground up.

    Raises
    ------
    ValueError
        Packages import one another in a circle.
    """
    floor: dict[str, int] = {}
    while len(floor) < len(imports):
        free = [name for name in imports if name not in floor and imports[name] <= floor.keys()]
        if not free:
            raise ValueError(f"packages in a circle, or above one: {imports.keys() - floor.keys()}")
        floor |= {name: 1 + max((floor[i] for i in imports[name]), default=-1) for name in free}
    return [[n for n in sorted(floor) if floor[n] == i] for i in range(max(floor.values()) + 1)]


def direct(imports: Arrows) -> dict[str, set[str]]:
    """Return the arrows that no longer way implies."""
    below: dict[str, set[str]] = {}
    for floor in floors(imports):
        for name in floor:
            below[name] = imports[name].union(*(below[other] for other in imports[name]))
    return {n: {o for o in i if not any(o in below[p] for p in i)} for n, i in imports.items()}


def first_line(paths: list[Path]) -> str:
    """Return what a package says it is."""
    face = next((path for path in paths if path.name == "__init__.py"), paths[0])
    said = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
    return said.splitlines()[0].rstrip(".")


def svg() -> str:
    """Return the picture."""
    packages, imports = rooms(), arrows()
    storeys = floors(imports)[::-1]
    wide = max(map(len, storeys)) * (WIDTH + GAP) + GAP
    place: dict[str, tuple[float, float]] = {}
    for row, names in enumerate(storeys):
        left = (wide - len(names) * (WIDTH + GAP) + GAP) / 2
        for column, name in enumerate(names):
            place[name] = left + column * (WIDTH + GAP), GAP + row * (HEIGHT + RISE)
    high = GAP + len(storeys) * (HEIGHT + RISE)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        f'font-family="sans-serif" fill="{INK}">',
        "<title>The packages of manymodes and what they import</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>',
    ]
    for name, others in sorted(direct(imports).items()):
        for other in sorted(others):
            lines.append(
                f'<path d="{_way(place[name], place[other])}" fill="none" '
                f'stroke="{LINE}" stroke-width="1.2" marker-end="url(#head)"/>'
            )
    for name, (x, y) in place.items():
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4" '
            f'fill="{FILL}" stroke="{INK}" stroke-width="0.8"/>',
            f'<text x="{x + 12:g}" y="{y + 24:g}" font-size="16" font-weight="bold">{name}</text>',
        ]
        said = wrap(first_line(packages[name]), LETTERS, max_lines=LINES, placeholder=" …")
        for line, text in enumerate(said):
            height = y + 43 + 16 * line
            lines.append(
                f'<text x="{x + 12:g}" y="{height:g}" font-size="11">{escape(text)}</text>'
            )
    return "\n".join([*lines, "</svg>", ""])


def _way(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an arrow's path: straight to the next floor, from the side past other floors."""
    (x, y), (to_x, to_y) = start, (end[0] + WIDTH / 2, end[1])
    if to_y - y < 2 * HEIGHT + RISE:
        return f"M{x + WIDTH / 2:g} {y + HEIGHT:g} L{to_x:g} {to_y:g}"
    side, middle = x + WIDTH * (to_x > x + WIDTH / 2), y + HEIGHT / 2
    return f"M{side:g} {middle:g} Q{to_x:g} {middle:g} {to_x:g} {to_y:g}"


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
    print(PICTURE)
