#!/usr/bin/env python3
"""Writes what PyTorch says of small models: the golden values of att-model.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 entmax==1.3
    python scripts/golden/torch_golden.py

Each folder of crates/att-model/tests/golden is a case. Its model.toml is written by hand and names
every setting that counts (dropout and noise are zero everywhere). From it this script builds the model of
torch's own modules, in float64, draws weights and a batch from the folder's name, and writes:

- weights.safetensors: the weights, named and laid out as att-model's. A matrix is [d_in, d_out],
  the transpose of torch's. The bias of an LSTM is the sum of torch's two; so is that of a GRU's
  gates r and z, while its gate n keeps both, since one of them stands inside the reset gate.
- expected.safetensors: the batch (`src`, `tgt` and their lengths), `vocab` (source, target),
  `memory`, `final.<layer>.hidden` and `.cell`; of each real target position `gold`, `logits` and,
  with attention, `weights`; `loss`, the cross-entropy with label smoothing 0.1 and, where it is asked
  for, the coverage loss; and `grad.<name>`, the gradient of the loss for each weight.

Read by crates/att-model/tests/golden.rs. A run on the same folders gives the same files.
"""

import math
import pathlib
import tomllib
import zlib

import entmax
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "crates/att-model/tests/golden"

PAD, BOS, EOS, N_SPECIAL = 0, 2, 3, 4
SRC_VOCAB, TGT_VOCAB = 11, 13
# Ordinary tokens of each row: the second source is EOS alone, the third target too.
SRC_TOKENS, TGT_TOKENS = [5, 0, 2], [2, 4, 0]
SMOOTHING = 0.1

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}
CELL = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}


class Encoder(nn.Module):
    """Layers of nn.LSTM or nn.GRU over packed sequences."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_hidden = config["d_hidden"]
        self.directions = 2 if config["bidirectional"] else 1
        self.d_memory = self.directions * self.d_hidden
        self.n_layers, self.residual = config["layers"], config["residual"]
        # torch stacks layers itself, unless something stands between them.
        if config["residual"] or config["layer_norm"]:
            sizes = [(d_input, 1)] + [(self.d_memory, 1)] * (self.n_layers - 1)
        else:
            sizes = [(d_input, self.n_layers)]
        self.blocks = nn.ModuleList(
            RECURRENT[config["cell"]](
                d, self.d_hidden, n, batch_first=True, bidirectional=config["bidirectional"]
            )
            for d, n in sizes
        )
        norm = nn.LayerNorm if config["layer_norm"] else nn.Identity
        self.norms = nn.ModuleList(norm(self.d_memory) for _ in sizes)

    def forward(self, x, lengths):
        """The memory and each layer's final (hidden, cell); the cell of a GRU is None."""
        finals = []
        real = torch.arange(x.shape[1]) < lengths[:, None]
        for block, norm in zip(self.blocks, self.norms):
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            packed, final = block(packed)
            y, _ = pad_packed_sequence(packed, batch_first=True)
            y = norm(y)
            x = y + x if self.residual and x.shape == y.shape else y
            final = final if isinstance(final, tuple) else (final, None)
            finals += zip(*map(self.by_layer, final))
        return x * real[..., None], finals

    def by_layer(self, state):
        """[layers * directions, batch, d] to a list of [batch, directions * d]."""
        if state is None:
            return [None] * self.n_layers
        return [torch.cat(list(s), 1) for s in state.unflatten(0, (-1, self.directions))]

    def ours(self, name):
        layers = [(b, i) for b in self.blocks for i in range(b.num_layers)]
        for layer, (block, inner) in enumerate(layers):
            place = f"{name}.layers.{layer}"
            yield from recurrent(f"{place}.forward", block, f"_l{inner}")
            if self.directions == 2:
                yield from recurrent(f"{place}.backward", block, f"_l{inner}_reverse")
            if isinstance(norm := self.norms[min(layer, len(self.norms) - 1)], nn.LayerNorm):
                yield f"{place}.norm.gamma", norm.weight, norm.weight.grad
                yield f"{place}.norm.beta", norm.bias, norm.bias.grad


