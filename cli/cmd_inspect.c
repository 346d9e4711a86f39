/* cli/cmd_inspect.c -- attnscope inspect: what a model or a capture is, layer by
 * layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "analysis/describe.h"
#include "capture/model.h"
#include "capture/tokenizer.h"
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

static atn_status rope_fact(atn_ctx *cx, const atn_config *c, atn_table *t)
{
    const atn_rope *r = &c->rope;
    char scaling[128] = "not scaled";

    if (!c->arch->rope) return ATN_OK;
    if (r->kind != ATN_ROPE_DEFAULT)
        snprintf(scaling, sizeof scaling, "%s by %g from %g positions",
                 atn_rope_name(r->kind), r->factor, r->original);
    return atn_facts_add(cx, t, "rotary embedding", "%lld numbers a head, theta %g, %s",
                         (long long)r->dim, r->theta, scaling);
}

/* A tokenizer that cannot be run is a fact of the model, not an error of inspect. */
static atn_status tokenizer_fact(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    atn_status st = ATN_OK;
    atn_tokenizer *tokenizer = NULL;
    char why[ATN_ERR_TEXT] = "";

    st = atn_tokenizer_load(cx, m->dir, &tokenizer);
    if (st == ATN_DATA || st == ATN_NOINPUT) {
        snprintf(why, sizeof why, "%s", cx->err.text);
        atn_err_clear(cx);
        st = ATN_OK;
    }
    ATN_TRY(st);
    ATN_TRY(atn_facts_add(cx, t, "tokenizer", "%s%s", *why ? "cannot be run: " : "runs",
                          why));
done:
    atn_tokenizer_destroy(cx, tokenizer);
    return st;
}

/* Of a model of images or latents. */
static atn_status patch_facts(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_add(cx, t,
                          c->arch->input == ATN_INPUT_IMAGE ? "image" : "latents",
                          "%lld channels of %lldx%lld", (long long)c->channels,
                          (long long)c->image_h, (long long)c->image_w));
    ATN_TRY(atn_facts_add(cx, t, "tokens", "%lld special, then %lldx%lld patches",
                          (long long)c->specials, (long long)(c->image_h / c->patch),
                          (long long)(c->image_w / c->patch)));
    if (c->arch->input == ATN_INPUT_LATENTS)
        ATN_TRY(atn_facts_add(cx, t, "classes", "%lld", (long long)c->classes));
    else
        ATN_TRY(atn_facts_add(cx, t, "classes", "%lld", (long long)m->labels));
done:
    return st;
}

/* Of a model of tokens. */
static atn_status token_facts(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_add(cx, t, "vocabulary", "%lld%s", (long long)c->vocab,
                          c->tied ? ", tied embeddings" : ""));
    if (c->max_positions)
        ATN_TRY(atn_facts_add(cx, t, "positions", "%lld", (long long)c->max_positions));
    if (c->stacks[0].rel.buckets)
        ATN_TRY(atn_facts_add(cx, t, "relative positions",
                              "%lld biases a head and stack, for distances to %lld",
                              (long long)c->stacks[0].rel.buckets,
                              (long long)c->stacks[0].rel.max_distance));
    ATN_TRY(atn_facts_add(cx, t, "next-token loss", "%s",
                          m->has_head ? "yes" : "no, the model has no output layer"));
    ATN_TRY(rope_fact(cx, c, t));
    ATN_TRY(tokenizer_fact(cx, m, t));
done:
    return st;
}

static atn_status model_facts(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_add(cx, t, "model directory", "%s", m->dir));
    ATN_TRY(atn_facts_add(cx, t, "family", "%s (%s)", c->arch->title, c->arch->id));
    if (c->n_stacks > 1)
        ATN_TRY(atn_facts_add(cx, t, "layers", "%lld encoder, %lld decoder",
                              (long long)c->stacks[0].layers,
                              (long long)c->stacks[1].layers));
    else
        ATN_TRY(atn_facts_add(cx, t, "layers", "%lld", (long long)c->layers));
    ATN_TRY(atn_facts_add(cx, t, "width", "%lld", (long long)c->width));
    ATN_TRY(atn_facts_add(
        cx, t, "heads", "%lld queries, %lld keys and values, %lld wide",
        (long long)c->heads, (long long)c->kv_heads, (long long)c->head_dim));
    ATN_TRY(atn_facts_add(cx, t, "feed-forward width", "%lld%s", (long long)c->ffn,
                          c->gated ? ", gated" : ""));
    ATN_TRY(atn_facts_add(cx, t, "weights", "%.4g million numbers, %.4g MiB",
                          atn_model_parameters(m) / 1e6,
                          atn_model_bytes(m) / (1 << 20)));
    ATN_TRY(c->patch > 0 ? patch_facts(cx, m, t) : token_facts(cx, m, t));
