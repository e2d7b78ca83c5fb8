#!/usr/bin/env python3
"""The synthetic data of performance.md: base, query and truth files of clustered vectors, 128 components, Euclidean.

usage: clustered.py ROWS PREFIX     writes PREFIX.base.fbin, PREFIX.query.fbin, PREFIX.truth.ibin; needs numpy
"""
import sys

import numpy as np

N_QUERIES, DIMENSION, N_CENTRES, N_DIRECTIONS, K = 1_000, 128, 2_000, 24, 100


def save(path, table, dtype):
    with open(path, "wb") as file:
        np.array(table.shape, dtype=np.uint32).tofile(file)
        table.astype(dtype).tofile(file)


def nearest(base, query):
    """The K nearest rows of base to each query, best first."""
    squares = (base.astype(np.float64) ** 2).sum(axis=1)
    found = []
    for part in np.array_split(query, 20):
        ranks = squares - 2 * (part.astype(np.float64) @ base.T.astype(np.float64))
        few = np.argpartition(ranks, K, axis=1)[:, :K]
        order = np.argsort(np.take_along_axis(ranks, few, axis=1), axis=1)
        found.append(np.take_along_axis(few, order, axis=1))
    return np.concatenate(found)


if __name__ == "__main__":
    rows, prefix = int(sys.argv[1]), sys.argv[2]
    random = np.random.default_rng(7)
    centres = random.normal(size=(N_CENTRES, DIMENSION)).astype(np.float32)
    directions = random.normal(size=(N_DIRECTIONS, DIMENSION)).astype(np.float32) / np.sqrt(N_DIRECTIONS)
    weights = random.pareto(1.5, size=N_CENTRES) + 0.2
    weights /= weights.sum()

    def draw(n):
        centre = random.choice(N_CENTRES, size=n, p=weights)
        along = random.normal(size=(n, N_DIRECTIONS)).astype(np.float32)
        noise = random.normal(size=(n, DIMENSION)).astype(np.float32)
        return (centres[centre] * 0.6 + along @ directions * 0.7 + noise * 0.25).astype(np.float32)

    base, query = draw(rows), draw(N_QUERIES)
    save(f"{prefix}.base.fbin", base, np.float32)
    save(f"{prefix}.query.fbin", query, np.float32)
    save(f"{prefix}.truth.ibin", nearest(base, query), np.uint32)
