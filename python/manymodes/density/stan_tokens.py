"""A Stan program as text: its tokens, its blocks, and the parameters that it declares.

`stanc --info` gives names and dimensions, but neither constraints nor lines. Therefore the text
itself is read: comments are removed, strings kept whole, includes put in their place, brackets
matched. This module knows no meaning of names except the words of a declaration: a type of a
later Stan is a type like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from manymodes.errors import InputError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<include>\#include[ \t\f\r\n]+(?P<file>
            "[^"\r\n]*"(?![^ \t\f\r\n]) | "[^" \t\f\r\n]*[ \t\f][^"\r\n]*"
          | <[^>\r\n]*>(?![^ \t\f\r\n]) | <[^> \t\f\r\n]*[ \t\f][^>\r\n]*>
          | [^ \t\f\r\n]*))
      | (?P<comment>//[^\r\n]*|/\*.*?\*/|\#[^\r\n]*)
      | (?P<string>"[^"\n]*")
      | (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?i?)
      | (?P<word>[A-Za-z]\w*)
      | (?P<sign>%/%|\.\*=|\./=|\.\*|\./|\.\^|\+=|-=|\*=|/=|<=|>=|==|!=|&&|\|\||<-|.)
    """,
    re.VERBOSE | re.DOTALL,
)
"""The tokens of stanc's lexer. It takes the longest way to write an include: a name is quoted if
a space, or the end, comes after the quotes, or if the name itself holds a space."""
_BLOCKS = (
    "functions",
    "transformed data",
    "data",
    "transformed parameters",
    "parameters",
    "model",
    "generated quantities",
)
_OPEN, _CLOSE = "([{", ")]}"
_BOUNDS = ("lower", "upper", "offset", "multiplier")


@dataclass(frozen=True)
class Token:
    """One word, number, string or sign of a program.

    Attributes
    ----------
    text, kind : str
        Its text; ``word``, ``number``, ``string`` or ``sign``.
    file, line, column : str, int, int
        Its place: the file's name, the line from 1, the character of that line from 0.
    """

    text: str
    kind: str
    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Include:
    """An ``#include`` outside of comments and strings.

    Attributes
    ----------
    name : str
        The file, without quotes or angle brackets.
    start, end : int
        Where the name begins in the text, and where it ends.
    """

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Parameter:
    """A declared variable: a parameter, or an item of the data.

    Attributes
    ----------
    name, base : str
        Its name, and its type without sizes: ``real``, ``vector``, ``simplex``, ...
    sizes, array : tuple of str
        The expressions that size the type and the array, outermost first; `sizes` is empty for a
        scalar, and `array` for a variable that is not an array.
    lower, upper, offset, multiplier : str
        The constraint's expressions; empty if there is none.
    file, line : str, int
        The place of its declaration.
    """

    name: str
    base: str
    sizes: tuple[str, ...] = ()
    array: tuple[str, ...] = ()
    lower: str = ""
    upper: str = ""
    offset: str = ""
    multiplier: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Source:
    """A program that was read.

    Attributes
    ----------
    blocks : dict of str to tuple of Token
        The tokens between the braces of each block, by the block's name.
    parameters, data : tuple of Parameter
        The declarations of these blocks, in order.
    """

    blocks: Mapping[str, tuple[Token, ...]]
    parameters: tuple[Parameter, ...]
    data: tuple[Parameter, ...] = ()


def read_source(sources: Mapping[str, str]) -> Source:
    """Read a program.

    Parameters
    ----------
    sources : mapping of str to str
        The program's text, first, and that of each file that it includes, by name, as
        `Program.sources` gives them.

    Raises
    ------
    InputError
        Brackets do not match, an include is missing or includes itself, or a declaration has no
        name: stanc would not take the program.
    """
    blocks: dict[str, tuple[Token, ...]] = {}
    tokens = tokens_of(sources)
    at = 0
    while at < len(tokens):
        name = next((b for b in _BLOCKS if _spells(tokens, at, b.split())), None)
        if name is None:
            raise _unreadable(tokens[at], f"no block begins with '{tokens[at].text}'")
        at += len(name.split())
        end = closing(tokens, at)
        blocks[name] = tuple(tokens[at + 1 : end])
        at = end + 1
    parameters, data = (tuple(_declarations(blocks.get(b, ()))) for b in ("parameters", "data"))
    return Source(blocks, parameters, data)


def includes_of(text: str) -> Iterator[Include]:
    """Yield the includes of a program's text, in order."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "include":
            name, start = match["file"], match.start("file")
            quoted = len(name) > 1 and name[0] + name[-1] in {'""', "<>"}
            name = name[1:-1] if quoted else name
            yield Include(name, start + quoted, start + quoted + len(name))


def with_includes(text: str, names: Mapping[str, str]) -> str:
    """Return a program's text with other names in its includes, by the names that it has."""
    for include in reversed(list(includes_of(text))):
        name = names.get(include.name, include.name)
        text = text[: include.start] + name + text[include.end :]
    return text


def functions_of(source: Source) -> Iterator[tuple[Token, tuple[tuple[Token, ...], ...]]]:
    """Yield the name and the arguments of each function that a program defines or declares."""
    tokens = source.blocks.get("functions", ())
    at = 0
    while at < len(tokens):
        if tokens[at].text == "{":
            at = closing(tokens, at)
        elif tokens[at].text == "(":
            end = closing(tokens, at)
            if tokens[at - 1].text != "tuple":  # otherwise it is the type of a returned value
                yield tokens[at - 1], tuple(split(tokens[at + 1 : end], ","))
            at = end
        at += 1


