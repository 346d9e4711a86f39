/* SSA: rows of the cards, its choice once more by brute force, gates. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/safetensors.h"
#include "tests/approx/block_cases.h"

typedef struct rule {
    int block, k;
} rule;

/* Softmax over the complete blocks of each head of the group, added up. */
static void by_brute_force(const zoo *z, atn_idx head, atn_idx i, const void *p,
                           bool *want)
{
    const atn_head *h = &z->head[head];
    const int b = ((const rule *)p)->block, nk = (int)h->nk;
    const int t = (int)(i + h->nk - h->nq), group = (int)z->in.group;
    const int lo = h->sight.window > 0 && t + 1 > h->sight.window
                       ? t + 1 - (int)h->sight.window
                       : 0;
    double imp[ZOO_MOST], mean[64];
    bool keep[ZOO_MOST];

    for (int c = 0; c * b < nk; c++)
        imp[c] = (c + 1) * b > lo && c < t / b ? 0 : -INFINITY;
    for (int g = 0; g < group; g++) {
        const atn_idx of = head / group * group + g;
        double e[ZOO_MOST], sum = 0;

        for (int c = 0; c < (t + 1) / b; c++) {
            case_mean(z, of, c * b, (c + 1) * b, mean);
            e[c] = (c + 1) * b > lo ? exp(h->scale * case_dot(z, of, i, mean)) : 0;
            sum += e[c];
        }
        for (int c = 0; c < t / b; c++) imp[c] += e[c] / sum;
    }
    imp[t / b] = INFINITY;
    case_best(imp, (nk + b - 1) / b, ((const rule *)p)->k, keep);
    for (int j = lo; j <= t; j++) want[j] = keep[j / b];
}

static void golden(atn_ctx *cx)
{
    atn_plan p[2];
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, "ssa:block=4,k=3", 0, 18, "4-7,12-18", .623565, 11.710813);
    zoo_golden(cx, &z, "ssa:block=4,k=3", 0, 23, "4-7,16-23", .444348, 15.323273);
    CHECK_EQ(zoo_plan(cx, &z, "ssa:block=4,k=3", 0, p), 2);
    CHECK(p[0].branch[0].part[0].pattern == p[1].branch[0].part[0].pattern);
    CHECK(p[0].tile_rows == 1 && p[0].tile_keys == 4 && atn_plan_is_mask(&p[1]));
    /* complete blocks of all rows: 3 x 0, 4 x 1, .., 4 x 5, 1 x 6 */
    CHECK_NEAR(p[0].index_flops, 2 * 4 * (4 * 15 + 6) + 24 * 4 / 2, 0);
    CHECK(p[0].index_flops == p[1].index_flops);
    zoo_release(cx, p, 2);
    zoo_free(&z);
}

static void limits(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++) {
        zoo_dense(&z, 1, i, a);
        zoo_row(cx, &z, "ssa:block=5,k=5", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "ssa", 0, i, w);
        zoo_dense(&z, 0, i, a);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
    }
    zoo_free(&z);
}

/* One head, blocks of one key: the own key, and the k - 1 of largest weight before. */
static void blocks_of_one_key(atn_ctx *cx)
{
    double w[30], a[30];
    zoo z;

    zoo_random(&z, 1, 1, 30, 30, 11);
    for (int i = 0; i < 30; i++) {
        bool keep[30];

        zoo_row(cx, &z, "ssa:block=1,k=4", 0, i, w);
        zoo_dense(&z, 0, i, a);
        case_best(a, i, 3, keep);
        for (int j = 0; j <= i; j++) CHECK((w[j] != 0) == (j == i || keep[j]));
    }
    zoo_free(&z);
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < CASES; trial++)
        for (int b = 1; b <= 8; b = trial % 2 ? 2 * b : b + 2)
            for (int k = 1; k <= 4; k++) {
                const rule r = {b, k};
                char spec[64];
                zoo z;

                case_layer(&z, trial);
                snprintf(spec, sizeof spec, "ssa:block=%d,k=%d", b, k);
                case_rows(cx, &z, spec, by_brute_force, &r);
                zoo_free(&z);
            }
}

