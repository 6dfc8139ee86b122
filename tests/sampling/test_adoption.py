"""Chains that were made elsewhere: files of every kind, read, checked, compared like our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manymodes as mm
from conftest import MODELS, closed_form, needs_tools, small_network, two_peaks
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import AdoptionWarning, InputError
from manymodes.sampling.adoption.cmdstan_csv import read_cmdstan_csv
from manymodes.sampling.adoption.foreign import Foreign, Wanted
from manymodes.sampling.adoption.rounding import Support
from manymodes.sampling.adoption.sources import sources_of
from manymodes.sampling.adoption.written import Written, written
from manymodes.sampling.attempts import first_seeds
from manymodes.sampling.chains.cmdstan_nuts import initial_values
from manymodes.sampling.chains.starts import make_starts
from seeds import seeded

CONSTRAINED = MODELS.parent / "bridge_models" / "constrained.stan"
STATS = "lp__,accept_stat__,stepsize__,treedepth__,n_leapfrog__,divergent__,energy__"
WANTED = Wanted("model", ("mu", "W.1.1", "W.2.1", "W.1.2", "W.2.2"))
HEAD = "# method = sample (Default)\n#     num_samples = 6\n#     num_warmup = 4\n"
DRAWS = np.round(np.random.default_rng(1).normal(size=(6, 5)), 4)


def csv_text(
    draws: np.ndarray = DRAWS,
    *,
    head: str = HEAD,
    names: str = ",".join(WANTED.parameters),
    warmup: str = "",
    digits: int = 6,
) -> str:
    """Return an output file as CmdStan writes it."""
    rows = "".join(
        f"-1.5,0.9,0.5,2,3,0,2.5,{','.join(f'{value:.{digits}g}' for value in draw)}\n"
        for draw in draws
    )
    adapted = "# Adaptation terminated\n# Step size = 0.5\n"
    return f"{head}{STATS},{names}\n{warmup}{adapted}{rows}#  Elapsed Time: 0.3 seconds (Total)\n"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def of(text: str | bytes) -> Foreign:
        path = tmp_path / "output.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_cmdstan_csv(path, WANTED)

    return of


# ---------------------------------------------------------------------- CmdStan's files


def test_a_file_is_read_whatever_the_order_of_its_columns(read: Any) -> None:
    names = ",".join(["W.2.2", "extra", *WANTED.parameters[:4]])
    chain = read(csv_text(np.insert(np.roll(DRAWS, 1, axis=1), 1, 7.0, axis=1), names=names))
    assert np.array_equal(chain.rows, DRAWS)
    assert (chain.step_size, chain.seconds, chain.expected) == (0.5, 0.3, 6)
    assert chain.stats["tree_depth"].tolist() == [2.0] * 6
    assert not chain.unfinished


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_warmup_that_was_saved_is_left_out(read: Any, end: str) -> None:
    row = "-9,0.9,0.5,2,3,1,2.5,9,9,9,9,9\n"
    head = HEAD + "#     save_warmup = 1\n#     thin = 2\n"
    text = csv_text(DRAWS[:3], head=head, warmup=2 * row)
    assert np.array_equal(read(text.replace("\n", end)).rows, DRAWS[:3])
    # Without the line that ends adaptation, the settings count: 4 iterations, every second kept.
    unmarked = text.replace("# Adaptation terminated\n", "")
    assert np.array_equal(read(unmarked).rows, DRAWS[:3])
    assert read(unmarked).expected == 3


def test_a_job_that_was_killed_in_warmup_has_no_draws(read: Any) -> None:
    row = "-9,0.9,0.5,2,3,1,2.5,9,9,9,9,9\n"
    chain = read(f"{HEAD}#     save_warmup = true\n{STATS},{','.join(WANTED.parameters)}\n{row}")
    with pytest.raises(InputError, match="has no draws after warm-up"):
        chain.check(WANTED)


def read_or_refused(read: Any, text: str | bytes) -> tuple[Foreign | None, str]:
    """Return what a file holds, or the one line that refuses it; any other error is a fault."""
    try:
        return read(text), ""
    except InputError as error:
        said = str(error)
    return None, said if "\n" not in said else ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(csv_text())))
def test_a_file_that_is_cut_anywhere_has_a_prefix_of_its_draws(read: Any, cut: int) -> None:
    chain, said = read_or_refused(read, csv_text()[:cut])
    if chain is None:
        assert said
        assert cut < csv_text().index("# Adaptation")
        return
    assert np.array_equal(chain.rows, DRAWS[: len(chain.rows)])
    assert chain.unfinished == (len(chain.rows) < 6)
    whole = csv_text()[:cut].count("\n-1.5")
    assert len(chain.rows) in (whole, whole - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(csv_text()) - 1),
    junk=st.binary(min_size=1, max_size=5),
)
def test_a_damaged_file_is_read_or_refused_in_one_line(read: Any, at: int, junk: bytes) -> None:
    text = csv_text().encode()
    chain, said = read_or_refused(read, text[:at] + junk + text[at + len(junk) :])
    if chain is None:
        assert "output.csv" in said
        return
    assert chain.rows.shape[1] == 5
    assert len(chain.rows) <= 7
    if not np.isfinite(chain.rows).all():
        with pytest.raises(InputError, match=r"is no number|a chain needs 4"):
            chain.check(WANTED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (csv_text(head="# method = optimize\n"), "holds the result of an optimisation"),
        (csv_text(head="# method = variational\n"), "variational inference"),
        (csv_text(head="# method = pathfinder\n"), "Pathfinder"),
        (csv_text(head="# method = laplace\n"), "Laplace"),
        (csv_text(head="# method = sample\n# algorithm = fixed_param\n"), "fixed_param"),
        (csv_text().replace("accept_stat__", "lp_approx__"), "no column accept_stat__"),
        (csv_text().replace("lp__,", "x,", 1), "its first column is 'x'"),
        (csv_text().replace(",mu,", ",nu,"), "has no mu, a parameter of the program model"),
        (csv_text().replace(",W.2.2\n", ",W.3.1\n"), "W has the shape 3 x 2, and the shape 2 x 2"),
        (csv_text().replace(",mu,", ",W.1.1,"), "two columns of the name W.1.1"),
        (csv_text() + csv_text(), "line 17: a second header: the file holds several chains"),
        (csv_text() + "1,2,3\n", "line 14: has 3 numbers, and the header names 12"),
        (csv_text().replace("0.9,", "o.9,", 1), "line 7, is damaged"),
        ("# method = sample\n", "has no header"),
        ("\x00\x01\x02\n", "is not an output file of CmdStan"),
    ],
)
def test_what_does_not_fit_is_said_by_name(read: Any, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_array_that_is_larger_in_the_file_is_refused(read: Any) -> None:
    with pytest.raises(InputError, match="the parameter W has 5 elements, and 4 in the program"):
        read(csv_text(np.c_[DRAWS, DRAWS[:, 0]], names=",".join([*WANTED.parameters, "W.3.1"])))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", ""])
def test_a_draw_that_is_no_number_is_named(read: Any, value: str) -> None:
    lines = csv_text().split("\n")
    lines[8] = ",".join([*lines[8].split(",")[:-1], value])
    with pytest.raises(InputError, match=r"draw 3 has .* for W\[2,2\], which is no number"):
        read("\n".join(lines)).check(WANTED)


def test_an_origin_is_named_where_columns_do_not_fit(read: Any) -> None:
    head = "# model = bones_model\n# method = sample\n# data\n#   file = /tmp/bones.json\n"
    with pytest.raises(InputError, match=r"names the model bones_model and the data bones\.json"):
        read(csv_text(head=head).replace(",mu,", ",nu,"))


# ---------------------------------------------------------------------- digits


@given(
    digits=st.integers(4, 12),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-5, 1.0, 3e4]),
)
def test_half_units_hold_what_was_rounded_to_significant_digits(
    digits: int, seed: int, scale: float
) -> None:
    exact = scale * np.random.default_rng(seed).standard_cauchy(300)
    rounded = np.array([float(f"{value:.{digits}g}") for value in exact])
    half = written(rounded).half_units(rounded)
    assert (np.abs(rounded - exact) <= half * 1.001).all()
    assert written(rounded).digits == digits
    assert written(exact) == Written()


@given(decimals=st.integers(2, 8), seed=st.integers(0, 1000))
def test_half_units_hold_what_was_rounded_to_decimals(decimals: int, seed: int) -> None:
    exact = np.random.default_rng(seed).normal(size=300)
    rounded = np.round(exact, decimals)
    half = written(rounded).half_units(rounded)
    assert (np.abs(rounded - exact) <= half * 1.001).all()


# ---------------------------------------------------------------------- files by name


def test_a_folder_gives_its_chains_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        (tmp_path / f"output_{number}.csv").write_text(csv_text())
    (tmp_path / "output_1_profile.csv").write_text("name,thread_id,total_time\n")
    (tmp_path / "output_1_config.json").write_text("{}")
    with pytest.warns(AdoptionWarning, match="left out, for they are not chains: output_1_profile"):
        found = sources_of(tmp_path)
    names = [source.path.name for source in found]  # type: ignore[union-attr]
    assert names == ["output_1.csv", "output_2.csv", "output_10.csv"]
    pattern = [source.path for source in sources_of(str(tmp_path / "output_?.csv"))]  # type: ignore[union-attr]
    assert [path.name for path in pattern] == ["output_1.csv", "output_2.csv"]


def test_files_that_are_not_there_or_twice_or_of_no_kind_are_refused(tmp_path: Path) -> None:
    one = tmp_path / "output_1.csv"
    one.write_text(csv_text())
    (tmp_path / "link.csv").symlink_to(one)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "old.nc").write_bytes(b"CDF\x01" + bytes(100))
    (tmp_path / "nothing").mkdir()
    for given_, said in (
        ([one, one], "is given twice"),
        ([one, tmp_path / "link.csv"], "is given twice"),
        ([tmp_path / "other.csv"], "no such file"),
        ([f"{tmp_path}/x*.csv"], "no file has such a name"),
        ([tmp_path / "empty.csv"], "is empty"),
        ([tmp_path / "old.nc"], "NetCDF 3"),
        ([tmp_path / "nothing"], "holds no chains"),
        ([], "no file is given"),
        (7, "neither files nor a tree"),
        (xr.Dataset({"mu": 1.0}), "neither files nor a tree"),
        (xr.DataTree(), "has no group 'posterior'"),
    ):
        with pytest.raises(InputError, match=said):
            sources_of(given_)


# ---------------------------------------------------------------------- trees and JSON


def groups(draws: np.ndarray = DRAWS) -> dict[str, xr.Dataset]:
    """Return two chains in ArviZ's layout; the second one has its draws in another order."""
    both = np.stack([draws, draws[::-1]])
    dims = ("chain", "draw", "W_dim_0", "W_dim_1")
    posterior = {
        "mu": (("chain", "draw"), both[..., 0]),
        "W": (dims, both[..., 1:].reshape(2, -1, 2, 2).swapaxes(-1, -2)),  # columns first
    }
    coords = {"chain": [0, 1], "draw": np.arange(len(draws))}
    stats = {
        "lp": (("chain", "draw"), both[..., 0] - 2),
        "diverging": (("chain", "draw"), both[..., 0] > 9),
    }
    return {"posterior": xr.Dataset(posterior, coords), "sample_stats": xr.Dataset(stats, coords)}


