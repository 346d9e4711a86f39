/* cli/cmd_doctor.c -- attnscope doctor: a model run against a reference dump. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "analysis/describe.h"
#include "capture/doctor.h"
#include "capture/token_ids.h"
#include "capture/tokenizer.h"
#include "cli/output.h"
#include "core/io/capture.h"
#include "core/io/file.h"

enum { WARNINGS_MOST = 6 };

static const atn_option options[] = {
    {"reference", 0, ATN_OPT_FILE, "DUMP",
     "what another program computed: a safetensors file, or a capture directory", 0, 0},
    {"text", 0, ATN_OPT_FILE, "FILE", "the text, where the dump has no ids", 0, 0},
    {"token-ids", 0, ATN_OPT_FILE, "FILE", "token ids in place of the dump's", 0, 0},
    {"tolerance", 0, ATN_OPT_F64, "X",
     "largest difference by the largest value of a tensor (1e-4)", 1e-12, 1},
    ATN_OPTION_END,
};

static atn_status check_tokens(atn_ctx *cx, const atn_model *m, const int32_t *ids,
                               atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->config.vocab)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "token id %d at position %lld is outside the vocabulary of %lld",
                ids[i], (long long)i, (long long)m->config.vocab);
    return ATN_OK;
}

/* What is compared with: one of the two. */
typedef struct reference {
    atn_st *dump;
    atn_capture *capture;
} reference;

typedef struct tokens {
    int32_t *ids, *target; /* owned; target NULL = none */
    atn_idx n, n_target;
} tokens;

/* What the decoder of an encoder-decoder model predicts, if the dump has it. */
static atn_status take_target(atn_ctx *cx, const atn_model *m, const atn_st *dump,
                              int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_doctor_ids(cx, dump, "target_ids", ids, n));
    if (*ids && m->config.n_stacks < 2)
        ATN_FAIL(ATN_DATA,
                 "doctor: the dump has target_ids, but %s has no decoder "
                 "beside an encoder",
                 m->dir);
done:
    return st;
}

/* Tokens of the reference, and of a decoder beside an encoder. */
static atn_status own_tokens(atn_ctx *cx, const atn_model *m, const reference *r,
                             tokens *t)
{
    static const char *const names[] = {"ids", "input_ids"};
    atn_status st = ATN_OK;

    if (r->capture)
        return atn_doctor_capture_ids(cx, m, r->capture, &t->ids, &t->n, &t->target,
                                      &t->n_target);
    for (size_t i = 0; !t->ids && i < ATN_LEN(names); i++)
        ATN_TRY(atn_doctor_ids(cx, r->dump, names[i], &t->ids, &t->n));
    ATN_TRY(take_target(cx, m, r->dump, &t->target, &t->n_target));
done:
    return st;
}

/* The tokens: of a file where one is named, else the reference's. */
static atn_status take_tokens(atn_cli *cli, const atn_model *m, const reference *r,
                              atn_run *run, tokens *t)
{
    const char *text = atn_opt_text(cli, "text", NULL),
               *file = atn_opt_text(cli, "token-ids", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_tokenizer *tokenizer = NULL;
    char *content = NULL;
    size_t size = 0;

    if (text && file)
        ATN_FAIL(ATN_USAGE, "doctor: give either --text or --token-ids, not both");
    ATN_TRY(own_tokens(cx, m, r, t));
    if (text || file) {
        ATN_TRY(atn_run_add_input(cx, run, text ? text : file));
        atn_free(cx, t->ids);
        t->ids = NULL;
    }
    if (file) ATN_TRY(atn_token_ids_load(cx, file, &t->ids, &t->n));
    if (text) {
        ATN_TRY(atn_file_read(cx, text, (size_t)1 << 30, &content, &size));
        ATN_TRY(atn_tokenizer_load(cx, m->dir, &tokenizer));
        ATN_TRY(
            atn_tokenizer_encode(cx, tokenizer, content, size, true, &t->ids, &t->n));
    }
    if (!t->ids)
        ATN_FAIL(ATN_USAGE, "doctor: the %s; give --token-ids FILE or --text FILE",
                 r->capture ? "capture has no token ids"
                            : "dump has no tensor \"ids\"");
    ATN_TRY(check_tokens(cx, m, t->ids, t->n));
    ATN_TRY(check_tokens(cx, m, t->target, t->n_target));
done:
    atn_tokenizer_destroy(cx, tokenizer);
    atn_free(cx, content);
    return st;
}

/* ---- the table ---- */

static atn_status stage_row(atn_ctx *cx, const atn_compared *c, const int *col,
                            atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, col[0], c->stack));
    if (c->layer >= 0) atn_table_set_i64(t, col[1], c->layer);
    ATN_TRY(atn_table_set_str(cx, t, col[2], atn_stage_names[c->stage]));
    ATN_TRY(atn_table_set_str(cx, t, col[3], c->departs ? "departs" : "agrees"));
    atn_table_set_f64(t, col[4], c->error);
    atn_table_set_f64(t, col[5], c->largest);
    if (c->head >= 0) atn_table_set_i64(t, col[6], c->head);
    atn_table_set_i64(t, col[7], c->row);
    ATN_TRY(atn_table_set_str(cx, t, col[8], c->hint));
