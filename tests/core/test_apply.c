/* tests/core/test_apply.c -- the executor against loops over all pairs in double. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>

#include "core/apply.h"
#include "core/rng.h"
#include "tests/check.h"

/* ---- a head, a plan and what it says of every pair ---- */

enum { PARTS = ATN_BRANCHES_MOST * ATN_PARTS_MOST };

typedef struct scene {
    atn_rng r;
    atn_head h;
    atn_plan p;
    uint8_t *has[PARTS]; /* [nq, nk] of a pattern; NULL of others */
    float *memory[9];
    atn_idx *rows;
    int used;
} scene;

static bool coin(scene *s, int one_in)
{
    return atn_rng_below(&s->r, one_in) == 0;
}

static atn_idx below(scene *s, atn_idx n)
{
    return atn_rng_below(&s->r, n);
}

static atn_idx between(scene *s, atn_idx lo, atn_idx hi)
{
    return lo + below(s, hi - lo + 1);
}

static void fill(scene *s, float *x, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&s->r);
}

static float *keep(scene *s, atn_idx n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);

    CHECK(x && s->used < 9);
    fill(s, x, n);
    return s->memory[s->used++] = x;
}

/* A view of noise, in part with rows that are further apart than they are long. */
static atn_cmat view(scene *s, atn_idx rows, atn_idx cols)
{
    const atn_idx ld = coin(s, 3) ? 2 * cols : cols;

    return (atn_cmat){keep(s, rows * ld), rows, cols, ld};
}

static scene open_scene(uint64_t seed, atn_idx nq, atn_idx nk, atn_idx d, atn_idx dv)
{
    scene s = {.r = atn_rng_stream(seed, "test/apply", 0, 0)};
    atn_head *h = &s.h;

    *h = (atn_head){.nq = nq, .nk = nk, .scale = .8 / sqrt((double)d)};
    h->q = view(&s, nq, d);
    h->k = view(&s, nk, d);
    h->v = view(&s, nk, dv);
    h->sight = (atn_sight){.causal = true, .key_last = nk, .offset = nk - nq};
    h->layer = 3;
    h->head = 5;
    s.p.tile_rows = s.p.tile_keys = 1;
    return s;
}

static void close_scene(atn_ctx *cx, scene *s)
{
    atn_plan_release(cx, &s->p);
    for (int i = 0; i < 9; i++) free(s->memory[i]);
    for (int i = 0; i < PARTS; i++) free(s->has[i]);
    free(s->rows);
}

/* Sight, bias, cap, sink. */
static void random_head(scene *s)
{
    atn_head *h = &s->h;

    h->sight.causal = !coin(s, 4);
    if (coin(s, 3)) h->sight.window = between(s, 1, h->nk);
    if (coin(s, 4)) h->sight.softcap = 1.5;
    if (coin(s, 4)) h->alibi_slope = .03;
    h->has_sink = coin(s, 3);
    h->sink = atn_rng_normal(&s->r);
}

/* Some rows only. */
static void sample_rows(scene *s, atn_idx of)
{
    const atn_idx nq = s->h.nq;

    s->rows = malloc((size_t)nq * sizeof *s->rows);
    for (atn_idx i = 0, left = nq, j = 0; i < nq; j++)
        if (below(s, of - j) < left) {
            s->rows[i++] = j;
            left--;
        }
    s->h.sight.rows = s->rows;
    s->h.sight.offset = s->h.nk - of;
}

/* A bias of every distance that the head has, and no more; the farthest key behind
 * the last query comes first. */
static void give_bias(scene *s)
{
    atn_head *h = &s->h;
    const atn_idx from = atn_sight_at(&h->sight, 0),
                  to = atn_sight_at(&h->sight, h->nq - 1);

    const atn_rng plans = s->r;

    h->rel_bias = keep(s, to - from + h->nk);
    h->rel_zero = to;
    s->r = plans; /* as without it */
}

/* ---- random parts ---- */

/* Blocks of each block row with chance 1 in `one_in`, in runs. */
static void random_pattern(atn_ctx *cx, scene *s, int b, int k, atn_idx block,
                           int one_in)
{
    const atn_head *h = &s->h;
    const atn_idx first = ATN_MAX(atn_sight_at(&h->sight, 0), 0),
                  end = atn_sight_at(&h->sight, h->nq - 1) + 1,
                  cols = (h->nk - 1) / block + 1;
    const atn_frame f = {h->nk, end - first, first, block, !coin(s, 3)};
    const atn_idx row0 = first / block, rows = (end - 1) / block + 1 - row0;
    int64_t *ptr = atn_alloc(cx, rows + 1, sizeof *ptr);
    atn_span *spans = atn_alloc(cx, rows * cols + 1, sizeof *spans);
    uint8_t *has = calloc((size_t)(h->nq * h->nk), 1);

    CHECK(ptr && spans && has);
    for (atn_idx a = row0; a < row0 + rows; a++) {
        const atn_idx limit = f.causal ? ATN_MIN(a + 1, cols) : cols;
        int64_t n = ptr[a - row0];

        for (atn_idx c = 0; c < limit; c++) {
            if (!coin(s, one_in)) continue;
            const atn_idx to = ATN_MIN(c + 1 + (coin(s, 4) ? below(s, 9) : 0), limit);
            for (atn_idx i = 0; i < h->nq; i++) {
                const atn_idx at = atn_sight_at(&h->sight, i);
                if (at < 0 || at / block != a) continue;
                for (atn_idx j = c * block; j < ATN_MIN(to * block, h->nk); j++)
                    has[i * h->nk + j] = !f.causal || j <= at;
            }
            if (n > ptr[a - row0] && spans[n - 1].hi == c)
                spans[n - 1].hi = to;
            else
                spans[n++] = (atn_span){c, to};
            c = to - 1;
        }
        ptr[a - row0 + 1] = n;
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, spans, &s->p.branch[b].part[k].pattern));
    s->has[b * ATN_PARTS_MOST + k] = has;
}

static void *grown(atn_ctx *cx, atn_idx n, size_t size)
{
    void *x = atn_alloc(cx, n, size);

    CHECK(x);
    return x;
}

/* Rows distinct, keys as they come. */
static void random_groups(atn_ctx *cx, scene *s, int b, int k, atn_idx n)
{
    const atn_idx nq = s->h.nq, keys = s->h.nk + s->p.virtuals,
                  most = ATN_MIN(keys, coin(s, 6) ? 1500 : 40);
    const bool logits = s->p.branch[b].merge == ATN_MERGE_LSE && coin(s, 3);
    atn_groups *g = &s->p.branch[b].part[k].groups;

    *g = (atn_groups){.n = n,
                      .row_ptr = grown(cx, n + 1, sizeof *g->row_ptr),
                      .row = grown(cx, n * nq, sizeof *g->row),
                      .key_ptr = grown(cx, n + 1, sizeof *g->key_ptr),
                      .key = grown(cx, n * most, sizeof *g->key)};
    if (coin(s, 2)) g->log_weight = grown(cx, n * most, sizeof *g->log_weight);
    if (logits) g->logit = grown(cx, n, sizeof *g->logit);
    for (atn_idx i = 0; i < n; i++) {
        const atn_idx of = below(s, most + 1);
        const int one_in = coin(s, 3) ? 1 : (int)between(s, 1, 60);

        g->row_ptr[i + 1] = g->row_ptr[i];
        for (atn_idx r = nq - 1; r >= 0; r--)
            if (coin(s, one_in)) g->row[g->row_ptr[i + 1]++] = (int32_t)r;
        g->key_ptr[i + 1] = g->key_ptr[i] + of;
        for (atn_idx c = 0; c < of; c++) {
            g->key[g->key_ptr[i] + c] = (int32_t)below(s, coin(s, 8) ? keys : s->h.nk);
            if (g->log_weight)
                g->log_weight[g->key_ptr[i] + c] = (float)atn_rng_normal(&s->r);
        }
        if (logits) g->logit[i] = (int32_t)below(s, keys + 1) - 1;
    }
}

