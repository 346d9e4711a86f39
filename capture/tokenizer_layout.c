/* capture/tokenizer_layout.c -- model directories without tokenizer.json.
 *
 * vocab.json with merges.txt and SentencePiece files are put into the form of a
 * tokenizer.json, by the rules of the family that config.json names; vocab.txt is BERT's
 * WordPiece.
 *
 * Source  convert_slow_tokenizer.py of transformers 4. Special tokens and flags come from
 *         tokenizer_config.json, special_tokens_map.json and added_tokens.json, else they are
 *         those of the family.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"
#include "core/io/json.h"

#define MARK "\xe2\x96\x81"

static const size_t FILE_MAX = (size_t)1 << 28;

typedef enum family_kind {
    GPT2,
    OPT,
    ROBERTA,
    QWEN2,
    LLAMA,
    GEMMA,
    T5,
    ALBERT,
    XLMR
} family_kind;

enum { N_SPECIAL = 7, MASK = 6 };
static const char *const special_keys[N_SPECIAL] = {
    "bos_token", "eos_token", "unk_token", "sep_token",
    "pad_token", "cls_token", "mask_token"};

typedef struct family {
    const char *types; /* of config.json, between blanks */
    family_kind kind;
    bool pieces; /* of a SentencePiece file */
    const char *special[N_SPECIAL];
} family;

#define END "<|endoftext|>"
static const family families[] = {
    {" gpt2 gpt_neo gptj phi codegen ", GPT2, false, {END, END, END}},
    {" opt ", OPT, false, {"</s>", "</s>", "</s>", NULL, "<pad>"}},
    {" roberta bart longformer ",
     ROBERTA,
     false,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}},
    {" qwen2 qwen2_moe qwen3 qwen3_moe ", QWEN2, false, {NULL, END, END, NULL, END}},
    {" llama mistral mixtral phi3 ", LLAMA, true, {"<s>", "</s>", "<unk>"}},
    {" gemma gemma2 gemma3 gemma3_text ",
     GEMMA,
     true,
     {"<bos>", "<eos>", "<unk>", NULL, "<pad>"}},
    {" t5 mt5 umt5 ", T5, true, {NULL, "</s>", "<unk>", NULL, "<pad>"}},
    {" albert ",
     ALBERT,
     true,
     {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"}},
    {" xlm-roberta ",
     XLMR,
     true,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}},
};

typedef struct layout {
    const char *dir;
    const family *family;
    json_t *config, *map,
        *more;   /* tokenizer_config, special_tokens_map, added_tokens */
    json_t *ids; /* of the model's texts; of the added tokens too */
    json_t *added;
    int64_t next_id;
} layout;

/* ---- the small files ---- */

/* *out stays NULL where the directory has no such file. */
static atn_status load_optional(atn_ctx *cx, const char *dir, const char *name,
                                json_t **out)
{
    char *path = atn_path_join(cx, dir, name);
    atn_status st = path ? ATN_OK : cx->err.code;

    if (path && atn_file_exists(path)) st = atn_json_load(cx, path, true, out);
    atn_free(cx, path);
    return st;
}

static bool has(atn_ctx *cx, const char *dir, const char *name, atn_tokenizer *t)
{
    char *path = atn_path_join(cx, dir, name);

    if (!path || !atn_file_exists(path)) {
        atn_free(cx, path);
        return false;
    }
    atn_free(cx, t->path);
    t->path = path;
    return true;
}

static atn_status find_family(atn_ctx *cx, layout *l, bool pieces,
                              const atn_tokenizer *t)
{
    json_t *config = NULL;
    char type[80], what[240];
    atn_status st = ATN_OK;

    ATN_TRY(load_optional(cx, l->dir, "config.json", &config));
    {
        const char *name = json_string_value(json_object_get(config, "model_type"));
        snprintf(type, sizeof type, " %.70s ", name ? name : "?");
    }
    for (size_t i = 0; i < ATN_LEN(families); i++)
        if (families[i].pieces == pieces && strstr(families[i].types, type))
            l->family = &families[i];
    if (!l->family) {
        snprintf(what, sizeof what,
                 "how model_type%sof config.json uses this file is not known (save a "
                 "tokenizer.json with save_pretrained of a fast tokenizer, or give "
                 "--token-ids)",
                 type);
        ATN_TRY(tok_bad(cx, t, what));
    }
    ATN_TRY(load_optional(cx, l->dir, "tokenizer_config.json", &l->config));
    ATN_TRY(load_optional(cx, l->dir, "special_tokens_map.json", &l->map));
    ATN_TRY(load_optional(cx, l->dir, "added_tokens.json", &l->more));
done:
    json_decref(config);
    return st;
}

