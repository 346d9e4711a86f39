/* capture/tokenizer_split.c -- the pre-tokenizers: from one text to pieces.
 *
 * Expressions of the file run through PCRE2 with UTF and UCP on a copy of the text in
 * which U+180E is U+200B: PCRE2 counts it as white space, the reference's library does
 * not, and both have the same length and category. ^ and $ stand at every line, as in
 * the reference.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <utf8proc.h>

#include "capture/tokenizer_internal.h"

static const char GPT2_REGEX[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                 "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- expressions ---- */

/* Inside a class the reference's library reads [..] as a class again, PCRE2 as
 * characters: the brackets of an inner class are left out, which joins its members to
 * the outer one. *why is set where that would not do. */
static atn_status flatten(atn_ctx *cx, const char *p, tok_text *out, const char **why)
{
    int depth = 0;
    atn_status st = ATN_OK;

    for (size_t k; *p; p += k) {
        bool keep = true;

        k = 1;
        if (*p == '\\' && p[1]) {
            k = 2;
        } else if (*p == '[' && depth > 0 && p[1] == ':') {
            const char *end = strstr(p, ":]");
            k = end ? (size_t)(end + 2 - p) : 1;
        } else if (*p == '[') {
            if (depth > 0 && p[1] == '^') *why = "a class within a class";
            keep = depth++ == 0;
            if (keep && p[1] == '^') k = 2;
        } else if (*p == ']' && depth > 0) {
            keep = --depth == 0;
        } else if (depth > 0 && strncmp(p, "&&", 2) == 0) {
            *why = "an intersection of classes";
        }
        if (keep) ATN_TRY(tok_append(cx, out, p, k));
    }
done:
    return st;
}

static bool has_word_class(const char *pattern)
{
    static const char *const words[] = {"\\w", "\\W", "\\b", "\\B", "\\h", "\\H"};

    for (size_t i = 0; i < ATN_LEN(words); i++)
        if (strstr(pattern, words[i])) return true;
    return false;
}

atn_status tok_regex_compile(atn_ctx *cx, const char *path, const char *pattern,
                             tok_regex *out)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR message[128];
    tok_text flat = {0};
    const char *why = has_word_class(pattern) ? "\\w, \\b or \\h" : NULL;
    atn_status st = ATN_OK;

    ATN_TRY(flatten(cx, pattern, &flat, &why));
    if (why)
        ATN_FAIL(ATN_DATA,
                 "%s: the expression \"%.80s\" uses %s, whose meaning differs between "
                 "libraries (give --token-ids)",
                 path, pattern, why);
    out->code =
        pcre2_compile((PCRE2_SPTR)(flat.data ? flat.data : ""), flat.size,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &at, NULL);
    if (!out->code) {
        pcre2_get_error_message(code, message, sizeof message);
        ATN_FAIL(ATN_DATA, "%s: the expression \"%.80s\" cannot be compiled at %zu: %s",
                 path, pattern, (size_t)at, (const char *)message);
    }
    (void)pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE);
done:
    atn_free(cx, flat.data);
    return st;
}

static void hide_180e(char *text, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++)
        if (memcmp(text + i, "\xe1\xa0\x8e", 3) == 0)
            memcpy(text + i, "\xe2\x80\x8b", 3);
}

