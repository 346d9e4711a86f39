/* Plans: their weights by hand, their keys as a pattern, heads without padding. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/plan.h"
#include "tests/check.h"

/* n tokens with all logits 0, but where q says otherwise (d = 1, scale 1, k = 1). */
typedef struct flat {
    float q[16], k[16], v[16];
    atn_head h;
} flat;

static void flat_open(flat *f, atn_idx n)
{
    *f = (flat){.h = {.nq = n, .nk = n, .scale = 1}};
    f->h.q = (atn_cmat){f->q, n, 1, 1};
    f->h.k = (atn_cmat){f->k, n, 1, 1};
    f->h.v = (atn_cmat){f->v, n, 1, 1};
    f->h.sight = (atn_sight){.causal = true, .key_last = n};
    for (atn_idx i = 0; i < n; i++) {
        f->q[i] = 1;
        f->v[i] = (float)i;
    }
}

static void *copy(atn_ctx *cx, const void *from, atn_idx n, size_t size)
{
    void *to = atn_alloc(cx, n, size);

    CHECK(to != NULL);
    if (n > 0) memcpy(to, from, (size_t)n * size);
    return to;
}

/* Groups from lists that end with -2; `logit` NULL = none. */
static void set_groups(atn_ctx *cx, atn_part *part, atn_idx n, const int32_t *rows,
                       const int32_t *keys, const int32_t *logit)
{
    int64_t row_ptr[16] = {0}, key_ptr[16] = {0};
    int32_t row[64], key[64];

    for (atn_idx g = 0; g < n; g++) {
        row_ptr[g + 1] = row_ptr[g];
        key_ptr[g + 1] = key_ptr[g];
        for (; *rows != -2; rows++) row[row_ptr[g + 1]++] = *rows;
        for (; *keys != -2; keys++) key[key_ptr[g + 1]++] = *keys;
        rows++;
        keys++;
    }
    part->groups = (atn_groups){.n = n,
                                .row_ptr = copy(cx, row_ptr, n + 1, sizeof *row_ptr),
                                .row = copy(cx, row, row_ptr[n], sizeof *row),
                                .key_ptr = copy(cx, key_ptr, n + 1, sizeof *key_ptr),
                                .key = copy(cx, key, key_ptr[n], sizeof *key)};
    if (logit) part->groups.logit = copy(cx, logit, n, sizeof *logit);
}

static atn_plan one_branch(int parts)
{
    atn_plan p = {.branches = 1, .tile_rows = 1, .tile_keys = 1};

    p.branch[0].parts = parts;
    return p;
}

static void check_row(atn_ctx *cx, const flat *f, const atn_plan *p, atn_idx i,
                      const double *want)
{
    double w[16];

    CHECK_OK(atn_plan_check(cx, &f->h, p));
    CHECK_OK(atn_plan_rows(cx, &f->h, p, i, 1, w));
    for (atn_idx j = 0; j < f->h.nk; j++) CHECK_NEAR(w[j], want[j], 1e-12);
}

/* Card 12: equal logits, blocks of two tokens and a landmark, query 7: own section 6 7
 * and the landmarks 2 5 share 1/4 each, and a landmark's share goes to its two
 * tokens. */
static void landmarks_weigh_as_their_logit(atn_ctx *cx)
{
    const int32_t rows[] = {7, -2, 7, -2, 7, -2},
                  keys[] = {6, 7, -2, 0, 1, -2, 3, 4, -2};
    const int32_t logit[] = {-1, 2, 5};
    const double want[] = {.125, .125, 0, .125, .125, 0, .25, .25};
    atn_plan p = one_branch(1);
    flat f;

    flat_open(&f, 8);
    set_groups(cx, &p.branch[0].part[0], 3, rows, keys, logit);
    check_row(cx, &f, &p, 7, want);
    CHECK(!atn_plan_is_mask(&p));
    atn_plan_release(cx, &p);
}

