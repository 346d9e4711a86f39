/* capture/import.c -- tensors of any origin into a capture, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npz.h"

enum { PLACES_MOST = 1000000, LAYERS_MOST = 100000, AXES_MOST = 3 };

/* A tensor brought to [steps, layers, heads, rows, cols]. */
typedef struct tensor {
    const char *source; /* as given, for messages */
    float *data;        /* owned, NULL = absent */
    atn_idx steps, layers, heads, rows, cols;
} tensor;

typedef struct importing {
    const atn_import_args *args;
    tensor q, k, v, p, d_o;
    json_t *texts, *ids, *roles; /* owned, NULL = none */
    bool cross;                  /* the texts are those of keys alone */
    atn_import_result *r;
} importing;

/* ---- reading a tensor ---- */

/* Rows of all steps, layers and heads. */
static atn_idx all_rows(const tensor *t)
{
    return t->steps * t->layers * t->heads * t->rows;
}

static atn_status shape_tensor(atn_ctx *cx, bool steps, int rank, const atn_idx *shape,
                               tensor *t)
{
    const int axes = rank - steps; /* of a step */
    atn_status st = ATN_OK;

    if (steps && (axes < 3 || axes > 4))
        ATN_FAIL(ATN_DATA,
                 "%s: has %d axes; with --steps wanted [steps, layers, heads, n, d] or "
                 "[steps, heads, n, d]",
                 t->source, rank);
    if (axes < 2 || axes > 4)
        ATN_FAIL(ATN_DATA,
                 "%s: has %d axes; wanted [layers, heads, n, d], [heads, n, d] or [n, "
                 "d]%s",
                 t->source, rank,
                 axes == 5 ? " (or --steps, if the first is steps)" : "");
    t->steps = steps ? shape[0] : 1;
    t->layers = axes == 4 ? shape[rank - 4] : 1;
    t->heads = axes >= 3 ? shape[rank - 3] : 1;
    t->rows = shape[rank - 2];
    t->cols = shape[rank - 1];
    for (int i = 0; i < rank; i++)
        if (shape[i] < 1) ATN_FAIL(ATN_DATA, "%s: an axis has length 0", t->source);
    if (t->layers > LAYERS_MOST || t->steps > PLACES_MOST / t->layers)
        ATN_FAIL(ATN_DATA,
                 "%s: has %lld steps of %lld layers; at most %d layers and %d in all "
                 "steps are taken",
                 t->source, (long long)t->steps, (long long)t->layers, LAYERS_MOST,
                 PLACES_MOST);
done:
    return st;
}

static atn_status read_npy(atn_ctx *cx, const char *path, bool steps, tensor *t)
{
    atn_status st = ATN_OK;
    atn_npy a = {0};

    ATN_TRY(atn_npy_load_floats(cx, path, &a));
    ATN_TRY(shape_tensor(cx, steps, a.rank, a.shape, t));
    t->data = a.f32;
    a.f32 = NULL;
done:
    atn_npy_release(cx, &a);
    return st;
}

static atn_status choose_tensor(atn_ctx *cx, const char *path, const atn_st *f,
                                const char *name, const atn_st_tensor **out)
{
    char list[300] = "";
    size_t used = 0;

    *out = name ? atn_st_find(f, name) : atn_st_count(f) == 1 ? atn_st_at(f, 0) : NULL;
    if (*out) return ATN_OK;
    for (atn_idx i = 0; i < atn_st_count(f) && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 atn_st_at(f, i)->name);
    if (name)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: has no tensor \"%s\"; it has %s", path, name, list);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: holds several tensors, give one as %s:NAME (%s)", path, path,
                    list);
}

