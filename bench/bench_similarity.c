/* bench/bench_similarity.c -- layer similarity against its floor.
 *
 * Four similarities: row production of every head plus two SYRKs over the same tiles, with the
 * same number of threads. copy_err of all pairs: the bare GEMMs P_l V_l' and (. - .) W_O over
 * the same tiles. Usage: bench_similarity [n [layers [heads]]], default 2048 12 12, d = 64.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "analysis/similarity.h"
#include "bench/clock.h"
#include "core/rng.h"
#include "core/rows.h"

enum { D = 64, TILE = 32 };

typedef struct floor_job {
    const atn_problem *layers;
    const float *const *w_o;
    atn_idx n_layers, heads, n;
    bool copy;
} floor_job;

/* P of all heads of one row tile, then two SYRKs, or the GEMMs of copy_err. */
static atn_status floor_tile(atn_ctx *cx, atn_idx i, void *state)
{
    const floor_job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = j->n_layers * j->heads, keys = (i + 1) * TILE,
                  width = j->heads * D;
    atn_status st = ATN_OK;
    atn_row_info info[TILE];
    float *x = NULL, *gram = NULL, *o = NULL, *y = NULL, *v = NULL;

    ATN_TAKE(x, m * TILE * keys);
    ATN_TAKE(gram, m * m);
    for (atn_idx a = 0; a < m; a++) {
        const atn_head h = atn_problem_head(&j->layers[a / j->heads], a % j->heads);
        const atn_tile t = atn_tile_of(&h, i * TILE, TILE);
        const atn_mat p = {x + a * TILE * keys, TILE, keys, keys};

        ATN_TRY(atn_rows_fill(cx, &h, &t, p, info));
    }
    if (!j->copy) {
        const atn_cmat all = {x, m, TILE * keys, TILE * keys};
        const atn_mat g = {gram, m, m, m};

        atn_syrk(1, all, 0, g);
        atn_syrk(1, all, 0, g);
        goto done;
    }
    ATN_TAKE(o, j->n_layers * TILE * width * j->n_layers);
    ATN_TAKE(y, TILE * width);
    ATN_TAKE(v, keys * j->n_layers * D);
    memset(v, 0, (size_t)(keys * j->n_layers * D) * sizeof *v);
    for (atn_idx a = 0; a < m; a++) {
        const atn_cmat p = {x + a * TILE * keys, TILE, keys, keys};
        const atn_cmat values = {v, keys, j->n_layers * D, j->n_layers * D};
        const atn_mat out = {o + a * TILE * j->n_layers * D, TILE, j->n_layers * D,
                             j->n_layers * D};

        atn_gemm(false, 1, p, values, 0, out);
    }
    for (atn_idx a = 0; a < j->n_layers; a++)
        for (atn_idx b = 0; b < j->n_layers; b++) {
            const atn_cmat head_out = {o + a * TILE * width, TILE, width, width};
            const atn_cmat w = {j->w_o[b], width, width, width};
            const atn_mat out = {y, TILE, width, width};

            atn_gemm(false, 1, head_out, w, 0, out);
        }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double time_floor(atn_ctx *cx, floor_job *j)
{
    const double start = bench_now();

    if (atn_parallel(cx, j->n / TILE, floor_tile, j, "floor") != ATN_OK) exit(2);
    return bench_now() - start;
}

static double time_similarity(atn_ctx *cx, const floor_job *j)
{
    const double start = bench_now();
    atn_similarity_opts opts;
    atn_similarity_part part;

    atn_similarity_defaults(&opts);
    opts.copy_err = j->copy;
    if (atn_similarity_compare(cx, j->layers, (int)j->n_layers, NULL, j->w_o,
                               j->heads * D, &opts, &part) != ATN_OK) {
        fprintf(stderr, "%s\n", cx->err.text);
        exit(2);
    }
    atn_similarity_part_release(cx, &part);
    return bench_now() - start;
}

static float *noise(atn_ctx *cx, int id, atn_idx n, double scale)
{
    float *x = atn_alloc(cx, n, sizeof *x);
    atn_rng r = atn_rng_stream(0, "bench/similarity", id, 0);

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++)
        x[i] = (float)(scale * (2 * atn_rng_uniform(&r) - 1));
    return x;
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 2048;
    const atn_idx n_layers = argc > 2 ? atoll(argv[2]) : 12,
                  heads = argc > 3 ? atoll(argv[3]) : 12;
    atn_problem *layers;
    const float **w_o;
    floor_job j;
    struct rusage usage;
    double base, mine, base_copy, mine_copy;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    layers = atn_alloc(&cx, n_layers, sizeof *layers);
    w_o = atn_alloc(&cx, n_layers, sizeof *w_o);
    if (!layers || !w_o) return 71;
    for (int l = 0; l < n_layers; l++) {
        layers[l] = (atn_problem){.layer = l,
                                  .heads = heads,
                                  .kv_heads = heads,
                                  .nq = n,
                                  .nk = n,
                                  .d = D,
                                  .dv = D,
                                  .scale = 1 / sqrt(D),
                                  .sight = {.causal = true, .key_last = n}};
        layers[l].q = noise(&cx, 4 * l, heads * n * D, 2);
        layers[l].k = noise(&cx, 4 * l + 1, heads * n * D, 2);
        layers[l].v = noise(&cx, 4 * l + 2, heads * n * D, 1);
        w_o[l] = noise(&cx, 4 * l + 3, heads * D * heads * D, .05);
    }
    j = (floor_job){layers, w_o, n_layers, heads, n / TILE * TILE, false};
    base = time_floor(&cx, &j);
    mine = time_similarity(&cx, &j);
    j.copy = true;
    base_copy = time_floor(&cx, &j);
    mine_copy = time_similarity(&cx, &j);
    getrusage(RUSAGE_SELF, &usage);
    printf("%lld layers x %lld heads, n %lld, d %d, causal, %d threads\n",
           (long long)n_layers, (long long)heads, (long long)n, D, cx.threads);
    printf("rows + two SYRKs          %8.3f s\n", base);
    printf("four similarities         %8.3f s   ratio %.3f\n", mine, mine / base);
    printf("rows + copy_err's GEMMs   %8.3f s\n", base_copy);
    printf("similarities + copy_err   %8.3f s   ratio to both floors %.3f\n", mine_copy,
           mine_copy / (base + base_copy));
    printf("peak memory               %8.1f MiB (inputs %.1f)\n",
           (double)usage.ru_maxrss / 1024,
           (double)n_layers * (double)heads *
               (3. * (double)n * D + (double)heads * D * D) * 4 / 1048576);
    return 0;
}
