"""A parser of arguments with errors of one line that suggest the nearest name."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from manymodes.errors import InputError
from manymodes.wording import escaped, nearest

MOST = 2**31 - 1
"""The largest whole number that Stan and PolyChord take."""

_INVALID_CHOICE = re.compile(r"invalid choice: (['\"])(.*)\1 \(choose from (.*)\)", re.DOTALL)
_NEGATIVE = re.compile(r"^-(\d[\d_.,eE+-]*|\.\d[\deE+-]*|inf(inity)?|nan)$", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """A parser that takes options by their whole names, once each, and complains in one line.

    Parameters
    ----------
    fill : callable, optional
        Adds the arguments when they are needed. Defaults are those of the engines' settings, and
        it takes a second to import an engine: the parsers of other commands do not wait for it.
    """

    def __init__(
        self, *given: Any, fill: Callable[[Parser], None] | None = None, **named: Any
    ) -> None:
        named.setdefault("allow_abbrev", False)
        named.setdefault("formatter_class", _Lines)
        super().__init__(*given, **named)
        self._fill = fill
        for name in (None, "store"):
            self.register("action", name, _Once)
        self._negative_number_matcher = _NEGATIVE  # also -1e3 and -inf are values

    def complete(self) -> None:
        """Add the arguments that wait until they are needed, once."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse arguments; complain of those that are left over where it is known of which."""
        self.complete()
        options = {name for action in self._actions for name in action.option_strings}
        if args is None:
            args = sys.argv[1:]
        if self._subparsers is None:
            words = args[: args.index("--")] if "--" in args else args
        else:  # arguments after a command belong to the command
            words = list(takewhile(lambda text: text.startswith("--"), args))
        if words:
            strange = [text.partition("=")[0] for text in words if text.startswith("--")]
            self._refuse([name for name in strange if name not in options], options)
        found, extra = super().parse_known_args(args, namespace)
        self._refuse(extra, options)
        return found, extra

    def _refuse(self, extra: Sequence[str], options: Iterable[str]) -> None:
        """Report unknown arguments, with the option that may be meant."""
        if not extra:
            return
        by_word = {name.lstrip("-"): name for name in options}
        strange = next((text for text in extra if text.startswith("--")), "")
        near = nearest(strange.partition("=")[0].lstrip("-"), by_word).replace("'", "'--", 1)
        self.error(
            f"unrecognized arguments: {' '.join(map(escaped, extra))}{near if strange else ''}"
        )

    def error(self, message: str) -> NoReturn:
        """Raise `InputError`; for a word that is not allowed, suggest the nearest."""
        choice = _INVALID_CHOICE.search(message)
        if choice is not None:
            message += nearest(choice.group(2), re.findall(r"[\w-]+", choice.group(3)))
        raise InputError(f"{message} (see {self.prog} --help)")


class _Lines(argparse.HelpFormatter):
    """A formatter that keeps the lines of a help text that has several."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        split = super()._split_lines
        return [line for one in text.splitlines() for line in split(one, width)]


class _Once(argparse.Action):
    """Store the value of an option; refuse another one."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        given: set[str] = vars(namespace).setdefault("_given", set())
        if option_string is not None and self.dest in given:
            before = getattr(namespace, self.dest)
            raise argparse.ArgumentError(
                self, f"given twice, as {_plain(before)} and {_plain(values)}: leave one out"
            )
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def _plain(value: Any) -> str:
    return escaped(" ".join(map(str, value)) if isinstance(value, list) else value)


def whole(least: int | None, most: int = MOST) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` (if there is one) to ``most``."""

    def read(text: str) -> int:
        try:
            value = int(text) if len(text) < 100 else None
        except ValueError:
            value = None
        if value is None or (least is not None and value < least):
            allowed = "" if least is None else f", {least} or more"
            raise argparse.ArgumentTypeError(f"{escaped(text)} is not a whole number{allowed}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text} is too large: {most} at most")
        return value

    return read
