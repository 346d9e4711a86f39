// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <string.h>

#include "analysis/layer_model.h"
#include "core/rng.h"
#include "graph/adapter.h"

static atn_adapter_params of(double p, double mu, int iterations)
{
    atn_adapter_params a = atn_adapter_defaults;

    a.p = p;
    a.mu = mu;
    a.iterations = iterations;
    return a;
}

/* ---- golden ---- */

/* One query q = .5, weights (.75, .25), keys v = (1, 3); one-hot signals read A~. */
static double one_row(atn_ctx *cx, atn_adapter_params a, double scale, double *weights,
                      atn_adapter_state *state)
{
    const float p[] = {.75f, .25f};
    const float v[] = {(float)(1 * scale), (float)(3 * scale)},
                q[] = {(float)(.5 * scale)};
    const double q_sent[] = {0, 0}, v_sent[] = {1, 0, 0, 1};
    const atn_head h = {.p = {p, 1, 2, 2},
                        .v = {v, 2, 1, 1},
                        .nq = 1,
                        .nk = 2,
                        .scale = 1,
                        .sight = {.key_last = 2}};
    const atn_adapter_input in = {.head = &h,
                                  .q = {q, 1, 1, 1},
                                  .signals = 2,
                                  .q_sent = q_sent,
                                  .v_sent = v_sent};
    double out[3];

    CHECK_OK(atn_adapter_run(cx, &in, &a, state, out, NULL));
    weights[0] = out[1];
    weights[1] = out[2];
    return out[0];
}

/* Card A2. p = 2 by hand: (.75 + .75 + .2 * .5) / 1.2. KL of p = 1.5 by hand from its A~:
 * .75 ln(.75 .836404 / .699224) + .25 ln(.25 .836404 / .137180). */
static void golden_row(atn_ctx *cx)
{
    static const struct {
        double p, a[2], out, code;
    } want[] = {{2, {.625, .208333}, 1.333333, 1.25},
                {1.75, {.665359, .170150}, 1.258055, 1.175809},
                {1.5, {.699224, .137180}, 1.192561, 1.110763},
                {1.25, {.725550, .109204}, 1.135785, 1.053162}};
    atn_adapter_state s[2];
    double a[2];

    for (size_t t = 0; t < ATN_LEN(want); t++) {
        atn_adapter_params as = of(want[t].p, .2, 1);

        CHECK_NEAR(one_row(cx, as, 1, a, s), want[t].out, 6e-7);
        CHECK_NEAR(a[0], want[t].a[0], 6e-7);
        CHECK_NEAR(a[1], want[t].a[1], 6e-7);
        CHECK_NEAR(s[1].mass, a[0] + a[1], 1e-12);
        CHECK_NEAR(s[1].mass + s[1].beta, 1, 1e-12);
        CHECK_NEAR(s[1].kl,
                   .75 * log(.75 * s[1].mass / a[0]) +
                       .25 * log(.25 * s[1].mass / a[1]),
                   1e-9);
        CHECK_NEAR(s[1].change, fabs(want[t].out - 1.5) / 1.5, 6e-7);
        CHECK_NEAR(s[1].distance, (a[0] * .5 + a[1] * 2.5) / s[1].mass, 1e-9);
        CHECK_NEAR(s[1].homophily, 1, 1e-12); /* numbers of one sign */
        CHECK(isnan(s[1].self_share) && isnan(s[1].edge) && isnan(s[0].beta));
        as.beta = ATN_BETA_CODE;
        CHECK_NEAR(one_row(cx, as, 1, a, s), want[t].code, 6e-7);
    }
    one_row(cx, of(1.5, .2, 1), 1, a, s);
    CHECK_NEAR(s[1].beta, .163596, 6e-7);
    /* .75^.75 .5^1.5 + .25^.75 2.5^1.5 */
    CHECK_NEAR(s[0].energy, .2849384 + 1.3975425, 1e-6);
    CHECK_NEAR(s[0].entropy, -.75 * log(.75) - .25 * log(.25), 1e-12);
}

