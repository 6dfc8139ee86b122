"""Whether the quoted errors of log evidences are right, against exact values.

calibration.py [NAME ...] [--seeds N] [--nlive N] [--runs R] [--reference prior|chains]
               [--repeats N] [--jobs N] [--json FILE]

Nested sampling of posteriors whose evidence is known (tests/exact.py: one for every constrained
type of Stan, the eggbox, two mixtures in ten dimensions, and three priors), over many seeds.
z is (log_z - exact) / quoted error. Columns: dimension, exact log evidence, mean of log_z and of
the quoted error, root mean square of log_z - exact, mean and standard deviation of z, largest
|z|, smallest p-value of the insertion-index tests times the number of seeds, evaluations and
seconds of a seed (medians). The verdict is "ok" when the standard deviation of z is within 0.7
and 1.4, no seed is further off than 3 errors, and the mean of z is within 3 / sqrt(seeds) of 0.
Of right errors 20 seeds call the spread wrong in 4 % of posteriors, and find one beyond 3 errors
in 5 %: the last line, over all posteriors together, tells such chance from a fault.

Of the mixtures also the modes, as `manymodes.compare` tells them apart and weighs them: z of the
share and of the log evidence of each, over the seeds that found it; the posterior weight that
it puts where the larger component is another one (mislabelled); how many seeds found it; and
the recovery rate, which is how many of all single runs have a point in its typical set.

With ``--reference chains`` each seed begins with chains of its own. Those of the mixture whose
modes differ in width begin in the modes, half in each: no chain finds the narrow one, whose basin
has about 1e-9 of the prior. How it is weighed can be measured like that, not whether it is found.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np

from exact import HARD, NAMES, Component, Exact, make
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.find import ModeSettings
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings

LOW, HIGH = 0.7, 1.4
"""The standard deviation of z is to lie between these."""
FURTHEST = 3.0
"""No z is to be further from 0, and no mean of n z's than this over sqrt(n)."""

CHAINS = 16
NUTS = NutsSettings(warmup=300, draws=200)
CLIMBS = 100


@dataclass(frozen=True)
class Plan:
    """How each seed is sampled."""

    nlive: int
    runs: int
    reference: str
    repeats: int | None


def scores(values: Sequence[float], errors: Sequence[float], exact: float) -> dict[str, float]:
    """Return how values with errors, one of each seed, lie about the exact value."""
    off = np.asarray(values) - exact
    z = off / np.asarray(errors)
    return {
        "seeds": len(z),
        "mean": float(np.mean(values)),
        "error": float(np.mean(errors)),
        "rms": float(np.sqrt(np.mean(off**2))),
        "mean_z": float(z.mean()),
        "sd_z": float(z.std(ddof=1)),
        "largest_z": float(np.abs(z).max()),
        "beyond": int((np.abs(z) > FURTHEST).sum()),
    }


def verdict(found: dict[str, float]) -> str:
    """Return ``ok``, or what is wrong."""
    said = []
    if not LOW <= found["sd_z"] <= HIGH:
        said.append("spread")
    if found["largest_z"] > FURTHEST:
        said.append(f"{found['beyond']} beyond {FURTHEST:g}")
    if abs(found["mean_z"]) > FURTHEST / np.sqrt(found["seeds"]):
        said.append("bias")
    return ", ".join(said) or "ok"


def sample(exact: Exact, plan: Plan, seed: int) -> Nested:
    """Integrate a posterior with one seed."""
    given: dict[str, Any] = {}
    if plan.reference == "chains":
        with TemporaryDirectory() as scratch:
            given["chains"] = run_chains(
                exact.posterior,
                chains=CHAINS,
                nuts=NUTS,
                init=starts(exact, Path(scratch)),
                seed=seed,
                workers=1,
                quiet=True,
            )
    return run_nested(
        exact.posterior,
        runs=plan.runs,
        polychord=PolyChordSettings(nlive=plan.nlive, num_repeats=plan.repeats),
        reference=plan.reference,
        seed=seed,
        workers=1,
        quiet=True,
        **given,
    )


