"""Sentences on a certificate: the evidence of simulated data between two bounds."""

from __future__ import annotations

import math

from manymodes.sampling.tempered.certify import Certificate
from manymodes.statistics.estimate import Estimate

_LOOSE = 1.0  # nats: a wider gap certifies little


def certificate_words(certificate: Certificate) -> str:
    """Return in words what bidirectional Monte Carlo says of these settings.

    Parameters
    ----------
    certificate : Certificate
        What `certify` found.

    Returns
    -------
    str
        Sentences on one line; all figures are in nats.
    """
    one = certificate
    gap = one.gap
    texts = [
        f"On data simulated from the program at the inputs of these data (seed {one.seed}), "
        f"annealing in {one.levels} levels puts log_z between {_nats(one.lower)} and "
        f"{_nats(one.upper)} nats: a gap of {_nats(gap)}.",
        f"Tempering of {one.rounds} rounds gives {one.log_z:.2f} ± {one.log_z_sd:.2f}, "
        + (
            "which their errors and its own allow."
            if one.holds
            else "which lies outside of the bounds by more than three errors: do not trust its "
            "error on a model like this one. Give it more --rounds."
        ),
    ]
    if not math.isfinite(gap.value):
        texts.append("There is a bound on one side only: every chain of the other came to nothing.")
    elif gap.value > _LOOSE:
        texts.append("The gap is wide, and certifies little: more levels narrow it.")
    else:
        good = max(gap.value, 0.0) + 2 * gap.sd
        texts.append(
            f"So log_z on such a model is known to about {good:.1g} nats, from both sides."
        )
    if not one.exact:
        texts.append(
            "The parameters were drawn from the prior by NUTS, not exactly: the upper bound holds "
            "as far as these draws are right."
        )
    return " ".join(texts)


def _nats(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ± {estimate.sd:.2f}"