class Scorer(nn.Module):
    def __init__(self, config, d_query, d_memory, n_signals=0):
        super().__init__()
        self.kind = config["kind"]
        if self.kind == "general":
            self.key = nn.Linear(d_memory, d_query, bias=False)
        elif self.kind == "bilinear":
            self.query = nn.Linear(d_query, d_memory)
        elif self.kind == "cosine":
            self.log_sharpness = nn.Parameter(torch.zeros(1))
        elif self.kind == "location":
            self.position = nn.Linear(d_query, config["max_src_len"], bias=False)
        elif self.kind == "concat":
            self.joined = nn.Linear(d_query + d_memory, config["d_attn"], bias=False)
        elif self.kind == "additive":
            self.query = nn.Linear(d_query, config["d_attn"])
            self.key = nn.Linear(d_memory, config["d_attn"], bias=False)
        if self.kind in ("concat", "additive"):
            self.v = nn.Linear(config["d_attn"], 1, bias=False)
        self.signals = nn.Linear(n_signals, config["d_attn"], bias=False) if n_signals else None

    def forward(self, query, memory, signals=None):
        """[batch, d_query] and [batch, src_len, d_memory] to [batch, src_len]."""
        if self.kind in ("concat", "additive"):
            each = query[:, None].expand(-1, memory.shape[1], -1)
            if self.kind == "concat":
                hidden = self.joined(torch.cat([each, memory], 2))
            else:
                hidden = self.query(each) + self.key(memory)
            if self.signals:
                hidden = hidden + self.signals(signals)
            return self.v(torch.tanh(hidden))[..., 0]
        if self.kind == "location":
            return self.position(query)[:, : memory.shape[1]]
        if self.kind == "bilinear":
            query = self.query(query)
        elif self.kind == "cosine":
            scores = F.cosine_similarity(query[:, None], memory, dim=2)
            return scores * self.log_sharpness.exp()
        keys = self.key(memory) if self.kind == "general" else memory
        scores = torch.einsum("bd,bsd->bs", query, keys)
        return scores / math.sqrt(query.shape[1]) if self.kind == "scaled_dot" else scores

    def ours(self, name):
        name = f"{name}.{''.join(part.capitalize() for part in self.kind.split('_'))}"
        if self.kind in ("general", "additive"):
            yield from linear(f"{name}.key", self.key)
        if self.kind in ("bilinear", "additive"):
            yield from linear(f"{name}.query", self.query)
        if self.kind == "cosine":
            yield f"{name}.log_sharpness", self.log_sharpness, self.log_sharpness.grad
        if self.kind == "location":
            yield from linear(f"{name}.position", self.position)
        if self.kind == "concat":
            yield f"{name}.weight", self.joined.weight.T, self.joined.weight.grad.T
        if self.kind in ("concat", "additive"):
            yield f"{name}.v", self.v.weight[0], self.v.weight.grad[0]


class Normaliser(nn.Module):
    def __init__(self, config, d_query, d_memory):
        super().__init__()
        self.kind, self.config = config["kind"], config
        if self.kind in ("monotonic", "mocha"):
            self.offset = nn.Parameter(torch.zeros(1))
        if self.kind == "mocha":
            self.scorer = Scorer(config["scorer"], d_query, d_memory)

    def forward(self, scores, seen, query, memory, alignment):
        """The weights, and where the head stands; a sum over the ways to each state."""
        hidden = scores.masked_fill(~seen, -1e9)
        if self.kind == "softmax":
            return torch.softmax(hidden / self.config.get("temperature", 1.0), 1), alignment
        if self.kind == "sparsemax":
            return entmax.sparsemax(hidden, dim=1), alignment
        if self.kind == "entmax15":
            return entmax.entmax15(hidden, dim=1), alignment
        p = torch.sigmoid(scores + self.offset) * seen
        src_len = p.shape[1]
        reach = [
            sum(alignment[:, k] * (1 - p[:, k:s]).prod(1) for k in range(s + 1))
            for s in range(src_len)
        ]
        alignment = p * torch.stack(reach, 1)
        if self.kind == "monotonic":
            return alignment, alignment
        u = self.scorer(query, memory)
        weights = torch.zeros_like(alignment)
        for k in range(src_len):
            chunk = range(max(k - self.config["chunk"] + 1, 0), k + 1)
            shares = torch.softmax(hidden_of(u, seen)[:, chunk.start : chunk.stop], 1)
            part = F.pad(shares, (chunk.start, src_len - chunk.stop))
            weights = weights + alignment[:, k : k + 1] * part
        return weights, alignment

    def ours(self, name):
        name = f"{name}.{self.kind.capitalize()}"
        if self.kind == "mocha":
            yield from self.scorer.ours(f"{name}.scorer")
            name = f"{name}.monotonic"
        if self.kind in ("monotonic", "mocha"):
            yield f"{name}.offset", self.offset, self.offset.grad


