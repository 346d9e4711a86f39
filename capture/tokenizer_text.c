/* capture/tokenizer_text.c -- growing text, pieces, Unicode properties, the byte
 * alphabet. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"

/* A character becomes 18 at most by NFKD, a byte 2 by the byte alphabet; and more
 * steps follow. */
size_t tok_most_of(size_t n)
{
    const size_t times = 256, more = (size_t)1 << 16;

    return n > (SIZE_MAX - more) / times ? SIZE_MAX : n * times + more;
}

atn_status tok_append(atn_ctx *cx, tok_text *t, const char *data, size_t n)
{
    if (t->most > 0 && n > t->most - t->size)
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "the steps of the tokenizer make the text grow to more than %zu "
            "bytes (give --token-ids)",
            t->most);
    if (t->size + n + 1 > t->room) {
        const size_t room = ATN_MAX(2 * t->room, t->size + n + 64);
        char *grown = atn_realloc(cx, t->data, (atn_idx)room, 1);

        if (!grown) return cx->err.code;
        t->data = grown;
        t->room = room;
    }
    if (n > 0) memcpy(t->data + t->size, data, n);
    t->size += n;
    t->data[t->size] = '\0';
    return ATN_OK;
}

atn_status tok_append_cp(atn_ctx *cx, tok_text *t, int32_t cp)
{
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(cp, bytes);

    return tok_append(cx, t, (const char *)bytes, (size_t)n);
}

atn_status tok_add_piece(atn_ctx *cx, tok_pieces *p, const char *data, size_t n,
                         int32_t id)
{
    const size_t at = p->text.size;

    if (n == 0 && id < 0) return ATN_OK;
    if (p->n == p->room) {
        const atn_idx room = ATN_MAX(2 * p->room, (atn_idx)16);
        tok_piece *grown = atn_realloc(cx, p->items, room, sizeof *grown);

        if (!grown) return cx->err.code;
        p->items = grown;
        p->room = room;
    }
    if (tok_append(cx, &p->text, data, n) != ATN_OK) return cx->err.code;
    p->items[p->n++] = (tok_piece){at, n, id};
    return ATN_OK;
}

void tok_pieces_release(atn_ctx *cx, tok_pieces *p)
{
    atn_free(cx, p->text.data);
    atn_free(cx, p->items);
    *p = (tok_pieces){0};
}

atn_status tok_add_id(atn_ctx *cx, tok_ids *ids, int32_t id)
{
    if (ids->n == ids->room) {
        const atn_idx room = ATN_MAX(2 * ids->room, (atn_idx)256);
        int32_t *grown = atn_realloc(cx, ids->items, room, sizeof *grown);

        if (!grown) return cx->err.code;
        ids->items = grown;
        ids->room = room;
    }
    ids->items[ids->n++] = id;
    return ATN_OK;
}

int32_t tok_find(const tok_vocab *v, const char *key, size_t n)
{
    const uint64_t hash = v->n_slots > 0 ? atn_hash_u64(key, n) : 0;
    const uint32_t upper = (uint32_t)(hash >> 32);

    if (v->n_slots == 0) return -1;
    for (size_t at = hash & (v->n_slots - 1); v->slots[at].key;
         at = (at + 1) & (v->n_slots - 1))
        if (v->slots[at].hash == upper && v->slots[at].size == n &&
            memcmp(v->slots[at].key, key, n) == 0)
            return v->slots[at].id;
    return -1;
}

int32_t tok_decode(const char *s, size_t n, size_t *length)
{
    utf8proc_int32_t cp = 0;
    const utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &cp);

    *length = used > 0 ? (size_t)used : 1;
    return used > 0 ? cp : 0xfffd;
}

bool tok_is_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xa0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool tok_is_punctuation(int32_t cp)
{
    const utf8proc_category_t c = utf8proc_category(cp);

    if ((cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
        (cp >= 123 && cp <= 126))
        return true;
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool tok_is_word(int32_t cp)
{
    const utf8proc_category_t c = utf8proc_category(cp);

    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) ||
           c == UTF8PROC_CATEGORY_PC || cp == 0x200c || cp == 0x200d ||
           (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) ||
           (cp >= 0x1f150 && cp <= 0x1f169) || (cp >= 0x1f170 && cp <= 0x1f189);
}

static bool stands_for_itself(int32_t b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
}

/* The 68 bytes that do not print take the code points from 256 on, in order. */
int32_t tok_byte_char(unsigned char byte)
{
    int32_t next = 256;

    if (stands_for_itself(byte)) return byte;
    for (int32_t b = 0; b < byte; b++) next += !stands_for_itself(b);
    return next;
}

int tok_char_byte(int32_t cp)
{
    int32_t next = 256;

    if (cp < 256) return stands_for_itself(cp) ? cp : -1;
    for (int32_t b = 0; b < 256; b++) {
        if (stands_for_itself(b)) continue;
        if (next++ == cp) return b;
    }
    return -1;
}
