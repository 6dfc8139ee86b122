"""Parts of a run: what they are, and that together they are the run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymodes.errors import InputError
from manymodes.runtime.parts import Part, dealt, part_of


@given(parts=st.integers(1, 60), total=st.integers(1, 10**12))
def test_parts_are_the_run_and_as_even_as_possible(parts: int, total: int) -> None:
    dealt_out = [Part(k, parts).numbers(total) for k in range(1, parts + 1)]
    assert dealt_out[0].start == 0
    assert dealt_out[-1].stop == total
    assert all(a.stop == b.start for a, b in pairwise(dealt_out))
    sizes = [len(one) for one in dealt_out]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("asked", ["3/40", " 3 / 40 ", (3, 40), [3, 40], Part(3, 40)])
def test_a_part_may_be_given_in_several_forms(asked: Any) -> None:
    part = part_of(asked)
    assert part == Part(3, 40)
    assert (str(part), part.option if part else "") == ("part 3 of 40", "--part 3/40")


@pytest.mark.parametrize(
    "asked",
    ["", "3", "3/", "/40", "3/40/1", "-1/4", "1.5/4", "x", (3,), (1, 2, 3), (1.5, 4), (True, 4), 3],
)
def test_what_is_no_part_is_refused(asked: Any) -> None:
    with pytest.raises(InputError, match=r"^part: .* is not K/N, such as 3/40"):
        part_of(asked)


@pytest.mark.parametrize("asked", ["0/4", "5/4", "1/0", "1/1000001"])
def test_a_part_beyond_the_last_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match=rf"^part: {asked} is no part"):
        part_of(asked)


def test_no_part_is_empty() -> None:
    assert dealt(4, Part(4, 4), "chains") == range(3, 4)
    assert dealt(4, None, "chains") == range(4)
    with pytest.raises(InputError, match="4 chains cannot be dealt out to 5 parts"):
        dealt(4, Part(1, 5), "chains")
