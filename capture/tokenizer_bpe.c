/* capture/tokenizer_bpe.c -- byte-pair encoding of one piece.
 *
 * Math    start from characters (or their bytes, or the unknown token); merge the
 *         adjacent pair of lowest rank, the leftmost among equals, until none is left.
 * Cost    O(n log n): a linked list of symbols and a heap of candidate pairs;
 *         candidates that a merge made stale are dropped when they surface.
 * Source  Sennrich et al., arXiv 1508.07909; readings of huggingface/tokenizers.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer_internal.h"

/* ---- merges ---- */

static uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t pair_slot(const tok_merges *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;

    h ^= h >> 29;
    for (size_t at = h & (m->n_slots - 1);; at = (at + 1) & (m->n_slots - 1))
        if (m->slots[at].rank < 0 || m->slots[at].pair == pair) return at;
}

static bool find_merge(const tok_merges *m, int32_t left, int32_t right, int32_t *rank,
                       int32_t *id)
{
    size_t at;

    if (m->n_slots == 0) return false;
    at = pair_slot(m, pair_key(left, right));
    *rank = m->slots[at].rank;
    *id = m->slots[at].id;
    return *rank >= 0;
}

static atn_status merges_room(atn_ctx *cx, tok_merges *m, size_t n)
{
    atn_status st = ATN_OK;

    m->n_slots = 16;
    while (m->n_slots < 2 * n) m->n_slots *= 2;
    ATN_NEW(m->slots, m->n_slots);
    for (size_t i = 0; i < m->n_slots; i++) m->slots[i].rank = -1;
done:
    return st;
}

/* Of two equal pairs the last one counts. */
static void put_merge(tok_merges *m, int32_t left, int32_t right, int32_t rank,
                      int32_t id)
{
    const size_t at = pair_slot(m, pair_key(left, right));

    m->slots[at].pair = pair_key(left, right);
    m->slots[at].rank = rank;
    m->slots[at].id = id;
}

/* "a b" or ["a", "b"]. */
static bool merge_parts(const json_t *j, const char **a, size_t *n, const char **b,
                        size_t *m)
{
    const char *both = json_string_value(j), *space;

    if (both) {
        space = strchr(both, ' ');
        if (!space || space == both || !space[1]) return false;
        *a = both;
        *n = (size_t)(space - both);
        *b = space + 1;
    } else {
        *a = json_string_value(json_array_get(j, 0));
        *b = json_string_value(json_array_get(j, 1));
        if (json_array_size(j) != 2 || !*a || !*b) return false;
        *n = strlen(*a);
    }
    *m = strlen(*b);
    return true;
}

static atn_status add_merge(atn_ctx *cx, atn_tokenizer *t, const json_t *j,
                            int32_t rank, tok_text *joined)
{
    const size_t skip = strlen(t->prefix);
    const char *a = NULL, *b = NULL;
    size_t n = 0, m = 0;
    int32_t left, right, id;
    char what[200];
    atn_status st = ATN_OK;

    if (!merge_parts(j, &a, &n, &b, &m)) {
        snprintf(what, sizeof what,
                 "model.merges[%d] is neither \"a b\" nor [\"a\", \"b\"]", rank);
        return tok_bad(cx, t, what);
    }
    joined->size = 0;
    ATN_TRY(tok_append(cx, joined, a, n));
    if (skip > 0 && m >= skip && memcmp(b, t->prefix, skip) == 0)
        ATN_TRY(tok_append(cx, joined, b + skip, m - skip));
    else
        ATN_TRY(tok_append(cx, joined, b, m));
    left = tok_find(&t->vocab, a, n);
    right = tok_find(&t->vocab, b, m);
    id = tok_find(&t->vocab, joined->data, joined->size);
    if (left < 0 || right < 0 || id < 0) {
        snprintf(what, sizeof what,
                 "model.merges[%d] (%.40s, %.40s) names a token that is not in "
                 "the vocabulary",
                 rank, a, b);
        return tok_bad(cx, t, what);
    }
    put_merge(&t->merges, left, right, rank, id);
done:
    return st;
}

