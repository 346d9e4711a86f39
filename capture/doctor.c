/* capture/doctor.c -- our stages beside a dump's, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/doctor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "capture/doctor_internal.h"
#include "core/io/file.h"

const char *const atn_stage_names[ATN_STAGES] = {
    "hidden", "q_pre", "k_pre", "q", "k", "v", "attn", "attn_out", "logits", "loss"};

enum { DENSE_MAX = 4096, GIVEN_MOST = 1 << 16 };

typedef struct examination {
    const atn_model *m;
    double tolerance;
    atn_doctor *out;
    atn_seen here, before;
    bool departed;             /* at the end: a stage before it did */
    const atn_layer_dump *run; /* of the place in hand */
    /* stacks whose `hidden` are outputs of the layers */
    const char *outputs[ATN_STACKS_MOST + 1];
    int n_outputs;
} examination;

static bool has_outputs(const examination *x, const char *stack)
{
    for (int i = 0; i < x->n_outputs; i++)
        if (strcmp(x->outputs[i], stack) == 0) return true;
    return false;
}

/* The largest difference, by head and row; sets departs. */
static void compare(const atn_pair *p, atn_compared *c)
{
    const atn_idx plane = p->rows * p->cols;

    for (atn_idx i = 0; i < p->heads * plane; i++) {
        const double y = p->reference[i], e = fabs((double)p->ours[i] - y);

        c->largest = fmax(c->largest, fabs(y));
        if (e <= c->error) continue;
        c->error = e; /* NaN, too, and no later one is below it */
        c->head = p->heads > 1 || p->place ? i / plane : -1;
        c->row = i % plane / p->cols;
        if (isnan(e)) break;
    }
    c->departs = !(c->error <= p->tolerance * c->largest);
}

static atn_status append(atn_ctx *cx, atn_doctor *d, const atn_compared *c)
{
    atn_compared *grown = atn_realloc(cx, d->all, d->n + 1, sizeof *grown);

    if (!grown) return cx->err.code;
    d->all = grown;
    d->all[d->n++] = *c;
    return ATN_OK;
}

/* What storing in the type may have changed, by the largest value. */
static double rounding(atn_dtype type)
{
    return type == ATN_F16 ? 0x1p-11 : type == ATN_BF16 ? 0x1p-8 : 0;
}

/* Heads [heads, size] of a plane of the reference, in the arena. */
static atn_status widen(atn_ctx *cx, const atn_given *g, atn_idx plane, atn_idx heads,
                        atn_idx size, float **out)
{
    const atn_st_tensor *t = g->tensor;
    atn_status st = ATN_OK;

    ATN_TAKE(*out, heads * size);
    for (atn_idx h = 0; h < heads; h++)
        atn_widen((const char *)t->data +
                      atn_dtype_bytes(t->type, (plane * heads + h) * g->times * size),
                  t->type, size, *out + h * size);
done:
    return st;
}

/* The mean of a loss that has a number a token. */
static atn_status mean_loss(atn_ctx *cx, const atn_given *g, float **out)
{
    const atn_idx n = g->tensor->count;
    atn_status st = ATN_OK;
    double sum = 0;

    ATN_TRY(widen(cx, g, 0, 1, n, out));
    for (atn_idx i = 0; i < n; i++) sum += (double)(*out)[i];
    (*out)[0] = (float)(sum / (double)n);
done:
    return st;
}

/* The plane of a place in the tensor that was found for it. */
static atn_idx plane_of(const atn_given *g, const atn_place *p, atn_idx layer)
{
    return g->layer < 0 ? p->step * g->planes + layer : 0;
}

