/* cli/cmd_calibrate.c -- attnscope calibrate: coefficients of a kernel from timings,
 * and how far its predictions are from them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "cli/measuring.h"
#include "cli/output.h"
#include "core/io/file.h"
#include "simulators/calibrate.h"

static const atn_option options[] = {
    {"check", 0, ATN_OPT_FLAG, NULL,
     "compare the timings with predictions of KERNEL instead of fitting", 0, 0},
    {"kernel", 0, ATN_OPT_TEXT, "NAME|FILE",
     "the kernel that was timed; with --check, only rows of this name", 0, 0},
    {"gpu", 0, ATN_OPT_TEXT, "NAME|FILE",
     "the GPU it was timed on (the one of the file; with --check, all)", 0, 0},
    {"split", 0, ATN_OPT_TEXT, "NAME",
     "rows whose column split is NAME, or all (fit, or with --check check, where the "
     "file has them)",
     0, 0},
    {"model", 0, ATN_OPT_CHOICE, "four|full",
     "t0, CTA, tile and masked tile alone, or all terms (full where the rows are "
     "enough)",
     0, 0},
    {"head-dim", 0, ATN_OPT_I64, "D", "only rows of this head dim (all)", 1, 4096},
    {"phase", 0, ATN_OPT_CHOICE, "context|backward|generation",
     "only rows of this phase (all)", 0, 0},
    {"min-ms", 0, ATN_OPT_F64, "MS", "leave out rows that took less (0)", 0, 1e6},
    {"tile", 0, ATN_OPT_TEXT, "Q/K",
     "of the rows chosen on this GPU, instead of the kernel's own; the file has it", 0,
     0},
    {"source", 0, ATN_OPT_TEXT, "TEXT", "where the timings come from (the file's name)",
     0, 0},
    {"measure", 0, ATN_OPT_FLAG, NULL,
     "time attnscope's own kernel on a GPU: the table is a file of timings", 0, 0},
    {"device", 0, ATN_OPT_TEXT, "cuda[:N]", "with --measure: the GPU (cuda)", 0, 0},
    {"quick", 0, ATN_OPT_FLAG, NULL,
     "with --measure: 56 launches, enough for four coefficients, of some 1200", 0, 0},
    {"tokens", 0, ATN_OPT_COUNT, "N", "with --measure: only this length (512 to 16k)",
     1, 0x1p20},
    {"runs", 0, ATN_OPT_I64, "N",
     "with --measure: of a launch, of which the median counts (20)", 1, 10000},
    ATN_OPTION_END,
};

enum { TOKENS = 65536 /* of a tile */ };

typedef struct job {
    atn_cli *cli;
    const char *path;
    atn_timings timings;
    atn_kernel *kernel;  /* as it was read, for the file */
    atn_kernel *settled; /* on the GPU */
    atn_device *device;
    atn_timing_groups groups;
    char split[16]; /* "" = all */
} job;

static atn_status job_open(job *j)
{
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;

    j->path = j->cli->args[0];
    ATN_NEW(j->kernel, 1);
    ATN_NEW(j->settled, 1);
    ATN_NEW(j->device, 1);
    ATN_TRY(atn_timings_load(cx, j->path, &j->timings));
done:
    return st;
}

static void job_close(job *j)
{
    atn_ctx *cx = j->cli->cx;

    atn_timing_groups_release(cx, &j->groups);
    if (j->kernel) atn_kernel_release(cx, j->kernel);
    if (j->settled) atn_kernel_release(cx, j->settled);
    atn_free(cx, j->kernel);
    atn_free(cx, j->settled);
    atn_free(cx, j->device);
    atn_timings_release(cx, &j->timings);
}

/* --split, or `usual` where the file has such rows, or all. */
static atn_status find_split(job *j, const char *usual)
{
    const char *given = atn_opt_text(j->cli, "split", NULL);
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;
    bool there = false;

    j->split[0] = 0;
    if (given && strcmp(given, "all") == 0) return st;
    for (atn_idx i = 0; i < j->timings.n; i++)
        if (strcmp(j->timings.row[i].split, given ? given : usual) == 0) there = true;
    if (given && !there)
        ATN_FAIL(ATN_DATA, "%s: no row has the split %s (--split all takes all)",
                 j->path, given);
    if (there) snprintf(j->split, sizeof j->split, "%s", given ? given : usual);
done:
    return st;
}

