/* capture/tokenizer_gguf.c -- the tokenizer within a GGUF file in the form of a
 * tokenizer.json.
 *
 * tokenizer.ggml.model "gpt2" is byte-level BPE, whose expression tokenizer.ggml.pre
 * names; "llama" is a SentencePiece BPE: pieces with scores, no merges.
 *
 * Source  ggml docs/gguf.md; llama.cpp src/llama-vocab.cpp for the names of
 *         expressions, the families' tokenizer.json for the expressions themselves.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"
#include "core/io/gguf.h"

#define MARK "\xe2\x96\x81"

enum { TYPE_CONTROL = 3, TYPE_USER = 4 };

typedef struct reading {
    atn_tokenizer *t;
    const json_t *keys, *tokens;
} reading;

static const json_t *value_of(const reading *r, const char *key)
{
    char full[96];

    snprintf(full, sizeof full, "tokenizer.ggml.%s", key);
    return json_object_get(r->keys, full);
}

static bool flag(const reading *r, const char *key, bool def)
{
    const json_t *v = value_of(r, key);

    return json_is_boolean(v) ? json_is_true(v) : def;
}

/* The text of the special token of a key, NULL = none; *id is its id. */
static const char *special(const reading *r, const char *key, json_int_t *id)
{
    const json_t *v = value_of(r, key);

    *id = json_is_integer(v) ? json_integer_value(v) : -1;
    return *id < 0 ? NULL : json_string_value(json_array_get(r->tokens, (size_t)*id));
}

/* Ids of special tokens are those of tokens, and there is a type a token. */
static atn_status check_lists(atn_ctx *cx, const reading *r)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id",
                                       "unknown_token_id"};
    const json_int_t n = (json_int_t)json_array_size(r->tokens);
    const json_t *types = value_of(r, "token_type");
    char what[120];

    for (size_t i = 0; i < ATN_LEN(keys); i++) {
        const json_t *v = value_of(r, keys[i]);

        snprintf(what, sizeof what, "tokenizer.ggml.%s is no token of its %lld",
                 keys[i], (long long)n);
        if (v && (!json_is_integer(v) || json_integer_value(v) >= n))
            return tok_bad(cx, r->t, what);
    }
    if (types && (json_int_t)json_array_size(types) != n)
        return tok_bad(cx, r->t, "tokenizer.ggml.token_type has not one entry a token");
    return ATN_OK;
}

/* tokens as an object of ids; of a text that stands there twice the first counts. */
static atn_status vocab_of(atn_ctx *cx, const reading *r, json_t **out)
{
    json_t *vocab = json_object();

    for (size_t i = 0; i < json_array_size(r->tokens); i++) {
        const char *text = json_string_value(json_array_get(r->tokens, i));

        if (!text) continue; /* no UTF-8: no text gives it */
        if (!json_object_get(vocab, text) &&
            json_object_set_new(vocab, text, json_integer((json_int_t)i)) != 0) {
            json_decref(vocab);
            return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                            "no memory for the vocabulary");
        }
    }
    *out = vocab;
    return ATN_OK;
}

/* Control and user-defined tokens. */
static json_t *added_of(const reading *r)
{
    const json_t *types = value_of(r, "token_type");
    json_t *added = json_array();

    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_int_t type = json_integer_value(json_array_get(types, i));
        const char *text = json_string_value(json_array_get(r->tokens, i));

        if ((type != TYPE_CONTROL && type != TYPE_USER) || !text || !*text) continue;
        json_array_append_new(added,
                              json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                                        (json_int_t)i, "content", text, "special",
                                        type == TYPE_CONTROL, "single_word", 0,
                                        "lstrip", 0, "rstrip", 0, "normalized", 0));
    }
    return added;
}

/* The beginning and the end of a text. */
static json_t *post_of(const reading *r, bool bos_def)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id"};
    const bool wanted[] = {flag(r, "add_bos_token", bos_def),
                           flag(r, "add_eos_token", false)};
    json_t *single = json_array(), *known = json_object();

    for (int k = 0; k < 2; k++) {
        json_int_t id;
        const char *text = special(r, keys[k], &id);

        if (k == 1)
            json_array_append_new(single,
                                  json_pack("{s:{s:s}}", "Sequence", "id", "A"));
        if (!wanted[k] || !text) continue;
        json_array_append_new(single,
                              json_pack("{s:{s:s}}", "SpecialToken", "id", text));
        json_object_set_new(known, text, json_pack("{s:[I]}", "ids", id));
    }
    return json_pack("{s:s, s:o, s:o}", "type", "TemplateProcessing", "single", single,
                     "special_tokens", known);
}

/* ---- byte-level BPE ---- */

static json_t *byte_level(const char *expression, bool digits)
{
    json_t *steps = json_array();

    if (expression)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Split",
                                               "pattern", "Regex", expression,
                                               "behavior", "Isolated"));
    if (digits)
        json_array_append_new(
            steps, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1));
    json_array_append_new(steps,
                          json_pack("{s:s, s:b, s:b}", "type", "ByteLevel",
                                    "add_prefix_space", 0, "use_regex", !expression));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* What the name of the expression stands for. */
