"""Checks of a source: the promises of :class:`slipstream.slots.Source`, proven on small deliveries.

What a source reads lies outside Slipstream, so the case brings ``arrive``: a function that puts rows where the source
looks for them. :func:`arrive_as_csv` and :func:`arrive_as_parquet` do for files.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from slipstream.errors import SlipstreamError, SourceError, shown
from slipstream.slot import Slot
from slipstream.slots import SOURCE, Delivery
from slipstream.spec.model import ModelSpec
from slipstream.store.objects import sha256_file
from slipstream.testing.suite import SHARED_CHECKS, BackendCase, BrokenPromise, promise, run_checks
from slipstream.testing.tables import spec_of

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 24
Arrive = Callable[[Path, int, "pa.Table"], None]
"""``arrive(folder, number, rows)``: the rows of delivery *number* (1, 2) are there for the source from now on; *folder*
is the model's. It is called before the first delivery with number 0 and no rows, to set up what has to be there."""


@dataclass(frozen=True)
class SourceCase(BackendCase):
    """A source that is to be checked.

    Attributes:
        config: As in model.yaml; relative paths start at the model's folder, a temporary one for each check.
        arrive: Puts rows where the source looks for them.
    """

    arrive: Arrive
    slot: ClassVar[Slot[Any]] = SOURCE


def check_source(config: Mapping[str, Any], arrive: Arrive) -> None:
    """Run every check of :data:`SOURCE_CHECKS`; raises CheckFailed with all promises that are broken."""
    run_checks(SourceCase(config, arrive), SOURCE_CHECKS)


def delivery_rows(number: int) -> pa.Table:
    """The rows of delivery *number*: whole numbers, decimals, words, truth values and times; some are missing.

    ``id`` counts on from delivery to delivery. The words have leading zeros, delimiters, quotes and an umlaut.
    """
    import pyarrow as pa

    places = range((number - 1) * ROWS, number * ROWS)
    words = ["007", 'it\'s "so"', "a,b;c", "Zürich", "x" * 40, None]
    start = datetime(2024, 1, 1)  # noqa: DTZ001 - event times of the data have no zone
    columns = {
        "id": pa.array(places, pa.int64()),
        "amount": pa.array([None if at % 7 == 3 else at / 8 for at in places], pa.float64()),
        "word": pa.array([words[at % len(words)] for at in places], pa.string()),
        "paid": pa.array([at % 3 == 0 for at in places], pa.bool_()),
        "moment": pa.array([start + timedelta(hours=at) for at in places], pa.timestamp("us")),
    }
    return pa.table(columns)


def arrive_as_csv(folder: Path, number: int, rows: pa.Table) -> None:
    """``deliveries/1.csv`` below the model's folder, and so on; a missing value is an empty field."""
    if not number:
        return
    file = folder / "deliveries" / f"{number}.csv"
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(rows.column_names)
        for row in rows.to_pylist():
            writer.writerow(["" if value is None else _cell(value) for value in row.values()])


def arrive_as_parquet(folder: Path, number: int, rows: pa.Table) -> None:
    """``deliveries/1.parquet`` below the model's folder, and so on."""
    import pyarrow.parquet as pq

    if number:
        (folder / "deliveries").mkdir(exist_ok=True)
        pq.write_table(rows, folder / "deliveries" / f"{number}.parquet")


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _SourceFolder:
    """A model's folder, and the source that delivers to it."""

    case: SourceCase
    folder: Path

    @property
    def spec(self) -> ModelSpec:
        return spec_of(
            "binary", inputs=("amount",), target="paid", folder=self.folder, data={"source": dict(self.case.config)}
        )

    def arrive(self, number: int) -> None:
        self.case.arrive(self.folder, number, delivery_rows(max(number, 1)).slice(0, ROWS if number else 0))

    def fingerprint(self, watermark: str) -> str | None:
        fingerprint: str | None = self.case.build().fingerprint(self.spec, watermark)
        return fingerprint

    @contextmanager
    def delivery(self, watermark: str) -> Iterator[tuple[Delivery, Path]]:
        """A delivery, and the folder that was there for its files."""
        with TemporaryDirectory(prefix="slipstream-check-") as name:
            yield self.case.build().deliver(self.spec, watermark, Path(name)), Path(name)

    def ids(self, watermark: str) -> tuple[list[int], str]:
        """The ids of the rows that are new, in order, and the watermark after them."""
        with self.delivery(watermark) as (delivery, _):
            rows = read_delivery(self.spec, delivery)
            delivery.still()
            return sorted(int(row["id"]) for row in rows), delivery.watermark


@contextmanager
def _empty_place(case: SourceCase) -> Iterator[_SourceFolder]:
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        folder = Path(name) / "checked"
        folder.mkdir()
        place = _SourceFolder(case, folder)
        place.arrive(0)
        yield place


def read_delivery(spec: ModelSpec, delivery: Delivery) -> list[dict[str, Any]]:
    """The rows of a delivery in the types that a first batch of the model would have; none for an empty one."""
    from slipstream.data.landing import typed_rows
    from slipstream.data.table_types import Base
    from slipstream.duck import duck

    if not delivery.files:
        return []
    with duck() as connection, TemporaryDirectory(prefix="slipstream-check-") as name:
        rows, _ = typed_rows(spec, connection, delivery, Base(), Path(name))
        listed: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        return listed