done:
    return st;
}

static atn_status make_table(atn_ctx *cx, const atn_doctor *d, atn_table **out)
{
    static const struct {
        const char *name, *text;
        atn_col_type type;
    } columns[] = {
        {"stack", NULL, ATN_COL_STR},
        {"layer", NULL, ATN_COL_I64},
        {"stage", "what is compared", ATN_COL_STR},
        {"verdict", "agrees or departs", ATN_COL_STR},
        {"error", "largest difference", ATN_COL_F64},
        {"largest", "largest value of the reference", ATN_COL_F64},
        {"head", "of the largest difference", ATN_COL_I64},
        {"row", "of the largest difference", ATN_COL_I64},
        {"hint", "what such a departure comes from", ATN_COL_STR},
    };
    int col[ATN_LEN(columns)];
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "doctor", out));
    for (size_t i = 0; i < ATN_LEN(columns); i++)
        ATN_TRY(atn_table_add_col(cx, *out, columns[i].name, columns[i].type, "",
                                  columns[i].text, &col[i]));
    for (atn_idx i = 0; i < d->n; i++) ATN_TRY(stage_row(cx, &d->all[i], col, *out));
done:
    return st;
}

/* "attn of encoder layer 3" */
static void name_place(const atn_compared *c, char *out, size_t size)
{
    char step[40] = "";

    if (c->step > 0) snprintf(step, sizeof step, " at step %lld", (long long)c->step);
    if (c->layer < 0)
        snprintf(out, size, "%s", atn_stage_names[c->stage]);
    else
        snprintf(out, size, "%s of %s%slayer %lld%s", atn_stage_names[c->stage],
                 c->stack, *c->stack ? " " : "", (long long)c->layer, step);
}

/* Tensors that were not read, and what is refused of them. */
static atn_status add_given(atn_ctx *cx, const atn_doctor *d, atn_table *facts)
{
    char unread[400] = "", more[48] = "";
    atn_idx left = 0;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < d->n_given; i++) {
        const atn_given *g = &d->given[i];
        const size_t used = strlen(unread);

        if (g->state == ATN_GIVEN_REFUSED)
            ATN_TRY(atn_facts_add(cx, facts, "refused", "%s %s", g->name, g->why));
        if (g->state != ATN_GIVEN_UNREAD) continue;
        if (used + strlen(g->name) + 3 < sizeof unread)
            snprintf(unread + used, sizeof unread - used, "%s%s", used ? ", " : "",
                     g->name);
        else
            left++;
    }
    if (left) snprintf(more, sizeof more, " and %lld more", (long long)left);
    if (*unread) ATN_TRY(atn_facts_add(cx, facts, "not read", "%s%s", unread, more));
done:
    return st;
}

static void warn_unread(atn_ctx *cx, const atn_doctor *d)
{
    int said = 0;

    for (atn_idx i = 0; i < d->n_given && said < WARNINGS_MOST; i++) {
        const atn_given *g = &d->given[i];

        if (g->state != ATN_GIVEN_UNREAD || !*g->why) continue;
        atn_log(cx, ATN_LOG_WARN, "\"%s\" of the reference is not read: %s", g->name,
                g->why);
        said++;
    }
}

static atn_status make_facts(atn_ctx *cx, const atn_doctor *d, double tolerance,
                             atn_table **out)
{
    const atn_compared *c = d->first < 0 ? NULL : &d->all[d->first];
    char where[96];
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_create(cx, out));
    ATN_TRY(atn_facts_add(cx, *out, "stages compared", "%lld", (long long)d->n));
    ATN_TRY(atn_facts_add(cx, *out, "tolerance", "%g of the largest value", tolerance));
    ATN_TRY(add_given(cx, d, *out));
    if (!c) {
        ATN_TRY(
            atn_facts_add(cx, *out, "verdict", "%s",
                          d->refused < 0 ? "all agree" : "what was compared agrees"));
        goto done;
    }
    name_place(c, where, sizeof where);
    ATN_TRY(atn_facts_add(cx, *out, "first departure", "%s, by %.3g of %.3g", where,
                          c->error, c->largest));
    if (*c->hint) ATN_TRY(atn_facts_add(cx, *out, "hint", "%s", c->hint));
done:
    return st;
}

static atn_status conclude(atn_cli *cli, const atn_doctor *d)
{
    const atn_given *refused = d->refused < 0 ? NULL : &d->given[d->refused];
    char where[96];

    if (refused)
        return atn_fail(
            cli->cx, ATN_DATA, __FILE__, __LINE__,
            "doctor: tensor \"%s\" of the reference %s (is it of these tokens "
            "and this model?)",
            refused->name, refused->why);
    if (d->first < 0) return ATN_OK;
    name_place(&d->all[d->first], where, sizeof where);
    return atn_fail(cli->cx, ATN_CHECK, __FILE__, __LINE__,
                    "doctor: the run departs from the reference, first in %s", where);
}

