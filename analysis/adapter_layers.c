/* analysis/adapter_layers.c -- a p-adapter after a captured layer, forward only.
 *
 * Math    with [.]_h for heads side by side:
 *           x = [q_h]_h W_O down' + b   (nq, r)    y = [v_h]_h W_O down' + b   (nk, r)
 *         cut into one piece of r / H a head; piece h of x and y and P of head h go
 *         through the adapter (graph/adapter.h), whose outputs stand side by side in z;
 *         delta = (z * gelu(hidden gate' + b)) up' + b,  gelu(x) = x Phi(x).
 *         It is compared with what the layer's attention gives, A = [O_h]_h W_O.
 * Source  Wu, Zhang et al., AAAI 2024, arXiv 2312.10613 and its code.
 * Cost    a run of the adapter a head and p, and 2 n (H dv r + 2 D r) flop.
 * Limits  queries and values must be of the same width to go through W_O; biases of W_Q
 *         and W_O are where the capture has them: in q, and nowhere.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/adapter_internal.h"
#include "analysis/adapter_weights.h"
#include "analysis/keys.h"
#include "analysis/layer_facts.h"
#include "core/kernels/kernels.h"

typedef struct layer_row {
    double rank, ratio, cosine, gate, self, mass, kl, change;
    bool rotated;
} layer_row;

typedef struct layers {
    adapter_job *j;
    const atn_st *file; /* NULL = random */
    atn_table *table;
    atn_keys keys;
    int first;
    adapter_rows rows; /* of its heads; table NULL = not wanted */
} layers;

/* One layer while it is worked on; float arrays are its own. */
typedef struct one_layer {
    const atn_layer_info *info;
    const bool *keep;
    int at;
    bool refused; /* what is wrong is no matter of bad numbers */
    atn_problem p;
    atn_head *head;        /* [heads] */
    atn_layer_facts facts; /* w_o, hidden, out */
    float *queries;        /* [heads, nq, d] before the rotation; NULL = p.q */
    bool rotated;          /* there is none of these, though the model rotates */
    atn_adapter_weights w;
    const int32_t *labels; /* [nk], NULL = none */
    float *x, *y;          /* (nq, r), (nk, r) */
    float *gate;           /* (nq, r) gelu */
    float *attention;      /* (nq, D) */
} one_layer;

/* ---- what the layer has ---- */

static atn_status lacks(atn_ctx *cx, one_layer *l, const char *what)
{
    l->refused = true;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: the adapter needs %s",
                    atn_layer_name(l->info).text, what);
}

static atn_status load_queries(atn_ctx *cx, const adapter_job *j, one_layer *l)
{
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, j->c, l->at, "q_pre", &l->queries, &rank, shape));
    if (l->queries && (rank != 3 || shape[0] != l->p.heads || shape[1] != l->p.nq ||
                       shape[2] != l->p.d))
        ATN_FAIL(ATN_DATA, "%s: \"q_pre\" is not of the shape of q",
                 atn_layer_name(l->info).text);
    if (!l->queries && !l->p.q)
        ATN_TRY(lacks(cx, l, "queries (q), the capture holds P alone"));
    l->rotated = !l->queries && l->info->rotary != 0;
    if (l->rotated)
        atn_log(cx, ATN_LOG_INFO,
                "%s: no q_pre, the adapter takes the queries after the rotary "
                "embedding",
                atn_layer_name(l->info).text);
done:
    return st;
}

static atn_status load_facts(atn_ctx *cx, const adapter_job *j, one_layer *l)
{
    const atn_layer_wants wants = {.wants =
                                       ATN_WANT_W_O | ATN_WANT_HIDDEN | ATN_WANT_OUT,
                                   .keep = l->keep,
                                   .head = l->head,
                                   .strict = true};
    atn_status st = ATN_OK;

    if (!l->p.v) ATN_TRY(lacks(cx, l, "values (v), the capture has none"));
    ATN_TRY(load_queries(cx, j, l));
    l->refused = l->p.d != l->p.dv;
    if (l->refused)
        ATN_FAIL(ATN_DATA,
                 "%s: queries of %lld and values of %lld numbers cannot both go "
                 "through w_o",
                 atn_layer_name(l->info).text, (long long)l->p.d, (long long)l->p.dv);
    ATN_TRY(atn_layer_facts_load(cx, j->c, l->at, &l->p, &wants, &l->facts));
    if (!l->facts.w_o) ATN_TRY(lacks(cx, l, "w_o, the capture has none"));
    if (!l->facts.hidden)
        ATN_TRY(lacks(cx, l, "the layer's input (h; capture with --save h)"));
    l->refused = l->facts.hidden_width != l->facts.width;
    if (l->refused)
        ATN_FAIL(ATN_DATA, "%s: h has %lld numbers a token, w_o gives %lld",
                 atn_layer_name(l->info).text, (long long)l->facts.hidden_width,
                 (long long)l->facts.width);
done:
    return st;
}

