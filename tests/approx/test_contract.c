/* tests/approx/test_contract.c -- what is asked of every method and static pattern of
 * the registry: the invariants of the sparse cards. A method that reads more than
 * queries, keys and values gets it made up (contract_scene.h).
 *
 * Math    A_i dense weights, W_i those that a plan implies, S_i where W_i is not 0,
 *         m_i = sum of A_i over S_i, d_i = 1 - m_i:
 *             of a mask W_ij = A_ij / m_i on S_i; o_i - o^S_i = d_i (drop_i - o^S_i)
 *             |o_i - o^S_i| <= d_i (max |v_j| of what is dropped + |o^S_i|)
 *             m_i <= the sum of the |S_i| largest of A_i
 *         What the table says of weights: none below 0, rows that sum to 1 or give no
 *         weight, unless it says otherwise; a rank, without a mask; parameters with
 *         which they are dense; what a plan spends.
 *         W_i is 0 where the mask shows nothing. New keys and values, or queries, after
 *         row i change no row up to i, but where the method says that it looks ahead:
 *         then some do.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/contract_cases.h"
#include "tests/approx/contract_scene.h"

#include <time.h>

#include "core/apply.h"
#include "core/svd.h"

/* FEW: of methods that store the weights, whose time is cubic. */
enum { TOKENS = 96, FEW = 48 };

/* A method or pattern at a setting. */
typedef struct entry {
    const contract_case *of; /* NULL = the defaults */
    const char *id;
    const atn_method *method; /* NULL = a static pattern */
    char spec[256];
} entry;

/* The settings of the registry's members, one after the other. */
static bool any_entry(int *at, entry *e)
{
    int i = *at;

    for (int m = 0; atn_methods[m] || m == 0; m++) {
        int given = 0;

        if (!atn_methods[m]) break;
        e->method = atn_methods[m];
        e->id = e->method->id;
        for (size_t c = 0; c < ATN_LEN(contract_cases); c++) {
            if (strcmp(contract_cases[c].id, e->id) != 0) continue;
            given++;
            e->of = &contract_cases[c];
            if (i-- == 0) goto found;
        }
        e->of = NULL;
        if (given == 0 && i-- == 0) goto found;
    }
    e->method = NULL;
    for (int g = 0; atn_generators[g]; g++) {
        int given = 0;

        e->id = atn_generators[g]->id;
        for (size_t c = 0; c < ATN_LEN(contract_cases); c++) {
            if (strcmp(contract_cases[c].id, e->id) != 0) continue;
            given++;
            e->of = &contract_cases[c];
            if (i-- == 0) goto found;
        }
        e->of = NULL;
        if (given == 0 && i-- == 0) goto found;
    }
    return false;
found:
    snprintf(e->spec, sizeof e->spec, "%s:%s", e->id, e->of ? e->of->params : "");
    (*at)++;
    return true;
}

/* Those of this part of the test: ATN_TEST_PART=1/4 is every fourth, from the second
 * on. */
static bool next_entry(int *at, entry *e)
{
    const char *part = getenv("ATN_TEST_PART");
    int k = 0, n = 1;

    if (part && (sscanf(part, "%d/%d", &k, &n) != 2 || n < 1)) fail_msg("%s", part);
    while (any_entry(at, e))
        if ((*at - 1) % n == k) return true;
    return false;
}

static unsigned sides_of(const entry *e)
{
    if (e->of && e->of->sides) return e->of->sides;
    return e->method ? e->method->sides : ATN_BOTH_WAYS;
}

static atn_idx tokens_of(const entry *e)
{
    return e->method && (e->method->reads & ATN_READS_STORED) ? FEW : TOKENS;
}

static void make_usual(const entry *e, bool causal, uint64_t seed, scene *s)
{
    const atn_idx n = tokens_of(e);
    const scene_size size = {n, n, SCENE_HEADS, SCENE_GROUP};

    scene_make(s, e->method, &size, causal, seed);
}

/* A layer in which its setting leaves something out. */
static scene_size size_of(const entry *e)
{
    const atn_idx n = e->of && e->of->tokens ? e->of->tokens : tokens_of(e);

    return (scene_size){n, n, SCENE_HEADS, SCENE_GROUP};
}

static bool has_side(const entry *e, int causal)
{
    return (sides_of(e) & (causal ? ATN_CAUSAL : ATN_BIDIRECTIONAL)) != 0;
}

/* The choice of an entry; one parameter more, which may be among its own. */
static atn_status read_more(atn_ctx *cx, const entry *e, const char *more,
                            atn_choice *c)
{
    const size_t name = more ? strcspn(more, "=") + 1 : 0;
    char params[512] = "", own[256], *rest;

    snprintf(own, sizeof own, "%s", e->of ? e->of->params : "");
    for (char *p = strtok_r(own, ",", &rest); p; p = strtok_r(NULL, ",", &rest)) {
        if (more && strncmp(p, more, name) == 0) continue;
        strcat(strcat(params, *params ? "," : ""), p);
    }
    if (more) strcat(strcat(params, *params ? "," : ""), more);
    return atn_choice_read(cx, e->id, params, c);
}

static void read_entry(atn_ctx *cx, const entry *e, const char *more, atn_choice *c)
{
    CHECK_OK(read_more(cx, e, more, c));
}

/* All heads planned; a failure is one of the test. */
static void plan_all(atn_ctx *cx, const entry *e, const scene *s, const atn_choice *c,
                     implied *m)
{
    const atn_status st = implied_make(cx, s, c, m);

    if (st != ATN_OK)
        fail_msg("%s: %s: %s", e->spec, atn_status_name(st), cx->err.text);
}

static void refuse(const entry *e, const char *what, atn_idx head, atn_idx i)
{
    fail_msg("%s: %s (head %lld, row %lld)", e->spec, what, (long long)head,
             (long long)i);
}

