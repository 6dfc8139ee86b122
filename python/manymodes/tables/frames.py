"""Tables on disk, CSV and Parquet, read with the place of every row and written in one step."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from manymodes.errors import InputError
from manymodes.runtime.files import atomic
from manymodes.runtime.spreadsheets import inert_frame, plain
from manymodes.runtime.storage import ensure_folder
from manymodes.types import BoolArray, IntArray
from manymodes.wording import nearest, quoted, shown

PARQUET = (".parquet", ".pq")
SUFFIXES = (".csv", *PARQUET)
UNREAD = "the table"
"""The name of a table that was not read from a file."""

UNNAMED = "Unnamed: "
"""The name of a column without a name; its number from 0 is appended, as in pandas."""

_MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
_SHOWN = 5
_LONGEST_CELL = 1_000_000
_SEPARATORS = (";", "\t", "|")


@dataclass(frozen=True)
class Reading:
    """How the texts of a table are read.

    Parameters
    ----------
    decimal : {".", ","}
        The decimal mark of numbers.
    keep_na : bool
        ``NA``, ``None`` and the like are names where names are expected; only an empty cell is
        missing there.

    Raises
    ------
    InputError
        The mark is neither.
    """

    decimal: str = "."
    keep_na: bool = False

    def __post_init__(self) -> None:
        """Check the mark."""
        if self.decimal not in (".", ","):
            raise InputError(f"decimal: {quoted(self.decimal)} is neither '.' nor ','")


@dataclass(frozen=True, eq=False)
class Frame:
    """A table of columns, and the places of its rows in its source.

    Attributes
    ----------
    name : str
        Its name in messages: the path of a file.
    data : DataFrame
        Its cells: text from CSV, without blanks around it; values of their own types from
        Parquet.
    places : int array of shape (N,)
        Line (CSV) or row (counted from 0) of each row.
    word : {"line", "row"}
        The word for a place.
    marks : frozenset of str
        Texts that mean that a cell is missing: for CSV those that pandas reads so, such as an
        empty text, ``NaN`` and ``NA``; for Parquet none.
    reading : Reading
        How its texts are read.
    """

    name: str
    data: pd.DataFrame
    places: IntArray
    word: str
    marks: frozenset[str] = frozenset()
    reading: Reading = field(default_factory=Reading)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.data.columns)

    def __len__(self) -> int:
        """Return the number N of rows."""
        return len(self.data)

    def take(self, rows: IntArray) -> Frame:
        """Return some of the rows, by position."""
        return replace(self, data=self.data.iloc[rows], places=self.places[rows])

    def missing(
        self, name: str, *, category: bool = False, known: Collection[str] = ()
    ) -> BoolArray:
        """Return which cells of a column are missing, shape (N,).

        Parameters
        ----------
        name : str
            The column.
        category : bool
            Whether it holds names: with ``reading.keep_na`` all cells but empty ones are names.
        known : collection of str
            Known names of the column, which are never missing.
        """
        kept = self.marks - {""} if category and self.reading.keep_na else known
        marks = self.marks.difference(kept)
        gone = self.data[name].isna().to_numpy(dtype=bool)
        return np.asarray(
            gone | self.data[name].isin(marks).to_numpy(dtype=bool) if marks else gone
        )

    def where(self, rows: BoolArray) -> str:
        """Return the places of the chosen rows in words: the first five of them."""
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
            raise InputError(self.without(name))
        return self.data[name]

    def without(self, name: str, option: str = "") -> str:
        """Return the error for a missing column, with the nearest name."""
        asked = f" ({option})" if option else ""
        return (
            f"{self.name}: no column {quoted(name)}{asked}; the columns are "
            f"{shown(self.columns)}{nearest(name, self.columns)}"
        )


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
    _check_names(UNREAD, map(str, table.columns))
    return _typed(UNREAD, table.rename(columns=str))


def read_frame(path: Path) -> Frame:
    """Read a Parquet file (``.parquet``, ``.pq``) or a CSV file with a header (anything else).

    CSV is UTF-8, with or without a byte order mark, separated by commas; blank lines and blanks
    around cells do not count. Another encoding or separator is refused with the way to mend it.

    Raises
    ------
    InputError
        The file is missing or not such a table, it has no rows, it has two columns of one name, or
        (CSV) a row has more or fewer values than there are names.
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
        _refuse_bytes(path, file.read(4096))
    lines: list[int] = []
    cells: list[list[str]] = []
    before = 0
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise InputError(f"{path}: not a CSV table: its first line must name the columns")
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
                cells.append([plain(text.strip()) for text in row])
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a CSV table in UTF-8 (byte {error.start}): save it as UTF-8, or if it is "
            f"Latin-1 convert it: {_converted(path, 'WINDOWS-1252')}"
        ) from error
    except csv.Error as error:
        quote = f": is a quotation mark of line {before + 1} not closed?"
        hint = quote if "end of data" in str(error) or "field limit" in str(error) else ""
        raise InputError(
            f"{path}: not a CSV table: line {reader.line_num}: {error}{hint}"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not cells:
        raise InputError(f"{path}: the table has no rows")
    if len(header) == 1 and (hint := _other_separator(header[0], cells)):
        raise InputError(f"{path}: line 1 has one name{hint}")
    data = pd.DataFrame(cells, columns=names, dtype=object)
    return Frame(str(path), data, np.array(lines), "line", _MISSING)


def _refuse_bytes(path: Path, start: bytes) -> None:
    """Raise `InputError` if the beginning of a file shows that it is not a CSV table in UTF-8."""
    for magic, said in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path}: {said}")
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            raise InputError(_in_encoding(path, encoding))
    if b"\0" in start:
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) > len(start) / 8 and min(even, odd) < len(start) / 64:
            raise InputError(_in_encoding(path, "UTF-16BE" if even > odd else "UTF-16LE"))
        raise InputError(f"{path}: not a CSV table: it holds zero bytes (binary data?)")


