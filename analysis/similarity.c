/* analysis/similarity.c -- layers and heads compared: the set of heads, the matrices
 * made of their inner products, and the way from a capture to them. See the header for
 * the formulas.
 *
 * Oracle  rows (1), (.5 .5), (.2 .3 .5) against uniform causal ones: cos_elem 0.987511,
 *         cos_row 0.978862, Pearson over visible entries 0.936586; identical layers
 *         give 1.
 * Cost    two SYRKs over the row stream; copy_err see similarity_copy.c.
 * Limits  Q, K, V of all compared layers are in memory at once. A matrix of zeros has
 *         similarity 0 to everything.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/similarity_internal.h"

void atn_similarity_defaults(atn_similarity_opts *opts)
{
    *opts = (atn_similarity_opts){.copy_err = true};
}

/* ---- the heads that take part ---- */

static bool kept(const bool *keep, atn_idx max_heads, int layer, atn_idx h)
{
    return !keep || keep[layer * max_heads + h];
}

static atn_idx most_heads(const atn_problem *layers, int n)
{
    atn_idx most = 0;

    for (int i = 0; i < n; i++) most = ATN_MAX(most, layers[i].heads);
    return most;
}

/* Every layer shows the same head indices. */
static bool is_aligned(const atn_problem *layers, int n, const bool *keep, atn_idx most)
{
    for (int i = 1; i < n; i++)
        for (atn_idx h = 0; h < most; h++) {
            const bool here = h < layers[i].heads && kept(keep, most, i, h);
            if (here != (h < layers[0].heads && kept(keep, most, 0, h))) return false;
        }
    return true;
}

static atn_status check_opts(atn_ctx *cx, const atn_similarity_opts *o,
                             const atn_problem *p)
{
    atn_status st = ATN_OK;

    if (o->skip_rows < 0 || o->skip_rows >= p->nq)
        ATN_FAIL(ATN_USAGE,
                 "similarity: --skip-rows %lld is outside 0..%lld: no row is left "
                 "of %lld (give a smaller number)",
                 (long long)o->skip_rows, (long long)p->nq - 1, (long long)p->nq);
    if (o->exclude_first < 0 || o->exclude_first >= p->nk)
        ATN_FAIL(ATN_USAGE,
                 "similarity: --exclude-first %lld is outside 0..%lld: no key is "
                 "left of %lld (give a smaller number)",
                 (long long)o->exclude_first, (long long)p->nk - 1, (long long)p->nk);
    if (o->jaccard < 0)
        ATN_FAIL(ATN_USAGE, "similarity: --jaccard %lld is below 1",
                 (long long)o->jaccard);
    if (o->tile_rows < 0)
        ATN_FAIL(ATN_USAGE,
                 "similarity: tile rows %lld are negative (give 0 to choose)",
                 (long long)o->tile_rows);
done:
    return st;
}

static atn_status check_layers(atn_ctx *cx, const atn_problem *layers, int n)
{
    atn_status st = ATN_OK;

    if (n < 1)
        ATN_FAIL(ATN_USAGE, "similarity: no layer to compare (select at least one)");
    for (int i = 1; i < n; i++)
        if (layers[i].nq != layers[0].nq || layers[i].nk != layers[0].nk)
            ATN_FAIL(ATN_DATA,
                     "similarity: layer %d has %lld queries and %lld keys, layer %d "
                     "has %lld and %lld, but compared layers need equal counts (select "
                     "layers of one --stack)",
                     layers[i].layer, (long long)layers[i].nq, (long long)layers[i].nk,
                     layers[0].layer, (long long)layers[0].nq, (long long)layers[0].nk);
done:
    return st;
}

/* Arena memory. */
static atn_status make_set(atn_ctx *cx, const atn_problem *layers, int n,
                           const bool *keep, const atn_similarity_opts *opts,
                           atn_sim_set *set)
{
    const atn_idx most = most_heads(layers, n);
    atn_status st = ATN_OK;
    atn_idx all = 0;

    *set = (atn_sim_set){.layers = n,
                         .opts = opts,
                         .tile_most = (double)cx->mem_limit / 8 / sizeof(float)};
    ATN_TRY(check_layers(cx, layers, n));
    ATN_TRY(check_opts(cx, opts, &layers[0]));
    for (int i = 0; i < n; i++) all += layers[i].heads;
    ATN_TAKE(set->head, all);
    ATN_TAKE(set->slot, all);
    for (int i = 0; i < n; i++)
        for (atn_idx h = 0; h < layers[i].heads; h++) {
            if (!kept(keep, most, i, h)) continue;
            set->head[set->m] = atn_problem_head(&layers[i], h);
            set->slot[set->m++] = i;
        }
    if (set->m == 0)
        ATN_FAIL(ATN_USAGE, "similarity: no head is selected (see --heads)");
    if (is_aligned(layers, n, keep, most)) set->per_layer = set->m / n;
done:
    return st;
}