/* ---- weights, mass, bound ---- */

/* The sum of the k largest of a [n]. */
static double best_of(const double *a, atn_idx n, atn_idx k)
{
    double sorted[ZOO_MOST], sum = 0;

    memcpy(sorted, a, (size_t)n * sizeof *a);
    for (atn_idx i = 0; i < k; i++) {
        atn_idx best = i;

        for (atn_idx j = i + 1; j < n; j++)
            if (sorted[j] > sorted[best]) best = j;
        sum += sorted[best];
        sorted[best] = sorted[i];
    }
    return sum;
}

static double length(const double *x)
{
    double sum = 0;

    for (int c = 0; c < SCENE_DV; c++) sum += x[c] * x[c];
    return sqrt(sum);
}

static void add_value(const scene *s, atn_idx head, atn_idx j, double w, double *o)
{
    for (int c = 0; c < SCENE_DV; c++)
        o[c] += w * (double)atn_crow(s->z.head[head].v, j)[c];
}

/* The identity of renormalised masks, and the bound that follows. */
static void check_bound(const entry *e, const scene *s, atn_idx head, atn_idx i,
                        const double *a, const double *w)
{
    double o[SCENE_DV] = {0}, kept[SCENE_DV] = {0}, drop[SCENE_DV] = {0};
    double error[SCENE_DV], most = 0, lost = 0;

    for (atn_idx j = 0; j < s->z.head[head].nk; j++) {
        double v[SCENE_DV] = {0};

        add_value(s, head, j, a[j], o);
        add_value(s, head, j, w[j], kept);
        if (w[j] != 0 || a[j] == 0) continue;
        add_value(s, head, j, a[j], drop);
        add_value(s, head, j, 1, v);
        most = fmax(most, length(v));
        lost += a[j];
    }
    for (int c = 0; c < SCENE_DV; c++) {
        error[c] = o[c] - kept[c];
        if (fabs(error[c] - (drop[c] - lost * kept[c])) > 1e-9)
            refuse(e, "o - o^S is not d (drop - o^S)", head, i);
    }
    if (length(error) > lost * (most + length(kept)) + 1e-9)
        refuse(e, "the bound of the output's error is broken", head, i);
}

static void check_row(const entry *e, const scene *s, const implied *m, atn_idx head,
                      atn_idx i)
{
    const double *w = m->w + (head * m->nq + i) * m->nk;
    double a[ZOO_MOST], mass = 0, sum = 0;
    atn_idx lo, hi, kept = 0;

    zoo_dense(&s->z, head, i, a);
    atn_sight_row(&s->z.head[head].sight, i, &lo, &hi);
    for (atn_idx j = 0; j < m->nk; j++) {
        if (!isfinite(w[j])) refuse(e, "a weight is no number", head, i);
        if (w[j] != 0 && (j < lo || j >= hi))
            refuse(e, "a key that the mask hides has weight", head, i);
        kept += w[j] != 0;
        mass += w[j] != 0 ? a[j] : 0;
        sum += w[j];
    }
    if (!m->mask[head]) return;
    if (fabs(sum - (kept > 0)) > 1e-9) refuse(e, "a row does not sum to 1", head, i);
    for (atn_idx j = 0; j < m->nk; j++)
        if (w[j] != 0 && fabs(w[j] - a[j] / mass) > 1e-9)
            refuse(e, "not the weights of dense attention over what is kept", head, i);
    if (mass > best_of(a, m->nk, kept) + 1e-9)
        refuse(e, "more mass than the oracle's", head, i);
    check_bound(e, s, head, i, a, w);
}

static void weights_and_bounds(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++)
            for (int published = 0; published < 2; published++) {
                const scene_size size = size_of(&e);
                atn_choice c;
                implied m;
                scene s;

                if (!has_side(&e, causal)) continue;
                if (published && (!e.method || !e.method->publishes)) continue;
                scene_make(&s, e.method, &size, causal, 5);
                s.z.in.as_published = published;
                s.step[SCENE_STEPS - 1].as_published = published;
                read_entry(cx, &e, NULL, &c);
                CHECK_OK(atn_choice_check(cx, &c, &s.z.in));
                plan_all(cx, &e, &s, &c, &m);
                for (atn_idx h = 0; h < m.heads; h++)
                    for (atn_idx i = 0; i < m.nq; i++) check_row(&e, &s, &m, h, i);
                CHECK(isfinite(m.flops) && isfinite(m.bytes));
                implied_free(&m);
                scene_free(&s);
            }
}

/* ---- what the table says of the weights ---- */

static void check_signs(const entry *e, const implied *m, atn_idx head, atn_idx i)
{
    const double *w = m->w + (head * m->nq + i) * m->nk;
    const unsigned not = e->method ? e->method->weights : 0;
    double sum = 0, size = 0;

    for (atn_idx j = 0; j < m->nk; j++) {
        sum += w[j];
        size += fabs(w[j]);
        if (!(not &ATN_WEIGHTS_SIGNED) && w[j] < 0)
            refuse(e, "a weight is below 0", head, i);
    }
    if (!(not &ATN_WEIGHTS_FREE) && size > 0 && !(fabs(sum - 1) <= 1e-6))
        refuse(e, "a row sums to something else than 1", head, i);
}

