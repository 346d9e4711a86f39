/* core/io/capture_tokens.c -- the tokens of a capture: of its one sequence, or one
 * sequence for the encoder and one for the decoder.
 *
 * Whose tokens queries and keys of a stack are:
 *            queries   keys
 *   encoder  encoder   encoder
 *   decoder  decoder   decoder
 *   cross    decoder   encoder
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture_internal.h"

#include <stdio.h>
#include <string.h>

#include "core/io/json.h"

static const char *const names[ATN_SEQUENCES] = {"tokens", "stack_tokens.encoder",
                                                 "stack_tokens.decoder"};
static const char *const stacks[ATN_SEQUENCES] = {"", "encoder", "decoder"};

static atn_status read_ids(atn_ctx *cx, const atn_capture *c, const char *name,
                           const json_t *list, atn_sequence *s)
{
    const int64_t vocab = c->model.vocab > 0 ? c->model.vocab : (int64_t)INT32_MAX + 1;
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA, "%s/capture.json: %s: \"ids\" is no list of integers",
                 c->dir, name);
    ATN_NEW(s->ids, json_array_size(list));
    json_array_foreach(list, i, v)
    {
        const int64_t id = json_integer_value(v);

        if (!json_is_integer(v))
            ATN_FAIL(ATN_DATA, "%s/capture.json: %s: \"ids\" is no list of integers",
                     c->dir, name);
        if (id < 0 || id >= vocab)
            ATN_FAIL(ATN_DATA,
                     "%s/capture.json: %s.ids[%zu] is %lld, no token id of this model",
                     c->dir, name, i, (long long)id);
        s->ids[i] = (int32_t)id;
    }
    s->n = (atn_idx)json_array_size(list);
done:
    return st;
}

static atn_status read_texts(atn_ctx *cx, const atn_capture *c, const char *name,
                             const json_t *list, atn_sequence *s)
{
    const atn_idx n = (atn_idx)json_array_size(list);
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA, "%s/capture.json: %s: \"texts\" is no list of strings",
                 c->dir, name);
    if (s->ids && s->n != n)
        ATN_FAIL(ATN_DATA, "%s/capture.json: %s: ids and texts differ in number",
                 c->dir, name);
    ATN_NEW(s->texts, n);
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v))
            ATN_FAIL(ATN_DATA, "%s/capture.json: %s: \"texts\" is no list of strings",
                     c->dir, name);
        s->texts[i] = json_string_value(v);
    }
    s->n = n;
done:
    return st;
}

static atn_status read_sequence(atn_ctx *cx, atn_capture *c, int which, const json_t *j)
{
    const json_t *ids = json_object_get(j, "ids"), *texts = json_object_get(j, "texts");
    const char *name = names[which];
    atn_status st = ATN_OK;

    if (!j || json_is_null(j)) return ATN_OK;
    if (!json_is_object(j))
        ATN_FAIL(ATN_DATA, "%s/capture.json: \"%s\" is no object", c->dir, name);
    if (ids && !json_is_null(ids))
        ATN_TRY(read_ids(cx, c, name, ids, &c->sequences[which]));
    if (texts && !json_is_null(texts))
        ATN_TRY(read_texts(cx, c, name, texts, &c->sequences[which]));
done:
    return st;
}

static atn_status too_few(atn_ctx *cx, const atn_capture *c, const char *name,
                          atn_idx tokens, const atn_layer_info *l, const char *side)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s/capture.json: %s has %lld tokens, but layer %d%s%s has %lld %s "
                    "(capture it again)",
                    c->dir, name, (long long)tokens, l->layer, *l->stack ? " of " : "",
                    l->stack, (long long)(side[0] == 'k' ? l->nk : l->nq), side);
}

/* True when every layer is of one stack and step. */
static bool one_place(const atn_capture *c)
{
    for (int l = 1; l < c->n_layers; l++)
        if (strcmp(c->layers[l].stack, c->layers[0].stack) != 0 ||
            c->layers[l].step != c->layers[0].step)
            return false;
    return true;
}

static bool is_cross(const atn_layer_info *l)
{
    return strcmp(l->stack, "cross") == 0;
}

/* The sequence of a layer's keys or queries; the one of the capture where the manifest
 * has none for the stack. */
