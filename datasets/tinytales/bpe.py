# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte-level BPE for an ASCII language, and its Hugging Face tokenizer.json.

Text is cut into pieces (a word with its leading space, a run of punctuation, white
space) by the GPT-2 expression, which is written here with ASCII classes because re
has no \\p{L}; on ASCII text without apostrophes the two agree. Inside a piece the
adjacent pair of lowest rank merges first, the leftmost among equals.

Oracle  the ids equal those of the tokenizers package reading the file that write()
        makes (checked by tests/fixtures/tinytales/make_oracle.py).
"""

import collections
import json
import re

PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
SPECIAL = ["<s>", "</s>"]
BOS, EOS = 0, 1
NONE = 1 << 30  # the rank of a pair that does not merge


def byte_characters():
    """GPT-2's printable stand-ins: byte -> character."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in plain}
    others = [b for b in range(256) if b not in table]
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return table


BYTE_CHARACTER = byte_characters()


def spell(piece):
    return [BYTE_CHARACTER[b] for b in piece.encode()]


class Bpe:
    def __init__(self, merges):
        self.merges = merges
        self.rank = {m: i for i, m in enumerate(merges)}
        symbols = SPECIAL + sorted(BYTE_CHARACTER.values()) + [a + b for a, b in merges]
        self.vocab = {s: i for i, s in enumerate(symbols)}
        self.symbols = symbols
        self.cache = {}

    def encode_piece(self, piece):
        ids = self.cache.get(piece)
        if ids is None:
            s = spell(piece)
            while len(s) > 1:
                best = min(zip(s, s[1:]), key=lambda p: self.rank.get(p, NONE))
                if best not in self.rank:
                    break
                i = next(i for i in range(len(s)) if (s[i], s[i + 1]) == best)
                s[i:i + 2] = [s[i] + s[i + 1]]
            ids = [self.vocab[x] for x in s]
            if len(self.cache) < 200000:
                self.cache[piece] = ids
        return ids

    def encode(self, text):
        """Ids of the text, without the <s> in front."""
        return [i for piece in PIECE.findall(text) for i in self.encode_piece(piece)]

    def lengths(self, ids):
        """Bytes of each id; the special tokens have none."""
        return [0 if i < len(SPECIAL) else len(self.symbols[i]) for i in ids]

    def write(self, folder):
        """tokenizer.json and tokenizer_config.json."""
        special = [{"id": i, "content": s, "single_word": False, "lstrip": False,
                    "rstrip": False, "normalized": False, "special": True}
                   for i, s in enumerate(SPECIAL)]
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                 "use_regex": True}
        bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
        a = {"Sequence": {"id": "A", "type_id": 0}}
        b = {"Sequence": {"id": "B", "type_id": 1}}
        bos1 = {"SpecialToken": {"id": "<s>", "type_id": 1}}
        tokenizer = {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": special, "normalizer": None, "pre_tokenizer": level,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [bos, a], "pair": [bos, a, bos1, b],
                "special_tokens": {
                    "<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}}},
            "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": self.vocab,
                      "merges": [f"{a} {b}" for a, b in self.merges]}}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                  "eos_token": "</s>", "model_max_length": 512,
                  "clean_up_tokenization_spaces": False}
        for name, value in (("tokenizer", tokenizer), ("tokenizer_config", config)):
            with open(folder / f"{name}.json", "w", encoding="utf-8") as f:
                json.dump(value, f, ensure_ascii=False, indent=1)
                f.write("\n")


def read(folder):
    """The Bpe that write() wrote."""
    with open(folder / "tokenizer.json", encoding="utf-8") as f:
        return Bpe([tuple(m.split(" ")) for m in json.load(f)["model"]["merges"]])


def train(texts, size):
    """Merge the most frequent pair (ties: the smaller one) until size symbols exist."""
    count = collections.Counter(p for t in texts for p in PIECE.findall(t))
    words = [(spell(p), n) for p, n in sorted(count.items())]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for w, (s, n) in enumerate(words):
        for p in zip(s, s[1:]):
            pairs[p] += n
            where[p].add(w)
    merges = []
    while len(SPECIAL) + len(BYTE_CHARACTER) + len(merges) < size:
        a, b = best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for w in where.pop(best):
            s, n = words[w]
            for p in zip(s, s[1:]):
                pairs[p] -= n
            i = 0
            while i + 1 < len(s):
                if (s[i], s[i + 1]) == best:
                    s[i:i + 2] = [a + b]
                i += 1
            for p in zip(s, s[1:]):
                pairs[p] += n
                where[p].add(w)
    return Bpe(merges)
