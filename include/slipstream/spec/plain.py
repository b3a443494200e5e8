"""What a model file says, read without trust: what is of another kind than expected counts as not said.

The checks between parts of the file work on it, so that they find what is wrong beside other mistakes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipstream.hints import near_word
from slipstream.spec.values import Place

TASKS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class FileValues:
    """The plain values of a model file."""

    whole: Mapping[str, Any]

    def value(self, *place: str | int) -> Any:
        """What stands at *place*; None if nothing does."""
        value: Any = self.whole
        for part in place:
            if isinstance(value, Mapping):
                value = value.get(part)
            else:
                value = value[part] if isinstance(value, list) and isinstance(part, int) else None
        return value

    def text(self, *place: str | int) -> str:
        """The text at *place*; "" if there is none."""
        value = self.value(*place)
        return value if isinstance(value, str) else ""

    def texts(self, *place: str | int) -> list[tuple[Place, str]]:
        """The texts of the list at *place*, each with its own place; of one text alone that one."""
        value = self.value(*place)
        if isinstance(value, str):
            return [(place, value)]
        listed = value if isinstance(value, list) else []
        return [((*place, number), one) for number, one in enumerate(listed) if isinstance(one, str)]

    def parts(self, *place: str | int) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        """The mappings of the list at *place*, each with its own place."""
        value = self.value(*place)
        for number, one in enumerate(value if isinstance(value, list) else []):
            if isinstance(one, Mapping):
                yield (*place, number), one

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that are named."""
        return tuple(name for _, name in self.texts("inputs")) if isinstance(self.value("inputs"), list) else ()

    @property
    def task(self) -> str:
        """The task, or the one that a misspelt word means; "" if that is none that there is."""
        text = self.text("task")
        return text if text in TASKS or not text else near_word(text, TASKS, cutoff=0.7)
