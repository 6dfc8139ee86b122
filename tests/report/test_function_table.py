"""The table of functions on the terminal, and shares that stay within 0 and 100 %."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from made_comparisons import make, several
from manymodes.modes.comparison import Comparison
from manymodes.networks.network import Network
from manymodes.report.copies_words import copies_words
from manymodes.report.format import percent, share_interval
from manymodes.report.terminal import comparison_table
from manymodes.statistics.estimate import Estimate

TANH = Network(2, (2,), activation="tanh", prior="normal:2")


def of_kinds(kinds: list[int], copies: list[int], network: Network | None = TANH) -> Comparison:
    """Return modes of one function, copies of one another as told."""
    found = make(network, modes=several(len(kinds)))
    modes = replace(found.modes, kinds=np.array(kinds), copies=np.array(copies))
    return replace(found, modes=modes)


def test_copies_are_one_line_with_their_weights_together() -> None:
    found = of_kinds([0, 0, 1], [8, 8, 1])
    (function,) = found.functions
    assert [kind.modes for kind in function.kinds] == [(1, 2), (3,)]
    assert function.copies == 9
    # Two of eight copies hold draws, each a third: with the others they would hold eight thirds.
    assert function.kinds[0].occupancy.value == pytest.approx(2 / 3)
    assert function.kinds[0].evidence.value == pytest.approx(1.0)  # eight thirds, cut off
    lines = comparison_table("net", found).splitlines()
    assert sum("and seven copies: 2" in line for line in lines) == 1
    assert sum(line.startswith("  function") for line in lines) == 2


@pytest.mark.parametrize(
    ("kinds", "copies", "network", "said"),
    [
        ([0, 0, 0], [8, 8, 8], TANH, "8 copies = 2!·2²; five of them hold no draw"),
        (
            [0, 0, 1],
            [8, 8, 8],
            TANH,
            "16: 8 copies = 2!·2² of each of two modes; 13 of them hold no draw",
        ),
        ([0, 0, 0], [4, 4, 4], TANH, "4 copies; one of them holds no draw"),
        ([0, 1, 2], [1, 1, 1], None, "3 modes, no copies of one another"),
        ([0], [1], TANH, "one mode"),
    ],
)
def test_the_number_of_copies_is_explained(
    kinds: list[int], copies: list[int], network: Network | None, said: str
) -> None:
    found = of_kinds(kinds, copies, network)
    assert copies_words(found, found.functions[0]) == said


def test_a_function_of_a_single_mode_needs_no_second_table() -> None:
    found = make(modes=several(3, functions=lambda mode: mode))
    lines = comparison_table("net", found).splitlines()
    assert sum(line.startswith("  function") for line in lines) == 1


@pytest.mark.parametrize("value", [0.0, 0.001, 0.03, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("sd", [0.0, 0.01, 0.2, float("nan")])
def test_no_interval_leaves_zero_to_a_hundred_per_cent(value: float, sd: float) -> None:
    share = Estimate(value, sd)
    low, high = share_interval(share)
    assert 0 <= low <= 100 * value <= high <= 100
    text = percent(share)
    if sd > min(value, 1 - value) and 0 < value < 1:
        assert "±" not in text
