#!/usr/bin/env python3
"""Ours against PyTorch and burn-nn, in turn in one run: medians of the pairs' ratios.

    python scripts/bench/pairs.py [additive|recurrent|output ...] [--pairs 5] [--threads 2] [--seconds 0.7]
    python scripts/bench/pairs.py --device cuda:0       # or wgpu: PyTorch takes its own GPU

Needs torch (2.15 was used) in the Python that runs it. Each of the two programs stays alive and
waits while the other one works; a round lets each benchmark of a comparison run once, ours first
and last in turn. Prints a Markdown table. Memory on a GPU is PyTorch's only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
BOTH = "forward+backward"

# Of each section: operation, pass, shape, and what ours is compared with.
EAGER, COMPILE = "eager/torch", "compile/torch"
LAYER = ["packed/torch", "padded/torch", "burn-nn/ours"]
SECTIONS = {
    "additive": [
        ("additive_read", "forward", "64x25x25x512", [EAGER, COMPILE]),
        ("additive_read", BOTH, "64x25x25x512", [EAGER, COMPILE]),
        ("additive_read", "forward", "4x400x400x512", [EAGER, COMPILE]),
        ("additive_read", BOTH, "4x400x400x512", [EAGER, COMPILE]),
    ],
    "recurrent": [
        (operation, which, shape, LAYER)
        for operation in ("lstm_layer", "gru_layer")
        for shape in ("64x25x256x512-ragged", "64x25x256x512")
        for which in ("forward", BOTH)
    ],
    "output": [
        ("linear_cross_entropy", which, "830x512x8000", [EAGER, COMPILE, "reference/ours"])
        for which in ("forward", BOTH)
    ],
}


def our_program(backend):
    """Builds the benchmarks and returns the path of the program."""
    command = ["cargo", "bench", "--locked", "-p", "att-bench", "--bench", "att", "--no-run"]
    if backend in ("cuda", "wgpu"):
        command += ["--features", backend]
    output = subprocess.run(
        [*command, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "att":
            return message["executable"]
    sys.exit("cargo built no benchmark")


class Worker:
    """A program that answers each line `<name> <seconds>` with a line of JSON."""

    def __init__(self, command, threads):
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, name, seconds):
        self.process.stdin.write(f"{name} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"no answer for {name}")
        return json.loads(line)


def compare(workers, case, options):
    """Yields a row for each of those that ours is compared with."""
    operation, which, shape, others = case
    variants = [v.replace("/ours", f"/{options.device}") for v in ["fused/ours", *others]]
    names = [f"{operation}/{which}/{variant}/{shape}" for variant in variants]
    answers = {name: [] for name in names}
    for pair in range(options.pairs):
        for name in names if pair % 2 == 0 else reversed(names):
            worker = workers["torch" if "/torch/" in name else "ours"]
            answers[name].append(worker.ask(name, options.seconds))
            # Threads of the one program that still wait for work would disturb the other.
            time.sleep(0.3)

    def seconds(name):
        return [answer["seconds"] for answer in answers[name]]

    ours = names[0]
    for name, other in zip(names[1:], others):
        ratios = sorted(theirs / mine for theirs, mine in zip(seconds(name), seconds(ours)))
        memory = [answers[of][0]["peak_bytes"] / 1e6 for of in (ours, name)]
        yield (
            f"| {operation} | {shape} | {which} | {other.split('/')[0]} "
            f"| {median(seconds(ours)) * 1e3:.2f} | {median(seconds(name)) * 1e3:.2f} "
            f"| **{median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
            f"| {memory[0]:.1f} | {memory[1]:.1f} |"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each turn, at least")
    parser.add_argument("--device", default="flex", help="ours; PyTorch's is CPU or GPU likewise")
    parser.add_argument("--program", help="the benchmarks, if they are not to be built here")
    options = parser.parse_args()
    backend = options.device.split(":")[0]
    program = options.program or our_program(backend)
    theirs = "cuda" if backend in ("cuda", "wgpu") else "cpu"
    worker = str(Path(__file__).with_name("torch_worker.py"))
    workers = {
        "ours": Worker([program, "--serve", "--backend", options.device], options.threads),
        "torch": Worker([sys.executable, worker, theirs], options.threads),
    }
    print("| operation | shape | pass | against | ours, ms | theirs, ms | ratio | MB | their MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for section in options.sections:
        for case in SECTIONS[section]:
            for row in compare(workers, case, options):
                print(row, flush=True)
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()


if __name__ == "__main__":
    main()
