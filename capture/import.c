/* capture/import.c -- tensors of any origin into a capture, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/param.h"

enum { AXES_MOST = 3 };
static const int64_t WINDOW_MOST = 2147483647;

static const char *const stack_names[ATN_IMPORT_SLOTS] = {"", "encoder", "decoder",
                                                          "cross"};

/* ---- which sources there are ---- */

/* The stack that "encoder=..." begins with, 0 = none. */
static int stack_of(const char *text)
{
    for (int s = 1; s < ATN_IMPORT_SLOTS; s++) {
        const size_t n = strlen(stack_names[s]);

        if (strncmp(text, stack_names[s], n) == 0 && text[n] == '=') return s;
    }
    return 0;
}

/* A file between commas that has no stack before it, where others have; its own name
 * may hold commas. */
static atn_status check_source(atn_ctx *cx, const char *spec, int slot,
                               const char *source)
{
    const char *comma = strchr(source, ',');
    atn_status st = ATN_OK;
    bool there = false;
    char *path;

    if (!*source)
        ATN_FAIL(ATN_USAGE, "import: \"%.200s\": no file follows %s%s", spec,
                 stack_names[slot], slot ? "=" : "");
    while (slot == 0 && comma && !stack_of(comma + 1)) comma = strchr(comma + 1, ',');
    if (!comma) goto done;
    path = atn_import_path(cx, source);
    if (!path) ATN_TRY(cx->err.code);
    there = atn_file_exists(path);
    atn_free(cx, path);
    if (!there)
        ATN_FAIL(ATN_USAGE,
                 "import: \"%.200s\": a file among those of stacks has none (give each "
                 "as encoder=FILE, decoder=FILE or cross=FILE)",
                 spec);
done:
    return st;
}

atn_status atn_import_sources(atn_ctx *cx, const char *spec,
                              char *out[ATN_IMPORT_SLOTS])
{
    const char *at = spec;
    atn_status st = ATN_OK;

    for (int s = 0; s < ATN_IMPORT_SLOTS; s++) out[s] = NULL;
    while (at) {
        const int s = stack_of(at);
        const char *end;

        if (s > 0) at += strlen(stack_names[s]) + 1;
        for (end = strchr(at, ','); s > 0 && end && !stack_of(end + 1);)
            end = strchr(end + 1, ',');
        if (s == 0) end = NULL;
        if (out[s])
            ATN_FAIL(ATN_USAGE, "import: \"%.200s\" has %s twice", spec,
                     stack_names[s]);
        out[s] = end ? atn_strndup(cx, at, (size_t)(end - at)) : atn_strdup(cx, at);
        if (!out[s]) ATN_TRY(cx->err.code);
        ATN_TRY(check_source(cx, spec, s, out[s]));
        at = end ? end + 1 : NULL;
    }
done:
    if (st != ATN_OK)
        for (int s = 0; s < ATN_IMPORT_SLOTS; s++) {
            atn_free(cx, out[s]);
            out[s] = NULL;
        }
    return st;
}

enum { Q, K, V, P, D_O, TENSORS };
static const char *const options[TENSORS] = {"q", "k", "v", "attn", "d-o"};

/* The sources of all tensors, [tensor][slot]. */
typedef struct sources {
    char *of[TENSORS][ATN_IMPORT_SLOTS];
} sources;

/* What a stack has: q and k, or p, and no mix with tensors of one stack. */
static atn_status check_stack(atn_ctx *cx, const sources *s, int slot, bool *there)
{
    atn_status st = ATN_OK;
    bool any = false;

    for (int t = 0; t < TENSORS; t++) {
        any |= s->of[t][slot] != NULL;
        if (slot > 0 && s->of[t][slot] && (s->of[P][0] || s->of[Q][0] || s->of[K][0]))
            ATN_FAIL(ATN_USAGE,
                     "import: --%s is of the stack %s, other tensors are of none (give "
                     "--q %s=FILE and so on)",
                     options[t], stack_names[slot], stack_names[slot]);
    }
    *there = any;
    if (!any || s->of[P][slot] || (s->of[Q][slot] && s->of[K][slot])) goto done;
    ATN_FAIL(ATN_USAGE,
             "import: the stack %s has neither --q and --k nor --attn (give --attn "
             "%s=FILE)",
             stack_names[slot], stack_names[slot]);
done:
    if (any && st == ATN_OK && s->of[P][slot] && (s->of[Q][slot] || s->of[K][slot]))
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "import: --attn stands in place of --q and --k: leave out one "
                        "or the other");
    return st;
}

