"""Batches from files, local or in S3: whatever matches the path and was not read yet is one batch.

A file is known by what it holds, not by its name: the same file under another name brings nothing, a file whose content
changed comes again. The watermark is the list of what was read so far.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from slipstream.errors import SourceError, shown
from slipstream.slots import Delivery
from slipstream.sources.contents import contents_read
from slipstream.sources.forms import Encoding, FileForm, Format, refuse_packings
from slipstream.sources.listing import ListedFile, local_copy, matching, refuse_changed
from slipstream.spec.model import ModelSpec


@dataclass(frozen=True)
class FilesSource:
    """A source that reads files.

    Attributes:
        path: A file or a glob: relative to the model's folder, absolute, or ``s3://bucket/prefix/*.csv``.
        format: ``csv``, ``jsonl``, ``parquet``, ``xlsx``, or ``auto``: by the ending of the name.
        delimiter: CSV: the character between fields; without it the one that the header line suggests.
        encoding: CSV: how its characters are written; plain CSV of Excel in Western Europe is ``cp1252``.
        sheet: Excel: the sheet that is read; without it the only one that there is.
        max_bytes: The largest number of bytes read into one batch; of packed files, that they unpack to.
    """

    path: str
    format: Format = "auto"
    delimiter: str = ""
    encoding: Encoding = "utf-8"
    sheet: str = ""
    max_bytes: Annotated[int, Field(ge=1)] = 2 << 30

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """A digest of the files that were not read yet."""
        new = self._new(spec, watermark)
        return hashlib.sha256(json.dumps([file.stamp for file in new]).encode()).hexdigest() if new else None

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """The new files, in the order of their names; those in S3 copied to folder *into*.

        Raises:
            SourceError: no such file, a scheme that is not allowed, too large, changed while it was read, or
                ``source_rows_again`` after another source.
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
        refuse_packings(file.name for file in new)
        copies = {local_copy(file, into): file.name for file in new}
        form = FileForm(self.format, self.delimiter, self.encoding, self.sheet).of(copies, self.path)
        digests = {Path(file.name): file.stamp for file in new if file.changed}
        stamps = sorted({*(contents_read(watermark) or ()), *(file.stamp for file in new)})
        watermark = json.dumps(stamps, separators=(",", ":"))
        return Delivery(copies, watermark, form, self.max_bytes, lambda: refuse_changed(new), digests)

    def _new(self, spec: ModelSpec, watermark: str) -> list[ListedFile]:
        """The files that were not read yet, each content once."""
        read = contents_read(watermark)
        if read is None and not spec.data.key:
            message = (
                f"source {self.path}: the batches so far were read from another source; nothing tells which rows are "
                "there already: name data.key."
            )
            raise SourceError(message, code="source_rows_again")
        read = read or frozenset()
        files = matching(self.path, spec.folder)
        if not files and not read:
            message = f"source: no file matches {shown(self.path)} (looked from {spec.folder}); mend the path."
            raise SourceError(message, code="source_no_files")
        first = {file.stamp: file for file in reversed(files) if file.stamp not in read}
        return sorted(first.values(), key=lambda file: file.name)
