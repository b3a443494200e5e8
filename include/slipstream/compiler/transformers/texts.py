"""Vectorizers of texts, with a vocabulary and ways of reading that are scikit-learn's own."""

from __future__ import annotations

from typing import Any

from slipstream.compiler.feature_column import Columns, Node, matrix
from slipstream.compiler.program import NotCompiled, Text

MOST_WORDS = 2_000
"""A vocabulary of more words is not compiled: rows are full here and sparse there, and so quicker."""


def _counts(step: Any, columns: Columns) -> Node:
    if len(columns) != 1 or not columns[0].word or columns[0].evaluate:
        raise NotCompiled("a vectorizer reads something else than one text as it is")
    own = [name for name in ("preprocessor", "tokenizer") if getattr(step, name) is not None]
    if own or callable(step.analyzer) or callable(step.strip_accents) or step.input != "content":
        raise NotCompiled("a vectorizer reads texts in a way of its own")
    words = sorted(step.vocabulary_, key=step.vocabulary_.get)
    if len(words) > MOST_WORDS:
        raise NotCompiled(f"its vocabulary has {len(words):,} words, and at most {MOST_WORDS:,} are compiled")
    low, high = map(int, step.ngram_range)
    text = Text(
        name=columns[0].source,
        words=[str(word) for word in words],
        analyzer=step.analyzer,
        pattern=step.token_pattern if step.analyzer == "word" else "",
        stopped=sorted(step.get_stop_words() or ()) if step.analyzer == "word" else [],
        low=low,
        high=high,
        lower=bool(step.lowercase),
        accents=step.strip_accents,
        binary=bool(step.binary),
    )
    return Node("text", (), len(words), text=text)


def _weighed(step: Any, values: Node) -> Node:
    values = values.then("sublinear") if step.sublinear_tf else values
    values = values.then("mul", step.idf_) if hasattr(step, "idf_") else values
    return values if step.norm is None else values.then("normalized", {"l1": 1, "l2": 2, "max": 0}[step.norm])


def _counter(step: Any, columns: Columns) -> Columns:
    return _counts(step, columns).features()


def _tf_idf(step: Any, columns: Columns) -> Columns:
    return _weighed(step._tfidf, _counts(step, columns)).features()


def _weights(step: Any, columns: Columns) -> Columns:
    return _weighed(step, matrix(columns)).features()


def _texts(step: Any, columns: Columns) -> Columns:
    """The texts of ``slipstream.trainers.texts``, each behind its own vectorizer; a missing one counts as empty."""
    features: Columns = []
    for vectorizer, column in zip(step.vectorizers_, columns, strict=True):
        known = TEXTS.get(type(vectorizer).__name__)
        if known is None:
            raise NotCompiled(f"{type(vectorizer).__name__} is no vectorizer that is compiled")
        features += known(vectorizer, [column])
    return features


TEXTS = {"Texts": _texts, "CountVectorizer": _counter, "TfidfVectorizer": _tf_idf, "TfidfTransformer": _weights}
