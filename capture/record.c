/* capture/record.c -- runs a model on its input and writes the capture directory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/record_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "capture/weights.h"
#include "core/io/file.h"
#include "core/param.h"

enum { DENSE_MAX = 4096 };

/* A tensor in the capture's dtype; narrowed copies live in the arena. */
static atn_status add_tensor(atn_ctx *cx, const atn_recording *r, const char *name,
                             const float *x, int rank, const atn_idx *shape,
                             atn_st_out *list, atn_idx *n)
{
    atn_st_out *t = &list[(*n)++];
    atn_status st = ATN_OK;
    atn_idx count = 1;
    uint16_t *half = NULL;

    *t = (atn_st_out){.name = name, .type = r->dtype, .rank = rank, .data = x};
    for (int i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        count *= shape[i];
    }
    if (r->dtype == ATN_F32) return ATN_OK;
    ATN_TAKE(half, count);
    atn_narrow(x, r->dtype, count, half);
    t->data = half;
done:
    return st;
}

static atn_status save_layer(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    atn_recording *r = state;
    const atn_record_args *a = r->args;
    const atn_place *at = d->place;
    const atn_idx width = r->model.config.width;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx q[] = {at->heads, at->nq, at->d}, k[] = {at->kv_heads, at->nk, at->d},
                  v[] = {at->kv_heads, at->nk, at->dv};
    const atn_idx p[] = {at->heads, at->nq, at->nk}, h[] = {at->nq, width};
    const atn_idx w[] = {at->heads * at->dv, width};
    const atn_idx rel[] = {at->rel.buckets, at->heads};
    atn_status st = ATN_OK;
    atn_st_out list[12];
    json_t *weights = NULL;
    float *w_o = NULL;
    atn_idx n = 0;

    ATN_TRY(add_tensor(cx, r, "q", d->q, 3, q, list, &n));
    ATN_TRY(add_tensor(cx, r, "k", d->k, 3, k, list, &n));
    ATN_TRY(add_tensor(cx, r, "v", d->v, 3, v, list, &n));
    if (a->save_q_pre) ATN_TRY(add_tensor(cx, r, "q_pre", d->q_pre, 3, q, list, &n));
    if (a->save_k_pre) ATN_TRY(add_tensor(cx, r, "k_pre", d->k_pre, 3, k, list, &n));
    if (a->save_p) ATN_TRY(add_tensor(cx, r, "p", d->p, 3, p, list, &n));
    if (a->save_h) ATN_TRY(add_tensor(cx, r, "h", d->h, 2, h, list, &n));
    if (at->has_sink)
        ATN_TRY(add_tensor(cx, r, "sink", d->sink, 1, &at->heads, list, &n));
    if (at->has_alibi)
        ATN_TRY(add_tensor(cx, r, "alibi", d->alibi, 1, &at->heads, list, &n));
    if (at->rel.buckets)
        ATN_TRY(add_tensor(cx, r, "rel_bias", d->rel_bias, 2, rel, list, &n));
    if (!a->no_w_o) {
        ATN_TRY(atn_model_w_o(cx, &r->model, at, &w_o));
        /* what reaches the rows is O W_O times the gate */
        for (atn_idx i = 0; d->gate && i < w[0] * width; i++)
            w_o[i] *= d->gate[i % width];
        ATN_TRY(add_tensor(cx, r, "w_o", w_o, 2, w, list, &n));
    }
    ATN_TRY(atn_model_place_weights(cx, &r->model, at, &weights));
    ATN_TRY(atn_capture_set_weights(cx, r->writer, (int)r->slot[d->at], weights));
    ATN_TRY(atn_capture_put(cx, r->writer, (int)r->slot[d->at], list, n));
done:
    atn_free(cx, w_o);
    atn_arena_rewind(cx, mark);
    return st;
}

/* --layers counts in every stack; one that has fewer layers lacks those that are not
 * there. */
