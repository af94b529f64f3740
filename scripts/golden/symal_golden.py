#!/usr/bin/env python3
"""Golden values for the symmetrisation of alignments: crates/att-inspect/tests/golden/symal.json.

Made with the functions of Moses' symal (https://github.com/moses-smt/mosesdecoder, commit 14d2a67, `symal/symal.cpp`),
copied behind a `main` that reads the options below without its `cmd.c`; symal itself takes the same options and input:

    python3 scripts/golden/symal_golden.py path/to/symal

Random alignments of two directions: in one each target word has at most one source word, in the other each
source word at most one target word, half of the links near the diagonal so that there is something to grow.
"""

import json
import pathlib
import random
import subprocess
import sys

METHODS = {
    "intersection": ["-a=i"],
    "union": ["-a=u"],
    "grow-diag": ["-a=g", "-d=yes", "-f=no", "-b=no"],
    "grow-diag-final": ["-a=g", "-d=yes", "-f=yes", "-b=no"],
    "grow-diag-final-and": ["-a=g", "-d=yes", "-f=yes", "-b=yes"],
}


def pointers(rng, n, m):
    """For each of n words a word among m, counted from 1, or 0."""
    near = [min(m, max(1, round((i + 0.5) / n * m) + rng.choice([-1, 0, 0, 1]))) for i in range(n)]
    return [rng.choice([near[i], near[i], near[i], rng.randint(1, m), 0]) for i in range(n)]


def main():
    symal = sys.argv[1]
    rng = random.Random(1)
    cases, bal = [], []
    for _ in range(120):
        src_len, tgt_len = rng.randint(1, 14), rng.randint(1, 14)
        forward, reverse = pointers(rng, tgt_len, src_len), pointers(rng, src_len, tgt_len)
        words = lambda n: " ".join("w" for _ in range(n))
        numbers = lambda pointers: " ".join(map(str, pointers))
        # symal reads the target with its source words first.
        bal.append(f"1\n{tgt_len} {words(tgt_len)} # {numbers(forward)}\n{src_len} {words(src_len)} # {numbers(reverse)}\n")
        cases.append({
            "forward": " ".join(f"{s - 1}-{t}" for t, s in enumerate(forward) if s),
            "reverse": " ".join(f"{s}-{t - 1}" for s, t in enumerate(reverse) if t),
        })
    for method, options in METHODS.items():
        run = subprocess.run([symal, *options], input="".join(bal), capture_output=True, text=True, check=True)
        lines = run.stdout.split("\n")[: len(cases)]
        for case, line in zip(cases, lines, strict=True):
            case[method] = line.strip()
    path = pathlib.Path(__file__).parents[2] / "crates/att-inspect/tests/golden/symal.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
