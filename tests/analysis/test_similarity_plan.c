/* The sharing plan against brute force, its bounds against the card, and the assignment. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/similarity_internal.h"
#include "core/rng.h"

enum { LMAX = 8 };

/* ---- assignment ---- */

static double brute_assign(const double *gain, int n, int ld, int at, unsigned used)
{
    double best = -1e30;

    if (at == n) return 0;
    for (int j = 0; j < n; j++) {
        double x;
        if (used >> j & 1) continue;
        x = gain[at * ld + j] + brute_assign(gain, n, ld, at + 1, used | 1u << j);
        if (x > best) best = x;
    }
    return best;
}

static void assignment_is_exact(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(3, "assign", 0, 0);

    for (int trial = 0; trial < 140; trial++) {
        const int n = 1 + trial % 7, ld = n + trial % 3;
        double gain[7 * 9], best, sum = 0;
        int pick[7];
        unsigned used = 0;

        for (int i = 0; i < n * ld; i++) /* every other trial is full of ties */
            gain[i] = trial & 1 ? (double)atn_rng_below(&r, 3) : atn_rng_normal(&r);
        CHECK_OK(atn_sim_assign(cx, gain, n, ld, pick, &best));
        for (int i = 0; i < n; i++) {
            used |= 1u << pick[i];
            sum += gain[i * ld + pick[i]];
        }
        CHECK_EQ(used, (1u << n) - 1);
        CHECK_NEAR(best, sum, 1e-12);
        CHECK_NEAR(best, brute_assign(gain, n, ld, 0, 0), 1e-9);
    }
}

/* ---- the programme ---- */

typedef struct plan {
    bool found;
    double gain, similarity;
    int followers, leader[LMAX];
} plan;

/* Leaders of the blocks from the last one backwards: the first difference decides. */
static bool earlier(const plan *x, const plan *y, int n)
{
    int i = n - 1, j = n - 1;

    while (i >= 0 && j >= 0) {
        if (x->leader[i] != y->leader[j]) return x->leader[i] < y->leader[j];
        i = x->leader[i] - 1;
        j = y->leader[j] - 1;
    }
    return false;
}

static bool wins(const plan *x, const plan *y, int n)
{
    if (!y->found) return true;
    if (fabs(x->gain - y->gain) > 1e-12 * fmax(1, fabs(y->gain)))
        return x->gain > y->gain;
    if (fabs(x->similarity - y->similarity) > 1e-12)
        return x->similarity > y->similarity;
    return earlier(x, y, n);
}

static plan score(int n, unsigned cuts, const double *s, const double *cost,
                  const double *err, const atn_share_opts *o)
{
    plan p = {.found = true};
    int size = 1;

    for (int l = 0, a = 0; l < n; l++) {
        if (l == 0 || cuts >> (l - 1) & 1) {
            p.leader[l] = a = l;
            size = 1;
            continue;
        }
        p.leader[l] = a;
        p.followers++;
        size++;
        p.gain += o->gain == ATN_SHARE_ERROR ? -err[a * n + l] : cost[l];
        p.similarity += s[a * n + l];
        if (s[a * n + l] < o->threshold || a < o->first_keep || l >= n - o->last_keep ||
            (o->kmax > 0 && size > o->kmax))
            p.found = false;
    }
    return p;
}

static plan brute(int n, const double *s, const double *cost, const double *err,
                  const atn_share_opts *o)
{
    plan best = {0};
    int wanted = o->budget > 0 && o->budget < n ? (int)o->budget : n;

    for (; !best.found; wanted--)
        for (unsigned cuts = 0; cuts < 1u << (n - 1); cuts++) {
            const plan p = score(n, cuts, s, cost, err, o);
            if (!p.found || (o->gain == ATN_SHARE_ERROR && p.followers != wanted))
                continue;
            if (wins(&p, &best, n)) best = p;
        }
    return best;
}

/* 600 random matrices; two in three have similarities in steps of a quarter, so that
 * almost every plan has an equal. */
