"""From the bytes of a request to typed columns. Quick for what is right; slow and exact about what is wrong.

A request that msgspec takes with the types of the schema, and that has no key twice, is right. All others are parsed
again by the standard library and walked value by value, which either names the first problem or, for the few right
requests that msgspec is too strict for (3.0 for an integer), gives the columns.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from slipstream.errors import RequestError, shown
from slipstream.model_schema import Schema
from slipstream.serving.version.row_formats import Columns, Form, Inputs, Lists, RowObjects

MAX_DEPTH = 32
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_T = TypeVar("_T")


class Decoder:
    """Decodes the requests of one version."""

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema = schema
        self.max_rows = max_rows
        self.inputs = Inputs(schema, max_rows)
        self._native = Body(self.inputs, {"rows": RowObjects, "columns": Lists})
        self._own: dict[Any, Any] = {}
        # msgspec crashes where two threads look at a new type at the same time.
        self._building = threading.Lock()

    def decode(self, body: bytes) -> tuple[Columns, int]:
        """The columns and the number of rows of a native request.

        Raises:
            RequestError: what is wrong, with the place in the body.
        """
        return self._native.decode(body)

    def own(self, make: Callable[[Inputs], _T]) -> _T:
        """What *make* builds for this version's inputs, built once: how a protocol keeps typed decoders of its own."""
        decoder: _T | None = self._own.get(make)
        if decoder is None:
            with self._building:
                decoder = self._own.get(make) or make(self.inputs)
                self._own[make] = decoder
        return decoder


class Body:
    """Decodes JSON objects that hold rows under one of some words.

    Args:
        inputs: The inputs of the version.
        forms: Word -> how the rows under it are written.
        empty: Words that may stand beside, with null or an empty object: parameters, which no model here takes.
    """

    def __init__(
        self, inputs: Inputs, forms: Mapping[str, Callable[[Inputs], Form]], empty: tuple[str, ...] = ()
    ) -> None:
        self.inputs = inputs
        self.empty = empty
        self._forms = {word: form(inputs) for word, form in forms.items()}
        self._decoder = msgspec.json.Decoder(_body_type(self._forms, empty))
        self._expected = " or ".join(f"'{word}'" for word in self._forms)

    def decode(self, body: bytes) -> tuple[Columns, int]:
        """The columns and the number of rows.

        Raises:
            RequestError: what is wrong, with the place in the body.
        """
        try:
            values, colons = self._quick(self._decoder.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._slow(body)
        rows = len(values[0]) if values else 0
        if not 0 < rows <= self.inputs.max_rows or len(set(map(len, values))) != 1:
            return self._slow(body)
        if not self._each_key_once(body, colons, values):
            return self._slow(body)
        return self.inputs.in_bulk(values, rows), rows

    def _quick(self, request: Any) -> tuple[list[Any], int]:
        """The values by column of a decoded request, and how many colons its keys take; no values: look closer."""
        forms = [word for word in self._forms if getattr(request, word) is not msgspec.UNSET]
        taken = self._forms[forms[0]].take(getattr(request, forms[0])) if len(forms) == 1 else None
        if taken is None:
            return [], 0
        beside = sum(getattr(request, word) is not msgspec.UNSET for word in self.empty)
        return taken[0], 1 + beside + taken[1]

    def _each_key_once(self, body: bytes, colons: int, values: list[Any]) -> bool:
        """Whether no key stands there twice, by a count: each key needs a colon of its own.

        Colons in words are taken off. One that is written as an escape could make up for a second key, so bodies with
        escapes get the closer look.
        """
        extra = body.count(b":") - colons
        if extra == 0 and not self.inputs.colons:
            return True
        words = [values[place] for place in self.inputs.words]
        return b"\\" not in body and extra == sum(word.count(":") for column in words for word in column if word)

    def _slow(self, body: bytes) -> tuple[Columns, int]:
        document = parse(body, self._expected)
        if not isinstance(document, dict) or len(document.keys() & self._forms.keys()) != 1:
            either = "either " if len(self._forms) == 2 else ""
            raise RequestError(f"expected a JSON object with {either}{self._expected}", code="body_shape")
        extra = sorted(document.keys() - self._forms.keys() - {*self.empty})
        if extra:
            message = f"unknown field {shown(extra[0])}; a request has {self._expected}"
            raise RequestError(message, code="field_unknown", field=extra[0][:80])
        for word in self.empty:
            check_no_parameters(document.get(word), word)
        word = next(iter(document.keys() & self._forms.keys()))
        values = self._forms[word].check(document[word], word)
        return self.inputs.in_bulk(values, len(values[0])), len(values[0])


def check_no_parameters(value: Any, word: str) -> None:
    """Refuse parameters: a model's answer depends on its inputs alone."""
    if value is not None and value != {}:
        message = f"{word}: the models here take no parameters; leave {word!r} out"
        raise RequestError(message, code="parameters_unknown", field=word)


def parse(body: bytes, expected: str = "'rows'") -> Any:
    """Strict JSON: UTF-8, no key twice, at most 32 levels; NaN and Infinity come through as floats, to be named later.

    Raises:
        RequestError: ``body_empty``, ``encoding``, ``too_deep``, ``duplicate_key`` or ``json_invalid``.
    """
    if not body.strip():
        raise RequestError(f"request body is empty; expected a JSON object with {expected}", code="body_empty")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8: byte {error.start} cannot be read", code="encoding") from error
    if max(_depths(text), default=0) > MAX_DEPTH:
        raise RequestError(f"nested too deep; limit {MAX_DEPTH}", code="too_deep")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise RequestError(message, code="json_invalid") from error


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty object."""


def _body_type(forms: Mapping[str, Form], empty: tuple[str, ...]) -> Any:
    fields = [(word, form.type | msgspec.UnsetType, msgspec.UNSET) for word, form in forms.items()]
    fields += [(word, _Nothing | None | msgspec.UnsetType, msgspec.UNSET) for word in empty]
    return msgspec.defstruct("Request", fields, forbid_unknown_fields=True)


def _depths(text: str) -> Iterator[int]:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        yield depth
        if depth > MAX_DEPTH:
            return


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse_duplicate(pairs)
    return members


def _refuse_duplicate(pairs: list[tuple[str, Any]]) -> NoReturn:
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise RequestError(f"the key {shown(twice)} stands there twice", code="duplicate_key", field=twice[:80])


def _integer(digits: str) -> int:
    # Longer ones are out of every range; converting thousands of digits costs quadratic time.
    return int(digits) if len(digits) <= 320 else 1 << 2000