static void random_virtuals(atn_ctx *cx, scene *s)
{
    const atn_idx n = between(s, 1, 12), d = s->h.k.cols, dv = s->h.v.cols;
    atn_plan *p = &s->p;

    p->virtuals = n;
    p->vk = grown(cx, n * d, sizeof *p->vk);
    p->vv = grown(cx, n * dv, sizeof *p->vv);
    p->expand_ptr = grown(cx, n + 1, sizeof *p->expand_ptr);
    p->expand = grown(cx, n * 5, sizeof *p->expand);
    p->expand_weight = grown(cx, n * 5, sizeof *p->expand_weight);
    fill(s, p->vk, n * d);
    for (atn_idx v = 0; v < n; v++) {
        const atn_idx of = below(s, 6);

        p->expand_ptr[v + 1] = p->expand_ptr[v] + of;
        for (atn_idx e = p->expand_ptr[v]; e < p->expand_ptr[v + 1]; e++) {
            p->expand[e] = (int32_t)below(s, s->h.nk);
            p->expand_weight[e] = (float)atn_rng_normal(&s->r);
            for (atn_idx c = 0; c < dv; c++)
                p->vv[v * dv + c] +=
                    p->expand_weight[e] * s->h.v.data[p->expand[e] * s->h.v.ld + c];
        }
    }
}

static void random_part(atn_ctx *cx, scene *s, int b, int k)
{
    static const int sparse[] = {1, 2, 5, 20, 80};
    atn_part *part = &s->p.branch[b].part[k];
    const atn_idx kind = below(s, 8);

    if (kind == 0)
        part->all = true;
    else if (kind < 5)
        random_pattern(cx, s, b, k,
                       coin(s, 2) ? 1 : between(s, 2, coin(s, 3) ? 150 : 20),
                       sparse[below(s, 5)]);
    else
        random_groups(cx, s, b, k, below(s, 9));
    if (s->h.p.data) return;
    part->self_last = coin(s, 6);
    if (coin(s, 6)) {
        part->q = grown(cx, s->h.nq * s->h.q.cols, sizeof *part->q);
        fill(s, part->q, s->h.nq * s->h.q.cols);
    }
    if (coin(s, 6)) {
        part->k = grown(cx, s->h.nk * s->h.k.cols, sizeof *part->k);
        fill(s, part->k, s->h.nk * s->h.k.cols);
    }
}

static void random_plan(atn_ctx *cx, scene *s)
{
    const atn_idx nq = s->h.nq;

    s->p.branches = (int)between(s, 1, coin(s, 2) ? 3 : 1);
    if (!s->h.p.data && coin(s, 2)) random_virtuals(cx, s);
    for (int b = 0; b < s->p.branches; b++) {
        atn_branch *at = &s->p.branch[b];

        at->parts = (int)between(s, 1, ATN_PARTS_MOST);
        at->merge = coin(s, 3) ? ATN_MERGE_MEAN : ATN_MERGE_LSE;
        for (int k = 0; k < at->parts; k++) random_part(cx, s, b, k);
        if (!coin(s, 3)) continue;
        at->scale = grown(cx, nq, sizeof *at->scale);
        fill(s, at->scale, nq);
        for (atn_idx i = 0; i < nq; i++)
            if (i % 5 == 3) at->scale[i] = 0;
    }
    if (!coin(s, 3)) return;
    s->p.residual = grown(cx, nq * s->h.v.cols, sizeof *s->p.residual);
    fill(s, s->p.residual, nq * s->h.v.cols);
}

/* ---- the twin ---- */

typedef struct bag {
    double max, sum, *o; /* of e^z v less the maximum */
    atn_idx n;
} bag;

static double twin_logit(const scene *s, const atn_part *part, atn_idx i, atn_idx j)
{
    const atn_head *h = &s->h;
    const atn_idx d = h->q.cols, at = atn_sight_at(&h->sight, i);
    const float *q, *k;
    double z = 0;

    if (h->p.data) return log((double)h->p.data[i * h->p.ld + j]);
    q = part->q ? part->q + i * d : h->q.data + i * h->q.ld;
    k = j >= h->nk ? s->p.vk + (j - h->nk) * d
        : part->k  ? part->k + j * d
                   : h->k.data + j * h->k.ld;
    for (atn_idx c = 0; c < d; c++) z += (double)q[c] * (double)k[c];
    z *= h->scale;
    if (j >= h->nk) return z;
    if (part->self_last && j == at) return -5e4;
    z += h->alibi_slope * (double)(j - at);
    if (h->rel_bias)
        z += (double)h->rel_bias[atn_sight_at(&h->sight, h->nq - 1) - at + j];
    return h->sight.softcap > 0 ? h->sight.softcap * tanh(z / h->sight.softcap) : z;
}

static void twin_merge(bag *b, double z, double sum, const double *o, atn_idx dv)
{
    const double max = fmax(b->max, z);

    if (z == -INFINITY) return;
    for (atn_idx c = 0; c < dv; c++)
        b->o[c] = b->o[c] * exp(b->max - max) + o[c] * exp(z - max);
    b->sum = b->sum * exp(b->max - max) + sum * exp(z - max);
    b->max = max;
}

static void twin_entry(const scene *s, bag *b, atn_idx j, double z)
{
    const atn_idx nk = s->h.nk, dv = s->h.v.cols;
    double v[256];

    for (atn_idx c = 0; c < dv; c++)
        v[c] = (double)(j < nk ? s->h.v.data[j * s->h.v.ld + c]
                               : s->p.vv[(j - nk) * dv + c]);
    b->n++;
    twin_merge(b, z, 1, v, dv);
}

static bool twin_sees(const scene *s, atn_idx i, atn_idx j)
{
    const atn_sight *t = &s->h.sight;
    const atn_idx at = (t->rows ? t->rows[i] : i) + t->offset;

    if (t->causal && j > at) return false;
    if (t->window == 0) return true;
    return t->causal ? j > at - t->window : llabs(j - at) <= t->window;
}

static void bag_open(bag *b, atn_idx dv)
{
    b->max = -INFINITY;
    b->sum = 0;
    b->n = 0;
    memset(b->o, 0, (size_t)dv * sizeof *b->o);
}

