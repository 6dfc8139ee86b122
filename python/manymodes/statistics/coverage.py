"""How much is still unseen: the counts of each mode predict what further chains would find.

All estimates are about chains that start as these did: the share of starting points whose chains
end in modes that no chain has found yet. They say nothing about posterior mass: a mode with half
of the posterior can have a basin that one start in a million falls into.

References
----------
.. [1] Good (1953). The population frequencies of species and the estimation of population
   parameters. Biometrika 40(3-4).
.. [2] Robbins (1968). Estimating the total probability of the unobserved outcomes of an
   experiment. Annals of Mathematical Statistics 39(1).
.. [3] Esty (1983). A normal limit law for a nonparametric estimator of the coverage of a random
   sample. Annals of Statistics 11(3).
.. [4] Chao (1984). Nonparametric estimation of the number of classes in a population.
   Scandinavian Journal of Statistics 11(4).
.. [5] Chao (1987). Estimating the population size for capture-recapture data with unequal
   catchability. Biometrics 43(4).
.. [6] Chao (2005). Species estimation and applications. Encyclopedia of Statistical Sciences 12.
.. [7] Colwell, Chao, Gotelli, Lin, Mao, Chazdon, Longino (2012). Models and estimators linking
   individual-based and sample-based rarefaction, extrapolation and comparison of assemblages.
   Journal of Plant Ecology 5(1).
.. [8] Hoeffding (1956). On the distribution of the number of successes in independent trials.
   Annals of Mathematical Statistics 27(3).
.. [9] Feller (1968). An Introduction to Probability Theory and Its Applications, volume 1,
   chapters II and IX (the coupon collector).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from manymodes.errors import InputError
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown, estimate_text, share_text
from manymodes.types import FloatArray, IntArray

__all__ = [
    "Coverage",
    "accumulation",
    "chance_of_all",
    "coverage",
    "expected_chains",
    "most_equal_modes",
    "smallest_sure_share",
]


CONFIDENCE = 0.95
"""The probability of every limit and interval here."""

_Z = float(special.ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True, repr=False)
class Coverage(Shown):
    """Estimates about modes that were not found, from the counts of the modes that were.

    Attributes
    ----------
    starts : int
        Independent starting points n: chains, or superchains if several chains share a start.
    found : int
        Different modes found.
    once, twice : int
        Modes found from exactly one and exactly two starts, f1 and f2.
    unseen : float
        f1/n: the probability that a chain from a new start ends in a mode not found yet
        (Good and Turing; Good 1953). If several chains share a start, it is the expected number of
        modes that a new start adds. It is too large by at most 1/n on average.
    unseen_sd : float
        Standard error of its difference from the truth, sqrt(f1 + 2 f2 - f1^2/n)/n (Esty 1983;
        without the last term if several chains share a start). It is good if f1 and f2 are not
        small. It is 0 if both are 0; then use `unseen_upper`.
    unseen_upper : float
        Upper 95 % limit of the quantity that `unseen` estimates, averaged over runs like this one:
        the limit of a Poisson mean with f1 counted, over n; 3/n if no mode was found only once.
        The number of modes found once is a sum of rare events and varies less than a Poisson
        variable, so that the limit errs upwards (Hoeffding 1956).
    total, total_sd : float
        Estimated number of all modes and its standard error (Chao 1984, 2005): a lower bound,
        because modes much rarer than those found leave no trace.
    total_interval : tuple of float
        Its 95 % interval, log-normal in the number unseen (Chao 1987). It is an approximation: with
        40 equally likely modes and 80 starts it held in 91.5 % of 4000 simulated runs.

    Examples
    --------
    >>> from manymodes.statistics.coverage import coverage
    >>> found = coverage([5, 3, 1, 1])
    >>> found.found, found.once, found.twice
    (4, 2, 0)
    >>> round(found.total, 1), round(found.unseen_upper, 2)
    (4.9, 0.63)
    """

    starts: int
    found: int
    once: int
    twice: int
    unseen: float
    unseen_sd: float
    unseen_upper: float
    total: float
    total_sd: float
    total_interval: tuple[float, float]

    def _headline(self) -> str:
        return (
            f"Coverage: {self.starts} starts found {self.found} modes, {self.once} of them once; "
            f"unseen {share_text(self.unseen, self.unseen_sd)}, "
            f"{estimate_text(self.total, self.total_sd, 1)} modes in all"
        )

    @property
    def sure_share(self) -> float:
        """A mode with a larger share of starting points is found with at least 95 % probability."""
        return smallest_sure_share(self.starts)

    @property
    def equal_modes(self) -> int:
        """All of so many equally likely modes are found with at least 95 % probability."""
        return most_equal_modes(self.starts)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``; the last four are the coupon collector's.

        Returns
        -------
        dict
            The attributes by name, and the shares and numbers of the coupon collector.

        Examples
        --------
        >>> from manymodes.statistics.coverage import coverage
        >>> coverage([5, 3, 1, 1]).as_dict()["starts"]
        10
        """
        return {
            **asdict(self),
            "total_interval": list(self.total_interval),
            "sure_share": self.sure_share,
            "equal_modes": self.equal_modes,
            "expected_chains": expected_chains(self.found),
            "chance_of_all": chance_of_all(self.found, self.starts),
        }


