"""Threads within one likelihood: what the cores leave, and that every engine is told."""

from __future__ import annotations

import os
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import small_network
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError, ThreadsWarning
from manymodes.networks.network import Network
from manymodes.results.run_directory import save_posterior
from manymodes.runtime import execution, threads
from manymodes.runtime.progress import Progress
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import VARIABLE, threads_each, threads_in_use, use_threads
from manymodes.sampling import attempts
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.cmdstan_nuts import run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.nested import polychord_run, run_nested
from manymodes.sampling.nested import runs as nested_runs
from manymodes.sampling.nested.polychord_run import NestedJob, RunsDisplay
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.toolchain import Toolchain
from sentences import tells

SHORT = NutsSettings(warmup=20, draws=10)


class Seen(Exception):
    """Ends a run when what was to be seen has been seen."""


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return how to set the number of cores, for whoever counts them."""

    def set_to(number: int) -> None:
        for room in (threads, execution):
            monkeypatch.setattr(room, "cpu_count", lambda: number)

    return set_to


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("n_cores", "at_once", "asked", "given"),
    [
        (8, 1, None, 8),
        (8, 2, None, 4),
        (8, 3, None, 2),
        (8, 8, None, 1),
        (8, 16, None, 1),
        (2, 1, None, 2),
        (8, 2, 3, 3),
        (8, 2, 1, 1),
        (8, 2, 4, 4),
        (8, None, None, 1),
        (8, None, 1, 1),
    ],
)
def test_tasks_share_the_cores(
    cores: Any, n_cores: int, at_once: int | None, asked: int | None, given: int
) -> None:
    cores(n_cores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert threads_each(asked, at_once) == given


@pytest.mark.parametrize(
    ("at_once", "given", "said"),
    [
        (4, 2, "threads_per_chain: 3 is too many, each task gets 2: 4 at a time, of 8 cores"),
        (8, 1, "3 is too many, each task gets 1: 8 at a time, of 8 cores"),
        (None, 1, "each task gets 1: it is not known how many tasks an executor runs at once"),
    ],
)
def test_what_the_cores_do_not_leave_is_not_given(
    cores: Any, at_once: int | None, given: int, said: str
) -> None:
    cores(8)
    with pytest.warns(ThreadsWarning, match=said):
        assert threads_each(3, at_once) == given


@pytest.mark.parametrize(
    ("text", "number"), [(None, 1), ("3", 3), ("-1", 6), ("0", 1), ("many", 1), ("-5", 1)]
)
def test_the_environment_is_read_as_the_kernel_reads_it(
    monkeypatch: pytest.MonkeyPatch, cores: Any, text: str | None, number: int
) -> None:
    cores(6)
    if text is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, text)
    assert threads_in_use() == number


@pytest.mark.parametrize("value", [0, -1])
def test_less_than_one_is_refused_before_anything_runs(tools: Toolchain, value: int) -> None:
    posterior = small_network().compile()
    with pytest.raises(InputError, match=f"threads_per_chain: {value} is not 1 or more"):
        run_chains(posterior, chains=1, threads_per_chain=value)
    with pytest.raises(InputError, match=f"threads_per_chain: {value} is not 1 or more"):
        run_nested(posterior, threads_per_chain=value)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "all"])
def test_the_command_line_refuses_other_words(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["sample", "net"], ["evidence", "net"], ["study", "xor"]):
        out = ["--out", str(tmp_path / "out"), f"--threads-per-chain={text}"]
        assert main([*command, *out]) == 2
        said = capsys.readouterr().err
        assert f"argument --threads-per-chain: {text} is not a whole number, 1 or more" in said
        assert "nor auto" in said


# ---------------------------------------------------------------- who is told


def chain_jobs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the threads of each turn of chains, which do not run."""
    seen: list[int] = []

    def as_completed(function: Any, queue: deque[Any], **_: Any) -> Any:
        parcel: Parcel[Any] = queue[0][1][0]
        seen.append(parcel.open().threads)
        raise Seen
        yield

    monkeypatch.setattr(attempts, "as_completed", as_completed)
    return seen


@pytest.mark.parametrize(
    ("chains", "workers", "asked", "given"),
    [(1, None, None, 8), (2, None, None, 4), (64, None, None, 1), (64, 2, None, 4), (64, 2, 3, 3)],
)
def test_chains_have_what_the_cores_leave(
    tools: Toolchain,
    cores: Any,
    monkeypatch: pytest.MonkeyPatch,
    chains: int,
    workers: int | None,
    asked: int | None,
    given: int,
) -> None:
    cores(8)
    seen = chain_jobs(monkeypatch)
    with pytest.raises(Seen):
        run_chains(
            small_network(), chains=chains, workers=workers, threads_per_chain=asked, quiet=True
        )
    assert seen == [given]


