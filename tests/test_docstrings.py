"""Docstrings of the public names: their sections are there, and their examples run.

An example may use names that it does not define: ``mm``, ``np`` and ``pd``, and the small finished
things of `SHARED`. It runs in a folder of its own, with the files of `folder` if it needs them. One
test is one name, so that a failure shows which.
"""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import inspect
import json
import pydoc
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import manymodes as mm
from conftest import MODELS, QUICK_NUTS, closed_form
from manymodes import statistics, toolchain
from manymodes.cli.main import main
from manymodes.sklearn import BayesianMLPClassifier, BayesianMLPRegressor
from manymodes.studies.xor import XorData

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ("networks.symmetry", "sklearn", *(f"statistics.{name}" for name in statistics.__all__))
"""Public beside the names of ``manymodes`` itself: what these modules define without underscore."""
SETTINGS = (
    mm.ChainSettings,
    mm.NestedSettings,
    mm.TemperedSettings,
    mm.NutsSettings,
    mm.PolyChordSettings,
    mm.ModeSettings,
)
QUICK_FIT: dict[str, Any] = {
    "hidden": 2,
    "chains": 2,
    "warmup": 150,
    "draws": 100,
    "random_state": 1,
}
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
ENTRY = re.compile(r"^([\w*][\w*, ]*?)(?: :|$)", re.MULTILINE)


