#!/usr/bin/env python3
"""Writes what PyTorch says of small models: the golden values of att-model.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 entmax==1.3
    python scripts/golden/torch_golden.py

Each folder of crates/att-model/tests/golden is a case. Its model.toml is written by hand and names
every setting that counts (dropout and noise are zero everywhere). From it this script builds the
model of torch's own modules, in float64, draws weights and a batch from the folder's name, and writes:

- weights.safetensors: the weights, named and laid out as att-model's. A matrix is [d_in, d_out],
  the transpose of torch's. The bias of an LSTM is the sum of torch's two; so is that of a GRU's
  gates r and z, while its gate n keeps both, since one of them stands inside the reset gate.
- expected.safetensors: the batch (`src`, `tgt` and their lengths), `vocab` (source, target),
  `memory`, `final.<layer>.hidden` and `.cell`; of each real target position `gold`, `logits` and,
  with attention, `weights`, of decoders with several layers of it also `head_weights.<layer>`; `loss`, the
  cross-entropy with label smoothing 0.1 and, where it is asked for, the coverage loss; and
  `grad.<name>`, the gradient of the loss for each weight. Of a decoder that copies also `copy_ids`,
  with their lengths, and in the place of `logits` the `probabilities` of the extended vocabulary.

The layers of Transformers are nn.TransformerEncoderLayer and nn.TransformerDecoderLayer. The bias of
their keys, which changes nothing, has no counterpart. What they lack (shared heads of keys, rotary
positions, SwiGLU) stands in for theirs in `Heads` and `swiglu`.

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

PAD, UNK, BOS, EOS, N_SPECIAL = 0, 1, 2, 3, 4
SRC_VOCAB, TGT_VOCAB = 11, 13
# Ordinary tokens of each row: the second source is EOS alone, the third target too.
SRC_TOKENS, TGT_TOKENS = [5, 0, 2], [2, 4, 0]
# For decoders that copy: what the tokens of the sources are called, two of them not in the vocabulary,
# and targets with copied and unknown tokens.
COPY_IDS = [[13, 7, 14, 13, 9], [], [5, 13]]
COPIED = [[13, 7], [4, UNK, 9, 12], []]
SMOOTHING = 0.1

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}
CELL = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}


class Recurrent(nn.Module):
    """Layers of nn.LSTM or nn.GRU over packed sequences."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_hidden, n = config["d_hidden"], config["layers"]
        both = config.get("bidirectional_layers", 0) or n
        self.directions = [2 if config["bidirectional"] and i < both else 1 for i in range(n)]
        self.sum = config.get("join") == "sum"
        width = [self.d_hidden * (1 if self.sum else d) for d in self.directions]
        self.d_memory = self.d_final = width[-1]
        self.residual_from = config.get("residual_from", 1) - 1 if config["residual"] else n
        # torch stacks layers itself, unless something stands between them.
        apart = config["residual"] or config["layer_norm"] or self.sum or both < n
        sizes = [(d, 1) for d in [d_input] + width[:-1]] if apart else [(d_input, n)]
        self.blocks = nn.ModuleList(
            RECURRENT[config["cell"]](
                d, self.d_hidden, n, batch_first=True, bidirectional=self.directions[i] == 2
            )
            for i, (d, n) in enumerate(sizes)
        )
        norm = nn.LayerNorm if config["layer_norm"] else lambda _: nn.Identity()
        self.norms = nn.ModuleList(norm(d) for d in width[: len(sizes)])

    def forward(self, x, lengths):
        """The memory, its lengths and final (hidden, cell) states; the cell of a GRU is None."""
        finals = []
        for layer, (block, norm) in enumerate(zip(self.blocks, self.norms)):
            y, final = packed(block, x, lengths)
            if self.sum and self.directions[layer] == 2:
                y = sum(y.chunk(2, dim=2))
            y = norm(y)
            x = y + x if layer >= self.residual_from and x.shape == y.shape else y
            finals += by_layer(block, final, self.sum)
        finals = [final for final in finals if final[0].shape[1] == self.d_final]
        return x * real_positions(x, lengths)[..., None], lengths, finals

    def ours(self, name):
        layers = [(b, i) for b in self.blocks for i in range(b.num_layers)]
        for layer, (block, inner) in enumerate(layers):
            place = f"{name}.layers.{layer}"
            yield from directions(place, block, inner)
            if isinstance(on := self.norms[min(layer, len(self.norms) - 1)], nn.LayerNorm):
                yield from norm(f"{place}.norm", on)


