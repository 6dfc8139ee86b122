"""Executors on other machines: the workers of Dask, and an MPI pool.

Both are a `concurrent.futures.Executor`. A worker needs manymodes and its own toolchain;
programs are sent to it as text and compiled into its own cache.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
)
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from manymodes._version import __version__
from manymodes.errors import InputError
from manymodes.runtime.tasks import Parcel
from manymodes.wording import escaped, quoted

PATIENCE_SECONDS = 30.0
"""How long a Dask scheduler may take to answer, at the start and after its connection is lost."""

WORKERLESS_SECONDS = 600.0
"""How long tasks wait on a Dask scheduler after it has lost its last worker."""

FIRST_SECONDS = 5.0
"""How long a scheduler may take until it listens at its address, at the start."""

_SCHEMES = {"tcp": 8786, "tls": 8786, "ws": 8786, "wss": 8786, "ucx": None, "ucxx": None}
_HANDSHAKE_SECONDS = 10.0
_WATCH_SECONDS = 0.5
_COUNT_SECONDS = 5.0
_RESULT_SECONDS = 120.0  # that one value may take to arrive from its worker
_FETCHERS = 8
_MANY = 64  # workers that a cluster is assumed to have at least, because more may join


@contextmanager
def dask_executor(
    address: str, *, patience: float = PATIENCE_SECONDS, workerless: float = WORKERLESS_SECONDS
) -> Iterator[Executor]:
    """Hold an executor that runs tasks on the workers of a Dask scheduler.

    If a worker dies, the scheduler gives its tasks to the others. If the connection to the
    scheduler is lost, the running tasks end with `BrokenExecutor`. The next task that is
    submitted connects again, or ends in the same way if no scheduler answers in time.

    Parameters
    ----------
    address : str
        The scheduler's address: ``HOST:PORT`` or ``tcp://HOST:PORT``.
    patience : float
        Seconds that the scheduler may take to answer, now and after a lost connection.
    workerless : float
        Seconds that tasks wait for a new worker after the last one is gone.

    Yields
    ------
    concurrent.futures.Executor
        What `run_chains` and `run_nested` take as ``executor``.

    Raises
    ------
    InputError
        Dask is not installed, no scheduler answers in time, or a worker has another manymodes.

    Examples
    --------
    Not run by the tests, for it needs a scheduler that is up:

    >>> with mm.dask_executor("tcp://10.0.0.1:8786") as executor:  # doctest: +SKIP
    ...     chains = mm.run_chains(posterior, chains=256, executor=executor)
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            "dask: the package 'distributed' is not installed: pip install 'manymodes[dask]'"
        ) from None
    address = _checked_address(address, min(patience, FIRST_SECONDS))
    with _quiet("distributed"):
        executor = _DaskExecutor(distributed, address, patience, workerless)
        try:
            executor.connect()
            yield executor
        finally:
            executor.shutdown(wait=False)


def _checked_address(address: str, patience: float) -> str:
    """Return the complete address of a scheduler, after a check that something listens there.

    Raises
    ------
    InputError
        It is not an address, or nothing listens: Dask itself would wait, and say less.
    """
    scheme, _, rest = address.strip().rpartition("://")
    scheme = scheme.lower() or "tcp"
    if scheme == "inproc":
        return address
    if scheme not in _SCHEMES:
        raise InputError(
            f"dask: no scheduler answers at {escaped(address)} within {patience:g} s: its address "
            f"is HOST:PORT or tcp://HOST:PORT, and never begins with {quoted(scheme + '://')}"
        )
    try:
        found = urlsplit(f"//{rest}")
        host, port = found.hostname, found.port or _SCHEMES[scheme]
    except ValueError:
        host, port = None, None
    if (
        not host
        or found.path.strip("/")
        or found.username
        or (port is None and scheme[:3] != "ucx")
    ):
        raise InputError(
            f"dask: {quoted(address)} is not an address such as HOST:PORT or tcp://HOST:PORT"
        )
    if scheme[:3] == "ucx":
        return address
    _knock(address, host, port or 0, patience)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"


