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


def keep(store: Store, delivery: Delivery) -> dict[str, Any]:
    """Keep the delivered files; returns what a batch's manifest says of them.

    They are not packed: their digests are those of the files as people have them, and packing costs as much as reading.
    """
    stored = (
        (name, store.objects.put_file(path, delivery.digests.get(path, ""))) for path, name in delivery.files.items()
    )
    files = [[Path(name).name, digest] for name, digest in stored]
    return {"files": files, "form": dict(delivery.form), "max_bytes": delivery.max_bytes}


@contextmanager
def delivery_of(store: Store, batch: str, record: Mapping[str, Any] | None, watermark: str) -> Iterator[Delivery]:
    """The delivery of a batch, as it came; its files live as long as the context.

    Raises:
        StageError: ``delivery_not_kept``: the batch is of a time when deliveries were not kept.
    """
    if not record:
        message = f"batch {batch[:12]} was made before deliveries were kept; it cannot be derived anew."
        raise StageError(message, code="delivery_not_kept")
    with TemporaryDirectory(prefix="slipstream-delivered-") as name:
        files = {}
        for number, (file, digest, *packed) in enumerate(record["files"]):
            path = store.objects.path(digest)
            # The ending tells a packed file; the number keeps two of one name apart.
            target = Path(name) / f"{number}-{file}"
            if packed == [_PACKED]:  # as batches of earlier versions have their CSV
                _unpack(path, target)
            else:
                target.symlink_to(path.absolute())
            files[target] = file
        yield Delivery(files, watermark, record["form"], record["max_bytes"])


def _unpack(path: Path, target: Path) -> None:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.OSFile(str(path)), _PACKED) as packed, target.open("wb") as plain:
        while chunk := packed.read(_CHUNK):
            plain.write(chunk)
