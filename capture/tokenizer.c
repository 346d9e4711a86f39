/* capture/tokenizer.c -- loads a tokenizer and runs its pipeline, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"
#include "core/io/json.h"

atn_status tok_bad(atn_ctx *cx, const atn_tokenizer *t, const char *what)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: %s", t->path, what);
}

/* ---- vocabulary ---- */

atn_status tok_vocab_room(atn_ctx *cx, tok_vocab *v, size_t entries, atn_idx size)
{
    atn_status st = ATN_OK;

    v->n_slots = 64;
    while (v->n_slots < 2 * entries) v->n_slots *= 2;
    ATN_NEW(v->slots, v->n_slots);
    ATN_NEW(v->spelling, size);
    v->size = size;
done:
    return st;
}

void tok_vocab_put(tok_vocab *v, const char *key, size_t n, int32_t id)
{
    const uint64_t hash = atn_hash_u64(key, n);
    size_t at = hash & (v->n_slots - 1);

    while (v->slots[at].key &&
           (v->slots[at].size != n || memcmp(v->slots[at].key, key, n) != 0))
        at = (at + 1) & (v->n_slots - 1);
    v->slots[at].key = key;
    v->slots[at].size = n;
    v->slots[at].id = id;
    v->slots[at].hash = (uint32_t)(hash >> 32);
    v->spelling[id] = key;
}

bool tok_id_of(const json_t *j, int64_t *id)
{
    *id = json_integer_value(j);
    return json_is_integer(j) && *id >= 0 && *id < TOK_ID_MAX;
}

static atn_status read_vocab(atn_ctx *cx, atn_tokenizer *t, const json_t *vocab,
                             const json_t *added)
{
    int64_t largest = -1, id = 0;
    const char *key;
    json_t *v;
    atn_status st = ATN_OK;

    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        ATN_TRY(tok_bad(cx, t, "model.vocab is no object, or empty"));
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v)
    {
        if (!tok_id_of(v, &id))
            ATN_TRY(tok_bad(cx, t, "model.vocab holds an id outside 0..2^26-1"));
        largest = ATN_MAX(largest, id);
    }
    ATN_TRY(tok_added_ids(cx, t, added, &largest));
    ATN_TRY(tok_vocab_room(cx, &t->vocab, json_object_size(vocab), largest + 1));
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v)
    {
        id = json_integer_value(v);
        if (t->vocab.spelling[id])
            ATN_TRY(tok_bad(cx, t, "model.vocab gives one id to two tokens"));
        tok_vocab_put(&t->vocab, key, strlen(key), (int32_t)id);
    }
done:
    return st;
}

bool tok_flag(const json_t *j, const char *key, bool def)
{
    const json_t *v = json_object_get(j, key);

    return json_is_boolean(v) ? json_is_true(v) : def;
}

/* ---- model and post-processor ---- */

static const char *text_or_empty(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text ? text : "";
}

static atn_status read_unk(atn_ctx *cx, atn_tokenizer *t, const json_t *model)
{
    const char *unk = json_string_value(json_object_get(model, "unk_token"));

    t->unk = unk ? tok_find(&t->vocab, unk, strlen(unk)) : -1;
    if (unk && t->unk < 0)
        return tok_bad(cx, t, "model.unk_token is not in the vocabulary");
    if (!unk && t->model == TOK_WORDPIECE)
        return tok_bad(cx, t, "model.unk_token is missing");
    return ATN_OK;
}

/* Old files leave the type out: unk_id says Unigram, merges say BPE. */
static bool known_model(const json_t *model, tok_model *out)
{
    static const char *const names[] = {"BPE", "WordPiece", "Unigram"};
    const char *type = json_string_value(json_object_get(model, "type"));

    if (!type)
        type = json_object_get(model, "unk_id")   ? "Unigram"
               : json_object_get(model, "merges") ? "BPE"
                                                  : "WordPiece";
    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(type, names[i]) == 0) {
            *out = (tok_model)i;
            return true;
        }
    return false;
}