/* p = 2 does not see the features' scale; else mu scaled by c^(p - 2) makes up for it. */
static void scale_of_features(atn_ctx *cx)
{
    atn_adapter_state s[2], t[2];
    double a[2], b[2];

    for (int i = 0; i < 9; i++) {
        const double p = 1 + .25 * i, c = 8;

        one_row(cx, of(p, .2, 1), 1, a, s);
        one_row(cx, of(p, .2 * pow(c, p - 2), 1), c, b, t);
        CHECK_NEAR(a[0], b[0], 1e-7);
        CHECK_NEAR(a[1], b[1], 1e-7);
        CHECK_NEAR(s[1].beta, t[1].beta, 1e-7);
    }
}

/* ---- a dense twin ---- */

enum { MOST = LAYER_MOST, WIDE = 8 };

typedef struct dense {
    atn_idx nq, nk, c;
    bool own, seen[MOST], drop, code, nodes;
    atn_idx at[MOST]; /* place of the query among the keys */
    double p[MOST][MOST], q0[MOST][WIDE], v0[MOST][WIDE];
    double q[MOST][WIDE], v[MOST][WIDE];
    double a[MOST][MOST], beta[MOST]; /* of the step that led here */
    double m[MOST][MOST];
    double plain[MOST][WIDE];
} dense;

static double dense_norm(const double *x, atn_idx c)
{
    double sum = 0;

    for (atn_idx e = 0; e < c; e++) sum += x[e] * x[e];
    return sqrt(sum);
}

static double dense_apart(const double *a, const double *b, atn_idx c, double snap)
{
    double d[WIDE];

    for (atn_idx e = 0; e < c; e++) d[e] = a[e] - b[e];
    if (dense_norm(d, c) <= snap * fmax(dense_norm(a, c), dense_norm(b, c))) return 0;
    return dense_norm(d, c);
}

static double dense_weight(const dense *d, atn_idx i, atn_idx j, bool drop)
{
    return drop && d->own && d->at[i] == j ? 0 : d->p[i][j];
}

static double dense_message(const dense *d, const atn_adapter_params *a, atn_idx i,
                            atn_idx j)
{
    const double w = dense_weight(d, i, j, d->drop);
    const bool same = dense_apart(d->q[i], d->v[j], d->c, a->snap) == 0;
    double x[WIDE];

    if (!(w > 0)) return 0;
    for (atn_idx e = 0; e < d->c; e++)
        x[e] = sqrt(w + a->eps) * (same ? 0 : d->v[j][e] - d->q[i][e]) + a->eps;
    return w * pow(dense_norm(x, d->c), a->p - 2);
}

static double dense_energy(const dense *d, const atn_adapter_params *a)
{
    double pairs = 0, anchors = 0;

    for (atn_idx i = 0; i < d->nq; i++) {
        for (atn_idx j = 0; j < d->nk; j++)
            pairs += pow(sqrt(dense_weight(d, i, j, d->drop)) *
                             dense_apart(d->q[i], d->v[j], d->c, a->snap),
                         a->p);
        anchors += pow(dense_apart(d->q[i], d->q0[i], d->c, 0), 2);
    }
    for (atn_idx j = 0; !d->nodes && j < d->nk; j++)
        anchors += pow(dense_apart(d->v[j], d->v0[j], d->c, 0), 2);
    return (d->nodes ? .5 : 1) * pairs + a->mu * anchors;
}

static void dense_move(const dense *d, const atn_adapter_params *a, const double *first,
                       const double *sent, double sum, double *x)
{
    const double anchor = 2 * a->mu / a->p;

    for (atn_idx e = 0; e < d->c; e++) {
        double to = first[e];

        if (sum > 0)
            to = (sent[e] + (d->code ? 0 : anchor * first[e])) / (sum + anchor);
        x[e] = (1 - a->damping) * x[e] + a->damping * to;
    }
}