static atn_timing_choice choice_of(const job *j)
{
    static const atn_pass passes[] = {ATN_PASS_FORWARD, ATN_PASS_BACKWARD,
                                      ATN_PASS_DECODE};
    const int64_t phase = atn_opt_i64(j->cli, "phase", -1);

    return (atn_timing_choice){.kernel = j->settled,
                               .device = j->device,
                               .split = *j->split ? j->split : NULL,
                               .min_ms = atn_opt_f64(j->cli, "min-ms", 0),
                               .head_dim = (int)atn_opt_i64(j->cli, "head-dim", 0),
                               .pass = phase < 0 ? -1 : (int)passes[phase]};
}

/* The name that all rows have, of GPUs those that the kernel was timed on; or all
 * names, "a, b". */
static bool one_name(const job *j, bool gpus, const char **first, char *list,
                     size_t size)
{
    bool one = true;

    *first = NULL;
    list[0] = 0;
    for (atn_idx i = 0; i < j->timings.n; i++) {
        const atn_timing *row = &j->timings.row[i];
        const char *name = gpus ? row->gpu : row->kernel;

        if (gpus && !atn_kernel_is_called(j->kernel, row->kernel)) continue;
        if (!*first) *first = name;
        if (strcmp(name, *first) != 0) one = false;
        atn_name_add(list, size, name);
    }
    if (!*first) *first = j->timings.row[0].gpu;
    return one;
}

/* --kernel, or the built-in one that the file's only name is of. */
static atn_status read_kernel(job *j, atn_kernel *out)
{
    const char *name = atn_opt_text(j->cli, "kernel", NULL), *id;
    atn_ctx *cx = j->cli->cx;
    char list[240];
    atn_status st = ATN_OK;

    if (name) return atn_kernel_read(cx, name, out);
    if (!one_name(j, false, &name, list, sizeof list))
        ATN_FAIL(ATN_USAGE,
                 "calibrate: %s has timings of several kernels: %s (give "
                 "--kernel)",
                 j->path, list);
    for (int i = 0; (id = atn_kernel_id(i)) != NULL; i++) {
        ATN_TRY(atn_kernel_read(cx, id, out));
        if (atn_kernel_is_called(out, name)) return ATN_OK;
        atn_kernel_release(cx, out);
    }
    ATN_FAIL(ATN_USAGE,
             "calibrate: no built-in kernel is called %s (give --kernel NAME or FILE; "
             "attnscope list kernels)",
             name);
done:
    return st;
}

static atn_status read_device(job *j)
{
    const char *name = atn_opt_text(j->cli, "gpu", NULL);
    atn_ctx *cx = j->cli->cx;
    char list[240];
    atn_status st = ATN_OK;

    if (!name && !one_name(j, true, &name, list, sizeof list))
        ATN_FAIL(
            ATN_USAGE,
            "calibrate: %s has timings of this kernel on several GPUs: %s (give --gpu)",
            j->path, list);
    ATN_TRY(atn_device_read(cx, name, j->device));
done:
    return st;
}

/* ---- fitting ---- */

/* --tile, for a head dim and pass of the rows chosen; pass: what has tiles of its
 * own. */
static atn_status tile_of(const job *j, atn_kernel_tile *t)
{
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;
    const char *text = atn_opt_text(j->cli, "tile", NULL);
    atn_list tile = {0};
    char q[64];

    *t = (atn_kernel_tile){.head_dim = (int)atn_opt_i64(j->cli, "head-dim", 0)};
    if (!text) goto done;
    snprintf(q, sizeof q, "%.63s", text);
    if (strchr(q, '/')) *strchr(q, '/') = 'x'; /* as simulate has it */
    if (!atn_shape_read(q, 2, &tile) || tile.n != 2 || tile.at[0] > TOKENS ||
        tile.at[1] > TOKENS)
        ATN_FAIL(ATN_USAGE,
                 "calibrate: --tile '%.40s' is not Q/K, queries and keys of a tile, of "
                 "at most %d tokens each, such as 128/64",
                 text, (int)TOKENS);
    if (t->head_dim == 0)
        ATN_FAIL(ATN_USAGE, "calibrate: --tile is of one head dim (give --head-dim)");
    t->q = (atn_list){1, {tile.at[0]}};
    t->k = (atn_list){1, {tile.at[1]}};
done:
    return st;
}

