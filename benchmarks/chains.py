"""The cost of many chains on XOR, scored and diagnosed, beside plain CmdStanPy."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from timing import alternate, ratio, show

from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import predictions_by_input
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.statistics.diagnostics import rhat, rhat_function
from manymodes.statistics.stacking import stack

TARGET = 240.0


def _settings(quick: bool) -> NutsSettings:
    return NutsSettings(warmup=200, draws=200) if quick else NutsSettings()


def sampled(posterior: Posterior, chains: int, quick: bool) -> Chains:
    """Run chains on two cores, with PSIS-LOO of each; stack and diagnose them."""
    found = run_chains(posterior, chains=chains, nuts=_settings(quick), workers=2, quiet=True)
    stack(found.lpd.T)
    rhat(found.eta)
    rhat_function(predictions_by_input(found))
    return found


def plain(posterior: Posterior, chains: int, quick: bool) -> None:
    """Run chains with CmdStanPy alone: no scores, no diagnostics."""
    import cmdstanpy

    logging.getLogger("cmdstanpy").disabled = True
    settings = _settings(quick)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.json")
        data.write_text(posterior.data_json, encoding="utf-8")
        model = cmdstanpy.CmdStanModel(exe_file=str(posterior.program.executable()))
        fit = model.sample(
            data=str(data),
            chains=chains,
            parallel_chains=2,
            iter_warmup=settings.warmup,
            iter_sampling=settings.draws,
            output_dir=folder,
            show_progress=False,
            seed=1,
        )
        fit.draws()


def run(posterior: Posterior, quick: bool) -> None:
    """Print the time of 256 chains and the cost of a chain relative to CmdStanPy's."""
    few, many = (8, 16) if quick else (32, 256)
    timed = alternate(
        {
            "ours": lambda: sampled(posterior, few, quick),
            "plain": lambda: plain(posterior, few, quick),
        },
        1 if quick else 3,
    )
    show(f"{few} chains, scored, stacked, diagnosed", timed["ours"].text())
    show(f"{few} chains, CmdStanPy alone (sampled and read)", timed["plain"].text())
    show("ratio ours : CmdStanPy, each chain", ratio(timed["ours"], timed["plain"]))
    whole = alternate({"ours": lambda: sampled(posterior, many, quick)}, 1)["ours"]
    show(f"{many} chains, scored, stacked, diagnosed", whole.text())
    if not quick:
        show("  target", f"{TARGET:g} s")