/* q and k of the reference, where it has both. */
static atn_status given_qk(atn_ctx *cx, const examination *x, atn_pair *pair)
{
    const atn_place *p = pair->place;
    const atn_given *q = atn_given_find(x->out, p->stack, ATN_STAGE_Q, p->layer),
                    *k = atn_given_find(x->out, p->stack, ATN_STAGE_K, p->layer);
    atn_status st = ATN_OK;
    float *wide = NULL;

    if (!q || !k || (p->step > 0 && (q->layer >= 0 || k->layer >= 0))) return ATN_OK;
    ATN_TRY(widen(cx, q, plane_of(q, p, p->layer), p->heads, p->nq * p->d, &wide));
    pair->q = wide;
    ATN_TRY(widen(cx, k, plane_of(k, p, p->layer), p->kv_heads, p->nk * p->d, &wide));
    pair->k = wide;
done:
    return st;
}

/* One plane of the reference beside ours. */
static atn_status examine(atn_ctx *cx, examination *x, const atn_pair *p, atn_given *g,
                          atn_idx plane)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_compared c = {.stack = p->place ? p->place->stack : "",
                      .layer = p->place ? p->place->layer : -1,
                      .step = p->place ? p->place->step : 0,
                      .stage = p->stage,
                      .head = -1};
    atn_pair pair = *p;
    atn_status st = ATN_OK;
    float *wide = NULL;

    ATN_TRY(p->stage == ATN_STAGE_LOSS
                ? mean_loss(cx, g, &wide)
                : widen(cx, g, plane, p->heads, p->rows * p->cols, &wide));
    g->used = true;
    pair.reference = wide;
    pair.tolerance = fmax(x->tolerance, rounding(g->tensor->type));
    pair.here = x->here;
    pair.before = x->before;
    pair.departed = x->departed;
    pair.m = x->m;
    pair.run = p->place ? x->run : NULL;
    compare(&pair, &c);
    if (p->stage == ATN_STAGE_HIDDEN) c.head = -1;
    if (c.departs && p->stage == ATN_STAGE_ATTN) ATN_TRY(given_qk(cx, x, &pair));
    if (c.departs) ATN_TRY(atn_doctor_hint(cx, &pair, c.hint));
    x->here.compared |= 1u << p->stage;
    if (!c.departs) x->here.agreed |= 1u << p->stage;
    ATN_TRY(append(cx, x->out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status stage(atn_ctx *cx, examination *x, atn_stage stage, const float *ours,
                        atn_idx heads, atn_idx rows, atn_idx cols)
{
    const atn_place *place = x->run->place;
    const bool late = stage == ATN_STAGE_HIDDEN && has_outputs(x, place->stack);
    const atn_idx layer = place->layer - late;
    atn_given *g =
        ours && layer >= 0 ? atn_given_find(x->out, place->stack, stage, layer) : NULL;
    const atn_pair p = {.stage = stage,
                        .ours = ours,
                        .heads = heads,
                        .rows = rows,
                        .cols = cols,
                        .place = place};

    if (!g || (place->step > 0 && g->layer >= 0)) return ATN_OK;
    return examine(cx, x, &p, g, plane_of(g, place, layer));
}

/* Outputs of layers in place of inputs: the first plane is not what enters layer 0, but
 * it is what enters layer 1. */
static atn_status notice_outputs(atn_ctx *cx, examination *x, const atn_layer_dump *d)
{
    const char *stack = d->place->stack;
    atn_doctor *out = x->out;
    examination probe = *x;
    atn_doctor only = {.given = out->given, .n_given = out->n_given};
    atn_status st = ATN_OK;
    atn_idx first = -1;

    if (d->place->layer != 1 || d->place->step > 0) return ATN_OK;
    for (atn_idx i = 0; i < out->n && first < 0; i++)
        if (out->all[i].stage == ATN_STAGE_HIDDEN &&
            strcmp(out->all[i].stack, stack) == 0)
            first = i;
    if (first < 0 || !out->all[first].departs) return ATN_OK;
    probe.out = &only;
    probe.outputs[probe.n_outputs++] = stack;
    ATN_TRY(
        stage(cx, &probe, ATN_STAGE_HIDDEN, d->h, 1, d->place->nq, x->m->config.width));
    if (only.n == 0 || only.all[0].departs) goto done;
    x->outputs[x->n_outputs++] = stack;
    memmove(&out->all[first], &out->all[first + 1],
            (size_t)(--out->n - first) * sizeof *out->all);
done:
    atn_free(cx, only.all);
    return st;
}

static atn_status on_place(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    examination *x = state;
    const atn_place *p = d->place;
    const atn_idx width = x->m->config.width;
    atn_status st = ATN_OK;

    x->run = d;
    x->before = x->here;
    x->here = (atn_seen){0};
    if (!p->cross) ATN_TRY(notice_outputs(cx, x, d));
    ATN_TRY(stage(cx, x, ATN_STAGE_HIDDEN, d->h, 1, p->nq, width));
    ATN_TRY(stage(cx, x, ATN_STAGE_Q_PRE, d->q_pre, p->heads, p->nq, p->d));
    ATN_TRY(stage(cx, x, ATN_STAGE_K_PRE, d->k_pre, p->kv_heads, p->nk, p->d));
    ATN_TRY(stage(cx, x, ATN_STAGE_Q, d->q, p->heads, p->nq, p->d));
    ATN_TRY(stage(cx, x, ATN_STAGE_K, d->k, p->kv_heads, p->nk, p->d));
    ATN_TRY(stage(cx, x, ATN_STAGE_V, d->v, p->kv_heads, p->nk, p->dv));
    ATN_TRY(stage(cx, x, ATN_STAGE_ATTN, d->p, p->heads, p->nq, p->nk));
    ATN_TRY(stage(cx, x, ATN_STAGE_ATTN_OUT, d->attn_out, 1, p->nq, width));
done:
    return st;
}

static bool any_departs(const atn_doctor *d)
{
    for (atn_idx i = 0; i < d->n; i++)
        if (d->all[i].departs) return true;
    return false;
}

static atn_status examine_end(atn_ctx *cx, examination *x, const float *ours,
                              const atn_forward_result *r, const atn_run_shape *shape)
{
    atn_given *logits = atn_given_find(x->out, "", ATN_STAGE_LOGITS, -1),
              *loss = atn_given_find(x->out, "", ATN_STAGE_LOSS, -1);
    const float mean = (float)r->loss;
    const atn_pair p = {.stage = ATN_STAGE_LOGITS,
                        .ours = ours,
                        .heads = 1,
                        .rows = shape->rows,
                        .cols = shape->cols},
                   one = {.stage = ATN_STAGE_LOSS,
                          .ours = &mean,
                          .heads = 1,
                          .rows = 1,
                          .cols = 1};
    atn_status st = ATN_OK;

    x->before = x->here;
    x->here = (atn_seen){0};
    x->departed = any_departs(x->out);
    if (logits && ours) ATN_TRY(examine(cx, x, &p, logits, 0));
    if (loss && r->has_loss) ATN_TRY(examine(cx, x, &one, loss, 0));
done:
    return st;
}

/* ---- the run ---- */

/* Something of the stage will be read, of any stack and layer. */
static bool wanted(const atn_doctor *d, atn_stage s)
{
    for (atn_idx i = 0; i < d->n_given; i++)
        if (d->given[i].state == ATN_GIVEN_READ && d->given[i].stage == s) return true;
    return false;
}

/* What was compared, what was not, and what departs first. */
static atn_status conclude(atn_ctx *cx, atn_doctor *out)
{
    const atn_given *told = NULL;

    for (atn_idx i = 0; i < out->n_given; i++) {
        atn_given *g = &out->given[i];

        if (g->state == ATN_GIVEN_READ && !g->used) g->state = ATN_GIVEN_UNREAD;
        if (g->state == ATN_GIVEN_REFUSED && out->refused < 0) out->refused = i;
        if (*g->why && !told) told = g;
    }
    if (out->refused >= 0) told = &out->given[out->refused];
    for (atn_idx i = 0; i < out->n && out->first < 0; i++)
        if (out->all[i].departs) out->first = i;
    if (out->n > 0) return ATN_OK;
    if (told)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "the reference holds nothing to compare: \"%s\" %s%s",
                        told->name, told->why,
                        told->state == ATN_GIVEN_REFUSED
                            ? " (is it of these tokens and this model?)"
                            : "");
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "the reference holds none of hidden, q_pre, k_pre, q, k, v, attn, attn_out, "
        "logits, loss (stacked over the layers, or NAME.0, NAME.1 ...)");
}

