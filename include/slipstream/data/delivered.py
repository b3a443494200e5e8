"""What a source delivered, kept as it came: the files of a batch, from which the data table can be derived anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream.errors import StageError
from slipstream.slots import Delivery
from slipstream.store import Store

_CHUNK = 1 << 20
_PACKED = "zstd"


def keep(store: Store, delivery: Delivery, folder: Path) -> dict[str, Any]:
    """Keep the delivered files, CSV packed; returns what a batch's manifest says of them."""
    packed = delivery.form["type"] == "csv"
    files = []
    for number, (path, name) in enumerate(delivery.files.items()):
        pack = packed and path.suffix != ".gz"
        kept = _pack(path, folder / f"packed-{number}") if pack else path
        files.append([Path(name).name, store.objects.put_file(kept), _PACKED if pack else ""])
    return {"files": files, "form": dict(delivery.form), "max_bytes": delivery.max_bytes}


@contextmanager
def kept(store: Store, batch: str, told: Mapping[str, Any] | None, watermark: str) -> Iterator[Delivery]:
    """The delivery of a batch, as it came; its files live as long as the context.

    Raises:
        StageError: ``delivery_not_kept``: the batch is of a time when deliveries were not kept.
    """
    if not told:
        message = f"batch {batch[:12]} was made before deliveries were kept; it cannot be derived anew."
        raise StageError(message, code="delivery_not_kept")
    with TemporaryDirectory(prefix="slipstream-delivered-") as name:
        files = {}
        for number, (file, digest, packed) in enumerate(told["files"]):
            path = store.objects.path(digest)
            # The ending tells a packed file; the number keeps two of one name apart.
            target = Path(name) / f"{number}-{file}"
            if packed:
                _unpack(path, target)
            else:
                target.symlink_to(path.absolute())
            files[target] = file
        yield Delivery(files, watermark, told["form"], told["max_bytes"])


def _pack(path: Path, target: Path) -> Path:
    import pyarrow as pa

    with path.open("rb") as source, pa.CompressedOutputStream(pa.OSFile(str(target), "wb"), _PACKED) as packed:
        while chunk := source.read(_CHUNK):
            packed.write(chunk)
    return target


def _unpack(path: Path, target: Path) -> None:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.OSFile(str(path)), _PACKED) as packed, target.open("wb") as plain:
        while chunk := packed.read(_CHUNK):
            plain.write(chunk)
