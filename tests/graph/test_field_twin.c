/* tests/graph/test_field_twin.c -- every engine of graph/field against products of
 * boolean matrices, of tokens and of nodes. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "field_patterns.h"

#include "graph/field_internal.h"

enum { N = 40, DEPTH = 5, LAYERS = 3 };

static const atn_field_engine *const all_engines[] = {
    &atn_field_shift, &atn_field_axes,     &atn_field_intervals,
    &atn_field_bits,  &atn_field_frontier,
};

/* What a stack of layers reaches, the dense way. */
typedef struct twin {
    atn_idx n, block, nodes;
    bool causal;
    uint8_t see[LAYERS][N][N];      /* tokens, with the residual */
    uint8_t node_see[LAYERS][N][N]; /* nodes, with the residual */
    uint8_t token[DEPTH + 1][N][N]; /* R_k */
    uint8_t node[DEPTH + 1][N][N];
    double walks[DEPTH + 1][N][N]; /* of k steps */
    int n_layers;
} twin;

static atn_idx gcd(atn_idx a, atn_idx b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* All that is visible, token by token. */
static bool sees_all(const twin *t, int l, bool causal)
{
    for (atn_idx i = 0; i < t->n; i++)
        for (atn_idx j = 0; j < (causal ? i + 1 : t->n); j++)
            if (!t->see[l][i][j]) return false;
    return true;
}

static void twin_see(twin *t, int l, const atn_pattern *p)
{
    atn_span s[16 * N];

    CHECK(p->room <= 16 * N);
    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx i = 0; i < t->n; i++) {
            const atn_idx m = atn_pattern_keys(p, h, i, s);

            for (atn_idx k = 0; k < m; k++)
                for (atn_idx j = s[k].lo; j < s[k].hi; j++) t->see[l][i][j] = 1;
        }
}

static void twin_step(twin *t, int k)
{
    const int l = (k - 1) % t->n_layers;

    for (atn_idx i = 0; i < t->n; i++)
        for (atn_idx m = 0; m < t->n; m++)
            for (atn_idx j = 0; t->see[l][i][m] && j < t->n; j++)
                t->token[k][i][j] |= t->token[k - 1][m][j];
    for (atn_idx i = 0; i < t->nodes; i++)
        for (atn_idx m = 0; m < t->nodes; m++)
            for (atn_idx j = 0; t->node_see[l][i][m] && j < t->nodes; j++) {
                t->node[k][i][j] |= t->node[k - 1][m][j];
                t->walks[k][i][j] += t->walks[k - 1][m][j];
            }
}

/* The block is that of the run, where it may be: a divisor of all blocks but those of
 * layers that see everything, and the largest. */
static void twin_make(twin *t, const atn_pattern *const *layers, int n)
{
    atn_idx block = 0, any = 0;

    memset(t, 0, sizeof *t);
    t->n = layers[0]->frame.nk;
    t->n_layers = n;
    t->causal = true;
    for (int l = 0; l < n; l++) {
        twin_see(t, l, layers[l]);
        t->causal &= layers[l]->frame.causal;
        any = gcd(layers[l]->frame.block, any);
        if (!layers[l]->shift || !sees_all(t, l, layers[l]->frame.causal))
            block = gcd(layers[l]->frame.block, block);
    }
    t->block = block > 0 ? block : any;
    t->nodes = (t->n + t->block - 1) / t->block;
    for (int l = 0; l < n; l++)
        for (atn_idx i = 0; i < t->n; i++) {
            t->see[l][i][i] = 1;
            for (atn_idx j = 0; j < t->n; j++)
                t->node_see[l][i / t->block][j / t->block] |= t->see[l][i][j];
        }
    for (atn_idx i = 0; i < t->n; i++) t->token[0][i][i] = 1;
    for (atn_idx a = 0; a < t->nodes; a++) t->walks[0][a][a] = t->node[0][a][a] = 1;
    for (int k = 1; k <= DEPTH; k++) twin_step(t, k);
}

