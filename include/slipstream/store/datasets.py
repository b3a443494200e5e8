"""Dataset versions: which files of the data table they are, in which order, with which columns.

A dataset version's id is the digest of its ordered file checksums and columns, so that a rerun that writes the same
rows under other file names makes the same version. Where the files lie stands in a manifest that the event names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from slipstream.errors import NotFound, shown
from slipstream.store.objects import Objects
from slipstream.store.state import State
from slipstream.store.tables import TableFile, Tables

if TYPE_CHECKING:
    import duckdb

DATA = "data"


@dataclass(frozen=True)
class Dataset:
    """One version of a model's data table.

    Attributes:
        id: Digest of the ordered file checksums and the columns. The same id gives the same rows in the same order.
        model: The model.
        columns: ``(name, DuckDB type)`` of each column, in order.
        files: The files, in order.
    """

    id: str
    model: str
    columns: tuple[tuple[str, str], ...]
    files: tuple[TableFile, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(file.rows for file in self.files)


def save_dataset(
    objects: Objects, model: str, columns: Sequence[tuple[str, str]], files: Sequence[TableFile]
) -> tuple[Dataset, str]:
    """Keep a dataset version; returns it and the digest of its manifest, which the committing event must name."""
    names = [list(column) for column in columns]
    identity = objects.put_json({"columns": names, "files": [[file.sha256, file.rows] for file in files]})
    manifest = objects.put_json({"columns": names, "files": [asdict(file) for file in files]})
    return Dataset(identity, model, tuple((name, kind) for name, kind in columns), tuple(files)), manifest


def load_dataset(objects: Objects, state: State, model: str, dataset: str) -> Dataset:
    """The dataset version of that id; raises NotFound for one that was never committed."""
    known = state.model(model).datasets
    if dataset not in known:
        newest = [name[:12] for name in known][-5:]
        message = f"{model} has no dataset version {shown(dataset)}. Known: {', '.join(newest) or 'none'}."
        raise NotFound(message, code="dataset_not_found")
    manifest: Any = objects.get_json(state.model(model).committed(dataset).manifest)
    files = tuple(TableFile(**file) for file in manifest["files"])
    return Dataset(dataset, model, tuple((name, kind) for name, kind in manifest["columns"]), files)


def read_dataset(
    tables: Tables, dataset: Dataset, connection: duckdb.DuckDBPyConnection, since: Dataset | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of *dataset* as a DuckDB relation, in the order of the manifest; each file is verified first.

    Args:
        since: An earlier version; its rows are left out.
    """
    old = {file.path for file in since.files} if since else set()
    files = [file for file in dataset.files if file.path not in old]
    if not files:
        raise NotFound(f"dataset {dataset.id[:12]} of {dataset.model}: no rows to read.", code="data_batch_empty")
    return connection.read_parquet(tables.local_files(dataset.model, DATA, files), union_by_name=True)
