/* capture/doctor_given.c -- the tensors of a reference by their names and shapes, see
 * doctor.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/doctor_internal.h"
#include "core/param.h"

enum { AXES_MOST = 5, SHAPE_TEXT = 96 };

static int squeeze(const atn_idx *shape, int rank, atn_idx *out)
{
    int n = 0;

    for (int i = 0; i < rank; i++)
        if (shape[i] != 1) out[n++] = shape[i];
    return n;
}

bool atn_same_shape(const atn_idx *a, int rank_a, const atn_idx *b, int rank_b)
{
    atn_idx x[ATN_ST_MAX_RANK], y[ATN_ST_MAX_RANK];
    const int n = squeeze(a, rank_a, x);

    return n == squeeze(b, rank_b, y) && memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

void atn_shape_text(const atn_idx *shape, int rank, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");

    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "",
                                 (long long)shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
}

/* ---- names ---- */

/* A name in its parts: "encoder.q.3". */
typedef struct parts {
    char stack[ATN_GIVEN_NAME], base[ATN_GIVEN_NAME];
    atn_idx layer; /* -1 = none is named */
} parts;

static parts split(const char *name)
{
    parts p = {.layer = -1};
    const char *end = name + strlen(name), *dot = strrchr(name, '.'), *base = name;

    if (dot && dot[1] && strlen(dot + 1) < 10 &&
        strspn(dot + 1, "0123456789") == strlen(dot + 1)) {
        p.layer = atoll(dot + 1);
        end = dot;
    }
    for (const char *c = name; c < end; c++)
        if (*c == '.') base = c + 1;
    snprintf(p.base, sizeof p.base, "%.*s", (int)(end - base), base);
    if (base > name)
        snprintf(p.stack, sizeof p.stack, "%.*s", (int)(base - 1 - name), name);
    return p;
}

static int stage_of(const char *base)
{
    for (int s = 0; s < ATN_STAGES; s++)
        if (strcmp(base, atn_stage_names[s]) == 0) return s;
    return -1;
}

/* The stage that a name seems to mean, NULL = none. */
static const char *near_stage(const char *base)
{
    static const char *const also[][2] = {{"attention", "attn"},
                                          {"attentions", "attn"},
                                          {"attn_weights", "attn"},
                                          {"hidden_states", "hidden"},
                                          {"query", "q"},
                                          {"queries", "q"},
                                          {"key", "k"},
                                          {"keys", "k"},
                                          {"value", "v"},
                                          {"values", "v"},
                                          {"attn_output", "attn_out"}};
    int nearest;

    for (size_t i = 0; i < ATN_LEN(also); i++)
        if (strcmp(base, also[i][0]) == 0) return also[i][1];
    if (strlen(base) < 3) return NULL;
    nearest = atn_nearest(base, atn_stage_names, ATN_STAGES);
    return nearest < 0 ? NULL : atn_stage_names[nearest];
}

static bool is_stack(const char *name)
{
    static const char *const known[] = {"", "encoder", "decoder", "cross"};

    for (size_t i = 0; i < ATN_LEN(known); i++)
        if (strcmp(name, known[i]) == 0) return true;
    return false;
}

