/* tests/approx/test_pattern.c -- what every static pattern must keep to: the registry,
 * specs, rules and their messages, small lengths, memory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <time.h>
#include <unistd.h>

#include "approx/pattern_dense.h"

/* ---- the registry ---- */

static bool is_id(const char *id)
{
    const size_t n = strlen(id);

    return id[0] >= 'a' && id[0] <= 'z' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static void registry(atn_ctx *cx)
{
    const char *before = "";
    const atn_preset *preset = NULL;

    (void)cx;
    for (const atn_generator *const *at = atn_generators; *at; at++) {
        const atn_generator *g = *at;
        char card[512];

        CHECK(strcmp(before, g->id) < 0);
        before = g->id;
        CHECK(is_id(g->id) && *g->title && *g->source && *g->text && g->make);
        CHECK(!g->params == !g->params_size);
        CHECK(atn_generator_find(g->id, &preset) == g && preset == NULL);
        for (const atn_preset *s = g->presets; s && s->id; s++) {
            CHECK(is_id(s->id) && *s->params && *s->text);
            CHECK(atn_generator_find(s->id, &preset) == g && preset == s);
        }
        snprintf(card, sizeof card, "%s/docs/cards/pattern/%s.md", ATN_TEST_SOURCE,
                 g->id);
        if (access(card, R_OK) != 0) fail_msg("%s has no card", g->id);
    }
    CHECK(atn_generator_find("none", &preset) == NULL);
}

static void presets_are_made(atn_ctx *cx)
{
    for (const atn_generator *const *g = atn_generators; *g; g++)
        for (const atn_preset *s = (*g)->presets; s && s->id; s++) {
            atn_idx n = 0;
            atn_pattern *a, *b;

            CHECK_OK(atn_pattern_tokens(cx, s->id, NULL, &n));
            if (n == 0) n = 32768;
            a = dense_square(cx, s->id, NULL, n);
            b = dense_square(cx, (*g)->id, s->params, n);
            CHECK_EQ(a->frame.block, b->frame.block);
            CHECK_EQ(a->most, b->most);
            atn_pattern_destroy(cx, a);
            atn_pattern_destroy(cx, b);
        }
}

/* What is given goes over what a preset gives. */
static void presets_can_be_changed(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "power_sliding", "block=4,window=3", 64);
    atn_span s[4];

    CHECK_EQ(p->frame.block, 4);
    CHECK_EQ(p->n_offsets, 1);
    CHECK_EQ(atn_pattern_keys(p, 0, 63, s), 2);
    CHECK_EQ(s[0].hi, 4);
    CHECK_EQ(s[1].lo, 52);
    atn_pattern_destroy(cx, p);
}

/* The number that --budget fits: doubled, it keeps no less (or, where it falls, no
 * more), and over its range it makes a difference. */
static void budgets(atn_ctx *cx)
{
    enum { TOKENS = 2048, VALUES = 11 };

    for (const atn_generator *const *g = atn_generators; *g; g++) {
        const atn_layout l = atn_layout_square(TOKENS, 4, 1);
        const atn_param *p = (*g)->params;
        int64_t first = -1, last = -1;

        CHECK((*g)->budget || !(*g)->budget_falls);
        if (!(*g)->budget) continue;
        while (p->name && strcmp(p->name, (*g)->budget) != 0) p++;
        CHECK(p->name && p->type == ATN_PARAM_I64_T);
        for (int v = 0; v < VALUES; v++) {
            char params[64];
            atn_pattern *made;
            int64_t pairs;

            snprintf(params, sizeof params, "%s=%d", p->name, 1 << v);
            if (atn_pattern_make(cx, (*g)->id, params, &l, &made) != ATN_OK) {
                atn_err_clear(cx); /* beyond what the other parameters allow */
                break;
            }
            CHECK_OK(atn_pattern_pairs(cx, made, 0, &pairs));
            atn_pattern_destroy(cx, made);
            if (last >= 0 && ((*g)->budget_falls ? pairs > last : pairs < last))
                fail_msg("%s:%s: %lld pairs after %lld", (*g)->id, params,
                         (long long)pairs, (long long)last);
            if (first < 0) first = pairs;
            last = pairs;
        }
        CHECK(first != last);
    }
}

