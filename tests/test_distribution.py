"""What is published: wheel, source archive, citation, conda recipe and the forge's templates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from manymodes import __version__
from manymodes.report import references

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
"""Where a package has another name in conda than on the Python package index."""
NOT_OF_PYTHON = {"__linux", "python", "gxx", "make"}


def loaded(path: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


# ------------------------------------------------------------------------------ wheel and sdist


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel alone, as pip installs it."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*command, "--no-compile", "--disable-pip-version-check", f"--target={folder}", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
def test_twine_has_nothing_to_say(built: Path) -> None:
    """Strict: the long description renders, and the metadata are whole."""
    files = [str(path) for path in sorted(built.iterdir())]
    assert [Path(file).suffix for file in files] == [".whl", ".gz"]
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_the_wheel_holds_all_that_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for folder, inside in (("stan", "manymodes/stan"), ("examples", "manymodes/examples")):
        ours = {
            f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix in {".stan", ".stanfunctions", ".stanblock", ".py"}
        }
        assert ours, folder
        assert ours <= held
    package = ROOT / "python" / "manymodes"
    ours = {
        f"manymodes/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= held
    others = {name.split("/")[0] for name in held} - {"manymodes"}
    assert others == {f"manymodes-{__version__}.dist-info"}


@pytest.mark.slow
def test_the_metadata_are_those_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
        (name,) = (one for one in held if one.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode("utf-8")
    head, _, description = text.partition("\n\n")
    assert "License-Expression: BSD-3-Clause" in head
    assert "License-File: LICENSE" in head
    assert f"{name.rpartition('/')[0]}/licenses/LICENSE" in held
    assert f"Version: {__version__}" in head
    assert "Classifier: Natural Language :: English" in head
    assert "Description-Content-Type: text/markdown" in head
    assert "Project-URL" not in head, "there is no public address yet"
    assert description.strip() == README.strip()


@pytest.mark.slow
def test_an_installed_wheel_finds_stan_and_runs(installed: Path) -> None:
    code = (
        "import pathlib, sys, manymodes; from manymodes.cli.main import main; "
        "from manymodes.toolchain import stan_dir; "
        "print(pathlib.Path(manymodes.__file__).parent, stan_dir()); "
        "sys.exit(main(['audit', '--inputs', '2', '--hidden', '2', '--activation', 'tanh']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    package, stan = done.stdout.splitlines()[0].split()
    assert Path(package) == installed / "manymodes"
    assert Path(stan) == installed / "manymodes" / "stan"
    assert (Path(stan) / "models" / "mlp.stan").is_file()
    assert list((installed / "manymodes" / "examples").glob("*.py"))
    assert "ordered-signed" in done.stdout


@pytest.mark.slow
def test_the_source_archive_holds_all_that_tests_read(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("benchmarks", "conda", "docs", "examples", "stan", "tests", ".github")
    wanted = {
        one.relative_to(ROOT).as_posix()
        for folder in folders
        for one in (ROOT / folder).rglob("*")
        if one.is_file()
        and one.suffix in {".py", ".md", ".stan", ".yml", ".yaml", ".png", ".svg"}
        and "generated" not in one.parts
    }
    wanted |= {"LICENSE", "README.md", "SECURITY.md", "CITATION.cff", "pyproject.toml"}
    assert wanted <= held, sorted(wanted - held)
    assert not [name for name in held if name.endswith((".pyc", ".o", ".so", ".log"))]


def test_classifiers_name_the_versions_from_the_oldest_on() -> None:
    oldest = int(PROJECT["requires-python"].removeprefix(">=3."))
    named = [
        int(found.group(1))
        for one in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", one))
    ]
    assert named == list(range(oldest, max(named) + 1))
    assert sys.version_info.minor in named
    assert PROJECT["classifiers"] == sorted(PROJECT["classifiers"])


# ------------------------------------------------------------------------------ citation


def test_the_citation_is_whole_and_of_this_version() -> None:
    """The keys that Citation File Format 1.2.0 requires, of the software and of each reference."""
    found = loaded("CITATION.cff")
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= found.keys()
    assert found["version"] == __version__
    assert found["license"] == PROJECT["license"]
    assert found["authors"] == PROJECT["authors"]
    assert found["keywords"] == PROJECT["keywords"]
    for one in found["references"]:
        assert {"type", "title", "authors", "year"} <= one.keys()
        assert all({"family-names", "given-names"} == author.keys() for author in one["authors"])


def test_the_references_are_those_of_the_pages_and_the_reports() -> None:
    cited = (ROOT / "docs" / "citations.md").read_text(encoding="utf-8")
    in_reports = " ".join(
        value if isinstance(value, str) else " ".join(value)
        for name, value in vars(references).items()
        if name.startswith("_") and name[1:].isupper()
    )
    for one in loaded("CITATION.cff")["references"]:
        first, year = one["authors"][0]["family-names"], one["year"]
        named = re.search(rf"{first}[^.;:]*?\({year}\)", cited)
        assert named or one["title"] in in_reports, one["title"]


# ------------------------------------------------------------------------------ conda


def conda_name(requirement: str) -> str:
    return re.split(r"[ <>=!]", requirement, maxsplit=1)[0]


def least(requirement: str) -> str:
    """Return the lowest version that a requirement allows."""
    found = re.search(r">=([\w.]+)", requirement)
    assert found, requirement
    return found.group(1)


def test_the_conda_recipe_renders_for_this_version() -> None:
    rattler_build = pytest.importorskip("rattler_build")
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "conda" / "recipe.yaml")
    (variant,) = recipe.render()
    rendered = variant.recipe.to_dict()
    assert rendered["package"] == {"name": "manymodes", "version": __version__}
    assert rendered["about"]["license"] == PROJECT["license"]
    assert rendered["about"]["summary"] == PROJECT["description"]
    assert "python 3.11.*" in rendered["requirements"]["host"]
    assert f"python {PROJECT['requires-python']}" in rendered["requirements"]["run"]


def test_the_conda_recipe_needs_what_the_project_needs() -> None:
    found = loaded("conda/recipe.yaml")["requirements"]["run"]
    by_conda = {
        conda_name(one): least(one) for one in found if conda_name(one) not in NOT_OF_PYTHON
    }
    by_project = {
        CONDA_NAMES.get(conda_name(one), conda_name(one)): least(one)
        for one in PROJECT["dependencies"]
        if ";" not in one  # an upper limit for one version of Python, of an extra
    }
    assert by_conda == by_project


def test_the_conda_recipe_has_the_command() -> None:
    found = loaded("conda/recipe.yaml")["build"]["python"]["entry_points"]
    assert found == [f"{name} = {where}" for name, where in PROJECT["scripts"].items()]


# ------------------------------------------------------------------------------ templates


TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.name != "config.yml"], ids=lambda path: path.stem
)
def test_an_issue_template_is_a_form(path: Path) -> None:
    """As GitHub's syntax for forms asks: keys of the form, and of each kind of question."""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    asked = [one for one in form["body"] if one["type"] != "markdown"]
    assert asked
    for one in asked:
        assert one["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert one["attributes"]["label"]
        assert isinstance(one["validations"]["required"], bool)
    names = [one["id"] for one in asked]
    assert len(set(names)) == len(names)
    for one in form["body"]:
        assert one["type"] != "markdown" or one["attributes"]["value"].strip()


def test_a_report_of_a_fault_asks_for_what_is_needed() -> None:
    form = loaded(".github/ISSUE_TEMPLATE/bug.yml")
    needed = " ".join(
        one["attributes"]["label"]
        for one in form["body"]
        if one.get("validations", {}).get("required")
    )
    for what in ("manymodes doctor --json", "command", "shape of the data", "manymodes --version"):
        assert what in needed
    assert {path.stem for path in TEMPLATES} == {"bug", "question", "idea", "config"}
    assert isinstance(loaded(".github/ISSUE_TEMPLATE/config.yml")["blank_issues_enabled"], bool)
