/* NSA: rows of the cards, its weights once more from the definition, gates. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/safetensors.h"
#include "tests/approx/block_cases.h"

/* Second fixture, gates .5 .3 .2, row 18. */
static void golden(atn_ctx *cx)
{
    static const double want[] = {.034231, .034231, .034231, .034231,
                                  .063091, .069471, .062140};
    double w[24], sum = 0;
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "nsa:block=4,k=3,window=5,cmp=.5,slc=.3,win=.2", 0, 18, w);
    for (int j = 0; j < 7; j++) CHECK_NEAR(w[j], want[j], 1e-6);
    for (int j = 0; j < 24; j++) sum += w[j];
    CHECK_NEAR(sum, 1, 1e-6);
    CHECK_NEAR(zoo_output(&z, 0, w), 10.519556, 1e-6);
    zoo_golden(cx, &z, "nsa:block=4,k=3", 0, 18, "4-7,12-18", .623565, 11.710813);
    zoo_golden(cx, &z, "nsa:block=4,k=3", 0, 23, "4-7,16-23", .444348, 15.323273);
    zoo_row(cx, &z, "nsa:block=4,cmp=1,slc=0", 0, 2, w); /* no block is complete */
    zoo_check_set(&z, 0, w, "");
    zoo_free(&z);
}

typedef struct rule {
    int block, k, window;
    double gate[3];
} rule;

/* The keys of the chosen blocks, by the importance that all heads of a group give. */
static void choose(const zoo *z, atn_idx head, int t, int lo, const rule *r, bool *want)
{
    const int group = (int)z->in.group, b = r->block, i = t;
    const atn_idx row = i - (z->head[head].nk - z->head[head].nq);
    double imp[ZOO_MOST], mean[64];
    bool keep[ZOO_MOST];

    for (int c = 0; c <= t / b; c++) imp[c] = (c + 1) * b > lo ? 0 : -INFINITY;
    for (int g = 0; g < group; g++) {
        const atn_idx of = head / group * group + g;
        double e[ZOO_MOST], sum = 0;

        for (int c = 0; c < (t + 1) / b; c++) {
            case_mean(z, of, c * b, (c + 1) * b, mean);
            e[c] = (c + 1) * b > lo
                       ? exp(z->head[of].scale * case_dot(z, of, row, mean))
                       : 0;
            sum += e[c];
        }
        for (int c = 0; c < t / b; c++) imp[c] += e[c] / sum;
    }
    imp[t / b] = INFINITY;
    case_best(imp, t / b + 1, r->k, keep);
    for (int j = lo; j <= t; j++) want[j] = keep[j / b];
}

/* Adds gate times a softmax over the keys marked. */
static void add_mask(const zoo *z, atn_idx head, atn_idx row, const bool *keep,
                     double gate, double *w)
{
    double a[ZOO_MOST], mass = 0;

    zoo_dense(z, head, row, a);
    for (atn_idx j = 0; j < z->head[head].nk; j++) mass += keep[j] ? a[j] : 0;
    for (atn_idx j = 0; j < z->head[head].nk; j++)
        if (keep[j]) w[j] += gate * a[j] / mass;
}

static void add_means(const zoo *z, atn_idx head, atn_idx row, int t, int lo,
                      const rule *r, double *w)
{
    const int b = r->block, first = (lo + b - 1) / b, end = (t + 1) / b;
    double e[ZOO_MOST], mean[64], sum = 0;

    for (int c = first; c < end; c++) {
        case_mean(z, head, c * b, (c + 1) * b, mean);
        e[c] = exp(z->head[head].scale * case_dot(z, head, row, mean));
        sum += e[c];
    }
    for (int c = first; c < end; c++)
        for (int j = c * b; j < (c + 1) * b; j++) w[j] += r->gate[0] * e[c] / sum / b;
}

static void by_definition(const zoo *z, atn_idx head, atn_idx row, const rule *r,
                          double *w)
{
    const atn_head *h = &z->head[head];
    const int t = (int)(row + h->nk - h->nq);
    const int seen = h->sight.window > 0 ? (int)h->sight.window : t + 1;
    const int lo = t + 1 > seen ? t + 1 - seen : 0;
    bool keep[ZOO_MOST] = {false};

    for (atn_idx j = 0; j < h->nk; j++) w[j] = 0;
    add_means(z, head, row, t, lo, r, w);
    choose(z, head, t, lo, r, keep);
    add_mask(z, head, row, keep, r->gate[1], w);
    for (int j = 0; j <= t; j++) keep[j] = j >= lo && j > t - r->window;
    add_mask(z, head, row, keep, r->gate[2], w);
}