static atn_status splitter_of(atn_ctx *cx, const reading *r, json_t **out,
                              json_t **normalizer, bool *whole)
{
#define LETTERS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define REST    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    static const struct {
        const char *name, *expression;
        bool digits, nfc, whole; /* whole: pieces of the vocabulary are not merged */
    } known[] = {
        {"gpt-2", NULL, false, false, false},
        {"gpt2", NULL, false, false, false},
        {"olmo", NULL, false, false, false},
        {"llama-bpe", LETTERS "\\p{N}{1,3}" REST, false, false, true},
        {"llama3", LETTERS "\\p{N}{1,3}" REST, false, false, true},
        {"dbrx", LETTERS "\\p{N}{1,3}" REST, false, false, false},
        {"qwen2", LETTERS "\\p{N}" REST, false, true, false},
        {"smollm", NULL, true, false, false},
    };
#undef LETTERS
#undef REST
    const json_t *v = value_of(r, "pre");
    const char *pre = v ? json_string_value(v) : "gpt-2";
    char what[200];

    for (size_t i = 0; pre && i < ATN_LEN(known); i++) {
        if (strcmp(known[i].name, pre) != 0) continue;
        *out = byte_level(known[i].expression, known[i].digits);
        *normalizer = known[i].nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
        *whole = known[i].whole;
        return ATN_OK;
    }
    snprintf(what, sizeof what,
             "how tokenizer.ggml.pre \"%.40s\" splits a text is not known (give "
             "--token-ids, or the model's own directory)",
             pre ? pre : "?");
    return tok_bad(cx, r->t, what);
}

static atn_status from_merges(atn_ctx *cx, const reading *r)
{
    const json_t *merges = value_of(r, "merges");
    json_t *vocab = NULL, *splitter = NULL, *normalizer = NULL;
    atn_status st = ATN_OK;
    bool whole = false;

    if (!json_is_array(merges))
        ATN_TRY(tok_bad(cx, r->t, "tokenizer.ggml.merges is no list"));
    ATN_TRY(splitter_of(cx, r, &splitter, &normalizer, &whole));
    ATN_TRY(vocab_of(cx, r, &vocab));
    r->t->json =
        json_pack("{s:{s:s, s:O, s:O, s:b}, s:O, s:O, s:o, s:o}", "model", "type",
                  "BPE", "vocab", vocab, "merges", merges, "ignore_merges", whole,
                  "normalizer", normalizer, "pre_tokenizer", splitter, "post_processor",
                  post_of(r, whole), "added_tokens", added_of(r));
    if (!r->t->json) ATN_FAIL(ATN_MEMORY, "no memory for the tokenizer");
done:
    json_decref(vocab);
    json_decref(splitter);
    json_decref(normalizer);
    return st;
}

/* ---- SentencePiece ---- */

static json_t *mark_spaces(bool prefix)
{
    json_t *steps = json_array();

    if (prefix)
        json_array_append_new(
            steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", MARK));
    json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace",
                                           "pattern", "String", " ", "content", MARK));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps);
}

static atn_status from_scores(atn_ctx *cx, const reading *r)
{
    const json_t *scores = value_of(r, "scores");
    const size_t n = json_array_size(r->tokens);
    json_t *vocab = NULL;
    json_int_t unk;
    const char *unknown = special(r, "unknown_token_id", &unk);
    atn_status st = ATN_OK;

    if (json_array_size(scores) != n)
        ATN_TRY(tok_bad(cx, r->t, "tokenizer.ggml.scores has not one number a token"));
    ATN_TRY(vocab_of(cx, r, &vocab));
    ATN_NEW(r->t->scores, ATN_MAX((atn_idx)n, 1));
    for (size_t i = 0; i < n; i++)
        r->t->scores[i] = json_number_value(json_array_get(scores, i));
    r->t->json =
        json_pack("{s:{s:s, s:O, s:s, s:b, s:b}, s:o, s:n, s:o, s:o}", "model", "type",
                  "BPE", "vocab", vocab, "unk_token", unknown ? unknown : "<unk>",
                  "fuse_unk", 1, "byte_fallback", 1, "normalizer",
                  mark_spaces(flag(r, "add_space_prefix", true)), "pre_tokenizer",
                  "post_processor", post_of(r, true), "added_tokens", added_of(r));
    if (!r->t->json) ATN_FAIL(ATN_MEMORY, "no memory for the tokenizer");
done:
    json_decref(vocab);
    return st;
}

atn_status tok_load_gguf(atn_ctx *cx, const char *path, atn_tokenizer *t)
{
    atn_status st = ATN_OK;
    json_t *keys = NULL;
    atn_st *tensors = NULL;
    reading r = {.t = t};
    const char *model;
    char what[160];

    atn_free(cx, t->path);
    t->path = atn_strdup(cx, path);
    if (!t->path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_gguf_open(cx, path, &keys, &tensors));
    r.keys = keys;
    r.tokens = value_of(&r, "tokens");
    model = json_string_value(value_of(&r, "model"));
    if (!model || !json_is_array(r.tokens))
        ATN_FAIL(
            ATN_NOINPUT,
            "%s: holds no tokenizer (give --token-ids, or the model's own directory)",
            path);
    ATN_TRY(check_lists(cx, &r));
    if (strcmp(model, "gpt2") == 0) {
        ATN_TRY(from_merges(cx, &r));
    } else if (strcmp(model, "llama") == 0) {
        ATN_TRY(from_scores(cx, &r));
    } else {
        snprintf(what, sizeof what,
                 "tokenizer.ggml.model \"%.40s\" is not run; gpt2 and llama are (give "
                 "--token-ids, or the model's own directory)",
                 model);
        ATN_TRY(tok_bad(cx, t, what));
    }
done:
    atn_st_close(cx, tensors);
    json_decref(keys);
    return st;
}
