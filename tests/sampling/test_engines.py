"""Which engines integrate a posterior, and what is said where nothing checks them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from manymodes.errors import InputError
from manymodes.sampling.engines import MOST_NESTED_DIMS, Choice, chosen_engines


def chosen(
    asked: str, dims: int, monkeypatch: pytest.MonkeyPatch, *, polychord: bool, nested: bool = False
) -> Choice:
    found = SimpleNamespace(polychord=SimpleNamespace(ok=polychord))
    monkeypatch.setattr("manymodes.sampling.engines.find", lambda: found)
    posterior: Any = SimpleNamespace(dims=dims)
    return chosen_engines(asked, posterior, nested=nested)


@pytest.mark.parametrize(
    ("dims", "polychord", "nested", "said"),
    [
        (9, True, True, ""),
        (MOST_NESTED_DIMS, True, True, ""),
        (MOST_NESTED_DIMS + 1, True, False, "in 13 dimensions (--engine both runs it)"),
        (9, False, False, "there is no PolyChord"),
    ],
)
def test_auto_always_tempers(
    dims: int, polychord: bool, nested: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = chosen("auto", dims, monkeypatch, polychord=polychord)
    assert (choice.tempered, choice.nested) == (True, nested)
    assert said in choice.unchecked
    assert bool(choice.unchecked) is not nested


def test_auto_runs_nested_sampling_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a setting that only nested sampling has; where it is missing, its own error says so."""
    for polychord in (True, False):
        found = chosen("auto", 400, monkeypatch, polychord=polychord, nested=True)
        assert found == Choice(True, True)
    assert chosen("tempered", 400, monkeypatch, polychord=True, nested=True).nested is False


@pytest.mark.parametrize("asked", ["nested", "tempered"])
def test_one_engine_is_checked_by_nothing(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = chosen(asked, 9, monkeypatch, polychord=True)
    assert (choice.nested, choice.tempered) == (asked == "nested", asked == "tempered")
    assert f"--engine {asked} leaves" in choice.unchecked


def test_both_run_whatever_the_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("both", 400, monkeypatch, polychord=False) == Choice(True, True)


def test_an_unknown_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="engine: 'all' is not one of: auto, both"):
        chosen("all", 9, monkeypatch, polychord=True)
