/* cli/simulation.c -- from the options of a command line to launches that can be
 * simulated. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/simulation.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "simulators/choose.h"

/* ---- options ---- */

/* "2x8x8/4x8x8" */
static atn_status read_tile(atn_cli *cli, atn_tiling *t)
{
    const char *text = atn_opt_text(cli, "tile", NULL);
    const char *slash = text ? strchr(text, '/') : NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char q[64];

    if (!text) goto done;
    snprintf(q, sizeof q, "%.*s", slash ? (int)(slash - text) : 0, text);
    if (!slash || !atn_shape_read(q, 3, &t->q) || !atn_shape_read(slash + 1, 3, &t->k))
        ATN_FAIL(
            ATN_USAGE,
            "--tile: '%.60s' is not AxB/CxD: queries and keys of a tile along 1 to "
            "3 axes (as 128/128 or 2x8x8/2x8x8)",
            text);
    if (t->q.n != t->k.n)
        ATN_FAIL(ATN_USAGE,
                 "--tile: '%.60s' has %d axes of queries and %d of keys (give both as "
                 "many)",
                 text, t->q.n, t->k.n);
done:
    return st;
}

static atn_status read_tiling(atn_cli *cli, atn_simulation *s)
{
    atn_tiling *t = &s->opts.tiling;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(read_tile(cli, t));
    s->layout = (int)atn_opt_i64(cli, "layout", 0);
    ATN_TRY(atn_opt_shape(cli, "grid", ATN_AXES_MOST, &t->grid));
    t->stride = atn_opt_i64(cli, "residues", 0);
    if (t->grid.n > 0 && s->layout == 0) s->layout = 1 + ATN_LAYOUT_GRID;
    if (t->stride > 0 && s->layout == 0) s->layout = 1 + ATN_LAYOUT_STRIDE;
    if (s->layout > 0) t->layout = (atn_layout_kind)(s->layout - 1);
    if (t->grid.n > 0 && t->layout != ATN_LAYOUT_GRID)
        ATN_FAIL(ATN_USAGE, "--grid is of --layout grid (leave one out)");
    if ((t->stride > 0) != (t->layout == ATN_LAYOUT_STRIDE))
        ATN_FAIL(ATN_USAGE,
                 "--layout stride and --residues N go together (give both, or none)");
done:
    return st;
}

static atn_status read_launch(atn_cli *cli, atn_simulation *s)
{
    static const double bytes[] = {2, 2, 1, 4};
    atn_launch *l = &s->opts.shape;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    l->heads = atn_opt_i64(cli, "num-heads", l->heads);
    l->kv_heads = atn_opt_i64(cli, "num-kv-heads", l->heads);
    l->head_dim = l->value_dim = atn_opt_i64(cli, "head-dim", l->head_dim);
    l->batch = atn_opt_i64(cli, "batch", l->batch);
    l->bytes = bytes[atn_opt_i64(cli, "dtype", 0)];
    l->pass = (atn_pass)atn_opt_i64(cli, "pass", 0);
    if (l->kv_heads > l->heads || l->heads % l->kv_heads != 0)
        ATN_FAIL(ATN_USAGE,
                 "--num-kv-heads %lld does not divide the %lld query heads of "
                 "--num-heads (give one that does)",
                 (long long)l->kv_heads, (long long)l->heads);
done:
    return st;
}

/* The i-th piece of "a,b" in out; false when there is none. */
static bool piece(const char *list, int i, char *out, size_t size)
{
    const char *at = list;

    for (; at && i > 0; i--) {
        at = strchr(at, ',');
        at += at ? 1 : 0;
    }
    if (!at || !*at) return false;
    snprintf(out, size, "%.*s", (int)strcspn(at, ","), at);
    return true;
}

