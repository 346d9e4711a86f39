/* analysis/graph_spectra.c -- spectra of the graphs of heads: a row a bin, and a row a
 * head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/graph_internal.h"

typedef struct spectra {
    const atn_graph_table_opts *o;
    const atn_layer_info *said; /* the last layer that was said to have no spectrum */
    atn_table *bins, *heads;
    atn_keys key, head_key;
    int bin, lambda, low, high, count, energy, response;
    int nodes, method, second, second_residual, largest, largest_residual, zeros,
        components, low_in, low_out;
} spectra;

typedef struct place {
    const char *name, *text;
    atn_col_type type;
    int *at;
} place;

static atn_status add_places(atn_ctx *cx, atn_table *t, const place *p, size_t n)
{
    atn_status st = ATN_OK;

    for (size_t i = 0; i < n; i++)
        ATN_TRY(atn_table_add_col(cx, t, p[i].name, p[i].type, "", p[i].text, p[i].at));
done:
    return st;
}

static atn_status add_bin_columns(atn_ctx *cx, const atn_selection *sel, spectra *s)
{
    const place places[] = {
        {"bin", "bin of graph frequencies, or eigenvalue, from 0", ATN_COL_I64,
         &s->bin},
        {"lambda", "eigenvalue of the Laplacian: the bin's middle, [0, 2]", ATN_COL_F64,
         &s->lambda},
        {"lambda_low", "the bin's lower end, in it", ATN_COL_F64, &s->low},
        {"lambda_high", "its upper end, in it of the last one only", ATN_COL_F64,
         &s->high},
        {"eigenvalues", "so many lie in it; empty where they are not all known",
         ATN_COL_I64, &s->count},
        {"energy_share", "share of the energy of the features, [0, 1]", ATN_COL_F64,
         &s->energy},
        {"response", "norm of the output's part over the features' part, >= 0",
         ATN_COL_F64, &s->response}};
    atn_status st = ATN_OK;

    ATN_TRY(atn_keys_add(cx, sel, ATN_KEYS_HEAD, s->bins, &s->key));
    ATN_TRY(add_places(cx, s->bins, places, ATN_LEN(places)));
done:
    return st;
}

static atn_status add_head_columns(atn_ctx *cx, const atn_selection *sel, spectra *s)
{
    const place places[] = {
        {"nodes", "tokens that are no padding", ATN_COL_I64, &s->nodes},
        {"method", "lapack: all eigenvalues; lanczos: products alone", ATN_COL_STR,
         &s->method},
        {"lambda_second", "spectral gap: smallest eigenvalue beside 0, [0, 2]",
         ATN_COL_F64, &s->second},
        {"lambda_second_residual", "an eigenvalue is known to be so near, >= 0",
         ATN_COL_F64, &s->second_residual},
        {"lambda_largest", "largest eigenvalue, [0, 2]", ATN_COL_F64, &s->largest},
        {"lambda_largest_residual", "an eigenvalue is known to be so near, >= 0",
         ATN_COL_F64, &s->largest_residual},
        {"zero_eigenvalues", "below 1e-6; empty where they are not all known",
         ATN_COL_I64, &s->zeros},
        {"components", "parts of the graph of edges as heavy as --edge-least",
         ATN_COL_I64, &s->components},
        {"energy_low_share", "energy of the features below eigenvalue 1, [0, 1]",
         ATN_COL_F64, &s->low_in},
        {"energy_low_share_out", "the same of the output, [0, 1]", ATN_COL_F64,
         &s->low_out}};
    atn_status st = ATN_OK;

    ATN_TRY(atn_keys_add(cx, sel, ATN_KEYS_HEAD, s->heads, &s->head_key));
    ATN_TRY(add_places(cx, s->heads, places, ATN_LEN(places)));
done:
    return st;
}

static void put_count(atn_table *t, int col, double x)
{
    if (!isnan(x)) atn_table_set_i64(t, col, (int64_t)x);
}

