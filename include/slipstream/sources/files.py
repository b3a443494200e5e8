"""Batches from files, local or in S3: whatever matches the path and was not read yet is one batch.

A file is known by what it holds, not by its name: the same file under another name brings nothing, a file whose content
changed comes again. The watermark is the list of what was read so far.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from slipstream.errors import SourceError, shown
from slipstream.slots import Delivery
from slipstream.sources.listing import ListedFile, local_copy, matching, refuse_changed
from slipstream.sources.packed import PACKED
from slipstream.spec.model import ModelSpec

FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
"""The ending of a file's name -> its format."""
_PACKED = {".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".lz4"}


Encoding = Literal[
    "utf-8", "utf-16", "cp1252", "latin-1", "iso8859-15", "cp1250", "cp1251", "cp1253", "cp1254", "mac-roman",
    "shift-jis", "euc-kr", "gb18030", "big5",
]  # fmt: skip


@dataclass(frozen=True)
class FilesSource:
    """A source that reads files.

    Attributes:
        path: A file or a glob: relative to the model's folder, absolute, or ``s3://bucket/prefix/*.csv``.
        format: ``csv``, ``jsonl``, ``parquet``, or ``auto``: by the ending of the name.
        delimiter: CSV: the character between fields; without it the one that the header line suggests.
        encoding: CSV: how its characters are written; plain CSV of Excel in Western Europe is ``cp1252``.
        max_bytes: The largest number of bytes read into one batch.
    """

    path: str
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    delimiter: str = ""
    encoding: Encoding = "utf-8"
    max_bytes: Annotated[int, Field(ge=1)] = 2 << 30

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """A digest of the files that were not read yet."""
        new = self._new(spec, watermark)
        return hashlib.sha256(json.dumps([file.stamp for file in new]).encode()).hexdigest() if new else None

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """The new files, in the order of their names; those in S3 copied to folder *into*.

        Raises:
            SourceError: no such file, a scheme that is not allowed, too large, changed while it was read.
        """
        new = self._new(spec, watermark)
        if not new:
            return Delivery({}, watermark)
        total = sum(file.size for file in new)
        if total > self.max_bytes:
            message = f"source {self.path}: {total} bytes in {len(new)} new files, more than {self.max_bytes} bytes; "
            raise SourceError(
                f"{message}deliver less at once, or raise the source's max_bytes.", code="source_too_large"
            )
        form = {"type": self._format(new), "delimiter": self.delimiter}
        if form["type"] == "jsonl":
            form.pop("delimiter")
        if form["type"] == "csv" and (self.encoding != "utf-8" or any(file.name.endswith(".zst") for file in new)):
            form["encoding"] = self.encoding
        copies = {local_copy(file, into): file.name for file in new}
        digests = {Path(file.name): file.stamp for file in new if file.changed}
        stamps = sorted({*json.loads(watermark or "[]"), *(file.stamp for file in new)})
        watermark = json.dumps(stamps, separators=(",", ":"))
        return Delivery(copies, watermark, form, self.max_bytes, lambda: refuse_changed(new), digests)

    def _new(self, spec: ModelSpec, watermark: str) -> list[ListedFile]:
        """The files that were not read yet, each content once."""
        read = set(json.loads(watermark or "[]"))
        files = matching(self.path, spec.folder)
        if not files and not read:
            message = f"source: no file matches {shown(self.path)} (looked from {spec.folder}); mend the path."
            raise SourceError(message, code="source_no_files")
        first = {file.stamp: file for file in reversed(files) if file.stamp not in read}
        return sorted(first.values(), key=lambda file: file.name)

    def _format(self, new: Sequence[ListedFile]) -> str:
        packed = next((file.name for file in new if PurePosixPath(file.name).suffix.lower() in _PACKED), None)
        if packed is not None:
            message = (
                f"source: {packed} is packed in a way that is not read here; unpack it, or pack it with gzip (.gz) or "
                "zstd (.zst)."
            )
            raise SourceError(message, code="source_packed")
        if self.format != "auto":
            return self.format
        formats = {FORMATS.get(unpacked(file.name).suffix.lower(), "") for file in new}
        if len(formats) == 1 and "" not in formats:
            return formats.pop()
        message = (
            f"source {self.path}: the endings of the files do not tell one format; add format: csv, jsonl or parquet."
        )
        raise SourceError(message, code="source_format_unknown")


def unpacked(name: str) -> PurePosixPath:
    """The name without the ending that says how the file is packed."""
    path = PurePosixPath(name)
    return path.with_suffix("") if path.suffix in PACKED else path