def write_inference_data(found: dict[str, xr.Dataset], path: Path) -> None:
    """Write groups as InferenceData of ArviZ 0.23 does: one after another, into one file."""
    for place, (name, one) in enumerate(found.items()):
        one.to_netcdf(path, group=name, mode="a" if place else "w", engine="h5netcdf")


def write_tree(found: dict[str, xr.Dataset], path: Path) -> None:
    """Write groups as a DataTree of ArviZ 1 does."""
    xr.DataTree.from_dict(found).to_netcdf(path, engine="h5netcdf")


def write_zarr(found: dict[str, xr.Dataset], path: Path) -> None:
    pytest.importorskip("zarr")
    xr.DataTree.from_dict(found).to_zarr(path)


@pytest.mark.parametrize("write", [write_inference_data, write_tree, write_zarr])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_chains_of_arviz_are_read(tmp_path: Path, write: Any) -> None:
    path = tmp_path / ("draws.zarr" if write is write_zarr else "draws.nc")
    write(groups(), path)
    (source,) = sources_of(path)
    first, second = source.read(WANTED)
    assert np.array_equal(first.rows, DRAWS)
    assert np.array_equal(second.rows, DRAWS[::-1])
    assert set(first.stats) == {"lp", "diverging"}
    assert np.isnan(first.seconds)
    assert second.where == f"{path}, chain 1"


