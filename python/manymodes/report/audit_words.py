"""An audit as a table and in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from manymodes.networks.audit.invariance import Invariance
from manymodes.networks.audit.result import Audit, KnownEstimate
from manymodes.networks.network import Network

_WIDTH = 88

_MOVES = {
    "swap": "exchange of units",
    "flip": "flip of a unit",
    "rescale": "rescaling of a unit by 2",
}
ASKS = {
    "none": "asks for nothing.",
    "ordered": "asks that biases increase within every hidden layer.",
    "ordered-signed": (
        "asks that biases increase within every hidden layer, and that the weights of its units to "
        "the first unit of the next layer are positive."
    ),
    "unit-norm": (
        "asks that the incoming weights of every unit have norm 1 (its scale goes to the outgoing "
        "weights) and that biases increase within every hidden layer."
    ),
    "pd-skew": (
        "asks that (W + W')/2 is positive definite and (W - W')/2 is positive above its diagonal, "
        "for the matrix W of every hidden layer."
    ),
    "svd": (
        "asks that the pivots of U are positive like those of V, for the matrix W = U diag(s) V' "
        "of every hidden layer: this fixes the orientation of the singular vectors."
    ),
}


def audit_text(audit: Audit) -> str:
    """Return an audit as text: the group, and which copies the constraint keeps and loses.

    Parameters
    ----------
    audit : Audit
        What `audit` found.

    Returns
    -------
    str
        Several lines.

    Examples
    --------
    >>> network = mm.Network(1, (2,), activation="tanh", constraint="ordered-signed")
    >>> text = mm.audit_text(mm.audit(network, orbits=500))
    >>> print(text.splitlines()[0])
    1-2-1 network, tanh, bernoulli; prior normal:1; constraint ordered-signed
    """
    network = audit.network
    title = (
        f"{shape(network)} network, {network.activation}, {network.likelihood}; "
        f"prior {network.prior}; constraint {network.constraint}"
    )
    parts = [
        title,
        _paragraph("The group.", _group(audit)),
        _paragraph("The constraint", ASKS[network.constraint.split(":")[0]]),
        _table(audit),
        _paragraph("Fundamental domain:", _domain(audit)),
        _paragraph("Why:", audit.why) if audit.why else "",
        _paragraph("Lost:", _lost(audit)),
        _paragraph("Left:", _left(audit)),
        _priors(audit),
        _paragraph("Evidence:", _evidence(audit)),
    ]
    return "\n\n".join(part for part in parts if part)


def side_by_side(audits: Sequence[Audit], refused: Mapping[str, str]) -> str:
    """Return audits of one network under several constraints as one table.

    Parameters
    ----------
    audits : sequence of Audit
        One for each constraint.
    refused : mapping of str to str
        Constraints that make no sense for the network, and why.
    """
    first = audits[0]
    network = first.network
    lines = [
        f"{shape(network)} network, {network.activation}, {network.likelihood}; "
        f"prior {network.prior}",
        "",
        _paragraph("The group.", _group(first)),
        "",
        "                 share of        functions with ... copies       copies of   fundamental"
        "  log_z of",
        "constraint       the prior       none       one   several   a kept function     domain"
        "    'none'",
    ]
    for audit in audits:
        copies = number(audit.copies.best)
        if math.isnan(audit.copies.value):
            copies = "?" if audit.method == "sample" else "-"
        shares = "".join(f"{percent(share):>10}" for share in audit.shares.values())
        lines.append(
            f"{audit.network.constraint:14}  {percent(audit.region):>10} {shares}"
            f"{copies + ('*' if audit.continuum and copies != '-' else ''):>18}{_yes_no(audit):>11}"
            f"{'kept' if audit.evidence.same else 'changed':>10}"
        )
    lines += ["", f"{first.orbits} functions, drawn from the prior (seed {first.seed})."]
    if any(audit.method == "sample" for audit in audits):
        lines.append("? not counted: a function has too many copies.")
    if any(audit.continuum for audit in audits):
        lines.append(
            "* times a continuum: every relu unit can still be rescaled. This may bring back a\n"
            "  function that has no copy here, so that 'none' is an upper limit."
        )
    lines += [_paragraph(f"{name}:", f"refused: {why}") for name, why in refused.items()]
    return "\n".join(lines)


def shape(network: Network) -> str:
    """Return the widths of all layers, such as 2-2-1."""
    return "-".join(map(str, (network.inputs, *network.hidden, network.units_out)))


def number(value: float) -> str:
    """Return a number with about three digits; whole numbers in full."""
    if not math.isfinite(value):
        return "more than 10^308"
    if value == round(value) and value < 1e7:
        return f"{value:.0f}"
    return f"{value:.3g}" if value < 1000 or value >= 1e7 else f"{value:.1f}"


def percent(share: KnownEstimate) -> str:
    """Return the best value of a share in per cent."""
    value = 100 * share.best
    return "?" if math.isnan(value) else f"{value:.2f}%" if value >= 0.01 else f"{value:.1g}%"


def _paragraph(head: str, body: str) -> str:
    return textwrap.fill(f"{head} {body}", _WIDTH)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# -------------------------------------------------------------------------- paragraphs


def _group(audit: Audit) -> str:
    network = audit.network
    relu = network.activation == "relu"
    moves = [
        f"the {_counted(width, 'unit')} of layer {layer} can be put in {width}! orders"
        + ("" if relu else f" and flipped in 2^{width} ways")
        for layer, width in enumerate(network.hidden, 1)
    ]
    words = "; ".join(moves)
    words = words[0].upper() + words[1:]
    order = _order(audit)
    if 10**7 <= audit.group_order < 10**24:
        order = f"{audit.group_order} ({order})"
    words += f". So {order} sets of weights compute the same function"
    if relu:
        return words + (
            ", and each of them lies in a continuum of more: (w, b, v) and (r w, r b, v / r) are "
            "the same unit for every r > 0."
        )
    words += ": without a constraint, every mode comes in that many copies."
    if network.activation == "sigmoid":
        words += (
            " Flipping a sigmoid unit moves its outgoing weight to the next bias, so that copies "
            "differ in prior density."
        )
    return words


def _table(audit: Audit) -> str:
    rows = [
        ("no copy: the function is lost", audit.none, 100.0, " %"),
        ("one copy", audit.one, 100.0, " %"),
        ("several copies", audit.several, 100.0, " %"),
        ("copies of a kept function", audit.copies, 1.0, ""),
        ("copies of any function, mean", audit.members, 1.0, ""),
        ("prior mass of the region", audit.region, 100.0, " %"),
    ]
    functions = f"{audit.orbits} functions, seed {audit.seed}"
    lines = [f"  {functions:31}  {'counted':>23}  {'exact':>20}"]
    for name, estimate, scale, unit in rows:
        value = "-"
        if not math.isnan(estimate.value):
            value = f"{_digits(scale * estimate.value)} ± {_digits(scale * estimate.sd)}{unit}"
        exact = ""
        if estimate.exact is not None:
            exact = f"{_digits(scale * estimate.exact)}{unit}"
            if estimate.exact_sd > 0:
                error = _digits(scale * estimate.exact_sd)
                exact = f"{_digits(scale * estimate.exact)} ± {error}{unit}"
        lines.append(f"  {name:31}  {value:>23}  {exact:>20}")
    if audit.members.exact and audit.region.exact and math.isfinite(audit.members.exact):
        share = _digits(100 * audit.region.exact)
        lines.append(
            f"\n  The mean must be copies × prior mass: {_order(audit)} × {share} % = "
            f"{_digits(audit.members.exact)}"
            + (
                " (in the box or not)."
                if math.isfinite(audit.copies.value) and _boxed(audit)
                else "."
            )
        )
    return "\n".join(lines)


def _digits(value: float) -> str:
    """Return a number with three digits after the point, or three in all if it is small."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "> 10^308" if value > 0 else "-"
    if abs(value) < 0.001 or abs(value) >= 1e7:
        return f"{value:.2g}"
    if abs(value - round(value)) < 1e-9:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1000 else f"{value:.3f}"