static bool is_input(const atn_run_shape *r, const char *name)
{
    static const char *const tokens[] = {"ids", "input_ids", "target_ids", NULL},
                             *const image[] = {"pixels", NULL},
                             *const latents[] = {"latents", "timesteps", "classes",
                                                 NULL};
    const atn_input_kind kind = r->m->config.arch->input;
    const char *const *names = kind == ATN_INPUT_TOKENS  ? tokens
                               : kind == ATN_INPUT_IMAGE ? image
                                                         : latents;

    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

/* ---- shapes ---- */

/* Axes of a stage of a place behind the layer, of k and v with `heads`. */
static int plane_shape(const atn_place *p, atn_stage s, atn_idx heads, atn_idx width,
                       atn_idx *out)
{
    if (s == ATN_STAGE_HIDDEN || s == ATN_STAGE_ATTN_OUT) {
        out[0] = p->nq;
        out[1] = width;
        return 2;
    }
    out[0] = heads;
    out[1] =
        s == ATN_STAGE_Q || s == ATN_STAGE_Q_PRE || s == ATN_STAGE_ATTN ? p->nq : p->nk;
    out[2] = s == ATN_STAGE_ATTN ? p->nk : s == ATN_STAGE_V ? p->dv : p->d;
    return 3;
}

static bool has_kv_heads(atn_stage s)
{
    return s == ATN_STAGE_K || s == ATN_STAGE_K_PRE || s == ATN_STAGE_V;
}

/* `steps` and `planes` of each in front of the axes of a plane, in two axes or one. */
static bool fits(const atn_st_tensor *t, atn_idx steps, atn_idx planes,
                 const atn_idx *plane, int rank)
{
    atn_idx want[2 + AXES_MOST] = {steps, planes};

    memcpy(want + 2, plane, (size_t)rank * sizeof *plane);
    if (atn_same_shape(t->shape, t->rank, want, 2 + rank)) return true;
    want[1] *= steps;
    return atn_same_shape(t->shape, t->rank, want + 1, 1 + rank);
}

static void refuse_shape(atn_given *g, const atn_idx *want, int rank, const char *axes,
                         const char *more)
{
    char is[SHAPE_TEXT], wanted[SHAPE_TEXT];

    atn_shape_text(g->tensor->shape, g->tensor->rank, is, sizeof is);
    atn_shape_text(want, rank, wanted, sizeof wanted);
    g->state = ATN_GIVEN_REFUSED;
    snprintf(g->why, sizeof g->why, "is %s, wanted is %s: %s%s", is, wanted, axes,
             more);
}

static void check_place_shape(const atn_run_shape *r, const atn_place *p,
                              atn_idx layers, atn_given *g)
{
    static const char *const axes[] = {"layers, tokens, width",
                                       "layers, heads, tokens, numbers of a head",
                                       "layers, heads, queries, keys"};
    const bool stacked = g->layer < 0, hidden = g->stage == ATN_STAGE_HIDDEN;
    const atn_idx own = has_kv_heads(g->stage) ? p->kv_heads : p->heads,
                  steps = stacked ? r->steps : 1, most = stacked ? layers + hidden : 1;
    atn_idx want[1 + AXES_MOST] = {steps * layers};
    char more[64] = "";
    int rank;

    for (atn_idx heads = own; heads <= p->heads; heads += ATN_MAX(p->heads - own, 1))
        for (atn_idx planes = stacked ? layers : 1; planes <= most; planes++) {
            rank = plane_shape(p, g->stage, heads, r->m->config.width, want + 1);
            g->planes = planes;
            g->times = heads / own;
            if (fits(g->tensor, steps, planes, want + 1, rank)) return;
        }
    rank = plane_shape(p, g->stage, own, r->m->config.width, want + 1);
    if (own < p->heads)
        snprintf(more, sizeof more, ", or %lld heads", (long long)p->heads);
    refuse_shape(g, want + !stacked, rank + stacked,
                 axes[rank == 2                    ? 0
                      : g->stage == ATN_STAGE_ATTN ? 2
                                                   : 1] +
                     (stacked ? 0 : strlen("layers, ")),
                 more);
}

static void check_end_shape(const atn_run_shape *r, atn_given *g)
{
    const bool loss = g->stage == ATN_STAGE_LOSS;
    const atn_idx want[2] = {loss ? 1 : r->rows, loss ? 1 : r->cols};

    g->planes = g->times = 1;
    if (atn_same_shape(g->tensor->shape, g->tensor->rank, want, 2)) return;
    if (loss && atn_same_shape(g->tensor->shape, g->tensor->rank, &r->predicted, 1))
        return;
    if (loss)
        refuse_shape(g, want, 1,
                     "the mean over the tokens, or a number for each predicted", "");
    else
        refuse_shape(g, want, 2, "tokens, vocabulary (or classes)", "");
}

/* ---- what a tensor is ---- */

/* The place of a stack and layer (-1 = the first), and how many layers the stack has. */
static const atn_place *place_of(const atn_run_shape *r, const char *stack,
                                 atn_idx layer, atn_idx *layers)
{
    const atn_config *c = &r->m->config;
    const atn_place *found = NULL;

    *layers = 0;
    for (atn_idx i = 0; i < r->n; i++) {
        const atn_place *p = &r->places[i];
        /* an encoder that runs without its decoder */
        const bool alone =
            !*p->stack && c->n_stacks > 1 && strcmp(stack, c->stacks[0].name) == 0;

        if (p->step > 0 || (strcmp(stack, p->stack) != 0 && !alone)) continue;
        *layers = ATN_MAX(*layers, p->layer + 1);
        if (!found && (layer < 0 || layer == p->layer)) found = p;
    }
    return found;
}

static void take_end(const atn_run_shape *r, const parts *name, atn_given *g)
{
    const bool there = g->stage == ATN_STAGE_LOSS ? r->predicted > 0 : r->rows > 0;

    g->stack = "";
    if (!is_stack(name->stack)) return;
    if (*name->stack || name->layer >= 0)
        snprintf(g->why, sizeof g->why, "logits and loss have no stack or layer");
    else if (!there)
        snprintf(g->why, sizeof g->why, "this run has no %s%s",
                 atn_stage_names[g->stage],
                 r->m->config.n_stacks > 1 ? " (the dump lacks target_ids)" : "");
    else
        g->state = ATN_GIVEN_READ;
    if (g->state == ATN_GIVEN_READ) check_end_shape(r, g);
}

static void take_place(const atn_run_shape *r, const parts *name, atn_given *g)
{
    const atn_config *c = &r->m->config;
    atn_idx layers = 0;
    const atn_place *p = place_of(r, name->stack, name->layer, &layers);

    if (p) {
        g->stack = p->stack;
        g->layer = name->layer;
        g->state = ATN_GIVEN_READ;
        check_place_shape(r, p, layers, g);
        return;
    }
    if (layers > 0 && g->stage == ATN_STAGE_HIDDEN && name->layer == layers)
        return; /* the state behind the last */
    if (layers > 0)
        snprintf(g->why, sizeof g->why, "the model has the layers 0 to %lld",
                 (long long)layers - 1);
    else if (c->n_stacks < 2)
        snprintf(g->why, sizeof g->why, "this model has one stack, without a name");
    else if (!*name->stack)
        snprintf(g->why, sizeof g->why,
                 "of which stack is it: encoder.NAME, decoder.NAME, cross.NAME?");
    else if (*r->places[0].stack)
        snprintf(g->why, sizeof g->why, "the stacks are encoder, decoder and cross");
    else
        snprintf(g->why, sizeof g->why,
                 "the encoder alone runs: the dump lacks target_ids");
}

static void check_type(atn_given *g)
{
    const atn_st_tensor *t = g->tensor;

    if (t->loadable && t->type != ATN_I32 && t->type != ATN_I64 && t->type != ATN_U8)
        return;
    g->state = ATN_GIVEN_REFUSED;
    snprintf(g->why, sizeof g->why, "is %s; wanted F32, F16, BF16 or F64", t->dtype);
}

void atn_given_take(const atn_run_shape *r, const char *name, const atn_st_tensor *t,
                    atn_given *out)
{
    const parts part = split(name);
    const int stage = stage_of(part.base);
    const char *meant;

    *out = (atn_given){.tensor = t, .layer = -1, .stack = ""};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (is_input(r, name)) {
        out->state = ATN_GIVEN_INPUT;
        return;
    }
    if (stage < 0 && is_stack(part.stack)) {
        meant = near_stage(part.base);
        if (meant) snprintf(out->why, sizeof out->why, "is it \"%s\"?", meant);
    }
    if (stage < 0) return;
    out->stage = (atn_stage)stage;
    if (stage == ATN_STAGE_LOGITS || stage == ATN_STAGE_LOSS)
        take_end(r, &part, out);
    else
        take_place(r, &part, out);
    if (out->state == ATN_GIVEN_READ) check_type(out);
}

atn_given *atn_given_find(const atn_doctor *d, const char *stack, atn_stage stage,
                          atn_idx layer)
{
    atn_given *of_layer = NULL;

    for (atn_idx i = 0; i < d->n_given; i++) {
        atn_given *g = &d->given[i];

        if (g->state != ATN_GIVEN_READ || g->stage != stage ||
            strcmp(g->stack, stack) != 0)
            continue;
        if (g->layer < 0) return g;
        if (g->layer == layer && !of_layer) of_layer = g;
    }
    return of_layer;
}
