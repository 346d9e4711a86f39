/* tests/graph/test_homophily.c -- homophily of labels and features. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/layer_model.h"
#include "graph/homophily.h"

static const float H4[] = {1,   0,   0,   0, .5f, .5f, 0,   0,
                           .2f, .3f, .5f, 0, .1f, .4f, .2f, .3f};
static const float X4[] = {1, 0, 0, 1, 1, 1, -1, 0};

static atn_head given(const float *p, atn_idx n, bool causal)
{
    return (atn_head){.p = {p, n, n, n},
                      .nq = n,
                      .nk = n,
                      .sight = {.causal = causal, .key_last = n}};
}

/* All that a walk can leave, for one head. */
typedef struct all_sums {
    atn_edge_want want;
    atn_edge_sums s;
    atn_features f;
    double *block;
    float *pf;
    atn_arena_mark mark;
} all_sums;

static void walk_labels(atn_ctx *cx, const atn_head *h, const atn_labels *l, bool self,
                        atn_idx skip, all_sums *a)
{
    const atn_idx nq = h->nq, nk = h->nk;
    double *at =
        malloc((size_t)(4 * nq + 2 * nk + l->classes * l->classes) * sizeof *at);

    *a = (all_sums){.block = at, .mark = atn_arena_save(cx)};
    a->want = (atn_edge_want){.self = self,
                              .skip_rows = skip,
                              .query = l->query,
                              .key = l->key,
                              .classes = l->classes};
    a->s.self = at;
    a->s.counted = at + nq;
    a->s.same = at + 2 * nq;
    a->s.mass = at + 3 * nq;
    a->s.key_counted = at + 4 * nq;
    a->s.key_same = at + 4 * nq + nk;
    a->s.pairs = at + 4 * nq + 2 * nk;
    CHECK_OK(atn_edge_walk(cx, h, &a->want, &a->s));
}

static void walk_features(atn_ctx *cx, const atn_head *h, atn_cmat x, bool self,
                          double power, bool centred, atn_idx skip, all_sums *a)
{
    double *at = malloc((size_t)(4 * h->nq) * sizeof *at);

    *a = (all_sums){.block = at, .mark = atn_arena_save(cx)};
    CHECK_OK(atn_features_make(cx, h, x, centred, &a->f));
    a->want = (atn_edge_want){.self = self,
                              .skip_rows = skip,
                              .g = a->f.square,
                              .power = power,
                              .x = x,
                              .f = {a->f.factor, h->nk, 2 * x.cols, 2 * x.cols}};
    a->pf = malloc((size_t)(h->nq * 2 * x.cols) * sizeof *a->pf);
    a->s = (atn_edge_sums){.self = at,
                           .mass = at + h->nq,
                           .dot = at + 2 * h->nq,
                           .energy = at + 3 * h->nq,
                           .pf = a->pf};
    CHECK_OK(atn_edge_walk(cx, h, &a->want, &a->s));
}

static void drop(atn_ctx *cx, all_sums *a)
{
    free(a->block);
    free(a->pf);
    atn_arena_rewind(cx, a->mark);
}

/* ---- golden ---- */

/* Edge: (1 + .5 + .7 + .7) / 4. Masses of rows 2, 2; of keys 1.8 + .7 = 2.5 and 1.5: e
 * = (2 * 2.5 + 2 * 1.5) / 16 = .5. Null: (1 + 1/2 + 2/3 + 1/2) / 4. Without self edges:
 * the mass is 1.7, of which (.2 + .4) within; rows 0, .4, .571429. */