def coverage(counts: ArrayLike, *, starts: int | None = None) -> Coverage:
    """Estimate what is unseen from the number of times that each mode was found.

    Parameters
    ----------
    counts
        The number of starts from which each mode was found, shape (M,); zeros are ignored.
    starts
        The number of independent starts; by default the sum of the counts, which is right if
        every chain has its own start and ends in one mode. If chains share starts, give the
        number of starts, and count each start once for every mode that its chains end in.

    Returns
    -------
    Coverage
        What is unseen, with errors and limits.

    Raises
    ------
    InputError
        No mode was found, a count is not an integer of 0 or more, or one exceeds ``starts``.

    Examples
    --------
    Ten chains found four modes, two of these only once:

    >>> from manymodes.statistics.coverage import coverage
    >>> found = coverage([5, 3, 1, 1])
    >>> found.unseen, round(found.unseen_sd, 2)
    (0.2, 0.13)
    """
    found = _checked(counts)
    n = int(found.sum()) if starts is None else starts
    if n < found.max():
        raise InputError(f"starts: {n} is less than {found.max()}, the count of one mode")
    once, twice = int((found == 1).sum()), int((found == 2).sum())
    total, variance = _chao(once, twice, n, len(found))
    one_each = found.sum() == n  # every start ends in one mode
    upper = float(stats.chi2.ppf(CONFIDENCE, 2 * once + 2)) / (2 * n)
    return Coverage(
        starts=n,
        found=len(found),
        once=once,
        twice=twice,
        unseen=once / n,
        unseen_sd=math.sqrt(once + 2 * twice - (once**2 / n if one_each else 0)) / n,
        unseen_upper=min(upper, 1.0) if one_each else upper,
        total=total,
        total_sd=math.sqrt(variance),
        total_interval=_interval(len(found), total, variance),
    )


def expected_chains(modes: int) -> float:
    """Return how many chains it takes on average to find all of some equally likely modes.

    It takes M (1 + 1/2 + ... + 1/M) chains for M modes (Feller 1968), and more if modes are not
    equally likely.

    Parameters
    ----------
    modes : int
        The number M of equally likely modes, 1 or more.

    Returns
    -------
    float
        The mean number of chains.

    Raises
    ------
    InputError
        ``modes`` is not 1 or more.

    Examples
    --------
    >>> from manymodes.statistics.coverage import expected_chains
    >>> round(expected_chains(8), 1)
    21.7
    """
    if modes < 1:
        raise InputError(f"modes: {modes} is not 1 or more")
    return float(modes * np.sum(1 / np.arange(1, modes + 1)))


