/* graph/homophily.c -- homophily from the sums of an edge walk, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/homophily.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

static const double LEFT_LEAST = 1e-12; /* of 1 - e, below which e is 1 */

static double part(double a, double b)
{
    return b > 0 ? a / b : (double)NAN;
}

static double above(double h, double e)
{
    return 1 - e > LEFT_LEAST ? (h - e) / (1 - e) : (double)NAN;
}

static bool counts(const atn_head *h, const atn_edge_want *want, atn_idx i)
{
    return atn_sight_query(&h->sight, i) >= want->skip_rows;
}

/* ---- labels ---- */

/* Sums by class, and of all. */
typedef struct classes {
    double *out, *in, *same; /* [C] D, E, mass within */
    double *size;            /* [C] keys */
    double labelled, mass, within;
} classes;

static atn_status take_classes(atn_ctx *cx, atn_idx n, classes *c)
{
    atn_status st = ATN_OK;
    double *x = NULL;

    ATN_TAKE(x, 4 * n);
    memset(x, 0, (size_t)(4 * n) * sizeof *x);
    *c = (classes){x, x + n, x + 2 * n, x + 3 * n, 0, 0, 0};
done:
    return st;
}

/* The self edge of a row, 0 where it does not count. */
static double own_edge(const atn_head *h, const atn_labels *l,
                       const atn_edge_want *want, const atn_edge_sums *s, atn_idx i)
{
    const atn_idx own = atn_edge_own(h, want->self, i);
    const bool in = own >= 0 && l->query[i] >= 0 && l->key[own] >= 0;

    return in && counts(h, want, i) ? s->self[i] : 0;
}

static void add_classes(const atn_head *h, const atn_labels *l,
                        const atn_edge_want *want, const atn_edge_sums *s,
                        bool with_self, classes *c)
{
    for (atn_idx j = 0; j < h->nk; j++) {
        if (l->key[j] < 0) continue;
        c->size[l->key[j]]++;
        c->in[l->key[j]] += s->key_counted[j];
        c->labelled++;
    }
    for (atn_idx i = 0; i < h->nq; i++) {
        const double own = with_self ? own_edge(h, l, want, s, i) : 0;
        const int32_t y = l->query[i];

        if (y < 0) continue;
        c->out[y] += s->counted[i] + own;
        c->same[y] += s->same[i] + own;
        if (own > 0) c->in[y] += own;
    }
    for (atn_idx k = 0; k < l->classes; k++) {
        c->mass += c->out[k];
        c->within += c->same[k];
    }
}

