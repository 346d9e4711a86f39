/* bench/bench_similarity.c -- layer similarity against its floor.
 *
 * Four similarities: row production of every head plus two SYRKs over the same tiles, rows of
 * the operand padded off the powers of two, with the same number of threads. copy_err of all
 * pairs: what it adds to the similarities, against its bare GEMMs, P_l V_l' and (. - .) W_O.
 * Floors are the best of several tile heights; every time is the best of BEST.
 * Usage: bench_similarity [n [layers [heads]]], default 2048 12 12, d = 64.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "analysis/similarity.h"
#include "core/rng.h"
#include "core/rows.h"

enum { D = 64, TILE_MAX = 64, LD_PAD = 16, BEST = 3 };

typedef struct bench {
    const atn_problem *layers;
    const float *const *w_o;
    atn_idx n_layers, heads, n;
    atn_idx rows; /* of a tile of the floor */
} bench;

/* P of all heads of one row tile, then two SYRKs. */
static atn_status gram_tile(atn_ctx *cx, atn_idx i, void *state)
{
    const bench *b = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = b->n_layers * b->heads, keys = (i + 1) * b->rows,
                  ld = b->rows * keys + LD_PAD;
    atn_status st = ATN_OK;
    atn_row_info info[TILE_MAX];
    float *x = NULL, *gram = NULL;

    ATN_TAKE(x, m * ld);
    ATN_TAKE(gram, m * m);
    for (atn_idx a = 0; a < m; a++) {
        const atn_head h = atn_problem_head(&b->layers[a / b->heads], a % b->heads);
        const atn_tile t = atn_tile_of(&h, i * b->rows, b->rows);
        const atn_mat p = {x + a * ld, b->rows, keys, keys};

        ATN_TRY(atn_rows_fill(cx, &h, &t, p, info));
    }
    for (int twice = 0; twice < 2; twice++)
        atn_syrk(1, (atn_cmat){x, m, b->rows * keys, ld}, 0, (atn_mat){gram, m, m, m});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The GEMMs of copy_err on one row tile, of zeros: the numbers do not matter. */
static atn_status copy_tile(atn_ctx *cx, atn_idx i, void *state)
{
    const bench *b = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = b->n_layers * b->heads, keys = (i + 1) * b->rows,
                  width = b->heads * D, all = b->n_layers * D;
    atn_status st = ATN_OK;
    float *p = NULL, *v = NULL, *o = NULL, *y = NULL;

    ATN_TAKE(p, b->rows * keys);
    ATN_TAKE(v, keys * all);
    ATN_TAKE(o, m * b->rows * all);
    ATN_TAKE(y, b->n_layers * b->rows * width);
    memset(p, 0, (size_t)(b->rows * keys) * sizeof *p);
    memset(v, 0, (size_t)(keys * all) * sizeof *v);
    for (atn_idx a = 0; a < m; a++)
        atn_gemm(false, 1, (atn_cmat){p, b->rows, keys, keys},
                 (atn_cmat){v, keys, all, all}, 0,
                 (atn_mat){o + a * b->rows * all, b->rows, all, all});
    for (atn_idx f = 0; f < b->n_layers; f++)
        atn_gemm(false, 1, (atn_cmat){o, b->n_layers * b->rows, width, width},
                 (atn_cmat){b->w_o[f], width, width, width}, 0,
                 (atn_mat){y, b->n_layers * b->rows, width, width});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double time_floor(atn_ctx *cx, bench *b, atn_task *tile)
{
    double best = INFINITY;

    for (b->rows = 16; b->rows <= TILE_MAX; b->rows *= 2)
        for (int i = 0; i < BEST; i++) {
            const double start = atn_seconds();

            if (atn_parallel(cx, b->n / b->rows, tile, b, "floor") != ATN_OK) exit(2);
            best = fmin(best, atn_seconds() - start);
        }
    return best;
}

static double time_similarity(atn_ctx *cx, const bench *b, bool copy)
{
    double best = INFINITY;
    atn_similarity_opts opts;

    atn_similarity_defaults(&opts);
    opts.copy_err = copy;
    for (int i = 0; i < BEST; i++) {
        const double start = atn_seconds();
        atn_similarity_part part;

        if (atn_similarity_compare(cx, b->layers, (int)b->n_layers, NULL, b->w_o,
                                   b->heads * D, &opts, &part) != ATN_OK) {
            fprintf(stderr, "%s\n", cx->err.text);
            exit(2);
        }
        best = fmin(best, atn_seconds() - start);
        atn_similarity_part_release(cx, &part);
    }
    return best;
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

static atn_problem random_layer(atn_ctx *cx, int l, atn_idx heads, atn_idx n)
{
    return (atn_problem){.layer = l,
                         .heads = heads,
                         .kv_heads = heads,
                         .nq = n,
                         .nk = n,
                         .d = D,
                         .dv = D,
                         .scale = 1 / sqrt(D),
                         .sight = {.causal = true, .key_last = n},
                         .q = noise(cx, 4 * l, heads * n * D, 2),
                         .k = noise(cx, 4 * l + 1, heads * n * D, 2),
                         .v = noise(cx, 4 * l + 2, heads * n * D, 1)};
}

static void report(atn_ctx *cx, bench *b)
{
    const double grams = time_floor(cx, b, gram_tile);
    const double four = time_similarity(cx, b, false);
    const double gemms = time_floor(cx, b, copy_tile);
    const double copy = time_similarity(cx, b, true) - four;
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("%lld layers x %lld heads, n %lld, d %d, causal, %d threads, best of %d\n",
           (long long)b->n_layers, (long long)b->heads, (long long)b->n, D, cx->threads,
           BEST);
    printf("rows + two SYRKs                 %8.3f s\n", grams);
    printf("four similarities                %8.3f s   ratio %.3f\n", four,
           four / grams);
    printf("copy_err's own GEMMs             %8.3f s\n", gemms);
    printf("copy_err against its own GEMMs   %8.3f s   ratio %.3f\n", copy,
           copy / gemms);
    printf("peak memory                      %8.1f MiB (inputs %.1f)\n",
           (double)usage.ru_maxrss / 1024,
           (double)b->n_layers * (double)b->heads *
               (3. * (double)b->n * D + (double)b->heads * D * D) * 4 / 1048576);
}

int main(int argc, char **argv)
{
    const atn_idx n = (argc > 1 ? atoll(argv[1]) : 2048) / TILE_MAX * TILE_MAX;
    const atn_idx n_layers = argc > 2 ? atoll(argv[2]) : 12,
                  heads = argc > 3 ? atoll(argv[3]) : 12;
    atn_problem *layers;
    const float **w_o;
    bench b;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    layers = atn_alloc(&cx, n_layers, sizeof *layers);
    w_o = atn_alloc(&cx, n_layers, sizeof *w_o);
    if (!layers || !w_o) return 71;
    for (int l = 0; l < n_layers; l++) {
        layers[l] = random_layer(&cx, l, heads, n);
        w_o[l] = noise(&cx, 4 * l + 3, heads * D * heads * D, .05);
    }
    b = (bench){layers, w_o, n_layers, heads, n, 0};
    report(&cx, &b);
    return 0;
}
