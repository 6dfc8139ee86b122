"""Names, shapes and gaps of draws: whatever a program calls things, and what goes wrong in it."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anesthetic
import arviz_stats
import numpy as np
import pytest
from arviz_base import extract
from scipy import stats

from conftest import MODELS, made_chains, needs_tools
from manymodes import load
from manymodes.cli.main import main
from manymodes.density.labels import exported_names, renamed_text
from manymodes.density.log_likelihood import LogLik, find_log_lik
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.variables import Variable
from manymodes.errors import DensityError, InputError, NamesWarning
from manymodes.modes.function_space import function_distance, known_moments
from manymodes.report.plots.scores import _scored, plot_scores
from manymodes.runtime.storage import write_arrays
from manymodes.sampling.chains.chain_files import read_record, record_file
from manymodes.sampling.chains.chains import load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.one_chain import leave_one_out, rescored
from manymodes.sampling.chains.trees import put, single
from manymodes.statistics.chain_weightings import weighings
from manymodes.statistics.loo import psis_loo
from manymodes.statistics.stacking import stack

RNG = np.random.default_rng(4)
OUTCOMES = RNG.normal(size=(3, 2)).round(2)
RENAMED = ["draw", "chain", "theta_dim_0", "sample", "logL", "nlive", "logL_birth", "summary"]
RENAMED += ["insertion"]


def posterior(kind: int = 1, cut: float = 0.3, **given: Any) -> Posterior:
    """Return the posterior of ``draws.stan`` in which a kind of thing goes wrong."""
    data = {
        "kind": kind,
        "N": [3, 2],
        "x": OUTCOMES.tolist(),
        "cut": cut,
        "prior_only": [0.0, 1.0],
        "save_log_lik": 1.0,
    }
    return Posterior(Program(MODELS / "draws.stan"), {**data, **given}, f"kind {kind}")


@pytest.fixture(scope="module")
def eta() -> np.ndarray:
    """400 points of the unconstrained space of ``draws.stan``."""
    return np.random.default_rng(2).normal(0, 0.5, size=(400, 13))


def expected(found: dict[str, np.ndarray]) -> np.ndarray:
    """Return the log likelihood of each draw, rows of the outcomes in turn."""
    mean = (found["draw"] + found["chain"])[..., None]
    return np.asarray(stats.norm.logpdf(OUTCOMES.ravel(), mean, 1.0))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ({"mu": (), "tau": (3,)}, {"mu": "mu", "tau": "tau"}),
        ({"draw": (), "chain": (2,)}, {"draw": "draw_", "chain": "chain_"}),
        ({"draw": (), "draw_": ()}, {"draw": "draw__", "draw_": "draw_"}),
        ({"theta": (2,), "theta_dim_0": ()}, {"theta": "theta", "theta_dim_0": "theta_dim_0_"}),
        ({"theta": (2,), "theta_dim_1": ()}, {"theta": "theta", "theta_dim_1": "theta_dim_1"}),
        ({"logL": (), "nlive": (), "insertion": ()}, dict.fromkeys(["logL", "nlive", "insertion"])),
        ({"sample": (2, 2), "sample__dim_0": ()}, {"sample": "sample__"}),
        ({"weights": (), "obs": (), "y": (), "lp": ()}, {}),
        ({"mode": (), "function": (2,)}, {"mode": "mode_", "function": "function_"}),
    ],
)
def test_names_that_other_packages_have_for_themselves(
    shapes: dict[str, tuple[int, ...]], names: dict[str, str | None]
) -> None:
    found = exported_names([Variable(name, shape, 0) for name, shape in shapes.items()])
    assert list(found) == list(shapes)
    assert len(set(found.values())) == len(found)
    for name in shapes:
        wanted = names.get(name, name)
        assert found[name] == (f"{name}_" if wanted is None else wanted)
    dims = {f"{found[name]}_dim_{i}" for name, shape in shapes.items() for i in range(len(shape))}
    assert not dims & set(found.values())
    assert bool(renamed_text(found)) == any(old != new for old, new in found.items())


@needs_tools
def test_every_tree_and_table_keeps_all_draws(eta: np.ndarray) -> None:
    """Parameters called as ArviZ's dimensions and anesthetic's columns, and one called y."""
    density = posterior()
    rows = density.constrain_rows(eta)
    chains = made_chains(density, eta.reshape(4, 100, -1), rows=rows.reshape(4, 100, -1))
    with pytest.warns(NamesWarning, match="draw is called draw__, chain is called chain_"):
        tree = chains.to_datatree()
    drawn = density.unpack(chains.rows)
    names = density.exported_names
    assert sorted(name for name, new in names.items() if name != new) == sorted(RENAMED)
    assert tree.attrs["renamed"] == renamed_text(names)
    for name, values in drawn.items():
        np.testing.assert_array_equal(tree["posterior"][names[name]].values, values)
    likelihood = tree["log_likelihood"]["y"]
    assert likelihood.dims == ("chain", "draw", "y_dim_0", "y_dim_1")
    np.testing.assert_allclose(likelihood.values, expected(drawn).reshape(4, 100, 3, 2), rtol=1e-6)
    assert {"draw__", "theta_dim_0_", "sample_[0]", "y"} <= set(arviz_stats.summary(tree).index)
    assert extract(tree).sizes["sample"] == 400
    assert "sample_" in extract(tree).data_vars
    # So few observations of so simple a model: whole draws decide one of the six terms.
    with pytest.warns(UserWarning, match="Pareto"):
        assert arviz_stats.loo(tree).n_data_points == 6


# ---------------------------------------------------------------- which observations there are


class _Names:
    """A model of which nothing but its names is asked."""

    def __init__(self, parameters: Sequence[str], others: Sequence[str]) -> None:
        self._names, self._count = [*parameters, *others], len(parameters)

    def param_names(self, **_: bool) -> list[str]:
        return self._names

    def param_num(self) -> int:
        return self._count


@pytest.mark.parametrize(
    ("others", "shape", "start"),
    [
        (["log_lik"], (), 1),
        (["a", "log_lik.1", "log_lik.2", "b"], (2,), 2),
        (["log_lik.1.1", "log_lik.2.1", "log_lik.1.2", "log_lik.2.2"], (2, 2), 1),
        (["log_likelihood.1", "log_lik.1"], (1,), 2),
    ],
)
def test_observations_are_the_entries_of_log_lik(
    others: list[str], shape: tuple[int, ...], start: int
) -> None:
    assert find_log_lik(_Names(["mu"], others), "p") == Variable("log_lik", shape, start)


@pytest.mark.parametrize(
    ("parameters", "others", "said"),
    [
        (["mu"], ["log_likelihood.1"], "has no 'log_lik' in generated quantities"),
        (["mu"], [], "has no 'log_lik'"),
        (["log_lik.1", "log_lik.2"], ["a"], "has no 'log_lik'"),
        (["mu"], ["log_lik.1.real", "log_lik.1.imag"], "not made of real numbers"),
        (["mu"], ["log_lik:1", "log_lik:2.1"], "not made of real numbers"),
    ],
)
def test_what_is_no_log_lik(parameters: list[str], others: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_log_lik(_Names(parameters, others), "p")


@needs_tools
def test_data_items_are_just_data(eta: np.ndarray) -> None:
    """N is an array, prior_only a vector and save_log_lik a real: none of them is a switch."""
    density = posterior()
    assert density.n_obs == 6
    assert density.log_lik_shape == (3, 2)
    assert density.prior_only is None
    with pytest.raises(InputError, match="no data item 'prior_only'"):
        _ = density.prior
    found = density.log_lik(eta)
    np.testing.assert_allclose(found, expected(density.constrain(eta)), rtol=1e-12)
    wide = posterior(save_log_lik=0)  # an integer in JSON is a real to Stan, and no switch
    assert wide.with_log_lik is wide
    assert posterior(kind=0).n_obs == 0
    assert not posterior(kind=0).has_log_lik


DECLARED = "data { int<lower=0, upper=1> prior_only; }"


@pytest.mark.parametrize(
    ("text", "value", "switch"),
    [
        (DECLARED, 0, False),
        (DECLARED, 1, True),
        (DECLARED, True, True),
        (DECLARED, np.int64(1), True),
        (DECLARED, 2, None),
        (DECLARED, 0.0, None),
        (DECLARED, [0], None),
        (DECLARED, "1", None),
        ("data { real prior_only; }", 0, None),
        ("data { array[1] int prior_only; }", 0, None),
        ("data { int N; } model { /* int prior_only; */ }", 0, None),
    ],
)
def test_a_switch_is_an_int_that_the_program_reads(
    tmp_path: Path, text: str, value: Any, switch: bool | None
) -> None:
    file = tmp_path / "one.stan"
    file.write_text(text)
    assert Posterior(Program(file), {"prior_only": value}).prior_only is switch


# ---------------------------------------------------------------- generated quantities that throw


@needs_tools
def test_a_throw_leaves_nan_in_its_draws_and_costs_nothing_else(eta: np.ndarray) -> None:
    density = posterior(kind=5)
    drawn = density.constrain(eta)
    above = drawn["draw"] + drawn["chain"] > 0.3
    assert 0 < above.sum() < len(above)
    told = density.log_lik_told(eta)
    np.testing.assert_array_equal(told.threw, above)
    np.testing.assert_allclose(told.values[~above], expected(drawn)[~above], rtol=1e-12)
    assert np.isnan(told.values[above]).all()
    assert told.message.startswith("draw and chain are above the cut")
    assert density.log_lik(eta[0]).shape == (6,)
    scores = leave_one_out(density, eta)
    assert np.isnan(scores.lpd).all()
    assert (scores.missing.threw, scores.missing.scored) == (above.sum(), 0)


@needs_tools
def test_a_throw_of_an_integer_that_is_too_large(eta: np.ndarray) -> None:
    told = posterior(kind=8).log_lik_told(eta[:5])
    assert told.threw.all()
    assert "poisson_log_rng: Log rate parameter is 50" in told.message


@needs_tools
def test_transformed_parameters_that_throw_have_no_density(eta: np.ndarray) -> None:
    """A reject in the model block is a density of zero, not a gap in the draws."""
    density = posterior(kind=9, cut=-100.0)
    assert density.log_density(eta[0]) == -np.inf
    with pytest.raises(DensityError, match="chain is above the cut"):
        density.gradient(eta[0])


# ---------------------------------------------------------------- scores


class _Told:
    """A posterior that gives each draw the log likelihoods that it is told to."""

    has_log_lik = True

    def __init__(self, values: Any, threw: Any = None) -> None:
        threw = np.zeros(len(values), dtype=bool) if threw is None else threw
        self._told = LogLik(np.asarray(values, dtype=float), threw, "why" if threw.any() else "")

    def log_lik_told(self, eta: Any) -> LogLik:
        return self._told


def scores_of(values: np.ndarray) -> Any:
    density: Any = _Told(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return leave_one_out(density, np.zeros((len(values), 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("draws", [[7], [0, 99], range(100)])
def test_an_observation_that_is_not_finite_in_some_draw_has_no_score(
    value: float, draws: Sequence[int]
) -> None:
    log_lik = np.random.default_rng(3).normal(-1, 0.1, size=(100, 3))
    log_lik[list(draws), 1] = value
    found = scores_of(log_lik)
    alone = psis_loo(log_lik[:, [0, 2]], r_eff=found.r_eff[[0, 2]])
    np.testing.assert_array_equal(found.lpd[[0, 2]], alone.elpd_i)
    assert np.isnan([found.lpd[1], found.pareto_k[1], found.r_eff[1]]).all()
    assert found.missing.count.tolist() == [0, len(draws), 0]
    said = " ".join(found.missing.sentences())
    assert (
        f"1 of 3 observations in some of 100 draws of the chains (number 2 in {len(draws)}" in said
    )
    assert "2 of 3 observations" in said


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e10, 1e40, 1e300])
def test_log_likelihoods_of_any_size_are_scored(scale: float) -> None:
    """Constant ones too; what is finite stays finite, without a word of NumPy's."""
    log_lik = -scale * (1 + np.random.default_rng(3).random((50, 2)))
    found = scores_of(log_lik)
    assert np.isfinite(found.lpd).all()
    assert (found.lpd <= log_lik.max(axis=0) + 1e-12).all()
    assert (found.lpd >= log_lik.min(axis=0) - 1e-12).all()