def _knock(address: str, host: str, port: int, patience: float) -> None:
    """Raise `InputError` if nothing listens at a host's port in time."""
    until = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, port), timeout=patience).close()
            return
        except socket.gaierror as error:
            raise InputError(
                f"dask: host {quoted(host)} is not known ({error.strerror})"
            ) from error
        except (ValueError, OverflowError) as error:  # a UnicodeError is a ValueError
            raise InputError(f"dask: {quoted(address)} is not an address ({error})") from error
        except OSError as error:
            if time.monotonic() + _WATCH_SECONDS > until:
                raise InputError(
                    f"dask: no scheduler answers at {address} within {patience:g} s "
                    f"({error.strerror or error or type(error).__name__})"
                ) from error
            time.sleep(_WATCH_SECONDS)


@contextmanager
def mpi_executor() -> Iterator[Executor]:
    """Hold an executor that runs tasks on the other processes of an MPI job.

    The job is started as ``mpiexec -n N python -m mpi4py.futures -m manymodes ...``: one
    process leads the run, N - 1 are its workers. MPI ends the whole job when a process dies.

    Yields
    ------
    concurrent.futures.Executor
        What `run_chains` and `run_nested` take as ``executor``.

    Raises
    ------
    InputError
        mpi4py is not installed, or the job was not started like that.

    Examples
    --------
    Not run by the tests, for it needs a job that mpiexec has started:

    >>> with mm.mpi_executor() as executor:  # doctest: +SKIP
    ...     chains = mm.run_chains(posterior, chains=256, executor=executor)
    """
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor, _core
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"mpi: mpi4py cannot be used ({error}): pip install 'manymodes[mpi]'"
        ) from None
    if MPI.COMM_WORLD.Get_size() < 2 or _core.SharedPool is None:
        raise InputError(
            "mpi: there are no worker processes: start with "
            "'mpiexec -n N python -m mpi4py.futures -m manymodes ...', N of 2 or more"
        )
    executor = MPIPoolExecutor()
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


