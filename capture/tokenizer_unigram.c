/* capture/tokenizer_unigram.c -- the most probable pieces of one text.
 *
 * Math    best[0] = 0; best[e] = max over the vocabulary texts [s, e) of best[s] +
 *         score. Where no text of one character begins at s, that character is
 *         unknown, with the smallest score - 10. Starts go left to right, texts
 *         shortest first; only a strictly larger sum replaces, so the longer last
 *         piece wins ties.
 * Cost    O(n m) for texts of at most m bytes.
 * Limits  m is 4096.
 * Source  Kudo, arXiv 1804.10959; readings of huggingface/tokenizers: neighbouring
 *         unknowns are one piece, which becomes bytes where the model falls back on
 *         them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/tokenizer_internal.h"

static const double UNKNOWN_PENALTY = 10;

/* ---- reading ---- */

static atn_status bad_entry(atn_ctx *cx, const atn_tokenizer *t, size_t i)
{
    char what[120];

    snprintf(what, sizeof what, "model.vocab[%zu] is no [\"text\", score] pair", i);
    return tok_bad(cx, t, what);
}

static atn_status long_entry(atn_ctx *cx, const atn_tokenizer *t, size_t i, size_t n)
{
    char what[120];

    snprintf(what, sizeof what,
             "model.vocab[%zu] has %zu bytes, more than %d (give --token-ids)", i, n,
             (int)TOK_PIECE_MOST);
    return tok_bad(cx, t, what);
}

static atn_status build_trie(atn_ctx *cx, atn_tokenizer *t, atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    tok_key *keys = NULL;

    ATN_TAKE(keys, n);
    for (atn_idx i = 0; i < n; i++) {
        const char *text = t->vocab.spelling[i];
        const size_t size = strlen(text);
        keys[i] = (tok_key){text, size, tok_find(&t->vocab, text, size), i};
    }
    ATN_TRY(tok_trie_build(cx, keys, n, &t->trie));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status tok_read_unigram(atn_ctx *cx, atn_tokenizer *t, const json_t *model,
                            const json_t *added)
{
    const json_t *vocab = json_object_get(model, "vocab"),
                 *unk = json_object_get(model, "unk_id"), *v;
    const size_t n = json_array_size(vocab);
    int64_t largest = (int64_t)n - 1;
    atn_status st = ATN_OK;
    size_t i;

    if (n == 0 || n > TOK_ID_MAX)
        ATN_TRY(tok_bad(cx, t, "model.vocab is no list of pairs, or empty"));
    ATN_TRY(tok_added_ids(cx, t, added, &largest));
    ATN_TRY(tok_vocab_room(cx, &t->vocab, n, largest + 1));
    ATN_NEW(t->scores, n);
    t->least = INFINITY;
    json_array_foreach(vocab, i, v)
    {
        const char *text = json_string_value(json_array_get(v, 0));
        const json_t *score = json_array_get(v, 1);

        if (!text || !json_is_number(score)) ATN_TRY(bad_entry(cx, t, i));
        if (strlen(text) > TOK_PIECE_MOST) ATN_TRY(long_entry(cx, t, i, strlen(text)));
        tok_vocab_put(&t->vocab, text, strlen(text), (int32_t)i);
        t->scores[i] = json_number_value(score);
        t->least = ATN_MIN(t->least, t->scores[i]);
    }
    ATN_TRY(build_trie(cx, t, (atn_idx)n));
    t->unk = -1;
    if (!unk || json_is_null(unk)) return ATN_OK;
    if (!json_is_integer(unk) || json_integer_value(unk) < 0 ||
        json_integer_value(unk) >= (json_int_t)n)
        ATN_TRY(tok_bad(cx, t, "model.unk_id is not in the vocabulary"));
    t->unk = (int32_t)json_integer_value(unk);
done:
    return st;
}

/* ---- one text ---- */

typedef struct node {
    double score;
    int64_t start; /* of the last piece; -1 = not reached */
    int32_t id;
} node;

static void offer(node *to, double score, size_t start, int32_t id)
{
    if (to->start >= 0 && !(score > to->score)) return;
    *to = (node){score, (int64_t)start, id};
}

static atn_status no_unknown(atn_ctx *cx, const atn_tokenizer *t, const char *c,
                             size_t n)
{
    char what[120];

    snprintf(what, sizeof what,
             "'%.*s' of the text is not in the vocabulary, and the model has no unk_id",
             (int)n, c);
    return tok_bad(cx, t, what);
}

/* The pieces that begin at one character of k bytes. */
static atn_status from_here(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                            size_t n, size_t at, size_t k, node *best)
{
    const double here = best[at].score;
    bool single = false;
    int64_t step = 0;

    for (size_t end = at; end < n; end++) {
        step = tok_trie_next(&t->trie, step, text[end]);
        if (step == 0) break;
        if (t->trie.nodes[step].id < 0) continue;
        offer(&best[end + 1], here + t->scores[t->trie.nodes[step].id], at,
              t->trie.nodes[step].id);
        single |= end + 1 - at == k;
    }
    if (single) return ATN_OK;
    if (t->unk < 0) return no_unknown(cx, t, text + at, k);
    offer(&best[at + k], here + (t->least - UNKNOWN_PENALTY), at, t->unk);
    return ATN_OK;
}

static atn_status add_unknown(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                              size_t n, tok_ids *out)
{
    const int32_t known = tok_find(&t->vocab, text, n);
    bool all = t->byte_fallback;
    atn_status st = ATN_OK;

    if (known >= 0) return tok_add_id(cx, out, known);
    for (size_t i = 0; i < n; i++) all = all && t->bytes[(unsigned char)text[i]] >= 0;
    if (!all) return tok_add_id(cx, out, t->unk);
    for (size_t i = 0; i < n; i++)
        ATN_TRY(tok_add_id(cx, out, t->bytes[(unsigned char)text[i]]));
done:
    return st;
}

/* Turns the links of the best path round: next piece's start in place of the last
 * one's. */
static void turn(node *best, size_t n)
{
    int64_t end = (int64_t)n, next = -1;

    while (end >= 0) {
        const int64_t start = end > 0 ? best[end].start : -1;
        best[end].start = next;
        next = end;
        end = start;
    }
}

static atn_status walk(atn_ctx *cx, const atn_tokenizer *t, const char *text, size_t n,
                       const node *best, tok_ids *out)
{
    atn_status st = ATN_OK;
    size_t unknown = 0; /* bytes of unknown text right before `at` */

    for (size_t at = 0; at < n;) {
        const size_t end = (size_t)best[at].start;

        if (best[end].id == t->unk) {
            unknown += end - at;
        } else {
            if (unknown) ATN_TRY(add_unknown(cx, t, text + at - unknown, unknown, out));
            ATN_TRY(tok_add_id(cx, out, best[end].id));
            unknown = 0;
        }
        at = end;
    }
    if (unknown) ATN_TRY(add_unknown(cx, t, text + n - unknown, unknown, out));
done:
    return st;
}

atn_status tok_unigram(atn_ctx *cx, const atn_tokenizer *t, const char *text, size_t n,
                       tok_ids *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    node *best = NULL;

    ATN_TAKE(best, n + 1);
    for (size_t i = 0; i <= n; i++) best[i] = (node){0, -1, -1};
    for (size_t at = 0, k; at < n; at += k) {
        (void)tok_decode(text + at, n - at, &k);
        ATN_TRY(from_here(cx, t, text, n, at, k, best));
    }
    turn(best, n);
    ATN_TRY(walk(cx, t, text, n, best, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