static atn_status read_stack(atn_ctx *cx, atn_importing *m, const sources *s, int slot)
{
    atn_import_stack *to = &m->stacks[m->n];
    atn_import_tensor *const tensors[TENSORS] = {&to->q, &to->k, &to->v, &to->p,
                                                 &to->d_o};
    static const int order[TENSORS] = {P, Q, K, V, D_O};
    atn_status st = ATN_OK;

    to->name = stack_names[slot];
    m->n++;
    for (int t = 0; t < TENSORS; t++)
        ATN_TRY(atn_import_tensor_read(cx, s->of[order[t]][slot], m->args->steps,
                                       tensors[order[t]]));
done:
    return st;
}

static atn_status read_tensors(atn_ctx *cx, atn_importing *m)
{
    const atn_import_args *a = m->args;
    const char *const specs[TENSORS] = {a->q, a->k, a->v, a->p, a->d_o};
    atn_status st = ATN_OK;
    sources s = {0};
    bool there = false;

    for (int t = 0; t < TENSORS; t++)
        if (specs[t]) ATN_TRY(atn_import_sources(cx, specs[t], s.of[t]));
    for (int slot = 0; slot < ATN_IMPORT_SLOTS; slot++)
        ATN_TRY(check_stack(cx, &s, slot, &there));
    for (int slot = 0; slot < ATN_IMPORT_SLOTS; slot++) {
        ATN_TRY(check_stack(cx, &s, slot, &there));
        if (there) ATN_TRY(read_stack(cx, m, &s, slot));
    }
done:
    for (int t = 0; t < TENSORS; t++)
        for (int slot = 0; slot < ATN_IMPORT_SLOTS; slot++) atn_free(cx, s.of[t][slot]);
    return st;
}

/* ---- what belongs together ---- */

/* True when no weight lies above the diagonal that ends at the last key. */
static bool lower_triangular(const atn_import_tensor *p)
{
    for (atn_idx i = 0; i < atn_import_tensor_rows(p); i++)
        for (atn_idx j = i % p->rows + p->cols - p->rows + 1; j < p->cols; j++)
            if (p->data[i * p->cols + j] != 0) return false;
    return true;
}

static atn_status mismatch(atn_ctx *cx, const atn_importing *m,
                           const atn_import_tensor *a, const atn_import_tensor *b,
                           const char *rule)
{
    char shape[2][ATN_IMPORT_SHAPE_TEXT];

    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s [%s] and %s [%s]: %s",
                    a->source, atn_import_shape_text(m->args->steps, a, shape[0]),
                    b->source, atn_import_shape_text(m->args->steps, b, shape[1]),
                    rule);
}

/* --causal is of one stack, or of the decoder among several. */
static bool may_be_causal(const atn_import_stack *s)
{
    return !*s->name || strcmp(s->name, "decoder") == 0;
}

static atn_status check_qkv(atn_ctx *cx, const atn_importing *m,
                            const atn_import_stack *s)
{
    const atn_import_tensor *q = &s->q, *k = &s->k, *v = &s->v;
    const bool want = m->args->causal && may_be_causal(s);
    const bool causal = want || (s->p.data && q->rows > 1 && q->rows <= k->rows &&
                                 may_be_causal(s) && lower_triangular(&s->p));

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
    if (causal && q->rows > k->rows)
        return mismatch(cx, m, q, k, "more queries than keys cannot be causal");
    if (s->p.data && (s->p.layers != q->layers || s->p.heads != q->heads ||
                      s->p.rows != q->rows || s->p.cols != k->rows))
        return mismatch(cx, m, q, &s->p, "queries and attention differ in shape");
    *s->r = (atn_import_part){.stack = s->name,
                              .steps = q->steps,
                              .layers = q->layers,
                              .heads = q->heads,
                              .kv_heads = k->heads,
                              .nq = q->rows,
                              .nk = k->rows,
                              .d = q->cols,
                              .dv = v->data ? v->cols : q->cols,
                              .causal = causal,
                              .causal_detected = causal && !want};
    return ATN_OK;
}

