/* capture/tokenizer.c -- loads a tokenizer and runs its pipeline, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"
#include "core/io/json.h"

static const int64_t ID_MAX = 1 << 26;
static const size_t VOCAB_TXT_MAX = (size_t)1 << 28;

atn_status tok_bad(atn_ctx *cx, const atn_tokenizer *t, const char *what)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: %s", t->path, what);
}

/* ---- vocabulary ---- */

static atn_status vocab_room(atn_ctx *cx, tok_vocab *v, size_t entries, atn_idx size)
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

/* Adds or replaces an entry. Added tokens are none: the model must not find them. */
static void vocab_put(tok_vocab *v, const char *key, size_t n, int32_t id)
{
    size_t at = atn_hash_u64(key, n) & (v->n_slots - 1);

    while (v->slots[at].key &&
           (v->slots[at].size != n || memcmp(v->slots[at].key, key, n) != 0))
        at = (at + 1) & (v->n_slots - 1);
    v->slots[at].key = key;
    v->slots[at].size = n;
    v->slots[at].id = id;
    v->spelling[id] = key;
}

static bool id_of(const json_t *j, int64_t *id)
{
    *id = json_integer_value(j);
    return json_is_integer(j) && *id >= 0 && *id < ID_MAX;
}

static atn_status read_vocab(atn_ctx *cx, atn_tokenizer *t, const json_t *vocab,
                             const json_t *added)
{
    int64_t largest = -1, id = 0;
    const char *key;
    json_t *v;
    size_t i;
    atn_status st = ATN_OK;

    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        ATN_TRY(tok_bad(cx, t, "model.vocab is no object, or empty"));
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v)
    {
        if (!id_of(v, &id))
            ATN_TRY(tok_bad(cx, t, "model.vocab holds an id outside 0..2^26-1"));
        largest = ATN_MAX(largest, id);
    }
    json_array_foreach(added, i, v)
    {
        if (!id_of(json_object_get(v, "id"), &id) ||
            !json_string_value(json_object_get(v, "content")))
            ATN_TRY(
                tok_bad(cx, t, "added_tokens holds an entry without content and id"));
        largest = ATN_MAX(largest, id);
    }
    ATN_TRY(vocab_room(cx, &t->vocab, json_object_size(vocab), largest + 1));
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v)
    {
        id = json_integer_value(v);
        if (t->vocab.spelling[id])
            ATN_TRY(tok_bad(cx, t, "model.vocab gives one id to two tokens"));
        vocab_put(&t->vocab, key, strlen(key), (int32_t)id);
    }
done:
    return st;
}

/* ---- added tokens ---- */

bool tok_flag(const json_t *j, const char *key, bool def)
{
    const json_t *v = json_object_get(j, key);

    return json_is_boolean(v) ? json_is_true(v) : def;
}

