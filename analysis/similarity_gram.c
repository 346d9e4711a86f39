/* analysis/similarity_gram.c -- all inner products between heads, one SYRK a row tile.
 *
 * Math    X holds one row tile of every head, a head a row of X: (m, rows * keys). X
 *         X^T adds the tile's share of <P_a, P_b>; after every row of every head is
 *         scaled to length 1 in place, a second X X^T adds its share of sum_i
 *         cos(P_a,i, P_b,i).
 * Cost    the row stream once, and 2 m (m + 1) flop an entry; memory one X a thread
 *         (about 32 MiB) and two m x m Grams of doubles a group of tiles.
 * Limits  one row of all heads must fit into memory: m nk floats.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum {
    TILE_FLOATS = 8 << 20, /* floats of X wanted */
    TILE_ROWS_MAX = 64,    /* keeps the float32 sums of a SYRK short */
    GROUPS_MAX = 32, /* tiles are dealt to groups; fixed, so threads do not matter */
    GROUPS_MIN = 4,
    LD_PAD = 16, /* off the powers of two, which share cache sets */
};
static const double group_bytes = 256.0 * 1024 * 1024; /* all groups' Grams */
static const double work_bytes = 1024.0 * 1024 * 1024; /* all threads' tiles */

int atn_sim_threads(const atn_ctx *cx, double each)
{
    double room = work_bytes;

    if (cx->mem_limit > 0) room = ATN_MIN(room, (double)cx->mem_limit / 2);
    return (int)ATN_MAX(1.0, ATN_MIN((double)cx->threads, floor(room / each)));
}

atn_idx atn_sim_rows(const atn_sim_set *set, double row, double wanted, atn_idx least,
                     atn_idx most)
{
    const double room = set->tile_most > 0 ? ATN_MIN(wanted, set->tile_most) : wanted;
    atn_idx rows = (atn_idx)(room / ATN_MAX(row, 1.0));

    if (rows > 8) rows = rows / 8 * 8;
    if (set->tile_most == 0) rows = ATN_MAX(rows, least);
    if (set->opts->tile_rows > 0) rows = set->opts->tile_rows;
    rows = ATN_MIN(rows, ATN_MIN(most, set->head[0].nq));
    return ATN_MAX(rows, (atn_idx)1);
}

/* In double: the shape may come from a manifest that lies. */
atn_idx atn_sim_gram_rows(const atn_sim_set *set)
{
    return atn_sim_rows(set, (double)set->m * (double)set->head[0].nk, TILE_FLOATS, 1,
                        TILE_ROWS_MAX);
}

atn_idx atn_sim_groups(const atn_sim_set *set)
{
    const atn_idx rows = atn_sim_gram_rows(set);
    const atn_idx tiles = (set->head[0].nq + rows - 1) / rows;
    const double each = 16.0 * (double)set->m * (double)set->m;
    const double fit = ATN_MAX(group_bytes / each, (double)GROUPS_MIN);

    return ATN_MAX(1, ATN_MIN(tiles, (atn_idx)ATN_MIN(fit, (double)GROUPS_MAX)));
}

double atn_sim_tile_bytes(const atn_sim_set *set)
{
    const double m = (double)set->m, rows = (double)atn_sim_gram_rows(set);

    return 4 * m * (rows * (double)set->head[0].nk + (double)LD_PAD) + 4 * m * m +
           m * rows * (sizeof(double) + sizeof(float)) + rows * sizeof(atn_row_info);
}

double atn_sim_gram_bytes(const atn_ctx *cx, const atn_sim_set *set)
{
    const double each = atn_sim_tile_bytes(set),
                 m2 = 8.0 * (double)set->m * (double)set->m;

    return each * atn_sim_threads(cx, each) +
           m2 * ((set->opts->distances ? 3.0 : 2.0) * (double)atn_sim_groups(set) + 9) +
           4.0 * (double)set->head[0].nq * (double)set->m;
}

