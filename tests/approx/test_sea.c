/* SEA: rows of the cards, its choice once more from both estimates, features. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/sea.h"
#include "core/io/safetensors.h"
#include "tests/approx/block_cases.h"

static void golden(atn_ctx *cx)
{
    double w[24];
    atn_plan p[2];
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, "sea:k=3,columns=6", 0, 11, "0-3", .476504, 1.171436);
    zoo_golden(cx, &z, "sea:k=3,columns=6", 1, 11, "2,3", .242300, 2.103749);
    zoo_golden(cx, &z, "sea:k=3,columns=6", 1, 23, "4-7,16-19", .410817, 11.465323);
    zoo_row(cx, &z, "sea:k=3,columns=6", 0, 23, w);
    zoo_check_set(&z, 0, w, "");
    CHECK_EQ(zoo_plan(cx, &z, "sea:k=3,columns=6", 0, p), 2);
    CHECK(atn_plan_is_mask(&p[0]) && p[0].tile_rows == 1 && p[0].tile_keys == 1);
    CHECK_NEAR(p[1].index_flops, 2 * 4 * 300, 0); /* dense logits of 300 pairs */
    zoo_release(cx, p, 2);
    zoo_free(&z);
}

/* Column of key j of n, as the card writes it. */
static int column(int j, int n, int columns)
{
    const int c = (int)floor((j + .5) / n * columns - 1e-4);

    return c < 0 ? 0 : c >= columns ? columns - 1 : c;
}

static void edges(atn_ctx *cx)
{
    static const int columns[] = {1, 2, 3, 7, 16, 64, 255};
    atn_idx edge[256];

    (void)cx;
    for (int n = 1; n < 300; n++)
        for (int k = 0; k < 7; k++) {
            atn_sea_edges(n, columns[k], edge);
            CHECK(edge[0] == 0 && edge[columns[k]] == n);
            for (int j = 0; j < n; j++) {
                const int c = column(j, n, columns[k]);

                CHECK(edge[c] <= j && j < edge[c + 1]);
            }
        }
    atn_sea_edges((atn_idx)1 << 40, 3, edge); /* no walk over keys; -1 is column 0 */
    CHECK(llabs(edge[1] - ((atn_idx)1 << 40) / 3) < 1 << 27);
}

typedef struct rule {
    int k, columns;
    const float *omega; /* [m, 8], NULL = the oracle */
    int m;
} rule;

/* Positive features of a vector, and the products of them that stand for weights. */
static double feature_weight(const zoo *z, atn_idx head, atn_idx i, atn_idx j,
                             const rule *r)
{
    const atn_head *h = &z->head[head];
    const float *q = atn_crow(h->q, i), *k = atn_crow(h->k, j);
    const double root = sqrt(h->scale);
    double sum = 0, halves = 0;

    for (int c = 0; c < 8; c++)
        halves += h->scale * ((double)q[c] * q[c] + (double)k[c] * k[c]) / 2;
    for (int f = 0; f < r->m; f++) {
        double u = 0;

        for (int c = 0; c < 8; c++)
            u += root * (double)r->omega[f * 8 + c] * ((double)q[c] + (double)k[c]);
        sum += exp(u - halves);
    }
    return sum;
}

/* Masses [heads][columns] of row i. */
static void masses(const zoo *z, atn_idx i, const rule *r, double *mass)
{
    atn_idx lo, hi;

    atn_sight_row(&z->head[0].sight, i, &lo, &hi);
    for (int e = 0; e < (int)z->in.heads * r->columns; e++) mass[e] = 0;
    for (atn_idx h = 0; h < z->in.heads; h++) {
        double a[ZOO_MOST], sum = 0;

        zoo_dense(z, h, i, a);
        for (atn_idx j = lo; j < hi; j++) {
            if (r->omega) a[j] = feature_weight(z, h, i, j, r);
            sum += a[j];
        }
        for (atn_idx j = lo; j < hi; j++)
            mass[h * r->columns + column((int)(j - lo), (int)(hi - lo), r->columns)] +=
                a[j] / sum;
    }
}

