"""Names of a program's quantities: as Stan writes them, and as mathematics sets them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from anesthetic import NestedSamples

FloatArray = npt.NDArray[np.float64]

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)


def stan_name(flat: str) -> str:
    """Return Stan's way to write a flat name: ``W[1,2]`` for ``W.1.2``."""
    name, *indexes = flat.split(".")
    return f"{name}[{','.join(indexes)}]" if indexes else name


def tex_label(flat: str) -> str:
    r"""Return a flat name in TeX, without dollar signs: ``W_{1,2}`` for ``W.1.2``.

    Greek letters are spelt out in Stan and become letters; what follows an underscore, digits at
    the end of a letter, and indexes go below: ``\sigma_{\mathrm{raw},3}`` for ``sigma_raw.3``.
    Words stay words, ``\mathrm{rate}``, but for a logarithm: ``\log \sigma`` for ``log_sigma``.
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
        What legends call the run.
    """
    from anesthetic import NestedSamples

    labels = {stan_name(flat): f"${tex_label(flat)}$" for flat in flat_names}
    samples = NestedSamples(
        data=rows, columns=list(labels), labels=labels, logL=logl, logL_birth=birth
    )
    samples.label = name
    return samples
