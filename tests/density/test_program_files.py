"""The files of a program: what is read as stanc reads it, and where copies may be written."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest

from conftest import closed_form
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_tokens import includes_of, with_includes
from manymodes.errors import InputError, ResultsError
from manymodes.results.run_directory import open_posterior, save_posterior
from manymodes.toolchain import Toolchain, stan_dir

MODEL = "parameters { real x; } model { x ~ normal(0, 1); }\n"
ONE = "real one(real x) { return x + 1; }\n"


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def including(line: str) -> str:
    return f"functions {{\n{line}\n}}\n{MODEL}"


def stanc(tools: Toolchain, program: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [f"{tools.cmdstan.path}/bin/stanc", "--o=/dev/null", *options, str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---------------------------------------------------------------- what an include is


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("#include f.stanfunctions", ["f.stanfunctions"]),
        ('#include "f.stanfunctions"', ["f.stanfunctions"]),
        ("#include <f.stanfunctions>", ["f.stanfunctions"]),
        ('#include "my own f.stanfunctions"', ["my own f.stanfunctions"]),
        ("#include <my own f.stanfunctions>", ["my own f.stanfunctions"]),
        ("  \t#include\tf.stanfunctions  ", ["f.stanfunctions"]),
        ("#include\nf.stanfunctions", ["f.stanfunctions"]),
        ("#include f.stanfunctions // g.stanfunctions", ["f.stanfunctions"]),
        ("/* a */ #include f.stanfunctions /* #include h */", ["f.stanfunctions"]),
        ("#include f.stanfunctions #include sub/g.stan", ["f.stanfunctions", "sub/g.stan"]),
        ("// #include f.stanfunctions", []),
        ("# #include f.stanfunctions", []),
        ("# include f.stanfunctions", []),
        ("#includef.stanfunctions", []),
        ("/* old:\n#include f.stanfunctions\n*/", []),
        ("/**\n * \"quoted\n#include f.stanfunctions */", []),
        ('void f() { print("#include f.stanfunctions"); }', []),
        ('void f() { print("//"); }\n#include f.stanfunctions', ["f.stanfunctions"]),
        ('void f() { print("/*"); } #include f.stanfunctions', ["f.stanfunctions"]),
    ],
)  # fmt: skip
def test_includes_are_those_of_stanc(
    line: str, names: list[str], tmp_path: Path, tools: Toolchain
) -> None:
    """With the files there stanc takes the program; without any of them it does not."""
    assert [include.name for include in includes_of(line)] == names
    program = write(tmp_path / "m.stan", including(line))
    paths = f"--include-paths={tmp_path}"
    assert (stanc(tools, program, paths).returncode == 0) is (not names)
    for number, name in enumerate(names):
        write(tmp_path / name, f"real f{number}(real x) {{ return x; }}\n")
    done = stanc(tools, program, paths)
    assert done.returncode == 0, done.stderr
    assert set(Program(program).sources) == {"m.stan", *names}


def test_names_in_includes_are_replaced_and_nothing_else() -> None:
    text = '// #include a\n#include a #include "a" <a> print("#include a");\n#include <b c>'
    assert with_includes(text, {"a": "d e", "b c": "f"}) == (
        '// #include a\n#include d e #include "d e" <a> print("#include a");\n#include <f>'
    )


# ---------------------------------------------------------------- where included files are


@pytest.mark.parametrize(
    "name", ["../common/f.stanfunctions", "sub/../../common/f.stanfunctions", "{absolute}",
             '"../com mon/f g.stanfunctions"', "../common/.hidden.stan", "../common/f",
             "../common/posterior.json"]
)  # fmt: skip
def test_an_include_from_elsewhere_is_carried_into_the_folder(
    name: str, tmp_path: Path, tools: Toolchain
) -> None:
    name = name.format(absolute=tmp_path / "common" / "f.stanfunctions")
    (tmp_path / "models" / "sub").mkdir(parents=True)
    source = write((tmp_path / "models" / name.strip('"')).resolve(), ONE)
    main = write(tmp_path / "models" / "m.stan", including(f"#include {name}"))
    before = {path: path.read_bytes() for path in (source, main)}

    posterior = Posterior(Program(main), {})
    save_posterior(posterior, tmp_path / "run" / "posterior")
    (tmp_path / "scratch").mkdir()
    copies = [posterior.program._write_sources(tmp_path / "scratch")]
    copies.append(tmp_path / "run" / "posterior" / "m.stan")
    for copy in copies:
        done = stanc(tools, copy, f"--include-paths={copy.parent}")
        assert done.returncode == 0, done.stderr
    again = open_posterior(tmp_path / "run" / "posterior")
    assert again.identity == posterior.identity, "or it could not be resumed"
    assert again.program.sources == posterior.program.sources
    assert {path: path.read_bytes() for path in (source, main)} == before
    known = {"common", "com mon", "models", "run", "scratch"}
    assert {path.name for path in tmp_path.iterdir()} <= known
    saved = {path.name for path in (tmp_path / "run" / "posterior").iterdir()}
    assert len(saved) == 4
    assert {"m.stan", "data.json", "posterior.json"} < saved

    carried = pickle.dumps(posterior.program)
    source.unlink()
    main.unlink()
    there = pickle.loads(carried)
    assert there.sources == again.program.sources
    assert there.definition.sources == there.sources


def test_overloads_are_renamed_in_the_copies_alone(tmp_path: Path, tools: Toolchain) -> None:
    overloads = ONE + "vector one(vector x) { return x + 1; }\n"
    source = write(tmp_path / "f.stanfunctions", overloads)
    used = f"transformed data {{ real a = one(1.0); vector[2] b = one([1, 2]'); }}\n{MODEL}"
    text = f"functions {{\n#include {source}\n}}\n{used}"
    main = write(tmp_path / "models" / "m.stan", text)
    (tmp_path / "scratch").mkdir()
    copy = Program(main)._write_sources(tmp_path / "scratch")
    done = stanc(tools, copy, f"--include-paths={copy.parent}")
    assert done.returncode == 0, done.stderr
    assert source.read_text() == overloads
    assert main.read_text() == text


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b", "models")):
        write(tmp_path / folder / "f.stan", f"// {number}\n")
    lines = f"#include ../a/f.stan\n#include {tmp_path}/b/f.stan\n#include f.stan"
    program = Program(write(tmp_path / "models" / "m.stan", including(lines)))
    assert program.sources["f.stan"] == "// 2\n", "the program's own keeps its name"
    assert sorted(program.sources) == ["f-2.stan", "f-3.stan", "f.stan", "m.stan"]
    assert {"#include f-2.stan", "#include f-3.stan", "#include f.stan"} < set(
        program.sources["m.stan"].splitlines()
    )


def test_a_file_included_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "b.stan", "x ~ normal(0, 1);\n")
    text = "parameters { real x; } model {\n#include b.stan\n#include b.stan\n}\n"
    assert list(Program(write(tmp_path / "m.stan", text)).sources) == ["m.stan", "b.stan"]


def test_includes_of_includes_are_looked_for_beside_the_program(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.stan", "#include b.stan\n")
    program = write(tmp_path / "m.stan", including("#include sub/a.stan"))
    write(tmp_path / "sub" / "b.stan", ONE)
    with pytest.raises(InputError, match=r"a\.stan: #include b\.stan is found neither"):
        Program(program).sources  # noqa: B018 - as stanc does
    write(tmp_path / "b.stan", ONE)
    assert set(Program(program).sources) == {"m.stan", "sub/a.stan", "b.stan"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"m.stan": "#include m.stan"}, "m.stan: #include m.stan includes itself"),
        ({"m.stan": "#include a", "a": "#include b", "b": "\n#include a"}, "#include a includes"),
        ({"m.stan": "#include sub", "sub/x": ""}, "m.stan: #include sub is a folder"),
        ({"m.stan": "#include "}, "m.stan: #include  is a folder"),
        ({"m.stan": "#include gone"}, "m.stan: #include gone is found neither"),
        ({"m.stan": "#include loop"}, "m.stan: #include loop cannot be read as a file"),
        ({"m.stan": "#include pipe"}, "m.stan: #include pipe cannot be read as a file"),
        ({"m.stan": "#include a", "a": b"// \xe9"}, "a, line 1: byte 0xe9 is not text in UTF-8"),
    ],
)
def test_what_cannot_be_included_is_one_line(
    files: dict[str, str | bytes], said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        write(tmp_path / name, text)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError) as caught:
        Program(tmp_path / "m.stan").sources  # noqa: B018
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- encodings, odd files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("// dépendance\n".encode("latin-1"), "line 1: byte 0xe9 is not text in UTF-8"),
        (b"//\r\n//\r// \x93x\x94\n", "line 3: byte 0x93 is not text in UTF-8"),
        ("// naïve\n".encode("utf-16"), "is in UTF-16: save it as UTF-8"),
        (b"//\n\0", "line 2: a NUL byte is not text in UTF-8"),
    ],
)
def test_other_encodings_are_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.stan", content + MODEL.encode())
    with pytest.raises(InputError, match=said) as caught:
        Program(path).sources  # noqa: B018
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf%s", b"%s"], ids=["with a mark", "without"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_marks_and_newlines_do_not_matter(content: bytes, newline: bytes, tmp_path: Path) -> None:
    lines = including("#include f.stanfunctions // here").encode().replace(b"\n", newline)
    write(tmp_path / "m.stan", content % lines)
    write(tmp_path / "f.stanfunctions", content % ONE.encode().replace(b"\n", newline))
    assert Program(tmp_path / "m.stan").sources == {
        "m.stan": including("#include f.stanfunctions // here"),
        "f.stanfunctions": ONE,
    }


@pytest.mark.parametrize(
    "name",
    ["my model.stan", "modèle.stan", "2pl.stan", "a-b.c.stan", "f.stan", f"{'x' * 240}.stan"],
)
def test_any_name_of_a_program_compiles(name: str, tmp_path: Path, tools: Toolchain) -> None:
    write(tmp_path / "here" / "a_b_c.stan", ONE)
    main = write(tmp_path / "here" / name, including("#include a_b_c.stan"))
    (tmp_path / "scratch").mkdir()
    copy = Program(main)._write_sources(tmp_path / "scratch")
    assert copy.name.isascii()
    assert copy.read_text() == main.read_text()
    done = stanc(tools, copy, f"--include-paths={copy.parent}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["folder", "loop", "dangling"])
def test_a_program_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.stan"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "loop" else tmp_path / "gone.stan")
    said = "is a folder" if kind == "folder" else "a link to nothing"
    with pytest.raises(InputError, match=rf"m\.stan.*{said}"):
        Program(path)


# ---------------------------------------------------------------- programs without parameters


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n  // nothing\n",
        "data { int N; }\ngenerated quantities { real z = normal_rng(0, 1); }",
        "parameters { }\nmodel { }",
        "parameters { /* real x; */ }\nmodel { target += 1; }",
    ],
)
def test_a_program_without_parameters_is_refused_before_it_compiles(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(program: Program) -> Path:
        raise AssertionError("compiled")

    monkeypatch.setattr(Program, "library", never)
    posterior = Posterior(Program(write(tmp_path / "m.stan", text)), {"N": 3})
    for use in (posterior.compile, lambda: posterior.model, lambda: posterior.log_density([])):
        with pytest.raises(InputError, match=r"m\.stan: the program has no parameters") as caught:
            use()
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- a stranger's folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A saved posterior in ``home/run/posterior``, with files of the user's around it."""
    write(tmp_path / "home" / ".bashrc", "alias ll='ls -l'\n")
    write(tmp_path / "home" / "model.stan", MODEL)
    save_posterior(closed_form(), tmp_path / "home" / "run" / "posterior", "model.stan")
    return tmp_path / "home" / "run" / "posterior"