/* What has the same offsets in every row says so: counting and reach rest on it. */
static void structure_is_stated(atn_ctx *cx)
{
    static const char *const shifts[] = {
        "block_diagonal", "causal", "dilated",       "full",   "logsparse",
        "longformer",     "power",  "power_dilated", "powers", "power_slash",
        "power_sliding",  "stream", "strided",       "window", "vertical_slash",
    };

    for (size_t i = 0; i < ATN_LEN(shifts); i++) {
        atn_pattern *p = dense_square(cx, shifts[i], NULL, 2000);

        CHECK(p->shift);
        CHECK_EQ(p->heads, 1);
        atn_pattern_destroy(cx, p);
    }
}

/* ---- lengths ---- */

/* A length that the parameters cannot serve is refused by name; all others work. */
static void small_lengths(atn_ctx *cx)
{
    for (const atn_generator *const *g = atn_generators; *g; g++)
        for (atn_idx n = 1; n <= 70; n++) {
            const atn_layout l = atn_layout_square(n, 2, 0);
            atn_pattern *p = NULL;
            const atn_status st = atn_pattern_make(cx, (*g)->id, NULL, &l, &p);
            atn_pattern_counts c;

            if (st != ATN_OK) {
                CHECK_EQ(st, ATN_USAGE);
                CHECK(p == NULL && strcmp((*g)->id, "gna") == 0 && n < 7);
                CHECK(strstr(cx->err.text, "(") != NULL);
                atn_err_clear(cx);
                continue;
            }
            CHECK_OK(atn_pattern_count(cx, p, p->heads - 1, &c));
            CHECK(c.pairs >= 1 && c.pairs <= n * n);
            CHECK_EQ(c.empty_rows, 0);
            atn_pattern_destroy(cx, p);
        }
}

/* Defaults at 4096 tokens, 8 heads: made and counted in well under a second. */
static void defaults_are_quick(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(4096, 8, 0);
    const clock_t start = clock();

    for (const atn_generator *const *g = atn_generators; *g; g++) {
        atn_pattern *p = dense_make(cx, (*g)->id, NULL, &l);
        atn_pattern_counts c;

        CHECK_OK(atn_pattern_count(cx, p, p->heads - 1, &c));
        CHECK(c.row_least >= 1);
        CHECK(c.full > 0 && c.full <= 1);
        atn_pattern_destroy(cx, p);
    }
    CHECK_LE((double)(clock() - start) / CLOCKS_PER_SEC, 20);
}

/* A million tokens are no more than their parameters. */
static void long_texts(atn_ctx *cx)
{
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        atn_pattern *p = dense_square(cx, (*g)->id, NULL, 1 << 20);
        atn_span *s = malloc((size_t)p->room * sizeof *s);

        CHECK_LE(1, atn_pattern_keys(p, 0, (1 << 20) - 1, s));
        free(s);
        atn_pattern_destroy(cx, p);
    }
}

/* Made twice it is the same; a random one is another by seed, layer and head. */
static void repeatable(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(150, 3, 9);
    atn_layout other = l, deeper = l;

    other.seed = 10;
    deeper.layer = 1;
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        atn_pattern *p[4] = {dense_make(cx, (*g)->id, NULL, &l),
                             dense_make(cx, (*g)->id, NULL, &l),
                             dense_make(cx, (*g)->id, NULL, &other),
                             dense_make(cx, (*g)->id, NULL, &deeper)};
        const bool random =
            strcmp((*g)->id, "bigbird") == 0 || strcmp((*g)->id, "random_blocks") == 0;
        uint8_t *m[4];

        for (int i = 0; i < 4; i++) m[i] = dense_tokens(p[i], p[i]->heads - 1);
        for (int i = 1; i < 4; i++) {
            const bool same = memcmp(m[0], m[i], 150 * 150) == 0;

            CHECK(same == (i == 1 || !random));
        }
        for (int i = 0; i < 4; i++) {
            free(m[i]);
            atn_pattern_destroy(cx, p[i]);
        }
    }
}

/* ---- rules ---- */

static void check_refused(atn_ctx *cx, const char *id, const char *params,
                          const char *part)
{
    const atn_layout l = atn_layout_square(60, 1, 0);
    atn_pattern *p = NULL;

    CHECK_FAILS(atn_pattern_make(cx, id, params, &l, &p), ATN_USAGE, part);
    CHECK(p == NULL);
}

