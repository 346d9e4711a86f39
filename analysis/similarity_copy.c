/* analysis/similarity_copy.c -- what it costs to use another layer's attention matrix.
 *
 * Math    err(l -> l') = |(A - B) W|_F / |B W|_F with A = [P_l^h V_l'^h]_h, B the
 *         follower's own [P_l'^h V_l'^h]_h and W = W_O of l'. The values of all
 *         followers stand side by side, so one GEMM a (tile, leader, head) makes A for
 *         every follower; one GEMM a (tile, follower) multiplies the differences of all
 *         leaders with W.
 * Cost    2 nq nk L^2 H dv + 2 nq L^2 H dv D flop; a copy of V, and L^2 rows H dv
 *         floats a thread.
 * Limits  a row without weight is a row of zeros, and its output is 0.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity_internal.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { TILE_FLOATS = 16 << 20, ROWS_MAX = 64, ROWS_MIN = 8, GROUPS = 64 };

typedef struct job {
    const atn_sim_set *set;
    const atn_cmat *w_o;
    atn_idx rows, first_tile, tiles, groups;
    atn_idx heads, dv, width; /* width of the compared output */
    atn_idx packs;
    float *values;  /* [packs, nk, L dv] */
    atn_idx *pack;  /* [heads] */
    double *square; /* [groups, L, L] of differences; the diagonal of own outputs */
} job;

typedef struct scratch {
    float *p;       /* [rows, keys] */
    float *out;     /* [L leaders, rows, heads, L dv] */
    float *diff;    /* [L, rows, heads dv] */
    float *wide;    /* [L, rows, width] */
    double *square; /* [rows] lengths that nobody asks for */
    atn_row_info *info;
} scratch;

/* Query heads whose KV head is the same in every layer share one pack of values. */
static bool same_values(const atn_sim_set *set, atn_idx h)
{
    for (int l = 0; l < set->layers; l++) {
        const atn_head *a = &set->head[l * set->per_layer + h];
        if (a[0].kv_head != a[-1].kv_head) return false;
    }
    return true;
}

static atn_idx pack_count(const atn_sim_set *set)
{
    atn_idx n = 1;

    for (atn_idx h = 1; h < set->per_layer; h++) n += !same_values(set, h);
    return n;
}

atn_idx atn_sim_copy_rows(const atn_sim_set *set)
{
    const atn_head *h = &set->head[0];
    const double row =
        (double)set->layers * (double)set->m * (double)h->v.cols + (double)h->nk;

    return atn_sim_rows(set, row, TILE_FLOATS, ROWS_MIN, ROWS_MAX);
}

static double tile_bytes(const atn_sim_set *set, atn_idx width)
{
    const double rows = (double)atn_sim_copy_rows(set), l = set->layers;
    const double out = (double)set->per_layer * (double)set->head[0].v.cols;

    return rows *
           (4 * ((double)set->head[0].nk + l * (l + 1) * out + l * (double)width) +
            sizeof(double) + sizeof(atn_row_info));
}

double atn_sim_copy_bytes(const atn_ctx *cx, const atn_sim_set *set, atn_idx width)
{
    const double each = tile_bytes(set, width), l = set->layers;
    const atn_head *h = &set->head[0];

    return each * atn_sim_threads(cx, each) + 8 * l * l * (GROUPS + 1) +
           4 * (double)pack_count(set) * (double)h->nk * l * (double)h->v.cols;
}

static atn_status pack_values(atn_ctx *cx, job *j)
{
    const atn_sim_set *set = j->set;
    const atn_idx nk = set->head[0].nk, ld = set->layers * j->dv;
    atn_status st = ATN_OK;

    ATN_NEW(j->values, j->packs * nk * ld);
    ATN_NEW(j->pack, j->heads);
    for (atn_idx h = 0, at = 0; h < j->heads; h++) {
        if (h > 0 && !same_values(set, h)) at++;
        j->pack[h] = at;
        if (h > 0 && j->pack[h - 1] == at) continue;
        for (int l = 0; l < set->layers; l++) {
            const atn_cmat v = set->head[l * set->per_layer + h].v;
            for (atn_idx i = 0; i < nk; i++)
                memcpy(j->values + (at * nk + i) * ld + l * j->dv, atn_crow(v, i),
                       (size_t)j->dv * sizeof(float));
        }
    }
done:
    return st;
}

/* out of one leader: its tile of every head times the values of all followers. */
static atn_status lead(atn_ctx *cx, const job *j, const atn_tile *t, int l, scratch *s)
{
    const atn_idx ld = j->set->layers * j->dv, nk = j->set->head[0].nk;
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < j->heads; h++) {
        const atn_idx at = l * j->heads + h;
        const atn_cmat p = {s->p, t->rows, t->keys, ATN_MAX(t->keys, 1)};
        const atn_cmat v = {j->values + (j->pack[h] * nk + t->key0) * ld, t->keys, ld,
                            ld};
        const atn_mat out = {s->out + (l * t->rows * j->heads + h) * ld, t->rows, ld,
                             j->heads * ld};
        double total;

        ATN_TRY(atn_sim_fill(cx, &j->set->head[at], t, j->set->opts->exclude_first,
                             s->p, t->keys, s->info, s->square, &total));
        atn_gemm(false, 1, p, v, 0, out);
    }