/* ---- added tokens ---- */

/* A string, or an object with content and flags; NULL = the family has no such token. */
static const char *special_of(const layout *l, int i, const json_t **flags)
{
    const json_t *j = json_object_get(l->config, special_keys[i]);
    const char *text;

    if (!j) j = json_object_get(l->map, special_keys[i]);
    text = json_string_value(json_is_object(j) ? json_object_get(j, "content") : j);
    *flags = json_is_object(j) ? j : NULL;
    if (j && json_is_null(j)) return NULL;
    return text ? text : l->family->special[i];
}

static int64_t id_of(const layout *l, const char *text)
{
    const json_t *id = json_object_get(l->ids, text);

    return id ? json_integer_value(id) : -1;
}

/* id -1: the one it has, else the next. A token that was added already stays as it is. */
static void add_token(layout *l, const char *text, int64_t id, const json_t *flags,
                      bool special)
{
    const json_t *v;
    size_t i;

    if (!text || !*text) return;
    json_array_foreach(l->added, i,
                       v) if (strcmp(json_string_value(json_object_get(v, "content")),
                                     text) == 0) return;
    if (id < 0) id = id_of(l, text);
    if (id < 0) id = l->next_id;
    l->next_id = ATN_MAX(l->next_id, id + 1);
    json_object_set_new(l->ids, text, json_integer(id));
    json_array_append_new(l->added,
                          json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                                    (json_int_t)id, "content", text, "single_word",
                                    tok_flag(flags, "single_word", false), "lstrip",
                                    tok_flag(flags, "lstrip", false), "rstrip",
                                    tok_flag(flags, "rstrip", false), "normalized",
                                    tok_flag(flags, "normalized", false), "special",
                                    tok_flag(flags, "special", special)));
}

static atn_status add_listed(atn_ctx *cx, const atn_tokenizer *t, layout *l)
{
    json_t *list = json_object_get(l->config, "added_tokens_decoder"), *v;
    const char *key;

    json_object_foreach(list, key, v)
    {
        char *end;
        const long long id = strtoll(key, &end, 10);
        const char *text = json_string_value(json_object_get(v, "content"));

        if (*end || end == key || id < 0 || id >= TOK_ID_MAX || !text)
            return tok_bad(cx, t,
                           "added_tokens_decoder of tokenizer_config.json holds an "
                           "entry without id and content");
        add_token(l, text, id, v, false);
    }
    json_object_foreach(l->more, key, v)
    {
        const double id = json_number_value(v); /* read as a real number */

        if (!json_is_number(v) || !(id >= 0 && id < TOK_ID_MAX))
            return tok_bad(cx, t, "added_tokens.json holds an id outside 0..2^26-1");
        json_object_set_new(l->ids, key, json_integer((json_int_t)id));
        l->next_id = ATN_MAX(l->next_id, (int64_t)id + 1);
    }
    return ATN_OK;
}

/* The family's special tokens, then what else added_tokens.json has. */
static void add_special(layout *l)
{
    json_t *strip = json_pack("{s:b}", "lstrip", 1), *v;
    const char *key;

    for (int i = 0; i < N_SPECIAL; i++) {
        const json_t *flags = NULL;
        const char *text = special_of(l, i, &flags);

        if (!flags && i == MASK) flags = strip;
        add_token(l, text, -1, flags, true);
    }
    json_object_set_new(strip, "lstrip", json_false());
    json_object_set_new(strip, "normalized", json_true());
    json_object_foreach(l->more, key, v) add_token(l, key, -1, strip, false);
    json_decref(strip);
}