static atn_status read_safetensors(atn_ctx *cx, const char *path, const char *name,
                                   bool steps, tensor *t)
{
    atn_status st = ATN_OK;
    const atn_st_tensor *found = NULL;
    atn_st *f = NULL;

    ATN_TRY(atn_st_open(cx, path, &f));
    ATN_TRY(choose_tensor(cx, path, f, name, &found));
    if (!found->loadable || found->type == ATN_I32 || found->type == ATN_I64 ||
        found->type == ATN_U8)
        ATN_FAIL(ATN_DATA, "%s: tensor \"%s\" is %s; wanted F32, F16, BF16 or F64",
                 path, found->name, found->dtype);
    ATN_TRY(shape_tensor(cx, steps, found->rank, found->shape, t));
    ATN_NEW(t->data, found->count);
    atn_widen(found->data, found->type, found->count, t->data);
done:
    atn_st_close(cx, f);
    return st;
}

static atn_status choose_member(atn_ctx *cx, const char *path, const atn_npz *z,
                                const char *name, atn_idx *out)
{
    char list[300] = "";
    size_t used = 0;

    *out = name ? atn_npz_find(z, name) : atn_npz_count(z) == 1 ? 0 : -1;
    if (*out >= 0) return ATN_OK;
    for (atn_idx i = 0; i < atn_npz_count(z) && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 atn_npz_name(z, i));
    if (name)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: has no array \"%s\"; it has %s", path, name, list);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: holds %s arrays, give one as %s:NAME (%s)", path,
                    atn_npz_count(z) ? "several" : "no", path, list);
}

static atn_status read_npz(atn_ctx *cx, const char *path, const char *name, bool steps,
                           tensor *t)
{
    atn_status st = ATN_OK;
    atn_npz *z = NULL;
    atn_npy a = {0};
    atn_idx i = 0;

    ATN_TRY(atn_npz_open(cx, path, &z));
    ATN_TRY(choose_member(cx, path, z, name, &i));
    ATN_TRY(atn_npz_load_floats(cx, z, i, &a));
    ATN_TRY(shape_tensor(cx, steps, a.rank, a.shape, t));
    t->data = a.f32;
    a.f32 = NULL;
done:
    atn_npy_release(cx, &a);
    atn_npz_close(cx, z);
    return st;
}

static atn_status read_member(atn_ctx *cx, const char *path, const char *name,
                              bool steps, tensor *t)
{
    return atn_ends_with(path, ".npz") ? read_npz(cx, path, name, steps, t)
                                       : read_safetensors(cx, path, name, steps, t);
}

/* FILE or FILE:name; a file whose own name has a colon is taken as it is. */
static atn_status read_tensor(atn_ctx *cx, const char *source, bool steps, tensor *t)
{
    const char *colon = source ? strrchr(source, ':') : NULL;
    atn_status st = ATN_OK;
    char *path = NULL;

    if (!source) return ATN_OK;
    t->source = source;
    if (atn_ends_with(source, ".npy")) return read_npy(cx, source, steps, t);
    if (!colon || atn_file_exists(source))
        return read_member(cx, source, NULL, steps, t);
    path = atn_strndup(cx, source, (size_t)(colon - source));
    if (!path) return cx->err.code;
    ATN_TRY(read_member(cx, path, colon + 1, steps, t));
done:
    atn_free(cx, path);
    return st;
}

/* ---- what belongs together ---- */

enum { SHAPE_TEXT = 128 };

/* "layers, heads, rows, cols", after the steps where the import has them */
static const char *shape_text(bool steps, const tensor *t, char out[SHAPE_TEXT])
{
    int used = steps ? snprintf(out, SHAPE_TEXT, "%lld, ", (long long)t->steps) : 0;

    snprintf(out + used, SHAPE_TEXT - (size_t)used, "%lld, %lld, %lld, %lld",
             (long long)t->layers, (long long)t->heads, (long long)t->rows,
             (long long)t->cols);
    return out;
}

static atn_status mismatch(atn_ctx *cx, const importing *m, const tensor *a,
                           const tensor *b, const char *rule)
{
    char shape[2][SHAPE_TEXT];

    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s [%s] and %s [%s]: %s",
                    a->source, shape_text(m->args->steps, a, shape[0]), b->source,
                    shape_text(m->args->steps, b, shape[1]), rule);
}

