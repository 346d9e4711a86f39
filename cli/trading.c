/* cli/trading.c -- results of approx, stored or new, against time on a GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/trading.h"

#include <math.h>
#include <string.h>

#include "analysis/approx.h"
#include "analysis/describe.h"
#include "cli/simulation.h"
#include "cli/stored.h"
#include "simulators/choose.h"

static const char usual_budgets[] = "10%,25%";

/* ---- GPU and kernels ---- */

/* The kernel that suits a pattern, which it takes. */
static atn_status choose(atn_ctx *cx, const atn_subject *s, const atn_device *d,
                         atn_pattern *p, atn_kernel *out)
{
    const atn_layer_info *l = atn_capture_layer(s->capture, s->selection.at[0]);
    const atn_launch launch = {.pass = ATN_PASS_FORWARD, .head_dim = l->d};
    const atn_status st = atn_kernel_choose(cx, d, p, &launch, out);

    atn_pattern_destroy(cx, p);
    return st;
}

/* The usual ones: for a choice of blocks, and for dense attention the best there is. */
static atn_status read_kernels(atn_cli *cli, const atn_subject *s, atn_trading *out)
{
    const char *kernel = atn_opt_text(cli, "kernel", NULL);
    const char *dense = atn_opt_text(cli, "dense-kernel", NULL);
    const atn_frame f = atn_frame_square(1024, 128, true),
                    one = atn_frame_square(1024, 1, true);
    const atn_span past = {0, 1024};
    const atn_idx phase = 0;
    atn_ctx *cx = cli->cx;
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    if (kernel) {
        ATN_TRY(atn_kernel_read(cx, kernel, &out->kernel));
        ATN_TRY(atn_kernel_check(cx, &out->kernel, &out->device, ATN_PASS_FORWARD));
    } else {
        ATN_TRY(atn_pattern_columns(cx, &f, 2, 1, &phase, 1, &p));
        ATN_TRY(choose(cx, s, &out->device, p, &out->kernel));
    }
    if (dense) {
        ATN_TRY(atn_kernel_read(cx, dense, &out->dense));
        ATN_TRY(atn_kernel_check(cx, &out->dense, &out->device, ATN_PASS_FORWARD));
    } else if (!kernel) {
        ATN_TRY(atn_pattern_shift(cx, &one, &past, 1, 0, &p));
        ATN_TRY(choose(cx, s, &out->device, p, &out->dense));
    }
    atn_kernel_settle(&out->kernel, out->device.architecture);
    atn_kernel_settle(&out->dense, out->device.architecture);
done:
    return st;
}

/* ---- computed ---- */

static atn_approx_opts approx_opts_of(const atn_subject *s, const atn_trading_opts *o,
                                      const atn_kernel *k)
{
    return (atn_approx_opts){.methods = o->methods ? o->methods : "all",
                             .budgets = o->budgets ? o->budgets : usual_budgets,
                             .grid = o->grid,
                             .prompt = o->prompt,
                             .sample = o->sample,
                             .run = &s->run,
                             .tiles = true,
                             .kernel = k};
}

/* Whatever is stored is of other methods, budgets, grid, prompt or rows. */
static bool is_anew(const atn_trading_opts *o)
{
    return o->methods || o->budgets || o->grid || o->prompt > 0 || o->sample > 0;
}

static atn_status compute(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                          const atn_kernel *k, atn_stored *in)
{
    const atn_approx_opts opts = approx_opts_of(s, o, k);
    atn_stored_one *one = &in->at[0];
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    ATN_TRY(atn_approx_run(cx, s->capture, &s->selection, &opts, &a));
    ATN_TRY(atn_approx_table(cx, a, ATN_KEYS_HEAD, &one->approx));
    ATN_TRY(atn_approx_tiles(cx, a, &one->tiles));
    one->name = atn_strdup(cx, "approx");
    if (!one->name) ATN_TRY(cx->err.code);
    in->n = 1;
    if (!o->keep) goto done;
    ATN_TRY(atn_run_finish(cx, &s->run));
    ATN_TRY(
        atn_cli_keep(cli, &s->run, one->approx, false, atn_capture_dir(s->capture)));
    ATN_TRY(atn_cli_keep(cli, &s->run, one->tiles, false, atn_capture_dir(s->capture)));
done:
    atn_approx_destroy(cx, a);
    return st;
}

/* Without values there are outputs of nothing. */
static bool has_values(const atn_subject *s)
{
    for (int i = 0; i < s->selection.n; i++)
        if (atn_capture_layer(s->capture, s->selection.at[i])->dv <= 0) return false;
    return true;
}

/* What sharing needs; layers that cannot be compared share nothing. */
static atn_status compare_layers(atn_ctx *cx, const atn_subject *s, atn_similarity *out,
                                 bool *there)
{
    atn_similarity_opts o;
    atn_status st = ATN_OK;

    *there = false;
    if (s->selection.n < 3) goto done; /* the first and the last one stay alone */
    atn_similarity_defaults(&o);
    st = atn_similarity_run(cx, s->capture, &s->selection, &o, out);
    *there = st == ATN_OK;
    if (st != ATN_DATA && st != ATN_USAGE) goto done;
    atn_log(cx, ATN_LOG_WARN, "sharing is left out: %s", cx->err.text);
    atn_err_clear(cx);
    st = ATN_OK;
done:
    return st;
}