/* Singular values beyond the rank are rounding. */
static void check_rank(atn_ctx *cx, const entry *e, const scene *s, const atn_choice *c,
                       const implied *m, atn_idx head)
{
    const atn_idx r = atn_choice_rank(c, &s->z.head[head]);
    const size_t size = (size_t)(m->nq * m->nk) * sizeof(double);
    double *w, *sigma;

    if (r < 0 || r >= ATN_MIN(m->nq, m->nk)) return;
    w = malloc(size);
    sigma = malloc((size_t)ATN_MIN(m->nq, m->nk) * sizeof *sigma);
    memcpy(w, m->w + head * m->nq * m->nk, size);
    CHECK_OK(atn_svd(cx, w, m->nq, m->nk, sigma, NULL, NULL));
    if (!(sigma[r] <= 1e-9 * sigma[0]))
        fail_msg("%s: its rank is above %lld: singular values %g and %g", e->spec,
                 (long long)r, sigma[0], sigma[r]);
    free(w);
    free(sigma);
}

/* With '#' the number of keys. */
static void exact_params(const char *exact, atn_idx nk, char *out, size_t size)
{
    const char *mark = strchr(exact, '#');

    if (mark)
        snprintf(out, size, "%.*s%lld%s", (int)(mark - exact), exact, (long long)nk,
                 mark + 1);
    else
        snprintf(out, size, "%s", exact);
}

static void check_exact(atn_ctx *cx, const entry *e, const scene *s)
{
    char params[128];
    double a[ZOO_MOST];
    atn_choice c;
    implied m;

    exact_params(e->method->exact, s->z.head[0].nk, params, sizeof params);
    CHECK_OK(atn_choice_read(cx, e->id, params, &c));
    plan_all(cx, e, s, &c, &m);
    for (atn_idx h = 0; h < m.heads; h++)
        for (atn_idx i = 0; i < m.nq; i++) {
            zoo_dense(&s->z, h, i, a);
            for (atn_idx j = 0; j < m.nk; j++)
                if (!(fabs(m.w[(h * m.nq + i) * m.nk + j] - a[j]) <= 1e-6))
                    fail_msg("%s:%s is not dense attention (head %lld, row %lld, key "
                             "%lld: %g, %g)",
                             e->id, params, (long long)h, (long long)i, (long long)j,
                             m.w[(h * m.nq + i) * m.nk + j], a[j]);
        }
    implied_free(&m);
}

static void claims_of_weights(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            atn_choice c;
            implied m;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 21, &s);
            read_entry(cx, &e, NULL, &c);
            plan_all(cx, &e, &s, &c, &m);
            for (atn_idx h = 0; h < m.heads; h++) {
                for (atn_idx i = 0; i < m.nq; i++) check_signs(&e, &m, h, i);
                if (!causal) check_rank(cx, &e, &s, &c, &m, h);
            }
            if (e.method && e.method->exact) check_exact(cx, &e, &s);
            implied_free(&m);
            scene_free(&s);
        }
}

/* What is said before planning is what a plan then says; also of heads whose budget
 * parameter is larger than the text. */
static void claims_of_spending(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int kind = 0; kind < 4; kind++) {
            const scene_size size = {kind < 2 ? tokens_of(&e) : 23,
                                     kind < 2 ? tokens_of(&e) : 31, SCENE_HEADS,
                                     SCENE_GROUP};
            atn_plan plans[ZOO_HEADS_MOST];
            atn_spending by;
            atn_choice c;
            scene s;

            if (!e.method || !e.method->spends || !has_side(&e, kind % 2)) continue;
            scene_make(&s, e.method, &size, kind % 2, 22);
            read_entry(cx, &e, NULL, &c);
            if (atn_choice_plan(cx, &c, &s.z.in, 0, plans) != ATN_OK) {
                CHECK(cx->err.code == ATN_USAGE || cx->err.code == ATN_DATA);
                atn_err_clear(cx);
                scene_free(&s);
                continue;
            }
            for (atn_idx h = 0; h < atn_choice_heads(&c, &s.z.in); h++) {
                atn_cost cost;

                if (!atn_choice_spends(&c, &s.z.in, h, &by)) continue;
                CHECK_OK(atn_plan_cost(cx, &s.z.head[h], &plans[h], &cost));
                if (!(fabs(by.numbers * (double)size.nq - cost.numbers) <=
                      (by.numbers > 0 ? 1e-9 : INFINITY) * cost.numbers) ||
                    !(fabs(by.executed - cost.executed) <= 1e-9 * cost.executed))
                    fail_msg("%s: says %g numbers, %g pairs, and spends %g, %g", e.spec,
                             by.numbers, by.executed, cost.numbers / (double)size.nq,
                             cost.executed);
            }
            zoo_release(cx, plans, atn_choice_heads(&c, &s.z.in));
            scene_free(&s);
        }
}

/* The pattern of a plan has every key of weight, and of a mask no other. */
static void check_pattern(atn_ctx *cx, const entry *e, const scene *s, atn_idx head,
                          const atn_plan *p, const double *w)
{
    const atn_head *h = &s->z.head[head];
    atn_pattern *kept = NULL;
    atn_span *spans;

    CHECK_OK(atn_plan_pattern(cx, h, p, &kept));
    spans = malloc((size_t)kept->room * sizeof *spans);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx n = atn_pattern_keys(kept, 0, i, spans);
        bool in[TOKENS] = {false};

        for (atn_idx k = 0; k < n; k++)
            for (atn_idx j = spans[k].lo; j < spans[k].hi; j++) in[j] = true;
        for (atn_idx j = 0; j < h->nk; j++) {
            const bool has = w[i * h->nk + j] != 0;

            if ((has && !in[j]) || (atn_plan_is_mask(p) && has != in[j]))
                refuse(e, "its pattern is not what has weight", head, i);
        }
    }
    free(spans);
    atn_pattern_destroy(cx, kept);
}

