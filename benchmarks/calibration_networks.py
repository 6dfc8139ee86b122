"""Whether the quoted errors of tempered runs are right: networks of 9 to 65 weights, exact cases.

calibration_networks.py [NAME ...] [--seeds N] [--first SEED] [--truth RUNS] [--modes] [--json FILE]

z is (log_z - truth) / error, the error that of the runs and of the truth together. The truth comes
from another method on the same density: sequential Monte Carlo by a population that climbs the
ladder once (2000 members, several runs, their scatter is its error). Cases whose name begins with
``exact-`` are those of tests/exact.py, where it is a closed form or a quadrature. Columns:
weights, truth, mean of log_z and of the quoted error, scatter of log_z, mean and standard
deviation of z, processor seconds and rounds of a seed (means). The verdict is "ok" where the
standard deviation of z is within 0.7 and 1.4 and its mean within 0.5 of 0.

D_KL is compared with its mean over the seeds. With --modes also the modes, as `manymodes.compare`
tells them apart: z of the share of each, with its copies, against the mean over all seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
from scipy import special

from exact import HARD, NAMES, make
from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import compare
from manymodes.modes.find import ModeSettings
from manymodes.networks.network import Network
from manymodes.sampling.nested import choose_base
from manymodes.sampling.tempered import Tempered, TemperedSettings, run_tempered
from manymodes.sampling.tempered.group_moves import group_entries
from manymodes.sampling.tempered.one_run import TemperedJob, config_of, tempered_runner
from manymodes.studies.xor import xor_data, xor_posteriors

LOW, HIGH, MOST_MEAN = 0.7, 1.4, 0.5
SAME_HEIGHT = 0.01  # nats between the peaks of copies
PROMINENT = 0.02  # share of the evidence that the copies of a mode have together
CLIMBS = 300
CLIMBERS = 2000
Figures = dict[str, float]


def network(
    units: int, activation: str = "tanh", likelihood: str = "bernoulli", prior: str = "normal:2"
) -> Posterior:
    """Return a network of two inputs on 220 points like those of noisy XOR, or on a surface."""
    rng = np.random.default_rng(0)
    centres = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    cloud = rng.choice(4, 220, p=np.array([30, 100, 10, 80]) / 220)
    X = centres[cloud] + rng.normal(0, 0.5, (220, 2))
    y = (cloud < 2).astype(float)
    if likelihood == "normal":
        y = np.sin(2 * X[:, 0]) * X[:, 1] + rng.normal(0, 0.3, 220)
    made = Network(2, (units,), activation=activation, prior=prior, likelihood=likelihood)
    return Posterior.from_network(made, X, y)


CASES: dict[str, Callable[[], Posterior]] = {
    "xor": lambda: xor_posteriors(xor_data())["full"],
    "tanh-2": lambda: network(2),
    "tanh-3": lambda: network(3),
    "tanh-4": lambda: network(4),
    "tanh-6": lambda: network(6),
    "tanh-8": lambda: network(8),
    "tanh-16": lambda: network(16),
    "tight-3": lambda: network(3, prior="normal:0.5"),
    "wide-3": lambda: network(3, prior="normal:5"),
    "sigmoid-3": lambda: network(3, "sigmoid"),
    "sigmoid-8": lambda: network(8, "sigmoid"),
    "regression-3": lambda: network(3, likelihood="normal"),
}


EXACT = {f"exact-{name}": name for name in (*NAMES, *HARD) if not name.endswith("_prior")}


def climbed(posterior: Posterior, runs: int) -> tuple[float, float, float]:
    """Return log_z by sequential Monte Carlo, its error, and the gradients of a run."""
    base = choose_base(posterior)
    moves = tuple(group_entries(posterior, base, 1))
    job = TemperedJob(posterior, base, moves, TemperedSettings(), "truth")
    found, gradients = [], 0.0
    for seed in range(runs):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "data.json").write_text(posterior.data_json)
            text = config_of(job, 7000 + seed, 1, folder) + f"climbers {CLIMBERS}\n"
            (folder / "config").write_text(text)
            command = [str(tempered_runner()), str(folder / "config")]
            said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        fields = next(line.split() for line in said.stdout.splitlines() if "@climbed" in line)
        found.append(float(fields[1]))
        gradients = float(fields[2])
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(runs)), gradients


def processor_seconds() -> float:
    """Return what this process and its children have used."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def shares_of_modes(tempered: Tempered, seed: int) -> np.ndarray:
    """Return height, evidence share and its error of each kind of mode of a seed, shape (K, 3)."""
    posterior = tempered.posterior
    settings = ModeSettings(climbs=CLIMBS)
    found = compare(posterior, tempered=tempered, settings=settings, seed=seed, quiet=True)
    kinds = {}
    for basin, label in enumerate(found.labels.tolist()):
        mode, copies = found.summaries[label - 1], int(found.modes.copies[basin])
        if np.isfinite(mode.evidence.value):
            share = (copies * mode.evidence.value, copies * mode.evidence.sd)
            kinds[int(found.modes.kinds[basin])] = (mode.height, *share)
    return np.array(list(kinds.values()))


