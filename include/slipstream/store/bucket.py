"""A bucket of S3, or of a server that speaks as S3 does: all requests go through here, and so do their errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from slipstream.errors import Conflict, NotFound, StoreError
from slipstream.store.faultpoints import faultpoint

CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 5, 20, 5
_CHUNK = 1 << 20


class Listed(NamedTuple):
    """A file below a folder: its path there, its bytes, and what changes when it is written anew."""

    name: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Bucket:
    """A bucket. Credentials come from the environment; timeouts and retries are bounded.

    Each method raises NotFound if there is no such object, Conflict if it is no longer the one that was meant, else
    StoreError ``storage_request_refused`` or ``storage_unreachable``: which request failed and why, without headers or
    credentials.

    Attributes:
        name: Of the bucket.
        endpoint: URL of an S3-compatible server; "" is AWS.
    """

    name: str
    endpoint: str = ""

    @property
    def client(self) -> Any:
        """A boto3 client, the same one for a process."""
        return _client(self.endpoint, _region(), os.getpid())

    def read(self, key: str) -> bytes:
        """The bytes of the object."""
        with self._explained(key, "GetObject"):
            data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def write(self, key: str, data: bytes) -> None:
        """Put *data* there, whatever was there before."""
        with self._explained(key, "PutObject"):
            self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def upload(self, file: Path, key: str) -> None:
        """Put the bytes of the *file* there."""
        with self._explained(key, "PutObject"):
            self.client.upload_file(str(file), self.name, key)

    def download(self, key: str, file: Path) -> None:
        """Write the object's bytes to the *file*."""
        with self._explained(key, "GetObject"):
            self.client.download_file(self.name, key, str(file))

    def download_listed(self, listed: Listed, file: Path) -> None:
        """Write to the *file* the object that was *listed*, and no other one that has its key by now."""
        with self._explained(listed.name, "GetObject"):
            reply = self.client.get_object(Bucket=self.name, Key=listed.name, IfMatch=listed.stamp)
            with file.open("wb") as target:
                left = listed.size
                while data := reply["Body"].read(min(_CHUNK, left)):
                    target.write(data)
                    left -= len(data)

    def delete(self, key: str) -> None:
        """Remove the object."""
        with self._explained(key, "DeleteObject"):
            self.client.delete_object(Bucket=self.name, Key=key)

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with self._explained(key, "HeadObject"):
                self.client.head_object(Bucket=self.name, Key=key)
        except NotFound:
            return False
        return True

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key begins with *prefix*, named by its whole key."""
        with self._explained(prefix, "ListObjectsV2"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield Listed(entry["Key"], entry["Size"], entry["ETag"])

    def delta_options(self) -> dict[str, str]:
        """The storage options with which deltalake reaches the bucket as this class does."""
        options = {
            "timeout": f"{READ_TIMEOUT}s",
            "connect_timeout": f"{CONNECT_TIMEOUT}s",
            "max_retries": str(ATTEMPTS),
            "conditional_put": "etag",
            "aws_region": _region(),
        }
        return options | ({"aws_endpoint": self.endpoint, "allow_http": "true"} if self.endpoint else {})

    @contextmanager
    def _explained(self, key: str, request: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        name = f"s3://{self.name}/{key}"
        try:
            faultpoint("store.io")
            yield
        except ClientError as error:
            word = str(error.response.get("Error", {}).get("Code", ""))
            # Whoever reads of a bucket that is still to be made reads of an empty one.
            if word in {"NoSuchKey", "404"} or (word, request) == ("NoSuchBucket", "GetObject"):
                raise NotFound(f"{name}: not in the store.") from error
            if word in {"PreconditionFailed", "412"}:
                raise Conflict(f"{name}: changed while it was read; run again.") from error
            raise StoreError(f"{name}: {word} ({request}).", code="storage_request_refused") from error
        except (BotoCoreError, Boto3Error, OSError) as error:
            raise StoreError(f"{name}: {error} ({request}).", code="storage_unreachable") from error


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION", "us-east-1")


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
