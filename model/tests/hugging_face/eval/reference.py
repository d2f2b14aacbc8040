"""Makes reference.json and tokenizer.json: what lm-evaluation-harness asks about the rows in data/,
and what it scores, with a random small LLaMA.

pip install torch transformers lm_eval; python reference.py. The tasks are the harness's own; only
where their rows come from is changed. The model's parameters follow from a formula, which
../reference.py explains and the test has too.
"""

import json
import pathlib
import random
import tempfile

import lm_eval
import tokenizers
import torch
import transformers
import yaml
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data"
TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
# Name, the harness's definition, our rows, the split that is asked about, that of the examples.
SOURCES = [
    ("arc_challenge", "arc/arc_challenge.yaml", "allenai/ai2_arc/ARC-Challenge", "test", "train"),
    ("arc_easy", "arc/arc_easy.yaml", "allenai/ai2_arc/ARC-Easy", "test", "train"),
    ("hellaswag", "hellaswag/hellaswag.yaml", "Rowan/hellaswag", "validation", "train"),
    ("openbookqa", "openbookqa/openbookqa.yaml", "allenai/openbookqa/main", "test", "train"),
    ("piqa", "piqa/piqa.yaml", "baber/piqa", "validation", "train"),
    ("winogrande", "winogrande/default.yaml", "allenai/winogrande/winogrande_xl", "validation",
     "train"),
    ("mmlu_elementary_mathematics", "mmlu/default/mmlu_elementary_mathematics.yaml",
     "cais/mmlu/all", "test", "dev"),
    ("mmlu_high_school_physics", "mmlu/default/mmlu_high_school_physics.yaml", "cais/mmlu/all",
     "test", "dev"),
]
WRITTEN = [("gsm8k", "gsm8k/gsm8k.yaml", "openai/gsm8k/main", "test", "train")]
# Answers as models write them, and the right one.
ANSWERS = [
    ("6 * 3 = 18.\n#### 18", "#### 18"), ("#### 18.", "x #### 18"), ("It is 18", "#### 18"),
    ("#### 1,000 sheep", "500 * 2\n#### 1000"), ("$1,000.", "#### 1,000"), ("#### $5", "#### 5"),
    ("18 or rather 19", "#### 18"), ("#### 18\n#### 19", "#### 19"), ("#### -3", "#### -3"),
    ("minus -3.50 it is", "#### -3.50"), ("none", "#### 0"), ("", "#### 7"), ("a 7 b.", "#### 7"),
    ("####  7", "#### 7"), ("#### 7", "7"), ("...", "#### 7"), ("#### 0.50", "#### .50"),
]
# Tokens of context and of the examples.
SHOTS, LONG = 2, 768
SHAPE = dict(layers=2, d_model=64, heads=4, kv_heads=2, ffn=96, vocab=384, theta=10000.0, eps=1e-5,
             seq_len=128, tied=False)


def hugging_face():
    """The formula of the other reference, without running it."""
    source = (HERE.parent / "reference.py").read_text().split("\nresult = {")[0]
    scope = {}
    exec(source, scope)
    return scope