atn_status tok_regex_each(atn_ctx *cx, const tok_regex *r, const char *text, size_t n,
                          tok_on_match *f, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(r->code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    atn_status st = ATN_OK;
    char *copy = NULL;
    size_t at = 0;

    if (!match || !limits) ATN_FAIL(ATN_MEMORY, "no memory for a match");
    pcre2_set_match_limit(limits, UINT32_MAX);
    pcre2_set_depth_limit(limits, UINT32_MAX);
    ATN_TAKE(copy, n + 1);
    memcpy(copy, text, n);
    hide_180e(copy, n);
    while (at <= n) {
        const int found = pcre2_match(r->code, (PCRE2_SPTR)copy, n, at,
                                      PCRE2_NO_UTF_CHECK, match, limits);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);

        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
            found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_JIT_STACKLIMIT)
            ATN_FAIL(
                ATN_DATA,
                "the tokenizer's expression needs too many steps, or too much "
                "memory, for the text at byte %zu (PCRE2 error %d; give --token-ids)",
                at, found);
        if (found < 0)
            ATN_FAIL(ATN_INTERNAL,
                     "the tokenizer's expression failed with PCRE2 error %d at byte "
                     "%zu (give --token-ids)",
                     found, at);
        if (span[1] > span[0]) ATN_TRY(f(cx, span[0], span[1] - span[0], state));
        at = span[1];
        if (span[1] == span[0]) { /* an empty match moves on by one character */
            size_t length = 1;
            if (at < n) (void)tok_decode(copy + at, n - at, &length);
            at += length;
        }
    }
done:
    pcre2_match_data_free(match);
    pcre2_match_context_free(limits);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- reading ---- */

static bool read_behaviour(const json_t *j, tok_behaviour *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *name = json_string_value(json_object_get(j, "behavior"));

    for (size_t i = 0; name && i < ATN_LEN(names); i++)
        if (strcmp(names[i], name) == 0) {
            *out = (tok_behaviour)i;
            return true;
        }
    return false;
}

static atn_status read_split(atn_ctx *cx, const atn_tokenizer *t, const json_t *j,
                             tok_split *s)
{
    const json_t *pattern = json_object_get(j, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));

    s->kind = TOK_SPLIT;
    s->pattern = json_string_value(json_object_get(pattern, "String"));
    s->invert = tok_flag(j, "invert", false);
    if (!read_behaviour(j, &s->behaviour) || (!regex && !s->pattern) ||
        (s->pattern && !*s->pattern))
        return tok_bad(cx, t, "pre_tokenizer Split needs pattern and behavior");
    return regex ? tok_regex_compile(cx, t->path, regex, &s->regex) : ATN_OK;
}

static atn_status read_metaspace(atn_ctx *cx, const atn_tokenizer *t, const json_t *j,
                                 tok_split *s)
{
    const char *scheme = json_string_value(json_object_get(j, "prepend_scheme"));
    const char *mark = json_string_value(json_object_get(j, "replacement"));
    size_t one = 0;

    s->kind = TOK_METASPACE;
    s->mark = mark ? mark : "\xe2\x96\x81";
    s->split = tok_flag(j, "split", true);
    s->prepend = tok_flag(j, "add_prefix_space", true) ? TOK_ALWAYS : TOK_NEVER;
    (void)tok_decode(s->mark, strlen(s->mark), &one);
    if (!*s->mark || s->mark[one])
        return tok_bad(cx, t,
                       "pre_tokenizer Metaspace: replacement is not one character");
    if (!scheme) return ATN_OK;
    if (strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0 &&
        strcmp(scheme, "never") != 0)
        return tok_bad(
            cx, t,
            "pre_tokenizer Metaspace: prepend_scheme is not always, first, never");
    s->prepend = scheme[0] == 'a'   ? TOK_ALWAYS
                 : scheme[0] == 'f' ? TOK_FIRST
                                    : TOK_NEVER;
    return ATN_OK;
}