static void dense_step(dense *d, const atn_adapter_params *a)
{
    double row[MOST][WIDE] = {{0}}, col[MOST][WIDE] = {{0}};
    double sums[MOST] = {0}, keys[MOST] = {0};
    const double anchor = 2 * a->mu / a->p;

    for (atn_idx i = 0; i < d->nq; i++)
        for (atn_idx j = 0; j < d->nk; j++) {
            const double m = d->m[i][j] = dense_message(d, a, i, j);

            sums[i] += m;
            keys[j] += m;
            for (atn_idx e = 0; e < d->c; e++) {
                row[i][e] += m * d->v[j][e];
                col[j][e] += m * d->q[i][e];
            }
        }
    for (atn_idx i = 0; i < d->nq; i++) {
        for (atn_idx j = 0; j < d->nk; j++)
            d->a[i][j] = sums[i] > 0 ? d->m[i][j] / (sums[i] + anchor) : 0;
        d->beta[i] = sums[i] > 0 ? anchor / (sums[i] + anchor) : 1;
        dense_move(d, a, d->q0[i], row[i], sums[i], d->q[i]);
    }
    for (atn_idx j = 0; j < d->nk; j++) {
        if (d->nodes)
            memcpy(d->v[j], d->q[j], sizeof d->v[j]);
        else
            dense_move(d, a, d->v0[j], col[j], keys[j], d->v[j]);
    }
}

static double dense_sum(const double *row, atn_idx n)
{
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) sum += row[j];
    return sum;
}

/* What the weights `a` are like, against those given. */
static atn_adapter_state dense_state(const dense *d, double a[MOST][MOST],
                                     const int32_t *labels, atn_idx skip)
{
    atn_adapter_state s = {0};
    double same = 0, labelled = 0, full = 0, rows = 0;

    for (atn_idx i = skip; i < d->nq; i++) {
        const double mass = dense_sum(a[i], d->nk);
        double given = 0;

        if (!d->seen[i]) continue;
        rows++;
        s.mass += mass;
        s.beta += d->beta[i];
        if (d->own) s.self_share += a[i][d->at[i]];
        if (!(mass > 0)) {
            s.empty++;
            continue;
        }
        full++;
        for (atn_idx j = 0; j < d->nk; j++) given += dense_weight(d, i, j, d->drop);
        for (atn_idx j = 0; j < d->nk; j++) {
            const double w = a[i][j] / mass, p = dense_weight(d, i, j, d->drop) / given;
            const double size = dense_norm(d->q0[i], d->c) * dense_norm(d->v0[j], d->c);
            double dot = 0;

            if (!(w > 0)) continue;
            for (atn_idx e = 0; e < d->c; e++) dot += d->q0[i][e] * d->v0[j][e];
            s.kl += p * log(p / w);
            s.entropy -= w * log(w);
            s.distance += w * dense_apart(d->q0[i], d->v0[j], d->c, 0);
            s.homophily += size > 0 ? w * dot / size : 0;
            if (!d->own || labels[d->at[i]] < 0 || labels[j] < 0) continue;
            labelled += a[i][j];
            same += labels[d->at[i]] == labels[j] ? a[i][j] : 0;
        }
    }
    s.rows = (atn_idx)rows;
    s.mass /= rows;
    s.beta /= rows;
    s.self_share = d->own ? s.self_share / rows : NAN;
    s.kl /= full;
    s.entropy /= full;
    s.distance /= full;
    s.homophily /= full;
    s.edge = labelled > 0 ? same / labelled : NAN;
    return s;
}

static double dense_change(const dense *d, atn_idx skip)
{
    double change = 0, plain = 0;

    for (atn_idx i = skip; i < d->nq; i++) {
        if (!d->seen[i]) continue;
        change += pow(dense_apart(d->q[i], d->plain[i], d->c, 0), 2);
        plain += pow(dense_norm(d->plain[i], d->c), 2);
    }
    return sqrt(change / plain);
}

static void near_or_none(double got, double want, double tol)
{
    if (isnan(want) || isinf(want)) {
        CHECK(isnan(got));
        return;
    }
    CHECK_NEAR(got, want, tol * (1 + fabs(want)));
}

