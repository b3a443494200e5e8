"""What the XML of an Excel workbook says that its reader does not: its true size, its errors, what was not calculated.

The reader makes room for every cell up to the last one, takes errors for empty cells, and formulas that no program
has calculated too. So the XML is looked through first, in pieces, within bounds.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from zipfile import ZipFile

from slipstream.errors import SourceError

_CHUNK = 4 << 20
_OVERLAP = 256 << 10
"""More than a cell of the longest text takes."""
_SMALL = 16 << 20
"""Bytes of the parts that list the sheets."""
_TAG = rb"<(?:\w{1,20}:)?"
_END = rb"</(?:\w{1,20}:)?"
_PLACE = re.compile(rb"""\sr=["']([A-Z]{0,3})(\d{1,7})["']""")
_REFERENCE = re.compile(rb"""\sr=["']([A-Z]{1,3}\d{1,7})["']""")
_ERROR = re.compile(
    _TAG
    + rb"""c\s([^>]{0,300}\bt=["']e["'][^>]{0,300})(?<!/)>.{0,20000}?"""
    + _TAG
    + rb"v>([^<]{1,30})"
    + _END
    + rb"v>",
    re.DOTALL,
)
_UNCALCULATED = re.compile(
    _TAG + rb"c\s([^>]{1,300})(?<!/)>\s*" + _TAG + rb"f\b(?:[^>]{0,2000}/>|[^>]{0,2000}>[^<]*" + _END + rb"f>)\s*"
    rb"(?:" + _TAG + rb"v\s*/>|" + _TAG + rb"v>\s*" + _END + rb"v>)?\s*" + _END + rb"c>"
)
_TEXT = re.compile(rb"""\bt=["']str["']""")


@dataclass
class SheetParts:
    """What the XML of one sheet says.

    Attributes:
        rows: The number of its last row.
        columns: The number of its last column.
        errors: ``(letters of the column, error)``, as ``("C", "#N/A")`` -> the first cell that holds it.
        uncalculated: A cell whose formula has no value; "" for none.
    """

    rows: int = 0
    columns: int = 0
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    uncalculated: str = ""

    def take(self, piece: bytes) -> None:
        """Look at a piece of the XML; what stands in two pieces may be seen twice."""
        places = _PLACE.findall(piece)
        self.rows = max(self.rows, *map(int, {number for _, number in places}), 0)
        self.columns = max(self.columns, *map(column_number, {letters for letters, _ in places}), 0)
        for match in _ERROR.finditer(piece):
            cell = _cell(match[1])
            self.errors.setdefault((cell.rstrip("0123456789"), html.unescape(match[2].decode())), cell)
        for match in _UNCALCULATED.finditer(piece):
            # A formula whose value is the empty text has none either.
            if not self.uncalculated and not _TEXT.search(match[1]):
                self.uncalculated = _cell(match[1]) or "a cell"


def _cell(attributes: bytes) -> str:
    place = _REFERENCE.search(b" " + attributes)
    return place[1].decode() if place else ""


def column_number(letters: bytes | str) -> int:
    """``A`` -> 1, ``AB`` -> 28, "" -> 0."""
    number = 0
    for letter in letters if isinstance(letters, bytes) else letters.encode():
        number = 26 * number + letter - 64
    return number


def column_letters(number: int) -> str:
    """1 -> ``A``, 28 -> ``AB``."""
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(65 + place) + letters
    return letters


def check_unpacked(archive: ZipFile, name: str, max_bytes: int) -> None:
    """All parts of the workbook unpack to at most *max_bytes* bytes; raises SourceError ``source_too_large``."""
    size = 0
    for member in archive.infolist():
        for chunk in _chunks(archive, member.filename):
            size += len(chunk)
            if size > max_bytes:
                message = f"{name}: unpacks to more than {max_bytes} bytes; deliver less at once, or save it as CSV."
                raise SourceError(message, code="source_too_large")


def sheet_parts(archive: ZipFile, sheet: str, name: str) -> SheetParts:
    """What the XML of the sheet called *sheet* says.

    Raises:
        SourceError: ``source_unreadable``: the workbook does not say where that sheet is.
    """
    parts, before = SheetParts(), b""
    for chunk in _chunks(archive, _place_of(archive, sheet, name)):
        piece = before + chunk
        parts.take(piece)
        before = piece[-_OVERLAP:]
    return parts


def _place_of(archive: ZipFile, sheet: str, name: str) -> str:
    """The member that holds the sheet."""
    workbook = next((to for kind, _, to in _relations(archive, "") if kind == "officeDocument"), "xl/workbook.xml")
    named = {key: to for _, key, to in _relations(archive, workbook)}
    for element in _xml(archive, workbook).iter():
        if _local(element.tag) == "sheet" and element.get("name") == sheet:
            key = next((value for attribute, value in element.attrib.items() if _local(attribute) == "id"), "")
            if key in named:
                return named[key]
    raise SourceError(f"{name}: not a whole Excel file: it does not say where its sheet {sheet!r} is.")


def _relations(archive: ZipFile, part: str) -> Iterator[tuple[str, str, str]]:
    """Kind, key and target of what *part* (``""``: the whole file) refers to."""
    place = PurePosixPath(part)
    for element in _xml(archive, str(place.parent / "_rels" / f"{place.name}.rels")).iter():
        target = PurePosixPath("/") / place.parent / element.get("Target", "")
        yield element.get("Type", "").rpartition("/")[2], element.get("Id", ""), str(target).lstrip("/")


def _xml(archive: ZipFile, part: str) -> Any:
    from defusedxml.ElementTree import fromstring

    with archive.open(part) as packed:
        return fromstring(packed.read(_SMALL))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _chunks(archive: ZipFile, part: str) -> Iterator[bytes]:
    with archive.open(part) as packed:
        while chunk := packed.read(_CHUNK):
            yield chunk
