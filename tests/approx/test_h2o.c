/* tests/approx/test_h2o.c -- eviction replayed: golden rows, a twin for every mode. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/history.h"

/* Column sums of rows 0 .. 6 of the first fixture are 2.429 1.522 1.711 .198 .457 .474
 * .209: of keys 0 .. 4 the heaviest are 0 and 2; 5 and 6 are the latest. */
static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "h2o:prompt=7,heavy=2,recent=2", 0, 7, "0,2,5-7", .699410,
               3.825536);
    zoo_golden(cx, &z, "h2o:prompt=7,heavy=2,recent=2", 0, 6, "0-6", 1, 3.015184);
    zoo_free(&z);
    zoo_second(&z);
    zoo_golden(cx, &z, "h2o:prompt=12,heavy=3,recent=2", 0, 12, "0-2,10-12", .581843,
               5.576420);
    zoo_golden(cx, &z, "h2o:prompt=12,heavy=3,recent=2", 0, 17, "0-2,15-17", .236459,
               10.029232);
    zoo_golden(cx, &z, "h2o:prompt=12,heavy=3,recent=2", 0, 23, "0-2,21-23", .289465,
               10.143979);
    zoo_free(&z);
}

/* ---- a twin: sets by the definition, scores in arrays of all keys ---- */

typedef struct sizes {
    int mode; /* d: decode, p: the same as published, c: causal, g: global */
    long prompt, heavy, recent;
} sizes;

/* Of the keys below `end` with alive set the best `keep`: for each, how many beat
 * it. */
static void best(const double *score, bool *alive, long end, long keep)
{
    bool stays[ZOO_MOST];

    for (long j = 0; j < end; j++) {
        long beaten = 0;

        for (long l = 0; l < end; l++)
            beaten +=
                alive[l] && (score[l] > score[j] || (score[l] == score[j] && l < j));
        stays[j] = alive[j] && beaten < keep;
    }
    memcpy(alive, stays, (size_t)end);
}

static void decode_sets(const zoo *z, atn_idx head, bool *sets, const sizes *s)
{
    const atn_head *h = &z->head[head];
    const long n = (long)h->nk;
    double score[ZOO_MOST] = {0}, a[ZOO_MOST];
    bool alive[ZOO_MOST] = {0};

    for (long t = 0; t < n; t++) {
        const bool decoding = t >= s->prompt;
        bool sees[ZOO_MOST];
        double sum = 0;
        long lo = h->sight.window ? t - (long)h->sight.window + 1 : 0, cached = 0;

        for (long j = 0; j < lo; j++) alive[j] = false;
        for (long j = 0; j < t; j++) cached += alive[j];
        if (decoding && cached > s->heavy + s->recent)
            best(score, alive, t > s->recent ? t - s->recent : 0, s->heavy);
        alive[t] = true;
        memcpy(sees, alive, sizeof sees);
        if (s->mode == 'p' && decoding && t > s->heavy + s->recent && s->recent > 0)
            sees[t - s->recent] = false;
        zoo_dense(z, head, t, a);
        for (long j = 0; j <= t; j++) sum += sees[j] ? a[j] : 0;
        for (long j = 0; j <= t; j++) score[j] += sees[j] ? a[j] / sum : 0;
        memcpy(sets + t * n, sees, (size_t)(t + 1));
    }
}

static void simulated_sets(const zoo *z, atn_idx head, bool *sets, const sizes *s)
{
    const atn_head *h = &z->head[head];
    const long n = (long)h->nk;
    double score[ZOO_MOST] = {0}, a[ZOO_MOST];
    bool alive[ZOO_MOST] = {0}, heavy[ZOO_MOST];

    for (long i = 0; i < n; i++) {
        zoo_dense(z, head, i, a);
        if (s->mode == 'g') {
            for (long j = 0; j < n; j++) score[j] += a[j];
            continue;
        }
        for (long j = 0; h->sight.window && j <= i - (long)h->sight.window; j++)
            alive[j] = false;
        if (i >= s->heavy) best(score, alive, i, s->heavy - 1);
        if (s->heavy > 0) alive[i] = true;
        for (long j = 0; j <= i; j++) score[j] += a[j];
        memcpy(sets + i * n, alive, (size_t)(i + 1));
    }
    memset(heavy, 1, sizeof heavy);
    if (s->mode == 'g') best(score, heavy, n, s->heavy);
    for (long i = 0; i < n; i++)
        for (long j = 0; j <= i; j++) {
            if (s->mode == 'g') sets[i * n + j] = heavy[j];
            if (i - j <= s->recent) sets[i * n + j] = true;
            if (h->sight.window && i - j >= h->sight.window) sets[i * n + j] = false;
        }
}

static void twin_sets(const zoo *z, atn_idx head, bool *sets, const void *arg)
{
    const sizes *s = arg;

    if (s->mode == 'd' || s->mode == 'p')
        decode_sets(z, head, sets, s);
    else
        simulated_sets(z, head, sets, s);
}