static atn_status read_step(atn_ctx *cx, atn_tokenizer *t, const json_t *j,
                            const char *type, tok_split *s)
{
    char what[160];

    if (strcmp(type, "ByteLevel") == 0) {
        s->kind = TOK_BYTE_LEVEL;
        s->prefix_space = tok_flag(j, "add_prefix_space", true);
        s->use_regex = tok_flag(j, "use_regex", true);
        return s->use_regex ? tok_regex_compile(cx, t->path, GPT2_REGEX, &s->regex)
                            : ATN_OK;
    }
    if (strcmp(type, "Split") == 0) return read_split(cx, t, j, s);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(cx, t, j, s);
    if (strcmp(type, "Whitespace") == 0) {
        s->kind = TOK_WHITESPACE;
    } else if (strcmp(type, "WhitespaceSplit") == 0) {
        s->kind = TOK_WHITESPACE_SPLIT;
    } else if (strcmp(type, "BertPreTokenizer") == 0) {
        s->kind = TOK_BERT_SPLIT;
    } else if (strcmp(type, "Digits") == 0) {
        s->kind = TOK_DIGITS;
        s->individual = tok_flag(j, "individual_digits", false);
    } else if (strcmp(type, "Punctuation") == 0) {
        s->kind = TOK_PUNCTUATION;
        s->behaviour = TOK_ISOLATED;
        (void)read_behaviour(j, &s->behaviour);
    } else {
        snprintf(what, sizeof what,
                 "pre_tokenizer \"%.40s\" is not supported yet (give --token-ids)",
                 type);
        return tok_bad(cx, t, what);
    }
    return ATN_OK;
}

atn_status tok_read_splitter(atn_ctx *cx, atn_tokenizer *t, const json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *list = json_object_get(j, "pretokenizers"), *v;
    tok_split *grown;
    size_t i;

    if (!j || json_is_null(j)) return ATN_OK;
    if (!type) return tok_bad(cx, t, "the pre_tokenizer has no type");
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(list))
            return tok_bad(cx, t, "the pre_tokenizer Sequence has no pretokenizers");
        json_array_foreach(list, i, v) if (tok_read_splitter(cx, t, v) !=
                                           ATN_OK) return cx->err.code;
        return ATN_OK;
    }
    grown = atn_realloc(cx, t->splits, t->n_splits + 1, sizeof *grown);
    if (!grown) return cx->err.code;
    t->splits = grown;
    grown[t->n_splits] = (tok_split){0};
    t->n_splits++;
    if (read_step(cx, t, j, type, &grown[t->n_splits - 1]) != ATN_OK)
        return cx->err.code;
    t->byte_level |= grown[t->n_splits - 1].kind == TOK_BYTE_LEVEL;
    t->word_mark |= grown[t->n_splits - 1].kind == TOK_METASPACE;
    return ATN_OK;
}

/* ---- cutting at matches ---- */

/* Collects (span, is a match) alternately, then joins them as the behaviour says. */
typedef struct cutter {
    const char *text;
    size_t n, done;
    const tok_split *s;
    tok_pieces *out;
    size_t held_at, held_size; /* a piece that may still grow */
    bool held, held_match;
} cutter;

static atn_status flush(atn_ctx *cx, cutter *c)
{
    if (!c->held) return ATN_OK;
    c->held = false;
    c->out->moved |= c->out->n == 0 && c->held_at > 0;
    return tok_add_piece(cx, c->out, c->text + c->held_at, c->held_size, -1);
}

static atn_status feed(atn_ctx *cx, cutter *c, size_t at, size_t size, bool match)
{
    bool join = false;
    atn_status st = ATN_OK;

    if (size == 0) return ATN_OK;
    match ^= c->s->invert;
    switch (c->s->behaviour) {
    case TOK_REMOVED:
        if (match) return flush(cx, c);
        break;
    case TOK_ISOLATED:
        break;
    case TOK_WITH_PREVIOUS:
        join = match && c->held && !c->held_match;
        break;
    case TOK_WITH_NEXT:
        join = !match && c->held && c->held_match;
        break;
    case TOK_CONTIGUOUS:
        join = c->held && c->held_match == match;
        break;
    }
    if (join) {
        c->held_size += size;
        c->held_match = match;
        return ATN_OK;
    }
    ATN_TRY(flush(cx, c));
    c->held = true;
    c->held_at = at;
    c->held_size = size;
    c->held_match = match;
done:
    return st;
}

