"""Remarks on programs that may be unnormalised, parameter by parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from numbers import Integral, Real

from manymodes.density.normalisation.masses import FAMILIES, constant, mass_between
from manymodes.density.normalisation.statements import (
    Density,
    Statements,
    has_density,
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
        own = [d for d in self.statements.densities if d.of(parameter.name)]
        if not self._has_prior(parameter):
            yield from self._without_prior(parameter)
            return
        for density in own:
            if self._mended(parameter, density):
                continue
            if parameter.base in _BOUNDED:
                yield from self._cut_off(parameter, density)
            elif parameter.base in _ORDERED:
                yield from self._unordered(parameter, density)

    # -------------------------------------------------------- what the statements say

    def _has_prior(self, parameter: Parameter) -> bool:
        s = self.statements
        for density in s.densities:
            if parameter.name in s.depends(density.outcome):
                return True
            everything = [token for arg in density.args for token in arg]
            own = density.name in s.own_functions or s.calls_own(everything)
            if own and parameter.name in s.depends(everything):
                return True
        return any(parameter.name in s.depends(term) for term in s.terms)

    def _mended(self, parameter: Parameter, density: Density | None = None) -> bool:
        """Whether a term may be the correction, by the rule of the module's docstring."""
        s = self.statements
        mine = {parameter.name}
        if density is not None:
            mine |= s.depends(token for arg in density.args for token in arg)
        for term in s.terms:
            if any(token.text.endswith("_lp") for token in term):
                return True
            on = s.depends(term)
            if not has_density(term) and (not on or on & mine):
                return True
        return False

    # -------------------------------------------------------- no prior

    def _without_prior(self, p: Parameter) -> Iterator[Remark]:
        """Remark on a flat density, unless its volume is 1 or may be corrected."""
        if p.base in _IMPROPER or (p.base in _BOUNDED and not (p.lower and p.upper)):
            yield self._remark(
                p,
                f"{p.name} may have no prior",
                _INFINITE,
                f"give {p.name} a prior{_example(p)}",
            )
        elif self._mended(p):
            return
        elif p.base in _BOUNDED:
            yield from self._flat(p)
        elif p.base in {_SIMPLEX, _SPHERE}:
            yield self._surface(p)
        elif p.base in _FINITE:
            prior, where = _FINITE[p.base]
            yield self._remark(
                p,
                f"{p.name} may have no prior",
                f"a flat density integrates to the volume of {where}, which is not 1",
                f"write {p.name} ~ {prior}, which is flat and normalised"
                if p.base == "corr_matrix"
                else f"write {p.name} ~ {prior}, uniform over the matrices {p.name} * {p.name}'",
            )

    def _flat(self, p: Parameter) -> Iterator[Remark]:
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
            f"{p.name} may have no prior",
            why,
            f"write {p.name} ~ uniform({p.lower}, {p.upper})"
            if width != math.inf
            else f"give {p.name} a prior",
            self._times(log, p),
        )

    def _surface(self, p: Parameter) -> Remark:
        size = self.size(p.sizes)
        k = size if size is not None and size > 1 else None
        if p.base == _SIMPLEX:
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
        return self._remark(p, f"{p.name} may have no prior", why, remedy, log_mass)

    # -------------------------------------------------------- priors that are cut off

    def _cut_off(self, p: Parameter, density: Density) -> Iterator[Remark]:
        family = FAMILIES.get(density.name)
        if family is None or density.truncated or not (p.lower or p.upper):
            return
        args = [text_of(arg) for arg in density.args]
        mass = mass_between(family, args, p.lower, p.upper, self.names)
        if mass.whole:
            return
        bounds = f"({p.lower or '-infinity'}, {p.upper or 'infinity'})"
        why = f"its mass on {bounds} may be less than 1"
        if mass.log is not None:
            why = f"its mass on {bounds} is {math.exp(mass.log):.4g}"
            why += f" ({mass.log:+.4g} nats an element)"
        yield self._remark(
            p,
            f"{p.name} is bounded, and its prior {_called(density)} may not be truncated",
            why,
            _truncation(p, density),
            None if density.elementwise else self._times(mass.log, p),
            density.outcome[0],
        )

    def _unordered(self, p: Parameter, density: Density) -> Iterator[Remark]:
        family = FAMILIES.get(density.name)
        if family is None:
            return
        size = self.size(p.sizes)
        if size == 1 and p.base == "ordered":
            return
        why = "independent elements in order have H! times the product of their densities"
        remedy = f"add target += lgamma(num_elements({p.name}) + 1)"
        log = None if size is None else -math.lgamma(size + 1)
        lower = "0" if p.base == "positive_ordered" else ""
        args = [text_of(arg) for arg in density.args]
        mass = mass_between(family, args, lower, "", self.names)
        if not mass.whole:
            why += ", and this prior is not truncated at 0"
            remedy += f" - num_elements({p.name}) * {density.name}_lccdf(0 | {', '.join(args)})"
            log = None if log is None or mass.log is None else log + (size or 0) * mass.log
        elif size == 1:
            return
        if density.elementwise or p.array:
            log = None
            remedy += ", if all elements have the same prior"
        why += "" if log is None else f" ({log:+.4g} nats)"
        yield self._remark(
            p,
            f"{p.name} is {p.base}, and its prior {_called(density)} may leave the order out",
            why,
            remedy,
            log,
            density.outcome[0],
        )

    # -------------------------------------------------------- helpers

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
