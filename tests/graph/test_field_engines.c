/* tests/graph/test_field_engines.c -- the engines of graph/field against each other
 * where one stripe of bits is not enough, on 1 and 4 threads, and without memory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "field_patterns.h"

#include "graph/field_internal.h"

enum { DEPTH = 6 };

static const atn_field_engine *const all_engines[] = {
    &atn_field_shift,
    &atn_field_axes,
    &atn_field_intervals,
    &atn_field_frontier,
};

static void check_same(const atn_field_at *a, const atn_field_at *b, bool every)
{
    CHECK_EQ(a->reached, b->reached);
    CHECK_EQ(a->reached_tokens, b->reached_tokens);
    CHECK_EQ(a->complete, b->complete);
    CHECK_EQ(a->contiguous, b->contiguous);
    CHECK_EQ(a->first_missing, b->first_missing);
    if (!every) return;
    CHECK_NEAR(a->pairs_share, b->pairs_share, 0);
    CHECK_NEAR(a->rows_complete, b->rows_complete, 0);
    CHECK_NEAR(a->least_share, b->least_share, 0);
    CHECK_EQ(a->least_row, b->least_row);
}

static void check_same_map(atn_ctx *cx, const atn_field_plan *p,
                           const atn_field_engine *e)
{
    float a[23 * 37], b[23 * 37];

    CHECK_OK(atn_field_map_by(cx, p, e, DEPTH, (atn_mat){a, 23, 37, 37}));
    CHECK_OK(atn_field_map_by(cx, p, &atn_field_bits, DEPTH, (atn_mat){b, 23, 37, 37}));
    CHECK(memcmp(a, b, sizeof a) == 0);
}

/* Takes the layers; every engine that fits gives the numbers of the bits. */
static void compare(atn_ctx *cx, atn_pattern **layers, int n, const char *engine)
{
    const atn_field_opts o = {.depth = DEPTH, .every = true, .diameter = true};
    bool seen = false;
    atn_field_plan p;
    atn_field bits;

    CHECK_OK(atn_field_plan_make(cx, (const atn_pattern *const *)layers, n, &p));
    CHECK_OK(atn_field_run_by(cx, &p, &atn_field_bits, &o, &bits));
    for (size_t i = 0; i < ATN_LEN(all_engines); i++) {
        const atn_field_engine *e = all_engines[i];
        atn_field f;
        bool fits;

        CHECK_OK(e->fits(cx, &p, &fits));
        if (!fits) continue;
        seen |= strcmp(e->id, engine) == 0;
        CHECK_OK(atn_field_run_by(cx, &p, e, &o, &f));
        for (int k = 0; k <= DEPTH; k++) check_same(&f.at[k], &bits.at[k], e->every);
        CHECK_EQ(f.complete, bits.complete);
        CHECK_EQ(f.diameter, e->every ? bits.diameter : -2);
        if (e->every) check_same_map(cx, &p, e);
        atn_field_release(cx, &f);
    }
    CHECK(seen);
    atn_field_release(cx, &bits);
    for (int l = 0; l < n; l++) atn_pattern_destroy(cx, layers[l]);
}

static void many_stripes(atn_ctx *cx)
{
    const atn_idx n = 1301;
    const atn_axes grid = {2, {{27, 5, 2, 3, false}, {50, 6, 3, 1, true}}};
    const atn_axes wide = {2, {{27, 9, 1, 3, false}, {50, 50, 1, 1, false}}};
    const atn_idx starts[] = {0, 100, 101, 700};
    const atn_frame f = atn_frame_square(n, 1, true),
                    open = atn_frame_square(n, 1, false);
    atn_pattern *segments;
    atn_pattern *window = shifted(cx, n, 1, false, &(atn_span){-40, 70}, 1, 0);

    CHECK_OK(atn_pattern_segments(cx, &open, starts, 4, &segments));
    compare(cx, (atn_pattern *[]){powers_of(cx, n, 1, 5, 1)}, 1, "shift");
    compare(
        cx,
        (atn_pattern *[]){stepped(cx, n, 1, 3, 37, n, 0), window_of(cx, n, 1, 9, 70)},
        2, "shift");
    compare(cx, (atn_pattern *[]){segments, window}, 2, "intervals");
    CHECK_OK(atn_pattern_segments(cx, &f, starts, 4, &segments));
    compare(cx, (atn_pattern *[]){segments, window_of(cx, n, 1, 64, 0)}, 2,
            "intervals");
    compare(cx, (atn_pattern *[]){grid_of(cx, &grid), grid_of(cx, &wide)}, 2, "axes");
}