/* r: asked for, of the file, or D / 8; a multiple of the heads. */
static atn_status load_weights(atn_ctx *cx, const layers *s, one_layer *l)
{
    const atn_idx heads = l->p.heads, width = l->facts.width;
    atn_idx rank = s->j->o->rank;
    atn_status st = ATN_OK;

    l->refused = true;
    if (s->file) {
        ATN_TRY(atn_adapter_weights_read(cx, s->file, s->j->o->weights, l->info->layer,
                                         width, rank, &l->w));
        rank = l->w.rank;
    }
    if (rank > width)
        ATN_FAIL(ATN_USAGE,
                 "%s: an adapter of %lld numbers is wider than its layer, which "
                 "has %lld",
                 atn_layer_name(l->info).text, (long long)rank, (long long)width);
    if (rank == 0) rank = ATN_MAX(width / 8 / heads, (atn_idx)1) * heads;
    if (rank % heads != 0)
        ATN_FAIL(ATN_USAGE,
                 "%s: %lld numbers of the adapter cannot be cut into pieces for "
                 "%lld heads (%s)",
                 atn_layer_name(l->info).text, (long long)rank, (long long)heads,
                 s->file ? "take weights of a multiple of the heads"
                         : "give --rank a multiple of the heads");
    if (!s->file)
        ATN_TRY(atn_adapter_weights_draw(cx, s->j->o->seed, l->info->layer, width, rank,
                                         &l->w));
    l->refused = false;
done:
    return st;
}

/* ---- products of whole layers ---- */

static void add_bias(const float *bias, atn_idx rows, atn_idx cols, float *x)
{
    for (atn_idx i = 0; bias && i < rows; i++)
        for (atn_idx e = 0; e < cols; e++) x[i * cols + e] += bias[e];
}

/* y (rows, out) <- x (rows, in) w' + b, w [out, in]. */
static void apply(const float *x, atn_idx rows, atn_idx in, const float *w,
                  const float *bias, atn_idx out, float *y)
{
    atn_gemm(true, 1, (atn_cmat){x, rows, in, in}, (atn_cmat){w, out, in, in}, 0,
             (atn_mat){y, rows, out, out});
    add_bias(bias, rows, out, y);
}

/* y (rows, cols) <- sum over heads of x_h (rows, size) w_h, x_h = x + of[h] rows size
 * (of NULL: h), w_h the rows of head h of w [heads size, cols]. */
static void merge(const one_layer *l, const float *x, bool grouped, atn_idx rows,
                  const float *w, atn_idx cols, float *y)
{
    const atn_idx size = l->p.dv;

    for (atn_idx h = 0; h < l->p.heads; h++) {
        const atn_idx of = grouped ? l->head[h].kv_head : h;

        atn_gemm(false, 1, (atn_cmat){x + of * rows * size, rows, size, size},
                 (atn_cmat){w + h * size * cols, size, cols, cols}, h > 0,
                 (atn_mat){y, rows, cols, cols});
    }
}

static atn_status take_features(atn_ctx *cx, one_layer *l)
{
    const atn_problem *p = &l->p;
    const atn_idx r = l->w.rank, width = l->w.width, in = p->heads * p->dv;
    atn_status st = ATN_OK;
    float *through = NULL; /* [heads dv, r] w_o down' */

    ATN_TRY(atn_mem_check(cx,
                          4 * ((double)in * (double)r +
                               (double)(3 * p->nq + p->nk) * (double)r +
                               2 * (double)p->nq * (double)width),
                          "the features of the adapter"));
    ATN_TAKE(through, in * r);
    ATN_TAKE(l->x, p->nq * r);
    ATN_TAKE(l->y, p->nk * r);
    ATN_TAKE(l->gate, p->nq * r);
    ATN_TAKE(l->attention, p->nq * width);
    apply(l->facts.w_o, in, width, l->w.down, NULL, r, through);
    merge(l, l->queries ? l->queries : p->q, false, p->nq, through, r, l->x);
    merge(l, p->v, true, p->nk, through, r, l->y);
    add_bias(l->w.down_b, p->nq, r, l->x);
    add_bias(l->w.down_b, p->nk, r, l->y);
    apply(l->facts.hidden, p->nq, width, l->w.gate, l->w.gate_b, r, l->gate);
    atn_gelu_erf(l->gate, NULL, p->nq * r, l->gate);
    merge(l, l->facts.out, false, p->nq, l->facts.w_o, width, l->attention);
done:
    return st;
}

/* ---- a p ---- */