done:
    return st;
}

/* A row of a layer, or of its cross-attention. */
static atn_status add_layer(atn_ctx *cx, const atn_config *c, const atn_stack *s,
                            bool cross, atn_idx l, atn_table *t)
{
    const bool several = c->n_stacks > 1;
    const atn_idx values[] = {l, c->heads, c->kv_heads, c->head_dim};
    const int n = (int)ATN_LEN(values) + several;
    const atn_idx window = s == c->stacks && c->window ? c->window[l] : 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    if (several) ATN_TRY(atn_table_set_str(cx, t, 0, cross ? "cross" : s->name));
    for (int i = 0; i < (int)ATN_LEN(values); i++)
        atn_table_set_i64(t, several + i, values[i]);
    ATN_TRY(atn_table_set_str(cx, t, n, s->causal && !cross ? "causal" : "both ways"));
    if (window > 0) atn_table_set_i64(t, n + 1, window);
done:
    return st;
}

static atn_status model_layers(atn_ctx *cx, const atn_config *c, atn_table *t)
{
    static const char *const names[] = {"layer", "heads", "kv_heads", "d"};
    atn_status st = ATN_OK;
    int column = -1;

    if (c->n_stacks > 1)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "", NULL, &column));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(atn_table_add_col(cx, t, names[i], ATN_COL_I64, "", NULL, &column));
    ATN_TRY(atn_table_add_col(cx, t, "mask", ATN_COL_STR, "", NULL, &column));
    ATN_TRY(atn_table_add_col(cx, t, "window", ATN_COL_I64, "",
                              "keys of the sliding window, empty = none", &column));
    for (int k = 0; k < 2 * c->n_stacks; k++) {
        const atn_stack *s = &c->stacks[k / 2];
        const bool cross = k % 2;

        for (atn_idx l = 0; l < s->layers && (!cross || s->names.cross_q); l++)
            ATN_TRY(add_layer(cx, c, s, cross, l, t));
    }
done:
    return st;
}

static atn_status inspect_model(atn_cli *cli, const char *dir)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL, *layers = NULL;
    atn_model model = {0};
    atn_run run = {0};
    char *path = NULL;

    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_model_open(cx, dir, &model));
    path = atn_path_join(cx, model.dir, "config.json");
    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_run_add_input(cx, &run, path));
    ATN_TRY(atn_facts_create(cx, &facts));
    ATN_TRY(model_facts(cx, &model, facts));
    ATN_TRY(atn_table_create(cx, "model", &layers));
    ATN_TRY(model_layers(cx, &model.config, layers));
    {
        const atn_table *const tables[] = {facts, layers};

        ATN_TRY(atn_cli_emit_all(cli, &run, tables, 2, 1, NULL));
    }
done:
    atn_free(cx, path);
    atn_table_destroy(cx, facts);
    atn_table_destroy(cx, layers);
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

static atn_status run(atn_cli *cli)
{
    const char *dir = cli->n_args ? cli->args[0] : NULL;

    if (atn_opt_given(cli, "devices")) return inspect_devices(cli);
    if (!dir)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "inspect: give a model directory, a capture, or --devices");
    if (!atn_dir_exists(dir))
        return atn_fail(
            cli->cx, ATN_NOINPUT, __FILE__, __LINE__,
            "%s: there is no such directory (inspect takes a model directory "
            "or a capture)",
            dir);
    if (has_file(cli->cx, dir, "capture.json")) return inspect_run(cli, dir);
    if (has_file(cli->cx, dir, "config.json") ||
        has_file(cli->cx, dir, "transformer/config.json"))
        return inspect_model(cli, dir);
    return atn_fail(cli->cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: neither a capture (no capture.json) nor a model directory (no "
                    "config.json)",
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
        "A model directory has a config.json, a capture a capture.json. What a model "
        "needs and attnscope cannot do is said here, before anything runs.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "facts",
    .max_args = 1,
    .run = run,
};