static atn_status read_model(atn_ctx *cx, atn_tokenizer *t, const json_t *model,
                             const json_t *added)
{
    char what[128];
    atn_status st = ATN_OK;
    int64_t chars = 100;

    if (!known_model(model, &t->model)) {
        snprintf(what, sizeof what,
                 "model \"%.40s\" is not supported yet (give --token-ids)",
                 text_or_empty(model, "type"));
        ATN_TRY(tok_bad(cx, t, what));
    }
    ATN_TRY(t->model == TOK_UNIGRAM
                ? tok_read_unigram(cx, t, model, added)
                : read_vocab(cx, t, json_object_get(model, "vocab"), added));
    t->prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    if (!t->prefix) t->prefix = t->model == TOK_WORDPIECE ? "##" : "";
    t->suffix = text_or_empty(model, "end_of_word_suffix");
    t->fuse_unk = tok_flag(model, "fuse_unk", false);
    t->byte_fallback = tok_flag(model, "byte_fallback", false);
    t->ignore_merges = tok_flag(model, "ignore_merges", false);
    ATN_TRY(atn_json_get_i64(cx, t->path, model, "max_input_chars_per_word", 100, 1,
                             1 << 20, &chars));
    t->max_chars = chars;
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", b);
        t->bytes[b] = tok_find(&t->vocab, name, strlen(name));
    }
    if (t->model != TOK_UNIGRAM) ATN_TRY(read_unk(cx, t, model));
    if (t->model == TOK_BPE) ATN_TRY(tok_read_bpe(cx, t, model));
done:
    return st;
}

atn_status tok_add_special(atn_ctx *cx, int32_t **list, atn_idx *n, int32_t id)
{
    int32_t *grown = atn_realloc(cx, *list, *n + 1, sizeof *grown);

    if (!grown) return cx->err.code;
    grown[(*n)++] = id;
    *list = grown;
    return ATN_OK;
}

/* [["[SEP]", 102]] of the Bert and Roberta post-processors. */
static atn_status read_pair(atn_ctx *cx, atn_tokenizer *t, const json_t *j,
                            const char *key, int32_t **list, atn_idx *n)
{
    int64_t id = 0;

    if (!tok_id_of(json_array_get(json_object_get(j, key), 1), &id))
        return tok_bad(cx, t, "the post_processor's cls or sep has no id");
    return tok_add_special(cx, list, n, (int32_t)id);
}

static atn_status read_template(atn_ctx *cx, atn_tokenizer *t, const json_t *j)
{
    const json_t *single = json_object_get(j, "single"),
                 *known = json_object_get(j, "special_tokens");
    const json_t *item, *id_json;
    bool seen = false;
    size_t i, k;
    int64_t id = 0;

    if (!json_is_array(single))
        return tok_bad(cx, t, "TemplateProcessing has no \"single\" list");
    json_array_foreach(single, i, item)
    {
        const json_t *special = json_object_get(item, "SpecialToken");
        const char *name = json_string_value(json_object_get(special, "id"));

        if (!special) {
            seen = true;
            continue;
        }
        if (!name || !json_object_get(known, name))
            return tok_bad(
                cx, t, "TemplateProcessing names a special token it does not define");
        json_array_foreach(json_object_get(json_object_get(known, name), "ids"), k,
                           id_json)
        {
            if (!tok_id_of(id_json, &id))
                return tok_bad(cx, t,
                               "TemplateProcessing holds an id outside 0..2^26-1");
            if (tok_add_special(cx, seen ? &t->after : &t->before,
                                seen ? &t->n_after : &t->n_before,
                                (int32_t)id) != ATN_OK)
                return cx->err.code;
        }
    }
    return seen ? ATN_OK : tok_bad(cx, t, "TemplateProcessing leaves the text out");
}

