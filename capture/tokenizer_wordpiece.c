/* capture/tokenizer_wordpiece.c -- greedy longest match from the left, ## from the
 * second on.
 *
 * Source  Devlin et al., arXiv 1810.04805. A word that is too long, or that cannot be
 *         covered, is one unknown token.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "capture/tokenizer_internal.h"

static atn_idx count_chars(const char *s, size_t n)
{
    atn_idx chars = 0;

    for (size_t i = 0; i < n; i++) chars += ((unsigned char)s[i] & 0xc0) != 0x80;
    return chars;
}

/* The longest vocabulary text that begins at `at`; its id, and its bytes through
 * size. */
static atn_status longest(atn_ctx *cx, const atn_tokenizer *t, const char *piece,
                          size_t n, size_t at, tok_text *one, int32_t *id, size_t *size)
{
    atn_status st = ATN_OK;

    *id = -1;
    for (size_t end = n; end > at && *id < 0; end--) {
        if (end < n && ((unsigned char)piece[end] & 0xc0) == 0x80) continue;
        one->size = 0;
        if (at > 0) ATN_TRY(tok_append(cx, one, t->prefix, strlen(t->prefix)));
        ATN_TRY(tok_append(cx, one, piece + at, end - at));
        *id = tok_find(&t->vocab, one->data, one->size);
        *size = end - at;
    }
done:
    return st;
}

atn_status tok_wordpiece(atn_ctx *cx, const atn_tokenizer *t, const char *piece,
                         size_t n, tok_ids *out)
{
    const atn_idx start = out->n;
    atn_status st = ATN_OK;
    tok_text one = {0};
    bool covered = count_chars(piece, n) <= t->max_chars;
    size_t size = 0;

    for (size_t at = 0; covered && at < n; at += size) {
        int32_t id;

        ATN_TRY(longest(cx, t, piece, n, at, &one, &id, &size));
        covered = id >= 0;
        if (covered) ATN_TRY(tok_add_id(cx, out, id));
    }
    if (!covered) {
        out->n = start;
        ATN_TRY(tok_add_id(cx, out, t->unk));
    }
done:
    atn_free(cx, one.data);
    return st;
}