def chance_of_all(modes: int, chains: int) -> float:
    """Return the probability that some chains find all of some equally likely modes.

    Parameters
    ----------
    modes, chains
        How many; at least 1 of each.

    Returns
    -------
    float
        The probability, exact up to rounding.

    Raises
    ------
    InputError
        There is not at least 1 of each.

    Notes
    -----
    The value is exact: the distribution of the number of modes found is followed chain after
    chain. (The alternating sum of Feller 1968 cancels badly with many modes.)

    Examples
    --------
    >>> from manymodes.statistics.coverage import chance_of_all
    >>> round(chance_of_all(modes=8, chains=40), 3)
    0.962
    """
    if modes < 1 or chains < 1:
        raise InputError(f"modes, chains: {modes}, {chains} are not 1 or more")
    if chains < modes:
        return 0.0
    seen = np.zeros(modes + 1)
    seen[0] = 1.0
    again = np.arange(modes + 1) / modes
    fresh = 1 - again[:-1]
    for _ in range(chains):
        moved = seen[:-1] * fresh
        seen *= again
        seen[1:] += moved
    return float(min(seen[-1], 1.0))


def most_equal_modes(chains: int, confidence: float = CONFIDENCE) -> int:
    """Return the largest number of equally likely modes that chains all find, at a confidence.

    Parameters
    ----------
    chains : int
        The number of chains, 1 or more.
    confidence : float
        The least probability that all modes are found, between 0 and 1.

    Returns
    -------
    int
        The largest such number of modes.

    Raises
    ------
    InputError
        ``chains`` is not 1 or more, or ``confidence`` not between 0 and 1.

    Examples
    --------
    >>> from manymodes.statistics.coverage import most_equal_modes
    >>> most_equal_modes(40)
    8
    """
    _check_confidence(confidence)
    if chains < 1:
        raise InputError(f"chains: {chains} is not 1 or more")
    # M (1 - 1/M)^n modes are missing on average, nearly a Poisson number: this starts the search.
    sizes = np.arange(2, chains + 2)
    missing = sizes * np.exp(chains * np.log1p(-1 / sizes))
    best = max(1, int(np.searchsorted(missing, -math.log(confidence))))
    while chance_of_all(best + 1, chains) >= confidence:
        best += 1
    while best > 1 and chance_of_all(best, chains) < confidence:
        best -= 1
    return best


def smallest_sure_share(chains: int, confidence: float = CONFIDENCE) -> float:
    """Return the share of starting points above which a mode is found with a given probability.

    1 - (1 - confidence)^(1/n) for n chains: a mode of that share is missed with probability
    1 - ``confidence``. It holds for any one mode named beforehand, or any set of them together.

    Parameters
    ----------
    chains : int
        The number n of chains, 1 or more.
    confidence : float
        The least probability that the mode is found, between 0 and 1.

    Returns
    -------
    float
        The share of starting points, between 0 and 1.

    Raises
    ------
    InputError
        As `most_equal_modes`.

    Examples
    --------
    >>> from manymodes.statistics.coverage import smallest_sure_share
    >>> round(smallest_sure_share(40), 3)
    0.072
    """
    _check_confidence(confidence)
    if chains < 1:
        raise InputError(f"chains: {chains} is not 1 or more")
    return -math.expm1(math.log1p(-confidence) / chains)