static void labels_by_hand(atn_ctx *cx)
{
    const int32_t y[] = {0, 1, 0, 1};
    const atn_labels l = {y, y, 2};
    const atn_head h = given(H4, 4, true);
    double m[4];
    all_sums a;
    atn_homophily o;

    walk_labels(cx, &h, &l, true, 0, &a);
    CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, true, &o));
    CHECK_NEAR(o.edge, .725, 1e-7);
    CHECK_NEAR(o.node, .725, 1e-7);
    CHECK_NEAR(o.margin, .5, 1e-7);
    CHECK_NEAR(o.adjusted, .45, 1e-7);
    CHECK_NEAR(o.null, 2.0 / 3, 1e-7);
    CHECK_NEAR(o.adjusted_causal, .175, 1e-6);
    CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, false, &o));
    CHECK_NEAR(o.edge, .6 / 1.7, 1e-7);
    CHECK_NEAR(o.edge, .352941, 5e-7);
    CHECK_NEAR(o.node, .323810, 5e-7);
    CHECK_NEAR(o.insensitive, 0, 1e-12);
    CHECK_NEAR(o.null, (0 + .5 + 1.0 / 3) / 3, 1e-7);
    atn_class_matrix(&h, &l, &a.want, &a.s, false, m);
    CHECK_NEAR(m[0], .4, 1e-7);
    CHECK_NEAR(m[1], .6, 1e-7);
    CHECK_NEAR(m[2], 2.0 / 3, 1e-7);
    CHECK_NEAR(m[3], 1.0 / 3, 1e-7);
    drop(cx, &a);
}

/* Edges 0-1, 2-3, 0-2: two of three within; nodes 1/2, 1, 1/2, 1; degrees 3 and 3 of 6:
 * e = 1/2; H_kk = 2/3 against 1/2 twice. */
static void undirected_graph(atn_ctx *cx)
{
    const float p[] = {0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0};
    const int32_t y[] = {0, 0, 1, 1};
    const atn_labels l = {y, y, 2};
    const atn_head h = given(p, 4, false);
    all_sums a;
    atn_homophily o;

    walk_labels(cx, &h, &l, true, 0, &a);
    for (int self = 0; self < 2; self++) {
        CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, self, &o));
        CHECK_NEAR(o.edge, 2.0 / 3, 1e-7);
        CHECK_NEAR(o.node, .75, 1e-7);
        CHECK_NEAR(o.adjusted, 1.0 / 3, 1e-7);
        CHECK_NEAR(o.bipartite_node, .75, 1e-7); /* the graph is symmetric */
        CHECK_NEAR(o.bipartite_adjusted, 1.0 / 3, 1e-7);
        CHECK_NEAR(o.insensitive, 1.0 / 3, 1e-7);
    }
    drop(cx, &a);
}

/* FH: row 1 (x = (0,1)): .5; row 2: .2/sqrt 2 + .3/sqrt 2 + .5; row 3: -.1 - .2/sqrt 2
 * + .3: over 4. Dirichlet: .5 * 2 + (.2 + .3) * 1 + (.1 * 4 + .4 * 2 + .2 * 5) = 3.7,
 * squares 5. */
static void features_by_hand(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);
    const atn_cmat x = {X4, 4, 2, 2};
    const double q = sqrt(.5);
    const double off[] = {0, (.2 + .3) * q / .5, (-.1 - .2 * q) / .7};
    all_sums a;
    atn_feature_homophily o;

    walk_features(cx, &h, x, true, 2, false, 0, &a);
    CHECK_OK(atn_feature_homophily_of(cx, &h, &a.f, &a.want, &a.s, &o));
    CHECK_NEAR(o.cosine, .603033, 5e-7);
    CHECK_NEAR(o.null, .531990, 5e-7);
    CHECK_NEAR(o.cosine - o.null, .071043, 5e-7);
    CHECK_NEAR(o.dirichlet, 3.7, 1e-6);
    CHECK_NEAR(o.normalised, .37, 1e-7);
    CHECK_NEAR(o.energy, 3.7 / 2, 1e-6); /* p = 2: half of it */
    CHECK_NEAR(o.cosine_nodiag, (off[0] + off[1] + off[2]) / 3, 1e-6);
    CHECK_NEAR(o.null_nodiag, (0 + q + (-1 + 0 - q) / 3) / 3, 1e-6);
    /* O = (1,0), (.5,.5), (.7,.8), (0,.6) against x */
    CHECK_NEAR(o.gap, (0 + q + sqrt(.13) + sqrt(1.36)) / 4, 1e-6);
    CHECK_NEAR(o.gap_cosine, (0 + (1 - q) + (1 - 1.5 * q / sqrt(1.13)) + 1) / 4, 1e-6);
    drop(cx, &a);
}

/* Uniform over all keys: rows and columns are independent, so what is adjusted is 0;
 * one class leaves nothing to adjust. */