/* The gradient by the outputs has the shape of the outputs. */
static atn_status check_gradient(atn_ctx *cx, const atn_importing *m,
                                 const atn_import_stack *s)
{
    const atn_import_tensor *g = &s->d_o;
    const atn_import_part *r = s->r;
    const atn_import_tensor outputs = {.steps = r->steps,
                                       .layers = r->layers,
                                       .heads = r->heads,
                                       .rows = r->nq,
                                       .cols = r->dv};
    char shape[2][ATN_IMPORT_SHAPE_TEXT];

    if (!g->data) return ATN_OK;
    if (!s->v.data)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "import: --d-o is of the heads' outputs, which need --v FILE");
    if (g->steps == r->steps && g->layers == r->layers && g->heads == r->heads &&
        g->rows == r->nq && g->cols == r->dv)
        return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s [%s]: the heads' outputs are [%s]", g->source,
                    atn_import_shape_text(m->args->steps, g, shape[0]),
                    atn_import_shape_text(m->args->steps, &outputs, shape[1]));
}

/* Scores before the softmax, and sums over heads, are refused: no later command takes
 * them. */
static atn_status check_weights(atn_ctx *cx, const atn_import_tensor *p)
{
    char place[ATN_IMPORT_PLACE_TEXT];
    double sum = 0;
    const atn_idx bad =
        atn_capture_bad_row(p->data, atn_import_tensor_rows(p), p->cols, &sum);

    if (bad < 0) return ATN_OK;
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: %s has a negative weight or sums to more than 1 (to %.6g), so it is no "
        "attention (give it after the softmax)",
        p->source, atn_import_place_text(p, bad, place), sum);
}

/* --window says where weights may be, of a causal layer at the end of the keys. */
static atn_status check_window(atn_ctx *cx, const atn_importing *m,
                               const atn_import_stack *s)
{
    const atn_import_tensor *p = &s->p;
    const atn_sight sight = {.causal = s->r->causal,
                             .offset = s->r->causal ? p->cols - p->rows : 0,
                             .window = m->args->window,
                             .key_last = p->cols};
    char place[ATN_IMPORT_PLACE_TEXT];

    for (atn_idx i = 0; sight.window > 0 && i < atn_import_tensor_rows(p); i++) {
        atn_idx lo, hi;

        atn_sight_row(&sight, i % p->rows, &lo, &hi);
        for (atn_idx j = 0; j < p->cols; j++)
            if ((j < lo || j >= hi) && p->data[i * p->cols + j] != 0)
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "%s: %s has weight on key %lld, outside of a window of "
                                "%lld (leave --window out)",
                                p->source, atn_import_place_text(p, i, place),
                                (long long)j, (long long)sight.window);
    }
    return ATN_OK;
}

/* Rows that are no whole attention: of padding, or of weights that were left out. */
static void count_rows(const atn_import_tensor *p, atn_import_part *r)
{
    for (atn_idx i = 0; i < atn_import_tensor_rows(p); i++) {
        double sum = 0;

        for (atn_idx j = 0; j < p->cols; j++) sum += (double)p->data[i * p->cols + j];
        r->empty += sum == 0;
        r->low += sum > 0 && sum < 1 - 1e-2;
    }
}

static atn_status check_p(atn_ctx *cx, const atn_importing *m,
                          const atn_import_stack *s)
{
    const atn_import_tensor *p = &s->p, *v = &s->v;
    const bool lower = p->rows <= p->cols && lower_triangular(p);
    const bool want = m->args->causal && may_be_causal(s);
    const bool causal = want || (lower && p->rows > 1 && may_be_causal(s));
    atn_status st = ATN_OK;

    if (want && !lower)
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
    *s->r = (atn_import_part){.stack = s->name,
                              .steps = p->steps,
                              .layers = p->layers,
                              .heads = p->heads,
                              .kv_heads = v->data ? v->heads : p->heads,
                              .nq = p->rows,
                              .nk = p->cols,
                              .d = m->args->d,
                              .dv = v->data ? v->cols : 0,
                              .causal = causal,
                              .causal_detected = causal && !want};
done:
    return st;
}

