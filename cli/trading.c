/* cli/trading.c -- results of approx, stored or new, against time on a GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define _POSIX_C_SOURCE 200809L
#include "cli/trading.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/approx.h"
#include "analysis/describe.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "simulators/choose.h"

static const char usual_budgets[] = "10%,25%";

/* ---- GPU and kernels ---- */

static atn_status read_gpu(atn_cli *cli, atn_trading *out)
{
    const char *gpu = atn_opt_text(cli, "gpu", NULL);
    char known[512] = "";
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (gpu) return atn_device_read(cx, gpu, &out->device);
    for (int i = 0; atn_device_id(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                 i ? ", " : "", atn_device_id(i));
    ATN_FAIL(ATN_USAGE, "%s needs --gpu NAME, one of %s, or a file of your own",
             cli->command->id, known);
done:
    return st;
}

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

/* Files of a user's own are inputs of the run. */
static atn_status record_files(atn_cli *cli, atn_subject *s)
{
    static const char *const names[] = {"gpu", "kernel", "dense-kernel"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(names); i++) {
        const char *name = atn_opt_text(cli, names[i], "");

        if (atn_file_exists(name)) ATN_TRY(atn_run_add_input(cx, &s->run, name));
    }
done:
    return st;
}

/* ---- stored results ---- */

enum { INPUTS_MOST = 32 };

typedef struct inputs {
    atn_tradeoff_input at[INPUTS_MOST];
    atn_table *approx[INPUTS_MOST], *tiles[INPUTS_MOST];
    char *name[INPUTS_MOST];
    int n;
} inputs;

static void release_inputs(atn_ctx *cx, inputs *in)
{
    for (int i = 0; i < INPUTS_MOST; i++) {
        atn_table_destroy(cx, in->approx[i]);
        atn_table_destroy(cx, in->tiles[i]);
        atn_free(cx, in->name[i]);
    }
}

/* "approx-HASH.csv" of approx, "tradeoff-HASH.approx.csv" of tradeoff; the length of the
 * part before the kind through n. */
static bool is_approx(const char *name, size_t *n)
{
    const size_t hash = strcspn(name, "-") + 1;

    *n = strcspn(name, ".");
    if (*n != hash + 32) return false;
    return (strncmp(name, "approx-", 7) == 0 && strcmp(name + *n, ".csv") == 0) ||
           (strncmp(name, "tradeoff-", 9) == 0 &&
            strcmp(name + *n, ".approx.csv") == 0);
}

static int is_stored(const struct dirent *e)
{
    size_t n;

    return is_approx(e->d_name, &n);
}

/* Why results of this record are not those of the capture as it is; NULL = they are. */
static const char *stranger(const atn_subject *s, const json_t *record)
{
    static const char *const others[] = {"sweep", "unmasked"};
    const char *theirs = atn_record_capture(record);
    const char *ours = atn_record_capture(s->run.json);

    if (!theirs || !ours || strcmp(theirs, ours) != 0)
        return "it was made of another capture, or before this one was made again";
    for (size_t i = 0; i < ATN_LEN(others); i++)
        if (json_object_get(json_object_get(record, "options"), others[i]))
            return i == 0 ? "it is a sweep" : "it takes the mask off";
    return NULL;
}

static bool has_heads(const atn_table *t)
{
    return atn_table_find_col(t, "head") >= 0 && atn_table_find_col(t, "layer") >= 0 &&
           atn_table_find_col(t, "temperature") < 0;
}

/* Takes the table where it is one of heads. */
static atn_status add_input(atn_ctx *cx, inputs *in, const char *path,
                            const char *tiles)
{
    const int i = in->n;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_load(cx, path, &in->approx[i]));
    if (!has_heads(in->approx[i])) {
        atn_log(cx, ATN_LOG_WARN, "%s is left out: it has no rows of heads", path);
        atn_table_destroy(cx, in->approx[i]);
        in->approx[i] = NULL;
        goto done;
    }
    if (atn_file_exists(tiles)) ATN_TRY(atn_table_load(cx, tiles, &in->tiles[i]));
    in->name[i] = atn_strdup(cx, path);
    if (!in->name[i]) ATN_TRY(cx->err.code);
    in->at[i] = (atn_tradeoff_input){in->approx[i], in->tiles[i], in->name[i]};
    in->n++;
done:
    return st;
}

static atn_status one_stored(atn_ctx *cx, const atn_subject *s, const char *folder,
                             const char *name, inputs *in)
{
    char *path = atn_path_join(cx, folder, name), *facts = NULL, *tiles = NULL;
    const char *why = "it has no run record";
    json_t *record = NULL;
    atn_status st = ATN_OK;
    size_t n;

    (void)is_approx(name, &n);
    facts = path ? atn_strfmt(cx, "%s.run.json", path) : NULL;
    tiles = atn_strfmt(cx, "%s/%.*s.approx_tiles.csv", folder, (int)n, name);
    if (!facts || !tiles) ATN_TRY(cx->err.code);
    if (atn_file_exists(facts)) {
        ATN_TRY(atn_json_load(cx, facts, false, &record));
        why = stranger(s, record);
    }
    if (why)
        atn_log(cx, ATN_LOG_WARN, "%s is left out: %s", path, why);
    else
        ATN_TRY(add_input(cx, in, path, tiles));
done:
    json_decref(record);
    atn_free(cx, tiles);
    atn_free(cx, facts);
    atn_free(cx, path);
    return st;
}