static void check_last(const twin *t, int k, const atn_field_at *at)
{
    const atn_idx last = t->nodes - 1;
    atn_idx reached = 0, tokens = 0, back = 0;

    for (atn_idx c = 0; c < t->nodes; c++) reached += t->node[k][last][c];
    for (atn_idx j = 0; j < t->n; j++) tokens += t->token[k][t->n - 1][j];
    while (back < t->nodes && t->node[k][last][last - back]) back++;
    CHECK_EQ(at->depth, k);
    CHECK_EQ(at->reached, reached);
    CHECK_EQ(at->reached_tokens, tokens);
    CHECK_EQ(at->complete, tokens == t->n);
    CHECK_EQ(at->contiguous, back);
    CHECK_EQ(at->first_missing, back == t->nodes ? -1 : back);
    CHECK_NEAR(at->accuracy, (double)reached / (double)t->nodes, 1e-15);
}

/* Whether all tokens of node a reach all tokens that they can see. */
static bool node_complete(const twin *t, int k, atn_idx a)
{
    for (atn_idx i = a * t->block; i < ATN_MIN((a + 1) * t->block, t->n); i++)
        for (atn_idx j = 0; j < (t->causal ? i + 1 : t->n); j++)
            if (!t->token[k][i][j]) return false;
    return true;
}

static void check_every(const twin *t, int k, const atn_field_at *at)
{
    double pairs = 0, visible_pairs = 0, complete = 0, least = 2;
    atn_idx row = -1;

    for (atn_idx a = 0; a < t->nodes; a++) {
        const double visible = t->causal ? (double)a + 1 : (double)t->nodes;
        double reached = 0;

        for (atn_idx c = 0; c < t->nodes; c++) reached += t->node[k][a][c];
        pairs += reached;
        visible_pairs += visible;
        complete += node_complete(t, k, a);
        if (reached / visible < least) {
            least = reached / visible;
            row = a;
        }
    }
    CHECK_NEAR(at->pairs_share, pairs / visible_pairs, 1e-15);
    CHECK_NEAR(at->rows_complete, complete / (double)t->nodes, 1e-15);
    CHECK_NEAR(at->least_share, least, 1e-15);
    CHECK_EQ(at->least_row, row);
}

static void check_walks(const twin *t, int k, const atn_field_at *at)
{
    const double *w = t->walks[k][t->nodes - 1];
    double sum = 0;

    for (atn_idx c = 0; c < t->nodes; c++) sum += w[c];
    CHECK_NEAR(at->walks_log10, log10(sum), 1e-13 * (1 + log10(sum)));
    if (w[0] > 0)
        CHECK_NEAR(at->walks_first_log10, log10(w[0]), 1e-13 * (1 + log10(w[0])));
    else
        CHECK(isnan(at->walks_first_log10));
}

static void check_map(atn_ctx *cx, const twin *t, const atn_field_plan *p,
                      const atn_field_engine *e, atn_idx rows, atn_idx cols)
{
    float *out = calloc((size_t)(rows * cols), sizeof *out);

    CHECK_OK(atn_field_map_by(cx, p, e, DEPTH, (atn_mat){out, rows, cols, cols}));
    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx c = 0; c < cols; c++) {
            int first = DEPTH + 1;
            bool visible = false;

            for (atn_idx i = r * t->nodes / rows; i < (r + 1) * t->nodes / rows; i++)
                for (atn_idx j = c * t->nodes / cols; j < (c + 1) * t->nodes / cols;
                     j++) {
                    visible |= !t->causal || j <= i;
                    for (int k = DEPTH; k >= 0; k--)
                        if (t->node[k][i][j]) first = ATN_MIN(first, k);
                }
            if (visible)
                CHECK_EQ(out[r * cols + c], first);
            else
                CHECK(isnan(out[r * cols + c]));
        }
    free(out);
}

/* Returns a bit for every engine that could run. */
static unsigned check_engines(atn_ctx *cx, atn_rng *r, const twin *t,
                              const atn_pattern *const *layers, int n)
{
    const atn_field_opts o = {.depth = DEPTH, .every = true, .walks = true};
    unsigned ran = 0;
    atn_field_plan p;

    CHECK_OK(atn_field_plan_make(cx, layers, n, &p));
    CHECK_EQ(p.block, t->block);
    CHECK_EQ(p.nodes, t->nodes);
    CHECK_EQ(p.causal, t->causal);
    for (size_t i = 0; i < ATN_LEN(all_engines); i++) {
        const atn_field_engine *e = all_engines[i];
        atn_field f;
        bool fits;

        CHECK_OK(e->fits(cx, &p, &fits));
        if (!fits) continue;
        ran |= 1u << i;
        CHECK_OK(atn_field_run_by(cx, &p, e, &o, &f));
        CHECK_EQ(f.every, e->every);
        for (int k = 0; k <= DEPTH; k++) {
            check_last(t, k, &f.at[k]);
            if (e->every) check_every(t, k, &f.at[k]);
            check_walks(t, k, &f.at[k]);
        }
        if (e->every && atn_rng_below(r, 4) == 0)
            check_map(cx, t, &p, e, 1 + atn_rng_below(r, p.nodes),
                      1 + atn_rng_below(r, p.nodes));
        atn_field_release(cx, &f);
    }
    return ran;
}

