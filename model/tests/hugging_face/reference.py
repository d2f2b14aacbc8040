"""Makes reference.json: log-probabilities of random small LLaMAs as transformers computes them.

pip install torch transformers; python reference.py. Parameters follow from a formula of the tensor's
name and place, which the test has too, so that only the numbers to compare with are kept. They are
in f32; a few of the log-probabilities of each sequence are kept, each of all positions of interest.
"""

import json
import math
import pathlib
import zlib

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "grouped": dict(layers=2, d_model=64, heads=4, kv_heads=2, ffn=96, vocab=61, theta=500000.0,
                    eps=1e-5, seq_len=64, tied=False),
    "tied": dict(layers=1, d_model=48, heads=3, kv_heads=3, ffn=64, vocab=50, theta=10000.0,
                 eps=1e-6, seq_len=32, tied=True),
    "wide heads": dict(layers=3, d_model=256, heads=2, kv_heads=1, ffn=128, vocab=97, theta=10000.0,
                       eps=1e-5, seq_len=128, tied=False),
}
# Of each sequence: how many (position, token) pairs are kept.
PAIRS = 24


def noise(seed, count):
    """Numbers in [-1, 1): a 64-bit linear congruence, its upper 24 bits."""
    state, values = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append((state >> 40) / 2**23 - 1.0)
    return values


def fill(name, tensor):
    """A matrix is noise over the root of its width, a vector 1 and a little noise."""
    values = torch.tensor(noise(zlib.crc32(name.encode()), tensor.numel()), dtype=torch.float64)
    values = values.reshape(tensor.shape)
    if tensor.dim() == 1:
        return (1.0 + 0.25 * values).float()
    return (2.0 * values / math.sqrt(tensor.shape[1])).float()


def reference(shape):
    config = LlamaConfig(
        vocab_size=shape["vocab"], hidden_size=shape["d_model"], intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"], rms_norm_eps=shape["eps"],
        rope_theta=shape["theta"], tie_word_embeddings=shape["tied"],
        max_position_embeddings=shape["seq_len"],
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(fill(name, tensor))
    places = [int((value + 1) * 2**22) for value in noise(7, shape["seq_len"] + 2 * PAIRS)]
    tokens = [place % shape["vocab"] for place in places[: shape["seq_len"]]]
    rest = places[shape["seq_len"]:]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    pairs = []
    for position, token in zip(rest[::2], rest[1::2]):
        position, token = position % shape["seq_len"], token % shape["vocab"]
        pairs.append([position, token, log_probabilities[position, token].item()])
    return {"shape": shape, "tokens": tokens, "pairs": pairs}


result = {
    "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
    "models": {name: reference(shape) for name, shape in SHAPES.items()},
}
path = pathlib.Path(__file__).with_name("reference.json")
path.write_text(json.dumps(result) + "\n")