/* One more share of the branch; `all` is of LSE the softmax so far, of MEAN a sum. */
static void twin_share(const scene *s, atn_merge merge, const bag *one, double weighs,
                       bag *all)
{
    const double sink = s->h.has_sink ? exp(s->h.sink - one->max) : 0;
    double o[256];

    if (one->n == 0) return;
    if (merge == ATN_MERGE_LSE) {
        if (one->sum == 0) return;
        for (atn_idx c = 0; c < s->h.v.cols; c++) o[c] = one->o[c] / one->sum;
        twin_merge(all, weighs, 1, o, s->h.v.cols);
        return;
    }
    all->n++;
    for (atn_idx c = 0; c < s->h.v.cols && one->sum > 0; c++)
        all->o[c] += one->o[c] / (one->sum + sink);
}

static void twin_groups(const scene *s, const atn_branch *b, const atn_part *part,
                        atn_idx i, bag *one, bag *all)
{
    const atn_groups *g = &part->groups;

    for (atn_idx k = 0; k < g->n; k++) {
        double weighs;

        bag_open(one, s->h.v.cols);
        for (int64_t r = g->row_ptr[k]; r < g->row_ptr[k + 1]; r++)
            for (int64_t e = g->key_ptr[k]; g->row[r] == i && e < g->key_ptr[k + 1];
                 e++) {
                const atn_idx j = g->key[e];

                if (j < s->h.nk && !twin_sees(s, i, j)) continue;
                twin_entry(s, one, j,
                           twin_logit(s, part, i, j) +
                               (g->log_weight ? (double)g->log_weight[e] : 0));
            }
        weighs = one->max + log(one->sum);
        if (one->n > 0 && g->logit && g->logit[k] >= 0)
            weighs = twin_logit(s, part, i, g->logit[k]);
        twin_share(s, b->merge, one, weighs, all);
    }
}

/* Row i of branch b into o [dv]; returns the log-sum-exp. */
static double twin_branch(const scene *s, int at, atn_idx i, bag *one, bag *all,
                          double *o)
{
    const atn_branch *b = &s->p.branch[at];
    const double scale = b->scale ? (double)b->scale[i] : 1;
    double whole;

    bag_open(all, s->h.v.cols);
    for (int k = 0; k < b->parts; k++) {
        const atn_part *part = &b->part[k];
        const uint8_t *has = s->has[at * ATN_PARTS_MOST + k];

        bag_open(one, s->h.v.cols);
        for (atn_idx j = 0; (part->all || part->pattern) && j < s->h.nk; j++)
            if (twin_sees(s, i, j) && (part->all || has[i * s->h.nk + j]))
                twin_entry(s, one, j, twin_logit(s, part, i, j));
        twin_share(s, b->merge, one, one->max + log(one->sum), all);
        twin_groups(s, b, part, i, one, all);
    }
    whole = b->merge == ATN_MERGE_MEAN ? (double)all->n
            : s->h.has_sink            ? all->sum + exp(s->h.sink - all->max)
                                       : all->sum;
    for (atn_idx c = 0; c < s->h.v.cols && whole > 0; c++)
        o[c] += isfinite(whole) ? scale * all->o[c] / whole : 0;
    return all->max + log(all->sum);
}

/* Largest difference from the twin, of lse too; out, lse NULL = not compared. */
static double twin_error(const scene *s, const float *out, const double *lse)
{
    const atn_idx dv = s->h.v.cols;
    double o[256], worst = 0;
    bag one = {.o = malloc(sizeof(double) * 256)},
        all = {.o = malloc(sizeof(double) * 256)};

    for (atn_idx i = 0; i < s->h.nq; i++) {
        double z = -INFINITY;

        for (atn_idx c = 0; c < dv; c++)
            o[c] = s->p.residual ? (double)s->p.residual[i * dv + c] : 0;
        for (int b = 0; b < s->p.branches; b++) z = twin_branch(s, b, i, &one, &all, o);
        for (atn_idx c = 0; out && c < dv; c++)
            worst = check_worst(worst, fabs((double)out[i * dv + c] - o[c]));
        if (!lse) continue;
        if (s->p.branches > 1 || s->p.branch[0].merge == ATN_MERGE_MEAN)
            CHECK(isnan(lse[i]));
        else if (z == -INFINITY)
            CHECK(lse[i] == z);
        else
            worst = check_worst(worst, fabs(lse[i] - z));
    }
    free(one.o);
    free(all.o);
    return worst;
}

/* ---- running it ---- */

typedef struct result {
    float *o;
    double *lse;
} result;

static atn_mat out_of(const scene *s, const result *r)
{
    return (atn_mat){r->o, s->h.nq, s->h.v.cols, s->h.v.cols};
}

static result apply(atn_ctx *cx, const scene *s)
{
    result r = {malloc((size_t)(s->h.nq * s->h.v.cols) * sizeof *r.o + 1),
                malloc((size_t)s->h.nq * sizeof *r.lse + 1)};

    CHECK_OK(atn_plan_check(cx, &s->h, &s->p));
    CHECK_OK(atn_plan_apply(cx, &s->h, &s->p, out_of(s, &r), r.lse, "test"));
    return r;
}

static void result_free(result *r)
{
    free(r->o);
    free(r->lse);
}

static bool same(const scene *s, const result *a, const result *b)
{
    return memcmp(a->o, b->o, (size_t)(s->h.nq * s->h.v.cols) * sizeof *a->o) == 0 &&
           memcmp(a->lse, b->lse, (size_t)s->h.nq * sizeof *a->lse) == 0;
}

/* Softmax of what the head sees, given in place of q and k; some entries are 0. */
static void give_weights(scene *s)
{
    atn_head *h = &s->h;
    float *p = keep(s, h->nq * h->nk);

    for (atn_idx e = 0; e < h->nq * h->nk; e++) p[e] = coin(s, 5) ? 0 : expf(p[e]);
    h->p = (atn_cmat){p, h->nq, h->nk, h->nk};
    h->q.data = h->k.data = NULL;
    h->alibi_slope = h->sight.softcap = 0;
    h->rel_bias = NULL;
}

static scene random_scene(atn_ctx *cx, uint64_t seed)
{
    scene s = {.r = atn_rng_stream(seed, "test/apply/shape", 0, 0)};
    const atn_idx of = seed % 16 == 0 ? 1 : between(&s, 1, seed % 7 == 0 ? 300 : 120);
    const bool sampled = coin(&s, 6);
    const atn_idx nq = coin(&s, 2) ? of : between(&s, 1, of),
                  nk = coin(&s, 5) ? between(&s, 1, of) + of : of;

    s = open_scene(seed, nq, nk, between(&s, 1, 70), between(&s, 1, 150));
    random_head(&s);
    if (sampled) sample_rows(&s, of);
    if (seed % 5 == 3) give_bias(&s);
    if (coin(&s, 5)) give_weights(&s);
    random_plan(cx, &s);
    return s;
}