def model(fill, positions):
    config = transformers.LlamaConfig(
        vocab_size=SHAPE["vocab"], hidden_size=SHAPE["d_model"], intermediate_size=SHAPE["ffn"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"], rms_norm_eps=SHAPE["eps"],
        rope_theta=SHAPE["theta"], tie_word_embeddings=SHAPE["tied"],
        max_position_embeddings=positions,
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


def rows_of(name, rows, split, folder):
    path = DATA / rows / f"{split}.jsonl"
    if not name.startswith("mmlu_"):
        return path
    subject = name.removeprefix("mmlu_")
    lines = path.read_text().splitlines()
    path = folder / f"{name}-{split}.jsonl"
    path.write_text("\n".join(line for line in lines if json.loads(line)["subject"] == subject))
    return path


def scored(lm, sources, shots):
    """Tasks by the harness's definitions, with rows of ours."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, definition, rows, *splits in sources:
            files = {split: str(rows_of(name, rows, split, folder)) for split in splits}
            task = {
                "include": str(TASKS / definition), "task": f"ours_{name}", "tag": [],
                "dataset_path": "json", "dataset_name": None,
                "dataset_kwargs": {"data_files": files},
            }
            (folder / f"ours_{name}.yaml").write_text(yaml.safe_dump(task))
        names = [f"ours_{name}" for name, *_ in sources]
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        found = lm_eval.simple_evaluate(
            model=lm, tasks=names, task_manager=manager, log_samples=True, bootstrap_iters=0,
            num_fewshot=shots,
        )
        return found, manager.load([f"ours_{name}" for name, *_ in sources])


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


def written(samples):
    """Of each row the prompt, what follows it, and what each filter made of that."""
    out = {}
    for sample in samples:
        found = out.setdefault(sample["doc_id"], {
            "prompt": sample["arguments"][0][0], "settings": sample["arguments"][0][1],
            "text": sample["resps"][0][0],
        })
        found[sample["filter"]] = [sample["filtered_resps"][0], float(sample["exact_match"])]
    return [out[at] for at in sorted(out)]


def filtered(task):
    """What the filters find in answers, and whether it is right."""
    out = []
    for text, answer in ANSWERS:
        row = {"question": "", "answer": answer}
        found = []
        for ensemble in task._filters:
            instance = Instance("generate_until", row, ("", {}), 0, metadata=("", 0, 1))
            instance.resps = [text]
            ensemble.apply([instance])
            extract = instance.filtered_resps[ensemble.name]
            found += [extract, float(task.process_results(row, [extract])["exact_match"])]
        out.append([text, answer, *found])
    return out


def draws():
    """Of so many so many, one after another, as the harness draws examples."""
    rng = random.Random(1234)
    sizes = [(5, 2), (21, 5), (22, 5), (1000, 5), (85, 6), (86, 6), (40000, 10), (7, 7), (1, 1)]
    return [[of, count, rng.sample(range(of), count)] for of, count in sizes]


class Request:
    def __init__(self, *args):
        self.args = args


fill = hugging_face()["fill"]
vocabulary = tokenizer()


def judge(positions):
    return HFLM(pretrained=model(fill, positions), tokenizer=vocabulary, batch_size=1, device="cpu")


def choices(found):
    return {name: kept(found["samples"][f"ours_{name}"]) for name, *_ in SOURCES}


lm, long = judge(SHAPE["seq_len"]), judge(LONG)
found, _ = scored(lm, SOURCES, 0)
shots, _ = scored(long, SOURCES, SHOTS)
written_found, tasks = scored(long, WRITTEN, None)
gsm8k = written(written_found["samples"]["ours_gsm8k"])
# A stop sequence that certainly comes.
stop = gsm8k[0]["text"][60:63]
settings = {"until": [stop], "do_sample": False}
stopped = long.generate_until([Request(gsm8k[0]["prompt"], settings)], disable_tqdm=True)[0]
text = (DATA / "text.txt").read_text()
task = tasks["tasks"]["ours_gsm8k"]
result = {
    "made_by": f"lm_eval {lm_eval.__version__}, transformers {transformers.__version__}, "
               f"torch {torch.__version__}",
    "shape": SHAPE,
    "tasks": choices(found),
    "rolling_nats": float(lm.loglikelihood_rolling([Request(text)], disable_tqdm=True)[0]),
    "long_context": LONG,
    "shots": SHOTS,
    "tasks_with_shots": choices(shots),
    "draws": draws(),
    "gsm8k": {
        "shots": written_found["n-shot"]["ours_gsm8k"], "rows": gsm8k, "answers": filtered(task),
        "stop": stop, "stopped": stopped,
    },
}
(HERE / "reference.json").write_text(json.dumps(result, indent=1) + "\n")