class Pyramidal(nn.Module):
    """Bidirectional layers, each above the first over pairs of states."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_memory = self.d_final = d = 2 * config["d_hidden"]
        self.blocks = nn.ModuleList(
            RECURRENT[config["cell"]](
                2 * d if i else d_input, config["d_hidden"], batch_first=True, bidirectional=True
            )
            for i in range(config["layers"])
        )

    def forward(self, x, lengths):
        finals = []
        for layer, block in enumerate(self.blocks):
            if layer:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2)).unflatten(1, (-1, 2)).flatten(2)
                lengths = (lengths + 1) // 2
            x, final = packed(block, x, lengths)
            finals += by_layer(block, final)
        return x, lengths, finals

    def ours(self, name):
        for layer, block in enumerate(self.blocks):
            yield from directions(f"{name}.layers.{layer}", block, 0)


class GatedConvolution(nn.Conv1d):
    """nn.Conv1d with F.glu."""

    def forward(self, x):
        return F.glu(super().forward(x), dim=1)


class Convolutional(nn.Module):
    """Gated convolutions with residuals over embeddings with learned positions."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_memory, self.d_final = config["d_hidden"], None
        self.positions = nn.Embedding(config["positions"]["max_len"], d_input)
        self.input = nn.Linear(d_input, self.d_memory)
        self.blocks = nn.ModuleList(
            GatedConvolution(self.d_memory, 2 * self.d_memory, config["width"], padding="same")
            for _ in range(config["layers"])
        )

    def forward(self, x, lengths):
        real = real_positions(x, lengths)[..., None]
        positions = torch.arange(x.shape[1]).clamp(max=self.positions.num_embeddings - 1)
        x = self.input(x + self.positions(positions)) * real
        for block in self.blocks:
            x = (x + block(x.mT).mT) / math.sqrt(2) * real
        return x, lengths, []

    def ours(self, name):
        yield f"{name}.positions.weight", self.positions.weight, self.positions.weight.grad
        yield from linear(f"{name}.input", self.input)
        for layer, block in enumerate(self.blocks):
            yield from convolution(f"{name}.blocks.{layer}", block)


def convolution(name, module):
    """Value and gate of a convolution: [2 * d_out, d_in, width] to two of [width * d_in, d_out]."""
    tensors = module.weight, module.weight.grad, module.bias, module.bias.grad
    halves = zip(*(tensor.chunk(2) for tensor in tensors))
    for part, (w, w_grad, b, b_grad) in zip(("value", "gate"), halves):
        w, w_grad = (tensor.permute(2, 1, 0).flatten(0, 1) for tensor in (w, w_grad))
        yield f"{name}.{part}.weight", w, w_grad
        yield f"{name}.{part}.bias", b, b_grad


def real_positions(x, lengths):
    """[batch, len]: what is no padding."""
    return torch.arange(x.shape[1]) < lengths[:, None]


def packed(block, x, lengths):
    """The states of a layer of torch, zero at padding, and its final (hidden, cell)."""
    x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, final = block(x)
    y, _ = pad_packed_sequence(y, batch_first=True)
    return y, final if isinstance(final, tuple) else (final, None)


def by_layer(block, final, summed=False):
    """[layers * directions, batch, d] twice to a (hidden, cell) for each layer, [batch, ..]."""

    def split(state):
        if state is None:
            return [None] * block.num_layers
        layers = state.unflatten(0, (block.num_layers, -1))
        return [layer.sum(0) if summed else torch.cat(list(layer), 1) for layer in layers]

    return list(zip(*map(split, final)))


def directions(place, block, layer):
    yield from recurrent(f"{place}.forward", block, f"_l{layer}")
    if block.bidirectional:
        yield from recurrent(f"{place}.backward", block, f"_l{layer}_reverse")