static atn_status compute(atn_ctx *cx, examination *x, const atn_input *in,
                          const atn_run_shape *shape)
{
    const atn_model *m = x->m;
    const atn_idx n = atn_model_tokens_most(m, in);
    const atn_doctor *d = x->out;
    atn_forward_args a = {.input = *in,
                          .visit = on_place,
                          .state = x,
                          .want_pre =
                              wanted(d, ATN_STAGE_Q_PRE) || wanted(d, ATN_STAGE_K_PRE),
                          .want_p = wanted(d, ATN_STAGE_ATTN),
                          .want_h = wanted(d, ATN_STAGE_HIDDEN),
                          .want_attn_out = wanted(d, ATN_STAGE_ATTN_OUT),
                          .want_loss = wanted(d, ATN_STAGE_LOSS),
                          .last_place = INT32_MAX};
    atn_forward_result result;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    if (a.want_p && n > DENSE_MAX && cx->mem_limit == 0)
        ATN_FAIL(
            ATN_MEMORY,
            "attention weights of %lld tokens take %.1f GiB a layer; above %d tokens "
            "give --mem-limit to allow it, or leave attn out of the reference",
            (long long)n,
            4.0 * (double)m->config.heads * (double)n * (double)n / 1073741824.0,
            DENSE_MAX);
    if (wanted(d, ATN_STAGE_LOGITS)) {
        if (!atn_mul(shape->rows, shape->cols, &count))
            ATN_FAIL(ATN_MEMORY, "the logits are too many");
        ATN_NEW(a.logits, count);
    }
    ATN_TRY(atn_forward(cx, m, &a, &result));
    ATN_TRY(examine_end(cx, x, a.logits, &result, shape));
done:
    atn_free(cx, a.logits);
    return st;
}

