/* capture/import_bertviz.c -- the data of a BertViz view, as JSON or in its HTML.
 *
 * Read are
 *   {"attention": [{"name": .., "attn": A, "left_text": [..], "right_text": [..]}, ..],
 *    "include_layers": [..], ..}          the parameters of head_view and model_view
 *   {"attention": {"all": {"attn": A, "queries": X, "keys": X, ..}, ..}}
 *                                         of neuron_view, and of BertViz before 1.1
 *   {"attention": A, "tokens": [..]}, {"encoder_attention": A, "encoder_tokens": [..],
 *    "decoder_attention": .., "cross_attention": ..}        the arguments of the views
 *   A                                     the attention alone
 * with A = [layers][heads][queries][keys] or [layers][1][heads][queries][keys] of
 * numbers. Views named Encoder, Decoder, Cross are stacks; "All" before others that are
 * parts of it stands for all. In HTML the parameters are the first "params = {...}";
 * nothing of it is executed.
 *
 * Source  jessevig/bertviz 1.4, head_view.py, model_view.py, neuron_view.py.
 * Cost    the tree of the text, 20 to 40 times the numbers, counted in --mem-limit.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/io/file.h"
#include "core/io/json.h"

enum { FILE_MOST = 1 << 30, AXES_MOST = 5, LAYERS_MOST = 100000 };

static const char *const stacks[ATN_IMPORT_STACKS] = {"encoder", "decoder", "cross"};

typedef struct view {
    const char *stack; /* "" = one */
    const json_t *attn, *left, *right, *queries, *keys;
    const char *left_key, *right_key;
} view;

typedef struct reading {
    const char *path;
    view views[ATN_IMPORT_STACKS];
    int n;
} reading;

/* ---- the parameters in a text ---- */