static void any_plan_is_its_definition(atn_ctx *cx)
{
    for (uint64_t seed = 0; seed < 250; seed++) {
        scene s = random_scene(cx, seed);
        result r = apply(cx, &s);
        const double error = twin_error(&s, r.o, r.lse);

        CHECK_LE(error, 2e-5);
        result_free(&r);
        close_scene(cx, &s);
    }
}

/* Not the twin of above: the reference of core/plan_rows.c. */
static void any_plan_is_its_rows(atn_ctx *cx)
{
    for (uint64_t seed = 1000; seed < 1100; seed++) {
        scene s = random_scene(cx, seed);
        const atn_idx nq = s.h.nq, nk = s.h.nk, dv = s.h.v.cols;
        double *w = malloc((size_t)(nq * nk) * sizeof *w), worst = 0;
        result r = apply(cx, &s);

        CHECK_OK(atn_plan_rows(cx, &s.h, &s.p, 0, nq, w));
        for (atn_idx i = 0; i < nq; i++)
            for (atn_idx c = 0; c < dv; c++) {
                double o = s.p.residual ? (double)s.p.residual[i * dv + c] : 0;

                for (atn_idx j = 0; j < nk; j++)
                    o += w[i * nk + j] * (double)s.h.v.data[j * s.h.v.ld + c];
                worst = check_worst(worst, fabs(o - (double)r.o[i * dv + c]));
            }
        CHECK_LE(worst, 2e-5);
        free(w);
        result_free(&r);
        close_scene(cx, &s);
    }
}

static void threads_make_no_difference(atn_ctx *cx)
{
    for (uint64_t seed = 2000; seed < 2100; seed++) {
        scene s = random_scene(cx, seed);
        result a, b;

        cx->threads = 1;
        a = apply(cx, &s);
        cx->threads = 4;
        b = apply(cx, &s);
        CHECK(same(&s, &a, &b));
        result_free(&a);
        result_free(&b);
        close_scene(cx, &s);
    }
}

/* ---- limits ---- */

/* Values of one sign, in all that has them, times `by`. */
static void enlarge_values(scene *s, float by)
{
    const atn_idx n = s->h.nk, dv = s->h.v.cols, ld = s->h.v.ld;
    float *v = (float *)(uintptr_t)s->h.v.data;

    for (atn_idx j = 0; j < n; j++)
        for (atn_idx c = 0; c < dv; c++) v[j * ld + c] = fabsf(v[j * ld + c]) * by;
    for (atn_idx e = 0; s->p.vv && e < s->p.virtuals * dv; e++)
        s->p.vv[e] = fabsf(s->p.vv[e]) * by;
    for (atn_idx e = 0; s->p.residual && e < s->h.nq * dv; e++) s->p.residual[e] *= by;
}

/* Sums of some weights and values leave float long before their means do: values of
 * 1e37 give what those of 1 give, times 1e37. */
static void huge_values_scale_outputs(atn_ctx *cx)
{
    const float huge = 0x1p123F;

    for (uint64_t seed = 3000; seed < 3060; seed++) {
        scene s = random_scene(cx, seed);
        const atn_idx n = s.h.nq * s.h.v.cols;
        result unit, a, b;
        double worst = 0;

        enlarge_values(&s, 1);
        unit = apply(cx, &s);
        enlarge_values(&s, huge);
        cx->threads = 1;
        a = apply(cx, &s);
        cx->threads = 4;
        b = apply(cx, &s);
        CHECK(same(&s, &a, &b));
        for (atn_idx e = 0; e < n; e++)
            worst = check_worst(worst, fabs((double)(a.o[e] / huge - unit.o[e])));
        CHECK_LE(worst, 2e-5);
        for (atn_idx i = 0; i < s.h.nq; i++)
            CHECK(isnan(a.lse[i]) || a.lse[i] == unit.lse[i] ||
                  fabs(a.lse[i] - unit.lse[i]) < 1e-12 * (1 + fabs(a.lse[i])));
        result_free(&unit);
        result_free(&a);
        result_free(&b);
        close_scene(cx, &s);
    }
}

static atn_part *only_part(scene *s)
{
    s->p.branches = s->p.branch[0].parts = 1;
    return &s->p.branch[0].part[0];
}

/* Groups from arrays: rows and keys of each in turn. */
static void set_groups(atn_ctx *cx, atn_part *part, atn_idx n, const atn_span *rows,
                       const atn_span *keys)
{
    atn_groups *g = &part->groups;
    atn_idx all_rows = 0, all_keys = 0;

    for (atn_idx i = 0; i < n; i++) {
        all_rows += rows[i].hi - rows[i].lo;
        all_keys += keys[i].hi - keys[i].lo;
    }
    *g = (atn_groups){.n = n,
                      .row_ptr = grown(cx, n + 1, sizeof *g->row_ptr),
                      .row = grown(cx, all_rows, sizeof *g->row),
                      .key_ptr = grown(cx, n + 1, sizeof *g->key_ptr),
                      .key = grown(cx, all_keys, sizeof *g->key)};
    for (atn_idx i = 0; i < n; i++) {
        atn_idx r = g->row_ptr[i], k = g->key_ptr[i];

        for (atn_idx x = rows[i].lo; x < rows[i].hi; x++) g->row[r++] = (int32_t)x;
        for (atn_idx x = keys[i].lo; x < keys[i].hi; x++) g->key[k++] = (int32_t)x;
        g->row_ptr[i + 1] = r;
        g->key_ptr[i + 1] = k;
    }
}

static double distance(const scene *s, const result *a, const result *b)
{
    double worst = 0;

    for (atn_idx e = 0; e < s->h.nq * s->h.v.cols; e++)
        worst = check_worst(worst, fabs((double)a->o[e] - (double)b->o[e]));
    for (atn_idx i = 0; i < s->h.nq; i++)
        worst = check_worst(worst, fabs(a->lse[i] - b->lse[i]));
    return worst;
}

/* Queries are 0, so every weight is the same: the mean of values of 3e38 is 3e38, over
 * 2500 keys by columns, by groups of many rows and of few, and picked. */
static void huge_values_have_finite_outputs(atn_ctx *cx)
{
    enum { N = 2500, ROWS = 70, D = 8 };

    for (int way = 0; way < 4; way++) {
        scene s = open_scene(21, ROWS, N, D, D);
        const atn_frame f = {N, ROWS, N - ROWS, 1, false};
        const int32_t picked = 2;
        atn_part *part = only_part(&s);
        result r;

        s.h.q = (atn_cmat){memset(keep(&s, ROWS * D), 0, sizeof(float) * ROWS * D),
                           ROWS, D, D};
        s.h.sight.causal = false;
        for (atn_idx e = 0; e < N * s.h.v.ld; e++)
            ((float *)(uintptr_t)s.h.v.data)[e] = e % 2 ? -3e38F : 3e38F;
        if (way == 0)
            part->all = true;
        else if (way == 1)
            set_groups(cx, part, 1, (atn_span[]){{0, ROWS}}, (atn_span[]){{0, N}});
        else if (way == 2)
            set_groups(cx, part, 1, (atn_span[]){{0, picked}}, (atn_span[]){{0, N}});
        else
            CHECK_OK(atn_pattern_boxes(
                cx, &f, (atn_box[]){{{N - ROWS, N - ROWS + picked}, {0, N}}}, 1,
                &part->pattern));
        r = apply(cx, &s);
        for (int e = 0; e < (way < 2 ? ROWS : picked) * D; e++)
            CHECK_NEAR((double)r.o[e] / 3e38, e % 2 ? -1 : 1, 3e-5);
        CHECK_NEAR(r.lse[0], log(N), 1e-6);
        result_free(&r);
        close_scene(cx, &s);
    }
}