static void rules_have_names(atn_ctx *cx)
{
    check_refused(cx, "powr", NULL, "did you mean power");
    check_refused(cx, "qqqqqq", NULL, "attnscope list patterns");
    check_refused(cx, "power", "blok=3", "has no parameter 'blok'");
    check_refused(cx, "power", "block=0", "block = 0 is below its minimum 1");
    check_refused(cx, "power", "window=0", "window = 0 is below its minimum 1");
    check_refused(cx, "power_sliding", "block=0", "power_sliding: block = 0");
    check_refused(cx, "strided", "stride=0", "stride = 0 is below its minimum 1");
    check_refused(cx, "strided", "form=heads", "give 2 heads or more");
    check_refused(cx, "fixed", "form=heads", "give 2 heads or more");
    check_refused(cx, "fixed", "stride=8,summary=9", "give summary <= 8");
    check_refused(cx, "fixed", "stride=8,summary=3,sets=3", "give summary <= 2");
    check_refused(cx, "fixed", "sets=1073741824", "give sets <= 16");
    check_refused(cx, "longnet", "segments=8x16", "2 segments and 5 dilations");
    check_refused(cx, "longnet", "segments=8,dilations=9", "dilation 9 is above");
    check_refused(cx, "longnet", "segments=,dilations=", "0 segments");
    check_refused(cx, "bigbird", "window=4", "window = 4 has no middle block");
    check_refused(cx, "bigbird", "global=5", "global = 5 is beyond the 4 blocks");
    check_refused(cx, "bigbird", "random=5000", "above its maximum 4096");
    check_refused(cx, "longformer", "global=3x60",
                  "global 60 is beyond the last token");
    check_refused(cx, "s2", "homo=yes,step=2", "homo=no");
    check_refused(cx, "documents", "lengths=20x30",
                  "add up to 50, there are 60 tokens");
    check_refused(cx, "documents", "block=8,lengths=4x5", "add up to 9, there are 8");
    check_refused(cx, "documents", "lengths=20x0x40", "below its minimum 1");
    check_refused(cx, "documents", "lengths=", "lengths is empty");
    check_refused(cx, "prefix_lm", "lengths=20x30", "add up to 50");
    check_refused(cx, "vertical_slash", "columns=60", "column 60 is beyond");
    check_refused(cx, "vertical_slash", "diagonals=1x75", "diagonal 75 is beyond");
}

/* Counts beyond the text are those of the text. */
static void counts_are_cut(atn_ctx *cx)
{
    static const struct {
        const char *id, *beyond, *same;
    } cases[] = {
        {"stream", "sink=1m,window=1", "sink=60,window=1"},
        {"power", "block=8,sink=9,window=1", "block=8,sink=8,window=1"},
        {"strided", "sink=61,stride=50,local=1", "sink=60,stride=50,local=1"},
        {"longformer", "block=8,first=9,window=0", "block=8,first=8,window=0"},
        {"prefix_lm", "prefix=1m", "prefix=60"},
        {"vertical_slash", "sink=61", "sink=60"},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_layout l = atn_layout_square(60, 1, 0);
        atn_pattern *a = NULL, *b = NULL;
        atn_span x[64], y[64];

        CHECK_OK(atn_pattern_make(cx, cases[i].id, cases[i].beyond, &l, &a));
        CHECK_OK(atn_pattern_make(cx, cases[i].id, cases[i].same, &l, &b));
        CHECK(a->room <= 64 && b->room <= 64);
        for (atn_idx at = 0; at < 60; at++) {
            const atn_idx n = atn_pattern_keys(a, 0, at, x);

            CHECK_EQ(n, atn_pattern_keys(b, 0, at, y));
            CHECK(memcmp(x, y, (size_t)n * sizeof *x) == 0);
        }
        atn_pattern_destroy(cx, a);
        atn_pattern_destroy(cx, b);
    }
}

static void rules_of_grids(atn_ctx *cx)
{
    const atn_layout chunk = {.nk = 60, .nq = 10, .first = 50, .heads = 1};
    atn_pattern *p = NULL;

    check_refused(cx, "gna", "window=61", "gna: axis 0: window 61");
    check_refused(cx, "gna", "window=21,dilation=3",
                  "dilation 3 is above the length 60");
    check_refused(cx, "gna", "window=4,stride=5", "stride 5 is above the window 4");
    check_refused(cx, "gna", "shape=6x10,window=3x3x3", "window has 3 numbers");
    check_refused(cx, "gna", "shape=6x10,window=3,stride=", "stride has 0 numbers");
    check_refused(cx, "gna", "shape=6x11,window=3", "has 66 tokens, the text has 60");
    check_refused(cx, "gna", "shape=3x4x5x1,window=1", "at most 3");
    check_refused(cx, "gna", "shape=6x10,window=3,causal=2", "above its maximum 1");
    check_refused(cx, "gna", "window=0", "below its minimum 1");
    check_refused(cx, "gna", "shape=1gx1gx1g,window=3", "more than");
    CHECK_FAILS(atn_pattern_make(cx, "gna", NULL, &chunk, &p), ATN_USAGE,
                "no whole grid");
    CHECK(p == NULL);
}

