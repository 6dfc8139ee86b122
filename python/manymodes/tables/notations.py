"""The meaning of a text that is not a number, such as a date, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

_SPACES = "\u0020\u00a0\u2007\u2009\u202f"
_MINUSES = "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"
_APOSTROPHES = "'\u2019\u02bc\u00b4`"
_CURRENCIES = "$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9\u20ba\u20bf\u00a2"
_HALVES = {"\u00bd": "0.5", "\u00bc": "0.25", "\u00be": "0.75"}
_MONTHS = r"(jan|feb|mar|m\u00e4r|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[^\W\d_]*"
_PLAIN = r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_LOOSE = rf"[+-]?\d[\d.,{_SPACES}]*(?:[eE][+-]?\d+)?"  # with points, commas, blanks anywhere

_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_MARKED_BY_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+,\d*|[+-]?[1-9]\d{0,2}(\.\d{3}){2,}")
_DECIMAL = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
_GROUPS = re.compile(
    rf"[+-]?\d{{1,3}}(?:[{_SPACES}{_APOSTROPHES}_]\d{{2,3}})*([{_SPACES}{_APOSTROPHES}_])\d{{3}}([.,]\d*)?"
)

_LONGEST = 80  # no quantity takes more characters
_MISSING_MARKS = {
    "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "?", "??", "*", "**",
    "na", "n.a.", "n.a", "n/a.", "n.d.", "nd", "nil", "none", "missing", "unknown", "undefined",
    "not available", "not applicable", "no data", "nat", "#value!", "#ref!", "#div/0!", "#name?",
    "#num!", "#null!", "#n/a!", "null", "nan", "n/a", "(null)", "(none)", "<null>", "\\n",
}  # fmt: skip


@dataclass(frozen=True)
class Notation:
    """A notation in which numbers are not read.

    Attributes
    ----------
    what : str
        A name of the notation, which continues "which is".
    remedy : str
        How to write the number so that it is read.
    names : bool
        Whether texts of this kind may also be names of categories, such as ranges.
    """

    what: str
    remedy: str
    names: bool = False


def notation(text: str, others: Iterable[str] = (), decimal: str = ".") -> Notation | None:
    """Return the notation of a text that is not a number; None if it is not like a quantity.

    Parameters
    ----------
    text : str
        The text, without blanks around it.
    others : iterable of str
        The other cells of its column; they show whether a comma is decimal or between thousands.
    decimal : {".", ","}
        The decimal mark that numbers are read with.
    """
    if len(text) > _LONGEST:
        return None
    if text.lower() in _MISSING_MARKS:
        return Notation(
            "a mark for a missing value, not a number", "fill it in or remove those rows"
        )
    return (
        _with_minus(text, others, decimal)
        or _with_commas(text, others, decimal)
        or _grouped(text, decimal)
        or next((found for rule in _RULES if (found := rule(text)) is not None), None)
    )


# ------------------------------------------------------------------------------ points and commas


def _with_commas(text: str, others: Iterable[str], decimal: str) -> Notation | None:
    if _MARKED_BY_POINTS.fullmatch(text):
        if "," not in text:
            return _thousands(text, text.replace(".", ""), "points between thousands", decimal)
        return Notation(
            "a number with points between thousands and a decimal comma",
            f"write it as {_as_plain(text.replace('.', ''), decimal)}",
        )
    if decimal == ",":
        if re.fullmatch(rf"[+-]?{_PLAIN}", text):
            return Notation(
                "a number with a decimal point, where decimal commas are read",
                f"write it as {text.replace('.', ',')}, or read decimal points (--decimal .)",
            )
        if _THOUSANDS.fullmatch(text):
            return _thousands(text, text.replace(",", ""), "commas between thousands", decimal)
        return None
    if not _THOUSANDS.fullmatch(text) and not _DECIMAL.fullmatch(text):
        return None
    if all(map(_THOUSANDS.fullmatch, (text, *(one for one in others if "," in one)))):
        said = _thousands(text, text.replace(",", ""), "a comma between thousands", decimal)
        if _between_thousands(text, others):
            return said
        return Notation(
            "a number with a comma between thousands or a decimal comma",
            f"{said.remedy}; or, if the comma is a decimal one, as {text.replace(',', '.')}, "
            "or read decimal commas with --decimal ,",
        )
    return Notation(
        "a number with a decimal comma",
        f"read decimal commas with --decimal , or write it as {_as_plain(text, decimal)}",
    )


def _between_thousands(text: str, others: Iterable[str]) -> bool:
    """Whether commas before three digits certainly stand between thousands.

    They do if one number has a point or two commas, or if others are whole and below a thousand.
    """
    small = 0
    for one in (text, *others):
        if one.count(",") > 1 or ("," in one and "." in one):
            return True
        small += re.fullmatch(r"[+-]?\d{1,3}", one) is not None
    return small > 0


def _thousands(text: str, plain: str, what: str, decimal: str) -> Notation:
    return Notation(
        f"a number with {what} (a thousands separator)",
        f"write it as {plain if decimal == '.' else plain.replace('.', ',')}, without them",
    )


def _grouped(text: str, decimal: str) -> Notation | None:
    found = _GROUPS.fullmatch(text)
    if found is None:
        return None
    mark = found.group(1)
    what = (
        "blanks" if mark in _SPACES else "underscores" if mark == "_" else "apostrophes"
    ) + " between thousands"
    return _thousands(text, _as_plain(text, decimal), what, decimal)


def _as_plain(text: str, decimal: str) -> str:
    kept = re.sub(rf"[{_SPACES}{_APOSTROPHES}_]", "", text)
    return kept.replace(",", ".") if decimal == "." else kept.replace(".", ",")


def _with_minus(text: str, others: Iterable[str], decimal: str) -> Notation | None:
    if len(text) < 2 or text[0] not in _MINUSES or not (text[1].isdigit() or text[1] in ".,"):
        return None
    rest = "-" + text[1:].lstrip(_SPACES)
    inner = None
    if not re.fullmatch(rf"[+-]?{_PLAIN}", rest):
        inner = notation(rest, others, decimal)
    if inner is not None and re.match(r"a (number|percentage|quantity)", inner.what) is None:
        return inner
    return Notation(
        f"a number with another minus sign (U+{ord(text[0]):04X})",
        f"write it with a hyphen, as {rest}"
        + (f" ({inner.what}: {inner.remedy})" if inner else ""),
    )


# ------------------------------------------------------------------------------ other notations


def _date(text: str) -> Notation | None:
    day = r"(0?[1-9]|[12]\d|3[01])"
    month = r"(0?[1-9]|1[0-2])"
    zone = r"(Z|UTC|[+-]\d{2}:?\d{2})?"
    clock = rf"([T ]\s*\d{{1,2}}(:\d{{2}}){{1,2}}([.,]\d+)?\s*([ap]\.?m\.?)?\s*{zone})?"
    year = r"(\d{4}|'?\d{2})"
    forms = (
        rf"\d{{4}}([-/.]){month}\1{day}{clock}",
        rf"{day}([-/.]){month}\2\s?{year}{clock}",
        rf"{month}([-/.]){day}\2{year}{clock}",
        rf"\d{{4}}[-/]{month}",
        rf"{month}/\d{{4}}",
        r"\d{4}-?(W\d{2}(-?\d)?|Q[1-4])|Q[1-4][ /-]?\d{4}",
        rf"{day}\.?[ /-]?{_MONTHS}\.?[ ,/-]*{year}{clock}",
        rf"{_MONTHS}\.?[ -]*({day}(st|nd|rd|th)?)?[ ,-]*{year}{clock}",
        rf"\d{{4}}[ -]{_MONTHS}([ -]{day})?{clock}",
        rf"((mon|tue|wed|thu|fri|sat|sun)[a-z]*[, ]+){day} {_MONTHS}.*",
        rf"{day}\.{month}\.",
    )
    # The groups that repeat a separator are numbered within each form.
    found = next((m for form in forms if (m := re.fullmatch(form, text, re.IGNORECASE))), None)
    if found is None:
        return None
    try:
        days = (date.fromisoformat(text[:10]) - date(1970, 1, 1)).days
        example = f" (1970-01-01 as 0 makes it {days})"
    except ValueError:
        example = ""
    return Notation(
        "a date, not a number", f"write it as a number of days from a fixed day{example}"
    )


def _time(text: str) -> Notation | None:
    clock = r"\d{1,3}:\d{2}(:\d{2})?([.,]\d+)?(\s*[ap]\.?m\.?)?"
    spans = r"(\d+([.,]\d+)?\s*(d|days?|h|hrs?|hours?|min|m|s|sec)\b\s*){2,}|P(\d+[YMWD])*(T.*)?"
    if not re.fullmatch(rf"{clock}|{spans}|\d{{1,2}}\s*[ap]\.?m\.?", text, re.IGNORECASE):
        return None
    return Notation("a time, not a number", "write it as a number of hours, minutes or seconds")


def _percentage(text: str) -> Notation | None:
    found = re.fullmatch(rf"({_LOOSE})\s*(%|\u2030|percent|per cent|pct)", text, re.IGNORECASE)
    if found is None:
        return None
    plain = _as_plain(found.group(1).strip(), ".")
    return Notation("a percentage", f"write {plain} in every row, without the sign")


def _money(text: str) -> Notation | None:
    code = r"[A-Z]{3}"
    sign = rf"([{_CURRENCIES}]|(US|A|C|NZ|HK|R)\$|{code}|kr\.?|Fr\.?|Rs\.?|z\u0142)"
    found = re.fullmatch(rf"-?{sign}\s*(-?{_LOOSE})(-{{1,2}})?|(-?{_LOOSE})\s*{sign}", text)
    codes = set(re.findall(code, text))
    if found is None or codes - _CODES:
        return None
    return Notation("an amount of money", "write the number alone, without the currency")


_CODES = {
    "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "CNY", "RMB", "INR", "BRL", "RUB", "KRW",
    "MXN", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "TRY", "ZAR", "NZD", "SGD", "HKD", "THB",
    "ILS", "AED",
}  # fmt: skip


def _fraction(text: str) -> Notation | None:
    if text[-1] in _HALVES and re.fullmatch(r"[+-]?\d*\s?.", text):
        return Notation(
            "a fraction", f"write it as a decimal number, {text[-1]} as {_HALVES[text[-1]]}"
        )
    found = re.fullmatch(r"([+-]?)((\d+)[ -])?(\d+)\s*[/\u2044\u00f7]\s*(\d+)", text)
    if found is None or int(found.group(5)) == 0:
        return None
    value = int(found.group(3) or 0) + int(found.group(4)) / int(found.group(5))
    return Notation("a fraction", f"write it as {found.group(1)}{value:.6g}")


def _other_base(text: str) -> Notation | None:
    for prefix, base, name in (("0x", 16, "hexadecimal"), ("0b", 2, "binary"), ("0o", 8, "octal")):
        bare = text.lstrip("+-").lower()
        if bare.startswith(prefix) or (base == 16 and bare.startswith("&h")):
            try:
                value = int(bare[2:], base)
            except ValueError:
                continue
            sign = "-" if text.startswith("-") else ""
            return Notation(f"a {name} number", f"write it as {sign}{value}")
    return None


def _power(text: str) -> Notation | None:
    exponent = r"[+\-\u2212\u207b]?[\d\u2070-\u2079\u00b2\u00b3\u00b9]+"
    found = re.fullmatch(
        rf"([+-]?{_LOOSE})\s*[\u00d7x*\u00b7]\s*10\s*(\^|\*\*)?\s*{exponent}",
        text,
        re.IGNORECASE,
    )
    fortran = re.fullmatch(rf"([+-]?{_LOOSE})[dD]([+-]?\d+)", text)
    bare = re.fullmatch(r"10\s*(\^|\*\*)\s*[+\-\u2212]?\d+", text)
    if not (found or fortran or bare):
        return None
    return Notation("a power of ten in another notation", "write it as 1.5e3")


def _enclosed(text: str) -> Notation | None:
    inner = re.fullmatch(
        rf"([\"'\u201c\u2018\u00ab])\s*([+-]?{_LOOSE})\s*[\"'\u201d\u2019\u00bb]?", text
    )
    if inner is not None:
        return Notation("a number in quotes", f"write it as {inner.group(2)}")
    brackets = re.fullmatch(rf"\(\s*[^\d()]?\s*({_LOOSE})\s*\)", text)
    if brackets is not None:
        return Notation("a negative number in brackets", f"write it as -{brackets.group(1)}")
    trailing = re.fullmatch(rf"({_LOOSE})-", text)
    if trailing is not None:
        return Notation(
            "a negative number with the sign behind it", f"write it as -{trailing.group(1)}"
        )
    if re.fullmatch(r"[\[({].*[\])}]", text):
        return Notation("a list, not a number", "give each of its values a column of its own")
    return None


def _bound_or_range(text: str) -> Notation | None:
    if re.fullmatch(
        rf"([<>\u2264\u2265~\u2248]=?|ca\.?|approx\.?)\s*[+-]?{_LOOSE}.*|{_LOOSE}\+", text
    ):
        return Notation(
            "a bound or an estimate, not a number", "write one number in its place", True
        )
    if re.fullmatch(rf"[+-]?{_LOOSE}\s*(\u00b1|\+/-|\+-)\s*{_LOOSE}", text):
        return Notation("a number with an error", "give the error a column of its own")
    if re.fullmatch(rf"{_LOOSE}\s*(-|\u2013|\u2014|to|\.\.)\s*{_LOOSE}", text):
        return Notation(
            "a range, not a number", "write one number in its place, such as its middle", True
        )
    if re.fullmatch(rf"[+-]?{_PLAIN}\s*[+-]\s*{_PLAIN}[ij]", text):
        return Notation("a complex number", "give real and imaginary part a column each")
    return None


def _quantity(text: str) -> Notation | None:
    unit = r"(?=.*[^\W\d_]|.*[\u00b0\u2103'\"\u2032\u2033])[^\d\s].{0,24}"
    found = re.fullmatch(rf"([+-]?{_LOOSE})\s*({unit})", text)
    if found is None:
        return None
    return Notation(
        "a quantity with a unit",
        f"write {_as_plain(found.group(1), '.')} and keep the unit in the column's name",
        True,
    )


def _pairs(text: str) -> Notation | None:
    if not re.fullmatch(rf"[+-]?{_PLAIN}(\s*[;,|: ]\s*[+-]?{_PLAIN})+", text):
        return None
    return Notation("several numbers in one cell", "give each of them a column of its own")


_RULES: tuple[Callable[[str], Notation | None], ...] = (
    _date,
    _time,
    _percentage,
    _money,
    _fraction,
    _other_base,
    _power,
    _enclosed,
    _bound_or_range,
    _pairs,
    _quantity,
)
