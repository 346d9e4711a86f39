/* tests/approx/test_moa.c -- a span for every head, planned or read. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/influence.h"
#include "approx/span_file.h"
#include "core/apply.h"
#include "tests/approx/history.h"

enum { B = ATN_SPAN_BLOCK };

/* Row 7 of the first fixture with G_j = j, a key in every block: |E| of the card. */
static void golden_influence(atn_ctx *cx)
{
    static const double want[] = {.690071, .480625,  .011260, .020055,
                                  .047987, 1.516700, .064924, .088923};
    float p[7 * B + 1] = {0}, v[7 * B + 1] = {0};
    const float d_o = 1;
    atn_influence x;
    double a[8];
    zoo z;

    zoo_first(&z);
    zoo_dense(&z, 0, 7, a);
    for (int j = 0; j < 8; j++) {
        p[B * j] = (float)a[j];
        v[B * j] = (float)j;
    }
    CHECK_OK(atn_influence_run(
        cx,
        &(atn_head){.p = {p, 1, 7 * B + 1, 7 * B + 1},
                    .v = {v, 7 * B + 1, 1, 1},
                    .nq = 1,
                    .nk = 7 * B + 1,
                    .sight = {.causal = true, .offset = 7 * B, .key_last = 7 * B + 1}},
        1, &d_o, 1, 0, &x));
    for (int j = 0; j < 8; j++) {
        CHECK_NEAR(x.gradient[7 * 8 + j], want[j], 2e-6);
        CHECK_NEAR(x.proxy[7 * 8 + j], want[j], 2e-6); /* in one dimension the same */
    }
    atn_influence_release(cx, &x);
    zoo_free(&z);
}

/* ---- planned: against all plans ---- */

/* Influence of the entries of a head by blocks, without gradients. */
static void blocks_of(const zoo *z, atn_idx head, long nb, double *sum)
{
    const atn_head *h = &z->head[head];
    double a[ZOO_MOST], o[8];

    memset(sum, 0, (size_t)(nb * nb) * sizeof *sum);
    for (long i = 0; i < nb * B; i++) {
        zoo_dense(z, head, i, a);
        memset(o, 0, sizeof o);
        for (long j = 0; j <= i; j++)
            for (atn_idx e = 0; e < h->v.cols; e++)
                o[e] += a[j] * (double)atn_crow(h->v, j)[e];
        for (long j = 0; j <= i && j < nb * B; j++) {
            double far = 0;

            for (atn_idx e = 0; e < h->v.cols; e++) {
                const double y = (double)atn_crow(h->v, j)[e] - (i ? o[e] : 0);

                far += y * y;
            }
            sum[i / B * nb + j / B] += a[j] * sqrt(far) / (i ? 1 - a[j] : 1);
        }
    }
}

/* What b blocks and the first lose. */
static double lost(const double *sum, long nb, long b)
{
    double x = 0;

    for (long a = 0; a < nb; a++)
        for (long c = 1; c <= a - b; c++) x += sum[a * nb + c];
    return x;
}

/* The best spans b[heads] of 1 .. nb blocks; group: of the larger of two heads. */
static void best_spans(const zoo *z, long nb, double density, bool group, long *b)
{
    double sum[4][64], best = INFINITY;
    const long heads = (long)z->in.heads;
    const long units = group ? heads / 2 : heads;
    const long budget = (long)floor(density * (double)(units * nb));
    long plans = 1;

    for (long h = 0; h < heads; h++) blocks_of(z, h, nb, sum[h]);
    for (long u = 0; group && u < units; u++)
        for (long e = 0; e < nb * nb; e++)
            sum[u][e] = fmax(sum[2 * u][e], sum[2 * u + 1][e]);
    for (long h = 0; h < heads; h++) b[h] = 1;
    for (long u = 0; u < units; u++) plans *= nb;
    for (long code = 0; code < plans; code++) {
        long at[4], left = code, cost = 0;
        double loss = 0;

        for (long u = units; u-- > 0; left /= nb) at[u] = left % nb + 1;
        for (long u = 0; u < units; u++) {
            cost += at[u] + 1 < nb ? at[u] + 1 : nb;
            loss += lost(sum[u], nb, at[u]);
        }
        if (cost > budget || loss >= best) continue;
        best = loss;
        for (long h = 0; h < heads; h++) b[h] = at[group ? h / 2 : h];
    }
    for (long h = 0; h < heads; h++) /* which is everything, too */
        if (b[h] == nb - 1) b[h] = nb;
}

