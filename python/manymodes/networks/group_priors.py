"""Priors by group: each group of a network's weights has a family and a scale of its own.

The groups, in the order of the Stan program ``mlp_general``, with the names that FBM gives them:

=======  ==========================================================================
``ih``   inputs to the first hidden layer
``hh2``  first hidden layer to the second, and so on; ``hh`` is all of them
``bh1``  biases of the first hidden layer, and so on; ``bh`` is all of them
``ho``   last hidden layer to the outputs
``bo``   output biases
``io``   inputs to the outputs (skip connections)
=======  ==========================================================================

The sources of a group are the inputs or units that its weights come from; biases have one. The
scale of a weight is fixed or sampled, once for its group and, if asked for, times a further one
for its source.

A scale s with FBM's Gamma prior of width w and alpha a has the precision 1 / s², Gamma with the
mean 1 / w² and the shape a / 2 [1]_.

References
----------
.. [1] Neal (1996). Bayesian Learning for Neural Networks. Springer, section 3.1 and appendix A.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from manymodes.errors import InputError
from manymodes.networks.forward import layers
from manymodes.networks.prior import FAMILIES, Prior
from manymodes.types import FloatArray

SCALE_PRIORS = ("fixed", "half-normal", "half-cauchy", "gamma")
"""The priors of a scale, numbered from 0 in the Stan program."""

PRESETS = {
    "fbm": "ih=0.05:0.5 hh=x0.05:0.5 bh=0.05:0.5 ho=x0.05:0.5 bo=100 io=0.05:0.5 noise=0.05:0.5",
    "scaled": "ih=normal:1/sqrt hh=normal:1/sqrt bh=normal:1 ho=normal:1/sqrt bo=normal:1",
}
"""Short names: the priors of FBM's examples; normal priors whose scale falls with the width."""

GROUP_SCALE, SOURCE_SCALE = "group_scale", "source_scale"
"""The names of the sampled scales among the draws of a prior, as in the Stan program."""

_FORMS = (
    "FAMILY:SCALE (normal:1, laplace:0.5, student:4,1, uniform:5), where SCALE is a number or one "
    "of half-normal(W), half-cauchy(W), gamma(W,ALPHA), followed by /sqrt to divide by the square "
    "root of the number of sources, and by *half-normal, *half-cauchy or *gamma(ALPHA) for a "
    "further scale of each source; or FBM's [x]W[:ALPHA[:ALPHA[:ALPHA]]]"
)
_NOISE_FORMS = "half-normal(W), half-cauchy(W), gamma(W,ALPHA), FBM's W:ALPHA, or a fixed number W"
_NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_CALL = re.compile(rf"(half-normal|half-cauchy|gamma)\(({_NUMBER})(?:,({_NUMBER}))?\)")
_SOURCE = re.compile(rf"(half-normal|half-cauchy|gamma)(?:\(({_NUMBER})\))?")
_FBM = re.compile(rf"(x?)({_NUMBER})((?::(?:{_NUMBER})?)*)")