/* A tensor of the reference under the name that doctor.h gives it. */
typedef struct source {
    char name[ATN_GIVEN_NAME];
    const atn_st_tensor *t;
} source;

static atn_status run(atn_ctx *cx, const atn_model *m, const atn_input *in,
                      const source *of, atn_idx n, double tolerance, atn_doctor *out)
{
    const bool head = atn_model_reaches_head(m, in), image = m->labels > 0;
    atn_run_shape shape = {.m = m,
                           .steps = ATN_MAX(in->steps, 1),
                           .predicted = !head        ? 0
                                        : in->target ? in->n_target
                                                     : atn_model_tokens(m, in) - 1};
    examination x = {.m = m, .tolerance = tolerance, .out = out};
    atn_place *places = NULL;
    atn_status st = ATN_OK;

    *out = (atn_doctor){.first = -1, .refused = -1};
    if (image || head) {
        shape.rows = image ? 1 : in->target ? in->n_target : atn_model_tokens(m, in);
        shape.cols = image ? m->labels : m->config.vocab;
    }
    if (n > GIVEN_MOST)
        ATN_FAIL(ATN_DATA, "the reference holds %lld tensors, more than %d",
                 (long long)n, GIVEN_MOST);
    ATN_TRY(atn_model_places(cx, m, in, &places, &shape.n));
    shape.places = places;
    ATN_NEW(out->given, ATN_MAX(n, 1));
    for (; out->n_given < n; out->n_given++)
        atn_given_take(&shape, of[out->n_given].name, of[out->n_given].t,
                       &out->given[out->n_given]);
    ATN_TRY(compute(cx, &x, in, &shape));
    ATN_TRY(conclude(cx, out));
done:
    atn_free(cx, places);
    if (st != ATN_OK) atn_doctor_release(cx, out);
    return st;
}