atn_tile atn_sim_tile(const atn_sim_set *set, atn_idx first, atn_idx rows)
{
    atn_tile all = atn_tile_of(&set->head[0], first, rows);
    atn_idx last = all.key0 + all.keys;

    for (atn_idx a = 1; a < set->m; a++) {
        atn_tile t;
        if (set->slot[a] == set->slot[a - 1]) continue;
        t = atn_tile_of(&set->head[a], first, rows);
        if (t.keys == 0) continue;
        all.key0 = all.keys == 0 ? t.key0 : ATN_MIN(all.key0, t.key0);
        last = ATN_MAX(last, t.key0 + t.keys);
        all.keys = last - all.key0;
    }
    return all;
}

static void drop_keys(float *row, atn_idx drop, atn_idx end, double *mass)
{
    memset(row, 0, (size_t)ATN_MIN(drop, end) * sizeof *row);
    if (drop >= end) {
        *mass = 0;
        return;
    }
    *mass = atn_row_sum(row + drop, end - drop);
    if (*mass > 0) {
        atn_row_scale(row + drop, end - drop, (float)(1.0 / *mass));
        *mass = 1;
    }
}

atn_status atn_sim_fill(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                        atn_idx exclude, float *x, atn_idx ld, atn_row_info *info,
                        double *square, double *total)
{
    const atn_tile own = atn_tile_of(h, t->first, t->rows);
    const atn_idx left = own.keys > 0 ? own.key0 - t->key0 : 0;
    const atn_mat out = {x + left, t->rows, own.keys, ld};
    atn_status st = ATN_OK;

    *total = 0;
    ATN_TRY(atn_rows_fill(cx, h, &own, out, info));
    for (atn_idx r = 0; r < t->rows; r++) {
        float *row = x + r * ld;
        const atn_idx drop = ATN_MAX(exclude - t->key0, 0);
        double mass = info[r].mass;

        memset(row, 0, (size_t)left * sizeof *row);
        memset(row + left + own.keys, 0,
               (size_t)(t->keys - left - own.keys) * sizeof *row);
        if (exclude > 0) drop_keys(row, drop, t->keys, &mass);
        square[r] = mass > 0 ? atn_row_square(row, t->keys) : 0;
        *total += mass;
    }
done:
    return st;
}

typedef struct job {
    const atn_sim_set *set;
    atn_idx rows, first_tile, tiles, groups;
    double *raw, *unit; /* [groups x m x m], lower triangles */
    float *square_of;   /* [nq x m] squared row lengths */
    double *sum_of;     /* [tiles x m] */
} job;

typedef struct scratch {
    float *x, *gram, *inverse;
    double *square;
    atn_row_info *info;
    atn_idx ld;
} scratch;

static void scale_rows(const scratch *s, const atn_tile *t, atn_idx m)
{
    for (atn_idx a = 0; a < m; a++)
        for (atn_idx r = 0; r < t->rows; r++)
            atn_row_scale(s->x + a * s->ld + r * t->keys, t->keys,
                          s->inverse[a * t->rows + r]);
}

static atn_status one_tile(atn_ctx *cx, const job *j, atn_idx at, atn_idx group,
                           scratch *s)
{
    const atn_idx m = j->set->m, first = at * j->rows;
    const atn_idx skip = j->set->opts->skip_rows;
    const atn_idx begin = ATN_MAX(first, skip);
    const atn_tile t = atn_sim_tile(j->set, begin, first + j->rows - begin);
    const atn_cmat x = {s->x, m, t.rows * t.keys, t.rows * t.keys + LD_PAD};
    const atn_mat gram = {s->gram, m, m, m};
    atn_status st = ATN_OK;

    s->ld = x.ld;
    for (atn_idx a = 0; a < m; a++) {
        ATN_TRY(atn_sim_fill(cx, &j->set->head[a], &t, j->set->opts->exclude_first,
                             s->x + a * s->ld, t.keys, s->info, s->square,
                             &j->sum_of[at * m + a]));
        for (atn_idx r = 0; r < t.rows; r++) {
            const double q = s->square[r];
            s->inverse[a * t.rows + r] = q > 0 ? (float)(1.0 / sqrt(q)) : 0.0f;
            /* a length below the smallest float still is a weight */
            j->square_of[(t.first + r) * m + a] =
                q > 0 ? ATN_MAX((float)q, FLT_MIN) : 0.0f;
        }
    }
    if (t.keys == 0) goto done;
    atn_syrk(1, x, 0, gram);
    atn_mat_add_lower(s->gram, m, j->raw + group * m * m);
    scale_rows(s, &t, m);
    atn_syrk(1, x, 0, gram);
    atn_mat_add_lower(s->gram, m, j->unit + group * m * m);
done:
    return st;
}

