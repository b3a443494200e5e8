"""Batches from one file on the web: fetched when it changed, and known by what it holds, whatever its server says.

A source of its own, not a path of ``files``: what it takes besides, and what is new, are told otherwise than of files
that can be listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from slipstream.errors import SourceError
from slipstream.slots import Delivery
from slipstream.sources.contents import contents_read
from slipstream.sources.forms import Encoding, FileForm, Format
from slipstream.spec.model import ModelSpec


@dataclass(frozen=True)
class WebMark:
    """What was read: the watermark.

    Attributes:
        url: Digest of the URL that it was read from.
        etag: What its server called the newest content.
        modified: When that was changed last, as its server wrote it.
        read: The sha256 of each content that was read.
        foreign: Whether the watermark is of a source that tells nothing of contents.
    """

    url: str = ""
    etag: str = ""
    modified: str = ""
    read: tuple[str, ...] = ()
    foreign: bool = False

    @classmethod
    def parse(cls, watermark: str) -> WebMark:
        """The mark that a watermark holds; of a files source, the contents that it read."""
        read = contents_read(watermark)
        if read is None:
            return cls(foreign=True)
        fields: Any = json.loads(watermark or "[]")
        others = fields if isinstance(fields, dict) else {}
        return cls(**{**others, "read": tuple(sorted(read))})

    def __str__(self) -> str:
        return json.dumps(
            {key: value for key, value in asdict(self).items() if key != "foreign"}, separators=(",", ":")
        )

    def conditions(self, url: str) -> dict[str, str]:
        """The headers by which its server can say that nothing is new."""
        if self.url != url:
            return {}
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


@dataclass(frozen=True)
class HttpSource:
    """A source that fetches a file by HTTP or HTTPS.

    Attributes:
        url: The URL; or ``{env: NAME}``, the variable that holds it, where it has a password or a key in it.
        token: ``{env: NAME}``: the variable that holds a token, shown as ``Authorization: Bearer``.
        connection: Id of an Airflow connection of that host, whose login and password are shown.
        on_change: What happens when the file has changed and no ``data.key`` tells its rows: ``refuse``, or
            ``append``: each content holds new rows only.
        format: ``csv``, ``jsonl``, ``parquet``, ``xlsx``, or ``auto``: by the ending of the URL's path.
        delimiter: CSV: the character between fields; without it the one that the header line suggests.
        encoding: CSV: how its characters are written.
        sheet: Excel: the sheet that is read; without it the only one that there is.
        timeout: Seconds that the server may be silent.
        max_bytes: The largest number of bytes that are fetched; of a packed file, that it unpacks to.
    """

    url: str | Mapping[str, str] = field(repr=False)
    token: Mapping[str, str] = field(default_factory=dict)
    connection: str = ""
    on_change: Literal["refuse", "append"] = "refuse"
    format: Format = "auto"
    delimiter: str = ""
    encoding: Encoding = "utf-8"
    sheet: str = ""
    timeout: Annotated[int, Field(ge=1, le=600)] = 60
    max_bytes: Annotated[int, Field(ge=1)] = 2 << 30

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """``""``: only asking the server tells what there is."""
        return ""

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """The file, fetched into folder *into*, if its content was not read before.

        Raises:
            SourceError: as of :func:`slipstream.sources.http.fetch.fetch`, and ``source_rows_again``.
        """
        from slipstream.sources.http.address import web_address
        from slipstream.sources.http.fetch import FetchBounds, fetch

        address, mark = web_address(self.url, self.token, self.connection), WebMark.parse(watermark)
        arriving = into / "arriving"
        bounds = FetchBounds(self.max_bytes, self.timeout)
        fetched = fetch(address, mark.conditions(address.digest), bounds, arriving)
        if fetched is None or fetched.sha256 in mark.read:
            return Delivery({}, watermark)
        if (mark.read or mark.foreign) and not spec.data.key and self.on_change != "append":
            message = (
                f"{address.name}: has changed since it was read, and nothing tells which of its rows are known: name "
                "data.key, or data.source: {on_change: append} if each content holds new rows only."
            )
            raise SourceError(message, code="source_rows_again")
        ending = "" if address.leaf.endswith(fetched.packing) else fetched.packing
        file = arriving.rename(into / f"{address.leaf}{ending}")
        form = FileForm(self.format, self.delimiter, self.encoding, self.sheet).of({file: file.name}, address.name)
        read = tuple(sorted({*mark.read, fetched.sha256}))
        after = WebMark(address.digest, fetched.etag, fetched.modified, read)
        names = {file: f"{address.name}{ending}"}
        return Delivery(names, str(after), form, self.max_bytes, digests={file: fetched.sha256})
