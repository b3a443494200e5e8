"""Which files a path names, locally or in S3, and how each is told from one that was read before: by its content."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from slipstream.errors import Conflict, NotFound, SourceError, StoreError, shown
from slipstream.store.bucket import Listed
from slipstream.store.location import Location
from slipstream.store.objects import sha256_file

MAX_FILES = 100_000
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True)
class ListedFile:
    """One file.

    Attributes:
        name: Its path, or its ``s3://`` URL.
        size: Its bytes.
        stamp: What tells its content: the sha256 of a local file, the ETag of an object in S3.
        changed: When a local file was last changed, in nanoseconds; 0 in S3.
    """

    name: str
    size: int
    stamp: str
    changed: int = 0


def matching(path: str, folder: Path) -> list[ListedFile]:
    """The files that *path* names, in the order of their names; a relative path starts at *folder*.

    Raises:
        SourceError: ``source_scheme_forbidden``, ``source_unreadable`` or ``source_too_many_files``.
    """
    scheme = scheme_of(path)
    if scheme not in {"", "s3"}:
        hint = "; write {type: http, url: ...}" if scheme in {"http", "https"} else ""
        message = f"source {shown(path)}: scheme {scheme!r} is not allowed (a local path or s3){hint}."
        raise SourceError(message, code="source_scheme_forbidden")
    files: list[ListedFile] = []
    for file in _in_s3(path) if scheme else _local(folder, path):
        files.append(file)
        if len(files) > MAX_FILES:
            message = f"source {path}: more than {MAX_FILES} files match; name fewer, or join them."
            raise SourceError(message, code="source_too_many_files")
    return sorted(files, key=lambda file: file.name)


def scheme_of(path: str) -> str:
    """``s3`` of ``s3://bucket/key``, in small letters; "" of a local path."""
    scheme = _SCHEME.match(path)
    return scheme[1].lower() if scheme else ""


def local_copy(file: ListedFile, into: Path) -> Path:
    """The file itself if it is local, else a copy of the object in folder *into*.

    Raises:
        SourceError: ``source_unreadable``, or ``source_changed`` if the object is no longer the one that was listed.
    """
    if not file.name.startswith("s3://"):
        return Path(file.name)
    location = Location.parse(file.name)
    copy = into / f"{file.stamp}-{Path(file.name).name}"
    try:
        location.s3.download_listed(Listed(location.prefix, file.size, file.stamp), copy)
    except (Conflict, NotFound) as error:
        raise SourceError(f"{file.name}: changed while it was read; run again.", code="source_changed") from error
    except StoreError as error:
        raise SourceError(str(error)) from error
    return copy


def refuse_changed(files: Sequence[ListedFile]) -> None:
    """Raise SourceError ``source_changed`` if a local file is not as it was when it was listed."""
    for file in filter(lambda file: file.changed, files):
        now = Path(file.name).stat()
        if (now.st_size, now.st_mtime_ns) != (file.size, file.changed):
            message = f"{file.name}: changed while it was read; run again when it is complete."
            raise SourceError(message, code="source_changed")


def _local(folder: Path, path: str) -> Iterator[ListedFile]:
    full = str(folder / path)
    try:
        for name in glob.iglob(full, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
            file = Path(name)
            if file.is_file():
                facts = file.stat()
                yield ListedFile(
                    name, facts.st_size, _digest(name, facts.st_size, facts.st_mtime_ns), facts.st_mtime_ns
                )
    except OSError as error:
        message = f"{error.filename or full}: cannot be read: {error.strerror}."
        raise SourceError(message) from error


@lru_cache(maxsize=10_000)
def _digest(name: str, size: int, changed: int) -> str:
    """The sha256 of the file, asked for twice in one ingest; *size* and *changed* tell when to read it anew."""
    return sha256_file(Path(name))


def _in_s3(path: str) -> Iterator[ListedFile]:
    bucket, _, pattern = path.removeprefix("s3://").partition("/")
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    try:
        for key, size, stamp in Location.parse(f"s3://{bucket}").s3.listed(fixed):
            if key == pattern or (fixed != pattern and fnmatchcase(key, pattern)):
                yield ListedFile(f"s3://{bucket}/{key}", size, stamp.strip('"'))
    except StoreError as error:
        raise SourceError(str(error)) from error