static void uniform_and_one_class(atn_ctx *cx)
{
    const int32_t y[] = {1, 0, 2, 0, 1, 0}, same[6] = {0};
    const atn_labels l = {y, y, 3}, one = {same, same, 1};
    float p[36] = {0};
    const atn_head h = given(p, 6, false);
    all_sums a;
    atn_homophily o;

    for (int i = 0; i < 36; i++) p[i] = 1.0f / 6;
    walk_labels(cx, &h, &l, true, 0, &a);
    CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, true, &o));
    CHECK_NEAR(o.adjusted, 0, 1e-7);
    CHECK_NEAR(o.adjusted_causal, 0, 1e-7);
    CHECK_NEAR(o.edge, (4 + 9 + 1) / 36.0, 1e-7);
    drop(cx, &a);
    walk_labels(cx, &h, &one, true, 0, &a);
    CHECK_OK(atn_homophily_of(cx, &h, &one, &a.want, &a.s, true, &o));
    CHECK_NEAR(o.edge, 1, 1e-7);
    CHECK(isnan(o.adjusted) && isnan(o.adjusted_causal) && isnan(o.insensitive));
    drop(cx, &a);
}

/* P = I keeps every vector, centred or not; the features are far from their mean. */
static void identity_has_no_gap(atn_ctx *cx)
{
    const float x[] = {9, 4, 11, 5, 10, 7, 8, 6}; /* mean (9.5, 5.5) */
    float p[16] = {0};
    const atn_head h = given(p, 4, true);

    for (int i = 0; i < 4; i++) p[5 * i] = 1;
    for (int centred = 0; centred < 2; centred++) {
        all_sums a;
        atn_feature_homophily o;

        walk_features(cx, &h, (atn_cmat){x, 4, 2, 2}, true, 2, centred, 0, &a);
        CHECK_OK(atn_feature_homophily_of(cx, &h, &a.f, &a.want, &a.s, &o));
        CHECK_NEAR(o.gap, 0, 1e-6);
        CHECK_NEAR(o.gap_cosine, 0, 1e-6);
        CHECK_NEAR(o.cosine_output, 1, 1e-6);
        CHECK_NEAR(o.cosine, 1, 1e-6);
        drop(cx, &a);
    }
}

/* Rows 1 and 2 see keys but give them no weight: the null is of rows 0 and 3, 1 and
 * 3/4; without self edges of row 3 alone. */
static void rows_without_weight(atn_ctx *cx)
{
    const float p[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, .25f, .25f, .5f, 0};
    const int32_t y[] = {0, 1, 1, 1};
    const atn_labels l = {y, y, 2};
    const atn_head h = given(p, 4, true);
    all_sums a;
    atn_homophily o;

    walk_labels(cx, &h, &l, true, 0, &a);
    CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, true, &o));
    CHECK_NEAR(o.edge, (1 + .75) / 2, 1e-7);
    CHECK_NEAR(o.node, (1 + .75) / 2, 1e-7);
    CHECK_NEAR(o.null, (1 + .75) / 2, 1e-7);
    CHECK_OK(atn_homophily_of(cx, &h, &l, &a.want, &a.s, false, &o));
    CHECK_NEAR(o.node, .75, 1e-7);
    CHECK_NEAR(o.null, 2.0 / 3, 1e-7);
    drop(cx, &a);
}

/* ---- twins ---- */

enum { CLASSES = 5 };

/* Weights of head h by definition: row i, key j; self edges as told. */
typedef struct twin {
    const layer_model *m;
    atn_idx head, nk, n;
    const int32_t *label; /* of keys */
    bool self, keep;
} twin;

static atn_idx own_of(const twin *t, atn_idx i)
{
    const atn_idx at = layer_at(t->m, i);

    return t->self && at >= 0 && at < t->nk ? at : -1;
}

static double weight(const twin *t, atn_idx i, atn_idx j, bool uniform)
{
    const atn_idx own = own_of(t, i);
    double seen = 0;

    if (!layer_stays(t->m, i) || !layer_sees(t->m, i, j)) return 0;
    if (!t->keep && j == own) return 0;
    if (!uniform) return t->m->p[(t->head * t->n + i) * t->nk + j];
    for (atn_idx k = 0; k < t->nk; k++)
        seen += layer_sees(t->m, i, k) && (t->keep || k != own);
    return 1 / seen;
}