static atn_status read_post(atn_ctx *cx, atn_tokenizer *t, const json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *v;
    atn_status st = ATN_OK;
    char what[128];
    size_t i;

    if (!j || json_is_null(j)) return ATN_OK;
    if (!type) return tok_bad(cx, t, "the post_processor has no type");
    if (strcmp(type, "Sequence") == 0) {
        json_array_foreach(json_object_get(j, "processors"), i, v)
            ATN_TRY(read_post(cx, t, v));
        return ATN_OK;
    }
    if (strcmp(type, "ByteLevel") == 0) return ATN_OK; /* offsets only */
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(cx, t, j);
    if (strcmp(type, "BertProcessing") != 0 && strcmp(type, "RobertaProcessing") != 0) {
        snprintf(what, sizeof what,
                 "post_processor \"%.40s\" is not supported (give --token-ids)", type);
        return tok_bad(cx, t, what);
    }
    ATN_TRY(read_pair(cx, t, j, "cls", &t->before, &t->n_before));
    ATN_TRY(read_pair(cx, t, j, "sep", &t->after, &t->n_after));
done:
    return st;
}

static atn_status read_json(atn_ctx *cx, atn_tokenizer *t)
{
    const json_t *added;
    atn_status st = ATN_OK;

    if (!json_is_object(t->json)) ATN_TRY(tok_bad(cx, t, "is no JSON object"));
    added = json_object_get(t->json, "added_tokens");
    ATN_TRY(read_model(cx, t, json_object_get(t->json, "model"), added));
    ATN_TRY(tok_read_normalizer(cx, t, json_object_get(t->json, "normalizer")));
    ATN_TRY(tok_read_splitter(cx, t, json_object_get(t->json, "pre_tokenizer")));
    ATN_TRY(read_post(cx, t, json_object_get(t->json, "post_processor")));
    ATN_TRY(tok_read_added(cx, t, added));
    for (atn_idx i = 0; i < t->n_normals; i++)
        t->word_mark |=
            t->normals[i].kind == TOK_PREPEND || t->normals[i].kind == TOK_REPLACE;
done:
    return st;
}

atn_status atn_tokenizer_load(atn_ctx *cx, const char *model_dir, atn_tokenizer **out)
{
    atn_status st = ATN_OK;
    atn_tokenizer *t = NULL;

    *out = NULL;
    ATN_NEW(t, 1);
    t->unk = -1;
    t->prefix = t->suffix = "";
    t->path = atn_path_join(cx, model_dir, "tokenizer.json");
    if (!t->path) ATN_TRY(cx->err.code);
    if (atn_ends_with(model_dir, ".gguf") && !atn_dir_exists(model_dir))
        ATN_TRY(tok_load_gguf(cx, model_dir, t));
    else if (atn_file_exists(t->path))
        ATN_TRY(atn_json_load(cx, t->path, false, &t->json));
    else
        ATN_TRY(tok_load_layout(cx, model_dir, t));
    if (t->json) ATN_TRY(read_json(cx, t));
    atn_free(cx, t->file);
    t->file = NULL;
    *out = t;
    t = NULL;
done:
    atn_tokenizer_destroy(cx, t);
    return st;
}

atn_status atn_tokenizer_inputs(atn_ctx *cx, const char *model_dir, atn_run *run)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer.model",
                                        "spiece.model",
                                        "sentencepiece.bpe.model",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json"};
    atn_status st = ATN_OK;
    char *path = NULL;
    bool whole = false;

    for (size_t i = 0; i < ATN_LEN(names) && !whole; i++) {
        path = atn_path_join(cx, model_dir, names[i]);
        if (!path) ATN_TRY(cx->err.code);
        if (atn_file_exists(path)) {
            ATN_TRY(atn_run_add_input(cx, run, path));
            whole = i == 0; /* a tokenizer.json needs no other file */
        }
        atn_free(cx, path);
        path = NULL;
    }
done:
    atn_free(cx, path);
    return st;
}