def tokens_of(sources: Mapping[str, str]) -> list[Token]:
    """Return the tokens of a program, those of each included file in the place of its include.

    Raises
    ------
    InputError
        An include is missing or includes itself.
    """
    return list(_tokens(sources, next(iter(sources)), ()))


def _tokens(sources: Mapping[str, str], file: str, above: tuple[str, ...]) -> Iterator[Token]:
    if file not in sources or file in above:
        found = "includes itself" if file in above else "is not among the program's files"
        raise InputError(f"{above[-1] if above else file}: #include {file} {found}")
    line, start = 1, 0
    includes = includes_of(sources[file])
    for match in _TOKEN.finditer(sources[file]):
        text, kind = match.group(), str(match.lastgroup)
        if kind == "include":
            yield from _tokens(sources, next(includes).name, (*above, file))
        elif kind not in {"space", "comment"}:
            yield Token(text, kind, file, line, match.start() - start)
        if "\n" in text:
            line += text.count("\n")
            start = match.start() + text.rindex("\n") + 1


def closing(tokens: Sequence[Token], at: int) -> int:
    """Return the place where the bracket that opens at `at` is closed.

    Raises
    ------
    InputError
        There is no bracket there, or it is not closed by its like.
    """
    if at >= len(tokens) or tokens[at].text not in _OPEN:
        where = tokens[min(at, len(tokens) - 1)]
        raise _unreadable(where, "a bracket is missing")
    pending: list[str] = []
    for place in range(at, len(tokens)):
        text = tokens[place].text
        if text in _OPEN:
            pending.append(text)
        elif text in _CLOSE:
            if _OPEN.index(pending.pop()) != _CLOSE.index(text):
                raise _unreadable(tokens[place], f"'{text}' closes another bracket")
            if not pending:
                return place
    raise _unreadable(tokens[at], f"'{tokens[at].text}' is not closed")


def split(tokens: Iterable[Token], *signs: str) -> list[tuple[Token, ...]]:
    """Split tokens at signs that stand outside all brackets.

    A sign ``+`` or ``-`` stays with the tokens after it, and splits only if it is binary; other
    signs are left out. Empty parts are left out.
    """
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.text in signs and depth == 0:
            if token.text not in "+-":
                parts.append([])
                continue
            if parts[-1] and (parts[-1][-1].kind != "sign" or parts[-1][-1].text in ")]'"):
                parts.append([])
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        parts[-1].append(token)
    return [tuple(part) for part in parts if part]


def text_of(tokens: Iterable[Token]) -> str:
    """Return tokens as text, with a space only where two words would become one."""
    text = ""
    for token in tokens:
        text += " " * (text[-1:].isalnum() and token.text[:1].isalnum()) + token.text
    return text


# ------------------------------------------------------------------ declarations


def _declarations(tokens: Sequence[Token]) -> Iterator[Parameter]:
    for statement in split(tokens, ";"):
        yield from _declared(list(statement))


def _declared(tokens: list[Token]) -> Iterator[Parameter]:
    """Yield the variables of one declaration: ``array[N] T<...>[K] x`` or ``T<...>[K] x[N], y``."""
    first = tokens[0]
    array: tuple[str, ...] = ()
    if _spells(tokens, 0, ["array", "["]):
        end = closing(tokens, 1)
        array, tokens = _texts(tokens[2:end]), tokens[end + 1 :]
    if not tokens or tokens[0].kind != "word":
        raise _unreadable(first, "a declaration without a type")
    declared = Parameter("", tokens[0].text, array=array, file=first.file, line=first.line)
    tokens = tokens[1:]
    if declared.base == "tuple":
        tokens = tokens[closing(tokens, 0) + 1 :]
    if tokens and tokens[0].text == "<":
        end = _end_of_bounds(tokens)
        given = _bounds(tokens[1:end])
        declared = replace(
            declared,
            lower=given.get("lower", ""),
            upper=given.get("upper", ""),
            offset=given.get("offset", ""),
            multiplier=given.get("multiplier", ""),
        )
        tokens = tokens[end + 1 :]
    if tokens and tokens[0].text == "[":
        end = closing(tokens, 0)
        declared = replace(declared, sizes=_texts(tokens[1:end]))
        tokens = tokens[end + 1 :]
    names = split(tokens, ",")
    if not names:
        raise _unreadable(first, "a declaration without a name")
    for words in names:
        if words[0].kind != "word":
            raise _unreadable(words[0], f"'{words[0].text}' is not a name")
        own = _texts(words[2:-1]) if len(words) > 1 and words[1].text == "[" else array
        yield replace(declared, name=words[0].text, array=own, line=words[0].line)


def _end_of_bounds(tokens: Sequence[Token]) -> int:
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if token.text == ">" and depth == 0:
            return place
    raise _unreadable(tokens[0], "'<' is not closed")


def _bounds(tokens: Sequence[Token]) -> dict[str, str]:
    found = {}
    for part in split(tokens, ","):
        if len(part) > 2 and part[0].text in _BOUNDS and part[1].text == "=":
            found[part[0].text] = text_of(part[2:])
    return found


def _texts(tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(text_of(part) for part in split(tokens, ","))


def _spells(tokens: Sequence[Token], at: int, words: Sequence[str]) -> bool:
    return [token.text for token in tokens[at : at + len(words)]] == list(words)


def _unreadable(token: Token, why: str) -> InputError:
    return InputError(f"{PurePath(token.file).name}, line {token.line}: {why}")
