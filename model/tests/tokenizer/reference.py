"""Kept numbers for `model/tests/tokenizer.rs`, by the Python package `tokenizers`.

Learns a byte-level BPE vocabulary from the texts below, and one that splits the way Llama 3 does,
and encodes texts that neither has seen. Writes byte_level.json, llama_split.json and kept.json
beside itself; the tests need neither Python nor a network.

    pip install tokenizers==0.22.2 && python reference.py
"""

import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
LEARNT_FROM = [
    "The quick brown fox jumps over the lazy dog. " * 8,
    "Größenwahn und Straßenbahn, über den Wörtern der Übersetzung. " * 5,
    "学习语言模型需要很多文本。日本語のテキストも少し。 한국어 문장도 있다. " * 4,
    "def train(model, steps=30):\n    for step in range(steps):\n        model.step()\n" * 6,
    "1234567890 3.14159 2,718 1e-3 0xFF " * 4,
]
ENCODED = [
    "",
    " ",
    "the lazy fox",
    "  leading, trailing  ",
    "I'll can't they'VE",
    "e\u0301 is not \u00e9",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 🦀",
    "zero\u200bwidth and no\u00a0break",
    "مرحبا بالعالم, שלום",
    "हिन्दी में पाठ, ไทย",
    "𝕏 𐍈 \U0010ffff \ufeff",
    "a\r\nb\n\n\nc\t\td",
    "日本語のテキスト、Straße!!",
    "12345678901234567890 3.14",
    "<|endoftext|> in the middle<|endoftext|>",
    "nul \u0000 and \u001b[0m",
]
LLAMA_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learnt(split, vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        LEARNT_FROM,
        trainers.BpeTrainer(
            vocab_size=vocab,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|endoftext|>"],
        ),
    )
    return tokenizer


def main():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    llama = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    kept = {"learnt_from": LEARNT_FROM, "encoded": []}
    tokenizers = {"byte_level": learnt(byte_level, 420), "llama_split": learnt(llama, 400)}
    for name, tokenizer in tokenizers.items():
        tokenizer.save(str(HERE / f"{name}.json"))
    for text in ENCODED:
        ids = {
            name: tokenizer.encode(text, add_special_tokens=False).ids
            for name, tokenizer in tokenizers.items()
        }
        kept["encoded"].append({"text": text, **ids})
    (HERE / "kept.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