/* Means over rows, and over rows and keys. */
static atn_status nodes(atn_ctx *cx, const atn_head *h, const atn_labels *l,
                        const atn_edge_want *want, const atn_edge_sums *s,
                        bool with_self, atn_homophily *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double rows = 0, keys = 0, sum = 0, key_sum = 0, *own_of = NULL;

    ATN_TAKE(own_of, h->nk);
    memset(own_of, 0, (size_t)h->nk * sizeof *own_of);
    for (atn_idx i = 0; i < h->nq; i++) {
        const double own = with_self ? own_edge(h, l, want, s, i) : 0;

        if (own > 0) own_of[atn_edge_own(h, true, i)] += own;
        if (!(s->counted[i] + own > 0)) continue;
        sum += (s->same[i] + own) / (s->counted[i] + own);
        rows++;
    }
    for (atn_idx j = 0; j < h->nk; j++) {
        const double mass = s->key_counted[j] + own_of[j];

        if (l->key[j] < 0 || !(mass > 0)) continue;
        key_sum += (s->key_same[j] + own_of[j]) / mass;
        keys++;
    }
    out->node = part(sum, rows);
    out->bipartite_node = part(sum + key_sum, rows + keys);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Labels of the keys [lo, hi). */
typedef struct window {
    const atn_labels *l;
    double *count; /* [C] */
    double labelled;
    atn_idx lo, hi;
} window;

static void slide(window *w, atn_idx j, double by)
{
    const int32_t y = w->l->key[j];

    if (y < 0) return;
    w->count[y] += by;
    w->labelled += by;
}

/* Rows usually see more and later keys than those before; else the window begins
 * anew. */
static void move(window *w, atn_idx lo, atn_idx hi)
{
    if (lo < w->lo || hi < w->hi || lo >= w->hi) {
        while (w->lo < w->hi) slide(w, w->lo++, -1);
        w->lo = w->hi = lo;
    }
    while (w->hi < hi) slide(w, w->hi++, 1);
    while (w->lo < lo) slide(w, w->lo++, -1);
}

static atn_status null_edge(atn_ctx *cx, const atn_head *h, const atn_labels *l,
                            const atn_edge_want *want, const atn_edge_sums *s,
                            bool with_self, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    window w = {.l = l};
    double same = 0, counted = 0;

    ATN_TAKE(w.count, l->classes);
    memset(w.count, 0, (size_t)l->classes * sizeof *w.count);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx own = atn_edge_own(h, want->self, i);
        const int32_t y = l->query[i];
        atn_idx lo, hi;
        bool less, labelled;
        double n;

        if (y < 0 || !counts(h, want, i) || !atn_edge_row(s, i)) continue;
        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo == hi) continue;
        move(&w, lo, hi);
        less = !with_self && own >= lo && own < hi;
        labelled = less && l->key[own] >= 0;
        n = (double)(hi - lo) - less;
        if (!(n > 0)) continue;
        same += (w.count[y] - labelled) / n;
        counted += (w.labelled - labelled) / n;
    }
    *out = part(same, counted);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double insensitive(const classes *c, atn_idx n)
{
    double sum = 0;

    if (n < 2) return NAN;
    for (atn_idx k = 0; k < n; k++) {
        const double share = c->out[k] > 0 ? c->same[k] / c->out[k] : 0;
        sum += fmax(share - c->size[k] / c->labelled, 0);
    }
    return sum / (double)(n - 1);
}