static void patterns_of_plans(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            atn_plan plans[ZOO_HEADS_MOST];
            double w[TOKENS * TOKENS];
            atn_choice c;
            atn_idx n;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 16, &s);
            read_entry(cx, &e, NULL, &c);
            CHECK_OK(atn_choice_plan(cx, &c, &s.z.in, 0, plans));
            n = atn_choice_heads(&c, &s.z.in);
            for (atn_idx k = 0; k < n; k++) {
                CHECK_OK(
                    atn_plan_rows(cx, &s.z.head[k], &plans[k], 0, tokens_of(&e), w));
                check_pattern(cx, &e, &s, k, &plans[k], w);
            }
            zoo_release(cx, plans, n);
            scene_free(&s);
        }
}

/* ---- the executor ---- */

/* out is W v + residual; lse, of a mask, that of dense attention and the mass. */
static void check_output(const entry *e, const scene *s, atn_idx head,
                         const atn_plan *p, const double *w, const float *out,
                         const double *lse)
{
    const atn_head *h = &s->z.head[head];

    for (atn_idx i = 0; i < h->nq; i++) {
        double a[ZOO_MOST], want[SCENE_DV] = {0}, z = 0, mass = 0;
        atn_idx lo, hi;

        for (atn_idx j = 0; j < h->nk; j++)
            add_value(s, head, j, w[i * h->nk + j], want);
        for (int c = 0; c < SCENE_DV; c++) {
            if (p->residual) want[c] += (double)p->residual[i * SCENE_DV + c];
            if (!(fabs((double)out[i * SCENE_DV + c] - want[c]) <= 1e-5))
                refuse(e, "the output is not W v + residual", head, i);
        }
        if (!atn_plan_is_mask(p)) continue;
        zoo_dense(&s->z, head, i, a);
        atn_sight_row(&h->sight, i, &lo, &hi);
        for (atn_idx c = 0; c < SCENE_D; c++)
            z += (double)atn_crow(h->q, i)[c] * (double)atn_crow(h->k, lo)[c];
        for (atn_idx j = 0; j < h->nk; j++)
            if (w[i * h->nk + j] != 0) mass += a[j];
        /* dense log-sum-exp: the logit of one key less the logarithm of its weight */
        if (mass == 0
                ? lse[i] != -INFINITY
                : !(fabs(lse[i] - (h->scale * z - log(a[lo]) + log(mass))) <= 1e-4))
            refuse(e, "the log-sum-exp is not that of the mass", head, i);
    }
}

/* Counts of a plan: kept is the number of weights of a mask, executed no less, but
 * of an operator, which has its own way of applying them. A set of
 * keys is no more than the row sees. */
static void check_cost(atn_ctx *cx, const entry *e, const scene *s, atn_idx head,
                       const atn_plan *p, const double *w)
{
    const atn_head *h = &s->z.head[head];
    int64_t kept[TOKENS];
    double all = 0;
    atn_cost cost;

    CHECK_OK(atn_plan_cost(cx, h, p, &cost));
    CHECK_OK(atn_plan_kept(cx, h, p, kept));
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx n = 0, lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        for (atn_idx j = 0; j < h->nk; j++) n += w[i * h->nk + j] != 0;
        if (atn_plan_is_mask(p) && kept[i] != n)
            refuse(e, "keeps another number of keys than have weight", head, i);
        if (p->virtuals == 0 && (kept[i] < n || kept[i] > hi - lo))
            refuse(e, "keeps fewer keys than have weight, or more than there are", head,
                   i);
        all += (double)kept[i];
    }
    if (cost.kept != all || (!p->op.kind && cost.executed < cost.kept) ||
        !isfinite(cost.flops) || !isfinite(cost.bytes) ||
        cost.visible != atn_visible_pairs(h) || cost.index_flops != p->index_flops ||
        cost.block_causal > 1 ||
        (p->virtuals == 0 && (cost.full > 1 || cost.kv > 1 || cost.mean > 1)))
        refuse(e, "its cost does not add up", head, -1);
}

/* One choice of several heads: each of them counts its share of what that cost. */
static void check_shares(const entry *e, const atn_plan *plans, atn_idx n)
{
    const atn_pattern *one = plans[0].branch[0].part[0].pattern;

    for (atn_idx k = 1; one && k < n; k++)
        if (plans[k].branch[0].part[0].pattern == one &&
            (plans[k].index_flops != plans[0].index_flops ||
             plans[k].index_bytes != plans[0].index_bytes ||
             plans[k].ties != plans[0].ties))
            refuse(e, "counts a choice of several heads in one of them", k, -1);
}

static void applied(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int kind = 0; kind < 4; kind++) {
            const bool causal = kind % 2;
            float out[TOKENS * SCENE_DV];
            double w[TOKENS * TOKENS], lse[TOKENS];
            atn_plan plans[ZOO_HEADS_MOST];
            atn_choice c;
            scene s;

            if (!has_side(&e, causal)) continue;
            if (kind > 1 && (!e.method || !e.method->publishes)) continue;
            make_usual(&e, causal, 18, &s);
            s.z.in.as_published = s.step[SCENE_STEPS - 1].as_published = kind > 1;
            read_entry(cx, &e, NULL, &c);
            CHECK_OK(atn_choice_plan(cx, &c, &s.z.in, 0, plans));
            for (atn_idx k = 0; k < atn_choice_heads(&c, &s.z.in); k++) {
                const atn_head *h = &s.z.head[k];

                CHECK_OK(atn_plan_rows(cx, h, &plans[k], 0, h->nq, w));
                CHECK_OK(atn_plan_apply(cx, h, &plans[k],
                                        (atn_mat){out, h->nq, SCENE_DV, SCENE_DV}, lse,
                                        "applying"));
                check_output(&e, &s, k, &plans[k], w, out, lse);
                check_cost(cx, &e, &s, k, &plans[k], w);
            }
            check_shares(&e, plans, atn_choice_heads(&c, &s.z.in));
            zoo_release(cx, plans, atn_choice_heads(&c, &s.z.in));
            scene_free(&s);
        }
}

/* ---- limits and budgets ---- */