static atn_status check_qkv(atn_ctx *cx, importing *m)
{
    const tensor *q = &m->q, *k = &m->k, *v = &m->v;
    atn_import_result *r = m->r;

    if (q->steps != k->steps)
        return mismatch(cx, m, q, k, "the numbers of steps differ");
    if (q->layers != k->layers)
        return mismatch(cx, m, q, k, "the numbers of layers differ");
    if (q->heads % k->heads != 0)
        return mismatch(cx, m, q, k,
                        "the query heads are no multiple of the key heads");
    if (q->cols != k->cols) return mismatch(cx, m, q, k, "the head sizes differ");
    if (v->data && (v->steps != k->steps || v->layers != k->layers ||
                    v->heads != k->heads || v->rows != k->rows))
        return mismatch(cx, m, k, v,
                        "k and v differ in steps, layers, heads or tokens");
    if (m->args->causal && q->rows > k->rows)
        return mismatch(cx, m, q, k, "more queries than keys cannot be causal");
    *r = (atn_import_result){.steps = q->steps,
                             .layers = q->layers,
                             .heads = q->heads,
                             .kv_heads = k->heads,
                             .nq = q->rows,
                             .nk = k->rows,
                             .d = q->cols,
                             .dv = v->data ? v->cols : q->cols,
                             .causal = m->args->causal};
    return ATN_OK;
}

/* The gradient by the outputs has the shape of the outputs. */
static atn_status check_gradient(atn_ctx *cx, const importing *m)
{
    const tensor *g = &m->d_o;
    const atn_import_result *r = m->r;
    const tensor outputs = {.steps = r->steps,
                            .layers = r->layers,
                            .heads = r->heads,
                            .rows = r->nq,
                            .cols = r->dv};
    char shape[2][SHAPE_TEXT];

    if (!g->data) return ATN_OK;
    if (!m->v.data)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "import: --d-o is of the heads' outputs, which need --v FILE");
    if (g->steps == r->steps && g->layers == r->layers && g->heads == r->heads &&
        g->rows == r->nq && g->cols == r->dv)
        return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s [%s]: the heads' outputs are [%s]", g->source,
                    shape_text(m->args->steps, g, shape[0]),
                    shape_text(m->args->steps, &outputs, shape[1]));
}

/* True when no weight lies above the diagonal that ends at the last key. */
static bool lower_triangular(const tensor *p)
{
    for (atn_idx i = 0; i < all_rows(p); i++)
        for (atn_idx j = i % p->rows + p->cols - p->rows + 1; j < p->cols; j++)
            if (p->data[i * p->cols + j] != 0) return false;
    return true;
}

enum { PLACE_TEXT = 112 };

/* "layer 0, head 1, row 2" of row i of all, after the step where there are several. */
static const char *place_text(const tensor *t, atn_idx i, char out[PLACE_TEXT])
{
    const atn_idx head = i / t->rows, layer = head / t->heads;
    int used = 0;

    if (t->steps > 1)
        used = snprintf(out, PLACE_TEXT, "step %lld, ", (long long)(layer / t->layers));
    snprintf(out + used, PLACE_TEXT - (size_t)used, "layer %lld, head %lld, row %lld",
             (long long)(layer % t->layers), (long long)(head % t->heads),
             (long long)(i % t->rows));
    return out;
}

/* NaN and infinities are named before anything is written. */
static atn_status check_finite(atn_ctx *cx, const tensor *t)
{
    char place[PLACE_TEXT];

    for (atn_idx i = 0; t->data && i < all_rows(t); i++)
        for (atn_idx j = 0; j < t->cols; j++)
            if (!isfinite(t->data[i * t->cols + j]))
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "%s: %s holds NaN or infinity", t->source,
                                place_text(t, i, place));
    return ATN_OK;
}

