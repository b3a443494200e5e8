"""Data files that carry the checksum of their bytes in their name, compared with it before they are read."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Lock

from slipstream.errors import ChecksumMismatch
from slipstream.store.objects import sha256_file

DIGITS = 32
_NAMED = re.compile(rf"-([0-9a-f]{{{DIGITS}}})\.parquet$")
_Stamp = tuple[int, int, int]


def named_digest(name: str) -> str:
    """The first digits of the sha256 that the file's *name* promises; "" for one of a time when names had none."""
    match = _NAMED.search(name)
    return match[1] if match else ""


class Checksums:
    """The sha256 of files, worked out once as long as they are the same file of the same size and time."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Stamp, str]] = {}
        self._lock = Lock()

    def of(self, path: Path, *, again: bool = False) -> str:
        """The sha256 of the file at *path*, in hexadecimal; *again*: read anew, whatever was known."""
        facts = path.stat()
        stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known[0] == stamp and not again:
            return known[1]
        digest = sha256_file(path)
        with self._lock:
            self._known[path] = (stamp, digest)
        return digest

    def checked(self, path: Path, name: str, expected: str = "", *, again: bool = False) -> str:
        """The sha256 of the file at *path*.

        Args:
            path: A local file.
            name: What the table calls it.
            expected: What its sha256 must begin with; "": what the name promises.
            again: Read it, although it is the same file as when it was last read: disks flip bits.

        Raises:
            ChecksumMismatch: it is another one.
        """
        expected = expected or named_digest(name)
        got = self.of(path, again=again)
        if not got.startswith(expected):
            raise ChecksumMismatch(
                f"{name}: checksum differs (expected {expected[:12]}…, got {got[:12]}…); restore it from a backup."
            )
        return got


CHECKSUMS = Checksums()
"""Of this process."""
