/* cli/cmd_capture.c -- attnscope capture: run a model on a text, keep Q, K, V. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/describe.h"
#include "capture/record.h"
#include "capture/token_ids.h"
#include "cli/output.h"
#include "core/io/file.h"
#include "core/param.h"

static const atn_option options[] = {
    {"text", 0, ATN_OPT_FILE, "FILE", "the text, UTF-8; - is standard input", 0, 0},
    {"token-ids", 0, ATN_OPT_FILE, "FILE",
     "token ids in place of a text: integers between blanks, or .npy", 0, 0},
    {"target-text", 0, ATN_OPT_FILE, "FILE",
     "what the decoder of an encoder-decoder model reads and predicts; - is standard "
     "input",
     0, 0},
    {"target-ids", 0, ATN_OPT_FILE, "FILE", "the same as token ids", 0, 0},
    {"image", 0, ATN_OPT_FILE, "FILE",
     "the image of a model that reads images: PNG, PPM, PGM or .npy ([H, W, 3] bytes, "
     "or "
     "[C, H, W] floats as the model takes them)",
     0, 0},
    {"latents", 0, ATN_OPT_FILE, "FILE",
     "latents of a diffusion transformer, .npy: [C, H, W], or that for every step", 0,
     0},
    {"timesteps", 0, ATN_OPT_TEXT, "LIST",
     "timestep of every step, as 500,250,0 or a .npy file", 0, 0},
    {"classes", 0, ATN_OPT_TEXT, "LIST", "class of every step, as 207 or a .npy file",
     0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "the first N tokens were given, the rest generated (not said)", 1, 1e12},
    {"layers", 0, ATN_OPT_TEXT, "LIST", "layers to keep, as 0,5-8,-1 (all)", 0, 0},
    {"save", 0, ATN_OPT_TEXT, "LIST",
     "keep more: p (attention), h (layer inputs), q_pre, k_pre (before the rotary "
     "embedding)",
     0, 0},
    {"no-w-o", 0, ATN_OPT_FLAG, NULL, "leave the output projections out", 0, 0},
    {"store", 0, ATN_OPT_CHOICE, "f32|f16|bf16", "type of the kept tensors (f32)", 0,
     0},
    {"truncate", 0, ATN_OPT_FLAG, NULL, "cut a text longer than the model's positions",
     0, 0},
    {"allow-long", 0, ATN_OPT_FLAG, NULL,
     "run a text longer than the model's positions as it is", 0, 0},
    {"format", 0, ATN_OPT_CHOICE, "text|csv|jsonl", "form of the summary (text)", 0, 0},
    ATN_OPTION_END,
};

/* Sets the args that --save names. */
static atn_status read_save(atn_cli *cli, const char *list, atn_record_args *args)
{
    static const char *const names[] = {"p", "h", "q_pre", "k_pre"};
    bool *const flags[] = {&args->save_p, &args->save_h, &args->save_q_pre,
                           &args->save_k_pre};

    while (list && *list) {
        const size_t n = strcspn(list, ",");
        bool known = false;

        for (size_t i = 0; i < ATN_LEN(names); i++)
            if (strlen(names[i]) == n && strncmp(names[i], list, n) == 0)
                known = *flags[i] = true;
        if (!known)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "capture: --save knows p, h, q_pre and k_pre, not '%.*s'",
                            (int)n, list);
        list += n;
        if (*list == ',') list++;
    }
    return ATN_OK;
}

/* What goes with latents. */
static atn_status check_input(atn_cli *cli)
{
    const bool latents = atn_opt_given(cli, "latents"),
               times = atn_opt_given(cli, "timesteps"),
               classes = atn_opt_given(cli, "classes");

    if (latents != times || latents != classes)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "capture: --latents, --timesteps and --classes go together");
    return ATN_OK;
}