/* Of two blocks, the past one has importance 1 a head: as published the tie goes to
 * it. At the end of the second block the sum is over both, and it has less. */
static void as_published_the_own_block_ties(atn_ctx *cx)
{
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "ssa:block=4,k=1", 0, 6, w);
    zoo_check_set(&z, 0, w, "4-6");
    z.in.as_published = true;
    zoo_row(cx, &z, "ssa:block=4,k=1", 0, 6, w);
    zoo_check_set(&z, 0, w, "0-3");
    zoo_row(cx, &z, "ssa:block=4,k=1", 0, 7, w);
    zoo_check_set(&z, 0, w, "4-7");
    zoo_row(cx, &z, "ssa:block=4,k=3", 0, 18, w);
    zoo_check_set(&z, 0, w, "4-7,12-18");
    zoo_free(&z);
}

/* Gates of head 1 from a file: rows are scaled, those of head 0 are not. */
static void gates(atn_ctx *cx)
{
    char path[600];
    float gate[24];
    double w[24], plain[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++) gate[i] = (float)(i % 5) / 4;
    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("ssa"));
    CHECK_OK(atn_st_save(
        cx, path,
        &(atn_st_out){
            .name = "gates.layer-000.head-001", .rank = 1, .shape = {24}, .data = gate},
        1, NULL, true, NULL));
    for (int i = 0; i < 24; i++) {
        zoo_row(cx, &z, "ssa:block=4,k=3", 1, i, plain);
        CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
        zoo_row(cx, &z, "ssa:block=4,k=3", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], gate[i] * plain[j], 1e-12);
        zoo_row(cx, &z, "ssa:block=4,k=3", 0, i, w);
        atn_draws_close(cx, z.in.draws);
        z.in.draws = NULL;
        zoo_row(cx, &z, "ssa:block=4,k=3", 0, i, plain);
        for (int j = 0; j < 24; j++) CHECK(w[j] == plain[j]);
    }
    z.head[1].nq = 23;
    CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
    case_refused(cx, &z, "ssa", NULL, ATN_DATA, "shape [24], needed is [23]");
    atn_draws_close(cx, z.in.draws);
    zoo_free(&z);
}

/* More rows than a tile, in one piece and in a chunk. */
static void chunks_are_parts(atn_ctx *cx)
{
    double w[300], part[300];
    zoo z, chunk;

    zoo_random(&z, 2, 2, 300, 300, 7);
    zoo_shape(&chunk, 2, 2, 130, 300, 8, 5);
    for (int h = 0; h < 2; h++)
        memcpy(chunk.q + h * 130 * 8, z.q + (h * 300 + 170) * 8, 130 * 8 * sizeof *z.q);
    memcpy(chunk.k, z.k, 300 * 8 * sizeof *z.k);
    memcpy(chunk.v, z.v, 300 * 5 * sizeof *z.v);
    for (int i = 0; i < 130; i += 7) {
        zoo_row(cx, &z, "ssa:block=7,k=4", 1, 170 + i, w);
        zoo_row(cx, &chunk, "ssa:block=7,k=4", 1, i, part);
        CHECK(memcmp(w, part, sizeof w) == 0);
    }
    case_threads(cx, &z, "ssa:block=7,k=4");
    zoo_free(&z);
    zoo_free(&chunk);
}

static void failures(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_second(&z);
    zoo_failing(&z, "ssa", "block=4,k=2");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"limits", limits}, {"blocks of one", blocks_of_one_key},
           {"twin", twin}, {"as published", as_published_the_own_block_ties},
           {"gates", gates}, {"chunks", chunks_are_parts}, {"failures", failures})