static atn_status check_tensors(atn_ctx *cx, const atn_importing *m,
                                const atn_import_stack *s)
{
    const atn_import_tensor *const all[TENSORS] = {&s->q, &s->k, &s->v, &s->p, &s->d_o};
    atn_status st = ATN_OK;

    for (int t = 0; t < TENSORS; t++) ATN_TRY(atn_import_tensor_finite(cx, all[t]));
    ATN_TRY(s->q.data ? check_qkv(cx, m, s) : check_p(cx, m, s));
    if (s->p.data) {
        ATN_TRY(check_weights(cx, &s->p));
        ATN_TRY(check_window(cx, m, s));
        count_rows(&s->p, s->r);
    }
    ATN_TRY(check_gradient(cx, m, s));
done:
    return st;
}

/* Cross-attention joins the decoder's tokens, its queries, to the encoder's. */
static atn_status check_stacks(atn_ctx *cx, const atn_importing *m)
{
    const atn_import_part *cross = NULL, *p = m->r->part;
    atn_status st = ATN_OK;

    for (int i = 0; i < m->n; i++)
        if (strcmp(p[i].stack, "cross") == 0) cross = &p[i];
    for (int i = 0; i < m->n; i++) {
        const bool encoder = strcmp(p[i].stack, "encoder") == 0;

        if (p[i].steps != p[0].steps)
            ATN_FAIL(ATN_DATA, "import: %s has %lld steps, %s has %lld", p[i].stack,
                     (long long)p[i].steps, p[0].stack, (long long)p[0].steps);
        if (!cross || cross == &p[i]) continue;
        if (p[i].nk != (encoder ? cross->nk : cross->nq))
            ATN_FAIL(ATN_DATA,
                     "import: the %s has %lld tokens, but cross-attention has %lld %s",
                     p[i].stack, (long long)p[i].nk,
                     (long long)(encoder ? cross->nk : cross->nq),
                     encoder ? "keys" : "queries");
    }
done:
    return st;
}

/* Grid and prompt are among the keys. */
static atn_status check_facts(atn_ctx *cx, const atn_importing *m)
{
    const atn_import_args *a = m->args;
    const long long nk = m->r->part[0].nk;
    atn_status st = ATN_OK;
    atn_idx tokens = 1;
    bool fits = true;
    atn_list grid;

    if (a->prompt > m->r->part[0].nk)
        ATN_FAIL(ATN_USAGE, "import: --prompt %lld is beyond the %lld keys",
                 (long long)a->prompt, nk);
    if (!a->grid) goto done;
    if (!atn_shape_read(a->grid, AXES_MOST, &grid))
        ATN_FAIL(ATN_USAGE,
                 "import: --grid '%.60s' is not 1 to %d whole numbers from 1 to 2^31 "
                 "such as 16x44x80",
                 a->grid, AXES_MOST);
    for (int i = 0; i < grid.n; i++) fits &= atn_mul(tokens, grid.at[i], &tokens);
    if (!fits || tokens > m->r->part[0].nk)
        ATN_FAIL(ATN_USAGE, "import: --grid %s is more tokens than the %lld keys",
                 a->grid, nk);
done:
    return st;
}

/* ---- writing ---- */

/* A single step and a single stack have no folder. */
static json_t *file_json(const atn_importing *m, const atn_import_part *r, atn_idx step,
                         atn_idx l)
{
    const char *slash = *r->stack ? "/" : "";

    if (m->r->part[0].steps == 1)
        return json_sprintf("%s%slayer-%03lld.safetensors", r->stack, slash,
                            (long long)l);
    return json_sprintf("step-%03lld/%s%slayer-%03lld.safetensors", (long long)step,
                        r->stack, slash, (long long)l);
}

static atn_idx layer_number(const atn_importing *m, atn_idx l)
{
    return m->layer ? m->layer[l] : l;
}