static atn_status check_words(atn_cli *cli)
{
    const bool text = atn_opt_given(cli, "text"), ids = atn_opt_given(cli, "token-ids");
    const int others = atn_opt_given(cli, "image") + atn_opt_given(cli, "latents");
    const atn_status st = check_input(cli);

    if (st != ATN_OK) return st;
    if (others + text + ids > 1 && others > 0)
        return atn_fail(
            cli->cx, ATN_USAGE, __FILE__, __LINE__,
            "capture: --text, --token-ids, --image and --latents exclude one another");
    if (others == 0 && text == ids)
        return atn_fail(
            cli->cx, ATN_USAGE, __FILE__, __LINE__,
            text ? "capture: give either --text or --token-ids, not both"
                 : "capture: give --text FILE or --token-ids FILE (of an image "
                   "model --image FILE, of a diffusion transformer --latents "
                   "FILE)");
    if (atn_opt_given(cli, "target-text") && atn_opt_given(cli, "target-ids"))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "capture: give either --target-text or --target-ids, not both");
    if (!atn_opt_given(cli, "dry-run") && !*atn_opt_text(cli, "output", ""))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "capture: give -o RUN, the directory to make");
    if (atn_opt_given(cli, "truncate") && atn_opt_given(cli, "allow-long"))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "capture: give either --truncate or --allow-long, not both");
    return ATN_OK;
}

/* A text or its ids, from the file that one of two options names. */
typedef struct words {
    const char *option, *ids_option;
    const char *from; /* for messages; NULL = neither is given */
    char *text;
    size_t len;
    int32_t *ids;
    atn_idx n;
} words;

static atn_status read_words(atn_cli *cli, words *w, atn_run *record)
{
    const char *text = atn_opt_text(cli, w->option, NULL),
               *ids = atn_opt_text(cli, w->ids_option, NULL);
    const size_t max_text = (size_t)1 << 30;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    w->from = text ? text : ids;
    if (!w->from) return ATN_OK;
    if (text)
        ATN_TRY(atn_file_read(cx, text, max_text, &w->text, &w->len));
    else
        ATN_TRY(atn_token_ids_load(cx, ids, &w->ids, &w->n));
    if (strcmp(w->from, "-") == 0)
        w->from = "standard input";
    else
        ATN_TRY(atn_run_add_input(cx, record, w->from));
done:
    return st;
}

static void release_words(atn_ctx *cx, words *w)
{
    atn_free(cx, w->ids);
    atn_free(cx, w->text);
}