/* What head h makes of its piece, into columns of z (nq, r). */
static atn_status one_piece(atn_ctx *cx, const layers *s, const one_layer *l, atn_idx h,
                            double p, float *z, adapter_rows *rows)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx r = l->w.rank, piece = r / l->p.heads, nq = l->p.nq;
    atn_adapter_params a = atn_adapter_opts_params(s->j->o, p);
    const atn_adapter_input in = {.head = &l->head[h],
                                  .own = atn_adapter_layer_own(l->info),
                                  .q = {l->x + h * piece, nq, piece, r},
                                  .v = {l->y + h * piece, l->p.nk, piece, r},
                                  .labels = l->labels,
                                  .skip_rows = s->j->o->skip_rows};
    atn_status st = ATN_OK;
    double *out = NULL;

    a.nodes = false;
    ATN_TAKE(out, nq * piece);
    ATN_TRY(atn_adapter_run(cx, &in, &a, rows->state, out, &rows->done));
    for (atn_idx i = 0; i < nq; i++)
        for (atn_idx e = 0; e < piece; e++)
            z[i * r + h * piece + e] = (float)out[i * piece + e];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool counts(const layers *s, const one_layer *l, atn_idx i)
{
    atn_idx lo, hi;

    atn_sight_row(&l->p.sight, i, &lo, &hi);
    return lo < hi && i >= s->j->o->skip_rows;
}

static void compare(const layers *s, const one_layer *l, const float *delta,
                    layer_row *out)
{
    const atn_idx width = l->w.width;
    double change = 0, plain = 0, cosine = 0, rows = 0;

    for (atn_idx i = 0; i < l->p.nq; i++) {
        const float *d = delta + i * width, *a = l->attention + i * width;
        const double dd = atn_row_square(d, width), aa = atn_row_square(a, width);

        if (!counts(s, l, i)) continue;
        rows++;
        change += dd;
        plain += aa;
        if (dd > 0 && aa > 0) cosine += atn_row_dot(d, a, width) / sqrt(dd * aa);
    }
    out->ratio = plain > 0 ? sqrt(change / plain) : NAN;
    out->cosine = rows > 0 ? cosine / rows : NAN;
}

/* Running means over the heads, of the last iteration. */
static void add_state(const one_layer *l, const atn_adapter_state *last, layer_row *out)
{
    const double heads = (double)l->p.heads;

    out->self += last->self_share / heads;
    out->mass += last->mass / heads;
    out->kl += last->kl / heads;
    out->change += last->change / heads;
}

static atn_status one_p(atn_ctx *cx, layers *s, const one_layer *l, double p,
                        layer_row *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx nq = l->p.nq, r = l->w.rank, width = l->w.width;
    atn_status st = ATN_OK;
    float *z = NULL, *delta = NULL;

    *out = (layer_row){.rank = (double)r, .rotated = l->rotated};
    ATN_TAKE(z, nq * r);
    ATN_TAKE(delta, nq * width);
    for (atn_idx h = 0; h < l->p.heads; h++) {
        const adapter_head head = {l->info, l->head[h], true, l->labels};

        ATN_TRY(one_piece(cx, s, l, h, p, z, &s->rows));
        add_state(l, &s->rows.state[s->rows.done], out);
        if (s->rows.table && l->keep[h])
            ATN_TRY(atn_adapter_rows_emit(cx, s->j, &head, p, true, &s->rows));
    }
    for (atn_idx e = 0; e < nq * r; e++) {
        out->gate += fabs((double)l->gate[e]) / (double)(nq * r);
        z[e] *= l->gate[e];
    }
    apply(z, nq, r, l->w.up, l->w.up_b, width, delta);
    compare(s, l, delta, out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the tables ---- */

static const struct {
    const char *name, *unit, *text;
} columns[] = {
    {"rank", "", "numbers between the down and the up projection"},
    {"delta_ratio", "", "|delta| / |attention output|, over all rows"},
    {"delta_cosine_mean", "",
     "cosine of what the adapter adds to what attention gives"},
    {"gate_mean", "", "mean size of gelu(gate)"},
    {"self_share_mean", "", "weight of a token on itself, mean of the adapter's heads"},
    {"row_mass_mean", "", "weight of a row on its keys, mean of the adapter's heads"},
    {"kl_mean_nats", "nats", "KL of P to the adapter's rows, mean of its heads"},
    {"output_change", "", "|out - P y| / |P y| of its heads, their mean"},
};

static atn_status create(atn_ctx *cx, layers *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "adapter_layers", &s->table));
    ATN_TRY(atn_keys_add(cx, s->j->sel, ATN_KEYS_LAYER, s->table, &s->keys));
    ATN_TRY(atn_table_add_col(cx, s->table, "p", ATN_COL_F64, "",
                              "the p of the p-Laplacian", &s->first));
    for (size_t i = 0; i < ATN_LEN(columns); i++)
        ATN_TRY(atn_table_add_col(cx, s->table, columns[i].name, ATN_COL_F64,
                                  columns[i].unit, columns[i].text, NULL));
    ATN_TRY(atn_table_add_col(cx, s->table, "queries_rotated", ATN_COL_BOOL, "",
                              "queries after the rotary embedding: no q_pre captured",
                              NULL));
done:
    return st;
}

