"""The exceptions that a user of manymodes can catch.

All of them derive from `ManymodesError`. The command line turns an `InputError` into exit
status 2 and one line, and any other `ManymodesError` into exit status 1 and one line.
"""

from __future__ import annotations

from manymodes.wording import message


class ManymodesError(Exception):
    """Base class of every error that manymodes raises on purpose.

    Examples
    --------
    >>> try:
    ...     mm.Network(inputs=0, hidden=(2,))
    ... except mm.ManymodesError as error:
    ...     print(error)
    inputs: 0 is not allowed; give a whole number, 1 or more
    """

    def __str__(self) -> str:
        """Return the message; names in it carry nothing that a terminal obeys."""
        return message(super().__str__())


class InputError(ManymodesError, ValueError):
    """The user's input is wrong: the message says what, where, and how to mend it.

    Examples
    --------
    It is a ValueError too:

    >>> try:
    ...     mm.NutsSettings(draws=1)
    ... except ValueError as error:
    ...     print(error)
    draws: 1 is not 4 or more
    """


class ToolchainError(ManymodesError, RuntimeError):
    """A part of the toolchain (compiler, CmdStan, BridgeStan, PolyChord) is missing or broken."""


class CompileError(ToolchainError):
    """A Stan program does not compile; the message carries the compiler's first complaint."""


class KilledError(ToolchainError):
    """A compiler was killed before it was done: this says nothing about the program."""


class DensityError(ManymodesError, RuntimeError):
    """The log density could not be evaluated where it must be finite."""


class SamplingError(ManymodesError, RuntimeError):
    """A sampler failed: no chain or no nested run finished."""


class TimeLimitError(SamplingError):
    """A chain's time limit came before it had draws to keep."""


class EngineError(ManymodesError, RuntimeError):
    """The workers of a run are gone for good: what is finished is kept, `--resume` goes on.

    Examples
    --------
    >>> issubclass(mm.EngineError, mm.ManymodesError)
    True
    """


class StorageError(ManymodesError, OSError):
    """Results or scratch files cannot be written: the disk is full, or failed.

    Examples
    --------
    >>> issubclass(mm.StorageError, OSError)
    True
    """


class ResultsError(InputError):
    """A run directory is missing, incomplete, or holds files that cannot be read."""


class ManymodesWarning(UserWarning):
    """Base class of the warnings that manymodes gives; the command line shows them as a line."""

    def __str__(self) -> str:
        """Return the message; names in it carry nothing that a terminal obeys."""
        return message(super().__str__())


class ThreadsWarning(ManymodesWarning):
    """A likelihood has fewer threads than were asked for: the cores are taken by other tasks."""


class NamesWarning(ManymodesWarning):
    """A variable has another name in files, because another package reserves its name."""


class KernelWarning(ManymodesWarning):
    """The kernel does not compile on this machine: the likelihood is computed by Stan, slower."""


class VersionsWarning(ManymodesWarning):
    """A run goes on with other versions than it was begun with."""


class UnfinishedWarning(ManymodesWarning):
    """A run holds fewer chains or nested runs than were asked for: figures are of those."""


class StrayFileWarning(ManymodesWarning):
    """A folder of results holds a file that does not belong to the run; it is left out."""


class UpgradeWarning(ManymodesWarning):
    """Today's text replaces that of a program that an earlier manymodes wrote."""


class QuantitiesWarning(ManymodesWarning):
    """Some quantities of a program cannot be among its draws: they are named and left out."""


class RecordWarning(ManymodesWarning):
    """What earlier commands kept about a run's modes cannot be used: it is computed again."""


class AdoptionWarning(ManymodesWarning):
    """Chains that were made elsewhere are taken in, and something of them could not be checked."""


class TableWarning(ManymodesWarning):
    """A table can be read, and may not mean what it says."""
