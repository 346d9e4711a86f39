/* DHSA in chunks: golden rows, a twin that sums whole matrices, and what follows from
 * the definition. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/selection.h"

#define SECOND "dhsa_v1:k=8,block=4,local=4,global=1,w=2,nms=2,most=4"

/* Second fixture of the card: chunks begin at 0 8 12 20. */
static void golden_rows(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, SECOND, 0, 19, "0,12-14,16-19", .354287, 14.661843);
    zoo_golden(cx, &z, SECOND, 0, 23, "0,12-14,20-23", .311807, 16.720775);
    zoo_free(&z);
}

/* ---- twin ---- */

enum { N_MOST = 96 };
enum { NORM, MEAN, MAX };

typedef struct twin {
    long k, local, global, block, nms, most, w, instruction;
    double theta;
    int pool;
    bool published;
} twin;

/* The chunk of every key, from the whole matrix; how many. */
static long twin_chunks(const zoo *z, const twin *t, long *chunk)
{
    static double a[N_MOST][N_MOST];
    const atn_head *h = &z->head[0];
    const long n = h->nk, most = t->most ? t->most : n / 64 ? 8 * (n / 64) : 1;
    double ratio[N_MOST] = {0};
    bool ends[N_MOST] = {false};
    long count = 0;

    memset(a, 0, sizeof a);
    for (atn_idx e = 0; e < z->in.heads; e++)
        for (long i = 0; i < h->nq; i++) {
            double row[N_MOST];

            zoo_dense(z, e, i, row);
            for (long j = 0; j < n; j++)
                a[i + h->sight.offset][j] += row[j] / (double)z->in.heads;
        }
    for (long p = 2 * t->w - 1; p < n - 2 * t->w; p++) {
        double past = 0, ahead = 0;

        for (long r = p + t->w; r < n; r++)
            for (long e = 0; e < t->w; e++) {
                past += a[r][p - e];
                ahead += a[r][p + 1 + e];
            }
        ratio[p] = (fmax(past, ahead) + 1e-6) / (fmin(past, ahead) + 1e-6);
    }
    for (long taken = 0; taken < most; taken++) {
        long best = -1;

        for (long p = 0; p < n; p++) {
            bool barred = !(ratio[p] > t->theta);

            for (long e = 0; e < n; e++)
                if (ends[e] && labs(e - p) <= t->nms) barred = true;
            if (!barred && (best < 0 || ratio[p] > ratio[best])) best = p;
        }
        if (best < 0) break;
        ends[best] = true;
    }
    for (long j = 0; j < n; j++) {
        chunk[j] = count;
        count += ends[j] && j + 1 < n;
    }
    return count + 1;
}

/* One number for some rows of a column, averaged over heads. */
static double twin_pool(const zoo *z, const twin *t, bool keys, long from, long to,
                        long c)
{
    double all = t->pool == MAX ? -INFINITY : 0;

    for (long i = from; i < to; i++) {
        double x = 0;

        for (atn_idx h = 0; h < z->in.heads; h++)
            x += (double)atn_crow(keys ? z->head[h].k : z->head[h].q, i)[c];
        x /= (double)z->in.heads;
        all = t->pool == MAX ? fmax(all, x) : all + x;
    }
    if (t->pool == MAX) return all;
    return all / (double)(to - from) *
           (t->pool == NORM ? sqrt((double)(to - from)) : 1);
}

static void twin_row(const zoo *z, const twin *t, const long *chunk, long i,
                     uint8_t *out)
{
    const atn_head *h = &z->head[0];
    const long offset = h->sight.offset, a = (i + offset) / t->block;
    long first = -1, last = -1, left = t->k, order[N_MOST], n = 0;
    bool kept[N_MOST] = {false};
    double score[N_MOST];
    atn_idx lo, hi, sees, end;

    for (long r = 0; r < h->nq; r++)
        if ((r + offset) / t->block == a) {
            if (first < 0) first = r;
            last = r;
        }
    atn_sight_row(&h->sight, first, &sees, &end);
    atn_sight_row(&h->sight, last, &lo, &end);
    for (long j = 0; j < h->nk;) {
        long to = j;

        while (to < h->nk && chunk[to] == chunk[j]) to++;
        for (long e = j; e < to; e++) score[e] = 0;
        for (long c = 0; c < h->q.cols; c++)
            score[j] += twin_pool(z, t, false, first, last + 1, c) *
                        twin_pool(z, t, true, j, to, c);
        for (long e = j; e < to; e++) score[e] = score[j];
        j = to;
    }
    for (long j = end - 1; j >= sees && j >= end - t->local && left > 0; j--) {
        kept[j] = true;
        left--;
    }
    for (long j = sees; j < t->global && j < end && left > 0 && !t->published; j++) {
        left -= !kept[j];
        kept[j] = true;
    }
    for (; left > 0; left--) {
        long best = -1;

        for (long j = sees; j < end; j++)
            if (!kept[j] && (best < 0 || score[j] > score[best])) best = j;
        if (best >= 0) kept[best] = true;
    }
    for (long j = 0; j < end; j++)
        if (kept[j]) order[n++] = j;
    if (t->published) {
        memset(kept, 0, sizeof kept);
        for (long e = 0; e < n; e++) kept[e < t->global ? e : order[e]] = true;
    }
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (long j = 0; j < h->nk; j++)
        out[j] = j >= lo && j < hi && (kept[j] || i >= h->nq - t->instruction);
}

