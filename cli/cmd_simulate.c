/* cli/cmd_simulate.c -- attnscope simulate: what a pattern could gain on a GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/published.h"
#include "simulators/advice.h"
#include "simulators/baseline.h"
#include "simulators/choose.h"
#include "simulators/parallel.h"

static const atn_option options[] = {
    ATN_OPTION_GPU,
    ATN_OPTION_KERNEL,
    ATN_OPTIONS_LAUNCH,
    {"tokens", 0, ATN_OPT_COUNT, "N", "length of the sequence (what the pattern says)",
     1, 0x1p31},
    {"pattern-file", 0, ATN_OPT_FILE, "FILE",
     "a pattern of docs/guide/approximations.md, JSON; also as a PATTERN", 0, 0},
    {"from", 0, ATN_OPT_TEXT, "METHOD",
     "of a capture: what a method of attnscope list methods keeps, as topk:k=32 or "
     "minference (what the masks show)",
     0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "for --from: tokens of the prompt (what the capture says)", 1, 1e12},
    ATN_OPTIONS_PASSES,
    {"waterfall", 0, ATN_OPT_FLAG, NULL,
     "also the speed-up as tiles, mask, waves, passes and the rest take their share", 0,
     0},
    {"advice", 0, ATN_OPT_FLAG, NULL,
     "also the smallest stride, the best tile and the best order of tokens, by the "
     "tiles "
     "of all heads, each on its own",
     0, 0},
    {"histogram", 0, ATN_OPT_FLAG, NULL,
     "also how many CTAs of a head have how many tiles", 0, 0},
    {"published", 0, ATN_OPT_FLAG, NULL,
     "predicted against published: every published number that is known, and what is "
     "said of it here; goes alone",
     0, 0},
    ATN_OPTIONS_WHOLE,
    {"gpus", 0, ATN_OPT_COUNT, "N", "GPUs that share the sequence: context parallelism",
     1, ATN_CP_GPUS_MOST},
    {"cp", 0, ATN_OPT_TEXT, "SCHEME",
     "ring, zigzag, stripe, all-gather, ulysses, usp, double-ring, lasp, lasp2, or all "
     "(zigzag)",
     0, 0},
    {"cp-order", 0, ATN_OPT_TEXT, "ORDER",
     "tokens of a GPU: contiguous, zigzag, stripe (the scheme's own)", 0, 0},
    {"node", 0, ATN_OPT_COUNT, "N", "GPUs that the fast link joins (8)", 1, 65536},
    {"ulysses", 0, ATN_OPT_COUNT, "U", "of usp: GPUs that share heads (most in a node)",
     1, 65536},
    {"link", 0, ATN_OPT_F64, "GB/S",
     "usable in a node, a GPU and direction (0.8 of half of NVLink)", 1e-3, 1e6},
    {"network", 0, ATN_OPT_F64, "GB/S",
     "usable between nodes, a GPU and direction (40)", 1e-3, 1e6},
    {"latency", 0, ATN_OPT_F64, "US", "of a message (10)", 0, 1e6},
    {"merge", 0, ATN_OPT_F64, "BYTES",
     "that merging partial results moves for a number of the result (8 and its own; 55 "
     "of a chain of passes)",
     1, 1e6},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

/* ---- what is asked for ---- */

/* What attention is a part of. */
static atn_status check_whole(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (atn_opt_given(cli, "attention-share") && atn_opt_given(cli, "parameters"))
        ATN_FAIL(ATN_USAGE, "simulate: --attention-share and --parameters say the same "
                            "(give one)");
    if (atn_opt_given(cli, "attention-share") &&
        !(atn_opt_f64(cli, "attention-share", 0) > 0))
        ATN_FAIL(ATN_USAGE,
                 "simulate: --attention-share 0 leaves nothing to gain (give "
                 "more than 0, or leave it out)");
    if (atn_opt_given(cli, "parameters") && !(atn_opt_f64(cli, "parameters", 0) > 0))
        ATN_FAIL(ATN_USAGE, "simulate: --parameters 0 is no model (give more, as "
                            "8.03e9, or leave it out)");
    if (atn_opt_given(cli, "num-layers") && !atn_opt_given(cli, "attention-share") &&
        !atn_opt_given(cli, "parameters") && !atn_opt_given(cli, "dense-share"))
        ATN_FAIL(ATN_USAGE, "simulate: --num-layers says nothing by itself (give "
                            "--parameters, --attention-share or --dense-share, too)");
done:
    return st;
}