@dataclass(frozen=True)
class ScalePrior:
    """The prior of a scale, or a scale that is fixed.

    Parameters
    ----------
    kind : {"fixed", "half-normal", "half-cauchy", "gamma"}
        The family; "gamma" is that of the precision.
    width : float
        The scale itself (fixed), the scale of its prior, or one over the square root of the mean
        precision.
    alpha : float
        Twice the shape of the Gamma; 1 for the others, where it has no effect.
    """

    kind: str
    width: float
    alpha: float = 1.0

    @property
    def code(self) -> int:
        """Its number in the Stan program."""
        return SCALE_PRIORS.index(self.kind)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        """Return draws, of this shape."""
        if self.kind == "fixed":
            return np.full(shape, self.width)
        if self.kind == "half-normal":
            return self.width * np.abs(rng.standard_normal(shape))
        if self.kind == "half-cauchy":
            return self.width * np.abs(rng.standard_cauchy(shape))
        shape_of_gamma = self.alpha / 2
        return self.width / np.sqrt(rng.gamma(shape_of_gamma, 1 / shape_of_gamma, shape))

    def log_density(self, s: FloatArray) -> FloatArray:
        """Return the log density (nats), elementwise; 0 for a fixed scale."""
        s = np.asarray(s, dtype=float)
        if self.kind == "fixed":
            return np.zeros(s.shape)
        if self.kind == "half-normal":
            return np.asarray(stats.halfnorm(scale=self.width).logpdf(s))
        if self.kind == "half-cauchy":
            return np.asarray(stats.halfcauchy(scale=self.width).logpdf(s))
        precision = stats.gamma(self.alpha / 2, scale=2 / (self.alpha * self.width**2))
        return np.asarray(precision.logpdf(s**-2.0) + math.log(2) - 3 * np.log(s))


@dataclass(frozen=True)
class GroupPrior:
    """The prior of the weights of one group.

    Parameters
    ----------
    family : {"normal", "uniform", "laplace", "student"}
        The family of a weight given its scale.
    scale : ScalePrior
        The scale of the group.
    nu : float
        Degrees of freedom of the Student-t family; infinite for the others.
    sources : ScalePrior or None
        The prior of a further factor for each source, of width 1; None without such factors.
    """

    family: str
    scale: ScalePrior
    nu: float = math.inf
    sources: ScalePrior | None = None

    @property
    def sampled(self) -> bool:
        """Whether a scale is sampled."""
        return self.scale.kind != "fixed" or self.sources is not None

    @property
    def unit(self) -> Prior:
        """The prior of a weight divided by its scale."""
        return Prior(self.family, 1.0, self.nu)


