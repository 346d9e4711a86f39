/* analysis/similarity_capture.c -- similarity of the layers of a capture.
 *
 * The selected layers are compared within their stack and step; each such part is
 * loaded whole, after its memory has been added up from the manifest.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "analysis/keys.h"
#include "analysis/similarity.h"

typedef struct part_input {
    const atn_capture *capture;
    const atn_selection *sel;
    int first, n;       /* positions in the selection */
    atn_problem *layer; /* [n] */
    float **w_o;        /* [n] */
    atn_idx width;
    bool *keep; /* [n * heads] */
} part_input;

static const atn_layer_info *info_at(const part_input *in, int i)
{
    return atn_capture_layer(in->capture, in->sel->at[in->first + i]);
}

/* Problems with shapes and no data, for the sums that come before loading. */
static atn_problem shape_of(const atn_layer_info *i)
{
    const atn_problem p = {.layer = i->layer,
                           .heads = i->heads,
                           .kv_heads = i->kv_heads,
                           .nq = i->nq,
                           .nk = i->nk,
                           .d = i->d,
                           .dv = i->has_v ? i->dv : 0,
                           .scale = i->scale,
                           .sight = i->sight};

    return p;
}

static double input_bytes(const atn_layer_info *i, atn_idx width, bool copy_err)
{
    double floats = 0;

    if (i->has_qk)
        floats += (double)(i->heads * i->nq + i->kv_heads * i->nk) * (double)i->d;
    if (i->has_v) floats += (double)(i->kv_heads * i->nk) * (double)i->dv;
    if (i->has_p) floats += (double)i->heads * (double)i->nq * (double)i->nk;
    if (i->has_w_o && copy_err)
        floats +=
            (double)(i->heads * i->dv) * (double)(width > 0 ? width : i->heads * i->dv);
    return floats * sizeof(float);
}

/* keep rows as wide as the largest head count of this part. */
static atn_status make_keep(atn_ctx *cx, part_input *in)
{
    atn_status st = ATN_OK;
    atn_idx most = 0;

    for (int i = 0; i < in->n; i++) most = ATN_MAX(most, info_at(in, i)->heads);
    ATN_NEW(in->keep, in->n * most);
    for (int i = 0; i < in->n; i++)
        for (atn_idx h = 0; h < info_at(in, i)->heads; h++)
            in->keep[i * most + h] =
                !in->sel->heads ||
                in->sel->heads[(in->first + i) * in->sel->max_heads + h];
done:
    return st;
}

static atn_status check_memory(atn_ctx *cx, part_input *in,
                               const atn_similarity_opts *opts)
{
    atn_status st = ATN_OK;
    double bytes = 0;

    ATN_NEW(in->layer, in->n);
    ATN_TRY(make_keep(cx, in));
    for (int i = 0; i < in->n; i++) in->layer[i] = shape_of(info_at(in, i));
    ATN_TRY(
        atn_similarity_bytes(cx, in->layer, in->n, in->keep, in->width, opts, &bytes));
    for (int i = 0; i < in->n; i++)
        bytes += input_bytes(info_at(in, i), in->width, opts->copy_err);
    ATN_TRY(atn_mem_check(cx, bytes, "similarity with its inputs"));
done:
    atn_free(cx, in->layer);
    atn_free(cx, in->keep);
    return st;
}

static atn_status load_w_o(atn_ctx *cx, part_input *in, int i)
{
    const atn_layer_info *info = info_at(in, i);
    atn_idx shape[ATN_ST_MAX_RANK] = {0};
    atn_status st = ATN_OK;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, in->capture, in->sel->at[in->first + i], "w_o",
                               &in->w_o[i], &rank, shape));
    if (!in->w_o[i]) goto done;
    if (rank != 2 || shape[0] != info->heads * info->dv)
        ATN_FAIL(ATN_DATA,
                 "%s: w_o of layer %d has %lld rows in %d dimensions, but H dv = "
                 "%lld by D is needed (write it again, or drop it)",
                 info->file, info->layer, (long long)shape[0], rank,
                 (long long)(info->heads * info->dv));
    if (in->width > 0 && shape[1] != in->width)
        ATN_FAIL(ATN_DATA,
                 "%s: w_o of layer %d has %lld columns, but the model's width is "
                 "%lld (all layers need the same)",
                 info->file, info->layer, (long long)shape[1], (long long)in->width);
    in->width = shape[1];
