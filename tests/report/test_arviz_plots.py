"""The figures of arviz-plots, on what a run leaves: both are of the same environment."""

from __future__ import annotations

import arviz_plots
import arviz_stats
import matplotlib as mpl
import pytest

import manymodes as mm
from manymodes.results.run_directory import write_chains, write_stacked
from manymodes.runtime.storage import write_json
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.stacking import stack

OF_CHAINS = (
    "plot_autocorr",
    "plot_convergence_dist",
    "plot_dist",
    "plot_ess",
    "plot_ess_evolution",
    "plot_forest",
    "plot_mcse",
    "plot_pair",
    "plot_parallel",
    "plot_rank",
    "plot_rank_dist",
    "plot_ridge",
    "plot_trace",
    "plot_trace_dist",
)
OF_DRAWS = ("plot_dist", "plot_forest", "plot_pair")


@pytest.fixture(scope="module")
def run(xor_chains: Chains, tmp_path_factory: pytest.TempPathFactory) -> mm.Results:
    """A run directory with the draws of chains, opened."""
    mpl.use("Agg")
    folder = tmp_path_factory.mktemp("run")
    write_chains(xor_chains, folder)
    write_stacked(xor_chains, stack(xor_chains.lpd.T).weights, folder, seed=1)
    (folder / "posterior").mkdir()
    write_json(folder / "summary.json", {"posteriors": {"full": {}}})
    return mm.load(folder)


@pytest.mark.parametrize("name", OF_CHAINS)
def test_figures_of_chains(run: mm.Results, name: str) -> None:
    tree = run.chains
    drawn = getattr(arviz_plots, name)(tree, var_names=["b"], backend="matplotlib")
    assert drawn.viz.children or drawn.viz.data_vars
    mpl.pyplot.close("all")


@pytest.mark.parametrize("name", OF_DRAWS)
def test_figures_of_stacked_draws(run: mm.Results, name: str) -> None:
    drawn = getattr(arviz_plots, name)(run.stacked, var_names=["b"], backend="matplotlib")
    assert drawn.viz.children or drawn.viz.data_vars
    mpl.pyplot.close("all")


def test_the_figure_of_energies(run: mm.Results) -> None:
    drawn = arviz_plots.plot_energy(run.chains, backend="matplotlib")
    assert drawn.viz.children or drawn.viz.data_vars
    mpl.pyplot.close("all")


def test_the_figure_of_pareto_shapes(run: mm.Results) -> None:
    found = arviz_stats.loo(run.chains, pointwise=True)
    assert arviz_plots.plot_khat(found, backend="matplotlib").viz.children
    mpl.pyplot.close("all")