/* Everything in one part, in groups of 100 rows and up to 333 keys, and half of it a
 * pattern: all of them are dense attention, over more keys than are at once in
 * memory. */
static void all_keys_are_dense_however_cut(atn_ctx *cx)
{
    enum { N = 1500, CUT = 5 };
    scene s = open_scene(7, N, N, 24, 20);
    atn_span rows[15 * CUT], keys[15 * CUT];
    const atn_frame f = atn_frame_square(N, 1, false);
    result whole, cut, mixed;

    s.h.has_sink = true;
    only_part(&s)->all = true;
    whole = apply(cx, &s);
    CHECK_LE(twin_error(&s, whole.o, whole.lse), 2e-5);
    atn_plan_release(cx, &s.p);
    s.p.tile_rows = s.p.tile_keys = 1;
    for (int g = 0; g < 15 * CUT; g++) {
        rows[g] = (atn_span){g % 15 * 100, g % 15 * 100 + 100};
        keys[g] = (atn_span){g / 15 * 333, ATN_MIN(g / 15 * 333 + 333, N)};
    }
    set_groups(cx, only_part(&s), 15 * CUT, rows, keys);
    cut = apply(cx, &s);
    CHECK_LE(distance(&s, &whole, &cut), 1e-5);
    atn_plan_release(cx, &s.p);
    s.p.tile_rows = s.p.tile_keys = 1;
    set_groups(cx, only_part(&s), 1, (atn_span[]){{0, N}}, (atn_span[]){{0, 700}});
    s.p.branch[0].parts = 2;
    CHECK_OK(atn_pattern_boxes(cx, &f, (atn_box[]){{{0, N}, {700, N}}}, 1,
                               &s.p.branch[0].part[1].pattern));
    mixed = apply(cx, &s);
    CHECK_LE(distance(&s, &whole, &mixed), 1e-5);
    result_free(&whole);
    result_free(&cut);
    result_free(&mixed);
    close_scene(cx, &s);
}

/* Every row stands in all of many groups, which are large enough to be tasks of their
 * own: their order decides the last bits. */
static void groups_meet_their_rows_in_order(atn_ctx *cx)
{
    enum { N = 600, GROUPS = 30 };
    scene s = open_scene(14, N, N, 4, 4);
    atn_span rows[GROUPS], keys[GROUPS];
    result one, four;

    for (int g = 0; g < GROUPS; g++) {
        rows[g] = (atn_span){0, N};
        keys[g] = (atn_span){7 * g, 7 * g + 200 + g};
    }
    s.h.sight.causal = false;
    set_groups(cx, only_part(&s), GROUPS, rows, keys);
    cx->threads = 1;
    one = apply(cx, &s);
    cx->threads = 4;
    for (int i = 0; i < 10; i++) {
        four = apply(cx, &s);
        CHECK(same(&s, &one, &four));
        result_free(&four);
    }
    result_free(&one);
    close_scene(cx, &s);
}

/* The same keys in other groups, and groups in another order. */
static void merging_is_associative(atn_ctx *cx)
{
    enum { N = 90 };
    static const atn_span two[] = {{0, 30}, {30, N}},
                          three[] = {{50, N}, {0, 7}, {7, 50}};
    const atn_span rows[] = {{0, N}, {0, N}, {0, N}};
    scene s = open_scene(8, N, N, 5, 3);
    result a, b;

    set_groups(cx, only_part(&s), 2, rows, two);
    a = apply(cx, &s);
    atn_plan_release(cx, &s.p);
    s.p.tile_rows = s.p.tile_keys = 1;
    set_groups(cx, only_part(&s), 3, rows, three);
    b = apply(cx, &s);
    CHECK_LE(distance(&s, &a, &b), 1e-6);
    result_free(&a);
    result_free(&b);
    close_scene(cx, &s);
}

/* Logits 0, values 0 1 2, window of two keys: row 2 is the mean of 1 and 2 with a sink
 * of logit 0 beside them: 3 / 3. Row 1 keeps nothing. */
static void golden_three_rows(atn_ctx *cx)
{
    static const float zeros[3], v[] = {0, 1, 2};
    const atn_head h = {.q = {zeros, 3, 1, 1},
                        .k = {zeros, 3, 1, 1},
                        .v = {v, 3, 1, 1},
                        .nq = 3,
                        .nk = 3,
                        .scale = 1,
                        .sight = {.causal = true, .window = 2, .key_last = 3},
                        .has_sink = true};
    const atn_frame f = atn_frame_square(3, 1, true);
    const atn_slice slices[] = {{{0, 1}, {0, 1}, 0}, {{2, 3}, {0, 3}, 0}};
    atn_plan p = {0};
    double lse[3];
    float o[3];
    atn_cost c;

    atn_plan_mask(&p, NULL, 0, 1, 1);
    CHECK_OK(atn_pattern_slices(cx, &f, slices, 2, &p.branch[0].part[0].pattern));
    CHECK_OK(atn_plan_apply(cx, &h, &p, (atn_mat){o, 3, 1, 1}, lse, "test"));
    CHECK_NEAR(o[0], 0, 0);
    CHECK_NEAR(o[1], 0, 0);
    CHECK_NEAR(o[2], 1, 1e-7);
    CHECK_NEAR(lse[0], 0, 0);
    CHECK(lse[1] == -INFINITY);
    CHECK_NEAR(lse[2], log(2), 1e-12);
    CHECK_OK(atn_plan_cost(cx, &h, &p, &c));
    CHECK_NEAR(c.kept, 3, 0);
    CHECK_NEAR(c.visible, 5, 0);
    CHECK_NEAR(c.mean, 2. / 3, 1e-15);
    CHECK_NEAR(c.full, 1. / 3, 1e-15);
    CHECK_NEAR(c.kv, 2. / 3, 1e-15);
    CHECK_EQ(c.empty_rows, 1);
    CHECK(isnan(c.block_causal));
    CHECK_NEAR(c.flops, 2 * 2 * 3, 0);
    atn_plan_release(cx, &p);
}

/* No logit but that of the key itself: Reformer's queries that meet nobody. */
static void own_key_counts_only_where_alone(atn_ctx *cx)
{
    scene s = open_scene(9, 2, 2, 3, 1);
    result r;

    s.h.sight.causal = true;
    only_part(&s)->all = s.p.branch[0].part[0].self_last = true;
    r = apply(cx, &s);
    for (int i = 0; i < 2; i++) CHECK_NEAR(r.o[i], s.h.v.data[0], 1e-7);
    CHECK_NEAR(r.lse[0], ATN_SELF_LAST, 0);
    result_free(&r);
    close_scene(cx, &s);
}

