"""An ONNX graph, run by onnxruntime with one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipstream.adapters.answering import FileModel

_KINDS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
WORDS = "tensor(string)"
TAKEN = (*_KINDS, WORDS)
"""The types of inputs that can be given."""


class OnnxModel(FileModel):
    """Answers by a graph that takes one matrix of numbers, or one column for each input.

    Attributes:
        output: The output that holds the answers.
        single: Whether it takes one matrix.
    """

    def __init__(self, content: bytes, columns: Sequence[str], output: str, single: bool) -> None:
        self.output = output
        self.single = single
        super().__init__(content, columns)

    def _open(self) -> None:
        self._session = session(self.content)
        self._kinds = {entry.name: entry.type for entry in self._session.get_inputs()}

    def raw(self, frame: Any) -> Any:
        """What the graph answers; NaN in rows where a whole number that it needs is missing."""
        feeds, absent = self._feeds(frame)
        (answer,) = self._session.run([self.output], feeds)
        if isinstance(answer, list):  # a mapping of label -> probability for each row
            answer = [list(row.values()) for row in answer]
        numbers = np.array(answer, dtype=np.float64).reshape(len(frame), -1)
        numbers[absent] = np.nan
        return numbers

    def of(self, output: str, frame: Any) -> Any:
        """Another output of the graph, as onnxruntime gives it."""
        return self._session.run([output], self._feeds(frame)[0])[0]

    def _feeds(self, frame: Any) -> tuple[dict[str, Any], Any]:
        """What the graph is given, and a mask of the rows where a whole number is missing."""
        absent = np.zeros(len(frame), dtype=bool)
        if self.single:
            ((name, kind),) = self._kinds.items()
            return {name: _filled(self.matrix(frame), kind, absent)}, absent
        return {name: _column(frame[name], kind, absent) for name, kind in self._kinds.items()}, absent


def session(content: bytes) -> Any:
    """A session of onnxruntime, with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _column(column: Any, kind: str, absent: Any) -> Any:
    if kind == WORDS:
        words = np.empty((len(column), 1), dtype=object)
        words[:, 0] = ["" if value is None else str(value) for value in column.tolist()]
        return words
    return _filled(column.to_numpy(np.float64).reshape(-1, 1), kind, absent)


def _filled(numbers: Any, kind: str, absent: Any) -> Any:
    """*numbers* as that kind; rows in which a whole number is missing are marked in *absent*."""
    wanted = _KINDS[kind]
    if np.dtype(wanted).kind == "f":
        return numbers.astype(wanted)
    gone = np.isnan(numbers)
    absent |= gone.any(axis=1)
    return np.where(gone, 0.0, numbers).astype(wanted)
