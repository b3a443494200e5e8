"""Odd names of inputs in every protocol: the same row, the same answer; a wrong name is called so; the pages say so."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import example, given, settings

from slipstream.model_schema import Field, Schema
from slipstream.serving.http.request_limits import RequestLimits
from tests.unit.fixed_model import Ask, Few, asking, guards, served
from tests.unit.odd_names import EVIL, several

if TYPE_CHECKING:
    import httpx

ROW = [1.5, 2, "A:B", None]
LIMITS = RequestLimits(body=1 << 20, rows=5)
ARROW = "application/vnd.apache.arrow.stream"


class Sums:
    """An engine that answers the number of the first two inputs together."""

    name = "compiled"

    def run(self, columns: Any) -> Any:
        import numpy as np

        first, second, *_ = columns.values()
        return np.array(first, dtype=float) + np.array(second, dtype=float)


def schema_of(names: list[str]) -> Schema:
    kinds = [("number", True), ("integer", False), ("string", True), ("boolean", True)]
    return Schema(
        "regression",
        names[4],
        tuple(Field(name, kind, nullable) for name, (kind, nullable) in zip(names, kinds, strict=False)),  # type: ignore[arg-type]
    )


def bodies(names: list[str]) -> list[tuple[str, Any, str]]:
    row = dict(zip(names, ROW, strict=False))
    columns = {name: [value] for name, value in row.items()}
    split = {"columns": list(row)[::-1], "data": [ROW[::-1]]}
    types = ["FP64", "INT64", "BYTES"]
    tensors = [
        {"name": name, "datatype": kind, "shape": [1], "data": [value]}
        for name, kind, value in zip(names, types, ROW, strict=False)
    ]
    tensors.append({"name": names[3], "datatype": "BOOL", "shape": [1], "data": [None]})
    return [
        ("/models/m/predict", {"rows": [row]}, ""),
        ("/models/m/predict", {"columns": columns}, ""),
        ("/v1/models/m:predict", {"instances": [row]}, ""),
        ("/v1/models/m:predict", {"instances": [ROW]}, ""),
        ("/v2/models/m/infer", {"inputs": tensors}, ""),
        ("/invocations", {"dataframe_split": split}, ""),
        ("/invocations", {"dataframe_records": [row]}, ""),
        ("/invocations", {"inputs": columns}, ""),
        ("/endpoints/m/invocations", {"instances": [row]}, ""),
        ("/endpoints/m/invocations", written(names, ROW), "text/csv"),
        ("/invocations", written(names[3::-1], ROW[::-1]), "text/csv"),
        ("/models/m/predict", streamed(row), ARROW),
    ]


def written(*lines: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(line[:4] for line in lines)
    return text.getvalue()


def streamed(row: dict[str, Any]) -> bytes:
    kinds = [pa.float64(), pa.int64(), pa.string(), pa.bool_()]
    table = pa.table({name: pa.array([value], kind) for (name, value), kind in zip(row.items(), kinds, strict=True)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def send(ask: Ask, path: str, body: Any, kind: str) -> httpx.Response:
    content = body if kind else json.dumps(body)
    return ask("POST", path, content=content, headers={"content-type": kind or "application/json"})


def answer(reply: httpx.Response) -> float:
    assert reply.status_code == 200, reply.text[:300]
    if reply.headers["content-type"] == ARROW:
        return float(pa.ipc.open_stream(reply.content).read_all()["predictions"][0].as_py())
    said = reply.json()
    found = said["predictions"] if "predictions" in said else said["outputs"][0]["data"]
    return float(found[0])


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@example(["0", "1", "2", "3", "4"])
@example(["rows", "columns", "instances", "inputs", "data"])
@example([*EVIL, "NaN", ":"])
@example(['"', "\\", "\n", "\\u0041", "A"])
@given(several(5))
def test_every_protocol_takes_every_name(names: list[str]) -> None:
    with asking(Few(served(schema=schema_of(names), engine=Sums())), guards(LIMITS)) as ask:
        for path, body, kind in bodies(names):
            assert answer(send(ask, path, body, kind)) == 3.5, (path, kind)
        wrong = dict(zip(["slipstream?", *names[1:4]], ROW, strict=True))
        told = send(ask, "/models/m/predict", {"rows": [wrong]}, "")
        assert (told.status_code, told.json()["error"]["code"]) == (400, "field_unknown")
        twice = "{" + ", ".join(
            f"{json.dumps(name)}: {json.dumps(value)}" for name, value in zip(names, ROW, strict=False)
        )
        body = f'{{"rows": [{twice}, {json.dumps(names[0])}: 9}}]}}'
        assert send(ask, "/models/m/predict", body, "application/json").json()["error"]["code"] == "duplicate_key"
        document = ask("GET", "/openapi.json").json()
        jsonschema.validate(dict(zip(names, ROW, strict=False)), document["components"]["schemas"]["m.Row"])
        assert ask("GET", "/metrics").status_code == 200


def test_the_description_of_odd_names_is_valid() -> None:
    from openapi_spec_validator import validate

    with asking(Few(served(schema=schema_of([*EVIL, "a/b~c", "$ref"]), engine=Sums()))) as ask:
        validate(ask("GET", "/openapi.json").json())


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([["0", "1"], ["5", "6"]], [11.0]),  # as pandas writes a frame that was made of an array
        ([["1", "0"], ["5", "6"]], [1.0, 11.0]),  # names in another order, but a row as well
        ([["0", "0"], ["5", "6"]], [0.0, 11.0]),
        ([["5", "6"], ["0", "1"]], [11.0, 1.0]),
    ],
)
def test_a_first_line_of_csv_that_could_be_a_row(lines: list[list[str]], found: list[float]) -> None:
    numbers = Schema("regression", "y", (Field("0", "number", nullable=True), Field("1", "number", nullable=True)))
    with asking(Few(served(schema=numbers, engine=Sums())), guards(LIMITS)) as ask:
        assert send(ask, "/endpoints/m/invocations", written(*lines), "text/csv").json()["predictions"] == found


def test_a_space_around_a_name_in_a_csv_header_is_no_part_of_it() -> None:
    with asking(Few(served(schema=schema_of(["a", "b ", "c", "d", "e"]), engine=Sums()))) as ask:
        body = "a , b ,c, d\n1.5,2,x,true\n"
        reply = send(ask, "/endpoints/m/invocations", body.replace(", b ,", ",b ,"), "text/csv")
        assert reply.json()["predictions"] == [3.5]
