/* analysis/experiments/collapse.c -- how fast the attention of a model, on its own,
 * makes all tokens alike, and how much a skip path slows that.
 *
 * Math    theory/collapse.c. Of every head tau(P), against the values, against its
 *         other form and against the sink. Then over the layers, with P_l the mean of
 *         the selected heads of layer l: the product P_l .. P_1, whose columns began as
 *         those of the identity, and the input of the first layer X where the capture
 *         has it;
 *             pure   X <- P_l X
 *             skip   X <- (X + P_l X) / 2, of the identity where there is no input
 *         and the captured inputs of later layers, which have passed skips and MLPs.
 * Cost    n^3 / 2 additions a head and 2 n^3 flop a layer. Memory 5 n^2 doubles.
 * Limits  layers of one stack and step whose queries are their keys; the first tokens
 *         only. Of the doubly exponential bound beta and gamma are not known: the residual is
 *         measured, nothing is predicted.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_collapse;

enum { ROWS = 8, LAYERS_MOST = 256 };

/* ---- tau ---- */

typedef struct pairs {
    const double *p; /* [n, nk] */
    atn_idx n, nk;
    double *apart, *overlap; /* [tasks] largest |P_i - P_l|_1 / 2, least overlap */
} pairs;

static atn_status walk_pairs(atn_ctx *cx, atn_idx task, void *state)
{
    const pairs *a = state;
    double most = 0, least = 1;

    (void)cx;
    for (atn_idx i = task * ROWS; i < ATN_MIN((task + 1) * ROWS, a->n); i++)
        for (atn_idx l = i + 1; l < a->n; l++) {
            const double *x = a->p + i * a->nk, *y = a->p + l * a->nk;
            double off = 0, both = 0;

            for (atn_idx j = 0; j < a->nk; j++) {
                off += fabs(x[j] - y[j]);
                both += fmin(x[j], y[j]);
            }
            most = fmax(most, off / 2);
            least = fmin(least, both);
        }
    a->apart[task] = most;
    a->overlap[task] = least;
    return ATN_OK;
}

/* tau of the rows of p, and the least overlap of two. */
static atn_status find_tau(atn_ctx *cx, const double *p, atn_idx n, atn_idx nk,
                           double *tau, double *overlap)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx tasks = (n + ROWS - 1) / ROWS;
    pairs a = {p, n, nk, NULL, NULL};
    atn_status st = ATN_OK;

    *tau = 0;
    *overlap = 1;
    ATN_TAKE(a.apart, tasks);
    ATN_TAKE(a.overlap, tasks);
    ATN_TRY(atn_parallel(cx, tasks, walk_pairs, &a, "pairs of rows"));
    for (atn_idx t = 0; t < tasks; t++) {
        *tau = fmax(*tau, a.apart[t]);
        *overlap = fmin(*overlap, a.overlap[t]);
    }
    *tau = fmin(*tau, 1);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Largest difference in column c of x [n, cols]. */
static double spread_of(const double *x, atn_idx n, atn_idx cols, atn_idx c)
{
    double lo = INFINITY, hi = -INFINITY;

    for (atn_idx i = 0; i < n; i++) {
        lo = fmin(lo, x[i * cols + c]);
        hi = fmax(hi, x[i * cols + c]);
    }
    return n > 0 ? hi - lo : 0;
}

/* ---- one head ---- */

typedef struct place {
    int at, head;
} place;

static atn_status add(atn_ctx *cx, atn_checks *out, atn_check c, place where)
{
    c.at = where.at;
    c.head = where.head;
    return atn_checks_add(cx, out, &c);
}

static bool all_see(const atn_head_facts *f)
{
    for (atn_idx i = 0; i < f->nq; i++)
        if (isnan(f->lse[i])) return false;
    return f->nq > 0;
}

static atn_status check_values(atn_ctx *cx, const atn_head_facts *f, double tau,
                               place where, atn_checks *out)
{
    const atn_bound *b = atn_bound_find("dobrushin");
    atn_worst worst = {0};

    for (atn_idx c = 0; c < f->dv; c++) {
        const atn_quantities q = {.x = {tau, spread_of(f->v, f->nk, f->dv, c)}};

        atn_worst_take(&worst, ATN_AT_MOST, atn_bound_predict(b, &q),
                       spread_of(f->o, f->nq, f->dv, c), q.x[1]);
    }
    return f->o ? add(cx, out, atn_worst_check(&worst, b, "values"), where) : ATN_OK;
}

