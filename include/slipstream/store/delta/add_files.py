"""Adds a finished Parquet file to a Delta table as it is: copied, not decoded, its checksum in its name."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError, NotFound
from slipstream.store.delta.access import open_table
from slipstream.store.delta.checksums import DIGITS
from slipstream.store.faultpoints import faultpoint
from slipstream.store.files import atomic_copy
from slipstream.store.location import Location
from slipstream.store.objects import sha256_file

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, Field, Schema
    from deltalake.transaction import AddAction, RemoveAction


def file_name(file: Path, properties: CommitProperties) -> str:
    """What *file* is called in a table: by the commit's key and the content, so a second try writes the same file."""
    key = json.dumps(properties.custom_metadata, sort_keys=True)
    return f"part-{hashlib.sha256(key.encode()).hexdigest()[:16]}-{sha256_file(file)[:DIGITS]}.parquet"


def committed_once(key: str, *parts: str) -> CommitProperties:
    """A commit that is made once for its *key* and those of its *parts*, and only upon the version that was read."""
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        custom_metadata={"slipstream_key": key},
        app_transactions=[Transaction(app_id=one, version=1) for one in (key, *parts)],
        max_commit_retries=0,
    )


def has_commit(table: DeltaTable | None, key: str) -> bool:
    """Whether a commit of that *key*, or with a part of it, was made."""
    return table is not None and table.transaction_version(key) is not None


def around_commit(
    location: Location, uri: str, between: tuple[int, int], key: str
) -> tuple[DeltaTable, DeltaTable | None]:
    """The table right after the commit of that *key*, and right before it.

    The history counts its versions back from the one that was opened: where another writer has committed since, each of
    them is told too low. So the commit is looked for from the version that was told up to the one that was opened.

    Raises:
        NotFound: it is no longer there.
    """
    first, newest = between
    before = open_table(location, uri, first - 1) if first > 0 else None
    for number in range(max(first, 0), newest + 1):
        after = open_table(location, uri, number)
        if after is not None and has_commit(after, key):
            return after, before
        before = after
    raise NotFound(f"{uri}: the commit of key {key} is no longer in the table's history.")