static bool has_pass(const atn_kernel *k, atn_pass pass)
{
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].pass == pass) return true;
    return false;
}

/* Into the kernel of the file, for the passes of the rows chosen, and from there into
 * the settled one. Decode steps of a kernel without tiles for them have those of the
 * forward pass. */
static atn_status set_tile(job *j)
{
    atn_ctx *cx = j->cli->cx;
    atn_kernel_tile t;
    atn_status st = ATN_OK;
    bool set = false;

    ATN_TRY(tile_of(j, &t));
    if (t.q.n == 0) goto done;
    for (int i = 0; i < j->groups.n; i++) {
        t.pass = j->groups.group[i].pass;
        if (t.pass == ATN_PASS_DECODE && !has_pass(j->settled, t.pass)) continue;
        ATN_TRY(atn_kernel_put_tile(cx, j->kernel, j->device->architecture, &t));
        set = true;
    }
    if (!set)
        ATN_FAIL(ATN_USAGE,
                 "calibrate: --tile: kernel %s decodes with the tiles of its forward "
                 "pass, and no row chosen is of that (leave --tile out)",
                 j->kernel->id);
    ATN_TRY(atn_kernel_copy_tiles(cx, j->settled, j->kernel));
    atn_kernel_settle(j->settled, j->device->architecture);
done:
    return st;
}

/* What a kernel file may hold: text of a line, cut to its room. */
static atn_status check_source(const job *j)
{
    const char *given = atn_opt_text(j->cli, "source", NULL);
    const size_t most = sizeof(((atn_time_fit *)NULL)->source) - 1;
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;
    size_t bad;

    if (!given) return ATN_OK;
    if (!*given || strlen(given) > most)
        ATN_FAIL(ATN_USAGE, "calibrate: --source has %zu bytes (give 1 to %zu)",
                 strlen(given), most);
    if (!atn_utf8_valid(given, strlen(given), &bad))
        ATN_FAIL(ATN_USAGE, "calibrate: --source is no UTF-8 from byte %zu on", bad);
    for (const char *c = given; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            ATN_FAIL(ATN_USAGE,
                     "calibrate: --source holds a control character (byte "
                     "%d; give one line of text)",
                     (int)(c - given));
done:
    return st;
}

static void set_source(const job *j, atn_time_fit *f)
{
    const char *given = atn_opt_text(j->cli, "source", NULL);
    const char *base = strrchr(j->path, '/');
    size_t bad;

    if (given)
        snprintf(f->source, sizeof f->source, "%s", given);
    else
        snprintf(f->source, sizeof f->source, "%.120s%s%s", base ? base + 1 : j->path,
                 *j->split ? ", split " : "", j->split);
    if (!atn_utf8_valid(f->source, strlen(f->source), &bad)) f->source[bad] = 0;
}

/* One group. Where the model was not asked for, rows that are too few for any are said
 * and passed over. */
static atn_status fit_group(job *j, int i, int kind, atn_time_fit *out)
{
    const atn_timing_group *g = &j->groups.group[i];
    atn_ctx *cx = j->cli->cx;
    atn_status st = atn_calibrate(cx, &j->groups, i, kind, j->kernel, out);

    if (st == ATN_DATA && kind < 0 && j->groups.n > 1) {
        out->rows = 0;
        atn_err_forgive(cx);
        return ATN_OK;
    }
    if (st != ATN_OK) return st;
    set_source(j, out);
    if (kind < 0 && out->model == ATN_MODEL_FOUR)
        atn_log(cx, ATN_LOG_WARN,
                "head_dim %d, %s: %lld rows are too few for all terms: the model of "
                "four coefficients was fitted",
                g->head_dim, atn_pass_names[g->pass], (long long)g->n);
    return atn_kernel_put_fit(cx, j->kernel, out);
}

static atn_status fit_all(job *j)
{
    const int kind = (int)atn_opt_i64(j->cli, "model", -1);
    const char *path = atn_opt_text(j->cli, "output", NULL);
    const bool force = atn_opt_given(j->cli, "force");
    atn_ctx *cx = j->cli->cx;
    atn_time_fit *made = NULL;
    atn_table *t = NULL;
    atn_status st = ATN_OK;
    int n = 0;

    ATN_NEW(made, j->groups.n);
    for (int i = 0; i < j->groups.n; i++) {
        ATN_TRY(atn_progress(cx, "calibrate", i, j->groups.n));
        ATN_TRY(fit_group(j, i, kind, &made[i]));
        n += made[i].rows > 0;
    }
    if (n == 0)
        ATN_FAIL(ATN_DATA, "%s: no head dim and phase has rows enough for a fit",
                 j->path);
    ATN_TRY(atn_calibrate_table(cx, &j->groups, made, &t));
    if (path) ATN_TRY(atn_kernel_save(cx, j->kernel, path, force));
    ATN_TRY(atn_cli_print(j->cli, t));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, made);
    return st;
}