def test_a_tree_that_does_not_fit_is_refused_by_name() -> None:
    found = groups()
    posterior = found["posterior"]
    for changed, said in (
        (posterior.drop_vars("mu"), "has no mu, a parameter"),
        (posterior.isel(W_dim_0=[0]), "W has the shape 1 x 2, and the shape 2 x 2"),
        (posterior.rename(draw="iteration"), "has no dimension draw"),
        (posterior.assign(mu=7.0), "has no dimensions chain and draw"),
    ):
        (source,) = sources_of(xr.DataTree.from_dict({"posterior": changed}))
        with pytest.raises(InputError, match=said):
            list(source.read(WANTED))


def test_missing_draws_at_the_end_of_a_chain_shorten_it() -> None:
    found = groups()
    found["posterior"] = found["posterior"].where(
        xr.DataArray([[True] * 6, [True] * 4 + [False] * 2], dims=("chain", "draw"))
    )
    (source,) = sources_of(xr.DataTree.from_dict(found))
    assert [chain.n_draws for chain in source.read(WANTED)] == [6, 4]


def test_lp_of_other_libraries_is_not_taken_for_stans() -> None:
    found = groups()
    found["posterior"].attrs["inference_library"] = "pymc"
    (source,) = sources_of(xr.DataTree.from_dict(found))
    assert all(set(chain.stats) == {"diverging"} for chain in source.read(WANTED))