/* Scores before the softmax, and sums over heads, are refused: no later command takes
 * them. */
static atn_status check_weights(atn_ctx *cx, const tensor *p)
{
    char place[PLACE_TEXT];
    double sum = 0;
    const atn_idx bad = atn_capture_bad_row(p->data, all_rows(p), p->cols, &sum);

    if (bad < 0) return ATN_OK;
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: %s has a negative weight or sums to more than 1 (to %.6g), so it is no "
        "attention (give it after the softmax)",
        p->source, place_text(p, bad, place), sum);
}

static atn_status check_p(atn_ctx *cx, importing *m)
{
    const tensor *p = &m->p, *v = &m->v;
    const bool lower = p->rows <= p->cols && lower_triangular(p);
    const bool causal = m->args->causal || (lower && p->rows > 1);
    atn_status st = ATN_OK;

    if (m->args->causal && !lower)
        ATN_FAIL(ATN_DATA,
                 p->rows > p->cols
                     ? "%s: has more queries than keys, so it is not causal (leave "
                       "--causal out)"
                     : "%s: has weight above the diagonal, so it is not causal (leave "
                       "--causal out)",
                 p->source);
    if (v->data && (v->steps != p->steps || v->layers != p->layers ||
                    p->heads % v->heads != 0 || v->rows != p->cols))
        return mismatch(cx, m, p, v, "p and v differ in steps, layers, heads or keys");
    ATN_TRY(check_weights(cx, p));
    *m->r = (atn_import_result){.steps = p->steps,
                                .layers = p->layers,
                                .heads = p->heads,
                                .kv_heads = v->data ? v->heads : p->heads,
                                .nq = p->rows,
                                .nk = p->cols,
                                .d = m->args->d,
                                .dv = v->data ? v->cols : 0,
                                .causal = causal,
                                .causal_detected = causal && !m->args->causal};
done:
    return st;
}

/* The first array of n strings in v itself or among its members, "key" before the
 * others: a dump of cross-attention has texts of both sides. *cross: those of queries
 * are others. */
static const json_t *find_texts(json_t *v, atn_idx n, bool *cross)
{
    const json_t *found = NULL, *queries = json_object_get(v, "query");

    if (json_is_array(v) && (atn_idx)json_array_size(v) == n &&
        json_is_string(json_array_get(v, 0)))
        return v;
    if (!json_is_object(v)) return NULL;
    found = find_texts(json_object_get(v, "key"), n, cross);
    if (found && queries && !json_equal(queries, found)) *cross = true;
    for (void *i = json_object_iter(v); i && !found; i = json_object_iter_next(v, i))
        found = find_texts(json_object_iter_value(i), n, cross);
    return found;
}

/* "FILE:name" points to the member of that name, where there is one. */
static json_t *texts_of_tensor(const importing *m, json_t *all)
{
    const char *colon = strrchr(m->p.data ? m->p.source : m->k.source, ':');
    json_t *member = colon ? json_object_get(all, colon + 1) : NULL;

    return member ? member : all;
}

/* Ids of the texts, numbered as they first appear: equal texts are equal tokens. */
static atn_status number_texts(atn_ctx *cx, importing *m)
{
    json_t *number = json_object();
    atn_status st = ATN_OK;
    char hash[33]; /* of a text, which may hold a NUL and be no key */

    m->ids = json_array();
    for (size_t i = 0; i < json_array_size(m->texts); i++) {
        const json_t *entry = json_array_get(m->texts, i);

        if (!json_is_string(entry))
            ATN_FAIL(ATN_DATA, "%s: entry %zu of the token texts is no string",
                     m->args->tokens, i);
        atn_hash_bytes(json_string_value(entry), json_string_length(entry), hash);
        if (!json_object_get(number, hash))
            json_object_set_new(number, hash,
                                json_integer((json_int_t)json_object_size(number)));
        json_array_append(m->ids, json_object_get(number, hash));
    }
done:
    json_decref(number);
    return st;
}