static void same_weights(const atn_adapter_state *got, const atn_adapter_state *want,
                         double tol)
{
    CHECK_EQ(got->rows, want->rows);
    CHECK_EQ(got->empty, want->empty);
    near_or_none(got->mass, want->mass, tol);
    near_or_none(got->self_share, want->self_share, tol);
    near_or_none(got->kl, want->kl, tol);
    near_or_none(got->entropy, want->entropy, tol);
    near_or_none(got->distance, want->distance, tol);
    near_or_none(got->homophily, want->homophily, tol);
    near_or_none(got->edge, want->edge, tol);
}

/* ---- layers of every kind ---- */

typedef struct one_case {
    atn_head h;
    float q[MOST * WIDE];
    int32_t labels[MOST];
    atn_adapter_input in;
    atn_adapter_params a;
} one_case;

static bool cross(int kind)
{
    return kind == 3;
}

/* Head 2 of the layer, its weights given as float32 (whose sums are not what is tested)
 * or made from Q and K. */
static void make_case(layer_model *m, int kind, int trial, bool given, one_case *c)
{
    atn_problem p = m->problem;
    atn_rng r = atn_rng_stream(0, "test/adapter", kind, trial);

    if (given) {
        p.q = p.k = NULL;
        p.p = m->given;
    }
    memset(c, 0, sizeof *c);
    c->h = atn_problem_head(&p, 2);
    for (atn_idx i = 0; i < p.nq * p.dv; i++) c->q[i] = (float)atn_rng_normal(&r);
    for (atn_idx j = 0; j < p.nk; j++) c->labels[j] = (int32_t)atn_rng_below(&r, 4) - 1;
    c->in =
        (atn_adapter_input){.head = &c->h, .own = !cross(kind), .skip_rows = trial % 3};
    if (cross(kind) || trial % 4 == 3) c->in.q = (atn_cmat){c->q, p.nq, p.dv, p.dv};
    if (!cross(kind)) c->in.labels = c->labels;
    if (p.nq <= 2) c->in.skip_rows = 0;
    c->a = of(1 + .25 * (trial % 9), .05 + .2 * (trial % 3), 1 + trial % 4);
    c->a.self = trial % 2 ? ATN_SELF_DROP : ATN_SELF_KEEP;
    c->a.beta = trial % 5 == 1 ? ATN_BETA_CODE : ATN_BETA_PAPER;
    c->a.damping = trial % 6 == 2 ? .7 : 1;
    c->a.nodes = trial % 7 == 4 && !cross(kind) && p.nq == p.nk && !c->in.q.data;
}

static void make_dense(const layer_model *m, const one_case *c, dense *d)
{
    const atn_problem *p = &m->problem;

    memset(d, 0, sizeof *d);
    d->nq = p->nq;
    d->nk = p->nk;
    d->c = p->dv;
    d->own = c->in.own;
    d->drop = c->a.self == ATN_SELF_DROP;
    d->code = c->a.beta == ATN_BETA_CODE;
    d->nodes = c->a.nodes;
    for (atn_idx j = 0; j < d->nk; j++)
        for (atn_idx e = 0; e < d->c; e++) d->v0[j][e] = c->h.v.data[j * d->c + e];
    for (atn_idx i = 0; i < d->nq; i++) {
        d->at[i] = i + p->sight.offset;
        for (atn_idx j = 0; j < d->nk; j++) {
            d->p[i][j] = (double)m->given[(2 * p->nq + i) * p->nk + j];
            d->seen[i] = d->seen[i] || layer_sees(m, i, j);
            for (atn_idx e = 0; e < d->c; e++)
                d->plain[i][e] += d->p[i][j] * d->v0[j][e];
        }
        for (atn_idx e = 0; e < d->c; e++)
            d->q0[i][e] = c->in.q.data ? c->q[i * d->c + e] : d->v0[d->at[i]][e];
    }
    memcpy(d->q, d->q0, sizeof d->q);
    memcpy(d->v, d->v0, sizeof d->v);
}

