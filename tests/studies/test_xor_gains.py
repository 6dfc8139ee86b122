"""The study of gains: what is scored, how differences are paired, and what a run leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

import manymodes as mm
from conftest import needs_tools
from manymodes.cli.main import main
from manymodes.errors import InputError, ResultsError
from manymodes.modes.held_out import HeldOut
from manymodes.results.our_files import our_files
from manymodes.studies import xor_gains
from manymodes.studies.conduct import Effort
from manymodes.studies.xor import XorData
from manymodes.studies.xor_gains import gains, run_xor_gains, scores_of
from manymodes.studies.xor_gains_words import CONSTRAINED, FULL, PARTS, WHOLE, gains_text
from sentences import tells

EFFORT = Effort(
    chains=mm.ChainSettings(chains=3, nuts=mm.NutsSettings(warmup=60, draws=30, max_treedepth=5)),
    tempered=mm.TemperedSettings(runs=2, rounds=8, max_rounds=8),
    quiet=True,
)


def test_differences_are_paired_over_data_sets() -> None:
    """The difficulty of a data set cancels; one that lacks a part does not count for it."""
    scores = [
        {WHOLE: [-0.2, -0.4], "heaviest": [-0.3, -0.5], "second": [-0.5, -0.5]},
        {WHOLE: [-5.0, -5.0], "heaviest": [-5.3, -5.3]},
    ]
    found = gains(scores)
    assert found["heaviest"]["value"] == pytest.approx(0.2)
    assert found["heaviest"]["se"] == pytest.approx(0.1)
    assert (found["heaviest"]["least"], found["heaviest"]["most"]) == pytest.approx((0.1, 0.3))
    assert (found["heaviest"]["better"], found["heaviest"]["n"]) == (2, 2)
    assert found["second"]["n"] == 1
    assert np.isnan(found["second"]["se"])
    assert found["second"]["value"] == pytest.approx(0.2)


def test_the_whole_is_the_mixture_of_its_functions(
    data: XorData, xor_chains: Any, xor_tempered: Any
) -> None:
    """p(y) of the whole is the mean of that of its functions, weighted by their draws."""
    found = mm.compare(xor_chains.posterior, chains=xor_chains, tempered=xor_tempered, quiet=True)
    training = HeldOut(data.X, data.y.astype(float))
    tests = [HeldOut(X, y.astype(float)) for X, y in data.tests[:2]]
    scores = scores_of(found, training, tests)
    posterior = found.posterior
    for place, test in enumerate(tests):
        p = posterior.predict(xor_tempered.rows, test.X).mean(axis=0).ravel()
        by_hand = np.log(np.where(test.y == 1, p, 1 - p)).mean()
        assert scores[WHOLE][place] == pytest.approx(by_hand, abs=1e-9)
        pooled = posterior.predict(xor_chains.rows.reshape(-1, xor_chains.rows.shape[-1]), test.X)
        q = pooled.mean(axis=0).ravel()
        by_hand = np.log(np.where(test.y == 1, q, 1 - q)).mean()
        assert scores["alike"][place] == pytest.approx(by_hand, abs=1e-9)
        assert scores["chain"][place] < scores["alike"][place]  # Jensen's inequality
    assert np.mean(scores["afterwards"]) >= np.mean(scores["heaviest"])
    assert scores.keys() - {"second"} == {WHOLE, *PARTS} - {"second"}


def test_a_mixture_leaves_out_what_has_no_weight() -> None:
    by_chain = np.log(np.array([[0.2, 0.6, 0.0], [0.4, 0.8, 0.5]]) + 1e-300)
    found = xor_gains._mixed(by_chain, np.array([0.5, 0.5, 0.0]))
    assert found == pytest.approx(np.log([0.4, 0.6]).mean())
    weights = np.full(3, 1 / 3)
    expected = (logsumexp(by_chain, axis=1) - np.log(3)).mean()
    assert xor_gains._mixed(by_chain, weights) == pytest.approx(expected)


def test_a_number_of_data_sets_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data-seeds: 0"):
        run_xor_gains(tmp_path / "run", data_seeds=0, effort=EFFORT)
    with pytest.raises(InputError, match="noise-sd"):
        run_xor_gains(tmp_path / "run", noise_sd=-1, effort=EFFORT)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"full": {"scores": {}}}', '{"full": {"scores": {"whole": [null]}}}']
)
def test_scores_of_another_form_are_told_in_a_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=r"scores\.json is damaged .*remove it"):
        xor_gains._kept_scores(path)


def test_options_of_nested_sampling_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--nlive", "50"], ["--clustering"], ["--data-seed", "3"]):
        assert main(["study", "xor-gains", "--out", str(tmp_path / "run"), *option]) == 2
        assert f"study xor-gains: has no {option[0]}" in capsys.readouterr().err


@needs_tools
@pytest.mark.slow
def test_a_short_run_leaves_its_results_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run_xor_gains(out, data_seeds=1, effort=EFFORT)
    sampled = []
    original = xor_gains._sampled

    def counted(folder: Path, noise_sd: float, data_seed: int, effort: Effort) -> dict[str, Any]:
        sampled.append(data_seed)
        return original(folder, noise_sd, data_seed, effort)

    monkeypatch.setattr(xor_gains, "_sampled", counted)
    content = run_xor_gains(out, data_seeds=2, effort=replace(EFFORT, resume=True))
    assert sampled == [2], "a data set is sampled once"
    kept = json.loads((out / "xor_gains.json").read_text(encoding="utf-8"))
    assert [one["data_seed"] for one in kept["data_sets"]] == [1, 2]
    for name in (FULL, CONSTRAINED):
        own = [one[name] for one in kept["data_sets"]]
        assert all(len(one["scores"][WHOLE]) == 10 for one in own)
        assert all(sum(one["evidence"]) <= 1 + 1e-9 for one in own)
        assert [len(one["heights"]) for one in own] == [one["prominent_functions"] for one in own]
        assert content["gains"][name]["heaviest"]["n"] == 2
    gap = np.mean([np.mean(one[FULL]["scores"][WHOLE]) for one in kept["data_sets"]]) - np.mean(
        [np.mean(one[CONSTRAINED]["scores"][WHOLE]) for one in kept["data_sets"]]
    )
    assert content["constraint_costs"]["value"] == pytest.approx(gap)
    assert (out / "xor_gains.png").read_bytes().startswith(b"\x89PNG")
    assert tells(gains_text(content), "What the whole of the full posterior gains", "2 of 2")
    left = {path for path in out.rglob("*") if path.is_file()} - set(our_files(out))
    assert {path.name for path in left} <= {".lock"}, "--overwrite knows all files"
    with pytest.raises(InputError, match="--resume"):
        run_xor_gains(out, data_seeds=1, effort=EFFORT)
