"""Noisy XOR over data seeds: how many modes there are depends on the noise that was drawn.

For each data seed and each reading of the paper's "variance of 0.5", both posteriors are
integrated by nested sampling and their prominent modes counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison, compare
from manymodes.results.run_directory import run_directory
from manymodes.runtime.storage import claim, read_json, write_json
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.studies.conduct import Effort
from manymodes.studies.xor import CONSTRAINTS, share_inside, xor_data, xor_posteriors

READINGS = {
    "standard deviation 0.5": 0.5,
    "variance 0.5": float(np.sqrt(0.5)),
}
"""The two readings of the paper's noise, as standard deviations."""

TABLE = "xor_seeds.json"

_COLUMNS = (
    "data seed",
    "full: modes",
    "functions",
    "log_z",
    "constrained: modes",
    "functions",
    "log_z",
    "second mode's weight",
    "share of the full posterior inside",
)


def run_xor_seeds(
    out: Path,
    *,
    data_seeds: int = 20,
    effort: Effort | None = None,
) -> dict[str, Any]:
    """Count the modes for data seeds 1 to ``data_seeds``; return and keep the tables.

    Parameters
    ----------
    out : Path
        The run directory; the tables are its ``xor_seeds.json``.
    data_seeds : int
        How many data seeds.
    effort : Effort, optional
        How much is sampled, and how; its chains are not used.

    Raises
    ------
    InputError
        A setting is out of its range, or the directory cannot be used.
    """
    if data_seeds < 1:
        raise InputError(f"data-seeds: {data_seeds} is not 1 or more")
    effort = effort or Effort()
    given = effort.nested.polychord
    polychord = replace(given, nlive=given.nlive or 250, precision=given.precision or 1e-3)
    nested = replace(effort.nested, polychord=polychord)
    effort = replace(effort, nested=nested)
    settings = {"runs": nested.runs, "seed": nested.seed, "polychord": polychord.as_dict()}
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        tables = []
        for reading, noise_sd in READINGS.items():
            rows = []
            for data_seed in range(1, data_seeds + 1):
                kept = out / f"sd-{noise_sd:.4f}-seed-{data_seed:03d}"
                path = kept / "modes.json"
                if not path.exists():
                    found = _integrate(kept, noise_sd, data_seed, effort)
                    write_json(path, found)
                rows.append(_row(data_seed, read_json(path)))
            tables.append(
                {
                    "title": f"Noise with {reading}",
                    "columns": list(_COLUMNS),
                    "rows": rows,
                    "caption": _caption(rows, nested.runs, polychord),
                }
            )
        content = {
            "command": f"manymodes study xor-seeds --nlive {polychord.nlive} --runs {nested.runs}",
            "settings": settings,
            "tables": tables,
        }
        write_json(out / TABLE, content)
    return content


def _integrate(out: Path, noise_sd: float, data_seed: int, effort: Effort) -> dict[str, Any]:
    found: dict[str, Any] = {}
    data = xor_data(data_seed, noise_sd)
    for name, posterior in xor_posteriors(data, kernel=effort.kernel).items():
        nested = run_nested(posterior, effort.nested, **effort.at(out / name))
        comparison = compare(posterior, nested=nested, seed=effort.seed, quiet=effort.quiet)
        found[name] = _entry(comparison)
        if CONSTRAINTS[name] == "none":
            inside = share_inside(comparison)
            found["inside"], found["inside_sd"] = inside.value, inside.sd
    return found


def _entry(comparison: Comparison) -> dict[str, Any]:
    assert comparison.nested is not None
    second = comparison.summaries[1].evidence if len(comparison.summaries) > 1 else None
    return {
        "prominent_modes": len(comparison.prominent),
        "prominent_functions": comparison.prominent_functions,
        "log_z": comparison.nested.log_z,
        "log_z_sd": comparison.nested.log_z_sd,
        "second": second.value if second else 0.0,
        "second_sd": second.sd if second else 0.0,
    }


def _row(data_seed: int, found: dict[str, Any]) -> list[str]:
    row = [str(data_seed)]
    for name in CONSTRAINTS:
        entry = found[name]
        row += [
            str(entry["prominent_modes"]),
            str(entry["prominent_functions"]),
            f"{entry['log_z']:.2f} ± {entry['log_z_sd']:.2f}",
        ]
    second, sd = found["constrained"]["second"], found["constrained"]["second_sd"]
    row.append(f"{100 * second:.2f} ± {100 * sd:.2f} %")
    row.append(f"{100 * found['inside']:.1f} ± {100 * found['inside_sd']:.1f} %")
    return row


def _caption(rows: list[list[str]], runs: int, polychord: PolyChordSettings) -> str:
    full = sorted(int(row[1]) for row in rows)
    constrained = [int(row[4]) for row in rows]
    middle = full[len(full) // 2]
    return (
        f"Prominent modes of the full posterior: {full[0]} to {full[-1]}, median {middle}. "
        f"The constrained posterior has two or more in {sum(n >= 2 for n in constrained)} of "
        f"{len(rows)} data sets, exactly two in {sum(n == 2 for n in constrained)}. "
        f"{runs} runs of {polychord.nlive} live points each, merged."
    )


def tables_text(content: dict[str, Any]) -> str:
    """Return the tables as aligned text."""
    parts = []
    for table in content["tables"]:
        cells = [list(table["columns"]), *table["rows"]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        parts.append("\n".join([table["title"], *lines, table["caption"]]))
    return "\n\n".join(parts)
