"""One name for several functions, for a Stan compiler that takes one function for each name.

Stan takes overloaded functions since 2.29. For an older compiler each of them gets its own name,
and each call gets the name of the function that fits. The types of the arguments decide which one
fits, and the compiler knows them: if it rejects the types of a call, the next function with the
same number of arguments is tried there, until the program passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manymodes.density.stan_tokens import Source, Token, closing, functions_of, read_source, split

FIRST_WITH_OVERLOADS = (2, 29)
_PLACE = re.compile(r"'([^']+)', line (\d+), column (\d+)")


@dataclass(frozen=True)
class _Function:
    """A definition (or declaration): its name's place and its arguments' number and types."""

    token: Token
    types: tuple[str, ...]

    @property
    def own_name(self) -> str:
        return "_".join((self.token.text, *self.types, "args"))


def without_overloads(
    sources: Mapping[str, str], complaint: Callable[[Mapping[str, str]], str]
) -> dict[str, str]:
    """Return a program in which every function has its own name.

    Parameters
    ----------
    sources : mapping of str to str
        The program's text, first, and that of each file that it includes, by name.
    complaint : callable
        Takes such sources, lets the compiler check them, and returns its first error; empty
        if there is none. The error names files as `sources` does, lines from 1, columns from 0.

    Returns
    -------
    dict of str to str
        `sources` themselves if no name stands for several functions. If no choice of functions
        passes, the last choice is returned, so that the compiler reports its error.

    Raises
    ------
    InputError
        The program could not be read.
    """
    source = read_source(sources)
    functions = _overloaded(source)
    if not functions:
        return dict(sources)
    definitions = {f.token: f.own_name for fs in functions.values() for f in fs}
    calls: dict[Token, list[str]] = {}
    for tokens in source.blocks.values():
        for at, token in enumerate(tokens[:-1]):
            called = token.text in functions and tokens[at + 1].text == "("
            if called and token not in definitions:
                arguments = tokens[at + 2 : closing(tokens, at + 1)]
                number = len(split(arguments, ",", "|"))
                fitting = [f.own_name for f in functions[token.text] if len(f.types) == number]
                calls[token] = fitting or [token.text]
    while True:
        chosen = {**definitions, **{token: names[0] for token, names in calls.items()}}
        written, places = _renamed(sources, chosen)
        said = complaint(written)
        match = _PLACE.search(said) if "Ill-typed" in said else None
        wrong = places.get((match[1], int(match[2]), int(match[3]))) if match else None
        if wrong is None or len(calls.get(wrong, ())) < 2:
            return written
        calls[wrong] = calls[wrong][1:]


def _overloaded(source: Source) -> dict[str, list[_Function]]:
    """Return the functions that share a name with others of other arguments."""
    found: dict[str, list[_Function]] = {}
    for name, arguments in functions_of(source):
        types = tuple(_type(argument) for argument in arguments)
        found.setdefault(name.text, []).append(_Function(name, types))
    return {
        name: functions
        for name, functions in found.items()
        if len({function.types for function in functions}) > 1
    }


def _type(argument: tuple[Token, ...]) -> str:
    """Return an argument's type in letters: ``real``, ``vector``, ``array2_int``."""
    words = [token.text for token in argument if token.kind == "word" and token.text != "data"]
    brackets = sum(token.text == "[" for token in argument)
    commas = sum(token.text == "," for token in argument)
    kind = next(word for word in words if word != "array")
    return f"array{brackets + commas}_{kind}" if brackets else kind


def _renamed(
    sources: Mapping[str, str], names: Mapping[Token, str]
) -> tuple[dict[str, str], dict[tuple[str, int, int], Token]]:
    """Return sources with other names in some places, and the token at each place in them."""
    written = {file: text.split("\n") for file, text in sources.items()}
    places: dict[tuple[str, int, int], Token] = {}
    shift: dict[tuple[str, int], int] = {}
    for token, name in sorted(names.items(), key=lambda item: (item[0].line, item[0].column)):
        row = token.file, token.line
        column = token.column + shift.get(row, 0)
        line = written[token.file][token.line - 1]
        written[token.file][token.line - 1] = (
            line[:column] + name + line[column + len(token.text) :]
        )
        shift[row] = shift.get(row, 0) + len(name) - len(token.text)
        places[(*row, column)] = token
    return {file: "\n".join(lines) for file, lines in written.items()}, places