@pytest.mark.parametrize(
    "name",
    ["../../.bashrc", "../../model.stan", "{home}/model.stan", "..", ".", "", "sub/model.stan",
     "..\\\\..\\\\model.stan", "a\\u0000.stan", "\\u001b[31m.stan"],
)  # fmt: skip
def test_a_program_outside_its_folder_is_not_opened(name: str, kept: Path) -> None:
    name = name.format(home=kept.parents[1])
    description = (kept / "posterior.json").read_text()
    (kept / "posterior.json").write_text(description.replace('"model.stan"', f'"{name}"'))
    with pytest.raises(ResultsError, match="is not a file of its folder") as caught:
        open_posterior(kept)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["null", "3", "[]", '{"a": 1}'])
def test_a_program_without_a_name_is_not_opened(name: str, kept: Path) -> None:
    description = (kept / "posterior.json").read_text()
    (kept / "posterior.json").write_text(description.replace('"model.stan"', name))
    with pytest.raises(ResultsError, match="is not a file of its folder"):
        open_posterior(kept)


@pytest.mark.parametrize("name", ["model.stan", "data.json", "posterior.json"])
def test_a_link_out_of_the_folder_is_not_followed(name: str, kept: Path) -> None:
    (kept / name).rename(kept.parents[1] / "moved")
    (kept / name).symlink_to("../../moved")
    with pytest.raises(ResultsError, match=rf"{name} is a link that leads out of its folder"):
        open_posterior(kept)


