/* capture/record_input.c -- what a capture is made of: a text, its target, an image,
 * latents. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/record_internal.h"

#include <string.h>

#include "core/io/file.h"

/* What goes in as text or as ids, and where it comes from, for messages. */
typedef struct words {
    const char *text, *source;
    size_t len;
    const int32_t *ids;
    atn_idx n;
} words;

static words source_words(const atn_recording *r)
{
    const atn_record_args *a = r->args;

    return (words){a->text,
                   a->source ? a->source
                   : a->text ? "text"
                             : "token ids",
                   a->text_len, a->ids, a->n_ids};
}

static words target_words(const atn_recording *r)
{
    const atn_record_args *a = r->args;

    return (words){a->target_text, a->target_source ? a->target_source : "target",
                   a->target_text_len, a->target_ids, a->n_target_ids};
}

/* In front of what is said of text or ids. */
static const char *source(const atn_recording *r)
{
    return source_words(r).source;
}

/* Ids need no tokenizer: texts are only labels then. */
static atn_status load_tokenizer(atn_ctx *cx, atn_recording *r)
{
    const bool needed = r->args->text || r->args->target_text;
    const atn_status st = atn_tokenizer_load(cx, r->model.dir, &r->tokenizer);

    if (st == ATN_OK || needed) return st;
    atn_log(cx, ATN_LOG_DEBUG, "no token texts: %s", cx->err.text);
    atn_err_clear(cx);
    return ATN_OK;
}

static atn_status tokenize(atn_ctx *cx, const atn_recording *r, const words *w,
                           int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    size_t bad = 0;

    if (w->ids) {
        ATN_NEW(*ids, w->n);
        memcpy(*ids, w->ids, (size_t)w->n * sizeof **ids);
        *n = w->n;
        return ATN_OK;
    }
    if (w->len == 0)
        ATN_FAIL(ATN_DATA,
                 "%s: the text is empty (give --%s FILE with some words in it)",
                 w->source, w->text == r->args->text ? "text" : "target-text");
    if (!atn_utf8_valid(w->text, w->len, &bad))
        ATN_FAIL(ATN_DATA,
                 "%s: the text is not UTF-8 at byte %zu (convert it, for example with "
                 "iconv)",
                 w->source, bad);
    ATN_TRY(atn_tokenizer_encode(cx, r->tokenizer, w->text, w->len, true, ids, n));
    if (*n == 0) ATN_FAIL(ATN_DATA, "%s: the text has no token", w->source);
done:
    return st;
}

static atn_status check_ids(atn_ctx *cx, const atn_recording *r, const char *from,
                            const int32_t *ids, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= r->model.config.vocab)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "%s: token id %d at position %lld is outside the vocabulary of %lld",
                from, ids[i], (long long)i, (long long)r->model.config.vocab);
    return ATN_OK;
}

/* A target is for a model with a decoder beside an encoder. */
static atn_status check_target(atn_ctx *cx, const atn_recording *r)
{
    const atn_config *c = &r->model.config;
    atn_status st = ATN_OK;

    if (!r->args->target_text && !r->args->target_ids) return ATN_OK;
    if (c->n_stacks < 2)
        ATN_FAIL(ATN_USAGE,
                 "%s: the model %s, so it takes no target (leave --target-text and "
                 "--target-ids out)",
                 r->model.dir,
                 c->arch->decoder ? "was saved without its decoder" : "has one stack");
    if (r->args->prompt > 0)
        ATN_FAIL(ATN_USAGE, "--prompt is for models of one stack, not with a target");
done:
    return st;
}

static atn_status read_target(atn_ctx *cx, atn_recording *r)
{
    const words w = target_words(r);
    atn_status st = ATN_OK;

    if (!w.text && !w.ids) return ATN_OK;
    ATN_TRY(tokenize(cx, r, &w, &r->target, &r->n_target));
    ATN_TRY(check_ids(cx, r, w.source, r->target, r->n_target));
done:
    return st;
}

static atn_status read_tokens(atn_ctx *cx, atn_recording *r)
{
    const words w = source_words(r);
    atn_status st = ATN_OK;

    ATN_TRY(load_tokenizer(cx, r));
    ATN_TRY(tokenize(cx, r, &w, &r->ids, &r->n));
    ATN_TRY(read_target(cx, r));
done:
    return st;
}

static atn_status check_prompt(atn_ctx *cx, const atn_recording *r)
{
    if (r->args->prompt <= r->n) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: has %lld tokens, so the prompt cannot have %lld (--prompt)",
                    source(r), (long long)r->n, (long long)r->args->prompt);
}