/* ---- the post-processor ---- */

static json_t *special_item(const char *text)
{
    return json_pack("{s:{s:s}}", "SpecialToken", "id", text);
}

/* before and after: places in special_keys, -1 = none. */
static json_t *template_of(const layout *l, int before, int after)
{
    json_t *single = json_array(), *known = json_object();
    const int place[] = {before, after};

    for (int k = 0; k < 2; k++) {
        const json_t *flags;
        const char *text = place[k] < 0 ? NULL : special_of(l, place[k], &flags);

        if (k == 1)
            json_array_append_new(single,
                                  json_pack("{s:{s:s}}", "Sequence", "id", "A"));
        if (!text) continue;
        json_array_append_new(single, special_item(text));
        json_object_set_new(known, text,
                            json_pack("{s:[I]}", "ids", (json_int_t)id_of(l, text)));
    }
    return json_pack("{s:s, s:o, s:o}", "type", "TemplateProcessing", "single", single,
                     "special_tokens", known);
}

static json_t *post_of(const layout *l)
{
    enum { BOS = 0, EOS = 1, SEP = 3, CLS = 5 };
    const bool bos = l->family->kind != GPT2,
               eos = tok_flag(l->config, "add_eos_token", false);

    switch (l->family->kind) {
    case QWEN2:
        return json_null();
    case ROBERTA:
    case ALBERT:
    case XLMR:
        return template_of(l, CLS, SEP);
    case T5:
        return template_of(l, -1, EOS);
    case GPT2:
    case OPT:
        return template_of(l, tok_flag(l->config, "add_bos_token", bos) ? BOS : -1, -1);
    default:
        return template_of(l, tok_flag(l->config, "add_bos_token", bos) ? BOS : -1,
                           eos ? EOS : -1);
    }
}

/* ---- vocab.json and merges.txt ---- */

static atn_status read_merges(atn_ctx *cx, const char *path, json_t *merges)
{
    char *text = NULL;
    size_t size = 0, line = 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_file_read(cx, path, FILE_MAX, &text, &size));
    for (size_t at = 0, end; at < size; at = end + 1) {
        const char *stop = memchr(text + at, '\n', size - at);
        size_t n;

        end = stop ? (size_t)(stop - text) : size;
        n = end - at - (end > at && text[end - 1] == '\r');
        line++;
        if (n == 0 || strncmp(text + at, "#version", ATN_MIN(n, (size_t)8)) == 0)
            continue;
        if (json_array_append_new(merges, json_stringn(text + at, n)) != 0)
            ATN_FAIL(ATN_DATA, "%s: line %zu is no UTF-8 text", path, line);
    }
done:
    atn_free(cx, text);
    return st;
}

static json_t *byte_level(const layout *l)
{
    static const char qwen2[] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
        "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    const int prefix = tok_flag(l->config, "add_prefix_space", false);

    if (l->family->kind != QWEN2)
        return json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", prefix);
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s, s:b, s:b}]}", "type",
                     "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                     qwen2, "behavior", "Isolated", "type", "ByteLevel",
                     "add_prefix_space", prefix, "use_regex", 0);
}

/* The ids of an object, and the first one above them. */
static void note_ids(layout *l, json_t *vocab)
{
    const char *key;
    json_t *v;

    json_object_foreach(vocab, key, v)
    {
        json_object_set(l->ids, key, v);
        l->next_id = ATN_MAX(l->next_id, json_integer_value(v) + 1);
    }
}

