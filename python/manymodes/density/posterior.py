"""A posterior: one Stan program and one data set, seen as one density by both engines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.compiled import compile_posteriors as compile_posteriors
from manymodes.density.compiled import load_model
from manymodes.density.earlier import as_at_first
from manymodes.density.generated import said
from manymodes.density.kernel import too_deep, with_kernel
from manymodes.density.labels import exported_names
from manymodes.density.log_likelihood import LogLik, find_log_lik, log_lik_of
from manymodes.density.program import Program
from manymodes.density.stan_data import data_switch, read_data, stan_json
from manymodes.density.variables import Variable, left_out, variables_of
from manymodes.errors import DensityError, InputError, QuantitiesWarning
from manymodes.networks.network import Network
from manymodes.runtime.shown import Shown
from manymodes.runtime.storage import digest
from manymodes.types import FloatArray

PRIOR_SWITCH = "prior_only"
LOG_LIK_SWITCH = "save_log_lik"


@dataclass(frozen=True, repr=False)
class Posterior(Shown):
    """A Stan program with data: the log density and everything that follows from it.

    Parameters
    ----------
    program : Program
        The Stan program.
    data : mapping
        Its data, as for CmdStan's JSON.
    name : str
        The posterior's name in results.
    network : Network, optional
        The network that the program describes; it gives predictions.
    data_file : Path, optional
        The file of the data, for messages.

    Notes
    -----
    Points are given in the unconstrained space, shape (..., D), which Stan maps to the
    parameters. Log densities are in nats, with all constants (``propto=False``) and with the
    Jacobian of the constraining transform, so that a normalised program integrates to the
    evidence over the unconstrained space.

    Examples
    --------
    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> posterior.dims, posterior.unconstrained_names, posterior.n_obs
    (1, ('mu.1',), 5)
    >>> round(posterior.log_density([1.0]), 3)
    -8.687
    """

    program: Program
    data: Mapping[str, Any]
    name: str = "posterior"
    network: Network | None = field(default=None, compare=False)
    data_file: Path | None = field(default=None, compare=False)

    def _headline(self) -> str:
        """Say what it is; nothing is compiled for that."""
        network = self.network
        if network is not None:
            return (
                f"Posterior '{self.name}': {network.parameter_count} parameters, "
                f"{self.n_obs} observations, network {network.described}"
            )
        dims = self.__dict__.get("dims")  # known only of a compiled program
        size = "" if dims is None else f"{dims} parameters, "
        return f"Posterior '{self.name}': {size}program {self.program.stan_file.name}" + (
            f", data {', '.join(self.data)}" if self.data else ", no data"
        )

    def __post_init__(self) -> None:
        """Take the program without the kernel if the kernel cannot compute the network."""
        if self.depth_caution and self.program.kernel:
            object.__setattr__(self, "program", self.program.definition)

    @classmethod
    def from_files(
        cls, stan_file: str | Path, data_file: str | Path | None = None, *, kernel: bool = True
    ) -> Posterior:
        """Make a posterior from a ``.stan`` file and a ``.json`` file, if the program has data.

        With `kernel` the likelihood of a network's program is computed in C++.

        Parameters
        ----------
        stan_file, data_file : path
            The program and its data.
        kernel : bool
            Compute the likelihood of a network's program in C++.

        Returns
        -------
        Posterior
            Called as the program; nothing is compiled yet.

        Raises
        ------
        InputError
            A file is missing or the data are not a JSON object.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
        >>> posterior.name, posterior.data["N"]
        ('model', 5)
        """
        path = None if data_file is None else Path(data_file)
        data = {} if path is None else read_data(path)
        program = Program(Path(stan_file), kernel)
        return cls(program, data, name=program.name, data_file=path)

    @classmethod
    def from_network(
        cls,
        network: Network,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        name: str | None = None,
        *,
        exposure: npt.ArrayLike | None = None,
        trials: npt.ArrayLike | None = None,
        kernel: bool = True,
    ) -> Posterior:
        """Make the posterior of a network given inputs X, shape (N, M), and targets y, (N,).

        With `kernel` its likelihood is computed in C++ if this can be compiled.

        Parameters
        ----------
        network : Network
            The network.
        X : array_like of shape (N, M)
            Inputs.
        y : array_like of shape (N,), or (N, outputs) of several real targets
            Targets, as in `Network.data`.
        name : str, optional
            What the posterior is called; by default the name of the constraint.
        exposure, trials : array_like of shape (N,), optional
            Of counts, as in `Network.data`.
        kernel : bool
            Compute the likelihood in C++.

        Returns
        -------
        Posterior
            Nothing is compiled yet.

        Raises
        ------
        InputError
            X or y has the wrong shape or a value that is not allowed.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(2,), activation="tanh")
        >>> posterior = mm.Posterior.from_network(network, [[-1.0], [0.0], [1.0]], [0, 1, 1])
        >>> posterior.name, posterior.n_obs
        ('none', 3)
        """
        return cls(
            Program(network.program, kernel),
            network.data(np.asarray(X), np.asarray(y), exposure=exposure, trials=trials),
            name or network.constraint,
            network,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded library out: the other process loads its own."""
        fields = ("program", "data", "name", "network", "data_file")
        return {name: self.__dict__[name] for name in fields}

    @property
    def depth_caution(self) -> str:
        """Why the kernel cannot compute a very deep network; empty for any other posterior."""
        why = too_deep(self.data)
        return f"{self.name}: {why}" if why and with_kernel(self.program.sources) else ""

    # ------------------------------------------------------------ compiled forms

    def compile(self, *, quiet: bool = True) -> Posterior:
        """Compile the program for both engines now, side by side; return the posterior.

        Parameters
        ----------
        quiet : bool
            Show no progress.

        Returns
        -------
        Posterior
            This one.

        Raises
        ------
        CompileError
            The program does not compile; the message is the compiler's.
        ToolchainError
            A part of the toolchain is missing.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json").compile()
        >>> posterior.program.is_compiled()
        True
        """
        compile_posteriors([self], quiet=quiet)
        return self

    def check(self) -> None:
        """Refuse a posterior that no engine could run, before anything is compiled.

        Raises
        ------
        InputError
            The program has no parameters, or a whole number of the data is too large for Stan.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(2,), activation="tanh")
        >>> mm.Posterior.from_network(network, [[-1.0], [0.0], [1.0]], [0, 1, 1]).check()
        """
        self.program.check_parameters()
        self.data_json  # noqa: B018

    @cached_property
    def data_json(self) -> str:
        """The data as JSON text, without undeclared items that Stan cannot read.

        Raises
        ------
        InputError
            A whole number is out of the range of an int, or Stan cannot take a value.
        """
        source = "data" if self.data_file is None else str(self.data_file)
        return stan_json(self.data, self.program.data_items, source)

    @cached_property
    def identity(self) -> dict[str, str]:
        """Short hashes of the program's text and of the data: equal for equal posteriors.

        Our own files count with their first text, whatever version of manymodes wrote them.
        """
        return {
            "program": digest("\0".join(as_at_first(self.program.sources).values())),
            "data": digest(self.data_json),
        }

    @cached_property
    def model(self) -> Any:
        """The loaded BridgeStan model (a ``bridgestan.StanModel``).

        Raises
        ------
        InputError
            The program has no parameters, or the data do not fit it; the message is Stan's.
        CompileError
            The program does not compile.
        ToolchainError
            The compiled library cannot be loaded.
        """
        self.check()
        return load_model(self.program, self.data_json, self.data_file)

    # ------------------------------------------------------------ shape and names

    @cached_property
    def dims(self) -> int:
        """The dimension D of the unconstrained space."""
        return int(self.model.param_unc_num())

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """Parameters and transformed parameters, in the order of a constrained row.

        Warns
        -----
        QuantitiesWarning
            Complex numbers and tuples are left out.
        """
        names = self.model.param_names(include_tp=True)
        if absent := left_out(names):
            said = f"{self.program.name}: {', '.join(absent)} left out of tables and figures, "
            said += "which cannot show complex numbers and tuples"
            warnings.warn(said, QuantitiesWarning, stacklevel=2)
        return variables_of(names)

    @cached_property
    def exported_names(self) -> dict[str, str]:
        """The name of each variable in files and trees (see ``manymodes.density.labels``)."""
        return exported_names(self.variables)

    @cached_property
    def unconstrained_names(self) -> tuple[str, ...]:
        """The flat names of the unconstrained coordinates."""
        return tuple(self.model.param_unc_names())

    @property
    def n_obs(self) -> int:
        """The number of observations: of a network's rows, otherwise of entries of ``log_lik``."""
        own = self.log_lik_variable.size if self.network is None and self.has_log_lik else 0
        return own if self.network is None else int(self.data["N"])

    # ------------------------------------------------------------ density

    def log_density(self, eta: npt.ArrayLike) -> float:
        """Return the log density (nats) at an unconstrained point, shape (D,).

        It is -inf outside the support, where Stan itself rejects the point. All other errors are
        raised.

        Parameters
        ----------
        eta : array_like of shape (D,)
            The point.

        Returns
        -------
        float
            Nats.

        Raises
        ------
        InputError
            The point has another shape, or the data do not fit the program.
        ToolchainError
            The program does not compile, or cannot be loaded.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations, prior normal(0, 2)
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
        >>> round(posterior.log_density([1.0]), 3), round(posterior.prior.log_density([0.0]), 3)
        (-8.687, -1.612)
        """
        model, point = self.model, self._point(eta)
        try:
            return float(model.log_density(point, propto=False, jacobian=True))
        except RuntimeError:
            return -np.inf

    def gradient(self, eta: npt.ArrayLike) -> tuple[float, FloatArray]:
        """Return the log density (nats) and its gradient, shape (D,), at a point, shape (D,).

        Parameters
        ----------
        eta : array_like of shape (D,)
            The point.

        Returns
        -------
        value : float
            The log density (nats).
        gradient : array of shape (D,)
            Its gradient.

        Raises
        ------
        DensityError
            Stan rejects the point; the message is Stan's.
        InputError, ToolchainError
            As for `log_density`.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
        >>> value, gradient = posterior.gradient([1.0])
        >>> gradient.round(3)
        array([-0.15])
        """
        model, point = self.model, self._point(eta)
        try:
            value, gradient = model.log_density_gradient(point, propto=False, jacobian=True)
        except RuntimeError as error:
            raise DensityError(self.program.users_words(str(error)).strip()) from error
        return float(value), np.asarray(gradient)

    def _point(self, eta: npt.ArrayLike) -> FloatArray:
        """Return one unconstrained point; raise `InputError` if it does not fit."""
        try:
            point = np.asarray(eta, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(f"eta: not an array of numbers ({error})") from error
        if point.shape != (self.dims,):
            raise InputError(
                f"eta: shape {point.shape} is not that of one point of this posterior, "
                f"({self.dims},)"
            )
        return np.ascontiguousarray(point)

    @cached_property
    def prior_only(self) -> bool | None:
        """Whether the data switch ``prior_only`` leaves the likelihood out; None without one."""
        return data_switch(self.program.data_items, self.data, PRIOR_SWITCH)

    @cached_property
    def prior(self) -> Posterior:
        """The same program without its likelihood (data item ``prior_only`` set to 1).

        Raises
        ------
        InputError
            The program has no such switch.
        """
        if self.prior_only is None:
            raise InputError(
                f"the program {self.program.name} has no data item '{PRIOR_SWITCH}' "
                "(0 or 1: leave the likelihood out), which is needed to read the prior; add one"
            )
        return replace(self, data={**self.data, PRIOR_SWITCH: 1}, name=f"{self.name} prior")

    # ------------------------------------------------------------ transforms

    def constrain(self, eta: npt.ArrayLike) -> dict[str, FloatArray]:
        """Map unconstrained points, shape (..., D), to named variables, shape (..., *dims).

        Parameters
        ----------
        eta : array_like of shape (..., D)
            Unconstrained points.

        Returns
        -------
        dict of str to array
            Parameters and transformed parameters.

        Raises
        ------
        DensityError
            As for `constrain_rows`.

        Examples
        --------
        >>> # posterior: noisy XOR, a network with nine parameters, each within (-5, 5)
        >>> weights = posterior.constrain(np.zeros((3, 9)))
        >>> {name: values.shape for name, values in weights.items()}
        {'W_raw': (3, 2, 2), 'b': (3, 2), 'V': (3, 1, 2), 'c': (3, 1), 'W': (3, 2, 2)}
        """
        return self.unpack(self.constrain_rows(eta))

    def constrain_rows(self, eta: npt.ArrayLike) -> FloatArray:
        """Map unconstrained points, shape (..., D), to flat rows, shape (..., P).

        Parameters
        ----------
        eta : array_like of shape (..., D)
            Unconstrained points.

        Returns
        -------
        array of shape (..., P)
            Parameters and transformed parameters; `unpack` names them.

        Raises
        ------
        DensityError
            Transformed parameters throw: the density is zero there. The message is Stan's.

        Examples
        --------
        >>> # posterior: noisy XOR, a network with nine parameters, each within (-5, 5)
        >>> posterior.constrain_rows(np.zeros((3, 9))).shape
        (3, 13)
        """
        points = np.ascontiguousarray(eta, dtype=float)
        flat = points.reshape(-1, points.shape[-1])
        rows = np.empty((len(flat), self.model.param_num(include_tp=True)))
        try:
            for point, row in zip(flat, rows, strict=True):
                self.model.param_constrain(point, include_tp=True, out=row)
        except RuntimeError as error:
            raise DensityError(self.program.users_words(said(error))) from error
        return rows.reshape(*points.shape[:-1], -1)

    def unpack(self, rows: FloatArray) -> dict[str, FloatArray]:
        """Name the columns of flat rows, shape (..., P).

        Parameters
        ----------
        rows : array of shape (..., P)
            Constrained rows.

        Returns
        -------
        dict of str to array of shape (..., *dims)
            Parameters and transformed parameters.

        Examples
        --------
        >>> # posterior, chains: noisy XOR, and eight chains of 200 draws
        >>> posterior.unpack(chains.rows)["W"].shape
        (8, 200, 2, 2)
        """
        return {variable.name: variable.take(rows) for variable in self.variables}

    def unconstrain_rows(self, rows: npt.ArrayLike) -> FloatArray:
        """Map flat rows (parameters first), shape (..., P), to unconstrained points (..., D).

        Parameters
        ----------
        rows : array_like of shape (..., P)
            Constrained rows; of the columns only those of parameters count.

        Returns
        -------
        array of shape (..., D)
            Unconstrained points.

        Raises
        ------
        DensityError
            A row is not in the support; the message is Stan's.

        Examples
        --------
        >>> # posterior: noisy XOR, a network with nine parameters, each within (-5, 5)
        >>> eta = np.linspace(-1, 1, 9)
        >>> bool(np.allclose(posterior.unconstrain_rows(posterior.constrain_rows(eta)), eta))
        True
        """
        values = np.asarray(rows, dtype=float)
        model = self.model
        n_parameters = model.param_num()
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1])[:, :n_parameters])
        points = np.empty((len(flat), self.dims))
        try:
            for row, point in zip(flat, points, strict=True):
                model.param_unconstrain(row, out=point)
        except RuntimeError as error:
            raise DensityError(self.program.users_words(str(error)).strip()) from error
        return points.reshape(*values.shape[:-1], self.dims)

    # ------------------------------------------------------------ likelihood, predictions

    @cached_property
    def with_log_lik(self) -> Posterior:
        """The same posterior with its ``log_lik`` switched on, if it has a switch."""
        if data_switch(self.program.data_items, self.data, LOG_LIK_SWITCH) is not False:
            return self  # it is on, or there is none
        return replace(self, data={**self.data, LOG_LIK_SWITCH: 1})

    @cached_property
    def log_lik_variable(self) -> Variable:
        """The place of ``log_lik`` in a flat row with generated quantities.

        Raises
        ------
        InputError
            The program has no ``log_lik``.
        """
        return find_log_lik(self.with_log_lik.model, self.program.name)

    @cached_property
    def has_log_lik(self) -> bool:
        """Whether the program has the log likelihood of each observation."""
        self.with_log_lik.model  # noqa: B018 - what is wrong with it is no want of log_lik
        try:
            return self.log_lik_variable.size > 0
        except InputError:
            return False

    @property
    def log_lik_shape(self) -> tuple[int, ...]:
        """The shape of the program's ``log_lik``; its entries are the N observations."""
        return self.log_lik_variable.shape

    def log_lik(self, eta: npt.ArrayLike) -> FloatArray:
        """Return the log likelihood of each observation, shape (..., N), in nats.

        It is NaN if the generated quantities throw: `log_lik_told` says why.

        Parameters
        ----------
        eta : array of shape (..., D)
            Unconstrained points.

        Returns
        -------
        array of shape (..., N)
            Nats.

        Raises
        ------
        InputError
            The program has no ``log_lik``.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
        >>> posterior.log_lik([[0.0], [1.0]]).sum(axis=1).round(2)
        array([-9.55, -6.95])
        """
        points = np.ascontiguousarray(eta, dtype=float)
        values = self.log_lik_told(points.reshape(-1, points.shape[-1])).values
        return values.reshape(*points.shape[:-1], -1)

    def log_lik_told(self, eta: FloatArray) -> LogLik:
        """Return the log likelihood at points, shape (S, D), with the reasons for missing values.

        Parameters
        ----------
        eta : array of shape (S, D)
            Unconstrained points.

        Returns
        -------
        LogLik
            Its ``values`` have the shape (S, N), nats, NaN where they are missing.

        Raises
        ------
        InputError
            The program has no ``log_lik``.

        Examples
        --------
        >>> # model.stan, data.json: the mean of five normal observations
        >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
        >>> posterior.log_lik_told(np.array([[0.0], [1.0]])).values.shape
        (2, 5)
        """
        return log_lik_of(self.with_log_lik.model, self.log_lik_variable, np.asarray(eta, float))

    def predict(self, rows: FloatArray, X: npt.ArrayLike) -> FloatArray:
        """Return the network's prediction at inputs X, shape (N, M), for each draw.

        Parameters
        ----------
        rows : array of shape (..., P)
            Constrained rows.
        X : array of shape (N, M)
            Inputs.

        Returns
        -------
        array
            The result of `Network.predict`: (..., N) or, for categorical targets, (..., N, C).

        Raises
        ------
        InputError
            The posterior is not that of a network.

        Examples
        --------
        >>> # posterior, chains: noisy XOR, and eight chains of 200 draws
        >>> corners = [[1, 1], [1, -1], [-1, 1], [-1, -1]]
        >>> posterior.predict(chains.rows, corners).shape  # probabilities of class 1
        (8, 200, 4)
        """
        return self._need_network().predict(self.unpack(rows), np.asarray(X, dtype=float))

    def function_values(self, rows: FloatArray, X: npt.ArrayLike) -> FloatArray:
        """Return the numbers that say which function the network of each row computes.

        Parameters
        ----------
        rows : array of shape (..., P)
            Constrained rows.
        X : array_like of shape (N, M)
            Inputs.

        Returns
        -------
        array
            As `Network.function_values`.

        Raises
        ------
        InputError
            The posterior has no network.

        Examples
        --------
        >>> # posterior, chains: noisy XOR under a network 2-2-1, and eight chains
        >>> corners = [[1.0, 1.0], [1.0, -1.0]]
        >>> posterior.function_values(chains.rows, corners).shape
        (8, 200, 2)
        """
        return self._need_network().function_values(self.unpack(rows), np.asarray(X, dtype=float))

    def _need_network(self) -> Network:
        if self.network is None:
            raise InputError(f"the posterior '{self.name}' has no predictions: it has no network")
        return self.network