def _order(audit: Audit) -> str:
    """Return the order of the group, as a power of ten where it is long."""
    order = audit.group_order
    return f"{order}" if order < 10**7 else f"10^{math.log10(order):.1f}"


def _boxed(audit: Audit) -> bool:
    return audit.network.activation == "sigmoid" and audit.network.prior.startswith("uniform")


def _yes_no(audit: Audit) -> str:
    return ("yes" if audit.fundamental_domain else "no") + ("" if audit.certain else "?")


def _domain(audit: Audit) -> str:
    if audit.fundamental_domain and audit.certain:
        words = "yes. Exactly one copy of every function is kept."
    elif audit.fundamental_domain:
        words = (
            f"each of {audit.orbits} random functions had exactly one copy. This is no proof: "
            f"at most {100 * audit.at_most:.3g} % of functions are exceptions (95 % limit)."
        )
    else:
        words = "no. A fundamental domain holds exactly one copy of every function."
        if audit.continuum:
            words += " All copies that differ by a rescaling of units are left."
        elif audit.members.exact is not None and audit.members.exact < 1 - 1e-9:
            words += (
                f" There is not enough room: with {_digits(audit.members.exact)} copies on "
                f"average, at most {_digits(100 * audit.members.exact)} % of functions have one."
            )
    if audit.enumerated:
        words += (
            f" (Counting {_counted(audit.enumerated, 'orbit')} copy by copy gave the same numbers.)"
        )
    return words