static void span_sets(const zoo *z, atn_idx head, bool *sets, const void *arg)
{
    const long *b = arg, n = (long)z->head[head].nk;

    for (long i = 0; i < n; i++)
        for (long j = 0; j <= i; j++)
            sets[i * n + j] = j < B || i / B - j / B < b[head];
}

/* The grid of these lengths has a rule for each of 1 .. 6 blocks. */
static void plans_are_the_best(atn_ctx *cx)
{
    uint64_t seed = 13;

    for (int trial = 0; trial < 8; trial++) {
        const bool group = trial % 2;
        const double density = .3 + .65 * zoo_uniform(&seed);
        const long nb = 3 + trial % 3, n = nb * B + (long)(60 * zoo_uniform(&seed));
        char spec[160];
        long b[4];
        zoo z;

        zoo_random(&z, group ? 4 : 3, group ? 2 : 1, n, n, seed);
        for (long h = 0; h < z.in.heads; h++) /* heads that look far, and near */
            z.head[h].scale *= 1 + 2 * (double)h;
        best_spans(&z, nb, density, group, b);
        snprintf(spec, sizeof spec, "moa:density=%.17g,pool=%s", density,
                 group ? "max" : "none");
        history_twin(cx, &z, spec, span_sets, b);
        zoo_free(&z);
    }
}

/* ---- limits ---- */

static void limits(atn_ctx *cx)
{
    atn_plan p[ZOO_HEADS_MOST];
    atn_choice c;
    double w[400];
    zoo z;

    zoo_random(&z, 2, 1, 400, 400, 4);
    zoo_row(cx, &z, "moa:density=1", 1, 399, w);
    zoo_check_set(&z, 1, w, "0-399");
    zoo_row(cx, &z, "moa:density=1e-6", 1, 399, w); /* none is that sparse */
    zoo_check_set(&z, 1, w, "0-63,384-399");
    CHECK_EQ(zoo_plan(cx, &z, "moa:rules=1,density=.8", 0, p), 2);
    CHECK(p[0].index_flops == 0 && p[0].tile_rows == B && p[0].tile_keys == B);
    CHECK_EQ(p[0].branch[0].part[0].pattern->offsets[0].hi,
             p[1].branch[0].part[0].pattern->offsets[0].hi);
    zoo_release(cx, p, 2);
    CHECK_OK(atn_choice_read(cx, "moa", NULL, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
    z.head[0].v.data = NULL;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, p), ATN_DATA,
                "moa reads values to plan, and layer 0 has none (import --v, or give "
                "plan=FILE)");
    CHECK_OK(atn_choice_read(cx, "moa", "shortest=9000", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, p), ATN_USAGE,
                "moa: shortest=9000, profile=8192 and longest=16384 must ascend");
    zoo_free(&z);
    zoo_second(&z);
    zoo_row(cx, &z, "moa", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    zoo_free(&z);
}

/* ---- files ---- */

static const char *written(const char *text)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/plan.json", check_scratch("moa"));
    f = fopen(path, "wb");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) fail_msg("cannot write %s", path);
    return path;
}

/* At 400 keys 6 whole blocks: 2 + .5 6 = 5 blocks, and 1. */
static void plans_from_a_file(atn_ctx *cx, const char *text)
{
    const long want[] = {5, 1};
    char spec[700];
    atn_choice c;
    zoo z;

    snprintf(spec, sizeof spec, "moa:plan=%s", written(text));
    zoo_random(&z, 2, 2, 400, 400, 4);
    z.head[0].v.data = NULL; /* values are not read */
    history_twin(cx, &z, spec, span_sets, want);
    CHECK_OK(atn_choice_read(cx, "moa", strchr(spec, ':') + 1, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), 0);
    zoo_free(&z);
}

static void our_plans(atn_ctx *cx)
{
    plans_from_a_file(cx,
                      "{\"schema\": \"attnscope/moa/1\", \"block\": 64, \"layers\": "
                      "[\n{\"layer\": 7, \"heads\": []},\n"
                      "{\"layer\": 0, \"heads\": [[130.5, 0.5], [-64, 0]]}]}");
}