static atn_status read_texts(atn_ctx *cx, importing *m)
{
    const json_t *list;
    atn_status st = ATN_OK;
    json_t *all = NULL;

    if (!m->args->tokens) return ATN_OK;
    ATN_TRY(atn_json_load(cx, m->args->tokens, false, &all));
    list = find_texts(texts_of_tensor(m, all), m->r->nk, &m->cross);
    if (!list)
        ATN_FAIL(ATN_DATA, "%s: holds no list of %lld strings, one a key",
                 m->args->tokens, (long long)m->r->nk);
    m->texts = json_deep_copy(list);
    /* of queries that are no keys nothing is known */
    if (!m->cross && (m->r->causal || m->r->nq == m->r->nk))
        ATN_TRY(number_texts(cx, m));
done:
    json_decref(all);
    return st;
}

static atn_status read_roles(atn_ctx *cx, importing *m)
{
    const char *file = m->args->roles;
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    if (!file) return ATN_OK;
    ATN_TRY(atn_json_load(cx, file, false, &m->roles));
    if (!json_is_array(m->roles) || (atn_idx)json_array_size(m->roles) != m->r->nk)
        ATN_FAIL(ATN_DATA, "%s: is no list of %lld strings, one a key", file,
                 (long long)m->r->nk);
    json_array_foreach(m->roles, i, v)
    {
        if (!json_is_string(v))
            ATN_FAIL(ATN_DATA, "%s: entry %zu is no string", file, i);
        if (atn_role_find(json_string_value(v)) < 0)
            ATN_FAIL(ATN_DATA,
                     "%s: entry %zu is \"%.40s\", not \"none\", \"landmark\" or "
                     "\"global\"",
                     file, i, json_string_value(v));
    }
done:
    return st;
}

/* Grid and prompt are among the keys. */
static atn_status check_facts(atn_ctx *cx, const importing *m)
{
    const atn_import_args *a = m->args;
    const long long nk = m->r->nk;
    atn_status st = ATN_OK;
    atn_idx tokens = 1;
    bool fits = true;
    atn_list grid;

    if (a->prompt > m->r->nk)
        ATN_FAIL(ATN_USAGE, "import: --prompt %lld is beyond the %lld keys",
                 (long long)a->prompt, nk);
    if (!a->grid) goto done;
    if (!atn_shape_read(a->grid, AXES_MOST, &grid))
        ATN_FAIL(ATN_USAGE,
                 "import: --grid '%.60s' is not 1 to %d whole numbers from 1 to 2^31 "
                 "such as 16x44x80",
                 a->grid, AXES_MOST);
    for (int i = 0; i < grid.n; i++) fits &= atn_mul(tokens, grid.at[i], &tokens);
    if (!fits || tokens > m->r->nk)
        ATN_FAIL(ATN_USAGE, "import: --grid %s is more tokens than the %lld keys",
                 a->grid, nk);
done:
    return st;
}

/* ---- writing ---- */

/* A single step has no folder. */
static json_t *file_json(const importing *m, atn_idx step, atn_idx l)
{
    if (m->r->steps == 1) return json_sprintf("layer-%03lld.safetensors", (long long)l);
    return json_sprintf("step-%03lld/layer-%03lld.safetensors", (long long)step,
                        (long long)l);
}

