/* capture/tokenizer_normalize.c -- the normalizers of a tokenizer.json.
 *
 * Limits  a text that grows to more than 256 times its size, and 64 KiB, is refused.
 * Source  huggingface/tokenizers normalizers; BertNormalizer in its order: clean,
 *         Chinese characters, accents, lower case. Lower-casing is per code point;
 *         U+0130 gives two.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_internal.h"

/* ---- reading ---- */

static atn_status read_replace(atn_ctx *cx, atn_tokenizer *t, const json_t *j,
                               tok_normal *n)
{
    const json_t *pattern = json_object_get(j, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));

    n->kind = TOK_REPLACE;
    n->pattern = json_string_value(json_object_get(pattern, "String"));
    n->content = json_string_value(json_object_get(j, "content"));
    if (!n->content || (!n->pattern && !regex) || (n->pattern && !*n->pattern))
        return tok_bad(cx, t, "normalizer Replace needs pattern and content");
    return regex ? tok_regex_compile(cx, t->path, regex, &n->regex) : ATN_OK;
}

static atn_status add_step(atn_ctx *cx, atn_tokenizer *t, tok_normal **out)
{
    tok_normal *grown = atn_realloc(cx, t->normals, t->n_normals + 1, sizeof *grown);

    if (!grown) return cx->err.code;
    t->normals = grown;
    *out = &grown[t->n_normals++];
    **out = (tok_normal){0};
    return ATN_OK;
}

static atn_status read_step(atn_ctx *cx, atn_tokenizer *t, const json_t *j,
                            const char *type)
{
    static const struct {
        const char *name;
        tok_normal_kind kind;
    } plain[] = {{"NFC", TOK_NFC},
                 {"NFD", TOK_NFD},
                 {"NFKC", TOK_NFKC},
                 {"NFKD", TOK_NFKD},
                 {"Lowercase", TOK_LOWERCASE},
                 {"StripAccents", TOK_STRIP_ACCENTS},
                 {"Nmt", TOK_NMT},
                 {"ByteLevel", TOK_BYTES}};
    char what[160];
    tok_normal *n = NULL;

    if (add_step(cx, t, &n) != ATN_OK) return cx->err.code;
    for (size_t i = 0; i < ATN_LEN(plain); i++)
        if (strcmp(plain[i].name, type) == 0) {
            n->kind = plain[i].kind;
            return ATN_OK;
        }
    if (strcmp(type, "Strip") == 0) {
        n->kind = TOK_STRIP;
        n->left = tok_flag(j, "strip_left", true);
        n->right = tok_flag(j, "strip_right", true);
    } else if (strcmp(type, "Precompiled") == 0) {
        n->kind = TOK_PRECOMPILED;
        return tok_read_charsmap_json(cx, t, j, &n->map);
    } else if (strcmp(type, "Replace") == 0) {
        return read_replace(cx, t, j, n);
    } else if (strcmp(type, "Prepend") == 0) {
        n->kind = TOK_PREPEND;
        n->content = json_string_value(json_object_get(j, "prepend"));
        if (!n->content) return tok_bad(cx, t, "normalizer Prepend has no prepend");
    } else if (strcmp(type, "BertNormalizer") == 0) {
        n->kind = TOK_BERT;
        n->clean = tok_flag(j, "clean_text", true);
        n->chinese = tok_flag(j, "handle_chinese_chars", true);
        n->lower = tok_flag(j, "lowercase", true);
        n->accents = tok_flag(j, "strip_accents", n->lower);
    } else {
        snprintf(what, sizeof what,
                 "normalizer \"%.40s\" is not supported yet (give --token-ids)", type);
        return tok_bad(cx, t, what);
    }
    return ATN_OK;
}

atn_status tok_read_normalizer(atn_ctx *cx, atn_tokenizer *t, const json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *list = json_object_get(j, "normalizers"), *v;
    size_t i;

    if (!j || json_is_null(j)) return ATN_OK;
    if (!type) return tok_bad(cx, t, "the normalizer has no type");
    if (strcmp(type, "Sequence") != 0) return read_step(cx, t, j, type);
    if (!json_is_array(list))
        return tok_bad(cx, t, "the normalizer Sequence has no normalizers");
    json_array_foreach(list, i, v) if (tok_read_normalizer(cx, t, v) !=
                                       ATN_OK) return cx->err.code;
    return ATN_OK;
}

/* ---- running ---- */

