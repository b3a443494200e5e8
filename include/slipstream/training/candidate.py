"""A candidate: a fitted model that is not a version yet, and all that later stages must know of how it was made."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from slipstream.bundle.project_code import ProjectCode
from slipstream.runs import Result, find_result
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.training.split_boundaries import Boundaries, Counts

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Trained(Result):
    """A candidate.

    Attributes:
        candidate: Its id, which is the run's: ``train-...``, or ``import-...`` of a model that was fitted elsewhere.
        model: Digest of the fitted estimator (skops, canonical bytes).
        dataset: The dataset version that it was trained on; an imported one is judged on its held-out rows.
        details: Digest of the :class:`Training` record.
        cutoff: Where the held-out rows begin (ISO 8601); empty for data without event time.
    """

    candidate: str
    model: str
    dataset: str
    details: str
    rows_train: int
    rows_holdout: int
    rows_unlabelled: int
    cutoff: str


@dataclass(frozen=True)
class Training:
    """All that a later stage must know of how a candidate was made; kept as a JSON object.

    Attributes:
        inputs: ``(name, DuckDB type)`` of each input, in order.
        classes: The labels in the order of ``predict_proba``, of a binary task the positive one last; empty for
            regression.
        positive: For a binary task the label whose probability is meant.
        trainer: The spec's trainer; of an imported model what it is, in the same form.
        threads: OpenMP threads that there were; a trainer may use fewer.
        libraries: Versions of the libraries that decide the result.
        split: By what rows are held out, in words.
        warnings: What makes the figures on them doubtful.
        code: Of a model with code of its own: file -> digest of the object that holds its source.
        imported: Of a model that was fitted elsewhere: the format and sha256 of the file, and the library that
            answers.
    """

    task: str
    target: str
    inputs: tuple[tuple[str, str], ...]
    classes: tuple[bool | int | str, ...]
    positive: bool | int | str | None
    boundaries: Boundaries
    counts: Counts
    trainer: dict[str, Any]
    seed: int
    threads: int
    libraries: dict[str, str]
    split: str = ""
    warnings: tuple[str, ...] = ()
    code: dict[str, str] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """JSON values; without code and origin as before there were any, so that equal records are one object."""
        later = {"code": self.code, "imported": self.imported}
        return {name: value for name, value in asdict(self).items() if later.get(name, True)}


def as_trained(spec: ModelSpec, store: Store, identity: tuple[str, str, str], training: Training) -> Trained:
    """The result of the run that made a candidate; keeps its record, and says in the log what it says.

    Args:
        spec: The model.
        store: Where the record is kept.
        identity: The run, the digest of the fitted estimator and the dataset version.
        training: The record.
    """
    run, model, dataset = identity
    _log.info("%s: %s", spec.name, training.split)
    for warning in training.warnings:
        _log.warning("%s: %s", spec.name, warning)
    return Trained(
        candidate=run,
        model=model,
        dataset=dataset,
        details=store.objects.put_json(training.plain()),
        rows_train=training.counts.train,
        rows_holdout=training.counts.holdout,
        rows_unlabelled=training.counts.unlabelled,
        cutoff=training.boundaries.cutoff,
    )


def load_training(spec: ModelSpec, store: Store, candidate: str) -> tuple[Trained, Training]:
    """The finished training of that candidate and its record; raises StageError ``run_not_found``."""
    trained = find_result(store, spec, candidate, Trained)
    return trained, msgspec.convert(store.objects.get_json(trained.details), Training)


def load_code(store: Store, training: Training) -> ProjectCode:
    """The code of its own that a candidate was fitted with."""
    return ProjectCode({name: store.objects.get(digest) for name, digest in training.code.items()})