static json_t *layer_json(const importing *m, atn_idx step, atn_idx l, double scale)
{
    const atn_import_result *r = m->r;
    json_t *tensors = m->p.data ? json_pack("[s]", "p") : json_pack("[s, s]", "q", "k");

    if (m->v.data) json_array_append_new(tensors, json_string("v"));
    if (m->d_o.data) json_array_append_new(tensors, json_string("d_o"));
    return json_pack("{s:I, s:s, s:I, s:o, s:n, s:I, s:I, s:I, s:I, s:I, s:I, s:f, "
                     "s:s, s:I, s:o, s:n, s:o}",
                     "index", (json_int_t)l, "stack", "", "step", (json_int_t)step,
                     "file", file_json(m, step, l), "hash", "heads",
                     (json_int_t)r->heads, "kv_heads", (json_int_t)r->kv_heads, "d",
                     (json_int_t)r->d, "d_v", (json_int_t)r->dv, "n_q",
                     (json_int_t)r->nq, "n_k", (json_int_t)r->nk, "scale", scale,
                     "mask", r->causal ? "causal" : "full", "offset",
                     (json_int_t)(r->causal ? r->nk - r->nq : 0), "window",
                     m->args->window ? json_integer(m->args->window) : json_null(),
                     "softcap", "tensors", tensors);
}

/* "dir/file.safetensors:attn" is named file.safetensors:attn. */
static const char *import_name(const importing *m)
{
    const char *source = m->p.data ? m->p.source : m->q.source;
    const char *slash = strrchr(source, '/');

    return slash ? slash + 1 : source;
}

static json_t *make_manifest(const importing *m)
{
    const double scale = m->args->scale != 0 ? m->args->scale
                         : m->r->d > 0       ? 1 / sqrt((double)m->r->d)
                                             : 1;
    json_t *layers = json_array(), *steps = json_array(), *tokens = json_null(), *all;

    for (atn_idx s = 0; s < m->r->steps; s++) {
        json_array_append_new(steps, json_integer(s));
        for (atn_idx l = 0; l < m->r->layers; l++)
            json_array_append_new(layers, layer_json(m, s, l, scale));
    }
    if (m->texts) tokens = json_pack("{s:O?, s:O}", "ids", m->ids, "texts", m->texts);
    all = json_pack("{s:{s:s, s:s, s:I, s:b}, s:[s], s:o, s:o, s:o, s:n, s:s?, s:O?}",
                    "model", "name", import_name(m), "model_type", "imported", "layers",
                    (json_int_t)m->r->layers, "causal", m->r->causal, "stacks", "",
                    "steps", steps, "layers", layers, "tokens", tokens, "positions",
                    "grid", m->args->grid, "roles", m->roles);
    if (all && m->args->prompt > 0)
        json_object_set_new(all, "prompt", json_integer(m->args->prompt));
    return all;
}

static void add(const tensor *t, const char *name, atn_idx l, atn_st_out *list,
                atn_idx *n)
{
    const atn_idx size = t->heads * t->rows * t->cols;

    if (!t->data) return;
    list[(*n)++] = (atn_st_out){
        name, ATN_F32, 3, {t->heads, t->rows, t->cols}, t->data + l * size};
}

static atn_status write_layers(atn_ctx *cx, const importing *m, atn_capture_writer *w)
{
    atn_status st = ATN_OK;

    for (atn_idx l = 0; l < m->r->steps * m->r->layers; l++) {
        atn_st_out list[5];
        atn_idx n = 0;

        if (atn_capture_has_layer(w, (int)l)) continue;
        ATN_TRY(atn_progress(cx, "import", (double)l,
                             (double)(m->r->steps * m->r->layers)));
        add(&m->q, "q", l, list, &n);
        add(&m->k, "k", l, list, &n);
        add(&m->v, "v", l, list, &n);
        add(&m->p, "p", l, list, &n);
        add(&m->d_o, "d_o", l, list, &n);
        ATN_TRY(atn_capture_put(cx, w, (int)l, list, n));
    }
done:
    return st;
}