static atn_status plan(job *j)
{
    const int kind = (int)atn_opt_i64(j->cli, "model", -1);
    atn_ctx *cx = j->cli->cx;
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_calibrate_plan(cx, &j->groups, kind, &t));
    ATN_TRY(atn_cli_print(j->cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status open_groups(job *j)
{
    const atn_timing_choice choice = choice_of(j);
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;
    int nearest = 0;

    if (choice.head_dim && !atn_kernel_has_head_dim(j->settled, choice.head_dim,
                                                    ATN_PASS_FORWARD, &nearest))
        ATN_FAIL(ATN_USAGE,
                 "calibrate: kernel %s has no tile for --head-dim %d (nearest: %d)",
                 j->settled->id, choice.head_dim, nearest);
    ATN_TRY(atn_timing_groups_find(cx, &j->timings, j->path, &choice, &j->groups));
    if (j->groups.untiled > 0)
        atn_log(cx, ATN_LOG_WARN,
                "%lld rows are left out: %s has no tile for them (one is of head_dim "
                "%d)",
                (long long)j->groups.untiled, j->settled->id, j->groups.untiled_dim);
done:
    return st;
}

/* Rows of other kernels and GPUs. */
static void say_left_out(const job *j, const atn_kernel *k, const atn_device *d)
{
    char what[400];
    const atn_idx n = atn_timings_left_out(&j->timings, k, d, what, sizeof what);

    if (n > 0)
        atn_log(j->cli->cx, ATN_LOG_INFO, "%lld of %lld rows are left out: %s",
                (long long)n, (long long)j->timings.n, what);
}

static atn_status fit(job *j)
{
    const char *path = atn_opt_text(j->cli, "output", NULL);
    atn_ctx *cx = j->cli->cx;
    atn_kernel_tile tile;
    atn_status st = ATN_OK;

    if (path && (atn_ends_with(path, ".csv") || atn_ends_with(path, ".jsonl")))
        ATN_FAIL(
            ATN_USAGE,
            "calibrate: -o writes the kernel file, which is JSON, and %s is named as "
            "a table (give -o FILE.json; > FILE keeps the table that is printed)",
            path);
    if (path && !atn_opt_given(j->cli, "force") && atn_file_exists(path))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists already (give --force to overwrite it, or another -o)",
                 path);
    ATN_TRY(read_kernel(j, j->kernel));
    ATN_TRY(read_device(j));
    ATN_TRY(
        atn_kernel_read(cx, atn_opt_text(j->cli, "kernel", j->kernel->id), j->settled));
    atn_kernel_settle(j->settled, j->device->architecture);
    ATN_TRY(tile_of(j, &tile));
    ATN_TRY(check_source(j));
    ATN_TRY(find_split(j, "fit"));
    ATN_TRY(open_groups(j));
    ATN_TRY(set_tile(j));
    say_left_out(j, j->settled, j->device);
    ATN_TRY(atn_opt_given(j->cli, "dry-run") ? plan(j) : fit_all(j));
done:
    return st;
}

/* ---- checking ---- */

static atn_status check_gpu(job *j, const char *gpu, atn_check_tables *t, int *checked)
{
    const int kind = (int)atn_opt_i64(j->cli, "model", -1);
    const char *named = atn_opt_text(j->cli, "kernel", NULL);
    atn_timing_choice choice;
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_device_read(cx, gpu, j->device));
    atn_kernel_release(cx, j->settled);
    ATN_TRY(atn_kernel_read(cx, j->cli->args[1], j->settled));
    atn_kernel_settle(j->settled, j->device->architecture);
    choice = choice_of(j);
    choice.named = named;
    atn_timing_groups_release(cx, &j->groups);
    ATN_TRY(atn_timing_groups_find(cx, &j->timings, j->path, &choice, &j->groups));
    ATN_TRY(atn_check_tables_add(cx, t, &j->groups, kind, checked));
done:
    return st;
}