static void try_twin(atn_ctx *cx, zoo *z, const sizes *s)
{
    char spec[128];

    z->in.as_published = s->mode == 'p';
    snprintf(spec, sizeof spec, "h2o:mode=%s,prompt=%ld,heavy=%ld,recent=%ld",
             s->mode == 'c'   ? "causal"
             : s->mode == 'g' ? "global"
                              : "decode",
             s->prompt, s->heavy, s->recent);
    history_twin(cx, z, spec, twin_sets, s);
}

static void against_the_twin(atn_ctx *cx)
{
    static const char modes[] = "dpcg";
    uint64_t seed = 5;

    for (int trial = 0; trial < 160; trial++) {
        const atn_idx n = 1 + (atn_idx)(30 * zoo_uniform(&seed));
        sizes s = {.mode = modes[trial % 4],
                   .prompt = 1 + (long)((double)n * zoo_uniform(&seed)),
                   .heavy = (long)(8 * zoo_uniform(&seed)),
                   .recent = (long)(8 * zoo_uniform(&seed))};
        zoo z;

        if (s.mode == 'p') s.recent++;
        zoo_random(&z, 2, 2, n, n, seed);
        if (trial % 5 == 0)
            for (int h = 0; h < 2; h++) z.head[h].sight.window = 1 + trial % 9;
        if (s.mode != 'p' || trial % 5 != 0) try_twin(cx, &z, &s);
        zoo_free(&z);
    }
}

/* ---- properties ---- */

/* Equal logits: the earliest keys have the largest sums, and stay. */
static void uniform_attention_keeps_the_first(atn_ctx *cx)
{
    double w[40];
    zoo z;

    zoo_shape(&z, 1, 1, 40, 40, 2, 1);
    memset(z.q, 0, 80 * sizeof *z.q);
    for (int j = 0; j < 80; j++) z.k[j] = (float)(j % 7);
    for (int j = 0; j < 40; j++) z.v[j] = (float)j;
    zoo_row(cx, &z, "h2o:prompt=10,heavy=4,recent=3", 0, 39, w);
    zoo_check_set(&z, 0, w, "0-3,36-39");
    zoo_row(cx, &z, "h2o:mode=global,heavy=4,recent=3", 0, 39, w);
    zoo_check_set(&z, 0, w, "0-3,36-39");
    zoo_free(&z);
}

/* Keys 1 and 2 weigh nothing, to the last bit. Before row 6 the first of the equally
 * bad ones stays, before row 7 it goes. */
static void of_equal_scores_the_lower_key_stays(atn_ctx *cx)
{
    static const atn_idx kept[2][6] = {{0, 1, 3, 4, 5, 6}, {0, 3, 4, 5, 6, 7}};
    atn_span spans[16];
    atn_plan p;
    zoo z;

    zoo_shape(&z, 1, 1, 8, 8, 1, 1);
    for (int j = 0; j < 8; j++) {
        z.q[j] = 1;
        z.k[j] = j == 1 || j == 2 ? -2000 : 0;
        z.v[j] = 0;
    }
    zoo_plan(cx, &z, "h2o:prompt=5,heavy=3,recent=2", 0, &p);
    CHECK_EQ(p.ties, 1);
    for (int i = 6; i < 8; i++) {
        const atn_pattern *of = p.branch[0].part[0].pattern;
        const atn_idx n = atn_pattern_keys(of, 0, i, spans);
        atn_idx seen = 0;

        for (atn_idx s = 0; s < n; s++)
            for (atn_idx j = spans[s].lo; j < spans[s].hi; j++)
                CHECK_EQ(j, kept[i - 6][seen++]);
        CHECK_EQ(seen, 6);
    }
    zoo_release(cx, &p, 1);
    zoo_free(&z);
}

static void kept_sets_are_nested(atn_ctx *cx)
{
    double w[2][64];
    zoo z;

    zoo_random(&z, 1, 1, 64, 64, 11);
    for (int i = 20; i < 64; i++) {
        zoo_row(cx, &z, "h2o:prompt=20,heavy=5,recent=4", 0, i, w[i % 2]);
        for (int j = 0; i > 20 && j < i; j++)
            CHECK(w[i % 2][j] == 0 || w[1 - i % 2][j] != 0);
    }
    zoo_free(&z);
}

/* heavy = 0: a window of recent + 1; sizes beyond the text: dense. */
static void limits(atn_ctx *cx)
{
    atn_plan p;
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "h2o:prompt=1,heavy=0,recent=4", 0, 20, w);
    zoo_check_set(&z, 0, w, "16-20");
    zoo_row(cx, &z, "h2o:prompt=1,heavy=0,recent=0", 0, 20, w);
    zoo_check_set(&z, 0, w, "20");
    zoo_row(cx, &z, "h2o:prompt=4,ratio=1,recent=2147483648,heavy=2147483648", 0, 23,
            w);
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "h2o:mode=drop", 0, 23, w); /* 4 and 512 */
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "h2o:mode=causal,heavy=0,recent=2", 0, 20, w);
    zoo_check_set(&z, 0, w, "18-20");
    /* shares: int(.5 * 6) = 3 heavy and 3 recent */
    zoo_plan(cx, &z, "h2o:prompt=6,ratio=.5", 0, &p);
    CHECK_OK(atn_plan_rows(cx, &z.head[0], &p, 23, 1, w));
    {
        int kept = 0;

        for (int j = 0; j < 24; j++) kept += w[j] != 0;
        CHECK_EQ(kept, 7);
    }
    zoo_release(cx, &p, 1);
    zoo_free(&z);
}