/* The form of thu-nics/MoA; here layers may have other numbers of heads. */
static void published_plans(atn_ctx *cx)
{
    static const char text[] = "{\"betas\": [[0.5, 0], [1, 0.25], [0.125]],\n"
                               "\"alphas\": [[130.5, -64.0], [0, -1024.0], [8192]]}";
    atn_span_rule rules[2];

    plans_from_a_file(cx, text);
    CHECK_OK(atn_span_file_read(cx, written(text), 1, 2, 3, rules));
    CHECK(rules[0].alpha == 0 && rules[0].beta == 1);
    CHECK(rules[1].alpha == -1024 && rules[1].beta == .25);
    CHECK_OK(atn_span_file_read(cx, written(text), 2, 1, 0, rules));
    CHECK(rules[0].alpha == 8192 && rules[0].beta == .125);
}

static void files_that_do_not_fit(atn_ctx *cx)
{
#define PLAN(layers)                                                                   \
    "{\"schema\": \"attnscope/moa/1\", \"block\": 64, \"layers\": [" layers "]}"
#define THEIRS(alphas, betas) "{\"alphas\": [" alphas "], \"betas\": [" betas "]}"
    static const struct {
        const char *text, *says;
    } cases[] = {
        {PLAN("{\"layer\": 0, \"heads\": [[0, 1], [0, 1]]}"), "has no layer 1, which"},
        {PLAN("{\"layer\": 1, \"heads\": [[0, 1]]}"),
         "layer 1 has rules for 1 heads, and that of the capture has 2 heads"},
        {PLAN("{\"layer\": 1, \"heads\": [[0, 1], [0]]}"),
         "layer 1, heads[1] is no pair [alpha, beta]"},
        {PLAN("{\"layer\": 1, \"heads\": [[0, 1], [0, 1.5]]}"),
         "layer 1, heads[1]: a span of 0 + 1.5 N is none"},
        {PLAN("{\"layer\": 1, \"heads\": [[0, 1], [1e300, 0]]}"), "is none"},
        {PLAN("{\"layer\": 1, \"heads\": [[0, 1], [0, 1]]}, {\"layer\": 1, \"heads\": "
              "[]}"),
         "layers[1]: layer 1 is there twice"},
        {PLAN("{\"layer\": 4, \"heads\": []}"),
         "layers[0]: layer 4, and the model has the layers 0 to 3"},
        {PLAN("{\"layer\": 1, \"head\": []}"), "head"},
        {PLAN("{\"layer\": -1, \"heads\": []}"), "layer"},
        {PLAN("{\"layer\": 1, \"heads\": 3}"), "layers[0]: \"heads\" is no list"},
        {PLAN("[]"), "layers[0]"},
        {"{\"block\": 64, \"layers\": []}",
         "has no \"schema\" (and no \"alphas\" and \"betas\""},
        {"{\"alphas\": [[0], [0]]}", "\"betas\" is no list of layers"},
        {"{\"betas\": [[0], [0]], \"alphas\": 3}", "\"alphas\" is no list of layers"},
        {"{\"alphas\": [], \"betas\": [], \"block\": 64}", "block"},
        {"{\"alphas\": [[0], [0, 0]], \"betas\": [[0]]}",
         "\"alphas\" has 2 layers and \"betas\" 1"},
        {"{\"alphas\": [[0], [0, 0]], \"betas\": [[0], [0, 1]]}",
         "has rules for 2 layers, and the model has 4"},
        {THEIRS("[0], [0, 0], [], []", "[0], [0, 1], [1], []"),
         "layer 2 has 0 alphas and 1 betas"},
        {THEIRS("[0], [0, 0], [], []", "[0], [0, 1], 7, []"),
         "betas[2] is no list of numbers"},
        {THEIRS("[0], [0, \"a\"], [], []", "[0], [0, 1], [], []"),
         "alphas[1][1] is no number"},
        {THEIRS("[0], [0, 0], [], [64]", "[0], [0, 1], [], [1.5]"),
         "layer 3, heads[0]: a span of 64 + 1.5 N is none"},
        {THEIRS("[0], [0], [], []", "[0], [1], [], []"),
         "layer 1 has rules for 1 heads, and that of the capture has 2 heads"},
        {"{\"schema\": \"attnscope/moa/2\", \"block\": 64, \"layers\": []}",
         "\"schema\" is 'attnscope/moa/2', needed is attnscope/moa/1"},
        {"{\"schema\": \"attnscope/moa/1\", \"block\": 32, \"layers\": []}", "block"},
        {"{\"schema\": \"attnscope/moa/1\", \"block\": 64}", "\"layers\" is no list"},
        {"{\"schema\": \"attnscope/moa/1\", \"block\": 64, \"layer\": []}", "layer"},
        {"[]", "is no JSON object"},
        {"{\"schema\"", "plan.json"},
    };
    atn_span_rule rules[2];

    for (size_t i = 0; i < ATN_LEN(cases); i++)
        CHECK_FAILS(atn_span_file_read(cx, written(cases[i].text), 1, 2, 4, rules),
                    ATN_DATA, cases[i].says);
    CHECK_FAILS(
        atn_span_file_read(cx, written("{\"alphas\": [[0, 0]], \"betas\": [[0, 1]]}"),
                           1, 2, 0, rules),
        ATN_DATA, "has no layer 1, which");
    CHECK_FAILS(atn_span_file_read(cx, "no/such/plan.json", 1, 2, 4, rules),
                ATN_NOINPUT, "no/such/plan.json");
}