static atn_status check_head(atn_ctx *cx, const atn_head_facts *f, place where,
                             atn_checks *out)
{
    const atn_bound *two = atn_bound_find("dobrushin_overlap");
    const atn_bound *sink = atn_bound_find("dobrushin_sink");
    atn_quantities of_sink = {.x = {1, 0}};
    atn_status st = ATN_OK;
    double tau, overlap;

    if (!all_see(f)) goto done;
    ATN_TRY(find_tau(cx, f->p, f->nq, f->nk, &tau, &overlap));
    for (atn_idx i = 0; i < f->nq; i++)
        of_sink.x[0] = fmin(of_sink.x[0], f->p[i * f->nk]);
    of_sink.x[1] = f->p[0];
    ATN_TRY(check_values(cx, f, tau, where, out));
    ATN_TRY(add(cx, out,
                (atn_check){.bound = two,
                            .predicted = atn_bound_predict(
                                two, &(atn_quantities){.x = {fmin(overlap, 1)}}),
                            .measured = tau,
                            .scale = 1},
                where));
    ATN_TRY(add(cx, out,
                (atn_check){.bound = sink,
                            .predicted = atn_bound_predict(sink, &of_sink),
                            .measured = tau,
                            .scale = 1},
                where));
done:
    return st;
}

/* ---- the walk over layers ---- */

/* A path: n rows of `width`, and where it began. */
typedef struct path {
    const char *name;
    double *x, *next; /* [n, width] */
    atn_idx width;
    double osc, residual; /* at the start */
    bool skips;
} path;

enum { PRODUCT, PURE, SKIP, PATHS };

typedef struct walk {
    const atn_trial_model *t;
    atn_idx n;    /* tokens */
    double *mean; /* [n, n] of the heads of a layer */
    double tau[LAYERS_MOST];
    int depth; /* layers so far */
    path path[PATHS];
    atn_checks *out;
} walk;

static double largest_spread(const double *x, atn_idx n, atn_idx cols)
{
    double most = 0;

    for (atn_idx c = 0; c < cols; c++) most = fmax(most, spread_of(x, n, cols, c));
    return most;
}

/* sqrt of the largest column sum times the largest row sum, of |x - centre|. */
static double composite(const double *x, const double *centre, atn_idx n, atn_idx cols)
{
    double of_rows = 0, of_cols = 0;

    for (atn_idx i = 0; i < n; i++) {
        double sum = 0;

        for (atn_idx c = 0; c < cols; c++) sum += fabs(x[i * cols + c] - centre[c]);
        of_rows = fmax(of_rows, sum);
    }
    for (atn_idx c = 0; c < cols; c++) {
        double sum = 0;

        for (atn_idx i = 0; i < n; i++) sum += fabs(x[i * cols + c] - centre[c]);
        of_cols = fmax(of_cols, sum);
    }
    return sqrt(of_rows * of_cols);
}

/* |x - 1 mean| / |x| in that norm. */
static atn_status residual_of(atn_ctx *cx, const double *x, atn_idx n, atn_idx cols,
                              double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *mean = NULL, size, left;

    ATN_TAKE(mean, cols + 1);
    memset(mean, 0, (size_t)cols * sizeof *mean);
    size = composite(x, mean, n, cols);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < cols; c++) mean[c] += x[i * cols + c] / (double)n;
    left = composite(x, mean, n, cols);
    *out = size > 0 ? left / size : 0;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The input of layer `at`, its first n rows, in heap memory; NULL = not captured. */
static atn_status read_hidden(atn_ctx *cx, const walk *w, int at, double **out,
                              atn_idx *width)
{
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    float *h = NULL;
    int rank = 0;

    *out = NULL;
    ATN_TRY(atn_capture_tensor(cx, w->t->capture, at, "h", &h, &rank, shape));
    if (!h || rank != 2 || shape[0] < w->n || shape[1] < 1) goto done;
    if (!atn_all_finite(h, ATN_F32, w->n * shape[1])) goto done;
    ATN_NEW(*out, w->n * shape[1]);
    for (atn_idx e = 0; e < w->n * shape[1]; e++) (*out)[e] = (double)h[e];
    *width = shape[1];
done:
    atn_free(cx, h);
    return st;
}

static atn_status begin_path(atn_ctx *cx, const walk *w, path *p)
{
    atn_status st = ATN_OK;

    if (!p->x) return ATN_OK;
    ATN_NEW(p->next, w->n * p->width);
    p->osc = largest_spread(p->x, w->n, p->width);
    ATN_TRY(residual_of(cx, p->x, w->n, p->width, &p->residual));
done:
    return st;
}