static atn_status on_match(atn_ctx *cx, size_t at, size_t size, void *state)
{
    cutter *c = state;
    atn_status st = ATN_OK;

    ATN_TRY(feed(cx, c, c->done, at - c->done, false));
    ATN_TRY(feed(cx, c, at, size, true));
    c->done = at + size;
done:
    return st;
}

static atn_status finish(atn_ctx *cx, cutter *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(feed(cx, c, c->done, c->n - c->done, false));
    ATN_TRY(flush(cx, c));
done:
    return st;
}

static atn_status cut_pattern(atn_ctx *cx, const tok_split *s, const char *text,
                              size_t n, tok_pieces *out)
{
    cutter c = {.text = text, .n = n, .s = s, .out = out};
    const size_t size = s->pattern ? strlen(s->pattern) : 0;
    atn_status st = ATN_OK;

    if (s->regex.code) ATN_TRY(tok_regex_each(cx, &s->regex, text, n, on_match, &c));
    for (size_t at = 0; s->pattern && at + size <= n;) {
        const bool hit = memcmp(text + at, s->pattern, size) == 0;
        if (hit) ATN_TRY(on_match(cx, at, size, &c));
        at += hit ? size : 1;
    }
    ATN_TRY(finish(cx, &c));
done:
    return st;
}

/* ---- cutting by character class ---- */

/* The class of a character: 0 is cut out, -1 stands alone, equal positive ones join. */
static int class_of(const tok_split *s, int32_t cp)
{
    const utf8proc_category_t k = utf8proc_category(cp);
    const bool number = k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;

    switch (s->kind) {
    case TOK_WHITESPACE:
        return tok_is_space(cp) ? 0 : tok_is_word(cp) ? 1 : 2;
    case TOK_WHITESPACE_SPLIT:
        return tok_is_space(cp) ? 0 : 1;
    case TOK_BERT_SPLIT:
        return tok_is_space(cp) ? 0 : tok_is_punctuation(cp) ? -1 : 1;
    case TOK_DIGITS:
        return !number ? 1 : s->individual ? -1 : 2;
    default:
        return 1;
    }
}

static atn_status cut_classes(atn_ctx *cx, const tok_split *s, const char *text,
                              size_t n, tok_pieces *out)
{
    size_t begin = 0;
    int class = 0;
    atn_status st = ATN_OK;

    for (size_t at = 0, k; at < n; at += k) {
        const int next = class_of(s, tok_decode(text + at, n - at, &k));

        if (next == class && next > 0) continue;
        if (class != 0) ATN_TRY(tok_add_piece(cx, out, text + begin, at - begin, -1));
        out->moved |= out->n == 0 && at > 0;
        begin = at;
        class = next;
    }
    if (class != 0) ATN_TRY(tok_add_piece(cx, out, text + begin, n - begin, -1));
done:
    return st;
}

static atn_status cut_punctuation(atn_ctx *cx, const tok_split *s, const char *text,
                                  size_t n, tok_pieces *out)
{
    cutter c = {.text = text, .n = n, .s = s, .out = out};
    atn_status st = ATN_OK;

    for (size_t at = 0, k; at < n; at += k)
        if (tok_is_punctuation(tok_decode(text + at, n - at, &k)))
            ATN_TRY(on_match(cx, at, k, &c));
    ATN_TRY(finish(cx, &c));
done:
    return st;
}

/* ---- byte level and metaspace: pieces whose text changes ---- */

static atn_status to_byte_chars(atn_ctx *cx, const tok_pieces *in, tok_pieces *out)
{
    tok_text mapped = {0};
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < in->n; i++) {
        const unsigned char *s = (const unsigned char *)in->text.data + in->items[i].at;

        mapped.size = 0;
        for (size_t b = 0; b < in->items[i].size; b++)
            ATN_TRY(tok_append_cp(cx, &mapped, tok_byte_char(s[b])));
        ATN_TRY(tok_add_piece(cx, out, mapped.data, mapped.size, -1));
    }
