"""Generation by transformers with its KV cache on the CPU, timed for rows E01.

Prints the CSV that `bench --peer` reads: the same models, f32, random parameters; a prompt of 128
tokens read, then tokens written one after another, of one sequence and of four. What is timed is
the forward pass with its cache and the logits of the last position.

    python generation.py [--models m12,s15,150m] [--threads N] > peer.csv
"""

import argparse

import torch
from fastest import fastest_ms
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

# layers, width, heads, key-value heads, feed-forward, vocabulary, tied
MODELS = {
    "m12": (6, 384, 6, 6, 1024, 4096, True),
    "s15": (6, 288, 6, 6, 768, 32000, True),
    "150m": (12, 1024, 16, 16, 2816, 32000, True),
}
PROMPT, SAMPLES = 128, 20


def model_of(name):
    layers, width, heads, kv_heads, ffn, vocab, tied = MODELS[name]
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        max_position_embeddings=2048,
    )
    return LlamaForCausalLM(config).eval()


def step(model, tokens, cache):
    return model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print("id,scenario,shape,ms")
    for name in args.models.split(","):
        model = model_of(name)
        tokens = torch.randint(0, model.config.vocab_size, (4, PROMPT))
        with torch.inference_mode():
            prompt = fastest_ms(lambda: step(model, tokens[:1], DynamicCache()), SAMPLES)
            print(f"E01,{name} prompt,B1 S{PROMPT},{prompt:.4f}", flush=True)
            for batch in (1, 4):
                cache = DynamicCache()
                step(model, tokens[:batch], cache)
                writing = fastest_ms(lambda: step(model, tokens[:batch, :1], cache), SAMPLES)
                print(f"E01,{name} writing,B{batch} S{PROMPT},{writing:.4f}", flush=True)


main()
