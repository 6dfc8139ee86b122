"""Remarks on programs that may be unnormalised, parameter by parameter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from numbers import Integral, Real

from manymodes.density.normalisation.masses import (
    FAMILIES,
    MULTIVARIATE,
    SCALAR_CALLS,
    constant,
    log_mass_on_simplex,
    log_mass_on_sphere,
    mass_between,
)
from manymodes.density.normalisation.statements import (
    DENSITIES,
    Density,
    Statements,
    Term,
    shown,
    statements_of,
)
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_tokens import Parameter, Source, Token, read_source, split, text_of
from manymodes.errors import InputError

_BOUNDED = {"real", "vector", "row_vector", "matrix"}
_ORDERED = {"ordered", "positive_ordered"}
_COMPLEX = {"complex", "complex_vector", "complex_row_vector", "complex_matrix"}
_IMPROPER = {"ordered", "positive_ordered", "cov_matrix", "cholesky_factor_cov", *_COMPLEX}
_FINITE = {
    "corr_matrix": ("lkj_corr(1)", "the correlation matrices"),
    "cholesky_factor_corr": ("lkj_corr_cholesky(1)", "the Cholesky factors"),
}
_SIMPLEX = "simplex"
_SPHERE = "unit_vector"
_SURFACES = {
    "simplex": ("the simplex", "write {name} ~ dirichlet(alpha) instead"),
    "unit_vector": ("the sphere", "subtract the log of its integral from the target"),
    "corr_matrix": ("the correlation matrices", "write {name} ~ lkj_corr(eta) instead"),
    "cov_matrix": ("the covariance matrices", "write {name} ~ inv_wishart(nu, S) instead"),
    "cholesky_factor_corr": (
        "the Cholesky factors",
        "write {name} ~ lkj_corr_cholesky(eta) instead",
    ),
    "cholesky_factor_cov": (
        "the Cholesky factors",
        "give the elements on and below the diagonal priors of their own",
    ),
}
_NORMAL = {"std_normal": "normal"}
_NEGLIGIBLE = 1e-9  # nats
_INFINITE = "a flat density has no finite integral there, and no evidence exists"
_ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "<-"}


@dataclass(frozen=True)
class Remark:
    """Something in a program's text that may leave its density unnormalised.

    Attributes
    ----------
    file, line : str, int
        The place; line 0 if the remark is about the whole program.
    parameter : str
        The parameter that it is about; empty if it is about the whole program.
    what, why, remedy : str
        The observation, its effect on the evidence, and how to mend it.
    log_mass : float or None
        The log (nats) of the integral that the parameter's prior may have instead of 1, over all
        its elements: log_z is wrong by it. None if the text does not show it.
    """

    file: str
    line: int
    parameter: str
    what: str
    why: str
    remedy: str
    log_mass: float | None = None

    @property
    def infinite(self) -> bool:
        """Whether the parameter's density may have no finite integral at all."""
        return self.why == _INFINITE

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.what}; {self.why}; {self.remedy}"


def remarks(program: Posterior | Program) -> tuple[Remark, ...]:
    """Return remarks on a program whose density may not be normalised, by line.

    Parameters
    ----------
    program : Posterior or Program
        The program, which is not compiled. With a posterior's data more expressions are known:
        bounds, sizes, and parameters that are empty.

    Returns
    -------
    tuple of Remark
        Empty if there is nothing to say. A program that could not be read gives one remark
        that says so.

    Raises
    ------
    InputError
        A file that the program includes is not found.
    """
    data: dict[str, Real] = {}
    if isinstance(program, Posterior):
        data = {name: v for name, v in program.data.items() if isinstance(v, Real)}
        program = program.program
    main, sources = program.stan_file.name, program.sources
    try:
        look = _Look(read_source(sources), data)
        found = [remark for parameter in look.parameters for remark in look.at(parameter)]
    except InputError as error:
        return (
            Remark(
                main,
                0,
                "",
                f"its text could not be read ({error})",
                "it was not checked whether its density is normalised",
                "check by hand that every prior integrates to 1 over its parameter's bounds",
            ),
        )
    return tuple(sorted(found, key=lambda remark: (remark.file != main, remark.file, remark.line)))


