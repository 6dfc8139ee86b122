"""The runs that a comparison of models is made of: opened, named apart, joined where they belong.

A model is a posterior with what was drawn from it. Its chains may be in one run directory and its
nested runs in another: directories of one posterior are one model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError
from manymodes.modes.comparison import Comparison
from manymodes.modes.held_out import HeldOut, kept_held_out
from manymodes.networks.network import Network
from manymodes.results.run_directory import Results, open_posterior
from manymodes.sampling.chains.chains import Chains, load_chains
from manymodes.sampling.nested import Nested, load_nested
from manymodes.sampling.tempered import Tempered, load_tempered

_CENTRED = {None: "centred by size", True: "centred", False: "not centred"}
_IN_STUDY = "*/posterior/posterior.json"


@dataclass(frozen=True, eq=False)
class ModelRun:
    """One posterior and what was drawn from it.

    Attributes
    ----------
    posterior : Posterior
        Program and data.
    chains, nested, tempered : optional
        The draws of either engine.
    held_out : HeldOut, optional
        Rows that the posterior was not given.
    folders : tuple of Path
        The run directories that all this is from.
    """

    posterior: Posterior
    chains: Chains | None = None
    nested: Nested | None = None
    held_out: HeldOut | None = None
    folders: tuple[Path, ...] = ()
    tempered: Tempered | None = None

    @property
    def is_integrated(self) -> bool:
        """Whether an engine has integrated it."""
        return self.nested is not None or self.tempered is not None

    @property
    def network(self) -> Network | None:
        """The network that the posterior is of."""
        return self.posterior.network

    @property
    def called(self) -> str:
        """How a message names it."""
        return " and ".join(map(str, self.folders)) or f"the posterior '{self.posterior.name}'"

    @property
    def dims(self) -> int:
        """The dimension of its unconstrained space."""
        if self.network is not None:
            return self.network.parameter_count
        return self.posterior.dims if self.chains is None else int(self.chains.eta.shape[-1])

    @property
    def scores_leave_one_out(self) -> bool:
        """Whether its chains have leave-one-out scores of two observations or more."""
        return self.chains is not None and int(self.chains.scored.sum()) > 1


Run = Path | str | Results | Comparison | ModelRun
"""What a model can be given as: a run directory or the directory of a study, or what was found."""


def is_study(folder: Path) -> bool:
    """Return whether a directory holds several posteriors, each in a folder of its own."""
    return not (folder / "posterior").is_dir() and any(folder.glob(_IN_STUDY))


def open_runs(runs: Sequence[Run]) -> tuple[ModelRun, ...]:
    """Open the models of several runs, in the order in which they first appear.

    Raises
    ------
    InputError
        A run is of a prior alone, or two runs of one posterior hold the same engine's draws.
    ResultsError
        A directory holds no run, or a file in it is damaged.
    """
    found: dict[tuple[str, ...], ModelRun] = {}
    for run in runs:
        for one in _opened(run):
            if one.posterior.prior_only:
                raise InputError(f"{one.called} is a run of the prior alone: leave it out")
            key = tuple(one.posterior.identity.values())
            found[key] = _joined(found[key], one) if key in found else one
    return tuple(found.values())


def _opened(run: Run) -> list[ModelRun]:
    if isinstance(run, ModelRun):
        return [run]
    if isinstance(run, Comparison):
        return [ModelRun(run.posterior, run.chains, run.nested, tempered=run.tempered)]
    folder = run.folder if isinstance(run, Results) else Path(run)
    if (folder / "posterior").is_dir():
        return [_read(folder)]
    if is_study(folder):
        return [_read(path.parents[1]) for path in sorted(folder.glob(_IN_STUDY))]
    raise ResultsError(f"{folder} holds no run: make one with sample or evidence")


def _read(folder: Path) -> ModelRun:
    posterior = open_posterior(folder / "posterior")
    chains, nested = load_chains(posterior, folder), load_nested(posterior, folder)
    tempered = load_tempered(posterior, folder)
    if chains is None and nested is None and tempered is None:
        raise ResultsError(f"{folder} holds no draws of any engine: finish its run first")
    held_out = kept_held_out(folder / "posterior")
    return ModelRun(posterior, chains, nested, held_out, (folder,), tempered)


def _joined(one: ModelRun, other: ModelRun) -> ModelRun:
    """Return what the engines made of one posterior in different directories."""
    for engine in ("chains", "nested", "tempered"):
        if getattr(one, engine) is not None and getattr(other, engine) is not None:
            raise InputError(
                f"{one.called} and {other.called} hold {engine} of the same posterior: "
                "give one of them"
            )
    return replace(
        one,
        chains=one.chains or other.chains,
        nested=one.nested or other.nested,
        tempered=one.tempered or other.tempered,
        held_out=one.held_out or other.held_out,
        folders=one.folders + other.folders,
    )


# ---------------------------------------------------------------------------- names


def network_facts(network: Network) -> dict[str, str]:
    """Return what a network is, each argument in a few characters."""
    return {
        "hidden": "H=" + "x".join(map(str, network.hidden)),
        "inputs": f"M={network.inputs}",
        "activation": network.activation,
        "likelihood": network.likelihood,
        "constraint": "unconstrained" if network.constraint == "none" else network.constraint,
        "prior": network.prior,
        "sigma_scale": f"sigma_scale={network.sigma_scale:g}",
        "sigma": "unknown sigma" if network.sigma is None else f"sigma={network.sigma:g}",
        "skip": "skip" if network.skip else "no skip",
        "centred": _CENTRED[network.centred],
        "active": network.active or "all units",
    }


def names(models: Sequence[ModelRun]) -> tuple[str, ...]:
    """Name models apart: networks by what differs between them, the others by their directory.

    Where that does not tell two networks apart, or not all are networks, it stands in brackets
    after the directory.
    """
    facts = [network_facts(m.network) if m.network is not None else {} for m in models]
    keys = next((list(one) for one in facts if one), [])
    differ = [key for key in keys if len({one[key] for one in facts if one}) > 1]
    labels = [" ".join(one[key] for key in differ if one) for one in facts]
    if all(labels) and len(set(labels)) == len(labels):
        return tuple(labels)
    parts = [m.folders[0].resolve().parts if m.folders else (m.posterior.name,) for m in models]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts) and depth < max(map(len, parts)):
        depth += 1
    short = ["/".join(p[-depth:]) for p in parts]
    given = [f"{s} ({label})" if label else s for s, label in zip(short, labels, strict=True)]
    total, seen = Counter(given), Counter[str]()
    for i, name in enumerate(given):  # posteriors in memory may share a name
        seen[name] += 1
        given[i] = f"{name} #{seen[name]}" if total[name] > 1 else name
    return tuple(given)