def starts(exact: Exact, folder: Path) -> str:
    """Return where chains begin: anywhere, or in modes of different widths."""
    if len({component.width for component in exact.components}) < 2:
        return "radius:2"
    rng = np.random.default_rng(1)
    points = [
        one.centre + one.width * rng.normal(size=len(one.centre))
        for i in range(CHAINS)
        for one in [exact.components[i % len(exact.components)]]
    ]
    path = folder / "starts.json"
    path.write_text(json.dumps([{"x": point.tolist()} for point in points]))
    return str(path)


def measure(name: str, plan: Plan, seed: int) -> dict[str, Any]:
    """Return the figures of one seed."""
    exact = make(name)
    begun = time.monotonic()
    nested = sample(exact, plan, seed)
    found: dict[str, Any] = {
        "seed": seed,
        "dims": exact.posterior.dims,
        "exact": exact.found_log_z,
        "log_z": nested.log_z,
        "error": nested.log_z_sd,
        "volume_error": nested.log_z_volume_sd,
        "by_run": nested.log_z_by_run.tolist(),
        "insertion_p": nested.insertion_p,
        "evaluations": nested.evaluations,
        "failures": sum(run.failures for run in nested.runs),
        "seconds": time.monotonic() - begun,
    }
    if exact.components:
        settings = ModeSettings(climbs=CLIMBS)
        comparison = compare(
            exact.posterior, nested=nested, settings=settings, seed=seed, quiet=True
        )
        found["modes"] = comparison.modes.n_modes
        found["components"] = components(exact, nested, comparison)
    return found


def components(exact: Exact, nested: Nested, comparison: Comparison) -> list[dict[str, Any]]:
    """Return what one seed says of each known mode; NaN where it has not found it."""
    larger = np.argmax([c.log_density(nested.rows) for c in exact.components], axis=0)
    peaks = comparison.modes.peaks  # unbounded coordinates are the parameters themselves
    found = []
    for number, component in enumerate(exact.components):
        at = np.flatnonzero(component.log_density(peaks) > component.typical)
        ids = comparison.labels[at]
        weights = [comparison.summaries[i - 1] for i in ids]
        one = weights[0] if len(weights) == 1 else None
        mine = np.isin(comparison.nested_modes, ids)
        wrong = comparison.nested_weights[mine != (larger == number)].sum()
        found.append(
            {
                "share": one.evidence.value if one else float("nan"),
                "share_error": one.evidence.sd if one else float("nan"),
                "log_z": one.log_z.value if one else float("nan"),
                "log_z_error": one.log_z.sd if one else float("nan"),
                "mislabelled": float(wrong),
                "recovered": reached(component, nested),
            }
        )
    return found


def reached(component: Component, nested: Nested) -> list[bool]:
    """Return of each run whether it has a point in the mode's typical set."""
    inside = component.log_density(nested.rows) > component.typical
    return [bool(inside[nested.run_of == run].any()) for run in range(len(nested.runs))]