static void check_layer(atn_ctx *cx, const zoo *z, const char *spec, const rule *r)
{
    for (atn_idx first = 0; first < z->in.heads; first += z->in.group) {
        atn_plan p[ZOO_HEADS_MOST];

        zoo_plan(cx, z, spec, first, p);
        for (atn_idx k = 0; k < z->in.group; k++)
            for (atn_idx i = 0; i < z->head[0].nq; i++) {
                double w[ZOO_MOST], want[ZOO_MOST];

                CHECK_OK(atn_plan_rows(cx, &z->head[first + k], &p[k], i, 1, w));
                by_definition(z, first + k, i, r, want);
                for (atn_idx j = 0; j < z->head[0].nk; j++) {
                    if (fabs(w[j] - want[j]) > 2e-6)
                        fail_msg("%s, head %lld, row %lld, key %lld: %g, wanted %g",
                                 spec, (long long)(first + k), (long long)i,
                                 (long long)j, w[j], want[j]);
                }
            }
        zoo_release(cx, p, z->in.group);
    }
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < CASES; trial++)
        for (int b = 1; b <= 8; b = trial % 2 ? 2 * b : b + 2)
            for (int k = 1; k <= 4; k++) {
                const rule r = {b, k, 1 + trial % 7, {.25, .5, .125}};
                char spec[128];
                zoo z;

                case_layer(&z, trial);
                snprintf(spec, sizeof spec,
                         "nsa:block=%d,k=%d,window=%d,cmp=.25,slc=.5,win=.125", b, k,
                         r.window);
                check_layer(cx, &z, spec, &r);
                zoo_free(&z);
            }
}

/* A window beyond the text alone, blocks of one key compressed alone: dense. */
static void limits(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++) {
        zoo_dense(&z, 1, i, a);
        zoo_row(cx, &z, "nsa:win=1,slc=0,window=1m", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "nsa:cmp=1,slc=0,block=1", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-6);
        zoo_row(cx, &z, "nsa", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
    }
    case_refused(cx, &z, "nsa", "slc=0", ATN_USAGE, "all gates are 0");
    zoo_free(&z);
}

/* A row is in at most 2 log2 groups, and all rows are served. */
static void rows_are_in_few_groups(atn_ctx *cx)
{
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 1000, 1000, 3);
    zoo_plan(cx, &z, "nsa:block=3,cmp=1,slc=0", 0, &p);
    CHECK_EQ(p.branches, 1);
    CHECK_EQ(p.virtuals, 334);
    CHECK_LE(p.branch[0].part[0].groups.row_ptr[p.branch[0].part[0].groups.n],
             9 * 1000);
    CHECK_LE(p.branch[0].part[0].groups.key_ptr[p.branch[0].part[0].groups.n], 9 * 333);
    CHECK_NEAR(p.index_flops, 0, 0);
    CHECK(p.expand_ptr[334] == 1000 && p.expand_weight[999] == 1);
    atn_plan_release(cx, &p);
    z.head[0].v.data = NULL;
    zoo_plan(cx, &z, "nsa_mix:block=3", 0, &p);
    CHECK(p.branches == 3 && p.vv == NULL);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* Gates of tokens from a file take the place of the parameters, of that head. */
static void gates(atn_ctx *cx)
{
    char path[600];
    float gate[24][3];
    double w[24], want[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++)
        for (int b = 0; b < 3; b++) gate[i][b] = (float)((i + 3 * b) % 5) / 4;
    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("nsa"));
    CHECK_OK(atn_st_save(cx, path,
                         &(atn_st_out){.name = "gates.layer-000.head-001",
                                       .rank = 2,
                                       .shape = {24, 3},
                                       .data = gate},
                         1, NULL, true, NULL));
    CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
    for (int i = 0; i < 24; i++) {
        const rule r = {4, 3, 5, {gate[i][0], gate[i][1], gate[i][2]}};
        const rule own = {4, 3, 5, {0, 1, 0}};

        zoo_row(cx, &z, "nsa:block=4,k=3,window=5", 1, i, w);
        by_definition(&z, 1, i, &r, want);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], want[j], 2e-6);
        zoo_row(cx, &z, "nsa:block=4,k=3,window=5", 0, i, w);
        by_definition(&z, 0, i, &own, want);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], want[j], 2e-6);
    }
    atn_draws_close(cx, z.in.draws);
    zoo_free(&z);
}

static void failures(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 2, 150, 150, 4);
    case_threads(cx, &z, "nsa_mix:block=7,k=3,window=20");
    zoo_free(&z);
    zoo_second(&z);
    zoo_failing(&z, "nsa_mix", "block=4,k=2");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"twin", twin}, {"limits", limits},
           {"few groups", rows_are_in_few_groups}, {"gates", gates},
           {"failures", failures})