static atn_status unicode_form(atn_ctx *cx, const tok_text *in, int options,
                               tok_text *out)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)in->data, (utf8proc_ssize_t)in->size,
                     &mapped, (utf8proc_option_t)(options | UTF8PROC_STABLE));
    atn_status st;

    if (n < 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "the text cannot be normalised: %s", utf8proc_errmsg(n));
    st = tok_append(cx, out, (const char *)mapped, (size_t)n);
    free(mapped);
    if (st != ATN_OK || in->head == 0) return st;
    /* composed or not, the first of these stands where it stood */
    mapped = NULL;
    n = utf8proc_map((const utf8proc_uint8_t *)in->data, (utf8proc_ssize_t)in->head,
                     &mapped, (utf8proc_option_t)(options | UTF8PROC_STABLE));
    if (n > 0) out->head = (size_t)n;
    free(mapped);
    return st;
}

static bool is_chinese(int32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_control(int32_t c)
{
    const utf8proc_category_t k = utf8proc_category(c);

    if (c == '\t' || c == '\n' || c == '\r') return false;
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_CO;
}

static atn_status append_lower(atn_ctx *cx, tok_text *out, int32_t c)
{
    if (c == 0x130) return tok_append(cx, out, "i\xcc\x87", 3);
    return tok_append_cp(cx, out, utf8proc_tolower(c));
}

/* One character under one of the per-character rules. */
typedef enum rule {
    RULE_CLEAN,
    RULE_CHINESE,
    RULE_NO_MN,
    RULE_NO_MARKS,
    RULE_LOWER,
    RULE_NMT
} rule;

/* Nmt: 0 = dropped, a space = white space, 1 = kept. */
static int nmt_class(int32_t c)
{
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f ||
        c == 0x8f || c == 0x9f)
        return 0;
    if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
        (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
        c == 0xfeff || c == 0xfffd)
        return ' ';
    return 1;
}

static atn_status append_by_rule(atn_ctx *cx, rule r, int32_t c, tok_text *out)
{
    const utf8proc_category_t k = utf8proc_category(c);
    atn_status st = ATN_OK;

    switch (r) {
    case RULE_CLEAN:
        if (c == 0 || c == 0xfffd || is_control(c)) return ATN_OK;
        return tok_append_cp(cx, out, tok_is_space(c) ? ' ' : c);
    case RULE_CHINESE:
        if (!is_chinese(c)) break;
        ATN_TRY(tok_append(cx, out, " ", 1));
        ATN_TRY(tok_append_cp(cx, out, c));
        return tok_append(cx, out, " ", 1);
    case RULE_NO_MN:
        if (k == UTF8PROC_CATEGORY_MN) return ATN_OK;
        break;
    case RULE_NO_MARKS:
        if (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) return ATN_OK;
        break;
    case RULE_LOWER:
        return append_lower(cx, out, c);
    case RULE_NMT:
        if (nmt_class(c) == 0) return ATN_OK;
        return tok_append_cp(cx, out, nmt_class(c) == 1 ? c : ' ');
    }
    return tok_append_cp(cx, out, c);
done:
    return st;
}

static atn_status each_char(atn_ctx *cx, rule r, const tok_text *in, tok_text *out)
{
    for (size_t at = 0, n; at < in->size; at += n) {
        const int32_t c = tok_decode(in->data + at, in->size - at, &n);
        if (append_by_rule(cx, r, c, out) != ATN_OK) return cx->err.code;
        if (at < in->head) out->head = out->size;
    }
    return ATN_OK;
}

static void swap(tok_text *a, tok_text *b)
{
    const tok_text t = *a;

    *a = *b;
    *b = t;
    b->size = b->head = 0;
}

static atn_status bert(atn_ctx *cx, const tok_normal *n, tok_text *text,
                       tok_text *spare)
{
    atn_status st = ATN_OK;

    if (n->clean) {
        ATN_TRY(each_char(cx, RULE_CLEAN, text, spare));
        swap(text, spare);
    }
    if (n->chinese) {
        ATN_TRY(each_char(cx, RULE_CHINESE, text, spare));
        swap(text, spare);
    }
    if (n->accents) {
        ATN_TRY(unicode_form(cx, text, UTF8PROC_DECOMPOSE, spare));
        swap(text, spare);
        ATN_TRY(each_char(cx, RULE_NO_MN, text, spare));
        swap(text, spare);
    }
    if (n->lower) {
        ATN_TRY(each_char(cx, RULE_LOWER, text, spare));
        swap(text, spare);
    }
done:
    return st;
}

typedef struct replacing {
    const tok_normal *n;
    const tok_text *in;
    tok_text *out;
    size_t done;
} replacing;

/* Copies what lies between matches. */
static atn_status keep(atn_ctx *cx, replacing *r, size_t end)
{
    const size_t head = ATN_MIN(r->in->head, end);

    if (r->done < head) r->out->head = r->out->size + head - r->done;
    return tok_append(cx, r->out, r->in->data + r->done, end - r->done);
}