/* Why copy_err cannot be had, NULL when it can. */
static const char *copy_reason(const atn_problem *layers, int n,
                               const float *const *w_o, const atn_sim_set *set)
{
    int with = 0;

    if (set->per_layer == 0) return "the layers do not show the same heads";
    for (int i = 0; i < n; i++) {
        if (!layers[i].v) return "the capture has no values (v)";
        if (layers[i].dv != layers[0].dv)
            return "the layers differ in the width of values";
        if (layers[i].heads != layers[0].heads) return "the layers differ in heads";
        with += w_o && w_o[i];
    }
    return with == 0 || with == n ? NULL : "some layers have no w_o";
}

/* ---- from inner products to similarities ---- */

static double clamp_one(double x)
{
    return ATN_MAX(-1.0, ATN_MIN(1.0, x));
}

static double cosine(double ab, double aa, double bb)
{
    return aa > 0 && bb > 0 ? clamp_one(ab / sqrt(aa) / sqrt(bb)) : 0;
}

/* Entries that a row of either layer sees and that are not dropped. */
static double visible_of_both(const atn_sim_set *set, const atn_head *a,
                              const atn_head *b)
{
    double n = 0;

    for (atn_idx i = set->opts->skip_rows; i < a->nq; i++) {
        const atn_idx x = set->opts->exclude_first;
        atn_idx lo_a, hi_a, lo_b, hi_b, both;

        atn_sight_row(&a->sight, i, &lo_a, &hi_a);
        atn_sight_row(&b->sight, i, &lo_b, &hi_b);
        lo_a = ATN_MAX(lo_a, x);
        lo_b = ATN_MAX(lo_b, x);
        hi_a = ATN_MAX(hi_a, lo_a);
        hi_b = ATN_MAX(hi_b, lo_b);
        both = ATN_MAX(ATN_MIN(hi_a, hi_b) - ATN_MAX(lo_a, lo_b), 0);
        n += (double)(hi_a - lo_a + hi_b - lo_b - both);
    }
    return n;
}

static void head_pair(const atn_sim_set *set, const atn_sim_gram *g, atn_idx a,
                      atn_idx b, double visible, atn_similarity_part *part)
{
    const atn_idx m = set->m, ab = a * m + b, ba = b * m + a;
    const bool pairwise = set->opts->exclude_first > 0;
    const double aa = g->raw[a * m + a] - (pairwise ? g->lost_square[ab] : 0);
    const double bb = g->raw[b * m + b] - (pairwise ? g->lost_square[ba] : 0);
    const double rows = g->rows[a] - g->lost_rows[ab];
    const double u = g->sum[a] / visible, v = g->sum[b] / visible;
    const double raa = g->raw[a * m + a] / visible - u * u;
    const double rbb = g->raw[b * m + b] / visible - v * v;
    const double rab = g->raw[ab] / visible - u * v;
    const bool lost = pairwise && (g->lost_rows[ab] > 0 || g->lost_rows[ba] > 0);

    part->head_elem[ab] = part->head_elem[ba] = cosine(g->raw[ab], aa, bb);
    part->head_row[ab] = part->head_row[ba] =
        rows > 0 ? clamp_one(g->unit[ab] / rows) : 0;
    if (a == b && rows > 0) part->head_row[ab] = 1;
    /* constant rows have no correlation; rounding leaves about 1e-7 of the square
     * there */
    part->head_pearson[ab] = part->head_pearson[ba] =
        lost || raa <= 1e-6 * u * u || rbb <= 1e-6 * v * v ? NAN
                                                           : cosine(rab, raa, rbb);
}

static void head_matrices(const atn_sim_set *set, const atn_sim_gram *g,
                          atn_similarity_part *part)
{
    for (atn_idx a = 0; a < set->m; a++) {
        double visible = 0;
        for (atn_idx b = 0; b <= a; b++) {
            if (b == 0 || set->slot[b] != set->slot[b - 1])
                visible = visible_of_both(set, &set->head[a], &set->head[b]);
            head_pair(set, g, a, b, visible, part);
        }
    }
    for (atn_idx a = 0; a < set->m; a++)
        part->empty_rows +=
            (atn_idx)((double)(set->head[0].nq - set->opts->skip_rows) - g->rows[a]);
}

