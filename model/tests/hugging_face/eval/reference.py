"""Makes reference.json and tokenizer.json: what lm-evaluation-harness asks about the rows in data/,
and what it scores, with a random small LLaMA.

pip install torch transformers lm_eval; python reference.py. The tasks are the harness's own; only
where their rows come from is changed. The model's parameters follow from a formula, which
../reference.py explains and the test has too.
"""

import json
import pathlib
import tempfile

import lm_eval
import tokenizers
import torch
import transformers
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data"
TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
# Name, the harness's definition, our rows, the split that they are.
SOURCES = [
    ("arc_challenge", "arc/arc_challenge.yaml", "allenai/ai2_arc/ARC-Challenge/test", "test"),
    ("arc_easy", "arc/arc_easy.yaml", "allenai/ai2_arc/ARC-Easy/test", "test"),
    ("hellaswag", "hellaswag/hellaswag.yaml", "Rowan/hellaswag/validation", "validation"),
    ("openbookqa", "openbookqa/openbookqa.yaml", "allenai/openbookqa/main/test", "test"),
    ("piqa", "piqa/piqa.yaml", "baber/piqa/validation", "validation"),
    ("winogrande", "winogrande/default.yaml", "allenai/winogrande/winogrande_xl/validation",
     "validation"),
    ("mmlu_elementary_mathematics", "mmlu/default/mmlu_elementary_mathematics.yaml", None, "test"),
    ("mmlu_high_school_physics", "mmlu/default/mmlu_high_school_physics.yaml", None, "test"),
]
SHAPE = dict(layers=2, d_model=64, heads=4, kv_heads=2, ffn=96, vocab=384, theta=10000.0, eps=1e-5,
             seq_len=128, tied=False)


def hugging_face():
    """The formula of the other reference, without running it."""
    source = (HERE.parent / "reference.py").read_text().split("\nresult = {")[0]
    scope = {}
    exec(source, scope)
    return scope


def model(fill):
    config = transformers.LlamaConfig(
        vocab_size=SHAPE["vocab"], hidden_size=SHAPE["d_model"], intermediate_size=SHAPE["ffn"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"], rms_norm_eps=SHAPE["eps"],
        rope_theta=SHAPE["theta"], tie_word_embeddings=SHAPE["tied"],
        max_position_embeddings=SHAPE["seq_len"],
    )
    llama = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, tensor in llama.named_parameters():
            tensor.copy_(fill(name, tensor))
    return llama


def tokenizer():
    """Byte-level BPE that learned from the rows themselves."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=SHAPE["vocab"], special_tokens=["</s>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    files = sorted(str(path) for path in DATA.rglob("*") if path.is_file())
    bpe.train(files, trainer)
    bpe.save(str(HERE / "tokenizer.json"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>")


def rows_of(name, rows, folder):
    if rows is not None:
        return DATA / f"{rows}.jsonl"
    subject = name.removeprefix("mmlu_")
    lines = (DATA / "cais/mmlu/all/test.jsonl").read_text().splitlines()
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(line for line in lines if json.loads(line)["subject"] == subject))
    return path


def scored(lm):
    """Tasks by the harness's definitions, with rows of ours."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, definition, rows, split in SOURCES:
            files = {split: str(rows_of(name, rows, folder))}
            task = {
                "include": str(TASKS / definition), "task": f"ours_{name}", "tag": [],
                "dataset_path": "json", "dataset_name": None,
                "dataset_kwargs": {"data_files": files}, "training_split": None,
                "validation_split": split if split == "validation" else None,
                "test_split": split if split == "test" else None, "fewshot_split": split,
            }
            (folder / f"ours_{name}.yaml").write_text(yaml.safe_dump(task))
        names = [f"ours_{name}" for name, *_ in SOURCES]
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        return lm_eval.simple_evaluate(
            model=lm, tasks=names, task_manager=manager, log_samples=True, bootstrap_iters=0,
            num_fewshot=0,
        )


def kept(samples):
    """Of each row its requests, what they scored, and what came of it."""
    out = []
    for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
        arguments = sample["arguments"]
        requests = [
            [given, text, float(nats), bool(greedy)]
            for (given, text), (nats, greedy) in zip(arguments, sample["filtered_resps"])
        ]
        found = {key: sample[key] for key in ("acc", "acc_norm") if key in sample}
        out.append({"requests": requests, **found})
    return out


fill = hugging_face()["fill"]
lm = HFLM(pretrained=model(fill), tokenizer=tokenizer(), batch_size=1, device="cpu")
found = scored(lm)
text = (DATA / "text.txt").read_text()


class Rolling:
    args = (text,)


numbers = {
    name: {
        key.removesuffix(",none"): value
        for key, value in found["results"][f"ours_{name}"].items()
        if key in ("acc,none", "acc_norm,none")
    }
    for name, *_ in SOURCES
}
result = {
    "made_by": f"lm_eval {lm_eval.__version__}, transformers {transformers.__version__}, "
               f"torch {torch.__version__}",
    "shape": SHAPE,
    "tasks": {name: kept(found["samples"][f"ours_{name}"]) for name, *_ in SOURCES},
    "results": numbers,
    "rolling_nats": float(lm.loglikelihood_rolling([Rolling()], disable_tqdm=True)[0]),
}
(HERE / "reference.json").write_text(json.dumps(result, indent=1) + "\n")
