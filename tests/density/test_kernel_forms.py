"""The two forms of a network's program: which one runs, what is said of it, what is kept of it."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import MODELS, needs_tools, small_network
from manymodes.cli.main import main
from manymodes.density import kernel
from manymodes.density import posterior as posterior_room
from manymodes.density.kernel import caution, instruction_set, user_header, with_kernel
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import CompileError, KernelWarning
from manymodes.networks.network import Network
from manymodes.results.run_directory import open_posterior, save_posterior
from manymodes.toolchain import Toolchain, stan_dir
from sentences import tells

SWAPPED = "network_likelihood.stanfunctions"
BROKEN = "#error this compiler has no vectors\n"
SETS = {"avx512", "avx2", "baseline"}


def network_program(
    constraint: str = "none", *, active: str | None = None, **given: Any
) -> Program:
    return Program(Network(2, (2,), constraint=constraint, active=active).program, **given)


@pytest.fixture
def other_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``stan/kernels`` that is taken for it."""
    folder = tmp_path / "kernels"
    shutil.copytree(stan_dir() / "kernels", folder)
    monkeypatch.setattr(kernel, "_folder", lambda: folder)
    return folder


@pytest.fixture
def broken(tools: Toolchain, other_kernels: Path) -> Iterator[Posterior]:
    """A posterior whose kernel does not compile; what the cache learns of it is forgotten."""
    (other_kernels / "mlp.hpp").write_text(BROKEN)
    posterior = small_network()
    yield posterior
    shutil.rmtree(posterior.program.folder, ignore_errors=True)


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize("constraint", ["none", "ordered", "pd-skew", "unit-norm", "svd"])
def test_declarations_take_the_place_of_definitions(constraint: str) -> None:
    activation = "relu" if constraint == "unit-norm" else "tanh"
    network = Network(2, (2,), constraint=constraint, activation=activation)
    sources = Program(network.program).sources
    swapped = with_kernel(sources)
    assert swapped is not None
    changed = {name for name in sources if sources[name] != swapped[name]}
    assert SWAPPED in changed
    assert changed <= {path.name for path in (stan_dir() / "kernels").iterdir()}
    assert swapped.keys() == sources.keys()
    assert "hidden_units(" not in swapped[SWAPPED]
    assert "hidden_units(" in sources[SWAPPED]


def test_networks_of_variable_size_are_swapped_as_a_whole() -> None:
    swapped = with_kernel(network_program(active="uniform").sources)
    assert swapped is not None
    for name in (SWAPPED, "variable.stanfunctions"):
        assert swapped[name] == (stan_dir() / "kernels" / name).read_text(encoding="utf-8")


def test_a_program_without_a_networks_likelihood_has_one_form() -> None:
    program = Program(MODELS / "plain.stan")
    assert with_kernel(program.sources) is None
    assert program.kernel_state is None
    assert not program.uses_kernel


@pytest.mark.parametrize("edited", [SWAPPED, "variable.stanfunctions"])
def test_a_likelihood_that_a_user_wrote_is_the_one_that_runs(edited: str) -> None:
    """Also where another file is as ours: the edited one may read the inputs as a plain matrix."""
    sources = dict(network_program(active="uniform").sources)
    sources[edited] += "// mine\n"
    assert with_kernel(sources) is None


@needs_tools
@pytest.mark.parametrize("edited", [SWAPPED, "weight_priors.stanfunctions"])
def test_a_likelihood_that_a_user_wrote_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    """The kernel is never off in silence: one line on each run, none where it was turned off."""
    save_posterior(small_network(), tmp_path)
    with (tmp_path / edited).open("a") as file:
        file.write("// mine\n")
    monkeypatch.setattr(Program, "is_compiled", lambda self: True)
    with pytest.warns(KernelWarning) as told:
        open_posterior(tmp_path).compile()
    (said,) = (str(one.message) for one in told)
    assert said.startswith(f"mlp: its own {edited} computes the likelihood. The kernel")
    assert "\n" not in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_posterior(tmp_path, kernel=False).compile()
        small_network().compile()


def test_a_file_of_the_same_name_is_no_likelihood(tmp_path: Path) -> None:
    (tmp_path / SWAPPED).write_text("real mine(real x) { return x; }\n")
    path = tmp_path / "mine.stan"
    path.write_text(f"functions {{\n#include {SWAPPED}\n}}\n")
    assert caution("mine", Program(path).sources, None, tmp_path) is None


