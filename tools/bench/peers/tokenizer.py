"""The Python package `tokenizers` on the CPU, timed for rows D03.

Prints the JSON lines that `bench --peer` reads. What is timed is what D03 times: this repository's
README, encoded over and over with the tokenizer of model/tests, document by document and as one
batch.

    pip install tokenizers==0.22.2 && python tokenizer.py > peer.json
"""

import json
import pathlib

from fastest import fastest_ms
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCUMENTS, SAMPLES = 256, 5


def main():
    tokenizer = Tokenizer.from_file(str(ROOT / "model/tests/tokenizer/llama_split.json"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    def one():
        for _ in range(DOCUMENTS):
            tokenizer.encode(text, add_special_tokens=False)

    def all_threads():
        tokenizer.encode_batch_fast([text] * DOCUMENTS, add_special_tokens=False)

    for scenario, work in (("one thread", one), ("all threads", all_threads)):
        name = f"tokenisation, {scenario}"
        print(json.dumps({"id": "D03", "scenario": name, "ms": round(fastest_ms(work, SAMPLES), 2)}))


main()
