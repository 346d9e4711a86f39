/* tests/analysis/test_measures_properties.c -- what must hold of every head: the documented
 * ranges, keys in another order, limits of the scale, coarser blocks. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "measure_twin.h"
#include "measure_value.h"

#define VALUE(h, spec, name) column_of(cx, &(h), NULL, 0, spec, name)

/* Reads an end of a documented range: a number, or of nk. */
static double end_of_range(const char *text, double nq, double nk, double keys)
{
    if (strncmp(text, "ln nk", 5) == 0) return log(nk);
    if (strncmp(text, "nk/2 + 1", 8) == 0) return floor(nk / 2) + 1;
    if (strncmp(text, "nk/2", 4) == 0) return floor(nk / 2);
    if (strncmp(text, "ceil(nk / keys)", 15) == 0) return ceil(nk / keys);
    if (strncmp(text, "max(nq, nk)", 11) == 0) return fmax(nq, nk);
    if (strncmp(text, "nk", 2) == 0) return nk;
    return strtod(text, NULL);
}

static void inside_range(const char *name, const char *range, double x, double nq,
                         double nk, double keys)
{
    double lo = -INFINITY, hi = INFINITY;

    if (isnan(x) || strcmp(range, "any") == 0) return;
    if (strncmp(range, ">= ", 3) == 0)
        lo = strtod(range + 3, NULL);
    else if (strncmp(range, "<= ", 3) == 0)
        hi = strtod(range + 3, NULL);
    else {
        CHECK(*range == '[' || *range == '(');
        lo = end_of_range(range + 1, nq, nk, keys);
        hi = end_of_range(strchr(range, ',') + 2, nq, nk, keys);
    }
    if (!(x >= lo - 1e-6 && x <= hi * (1 + 1e-6) + 1e-6))
        fail_msg("%s = %.17g is outside of %s with nk = %g", name, x, range, nk);
}

/* Every column of the head measures is inside the range that `list measures` prints. */
static void documented_ranges(atn_ctx *cx)
{
    static twin_head h;
    double values[256];

    for (size_t k = 0; k < sizeof twin_kinds / sizeof *twin_kinds; k++)
        for (int draw = 0; draw < 4; draw++) {
            const atn_stats_plan_opts opts = {.measures =
                                                  "all,gini,smoothed,blocks:size=8",
                                              .skip_rows = twin_kinds[k].skip};
            const bool far =
                twin_kinds[k].nq > twin_kinds[k].nk; /* |t - j| beyond nk */
            atn_stats_plan plan;

            twin_make(&twin_kinds[k], draw, draw, &h);
            CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
            CHECK_LE(plan.n_slots, 256);
            head_values(cx, &plan, &h.head, h.t.token, values);
            for (int i = 0; i < plan.n_slots; i++) {
                const atn_measure_col *c =
                    &plan.measure[plan.slot[i].measure]->cols[plan.slot[i].col];

                if (plan.measure[plan.slot[i].measure]->layer ||
                    plan.measure[plan.slot[i].measure]->model ||
                    (far && strcmp(c->unit, "tokens") == 0) ||
                    (strstr(c->range, "causal") && !h.head.sight.causal))
                    continue;
                inside_range(c->name, c->range, values[i], (double)h.head.nq,
                             (double)h.t.nk, 8);
            }
            atn_stats_plan_release(cx, &plan);
        }
}

/* Keys in another order: what does not ask where a key is stays. */
static void permuted_keys(atn_ctx *cx)
{
    static const char *const spec = "entropy,gini,smoothed,coverage,confidence,topk";
    static const char *const names[] = {"entropy_mean_nats",
                                        "entropy_normalised",
                                        "effective_keys",
                                        "participation_ratio",
                                        "gini_mean",
                                        "smoothed_mean_nats",
                                        "coverage_50_mean_keys",
                                        "coverage_90_mean_keys",
                                        "coverage_999_density",
                                        "confidence_mean",
                                        "topk_mass"};
    static twin_head h;
    static float k[TWIN_MOST * TWIN_D];
    const twin_kind kind = {"permuted", 30, 48, 0, {0}, 0, true, false, false};
    atn_head other;

    twin_make(&kind, 0, 1, &h);
    other = h.head;
    for (int j = 0; j < 48; j++)
        memcpy(k + j * 11 % 48 * TWIN_D, h.k + j * TWIN_D, TWIN_D * sizeof *k);
    other.k.data = k;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_NEAR(VALUE(h.head, spec, names[i]), VALUE(other, spec, names[i]), 1e-6);
}

/* Logits times 0: uniform rows; times 4000: one key a row, its logit alone being largest. */
static void limits_of_the_scale(atn_ctx *cx)
{
    static twin_head h;
    const twin_kind kind = {"limits", 40, 40, 0, {0}, 0, false, false, false};

    twin_make(&kind, 1, 0, &h);
    CHECK_NEAR(VALUE(h.head, "entropy", "entropy_normalised"), 1, 1e-6);
    CHECK_NEAR(VALUE(h.head, "gini", "gini_mean"), 0, 1e-6);
    CHECK_NEAR(VALUE(h.head, "coverage", "coverage_90_mean_keys"), 36, 0);
    CHECK_NEAR(VALUE(h.head, "confidence", "confidence_mean"), 1 / 40., 1e-7);
    h.head.scale = 4000;
    CHECK_NEAR(VALUE(h.head, "entropy", "entropy_mean_nats"), 0, 1e-6);
    CHECK_NEAR(VALUE(h.head, "gini", "gini_mean"), 1 - 1 / 40., 1e-6);
    CHECK_NEAR(VALUE(h.head, "coverage", "coverage_999_mean_keys"), 1, 0);
    CHECK_NEAR(VALUE(h.head, "confidence", "confidence_mean"), 1, 1e-7);
}