def add_file(
    location: Location,
    uri: str,
    table: DeltaTable | None,
    file: Path,
    properties: CommitProperties,
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Commit *file* to the table at *uri* (made if *table* is None); columns that it adds widen the table.

    Args:
        location: Where the store is.
        uri: The table.
        table: It, opened as it is now.
        file: A Parquet file.
        properties: Of the commit.
        configuration: Of the table, if it is made.

    Raises:
        DeltaError: another writer was first.
        StoreError: the store refused.
    """
    _add_together(location, uri, table, [file], properties, configuration)


def _add_together(
    location: Location,
    uri: str,
    table: DeltaTable | None,
    files: Sequence[Path],
    properties: CommitProperties,
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Commit *files* at once, of which there are some; arguments and errors as for :func:`add_file`."""
    import pyarrow.parquet as pq
    from deltalake.transaction import create_table_with_add_actions

    actions: list[AddAction] = []
    schemas: list[Schema] = []
    for file in files:
        with pq.ParquetFile(file) as parquet:
            statistics, schema = _statistics(parquet.metadata), _schema(parquet.schema_arrow)
        schemas.append(schema)
        name = file_name(file, properties)
        place_file(location, uri, name, file)
        actions.append(_action(name, file, statistics))
    faultpoint("store.io")
    columns = _united(schemas)
    if table is None:
        create_table_with_add_actions(
            uri,
            columns,
            actions,
            configuration=configuration,
            storage_options=location.delta_options(),
            commit_properties=properties,
        )
        return
    wider = _widened(table, columns)
    wider.create_write_transaction([*actions], "append", wider.schema(), commit_properties=properties)


def _united(schemas: Sequence[Schema]) -> Schema:
    """All columns of files; where two have one, as the last has it."""
    from deltalake import Schema

    if len(schemas) == 1:
        return schemas[0]
    return Schema(list({field.name: field for one in schemas for field in one.fields}.values()))


def add_parts(location: Location, uri: str, table: DeltaTable | None, parts: Mapping[str, Path], key: str) -> None:
    """Commit files at once, each once for its own key and all for *key*; arguments and errors as for :func:`add_file`.

    Raises:
        DataError: ``table_types_differ``: a column has another type than in the table, or in a file before.
    """
    files = list(parts.values())
    _refuse_other_types(uri, table, files)
    _add_together(location, uri, table, files, committed_once(key, *parts))


def _refuse_other_types(uri: str, table: DeltaTable | None, files: Sequence[Path]) -> None:
    import pyarrow.parquet as pq

    types = {} if table is None else {field.name: str(field.type) for field in table.schema().fields}
    for file in files:
        for field in _schema(pq.read_schema(file)).fields:
            now = str(field.type)
            before = types.setdefault(field.name, now)
            if before.startswith("Primitive") and now.startswith("Primitive") and before != now:
                message = (
                    f"{uri}: column {field.name!r} holds {before[15:-2]} there and {now[15:-2]} in the new rows; give "
                    "the new rows that type, or write them elsewhere."
                )
                raise DataError(message, code="table_types_differ")


def replace_files(
    location: Location, uri: str, table: DeltaTable, files: Sequence[Path], properties: CommitProperties
) -> None:
    """Commit *files*, which have the same columns, in place of all files of the *table*; errors as for add_file."""
    import pyarrow.parquet as pq

    actions: list[AddAction | RemoveAction] = []
    for number, file in enumerate(files):
        with pq.ParquetFile(file) as parquet:
            statistics, schema = _statistics(parquet.metadata), _schema(parquet.schema_arrow)
        name = f"{number:05d}-{file_name(file, properties)}"
        place_file(location, uri, name, file)
        actions.append(_action(name, file, statistics))
    faultpoint("store.io")
    _allow_times(table, schema)
    table.create_write_transaction(actions, "overwrite", schema, commit_properties=properties)


def _action(name: str, file: Path, statistics: Mapping[str, Any]) -> AddAction:
    from deltalake.transaction import AddAction

    return AddAction(name, file.stat().st_size, {}, time.time_ns() // 1_000_000, True, json.dumps(statistics))


def _statistics(metadata: Any) -> dict[str, Any]:
    """What the log says of a file: its rows, and the least and greatest value of short texts such as ids."""
    statistics: dict[str, Any] = {"numRecords": metadata.num_rows, "minValues": {}, "maxValues": {}}
    for place in range(metadata.num_columns if metadata.num_row_groups else 0):
        columns = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        reported = [column.statistics for column in columns if column.is_stats_set and column.statistics.has_min_max]
        ends = [end for one in reported for end in (one.min, one.max)]
        name = columns[0].path_in_schema
        if len(reported) == len(columns) and "." not in name and all(isinstance(e, str) and len(e) <= 32 for e in ends):
            statistics["minValues"][name], statistics["maxValues"][name] = min(ends), max(ends)
    return statistics


def _schema(arrow: Any) -> Schema:
    """The columns, all of which may be missing: that a file has no nulls says nothing about the next."""
    import pyarrow as pa
    from deltalake import Schema

    fields = (field.with_nullable(True).remove_metadata() for field in arrow)
    # A moment is a moment in any zone; Delta Lake knows UTC alone.
    moment = pa.timestamp("us", tz="UTC")
    zoned = (field.with_type(moment) if getattr(field.type, "tz", None) else field for field in fields)
    return Schema.from_arrow(pa.schema(zoned))


def _widened(table: DeltaTable, schema: Schema) -> DeltaTable:
    """The table with the columns of *schema* that it lacks, also those within columns."""
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    if not _lacks(table.schema().fields, schema.fields):
        return table
    _allow_times(table, schema)
    none = pa.schema(schema).empty_table()
    write_deltalake(
        table, none, mode="append", schema_mode="merge", commit_properties=CommitProperties(max_commit_retries=0)
    )
    table.update_incremental()
    return table


def _lacks(known: Sequence[Field], wanted: Sequence[Field]) -> bool:
    types = {field.name: field.type for field in known}
    return any(
        field.name not in types or _lacks(getattr(types[field.name], "fields", ()), getattr(field.type, "fields", ()))
        for field in wanted
    )


def _allow_times(table: DeltaTable, schema: Schema) -> None:
    """Let the table hold times without a zone, if it is to have its first column of them."""
    from deltalake import CommitProperties, TableFeatures

    times = any(str(field.type) == 'PrimitiveType("timestamp_ntz")' for field in schema.fields)
    if times and "timestampNtz" not in (table.protocol().reader_features or ()):
        table.alter.add_feature(
            TableFeatures.TimestampWithoutTimezone,
            allow_protocol_versions_increase=True,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
        table.update_incremental()


def place_file(location: Location, uri: str, name: str, file: Path, *, again: bool = False) -> None:
    """Put the bytes where the table will name them, *again* if they are there; before the commit nobody sees them."""
    if location.root is not None:
        target = Path(uri) / name
        if again or not target.exists():
            atomic_copy(file, target)
        return
    location.s3.upload(file, location.key_below(uri, name))
