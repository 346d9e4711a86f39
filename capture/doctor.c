/* capture/doctor.c -- our stages beside a dump's, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/doctor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "capture/doctor_internal.h"

const char *const atn_stage_names[ATN_STAGES] = {
    "hidden", "q_pre", "k_pre", "q", "k", "v", "attn", "attn_out", "logits", "loss"};

enum { NAME_TEXT = 96, DENSE_MAX = 4096 };

typedef struct examination {
    const atn_model *m;
    const atn_st *dump;
    double tolerance;
    atn_doctor *out;
    unsigned
        agreed; /* stages of the layer so far, and of the one before for `hidden` */
    const float *p, *v; /* of the place */
    bool outputs;       /* `hidden` of the dump are outputs of the layers */
} examination;

/* Of all layers of a stack stacked, or of one layer. */
static const atn_st_tensor *find(const atn_st *dump, const char *stack, atn_stage stage,
                                 atn_idx layer, bool *stacked)
{
    const char *dot = *stack ? "." : "";
    char name[NAME_TEXT];
    const atn_st_tensor *t;

    snprintf(name, sizeof name, "%s%s%s", stack, dot, atn_stage_names[stage]);
    t = atn_st_find(dump, name);
    *stacked = t != NULL;
    if (t || layer < 0) return t;
    snprintf(name, sizeof name, "%s%s%s.%lld", stack, dot, atn_stage_names[stage],
             (long long)layer);
    return atn_st_find(dump, name);
}

static atn_status check_type(atn_ctx *cx, const atn_st_tensor *t)
{
    if (t->loadable && t->type != ATN_I32 && t->type != ATN_I64 && t->type != ATN_U8)
        return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: tensor \"%s\" is %s; wanted F32, F16, BF16 or F64", t->path,
                    t->name, t->dtype);
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

