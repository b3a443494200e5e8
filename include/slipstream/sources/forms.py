"""What files are: the format that their names tell, or the source says, and how the rows are written in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from slipstream.errors import SourceError
from slipstream.sources.packed import PACKED
from slipstream.sources.zipped import is_zip, member_names

FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
}
"""The ending of a file's name -> its format."""
_OTHER_PACKINGS = {".7z", ".rar", ".tar", ".tgz", ".lz4"}
_OTHER_SHEETS = {".xls", ".xlsb", ".ods"}
Format = Literal["auto", "csv", "jsonl", "parquet", "xlsx"]
Encoding = Literal[
    "utf-8", "utf-16", "cp1252", "latin-1", "iso8859-15", "cp1250", "cp1251", "cp1253", "cp1254", "mac-roman",
    "shift-jis", "euc-kr", "gb18030", "big5",
]  # fmt: skip


@dataclass(frozen=True)
class FileForm:
    """How the files of a source are written.

    Attributes:
        format: ``csv``, ``jsonl``, ``parquet``, ``xlsx``, or ``auto``: by the ending of the name.
        delimiter: CSV: the character between fields; "" for the one that the header line suggests.
        encoding: CSV: how its characters are written.
        sheet: Excel: the name of the sheet; "" where there is only one.
    """

    format: Format = "auto"
    delimiter: str = ""
    encoding: Encoding = "utf-8"
    sheet: str = ""

    def of(self, files: Mapping[Path, str], source: str) -> dict[str, str]:
        """What *files* (path -> the name that errors use) are, as a delivery says it; errors name the *source*.

        Raises:
            SourceError: ``source_packed``, or ``source_format_unknown`` if their names tell none, or several.
        """
        refuse_packings(files.values())
        form = {"type": self.format if self.format != "auto" else _format_of_names(files, source)}
        if form["type"] == "csv":
            form["delimiter"] = self.delimiter
            if self.encoding != "utf-8":
                form["encoding"] = self.encoding
        if form["type"] == "xlsx" and self.sheet:
            form["sheet"] = self.sheet
        return form


def unpacked(name: str) -> PurePosixPath:
    """The name without the ending that says how the file is packed."""
    path = PurePosixPath(name)
    return path.with_suffix("") if path.suffix in PACKED else path


def refuse_packings(names: Iterable[str]) -> None:
    """Raise SourceError ``source_packed`` for a file that is packed in a way that is not read here."""
    for name in names:
        if PurePosixPath(name).suffix.lower() in _OTHER_PACKINGS:
            message = (
                f"source: {name} is packed in a way that is not read here; unpack it, or pack it with gzip (.gz), zstd "
                "(.zst) or zip."
            )
            raise SourceError(message, code="source_packed")


def _format_of_names(files: Mapping[Path, str], source: str) -> str:
    """The one format that the endings of the names tell, those of the files in archives among them."""
    names = []
    for path, name in files.items():
        inside = member_names(path, name) if is_zip(name) else []
        refuse_packings(inside)
        names += [f"{name}/{one}" for one in inside] or [name]
    formats = {FORMATS.get(unpacked(name).suffix.lower(), ""): name for name in names}
    if len(formats) == 1 and "" not in formats:
        return next(iter(formats))
    odd = f" ({formats['']})" if "" in formats else f" ({' and '.join(sorted(formats.values())[:2])})"
    if any(unpacked(one).suffix.lower() in _OTHER_SHEETS for one in formats.values()):
        message = f"source {source}: of spreadsheets only .xlsx is read{odd}; save it as .xlsx, or as CSV."
        raise SourceError(message, code="source_format_unknown")
    message = (
        f"source {source}: the endings of the files do not tell one format{odd}; add format: csv, jsonl, parquet or "
        "xlsx."
    )
    raise SourceError(message, code="source_format_unknown")