/* The rules go out as draws, and come in again in place of those planned. */
static void rules_are_draws(atn_ctx *cx)
{
    char path[600];
    atn_plan a[ZOO_HEADS_MOST], b[ZOO_HEADS_MOST];
    atn_draws *d = NULL;
    zoo z, other;
    atn_choice c;

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch("moa_draws"));
    zoo_random(&z, 2, 1, 400, 400, 4);
    CHECK_OK(atn_draws_open(cx, NULL, &d));
    z.in.draws = d;
    zoo_plan(cx, &z, "moa:density=.9", 0, a);
    CHECK_OK(atn_draws_save(cx, d, path, false));
    atn_draws_close(cx, d);
    z.in.draws = NULL;
    CHECK_OK(atn_draws_open(cx, path, &d));
    zoo_random(&other, 2, 1, 400, 400, 5);
    other.in.draws = d;
    CHECK_OK(atn_choice_read(cx, "moa", NULL, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
    CHECK_EQ(atn_choice_looks(&c, &other.in), 0);
    zoo_plan(cx, &other, "moa:density=1e-6", 0, b);
    for (int h = 0; h < 2; h++)
        CHECK_EQ(a[h].branch[0].part[0].pattern->offsets[0].hi,
                 b[h].branch[0].part[0].pattern->offsets[0].hi);
    CHECK_LE(2, b[0].branch[0].part[0].pattern->offsets[0].hi);
    zoo_release(cx, a, 2);
    zoo_release(cx, b, 2);
    atn_draws_close(cx, d);
    zoo_free(&z);
    zoo_free(&other);
}

/* Two whole blocks are the first and the last: all is kept, whatever the numbers are.
 * Of three, two heads may keep five of six: one of them looks back less. */
static void looks_where_there_is_a_choice(atn_ctx *cx)
{
    bool differ = false;
    atn_idx before = 0;

    for (uint64_t seed = 1; seed < 9; seed++)
        for (int n = 191; n <= 192; n++) {
            atn_plan p[ZOO_HEADS_MOST];
            atn_choice c;
            atn_idx span;
            atn_cost cost;
            zoo z;

            zoo_random(&z, 2, 1, n, n, seed);
            CHECK_OK(atn_choice_read(cx, "moa", "density=.84", &c));
            CHECK_EQ(atn_choice_looks(&c, &z.in),
                     n < 192 ? 0 : ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
            zoo_plan(cx, &z, "moa:density=.84", 0, p);
            CHECK_OK(atn_plan_cost(cx, &z.head[0], &p[0], &cost));
            if (n < 192) CHECK_NEAR(cost.kept, cost.visible, 0);
            span = p[0].branch[0].part[0].pattern->offsets[0].hi;
            if (n == 192) {
                differ |= seed > 1 && span != before;
                before = span;
            }
            zoo_release(cx, p, 2);
            zoo_free(&z);
        }
    CHECK(differ);
}

static void robust(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 1, 300, 300, 3);
    history_robust(cx, &z, "moa");
    zoo_free(&z);
}

CHECK_MAIN({"golden influence", golden_influence},
           {"plans are the best", plans_are_the_best}, {"limits", limits},
           {"our plans", our_plans}, {"published plans", published_plans},
           {"files that do not fit", files_that_do_not_fit},
           {"rules are draws", rules_are_draws},
           {"looks where there is a choice", looks_where_there_is_a_choice},
           {"robust", robust})