@dataclass(frozen=True)
class GroupPriors:
    """The priors of all groups of a network, and of its noise.

    Parameters
    ----------
    hidden : tuple of int
        Units of each hidden layer.
    groups : dict of str to GroupPrior
        By name, in the order of the Stan program.
    noise : ScalePrior
        The prior of the noise.
    """

    hidden: tuple[int, ...]
    groups: dict[str, GroupPrior]
    noise: ScalePrior
    ard = False

    @classmethod
    def parse(
        cls,
        text: str,
        inputs: int,
        hidden: tuple[int, ...],
        skip: bool,
        noise: ScalePrior,
        no_noise: str | None = None,
    ) -> GroupPriors:
        """Read a text such as ``ih=0.05:0.5 bh=0.05:0.5 ho=x0.05:0.5 bo=100 noise=0.05:0.5``.

        Parameters
        ----------
        text : str
            Items that spaces separate: ``GROUP=PRIOR``, and at most one ``PRIOR`` without a group,
            for all groups that have no item (otherwise ``normal:1``). Or the name of one of
            `PRESETS`, followed by items that replace those of the preset.
        inputs : int
            Number of inputs.
        hidden : tuple of int
            Units of each hidden layer.
        skip : bool
            Whether there are weights from the inputs to the outputs.
        noise : ScalePrior
            The prior of the noise if the text has none.
        no_noise : str or None
            Why the text cannot have one, to complete "the likelihood ..."; None if it can.

        Raises
        ------
        InputError
            A group or a prior is unknown, or a prior does not suit its group.
        """
        names = group_names(len(hidden), skip)
        sources = dict(zip(names, source_counts(inputs, hidden, skip), strict=True))
        first, _, rest = text.strip().partition(" ")
        written = _items(PRESETS.get(first, ""), ("noise", "hh", "bh", "io", *names))
        if no_noise is not None:
            written.pop("noise", None)
        own = _items(rest if first in PRESETS else text, ("noise", "hh", "bh", "io", *names))
        if "io" in own and not skip:
            raise InputError(
                f"prior: 'io={own['io']}' is of weights from the inputs to the outputs, which this "
                "network does not have: add skip connections, or leave it out"
            )
        if "noise" in own and no_noise is not None:
            raise InputError(f"prior: 'noise={own['noise']}': the likelihood {no_noise}")
        if "noise" in written | own and noise.kind == "half-normal" and noise.width != 1:
            raise InputError(
                f"sigma_scale: {noise.width:g} and the prior of the noise in '{text}' are two "
                "priors of it; leave one out"
            )
        written |= own
        if "noise" in written:
            noise = _noise(written["noise"])
        found = {}
        for name in names:
            prior = written.get(name, written.get(name[:2], written.get("", "normal:1")))
            found[name] = _group(name, prior, sources[name])
        return cls(hidden, found, noise)

    # ------------------------------------------------------------------ what priors have

    @property
    def family(self) -> str:
        """The family of all groups, or "several"."""
        families = {group.family for group in self.groups.values()}
        return families.pop() if len(families) == 1 else "several"

    @property
    def bounded(self) -> tuple[str, ...]:
        """The groups whose weights lie in a box."""
        return tuple(name for name, one in self.groups.items() if one.family == "uniform")

    def scale_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the sampled scales by name, those without elements left out."""
        skip = "io" in self.groups
        counts = source_counts(inputs, self.hidden, skip)
        own = zip(self.groups.values(), counts, strict=True)
        sizes = {
            GROUP_SCALE: sum(one.scale.kind != "fixed" for one in self.groups.values()),
            SOURCE_SCALE: sum(n for one, n in own if one.sources is not None),
        }
        return {name: (n,) for name, n in sizes.items() if n}

    def sample_weights(
        self, shapes: Mapping[str, tuple[int, ...]], draws: int, rng: np.random.Generator
    ) -> dict[str, FloatArray]:
        """Return n draws of a network's weights, each of shape (n, *shapes[name]), and of scales.

        The noise is among the shapes if it is sampled.
        """
        weights = {name: np.zeros((draws, *shape)) for name, shape in shapes.items()}
        group_scales, source_scales = [], []
        for group, matrix in zip(self.groups.values(), self.matrices(weights), strict=True):
            scale = group.scale.sample((draws, 1, 1), rng)
            if group.scale.kind != "fixed":
                group_scales.append(scale[:, 0])
            if group.sources is not None:
                own = group.sources.sample((draws, 1, matrix.shape[-1]), rng)
                source_scales.append(own[:, 0])
                scale = scale * own
            matrix[...] = scale * group.unit.sample(matrix.shape, rng)
        for name, parts in ((GROUP_SCALE, group_scales), (SOURCE_SCALE, source_scales)):
            if parts:
                weights[name] = np.concatenate(parts, axis=1)
        if "sigma" in weights:
            weights["sigma"] = self.noise.sample(weights["sigma"].shape, rng)
        return weights

    def log_density_of_weights(self, weights: Mapping[str, FloatArray]) -> FloatArray:
        """Return the log density (nats), shape (n,), of weights of shapes (n, ...) given scales."""
        total = np.zeros(len(weights["W"]))
        matrices = self.matrices(weights)
        for group, matrix, scale in zip(
            self.groups.values(), matrices, self.scales(weights), strict=True
        ):
            density = group.unit.log_density(matrix / scale) - np.log(scale)
            total += density.reshape(len(total), -1).sum(axis=1)
        return total

    def scales(self, weights: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Return the scale of each weight of each group, shapes (n or 1, 1, sources or 1)."""
        found = []
        group_at = source_at = 0
        for group, matrix in zip(self.groups.values(), self.matrices(weights), strict=True):
            scale = np.full((1, 1, 1), group.scale.width)
            if group.scale.kind != "fixed":
                scale = weights[GROUP_SCALE][..., group_at].reshape(-1, 1, 1)
                group_at += 1
            if group.sources is not None:
                end = source_at + matrix.shape[-1]
                scale = scale * weights[SOURCE_SCALE][..., None, source_at:end]
                source_at = end
            found.append(scale)
        return found

    def matrices(self, weights: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Return the weights of each group, shape (n, rows, sources), as views."""
        steps = list(layers(self.hidden, weights))
        found = [matrix for matrix, _ in steps] + [bias[..., None] for _, bias in steps]
        found += [weights["V"], weights["c"][..., None]]
        return found + ([weights["S"]] if "io" in self.groups else [])

    def source_places(self, inputs: int) -> dict[int, slice]:
        """Return where the scales of the units of each hidden layer stand in ``source_scale``.

        By the number of the layer, from 0. They go along where its units are exchanged.
        """
        found = {}
        at = 0
        counts = source_counts(inputs, self.hidden, "io" in self.groups)
        for (name, group), n in zip(self.groups.items(), counts, strict=True):
            if group.sources is None:
                continue
            if name == "ho":
                found[len(self.hidden) - 1] = slice(at, at + n)
            elif name.startswith("hh"):
                found[int(name[2:]) - 2] = slice(at, at + n)
            at += n
        return found

    def data(self, *, centred: bool) -> dict[str, object]:
        """Return the data items of the Stan program that describe the priors.

        Parameters
        ----------
        centred : bool
            Whether weights of sampled scales are parameters themselves, not what they are divided
            by their scale.
        """
        groups = list(self.groups.values())
        none = ScalePrior("fixed", 1.0)
        return {
            "G": len(groups),
            "family": [FAMILIES.index(one.family) + 1 for one in groups],
            "nu": [one.nu if math.isfinite(one.nu) else 1.0 for one in groups],
            "scale_prior": [one.scale.code for one in groups],
            "scale": [one.scale.width for one in groups],
            "scale_alpha": [one.scale.alpha for one in groups],
            "source_prior": [(one.sources or none).code for one in groups],
            "source_alpha": [(one.sources or none).alpha for one in groups],
            "centred": [int(centred and one.sampled) for one in groups],
            "noise_prior": self.noise.code,
            "noise_scale": self.noise.width,
            "noise_alpha": self.noise.alpha,
        }


def is_grouped(text: str) -> bool:
    """Whether a text is of priors by group: it has an item ``GROUP=PRIOR``, or is a preset."""
    return "=" in text or text.strip().partition(" ")[0] in PRESETS


def sets_noise(text: str) -> bool:
    """Whether a text of priors by group has one for the noise."""
    first = text.strip().partition(" ")[0]
    items = f"{PRESETS.get(first, '')} {text}".split()
    return any(item.startswith("noise=") for item in items)


def group_names(hidden_layers: int, skip: bool) -> tuple[str, ...]:
    """Return the names of the groups, in the order of the Stan program."""
    numbers = range(1, hidden_layers + 1)
    later = (f"hh{layer}" for layer in numbers[1:])
    biases = (f"bh{layer}" for layer in numbers)
    return ("ih", *later, *biases, "ho", "bo", *(("io",) if skip else ()))


def source_counts(inputs: int, hidden: tuple[int, ...], skip: bool) -> tuple[int, ...]:
    """Return the number of sources of each group, in the same order."""
    ones = (1,) * len(hidden)
    return (inputs, *hidden[:-1], *ones, hidden[-1], 1, *((inputs,) if skip else ()))


# -------------------------------------------------------------------------- parsing


def _items(text: str, known: tuple[str, ...]) -> dict[str, str]:
    """Return the prior of each group in a text; of all others under an empty name."""
    found: dict[str, str] = {}
    for item in text.split():
        name, equals, prior = item.partition("=")
        if not equals:
            name, prior = "", item
        elif name not in known:
            raise InputError(
                f"prior: '{name}' in '{item}' is no group of this network; groups are "
                f"{', '.join(known)}"
            )
        if name in found:
            which = f"for {name}" if name else "without a group"
            raise InputError(f"prior: '{item}' is a second prior {which} in '{text}'")
        found[name] = prior
    return found


def _group(name: str, text: str, sources: int) -> GroupPrior:
    has_sources = not name.startswith("b")
    group = _fbm(text, sources, has_sources) or _long(name, text, sources)
    if group is None:
        raise InputError(f"prior: '{name}={text}' is not understood; give {_FORMS}")
    if group.sources is not None and not has_sources:
        raise InputError(
            f"prior: '{name}={text}' has a scale for each source, but biases have one source; "
            "leave it out"
        )
    if group.family == "uniform" and group.sampled:
        raise InputError(
            f"prior: '{name}={text}': the bound of a uniform prior is fixed; give a number, or "
            "another family"
        )
    numbers = (group.scale.width, group.scale.alpha, group.nu)
    if not all(number > 0 for number in numbers):
        raise InputError(f"prior: '{name}={text}' has a number that is not positive")
    return group


def _fbm(text: str, sources: int, has_sources: bool) -> GroupPrior | None:
    """Read ``[x]W[:ALPHA[:ALPHA[:ALPHA]]]``: of the group, of sources, of single weights."""
    match = _FBM.fullmatch(text)
    if match is None:
        return None
    width = float(match[2]) / (math.sqrt(sources) if match[1] else 1.0)
    alphas = [float(one) if one else math.inf for one in match[3].split(":")[1:]]
    most = 3 if has_sources else 2
    if len(alphas) > most:
        return None
    if not has_sources:
        alphas = [*alphas[:1], math.inf, *alphas[1:]]
    group, source, single = (*alphas, math.inf, math.inf, math.inf)[:3]
    return GroupPrior(
        "normal" if math.isinf(single) else "student",
        ScalePrior("fixed", width) if math.isinf(group) else ScalePrior("gamma", width, group),
        single,
        None if math.isinf(source) else ScalePrior("gamma", 1.0, source),
    )


def _long(name: str, text: str, sources: int) -> GroupPrior | None:
    """Read ``FAMILY:SCALE[/sqrt][*SOURCES]``."""
    family, colon, rest = text.partition(":")
    if family not in FAMILIES or not colon:
        return None
    nu = math.inf
    if family == "student":
        degrees, comma, rest = rest.partition(",")
        if not comma or not re.fullmatch(_NUMBER, degrees):
            return None
        nu = float(degrees)
    rest, star, factor = rest.partition("*")
    scale = _scale(rest.removesuffix("/sqrt"))
    if scale is None:
        return None
    if rest.endswith("/sqrt"):
        scale = ScalePrior(scale.kind, scale.width / math.sqrt(sources), scale.alpha)
    if not star:
        return GroupPrior(family, scale, nu)
    match = _SOURCE.fullmatch(factor)
    if match is None or (match[1] == "gamma") != (match[2] is not None):
        return None
    return GroupPrior(family, scale, nu, ScalePrior(match[1], 1.0, float(match[2] or 1)))


def _scale(text: str) -> ScalePrior | None:
    if re.fullmatch(_NUMBER, text):
        return ScalePrior("fixed", float(text))
    match = _CALL.fullmatch(text)
    if match is None or (match[1] == "gamma") != (match[3] is not None):
        return None
    return ScalePrior(match[1], float(match[2]), float(match[3] or 1))


def _noise(text: str) -> ScalePrior:
    fbm = _FBM.fullmatch(text)
    scale = _scale(text)
    if scale is None and fbm is not None and not fbm[1] and fbm[3].count(":") == 1:
        scale = ScalePrior("gamma", float(fbm[2]), float(fbm[3][1:] or "inf"))
    if scale is None or not (scale.width > 0 and 0 < scale.alpha < math.inf):
        raise InputError(f"prior: 'noise={text}' is not understood; give {_NOISE_FORMS}")
    return scale
