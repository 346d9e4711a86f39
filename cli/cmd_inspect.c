/* cli/cmd_inspect.c -- attnscope inspect: what a model or a capture is, layer by
 * layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "analysis/describe.h"
#include "capture/gguf.h"
#include "cli/model_tables.h"
#include "cli/output.h"
#include "core/cuda/backend_cuda.h"
#include "core/io/file.h"

/* ---- a capture ---- */

static atn_status inspect_run(atn_cli *cli, const char *dir)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL, *layers = NULL;
    atn_subject s = {0};

    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, dir, &s));
    ATN_TRY(atn_describe_capture(cx, s.capture, &facts));
    ATN_TRY(atn_describe_layers(cx, s.capture, &s.selection, &layers));
    {
        const atn_table *const tables[] = {facts, layers};

        ATN_TRY(atn_cli_emit_all(cli, &s.run, tables, 2, 1, NULL));
    }
done:
    atn_table_destroy(cx, facts);
    atn_table_destroy(cx, layers);
    atn_subject_close(cli, &s);
    return st;
}

/* ---- a model directory ---- */

/* A directory that cannot be captured: what it is, and then the error. */
static atn_status inspect_strange(atn_cli *cli, const char *dir, atn_run *run)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL;
    char why[ATN_ERR_TEXT];

    snprintf(why, sizeof why, "%s", cx->err.text);
    atn_err_clear(cx);
    ATN_TRY(atn_strange_model_facts(cx, dir, why, &facts));
    ATN_TRY(atn_cli_emit(cli, run, facts, NULL));
    st = atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s", why);
done:
    atn_table_destroy(cx, facts);
    return st;
}

static atn_status add_config(atn_cli *cli, const atn_model *m, atn_run *run)
{
    char *path = atn_path_join(cli->cx, m->dir, "config.json");
    atn_status st = path ? ATN_OK : cli->cx->err.code;

    if (path)
        st = atn_run_add_input(cli->cx, run,
                               atn_file_exists(path) ? path : m->weights_path);
    atn_free(cli->cx, path);
    return st;
}

static atn_status inspect_model(atn_cli *cli, const char *dir)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t[3] = {NULL, NULL, NULL};
    atn_model model = {0};
    atn_run run = {0};

    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_cli_record(cli, &run));
    st = atn_model_open(cx, dir, &model);
    if (st == ATN_DATA || st == ATN_NOINPUT) {
        st = inspect_strange(cli, dir, &run);
        goto done;
    }
    ATN_TRY(st);
    ATN_TRY(add_config(cli, &model, &run));
    ATN_TRY(atn_model_facts(cx, &model, &t[0]));
    ATN_TRY(atn_model_layers(cx, &model, &t[1]));
    ATN_TRY(atn_model_costs(cx, &model, &t[2]));
    ATN_TRY(atn_cli_emit_all(cli, &run, (const atn_table *const *)t, 3, 1, NULL));
done:
    for (int i = 0; i < 3; i++) atn_table_destroy(cx, t[i]);
    atn_model_close(cx, &model);
    atn_run_release(&run);
    return st;
}

/* ---- devices ---- */

typedef struct device_columns {
    int id, name, units, memory, note;
} device_columns;

static atn_status device_row(atn_ctx *cx, atn_table *t, const device_columns *c,
                             const char *id, const char *name, int64_t units,
                             double bytes, const char *note)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, c->id, id));
    ATN_TRY(atn_table_set_str(cx, t, c->name, name));
    atn_table_set_i64(t, c->units, units);
    if (bytes > 0) atn_table_set_f64(t, c->memory, bytes / (1 << 30));
    ATN_TRY(atn_table_set_str(cx, t, c->note, note));
done:
    return st;
}

/* The GPUs that the driver sees; without a driver, the log says why there are none. */
static atn_status gpu_rows(atn_ctx *cx, atn_table *t, const device_columns *c)
{
    atn_status st = ATN_OK;
    atn_cu_driver driver;
    atn_gpu_info *list = NULL;
    int n = 0;

    st = atn_cu_driver_open(cx, &driver);
    if (st == ATN_UNAVAILABLE) {
        atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
        atn_err_clear(cx);
        return ATN_OK;
    }
    ATN_TRY(st);
    ATN_TRY(atn_cu_devices(cx, &driver, &list, &n));
    for (int i = 0; i < n; i++) {
        char id[32], note[160];

        snprintf(id, sizeof id, "cuda:%d", list[i].index);
        snprintf(note, sizeof note, "sm_%d%d, %s", list[i].major, list[i].minor,
                 atn_cuda_runs_on(list[i].major) ? "kernels of this build run on it"
                 : *atn_cuda_built_for()
                     ? "the kernels need sm_80 or later"
                     : "this build has no kernels (built without nvcc)");
        ATN_TRY(device_row(cx, t, c, id, list[i].name, list[i].sm_count,
                           (double)list[i].total_bytes, note));
    }
done:
    atn_free(cx, list);
    atn_cu_driver_close(&driver);
    return st;
}