/* Keeps the first `most` tokens, and at their end the special tokens that the tokenizer
 * puts behind every text (BERT's [SEP]), as it does itself when it cuts. */
static atn_status cut(atn_ctx *cx, atn_recording *r, atn_idx most)
{
    const atn_record_args *a = r->args;
    atn_status st = ATN_OK;
    int32_t *bare = NULL;
    atn_idx n = 0, back = 0;

    if (a->text) {
        ATN_TRY(atn_tokenizer_encode(cx, r->tokenizer, a->text, a->text_len, false,
                                     &bare, &n));
        const atn_idx special = ATN_MIN(r->n - n, most);
        while (n > 0 && back < special && r->ids[r->n - 1 - back] != bare[n - 1])
            back++;
    }
    memmove(r->ids + most - back, r->ids + r->n - back, (size_t)back * sizeof *r->ids);
    r->n = most;
done:
    atn_free(cx, bare);
    return st;
}

static atn_status check_length(atn_ctx *cx, atn_recording *r)
{
    const atn_idx most = r->model.config.max_tokens;
    const bool learned = r->model.config.arch->names.position != NULL;
    atn_status st = ATN_OK;

    if (most == 0 || r->n <= most) return ATN_OK;
    if (r->args->truncate) {
        atn_log(cx, ATN_LOG_WARN, "%s: has %lld tokens; the first %lld are used",
                source(r), (long long)r->n, (long long)most);
        return cut(cx, r, most);
    }
    if (learned)
        ATN_FAIL(ATN_USAGE,
                 "%s: has %lld tokens, the model's learned positions end at %lld (give "
                 "--truncate)",
                 source(r), (long long)r->n, (long long)most);
    if (!r->args->allow_long)
        ATN_FAIL(ATN_USAGE,
                 "%s: has %lld tokens, the model was made for %lld (give --truncate to "
                 "cut it, or --allow-long to run it all the same)",
                 source(r), (long long)r->n, (long long)most);
done:
    return st;
}

atn_input atn_record_input(const atn_recording *r)
{
    return (atn_input){.ids = r->ids,
                       .n = r->n,
                       .target = r->target,
                       .n_target = r->n_target,
                       .image = r->image,
                       .latents = r->latents.values,
                       .timesteps = r->latents.timesteps,
                       .classes = r->latents.classes,
                       .steps = r->latents.steps};
}

/* An option that only tokens have; NULL = none is given. */
static const char *of_tokens(const atn_record_args *a)
{
    return a->target_text || a->target_ids ? "--target-text and --target-ids"
           : a->prompt > 0                 ? "--prompt"
           : a->truncate                   ? "--truncate"
           : a->allow_long                 ? "--allow-long"
                                           : NULL;
}

/* What the model reads, by the kind of its input. */
atn_status atn_record_read(atn_ctx *cx, atn_recording *r)
{
    static const char *const wanted[] = {
        [ATN_INPUT_TOKENS] = "a text: give --text FILE or --token-ids FILE",
        [ATN_INPUT_IMAGE] = "an image: give --image FILE",
        [ATN_INPUT_LATENTS] =
            "latents: give --latents FILE, --timesteps LIST and --classes LIST"};
    const atn_record_args *a = r->args;
    const atn_input_kind kind = r->model.config.arch->input;
    const bool given = kind == ATN_INPUT_IMAGE     ? a->image != NULL
                       : kind == ATN_INPUT_LATENTS ? a->latents != NULL
                                                   : a->text || a->ids;
    atn_status st = ATN_OK;

    if (!given)
        ATN_FAIL(ATN_USAGE, "%s: a model of type %s reads %s", r->model.dir,
                 r->model.config.arch->id, wanted[kind]);
    if (kind != ATN_INPUT_TOKENS && of_tokens(a))
        ATN_FAIL(ATN_USAGE, "%s: a model of type %s reads no tokens, so leave %s out",
                 r->model.dir, r->model.config.arch->id, of_tokens(a));
    ATN_TRY(check_target(cx, r));
    if (kind == ATN_INPUT_IMAGE) {
        ATN_TRY(atn_vision_image(cx, &r->model, a->image, &r->image));
    } else if (kind == ATN_INPUT_LATENTS) {
        ATN_TRY(atn_vision_latents(cx, &r->model, a->latents, a->timesteps, a->classes,
                                   &r->latents));
    } else {
        ATN_TRY(read_tokens(cx, r));
        ATN_TRY(check_length(cx, r));
        ATN_TRY(check_ids(cx, r, source(r), r->ids, r->n));
        ATN_TRY(check_prompt(cx, r));
        return ATN_OK;
    }
    r->n = r->model.config.max_positions;
done:
    return st;
}