def posteriordb(draws: np.ndarray = DRAWS) -> list[dict[str, list[float]]]:
    names = ["mu", "W[1,1]", "W[2,1]", "W[1,2]", "W[2,2]"]
    return [dict(zip(names, one.T.tolist(), strict=True)) for one in (draws, draws[::-1])]


@pytest.mark.parametrize("zipped", [False, True])
def test_draws_of_posteriordb_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "draws.json"
    path.write_text(json.dumps(posteriordb()))
    if zipped:
        with zipfile.ZipFile(tmp_path / "draws.json.zip", "w") as archive:
            archive.write(path, "draws.json")
        path = tmp_path / "draws.json.zip"
    (source,) = sources_of(path)
    first, second = source.read(WANTED)
    assert np.array_equal(first.rows, DRAWS)
    assert np.array_equal(second.rows, DRAWS[::-1])
    assert first.stats == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "is not a list of chains"),
        ("[]", "has no chains"),
        ("[1]", "is not a list of chains"),
        ('[{"mu": [1', "is not JSON"),
        ('[{"mu": [1, 2]}]', "has no W, a parameter"),
        ('[{"mu": 1, "W[1,1]": [1], "W[2,1]": [1], "W[1,2]": [1], "W[2,2]": [1]}]', "mu is not"),
        (
            '[{"mu": [1, 2], "W[1,1]": [1], "W[2,1]": [1], "W[1,2]": [1], "W[2,2]": [1]}]',
            "has 1 draws",
        ),
        ("PK\x03\x04nothing", "cannot be read"),
    ],
)
def test_json_that_does_not_fit_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / ("draws.zip" if content.startswith("PK") else "draws.json")
    path.write_text(content)
    (source,) = sources_of(path)
    with pytest.raises(InputError, match=said):
        list(source.read(WANTED))


# ---------------------------------------------------------------------- rounding


@needs_tools
@pytest.mark.parametrize("digits", [4, 6, 9, 17])
def test_rounded_draws_of_every_type_are_put_right_within_their_digits(digits: int) -> None:
    posterior = Posterior(Program(CONSTRAINED), {"low": -1.5, "high": 2.5}, "types").compile()
    eta = 0.7 * np.random.default_rng(seeded(1)).normal(size=(50, posterior.dims))
    rows = posterior.constrain_rows(eta)
    rounded = np.array([[float(f"{x:.{digits}g}") for x in row] for row in rows])
    support = Support.of(posterior)
    assert support.unit_vectors
    chain = Foreign("made.csv", rounded, written(rounded))
    found = posterior.constrain_rows(support.unconstrained(chain))
    assert np.abs(found - rows).max() < 200 * 10.0**-digits
    if digits > 5:
        chain.rows[7, list(posterior.model.param_names()).index("shares.2.1")] += 0.01
        with pytest.raises(InputError, match="shares of draw 8 is not a simplex, by more than"):
            support.unconstrained(chain)


