"""Times PyTorch on the cases of `cargo bench -p att-bench -- --serve`, in the same way.

Its argument is the device: cpu, or cuda. Reads lines `<operation>/<pass>/<variant>/torch/<shape> <seconds>` and answers each with a line of
JSON: the median seconds of a call, and the most bytes that PyTorch held during one beyond its
arguments. `pairs.py` starts it; OMP_NUM_THREADS says how many threads.

| operation | variants |
| --- | --- |
| additive_read | eager, compile |
| lstm_layer, gru_layer | packed (nn.utils.rnn.pack_padded_sequence), padded (lengths are ignored) |
| linear_cross_entropy | eager, compile |
"""

import json
import os
import sys
import tempfile
import time
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FEWEST_CALLS = 3
ON_GPU = sys.argv[1:] == ["cuda"]


def lengths(batch, length):
    """Of a ragged batch, as in benches/src/arguments.rs."""
    return [length - row % max(length // 2, 1) for row in range(batch)]


def additive(query, keys, v, memory, bias):
    scores = torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1)) @ v
    return torch.bmm(torch.softmax(scores + bias, 2), memory)


def additive_read(sizes, _ragged, variant):
    batch, tgt_len, src_len, d = sizes
    arguments = [
        torch.randn(batch, tgt_len, d),
        torch.randn(batch, src_len, d),
        torch.randn(d) / d**0.5,
        torch.randn(batch, src_len, 2 * d),
    ]
    real = torch.arange(src_len) < torch.tensor(lengths(batch, src_len)).unsqueeze(1)
    bias = torch.zeros(batch, 1, src_len).masked_fill(~real.unsqueeze(1), -1e9)
    read = torch.compile(additive, dynamic=False) if variant == "compile" else additive
    return arguments, lambda: read(*arguments, bias)


def layer(kind):
    def make(sizes, ragged, variant):
        batch, length, d_input, d = sizes
        module = kind(d_input, d, batch_first=True)
        x = torch.randn(batch, length, d_input)
        of = lengths(batch, length) if ragged else [length] * batch
        of = torch.tensor(of, device="cpu")

        def packed():
            packed = pack_padded_sequence(x, of, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(module(packed)[0], batch_first=True)[0]

        run = packed if variant == "packed" else lambda: module(x)[0]
        return [x, *module.parameters()], run

    return make


def loss(features, weight, bias, gold):
    return F.cross_entropy(features @ weight + bias, gold, reduction="sum", label_smoothing=0.1)


def linear_cross_entropy(sizes, _ragged, variant):
    tokens, d, vocab = sizes
    arguments = [torch.randn(tokens, d), torch.randn(d, vocab) / d**0.5, torch.randn(vocab)]
    gold = torch.arange(tokens) * 7 % vocab
    run = torch.compile(loss, dynamic=False) if variant == "compile" else loss
    return arguments, lambda: run(*arguments, gold)


OPERATIONS = {
    "additive_read": additive_read,
    "lstm_layer": layer(nn.LSTM),
    "gru_layer": layer(nn.GRU),
    "linear_cross_entropy": linear_cross_entropy,
}


def call_of(name):
    """The benchmark of this name, ready to be called."""
    operation, which, variant, _, shape = name.split("/")
    sizes, _, ragged = shape.partition("-")
    torch.manual_seed(0)
    sizes = [int(size) for size in sizes.split("x")]
    arguments, run = OPERATIONS[operation](sizes, bool(ragged), variant)
    backward = {"forward": False, "forward+backward": True}[which]
    for argument in arguments:
        argument.requires_grad_(backward)

    def call():
        if backward:
            torch.autograd.grad(run().sum(), arguments)
        else:
            with torch.inference_mode():
                run()
        if ON_GPU:
            torch.cuda.synchronize()

    return call


def peak_bytes(call):
    """By the record of PyTorch's own allocator."""
    if ON_GPU:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profile.export_chrome_trace(path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
    changes = [
        (event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]"
    ]
    held = peak = 0
    for _, change in sorted(changes, key=lambda change: change[0]):
        held += change
        peak = max(peak, held)
    return peak


def main():
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if ON_GPU:
        torch.set_default_device("cuda")
    known = {}
    for line in sys.stdin:
        name, seconds = line.split()
        if name not in known:
            call = call_of(name)
            call()
            known[name] = call, peak_bytes(call)
        call, peak = known[name]
        call()
        times = []
        end = time.perf_counter() + float(seconds)
        while len(times) < FEWEST_CALLS or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        answer = {
            "name": name,
            "seconds": median(times),
            "runs": len(times),
            "peak_bytes": peak,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
