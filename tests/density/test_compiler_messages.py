"""What compilers and compiled programs say: the first complaint, in the user's names of files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import MODELS, closed_form
from manymodes.density.compiler_messages import first_complaint, with_users_names
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import CompileError, DensityError, SamplingError
from manymodes.toolchain import Toolchain

SHOWN = {
    "m.stan": "models/m.stan",
    "f.stanfunctions": "models/../common/f.stanfunctions",
    "./g.stan": "models/./g.stan",
}
SCRATCH = "/data/my cache/programs/0123abc/building-x_1z"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("(in 'm.stan', line 5, column 2)", "(in 'models/m.stan', line 5, column 2)"),
        (f"in '{SCRATCH}/m.stan', line 5", "in 'models/m.stan', line 5"),
        ("in 'another.stan', line 5", "in 'models/m.stan', line 5"),
        (
            "in './f.stanfunctions', line 2, included from\n'm.stan', line 1",
            "in 'models/../common/f.stanfunctions', line 2, included from\n'models/m.stan', line 1",
        ),
        (f"in '{SCRATCH}/./f.stanfunctions', line 2", f"in '{SHOWN['f.stanfunctions']}', line 2"),
        ("in '././g.stan', line 2", "in 'models/./g.stan', line 2"),
        ("Identifier 'y' not in scope.", "Identifier 'y' not in scope."),
        ("/data/programs/0123/building-xyz/m_model.hpp:5:1: error", "m_model.hpp:5:1: error"),
    ],
)
def test_files_are_called_as_the_user_calls_them(said: str, expected: str) -> None:
    once = with_users_names(said, "models/m.stan", SHOWN)
    assert once == expected
    assert with_users_names(once, "models/m.stan", SHOWN) == expected, "twice is once"


STANC = """\
Semantic error in 'm.stan', line 3, column 2 to column 5:
   -------------------------------------------------
     3:    foo(x);
           ^
   -------------------------------------------------

A returning function was expected but an undeclared identifier 'foo' was supplied.

make: *** [Makefile:126: m_model.hpp] Error 1
"""
LINK = """\
--- Compiling m.stan
/usr/bin/ld: m_model.so.123.o: in function `m_model_namespace::f(double)':
m.hpp:(.text+0x12): undefined reference to `m_model_namespace::g(double)'
collect2: error: ld returned 1 exit status
make: *** [Makefile:160: m_model.so] Error 1
"""
LIBRARY = """\
/usr/bin/ld: cannot find -lnothere: No such file or directory
collect2: error: ld returned 1 exit status
make[1]: *** [Makefile:160: m_model.so] Error 1
"""


@pytest.mark.parametrize(
    ("output", "first"),
    [
        (STANC, "Semantic error in 'm.stan', line 3, column 2 to column 5:"),
        (LINK, "m.hpp:(.text+0x12): undefined reference to `m_model_namespace::g(double)'"),
        (LIBRARY, "/usr/bin/ld: cannot find -lnothere: No such file or directory"),
        ("make: *** [x] Error 1\n", "make: *** [x] Error 1"),
        ("x\ncc1plus: error: unknown option\n", "cc1plus: error: unknown option"),
    ],
)
def test_the_first_complaint_comes_first(output: str, first: str) -> None:
    lines = first_complaint("m", output).splitlines()
    assert lines[:2] == ["m does not compile:", first]
    assert len(lines) <= 13


def test_an_error_in_the_cpp_is_traced_to_the_programs_line(tmp_path: Path) -> None:
    (tmp_path / "m_model.hpp").write_text(
        "static std::array<const char*, 3> locations_array__ = \n"
        '{" (found before start of program)",\n'
        " \" (in 'm.stan', line 4, column 13)\",\n"
        " \" (in './f.stan', line 1, column 28, included from\\n'm.stan', line 2, column 0)\"};\n"
        "current_statement__ = 1;\n"
        "x = 1;\n"
        "current_statement__ = 2;\n"
        "assign(y, x, 1);\n"
    )
    output = f"{tmp_path}/m_model.hpp:8:60: error: no matching function\n more\n"
    said = first_complaint("m", output, tmp_path).splitlines()
    assert said[1:3] == [
        "C++ error in './f.stan', line 1, column 28, included from",
        "'m.stan', line 2, column 0: no matching function",
    ]
    early = first_complaint("m", output.replace(":8:", ":3:"), tmp_path)
    assert early.splitlines()[1].endswith("m_model.hpp:3:60: error: no matching function")


@pytest.mark.parametrize("form", ["library", "executable"])
def test_errors_of_stanc_name_the_file_as_it_was_given(
    form: str, tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    (tmp_path / "f.stan").write_text("real f(real x) { return y; }\n")
    main = Path("my models/2 bad.stan")
    main.write_text("functions {\n\n#include ../f.stan\n}\nparameters { real x; }\n")
    with pytest.raises(CompileError) as caught:
        getattr(Program(main), form)()
    said = str(caught.value)
    assert said.startswith(
        "2 bad does not compile:\nSemantic error in 'my models/../f.stan', line 1"
    )
    assert "included from\n'my models/2 bad.stan', line 3, column 0" in said
    assert "building-" not in said


def test_messages_of_a_running_program_name_the_users_file(
    tmp_path: Path, tools: Toolchain
) -> None:
    """Also those of a copy, which shares what was compiled from another file."""
    data = {**closed_form().data, "rejects": 1}
    copy = tmp_path / "a copy.stan"
    shutil.copy(MODELS / "closed_forms.stan", copy)
    for file in (MODELS / "closed_forms.stan", copy):
        program = Program(file)
        with pytest.raises(DensityError, match="every point is rejected") as caught:
            Posterior(program, data).gradient([0.0])
        assert f"'{file}', line " in str(caught.value)
        with pytest.raises(SamplingError) as failed, program.in_users_words():
            raise SamplingError(f"CmdStan: {caught.value.__cause__}")
        assert f"'{file}', line " in str(failed.value)