@needs_tools
def test_a_users_program_with_our_likelihood_has_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "mine.stan"
    path.write_text(f"functions {{\n#include network.stanfunctions\n#include {SWAPPED}\n}}\n")
    assert Program(path).uses_kernel
    assert not Program(path, kernel=False).uses_kernel


def test_every_declaration_has_its_definition() -> None:
    """Name, types and order of the arguments, which C++ has to agree with."""
    signature = re.compile(r"^(?:real|int|vector|matrix) \w+\([^)]*\)", re.MULTILINE)
    for path in sorted((stan_dir() / "kernels").glob("*.stanfunctions")):
        texts = (path, stan_dir() / "functions" / path.name)
        declared, defined = (
            {" ".join(found.split()) for found in signature.findall(text.read_text("utf-8"))}
            for text in texts
        )
        assert declared
        assert declared <= defined, path.name


@pytest.mark.parametrize("stem", ["mlp", "Two_words", "2_layers", "_x", "__"])
def test_the_header_names_the_namespace_that_stanc_writes(
    tmp_path: Path, tools: Toolchain, stem: str
) -> None:
    path = tmp_path / f"{stem}.stan"
    path.write_text("parameters { real x; } model { x ~ std_normal(); }")
    stanc = f"{tools.cmdstan.path}/bin/stanc"
    subprocess.run([stanc, f"--o={tmp_path / 'out.hpp'}", str(path)], check=True)
    written = re.search(r"^namespace (\w+)", (tmp_path / "out.hpp").read_text(), re.MULTILINE)
    assert written is not None
    assert f"#define MANYMODES_NAMESPACE {written[1]}\n" in user_header(stem, {"model.stan": ""})


@pytest.mark.parametrize(
    ("given", "offered"),
    [
        ({}, "mlp"),
        ({"likelihood": "poisson"}, "mlp_general"),
        ({"constraint": "ordered"}, None),
        ({"active": "uniform"}, None),
    ],
)
def test_the_header_offers_the_whole_density_of_our_own_programs(
    given: dict[str, Any], offered: str | None
) -> None:
    """Unchanged ones alone: whoever edits a prior must not get the one of before."""
    sources = Program(Network(2, (2,), **given).program).sources
    lines = user_header("model", sources).splitlines()
    found = [line.split()[-1] for line in lines if "MANYMODES_DENSITY" in line]
    assert found == ([] if offered is None else [offered])
    for name in sources:
        edited = user_header("model", {**sources, name: sources[name] + "// mine\n"})
        assert "MANYMODES_DENSITY" not in edited


# ---------------------------------------------------------------- identity and cache


@needs_tools
def test_with_and_without_the_kernel_it_is_the_same_posterior() -> None:
    network, X, y = Network(2, (2,)), np.zeros((3, 2)), np.array([0, 1, 1])
    with_it = Posterior.from_network(network, X, y)
    without = Posterior.from_network(network, X, y, kernel=False)
    assert with_it.identity == without.identity
    assert with_it.program.folder != without.program.folder
    assert with_it.program.definition.folder == without.program.folder


def test_a_change_of_a_header_concerns_the_kernel_alone(
    tools: Toolchain, other_kernels: Path
) -> None:
    def keys() -> list[str]:
        plain = Program(MODELS / "plain.stan")
        programs = (network_program(), network_program(kernel=False), plain)
        return [program.fingerprint(tools) for program in programs]

    before = keys()
    (other_kernels / "simd.hpp").write_text("// faster\n")
    after = keys()
    assert before[0] != after[0]
    assert before[1:] == after[1:]


@needs_tools
@pytest.mark.parametrize("wanted", [True, False])
def test_a_program_travels_with_its_choice(tmp_path: Path, wanted: bool) -> None:
    there = pickle.loads(pickle.dumps(network_program(kernel=wanted)))
    assert there.kernel is wanted
    assert there.uses_kernel is wanted
    assert there.definition.sources == network_program().sources


