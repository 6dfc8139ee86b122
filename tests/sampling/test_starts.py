"""Where chains start: different for every chain, the same again, and never where none can."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import MODELS, closed_form, needs_tools, small_network, two_peaks
from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError, SamplingError
from manymodes.runtime.storage import write_arrays
from manymodes.sampling.chains.starts import Starts, make_starts, parse_init, started_from
from seeds import seeded


def points(starts: Starts, chains: int, attempt: int = 0) -> np.ndarray:
    return np.array([starts.point(i, attempt) for i in range(chains)])


@pytest.fixture
def bernoulli(tools: toolchain.Toolchain) -> Posterior:
    return closed_form("bernoulli")


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    """Write a file of initial values."""

    def write(*objects: Any) -> str:
        file = tmp_path / "starts.json"
        file.write_text(json.dumps(objects))
        return str(file)

    return write


@pytest.fixture
def finished(tmp_path: Path) -> Callable[..., str]:
    """Write a directory of a run of which only the draws matter."""

    def write(*eta: Any) -> str:
        (tmp_path / "run" / "chains").mkdir(parents=True)
        for i, draws in enumerate(eta):
            file = tmp_path / "run" / "chains" / f"chain-{i:05d}.npz"
            write_arrays(file, {"eta": np.array(draws, dtype=float)})
        return str(tmp_path / "run")

    return write


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize("text", ["", "x", "radius", "radius:", "radius:0", "radius:-1"])
def test_an_unknown_init_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^init: "):
        parse_init(text or str(tmp_path))
    with pytest.raises(InputError, match=r"needs a positive number"):
        parse_init("radius:inf")


def test_the_kinds_of_init(listed: Any, finished: Any) -> None:
    assert parse_init("radius:0.5").radius == 0.5
    run = finished([[0.0]])
    found = {parse_init(text).kind for text in ("prior", "climb", "pathfinder", listed({}), run)}
    assert found == {"prior", "climb", "pathfinder", "file", "run"}
    assert parse_init("climb").radius == 0.5
    assert parse_init("climb:2").radius == 2.0
    assert parse_init(f"{run}/chains").kind == "run"


# ---------------------------------------------------------------- every kind


def every_kind(listed: Any, finished: Any) -> list[str]:
    values = [{"theta": [0.01 * i]} for i in range(1, 25)]
    run = finished(*np.random.default_rng(seeded(1)).normal(size=(3, 20, 1)))
    return ["radius:2", "prior", listed(*values), run]


def test_starts_differ_and_depend_on_the_chains_number_alone(
    bernoulli: Posterior, listed: Any, finished: Any
) -> None:
    for text in every_kind(listed, finished):
        starts = make_starts(bernoulli, text, chains=24, seed=3)
        found = points(starts, 24)
        assert len(np.unique(found, axis=0)) == 24, text
        again = make_starts(bernoulli, parse_init(text), chains=24, seed=3)
        np.testing.assert_array_equal(points(again, 24), found)
        fewer = make_starts(bernoulli, text, chains=8, seed=3)
        np.testing.assert_array_equal(points(fewer, 8), found[:8])
        assert again.identity == fewer.identity == starts.identity
        travelled = pickle.loads(pickle.dumps(starts.bare))
        np.testing.assert_array_equal(travelled.point(5, 0, starts.given(5)), found[5])
        assert travelled.points == {}


def test_another_attempt_has_another_point(bernoulli: Posterior, listed: Any) -> None:
    for text in ("radius:2", "prior"):
        starts = make_starts(bernoulli, text, chains=6, seed=1)
        found = np.concatenate([points(starts, 6, attempt) for attempt in range(3)])
        assert len(np.unique(found, axis=0)) == 18
    file = make_starts(bernoulli, listed({"theta": [0.25]}), chains=1, seed=1)
    assert file.point(0, 1) == file.point(0, 0) == pytest.approx(np.log(1 / 3))


def test_superchains_share_their_point(bernoulli: Posterior) -> None:
    for text in ("radius:2", "prior"):
        starts = make_starts(bernoulli, text, chains=12, seed=1, superchains=4)
        found = points(starts, 12).reshape(3, 4)
        assert (found == found[:, :1]).all()
        assert len(np.unique(found)) == 3
        np.testing.assert_array_equal(points(starts, 12, attempt=1).reshape(3, 4), found)
    with pytest.raises(InputError, match="superchains: 5 does not divide the 12 chains"):
        make_starts(bernoulli, "radius:2", chains=12, seed=1, superchains=5)


# ---------------------------------------------------------------- climbs


@needs_tools
def test_climbs_end_at_optima_of_their_own() -> None:
    """Both peaks are found from random points; the gradient is zero there."""
    posterior = two_peaks(6.0, 0.9)
    found = points(make_starts(posterior, "climb", chains=30, seed=seeded(1)), 30)
    gradients = np.array([posterior.gradient(point)[1] for point in found])
    assert np.abs(gradients).max() < 1e-3
    assert {*np.sign(found[:, 0])} == {-1.0, 1.0}
    np.testing.assert_allclose(np.abs(found[:, 0]), 3.0, atol=0.1)
    assert started_from(make_starts(posterior, "climb", chains=2, seed=1).identity) == "climb"


# ---------------------------------------------------------------- radius


def test_starts_are_uniform_in_the_radius(normal: Posterior) -> None:
    starts = make_starts(normal, "radius:3", chains=400, seed=seeded(1))
    found = points(starts, 400).ravel()
    assert stats.kstest(found, stats.uniform(-3, 6).cdf).pvalue > 1e-4
    assert stats.kstest(points(starts, 400, 1).ravel(), stats.uniform(-3, 6).cdf).pvalue > 1e-4
    other = make_starts(normal, "radius:3", chains=400, seed=seeded(2))
    assert (points(other, 400).ravel() != found).all()


@needs_tools
def test_a_density_that_is_nowhere_finite_is_reported_in_stans_words() -> None:
    starts = make_starts(closed_form(rejects=True), "radius:1", chains=2, seed=1)
    with pytest.raises(SamplingError, match=r"in 100 tries \(radius:1\): .*point is rejected"):
        starts.point(0)


class Halved:
    """A model without a density left of zero."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def log_density_gradient(self, point: Any, **options: Any) -> Any:
        value, gradient = self.model.log_density_gradient(point, **options)
        return (value, gradient) if point[0] > 0 else (-np.inf, gradient)


