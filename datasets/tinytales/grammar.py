#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of the tinytales model: a generator that knows its own entropy.

A document is either a tale or a word list. A tale introduces people with made-up
names, gives each of them facts drawn at random (home, keepsake, herd, friend, song),
repeats and queries these facts later, and interrupts itself with nested asides, a
refrain and roll calls. Stating a fact the first time costs many nats; every repeat is
determined by what was said before, so a reader who recalls pays nothing for it. A
word list is a random sequence that is then read again.

Math    every random decision is one call of Walk.pick(options): it emits the text of
        the option at once and adds -ln p(option) to the cost of the document. The
        options of one pick are a prefix code (no option is a prefix of another), so
        the text determines the decisions and
            -ln p(document) = sum of the costs of its picks      (exact, in nats).
Oracle  score(text) re-reads a text with the same grammar, the options matched against
        the text instead of drawn; it fails where two options match, and returns the
        same cost as the generation of that text.
Limits  the end of a document is a function of its length in bytes (no cost).

Usage   grammar.py SEED [COUNT]     prints documents, and their cost on stderr
"""

import math
import random
import sys

BYTES_MIN = 1320  # a document ends with the first sentence that reaches this length
NEWCOMERS = (6, 3, 1, 0.5, 0.25, 0)  # weight of a newcomer when 1, 2 .. are known
LIST_SHARE = 0.15  # of the documents are word lists

SYLLABLES = [c + v for c in "bdfghklmprtvz" for v in "aeiou"]
CODAS = ["n", "s", "rn", "lt", "th"]
PLACE_ENDS = ["port", "holm", "ford", "wick", "mere", "dale"]
COLOURS = ["copper", "green", "silver", "black", "golden", "white", "scarlet", "blue"]
THINGS = ["lantern", "kettle", "mirror", "violin", "compass", "ladder", "basket",
          "candle", "hammer", "feather", "barrel", "ribbon", "saddle", "whistle",
          "needle", "clock"]
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
           "eleven", "twelve", "twenty"]
ANIMALS = ["herons", "goats", "ravens", "otters", "mules", "geese", "bees", "hounds",
           "owls", "ponies", "cats", "swans"]
ADJECTIVES = ["old", "grey", "quiet", "narrow", "frozen", "bright", "lost", "broken"]
NOUNS = ["river", "hill", "moon", "forest", "bridge", "winter", "tower", "garden",
         "road", "harbour", "wind", "mill"]
VERBS = ["sleeps", "waits", "burns", "sings", "bends", "shines", "falls", "turns"]
PREPOSITIONS = ["under", "behind", "beyond", "near", "above", "without"]
REMARKS = ["so they say", "and it rained", "nobody knows why", "as we all saw",
           "it was late", "the dogs were loud", "believe it or not", "by candle light"]
SCENE = (ADJECTIVES, NOUNS, VERBS, PREPOSITIONS, ["the"], NOUNS)
BRACKETS = [("(", ")"), ("[", "]"), ("{", "}")]

ATTRIBUTES = {"home": "lives in ", "keep": "keeps a ", "herd": "feeds ",
              "friend": "trusts ", "song": 'sings "'}
QUESTIONS = [("Where does ", "home", " live? In "), ("What does ", "keep", " keep? A "),
             ("How many ", "herd", " feed? All "),
             ("Whom does ", "friend", " trust? Just "),
             ("Which song has ", "song", '? Surely "'),
             ("Who keeps the ", "keep", "? "),
             ("Who lives in ", "home", "? ")]


class Walk:
    """One way through the grammar: drawn with rng, or read from a given text."""

    def __init__(self, rng=None, text=None):
        self.rng, self.text = rng, text
        self.out, self.at = [], 0  # what has been emitted; its length in characters
        self.nats = 0.0
        self.recalls = []  # (start, end, start', end'): text that a mention determines
        self.last = {}  # fact -> (start, end) of its latest mention

    def put(self, s):
        """Emit fixed text."""
        if self.text is not None and not self.text.startswith(s, self.at):
            raise ValueError(f"at {self.at}: expected {s!r}")
        self.out.append(s)
        self.at += len(s)

    def pick(self, options, weights=None):
        """Choose one of the strings (a prefix code), emit it, return its index."""
        if weights is None:
            weights = [1.0] * len(options)
        total = sum(weights)
        if self.text is None:
            i = self.rng.choices(range(len(options)), weights)[0]
        else:
            hits = [i for i, s in enumerate(options)
                    if weights[i] > 0 and self.text.startswith(s, self.at)]
            if len(hits) != 1:
                raise ValueError(f"at {self.at}: {len(hits)} options match")
            i = hits[0]
        self.nats -= math.log(weights[i] / total)
        self.put(options[i])
        return i

    def state(self, key, start):
        """Note that the text from start on mentions a fact."""
        self.last[key] = start, self.at

    def recall(self, s, key):
        """Emit text that the latest mention of a fact determines; note both places."""
        start = self.at
        self.put(s)
        self.recalls.append((start, self.at, *self.last[key]))
        self.state(key, start)
        self.state((s, "name"), start)  # of use where s is a name


def draw_rest(w):
    """The rest of a word: a second syllable, then a coda (3 in 5) or a third one."""
    weights = [0.6 / len(CODAS)] * len(CODAS) + [0.4 / len(SYLLABLES)] * len(SYLLABLES)
    ends = CODAS + SYLLABLES
    return SYLLABLES[w.pick(SYLLABLES)] + ends[w.pick(ends, weights)]


def draw_word(w, capital):
    first = [s.capitalize() for s in SYLLABLES] if capital else SYLLABLES
    return first[w.pick(first)] + draw_rest(w)


def spaced(w, draws):
    """Words drawn one after the other, with a space between them."""
    words = []
    for i, draw in enumerate(draws):
        w.put(" " if i else "")
        words.append(draw())
    return " ".join(words)


def word_probability(word):
    n = len(SYLLABLES)
    return (0.6 / len(CODAS) if word[4:] in CODAS else 0.4 / n) / (n * n)


def draw_name(w, taken):
    """A name not in taken: drawn until it is new, so p = p0 / (1 - p0(taken))."""
    start = w.at
    while True:
        state = len(w.out), w.at, w.nats
        name = draw_word(w, True)
        if name not in taken:
            break
        if w.text is not None:
            raise ValueError(f"at {start}: the name {name} is taken")
        del w.out[state[0]:]
        w.at, w.nats = state[1:]
    w.nats += math.log1p(-sum(word_probability(t) for t in taken))
    return name


def draw_place(w, places):
    """One of those named before (1 in 4), or any of the 65 * 65 * 6 possible ones."""
    old = 0.25 if places else 0.0
    start = w.at
    if w.text is not None:
        found = [e for e in PLACE_ENDS if w.text.startswith(e, start + 4)]
        place = w.text[start:start + 4] + (found + [""])[0]
        if not (found and place[:2].lower() in SYLLABLES and place[2:4] in SYLLABLES):
            raise ValueError(f"at {start}: not a place")
    elif w.rng.random() < old:
        place = w.rng.choice(places)
    else:
        place = (w.rng.choice(SYLLABLES).capitalize() + w.rng.choice(SYLLABLES)
                 + w.rng.choice(PLACE_ENDS))
    p = (1 - old) / (len(SYLLABLES) ** 2 * len(PLACE_ENDS))
    if place in places:
        p += old / len(places)
    w.nats -= math.log(p)
    w.put(place)
    if place not in places:
        places.append(place)
    return place


class Tale:
    def __init__(self, walk):
        self.w = walk
        self.people = []  # {"name":, attribute: text}
        self.places = []
        self.refrain = None

    def someone(self, those):
        """One of these people, by name; the names are a prefix code."""
        start = self.w.at
        person = those[self.w.pick([p["name"] for p in those])]
        self.w.state((person["name"], "name"), start)
        return person

    def introduce(self):
        w, start = self.w, self.w.at
        name = draw_name(w, [p["name"] for p in self.people])
        w.state((name, "name"), start)
        w.put(" of ")
        start = w.at
        self.people.append({"name": name, "home": draw_place(w, self.places)})
        w.state((name, "home"), start)
        w.put(".")

    def fact(self, person):
        """The verb and the object; the object is drawn once and recalled ever after."""
        w = self.w
        names = [a for a in ATTRIBUTES if a != "friend" or len(self.people) > 1]
        a = names[w.pick([ATTRIBUTES[a] for a in names])]
        key = person["name"], a
        if a in person:
            w.recall(person[a], key)
        else:
            start = w.at
            person[a] = self.invent(a, person)
            w.state(key, start)
        if a == "song":
            w.put('"')

    def invent(self, a, person):
        """Draw the object of a fact that has not been stated yet."""
        w = self.w
        if a == "friend":
            return self.someone([p for p in self.people if p is not person])["name"]
        if a == "song":
            return spaced(w, [lambda: draw_word(w, False)] * 3)
        pools = (COLOURS, THINGS) if a == "keep" else (NUMBERS, ANIMALS)
        return spaced(w, [lambda pool=pool: pool[w.pick(pool)] for pool in pools])

    def statement(self):
        """Somebody, with or without the epithet, and one fact."""
        w = self.w
        person = self.someone(self.people)
        if w.pick([" of ", " still ", " also "], [2, 1, 1]) == 0:
            w.recall(person["home"], (person["name"], "home"))
            w.put(" ")
        self.fact(person)

    def question(self):
        """A question about a fact that was stated, and its answer."""
        w = self.w
        holders = {a: [p for p in self.people if a in p] for a in ATTRIBUTES}
        forms = [f for f in QUESTIONS if holders[f[1]]]
        opener, a, middle = forms[w.pick([f[0] for f in forms])]
        those = holders[a]
        if opener == "How many ":
            kinds = sorted({p["herd"].split()[1] for p in those})
            kind = kinds[w.pick(kinds)]
            w.put(" does ")
            person = self.someone([p for p in those if p["herd"].endswith(kind)])
            w.put(middle)
            w.recall(person["herd"].split()[0], (person["name"], a))
        elif opener.startswith("Who "):
            values, start = sorted({p[a] for p in those}), w.at
            value = values[w.pick(values)]
            those, end = [p for p in those if p[a] == value], w.at
            w.put(middle)
            if len(those) == 1:
                w.recall(those[0]["name"], (those[0]["name"], a))
            else:
                self.someone(those)
            for p in those:
                w.last[p["name"], a] = start, end
        else:
            person = self.someone(those)
            w.put(middle)
            w.recall(person[a], (person["name"], a))
        w.put('".' if a == "song" else ".")

    def scene(self):
        w = self.w
        w.put("the ")
        s = spaced(w, [lambda pool=pool: pool[w.pick(pool)] for pool in SCENE])
        return "the " + s

    def aside(self, depth):
        """( remark, more [ deeper { deepest } ] ); the opener is out already."""
        w = self.w
        while True:
            kinds = REMARKS + ["for ", "while "]
            k = w.pick(kinds, [0.6 / len(REMARKS)] * len(REMARKS) + [0.3, 0.1])
            if kinds[k] == "for ":
                self.statement()
            elif kinds[k] == "while ":
                self.scene()
            deeper = depth + 1 < len(BRACKETS)
            close = BRACKETS[depth][1]
            if deeper:
                opener = " " + BRACKETS[depth + 1][0]
                k = w.pick([close, ", ", opener], [0.4, 0.2, 0.4])
            else:
                k = w.pick([close, ", "], [0.7, 0.3])
            if k == 2:
                self.aside(depth + 1)
                k = w.pick([close, ", "], [0.7, 0.3])
            if k == 0:
                return

    def say(self):
        self.statement()
        self.w.put(".")

    def wander(self):
        self.scene()
        self.w.put(".")

    def digress(self):
        self.aside(0)

    def sing(self):
        w = self.w
        if self.refrain is None:
            start = w.at
            self.refrain = self.scene()
            w.state("refrain", start)
        else:
            w.recall(self.refrain, "refrain")
        w.put("!")

    def roll(self):
        """All names in the order of their first mention."""
        w = self.w
        for i, person in enumerate(self.people):
            w.put(", " if i else "")
            w.recall(person["name"], (person["name"], "name"))
        w.put(".")

    def tell(self):
        """The opener of the first sentence is out already."""
        w = self.w
        self.introduce()
        while w.at < BYTES_MIN:
            w.pick([" ", "\n"], [0.85, 0.15])
            newcomer = NEWCOMERS[len(self.people) - 1]
            events = [("There was ", self.introduce, newcomer), ("Now ", self.say, 5),
                      ("Q: ", self.question, 4), ("(", self.digress, 1.2),
                      ("Sing: ", self.sing, 0.8), ("Roll: ", self.roll, 0.6),
                      ("Then ", self.wander, 0.6)]
            events[w.pick([e[0] for e in events], [e[2] for e in events])][1]()


def recite(w):
    """Random words, read again any number of times; the opener is out already."""
    again, line = False, None
    while True:
        if again:
            w.recall(line, "list")
        else:
            line, start, count = "", w.at, 0
            while True:
                line += list_word(w)
                count += 1
                if w.pick([" ", "."], [0.92, 0.08] if count < 30 else [0, 1]) == 1:
                    break
                line += " "
            line += "."
            w.state("list", start)
        if w.at >= BYTES_MIN:
            return
        again = w.pick(["\nList: ", "\nAgain: "], [0.4, 0.6]) == 1


def list_word(w):
    """A made-up word (2 in 3), or one of the dictionary behind an article."""
    pool = THINGS + NOUNS + ANIMALS + COLOURS
    n = len(SYLLABLES)
    i = w.pick(SYLLABLES + ["the "], [2 / 3 / n] * n + [1 / 3])
    if i == n:
        return "the " + pool[w.pick(pool)]
    return SYLLABLES[i] + draw_rest(w)


def walk_document(w):
    if w.pick(["There was ", "List: "], [1 - LIST_SHARE, LIST_SHARE]) == 0:
        Tale(w).tell()
    else:
        recite(w)
    if w.text is not None and w.at != len(w.text):
        raise ValueError(f"at {w.at}: text goes on after the end")
    return w


def generate(rng):
    """Draw a document: the walk holds its text, cost, choice points and recalls."""
    w = walk_document(Walk(rng=rng))
    w.text = "".join(w.out)
    return w


def score(text):
    """Read a document; -ln p(text) in nats is .nats of the walk returned."""
    return walk_document(Walk(text=text))


def main(argv):
    rng = random.Random(int(argv[1]))
    for _ in range(int(argv[2]) if len(argv) > 2 else 1):
        w = generate(rng)
        print(w.text)
        print(f"{len(w.text)} bytes, {w.nats:.3f} nats", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv)
