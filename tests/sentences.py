"""Texts are judged by the figures and key words of one sentence, not by its wording."""

from __future__ import annotations

import re


def tells(text: str, *words: str) -> bool:
    """Whether one sentence of a text holds all of these words and figures, in this order."""
    pattern = re.compile(".*".join(rf"(?<![\w.]){re.escape(word)}(?!\w)" for word in words))
    sentences = re.split(r"(?<=[.;!?]) ", " ".join(text.split()))
    return any(map(pattern.search, sentences))