static void dense_limit(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; e.of && e.of->dense && causal < 2; causal++) {
            atn_choice c;
            implied m;
            scene s;

            if (!has_side(&e, causal)) continue;
            if (!causal && !e.method) continue; /* causal patterns stay so */
            make_usual(&e, causal, 6, &s);
            read_entry(cx, &e, e.of->dense, &c);
            plan_all(cx, &e, &s, &c, &m);
            for (atn_idx h = 0; h < m.heads; h++)
                for (atn_idx i = 0; i < m.nq; i++) {
                    double a[ZOO_MOST];

                    zoo_dense(&s.z, h, i, a);
                    for (atn_idx j = 0; j < m.nk; j++)
                        if (fabs(a[j] - m.w[(h * m.nq + i) * m.nk + j]) > 1e-6)
                            refuse(&e, "not dense at its limit", h, i);
                }
            implied_free(&m);
            scene_free(&s);
        }
}

static double mass_of(const scene *s, const implied *m, atn_idx h, atn_idx i)
{
    double a[ZOO_MOST], mass = 0;

    zoo_dense(&s->z, h, i, a);
    for (atn_idx j = 0; j < m->nk; j++)
        if (m->w[(h * m->nq + i) * m->nk + j] != 0) mass += a[j];
    return mass;
}

static void check_rising(atn_ctx *cx, const entry *e, const scene *s)
{
    char values[128], name[32], *rest;
    implied last = {0};

    snprintf(values, sizeof values, "%s", strchr(e->of->rising, '=') + 1);
    snprintf(name, sizeof name, "%.*s",
             (int)(strchr(e->of->rising, '=') - e->of->rising), e->of->rising);
    for (char *v = strtok_r(values, "|", &rest); v; v = strtok_r(NULL, "|", &rest)) {
        char more[80];
        atn_choice c;
        implied m;

        snprintf(more, sizeof more, "%s=%s", name, v);
        read_entry(cx, e, more, &c);
        plan_all(cx, e, s, &c, &m);
        for (atn_idx h = 0; last.w && h < m.heads; h++)
            for (atn_idx i = 0; i < m.nq; i++)
                if (mass_of(s, &m, h, i) < mass_of(s, &last, h, i) - 1e-9)
                    refuse(e, "a row loses mass with a larger budget", h, i);
        implied_free(&last);
        last = m;
    }
    implied_free(&last);
}

static void mass_rises(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; e.of && e.of->rising && causal < 2; causal++) {
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 7, &s);
            check_rising(cx, &e, &s);
            scene_free(&s);
        }
}

/* ---- what a choice knows of what comes later ---- */

/* Does any row up to the cut change when what is after it does? */
static bool looks_ahead(atn_ctx *cx, const entry *e, const atn_choice *c, bool keys,
                        int trial)
{
    static const int cuts[] = {9, 31, 50, 77};
    const scene_size size = size_of(e);
    const atn_idx cut = cuts[trial % (int)ATN_LEN(cuts)] * size.nk / TOKENS;
    bool changed = false;
    implied before, after;
    scene s;

    scene_make(&s, e->method, &size, true, 100 + (uint64_t)trial);
    plan_all(cx, e, &s, c, &before);
    scene_disturb(&s, cut, keys, 900 + (uint64_t)trial);
    plan_all(cx, e, &s, c, &after);
    for (atn_idx h = 0; h < before.heads; h++)
        changed |= !implied_alike(&before, &after, h, cut + 1, 0);
    implied_free(&before);
    implied_free(&after);
    scene_free(&s);
    return changed;
}

static void causality(atn_ctx *cx)
{
    enum { TRIALS = 24, AT_LEAST = 6 };
    entry e;

    for (int at = 0; next_entry(&at, &e);) {
        const scene_size size = size_of(&e);
        unsigned states, seen = 0;
        atn_choice c;
        scene s;

        if (!has_side(&e, true)) continue;
        scene_make(&s, e.method, &size, true, 1);
        read_entry(cx, &e, NULL, &c);
        states = atn_choice_looks(&c, &s.z.in);
        scene_free(&s);
        for (int t = 0; t < TRIALS; t++) {
            if (!(seen & ATN_LOOKS_KEYS) && looks_ahead(cx, &e, &c, true, t))
                seen |= ATN_LOOKS_KEYS;
            if (!(seen & ATN_LOOKS_QUERIES) && looks_ahead(cx, &e, &c, false, t))
                seen |= ATN_LOOKS_QUERIES;
            if (seen == BOTH || (t >= AT_LEAST && seen == states)) break;
        }
        if (e.of && states != e.of->looks)
            fail_msg("%s: says that it looks ahead at %u, the card %u", e.spec, states,
                     e.of->looks);
        /* at its defaults a method may be dense here */
        if (e.of ? seen != states : (seen & ~states) != 0)
            fail_msg("%s: says that it looks ahead at %u, and does at %u (keys 1, "
                     "queries 2)",
                     e.spec, states, seen);
    }
}

/* ---- a bias by relative position ---- */

/* A slope of 1/16, or the table of what it adds: numbers that float holds. */
static void bias_heads(zoo *z, const float *table)
{
    for (atn_idx h = 0; h < z->in.heads; h++) {
        z->head[h].alibi_slope = table ? 0 : .0625;
        z->head[h].rel_bias = table;
        z->head[h].rel_zero = table ? z->head[h].nk : 0;
    }
}

static atn_status plan_biased(atn_ctx *cx, scene *s, const atn_choice *c,
                              const float *table, implied *m)
{
    bias_heads(&s->z, table);
    for (int t = 0; t < s->z.in.steps - 1; t++) bias_heads(&s->earlier[t], table);
    return implied_make(cx, s, c, m);
}

