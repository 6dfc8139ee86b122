"""Nested runs in the hands of others: what anesthetic, ArviZ and PolyChord's readers find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from anesthetic import NestedSamples, read_chains, read_csv
from anesthetic.read.getdist import read_getdist

from conftest import Y_NORMAL, closed_form
from manymodes.cli.main import main
from manymodes.density.labels import anesthetic_samples, stan_name, tex_label
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.results.nested_export import equal_draws, nested_datatree, write_polychord_files
from manymodes.results.run_directory import Results, save_posterior, write_nested, write_nested_tree
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

SMALL = PolyChordSettings(nlive=100)


@pytest.fixture(scope="module")
def mean_run(tmp_path_factory: pytest.TempPathFactory, tools: Any) -> Path:
    """A run directory with two nested runs of a normal mean."""
    folder = tmp_path_factory.mktemp("mean")
    run_nested(closed_form(), runs=2, polychord=SMALL, out=folder, quiet=True)
    save_posterior(closed_form(), folder / "posterior")
    return folder


@pytest.fixture(scope="module")
def mean(mean_run: Path) -> Nested:
    return run_nested(closed_form(), runs=2, polychord=SMALL, out=mean_run, resume=True, quiet=True)


def labelled(nested: Nested) -> NestedSamples:
    names = nested.posterior.model.param_names(include_tp=True)
    return anesthetic_samples(nested.rows, names, nested.logl, nested.birth, nested.posterior.name)


def assert_same_run(found: NestedSamples, expected: NestedSamples) -> None:
    assert found.columns.tolist() == expected.columns.tolist()
    np.testing.assert_array_equal(found.nlive, expected.nlive)
    for quantity in ("logZ", "D_KL", "d_G"):
        value = float(getattr(expected, quantity)())
        assert float(getattr(found, quantity)()) == pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------- anesthetic


@pytest.mark.parametrize(
    ("flat", "name", "label"),
    [
        ("W.1.2", "W[1,2]", "W_{1,2}"),
        ("sigma", "sigma", r"\sigma"),
        ("theta_raw.3", "theta_raw[3]", r"\theta_{\mathrm{raw},3}"),
        ("mu0", "mu0", r"\mu_{0}"),
        ("x1_2", "x1_2", "x_{1,2}"),
        ("log_sigma.1", "log_sigma[1]", r"\log \sigma_{1}"),
        ("rate", "rate", r"\mathrm{rate}"),
        ("run10", "run10", r"\mathrm{run10}"),
        ("z.real", "z[real]", r"z_{\mathrm{real}}"),
        ("pair:2.1", "pair:2[1]", r"\mathrm{pair}_{2,1}"),
    ],
)
def test_names_are_stans_and_labels_are_tex(flat: str, name: str, label: str) -> None:
    assert (stan_name(flat), tex_label(flat)) == (name, label)


def test_labels_can_be_drawn() -> None:
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for flat in ("W_raw.1.2", "log_sigma.1", "Upsilon", "epsilon2", "pair:2.1"):
        parser.parse(f"${tex_label(flat)}$")


def test_csv_reads_back_as_the_run(xor_nested: Nested, tmp_path: Path) -> None:
    samples = labelled(xor_nested)
    assert samples.get_label("W_raw[2,1]") == r"$W_{\mathrm{raw},2,1}$"
    samples.to_csv(tmp_path / "nested.csv")
    found = read_csv(tmp_path / "nested.csv")
    assert isinstance(found, NestedSamples)
    assert_same_run(found, samples)
    assert float(found.logZ()) == pytest.approx(xor_nested.log_z, abs=3 * xor_nested.log_z_sd)


# ---------------------------------------------------------------- equal weights


def test_equal_draws_use_no_point_twice(xor_nested: Nested) -> None:
    weights = xor_nested.weights
    point = equal_draws(weights, None, np.random.default_rng(seeded(1)))
    assert len(point) == len(set(point.tolist()))
    assert 0.5 < len(point) * (weights @ weights) <= 1
    assert (np.diff(point) < 0).any()


def test_more_equal_draws_repeat_points_by_their_weight(xor_nested: Nested) -> None:
    weights = xor_nested.weights
    counts = np.bincount(
        equal_draws(weights, 50_000, np.random.default_rng(seeded(1))), minlength=len(weights)
    )
    assert np.abs(counts - 50_000 * weights).max() < 1


# ---------------------------------------------------------------- ArviZ


def test_a_tree_holds_draws_of_the_posterior_and_the_evidence(mean: Nested) -> None:
    tree = nested_datatree(mean, seed=1)
    n = tree["posterior"].sizes["draw"]
    mu = tree["posterior"]["mu"].values.ravel()
    precision = len(Y_NORMAL) + 1 / 4
    assert abs(mu.mean() - Y_NORMAL.sum() / precision) < 4 / np.sqrt(precision * n)
    assert mu.std() == pytest.approx(precision**-0.5, rel=4 / np.sqrt(2 * n))
    stats = {name: values.values[0] for name, values in tree["sample_stats"].items()}
    eta = mean.eta[stats["point"]]
    np.testing.assert_allclose(stats["lp"], stats["logl"] + mean.base.log_density(eta), rtol=1e-9)
    np.testing.assert_array_equal(stats["run"], mean.run_of[stats["point"]])
    assert tree.attrs["log_z"] == mean.log_z
    assert tree.attrs["log_z_sd"] == mean.log_z_sd
    assert (tree.attrs["nlive"], tree.attrs["runs"]) == (100, 2)
    assert tree.attrs["evaluations"] == mean.evaluations
    # Of one normal from another: variances 1 / precision and 4, here with the run's own error.
    shift = Y_NORMAL.sum() / precision
    d_kl = 0.5 * ((1 / precision + shift**2) / 4 - 1 + np.log(4 * precision))
    assert tree.attrs["d_kl"] == pytest.approx(d_kl, abs=3 * np.hypot(mean.log_z_sd, 0.1))
    again, other = (nested_datatree(mean, seed=seed) for seed in (1, 2))
    assert again.equals(tree)
    assert not other.equals(tree)


def test_a_tree_has_stans_shapes_and_log_likelihoods(xor_nested: Nested) -> None:
    tree = nested_datatree(xor_nested, draws=50, seed=1)
    assert tree["posterior"]["W"].shape == (1, 50, 2, 2)
    by_row = tree["log_likelihood"]["y"].values
    assert by_row.shape == (1, 50, 220)
    # The base measure is the prior: what is left of the density is the likelihood of the data.
    np.testing.assert_allclose(by_row.sum(axis=-1), tree["sample_stats"]["logl"], rtol=1e-5)
    without = nested_datatree(xor_nested, draws=50, seed=1, log_likelihood=False)
    assert "sample_stats" in without.children
    assert "log_likelihood" not in without.children


def test_a_tree_knows_the_modes(xor_comparison: Comparison, xor_nested: Nested) -> None:
    tree = nested_datatree(xor_nested, xor_comparison, seed=1)
    mode = tree["sample_stats"]["mode"].values[0]
    point = tree["sample_stats"]["point"].values[0]
    np.testing.assert_array_equal(mode, xor_comparison.nested_modes[point])
    summaries = xor_comparison.summaries
    modes = tree["modes"]
    assert modes["mode"].values.tolist() == [one.id for one in summaries]
    for name in ("log_z", "evidence"):
        values = [getattr(one, name) for one in summaries]
        np.testing.assert_array_equal(modes[name], [one.value for one in values])
        np.testing.assert_array_equal(modes[f"{name}_sd"], [one.sd for one in values])
    for one in xor_comparison.prominent:
        inside = xor_comparison.nested_modes == one.id
        share = xor_comparison.nested_weights[inside].sum()
        error = np.sqrt(share * (1 - share) / len(mode))
        assert abs((mode == one.id).mean() - share) < 4 * error


def test_a_tree_refuses_what_does_not_fit(xor_comparison: Comparison, mean: Nested) -> None:
    with pytest.raises(InputError, match="comparison: it is of other nested runs"):
        nested_datatree(mean, xor_comparison, seed=1)
    with pytest.raises(InputError, match="draws: 0 is not 1 or more"):
        nested_datatree(mean, draws=0, seed=1)
    with pytest.raises(InputError, match="seed: -1 is not 0 or more"):
        nested_datatree(mean, seed=-1)


def test_trees_are_opened_with_the_run(
    xor_comparison: Comparison, xor_nested: Nested, mean: Nested, tmp_path: Path
) -> None:
    for name in ("full", "mean"):
        (tmp_path / name).mkdir()
    write_nested_tree(xor_nested, tmp_path / "full", xor_comparison, seed=3)
    write_nested(mean, tmp_path / "mean")
    summary = {"posteriors": {"full": {}, "mean": {}}}
    found = Results(tmp_path, summary).nested_tree
    expected = nested_datatree(xor_nested, xor_comparison, seed=3)
    full = found["full"]
    xr.testing.assert_equal(full["posterior"].to_dataset(), expected["posterior"].to_dataset())
    assert full.attrs["log_z"] == xor_nested.log_z
    xr.testing.assert_equal(full["modes"].to_dataset(), expected["modes"].to_dataset())
    assert found["mean"].attrs["log_z"] == mean.log_z
    assert set(found["mean"].children) == {"posterior", "sample_stats", "log_likelihood"}


# ---------------------------------------------------------------- PolyChord's files


def test_polychords_files_read_back_as_the_run(xor_nested: Nested, tmp_path: Path) -> None:
    paths = write_polychord_files(xor_nested, tmp_path / "chains", root="xor")
    assert sorted(paths) == sorted((tmp_path / "chains").iterdir())
    root = str(tmp_path / "chains" / "xor")
    samples = labelled(xor_nested)
    found = read_chains(root)
    assert isinstance(found, NestedSamples)
    assert_same_run(found, samples)
    np.testing.assert_array_equal(found.logL, samples.logL)
    np.testing.assert_array_equal(found.logL_birth, samples.logL_birth)
    weighted = read_getdist(root)
    names = [stan_name(flat) for flat in xor_nested.posterior.model.param_names(include_tp=True)]
    np.testing.assert_allclose(
        weighted[names].mean(), xor_nested.weights @ xor_nested.rows, rtol=1e-9
    )
    derived = [line.split()[0] for line in Path(f"{root}.paramnames").read_text().splitlines()]
    assert derived[8:] == ["c[1]", "W[1,1]*", "W[2,1]*", "W[1,2]*", "W[2,2]*"]
    equal = np.loadtxt(f"{root}_equal_weights.txt")
    assert (equal[:, 0] == 1).all()
    assert len(np.unique(equal, axis=0)) == len(equal)
    assert np.isin(equal[:, 1], -2 * xor_nested.logl).all()


def test_statistics_stand_where_polychords_readers_look(mean: Nested, tmp_path: Path) -> None:
    """Line 9 has the evidence, line 15 begins the local ones, the counts follow (pypolychord)."""
    write_polychord_files(mean, tmp_path)
    lines = (tmp_path / "normal.stats").read_text().splitlines()
    for line in (lines[8], lines[14]):
        assert float(line.split("=")[1].split()[0]) == mean.log_z
        assert float(line.split()[-1]) == mean.log_z_sd
    local = [line for line in lines[14:] if line.startswith("log(Z")]
    counts = lines[14 + len(local) + 6 :]
    names = ["nposterior:", "nequals:", "ndead:", "nlive:", "nlike:", "<nlike>:"]
    assert [line.split()[0] for line in counts[:6]] == names
    assert [int(line.split()[1]) for line in counts[2:5]] == [
        len(mean.logl), 200, mean.evaluations
    ]  # fmt: skip
    number, value, _, sd = lines[-2].split()
    assert number == "1"
    assert float(value) == pytest.approx(mean.weights @ mean.rows[:, 0])
    assert 0.2 < float(sd) < 0.9


@pytest.mark.parametrize("root", ["", "a/b", "a b", ".hidden", "-x"])
def test_a_root_that_is_no_file_name_is_refused(mean: Nested, tmp_path: Path, root: str) -> None:
    with pytest.raises(InputError, match=r"^root: '.*' cannot begin a file name"):
        write_polychord_files(mean, tmp_path / "out", root=root)
    assert not (tmp_path / "out").exists()


def test_the_command_exports_a_run(
    mean_run: Path, mean: Nested, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(mean_run), "--to", "polychord", "--out", str(tmp_path)]
    assert main(arguments) == 0
    listed = capsys.readouterr().out.splitlines()
    assert sorted(listed) == sorted(map(str, tmp_path.iterdir()))
    assert float(read_chains(tmp_path / "normal").logZ()) == pytest.approx(
        float(labelled(mean).logZ()), rel=1e-12
    )
    assert main([*arguments, "--root", "other", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "other.stats").is_file()


def test_the_command_exports_each_posterior_of_a_study(mean_run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_posterior(closed_form(), tmp_path / "study" / name / "posterior")
        (tmp_path / "study" / name / "nested").symlink_to(mean_run / "nested")
    study, out = tmp_path / "study", tmp_path / "out"
    arguments = ["export", str(study), "--to", "polychord", "--out", str(out), "--quiet"]
    assert main(arguments) == 0
    assert main([*arguments, "--root", "run"]) == 0
    stats = {path.stem for path in out.glob("*.stats")}
    assert stats == {"a", "b", "run_a", "run_b"}


def test_the_command_refuses_runs_without_an_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(tmp_path), "--to", "polychord", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "holds no run: make one" in capsys.readouterr().err
    save_posterior(closed_form(), tmp_path / "posterior")
    assert main(arguments) == 2
    assert "holds no nested runs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