done:
    return st;
}

static const char *common_pattern(const part_input *in)
{
    const char *pattern = atn_layer_pattern(info_at(in, 0));

    for (int i = 1; i < in->n; i++)
        if (strcmp(atn_layer_pattern(info_at(in, i)), pattern) != 0) return "mixed";
    return pattern;
}

static atn_status run_part(atn_ctx *cx, part_input *in, const atn_similarity_opts *opts,
                           atn_similarity_part *part)
{
    const atn_layer_info *first = info_at(in, 0);
    atn_status st = ATN_OK;

    ATN_NEW(in->layer, in->n);
    ATN_NEW(in->w_o, in->n);
    ATN_TRY(make_keep(cx, in));
    for (int i = 0; i < in->n; i++) {
        ATN_TRY(atn_progress(cx, "loading", i, in->n));
        ATN_TRY(atn_capture_load(cx, in->capture, in->sel->at[in->first + i],
                                 &in->layer[i]));
        if (opts->copy_err && info_at(in, i)->has_w_o) ATN_TRY(load_w_o(cx, in, i));
    }
    ATN_TRY(atn_similarity_compare(cx, in->layer, in->n, in->keep,
                                   (const float *const *)in->w_o, in->width, opts,
                                   part));
    atn_free(cx, part->stack);
    part->step = first->step;
    part->pattern = common_pattern(in);
    part->stack = atn_strdup(cx, first->stack);
    if (!part->stack) ATN_TRY(cx->err.code);
done:
    for (int i = 0; in->layer && i < in->n; i++) atn_capture_unload(cx, &in->layer[i]);
    for (int i = 0; in->w_o && i < in->n; i++) atn_free(cx, in->w_o[i]);
    atn_free(cx, in->layer);
    atn_free(cx, in->w_o);
    atn_free(cx, in->keep);
    return st;
}

static part_input part_at(const atn_capture *c, const atn_selection *sel, int first)
{
    const int end = atn_selection_part(c, sel, first);

    return (part_input){.capture = c,
                        .sel = sel,
                        .first = first,
                        .n = end - first,
                        .width = atn_capture_model(c)->width};
}

atn_status atn_similarity_check(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel,
                                const atn_similarity_opts *opts)
{
    atn_status st = ATN_OK;
    part_input in;

    for (int i = 0; i < sel->n; i += in.n) {
        in = part_at(c, sel, i);
        ATN_TRY(check_memory(cx, &in, opts));
    }
done:
    return st;
}

atn_status atn_similarity_run(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_similarity_opts *opts,
                              atn_similarity *out)
{
    atn_status st = ATN_OK;
    part_input in;

    *out = (atn_similarity){.many_stacks = sel->many_stacks,
                            .many_steps = sel->many_steps,
                            .model = *atn_capture_model(c),
                            .opts = *opts};
    if (sel->n < 1)
        ATN_FAIL(ATN_USAGE, "similarity: no layer is selected (see --layers)");
    ATN_TRY(atn_similarity_check(cx, c, sel, opts));
    ATN_NEW(out->part, sel->n);
    for (int i = 0; i < sel->n; i += in.n) {
        in = part_at(c, sel, i);
        out->parts++;
        ATN_TRY(run_part(cx, &in, opts, &out->part[out->parts - 1]));
    }
done:
    if (st != ATN_OK) atn_similarity_release(cx, out);
    return st;
}
