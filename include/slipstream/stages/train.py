"""Train: fits a candidate on the training rows of a dataset version; the same inputs give the same candidate."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slipstream.data.derived import refuse_otherwise
from slipstream.errors import DataError, StageError
from slipstream.runs import Stage, library_versions, once, run_key, versions_of
from slipstream.slots import TRAINER, Coded
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.state import State
from slipstream.training.answer_check import check_answers
from slipstream.training.aside import fit_candidate
from slipstream.training.candidate import Trained, Training, as_trained
from slipstream.training.decisions import decides_otherwise
from slipstream.training.labels import Label, classes_of, coded, weighed
from slipstream.training.split import Split, split
from slipstream.training.split_boundaries import Counts

if TYPE_CHECKING:
    from slipstream.bundle.project_code import ProjectCode

STAGE = Stage("train", version=3)
PROVEN = ("sklearn", "lightgbm", "xgboost", "catboost")
"""Trainers whose models are known to answer a row alone as they do among others."""
READS = ("task", "target", "positive", "inputs", "train", "data.time", "data.key")

_log = logging.getLogger("slipstream")


def train(spec: ModelSpec, store: Store, dataset: str, *, actor: str = "", reason: str = "") -> Trained:
    """Fit a candidate on the training rows of *dataset*.

    Args:
        spec: The model.
        store: The store.
        dataset: Id of the dataset version.
        actor: Who asked for it.
        reason: Why, in one sentence; kept with the run. "": that of the policy's request, if one is open.

    Raises:
        NotFound: ``dataset_not_found``.
        SpecError: the trainer does not take its parameters, or an input is no number or word.
        DataError: ``data_too_few_rows``, ``data_target_unusable``, ``data_not_finite``, ``data_column_degenerate``,
            ``data_split_empty``.
        StageError: ``rebuild_needed``: the rows were derived by another features.py, data.schema or data.join than
            today's; ``code_changed``: a Python file that makes the model was edited meanwhile; ``answers_invalid``:
            what was fitted answers no probabilities or numbers, or depends on the rows beside one.
    """
    doubt = refuse_otherwise(spec, store, dataset)
    made_with = code, libraries = _made_with(spec)
    inputs = {"code": code.digest, "libraries": libraries} if code.files or libraries else {}
    key = run_key(STAGE, spec.part(*READS), {"dataset": dataset} | inputs)

    def why(_: Trained, state: State) -> dict[str, str]:
        request = state.model(spec.name).retrain
        text = reason or (request.content.reason if request else "")
        return {"reason": text} if text else {}

    done = once(
        STAGE,
        spec,
        store,
        key,
        lambda run: _train(spec, store, dataset, run, doubt, made_with),
        result=Trained,
        actor=actor,
        record=why,
    )
    if doubt and done.reused:
        _log.warning("%s: %s", spec.name, doubt)
    return done


def _made_with(spec: ModelSpec) -> tuple[ProjectCode, dict[str, str]]:
    """The project's own code that the trainer brings into the model, and versions of the libraries that it needs."""
    from slipstream.bundle.project_code import NO_CODE, ProjectCode

    trainer = TRAINER.build(spec.train.trainer, allow_code=spec.allow_code)
    code = ProjectCode(trainer.code(spec)) if isinstance(trainer, Coded) else NO_CODE
    _, needs = TRAINER.extras.get(spec.train.trainer["type"], ("", ""))
    return code, versions_of({*code.imports, *filter(None, [needs])})


def _train(
    spec: ModelSpec, store: Store, dataset: str, run: str, doubt: str, made_with: tuple[ProjectCode, dict[str, str]]
) -> Trained:
    from slipstream.bundle import skops_file

    code, libraries = made_with
    cut = split(spec, store, dataset)
    counts = cut.counts()
    frame = cut.frame("train")
    _check(spec, frame)
    what = spec.train.trainer.get("estimator") or f"by the trainer {spec.train.trainer['type']}"
    _log.info("%s: fitting %s on %s rows", spec.name, what, f"{counts.train:,}")
    classes = classes_of(spec, frame[spec.target])
    trainer = TRAINER.build(weighed(spec, spec.train.trainer, classes), allow_code=spec.allow_code)
    rows = frame[[*spec.inputs, spec.target]].copy()
    rows[spec.target] = coded(spec, frame[spec.target], classes)
    estimator = fit_candidate(spec, trainer, frame, rows)
    if _made_with(spec) != made_with:
        message = f"{spec.name}: its Python files changed while it was trained; train again."
        raise StageError(message, code="code_changed")
    inputs = rows[list(spec.inputs)]
    check_answers(spec, what.removeprefix("by "), estimator, inputs, alone=spec.train.trainer["type"] not in PROVEN)
    model = store.objects.put(skops_file.dump(estimator, code))
    _log.info("%s: fitted candidate %s", spec.name, run)
    training = _record(spec, cut, counts, classes, doubt)
    sources = {name: store.objects.put(source) for name, source in code.files.items()}
    doubts = [decides_otherwise(estimator, inputs)] if classes else []
    training = replace(
        training,
        code=sources,
        libraries=training.libraries | libraries,
        warnings=(*training.warnings, *filter(None, doubts)),
    )
    return as_trained(spec, store, (run, model, dataset), training)


def _record(spec: ModelSpec, cut: Split, counts: Counts, classes: tuple[Label, ...], doubt: str) -> Training:
    split, warnings = cut.description(spec.data.key)
    return Training(
        task=spec.task,
        target=spec.target,
        inputs=cut.inputs,
        classes=classes,
        positive=classes[1] if spec.task == "binary" else None,
        boundaries=cut.boundaries,
        counts=counts,
        trainer=dict(spec.part("train")["train"]["trainer"]),
        seed=spec.seed,
        threads=_threads(),
        libraries=library_versions(),
        split=split,
        warnings=(*warnings, *filter(None, [doubt])),
    )


def _threads() -> int:
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"), default=1)


def _check(spec: ModelSpec, frame: Any) -> None:
    """Refuse what no estimator can learn from, in words; *frame* holds the training rows."""
    if len(frame) < spec.train.min_rows:
        message = f"{spec.name}: {len(frame):,} training rows, train.min_rows asks for {spec.train.min_rows:,}."
        raise DataError(message, code="data_too_few_rows")
    _check_inputs(spec, frame)


def _check_inputs(spec: ModelSpec, frame: Any) -> None:
    for name in spec.inputs:
        if frame[name].isna().all():
            message = f"{spec.name}: column {name!r} all null ({len(frame):,} training rows); take it out of 'inputs'."
            raise DataError(message, code="data_column_degenerate")
