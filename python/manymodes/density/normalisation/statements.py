"""The terms that a program's statements add to its log density, as far as its text shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from manymodes.density.normalisation.masses import constant
from manymodes.density.stan_tokens import Source, Token, closing, functions_of, split, text_of

DENSITIES = ("_lpdf", "_lupdf", "_lpmf", "_lupmf")
_TARGETS = ("target", "jacobian")
_CONTROL = ("for", "while", "if", "profile")
_ENTIRE = ("to_vector", "to_row_vector", "to_array_1d")


@dataclass(frozen=True)
class Density:
    """One distribution: ``outcome ~ name(args)`` or ``target += name_lpdf(outcome | args)``.

    Attributes
    ----------
    name : str
        The distribution's name, without ``_lpdf``.
    outcome : tuple of Token
        The expression that it is a density of.
    args : tuple of tuple of Token
        Its arguments.
    truncated : bool
        Whether ``T[...]`` comes after it.
    sampling : bool
        Whether it is a ``~`` statement.
    """

    name: str
    outcome: tuple[Token, ...]
    args: tuple[tuple[Token, ...], ...]
    truncated: bool
    sampling: bool

    def of(self, parameter: str) -> bool:
        """Whether it is a density of a parameter itself: ``p``, ``p[...]``, ``to_vector(p)``."""
        words = [token for token in self.outcome if token.text != "'"]
        if words and words[0].text in _ENTIRE and len(words) > 2:
            words = words[2:-1]
        if not words or words[0].text != parameter:
            return False
        return len(words) == 1 or (words[1].text == "[" and closing(words, 1) == len(words) - 1)

    @property
    def elementwise(self) -> bool:
        """Whether its outcome is an element or a part of something: it has an index."""
        return any(token.text == "[" for token in self.outcome)


@dataclass
class Statements:
    """All that a program does to its target, and how its variables depend on parameters.

    Attributes
    ----------
    densities : list of Density
        Terms that consist of one distribution.
    terms : list of tuple of Token
        All other terms of ``target +=``, and statements that call an ``_lp`` function.
    parameters : frozenset of str
        The names that count as parameters.
    names : mapping of str to float
        Scalars with known values: branches of an ``if`` that they rule out are left out.
    """

    parameters: frozenset[str]
    own_functions: frozenset[str]
    names: Mapping[str, float] = field(default_factory=dict)
    densities: list[Density] = field(default_factory=list)
    terms: list[tuple[Token, ...]] = field(default_factory=list)
    _assigned: dict[str, set[str]] = field(default_factory=dict)

    def depends(self, tokens: Iterable[Token]) -> frozenset[str]:
        """Return the parameters that an expression depends on, also through other variables."""
        pending = {token.text for token in tokens if token.kind == "word"}
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            seen.add(name)
            pending |= self._assigned.get(name, set()) - seen
        return frozenset(seen & self.parameters)

    def calls_own(self, tokens: Sequence[Token]) -> bool:
        """Whether an expression calls a function that the program itself defines."""
        return any(
            token.text in self.own_functions and after.text == "("
            for token, after in pairwise(tokens)
        )

    def walk(self, tokens: Sequence[Token]) -> None:
        """Take in the statements of a block."""
        at = 0
        while at < len(tokens):
            text = tokens[at].text
            if text == "{":
                end = closing(tokens, at)
                self.walk(tokens[at + 1 : end])
                at = end + 1
            elif text == "if" and (branch := self._branch(tokens, at)) is not None:
                taken, at = branch
                self.walk(taken)
            elif text in _CONTROL and at + 1 < len(tokens) and tokens[at + 1].text == "(":
                end = closing(tokens, at + 1)
                if text == "for":
                    self._loop(tokens[at + 2 : end])
                at = end + 1
            elif text in {"else", ";"}:
                at += 1
            else:
                end = at
                while end < len(tokens) and tokens[end].text != ";":
                    end = closing(tokens, end) + 1 if tokens[end].text in "([{" else end + 1
                self._simple(tuple(tokens[at:end]))
                at = end + 1

    def _branch(self, tokens: Sequence[Token], at: int) -> tuple[Sequence[Token], int] | None:
        """Return the statement that an ``if`` takes, and the place after it; None if not known."""
        end = closing(tokens, at + 1)
        chosen = constant(text_of(tokens[at + 2 : end]), self.names)
        if chosen is None:
            return None
        yes = _statement_end(tokens, end + 1)
        if yes < len(tokens) and tokens[yes].text == "else":
            no = _statement_end(tokens, yes + 1)
            return (tokens[end + 1 : yes] if chosen else tokens[yes + 1 : no]), no
        return (tokens[end + 1 : yes] if chosen else ()), yes

    def _loop(self, head: Sequence[Token]) -> None:
        if len(head) > 2 and head[1].text == "in":
            self._assign(head[0].text, head[2:])

    def _assign(self, name: str, tokens: Sequence[Token]) -> None:
        words = {token.text for token in tokens if token.kind == "word"}
        self._assigned.setdefault(name, set()).update(words - {name})

    def _simple(self, statement: tuple[Token, ...]) -> None:
        first, *rest = [token.text for token in statement[:2]]
        if first in _TARGETS and rest == ["+="]:
            self._add(statement[2:])
        elif first == "increment_log_prob" and rest == ["("]:
            self._add(statement[2 : closing(statement, 1)])
        elif len(sides := split(statement, "~")) == 2:
            self._sample(*sides)
        else:
            if any(
                token.text.endswith("_lp") and after.text == "("
                for token, after in pairwise(statement)
            ):
                self.terms.append(statement)
            for part in split(statement, ","):
                *left, right = split(part, "=", "+=", "-=", "*=", "/=", "<-")
                names = [t.text for t in _outside(left[-1]) if t.kind == "word"] if left else []
                if names:
                    self._assign(names[-1], right)

    def _sample(self, outcome: tuple[Token, ...], right: tuple[Token, ...]) -> None:
        if len(right) < 2 or right[1].text != "(":
            self.terms.append(outcome + right)
            return
        end = closing(right, 1)
        args = tuple(split(right[2:end], ","))
        truncated = any(token.text == "T" for token in right[end + 1 :])
        self.densities.append(Density(right[0].text, outcome, args, truncated, True))

    def _add(self, expression: tuple[Token, ...]) -> None:
        """Take in an addition to the target, term by term."""
        for signed in split(expression, "+", "-"):
            term = signed[1:] if signed[0].text == "+" else signed
            if term and term[0].text == "(" and closing(term, 0) == len(term) - 1:
                self._add(term[1:-1])
            elif len(term) > 2 and term[0].text.endswith(DENSITIES) and _is_call(term):
                name = term[0].text.rpartition("_")[0]
                outcome, _, given = _partition(term[2:-1])
                self.densities.append(
                    Density(name, outcome, tuple(split(given, ",")), False, False)
                )
            elif term:
                self.terms.append(term)


def statements_of(source: Source, names: Mapping[str, float] | None = None) -> Statements:
    """Return the terms that a program's statements add to its target, given values of names."""
    own = {name.text for name, _ in functions_of(source)}
    suffixes = (*DENSITIES, "_lp")
    own |= {name.rpartition("_")[0] for name in own if name.endswith(suffixes)}
    parameters = frozenset(p.name for p in source.parameters)
    found = Statements(parameters, frozenset(own), names or {})
    for block in ("transformed parameters", "model"):
        found.walk(source.blocks.get(block, ()))
    return found