@promise
def rows_come_as_they_are(case: SourceCase) -> None:
    """The first delivery has every row with its values and types."""
    with _empty_place(case) as place:
        place.arrive(1)
        with place.delivery("") as (delivery, _):
            rows = read_delivery(place.spec, delivery)
        expected = delivery_rows(1).to_pylist()
        if len(rows) != len(expected):
            raise BrokenPromise(f"{len(rows)} of {len(expected)} rows came", "deliver every row, once")
        for before, after in zip(expected, sorted(rows, key=lambda row: int(row.get("id", 0))), strict=True):
            for name, value in before.items():
                if name not in after:
                    raise BrokenPromise(f"column {name!r} did not come", "deliver all columns under their names")
                if (type(after[name]), after[name]) != (type(value), value):
                    what = f"row {before['id']}: {name} {shown(value)} came as {shown(after[name])}"
                    raise BrokenPromise(what, "deliver values as they are, with their types in Parquet")


@promise
def delivers_each_row_once(case: SourceCase) -> None:
    """From the watermark of a delivery on there is only what came after it."""
    with _empty_place(case) as place:
        watermark = ""
        for number in (1, 2):
            place.arrive(number)
            ids, watermark = place.ids(watermark)
            expected = delivery_rows(number).column("id").to_pylist()
            if ids != expected:
                seen = f"{len(ids)} rows, ids {ids[:1]} to {ids[-1:]}"
                what = f"delivery {number} has {seen}, not {len(expected)}, {expected[0]} to {expected[-1]}"
                raise BrokenPromise(what, "deliver what is newer than the watermark, and nothing else")
            again, after = place.ids(watermark)
            if again:
                raise BrokenPromise(
                    f"{len(again)} rows of delivery {number} came twice", "move the watermark past them"
                )
            if after != watermark:
                what = f"the watermark moved from {shown(watermark)} to {shown(after)} with nothing delivered"
                raise BrokenPromise(what, "hand the watermark back as it came")
            if place.fingerprint(watermark) not in {None, ""}:
                raise BrokenPromise("there is a fingerprint where nothing is new", 'return None, or "" always')


@promise
def a_lost_delivery_comes_again(case: SourceCase) -> None:
    """From the same watermark the same delivery comes, byte for byte: the batch before may have failed."""
    with _empty_place(case) as place:
        place.arrive(1)
        seen = []
        for _ in range(2):
            fingerprint = place.fingerprint("")
            with place.delivery("") as (delivery, _folder):
                if not delivery.files:
                    raise BrokenPromise(
                        "nothing came though rows have arrived", "deliver all from an empty watermark on"
                    )
                digests = [sha256_file(file) for file in delivery.files]
                seen.append((fingerprint, delivery.watermark, tuple(delivery.files.values()), digests))
        for name, one, two in zip(("fingerprint", "watermark", "names", "bytes"), *seen, strict=True):
            if one != two:
                what = f"asked twice from the start, the {name} differ: {shown(one)}, then {shown(two)}"
                raise BrokenPromise(what, "let it follow from what is there: no clock, no random name, a fixed order")


@promise
def a_fingerprint_tells_of_news(case: SourceCase) -> None:
    """The fingerprint is a text while there is something new, and another one when more has come."""
    with _empty_place(case) as place:
        place.arrive(1)
        first = place.fingerprint("")
        place.arrive(2)
        second = place.fingerprint("")
        if first is None or second is None:
            raise BrokenPromise("the fingerprint is None though rows have arrived", 'return a digest, or ""')
        if first and first == second:
            raise BrokenPromise("the fingerprint stays when more arrives", "make it of all that is new")


@promise
def a_change_during_the_read_is_refused(case: SourceCase) -> None:
    """A file that is read where it lies, and changes meanwhile, makes ``still`` raise SourceError."""
    with _empty_place(case) as place:
        place.arrive(1)
        with place.delivery("") as (delivery, into):
            outside = [file for file in delivery.files if into.resolve() not in file.resolve().parents]
            for file in outside:
                file.write_bytes(file.read_bytes() + b"\n")
            if not outside:
                return
            try:
                delivery.still()
            except SourceError:
                return
        what = f"{outside[0].name} grew while it was read, and still() did not raise"
        raise BrokenPromise(what, "compare size and time with those of the listing in still, or copy the file first")


@promise
def nothing_there_is_empty_or_an_error_with_a_name(case: SourceCase) -> None:
    """Before anything arrived the delivery is empty, or the error names what was looked for."""
    with _empty_place(case) as place:
        names = [str(value) for key, value in case.config.items() if key != "type" and value] or [case.backend]
        try:
            place.fingerprint("")
            ids, _ = place.ids("")
        except SlipstreamError as error:
            if not any(name in str(error) for name in names):
                what = f"the error names none of {', '.join(names)}: {error}"
                raise BrokenPromise(what, "say in the error which source it is about") from error
            return
        if ids:
            raise BrokenPromise(f"{len(ids)} rows came before any arrived", "deliver what is there")


SOURCE_CHECKS: tuple[Callable[[SourceCase], None], ...] = (
    *SHARED_CHECKS,
    rows_come_as_they_are,
    delivers_each_row_once,
    a_lost_delivery_comes_again,
    a_fingerprint_tells_of_news,
    a_change_during_the_read_is_refused,
    nothing_there_is_empty_or_an_error_with_a_name,
)
"""Every check of a source, for ``pytest.mark.parametrize``."""
