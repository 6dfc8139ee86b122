"""Figures as parts of the page: small SVG in the page's colours, whose marks can be pointed at."""

from __future__ import annotations

import hashlib
import io
import re
import xml.etree.ElementTree as ET

from matplotlib import rc_context
from matplotlib.figure import Figure

from manymodes.report.plots.marks import Mark, dotted, marked
from manymodes.report.theme import STAND_INS

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DOTS_PER_INCH = 110
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")
_NOT_NEEDED = re.compile(
    r"font-family:[^;]*;?|image-rendering:crisp-edges;|stroke-linejoin: miter;?|-inkscape[^;]*;?"
)
_GEOMETRY = ("d", "x", "y", "points", "transform", "width", "height", "cx", "cy", "r")


def inline_svg(figure: Figure, words: str, posterior: str = "") -> str:
    """Return a figure as an SVG element without anything from elsewhere.

    Parameters
    ----------
    figure : Figure
        What one of the functions of `manymodes.report.plots` drew.
    words : str
        What the figure shows, for those who do not see it.
    posterior : str
        The posterior whose functions the marks are, unless a mark says another.

    Returns
    -------
    str
        The element. Marks have ``data-key``, ``POSTERIOR/FUNCTION`` or
        ``POSTERIOR/FUNCTION/MODE``, and ``data-says``.
    """
    code = _saved(figure)
    root = ET.fromstring(code)  # noqa: S314 - it was made in the line above
    meanings = {str(artist.get_gid()): meaning for artist, meaning in marked(figure)}
    sizes = {str(artist.get_gid()): size for artist, size in dotted(figure)}
    used = _references(root)
    prefix = f"g{hashlib.sha256(code + words.encode()).hexdigest()[:8]}-"
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        gid = element.get("id", "")
        if gid in sizes:
            _as_one_path(element, sizes[gid])
        if gid in meanings:
            _say(element, meanings[gid], posterior)
    for element in root.iter():
        _tidy(element, used, prefix)
    _lift(root)
    width, height = (float(v) for v in root.get("viewBox", "0 0 1 1").split()[2:])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"--w:{width / 72:.2f}in;aspect-ratio:{width:.0f}/{height:.0f}")
    root.set("role", "group")
    root.set("aria-label", words)
    root.tail = None
    return _written(root)


def _saved(figure: Figure) -> bytes:
    """Return a figure as matplotlib's SVG, with a name for each artist that has a meaning."""
    found = {**dict(marked(figure)), **dict(dotted(figure))}
    for number, artist in enumerate(found):
        artist.set_gid(f"mark-{number}")
    buffer = io.BytesIO()
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "manymodes",
        "image.composite_image": False,
        "path.simplify_threshold": 0.2,
    }
    with rc_context(settings):
        figure.savefig(
            buffer, format="svg", dpi=_DOTS_PER_INCH, metadata={"Date": None}, transparent=True
        )
    return buffer.getvalue()


def _references(root: ET.Element) -> set[str]:
    """Return the names that other elements refer to."""
    return {
        name
        for element in root.iter()
        for value in element.attrib.values()
        for name in _REFERENCE.findall(value)
    }


def _as_one_path(group: ET.Element, size: float) -> None:
    """Replace the uses of a marker by one path of dots."""
    places = [(use.get("x"), use.get("y")) for use in group.iter(f"{_SVG}use")]
    style = next((use.get("style", "") for use in group.iter(f"{_SVG}use")), "")
    shape = next((p.get("d", "") for p in group.iter(f"{_SVG}path")), "")
    clip = next((g.get("clip-path") for g in group.iter(f"{_SVG}g") if g.get("clip-path")), None)
    colour = re.search(r"fill: (#\w+)", style)
    faint = re.search(r"(?:fill-)?opacity: ([\d.]+)", style)
    for child in list(group):
        group.remove(child)
    cap = "round" if "C" in shape else "square"
    width = size if cap == "round" else 0.001 + 0.85 * size
    look = f"stroke:{colour[1] if colour else '#000000'};stroke-width:{width:.3g}"
    look += f";stroke-linecap:{cap};fill:none"
    if faint:
        look += f";stroke-opacity:{faint[1]}"
    path = ET.SubElement(group, f"{_SVG}path")
    path.set("d", "".join(f"M{_short(x)} {_short(y)}h0" for x, y in places if x and y))
    path.set("style", look)
    if clip:
        path.set("clip-path", clip)


def _short(text: str) -> str:
    return f"{float(text):.1f}".removesuffix(".0")


def _say(element: ET.Element, meaning: Mark, posterior: str) -> None:
    if meaning.function:
        parts = [meaning.posterior or posterior, str(meaning.function)]
        parts += [str(meaning.mode)] if meaning.mode else []
        element.set("data-key", "/".join(parts))
    if meaning.says:
        element.set("data-says", meaning.says)


def _tidy(element: ET.Element, used: set[str], prefix: str) -> None:
    """Shorten numbers, take the page's colours, and keep only names that are referred to."""
    attributes = element.attrib
    if attributes.get("id") not in used:
        attributes.pop("id", None)
    else:
        attributes["id"] = prefix + attributes["id"]
    if _LINK in attributes:
        attributes["href"] = attributes.pop(_LINK)
    for name, value in list(attributes.items()):
        if name == "href" and value.startswith("#"):
            attributes[name] = f"#{prefix}{value[1:]}"
        elif name == "href":
            attributes[name] = re.sub(r"\s+", "", value)
        elif "url(#" in value:
            attributes[name] = value.replace("url(#", f"url(#{prefix}")
        if name in _GEOMETRY:
            attributes[name] = _numbers(value, 3 if value.startswith("matrix") else 1)
        if name == "d":
            attributes[name] = attributes[name].replace(" L ", "L").replace(" z", "z")
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    style = _NOT_NEEDED.sub("", attributes.pop("style", ""))
    style = _COLOUR.sub(lambda found: STAND_INS.get(found[0], found[0]), style)
    if style := re.sub(r"\s*([:;])\s*", r"\1", style).strip("; "):
        attributes["style"] = style
    for name in ("fill", "stroke"):
        if attributes.get(name) in STAND_INS:
            attributes["style"] = f"{name}:{STAND_INS[attributes.pop(name)]}"
    if element.text and not element.text.strip():
        element.text = None
    if element.tail and not element.tail.strip():
        element.tail = None


def _numbers(value: str, digits: int) -> str:
    text = _NUMBER.sub(lambda n: f"{float(n[0]):.{digits}f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s+", " ", text).strip()


def _lift(parent: ET.Element) -> None:
    """Replace groups that say nothing by what is in them."""
    children = []
    for child in list(parent):
        _lift(child)
        bare = child.tag in (f"{_SVG}g", f"{_SVG}defs") and not child.attrib
        children += list(child) if bare and child.tag == f"{_SVG}g" else [child]
        if child.tag == f"{_SVG}defs" and not len(child):
            children.remove(child)
    for child in list(parent):
        parent.remove(child)
    parent.extend(children)


def _written(root: ET.Element) -> str:
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)