static atn_status summary(atn_ctx *cx, const atn_record_args *args,
                          const atn_record_result *r, atn_table *t)
{
    const double mib = 1 << 20;
    atn_status st = ATN_OK;

    if (args->out_dir) ATN_TRY(atn_facts_add(cx, t, "capture", "%s", args->out_dir));
    ATN_TRY(atn_facts_add(cx, t, "model", "%s (%s), %.4g million weights",
                          r->model_name, r->model_type, r->parameters / 1e6));
    ATN_TRY(atn_facts_add(cx, t, "tokens", "%lld", (long long)r->tokens));
    if (r->target_tokens)
        ATN_TRY(
            atn_facts_add(cx, t, "target tokens", "%lld", (long long)r->target_tokens));
    if (*r->stacks)
        ATN_TRY(atn_facts_add(cx, t, "layers", "%lld: %s", (long long)r->layers,
                              r->stacks));
    else
        ATN_TRY(
            atn_facts_add(cx, t, "layers", "%lld", (long long)(r->layers / r->steps)));
    if (r->steps > 1)
        ATN_TRY(atn_facts_add(cx, t, "steps", "%lld", (long long)r->steps));
    if (r->note) ATN_TRY(atn_facts_add(cx, t, "note", "%s", r->note));
    if (r->layers_found)
        ATN_TRY(atn_facts_add(cx, t, "layers found", "%lld, of an interrupted run",
                              (long long)r->layers_found));
    if (r->has_label)
        ATN_TRY(atn_facts_add(cx, t, "class", "%lld%s%s, probability %.3g",
                              (long long)r->label, *r->label_text ? ": " : "",
                              r->label_text, r->label_probability));
    if (r->no_loss)
        ATN_TRY(atn_facts_add(cx, t, "next-token loss", "none: %s", r->no_loss));
    if (r->has_loss) {
        ATN_TRY(atn_facts_add(cx, t, "next-token loss", "%.4f nats", r->loss));
        ATN_TRY(atn_facts_add(cx, t, "perplexity", "%.4g", exp(r->loss)));
    }
    ATN_TRY(atn_facts_add(cx, t, "work", "%.4g GFLOP", r->flops / 1e9));
    ATN_TRY(atn_facts_add(cx, t, "memory", "%.4g MiB beside %.4g MiB of mapped weights",
                          r->memory_bytes / mib, r->weight_bytes / mib));
    ATN_TRY(atn_facts_add(cx, t, "on disk", "%.4g MiB", r->capture_bytes / mib));
    if (args->dry_run) {
        /* a single core reaches tens of GFLOP/s in matrix products of this size */
        ATN_TRY(atn_facts_add(cx, t, "time", "about %.2g s at 20 GFLOP/s a thread",
                              r->flops / (20e9 * cx->threads)));
    } else {
        ATN_TRY(atn_facts_add(cx, t, "time", "%.3g s", r->seconds));
    }
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    static const char *const types[] = {"f32", "f16", "bf16"};
    atn_record_args args = {.model_dir = cli->args[0],
                            .out_dir = atn_opt_text(cli, "output", NULL),
                            .image = atn_opt_text(cli, "image", NULL),
                            .latents = atn_opt_text(cli, "latents", NULL),
                            .timesteps = atn_opt_text(cli, "timesteps", NULL),
                            .classes = atn_opt_text(cli, "classes", NULL),
                            .prompt = atn_opt_i64(cli, "prompt", 0),
                            .layers = atn_opt_text(cli, "layers", NULL),
                            .dtype = types[atn_opt_i64(cli, "store", 0)],
                            .no_w_o = atn_opt_given(cli, "no-w-o"),
                            .truncate = atn_opt_given(cli, "truncate"),
                            .allow_long = atn_opt_given(cli, "allow-long"),
                            .force = atn_opt_given(cli, "force"),
                            .dry_run = atn_opt_given(cli, "dry-run")};
    words source = {.option = "text", .ids_option = "token-ids"},
          target = {.option = "target-text", .ids_option = "target-ids"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_record_result result;
    atn_table *t = NULL;
    atn_run record = {0};

    ATN_TRY(check_words(cli));
    ATN_TRY(read_save(cli, atn_opt_text(cli, "save", NULL), &args));
    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(read_words(cli, &source, &record));
    ATN_TRY(read_words(cli, &target, &record));
    if (args.image) ATN_TRY(atn_run_add_input(cx, &record, args.image));
    if (args.latents) ATN_TRY(atn_run_add_input(cx, &record, args.latents));
    args.text = source.text;
    args.text_len = source.len;
    args.ids = source.ids;
    args.n_ids = source.n;
    args.source = source.from;
    args.target_text = target.text;
    args.target_text_len = target.len;
    args.target_ids = target.ids;
    args.n_target_ids = target.n;
    args.target_source = target.from;
    ATN_TRY(atn_record(cx, &args, &record, &result));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(summary(cx, &args, &result, t));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    release_words(cx, &source);
    release_words(cx, &target);
    atn_run_release(&record);
    return st;
}

static const char *const examples[] = {
    "capture MODEL --text story.txt -o RUN",
    "capture MODEL --token-ids ids.txt -o RUN",
    "capture MODEL --text story.txt -o RUN --save p,h --layers 0,2-3",
    "capture MODEL --text story.txt --device auto -o RUN",
    "capture MODEL --text story.txt --dry-run",
    "capture T5 --text source.txt --target-text target.txt -o RUN",
    "capture VIT --image photo.png -o RUN",
    "capture DIT --latents latents.npy --timesteps 500,250,0 --classes 3 -o RUN",
    NULL};

const atn_command atn_command_capture = {
    .id = "capture",
    .summary = "run a model on a text or an image, keep queries, keys and values",
    .args = "MODEL -o RUN",
    .examples = examples,
    .text =
        "MODEL is a directory as Hugging Face lays it out: config.json, "
        "model.safetensors (or its sharded index), tokenizer.json; or a .gguf file. "
        "Nothing in it is executed. RUN becomes a capture: queries, keys and values of "
        "every layer as "
        "they enter the dot product, one safetensors file a layer. The next-token "
        "loss on the text is printed where the model has one: the first thing to "
        "check. The same command on an interrupted capture finishes it. With --force "
        "another capture in RUN stays until the new one is complete.\n\nAn "
        "encoder-decoder model (T5) reads the text with its encoder. With a target "
        "its decoder runs as well: it reads the start token and the target without "
        "its last token, and predicts the target, token after token. RUN then has "
        "the stacks encoder, decoder and cross.\n\nA model of images (ViT, DeiT) "
        "reads a picture as preprocessor_config.json of its directory says, and the "
        "likeliest class is printed where the weights have a classifier. A diffusion "
        "transformer (DiT) reads latents, timesteps and classes: every timestep is a "
        "step of RUN, independent of the others.",
    .options = options,
    .uses = ATN_USE_OUTPUT | ATN_USE_DEVICE | ATN_USE_DRY,
    .one_piece = "a model runs through its layers one after another",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
