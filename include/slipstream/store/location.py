"""Where a store is: its URL, split and checked, with what each part of the store needs to reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slipstream.errors import StoreError, shown
from slipstream.store.bucket import Bucket, Listed


@dataclass(frozen=True)
class Location:
    """A parsed store URL.

    Attributes:
        url: The URL, without a slash at the end.
        root: The folder, for ``file://``; else None.
        bucket: The bucket, for ``s3://``; else "".
        prefix: The prefix in the bucket, without slashes at the ends.
        endpoint: URL of an S3-compatible server; "" is AWS.
    """

    url: str
    root: Path | None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = field(default="")

    @classmethod
    def parse(cls, url: str) -> Location:
        """The location that *url* names.

        Raises:
            StoreError: ``storage_url_invalid`` for another scheme, a host in a file URL or a missing bucket.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
            root = Path(unquote(parts.path))
            return cls(url.rstrip("/"), root)
        if parts.scheme == "s3" and parts.netloc and not (parts.query or parts.fragment):
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
            return cls(url.rstrip("/"), None, parts.netloc, parts.path.strip("/"), endpoint)
        message = f"store: {shown(url)} is no store URL; write file:///absolute/folder or s3://bucket/prefix."
        raise StoreError(message, code="storage_url_invalid")

    @property
    def s3(self) -> Bucket:
        """The bucket, for ``s3://``."""
        return Bucket(self.bucket, self.endpoint)

    def table_uri(self, *names: str) -> str:
        """What deltalake takes for the table at *names*."""
        if self.root is not None:
            return str(self.root.joinpath(*names))
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix, *names) if part)

    def object_key(self, *names: str) -> str:
        """The key in the bucket of the object at *names*."""
        return "/".join(part for part in (self.prefix, *names) if part)

    def key_below(self, uri: str, name: str) -> str:
        """The key in the bucket of the file *name* of the table at *uri*."""
        return f"{uri.removeprefix(f's3://{self.bucket}/')}/{name}"

    def listed(self, *names: str) -> Iterator[Listed]:
        """Every file below the folder at *names*, in the order of their paths; none if there is no such folder."""
        if self.root is not None:
            folder = self.root.joinpath(*names)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    facts = path.stat()
                    stamp = f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
                    yield Listed(path.relative_to(folder).as_posix(), facts.st_size, stamp)
            return
        prefix = f"{self.object_key(*names)}/"
        for entry in self.s3.listed(prefix):
            yield entry._replace(name=entry.name.removeprefix(prefix))

    def delta_options(self) -> dict[str, str] | None:
        """deltalake's storage options."""
        return None if self.root is not None else self.s3.delta_options()
