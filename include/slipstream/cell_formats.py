"""How cells of text may be written: words for types and for missing values, marks of numbers, forms of dates.

:mod:`slipstream.cell_reading` reads by them.
"""

from __future__ import annotations

import re

MISSING_WORDS = (
    "#n/a",
    "#n/a n/a",
    "#na",
    "-1.#ind",
    "-1.#qnan",
    "-nan",
    "1.#ind",
    "1.#qnan",
    "<na>",
    "n/a",
    "na",
    "nan",
    "nat",
    "none",
    "null",
)
"""What means "missing" in numbers, dates and truth values, in any case: the words that pandas takes. In texts they are
words, because Namibia is called NA."""

TYPES = {
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "text": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
"""The word of the model file -> what DuckDB calls it."""
WORDS = {kind: word for word, kind in TYPES.items()}
MARKS = (".", ",", "'", "\u2019", " ", "\u00a0", "\u202f")
"""What stands between the thousands of a number, in one country or another."""
DATE_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y")
TIMES = ("%H:%M", "%H:%M:%S")
DIRECTIVES = {
    **dict.fromkeys("mdHIMS", "[0-9]{1,2}"),
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "j": "[0-9]{1,3}",
    "f": "[0-9]{1,6}",
    "p": "[AaPp][Mm]",
    "b": "[A-Za-z]{3}",
    "B": "[A-Za-z]+",
}
"""What a format may hold: the directives that mean the same to DuckDB and to Python, and what stands in their place."""

TRUE, FALSE = ("true",), ("false",)
DECLARED_TRUE, DECLARED_FALSE = ("true", "yes", "y", "t", "on", "1"), ("false", "no", "n", "f", "off", "0")
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
DATE = rf"{_YEAR}-[0-9]{{2}}-[0-9]{{2}}"
TIMESTAMP = (
    rf"{DATE}([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{{1,9}})?)?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?)?"
)
TIMESTAMP_PARTS = re.compile(
    rf"({DATE})(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{{1,9}}))?)?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)?)?", re.ASCII
)
SPACE = r"[ \t\r\n\x0b\x0c]"
SPACES = " \t\r\n\x0b\x0c"
CODE = r"[+-]?0[0-9]+"
"""Digits behind a leading zero: a code, such as a postal one, and no number."""