static long draw(uint64_t *seed, long lo, long hi)
{
    return lo + (long)(zoo_uniform(seed) * (double)(hi - lo + 1));
}

static void twin_of_the_choice(atn_ctx *cx)
{
    const char *pools[] = {"avgpool_norm", "avgpool", "maxpool"};
    uint64_t seed = 41;

    for (int trial = 0; trial < 120; trial++) {
        const long nk = draw(&seed, 1, 90), nq = trial % 3 ? nk : draw(&seed, 1, nk);
        const twin t = {.k = draw(&seed, 1, 40),
                        .local = draw(&seed, 0, 12),
                        .global = draw(&seed, 0, 6),
                        .block = draw(&seed, 1, 9),
                        .nms = draw(&seed, 0, 6),
                        .most = trial % 5 ? draw(&seed, 1, 12) : 0,
                        .w = draw(&seed, 1, 6),
                        .instruction = trial % 7 ? 0 : draw(&seed, 1, 12),
                        .theta = 1.02 + .1 * zoo_uniform(&seed),
                        .pool = trial % 3,
                        .published = trial % 4 == 2};
        long chunk[N_MOST];
        char spec[256];
        zoo z;

        zoo_random(&z, 4, 2, nq, nk, seed);
        if (trial % 6 == 1) selection_window(&z, draw(&seed, 1, 40));
        z.in.as_published = t.published;
        snprintf(spec, sizeof spec,
                 "dhsa_v1:k=%ld,local=%ld,global=%ld,block=%ld,nms=%ld,most=%ld,w=%ld,"
                 "instruction=%ld,theta=%.17g,pool=%s",
                 t.k, t.local, t.global, t.block, t.nms, t.most, t.w, t.instruction,
                 t.theta, pools[t.pool]);
        twin_chunks(&z, &t, chunk);
        for (atn_idx h = 0; h < 4; h += 3) {
            uint8_t *got = selection_of(cx, &z, spec, h);
            uint8_t *wanted = malloc((size_t)(nq * nk) + 1);

            for (long i = 0; i < nq; i++) twin_row(&z, &t, chunk, i, wanted + i * nk);
            selection_same(spec, &z, h, got, wanted);
            free(got);
            free(wanted);
        }
        zoo_free(&z);
    }
}

/* ---- derived ---- */

static void large_k_is_dense(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 1, 60, 90, 5);
    selection_is_dense(cx, &z, "dhsa_v1:k=90,block=7", 1);
    selection_is_dense(cx, &z, "dhsa_v1", 0);
    selection_is_dense(cx, &z, "dhsa_v1:k=1,instruction=60,block=4", 1);
    selection_is_dense(
        cx, &z, "dhsa_v1:k=1m,local=1m,global=1m,block=1m,nms=1m,most=1m,w=1024", 0);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 1, 1, 5);
    selection_is_dense(cx, &z, "dhsa_v1", 0);
    zoo_free(&z);
}

/* Queries of 0: attention is uniform, past = ahead, ratio 1, so there is one chunk: the
 * last 4 that the block sees, the first 2, and the lowest. */
static void uniform_attention_is_one_chunk(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_random(&z, 2, 2, 80, 80, 3);
    memset(z.q, 0, 2 * 80 * 8 * sizeof *z.q);
    got = selection_of(cx, &z, "dhsa_v1:k=12,block=4,local=4,global=2", 1);
    for (long i = 0; i < 80; i++)
        for (long j = 0; j < 80; j++)
            CHECK_EQ(got[i * 80 + j], j <= i && (j < 8 || j / 4 == i / 4));
    free(got);
    zoo_free(&z);
}

/* Chunks of one token, one head, rows alone: the query's own key, and the best k - 1 of
 * those before it. Where all chunks are of one length the root of it changes
 * nothing. */
static void single_tokens_are_the_best_keys(atn_ctx *cx)
{
    const char *spec = "dhsa_v1:theta=-1,nms=0,most=1m,block=1,local=1,global=0,k=7";
    char other[128];
    uint8_t *got, *again;
    zoo z;

    zoo_random(&z, 1, 1, 60, 60, 7);
    got = selection_of(cx, &z, spec, 0);
    for (long i = 0; i < 60; i++) {
        long n = 0;

        CHECK_EQ(got[i * 60 + i], 1);
        for (long j = 0; j < i; j++) {
            long above = 0;

            for (long e = 0; e < i; e++)
                above += selection_dot(z.q + 8 * i, z.k + 8 * e, 8) >
                         selection_dot(z.q + 8 * i, z.k + 8 * j, 8);
            CHECK_EQ(got[i * 60 + j], above < 6);
            n += got[i * 60 + j];
        }
        CHECK_EQ(n, i < 6 ? i : 6);
    }
    snprintf(other, sizeof other, "%s,pool=avgpool", spec);
    again = selection_of(cx, &z, other, 0);
    CHECK(memcmp(got, again, 60 * 60) == 0);
    free(got);
    free(again);
    zoo_free(&z);
}

