"""The terms that a program's statements add to its log density, as far as its text shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from manymodes.density.normalisation.masses import constant
from manymodes.density.stan_tokens import Source, Token, closing, functions_of, split, text_of

DENSITIES = ("_lpdf", "_lupdf", "_lpmf", "_lupmf")
DISTRIBUTIONS = ("_lcdf", "_lccdf", "_cdf", "_cdf_log", "_ccdf_log")
_TARGETS = ("target", "jacobian")
_CONTROL = ("for", "while", "if", "profile")
_ENTIRE = ("to_vector", "to_row_vector", "to_array_1d")
_MIXES = ("log_mix", "log_sum_exp", "hmm_marginal", "exp")
_ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=", ".*=", "./=", "<-")
_ADDS = ("=", "+=", "-=", "<-")
_TYPES = {
    *("int", "real", "complex", "vector", "row_vector", "matrix", "array", "tuple", "simplex"),
    *("complex_vector", "complex_row_vector", "complex_matrix", "unit_vector", "ordered"),
    *("positive_ordered", "sum_to_zero_vector", "sum_to_zero_matrix", "column_stochastic_matrix"),
    *("row_stochastic_matrix", "cov_matrix", "corr_matrix", "cholesky_factor_cov"),
    "cholesky_factor_corr",
}
_LOCAL = "__local"  # Stan allows no name that holds two underscores before its end


@dataclass(frozen=True)
class Loop:
    """A loop that a statement stands in.

    Attributes
    ----------
    variable : str
        Its variable; empty for a branch or a loop whose number of turns is not known.
    first, last : str
        The ends of its range; empty if it runs over elements.
    """

    variable: str = ""
    first: str = ""
    last: str = ""


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
    loops : tuple of Loop
        The loops and the branches that it stands in, outermost first.
    """

    name: str
    outcome: tuple[Token, ...]
    args: tuple[tuple[Token, ...], ...]
    truncated: bool = False
    sampling: bool = False
    loops: tuple[Loop, ...] = ()

    def of(self, parameter: str) -> bool:
        """Whether it is a density of a parameter itself: ``p``, ``p[...]``, ``to_vector(p)``."""
        words = [token for token in self.outcome if token.text != "'"]
        if words and words[0].text in _ENTIRE and len(words) > 2:
            words = words[2:-1]
        if not words or words[0].text != parameter:
            return False
        at = 1
        while at < len(words) and words[at].text == "[":
            at = closing(words, at) + 1
        return at == len(words)

    @property
    def elementwise(self) -> bool:
        """Whether its outcome is an element or a part of something: it has an index."""
        return any(token.text == "[" for token in self.outcome)

    @property
    def indices(self) -> list[tuple[Token, ...]]:
        """The indices of its outcome: those of ``p[i, j]`` and of ``p[i][j]`` alike."""
        found: list[tuple[Token, ...]] = []
        for at, token in enumerate(self.outcome):
            if token.text == "[":
                found += split(self.outcome[at + 1 : closing(self.outcome, at)], ",")
        return found


