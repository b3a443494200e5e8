"""YAML without surprises: no aliases, tags or duplicate keys, the core types of YAML 1.2, bounds on size and depth.

PyYAML's own loaders turn ``no`` into False and ``12:30:45`` into 45045, keep the last of two equal keys, and expand
an alias bomb. Here the text is only composed to nodes; the values are built below, keeping the line of each for errors.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import yaml

from slipstream.errors import SpecError, shown
from slipstream.spec.values import Place, SpecProblem
from slipstream.spec.yaml_messages import in_words

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 40
_ALIAS = re.compile(r"[&*][\w-]")
_PLAIN = 1000
LABELLED = ("class_weight",)
"""Mappings whose keys are labels, which may be numbers and truth values."""

Mark = tuple[int, int]

_CORE = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)


class _CoreLoader(yaml.CSafeLoader):
    """Composes nodes by libyaml (8 times faster), resolving plain scalars by the core schema of YAML 1.2 only."""


_CoreLoader.yaml_implicit_resolvers = {}


for _tag, _pattern, _first in _CORE:
    _CoreLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(frozen=True)
class Document:
    """Parsed YAML, and where each place of it stands.

    Attributes:
        value: What the text says; None in place of what is wrong.
        keys: Place -> line and column (from 1) of its key, or of the entry of a list.
        values: Place -> line and column of a value that is no mapping or list.
        problems: What is wrong beside the form: tags, keys that are repeated or no texts, numbers that are none.
    """

    value: Any
    keys: dict[Place, Mark]
    values: dict[Place, Mark]
    problems: list[tuple[Mark, SpecProblem]]

    def mark(self, place: Place, *, key: bool = False) -> Mark:
        """Line and column of the value at *place* (or its *key*), or of the nearest place around that is there."""
        if not key and place in self.values:
            return self.values[place]
        while place and place not in self.keys:
            place = place[:-1]
        return self.keys.get(place, (1, 1))


def parse(text: str, name: str) -> Document:
    """Parse one YAML document called *name* (used in errors), in which nothing is wrong.

    Raises:
        SpecError: ``spec_yaml``, ``spec_yaml_tag``, ``spec_alias``, ``spec_duplicate_key`` or ``spec_too_large``.
    """
    document = read(text, name)
    if document.problems:
        (line, column), problem = document.problems[0]
        raise SpecError(f"{name}:{line}:{column}: {problem}.", code=problem.code)
    return document


def read(text: str, name: str) -> Document:
    """Parse one YAML document called *name*; raises SpecError where its form is wrong, and lists what else is."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError(f"{name}: larger than {MAX_BYTES} bytes; split it into several models.", code="spec_too_large")
    try:
        if not _is_plain(text):
            _refuse_aliases(text, name)
        root = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = in_words(error, text, line, column)
        raise SpecError(f"{name}:{line}:{column}: not YAML: {problem}.", code="spec_yaml") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{name}: not YAML: {' '.join(str(error).split())[:200]}.", code="spec_yaml") from error
    document = Document(None, {}, {}, [])
    value = None if root is None else _Builder(document).build(root, ())
    return replace(document, value=value)


def _is_plain(text: str) -> bool:
    """Whether nothing in *text* can be an alias, nor so deep that composing it is a danger: then a third less to do."""
    lines = text.splitlines()
    brackets = text.count("[") + text.count("{")
    return not _ALIAS.search(text) and brackets < _PLAIN and max(map(len, lines), default=0) < _PLAIN


def _refuse_aliases(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_CoreLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line, column = _mark(event)
            hint = "write the value out, or quote a text that begins so"
            message = f"{name}:{line}:{column}: aliases (& and *) are not allowed; {hint}."
            raise SpecError(message, code="spec_alias")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line, column = _mark(event)
            message = f"{name}:{line}:{column}: nested deeper than {MAX_DEPTH} levels."
            raise SpecError(message, code="spec_too_large")


def _mark(part: Any) -> Mark:
    return part.start_mark.line + 1, part.start_mark.column + 1


@dataclass(frozen=True)
class _Builder:
    document: Document

    def build(self, node: yaml.Node, place: Place) -> Any:
        if place not in self.document.keys:
            self.document.keys[place] = _mark(node)
        if len(place) > MAX_DEPTH:
            self._wrong(node, f"nested deeper than {MAX_DEPTH} levels", place, "spec_too_large")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "seq", place)
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        self.document.values[place] = _mark(node)
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        self._refuse_tag(node, "map", place)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, "a key must be a text; put quotes around it", place)
                continue
            if key_node.tag != "tag:yaml.org,2002:str" and not (place and place[-1] in LABELLED):
                problem = f'a key must be a text; put quotes around it, as in "{key_node.value}"'
                self._wrong(key_node, problem, (*place, str(key_node.value)))
                continue
            key = self._scalar(key_node, place)
            if key in mapping:
                lines = f"lines {self.document.keys[(*place, key)][0]} and {_mark(key_node)[0]}"
                self._wrong(
                    key_node, f"key {key!r} repeated ({lines}); take one out", (*place, key), "spec_duplicate_key"
                )
                continue
            self.document.keys[(*place, key)] = _mark(key_node)
            mapping[key] = self.build(value_node, (*place, key))
        return mapping

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        text = str(node.value)
        kind = node.tag.rpartition(":")[2]
        if kind in {"int", "float"}:
            return self._number(node, text, kind, place)
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
        self._refuse_tag(node, "str", place)
        return text

    def _number(self, node: yaml.Node, text: str, kind: str, place: Place) -> float | None:
        if len(text) > MAX_DIGITS:
            self._wrong(node, f"a number of {len(text)} digits; at most {MAX_DIGITS}", place)
            return None
        if kind == "int":
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            self._wrong(node, f"{text} is no number that can be worked with; write a finite one", place)
            return None
        return number

    def _refuse_tag(self, node: yaml.Node, kind: str, place: Place) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._wrong(
                node, f"tag {shown(tag)} is not allowed; take it out, or quote the text", place, "spec_yaml_tag"
            )

    def _wrong(self, node: yaml.Node, problem: str, place: Place, code: str = "spec_yaml") -> None:
        self.document.problems.append((_mark(node), SpecProblem(problem, *place, code=code)))
