"""The protocols of other platforms: each gives the answer that the native route gives, and refuses what it refuses."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from slipstream.errors import BackendError
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.routes import PATHS, paths_from
from tests.unit.fixed_model import LETTERS, LIMITS, NUMBERS, SCHEMA, Ask, Few, asking, guards, served

if TYPE_CHECKING:
    import httpx

OBJECTS: list[dict[str, Any]] = [
    {"dep delay": 1.5, "seats": 2, "carrier": "AA", "night": None},
    {"dep delay": None, "seats": 7, "carrier": "UA", "night": True},
]
LISTS = [list(row.values()) for row in OBJECTS]
COLUMNS = {name: [row[name] for row in OBJECTS] for name in OBJECTS[0]}
NAMES = list(COLUMNS)
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def models() -> Few:
    return Few(served())


@pytest.fixture
def ask(models: Few) -> Iterator[Ask]:
    with asking(models) as send:
        yield send


def post(ask: Ask, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return ask("POST", path, content=content, headers=headers)


def refused(reply: httpx.Response) -> tuple[int, str, str | None]:
    said = reply.json()
    told = said["error"] if isinstance(said["error"], dict) else said
    assert told["request_id"] == reply.headers["x-request-id"]
    return reply.status_code, told["code"], told["field"]


def tensors(columns: dict[str, list[Any]] = COLUMNS, **changed: Any) -> dict[str, Any]:
    types = {"dep delay": "FP64", "seats": "INT64", "carrier": "BYTES", "night": "BOOL"}
    made = [
        {"name": name, "datatype": types.get(name, "FP64"), "shape": [len(values)], "data": values}
        for name, values in columns.items()
    ]
    return {"inputs": made, **changed}


def binary(parts: list[tuple[dict[str, Any], bytes]], **top: Any) -> tuple[bytes, dict[str, str]]:
    inputs = [{**tensor, "parameters": {"binary_data_size": len(data)}} for tensor, data in parts]
    header = json.dumps({"inputs": inputs, **top}).encode()
    body = header + b"".join(data for _, data in parts)
    return body, {"inference_header_content_length": str(len(header)), "content_type": "application/octet-stream"}


def texts(*words: str) -> bytes:
    return b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in words)


SAME = [
    ("/models/m/predict", {"rows": OBJECTS}),
    ("/models/m/predict", {"columns": COLUMNS}),
    ("/v1/models/m:predict", {"instances": OBJECTS}),
    ("/v1/models/m:predict", {"instances": LISTS, "parameters": {}}),
    ("/v1/models/m:predict", {"instances": [OBJECTS[0], LISTS[1]], "parameters": None}),
    ("/invocations", {"dataframe_split": {"columns": NAMES, "data": LISTS}}),
    ("/invocations", {"dataframe_split": {"columns": NAMES, "data": LISTS, "index": [0, 1]}, "params": {}}),
    ("/invocations", {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in LISTS]}}),
    ("/invocations", {"dataframe_records": OBJECTS}),
    ("/invocations", {"instances": LISTS}),
    ("/invocations", {"inputs": COLUMNS}),
    ("/invocations", {"inputs": LISTS}),
    ("/invocations", {"rows": OBJECTS}),
    ("/invocations", {"columns": COLUMNS}),
    ("/models/m/invocations", {"dataframe_records": OBJECTS}),
    ("/endpoints/m/invocations", {"instances": OBJECTS}),
]


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(("path", "body"), SAME)
def test_every_json_form_gives_the_native_answer(
    ask: Ask, models: Few, path: str, body: dict[str, Any], spaced: bool
) -> None:
    # A tab as an escape in a key's place makes the decoder look closer: both ways must agree.
    text = json.dumps(body, indent=1 if spaced else None)
    reply = post(ask, path, text.replace('"AA"', '"\\u0041A"') if spaced else text)
    said = reply.json()
    assert (reply.status_code, said["predictions"], said["model"], said["version"]) == (200, [2.0, 7.0], "m", 3)
    assert len(said["ids"]) == 2
    assert models.kept[0].decoded.columns == COLUMNS


WRONG = [
    ("instances", [{**OBJECTS[0], "seats": 2.5}], "type", "instances[0].seats"),
    ("instances", [LISTS[0], [1, True, "AA", None]], "type", "instances[1][1]"),
    ("instances", [LISTS[0][:3]], "row_length", "instances[0]"),
    ("instances", [{**OBJECTS[0], "seets": 2}], "field_unknown", "instances[0].seets"),
    ("instances", [1], "type", "instances[0]"),
    ("instances", [], "rows_empty", "rows"),
    ("instances", LISTS * 3, "too_many_rows", "rows"),
    ("instances", {"a": 1}, "type", "instances"),
    ("dataframe_records", [LISTS[0]], "type", "dataframe_records[0]"),
    ("dataframe_records", [{"seats": 1}], "field_missing", "dataframe_records[0].dep delay"),
    ("inputs", {**COLUMNS, "seats": [1]}, "columns_unequal", "inputs.seats"),
    ("inputs", {"seats": [1]}, "field_missing", "inputs.dep delay"),
    ("inputs", 5, "type", "inputs"),
    (
        "dataframe_split",
        {"columns": NAMES, "data": [[1, None, "AA", None]]},
        "null_not_allowed",
        "dataframe_split.data[0][1]",
    ),
    (
        "dataframe_split",
        {"columns": NAMES[:3], "data": [LISTS[0][:3]]},
        "field_missing",
        "dataframe_split.columns.night",
    ),
    (
        "dataframe_split",
        {"columns": [*NAMES, "seats"], "data": [[*LISTS[0], 1]]},
        "duplicate_key",
        "dataframe_split.columns",
    ),
    (
        "dataframe_split",
        {"columns": [*NAMES[:3], "nihgt"], "data": LISTS},
        "field_unknown",
        "dataframe_split.columns.nihgt",
    ),
    ("dataframe_split", {"columns": NAMES, "data": LISTS, "index": [0]}, "type", "dataframe_split.index"),
    ("dataframe_split", {"columns": NAMES}, "field_missing", "dataframe_split.data"),
    ("dataframe_split", {"columns": NAMES, "data": LISTS, "dtypes": []}, "field_unknown", "dataframe_split.dtypes"),
    ("dataframe_split", {"columns": NAMES, "data": [OBJECTS[0]]}, "type", "dataframe_split.data[0]"),
    ("dataframe_split", {"columns": NAMES, "data": []}, "rows_empty", "rows"),
    ("dataframe_split", {"columns": NAMES, "data": LISTS * 3}, "too_many_rows", "rows"),
    ("dataframe_split", LISTS, "type", "dataframe_split"),
]


@pytest.mark.parametrize(("word", "value", "code", "field"), WRONG)
def test_a_wrong_form(ask: Ask, models: Few, word: str, value: Any, code: str, field: str) -> None:
    status = 413 if code == "too_many_rows" else 400
    assert refused(post(ask, "/invocations", {word: value})) == (status, code, field)
    if word == "instances":
        assert refused(post(ask, "/v1/models/m:predict", {word: value})) == (status, code, field)
    assert models.kept == []


def test_what_is_wrong_around_the_rows(ask: Ask) -> None:
    def said(text: str) -> tuple[int, str, str | None]:
        return refused(post(ask, "/invocations", text))

    rows = json.dumps(LISTS)
    assert said(f'{{"instances": {rows}, "params": {{"t": 1}}}}') == (400, "parameters_unknown", "params")
    assert said(f'{{"instances": {rows}, "signature_name": "x"}}') == (400, "field_unknown", "signature_name")
    assert said(f'{{"instances": {rows}, "inputs": {rows}}}') == (400, "body_shape", None)
    assert said(f'{{"instances": {rows}, "instances": {rows}}}') == (400, "duplicate_key", "instances")
    assert said(f'{{"dataframe_split": {{"columns": [], "data": {rows}, "data": []}}}}') == (
        400,
        "duplicate_key",
        "data",
    )
    assert said('{"instances": [[-Infinity, 1, "AA", null]]}') == (400, "not_finite", "instances[0][0]")
    assert said('{"instances": [[NaN, NaN, "AA", null]]}') == (400, "null_not_allowed", "instances[0][1]")
    assert (
        said('{"inputs": {"dep delay": [1e999], "seats": [1], "carrier": ["a"], "night": [null]}}')[1] == "not_finite"
    )
    assert said('{"instances": [[1, 1, "\\ud800", null]]}') == (400, "encoding", "instances[0][2]")
    assert said('{"instances": ' + "[" * 5000) == (400, "too_deep", None)
    assert said("") == (400, "body_empty", None)


def test_mlflows_nan_means_missing(ask: Ask, models: Few) -> None:
    text = '{"dataframe_records": [{"dep delay": NaN, "seats": 7, "carrier": "NaN, \\\\", "night": NaN}]}'
    assert post(ask, "/invocations", text).json()["predictions"] == [7.0]
    expected = {"dep delay": [None], "seats": [7], "carrier": ["NaN, \\"], "night": [None]}
    assert models.kept[0].decoded.columns == expected
    assert refused(post(ask, "/models/m/predict", text.replace("dataframe_records", "rows")))[1] == "not_finite"
    assert refused(post(ask, "/invocations", '"\\"' * 4000 + "NaN"))[1] == "json_invalid"


def test_a_split_frame_in_many_orders_keeps_few_decoders(ask: Ask) -> None:
    from itertools import permutations

    for order in permutations(range(4)):
        frame = {"columns": [NAMES[at] for at in order], "data": [[row[at] for at in order] for row in LISTS]}
        assert post(ask, "/invocations", {"dataframe_split": frame}).json()["predictions"] == [2.0, 7.0]


def test_a_model_with_one_input_takes_its_values() -> None:
    with asking(Few(served(schema=LETTERS))) as ask:
        for instances in (["x", None], [["x"], [None]], [{"word": "x"}, {"word": None}], ["x", ["y:"]]):
            said = post(ask, "/v1/models/m:predict", {"instances": instances}).json()
            assert said["predictions"] == ["b", "b"], instances
            assert said["classes"] == ["a", "b", "c"]
        assert refused(post(ask, "/v1/models/m:predict", {"instances": [1]})) == (400, "type", "instances[0]")


class TestKServeV1:
    def test_models(self, ask: Ask) -> None:
        assert ask("GET", "/v1/models").json() == {"models": ["m"]}
        assert ask("GET", "/v1/models/m").json() == {"name": "m", "ready": True}
        assert refused(ask("GET", "/v1/models/other")) == (404, "model_not_found", None)
        assert refused(post(ask, "/v1/models/A:predict", {})) == (404, "name_invalid", None)
        assert refused(ask("GET", "/v1/models/m:predict")) == (405, "method_not_allowed", "POST")


class TestKServeV2:
    def test_the_answer(self, ask: Ask, models: Few) -> None:
        said = post(ask, "/v2/models/m/infer", tensors(id="42")).json()
        ids = models.kept[0].ids
        assert said == {
            "model_name": "m",
            "model_version": "3",
            "id": "42",
            "outputs": [
                {"name": "predictions", "datatype": "FP64", "shape": [2], "data": [2.0, 7.0]},
                {"name": "ids", "datatype": "BYTES", "shape": [2], "data": ids},
            ],
        }
        assert models.kept[0].decoded.columns == COLUMNS

    def test_outputs_that_are_asked_for(self, ask: Ask) -> None:
        reply = post(ask, "/v2/models/m/versions/3/infer", tensors(outputs=[{"name": "ids"}]))
        assert [one["name"] for one in reply.json()["outputs"]] == ["ids"]
        wrong = post(ask, "/v2/models/m/infer", tensors(outputs=[{"name": "id"}]))
        assert refused(wrong) == (400, "field_unknown", "outputs[0].name")

    def test_rows_may_be_lists(self, ask: Ask) -> None:
        body = tensors({name: [[value] for value in values] for name, values in COLUMNS.items()})
        for tensor in body["inputs"]:
            tensor["shape"] = [2, 1]
        assert post(ask, "/v2/models/m/infer", body).json()["outputs"][0]["data"] == [2.0, 7.0]

    def test_a_float_tensor_for_an_integer_must_be_whole(self, ask: Ask) -> None:
        body = tensors()
        body["inputs"][1] |= {"datatype": "FP32", "data": [2.0, 7.0]}
        assert post(ask, "/v2/models/m/infer", body).json()["outputs"][0]["data"] == [2.0, 7.0]
        body["inputs"][1]["data"] = [2.0, 7.5]
        assert refused(post(ask, "/v2/models/m/infer", body)) == (400, "type", "inputs[1].data[1]")

    def test_an_integer_tensor_holds_integers(self, ask: Ask) -> None:
        body = tensors()
        body["inputs"][0] |= {"datatype": "INT32", "data": [1, None]}
        assert post(ask, "/v2/models/m/infer", body).status_code == 200
        body["inputs"][0]["data"] = [1.5, None]
        assert refused(post(ask, "/v2/models/m/infer", body)) == (400, "type", "inputs[0].data[0]")

    def test_probabilities(self) -> None:
        matrix = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}]}
        with asking(Few(served(schema=NUMBERS))) as ask:
            said = post(ask, "/v2/models/m/infer", matrix).json()["outputs"]
            assert said[0] == {"name": "predictions", "datatype": "BYTES", "shape": [2], "data": ["yes"] * 2}
            assert said[1] == {"name": "probabilities", "datatype": "FP64", "shape": [2], "data": [2 / 3] * 2}
        words = {"inputs": [{"name": "word", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}
        with asking(Few(served(schema=LETTERS))) as ask:
            said = post(ask, "/v2/models/m/infer", words).json()["outputs"]
            assert said[1] == {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": [1, 3],
                "data": [[0.25, 0.5, 0.25]],
            }

    def test_binary_data(self, ask: Ask, models: Few) -> None:
        parts = [
            ({"name": "carrier", "datatype": "BYTES", "shape": [2]}, texts("AA", "UA")),
            ({"name": "dep delay", "datatype": "FP32", "shape": [2]}, np.array([1.5, np.nan], "<f4").tobytes()),
            ({"name": "seats", "datatype": "UINT8", "shape": [2, 1]}, bytes([2, 7])),
            ({"name": "night", "datatype": "BOOL", "shape": [2]}, b"\x00\x01"),
        ]
        body, headers = binary(parts)
        said = post(ask, "/v2/models/m/infer", body, **headers).json()
        assert said["outputs"][0]["data"] == [2.0, 7.0]
        assert models.kept[0].decoded.columns == {**COLUMNS, "night": [False, True]}

    def test_one_matrix_of_all_inputs(self) -> None:
        models = Few(served(schema=NUMBERS))
        values = np.array([[1.5, 2], [np.nan, 4]])
        tensor = {"name": "whatever", "datatype": "FP64", "shape": [2, 2]}
        body, headers = binary([(tensor, values.tobytes())])
        with asking(models) as ask:
            assert post(ask, "/v2/models/m/infer", body, **headers).status_code == 200
            flat, nested = {**tensor, "data": [1.5, 2, None, 4]}, {**tensor, "data": [[1.5, 2], [None, 4]]}
            for one in (flat, nested):
                assert post(ask, "/v2/models/m/infer", {"inputs": [one]}).status_code == 200
            wrong = {"inputs": [{**tensor, "data": [1.5, 2, None, None]}]}
            assert refused(post(ask, "/v2/models/m/infer", wrong)) == (400, "null_not_allowed", "inputs[0].data[3]")
            wide = {"inputs": [{**tensor, "shape": [1, 3], "data": [1, 2, 3]}]}
            assert refused(post(ask, "/v2/models/m/infer", wide)) == (400, "shape_wrong", "inputs[0].shape")
        assert [kept.decoded.columns for kept in models.kept] == [{"x": [1.5, None], "n": [2, 4]}] * 3

    def test_many_rows_become_arrays(self) -> None:
        models = Few(served(schema=NUMBERS, rows=100))
        body, headers = binary(
            [
                ({"name": "x", "datatype": "FP64", "shape": [40]}, np.full(40, np.nan).tobytes()),
                ({"name": "n", "datatype": "INT16", "shape": [40]}, np.arange(40, dtype="<i2").tobytes()),
            ]
        )
        with asking(models, guards(RequestLimits(rows=100))) as ask:
            post(ask, "/v2/models/m/infer", body, **headers)
            post(ask, "/v2/models/m/infer", tensors({"x": [None] * 40, "n": list(range(40))}))
            post(ask, "/models/m/predict", {"columns": {"x": [None] * 40, "n": list(range(40))}})
            post(ask, "/invocations", {"instances": [[None, n] for n in range(40)]})
        assert len(models.kept) == 4
        for kept in models.kept:
            assert all(column.dtype == np.float64 for column in kept.decoded.columns.values())
            assert np.isnan(kept.decoded.columns["x"]).all()
            assert kept.decoded.columns["n"].tolist() == list(range(40))

    @pytest.mark.parametrize(
        ("at", "changed", "code", "field"),
        [
            (1, {"datatype": "BYTES"}, "type", "inputs[1].datatype"),
            (1, {"datatype": "<b>"}, "type", "inputs[1].datatype"),
            (1, {"name": "seets"}, "field_unknown", "inputs.seets"),
            (1, {"name": "night"}, "field_missing", "inputs.seats"),
            (1, {"shape": [3]}, "columns_unequal", "inputs[1]"),
            (0, {"shape": [3]}, "shape_wrong", "inputs[0].data"),
            (0, {"shape": [-1]}, "rows_empty", "rows"),
            (0, {"shape": []}, "shape_wrong", "inputs[0].shape"),
            (0, {"shape": [2, 2]}, "shape_wrong", "inputs[0].shape"),
            (0, {"shape": [1 << 62]}, "too_many_rows", "rows"),
            (0, {"shape": "2"}, "type", "inputs[0].shape"),
            (0, {"data": [1, "x"]}, "type", "inputs[0].data[1]"),
            (0, {"data": {"a": 1}}, "type", "inputs[0].data"),
            (0, {"data": None}, "type", "inputs[0].data"),
            (1, {"data": [1, None]}, "null_not_allowed", "inputs[1].data[1]"),
            (1, {"data": [1, 1 << 63]}, "number_range", "inputs[1].data[1]"),
            (3, {"data": [0, 1]}, "type", "inputs[3].data[0]"),
            (2, {"data": ["x" * 10_001, "y"]}, "string_too_long", "inputs[2].data[0]"),
            (2, {"content": []}, "field_unknown", "inputs[2]"),
        ],
    )
    def test_a_wrong_tensor(
        self, ask: Ask, models: Few, at: int, changed: dict[str, Any], code: str, field: str
    ) -> None:
        body = tensors()
        body["inputs"][at] = {**body["inputs"][at], **changed}
        status = 413 if code == "too_many_rows" else 400
        assert refused(post(ask, "/v2/models/m/infer", body)) == (status, code, field)
        assert models.kept == []

    def test_wrong_json(self, ask: Ask) -> None:
        def said(text: str | bytes) -> tuple[int, str, str | None]:
            return refused(post(ask, "/v2/models/m/infer", text))

        text = json.dumps(tensors())
        assert said("") == (400, "body_empty", None)
        assert said("[]") == (400, "type", None)
        assert said("{}") == (400, "field_missing", None)
        assert said(text[:-1]) == (400, "json_invalid", None)
        assert said(text.replace('"name": "seats"', '"name": "seats", "name": "seats"')) == (
            400,
            "duplicate_key",
            "name",
        )
        assert said(text.replace("1.5", "NaN")) == (400, "not_finite", "inputs[0].data[0]")
        assert said(text.replace("1.5", "1e999")) == (400, "not_finite", "inputs[0].data[0]")
        assert said(text.replace("[1.5", "[" * 40)) == (400, "too_deep", None)
        assert said(json.dumps(tensors(id="\ud800"))) == (400, "encoding", "id")
        assert said(text.replace('"seats"', '"\\ud800"'))[1] == "field_unknown"
        assert said('{"inputs": []}') == (400, "field_missing", "inputs.dep delay")

    def test_wrong_bytes(self, ask: Ask) -> None:
        good = [
            ({"name": "carrier", "datatype": "BYTES", "shape": [1]}, texts("AA")),
            ({"name": "dep delay", "datatype": "FP64", "shape": [1]}, struct.pack("<d", 1.5)),
            ({"name": "seats", "datatype": "INT64", "shape": [1]}, struct.pack("<q", 2)),
            ({"name": "night", "datatype": "BOOL", "shape": [1]}, b"\x01"),
        ]

        def said(at: int, data: bytes, **changed: Any) -> tuple[int, str, str | None]:
            parts = list(good)
            parts[at] = ({**good[at][0], **changed}, data)
            body, headers = binary(parts)
            return refused(post(ask, "/v2/models/m/infer", body, **headers))

        assert said(0, texts("AA", "AA")) == (400, "shape_wrong", "inputs[0].data")
        assert said(0, b"\x02\x00\x00\x00A") == (400, "binary_size_wrong", "inputs[0].data[0]")
        assert said(0, b"\xff\xff\xff\xffAA") == (400, "binary_size_wrong", "inputs[0].data[0]")
        assert said(0, b"\x01\x00\x00\x00\xff") == (400, "encoding", "inputs[0].data[0]")
        assert said(0, texts("x" * 10_001)) == (400, "string_too_long", "inputs[0].data[0]")
        assert said(1, struct.pack("<d", float("inf"))) == (400, "not_finite", "inputs[1].data[0]")
        assert said(1, b"\x00" * 4) == (400, "binary_size_wrong", "inputs[1].data")
        assert said(2, struct.pack("<d", float("nan")), datatype="FP64") == (
            400,
            "null_not_allowed",
            "inputs[2].data[0]",
        )
        assert said(2, struct.pack("<d", 2.5), datatype="FP64") == (400, "type", "inputs[2].data[0]")
        assert said(2, struct.pack("<d", 1e300), datatype="FP64") == (400, "number_range", "inputs[2].data[0]")
        assert said(2, struct.pack("<Q", 1 << 63), datatype="UINT64") == (400, "number_range", "inputs[2].data[0]")
        assert said(3, b"\x02") == (400, "type", "inputs[3].data")
        body, headers = binary(good)
        length = headers["inference_header_content_length"]
        for header in ("x", "-1", "99999", "9" * 30):
            wrong = post(ask, "/v2/models/m/infer", body, **headers | {"inference_header_content_length": header})
            assert refused(wrong) == (400, "header_length_invalid", None)
        assert refused(post(ask, "/v2/models/m/infer", body[:-1], **headers))[1] == "binary_size_wrong"
        assert refused(post(ask, "/v2/models/m/infer", body + b"x", **headers)) == (400, "binary_size_wrong", "inputs")
        for size in ("-1", "true", '"8"', "1.0"):
            text = body[: int(length)].replace(b'"binary_data_size": 6', f'"binary_data_size": {size}'.encode())
            changed = headers | {"inference_header_content_length": str(len(text))}
            assert (
                refused(post(ask, "/v2/models/m/infer", text + body[int(length) :], **changed))[1]
                == "binary_size_wrong"
            )

    def test_metadata_and_health(self, ask: Ask, models: Few) -> None:
        assert ask("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
        about = ask("GET", "/v2/models/m").json()
        assert (about["name"], about["versions"]) == ("m", ["3"])
        assert [(one["name"], one["datatype"]) for one in about["inputs"]] == [
            ("dep delay", "FP64"),
            ("seats", "INT64"),
            ("carrier", "BYTES"),
            ("night", "BOOL"),
        ]
        assert [one["name"] for one in about["outputs"]] == ["predictions", "ids"]
        assert ask("GET", "/v2/models/m/versions/3").json() == about
        assert ask("GET", "/v2/models/m/ready").json() == {"name": "m", "ready": True}
        assert ask("GET", "/v2/models/m/versions/3/ready").status_code == 200
        assert refused(ask("GET", "/v2/models/m/versions/4/ready")) == (404, "version_not_found", None)
        assert refused(ask("GET", "/v2/models/x/ready")) == (404, "model_not_found", None)
        assert ask("GET", "/v2/health/live").json() == {"live": True}
        assert ask("GET", "/v2/health/ready").json() == {"ready": True, "unread_since": None}
        models.is_ready = False
        reply = ask("GET", "/v2/health/ready")
        assert (reply.status_code, reply.json()) == (503, {"ready": False, "unread_since": None})


class TestInvocations:
    @pytest.mark.parametrize(
        "body",
        [
            "1.5,2,AA,\n,7,UA,true\n",
            "1.5,2,AA,\r\n,7,UA,True",
            "dep delay,seats,carrier,night\n1.5,2,AA,\n,7,UA,TRUE\n",
            "night,carrier,seats,dep delay\n,AA,2.0,15e-1\n\ntrue,UA,+7,\n",
            '\ufeff"1.5","2","AA",""\n"",7,"UA",true\n',
        ],
    )
    def test_csv(self, ask: Ask, models: Few, body: str) -> None:
        said = post(ask, "/invocations", body.encode(), content_type="text/csv").json()
        assert said["predictions"] == [2.0, 7.0]
        assert models.kept[0].decoded.columns == COLUMNS

    @pytest.mark.parametrize(
        ("body", "code", "field"),
        [
            (b"", "body_empty", None),
            (b"1.5,2,AA\n", "csv_malformed", "line 1"),
            (b"1.5,2,AA,true\n1.5,2,AA,true,1\n", "csv_malformed", "line 2"),
            (b"1.5,2,AA,\n1.5,x,AA,\n", "type", "line 2.seats"),
            (b"1.5,2.5,AA,\n", "type", "line 1.seats"),
            (b"1_0,2,AA,\n", "type", "line 1.dep delay"),
            (b"inf,2,AA,\n", "not_finite", "line 1.dep delay"),
            (b"1e999,2,AA,\n", "not_finite", "line 1.dep delay"),
            (b"1," + b"9" * 5000 + b",AA,\n", "number_range", "line 1.seats"),
            (b"1,,AA,\n", "null_not_allowed", "line 1.seats"),
            (b"1,2,,\n", "null_not_allowed", "line 1.carrier"),
            (b"1,2,AA,1\n", "type", "line 1.night"),
            (b"1,2," + b"x" * 10_001 + b",\n", "string_too_long", "line 1.carrier"),
            (b'1,2,"AA,\n', "csv_malformed", "line 1"),
            (b'1,2,"A"A,\n', "csv_malformed", "line 1"),
            (b"1,2,\xff,\n", "encoding", None),
            (b"dep delay,seets,carrier,night\n1,2,AA,\n", "field_unknown", "header.seets"),
            (b"dep delay,seats,carrier\n1,2,AA\n", "field_missing", "header.night"),
            (b"dep delay,seats,carrier,night\n", "rows_empty", "rows"),
            (b"1,2,AA,\n" * 6, "too_many_rows", "rows"),
            (b"1,2,AA,\n" * 1000, "too_many_rows", "rows"),
        ],
    )
    def test_wrong_csv(self, ask: Ask, body: bytes, code: str, field: str | None) -> None:
        status = 413 if code == "too_many_rows" else 400
        assert refused(post(ask, "/invocations", body, content_type="text/csv")) == (status, code, field)

    @pytest.mark.parametrize("accept", ["text/csv", "text/csv; charset=utf-8", "application/x-y, text/csv;q=0.9, */*"])
    def test_csv_for_an_answer(self, ask: Ask, accept: str) -> None:
        reply = post(ask, "/invocations", {"instances": LISTS}, accept=accept)
        assert (reply.headers["content-type"], reply.text) == ("text/csv; charset=utf-8", "2.0\n7.0\n")

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/csv", "image/png", ""])
    def test_json_for_an_answer(self, ask: Ask, accept: str) -> None:
        reply = post(ask, "/invocations", "1.5,2,AA,\n", content_type="text/csv", accept=accept)
        assert reply.json()["predictions"] == [2.0]

    def test_csv_of_classes(self) -> None:
        with asking(Few(served(schema=NUMBERS))) as ask:
            reply = post(ask, "/invocations", "1,2", content_type="text/csv", accept="text/csv")
            assert reply.text == f"{2 / 3}\n"
        with asking(Few(served(schema=LETTERS))) as ask:
            reply = post(ask, "/invocations", "x\n", content_type="text/csv", accept="text/csv")
            assert reply.text == "b\n"

    def test_ping(self, ask: Ask, models: Few) -> None:
        assert [ask("GET", path).status_code for path in ("/ping", "/models/m/ping", "/models/x/ping")] == [
            200,
            200,
            503,
        ]
        assert ask("GET", "/version").headers["content-type"].startswith("text/plain")
        models.is_ready = False
        assert ask("GET", "/ping").status_code == 503

    def test_which_model(self) -> None:
        two = Few(served("m"), served("n", version=4))
        body = {"instances": LISTS}
        with asking(two) as ask:
            assert refused(post(ask, "/invocations", body)) == (404, "model_ambiguous", None)
            assert post(ask, "/invocations", body, x_slipstream_model="n").json()["model"] == "n"
            assert post(ask, "/invocations", body, x_amzn_sagemaker_target_model="n.tar.gz").json()["model"] == "n"
            assert refused(post(ask, "/invocations", body, x_slipstream_model="../n")) == (404, "model_not_found", None)
        with asking(two, guards(default_model="n")) as ask:
            assert post(ask, "/invocations", body).json()["version"] == 4

    def test_an_error_has_what_boto3_shows_beside_its_shape(self, ask: Ask) -> None:
        said = post(ask, "/endpoints/m/invocations", {"instances": []}).json()
        assert (said["error"]["code"], said["code"]) == ("rows_empty", "rows_empty")
        assert said["message"] == said["error"]["message"]

    def test_another_content_type(self, ask: Ask) -> None:
        for kind in ("text/plain", "application/octet-stream", ""):
            assert refused(post(ask, "/invocations", b"1", content_type=kind)) == (415, "content_type", None)


class TestVertex:
    HEALTH = "/v1/endpoints/1/deployedModels/2"

    def test_its_paths(self, models: Few) -> None:
        paths = paths_from({"AIP_HEALTH_ROUTE": self.HEALTH, "AIP_PREDICT_ROUTE": f"{self.HEALTH}:predict"})
        with asking(models, paths=paths) as ask:
            assert ask("GET", self.HEALTH).json() == {"ready": True}
            said = post(ask, f"{self.HEALTH}:predict", {"instances": OBJECTS, "parameters": {}}).json()
            assert said["predictions"] == [2.0, 7.0]
            assert refused(ask("GET", f"{self.HEALTH}:predict"))[1] == "method_not_allowed"

    @pytest.mark.parametrize(
        ("health", "predict"), [("/ping", "/invocations"), ("/readyz", "/v1/models/m:predict"), ("", "")]
    )
    def test_paths_that_are_there_already(self, health: str, predict: str) -> None:
        assert paths_from({"AIP_HEALTH_ROUTE": health, "AIP_PREDICT_ROUTE": predict}).all == PATHS

    @pytest.mark.parametrize(
        "route", ["x", "/", "/a b", "/a/../b", "//a", "/a/", "/{model}", "/a?b", "/é", "/" + "a" * 600]
    )
    def test_a_wrong_route(self, route: str) -> None:
        for name in ("AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"):
            with pytest.raises(BackendError) as caught:
                paths_from({name: route})
            assert caught.value.code == "setting_invalid"

    @pytest.mark.parametrize(
        ("name", "route"), [("AIP_HEALTH_ROUTE", "/metrics"), ("AIP_PREDICT_ROUTE", "/models/m/predict")]
    )
    def test_a_route_that_means_something_else(self, name: str, route: str) -> None:
        with pytest.raises(BackendError) as caught:
            paths_from({name: route})
        assert caught.value.code == "setting_invalid"


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def arrow(**changed: Any) -> pa.Table:
    return pa.table({name: changed.get(name.replace(" ", "_"), values) for name, values in COLUMNS.items()})


class TestArrow:
    @pytest.mark.parametrize(
        "table",
        [
            arrow(),
            arrow(dep_delay=pa.array([1.5, np.nan], pa.float32()), seats=pa.array([2, 7], pa.uint8())),
            arrow(dep_delay=pa.array([1.5, None], pa.float16()), seats=pa.array([2.0, 7.0])),
            arrow(carrier=pa.array(["AA", "UA"]).dictionary_encode()),
            arrow(carrier=pa.array(["AA", "UA"], pa.large_string())),
            arrow(carrier=pa.array(["AA", "UA"], pa.string_view())),
            pa.concat_tables([arrow().slice(0, 1), arrow().slice(1, 1)]),
            arrow().select(NAMES[::-1]),
        ],
    )
    def test_a_table(self, ask: Ask, models: Few, table: pa.Table) -> None:
        reply = post(ask, "/models/m/predict", stream(table), content_type=ARROW)
        assert reply.json()["predictions"] == [2.0, 7.0]
        assert models.kept[0].decoded.columns == COLUMNS

    def test_a_table_for_an_answer(self, ask: Ask, models: Few) -> None:
        for body, kind in ((stream(arrow()), ARROW), (json.dumps({"rows": OBJECTS}), "application/json")):
            reply = post(ask, "/models/m/predict", body, content_type=kind, accept=ARROW)
            assert reply.headers["content-type"] == ARROW
            table = pa.ipc.open_stream(reply.content).read_all()
            assert table.column("predictions").to_pylist() == [2.0, 7.0]
            assert table.column("ids").to_pylist() == models.kept[-1].ids
            assert table.schema.metadata == {b"model": b"m", b"version": b"3"}

    def test_an_answer_with_probabilities_and_warnings(self) -> None:
        with asking(Few(served(schema=LETTERS))) as ask:
            reply = post(ask, "/models/m/predict", {"rows": [{"word": "x"}]}, accept=ARROW)
        table = pa.ipc.open_stream(reply.content).read_all()
        assert table.column("probabilities").to_pylist() == [[0.25, 0.5, 0.25]]
        with asking(Few()) as ask:
            reply = post(ask, "/models/m/predict", {"rows": [{**OBJECTS[0], "carrier": "ZZ"}]}, accept=ARROW)
        told = json.loads(pa.ipc.open_stream(reply.content).schema.metadata[b"warnings"])
        assert told[0]["code"] == "category_unseen"

    @pytest.mark.parametrize(
        ("table", "code", "field"),
        [
            (arrow(seats=pa.array([2, None])), "null_not_allowed", "columns.seats[1]"),
            (arrow(seats=pa.array([2.0, 2.5])), "type", "columns.seats[1]"),
            (arrow(seats=pa.array([2, 1 << 63], pa.uint64())), "number_range", "columns.seats[1]"),
            (arrow(seats=pa.array(["2", "3"])), "type", "columns.seats"),
            (arrow(seats=pa.array([True, False])), "type", "columns.seats"),
            (arrow(seats=pa.nulls(2)), "null_not_allowed", "columns.seats[0]"),
            (arrow(dep_delay=pa.array([1.0, np.inf])), "not_finite", "columns.dep delay[1]"),
            (arrow(dep_delay=pa.array([1, 2]).cast(pa.decimal128(30, 1))), "type", "columns.dep delay"),
            (arrow(night=pa.array([0, 1])), "type", "columns.night"),
            (arrow(carrier=pa.array([b"AA", b"UA"])), "type", "columns.carrier"),
            (arrow(carrier=pa.array(["AA", None])), "null_not_allowed", "columns.carrier[1]"),
            (arrow().drop(["seats"]), "field_missing", "schema.seats"),
            (arrow().append_column("seets", [[1, 2]]), "field_unknown", "schema.seets"),
            (arrow().append_column("seats", [[1, 2]]), "duplicate_key", "schema"),
            (arrow().slice(0, 0), "rows_empty", "rows"),
            (pa.concat_tables([arrow()] * 3), "too_many_rows", "rows"),
            (arrow(dep_delay=pa.nulls(2)).select(["dep delay"]), "field_missing", "schema.seats"),
        ],
    )
    def test_a_wrong_table(self, ask: Ask, models: Few, table: pa.Table, code: str, field: str) -> None:
        status = 413 if code == "too_many_rows" else 400
        said = refused(post(ask, "/models/m/predict", stream(table), content_type=ARROW))
        assert said == (status, code, field)
        assert models.kept == []

    def test_long_strings_are_not_copied_for_every_row(self, ask: Ask) -> None:
        long = pa.array(["x" * 10_001])
        indices = pa.array([0, 0], pa.int8())
        for column in (pa.DictionaryArray.from_arrays(indices, long), pa.array(["x" * 10_001] * 2, pa.string_view())):
            table = arrow(carrier=column)
            with asking(Few(), guards(RequestLimits(rows=5))) as roomy:
                said = refused(post(roomy, "/models/m/predict", stream(table), content_type=ARROW))
            assert (said[0], said[1]) == (400, "string_too_long")

    def test_more_rows_than_the_bytes_show(self, ask: Ask) -> None:
        table = pa.table({"n": pa.nulls((1 << 31) - 1)})
        said = refused(post(ask, "/models/m/predict", stream(table), content_type=ARROW))
        assert said == (413, "too_many_rows", "rows")

    @pytest.mark.parametrize("codec", ["lz4", "zstd"])
    def test_a_compressed_body(self, ask: Ask, codec: str) -> None:
        for table in (arrow(), arrow(carrier=pa.array(["AA", "UA"]).dictionary_encode())):
            reply = post(ask, "/models/m/predict", stream(table, compression=codec), content_type=ARROW)
            assert refused(reply) == (415, "content_encoding", None)

    def test_what_is_no_stream(self, ask: Ask) -> None:
        good = stream(arrow())
        assert refused(post(ask, "/models/m/predict", b"", content_type=ARROW)) == (400, "body_empty", None)
        for body in (b"x", b"x" * 1000, good[:100], good[:-200], b"\xff" * 64, b"ARROW1\x00\x00" + good):
            reply = post(ask, "/models/m/predict", body, content_type=ARROW)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "arrow_invalid")

    def test_damaged_streams_are_refused_and_nothing_breaks(self, ask: Ask) -> None:
        good = stream(arrow(carrier=pa.array(["AA", "UA"]).dictionary_encode()))
        for at in range(0, len(good), 8):
            damaged = bytearray(good)
            damaged[at] ^= 0xFF
            reply = post(ask, "/models/m/predict", bytes(damaged), content_type=ARROW)
            assert reply.status_code in {200, 400, 413, 415}, (at, reply.text)


def test_the_limits_hold_for_every_protocol(ask: Ask) -> None:
    assert SCHEMA.names == tuple(NAMES)
    for path in ("/v1/models/m:predict", "/v2/models/m/infer", "/invocations", "/endpoints/m/invocations"):
        reply = post(ask, path, b"x" * (LIMITS.body + 1))
        assert refused(reply)[:2] == (413, "body_too_large")
        assert refused(post(ask, path, b"{}", content_encoding="gzip"))[:2] == (415, "content_encoding")