def defined(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the public classes and functions that a module defines, by name."""
    for name, found in vars(module).items():
        ours = getattr(found, "__module__", None) == module.__name__
        if ours and not name.startswith("_") and (inspect.isclass(found) or callable(found)):
            yield name, found


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods of a class, those of our own base classes too."""
    for base in kind.__mro__:
        if not base.__module__.startswith("manymodes."):
            continue
        for name, found in vars(base).items():
            plain = getattr(found, "__func__", found)
            if not name.startswith("_") and inspect.isfunction(plain):
                yield name, plain


def public() -> dict[str, Any]:
    """Return the public classes, functions and methods by name."""
    tops = {name: getattr(mm, name) for name in mm.__all__ if name != "__version__"}
    for module in MODULES:
        for name, found in defined(importlib.import_module(f"manymodes.{module}")):
            if found not in tops.values():
                tops[f"{module}.{name}"] = found
    named: dict[str, Any] = {}
    for name, found in tops.items():
        named[name] = found
        if inspect.isclass(found):
            for method, function in methods(found):
                named.setdefault(f"{name}.{method}", function)
    return named


PUBLIC = public()


def sections(found: Any) -> dict[str, str]:
    """Return the sections of a docstring by title, the part before the first one as ````."""
    parts = SECTION.split(inspect.getdoc(found) or "")
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> set[str]:
    """Return the names that a section explains: "a, b : int" explains two."""
    flat = [line for line in section.splitlines() if line and not line.startswith(" ")]
    named = [ENTRY.match(line) for line in flat]
    return {name.strip(" *") for match in named if match for name in match[1].split(",")}


def arguments(found: Any) -> set[str]:
    """Return the names of what a class or function is called with."""
    return {
        name
        for name in inspect.signature(found).parameters
        if name not in {"self", "cls"} and not name.startswith("_")
    }


def syntax(function: Any) -> ast.FunctionDef:
    """Return the syntax tree of a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def raised(function: Any) -> set[str]:
    """Return the errors that the body of a function raises by name."""
    found = set()
    for node in ast.walk(syntax(function)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func))
    return found


def makers(kind: type) -> list[Any]:
    """Return the functions of ours that run when an object of the class is made."""
    named = [vars(kind).get(name) for name in ("__init__", "__post_init__")]
    return [one for one in named if one and inspect.getsourcefile(one) == inspect.getfile(kind)]


def complaints(name: str, found: Any) -> list[str]:
    """Return what a docstring lacks."""
    said = sections(found)
    wrong = []
    if inspect.isclass(found):
        explained = entries(said.get("Parameters", "")) | entries(said.get("Attributes", ""))
        errors = set().union(*map(raised, makers(found)))
        asked = set() if issubclass(found, Exception) else arguments(found)
    else:
        explained = entries(said.get("Parameters", ""))
        errors = raised(found)
        asked = arguments(found)
        returns = inspect.signature(found).return_annotation
        if returns not in (None, "None") and not {"Returns", "Yields"} & said.keys():
            wrong.append("Returns")
    if missing := asked - explained:
        wrong.append(f"Parameters: {', '.join(sorted(missing))}")
    if missing := {error for error in errors if error not in said.get("Raises", "")}:
        wrong.append(f"Raises: {', '.join(sorted(missing))}")
    if ">>> " not in said.get("Examples", ""):
        wrong.append("Examples")
    return wrong


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_the_sections_that_it_needs(name: str) -> None:
    assert complaints(name, PUBLIC[name]) == []


@pytest.mark.parametrize("name", [name for name, found in PUBLIC.items() if inspect.isclass(found)])
def test_a_public_property_says_what_it_is(name: str) -> None:
    kinds = (property, functools.cached_property)
    bare = [
        attribute
        for base in PUBLIC[name].__mro__
        if base.__module__.startswith("manymodes.")
        for attribute, found in vars(base).items()
        if isinstance(found, kinds) and not attribute.startswith("_") and not found.__doc__
    ]
    assert bare == []


def bad(first: int, second: int = 1) -> int:
    """Add."""
    if first < 0:
        raise ValueError("no")
    return first + second


def test_a_docstring_without_its_sections_is_found() -> None:
    assert complaints("bad", bad) == [
        "Returns",
        "Parameters: first, second",
        "Raises: ValueError",
        "Examples",
    ]


# ---------------------------------------------------------------- examples


NOT_RUN = {"dask_executor", "mpi_executor"}
"""They need a Dask scheduler and an MPI job; tests/runtime/test_executors.py has both."""
NEEDS = ("model.stan", "doses.csv", '"run"', "model.fit(")
"""What stands in an example that compiles or runs a program, or opens what one has made."""


def example(name: str) -> doctest.DocTest | None:
    """Return the example of a public name, if it has one."""
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=True)
    found = finder.find(inspect.unwrap(PUBLIC[name]), name, module=False, globs={})
    return found[0] if found else None


def borrowed(test: doctest.DocTest) -> set[str]:
    """Return the names of `SHARED` that an example uses and does not define."""
    tree = ast.parse("".join(one.source for one in test.examples))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return {node.id for node in names} & SHARED.keys() - made


def runs_programs(test: doctest.DocTest) -> bool:
    """Return whether an example needs the toolchain: by what it borrows or does."""
    text = "".join(one.source for one in test.examples)
    return bool(borrowed(test)) or any(need in text for need in NEEDS)


SHARED: dict[str, Callable[[pytest.FixtureRequest], Any]] = {
    "posterior": lambda request: request.getfixturevalue("xor")["full"],
    "chains": lambda request: request.getfixturevalue("xor_chains"),
    "nested": lambda request: request.getfixturevalue("xor_nested"),
    "tempered": lambda request: request.getfixturevalue("xor_tempered"),
    "comparison": lambda request: request.getfixturevalue("xor_comparison"),
    "checks": lambda request: request.getfixturevalue("checks"),
    "smaller": lambda request: request.getfixturevalue("smaller"),
    "sized": lambda request: request.getfixturevalue("sized"),
    "classifier": lambda request: request.getfixturevalue("classifier"),
    "regressor": lambda request: request.getfixturevalue("regressor"),
}
"""What an example may use without making it, all of it finished and small."""


@pytest.fixture(scope="session")
def checks(xor_comparison: mm.Comparison) -> mm.Checks:
    """What other methods make of the evidence of ``comparison``."""
    return mm.check(xor_comparison)


@pytest.fixture(scope="session")
def smaller(tools: toolchain.Toolchain, data: XorData) -> mm.Comparison:
    """The comparison of a network with one hidden unit on the data of ``posterior``."""
    network = mm.Network(2, (1,), activation="sigmoid", prior="uniform:5")
    posterior = mm.Posterior.from_network(network, data.X, data.y, "one unit")
    chains = mm.run_chains(posterior, chains=4, nuts=QUICK_NUTS, quiet=True)
    nested = mm.run_nested(posterior, runs=2, polychord=mm.PolyChordSettings(nlive=50), quiet=True)
    settings = mm.ModeSettings(climbs=40)
    return mm.compare(posterior, chains=chains, nested=nested, settings=settings, quiet=True)


@pytest.fixture(scope="session")
def sized(tools: toolchain.Toolchain) -> mm.Nested:
    """Nested runs of a network of variable size, 1-3-1."""
    network = mm.Network(1, (3,), activation="tanh", prior="normal:1.5", active="geometric:0.5")
    x = np.linspace(-2, 2, 12)[:, None]
    posterior = mm.Posterior.from_network(network, x, (x[:, 0] > 0).astype(int))
    return mm.run_nested(posterior, runs=2, polychord=mm.PolyChordSettings(nlive=40), quiet=True)


@pytest.fixture(scope="session")
def classifier(tools: toolchain.Toolchain) -> BayesianMLPClassifier:
    """A fitted classifier that tells (-1, 1) from what lies outside."""
    X = np.linspace(-2, 2, 40)[:, None]
    y = np.where(np.abs(X[:, 0]) < 1, "inside", "outside")
    return BayesianMLPClassifier(**QUICK_FIT).fit(X, y)


@pytest.fixture(scope="session")
def regressor(tools: toolchain.Toolchain) -> BayesianMLPRegressor:
    """A fitted regressor of tanh(x) with a little noise."""
    X = np.linspace(-2, 2, 40)[:, None]
    y = np.tanh(X[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=40)
    return BayesianMLPRegressor(**QUICK_FIT).fit(X, y)


def write_doses(folder: Path) -> None:
    """Write the table of the tour in the README."""
    rng = np.random.default_rng(1)
    dose = np.linspace(0, 10, 60).round(2)
    works = np.where((dose > 3) & (dose < 7), 0.9, 0.1)
    table = pd.DataFrame({"dose": dose, "cured": rng.binomial(1, works)})
    table.to_csv(folder / "doses.csv", index=False)


@pytest.fixture(scope="session")
def folder(tools: toolchain.Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program and its data, a table, and a finished run of a network on it."""
    root = tmp_path_factory.mktemp("examples")
    shutil.copy(MODELS / "closed_forms.stan", root / "model.stan")
    (root / "data.json").write_text(json.dumps(closed_form().data), encoding="utf-8")
    write_doses(root)
    net, run = str(root / "net"), str(root / "run")
    table = [str(root / "doses.csv"), "--target", "cured", "--hidden", "2", "--prior", "normal:2"]
    quick = ["--warmup", "150", "--draws", "100", "--no-modes", "--quiet"]
    commands = (
        ["network", *table, "--out", net],
        ["sample", net, "--chains", "4", *quick, "--out", run],
        ["evidence", net, "--nlive", "50", "--no-modes", "--quiet", "--out", run],
        ["compare", run, "--quiet"],
    )
    for command in commands:
        assert main(command) == 0, command
    return root


def examples() -> list[Any]:
    """Return each public name with an example, marked where it needs the toolchain."""
    tests = {name: example(name) for name in PUBLIC if name not in NOT_RUN}
    return [
        pytest.param(name, marks=[pytest.mark.toolchain] if runs_programs(test) else [])
        for name, test in tests.items()
        if test
    ]


def skipped(test: doctest.DocTest | None) -> bool:
    """Return whether a part of an example is not run."""
    return test is not None and any(doctest.SKIP in one.options for one in test.examples)


def test_all_examples_run_but_those_that_cannot() -> None:
    assert {name for name in PUBLIC if skipped(example(name))} == NOT_RUN


@pytest.mark.parametrize("name", examples())
def test_an_example_runs(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    test = example(name)
    assert test is not None
    test.globs.update(mm=mm, np=np, pd=pd)
    test.globs.update({word: SHARED[word](request) for word in borrowed(test)})
    place = tmp_path
    if runs_programs(test):
        made = request.getfixturevalue("folder")
        place = Path(shutil.copytree(made, tmp_path / "here"))
    monkeypatch.chdir(place)
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)
    assert result.attempted > 0


# ---------------------------------------------------------------- settings and help


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_says_its_default_where_the_signature_does_not(kind: type) -> None:
    said = sections(kind)["Parameters"]
    parts = re.split(r"^(?=\w)", said, flags=re.MULTILINE)
    silent = [
        one.name
        for one in fields(kind)
        if (one.default is None or one.default_factory is not MISSING)
        and not any(one.name in entries(part) and "default" in part.lower() for part in parts)
    ]
    assert silent == []


def options(command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what ``--help`` says of the options of a command, by option."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = re.split(r"^  (?=--?\w)", capsys.readouterr().out, flags=re.MULTILINE)
    return {part.split()[0].strip(","): " ".join(part.split()) for part in text[1:]}


def leaves(settings: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of settings with their defaults, those of settings within them too."""
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            yield from leaves(value)
        else:
            yield one.name, value


OTHER_OPTIONS = {"num_repeats": "--repeats"}


@pytest.mark.parametrize(
    ("command", "settings"), [("sample", mm.ChainSettings()), ("evidence", mm.NestedSettings())]
)
def test_the_help_of_a_command_shows_every_default(
    command: str, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = options(command, capsys)
    for name, default in leaves(settings):
        option = OTHER_OPTIONS.get(name, f"--{name.replace('_', '-')}")
        said = re.search(r"\(default: ([^)]+)\)|(auto) \([^)]*; default\)", shown[option])
        assert said, f"it does not show its default: {shown[option]}"
        if default is not None:
            assert said[1] == ("off" if default is False else str(default))


@pytest.mark.parametrize("name", [name for name in PUBLIC if "." not in name])
def test_help_shows_a_public_name(name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(PUBLIC[name]))
    summary = sections(PUBLIC[name])[""].splitlines()[0]
    assert summary in text
    assert "lambda" not in text.splitlines()[2]


def test_dir_shows_the_public_names() -> None:
    assert set(mm.__all__) <= set(dir(mm))
    assert all(getattr(mm, name) is not None for name in dir(mm))