static void by_brute_force(const zoo *z, atn_idx head, atn_idx i, const void *p,
                           bool *want)
{
    const rule *r = p;
    const int all = (int)z->in.heads * r->columns;
    double mass[ZOO_MOST], count;
    bool keep[ZOO_MOST];
    atn_idx lo, hi;

    atn_sight_row(&z->head[0].sight, i, &lo, &hi);
    if (lo >= hi) return;
    masses(z, i, r, mass);
    for (int e = 0; e < all; e++) mass[e] = (double)(float)mass[e]; /* ties */
    count = rint((double)all * r->k / (double)(hi - lo));
    case_best(mass, all, count < 1 ? 1 : count > all ? all : (int)count, keep);
    for (atn_idx j = lo; j < hi; j++)
        want[j] =
            keep[head * r->columns + column((int)(j - lo), (int)(hi - lo), r->columns)];
}

static void twin_of_the_oracle(atn_ctx *cx)
{
    static const int columns[] = {1, 3, 8, 5, 64};

    for (int trial = 0; trial < 2 * CASES; trial++)
        for (int k = 1; k < 9; k += 2) {
            const rule r = {k, columns[trial % 5], NULL, 0};
            char spec[64];
            zoo z;

            case_layer(&z, trial);
            zoo_causal(&z, trial % 4 != 3);
            snprintf(spec, sizeof spec, "sea:k=%d,columns=%d", k, r.columns);
            case_rows(cx, &z, spec, by_brute_force, &r);
            zoo_free(&z);
        }
}

/* The projections of a run, from what it would dump. */
static const float *projections(atn_ctx *cx, zoo *z, const char *spec, const char *path,
                                atn_st **file)
{
    atn_plan p[ZOO_HEADS_MOST];
    const atn_st_tensor *t;

    CHECK_OK(atn_draws_open(cx, NULL, &z->in.draws));
    zoo_release(cx, p, zoo_plan(cx, z, spec, 0, p));
    CHECK_OK(atn_draws_save(cx, z->in.draws, path, true));
    atn_draws_close(cx, z->in.draws);
    z->in.draws = NULL;
    CHECK_OK(atn_st_open(cx, path, file));
    CHECK_EQ(atn_st_count(*file), 1);
    t = atn_st_find(*file, "projections.layer-000");
    CHECK(t && t->rank == 2 && t->shape[1] == 8 && t->type == ATN_F32);
    return t->data;
}

static void twin_of_the_features(atn_ctx *cx)
{
    char path[600];

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("sea"));
    for (int trial = 0; trial < CASES; trial += 2) /* no exact ties: sums round */
        for (int k = 1; k < 9; k += 3) {
            rule r = {k, trial % 3 ? 3 + trial % 7 : 64, NULL, 5 + trial % 20};
            atn_st *file = NULL;
            char spec[128];
            zoo z;

            case_layer(&z, trial);
            zoo_causal(&z, trial % 8 != 6);
            snprintf(spec, sizeof spec,
                     "sea:estimate=performer,k=%d,columns=%d,features=%d,ortho=%s", k,
                     r.columns, r.m, trial % 4 ? "true" : "false");
            r.omega = projections(cx, &z, spec, path, &file);
            case_rows(cx, &z, spec, by_brute_force, &r);
            atn_st_close(cx, file);
            zoo_free(&z);
        }
}

/* Rows of a block of d are orthogonal, of lengths of their own; without, they are
 * the stream as it comes, which a shorter draw begins, too. */
static void projections_are_as_stated(atn_ctx *cx)
{
    char path[600];
    float plain[20 * 8], drawn[20 * 8];
    const float *w;
    atn_st *file = NULL;
    zoo z;

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("sea"));
    zoo_random(&z, 1, 1, 10, 10, 1);
    w = projections(cx, &z, "sea:estimate=performer,features=20,ortho=false", path,
                    &file);
    memcpy(plain, w, sizeof plain);
    CHECK_OK(atn_draw_normal(
        cx, NULL, 0, &(atn_draw){"projections", "sea/projections", 0, -1, 20, 8},
        drawn));
    CHECK(memcmp(drawn, plain, sizeof plain) == 0);
    atn_st_close(cx, file);
    w = projections(cx, &z, "sea:estimate=performer,features=20", path, &file);
    for (int a = 0; a < 20; a++) {
        double own = 0;

        for (int c = 0; c < 8; c++) own += (double)w[a * 8 + c] * w[a * 8 + c];
        CHECK(own > .5 && own < 40 && fabs(own - 8) > 1e-3);
        for (int b = a / 8 * 8; b < a; b++) {
            double dot = 0;

            for (int c = 0; c < 8; c++) dot += (double)w[a * 8 + c] * w[b * 8 + c];
            CHECK_NEAR(dot, 0, 1e-5);
        }
    }
    for (int c = 0; c < 8; c++) /* the first direction is the first draw's */
        CHECK_NEAR(w[c] / w[0], plain[c] / plain[0], 1e-4);
    atn_st_close(cx, file);
    z.in.seed = 1;
    w = projections(cx, &z, "sea:estimate=performer,features=20,ortho=false", path,
                    &file);
    CHECK(memcmp(w, plain, sizeof plain) != 0);
    atn_st_close(cx, file);
    zoo_free(&z);
}

