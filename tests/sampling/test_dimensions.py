"""Variables of a network in ArviZ's trees: named dimensions, labels, data, and no duplicates."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arviz_stats
import numpy as np
import pandas as pd
import pytest

from conftest import made_chains
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.density.variables import Variable
from manymodes.errors import AdoptionWarning, ResultsError
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.results.run_directory import open_posterior
from manymodes.sampling.adoption.adopt import adopt_chains
from manymodes.sampling.chains import dimensions
from manymodes.sampling.chains.dimensions import data_groups, layout_of, with_reported

NETWORKS = {
    "one layer": Network(2, (3,)),
    "three layers": Network(2, (3, 2, 4)),
    "classes": Network(2, (3,), outputs=3, likelihood="categorical"),
    "noise": Network(2, (3,), likelihood="normal"),
    "two targets": Network(2, (3, 3), outputs=2, likelihood="normal", skip=True),
    "heteroscedastic": Network(2, (3,), outputs=2, likelihood="heteroscedastic"),
    "counts": Network(2, (3,), likelihood="negative-binomial"),
    "ard": Network(2, (3,), prior="ard:1"),
    "groups": Network(2, (3, 2), likelihood="normal", prior="fbm", skip=True),
    "sources": Network(2, (3,), prior="ih=normal:1*half-cauchy ho=normal:1*half-normal bh=normal:1"
                       " bo=normal:1"),
    "variable": Network(2, (3,), active="uniform"),
}  # fmt: skip


@dataclass
class Named:
    """A posterior of which only variables and data are asked."""

    network: Network | None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    data_file: Path | None = None

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(Variable(name, shape, 0) for name, shape in self.shapes.items())


def named(network: Network, **more: tuple[int, ...]) -> Any:
    return Named(network, {**network.weight_shapes, **network.scale_shapes, **more})


# ---------------------------------------------------------------- names and labels


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_variable_has_named_dimensions_with_a_label_for_each_place(kind: str) -> None:
    network = NETWORKS[kind]
    shapes = {**network.weight_shapes, **network.scale_shapes}
    layout = layout_of(named(network))
    assert set(layout.reported) == set(shapes) == set(layout.dims)
    for name, shape in shapes.items():
        labels = [layout.coords[dim] for dim in layout.dims[name]]
        assert tuple(map(len, labels)) == shape
        assert all(len(set(one)) == len(one) for one in labels)


def test_names_of_one_layer_are_those_of_the_matrices() -> None:
    dims = layout_of(named(NETWORKS["one layer"])).dims
    assert dims == {
        "W": ["unit", "input"],
        "b": ["unit"],
        "V": ["output", "unit"],
        "c": ["output"],
    }


def test_labels_of_later_layers_name_the_units_that_a_weight_joins() -> None:
    network = NETWORKS["three layers"]
    layout = layout_of(named(network))
    size = network.weight_shapes["W_deep"][0]
    weights = {
        "W": np.zeros((3, 2)),
        "W_deep": np.arange(size, dtype=float),
        "b": np.arange(9.0),
    }
    for layer, (matrix, bias) in enumerate(layers(network.hidden, weights), 1):
        for unit, value in enumerate(bias.astype(int).tolist(), 1):
            assert layout.coords["hidden_unit"][value] == f"{layer}.{unit}"
        if layer > 1:
            for (to, source), value in np.ndenumerate(matrix.astype(int)):
                label = f"{layer}.{to + 1} from {layer - 1}.{source + 1}"
                assert layout.coords["deep_weight"][value] == label


def test_scales_are_named_after_groups_and_sources() -> None:
    groups = layout_of(named(NETWORKS["groups"])).coords["weight_group"]
    assert groups == ["ih", "hh2", "bh1", "bh2", "ho", "io"]  # bo has a fixed scale
    sources = layout_of(named(NETWORKS["sources"])).coords["weight_source"]
    assert sources == ["ih from 1", "ih from 2", "ho from 1", "ho from 2", "ho from 3"]
    assert layout_of(named(NETWORKS["ard"])).dims["input_scale"] == ["input"]


def test_raw_variables_have_the_same_dimensions() -> None:
    network = NETWORKS["ard"]
    assert layout_of(named(network, W_raw=(3, 2))).dims["W_raw"] == ["unit", "input"]
    assert "W_raw" not in layout_of(named(network, W_raw=(6,))).dims


def test_other_programs_keep_the_names_of_arviz() -> None:
    plain: Any = Named(None, {"theta": (3,)})
    assert layout_of(plain).dims == {}
    network = NETWORKS["one layer"]
    own: Any = Named(network, {"weights": (4,)})  # not the variables of a network's program
    assert layout_of(own).dims == {}
    assert layout_of(named(network, unit=(2,))).dims == {}  # a dimension would hide a variable


def test_variables_are_reported_once() -> None:
    layout = layout_of(named(NETWORKS["one layer"]))
    W = np.random.default_rng(1).normal(size=(2, 5, 3, 2))
    values = {"W_raw": W.copy(), "W": W, "b_low": W[..., 0]}
    reported, raw, left_out = with_reported(values, layout)
    assert (set(reported), set(raw), left_out) == ({"W"}, {"b_low"}, {"W_raw": "W"})
    values["W_raw"][0, 0, 0, 0] += 1e-15
    assert set(with_reported(values, layout)[1]) == {"W_raw", "b_low"}


# ---------------------------------------------------------------- the data


@pytest.mark.parametrize(
    ("kind", "y"),
    [
        ("one layer", [0, 1, 1]),
        ("classes", [0, 2, 1]),
        ("counts", [0, 7, 3]),
        ("noise", [0.5, -1.0, 2.0]),
        ("two targets", [[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]]),
    ],
)
def test_data_are_what_the_network_was_given(kind: str, y: list[Any]) -> None:
    network = NETWORKS[kind]
    X = np.arange(6.0).reshape(3, 2)
    rest = {"exposure": [1.0, 2.0, 3.0]} if kind == "counts" else {}
    posterior: Any = Named(network, {}, network.data(X, y, **rest))  # type: ignore[arg-type]
    groups, said = data_groups(posterior)
    assert said == ""
    dims, values, _ = groups["observed_data"]["y"]
    assert dims == (["obs", "target"] if kind == "two targets" else ["obs"])
    assert values.tolist() == y
    assert values.dtype.kind == ("f" if network.likelihood_parts.is_real else "i")
    np.testing.assert_array_equal(groups["constant_data"]["X"][1], X)
    assert set(groups["constant_data"]) == {"X", *rest}


def test_large_data_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS["one layer"]
    posterior: Any = Named(network, {}, network.data(np.zeros((3, 2)), [0, 1, 1]))
    monkeypatch.setattr(dimensions, "_MOST_DATA", 8)
    groups, said = data_groups(posterior)
    assert groups == {}
    assert "9 values" in said


# ---------------------------------------------------------------- of a table


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of a table with names of the user, two real targets, and a category."""
    folder = tmp_path_factory.mktemp("named")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "size (cm)": rng.normal(10, 2, 30),
            "kind": rng.choice(["a", "b"], 30),
            "first": rng.normal(100, 5, 30),
            "second": rng.normal(size=30),
        }
    )
    frame.to_csv(folder / "table.csv", index=False)
    command = f"network {folder}/table.csv --target first --target second --likelihood normal"
    command += f" --categorical kind --hidden 3 --prior normal:1 --out {folder}/net --quiet"
    assert main(command.split()) == 0
    return folder / "net"