def test_differences_beyond_the_range_of_a_double_have_no_score() -> None:
    log_lik = np.full((20, 2), -1.0)
    log_lik[0, 1], log_lik[1, 1] = -1.7e308, 1.7e308
    found = scores_of(log_lik)
    assert np.isfinite(found.lpd[0])
    assert np.isnan(found.lpd[1]) or found.lpd[1] <= 1.7e308


def test_scores_too_large_for_an_error_are_named() -> None:
    """Finite ones: the sum has a value, its error is beyond a double, and that is said."""
    lpd = RNG.normal(-1, 0.3, size=(3, 12))
    chains = made_chains(None, np.zeros((3, 4, 1)), lpd=lpd)
    assert not chains.missing_log_lik.any
    assert chains.missing_log_lik.as_dict()["extreme"] == []
    lpd[1, 4], lpd[:, 7], lpd[:, 9] = -1e300, 1e300, -np.inf
    absurd = made_chains(None, np.zeros((3, 4, 1)), lpd=lpd)
    found = absurd.missing_log_lik
    assert found.any
    assert found.extreme == (4, 7)
    assert found.as_dict()["extreme"] == [5, 8]
    (said,) = found.sentences()
    assert "of 2 of 12 observations are beyond" in said
    assert "(number 5, number 8): sums of scores have no standard error" in said
    assert found.sentences(scores=False) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found_weighings = weighings(absurd.scored_lpd, rng=np.random.default_rng(1))
    for one in found_weighings:
        assert one.loo.sd == np.inf