@needs_tools
def test_equal_neighbours_and_values_on_a_bound_are_put_right_and_others_refused() -> None:
    posterior = Posterior(Program(CONSTRAINED), {"low": -1.5, "high": 2.5}, "types").compile()
    names = list(posterior.model.param_names())
    rows = posterior.constrain_rows(np.full((3, posterior.dims), 0.3))
    increasing = [names.index(f"increasing.{i}") for i in (1, 2, 3)]
    rows[0, increasing] = [1.0, 1.0, 1.0]
    rows[1, names.index("between.1")] = 2.5
    rows[2, names.index("above")] = -1.5000001
    support = Support.of(posterior)
    eta = support.unconstrained(Foreign("made.csv", rows, Written(6, 7)))
    found = posterior.constrain_rows(eta)
    assert np.isfinite(eta).all()
    assert np.abs(found - rows).max() < 2e-5
    rows[2, names.index("above")] = -1.6
    with pytest.raises(InputError, match=r"made.csv: draw 3 is outside of the support"):
        support.unconstrained(Foreign("made.csv", rows, Written(6, 7)))


# ---------------------------------------------------------------------- adopted as a whole


def by_hand(posterior: Posterior, folder: Path, *options: str, seed: int, chains: int) -> Path:
    """Run CmdStan's executable itself, with the seeds and starts of a run of ours."""
    folder.mkdir()
    (folder / "data.json").write_text(posterior.data_json)
    starts = make_starts(posterior, "radius:2", chains=chains, seed=seed)
    for index, own in enumerate(first_seeds(seed, chains)):
        start = folder / f"start_{index}.json"
        start.write_text(initial_values(posterior, starts.point(index)))
        subprocess.run(
            [
                str(posterior.program.executable()), "sample", "num_samples=100",
                "num_warmup=200", "id=1",
                "data", f"file={folder / 'data.json'}", "random", f"seed={own}", f"init={start}",
                "output", f"file={folder / f'output_{index + 1}.csv'}", *options,
            ],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
    return folder


QUICK = mm.NutsSettings(warmup=200, draws=100)
CHAINS = 6


@pytest.fixture(scope="module")
def network(tools: Any) -> Posterior:
    return small_network(n=40).compile()


@pytest.fixture(scope="module")
def own(network: Posterior) -> mm.Chains:
    return mm.run_chains(network, chains=CHAINS, nuts=QUICK, seed=seeded(3), quiet=True)


@pytest.fixture(scope="module")
def files(network: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("by_hand") / "exact"
    return by_hand(network, folder, "sig_figs=18", seed=seeded(3), chains=CHAINS)


def figures(chains: mm.Chains) -> dict[str, np.ndarray]:
    found = mm.compare(chains.posterior, chains=chains, seed=1, quiet=True)
    assert found.stacking is not None
    return {
        "heights": np.array([mode.height for mode in found.summaries]),
        "occupancy": np.array([mode.occupancy.value for mode in found.summaries]),
        "stacking": np.array([mode.stacking.value for mode in found.summaries]),
        "weights": found.stacking.weights,
        "rhat": np.asarray(found.rhat_weights),
        "rhat_function": np.asarray(found.rhat_function),
    }


@pytest.fixture(scope="module")
def own_figures(own: mm.Chains) -> dict[str, np.ndarray]:
    return figures(own)


def as_inference_data(chains: mm.Chains, path: Path) -> Path:
    tree = chains.to_datatree()
    for place, name in enumerate(("posterior", "sample_stats", "log_likelihood")):
        one = tree[name].to_dataset()
        one.to_netcdf(path, group=name, mode="a" if place else "w", engine="h5netcdf")
    return path


def by_arviz(chains: mm.Chains, path: Path) -> Path:
    """Write a file with the ArviZ that is installed: InferenceData before 1, DataTree since."""
    az = pytest.importorskip("arviz")
    tree = chains.to_datatree()
    names = ("posterior", "sample_stats", "log_likelihood")
    if int(az.__version__.partition(".")[0]) >= 1:
        tree.to_netcdf(path)
    else:
        az.InferenceData(**{name: tree[name].to_dataset() for name in names}).to_netcdf(str(path))
    return path


def by_data_tree(chains: mm.Chains, path: Path) -> Path:
    chains.to_datatree().to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("kind", ["csv", as_inference_data, by_arviz, by_data_tree])
def test_adopted_chains_give_the_figures_of_our_own_run(
    own: mm.Chains, own_figures: dict[str, np.ndarray], files: Path, tmp_path: Path, kind: Any
) -> None:
    source = files if kind == "csv" else kind(own, tmp_path / "draws.nc")
    adopted = mm.adopt_chains(own.posterior, source, quiet=True)
    assert adopted.adopted
    assert np.allclose(adopted.eta, own.eta, rtol=1e-12, atol=1e-12)
    assert adopted.divergences == own.divergences
    assert np.allclose(adopted.step_size, own.step_size)
    theirs = figures(adopted)
    for name, value in own_figures.items():
        # Of predictions near 0 or 1, the last digit decides the ranks.
        close = 1e-3 if name == "rhat_function" else 1e-5
        assert np.allclose(theirs[name], value, rtol=close, atol=close, equal_nan=True), name
    if kind == "csv":
        assert adopted.max_treedepth == own.max_treedepth
        assert np.allclose(adopted.inv_metric, own.inv_metric, rtol=1e-4)
        assert np.isfinite(adopted.seconds).all()
    else:
        assert adopted.max_treedepth is None
        assert np.isnan(adopted.seconds).all()


def test_six_digits_thinning_and_saved_warmup_agree_with_the_density(
    network: Posterior, tmp_path: Path
) -> None:
    folder = by_hand(network, tmp_path / "rounded", seed=seeded(4), chains=2)
    rounded = mm.adopt_chains(network, folder, quiet=True)
    assert (rounded.n_chains, rounded.n_draws) == (2, 100)
    whole = sorted(folder.glob("output_*.csv"))
    text = whole[1].read_text()
    whole[1].write_text(text[: int(0.8 * len(text))])
    with pytest.warns(AdoptionWarning, match=r"unfinished.*output_2.csv \(\d+ of 100\)"):
        ragged = mm.adopt_chains(network, folder, quiet=True)
    assert ragged.lengths[0] == 100 > ragged.lengths[1] > 10
    assert np.isnan(ragged.eta[1, -1]).all()


def test_other_data_or_another_program_are_found_out(network: Posterior, files: Path) -> None:
    X = np.array(network.data["X"])
    X[0] += 0.5
    data = {**network.data, "X": X.tolist()}
    other = Posterior(network.program, data, "other", network.network)
    with pytest.raises(InputError, match=r"lp__ is not the log density .* other data"):
        mm.adopt_chains(other, files, quiet=True)
    with pytest.raises(InputError, match=r"output_1.csv: .*the parameter|has no"):
        mm.adopt_chains(closed_form().compile(), files, quiet=True)


def test_a_single_altered_draw_is_found_out(
    network: Posterior, files: Path, tmp_path: Path
) -> None:
    lines = (files / "output_1.csv").read_text().split("\n")
    numbers = [i for i, line in enumerate(lines) if line and line[0] in "-0123456789"]
    cells = lines[numbers[70]].split(",")
    cells[8] = f"{float(cells[8]) * 1.2:.18g}"
    lines[numbers[70]] = ",".join(cells)
    (tmp_path / "altered.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"altered.csv: lp__ is not .*\(draw 71\)"):
        mm.adopt_chains(network, tmp_path / "altered.csv", quiet=True)


def test_a_copy_of_a_chain_is_found_out(network: Posterior, files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "output_1.csv", tmp_path / "copy.csv")
    with pytest.raises(InputError, match=r"copy.csv holds the same draws as .*output_1.csv"):
        mm.adopt_chains(network, [files / "output_1.csv", tmp_path / "copy.csv"], quiet=True)


def test_what_a_file_does_not_hold_is_not_known(own: mm.Chains, tmp_path: Path) -> None:
    rows = own.rows[:, :, : int(own.posterior.model.param_num())]
    names = [name.replace(".", "[", 1) for name in own.posterior.model.param_names()]
    names = [f"{name.replace('.', ',')}]" if "[" in name else name for name in names]
    content = [dict(zip(names, chain.T.tolist(), strict=True)) for chain in rows]
    (tmp_path / "draws.json").write_text(json.dumps(content))
    with pytest.warns(AdoptionWarning, match="lp__ could not be compared"):
        chains = mm.adopt_chains(own.posterior, tmp_path / "draws.json", quiet=True)
    assert np.allclose(chains.eta, own.eta, rtol=1e-12, atol=1e-12)
    assert chains.divergences is None
    assert np.isnan(chains.starts).all()
    tree = chains.to_datatree(log_likelihood=False)
    assert not tree["sample_stats"].data_vars
    diagnosis = mm.diagnose(mm.compare(own.posterior, chains=chains, quiet=True))
    assert all(mode.divergences is None for mode in diagnosis.modes)
    assert all(np.isnan(mode.at_depth_limit) for mode in diagnosis.modes)
    verdict = json.dumps(diagnosis.as_dict())
    assert '"divergences": null' in verdict


def test_a_log_lik_of_something_else_is_computed_anew(own: mm.Chains) -> None:
    tree = own.to_datatree()
    tree["log_likelihood"]["y"] = tree["log_likelihood"]["y"] + 1.0
    with pytest.warns(AdoptionWarning, match="log_lik in the files is not that of the program"):
        chains = mm.adopt_chains(own.posterior, tree, quiet=True)
    assert np.allclose(chains.lpd, own.lpd, rtol=1e-6)


@needs_tools
def test_a_program_without_log_lik_is_adopted(tmp_path: Path) -> None:
    posterior = two_peaks(6.0, 0.5).compile()
    folder = by_hand(posterior, tmp_path / "peaks", seed=seeded(1), chains=4)
    chains = mm.adopt_chains(posterior, folder, out=tmp_path / "run", quiet=True)
    assert chains.lpd.shape == (4, 0)
    with pytest.raises(InputError, match="holds earlier results"):
        mm.adopt_chains(posterior, folder, out=tmp_path / "run", quiet=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".chains.lock", "chains"]


def test_a_failed_adoption_leaves_nothing(network: Posterior, files: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(csv_text())
    with pytest.raises(InputError):
        mm.adopt_chains(
            network, [files / "output_1.csv", tmp_path / "bad.csv"], out=tmp_path / "run"
        )
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".chains.lock"]


# ---------------------------------------------------------------------- the command


@pytest.fixture
def saved(network: Posterior, tmp_path: Path) -> Iterator[Path]:
    from manymodes.results.run_directory import save_posterior

    save_posterior(network, tmp_path / "net")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path / "net"
    os.chdir(before)


def test_the_command_makes_a_run_like_any_other(
    saved: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from manymodes.cli.main import main

    adopt = ["adopt", str(saved), "--chains", str(files), "--out", "run"]
    assert main([*adopt, "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    (entry,) = summary["posteriors"].values()
    assert summary["command"] == "adopt"
    assert entry["chains"]["adopted"] is True
    assert entry["chains"]["n"] == CHAINS
    run = mm.load("run")
    assert run.chains["posterior"].sizes["chain"] == CHAINS
    assert "occupancy" in run.modes.columns
    assert main(["compare", "run", "--quiet"]) == 0
    assert json.loads(Path("run/summary.json").read_text())["posteriors"].keys() == (
        summary["posteriors"].keys()
    )
    kept = {path: path.read_bytes() for path in Path("run/chains").iterdir()}
    # Refused without --overwrite; with it, a mistake loses nothing.
    assert main([*adopt, "--quiet"]) == 2
    assert "holds earlier results" in capsys.readouterr().err
    Path("bad.csv").write_text(csv_text())
    bad = ["adopt", str(saved), "--chains", "bad.csv", "--out", "run", "--overwrite"]
    assert main(bad) == 2
    assert {path: path.read_bytes() for path in Path("run/chains").iterdir()} == kept
    assert main([*adopt, "--overwrite", "--no-modes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert next(iter(said["posteriors"].values()))["chains"]["n"] == CHAINS
    assert not Path("run/summary.json").exists()
    # The run's own file is not read while it is being replaced.
    inside = ["adopt", str(saved), "--chains", "run/chains.nc", "--out", "run", "--overwrite"]
    assert main(inside) == 2
    assert "is in the directory that --overwrite empties" in capsys.readouterr().err
    assert main(["sample", str(saved), "--out", "run", "--resume", "--quiet"]) == 2


def test_a_run_that_is_held_is_refused(
    saved: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from manymodes.cli.main import main
    from manymodes.results.run_directory import run_directory

    with run_directory(Path("run")):
        assert main(["adopt", str(saved), "--chains", str(files), "--out", "run"]) == 2
    assert "is in use by another run" in capsys.readouterr().err
    assert not Path("run/chains").exists()