static atn_status read_added(atn_ctx *cx, atn_tokenizer *t, const json_t *list)
{
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    ATN_NEW(t->added, json_array_size(list));
    json_array_foreach(list, i, v)
    {
        const char *text = json_string_value(json_object_get(v, "content"));
        tok_added *a = &t->added[t->n_added];

        if (!*text) continue;
        *a = (tok_added){.text = text,
                         .size = strlen(text),
                         .id = (int32_t)json_integer_value(json_object_get(v, "id")),
                         .single_word = tok_flag(v, "single_word", false),
                         .lstrip = tok_flag(v, "lstrip", false),
                         .rstrip = tok_flag(v, "rstrip", false),
                         .normalized = tok_flag(v, "normalized", false)};
        t->vocab.spelling[a->id] = text;
        if (a->normalized) {
            tok_text normal = {NULL, 0, 0};

            st = tok_normalize(cx, t, text, a->size, &normal);
            a->owned = normal.data;
            if (st != ATN_OK) {
                t->n_added++;
                goto done;
            }
            a->text = normal.data;
            a->size = normal.size;
        }
        t->n_added++;
    }
done:
    return st;
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

static atn_status read_model(atn_ctx *cx, atn_tokenizer *t, const json_t *model,
                             const json_t *added)
{
    const char *type = json_string_value(json_object_get(model, "type"));
    char what[128];
    atn_status st = ATN_OK;
    int64_t chars = 100;

    /* old files leave the type out: merges say BPE */
    if (!type) type = json_object_get(model, "merges") ? "BPE" : "WordPiece";
    if (strcmp(type, "BPE") != 0 && strcmp(type, "WordPiece") != 0) {
        snprintf(what, sizeof what,
                 "model \"%.40s\" is not supported yet (give --token-ids)", type);
        ATN_TRY(tok_bad(cx, t, what));
    }
    t->model = type[0] == 'B' ? TOK_BPE : TOK_WORDPIECE;
    ATN_TRY(read_vocab(cx, t, json_object_get(model, "vocab"), added));
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
    ATN_TRY(read_unk(cx, t, model));
    if (t->model == TOK_BPE) ATN_TRY(tok_read_bpe(cx, t, model));
done:
    return st;
}

static atn_status add_special(atn_ctx *cx, int32_t **list, atn_idx *n, int32_t id)
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

    if (!id_of(json_array_get(json_object_get(j, key), 1), &id))
        return tok_bad(cx, t, "the post_processor's cls or sep has no id");
    return add_special(cx, list, n, (int32_t)id);
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
            if (!id_of(id_json, &id))
                return tok_bad(cx, t,
                               "TemplateProcessing holds an id outside 0..2^26-1");
            if (add_special(cx, seen ? &t->after : &t->before,
                            seen ? &t->n_after : &t->n_before, (int32_t)id) != ATN_OK)
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

static atn_status load_json(atn_ctx *cx, atn_tokenizer *t)
{
    const json_t *added;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_load(cx, t->path, false, &t->json));
    if (!json_is_object(t->json)) ATN_TRY(tok_bad(cx, t, "is no JSON object"));
    added = json_object_get(t->json, "added_tokens");
    ATN_TRY(read_model(cx, t, json_object_get(t->json, "model"), added));
    ATN_TRY(tok_read_normalizer(cx, t, json_object_get(t->json, "normalizer")));
    ATN_TRY(tok_read_splitter(cx, t, json_object_get(t->json, "pre_tokenizer")));
    ATN_TRY(read_post(cx, t, json_object_get(t->json, "post_processor")));
    ATN_TRY(read_added(cx, t, added));
    for (atn_idx i = 0; i < t->n_normals; i++)
        t->word_mark |=
            t->normals[i].kind == TOK_PREPEND || t->normals[i].kind == TOK_REPLACE;
done:
    return st;
}

/* ---- BERT's vocab.txt ---- */

static atn_status lower_case_of(atn_ctx *cx, const char *dir, bool *lower)
{
    char *path = atn_path_join(cx, dir, "tokenizer_config.json");
    atn_status st = ATN_OK;
    json_t *j = NULL;

    *lower = true;
    if (!path) return cx->err.code;
    if (atn_file_exists(path)) {
        ATN_TRY(atn_json_load(cx, path, true, &j));
        ATN_TRY(atn_json_get_bool(cx, path, j, "do_lower_case", true, lower));
    }
done:
    json_decref(j);
    atn_free(cx, path);
    return st;
}

static atn_status read_lines(atn_ctx *cx, atn_tokenizer *t, size_t size)
{
    atn_idx lines = 0;
    atn_status st = ATN_OK;
    int32_t id = 0;

    for (size_t i = 0; i < size; i++)
        lines += t->vocab_text[i] == '\n' || i + 1 == size;
    if (lines == 0 || lines > ID_MAX) ATN_TRY(tok_bad(cx, t, "holds no token"));
    ATN_TRY(vocab_room(cx, &t->vocab, (size_t)lines, lines));
    for (char *at = t->vocab_text; at < t->vocab_text + size;) {
        char *end = at + strcspn(at, "\n");
        const bool last = *end == '\0';

        *end = '\0';
        at[strcspn(at, "\r")] = '\0';
        vocab_put(&t->vocab, at, strlen(at), id++);
        if (last) break;
        at = end + 1;
    }
done:
    return st;
}