void atn_tokenizer_destroy(atn_ctx *cx, atn_tokenizer *t)
{
    if (!t) return;
    for (atn_idx i = 0; i < t->n_normals; i++) {
        pcre2_code_free(t->normals[i].regex.code);
        tok_charsmap_release(cx, &t->normals[i].map);
    }
    for (atn_idx i = 0; i < t->n_splits; i++) pcre2_code_free(t->splits[i].regex.code);
    for (atn_idx i = 0; i < t->n_added; i++) atn_free(cx, t->added[i].owned);
    json_decref(t->json);
    atn_free(cx, t->path);
    atn_free(cx, t->vocab_text);
    atn_free(cx, t->file);
    atn_free(cx, t->scores);
    tok_trie_release(cx, &t->trie);
    tok_trie_release(cx, &t->raw);
    tok_trie_release(cx, &t->normal);
    atn_free(cx, t->vocab.slots);
    atn_free(cx, t->vocab.spelling);
    atn_free(cx, t->merges.slots);
    atn_free(cx, t->normals);
    atn_free(cx, t->splits);
    atn_free(cx, t->added);
    atn_free(cx, t->before);
    atn_free(cx, t->after);
    atn_free(cx, t);
}

/* ---- encoding ---- */

static atn_status encode_piece(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                               size_t n, bool first, tok_ids *out)
{
    atn_status st = ATN_OK;
    tok_pieces pieces = {0};

    ATN_TRY(tok_split_text(cx, t, text, n, first, &pieces));
    for (atn_idx i = 0; i < pieces.n; i++) {
        const char *piece = pieces.text.data + pieces.items[i].at;
        const size_t size = pieces.items[i].size;

        ATN_TRY(t->model == TOK_BPE       ? tok_bpe(cx, t, piece, size, out)
                : t->model == TOK_UNIGRAM ? tok_unigram(cx, t, piece, size, out)
                                          : tok_wordpiece(cx, t, piece, size, out));
    }
done:
    tok_pieces_release(cx, &pieces);
    return st;
}

/* A segment without raw added tokens: normalise, cut the normalized ones out,
 * encode. */
static atn_status encode_segment(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                                 size_t n, bool first, tok_ids *out)
{
    atn_status st = ATN_OK;
    tok_text normal = {0};
    tok_pieces pieces = {0};

    ATN_TRY(tok_normalize(cx, t, text, n, &normal));
    ATN_TRY(tok_cut_added(cx, t, true, normal.data, normal.size, &pieces));
    for (atn_idx i = 0; i < pieces.n; i++) {
        const tok_piece *p = &pieces.items[i];

        if (p->id >= 0)
            ATN_TRY(tok_add_id(cx, out, p->id));
        else
            ATN_TRY(encode_piece(cx, t, pieces.text.data + p->at, p->size,
                                 first && i == 0 && normal.head > 0, out));
    }
done:
    atn_free(cx, normal.data);
    tok_pieces_release(cx, &pieces);
    return st;
}

atn_status atn_tokenizer_encode(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                                size_t n, bool special, int32_t **ids, atn_idx *count)
{
    atn_status st = ATN_OK;
    tok_pieces pieces = {0};
    tok_ids out = {NULL, 0, 0};
    size_t bad = 0;

    *ids = NULL;
    *count = 0;
    if (!atn_utf8_valid(text, n, &bad))
        ATN_FAIL(
            ATN_DATA,
            "the text is not UTF-8 at byte %zu (convert it, for example with iconv)",
            bad);
    if (*t->foreign)
        ATN_FAIL(
            ATN_DATA,
            "%s: how model_type %s of config.json cuts a text into these tokens is "
            "not known (give --token-ids)",
            t->path, t->foreign);
    for (atn_idx i = 0; special && i < t->n_before; i++)
        ATN_TRY(tok_add_id(cx, &out, t->before[i]));
    ATN_TRY(tok_cut_added(cx, t, false, text, n, &pieces));
    for (atn_idx i = 0; i < pieces.n; i++) {
        const tok_piece *p = &pieces.items[i];

        if (p->id >= 0)
            ATN_TRY(tok_add_id(cx, &out, p->id));
        else
            ATN_TRY(
                encode_segment(cx, t, pieces.text.data + p->at, p->size, i == 0, &out));
    }
    for (atn_idx i = 0; special && i < t->n_after; i++)
        ATN_TRY(tok_add_id(cx, &out, t->after[i]));
    *ids = out.items;
    *count = out.n;
    out.items = NULL;
done:
    atn_free(cx, out.items);
    tok_pieces_release(cx, &pieces);
    return st;
}