@pytest.mark.parametrize("name", ["model.stan", "data.json", "posterior.json"])
def test_a_pipe_is_not_waited_for(name: str, kept: Path) -> None:
    (kept / name).unlink()
    os.mkfifo(kept / name)
    with pytest.raises(ResultsError, match=rf"{name} is neither a file nor a folder"):
        open_posterior(kept)


@pytest.mark.parametrize("target", ["f.stanfunctions", "../f.stanfunctions", "{absolute}"])
def test_an_include_out_of_the_folder_is_not_followed(target: str, kept: Path) -> None:
    outside = write(kept.parents[1] / "secret.stanfunctions", ONE)
    target = target.format(absolute=outside)
    link = kept / "f.stanfunctions"
    link.symlink_to(outside)
    link.rename(kept.parent / "f.stanfunctions") if target.startswith("..") else None
    text = (kept / "model.stan").read_text()
    (kept / "model.stan").write_text(f"functions {{\n#include {target}\n}}\n{text}")
    with pytest.raises(InputError, match="leads out of the folder that the program came in"):
        open_posterior(kept).program.sources  # noqa: B018


@pytest.mark.parametrize("name", ["user_header.hpp", "model_model.hpp", "model_model.so", "model"])
def test_nothing_of_the_folder_is_taken_for_machine_code(
    name: str, kept: Path, tmp_path: Path, tools: Toolchain
) -> None:
    """An include may be called as what the compiler reads or makes beside the program."""
    write(kept / name, ONE)
    text = (kept / "model.stan").read_text()
    (kept / "model.stan").write_text(f"functions {{\n#include {name}\n}}\n{text}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    open_posterior(kept).program._write_sources(scratch)
    assert {path.suffix for path in scratch.iterdir()} == {".stan", ".stanfunctions"}


def test_a_link_inside_the_folder_is_followed(kept: Path) -> None:
    (kept / "model.stan").rename(kept / "other.stan")
    (kept / "model.stan").symlink_to("other.stan")
    assert open_posterior(kept).identity == closed_form().identity


def test_a_posterior_is_not_saved_through_a_link(kept: Path) -> None:
    write(kept / "sub" / "f.stan", ONE)
    main = write(kept / "m.stan", including("#include sub/f.stan"))
    elsewhere = kept.parents[1] / "elsewhere"
    elsewhere.mkdir()
    target = kept.parents[1] / "target"
    target.mkdir()
    (target / "sub").symlink_to(elsewhere)
    with pytest.raises(InputError, match="leads out of"):
        save_posterior(Posterior(Program(main), {}), target)
    assert list(elsewhere.iterdir()) == []


def test_a_strangers_program_is_announced_once_and_ours_never(
    kept: Path, monkeypatch: pytest.MonkeyPatch, tools: Toolchain
) -> None:
    monkeypatch.setenv("MANYMODES_HOME", str(kept.parents[1] / "cache"))
    monkeypatch.setenv("CMDSTAN", str(tools.cmdstan.path))
    opened = open_posterior(kept).program
    assert str(kept / "model.stan") in str(opened.foreign)
    assert "compiled and run" in str(opened.foreign)
    assert Program(kept / "model.stan").foreign is None, "the user named it"
    shipped = kept.parent / "shipped.stan"
    shipped.write_text((stan_dir() / "models" / "mlp.stan").read_text())
    assert Program(shipped, confined=True).foreign is None
    shipped.write_text(shipped.read_text() + "// changed\n")
    assert Program(shipped, confined=True).foreign is not None
    monkeypatch.setattr(Program, "is_compiled", lambda _: True)
    assert opened.foreign is None