def test_chains_on_an_executor_have_one(
    tools: Toolchain, cores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(8)
    seen = chain_jobs(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(Seen):
            run_chains(small_network(), chains=1, executor=pool, quiet=True)
        with pytest.raises(Seen), pytest.warns(ThreadsWarning, match="executor"):
            run_chains(small_network(), chains=1, executor=pool, threads_per_chain=4, quiet=True)
    assert seen == [1, 1]


def test_pilots_and_the_chains_after_them_have_their_own_share(
    tools: Toolchain, cores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(8)
    seen: list[int] = []

    def as_completed(function: Any, queue: deque[Any], **_: Any) -> Any:
        seen.append(queue[0][1][0].open().threads)
        yield from ()

    monkeypatch.setattr(attempts, "as_completed", as_completed)
    with pytest.raises(SamplingError, match="no chain was run"):
        run_chains(small_network(), chains=9, share_warmup=1, nuts=SHORT, quiet=True)
    assert seen == [8, 1]


@pytest.mark.parametrize(
    ("runs", "processes", "workers", "given"),
    [(1, 1, None, 8), (2, 1, None, 4), (2, 2, None, 2), (8, 1, 4, 2), (8, 1, None, 1)],
)
def test_nested_runs_have_what_the_cores_leave(
    tools: Toolchain,
    cores: Any,
    monkeypatch: pytest.MonkeyPatch,
    runs: int,
    processes: int,
    workers: int | None,
    given: int,
) -> None:
    cores(8)
    seen: list[int] = []

    def as_completed(function: Any, queue: deque[Any], **_: Any) -> Any:
        seen.extend({job.threads for _, (job, *_) in queue})
        raise Seen
        yield

    monkeypatch.setattr(attempts, "as_completed", as_completed)
    monkeypatch.setattr(nested_runs, "launcher", lambda *_: [])
    with pytest.raises(Seen):
        run_nested(
            small_network(),
            runs=runs,
            polychord=PolyChordSettings(processes=processes),
            workers=workers,
            quiet=True,
        )
    assert seen == [given]


def test_polychords_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "7")
    display = RunsDisplay(Progress("", quiet=True))
    command = ["sh", "-c", f'echo "@done ${VARIABLE} 0 0 0 0"']
    assert polychord_run._run_child(command, tmp_path, display, 0, 1, 3)[0] == 3
    assert polychord_run._run_child(command, tmp_path, display, 0, 1)[0] == 1


def test_a_nested_run_hands_its_threads_on(
    tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    posterior = small_network().compile()
    base = run_base(posterior)
    seen: list[int] = []

    def child(command: Any, folder: Any, show: Any, index: int, processes: int, n: int) -> Any:
        seen.append(n)
        raise Seen

    monkeypatch.setattr(polychord_run, "_run_child", child)
    job = NestedJob(posterior, base, PolyChordSettings(nlive=10))
    for number in (1, 5):
        with pytest.raises(Seen):
            polychord_run.run_polychord(replace(job, threads=number), 1, 0, None)
    assert seen == [1, 5]


def run_base(posterior: Posterior) -> Any:
    from manymodes.sampling.base_measures import prior_measure

    return prior_measure(posterior)


@pytest.mark.parametrize("number", [1, 3])
def test_cmdstan_is_told(
    tools: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """CmdStanPy would say 1, whatever the environment says."""
    posterior = small_network().compile()
    script = tmp_path / "model"
    told = tmp_path / "told"
    script.write_text(
        f'#!/bin/sh\necho "${VARIABLE}" > "{told}"\nexec "{posterior.program.executable()}" "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(type(posterior.program), "executable", lambda self: script)
    monkeypatch.setenv(VARIABLE, "9")
    use_threads(number)
    run_chain(posterior, SHORT, 1, tmp_path)
    assert told.read_text() == f"{number}\n"


def test_a_worker_is_told_before_it_evaluates(
    tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What evaluates in the worker itself reads the number once: climbs, log_lik, nutpie."""
    from manymodes.sampling.chains import one_chain

    posterior = small_network().compile()
    run = ChainSettings(chains=1, nuts=SHORT)
    seen: list[str | None] = []

    class Starts:
        def point(self, *_: Any) -> Any:
            seen.append(os.environ.get(VARIABLE))
            raise Seen

    monkeypatch.setenv(VARIABLE, "9")
    job: Any = one_chain.Job(posterior, run, Starts(), threads=2)  # type: ignore[arg-type]
    monkeypatch.setattr(Parcel, "open", lambda self: job)
    with pytest.raises(Seen):
        one_chain.sample_chain(Parcel(0), 0, 0, 1, None)
    assert seen == ["2"]


# ---------------------------------------------------------------- what comes of it


def test_draws_do_not_depend_on_the_number_of_threads(tools: Toolchain, cores: Any) -> None:
    """Data large enough to be shared out: 6 million products of weights and inputs."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(4000, 30)), rng.integers(0, 2, 4000)
    posterior = Posterior.from_network(Network(30, (50,)), X, y)
    cores(2)
    one, two = (
        run_chains(
            posterior,
            chains=1,
            nuts=NutsSettings(warmup=5, draws=4, max_treedepth=3),
            threads_per_chain=number,
            quiet=True,
        )
        for number in (1, 2)
    )
    np.testing.assert_array_equal(one.eta, two.eta)
    np.testing.assert_array_equal(one.lpd, two.lpd)


def test_too_many_are_reduced_with_one_line(
    tools: Toolchain, tmp_path: Path, cores: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cores(2)
    save_posterior(small_network(), tmp_path / "net")
    nuts = ["--chains", "2", "--warmup", "20", "--draws", "10", "--no-modes", "--quiet"]
    arguments = [str(tmp_path / "net"), "--out", str(tmp_path / "run"), *nuts]
    assert main(["sample", *arguments, "--threads-per-chain", "4"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "threads" in line]
    assert len(lines) == 1
    assert lines[0].startswith("manymodes: caution: threads_per_chain: 4 ")
    assert tells(lines[0], "too many", "1", "2 at a time", "2 cores")
    assert main(["sample", *arguments, "--overwrite", "--threads-per-chain", "auto"]) == 0
    assert "threads" not in capsys.readouterr().err