def hidden_of(scores, seen):
    return scores.masked_fill(~seen, -1e9)


class Window(nn.Module):
    def __init__(self, config, d_query):
        super().__init__()
        self.kind, self.config = config["kind"], config
        if self.kind == "local_p":
            self.hidden = nn.Linear(d_query, config["d_attn"], bias=False)
            self.v = nn.Linear(config["d_attn"], 1, bias=False)

    def forward(self, query, step, real):
        """What is seen, and what its weights are multiplied by: both [batch, src_len]."""
        places = torch.arange(real.shape[1])[None]
        lengths = real.sum(1, keepdim=True)
        if self.kind == "local_p":
            position = lengths * torch.sigmoid(self.v(torch.tanh(self.hidden(query))))
            centre = position.detach().round()
        else:
            # Halves go away from zero.
            centre = torch.full_like(lengths, math.floor(step * self.config["ratio"] + 0.5))
        centre = torch.minimum(centre, lengths - 1)
        if self.kind == "chunked":
            size = self.config["size"]
            return real & (places // size == centre // size), 1.0
        near = real & ((places - centre).abs() <= self.config["radius"])
        if self.kind == "local_m":
            return near, 1.0
        sigma = self.config["radius"] / 2
        return near, torch.exp(-((places - position) ** 2) / (2 * sigma**2))

    def ours(self, name):
        if self.kind == "local_p":
            yield from linear(f"{name}.LocalP.hidden", self.hidden)
            yield from linear(f"{name}.LocalP.v", self.v)


class Attention(nn.Module):
    def __init__(self, config, d_query, d_memory):
        super().__init__()
        self.history = config.get("history", {"kind": "none"})
        self.coverage_loss = config.get("coverage_loss", 0.0)
        n_signals = {"none": 0, "coverage": 1}.get(self.history["kind"], None)
        if n_signals is None:
            n_signals, width = self.history["filters"], self.history["width"]
            self.filters = nn.Conv1d(1, n_signals, width, padding=width // 2, bias=False)
        self.scorer = Scorer(config["scorer"], d_query, d_memory, n_signals)
        normaliser = config.get("normaliser", {"kind": "softmax"})
        self.normaliser = Normaliser(normaliser, d_query, d_memory)
        self.window = Window(config["window"], d_query) if "window" in config else None

    def start(self, real):
        """The step, the last weights, their sum so far, and where a head stands."""
        zeros = torch.zeros(real.shape)
        return 0, zeros, zeros, F.one_hot(torch.zeros(len(real), dtype=torch.long), real.shape[1])

    def forward(self, query, memory, real, state):
        """One step: [batch, d_query] to the context, the weights [batch, src_len] and the state."""
        step, last, coverage, alignment = state
        signals = None
        if self.history["kind"] == "coverage":
            signals = coverage[..., None]
        elif self.history["kind"] == "location_sensitive":
            read = coverage if self.history["cumulative"] else last
            signals = self.filters(read[:, None]).transpose(1, 2)
        seen, prior = self.window(query, step, real) if self.window else (real, 1.0)
        scores = self.scorer(query, memory, signals)
        weights, alignment = self.normaliser(scores, seen, query, memory, alignment)
        weights = weights * prior
        state = step + 1, weights, coverage + weights, alignment
        return torch.einsum("bs,bsd->bd", weights, memory), weights, state

    def ours(self, name):
        yield from self.scorer.ours(f"{name}.scorer")
        yield from self.normaliser.ours(f"{name}.normaliser")
        if self.window:
            yield from self.window.ours(f"{name}.window")
        if self.history["kind"] == "coverage":
            yield from linear(f"{name}.history.Coverage.projection", self.scorer.signals)
        elif self.history["kind"] == "location_sensitive":
            name = f"{name}.history.LocationSensitive"
            yield from linear(f"{name}.projection", self.scorer.signals)
            yield f"{name}.filters", self.filters.weight, self.filters.weight.grad


class Stack(nn.Module):
    """A decoder's recurrence: nn.LSTMCell or nn.GRUCell, one upon the other, step by step."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_hidden, self.residual = config["d_hidden"], config["residual"]
        self.lstm = config["cell"] == "lstm"
        sizes = [d_input] + [self.d_hidden] * (config["layers"] - 1)
        self.cells = nn.ModuleList(CELL[config["cell"]](d, self.d_hidden) for d in sizes)

    def forward(self, x, states):
        """The top layer's output and each layer's (hidden, cell)."""
        after = []
        for cell, (h, c) in zip(self.cells, states):
            h, c = cell(x, (h, c)) if self.lstm else (cell(x, h), None)
            after.append((h, c))
            x = h + x if self.residual and x.shape == h.shape else h
        return x, after

    def ours(self, name):
        for layer, cell in enumerate(self.cells):
            yield from recurrent(f"{name}.layers.{layer}", cell, "")


class Bridge(nn.Module):
    def __init__(self, kind, stack, d_final):
        super().__init__()
        self.kind, self.lstm = kind, stack.lstm
        self.n_layers, self.d_hidden = len(stack.cells), stack.d_hidden
        n = self.n_layers if kind in ("final", "mean") else 0
        linears = lambda n: nn.ModuleList(nn.Linear(d_final, self.d_hidden) for _ in range(n))
        self.hidden, self.cell = linears(n), linears(n if self.lstm else 0)

    def forward(self, memory, lengths, finals):
        if self.kind == "copy":
            assert len(finals) == self.n_layers
            return finals
        if self.kind == "zeros":
            zeros = torch.zeros(len(memory), self.d_hidden)
            return [(zeros, zeros if self.lstm else None)] * self.n_layers
        if self.kind == "mean":
            mean = torch.stack([row[:n].mean(0) for row, n in zip(memory, lengths)])
            finals = [(mean, None)]
        states = []
        for layer in range(self.n_layers):
            # The top layer from the top, counting down; what is left from the lowest.
            h, c = finals[max(len(finals) - self.n_layers + layer, 0)]
            c = h if c is None else c
            cell = torch.tanh(self.cell[layer](c)) if self.lstm else None
            states.append((torch.tanh(self.hidden[layer](h)), cell))
        return states

    def ours(self, name):
        for part, projections in [("hidden", self.hidden), ("cell", self.cell)]:
            for layer, projection in enumerate(projections):
                yield from linear(f"{name}.projections.{layer}.{part}", projection)


class Decoder(nn.Module):
    """All three kinds, step by step over a known target."""

    def __init__(self, config, embedding, tie_output, encoder):
        super().__init__()
        self.kind, self.embedding = config["kind"], embedding
        d_embed, d_memory = embedding.embedding_dim, encoder.d_memory
        d_hidden = config["recurrent"]["d_hidden"]
        self.feeds = config.get("input_feeding", False)
        self.summary = config.get("feed_summary", False)
        add = config.get("combine") == "add"
        if self.kind == "bahdanau":
            self.join = nn.Linear(d_memory, d_embed, bias=False) if add else None
            d_input = d_embed if add else d_embed + d_memory
            d_deep, d_features = d_hidden + d_memory + d_embed, config["d_output"]
        elif self.kind == "luong":
            self.join = nn.Linear(d_memory, d_hidden, bias=False) if add else None
            d_features = config["d_attentional"]
            d_input = d_embed + (d_features if self.feeds else 0)
            d_deep = d_hidden if add else d_hidden + d_memory
        else:
            d_input = d_embed + (d_memory if self.summary else 0)
            d_deep, d_features = d_hidden + d_input, config["d_output"]
        self.d_features = d_features
        self.stack = Stack(config["recurrent"], d_input)
        self.bridge = Bridge(config["bridge"], self.stack, d_memory)
        if self.kind != "summary":
            self.attention = Attention(config["attention"], d_hidden, d_memory)
        self.deep = nn.Linear(d_deep, d_features)
        self.out = nn.Linear(d_features, embedding.num_embeddings)
        self.tied = tie_output
        if tie_output:
            self.out.weight = embedding.weight

    def combine(self, x, context):
        return torch.cat([x, context], 1) if self.join is None else x + self.join(context)

    def forward(self, tgt, memory, lengths, finals):
        """Logits [batch, tgt_len, vocab] and attention weights [batch, tgt_len, src_len]."""
        real = torch.arange(memory.shape[1]) < lengths[:, None]
        states = self.bridge(memory, lengths, finals)
        fed = torch.zeros(len(tgt), self.d_features)
        attended = self.attention.start(real) if self.kind != "summary" else None
        logits, weights = [], []
        for y in self.embedding(tgt).unbind(1):
            if self.kind == "bahdanau":
                context, w, attended = self.attention(states[-1][0], memory, real, attended)
                s, states = self.stack(self.combine(y, context), states)
                features = torch.tanh(self.deep(torch.cat([s, context, y], 1)))
            elif self.kind == "luong":
                s, states = self.stack(torch.cat([y, fed], 1) if self.feeds else y, states)
                context, w, attended = self.attention(s, memory, real, attended)
                fed = features = torch.tanh(self.deep(self.combine(s, context)))
            else:
                x = torch.cat([y, finals[-1][0]], 1) if self.summary else y
                s, states = self.stack(x, states)
                features, w = torch.tanh(self.deep(torch.cat([s, x], 1))), None
            logits.append(self.out(features))
            weights.append(w)
        return torch.stack(logits, 1), None if w is None else torch.stack(weights, 1)

    def ours(self, name):
        name = f"{name}.{self.kind.capitalize()}"
        yield f"{name}.embedding.weight", self.embedding.weight, self.embedding.weight.grad
        yield from self.stack.ours(f"{name}.recurrent")
        yield from self.bridge.ours(f"{name}.bridge")
        if self.kind != "summary":
            yield from self.attention.ours(f"{name}.attention")
            if self.join:
                yield from linear(f"{name}.combine.projection", self.join)
        yield from linear(f"{name}.{'attentional' if self.kind == 'luong' else 'deep'}", self.deep)
        if self.tied:
            yield f"{name}.output.tied_bias", self.out.bias, self.out.bias.grad
        else:
            yield from linear(f"{name}.output.linear", self.out)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.tied = config["tie_embeddings"]
        self.src_vocab = TGT_VOCAB if self.tied else SRC_VOCAB
        self.tgt = nn.Embedding(TGT_VOCAB, config["tgt_embedding"]["d_embed"])
        self.src = self.tgt
        if not self.tied:
            self.src = nn.Embedding(SRC_VOCAB, config["src_embedding"]["d_embed"])
        self.encoder = Encoder(config["encoder"], self.src.embedding_dim)
        self.decoder = Decoder(config["decoder"], self.tgt, config["tie_output"], self.encoder)

    def ours(self):
        """Our name of each weight, its value and its gradient."""
        if not self.tied:
            yield "src_embedding.weight", self.src.weight, self.src.weight.grad
        yield from self.encoder.ours("encoder.Recurrent")
        yield from self.decoder.ours("decoder")


def linear(name, module):
    yield f"{name}.weight", module.weight.T, module.weight.grad.T
    if module.bias is not None:
        yield f"{name}.bias", module.bias, module.bias.grad


def recurrent(name, module, suffix):
    """A layer or cell whose weights in torch end with `suffix`."""
    parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    w_ih, w_hh, b_ih, b_hh = (getattr(module, part + suffix) for part in parts)
    gru = isinstance(module, (nn.GRU, nn.GRUCell))
    name = f"{name}.{'Gru' if gru else 'Lstm'}"
    # The rows up to here have one bias with us, the sum of torch's two.
    summed = 2 * module.hidden_size if gru else 4 * module.hidden_size
    torch.testing.assert_close(b_ih.grad[:summed], b_hh.grad[:summed])
    bias = torch.cat([b_ih[:summed] + b_hh[:summed], b_ih[summed:]])
    yield f"{name}.input.weight", w_ih.T, w_ih.grad.T
    yield f"{name}.input.bias", bias, b_ih.grad
    yield f"{name}.recurrent", w_hh.T, w_hh.grad.T
    if gru:
        yield f"{name}.recurrent_bias", b_hh[summed:], b_hh.grad[summed:]


def rows(lengths, vocab, before, after):
    """Random rows with their special tokens, padded; and their lengths."""
    draw = lambda n: torch.randint(N_SPECIAL, vocab, (n,)).tolist()
    made = [torch.tensor(before + draw(n) + after) for n in lengths]
    return pad_sequence(made, True, PAD), torch.tensor([len(row) for row in made])


def write(case):
    config = tomllib.loads((case / "model.toml").read_text())
    torch.manual_seed(zlib.crc32(case.name.encode()))
    model = Model(config)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            scale = isinstance(module, nn.LayerNorm) and name == "weight"
            nn.init.normal_(parameter, mean=1.0 if scale else 0.0, std=0.9)
            parameter.data = parameter.data.float().double()  # what a file of f32 can hold

    src, src_lengths = rows(SRC_TOKENS, model.src_vocab, [], [EOS])
    tgt, tgt_lengths = rows(TGT_TOKENS, TGT_VOCAB, [BOS], [EOS])
    memory, finals = model.encoder(model.src(src), src_lengths)
    logits, weights = model.decoder(tgt[:, :-1], memory, src_lengths, finals)
    real = torch.arange(1, tgt.shape[1]) < tgt_lengths[:, None]
    gold = tgt[:, 1:][real]
    loss = F.cross_entropy(logits[real], gold, label_smoothing=SMOOTHING)
    if weights is not None and model.decoder.attention.coverage_loss:
        before = weights.cumsum(1) - weights
        twice = torch.minimum(weights, before).sum(2)[real].mean()
        loss = loss + model.decoder.attention.coverage_loss * twice
    loss.backward()

    expected = {
        "src": src,
        "src_lengths": src_lengths,
        "tgt": tgt,
        "tgt_lengths": tgt_lengths,
        "vocab": torch.tensor([model.src_vocab, TGT_VOCAB]),
        "memory": memory,
        "gold": gold,
        "logits": logits[real],
        "loss": loss[None],
    }
    if weights is not None:
        expected["weights"] = weights[real]
    for layer, (hidden, cell) in enumerate(finals):
        expected[f"final.{layer}.hidden"] = hidden
        if cell is not None:
            expected[f"final.{layer}.cell"] = cell
    ours = {}
    for name, value, grad in model.ours():
        assert grad.abs().max() > 1e-3, f"{case.name}: {name} hardly matters"
        ours[name], expected[f"grad.{name}"] = value, grad
    save(ours, case / "weights.safetensors")
    save(expected, case / "expected.safetensors")
    print(f"{case.name}: {len(ours)} weights, loss {loss.item():.4f}")


def save(tensors, path):
    def stored(tensor):
        tensor = tensor.detach()
        return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()

    save_file({name: stored(tensor) for name, tensor in tensors.items()}, path)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    for case in sorted(path.parent for path in GOLDEN.glob("*/model.toml")):
        write(case)
