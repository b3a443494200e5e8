"""Support vectors, and other models that are a kernel against points that they keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Node, join
from slipstream.compiler.models.methods import Method, Rule, from_chances, from_scores
from slipstream.compiler.program import NotCompiled


def kernel(values: Node, points: Any, name: Any, gamma: float, rest: tuple[float, float] = (3, 1.0)) -> Node:
    """The kernel of each row against each of *points*; *rest* is degree and coef0."""
    points = dense(points)
    if name == "rbf":
        return values.then("rbf", points, gamma, width=len(points))
    if name not in {"linear", "poly", "polynomial", "sigmoid"}:
        raise NotCompiled(f"its kernel {name if isinstance(name, str) else 'of its own'!r} is none that is compiled")
    products = values.dot(points.T)
    if name == "linear":
        return products
    degree, base = rest
    products = products.then("mul", gamma).then("add", base)
    return products.then("tanh") if name == "sigmoid" else products.then("power", degree)


def dense(array: Any) -> Any:
    """An array, of a sparse matrix too."""
    return np.asarray(array.toarray() if hasattr(array, "toarray") else array, dtype=np.float64)


def _kernel(model: Any, values: Node) -> Node:
    return kernel(values, model.support_vectors_, model.kernel, model._gamma, (model.degree, model.coef0))


def _regressor(model: Any, values: Node, method: Method) -> Node:
    return _kernel(model, values).dot(dense(model._dual_coef_).T, model._intercept_)


def _classifier(model: Any, values: Node, method: Method) -> Node:
    count = len(model.classes_)
    scores = _kernel(model, values).dot(_duels(model), model._intercept_)
    if method == "predict_proba":
        # Platt's sigmoid of each duel, and what libsvm makes of them all together.
        chances = scores.then("mul", -model._probA).then("sub", model._probB).then("logistic")
        return chances.then("coupled", count, width=count)
    if count == 2:
        return from_scores(scores.then("mul", -1.0), method)
    if method == "predict" or model.decision_function_shape != "ovr":
        raise NotCompiled("it asks support vectors for the winner of most duels between classes")
    return scores.then("duels", count, width=count)


def _duels(model: Any) -> Any:
    """The weight of each support vector in the duel of each two classes."""
    duals, ends = dense(model._dual_coef_), np.cumsum([0, *model._n_support])
    columns = []
    for one in range(len(model.classes_)):
        for other in range(one + 1, len(model.classes_)):
            column = np.zeros(duals.shape[1])
            first, second = (slice(ends[place], ends[place + 1]) for place in (one, other))
            column[first], column[second] = duals[other - 1, first], duals[one, second]
            columns.append(column)
    return np.column_stack(columns)


def _ridge(model: Any, values: Node, method: Method) -> Node:
    duals = np.asarray(model.dual_coef_, dtype=np.float64)
    if duals.ndim > 1:
        raise NotCompiled("it answers several targets at once")
    gamma = 1.0 / values.width if model.gamma is None else model.gamma
    return kernel(values, model.X_fit_, model.kernel, gamma, (model.degree, model.coef0)).dot(duals[:, None])


def _process(model: Any, values: Node, method: Method) -> Node:
    alpha = np.asarray(model.alpha_)
    if alpha.ndim > 1 and alpha.shape[1] > 1:
        raise NotCompiled("it answers several targets at once")
    covered = _covariance(model.kernel_, values, model.X_train_).dot(alpha.reshape(-1, 1))
    return covered.then("mul", model._y_train_std).then("add", model._y_train_mean)


def _covariance(given: Any, values: Node, points: Any) -> Node:
    """The kernel of a Gaussian process: sums and products of the plain ones."""
    name, count = type(given).__name__, len(points)
    if name in {"Sum", "Product"}:
        one, other = (_covariance(part, values, points) for part in (given.k1, given.k2))
        return one.with_("plus" if name == "Sum" else "times", other)
    if name == "RBF":
        scaled = values.then("div", given.length_scale * np.ones(values.width))
        return scaled.then("rbf", points / given.length_scale, 0.5, width=count)
    if name in {"ConstantKernel", "WhiteKernel"}:
        # White noise is a row's own: nothing between a row and those of training.
        return values.dot(np.zeros((values.width, count)), given.constant_value if name == "ConstantKernel" else 0.0)
    if name == "DotProduct":
        return values.dot(points.T, given.sigma_0**2)
    raise NotCompiled(f"its kernel {name} is none that is compiled")


def _spread(model: Any, values: Node, method: Method) -> Node:
    if model.kernel != "rbf":
        raise NotCompiled("only its kernel 'rbf' is compiled")
    near = kernel(values, model.X_, "rbf", model.gamma).dot(model.label_distributions_)
    return from_chances(near.with_("over", near.then("total", width=1)), model, method)


def _centroids(model: Any, values: Node, method: Method) -> Node:
    if model.metric != "euclidean":
        raise NotCompiled(f"its metric {model.metric!r} is none that is compiled")
    sizes = np.where(model.within_class_std_dev_ != 0, model.within_class_std_dev_, 1.0)
    points, scaled = model.centroids_ / sizes, values.then("div", sizes)
    squares = [scaled.then("sub", point).then("square").then("total", width=1) for point in points]
    scores = join(squares).then("mul", -1.0).then("add", 2.0 * np.log(model.class_prior_))
    if method == "decision_function" and scores.width == 2:
        return scores.dot([[-1.0], [1.0]])
    return scores if method == "decision_function" else from_chances(scores.then("softmax"), model, method)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("SVR", "NuSVR"), _regressor),
    **dict.fromkeys(("SVC", "NuSVC"), _classifier),
    **dict.fromkeys(("LabelPropagation", "LabelSpreading"), _spread),
    "KernelRidge": _ridge,
    "GaussianProcessRegressor": _process,
    "NearestCentroid": _centroids,
}