static atn_status choose_places(atn_ctx *cx, atn_recording *r)
{
    const atn_input input = atn_record_input(r);
    atn_status st = ATN_OK;
    atn_idx *layers = NULL, n = 0, most = 0;
    bool *wanted = NULL;

    ATN_TRY(atn_model_places(cx, &r->model, &input, &r->places, &r->n_places));
    for (atn_idx i = 0; i < r->n_places; i++)
        most = ATN_MAX(most, r->places[i].layer + 1);
    ATN_TRY(atn_parse_list(cx, "--layers", r->args->layers, most, &layers, &n));
    ATN_NEW(wanted, most);
    ATN_NEW(r->kept, r->n_places);
    ATN_NEW(r->record, r->n_places);
    ATN_NEW(r->slot, r->n_places);
    for (atn_idx i = 0; i < n; i++) wanted[layers[i]] = true;
    for (atn_idx i = 0; i < r->n_places; i++) {
        if (!wanted[r->places[i].layer]) continue;
        r->record[i] = true;
        r->slot[i] = r->n_kept;
        r->kept[r->n_kept++] = i;
    }
done:
    atn_free(cx, layers);
    atn_free(cx, wanted);
    return st;
}

static atn_status choose_dtype(atn_ctx *cx, atn_recording *r)
{
    static const struct {
        const char *name;
        atn_dtype type;
    } names[] = {{"f32", ATN_F32},      {"float32", ATN_F32}, {"f16", ATN_F16},
                 {"float16", ATN_F16},  {"half", ATN_F16},    {"bf16", ATN_BF16},
                 {"bfloat16", ATN_BF16}};
    const char *name = r->args->dtype ? r->args->dtype : "f32";

    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcasecmp(names[i].name, name) == 0) {
            r->dtype = names[i].type;
            return ATN_OK;
        }
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "--store: '%s' is not one of f32, f16, bf16", name);
}

/* Numbers of one place on disk, of which w_o holds the last. */
static double layer_values(const atn_recording *r, const atn_place *p, double *w_o)
{
    const atn_record_args *a = r->args;
    const double nq = (double)p->nq, nk = (double)p->nk, heads = (double)p->heads,
                 kv = (double)p->kv_heads, d = (double)p->d,
                 width = (double)r->model.config.width;
    double values = atn_place_values(p, r->model.config.width);

    *w_o = heads * (double)p->dv * width;
    if (a->no_w_o) {
        values -= *w_o;
        *w_o = 0;
    }
    if (a->save_q_pre) values += nq * heads * d;
    if (a->save_k_pre) values += nk * kv * d;
    if (a->save_h) values += nq * width;
    if (a->save_p) values += heads * nq * nk;
    return values;
}

/* What save_layer takes of the largest place: w_o turned round, and the narrowed
 * copies. */
static double save_bytes(const atn_recording *r)
{
    double most = 0;

    for (atn_idx i = 0; i < r->n_kept; i++) {
        double w_o = 0;
        const double values = layer_values(r, &r->places[r->kept[i]], &w_o);

        most = fmax(
            most,
            w_o * sizeof(float) +
                (r->dtype == ATN_F32 ? 0 : values * (double)atn_dtype_size(r->dtype)));
    }
    return most;
}

static double capture_bytes(const atn_recording *r)
{
    double w_o = 0, values = 0;

    for (atn_idx i = 0; i < r->n_kept; i++)
        values += layer_values(r, &r->places[r->kept[i]], &w_o);
    return values * (double)atn_dtype_size(r->dtype);
}

static atn_forward_args forward_args(atn_recording *r)
{
    const atn_record_args *a = r->args;

    return (atn_forward_args){.input = atn_record_input(r),
                              .visit = save_layer,
                              .state = r,
                              .visit_bytes = save_bytes(r),
                              .visit_place = r->record,
                              .want_pre = a->save_q_pre || a->save_k_pre,
                              .want_p = a->save_p,
                              .want_h = a->save_h,
                              .want_loss = r->model.has_head,
                              .want_label = true,
                              .last_place = r->kept[r->n_kept - 1]};
}

/* Before anything is made on disk. n^2 matrices are refused above DENSE_MAX unless a
 * memory limit says how much is allowed. */