class Input(nn.Module):
    """Scaled vectors of the tokens with those of the positions."""

    def __init__(self, config, d_embed):
        super().__init__()
        d_model, self.positions = config["d_model"], config["positions"]
        self.scale = math.sqrt(d_embed) if config["scale_embedding"] else 1.0
        self.projection = None if d_embed == d_model else nn.Linear(d_embed, d_model)
        self.table = None
        if self.positions["kind"] == "learned":
            self.table = nn.Embedding(self.positions["max_len"], d_model)

    def forward(self, x):
        x = x * self.scale
        if self.projection is not None:
            x = self.projection(x)
        t = torch.arange(x.shape[1])
        if self.table is not None:
            return x + self.table(t)
        if self.positions["kind"] == "rotary":
            return x
        d = x.shape[2]
        angles = t[:, None] / 10_000 ** (torch.arange(0, d, 2) / d)
        return x + torch.stack([angles.sin(), angles.cos()], 2).flatten(1)

    def ours(self, name):
        if self.projection is not None:
            yield from linear(f"{name}.projection", self.projection)
        if self.table is not None:
            table = self.table.weight
            yield f"{name}.positions.Learned.weight", table, table.grad


def turned(x, base):
    """Heads [batch, n, len, d] turned by rotary positions, as complex numbers."""
    d = x.shape[3]
    angles = torch.arange(x.shape[2])[:, None] / base ** (torch.arange(0, d, 2) / d)
    x = torch.complex(*x.chunk(2, 3)) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([x.real, x.imag], 3)