/* Every GPU that rows of the kernel are of, but for those that are not described or
 * have no row of the head dim, phase and split asked for. */
static atn_status check_gpus(job *j, atn_check_tables *t, int *checked)
{
    const atn_idx n = j->timings.n;
    const char **gpu = NULL, *last = j->timings.row[0].gpu;
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;
    atn_idx gpus = 0;
    int done_with = 0;

    ATN_NEW(gpu, n);
    for (atn_idx r = 0; r < n; r++) {
        const atn_timing *row = &j->timings.row[r];
        atn_idx i = 0;

        if (!atn_kernel_is_called(j->kernel, row->kernel)) continue;
        while (i < gpus && strcmp(gpu[i], row->gpu) != 0) i++;
        if (i == gpus) gpu[gpus++] = row->gpu;
    }
    if (gpus == 0) gpu[gpus++] = last; /* says what is in the file */
    for (atn_idx i = 0; i < gpus; i++) {
        ATN_TRY(atn_progress(cx, "GPUs", (double)i, (double)gpus));
        st = check_gpu(j, gpu[i], t, checked);
        if (st != ATN_OK && st != ATN_USAGE && st != ATN_DATA) goto done;
        done_with += st == ATN_OK;
        if (st != ATN_OK && (i + 1 < gpus || done_with > 0)) {
            atn_err_forgive(cx); /* which warns */
            st = ATN_OK;
        }
        ATN_TRY(st);
    }
done:
    atn_free(cx, gpu);
    return st;
}

static atn_status check(job *j)
{
    const char *given = atn_opt_text(j->cli, "gpu", NULL);
    atn_check_tables t = {NULL, NULL};
    const atn_table *tables[2];
    atn_ctx *cx = j->cli->cx;
    atn_run run = {0};
    atn_status st = ATN_OK;
    int checked = 0;

    ATN_TRY(atn_cli_check_output(j->cli, atn_opt_text(j->cli, "output", NULL)));
    ATN_TRY(atn_cli_record(j->cli, &run));
    ATN_TRY(atn_run_add_input(cx, &run, j->path));
    if (atn_file_exists(j->cli->args[1]))
        ATN_TRY(atn_run_add_input(cx, &run, j->cli->args[1]));
    ATN_TRY(atn_kernel_read(cx, j->cli->args[1], j->kernel));
    ATN_TRY(find_split(j, "check"));
    ATN_TRY(atn_check_tables_create(cx, &t));
    if (given) ATN_TRY(atn_device_read(cx, given, j->device));
    say_left_out(j, j->kernel, given ? j->device : NULL);
    ATN_TRY(given ? check_gpu(j, given, &t, &checked) : check_gpus(j, &t, &checked));
    if (checked == 0)
        ATN_FAIL(ATN_DATA,
                 "calibrate: kernel %s has no fit for the rows of %s (fit it first: "
                 "attnscope calibrate %s --kernel %s -o FILE)",
                 j->kernel->id, j->path, j->path, j->kernel->id);
    tables[0] = t.errors;
    tables[1] = t.speedups;
    ATN_TRY(atn_cli_emit_all(j->cli, &run, tables,
                             atn_table_rows(t.speedups) > 0 ? 2 : 1, 0, NULL));
done:
    atn_check_tables_destroy(cx, &t);
    atn_run_release(&run);
    return st;
}

/* ---- */