/* Inputs count by content, so that a changed file is another import. */
static atn_status make_fingerprint(atn_ctx *cx, const importing *m,
                                   const json_t *manifest, char hex[33])
{
    const tensor *const all[] = {&m->q, &m->k, &m->v, &m->p, &m->d_o};
    char *text = atn_json_text(cx, manifest), *joined, part[33];
    char hashes[5 * 33 + 1] = "";

    for (size_t i = 0; i < ATN_LEN(all); i++) {
        const tensor *t = all[i];
        if (!t->data) continue;
        atn_hash_bytes(t->data, (size_t)(all_rows(t) * t->cols) * sizeof(float), part);
        strcat(hashes, part);
    }
    joined = text ? atn_strfmt(cx, "%s %s %s", ATN_VERSION, hashes, text) : NULL;
    atn_free(cx, text);
    if (!joined) return cx->err.code;
    atn_hash_bytes(joined, strlen(joined), hex);
    atn_free(cx, joined);
    return ATN_OK;
}

atn_status atn_import_check(atn_ctx *cx, const atn_import_args *a)
{
    atn_status st = ATN_OK;

    if (a->p && (a->q || a->k))
        ATN_FAIL(ATN_USAGE,
                 "import: --attn stands in place of --q and --k: leave out one or the "
                 "other");
    if (!a->p && (!a->q || !a->k))
        ATN_FAIL(ATN_USAGE, "import: give --q FILE and --k FILE (and --v FILE), or "
                            "--attn FILE");
    if (!a->out_dir || !*a->out_dir)
        ATN_FAIL(ATN_USAGE, "import: give -o RUN, the directory to make");
    if (a->d != 0 && !a->p)
        ATN_FAIL(ATN_USAGE, "import: --d is for --attn: --q and --k have their length");
    if (!isfinite(a->scale) || a->scale < 0 || a->d < 0 || a->window < 0 ||
        a->prompt < 0)
        ATN_FAIL(ATN_USAGE,
                 "import: --scale, --window, --d and --prompt must not be negative");
done:
    return st;
}

atn_status atn_import(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                      atn_import_result *out)
{
    atn_status st = ATN_OK;
    importing m = {.args = args, .r = out};
    atn_capture_writer *w = NULL, *finishing;
    json_t *manifest = NULL;
    char fingerprint[33];

    *out = (atn_import_result){0};
    ATN_TRY(atn_import_check(cx, args));
    ATN_TRY(read_tensor(cx, args->p, args->steps, &m.p));
    ATN_TRY(read_tensor(cx, args->q, args->steps, &m.q));
    ATN_TRY(read_tensor(cx, args->k, args->steps, &m.k));
    ATN_TRY(read_tensor(cx, args->v, args->steps, &m.v));
    ATN_TRY(read_tensor(cx, args->d_o, args->steps, &m.d_o));
    ATN_TRY(check_finite(cx, &m.q));
    ATN_TRY(check_finite(cx, &m.k));
    ATN_TRY(check_finite(cx, &m.v));
    ATN_TRY(check_finite(cx, &m.p));
    ATN_TRY(check_finite(cx, &m.d_o));
    ATN_TRY(m.p.data ? check_p(cx, &m) : check_qkv(cx, &m));
    ATN_TRY(check_gradient(cx, &m));
    ATN_TRY(check_facts(cx, &m));
    ATN_TRY(read_texts(cx, &m));
    ATN_TRY(read_roles(cx, &m));
    manifest = make_manifest(&m);
    if (!manifest) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
    ATN_TRY(make_fingerprint(cx, &m, manifest, fingerprint));
    ATN_TRY(
        atn_capture_begin(cx, args->out_dir, manifest, fingerprint, args->force, &w));
    ATN_TRY(write_layers(cx, &m, w));
    if (run) ATN_TRY(atn_run_finish(cx, run));
    finishing = w;
    w = NULL;
    ATN_TRY(atn_capture_finish(cx, finishing, run ? run->json : NULL));
done:
    atn_capture_abandon(cx, w);
    json_decref(manifest);
    json_decref(m.texts);
    json_decref(m.ids);
    json_decref(m.roles);
    atn_free(cx, m.q.data);
    atn_free(cx, m.k.data);
    atn_free(cx, m.v.data);
    atn_free(cx, m.p.data);
    atn_free(cx, m.d_o.data);
    return st;
}