/* A head given as its weights is the head: q and k of one, weights of the other. */
static void weights_alone_are_the_head(atn_ctx *cx)
{
    enum { N = 140 };
    scene s = open_scene(10, N, N, 8, 6);
    float *p = malloc(sizeof(float) * N * N);
    atn_head h;
    result a, b;

    random_pattern(cx, &s, 0, 0, 4, 3);
    s.p.branches = s.p.branch[0].parts = 1;
    a = apply(cx, &s);
    h = s.h;
    for (atn_idx i = 0; i < N; i++) {
        double sum = 0;

        for (int pass = 0; pass < 2; pass++)
            for (atn_idx j = 0; j < N; j++) {
                const double e =
                    j <= i ? exp(twin_logit(&s, &s.p.branch[0].part[0], i, j)) : 0;

                if (pass)
                    p[i * N + j] = (float)(e / sum);
                else
                    sum += e;
            }
    }
    s.h.p = (atn_cmat){p, N, N, N};
    s.h.q.data = s.h.k.data = NULL;
    b = apply(cx, &s);
    for (atn_idx e = 0; e < N * 6; e++) CHECK_NEAR(a.o[e], b.o[e], 1e-5);
    s.p.branch[0].part[0].q = grown(cx, N * 8, sizeof(float));
    CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &b), NULL, "test"), ATN_DATA,
                "layer 3, head 5: the plan has queries or keys of its own");
    s.h = h;
    free(p);
    result_free(&a);
    result_free(&b);
    close_scene(cx, &s);
}

/* ---- what may be left out, and what fails ---- */

static void lse_alone_needs_no_values(atn_ctx *cx)
{
    const atn_mat none = {NULL, 0, 0, 0};

    for (uint64_t seed = 3000; seed < 3040; seed++) {
        scene s = random_scene(cx, seed);
        result r = apply(cx, &s);
        double *lse = malloc((size_t)s.h.nq * sizeof *lse);

        s.h.v.data = NULL;
        CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, none, lse, "test"));
        CHECK(memcmp(lse, r.lse, (size_t)s.h.nq * sizeof *lse) == 0);
        CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), lse, "test"),
                    ATN_DATA, "there are no values");
        free(lse);
        result_free(&r);
        close_scene(cx, &s);
    }
}

static void no_branch_is_the_residual(atn_ctx *cx)
{
    scene s = open_scene(11, 5, 5, 2, 3);
    result r;

    s.p.residual = grown(cx, 15, sizeof(float));
    fill(&s, s.p.residual, 15);
    r = (result){malloc(sizeof(float) * 15), malloc(sizeof(double) * 5)};
    CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), r.lse, "test"));
    CHECK(memcmp(r.o, s.p.residual, sizeof(float) * 15) == 0);
    CHECK(r.lse[4] == -INFINITY);
    result_free(&r);
    close_scene(cx, &s);
}

/* ---- operators ---- */

/* 1 everywhere, and *state in the last place. */
static atn_status last_is(atn_ctx *cx, const atn_head *h, const void *state, double *o,
                          const char *what)
{
    const atn_idx n = h->nq * h->v.cols;

    (void)cx, (void)what;
    for (atn_idx e = 0; e < n; e++) o[e] = 1;
    o[n - 1] = *(const double *)state;
    return ATN_OK;
}

static void keep_state(atn_ctx *cx, void *state)
{
    (void)cx, (void)state;
}

/* An output is what float32 holds, or none. */
static void operators_fit_floats(atn_ctx *cx)
{
    const atn_operator_kind kind = {
        .id = "big", .apply = last_is, .release = keep_state, .remedy = "give less"};
    static const double fine[] = {0, -3e38, (double)FLT_MAX},
                        bad[] = {1e39, -1e300, INFINITY, NAN};

    for (size_t k = 0; k < ATN_LEN(fine) + ATN_LEN(bad); k++) {
        scene s = open_scene(11, 5, 5, 2, 3);
        double x = k < ATN_LEN(fine) ? fine[k] : bad[k - ATN_LEN(fine)];
        const atn_operator op = {.kind = &kind, .state = &x, .executed = 1};
        result r = {malloc(sizeof(float) * 15), malloc(sizeof(double) * 5)};

        atn_plan_release(cx, &s.p);
        atn_plan_operator(&s.p, &op, 2);
        if (k < ATN_LEN(fine)) {
            CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "test"));
            CHECK(r.o[0] == 1 && r.o[14] == (float)x);
        } else {
            CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "test"),
                        ATN_DATA, "beyond float32 (give less)");
            CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "test"),
                        ATN_DATA, "row 4: the output of big is");
        }
        result_free(&r);
        close_scene(cx, &s);
    }
}

/* The row of a query, in a rectangle, among few rows and in a group; a key that the row
 * does not have does no harm. */
static void bad_logits_are_named(atn_ctx *cx)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};

    for (int kind = 0; kind < 4; kind++)
        for (int b = 0; b < 3; b++) {
            scene s = open_scene(12, 150, 150, 8, 4);
            const atn_frame f = atn_frame_square(150, 1, true);
            float *q = s.memory[0] + 77 * s.h.q.ld, *k = s.memory[1];
            result r = {malloc(sizeof(float) * 600), NULL};
            atn_part *part = only_part(&s);
            atn_span offsets[] = {{0, kind == 1 ? 1 : 60}};

            if (kind == 3)
                set_groups(cx, part, 2, (atn_span[]){{0, 2}, {70, 150}},
                           (atn_span[]){{0, 9}, {40, 70}});
            else if (kind == 2)
                part->all = true;
            else
                CHECK_OK(atn_pattern_shift(cx, &f, offsets, 1, 0, &part->pattern));
            CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "test"));
            s.h.sight.offset = 0;
            for (int c = 0; c < 8; c++) k[149 * s.h.k.ld + c] = 1;
            k[149 * s.h.k.ld] = bad[b]; /* row 149 alone may see it */
            if (kind == 3)
                CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "test"));
            else
                CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "t"),
                            ATN_DATA, "layer 3, head 5, row 149:");
            k[149 * s.h.k.ld] = 0;
            q[3] = bad[b];
            CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), NULL, "t"),
                        ATN_DATA, "layer 3, head 5, row 77:");
            result_free(&r);
            close_scene(cx, &s);
        }
}

static void memory_may_fail_anywhere(atn_ctx *cx)
{
    scene s = random_scene(cx, 21);
    result r = apply(cx, &s);
    atn_cost c;

    for (long left = 0;; left++) {
        check_failing f = {left};
        atn_status st;
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.alloc = (atn_allocator){check_failing_resize, &f};
        poor.threads = 2;
        st = atn_plan_apply(&poor, &s.h, &s.p, out_of(&s, &r), r.lse, "test");
        if (st == ATN_OK) st = atn_plan_cost(&poor, &s.h, &s.p, &c);
        atn_ctx_release(&poor);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
        CHECK(left < 1000);
    }
    CHECK_LE(twin_error(&s, r.o, r.lse), 2e-5);
    result_free(&r);
    close_scene(cx, &s);
}