/* A method does with a table what it does with the slope, or says that it cannot. */
static void position_biases(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            implied slope, table;
            atn_choice c;
            atn_status st;
            float *by_distance;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 11, &s);
            read_entry(cx, &e, NULL, &c);
            by_distance = calloc((size_t)(2 * s.z.head[0].nk + 1), sizeof(float));
            for (atn_idx x = 0; x <= 2 * s.z.head[0].nk; x++)
                by_distance[x] = .0625f * (float)(x - s.z.head[0].nk);
            st = plan_biased(cx, &s, &c, NULL, &slope);
            if (plan_biased(cx, &s, &c, by_distance, &table) == ATN_OK) {
                if (st != ATN_OK) refuse(&e, "takes the table only", -1, -1);
                for (atn_idx h = 0; h < SCENE_HEADS; h++)
                    if (!implied_alike(&slope, &table, h, slope.nq, 0))
                        refuse(&e, "the table is not the slope", h, -1);
            } else if (!strstr(cx->err.text, "relative position") &&
                       !strstr(cx->err.text, "bias by distance") &&
                       !strstr(cx->err.text, "position biases"))
                fail_msg("%s: %s", e.spec, cx->err.text);
            implied_free(&slope);
            implied_free(&table);
            free(by_distance);
            scene_free(&s);
        }
}

/* ---- groups of heads, padding, chunks ---- */

/* The keys and values of every head for itself. */
static void ungroup(const scene *s, scene *out)
{
    const atn_idx n = s->z.head[0].nk;

    scene_make(out, NULL, &(scene_size){n, n, SCENE_HEADS, 1},
               s->z.head[0].sight.causal, s->seed);
    for (atn_idx h = 0; h < SCENE_HEADS; h++) {
        const atn_idx k = n * SCENE_D, v = n * SCENE_DV, of = h / SCENE_GROUP;

        memcpy(out->z.q + h * k, s->z.q + h * k, (size_t)k * sizeof *out->z.q);
        memcpy(out->z.k + h * k, s->z.k + of * k, (size_t)k * sizeof *out->z.k);
        memcpy(out->q_pre + h * k, s->q_pre + h * k, (size_t)k * sizeof *out->q_pre);
        memcpy(out->k_pre + h * k, s->k_pre + of * k, (size_t)k * sizeof *out->k_pre);
        memcpy(out->z.v + h * v, s->z.v + of * v, (size_t)v * sizeof *out->z.v);
    }
}

/* A head of a group plans what it plans with keys of its own. Methods that choose for a
 * group do so where its heads have the same queries. */
static void groups_of_heads(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            const atn_idx n = tokens_of(&e);
            implied with, without;
            scene s, own;
            atn_choice c;

            /* heads of earlier steps are not taken apart here */
            if (!has_side(&e, causal) ||
                (e.method && (e.method->reads & ATN_READS_STEPS)))
                continue;
            make_usual(&e, causal, 8, &s);
            read_entry(cx, &e, NULL, &c);
            for (atn_idx h = 1;
                 atn_choice_unit(&c, &s.z.in) == ATN_UNIT_GROUP && h < SCENE_HEADS;
                 h += 2) {
                const size_t size = sizeof(float) * (size_t)(n * SCENE_D);

                memcpy(s.z.q + h * n * SCENE_D, s.z.q + (h - 1) * n * SCENE_D, size);
                memcpy(s.q_pre + h * n * SCENE_D, s.q_pre + (h - 1) * n * SCENE_D,
                       size);
            }
            ungroup(&s, &own);
            plan_all(cx, &e, &s, &c, &with);
            plan_all(cx, &e, &own, &c, &without);
            for (atn_idx h = 0; h < SCENE_HEADS; h++)
                if (!implied_alike(&with, &without, h, n, 0))
                    refuse(&e, "another plan with keys of its own", h, -1);
            implied_free(&with);
            implied_free(&without);
            scene_free(&s);
            scene_free(&own);
        }
}

/* Rows [0, rows) of a [planes, rows, cols] into a larger one at `first`; NaN about. */
static float *pad(const float *x, atn_idx planes, atn_idx rows, atn_idx cols,
                  atn_idx first, atn_idx all)
{
    float *out = zoo_floats(planes * all * cols);

    for (atn_idx e = 0; e < planes * all * cols; e++) out[e] = NAN;
    for (atn_idx p = 0; p < planes; p++)
        memcpy(out + (p * all + first) * cols, x + p * rows * cols,
               (size_t)(rows * cols) * sizeof *x);
    return out;
}

/* Padding of NaN on both sides changes nothing. */
static void padding(atn_ctx *cx)
{
    enum { LEFT = 7, RIGHT = 5 };
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            const atn_idx kv = SCENE_HEADS / SCENE_GROUP, n = tokens_of(&e);
            const atn_idx all = n + LEFT + RIGHT;
            implied plain, padded;
            float *q, *k, *v;
            atn_idx row0 = 0;
            atn_choice c;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 9, &s);
            read_entry(cx, &e, NULL, &c);
            plan_all(cx, &e, &s, &c, &plain);
            q = pad(s.z.q, SCENE_HEADS, n, SCENE_D, LEFT, all);
            k = pad(s.z.k, kv, n, SCENE_D, LEFT, all);
            v = pad(s.z.v, kv, n, SCENE_DV, LEFT, all);
            for (atn_idx h = 0; h < SCENE_HEADS; h++) {
                const atn_idx of = h / SCENE_GROUP;
                atn_head whole = s.z.head[h];

                whole.q = (atn_cmat){q + h * all * SCENE_D, all, SCENE_D, SCENE_D};
                whole.k = (atn_cmat){k + of * all * SCENE_D, all, SCENE_D, SCENE_D};
                whole.v = (atn_cmat){v + of * all * SCENE_DV, all, SCENE_DV, SCENE_DV};
                whole.nq = whole.nk = all;
                whole.sight.key_first = LEFT;
                whole.sight.key_last = LEFT + n;
                whole.sight.pad_queries = true;
                s.z.head[h] = atn_head_trim(&whole, &row0);
                CHECK_EQ(row0, LEFT);
            }
            plan_all(cx, &e, &s, &c, &padded);
            for (atn_idx h = 0; h < SCENE_HEADS; h++)
                if (!implied_alike(&plain, &padded, h, n, 0))
                    refuse(&e, "padding changes the plan", h, -1);
            CHECK(plain.flops == padded.flops && plain.ties == padded.ties);
            implied_free(&plain);
            implied_free(&padded);
            free(q);
            free(k);
            free(v);
            scene_free(&s);
        }
}

