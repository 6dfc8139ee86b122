"""Names of a program's quantities: as Stan writes them, and as mathematics sets them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from manymodes.density.variables import Variable
from manymodes.types import FloatArray

if TYPE_CHECKING:
    from anesthetic import NestedSamples


_OF_ARVIZ = {"chain", "draw", "sample", "source_chain", "source_draw"}
"""Coordinates of our trees, and ArviZ's name for chain and draw together."""
_OF_ARVIZ |= {"summary", "ci_bound", "column", "plot_axis"}
"""Dimensions that ArviZ's statistics and figures add; they fail on variables of these names."""
_OF_ANESTHETIC = {"logL", "logL_birth", "nlive", "insertion"}
"""Columns that every table of nested samples has, or gets."""
_OF_COMPARISONS = {"mode", "function"}
"""Columns of nested samples whose modes are known."""

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)


def stan_name(flat: str) -> str:
    """Return Stan's way to write a flat name: ``W[1,2]`` for ``W.1.2``."""
    name, *indexes = flat.split(".")
    return f"{name}[{','.join(indexes)}]" if indexes else name


def exported_names(variables: Iterable[Variable]) -> dict[str, str]:
    """Return the name of each variable in files and objects of other packages.

    Stan allows names that ArviZ or anesthetic reserve: dimensions (``chain``, ``draw``,
    ``theta_dim_0``) and columns (``logL``). A variable of such a name would be lost. So underscores
    are added until no other variable has the name. All files use the same name.

    Parameters
    ----------
    variables : iterable of Variable
        All variables of a program that are written.

    Returns
    -------
    dict
        The name outside by the name in the program; mostly the same.
    """

    def dims(name: str, one: Variable) -> set[str]:
        return {f"{name}_dim_{i}" for i in range(len(one.shape))}

    variables = list(variables)
    names = {one.name: one.name for one in variables}
    taken = _OF_ARVIZ | _OF_ANESTHETIC | _OF_COMPARISONS
    taken = taken.union(*(dims(one.name, one) for one in variables))
    used = taken | names.keys()
    for one in variables:
        if one.name in taken:
            new = f"{one.name}_"
            while {new, *dims(new, one)} & used:
                new += "_"
            used |= {new, *dims(new, one)}
            names[one.name] = new
    return names


def renamed_text(names: Mapping[str, str]) -> str:
    """Return which of `exported_names` differ and why, in a sentence; empty if none does."""
    changed = [f"{name} is called {new}" for name, new in names.items() if name != new]
    if not changed:
        return ""
    return f"{', '.join(changed)} in all files, because the name is reserved there"


def renamed_flat(flat: str, names: Mapping[str, str]) -> str:
    """Return the outside name of a flat name (``draw.1``)."""
    name, dot, indexes = flat.partition(".")
    return f"{names.get(name, name)}{dot}{indexes}"


def tex_label(flat: str) -> str:
    r"""Return a flat name in TeX, without dollar signs: ``W_{1,2}`` for ``W.1.2``.

    Spelt-out Greek letters become letters. Words after an underscore, digits after a letter, and
    indexes become subscripts: ``\sigma_{\mathrm{raw},3}`` for ``sigma_raw.3``. Words stay words,
    ``\mathrm{rate}``, except a logarithm: ``\log \sigma`` for ``log_sigma``.
    """
    name, *indexes = flat.split(".")
    head, *below = [part for part in re.split("[_:]+", name) if part]
    if head == "log" and below:
        return r"\log " + tex_label(".".join(["_".join(below), *indexes]))
    numbered = re.fullmatch(r"([A-Za-z]+?)(\d+)", head)
    if numbered and _is_letter(numbered[1]):
        head, below = numbered[1], [numbered[2], *below]
    subscript = ",".join(map(_symbol, [*below, *indexes]))
    return f"{_symbol(head)}_{{{subscript}}}" if subscript else _symbol(head)


def _is_letter(text: str) -> bool:
    return len(text) == 1 or _GREEK.fullmatch(text) is not None


def _symbol(text: str) -> str:
    if _GREEK.fullmatch(text):
        return "\\" + text
    return text if len(text) == 1 or text.isdigit() else rf"\mathrm{{{text}}}"


def anesthetic_samples(
    rows: FloatArray,
    flat_names: Sequence[str],
    logl: FloatArray,
    birth: FloatArray,
    name: str,
) -> NestedSamples:
    """Return a nested run as anesthetic samples, with Stan's names and labels in TeX.

    Parameters
    ----------
    rows : array of shape (n, P)
        Constrained rows.
    flat_names : sequence of P str
        BridgeStan's names of their columns.
    logl, birth : arrays of shape (n,)
        Log likelihood of each point and of the contour it was born on (nats).
    name : str
        The run's name in legends.
    """
    from anesthetic import NestedSamples

    labels = {stan_name(flat): f"${tex_label(flat)}$" for flat in flat_names}
    samples = NestedSamples(
        data=rows, columns=list(labels), labels=labels, logL=logl, logL_birth=birth
    )
    samples.label = name
    return samples
