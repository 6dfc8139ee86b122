"""Tables on disk, CSV and Parquet, read with the place of every row and written in one step."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from manymodes.errors import InputError
from manymodes.files import atomic
from manymodes.spreadsheets import inert_frame, plain
from manymodes.storage import ensure_folder

IntArray = npt.NDArray[np.intp]

PARQUET = (".parquet", ".pq")
SUFFIXES = (".csv", *PARQUET)
UNNAMED = "Unnamed: "
"""How a column without a name is called, followed by its number from 0, as pandas does."""

_MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Frame:
    """A table of columns, and where its rows stand in what it was read from.

    Attributes
    ----------
    name : str
        What messages call it: the path of a file.
    data : DataFrame
        Its cells: text from CSV (None where a cell is empty or says so, such as ``NaN`` and
        ``NA``, as pandas reads them), values of their own types from Parquet.
    places : int array of shape (N,)
        Line (CSV) or row (counted from 0) of each row.
    word : {"line", "row"}
        Which of the two.
    """

    name: str
    data: pd.DataFrame
    places: IntArray
    word: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.data.columns)

    def __len__(self) -> int:
        """Return the number N of rows."""
        return len(self.data)

    def take(self, rows: IntArray) -> Frame:
        """Return some of the rows, by position."""
        return Frame(self.name, self.data.iloc[rows], self.places[rows], self.word)

    def where(self, rows: npt.NDArray[np.bool_]) -> str:
        """Return where the chosen rows stand, in words: the first five of them."""
        places = self.places[rows].tolist()
        more = " ..." if len(places) > _SHOWN else ""
        counted = " (counted from 0)" if self.word == "row" else ""
        return f"{self.word} {', '.join(map(str, places[:_SHOWN]))}{more}{counted}"

    def column(self, name: str) -> pd.Series:
        """Return a column.

        Raises
        ------
        InputError
            There is no such column.
        """
        if name not in self.data.columns:
            raise InputError(
                f"{self.name}: no column '{name}'; the columns are {', '.join(self.columns)}"
            )
        return self.data[name]


def as_frame(table: Frame | pd.DataFrame | Path | str) -> Frame:
    """Return a table as a `Frame`: a file is read, a pandas table is taken as it is.

    Raises
    ------
    InputError
        As `read_frame`, and if a pandas table has no rows or two columns of one name.
    """
    if isinstance(table, Frame):
        return table
    if not isinstance(table, pd.DataFrame):
        return read_frame(Path(table))
    _check_names("the table", map(str, table.columns))
    return _typed("the table", table.rename(columns=str))


def read_frame(path: Path) -> Frame:
    """Read a Parquet file (``.parquet``, ``.pq``) or a CSV file with a header (anything else).

    CSV is UTF-8, with or without a byte order mark, separated by commas; blank lines and blanks
    around cells do not count.

    Raises
    ------
    InputError
        The file is missing or no such table, has no rows, two columns of one name, or (CSV) a
        row with more or fewer values than names.
    """
    try:
        return _read_parquet(path) if path.suffix.lower() in PARQUET else _read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_parquet(path: Path) -> Frame:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        with path.open("rb") as file:
            _check_names(str(path), parquet.ParquetFile(file).schema_arrow.names)
            data = pd.read_parquet(file)
    except InputError:
        raise
    except (ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a Parquet table: {reason}") from error
    return _typed(str(path), data.rename(columns=str))


def _typed(name: str, data: pd.DataFrame) -> Frame:
    if data.empty:
        raise InputError(f"{name}: the table has no rows")
    return Frame(name, data.reset_index(drop=True), np.arange(len(data)), "row")


def _read_csv(path: Path) -> Frame:
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            raise InputError(f"{path}: a Parquet file; its name must end in .parquet")
    lines: list[int] = []
    cells: list[list[str | None]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise InputError(f"{path}: not a CSV table: its first line must name the columns")
            if len(header) == 1 and (hint := _separator(header[0])):
                raise InputError(f"{path}: line 1 has one name{hint}")
            names = [plain(name) or f"{UNNAMED}{i}" for i, name in enumerate(header)]
            _check_names(str(path), names)
            before = reader.line_num
            for row in reader:
                line, before = before + 1, reader.line_num
                if not row:
                    continue
                if len(row) != len(names):
                    raise InputError(_uneven(path, line, row, names))
                lines.append(line)
                cells.append([_cell(text) for text in row])
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a CSV table in UTF-8 (byte {error.start}): save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table: line {reader.line_num}: {error}") from error
    if not cells:
        raise InputError(f"{path}: the table has no rows")
    data = pd.DataFrame(cells, columns=names, dtype=object)
    return Frame(str(path), data, np.array(lines), "line")


def _cell(text: str) -> str | None:
    text = text.strip()
    return None if text in _MISSING else plain(text)


def _uneven(path: Path, line: int, row: list[str], names: list[str]) -> str:
    compared = "more" if len(row) > len(names) else "fewer"
    return (
        f"{path}: line {line} has {compared} values than the header has names "
        f"({len(row)} and {len(names)}){_separator(names[0] + row[0])}"
    )


def _separator(text: str) -> str:
    """Return a hint if a text holds what separates values elsewhere."""
    found = next((s for s in (";", "\t") if s in text), None)
    return f": values are separated by commas here, not by {found!r}" if found else ""


def _check_names(table: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{table}: two columns are named '{name}': rename one of them")
        seen.add(name)


def check_suffix(path: Path, option: str) -> None:
    """Raise `InputError` if a table cannot be written under a name."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{option}: '{path}' must end in {', '.join(SUFFIXES)}")


def write_frame(path: Path, data: pd.DataFrame) -> None:
    """Write a table, without its index, as its name says (``.csv``, ``.parquet``), in one step.

    Texts in CSV that a spreadsheet would compute are quoted (`manymodes.spreadsheets`).

    Raises
    ------
    InputError, StorageError
        It cannot be written.
    """
    check_suffix(path, "the table")
    ensure_folder(path.absolute().parent)
    with atomic(path) as partial:
        if path.suffix.lower() in PARQUET:
            data.to_parquet(partial, index=False)
        else:
            inert_frame(data).to_csv(partial, index=False)
