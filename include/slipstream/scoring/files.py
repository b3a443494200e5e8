"""Which files are scored: those that a path names, or the data files of a dataset version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from slipstream.errors import SourceError
from slipstream.slots import SOURCE, Delivery
from slipstream.sources import workbook
from slipstream.sources.files import FilesSource
from slipstream.sources.http.source import HttpSource
from slipstream.sources.zipped import unpack_members
from slipstream.spec.http_source import holds_secret
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import DATA, load_dataset
from slipstream.store.objects import sha256_file

_UNPACKED = 1 << 40
"""Bytes that the files, or a packed one unpacked, may have: rows are read in a stream."""


@dataclass(frozen=True)
class ScoreFile:
    """One file of rows.

    Attributes:
        path: Where it lies on this machine.
        name: What errors and the record call it.
        sha256: Of its bytes.
        unit: What tells it from other rows, so that it is not answered twice into one table: its content or, of the
            data table, its name there.
        form: What it is, as :class:`slipstream.slots.Delivery` says it.
        max_bytes: How many bytes it may unpack to.
    """

    path: Path
    name: str
    sha256: str
    unit: str
    form: Mapping[str, str]
    max_bytes: int = _UNPACKED


@dataclass(frozen=True)
class ScoreInput:
    """What is scored.

    Attributes:
        name: The path as it was given, or ``dataset <id>``.
        files: In the order of their names or, of a dataset version, of its manifest; each content once.
        dataset: The dataset version; "" for files.
        pattern: The path that files were looked for at, absolute; "" for a dataset version.
        still: Raises SourceError if a file is no longer what it was when it was looked at.
        source: What tells the source of the model file that was read; "" for what is none.
        watermark: Where its next reading starts.
        whole: Whether all that it has is read each time.
    """

    name: str
    files: tuple[ScoreFile, ...]
    dataset: str = ""
    pattern: str = ""
    still: Callable[[], object] = lambda: None
    source: str = ""
    watermark: str = ""
    whole: bool = False

    def reads(self, place: str) -> bool:
        """Whether a file at *place* is, or the next time would be, one of the files."""
        return fnmatchcase(place, self.pattern) or place in {file.name for file in self.files}


def files_at(spec: ModelSpec, path: str, folder: Path) -> ScoreInput:
    """The CSV, Parquet or Excel files that *path* names, perhaps packed: a file, a folder or a glob, local or ``s3://``.

    Args:
        spec: The model; a relative path starts at its folder, and its files source says how they are written.
        path: The path.
        folder: Takes copies of what lies in S3.

    Raises:
        SourceError: no such file, or files of which nobody can say what they are.
    """
    source = spec.data.source if spec.data.source["type"] in {"files", "http"} else {}
    how = {name: source[name] for name in ("delimiter", "encoding", "sheet") if name in source}
    if path.startswith(("http://", "https://")):
        if holds_secret(path):
            message = (
                "the URL holds a password or a key, which the record of a scoring would keep; fetch the file first."
            )
            raise SourceError(message, code="source_url_secret")
        pattern = path
        delivery = HttpSource(path, max_bytes=_UNPACKED, **how).deliver(spec, "", folder)
    else:
        pattern = f"{path.rstrip('/')}/*" if path.endswith("/") or (spec.folder / path).is_dir() else path
        delivery = FilesSource(pattern, max_bytes=_UNPACKED, **how).deliver(spec, "", folder)
    place = pattern if "://" in pattern else str(spec.folder / pattern)
    return ScoreInput(path, _delivered(spec, delivery, path, folder), pattern=place, still=delivery.still)


def files_of_source(spec: ModelSpec, config: Mapping[str, Any], watermark: str, folder: Path) -> ScoreInput:
    """What the source ``score.source`` has after *watermark*, in *folder*; no files if nothing is new.

    Raises:
        SourceError: the source cannot be read, or brings what is not scored.
        BackendError: there is no such source, or its driver is not installed.
    """
    delivery = SOURCE.build(config, allow_code=spec.allow_code).deliver(spec, watermark, folder)
    names = list(delivery.files.values())
    name = names[0] if len(names) == 1 else f"{len(names)} files of score.source" if names else "score.source"
    pattern = str(config.get("path", "")) if config["type"] == "files" else ""
    place = pattern if not pattern or pattern.startswith("s3://") else str(spec.folder / pattern)
    files = _delivered(spec, delivery, name, folder)
    return ScoreInput(name, files, pattern=place, still=delivery.still, watermark=delivery.watermark)


def _delivered(spec: ModelSpec, delivery: Delivery, name: str, folder: Path) -> tuple[ScoreFile, ...]:
    if delivery.files and delivery.form["type"] == "jsonl":
        message = f"{name}: JSON lines are not scored; give CSV, Parquet or Excel."
        raise SourceError(message, code="source_format_unknown")
    most = max(delivery.max_bytes, _UNPACKED)
    return tuple(
        _in_a_table(spec, ScoreFile(file, of, digest, digest, delivery.form, most), folder)
        for file, of in unpack_members(delivery.files, most, folder).items()
        if (digest := str(delivery.digests.get(file) or sha256_file(file)))
    )


def _in_a_table(spec: ModelSpec, file: ScoreFile, folder: Path) -> ScoreFile:
    """The file itself or, of a workbook, what is on its sheet; its content is still that of the workbook."""
    if file.form["type"] != "xlsx":
        return file
    own = folder / f"sheet-{file.sha256}"
    own.mkdir(exist_ok=True)
    rows = workbook.as_parquet(spec, {file.path: file.name}, file.form.get("sheet", ""), file.max_bytes, own)
    return replace(file, path=rows, form={**file.form, "type": "parquet"})


def files_of_dataset(spec: ModelSpec, store: Store, dataset: str) -> ScoreInput:
    """The data files of that version of the model's data table, each verified.

    Raises:
        NotFound: ``dataset_not_found``, or a file is gone.
        ChecksumMismatch: a file is not what was committed.
    """
    known = load_dataset(store.objects, store.ledger.state(), spec.name, dataset)
    places = store.tables.local_files(spec.name, DATA, known.files)
    files = tuple(
        ScoreFile(Path(place), file.path, file.sha256, file.path, {"type": "parquet"})
        for place, file in zip(places, known.files, strict=True)
    )
    return ScoreInput(f"dataset {dataset[:12]}", files, dataset)
