/* capture/tokenizer_layout_spm.c -- a SentencePiece file in the form of a
 * tokenizer.json.
 *
 * Source  convert_slow_tokenizer.py of transformers 4: the converters of Llama, Gemma,
 *         T5, ALBERT and XLM-R. A BPE file has no merges: every pair of pieces that
 *         makes up a piece is one, ranked by the score of that piece.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_layout.h"
#include "core/io/file.h"

#define MARK "\xe2\x96\x81"

static bool ends_in_number_comma(const char *text, size_t n)
{
    size_t at = n - 1, k;

    if (n < 2 || text[n - 1] != ',') return false;
    do at--;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80);
    return utf8proc_category(tok_decode(text + at, n - 1 - at, &k)) ==
           UTF8PROC_CATEGORY_ND;
}

/* Pieces as the family's converter has them: text and score of each id. */
typedef struct converted {
    tok_spm_piece *items;
    atn_idx n;
} converted;

static void convert_gemma(const layout *l, converted *c)
{
    static const int order[] = {PAD, EOS, BOS};
    bool tab = false;

    for (atn_idx i = 0; i < c->n; i++)
        tab |= c->items[i].size == 1 && *c->items[i].text == '\t';
    for (atn_idx i = 0; i < c->n; i++) {
        tok_spm_piece *p = &c->items[i];
        const json_t *flags;
        const char *name = i < 3 ? tok_layout_special(l, order[i], &flags) : NULL;

        if (!tab && p->size == 6 && memcmp(p->text, "<0x09>", 6) == 0) name = "\t";
        if (name)
            *p = (tok_spm_piece){.text = name, .size = strlen(name), .type = p->type};
    }
}

/* Four special tokens in front of all pieces but three, a mask behind. */
static void convert_xlmr(const tok_spm *m, converted *c)
{
    static const char *const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    const atn_idx kept = m->n - 3;

    if (kept > 0) memcpy(c->items + 4, m->pieces + 3, (size_t)kept * sizeof *c->items);
    for (int i = 0; i < 4; i++)
        c->items[i] = (tok_spm_piece){.text = first[i], .size = strlen(first[i])};
    c->n = 4 + ATN_MAX(kept, 0);
    c->items[c->n++] = (tok_spm_piece){.text = "<mask>", .size = 6};
}

static atn_status convert(atn_ctx *cx, const layout *l, const tok_spm *m,
                          char (*extra)[32], atn_idx n_extra, converted *c)
{
    const family_kind kind = l->family->kind;
    atn_status st = ATN_OK;

    ATN_NEW(c->items, m->n + n_extra + 5);
    memcpy(c->items, m->pieces, (size_t)m->n * sizeof *c->items);
    c->n = m->n;
    if (kind == GEMMA) convert_gemma(l, c);
    if (kind == XLMR) convert_xlmr(m, c);
    for (atn_idx i = 0; kind == ALBERT && i < c->n; i++)
        if (ends_in_number_comma(c->items[i].text, c->items[i].size))
            c->items[i].score -= 100;
    for (atn_idx i = 0; i < n_extra; i++)
        c->items[c->n++] = (tok_spm_piece){.text = extra[i], .size = strlen(extra[i])};
done:
    return st;
}

/* An object of ids for BPE, a list of pairs for Unigram; ids goes to the layout as
 * well. */
static atn_status vocab_of(atn_ctx *cx, atn_tokenizer *t, layout *l, const converted *c,
                           bool bpe, json_t **out)
{
    json_t *vocab = bpe ? json_incref(l->ids) : json_array();
    atn_status st = ATN_OK;
    tok_text text = {0};

    for (atn_idx i = 0; i < c->n; i++) {
        text.size = 0;
        ATN_TRY(tok_append(cx, &text, c->items[i].text, c->items[i].size));
        if (json_object_get(l->ids, text.data))
            ATN_TRY(tok_bad(cx, t, "holds a piece twice"));
        json_object_set_new(l->ids, text.data, json_integer(i));
        if (!bpe)
            json_array_append_new(
                vocab, json_pack("[s, f]", text.data, (double)c->items[i].score));
    }
    l->next_id = c->n;
    *out = vocab;
    vocab = NULL;
done:
    atn_free(cx, text.data);
    json_decref(vocab);
    return st;
}

static json_t *replace(const char *how, const char *pattern, const char *content)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", how, pattern,
                     "content", content);
}