static json_t *layer_json(const atn_importing *m, const atn_import_stack *s,
                          atn_idx step, atn_idx l)
{
    const atn_import_part *r = s->r;
    const double scale = m->args->scale != 0 ? m->args->scale
                         : r->d > 0          ? 1 / sqrt((double)r->d)
                                             : 1;
    json_t *tensors = s->q.data ? json_pack("[s, s]", "q", "k") : json_array();

    if (s->p.data) json_array_append_new(tensors, json_string("p"));
    if (s->v.data) json_array_append_new(tensors, json_string("v"));
    if (s->d_o.data) json_array_append_new(tensors, json_string("d_o"));
    l = layer_number(m, l);
    return json_pack("{s:I, s:s, s:I, s:o, s:n, s:I, s:I, s:I, s:I, s:I, s:I, s:f, "
                     "s:s, s:I, s:o, s:n, s:o}",
                     "index", (json_int_t)l, "stack", s->name, "step", (json_int_t)step,
                     "file", file_json(m, r, step, l), "hash", "heads",
                     (json_int_t)r->heads, "kv_heads", (json_int_t)r->kv_heads, "d",
                     (json_int_t)r->d, "d_v", (json_int_t)r->dv, "n_q",
                     (json_int_t)r->nq, "n_k", (json_int_t)r->nk, "scale", scale,
                     "mask", r->causal ? "causal" : "full", "offset",
                     (json_int_t)(r->causal ? r->nk - r->nq : 0), "window",
                     m->args->window ? json_integer(m->args->window) : json_null(),
                     "softcap", "tensors", tensors);
}

/* "dir/file.safetensors:attn" is named file.safetensors:attn. */
static const char *import_name(const atn_importing *m)
{
    const atn_import_stack *s = &m->stacks[0];
    const char *source = m->args->bertviz ? m->args->bertviz
                         : s->p.data      ? s->p.source
                                          : s->q.source;
    const char *slash = strrchr(source, '/');

    return slash ? slash + 1 : source;
}

static json_t *text_json(const atn_import_text *t)
{
    return t->texts ? json_pack("{s:O?, s:O}", "ids", t->ids, "texts", t->texts)
                    : json_null();
}

/* {"encoder": .., "decoder": ..} of what is known; null where nothing is. */
static json_t *stack_texts_json(const atn_importing *m)
{
    json_t *all = json_object();

    for (int s = 1; s < ATN_IMPORT_SEQUENCES; s++)
        if (m->text[s].texts)
            json_object_set_new(all, stack_names[s], text_json(&m->text[s]));
    if (json_object_size(all) > 0) return all;
    json_decref(all);
    return json_null();
}

static json_t *make_manifest(const atn_importing *m)
{
    json_t *layers = json_array(), *steps = json_array(), *stacks = json_array(), *all;
    atn_idx most = 0;

    for (int i = 0; i < m->n; i++) {
        json_array_append_new(stacks, json_string(m->stacks[i].name));
        for (atn_idx l = 0; l < m->r->part[i].layers; l++)
            most = ATN_MAX(most, layer_number(m, l) + 1);
    }
    for (atn_idx s = 0; s < m->r->part[0].steps; s++) {
        json_array_append_new(steps, json_integer(s));
        for (int i = 0; i < m->n; i++)
            for (atn_idx l = 0; l < m->r->part[i].layers; l++)
                json_array_append_new(layers, layer_json(m, &m->stacks[i], s, l));
    }
    all = json_pack("{s:{s:s, s:s, s:I, s:b}, s:o, s:o, s:o, s:o, s:n, s:s?, s:O?}",
                    "model", "name", import_name(m), "model_type", "imported", "layers",
                    (json_int_t)most, "causal", m->n == 1 && m->r->part[0].causal,
                    "stacks", stacks, "steps", steps, "layers", layers, "tokens",
                    text_json(&m->text[ATN_IMPORT_ONE]), "positions", "grid",
                    m->args->grid, "roles", m->roles);
    if (all && *m->stacks[0].name)
        json_object_set_new(all, "stack_tokens", stack_texts_json(m));
    if (all && m->args->prompt > 0)
        json_object_set_new(all, "prompt", json_integer(m->args->prompt));
    return all;
}

static void add(const atn_import_tensor *t, const char *name, atn_idx l,
                atn_st_out *list, atn_idx *n)
{
    const atn_idx size = t->heads * t->rows * t->cols;

    if (!t->data) return;
    list[(*n)++] = (atn_st_out){
        name, ATN_F32, 3, {t->heads, t->rows, t->cols}, t->data + l * size};
}

