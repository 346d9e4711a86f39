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

static bool has_file(const atn_stack *s, const char *path)
{
    for (int i = 0; i < s->n_files; i++)
        if (strcmp(s->file[i], path) == 0) return true;
    return false;
}

static atn_status note_file(atn_ctx *cx, const char *path, atn_stack *s)
{
    atn_status st = ATN_OK;
    char **more;

    if (has_file(s, path)) return ATN_OK;
    more = atn_realloc(cx, s->file, s->n_files + 1, sizeof *s->file);
    if (!more) ATN_TRY(cx->err.code);
    s->file = more;
    s->file[s->n_files] = atn_strdup(cx, path);
    if (!s->file[s->n_files]) ATN_TRY(cx->err.code);
    s->n_files++;
done:
    return st;
}

/* Whether copies of the layer may differ. With a stack, which files its specs are goes
 * there; without one the length that some spec says is looked for. */
static atn_status look(atn_ctx *cx, const char *specs, atn_stack *out, atn_idx *tokens,
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
        if (out && is_file(id)) ATN_TRY(note_file(cx, id, out));
        if (!out && *tokens == 0) ATN_TRY(tokens_of_spec(cx, id, params, tokens));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- a word ---- */

/* The word behind "5x", or all of it. */
static const char *behind_count(const char *word)
{
    const char *at = word + strspn(word, "0123456789");

    return at > word && *at == 'x' ? at + 1 : word;
}

/* Does the word begin with the id of a generator? */
static bool names_generator(const char *word)
{
    const char *at = behind_count(word);
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ":+,"), at);
    return atn_generator_find(name, NULL);
}

atn_status atn_word_check(atn_ctx *cx, const char *word)
{
    const bool table = atn_ends_with(word, ".csv") || atn_ends_with(word, ".jsonl");
    const bool path = strchr(word, '/') && !strstr(word, ".json");
    atn_status st = ATN_OK;

    if ((!table && !path) || names_generator(word)) goto done;
    if (atn_dir_exists(word))
        ATN_FAIL(ATN_NOINPUT,
                 "%s is a directory without a capture (attnscope capture makes one)",
                 word);
    if (!atn_file_exists(word))
        ATN_FAIL(ATN_NOINPUT, "%s: cannot be opened: no such file or directory", word);
    ATN_FAIL(ATN_USAGE,
             "%s is no pattern (a file of one ends in .json; attnscope list patterns "
             "names the others)",
             word);
done:
    return st;
}

/* A word without any of the marks of a pattern may have been meant as a path. */
static atn_status check_bare(atn_ctx *cx, const char *word)
{
    atn_status st = ATN_OK;
    const char *ids[256];
    int n = 0, near;

    if (!*word || strpbrk(word, ":+,") || is_file(word) || behind_count(word) > word ||
        names_generator(word))
        goto done;
    for (; n < (int)ATN_LEN(ids) && atn_pattern_word(n); n++)
        ids[n] = atn_pattern_word(n);
    near = atn_nearest(word, ids, n);
    ATN_FAIL(ATN_USAGE,
             "'%s': no such file or directory, and no pattern%s%s (attnscope list "
             "patterns)",
             word, near >= 0 ? "; did you mean " : "", near >= 0 ? ids[near] : "");
done:
    return st;
}

const char *atn_pattern_word(int i)
{
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        if (i-- == 0) return (*g)->id;
        for (const atn_preset *s = (*g)->presets; s && s->id; s++)
            if (i-- == 0) return s->id;
    }
    return NULL;
}

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
        ATN_TRY(look(cx, specs, out, &l->nk, &by_layer));
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
    ATN_TRY(note_file(cx, word, out));
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
    ATN_TRY(atn_word_check(cx, word));
    ATN_TRY(check_bare(cx, word));
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

static bool is_input(const atn_run *run, const char *path)
{
    const json_t *input;
    size_t i;

    json_array_foreach(json_object_get(run->json, "inputs"), i, input)
    {
        const char *known = json_string_value(json_object_get(input, "path"));

        if (known && strcmp(known, path) == 0) return true;
    }
    return false;
}

atn_status atn_stack_record(atn_ctx *cx, atn_run *run, const atn_stack *s)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < s->n_files; i++)
        if (!is_input(run, s->file[i])) ATN_TRY(atn_run_add_input(cx, run, s->file[i]));
done:
    return st;
}

void atn_stack_release(atn_ctx *cx, atn_stack *s)
{
    for (int i = 0; i < s->n_own; i++) atn_pattern_destroy(cx, s->own[i]);
    for (int i = 0; i < s->n_files; i++) atn_free(cx, s->file[i]);
    atn_free(cx, s->file);
    atn_free(cx, s->own);
    atn_free(cx, s->item);
    atn_free(cx, (void *)s->layer);
    atn_free(cx, s->name);
    memset(s, 0, sizeof *s);
}
