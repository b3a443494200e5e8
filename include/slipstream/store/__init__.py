"""The store: one URL under which everything lasts."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipstream.store.ledger import Ledger
from slipstream.store.location import Location
from slipstream.store.objects import LocalObjects, Objects, S3Objects
from slipstream.store.tables import Tables


@dataclass(frozen=True)
class Store:
    """A store: immutable objects, Delta tables and the ledger.

    Attributes:
        url: ``file:///...`` or ``s3://bucket/prefix``.
    """

    url: str
    objects: Objects
    tables: Tables
    ledger: Ledger

    @classmethod
    def open(cls, url: str, cache: Path | None = None) -> Store:
        """The store at *url*; what it needs is made when it is first written.

        Args:
            url: ``file:///absolute/folder`` or ``s3://bucket/prefix``.
            cache: Folder for local copies of what lies in S3; without it one below the temporary folder.

        Raises:
            StoreError: ``storage_url_invalid``.
        """
        location = Location.parse(url)
        name = hashlib.sha256(location.url.encode()).hexdigest()[:16]
        cache = cache or Path(tempfile.gettempdir()) / f"slipstream-cache-{name}"
        objects: Objects
        if location.root is not None:
            objects = LocalObjects(location.root / "objects")
        else:
            objects = S3Objects(location, cache / "objects")
        return cls(location.url, objects, Tables(location, cache / "tables"), Ledger(location))