/* 12 tokens, one chunk, budget 5 of which 2 local: 0-2 and 10, 11 for the last row. As
 * published the first 4 of these, 0 1 2 10, become 0 1 2 3. */
static void published_choice_drops_the_lowest(atn_ctx *cx)
{
    const char *spec = "dhsa_v1:k=5,block=12,local=2,global=4,theta=1000";
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 12, 12, 3);
    got = selection_of(cx, &z, spec, 0);
    for (long j = 0; j < 12; j++) CHECK_EQ(got[11 * 12 + j], j < 3 || j >= 10);
    free(got);
    z.in.as_published = true;
    got = selection_of(cx, &z, spec, 0);
    for (long j = 0; j < 12; j++) CHECK_EQ(got[11 * 12 + j], j < 4 || j == 11);
    free(got);
    zoo_free(&z);
}

/* 12 tokens of one number in one chunk, blocks of 4 and w too large for a border: 24
 * additions for the means, a pair for the blocks behind the first, which sees its local
 * keys alone. Reading: 12 keys, 12 queries, a mean a pair. */
static void cost_counts_what_was_read(atn_ctx *cx)
{
    const char *spec = "dhsa_v1:k=6,block=4,local=4,global=0,w=4";
    atn_plan plan, plans[2];
    zoo z;

    zoo_shape(&z, 1, 1, 12, 12, 1, 1);
    for (int i = 0; i < 12; i++) z.q[i] = z.k[i] = z.v[i] = 1;
    zoo_plan(cx, &z, spec, 0, &plan);
    CHECK(plan.index_flops == 24 + 2 * 2);
    CHECK(plan.index_bytes == 2 * (12 + 12 + 2));
    CHECK_EQ(plan.tile_rows, 4);
    CHECK_EQ(plan.tile_keys, 1);
    CHECK_EQ(plan.ties, 2 + 6); /* 2 of 4 keys, 2 of 8 */
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
    /* with borders the attention is computed, too: 2 flop for 16 17 / 2 pairs */
    zoo_shape(&z, 1, 1, 16, 16, 1, 1);
    for (int i = 0; i < 16; i++) z.q[i] = z.k[i] = z.v[i] = 1;
    zoo_plan(cx, &z, spec, 0, &plan);
    CHECK(plan.index_flops == 32 + 2 * 3 + 2 * 136);
    CHECK(plan.index_bytes == 2 * (16 + 16 + 3) + 2 * 32);
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
    /* two query heads over one of keys: means of 12 keys and 24 queries, the pairs of
     * one mean query, all of it in halves */
    zoo_shape(&z, 2, 2, 12, 12, 1, 1);
    for (int i = 0; i < 24; i++) z.q[i] = 1;
    for (int i = 0; i < 12; i++) z.k[i] = z.v[i] = 1;
    CHECK_EQ(zoo_plan(cx, &z, spec, 0, plans), 2);
    for (int h = 0; h < 2; h++) {
        CHECK(plans[h].index_flops == (36 + 2 * 2) / 2.);
        CHECK(plans[h].index_bytes == 2 * (12 + 24 + 2) / 2.);
        CHECK_EQ(plans[h].ties, 2 + 6);
    }
    zoo_release(cx, plans, 2);
    zoo_free(&z);
}

static void rules_and_looks(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    CHECK_EQ(selection_looks(cx, &z, "dhsa_v1"), ATN_LOOKS_QUERIES | ATN_LOOKS_KEYS);
    selection_fails(cx, &z, "dhsa_v1:w=1025", ATN_USAGE, "w");
    zoo_causal(&z, false);
    selection_fails(cx, &z, "dhsa_v1", ATN_DATA, "for causal heads");
    zoo_free(&z);
}

static void threads_and_memory(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 2, 200, 200, 13);
    selection_threads(cx, &z, SECOND ",instruction=3");
    zoo_free(&z);
    zoo_random(&z, 2, 2, 30, 30, 13);
    selection_failing(&z, SECOND ",instruction=3");
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden_rows}, {"twin", twin_of_the_choice},
           {"large k", large_k_is_dense},
           {"uniform attention", uniform_attention_is_one_chunk},
           {"single tokens", single_tokens_are_the_best_keys},
           {"published choice", published_choice_drops_the_lowest},
           {"cost", cost_counts_what_was_read}, {"rules and looks", rules_and_looks},
           {"threads and memory", threads_and_memory})