static void plan_equals_brute_force(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(5, "plan", 0, 0);

    for (int trial = 0; trial < 600; trial++) {
        const int n = 1 + (int)atn_rng_below(&r, LMAX);
        double s[LMAX * LMAX], cost[LMAX], err[LMAX * LMAX];
        int leader[LMAX];
        atn_share_opts o;
        plan p;

        atn_share_defaults(&o);
        for (int i = 0; i < n * n; i++) {
            s[i] =
                trial % 3 ? 0.25 * (double)atn_rng_below(&r, 5) : atn_rng_uniform(&r);
            err[i] =
                trial % 3 ? 0.5 * (double)atn_rng_below(&r, 3) : atn_rng_uniform(&r);
        }
        for (int l = 0; l < n; l++)
            cost[l] = 10 + (double)atn_rng_below(&r, 1 + trial % 2 * 4);
        o.threshold = atn_rng_uniform(&r);
        o.first_keep = atn_rng_below(&r, 3);
        o.last_keep = atn_rng_below(&r, 3);
        o.kmax = atn_rng_below(&r, 5);
        o.gain = trial % 2 ? ATN_SHARE_PARAMS : ATN_SHARE_ERROR;
        o.budget = atn_rng_below(&r, 6);
        CHECK_OK(atn_share_solve(cx, n, s, cost, err, &o, leader));
        p = brute(n, s, cost, err, &o);
        for (int l = 0; l < n; l++) CHECK_EQ(leader[l], p.leader[l]);
    }
}

static void thresholds_at_the_ends(atn_ctx *cx)
{
    double s[36], cost[6];
    int leader[6];
    atn_share_opts o;

    for (int i = 0; i < 36; i++) s[i] = i % 7 ? 0.5 : 1;
    for (int l = 0; l < 6; l++) cost[l] = 1;
    atn_share_defaults(&o);
    o.threshold = 1.5;
    CHECK_OK(atn_share_solve(cx, 6, s, cost, NULL, &o, leader));
    for (int l = 0; l < 6; l++) CHECK_EQ(leader[l], l);
    o.threshold = 0;
    CHECK_OK(atn_share_solve(cx, 6, s, cost, NULL, &o, leader));
    for (int l = 0; l < 6; l++) CHECK_EQ(leader[l], l == 0 ? 0 : l == 5 ? 5 : 1);
    o.first_keep = o.last_keep = 0;
    CHECK_OK(atn_share_solve(cx, 6, s, cost, NULL, &o, leader));
    for (int l = 0; l < 6; l++) CHECK_EQ(leader[l], 0);
    o.kmax = 2; /* three pairs; every other plan saves less */
    CHECK_OK(atn_share_solve(cx, 6, s, cost, NULL, &o, leader));
    for (int l = 0; l < 6; l++) CHECK_EQ(leader[l], l / 2 * 2);
}

/* Equal gain and similarity: {0}{1 2} has the last leader 1, {0 1}{2} the last leader 2. */
static void ties_take_the_smaller_last_leader(atn_ctx *cx)
{
    const double s[] = {1, .95, .1, .95, 1, .95, .1, .95, 1}, cost[] = {1, 1, 1};
    int leader[3];
    atn_share_opts o;

    atn_share_defaults(&o);
    o.first_keep = o.last_keep = 0;
    CHECK_OK(atn_share_solve(cx, 3, s, cost, NULL, &o, leader));
    CHECK_EQ(leader[1], 1);
    CHECK_EQ(leader[2], 1);
}

static void refuses(atn_ctx *cx)
{
    const double s[] = {1}, cost[] = {1};
    int leader[1];
    atn_share_opts o;

    atn_share_defaults(&o);
    o.kmax = -1;
    CHECK_FAILS(atn_share_solve(cx, 1, s, cost, NULL, &o, leader), ATN_USAGE,
                "kmax -1");
    atn_share_defaults(&o);
    o.threshold = NAN;
    CHECK_FAILS(atn_share_solve(cx, 1, s, cost, NULL, &o, leader), ATN_USAGE,
                "--threshold");
    atn_share_defaults(&o);
    o.gain = ATN_SHARE_ERROR;
    CHECK_FAILS(atn_share_solve(cx, 1, s, cost, NULL, &o, leader), ATN_DATA,
                "copy_err");
    o.gain = 7;
    CHECK_FAILS(atn_share_solve(cx, 1, s, cost, NULL, &o, leader), ATN_USAGE,
                "no gain 7");
}

/* ---- TinyLlama-1.1B: 22 layers, D 2048, 32 heads on 4, d 64, MLP 5632, 32000 words ---- */