/* The last queries alone. What does not look ahead plans for them what it plans for the
 * whole, unless it has to have all rows and says so. */
static void chunks(atn_ctx *cx)
{
    enum { SOME = 21 };
    entry e;

    for (int at = 0; next_entry(&at, &e);) {
        const atn_idx first = tokens_of(&e) - SOME;
        implied whole, part;
        atn_choice c;
        atn_status st;
        scene s;

        if (!has_side(&e, true)) continue;
        make_usual(&e, true, 10, &s);
        read_entry(cx, &e, NULL, &c);
        plan_all(cx, &e, &s, &c, &whole);
        for (atn_idx h = 0; h < SCENE_HEADS; h++) {
            atn_head *o = &s.z.head[h];

            o->q = (atn_cmat){atn_crow(o->q, first), SOME, SCENE_D, SCENE_D};
            o->nq = SOME;
            o->sight.offset = first;
        }
        st = implied_make(cx, &s, &c, &part);
        if (st != ATN_OK && st != ATN_DATA && st != ATN_USAGE)
            fail_msg("%s: a chunk: %s", e.spec, cx->err.text);
        for (atn_idx h = 0; st == ATN_OK && h < SCENE_HEADS; h++) {
            for (atn_idx i = 0; i < SOME; i++) check_row(&e, &s, &part, h, i);
            if (atn_choice_looks(&c, &s.z.in) == 0 &&
                !implied_alike(&part, &whole, h, SOME, first))
                refuse(&e, "a chunk is planned otherwise than the whole", h, -1);
        }
        atn_err_clear(cx);
        implied_free(&whole);
        implied_free(&part);
        scene_free(&s);
    }
}

/* ---- sizes and numbers ---- */

static void small_texts(atn_ctx *cx)
{
    static const int sizes[] = {1, 2, 3, 7, 17};
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++)
            for (size_t n = 0; n < ATN_LEN(sizes); n++) {
                const scene_size size = {sizes[n], sizes[n], SCENE_HEADS, SCENE_GROUP};
                atn_choice c;
                atn_status st;
                implied m;
                scene s;

                if (!has_side(&e, causal)) continue;
                scene_make(&s, e.method, &size, causal, 11);
                read_entry(cx, &e, NULL, &c);
                st = implied_make(cx, &s, &c, &m);
                /* a rule of the parameters may be broken, and is said then */
                if (st != ATN_OK && st != ATN_USAGE && st != ATN_DATA)
                    fail_msg("%s at %d tokens: %s", e.spec, sizes[n], cx->err.text);
                for (atn_idx h = 0; st == ATN_OK && h < m.heads; h++)
                    for (atn_idx i = 0; i < m.nq; i++) check_row(&e, &s, &m, h, i);
                atn_err_clear(cx);
                implied_free(&m);
                scene_free(&s);
            }
}

/* One parameter at an end of its range, the others as they are. */
static void try_value(atn_ctx *cx, const entry *e, const atn_param *p, double x)
{
    const clock_t start = clock();
    const scene_size size = {29, 29, SCENE_GROUP, SCENE_GROUP};
    char more[96];

    if (p->type == ATN_PARAM_CHOICE_T || p->type == ATN_PARAM_BOOL_T ||
        p->type == ATN_PARAM_I64_T)
        snprintf(more, sizeof more, "%s=%.0f", p->name, x);
    else
        snprintf(more, sizeof more, "%s=%.17g", p->name, x);
    for (int causal = 0; causal < 2; causal++) {
        atn_choice c;
        atn_status st;
        implied m = {0};
        scene s;

        if (!has_side(e, causal)) continue;
        scene_make(&s, e->method, &size, causal, 12);
        st = read_more(cx, e, more, &c);
        if (st == ATN_OK) st = implied_make(cx, &s, &c, &m);
        if (st != ATN_OK && st != ATN_USAGE && st != ATN_DATA && st != ATN_MEMORY)
            fail_msg("%s,%s: %s: %s", e->spec, more, atn_status_name(st), cx->err.text);
        for (atn_idx h = 0; st == ATN_OK && h < m.heads; h++)
            for (atn_idx i = 0; i < m.nq; i++) check_row(e, &s, &m, h, i);
        if (st != ATN_OK && strlen(cx->err.text) < 10)
            fail_msg("%s,%s: says '%s'", e->spec, more, cx->err.text);
        atn_err_clear(cx);
        implied_free(&m);
        scene_free(&s);
    }
    if ((double)(clock() - start) / CLOCKS_PER_SEC > 20)
        fail_msg("%s,%s: takes long", e->spec, more);
}

static void ends_of_ranges(atn_ctx *cx)
{
    entry e;

    cx->mem_limit = (size_t)1 << 30;
    for (int at = 0; next_entry(&at, &e);) {
        atn_choice c;

        read_entry(cx, &e, NULL, &c);
        for (const atn_param *p = c.params; p->name; p++) switch (p->type) {
            case ATN_PARAM_I64_T:
            case ATN_PARAM_F64_T:
                try_value(cx, &e, p, p->min);
                try_value(cx, &e, p, p->max);
                break;
            case ATN_PARAM_BOOL_T:
                /* without it what a decomposition leaks is shown as it is */
                if (strcmp(p->name, "mask") != 0) try_value(cx, &e, p, 0);
                try_value(cx, &e, p, 1);
                break;
            default:
                break;
            }
    }
}

