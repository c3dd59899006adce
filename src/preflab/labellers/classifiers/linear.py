"""A linear sentiment classifier on word n-grams: the default labeller and, trained on other reviews, the judge.

It stands in for the human labellers of the paper and for its classifier r_s, a transformer on Amazon reviews (paper
§3.1.1); ours, because it scores thousands of texts a second and its weights can be read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preflab.errors import PreflabError

FEATURES = {"ngram_range": (1, 2), "sublinear_tf": True, "lowercase": True}
MIN_DF = 3  # ours: terms in fewer texts tell nothing
THREADS = 1  # ours: sums are split by thread, so their number must not be the machine's choice


@dataclass(slots=True)
class LinearClassifier:
    """Log-odds that a text is positive: TF-IDF features times `coef` plus `intercept`."""

    vectorizer: Any
    coef: np.ndarray
    intercept: float

    def score(self, texts: list[str]) -> np.ndarray:
        """`[texts]` log-odds, float64."""
        return np.asarray(self.vectorizer.transform(texts) @ self.coef).ravel() + self.intercept

    def accuracy(self, texts: list[str], labels: list[int]) -> float:
        """Share of texts on the right side of 0."""
        return float(np.mean((self.score(texts) > 0) == np.array(labels, dtype=bool)))

    def save(self, folder: Path, name: str) -> None:
        """`<name>.json` (vocabulary, intercept) and `<name>.safetensors` (idf, coefficients)."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        terms = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.get)
        (folder / f"{name}.json").write_text(json.dumps({"intercept": self.intercept, "terms": terms}))
        save_file({"idf": self.vectorizer.idf_, "coef": self.coef}, folder / f"{name}.safetensors")


def train(texts: list[str], labels: list[int]) -> LinearClassifier:
    """Fit on texts with labels 0 and 1; deterministic on any number of cores.

    Raises PreflabError if all labels are equal or no term occurs in MIN_DF texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if len(set(labels)) < 2:
        raise PreflabError(f"corpus: {len(texts)} labelled texts, all of one label; a sentiment classifier needs both")
    vectorizer = TfidfVectorizer(**FEATURES, min_df=MIN_DF, max_features=60_000)
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError as error:  # no term is left
        raise PreflabError(
            f"corpus: no word stands in {MIN_DF} of the {len(texts)} labelled texts; take a larger corpus"
        ) from error
    with threadpool_limits(THREADS):
        model = LogisticRegression(C=4.0, max_iter=300).fit(features, labels)
    return LinearClassifier(vectorizer, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def load(folder: Path, name: str) -> LinearClassifier:
    """What `LinearClassifier.save` wrote; raises PreflabError if it did not."""
    from safetensors.numpy import load_file
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not (folder / f"{name}.json").exists():
        raise PreflabError(
            f"{folder}/{name}.json: not found; `dvc repro` (stage prepare) trains it, if the corpus of the queries has "
            "labels; else name one that has as classifier_corpus (docs/corpora.md), or take labeller=vader"
        )
    record = json.loads((folder / f"{name}.json").read_text())
    arrays = load_file(folder / f"{name}.safetensors")
    vectorizer = TfidfVectorizer(**FEATURES, vocabulary=record["terms"])
    vectorizer.idf_ = arrays["idf"]
    return LinearClassifier(vectorizer, arrays["coef"], record["intercept"])