def test_chains_are_stacked_by_what_all_of_them_score() -> None:
    lpd = RNG.normal(-1, 0.3, size=(3, 12))
    gaps = lpd.copy()
    gaps[1, 4] = gaps[0, 7] = np.nan
    chains = made_chains(None, np.zeros((3, 4, 1)), lpd=gaps)
    kept = [i for i in range(12) if i not in (4, 7)]
    np.testing.assert_array_equal(np.flatnonzero(chains.scored), kept)
    np.testing.assert_array_equal(chains.scored_lpd, lpd[:, kept].T)
    assert stack(chains.scored_lpd).converged
    gaps[2] = np.nan
    none = made_chains(None, np.zeros((3, 4, 1)), lpd=gaps)
    assert none.scored_lpd.shape == (0, 3)
    assert none.missing_log_lik.sentences()[-1].startswith("No observation has")
    assert made_chains(None, np.zeros((3, 4, 1))).missing_log_lik.sentences() == []


def test_a_file_of_0_1_0_is_read_as_it_would_be_written_today(tmp_path: Path) -> None:
    log_lik = np.full((10, 2), -1.0)
    log_lik[3, 0] = -np.inf
    density: Any = _Told(log_lik)
    arrays: dict[str, Any] = {"rows": np.zeros((10, 1)), "eta": np.zeros((10, 1))}
    arrays |= {"stat_diverging": np.zeros(10), "start": np.zeros(1), "inv_metric": np.ones(1)}
    arrays |= dict.fromkeys(("step_size", "seconds", "sampling_seconds"), 1.0)
    arrays |= {"attempt": 0, "cut": False, "shared": False, "belongs_to": "run/0"}
    arrays |= {"lpd": [-np.inf, -1.0], "pareto_k": [np.inf, 0.1], "r_eff": [1.0, 1.0]}
    write_arrays(record_file(tmp_path, 0), arrays)
    record = rescored(density, read_record(tmp_path, 0))
    assert np.isnan(record.lpd[0])
    assert record.missing.count.tolist() == [1, 0]