static atn_status load_vocab_txt(atn_ctx *cx, const char *dir, atn_tokenizer *t)
{
    static const char *const special[] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};
    atn_status st = ATN_OK;
    size_t size = 0;
    bool lower = true;

    ATN_TRY(lower_case_of(cx, dir, &lower));
    ATN_TRY(atn_file_read(cx, t->path, VOCAB_TXT_MAX, &t->vocab_text, &size));
    ATN_TRY(read_lines(cx, t, size));
    t->model = TOK_WORDPIECE;
    t->prefix = "##";
    t->suffix = "";
    t->max_chars = 100;
    ATN_NEW(t->normals, 1);
    t->normals[t->n_normals++] = (tok_normal){.kind = TOK_BERT,
                                              .clean = true,
                                              .chinese = true,
                                              .accents = lower,
                                              .lower = lower};
    ATN_NEW(t->splits, 1);
    t->splits[t->n_splits++] = (tok_split){.kind = TOK_BERT_SPLIT};
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
    t->unk = tok_find(&t->vocab, "[UNK]", 5);
    ATN_TRY(add_special(cx, &t->before, &t->n_before, tok_find(&t->vocab, "[CLS]", 5)));
    ATN_TRY(add_special(cx, &t->after, &t->n_after, tok_find(&t->vocab, "[SEP]", 5)));
done:
    return st;
}

atn_status atn_tokenizer_load(atn_ctx *cx, const char *model_dir, atn_tokenizer **out)
{
    atn_status st = ATN_OK;
    atn_tokenizer *t = NULL;
    bool json;

    *out = NULL;
    ATN_NEW(t, 1);
    t->unk = -1;
    t->prefix = t->suffix = "";
    t->path = atn_path_join(cx, model_dir, "tokenizer.json");
    json = t->path && atn_file_exists(t->path);
    if (!json) {
        atn_free(cx, t->path);
        t->path = atn_path_join(cx, model_dir, "vocab.txt");
    }
    if (!t->path) {
        st = cx->err.code;
        goto done;
    }
    if (!json && !atn_file_exists(t->path))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: has no tokenizer.json (make one with save_pretrained of a fast "
                 "tokenizer, or "
                 "give --token-ids)",
                 model_dir);
    ATN_TRY(json ? load_json(cx, t) : load_vocab_txt(cx, model_dir, t));
    *out = t;
    t = NULL;
done:
    atn_tokenizer_destroy(cx, t);
    return st;
}