/* One layer more, rows of tokens as bits. */
static void grow(const uint8_t see[N][N], atn_idx n, uint64_t *rows)
{
    uint64_t next[N];

    for (atn_idx i = 0; i < n; i++) {
        next[i] = rows[i];
        for (atn_idx m = 0; m < n; m++) next[i] |= see[i][m] ? rows[m] : 0;
    }
    memcpy(rows, next, (size_t)n * sizeof *rows);
}

/* The first depths at which the last token, and every token, reaches all; -1 when a
 * list of layers has brought nothing. */
static void ends_of(const twin *t, int *complete, int *diameter)
{
    uint64_t token[N], before[N];
    int last_at = 0, any_at = 0;

    for (int i = 0; i < N; i++) token[i] = (uint64_t)1 << i;
    *complete = *diameter = t->n == 1 ? 0 : -2;
    for (int k = 1; *complete == -2 || *diameter == -2; k++) {
        const uint64_t last = token[t->n - 1];
        bool all = true;

        memcpy(before, token, sizeof token);
        grow(t->see[(k - 1) % t->n_layers], t->n, token);
        if (token[t->n - 1] != last) last_at = k;
        if (memcmp(before, token, (size_t)t->n * sizeof *token) != 0) any_at = k;
        for (atn_idx i = 0; i < t->n; i++)
            all &= token[i] == ((uint64_t)1 << (t->causal ? i + 1 : t->n)) - 1;
        if (*diameter == -2 && all) *diameter = k;
        if (*diameter == -2 && k - any_at >= t->n_layers) *diameter = -1;
        if (*complete == -2 && token[t->n - 1] == ((uint64_t)1 << t->n) - 1)
            *complete = k;
        if (*complete == -2 && k - last_at >= t->n_layers) *complete = -1;
    }
}

/* Every engine goes on beyond its depth to the same ends. */
static void check_ends(atn_ctx *cx, atn_rng *r, const twin *t,
                       const atn_pattern *const *layers, int n)
{
    const atn_field_opts o = {
        .depth = (int)atn_rng_below(r, 4), .every = true, .diameter = true};
    int complete, diameter;
    atn_field_plan p;

    ends_of(t, &complete, &diameter);
    CHECK_OK(atn_field_plan_make(cx, layers, n, &p));
    for (size_t i = 0; i < ATN_LEN(all_engines); i++) {
        atn_field f;
        bool fits;

        CHECK_OK(all_engines[i]->fits(cx, &p, &fits));
        if (!fits) continue;
        CHECK_OK(atn_field_run_by(cx, &p, all_engines[i], &o, &f));
        CHECK_EQ(f.complete, complete);
        CHECK_EQ(f.diameter, all_engines[i]->every ? diameter : -2);
        atn_field_release(cx, &f);
    }
}

static void check_of(atn_ctx *cx, atn_rng *r, const twin *t,
                     const atn_pattern *const *layers, int n)
{
    const int depth = (int)atn_rng_below(r, DEPTH + 1);
    const atn_idx row = atn_rng_below(r, t->nodes);
    uint8_t reached[N];

    CHECK_OK(atn_field_of(cx, layers, n, depth, row, reached));
    for (atn_idx c = 0; c < t->nodes; c++) CHECK_EQ(reached[c], t->node[depth][row][c]);
}

/* By rows and by what the structure allows. */
static void check_walks_twice(atn_ctx *cx, const twin *t,
                              const atn_pattern *const *layers, int n)
{
    atn_field_at at[DEPTH + 1];
    atn_field_plan p;

    CHECK_OK(atn_field_plan_make(cx, layers, n, &p));
    CHECK_OK(atn_field_walks_rows(cx, &p, DEPTH, at));
    for (int k = 0; k <= DEPTH; k++) check_walks(t, k, &at[k]);
}