def scores_of_modes(runs: list[Tempered], seeds: range) -> list[float]:
    """Return z of the evidence share of each kind of mode that is prominent.

    A kind is a mode with its copies, which have equal shares. Kinds of one height are one kind. The
    truth is the mean over all seeds, whose own error is taken off.
    """
    by_seed = [shares_of_modes(one, seed) for one, seed in zip(runs, seeds, strict=True)]
    heights, shares, errors = np.concatenate(by_seed).T
    order = np.argsort(heights)
    kinds = np.empty(len(order), dtype=int)
    kinds[order] = np.concatenate([[0], np.cumsum(np.diff(heights[order]) > SAME_HEIGHT)])
    scores: list[float] = []
    for kind in range(kinds.max() + 1):
        own = kinds == kind
        truth = shares[own].sum() / len(runs)
        if truth < PROMINENT or own.sum() != len(runs):
            continue
        z = (shares[own] - truth) / errors[own] / np.sqrt(1 - 1 / len(runs))
        print(
            f"  height {heights[own].mean():8.2f}: {truth:.3f} of the evidence, error "
            f"{errors[own].mean():.3f}, scatter {shares[own].std(ddof=1):.3f}, sd of z "
            f"{np.sqrt(np.mean(z**2)):.2f}"
        )
        scores += z.tolist()
    return scores


def measured(name: str, seeds: range, truth_runs: int, modes: bool) -> Figures:
    """Return the figures of one case."""
    if name in EXACT:
        exact = make(EXACT[name])
        posterior, truth, truth_sd = exact.posterior, exact.found_log_z, 0.0
    else:
        posterior = CASES[name]()
        truth, truth_sd, _ = climbed(posterior, truth_runs)
    begun = processor_seconds()
    runs = [run_tempered(posterior, seed=seed, quiet=True) for seed in seeds]
    seconds = (processor_seconds() - begun) / len(runs)
    log_z = np.array([one.log_z for one in runs])
    errors = np.array([one.log_z_sd for one in runs])
    z = (log_z - truth) / np.hypot(errors, truth_sd)
    d_kl = np.array([one.d_kl for one in runs])
    z_kl = (d_kl[:, 0] - d_kl[:, 0].mean()) / d_kl[:, 1] / np.sqrt(1 - 1 / len(runs))
    figures = {
        "weights": posterior.dims,
        "truth": truth,
        "truth_sd": truth_sd,
        "log_z": float(log_z.mean()),
        "error": float(errors.mean()),
        "scatter": float(log_z.std(ddof=1)),
        "z_mean": float(z.mean()),
        "z_sd": float(z.std(ddof=1)),
        "z_largest": float(np.abs(z).max()),
        "d_kl": float(d_kl[:, 0].mean()),
        "d_kl_error": float(d_kl[:, 1].mean()),
        "d_kl_z_sd": float(np.sqrt(np.sum(z_kl**2) / len(runs))),
        "seconds": seconds,
        "rounds": float(np.mean([one.runs[0].last.number for one in runs])),
        "mixes": float(np.mean([one.mixes for one in runs])),
        "joint": float(special.logsumexp(log_z) - np.log(len(log_z))),
    }
    if modes:
        found = scores_of_modes(runs, seeds)
        figures |= {
            "modes": len(found),
            "modes_z_sd": float(np.sqrt(np.mean(np.square(found)))),
            "modes_z_largest": float(np.abs(found).max()) if found else float("nan"),
        }
    return figures


def main() -> None:
    """Measure, print a line for each case, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--truth", type=int, default=8, help="runs behind the truth")
    parser.add_argument("--modes", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.names) - CASES.keys() - EXACT.keys()
    if unknown:
        sys.exit(
            f"unknown: {', '.join(sorted(unknown))}; give some of {', '.join((*CASES, *EXACT))}"
        )
    print(
        "case          weights            truth    log_z   error  scatter  z mean  z sd  largest"
        "  cpu s  rounds"
    )
    kept: dict[str, Figures] = {}
    for name in options.names or CASES:
        seeds = range(options.first, options.first + options.seeds)
        one = measured(name, seeds, options.truth, options.modes)
        kept[name] = one
        good = LOW <= one["z_sd"] <= HIGH and abs(one["z_mean"]) <= MOST_MEAN
        line = (
            f"{name:13} {one['weights']:7.0f} {one['truth']:9.3f} ± {one['truth_sd']:.3f} "
            f"{one['log_z']:9.3f} {one['error']:7.3f} {one['scatter']:8.3f} {one['z_mean']:7.2f} "
            f"{one['z_sd']:5.2f} {one['z_largest']:8.1f} {one['seconds']:6.1f} {one['rounds']:7.1f}"
            f"  {'ok' if good else 'off'}; D_KL {one['d_kl']:.2f} ± {one['d_kl_error']:.2f}, "
            f"sd of z {one['d_kl_z_sd']:.2f}"
        )
        if options.modes:
            line += f"; {one['modes']:.0f} z of modes, "
            line += f"sd {one['modes_z_sd']:.2f}, largest {one['modes_z_largest']:.1f}"
        print(line, flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
