"""Supports of Stan's distributions, and the mass that they have between two bounds."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

_NAMES: dict[str, float] = {"true": 1.0, "false": 0.0}
_CALLS: dict[str, Callable[..., float]] = {
    "pi": lambda: math.pi,
    "e": lambda: math.e,
    "log2": lambda: math.log(2),
    "log10": math.log10,
    "sqrt2": lambda: math.sqrt(2),
    "positive_infinity": lambda: math.inf,
    "negative_infinity": lambda: -math.inf,
    "not_a_number": lambda: math.nan,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
    "square": lambda x: x * x,
    "inv": lambda x: 1 / x,
    "lgamma": math.lgamma,
    "abs": abs,
    "fabs": abs,
}
_TWO: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: math.pow,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ONE: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}

_SIGNS = (
    ("^", "**"),
    ("%/%", "//"),
    ("&&", " and "),
    ("||", " or "),
    ("!=", "<>"),
    ("!", " not "),
    ("<>", "!="),
)


def constant(text: str, names: Mapping[str, float]) -> float | None:
    """Return the value of an expression of numbers and known names; None if others occur in it.

    Integers divide as in Stan: towards zero.
    """
    if (parts := _choice(text)) is not None:
        chosen = constant(parts[0], names)
        return None if chosen is None else constant(parts[1 if chosen else 2], names)
    for stan, python in _SIGNS:
        text = text.replace(stan, python)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return float(_value(tree.body, {**_NAMES, **names}))
    except (SyntaxError, ValueError, LookupError, ArithmeticError, TypeError):
        return None


def _choice(text: str) -> tuple[str, str, str] | None:
    """Return the parts of ``condition ? one : other``; None for other expressions."""
    depth, asked, pending = 0, -1, 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and sign == "?":
            asked = place if asked < 0 else asked
            pending += 1
        elif depth == 0 and sign == ":" and asked >= 0:
            pending -= 1
            if pending == 0:
                return text[:asked], text[asked + 1 : place], text[place + 1 :]
    return None


def _value(node: ast.AST, names: Mapping[str, float]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=op, operand=operand):
            return _ONE[type(op)](_value(operand, names))
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv(), right=right):
            a, b = _value(left, names), _value(right, names)
            return int(a / b) if isinstance(a, int) and isinstance(b, int) else a / b
        case ast.BinOp(left=left, op=op, right=right):
            return _TWO[type(op)](_value(left, names), _value(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return int(_TWO[type(op)](_value(left, names), _value(right, names)))
        case ast.BoolOp(op=op, values=values):
            every = [bool(_value(one, names)) for one in values]
            return all(every) if isinstance(op, ast.And) else any(every)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _CALLS[name](*(_value(arg, names) for arg in args))
    raise ValueError("not a constant")


# ------------------------------------------------------------------ distributions


@dataclass(frozen=True)
class Family:
    """A continuous distribution of Stan, of one variable.

    Attributes
    ----------
    lower, upper : str
        Its support, as expressions; ``{0}`` stands for its first argument.
    scipy : callable, optional
        Takes its arguments, in Stan's order, and returns scipy's distribution.
    centre : str
        The centre of its symmetry; empty if it is not symmetric.
    """

    lower: str
    upper: str
    scipy: Callable[..., Any] | None = None
    centre: str = ""

    def support(self, args: Sequence[str]) -> tuple[str, str]:
        """Return the expressions that bound the support."""
        return _filled(self.lower, args), _filled(self.upper, args)


_NEGLIGIBLE = 1e-6  # mass that may be cut off without a remark
_R = ("-inf", "inf")
_POSITIVE = ("0", "inf")
FAMILIES: dict[str, Family] = {
    "normal": Family(*_R, stats.norm, "{0}"),
    "std_normal": Family(*_R, stats.norm, "0"),
    "student_t": Family(*_R, stats.t, "{1}"),
    "cauchy": Family(*_R, stats.cauchy, "{0}"),
    "double_exponential": Family(*_R, stats.laplace, "{0}"),
    "logistic": Family(*_R, stats.logistic, "{0}"),
    "gumbel": Family(*_R, stats.gumbel_r),
    "skew_normal": Family(*_R, lambda mu, sd, a: stats.skewnorm(a, mu, sd)),
    "exp_mod_normal": Family(*_R, lambda mu, sd, r: stats.exponnorm(1 / (sd * r), mu, sd)),
    "skew_double_exponential": Family(*_R),
    "exponential": Family(*_POSITIVE, lambda rate: stats.expon(scale=1 / rate)),
    "gamma": Family(*_POSITIVE, lambda a, rate: stats.gamma(a, scale=1 / rate)),
    "inv_gamma": Family(*_POSITIVE, lambda a, b: stats.invgamma(a, scale=b)),
    "lognormal": Family(*_POSITIVE, lambda m, s: stats.lognorm(s, scale=math.exp(m))),
    "chi_square": Family(*_POSITIVE, stats.chi2),
    "inv_chi_square": Family(*_POSITIVE, lambda nu: stats.invgamma(nu / 2, scale=0.5)),
    "scaled_inv_chi_square": Family(
        *_POSITIVE, lambda nu, s: stats.invgamma(nu / 2, scale=nu * s * s / 2)
    ),
    "weibull": Family(*_POSITIVE, lambda a, s: stats.weibull_min(a, scale=s)),
    "frechet": Family(*_POSITIVE, lambda a, s: stats.invweibull(a, scale=s)),
    "rayleigh": Family(*_POSITIVE, lambda s: stats.rayleigh(scale=s)),
    "loglogistic": Family(*_POSITIVE, lambda a, b: stats.fisk(b, scale=a)),
    "beta": Family("0", "1", stats.beta),
    "beta_proportion": Family("0", "1", lambda m, k: stats.beta(m * k, (1 - m) * k)),
    "uniform": Family("{0}", "{1}", lambda a, b: stats.uniform(a, b - a)),
    "pareto": Family("{0}", "inf", lambda low, a: stats.pareto(a, scale=low)),
    "pareto_type_2": Family("{0}", "inf", lambda m, s, a: stats.lomax(a, m, s)),
}


MULTIVARIATE = {
    "multi_normal",
    "multi_normal_prec",
    "multi_normal_cholesky",
    "multi_student_t",
    "multi_student_t_cholesky",
}
"""Distributions of vectors whose support is all of the space."""

SCALAR_CALLS = frozenset(_CALLS) - {"inv"}
"""Functions that make one number of numbers."""


def log_mass_on_simplex(name: str, args: Sequence[float], size: int) -> float | None:
    """Return the log integral over a simplex of independent elements, if it has a closed form.

    Parameters
    ----------
    name : str
        The distribution of each element.
    args : sequence of float
        Its arguments.
    size : int
        The number of elements K; the integral is over the first K - 1 of them.

    Returns
    -------
    float or None
        In nats. It is the density at 1 of the sum of K independent positive draws, which is known
        for gamma variables of one rate and for uniform ones.
    """
    shapes = {"exponential": (1.0,), "gamma": (), "chi_square": ()}
    try:
        if name in shapes:
            shape, rate = (args[0] / 2, 0.5) if name == "chi_square" else (*shapes[name], *args)
            return float(stats.gamma(size * shape, scale=1 / rate).logpdf(1.0))
        if name == "uniform" and args[0] <= 0 and args[1] >= 1:
            return -math.lgamma(size) - size * math.log(args[1] - args[0])
        if name == "beta" and tuple(args) == (1, 1):
            return -math.lgamma(size)
    except (ArithmeticError, IndexError, ValueError):
        return None
    return None


def log_mass_on_sphere(name: str, args: Sequence[float], size: int) -> float | None:
    """Return the log integral over the unit sphere of independent normal elements.

    Parameters
    ----------
    name : str
        The distribution of each element.
    args : sequence of float
        Its arguments.
    size : int
        The number of elements K.

    Returns
    -------
    float or None
        In nats; None unless the elements are normal with mean 0.
    """
    sd = 1.0 if name == "std_normal" else args[1] if name == "normal" and args[0] == 0 else 0.0
    if not sd > 0:
        return None
    surface = math.log(2 * math.pi ** (size / 2)) - math.lgamma(size / 2)
    return surface - size / 2 * math.log(2 * math.pi * sd**2) - 1 / (2 * sd**2)


@dataclass(frozen=True)
class Mass:
    """The mass of a distribution between a parameter's bounds.

    Attributes
    ----------
    whole : bool
        Whether it is 1, or may be: nothing is known to be cut off.
    log : float or None
        Its logarithm (nats); None where it could not be computed.
    """

    whole: bool
    log: float | None = None


def mass_between(
    family: Family, args: Sequence[str], lower: str, upper: str, names: Mapping[str, float]
) -> Mass:
    """Return the mass of a distribution between two bounds.

    Parameters
    ----------
    family : Family
        The distribution.
    args : sequence of str
        Its arguments, as expressions.
    lower, upper : str
        The bounds, as expressions; empty for none.
    names : mapping of str to float
        Values of names that occur in them.
    """
    low, high = family.support(args)
    infinite = {**names, "inf": math.inf}
    if not (_cuts(lower, low, infinite, operator.gt) or _cuts(upper, high, infinite, operator.lt)):
        return Mass(True)
    a = constant(lower, infinite) if lower else -math.inf
    b = constant(upper, infinite) if upper else math.inf
    centre = _filled(family.centre, args)
    half = (lower == centre or _same(lower, centre, infinite), upper == centre)
    if centre and ((half[0] and b == math.inf) or (half[1] and a == -math.inf)):
        return Mass(False, -math.log(2))
    values = [constant(arg, infinite) for arg in args]
    if a is None or b is None or family.scipy is None or None in values:
        return Mass(False)
    try:
        distribution = family.scipy(*values)
    except (ArithmeticError, TypeError):
        return Mass(False)
    mass = float(distribution.cdf(b) - distribution.cdf(a))
    if mass > 1 - _NEGLIGIBLE:
        return Mass(True)
    return Mass(False, math.log(mass)) if mass > 0 else Mass(False)


def _cuts(
    bound: str, end: str, names: Mapping[str, float], beyond: Callable[[float, float], bool]
) -> bool:
    """Whether a bound cuts off a part of a support; an unknown bound cuts the real line."""
    if not bound or bound == end:
        return False
    a, b = constant(bound, names), constant(end, names)
    if a is None:
        return b is not None and math.isinf(b)
    return b is not None and beyond(a, b)


def _same(one: str, other: str, names: Mapping[str, float]) -> bool:
    value = constant(one, names)
    return value is not None and value == constant(other, names)


def _filled(text: str, args: Sequence[str]) -> str:
    """Put arguments into an expression; a missing argument leaves it unknown."""
    for i, arg in enumerate(args):
        text = text.replace(f"{{{i}}}", arg)
    return text