static void random_schedules(atn_ctx *cx, int trials, bool alike, unsigned want)
{
    static twin t;
    atn_rng r = atn_rng_stream(0, alike ? "field/alike" : "field/mixed", 0, 0);
    unsigned ran = 0;

    cx->threads = 1; /* small: threads have their own test */
    for (int trial = 0; trial < trials; trial++) {
        const int n = 1 + (int)atn_rng_below(&r, LAYERS);
        const atn_idx tokens = 1 + atn_rng_below(&r, N);
        const bool causal = atn_rng_below(&r, 3) > 0;
        const atn_idx block = 1 + atn_rng_below(&r, 4), kind = atn_rng_below(&r, 3);
        const bool again = atn_rng_below(&r, 8) == 0; /* one object for all layers */
        atn_pattern *layers[LAYERS] = {0};

        for (int l = 0; l < n; l++) {
            const atn_frame f =
                atn_frame_square(tokens, alike ? block : 1 + atn_rng_below(&r, 6),
                                 alike ? causal : atn_rng_below(&r, 2) == 0);

            layers[l] = l > 0 && again        ? layers[l - 1]
                        : !alike || kind == 0 ? random_pattern(cx, &r, &f)
                        : kind == 1           ? random_shift(cx, &r, &f)
                                              : random_steps(cx, &r, &f);
        }
        twin_make(&t, (const atn_pattern *const *)layers, n);
        ran |= check_engines(cx, &r, &t, (const atn_pattern *const *)layers, n);
        check_of(cx, &r, &t, (const atn_pattern *const *)layers, n);
        if (trial % 4 == 0)
            check_ends(cx, &r, &t, (const atn_pattern *const *)layers, n);
        check_walks_twice(cx, &t, (const atn_pattern *const *)layers, n);
        for (int l = 0; l < (again ? 1 : n); l++) atn_pattern_destroy(cx, layers[l]);
    }
    CHECK_EQ(ran & want, want);
}

/* All layers of one kind, blocks and causality: the engines that know structure run. */
static void alike_layers(atn_ctx *cx)
{
    random_schedules(cx, 2000, true, 0x1d);
}

/* Blocks of 1 to 6, causal or not, any kind. */
static void mixed_layers(atn_ctx *cx)
{
    random_schedules(cx, 2000, false, 0x18);
}

/* Grids: layers of equal lengths and dilations, some that see everything between
 * them. */
static void grids(atn_ctx *cx)
{
    static twin t;
    atn_rng r = atn_rng_stream(0, "field/grids", 0, 0);
    unsigned ran = 0;

    cx->threads = 1; /* small: threads have their own test */
    for (int trial = 0; trial < 1000; trial++) {
        const int n = 1 + (int)atn_rng_below(&r, LAYERS);
        const bool other = atn_rng_below(&r, 4) == 0; /* dilations of their own */
        const atn_axes like = random_axes(&r);
        const atn_idx tokens = atn_axes_tokens(&like);
        atn_pattern *layers[LAYERS] = {0};

        if (tokens > N) continue;
        for (int l = 0; l < n; l++) {
            atn_axes a = like;

            for (int x = 0; x < a.rank; x++) {
                if (other)
                    a.at[x].dilation = 1 + atn_rng_below(&r, like.at[x].dilation);
                a.at[x].window =
                    1 + atn_rng_below(&r, a.at[x].length / a.at[x].dilation);
                a.at[x].stride = 1 + atn_rng_below(&r, a.at[x].window);
                a.at[x].causal = atn_rng_below(&r, 3) == 0;
            }
            layers[l] = l > 0 && atn_rng_below(&r, 4) == 0
                            ? dense_of(cx, tokens, 1 + atn_rng_below(&r, 3),
                                       atn_rng_below(&r, 4) == 0)
                            : grid_of(cx, &a);
        }
        twin_make(&t, (const atn_pattern *const *)layers, n);
        ran |= check_engines(cx, &r, &t, (const atn_pattern *const *)layers, n);
        check_of(cx, &r, &t, (const atn_pattern *const *)layers, n);
        if (trial % 4 == 0)
            check_ends(cx, &r, &t, (const atn_pattern *const *)layers, n);
        check_walks_twice(cx, &t, (const atn_pattern *const *)layers, n);
        for (int l = 0; l < n; l++) atn_pattern_destroy(cx, layers[l]);
    }
    CHECK_EQ(ran & 0x1e, 0x1e);
}

CHECK_MAIN({"layers alike", alike_layers}, {"mixed layers", mixed_layers},
           {"grids", grids})