atn_status atn_doctor_run(atn_ctx *cx, const atn_model *m, const atn_input *in,
                          const atn_st *dump, double tolerance, atn_doctor *out)
{
    const atn_idx n = atn_st_count(dump);
    source *of = NULL;
    atn_status st = ATN_OK;

    *out = (atn_doctor){.first = -1, .refused = -1};
    ATN_NEW(of, ATN_MAX(n, 1));
    for (atn_idx i = 0; i < n; i++) {
        of[i].t = atn_st_at(dump, i);
        snprintf(of[i].name, sizeof of[i].name, "%s", of[i].t->name);
    }
    ATN_TRY(run(cx, m, in, of, n, tolerance, out));
done:
    atn_free(cx, of);
    return st;
}

/* What doctor.h calls a tensor of a capture, NULL = it is not read. */
static const char *name_in_capture(const char *name)
{
    static const char *const known[][2] = {
        {"q", "q"},      {"k", "k"},         {"v", "v"},        {"p", "attn"},
        {"h", "hidden"}, {"q_pre", "q_pre"}, {"k_pre", "k_pre"}};

    for (size_t i = 0; i < ATN_LEN(known); i++)
        if (strcmp(name, known[i][0]) == 0) return known[i][1];
    return NULL;
}

/* Adds the tensors of a layer, whose file is opened into *file. */
static atn_status add_layer(atn_ctx *cx, const atn_capture *c, const atn_layer_info *l,
                            atn_st **file, source *of, atn_idx *n)
{
    char *path = atn_path_join(cx, atn_capture_dir(c), l->file);
    atn_status st = ATN_OK;

    if (!path) return cx->err.code;
    ATN_TRY(atn_st_open(cx, path, file));
    for (atn_idx i = 0; i < atn_st_count(*file); i++) {
        const atn_st_tensor *t = atn_st_at(*file, i);
        const char *name = name_in_capture(t->name);

        if (!name) continue;
        of[*n].t = t;
        snprintf(of[(*n)++].name, sizeof of->name, "%s%s%s.%d", l->stack,
                 *l->stack ? "." : "", name, l->layer);
    }
done:
    atn_free(cx, path);
    return st;
}

atn_status atn_doctor_run_capture(atn_ctx *cx, const atn_model *m, const atn_input *in,
                                  const atn_capture *reference, double tolerance,
                                  atn_doctor *out)
{
    enum { A_LAYER = 7 }; /* tensors that name_in_capture knows */
    const int layers = atn_capture_layers(reference);
    atn_st **files = NULL;
    source *of = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    *out = (atn_doctor){.first = -1, .refused = -1};
    ATN_NEW(files, ATN_MAX(layers, 1));
    ATN_NEW(of, A_LAYER * (atn_idx)ATN_MAX(layers, 1));
    for (int i = 0; i < layers; i++) {
        const atn_layer_info *l = atn_capture_layer(reference, i);

        if (l->step == atn_capture_layer(reference, 0)->step)
            ATN_TRY(add_layer(cx, reference, l, &files[i], of, &n));
    }
    ATN_TRY(run(cx, m, in, of, n, tolerance, out));
done:
    for (int i = 0; files && i < layers; i++) atn_st_close(cx, files[i]);
    atn_free(cx, files);
    atn_free(cx, of);
    return st;
}

void atn_doctor_release(atn_ctx *cx, atn_doctor *d)
{
    atn_free(cx, d->all);
    atn_free(cx, d->given);
    *d = (atn_doctor){.first = -1, .refused = -1};
}

/* ---- tokens ---- */