/* Key 1 twice counts twice; key 5 is behind the query and does not count. */
static void repeats_count_and_masks_hold(atn_ctx *cx)
{
    const int32_t rows[] = {3, -2, 3, -2}, keys[] = {1, 5, -2, 1, 2, -2};
    const double want[] = {0, 2. / 3, 1. / 3, 0, 0, 0};
    atn_plan p = one_branch(1);
    flat f;

    flat_open(&f, 6);
    set_groups(cx, &p.branch[0].part[0], 2, rows, keys, NULL);
    check_row(cx, &f, &p, 3, want);
    p.branch[0].merge = ATN_MERGE_MEAN;
    check_row(cx, &f, &p, 3, (double[]){0, .75, .25, 0, 0, 0});
    p.branch[0].scale = copy(cx, (float[]){1, 1, 1, .5, 1, 1}, 6, sizeof(float));
    check_row(cx, &f, &p, 3, (double[]){0, .375, .125, 0, 0, 0});
    atn_plan_release(cx, &p);
}

/* Two ordinary keys and a virtual one of logit 0 that stands for keys 4 and 5, behind
 * the query: it is never masked. A log weight of ln 2 doubles. */
static void virtual_keys_expand(atn_ctx *cx)
{
    const int32_t rows[] = {1, -2}, keys[] = {0, 1, 6, -2};
    atn_plan p = one_branch(1);
    flat f;

    flat_open(&f, 6);
    set_groups(cx, &p.branch[0].part[0], 1, rows, keys, NULL);
    p.branch[0].part[0].groups.log_weight =
        copy(cx, (float[]){0, 0, (float)log(2)}, 3, sizeof(float));
    p.virtuals = 1;
    p.vk = copy(cx, (float[]){0}, 1, sizeof(float));
    p.vv = copy(cx, (float[]){4.25f}, 1, sizeof(float));
    p.expand_ptr = copy(cx, (int64_t[]){0, 2}, 2, sizeof(int64_t));
    p.expand = copy(cx, (int32_t[]){4, 5}, 2, sizeof(int32_t));
    p.expand_weight = copy(cx, (float[]){.75f, .25f}, 2, sizeof(float));
    {
        double w[6];
        const double want[] = {.25, .25, 0, 0, .375, .125};

        CHECK_OK(atn_plan_rows(cx, &f.h, &p, 1, 1, w));
        for (int j = 0; j < 6; j++) CHECK_NEAR(w[j], want[j], 1e-7);
    }
    atn_plan_release(cx, &p);
}

/* The own key counts only where it is alone; other keys in place of the head's. */
static void the_own_key_comes_last(atn_ctx *cx)
{
    atn_plan p = one_branch(1);
    flat f;

    flat_open(&f, 3);
    p.branch[0].part[0].all = true;
    CHECK(atn_plan_is_mask(&p));
    p.branch[0].part[0].self_last = true;
    CHECK(!atn_plan_is_mask(&p));
    check_row(cx, &f, &p, 0, (double[]){1, 0, 0});
    check_row(cx, &f, &p, 2, (double[]){.5, .5, 0});
    p.branch[0].part[0].k = copy(cx, (float[]){(float)log(3), 0, 9}, 3, sizeof(float));
    {
        double w[3];

        CHECK_OK(atn_plan_rows(cx, &f.h, &p, 2, 1, w));
        CHECK_NEAR(w[0], .75, 1e-7);
    }
    atn_plan_release(cx, &p);
}

/* A sink logit of ln 2 beside two equal keys takes half; parts share one softmax. */
static void the_sink_is_in_the_denominator_once(atn_ctx *cx)
{
    const atn_frame frame = atn_frame_square(4, 1, true);
    const atn_span near = {0, 1}, far = {3, 4};
    atn_plan p = one_branch(2);
    flat f;

    flat_open(&f, 4);
    f.h.has_sink = true;
    f.h.sink = log(2);
    CHECK_OK(atn_pattern_shift(cx, &frame, &near, 1, 0, &p.branch[0].part[0].pattern));
    CHECK_OK(atn_pattern_shift(cx, &frame, &far, 1, 0, &p.branch[0].part[1].pattern));
    check_row(cx, &f, &p, 3, (double[]){.25, 0, 0, .25});
    check_row(cx, &f, &p, 2, (double[]){0, 0, 1. / 3, 0});
    atn_plan_release(cx, &p);
}

