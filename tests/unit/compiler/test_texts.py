"""Vectorizers of texts count as scikit-learn's do: words, runs of characters, accents, capitals, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model, naive_bayes, pipeline
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer

from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import NotCompiled
from slipstream.model_schema import Field, Schema
from slipstream.packaging.parity.comparison import check

WORDS = [
    *("late", "Late", "train", "TRAIN", "café", "cafe", "Öl", "ol", "naïve", "ﬁsh", "don't", "a", "x1", "日本", "ß"),
    *("  ", "\t", "...", "the", "and", "İstanbul", "rain-storm", "ÉCOLE", "e\u0301cole"),
]
ODD = [
    "",
    " ",
    "a",
    "ab",
    "…",
    "  two   spaces\n here ",
    "ÀÉÎ",
    "\u017ftrange",
    "\u0130",
    "late late LATE",
    "\u2003x y",
    "é" * 50,
]


def sentences(rows: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(rows)]


VECTORIZERS: dict[str, Any] = {
    "counts": CountVectorizer(),
    "marks": CountVectorizer(binary=True, min_df=3),
    "pairs": CountVectorizer(ngram_range=(1, 2), max_features=60),
    "threes only": CountVectorizer(ngram_range=(3, 3), max_features=60),
    "as written": CountVectorizer(lowercase=False),
    "without accents": TfidfVectorizer(strip_accents="unicode"),
    "in ascii": TfidfVectorizer(strip_accents="ascii", sublinear_tf=True),
    "English": TfidfVectorizer(stop_words="english", norm="l1"),
    "own pattern": TfidfVectorizer(token_pattern=r"(\w)\w*", use_idf=False),
    "characters": TfidfVectorizer(analyzer="char", ngram_range=(1, 3), max_features=200),
    "characters of words": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), max_features=300),
    "weighed": pipeline.make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True)),
    "fewer": pipeline.make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0)),
}


def fitted(step: Any, model: Any) -> tuple[Any, Schema]:
    texts = sentences(300, 0)
    inputs = pd.DataFrame({"note": texts, "size": np.arange(300.0) % 17})
    target = np.array(["late" in text.lower() or len(text) % 3 == 0 for text in texts])
    prepare = ColumnTransformer([("note", step, "note"), ("size", "passthrough", ["size"])])
    made = pipeline.Pipeline([("prepare", prepare), ("model", model)]).fit(inputs, target)
    return made, Schema("binary", "y", (Field("note", "string", False), Field("size", "number", False)), (False, True))


@pytest.mark.parametrize("name", VECTORIZERS)
@pytest.mark.parametrize("model", [linear_model.LogisticRegression(max_iter=2000), naive_bayes.BernoulliNB()])
def test_vectorizers(name: str, model: Any) -> None:
    made, schema = fitted(VECTORIZERS[name], model)
    compiled = compile_pipeline(made, schema)
    engine, peer = CompiledEngine(compiled.files), SklearnEngine(schema, made)
    texts = sentences(200, 1) + ODD
    held = {"note": texts, "size": [float(place % 19) for place in range(len(texts))]}
    np.testing.assert_allclose(engine.run(held), peer.run(held), rtol=1e-9, atol=1e-9)
    assert check(engine, peer, schema, [held], compiled.edges).passed
    alone = engine.run({"note": texts[:1], "size": held["size"][:1]})
    np.testing.assert_allclose(alone[0], peer.run(held)[0], rtol=1e-9)


REFUSED: dict[str, tuple[Any, str]] = {
    "hashes": (HashingVectorizer(n_features=32), "HashingVectorizer is no transformer"),
    "own analyzer": (CountVectorizer(analyzer=str.split), "a way of its own"),
    "own tokenizer": (CountVectorizer(tokenizer=str.split, token_pattern=None), "a way of its own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    step, reason = REFUSED[name]
    made, schema = fitted(step, linear_model.LogisticRegression(max_iter=2000))
    with pytest.raises(NotCompiled, match=reason):
        compile_pipeline(made, schema)


def test_a_large_vocabulary_is_refused() -> None:
    words = [f"word{number}" for number in range(2001)]
    made, schema = fitted(CountVectorizer(vocabulary=words), linear_model.LogisticRegression(max_iter=2000))
    with pytest.raises(NotCompiled, match="2,001 words"):
        compile_pipeline(made, schema)