atn_status atn_doctor_ids(atn_ctx *cx, const atn_st *dump, const char *name,
                          int32_t **out, atn_idx *n)
{
    const atn_st_tensor *t = atn_st_find(dump, name);
    atn_status st = ATN_OK;
    char shape[96];

    *out = NULL;
    *n = 0;
    if (!t) return ATN_OK;
    if (!t->loadable || (t->type != ATN_I32 && t->type != ATN_I64) || t->count < 1)
        ATN_FAIL(ATN_DATA,
                 "%s: tensor \"%s\" is %s of %lld; wanted I32 or I64 token ids",
                 t->path, name, t->dtype, (long long)t->count);
    if (!atn_same_shape(t->shape, t->rank, &t->count, 1)) {
        atn_shape_text(t->shape, t->rank, shape, sizeof shape);
        ATN_FAIL(ATN_DATA,
                 "%s: tensor \"%s\" is %s; wanted are the ids of one sequence", t->path,
                 name, shape);
    }
    ATN_NEW(*out, t->count);
    for (atn_idx i = 0; i < t->count; i++) {
        const size_t size = atn_dtype_size(t->type);
        int64_t wide = 0;
        int32_t id = 0;

        if (t->type == ATN_I64)
            memcpy(&wide, (const char *)t->data + (size_t)i * size, size);
        else {
            memcpy(&id, (const char *)t->data + (size_t)i * size, size);
            wide = id;
        }
        if (wide < 0 || wide > INT32_MAX)
            ATN_FAIL(ATN_DATA,
                     "%s: tensor \"%s\" holds the token id %lld at position %lld",
                     t->path, name, (long long)wide, (long long)i);
        (*out)[i] = (int32_t)wide;
    }
    *n = t->count;
done:
    if (st != ATN_OK) {
        atn_free(cx, *out);
        *out = NULL;
    }
    return st;
}

static atn_status copy_ids(atn_ctx *cx, const int32_t *from, atn_idx n, int32_t **out)
{
    atn_status st = ATN_OK;

    ATN_NEW(*out, n);
    memcpy(*out, from, (size_t)n * sizeof **out);
done:
    return st;
}

/* What the queries of a stack are; ids NULL = unknown. */
static atn_tokens stack_tokens(const atn_capture *c, const char *stack)
{
    for (int i = 0; i < atn_capture_layers(c); i++) {
        atn_tokens queries = {0}, keys = {0};

        if (strcmp(atn_capture_layer(c, i)->stack, stack) != 0) continue;
        atn_capture_layer_tokens(c, i, &queries, &keys);
        return queries;
    }
    return (atn_tokens){0};
}

atn_status atn_doctor_capture_ids(atn_ctx *cx, const atn_model *m, const atn_capture *c,
                                  int32_t **ids, atn_idx *n, int32_t **target,
                                  atn_idx *n_target)
{
    const bool pair = m->config.n_stacks > 1;
    atn_tokens first = stack_tokens(c, pair ? m->config.stacks[0].name : ""),
               second = {0};
    atn_status st = ATN_OK;

    *ids = *target = NULL;
    *n = *n_target = 0;
    if (pair && !first.ids) first = stack_tokens(c, ""); /* of the encoder alone */
    if (pair) second = stack_tokens(c, m->config.stacks[1].name);
    if (first.n < 1 || !first.ids) goto done;
    ATN_TRY(copy_ids(cx, first.ids, first.n, ids));
    *n = first.n;
    if (second.n < 1 || !second.ids) goto done;
    if (second.ids[0] != m->config.decoder_start)
        ATN_FAIL(ATN_DATA,
                 "%s: the decoder begins with token %d, that of the model with %lld",
                 atn_capture_dir(c), second.ids[0], (long long)m->config.decoder_start);
    ATN_TRY(copy_ids(cx, second.ids, second.n, target));
    memmove(*target, *target + 1, (size_t)(second.n - 1) * sizeof **target);
    *n_target = second.n;
done:
    return st;
}