/* GPU, kernels and what of the results is stored. */
static atn_status begin(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                        atn_trading *out, atn_tradeoff_opts *opts, atn_stored *in)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    memset(in, 0, sizeof *in);
    ATN_TRY(atn_gpu_read(cli, &out->device));
    ATN_TRY(read_kernels(cli, s, out));
    ATN_TRY(atn_simulation_record(cli, &s->run));
    *opts = (atn_tradeoff_opts){.device = &out->device,
                                .kernel = &out->kernel,
                                .dense = out->dense.id[0] ? &out->dense : NULL,
                                .batch = atn_opt_i64(cli, "batch", 1),
                                .no_hybrids = o->no_hybrids};
    ATN_TRY(atn_tradeoff_check(cx, s->capture, &s->selection, opts));
    if (!is_anew(o))
        ATN_TRY(
            atn_stored_find(cx, s, atn_opt_given(cli, "seed") ? &cx->seed : NULL, in));
done:
    return st;
}

static atn_status say_computed(atn_ctx *cx, const atn_subject *s,
                               const atn_trading_opts *o, atn_table *t)
{
    const atn_approx_opts opts = approx_opts_of(s, o, NULL);
    atn_status st = ATN_OK;
    atn_approx_cost c;

    ATN_TRY(atn_approx_estimate(cx, s->capture, &s->selection, &opts, &c));
    ATN_TRY(atn_facts_add(cx, t, "computed", "approximations of %lld heads",
                          (long long)c.heads));
    ATN_TRY(atn_facts_add(cx, t, "methods and budgets", "%lld", (long long)c.cases));
    ATN_TRY(atn_facts_add(cx, t, "memory",
                          "%.0f MiB at most, beside the program itself",
                          ceil((c.bytes + c.in_use) / 0x1p20)));
    ATN_TRY(atn_facts_add(cx, t, "work",
                          "%.4g GFLOP of dense attention and of applying; choosing, "
                          "and fitting to a budget, come on top",
                          c.flops / 1e9));
done:
    return st;
}

atn_status atn_trading_plan(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                            atn_table **out)
{
    const bool shares = !o->no_sharing && s->selection.n >= 3 && has_values(s);
    atn_ctx *cx = cli->cx;
    atn_tradeoff_opts opts;
    atn_trading trade;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_stored in;

    ATN_TRY(begin(cli, s, o, &trade, &opts, &in));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "gpu", "%s, batch %lld", trade.device.title,
                          (long long)opts.batch));
    ATN_TRY(atn_facts_add(cx, t, "kernels", "%s against dense %s", trade.kernel.id,
                          opts.dense ? opts.dense->id : trade.kernel.id));
    for (int i = 0; i < in.n; i++)
        ATN_TRY(atn_facts_add(cx, t, "stored results", "%s, %lld rows%s", in.at[i].name,
                              (long long)atn_table_rows(in.at[i].approx),
                              in.at[i].tiles ? "" : ", without counts of tiles"));
    if (in.n == 0) ATN_TRY(say_computed(cx, s, o, t));
    ATN_TRY(
        atn_facts_add(cx, t, "sharing",
                      shares ? "all of %d layers are compared" : "none, of %d layers",
                      s->selection.n));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    atn_stored_release(cx, &in);
    atn_trading_release(cx, &trade);
    return st;
}

atn_status atn_trading_run(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                           atn_trading *out)
{
    atn_ctx *cx = cli->cx;
    atn_similarity similar = {0};
    atn_tradeoff_opts opts;
    atn_status st = ATN_OK;
    atn_tradeoff_input from[ATN_STORED_FILES];
    bool shares = false;
    atn_stored in;

    ATN_TRY(begin(cli, s, o, out, &opts, &in));
    out->stored = in.n > 0;
    if (in.n == 0) ATN_TRY(compute(cli, s, o, &out->kernel, &in));
    if (!has_values(s))
        atn_log(cx, ATN_LOG_WARN,
                "the capture has no values (v): errors, sharing, hybrids and the front "
                "but for dense are left out (import it with --v)");
    else if (!o->no_sharing)
        ATN_TRY(compare_layers(cx, s, &similar, &shares));
    atn_stored_inputs(&in, from);
    ATN_TRY(atn_tradeoff_run(cx, s->capture, &s->selection, from, in.n,
                             shares ? &similar : NULL, &opts, &out->tradeoff));
done:
    atn_similarity_release(cx, &similar);
    atn_stored_release(cx, &in);
    return st;
}

void atn_trading_release(atn_ctx *cx, atn_trading *t)
{
    atn_tradeoff_destroy(cx, t->tradeoff);
    atn_kernel_release(cx, &t->kernel);
    atn_kernel_release(cx, &t->dense);
    memset(t, 0, sizeof *t);
}
