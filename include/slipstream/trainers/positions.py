"""Parameters that point at columns: by name, or by position among `inputs`, as positions among the prepared columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slipstream.errors import SpecError, shown
from slipstream.hints import nearest
from slipstream.spec.model import ModelSpec

_WORDS = {"interaction_cst": ("pairwise", "no_interactions")}
Meaning = Literal["signs", "groups", "categories"]
SKLEARN: Mapping[str, Meaning] = {
    "monotonic_cst": "signs",
    "interaction_cst": "groups",
    "categorical_features": "categories",
}
POINTING = frozenset(SKLEARN)
"""The parameters of scikit-learn that point at columns."""


@dataclass(frozen=True)
class Prepared:
    """Where the inputs stand once they are prepared.

    Attributes:
        places: Input -> the positions of what became of it.
        numbers: The inputs that stay the numbers that they are.
        distinct: How many values an input has, the missing one not counted.
        most_categories: The most that an input of categories may have.
    """

    places: Mapping[str, Sequence[int]]
    numbers: frozenset[str]
    distinct: Callable[[str], int]
    most_categories: int

    @property
    def width(self) -> int:
        """How many prepared columns there are."""
        return sum(map(len, self.places.values()))


def placed(
    spec: ModelSpec,
    parameters: Mapping[str, Any],
    prepared: Prepared,
    meanings: Mapping[str, Meaning] = SKLEARN,
) -> dict[str, Any]:
    """The parameters, with those that point at columns put to where the columns stand.

    Args:
        spec: The model.
        parameters: As the model file has them.
        prepared: Where the columns stand.
        meanings: Which parameters point at columns, and how.

    Raises:
        SpecError: ``spec_parameter_invalid``: no such input, or a constraint on what is no number.
    """
    settled = dict(parameters)
    for name, meaning in meanings.items():
        value = settled.get(name)
        if value is not None and value not in _WORDS.get(name, ()):
            settled[name] = _CHANGES[meaning](_Pointer(spec, name), value, prepared)
    _apart(spec, settled, prepared)
    return settled


def _apart(spec: ModelSpec, parameters: Mapping[str, Any], prepared: Prepared) -> None:
    """Refuse a constraint on an input of categories, which neither rises nor falls."""
    signs, categories = parameters.get("monotonic_cst"), parameters.get("categorical_features")
    if not isinstance(signs, list) or not isinstance(categories, list):
        return
    for name, places in prepared.places.items():
        if any(signs[place] and place in categories for place in places):
            text = f"input {name!r} stands in categorical_features too; categories neither rise nor fall, take one out"
            raise _Pointer(spec, "monotonic_cst").refuse(text)


def categories_of(spec: ModelSpec, parameter: str, value: Any) -> list[str]:
    """The inputs that *parameter* names as categories, before anything is prepared; none without a value.

    Raises:
        SpecError: ``spec_parameter_invalid``: no list of inputs.
    """
    return [] if value is None else _category_names(_Pointer(spec, parameter), value)


@dataclass(frozen=True)
class _Pointer:
    spec: ModelSpec
    parameter: str

    def refuse(self, text: str) -> SpecError:
        message = f"{self.spec.name}: train.trainer.parameters.{self.parameter}: {text}."
        return SpecError(message, code="spec_parameter_invalid")

    def input(self, pointed: Any) -> str:
        """The input that a name or a position means."""
        inputs = self.spec.inputs
        if isinstance(pointed, int) and not isinstance(pointed, bool):
            if not 0 <= pointed < len(inputs):
                raise self.refuse(f"{pointed} is no position among the {len(inputs)} inputs, which count from 0")
            return inputs[pointed]
        if pointed in inputs:
            return str(pointed)
        raise self.refuse(f"{shown(pointed)} is no input; {nearest(str(pointed), inputs)}")


def _monotonic(point: _Pointer, value: Any, prepared: Prepared) -> list[int]:
    """`{price: -1}`, or a list with one entry for each input."""
    if isinstance(value, Mapping):
        signs_by_name = {point.input(name): sign for name, sign in value.items()}
    elif isinstance(value, list) and len(value) == len(point.spec.inputs):
        signs_by_name = dict(zip(point.spec.inputs, value, strict=True))
    else:
        count = f"{len(value)} entries" if isinstance(value, list) else shown(value)
        inputs = len(point.spec.inputs)
        raise point.refuse(f"{count}; write {{input: 1 or -1}}, or a list of {inputs}, one for each of inputs in order")
    signs = [0] * prepared.width
    for name, sign in signs_by_name.items():
        if sign not in (-1, 0, 1) or isinstance(sign, bool):  # no set: a list has no hash
            raise point.refuse(f"{shown(sign)} for {name!r}; write 1 (rises), -1 (falls) or 0")
        if sign and name not in prepared.numbers:
            raise point.refuse(f"input {name!r} is no number, so it neither rises nor falls; leave it out")
        for place in prepared.places[name]:
            signs[place] = int(sign)
    return signs


def _interactions(point: _Pointer, value: Any, prepared: Prepared) -> list[list[int]]:
    """Groups of inputs that may act together."""
    if not isinstance(value, list) or not all(isinstance(group, list) for group in value):
        raise point.refuse(
            f"{shown(value)}; write groups of inputs such as [[price, age], [city]], or 'no_interactions'"
        )
    return [[place for pointed in group for place in prepared.places[point.input(pointed)]] for group in value]


def _category_names(point: _Pointer, value: Any) -> list[str]:
    """Inputs whose values are categories."""
    if not isinstance(value, list):
        raise point.refuse(f"{shown(value)}; write a list of inputs such as [city]")
    if value and all(isinstance(one, bool) for one in value):
        if len(value) != len(point.spec.inputs):
            raise point.refuse(f"{len(value)} truth values for {len(point.spec.inputs)} inputs")
        value = [name for name, chosen in zip(point.spec.inputs, value, strict=True) if chosen]
    return [point.input(pointed) for pointed in value]


def _categorical(point: _Pointer, value: Any, prepared: Prepared) -> list[int]:
    names = _category_names(point, value)
    for name in names:
        if len(prepared.places[name]) > 1:
            raise point.refuse(f"input {name!r} is a date, whose parts are numbers")
        if (count := prepared.distinct(name)) > prepared.most_categories:
            most = f"an input of categories may have {prepared.most_categories}"
            raise point.refuse(
                f"input {name!r} has {count:,} values, {most}; leave it out here, or group the rare ones"
            )
    return [place for name in names for place in prepared.places[name]]


_CHANGES: Mapping[Meaning, Callable[[_Pointer, Any, Prepared], Any]] = {
    "signs": _monotonic,
    "groups": _interactions,
    "categories": _categorical,
}
