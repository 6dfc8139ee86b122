"""Folders and runs that an earlier manymodes wrote: taken as today's, or with what to do."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import needs_tools, small_network
from manymodes.density import earlier
from manymodes.density.earlier import naming_the_remedy
from manymodes.density.kernel import with_kernel
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import CompileError, InputError, UpgradeWarning
from manymodes.networks.network import Network
from manymodes.results.run_directory import open_posterior, save_posterior
from manymodes.toolchain import Toolchain, stan_dir

FILES = Path(earlier.__file__).with_name("earlier_files")
CHANGES = sorted(path.name for path in FILES.glob("change-*"))
IDENTITIES = {
    "none": "67b03e091fe531b9",
    "ordered": "8d70ac9f341083a9",
    "ordered-signed": "8d70ac9f341083a9",
    "unit-norm": "5c15579173e1d369",
    "pd-skew": "d97e8f9e7f2125e5",
    "pd-skew:lu": "1f93a57634718e65",
    "pd-skew:reject": "c381a5177816d529",
    "svd": "084b85dbc2068501",
    "active": "87f5b7fbfd872efd",
}
"""What runs of version 0.1.0 are bound to, by constraint."""


def today(constraint: str) -> Posterior:
    activation = "relu" if constraint == "unit-norm" else "tanh"
    kind = {"active": "uniform"} if constraint == "active" else {"constraint": constraint}
    network = Network(2, (2,), activation=activation, **kind)
    return Posterior.from_network(network, np.zeros((3, 2)), [0, 1, 1])


def text_before(change: str, file: str) -> Path | None:
    """Return where the text of a file before a change is; None if it is today's."""
    later = CHANGES[CHANGES.index(change) :]
    found = (FILES / name / f"{file}.txt" for name in later)
    return next((path for path in found if path.is_file()), None)


def written(constraint: str, folder: Path, change: str = CHANGES[0]) -> Posterior:
    """Write a folder as before a change, by 0.1.0 at first; return today's posterior."""
    posterior = today(constraint)
    save_posterior(posterior, folder, "model.stan")
    for path in folder.glob("*.stan*"):
        shipped = f"{posterior.program.name}.stan" if path.name == "model.stan" else path.name
        if text := text_before(change, shipped):
            shutil.copyfile(text, path)
    assert ".stanblock" not in (folder / "model.stan").read_text(), "blocks are newer than that"
    for path in folder.glob("*.stanblock"):
        path.unlink()
    return posterior


def opened(folder: Path) -> Posterior:
    """Open a folder and read its program."""
    posterior = open_posterior(folder)
    assert posterior.program.sources
    return posterior