/* One plane of the dump beside ours; times: how often the reference repeats each head. */
static atn_status examine(atn_ctx *cx, examination *x, const atn_pair *p,
                          const atn_st_tensor *t, atn_idx plane, atn_idx times,
                          const char *stack)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx size = p->rows * p->cols, count = p->heads * size;
    atn_compared c = {.stack = stack,
                      .layer = p->place ? p->place->layer : -1,
                      .step = p->place ? p->place->step : 0,
                      .stage = p->stage,
                      .head = -1};
    atn_pair pair = *p;
    atn_status st = ATN_OK;
    float *wide = NULL;

    ATN_TRY(check_type(cx, t));
    ATN_TAKE(wide, count);
    for (atn_idx h = 0; h < p->heads; h++)
        atn_widen((const char *)t->data +
                      atn_dtype_bytes(t->type, (plane * p->heads + h) * times * size),
                  t->type, size, wide + h * size);
    pair.reference = wide;
    pair.tolerance = x->tolerance;
    pair.agreed = x->agreed;
    pair.m = x->m;
    compare(&pair, &c);
    if (p->stage == ATN_STAGE_HIDDEN) {
        c.head = -1;
        x->agreed = 0;
    }
    if (c.departs)
        atn_doctor_hint(&pair, c.hint);
    else
        x->agreed |= 1u << p->stage;
    ATN_TRY(append(cx, x->out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* How many planes of `count` numbers the tensor holds, each head repeated `times`. */
static atn_status planes_of(atn_ctx *cx, const atn_st_tensor *t, atn_idx count,
                            atn_idx at, atn_idx repeats, atn_idx *times)
{
    const atn_idx layers = t->count / count;

    *times = 1;
    if (t->count % count == 0 && at < layers) {
        /* k and v of as many heads as q: there are `repeats` times too many planes */
        if (repeats > 1 && t->rank >= 3 && layers % repeats == 0 &&
            t->shape[t->rank - 3] % repeats == 0 &&
            t->shape[t->rank - 3] * t->shape[t->rank - 2] * t->shape[t->rank - 1] ==
                count * repeats)
            *times = repeats;
        return ATN_OK;
    }
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: tensor \"%s\" holds %lld numbers, which are no layers of %lld "
                    "(is it of these tokens and this model?)",
                    t->path, t->name, (long long)t->count, (long long)count);
}

static atn_status stage(atn_ctx *cx, examination *x, const atn_place *place,
                        atn_stage stage, const float *ours, atn_idx heads, atn_idx rows,
                        atn_idx cols)
{
    const bool keys =
        stage == ATN_STAGE_K || stage == ATN_STAGE_K_PRE || stage == ATN_STAGE_V;
    bool stacked = false;
    const atn_st_tensor *t =
        ours ? find(x->dump, place->stack, stage, place->layer, &stacked) : NULL;
    atn_idx at = stacked ? place->step * x->m->config.layers + place->layer : 0,
            times = 1;
    const atn_pair p = {.stage = stage,
                        .ours = ours,
                        .heads = heads,
                        .rows = rows,
                        .cols = cols,
                        .place = place,
                        .p = stage == ATN_STAGE_ATTN_OUT ? x->p : NULL,
                        .v = x->v};
    atn_status st = ATN_OK;

    if (!t || (place->step > 0 && !stacked)) return ATN_OK;
    if (stage == ATN_STAGE_HIDDEN && x->outputs && stacked) {
        at--;
        if (place->layer == 0) return ATN_OK;
    }
    ATN_TRY(planes_of(cx, t, heads * rows * cols, at,
                      keys ? place->heads / place->kv_heads : 1, &times));
    ATN_TRY(examine(cx, x, &p, t, at, times, place->stack));
done:
    return st;
}

/* Outputs of layers in place of inputs: the first plane is not what enters layer 0, but it is
 * what enters layer 1. */
static atn_status notice_outputs(atn_ctx *cx, examination *x, const atn_layer_dump *d,
                                 atn_idx width)
{
    atn_doctor *out = x->out;
    examination probe = *x;
    atn_doctor only = {0};
    atn_status st = ATN_OK;

    if (d->place->layer != 1 || out->n == 0 || x->outputs) return ATN_OK;
    for (atn_idx i = 0; i < out->n; i++)
        if (out->all[i].stage == ATN_STAGE_HIDDEN && !out->all[i].departs &&
            strcmp(out->all[i].stack, d->place->stack) == 0)
            return ATN_OK;
    probe.out = &only;
    probe.outputs = true;
    ATN_TRY(
        stage(cx, &probe, d->place, ATN_STAGE_HIDDEN, d->h, 1, d->place->nq, width));
    if (only.n == 0 || only.all[0].departs) goto done;
    x->outputs = true;
    for (atn_idx i = 0; i < out->n; i++)
        if (out->all[i].stage == ATN_STAGE_HIDDEN)
            memmove(&out->all[i], &out->all[i + 1],
                    (size_t)(--out->n - i) * sizeof *out->all);
done:
    atn_doctor_release(cx, &only);
    return st;
}

static atn_status on_place(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    examination *x = state;
    const atn_place *p = d->place;
    const atn_idx width = x->m->config.width;
    const bool cross = strcmp(p->stack, "cross") == 0;
    atn_status st = ATN_OK;

    x->p = d->p;
    x->v = d->v;
    if (!cross) {
        ATN_TRY(notice_outputs(cx, x, d, width));
        ATN_TRY(stage(cx, x, p, ATN_STAGE_HIDDEN, d->h, 1, p->nq, width));
    }
    ATN_TRY(stage(cx, x, p, ATN_STAGE_Q_PRE, d->q_pre, p->heads, p->nq, p->d));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_K_PRE, d->k_pre, p->kv_heads, p->nk, p->d));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_Q, d->q, p->heads, p->nq, p->d));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_K, d->k, p->kv_heads, p->nk, p->d));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_V, d->v, p->kv_heads, p->nk, p->dv));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_ATTN, d->p, p->heads, p->nq, p->nk));
    ATN_TRY(stage(cx, x, p, ATN_STAGE_ATTN_OUT, d->attn_out, 1, p->nq, width));
done:
    return st;
}

/* Does the dump have the stage, of any stack and layer? */
static bool wanted(const atn_st *dump, atn_stage s)
{
    const size_t n = strlen(atn_stage_names[s]);

    for (atn_idx i = 0; i < atn_st_count(dump); i++) {
        const char *name = atn_st_at(dump, i)->name, *dot = strchr(name, '.');

        if (strncmp(name, atn_stage_names[s], n) == 0 && (!name[n] || name[n] == '.'))
            return true;
        if (dot && strncmp(dot + 1, atn_stage_names[s], n) == 0 &&
            (!dot[1 + n] || dot[1 + n] == '.'))
            return true;
    }
    return false;
}