static atn_status one_group(atn_ctx *cx, atn_idx g, void *state)
{
    const job *j = state;
    const atn_idx m = j->set->m, nk = j->set->head[0].nk;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    scratch s = {0};

    ATN_TAKE(s.x, m * (j->rows * nk + LD_PAD));
    ATN_TAKE(s.gram, m * m);
    ATN_TAKE(s.inverse, m * j->rows);
    ATN_TAKE(s.square, j->rows);
    ATN_TAKE(s.info, j->rows);
    memset(s.gram, 0, (size_t)(m * m) * sizeof *s.gram);
    for (atn_idx at = j->first_tile + g; at < j->tiles; at += j->groups)
        ATN_TRY(one_tile(cx, j, at, g, &s));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void merge(const job *j, atn_sim_gram *g)
{
    const atn_idx m = j->set->m;

    for (atn_idx k = 0; k < j->groups; k++)
        for (atn_idx i = 0; i < m * m; i++) {
            g->raw[i] += j->raw[k * m * m + i];
            g->unit[i] += j->unit[k * m * m + i];
        }
    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b < a; b++) {
            g->raw[b * m + a] = g->raw[a * m + b];
            g->unit[b * m + a] = g->unit[a * m + b];
        }
    for (atn_idx t = 0; t < j->tiles; t++)
        for (atn_idx a = 0; a < m; a++) g->sum[a] += j->sum_of[t * m + a];
}

/* Rows where only one of two heads has weight: rare, so found row by row. */
static void count_rows(const job *j, atn_sim_gram *g)
{
    const atn_idx m = j->set->m, nq = j->set->head[0].nq;

    for (atn_idx i = j->set->opts->skip_rows; i < nq; i++) {
        const float *q = j->square_of + i * m;
        atn_idx with = 0;

        for (atn_idx a = 0; a < m; a++) with += q[a] > 0;
        for (atn_idx a = 0; a < m; a++) g->rows[a] += q[a] > 0;
        if (with == 0 || with == m) continue;
        for (atn_idx b = 0; b < m; b++) {
            if (q[b] > 0) continue;
            for (atn_idx a = 0; a < m; a++) {
                g->lost_square[a * m + b] += (double)q[a];
                g->lost_rows[a * m + b] += q[a] > 0;
            }
        }
    }
}

atn_status atn_sim_gram_run(atn_ctx *cx, const atn_sim_set *set, atn_sim_gram *g)
{
    const atn_idx m = set->m, nq = set->head[0].nq, rows = atn_sim_gram_rows(set);
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.set = set, .rows = rows, .tiles = (nq + rows - 1) / rows};

    j.first_tile = ATN_MIN(set->opts->skip_rows, nq) / rows;
    j.groups = atn_sim_groups(set);
    ATN_NEW(j.raw, j.groups * m * m);
    ATN_NEW(j.unit, j.groups * m * m);
    ATN_NEW(j.square_of, nq * m);
    ATN_NEW(j.sum_of, j.tiles * m);
    cx->threads = atn_sim_threads(cx, atn_sim_tile_bytes(set));
    st = atn_parallel(cx, j.groups, one_group, &j, "similarity");
    cx->threads = threads;
    ATN_TRY(st);
    merge(&j, g);
    count_rows(&j, g);
done:
    atn_free(cx, j.raw);
    atn_free(cx, j.unit);
    atn_free(cx, j.square_of);
    atn_free(cx, j.sum_of);
    return st;
}