/* Length of the JSON object at text, by its brackets outside of strings; 0 = no end. */
static size_t object_length(const char *text, size_t size)
{
    bool quoted = false;
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        const char c = text[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* The first "params = {...}" of a page; anything else is JSON as it is. */
static atn_status cut_out(atn_ctx *cx, const char *path, const char **text,
                          size_t *size)
{
    static const char mark[] = "params = {";
    const char *first = *text + strspn(*text, " \t\r\n"), *at;
    atn_status st = ATN_OK;

    if (*first != '<') goto done;
    at = strstr(first, mark);
    if (!at)
        ATN_FAIL(ATN_DATA,
                 "%s: holds no parameters of a BertViz view (save what html_action="
                 "'return' gives, its .data)",
                 path);
    at += strlen(mark) - 1;
    *size = object_length(at, *size - (size_t)(at - *text));
    *text = at;
    if (*size == 0)
        ATN_FAIL(ATN_DATA,
                 "%s: the parameters of its view have no end (is it cut off?)", path);
done:
    return st;
}

static atn_status read_tree(atn_ctx *cx, const char *path, atn_json_tree *out)
{
    atn_status st = ATN_OK;
    const char *text;
    char *all = NULL;
    size_t size = 0;

    ATN_TRY(atn_file_read(cx, path, FILE_MOST, &all, &size));
    text = all;
    ATN_TRY(cut_out(cx, path, &text, &size));
    ATN_TRY(atn_json_tree_parse(cx, path, text, size, "a BertViz view",
                                "show fewer layers, or give the attention as .npy",
                                out));
done:
    atn_free(cx, all);
    return st;
}

/* ---- which views there are ---- */

static int find_stack(const char *name)
{
    for (int s = 0; s < ATN_IMPORT_STACKS; s++)
        if (name && strcasecmp(name, stacks[s]) == 0) return s;
    return -1;
}

static view view_of(const json_t *j, const char *stack)
{
    return (view){stack,
                  json_object_get(j, "attn"),
                  json_object_get(j, "left_text"),
                  json_object_get(j, "right_text"),
                  json_object_get(j, "queries"),
                  json_object_get(j, "keys"),
                  "left_text",
                  "right_text"};
}

/* Views of parameters: one, "All" and parts of it, or stacks. */
static atn_status find_views(atn_ctx *cx, reading *r, const json_t *list)
{
    const char *name =
        json_string_value(json_object_get(json_array_get(list, 0), "name"));
    const size_t n = json_array_size(list);
    atn_status st = ATN_OK;

    if (find_stack(name) < 0) {
        r->views[r->n++] = view_of(json_array_get(list, 0), "");
        if (n > 1 && (!name || strcasecmp(name, "all") != 0))
            ATN_FAIL(ATN_DATA,
                     "%s: has %zu views, the first of name \"%.40s\"; read are one, "
                     "\"All\" and parts of it, or \"Encoder\", \"Decoder\" and "
                     "\"Cross\"",
                     r->path, n, name ? name : "");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_array_get(list, i);
        int s;

        name = json_string_value(json_object_get(j, "name"));
        s = find_stack(name);
        for (int other = 0; other < r->n && s >= 0; other++)
            if (strcmp(r->views[other].stack, stacks[s]) == 0) s = -1;
        if (s < 0)
            ATN_FAIL(ATN_DATA,
                     "%s: view %zu has the name \"%.40s\", where \"Encoder\", "
                     "\"Decoder\" or \"Cross\" is wanted, each once",
                     r->path, i, name ? name : "");
        r->views[r->n++] = view_of(j, stacks[s]);
    }
done:
    return st;
}

/* The arguments of the views: attention and tokens by stack. */
static void find_arguments(reading *r, const json_t *root)
{
    const json_t *encoder = json_object_get(root, "encoder_tokens"),
                 *decoder = json_object_get(root, "decoder_tokens");
    static const char *const keys[] = {"encoder_tokens", "decoder_tokens"};
    const view views[ATN_IMPORT_STACKS] = {
        {"encoder", json_object_get(root, "encoder_attention"), encoder, encoder, NULL,
         NULL, keys[0], keys[0]},
        {"decoder", json_object_get(root, "decoder_attention"), decoder, decoder, NULL,
         NULL, keys[1], keys[1]},
        {"cross", json_object_get(root, "cross_attention"), decoder, encoder, NULL,
         NULL, keys[1], keys[0]}};

    for (int s = 0; s < ATN_IMPORT_STACKS; s++)
        if (json_is_array(views[s].attn)) r->views[r->n++] = views[s];
}

static atn_status find_all(atn_ctx *cx, reading *r, const json_t *root)
{
    const json_t *attention = json_object_get(root, "attention"),
                 *tokens = json_object_get(root, "tokens");
    atn_status st = ATN_OK;

    if (json_is_array(root))
        r->views[r->n++] = (view){.stack = "", .attn = root};
    else if (json_is_object(attention))
        r->views[r->n++] = view_of(json_object_get(attention, "all"), "");
    else if (json_is_object(json_array_get(attention, 0)))
        ATN_TRY(find_views(cx, r, attention));
    else if (json_is_array(attention))
        r->views[r->n++] =
            (view){"", attention, tokens, tokens, NULL, NULL, "tokens", "tokens"};
    else
        find_arguments(r, root);
    if (r->n == 0 || !r->views[0].attn)
        ATN_FAIL(ATN_DATA,
                 "%s: has neither \"attention\" nor \"encoder_attention\", "
                 "\"decoder_attention\" or \"cross_attention\", so it is no data of a "
                 "BertViz view",
                 r->path);
done:
    return st;
}

/* ---- numbers ---- */

typedef struct nest {
    const char *path, *name;
    int rank;
    atn_idx shape[AXES_MOST];
    atn_idx at[AXES_MOST]; /* place of what is read */
    float *to;             /* NULL = checked only */
} nest;

/* "attn[2][0]" of the first n axes. */
static const char *nest_place(const nest *t, int n, char out[200])
{
    int used = snprintf(out, 200, "%s", t->name);

    for (int i = 0; i < n; i++)
        used +=
            snprintf(out + used, (size_t)(200 - used), "[%lld]", (long long)t->at[i]);
    return out;
}

static atn_status read_nest(atn_ctx *cx, nest *t, const json_t *j, int level)
{
    atn_status st = ATN_OK;
    char place[200];
    const json_t *v;
    size_t i;

    if (level == t->rank && !json_is_number(j))
        ATN_FAIL(ATN_DATA, "%s: %s is no number", t->path, nest_place(t, level, place));
    if (level == t->rank) {
        if (t->to) *t->to++ = (float)json_number_value(j);
        goto done;
    }
    if (!json_is_array(j) || (atn_idx)json_array_size(j) != t->shape[level])
        ATN_FAIL(ATN_DATA, "%s: %s is no list of %lld as the first is", t->path,
                 nest_place(t, level, place), (long long)t->shape[level]);
    json_array_foreach(j, i, v)
    {
        t->at[level] = (atn_idx)i;
        ATN_TRY(read_nest(cx, t, v, level + 1));
    }
done:
    return st;
}

/* [layers][heads][rows][cols], or with a batch of 1 after the layers. */
static atn_status read_numbers(atn_ctx *cx, const char *path, const char *name,
                               const json_t *j, atn_import_tensor *out)
{
    nest t = {.path = path, .name = name};
    const json_t *first = j;
    atn_status st = ATN_OK;
    atn_idx count = 1;

    for (; json_is_array(first) && t.rank < AXES_MOST;
         first = json_array_get(first, 0)) {
        t.shape[t.rank] = (atn_idx)json_array_size(first);
        if (!atn_mul(count, t.shape[t.rank], &count) || count == 0)
            ATN_FAIL(ATN_DATA, "%s: %s has a list that is empty", path, name);
        t.rank++;
    }
    if (!json_is_number(first) || t.rank < 4 || (t.rank == 5 && t.shape[1] != 1))
        ATN_FAIL(ATN_DATA,
                 "%s: %s is not [layers][heads][queries][keys] of numbers (nor with a "
                 "batch of 1 after the layers)",
                 path, name);
    out->source = atn_strfmt(cx, "%s:%s", path, name);
    if (!out->source) ATN_TRY(cx->err.code);
    out->steps = 1;
    out->layers = t.shape[0];
    out->heads = t.shape[t.rank - 3];
    out->rows = t.shape[t.rank - 2];
    out->cols = t.shape[t.rank - 1];
    ATN_TRY(atn_import_tensor_check(cx, out));
    ATN_TRY(read_nest(cx, &t, j, 0)); /* all of them are there, so they have room */
    ATN_NEW(out->data, count);
    t.to = out->data;
    ATN_TRY(read_nest(cx, &t, j, 0));
done:
    return st;
}

/* ---- the import ---- */

/* Texts that were known before are the same ones. */
static atn_status take_side(atn_ctx *cx, const reading *r, const char *key,
                            const json_t *list, const char *of, atn_import_text *text)
{
    atn_status st = ATN_OK;

    if (text->texts && !json_equal(text->texts, list))
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" of the view Cross is not the text of the view %s, whose "
                 "tokens cross-attention joins",
                 r->path, key, of);
    if (!text->texts) ATN_TRY(atn_import_texts_take(cx, list, true, text));
done:
    return st;
}

/* Texts of the two sides: of one stack those of keys, numbered where the queries are
 * the same; of cross-attention those of queries are the decoder's. */
static atn_status take_texts(atn_ctx *cx, atn_importing *m, const reading *r,
                             const view *v, const atn_import_tensor *p)
{
    const bool right = v->right && !json_is_null(v->right);
    const bool left = v->left && !json_is_null(v->left);
    atn_status st = ATN_OK;

    if (left)
        ATN_TRY(atn_import_texts_check(cx, r->path, v->left_key, v->left, p->rows));
    if (right)
        ATN_TRY(atn_import_texts_check(cx, r->path, v->right_key, v->right, p->cols));
    if (!*v->stack && right) {
        m->cross = p->rows != p->cols || (left && !json_equal(v->left, v->right));
        ATN_TRY(
            atn_import_texts_take(cx, v->right, !m->cross, &m->text[ATN_IMPORT_ONE]));
    } else if (*v->stack == 'c') {
        if (right)
            ATN_TRY(take_side(cx, r, v->right_key, v->right, "Encoder",
                              &m->text[ATN_IMPORT_ENCODER]));
        if (left)
            ATN_TRY(take_side(cx, r, v->left_key, v->left, "Decoder",
                              &m->text[ATN_IMPORT_DECODER]));
    } else if (right) {
        ATN_TRY(atn_import_texts_take(
            cx, v->right, true,
            &m->text[*v->stack == 'd' ? ATN_IMPORT_DECODER : ATN_IMPORT_ENCODER]));
    }
done:
    return st;
}

static atn_status take_view(atn_ctx *cx, atn_importing *m, const reading *r,
                            const view *v)
{
    atn_import_stack *s = &m->stacks[m->n++];
    atn_status st = ATN_OK;

    s->name = v->stack;
    ATN_TRY(read_numbers(cx, r->path, "attn", v->attn, &s->p));
    if (v->queries && v->keys) {
        ATN_TRY(read_numbers(cx, r->path, "queries", v->queries, &s->q));
        ATN_TRY(read_numbers(cx, r->path, "keys", v->keys, &s->k));
    }
    ATN_TRY(take_texts(cx, m, r, v, &s->p));
done:
    return st;
}

static atn_status take_layers(atn_ctx *cx, atn_importing *m, const reading *r,
                              const json_t *root)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const json_t *list = json_object_get(root, "include_layers"), *v;
    const atn_idx layers = m->stacks[0].p.layers;
    atn_status st = ATN_OK;
    bool *seen = NULL;
    char text[24];
    size_t i;

    if (!list || json_is_null(list)) goto done;
    for (int s = 0; s < m->n; s++)
        if ((atn_idx)json_array_size(list) != m->stacks[s].p.layers)
            ATN_FAIL(ATN_DATA,
                     "%s: \"include_layers\" has %zu numbers, and a view %lld layers",
                     r->path, json_array_size(list), (long long)m->stacks[s].p.layers);
    ATN_NEW(m->layer, layers);
    ATN_TAKE(seen, LAYERS_MOST);
    memset(seen, 0, LAYERS_MOST * sizeof *seen);
    json_array_foreach(list, i, v)
    {
        const json_int_t layer = json_integer_value(v);

        snprintf(text, sizeof text, "%lld", (long long)layer);
        if (!json_is_integer(v) || layer < 0 || layer >= LAYERS_MOST)
            ATN_FAIL(ATN_DATA,
                     "%s: include_layers[%zu] is %s, not the number of a layer from 0 "
                     "to %d (write the layers that the view shows, counted from 0)",
                     r->path, i, json_is_integer(v) ? text : "no integer",
                     LAYERS_MOST - 1);
        if (seen[layer])
            ATN_FAIL(ATN_DATA, "%s: include_layers[%zu] is %s once more", r->path, i,
                     text);
        seen[layer] = true;
        m->layer[i] = (atn_idx)layer;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Heads that were chosen are numbered anew, which the result says. */
static void note_heads(atn_importing *m, const json_t *root)
{
    const json_t *list = json_object_get(root, "include_heads"), *v;
    const atn_idx heads = m->stacks[0].p.heads;
    bool same = true;
    char text[120] = "";
    size_t i, used = 0;

    if ((atn_idx)json_array_size(list) != heads) return;
    json_array_foreach(list, i, v)
    {
        same &= json_integer_value(v) == (json_int_t)i;
        if (used < sizeof text - 1)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld",
                                     i ? ", " : "", (long long)json_integer_value(v));
    }
    if (used >= sizeof text) memcpy(text + sizeof text - 4, "...", 4);
    if (!same)
        snprintf(m->r->note, sizeof m->r->note,
                 "the heads %s of the view are heads 0 to %lld here", text,
                 (long long)heads - 1);
}

static int by_stack(const view *v)
{
    return *v->stack ? find_stack(v->stack) : 0;
}

atn_status atn_import_bertviz(atn_ctx *cx, atn_importing *m)
{
    reading r = {.path = m->args->bertviz};
    atn_json_tree tree = {0};
    atn_status st = ATN_OK;

    ATN_TRY(read_tree(cx, r.path, &tree));
    ATN_TRY(find_all(cx, &r, tree.root));
    for (int s = 0; s < ATN_IMPORT_STACKS; s++)
        for (int i = 0; i < r.n; i++)
            if (by_stack(&r.views[i]) == s) ATN_TRY(take_view(cx, m, &r, &r.views[i]));
    ATN_TRY(take_layers(cx, m, &r, tree.root));
    note_heads(m, tree.root);
done:
    atn_json_tree_drop(cx, &tree);
    return st;
}