static atn_status check_memory(atn_ctx *cx, atn_recording *r)
{
    const atn_forward_args f = forward_args(r);
    const atn_input in = atn_record_input(r);
    const atn_idx most = atn_model_tokens_most(&r->model, &in);
    const double n = (double)most, heads = (double)r->model.config.heads;

    if (r->args->save_p && most > DENSE_MAX && cx->mem_limit == 0)
        return atn_fail(
            cx, ATN_MEMORY, __FILE__, __LINE__,
            "--save p at %lld tokens takes %.1f GiB a layer; above %d tokens give "
            "--mem-limit to allow it",
            (long long)most, 4 * heads * n * n / 1073741824.0, DENSE_MAX);
    return atn_forward_check(cx, &r->model, &f);
}

/* The encoder alone of a model that has a decoder. */
static bool lacks_target(const atn_recording *r)
{
    return r->model.config.n_stacks > 1 && r->n_target == 0;
}

/* NULL also for what is no language model. */
static const char *why_no_loss(const atn_recording *r)
{
    if (r->model.config.arch->decoder)
        return lacks_target(r)                ? "there is no target to predict"
               : r->model.has_head            ? NULL
               : r->model.config.n_stacks > 1 ? "the weights have no lm_head"
                                              : NULL;
    if (r->model.has_head) return r->n < 2 ? "a single token predicts nothing" : NULL;
    return r->model.config.arch->names.head
               ? "the weights have no lm_head, and config.json does not tie it to the "
                 "embedding"
               : NULL;
}

/* "6 encoder, 6 decoder, 6 cross" */
static void count_stacks(const atn_recording *r, char *out, size_t size)
{
    static const char *const names[] = {"encoder", "decoder", "cross"};
    size_t used = 0;

    *out = '\0';
    for (size_t s = 0; s < ATN_LEN(names); s++) {
        atn_idx n = 0;

        for (atn_idx i = 0; i < r->n_kept; i++)
            n += strcmp(r->places[r->kept[i]].stack, names[s]) == 0;
        if (n > 0 && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%lld %s",
                                     used ? ", " : "", (long long)n, names[s]);
    }
}

static void describe(const atn_ctx *cx, atn_recording *r, atn_record_result *out)
{
    const atn_forward_args f = forward_args(r);
    const atn_input input = atn_record_input(r);

    snprintf(out->model_name, sizeof out->model_name, "%s", r->model.name);
    out->model_type = r->model.config.arch->id;
    out->tokens = r->n;
    out->steps = ATN_MAX(r->latents.steps, 1);
    out->target_tokens = r->n_target;
    out->layers = r->n_kept;
    count_stacks(r, out->stacks, sizeof out->stacks);
    if (lacks_target(r))
        out->note = "only the encoder ran; --target-text FILE or --target-ids FILE "
                    "lets the decoder read and predict a target";
    out->no_loss = why_no_loss(r);
    out->parameters = atn_model_parameters(&r->model);
    out->flops = atn_model_flops(&r->model, &input);
    out->memory_bytes = atn_forward_memory(cx, &r->model, &f);
    out->weight_bytes = atn_model_bytes(&r->model);
    out->capture_bytes = capture_bytes(r);
}

/* What the end of the run knows. */
static atn_status describe_model(atn_ctx *cx, const atn_recording *r,
                                 const atn_forward_result *result)
{
    atn_status st = ATN_OK;
    json_t *weights = NULL;

    ATN_TRY(atn_model_token_weights(cx, &r->model, &weights));
    ATN_TRY(atn_capture_set(cx, r->writer, "weights", weights));
    if (!result->has_loss) goto done;
    ATN_TRY(atn_capture_set(
        cx, r->writer, "loss",
        json_pack("{s:f, s:I, s:o}", "nats_per_token", result->loss, "tokens",
                  (json_int_t)result->loss_tokens, "perplexity",
                  isfinite(exp(result->loss)) ? json_real(exp(result->loss))
                                              : json_null())));
done:
    return st;
}