/* Several GPUs: what is of them, and of these schemes. */
static atn_status check_gpus(atn_cli *cli)
{
    static const char *const of_gpus[] = {"cp",      "cp-order", "node",    "link",
                                          "network", "latency",  "ulysses", "merge"};
    static const char *const of_one[] = {
        "waterfall",  "advice",      "histogram",    "attention-share", "parameters",
        "num-layers", "dense-share", "dense-kernel", "dense",           "harness"};
    const char *name = atn_opt_text(cli, "cp", "zigzag");
    const bool gpus = atn_opt_given(cli, "gpus");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_cp_kind kind;
    int scheme;

    for (size_t i = 0; i < ATN_LEN(of_gpus) && !gpus; i++)
        if (atn_opt_given(cli, of_gpus[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s is of several GPUs (give --gpus N, too)",
                     of_gpus[i]);
    for (size_t i = 0; i < ATN_LEN(of_one) && gpus; i++)
        if (atn_opt_given(cli, of_one[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s is of one GPU and says nothing with --gpus (leave "
                     "one out)",
                     of_one[i]);
    if (!gpus) goto done;
    if (atn_opt_i64(cli, "pass", 0) == ATN_PASS_DECODE)
        ATN_FAIL(ATN_USAGE, "simulate: --gpus shares out the queries of a prefill or a "
                            "training step, and --pass decode has one (give --pass "
                            "forward or backward)");
    ATN_TRY(atn_cp_scheme_find(cx, name, &scheme));
    if (scheme == ATN_CP_ALL) goto done;
    kind = atn_cp_schemes[scheme].kind;
    if (atn_opt_given(cli, "ulysses") && kind != ATN_CP_USP)
        ATN_FAIL(ATN_USAGE,
                 "simulate: --ulysses is of --cp usp, not of %s (leave it "
                 "out)",
                 name);
    if (atn_opt_given(cli, "cp-order") &&
        (kind == ATN_CP_EXCHANGE || kind == ATN_CP_LASP || kind == ATN_CP_LASP2))
        ATN_FAIL(ATN_USAGE,
                 "simulate: --cp-order is of schemes that cut the mask among "
                 "GPUs, which %s does not (leave it out)",
                 name);
done:
    return st;
}

static const char *const of_captures[] = {"from",  "prompt", "stack", "steps",
                                          "heads", "layers", "keep"};

static atn_status check(atn_cli *cli, bool capture)
{
    static const char *const of_words[] = {"tokens", "num-heads", "num-kv-heads",
                                           "head-dim", "pattern-file"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (size_t i = 0; !capture && i < ATN_LEN(of_captures); i++)
        if (atn_opt_given(cli, of_captures[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s is of a capture, and there is none (leave it out)",
                     of_captures[i]);
    if (atn_opt_given(cli, "prompt") && !atn_opt_given(cli, "from"))
        ATN_FAIL(ATN_USAGE, "simulate: --prompt is of --from METHOD, and there is none "
                            "(give it, or leave --prompt out)");
    for (size_t i = 0; capture && i < ATN_LEN(of_words); i++)
        if (atn_opt_given(cli, of_words[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s is of a pattern; the capture %s says its own "
                     "(leave it out)",
                     of_words[i], cli->args[0]);
    ATN_TRY(check_gpus(cli));
    ATN_TRY(check_whole(cli));
    if (cli->n_args + (atn_opt_given(cli, "pattern-file") ? 1 : 0) == 0)
        ATN_FAIL(ATN_USAGE,
                 "simulate: give a PATTERN (attnscope list patterns), --pattern-file "
                 "FILE or a capture");
    for (int i = 0; cli->n_args > 1 && i < cli->n_args; i++)
        if (atn_is_capture(cli->args[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: %s is a capture, which goes alone (give one capture, "
                     "or any number of patterns)",
                     cli->args[i]);
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
done:
    return st;
}

/* ---- tables ---- */

/* People who ask for nothing else read what is to be decided by: fifty columns are for
 * programs. */
static bool is_summary(const atn_cli *cli)
{
    return atn_cli_format(cli) == ATN_TABLE_TEXT && !atn_opt_given(cli, "output") &&
           !atn_opt_given(cli, "keep");
}

static const char *const summary[] = {
    "pattern",   "kernel",      "density",       "visited_tiles",
    "max_tiles", "bound_flop",  "bound_sum",     "bound_max",
    "time_ms",   "time_low_ms", "time_high_ms",  "dense_kernel",
    "dense_ms",  "speedup",     "whole_speedup", "break_even_density",
    "limited_by"};

/* What the times stand on, once for all cases that share it. */
static void say_models(atn_cli *cli, const atn_table *t)
{
    const int kernel = atn_table_find_col(t, "kernel"),
              model = atn_table_find_col(t, "model"),
              note = atn_table_find_col(t, "note");

    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const char *m = atn_table_get_str(t, r, model);
        const char *n = atn_table_get_str(t, r, note);
        bool said = false;

        for (atn_idx i = 0; i < r && !said; i++) {
            const char *before = atn_table_get_str(t, i, model);
            const char *noted = atn_table_get_str(t, i, note);

            said = m && before && strcmp(m, before) == 0 &&
                   strcmp(n ? n : "", noted ? noted : "") == 0;
        }
        if (said || !m) continue;
        if (!atn_table_text(t, r, kernel)[0]) {
            atn_log(cli->cx, ATN_LOG_INFO, "%s", m);
            continue;
        }
        atn_log(cli->cx, ATN_LOG_INFO, "%s: %s%s%s", atn_table_get_str(t, r, kernel), m,
                n && *n ? "; " : "", n ? n : "");
    }
}

static atn_status summarize(atn_cli *cli, const char *const *columns, int n,
                            atn_table **t)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *brief = NULL;

    say_models(cli, *t);
    ATN_TRY(atn_table_pick(cx, *t, columns, n, &brief));
    atn_table_destroy(cx, *t);
    *t = brief;
done:
    return st;
}

/* Tiles that are tried: the kernel's for such masks; where it only stands in for one of
 * blocks, its usual one and that in the blocks. Into out [tiles of the kernel + 2]. */
static int tiles_to_try(const atn_sim_item *item, const atn_pattern *p, atn_tiling *out)
{
    const atn_kernel *k = item->kernel;
    const atn_launch *l = &item->sim.shape;
    const unsigned takes = atn_pattern_takes(p);
    const unsigned grid = item->opts.tiling.grid.n > 0 ? ATN_TAKES_GRID : 0;
    const int dim = (int)l->head_dim;
    int n = atn_advice_tiles(k, dim, l->pass, takes | grid, out);
    const atn_kernel_tile *t = atn_kernel_tile_of(
        k, dim, l->pass, l->causal ? ATN_TAKES_CAUSAL : ATN_TAKES_FULL, 1, 0);

    if (n > 0 || takes != ATN_TAKES_BLOCKS || !t) return n;
    out[n++] = (atn_tiling){.q = t->q, .k = t->k};
    out[n] = out[0];
    return atn_tile_in_blocks(p->frame.block, &out[n].q, &out[n].k) ? n + 1 : n;
}

/* What would make each case cheaper. */
static atn_status advise(atn_ctx *cx, const atn_sim_list *l, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_advices *advices = NULL;
    const char **names;
    atn_tiling *tiles;

    ATN_TAKE(advices, l->n);
    ATN_TAKE(names, l->n);
    for (int i = 0; i < l->n; i++) {
        const atn_sim_item *item = &l->item[i];
        const atn_list *grid = &item->opts.tiling.grid;
        atn_idx heads;
        const atn_pattern *const *each = atn_sim_item_heads(item, &heads), *p = each[0];
        atn_advice_case c = {
            .p = p, .now = item->sim.tiling, .grid = *grid, .causal = item->sim.causal};
        bool alike = true;

        for (atn_idx h = 1; h < heads; h++) alike &= each[h] == p;
        c.n = alike ? p->heads : heads;
        c.each = alike ? NULL : each;

        ATN_TAKE(tiles, item->kernel->tiles + 2);
        c.tiles = tiles;
        c.n_tiles = tiles_to_try(item, p, tiles);
        ATN_TRY(atn_advise(cx, &c, &advices[i]));
        ATN_TRY(
            atn_advices_time(cx, each, heads, &item->opts, &item->sim, &advices[i]));
        names[i] = item->name;
    }
    ATN_TRY(atn_advice_table(cx, names, advices, l->n, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* CTAs of the first head by their visits. */
static atn_status count_ctas(atn_ctx *cx, const atn_sim_list *l, atn_table **out)
{
    int pattern, kernel, visits, ctas;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "histogram", &t));
    ATN_TRY(atn_table_add_col(cx, t, "pattern", ATN_COL_STR, "", NULL, &pattern));
    ATN_TRY(atn_table_add_col(cx, t, "kernel", ATN_COL_STR, "", NULL, &kernel));
    ATN_TRY(atn_table_add_col(cx, t, "visits", ATN_COL_I64, "",
                              "tiles that a CTA visits", &visits));
    ATN_TRY(atn_table_add_col(cx, t, "ctas", ATN_COL_I64, "",
                              "CTAs of the first head with so many", &ctas));
    for (int i = 0; i < l->n; i++) {
        const atn_tiles *of = &l->item[i].sim.tiles;

        for (atn_idx v = 0; v <= of->max; v++) {
            if (of->histogram[v] == 0) continue;
            ATN_TRY(atn_table_add_row(cx, t));
            ATN_TRY(atn_table_set_str(cx, t, pattern, l->item[i].name));
            ATN_TRY(atn_table_set_str(cx, t, kernel, l->item[i].kernel->id));
            atn_table_set_i64(t, visits, v);
            atn_table_set_i64(t, ctas, of->histogram[v]);
        }
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status emit(atn_cli *cli, atn_run *run, const atn_sim_list *l,
                       const char *keep)
{
    const atn_arena_mark mark = atn_arena_save(cli->cx);
    atn_table *t[4] = {NULL, NULL, NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_sim_case *cases;
    int n = 0;

    ATN_TRY(atn_sim_list_cases(cx, l, &cases));
    ATN_TRY(atn_sim_table(cx, cases, l->n, &t[n++]));
    if (is_summary(cli)) ATN_TRY(summarize(cli, summary, (int)ATN_LEN(summary), &t[0]));
    if (atn_opt_given(cli, "waterfall")) {
        ATN_TRY(atn_sim_waterfall(cx, cases, l->n, &t[n++]));
        ATN_TRY(atn_sim_list_subtitle(cx, l, t[n - 1]));
    }
    if (atn_opt_given(cli, "advice")) ATN_TRY(advise(cx, l, &t[n++]));
    if (atn_opt_given(cli, "histogram")) ATN_TRY(count_ctas(cx, l, &t[n++]));
    for (int i = 0; i < n; i++)
        if (atn_cli_format(cli) == ATN_TABLE_TEXT) atn_table_be_brief(t[i]);
    ATN_TRY(atn_cli_emit_all(cli, run, (const atn_table *const *)t, n, 0, keep));
done:
    for (int i = 0; i < n; i++) atn_table_destroy(cx, t[i]);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- context parallelism ---- */

static atn_status read_parallel(const atn_cli *cli, atn_cp_opts *o)
{
    const char *order = atn_opt_text(cli, "cp-order", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    atn_cp_defaults(o);
    ATN_TRY(atn_cp_scheme_find(cx, atn_opt_text(cli, "cp", "zigzag"), &o->scheme));
    if (order) ATN_TRY(atn_cp_order_find(cx, order, &o->order));
    o->gpus = atn_opt_i64(cli, "gpus", o->gpus);
    o->node = atn_opt_i64(cli, "node", o->node);
    o->ulysses = atn_opt_i64(cli, "ulysses", o->ulysses);
    o->link_gbs = atn_opt_f64(cli, "link", o->link_gbs);
    o->network_gbs = atn_opt_f64(cli, "network", o->network_gbs);
    o->latency_us = atn_opt_f64(cli, "latency", o->latency_us);
    o->merge_bytes = atn_opt_f64(cli, "merge", o->merge_bytes);
    o->backward = atn_opt_i64(cli, "pass", 0) == ATN_PASS_BACKWARD;
done:
    return st;
}

static const char *const cp_summary[] = {
    "pattern", "kernel",      "gpus",         "scheme",     "order",
    "ulysses", "balance",     "volume_gb",    "compute_ms", "exposed_ms",
    "time_ms", "time_low_ms", "time_high_ms", "single_ms",  "efficiency",
    "speedup", "limited_by",  "memory_gb",    "fits",       "note"};

/* Every case over several GPUs. */
static atn_status emit_parallel(atn_cli *cli, atn_run *run, const atn_sim_list *l,
                                const char *keep)
{
    const atn_arena_mark mark = atn_arena_save(cli->cx);
    atn_cp_case *cases = NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_cp_opts o;
    atn_cp *cp;

    ATN_TRY(read_parallel(cli, &o));
    ATN_TAKE(cases, l->n);
    ATN_TAKE(cp, l->n);
    for (int i = 0; i < l->n; i++) {
        const atn_sim_item *item = &l->item[i];
        atn_idx heads;
        const atn_pattern *const *p = atn_sim_item_heads(item, &heads);

        ATN_TRY(atn_cp_run(cx, p, heads, &item->opts, &o, &cp[i]));
        cases[i] = (atn_cp_case){item->name, p[0]->frame.nq, &item->opts, &o, &cp[i]};
    }
    ATN_TRY(atn_cp_table(cx, cases, l->n, &t));
    if (is_summary(cli))
        ATN_TRY(summarize(cli, cp_summary, (int)ATN_LEN(cp_summary), &t));
    if (atn_cli_format(cli) == ATN_TABLE_TEXT) atn_table_be_brief(t);
    ATN_TRY(atn_cli_emit(cli, run, t, keep));
done:
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Notes where another kernel's dense launch is faster; launches one after another are
 * often the same. */
static atn_status compare_dense(atn_ctx *cx, atn_sim_list *l)
{
    const atn_sim_item *before = NULL;
    atn_status st = ATN_OK;
    atn_baseline best = {0};

    for (int i = 0; i < l->n; i++) {
        atn_sim_item *item = &l->item[i];
        const bool same =
            before && before->kernel == item->kernel &&
            before->sim.causal == item->sim.causal &&
            before->sim.dense_ms == item->sim.dense_ms &&
            memcmp(&before->sim.shape, &item->sim.shape, sizeof item->sim.shape) == 0;

        if (!same) ATN_TRY(atn_baseline_find(cx, &item->opts, &item->sim, &best));
        atn_baseline_say(&best, &item->sim);
        before = item;
    }
done:
    return st;
}

static atn_status simulate(atn_cli *cli, atn_run *run, atn_sim_list *l,
                           const char *keep)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_simulation_record(cli, run));
    if (atn_opt_given(cli, "gpus")) {
        ATN_TRY(emit_parallel(cli, run, l, keep));
        goto done;
    }
    ATN_TRY(atn_sim_list_run(cx, l));
    ATN_TRY(compare_dense(cx, l));
    ATN_TRY(emit(cli, run, l, keep));
done:
    return st;
}

/* ---- of patterns, of a capture ---- */

static atn_status of_patterns(atn_cli *cli, const atn_simulation *s)
{
    const char *file = atn_opt_text(cli, "pattern-file", NULL);
    atn_ctx *cx = cli->cx;
    const char **words = NULL;
    atn_status st = ATN_OK;
    atn_sim_list l = {0};
    atn_run run = {0};
    int n = 0;

    ATN_TAKE(words, cli->n_args + 1);
    for (int i = 0; i < cli->n_args; i++) words[n++] = cli->args[i];
    if (file) words[n++] = file;
    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_sim_list_words(cli, s, words, n, &l));
    for (int i = 0; i < l.stacks; i++) ATN_TRY(atn_stack_record(cx, &run, &l.stack[i]));
    ATN_TRY(simulate(cli, &run, &l, NULL));
done:
    atn_sim_list_release(cx, &l);
    atn_run_release(&run);
    return st;
}

static atn_status of_capture(atn_cli *cli, const atn_simulation *s)
{
    const char *from = atn_opt_text(cli, "from", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject subject = {0};
    atn_sim_list l = {0};
    atn_from method;

    if (from) {
        ATN_TRY(atn_from_read(cx, from, &method));
        method.grid = s->opts.tiling.grid;
        method.prompt = atn_opt_i64(cli, "prompt", 0);
    }
    ATN_TRY(atn_subject_open(cli, cli->args[0], &subject));
    ATN_TRY(atn_sim_list_capture(cli, s, &subject, from ? &method : NULL, &l));
    ATN_TRY(simulate(cli, &subject.run, &l, cli->args[0]));
done:
    atn_sim_list_release(cx, &l);
    atn_subject_close(cli, &subject);
    return st;
}

/* ---- against what is published ---- */

static const char *const headline[] = {
    "method",    "gpu",           "tokens",         "quantity", "published",
    "predicted", "predicted_low", "predicted_high", "error",    "within_interval"};

/* It goes alone: launches are those that were published. */
static atn_status check_published(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (cli->n_args > 0 || atn_opt_given(cli, "gpu"))
        ATN_FAIL(ATN_USAGE, "simulate: --published has patterns and GPUs of its own "
                            "(leave out PATTERN and --gpu)");
    for (const atn_option *o = options; o->name; o++)
        if (strcmp(o->name, "published") != 0 && atn_opt_given(cli, o->name))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s: --published goes alone (leave one out)", o->name);
    for (size_t i = 0; i < ATN_LEN(of_captures); i++)
        if (atn_opt_given(cli, of_captures[i]))
            ATN_FAIL(ATN_USAGE,
                     "simulate: --%s: --published goes alone (leave one out)",
                     of_captures[i]);
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
done:
    return st;
}

static atn_status against_published(atn_cli *cli)
{
    atn_table *t = NULL, *brief = NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_run run = {0};

    ATN_TRY(check_published(cli));
    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_published_table(cli, &t));
    if (is_summary(cli)) {
        ATN_TRY(atn_table_pick(cx, t, headline, (int)ATN_LEN(headline), &brief));
        atn_table_be_brief(brief);
    }
    ATN_TRY(atn_cli_emit(cli, &run, brief ? brief : t, NULL));
done:
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, brief);
    atn_run_release(&run);
    return st;
}

static atn_status run(atn_cli *cli)
{
    const bool capture = cli->n_args > 0 && atn_is_capture(cli->args[0]);
    atn_ctx *cx = cli->cx;
    atn_simulation s = {0};
    atn_status st = ATN_OK;

    if (atn_opt_given(cli, "published")) return against_published(cli);
    ATN_TRY(check(cli, capture));
    ATN_TRY(atn_simulation_read(cli, &s));
    atn_simulation_read_rest(cli, &s);
    ATN_TRY(capture ? of_capture(cli, &s) : of_patterns(cli, &s));
done:
    atn_simulation_release(cx, &s);
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option) return atn_pattern_word(i);
    if (strcmp(option, "from") == 0) return atn_method_id(i);
    if (strcmp(option, "gpu") == 0) return atn_device_id(i);
    if (strcmp(option, "cp") == 0)
        return i < ATN_CP_SCHEMES ? atn_cp_schemes[i].name
                                  : (i == ATN_CP_SCHEMES ? "all" : NULL);
    if (strcmp(option, "cp-order") == 0)
        return i < ATN_CP_ORDERS ? atn_cp_order_names[i] : NULL;
    if (strcmp(option, "kernel") == 0 || strcmp(option, "dense-kernel") == 0)
        return atn_kernel_id(i);
    return NULL;
}

static const char *const examples[] = {
    "simulate gna:shape=30x48x80,window=18x24x24,stride=16x8x8 --gpu h100 --num-heads "
    "24 --tile 2x8x8/2x8x8",
    "simulate power:block=256,window=5,sink=1 --tokens 128k --gpu h200 --num-kv-heads "
    "8 --waterfall",
    "simulate window:window=4096 stream --tokens 64k --gpu h200 --kernel fa3,flex",
    "simulate --pattern-file mask.json --gpu b200 --head-dim 64",
    "simulate causal --tokens 1m --gpus 64 --cp zigzag --gpu h100",
    "simulate RUN --from minference --gpu a100",
    "simulate stream --tokens 128k --gpu a100 --parameters 8.03e9 --num-layers 32",
    NULL};

const atn_command atn_command_simulate = {
    .id = "simulate",
    .summary = "what a pattern could gain on a GPU, and what eats the gain",
    .args = "PATTERN...|RUN --gpu NAME",
    .examples = examples,
    .text =
        "Three numbers stand side by side, and their gap is the answer. bound_flop is "
        "what the pairs alone promise. bound_sum and bound_max count the tiles that a "
        "kernel visits, all of them and those of its longest CTA: no kernel with these "
        "tiles does less work. They bound work, not time: a long dense launch loses "
        "some of its clock, a short one may leave its last wave nearly empty, and a "
        "speed-up is then some per cent above them. speedup is predicted: the CTAs are "
        "laid out on the SMs in the kernel's order, with times that were fitted to "
        "measurements or, where there are none, come from the data sheet (the column "
        "model says which), and passes beside the kernel are added. time_low_ms and "
        "time_high_ms hold 90 % of the measurements that the model was fitted to. "
        "Below 0.1 ms a launch is no shorter than its overhead: there is no speed-up, "
        "and limited_by says launch.\n"
        "Both sides are compared with the dense kernel over the causal triangle where "
        "no query sees a key ahead, else, and of grids, over the full square "
        "(--dense).\n"
        "A kernel that does not take the mask is simulated as one that is as fast and "
        "skips the tiles that are empty; the column note says so.\n"
        "With --gpus the sequence is spread over several GPUs instead: volume, "
        "balance, time and what is not hidden, for each scheme of --cp.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "waterfall,advice,histogram",
    .word = word,
    .one_piece = "it is over in seconds",
    .min_args = 0,
    .max_args = -1,
    .run = run,
};
