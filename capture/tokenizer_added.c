/* capture/tokenizer_added.c -- the added tokens, which are cut out of the text before
 * the model.
 *
 * Source  huggingface/tokenizers: at each place the longest wins, from left to right.
 *         lstrip and rstrip take the white space on their side; the search goes on
 *         where the token itself ends. Of texts that are equal when normalised, which
 *         the reference leaves to chance, the first counts.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "capture/tokenizer_internal.h"

atn_status tok_added_ids(atn_ctx *cx, const atn_tokenizer *t, const json_t *added,
                         int64_t *largest)
{
    const json_t *v;
    int64_t id = 0;
    size_t i;

    json_array_foreach(added, i, v)
    {
        if (!tok_id_of(json_object_get(v, "id"), &id) ||
            !json_string_value(json_object_get(v, "content")))
            return tok_bad(cx, t, "added_tokens holds an entry without content and id");
        *largest = ATN_MAX(*largest, id);
    }
    return ATN_OK;
}

atn_status tok_read_added(atn_ctx *cx, atn_tokenizer *t, const json_t *list)
{
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    ATN_NEW(t->added, json_array_size(list));
    json_array_foreach(list, i, v)
    {
        const char *text = json_string_value(json_object_get(v, "content"));
        tok_added *a = &t->added[t->n_added];

        if (!*text) continue;
        *a = (tok_added){.text = text,
                         .size = strlen(text),
                         .id = (int32_t)json_integer_value(json_object_get(v, "id")),
                         .single_word = tok_flag(v, "single_word", false),
                         .lstrip = tok_flag(v, "lstrip", false),
                         .rstrip = tok_flag(v, "rstrip", false),
                         .normalized = tok_flag(v, "normalized", false)};
        t->vocab.spelling[a->id] = text;
        if (a->normalized) {
            tok_text normal = {0};

            st = tok_normalize(cx, t, text, a->size, &normal);
            a->owned = normal.data;
            if (st != ATN_OK) {
                t->n_added++;
                goto done;
            }
            a->text = normal.data;
            a->size = normal.size;
        }
        t->n_added++;
        if (a->size > TOK_PIECE_MOST)
            ATN_TRY(
                tok_bad(cx, t, "added_tokens holds a text of more than 4096 bytes"));
    }
    ATN_TRY(tok_index_added(cx, t));
done:
    return st;
}

static atn_status index_kind(atn_ctx *cx, const atn_tokenizer *t, bool normalized,
                             tok_trie *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    tok_key *keys = NULL;
    atn_idx n = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(keys, t->n_added + 1);
    for (atn_idx i = 0; i < t->n_added; i++) {
        const tok_added *a = &t->added[i];

        if (a->normalized == normalized && a->size > 0)
            keys[n++] = (tok_key){a->text, a->size, (int32_t)i, i};
    }
    ATN_TRY(tok_trie_build(cx, keys, n, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status tok_index_added(atn_ctx *cx, atn_tokenizer *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(index_kind(cx, t, false, &t->raw));
    ATN_TRY(index_kind(cx, t, true, &t->normal));
done:
    return st;
}

/* ---- cutting ---- */

static bool word_touches(const char *text, size_t n, size_t at, size_t size)
{
    size_t k, back = at;

    if (at + size < n && tok_is_word(tok_decode(text + at + size, n - at - size, &k)))
        return true;
    if (at == 0) return false;
    do back--;
    while (back > 0 && ((unsigned char)text[back] & 0xc0) == 0x80);
    return tok_is_word(tok_decode(text + back, at - back, &k));
}

/* The longest added token that begins at `at`; NULL when there is none. */
static const tok_added *added_at(const atn_tokenizer *t, const tok_trie *kind,
                                 const char *text, size_t n, size_t at)
{
    int32_t best = -1;
    int64_t step = 0;

    for (size_t end = at; end < n; end++) {
        step = tok_trie_next(kind, step, text[end]);
        if (step == 0) break;
        if (kind->nodes[step].id >= 0) best = kind->nodes[step].id;
    }
    return best >= 0 ? &t->added[best] : NULL;
}

/* White space before `at`, not going back beyond `floor`. */
static size_t skip_back(const char *text, size_t floor, size_t at)
{
    while (at > floor) {
        size_t back = at, k;

        do back--;
        while (back > floor && ((unsigned char)text[back] & 0xc0) == 0x80);
        if (!tok_is_space(tok_decode(text + back, at - back, &k))) break;
        at = back;
    }
    return at;
}

static size_t skip_forward(const char *text, size_t n, size_t at)
{
    size_t k;

    while (at < n && tok_is_space(tok_decode(text + at, n - at, &k))) at += k;
    return at;
}

atn_status tok_cut_added(atn_ctx *cx, const atn_tokenizer *t, bool normalized,
                         const char *text, size_t n, tok_pieces *out)
{
    const tok_trie *kind = normalized ? &t->normal : &t->raw;
    atn_status st = ATN_OK;
    size_t done = 0;

    for (size_t at = 0; at < n;) {
        const tok_added *a = added_at(t, kind, text, n, at);
        size_t begin, end;

        if (!a) {
            at++;
            continue;
        }
        begin = at;
        at += a->size;
        if (a->single_word && word_touches(text, n, begin, a->size)) continue;
        end = a->rstrip ? skip_forward(text, n, at) : at;
        if (a->lstrip) begin = ATN_MAX(skip_back(text, 0, begin), done);
        if (begin > done)
            ATN_TRY(tok_add_piece(cx, out, text + done, begin - done, -1));
        ATN_TRY(tok_add_piece(cx, out, text + begin, end - begin, a->id));
        done = end;
    }
    ATN_TRY(tok_add_piece(cx, out, text + done, n - done, -1));
done:
    return st;
}