/* Runs the model over what is not on disk yet. */
static atn_status run_model(atn_ctx *cx, atn_recording *r, atn_record_result *out)
{
    const atn_forward_args f = forward_args(r);
    atn_status st = ATN_OK;
    atn_forward_result result;

    for (atn_idx i = 0; i < r->n_kept; i++)
        if (atn_capture_has_layer(r->writer, (int)i)) {
            r->record[r->kept[i]] = false;
            out->layers_found++;
        }
    ATN_TRY(atn_forward(cx, &r->model, &f, &result));
    out->has_loss = result.has_loss;
    out->loss = result.loss;
    out->has_label = result.has_label;
    out->label = result.label;
    out->label_probability = result.label_probability;
    if (result.has_label) {
        const char *label = atn_model_label(&r->model, result.label);

        snprintf(out->label_text, sizeof out->label_text, "%s", label ? label : "");
    }
    ATN_TRY(describe_model(cx, r, &result));
done:
    return st;
}

/* What a run that did not end leaves, said behind its message. */
static atn_status say_what_is_kept(atn_ctx *cx, const atn_recording *r, atn_status st)
{
    char text[ATN_ERR_TEXT];
    const bool stopped = st == ATN_INTERRUPTED || st == ATN_TERMINATED;
    int kept = 0;

    if (!r->writer || st == ATN_OK) return st;
    for (int i = 0; i < r->n_kept; i++) kept += atn_capture_has_layer(r->writer, i);
    snprintf(text, sizeof text, "%s", cx->err.text);
    if (kept == 0 && !stopped) return st;
    if (kept == 0)
        return atn_fail(cx, st, __FILE__, __LINE__, "%s (no layer was complete)", text);
    return atn_fail(cx, st, __FILE__, __LINE__,
                    "%.300s (%d of %lld layers are kept in %.100s; %s)", text, kept,
                    (long long)r->n_kept, atn_capture_work(r->writer),
                    stopped ? "the same command resumes"
                            : "the same command, model and text go on from there");
}

static void release(atn_ctx *cx, atn_recording *r)
{
    atn_capture_abandon(cx, r->writer);
    atn_tokenizer_destroy(cx, r->tokenizer);
    atn_model_close(cx, &r->model);
    atn_free(cx, r->ids);
    atn_free(cx, r->image);
    atn_latents_release(cx, &r->latents);
    atn_free(cx, r->target);
    atn_free(cx, r->places);
    atn_free(cx, r->kept);
    atn_free(cx, r->record);
    atn_free(cx, r->slot);
}

atn_status atn_record(atn_ctx *cx, const atn_record_args *args, atn_run *run,
                      atn_record_result *out)
{
    const double start = atn_seconds();
    atn_status st = ATN_OK;
    atn_recording r = {.args = args};
    json_t *manifest = NULL;
    atn_capture_writer *writer;
    char fingerprint[33];

    *out = (atn_record_result){0};
    ATN_TRY(choose_dtype(cx, &r));
    ATN_TRY(atn_model_open(cx, args->model_dir, &r.model));
    ATN_TRY(atn_record_read(cx, &r));
    ATN_TRY(choose_places(cx, &r));
    ATN_TRY(check_memory(cx, &r));
    describe(cx, &r, out);
    if (args->dry_run) goto done;
    ATN_TRY(atn_record_manifest(cx, &r, &manifest));
    ATN_TRY(atn_record_fingerprint(cx, &r, manifest, fingerprint));
    ATN_TRY(atn_capture_begin(cx, args->out_dir, manifest, fingerprint, args->force,
                              &r.writer));
    ATN_TRY(run_model(cx, &r, out));
    if (run) {
        ATN_TRY(atn_record_add_inputs(cx, &r, manifest, run));
        ATN_TRY(atn_run_finish(cx, run));
    }
    writer = r.writer;
    r.writer = NULL;
    ATN_TRY(atn_capture_finish(cx, writer, run ? run->json : NULL));
done:
    st = say_what_is_kept(cx, &r, st);
    json_decref(manifest);
    release(cx, &r);
    out->seconds = atn_seconds() - start;
    return st;
}