static atn_status on_replace(atn_ctx *cx, size_t at, size_t size, void *state)
{
    replacing *r = state;
    atn_status st = ATN_OK;
    size_t last = at + size;

    ATN_TRY(keep(cx, r, at));
    ATN_TRY(tok_append(cx, r->out, r->n->content, strlen(r->n->content)));
    do last--;
    while (last > at && ((unsigned char)r->in->data[last] & 0xc0) == 0x80);
    /* the reference places what is put in at the last character taken out */
    if (last < r->in->head) r->out->head = r->out->size;
    r->done = at + size;
done:
    return st;
}

static atn_status replace(atn_ctx *cx, const tok_normal *n, const tok_text *in,
                          tok_text *out)
{
    replacing r = {n, in, out, 0};
    const size_t size = n->pattern ? strlen(n->pattern) : 0;
    atn_status st = ATN_OK;

    if (n->regex.code)
        ATN_TRY(tok_regex_each(cx, &n->regex, in->data, in->size, on_replace, &r));
    for (size_t at = 0; n->pattern && at + size <= in->size;) {
        const bool hit = memcmp(in->data + at, n->pattern, size) == 0;
        if (hit) ATN_TRY(on_replace(cx, at, size, &r));
        at += hit ? size : 1;
    }
    ATN_TRY(keep(cx, &r, in->size));
done:
    return st;
}

static atn_status strip(atn_ctx *cx, const tok_normal *n, const tok_text *in,
                        tok_text *out)
{
    size_t begin = in->size, end = 0;

    for (size_t at = 0, k; at < in->size; at += k)
        if (!tok_is_space(tok_decode(in->data + at, in->size - at, &k))) {
            begin = ATN_MIN(begin, at);
            end = at + k;
        }
    if (!n->left) begin = 0;
    if (!n->right) end = in->size;
    out->head = in->head > begin ? in->head - begin : 0;
    return end > begin ? tok_append(cx, out, in->data + begin, end - begin) : ATN_OK;
}

static atn_status to_bytes(atn_ctx *cx, const tok_text *in, tok_text *out)
{
    atn_status st = ATN_OK;

    for (size_t i = 0; i < in->size; i++) {
        ATN_TRY(tok_append_cp(cx, out, tok_byte_char((unsigned char)in->data[i])));
        if (i < in->head) out->head = out->size;
    }
done:
    return st;
}

static atn_status run_step(atn_ctx *cx, const tok_normal *n, tok_text *text,
                           tok_text *spare)
{
    const int compose = UTF8PROC_COMPOSE, split = UTF8PROC_DECOMPOSE,
              k = UTF8PROC_COMPAT;
    atn_status st = ATN_OK;

    switch (n->kind) {
    case TOK_NFC:
        ATN_TRY(unicode_form(cx, text, compose, spare));
        break;
    case TOK_NFD:
        ATN_TRY(unicode_form(cx, text, split, spare));
        break;
    case TOK_NFKC:
        ATN_TRY(unicode_form(cx, text, compose | k, spare));
        break;
    case TOK_NFKD:
        ATN_TRY(unicode_form(cx, text, split | k, spare));
        break;
    case TOK_LOWERCASE:
        ATN_TRY(each_char(cx, RULE_LOWER, text, spare));
        break;
    case TOK_STRIP_ACCENTS:
        ATN_TRY(each_char(cx, RULE_NO_MARKS, text, spare));
        break;
    case TOK_STRIP:
        ATN_TRY(strip(cx, n, text, spare));
        break;
    case TOK_REPLACE:
        ATN_TRY(replace(cx, n, text, spare));
        break;
    case TOK_PREPEND:
        if (text->size > 0)
            ATN_TRY(tok_append(cx, spare, n->content, strlen(n->content)));
        if (text->head > 0) spare->head = spare->size + text->head;
        ATN_TRY(tok_append(cx, spare, text->data, text->size));
        break;
    case TOK_BERT:
        return bert(cx, n, text, spare);
    case TOK_NMT:
        ATN_TRY(each_char(cx, RULE_NMT, text, spare));
        break;
    case TOK_PRECOMPILED:
        ATN_TRY(tok_map_chars(cx, &n->map, text, spare));
        if (text->head > 0) (void)tok_decode(spare->data, spare->size, &spare->head);
        break;
    case TOK_BYTES:
        ATN_TRY(to_bytes(cx, text, spare));
        break;
    }
    swap(text, spare);
done:
    return st;
}

atn_status tok_normalize(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                         size_t n, tok_text *out)
{
    atn_status st = ATN_OK;
    tok_text spare = {0};

    out->size = 0;
    out->most = spare.most = tok_most_of(n);
    ATN_TRY(tok_append(cx, out, text, n));
    ATN_TRY(tok_append(cx, &spare, "", 0));
    (void)tok_decode(text, n, &out->head);
    for (atn_idx i = 0; i < t->n_normals; i++)
        ATN_TRY(run_step(cx, &t->normals[i], out, &spare));
done:
    atn_free(cx, spare.data);
    return st;
}
