/* analysis/layer_facts.c -- gathers what layer measures want of one captured layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/layer_facts.h"

#include <string.h>

#include "core/rows.h"

typedef struct outputs {
    const atn_head *heads;
    float *out;
} outputs;

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const outputs *o = state;
    const atn_idx dv = h->v.cols;
    float *rows = o->out + ((h - o->heads) * h->nq + t->first) * dv;
    const atn_mat out = {rows, t->rows, dv, dv};

    (void)cx;
    (void)info;
    if (t->keys == 0) return ATN_OK; /* zero already */
    atn_gemm(false, 1, (atn_cmat){p.data, t->rows, t->keys, p.ld},
             (atn_cmat){atn_crow(h->v, t->key0), t->keys, dv, h->v.ld}, 0, out);
    return ATN_OK;
}

atn_status atn_outputs(atn_ctx *cx, const atn_head *heads, atn_idx n_heads, float *out)
{
    outputs o = {heads, out};

    return atn_rows_stream(cx, heads, n_heads, visit, &o, "outputs");
}

atn_status atn_layer_tensor(atn_ctx *cx, const atn_layer_facts *f, const char *name,
                            atn_idx rows, const float **out, atn_idx *cols)
{
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    float *data = NULL;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, f->capture, f->at, name, &data, &rank, shape));
    if (data && (rank != 2 || shape[0] != rows))
        ATN_FAIL(
            ATN_DATA, "layer %d: \"%s\" has rank %d and %lld rows, not rank 2 and %lld",
            (int)f->problem->layer, name, rank, (long long)shape[0], (long long)rows);
    *out = data;
    if (data) *cols = shape[1];
    data = NULL;
done:
    atn_free(cx, data);
    return st;
}

/* The tensor, or nothing where it holds no numbers and that is forgiven. */
static atn_status sound_tensor(atn_ctx *cx, atn_layer_facts *f, const char *name,
                               atn_idx rows, bool strict, const float **out,
                               atn_idx *cols)
{
    const atn_status st = atn_layer_tensor(cx, f, name, rows, out, cols);

    if (st != ATN_DATA || strict) return st;
    atn_err_forgive(cx);
    f->damaged = true;
    *out = NULL;
    return ATN_OK;
}

const int32_t *atn_layer_token_ids(const atn_capture *c, int at)
{
    atn_tokens queries, keys;

    atn_capture_layer_tokens(c, at, &queries, &keys);
    return atn_capture_layer(c, at)->sight.cross ? NULL : keys.ids;
}

atn_status atn_layer_facts_load(atn_ctx *cx, const atn_capture *c, int at,
                                const atn_problem *p, const atn_layer_wants *wants,
                                atn_layer_facts *out)
{
    atn_status st = ATN_OK;
    float *v = NULL;

    *out = (atn_layer_facts){.problem = p,
                             .head = wants->head,
                             .heads = p->heads,
                             .keep = wants->keep,
                             .skip_rows = wants->skip_rows,
                             .tokens = atn_layer_token_ids(c, at),
                             .capture = c,
                             .at = at};
    if (wants->wants & ATN_WANT_W_O)
        ATN_TRY(sound_tensor(cx, out, "w_o", p->heads * p->dv, wants->strict, &out->w_o,
                             &out->width));
    if (wants->wants & ATN_WANT_HIDDEN)
        ATN_TRY(sound_tensor(cx, out, "h", p->nq, wants->strict, &out->hidden,
                             &out->hidden_width));
    if ((wants->wants & ATN_WANT_OUT) && p->v) {
        const atn_idx nq = wants->head[0].nq;

        ATN_TRY(atn_mem_check(cx, 4.0 * (double)p->heads * (double)nq * (double)p->dv,
                              "head outputs"));
        ATN_NEW(v, p->heads * nq * p->dv);
        out->out = v;
        ATN_TRY(atn_outputs(cx, wants->head, p->heads, v));
    }
done:
    return st;
}

void atn_layer_facts_release(atn_ctx *cx, atn_layer_facts *f)
{
    atn_free(cx, (void *)f->w_o);
    atn_free(cx, (void *)f->hidden);
    atn_free(cx, (void *)f->out);
    *f = (atn_layer_facts){0};
}

atn_status atn_layer_gradient(atn_ctx *cx, const atn_layer_facts *f, float **out)
{
    const atn_problem *p = f->problem;
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    float *d_o = NULL;
    int rank = 0;

    *out = NULL;
    if (!f->capture) return ATN_OK;
    ATN_TRY(atn_capture_tensor(cx, f->capture, f->at, "d_o", &d_o, &rank, shape));
    if (d_o &&
        (rank != 3 || shape[0] != p->heads || shape[1] != p->nq || shape[2] != p->dv))
        ATN_FAIL(
            ATN_DATA,
            "layer %d: \"d_o\" is not of shape [%lld, %lld, %lld], like the heads' "
            "outputs",
            p->layer, (long long)p->heads, (long long)p->nq, (long long)p->dv);
    *out = d_o;
    d_o = NULL;
done:
    atn_free(cx, d_o);
    return st;
}

bool atn_layer_is_self(const atn_layer_facts *f)
{
    const atn_problem *p = f->problem;

    if (f->capture && strcmp(atn_capture_layer(f->capture, f->at)->stack, "cross") == 0)
        return false;
    return p->sight.causal || p->nq == p->nk;
}

atn_layer_label atn_layer_facts_name(const atn_layer_facts *f)
{
    const atn_layer_info bare = {.layer = f->problem->layer, .stack = ""};

    return atn_layer_name(f->capture ? atn_capture_layer(f->capture, f->at) : &bare);
}

const char *atn_layer_facts_lack(const atn_layer_facts *f, unsigned wants)
{
    if ((wants & (ATN_WANT_V | ATN_WANT_OUT)) && !f->problem->v) return "values (v)";
    if ((wants & ATN_WANT_QK) && !f->problem->q) return "queries and keys (q, k)";
    if ((wants & ATN_WANT_HIDDEN) && !f->hidden)
        return "layer inputs (h; capture with --save h)";
    if ((wants & ATN_WANT_TOKENS) && !f->tokens) return "token ids";
    return NULL;
}

atn_idx atn_layer_first_row(const atn_layer_facts *f)
{
    const atn_head *h = &f->head[0];
    atn_idx i = 0;

    while (i < h->nq && atn_sight_query(&h->sight, i) < f->skip_rows) i++;
    return i;
}
