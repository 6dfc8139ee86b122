"""The help of every command: defaults are said, and constraints explained."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from manymodes.cli.parser import CONSTRAINTS, parser
from manymodes.networks.constraint_programs import PROGRAMS


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, with all of its arguments."""
    (found,) = (
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for one in found.choices.values():
        if one._fill is not None:
            one._fill(one)
            one._fill = None
    return dict(found.choices)


COMMANDS = commands()


def options(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action, str]]:
    """Yield each option with its name and its help, to which that of its group belongs."""
    for group in command._action_groups:
        for action in group._group_actions:
            if action.option_strings and action.dest != "help":
                yield action.option_strings[0], action, f"{action.help} {group.title}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_its_default(name: str) -> None:
    silent = []
    for option, action, said in options(COMMANDS[name]):
        if action.required or action.default is False:
            continue
        shown = said % vars(action) if "%(" in said else said
        default = action.default
        if isinstance(default, list):
            default = " ".join(map(str, default)) or "none"
        expected = "default: " if default is None else f"default: {default}"
        if expected not in shown:
            silent.append(option)
    assert silent == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_can_be_printed(name: str) -> None:
    text = COMMANDS[name].format_help()
    assert "%(" not in text
    assert "None" not in text.replace("take NA, None", "")


@pytest.mark.parametrize("name", ["network", "audit"])
def test_every_constraint_has_a_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = [line.strip() for line in COMMANDS[name].format_help().splitlines()]
    assert set(CONSTRAINTS) == set(PROGRAMS)
    assert all(f"{one}: {said}" in lines for one, said in CONSTRAINTS.items())


def test_settings_of_all_samplers_are_not_called_those_of_one() -> None:
    titles = {group.title for group in COMMANDS["sample"]._action_groups}
    assert "chains of NUTS or mams" in titles
    assert "NUTS" not in titles
