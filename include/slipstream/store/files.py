"""The one way in which files come to be: written beside, synced, then renamed, so that a name is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slipstream.errors import StoreError
from slipstream.store.faultpoints import faultpoint

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def atomic_write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put *data* at *path*, whole or not at all, also across kill -9 and power loss.

    Raises:
        StoreError: ``storage_not_writable`` naming the path and, where space is short, the bytes needed and free.
    """
    with writable(path, len(data)), _beside(path, mode) as file:
        file.write(data)


def atomic_copy(source: Path, path: Path, digest: str = "") -> None:
    """Copy the file *source* to *path*, whole or not at all.

    Args:
        digest: The sha256 that the bytes must have; "" where nobody else can write *source*.

    Raises:
        StoreError: as for :func:`atomic_write`, and ``file_changed``: the bytes are not those of *digest* any more.
    """
    hashed = hashlib.sha256()
    with writable(path, source.stat().st_size), _beside(path) as target, source.open("rb") as origin:
        while chunk := origin.read(1 << 20):
            target.write(chunk)
            if digest:
                hashed.update(chunk)
        if digest and hashed.hexdigest() != digest:
            raise StoreError(f"{source}: changed while it was copied; run again.", code="file_changed")


def atomic_move(source: Path, path: Path) -> None:
    """Let the finished file *source*, which nobody needs any more, be at *path*; errors as for :func:`atomic_write`."""
    with writable(path, source.stat().st_size):
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.stat().st_dev != path.parent.stat().st_dev:
            atomic_copy(source, path)
            return
        source.chmod(0o644)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        faultpoint("files.rename")
        source.replace(path)
        _sync_folder(path.parent)


@contextmanager
def _beside(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A new file beside *path* that takes its place once it is written and synced; on any error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        faultpoint("files.rename")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def writable(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn the operating system's refusal to write *path* into a StoreError that says what to do."""
    try:
        faultpoint("store.io")
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            folder = next(parent for parent in (path, *path.parents) if parent.exists())
            free = shutil.disk_usage(folder).free
            wanted = f"need {_sized(needed)}, " if needed else ""
            text = f"{path}: no space ({wanted}free {_sized(free)}); make room and run again."
        else:
            text = f"{path}: cannot be written: {error.strerror or error}; mend it and run again."
        raise StoreError(text, code="storage_not_writable") from error


def _sized(count: int) -> str:
    """So many bytes, in a unit in which they are not nothing."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB" if count >= 100 else f"{count} bytes"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