static atn_status layer_pair(atn_ctx *cx, const atn_sim_set *set, const atn_sim_gram *g,
                             int k, int l, atn_similarity_part *part)
{
    const atn_idx h = set->per_layer, m = set->m;
    const atn_idx at = (atn_idx)k * h * m + l * h;
    const int n = set->layers, kl = k * n + l, lk = l * n + k;
    atn_status st = ATN_OK;
    double elem = 0, row = 0, pearson = 0, match = 0, kk = 0, ll = 0, both = 0;

    for (atn_idx i = 0; i < h; i++) {
        elem += part->head_elem[at + i * m + i];
        row += part->head_row[at + i * m + i];
        pearson += part->head_pearson[at + i * m + i];
        for (atn_idx j = 0; j < h; j++) {
            both += g->raw[at + i * m + j];
            kk += g->raw[(k * h + i) * m + k * h + j];
            ll += g->raw[(l * h + i) * m + l * h + j];
        }
    }
    ATN_TRY(atn_sim_assign(cx, part->head_elem + at, (int)h, m, NULL, &match));
    part->cos_elem[kl] = part->cos_elem[lk] = elem / (double)h;
    part->cos_row[kl] = part->cos_row[lk] = row / (double)h;
    part->pearson[kl] = part->pearson[lk] = pearson / (double)h;
    /* the matching's own sum differs from elem in the last bits only: never below it */
    part->match[kl] = part->match[lk] = ATN_MAX(match, elem) / (double)h;
    part->cos_avg[kl] = part->cos_avg[lk] = cosine(both, kk, ll);
done:
    return st;
}

static atn_status layer_matrices(atn_ctx *cx, const atn_sim_set *set,
                                 const atn_sim_gram *g, atn_similarity_part *part)
{
    const int n = set->layers;
    atn_status st = ATN_OK;

    part->aligned = set->per_layer > 0;
    if (!part->aligned) goto done;
    ATN_NEW(part->cos_elem, n * n);
    ATN_NEW(part->cos_row, n * n);
    ATN_NEW(part->cos_avg, n * n);
    ATN_NEW(part->match, n * n);
    ATN_NEW(part->pearson, n * n);
    for (int k = 0; k < n; k++)
        for (int l = 0; l <= k; l++) ATN_TRY(layer_pair(cx, set, g, k, l, part));
done:
    return st;
}

/* ---- one part ---- */

static double mean_visible(const atn_problem *p)
{
    const atn_head h = atn_problem_head(p, 0);
    const bool plain = p->sight.window == 0 && p->sight.key_first == 0 &&
                       p->sight.key_last >= p->nk && p->nq == p->nk &&
                       p->sight.offset == 0 && !p->sight.rows;

    if (plain) return p->sight.causal ? (double)p->nk / 2 : (double)p->nk;
    return atn_visible_pairs(&h) / (double)ATN_MAX(p->nq, 1);
}

static atn_status describe(atn_ctx *cx, const atn_problem *layers,
                           const atn_sim_set *set, atn_idx width,
                           atn_similarity_part *part)
{
    atn_status st = ATN_OK;

    part->layers = set->layers;
    part->heads = set->m;
    part->width = width;
    part->stack = atn_strdup(cx, "");
    if (!part->stack) ATN_TRY(cx->err.code);
    ATN_NEW(part->layer, set->layers);
    ATN_NEW(part->cost, set->layers);
    ATN_NEW(part->head_layer, set->m);
    ATN_NEW(part->head, set->m);
    ATN_NEW(part->head_elem, set->m * set->m);
    ATN_NEW(part->head_row, set->m * set->m);
    ATN_NEW(part->head_pearson, set->m * set->m);
    for (int i = 0; i < set->layers; i++) {
        const atn_problem *p = &layers[i];
        part->layer[i] = p->layer;
        part->cost[i] = (atn_layer_cost){.heads = p->heads,
                                         .kv_heads = p->kv_heads,
                                         .d = p->d,
                                         .dv = p->dv,
                                         .n = (double)p->nk,
                                         .n_eff = mean_visible(p),
                                         .n_q = (double)p->nq};
    }
    for (atn_idx a = 0; a < set->m; a++) {
        part->head_layer[a] = set->head[a].layer;
        part->head[a] = set->head[a].head;
    }
done:
    return st;
}