static atn_status emit(atn_ctx *cx, const layers *s, const one_layer *l, double p,
                       const layer_row *row)
{
    const int n = ATN_LEN(columns), first = s->first + 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, s->table));
    ATN_TRY(atn_keys_set(cx, s->table, &s->keys, l->info, 0));
    atn_table_set_f64(s->table, s->first, p);
    if (row) {
        const double x[] = {row->rank, row->ratio, row->cosine, row->gate,
                            row->self, row->mass,  row->kl,     row->change};

        for (int i = 0; i < n; i++)
            if (!isnan(x[i])) atn_table_set_f64(s->table, first + i, x[i]);
        atn_table_set_bool(s->table, first + n, row->rotated);
    }
done:
    return st;
}

/* Rows without values: what is bad shows before the first p. */
static atn_status emit_nothing(atn_ctx *cx, layers *s, const one_layer *l)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < s->j->n_p; i++) {
        for (atn_idx h = 0; h < l->info->heads && s->rows.table; h++) {
            const adapter_head head = {l->info, {.head = (int)h}, true, NULL};

            if (!l->keep[h]) continue;
            ATN_TRY(
                atn_adapter_rows_emit(cx, s->j, &head, s->j->p[i], false, &s->rows));
        }
        ATN_TRY(emit(cx, s, l, s->j->p[i], NULL));
    }
done:
    return st;
}

static atn_status prepare(atn_ctx *cx, const layers *s, one_layer *l)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_capture_load(cx, s->j->c, l->at, &l->p));
    ATN_TAKE(l->head, l->p.heads);
    for (atn_idx h = 0; h < l->p.heads; h++) l->head[h] = atn_problem_head(&l->p, h);
    ATN_TRY(load_facts(cx, s->j, l));
    ATN_TRY(load_weights(cx, s, l));
    ATN_TRY(take_features(cx, l));
    ATN_TRY(atn_adapter_labels(cx, s->j, l->info, &l->labels));
done:
    return st;
}

static atn_status every_p(atn_ctx *cx, layers *s, one_layer *l)
{
    atn_status st = ATN_OK;
    layer_row row;

    for (int i = 0; i < s->j->n_p; i++) {
        ATN_TRY(one_p(cx, s, l, s->j->p[i], &row));
        ATN_TRY(emit(cx, s, l, s->j->p[i], &row));
    }
done:
    return st;
}

static atn_status one_layer_of(atn_ctx *cx, layers *s, int i)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    one_layer l = {.info = atn_capture_layer(s->j->c, s->j->sel->at[i]),
                   .keep = s->j->sel->heads + i * s->j->sel->max_heads,
                   .at = s->j->sel->at[i]};
    atn_status st = prepare(cx, s, &l);

    if (st == ATN_OK)
        st = every_p(cx, s, &l);
    else if (st == ATN_DATA && !l.refused) {
        atn_err_forgive(cx);
        s->j->failed += atn_selection_heads(s->j->sel, i);
        st = emit_nothing(cx, s, &l);
    }
    atn_adapter_weights_release(cx, &l.w);
    atn_layer_facts_release(cx, &l.facts);
    atn_free(cx, l.queries);
    atn_capture_unload(cx, &l.p);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_adapter_layer_table(atn_ctx *cx, const atn_capture *c,
                                   const atn_selection *sel, const atn_adapter_opts *o,
                                   atn_table **layers_out, atn_table **heads_out,
                                   atn_idx *failed)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_st *file = NULL;
    adapter_job j;
    layers s = {.j = &j};

    ATN_TRY(atn_adapter_job_init(cx, c, sel, o, &j));
    if (o->weights) ATN_TRY(atn_st_open(cx, o->weights, &file));
    s.file = file;
    ATN_TRY(create(cx, &s));
    if (heads_out)
        ATN_TRY(atn_adapter_rows_create(cx, &j, "adapter_heads", &s.rows));
    else
        ATN_TAKE(s.rows.state, o->iterations + 1);
    for (int i = 0; i < sel->n; i++) ATN_TRY(one_layer_of(cx, &s, i));
    if (failed) *failed = j.failed;
    *layers_out = s.table;
    if (heads_out) *heads_out = s.rows.table;
    s.table = s.rows.table = NULL;
done:
    atn_table_destroy(cx, s.table);
    atn_table_destroy(cx, s.rows.table);
    atn_st_close(cx, file);
    atn_arena_rewind(cx, mark);
    return st;
}
