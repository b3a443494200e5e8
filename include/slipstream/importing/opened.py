"""What a file says of the model in it, whichever library wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from slipstream.adapters.answering import AnsweringModel
from slipstream.errors import BundleError

OutputKind = Literal["classification", "regression", ""]

Build = Callable[[Sequence[str], Mapping[str, Sequence[Any]]], AnsweringModel]


@dataclass(frozen=True)
class OpenedModel:
    """A file's model.

    Attributes:
        format: The format's name, such as ``LightGBM text``.
        library: The package that answers, whose version is recorded.
        estimator: What the card calls it.
        build: Given the inputs in the file's order and the categories of some, makes the estimator.
        names: The names of its inputs, in its order; None if it has none.
        width: How many inputs it takes; None if it does not say.
        categories: Place of an input -> the values that it knows.
        cut: Places of inputs whose categories the library may have written down cut off.
        words: Places of inputs that take words as they are; None: any does.
        outputs: What it answers; "" if only its answers can tell.
        labels: The labels of its answer's columns; None if it has none.
        fitted: An estimator of scikit-learn, which can be kept as it is if nothing has to be put in order.
        labelled: Given the estimator and rows, finds out the labels from its answers; None if nothing can.
    """

    format: str
    library: str
    estimator: str
    build: Build
    names: tuple[str, ...] | None = None
    width: int | None = None
    categories: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    cut: frozenset[int] = frozenset()
    words: frozenset[int] | None = frozenset()
    outputs: OutputKind = ""
    labels: tuple[Any, ...] | None = None
    fitted: Any = None
    labelled: Callable[[Any, Any], tuple[Any, ...] | None] | None = None


def damaged(place: str, error: object) -> BundleError:
    """The error of a file that its library cannot read."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    message = f"{place}: damaged or cut off: {first[:200]}; write it again where it was fitted."
    return BundleError(message, code="import_damaged")


def unsuitable(place: str, text: str) -> BundleError:
    """The error of a model whose answers are of no use here."""
    return BundleError(f"{place}: {text}.", code="import_unsuitable")