static atn_status check_words(atn_cli *cli)
{
    static const char *const of_fits[] = {"dry-run", "tile", "source"};
    const bool checks = atn_opt_given(cli, "check");
    atn_ctx *cx = cli->cx;
    const char *name;
    atn_status st = ATN_OK;

    for (int i = 0; (name = atn_cli_measure_option(i)) != NULL; i++)
        if (atn_opt_given(cli, name))
            ATN_FAIL(ATN_USAGE, "calibrate: --%s is of --measure (leave it out)", name);
    if (cli->n_args == 0)
        ATN_FAIL(ATN_USAGE, "calibrate: give a file of timings, or --measure to make "
                            "one (attnscope calibrate --help has examples)");
    if (checks && cli->n_args != 2)
        ATN_FAIL(ATN_USAGE, "calibrate: --check takes the timings and a kernel, a name "
                            "or the file that calibrate -o wrote");
    if (!checks && cli->n_args != 1)
        ATN_FAIL(ATN_USAGE,
                 "calibrate: one file of timings is fitted to, %s is one too many (the "
                 "kernel goes to --kernel; or give --check)",
                 cli->args[1]);
    if (!checks && atn_opt_given(cli, "run-record"))
        ATN_FAIL(ATN_USAGE, "calibrate: --run-record is of --check (a kernel file says "
                            "itself what it was fitted to)");
    for (size_t i = 0; checks && i < ATN_LEN(of_fits); i++)
        if (atn_opt_given(cli, of_fits[i]))
            ATN_FAIL(ATN_USAGE,
                     "calibrate: --%s is of a fit, not of --check (leave it "
                     "out)",
                     of_fits[i]);
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    job j = {.cli = cli};
    atn_status st = ATN_OK;

    if (atn_opt_given(cli, "measure")) return atn_cli_measure(cli);
    ATN_TRY(check_words(cli));
    ATN_TRY(job_open(&j));
    ATN_TRY(atn_opt_given(cli, "check") ? check(&j) : fit(&j));
done:
    job_close(&j);
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option) return NULL;
    if (strcmp(option, "kernel") == 0) return atn_kernel_id(i);
    return strcmp(option, "gpu") == 0 ? atn_device_id(i) : NULL;
}

static const char *const examples[] = {
    "calibrate timings.csv --split fit --kernel fa3 --gpu h200 -o coefficients.json",
    "calibrate --check timings.csv kernel.json",
    "calibrate --check timings.csv fa3 --split all --gpu h200",
    "calibrate mine.csv --kernel fa2 --gpu a100 --model four -o mine.json",
    "calibrate timings.csv --kernel fa3 --gpu h200 --dry-run",
    "calibrate --measure --quick --dry-run",
    NULL};

const atn_command atn_command_calibrate = {
    .id = "calibrate",
    .summary = "coefficients of a kernel on a GPU from timings of it",
    .args = "TIMINGS|--check TIMINGS KERNEL|--measure",
    .examples = examples,
    .text =
        "TIMINGS is a CSV with the columns gpu, kernel, phase (context, generation or "
        "backward), batch, q_len, kv_len, heads, kv_heads, head_dim, window (0 = none; "
        "w: query i sees the keys i - w + 1 to i), latency_ms and, if rows are kept "
        "apart for checking, split; of random blocks density, the share of tiles "
        "computed. "
        "All masks are causal.\n"
        "Every head dim and phase gets a fit of its own: non-negative least squares on "
        "relative errors. With -o the kernel's description and all its fits go into a "
        "kernel file, which --kernel of other commands takes; fits of other GPUs, head "
        "dims and phases stay. The model of four coefficients needs 8 shapes of at "
        "least 1024 "
        "tokens, that of all terms 45 of at least 512.\n"
        "--check prints how far predictions are from the timings, for dense rows and "
        "for every window: mean, median and 90 % of |predicted / measured - 1|; and "
        "for windows how far the speed-up over dense is from the measured one, as FLOP "
        "ratio, ratio of tiles and model say it. Its -o takes the table of errors.\n"
        "--measure makes TIMINGS: it times the kernel attnscope, that of this program, "
        "on a GPU: dense, with windows and with random blocks. --gpu says what the GPU "
        "is called; --dry-run lists the launches and needs none.",
    .options = options,
    .uses = ATN_USE_TABLE | ATN_USE_DRY,
    .second = "calibrate_speedups",
    .word = word,
    .one_piece = "it times one GPU",
    .min_args = 0,
    .max_args = 2,
    .run = run,
};
