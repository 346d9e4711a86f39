#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose sample.txt: the held-out tale that asks most of a long memory.

Of 3000 tales drawn from the held-out stream "sample", those of 400 to 480 tokens with
<s>, with an aside inside an aside, a refrain sung twice and a roll call; of these the
one with the most recalls from more than 200 tokens back.

Usage   sample.py > sample.txt      (no newline at the end: the text is the document)
"""

import pathlib
import random
import sys

import bpe
import grammar
import measure


def main():
    tokens = bpe.read(pathlib.Path(__file__).parent / "model")
    rng = random.Random("sample")
    best, most = None, -1
    for _ in range(3000):
        walk = grammar.generate(rng)
        text = walk.text
        ids = [bpe.BOS] + tokens.encode(text) + [bpe.EOS]
        if not (401 <= len(ids) <= 481 and "[" in text and "Roll: " in text
                and text.count("Sing: ") > 1):
            continue
        far = sum(a - d + 1 > 200 for a, _, _, d in measure.spans(tokens, walk, ids))
        if far > most:
            best, most = text, far
    sys.stdout.write(best)
    print(f"{most} recalls from more than 200 tokens back", file=sys.stderr)


if __name__ == "__main__":
    main()
