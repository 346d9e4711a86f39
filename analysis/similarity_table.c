/* analysis/similarity_table.c -- similarity and sharing plans as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/similarity_internal.h"

atn_status atn_sim_add_keys(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                            atn_sim_keys *k)
{
    atn_status st = ATN_OK;

    *k = (atn_sim_keys){-1, -1, -1};
    if (s->many_stacks)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "", "part of the model",
                                  &k->stack));
    if (s->many_steps)
        ATN_TRY(atn_table_add_col(cx, t, "step", ATN_COL_I64, "", "step", &k->step));
done:
    return st;
}

atn_status atn_sim_add_row(atn_ctx *cx, const atn_similarity_part *p,
                           const atn_sim_keys *k, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    if (k->stack >= 0) ATN_TRY(atn_table_set_str(cx, t, k->stack, p->stack));
    if (k->step >= 0) atn_table_set_i64(t, k->step, p->step);
    if (k->pattern >= 0 && p->pattern)
        ATN_TRY(atn_table_set_str(cx, t, k->pattern, p->pattern));
done:
    return st;
}

atn_status atn_sim_add_pattern(atn_ctx *cx, atn_table *t, atn_sim_keys *k)
{
    return atn_table_add_col(cx, t, "pattern", ATN_COL_STR, "",
                             "causal or noncausal, self or cross", &k->pattern);
}

atn_status atn_sim_add_number(atn_ctx *cx, atn_table *t, const char *name,
                              const char *unit, const char *text, int *col)
{
    return atn_table_add_col(cx, t, name, ATN_COL_F64, unit, text, col);
}

atn_status atn_sim_add_index(atn_ctx *cx, atn_table *t, const char *name,
                             const char *text, int *col)
{
    return atn_table_add_col(cx, t, name, ATN_COL_I64, "", text, col);
}

void atn_sim_put(atn_table *t, int col, double x)
{
    if (!isnan(x)) atn_table_set_f64(t, col, x);
}

const char *atn_sim_words(const atn_similarity *s, char out[ATN_PART_WORDS])
{
    const atn_similarity_part *p = &s->part[0];
    const bool one = s->parts == 1;

    return atn_part_words_of(one && s->many_stacks ? p->stack : NULL,
                             one && s->many_steps ? p->step : -1, out);
}

atn_status atn_sim_caption(atn_ctx *cx, const atn_similarity *s, const char *title,
                           atn_table *t)
{
    char text[160 + ATN_PART_WORDS], words[ATN_PART_WORDS];
    atn_status st = ATN_OK;
    atn_idx empty = 0;

    for (int i = 0; i < s->parts; i++) empty += s->part[i].empty_rows;
    atn_sim_words(s, words);
    snprintf(text, sizeof text,
             "%s%srows skipped: %lld, first keys excluded: %lld, empty rows: %lld",
             words, *words ? "; " : "", (long long)s->opts.skip_rows,
             (long long)s->opts.exclude_first, (long long)empty);
    ATN_TRY(atn_table_set_meta(cx, t, "title", title));
    ATN_TRY(atn_table_set_meta(cx, t, "subtitle", text));
    ATN_TRY(atn_table_set_meta(cx, t, "pool", "none"));
    for (int i = 0; i < s->parts; i++) {
        if (s->part[i].copy_why)
            ATN_TRY(atn_table_set_meta(cx, t, "copy_err_reason", s->part[i].copy_why));
        if (s->part[i].copy_bare)
            ATN_TRY(
                atn_table_set_meta(cx, t, "copy_err_of", "head outputs before W_O"));
    }
done:
    return st;
}

/* The matrix of one part, so that a figure needs no second file. */
static atn_status attach(atn_ctx *cx, const double *x, atn_idx n, const char *axis_a,
                         const char *axis_b, atn_table *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *f = NULL;

    ATN_TAKE(f, n * n);
    for (atn_idx i = 0; i < n * n; i++) f[i] = (float)x[i];
    ATN_TRY(atn_table_set_matrix(cx, t, (atn_cmat){f, n, n, n}, axis_a, axis_b));
    ATN_TRY(atn_table_set_meta(cx, t, "x_label", axis_b));
    ATN_TRY(atn_table_set_meta(cx, t, "y_label", axis_a));
    ATN_TRY(atn_table_set_meta(cx, t, "measure", "cos_elem"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status add_distances(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                                int *js, int *tv)
{
    atn_status st = ATN_OK;

    if (!s->opts.distances) goto done;
    ATN_TRY(atn_sim_add_number(cx, t, "js_nats", "nats",
                               "mean Jensen-Shannon divergence of rows", js));
    ATN_TRY(atn_sim_add_number(cx, t, "tv", "", "mean total variation of rows", tv));
done:
    return st;
}

static const struct {
    const char *name, *unit, *text;
} extras[ATN_SIM_EXTRAS] = {
    [ATN_SIM_JACCARD] = {"jaccard", "", "mean overlap of the best keys of a row"},
    [ATN_SIM_SPEARMAN] = {"spearman_columns", "", "rank correlation of column sums"},
    [ATN_SIM_CKA] = {"cka", "", "linear CKA of head outputs"},
    [ATN_SIM_CKA_DEBIASED] = {"cka_debiased", "", "the same, debiased"},
    [ATN_SIM_JS_SMOOTHED] = {"js_smoothed_nats", "nats",
                             "mean Jensen-Shannon divergence of smoothed rows"},
    [ATN_SIM_JS_SMOOTHED_SUM] = {"js_smoothed_sum_nats", "nats",
                                 "the same summed over rows"},
};

static atn_status add_extras(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                             int cols[ATN_SIM_EXTRAS])
{
    atn_status st = ATN_OK;

    for (int e = 0; e < ATN_SIM_EXTRAS; e++)
        if (atn_sim_extra_wanted(&s->opts, (atn_sim_extra)e))
            ATN_TRY(atn_sim_add_number(cx, t, extras[e].name, extras[e].unit,
                                       extras[e].text, &cols[e]));
done:
    return st;
}

static void put_extras(atn_table *t, const int cols[ATN_SIM_EXTRAS], double *const *x,
                       atn_idx at)
{
    for (int e = 0; e < ATN_SIM_EXTRAS; e++)
        if (x[e]) atn_sim_put(t, cols[e], x[e][at]);
}

/* ---- layers ---- */

typedef struct layer_cols {
    atn_sim_keys key;
    int a, b, elem, row, avg, match, pearson, copy, js, tv, extra[ATN_SIM_EXTRAS];
} layer_cols;

static atn_status layer_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                                layer_cols *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(
        atn_sim_add_index(cx, t, "layer_a", "layer; the leader of copy_err", &c->a));
    ATN_TRY(
        atn_sim_add_index(cx, t, "layer_b", "layer; the follower of copy_err", &c->b));
    ATN_TRY(atn_sim_add_number(cx, t, "cos_elem", "", "mean cosine of equal heads",
                               &c->elem));
    ATN_TRY(atn_sim_add_number(cx, t, "cos_row", "",
                               "mean cosine of rows of equal heads", &c->row));
    ATN_TRY(
        atn_sim_add_number(cx, t, "cos_avg", "", "cosine of the head means", &c->avg));
    ATN_TRY(atn_sim_add_number(cx, t, "match", "", "mean cosine of best-matched heads",
                               &c->match));
    ATN_TRY(atn_sim_add_number(cx, t, "pearson", "", "correlation over visible keys",
                               &c->pearson));
    if (s->opts.copy_err)
        ATN_TRY(atn_sim_add_number(
            cx, t, "copy_err", "",
            "relative output error of layer_b with layer_a's matrix", &c->copy));
    ATN_TRY(add_distances(cx, s, t, &c->js, &c->tv));
    ATN_TRY(add_extras(cx, s, t, c->extra));
    ATN_TRY(atn_sim_add_pattern(cx, t, &c->key));
done:
    return st;
}

static atn_status layer_rows(atn_ctx *cx, const atn_similarity_part *p,
                             const layer_cols *c, atn_table *t)
{
    atn_status st = ATN_OK;

    for (int a = 0; a < p->layers; a++)
        for (int b = 0; b < p->layers; b++) {
            const atn_idx ab = (atn_idx)a * p->layers + b;

            ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
            atn_table_set_i64(t, c->a, p->layer[a]);
            atn_table_set_i64(t, c->b, p->layer[b]);
            atn_sim_put(t, c->elem, p->cos_elem[ab]);
            atn_sim_put(t, c->row, p->cos_row[ab]);
            atn_sim_put(t, c->avg, p->cos_avg[ab]);
            atn_sim_put(t, c->match, p->match[ab]);
            atn_sim_put(t, c->pearson, p->pearson[ab]);
            if (p->js) atn_sim_put(t, c->js, p->js[ab]);
            if (p->tv) atn_sim_put(t, c->tv, p->tv[ab]);
            if (p->copy_err) atn_sim_put(t, c->copy, p->copy_err[ab]);
            put_extras(t, c->extra, p->extra, ab);
        }
done:
    return st;
}

static atn_status need_aligned(atn_ctx *cx, const atn_similarity *s)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < s->parts; i++)
        if (!s->part[i].aligned)
            ATN_FAIL(
                ATN_USAGE,
                "similarity: layers are compared head by head, but the selected "
                "layers do not show the same heads (give --heads as plain numbers, "
                "--layers of equal head counts, or --between heads)");
done:
    return st;
}