static atn_status emit(atn_cli *cli, atn_run *run, const atn_doctor *d,
                       double tolerance)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t[2] = {NULL, NULL};

    ATN_TRY(make_facts(cx, d, tolerance, &t[0]));
    ATN_TRY(make_table(cx, d, &t[1]));
    atn_table_be_brief(t[1]);
    ATN_TRY(atn_cli_emit_all(cli, run, (const atn_table *const *)t, 2, 1, NULL));
done:
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, t[i]);
    return st;
}

static atn_status open_reference(atn_ctx *cx, const char *path, reference *r)
{
    return atn_dir_exists(path) ? atn_capture_open(cx, path, &r->capture)
                                : atn_st_open(cx, path, &r->dump);
}

/* What the model reads, and who owns it. */
typedef struct input {
    atn_input in;
    tokens tokens;
    atn_doctor_planes planes;
} input;

static atn_status take_input(atn_cli *cli, const atn_model *m, const reference *r,
                             atn_run *record, input *to)
{
    atn_ctx *cx = cli->cx;
    const tokens *t = &to->tokens;
    atn_input *in = &to->in;
    atn_status st = ATN_OK;

    if (m->config.arch->input == ATN_INPUT_TOKENS) {
        ATN_TRY(take_tokens(cli, m, r, record, &to->tokens));
        in->ids = t->ids;
        in->n = t->n;
        in->target = t->target;
        in->n_target = t->n_target;
    } else if (r->capture) {
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "doctor: a capture does not hold the image or latents that %s "
                        "reads; give a dump, a safetensors file",
                        m->dir);
    } else {
        ATN_TRY(atn_doctor_take_planes(cx, m, r->dump, &to->planes, in));
    }
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *path = atn_opt_text(cli, "reference", NULL);
    const double tolerance = atn_opt_f64(cli, "tolerance", 1e-4);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_model model = {0};
    reference ref = {0};
    atn_run record = {0};
    atn_doctor d = {.first = -1, .refused = -1};
    input in = {0};

    if (!path)
        return atn_fail(
            cx, ATN_USAGE, __FILE__, __LINE__,
            "doctor: give --reference DUMP, a safetensors file or a capture");
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(atn_model_open(cx, cli->args[0], &model));
    ATN_TRY(open_reference(cx, path, &ref));
    if (ref.dump) ATN_TRY(atn_run_add_input(cx, &record, path));
    ATN_TRY(take_input(cli, &model, &ref, &record, &in));
    ATN_TRY(ref.capture
                ? atn_doctor_run_capture(cx, &model, &in.in, ref.capture, tolerance, &d)
                : atn_doctor_run(cx, &model, &in.in, ref.dump, tolerance, &d));
    warn_unread(cx, &d);
    ATN_TRY(emit(cli, &record, &d, tolerance));
    ATN_TRY(conclude(cli, &d));
done:
    atn_doctor_release(cx, &d);
    atn_doctor_planes_release(cx, &in.planes);
    atn_free(cx, in.tokens.ids);
    atn_free(cx, in.tokens.target);
    atn_st_close(cx, ref.dump);
    atn_capture_close(cx, ref.capture);
    atn_model_close(cx, &model);
    atn_run_release(&record);
    return st;
}

static const char *const examples[] = {
    "doctor MODEL --reference reference.safetensors",
    "doctor MODEL --reference reference.safetensors --tolerance 1e-3 --format csv",
    "doctor MODEL --reference reference.safetensors --device auto", NULL};

const atn_command atn_command_doctor = {
    .id = "doctor",
    .summary = "a model run against a reference dump: the first stage that departs",
    .args = "MODEL --reference DUMP",
    .examples = examples,
    .text =
        "DUMP is a safetensors file made by another program from the same weights and "
        "tokens: ids [n]; hidden [L, n, width], the inputs of the layers; q, k, v, "
        "q_pre, "
        "k_pre [L, heads, n, d]; attn [L, heads, n, n]; attn_out [L, n, width]; logits "
        "[n, vocabulary]; loss [1]; of an encoder-decoder model target_ids [n], the "
        "labels, and encoder.q, decoder.q, cross.q and so on; of a model of images "
        "pixels "
        "[C, H, W] in place of ids; of a diffusion transformer latents [steps, C, H, "
        "W], "
        "timesteps and classes [steps], and the layers of all steps in a row. Any of "
        "them "
        "may be missing; a layer may be a tensor of its own, NAME.0. Or it is a "
        "capture "
        "directory, as python/attnscope_capture.py writes it: its q, k, v, and the "
        "tokens "
        "it names. Every stage is compared in the order of the computation, and the "
        "first "
        "that departs is named with what such a departure usually comes from. Tensors "
        "that "
        "are not read are listed. Exit code 1 when one departs, 65 when one is of "
        "another "
        "shape than the run's.",
    .options = options,
    .uses = ATN_USE_TABLE | ATN_USE_DEVICE,
    .second = "facts",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
