"""An ONNX graph, looked through before it is run: standard operators only, all in one file, any number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slipstream.adapters.onnx import TAKEN, WORDS, OnnxModel
from slipstream.errors import BundleError, SlipstreamError, shown
from slipstream.importing.opened import OpenedModel, OutputKind, damaged, unsuitable

_DOMAINS = ("", "ai.onnx.ml")
_NUMBERS = ("tensor(float)", "tensor(double)", "tensor(float16)")
_CLASSES = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")


def open_onnx(place: str, content: bytes) -> OpenedModel:
    """What the graph says of its inputs and outputs.

    Raises:
        BundleError: ``import_damaged``, ``import_external_data``, ``import_operator_unknown`` or ``import_unsuitable``.
    """
    import onnx

    from slipstream.adapters.onnx import session

    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ValueError("it has no operators")
        _refuse_foreign(place, model)
        running = session(content)
    except SlipstreamError:
        raise
    except Exception as error:  # protobuf and onnxruntime raise their own
        raise damaged(place, error) from error
    inputs, output = running.get_inputs(), _answer(place, running.get_outputs())
    for entry in inputs:
        _check_input(place, entry, alone=len(inputs) == 1)
    single = len(inputs) == 1 and inputs[0].type != WORDS
    names = None if single else tuple(entry.name for entry in inputs)
    label = next((entry.name for entry in running.get_outputs() if _is_label(entry)), None)
    outputs: OutputKind = "classification" if label or output.type.startswith("seq") else ""
    return OpenedModel(
        format="ONNX",
        library="onnxruntime",
        estimator=f"ONNX, {len(model.graph.node):,} operators, {model.producer_name or 'of an unnamed producer'}",
        build=lambda columns, _: OnnxModel(content, columns, output.name, single),
        names=names,
        width=_width(inputs[0]) if single else len(inputs),
        words=frozenset(place for place, entry in enumerate(inputs) if entry.type == WORDS),
        outputs=outputs,
        labelled=lambda estimator, rows: _labels(estimator, rows, model, output, label),
    )


def _refuse_foreign(place: str, model: Any) -> None:
    """Refuse what is not in the file, and what no runtime has without a library of somebody's own."""
    import onnx

    if any(tensor.external_data for tensor in _tensors(model.graph)):
        remedy = "write it in one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
        raise BundleError(
            f"{place}: its weights lie in other files, which are not read; {remedy}.", code="import_external_data"
        )
    own = {(function.domain, function.name) for function in model.functions}
    for node in [*_nodes(model.graph), *(node for function in model.functions for node in function.node)]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        standard = domain in _DOMAINS and onnx.defs.has(node.op_type, domain)
        if not standard and (node.domain, node.op_type) not in own:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            message = f"{place}: operator {shown(name)} is none of ONNX; export it with standard operators."
            raise BundleError(message, code="import_operator_unknown")


def _nodes(graph: Any) -> Iterator[Any]:
    """Every operator, those of branches and loops too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from inner.initializer


def _width(entry: Any) -> int | None:
    """How many columns an input takes; None if the file leaves it open."""
    shape = entry.shape
    return (int(shape[1]) if isinstance(shape[1], int) else None) if len(shape) == 2 else None


def _check_input(place: str, entry: Any, *, alone: bool) -> None:
    name = shown(entry.name)
    if entry.type not in TAKEN:
        raise unsuitable(place, f"its input {name} is {entry.type}; export it with numbers or strings")
    if len(entry.shape) != 2 or (not alone and _width(entry) != 1):
        wanted = "rows and columns" if alone else "one column each: [None, 1]"
        raise unsuitable(place, f"its input {name} has the shape {entry.shape}; export it with {wanted}")
    if isinstance(entry.shape[0], int):
        raise unsuitable(place, f"its input {name} takes {entry.shape[0]} rows at a time; export it with any number")


def _is_label(entry: Any) -> bool:
    return bool(entry.type in {"tensor(int64)", "tensor(int32)", "tensor(string)"})


def _answer(place: str, outputs: Any) -> Any:
    """The output that holds probabilities or numbers."""
    maps = [entry for entry in outputs if entry.type.startswith("seq(map(")]
    fitting = maps or [entry for entry in outputs if entry.type in _NUMBERS]
    if len(fitting) != 1:
        listed = ", ".join(f"{shown(entry.name)} ({entry.type})" for entry in outputs)
        raise unsuitable(place, f"one output must hold its probabilities or numbers, it has: {listed}; export it so")
    return fitting[0]


def _labels(estimator: Any, rows: Any, model: Any, output: Any, label: str | None) -> tuple[Any, ...] | None:
    """The labels of the answer's columns: as a mapping names them, or the label output shows, or an operator lists."""
    answer = estimator.of(output.name, rows)
    if isinstance(answer, list):
        return tuple(answer[0])
    columns = estimator.raw(rows)
    written = _written(model)
    if label is None or columns.shape[1] < 2:
        return written if written and len(written) == max(2, columns.shape[1]) else None
    answered = estimator.of(label, rows).reshape(-1).tolist()
    shown_by = dict(zip(columns.argmax(axis=1).tolist(), answered, strict=True))
    if len(shown_by) == columns.shape[1]:
        return tuple(shown_by[place] for place in sorted(shown_by))
    if written is None or len(written) != columns.shape[1]:
        return None
    return written if all(written[place] == answer for place, answer in shown_by.items()) else None


def _written(model: Any) -> tuple[Any, ...] | None:
    """The labels that the last operator with labels lists."""
    for node in reversed(model.graph.node):
        for attribute in node.attribute:
            if attribute.name in _CLASSES and (attribute.ints or attribute.strings):
                return tuple(attribute.ints) or tuple(word.decode() for word in attribute.strings)
    return None