static atn_status write_layer(atn_ctx *cx, const atn_import_stack *s, atn_idx l, int i,
                              atn_capture_writer *w)
{
    atn_st_out list[TENSORS];
    atn_idx n = 0;

    if (atn_capture_has_layer(w, i)) return ATN_OK;
    add(&s->q, "q", l, list, &n);
    add(&s->k, "k", l, list, &n);
    add(&s->v, "v", l, list, &n);
    add(&s->p, "p", l, list, &n);
    add(&s->d_o, "d_o", l, list, &n);
    return atn_capture_put(cx, w, i, list, n);
}

/* In the order of the manifest: steps, stacks, layers. */
static atn_status write_layers(atn_ctx *cx, const atn_importing *m,
                               atn_capture_writer *w)
{
    const atn_import_part *p = m->r->part;
    atn_idx all = 0, done_ = 0;
    atn_status st = ATN_OK;

    for (int i = 0; i < m->n; i++) all += p[i].steps * p[i].layers;
    for (atn_idx s = 0; s < p[0].steps; s++)
        for (int i = 0; i < m->n; i++)
            for (atn_idx l = 0; l < p[i].layers; l++) {
                ATN_TRY(atn_progress(cx, "import", (double)done_, (double)all));
                ATN_TRY(
                    write_layer(cx, &m->stacks[i], s * p[i].layers + l, (int)done_, w));
                done_++;
            }
done:
    return st;
}

/* Inputs count by content, so that a changed file is another import. */
static atn_status make_fingerprint(atn_ctx *cx, const atn_importing *m,
                                   const json_t *manifest, char hex[33])
{
    char *text = atn_json_text(cx, manifest), *joined, part[33];
    char hashes[ATN_IMPORT_STACKS * TENSORS * 33 + 1] = "";

    for (int i = 0; i < m->n; i++) {
        const atn_import_stack *s = &m->stacks[i];
        const atn_import_tensor *const all[] = {&s->q, &s->k, &s->v, &s->p, &s->d_o};

        for (size_t t = 0; t < ATN_LEN(all); t++) {
            if (!all[t]->data) continue;
            atn_hash_bytes(all[t]->data,
                           (size_t)(atn_import_tensor_rows(all[t]) * all[t]->cols) *
                               sizeof(float),
                           part);
            strcat(hashes, part);
        }
    }
    joined = text ? atn_strfmt(cx, "%s %s %s", ATN_VERSION, hashes, text) : NULL;
    atn_free(cx, text);
    if (!joined) return cx->err.code;
    atn_hash_bytes(joined, strlen(joined), hex);
    atn_free(cx, joined);
    return ATN_OK;
}

/* What is of one stack alone, and what stands in place of all. */
static atn_status check_kinds(atn_ctx *cx, const atn_import_args *a)
{
    const char *const tensors[] = {a->q, a->k, a->v, a->p, a->d_o};
    atn_status st = ATN_OK;
    bool stacks = false, any = false;

    for (size_t t = 0; t < ATN_LEN(tensors); t++) {
        any |= tensors[t] != NULL;
        stacks |= tensors[t] && stack_of(tensors[t]) > 0;
    }
    if (a->bertviz && (any || a->tokens || a->steps))
        ATN_FAIL(ATN_USAGE, "import: --bertviz has its attention and tokens: leave out "
                            "--q, --k, --v, --attn, --d-o, --tokens and --steps");
    if (a->npy &&
        (any || a->bertviz || a->tokens || a->steps || a->grid || a->roles ||
         a->prompt > 0 || a->window > 0 || a->causal || a->d != 0 || a->scale != 0))
        ATN_FAIL(ATN_USAGE,
                 "import: index.json of --npy says everything: leave out the "
                 "other options but -o and --force");
    if (stacks && (a->grid || a->roles || a->prompt > 0 || a->window > 0))
        ATN_FAIL(ATN_USAGE, "import: --grid, --roles, --prompt and --window are of a "
                            "single stack (import the stack alone, without its name)");
done:
    return st;
}

static atn_status no_scale(atn_ctx *cx)
{
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "import: --scale is of queries and keys, and there is only "
                    "attention (leave it out)");
}