def accumulation(
    counts: ArrayLike,
    at: ArrayLike,
    *,
    starts: int | None = None,
    replications: int = 200,
    seed: int = 1,
) -> tuple[FloatArray, FloatArray]:
    """Return the number of modes that fewer or more chains find, with standard errors.

    Parameters
    ----------
    counts, starts
        As in `coverage`.
    at
        Numbers of starts, each 0 or more, shape (K,). Up to the number that was run, the mean
        over all subsets of them; beyond it, an extrapolation towards Chao's total, which is
        sound up to about twice that number (Colwell et al. 2012).
    replications
        Bootstrap samples behind the errors.
    seed
        Decides them.

    Returns
    -------
    tuple of two arrays of shape (K,)
        Expected numbers of modes, and their standard errors over runs like this one.

    Raises
    ------
    InputError
        As `coverage`, and if a number in ``at`` is negative.

    Notes
    -----
    Each bootstrap sample is drawn from the estimated shares: found modes keep their shares, and
    the estimated unseen modes share `Coverage.unseen` evenly.

    Examples
    --------
    >>> from manymodes.statistics.coverage import accumulation
    >>> modes, sd = accumulation([5, 3, 1, 1], at=[1, 5, 10, 20])
    >>> modes.round(1)
    array([1. , 2.9, 4. , 4.8])
    """
    found = _checked(counts)
    n = int(found.sum()) if starts is None else starts
    sizes = np.asarray(at, dtype=float)
    if (sizes < 0).any():
        raise InputError(f"at: {sizes.min():g} is not 0 or more")
    curve = _curve(found, n, sizes)
    rng = np.random.default_rng(check_seed(seed))
    known = coverage(found, starts=n)
    n_unseen = math.ceil(known.total - known.found - 1e-9)
    shares = found / n
    if n_unseen:
        shares = np.r_[shares * (1 - known.unseen), np.full(n_unseen, known.unseen / n_unseen)]
    if found.sum() == n:
        samples = rng.multinomial(n, shares / shares.sum(), size=replications)
    else:
        samples = rng.binomial(n, shares, size=(replications, len(shares)))
        samples = samples[samples.any(axis=1)]
    curves = np.stack([_curve(sample[sample > 0], n, sizes) for sample in samples])
    return curve, curves.std(axis=0, ddof=1)


def _curve(found: IntArray, n: int, sizes: FloatArray) -> FloatArray:
    """Return the expected number of modes from each number of starts."""
    fewer = np.minimum(sizes, n)[:, None]
    values, multiplicity = np.unique(found, return_counts=True)
    rest = n - values - fewer
    with np.errstate(invalid="ignore"):
        log_missed = np.where(
            rest < 0,
            -np.inf,
            special.gammaln(n - values + 1)
            - special.gammaln(np.maximum(rest, 0) + 1)
            + special.gammaln(n - fewer + 1)
            - special.gammaln(n + 1),
        )
    curve: FloatArray = np.asarray(-np.expm1(log_missed) @ multiplicity)
    once, twice = int((found == 1).sum()), int((found == 2).sum())
    unseen = _chao(once, twice, n, len(found))[0] - len(found)
    if unseen > 0:
        rate = math.log1p(-once / (n * unseen + once))
        curve -= unseen * np.expm1(rate * np.maximum(sizes - n, 0))
    return curve


def _chao(once: int, twice: int, n: int, found: int) -> tuple[float, float]:
    """Return the bias-corrected estimate of the number of modes and its variance (Chao 2005)."""
    a = (n - 1) / n
    base = twice + 1
    unseen = a * once * (once - 1) / (2 * base)
    if once == 0:  # then each found mode may be absent from another run, as if equally likely
        absent = math.exp(-n / found)
        return float(found), found * absent * (1 - absent)
    variance = (
        unseen
        + a**2 * once * (2 * once - 1) ** 2 / (4 * base**2)
        + a**2 * once**2 * twice * (once - 1) ** 2 / (4 * base**4)
    )
    if twice == 0:
        variance -= a**2 * once**4 / (4 * (found + unseen))
    return found + unseen, max(variance, 0.0)


def _interval(found: int, total: float, variance: float) -> tuple[float, float]:
    unseen = total - found
    if unseen <= 0:
        return float(found), found + _Z * math.sqrt(variance)
    factor = math.exp(_Z * math.sqrt(math.log1p(variance / unseen**2)))
    return found + unseen / factor, found + unseen * factor


def _checked(counts: ArrayLike) -> IntArray:
    array: NDArray[Any] = np.asarray(counts)
    if array.ndim != 1 or not np.all(np.equal(np.mod(array, 1), 0) & (array >= 0)):
        raise InputError("counts: give for each mode how often it was found, an integer from 0")
    found = array[array > 0].astype(np.intp)
    if len(found) == 0:
        raise InputError("counts: no mode was found")
    return np.asarray(found)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence: {confidence} is not between 0 and 1")
