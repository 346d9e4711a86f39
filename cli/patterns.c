/* cli/patterns.c -- reading patterns from the words of a command line. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/patterns.h"

#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/pattern.h"

static bool is_file(const char *word)
{
    return atn_ends_with(word, ".json");
}

bool atn_is_capture(const char *word)
{
    char manifest[4096];

    if (!atn_dir_exists(word)) return false;
    snprintf(manifest, sizeof manifest, "%s/capture.json", word);
    return atn_file_exists(manifest) || !atn_generator_find(word, NULL);
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

/* Cuts the next SPEC out of *rest: its id or file, and its parameters. */
static bool next_spec(char **rest, char **id, char **params)
{
    char *at = *rest, *end;

    *params = NULL;
    if (!at) return false;
    end = at + strcspn(at, "+");
    *rest = *end ? end + 1 : NULL;
    *end = '\0';
    *id = at;
    at = is_file(at) ? NULL : strchr(at, ':');
    if (!at) return true;
    *at = '\0';
    *params = at + 1;
    return true;
}

static atn_status load(atn_ctx *cx, const char *path, const atn_layout *l,
                       atn_pattern **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_pattern_load(cx, path, out));
    if (l->nk > 0 && l->nk != (*out)->frame.nk) {
        const atn_idx nk = (*out)->frame.nk;

        atn_pattern_destroy(cx, *out);
        *out = NULL;
        ATN_FAIL(ATN_USAGE, "%s is a pattern of %lld keys, not of %lld tokens", path,
                 (long long)nk, (long long)l->nk);
    }
done:
    return st;
}

static atn_status make_spec(atn_ctx *cx, const char *id, const char *params,
                            const atn_layout *l, atn_pattern **out)
{
    atn_status st = ATN_OK;

    *out = NULL;
    if (!*id) ATN_FAIL(ATN_USAGE, "a pattern is missing (attnscope list patterns)");
    if (is_file(id))
        ATN_TRY(load(cx, id, l, out));
    else
        ATN_TRY(atn_pattern_make(cx, id, params, l, out));
done:
    return st;
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
        ATN_TRY(make_spec(cx, id, params, l, &next));
        if (p)
            st = atn_pattern_union(cx, p, next, &p);
        else
            p = next;
        next = NULL;
        ATN_TRY(st);
    }
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status tokens_of_spec(atn_ctx *cx, const char *id, const char *params,
                                 atn_idx *tokens)
{
    const atn_layout any = {0};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    *tokens = 0;
    if (!*id) ATN_FAIL(ATN_USAGE, "a pattern is missing (attnscope list patterns)");
    if (!is_file(id)) return atn_pattern_tokens(cx, id, params, tokens);
    ATN_TRY(load(cx, id, &any, &p));
    *tokens = p->frame.nk;
done:
    atn_pattern_destroy(cx, p);
    return st;
}

/* The length that some spec of the layer says, 0 = none does; and whether copies of it
 * may differ. */
static atn_status look(atn_ctx *cx, const char *specs, bool seek, atn_idx *tokens,
                       bool *by_layer)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char *copy = NULL, *rest, *id, *params;
    atn_status st = ATN_OK;

    *by_layer = false;
    ATN_TAKE(copy, strlen(specs) + 1);
    rest = strcpy(copy, specs);
    while (next_spec(&rest, &id, &params)) {
        const atn_generator *g = atn_generator_find(id, NULL);

        *by_layer |= g && g->by_layer;
        if (seek && *tokens == 0) ATN_TRY(tokens_of_spec(cx, id, params, tokens));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- a word ---- */

/* Room for `count` more layers. */
static atn_status grow(atn_ctx *cx, atn_stack *s, int count)
{
    const atn_idx room = s->n + count;
    atn_status st = ATN_OK;
    void *more;

    if (room > ATN_STACK_MOST)
        ATN_FAIL(ATN_USAGE, "more than %d layers", ATN_STACK_MOST);
    more = atn_realloc(cx, (void *)s->layer, room, sizeof *s->layer);
    if (!more) ATN_TRY(cx->err.code);
    s->layer = more;
    more = atn_realloc(cx, s->item, room, sizeof *s->item);
    if (!more) ATN_TRY(cx->err.code);
    s->item = more;
    more = atn_realloc(cx, s->own, room, sizeof *s->own);
    if (!more) ATN_TRY(cx->err.code);
    s->own = more;
done:
    return st;
}

/* `count` layers of these specs. */
static atn_status add_layers(atn_ctx *cx, const char *specs, int count, bool by_layer,
                             atn_layout *l, atn_stack *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(grow(cx, s, count));
    for (int i = 0; i < count; i++) {
        l->layer = s->n;
        if (i == 0 || by_layer) {
            ATN_TRY(make_layer(cx, specs, l, &s->own[s->n_own]));
            s->n_own++;
        }
        s->item[s->n] = s->items;
        s->layer[s->n++] = s->own[s->n_own - 1];
    }
    s->items++;
done:
    return st;
}

/* Every LAYER of the word: with a length its patterns are added to out; without one
 * (out NULL) it is looked for. */
static atn_status walk(atn_ctx *cx, const char *word, atn_layout *l, atn_stack *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char *copy = NULL, *rest, *specs;
    atn_status st = ATN_OK;
    bool by_layer;
    int count;

    ATN_TAKE(copy, strlen(word) + 1);
    rest = strcpy(copy, word);
    while ((specs = next_layer(&rest))) {
        ATN_TRY(count_of(cx, &specs, &count));
        ATN_TRY(look(cx, specs, !out, &l->nk, &by_layer));
        if (out) ATN_TRY(add_layers(cx, specs, count, by_layer, l, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A word that is a file as a whole. */
static atn_status whole_file(atn_ctx *cx, const char *word, const atn_layout *like,
                             atn_stack *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(grow(cx, out, 1));
    ATN_TRY(load(cx, word, like, &out->own[0]));
    out->n_own = out->n = out->items = 1;
    out->layer[0] = out->own[0];
    out->item[0] = 0;
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
    if (is_file(word) && atn_file_exists(word)) {
        ATN_TRY(whole_file(cx, word, like, out));
        goto done;
    }
    if (l.nk == 0) ATN_TRY(walk(cx, word, &l, NULL));
    if (l.nk == 0 && *word)
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

    if (is_file(s->name) && s->items == 1) return atn_strdup(cx, s->name);
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
    for (int i = 0; i < s->n_own; i++) atn_pattern_destroy(cx, s->own[i]);
    atn_free(cx, s->own);
    atn_free(cx, s->item);
    atn_free(cx, (void *)s->layer);
    atn_free(cx, s->name);
    memset(s, 0, sizeof *s);
}