@dataclass(frozen=True)
class _Look:
    source: Source
    data: Mapping[str, Real]

    @cached_property
    def statements(self) -> Statements:
        return statements_of(self.source, self.names)

    @cached_property
    def names(self) -> dict[str, float]:
        """Scalars with known values: the data, and variables that follow directly from them."""
        known: dict[str, float] = {}
        for name, given in self.data.items():
            known[name] = int(given) if isinstance(given, Integral) else float(given)
        block = self.source.blocks.get("transformed data", ())
        written = [t.text for t, after in pairwise(block) if after.text in _ASSIGNMENTS]
        for statement in split(block, ";"):
            sides = split(statement, "=")
            if len(sides) != 2 or sides[0][0].text not in {"int", "real"}:
                continue
            name = sides[0][-1].text
            value = constant(text_of(sides[1]), known)
            if written.count(name) == 1 and value is not None:
                known[name] = int(value) if sides[0][0].text == "int" else value
        return known

    @property
    def parameters(self) -> Iterator[Parameter]:
        """The parameters that have elements, as far as is known."""
        for parameter in self.source.parameters:
            if self.size(parameter.array + parameter.sizes) != 0:
                yield parameter

    def size(self, sizes: tuple[str, ...]) -> int | None:
        """Return a product of sizes; 0 if one of them is, None if one is not known."""
        values = [constant(size, self.names) for size in sizes]
        if 0 in values:
            return 0
        known = [int(value) for value in values if value is not None]
        return math.prod(known) if len(known) == len(values) else None

    def at(self, parameter: Parameter) -> Iterator[Remark]:
        """Yield the remarks on one parameter."""
        if not self._has_prior(parameter):
            yield from self._without_prior(parameter)
            return
        own = [d for d in self.statements.densities if d.of(parameter.name)]
        own = [d for d in own if not self._mended(parameter, (d,))]
        if parameter.base in _ORDERED:
            yield from self._unordered(parameter, own)
        elif parameter.base in _BOUNDED:
            for density in own:
                yield from self._cut_off(parameter, density)
        else:
            for density in own:
                yield from self._elsewhere(parameter, density)
        for term in self.statements.terms:
            mixed = tuple(d for d in term.densities if d.of(parameter.name))
            if mixed and term.mixes and not self._mended(parameter, mixed):
                yield from self._mixed(parameter, term, mixed)

    # -------------------------------------------------------- what the statements say

    def _has_prior(self, parameter: Parameter) -> bool:
        """Whether a parameter has a prior, by the rule of the package's docstring."""
        s, name = self.statements, parameter.name
        for density in (*s.densities, *(one for term in s.terms for one in term.densities)):
            if name in s.depends(density.outcome):
                return True
            everything = [token for arg in density.args for token in arg]
            own = density.name in s.own_functions or s.calls_own(everything)
            if own and name in s.depends(everything):
                return True
        for term in s.terms:
            if s.calls_own(term.loose) and name in s.depends(term.tokens):
                return True
            if any(name in s.depends(one.outcome) for one in term.distributions):
                return True
            if not term.densities and name in s.depends(term.loose):
                return True
        return False

    def _mended(self, parameter: Parameter, densities: tuple[Density, ...] = ()) -> bool:
        """Whether a term may be the correction, by the rule of the package's docstring."""
        s = self.statements
        mine = {parameter.name}
        for density in densities:
            mine |= s.depends(token for arg in density.args for token in arg)
        for term in s.terms:
            if any(token.text.endswith("_lp") for token in term.tokens):
                return True
            if term.densities or any(token.text.endswith(DENSITIES) for token in term.loose):
                continue
            if term.distributions:
                if any(self._truncates(one, parameter, densities) for one in term.distributions):
                    return True
                continue
            on = s.depends(term.loose)
            if not on or on & mine:
                return True
        return False

    def _truncates(self, found: Density, p: Parameter, densities: tuple[Density, ...]) -> bool:
        """Whether a distribution function may be the mass that is left of a parameter's prior.

        That of censored data is not: it has another name, or it depends on the parameter.
        """
        s = self.statements
        if p.name in s.depends(token for arg in found.args for token in arg):
            return False
        if found.name in s.own_functions or not densities:
            return True
        return _NORMAL.get(found.name, found.name) in {
            _NORMAL.get(density.name, density.name) for density in densities
        }

    # -------------------------------------------------------- no prior

    def _without_prior(self, p: Parameter) -> Iterator[Remark]:
        """Remark on a flat density, unless its volume is 1 or may be corrected."""
        what = f"{p.name} may have no prior: it appears {self._where(p)}"
        if p.base in _IMPROPER or (p.base in _BOUNDED and not (p.lower and p.upper)):
            yield self._remark(
                p,
                what,
                _INFINITE,
                f"give {p.name} a prior{_example(p)}",
            )
        elif self._mended(p):
            return
        elif p.base in _BOUNDED:
            yield from self._flat(p, what)
        elif p.base in {_SIMPLEX, _SPHERE}:
            yield from self._surface(p, what)
        elif p.base in _FINITE:
            prior, where = _FINITE[p.base]
            yield self._remark(
                p,
                what,
                f"a flat density integrates to the volume of {where}, which is not 1",
                f"write {p.name} ~ {prior}, which is flat and normalised"
                if p.base == "corr_matrix"
                else f"write {p.name} ~ {prior}, uniform over the matrices {p.name} * {p.name}'",
            )

    def _where(self, p: Parameter) -> str:
        """Return where a parameter without a prior appears."""
        s = self.statements
        densities = (*s.densities, *(one for term in s.terms for one in term.densities))
        tokens = [token for one in densities for arg in one.args for token in arg]
        tokens += [token for term in s.terms for token in term.tokens]
        if p.name in s.depends(tokens):
            return "only in densities of other variables, such as the likelihood"
        return "in no density"

    def _flat(self, p: Parameter, what: str) -> Iterator[Remark]:
        low, high = constant(p.lower, self.names), constant(p.upper, self.names)
        width = high - low if low is not None and high is not None else None
        if width == 1:
            return
        log = math.log(width) if width is not None and 0 < width < math.inf else None
        if width == math.inf:
            why = _INFINITE
        else:
            mass = f"({p.upper}) - ({p.lower})" if width is None else f"{width:g}"
            why = f"a flat density has mass {mass} in each element, not 1"
            why += "" if log is None else f" ({log:+.4g} nats)"
        yield self._remark(
            p,
            what,
            why,
            f"write {p.name} ~ uniform({p.lower}, {p.upper})"
            if width != math.inf
            else f"give {p.name} a prior",
            self._times(log, p),
        )

    def _surface(self, p: Parameter, what: str) -> Iterator[Remark]:
        size = self.size(p.sizes)
        k = size if size is not None and size > 1 else None
        if p.base == _SIMPLEX:
            if size in (1, 2):
                return  # the volume is 1
            why = "a flat density integrates to 1 / (K - 1)! over a simplex of K shares"
            log = None if k is None else -math.lgamma(k)
            remedy = f"write {p.name} ~ dirichlet(rep_vector(1, K))"
        else:
            why = "a flat density integrates to the sphere's surface, 2 pi^(K/2) / Gamma(K/2)"
            log = None if k is None else math.log(2 * math.pi ** (k / 2)) - math.lgamma(k / 2)
            remedy = "subtract its logarithm, as in "
            remedy += "target += lgamma(K / 2.0) - log(2) - K / 2.0 * log(pi())"
        why += "" if log is None else f" ({log:+.4g} nats)"
        log_mass = self._times(log, p, array_only=True)
        yield self._remark(p, what, why, remedy, log_mass)

    # -------------------------------------------------------- priors that are cut off

    def _cut_off(self, p: Parameter, density: Density) -> Iterator[Remark]:
        if density.truncated or not (p.lower or p.upper):
            return
        bounds = f"({p.lower or '-infinity'}, {p.upper or 'infinity'})"
        if density.name in MULTIVARIATE:
            if self._infinite(p.lower) and self._infinite(p.upper):
                return
            yield self._remark(
                p,
                f"{p.name} is bounded, and its prior {_called(density)} may not be truncated",
                f"its mass on {bounds} may be less than 1",
                "subtract the log of that mass from the target, or give the elements priors that "
                "can be truncated",
                at=density.outcome[0],
            )
            return
        family = FAMILIES.get(density.name)
        if family is None:
            return
        args = [text_of(arg) for arg in density.args]
        mass = mass_between(family, args, p.lower, p.upper, self.names)
        if mass.whole:
            return
        count = self._elements(p, density)
        log = None if count is None or mass.log is None else count * mass.log
        why = f"its mass on {bounds} may be less than 1"
        if mass.log is not None:
            why = f"its mass on {bounds} is {math.exp(mass.log):.4g} ({mass.log:+.4g} nats"
            one = log is not None and math.isclose(log, mass.log)
            why += ")" if one else " an element)"
        if log is not None:
            why += f", so that log_z may be {-log:.4g} nats too low"
        yield self._remark(
            p,
            f"{p.name} is bounded, and its prior {_called(density)} may not be truncated",
            why,
            _truncation(p, density),
            log,
            density.outcome[0],
        )

    def _unordered(self, p: Parameter, densities: list[Density]) -> Iterator[Remark]:
        """Remark on priors of an ordered vector that say nothing of the order."""
        size = self.size(p.sizes)
        known = [d for d in densities if d.name in FAMILIES or d.name in MULTIVARIATE]
        alone = size == 1 and p.base == "ordered"
        if not known or alone:
            return
        density = known[0]
        lower = "0" if p.base == "positive_ordered" else ""
        what = f"{p.name} is {p.base}, and its prior {_called(density)} may leave the order out"
        family = FAMILIES.get(density.name)
        args = [text_of(arg) for arg in density.args]
        mass = None if family is None else mass_between(family, args, lower, "", self.names)
        same = len(known) == 1 and family is not None
        same = same and all(self._is_scalar(arg) for arg in density.args)
        same = same and self._covers(p, density)
        whole = mass is not None and mass.whole
        if size == 1 and whole:
            return
        if density.name in MULTIVARIATE:
            why = "its integral is the probability that a draw of it comes out in order, not 1"
            remedy = "subtract the log of that probability from the target"
            yield self._remark(p, what, why, remedy, at=density.outcome[0])
            return
        remedy = f"add target += lgamma(num_elements({p.name}) + 1)"
        log = None if size is None or not same else -math.lgamma(size + 1)
        if mass is not None and not mass.whole:
            remedy += f" - num_elements({p.name}) * {density.name}_lccdf(0 | {', '.join(args)})"
            more = None if mass.log is None or size is None else size * mass.log
            log = None if log is None or more is None else log + more
        if same:
            k = "K!" if size is None else f"{size}!"
            why = f"over the vectors in order its integral is 1 / {k}, not 1"
            if not whole:
                why += ", and less, because it is not truncated at 0"
        else:
            why = (
                "its integral is the probability that independent draws come out in order, "
                "which is 1 / K! if all elements have the same prior"
            )
            remedy += ", if all elements have the same prior"
        count = self._elements(p, density, array_only=True)
        log_mass = None if log is None or count is None else count * log
        if log is not None:
            why += f" ({log:+.4g} nats" + (" a vector)" if p.array else ")")
        if log_mass is not None:
            why += f", so that log_z may be {-log_mass:.4g} nats too low"
        yield self._remark(p, what, why, remedy, log_mass, density.outcome[0])

    def _elsewhere(self, p: Parameter, density: Density) -> Iterator[Remark]:
        """Remark on a prior of independent elements where the elements cannot vary freely."""
        if density.name not in FAMILIES and density.name not in MULTIVARIATE:
            return
        if p.base not in _SURFACES or not self._covers(p, density):
            return
        where, remedy = _SURFACES[p.base]
        count = self._elements(p, density, array_only=True)
        size = self.size(p.sizes)
        values = [constant(text_of(arg), self.names) for arg in density.args]
        log = None
        if size is not None and size > 1 and None not in values:
            given = [value for value in values if value is not None]
            if p.base == _SIMPLEX:
                log = log_mass_on_simplex(density.name, given, size)
            elif p.base == _SPHERE:
                log = log_mass_on_sphere(density.name, given, size)
        if log is not None and abs(log) < _NEGLIGIBLE:
            return
        why = f"the product of their densities does not integrate to 1 over {where}"
        why += "" if log is None else f" ({log:+.4g} nats)"
        yield self._remark(
            p,
            f"{p.name} is a {p.base}, and its prior {_called(density)} may be one of independent "
            "elements",
            why,
            remedy.format(name=p.name),
            None if log is None or count is None else count * log,
            density.outcome[0],
        )

    def _mixed(self, p: Parameter, term: Term, densities: tuple[Density, ...]) -> Iterator[Remark]:
        """Remark on a prior that is a mixture, whose components are cut off or left unordered."""
        families = [FAMILIES.get(density.name) for density in densities]
        lower = "0" if p.base == "positive_ordered" else p.lower
        logs: list[float | None] = []
        for density, family in zip(densities, families, strict=True):
            if family is None:
                return
            args = [text_of(arg) for arg in density.args]
            mass = mass_between(family, args, lower, p.upper, self.names)
            logs.append(0.0 if mass.whole else mass.log)
        size = self.size(p.sizes)
        ordered = p.base in _ORDERED and not (p.base == "ordered" and size == 1)
        cut = any(log != 0 for log in logs)
        if p.base not in _BOUNDED | _ORDERED or not (ordered or cut):
            return
        counts = {self._elements(p, density, array_only=ordered) for density in densities}
        count = counts.pop() if len(counts) == 1 else None
        called = " and ".join(dict.fromkeys(_called(density) for density in densities))
        known = [log for log in logs if log is not None]
        bounds = f"({lower or '-infinity'}, {p.upper or 'infinity'})"
        log: float | None = known[0] if len(known) == len(logs) else None
        if max(known, default=0.0) - min(known, default=0.0) > _NEGLIGIBLE:
            log = None
        why = f"the mass of its components on {bounds} may be less than 1"
        if len(known) == len(logs):
            low, high = (f"{math.exp(one):.4g}" for one in (min(known), max(known)))
            why = f"the mass of its components on {bounds} is "
            why += low if low == high else f"between {low} and {high}"
        if ordered:
            why = "over the vectors in order the integral of independent elements is 1 / K!, not 1"
            alike = all(self._covers(p, density) for density in densities)
            alike &= all(self._is_scalar(arg) for density in densities for arg in density.args)
            known_size = size if alike else None
            if log is not None:
                log = None if known_size is None else known_size * log - math.lgamma(known_size + 1)
        log_mass = None if log is None or count is None else count * log
        what = "ordered" if ordered else "bounded"
        missing = "leave the order out" if ordered else "not be truncated"
        why += "" if log_mass is None else f" ({log_mass:+.4g} nats)"
        yield self._remark(
            p,
            f"{p.name} is {what}, and its prior, a mixture of {called}, may {missing}",
            why,
            "subtract the log of the mixture's integral from the target",
            log_mass,
            densities[0].outcome[0],
        )

    # -------------------------------------------------------- helpers

    def _infinite(self, bound: str) -> bool:
        """Whether a bound is none."""
        value = constant(bound, {**self.names, "inf": math.inf})
        return not bound or (value is not None and math.isinf(value))

    def _is_scalar(self, arg: tuple[Token, ...]) -> bool:
        """Whether an argument is known to be one number, the same for all elements."""
        if constant(text_of(arg), self.names) is not None:
            return True
        known = {one.name for one in (*self.source.data, *self.source.parameters) if _is_one(one)}
        words = {token.text for token in arg if token.kind == "word"}
        return words <= known | SCALAR_CALLS

    def _touched(self, p: Parameter, density: Density) -> list[int | None] | None:
        """Return how many places of each dimension a density and its loops take in.

        None stands for a dimension that is taken in as a whole and whose size is not known. There
        is no list if the text does not show the number.
        """
        sizes = p.array + p.sizes
        indices = density.indices
        loops = {loop.variable: loop for loop in density.loops}
        if len(indices) > len(sizes) or "" in loops:
            return None
        found: list[int | None] = []
        for index, size in itertools.zip_longest(indices, sizes):
            known = constant(size, self.names)
            whole = None if known is None else int(known)
            loop = None if index is None else loops.pop(text_of(index), None)
            ends = split(index or (), ":")
            if index is None or [token.text for token in index] == [":"]:
                found.append(whole)
                continue
            if loop is None and len(ends) == 1:
                if constant(text_of(index), self.names) is None:
                    return None
                found.append(1)
                continue
            first, last = (loop.first, loop.last) if loop else map(text_of, ends)
            low, high = constant(first, self.names), constant(last, self.names)
            if low is not None and high is not None:
                found.append(int(high - low) + 1)
            elif low == 1 and last in (size, f"num_elements({p.name})", f"size({p.name})"):
                found.append(whole)
            else:
                return None
        return None if loops else found

    def _covers(self, p: Parameter, density: Density) -> bool:
        """Whether a density takes in whole vectors, all elements alike."""
        touched = self._touched(p, density)
        if touched is None or not self.statements.same_for_all(density):
            return False
        sizes = [constant(size, self.names) for size in p.sizes]
        return touched[len(p.array) :] == sizes

    def _elements(self, p: Parameter, density: Density, *, array_only: bool = False) -> int | None:
        """Return how many elements, or vectors of an array, a density takes in, if known."""
        touched = self._touched(p, density)
        counts = None if touched is None else touched[: len(p.array)] if array_only else touched
        if counts is None or None in counts:
            return None
        return math.prod(count for count in counts if count is not None)

    def _times(self, log: float | None, p: Parameter, *, array_only: bool = False) -> float | None:
        size = self.size(p.array if array_only else p.array + p.sizes)
        return None if log is None or size is None else log * size

    def _remark(
        self,
        p: Parameter,
        what: str,
        why: str,
        remedy: str,
        log_mass: float | None = None,
        at: Token | None = None,
    ) -> Remark:
        file, line = (p.file, p.line) if at is None else (at.file, at.line)
        return Remark(file, line, p.name, what, why, remedy, log_mass)


