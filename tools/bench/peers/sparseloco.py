"""SparseLoCo as a chain of PyTorch operations on the CPU, timed for rows C07.

Prints the JSON lines that `bench --peer` reads. What is timed is what C07 times: the error feedback, the
largest 64 of each 4,096, 2-bit codes with a codebook of means, 12-bit indices, what stays behind;
and 20 payloads decoded, averaged over their number and applied.

    python sparseloco.py [--params N] [--threads N] > peer.json
"""

import argparse
import json

import torch
from fastest import fastest_ms

CHUNK, KEPT, PEERS, BETA, ALPHA = 4096, 64, 20, 0.95, 0.4


def compress(residual, shared, local):
    """One pseudo-gradient to packed indices, codes and codebook; the residual is updated in place."""
    residual.mul_(BETA).add_(shared).sub_(local)
    index = torch.topk(residual.abs(), KEPT, dim=-1, sorted=False).indices
    kept = torch.gather(residual, -1, index)
    shift = kept.mean()
    centred = kept - shift
    scale = 6 * centred.norm() / (centred.numel() - 1) ** 0.5 / 4
    code = (centred / scale + 2).round_().clamp_(0, 3).to(torch.uint8)
    bins = code.flatten().long()
    sums = torch.zeros(4).scatter_add_(0, bins, centred.flatten())
    codebook = sums / torch.bincount(bins, minlength=4).clamp(min=1) + shift
    pairs = index.to(torch.int32).view(-1, 2)
    packed = torch.empty(pairs.shape[0], 3, dtype=torch.uint8)
    packed[:, 0] = (pairs[:, 0] & 255).to(torch.uint8)
    packed[:, 1] = ((pairs[:, 0] >> 8) | ((pairs[:, 1] & 15) << 4)).to(torch.uint8)
    packed[:, 2] = (pairs[:, 1] >> 4).to(torch.uint8)
    residual.scatter_add_(-1, index, -codebook[code.long()])
    return packed, code, codebook, index


def apply(params, aggregate, payloads):
    """Payloads, whose indices are unpacked already, to one outer step."""
    aggregate.zero_()
    for code, codebook, index in payloads:
        aggregate.scatter_add_(-1, index, codebook[code.long()])
    params.sub_(aggregate, alpha=ALPHA / len(payloads))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=int, default=64 * 2**20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=5)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    shape = (flags.params // CHUNK, CHUNK)
    residual, shared, local = (torch.randn(shape) for _ in range(3))

    def report(scenario, ms):
        print(json.dumps({"id": "C07", "scenario": scenario, "ms": round(ms, 2)}))

    ms = fastest_ms(lambda: compress(residual, shared, local), flags.samples)
    for quantiser in ("Published", "LloydMax"):
        report(f"compress, {quantiser}", ms)
    payloads = []
    for _ in range(PEERS):
        _, code, codebook, index = compress(torch.randn(shape), shared, local)
        payloads.append((code, codebook, index))
    aggregate = torch.zeros(shape)
    ms = fastest_ms(lambda: apply(local, aggregate, payloads), flags.samples)
    report(f"decode and apply {PEERS} payloads", ms)


main()
