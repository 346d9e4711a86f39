/* capture/tokenizer_charsmap.c -- the Precompiled normalizer: SentencePiece's table of
 * characters.
 *
 * Math    base64 of: u32 size, that many bytes of u32 units of a double array, then
 *         texts that end in NUL. Unit u: offset (u >> 10) << ((u & 512) >> 6), leaf u
 *         & 256, label u & 0x800000ff, value u & 0x7fffffff (where a text begins).
 * Oracle  U+2122 U+001E g to TMg; e U+0301 to U+00E9; A U+030A U+0301 to U+00C5.
 * Source  the rule of huggingface/tokenizers: of a grapheme cluster below 6 bytes the
 *         shortest hit replaces the whole; otherwise every character is looked up
 *         alone.
 * Limits  the array is not trusted: an index outside of it finds nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* out has room for 3 n / 4 bytes; false where the text is no base64. */
static bool base64(const char *text, size_t n, unsigned char *out, size_t *size)
{
    uint32_t bits = 0;
    int held = 0;

    *size = 0;
    while (n > 0 && text[n - 1] == '=') n--;
    for (size_t i = 0; i < n; i++) {
        const int v = base64_value((unsigned char)text[i]);

        if (v < 0) return false;
        bits = (bits << 6 | (uint32_t)v) & 0xffffffu;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out[(*size)++] = (unsigned char)(bits >> held);
    }
    return n % 4 != 1;
}

static uint32_t u32_at(const unsigned char *b)
{
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

atn_status tok_read_charsmap(atn_ctx *cx, const atn_tokenizer *t,
                             const unsigned char *data, size_t size, tok_charsmap *out)
{
    const size_t bytes = size >= 4 ? u32_at(data) : 0;
    atn_status st = ATN_OK;
    size_t bad = 0;

    if (bytes == 0 || bytes % 4 != 0 || bytes > size - 4)
        ATN_TRY(tok_bad(cx, t,
                        "precompiled_charsmap does not hold the array that its first "
                        "four bytes announce"));
    out->n_units = bytes / 4;
    out->size = size - 4 - bytes;
    ATN_NEW(out->units, out->n_units);
    ATN_NEW(out->text, out->size + 1);
    for (size_t i = 0; i < out->n_units; i++) out->units[i] = u32_at(data + 4 + 4 * i);
    if (out->size > 0) memcpy(out->text, data + 4 + bytes, out->size);
    if (!atn_utf8_valid(out->text, out->size, &bad))
        ATN_TRY(tok_bad(cx, t, "precompiled_charsmap holds texts that are not UTF-8"));
done:
    return st;
}

atn_status tok_read_charsmap_json(atn_ctx *cx, const atn_tokenizer *t, const json_t *j,
                                  tok_charsmap *out)
{
    const json_t *map = json_object_get(j, "precompiled_charsmap");
    const char *text = json_string_value(map);
    const size_t n = json_string_length(map);
    unsigned char *data = NULL;
    atn_status st = ATN_OK;
    size_t size = 0;

    if (!text && t->charsmap)
        return tok_read_charsmap(cx, t, t->charsmap, t->charsmap_size, out);
    ATN_NEW(data, n + 4);
    if (!text || !base64(text, n, data, &size))
        ATN_TRY(tok_bad(cx, t,
                        "normalizer Precompiled: precompiled_charsmap is no base64"));
    ATN_TRY(tok_read_charsmap(cx, t, data, size, out));
done:
    atn_free(cx, data);
    return st;
}

void tok_charsmap_release(atn_ctx *cx, tok_charsmap *m)
{
    atn_free(cx, m->units);
    atn_free(cx, m->text);
    *m = (tok_charsmap){0};
}

static size_t offset_of(uint32_t u)
{
    return (size_t)(u >> 10) << ((u & 512u) >> 6);
}

/* The text that replaces the shortest key which begins s; NULL where there is none. */
static const char *shortest_hit(const tok_charsmap *m, const char *s, size_t n)
{
    size_t at = offset_of(m->units[0]);

    for (size_t i = 0; i < n && s[i]; i++) {
        const unsigned char c = (unsigned char)s[i];
        uint32_t u;

        at ^= c;
        if (at >= m->n_units) return NULL;
        u = m->units[at];
        if ((u & 0x800000ffu) != c) return NULL;
        at ^= offset_of(u);
        if (!(u & 256u)) continue;
        if (at >= m->n_units || (m->units[at] & 0x7fffffffu) >= m->size) return NULL;
        at = m->units[at] & 0x7fffffffu;
        /* not into the middle of a character */
        return ((unsigned char)m->text[at] & 0xc0) == 0x80 ? NULL : m->text + at;
    }
    return NULL;
}

static atn_status map_cluster(atn_ctx *cx, const tok_charsmap *m, const char *s,
                              size_t n, tok_text *out)
{
    const char *hit = n < 6 ? shortest_hit(m, s, n) : NULL;
    atn_status st = ATN_OK;

    if (hit) return tok_append(cx, out, hit, strlen(hit));
    for (size_t at = 0, k; at < n; at += k) {
        (void)tok_decode(s + at, n - at, &k);
        hit = shortest_hit(m, s + at, k);
        ATN_TRY(hit ? tok_append(cx, out, hit, strlen(hit))
                    : tok_append(cx, out, s + at, k));
    }
done:
    return st;
}

atn_status tok_map_chars(atn_ctx *cx, const tok_charsmap *m, const tok_text *in,
                         tok_text *out)
{
    utf8proc_int32_t state = 0;
    int32_t last = -1;
    size_t begin = 0;
    atn_status st = ATN_OK;

    for (size_t at = 0, k; at < in->size; at += k) {
        const int32_t c = tok_decode(in->data + at, in->size - at, &k);

        if (at > 0 && utf8proc_grapheme_break_stateful(last, c, &state)) {
            ATN_TRY(map_cluster(cx, m, in->data + begin, at - begin, out));
            begin = at;
        }
        last = c;
    }
    ATN_TRY(map_cluster(cx, m, in->data + begin, in->size - begin, out));
done:
    return st;
}