/* Without a shape the grid is the layer's, which a shape overrides; it has to hold all
 * tokens. */
static void grids_of_layers(atn_ctx *cx)
{
    const atn_list grid = {2, {6, 10}}, part = {2, {5, 10}}, deep = {3, {2, 3, 10}};
    atn_layout l = atn_layout_square(60, 1, 0), none = l;
    atn_pattern *p[2], *q = NULL;

    for (int e = 0; e < 2; e++) { /* window=3x4 on 6 x 10; then along one axis */
        uint8_t *m[2];

        l.grid = &grid;
        p[0] = dense_make(cx, "gna", e ? "shape=60,window=3" : "window=3x4", &l);
        p[1] = dense_make(cx, "gna", e ? "window=3" : "shape=6x10,window=3x4", &none);
        for (int k = 0; k < 2; k++) m[k] = dense_tokens(p[k], 0);
        CHECK(memcmp(m[0], m[1], 60 * 60) == 0);
        for (int k = 0; k < 2; k++) {
            free(m[k]);
            atn_pattern_destroy(cx, p[k]);
        }
    }
    l.grid = &part;
    CHECK_FAILS(atn_pattern_make(cx, "gna", "window=3x4", &l, &q), ATN_USAGE,
                "the grid of the layer has 50 tokens and there are 60");
    CHECK_FAILS(atn_pattern_make(cx, "gna", "window=3x4", &l, &q), ATN_USAGE,
                "shape=AxB or --grid AxB of 60 tokens, or shape=60");
    l.grid = &deep;
    CHECK_FAILS(atn_pattern_make(cx, "gna", "window=3x4", &l, &q), ATN_USAGE,
                "window has 2 numbers and the grid has 3 axes");
    CHECK_FAILS(atn_pattern_make(cx, "gna", "window=3x4", &none, &q), ATN_USAGE,
                "shape=AxB names a grid, as --grid AxB");
}

/* ---- hostile numbers ---- */

/* The largest numbers that parse: clipped or refused, never too far. */
static void large_numbers(atn_ctx *cx)
{
    static const char *const specs[][2] = {
        {"window", "window=1073741824k"},
        {"window", "window=1073741824k,two_sided=on"},
        {"stream", "sink=0,window=1073741824k,block=1073741824k"},
        {"dilated", "window=1073741824k,dilation=1073741824k"},
        {"strided", "stride=1073741824k,local=1073741824k"},
        {"fixed", "stride=1073741824k,summary=1073741824k"},
        {"fixed", "stride=1073741824k,sets=1073741824k,summary=1"},
        {"logsparse", "window=1073741824k,restart=1073741824k"},
        {"longnet", "segments=1073741824k,dilations=1073741824k"},
        {"bigbird", "form=plain,window=1073741824k"},
        {"longformer", "window=1073741824k,dilation=1073741824k"},
        {"power", "window=1073741824k"},
        {"random_blocks", "block=1073741824k"},
        {"random_blocks", "block=1073741824k,variable=on"},
        {"s2", "homo=no,stride=1073741824k,step=1073741824k,local=1073741824k"},
        {"block_diagonal", "block=1073741824k"},
        {"documents", "lengths=1073741824k"},
        {"documents", "lengths=1073741824kx1073741824k"},
        {"prefix_lm", "prefix=1073741824k,lengths=7"},
        {"vertical_slash", "window=1073741824k"},
        {"gna", "window=1073741824k,dilation=1073741824k"},
    };
    const atn_layout l = atn_layout_square(60, 4, 0);

    for (size_t i = 0; i < ATN_LEN(specs); i++) {
        atn_pattern *p = NULL;
        const atn_status st = atn_pattern_make(cx, specs[i][0], specs[i][1], &l, &p);

        CHECK(st == ATN_OK || st == ATN_USAGE);
        CHECK((st == ATN_OK) == (p != NULL));
        for (atn_idx h = 0; p && h < p->heads; h++) free(dense_tokens(p, h));
        atn_pattern_destroy(cx, p);
        atn_err_clear(cx);
    }
}