_MAGIC = {
    b"PAR1": "a Parquet file; its name must end in .parquet",
    b"PK\x03\x04": "a workbook or another zip file, not a CSV table: save it as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook, not a CSV table: save it as CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it first, with gunzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first, with unzstd",
    b"BZh": "compressed with bzip2: unpack it first, with bunzip2",
    b"\xfd7zXZ": "compressed with xz: unpack it first, with unxz",
    b"ARROW1": "an Arrow (Feather) file: save it as Parquet or CSV",
}
_ENCODINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def _in_encoding(path: Path, encoding: str) -> str:
    return (
        f"{path}: not a CSV table in UTF-8: it is in {encoding}; save it as UTF-8, or convert it: "
        f"{_converted(path, encoding)}"
    )


def _converted(path: Path, encoding: str) -> str:
    new = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(new))}"


def _uneven(path: Path, line: int, row: list[str], names: list[str]) -> str:
    compared = "more" if len(row) > len(names) else "fewer"
    hint = _separator(names[0] + row[0])
    if not hint and len(row) > len(names):
        if not any(text.strip() for text in row[len(names) :]):
            hint = ": remove the commas at its end"
        elif all(map(_PIECE.fullmatch, row[: len(names)])):
            hint = (
                ": if a comma is the decimal mark or stands between thousands, put the number "
                "in quotes or write it without the comma"
            )
    return (
        f"{path}: line {line} has {compared} values than the header has names "
        f"({len(row)} and {len(names)}){hint}"
    )


_PIECE = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")


def _other_separator(name: str, cells: Iterable[Sequence[str]]) -> str:
    """Return a hint if all rows of one cell hold a separator as often as the column's name."""
    for found in _SEPARATORS:
        times = name.count(found)
        if times and all(row[0].count(found) == times for row in cells):
            return _separator(found)
    return ""


def _separator(text: str) -> str:
    """Return a hint if a text holds a sign that often separates values."""
    found = next((s for s in _SEPARATORS if s in text), None)
    if found is None:
        return ""
    return (
        f": values are separated by commas here, not by {found!r}: save the table with commas, or "
        f"as Parquet, such as with pandas.read_csv(FILE, sep={found!r}).to_parquet(NEW)"
    )


def _check_names(table: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{table}: two columns are named {quoted(name)}: rename one of them")
        seen.add(name)


def check_suffix(path: Path, option: str) -> None:
    """Raise `InputError` if a table cannot be written under a name."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{option}: '{path}' must end in {', '.join(SUFFIXES)}")


def write_frame(path: Path, data: pd.DataFrame) -> None:
    """Write a table, without its index, as its name says (``.csv``, ``.parquet``), in one step.

    Texts in CSV that a spreadsheet would compute are quoted (`manymodes.runtime.spreadsheets`).

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