static void check_case(atn_ctx *cx, const layer_model *m, const one_case *c, double tol)
{
    static dense d;
    static double weights[MOST][MOST];
    atn_adapter_state got[6], want;
    double out[MOST * WIDE];
    int done = -1;

    make_dense(m, c, &d);
    CHECK_OK(atn_adapter_run(cx, &c->in, &c->a, got, out, &done));
    CHECK_EQ(done, c->a.iterations);
    for (atn_idx i = 0; i < d.nq; i++)
        for (atn_idx j = 0; j < d.nk; j++)
            weights[i][j] = dense_weight(&d, i, j, d.drop);
    want = dense_state(&d, weights, c->labels, c->in.skip_rows);
    CHECK_NEAR(got[0].change, 0, 0);
    same_weights(&got[0], &want, tol);
    for (int k = 0; k <= done; k++) {
        near_or_none(got[k].energy, dense_energy(&d, &c->a), tol);
        if (k > 0) near_or_none(got[k].change, dense_change(&d, c->in.skip_rows), tol);
        if (k == done) break;
        dense_step(&d, &c->a);
        want = dense_state(&d, d.a, c->labels, c->in.skip_rows);
        same_weights(&got[k + 1], &want, tol);
        near_or_none(got[k + 1].beta, want.beta, tol);
    }
    for (atn_idx i = 0; i < d.nq; i++)
        for (atn_idx e = 0; e < d.c; e++)
            CHECK_NEAR(out[i * d.c + e], d.q[i][e], 10 * tol);
}

/* All kinds of layers but those of which some rows are there. */
static void twin(atn_ctx *cx)
{
    static one_case c;

    for (int kind = 0; kind < LAYER_KINDS - 1; kind++) {
        layer_model m = layer_make(cx, kind);

        for (int trial = 0; trial < 36; trial++) {
            make_case(&m, kind, trial, true, &c);
            check_case(cx, &m, &c, 1e-7);
            if (kind == 8 || trial % 3) continue;
            make_case(&m, kind, trial, false, &c);
            check_case(cx, &m, &c, 2e-4);
        }
        layer_drop(&m);
    }
}

/* ---- properties ---- */

/* A~ rows and b sum to 1: a signal of ones stays. */
static void ones_stay(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 1);
    double ones[MOST], out[MOST * WIDE];
    atn_adapter_state s[8];
    one_case c;

    for (int j = 0; j < MOST; j++) ones[j] = 1;
    for (int trial = 0; trial < 9; trial++) {
        make_case(&m, 1, 0, false, &c);
        c.in.signals = 1;
        c.in.v_sent = ones;
        c.a = of(1 + .25 * trial, .3, 7);
        CHECK_OK(atn_adapter_run(cx, &c.in, &c.a, s, out, NULL));
        for (atn_idx i = 0; i < c.h.nq; i++) CHECK_NEAR(out[i * 6 + 5], 1, 1e-12);
    }
    layer_drop(&m);
}

/* p = 2 and mu = 0 is plain attention; with mu it is (P V + mu q) / (1 + mu). */
static void plain_attention(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    double out[MOST * WIDE];
    atn_adapter_state s[2];
    one_case c;

    for (int t = 0; t < 4; t++) {
        const double mu = .4 * t;

        make_case(&m, 0, 0, false, &c);
        c.a = of(2, mu, 1);
        CHECK_OK(atn_adapter_run(cx, &c.in, &c.a, s, out, NULL));
        for (atn_idx i = 0; i < c.h.nq * 5; i++)
            CHECK_NEAR(out[i],
                       (m.out[2 * c.h.nq * 5 + i] + mu * (double)c.h.v.data[i]) /
                           (1 + mu),
                       1e-6);
        if (t == 0) CHECK_NEAR(s[1].change, 0, 1e-7);
        CHECK_NEAR(s[1].mass, 1 / (1 + mu), 1e-6);
        CHECK_NEAR(s[1].kl, 0, 1e-7);
    }
    layer_drop(&m);
}