static double share(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static void twin_labels(const twin *t, const int32_t *query, atn_homophily *o,
                        double *h)
{
    double edge = 0, mass = 0, null = 0, null_mass = 0, node = 0, rows = 0, keys = 0;
    double key_node = 0, out[CLASSES] = {0}, in[CLASSES] = {0}, size[CLASSES] = {0},
           n = 0;
    double e = 0, both = 0;

    memset(h, 0, CLASSES * CLASSES * sizeof *h);
    for (atn_idx j = 0; j < t->nk; j++) {
        double key_same = 0, key_all = 0;

        if (t->label[j] < 0) continue;
        size[t->label[j]]++;
        n++;
        for (atn_idx i = 0; i < t->n; i++) {
            if (query[i] < 0) continue;
            key_all += weight(t, i, j, false);
            if (query[i] == t->label[j]) key_same += weight(t, i, j, false);
        }
        if (key_all > 0) keys++;
        if (key_all > 0) key_node += key_same / key_all;
    }
    for (atn_idx i = 0; i < t->n; i++) {
        double same = 0, all = 0;

        for (atn_idx j = 0; j < t->nk && query[i] >= 0; j++) {
            const double w = weight(t, i, j, false), u = weight(t, i, j, true);

            if (t->label[j] < 0) continue;
            all += w;
            null_mass += u;
            out[query[i]] += w;
            in[t->label[j]] += w;
            h[query[i] * CLASSES + t->label[j]] += w;
            if (query[i] != t->label[j]) continue;
            same += w;
            null += u;
        }
        edge += same;
        mass += all;
        if (all > 0) rows++;
        if (all > 0) node += same / all;
    }
    o->edge = share(edge, mass);
    o->node = share(node, rows);
    o->bipartite_node = share(node + key_node, rows + keys);
    o->null = mass > 0 ? share(null, null_mass) : NAN;
    o->insensitive = 0;
    for (int k = 0; k < CLASSES; k++) {
        double hkk;

        e += out[k] * in[k] / (mass * mass);
        both += (out[k] + in[k]) * (out[k] + in[k]) / (4 * mass * mass);
        for (int c = 0; c < CLASSES && out[k] > 0; c++) h[k * CLASSES + c] /= out[k];
        hkk = out[k] > 0 ? h[k * CLASSES + k] : 0;
        o->insensitive += fmax(hkk - size[k] / n, 0) / (CLASSES - 1);
    }
    if (!(mass > 0)) o->insensitive = NAN;
    o->margin = e;
    o->adjusted = (o->edge - e) / (1 - e);
    o->adjusted_causal = (o->edge - o->null) / (1 - o->null);
    o->bipartite_adjusted = (o->edge - both) / (1 - both);
}

static void same_value(double a, double b, double tol, const char *what, int kind)
{
    if ((isnan(a) && isnan(b)) || fabs(a - b) <= tol) return;
    fail_msg("%s, %s: %.17g, wanted %.17g", layer_kind_name(kind), what, a, b);
}

static void compare_labels(const atn_homophily *a, const atn_homophily *b, int kind)
{
    same_value(a->edge, b->edge, 2e-6, "edge", kind);
    same_value(a->node, b->node, 2e-6, "node", kind);
    same_value(a->null, b->null, 1e-12, "null", kind);
    if (isnan(a->edge) && isnan(b->edge)) return;
    same_value(a->margin, b->margin, 2e-6, "margin", kind);
    same_value(a->adjusted, b->adjusted, 1e-5, "adjusted", kind);
    if (b->null < 1 - 1e-12)
        same_value(a->adjusted_causal, b->adjusted_causal, 1e-5, "causal", kind);
    same_value(a->insensitive, b->insensitive, 2e-6, "insensitive", kind);
    same_value(a->bipartite_node, b->bipartite_node, 2e-6, "bipartite node", kind);
    same_value(a->bipartite_adjusted, b->bipartite_adjusted, 1e-5, "bipartite", kind);
}

/* Labels of the keys, one of six of them none; every class occurs where there is room.
 * */
static void draw_labels(atn_rng *r, const layer_model *m, bool self, int32_t *key,
                        int32_t *query)
{
    const atn_problem *p = &m->problem;

    for (atn_idx j = 0; j < p->nk; j++) {
        key[j] =
            (int32_t)(j < CLASSES ? j : atn_rng_below(r, CLASSES + 1)) - (j >= CLASSES);
        if (j < p->sight.key_first || j >= p->sight.key_last) key[j] = -1;
    }
    for (atn_idx i = 0; i < m->n; i++)
        query[i] = self ? key[layer_at(m, i)] : (int32_t)atn_rng_below(r, CLASSES);
}

static void labels_are_dense_ones(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        atn_rng r = atn_rng_stream(3, "test/homophily", kind, 0);
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *facts = layer_facts(&m);
        const bool self = kind != 3;
        int32_t key[LAYER_MOST], query[LAYER_MOST];
        const atn_labels l = {query, key, CLASSES};

        m.facts.skip_rows = kind % 3;
        draw_labels(&r, &m, self, key, query);
        for (atn_idx h = 0; h < m.problem.heads; h++)
            for (int keep = 0; keep < 2; keep++) {
                const twin t = {&m, h, m.problem.nk, m.n, key, self, keep};
                double want[CLASSES * CLASSES], got[CLASSES * CLASSES];
                atn_homophily a, b;
                all_sums s;

                walk_labels(cx, &facts->head[h], &l, self, m.facts.skip_rows, &s);
                CHECK_OK(
                    atn_homophily_of(cx, &facts->head[h], &l, &s.want, &s.s, keep, &a));
                twin_labels(&t, query, &b, want);
                compare_labels(&a, &b, kind);
                atn_class_matrix(&facts->head[h], &l, &s.want, &s.s, keep, got);
                for (int c = 0; c < CLASSES * CLASSES; c++)
                    CHECK_NEAR(got[c], want[c], 2e-6);
                drop(cx, &s);
            }
        layer_drop(&m);
    }
}