/* Options that nothing in the files answers to. */
static atn_status check_used(atn_ctx *cx, const atn_importing *m)
{
    bool qk = false, p = false, causal = false;
    atn_status st = ATN_OK;

    for (int i = 0; i < m->n; i++) {
        qk |= m->stacks[i].q.data != NULL;
        p |= m->stacks[i].q.data == NULL;
        causal |= may_be_causal(&m->stacks[i]);
    }
    if (m->args->scale != 0 && !qk) ATN_TRY(no_scale(cx));
    if (m->args->d != 0 && !p)
        ATN_FAIL(ATN_USAGE, "import: --d is for attention alone: the queries and keys "
                            "have their length");
    if (m->args->causal && !causal)
        ATN_FAIL(ATN_USAGE, "import: --causal is of the decoder, and there is none "
                            "(leave it out)");
done:
    return st;
}

atn_status atn_import_check(atn_ctx *cx, const atn_import_args *a)
{
    atn_status st = ATN_OK;

    ATN_TRY(check_kinds(cx, a));
    if (a->p && (a->q || a->k) && stack_of(a->p) == 0)
        ATN_FAIL(ATN_USAGE,
                 "import: --attn stands in place of --q and --k: leave out one or the "
                 "other");
    if (!a->bertviz && !a->npy && !a->p && (!a->q || !a->k))
        ATN_FAIL(ATN_USAGE, "import: give --q FILE and --k FILE (and --v FILE), --attn "
                            "FILE, --bertviz FILE, or --npy DIR");
    if (!a->out_dir || !*a->out_dir)
        ATN_FAIL(ATN_USAGE, "import: give -o RUN, the directory to make");
    if (a->d != 0 && !a->p && !a->bertviz)
        ATN_FAIL(ATN_USAGE, "import: --d is for --attn: --q and --k have their length");
    if (a->scale != 0 && !a->q && !a->bertviz) ATN_TRY(no_scale(cx));
    if (!isfinite(a->scale) || a->scale < 0 || a->d < 0 || a->window < 0 ||
        a->prompt < 0)
        ATN_FAIL(ATN_USAGE,
                 "import: --scale, --window, --d and --prompt must not be negative");
    if (a->window > WINDOW_MOST)
        ATN_FAIL(ATN_USAGE, "import: --window %lld is above %lld", (long long)a->window,
                 (long long)WINDOW_MOST);
done:
    return st;
}

static void release(atn_ctx *cx, atn_importing *m)
{
    for (int i = 0; i < ATN_IMPORT_STACKS; i++) {
        atn_import_tensor_release(cx, &m->stacks[i].q);
        atn_import_tensor_release(cx, &m->stacks[i].k);
        atn_import_tensor_release(cx, &m->stacks[i].v);
        atn_import_tensor_release(cx, &m->stacks[i].p);
        atn_import_tensor_release(cx, &m->stacks[i].d_o);
    }
    for (int s = 0; s < ATN_IMPORT_SEQUENCES; s++) {
        json_decref(m->text[s].texts);
        json_decref(m->text[s].ids);
    }
    json_decref(m->roles);
    atn_free(cx, m->layer);
}

/* Reads everything, checks it and says what it is. */
static atn_status gather(atn_ctx *cx, atn_importing *m)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < ATN_IMPORT_STACKS; i++) m->stacks[i].r = &m->r->part[i];
    if (m->args->bertviz)
        ATN_TRY(atn_import_bertviz(cx, m));
    else
        ATN_TRY(read_tensors(cx, m));
    ATN_TRY(check_used(cx, m));
    for (int i = 0; i < m->n; i++) ATN_TRY(check_tensors(cx, m, &m->stacks[i]));
    m->r->n = m->n;
    ATN_TRY(check_stacks(cx, m));
    ATN_TRY(check_facts(cx, m));
    ATN_TRY(atn_import_tokens(cx, m));
done:
    return st;
}

atn_status atn_import(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                      atn_import_result *out)
{
    atn_status st = ATN_OK;
    atn_importing m = {.args = args, .r = out};
    atn_capture_writer *w = NULL, *finishing;
    json_t *manifest = NULL;
    char fingerprint[33];

    *out = (atn_import_result){0};
    ATN_TRY(atn_import_check(cx, args));
    if (args->npy) return atn_import_npy(cx, args, run, out);
    ATN_TRY(gather(cx, &m));
    manifest = make_manifest(&m);
    if (!manifest) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
    ATN_TRY(atn_capture_check(cx, args->out_dir, manifest));
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
    release(cx, &m);
    return st;
}
