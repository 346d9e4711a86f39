/* analysis/export_minference.c -- the best shape of every head, as MInference reads
 * it; see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/export.h"
#include "analysis/vertical_slash.h"
#include "core/io/file.h"

enum { LAST_ROWS = 64, FORCED = 30, SKIP = 2500, A_SHAPE = 0, CANDIDATES = 5 };
static const atn_idx candidates[CANDIDATES][2] = {
    {100, 800}, {30, 800}, {100, 750}, {500, 700}, {3500, 100}};
static const char *const types[2] = {"stream_llm", "vertical_and_slash"};

typedef struct found {
    int which;
    atn_idx v, s;
    double share;
} found;

/* Layers 0, 1, .. of one stack and step with all heads: the list has no numbers. */
static atn_status check_whole(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(c, sel->at[i]),
                             *first = atn_capture_layer(c, sel->at[0]);

        if (strcmp(l->stack, first->stack) != 0 || l->step != first->step)
            ATN_FAIL(ATN_USAGE,
                     "export: a MInference configuration is of one stack and "
                     "step (choose them with --stack and --steps)");
        if (l->layer != i || atn_selection_heads(sel, i) != l->heads)
            ATN_FAIL(
                ATN_USAGE,
                "export: a MInference configuration is a list of all layers from 0 "
                "on with all their heads, and layer %d of them is not chosen or "
                "not captured",
                l->layer != i ? i : l->layer);
        if (!l->sight.causal)
            ATN_FAIL(ATN_DATA,
                     "export: %s is not causal, and MInference is of causal heads",
                     atn_layer_name(l).text);
    }
done:
    return st;
}

static atn_idx scaled(double ratio, atn_idx size)
{
    return (atn_idx)fmin(fmax((double)size * ratio, 1), 1 << 30);
}

static atn_status search(atn_ctx *cx, const atn_head *h, double ratio, found *out)
{
    const atn_idx skip = ATN_MIN((atn_idx)SKIP, h->nq / 2);
    atn_slash_pattern patterns[CANDIDATES];
    atn_slash_lists lists = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_slash_lists_make(cx, h, ATN_MAX(h->nq - LAST_ROWS, 0), FORCED, &lists));
    for (int c = 0; c < CANDIDATES; c++)
        patterns[c] = (atn_slash_pattern){.lists = c == A_SHAPE ? NULL : &lists,
                                          .verticals = scaled(ratio, candidates[c][0]),
                                          .slashes = scaled(ratio, candidates[c][1])};
    ATN_TRY(atn_slash_retained(cx, h, skip, patterns, CANDIDATES));
    *out = (found){.share = -1};
    for (int c = 0; c < CANDIDATES; c++) {
        const double mass = isnan(patterns[c].mass) ? 0 : patterns[c].mass;

        if (mass <= out->share) continue;
        *out = (found){c, patterns[c].verticals, patterns[c].slashes, mass};
    }
done:
    atn_slash_lists_release(cx, &lists);
    return st;
}

static atn_status write_layer(atn_ctx *cx, const atn_capture *c, int at,
                              const atn_export_opts *o, atn_export_result *r, FILE *out)
{
    atn_status st = ATN_OK;
    atn_problem p = {0};

    ATN_TRY(atn_capture_load(cx, c, at, &p));
    for (atn_idx h = 0; h < p.heads; h++) {
        const atn_head head = atn_problem_head(&p, h);
        found f;

        ATN_TRY(search(cx, &head, o->ratio, &f));
        fprintf(out, "%s\"%lld\": [\"%s\", %lld, %lld, %.9g]", h ? ", " : "{",
                (long long)h, types[f.which != A_SHAPE], (long long)f.v, (long long)f.s,
                f.share);
        r->score += f.share;
        r->whole |= scaled(o->ratio, candidates[CANDIDATES - 1][0]) >= p.nk;
    }
    fputs("}", out);
    r->heads = ATN_MAX(r->heads, p.heads);
done:
    atn_capture_unload(cx, &p);
    return st;
}

atn_status atn_export_minference(atn_ctx *cx, const atn_capture *c,
                                 const atn_selection *sel, const atn_export_opts *o,
                                 atn_export_result *r)
{
    atn_status st = ATN_OK;
    atn_out out = {0};

    *r = (atn_export_result){.layers = sel->n, .files = 1};
    ATN_TRY(check_whole(cx, c, sel));
    if (o->dry) {
        r->bytes = 64.0 * (double)sel->n_heads;
        goto done;
    }
    ATN_TRY(atn_out_open(cx, o->path, o->force, &out));
    for (int i = 0; i < sel->n; i++) {
        ATN_TRY(atn_progress(cx, "searching shapes", i, sel->n));
        fputs(i ? ", " : "[", out.file);
        ATN_TRY(write_layer(cx, c, sel->at[i], o, r, out.file));
    }
    fputs("]\n", out.file);
    r->score /= (double)sel->n_heads;
    r->bytes = (double)ftello(out.file);
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}