class Heads(nn.Module):
    """nn.MultiheadAttention with shared heads of keys and rotary positions."""

    def __init__(self, config, d_memory, rotary):
        super().__init__()
        d, self.n = config["d_model"], config["n_heads"]
        self.n_kv = config.get("n_kv_heads", self.n)
        d_key = d // self.n * self.n_kv
        self.q, self.k = nn.Linear(d, d), nn.Linear(d_memory, d_key, bias=False)
        self.v, self.out = nn.Linear(d_memory, d_key), nn.Linear(d, d)
        self.base = config["positions"]["base"] if rotary else None

    def forward(self, x, memory, masked):
        cut = lambda y, n: y.unflatten(2, (n, -1)).transpose(1, 2)
        q, k = cut(self.q(x), self.n), cut(self.k(memory), self.n_kv)
        v = cut(self.v(memory), self.n_kv)
        if self.base is not None:
            q, k = turned(q, self.base), turned(k, self.base)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=~masked, enable_gqa=True)
        scores = q @ k.repeat_interleave(self.n // self.n_kv, 1).mT / math.sqrt(q.shape[3])
        weights = scores.masked_fill(masked, -math.inf).softmax(3)
        return self.out(read.transpose(1, 2).flatten(2)), weights


def heads(name, module):
    """Weights of nn.MultiheadAttention, or of Heads."""
    if isinstance(module, Heads):
        parts = zip(("query", "key", "value"), (module.q, module.k, module.v))
        for part, of in parts:
            yield from linear(f"{name}.{part}", of)
        yield from linear(f"{name}.output", module.out)
        return
    if module.in_proj_weight is not None:
        weights = zip(module.in_proj_weight.chunk(3), module.in_proj_weight.grad.chunk(3))
    else:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
        weights = [(weight, weight.grad) for weight in weights]
    biases = zip(module.in_proj_bias.chunk(3), module.in_proj_bias.grad.chunk(3))
    for part, (w, dw), (b, db) in zip(("query", "key", "value"), weights, biases):
        yield f"{name}.{part}.weight", w.T, dw.T
        if part == "key":
            assert db.abs().max() < 1e-12
        else:
            yield f"{name}.{part}.bias", b, db
    yield from linear(f"{name}.output", module.out_proj)


class Swiglu(nn.Module):
    def __init__(self, d, d_ff):
        super().__init__()
        self.inner, self.gate = (nn.Linear(d, d_ff, bias=False) for _ in range(2))
        self.outer = nn.Linear(d_ff, d, bias=False)

    def forward(self, x):
        return self.outer(F.silu(self.inner(x)) * self.gate(x))


class Layer:
    """What this script changes in torch's layers of both kinds."""

    def settle(self, config):
        """Takes what torch lacks into its place."""
        # The places of torch's own networks stay without gradient.
        self.swiglu = None
        if config["activation"] == "swiglu":
            self.swiglu = Swiglu(config["d_model"], config["d_ff"])
        if config["positions"]["kind"] == "rotary" or "n_kv_heads" in config:
            rotary = config["positions"]["kind"] == "rotary"
            self.self_attn = Heads(config, config["d_model"], rotary)

    def _ff_block(self, x):
        return super()._ff_block(x) if self.swiglu is None else self.swiglu(x)

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        if not isinstance(self.self_attn, Heads):
            return super()._sa_block(x, attn_mask, key_padding_mask, is_causal)
        # Inside the layers both masks are numbers, minus infinity where masked.
        masked = torch.zeros(1, 1, 1, 1, dtype=bool)
        if attn_mask is not None:
            masked = masked | (attn_mask if attn_mask.dtype == torch.bool else attn_mask < 0)
        if key_padding_mask is not None:
            pad = key_padding_mask
            pad = pad if pad.dtype == torch.bool else pad < 0
            masked = masked | pad[:, None, None]
        return self.self_attn(x, x, masked)[0]

    def ours_of_ff(self, name):
        if self.swiglu is None:
            yield from linear(f"{name}.inner", self.linear1)
            yield from linear(f"{name}.outer", self.linear2)
        else:
            for part in ("inner", "gate", "outer"):
                yield from linear(f"{name}.{part}", getattr(self.swiglu, part))


def options(config):
    """Arguments of torch's layers."""
    activation = {"swiglu": "relu"}.get(config["activation"], config["activation"])
    return dict(
        d_model=config["d_model"],
        nhead=config["n_heads"],
        dim_feedforward=config["d_ff"],
        dropout=0.0,
        activation=activation,
        batch_first=True,
        norm_first=config["norm"] == "pre",
    )


def norm(name, module):
    yield f"{name}.gamma", module.weight, module.weight.grad
    yield f"{name}.beta", module.bias, module.bias.grad


class TransformerEncoderLayer(Layer, nn.TransformerEncoderLayer):
    def ours(self, name):
        yield from heads(f"{name}.self_attention.heads", self.self_attn)
        yield from norm(f"{name}.self_residual.norm", self.norm1)
        yield from self.ours_of_ff(f"{name}.feed_forward")
        yield from norm(f"{name}.feed_forward_residual.norm", self.norm2)


class TransformerDecoderLayer(Layer, nn.TransformerDecoderLayer):
    def settle(self, config, d_memory):
        super().settle(config)
        if isinstance(self.self_attn, Heads):
            self.multihead_attn = Heads(config, d_memory, rotary=False)
        elif d_memory != config["d_model"]:
            self.multihead_attn = nn.MultiheadAttention(
                config["d_model"], config["n_heads"], kdim=d_memory, vdim=d_memory, batch_first=True
            )

    def _mha_block(self, x, mem, attn_mask, key_padding_mask, is_causal=False):
        """As torch's, but the weights of the heads are kept."""
        if isinstance(self.multihead_attn, Heads):
            pad = key_padding_mask
            pad = pad if pad.dtype == torch.bool else pad < 0
            x, self.weights = self.multihead_attn(x, mem, pad[:, None, None])
        else:
            x, self.weights = self.multihead_attn(
                x, mem, mem, key_padding_mask=key_padding_mask, average_attn_weights=False
            )
        return x

    def ours(self, name):
        yield from heads(f"{name}.self_attention.heads", self.self_attn)
        yield from norm(f"{name}.self_residual.norm", self.norm1)
        yield from heads(f"{name}.cross_attention", self.multihead_attn)
        yield from norm(f"{name}.cross_residual.norm", self.norm2)
        yield from self.ours_of_ff(f"{name}.feed_forward")
        yield from norm(f"{name}.feed_forward_residual.norm", self.norm3)


class TransformerEncoder(nn.Module):
    """Layers of nn.TransformerEncoderLayer."""

    def __init__(self, config, d_input):
        super().__init__()
        self.d_memory = config["d_model"]
        self.input = Input(config, d_input)
        layer = TransformerEncoderLayer
        self.layers = nn.ModuleList(layer(**options(config)) for _ in range(config["layers"]))
        for layer in self.layers:
            layer.settle(config)
        self.norm = nn.LayerNorm(self.d_memory) if config["norm"] == "pre" else None

    def forward(self, x, lengths):
        real = real_positions(x, lengths)
        x = self.input(x)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~real)
        if self.norm is not None:
            x = self.norm(x)
        return x * real[..., None], lengths, []

    def ours(self, name):
        yield from self.input.ours(f"{name}.input")
        for i, layer in enumerate(self.layers):
            yield from layer.ours(f"{name}.layers.{i}")
        if self.norm is not None:
            yield from norm(f"{name}.norm", self.norm)