atn_status atn_homophily_of(atn_ctx *cx, const atn_head *h, const atn_labels *l,
                            const atn_edge_want *want, const atn_edge_sums *s,
                            bool with_self, atn_homophily *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double margin = 0, both = 0;
    classes c = {0};

    *out = (atn_homophily){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (l->classes == 0) return ATN_OK;
    ATN_TRY(take_classes(cx, l->classes, &c));
    add_classes(h, l, want, s, with_self, &c);
    if (!(c.mass > 0)) goto done;
    for (atn_idx k = 0; k < l->classes; k++) {
        margin += c.out[k] / c.mass * (c.in[k] / c.mass);
        both +=
            (c.out[k] + c.in[k]) / (2 * c.mass) * ((c.out[k] + c.in[k]) / (2 * c.mass));
    }
    out->edge = c.within / c.mass;
    out->margin = margin;
    out->adjusted = above(out->edge, margin);
    out->bipartite_adjusted = above(out->edge, both);
    out->insensitive = insensitive(&c, l->classes);
    ATN_TRY(nodes(cx, h, l, want, s, with_self, out));
    ATN_TRY(null_edge(cx, h, l, want, s, with_self, &out->null));
    out->adjusted_causal = above(out->edge, out->null);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_class_matrix(const atn_head *h, const atn_labels *l, const atn_edge_want *want,
                      const atn_edge_sums *s, bool with_self, double *matrix)
{
    const atn_idx n = l->classes;

    memcpy(matrix, s->pairs, (size_t)(n * n) * sizeof *matrix);
    for (atn_idx i = 0; i < h->nq && with_self; i++) {
        const double own = own_edge(h, l, want, s, i);

        if (own > 0) matrix[l->query[i] * n + l->key[atn_edge_own(h, true, i)]] += own;
    }
    for (atn_idx k = 0; k < n; k++) {
        double sum = 0;

        for (atn_idx m = 0; m < n; m++) sum += matrix[k * n + m];
        for (atn_idx m = 0; m < n && sum > 0; m++) matrix[k * n + m] /= sum;
    }
}

/* ---- features ---- */

double atn_homophily_bytes(const atn_head *h, atn_idx d)
{
    return (double)h->nk * (8 * (double)d + 12) + 8 * (double)d;
}

atn_status atn_features_make(atn_ctx *cx, const atn_head *h, atn_cmat x, bool centred,
                             atn_features *f)
{
    const atn_idx first = ATN_MIN(h->sight.key_first, x.rows);
    const atn_idx last = ATN_MAX(first, ATN_MIN(h->sight.key_last, x.rows));
    atn_status st = ATN_OK;

    *f = (atn_features){.n = x.rows, .d = x.cols, .centred = centred};
    ATN_ASSERT(x.rows == h->nk);
    ATN_TAKE(f->mean, f->d);
    ATN_TAKE(f->factor, f->n * 2 * f->d);
    ATN_TAKE(f->square, f->n);
    ATN_TAKE(f->norm, f->n);
    atn_mat_mean((atn_cmat){x.data + first * x.ld, last - first, x.cols, x.ld},
                 f->mean);
    for (atn_idx i = 0; i < f->n; i++) {
        const float *from = atn_crow(x, i);
        float *to = f->factor + i * 2 * f->d;
        double less, norm;

        atn_mat_centre(x, f->mean, i, 1, to);
        less = atn_row_square(to, f->d);
        f->square[i] = (float)less;
        f->norm[i] = atn_row_square(from, f->d);
        norm = sqrt(centred ? less : f->norm[i]);
        for (atn_idx c = 0; c < f->d; c++)
            to[f->d + c] =
                norm > 0 ? (float)((double)(centred ? to[c] : from[c]) / norm) : 0.0f;
    }
done:
    return st;
}

/* What one row adds. */
typedef struct feature_sums {
    double rows, cosine, output, dirichlet, norm, energy, gap, gap_cosine;
    double off_rows, off_cosine;
} feature_sums;

/* O_i = P x of a row against x_i and the unit vectors, cosines of P (x - mean) where
 * they are centred; whole is the row's mass. */
static void add_output(const atn_features *f, const float *pf, atn_idx own, double self,
                       double whole, feature_sums *sum)
{
    const float *x = own >= 0 ? f->factor + own * 2 * f->d : NULL, *u = x + f->d;
    double square = 0, dot = 0, own_dot = 0, distance = 0, length;

    for (atn_idx c = 0; c < f->d; c++) {
        const double less = (double)pf[c] + (x ? self * (double)x[c] : 0);
        const double o = less + whole * f->mean[c], turned = f->centred ? less : o;
        const double pu = (double)pf[f->d + c] + (x ? self * (double)u[c] : 0);

        square += turned * turned;
        dot += turned * pu;
        if (!x) continue;
        own_dot += turned * (double)u[c];
        distance +=
            (o - ((double)x[c] + f->mean[c])) * (o - ((double)x[c] + f->mean[c]));
    }
    length = sqrt(square);
    if (length > 0) sum->output += dot / length / whole;
    sum->gap += sqrt(distance);
    sum->gap_cosine += 1 - (length > 0 ? own_dot / length : 0);
}

/* x_i of the row's own token against those it looks at. */
static void add_own(const atn_features *f, const float *pf, atn_idx own,
                    const atn_edge_sums *s, atn_idx i, feature_sums *sum)
{
    const float *x = f->factor + own * 2 * f->d, *u = x + f->d;
    const double cosine = atn_row_dot(u, pf + f->d, f->d);
    const double unit = atn_row_square(u, f->d);

    sum->cosine += (cosine + s->self[i] * unit) / (s->mass[i] + s->self[i]);
    if (s->mass[i] > 0) {
        sum->off_cosine += cosine / s->mass[i];
        sum->off_rows++;
    }
    sum->dirichlet += fmax(s->mass[i] * (double)f->square[own] + s->dot[i] -
                               2 * atn_row_dot(x, pf, f->d),
                           0);
    sum->norm += f->norm[own];
    if (s->energy) sum->energy += s->energy[i];
}

/* Sums of unit vectors over the keys [lo, hi). */
typedef struct unit_window {
    const atn_features *f;
    double *sum; /* [d] */
    atn_idx lo, hi;
} unit_window;

static void slide_unit(unit_window *w, atn_idx j, double by)
{
    atn_row_add(w->f->factor + j * 2 * w->f->d + w->f->d, w->f->d, by, w->sum);
}

static void move_unit(unit_window *w, atn_idx lo, atn_idx hi)
{
    if (lo < w->lo || hi < w->hi || lo >= w->hi) {
        memset(w->sum, 0, (size_t)w->f->d * sizeof *w->sum);
        w->lo = w->hi = lo;
    }
    while (w->hi < hi) slide_unit(w, w->hi++, 1);
    while (w->lo < lo) slide_unit(w, w->lo++, -1);
}

static atn_status null_cosine(atn_ctx *cx, const atn_head *h, const atn_features *f,
                              const atn_edge_want *want, const atn_edge_sums *s,
                              atn_feature_homophily *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    unit_window w = {.f = f};
    double sum = 0, rows = 0, off = 0, off_rows = 0;

    ATN_TAKE(w.sum, f->d);
    memset(w.sum, 0, (size_t)f->d * sizeof *w.sum);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx own = atn_edge_own(h, want->self, i);
        const float *u = own >= 0 ? f->factor + own * 2 * f->d + f->d : NULL;
        double cosine = 0, unit = 0, n;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        if (!u || lo == hi || !counts(h, want, i)) continue;
        if (!atn_edge_row(s, i)) continue;
        move_unit(&w, lo, hi);
        for (atn_idx c = 0; c < f->d; c++) {
            cosine += (double)u[c] * w.sum[c];
            unit += (double)u[c] * (double)u[c];
        }
        n = (double)(hi - lo);
        sum += cosine / n;
        rows++;
        if (own < lo || own >= hi)
            unit = 0;
        else
            n--;
        if (!(n > 0)) continue;
        off += (cosine - unit) / n;
        off_rows++;
    }
    out->null = part(sum, rows);
    out->null_nodiag = part(off, off_rows);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_feature_homophily_of(atn_ctx *cx, const atn_head *h,
                                    const atn_features *f, const atn_edge_want *want,
                                    const atn_edge_sums *s, atn_feature_homophily *out)
{
    atn_status st = ATN_OK;
    feature_sums sum = {0};

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx own = atn_edge_own(h, want->self, i);
        const double whole = s->mass[i] + s->self[i];
        const float *pf = s->pf + i * 2 * f->d;

        if (!counts(h, want, i) || !atn_edge_row(s, i)) continue;
        sum.rows++;
        add_output(f, pf, own, s->self[i], whole, &sum);
        if (own >= 0) add_own(f, pf, own, s, i, &sum);
    }
    *out = (atn_feature_homophily){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    out->cosine_output = part(sum.output, sum.rows);
    if (!want->self) goto done;
    out->cosine = part(sum.cosine, sum.rows);
    out->cosine_nodiag = part(sum.off_cosine, sum.off_rows);
    out->dirichlet = sum.rows > 0 ? sum.dirichlet : (double)NAN;
    out->normalised = part(sum.dirichlet, 2 * sum.norm);
    if (s->energy && sum.rows > 0) out->energy = sum.energy;
    out->gap = part(sum.gap, sum.rows);
    out->gap_cosine = part(sum.gap_cosine, sum.rows);
    ATN_TRY(null_cosine(cx, h, f, want, s, out));
done:
    return st;
}
