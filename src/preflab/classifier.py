"""A linear sentiment classifier on word n-grams: the default labeller and, trained on other reviews, the judge.

Stands in for the people of the paper and for its classifier r_s, a transformer on Amazon reviews (paper §3.1.1); ours,
because it scores thousands of texts a second and can be read.
"""

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preflab.errors import PreflabError

FEATURES = {"ngram_range": (1, 2), "sublinear_tf": True, "lowercase": True}  # `count` assumes the first and the last
MIN_DF, MAX_FEATURES = 3, 60_000  # ours: terms in fewer texts tell nothing; the most frequent of the others
THREADS = 1  # ours: sums are split by thread, so their number must not be the machine's choice


@dataclass(slots=True)
class Classifier:
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


def train(texts: list[str], labels: list[int]) -> Classifier:
    """Fit on texts with labels 0 and 1; deterministic, however many cores the machine has."""
    from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if len(set(labels)) < 2:
        raise PreflabError(f"corpus: {len(texts)} labelled texts, all of one label; a sentiment classifier needs both")
    terms, counts = count(texts)
    if not terms:
        raise PreflabError(
            f"corpus: no word stands in {MIN_DF} of the {len(texts)} labelled texts; take a larger corpus"
        )
    weighting = TfidfTransformer(sublinear_tf=FEATURES["sublinear_tf"])
    with threadpool_limits(THREADS):
        model = LogisticRegression(C=4.0, max_iter=300).fit(weighting.fit_transform(counts), labels)
    vectorizer = TfidfVectorizer(**FEATURES, vocabulary=terms)
    vectorizer.idf_ = weighting.idf_
    return Classifier(vectorizer, model.coef_[0].astype(np.float64), float(model.intercept_[0]))


def count(texts: list[str], min_df: int = MIN_DF, max_features: int = MAX_FEATURES) -> tuple[list[str], Any]:
    """The terms, sorted, and how often each text has them: `[texts, terms]`, sparse.

    What sklearn's CountVectorizer finds with ngram_range=(1, 2), to the order of its entries, which decides the last
    digits; in a third of the time, because a pair of words is a number here: (1 + first) × words + second.
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer

    tokenize = TfidfVectorizer(**FEATURES).build_tokenizer()
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new word gets the next number
    found = [list(map(numbers.__getitem__, tokenize(text.lower()))) for text in texts]
    words = list(numbers)
    flat = np.fromiter(itertools.chain.from_iterable(found), np.int64)
    row = np.repeat(np.arange(len(texts)), list(map(len, found)))
    within = row[1:] == row[:-1]  # both words of the pair stand in one text
    keys = np.concatenate([flat, (len(words) * (1 + flat[:-1]) + flat[1:])[within]])
    row = np.concatenate([row, row[1:][within]])
    order = np.argsort(row, kind="stable")  # of each text its words, then its pairs
    keys, first, number = np.unique(keys[order], return_index=True, return_inverse=True)
    seen = np.argsort(first)  # terms as they appear: CountVectorizer's order of the entries of a row
    counts = csr_array((np.ones(len(number)), (row[order], np.argsort(seen)[number])), (len(texts), len(keys)))
    counts.sum_duplicates()

    def term(key: int) -> str:
        return words[key] if key < len(words) else f"{words[key // len(words) - 1]} {words[key % len(words)]}"

    frequent = np.flatnonzero(np.bincount(counts.indices, minlength=len(keys)) >= min_df)
    column = dict(zip(map(term, keys[seen[frequent]].tolist()), frequent.tolist(), strict=True))
    terms = sorted(column)
    columns = np.array([column[term] for term in terms], dtype=np.int64)
    top = np.sort((-counts.sum(0)[columns]).argsort()[:max_features])  # sklearn's choice among equally frequent terms
    return [terms[i] for i in top], counts[:, columns[top]]


def load(folder: Path, name: str) -> Classifier:
    """What `Classifier.save` wrote."""
    from safetensors.numpy import load_file
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not (folder / f"{name}.json").exists():
        raise PreflabError(f"{folder}/{name}.json: not found; `dvc repro` (stage prepare) trains it")
    record = json.loads((folder / f"{name}.json").read_text())
    arrays = load_file(folder / f"{name}.safetensors")
    vectorizer = TfidfVectorizer(**FEATURES, vocabulary=record["terms"])
    vectorizer.idf_ = arrays["idf"]
    return Classifier(vectorizer, arrays["coef"], record["intercept"])
