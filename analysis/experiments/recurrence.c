/* analysis/experiments/recurrence.c -- one attention computed in two ways: at once, and
 * by a scan, in parts, in chunks, on several machines.
 *
 * Math    theory/recurrence.c. Plain ways are loops of this file over the head's
 *         numbers in double; fast ways the methods' operators, or a scan and an
 *         exchange written out here.
 * Cost    about 6 n^2 (d + dv) flop a head.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/method_run.h"
#include "analysis/experiments/worst.h"

extern const atn_experiment atn_experiment_recurrence;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * y[e];
    return sum;
}

static double largest_row(const double *x, atn_idx rows, atn_idx cols)
{
    double most = 0;

    for (atn_idx i = 0; x && i < rows; i++)
        most = fmax(most, dot(x + i * cols, x + i * cols, cols));
    return sqrt(most);
}

static void compare(atn_worst *w, const double *plain, const double *fast, atn_idx n,
                    double scale)
{
    for (atn_idx e = 0; e < n; e++)
        atn_worst_take(w, ATN_EQUAL, plain[e], fast[e], scale);
}

static atn_status add(atn_ctx *cx, atn_checks *out, const atn_worst *w,
                      const char *bound, const char *variant)
{
    const atn_check c = atn_worst_check(w, atn_bound_find(bound), variant);

    return atn_checks_add(cx, out, &c);
}

/* ---- a scan ---- */

/* (m, u, w): sums of e^(s - m) (1, v); of nothing -inf, 0, 0. */
static void combine(const double *a, const double *b, atn_idx dv, double *out)
{
    const double m = fmax(a[0], b[0]);
    const double of_a = a[0] > -INFINITY ? exp(a[0] - m) : 0;
    const double of_b = b[0] > -INFINITY ? exp(b[0] - m) : 0;

    for (atn_idx e = 1; e < dv + 2; e++) out[e] = a[e] * of_a + b[e] * of_b;
    out[0] = m;
}

/* Elements of the last row's keys [lo, hi). */
static void set_elements(const atn_head_facts *f, atn_idx lo, atn_idx n, double *x)
{
    const double *s = f->s + (f->nq - 1) * f->nk + lo;
    const atn_idx width = f->dv + 2;

    for (atn_idx t = 0; t < n; t++) {
        x[t * width] = s[t];
        x[t * width + 1] = 1;
        memcpy(x + t * width + 2, f->v + (lo + t) * f->dv, (size_t)f->dv * sizeof *x);
    }
}

static void scan(double *x, atn_idx n, atn_idx dv, bool by_doubling)
{
    const atn_idx width = dv + 2;

    for (atn_idx step = 1; by_doubling && step < n; step *= 2)
        for (atn_idx t = n - 1; t >= step; t--)
            combine(x + (t - step) * width, x + t * width, dv, x + t * width);
    for (atn_idx t = 1; !by_doubling && t < n; t++)
        combine(x + (t - 1) * width, x + t * width, dv, x + t * width);
}

/* Attention of the last row over each prefix, plainly. */
static void prefixes(const atn_head_facts *f, atn_idx lo, atn_idx n, double *o)
{
    const double *s = f->s + (f->nq - 1) * f->nk + lo;
    const atn_idx dv = f->dv;

    memset(o, 0, (size_t)(n * dv) * sizeof *o);
    for (atn_idx t = 0; t < n; t++) {
        double max = -INFINITY, sum = 0;

        for (atn_idx j = 0; j <= t; j++) max = fmax(max, s[j]);
        for (atn_idx j = 0; j <= t; j++) sum += exp(s[j] - max);
        for (atn_idx j = 0; j <= t; j++) {
            const double w = exp(s[j] - max) / sum;

            for (atn_idx e = 0; e < dv; e++)
                o[t * dv + e] += w * f->v[(lo + j) * dv + e];
        }
    }
}

