/* capture/tokenizer_label.c -- the readable text of one token. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"

const char *atn_tokenizer_token(const atn_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.size ? t->vocab.spelling[id] : NULL;
}

static bool is_added(const atn_tokenizer *t, int32_t id)
{
    for (atn_idx i = 0; i < t->n_added; i++)
        if (t->added[i].id == id) return true;
    return false;
}

/* Byte-level spelling back to bytes. */
static atn_status undo_bytes(atn_ctx *cx, const char *token, tok_text *out)
{
    const size_t n = strlen(token);
    atn_status st = ATN_OK;

    for (size_t at = 0, k; at < n; at += k) {
        const int byte = tok_char_byte(tok_decode(token + at, n - at, &k));
        const char c = (char)byte;

        ATN_TRY(byte >= 0 ? tok_append(cx, out, &c, 1)
                          : tok_append(cx, out, token + at, k));
    }
done:
    return st;
}

static atn_status undo_marks(atn_ctx *cx, const atn_tokenizer *t, const char *token,
                             bool first, tok_text *out)
{
    static const char mark[] = "\xe2\x96\x81";
    const char *at = token;
    unsigned byte = 0;
    atn_status st = ATN_OK;

    if (t->byte_fallback && strlen(token) == 6 &&
        sscanf(token, "<0x%2X>", &byte) == 1) {
        const char c = (char)byte;
        return tok_append(cx, out, &c, 1);
    }
    if (first && strncmp(at, mark, 3) == 0 && at[3]) at += 3;
    while (*at) {
        const bool hit = strncmp(at, mark, 3) == 0;
        ATN_TRY(hit ? tok_append(cx, out, " ", 1) : tok_append(cx, out, at, 1));
        at += hit ? 3 : 1;
    }
done:
    return st;
}

/* Bytes that are no UTF-8 by themselves become \xHH. */
static char *printable(atn_ctx *cx, const tok_text *in)
{
    tok_text out = {0};
    size_t at = 0;

    if (tok_append(cx, &out, "", 0) != ATN_OK) return NULL;
    while (at < in->size) {
        size_t bad = in->size - at, good;
        char hex[8];

        (void)atn_utf8_valid(in->data + at, in->size - at, &bad);
        good = ATN_MIN(bad, in->size - at);
        if (tok_append(cx, &out, in->data + at, good) != ATN_OK) goto fail;
        at += good;
        if (at == in->size) break;
        snprintf(hex, sizeof hex, "\\x%02X", (unsigned char)in->data[at++]);
        if (tok_append(cx, &out, hex, 4) != ATN_OK) goto fail;
    }
    return out.data;
fail:
    atn_free(cx, out.data);
    return NULL;
}

atn_status atn_tokenizer_text(atn_ctx *cx, const atn_tokenizer *t, int32_t id,
                              bool first, char **out)
{
    const char *token = atn_tokenizer_token(t, id);
    atn_status st = ATN_OK;
    tok_text raw = {0};

    *out = NULL;
    if (!token)
        ATN_FAIL(ATN_DATA, "%s: token id %d is not in the vocabulary", t->path, id);
    if (is_added(t, id))
        ATN_TRY(tok_append(cx, &raw, token, strlen(token)));
    else if (t->byte_level)
        ATN_TRY(undo_bytes(cx, token, &raw));
    else if (t->word_mark)
        ATN_TRY(undo_marks(cx, t, token, first, &raw));
    else
        ATN_TRY(tok_append(cx, &raw, token, strlen(token)));
    *out = printable(cx, &raw);
    if (!*out) st = cx->err.code;
done:
    atn_free(cx, raw.data);
    return st;
}