@dataclass(frozen=True)
class Term:
    """A term of the target that is not one density, with all that its variables hold.

    Attributes
    ----------
    tokens : tuple of Token
        The term as it is written.
    loose : tuple of Token
        What stands outside of densities and distribution functions, the values of variables
        instead of the variables.
    densities : tuple of Density
        The densities in it, such as the components of a mixture.
    distributions : tuple of Density
        The distribution functions in it: truncations, and the likelihood of censored data.
    """

    tokens: tuple[Token, ...]
    loose: tuple[Token, ...] = ()
    densities: tuple[Density, ...] = ()
    distributions: tuple[Density, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether it adds up probabilities, not their logs."""
        return any(token.text in _MIXES for token in self.loose)


@dataclass(frozen=True)
class _Piece:
    """A value that a variable gets, or that is added to it."""

    sign: str
    value: tuple[Token, ...]
    loops: tuple[Loop, ...]


@dataclass
class Statements:
    """All that a program does to its target, and how its variables depend on parameters.

    Variables are followed: ``lp += normal_lpdf(y | m, 1); target += lp;`` adds a density to the
    target, and ``target += log_sum_exp(lps)`` a mixture of whatever `lps` was given. A variable
    of an inner block, or of a loop, is not one of the same name elsewhere.

    Attributes
    ----------
    parameters : frozenset of str
        The names that count as parameters.
    own_functions : frozenset of str
        The functions that the program itself defines, densities without their suffix too.
    names : mapping of str to float
        Scalars with known values: branches of an ``if`` that they rule out are left out.
    densities : list of Density
        Terms that consist of one distribution.
    terms : list of Term
        All other terms of ``target +=``, and statements that call an ``_lp`` function.
    """

    parameters: frozenset[str]
    own_functions: frozenset[str]
    names: Mapping[str, float] = field(default_factory=dict)
    densities: list[Density] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    _added: list[_Piece] = field(default_factory=list)
    _pieces: dict[str, list[_Piece]] = field(default_factory=dict)
    _locals: int = 0

    def depends(self, tokens: Iterable[Token]) -> frozenset[str]:
        """Return the parameters that an expression depends on, also through other variables."""
        return self._reached(tokens) & self.parameters

    def _reached(self, tokens: Iterable[Token]) -> frozenset[str]:
        """Return the names that an expression depends on, also through other variables."""
        pending = {token.text for token in tokens if token.kind == "word"}
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            seen.add(name)
            for piece in self._pieces.get(name, ()):
                pending |= {t.text for t in piece.value if t.kind == "word"} - seen
        return frozenset(seen)

    def calls_own(self, tokens: Sequence[Token]) -> bool:
        """Whether an expression calls a function that the program itself defines."""
        return any(
            token.text in self.own_functions and after.text == "("
            for token, after in pairwise(tokens)
        )

    def same_for_all(self, density: Density) -> bool:
        """Whether the arguments of a density in loops are the same in every turn."""
        reached = self._reached(token for arg in density.args for token in arg)
        return not reached & {loop.variable for loop in density.loops}

    def read(self, block: Sequence[Token]) -> None:
        """Take in the statements of a block; `finish` is called after the last."""
        self._walk(block, {}, (), inner=False)

    def finish(self) -> None:
        """Find the densities and the other terms that the target consists of."""
        for piece in self._added:
            self._add(piece.value, piece.loops, frozenset())

    # -------------------------------------------------------- statement by statement

    def _walk(
        self,
        tokens: Sequence[Token],
        scope: Mapping[str, str],
        loops: tuple[Loop, ...],
        *,
        inner: bool = True,
    ) -> None:
        scope, at = dict(scope), 0
        while at < len(tokens):
            text = tokens[at].text
            if text == "{":
                end = closing(tokens, at)
                self._walk(tokens[at + 1 : end], scope, loops)
                at = end + 1
            elif text == "if" and (branch := self._branch(tokens, at)) is not None:
                taken, at = branch
                self._walk(taken, scope, loops)
            elif text in _CONTROL and at + 1 < len(tokens) and tokens[at + 1].text == "(":
                end = closing(tokens, at + 1)
                after = _statement_end(tokens, end + 1)
                head = _renamed(tokens[at + 2 : end], scope)
                within, body = loops, dict(scope)
                if text == "for" and len(head) > 2 and head[1].text == "in":
                    body[head[0].text] = self._local(head[0].text)
                    within = (*loops, self._loop(body[head[0].text], head[2:], loops))
                elif text != "profile":
                    within = (*loops, Loop())
                self._walk(tokens[end + 1 : after], body, within)
                at = after
            elif text == "else":
                after = _statement_end(tokens, at + 1)
                self._walk(tokens[at + 1 : after], scope, (*loops, Loop()))
                at = after
            elif text == ";":
                at += 1
            else:
                end = at
                while end < len(tokens) and tokens[end].text != ";":
                    end = closing(tokens, end) + 1 if tokens[end].text in "([{" else end + 1
                statement = tokens[at:end]
                if inner and text in _TYPES:
                    scope.update({name: self._local(name) for name in _names(statement)})
                self._simple(_renamed(statement, scope), loops)
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

    def _local(self, name: str) -> str:
        self._locals += 1
        return f"{name.partition(_LOCAL)[0]}{_LOCAL}{self._locals}"

    def _loop(self, name: str, over: tuple[Token, ...], loops: tuple[Loop, ...]) -> Loop:
        self._assign(name, "=", over, loops)
        ends = split(over, ":")
        if len(ends) != 2:
            return Loop(name)
        return Loop(name, text_of(ends[0]), text_of(ends[1]))

    def _assign(
        self, name: str, sign: str, value: tuple[Token, ...], loops: tuple[Loop, ...]
    ) -> None:
        self._pieces.setdefault(name, []).append(_Piece(sign, value, loops))

    def _simple(self, statement: tuple[Token, ...], loops: tuple[Loop, ...]) -> None:
        first, *rest = [token.text for token in statement[:2]]
        if first in _TARGETS and rest == ["+="]:
            self._added.append(_Piece("+=", statement[2:], loops))
        elif first == "increment_log_prob" and rest == ["("]:
            self._added.append(_Piece("+=", statement[2 : closing(statement, 1)], loops))
        elif len(sides := split(statement, "~")) == 2:
            self._sample(sides[0], sides[1], loops)
        else:
            if any(
                token.text.endswith("_lp") and after.text == "("
                for token, after in pairwise(statement)
            ):
                self.terms.append(Term(statement, statement))
            for part in split(statement, ","):
                *left, right = split(part, *_ASSIGNMENTS)
                names = [t.text for t in _outside(left[-1]) if t.kind == "word"] if left else []
                if names:
                    sign = next(t.text for t in _outside(part) if t.text in _ASSIGNMENTS)
                    self._assign(names[-1], sign, right, loops)

    def _sample(
        self, outcome: tuple[Token, ...], right: tuple[Token, ...], loops: tuple[Loop, ...]
    ) -> None:
        outcome = self._alias(outcome)
        if len(right) < 2 or right[1].text != "(":
            self.terms.append(Term(outcome + right, outcome + right))
            return
        end = closing(right, 1)
        args = tuple(split(right[2:end], ","))
        truncated = any(token.text == "T" for token in right[end + 1 :])
        self.densities.append(Density(right[0].text, outcome, args, truncated, True, loops))

    def _alias(self, outcome: tuple[Token, ...]) -> tuple[Token, ...]:
        """Return the parameter for a variable that is only another name of it."""
        pieces = self._pieces.get(outcome[0].text, ()) if len(outcome) == 1 else ()
        if len(pieces) == 1 and pieces[0].sign == "=" and len(pieces[0].value) == 1:
            named = pieces[0].value[0]
            if named.text in self.parameters:
                return (replace(outcome[0], text=named.text),)
        return outcome

    # -------------------------------------------------------- the target, term by term

    def _add(
        self, expression: tuple[Token, ...], loops: tuple[Loop, ...], seen: frozenset[str]
    ) -> None:
        """Take in an addition to the target, term by term."""
        for signed in split(expression, "+", "-"):
            term = signed[1:] if signed[0].text in {"+", "-"} and len(signed) > 1 else signed
            if term[0].text == "(" and closing(term, 0) == len(term) - 1:
                self._add(term[1:-1], loops, seen)
            elif term[0].text == "sum" and _is_call(term):
                self._add(term[2:-1], loops, seen)
            elif _is_call(term) and term[0].text.endswith(DENSITIES) and signed[0].text != "-":
                found = _call(term[0].text, term[2:-1], loops)
                self.densities.append(replace(found, outcome=self._alias(found.outcome)))
            elif (name := _variable(term)) in self._pieces and self._is_a_sum(name):
                if name not in seen:
                    for piece in self._pieces[name]:
                        self._add(piece.value, (*loops, *piece.loops), seen | {name})
            elif not self._is_zero(term):
                self.terms.append(self._term(term, loops))

    def _is_a_sum(self, name: str) -> bool:
        return name not in self.parameters and all(
            piece.sign in _ADDS for piece in self._pieces[name]
        )

    def _is_zero(self, term: tuple[Token, ...]) -> bool:
        if _is_call(term) and term[0].text in {"rep_vector", "rep_row_vector", "rep_array"}:
            term = split(term[2:-1], ",")[0]
        zeros = term[0].text in {"zeros_vector", "zeros_row_vector", "zeros_array"}
        return zeros or constant(text_of(term), self.names) == 0

    def _term(self, term: tuple[Token, ...], loops: tuple[Loop, ...]) -> Term:
        """Return a term with all densities in it, also those in the variables that it names."""
        loose: list[Token] = []
        densities: list[Density] = []
        distributions: list[Density] = []
        seen: set[str] = set()

        def take(tokens: tuple[Token, ...], within: tuple[Loop, ...]) -> None:
            at = 0
            while at < len(tokens):
                token = tokens[at]
                called = at + 1 < len(tokens) and tokens[at + 1].text == "("
                if called and token.text.endswith((*DENSITIES, *DISTRIBUTIONS)):
                    end = closing(tokens, at + 1)
                    kind = densities if token.text.endswith(DENSITIES) else distributions
                    kind.append(_call(token.text, tokens[at + 2 : end], within))
                    at = end + 1
                    continue
                if token.text in self._pieces and token.text not in self.parameters:
                    if token.text not in seen:
                        seen.add(token.text)
                        for piece in self._pieces[token.text]:
                            take(piece.value, (*within, *piece.loops))
                else:
                    loose.append(token)
                at += 1

        take(term, loops)
        return Term(term, tuple(loose), tuple(densities), tuple(distributions))


def statements_of(source: Source, names: Mapping[str, float] | None = None) -> Statements:
    """Return the terms that a program's statements add to its target, given values of names."""
    own = {name.text for name, _ in functions_of(source)}
    suffixes = (*DENSITIES, "_lp")
    own |= {name.rpartition("_")[0] for name in own if name.endswith(suffixes)}
    parameters = frozenset(p.name for p in source.parameters)
    found = Statements(parameters, frozenset(own), names or {})
    for block in ("transformed parameters", "model"):
        found.read(source.blocks.get(block, ()))
    found.finish()
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


def _is_call(term: Sequence[Token]) -> bool:
    """Whether an expression is one call: ``name(...)``."""
    if len(term) < 3 or term[0].kind != "word" or term[1].text != "(":
        return False
    return closing(term, 1) == len(term) - 1


def _variable(term: Sequence[Token]) -> str:
    """Return the name in ``name``, ``name[i]`` or ``name[i][j]``; nothing for other expressions."""
    at = 1
    while at < len(term) and term[at].text == "[":
        at = closing(term, at) + 1
    return term[0].text if at == len(term) and term[0].kind == "word" else ""


def _call(name: str, given: tuple[Token, ...], loops: tuple[Loop, ...]) -> Density:
    """Return the distribution that a call of its density or its distribution function names."""
    suffixes = sorted((*DENSITIES, *DISTRIBUTIONS), key=len, reverse=True)
    suffix = next(one for one in suffixes if name.endswith(one))
    outcome, _, args = _partition(given)
    return Density(name.removesuffix(suffix), outcome, tuple(split(args, ",")), loops=loops)


def _names(statement: Sequence[Token]) -> list[str]:
    """Return the names that a declaration declares."""
    at, depth = 1, 0
    while at < len(statement) and (depth or statement[at].kind != "word"):
        text = statement[at].text
        depth += (text in "([{<") - (text in ")]}>")
        at += 1
        if statement[0].text == "array" and not depth and statement[at - 1].text == "]":
            return _names(statement[at:])
    return [part[0].text for part in split(statement[at:], ",")]


def _renamed(tokens: Sequence[Token], scope: Mapping[str, str]) -> tuple[Token, ...]:
    """Return tokens with the names of local variables made unique."""
    return tuple(
        replace(token, text=scope[token.text])
        if token.kind == "word" and token.text in scope
        else token
        for token in tokens
    )


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
    return re.sub(rf"{_LOCAL}\d+", "", text_of(tokens)).replace(",", ", ")