/* ---- merges of pieces with scores ---- */

typedef struct derived {
    double score;
    int64_t left_chars, right_chars;
    int32_t left, right, id;
} derived;

/* Score, characters of the left part, of the right part, all descending; then by id. */
static int by_score(const void *a_, const void *b_)
{
    const derived *a = a_, *b = b_;

    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->left_chars != b->left_chars) return a->left_chars > b->left_chars ? -1 : 1;
    if (a->right_chars != b->right_chars)
        return a->right_chars > b->right_chars ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The pairs of pieces that make up one piece; all NULL: only counts. */
static int64_t split_piece(const atn_tokenizer *t, int32_t id, derived *out)
{
    const char *text = t->vocab.spelling[id];
    const size_t n = strlen(text);
    int64_t count = 0, chars = 0, left_chars = 0;

    for (size_t i = 0; i < n; i++) chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    for (size_t at = 0, k; at < n; at += k) {
        const int32_t left = at > 0 ? tok_find(&t->vocab, text, at) : -1;
        const int32_t right = left >= 0 ? tok_find(&t->vocab, text + at, n - at) : -1;

        if (right >= 0 && out)
            out[count] = (derived){t->scores[id], left_chars, chars - left_chars,
                                   left,          right,      id};
        count += right >= 0;
        left_chars++;
        (void)tok_decode(text + at, n - at, &k);
    }
    return count;
}

static atn_status merges_of_scores(atn_ctx *cx, atn_tokenizer *t, atn_idx pieces)
{
    derived *list = NULL;
    int64_t n = 0;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < pieces; i++) n += split_piece(t, (int32_t)i, NULL);
    if (n > INT32_MAX / 2) ATN_TRY(tok_bad(cx, t, "has too many merges"));
    ATN_NEW(list, n + 1);
    n = 0;
    for (atn_idx i = 0; i < pieces; i++) n += split_piece(t, (int32_t)i, list + n);
    qsort(list, (size_t)n, sizeof *list, by_score);
    ATN_TRY(merges_room(cx, &t->merges, (size_t)n));
    for (int64_t i = 0; i < n; i++)
        put_merge(&t->merges, list[i].left, list[i].right, (int32_t)i, list[i].id);
done:
    atn_free(cx, list);
    return st;
}

atn_status tok_read_bpe(atn_ctx *cx, atn_tokenizer *t, const json_t *model)
{
    const json_t *merges = json_object_get(model, "merges"), *j;
    const size_t n = json_array_size(merges);
    tok_text joined = {0};
    atn_status st = ATN_OK;
    size_t i;

    if (t->scores && !merges)
        return merges_of_scores(
            cx, t, (atn_idx)json_object_size(json_object_get(model, "vocab")));
    if (!json_is_array(merges) || n > (size_t)1 << 26)
        ATN_TRY(tok_bad(cx, t, "model.merges is no array"));
    ATN_TRY(merges_room(cx, &t->merges, n));
    json_array_foreach(merges, i, j) ATN_TRY(add_merge(cx, t, j, (int32_t)i, &joined));
done:
    atn_free(cx, joined.data);
    return st;
}

/* ---- one piece ---- */

typedef struct symbol {
    int32_t id;
    int64_t prev, next; /* -1 = none */
    bool gone;
} symbol;

typedef struct candidate {
    int32_t rank, left, right, merged; /* ids when it was made */
    int64_t at;                        /* left symbol */
} candidate;

typedef struct work {
    symbol *symbols;
    candidate *heap;
    int64_t n, n_heap;
} work;

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(work *w, candidate c)
{
    int64_t at = w->n_heap++;

    while (at > 0 && before(&c, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = c;
}

static candidate pop(work *w)
{
    const candidate top = w->heap[0], last = w->heap[--w->n_heap];
    int64_t at = 0;

    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= w->n_heap) break;
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last)) break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return top;
}

