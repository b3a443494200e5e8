"""Zip archives: each file in one is read as a file of its own, within a bound on what all of them unpack to.

A name in an archive is a word for errors and for the format; it never becomes a path.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from slipstream.errors import SourceError, shown

ENDING = ".zip"
MOST_MEMBERS = 10_000
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_ENDING = re.compile(r"(?:\.[a-z0-9]{1,20}){1,2}")


def is_zip(name: str) -> bool:
    """Whether the name is that of a zip archive."""
    return PurePosixPath(name).suffix.lower() == ENDING


def member_names(path: Path, name: str) -> list[str]:
    """The names of the data files in the archive at *path*, which errors call *name*.

    Raises:
        SourceError: ``source_unreadable``: it is no zip archive, has no files or too many, or one cannot be read here.
    """
    with _opened(path, name) as archive:
        return [member.filename for member in _members(archive, name)]


def unpack_members(files: Mapping[Path, str], max_bytes: int, folder: Path) -> dict[Path, str]:
    """*files* (path -> the name that errors use) with each archive replaced by the files in it, unpacked to *folder*.

    As among files that are not packed, a content that is there twice is read once.

    Raises:
        SourceError: ``source_too_large`` as soon as the archives have given more than *max_bytes* bytes, whatever
            their headers say; ``source_unreadable`` for one that is damaged.
    """
    plain_files: dict[Path, str] = {}
    seen: set[str] = set()
    left = max_bytes
    for path, name in files.items():
        if not is_zip(path.name):
            plain_files[path] = name
            continue
        with _opened(path, name) as archive:
            for member in _members(archive, name):
                target = folder / f"member-{len(seen)}{_ending(member.filename)}"
                size, digest = _unpack(archive, member, target, left)
                if size > left:
                    raise _too_large(name, max_bytes)
                left -= size
                if digest not in seen:
                    plain_files[target] = f"{name}/{_printable(member.filename)}"
                seen.add(digest)
    return plain_files


def _unpack(archive: ZipFile, member: ZipInfo, target: Path, limit: int) -> tuple[int, str]:
    """Write a member; returns its bytes, which are more than *limit* if it was given up, and their sha256."""
    size, digest = 0, hashlib.sha256()
    with archive.open(member) as packed, target.open("wb") as plain:
        while size <= limit and (chunk := packed.read(_CHUNK)):
            size += len(chunk)
            digest.update(chunk)
            plain.write(chunk)
    return size, digest.hexdigest()


def _ending(member: str) -> str:
    """The ending of a member's name, ``.csv.gz``, where it is a plain one."""
    inside = PurePosixPath(member)
    endings = ("".join(inside.suffixes[-2:]).lower(), inside.suffix.lower())
    return next(filter(_ENDING.fullmatch, endings), "")


def _too_large(name: str, max_bytes: int) -> SourceError:
    message = f"{name}: unpacks to more than {max_bytes} bytes; deliver less at once, or raise the source's max_bytes."
    return SourceError(message, code="source_too_large")


def _members(archive: ZipFile, name: str) -> list[ZipInfo]:
    members = [one for one in archive.infolist() if not one.is_dir() and not _of_the_mac(one.filename)]
    if not members:
        raise SourceError(f"{name}: the archive holds no files.")
    if len(members) > MOST_MEMBERS:
        raise SourceError(f"{name}: the archive holds {len(members)} files, more than {MOST_MEMBERS}; split it.")
    seen: set[str] = set()
    for member in members:
        if member.filename in seen:
            raise SourceError(f"{name}: the archive holds {shown(member.filename)} twice; rename one.")
        seen.add(member.filename)
        if member.flag_bits & _ENCRYPTED:
            raise SourceError(f"{name}: {shown(member.filename)} is encrypted; pack it without a password.")
    return members


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)


def _of_the_mac(member: str) -> bool:
    """Whether a Mac put the member beside the files: no data of theirs."""
    path = PurePosixPath(member)
    return path.parts[0] == "__MACOSX" or path.name == ".DS_Store"


@contextmanager
def _opened(path: Path, name: str) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as archive:
            yield archive
    except NotImplementedError as error:
        raise SourceError(f"{name}: is packed in a way that is not read here ({error}); pack it anew.") from error
    except (BadZipFile, EOFError, OSError, zlib.error, LZMAError) as error:
        if getattr(error, "errno", None):  # of the disk that it is unpacked to
            raise
        raise SourceError(f"{name}: not a whole zip archive: {error}.") from error
