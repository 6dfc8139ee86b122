"""What is wrong with built pages: links that lead nowhere, and anything from another host.

There is no network in a test: a link to another host is only checked for being well-formed and
https.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("image", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("input", "src"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("track", "src"),
    ("use", "href"),
    ("video", "poster"),
    ("video", "src"),
}
"""Attributes whose target a browser fetches by itself."""
IN_STYLE = re.compile(r"""(?i)(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s]+)""")
IN_SCRIPT = re.compile(
    r"""(?:\b(?:fetch|import|importScripts|open|sendBeacon|EventSource|WebSocket|Worker)\s*\(\s*"""
    r"""|\b(?:from|import)\s*|\.src\s*=\s*)["'`](?:(?:https?|wss?):)?//"""
)
OUTSIDE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


@dataclass
class Page(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads from other hosts."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside = ""
        self.feed(self.text)
        self.foreign += [one for one in self.loaded if OUTSIDE.match(one)]

    def has(self, fragment: str) -> bool:
        """Return whether a link to a fragment leads to a place on the page."""
        return unquote(fragment) in self.anchors

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        for name, value in given.items():
            name = name.removeprefix("xlink:")
            if (tag, name) in LOADED:
                several = [one.split()[0] for one in value.split(",") if one.strip()]
                targets = several if "set" in name else [value]
                self.loaded += [one for one in targets if not one.startswith("data:")]
            elif name == "href":
                self.links.append(value)
            elif name == "style":
                self.foreign += IN_STYLE.findall(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._inside = ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.foreign += IN_STYLE.findall(data)
        elif self._inside == "script":
            self.foreign += IN_SCRIPT.findall(data)


def wrong_address(address: str) -> bool:
    """Return whether a link to another host is not https, or not well-formed."""
    try:
        parts = urlsplit(address)
    except ValueError:  # a bracket that is not closed
        return True
    host = parts.hostname or ""
    return (
        parts.scheme != "https"
        or not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host)
        or bool(re.search(r"[\s<>\"]", address))
    )


def complaints(site: Path) -> list[str]:
    """Return what is wrong with the pages of a site, each with the page that has it."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(site)
        wrong += [f"{name}: loads {one}" for one in page.foreign]
        for link in [*page.links, *(one for one in page.loaded if not OUTSIDE.match(one))]:
            if re.match(r"(?:https?:)?//", link, re.IGNORECASE):
                wrong += [f"{name}: not an address: {link}"] * wrong_address(link)
                continue
            parts = urlsplit(link)
            if parts.scheme in ("data", "mailto", "javascript"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or not target.is_relative_to(site.resolve()):
                wrong.append(f"{name}: no file {link}")
            elif parts.fragment and target in pages and not pages[target].has(parts.fragment):
                wrong.append(f"{name}: no anchor {link}")
    for sheet in site.rglob("*.css"):
        found = IN_STYLE.findall(sheet.read_text(encoding="utf-8"))
        wrong += [f"{sheet.relative_to(site)}: loads {one}" for one in found]
    for script in site.rglob("*.js"):
        found = IN_SCRIPT.findall(script.read_text(encoding="utf-8"))
        wrong += [f"{script.relative_to(site)}: loads {one}" for one in found]
    return sorted(set(wrong))