static atn_status from_merges(atn_ctx *cx, atn_tokenizer *t, layout *l)
{
    char *path = atn_path_join(cx, l->dir, "merges.txt");
    json_t *vocab = NULL, *merges = json_array();
    atn_status st = ATN_OK;

    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(find_family(cx, l, false, t));
    ATN_TRY(atn_json_load(cx, t->path, false, &vocab));
    if (!json_is_object(vocab)) ATN_TRY(tok_bad(cx, t, "is no JSON object"));
    ATN_TRY(read_merges(cx, path, merges));
    note_ids(l, vocab);
    ATN_TRY(add_listed(cx, t, l));
    add_special(l);
    t->json = json_pack("{s:{s:s, s:O, s:O}, s:o, s:o, s:o, s:O}", "model", "type",
                        "BPE", "vocab", vocab, "merges", merges, "normalizer",
                        l->family->kind == QWEN2 ? json_pack("{s:s}", "type", "NFC")
                                                 : json_null(),
                        "pre_tokenizer", byte_level(l), "post_processor", post_of(l),
                        "added_tokens", l->added);
done:
    json_decref(vocab);
    json_decref(merges);
    atn_free(cx, path);
    return st;
}

/* ---- SentencePiece ---- */

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
    static const int order[] = {4, 1, 0}; /* pad, eos, bos */
    bool tab = false;

    for (atn_idx i = 0; i < c->n; i++)
        tab |= c->items[i].size == 1 && *c->items[i].text == '\t';
    for (atn_idx i = 0; i < c->n; i++) {
        tok_spm_piece *p = &c->items[i];
        const json_t *flags;
        const char *name = i < 3 ? special_of(l, order[i], &flags) : NULL;

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

/* An object of ids for BPE, a list of pairs for Unigram; ids goes to the layout as well. */
static atn_status vocab_of(atn_ctx *cx, atn_tokenizer *t, layout *l, const converted *c,
                           bool bpe, json_t **out)
{
    json_t *vocab = bpe ? json_incref(l->ids) : json_array();
    atn_status st = ATN_OK;
    tok_text text = {NULL, 0, 0};

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
    tok_text text = {NULL, 0, 0};
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < m->n; i++) {
        const tok_spm_piece *p = &m->pieces[i];

        if (p->type != 3 && p->type != 4) continue;
        text.size = 0;
        ATN_TRY(tok_append(cx, &text, p->text, p->size));
        add_token(l, text.data, -1, NULL, p->type == 3);
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
    ATN_TRY(add_listed(cx, t, l));
    add_special(l); /* their flags count, not those of control pieces */
    ATN_TRY(add_pieces(cx, m, l));
    for (atn_idx i = 0; i < n_extra; i++) add_token(l, extra[i], -1, NULL, true);
    t->charsmap = m->charsmap;
    t->charsmap_size = m->charsmap_size;
    t->json =
        json_pack("{s:o, s:o, s:o, s:o, s:O}", "model", model_of(l, m, unk, vocab),
                  "normalizer", normalizer_of(l, m), "pre_tokenizer", splitter_of(l),
                  "post_processor", post_of(l), "added_tokens", l->added);
done:
    json_decref(vocab);
    atn_free(cx, c.items);
    atn_free(cx, extra);
    return st;
}

static atn_status from_pieces(atn_ctx *cx, atn_tokenizer *t, layout *l)
{
    tok_spm m = {0};
    size_t size = 0;
    atn_status st = ATN_OK;

    ATN_TRY(find_family(cx, l, true, t));
    ATN_TRY(atn_file_read(cx, t->path, FILE_MAX, &t->file, &size));
    ATN_TRY(tok_spm_read(cx, t, t->file, size, &m));
    if (m.kind != 1 && m.kind != 2)
        ATN_TRY(
            tok_bad(cx, t, "is neither a unigram nor a BPE model (give --token-ids)"));
    ATN_TRY(build_pieces(cx, t, l, &m));
done:
    atn_free(cx, m.pieces);
    return st;
}

/* ---- BERT's vocab.txt ---- */

static atn_status read_lines(atn_ctx *cx, atn_tokenizer *t, size_t size)
{
    atn_idx lines = 0;
    atn_status st = ATN_OK;
    int32_t id = 0;

    for (size_t i = 0; i < size; i++)
        lines += t->vocab_text[i] == '\n' || i + 1 == size;
    if (lines == 0 || lines > TOK_ID_MAX) ATN_TRY(tok_bad(cx, t, "holds no token"));
    ATN_TRY(tok_vocab_room(cx, &t->vocab, (size_t)lines, lines));
    for (char *at = t->vocab_text; at < t->vocab_text + size;) {
        char *end = at + strcspn(at, "\n");
        const bool last = *end == '\0';

        *end = '\0';
        at[strcspn(at, "\r")] = '\0';
        tok_vocab_put(&t->vocab, at, strlen(at), id++);
        if (last) break;
        at = end + 1;
    }
done:
    return st;
}

static atn_status add_bert_specials(atn_ctx *cx, atn_tokenizer *t)
{
    static const char *const special[] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};
    atn_status st = ATN_OK;

    ATN_NEW(t->added, ATN_LEN(special));
    for (size_t i = 0; i < ATN_LEN(special); i++) {
        const int32_t id = tok_find(&t->vocab, special[i], strlen(special[i]));

        if (id < 0 && i < 3)
            ATN_TRY(
                tok_bad(cx, t, "has no [CLS], [SEP] or [UNK], so it is not BERT's"));
        if (id < 0) continue;
        t->added[t->n_added++] =
            (tok_added){.text = special[i], .size = strlen(special[i]), .id = id};
    }
    ATN_TRY(tok_index_added(cx, t));
    t->unk = tok_find(&t->vocab, "[UNK]", 5);
    ATN_TRY(
        tok_add_special(cx, &t->before, &t->n_before, tok_find(&t->vocab, "[CLS]", 5)));
    ATN_TRY(
        tok_add_special(cx, &t->after, &t->n_after, tok_find(&t->vocab, "[SEP]", 5)));
done:
    return st;
}