/* Layers by the mean over equal heads. */
static void mean_of_heads(const atn_sim_set *set, const double *heads, double *layers)
{
    const atn_idx h = set->per_layer, m = set->m;
    const int n = set->layers;

    for (int k = 0; k < n; k++)
        for (int l = 0; l < n; l++) {
            double sum = 0;
            for (atn_idx i = 0; i < h; i++) sum += heads[(k * h + i) * m + l * h + i];
            layers[k * n + l] = sum / (double)h;
        }
}

static atn_status compare_rows(atn_ctx *cx, const atn_sim_set *set,
                               atn_similarity_part *part)
{
    const int n = set->layers;
    atn_status st = ATN_OK;

    ATN_NEW(part->head_js, set->m * set->m);
    ATN_NEW(part->head_tv, set->m * set->m);
    ATN_TRY(atn_sim_mix_run(cx, set,
                            &(atn_sim_mix){.js = part->head_js, .tv = part->head_tv}));
    if (!part->aligned) goto done;
    ATN_NEW(part->js, n * n);
    ATN_NEW(part->tv, n * n);
    mean_of_heads(set, part->head_js, part->js);
    mean_of_heads(set, part->head_tv, part->tv);
done:
    return st;
}

static atn_status compare_extras(atn_ctx *cx, const atn_sim_set *set,
                                 atn_similarity_part *part)
{
    const int n = set->layers;
    atn_status st = ATN_OK;

    for (int e = 0; e < ATN_SIM_EXTRAS; e++)
        if (atn_sim_extra_wanted(set->opts, (atn_sim_extra)e))
            ATN_NEW(part->head_extra[e], set->m * set->m);
    ATN_TRY(atn_sim_extra_run(cx, set, part->head_extra));
    for (int e = 0; e < ATN_SIM_EXTRAS && part->aligned; e++) {
        if (!part->head_extra[e]) continue;
        ATN_NEW(part->extra[e], n * n);
        mean_of_heads(set, part->head_extra[e], part->extra[e]);
    }
done:
    return st;
}

static atn_status compare_gram(atn_ctx *cx, const atn_sim_set *set,
                               atn_similarity_part *part)
{
    const atn_idx m = set->m;
    atn_status st = ATN_OK;
    atn_sim_gram g = {0};

    ATN_NEW(g.raw, m * m);
    ATN_NEW(g.unit, m * m);
    ATN_NEW(g.sum, m);
    ATN_NEW(g.rows, m);
    ATN_NEW(g.lost_square, m * m);
    ATN_NEW(g.lost_rows, m * m);
    ATN_TRY(atn_sim_gram_run(cx, set, &g));
    head_matrices(set, &g, part);
    ATN_TRY(layer_matrices(cx, set, &g, part));
done:
    atn_free(cx, g.raw);
    atn_free(cx, g.unit);
    atn_free(cx, g.sum);
    atn_free(cx, g.rows);
    atn_free(cx, g.lost_square);
    atn_free(cx, g.lost_rows);
    return st;
}

/* W_O cut down to the rows of the selected heads. */
static void cut_w_o(const atn_sim_set *set, const float *w_o, int l, atn_idx width,
                    float *cut)
{
    const atn_idx dv = set->head[0].v.cols;

    for (atn_idx h = 0; h < set->per_layer; h++)
        memcpy(cut + h * dv * width,
               w_o + (atn_idx)set->head[l * set->per_layer + h].head * dv * width,
               (size_t)(dv * width) * sizeof *cut);
}

static atn_status compare_copy(atn_ctx *cx, const atn_sim_set *set,
                               const float *const *w_o, atn_idx width,
                               atn_similarity_part *part)
{
    const atn_idx out = set->per_layer * set->head[0].v.cols;
    atn_status st = ATN_OK;
    atn_cmat *w = NULL;
    float *cut = NULL;

    part->copy_bare = !w_o || !w_o[0];
    if (!part->copy_bare) {
        ATN_NEW(w, set->layers);
        ATN_NEW(cut, set->layers * out * width);
        for (int l = 0; l < set->layers; l++) {
            float *to = cut + l * out * width;
            cut_w_o(set, w_o[l], l, width, to);
            w[l] = (atn_cmat){to, out, width, width};
        }
    }
    ATN_NEW(part->copy_err, set->layers * set->layers);
    ATN_TRY(atn_sim_copy_run(cx, set, w, part->copy_err));
done:
    atn_free(cx, w);
    atn_free(cx, cut);
    return st;
}