/* Two keys a row at random, in one of 200 rows a long interval, not causal: rows of
 * bytes. */
static void sparse_rows(atn_ctx *cx)
{
    enum { N = 1100, LAYERS = 2 };
    static uint8_t see[LAYERS][N][N], now[N][N], next[N][N];
    const atn_frame frame = atn_frame_square(N, 1, false);
    atn_rng r = atn_rng_stream(0, "field/sparse", 0, 0);
    const atn_pattern *layers[LAYERS];
    const atn_field_opts o = {.depth = 4, .every = true};
    atn_field f;

    for (int l = 0; l < LAYERS; l++) {
        for (int i = 0; i < N; i++) {
            for (int t = 0; t < 2; t++) see[l][i][atn_rng_below(&r, N)] = 1;
            if (i % 200 == 7) memset(&see[l][i][100], 1, 77);
        }
        layers[l] = given_rows(cx, &frame, 1, see[l][0]);
    }
    CHECK_OK(atn_field_run(cx, layers, LAYERS, &o, &f));
    CHECK_STR(f.method, "bits");
    for (int i = 0; i < N; i++) now[i][i] = 1;
    for (int k = 1; k <= 4; k++) {
        double pairs = 0, last = 0;

        memcpy(next, now, sizeof now);
        for (int i = 0; i < N; i++)
            for (int m = 0; m < N; m++)
                for (int j = 0; see[(k - 1) % LAYERS][i][m] && j < N; j++)
                    next[i][j] |= now[m][j];
        memcpy(now, next, sizeof now);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) pairs += now[i][j];
        for (int j = 0; j < N; j++) last += now[N - 1][j];
        CHECK_NEAR(f.at[k].pairs_share, pairs / N / N, 1e-15);
        CHECK_EQ(f.at[k].reached, last);
    }
    atn_field_release(cx, &f);
    for (int l = 0; l < LAYERS; l++) atn_pattern_destroy(cx, (atn_pattern *)layers[l]);
}

/* The rows of a layer as bits, tokens, with the residual. */
enum { REPEATS = 2100, WORDS = (REPEATS + 63) / 64 };
typedef struct bit_rows {
    uint64_t at[REPEATS][WORDS];
} bit_rows;

static bool bit_of(const bit_rows *b, atn_idx i, atn_idx j)
{
    return b->at[i][j / 64] >> (j % 64) & 1;
}

static void set_bit(bit_rows *b, atn_idx i, atn_idx j)
{
    b->at[i][j / 64] |= (uint64_t)1 << (j % 64);
}

/* Columns 12 and 13 of 16, a window of 3, segments of 300; then those of 64 thick, of 192 by every third, of 384 by phases 0 and 2 of 4. */
static void see_repeats(bit_rows *see)
{
    memset(see, 0, 2 * sizeof *see);
    for (atn_idx i = 0; i < REPEATS; i++)
        for (atn_idx j = 0; j <= i; j++) {
            if ((j % 16 & ~1) == 12 || i - j < 3 || i / 300 == j / 300)
                set_bit(&see[0], i, j);
            if (i / 64 == j / 64 ||
                (i / 192 == j / 192 && i % 192 % 3 == j % 192 % 3) ||
                (i / 384 == j / 384 && i % 4 == j % 4 && i % 2 == 0) || i == j)
                set_bit(&see[1], i, j);
        }
}

