/* capture/tokenizer_trie.c -- every text of a set that begins at one place, byte by
 * byte.
 *
 * Nodes lie breadth first, the children of a node side by side and sorted by their
 * byte.
 * Cost    12 bytes a node; log2 of the children a step.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer_internal.h"

typedef struct span {
    int64_t lo, hi; /* the sorted keys below a node */
    size_t depth;
} span;

static int by_text(const void *a_, const void *b_)
{
    const tok_key *a = a_, *b = b_;
    const int c = memcmp(a->text, b->text, ATN_MIN(a->size, b->size));

    if (c != 0) return c;
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int64_t count_nodes(const tok_key *keys, atn_idx n)
{
    int64_t nodes = 1;

    for (atn_idx i = 0; i < n; i++) {
        size_t same = 0;

        while (i > 0 && same < keys[i].size && same < keys[i - 1].size &&
               keys[i].text[same] == keys[i - 1].text[same])
            same++;
        nodes += (int64_t)(keys[i].size - same);
    }
    return nodes;
}

/* Makes the children of a node; the next free node is returned. */
static int64_t expand(tok_trie *t, span *spans, int64_t node, const tok_key *keys,
                      int64_t next)
{
    const span s = spans[node];
    int64_t lo = s.lo;

    t->nodes[node].first = (uint32_t)next;
    for (; lo < s.hi && keys[lo].size == s.depth; lo++)
        if (t->nodes[node].id < 0) t->nodes[node].id = keys[lo].id;
    while (lo < s.hi) {
        const char c = keys[lo].text[s.depth];
        int64_t end = lo + 1;

        while (end < s.hi && keys[end].text[s.depth] == c) end++;
        t->nodes[next].byte = (unsigned char)c;
        t->nodes[next].id = -1;
        spans[next++] = (span){lo, end, s.depth + 1};
        t->nodes[node].n++;
        lo = end;
    }
    return next;
}

atn_status tok_trie_build(atn_ctx *cx, tok_key *keys, atn_idx n, tok_trie *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    span *spans = NULL;
    int64_t next = 1;

    if (n > 0) qsort(keys, (size_t)n, sizeof *keys, by_text);
    t->n = count_nodes(keys, n);
    if (t->n > UINT32_MAX)
        ATN_FAIL(ATN_DATA, "the tokens of the tokenizer are too long");
    ATN_NEW(t->nodes, t->n);
    ATN_TAKE(spans, t->n);
    spans[0] = (span){0, n, 0};
    t->nodes[0].id = -1;
    for (int64_t node = 0; node < t->n; node++)
        next = expand(t, spans, node, keys, next);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

void tok_trie_release(atn_ctx *cx, tok_trie *t)
{
    atn_free(cx, t->nodes);
    *t = (tok_trie){NULL, 0};
}

int64_t tok_trie_next(const tok_trie *t, int64_t node, char byte)
{
    const unsigned char c = (unsigned char)byte;
    int64_t lo = t->nodes[node].first, hi = lo + t->nodes[node].n;

    while (lo < hi) {
        const int64_t middle = lo + (hi - lo) / 2;

        if (t->nodes[middle].byte == c) return middle;
        if (t->nodes[middle].byte < c)
            lo = middle + 1;
        else
            hi = middle;
    }
    return 0;
}