def _statement_end(tokens: Sequence[Token], at: int) -> int:
    """Return the end of the statement that begins at `at`."""
    if at >= len(tokens):
        return at
    text = tokens[at].text
    if text == "{":
        return closing(tokens, at) + 1
    if text in _CONTROL and at + 1 < len(tokens) and tokens[at + 1].text == "(":
        end = _statement_end(tokens, closing(tokens, at + 1) + 1)
        if text == "if" and end < len(tokens) and tokens[end].text == "else":
            return _statement_end(tokens, end + 1)
        return end
    while at < len(tokens) and tokens[at].text != ";":
        at = closing(tokens, at) + 1 if tokens[at].text in "([{" else at + 1
    return at + 1


def has_density(tokens: Sequence[Token]) -> bool:
    """Whether an expression calls a density or a mass function."""
    return any(token.kind == "word" and token.text.endswith(DENSITIES) for token in tokens)


def _is_call(term: Sequence[Token]) -> bool:
    return term[1].text == "(" and closing(term, 1) == len(term) - 1


def _partition(
    tokens: tuple[Token, ...],
) -> tuple[tuple[Token, ...], str, tuple[Token, ...]]:
    """Split a density's arguments at the bar (or, in old programs, at the first comma)."""
    for bar in ("|", ","):
        parts = split(tokens, bar)
        if len(parts) > 1:
            size = len(parts[0])
            return tokens[:size], bar, tokens[size + 1 :]
    return tokens, "", ()


def _outside(tokens: Iterable[Token]) -> Iterable[Token]:
    """Yield the tokens that stand outside all brackets."""
    depth = 0
    for token in tokens:
        depth -= token.text in ")]}"
        if depth == 0:
            yield token
        depth += token.text in "([{"


def shown(tokens: Iterable[Token]) -> str:
    """Return an expression as it is shown in a remark."""
    return text_of(tokens).replace(",", ", ")
