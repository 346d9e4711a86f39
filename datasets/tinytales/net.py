# SPDX-License-Identifier: GPL-3.0-or-later
"""The tinytales network: a Llama in plain PyTorch, and its Hugging Face directory.

Math    x += Wo attention(norm(x));  x += Wd (silu(Wg norm(x)) * Wu norm(x));
        norm(x) = g * x / sqrt(mean(x^2) + eps); logits = norm(x) E^T (tied embedding).
        RoPE turns the pairs (x_i, x_{i + d/2}), i < d/2, of q and k at position t by
        the angle t theta^(-2i/d) (the half-split convention of Hugging Face).
        Query head h reads KV head h // (heads / kv_heads).
Oracle  logits equal those of transformers' LlamaForCausalLM on the written directory
        (checked by tests/fixtures/tinytales/make_oracle.py).
"""

import json
import math
import struct

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "vocab_size": 1024, "hidden_size": 128, "intermediate_size": 448,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "rope_scaling": None, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
    "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 1,
    "use_cache": True, "torch_dtype": "bfloat16",
}


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def rope_table(n, d, theta):
    """cos and sin, each (n, d), the second half a copy of the first."""
    angle = torch.arange(n)[:, None] * theta ** (-torch.arange(0, d, 2) / d)[None, :]
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.d = c["head_dim"]
        size = c["hidden_size"]
        self.q_proj = nn.Linear(size, self.heads * self.d, bias=False)
        self.k_proj = nn.Linear(size, self.kv_heads * self.d, bias=False)
        self.v_proj = nn.Linear(size, self.kv_heads * self.d, bias=False)
        self.o_proj = nn.Linear(self.heads * self.d, size, bias=False)
        self.record = None  # a dict that takes q, k, v, attn of the next calls

    def forward(self, x, cos, sin):
        b, n, _ = x.shape
        split = lambda y, h: y.view(b, n, h, self.d).transpose(1, 2)  # (b, h, n, d)
        q = rotate(split(self.q_proj(x), self.heads), cos, sin)
        k = rotate(split(self.k_proj(x), self.kv_heads), cos, sin)
        v = split(self.v_proj(x), self.kv_heads)
        group = self.heads // self.kv_heads
        kk, vv = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if self.record is None and hasattr(F, "scaled_dot_product_attention"):
            o = F.scaled_dot_product_attention(q, kk, vv, is_causal=True)
        else:
            s = q @ kk.transpose(-1, -2) / math.sqrt(self.d)
            s = s.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
            a = s.softmax(-1)
            o = a @ vv
            if self.record is not None:
                self.record.update(q=q, k=k, v=v, attn=a)
        return self.o_proj(o.transpose(1, 2).reshape(b, n, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        size, inner = c["hidden_size"], c["intermediate_size"]
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Net(nn.Module):
    """ids (b, n) -> logits (b, n, vocab); parameter names are those of the file."""

    def __init__(self, c=None):
        super().__init__()
        c = self.config = dict(CONFIG if c is None else c)
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        cos, sin = rope_table(c["max_position_embeddings"], c["head_dim"],
                              c["rope_theta"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.draw()

    def draw(self):
        """Initial weights. Unit-variance projections: at a width of 128 the customary
        0.02 leaves the scores so flat that the first layers learn to attend late. And
        one direction shared by all embeddings, which the logits do not see (it shifts
        them all alike): without it, and without biases, q and k of the first layer
        hold nothing that is the same at every token, which a head that attends by
        position alone needs."""
        for name, p in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(p, std=0.01)
            elif name.startswith("embed"):
                nn.init.normal_(p, std=0.05)
                p.data += 0.05 * torch.randn(p.shape[1])
            elif p.dim() == 2:
                nn.init.normal_(p, std=p.shape[1] ** -0.5)

    def forward(self, ids):
        n = ids.shape[1]
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos[:n], self.sin[:n])
        return self.norm(x) @ self.embed_tokens.weight.T

    def recorded(self, ids):
        """logits and, per layer, {q, k, v, attn} of this call, q and k after RoPE."""
        records = [{} for _ in self.layers]
        for layer, r in zip(self.layers, records):
            layer.self_attn.record = r
        logits = self(ids)
        for layer in self.layers:
            layer.self_attn.record = None
        return logits, records


def write_safetensors(path, tensors, metadata):
    """tensors: name -> tensor, written in order of their names (bf16, f32 or i64)."""
    kinds = {torch.bfloat16: "BF16", torch.float32: "F32", torch.int64: "I64"}
    header, blobs, at = {"__metadata__": metadata}, [], 0
    for name in sorted(tensors):
        t = tensors[name].detach().contiguous()
        raw = t.view(torch.int16) if t.dtype == torch.bfloat16 else t
        blob = raw.numpy().tobytes()
        header[name] = {"dtype": kinds[t.dtype], "shape": list(t.shape),
                        "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def save(net, folder):
    """config.json and model.safetensors: weights rounded to BF16 under HF names."""
    tensors = {"model." + k: v.bfloat16() for k, v in net.state_dict().items()}
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    with open(folder / "config.json", "w", encoding="utf-8") as f:
        json.dump(net.config, f, indent=2)
        f.write("\n")


def load(folder):
    """The network as written, in float32."""
    with open(folder / "config.json", encoding="utf-8") as f:
        net = Net(json.load(f))
    raw = (folder / "model.safetensors").read_bytes()
    size, = struct.unpack("<Q", raw[:8])
    header, body = json.loads(raw[8:8 + size]), raw[8 + size:]
    state = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            bits = torch.frombuffer(bytearray(body[a:b]), dtype=torch.int16)
            value = bits.view(torch.bfloat16).view(t["shape"])
            state[name[len("model."):]] = value.float()
    net.load_state_dict(state)
    return net.eval()