atn_status atn_similarity_layers_table(atn_ctx *cx, const atn_similarity *s,
                                       atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    layer_cols c = {0};

    *out = NULL;
    ATN_TRY(need_aligned(cx, s));
    ATN_TRY(atn_table_create(cx, "similarity", &t));
    ATN_TRY(layer_columns(cx, s, t, &c));
    for (int i = 0; i < s->parts; i++) ATN_TRY(layer_rows(cx, &s->part[i], &c, t));
    ATN_TRY(atn_sim_caption(cx, s, "Similarity between layers", t));
    if (s->parts == 1)
        ATN_TRY(
            attach(cx, s->part[0].cos_elem, s->part[0].layers, "layer", "layer", t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- heads ---- */

typedef struct head_cols {
    atn_sim_keys key;
    int layer_a, head_a, layer_b, head_b, elem, row, pearson, js, tv;
    int extra[ATN_SIM_EXTRAS];
} head_cols;

static atn_status head_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                               head_cols *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(
        atn_sim_add_index(cx, t, "layer_a", "layer of the first head", &c->layer_a));
    ATN_TRY(atn_sim_add_index(cx, t, "head_a", "first head", &c->head_a));
    ATN_TRY(
        atn_sim_add_index(cx, t, "layer_b", "layer of the second head", &c->layer_b));
    ATN_TRY(atn_sim_add_index(cx, t, "head_b", "second head", &c->head_b));
    ATN_TRY(
        atn_sim_add_number(cx, t, "cos_elem", "", "cosine of the matrices", &c->elem));
    ATN_TRY(
        atn_sim_add_number(cx, t, "cos_row", "", "mean cosine of the rows", &c->row));
    ATN_TRY(atn_sim_add_number(cx, t, "pearson", "", "correlation over visible keys",
                               &c->pearson));
    ATN_TRY(add_distances(cx, s, t, &c->js, &c->tv));
    ATN_TRY(add_extras(cx, s, t, c->extra));
    ATN_TRY(atn_sim_add_pattern(cx, t, &c->key));
done:
    return st;
}

static atn_status head_rows(atn_ctx *cx, const atn_similarity_part *p,
                            const head_cols *c, atn_table *t)
{
    atn_status st = ATN_OK;

    for (atn_idx a = 0; a < p->heads; a++)
        for (atn_idx b = a; b < p->heads; b++) {
            const atn_idx ab = a * p->heads + b;

            ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
            atn_table_set_i64(t, c->layer_a, p->head_layer[a]);
            atn_table_set_i64(t, c->head_a, p->head[a]);
            atn_table_set_i64(t, c->layer_b, p->head_layer[b]);
            atn_table_set_i64(t, c->head_b, p->head[b]);
            atn_sim_put(t, c->elem, p->head_elem[ab]);
            atn_sim_put(t, c->row, p->head_row[ab]);
            atn_sim_put(t, c->pearson, p->head_pearson[ab]);
            if (p->head_js) atn_sim_put(t, c->js, p->head_js[ab]);
            if (p->head_tv) atn_sim_put(t, c->tv, p->head_tv[ab]);
            put_extras(t, c->extra, p->head_extra, ab);
        }
done:
    return st;
}

atn_status atn_similarity_heads_table(atn_ctx *cx, const atn_similarity *s,
                                      atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    head_cols c = {0};

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "similarity_heads", &t));
    ATN_TRY(head_columns(cx, s, t, &c));
    for (int i = 0; i < s->parts; i++) ATN_TRY(head_rows(cx, &s->part[i], &c, t));
    ATN_TRY(atn_sim_caption(cx, s, "Similarity between heads", t));
    if (s->parts == 1)
        ATN_TRY(attach(cx, s->part[0].head_elem, s->part[0].heads, "head", "head", t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- the plan ---- */

typedef struct plan_cols {
    atn_sim_keys key;
    int layer, leader, role, similarity, params, flops, cache, copy;
} plan_cols;

typedef struct total_cols {
    atn_sim_keys key;
    int layers, followers, params, params_share, flops, flops_share, cache, flop_bound,
        attn_bound, decode_bound, similarity, copy;
} total_cols;

static atn_status plan_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                               plan_cols *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(atn_sim_add_index(cx, t, "layer", "layer", &c->layer));
    ATN_TRY(
        atn_sim_add_index(cx, t, "leader", "layer whose matrix it uses", &c->leader));
    ATN_TRY(atn_table_add_col(cx, t, "role", ATN_COL_STR, "",
                              "alone, leader or follower", &c->role));
    ATN_TRY(
        atn_sim_add_number(cx, t, "similarity", "", "to the leader", &c->similarity));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_params", "", "W_Q and W_K", &c->params));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_flop", "flop", "a token", &c->flops));
    ATN_TRY(
        atn_sim_add_number(cx, t, "saved_cache_bytes", "bytes", "its keys", &c->cache));
    ATN_TRY(
        atn_sim_add_number(cx, t, "copy_err", "", "relative output error", &c->copy));
    ATN_TRY(atn_sim_add_pattern(cx, t, &c->key));
done:
    return st;
}