static atn_status from_vocab_txt(atn_ctx *cx, atn_tokenizer *t, layout *l)
{
    atn_status st = ATN_OK;
    size_t size = 0;
    bool lower;

    ATN_TRY(load_optional(cx, l->dir, "tokenizer_config.json", &l->config));
    lower = tok_flag(l->config, "do_lower_case", true);
    ATN_TRY(atn_file_read(cx, t->path, FILE_MAX, &t->vocab_text, &size));
    ATN_TRY(read_lines(cx, t, size));
    t->model = TOK_WORDPIECE;
    t->prefix = "##";
    t->suffix = "";
    t->max_chars = 100;
    ATN_NEW(t->normals, 1);
    t->normals[t->n_normals++] =
        (tok_normal){.kind = TOK_BERT,
                     .clean = true,
                     .chinese = tok_flag(l->config, "tokenize_chinese_chars", true),
                     .accents = tok_flag(l->config, "strip_accents", lower),
                     .lower = lower};
    ATN_NEW(t->splits, 1);
    t->splits[t->n_splits++] = (tok_split){.kind = TOK_BERT_SPLIT};
    ATN_TRY(add_bert_specials(cx, t));
done:
    return st;
}

/* ---- which layout ---- */

atn_status tok_load_layout(atn_ctx *cx, const char *dir, atn_tokenizer *t)
{
    static const char *const pieces[] = {"tokenizer.model", "spiece.model",
                                         "sentencepiece.bpe.model"};
    layout l = {.dir = dir, .ids = json_object(), .added = json_array()};
    bool found = false;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(pieces) && !found; i++)
        found = has(cx, dir, pieces[i], t);
    if (found)
        ATN_TRY(from_pieces(cx, t, &l));
    else if (has(cx, dir, "merges.txt", t) && has(cx, dir, "vocab.json", t))
        ATN_TRY(from_merges(cx, t, &l));
    else if (has(cx, dir, "vocab.txt", t))
        ATN_TRY(from_vocab_txt(cx, t, &l));
    else
        ATN_FAIL(ATN_NOINPUT,
                 "%s: has no tokenizer.json, vocab.json with merges.txt, SentencePiece "
                 "model or vocab.txt (make a tokenizer.json with save_pretrained of a "
                 "fast tokenizer, or give --token-ids)",
                 dir);
done:
    json_decref(l.config);
    json_decref(l.map);
    json_decref(l.more);
    json_decref(l.ids);
    json_decref(l.added);
    return st;
}
