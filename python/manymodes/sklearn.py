"""Bayesian neural networks with scikit-learn's interface.

>>> from manymodes.sklearn import BayesianMLPClassifier
>>> model = BayesianMLPClassifier(random_state=1).fit(X, y)         # doctest: +SKIP
>>> model.predict_proba(X)                                          # doctest: +SKIP

What is averaged over draws is the predictive distribution, never a parameter: with w_k the weight
of chain k and S its draws, p(y | x) = sum_k (w_k / S) sum_s p(y | x, draw s of chain k).

References
----------
.. [1] Neal (1996). Bayesian Learning for Neural Networks. Springer.
.. [2] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from manymodes.types import FloatArray

try:
    from joblib import effective_n_jobs
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "manymodes.sklearn needs scikit-learn 1.6 or later: pip install 'scikit-learn>=1.6'"
        f" ({error})"
    ) from error

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.stacked_chains import stack_chains
from manymodes.networks.constraint_programs import OF_GENERAL
from manymodes.networks.group_priors import sets_noise
from manymodes.networks.likelihood import RATES, REAL, Likelihood
from manymodes.networks.network import Network
from manymodes.results.run_directory import run_directory, save_posterior, write_chains
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.samplers import CMDSTAN, MAMS
from manymodes.sampling.chains.starts import CLIMB, DEFAULT_INIT
from manymodes.statistics.mixture import log_mean_exp

__all__ = ["BayesianMLPClassifier", "BayesianMLPRegressor"]


_BLOCK = 2_000_000  # most predictions held at once
_FARTHEST = 4.0  # standardised inputs of the training part lie within this distance of 0
_CONSTANT_NOISE = 0.01  # noise given to a target without any, in units of the target's scale


@dataclass(frozen=True)
class _DefaultPrior:
    """The prior that a network has if the user gives none, as texts of `manymodes.Network`.

    ``skip`` is that of the weights from the inputs to the outputs. ``alike`` is for all weights
    alike, where the constraint allows no priors by group.
    """

    hidden: str
    skip: str
    alike: str


_OF_CLASSES = _DefaultPrior(
    "ih=normal:1*half-normal bh=normal:1 ho=normal:5 bo=normal:5",
    "io=normal:10*half-normal",
    "normal:2",
)
_OF_NUMBERS = _DefaultPrior(
    "ih=normal:1*half-normal bh=normal:1 ho=normal:1 bo=normal:1",
    "io=normal:1",
    "normal:1",
)


class _BayesianMLP(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: parameters, sampling, averages over draws."""

    def __init__(
        self,
        hidden: int | Sequence[int] = (16,),
        *,
        activation: str = "tanh",
        prior: str | None = None,
        constraint: str = "none",
        skip: bool | None = None,
        chains: int = 4,
        warmup: int = 300,
        draws: int = 300,
        adapt_delta: float = 0.8,
        max_treedepth: int | None = None,
        sampler: str | None = None,
        init: str | None = None,
        stacking: bool = True,
        standardise: bool = True,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        kernel: bool = True,
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.prior = prior
        self.constraint = constraint
        self.skip = skip
        self.chains = chains
        self.warmup = warmup
        self.draws = draws
        self.adapt_delta = adapt_delta
        self.max_treedepth = max_treedepth
        self.sampler = sampler
        self.init = init
        self.stacking = stacking
        self.standardise = standardise
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.kernel = kernel
        self.out = out
        self.verbose = verbose

    # ------------------------------------------------------------ fitting

    def _sample(
        self,
        X: FloatArray,
        target: FloatArray,
        likelihood: str,
        outputs: int = 1,
        *,
        default: _DefaultPrior = _OF_CLASSES,
        sigma_scale: float = 1.0,
        sigma: float | None = None,
        exposure: float | None = None,
    ) -> None:
        """Sample the posterior of a network, given what the user gave and a scaled target.

        ``default`` is the prior that is taken if the user gave none; ``exposure`` is that of all
        rows.
        """
        self.scaler_ = StandardScaler(with_mean=self.standardise, with_std=self.standardise).fit(X)
        if self.standardise:
            farthest = np.abs(X - self.scaler_.mean_).max(axis=0)
            self.scaler_.scale_ = np.maximum(self.scaler_.scale_, farthest / _FARTHEST)
        prior, skip = self._prior_and_skip(default)
        self.network_ = Network(
            X.shape[1],
            self._widths(),
            outputs,
            self.activation,
            likelihood,
            prior,
            self.constraint,
            1.0 if sets_noise(prior) else sigma_scale,
            sigma=sigma,
            skip=skip,
        )
        sampler, init, depth = self._ways()
        settings = NutsSettings(self.warmup, self.draws, self.adapt_delta, depth)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        inputs = self._inputs(X)
        posterior = Posterior.from_network(
            self.network_,
            inputs,
            target,
            exposure=None if exposure is None else np.full(len(target), exposure),
            kernel=self.kernel,
        )
        posterior.compile(quiet=not self.verbose)
        out = None if self.out is None else Path(self.out)
        with ExitStack() as held:
            if out is not None:
                held.enter_context(run_directory(out))
            # A chain is a process of CmdStan's own, and a thread that waits for it starts at once.
            threads = ThreadPoolExecutor(effective_n_jobs(self.n_jobs))
            self.chains_ = run_chains(
                posterior,
                chains=self.chains,
                nuts=settings,
                sampler=sampler,
                init=init,
                seed=seed,
                out=out,
                resume=True,
                executor=held.enter_context(threads),
                quiet=not self.verbose,
            )
            if out is not None:
                save_posterior(posterior, out / "posterior")
                write_chains(self.chains_, out)
        self.posterior_ = posterior
        self._warn(self.chains_)
        draws = self.chains_.variables()
        self.draws_ = {name: draws[name] for name in self.network_.weight_shapes}
        self.weights_ = np.full(self.chains_.n_chains, 1 / self.chains_.n_chains)
        if self.stacking and self.chains_.scored_lpd.size:
            self.weights_ = stack_chains(self.chains_).stacking.weights

    def _prior_and_skip(self, default: _DefaultPrior) -> tuple[str, bool]:
        """Return the prior and whether there are skip connections, as given or by default."""
        if self.prior is not None:
            return self.prior, bool(self.skip)
        if self.constraint not in OF_GENERAL:
            return default.alike, bool(self.skip)
        skip = self.skip is None or bool(self.skip)
        return f"{default.hidden} {default.skip}" if skip else default.hidden, skip

    def _ways(self) -> tuple[str, str, int]:
        """Return the sampler, its starts and its largest depth, where None stands for a choice."""
        sampler = self.sampler
        if sampler is None:
            sampler = MAMS if len(self._widths()) > 1 else CMDSTAN
        init, depth = self.init, self.max_treedepth
        if init is None:
            init = CLIMB if sampler == MAMS else DEFAULT_INIT
        if depth is None:
            depth = 9 if sampler == MAMS else 7
        return sampler, init, depth

    def _widths(self) -> tuple[Any, ...]:
        """Return the units of each hidden layer; `Network` checks them."""
        return tuple(np.atleast_1d(np.asarray(self.hidden, dtype=object)).tolist())

    def _warn(self, chains: Chains) -> None:
        name = type(self).__name__
        if chains.failures:
            first = next(iter(chains.failures.values()))
            warnings.warn(
                f"{name}: {len(chains.failures)} of {self.chains} chains failed and are left out;"
                f" the first said: {first}",
                stacklevel=4,
            )

    def _inputs(self, X: FloatArray) -> FloatArray:
        """Return the network's inputs, shape (N, M)."""
        inputs = np.asarray(self.scaler_.transform(X))
        return inputs / math.sqrt(inputs.shape[1]) if self.standardise else inputs

    # ------------------------------------------------------------ predictive distribution

    def _checked(self, X: npt.ArrayLike) -> FloatArray:
        """Return the network's inputs at new rows, checked."""
        check_is_fitted(self)
        return self._inputs(validate_data(self, X, dtype=np.float64, reset=False))

    def _by_rows(self, function: Callable[[slice], FloatArray], rows: int) -> FloatArray:
        """Apply a function to slices of the rows, so that temporary arrays stay small."""
        per_row = self.weights_.size * self.chains_.n_draws * self.network_.units_out
        step = max(1, _BLOCK // per_row)
        return np.concatenate([function(slice(i, i + step)) for i in range(0, rows, step)])

    def _mean(self, values: FloatArray) -> FloatArray:
        """Average values of shape (C, S, ...) over the draws, chains by their weights."""
        return np.asarray(np.tensordot(self.weights_, values.mean(axis=1), axes=1))

    def _log_density(
        self, inputs: FloatArray, target: FloatArray, exposure: float | None = None
    ) -> FloatArray:
        """Return the log predictive density (nats) of each target, shape (N,), as scaled."""
        draws = self.chains_.n_draws
        weights = np.repeat(self.weights_ / draws, draws)

        def block(rows: slice) -> FloatArray:
            log_lik = self.network_.log_lik(
                self.draws_,
                inputs[rows],
                target[rows],
                exposure=None if exposure is None else np.full(len(target[rows]), exposure),
            )
            return log_mean_exp(weights, log_lik.reshape(len(weights), -1))

        return self._by_rows(block, len(inputs))


class BayesianMLPClassifier(ClassifierMixin, _BayesianMLP):  # type: ignore[misc]
    """A Bayesian neural network that classifies: NUTS chains of its posterior, stacked.

    With two classes the likelihood is Bernoulli (logit), with more it is categorical (softmax).

    Parameters
    ----------
    hidden : int or tuple of int
        Units of each hidden layer.
    activation : {"tanh", "sigmoid", "relu"}
        Activation of the hidden units.
    prior : str or None
        Prior of every weight and bias, or priors by group, as in `manymodes.Network`. None is
        ``ih=normal:1*half-normal bh=normal:1 ho=normal:5 bo=normal:5``, with
        ``io=normal:10*half-normal`` for skip connections: each input has scales of its own, and
        log odds of 10 and more are common. Under a constraint that allows no priors by group, None
        is ``normal:2``.
    constraint : str
        Constraint on the hidden layers, as in `manymodes.Network`.
    skip : bool or None
        Give the network weights from the inputs to the outputs too: a linear model beside the
        hidden units. None does so with the default prior, unless the constraint allows no skip
        connections; with a prior of your own it does not.
    chains : int
        How many independent chains.
    warmup, draws : int
        Iterations of each chain before and after its adaptation ends.
    adapt_delta : float
        Target acceptance rate of NUTS, in (0, 1).
    max_treedepth : int or None
        The longest trajectory has 2**max_treedepth gradients. The default, None, bounds the time
        of a fit, because predictions need less of a chain than weights do: 7 with NUTS and 9 with
        mams.
    sampler : {"cmdstan", "nutpie", "mams"} or None
        As in `manymodes.ChainSettings`. None is NUTS of CmdStan with one hidden layer and mams
        with more, where mams predicts better for the time (docs/chains.md).
    init : str or None
        Where chains start, as in `manymodes.ChainSettings`. None is ``climb`` with mams, and
        ``radius:2`` otherwise.
    stacking : bool
        Weight chains by stacking their leave-one-out predictive densities (Yao, Vehtari and Gelman
        2022); otherwise equally.
    standardise : bool
        Give the network inputs with mean 0 and standard deviation 1, or a smaller one for a column
        in which values would lie farther than 4 from 0 (a constant column keeps its scale), divided
        by the square root of their number: the prior on functions then depends little on how many
        inputs there are. Otherwise the network sees the numbers as they are.
    random_state : int, RandomState or None
        Decides every draw.
    n_jobs : int or None
        How many chains run at once, each a process of CmdStan; None is 1, -1 all cores.
    kernel : bool
        Compute the likelihood in C++ where that can be compiled, as in `manymodes.Posterior`.
    out : path or None
        Folder that keeps program, data and chains, for `manymodes compare` and, with the same
        data, settings and random_state, for another fit, which then samples nothing.
    verbose : bool
        Show progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        The number of inputs; ``feature_names_in_`` has their names, if they had any.
    network_ : manymodes.Network
        The network.
    posterior_ : manymodes.Posterior
        Its posterior, given the inputs and targets as the network sees them.
    chains_ : manymodes.Chains
        The chains that finished, C of S draws.
    weights_ : ndarray of shape (C,)
        The weight of each chain; they add up to 1.
    draws_ : dict of ndarrays of shape (C, S, ...)
        The draws of the network's weights, by name.
    scaler_ : StandardScaler
        What standardises the inputs.

    Raises
    ------
    InputError
        When `fit` is called with a parameter that is not allowed.

    Examples
    --------
    >>> from manymodes.sklearn import BayesianMLPClassifier
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> y = np.where(np.abs(X[:, 0]) < 1, "inside", "outside")
    >>> model = BayesianMLPClassifier(hidden=2, chains=2, warmup=150, draws=100, random_state=1)
    >>> model.fit(X, y).predict([[0.0], [1.9]]).tolist()
    ['inside', 'outside']
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Sample the posterior given inputs X, shape (N, M), and classes y, shape (N,).

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.
        y : array_like of shape (N,)
            Classes: numbers or texts.

        Returns
        -------
        BayesianMLPClassifier
            This one, fitted.

        Raises
        ------
        ValueError
            X or y are not what scikit-learn's classifiers take, or have fewer than two rows.
        InputError
            A parameter is not allowed, or y has one class only (also a ValueError).
        SamplingError
            Not one chain finished.

        Examples
        --------
        >>> from manymodes.sklearn import BayesianMLPClassifier
        >>> X = np.linspace(-2, 2, 40)[:, None]
        >>> model = BayesianMLPClassifier(hidden=2, chains=2, warmup=150, draws=100, random_state=1)
        >>> model.fit(X, X[:, 0] > 0).classes_.tolist()
        [False, True]
        """
        inputs, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        n = len(self.classes_)
        if n < 2:
            raise InputError(
                f"y: has only one class ({self.classes_[0]}); a classifier needs two or more"
            )
        likelihood = ("bernoulli", 1) if n == 2 else ("categorical", n)
        self._sample(inputs, codes.astype(float), *likelihood)
        return self

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return the predictive probability of each class, shape (N, n_classes).

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.

        Returns
        -------
        array of shape (N, n_classes)
            Rows add up to 1; columns as in ``classes_``.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        ValueError
            X is not what scikit-learn's classifiers take.

        Examples
        --------
        >>> # classifier: a fitted one that tells "inside" (-1, 1) from "outside"
        >>> classifier.predict_proba([[0.0], [1.9]]).argmax(axis=1)
        array([0, 1])
        """
        inputs = self._checked(X)

        def block(rows: slice) -> FloatArray:
            return self._mean(self.network_.predict(self.draws_, inputs[rows]))

        found = self._by_rows(block, len(inputs))
        return found if found.ndim == 2 else np.column_stack([1 - found, found])

    def predict_log_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return log predictive probabilities (nats), shape (N, n_classes), without underflow.

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.

        Returns
        -------
        array of shape (N, n_classes)
            Nats; columns as in ``classes_``.

        Raises
        ------
        NotFittedError, ValueError
            As for `predict_proba`.

        Examples
        --------
        >>> # classifier: a fitted one that tells "inside" (-1, 1) from "outside"
        >>> bool((classifier.predict_log_proba([[0.0], [1.9]]) < 0).all())
        True
        """
        inputs = self._checked(X)
        codes = range(len(self.classes_))
        full = (np.full(len(inputs), float(code)) for code in codes)
        return np.column_stack([self._log_density(inputs, target) for target in full])

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class of largest predictive probability, shape (N,).

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.

        Returns
        -------
        array of shape (N,)
            Entries of ``classes_``.

        Raises
        ------
        NotFittedError, ValueError
            As for `predict_proba`.

        Examples
        --------
        >>> # classifier: a fitted one that tells "inside" (-1, 1) from "outside"
        >>> classifier.predict([[0.0], [1.9]]).tolist()
        ['inside', 'outside']
        """
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def log_predictive_density(self, X: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Return the log predictive probability (nats) of each row's class, shape (N,).

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.
        y : array_like of shape (N,)
            Classes.

        Returns
        -------
        array of shape (N,)
            Nats.

        Raises
        ------
        InputError
            A class in y was not there when the model was fitted.

        Examples
        --------
        >>> # classifier: a fitted one that tells "inside" (-1, 1) from "outside"
        >>> classifier.log_predictive_density([[0.0], [1.9]], ["inside", "outside"]).shape
        (2,)
        """
        check_is_fitted(self)
        inputs, labels = validate_data(self, X, y, dtype=np.float64, reset=False)
        strange = ~np.isin(labels, self.classes_)
        if strange.any():
            row = int(strange.argmax())
            raise InputError(
                f"y: row {row} (counted from 0) is {labels[row]!r}, which is none of the classes"
            )
        codes = np.searchsorted(self.classes_, labels).astype(float)
        return self._log_density(self._inputs(inputs), codes)


class BayesianMLPRegressor(RegressorMixin, _BayesianMLP):  # type: ignore[misc]
    """A Bayesian neural network for numbers and counts: NUTS chains of its posterior, stacked.

    With ``standardise`` the network learns the standardised target, or counts by their rate
    relative to the mean count. Whatever is returned is in the units of the target.

    Parameters
    ----------
    hidden : int or tuple of int
        Units of each hidden layer.
    activation : {"tanh", "sigmoid", "relu"}
        Activation of the hidden units.
    prior : str or None
        Prior of every weight and bias, or priors by group, as in `manymodes.Network`. None is
        ``ih=normal:1*half-normal bh=normal:1 ho=normal:1 bo=normal:1``, with ``io=normal:1`` for
        skip connections: each input has a scale of its own. Under a constraint that allows no
        priors by group, None is ``normal:1``.
    likelihood : str
        The distribution of the target, as in `manymodes.Network`: ``normal`` with noise of one
        size, ``heteroscedastic`` (normal with a noise that depends on the inputs) or
        ``student:NU``, which take several targets too; or ``poisson`` or ``negative-binomial``,
        for counts.
    sigma : float or None
        The noise, if it is known, in the units of the target; of the negative binomial likelihood
        its sigma. With None it is sampled.
    constraint : str
        Constraint on the hidden layers, as in `manymodes.Network`.
    skip : bool or None
        Give the network weights from the inputs to the outputs too: a linear model beside the
        hidden units. None does so with the default prior, unless the constraint allows no skip
        connections; with a prior of your own it does not.
    chains : int
        How many independent chains.
    warmup, draws : int
        Iterations of each chain before and after its adaptation ends.
    adapt_delta : float
        Target acceptance rate of NUTS, in (0, 1).
    max_treedepth : int or None
        The longest trajectory has 2**max_treedepth gradients. The default, None, bounds the time
        of a fit, because predictions need less of a chain than weights do: 7 with NUTS and 9 with
        mams.
    sampler : {"cmdstan", "nutpie", "mams"} or None
        As in `manymodes.ChainSettings`. None is NUTS of CmdStan with one hidden layer and mams
        with more, where mams predicts better for the time (docs/chains.md).
    init : str or None
        Where chains start, as in `manymodes.ChainSettings`. None is ``climb`` with mams, and
        ``radius:2`` otherwise.
    stacking : bool
        Weight chains by stacking their leave-one-out predictive densities (Yao, Vehtari and Gelman
        2022); otherwise equally.
    standardise : bool
        Give the network inputs with mean 0 and standard deviation 1, or a smaller one for a column
        in which values would lie farther than 4 from 0 (a constant column keeps its scale), divided
        by the square root of their number, and a standardised target, multiplied by the square root
        of the number of units in the last hidden layer: the prior on functions then does not depend
        on how many inputs and units there are (Neal 1996). Counts stay as they are, and each has
        the mean count as its exposure. Otherwise the network sees the numbers as they are.
    random_state : int, RandomState or None
        Decides every draw.
    n_jobs : int or None
        How many chains run at once, each a process of CmdStan; None is 1, -1 all cores.
    kernel : bool
        Compute the likelihood in C++ where that can be compiled, as in `manymodes.Posterior`.
    out : path or None
        Folder that keeps program, data and chains, for `manymodes compare` and, with the same
        data, settings and random_state, for another fit, which then samples nothing.
    verbose : bool
        Show progress on standard error.

    Attributes
    ----------
    n_features_in_ : int
        The number of inputs; ``feature_names_in_`` has their names, if they had any.
    network_ : manymodes.Network
        The network.
    posterior_ : manymodes.Posterior
        Its posterior, given the inputs and targets as the network sees them.
    chains_ : manymodes.Chains
        The chains that finished, C of S draws.
    weights_ : ndarray of shape (C,)
        The weight of each chain; they add up to 1.
    draws_ : dict of ndarrays of shape (C, S, ...)
        The draws of the network's weights, by name.
    scaler_ : StandardScaler
        What standardises the inputs.
    target_mean_, target_scale_ : float, or arrays of shape (T,) of several targets
        What is subtracted from the target, and what it is then divided by, before the network
        learns it (0 and 1 without ``standardise``). For counts, 0 and their exposure.

    Raises
    ------
    InputError
        When `fit` is called with a parameter that is not allowed.

    Examples
    --------
    >>> from manymodes.sklearn import BayesianMLPRegressor
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> y = np.tanh(X[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=40)
    >>> model = BayesianMLPRegressor(hidden=2, chains=2, warmup=150, draws=100, random_state=1)
    >>> mean, sd = model.fit(X, y).predict([[-2.0], [0.0], [2.0]], return_std=True)
    >>> bool((np.abs(mean - [-0.96, 0.0, 0.96]) < 0.3).all()), bool((sd < 0.5).all())
    (True, True)
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (8,),
        *,
        activation: str = "tanh",
        prior: str | None = None,
        likelihood: str = "normal",
        sigma: float | None = None,
        constraint: str = "none",
        skip: bool | None = None,
        chains: int = 4,
        warmup: int = 300,
        draws: int = 300,
        adapt_delta: float = 0.8,
        max_treedepth: int | None = None,
        sampler: str | None = None,
        init: str | None = None,
        stacking: bool = True,
        standardise: bool = True,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        kernel: bool = True,
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            hidden,
            activation=activation,
            prior=prior,
            constraint=constraint,
            skip=skip,
            chains=chains,
            warmup=warmup,
            draws=draws,
            adapt_delta=adapt_delta,
            max_treedepth=max_treedepth,
            sampler=sampler,
            init=init,
            stacking=stacking,
            standardise=standardise,
            random_state=random_state,
            n_jobs=n_jobs,
            kernel=kernel,
            out=out,
            verbose=verbose,
        )
        self.likelihood = likelihood
        self.sigma = sigma

    def __sklearn_tags__(self) -> Any:
        """Say that several targets are allowed, where the likelihood allows them."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.likelihood.partition(":")[0] in REAL
        return tags

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Sample the posterior given inputs X, shape (N, M), and targets y.

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.
        y : array_like of shape (N,), or (N, T) of several targets
            Targets, in any unit; counts for the likelihoods of counts.

        Returns
        -------
        BayesianMLPRegressor
            This one, fitted.

        Raises
        ------
        ValueError
            X or y are not what scikit-learn's regressors take, or have fewer than two rows.
        InputError
            A parameter is not allowed (also a ValueError).
        SamplingError
            Not one chain finished.

        Examples
        --------
        >>> from manymodes.sklearn import BayesianMLPRegressor
        >>> X = np.linspace(-2, 2, 40)[:, None]
        >>> model = BayesianMLPRegressor(hidden=2, chains=2, warmup=150, draws=100, random_state=1)
        >>> model.fit(X, np.tanh(X[:, 0])).chains_.n_chains
        2
        """
        kind = self._kind()
        inputs, values = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_min_samples=2,
            y_numeric=True,
            multi_output=kind.is_real,
        )
        values = values.astype(float)
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if kind.is_count:
            return self._fit_counts(inputs, values)
        columns = values.reshape(len(values), -1)
        sd = math.sqrt(Network(1, self._widths()).hidden[-1]) if self.standardise else 1.0
        means, scales = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        if self.standardise:
            scaler = StandardScaler().fit(columns)
            means, scales = scaler.mean_, scaler.scale_ / sd
        target = (columns - means) / scales
        sigma = None if self.sigma is None else self._sigma(scales)
        for place in np.flatnonzero(np.ptp(columns, axis=0) == 0) if sigma is None else ():
            # The likelihood has no bound where a constant is learnt without noise.
            noise = _CONSTANT_NOISE * sd
            which = "y" if columns.shape[1] == 1 else f"column {place} of y"
            warnings.warn(
                f"{type(self).__name__}: {which} is constant ({columns[0, place]:g}), which says"
                f" nothing of its noise: noise of standard deviation {noise * scales[place]:g} is"
                " assumed",
                stacklevel=2,
            )
            ranks = np.random.default_rng(0).permutation(len(values))  # of no input's order
            target[:, place] += noise * ndtri((ranks + 0.5) / len(values))
        self._y_ndim = values.ndim
        one = values.ndim == 1
        self.target_mean_ = float(means[0]) if one else means
        self.target_scale_ = float(scales[0]) if one else scales
        self._sample(
            inputs,
            target if target.shape[1] > 1 else target[:, 0],
            self.likelihood,
            target.shape[1],
            default=_OF_NUMBERS,
            sigma_scale=sd,
            sigma=sigma,
        )
        return self

    def _kind(self) -> Likelihood:
        """Return the likelihood; refuse those that have no place here."""
        kind = Likelihood.parse(self.likelihood)
        if not (kind.is_real or kind.has_exposure):
            raise InputError(
                f"likelihood: {self.likelihood!r} is not for this regressor; allowed are "
                f"{', '.join((*REAL[:2], 'student:NU', *RATES))}"
            )
        return kind

    def _fit_counts(self, inputs: FloatArray, values: FloatArray) -> Self:
        """Sample the posterior given counts, relative to their mean if they are standardised."""
        mean = float(values.mean())
        self._y_ndim = 1
        self.target_mean_ = 0.0
        self.target_scale_ = mean if self.standardise and mean > 0 else 1.0
        self._sample(
            inputs,
            values,
            self.likelihood,
            default=_OF_NUMBERS,
            sigma=self.sigma,
            exposure=self.target_scale_,
        )
        return self

    def _sigma(self, scales: FloatArray) -> float:
        """Return a known noise in the units that the network sees."""
        assert self.sigma is not None
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma: {self.sigma} is not a positive finite number")
        if np.ptp(scales) > 0:
            raise InputError(
                "sigma: the targets are standardised by different standard deviations, and the "
                "network has one noise for all: use standardise=False, or leave sigma out"
            )
        return float(self.sigma / scales[0])

    def predict(
        self, X: npt.ArrayLike, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Return the predictive mean, shape (N,), or (N, T) of several targets.

        Parameters
        ----------
        X : array_like, shape (N, M)
            Inputs.
        return_std : bool
            Return the standard deviation of the predictive distribution too, of the same shape:
            that of the noise and of the function. It is infinite for Student's t of two degrees of
            freedom or fewer.

        Returns
        -------
        array of shape (N,) or (N, T), or a tuple of two
            In the units of the target.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        ValueError
            X is not what scikit-learn's regressors take.

        Examples
        --------
        >>> # regressor: a fitted one of tanh(x) with a little noise
        >>> low, middle, high = regressor.predict([[-2.0], [0.0], [2.0]])
        >>> bool(low < -0.6), bool(abs(middle) < 0.3), bool(high > 0.6)
        (True, True, True)
        """
        inputs = self._checked(X)

        def block(rows: slice) -> FloatArray:
            values = self.network_.predict(self.draws_, inputs[rows])
            values = values.reshape(*values.shape[:3], -1) * self._exposure
            mean = self._mean(values)
            if not return_std:
                return mean[:, None]
            variance = self._mean((values - mean) ** 2) + self._noise_variance(values, inputs[rows])
            return np.stack([mean, variance], axis=1)

        found = self._by_rows(block, len(inputs))
        mean = self.target_mean_ + self._unit * found[:, 0]
        if self._y_ndim == 1:
            mean = mean[:, 0]
        if not return_std:
            return mean
        sd = self._unit * np.sqrt(found[:, 1])
        return mean, sd[:, 0] if self._y_ndim == 1 else sd

    @property
    def _exposure(self) -> float:
        """What the rate of a count is multiplied by."""
        return float(self.target_scale_) if self.network_.likelihood_parts.is_count else 1.0

    @property
    def _unit(self) -> float | FloatArray:
        """The unit of the network's target, in that of the user's."""
        return 1.0 if self.network_.likelihood_parts.is_count else self.target_scale_

    def _noise_variance(self, values: FloatArray, inputs: FloatArray) -> FloatArray:
        """Return the mean variance of outcomes about the means of draws, shape (N, T) or less.

        ``values``, shape (C, S, N, T), are these means.
        """
        kind = self.network_.likelihood_parts
        if kind.is_count:
            if kind.kind == "poisson":
                return self._mean(values)
            sigma = self.network_.noise_of(self.draws_)
            assert sigma is not None
            return self._mean(values + (sigma[..., None, :] * values) ** 2)
        if kind.kind == "heteroscedastic":
            by_row = self.network_.noise(self.draws_, inputs).reshape(values.shape)
            return self._mean(by_row**2)
        noise = self.network_.noise_of(self.draws_)
        assert noise is not None
        square = noise**2 if noise.ndim == 1 else self._mean(noise**2)
        if not math.isfinite(kind.nu):
            return square
        return square * (kind.nu / (kind.nu - 2) if kind.nu > 2 else math.inf)

    def log_predictive_density(self, X: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Return the log predictive density of each row's target, shape (N,).

        In nats, with respect to y in its own units.

        Parameters
        ----------
        X : array_like of shape (N, M)
            Inputs.
        y : array_like of shape (N,), or (N, T) of several targets
            Targets.

        Returns
        -------
        array of shape (N,)
            Nats per unit of the target; of several targets, of all together. Of counts it is the
            log of a probability.

        Raises
        ------
        NotFittedError
            The model has not been fitted.
        ValueError
            X or y is not what scikit-learn's regressors take.

        Examples
        --------
        >>> # regressor: a fitted one of tanh(x) with a little noise
        >>> near, far = regressor.log_predictive_density([[0.0], [0.0]], [0.0, 3.0])
        >>> bool(near > far)
        True
        """
        check_is_fitted(self)
        kind = self.network_.likelihood_parts
        inputs, values = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            reset=False,
            y_numeric=True,
            multi_output=kind.is_real,
        )
        if kind.is_count:
            counts = np.asarray(values, dtype=float)
            return self._log_density(self._inputs(inputs), counts, self._exposure)
        values = values[:, 0] if values.ndim == 2 and self.network_.outputs == 1 else values
        target = (values - self.target_mean_) / self.target_scale_
        targets = np.broadcast_to(self.target_scale_, self.network_.outputs)
        log_unit = float(np.log(targets).sum())
        return self._log_density(self._inputs(inputs), target) - log_unit