def test_points_without_a_density_are_passed_over(normal: Posterior) -> None:
    half = replace(normal)
    half.__dict__["model"] = Halved(normal.model)
    found = points(make_starts(half, "radius:2", chains=50, seed=seeded(1)), 50)
    assert (found > 0).all()
    assert len(np.unique(found)) == 50
    assert found.max() > 1.5


# ---------------------------------------------------------------- prior


@needs_tools
def test_a_networks_starts_are_draws_of_its_prior() -> None:
    """Weights uniform on (-5, 5), and, with a prior of scales, on both levels."""
    network = small_network()
    starts = make_starts(network, "prior", chains=60, seed=seeded(1))
    weights = network.constrain(points(starts, 60))
    for name in ("W", "b", "V", "c"):
        assert stats.kstest(weights[name].ravel(), stats.uniform(-5, 10).cdf).pvalue > 1e-4
    scaled = small_network(prior="ard:2")
    weights = scaled.constrain(points(make_starts(scaled, "prior", chains=60, seed=seeded(1)), 60))
    relative = weights["W"] / weights["input_scale"][:, None, :]
    assert stats.kstest(relative.ravel(), stats.norm.cdf).pvalue > 1e-4
    scales = weights["input_scale"].ravel()
    assert stats.kstest(scales, lambda x: 2 * stats.t(4, scale=2).cdf(x) - 1).pvalue > 1e-4


def test_starts_are_draws_of_the_program_without_its_likelihood(bernoulli: Posterior) -> None:
    """The prior of theta is Beta(1, 1); draws are thinned, hence nearly independent."""
    starts = make_starts(bernoulli, "prior", chains=100, seed=seeded(1))
    theta = bernoulli.constrain(points(starts, 100))["theta"].ravel()
    assert stats.kstest(theta, stats.uniform.cdf).pvalue > 1e-4


def test_a_prior_without_a_switch_is_refused() -> None:
    plain = Posterior(Program(MODELS / "plain.stan"), {})
    with pytest.raises(InputError, match="has no data item 'prior_only'"):
        make_starts(plain, "prior", chains=2, seed=1)


# ---------------------------------------------------------------- files and runs


def test_a_file_gives_one_object_to_each_chain(bernoulli: Posterior, listed: Any) -> None:
    file = listed({"theta": [0.5]}, {"theta": [0.5]}, {"theta": [0.75]})
    starts = make_starts(bernoulli, file, chains=2, seed=seeded(1))
    np.testing.assert_allclose(points(starts, 2).ravel(), [0, np.log(3)], atol=1e-12)
    with pytest.raises(InputError, match="has 2 distinct points, and 3 are needed"):
        make_starts(bernoulli, file, chains=3, seed=1)
    other = make_starts(bernoulli, listed({"theta": [0.5]}, {"theta": [0.7]}), chains=2, seed=1)
    assert other.identity != starts.identity