static atn_status total_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                                total_cols *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(atn_sim_add_index(cx, t, "layers", "compared layers", &c->layers));
    ATN_TRY(atn_sim_add_index(cx, t, "followers", "layers that follow", &c->followers));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_params", "", "weights", &c->params));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_params_share", "", "of all matrices",
                               &c->params_share));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_flop", "flop", "a token", &c->flops));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_flop_share", "", "of a token",
                               &c->flops_share));
    ATN_TRY(atn_sim_add_number(cx, t, "saved_cache_bytes", "bytes", "keys", &c->cache));
    ATN_TRY(atn_sim_add_number(cx, t, "flop_bound", "", "most speed-up by FLOPs",
                               &c->flop_bound));
    ATN_TRY(atn_sim_add_number(cx, t, "attn_byte_bound", "",
                               "most speed-up of unfused attention by bytes",
                               &c->attn_bound));
    ATN_TRY(atn_sim_add_number(cx, t, "decode_byte_bound", "",
                               "most speed-up of a decoding step by bytes",
                               &c->decode_bound));
    ATN_TRY(atn_sim_add_number(cx, t, "similarity_min", "", "least, of a follower",
                               &c->similarity));
    ATN_TRY(atn_sim_add_number(cx, t, "copy_err_sum", "", "over followers", &c->copy));
    ATN_TRY(atn_sim_add_pattern(cx, t, &c->key));
