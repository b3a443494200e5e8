"""Files that may be packed, by gzip, zstd, xz or bzip2: opened as what they hold, once known to be whole and not too
large.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO

from slipstream.errors import SourceError

PACKED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2"}
"""The ending of a packed file's name -> what packed it."""
_CHUNK = 1 << 20


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if its name ends as that of a packed file."""
    if path.suffix == ".gz":
        return gzip.open(path)  # type: ignore[return-value]
    if path.suffix == ".zst":
        import pyarrow as pa

        # Arrow's own file knows no lines.
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), _CHUNK)
    if path.suffix == ".xz":
        import lzma

        return lzma.open(path)
    if path.suffix == ".bz2":
        import bz2

        return bz2.open(path)
    return path.open("rb")


def check_size(path: Path, name: str, limit: int) -> None:
    """A packed file must be whole, and not unpack to more than *limit* bytes.

    Raises:
        SourceError: ``source_unreadable`` or ``source_too_large``.
    """
    if path.suffix not in PACKED:
        return
    from lzma import LZMAError

    size = 0
    with opened(path) as file:
        try:
            while size <= limit and (chunk := file.read(_CHUNK)):
                size += len(chunk)
        except (EOFError, OSError, LZMAError) as error:
            raise SourceError(f"{name}: not a whole {PACKED[path.suffix]} file: {error}.") from error
    if size > limit:
        raise SourceError(f"{name}: more than {limit} bytes; raise the source's max_bytes.", code="source_too_large")