static atn_status examine_end(atn_ctx *cx, examination *x, const atn_forward_args *a,
                              const atn_forward_result *r, atn_idx rows)
{
    bool stacked = false;
    const atn_st_tensor *logits = find(x->dump, "", ATN_STAGE_LOGITS, -1, &stacked),
                        *loss = find(x->dump, "", ATN_STAGE_LOSS, -1, &stacked);
    const float mean = (float)r->loss;
    atn_pair p = {.stage = ATN_STAGE_LOGITS,
                  .ours = a->logits,
                  .heads = 1,
                  .rows = rows,
                  .cols = x->m->labels > 0 ? x->m->labels : x->m->config.vocab};
    atn_status st = ATN_OK;
    atn_idx times = 1;

    x->agreed = 0;
    if (logits && a->logits) {
        ATN_TRY(planes_of(cx, logits, rows * p.cols, 0, 1, &times));
        ATN_TRY(examine(cx, x, &p, logits, 0, 1, ""));
    }
    if (!loss || !r->has_loss) goto done;
    p = (atn_pair){
        .stage = ATN_STAGE_LOSS, .ours = &mean, .heads = 1, .rows = 1, .cols = 1};
    if (loss->count == 1) ATN_TRY(examine(cx, x, &p, loss, 0, 1, ""));
done:
    return st;
}

atn_status atn_doctor_run(atn_ctx *cx, const atn_model *m, const atn_input *in,
                          const atn_st *dump, double tolerance, atn_doctor *out)
{
    const atn_idx n = atn_model_tokens(m, in), rows = m->labels > 0 ? 1
                                                      : in->target  ? in->n_target
                                                                    : n;
    const bool head = atn_model_reaches_head(m, in);
    examination x = {.m = m, .dump = dump, .tolerance = tolerance, .out = out};
    atn_forward_args a = {.input = *in,
                          .visit = on_place,
                          .state = &x,
                          .want_pre = wanted(dump, ATN_STAGE_Q_PRE) ||
                                      wanted(dump, ATN_STAGE_K_PRE),
                          .want_p = wanted(dump, ATN_STAGE_ATTN),
                          .want_h = wanted(dump, ATN_STAGE_HIDDEN),
                          .want_attn_out = wanted(dump, ATN_STAGE_ATTN_OUT),
                          .want_loss = wanted(dump, ATN_STAGE_LOSS) && head,
                          .last_place = INT32_MAX};
    atn_forward_result result;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    *out = (atn_doctor){.first = -1};
    if (a.want_p && n > DENSE_MAX && cx->mem_limit == 0)
        ATN_FAIL(
            ATN_MEMORY,
            "attention weights of %lld tokens take %.1f GiB a layer; above %d tokens "
            "give --mem-limit to allow it, or leave attn out of the dump",
            (long long)n,
            4.0 * (double)m->config.heads * (double)n * (double)n / 1073741824.0,
            DENSE_MAX);
    if (wanted(dump, ATN_STAGE_LOGITS) && (head || m->labels > 0)) {
        if (!atn_mul(rows, m->labels > 0 ? m->labels : m->config.vocab, &count))
            ATN_FAIL(ATN_MEMORY, "the logits are too many");
        ATN_NEW(a.logits, count);
    }
    ATN_TRY(atn_forward(cx, m, &a, &result));
    ATN_TRY(examine_end(cx, &x, &a, &result, rows));
    if (out->n == 0)
        ATN_FAIL(
            ATN_DATA,
            "the dump holds none of hidden, q_pre, k_pre, q, k, v, attn, attn_out, "
            "logits, loss (stacked over the layers, or NAME.0, NAME.1 ...)");
    for (atn_idx i = 0; i < out->n && out->first < 0; i++)
        if (out->all[i].departs) out->first = i;
done:
    atn_free(cx, a.logits);
    if (st != ATN_OK) atn_doctor_release(cx, out);
    return st;
}

void atn_doctor_release(atn_ctx *cx, atn_doctor *d)
{
    atn_free(cx, d->all);
    *d = (atn_doctor){.first = -1};
}

atn_status atn_doctor_ids(atn_ctx *cx, const atn_st *dump, const char *name,
                          int32_t **out, atn_idx *n)
{
    const atn_st_tensor *t = atn_st_find(dump, name);
    atn_status st = ATN_OK;

    *out = NULL;
    *n = 0;
    if (!t) return ATN_OK;
    if (!t->loadable || (t->type != ATN_I32 && t->type != ATN_I64) || t->count < 1)
        ATN_FAIL(ATN_DATA,
                 "%s: tensor \"%s\" is %s of %lld; wanted I32 or I64 token ids",
                 t->path, name, t->dtype, (long long)t->count);
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
