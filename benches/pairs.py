#!/usr/bin/env python3
"""Runs two builds of `benches/rates.rs` in turn and tells the ratio of each rate, after to before: the median of all pairs and
the interval that holds it with 95 % confidence (order statistics). Needs nothing but Python.

usage: pairs.py BEFORE AFTER [PAIRS, 15 by default]
"""

import json
import statistics
import subprocess
import sys
from math import comb


def run(program):
    out = subprocess.run([program, "--bench"], capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def interval(ratios):
    """The narrowest pair of order statistics that holds the median with 95 % confidence."""
    ratios, n = sorted(ratios), len(ratios)
    below = 0
    while sum(comb(n, k) for k in range(below + 1)) / 2**n <= 0.025:
        below += 1
    return ratios[max(below - 1, 0)], ratios[n - max(below, 1)]


def main():
    before, after = sys.argv[1:3]
    n_pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    pairs = []
    for pair in range(n_pairs):
        # Each goes first in turn.
        order = [before, after] if pair % 2 == 0 else [after, before]
        told = {program: run(program) for program in order}
        pairs.append((told[before], told[after]))
        print(f"pair {pair + 1} of {n_pairs}", file=sys.stderr)
    for name in ["recall", "codes", "hops", "rescored"]:
        old, new = (statistics.median(pair[side][name] for pair in pairs) for side in (0, 1))
        print(f"{name:36} {old:>12.6g} before {new:>12.6g} after")
    for name in pairs[0][0]["rates"]:
        ratios = [new["rates"][name] / old["rates"][name] for old, new in pairs]
        low, high = interval(ratios)
        rate = statistics.median(old["rates"][name] for old, _ in pairs)
        print(f"{name:36} {rate:>12.0f}/s before   x {statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]")


main()
