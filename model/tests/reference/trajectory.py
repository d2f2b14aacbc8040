"""Fifty AdamW steps of the tiny LLaMA of tests/training/tiny.rs, in PyTorch and f64.

Writes trajectory.json beside itself: for the tied and the untied model, the mean loss and the norm
of the gradient before the clip, step by step. Autograd and torch.optim.AdamW do the work; parameters
and tokens come from the same integer recurrence as in Rust and are exact in f32.

    python3 trajectory.py
"""

import json
import math
import pathlib

import torch
from torch.nn.functional import cross_entropy, silu, softmax

LAYERS, D, HEADS, KV, FFN, VOCAB, SEQ, SEQUENCES = 2, 16, 4, 2, 24, 32, 8, 2
THETA, EPS, IGNORED = 10_000.0, 1e-5, -100
STEPS, MICRO_BATCHES, WARMUP, COSINE, PEAK = 50, 2, 10, 40, 4e-3


class Draws:
    """Knuth's MMIX recurrence; a draw is its upper 16 bits."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 48


def shapes(tied):
    """Names and shapes in the order of the flat vector."""
    yield "tok_embeddings", (VOCAB, D)
    kv = D // HEADS * KV
    for i in range(LAYERS):
        yield f"{i}.attention_norm", (D,)
        yield f"{i}.wq", (D, D)
        yield f"{i}.wk", (kv, D)
        yield f"{i}.wv", (kv, D)
        yield f"{i}.wo", (D, D)
        yield f"{i}.ffn_norm", (D,)
        yield f"{i}.w1", (FFN, D)
        yield f"{i}.w3", (FFN, D)
        yield f"{i}.w2", (D, FFN)
    yield "norm", (D,)
    if not tied:
        yield "output", (VOCAB, D)


def initial(tied, seed):
    draws, params = Draws(seed), {}
    for name, shape in shapes(tied):
        units = [draws.bits() / 32768 - 1 for _ in range(math.prod(shape))]
        values = torch.tensor(units, dtype=torch.float64).reshape(shape)
        if "norm" in name:
            values = 1 + values / 4
        elif name != "tok_embeddings":
            values = values / 4
        params[name] = values.requires_grad_()
    return params


def batch(step, micro):
    draws, tokens, targets = Draws(step * 1000 + micro), [], []
    for place in range(SEQUENCES * SEQ):
        if place % SEQ == 0:
            token = draws.bits() % VOCAB
        following = (5 * token + 3) % VOCAB
        counts = (place + step + 3 * micro) % 5 != 0
        tokens.append(token)
        targets.append(following if counts else IGNORED)
        token = following
    return torch.tensor(tokens).reshape(SEQUENCES, SEQ), torch.tensor(targets)


def norm(x, weight):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * weight


def turn(x):
    """RoPE on neighbouring pairs as complex numbers; x is [sequences, SEQ, heads, head_dim]."""
    dim = x.shape[-1]
    frequencies = THETA ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(SEQ, dtype=torch.float64), frequencies)
    factors = torch.polar(torch.ones_like(angles), angles)[:, None, :]
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], dim // 2, 2))
    return torch.view_as_real(pairs * factors).flatten(-2)


def loss_sum(params, tied, tokens, targets):
    x = params["tok_embeddings"][tokens]
    dim = D // HEADS
    hidden = torch.ones(SEQ, SEQ, dtype=torch.bool).triu(1)
    for i in range(LAYERS):
        p = lambda name: params[f"{i}.{name}"]
        h = norm(x, p("attention_norm"))
        heads = lambda name: (h @ p(name).T).reshape(SEQUENCES, SEQ, -1, dim)
        q, k = turn(heads("wq")), turn(heads("wk")).repeat_interleave(HEADS // KV, 2)
        v = heads("wv").repeat_interleave(HEADS // KV, 2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(dim)
        weights = softmax(scores.masked_fill(hidden, -math.inf), -1)
        x = x + torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(-2) @ p("wo").T
        h = norm(x, p("ffn_norm"))
        x = x + (silu(h @ p("w1").T) * (h @ p("w3").T)) @ p("w2").T
    head = params["tok_embeddings" if tied else "output"]
    logits = norm(x, params["norm"]) @ head.T
    flat = logits.reshape(-1, VOCAB)
    return cross_entropy(flat, targets, ignore_index=IGNORED, reduction="sum")


def rate(step):
    """Linear from a millionth to the peak, then half a cosine down to a tenth of it."""
    if step < WARMUP:
        return PEAK * (1e-6 + (1 - 1e-6) * step / WARMUP)
    done = min(step - WARMUP, COSINE) / COSINE
    return PEAK * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def train(tied):
    params = initial(tied, seed=11)
    values = list(params.values())
    adamw = torch.optim.AdamW(values, lr=PEAK, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses, norms = [], []
    for step in range(STEPS):
        batches = [batch(step, micro) for micro in range(MICRO_BATCHES)]
        count = sum(int((targets != IGNORED).sum()) for _, targets in batches)
        loss = sum(loss_sum(params, tied, *pair) for pair in batches) / count
        adamw.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(values, 1.0)))
        losses.append(float(loss.detach()))
        adamw.param_groups[0]["lr"] = rate(step)
        adamw.step()
    return {"loss": losses, "grad_norm": norms}


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = {"tied": train(True), "untied": train(False)}
    path = pathlib.Path(__file__).with_name("trajectory.json")
    path.write_text(json.dumps(runs, indent=1) + "\n")
