"""Holds scores of searches by words against those of bm25s.

`cargo bench --bench text -- dump FOLDER`, then `python3 benches/reference.py FOLDER`; needs `pip install bm25s numpy`.
"""

import json
import sys

import bm25s
import numpy


def lines(name):
    with open(f"{sys.argv[1]}/{name}", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


texts, answers = lines("texts.jsonl"), lines("answers.jsonl")
numbers = {}
tokens = [[numbers.setdefault(word, len(numbers)) for word in text["words"]] for text in texts]
places = {text["id"]: place for place, text in enumerate(texts)}
index = bm25s.BM25(method="lucene", k1=1.2, b=0.75, dtype="float64")
index.index(bm25s.tokenization.Tokenized(ids=tokens, vocab=numbers), show_progress=False)

worst, n_scores = 0.0, 0
for answer in answers:
    known = [numbers[word] for word in answer["words"] if word in numbers]
    expected = index.get_scores_from_ids(known) if known else numpy.zeros(len(texts))
    best = numpy.sort(expected)[::-1]
    for rank, (name, score) in enumerate(answer["hits"]):
        worst = max(worst, abs(expected[places[name]] - score), abs(best[rank] - score))
        n_scores += 1
print(f"{len(answers)} queries, {n_scores} scores, largest difference {worst:.2e}")
sys.exit(1 if worst > 1e-4 else 0)
