#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the tinytales model: tokenizer first, then the network, from one seed.

Every row of a batch is one fresh document, <s> text </s>, cut at 512 tokens, so the
loss over the training set is a held-out loss. A few rows are drills instead: random
tokens repeated with a random period, with a loss on the repeats only; they hasten
the forming of induction heads and are no part of the language.

Usage   train.py [--steps N] [--seed S] [--threads T] [--out model] [--resume FILE]
        writes the model directory every --save steps and at the end.
Limits  float sums depend on the number of threads and the PyTorch version, so a
        rerun gives a model of the same quality, not the same bits.
"""

import argparse
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import bpe
import grammar
import net as netlib

HERE = pathlib.Path(__file__).parent
CONTEXT = 512


def row_document(rng, tokens):
    ids = [bpe.BOS] + tokens.encode(grammar.generate(rng).text) + [bpe.EOS]
    ids = ids[:CONTEXT + 1]
    pad = CONTEXT + 1 - len(ids)
    return ids + [bpe.EOS] * pad, ids[1:] + [-100] * pad


def row_drill(rng, vocab):
    period = round(math.exp(rng.uniform(math.log(3), math.log(250))))
    cycle = [rng.randrange(2, vocab) for _ in range(period)]
    ids = [bpe.BOS] + [cycle[i % period] for i in range(CONTEXT)]
    return ids, [-100] * period + ids[1 + period:]


def batch(rng, tokens, rows, drill_share):
    """inputs and targets (rows, 512); a target of -100 does not count."""
    made = [row_drill(rng, len(tokens.symbols)) if rng.random() < drill_share
            else row_document(rng, tokens) for _ in range(rows)]
    x = torch.tensor([r[0] for r in made])[:, :CONTEXT]
    y = torch.tensor([r[1] for r in made])
    return x, y


def rate(step, o):
    """Linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < o.warmup:
        return o.lr * (step + 1) / o.warmup
    t = (step - o.warmup) / max(1, o.steps - o.warmup)
    return o.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(t, 1.0))))


def options():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--steps", type=int, default=5400)
    p.add_argument("--rows", type=int, default=8)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--warmup", type=int, default=100)
    p.add_argument("--drill", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true", help="products in BF16 (autocast)")
    p.add_argument("--save", type=int, default=250)
    p.add_argument("--out", type=pathlib.Path, default=HERE / "model")
    p.add_argument("--state", type=pathlib.Path, help="training state to keep")
    p.add_argument("--resume", type=pathlib.Path, help="training state to go on from")
    return p.parse_args()


def main():
    o = options()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    o.out.mkdir(exist_ok=True)
    rng = random.Random(o.seed)
    tokens = bpe.train([grammar.generate(rng).text for _ in range(3000)],
                       netlib.CONFIG["vocab_size"])
    tokens.write(o.out)
    net = netlib.Net()
    print(sum(p.numel() for p in net.parameters()), "parameters", flush=True)
    plain = [p for p in net.parameters() if p.dim() < 2]
    matrices = [p for p in net.parameters() if p.dim() == 2]
    adam = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                              {"params": plain, "weight_decay": 0.0}],
                             lr=o.lr, betas=(0.9, 0.95))
    first = seen = 0
    if o.resume:
        state = torch.load(o.resume, weights_only=False)
        net.load_state_dict(state["net"])
        adam.load_state_dict(state["adam"])
        first, seen = state["step"], state["seen"]
    begin, mean = time.time(), None
    for step in range(first, o.steps):
        rng = random.Random(f"{o.seed}/{step}")
        x, y = batch(rng, tokens, o.rows, o.drill)
        for g in adam.param_groups:
            g["lr"] = rate(step, o)
        with torch.autocast("cpu", torch.bfloat16, enabled=o.bf16):
            logits = net(x)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(),
                               ignore_index=-100)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        seen += int((y >= 0).sum())
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} loss {mean:.4f} tokens {seen} "
                  f"seconds {time.time() - begin:.0f}", flush=True)
        if (step + 1) % o.save == 0 or step + 1 == o.steps:
            netlib.save(net, o.out)
            if o.state:
                torch.save({"net": net.state_dict(), "adam": adam.state_dict(),
                            "step": step + 1, "seen": seen}, o.state)


if __name__ == "__main__":
    main()