static double cosine(const double *x, const double *y, atn_idx d)
{
    double xy = 0, xx = 0, yy = 0;

    for (atn_idx c = 0; c < d; c++) {
        xy += x[c] * y[c];
        xx += x[c] * x[c];
        yy += y[c] * y[c];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

/* u: x, or x less its mean; what the row makes of x is out, of u mid. */
static void twin_features(const twin *t, const double *x, const double *u, atn_idx d,
                          double power, atn_feature_homophily *o)
{
    double rows = 0, off_rows = 0, norm = 0;

    *o = (atn_feature_homophily){0};
    for (atn_idx i = 0; i < t->n; i++) {
        const atn_idx own = own_of(t, i);
        double out[8] = {0}, mid[8] = {0}, mass = 0, off = 0, c1 = 0, c0 = 0, n1 = 0,
               n0 = 0, gap = 0;
        double toward = 0, seen = 0;

        for (atn_idx j = 0; j < t->nk; j++) {
            const double w = weight(t, i, j, false);

            mass += w;
            for (atn_idx c = 0; c < d; c++) {
                out[c] += w * x[j * d + c];
                mid[c] += w * u[j * d + c];
            }
        }
        if (!(mass > 0)) continue;
        rows++;
        for (atn_idx j = 0; j < t->nk; j++) {
            const double w = weight(t, i, j, false);
            double distance = 0;

            toward += w * cosine(mid, u + j * d, d) / mass;
            if (own < 0 || !layer_sees(t->m, i, j)) continue;
            seen++;
            c1 += w * cosine(u + own * d, u + j * d, d);
            n1 += cosine(u + own * d, u + j * d, d);
            for (atn_idx c = 0; c < d; c++)
                distance += pow(x[own * d + c] - x[j * d + c], 2);
            o->dirichlet += w * distance;
            o->energy += pow(w * distance, power / 2) / 2;
            if (j == own) continue;
            off += w;
            c0 += w * cosine(u + own * d, u + j * d, d);
            n0 += cosine(u + own * d, u + j * d, d);
        }
        o->cosine_output += toward;
        if (own < 0) continue;
        for (atn_idx c = 0; c < d; c++) {
            gap += pow(out[c] - x[own * d + c], 2);
            norm += x[own * d + c] * x[own * d + c];
        }
        o->gap += sqrt(gap);
        o->gap_cosine += 1 - cosine(mid, u + own * d, d);
        o->cosine += c1 / mass;
        o->null += n1 / seen;
        if (off > 0) {
            off_rows++;
            o->cosine_nodiag += c0 / off;
            o->null_nodiag += n0 / (seen - layer_sees(t->m, i, own));
        }
    }
    if (rows == 0) o->dirichlet = o->energy = NAN;
    o->normalised = o->dirichlet / (2 * norm);
    o->cosine /= rows;
    o->null /= rows;
    o->gap /= rows;
    o->gap_cosine /= rows;
    o->cosine_output /= rows;
    o->cosine_nodiag /= off_rows;
    o->null_nodiag /= off_rows;
}

static void compare_features(const atn_feature_homophily *a,
                             const atn_feature_homophily *b, bool self, int kind)
{
    same_value(a->cosine_output, b->cosine_output, 3e-6, "output cosine", kind);
    if (!self) {
        CHECK(isnan(a->cosine) && isnan(a->dirichlet) && isnan(a->gap));
        return;
    }
    same_value(a->cosine, b->cosine, 3e-6, "cosine", kind);
    same_value(a->null, b->null, 3e-7, "null", kind);
    same_value(a->cosine_nodiag, b->cosine_nodiag, 3e-6, "cosine without self", kind);
    same_value(a->null_nodiag, b->null_nodiag, 3e-7, "null without self", kind);
    same_value(a->dirichlet, b->dirichlet, 1e-5 * (1 + b->dirichlet), "dirichlet",
               kind);
    same_value(a->normalised, b->normalised, 1e-6, "normalised", kind);
    same_value(a->energy, b->energy, 1e-6 * (1 + b->energy), "energy", kind);
    same_value(a->gap, b->gap, 3e-6, "gap", kind);
    same_value(a->gap_cosine, b->gap_cosine, 3e-6, "gap cosine", kind);
}

static void features_are_dense_ones(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *facts = layer_facts(&m);
        const atn_problem *p = &m.problem;
        const bool self = kind != 3, centred = kind % 2;
        const double power = 1 + kind % 4 * .5;
        double x[LAYER_MOST * 8], u[LAYER_MOST * 8];

        m.facts.skip_rows = kind % 3 == 1;
        for (atn_idx h = 0; h < p->heads; h++) {
            const twin t = {&m, h, p->nk, m.n, NULL, self, true};
            const atn_cmat v = facts->head[h].v;
            double mean[8] = {0}, keys = 0;
            atn_feature_homophily a, b;
            all_sums s;

            for (atn_idx j = 0; j < p->nk; j++) {
                const bool in = j >= p->sight.key_first && j < p->sight.key_last;

                keys += in;
                for (atn_idx c = 0; c < p->dv; c++) {
                    x[j * p->dv + c] = (double)atn_crow(v, j)[c];
                    mean[c] += in ? x[j * p->dv + c] : 0;
                }
            }
            for (atn_idx e = 0; e < p->nk * p->dv; e++)
                u[e] = x[e] - (centred ? mean[e % p->dv] / keys : 0);
            walk_features(cx, &facts->head[h], v, self, power, centred,
                          m.facts.skip_rows, &s);
            CHECK_OK(
                atn_feature_homophily_of(cx, &facts->head[h], &s.f, &s.want, &s.s, &a));
            twin_features(&t, x, u, p->dv, power, &b);
            compare_features(&a, &b, self, kind);
            drop(cx, &s);
        }
        layer_drop(&m);
    }
}

/* ---- properties ---- */

/* Names of classes do not matter, and a class that nobody has changes nothing but the
 * insensitive value's divisor. */
static void classes_can_be_renamed(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_head *head = &layer_facts(&m)->head[1];
    int32_t y[LAYER_MOST], z[LAYER_MOST];
    const atn_labels l = {y, y, CLASSES}, r = {z, z, CLASSES};
    atn_homophily a, b;
    all_sums s;

    for (int i = 0; i < LAYER_MOST; i++) {
        y[i] = i * i % CLASSES;
        z[i] = (3 * y[i] + 2) % CLASSES;
    }
    walk_labels(cx, head, &l, true, 0, &s);
    CHECK_OK(atn_homophily_of(cx, head, &l, &s.want, &s.s, true, &a));
    drop(cx, &s);
    walk_labels(cx, head, &r, true, 0, &s);
    CHECK_OK(atn_homophily_of(cx, head, &r, &s.want, &s.s, true, &b));
    drop(cx, &s);
    CHECK_NEAR(a.edge, b.edge, 0);
    CHECK_NEAR(a.adjusted, b.adjusted, 1e-13);
    CHECK_NEAR(a.insensitive, b.insensitive, 1e-13);
    layer_drop(&m);
}

/* Many rows, so that there are many tiles; as many classes as tokens may have. */
static void threads_do_not_matter(atn_ctx *cx)
{
    enum { N = 700, D = 9 };
    float *q = layer_noise(cx, N * D, 0, "q", 1),
          *k = layer_noise(cx, N * D, 1, "k", 1);
    int32_t *y = malloc(N * sizeof *y);
    const atn_head h = {.q = {q, N, D, D},
                        .k = {k, N, D, D},
                        .nq = N,
                        .nk = N,
                        .scale = .7,
                        .sight = {.causal = true, .key_last = N}};
    const atn_labels l = {y, y, 211};
    atn_feature_homophily f[2];
    atn_homophily o[2];

    for (int i = 0; i < N; i++) y[i] = i * 7 % 211;
    for (int many = 0; many < 2; many++) {
        all_sums s;

        cx->threads = many ? 4 : 1;
        walk_labels(cx, &h, &l, true, 0, &s);
        CHECK_OK(atn_homophily_of(cx, &h, &l, &s.want, &s.s, false, &o[many]));
        drop(cx, &s);
        walk_features(cx, &h, (atn_cmat){k, N, D, D}, true, 1.5, false, 0, &s);
        CHECK_OK(atn_feature_homophily_of(cx, &h, &s.f, &s.want, &s.s, &f[many]));
        drop(cx, &s);
    }
    CHECK(memcmp(&o[0], &o[1], sizeof o[0]) == 0);
    CHECK(memcmp(&f[0], &f[1], sizeof f[0]) == 0);
    free(q);
    free(k);
    free(y);
}

/* ---- failure ---- */

static void bad_weights_are_named(atn_ctx *cx)
{
    float p[16] = {0};
    const int32_t y[] = {0, 1, 0, 1};
    double sums[8];
    const atn_head h = given(p, 4, true);
    const atn_edge_want want = {.self = true, .query = y, .key = y, .classes = 2};
    const atn_edge_sums out = {.counted = sums, .same = sums + 4};

    memcpy(p, H4, sizeof p);
    p[9] = NAN;
    CHECK_FAILS(atn_edge_walk(cx, &h, &want, &out), ATN_DATA, "row 2");
}

static void memory_runs_out(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);
    const atn_cmat x = {X4, 4, 2, 2};
    const int32_t y[] = {0, 1, 0, 1};
    const atn_labels l = {y, y, 2};
    atn_status st = ATN_MEMORY;

    for (long left = 0; st != ATN_OK && left < 60; left++) {
        check_failing f = {left};
        double sums[16];
        float pf[16];
        atn_ctx broken;
        atn_features features;
        atn_homophily o;
        const atn_edge_sums out = {.self = sums,
                                   .mass = sums,
                                   .counted = sums,
                                   .same = sums + 4,
                                   .key_counted = sums + 8,
                                   .key_same = sums + 12,
                                   .pf = pf};

        atn_ctx_init(&broken);
        broken.threads = 1;
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_features_make(&broken, &h, x, false, &features);
        if (st == ATN_OK) {
            const atn_edge_want want = {.self = true,
                                        .query = y,
                                        .key = y,
                                        .classes = 2,
                                        .f = {features.factor, 4, 4, 4}};

            st = atn_edge_walk(&broken, &h, &want, &out);
            if (st == ATN_OK)
                st = atn_homophily_of(&broken, &h, &l, &want, &out, true, &o);
        }
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_ctx_release(&broken);
    }
    (void)cx;
    CHECK(st == ATN_OK);
}

CHECK_MAIN({"labels by hand", labels_by_hand}, {"undirected graph", undirected_graph},
           {"features by hand", features_by_hand},
           {"uniform and one class", uniform_and_one_class},
           {"identity has no gap", identity_has_no_gap},
           {"rows without weight", rows_without_weight},
           {"labels are dense ones", labels_are_dense_ones},
           {"features are dense ones", features_are_dense_ones},
           {"classes can be renamed", classes_can_be_renamed},
           {"threads do not matter", threads_do_not_matter},
           {"bad weights are named", bad_weights_are_named},
           {"memory runs out", memory_runs_out})
