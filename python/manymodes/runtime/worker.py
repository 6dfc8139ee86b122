"""The worker's side of the engine: how a worker begins, and how it opens and runs tasks."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from manymodes.errors import ManymodesError
from manymodes.runtime.printed import flush, keep_silent
from manymodes.runtime.scratch import use_temporary
from manymodes.runtime.warning_log import begin_in_worker

Value = TypeVar("Value")


class Parcel(Generic[Value]):
    """A value that is pickled once by its sender and opened once in each worker process.

    Parameters
    ----------
    value : object
        It must be picklable; exceptions of pickle are passed on.

    Attributes
    ----------
    digest : str
        A hash of the pickled value.
    """

    _opened: ClassVar[OrderedDict[str, Any]] = OrderedDict()
    _lock: ClassVar[Any] = threading.RLock()  # a value may hold other parcels
    _KEPT: ClassVar[int] = 4

    def __init__(self, value: Value) -> None:
        self._bytes = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        self.digest = hashlib.sha256(self._bytes).hexdigest()

    def open(self) -> Value:
        """Return the value; it is the same object while a process opens few other parcels."""
        with Parcel._lock:
            if self.digest not in Parcel._opened:
                Parcel._opened[self.digest] = pickle.loads(self._bytes)
                while len(Parcel._opened) > Parcel._KEPT:
                    Parcel._opened.popitem(last=False)
            Parcel._opened.move_to_end(self.digest)
            value: Value = Parcel._opened[self.digest]
            return value


def begin_worker(parent: int, scratch: Path) -> None:
    """Make a local worker end with the process that started it; only that process takes Ctrl-C.

    Parameters
    ----------
    parent : int
        The process that started it.
    scratch : Path
        The folder for temporary files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died in between
        os._exit(1)
    use_temporary(scratch)
    keep_silent()
    use_one_thread()


class Sealed:
    """The outcome of a task in another process: it is always bytes, so that it can be sent.

    An executor may hang on a value that cannot be pickled (Dask), and lose its workers to an
    exception that cannot be opened (a process pool) or that is no `Exception` (Dask, MPI).
    """

    def __init__(self, value: object, error: BaseException | None) -> None:
        said = None if error is None else describe(error)
        self._bytes = pickle.dumps((value, said, error), protocol=pickle.HIGHEST_PROTOCOL)

    def open(self) -> tuple[Any, str | None, BaseException | None]:
        """Return the value, the line that a user reads about a failure, and the exception."""
        value, said, error = pickle.loads(self._bytes)
        return value, said, error


def work(parent: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task; in another process seal its outcome and use one thread of linear algebra.

    Parameters
    ----------
    parent : int
        The process that hands the tasks out.
    """
    if os.getpid() == parent:
        return function(*arguments)
    use_one_thread()
    keep_silent()
    begin_in_worker()
    try:
        return Sealed(function(*arguments), None)
    except BaseException as error:
        return Sealed(None, _that_travels(error))
    finally:
        flush()


def _that_travels(error: BaseException) -> BaseException:
    """Return an exception that can be opened elsewhere; its notes say where it was raised."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error, protocol=pickle.HIGHEST_PROTOCOL))
    except Exception:
        return RuntimeError(describe(error))
    return error


def describe(error: BaseException) -> str:
    """Return an error as the line that a user reads."""
    said = str(error)
    if isinstance(error, ManymodesError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def use_one_thread() -> None:
    """Do linear algebra on one thread: workers fill the cores."""
    from threadpoolctl import threadpool_limits

    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    threadpool_limits(1)