static atn_status read_kernels(atn_cli *cli, atn_simulation *s)
{
    const char *list = atn_opt_text(cli, "kernel", NULL);
    const char *dense = atn_opt_text(cli, "dense-kernel", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char name[4096];
    int n = 0;

    while (list && piece(list, n, name, sizeof name)) n++;
    if (list && n == 0)
        ATN_FAIL(ATN_USAGE, "--kernel is empty (attnscope list kernels)");
    if (n > 0) ATN_NEW(s->kernel, n);
    for (; s->kernels < n; s->kernels++) {
        piece(list, s->kernels, name, sizeof name);
        ATN_TRY(atn_kernel_read(cx, name, &s->kernel[s->kernels]));
        atn_kernel_settle(&s->kernel[s->kernels], s->device.architecture);
    }
    if (dense) ATN_TRY(atn_kernel_read(cx, dense, &s->dense));
    atn_kernel_settle(&s->dense, s->device.architecture);
done:
    return st;
}

atn_status atn_gpu_read(atn_cli *cli, atn_device *out)
{
    const char *gpu = atn_opt_text(cli, "gpu", NULL);
    atn_ctx *cx = cli->cx;
    char known[512] = "";
    atn_status st = ATN_OK;

    if (gpu) return atn_device_read(cx, gpu, out);
    for (int i = 0; atn_device_id(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                 i ? ", " : "", atn_device_id(i));
    ATN_FAIL(ATN_USAGE, "%s needs --gpu NAME, one of %s, or a file of your own",
             cli->command->id, known);
done:
    return st;
}

atn_status atn_simulation_read(atn_cli *cli, atn_simulation *out)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    atn_sim_defaults(&out->opts);
    ATN_TRY(atn_gpu_read(cli, &out->device));
    ATN_TRY(read_kernels(cli, out));
    ATN_TRY(read_launch(cli, out));
    ATN_TRY(read_tiling(cli, out));
    out->opts.device = &out->device;
    out->opts.dense = out->dense.id[0] ? &out->dense : NULL;
    out->opts.policy = (int)atn_opt_i64(cli, "mask-policy", 0) - 1;
    out->against = (int)atn_opt_i64(cli, "dense", 0);
done:
    return st;
}

void atn_simulation_read_rest(const atn_cli *cli, atn_simulation *s)
{
    atn_whole *w = &s->opts.whole;

    s->opts.bare = !atn_opt_given(cli, "harness");
    s->permute = (int)atn_opt_i64(cli, "permute", 0);
    s->parameters = atn_opt_f64(cli, "parameters", 0);
    w->share = atn_opt_f64(cli, "attention-share", 0);
    w->layers = (int)atn_opt_i64(cli, "num-layers", 1);
    w->dense_layers = atn_opt_f64(cli, "dense-share", 0);
}

void atn_simulation_release(atn_ctx *cx, atn_simulation *s)
{
    for (int i = 0; i < s->kernels; i++) atn_kernel_release(cx, &s->kernel[i]);
    atn_free(cx, s->kernel);
    atn_kernel_release(cx, &s->dense);
    memset(s, 0, sizeof *s);
}

/* A built-in one has a name, not a path. */
static atn_status record_file(atn_ctx *cx, atn_run *run, const char *name)
{
    return atn_file_exists(name) ? atn_run_add_input(cx, run, name) : ATN_OK;
}

atn_status atn_simulation_record(atn_cli *cli, atn_run *run)
{
    const char *list = atn_opt_text(cli, "kernel", NULL);
    const char *dense = atn_opt_text(cli, "dense-kernel", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char name[4096];

    ATN_TRY(record_file(cx, run, atn_opt_text(cli, "gpu", "")));
    for (int i = 0; list && piece(list, i, name, sizeof name); i++)
        ATN_TRY(record_file(cx, run, name));
    if (dense) ATN_TRY(record_file(cx, run, dense));
done:
    return st;
}

/* ---- cases ---- */

static void set_case(const atn_simulation *s, const atn_pattern *p, atn_sim_item *item)
{
    const atn_pass pass = s->opts.shape.pass;
    const double queries = pass == ATN_PASS_DECODE ? 1 : (double)p->frame.nq;
    /* The gradient of a product is two products, and weights have one, too. */
    const double both = pass == ATN_PASS_BACKWARD ? 2 : 1;
    atn_sim_opts *o = &item->opts;

    *o = s->opts;
    o->kernel = item->kernel;
    o->causal = s->against == 1;
    o->full = s->against == 2;
    item->pattern = p;
    if (s->layout == 0 && p->axes && (p->axes->rank > 1 || p->axes->at[0].dilation > 1))
        o->tiling.layout = ATN_LAYOUT_GRID;
    o->permute = s->permute != 2;
    o->copies = s->permute == 1;
    o->whole.linear_flops = both * 2 * s->parameters * queries * (double)o->shape.batch;
    o->whole.linear_bytes = both * s->parameters * o->shape.bytes;
}

/* The pattern under every kernel asked for, or the one that suits; of heads [n] with
 * one each the first stands for all. Takes name. */
static atn_status add_cases(atn_ctx *cx, const atn_simulation *s, char *name,
                            const atn_pattern *const *heads, atn_idx n_heads,
                            atn_sim_list *l)
{
    const int n = ATN_MAX(s->kernels, 1);
    atn_status st = ATN_OK;
    void *more = atn_realloc(cx, l->item, l->n + n, sizeof *l->item);

    if (!more) ATN_TRY(cx->err.code);
    l->item = more;
    for (int i = 0; i < n; i++) {
        atn_sim_item *item = &l->item[l->n];

        memset(item, 0, sizeof *item);
        item->name = atn_strdup(cx, name);
        if (!item->name) ATN_TRY(cx->err.code);
        l->n++;
        if (s->kernels > 0) {
            item->kernel = &s->kernel[i];
        } else {
            atn_kernel *own = &l->own[l->n_own];

            ATN_TRY(atn_kernel_choose_heads(cx, &s->device, heads, n_heads,
                                            &s->opts.shape, own));
            l->n_own++;
            item->kernel = own;
        }
        set_case(s, heads[0], item);
    }
done:
    atn_free(cx, name);
    return st;
}

/* Patterns that are not said to be causal but see no key ahead are compared with causal
 * attention, too, but for grids: atn_sim_opts. */
atn_status atn_sim_list_words(atn_cli *cli, const atn_simulation *s,
                              const char *const *words, int n, atn_sim_list *out)
{
    atn_ctx *cx = cli->cx;
    const atn_layout like = {.nk = atn_opt_i64(cli, "tokens", 0),
                             .heads = s->opts.shape.heads,
                             .seed = cx->seed};
    atn_status st = ATN_OK;
    int items = 0;

    ATN_NEW(out->stack, n);
    for (; out->stacks < n; out->stacks++)
        ATN_TRY(
            atn_stack_read(cx, words[out->stacks], &like, &out->stack[out->stacks]));
    for (int i = 0; i < n; i++) items += out->stack[i].items;
    ATN_NEW(out->own, items);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < out->stack[i].n; k++) {
            const atn_stack *w = &out->stack[i];
            char *name;

            if (k > 0 && w->item[k] == w->item[k - 1]) continue;
            name = atn_stack_item(cx, w, w->item[k]);
            if (!name) ATN_TRY(cx->err.code);
            ATN_TRY(add_cases(cx, s, name, (const atn_pattern *const *)&w->layer[k], 1,
                              out));
        }
done:
    return st;
}

/* ---- of a capture ---- */

/* Selected heads of layer i, and how many KV heads they read, as a launch. */
static void launch_of(const atn_layer_info *info, atn_idx heads, atn_launch *l)
{
    const atn_idx group = info->heads / info->kv_heads;

    l->heads = heads;
    l->kv_heads = heads % group == 0 ? heads / group : heads;
    l->head_dim = info->d > 0 ? info->d : l->head_dim;
    l->value_dim = info->dv > 0 ? info->dv : l->head_dim;
}

static char *layer_name(atn_ctx *cx, const atn_subject *subject, int i,
                        const char *method)
{
    const atn_layer_info *info =
        atn_capture_layer(subject->capture, subject->selection.at[i]);

    char step[32] = "";

    if (info->steps) snprintf(step, sizeof step, ", step %d", info->step);
    return atn_strfmt(cx, "%s layer %d%s%s%s", method, info->layer,
                      *info->stack ? ", " : "", info->stack, step);
}

static atn_status add_layer(atn_cli *cli, const atn_simulation *s,
                            const atn_subject *subject, const atn_from *from, int i,
                            atn_sim_list *out)
{
    const atn_selection *sel = &subject->selection;
    const atn_layer_info *info = atn_capture_layer(subject->capture, sel->at[i]);
    atn_head_plans *plans = &out->plans[out->captured];
    atn_ctx *cx = cli->cx;
    const int before = out->n;
    atn_status st = ATN_OK;
    char *name;

    ATN_TRY(atn_head_plans_make(cx, subject->capture, sel->at[i], from,
                                sel->heads + i * sel->max_heads, plans));
    out->captured++;
    name = layer_name(cx, subject, i,
                      from ? atn_opt_text(cli, "from", "") : "the model's own mask");
    if (!name) ATN_TRY(cx->err.code);
    ATN_TRY(
        add_cases(cx, s, name, (const atn_pattern *const *)plans->head, plans->n, out));
    for (int k = before; k < out->n; k++) {
        atn_sim_opts *o = &out->item[k].opts;

        launch_of(info, plans->n, &o->shape);
        out->item[k].heads = plans;
        if (from)
            o->extra =
                (atn_extra_work){plans->index_flops * (double)o->shape.batch,
                                 plans->index_bytes * (double)o->shape.batch,
                                 plans->index_flops > 0 || plans->index_bytes > 0};
    }
done:
    return st;
}

atn_status atn_sim_list_capture(atn_cli *cli, const atn_simulation *s,
                                const atn_subject *subject, const atn_from *from,
                                atn_sim_list *out)
{
    const atn_selection *sel = &subject->selection;
    atn_simulation as = *s;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_NEW(out->plans, sel->n);
    ATN_NEW(out->own, sel->n);
    as.opts.shape.head_dim = atn_capture_layer(subject->capture, sel->at[0])->d;
    if (as.opts.shape.head_dim == 0) as.opts.shape.head_dim = s->opts.shape.head_dim;
    for (int i = 0; i < sel->n; i++)
        ATN_TRY(add_layer(cli, &as, subject, from, i, out));
done:
    return st;
}

/* ---- running ---- */

const atn_pattern *const *atn_sim_item_heads(const atn_sim_item *item, atn_idx *n)
{
    *n = item->heads ? item->heads->n : 1;
    return item->heads ? (const atn_pattern *const *)item->heads->head : &item->pattern;
}

atn_status atn_sim_list_run(atn_ctx *cx, atn_sim_list *l)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < l->n; i++) {
        atn_sim_item *item = &l->item[i];
        atn_idx n;
        const atn_pattern *const *heads = atn_sim_item_heads(item, &n);

        ATN_TRY(atn_simulate(cx, heads, n, &item->opts, &item->sim));
        item->done = true;
    }