static void consider(const atn_tokenizer *t, work *w, int64_t left)
{
    const int64_t right = left < 0 ? -1 : w->symbols[left].next;
    candidate c = {.at = left};

    if (left < 0 || right < 0) return;
    c.left = w->symbols[left].id;
    c.right = w->symbols[right].id;
    if (find_merge(&t->merges, c.left, c.right, &c.rank, &c.merged)) push(w, c);
}

static void merge_all(const atn_tokenizer *t, work *w)
{
    for (int64_t i = 0; i + 1 < w->n; i++) consider(t, w, i);
    while (w->n_heap > 0) {
        const candidate c = pop(w);
        symbol *left = &w->symbols[c.at];
        int64_t next;

        if (left->gone || left->id != c.left || left->next < 0 ||
            w->symbols[left->next].id != c.right)
            continue;
        next = w->symbols[left->next].next;
        w->symbols[left->next].gone = true;
        left->id = c.merged;
        left->next = next;
        if (next >= 0) w->symbols[next].prev = c.at;
        consider(t, w, left->prev);
        consider(t, w, c.at);
    }
}

static void add_symbol(work *w, int32_t id)
{
    w->symbols[w->n] = (symbol){id, w->n - 1, w->n + 1, false};
    w->n++;
}

/* Symbols of a character that is not in the vocabulary: its bytes, or the unknown
 * token. */
static void add_unknown(const atn_tokenizer *t, work *w, const char *c, size_t n,
                        bool *fused)
{
    bool all = t->byte_fallback;

    for (size_t i = 0; i < n; i++) all = all && t->bytes[(unsigned char)c[i]] >= 0;
    for (size_t i = 0; all && i < n; i++) add_symbol(w, t->bytes[(unsigned char)c[i]]);
    if (all) {
        *fused = false;
        return;
    }
    if (t->unk >= 0 && !(*fused && t->fuse_unk)) add_symbol(w, t->unk);
    *fused = true;
}

static atn_status start_symbols(atn_ctx *cx, const atn_tokenizer *t, const char *piece,
                                size_t n, work *w)
{
    tok_text one = {0};
    atn_status st = ATN_OK;
    bool fused = false;

    for (size_t at = 0, k; at < n; at += k) {
        int32_t id;

        (void)tok_decode(piece + at, n - at, &k);
        one.size = 0;
        if (at > 0) ATN_TRY(tok_append(cx, &one, t->prefix, strlen(t->prefix)));
        ATN_TRY(tok_append(cx, &one, piece + at, k));
        if (at + k == n) ATN_TRY(tok_append(cx, &one, t->suffix, strlen(t->suffix)));
        id = tok_find(&t->vocab, one.data, one.size);
        if (id < 0) {
            add_unknown(t, w, piece + at, k, &fused);
        } else {
            add_symbol(w, id);
            fused = false;
        }
    }
    if (w->n > 0) w->symbols[w->n - 1].next = -1;
done:
    atn_free(cx, one.data);
    return st;
}

atn_status tok_bpe(atn_ctx *cx, const atn_tokenizer *t, const char *piece, size_t n,
                   tok_ids *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int32_t whole = t->ignore_merges ? tok_find(&t->vocab, piece, n) : -1;
    atn_status st = ATN_OK;
    work w = {NULL, NULL, 0, 0};

    if (whole >= 0) return tok_add_id(cx, out, whole);
    /* a symbol a byte at most; a merge makes two candidates and removes one symbol */
    ATN_TAKE(w.symbols, n + 1);
    ATN_TAKE(w.heap, 3 * n + 3);
    ATN_TRY(start_symbols(cx, t, piece, n, &w));
    merge_all(t, &w);
    for (int64_t i = w.n > 0 ? 0 : -1; i >= 0; i = w.symbols[i].next)
        ATN_TRY(tok_add_id(cx, out, w.symbols[i].id));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