done:
    return st;
}

static const double *metric_of(const atn_similarity_part *p, int metric)
{
    const double *const all[] = {p->cos_elem, p->cos_row, p->cos_avg, p->match};

    return all[metric];
}

static atn_share_sizes sizes_of(const atn_similarity *s, const atn_similarity_part *p)
{
    const atn_share_sizes z = {(double)(p->width > 0 ? p->width : s->model.width),
                               (double)s->model.ffn, (double)s->model.vocab,
                               s->model.gated, s->model.tied};

    return z;
}

/* What layer l saves when it follows. Without the width of model or keys (captures of
 * P) the number stands for the number of heads, which gives the same plan. */
static double gain_of(const atn_layer_cost *c, const atn_share_sizes *z, int gain)
{
    const double width = z->width > 0 ? z->width : 1, d = (double)ATN_MAX(c->d, 1);
    const double weights = width * d * (double)(c->heads + c->kv_heads);

    return gain == ATN_SHARE_FLOPS ? 2 * weights + 2 * c->n_eff * d * (double)c->heads
                                   : weights;
}

static atn_status plan_rows(atn_ctx *cx, const atn_similarity *s,
                            const atn_similarity_part *p, const atn_share_opts *o,
                            const int *leader, const plan_cols *c, atn_table *t)
{
    const double *sim = metric_of(p, o->metric);
    const atn_share_sizes z = sizes_of(s, p);
    atn_status st = ATN_OK;

    for (int l = 0; l < p->layers; l++) {
        const bool follows = leader[l] != l;
        const bool leads = l + 1 < p->layers && leader[l + 1] == l;
        const atn_idx at = (atn_idx)leader[l] * p->layers + l;
        const double cached = (double)(p->cost[l].kv_heads * p->cost[l].d);

        ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
        atn_table_set_i64(t, c->layer, p->layer[l]);
        atn_table_set_i64(t, c->leader, p->layer[leader[l]]);
        ATN_TRY(atn_table_set_str(cx, t, c->role,
                                  follows ? "follower"
                                  : leads ? "leader"
                                          : "alone"));
        atn_sim_put(t, c->similarity, follows ? sim[at] : NAN);
        if (follows && p->copy_err) atn_sim_put(t, c->copy, p->copy_err[at]);
        if (p->cost[l].d == 0) continue;
        atn_sim_put(t, c->cache, follows ? cached * p->cost[l].n * o->bytes : 0);
        if (z.width == 0) continue;
        atn_sim_put(t, c->params,
                    follows ? gain_of(&p->cost[l], &z, ATN_SHARE_PARAMS) : 0);
        atn_sim_put(t, c->flops,
                    follows ? gain_of(&p->cost[l], &z, ATN_SHARE_FLOPS) : 0);
    }
done:
    return st;
}