static int side_of(const atn_capture *c, const atn_layer_info *l, bool keys)
{
    const char *stack = !is_cross(l) ? l->stack : keys ? "encoder" : "decoder";

    for (int i = 1; i < ATN_SEQUENCES; i++)
        if (c->sequences[i].n > 0 && strcmp(stack, stacks[i]) == 0) return i;
    return 0;
}

/* As many as a layer of the stack has keys: fewer keys where there are several
 * steps. */
static atn_status check_counts(atn_ctx *cx, const atn_capture *c)
{
    const atn_sequence *one = &c->sequences[0];
    const bool steps =
        c->n_layers > 0 && c->layers[0].step != c->layers[c->n_layers - 1].step;

    for (int i = 0; i < c->n_layers; i++) {
        const atn_layer_info *l = &c->layers[i];
        const int keys = side_of(c, l, true), queries = side_of(c, l, false);
        const atn_idx nk = c->sequences[keys].n, nq = c->sequences[queries].n;

        if (keys > 0 && (nk < l->nk || (!steps && nk != l->nk)))
            return too_few(cx, c, names[keys], nk, l, "keys");
        if (queries > 0 && (nq < l->nq || (!steps && is_cross(l) && nq != l->nq)))
            return too_few(cx, c, names[queries], nq, l, "queries");
        if (keys == 0 && json_is_object(json_object_get(c->manifest, "tokens")) &&
            one_place(c) && one->n != l->nk)
            return too_few(cx, c, names[0], one->n, l, "keys");
    }
    return ATN_OK;
}

atn_status atn_capture_read_tokens(atn_ctx *cx, atn_capture *c)
{
    const json_t *by_stack = json_object_get(c->manifest, "stack_tokens");
    static const char *const known[] = {"encoder", "decoder"};
    atn_status st = ATN_OK;
    char what[512];

    ATN_TRY(read_sequence(cx, c, 0, json_object_get(c->manifest, "tokens")));
    if (by_stack && !json_is_null(by_stack)) {
        snprintf(what, sizeof what, "%.400s/capture.json: stack_tokens", c->dir);
        if (!json_is_object(by_stack))
            ATN_FAIL(ATN_DATA, "%s: is no object of \"encoder\" and \"decoder\"", what);
        ATN_TRY(atn_json_check_keys(cx, what, by_stack, known, ATN_LEN(known)));
    }
    for (int i = 1; i < ATN_SEQUENCES; i++)
        ATN_TRY(read_sequence(cx, c, i, json_object_get(by_stack, stacks[i])));
    ATN_TRY(check_counts(cx, c));
done:
    return st;
}

void atn_capture_drop_tokens(atn_ctx *cx, atn_capture *c)
{
    for (int i = 0; i < ATN_SEQUENCES; i++) {
        atn_free(cx, c->sequences[i].ids);
        atn_free(cx, c->sequences[i].texts);
    }
}

atn_idx atn_capture_tokens(const atn_capture *c, const int32_t **ids,
                           const char *const **texts)
{
    const atn_sequence *s = &c->sequences[0];

    if (ids) *ids = s->ids;
    if (texts) *texts = s->texts;
    return s->n;
}

/* n of a sequence from the one at `first` on; none where it has not that many. */
static atn_tokens part(const atn_sequence *s, atn_idx first, atn_idx n)
{
    if (first < 0 || first + n > s->n) return (atn_tokens){0};
    return (atn_tokens){n, s->ids ? s->ids + first : NULL,
                        s->texts ? s->texts + first : NULL};
}

void atn_capture_layer_tokens(const atn_capture *c, int i, atn_tokens *queries,
                              atn_tokens *keys)
{
    const atn_layer_info *l = &c->layers[i];
    const int ofq = side_of(c, l, false), ofk = side_of(c, l, true);
    const atn_sequence *q = &c->sequences[ofq], *k = &c->sequences[ofk];

    *keys = part(k, 0, l->nk);
    *queries = (atn_tokens){0};
    if (is_cross(l)) {
        if (ofq > 0 && q->n == l->nq) *queries = part(q, 0, l->nq);
    } else if (l->sight.causal || (l->nq == l->nk && (ofq > 0 || q->ids))) {
        *queries = part(q, l->sight.causal ? l->sight.offset : 0, l->nq);
    }
}