static json_t *albert_steps(const layout *l)
{
    json_t *steps = json_array();

    json_array_append_new(steps, replace("String", "``", "\""));
    json_array_append_new(steps, replace("String", "''", "\""));
    if (!tok_flag(l->config, "keep_accents", false)) {
        json_array_append_new(steps, json_pack("{s:s}", "type", "NFKD"));
        json_array_append_new(steps, json_pack("{s:s}", "type", "StripAccents"));
    }
    if (tok_flag(l->config, "do_lower_case", true))
        json_array_append_new(steps, json_pack("{s:s}", "type", "Lowercase"));
    return steps;
}

static json_t *normalizer_of(const layout *l, const tok_spm *m)
{
    const family_kind kind = l->family->kind;
    json_t *steps;

    if (kind == GEMMA) return replace("String", " ", MARK);
    if (kind == LLAMA) {
        if (!tok_flag(l->config, "legacy", true)) return json_null();
        steps = json_array();
        if (tok_flag(l->config, "add_prefix_space", true))
            json_array_append_new(
                steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", MARK));
        json_array_append_new(steps, replace("String", " ", MARK));
        return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
    }
    steps = kind == ALBERT ? albert_steps(l) : json_array();
    if (m->charsmap_size > 0)
        json_array_append_new(steps, json_pack("{s:s}", "type", "Precompiled"));
    if (kind != ALBERT)
        json_array_append_new(steps, json_pack("{s:s, s:b, s:b}", "type", "Strip",
                                               "strip_left", 0, "strip_right", 1));
    json_array_append_new(steps,
                          replace("Regex", " {2,}", kind == ALBERT ? " " : MARK));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
}

static json_t *splitter_of(const layout *l)
{
    const family_kind kind = l->family->kind;
    const bool legacy =
        (kind != LLAMA && kind != T5) || tok_flag(l->config, "legacy", true);
    const char *prepend = !tok_flag(l->config, "add_prefix_space", true) ? "never"
                          : legacy                                       ? "always"
                                                                         : "first";

    /* Gemma's split at spaces finds none: they are marks by then */
    if (kind == GEMMA || (kind == LLAMA && legacy)) return json_null();
    return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", MARK,
                     "prepend_scheme", prepend, "split", kind != LLAMA);
}

static json_t *model_of(const layout *l, const tok_spm *m, const char *unk,
                        json_t *vocab)
{
    static const int64_t unk_ids[] = {[LLAMA] = 0, [GEMMA] = 3, [XLMR] = 3};
    const family_kind kind = l->family->kind;
    const bool bytes = kind == LLAMA || kind == GEMMA;
    const int64_t id = kind == T5 || kind == ALBERT ? m->unk_id : unk_ids[kind];

    if (m->kind == 2)
        return json_pack("{s:s, s:O, s:s, s:b, s:b}", "type", "BPE", "vocab", vocab,
                         "unk_token", unk, "fuse_unk", 1, "byte_fallback", bytes);
    return json_pack("{s:s, s:O, s:I, s:b}", "type", "Unigram", "vocab", vocab,
                     "unk_id", (json_int_t)id, "byte_fallback", bytes);
}

static atn_status keep_scores(atn_ctx *cx, atn_tokenizer *t, const converted *c)
{
    atn_status st = ATN_OK;

    ATN_NEW(t->scores, c->n);
    for (atn_idx i = 0; i < c->n; i++) t->scores[i] = (double)c->items[i].score;
done:
    return st;
}

/* Control and user-defined pieces. */
static atn_status add_pieces(atn_ctx *cx, const tok_spm *m, layout *l)
{
    tok_text text = {0};
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < m->n; i++) {
        const tok_spm_piece *p = &m->pieces[i];

        if (p->type != 3 && p->type != 4) continue;
        text.size = 0;
        ATN_TRY(tok_append(cx, &text, p->text, p->size));
        tok_layout_add(l, text.data, -1, NULL, p->type == 3);
    }
done:
    atn_free(cx, text.data);
    return st;
}

/* T5's <extra_id_99> .. <extra_id_0>. */
static atn_status extra_texts(atn_ctx *cx, const atn_tokenizer *t, const layout *l,
                              char (**extra)[32], atn_idx *n)
{
    const json_t *given = json_object_get(l->config, "extra_ids");
    const double count = given ? json_number_value(given) : 100;
    atn_status st = ATN_OK;

    *n = 0;
    if (l->family->kind != T5) return ATN_OK;
    if (!(count >= 0 && count <= 1e6))
        ATN_TRY(tok_bad(cx, t, "extra_ids of tokenizer_config.json is not in 0..10^6"));
    ATN_NEW(*extra, (atn_idx)count + 1);
    for (atn_idx i = 0; i < (atn_idx)count; i++)
        snprintf((*extra)[i], sizeof(*extra)[i], "<extra_id_%lld>",
                 (long long)((atn_idx)count - 1 - i));
    *n = (atn_idx)count;
done:
    return st;
}