def component_scores(exact: Exact, rows: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return how the seeds weigh one known mode."""
    share = exact.components[number].share
    all_seeds = [row["components"][number] for row in rows]
    # A share without an error is that of the only mode that was found.
    seen = [one for one in all_seeds if one["share_error"] > 0]
    runs = [here for one in all_seeds for here in one["recovered"]]
    found = {
        "exact": share,
        "found": len(seen),
        "seeds": len(rows),
        "mislabelled": float(np.max([one["mislabelled"] for one in all_seeds])),
        "recovered": sum(runs),
        "runs": len(runs),
    }
    if len(seen) > 1:
        log_z = exact.found_log_z + float(np.log(share))
        for key, truth in (("share", share), ("log_z", log_z)):
            values, errors = ([one[name] for one in seen] for name in (key, f"{key}_error"))
            found[key] = scores(values, errors, truth)
    return found


HEADER = (
    f"{'':27s}{'D':>3s}{'exact':>10s}{'log_z':>10s}{'error':>7s}{'rms':>7s}"
    f"{'mean z':>8s}{'sd z':>6s}{'|z|':>6s}{'ins. p':>8s}{'evals':>9s}{'s':>6s}  verdict"
)


def show(exact: Exact, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print the line of one posterior and return its figures."""
    found = scores([r["log_z"] for r in rows], [r["error"] for r in rows], rows[0]["exact"])
    p = min(1.0, min(r["insertion_p"] for r in rows) * len(rows))
    failures = sum(r["failures"] for r in rows)
    print(
        f"{exact.name:27s}{rows[0]['dims']:3d}{rows[0]['exact']:10.3f}{found['mean']:10.3f}"
        f"{found['error']:7.3f}{found['rms']:7.3f}{found['mean_z']:+8.2f}{found['sd_z']:6.2f}"
        f"{found['largest_z']:6.1f}{p:8.2g}{np.median([r['evaluations'] for r in rows]):9.0f}"
        f"{np.median([r['seconds'] for r in rows]):6.1f}  {verdict(found)}"
        + (f"; {failures} evaluations failed" if failures else ""),
        flush=True,
    )
    summary: dict[str, Any] = {**found, "verdict": verdict(found), "rows": rows}
    if exact.components:
        summary["components"] = [
            component_scores(exact, rows, number) for number in range(len(exact.components))
        ]
        for number, one in enumerate(summary["components"], 1):
            _show_component(number, one)
        counts = [r["modes"] for r in rows]
        print(f"  modes found: {min(counts)} to {max(counts)}", flush=True)
    return summary


def _show_component(number: int, one: dict[str, Any]) -> None:
    print(
        f"  mode {number}: share {one['exact']:.3f}; weighed by {one['found']} of {one['seeds']} "
        f"seeds, reached by {one['recovered']} of {one['runs']} runs; "
        f"mislabelled at most {one['mislabelled']:.1g}"
    )
    for key in ("share", "log_z"):
        if key in one:
            s = one[key]
            print(
                f"    {key:6s} {s['mean']:8.3f} ± {s['error']:.3f}, z {s['mean_z']:+.2f} on "
                f"average, sd {s['sd_z']:.2f}, largest {s['largest_z']:.1f}: {verdict(s)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(NAMES)} (all these); {', '.join(HARD)}",
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--nlive", type=int, default=250)
    parser.add_argument("--runs", type=int, default=4, help="of each seed, merged (4)")
    parser.add_argument("--repeats", type=int, help="slices between two samples (PolyChord's own)")
    parser.add_argument("--reference", default="prior", choices=("prior", "chains"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="seeds at once (cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in (*NAMES, *HARD)]
    if unknown:
        parser.error(f"no posterior '{unknown[0]}': choose from {', '.join((*NAMES, *HARD))}")
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds} is not 2 or more")
    plan = Plan(options.nlive, options.runs, options.reference, options.repeats)
    make(NAMES[0]).posterior.compile()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(f"{options.seeds} seeds, nlive {plan.nlive}, runs {plan.runs}, base {plan.reference}")
    print(HEADER, flush=True)
    kept = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in options.names or NAMES:
            rows = list(pool.map(measure, [name] * len(seeds), [plan] * len(seeds), seeds))
            kept[name] = show(make(name), rows)
            if options.json is not None:
                options.json.write_text(json.dumps({"plan": vars(plan), "found": kept}))
    failed = [name for name, found in kept.items() if found["verdict"] != "ok"]
    print(
        f"{len(kept) - len(failed)} of {len(kept)} calibrated" + (f"; not {failed}" * bool(failed))
    )
    print(together([row for found in kept.values() for row in found["rows"]]))


def together(rows: list[dict[str, Any]]) -> str:
    """Return a line on the z-scores of all posteriors."""
    z = np.array([(row["log_z"] - row["exact"]) / row["error"] for row in rows])
    beyond = int((np.abs(z) > FURTHEST).sum())
    return (
        f"all {len(z)} z-scores: mean {z.mean():+.2f} ± {z.std(ddof=1) / np.sqrt(len(z)):.2f}, "
        f"standard deviation {z.std(ddof=1):.2f}, {beyond} beyond {FURTHEST:g}"
    )


if __name__ == "__main__":
    main()