ENCODER = {
    "recurrent": Recurrent,
    "pyramidal": Pyramidal,
    "convolutional": Convolutional,
    "transformer": TransformerEncoder,
}


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
        name = f"{name}.{variant(self.kind)}"
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
    """A decoder's recurrence: nn.LSTMCell or nn.GRUCell, one upon the other, step by step.

    Cells above the first also read a context of `d_context`."""

    def __init__(self, config, d_input, d_context=0):
        super().__init__()
        self.d_hidden, n = config["d_hidden"], config["layers"]
        self.residual_from = config.get("residual_from", 1) - 1 if config["residual"] else n
        self.lstm = config["cell"] == "lstm"
        sizes = [d_input] + [self.d_hidden + d_context] * (n - 1)
        self.cells = nn.ModuleList(CELL[config["cell"]](d, self.d_hidden) for d in sizes)

    def forward(self, x, states, context_of):
        """The top layer's output and each layer's (hidden, cell).

        `context_of` gives what joins the input of a layer above the first, given the first's."""
        after = []
        for layer, (cell, (h, c)) in enumerate(zip(self.cells, states)):
            joined = x if layer == 0 else torch.cat([x] + context, 1)
            h, c = cell(joined, (h, c)) if self.lstm else (cell(joined, h), None)
            after.append((h, c))
            x = h + x if layer >= self.residual_from and x.shape == h.shape else h
            if layer == 0:
                context = context_of(x)
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
    """All kinds with a recurrence, step by step over a known target."""

    def __init__(self, config, embedding, tie_output, encoder):
        super().__init__()
        self.kind, self.embedding = config["kind"], embedding
        d_embed, d_memory = embedding.embedding_dim, encoder.d_memory
        if self.kind == "conditional_gru":
            config["recurrent"] = {
                "cell": "gru", "layers": 1, "residual": False, "d_hidden": config["d_hidden"]
            }
        d_hidden = config["recurrent"]["d_hidden"]
        self.feeds = config.get("input_feeding", False)
        self.summary = config.get("feed_summary", False)
        self.first = config.get("attention_layer") == "first"
        add = config.get("combine") == "add"
        self.join = None
        if self.kind == "bahdanau":
            self.join = nn.Linear(d_memory, d_embed, bias=False) if add else None
            d_input = d_embed if add else d_embed + d_memory
            d_deep, d_features = d_hidden + d_memory + d_embed, config["d_output"]
        elif self.kind == "luong":
            self.join = nn.Linear(d_memory, d_hidden, bias=False) if add else None
            d_features = config["d_attentional"]
            d_input = d_embed + (d_features if self.feeds else 0)
            d_deep = d_hidden if add else d_hidden + d_memory
        elif self.kind == "conditional_gru":
            d_input = d_embed
            d_deep, d_features = d_hidden + d_memory + d_embed, config["d_output"]
            self.second = nn.GRUCell(d_memory, d_hidden)
        else:
            d_input = d_embed + (d_memory if self.summary else 0)
            d_deep, d_features = d_hidden + d_input, config["d_output"]
        self.d_features = d_features
        self.stack = Stack(config["recurrent"], d_input, d_memory if self.first else 0)
        d_source = d_memory if config["bridge"] == "mean" else encoder.d_final
        self.bridge = Bridge(config["bridge"], self.stack, d_source)
        if self.kind != "summary":
            self.attention = Attention(config["attention"], d_hidden, d_memory)
        self.deep = nn.Linear(d_deep, d_features)
        self.out = nn.Linear(d_features, embedding.num_embeddings)
        self.copy = nn.Linear(d_features, 1) if config.get("copy") else None
        self.tied = tie_output
        if tie_output:
            self.out.weight = embedding.weight

    def combine(self, x, context):
        return torch.cat([x, context], 1) if self.join is None else x + self.join(context)

    def forward(self, tgt, memory, lengths, finals):
        """Logits [batch, tgt_len, vocab], attention weights [batch, tgt_len, src_len], no heads."""
        real = real_positions(memory, lengths)
        states = self.bridge(memory, lengths, finals)
        fed = torch.zeros(len(tgt), self.d_features)
        attended = self.attention.start(real) if self.kind != "summary" else None
        attend = lambda query: self.attention(query, memory, real, attended)
        self.features, logits, weights = [], [], []
        for y in self.embedding(tgt).unbind(1):
            if self.kind == "bahdanau":
                context, w, attended = attend(states[0 if self.first else -1][0])
                upper = [context] if self.first else []
                s, states = self.stack(self.combine(y, context), states, lambda _: upper)
                features = torch.tanh(self.deep(torch.cat([s, context, y], 1)))
            elif self.kind == "luong":
                read = []
                first = lambda s: read.extend(attend(s)) or read[:1] if self.first else []
                x = torch.cat([y, fed], 1) if self.feeds else y
                s, states = self.stack(x, states, first)
                context, w, attended = read or attend(s)
                fed = features = torch.tanh(self.deep(self.combine(s, context)))
            elif self.kind == "conditional_gru":
                between, _ = self.stack(y, states, lambda _: [])
                context, w, attended = attend(between)
                s = self.second(context, between)
                states = [(s, None)]
                features = torch.tanh(self.deep(torch.cat([s, context, y], 1)))
            else:
                x = torch.cat([y, finals[-1][0]], 1) if self.summary else y
                s, states = self.stack(x, states, lambda _: [])
                features, w = torch.tanh(self.deep(torch.cat([s, x], 1))), None
            self.features.append(features)
            logits.append(self.out(features))
            weights.append(w)
        self.features = torch.stack(self.features, 1)
        return torch.stack(logits, 1), None if w is None else torch.stack(weights, 1), []

    def ours(self, name):
        name = f"{name}.{variant(self.kind)}"
        yield f"{name}.embedding.weight", self.embedding.weight, self.embedding.weight.grad
        if self.kind == "conditional_gru":
            yield from recurrent(f"{name}.first", self.stack.cells[0], "")
            yield from recurrent(f"{name}.second", self.second, "")
        else:
            yield from self.stack.ours(f"{name}.recurrent")
        yield from self.bridge.ours(f"{name}.bridge")
        if self.kind != "summary":
            yield from self.attention.ours(f"{name}.attention")
            if self.join:
                yield from linear(f"{name}.combine.projection", self.join)
        yield from linear(f"{name}.{'attentional' if self.kind == 'luong' else 'deep'}", self.deep)
        yield from output(name, self)