@needs_tools
@pytest.mark.parametrize("wanted", [True, False])
def test_a_folder_keeps_the_choice(tmp_path: Path, wanted: bool) -> None:
    network = Network(2, (2,))
    posterior = Posterior.from_network(network, np.zeros((3, 2)), [0, 1, 1], kernel=wanted)
    save_posterior(posterior, tmp_path)
    assert open_posterior(tmp_path).program.kernel is wanted
    assert open_posterior(tmp_path, kernel=False).program.kernel is False
    assert open_posterior(tmp_path, kernel=True).program.uses_kernel
    assert open_posterior(tmp_path).identity == posterior.identity
    assert "hidden_units(" in (tmp_path / SWAPPED).read_text()  # the definition, for any Stan


# ---------------------------------------------------------------- what runs


@needs_tools
def test_the_state_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network_program().kernel_state == instruction_set()
    assert instruction_set() in SETS
    assert network_program(kernel=False).kernel_state == "off"


@pytest.mark.parametrize(
    ("flags", "limit", "chosen"),
    [
        ("fpu avx2 fma avx512f avx512dq avx512vl", "", "avx512"),
        ("fpu avx2 fma avx512f avx512dq avx512vl", "avx2", "avx2"),
        ("fpu avx2 fma avx512f avx512dq avx512vl", "baseline", "baseline"),
        ("fpu avx2 fma avx512f", "", "avx2"),
        ("fpu avx2", "", "baseline"),
        ("fpu avx2 fma", "avx512", "avx2"),
    ],
)
def test_the_instruction_set_is_read_from_the_processor(
    monkeypatch: pytest.MonkeyPatch, flags: str, limit: str, chosen: str
) -> None:
    monkeypatch.setattr(kernel.sys, "platform", "linux")
    monkeypatch.setattr(kernel.os, "uname", lambda: type("Machine", (), {"machine": "x86_64"}))
    text = f"processor\t: 0\nflags\t\t: {flags}\n"
    monkeypatch.setattr(kernel.Path, "read_text", lambda self, encoding: text)
    monkeypatch.setenv(kernel.LIMIT, limit)
    assert instruction_set() == chosen


def test_both_forms_have_the_same_density_and_gradient(tools: Toolchain) -> None:
    posterior = small_network().compile()
    definition = Posterior(posterior.program.definition, posterior.data)
    assert posterior.program.kernel_state in SETS
    for eta in np.random.default_rng(3).normal(size=(5, posterior.dims)):
        ours, theirs = posterior.gradient(eta), definition.gradient(eta)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(posterior.log_lik(eta), definition.log_lik(eta), rtol=1e-12)


# ---------------------------------------------------------------- where it does not compile


