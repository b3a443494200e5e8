"""LightGBM's text format, looked through before LightGBM reads it: it takes a text that is cut off, or loops, as it is.

The format: a header, trees of one array a line, ``end of trees``, parameters, and the categories of pandas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slipstream.adapters.lightgbm import LightgbmModel
from slipstream.errors import SlipstreamError
from slipstream.importing.opened import OpenedModel, OutputKind, damaged, unsuitable

FORMAT = "LightGBM text"
_END = b"\nend of trees\n"
_CATEGORIES = "pandas_categorical:"
_OUTPUTS: Mapping[str, OutputKind] = {
    **dict.fromkeys(("binary", "multiclass", "multiclassova", "cross_entropy"), "classification"),
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "regression"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "regression"),
}


def open_lightgbm(place: str, content: bytes) -> OpenedModel:
    """What the text says.

    Raises:
        BundleError: ``import_damaged``; ``import_unsuitable``: it ranks, or what it answers is not known.
        BackendError: ``missing_extra``.
    """
    try:
        header, trees = _parts(content)
        names = tuple(header["feature_names"].split(" "))
        width = int(header["max_feature_idx"]) + 1
        if len(names) != width:
            raise ValueError(f"{len(names)} names of {width} features")
        for tree in trees:
            _check_tree(tree, width)
        categories = _categories(content.decode(), names)
        LightgbmModel(content, names)
    except SlipstreamError:
        raise
    except Exception as error:  # LightGBM raises its own
        raise damaged(place, error) from error
    objective = header.get("objective", "")
    outputs = _OUTPUTS.get(objective.partition(" ")[0], "")
    if objective and not outputs:
        raise unsuitable(place, f"its objective {objective!r} gives scores; fit it for a class or a number")
    return OpenedModel(
        format=FORMAT,
        library="lightgbm",
        estimator=f"LightGBM, {objective or 'an objective of its own'}, {len(trees):,} trees",
        build=lambda columns, known: LightgbmModel(content, columns, known),
        names=None if all(re.fullmatch(r"Column_\d+", name) for name in names) else names,
        width=width,
        categories=categories,
        outputs=outputs or "regression",  # without an objective it answers sums, which are no probabilities
    )


def _parts(content: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The lines ``key=value`` of the header and of each tree; raises ValueError where something is missing.

    The header says how many bytes each tree has. LightGBM believes it, and aborts the process where it is wrong.
    """
    body, end, after = content.partition(_END)
    if not end or b"\nend of parameters\n" not in after:
        raise ValueError("it has no end")
    begin = body.find(b"\nTree=0\n") + 1 or len(body)
    header = _lines(body[:begin].decode())
    trees, at = [], begin
    for number, size in enumerate(map(int, header["tree_sizes"].split())):
        tree = body[at : at + size]
        if not tree.startswith(b"Tree=%d\n" % number) or b"\nTree=" in tree:
            raise ValueError(f"tree {number:,} is not where the header says")
        trees.append(_lines(tree.decode()))
        at += size
    if body[at:].strip():
        raise ValueError("it has more trees than its header says")
    return header, trees


def _lines(block: str) -> dict[str, str]:
    return {key: value for key, sign, value in (line.partition("=") for line in block.splitlines()) if sign}


def _check_tree(tree: Mapping[str, str], width: int) -> None:
    """Refuse a tree that would be walked in a circle or beyond its arrays; raises ValueError."""
    leaves = int(tree["num_leaves"])
    if len(tree["leaf_value"].split()) != leaves:
        raise ValueError("a tree has other leaves than it says")
    if leaves <= 1:
        return
    own = np.arange(leaves - 1)
    feature, kind = _whole(tree, "split_feature", leaves - 1), _whole(tree, "decision_type", leaves - 1)
    if len(tree["threshold"].split()) != leaves - 1 or feature.min() < 0 or feature.max() >= width:
        raise ValueError("a tree splits by what is not there")
    for side in ("left_child", "right_child"):
        child = _whole(tree, side, leaves - 1)
        # A node is numbered after the one that it was split from; below zero are leaves.
        if (child >= leaves - 1).any() or (child < -leaves).any() or ((child >= 0) & (child <= own)).any():
            raise ValueError("a tree leads to what is not there")
    if (kind & 1).any():
        _check_categories(tree, kind)


def _check_categories(tree: Mapping[str, str], kind: Any) -> None:
    count = int(tree["num_cat"])
    bounds = _whole(tree, "cat_boundaries", count + 1)
    sets = np.array(tree["threshold"].split(), dtype=np.float64)[(kind & 1) == 1]
    inside = bool((sets >= 0).all() and (sets < count).all() and bounds[0] == 0 and (np.diff(bounds) >= 0).all())
    if not inside or len(tree["cat_threshold"].split()) != bounds[-1]:
        raise ValueError("a tree names categories that are not there")


def _whole(tree: Mapping[str, str], key: str, count: int) -> Any:
    numbers = np.array(tree[key].split(), dtype=np.int64)
    if len(numbers) != count:
        raise ValueError(f"a tree has {len(numbers)} entries of {key}, not {count}")
    return numbers


def _categories(text: str, names: Sequence[str]) -> dict[int, Sequence[Any]]:
    """Place of an input -> the categories that pandas had for it; raises ValueError where they cannot be told apart."""
    line = text.rpartition(f"\n{_CATEGORIES}")[2].partition("\n")[0] if f"\n{_CATEGORIES}" in text else "null"
    known = json.loads(line) or []
    if not known:
        return {}
    listed = re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, re.MULTILINE)
    places = sorted(int(place) for place in listed[1].split(",") if place) if listed else []
    if len(places) != len(known) or any(place >= len(names) for place in places):
        raise ValueError(f"categories of {len(known)} inputs, but {len(places)} inputs are said to be categories")
    return dict(zip(places, known, strict=True))