static atn_status begin_identity(atn_ctx *cx, const walk *w, double **out)
{
    atn_status st = ATN_OK;

    ATN_NEW(*out, w->n * w->n);
    for (atn_idx i = 0; i < w->n; i++) (*out)[i * w->n + i] = 1;
done:
    return st;
}

static atn_status begin_walk(atn_ctx *cx, walk *w, int at)
{
    const double n = (double)w->n;
    path *p = w->path;
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, 8 * 5 * n * n, "collapse: products of layers"));
    p[PRODUCT] = (path){.name = "product", .width = w->n};
    p[PURE] = (path){.name = "pure path"};
    p[SKIP] = (path){.name = "skip path", .width = w->n, .skips = true};
    ATN_NEW(w->mean, w->n * w->n);
    ATN_TRY(begin_identity(cx, w, &p[PRODUCT].x));
    ATN_TRY(read_hidden(cx, w, at, &p[PURE].x, &p[PURE].width));
    if (p[PURE].x)
        ATN_TRY(read_hidden(cx, w, at, &p[SKIP].x, &p[SKIP].width));
    else
        ATN_TRY(begin_identity(cx, w, &p[SKIP].x));
    for (int k = 0; k < PATHS; k++) ATN_TRY(begin_path(cx, w, &p[k]));
done:
    return st;
}

static void end_walk(atn_ctx *cx, walk *w)
{
    atn_free(cx, w->mean);
    for (int k = 0; k < PATHS; k++) {
        atn_free(cx, w->path[k].x);
        atn_free(cx, w->path[k].next);
    }
}

/* Rows of a product, some a task. */
typedef struct stepping {
    const walk *w;
    path *p;
} stepping;

static atn_status step_rows(atn_ctx *cx, atn_idx task, void *state)
{
    enum { STEP_ROWS = 64 };
    const stepping *s = state;
    const path *p = s->p;
    const atn_idx n = s->w->n, first = task * STEP_ROWS;
    const atn_idx rows = ATN_MIN(STEP_ROWS, n - first);

    (void)cx;
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){s->w->mean + first * n, rows, n, n},
                  (atn_cwide){p->x, n, p->width, p->width}, 0,
                  (atn_wide){p->next + first * p->width, rows, p->width, p->width});
    for (atn_idx e = first * p->width; p->skips && e < (first + rows) * p->width; e++)
        p->next[e] = (p->next[e] + p->x[e]) / 2;
    return ATN_OK;
}

static atn_status step_path(atn_ctx *cx, const walk *w, path *p)
{
    stepping s = {w, p};
    atn_status st = ATN_OK;
    double *last = p->x;

    ATN_TRY(atn_parallel(cx, (w->n + 63) / 64, step_rows, &s, "layers"));
    p->x = p->next;
    p->next = last;
done:
    return st;
}

/* ---- what is said of a layer ---- */

static atn_status report_residual(atn_ctx *cx, const walk *w, const char *name,
                                  double before, double after, place where)
{
    /* gamma and beta are not known of a capture: nothing is predicted */
    atn_check c = {.bound = atn_bound_find("rank_collapse"),
                   .predicted = NAN,
                   .measured = after,
                   .only_report = true};

    snprintf(c.variant, sizeof c.variant, "%s, %d layers", name, w->depth);
    snprintf(c.note, sizeof c.note,
             "measured: |res(X)| / |X|, %.3g before; ln / ln %.3g", before,
             log(after) / log(before));
    return add(cx, w->out, c, where);
}

static atn_status check_path(atn_ctx *cx, const walk *w, const path *p, place where)
{
    const atn_bound *b = atn_bound_find("dobrushin_product");
    const atn_quantities q = {
        .x = {0, p->osc}, .list = {w->tau}, .n = {(size_t)w->depth}};
    atn_check c = {.bound = b,
                   .predicted = atn_bound_predict(b, &q),
                   .measured = largest_spread(p->x, w->n, p->width),
                   .scale = p->osc};
    atn_status st = ATN_OK;
    double left;

    snprintf(c.variant, sizeof c.variant, "%s, %d layers", p->name, w->depth);
    /* with a skip the layer is (I + P) / 2: tau at most (1 + tau) / 2 */
    if (!p->skips) ATN_TRY(add(cx, w->out, c, where));
    ATN_TRY(residual_of(cx, p->x, w->n, p->width, &left));
    ATN_TRY(report_residual(cx, w, p->name, p->residual, left, where));
done:
    return st;
}