/* Rows 1, 2 of the pattern that a plan stands for, a window of the head cutting it. */
static void a_plan_is_a_pattern(atn_ctx *cx)
{
    const int32_t rows[] = {2, 4, -2, 4, -2}, keys[] = {4, 0, 2, -2, 3, 5, -2};
    atn_pattern *of = NULL;
    atn_plan p = one_branch(1);
    atn_span s[6];
    flat f;

    flat_open(&f, 6);
    f.h.sight.window = 4;
    set_groups(cx, &p.branch[0].part[0], 2, rows, keys, NULL);
    CHECK_OK(atn_plan_pattern(cx, &f.h, &p, &of));
    CHECK_EQ(atn_pattern_keys(of, 0, 2, s), 2);
    CHECK(s[0].lo == 0 && s[0].hi == 1 && s[1].lo == 2 && s[1].hi == 3);
    CHECK_EQ(atn_pattern_keys(of, 0, 4, s), 1); /* 2 3 4 */
    CHECK(s[0].lo == 2 && s[0].hi == 5);
    CHECK_EQ(atn_pattern_keys(of, 0, 3, s), 0);
    atn_pattern_destroy(cx, of);
    atn_plan_release(cx, &p);
}

/* A static pattern stays the object that it is, and outlives the plan. */
static void a_mask_keeps_its_pattern(atn_ctx *cx)
{
    const atn_frame frame = atn_frame_square(6, 1, true);
    const atn_span near = {0, 2};
    atn_pattern *made = NULL, *of = NULL;
    atn_plan p = {0};
    flat f;

    flat_open(&f, 6);
    CHECK_OK(atn_pattern_shift(cx, &frame, &near, 1, 0, &made));
    atn_plan_mask(&p, made, 0, 1, 1);
    CHECK_OK(atn_plan_pattern(cx, &f.h, &p, &of));
    CHECK(of == made);
    atn_plan_release(cx, &p);
    CHECK(of->shift && of->n_offsets == 1);
    atn_pattern_destroy(cx, of);
}

/* Padding on both sides of self-attention: rows and keys 2 .. 4 of 6 remain. */
static void padding_is_cut_off(atn_ctx *cx)
{
    atn_idx row0, lo, hi;
    atn_head t;
    flat f;

    (void)cx;
    flat_open(&f, 6);
    f.h.sight.key_first = 2;
    f.h.sight.key_last = 5;
    f.h.sight.pad_queries = true;
    t = atn_head_trim(&f.h, &row0);
    CHECK_EQ(row0, 2);
    CHECK_EQ(t.nq, 3);
    CHECK_EQ(t.nk, 3);
    CHECK_EQ(t.sight.offset, 0);
    CHECK(t.v.data[0] == 2);
    atn_sight_row(&t.sight, 1, &lo, &hi);
    CHECK(lo == 0 && hi == 2);
}

static void bad_plans_are_named(atn_ctx *cx)
{
    const int32_t rows[] = {2, 2, -2}, keys[] = {1, -2};
    atn_plan p = one_branch(1);
    double w[6];
    flat f;

    flat_open(&f, 6);
    set_groups(cx, &p.branch[0].part[0], 1, rows, keys, NULL);
    CHECK_FAILS(atn_plan_check(cx, &f.h, &p), ATN_INTERNAL, "row 2 twice");
    p.branch[0].part[0].groups.key[0] = 6;
    p.branch[0].part[0].groups.row[1] = 3;
    CHECK_FAILS(atn_plan_check(cx, &f.h, &p), ATN_INTERNAL, "key 6 of 6");
    p.branch[0].part[0].groups.key[0] = 1;
    f.q[3] = NAN;
    CHECK_FAILS(atn_plan_rows(cx, &f.h, &p, 3, 1, w), ATN_DATA, "row 3");
    atn_plan_release(cx, &p);
}

CHECK_MAIN({"landmarks weigh as their logit", landmarks_weigh_as_their_logit},
           {"repeats count and masks hold", repeats_count_and_masks_hold},
           {"virtual keys expand", virtual_keys_expand},
           {"the own key comes last", the_own_key_comes_last},
           {"the sink is in the denominator once", the_sink_is_in_the_denominator_once},
           {"a plan is a pattern", a_plan_is_a_pattern},
           {"a mask keeps its pattern", a_mask_keeps_its_pattern},
           {"padding is cut off", padding_is_cut_off},
           {"bad plans are named", bad_plans_are_named})