done:
    return st;
}

/* Row block l of diff: the difference of leader l to the follower's own output, and the
 * own output itself in block f. */
static void differ(const job *j, const atn_tile *t, int f, const scratch *s)
{
    const int n = j->set->layers;

    for (int l = 0; l < n; l++)
        for (atn_idx r = 0; r < t->rows; r++)
            for (atn_idx h = 0; h < j->heads; h++) {
                const float *a =
                    s->out + (((l * t->rows + r) * j->heads + h) * n + f) * j->dv;
                const float *b =
                    s->out + (((f * t->rows + r) * j->heads + h) * n + f) * j->dv;
                float *d = s->diff + ((l * t->rows + r) * j->heads + h) * j->dv;

                for (atn_idx c = 0; c < j->dv; c++) d[c] = l == f ? b[c] : a[c] - b[c];
            }
}

static void follow(const job *j, const atn_tile *t, int f, const scratch *s,
                   double *square)
{
    const int n = j->set->layers;
    const atn_idx out = j->heads * j->dv, rows = n * t->rows;
    const atn_cmat diff = {s->diff, rows, out, out};
    const atn_mat wide = {s->wide, rows, j->width, j->width};
    const float *y = s->diff;

    differ(j, t, f, s);
    if (j->w_o) {
        atn_gemm(false, 1, diff, j->w_o[f], 0, wide);
        y = s->wide;
    }
    for (int l = 0; l < n; l++)
        for (atn_idx r = 0; r < t->rows; r++)
            square[l * n + f] +=
                atn_row_square(y + (l * t->rows + r) * j->width, j->width);
}

static atn_status one_group(atn_ctx *cx, atn_idx g, void *state)
{
    const job *j = state;
    const int n = j->set->layers;
    const atn_idx out = j->heads * j->dv;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    scratch s = {0};

    ATN_TAKE(s.p, j->rows * j->set->head[0].nk);
    ATN_TAKE(s.out, n * j->rows * n * out);
    ATN_TAKE(s.diff, n * j->rows * out);
    ATN_TAKE(s.wide, n * j->rows * j->width);
    ATN_TAKE(s.square, j->rows);
    ATN_TAKE(s.info, j->rows);
    for (atn_idx at = j->first_tile + g; at < j->tiles; at += j->groups) {
        const atn_idx begin = ATN_MAX(at * j->rows, j->set->opts->skip_rows);
        const atn_tile t = atn_sim_tile(j->set, begin, (at + 1) * j->rows - begin);

        for (int l = 0; l < n; l++) ATN_TRY(lead(cx, j, &t, l, &s));
        for (int f = 0; f < n; f++) follow(j, &t, f, &s, j->square + g * n * n);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void finish(const job *j, double *err)
{
    const int n = j->set->layers;

    for (int i = 0; i < n * n; i++) {
        err[i] = 0;
        for (atn_idx g = 0; g < j->groups; g++) err[i] += j->square[g * n * n + i];
    }
    for (int f = 0; f < n; f++) {
        const double own = err[f * n + f];
        for (int l = 0; l < n; l++) {
            double *e = &err[l * n + f];
            *e = l == f ? 0 : own > 0 ? sqrt(*e / own) : *e > 0 ? INFINITY : 0;
        }
    }
}

atn_status atn_sim_copy_run(atn_ctx *cx, const atn_sim_set *set, const atn_cmat *w_o,
                            double *err)
{
    const atn_idx nq = set->head[0].nq, rows = atn_sim_copy_rows(set);
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.set = set, .w_o = w_o, .rows = rows, .tiles = (nq + rows - 1) / rows};

    j.first_tile = ATN_MIN(set->opts->skip_rows, nq) / rows;
    j.groups = ATN_MIN(j.tiles, (atn_idx)GROUPS);
    j.heads = set->per_layer;
    j.dv = set->head[0].v.cols;
    j.width = w_o ? w_o[0].cols : j.heads * j.dv;
    j.packs = pack_count(set);
    ATN_TRY(pack_values(cx, &j));
    ATN_NEW(j.square, j.groups * set->layers * set->layers);
    cx->threads = atn_sim_threads(cx, tile_bytes(set, j.width));
    st = atn_parallel(cx, j.groups, one_group, &j, "copy error");
    cx->threads = threads;
    ATN_TRY(st);
    finish(&j, err);
done:
    atn_free(cx, j.values);
    atn_free(cx, j.pack);
    atn_free(cx, j.square);
    return st;
}