static atn_status inspect_devices(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    const double pages = (double)sysconf(_SC_PHYS_PAGES);
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_run run = {0};
    device_columns c;
    char cpu[256];

    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_table_create(cx, "devices", &t));
    ATN_TRY(atn_table_add_col(cx, t, "device", ATN_COL_STR, "", NULL, &c.id));
    ATN_TRY(atn_table_add_col(cx, t, "name", ATN_COL_STR, "", NULL, &c.name));
    ATN_TRY(atn_table_add_col(cx, t, "units", ATN_COL_I64, "", "threads, or SMs",
                              &c.units));
    ATN_TRY(
        atn_table_add_col(cx, t, "memory_gib", ATN_COL_F64, "GiB", NULL, &c.memory));
    ATN_TRY(atn_table_add_col(cx, t, "note", ATN_COL_STR, "", NULL, &c.note));
    atn_cpu_name(cpu, sizeof cpu);
    ATN_TRY(device_row(cx, t, &c, "cpu", cpu, cx->threads,
                       pages * (double)sysconf(_SC_PAGESIZE), "the default"));
    ATN_TRY(gpu_rows(cx, t, &c));
    ATN_TRY(atn_cli_emit(cli, &run, t, NULL));
done:
    atn_table_destroy(cx, t);
    atn_run_release(&run);
    return st;
}

static bool has_file(atn_ctx *cx, const char *dir, const char *name)
{
    char *path = atn_path_join(cx, dir, name);
    const bool there = path && atn_file_exists(path);

    atn_free(cx, path);
    return there;
}

/* Something of a model is there: its configuration, weights, or a hub's reference to
 * them. */
static bool looks_like_model(atn_ctx *cx, const char *dir)
{
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "pytorch_model.bin",
                                        "diffusion_pytorch_model.safetensors",
                                        "model_index.json",
                                        "refs/main"};
    char *gguf = NULL;
    bool found = false;

    for (size_t i = 0; i < ATN_LEN(names) && !found; i++)
        found = has_file(cx, dir, names[i]);
    if (found) return true;
    if (atn_gguf_find(cx, dir, &gguf) != ATN_OK) {
        atn_err_clear(cx); /* several of them are something, too */
        return true;
    }
    found = gguf != NULL;
    atn_free(cx, gguf);
    return found;
}

static atn_status run(atn_cli *cli)
{
    const char *dir = cli->n_args ? cli->args[0] : NULL;

    if (atn_opt_given(cli, "devices")) return inspect_devices(cli);
    if (!dir)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "inspect: give a model directory, a capture, or --devices");
    if (atn_ends_with(dir, ".gguf") && !atn_dir_exists(dir))
        return inspect_model(cli, dir);
    if (atn_file_exists(dir))
        return atn_fail(
            cli->cx, ATN_DATA, __FILE__, __LINE__,
            "%s: is a file, and inspect takes the directory of a capture or "
            "model, or a .gguf file (give the directory that it lies in)",
            dir);
    if (!atn_dir_exists(dir))
        return atn_fail(
            cli->cx, ATN_NOINPUT, __FILE__, __LINE__,
            "%s: there is no such directory (inspect takes a model directory, a "
            ".gguf file or a capture)",
            dir);
    if (has_file(cli->cx, dir, "capture.json")) return inspect_run(cli, dir);
    if (looks_like_model(cli->cx, dir)) return inspect_model(cli, dir);
    return atn_fail(cli->cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: neither a capture (no capture.json) nor a model directory (no "
                    "config.json, no weights)",
                    dir);
}

static const atn_option options[] = {
    {"devices", 0, ATN_OPT_FLAG, NULL, "the devices that capture can run on", 0, 0},
    ATN_OPTION_END,
};

static const char *const examples[] = {"inspect MODEL", "inspect RUN",
                                       "inspect RUN --format jsonl",
                                       "inspect --devices", NULL};

const atn_command atn_command_inspect = {
    .id = "inspect",
    .summary = "what a model or a capture is, layer by layer",
    .args = "MODEL|RUN",
    .examples = examples,
    .text =
        "A model directory has a config.json (or MODEL is a .gguf file), a capture a "
        "capture.json. Of a model: what it is, what each attention of it does, and "
        "what a "
        "capture would cost by the length of the text. Of a directory that cannot be "
        "captured: what its files say, why not, and exit code 65.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "facts,costs",
    .max_args = 1,
    .run = run,
};