/* What the next layer really read, past skips and MLP. */
static atn_status report_captured(atn_ctx *cx, const walk *w, int next, place where)
{
    atn_status st = ATN_OK;
    double *x = NULL, left;
    atn_idx width = 0;

    if (next < 0 || !w->path[PURE].x) goto done;
    ATN_TRY(read_hidden(cx, w, next, &x, &width));
    if (!x) goto done;
    ATN_TRY(residual_of(cx, x, w->n, width, &left));
    ATN_TRY(report_residual(cx, w, "as captured", w->path[PURE].residual, left, where));
done:
    atn_free(cx, x);
    return st;
}

static bool belongs(const walk *w, const atn_layer_info *first, const atn_layer_info *l)
{
    return strcmp(first->stack, l->stack) == 0 && first->step == l->step &&
           l->nq == l->nk && l->nq == first->nq && w->depth < LAYERS_MOST;
}

/* The heads of layer i of the selection: each by itself, and their mean. */
static atn_status walk_heads(atn_ctx *cx, walk *w, int i, bool mean, atn_idx *heads)
{
    const atn_selection *sel = w->t->selection;
    const int at = sel->at[i];
    atn_problem problem = {0};
    atn_status st = ATN_OK;
    atn_head_facts f = {0};

    *heads = 0;
    ATN_TRY(atn_capture_load(cx, w->t->capture, at, &problem));
    for (atn_idx h = 0; h < problem.heads; h++) {
        const atn_head head = atn_problem_head(&problem, h);

        if (!sel->heads[i * sel->max_heads + h]) continue;
        ATN_TRY(atn_head_facts_make(cx, &head, w->t->most, &f));
        ATN_TRY(check_head(cx, &f, (place){at, (int)h}, w->out));
        if (mean && f.nq == w->n && f.nk == w->n && all_see(&f)) {
            ++*heads;
            for (atn_idx e = 0; e < w->n * w->n; e++) w->mean[e] += f.p[e];
        }
        atn_head_facts_release(cx, &f);
    }
done:
    atn_head_facts_release(cx, &f);
    atn_capture_unload(cx, &problem);
    return st;
}

static atn_status walk_layer(atn_ctx *cx, walk *w, int i, bool in_chain)
{
    const atn_selection *sel = w->t->selection;
    const place where = {sel->at[i], -1};
    atn_status st = ATN_OK;
    double overlap;
    atn_idx heads;

    if (in_chain) memset(w->mean, 0, (size_t)(w->n * w->n) * sizeof *w->mean);
    ATN_TRY(walk_heads(cx, w, i, in_chain, &heads));
    if (!in_chain || heads == 0) goto done;
    for (atn_idx e = 0; e < w->n * w->n; e++) w->mean[e] /= (double)heads;
    ATN_TRY(find_tau(cx, w->mean, w->n, w->n, &w->tau[w->depth], &overlap));
    w->depth++;
    for (int k = 0; k < PATHS; k++) {
        if (!w->path[k].x) continue;
        ATN_TRY(step_path(cx, w, &w->path[k]));
        ATN_TRY(check_path(cx, w, &w->path[k], where));
    }
    ATN_TRY(report_captured(cx, w, i + 1 < sel->n ? sel->at[i + 1] : -1, where));
done:
    return st;
}

static atn_status model(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    walk w = {.t = t, .out = out};
    const atn_layer_info *first = atn_capture_layer(t->capture, t->selection->at[0]);
    const bool square = first->nq == first->nk && first->nq > 0;
    atn_status st = ATN_OK;

    w.n = ATN_MIN(first->nq, t->most);
    if (square) ATN_TRY(begin_walk(cx, &w, t->selection->at[0]));
    for (int i = 0; i < t->selection->n; i++) {
        const atn_layer_info *l = atn_capture_layer(t->capture, t->selection->at[i]);

        ATN_TRY(atn_progress(cx, "collapse", i, t->selection->n));
        ATN_TRY(walk_layer(cx, &w, i, square && belongs(&w, first, l)));
    }
done:
    end_walk(cx, &w);
    return st;
}

const atn_experiment atn_experiment_collapse = {
    .id = "collapse",
    .label = "V22",
    .title = "How fast attention alone makes tokens alike",
    .text =
        "contraction of every head, of the product over layers, and what is left of "
        "the differences with and without a skip path. That the two forms of tau are "
        "one is an identity of the mathematics",
    .source = "Dobrushin (1956); Dong et al., arXiv 2103.03404",
    .sides = ATN_BOTH_WAYS,
    .most = 512,
    .model = model,
    .bounds = "dobrushin dobrushin_overlap dobrushin_sink dobrushin_product "
              "rank_collapse",
};