static double work_bytes(const atn_ctx *cx, const atn_sim_set *set, atn_idx width)
{
    const double gram = atn_sim_gram_bytes(cx, set);
    const double keep = (40.0 + 8 * ATN_SIM_EXTRAS) * (double)set->m * (double)set->m;
    double copy = 0;

    if (set->opts->copy_err && set->per_layer > 0 && set->head[0].v.cols > 0) {
        const double out = (double)set->per_layer * (double)set->head[0].v.cols;
        copy = atn_sim_copy_bytes(cx, set, width > 0 ? width : (atn_idx)out) +
               4 * out * (double)width * set->layers;
    }
    return ATN_MAX(ATN_MAX(gram, copy), atn_sim_extra_bytes(cx, set)) + keep;
}

atn_status atn_similarity_bytes(atn_ctx *cx, const atn_problem *layers, int n,
                                const bool *keep, atn_idx width,
                                const atn_similarity_opts *opts, double *bytes)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_sim_set set;

    ATN_TRY(make_set(cx, layers, n, keep, opts, &set));
    *bytes = work_bytes(cx, &set, width);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Walks over the rows of all heads together that are to come. */
static void say_passes(atn_ctx *cx, const atn_sim_set *set, bool copy)
{
    const atn_similarity_opts *o = set->opts;
    const int distances = (int)o->distances + (int)o->smoothed;
    const int keys = (o->jaccard > 0) + (o->spearman || o->cka);

    char logarithms[100] = "";

    if (distances + keys == 0) return; /* the usual ones */
    if (distances > 0)
        snprintf(logarithms, sizeof logarithms,
                 "; distances take a logarithm for each of %lld pairs of heads",
                 (long long)(set->m * (set->m - 1) / 2));
    atn_log(
        cx, ATN_LOG_INFO,
        "similarity: %d passes over the rows of %lld heads (1 for inner products, %d "
        "for distances, %d for keys and outputs, %d for copy_err)%s",
        1 + distances + keys + copy, (long long)set->m, distances, keys, (int)copy,
        logarithms);
}

atn_status atn_similarity_compare(atn_ctx *cx, const atn_problem *layers, int n,
                                  const bool *keep, const float *const *w_o,
                                  atn_idx width, const atn_similarity_opts *opts,
                                  atn_similarity_part *part)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_sim_set set;

    *part = (atn_similarity_part){0};
    ATN_TRY(make_set(cx, layers, n, keep, opts, &set));
    ATN_TRY(atn_mem_check(cx, work_bytes(cx, &set, width), "similarity"));
    say_passes(cx, &set, opts->copy_err && !copy_reason(layers, n, w_o, &set));
    ATN_TRY(describe(cx, layers, &set, width, part));
    ATN_TRY(compare_gram(cx, &set, part));
    if (opts->distances) ATN_TRY(compare_rows(cx, &set, part));
    ATN_TRY(compare_extras(cx, &set, part));
    if (!opts->copy_err) goto done;
    part->copy_why = copy_reason(layers, n, w_o, &set);
    if (part->copy_why) {
        atn_log(cx, ATN_LOG_WARN, "similarity: copy_err is not available: %s",
                part->copy_why);
        goto done;
    }
    ATN_TRY(compare_copy(cx, &set, w_o, width, part));
    if (part->copy_bare)
        atn_log(cx, ATN_LOG_WARN,
                "similarity: no layer has w_o, so copy_err is of the heads' "
                "outputs before the output projection");
done:
    if (st != ATN_OK) atn_similarity_part_release(cx, part);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_similarity_part_release(atn_ctx *cx, atn_similarity_part *part)
{
    void *const owned[] = {part->stack,      part->layer,        part->cost,
                           part->head_layer, part->head,         part->head_elem,
                           part->head_row,   part->head_pearson, part->cos_elem,
                           part->cos_row,    part->cos_avg,      part->match,
                           part->pearson,    part->copy_err,     part->head_js,
                           part->head_tv,    part->js,           part->tv};

    for (size_t i = 0; i < ATN_LEN(owned); i++) atn_free(cx, owned[i]);
    for (int e = 0; e < ATN_SIM_EXTRAS; e++) {
        atn_free(cx, part->head_extra[e]);
        atn_free(cx, part->extra[e]);
    }
    *part = (atn_similarity_part){0};
}

void atn_similarity_release(atn_ctx *cx, atn_similarity *s)
{
    for (int i = 0; i < s->parts; i++) atn_similarity_part_release(cx, &s->part[i]);
    atn_free(cx, s->part);
    *s = (atn_similarity){0};
}