/* Random heads, flat to sharp, some with equal features; 1 <= p <= 2. */
static void energy_never_increases(atn_ctx *cx)
{
    enum { N = 40, C = 6 };
    static float q[N * C], k[N * C], v[N * C];
    double worst = 0;

    for (int trial = 0; trial < 120; trial++) {
        atn_rng r = atn_rng_stream(cx->seed, "test/energy", trial, 0);
        const atn_head h = {.q = {q, N, C, C},
                            .k = {k, N, C, C},
                            .v = {v, N, C, C},
                            .nq = N,
                            .nk = N,
                            .scale = .1 * (1 + trial % 30),
                            .sight = {.causal = trial % 2, .key_last = N}};
        const atn_adapter_input in = {.head = &h, .own = true};
        atn_adapter_params a = of(1 + .25 * (trial % 5), .01 * (1 + trial % 70), 15);
        atn_adapter_state s[16];

        for (int i = 0; i < N * C; i++) {
            q[i] = (float)atn_rng_normal(&r);
            k[i] = (float)atn_rng_normal(&r);
            v[i] = (float)(3 * atn_rng_normal(&r));
        }
        for (int i = 0; i < C && trial % 3 == 0; i++) v[7 * C + i] = v[3 * C + i];
        a.self = trial % 4 == 1 ? ATN_SELF_DROP : ATN_SELF_KEEP;
        a.damping = trial % 5 == 3 ? .5 : 1;
        CHECK_OK(atn_adapter_run(cx, &in, &a, s, NULL, NULL));
        for (int i = 0; i < 15; i++)
            worst = fmax(worst, s[i + 1].energy / s[i].energy - 1);
    }
    CHECK_LE(worst, 1e-6);
}

/* A causal head of two tokens, p [2, 2], with a number each, v [2]. */
static atn_head two_tokens(const float *p, const float *v)
{
    const atn_head h = {.p = {p, 2, 2, 2},
                        .v = {v, 2, 1, 1},
                        .nq = 2,
                        .nk = 2,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = 2}};

    return h;
}

/* Far pairs at p = 3: the first step overshoots and is the last. */
static void stops_on_increase(atn_ctx *cx)
{
    const float p[] = {1, 0, .5f, .5f}, v[] = {30, -31};
    const atn_head h = two_tokens(p, v);
    const atn_adapter_input in = {.head = &h, .own = true};
    atn_adapter_params a = of(3, .001, 30);
    double out[2], all[2];
    atn_adapter_state s[31];
    int done;

    a.stop = true;
    CHECK_OK(atn_adapter_run(cx, &in, &a, s, out, &done));
    CHECK(done >= 1 && done < 30 && s[done].energy > s[done - 1].energy);
    a.stop = false;
    a.iterations = done;
    CHECK_OK(atn_adapter_run(cx, &in, &a, s, all, NULL));
    CHECK(memcmp(out, all, sizeof out) == 0);
}

/* Long enough for several tiles and groups; any number of threads gives the same bits. */
/* Equal values: nothing moves but the last digits, which is no rise, and no end. */
static void rounding_is_no_rise(atn_ctx *cx)
{
    float p[36] = {0}, v[18];
    atn_problem problem = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 6,
                           .nk = 6,
                           .dv = 3,
                           .p = p,
                           .v = v,
                           .sight = {.causal = true, .key_last = 6}};

    for (int i = 0; i < 6; i++)
        for (int j = 0; j <= i; j++) p[6 * i + j] = 1.0f / (float)(i + 1);
    for (int i = 0; i < 18; i++) v[i] = (float)(i % 3) + 5.3f;
    for (int t = 0; t < 3; t++) {
        const atn_head h = atn_problem_head(&problem, 0);
        const atn_adapter_input in = {.head = &h, .own = true};
        atn_adapter_params a = of(1 + t * .5, .2, 6);
        atn_adapter_state s[7];
        int done = 0;

        a.stop = true;
        CHECK_OK(atn_adapter_run(cx, &in, &a, s, NULL, &done));
        CHECK_EQ(done, 6);
        for (int k = 1; k <= 6; k++) CHECK(!s[k].rose);
    }
}