def test_functions_are_told_apart_by_what_is_known_of_them() -> None:
    values = np.array([[1.0, np.nan, -np.inf], [3.0, 5.0, np.nan]])
    mean, variance = known_moments(values)
    np.testing.assert_array_equal(mean, [2.0, 5.0, np.nan])
    np.testing.assert_array_equal(variance, [1.0, 0.0, np.nan])
    assert function_distance(mean, mean, 2 * variance) == 0
    assert function_distance(mean, np.array([2.0, 5.0, 1.0]), variance) == np.inf
    assert function_distance(np.full(1, np.nan), np.full(1, np.nan), np.zeros(1)) == np.inf


def test_violins_are_drawn_without_what_has_no_likelihood() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(-1, 0.2, size=(2, 80, 4))
    values[0, 5] = np.nan
    values[1, 3, 2] = -np.inf
    threw = np.isnan(values).all(axis=2)
    told = [LogLik(one, bad, "") for one, bad in zip(values, threw, strict=True)]
    found = _scored([None, 1], told, [[], []])
    assert found is not None
    assert [len(one) for one in found.train] == [79, 80]
    np.testing.assert_allclose(found.train[1], values[1][:, [0, 1, 3]].mean(axis=1))
    assert "1 of 160 draws" in found.left_out
    assert "1 of 4 data, whose log_lik is not finite in every draw (number 3)" in found.left_out
    plot_scores({"one": found})
    constant = _scored([None], [LogLik(np.full((50, 1), -2.0), np.zeros(50, dtype=bool))], [[]])
    assert constant is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_scores({"constant": constant})
    nowhere = [LogLik(np.full((9, 2), -np.inf), np.zeros(9, dtype=bool))]
    assert _scored([None], nowhere, [[]]) is None