def _is_one(variable: Parameter) -> bool:
    return variable.base in {"int", "real"} and not variable.array


def _called(density: Density) -> str:
    return f"{density.name}({', '.join(shown(arg) for arg in density.args)})"


def _example(p: Parameter) -> str:
    """Return a normalised prior as an example; nothing if there is no simple one."""
    if p.base in _ORDERED:
        if p.base == "ordered":
            prior = f"normal_lpdf({p.name} | 0, 1)"
        else:
            prior = f"exponential_lpdf({p.name} | 1)"
        return f", as in target += {prior} + lgamma(num_elements({p.name}) + 1)"
    if p.base == "cov_matrix":
        return f", as in {p.name} ~ inv_wishart(nu, S)"
    of = f"to_vector({p.name})" if p.base == "matrix" else p.name
    if p.base in _BOUNDED and not p.array and p.upper == "":
        if p.lower == "":
            return f", as in {of} ~ normal(0, 1)"
        if p.lower == "0":
            return f", as in {of} ~ exponential(1)"
    return ""


def _truncation(p: Parameter, density: Density) -> str:
    args = ", ".join(shown(arg) for arg in density.args)
    given = f" | {args}" if args else " |"
    scalar = p.base == "real" and not p.array
    element = density.elementwise and all(token.text != ":" for token in density.outcome)
    if density.sampling and (scalar or element):
        return f"write T[{p.lower}, {p.upper}] after it"
    every = not scalar and not density.elementwise
    if p.lower and p.upper:
        cdf = f"{density.name}_lcdf"
        term = f"log_diff_exp({cdf}({p.upper}{given}), {cdf}({p.lower}{given}))"
        term = f"num_elements({p.name}) * {term}" if every else term
    else:
        bound = p.lower or p.upper
        bound = f"rep_vector({bound}, num_elements({p.name}))" if every else bound
        term = f"{density.name}_{'lccdf' if p.lower else 'lcdf'}({bound}{given})"
    return f"add target += -{term}" + " for each element" * density.elementwise
