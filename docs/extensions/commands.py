"""Pages of the command line, one for each command, from the parser itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from manymodes.cli.parser import parser

WIDTH = 84
"""Columns of the usage of a command."""
HIDDEN = (argparse._HelpAction, argparse._VersionAction)
"""Options of every command, which its page need not explain."""
CODE = re.compile(r"`([^`]+)`|(?<!\w)--\w[\w-]*")
"""What is code in a help text: what stands in backticks, and options."""


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, in the order of ``manymodes --help``."""
    top = parser()
    [choice] = [one for one in top._actions if isinstance(one, argparse._SubParsersAction)]
    for command in choice.choices.values():
        command.complete()
    return dict(choice.choices)


def summaries() -> dict[str, str]:
    """Return what ``manymodes --help`` says of each command."""
    [choice] = [one for one in parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return {one.dest: str(one.help) for one in choice._choices_actions}


def escaped(text: str) -> str:
    """Return plain text as reStructuredText; options, and what stands in backticks, become code."""
    lines, end = "", 0
    for match in CODE.finditer(text):
        lines += f"{plain(text[end : match.start()])}``{match[1] or match[0]}``"
        end = match.end()
    return lines + plain(text[end:])


def plain(text: str) -> str:
    """Return text in which nothing means markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def heading(text: str, line: str) -> list[str]:
    """Return a heading, underlined."""
    return [text, line * len(text), ""]


def indented(lines: list[str]) -> list[str]:
    """Return lines as the content of a directive."""
    return [f"   {line}" if line else "" for line in lines]


def described(action: argparse.Action, formatter: argparse.HelpFormatter) -> Iterator[str]:
    """Yield an argument with its help; further lines of a help text become a list."""
    name = formatter._format_action_invocation(action)
    first, *more = formatter._expand_help(action).splitlines()
    if action.option_strings:
        yield f".. option:: {name}"
        yield ""
        yield from indented([escaped(first), "", *(f"- {escaped(one)}" for one in more)])
    else:
        yield f"``{name}``"
        yield from indented([escaped(first), *(escaped(one) for one in more)])
    yield ""


def page(name: str, summary: str, command: argparse.ArgumentParser) -> str:
    """Return the page of a command: its usage and its arguments, group by group."""
    formatter = command.formatter_class(command.prog, width=WIDTH)
    formatter.add_usage(command.usage, command._actions, command._mutually_exclusive_groups)
    usage = formatter.format_help().removeprefix("usage: ").rstrip().splitlines()
    lines = [
        *heading(command.prog, "="),
        f"{summary[0].upper()}{summary[1:]}.",
        "",
        ".. code-block:: text",
        "",
        *indented(usage),
        "",
        f".. program:: {command.prog}",
        "",
    ]
    for group in command._action_groups:
        actions = [one for one in group._group_actions if not isinstance(one, HIDDEN)]
        if not actions:
            continue
        title = {"positional arguments": "arguments"}.get(str(group.title), str(group.title))
        lines += heading(title[0].upper() + title[1:], "-")
        for action in actions:
            lines += described(action, formatter)
    return "\n".join(lines)


def write(app: Sphinx) -> None:
    """Write the pages, and remove those of commands that are gone."""
    folder = Path(app.srcdir) / "generated" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    said = summaries()
    pages = {f"{name}.rst": page(name, said[name], one) for name, one in commands().items()}
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Write the pages before Sphinx looks for its sources."""
    app.connect("builder-inited", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
