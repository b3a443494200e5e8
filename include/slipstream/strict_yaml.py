"""YAML without surprises: no aliases, tags or duplicate keys, the core types of YAML 1.2, bounds on size and depth.

PyYAML's own loaders turn ``no`` into False and ``12:30:45`` into 45045, keep the last of two equal keys, and expand
an alias bomb. Here the text is only composed to nodes; the values are built below, keeping the line of each for errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from slipstream.errors import SpecError, shown

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 40
LABELLED = ("class_weight",)
"""Mappings whose keys are labels, which may be numbers and truth values."""

Place = tuple[str | int, ...]

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
    """Parsed YAML: its value, and the line (from 1) on which each place of it stands."""

    value: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of *place*, or of the nearest enclosing place that has one."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def parse(text: str, name: str) -> Document:
    """Parse one YAML document called *name* (used in errors).

    Raises:
        SpecError: ``spec_yaml``, ``spec_yaml_tag``, ``spec_alias``, ``spec_duplicate_key`` or ``spec_too_large``.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError(f"{name}: larger than {MAX_BYTES} bytes; split it into several models.", code="spec_too_large")
    try:
        _refuse_aliases(text, name)
        root = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{name}:{line}: not YAML: {error.problem}.", code="spec_yaml") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{name}: not YAML: {str(error)[:200]}.", code="spec_yaml") from error
    lines: dict[Place, int] = {}
    value = None if root is None else _Builder(name, lines).build(root, ())
    return Document(value, lines)


def _refuse_aliases(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_CoreLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecError(f"{name}:{line}: aliases are not allowed; write the value out.", code="spec_alias")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise SpecError(f"{name}:{line}: nested deeper than {MAX_DEPTH} levels.", code="spec_too_large")


@dataclass(frozen=True)
class _Builder:
    name: str
    lines: dict[Place, int]

    def build(self, node: yaml.Node, place: Place) -> Any:
        self.lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "seq")
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        self._refuse_tag(node, "map")
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or not (
                key_node.tag == "tag:yaml.org,2002:str" or (place and place[-1] in LABELLED)
            ):
                raise SpecError(f"{self.name}:{line}: keys must be strings; quote the key.", code="spec_yaml")
            key = self._scalar(key_node)
            if key in found:
                first = self.lines[(*place, key)]
                message = f"{self.name}:{line}: key {key!r} repeated (lines {first} and {line})."
                raise SpecError(message, code="spec_duplicate_key")
            found[key] = self.build(value_node, (*place, key))
            self.lines[(*place, key)] = line
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        text = str(node.value)
        kind = node.tag.rpartition(":")[2]
        if kind in {"int", "float"} and len(text) > MAX_DIGITS:
            line = node.start_mark.line + 1
            raise SpecError(
                f"{self.name}:{line}: a number of {len(text)} digits; at most {MAX_DIGITS}.", code="spec_yaml"
            )
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return self._refuse_tag(node, "str")

    def _refuse_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            message = f"{self.name}:{node.start_mark.line + 1}: tag {shown(tag)} is not allowed."
            raise SpecError(message, code="spec_yaml_tag")