def described(folder: Path) -> Any:
    posterior = open_posterior(folder) if (folder / "posterior.json").exists() else None
    network = Network(3, (3,), outputs=2, likelihood="normal", prior="normal:1")
    data = posterior.data if posterior else {}
    shapes = {**network.weight_shapes, **network.scale_shapes}
    return Named(network, shapes, dict(data), folder / "data.json")


def test_coordinates_are_the_names_of_the_table(net: Path) -> None:
    posterior = described(net)
    coords = layout_of(posterior).coords
    assert coords["input"] == ["size (cm)", "kind=a", "kind=b"]
    assert coords["output"] == coords["target"] == ["first", "second"]
    _, _, about = data_groups(posterior)[0]["observed_data"]["y"]
    assert about["column"] == "first, second"
    assert about["mean"][0] == pytest.approx(100, abs=4)


def test_a_table_of_another_network_gives_no_names(net: Path) -> None:
    posterior = described(net)
    posterior.network = Network(2, (3,), outputs=2, likelihood="normal")
    posterior.shapes = {**posterior.network.weight_shapes, **posterior.network.scale_shapes}
    assert layout_of(posterior).coords["input"] == [1, 2]


def test_a_damaged_table_is_named(net: Path, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text("{}")
    posterior = described(net)
    posterior.data_file = tmp_path / "data.json"
    with pytest.raises(ResultsError, match=r"table\.json is damaged"):
        layout_of(posterior)


# ---------------------------------------------------------------- in a tree


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("network", "raw"),
    [
        (Network(2, (3,), prior="normal:1"), set()),
        (Network(2, (3,), prior="ard:1"), {"W_raw"}),
        (Network(2, (2, 2), prior="normal:1", constraint="ordered"), {"b_low", "b_step"}),
    ],
)
def test_a_tree_has_weights_once_and_predicts_by_them(
    network: Network, raw: set[str], tools: Any
) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(12, 2))
    posterior = Posterior.from_network(network, X, X[:, 0] > 0)
    eta = rng.normal(0, 0.5, size=(2, 20, posterior.dims))
    chains = made_chains(posterior, eta, rows=posterior.constrain_rows(eta))
    tree = chains.to_datatree(log_likelihood=False)
    drawn = tree["posterior"].to_dataset()
    assert set(drawn.data_vars) == {*network.weight_shapes, *network.scale_shapes}
    inside = set(tree["raw_posterior"].data_vars) if "raw_posterior" in tree.children else set()
    assert inside == raw
    weights = {name: drawn[name].values for name in network.weight_shapes}
    np.testing.assert_array_equal(network.predict(weights, X), posterior.predict(chains.rows, X))
    unit = "unit_1" if len(network.hidden) > 1 else "unit"
    with pytest.warns(AdoptionWarning):  # the draws are made up, and have no lp
        adopted = adopt_chains(posterior, tree, quiet=True)  # nothing is lost
    np.testing.assert_array_equal(adopted.rows, chains.rows)
    summary = arviz_stats.summary(tree, var_names=["W"], sample_dims=["chain", "draw"])
    assert len(summary) == network.weight_shapes["W"][0] * 2
    assert drawn["W"].sel({unit: 2, "input": 1}).shape == (2, 20)
    np.testing.assert_array_equal(tree["observed_data/y"], (X[:, 0] > 0).astype(int))