class _DaskExecutor(Executor):
    """Tasks on a Dask scheduler, as futures that always end.

    Futures of Dask's own executor hang when the scheduler dies (2026.8: if a value is on its
    way, or if a task is submitted while the client tries to connect again).
    """

    def __init__(self, distributed: Any, address: str, patience: float, workerless: float) -> None:
        self._distributed = distributed
        self._address = address
        self._patience = patience
        self._workerless = workerless
        self._client: Any = None
        self._gone: str | None = None
        self._threads = 0
        self._parcels: dict[str, tuple[Any, Any]] = {}
        self._underway: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._closed = threading.Event()
        self._fetchers = ThreadPoolExecutor(_FETCHERS)  # a value may take long to arrive

    @property
    def _max_workers(self) -> int:
        return max(_MANY, self._threads)

    def connect(self) -> None:
        """Connect for the first time and check the workers that have joined."""
        try:
            self._client = self._first_client(min(self._patience, _HANDSHAKE_SECONDS))
            versions = self._client.run(_version, on_error="return")
            self._threads = sum(self._client.nthreads().values())
        except Exception as error:  # a MemoryError, too, if the answer is not Dask's
            said = " ".join(str(error).split())[:200]
            raise InputError(
                f"dask: no scheduler answers at {self._address} ({said or type(error).__name__})"
            ) from error
        for worker, version in versions.items():
            gone = isinstance(version, OSError)  # the scheduler will notice
            if not gone and version != __version__:
                raise InputError(
                    f"dask: the worker at {worker} does not have manymodes {__version__}: "
                    f"{version if isinstance(version, str) else repr(version)}"
                )
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedule a call; after a lost connection, connect first.

        Raises
        ------
        BrokenExecutor
            The scheduler is gone.
        RuntimeError
            The executor is shut down.
        """
        while True:
            if self._closed.is_set():
                raise RuntimeError("cannot schedule new futures after shutdown")
            client = self._connected()
            try:
                placed = [self._placed(client, argument) for argument in args]
                remote = client.submit(fn, *placed, pure=False, **kwargs)
                break
            except Exception:
                if client.status == "running":
                    raise
        future: Future[Any] = Future()
        with self._lock:
            self._underway.add(future)
        future.add_done_callback(partial(self._forget, remote))
        remote.add_done_callback(
            lambda remote: self._fetchers.submit(self._settle, client, future, remote)
        )
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the connection; running tasks are cancelled unless ``wait`` is set."""
        while wait and not cancel_futures and self._underway:
            time.sleep(_WATCH_SECONDS)
        self._closed.set()
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        for future in self._take_underway():
            future.cancel()
        self._close_client()

    def _first_client(self, patience: float) -> Any:
        """Return a client in time: Dask waits for ever if a listener says nothing."""
        found: Future[Any] = Future()

        def connect() -> None:
            try:
                found.set_result(self._new_client(patience))
            except BaseException as error:
                found.set_exception(error)

        threading.Thread(target=connect, daemon=True).start()
        try:
            return found.result(patience + 2 * _WATCH_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"it did not answer as Dask does within {patience:g} s") from None

    def _new_client(self, patience: float | None = None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions of packages that manymodes does not use
            return self._distributed.Client(
                self._address, timeout=patience or self._patience, set_as_default=False
            )

    def _close_client(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._client.close(timeout=2)

    def _connected(self) -> Any:
        """Return a client that is connected."""
        with self._connecting:
            if self._gone is None and self._client.status != "running":
                self._close_client()
                try:
                    self._client = self._new_client()
                except (OSError, ValueError):
                    self._gone = (
                        f"the Dask scheduler at {self._address} is lost and has not answered "
                        f"for {self._patience:g} s"
                    )
            if self._gone is not None:
                raise BrokenExecutor(self._gone)
            return self._client

    def _placed(self, client: Any, argument: Any) -> Any:
        """Send a parcel once, as its own task, which Dask can repeat if its worker dies."""
        if not isinstance(argument, Parcel):
            return argument
        key = f"parcel-{argument.digest}"
        owner, handle = self._parcels.get(key, (None, None))
        if owner is not client:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Dask warns that the parcel is large
                handle = client.submit(_same, argument, key=key)
            self._parcels[key] = (client, handle)
        return handle

    def _settle(self, client: Any, future: Future[Any], remote: Any) -> None:
        """Pass on the outcome of a task; called in its own thread."""
        if future.done():
            return
        try:
            value = remote.result(timeout=_RESULT_SECONDS)
        except BaseException as error:
            connected = client.status == "running" and not isinstance(error, OSError)
            if remote.status == "error" or (remote.status == "finished" and connected):
                self._end(future, error.with_traceback(None))
            else:
                self._end(future, BrokenExecutor(f"its result did not arrive ({error!r})"))
        else:
            with suppress(InvalidStateError):  # the future was given up meanwhile
                future.set_result(value)

    @staticmethod
    def _end(future: Future[Any], error: BaseException) -> None:
        with suppress(InvalidStateError):
            future.set_exception(error)

    def _forget(self, remote: Any, future: Future[Any]) -> None:
        """Let Dask drop a task that has ended here."""
        with self._lock:
            self._underway.discard(future)
        if future.cancelled():
            remote.release()

    def _take_underway(self) -> list[Future[Any]]:
        with self._lock:
            futures = list(self._underway)
            self._underway.clear()
        return futures

    def _watch(self) -> None:
        """End the futures if the connection is lost, or if there are no workers for long."""
        counted = alive = time.monotonic()
        while not self._closed.wait(_WATCH_SECONDS):
            client, now, reason = self._client, time.monotonic(), None
            if client.status != "running":
                reason = f"the connection to the Dask scheduler at {self._address} is lost"
            elif now - counted > min(_COUNT_SECONDS, self._workerless / 4):
                counted = now
                with suppress(Exception):  # a busy scheduler: count next time
                    threads = sum(client.nthreads(callback_timeout=_COUNT_SECONDS).values())
                    alive = now if threads or not self._threads else alive
                    self._threads = threads or self._threads
            if now - alive > self._workerless:
                reason = self._gone = (
                    f"the Dask scheduler at {self._address} has had no worker for "
                    f"{self._workerless:g} s"
                )
            if reason is not None:
                for future in self._take_underway():
                    self._end(future, BrokenExecutor(reason))


def _same(value: Any) -> Any:
    return value


def _version() -> str:
    """Return the version of manymodes; each worker is asked to run this."""
    return __version__


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """Keep the log of a package silent: the engine reports a lost connection once."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == package]
    loggers = [logging.getLogger(name) for name in (package, *names)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