done:
    return st;
}

atn_status atn_sim_list_cases(atn_ctx *cx, const atn_sim_list *l, atn_sim_case **out)
{
    atn_status st = ATN_OK;

    ATN_TAKE(*out, l->n);
    for (int i = 0; i < l->n; i++)
        (*out)[i] = (atn_sim_case){l->item[i].name, &l->item[i].opts, &l->item[i].sim};
done:
    return st;
}

static bool same_launch(const atn_launch *a, const atn_launch *b)
{
    return a->batch == b->batch && a->heads == b->heads && a->kv_heads == b->kv_heads &&
           a->head_dim == b->head_dim;
}

static const char *dense_id(const atn_sim_item *item)
{
    return item->opts.dense ? item->opts.dense->id : item->kernel->id;
}

/* ", fa3, dense by flex", as far as all are alike. */
static void write_kernels(const atn_sim_list *l, char *out, size_t size)
{
    bool kernels = true, dense = true;

    for (int i = 1; i < l->n; i++) {
        kernels &= strcmp(l->item[i].kernel->id, l->item[0].kernel->id) == 0;
        dense &= strcmp(dense_id(&l->item[i]), dense_id(&l->item[0])) == 0;
    }
    snprintf(out, size, "%s%.60s%s%.60s", kernels ? ", " : "",
             kernels ? l->item[0].kernel->id : "",
             dense ? ", dense by " : ", dense by the same kernel",
             dense ? dense_id(&l->item[0]) : "");
}

