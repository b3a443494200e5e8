"""Room on the disk for a worker's counters, taken at its start: to write into a hole of a full disk kills a process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

KINDS = ("counter", "histogram", "gauge_livesum")
SIZE = 1 << 20

_log = logging.getLogger("slipstream")


def reserve(folder: str | None) -> None:
    """Give the files in which this process counts all their room, where it counts in files: in *folder*.

    The names are those of prometheus_client, which takes a file as it is. What a worker counts fits into 1 MiB a kind
    up to some 6,000 series.
    """
    if not folder:
        return
    for kind in KINDS:
        path = Path(folder) / f"{kind}_{os.getpid()}.db"
        try:
            with path.open("a+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size or SIZE)
        except OSError as error:
            _log.warning("%s: no room for what this worker counts: %s", path, error.strerror)