def test_the_definition_runs_where_the_kernel_does_not_compile(
    broken: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(KernelWarning) as told:
        broken.compile()
    assert len(told) == 1
    said = str(told[0].message)
    assert "\n" not in said
    assert said.startswith("mlp: ")
    assert tells(said, "kernel", "not be built", "Stan program computes")
    assert "this compiler has no vectors" in said
    assert "building-" not in said
    assert broken.program.kernel_state == "not built"
    assert broken.program.library() == broken.program.definition.library()
    assert broken.program.executable() == broken.program.definition.executable()
    assert np.isfinite(broken.log_density(np.zeros(broken.dims)))

    # Another process does not try again, and says the same.
    def tried(self: Program, scratch: Path) -> Path:
        raise AssertionError("compiled again")

    monkeypatch.setattr(Program, "_compile_bridge", tried)
    monkeypatch.setattr(Program, "_compile_cmdstan", tried)
    again = pickle.loads(pickle.dumps(broken))
    with pytest.warns(KernelWarning, match="could not be built"):
        again.compile()
    assert again.program.is_compiled()


def test_it_is_tried_again_when_the_kernel_has_changed(
    broken: Posterior, other_kernels: Path
) -> None:
    with pytest.warns(KernelWarning):
        broken.compile()
    shutil.copy(stan_dir() / "kernels" / "mlp.hpp", other_kernels / "mlp.hpp")
    mended = small_network().program
    assert mended.folder != broken.program.folder
    assert mended.kernel_failure is None
    assert mended.uses_kernel


def test_the_command_line_says_it_in_one_line(
    broken: Posterior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_posterior(broken, tmp_path / "net")
    nuts = ["--chains", "1", "--warmup", "50", "--draws", "20", "--no-modes", "--json"]
    assert main(["sample", str(tmp_path / "net"), "--out", str(tmp_path / "run"), *nuts]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["posteriors"]["none"]["kernel"] == "not built"
    lines = [line for line in err.splitlines() if "kernel" in line]
    assert len(lines) == 1
    assert lines[0].startswith("manymodes: caution: mlp: ")
    assert tells(lines[0], "kernel", "not be built")


def test_a_program_that_is_wrong_is_not_the_kernels_failure(
    tmp_path: Path, tools: Toolchain
) -> None:
    path = tmp_path / "wrong.stan"
    path.write_text(
        f"functions {{\n#include network.stanfunctions\n#include likelihoods.stanfunctions\n"
        f"#include {SWAPPED}\n}}\nparameters {{ real x }}\n"
    )
    program = Program(path)
    assert program.uses_kernel
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CompileError, match="Syntax error"):
            Posterior(program, {}).compile()
    assert program.kernel_failure is None
    assert program.uses_kernel


def test_the_caution_holds_one_complaint(tmp_path: Path) -> None:
    said = caution("m", {}, f"m does not compile:\n{'x' * 500}\nmore", tmp_path / "kernel.txt")
    assert said is not None
    assert "more" not in said
    assert len(said) < 450 + len(str(tmp_path))


# ---------------------------------------------------------------- turned off


def test_no_kernel_goes_on_with_the_same_run_and_is_kept(
    tools: Toolchain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_posterior(small_network(), tmp_path / "net")
    net, run = str(tmp_path / "net"), tmp_path / "run"
    nuts = ["--warmup", "50", "--draws", "20", "--no-modes", "--json", "--quiet", "--resume"]

    def sampled(*options: str) -> dict[str, Any]:
        assert main(["sample", net, "--out", str(run), *options, *nuts]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["posteriors"]["none"]
        return found

    first = sampled("--chains", "1")
    assert first["kernel"] in SETS
    before = (run / "chains" / "chain-00000.npz").read_bytes()
    second = sampled("--chains", "2", "--no-kernel")
    assert (second["kernel"], second["chains"]["n"]) == ("off", 2)
    assert (run / "chains" / "chain-00000.npz").read_bytes() == before
    assert not open_posterior(run / "posterior").program.kernel
    assert main(["compare", str(run), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["posteriors"]["none"]["kernel"] == "off"
    assert "stan/kernels" in (run / "report.html").read_text(encoding="utf-8")


@needs_tools
@pytest.mark.parametrize("command", ["sample", "evidence"])
def test_no_kernel_reaches_the_program(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Program] = []

    def stop(posteriors: Any, **_: Any) -> None:
        seen.extend(one.program for one in posteriors)
        raise CompileError("seen")

    monkeypatch.setattr(posterior_room, "compile_posteriors", stop)
    folder = tmp_path / "net"
    save_posterior(small_network(), folder)
    files = [str(folder / "mlp.stan"), str(folder / "data.json")]
    for named in ([str(folder)], files):
        for options in ([], ["--no-kernel"]):
            assert main([command, *named, "--out", str(tmp_path / "out"), *options]) == 1
    assert [program.kernel for program in seen] == [True, False, True, False]
    assert [program.uses_kernel for program in seen] == [True, False, True, False]


def test_a_study_can_do_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from manymodes.studies import xor

    seen: list[bool] = []

    def conduct(name: str, out: Path, posteriors: Any, *_: Any) -> dict[str, Any]:
        seen.extend(one.program.kernel for one in posteriors.values())
        return {}

    monkeypatch.setattr(xor, "conduct", conduct)
    for options in ([], ["--no-kernel"]):
        assert main(["study", "xor", "--out", str(tmp_path), "--quiet", *options]) == 0
    assert seen == [True, True, False, False]


def test_doctor_names_the_instruction_set(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out)["kernel"] == {"instruction_set": instruction_set()}
    main(["doctor"])
    assert "Networks' likelihoods: the kernel, with " in capsys.readouterr().out


def test_a_data_item_called_hidden_is_just_data(tmp_path: Path) -> None:
    file = tmp_path / "own.stan"
    file.write_text("data { int n; vector[n] hidden; } parameters { real x; } model { }")
    density = Posterior(Program(file), {"n": 100, "hidden": [0.5] * 100})
    assert density.program.kernel
    assert density.depth_caution == ""
