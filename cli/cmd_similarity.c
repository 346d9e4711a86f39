/* cli/cmd_similarity.c -- attnscope similarity: layers or heads compared, a sharing
 * plan. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/clusters.h"

#include <string.h>

#include "cli/output.h"
#include "core/param.h"

static const atn_option options[] = {
    {"between", 0, ATN_OPT_CHOICE, "layers|heads", "what is compared (layers)", 0, 0},
    {"plan", 0, ATN_OPT_FLAG, NULL, "which layers could use another's attention", 0, 0},
    {"threshold", 0, ATN_OPT_F64, "X", "plan: least similarity to the leader (0.9)", -1,
     1},
    {"metric", 0, ATN_OPT_CHOICE, ATN_SIMILARITY_METRICS,
     "plan: the similarity that counts (cos_elem)", 0, 0},
    {"gain", 0, ATN_OPT_CHOICE, ATN_SHARE_GAINS, "plan: what to gain (params)", 0, 0},
    {"first-keep", 0, ATN_OPT_I64, "N", "plan: first layers that stay alone (1)", 0,
     1e6},
    {"last-keep", 0, ATN_OPT_I64, "N", "plan: last layers that stay alone (1)", 0, 1e6},
    {"kmax", 0, ATN_OPT_I64, "N", "plan: most layers in a block, 0 = all (0)", 0, 1e6},
    {"budget", 0, ATN_OPT_I64, "N", "plan with --gain error: followers wanted (all)", 0,
     1e6},
    {"number-bytes", 0, ATN_OPT_F64, "B", "plan: bytes of a weight or cache entry (2)",
     0.1, 8},
    {"skip-rows", 0, ATN_OPT_COUNT, "N", "leave the first N rows out (0)", 0, 1e12},
    {"exclude-first", 0, ATN_OPT_COUNT, "N",
     "drop the first N keys and renormalise the rows (0)", 0, 1e12},
    {"no-copy-err", 0, ATN_OPT_FLAG, NULL,
     "leave out the error of using another layer's attention", 0, 0},
    {"distances", 0, ATN_OPT_FLAG, NULL,
     "add js_nats and tv, the distances of rows (slow)", 0, 0},
    {"smoothed", 0, ATN_OPT_FLAG, NULL,
     "add the divergence of rows smoothed by .001, mean and sum (slow)", 0, 0},
    {"jaccard", 0, ATN_OPT_COUNT, "K", "add the overlap of the K best keys of a row", 1,
     1e6},
    {"spearman", 0, ATN_OPT_FLAG, NULL, "add the rank correlation of column sums", 0,
     0},
    {"cka", 0, ATN_OPT_FLAG, NULL, "add linear CKA of head outputs, also debiased", 0,
     0},
    {"clusters", 0, ATN_OPT_TEXT, "K|auto",
     "group the heads by average linkage into K, or cut at half the height", 0, 0},
    {"cluster-by", 0, ATN_OPT_CHOICE, ATN_CLUSTER_DISTANCES,
     "clusters: the distance of two heads (js, which is slow)", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

static atn_share_opts share_opts(const atn_cli *cli)
{
    atn_share_opts o;

    atn_share_defaults(&o);
    o.threshold = atn_opt_f64(cli, "threshold", o.threshold);
    o.first_keep = atn_opt_i64(cli, "first-keep", o.first_keep);
    o.last_keep = atn_opt_i64(cli, "last-keep", o.last_keep);
    o.kmax = atn_opt_i64(cli, "kmax", o.kmax);
    o.metric = (int)atn_opt_i64(cli, "metric", o.metric);
    o.gain = (int)atn_opt_i64(cli, "gain", o.gain);
    o.budget = atn_opt_i64(cli, "budget", o.budget);
    o.bytes = atn_opt_f64(cli, "number-bytes", o.bytes);
    return o;
}

static atn_similarity_opts similarity_opts(const atn_cli *cli, bool heads)
{
    const bool by_js = atn_opt_given(cli, "clusters") &&
                       atn_opt_i64(cli, "cluster-by", 0) == ATN_CLUSTER_JS;
    atn_similarity_opts o;

    atn_similarity_defaults(&o);
    o.skip_rows = atn_opt_i64(cli, "skip-rows", o.skip_rows);
    o.exclude_first = atn_opt_i64(cli, "exclude-first", o.exclude_first);
    o.copy_err = !heads && !atn_opt_given(cli, "no-copy-err");
    o.distances = by_js || atn_opt_given(cli, "distances");
    o.smoothed = atn_opt_given(cli, "smoothed");
    o.jaccard = atn_opt_i64(cli, "jaccard", 0);
    o.spearman = atn_opt_given(cli, "spearman");
    o.cka = atn_opt_given(cli, "cka");
    return o;
}

static atn_status cluster_opts(const atn_cli *cli, atn_cluster_opts *o)
{
    const char *text = atn_opt_text(cli, "clusters", "auto");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *o = (atn_cluster_opts){.distance = (int)atn_opt_i64(cli, "cluster-by", 0)};
    if (strcmp(text, "auto") == 0) goto done;
    ATN_TRY(atn_parse_count(cx, "--clusters", text, &o->k));
    if (o->k < 1) ATN_FAIL(ATN_USAGE, "--clusters %s is below 1 (or give auto)", text);
done:
    return st;
}

static atn_status check_words(atn_cli *cli, bool heads, bool plan)
{
    static const char *const of_plan[] = {"threshold",  "metric",      "gain",
                                          "first-keep", "last-keep",   "kmax",
                                          "budget",     "number-bytes"};
    static const char *const of_pairs[] = {"distances", "smoothed", "jaccard",
                                           "spearman", "cka"};
    const bool clusters = atn_opt_given(cli, "clusters");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (plan && heads)
        ATN_FAIL(ATN_USAGE,
                 "similarity: --plan shares layers, so --between heads does not "
                 "go with it (leave one of the two out)");
    for (size_t i = 0; !plan && i < ATN_LEN(of_plan); i++)
        if (atn_opt_given(cli, of_plan[i]))
            ATN_FAIL(
                ATN_USAGE,
                "similarity: --%s is of the sharing plan (give --plan too, or leave "
                "it out)",
                of_plan[i]);
    for (size_t i = 0; (plan || clusters) && i < ATN_LEN(of_pairs); i++)
        if (atn_opt_given(cli, of_pairs[i]))
            ATN_FAIL(ATN_USAGE,
                     "similarity: --%s adds columns to the table of layers or heads, "
                     "which --%s does not print (leave one of the two out)",
                     of_pairs[i], plan ? "plan" : "clusters");
    if (atn_opt_given(cli, "cluster-by") && !clusters)
        ATN_FAIL(ATN_USAGE,
                 "similarity: --cluster-by is of --clusters (give --clusters "
                 "auto too, or leave it out)");
    if (clusters && (plan || (atn_opt_given(cli, "between") && !heads)))
        ATN_FAIL(ATN_USAGE,
                 "similarity: --clusters groups heads, so %s does not go "
                 "with it (leave one of the two out)",
                 plan ? "--plan" : "--between layers");
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const bool heads = atn_opt_i64(cli, "between", 0) == 1;
    const bool plan = atn_opt_given(cli, "plan");
    const bool clusters = atn_opt_given(cli, "clusters");
    const atn_similarity_opts opts = similarity_opts(cli, heads || clusters);
    const atn_share_opts share = share_opts(cli);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_similarity sim = {0};
    atn_table *t = NULL, *totals = NULL;
    atn_cluster_opts groups;
    atn_subject s = {0};

    ATN_TRY(cluster_opts(cli, &groups));
    ATN_TRY(check_words(cli, heads, plan));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    if (groups.k > s.selection.n_heads)
        ATN_FAIL(ATN_USAGE, "--clusters %lld is above the number of heads, %lld",
                 (long long)groups.k, (long long)s.selection.n_heads);
    ATN_TRY(atn_similarity_run(cx, s.capture, &s.selection, &opts, &sim));
    if (plan)
        ATN_TRY(atn_similarity_plan_table(cx, &sim, &share, &t, &totals));
    else if (clusters)
        ATN_TRY(atn_clusters_table(cx, &sim, &groups, &t, &totals));
    else if (heads)
        ATN_TRY(atn_similarity_heads_table(cx, &sim, &t));
    else
        ATN_TRY(atn_similarity_layers_table(cx, &sim, &t));
    {
        const atn_table *const tables[] = {t, totals};

        ATN_TRY(atn_cli_emit_all(cli, &s.run, tables, totals ? 2 : 1, 0, cli->args[0]));
    }
done:
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, totals);
    atn_similarity_release(cx, &sim);
    atn_subject_close(cli, &s);
    return st;
}

static const char *const examples[] = {
    "similarity RUN",
    "similarity RUN --between layers --format csv",
    "similarity RUN --between heads --layers 1-3 -o heads.csv",
    "similarity RUN --between heads --layers 0,3 --distances",
    "similarity RUN --between heads --jaccard 8 --spearman --cka",
    "similarity RUN --clusters auto --cluster-by cosine",
    "similarity RUN --plan --threshold 0.9",
    NULL};

const atn_command atn_command_similarity = {
    .id = "similarity",
    .summary = "layers against layers, heads against heads, a sharing plan",
    .args = "RUN",
    .examples = examples,
    .text =
        "Compares attention matrices by Gram matrices over row tiles. Between layers, "
        "head h is compared with head h: cos_elem is the mean over heads of the cosine "
        "of the two matrices as long vectors, cos_row the mean over heads and rows of "
        "the cosine of two rows, cos_avg the cosine of the head means, match the mean "
        "cosine under the best pairing of heads; copy_err is the relative error of "
        "layer_b's output when it uses layer_a's attention. --distances adds js_nats, "
        "the Jensen-Shannon divergence, and tv, the total variation of rows. "
        "--clusters "
        "prints the tree of average linkage instead, the heads first, each with its "
        "cluster and its place on a map in the plane; then the cut and how well tree "
        "and map tell the distances. --plan "
        "groups layers into blocks whose followers use their leader's attention, and "
        "says what that saves: one row a layer, then the totals. A second table goes, "
        "in CSV, to a file of its own beside FILE (-o FILE), or to stderr where the "
        "table goes to stdout.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "similarity_plan_totals,clusters_totals",
    .one_piece = "it compares all layers with one another",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