static void sum_up(const atn_similarity_part *p, const double *sim, const int *leader,
                   atn_share_total *total)
{
    for (int l = 0; l < p->layers; l++) {
        const atn_idx at = (atn_idx)leader[l] * p->layers + l;

        if (leader[l] == l) continue;
        if (!(total->similarity_min <= sim[at])) total->similarity_min = sim[at];
        if (!p->copy_err) continue;
        if (isnan(total->copy_err_sum)) total->copy_err_sum = 0;
        total->copy_err_sum += p->copy_err[at];
    }
}

static atn_status total_row(atn_ctx *cx, const atn_similarity_part *p,
                            const total_cols *c, const atn_share_total *x, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
    atn_table_set_i64(t, c->layers, x->layers);
    atn_table_set_i64(t, c->followers, x->followers);
    atn_sim_put(t, c->params, x->params);
    atn_sim_put(t, c->params_share, x->params_share);
    atn_sim_put(t, c->flops, x->flops);
    atn_sim_put(t, c->flops_share, x->flops_share);
    atn_sim_put(t, c->cache, x->cache_bytes);
    atn_sim_put(t, c->flop_bound, x->flop_bound);
    atn_sim_put(t, c->attn_bound, x->attn_byte_bound);
    atn_sim_put(t, c->decode_bound, x->decode_byte_bound);
    atn_sim_put(t, c->similarity, x->similarity_min);
    atn_sim_put(t, c->copy, x->copy_err_sum);
done:
    return st;
}

static atn_status plan_caption(atn_ctx *cx, const atn_similarity *s,
                               const atn_share_opts *o, const atn_share_total *x,
                               atn_table *t)
{
    static const char *const metrics[] = {"cos_elem", "cos_row", "cos_avg", "match"};
    static const char *const gains[] = {"params", "flops", "error"};
    atn_status st = ATN_OK;
    char text[200 + ATN_PART_WORDS], words[ATN_PART_WORDS];
    int used;

    ATN_TRY(atn_sim_caption(cx, s, "Sharing plan", t));
    atn_sim_words(s, words);
    used =
        snprintf(text, sizeof text, "%s%s%d of %d layers follow at %s >= %g, gain %s",
                 words, *words ? "; " : "", x->followers, x->layers, metrics[o->metric],
                 o->threshold, gains[o->gain]);
    if (!isnan(x->flop_bound))
        snprintf(text + used, sizeof text - (size_t)used, ", FLOP bound %.3f",
                 x->flop_bound);
    ATN_TRY(atn_table_set_meta(cx, t, "subtitle", text));
done:
    return st;
}