def output(name, decoder):
    """Weights of a decoder's output layer."""
    if decoder.tied:
        yield f"{name}.output.tied_bias", decoder.out.bias, decoder.out.bias.grad
    else:
        yield from linear(f"{name}.output.linear", decoder.out)
    if decoder.copy:
        yield from linear(f"{name}.output.copy.linear", decoder.copy)


def extended(decoder, logits, weights, copy_ids):
    """P of the extended vocabulary at each position (See et al. 2017, eq. 8 and 9)."""
    p_gen = torch.sigmoid(decoder.copy(decoder.features))
    generated = F.pad(p_gen * logits.softmax(2), (0, max(map(max, copy_ids)) + 1 - TGT_VOCAB))
    ids = copy_ids[:, None].expand(-1, logits.shape[1], -1)
    return generated.scatter_add(2, ids, (1 - p_gen) * weights)


def variant(kind):
    """Our name of an enum's arm: ConditionalGru for conditional_gru."""
    return kind.title().replace("_", "")


class ConvolutionalDecoder(nn.Module):
    """Causal gated convolutions, each followed by attention, over a known target at once."""

    def __init__(self, config, embedding, tie_output, encoder):
        super().__init__()
        assert not tie_output
        self.embedding, d, n = embedding, config["d_hidden"], config["layers"]
        d_embed, d_memory = embedding.embedding_dim, encoder.d_memory
        modules = lambda make: nn.ModuleList(make() for _ in range(n))
        self.positions = nn.Embedding(config["positions"]["max_len"], d_embed)
        self.input = nn.Linear(d_embed, d)
        self.convolutions = modules(lambda: GatedConvolution(d, 2 * d, config["width"]))
        self.queries = modules(lambda: nn.Linear(d, d_embed))
        self.attentions = modules(
            lambda: Attention(config["attention"], d_embed, d_memory)
        )
        self.contexts = modules(lambda: nn.Linear(d_memory, d))
        self.deep = nn.Linear(d, config["d_output"])
        self.out = nn.Linear(config["d_output"], embedding.num_embeddings)
        self.copy = nn.Linear(config["d_output"], 1) if config.get("copy") else None
        self.tied = False

    def forward(self, tgt, memory, lengths, _finals):
        real, r = real_positions(memory, lengths), 1 / math.sqrt(2)
        positions = torch.arange(tgt.shape[1]).clamp(max=self.positions.num_embeddings - 1)
        tokens = self.embedding(tgt) + self.positions(positions)
        x, weights = self.input(tokens), []
        parts = zip(self.convolutions, self.queries, self.attentions, self.contexts)
        for convolution, query, attention, from_context in parts:
            past = F.pad(x.mT, (convolution.kernel_size[0] - 1, 0))
            h = convolution(past).mT
            queries = (query(h) + tokens) * r
            read, state = [], attention.start(real)
            for q in queries.unbind(1):
                *step, state = attention(q, memory, real, state)
                read.append(step)
            context, w = (torch.stack(steps, 1) for steps in zip(*read))
            x = (x + (h + from_context(context)) * r) * r
            weights.append(w)
        self.of_blocks = weights
        self.features = self.deep(x)
        return self.out(self.features), torch.stack(weights).mean(0), [w[:, None] for w in weights]

    def ours(self, name):
        name = f"{name}.Convolutional"
        yield f"{name}.embedding.weight", self.embedding.weight, self.embedding.weight.grad
        yield f"{name}.positions.weight", self.positions.weight, self.positions.weight.grad
        yield from linear(f"{name}.input", self.input)
        for layer, module in enumerate(self.convolutions):
            place = f"{name}.blocks.{layer}"
            yield from convolution(f"{place}.convolution", module)
            yield from linear(f"{place}.query", self.queries[layer])
            yield from self.attentions[layer].ours(f"{place}.attention")
            yield from linear(f"{place}.context", self.contexts[layer])
        yield from linear(f"{name}.deep", self.deep)
        yield from output(name, self)