void atn_tokenizer_destroy(atn_ctx *cx, atn_tokenizer *t)
{
    if (!t) return;
    for (atn_idx i = 0; i < t->n_normals; i++)
        pcre2_code_free(t->normals[i].regex.code);
    for (atn_idx i = 0; i < t->n_splits; i++) pcre2_code_free(t->splits[i].regex.code);
    for (atn_idx i = 0; i < t->n_added; i++) atn_free(cx, t->added[i].owned);
    json_decref(t->json);
    atn_free(cx, t->path);
    atn_free(cx, t->vocab_text);
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

static bool word_touches(const char *text, size_t n, size_t at, size_t size)
{
    size_t k, back = at;

    if (at + size < n && tok_is_word(tok_decode(text + at + size, n - at - size, &k)))
        return true;
    if (at == 0) return false;
    do back--;
    while (back > 0 && ((unsigned char)text[back] & 0xc0) == 0x80);
    return tok_is_word(tok_decode(text + back, at - back, &k));
}

/* The longest added token of the kind that begins at `at`; NULL when there is none. */
static const tok_added *added_at(const atn_tokenizer *t, bool normalized,
                                 const char *text, size_t n, size_t at)
{
    const tok_added *best = NULL;

    for (atn_idx i = 0; i < t->n_added; i++) {
        const tok_added *a = &t->added[i];

        if (a->normalized != normalized || a->size == 0 || a->size > n - at ||
            memcmp(text + at, a->text, a->size) != 0)
            continue;
        if (!best || a->size > best->size) best = a;
    }
    return best;
}

/* White space before `at`, not going back beyond `floor`. */
static size_t skip_back(const char *text, size_t floor, size_t at)
{
    while (at > floor) {
        size_t back = at, k;

        do back--;
        while (back > floor && ((unsigned char)text[back] & 0xc0) == 0x80);
        if (!tok_is_space(tok_decode(text + back, at - back, &k))) break;
        at = back;
    }
    return at;
}

static size_t skip_forward(const char *text, size_t n, size_t at)
{
    size_t k;

    while (at < n && tok_is_space(tok_decode(text + at, n - at, &k))) at += k;
    return at;
}

/* Cuts the added tokens out of one text. */
static atn_status cut_added(atn_ctx *cx, const atn_tokenizer *t, bool normalized,
                            const char *text, size_t n, tok_pieces *out)
{
    bool starts[256] = {false};
    atn_status st = ATN_OK;
    size_t done = 0;

    for (atn_idx i = 0; i < t->n_added; i++)
        if (t->added[i].normalized == normalized && t->added[i].size > 0)
            starts[(unsigned char)t->added[i].text[0]] = true;
    for (size_t at = 0; at < n;) {
        const tok_added *a = starts[(unsigned char)text[at]]
                                 ? added_at(t, normalized, text, n, at)
                                 : NULL;
        size_t begin, end;

        if (!a) {
            at++;
            continue;
        }
        if (a->single_word && word_touches(text, n, at, a->size)) {
            at += a->size;
            continue;
        }
        begin = a->lstrip ? skip_back(text, done, at) : at;
        end = a->rstrip ? skip_forward(text, n, at + a->size) : at + a->size;
        ATN_TRY(tok_add_piece(cx, out, text + done, begin - done, -1));
        ATN_TRY(tok_add_piece(cx, out, text + begin, end - begin, a->id));
        done = at = end;
    }
    ATN_TRY(tok_add_piece(cx, out, text + done, n - done, -1));
done:
    return st;
}

static atn_status encode_piece(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                               size_t n, bool first, tok_ids *out)
{
    atn_status st = ATN_OK;
    tok_pieces pieces = {0};

    ATN_TRY(tok_split_text(cx, t, text, n, first, &pieces));
    for (atn_idx i = 0; i < pieces.n; i++) {
        const char *piece = pieces.text.data + pieces.items[i].at;
        const size_t size = pieces.items[i].size;

        ATN_TRY(t->model == TOK_BPE ? tok_bpe(cx, t, piece, size, out)
                                    : tok_wordpiece(cx, t, piece, size, out));
    }
done:
    tok_pieces_release(cx, &pieces);
    return st;
}

/* A segment without raw added tokens: normalise, cut the normalized ones out, encode. */
static atn_status encode_segment(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                                 size_t n, bool first, tok_ids *out)
{
    atn_status st = ATN_OK;
    tok_text normal = {NULL, 0, 0};
    tok_pieces pieces = {0};

    ATN_TRY(tok_normalize(cx, t, text, n, &normal));
    ATN_TRY(cut_added(cx, t, true, normal.data, normal.size, &pieces));
    for (atn_idx i = 0; i < pieces.n; i++) {
        const tok_piece *p = &pieces.items[i];

        if (p->id >= 0)
            ATN_TRY(tok_add_id(cx, out, p->id));
        else
            ATN_TRY(encode_piece(cx, t, pieces.text.data + p->at, p->size,
                                 first && i == 0, out));
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
    for (atn_idx i = 0; special && i < t->n_before; i++)
        ATN_TRY(tok_add_id(cx, &out, t->before[i]));
    ATN_TRY(cut_added(cx, t, false, text, n, &pieces));
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

/* ---- labels ---- */

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
    tok_text out = {NULL, 0, 0};
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
    tok_text raw = {NULL, 0, 0};

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