atn_status atn_sim_list_subtitle(atn_ctx *cx, const atn_sim_list *l, atn_table *t)
{
    static const char *const passes[] = {"forward", "backward", "decode"};
    const atn_launch *of = &l->item[0].sim.shape;
    bool tokens = true, launch = true;
    char text[400];
    size_t n;

    for (int i = 1; i < l->n; i++) {
        tokens &= l->item[i].sim.shape.kv_len == of->kv_len;
        launch &= same_launch(&l->item[i].sim.shape, of);
    }
    snprintf(text, sizeof text, "%.60s", l->item[0].opts.device->id);
    n = strlen(text);
    write_kernels(l, text + n, sizeof text - n);
    n = strlen(text);
    if (tokens)
        n += (size_t)snprintf(text + n, sizeof text - n, "; %lld tokens",
                              (long long)of->kv_len);
    if (launch)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "; batch %lld, %lld heads of %lld, %lld of keys",
                              (long long)of->batch, (long long)of->heads,
                              (long long)of->head_dim, (long long)of->kv_heads);
    snprintf(text + n, sizeof text - n, "; %s", passes[of->pass]);
    return atn_table_set_meta(cx, t, "subtitle", text);
}

void atn_sim_list_release(atn_ctx *cx, atn_sim_list *l)
{
    for (int i = 0; i < l->n; i++) {
        if (l->item[i].done) atn_sim_release(cx, &l->item[i].sim);
        atn_free(cx, l->item[i].name);
    }
    atn_free(cx, l->item);
    for (int i = 0; i < l->stacks; i++) atn_stack_release(cx, &l->stack[i]);
    atn_free(cx, l->stack);
    for (int i = 0; i < l->captured; i++) atn_head_plans_release(cx, &l->plans[i]);
    atn_free(cx, l->plans);
    for (int i = 0; i < l->n_own; i++) atn_kernel_release(cx, &l->own[i]);
    atn_free(cx, l->own);
    memset(l, 0, sizeof *l);
}
