# SPDX-License-Identifier: GPL-3.0-or-later
"""attnscope_capture.py against `attnscope capture`, for tests/cli/story_python.sh.

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
         "t5_relu", "t5_encoder", "vit")


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
    for key in ("stack_tokens", "grid", "grid_first"):
        assert a.get(key) == b.get(key), key
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


def recorded(run, model, given, **options):
    with torch.no_grad(), capture(model, run, **options) as c:
        model(**given)
    return c


def fixture(case):
    where = os.path.join(PARITY, case)
    model = load(where)
    words = ["capture", where, "-o", f"{case}-c", "-q"]
    extra = {}
    if os.path.exists(os.path.join(where, "preprocessor_config.json")):
        words += ["--image", os.path.join(PARITY, "vit", "photo.png")]
        pixels = load_file(os.path.join(where, "oracle.safetensors"))["pixels"]
        given = {"pixel_values": pixels[None]}
    else:
        words += ["--token-ids", "ids.txt"]
        given = {"input_ids": torch.tensor([IDS])}
    if model.config.is_encoder_decoder:
        words += ["--target-ids", "target.txt"]
        given["decoder_input_ids"] = torch.tensor([[0, *TARGET[:-1]]])
    attnscope(*words)
    if "pixel_values" in given:
        extra = {key: manifest(f"{case}-c")[key] for key in ("grid", "grid_first", "tokens")}
    file = os.path.join(where, "tokenizer.json")
    tokenizer = os.path.exists(file) and transformers.PreTrainedTokenizerFast(tokenizer_file=file)
    recorded(f"{case}-py", model, given, tokenizer=tokenizer or None, manifest=extra)
    same(f"{case}-c", f"{case}-py")


def text():
    """Tokens with their texts, and what commands make of both captures."""
    where = os.path.join(SOURCE, "datasets", "tinytales", "model")
    words = "Mira had a small red boat. One day she took it to the pond."
    with open("text.txt", "w", encoding="utf-8") as f:
        f.write(words)
    tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    attnscope("capture", where, "--text", "text.txt", "-o", "text-c", "-q")
    recorded("text-py", load(where), tokenizer(words, return_tensors="pt"), tokenizer=tokenizer)
    same("text-c", "text-py")
    a, b = (attnscope("stats", run, "--format", "csv").splitlines()
            for run in ("text-c", "text-py"))
    assert len(a) == len(b) > 1 and a[0] == b[0]
    for x, y in zip(a[1:], b[1:]):
        for p, q in zip(x.split(","), y.split(",")):
            assert p == q or abs(float(p) - float(q)) < 1e-3 * max(1, abs(float(p))), (p, q)
    assert "causal" in attnscope("inspect", "text-py")


def padding():
    """A padded sequence is the bare one with key_first or key_last, whatever computes it."""
    where = os.path.join(PARITY, "mistral_window")
    for way in ("sdpa", "eager"):
        model = load(where, attn_implementation=way)
        for side, ids, mask, want in (("left", [0] * 3 + IDS, [0] * 3 + [1] * len(IDS), (3, None)),
                                      ("right", IDS + [0] * 3, [1] * len(IDS) + [0] * 3, (0, 16))):
            c = recorded(f"pad-{side}-{way}", model, {"input_ids": torch.tensor([ids]),
                                                      "attention_mask": torch.tensor([mask])})
            for layer in c.layers:
                assert (layer["key_first"], layer["key_last"]) == (want[0], want[1] or len(ids))
                assert (layer["mask"], layer["window"]) == ("causal", model.config.sliding_window)
            attnscope("stats", f"pad-{side}-{way}")


def generation():
    model = load(os.path.join(PARITY, "llama_gqa_tied"))
    given = {"input_ids": torch.tensor([IDS]), "max_new_tokens": 4, "min_new_tokens": 4}
    with warnings.catch_warnings(record=True) as said, capture(model, "first"):
        warnings.simplefilter("always")
        model.generate(**given)
    assert any("first of 4" in str(w.message) for w in said)
    assert manifest("first")["tokens"]["ids"] == IDS
    with capture(model, "all", steps="all") as c:
        model.generate(**given)
    m = manifest("all")
    assert m["steps"] == [0, 1, 2, 3] and len(m["tokens"]["ids"]) == len(IDS) + 3
    assert (c.layers[-1]["n_q"], c.layers[-1]["n_k"], c.layers[-1]["mask"]) == (1, 19, "causal")
    attnscope("stats", "all")


def weights(run, layer):
    """Attention weights as the capture format says that they follow from a layer."""
    t = {name: x.double() for name, x in load_file(os.path.join(run, layer["file"])).items()}
    groups = layer["heads"] // layer["kv_heads"]
    s = layer["scale"] * t["q"] @ t["k"].repeat_interleave(groups, 0).transpose(1, 2)
    causal, w = layer["mask"] == "causal", layer["window"]
    for i in range(layer["n_q"]):
        for j in range(layer["n_k"]):
            x = j - i - layer["offset"]
            if "rel_bias" in t:  # near distances only: each has a row
                both = layer["bidirectional"]
                assert abs(x) < layer["rel_buckets"] // (4 if both else 2)
                ahead = layer["rel_buckets"] // 2 if both and x > 0 else 0
                s[:, i, j] += t["rel_bias"][abs(x) + ahead]
            out = not layer.get("key_first", 0) <= j < layer.get("key_last", layer["n_k"])
            if out or (causal and x > 0) or (w and (x <= -w if causal else abs(x) > w)):
                s[:, i, j] = -1e300
    return torch.softmax(s, -1)


def others():
    """Models that attnscope does not run: the weights that follow are those of the model."""
    size = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 40, "max_position_embeddings": 64}
    ids = torch.tensor([IDS])
    bart = {"vocab_size": 60, "d_model": 32, "max_position_embeddings": 64, "pad_token_id": 0}
    for side in ("encoder", "decoder"):
        bart |= {f"{side}_layers": 2, f"{side}_attention_heads": 4, f"{side}_ffn_dim": 40}
    for name, config, given in (
            ("MPNetModel", transformers.MPNetConfig(**size), {}),
            ("ModernBertModel", transformers.ModernBertConfig(
                local_attention=6, global_attn_every_n_layers=2, pad_token_id=0, **size), {}),
            ("BartModel", transformers.BartConfig(**bart), {"decoder_input_ids": ids[:, :7]})):
        torch.manual_seed(1)
        config._attn_implementation = "eager"
        model = getattr(transformers, name)(config).eval()
        for p in model.parameters():
            p.data.normal_(0, 0.2)
        c = recorded(name, model, {"input_ids": ids, **given})
        with torch.no_grad():
            out = model(input_ids=ids, output_attentions=True, **given)
        for stack in sorted({layer["stack"] for layer in c.layers}):
            key = {"": "attentions", "cross": "cross_attentions"}.get(stack, f"{stack}_attentions")
            layers = [layer for layer in c.layers if layer["stack"] == stack]
            assert len(layers) == len(out[key]), (name, stack)
            for layer, p in zip(layers, out[key]):
                far = float((weights(name, layer) - p[0].double()).abs().max())
                assert far < 1e-5, (name, stack, layer["index"], far)
        attnscope("stats", name)


def parts():
    """A pass is a run of the model or of the part that is called; a second run is another."""
    ids, place = torch.tensor([IDS]), lambda c: [(x["step"], x["stack"], x["index"], x["n_k"])
                                                 for x in c.layers]

    def run(name, model, call, **options):
        with warnings.catch_warnings(record=True) as said, torch.no_grad():
            warnings.simplefilter("always")
            with capture(model, name, **options) as c:
                call()
        m = manifest(name)
        attnscope("inspect", name)
        return place(c), m, [str(w.message) for w in said if "passes" in str(w.message)]

    llama = load(os.path.join(PARITY, "llama_gqa_tied"))
    n = llama.config.num_hidden_layers

    def both():
        llama.model(ids)
        llama.model(ids[:, :9])

    first, m, said = run("part", llama, both)
    assert first == [(0, "", i, 16) for i in range(n)] and m["tokens"]["ids"] == IDS, first
    assert m["model"]["layers"] == n and len(said) == 1 and "first of 2" in said[0], said
    every, m, said = run("part-all", llama, both, steps="all")
    assert every == first + [(1, "", i, 9) for i in range(n)] and not said, every

    def other():
        llama.model(ids)
        llama.model(ids.flip(1))

    assert run("part-other", llama, other, steps="all")[1]["tokens"] is None

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = llama

        def forward(self, a, b):
            return self.inner(a), self.inner(b)

    twice = Twice()
    got, _, said = run("part-twice", twice, lambda: twice(ids, ids[:, :9]))
    assert got == first and len(said) == 1, (got, said)

    def caught():
        try:
            llama(torch.tensor([[10 ** 6]]))
        except IndexError:
            llama(ids)

    got, m, said = run("part-caught", llama, caught)
    assert got == first and m["tokens"]["ids"] == IDS and not said, (got, said)

    t5 = load(os.path.join(PARITY, "t5_relu"))
    n = t5.config.num_layers
    got, m, said = run("part-t5", t5, lambda: (t5.encoder(ids), t5.encoder(ids[:, :9])))
    assert got == [(0, "encoder", i, 16) for i in range(n)] and len(said) == 1, got
    assert m["stack_tokens"]["encoder"]["ids"] == IDS
    got, _, said = run("part-generate", t5, lambda: t5.generate(ids, max_new_tokens=4,
                                                               min_new_tokens=4))
    assert {x[:2] for x in got} == {(0, "encoder"), (0, "decoder"), (0, "cross")}
    assert len(got) == n + 2 * t5.config.num_decoder_layers and "first of 4" in said[0], said

    size = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
            "num_attention_heads": 4}
    clip = transformers.CLIPModel(transformers.CLIPConfig(
        text_config={"vocab_size": 60, "eos_token_id": 2, **size},
        vision_config={"image_size": 32, "patch_size": 8, **size})).eval()
    want = [(0, "", 0, 16), (0, "", 1, 16)]
    got, m, said = run("part-clip", clip, lambda: clip.get_text_features(ids))
    assert got == want and m["tokens"]["ids"] == IDS and not said, got
    got, m, said = run("part-both", clip, lambda: (
        clip.get_text_features(ids), clip.get_image_features(torch.zeros(1, 3, 32, 32))))
    assert got == want + [(0, "vision", 0, 17), (0, "vision", 1, 17)] and not said, got
    assert m["tokens"]["ids"] == IDS

    albert = load(os.path.join(PARITY, "albert_groups"))  # one module is many layers
    got, _, said = run("part-albert", albert, lambda: (albert(ids), albert(ids[:, :9])))
    assert got == [(0, "", i, 16) for i in range(len(got))] and len(said) == 1, (got, said)
    assert len(got) == albert.config.num_hidden_layers * albert.config.inner_group_num

    with capture(llama, "used") as c:
        llama(ids)
    try:
        with c:
            llama(ids)
        raise AssertionError("a capture served twice")
    except RuntimeError as e:
        assert "used already" in str(e), e
    assert manifest("used")["complete"]


def multihead():
    """nn.MultiheadAttention, called in every way, and models of torch that are made of it."""
    torch.manual_seed(1)
    fast = torch.backends.mha.get_fastpath_enabled()
    n, m, width, heads = 9, 7, 32, 4
    x, y, thin = (torch.randn(size) for size in ((1, n, width), (1, m, width), (1, m, 20)))
    ahead = torch.ones(n, n, dtype=torch.bool).triu(1)
    pad = torch.arange(n)[None] >= n - 2
    causal = torch.nn.Transformer.generate_square_subsequent_mask(n)
    square, slopes = (x, x, x), torch.arange(1, heads + 1)[:, None, None]
    bias = slopes * -0.1 * (torch.arange(n)[:, None] - torch.arange(n)).abs()
    thin_sizes = {"kdim": width, "vdim": 20, "bias": False}
    for name, made, given, said in (
            ("plain", {}, square, {}),
            ("cross", {}, (x, y, y), {}),
            ("thin", thin_sizes, (x, y, thin), {}),
            ("ahead", {}, square, {"attn_mask": ahead}),
            ("hint", {}, square, {"attn_mask": causal, "is_causal": True}),
            ("pad", {}, square, {"key_padding_mask": pad}),
            ("both", {}, square, {"attn_mask": ahead, "key_padding_mask": pad}),
            ("bias", {}, square, {"attn_mask": bias}),
            ("late", {"batch_first": False}, [t.transpose(0, 1) for t in square], {}),
            ("bare", {}, [t[0] for t in square], {"attn_mask": ahead})):
        mha = torch.nn.MultiheadAttention(width, heads, **{"batch_first": True, **made})
        for p in mha.parameters():
            p.data.normal_(0, 0.3)
        for train, grad, need in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 1, 0), (1, 0, 1)):
            run = f"mha-{name}-{train}{grad}{need}"
            mha.train(bool(train))
            with torch.set_grad_enabled(bool(grad)), capture(mha, run) as c:
                mha(*given, need_weights=bool(need), **said)
            want = mha(*given, average_attn_weights=False, **said)[1].detach().reshape(heads, n, -1)
            far = float((weights(run, c.layers[0]) - want.double()).abs().max())
            assert len(c.layers) == 1 and far < 1e-5, (run, far)
            assert c.layers[0]["mask"] == ("causal" if name in ("ahead", "hint", "both", "bare")
                                           else "full"), run
            t = load_file(os.path.join(run, c.layers[0]["file"]))
            assert torch.equal(t["w_o"], mha.out_proj.weight.T), run
        attnscope("stats", run)

    layer = lambda kind: kind(width, heads, 40, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer(torch.nn.TransformerEncoderLayer), 2)
    decoder = torch.nn.TransformerDecoder(layer(torch.nn.TransformerDecoderLayer), 2)
    whole = torch.nn.Transformer(width, heads, 2, 2, 40, batch_first=True)
    for name, model, given, said, want in (
            ("encoder", encoder, (x,), {"src_key_padding_mask": pad}, ["", ""]),
            ("decoder", decoder, (x, y), {}, ["", "cross"] * 2),
            ("whole", whole, (y, x), {"tgt_mask": causal},
             ["encoder", "encoder"] + ["decoder", "cross"] * 2)):
        for train in (True, False):
            for grad in (True, False):
                run = f"torch-{name}-{train}-{grad}"
                with torch.set_grad_enabled(grad), capture(model.train(train), run) as c:
                    model(*given, **said)
                assert [layer["stack"] for layer in c.layers] == want, c.layers
                assert c.layers[-1]["index"] == 1 and manifest(run)["complete"]
        attnscope("stats", run)
    assert manifest("torch-encoder-False-False")["layers"][0]["key_last"] == n - 2
    assert torch.backends.mha.get_fastpath_enabled() == fast

    hole = torch.zeros(1, n, dtype=torch.bool)
    hole[0, 4] = True
    for run, made, given, said, pattern in (
            ("mha-batch", {}, [torch.randn(2, n, width)] * 3, {}, "several sequences"),
            ("mha-late", {"batch_first": False}, [torch.randn(n, 2, width)] * 3,
             {"key_padding_mask": pad.expand(2, -1)}, "several sequences"),
            ("mha-extra", {"add_bias_kv": True}, square, {}, "add_bias_kv"),
            ("mha-zero", {"add_zero_attn": True}, square, {}, "add_zero_attn"),
            ("mha-hole", {}, square, {"key_padding_mask": hole}, "neither causal nor full")):
        mha = torch.nn.MultiheadAttention(width, heads, **{"batch_first": True, **made})
        try:
            with capture(mha, run):
                mha(*given, **said)
            raise AssertionError(f"{run} went through")
        except ValueError as e:
            assert pattern in str(e), e
        assert not os.path.exists(run)


def refusals():
    model = load(os.path.join(PARITY, "llama_gqa_tied"))
    ids, hole = torch.tensor([IDS]), torch.ones(1, len(IDS), dtype=torch.long)
    hole[0, 5] = 0
    before = dict(vars(sys.modules[type(model).__module__]))
    for run, pattern, given in (("batch", "batch holds 2", {"input_ids": ids.expand(2, -1)}),
                                ("hole", "neither causal nor full",
                                 {"input_ids": ids, "attention_mask": hole})):
        try:
            recorded(run, model, given)
            raise AssertionError(f"{run} went through")
        except ValueError as e:
            assert pattern in str(e), e
        assert not os.path.exists(run)
    recorded("twice", model, {"input_ids": ids})
    try:
        capture(model, "twice")
        raise AssertionError("wrote into a capture")
    except FileExistsError:
        pass
    try:
        with capture(torch.nn.Sequential(torch.nn.Linear(2, 2)), "none") as c:
            c.model(torch.zeros(1, 2))
        raise AssertionError("a model without attention went through")
    except RuntimeError as e:
        assert "no attention" in str(e)
    size = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 40, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    xlnet = {"vocab_size": 60, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 40}
    for odd in (transformers.DebertaModel(transformers.DebertaConfig(**size)),
                transformers.DebertaV2Model(transformers.DebertaV2Config(**size)),
                transformers.XLNetModel(transformers.XLNetConfig(**xlnet))):
        try:
            recorded("odd", odd.eval(), {"input_ids": ids})
            raise AssertionError(f"{type(odd).__name__} went through")
        except RuntimeError as e:
            assert "does not know" in str(e) and "`attnscope import`" in str(e), e
            assert "attn_implementation" not in str(e), e
    try:
        with capture(model, "broken"), torch.no_grad():
            model(ids)
            raise KeyError
    except KeyError:
        assert manifest("broken")["complete"] is False
    assert before == dict(vars(sys.modules[type(model).__module__]))  # nothing stays wrapped


for file, ids in (("ids.txt", IDS), ("target.txt", TARGET)):
    with open(file, "w", encoding="utf-8") as f:
        f.write(" ".join(map(str, ids)) + "\n")
failed = 0
rest = () if sys.argv[3:] else (text, padding, generation, others, parts,
                                 multihead, refusals)
for case in (*(sys.argv[3:] or CASES), *rest):
    name = case if isinstance(case, str) else case.__name__
    try:
        fixture(case) if isinstance(case, str) else case()
        print("same:" if isinstance(case, str) else "good:", name)
    except Exception as e:
        failed += 1
        print("WRONG:", name, type(e).__name__, e)
sys.exit(1 if failed else 0)
