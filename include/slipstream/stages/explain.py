"""Explain: which inputs move a candidate's answers, overall and in single rows it was not trained on."""

from __future__ import annotations

from dataclasses import asdict

from slipstream.evaluation.candidate_answers import load_candidate
from slipstream.evaluation.explained import Explained
from slipstream.runs import Stage, once, run_key
from slipstream.slots import EXPLAINER
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.training.labels import coded
from slipstream.training.split import reopen

STAGE = Stage("explain", version=2)
READS = ("task", "target", "inputs", "evaluate", "explain", "train.seed")
TOP = 20


def explain(spec: ModelSpec, store: Store, candidate: str, *, actor: str = "") -> Explained:
    """Explain the candidate made by the train run of that id.

    Raises:
        StageError: ``run_not_found``.
        BackendError: the explainer is unknown, not installed, or not made for this estimator.
    """
    key = run_key(STAGE, spec.part(*READS), {"candidate": candidate})
    return once(STAGE, spec, store, key, lambda run: _explain(spec, store, candidate), result=Explained, actor=actor)


def _explain(spec: ModelSpec, store: Store, candidate: str) -> Explained:
    from slipstream.reports import explanation as report

    subject = load_candidate(spec, store, candidate)
    explainer = EXPLAINER.build(spec.explain, allow_code=spec.allow_code)
    cut = reopen(spec, store, subject.trained.dataset, subject.training.boundaries)
    rows = cut.frame("holdout")
    if spec.task == "binary" and list(getattr(subject.estimator, "classes_", (0, 1))) == [0, 1]:
        # As it was fitted: 1 for the positive label, but for candidates of an earlier time, which know the labels
        # themselves. A row of a third label could not be answered rightly.
        rows = rows[rows[spec.target].isin(subject.training.classes)].copy()
        rows[spec.target] = coded(spec, rows[spec.target], subject.training.classes)
    explanation = explainer.explain(spec, subject.estimator, rows, spec.seed)
    # JSON objects keep no order, so the ranking is kept as pairs.
    ranking = {"importance": list(explanation.importance.items()), "effects": list(explanation.effects.items())}
    details = asdict(explanation) | ranking | {"candidate": candidate, "task": spec.task, "target": spec.target}
    return Explained(
        candidate=candidate,
        method=explanation.method,
        rows=explanation.rows,
        scale=explanation.scale,
        importance=tuple(explanation.importance.items())[:TOP],
        details=store.objects.put_json(details),
        report=store.objects.put(report.page(spec.name, details)),
    )
