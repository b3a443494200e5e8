"""Log files that several processes hold open: they are rotated by copying, as nobody can tell the writers to reopen.

A writer appends (``O_APPEND``), so after the file was cut it goes on at the beginning. What is written in the moment
between the copy and the cut is lost; a pipe would lose nothing, but its reader must then outlive every writer.
"""

from __future__ import annotations

import os
from pathlib import Path

BYTES = 10_000_000
FILES = 5


def rotate(path: Path) -> None:
    """Move what *path* holds to ``<path>.1`` if it is more than ``BYTES``, the last of it if it is much more.

    Args:
        path: The log, of which ``FILES`` files are kept, the current one included.
    """
    size = path.stat().st_size
    if size <= BYTES:
        return
    for number in range(FILES - 2, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    with path.open("rb") as source:
        source.seek(size - BYTES)
        path.with_name(f"{path.name}.1").write_bytes(source.read(BYTES))
    os.truncate(path, 0)