done:
    atn_free(cx, mapped.data);
    return st;
}

static atn_status byte_level(atn_ctx *cx, const tok_split *s, const char *text,
                             size_t n, tok_pieces *out)
{
    tok_split isolated = {
        .kind = TOK_SPLIT, .behaviour = TOK_ISOLATED, .regex = s->regex};
    tok_text whole = {0};
    tok_pieces cut = {0};
    atn_status st = ATN_OK;

    if (s->prefix_space && (n == 0 || text[0] != ' '))
        ATN_TRY(tok_append(cx, &whole, " ", 1));
    ATN_TRY(tok_append(cx, &whole, text, n));
    if (s->use_regex)
        ATN_TRY(cut_pattern(cx, &isolated, whole.data, whole.size, &cut));
    else
        ATN_TRY(tok_add_piece(cx, &cut, whole.data, whole.size, -1));
    ATN_TRY(to_byte_chars(cx, &cut, out));
done:
    atn_free(cx, whole.data);
    tok_pieces_release(cx, &cut);
    return st;
}

static atn_status metaspace(atn_ctx *cx, const tok_split *s, const char *text, size_t n,
                            bool first, tok_pieces *out)
{
    const tok_split next = {
        .kind = TOK_SPLIT, .behaviour = TOK_WITH_NEXT, .pattern = s->mark};
    const size_t size = strlen(s->mark);
    tok_text marked = {0}, whole = {0};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < n; i++)
        ATN_TRY(text[i] == ' ' ? tok_append(cx, &marked, s->mark, size)
                               : tok_append(cx, &marked, text + i, 1));
    if ((s->prepend == TOK_ALWAYS || (s->prepend == TOK_FIRST && first)) &&
        marked.size > 0 &&
        (marked.size < size || memcmp(marked.data, s->mark, size) != 0))
        ATN_TRY(tok_append(cx, &whole, s->mark, size));
    if (marked.size > 0) ATN_TRY(tok_append(cx, &whole, marked.data, marked.size));
    if (s->split)
        ATN_TRY(cut_pattern(cx, &next, whole.data, whole.size, out));
    else
        ATN_TRY(tok_add_piece(cx, out, whole.data, whole.size, -1));
done:
    atn_free(cx, marked.data);
    atn_free(cx, whole.data);
    return st;
}

static atn_status run_step(atn_ctx *cx, const tok_split *s, const char *text, size_t n,
                           bool first, tok_pieces *out)
{
    switch (s->kind) {
    case TOK_BYTE_LEVEL:
        return byte_level(cx, s, text, n, out);
    case TOK_SPLIT:
        return cut_pattern(cx, s, text, n, out);
    case TOK_METASPACE:
        return metaspace(cx, s, text, n, first, out);
    case TOK_PUNCTUATION:
        return cut_punctuation(cx, s, text, n, out);
    default:
        return cut_classes(cx, s, text, n, out);
    }
}

atn_status tok_split_text(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                          size_t n, bool first, tok_pieces *out)
{
    tok_pieces now = {0}, next = {0};
    atn_status st = ATN_OK;

    ATN_TRY(tok_add_piece(cx, &now, text, n, -1));
    for (atn_idx s = 0; s < t->n_splits; s++) {
        next.text.most = tok_most_of(n);
        for (atn_idx i = 0; i < now.n; i++) {
            ATN_TRY(run_step(cx, &t->splits[s], now.text.data + now.items[i].at,
                             now.items[i].size, first && i == 0, &next));
            if (i == 0 && (next.n == 0 || next.moved)) first = false;
        }
        tok_pieces_release(cx, &now);
        now = next;
        next = (tok_pieces){0};
    }
    *out = now;
    now = (tok_pieces){0};
done:
    tok_pieces_release(cx, &now);
    tok_pieces_release(cx, &next);
    return st;
}