static void threads(atn_ctx *cx)
{
    enum { N = 700, C = 8 };
    float *x[3];
    double *out[2];
    atn_adapter_state s[2][4];
    atn_head h = {
        .nq = N, .nk = N, .scale = 1, .sight = {.causal = true, .key_last = N}};
    const atn_adapter_input in = {.head = &h, .own = true};

    for (int i = 0; i < 3; i++) x[i] = layer_noise(cx, N * C, i, "threads", 1);
    h.q = (atn_cmat){x[0], N, C, C};
    h.k = (atn_cmat){x[1], N, C, C};
    h.v = (atn_cmat){x[2], N, C, C};
    memset(s, 0, sizeof s);
    for (int t = 0; t < 2; t++) {
        const atn_adapter_params a = of(1.5, .2, 3);

        out[t] = malloc(sizeof(double) * N * C);
        cx->threads = t ? 4 : 1;
        CHECK_OK(atn_adapter_run(cx, &in, &a, s[t], out[t], NULL));
    }
    CHECK(memcmp(out[0], out[1], sizeof(double) * N * C) == 0);
    CHECK(memcmp(s[0], s[1], sizeof s[0]) == 0);
    for (int i = 0; i < 3; i++) free(x[i]);
    for (int t = 0; t < 2; t++) free(out[t]);
}

/* Keys in another order: the same numbers. */
static void order_of_keys(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 3);
    float p[MOST * MOST], v[MOST * WIDE];
    double out[2][MOST * WIDE];
    atn_adapter_state s[2][5];
    one_case c;

    make_case(&m, 3, 0, true, &c);
    c.a = of(1.25, .2, 4);
    CHECK_OK(atn_adapter_run(cx, &c.in, &c.a, s[0], out[0], NULL));
    for (atn_idx j = 0; j < c.h.nk; j++) {
        const atn_idx from = (j * 8 + 5) % c.h.nk; /* 21 keys */

        for (atn_idx i = 0; i < c.h.nq; i++)
            p[i * c.h.nk + j] = c.h.p.data[i * c.h.nk + from];
        memcpy(v + j * 5, c.h.v.data + from * 5, 5 * sizeof *v);
    }
    c.h.p.data = p;
    c.h.v.data = v;
    CHECK_OK(atn_adapter_run(cx, &c.in, &c.a, s[1], out[1], NULL));
    for (atn_idx i = 0; i < c.h.nq * 5; i++) CHECK_NEAR(out[0][i], out[1][i], 1e-10);
    CHECK_NEAR(s[0][4].energy, s[1][4].energy, 1e-9);
    CHECK_NEAR(s[0][4].entropy, s[1][4].entropy, 1e-10);
    layer_drop(&m);
}

/* A row that sees only itself: at p < 2 it keeps nearly all of itself; dropped, it has no
 * mass and stays as it was. */
static void own_key(atn_ctx *cx)
{
    const float p[] = {1, 0, .25f, .75f}, v[] = {2, -1};
    const atn_head h = two_tokens(p, v);
    const atn_adapter_input in = {.head = &h, .own = true};
    atn_adapter_params a = of(1, .2, 1);
    atn_adapter_state s[2];
    double out[2];

    CHECK_OK(atn_adapter_run(cx, &in, &a, s, out, NULL));
    CHECK_NEAR(out[0], 2, 1e-7);
    CHECK_NEAR(s[1].self_share, 1, 1e-7);
    CHECK_NEAR(s[0].self_share, .875, 1e-7);
    a.self = ATN_SELF_DROP;
    CHECK_OK(atn_adapter_run(cx, &in, &a, s, out, NULL));
    CHECK_EQ(s[1].rows, 2);
    CHECK_EQ(s[1].empty, 1);
    CHECK_NEAR(out[0], 2, 0);
    CHECK_NEAR(s[1].self_share, 0, 0);
    /* row 1: M = .25 / (sqrt(.25) 3) = 1/6, a = 1 / (1/6 + .4), mass 1 / (1 + 2.4) */
    CHECK_NEAR(s[1].mass, .5 / 3.4, 1e-7);
    CHECK_NEAR(s[1].beta, (1 + 2.4 / 3.4) / 2, 1e-7);
    CHECK_NEAR(s[1].entropy, 0, 1e-12);
    CHECK_NEAR(s[1].distance, 3, 1e-12);
}