/* A key that is no number ends in DATA, or is in no row. */
static void numbers_that_are_none(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            const atn_idx step = SCENE_HEADS, tokens = tokens_of(&e);
            atn_choice c;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 13, &s);
            s.z.k[2 * SCENE_D + 1] = s.k_pre[2 * SCENE_D + 1] = NAN;
            read_entry(cx, &e, NULL, &c);
            for (atn_idx first = 0; first < SCENE_HEADS;) {
                const atn_idx n = atn_choice_heads(&c, &s.z.in);
                atn_plan plans[ZOO_HEADS_MOST];
                atn_status st = atn_choice_plan(cx, &c, &s.z.in, first, plans);
                double w[TOKENS * TOKENS];
                float out[TOKENS * SCENE_DV];

                if (st == ATN_OK) {
                    st = atn_plan_rows(cx, &s.z.head[first], &plans[0], 0, tokens, w);
                    for (atn_idx x = 0; st == ATN_OK && x < tokens * tokens; x++)
                        if (isnan(w[x])) refuse(&e, "NaN gets through", first, -1);
                    CHECK_EQ(atn_plan_apply(cx, &s.z.head[first], &plans[0],
                                            (atn_mat){out, tokens, SCENE_DV, SCENE_DV},
                                            NULL, "applying"),
                             st);
                    zoo_release(cx, plans, n);
                }
                if (st != ATN_OK && st != ATN_DATA)
                    fail_msg("%s: NaN: %s", e.spec, cx->err.text);
                atn_err_clear(cx);
                first += n < step ? n : step;
            }
            scene_free(&s);
        }
}

/* ---- threads, memory, cards ---- */

static void threads(atn_ctx *cx)
{
    entry e;

    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            const atn_idx n = tokens_of(&e);
            implied one, four;
            atn_choice c;
            scene s;

            if (!has_side(&e, causal)) continue;
            make_usual(&e, causal, 14, &s);
            read_entry(cx, &e, NULL, &c);
            cx->threads = 1;
            plan_all(cx, &e, &s, &c, &one);
            cx->threads = 4;
            plan_all(cx, &e, &s, &c, &four);
            if (memcmp(one.w, four.w, sizeof *one.w * (size_t)(SCENE_HEADS * n * n)) !=
                    0 ||
                memcmp(one.rest, four.rest,
                       sizeof *one.rest * (size_t)(SCENE_HEADS * n * SCENE_DV)) != 0 ||
                one.flops != four.flops || one.bytes != four.bytes ||
                one.ties != four.ties)
                refuse(&e, "other bits at 4 threads", -1, -1);
            implied_free(&one);
            implied_free(&four);
            scene_free(&s);
        }
}

static void memory_runs_out(atn_ctx *cx)
{
    const scene_size size = {29, 29, SCENE_HEADS, SCENE_GROUP};
    entry e;

    (void)cx;
    for (int at = 0; next_entry(&at, &e);)
        for (int causal = 0; causal < 2; causal++) {
            atn_status st = ATN_MEMORY;
            scene s;

            if (!has_side(&e, causal)) continue;
            scene_make(&s, e.method, &size, causal, 15);
            for (long k = 0; st == ATN_MEMORY; k += 1 + k / 20) {
                check_failing failing = {k};
                atn_plan plans[ZOO_HEADS_MOST];
                atn_choice c;
                atn_ctx mine;

                atn_ctx_init(&mine);
                mine.threads = 1;
                mine.alloc = (atn_allocator){check_failing_resize, &failing};
                st = read_more(&mine, &e, NULL, &c);
                if (st == ATN_OK) st = atn_choice_plan(&mine, &c, &s.z.in, 0, plans);
                if (st == ATN_OK)
                    zoo_release(&mine, plans, atn_choice_heads(&c, &s.z.in));
                atn_ctx_release(&mine);
                if (k > 100000) fail_msg("%s: asks for memory without end", e.spec);
            }
            if (st != ATN_OK && st != ATN_USAGE && st != ATN_DATA)
                fail_msg("%s: %s", e.spec, atn_status_name(st));
            scene_free(&s);
        }
}

static void cards_and_words(atn_ctx *cx)
{
    entry e;

    (void)cx;
    for (int at = 0; next_entry(&at, &e);) {
        char path[512];
        FILE *f;

        snprintf(path, sizeof path, "%s/docs/cards/%s/%s.md", ATN_TEST_SOURCE,
                 e.method ? "method" : "pattern", e.id);
        f = fopen(path, "r");
        if (!f) fail_msg("%s has no card %s", e.id, path);
        fclose(f);
        if (!e.method) continue;
        CHECK(e.method->title && e.method->family && e.method->source &&
              e.method->text && e.method->plan);
        CHECK(e.method->sides != 0);
    }
}

CHECK_MAIN({"weights and bounds", weights_and_bounds},
           {"claims of weights", claims_of_weights},
           {"claims of spending", claims_of_spending},
           {"patterns of plans", patterns_of_plans}, {"applied", applied},
           {"dense limit", dense_limit}, {"mass rises", mass_rises},
           {"causality", causality}, {"position biases", position_biases},
           {"groups of heads", groups_of_heads}, {"padding", padding},
           {"chunks", chunks}, {"small texts", small_texts},
           {"ends of ranges", ends_of_ranges},
           {"numbers that are none", numbers_that_are_none}, {"threads", threads},
           {"memory runs out", memory_runs_out}, {"cards and words", cards_and_words})
