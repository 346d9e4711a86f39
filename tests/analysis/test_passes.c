/* tests/analysis/test_passes.c -- measures walk over the rows as often as they say. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "stored_model.h"

#include "analysis/stats.h"
#include "core/backend.h"

enum { L = 2, H = 4, N = 37, D = 4 };

/* Rows that were filled or walked over; what symmetry takes of logits is not among them. */
static long long counted;

static atn_status count_fill(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                             atn_mat out, atn_row_info *info)
{
#pragma omp atomic
    counted += t->rows;
    return atn_backend_cpu.rows_fill(cx, h, t, out, info);
}

static atn_status count_values(atn_ctx *cx, const atn_head *heads, atn_idx n,
                               const atn_row_want *want, atn_row_out *out)
{
    for (atn_idx h = 0; h < n; h++) counted += heads[h].nq;
    return atn_backend_cpu.row_values(cx, heads, n, want, out);
}

static void make_model(atn_ctx *cx, stored_model *m, const char *name)
{
    *m = (stored_model){.layers = L};
    for (int l = 0; l < L; l++)
        m->layer[l] = (stored_layer){.heads = H,
                                     .kv_heads = H,
                                     .nq = N,
                                     .nk = N,
                                     .d = D,
                                     .dv = D,
                                     .scale = .5,
                                     .sight = {.causal = true, .key_last = N},
                                     .q = stored_noise(H * N * D, 10 * l, 1),
                                     .k = stored_noise(H * N * D, 10 * l + 1, 1),
                                     .v = stored_noise(H * N * D, 10 * l + 2, 1),
                                     .w_o = stored_noise(H * D * H * D, 10 * l + 3, 1),
                                     .h = stored_noise(N * H * D, 10 * l + 4, 1),
                                     .width = H * D};
    store_model(cx, m, name);
}

static void drop_model(atn_ctx *cx, stored_model *m)
{
    drop_stored(cx, m);
    for (int l = 0; l < L; l++) {
        const stored_layer *s = &m->layer[l];
        const float *const x[] = {s->q, s->k, s->v, s->w_o, s->h};

        for (int i = 0; i < 5; i++) free((void *)x[i]);
    }
}

static double walks(atn_ctx *cx, const stored_model *m, const char *spec, int sample)
{
    const atn_stats_opts opts = {.measures = spec, .sample = sample};
    atn_stats *s = NULL;

    counted = 0;
    CHECK_OK(atn_stats_run(cx, m->capture, &m->selection, &opts, &s));
    atn_stats_destroy(cx, s);
    return (double)counted / (L * H * N);
}

static void as_often_as_said(atn_ctx *cx)
{
    static const char *const more[] = {
        "rollout:residual=measured", "flow:residual=measured",
        "horizon:residual=measured", "rank:dense=1",
        "symmetry:identity=true",    "ssa:group=true"};
    atn_backend backend = atn_backend_cpu;
    stored_model m;

    backend.rows_fill = count_fill;
    backend.row_values = count_values;
    cx->backend = &backend;
    make_model(cx, &m, "passes");
    for (int i = 0; atn_measures[i]; i++)
        for (int e = -1; e < (int)ATN_LEN(more); e++) {
            const atn_measure *a = atn_measures[i];
            const size_t n = strlen(a->id);
            const char *spec = e < 0 ? a->id : more[e];
            int most = a->passes + ((a->wants & ATN_WANT_OUT) != 0);

            if (e >= 0 && (strncmp(spec, a->id, n) != 0 || spec[n] != ':')) continue;
            if (!a->layer && !a->model) most = 1;
            print_message("%s: at most %d\n", spec, most);
            CHECK_LE(walks(cx, &m, spec, 0), most);
            CHECK_LE(walks(cx, &m, spec, 8), most);
        }
    CHECK_NEAR(walks(cx, &m, "rollout", 0), 1, 0);
    CHECK_NEAR(walks(cx, &m, "rollout:residual=measured", 0), 2, 0);
    CHECK_NEAR(walks(cx, &m, "rank:dense=1", 0), 4, 0);
    CHECK_NEAR(walks(cx, &m, "vertical_slash", 0), 3, 0); /* all rows are the last 64 */
    drop_model(cx, &m);
}

CHECK_MAIN({"as often as said", as_often_as_said})