/* A layer that is not there cannot stay alone: the number is a slip. */
static atn_status check_keeps(atn_ctx *cx, const atn_share_opts *o, int layers)
{
    const char *name = o->first_keep > layers ? "first" : "last";
    const int64_t keep = o->first_keep > layers ? o->first_keep : o->last_keep;

    if (keep <= ATN_MAX(layers, 1)) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "similarity: --%s-keep %lld is above the number of layers "
                    "compared, %d (give 0 to %d)",
                    name, (long long)keep, layers, layers);
}

/* "width, MLP width and vocabulary": what of them the capture does not state. */
static void missing_sizes(const atn_share_sizes *z, char *out, size_t size)
{
    const char *names[3];
    int n = 0;

    if (!(z->width > 0)) names[n++] = "width";
    if (!(z->ffn > 0)) names[n++] = "MLP width";
    if (!(z->vocab > 0)) names[n++] = "vocabulary";
    *out = '\0';
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(out);

        snprintf(out + used, size - used, "%s%s",
                 i == 0      ? ""
                 : i + 1 < n ? ", "
                             : " and ",
                 names[i]);
    }
}

/* What is missing of the model is said once, of its first part. */
static void say_no_bound(atn_ctx *cx, const atn_similarity *s,
                         const atn_similarity_part *p, const atn_share_sizes *z)
{
    char missing[64], words[ATN_PART_WORDS];

    missing_sizes(z, missing, sizeof missing);
    atn_part_words_of(s->many_stacks ? p->stack : NULL, s->many_steps ? p->step : -1,
                      words);
    if (*missing && p == s->part)
        atn_log(cx, ATN_LOG_WARN,
                "plan: no FLOP bound: the capture does not state the model's %s",
                missing);
    if (!*missing)
        atn_log(cx, ATN_LOG_WARN,
                "plan%s%s: no FLOP bound: the capture has no queries and keys of some "
                "layers",
                *words ? " of " : "", words);
}

static atn_status plan_part(atn_ctx *cx, const atn_similarity *s,
                            const atn_similarity_part *p, const atn_share_opts *o,
                            const plan_cols *pc, const total_cols *tc, atn_table *plan,
                            atn_table *totals)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_share_sizes z = sizes_of(s, p);
    atn_status st = ATN_OK;
    atn_share_total total;
    double *cost = NULL;
    int *leader = NULL;

    ATN_TRY(check_keeps(cx, o, p->layers));
    ATN_TAKE(cost, p->layers);
    ATN_TAKE(leader, p->layers);
    for (int l = 0; l < p->layers; l++) cost[l] = gain_of(&p->cost[l], &z, o->gain);
    ATN_TRY(atn_share_solve(cx, p->layers, metric_of(p, o->metric), cost, p->copy_err,
                            o, leader));
    atn_share_bounds(p->cost, p->layers, leader, &z, o->bytes, &total);
    sum_up(p, metric_of(p, o->metric), leader, &total);
    ATN_TRY(plan_rows(cx, s, p, o, leader, pc, plan));
    if (totals) ATN_TRY(total_row(cx, p, tc, &total, totals));
    ATN_TRY(plan_caption(cx, s, o, &total, plan));
    if (isnan(total.flop_bound)) say_no_bound(cx, s, p, &z);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_similarity_plan_table(atn_ctx *cx, const atn_similarity *s,
                                     const atn_share_opts *opts, atn_table **plan,
                                     atn_table **totals)
{
    atn_status st = ATN_OK;
    atn_table *p = NULL, *t = NULL;
    plan_cols pc = {0};
    total_cols tc = {0};

    *plan = NULL;
    if (totals) *totals = NULL;
    ATN_TRY(need_aligned(cx, s));
    ATN_TRY(atn_table_create(cx, "similarity_plan", &p));
    ATN_TRY(plan_columns(cx, s, p, &pc));
    if (totals) {
        ATN_TRY(atn_table_create(cx, "similarity_plan_totals", &t));
        ATN_TRY(total_columns(cx, s, t, &tc));
    }
    for (int i = 0; i < s->parts; i++)
        ATN_TRY(plan_part(cx, s, &s->part[i], opts, &pc, &tc, p, t));
    if (totals) {
        ATN_TRY(atn_sim_caption(
            cx, s, "What the sharing plan saves, and the most it can gain", t));
        *totals = t;
    }
    *plan = p;
    p = t = NULL;
done:
    atn_table_destroy(cx, p);
    atn_table_destroy(cx, t);
    return st;
}
