# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures of attnscope_capture.py against those of `attnscope capture`, for tests/cli/story_python.sh.

    compare.py SOURCE PROGRAM [CASE ...]

Every case is a model directory of tests/fixtures/parity, which both sides run on the same ids:
tensors agree to 1e-5, what capture.json says of a layer agrees exactly (the scale to 1e-7).
Exit code 77 where torch, transformers or safetensors are not installed.
"""
import importlib.util
import json
import os
import subprocess
import sys
import warnings

for package in ("torch", "transformers", "safetensors"):
    if importlib.util.find_spec(package) is None:
        print(f"skipped: {sys.executable} has no {package} (set ATTNSCOPE_PYTHON)")
        sys.exit(77)

import torch
import transformers
from safetensors.torch import load_file

SOURCE, PROGRAM = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "python"))
from attnscope_capture import capture

PARITY = os.path.join(SOURCE, "tests", "fixtures", "parity")
IDS = [5, 9, 4, 30, 31, 7, 12, 9, 22, 6, 40, 41, 3, 17, 8, 25]
TARGET = [11, 7, 30, 5, 9, 21, 8, 14]
SAID = ("index", "stack", "step", "heads", "kv_heads", "d", "d_v", "n_q", "n_k", "mask", "offset",
        "window", "softcap", "key_first", "key_last", "rel_buckets", "rel_max_distance",
        "bidirectional")
CASES = ("llama_gqa_tied", "gpt2", "gpt2_scales", "gpt_neox", "opt", "bloom", "mistral_window",
         "qwen3_layer_types", "gemma2", "gpt_oss", "phi3", "bert_model", "albert_groups",
         "t5_relu", "t5_encoder")


def load(where, **options):
    with open(os.path.join(where, "config.json"), encoding="utf-8") as f:
        kind = getattr(transformers, json.load(f)["architectures"][0])
    return kind.from_pretrained(where, dtype=torch.float32, **options).eval()


def attnscope(*words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True)
    assert done.returncode == 0, f"attnscope {' '.join(words)}: {done.stderr}"
    return done.stdout


def manifest(run):
    with open(os.path.join(run, "capture.json"), encoding="utf-8") as f:
        return json.load(f)


def same(ours, theirs):
    """Every layer of two captures."""
    a, b = manifest(ours), manifest(theirs)
    assert a["complete"] and b["complete"]
    assert a["tokens"] == b["tokens"], (a["tokens"], b["tokens"])
    assert a.get("stack_tokens") == b.get("stack_tokens")
    for key in ("model_type", "layers", "width", "vocab", "causal"):
        assert a["model"].get(key) == b["model"].get(key), key
    place = lambda layer: (layer["step"], layer["stack"], layer["index"])
    a, b = (sorted(m["layers"], key=place) for m in (a, b))
    assert len(a) == len(b), (len(a), len(b))
    for x, y in zip(a, b):
        for key in SAID:
            assert x.get(key) == y.get(key), (place(x), key, x.get(key), y.get(key))
        assert abs(x["scale"] - y["scale"]) < 1e-7, (place(x), x["scale"], y["scale"])
        p, q = load_file(os.path.join(ours, x["file"])), load_file(os.path.join(theirs, y["file"]))
        assert sorted(p) == sorted(q) == sorted(y["tensors"]), (sorted(p), sorted(q))
        for name in p:
            far = float((p[name] - q[name]).abs().max()) / max(1, float(p[name].abs().max()))
            assert far < 1e-5, (place(x), name, far)


def fixture(case):
    where = os.path.join(PARITY, case)
    model = load(where)
    words = ["capture", where, "--token-ids", "ids.txt", "-o", f"{case}-c", "-q"]
    given = {"input_ids": torch.tensor([IDS])}
    if model.config.is_encoder_decoder:
        words += ["--target-ids", "target.txt"]
        given["decoder_input_ids"] = torch.tensor([[0, *TARGET[:-1]]])
    attnscope(*words)
    with torch.no_grad(), capture(model, f"{case}-py"):
        model(**given)
    same(f"{case}-c", f"{case}-py")


for file, ids in (("ids.txt", IDS), ("target.txt", TARGET)):
    with open(file, "w", encoding="utf-8") as f:
        f.write(" ".join(map(str, ids)) + "\n")
failed = 0
for case in sys.argv[3:] or CASES:
    try:
        fixture(case)
        print("same:", case)
    except Exception as e:
        if os.environ.get("TRACE"): raise
        failed += 1
        print("DIFFERS:", case, type(e).__name__, e)
sys.exit(1 if failed else 0)
