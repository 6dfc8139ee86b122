"""Files of figures that a command writes: checked before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from manymodes.errors import InputError
from manymodes.runtime.storage import atomic, refuse_existing, sweep_partials

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_figure_file(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuse a file that no figure can be written to.

    Parameters
    ----------
    path : Path
        The file; its ending is the kind of figure.
    option : str
        The option that named it, for messages.
    overwrite : bool
        Whether it may be there.

    Raises
    ------
    InputError
        The ending is no kind of figure, there is no such folder, or the file is there.
    """
    from matplotlib.figure import Figure

    kind = path.suffix.lstrip(".").lower()
    if kind not in Figure().canvas.get_supported_filetypes():
        what = f"'{kind}' is no kind of figure; take .png, .pdf or .svg"
        raise InputError(f"{option}: '{path}' cannot be written: {what}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option}: '{path}' cannot be written: there is no such folder")
    refuse_existing([path], overwrite)
    sweep_partials(path.absolute().parent, path.name)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in one step.

    Raises
    ------
    InputError, StorageError
        It cannot be written.
    """
    with atomic(path) as partial:
        figure.savefig(partial, dpi=150, format=path.suffix.lstrip(".").lower())