static void make_repeats(atn_ctx *cx, atn_pattern **out)
{
    static const atn_idx phase[] = {0, 1, 2, 12};
    const atn_frame f = atn_frame_square(REPEATS, 1, true);
    atn_pattern *p;

    CHECK_OK(atn_pattern_residues(cx, &f, 300, 1, phase, 1, &out[0]));
    CHECK_OK(atn_pattern_columns(cx, &f, 16, 2, phase + 3, 1, &p));
    CHECK_OK(atn_pattern_union(cx, out[0], p, &out[0]));
    CHECK_OK(atn_pattern_union(cx, out[0], window_of(cx, REPEATS, 1, 3, 0), &out[0]));
    CHECK_OK(atn_pattern_residues(cx, &f, 64, 1, phase, 1, &out[1]));
    CHECK_OK(atn_pattern_residues(cx, &f, 384, 4, (atn_idx[]){0, 2, 0}, 3, &p));
    CHECK_OK(atn_pattern_union(cx, out[1], p, &out[1]));
    CHECK_OK(atn_pattern_residues(cx, &f, 192, 3, phase, 3, &p));
    CHECK_OK(atn_pattern_union(cx, out[1], p, &out[1]));
    CHECK_EQ(out[0]->repeat.step, 1);
    CHECK_EQ(out[0]->repeat.segment, 300);
    CHECK_EQ(out[1]->repeat.step, 12);
    CHECK_EQ(out[1]->repeat.segment, 384); /* the others are short */
    CHECK_EQ(out[1]->repeat.reach, 191);
}

/* Rows that go on from earlier ones, over several tasks and stripes, against all
 * pairs. */
static void rows_that_repeat(atn_ctx *cx)
{
    static bit_rows see[2], now, next;
    static double walks[REPEATS], more[REPEATS];
    const atn_field_opts o = {.depth = 3, .every = true, .walks = true};
    const atn_field_engine *const engines[] = {&atn_field_bits, &atn_field_frontier};
    atn_pattern *layers[2];
    atn_field_plan p;
    atn_field f[2];

    cx->threads = 4;
    see_repeats(see);
    make_repeats(cx, layers);
    CHECK_OK(atn_field_plan_make(cx, (const atn_pattern *const *)layers, 2, &p));
    for (int e = 0; e < 2; e++)
        CHECK_OK(atn_field_run_by(cx, &p, engines[e], &o, &f[e]));
    memset(&now, 0, sizeof now);
    for (atn_idx i = 0; i < REPEATS; i++) {
        set_bit(&now, i, i);
        walks[i] = 1;
    }
    for (int k = 1; k <= 3; k++) {
        const bit_rows *s = &see[(k - 1) % 2];
        double pairs = 0, last = 0;

        memset(&next, 0, sizeof next);
        for (atn_idx i = 0; i < REPEATS; i++) {
            more[i] = 0;
            for (atn_idx j = 0; j <= i; j++) {
                if (!bit_of(s, i, j)) continue;
                more[i] += walks[j];
                for (int w = 0; w < WORDS; w++) next.at[i][w] |= now.at[j][w];
            }
        }
        now = next;
        memcpy(walks, more, sizeof walks);
        for (atn_idx i = 0; i < REPEATS; i++)
            for (atn_idx j = 0; j <= i; j++) pairs += bit_of(&now, i, j);
        for (atn_idx j = 0; j < REPEATS; j++) last += bit_of(&now, REPEATS - 1, j);
        CHECK_NEAR(f[0].at[k].pairs_share, pairs / (REPEATS / 2. * (REPEATS + 1)),
                   1e-15);
        for (int e = 0; e < 2; e++) {
            CHECK_EQ(f[e].at[k].reached, last);
            CHECK_NEAR(f[e].at[k].walks_log10, log10(walks[REPEATS - 1]), 1e-14);
        }
    }
    for (int e = 0; e < 2; e++) atn_field_release(cx, &f[e]);
    for (int l = 0; l < 2; l++) atn_pattern_destroy(cx, layers[l]);
}