static atn_status find_stored(atn_cli *cli, const atn_subject *s, inputs *in)
{
    atn_ctx *cx = cli->cx;
    char *folder = atn_path_join(cx, atn_capture_dir(s->capture), "results");
    struct dirent **entries = NULL;
    atn_status st = ATN_OK;
    int n = 0;

    if (!folder) ATN_TRY(cx->err.code);
    n = scandir(folder, &entries, is_stored, alphasort);
    for (int i = 0; i < n; i++) {
        if (in->n == INPUTS_MOST)
            ATN_FAIL(ATN_DATA, "%s: more than %d results of approx (remove some)",
                     folder, INPUTS_MOST);
        ATN_TRY(one_stored(cx, s, folder, entries[i]->d_name, in));
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, folder);
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

/* Whatever is stored is of other methods, budgets, grid or prompt. */
static bool is_anew(const atn_trading_opts *o)
{
    return o->methods || o->budgets || o->grid || o->prompt > 0;
}

static atn_status compute(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                          const atn_kernel *k, inputs *in)
{
    const atn_approx_opts opts = approx_opts_of(s, o, k);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    ATN_TRY(atn_approx_run(cx, s->capture, &s->selection, &opts, &a));
    ATN_TRY(atn_approx_table(cx, a, ATN_KEYS_HEAD, &in->approx[0]));
    ATN_TRY(atn_approx_tiles(cx, a, &in->tiles[0]));
    in->at[0] = (atn_tradeoff_input){in->approx[0], in->tiles[0], "approx"};
    in->n = 1;
    if (!o->keep) goto done;
    ATN_TRY(atn_run_finish(cx, &s->run));
    ATN_TRY(
        atn_cli_keep(cli, &s->run, in->approx[0], false, atn_capture_dir(s->capture)));
    ATN_TRY(
        atn_cli_keep(cli, &s->run, in->tiles[0], false, atn_capture_dir(s->capture)));
done:
    atn_approx_destroy(cx, a);
    return st;
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
                        atn_trading *out, atn_tradeoff_opts *opts, inputs *in)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    memset(in, 0, sizeof *in);
    ATN_TRY(read_gpu(cli, out));
    ATN_TRY(read_kernels(cli, s, out));
    ATN_TRY(record_files(cli, s));
    *opts = (atn_tradeoff_opts){.device = &out->device,
                                .kernel = &out->kernel,
                                .dense = out->dense.id[0] ? &out->dense : NULL,
                                .batch = atn_opt_i64(cli, "batch", 1),
                                .no_hybrids = o->no_hybrids};
    ATN_TRY(atn_tradeoff_check(cx, s->capture, &s->selection, opts));
    if (!is_anew(o)) ATN_TRY(find_stored(cli, s, in));
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
    const bool shares = !o->no_sharing && s->selection.n >= 3;
    atn_ctx *cx = cli->cx;
    atn_tradeoff_opts opts;
    atn_trading trade;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    inputs in;

    ATN_TRY(begin(cli, s, o, &trade, &opts, &in));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "gpu", "%s, batch %lld", trade.device.title,
                          (long long)opts.batch));
    ATN_TRY(atn_facts_add(cx, t, "kernels", "%s against dense %s", trade.kernel.id,
                          opts.dense ? opts.dense->id : trade.kernel.id));
    for (int i = 0; i < in.n; i++)
        ATN_TRY(atn_facts_add(cx, t, "stored results", "%s, %lld rows%s", in.name[i],
                              (long long)atn_table_rows(in.approx[i]),
                              in.tiles[i] ? "" : ", without counts of tiles"));
    if (in.n == 0) ATN_TRY(say_computed(cx, s, o, t));
    ATN_TRY(
        atn_facts_add(cx, t, "sharing",
                      shares ? "all of %d layers are compared" : "none, of %d layers",
                      s->selection.n));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    release_inputs(cx, &in);
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
    bool shares = false;
    inputs in;

    ATN_TRY(begin(cli, s, o, out, &opts, &in));
    out->stored = in.n > 0;
    if (in.n == 0) ATN_TRY(compute(cli, s, o, &out->kernel, &in));
    if (!o->no_sharing) ATN_TRY(compare_layers(cx, s, &similar, &shares));
    ATN_TRY(atn_tradeoff_run(cx, s->capture, &s->selection, in.at, in.n,
                             shares ? &similar : NULL, &opts, &out->tradeoff));
done:
    atn_similarity_release(cx, &similar);
    release_inputs(cx, &in);
    return st;
}

void atn_trading_release(atn_ctx *cx, atn_trading *t)
{
    atn_tradeoff_destroy(cx, t->tradeoff);
    atn_kernel_release(cx, &t->kernel);
    atn_kernel_release(cx, &t->dense);
    memset(t, 0, sizeof *t);
}