/* Masses of blocks of 2 b are sums of those of b. */
static void blocks_coarsen(atn_ctx *cx)
{
    static twin_head h;

    for (size_t k = 0; k < sizeof twin_kinds / sizeof *twin_kinds; k++) {
        const twin_kind *kind = &twin_kinds[k];
        const atn_idx across = (kind->nk + 3) / 4, wide = (kind->nk + 7) / 8;
        atn_row_stats_opts opts = {
            .needs = ATN_NEED_BLOCKS, .block = 4, .skip_rows = kind->skip};
        atn_row_stats *fine = NULL, *coarse = NULL;
        double *sum = calloc((size_t)(wide * ((kind->nq + 7) / 8)), sizeof *sum);

        twin_make(kind, 0, 1, &h);
        CHECK_OK(atn_row_stats_run(cx, &h.head, 1, NULL, &opts, &fine));
        opts.block = 8;
        CHECK_OK(atn_row_stats_run(cx, &h.head, 1, NULL, &opts, &coarse));
        for (atn_idx a = 0; a < (kind->nq + 3) / 4; a++)
            for (atn_idx b = 0; b < across; b++)
                sum[a / 2 * wide + b / 2] +=
                    atn_row_stats_head(fine, 0).blocks[a * across + b];
        for (atn_idx a = 0; a < wide * ((kind->nq + 7) / 8); a++)
            CHECK_NEAR(atn_row_stats_head(coarse, 0).blocks[a], sum[a], 1e-9);
        atn_row_stats_destroy(cx, fine);
        atn_row_stats_destroy(cx, coarse);
        free(sum);
    }
}

/* Where queries stand in another text, what asks for their place has no value, and all
 * else is as it was. */
static void queries_of_another_text(atn_ctx *cx)
{
    static const char *const empty[][2] = {
        {"distance", "distance_mean_tokens"}, {"distance", "distance_relative"},
        {"local", "diagonal_mass"},           {"local", "previous_mass"},
        {"span", "span_90_mean_tokens"},      {"span", "span_share_4"},
        {"stripes", "stripes_offset_tokens"}, {"stripes", "stripes_offset_share"},
        {"toeplitz", "toeplitz_logit_share"}, {"detector", "detector_previous_mul"},
        {"blocks", "blocks_diagonal_share"}};
    static const char *const same[][2] = {{"entropy", "entropy_mean_nats"},
                                          {"sink", "sink_mass"},
                                          {"coverage", "coverage_90_mean_keys"},
                                          {"stripes", "stripes_key_share"},
                                          {"blocks", "blocks_density"}};
    const twin_kind kind = {"cross", 17, 39, 0, {0}, 0, false, false, false};
    static twin_head made;
    atn_head cross;

    twin_make(&kind, 2, 1, &made);
    cross = made.head;
    cross.sight.cross = true;
    for (size_t i = 0; i < ATN_LEN(empty); i++) {
        CHECK(isfinite(VALUE(made.head, empty[i][0], empty[i][1])));
        CHECK(isnan(VALUE(cross, empty[i][0], empty[i][1])));
    }
    for (size_t i = 0; i < ATN_LEN(same); i++)
        CHECK_NEAR(VALUE(cross, same[i][0], same[i][1]),
                   VALUE(made.head, same[i][0], same[i][1]), 0);
}

/* A sink logit that takes all of a row leaves no row to renormalise: no coverage, no span. */
static void rows_without_mass(atn_ctx *cx)
{
    static const char *const specs[] = {"coverage", "span", "gini", "smoothed"};
    static const char *const names[] = {"coverage_90_mean_keys", "span_50_mean_tokens",
                                        "gini_mean", "smoothed_mean_nats"};
    const twin_kind kind = {"massless", 16,    16,    0,    {.causal = true},
                            0,          false, false, false};
    static twin_head made;
    atn_head plain, h;

    twin_make(&kind, 0, 1, &made);
    h = plain = made.head;
    h.has_sink = true;
    h.sink = 300;
    for (int i = 0; i < 4; i++) CHECK(isnan(VALUE(h, specs[i], names[i])));
    CHECK(isnan(VALUE(h, "confidence", "confidence_mean")));
    CHECK(isnan(VALUE(h, "entropy", "entropy_mean_nats")));
    h.sink = 40; /* leaves exp(-40), and its spread */
    CHECK_NEAR(VALUE(h, "coverage", "coverage_90_density"),
               VALUE(plain, "coverage", "coverage_90_density"), 1e-12);
}

CHECK_MAIN({"documented ranges", documented_ranges}, {"permuted keys", permuted_keys},
           {"limits of the scale", limits_of_the_scale},
           {"blocks coarsen", blocks_coarsen},
           {"queries of another text", queries_of_another_text},
           {"rows without mass", rows_without_mass})