static atn_status build_pieces(atn_ctx *cx, atn_tokenizer *t, layout *l,
                               const tok_spm *m)
{
    char(*extra)[32] = NULL, unk[64];
    json_t *vocab = NULL;
    converted c = {NULL, 0};
    atn_idx n_extra = 0;
    atn_status st = ATN_OK;

    snprintf(unk, sizeof unk, "%.*s", (int)ATN_MIN(m->unk_size, (size_t)63), m->unk);
    ATN_TRY(extra_texts(cx, t, l, &extra, &n_extra));
    ATN_TRY(convert(cx, l, m, extra, n_extra, &c));
    ATN_TRY(vocab_of(cx, t, l, &c, m->kind == 2, &vocab));
    if (m->kind == 2) {
        json_t *copy = json_copy(vocab); /* the added tokens are none of it */

        json_decref(vocab);
        vocab = copy;
        ATN_TRY(keep_scores(cx, t, &c));
    }
    ATN_TRY(tok_layout_listed(cx, t, l));
    tok_layout_specials(l); /* their flags count, not those of control pieces */
    ATN_TRY(add_pieces(cx, m, l));
    for (atn_idx i = 0; i < n_extra; i++) tok_layout_add(l, extra[i], -1, NULL, true);
    t->charsmap = m->charsmap;
    t->charsmap_size = m->charsmap_size;
    t->json =
        json_pack("{s:o, s:o, s:o, s:o, s:O}", "model", model_of(l, m, unk, vocab),
                  "normalizer", normalizer_of(l, m), "pre_tokenizer", splitter_of(l),
                  "post_processor", tok_layout_post(l), "added_tokens", l->added);
done:
    json_decref(vocab);
    atn_free(cx, c.items);
    atn_free(cx, extra);
    return st;
}

/* The converters take some flags of the file as their family has them, and so do we. */
static void warn_flags(atn_ctx *cx, const atn_tokenizer *t, const layout *l,
                       const tok_spm *m)
{
    const family_kind kind = l->family->kind;
    const bool plain = kind == LLAMA || kind == GEMMA;
    const bool prefix = kind != GEMMA && tok_flag(l->config, "add_prefix_space", true);
    char list[200] = "";
    size_t used = 0;
    const struct {
        bool other;
        const char *text;
    } flags[] = {
        {m->prefix_space && !prefix, "add_dummy_prefix=true"},
        {!m->prefix_space && prefix, "add_dummy_prefix=false"},
        {m->fewer_spaces && plain, "remove_extra_whitespaces=true"},
        {!m->fewer_spaces && !plain, "remove_extra_whitespaces=false"},
        {m->suffix_space, "treat_whitespace_as_suffix=true"},
        {m->charsmap_size > 0 && plain, "precompiled_charsmap"},
    };

    for (size_t i = 0; i < ATN_LEN(flags); i++)
        if (flags[i].other)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     used ? ", " : "", flags[i].text);
    if (used > 0)
        atn_log(
            cx, ATN_LOG_WARN,
            "%s: %s of this file is not followed, as by the converter of its family "
            "in transformers 4; ids may be others than SentencePiece's (attnscope "
            "tokenize --verify compares)",
            t->path, list);
}

atn_status tok_layout_pieces(atn_ctx *cx, atn_tokenizer *t, layout *l)
{
    tok_spm m = {0};
    size_t size = 0;
    atn_status st = ATN_OK;

    ATN_TRY(tok_layout_family(cx, l, true, t));
    ATN_TRY(atn_file_read(cx, t->path, TOK_FILE_MAX, &t->file, &size));
    ATN_TRY(tok_spm_read(cx, t, t->file, size, &m));
    if (m.kind != 1 && m.kind != 2)
        ATN_TRY(
            tok_bad(cx, t, "is neither a unigram nor a BPE model (give --token-ids)"));
    warn_flags(cx, t, l, &m);
    ATN_TRY(build_pieces(cx, t, l, &m));
done:
    atn_free(cx, m.pieces);
    return st;
}