@needs_tools
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("constraint", IDENTITIES)
def test_an_earlier_folder_is_taken_as_todays(tmp_path: Path, constraint: str, change: str) -> None:
    """With one line; the kernel runs, nothing is compiled twice, and a run goes on."""
    posterior = written(constraint, tmp_path, change)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.warns(UpgradeWarning) as told:
        found = opened(tmp_path)
    sources = found.program.sources
    (said,) = (str(one.message) for one in told)
    assert "\n" not in said
    assert said.startswith("model: an earlier manymodes wrote ")
    assert "priors.stanfunctions" in said
    assert sorted(sources.values()) == sorted(posterior.program.sources.values())
    assert sources.keys() - {"model.stan"} < posterior.program.sources.keys()
    assert with_kernel(sources) is not None
    assert found.program.folder == posterior.program.folder
    assert found.identity == posterior.identity
    assert found.identity["program"] == IDENTITIES[constraint]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_saved_of_it_is_todays_and_opens_without_a_word(tmp_path: Path) -> None:
    written("ordered", tmp_path / "old")
    with pytest.warns(UpgradeWarning):
        save_posterior(open_posterior(tmp_path / "old"), tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = open_posterior(tmp_path / "run")
        assert again.identity == today("ordered").identity
    assert "fabs(" not in "".join(again.program.sources.values())


@pytest.mark.parametrize("constraint", ["none", "svd"])
def test_a_users_program_with_our_earlier_functions_has_todays(
    tmp_path: Path, constraint: str
) -> None:
    """An edited program is kept; what it calls is there, under its former name as well."""
    written(constraint, tmp_path)
    with (tmp_path / "model.stan").open("a") as file:
        file.write("// mine\n")
    text = (tmp_path / "model.stan").read_text()
    with pytest.warns(UpgradeWarning, match=r"wrote (?!model\.stan)"):
        sources = open_posterior(tmp_path).program.sources
    assert sources["model.stan"] == text
    for name in ("priors.stanfunctions", "network.stanfunctions"):
        assert sources[name] == (stan_dir() / "functions" / name).read_text()


@pytest.mark.parametrize("edited", ["ordered.stanfunctions", "priors.stanfunctions"])
def test_functions_that_a_user_edited_are_kept_with_all_others(tmp_path: Path, edited: str) -> None:
    """The program may call what they define, and they what the others define."""
    written("ordered", tmp_path)
    with (tmp_path / edited).open("a") as file:
        file.write("// mine\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_posterior(tmp_path)
        sources = found.program.sources
    assert sources == {name: (tmp_path / name).read_text() for name in sources}
    assert found.identity != today("ordered").identity


@needs_tools
def test_the_error_of_such_a_program_says_what_to_write(tmp_path: Path) -> None:
    written("ordered", tmp_path)
    with (tmp_path / "ordered.stanfunctions").open("a") as file:
        file.write("// mine\n")
    sources = Program(tmp_path / "model.stan").sources

    def complaint(stan: str) -> str:
        with pytest.raises(CompileError) as raised, naming_the_remedy(sources, stan):
            raise CompileError("model does not compile")
        return str(raised.value)

    assert complaint("2.32.2") == "model does not compile"
    first, remedy = complaint("2.39.0").split("\n")
    assert first == "model does not compile"
    for said in (
        "in model.stan write ordered_log_det for ordered_log_jacobian",
        "in ordered.stanfunctions write another name for upper",
        "in priors.stanfunctions write absolute_value for fabs",
        "in priors.stanfunctions write another name for jacobian",
    ):
        assert said in remedy
    assert "another name for lower; in model.stan" not in remedy  # a bound is no name


@needs_tools
def test_the_error_of_any_other_program_is_left_alone(tmp_path: Path) -> None:
    """Also of one with our files as they are, whose former names stay."""
    (tmp_path / "mine.stan").write_text(
        "functions {\n#include priors.stanfunctions\n#include polystan.stanfunctions\n}\n"
        "parameters { real<lower=0> x; } model { x ~ normal(fabs(0.5), 1); }\n"
    )
    for program in (Program(tmp_path / "mine.stan"), small_network().program):
        error = CompileError("it does not compile")
        with pytest.raises(CompileError) as raised, naming_the_remedy(program.sources, "2.39.0"):
            raise error
        assert raised.value is error
    with pytest.raises(InputError, match="wrong"), naming_the_remedy({}, "2.39.0"):
        raise InputError("wrong")


@needs_tools
def test_a_users_program_keeps_its_run_when_our_files_change(tmp_path: Path) -> None:
    """It includes a file of ours from where they are: its text counts as it was at first."""
    (tmp_path / "mine.stan").write_text("functions {\n#include polystan.stanfunctions\n}\n")
    now = Posterior(Program(tmp_path / "mine.stan"), {}).identity
    text = (FILES / "change-1" / "polystan.stanfunctions.txt").read_text()
    (tmp_path / "polystan.stanfunctions").write_text(text)
    with pytest.warns(UpgradeWarning):
        assert Posterior(Program(tmp_path / "mine.stan"), {}).identity == now
    (tmp_path / "polystan.stanfunctions").write_text(f"{text}// mine\n")
    assert Posterior(Program(tmp_path / "mine.stan"), {}).identity != now


def test_an_edited_block_is_kept_and_counts(tmp_path: Path) -> None:
    """The text that a program had at first included none."""
    save_posterior(today("none"), tmp_path, "model.stan")
    with (tmp_path / "network_data.stanblock").open("a") as file:
        file.write("// mine\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = opened(tmp_path)
    assert found.program.sources["network_data.stanblock"].endswith("// mine\n")
    assert found.identity != today("none").identity


def test_blocks_that_a_users_program_includes_count(tmp_path: Path) -> None:
    plain = "parameters { real x; } model { x ~ normal(0, 1); }\n"
    texts = [f"data {{\n#include network_data.stanblock\n}}\n{plain}", f"data {{\n}}\n{plain}"]
    found = []
    for number, text in enumerate(texts):
        path = tmp_path / f"mine-{number}.stan"
        path.write_text(text)
        found.append(earlier.as_at_first(Program(path).sources))
    assert [len(sources) for sources in found] == [2, 1]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("constraint", IDENTITIES)
def test_edited_programs_compile_with_todays_functions(
    tmp_path: Path, tools: Toolchain, constraint: str, change: str
) -> None:
    """A user's copy of an earlier program, with a line more: stanc of 2.27 takes it."""
    written(constraint, tmp_path, change)
    with (tmp_path / "model.stan").open("a") as file:
        file.write("// mine\n")
    with pytest.warns(UpgradeWarning):
        program = opened(tmp_path).program.definition
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert program._check(program._write_sources(scratch)) == ""


def test_an_earlier_text_is_kept_of_files_that_have_changed_alone() -> None:
    """One in each change that replaced it, and no two of them are the same."""
    places = [stan_dir() / folder for folder in ("models", "functions", "blocks")]
    for name in {path.name.removesuffix(".txt") for path in FILES.glob("*/*")}:
        (now,) = (folder / name for folder in places if (folder / name).is_file())
        texts = [path.read_text() for path in sorted(FILES.glob(f"*/{name}.txt"))]
        assert len({now.read_text(), *texts}) == 1 + len(texts)
    assert {path.name for path in FILES.iterdir()} == set(CHANGES)