static atn_status put_bins(atn_ctx *cx, const spectra *s, const atn_graph_layer *l,
                           const atn_head *h, const atn_graph_spectrum *g)
{
    atn_status st = ATN_OK;

    for (atn_idx b = 0; b < g->n; b++) {
        const atn_graph_bin *x = &g->bin[b];

        ATN_TRY(atn_table_add_row(cx, s->bins));
        ATN_TRY(atn_keys_set(cx, s->bins, &s->key, l->info, h->head));
        atn_table_set_i64(s->bins, s->bin, b);
        atn_table_set_f64(s->bins, s->lambda, (x->low + x->high) / 2);
        atn_table_set_f64(s->bins, s->low, x->low);
        atn_table_set_f64(s->bins, s->high, x->high);
        put_count(s->bins, s->count, x->count);
        atn_graph_put(s->bins, s->energy, x->energy);
        atn_graph_put(s->bins, s->response, x->response);
    }
done:
    return st;
}

static atn_status put_head(atn_ctx *cx, const spectra *s, const atn_graph_spectrum *g)
{
    atn_table *t = s->heads;
    atn_status st = ATN_OK;

    atn_table_set_i64(t, s->nodes, g->nodes);
    ATN_TRY(atn_table_set_str(cx, t, s->method, g->exact ? "lapack" : "lanczos"));
    atn_graph_put(t, s->second, g->second);
    atn_graph_put(t, s->second_residual, g->second_residual);
    atn_graph_put(t, s->largest, g->largest);
    atn_graph_put(t, s->largest_residual, g->largest_residual);
    put_count(t, s->zeros, g->zeros);
    put_count(t, s->components, g->components);
    atn_graph_put(t, s->low_in, g->low_share);
    atn_graph_put(t, s->low_out, g->low_share_out);
done:
    return st;
}

static atn_status visit(atn_ctx *cx, const atn_graph_layer *l, const atn_head *h,
                        bool bad, void *state)
{
    spectra *s = state;
    const bool square = atn_graph_is_square(h, l->self), has = !bad && square;
    atn_status st = ATN_OK;
    atn_graph_spectrum g = {0};

    if (!square && s->said != l->info)
        atn_log(cx, ATN_LOG_WARN,
                "%s: no spectrum, its queries are not all of its keys, so its "
                "graphs have no Laplacian",
                atn_layer_name(l->info).text);
    if (!square) s->said = l->info;
    if (has)
        ATN_TRY(atn_graph_spectrum_run(cx, h, atn_graph_features_of(l, h),
                                       &s->o->spectrum, &g));
    ATN_TRY(atn_table_add_row(cx, s->heads));
    ATN_TRY(atn_keys_set(cx, s->heads, &s->head_key, l->info, h->head));
    if (!has) goto done;
    ATN_TRY(put_head(cx, s, &g));
    ATN_TRY(put_bins(cx, s, l, h, &g));
done:
    atn_graph_spectrum_release(cx, &g);
    return st;
}

atn_status atn_graph_spectrum_tables(atn_ctx *cx, const atn_capture *c,
                                     const atn_selection *sel,
                                     const atn_graph_table_opts *o, atn_table **bins,
                                     atn_table **heads, atn_idx *failed)
{
    atn_status st = ATN_OK;
    spectra s = {.o = o};

    *bins = *heads = NULL;
    ATN_TRY(atn_table_create(cx, "spectrum", &s.bins));
    ATN_TRY(atn_table_create(cx, "spectrum_ends", &s.heads));
    ATN_TRY(add_bin_columns(cx, sel, &s));
    ATN_TRY(add_head_columns(cx, sel, &s));
    ATN_TRY(atn_table_set_meta(cx, s.bins, "title", "Graph frequencies of heads"));
    ATN_TRY(atn_table_set_meta(cx, s.heads, "title", "Ends of the graphs' spectra"));
    ATN_TRY(atn_graph_each(cx, c, sel, o, ATN_GRAPH_FREQUENCY, visit, &s, failed));
    *bins = s.bins;
    *heads = s.heads;
    s.bins = s.heads = NULL;
done:
    atn_table_destroy(cx, s.bins);
    atn_table_destroy(cx, s.heads);
    return st;
}