class TransformerDecoder(nn.Module):
    """Layers of nn.TransformerDecoderLayer."""

    def __init__(self, config, embedding, tie_output, encoder):
        super().__init__()
        self.embedding, self.tied = embedding, tie_output
        self.alignment = config["alignment"]
        self.input = Input(config, embedding.embedding_dim)
        layer = TransformerDecoderLayer
        self.layers = nn.ModuleList(layer(**options(config)) for _ in range(config["layers"]))
        for layer in self.layers:
            layer.settle(config, encoder.d_memory)
        d = config["d_model"]
        self.norm = nn.LayerNorm(d) if config["norm"] == "pre" else None
        self.out = nn.Linear(d, embedding.num_embeddings)
        self.copy = nn.Linear(d, 1) if config.get("copy") else None
        if tie_output:
            self.out.weight = embedding.weight

    def forward(self, tgt, memory, lengths, finals):
        """Logits, the weights that `alignment` names, and those of all layers' heads."""
        real = real_positions(memory, lengths)
        future = torch.ones(tgt.shape[1], tgt.shape[1], dtype=bool).triu(1)
        x = self.input(self.embedding(tgt))
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=future, memory_key_padding_mask=~real)
        if self.norm is not None:
            x = self.norm(x)
        heads = [layer.weights for layer in self.layers]
        weights = heads[self.alignment.get("layer", -1)]
        head = self.alignment.get("head")
        weights = weights.mean(1) if head is None else weights[:, head]
        self.features = x
        return self.out(x), weights, heads

    def ours(self, name):
        name = f"{name}.Transformer"
        yield f"{name}.embedding.weight", self.embedding.weight, self.embedding.weight.grad
        yield from self.input.ours(f"{name}.input")
        for i, layer in enumerate(self.layers):
            yield from layer.ours(f"{name}.layers.{i}")
        if self.norm is not None:
            yield from norm(f"{name}.norm", self.norm)
        yield from output(name, self)