/* The method, whose rows are the prefixes where the head is whole and causal. */
static atn_status check_aaren(atn_ctx *cx, const atn_head_facts *f, const double *plain,
                              atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char params[32], refused[ATN_CHECK_TEXT];
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};
    double *o = NULL;

    snprintf(params, sizeof params, "query=%lld", (long long)f->nk - 1);
    ATN_TRY(atn_method_try(cx, &f->head, "aaren", params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, "scan_prefix", "aaren", refused));
        goto done;
    }
    ATN_TAKE(o, f->nq * f->dv);
    ATN_TRY(atn_method_output(cx, &f->head, &p, o));
    compare(&worst, plain, o, f->nq * f->dv, largest_row(f->v, f->nk, f->dv));
    ATN_TRY(add(cx, out, &worst, "scan_prefix", "aaren"));
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* All tokens have queries, and the mask is causal without a window. */
static bool is_whole(const atn_head_facts *f)
{
    const atn_sight *s = &f->head.sight;

    return s->causal && f->nq == f->nk && s->offset == 0 &&
           (s->window == 0 || s->window >= f->nk);
}

static atn_status check_scan(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double scale = largest_row(f->v, f->nk, f->dv);
    const atn_idx dv = f->dv;
    double *x = NULL, *plain = NULL, *o = NULL;
    atn_status st = ATN_OK;
    atn_idx lo, hi, n;

    atn_sight_row(&f->head.sight, f->nq - 1, &lo, &hi);
    n = hi - lo;
    ATN_TAKE(x, n * (dv + 2));
    ATN_TAKE(plain, n * dv);
    ATN_TAKE(o, n * dv);
    prefixes(f, lo, n, plain);
    for (int k = 0; k < 2; k++) {
        atn_worst worst = {0};

        set_elements(f, lo, n, x);
        scan(x, n, dv, k == 1);
        for (atn_idx t = 0; t < n; t++)
            for (atn_idx e = 0; e < dv; e++)
                o[t * dv + e] = x[t * (dv + 2) + 2 + e] / x[t * (dv + 2) + 1];
        compare(&worst, plain, o, n * dv, scale);
        ATN_TRY(add(cx, out, &worst, "scan_prefix",
                    k == 1 ? "brackets of powers of two" : "one after another"));
    }
    if (is_whole(f)) ATN_TRY(check_aaren(cx, f, plain, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- parts, merged ---- */

enum { PARITY, NEAR, THIRD, SPLITS };
static const char *const split_names[SPLITS] = {"even and odd", "nearest 64",
                                                "first third"};

static bool in_first(int split, atn_idx lo, atn_idx hi, atn_idx j)
{
    if (split == PARITY) return j % 2 == 0;
    if (split == NEAR) return j >= hi - 64;
    return j < lo + (hi - lo) / 3;
}

/* A part of a row: exact, and as an approximation might have it: the value of the best
 * key, or the mean of all, with a log-sum-exp of the mean logit. */
typedef struct part {
    double max, sum, logits, n;
    double *o, *rough; /* [dv] */
} part;

static void take_part(const atn_head_facts *f, atn_idx i, int split, bool first,
                      part *p)
{
    const double *s = f->s + i * f->nk;
    const atn_idx dv = f->dv;
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    p->max = -INFINITY;
    p->sum = p->n = p->logits = 0;
    memset(p->o, 0, (size_t)dv * sizeof *p->o);
    memset(p->rough, 0, (size_t)dv * sizeof *p->rough);
    for (atn_idx j = lo; j < hi; j++) {
        if (in_first(split, lo, hi, j) != first) continue;
        if (first && s[j] > p->max)
            memcpy(p->rough, f->v + j * dv, (size_t)dv * sizeof *p->rough);
        p->max = fmax(p->max, s[j]);
        p->n++;
        p->logits += s[j];
    }
    for (atn_idx j = lo; j < hi; j++) {
        const double *v = f->v + j * dv;
        double w;

        if (in_first(split, lo, hi, j) != first) continue;
        w = exp(s[j] - p->max);
        p->sum += w;
        for (atn_idx e = 0; e < dv; e++) p->o[e] += w * v[e];
        for (atn_idx e = 0; !first && e < dv; e++) p->rough[e] += v[e] / p->n;
    }
    for (atn_idx e = 0; e < dv && p->n > 0; e++) p->o[e] /= p->sum;
}

static double apart(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += (x[e] - y[e]) * (x[e] - y[e]);
    return sqrt(sum);
}

/* c of two log-sum-exps. */
static double share_of(double lse_1, double lse_2)
{
    return lse_1 > lse_2 ? 1 / (1 + exp(lse_2 - lse_1))
                         : exp(lse_1 - lse_2) / (1 + exp(lse_1 - lse_2));
}

static void merge_row(const atn_head_facts *f, atn_idx i, const part *a, const part *b,
                      atn_worst worst[2])
{
    const double scale = largest_row(f->v, f->nk, f->dv);
    const double *o = f->o + i * f->dv;
    const double c = share_of(a->max + log(a->sum), b->max + log(b->sum));
    const double taken = share_of(a->max + log(a->sum), b->logits / b->n + log(b->n));
    const atn_quantities q = {
        .x = {c, taken, apart(a->rough, a->o, f->dv), apart(b->rough, b->o, f->dv),
              apart(a->rough, b->rough, f->dv), apart(a->o, b->o, f->dv)}};
    double error = 0;

    for (atn_idx e = 0; e < f->dv; e++) {
        const double rough = taken * a->rough[e] + (1 - taken) * b->rough[e];

        atn_worst_take(&worst[0], ATN_EQUAL, o[e], c * a->o[e] + (1 - c) * b->o[e],
                       scale);
        error += (rough - o[e]) * (rough - o[e]);
    }
    atn_worst_take(&worst[1], ATN_AT_MOST,
                   atn_bound_predict(atn_bound_find("merge_error"), &q), sqrt(error),
                   scale);
}

static atn_status check_merging(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *room = NULL;
    part a, b;

    ATN_TAKE(room, 4 * f->dv);
    a = (part){.o = room, .rough = room + f->dv};
    b = (part){.o = room + 2 * f->dv, .rough = room + 3 * f->dv};
    for (int split = 0; split < SPLITS; split++) {
        atn_worst worst[2] = {{0}};

        for (atn_idx i = 0; i < f->nq; i++) {
            take_part(f, i, split, true, &a);
            take_part(f, i, split, false, &b);
            if (a.n > 0 && b.n > 0) merge_row(f, i, &a, &b, worst);
        }
        ATN_TRY(add(cx, out, &worst[0], "merged_parts", split_names[split]));
        ATN_TRY(add(cx, out, &worst[1], "merge_error", split_names[split]));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- decay, in chunks ---- */

static const double decays[] = {0, .015625, .25};
enum { DECAYS = 3, FAR = 16 };

/* o [nq, dv] <- sum of decayed products over the keys seen, of those more than `far`
 * back alone; *scale <- largest sum of absolute parts. */
static void decayed(const atn_head_facts *f, double lam, atn_idx far, double *o,
                    double *scale)
{
    const double most = largest_row(f->v, f->nk, f->dv);

    memset(o, 0, (size_t)(f->nq * f->dv) * sizeof *o);
    *scale = 0;
    for (atn_idx i = 0; i < f->nq; i++) {
        const atn_idx at = atn_sight_at(&f->head.sight, i);
        double parts = 0;
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        for (atn_idx j = lo; j < ATN_MIN(hi, at - far + 1); j++) {
            const double w = dot(f->q + i * f->d, f->k + j * f->d, f->d) *
                             exp(-lam * (double)(at - j));

            parts += fabs(w) * most;
            for (atn_idx e = 0; e < f->dv; e++)
                o[i * f->dv + e] += w * f->v[j * f->dv + e];
        }
        *scale = fmax(*scale, parts);
    }
}

static double largest_product(const atn_head_facts *f)
{
    return largest_row(f->q, f->nq, f->d) * largest_row(f->k, f->nk, f->d) *
           largest_row(f->v, f->nk, f->dv);
}

/* All of it, row by row: o of the method. */
static atn_status check_size(atn_ctx *cx, const atn_head_facts *f, double lam,
                             const double *o, const char *variant, atn_checks *out)
{
    const atn_quantities q = {.x = {largest_product(f), lam}};
    const double predicted = atn_bound_predict(atn_bound_find("decay_sum"), &q);
    atn_worst worst = {0};

    if (!(lam > 0)) return ATN_OK;
    for (atn_idx i = 0; i < f->nq; i++)
        atn_worst_take(&worst, ATN_AT_MOST, predicted,
                       largest_row(o + i * f->dv, 1, f->dv), 0);
    return add(cx, out, &worst, "decay_sum", variant);
}

/* What lies more than FAR tokens back, row by row. */
static atn_status check_far(atn_ctx *cx, const atn_head_facts *f, double lam, double *o,
                            const char *variant, atn_checks *out)
{
    const atn_quantities q = {.x = {largest_product(f), lam, FAR}};
    const double predicted = atn_bound_predict(atn_bound_find("decay_cut"), &q);
    atn_worst worst = {0};
    double scale;

    if (!(lam > 0)) return ATN_OK;
    decayed(f, lam, FAR + 1, o, &scale);
    for (atn_idx i = 0; i < f->nq; i++)
        atn_worst_take(&worst, ATN_AT_MOST, predicted,
                       largest_row(o + i * f->dv, 1, f->dv), 0);
    return add(cx, out, &worst, "decay_cut", variant);
}

static atn_status check_chunks(atn_ctx *cx, const atn_head_facts *f, double lam,
                               const double *plain, double scale, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char params[48], variant[48], refused[ATN_CHECK_TEXT];
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};
    double *o = NULL;

    snprintf(params, sizeof params, "slope=%.9g", lam);
    snprintf(variant, sizeof variant, "decay %g", lam);
    ATN_TRY(atn_method_try(cx, &f->head, "lightning", params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, "chunked_decay", variant, refused));
        goto done;
    }
    ATN_TAKE(o, f->nq * f->dv);
    ATN_TRY(atn_method_output(cx, &f->head, &p, o));
    compare(&worst, plain, o, f->nq * f->dv, scale);
    ATN_TRY(add(cx, out, &worst, "chunked_decay", variant));
    ATN_TRY(check_size(cx, f, lam, o, variant, out));
    ATN_TRY(check_far(cx, f, lam, o, variant, out));
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- several machines ---- */

typedef struct ranks {
    const atn_head_facts *f;
    double lam;
    int n;
    double *state;  /* [n][d, dv], decayed to the end of its rank */
    double *prefix; /* [d, dv] */
} ranks;

static atn_idx start_of(const ranks *r, int rank)
{
    return r->f->nk * rank / r->n;
}

/* to += by k' v */
static void add_outer(const ranks *r, atn_idx j, double by, double *to)
{
    const atn_idx d = r->f->d, dv = r->f->dv;

    for (atn_idx a = 0; a < d; a++)
        for (atn_idx e = 0; e < dv; e++)
            to[a * dv + e] += by * r->f->k[j * d + a] * r->f->v[j * dv + e];
}

/* What rank t has from the others once states are exchanged. */
static void gather(const ranks *r, int t)
{
    const atn_idx size = r->f->d * r->f->dv;

    memset(r->prefix, 0, (size_t)size * sizeof *r->prefix);
    for (int s = 0; s < t; s++) {
        const double by = exp(-r->lam * (double)(start_of(r, t) - start_of(r, s + 1)));

        for (atn_idx e = 0; e < size; e++) r->prefix[e] += by * r->state[s * size + e];
    }
}

static void rank_rows(const ranks *r, int t, double *o)
{
    const atn_idx d = r->f->d, dv = r->f->dv;

    for (atn_idx i = start_of(r, t); i < start_of(r, t + 1); i++) {
        const double *q = r->f->q + i * d;
        const double by = exp(-r->lam * (double)(i - start_of(r, t)));

        for (atn_idx e = 0; e < dv; e++) {
            o[i * dv + e] = 0;
            for (atn_idx a = 0; a < d; a++)
                o[i * dv + e] += by * q[a] * r->prefix[a * dv + e];
        }
        for (atn_idx j = start_of(r, t); j <= i; j++) {
            const double w =
                dot(q, r->f->k + j * d, d) * exp(-r->lam * (double)(i - j));

            for (atn_idx e = 0; e < dv; e++) o[i * dv + e] += w * r->f->v[j * dv + e];
        }
    }
}

static atn_status check_ranks(atn_ctx *cx, const atn_head_facts *f, double lam,
                              const double *plain, double scale, atn_checks *out)
{
    static const int counts[] = {1, 3, 8};
    const atn_arena_mark mark = atn_arena_save(cx);
    ranks r = {.f = f, .lam = lam};
    atn_status st = ATN_OK;
    double *o = NULL;

    ATN_TAKE(o, f->nq * f->dv);
    ATN_TAKE(r.prefix, f->d * f->dv);
    ATN_TAKE(r.state, 8 * f->d * f->dv);
    for (size_t c = 0; c < ATN_LEN(counts); c++) {
        atn_worst worst = {0};
        char variant[48];

        r.n = counts[c];
        memset(r.state, 0, (size_t)(8 * f->d * f->dv) * sizeof *r.state);
        for (int t = 0; t < r.n; t++)
            for (atn_idx j = start_of(&r, t); j < start_of(&r, t + 1); j++)
                add_outer(&r, j, exp(-lam * (double)(start_of(&r, t + 1) - j)),
                          r.state + t * f->d * f->dv);
        for (int t = 0; t < r.n; t++) {
            gather(&r, t);
            rank_rows(&r, t, o);
        }
        compare(&worst, plain, o, f->nq * f->dv, scale);
        snprintf(variant, sizeof variant, "%d ranks, decay %g", r.n, lam);
        ATN_TRY(add(cx, out, &worst, "ranks_decay", variant));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_decays(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *plain = NULL, scale;

    ATN_TAKE(plain, f->nq * f->dv);
    for (int k = 0; k < DECAYS && f->head.sight.causal; k++) {
        decayed(f, decays[k], 0, plain, &scale);
        ATN_TRY(check_chunks(cx, f, decays[k], plain, scale, out));
        if (is_whole(f)) ATN_TRY(check_ranks(cx, f, decays[k], plain, scale, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- flows ---- */

enum { FLOW_ROWS = 16 };

static void add_row(double *sum, double by, const double *x, atn_idx d)
{
    for (atn_idx e = 0; e < d; e++) sum[e] += by / (1 + exp(-x[e]));
}

static double flow(const double *x, const double *sum, atn_idx d)
{
    double all = 0;

    for (atn_idx e = 0; e < d; e++) all += sum[e] / (1 + exp(-x[e]));
    return all;
}

/* in [nq] and out [nk] <- I and U; sums [4][d] <- of keys, of queries, of keys / U, of
 * queries / I. */
static void flows(const atn_head_facts *f, double *in, double *out, double *sums)
{
    const atn_idx d = f->d;

    memset(sums, 0, (size_t)(4 * d) * sizeof *sums);
    for (atn_idx j = 0; j < f->nk; j++) add_row(sums, 1, f->k + j * d, d);
    for (atn_idx i = 0; i < f->nq; i++) add_row(sums + d, 1, f->q + i * d, d);
    for (atn_idx i = 0; i < f->nq; i++) in[i] = flow(f->q + i * d, sums, d);
    for (atn_idx j = 0; j < f->nk; j++) out[j] = flow(f->k + j * d, sums + d, d);
    for (atn_idx j = 0; j < f->nk; j++)
        add_row(sums + 2 * d, 1 / out[j], f->k + j * d, d);
    for (atn_idx i = 0; i < f->nq; i++)
        add_row(sums + 3 * d, 1 / in[i], f->q + i * d, d);
}

/* Every query every key. */
static bool sees_all(const atn_head_facts *f)
{
    for (atn_idx i = 0; i < f->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        if (hi - lo != f->nk) return false;
    }
    return !f->head.sight.causal;
}

/* Weights of the method flow are a_i (q_i.k_j) c_j / I_i: without a_i and c_j, which
 * follow from the flows, they are what goes into sink i, 1 in all. sums as of flows(). */
static atn_status check_flow(atn_ctx *cx, const atn_head_facts *f, const double *sums,
                             atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = f->d, rows = ATN_MIN(f->nq, (atn_idx)FLOW_ROWS);
    double *w = NULL, *c = NULL, most = -INFINITY, all = 0;
    char refused[ATN_CHECK_TEXT];
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};

    ATN_TRY(atn_method_try(cx, &f->head, "flow", "eps=0,clamp=none", &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, "flow_conserved", "method flow", refused));
        goto done;
    }
    ATN_TAKE(w, rows * f->nk);
    ATN_TAKE(c, f->nk);
    ATN_TRY(atn_plan_rows(cx, &f->head, &p, 0, rows, w));
    for (atn_idx j = 0; j < f->nk; j++) {
        c[j] = flow(f->k + j * d, sums + 3 * d, d);
        most = fmax(most, c[j]);
    }
    for (atn_idx j = 0; j < f->nk; j++) all += c[j] = exp(c[j] - most);
    for (atn_idx i = 0; i < rows; i++) {
        const double share = (double)f->nq / (double)f->nk;
        const double into = flow(f->q + i * d, sums + 2 * d, d) * share;
        double sum = 0;

        for (atn_idx j = 0; j < f->nk; j++)
            sum += w[i * f->nk + j] / (c[j] / all * (double)f->nk);
        atn_worst_take(&worst, ATN_EQUAL, 1, sum * (1 + exp(-into)), 0);
    }
    ATN_TRY(add(cx, out, &worst, "flow_conserved", "method flow"));
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_flows(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = f->d;
    double *in = NULL, *of_sources = NULL, *sums = NULL, sinks = 0, sources = 0;
    atn_worst worst[3] = {{0}};
    atn_status st = ATN_OK;

    ATN_TAKE(in, f->nq);
    ATN_TAKE(of_sources, f->nk);
    ATN_TAKE(sums, 4 * d);
    flows(f, in, of_sources, sums);
    for (atn_idx i = 0; i < f->nq; i++) sinks += flow(f->q + i * d, sums + 2 * d, d);
    for (atn_idx j = 0; j < f->nk; j++) sources += flow(f->k + j * d, sums + 3 * d, d);
    atn_worst_take(&worst[0], ATN_EQUAL, (double)f->nk, sinks, 0);
    atn_worst_take(&worst[1], ATN_EQUAL, (double)f->nq, sources, 0);
    for (atn_idx i = 0; i < f->nq; i++) {
        double all = 0;

        for (atn_idx j = 0; j < f->nk; j++)
            for (atn_idx e = 0; e < d; e++)
                all += 1 / (1 + exp(-f->q[i * d + e])) / (1 + exp(-f->k[j * d + e]));
        atn_worst_take(&worst[2], ATN_EQUAL, 1, all / in[i], 0);
        if (i >= FLOW_ROWS - 1) break; /* d n exponentials a row: a few rows tell */
    }
    ATN_TRY(add(cx, out, &worst[0], "flow_conserved", "into sinks"));
    ATN_TRY(add(cx, out, &worst[1], "flow_conserved", "out of sources"));
    ATN_TRY(add(cx, out, &worst[2], "flow_conserved", "of every sink"));
    if (sees_all(f)) ATN_TRY(check_flow(cx, f, sums, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(check_scan(cx, t->facts, out));
    ATN_TRY(check_merging(cx, t->facts, out));
    ATN_TRY(check_decays(cx, t->facts, out));
    ATN_TRY(check_flows(cx, t->facts, out));
done:
    return st;
}

const atn_experiment atn_experiment_recurrence = {
    .id = "recurrence",
    .label = "V21",
    .title = "Two ways to one attention",
    .text = "scans, merged parts, chunks with decay, exchanges between machines, and "
            "flows that are conserved. Methods of the library: aaren, lightning, flow. "
            "The other scans, parts, machines and flows are identities of the "
            "mathematics, computed both ways here",
    .source = "own derivation",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "scan_prefix merged_parts merge_error chunked_decay decay_cut decay_sum "
              "ranks_decay "
              "flow_conserved",
};
