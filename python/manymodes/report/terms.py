"""Terms that the page explains where it uses them first, in the words of the glossary."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

TERMS = {
    "evidence": (
        r"evidence",
        "The integral of likelihood times prior over all parameters. The share of it that a mode "
        "or a function holds is its posterior mass: how probable it is, given data and prior.",
    ),
    "stacking weight": (
        r"stacking(?: weights?)?",
        "The weights with which the mixture of all chains predicts best (leave-one-out), summed "
        "over a mode or a function. A statement about prediction, not about posterior mass.",
    ),
    "occupancy": (
        r"occupancy",
        "The share of all draws of the chains that lie in a mode or a function. It depends on "
        "where the chains started.",
    ),
    "function": (
        r"functions?",
        "A set of modes that compute the same predictions within their posterior spread.",
    ),
    "prominent mode": (
        r"prominent modes?",
        "A mode whose evidence is more than 1/1000 of the largest. If no mode has a known "
        "evidence, occupancy takes its place.",
    ),
    "mode": (
        r"modes?",
        "A local maximum of posterior over prior, with the draws that climb to it.",
    ),
    "copy": (
        r"copies|copy",
        "A set of weights that computes the same function with hidden units exchanged or flipped.",
    ),
    "chain": (
        r"chains?",
        "One run of NUTS from one starting point, with its own seed.",
    ),
    "log_z": (
        r"log Z|log evidence",
        "The log of the evidence, in nats. Differences between models or modes are logs of ratios "
        "of their evidence.",
    ),
    "nats": (r"nats?", "Units of natural logarithms: one nat is a factor of e = 2.718."),
    "R-hat": (
        r"R-hat",
        "How far chains are apart, compared with how far each of them moves. It is 1 if the "
        "chains agree.",
    ),
    "weight space": (
        r"weight space",
        "The space of the weights of a network; for another program, of its parameters.",
    ),
    "function space": (
        r"function space",
        "The space of the predictions at the inputs of the data. Two draws that compute the same "
        "function are one point of it.",
    ),
    "canonical form": (
        r"canonical weights?(?: space)?|canonical form",
        "One copy that stands for all symmetric copies of a set of weights.",
    ),
    "temperature": (
        r"tempered|tempering|temperatures?",
        "Tempering leads states through densities between a base measure (inverse temperature 0) "
        "and the posterior (1), and integrates the posterior on the way.",
    ),
    "live point": (
        r"nested sampling|nested runs?|live points?",
        "Nested sampling keeps live points above a rising contour of the likelihood, and "
        "integrates by the volume that it leaves behind.",
    ),
    "base measure": (
        r"base measures?",
        "The distribution from which nested sampling and tempering begin. The evidence does not "
        "depend on it if it covers the posterior.",
    ),
    "round trip": (
        r"round trips?",
        "The way of an independent draw of the base measure to the posterior.",
    ),
    "barrier": (
        r"barrier",
        "The sum of the rejection rates of swaps between neighbouring temperatures: how far the "
        "posterior is from the base measure.",
    ),
    "height": (
        r"height",
        "The log of posterior over prior at the peak of a mode (nats): for a network the log "
        "likelihood.",
    ),
    "constraint": (
        r"constraint",
        "A condition on the weights that removes copies; the prior is renormalised on its region.",
    ),
    "drift": (
        r"drifts?",
        "A change of the mean log density, or of mean predictions, along chains that start from "
        "an engine's draws. Draws of the posterior do not drift.",
    ),
}
"""The pattern of each term in a text, and what it means; names are those of docs/glossary.md."""

_LONGEST_FIRST = sorted(enumerate(TERMS.values()), key=lambda one: -len(one[1][0]))
_WORD = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(f"(?P<t{place}>{pattern})" for place, (pattern, _) in _LONGEST_FIRST)
    + r")(?![\w-])",
    re.IGNORECASE,
)


class Explainer:
    """Turns the first use of each term on a page into a button that shows its meaning."""

    def __init__(self) -> None:
        self.used: list[str] = []

    @property
    def meanings(self) -> list[tuple[str, str, str]]:
        """The anchor, the name and the meaning of each term that was used."""
        return [(_anchor(name), name, TERMS[name][1]) for name in self.used]

    def explain(self, text: object) -> Markup:
        """Return a text as HTML, with the terms explained that were not before."""
        made, end = Markup(), 0
        plain = str(text)
        for found in _WORD.finditer(plain):
            name = list(TERMS)[int(str(found.lastgroup)[1:])]
            if name in self.used:
                continue
            self.used.append(name)
            made += escape(plain[end : found.start()])
            made += Markup(
                '<dfn><button type="button" class="term" popovertarget="{}">{}</button></dfn>'
            ).format(_anchor(name), found[0])
            end = found.end()
        return made + escape(plain[end:])


def _anchor(name: str) -> str:
    return "term-" + re.sub(r"\W+", "-", name.lower())
