"""Facts that cast doubt on the figures, in plain sentences."""

from __future__ import annotations

import numpy as np

from manymodes.density.labels import renamed_text
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import BAD_K
from manymodes.report.findings import WORTH_TELLING
from manymodes.report.format import modes_named, number, percent, sentence, things
from manymodes.report.headline_words import (
    disagreement,
    disagreement_advice,
    outside_words,
)
from manymodes.report.mode_notes import draw_notes, mode_notes, runs_named
from manymodes.report.nested_notes import nested_cautions
from manymodes.report.tempered_notes import tempered_cautions
from manymodes.statistics.estimate import Estimate
from manymodes.wording import unfinished_lines

_MUCH_DISAGREEMENT = 0.05


def cautions(name: str, comparison: Comparison) -> list[str]:
    """Return sentences on what casts doubt on one posterior's figures; empty if nothing does."""
    texts = unfinished_lines(comparison.unfinished)
    texts += draw_notes(comparison)
    if renamed := renamed_text(comparison.posterior.exported_names):
        texts.append(f"{renamed}.")
    chains, nested = comparison.chains, comparison.nested
    if chains is not None:
        if chains.failures:
            n = len(chains.failures)
            texts.append(
                f"{things(n, 'chain')} of {n + chains.n_chains} failed and "
                f"{'is' if n == 1 else 'are'} left out; the first message was: "
                f"{next(iter(chains.failures.values()))}"
            )
        if chains.divergences:
            share = chains.divergences / chains.total_draws
            texts.append(
                f"{things(chains.divergences, 'transition')} of the chains diverged "
                f"({percent(Estimate(share))})."
            )
        if cut := int(chains.cut.sum()):
            why = "" if chains.adopted else "reached the time limit and "
            texts.append(
                f"{things(cut, 'chain')} of {chains.n_chains} {why}"
                f"{'has' if cut == 1 else 'have'} fewer draws than the others."
            )
        bad, terms = int((chains.pareto_k > BAD_K).sum()), int((~np.isnan(chains.pareto_k)).sum())
        if bad > WORTH_TELLING * terms:
            texts.append(
                f"{percent(Estimate(bad / terms))} of the leave-one-out terms have "
                "a Pareto k above 0.7: the stacking weights rest partly on unreliable terms."
            )
    if comparison.stacking is not None and not comparison.stacking.converged:
        texts.append(
            "the stacking weights did not converge; their score is within "
            f"{number(comparison.stacking.certificate, 2)} nats of the best."
        )
    if comparison.headline.agree is False:
        texts.append(f"{disagreement(comparison)}. {disagreement_advice(comparison)}")
    if outside := outside_words(comparison):
        texts.append(f"{outside}.")
    if comparison.tempered is not None:
        texts += tempered_cautions(comparison.tempered)
    if nested is not None:
        texts += nested_cautions(nested)
    if comparison.modes.disagreement > _MUCH_DISAGREEMENT:
        texts.append(
            f"{percent(Estimate(comparison.modes.disagreement))} of the draws that climbed reach "
            "another mode than their nearest neighbour: the shares of modes are rough."
        )
    texts += mode_notes(comparison)
    lowest = min((mode.height for mode in comparison.prominent), default=float("inf"))
    missed = [mode.id for mode in comparison.unreached if mode.height > lowest]
    if missed:
        texts.append(
            f"{runs_named(comparison)} did not reach {modes_named(missed)}, although chains found "
            f"{'it and it is' if len(missed) == 1 else 'them and they are'} higher than some "
            "prominent mode: run again with more live points or rounds."
        )
    return [f"{sentence(name)}: {text}" for text in texts]