def _lost(audit: Audit) -> str:
    lost = audit.none
    if lost.exact == 0:
        return "nothing. Every function has a copy."
    if math.isnan(lost.value):
        return "not counted: a function has too many copies."
    if lost.best == 0:
        return f"no function of {audit.orbits}; at most {100 * audit.at_most:.3g} % (95 % limit)."
    everything = lost.value == 1 and lost.exact is None
    share = f"all {audit.orbits}" if everything else f"{percent(lost)} of"
    words = f"{share} functions drawn from the prior have no copy left"
    if audit.lost_to_support.value == lost.value:
        words += ", because flips push a bias of the admitted copy out of the prior's box"
    elif audit.lost_to_support.value > 0:
        words += (
            f"; {100 * audit.lost_to_support.value:.1f} % because flips push a bias of every "
            "admitted copy out of the prior's box"
        )
    words += (
        ". The constrained posterior cannot represent them: if the data prefer such a "
        "function, it settles for another."
    )
    if audit.continuum:
        words += (
            " This is an upper limit: rescaling units, which is not counted, may bring a "
            "function back."
        )
    return words


def _left(audit: Audit) -> str:
    copies = audit.copies
    if math.isnan(copies.value) and audit.method != "sample":
        return "no function with a copy left was found."
    if math.isnan(copies.value) and math.isnan(audit.members.value):
        words = "not counted; no random member of the group gave a copy that is admitted."
    elif math.isnan(copies.value):
        words = (
            f"not counted; on average, random members of the group give "
            f"{number(audit.members.value)} ± {number(audit.members.sd)} copies of any function."
        )
    elif copies.best == 1:
        words = "one copy of each kept function"
        words += "." if audit.continuum else ", so that no mode is a copy of another."
    else:
        words = (
            f"{number(copies.best)} copies of each kept function"
            f"{'' if copies.exact is not None or copies.sd == 0 else ' on average'}: "
            "each of its modes still comes in that many copies."
        )
    if audit.continuum:
        words += (
            " Each copy lies in a continuum, because units can be rescaled. Constraint 'unit-norm' "
            "removes the continuum."
        )
    return words


def _priors(audit: Audit) -> str:
    """Return a table of the moves: one line for each kind and layer."""
    groups: dict[str, list[Invariance]] = {}
    for move in audit.invariance:
        layer = move.name.rsplit(" of ", 1)[1]
        what = _MOVES[move.kind]
        groups.setdefault(f"{what}, {layer}", []).append(move)
    box = audit.network.prior.startswith("uniform")
    lines = [
        "Are copies equally probable a priori?",
        f"  {'':33} {'same prior':>10}  {'change (nats)':>13}"
        + (f"  {'out of the box':>14}" if box else ""),
    ]
    reasons = []
    for name, moves in groups.items():
        changes = [move.change for move in moves if math.isfinite(move.change)]
        change = sum(changes) / len(changes) if changes else math.nan
        outside = sum(move.outside for move in moves) / len(moves)
        small = moves[0].invariant and change < 1e-6
        lines.append(
            f"  {name:33} {'yes' if moves[0].invariant else 'no':>10}"
            f"  {'0' if small else _digits(change):>13}"
            + (f"  {100 * outside:>12.1f} %" if box else "")
        )
        reasons.append(f"{name}: {moves[0].why}.")
    return (
        "\n".join(lines)
        + "\n"
        + "\n".join(
            textwrap.fill(reason, _WIDTH, initial_indent="  ", subsequent_indent="    ")
            for reason in reasons
        )
    )


def _evidence(audit: Audit) -> str:
    evidence = audit.evidence
    if evidence.same:
        words = f"log_z is that of constraint 'none', exactly: {evidence.reason}."
    else:
        words = f"log_z need not be that of constraint 'none': {evidence.reason}."
    if evidence.largest_rise is not None:
        words += (
            f" It rises by at most {evidence.largest_rise:.3f} nats if the data prefer functions "
            "that are kept, and falls without limit if they prefer functions that are lost."
        )
    if math.isfinite(evidence.rejection) and evidence.rejection < 0:
        error = f" ± {evidence.rejection_sd:.3f}" if evidence.rejection_sd > 0 else ""
        words += (
            f" Cutting the prior off without renormalising it lowers log_z by "
            f"{-evidence.rejection:.4f}{error} nats, the log of the region's prior mass."
        )
        if audit.network.constraint == "pd-skew:reject":
            words += " This program does so."
    return words