# ---------------------------------------------------------------- precision


def test_single_precision_where_it_holds_the_values() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert single(np.array([1.0, np.nan, -np.inf])).dtype == np.float32
        large = single(np.array([-1e40, 1.0]))
        assert large.dtype == float
        assert large[0] == -1e40
        values: Any = np.zeros((2, 2), dtype=np.float32)
        values = put(values, 0, np.array([0.5, np.inf]))
        assert values.dtype == np.float32
        values = put(values, 1, np.array([-1e40, 2.0]))
    np.testing.assert_array_equal(values, [[0.5, np.inf], [-1e40, 2.0]])


@needs_tools
def test_large_log_likelihoods_stay_finite_in_the_tree(eta: np.ndarray) -> None:
    density = posterior(kind=7)
    chains = made_chains(density, eta[None, :50], rows=density.constrain_rows(eta[None, :50]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NamesWarning)
        found = chains.to_datatree()["log_likelihood"]["y"]
    assert np.isfinite(found).all()
    assert found.dtype == float


# ---------------------------------------------------------------- whole runs


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a command on ``draws.stan`` with what it said and left behind."""

    def command(name: str, kind: int, *options: str, **given: Any) -> Any:
        data = tmp_path / "data.json"
        data.write_text(json.dumps(dict(posterior(kind, **given).data)))
        out = tmp_path / f"{name}-{kind}"
        arguments = [name, str(MODELS / "draws.stan"), str(data), *options, "--out", str(out)]
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            assert main(arguments) == 0
        said, err = capsys.readouterr()
        assert (out / "report.html").exists()
        return load(out), " ".join(said.split()), err

    return command


SAMPLE = ["--chains", "2", "--warmup", "100", "--draws", "60"]


@needs_tools
@pytest.mark.parametrize(
    ("kind", "scored", "said"),
    [
        (0, None, ""),
        (2, 5, "log_lik is NaN or infinite for 1 of 6 observations"),
        (3, 5, "(number 3 in 120 draws)"),
        (5, 0, "The first message was: draw and chain are above the cut"),
    ],
)
def test_chains_are_kept_whatever_generated_quantities_do(
    run: Any, kind: int, scored: int | None, said: str
) -> None:
    results, text, err = run("sample", kind, *SAMPLE)
    assert said in text
    entry = results.summary["posteriors"]["draws"]
    assert err.count("caution: draw is called draw__") == 1
    assert entry["renamed"]["draw"] == "draw__"
    posterior_group = results.chains["posterior"]
    assert posterior_group["draw__"].shape == (2, 60)
    assert np.isfinite(posterior_group["draw__"]).all()
    if scored is None:
        assert "log_likelihood" not in results.chains.children
        assert entry["n_obs"] == 0
        return
    assert entry["n_obs"] == 6
    assert entry["chains"]["log_lik"]["scored"] == scored
    assert results.chains["log_likelihood"]["y"].shape == (2, 60, 3, 2)
    assert ("stacking" in entry["chains"]) == (scored > 1)
    if scored > 1:
        assert entry["chains"]["stacking"]["observations"] == scored
    if said:
        page = re.sub(r"\s+", " ", (results.folder / "report.html").read_text())
        assert said.split(":")[0] in page


@needs_tools
def test_nested_runs_are_kept_whatever_generated_quantities_do(run: Any) -> None:
    results, text, _ = run("evidence", 5, "--nlive", "40", "--runs", "1", "--reference", "peaks")
    assert "The generated quantities threw in" in text
    assert "draws of the nested runs" in text
    table = results.nested
    names = results.posterior().exported_names
    columns = set(table.columns.get_level_values(0))
    assert {names["logL"], names["nlive"], names["logL_birth"], names["insertion"]} <= columns
    np.testing.assert_allclose(table[names["insertion"]], 2 * table[names["draw"]])
    assert np.isfinite(table.logZ())
    tree = results.nested_tree
    drawn = {name: tree["posterior"][new].values[0] for name, new in names.items()}
    found = tree["log_likelihood"]["y"].values[0].reshape(-1, 6)
    above = drawn["draw"] + drawn["chain"] > 0.3
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), above)
    np.testing.assert_allclose(found[~above], expected(drawn)[~above], rtol=1e-5)
    out = results.folder / "files"
    assert main(["export", str(results.folder), "--to", "polychord", "--out", str(out)]) == 0
    read = anesthetic.read_chains(str(out / "draws"))
    for name in ("logL", "nlive", "logL_birth"):
        np.testing.assert_allclose(
            np.sort(read[names[name]]), np.sort(table[names[name]]), atol=1e-12
        )


@needs_tools
def test_one_chain_of_few_draws_from_a_given_start(tmp_path: Path, eta: np.ndarray) -> None:
    """A vector of no elements is left out of the start and of the draws."""
    density = posterior(kind=2, cut=-0.2)
    start = tmp_path / "start.json"
    drawn = density.constrain(eta[0])
    start.write_text(json.dumps([{name: value.tolist() for name, value in drawn.items()}]))
    chains = run_chains(
        density,
        chains=1,
        nuts=NutsSettings(warmup=50, draws=4),
        init=str(start),
        out=tmp_path / "run",
        quiet=True,
    )
    tmp_path /= "run"
    assert chains.rows.shape[:2] == (1, 4)
    kept = load_chains(density, tmp_path)
    assert kept is not None
    np.testing.assert_array_equal(kept.lpd, chains.lpd)
    found = kept.missing_log_lik
    above = density.unpack(kept.rows[0])
    assert found.count[1] == (above["draw"] + above["chain"] > -0.2).sum()
    assert (found.draws, found.threw, found.count.sum()) == (4, 0, found.count[1])
    assert "nothing" not in density.exported_names
    np.testing.assert_allclose(kept.rows, density.constrain_rows(kept.eta), rtol=1e-9)