@pytest.mark.parametrize(
    ("objects", "what"),
    [
        ([{"theta": [0.5]}, {"theta": [1.5]}], "object 2 of 2: .*1.5, but must be in the interval"),
        ([{"thet": [0.5]}], "object 1 of 1: .*variable does not exist"),
        ([1], "must be a JSON list of objects"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    bernoulli: Posterior, listed: Any, objects: Any, what: str
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        make_starts(bernoulli, listed(*objects), chains=1, seed=1)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_json_is_refused(bernoulli: Posterior, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("theta <- 1")
    with pytest.raises(InputError, match=r"x\.json is not a JSON file"):
        make_starts(bernoulli, str(tmp_path / "x.json"), chains=1, seed=1)


def test_a_value_on_a_bound_is_no_start(bernoulli: Posterior, listed: Any) -> None:
    starts = make_starts(bernoulli, listed({"theta": [1.0]}), chains=1, seed=1)
    with pytest.raises(SamplingError, match=r"chain 0 cannot start from file: .* edge"):
        starts.point(0)


def test_a_run_gives_draws_of_all_its_chains(bernoulli: Posterior, finished: Any) -> None:
    """Missing draws and draws that are there twice count for nothing."""
    run = finished([[0.1], [0.1], [np.nan]], [[0.2], [0.3], [0.4]], [[np.nan]] * 3)
    found = points(make_starts(bernoulli, run, chains=2, seed=seeded(1)), 2).ravel()
    assert found[0] == 0.1
    assert found[1] in {0.2, 0.3, 0.4}
    everything = points(make_starts(bernoulli, run, chains=4, seed=seeded(1)), 4).ravel()
    assert sorted(everything) == [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(InputError, match="has 4 distinct points, and 5 are needed"):
        make_starts(bernoulli, run, chains=5, seed=1)


def test_a_run_of_another_dimension_is_refused(bernoulli: Posterior, finished: Any) -> None:
    with pytest.raises(InputError, match=r"points of shape \(2,\), and the posterior's is \(1,\)"):
        make_starts(bernoulli, finished([[0.1, 0.2]]), chains=1, seed=1)


# ---------------------------------------------------------------- Pathfinder


def found_cmdstan(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    tools = toolchain.find()
    found = replace(tools, cmdstan=replace(tools.cmdstan, version=version))
    monkeypatch.setattr(toolchain, "find", lambda: found)


@pytest.mark.parametrize("version", ["2.27.0", "2.9.0", "2.32.2", None])
def test_pathfinder_needs_a_cmdstan_that_has_it(
    normal: Posterior, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    found_cmdstan(monkeypatch, version)
    with pytest.raises(InputError, match=rf"CmdStan 2\.33 or newer, found is {version or 'none'};"):
        make_starts(normal, "pathfinder", chains=2, seed=1)


class Pathfinder:
    """A CmdStan that has Pathfinder: each path ends at 10 times its start plus its seed."""

    says = ""

    def __init__(self, exe_file: str) -> None:
        assert Path(exe_file).is_file()

    def pathfinder(self, *, inits: str, num_paths: int, draws: int, seed: int, **_: Any) -> Any:
        assert (num_paths, draws) == (1, 1)
        if self.says:
            raise RuntimeError(self.says)
        self.value = 10 * json.loads(Path(inits).read_text())["mu"][0] + seed / 2**31
        return self

    column_names = ("lp_approx__", "lp__", "mu[1]", "log_lik[1]")

    def draws(self) -> Any:
        return np.array([[-1.0, -2.0, self.value, 7.0]])


def test_each_chain_starts_at_the_end_of_its_own_path(
    normal: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_cmdstan(monkeypatch, "2.36.0")
    monkeypatch.setattr("cmdstanpy.CmdStanModel", Pathfinder)
    starts = make_starts(normal, "pathfinder", chains=20, seed=seeded(1))
    found = points(starts, 20)
    begun = points(make_starts(normal, "radius:2", chains=20, seed=seeded(1)), 20)
    seeds = found - 10 * begun
    assert ((seeds > 0) & (seeds < 1)).all()
    assert len(np.unique(seeds)) == 20
    assert (points(starts, 20, attempt=1) != found).all()
    monkeypatch.setattr(Pathfinder, "says", "no path at all")
    with pytest.raises(SamplingError, match="no path at all"):
        starts.point(0)
