"""Transformers whose every output is made of several inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns, FeatureColumn, Node, matrix
from slipstream.compiler.models.vectors import dense, kernel
from slipstream.compiler.program import NotCompiled


def _components(step: Any, values: Node) -> Node:
    turned = step.components_.T
    projected = values.dot(turned, -(np.asarray(step.mean_) @ turned))
    if not step.whiten:
        return projected
    scale = np.sqrt(step.explained_variance_)
    return projected.then("div", np.maximum(scale, np.finfo(scale.dtype).eps))


def _projected(step: Any, values: Node) -> Node:
    return values.dot(dense(step.components_).T)


def _independent(step: Any, values: Node) -> Node:
    return (values.then("sub", step.mean_) if step.whiten else values).dot(step.components_.T)


def _factors(step: Any, values: Node) -> Node:
    weighted = step.components_ / step.noise_variance_
    covariance = np.linalg.inv(np.eye(len(weighted)) + weighted @ step.components_.T)
    return values.then("sub", step.mean_).dot(weighted.T).dot(covariance)


def _discriminant(step: Any, values: Node) -> Node:
    if step.solver == "lsqr":
        raise NotCompiled("a discriminant of solver 'lsqr' transforms nothing")
    values = values.then("sub", step.xbar_) if step.solver == "svd" else values
    return values.dot(step.scalings_[:, : step._max_components])


def _waves(step: Any, values: Node) -> Node:
    waves = values.dot(step.random_weights_, step.random_offset_).then("cos")
    return waves.then("mul", (2.0 / step.n_components) ** 0.5)


def _nystroem(step: Any, values: Node) -> Node:
    given = {name: 1.0 if getattr(step, name) is None else getattr(step, name) for name in ("gamma", "coef0")}
    if step.kernel_params or (step.kernel in ("poly", "polynomial", "sigmoid") and step.gamma is None):
        raise NotCompiled("a kernel map with parameters of its own is not compiled")
    gamma = 1.0 / values.width if step.gamma is None else given["gamma"]
    degree = 3 if step.degree is None else step.degree
    near = kernel(values, step.components_, step.kernel, gamma, (degree, given["coef0"]))
    return near.dot(step.normalization_.T)


def _polynomials(step: Any, values: Node) -> Node:
    powers = step.powers_
    longest = max(1, int(powers.sum(axis=1).max()))
    factors = np.full((len(powers), longest), values.width, dtype=np.float64)
    for row, of in zip(factors, powers, strict=True):
        places = np.repeat(np.arange(values.width), of)
        row[: len(places)] = places
    return values.then("products", factors, width=len(powers))


def _normalized(step: Any, values: Node) -> Node:
    return values.then("normalized", {"l1": 1, "l2": 2, "max": 0}[step.norm])


def _rule(node: Callable[[Any, Node], Node]) -> Callable[[Any, list[FeatureColumn]], Columns]:
    return lambda step, columns: node(step, matrix(columns)).features()


MIXED = {
    **dict.fromkeys(("PCA", "IncrementalPCA"), _rule(_components)),
    **dict.fromkeys(("TruncatedSVD", "GaussianRandomProjection", "SparseRandomProjection"), _rule(_projected)),
    "FastICA": _rule(_independent),
    "FactorAnalysis": _rule(_factors),
    "LinearDiscriminantAnalysis": _rule(_discriminant),
    "RBFSampler": _rule(_waves),
    "Nystroem": _rule(_nystroem),
    "PolynomialFeatures": _rule(_polynomials),
    "Normalizer": _rule(_normalized),
}