/* Features equal up to round-off count as equal, unless that is switched off. */
static void snapping(atn_ctx *cx)
{
    const float p[] = {1, 0, .5f, .5f}, v[] = {1, 1.0000005f};
    const atn_head h = two_tokens(p, v);
    const atn_adapter_input in = {.head = &h, .own = true};
    atn_adapter_params a = of(1, .2, 1);
    atn_adapter_state s[2];

    CHECK_OK(atn_adapter_run(cx, &in, &a, s, NULL, NULL));
    CHECK_NEAR(s[0].energy, 0, 0);
    CHECK_NEAR(s[1].self_share, .75, 1e-6); /* both keys pull alike */
    a.snap = 0;
    CHECK_OK(atn_adapter_run(cx, &in, &a, s, NULL, NULL));
    CHECK_NEAR(s[0].energy, sqrt(.5) * 4.768e-7, 1e-9);
    CHECK(s[1].self_share > .98);
}

/* ---- failure ---- */

static void refuses(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 3);
    atn_adapter_params bad[6];
    const char *const word[] = {
        "p =", "mu =", "eps =", "snap =", "damping =", "iterations"};
    atn_adapter_state s[2];
    one_case c;

    for (int t = 0; t < 6; t++) bad[t] = of(1.5, .2, 1);
    bad[0].p = .9;
    bad[1].mu = INFINITY;
    bad[2].eps = -1;
    bad[3].snap = .01;
    bad[4].damping = NAN;
    bad[5].iterations = 0;
    make_case(&m, 3, 0, false, &c);
    for (int t = 0; t < 6; t++) {
        CHECK_EQ(atn_adapter_run(cx, &c.in, &bad[t], s, NULL, NULL), ATN_USAGE);
        CHECK(strstr(cx->err.text, word[t]));
        atn_err_clear(cx);
    }
    c.a = of(1.5, .2, 1);
    c.a.nodes = true; /* cross-attention has no nodes of one kind */
    CHECK_EQ(atn_adapter_run(cx, &c.in, &c.a, s, NULL, NULL), ATN_USAGE);
    CHECK(strstr(cx->err.text, "same tokens"));
    c.a.nodes = false;
    c.in.q.data = NULL;
    CHECK_EQ(atn_adapter_run(cx, &c.in, &c.a, s, NULL, NULL), ATN_USAGE);
    CHECK(strstr(cx->err.text, "features of the queries"));
    c.h.v.data = NULL;
    CHECK_EQ(atn_adapter_run(cx, &c.in, &c.a, s, NULL, NULL), ATN_DATA);
    CHECK(strstr(cx->err.text, "values (v)"));
    layer_drop(&m);
    atn_err_clear(cx);
}

static void memory(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    atn_adapter_state s[3];
    double out[MOST * WIDE];
    bool through = false;
    one_case c;

    make_case(&m, 0, 0, false, &c);
    c.a = of(1.5, .2, 2);
    cx->mem_limit = 1000;
    CHECK_EQ(atn_adapter_run(cx, &c.in, &c.a, s, out, NULL), ATN_MEMORY);
    cx->mem_limit = 0;
    atn_err_clear(cx);
    for (long k = 0; !through; k++) {
        check_failing failing = {k};
        atn_ctx small;
        atn_status st;

        atn_ctx_init(&small);
        small.threads = 1;
        small.alloc = (atn_allocator){check_failing_resize, &failing};
        st = atn_adapter_run(&small, &c.in, &c.a, s, out, NULL);
        through = st == ATN_OK;
        if (!through) CHECK_EQ(st, ATN_MEMORY);
        atn_ctx_release(&small);
        CHECK(k < 1000);
    }
    layer_drop(&m);
}

CHECK_MAIN({"golden row", golden_row}, {"scale of features", scale_of_features},
           {"twin", twin}, {"ones stay", ones_stay},
           {"plain attention", plain_attention},
           {"energy never increases", energy_never_increases},
           {"stops on increase", stops_on_increase},
           {"rounding is no rise", rounding_is_no_rise}, {"threads", threads},
           {"order of keys", order_of_keys}, {"own key", own_key},
           {"snapping", snapping}, {"refuses", refuses}, {"memory", memory})
