"""Where a store is: its URL, split and checked, with what each part of the store needs to reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from slipstream.errors import StoreError, shown

CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 5, 20, 5


class Listed(NamedTuple):
    """A file below a folder: its path there, its bytes, and what changes when it is written anew."""

    name: str
    size: int
    stamp: str


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

    def table_uri(self, *names: str) -> str:
        """What deltalake takes for the table at *names*."""
        if self.root is not None:
            return str(self.root.joinpath(*names))
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix, *names) if part)

    def object_key(self, *names: str) -> str:
        """The key in the bucket of the object at *names*."""
        return "/".join(part for part in (self.prefix, *names) if part)

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
        pages = self.s3_client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield Listed(entry["Key"].removeprefix(prefix), entry["Size"], entry["ETag"])

    def delta_options(self) -> dict[str, str] | None:
        """deltalake's storage options: credentials come from the environment, timeouts and retries are bounded."""
        if self.root is not None:
            return None
        options = {
            "timeout": f"{READ_TIMEOUT}s",
            "connect_timeout": f"{CONNECT_TIMEOUT}s",
            "max_retries": str(ATTEMPTS),
        }
        options |= {"conditional_put": "etag", "aws_region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
        if self.endpoint:
            options |= {"aws_endpoint": self.endpoint, "allow_http": "true"}
        return options

    def s3_client(self) -> Any:
        """A boto3 client with explicit timeouts and bounded retries; the same one for a process."""
        return _client(self.endpoint, os.environ.get("AWS_DEFAULT_REGION", "us-east-1"), os.getpid())


@lru_cache(maxsize=8)
def _client(endpoint: str, region: str, _: int) -> Any:
    """A client; connections do not outlive a fork, hence the process's number."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"} if endpoint else None,
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint or None, region_name=region, config=config)