/* Masses of all rows of a head, by both estimates. */
static void both(atn_ctx *cx, const zoo *z, int m, float *weights, float *features)
{
    const atn_tile t = atn_tile_of(&z->head[0], 0, z->head[0].nq);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_sea_features f;

    CHECK_OK(atn_sea_weights(cx, &z->head[0], &t, (atn_mat){weights, t.rows, 4, 4}));
    CHECK_OK(atn_sea_features_make(cx, &z->in, m, true, &f));
    CHECK_OK(atn_sea_masses(cx, &f, 0, &t, (atn_mat){features, t.rows, 4, 4}));
    atn_arena_rewind(cx, mark);
}

static double root_error(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int e = 0; e < n; e++) sum += ((double)a[e] - b[e]) * ((double)a[e] - b[e]);
    return sqrt(sum / n);
}

/* Many features come near the weights, more nearer; equal keys are exact at once. */
static void features_tend_to_the_weights(atn_ctx *cx)
{
    float weights[4 * 90], few[4 * 90], many[4 * 90];
    zoo z;

    zoo_random(&z, 1, 1, 90, 90, 21);
    both(cx, &z, 64, weights, few);
    both(cx, &z, 8192, weights, many);
    CHECK_LE(root_error(weights, many, 360), .02);
    CHECK_LE(2 * root_error(weights, many, 360), root_error(weights, few, 360));
    for (int j = 1; j < 90; j++) memcpy(z.k + j * 8, z.k, 8 * sizeof *z.k);
    both(cx, &z, 3, weights, few);
    CHECK_LE(root_error(weights, few, 360), 1e-7);
    zoo_free(&z);
}

/* A first key e^2000 below the others: rows are still whole, and row 0 is its own. */
static void far_apart_keys(atn_ctx *cx)
{
    float weights[4 * 150], mass[4 * 150];
    zoo z;

    zoo_random(&z, 1, 1, 150, 150, 6);
    for (int c = 0; c < 8; c++) z.k[c] *= 100;
    for (int c = 0; c < 8; c++) z.k[70 * 8 + c] *= 1e15f;
    both(cx, &z, 40, weights, mass);
    CHECK_NEAR(mass[0] + mass[1] + mass[2] + mass[3], 1, 1e-6);
    for (int i = 0; i < 150; i++)
        CHECK_NEAR(mass[4 * i] + mass[4 * i + 1] + mass[4 * i + 2] + mass[4 * i + 3], 1,
                   1e-6);
    zoo_free(&z);
}

/* Many columns of few keys: prefixes are of the keys, not of the columns, whose sums
 * would be 2^31 bytes here. */
static void few_keys_are_cheap(atn_ctx *cx)
{
    for (int n = 1; n < 12; n += 5) {
        atn_plan p[2];
        zoo z;

        zoo_random(&z, 2, 1, n, n, 3);
        cx->mem_limit = (size_t)64 << 20;
        cx->threads = 4;
        zoo_release(cx, p,
                    zoo_plan(cx, &z,
                             "sea:estimate=performer,columns=16384,features=16384", 0,
                             p));
        zoo_free(&z);
    }
}

/* M >= L and k >= L: dense. L = 48, M = 16, H k = 16: round(16 * 16 / 48) = 5 columns
 * of 3 keys over both heads. */