/* ---- memory ---- */

static void any_allocation_may_fail(atn_ctx *cx)
{
    static const char *const specs[][2] = {
        {"bigbird", "block=4"},
        {"bigbird", "block=4,form=plain"},
        {"documents", "lengths=30x60x30,kind=block_causal"},
        {"documents", "lengths=30x60x30,kind=shared_question"},
        {"fixed", "stride=8,form=heads"},
        {"fixed", "stride=8,sets=2,summary=2"},
        {"gna", "shape=10x12,window=3"},
        {"logsparse", "restart=16"},
        {"longformer", "window=9,global=4x77x5"},
        {"longnet", "segments=8x16x32,dilations=1x2x4"},
        {"prefix_lm", "prefix=10,lengths=30"},
        {"random_blocks", "block=4"},
        {"random_blocks", "block=4,variable=on"},
        {"s2", "block=4,homo=no"},
        {"strided", "stride=9,form=heads"},
        {"vertical_slash", "columns=3x90,diagonals=14"},
    };
    const atn_layout l = atn_layout_square(120, 3, 0);

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(specs); i++) {
        atn_status st = ATN_MEMORY;

        for (long k = 0; st != ATN_OK; k++) {
            check_failing f = {k};
            atn_pattern *p = NULL;
            atn_ctx own;

            atn_ctx_init(&own);
            own.alloc = (atn_allocator){check_failing_resize, &f};
            st = atn_pattern_make(&own, specs[i][0], specs[i][1], &l, &p);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            CHECK((st == ATN_OK) == (p != NULL));
            atn_pattern_destroy(&own, p);
            atn_ctx_release(&own);
            CHECK(k < 200);
        }
    }
}

static void memory_limit(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(1 << 20, 16, 0);
    atn_pattern *p = NULL;

    cx->mem_limit = 1 << 20;
    CHECK_FAILS(atn_pattern_make(cx, "bigbird", "block=1,random=4096", &l, &p),
                ATN_MEMORY, "");
    CHECK(p == NULL);
}

/* What no machine has is refused before anything is drawn, with the parameter that
 * would help: 32 heads of 1M rows of 0.2 * 1M blocks of 4 bytes. */
static void memory_is_known_before(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(1 << 20, 32, 0);
    const double start = atn_seconds();
    atn_pattern *p = NULL;

    CHECK_FAILS(atn_pattern_make(cx, "random_blocks", "block=1", &l, &p), ATN_MEMORY,
                "give a larger block");
    CHECK(p == NULL);
    CHECK_LE(atn_seconds() - start, 2);
}

/* Heads are drawn at once: on four threads the same lists as on one. */
static void drawn_at_once(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(300, 5, 7);
    atn_pattern *p[2];
    atn_span *spans[2];

    for (int i = 0; i < 2; i++) {
        cx->threads = i ? 4 : 1;
        CHECK_OK(
            atn_pattern_make(cx, "random_blocks", "block=8,density=.3", &l, &p[i]));
        spans[i] = calloc((size_t)p[i]->room, sizeof **spans);
    }
    for (atn_idx h = 0; h < 5; h++)
        for (atn_idx a = 0; a < 38; a++) {
            const atn_idx n = atn_pattern_row(p[0], h, a, spans[0]);

            CHECK_EQ(atn_pattern_row(p[1], h, a, spans[1]), n);
            CHECK(memcmp(spans[0], spans[1], (size_t)n * sizeof **spans) == 0);
        }
    for (int i = 0; i < 2; i++) {
        atn_pattern_destroy(cx, p[i]);
        free(spans[i]);
    }
}

CHECK_MAIN({"registry", registry}, {"presets are made", presets_are_made},
           {"presets can be changed", presets_can_be_changed}, {"budgets", budgets},
           {"structure is stated", structure_is_stated},
           {"small lengths", small_lengths}, {"defaults are quick", defaults_are_quick},
           {"long texts", long_texts}, {"repeatable", repeatable},
           {"rules have names", rules_have_names}, {"counts are cut", counts_are_cut},
           {"rules of grids", rules_of_grids}, {"grids of layers", grids_of_layers},
           {"large numbers", large_numbers},
           {"any allocation may fail", any_allocation_may_fail},
           {"memory limit", memory_limit},
           {"memory is known before", memory_is_known_before},
           {"drawn at once", drawn_at_once})
