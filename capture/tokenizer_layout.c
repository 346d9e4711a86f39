/* capture/tokenizer_layout.c -- model directories without tokenizer.json.
 *
 * vocab.json with merges.txt and SentencePiece files are put into the form of a
 * tokenizer.json, by the rules of the family that config.json names; vocab.txt is
 * BERT's WordPiece.
 *
 * Source  convert_slow_tokenizer.py of transformers 4. Special tokens and flags come
 *         from tokenizer_config.json, special_tokens_map.json and added_tokens.json,
 *         else they are those of the family.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer_layout.h"
#include "core/io/file.h"
#include "core/io/json.h"

static const char *const special_keys[N_SPECIAL] = {
    "bos_token", "eos_token", "unk_token", "sep_token",
    "pad_token", "cls_token", "mask_token"};

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

/* The path of a file that is there becomes the tokenizer's. */
static atn_status find(atn_ctx *cx, const char *dir, const char *name, atn_tokenizer *t,
                       bool *found)
{
    char *path = atn_path_join(cx, dir, name);

    if (!path) return cx->err.code;
    *found = atn_file_exists(path);
    if (*found) {
        atn_free(cx, t->path);
        t->path = path;
        return ATN_OK;
    }
    atn_free(cx, path);
    return ATN_OK;
}

/* model_type of config.json between blanks, " ? " where there is none. */
static atn_status type_of(atn_ctx *cx, const char *dir, char type[80])
{
    json_t *config = NULL;
    const char *name;
    atn_status st = ATN_OK;

    ATN_TRY(load_optional(cx, dir, "config.json", &config));
    name = json_string_value(json_object_get(config, "model_type"));
    snprintf(type, 80, " %.70s ", name ? name : "?");
done:
    json_decref(config);
    return st;
}

atn_status tok_layout_family(atn_ctx *cx, layout *l, bool pieces,
                             const atn_tokenizer *t)
{
    char type[80], what[240];
    atn_status st = ATN_OK;

    ATN_TRY(type_of(cx, l->dir, type));
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
    return st;
}

/* ---- added tokens ---- */

const char *tok_layout_special(const layout *l, int i, const json_t **flags)
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

void tok_layout_add(layout *l, const char *text, int64_t id, const json_t *flags,
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

atn_status tok_layout_listed(atn_ctx *cx, const atn_tokenizer *t, layout *l)
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
        tok_layout_add(l, text, id, v, false);
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

void tok_layout_specials(layout *l)
{
    json_t *strip = json_pack("{s:b}", "lstrip", 1), *v;
    const char *key;

    for (int i = 0; i < N_SPECIAL; i++) {
        const json_t *flags = NULL;
        const char *text = tok_layout_special(l, i, &flags);

        if (!flags && i == MASK) flags = strip;
        tok_layout_add(l, text, -1, flags, true);
    }
    json_object_set_new(strip, "lstrip", json_false());
    json_object_set_new(strip, "normalized", json_true());
    json_object_foreach(l->more, key, v) tok_layout_add(l, key, -1, strip, false);
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
        const char *text =
            place[k] < 0 ? NULL : tok_layout_special(l, place[k], &flags);

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

json_t *tok_layout_post(const layout *l)
{
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

    ATN_TRY(atn_file_read(cx, path, TOK_FILE_MAX, &text, &size));
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
    ATN_TRY(tok_layout_family(cx, l, false, t));
    ATN_TRY(atn_json_load(cx, t->path, false, &vocab));
    if (!json_is_object(vocab)) ATN_TRY(tok_bad(cx, t, "is no JSON object"));
    ATN_TRY(read_merges(cx, path, merges));
    note_ids(l, vocab);
    ATN_TRY(tok_layout_listed(cx, t, l));
    tok_layout_specials(l);
    t->json = json_pack("{s:{s:s, s:O, s:O}, s:o, s:o, s:o, s:O}", "model", "type",
                        "BPE", "vocab", vocab, "merges", merges, "normalizer",
                        l->family->kind == QWEN2 ? json_pack("{s:s}", "type", "NFC")
                                                 : json_null(),
                        "pre_tokenizer", byte_level(l), "post_processor",
                        tok_layout_post(l), "added_tokens", l->added);
done:
    json_decref(vocab);
    json_decref(merges);
    atn_free(cx, path);
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
    static const char known[] =
        " ? bert distilbert electra mobilebert convbert layoutlm squeezebert ";
    atn_status st = ATN_OK;
    char type[80];
    size_t size = 0;
    bool lower;

    ATN_TRY(type_of(cx, l->dir, type));
    if (!strstr(known, type))
        snprintf(t->foreign, sizeof t->foreign, "%.*s", (int)strlen(type) - 2,
                 type + 1);
    ATN_TRY(load_optional(cx, l->dir, "tokenizer_config.json", &l->config));
    lower = tok_flag(l->config, "do_lower_case", true);
    ATN_TRY(atn_file_read(cx, t->path, TOK_FILE_MAX, &t->vocab_text, &size));
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
    bool found = false, merges = false, vocab = false;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(pieces) && !found; i++)
        ATN_TRY(find(cx, dir, pieces[i], t, &found));
    if (found) {
        ATN_TRY(tok_layout_pieces(cx, t, &l));
        goto done;
    }
    ATN_TRY(find(cx, dir, "merges.txt", t, &merges));
    if (merges) ATN_TRY(find(cx, dir, "vocab.json", t, &vocab));
    if (!vocab) ATN_TRY(find(cx, dir, "vocab.txt", t, &found));
    if (vocab)
        ATN_TRY(from_merges(cx, t, &l));
    else if (found)
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