static void limits(atn_ctx *cx)
{
    double w[48], a[48];
    int kept = 0;
    zoo z;

    zoo_random(&z, 2, 2, 48, 48, 5);
    for (int i = 0; i < 48; i += 5) {
        zoo_dense(&z, 1, i, a);
        zoo_row(cx, &z, "sea:k=48,columns=48", 1, i, w);
        for (int j = 0; j < 48; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "sea:k=48,columns=48,estimate=performer", 1, i, w);
        for (int j = 0; j < 48; j++) CHECK_NEAR(w[j], a[j], 1e-12);
    }
    for (int h = 0; h < 2; h++) {
        zoo_row(cx, &z, "sea:k=8,columns=16", h, 47, w);
        for (int j = 0; j < 48; j++) kept += w[j] != 0;
    }
    CHECK_EQ(kept, 15);
    zoo_free(&z);
}

/* Matrices alone are enough for the oracle. */
static void given_weights(atn_ctx *cx)
{
    float p[24 * 24];
    double a[24], w[24];
    zoo z;

    zoo_second(&z);
    z.in.heads = z.in.group = 1;
    for (int i = 0; i < 24; i++) {
        zoo_dense(&z, 0, i, a);
        for (int j = 0; j < 24; j++) p[i * 24 + j] = (float)a[j];
    }
    z.head[0].p = (atn_cmat){p, 24, 24, 24};
    z.head[0].q = z.head[0].k = (atn_cmat){0};
    zoo_row(cx, &z, "sea:k=4,columns=6", 0, 23, w);
    CHECK(w[0] + w[4] + w[8] + w[12] + w[16] + w[20] > 0);
    case_refused(cx, &z, "sea", "estimate=performer", ATN_DATA, "--q and --k");
    zoo_free(&z);
}

static void refused_projections(atn_ctx *cx)
{
    char path[600];
    float omega[2 * 4];
    zoo z;

    zoo_second(&z);
    for (int e = 0; e < 8; e++) omega[e] = e % 2 ? 1e30f : -1e30f;
    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("sea"));
    CHECK_OK(atn_st_save(
        cx, path,
        &(atn_st_out){
            .name = "projections.layer-000", .rank = 2, .shape = {2, 4}, .data = omega},
        1, NULL, true, NULL));
    CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
    case_refused(cx, &z, "sea", "estimate=performer,features=2", ATN_DATA, "too long");
    case_refused(cx, &z, "sea", "estimate=performer,features=3", ATN_DATA,
                 "shape [2, 4], needed is [3, 4]");
    atn_draws_close(cx, z.in.draws);
    zoo_free(&z);
}

/* More rows than a tile, in one piece and in a chunk. */
static void chunks_are_parts(atn_ctx *cx)
{
    static const char *const specs[] = {"sea:k=9,columns=16",
                                        "sea:k=9,columns=16,estimate=performer"};
    double w[300], part[300];
    zoo z, chunk;

    zoo_random(&z, 2, 1, 300, 300, 7);
    zoo_shape(&chunk, 2, 1, 170, 300, 8, 5);
    for (int h = 0; h < 2; h++)
        memcpy(chunk.q + h * 170 * 8, z.q + (h * 300 + 130) * 8, 170 * 8 * sizeof *z.q);
    memcpy(chunk.k, z.k, 2 * 300 * 8 * sizeof *z.k);
    memcpy(chunk.v, z.v, 2 * 300 * 5 * sizeof *z.v);
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < 170; i += 17) {
            zoo_row(cx, &z, specs[s], 1, 130 + i, w);
            zoo_row(cx, &chunk, specs[s], 1, i, part);
            CHECK(memcmp(w, part, sizeof w) == 0);
        }
        z.head[0].sight.window = z.head[1].sight.window = 100;
        case_threads(cx, &z, specs[s]);
        z.head[0].sight.window = z.head[1].sight.window = 0;
    }
    zoo_free(&z);
    zoo_free(&chunk);
}

static void failures(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_failing(&z, "sea", "k=3,columns=6");
    zoo_failing(&z, "sea", "k=3,columns=6,estimate=performer");
    cx->mem_limit = 1 << 20;
    case_refused(cx, &z, "sea", "estimate=performer,features=16k,columns=16k",
                 ATN_MEMORY, "sea");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"edges", edges}, {"oracle", twin_of_the_oracle},
           {"features", twin_of_the_features},
           {"projections", projections_are_as_stated},
           {"features tend to the weights", features_tend_to_the_weights},
           {"far apart", far_apart_keys}, {"few keys are cheap", few_keys_are_cheap},
           {"limits", limits}, {"given weights", given_weights},
           {"refused", refused_projections}, {"chunks", chunks_are_parts},
           {"failures", failures})