/* What it says it takes is enough, and asked for before the work. */
static void memory_is_as_stated(atn_ctx *cx)
{
    for (uint64_t seed = 4000; seed < 4040; seed++) {
        scene s = random_scene(cx, seed);
        result r = apply(cx, &s);
        const size_t used = *cx->in_use;
        double bytes;

        cx->threads = 1 + (int)(seed % 4);
        bytes = atn_plan_apply_bytes(cx, &s.h, &s.p);
        cx->mem_limit = used + (size_t)bytes;
        CHECK_OK(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), r.lse, "test"));
        cx->mem_limit = used + (size_t)bytes - 1;
        CHECK_FAILS(atn_plan_apply(cx, &s.h, &s.p, out_of(&s, &r), r.lse, "applying"),
                    ATN_MEMORY, "applying needs");
        cx->mem_limit = 0;
        result_free(&r);
        close_scene(cx, &s);
    }
}

static void on_progress(void *user, const char *what, double done, double total)
{
    double *at = user;

    CHECK_STR(what, "test");
    CHECK(done / total >= *at && done / total <= 1 + 1e-12);
    *at = done / total;
}

/* Branches, groups in rounds and tiles are one way from 0 to 1. */
static void progress_never_goes_back(atn_ctx *cx)
{
    for (uint64_t seed = 6000; seed < 6020; seed++) {
        scene s = random_scene(cx, seed);
        double at = 0;
        result r;

        cx->threads = 1;
        cx->progress = on_progress;
        cx->progress_user = &at;
        r = apply(cx, &s);
        CHECK_NEAR(at, 1, 1e-12);
        CHECK(cx->progress == on_progress && cx->progress_user == &at);
        cx->progress = NULL;
        result_free(&r);
        close_scene(cx, &s);
    }
}

/* ---- costs, pair by pair ---- */

