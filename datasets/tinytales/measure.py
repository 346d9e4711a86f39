#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tinytales model learned, measured on the weights as written (BF16).

Loss      nats per token on held-out documents that fit the context, <s> given, the
          end token included, against the exact cost of the same documents under the
          grammar; the per-byte figures divide by the bytes of text.
Recall    every span of text that an earlier mention determines: probability and
          top-1 accuracy of its first token and of all its tokens, by the distance in
          tokens from the end of the latest mention.
Heads     previous  mean weight of query i on key i - 1, on held-out documents;
          induction mean weight on key i - 199 in the second copy of 200 random tokens
                    (where the token after the earlier copy of token i stands);
          copying   on held-out text, weight on all keys that follow an earlier copy of
                    token i, over the queries for which that continuation is right;
          recall    weight of the query that must begin a recall on the tokens of the
                    latest mention, where that ends more than 200 tokens back;
          far       weight of the same queries on keys more than 200 tokens back, the
                    first token left out;  first  weight on the first token.

Usage   measure.py [MODEL] [--documents N] [--heads N]    prints Markdown
"""

import argparse
import pathlib
import random
import statistics

import torch

import bpe
import grammar
import net as netlib

HERE = pathlib.Path(__file__).parent
BINS = [(0, 50), (50, 100), (100, 200), (200, 512)]


def held_out(tokens, count, seed):
    """(walk, ids) of documents whose <s> text </s> has at most 513 tokens."""
    rng = random.Random(f"held-out/{seed}")
    kept, drawn = [], 0
    while len(kept) < count:
        walk = grammar.generate(rng)
        ids = [bpe.BOS] + tokens.encode(walk.text) + [bpe.EOS]
        drawn += 1
        if len(ids) <= 513:
            kept.append((walk, ids))
    return kept, drawn


def byte_starts(tokens, ids):
    """Where each token begins in the text; <s> has position 0 and no length."""
    at, starts = 0, []
    for n in tokens.lengths(ids):
        starts.append(at)
        at += n
    return starts


def spans(tokens, walk, ids):
    """Recalls as token ranges: (first, end, first', end') of the recall and mention."""
    starts = byte_starts(tokens, ids)
    ends = starts[1:] + [len(walk.text)]
    for a, b, c, d in walk.recalls:
        # a token may begin with the space in front of the span
        inside = [i for i in range(1, len(ids) - 1)
                  if starts[i] >= a - 1 and a < ends[i] <= b]
        source = [i for i in range(1, len(ids) - 1) if starts[i] < d and ends[i] > c]
        if inside:
            yield inside[0], inside[-1] + 1, source[0], source[-1] + 1


@torch.no_grad()
def losses(net, ids):
    """-ln p of ids[1:], and whether each is the most probable token."""
    logits = net(torch.tensor([ids[:-1]]))[0]
    want = torch.tensor(ids[1:])
    cost = -logits.double().log_softmax(-1)[torch.arange(len(want)), want]
    return cost, logits.argmax(-1) == want


def report_loss(net, tokens, count):
    docs, drawn = held_out(tokens, count, 0)
    rows = {"tales": [], "word lists": []}
    recalls = {b: {"first": [], "all": []} for b in BINS}
    for walk, ids in docs:
        cost, right = losses(net, ids)
        kind = "word lists" if walk.text.startswith("List") else "tales"
        rows[kind].append((cost.sum().item(), walk.nats, len(ids) - 1, len(walk.text),
                           cost[-1].item()))
        for a, b, _, d in spans(tokens, walk, ids):
            for low, high in BINS:
                if low < a - d + 1 <= high:
                    for i in range(a, b):
                        pair = ((-cost[i - 1]).exp().item(), right[i - 1].item())
                        recalls[low, high]["all"].append(pair)
                        if i == a:
                            recalls[low, high]["first"].append(pair)
    rows["all"] = rows["tales"] + rows["word lists"]
    print(f"{len(docs)} held-out documents ({drawn} drawn; the others are longer than "
          "the context)\n")
    print("| documents | tokens | loss, nats/token | grammar, nats/token | gap |"
          " loss, nats/byte | grammar, nats/byte | of the loss: end token |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, r in rows.items():
        loss, nats, n, size, end = (sum(x) for x in zip(*r))
        print(f"| {kind} | {n} | {loss / n:.4f} | {nats / n:.4f} "
              f"| {(loss - nats) / n:.4f} | {loss / size:.4f} | {nats / size:.4f} "
              f"| {end / n:.4f} |")
    print("\n| recall distance, tokens | spans | first token: p, top-1 | "
          "all tokens: p, top-1 |\n|---|---|---|---|")
    for (low, high), r in recalls.items():
        cells = [", ".join(f"{statistics.mean(x):.3f}" for x in zip(*r[k]))
                 for k in ("first", "all")]
        print(f"| {low + 1}-{high} | {len(r['first'])} | {cells[0]} | {cells[1]} |")


@torch.no_grad()
def report_heads(net, tokens, count):
    c = net.config
    shape = c["num_hidden_layers"], c["num_attention_heads"]
    names = ["previous", "induction", "copying", "recall", "far", "first"]
    total = {k: torch.zeros(shape) for k in names}
    hits = dict.fromkeys(names, 0)

    def add(name, weights):
        """weights (layers, heads, queries)"""
        total[name] += weights.sum(-1)
        hits[name] += weights.shape[-1]

    for walk, ids in held_out(tokens, count, 1)[0]:
        ids = ids[:-1]
        _, records = net.recorded(torch.tensor([ids]))
        a = torch.stack([r["attn"][0] for r in records])  # (layers, heads, n, n)
        n = len(ids)
        i = torch.arange(1, n)
        add("previous", a[:, :, i, i - 1])
        add("first", a[:, :, 1:, 0])
        t = torch.tensor(ids)
        follows = (t[:-1][None, :] == t[:, None]).tril(-1)  # key j + 1 follows a copy
        keep = torch.zeros(n, n, dtype=torch.bool)
        keep[:, 1:] = follows
        keep &= torch.ones(n, n).tril().bool()
        right = (keep[:-1] & (t[None, :] == t[1:, None])).any(-1).nonzero()[:, 0]
        add("copying", (a * keep)[:, :, right].sum(-1))
        for b, _, s, e in spans(tokens, walk, ids + [bpe.EOS]):
            if b - e + 1 > 200:
                add("recall", a[:, :, b - 1, s:e].sum(-1)[..., None])
                add("far", a[:, :, b - 1, 1:max(1, b - 200)].sum(-1)[..., None])
    g = torch.Generator().manual_seed(0)
    drop = []
    for _ in range(16):
        half = torch.randint(2, c["vocab_size"], (200,), generator=g).tolist()
        ids = [bpe.BOS] + half + half
        logits, records = net.recorded(torch.tensor([ids]))
        a = torch.stack([r["attn"][0] for r in records])
        i = torch.arange(201, 400)
        add("induction", a[:, :, i, i - 199])
        cost, _ = losses(net, ids)
        drop.append((cost[1:200].mean().item(), cost[201:].mean().item()))
    first, second = (statistics.mean(x) for x in zip(*drop))
    print(f"\nRandom tokens, 200 and the same 200 again: loss {first:.3f} nats/token "
          f"in the first copy, {second:.3f} in the second.\n")
    print("| layer.head | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for l in range(shape[0]):
        for h in range(shape[1]):
            print(f"| {l}.{h} | " + " | ".join(
                f"{total[k][l, h] / hits[k]:.3f}" for k in names) + " |")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="?", type=pathlib.Path, default=HERE / "model")
    p.add_argument("--documents", type=int, default=1000)
    p.add_argument("--heads", type=int, default=100, help="documents for the heads")
    o = p.parse_args()
    net, tokens = netlib.load(o.model), bpe.read(o.model)
    report_loss(net, tokens, o.documents)
    report_heads(net, tokens, o.heads)


if __name__ == "__main__":
    main()