static atn_share_total tiny(double n, int followers, double bytes)
{
    const atn_share_sizes z = {2048, 5632, 32000, true, false};
    atn_layer_cost cost[22];
    int leader[22];
    atn_share_total total;

    for (int l = 0; l < 22; l++) {
        cost[l] = (atn_layer_cost){32, 4, 64, 64, n, n / 2, n};
        leader[l] = l > 1 && l <= 1 + followers ? 1 : l;
    }
    atn_share_bounds(cost, 22, leader, &z, bytes, &total);
    return total;
}

static void golden_tinyllama(atn_ctx *cx)
{
    static const struct {
        double n, nine, seventeen;
    } card[] = {{512, 1.047, 1.092},
                {2048, 1.058, 1.115},
                {4096, 1.070, 1.142},
                {8192, 1.092, 1.189},
                {32768, 1.159, 1.350}};
    atn_share_total t = tiny(2048, 9, 2);

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(card); i++) {
        CHECK_NEAR(tiny(card[i].n, 9, 2).flop_bound, card[i].nine, 5.1e-4);
        CHECK_NEAR(tiny(card[i].n, 17, 2).flop_bound, card[i].seventeen, 5.1e-4);
    }
    CHECK_NEAR(t.params, 9 * 4718592.0, 0);
    CHECK_NEAR(t.params / t.params_share, 1100048384.0, 1);
    CHECK_NEAR(t.params_share, .0386, 5e-5);
    CHECK_NEAR(tiny(2048, 5, 2).params_share, .0214, 5e-5);
    CHECK_NEAR(tiny(2048, 17, 2).params_share, .0729, 5e-5);
    CHECK_NEAR(t.cache_bytes, 9 * 2048 * 256 * 2.0, 0);
    CHECK_EQ(t.followers, 9);
}

/* One head of d = 2 over 10 keys, two layers, one follows: traffic a layer 10 (2+2+2+2) +
 * 4 100 = 480, saved 10 (2+2) + 3 100 = 340; bound 960 / 620. */
static void golden_byte_bounds(atn_ctx *cx)
{
    const atn_layer_cost cost[] = {{1, 1, 2, 2, 10, 5, 0}, {1, 1, 2, 2, 10, 5, 0}};
    const atn_share_sizes none = {0}, z = {2, 3, 5, false, true},
                          untied = {2, 3, 5, false, false};
    const int leader[] = {0, 0};
    atn_share_total t;

    (void)cx;
    atn_share_bounds(cost, 2, leader, &none, 4, &t);
    CHECK_NEAR(t.attn_byte_bound, 960. / 620, 1e-12);
    CHECK_NEAR(t.cache_bytes, 80, 0);
    CHECK(isnan(t.flop_bound) && isnan(t.params) && isnan(t.decode_byte_bound));
    atn_share_bounds(cost, 2, leader, &z, 4, &t);
    /* a layer: weights 2 (2+2+2+2) + 2 2 3 = 28 and norms 4, cache 40; vocabulary 10;
     * saved: 8 weights, 20 cached */
    CHECK_NEAR(t.params_share, 8. / (64 + 10 + 2), 1e-12);
    CHECK_NEAR(t.decode_byte_bound, (64. + 10 + 80) / (64 + 10 + 80 - 28), 1e-12);
    /* a layer: 2 28 + 2 5 (2 + 2) = 96 flop, head 20; saved 2 8 + 2 5 2 = 36 */
    CHECK_NEAR(t.flop_bound, 212. / 176, 1e-12);
    atn_share_bounds(cost, 2, leader, &untied, 4, &t); /* the vocabulary counts twice */
    CHECK_NEAR(t.params_share, 8. / (64 + 20 + 2), 1e-12);
}

static void no_follower_no_gain(atn_ctx *cx)
{
    const atn_share_total t = tiny(2048, 0, 2);

    (void)cx;
    CHECK_NEAR(t.flop_bound, 1, 0);
    CHECK_NEAR(t.attn_byte_bound, 1, 0);
    CHECK_NEAR(t.decode_byte_bound, 1, 0);
    CHECK_NEAR(t.params, 0, 0);
}

CHECK_MAIN({"assignment is exact", assignment_is_exact},
           {"plan equals brute force", plan_equals_brute_force},
           {"thresholds at the ends", thresholds_at_the_ends},
           {"ties take the smaller last leader", ties_take_the_smaller_last_leader},
           {"refuses", refuses}, {"golden TinyLlama", golden_tinyllama},
           {"golden byte bounds", golden_byte_bounds},
           {"no follower, no gain", no_follower_no_gain})
