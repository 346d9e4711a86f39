/* cli/patterns.c -- reading patterns from the words of a command line. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/patterns.h"

#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/pattern.h"

static bool is_file(const char *word)
{
    return atn_ends_with(word, ".json");
}

/* The next LAYER, cut out of *rest in place. A piece that has a key=value and begins no
 * spec belongs to the one before, as in every list of specs. */
static char *next_layer(char **rest)
{
    char *id, *params;

    if (!atn_spec_next(rest, &id, &params)) return NULL;
    if (params) params[-1] = ':';
    return id;
}

/* "5x..." is 5, and *text goes on behind it. */
static atn_status count_of(atn_ctx *cx, char **text, int *count)
{
    const size_t digits = strspn(*text, "0123456789");
    atn_status st = ATN_OK;
    atn_idx n = 1;

    *count = 1;
    if (digits == 0 || (*text)[digits] != 'x') goto done;
    (*text)[digits] = '\0';
    ATN_TRY(atn_parse_count(cx, "layers before 'x'", *text, &n));
    if (n < 1 || n > ATN_STACK_MOST)
        ATN_FAIL(ATN_USAGE, "%lld layers before 'x': give 1 to %d", (long long)n,
                 ATN_STACK_MOST);
    *count = (int)n;
    *text += digits + 1;
done:
    return st;
}

/* Cuts the next SPEC out of *rest: its id and parameters. */
static bool next_spec(char **rest, char **id, char **params)
{
    char *at = *rest, *end;

    if (!*at) return false;
    end = at + strcspn(at, "+");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    *id = at;
    at = strchr(at, ':');
    *params = at ? at + 1 : NULL;
    if (at) *at = '\0';
    return true;
}

static atn_status make_layer(atn_ctx *cx, const char *specs, const atn_layout *l,
                             atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *p = NULL, *next = NULL;
    char *copy = NULL, *rest, *id, *params;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TAKE(copy, strlen(specs) + 1);
    rest = strcpy(copy, specs);
    while (next_spec(&rest, &id, &params)) {
        ATN_TRY(atn_pattern_make(cx, id, params, l, &next));
        if (p)
            st = atn_pattern_union(cx, p, next, &p);
        else
            p = next;
        next = NULL;
        ATN_TRY(st);
    }
    if (!p) ATN_FAIL(ATN_USAGE, "a pattern is missing (attnscope list patterns)");
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* The length that some spec of the layer says, 0 = none does. */
static atn_status tokens_of(atn_ctx *cx, const char *specs, atn_idx *tokens)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char *copy = NULL, *rest, *id, *params;
    atn_status st = ATN_OK;

    *tokens = 0;
    ATN_TAKE(copy, strlen(specs) + 1);
    rest = strcpy(copy, specs);
    while (*tokens == 0 && next_spec(&rest, &id, &params))
        ATN_TRY(atn_pattern_tokens(cx, id, params, tokens));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Calls each LAYER of the word: with l->nk known its patterns are added to out, else
 * the length is looked for. */
static atn_status walk(atn_ctx *cx, const char *word, atn_layout *l, atn_stack *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool seek = l->nk == 0;
    char *copy = NULL, *rest, *specs;
    atn_status st = ATN_OK;
    int count;

    ATN_TAKE(copy, strlen(word) + 1);
    rest = strcpy(copy, word);
    while ((specs = next_layer(&rest)) && !(seek && l->nk > 0)) {
        ATN_TRY(count_of(cx, &specs, &count));
        if (seek) {
            ATN_TRY(tokens_of(cx, specs, &l->nk));
            continue;
        }
        if (out->n + count > ATN_STACK_MOST)
            ATN_FAIL(ATN_USAGE, "more than %d layers", ATN_STACK_MOST);
        for (int i = 0; i < count; i++) {
            l->layer = out->n;
            ATN_TRY(make_layer(cx, specs, l, &out->layer[out->n]));
            out->item[out->n++] = out->items;
        }
        out->items++;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status from_file(atn_ctx *cx, const char *word, const atn_layout *like,
                            atn_stack *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_pattern_load(cx, word, &out->layer[0]));
    out->n = out->items = 1;
    if (like->nk > 0 && like->nk != out->layer[0]->frame.nk)
        ATN_FAIL(ATN_USAGE, "%s is a pattern of %lld keys, not of %lld tokens", word,
                 (long long)out->layer[0]->frame.nk, (long long)like->nk);
done:
    return st;
}

atn_status atn_stack_read(atn_ctx *cx, const char *word, const atn_layout *like,
                          atn_stack *out)
{
    atn_layout l = *like;
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    out->name = atn_strdup(cx, word);
    if (!out->name) ATN_TRY(cx->err.code);
    if (is_file(word)) {
        ATN_TRY(from_file(cx, word, like, out));
        goto done;
    }
    if (l.nk == 0) ATN_TRY(walk(cx, word, &l, NULL));
    if (l.nk == 0)
        ATN_FAIL(ATN_USAGE, "%s says no length of its own (give --tokens N)", word);
    l.nq = l.nk;
    l.first = 0;
    ATN_TRY(walk(cx, word, &l, out));
    if (out->n == 0)
        ATN_FAIL(ATN_USAGE, "'%s' is no pattern (attnscope list patterns)", word);
done:
    if (st != ATN_OK) atn_stack_release(cx, out);
    return st;
}

char *atn_stack_item(atn_ctx *cx, const atn_stack *s, int i)
{
    char *copy, *rest, *specs, *text = NULL;

    if (is_file(s->name)) return atn_strdup(cx, s->name);
    copy = rest = atn_strdup(cx, s->name);
    if (!copy) return NULL;
    while ((specs = next_layer(&rest)) && i-- > 0) {
    }
    if (specs) text = atn_strdup(cx, specs);
    atn_free(cx, copy);
    return text;
}

void atn_stack_release(atn_ctx *cx, atn_stack *s)
{
    for (int i = 0; i < s->n; i++) atn_pattern_destroy(cx, s->layer[i]);
    atn_free(cx, s->name);
    memset(s, 0, sizeof *s);
}