DECODER = {"convolutional": ConvolutionalDecoder, "transformer": TransformerDecoder}


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.tied = config["tie_embeddings"]
        self.src_vocab = TGT_VOCAB if self.tied else SRC_VOCAB
        self.tgt = nn.Embedding(TGT_VOCAB, config["tgt_embedding"]["d_embed"])
        self.src = self.tgt
        if not self.tied:
            self.src = nn.Embedding(SRC_VOCAB, config["src_embedding"]["d_embed"])
        self.encoder_kind = config["encoder"]["kind"]
        self.encoder = ENCODER[self.encoder_kind](config["encoder"], self.src.embedding_dim)
        decoder = config["decoder"]
        kind = DECODER.get(decoder["kind"], Decoder)
        self.decoder = kind(decoder, self.tgt, config["tie_output"], self.encoder)

    def ours(self):
        """Our name of each weight, its value and its gradient."""
        if not self.tied:
            yield "src_embedding.weight", self.src.weight, self.src.weight.grad
        yield from self.encoder.ours(f"encoder.{variant(self.encoder_kind)}")
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


def drawn(lengths, vocab):
    """Random rows."""
    return [torch.randint(N_SPECIAL, vocab, (n,)).tolist() for n in lengths]


def padded(rows, before, after):
    """Rows with their special tokens, padded; and their lengths."""
    made = [torch.tensor(before + row + after) for row in rows]
    return pad_sequence(made, True, PAD), torch.tensor([len(row) for row in made])


def write(case):
    config = tomllib.loads((case / "model.toml").read_text())
    torch.manual_seed(zlib.crc32(case.name.encode()))
    model = Model(config)
    # Less of Transformers, whose weights would stand at 0 and 1.
    usual = 0.65 if case.name.startswith("transformer") else 0.9
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            scale = isinstance(module, nn.LayerNorm) and name == "weight"
            # A convolution reads many numbers: lest a softmax over its states is all on one.
            std = 0.3 if isinstance(module, GatedConvolution) else usual
            nn.init.normal_(parameter, mean=1.0 if scale else 0.0, std=std)
            parameter.data = parameter.data.float().double()  # what a file of f32 can hold

    copies = model.decoder.copy is not None
    src, src_lengths = padded(drawn(SRC_TOKENS, model.src_vocab), [], [EOS])
    targets = COPIED if copies else drawn(TGT_TOKENS, TGT_VOCAB)
    tgt, tgt_lengths = padded(targets, [BOS], [EOS])
    memory, n_states, finals = model.encoder(model.src(src), src_lengths)
    read = tgt[:, :-1].where(tgt[:, :-1] < TGT_VOCAB, UNK)
    logits, weights, heads = model.decoder(read, memory, n_states, finals)
    real = torch.arange(1, tgt.shape[1]) < tgt_lengths[:, None]
    gold = tgt[:, 1:][real]
    if copies:
        copy_ids, copy_ids_lengths = padded(COPY_IDS, [], [EOS])
        p = extended(model.decoder, logits, weights, copy_ids)[real]
        nll = F.nll_loss(p.log(), gold)
        uniform = logits[real].log_softmax(1).mean()
        loss = (1 - SMOOTHING) * nll - SMOOTHING * uniform
    else:
        loss = F.cross_entropy(logits[real], gold, label_smoothing=SMOOTHING)
    if coverage_loss := config["decoder"].get("attention", {}).get("coverage_loss"):
        each = getattr(model.decoder, "of_blocks", [weights])
        twice = [torch.minimum(w, w.cumsum(1) - w).sum(2)[real].mean() for w in each]
        loss = loss + coverage_loss * sum(twice) / len(twice)
    loss.backward()

    expected = {
        "src": src,
        "src_lengths": src_lengths,
        "tgt": tgt,
        "tgt_lengths": tgt_lengths,
        "vocab": torch.tensor([model.src_vocab, TGT_VOCAB]),
        "memory": memory,
        "gold": gold,
        "loss": loss[None],
    }
    if copies:
        expected |= {"copy_ids": copy_ids, "copy_ids_lengths": copy_ids_lengths}
        expected["probabilities"] = p
    else:
        expected["logits"] = logits[real]
    if weights is not None:
        expected["weights"] = weights[real]
    for layer, of_layer in enumerate(heads):
        expected[f"head_weights.{layer}"] = of_layer.transpose(1, 2)[real].flatten(1)
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