/* Bytes of what the engine says, with walks and map. */
static void fingerprint(atn_ctx *cx, const atn_field_plan *p, const atn_field_engine *e,
                        int threads, atn_field_at *at, float *map)
{
    const atn_field_opts o = {.depth = DEPTH, .every = true, .walks = true};
    atn_field f;

    cx->threads = threads;
    CHECK_OK(atn_field_run_by(cx, p, e, &o, &f));
    memcpy(at, f.at, (DEPTH + 1) * sizeof *at);
    atn_field_release(cx, &f);
    CHECK_OK(atn_field_map_by(cx, p, e, DEPTH, (atn_mat){map, 31, 31, 31}));
}

static void threads_do_not_matter(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(2100, 1, true);
    const atn_idx phase[] = {0, 1, 2}, wide[] = {0, 5};
    static atn_field_at a[DEPTH + 1], b[DEPTH + 1];
    static float x[31 * 31], y[31 * 31];
    atn_pattern *columns, *residues;
    atn_field_plan p;

    CHECK_OK(atn_pattern_columns(cx, &f, 60, 2, wide, 2, &columns));
    CHECK_OK(atn_pattern_residues(cx, &f, 300, 3, phase, 3, &residues));
    {
        const atn_pattern *const layers[] = {columns, residues};

        CHECK_OK(atn_field_plan_make(cx, layers, 2, &p));
        fingerprint(cx, &p, &atn_field_bits, 1, a, x);
        fingerprint(cx, &p, &atn_field_bits, 4, b, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
        for (int k = 0; k <= DEPTH; k++) {
            check_same(&a[k], &b[k], true);
            CHECK_NEAR(a[k].walks_log10, b[k].walks_log10, 0);
        }
    }
    atn_pattern_destroy(cx, columns);
    atn_pattern_destroy(cx, residues);
}

static void sink(void *user, atn_log_level level, const char *text)
{
    *(bool *)user |= level == ATN_LOG_WARN && strstr(text, "walks are left out");
}

/* 2^18 rows of 2^17 intervals are 2^35, and not read; of causal rows only what is new
 * is. */
static void walks_are_left_out(atn_ctx *cx)
{
    const atn_idx n = 1 << 18, phase = 1;
    bool warned = false;

    cx->log_sink = sink;
    cx->log_user = &warned;
    for (int causal = 0; causal < 2; causal++) {
        const atn_frame f = atn_frame_square(n, 1, causal == 1);
        atn_field_at at[2] = {{.walks_log10 = 1}};
        const atn_pattern *layers[1];
        atn_pattern *p;
        atn_field_plan plan;

        warned = false;
        CHECK_OK(atn_pattern_columns(cx, &f, 2, 1, &phase, 1, &p));
        layers[0] = p;
        CHECK_OK(atn_field_plan_make(cx, layers, 1, &plan));
        CHECK_OK(atn_field_walks(cx, &plan, 1, at));
        CHECK_EQ(warned, causal == 0);
        if (causal == 0)
            CHECK(isnan(at[1].walks_log10) && isnan(at[1].walks_first_log10));
        else
            CHECK_NEAR(at[1].walks_log10, log10((double)n / 2), 1e-14);
        atn_pattern_destroy(cx, p);
    }
    cx->log_sink = NULL;
    cx->log_user = NULL;
}

/* ---- what stops, and what does not fit ---- */

static atn_pattern *documents(atn_ctx *cx, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    const atn_idx starts[] = {0, 1000, 1001, n / 2};
    atn_pattern *p;

    CHECK_OK(atn_pattern_segments(cx, &f, starts, 4, &p));
    return p;
}

/* All of an engine that goes over the nodes or the rows asks whether to stop. */
static void check_stops(atn_ctx *cx, const atn_field_engine *e, atn_pattern *pattern,
                        bool reads)
{
    const atn_pattern *const layers[] = {pattern};
    const double passed = 1e-3;
    const atn_idx n = pattern->frame.nk;
    uint8_t *reached = calloc((size_t)n, 1);
    atn_field_tally t;
    void *state = NULL;
    atn_field_plan p;
    bool fits, own;

    CHECK_OK(atn_field_plan_make(cx, layers, 1, &p));
    CHECK_OK(e->fits(cx, &p, &fits));
    CHECK(fits);
    CHECK_OK(e->open(cx, &p, n - 1, &state));
    cx->deadline = passed;
    if (reads) CHECK_FAILS(e->step(cx, state, 1), ATN_TERMINATED, "time limit");
    if (reads && e->every)
        CHECK_FAILS(e->fits(cx, &p, &fits), ATN_TERMINATED, "time limit");
    CHECK_FAILS(e->mark(cx, state, n - 1, reached, &own), ATN_TERMINATED, "time limit");
    if (e->every) CHECK_FAILS(e->tally(cx, state, &t), ATN_TERMINATED, "time limit");
    cx->deadline = 0;
    CHECK_OK(e->step(cx, state, 1));
    CHECK_OK(e->mark(cx, state, n - 1, reached, &own));
    CHECK_EQ(reached[n - 1], 1);
    e->close(cx, state);
    free(reached);
    atn_pattern_destroy(cx, pattern);
}

static void scans_stop(atn_ctx *cx)
{
    const atn_idx n = ATN_FIELD_READ_MOST + 7;
    const atn_axes grid = {1, {{n, 5, 2, 3, false}}};

    check_stops(cx, &atn_field_shift, window_of(cx, n, 1, 3, 0), false);
    check_stops(cx, &atn_field_axes, grid_of(cx, &grid), false);
    check_stops(cx, &atn_field_intervals, documents(cx, n), true);
    check_stops(cx, &atn_field_frontier, documents(cx, n), true);
}

/* 32 bytes a node beyond the limit, or without one beyond 2 GiB: no row is read, or the
 * time limit would say so. */
static void intervals_do_not_fit(atn_ctx *cx)
{
    static const atn_idx lengths[] = {1 << 21, (1 << 26) + 1};

    for (int i = 0; i < 2; i++) {
        atn_pattern *const d = documents(cx, lengths[i]);
        const atn_pattern *const layers[] = {d};
        atn_field_plan p;
        bool fits = true;

        CHECK_OK(atn_field_plan_make(cx, layers, 1, &p));
        cx->mem_limit = i == 0 ? *cx->in_use + 32 * (size_t)lengths[i] : 0;
        cx->deadline = 1e-3;
        CHECK_OK(atn_field_intervals.fits(cx, &p, &fits));
        CHECK(!fits);
        cx->deadline = 0;
        cx->mem_limit = 0;
        atn_pattern_destroy(cx, d);
    }
}

static void count_warnings(void *user, atn_log_level level, const char *text)
{
    int *n = user;

    if (level != ATN_LOG_WARN) return;
    n[0] += strstr(text, "only that of the last token is computed") != NULL;
    n[1] += strstr(text, "walks are left out") && strstr(text, "--mem-limit");
}

/* The frontier takes over from intervals, and there are no walks: 1 MiB for 2^16 nodes,
 * which need 2 and 6. */
static void the_frontier_takes_over(atn_ctx *cx)
{
    const atn_idx n = 1 << 16;
    const atn_field_opts o = {.depth = 2, .every = true, .walks = true};
    atn_pattern *const d = documents(cx, n);
    const atn_pattern *const layers[] = {d};
    int warnings[2] = {0};
    atn_field f;

    cx->log_sink = count_warnings;
    cx->log_user = warnings;
    cx->mem_limit = *cx->in_use + (1 << 20);
    CHECK_OK(atn_field_run(cx, layers, 1, &o, &f));
    CHECK_STR(f.method, "frontier");
    CHECK_EQ(f.at[1].reached, n / 2);
    CHECK(isnan(f.at[1].walks_log10) && isnan(f.at[1].walks_first_log10));
    CHECK_EQ(warnings[0], 1);
    CHECK_EQ(warnings[1], 1);
    atn_field_release(cx, &f);
    cx->mem_limit = 0;
    CHECK_OK(atn_field_run(cx, layers, 1, &o, &f));
    CHECK_STR(f.method, "intervals");
    CHECK_NEAR(f.at[1].walks_log10, log10((double)n / 2), 1e-12);
    CHECK_EQ(warnings[1], 1);
    atn_field_release(cx, &f);
    cx->log_sink = NULL;
    cx->log_user = NULL;
    atn_pattern_destroy(cx, d);
}

/* Without a limit 2 GiB: 144 bytes a node where sums slide, 96 else. */
static void walks_keep_to_a_default(atn_ctx *cx)
{
    int warnings[2] = {0};

    cx->log_sink = count_warnings;
    cx->log_user = warnings;
    for (int i = 0; i < 2; i++) {
        const atn_idx n = 2147483648 / (i == 0 ? 144 : 96);
        atn_pattern *const q = i == 0 ? window_of(cx, n, 1, 3, 0) : documents(cx, n);
        const atn_pattern *const layers[] = {q};
        atn_field_at at[2] = {{.walks_log10 = 1}, {.walks_log10 = 1}};
        atn_field_plan p;

        CHECK_OK(atn_field_plan_make(cx, layers, 1, &p));
        CHECK_OK(atn_field_walks(cx, &p, 1, at));
        CHECK(isnan(at[0].walks_log10) && isnan(at[1].walks_log10));
        CHECK_EQ(warnings[1], i + 1);
        atn_pattern_destroy(cx, q);
    }
    cx->log_sink = NULL;
    cx->log_user = NULL;
}

static atn_status all_of_it(atn_ctx *cx, const atn_pattern *const *layers, int n)
{
    const atn_field_opts o = {
        .depth = 3, .every = true, .walks = true, .diameter = true};
    uint8_t reached[64];
    float map[25];
    atn_field f;
    atn_status st;

    st = atn_field_run(cx, layers, n, &o, &f);
    CHECK(st == ATN_OK || !f.at);
    atn_field_release(cx, &f);
    if (st == ATN_OK) st = atn_field_of(cx, layers, n, 3, 7, reached);
    if (st == ATN_OK) st = atn_field_map(cx, layers, n, 3, (atn_mat){map, 5, 5, 5});
    return st;
}

static void fail_everywhere(atn_ctx *cx, atn_pattern **p, int n)
{
    const atn_pattern *const *layers = (const atn_pattern *const *)p;
    check_failing failing = {0};
    long k = 0;

    for (bool done = false; !done; k++) {
        atn_ctx child;
        atn_status st;

        atn_ctx_init(&child);
        child.threads = 1;
        failing.left = k;
        child.alloc = (atn_allocator){check_failing_resize, &failing};
        st = all_of_it(&child, layers, n);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        done = st == ATN_OK;
        atn_ctx_release(&child);
        CHECK(k < 1000);
    }
    CHECK(k > 8);
    for (int l = 0; l < n; l++) atn_pattern_destroy(cx, p[l]);
}

static void memory_fails(atn_ctx *cx)
{
    const atn_axes a = {2, {{6, 3, 1, 1, false}, {8, 4, 2, 1, true}}};
    const atn_frame f = atn_frame_square(48, 1, true);
    atn_rng r = atn_rng_stream(0, "field/memory", 0, 0);

    fail_everywhere(cx, (atn_pattern *[]){powers_of(cx, 48, 1, 3, 1)}, 1);
    fail_everywhere(cx, (atn_pattern *[]){grid_of(cx, &a), dense_of(cx, 48, 1, false)},
                    2);
    fail_everywhere(cx, (atn_pattern *[]){random_segments(cx, &r, &f)}, 1);
    fail_everywhere(
        cx, (atn_pattern *[]){random_given(cx, &r, &f), random_given(cx, &r, &f)}, 2);
}

CHECK_MAIN({"many stripes", many_stripes}, {"sparse rows", sparse_rows},
           {"rows that repeat", rows_that_repeat},
           {"walks are left out", walks_are_left_out},
           {"threads do not matter", threads_do_not_matter}, {"scans stop", scans_stop},
           {"intervals do not fit", intervals_do_not_fit},
           {"the frontier takes over", the_frontier_takes_over},
           {"walks keep to a default", walks_keep_to_a_default},
           {"memory fails", memory_fails})