/* The prompt: of the spec, of the capture, of the first step, else a quarter. */
static void prompts(atn_ctx *cx)
{
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "h2o:heavy=0,recent=0", 0, 5, w);
    zoo_check_set(&z, 0, w, "0-5");
    zoo_row(cx, &z, "h2o:heavy=0,recent=0", 0, 6, w);
    zoo_check_set(&z, 0, w, "6");
    z.in.prompt = 9;
    zoo_row(cx, &z, "h2o:heavy=0,recent=0", 0, 8, w);
    zoo_check_set(&z, 0, w, "0-8");
    zoo_row(cx, &z, "h2o:heavy=0,recent=0,prompt=3", 0, 8, w);
    zoo_check_set(&z, 0, w, "8");
    zoo_free(&z);
}

/* As published without recent keys: the new token is never seen, the heavy ones stay
 * those of the prompt. */
static void published_without_recent(atn_ctx *cx)
{
    double w[24];
    zoo z;

    zoo_second(&z);
    z.in.as_published = true;
    zoo_row(cx, &z, "h2o:prompt=12,heavy=3,recent=0", 0, 20, w);
    zoo_check_set(&z, 0, w, "0-2");
    zoo_row(cx, &z, "h2o:prompt=12,heavy=0,recent=0", 0, 20, w);
    zoo_check_set(&z, 0, w, "20");
    zoo_free(&z);
}

/* A decoding capture: a prompt of 12 in step 0, then pieces; the prompt is found. */
static void steps(atn_ctx *cx)
{
    const atn_idx cuts[] = {12, 13, 14, 18, 24};
    zoo z;

    zoo_second(&z);
    z.in.prompt = 12;
    history_steps(cx, &z, "h2o:heavy=3,recent=2", cuts, 5);
    z.in.prompt = 0;
    history_steps(cx, &z, "h2o:heavy=3,recent=2,prompt=12", cuts, 5);
    zoo_free(&z);
}

static void refusals(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    zoo z, part;

    zoo_second(&z);
    history_cut(&z, 10, 24, &part);
    CHECK_OK(atn_choice_read(cx, "h2o", "prompt=12", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &part.in, 0, &p), ATN_DATA,
                "h2o replays decoding from token 0 on, and layer 0 has no query of "
                "token 0 (capture all rows");
    zoo_causal(&z, false);
    CHECK_FAILS(atn_choice_check(cx, &c, &z.in), ATN_DATA, "is for causal heads");
    CHECK_FAILS(atn_choice_read(cx, "h2o", "ratio=1.5", &c), ATN_USAGE, "ratio");
    zoo_free(&z);
}

static void costs(atn_ctx *cx)
{
    atn_plan p;
    zoo z;

    zoo_second(&z);
    zoo_plan(cx, &z, "h2o:prompt=12,heavy=3,recent=2", 0, &p);
    /* 78 weights of the prompt are added up, 10 candidates are looked at; then 6 keys
     * a row, and 4 candidates in each row but the first */
    CHECK_NEAR(p.index_flops, 78 + 10 + 12 * 6 + 11 * 4, 0);
    CHECK_NEAR(p.index_bytes, 2 * (78 + 12 + 12 * 18), 0);
    zoo_release(cx, &p, 1);
    zoo_free(&z);
}

static void looks_ahead_only_globally(atn_ctx *cx)
{
    atn_choice c;
    zoo z;

    zoo_second(&z);
    CHECK_OK(atn_choice_read(cx, "h2o", NULL, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), 0);
    CHECK_OK(atn_choice_read(cx, "h2o", "mode=global", &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
    zoo_free(&z);
}

static void robust(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 50, 50, 3);
    history_robust(cx, &z, "h2o:prompt=20,heavy=6,recent=5");
    history_robust(cx, &z, "h2o:mode=causal,heavy=6,recent=5");
    history_robust(cx, &z, "h2o:mode=global,heavy=6,recent=5");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"against the twin", against_the_twin},
           {"uniform attention keeps the first", uniform_attention_keeps_the_first},
           {"of equal scores the lower key stays", of_equal_scores_the_lower_key_stays},
           {"kept sets are nested", kept_sets_are_nested}, {"limits", limits},
           {"prompts", prompts}, {"published without recent", published_without_recent},
           {"steps", steps}, {"refusals", refusals}, {"costs", costs},
           {"looks ahead only globally", looks_ahead_only_globally}, {"robust", robust})
