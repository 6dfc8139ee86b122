"""Noisy XOR in a page: one network, with and without a constraint, seen by both engines.

The data and the network are those of Yallup et al. (2022, arXiv:2205.11151). `manymodes study
xor` does the same with more figures; here is what it takes in Python.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import manymodes as mm
from manymodes.studies import XOR_DATA_SEED
from manymodes.toolchain import find


def main() -> None:
    """Sample, integrate and compare both posteriors; print their modes."""
    parser = argparse.ArgumentParser(description="Noisy XOR: modes with and without a constraint.")
    parser.add_argument("--chains", type=int, default=64, help="NUTS chains of each posterior")
    parser.add_argument("--nlive", type=int, default=250, help="live points of each nested run")
    parser.add_argument("--out", type=Path, help="write a report into this folder")
    options = parser.parse_args()

    X, y = noisy_xor()
    comparisons = {}
    for name, constraint in {"full": "none", "constrained": "pd-skew"}.items():
        network = mm.Network(
            inputs=2, hidden=(2,), activation="sigmoid", prior="uniform:5", constraint=constraint
        )
        posterior = mm.Posterior.from_network(network, X, y, name)
        chains = mm.run_chains(posterior, chains=options.chains)
        tempered = mm.run_tempered(posterior)
        nested = mm.run_nested(posterior, polychord=mm.PolyChordSettings(nlive=options.nlive))
        comparisons[name] = mm.compare(posterior, chains=chains, nested=nested, tempered=tempered)

    for name, found in comparisons.items():
        describe(name, found)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        mm.write_report(
            options.out / "report.html",
            comparisons,
            title="Noisy XOR",
            introduction="One network, with and without a constraint on its input weights.",
            settings={"chains": options.chains, "nlive": options.nlive},
            toolchain=find().as_dict(),
        )
        print(f"\nReport: {options.out / 'report.html'}")


def noisy_xor() -> tuple[np.ndarray, np.ndarray]:
    """Draw the study's training set: four clouds on a square, each diagonal a class."""
    corners = np.repeat([(1, 1), (-1, -1), (1, -1), (-1, 1)], [30, 100, 10, 80], axis=0)
    rng = np.random.default_rng(np.random.SeedSequence(XOR_DATA_SEED).spawn(1)[0])
    X = corners + rng.normal(scale=0.5, size=corners.shape)
    return X, (corners.prod(axis=1) > 0).astype(int)


def describe(name: str, found: mm.Comparison) -> None:
    """Print the evidence of a posterior and the three weights of its prominent modes."""
    log_z = found.headline.log_z
    print(
        f"\n{name}: log_z = {log_z.value:.2f} ± {log_z.sd:.2f} nats, "
        f"{len(found.prominent)} prominent modes, {found.prominent_functions} functions, "
        f"R-hat {np.nanmax(found.rhat_weights):.2f} in weight space and "
        f"{np.nanmax(found.rhat_function):.2f} on predictions"
    )
    print("mode  function  evidence  stacking  occupancy")
    for mode in found.prominent:
        shares = (mode.evidence.value, mode.stacking.value, mode.occupancy.value)
        print(f"{mode.id:4d}  {mode.function:8d}  {{:8.1%}}  {{:8.1%}}  {{:9.1%}}".format(*shares))


if __name__ == "__main__":  # the workers that sample chains import this file
    main()