static atn_idx floor_of(atn_idx a, atn_idx b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Tiles and pairs of tiles that a part without groups executes. */
static void twin_tiles(const scene *s, const atn_part *part, const uint8_t *has,
                       double *tiles, double *pairs)
{
    const atn_idx nq = s->h.nq, nk = s->h.nk, tk = s->p.tile_keys, tr = s->p.tile_rows;
    const atn_idx base = floor_of(atn_sight_at(&s->h.sight, 0), tr),
                  rows = floor_of(atn_sight_at(&s->h.sight, nq - 1), tr) - base + 1,
                  cols = (nk - 1) / tk + 1;
    uint8_t *hit = calloc((size_t)(rows * cols), 1);

    for (int pass = 0; pass < 2; pass++)
        for (atn_idx i = 0; i < nq; i++)
            for (atn_idx j = 0; j < nk; j++) {
                const atn_idx t =
                    (floor_of(atn_sight_at(&s->h.sight, i), tr) - base) * cols + j / tk;

                if (pass)
                    *pairs += hit[t];
                else if (twin_sees(s, i, j) && (part->all || has[i * nk + j]))
                    hit[t] = 1;
            }
    for (atn_idx t = 0; t < rows * cols; t++) *tiles += hit[t];
    free(hit);
}

/* What branch b gives to row i: has [nk + virtuals]. */
static void twin_entries(const scene *s, int b, atn_idx i, uint8_t *has)
{
    const atn_branch *of = &s->p.branch[b];

    for (int k = 0; k < of->parts && (!of->scale || of->scale[i] != 0); k++) {
        const uint8_t *in = s->has[b * ATN_PARTS_MOST + k];
        const atn_groups *g = &of->part[k].groups;

        for (atn_idx j = 0; (of->part[k].all || in) && j < s->h.nk; j++)
            has[j] |= twin_sees(s, i, j) && (!in || in[i * s->h.nk + j]);
        for (atn_idx x = 0; x < g->n; x++)
            for (int64_t r = g->row_ptr[x]; r < g->row_ptr[x + 1]; r++)
                for (int64_t e = g->key_ptr[x]; g->row[r] == i && e < g->key_ptr[x + 1];
                     e++) {
                    const atn_idx j = g->key[e], v = j - s->h.nk;

                    has[j] |= v >= 0 ? s->p.expand_ptr[v + 1] > s->p.expand_ptr[v]
                                     : twin_sees(s, i, j);
                }
    }
}

/* Entries of every row, each once, and tiles of the matrix that have a key of one. */
static double twin_kept(const scene *s, int64_t *kept)
{
    const atn_idx nq = s->h.nq, nk = s->h.nk, n = nk + s->p.virtuals;
    const atn_idx tk = s->p.tile_keys, tr = s->p.tile_rows, cols = (nk - 1) / tk + 1;
    const atn_idx base = floor_of(atn_sight_at(&s->h.sight, 0), tr),
                  rows = floor_of(atn_sight_at(&s->h.sight, nq - 1), tr) - base + 1;
    uint8_t *hit = calloc((size_t)(rows * cols), 1), *has = malloc((size_t)n);
    double tiles = 0;

    for (atn_idx i = 0; i < nq; i++) {
        const atn_idx row = floor_of(atn_sight_at(&s->h.sight, i), tr) - base;

        memset(has, 0, (size_t)n);
        for (int b = 0; b < s->p.branches; b++) twin_entries(s, b, i, has);
        for (atn_idx j = 0; j < n; j++) kept[i] += has[j];
        for (atn_idx j = 0; j < nk; j++) hit[row * cols + j / tk] |= has[j];
    }
    for (atn_idx t = 0; t < rows * cols; t++) tiles += hit[t];
    free(hit);
    free(has);
    return tiles;
}

static atn_idx ceil_of(atn_idx a, atn_idx b)
{
    return (a + b - 1) / b;
}

static void check_cost(const scene *s, const atn_cost *c, const int64_t *given)
{
    const atn_idx nq = s->h.nq, nk = s->h.nk, tr = s->p.tile_rows, tk = s->p.tile_keys;
    const double width = (double)(s->h.q.cols + s->h.v.cols);
    double tiles = 0, pairs = 0, kept = 0, visible = 0, share = 0, most = 0, seeing = 0,
           visible_tiles = 0, ignored = 0, kept_tiles;
    int64_t *of_row = calloc((size_t)nq, sizeof *of_row), empty = 0;
    const atn_part all = {.all = true};

    kept_tiles = twin_kept(s, of_row);
    for (int b = 0; b < s->p.branches; b++)
        for (int k = 0; k < s->p.branch[b].parts; k++) {
            const atn_part *part = &s->p.branch[b].part[k];
            const uint8_t *has = s->has[b * ATN_PARTS_MOST + k];
            const atn_groups *g = &part->groups;

            if (part->all || has) twin_tiles(s, part, has, &tiles, &pairs);
            for (atn_idx i = 0; i < g->n; i++) {
                const atn_idx rows = g->row_ptr[i + 1] - g->row_ptr[i],
                              keys = g->key_ptr[i + 1] - g->key_ptr[i];

                tiles += (double)(ceil_of(rows, tr) * ceil_of(keys, tk));
                pairs += (double)(rows * keys);
            }
        }
    for (atn_idx i = 0; i < nq; i++) {
        double sees = 0;

        for (atn_idx j = 0; j < nk; j++) sees += twin_sees(s, i, j);
        CHECK_EQ(of_row[i], given[i]);
        kept += (double)of_row[i];
        visible += sees;
        most = fmax(most, (double)of_row[i]);
        if (sees == 0) continue;
        seeing++;
        share += (double)of_row[i] / sees;
        empty += of_row[i] == 0;
    }
    CHECK_NEAR(c->kept, kept, 0);
    CHECK_NEAR(c->visible, visible, 0);
    CHECK_NEAR(c->tiles, tiles, 0);
    CHECK_NEAR(c->executed, pairs, 0);
    CHECK_NEAR(c->flops, 2 * width * pairs, 0);
    CHECK_NEAR(c->full, kept / (double)(nq * nk), 1e-12);
    if (seeing > 0) CHECK_NEAR(c->mean, share / seeing, 1e-12);
    CHECK_NEAR(c->kv, most / (double)nk, 1e-12);
    CHECK_EQ(c->empty_rows, empty);
    twin_tiles(s, &all, NULL, &visible_tiles, &ignored);
    if (!s->h.sight.causal || (tr == 1 && tk == 1))
        CHECK(isnan(c->block_causal));
    else if (visible_tiles > 0)
        CHECK_NEAR(c->block_causal, kept_tiles / visible_tiles, 1e-12);
    free(of_row);
}

static void costs_are_counted(atn_ctx *cx)
{
    static const atn_idx side[] = {1, 1, 2, 7, 16, 64, 1000};

    for (uint64_t seed = 5000; seed < 5300; seed++) {
        scene s = random_scene(cx, seed);
        int64_t *kept = malloc((size_t)s.h.nq * sizeof *kept);
        atn_cost c, again;

        s.p.tile_rows = side[below(&s, ATN_LEN(side))];
        s.p.tile_keys = side[below(&s, ATN_LEN(side))];
        s.p.index_flops = 3;
        cx->threads = 1;
        CHECK_OK(atn_plan_cost(cx, &s.h, &s.p, &again));
        cx->threads = 4;
        CHECK_OK(atn_plan_cost(cx, &s.h, &s.p, &c));
        CHECK_OK(atn_plan_kept(cx, &s.h, &s.p, kept));
        check_cost(&s, &c, kept);
        CHECK(memcmp(&c.kept, &again.kept, sizeof c.kept) == 0 &&
              c.bytes == again.bytes);
        CHECK_NEAR(c.index_flops, 3, 0);
        free(kept);
        close_scene(cx, &s);
    }
}

/* n = 10, blocks of 4, all of it causal: tiles 1 + 2 + 3; queries and outputs once,
 * keys and values of a tile each time it is visited, of two bytes: widths 3 + 5. */
static void golden_bytes(atn_ctx *cx)
{
    scene s = open_scene(13, 10, 10, 3, 5);
    atn_cost c;

    only_part(&s)->all = true;
    s.p.tile_rows = s.p.tile_keys = 4;
    CHECK_OK(atn_plan_cost(cx, &s.h, &s.p, &c));
    CHECK_NEAR(c.tiles, 6, 0);
    CHECK_NEAR(c.executed, 16 + 32 + 20, 0);
    CHECK_NEAR(c.block_causal, 1, 0);
    CHECK_NEAR(c.bytes, 2. * 8 * (10 + 4 + 8 + 10), 0);
    close_scene(cx, &s);
}

/* Every key from a part of all, from a window and from a group, twice in it; a virtual
 * key for key 0 in two groups, one for nothing: row i keeps its i + 1 keys and one. */
static void entries_count_once(atn_ctx *cx)
{
    scene s = open_scene(14, 6, 6, 2, 2);
    const atn_frame f = atn_frame_square(6, 1, true);
    const atn_span near = {0, 3}, rows[] = {{0, 6}, {0, 6}}, keys[] = {{0, 6}, {0, 6}};
    atn_branch *b = &s.p.branch[0];
    int64_t kept[6];
    atn_cost c;

    s.p.branches = 2;
    b->parts = 3;
    b->part[0].all = true;
    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &b->part[1].pattern));
    set_groups(cx, &b->part[2], 2, rows, keys);
    b->part[2].groups.key[1] = 6; /* virtual */
    b->part[2].groups.key[7] = 6;
    b->part[2].groups.key[2] = 7; /* for nothing */
    s.p.branch[1].parts = 1;
    s.p.branch[1].part[0].all = true;
    s.p.virtuals = 2;
    s.p.vk = grown(cx, 4, sizeof *s.p.vk);
    s.p.vv = grown(cx, 4, sizeof *s.p.vv);
    s.p.expand_ptr = grown(cx, 3, sizeof *s.p.expand_ptr);
    s.p.expand_ptr[1] = s.p.expand_ptr[2] = 1;
    s.p.expand = grown(cx, 1, sizeof *s.p.expand);
    s.p.expand_weight = grown(cx, 1, sizeof *s.p.expand_weight);
    s.p.expand_weight[0] = 1;
    s.p.tile_rows = s.p.tile_keys = 2;
    CHECK_OK(atn_plan_kept(cx, &s.h, &s.p, kept));
    CHECK_OK(atn_plan_cost(cx, &s.h, &s.p, &c));
    for (int i = 0; i < 6; i++) CHECK_EQ(kept[i], i + 2);
    CHECK_NEAR(c.kept, 21 + 6, 0);
    CHECK_NEAR(c.kv, 7. / 6, 1e-15);
    CHECK_NEAR(c.block_causal, 1, 0);
    /* tiles of all, twice, the window's 5 of 6, two groups of 3 x 3 */
    CHECK_NEAR(c.tiles, 6 + 6 + 5 + 2 * 9, 0);
    close_scene(cx, &s);
}

CHECK_MAIN({"any plan is its definition", any_plan_is_its_definition},
           {"any plan is its rows", any_plan_is_its_rows},
           {"threads make no difference", threads_make_no_difference},
           {"huge values scale outputs", huge_values_scale_outputs},
           {"huge values have finite outputs", huge_values_have_finite_outputs},
           {"all keys are dense however cut", all_keys_are_dense_however_cut},
           {"groups meet their rows in order", groups_meet_their_rows_in_order},
           {"merging is associative", merging_is_associative},
           {"golden three rows", golden_three_rows},
           {"own key counts only where alone", own_key_counts_only_where_alone},
           {"weights alone are the head", weights_alone_are_the_head},
           {"lse alone needs no values", lse_alone_needs_no_values},
           {"no branch is the residual", no_branch_is_the_residual},
           {"operators fit floats", operators_fit_floats},
           {"bad logits are named", bad_logits_are_named},
           {"memory may fail anywhere", memory_may_fail_anywhere},
           {"memory is as stated", memory_is_as_stated},
           {"progress never goes back", progress_never_goes_back},
           {"costs are counted", costs_are_counted}, {"golden bytes", golden_bytes},
           {"entries count once", entries_count_once})
