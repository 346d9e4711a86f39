/* capture/tokenizer_spm.c -- reads a SentencePiece model file: pieces and
 * specifications.
 *
 * Source  sentencepiece_model.proto: ModelProto {1 pieces {1 piece, 2 score, 3 type},
 *         2 trainer_spec {3 model_type, 24 treat_whitespace_as_suffix,
 *         35 byte_fallback, 40 unk_id, 45 unk_piece}, 3 normalizer_spec
 *         {2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces}};
 *         other fields are passed over.
 * Limits  no length of the file is trusted; texts are kept where they lie in it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"

/* ---- protocol buffers ---- */

typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

/* One field: its number, and a value or the bytes of a message or text. */
typedef struct field {
    uint64_t number, value;
    cursor bytes;
    int wire; /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
} field;

static bool read_varint(cursor *c, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        const unsigned char b = *c->at++;

        *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) return true;
    }
    return false;
}

static bool read_fixed(cursor *c, int n, uint64_t *out)
{
    *out = 0;
    if (c->end - c->at < n) return false;
    for (int i = 0; i < n; i++) *out |= (uint64_t)c->at[i] << (8 * i);
    c->at += n;
    return true;
}

static bool read_field(cursor *c, field *f)
{
    uint64_t key = 0;

    if (!read_varint(c, &key)) return false;
    f->number = key >> 3;
    f->wire = (int)(key & 7);
    switch (f->wire) {
    case 0:
        return read_varint(c, &f->value);
    case 1:
        return read_fixed(c, 8, &f->value);
    case 5:
        return read_fixed(c, 4, &f->value);
    case 2:
        if (!read_varint(c, &f->value) || f->value > (uint64_t)(c->end - c->at))
            return false;
        f->bytes = (cursor){c->at, c->at + f->value};
        c->at += f->value;
        return true;
    default:
        return false;
    }
}

/* ---- the messages ---- */

static bool read_piece(cursor c, tok_spm_piece *p)
{
    field f;

    *p = (tok_spm_piece){.type = 1};
    while (c.at < c.end) {
        if (!read_field(&c, &f)) return false;
        if (f.number == 1 && f.wire == 2) {
            p->text = (const char *)f.bytes.at;
            p->size = (size_t)f.value;
        } else if (f.number == 2 && f.wire == 5) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&p->score, &bits, sizeof bits);
        } else if (f.number == 3 && f.wire == 0) {
            p->type = (int)ATN_MIN(f.value, (uint64_t)99);
        }
    }
    return true;
}

static bool read_trainer(cursor c, tok_spm *m)
{
    field f;

    while (c.at < c.end) {
        if (!read_field(&c, &f)) return false;
        if (f.number == 3 && f.wire == 0) m->kind = (int)ATN_MIN(f.value, (uint64_t)99);
        if (f.number == 24 && f.wire == 0) m->suffix_space = f.value != 0;
        if (f.number == 35 && f.wire == 0) m->byte_fallback = f.value != 0;
        if (f.number == 40 && f.wire == 0) m->unk_id = (int64_t)f.value;
        if (f.number == 45 && f.wire == 2) {
            m->unk = (const char *)f.bytes.at;
            m->unk_size = (size_t)f.value;
        }
    }
    return true;
}

static bool read_normalizer(cursor c, tok_spm *m)
{
    field f;

    while (c.at < c.end) {
        if (!read_field(&c, &f)) return false;
        if (f.number == 2 && f.wire == 2) {
            m->charsmap = f.bytes.at;
            m->charsmap_size = (size_t)f.value;
        }
        if (f.number == 3 && f.wire == 0) m->prefix_space = f.value != 0;
        if (f.number == 4 && f.wire == 0) m->fewer_spaces = f.value != 0;
    }
    return true;
}

/* Counts the pieces where m->pieces is NULL, reads them otherwise. */
static bool read_model(cursor c, tok_spm *m)
{
    field f;

    m->n = 0;
    while (c.at < c.end) {
        if (!read_field(&c, &f)) return false;
        if (f.wire != 2) continue;
        if (f.number == 2 && !read_trainer(f.bytes, m)) return false;
        if (f.number == 3 && !read_normalizer(f.bytes, m)) return false;
        if (f.number != 1) continue;
        if (m->pieces && !read_piece(f.bytes, &m->pieces[m->n])) return false;
        m->n++;
    }
    return true;
}

static atn_status bad_piece(atn_ctx *cx, const atn_tokenizer *t, atn_idx i,
                            const char *what)
{
    char text[120];

    snprintf(text, sizeof text, "piece %lld %s", (long long)i, what);
    return tok_bad(cx, t, text);
}

static atn_status check_pieces(atn_ctx *cx, const atn_tokenizer *t, const tok_spm *m)
{
    atn_status st = ATN_OK;
    size_t bad;

    for (atn_idx i = 0; i < m->n; i++) {
        const tok_spm_piece *p = &m->pieces[i];

        if (p->size == 0) ATN_TRY(bad_piece(cx, t, i, "is empty"));
        if (memchr(p->text, 0, p->size) || !atn_utf8_valid(p->text, p->size, &bad))
            ATN_TRY(bad_piece(cx, t, i, "is no UTF-8 text"));
        if (!isfinite(p->score)) ATN_TRY(bad_piece(cx, t, i, "has no finite score"));
    }
done:
    return st;
}

atn_status tok_spm_read(atn_ctx *cx, const atn_tokenizer *t, const char *data,
                        size_t size, tok_spm *m)
{
    const cursor c = {(const unsigned char *)data, (const unsigned char *)data + size};
    atn_status st = ATN_OK;

    *m = (tok_spm){.kind = 1,
                   .unk = "<unk>",
                   .unk_size = 5,
                   .prefix_space = true,
                   .fewer_spaces = true};
    if (!read_model(c, m) || m->n == 0)
        ATN_TRY(tok_bad(cx, t, "is no SentencePiece model, or is cut off"));
    if (m->n > TOK_ID_MAX) ATN_TRY(tok_bad(cx, t, "holds more than 2^26 pieces"));
    ATN_NEW(m->pieces, m->n);
    if (!read_model(c, m))
        ATN_TRY(tok_bad(cx, t, "is no SentencePiece model, or is cut off"));
    ATN_TRY(check_pieces(cx, t, m));
done:
    return st;
}
