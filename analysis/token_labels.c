/* analysis/token_labels.c -- a label for every token, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/token_labels.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/param.h"
#include "core/table.h"

enum { BUCKETS = 8, NAME = 64 };

void atn_token_labels_release(atn_ctx *cx, atn_token_labels *l)
{
    for (atn_idx k = 0; l->name && k < l->classes; k++) atn_free(cx, l->name[k]);
    atn_free(cx, l->name);
    atn_free(cx, l->label);
    atn_free(cx, l->what);
    *l = (atn_token_labels){0};
}

/* Room for `classes` names that are set one by one. */
static atn_status begin_names(atn_ctx *cx, atn_token_labels *l, atn_idx classes)
{
    atn_status st = ATN_OK;

    ATN_NEW(l->name, classes);
    l->classes = classes;
done:
    return st;
}

static atn_status set_name(atn_ctx *cx, atn_token_labels *l, atn_idx k,
                           const char *name)
{
    l->name[k] = atn_strdup(cx, name);
    return l->name[k] ? ATN_OK : cx->err.code;
}

/* ---- classes of texts ---- */

enum { SPECIAL, SPACE, DIGIT, PUNCTUATION, CONTINUATION, WORD_START };
const char *const atn_token_class_names[ATN_TOKEN_CLASSES] = {
    "special", "space", "digit", "punctuation", "continuation", "word_start"};

/* One character of UTF-8, or a byte that is none; moves on. */
static unsigned next_char(const unsigned char **s)
{
    const unsigned char *p = *s;
    const int more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    unsigned c = more == 3   ? p[0] & 7u
                 : more == 2 ? p[0] & 15u
                 : more      ? p[0] & 31u
                             : p[0];

    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *s = p + 1;
            return p[0];
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    *s = p + 1 + more;
    return c;
}

static bool is_special(const char *s)
{
    const size_t n = strlen(s);

    if (n < 3) return false;
    if (s[0] == '<' && s[n - 1] == '>') return true;
    if (s[0] != '[' || s[n - 1] != ']') return false;
    for (size_t i = 1; i + 1 < n; i++)
        if (!isupper((unsigned char)s[i])) return false;
    return true;
}

/* What the characters of a text are. */
static int kind_of(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    bool digit = false, letter = false, mark = false;

    while (*s) {
        const unsigned c = next_char(&s);
        const bool sign = (c >= 0xa0 && c < 0xc0) || (c >= 0x2000 && c < 0x2070);

        if (c < 128 && isspace((int)c)) continue;
        if (c == 0x2581 || c == 0x120 || c == 0x10a) continue; /* marks of spaces */
        if (c < 128 && isdigit((int)c))
            digit = true;
        else if (sign || (c < 128 && !isalpha((int)c)))
            mark = true;
        else
            letter = true;
    }
    if (letter) return WORD_START;
    return digit ? DIGIT : mark ? PUNCTUATION : SPACE;
}

static bool spaced(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    const unsigned c = *s ? next_char(&s) : 0;

    return c == 0x2581 || c == 0x120 || (c > 0 && c < 128 && isspace((int)c));
}

void atn_token_classes(const char *const *texts, atn_idx n, int32_t *label)
{
    int before = SPACE;

    for (atn_idx i = 0; i < n; i++) {
        const char *s = texts[i] ? texts[i] : "";
        const bool piece = strncmp(s, "##", 2) == 0 && s[2];
        int kind = is_special(s) ? SPECIAL : kind_of(piece ? s + 2 : s);

        if (kind == WORD_START &&
            (piece || (!spaced(s) && (before == CONTINUATION || before == WORD_START ||
                                      before == DIGIT))))
            kind = CONTINUATION;
        label[i] = before = kind;
    }
}

/* WordPiece: words have no space before them, pieces of them have ##. */
static bool is_wordpiece(const char *const *texts, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (texts[i] && strncmp(texts[i], "##", 2) == 0 && texts[i][2]) return true;
    return false;
}

static atn_status by_class(atn_ctx *cx, const char *const *texts, atn_token_labels *l)
{
    atn_status st = ATN_OK;
    bool pieces;

    if (!texts)
        ATN_FAIL(ATN_DATA, "--labels class: the capture has no texts of its tokens "
                           "(give --labels token, position or a file)");
    ATN_TRY(begin_names(cx, l, ATN_TOKEN_CLASSES));
    for (int k = 0; k < ATN_TOKEN_CLASSES; k++)
        ATN_TRY(set_name(cx, l, k, atn_token_class_names[k]));
    atn_token_classes(texts, l->n, l->label);
    pieces = is_wordpiece(texts, l->n);
    for (atn_idx i = 0; pieces && i < l->n; i++)
        if (l->label[i] == CONTINUATION && strncmp(texts[i], "##", 2) != 0)
            l->label[i] = WORD_START;
done:
    return st;
}

/* ---- ids, places, lines ---- */

typedef struct number {
    int64_t value;
    atn_idx at;
} number;

static int by_value(const void *a, const void *b)
{
    const number *x = a, *y = b;

    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Classes of numbers in ascending order; those that occur less than `least` times, or
 * are below 0, have none. name_of[k] is the place of one of class k. */
static atn_status by_numbers(atn_ctx *cx, number *x, atn_idx least, atn_token_labels *l,
                             atn_idx *name_of)
{
    atn_status st = ATN_OK;
    atn_idx classes = 0;

    qsort(x, (size_t)l->n, sizeof *x, by_value);
    for (atn_idx i = 0, end; i < l->n; i = end) {
        for (end = i; end < l->n && x[end].value == x[i].value; end++) continue;
        for (atn_idx k = i; k < end; k++)
            l->label[x[k].at] =
                end - i >= least && x[i].value >= 0 ? (int32_t)classes : -1;
        if (end - i >= least && x[i].value >= 0) name_of[classes++] = x[i].at;
    }
    ATN_TRY(begin_names(cx, l, classes));
done:
    return st;
}

static atn_status by_token(atn_ctx *cx, const int32_t *ids, const char *const *texts,
                           atn_token_labels *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    number *x = NULL;
    atn_idx *at = NULL;
    char id[NAME];

    if (!ids)
        ATN_FAIL(ATN_DATA,
                 "--labels token: the capture has no token ids (give --labels "
                 "position or a file)");
    ATN_TAKE(x, l->n);
    ATN_TAKE(at, l->n);
    for (atn_idx i = 0; i < l->n; i++) x[i] = (number){ids[i], i};
    ATN_TRY(by_numbers(cx, x, 2, l, at));
    for (atn_idx k = 0; k < l->classes; k++) {
        snprintf(id, sizeof id, "%d", ids[at[k]]);
        ATN_TRY(set_name(cx, l, k, texts ? texts[at[k]] : id));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status by_position(atn_ctx *cx, const char *buckets, atn_token_labels *l)
{
    atn_idx n = BUCKETS;
    atn_status st = ATN_OK;
    char name[NAME];

    if (buckets) ATN_TRY(atn_parse_count(cx, "--labels position", buckets, &n));
    if (n < 1 || n > l->n)
        ATN_FAIL(ATN_USAGE,
                 "--labels position:%lld: there are %lld tokens (give 1 to so many "
                 "buckets)",
                 (long long)n, (long long)l->n);
    ATN_TRY(begin_names(cx, l, n));
    for (atn_idx i = 0; i < l->n; i++) l->label[i] = (int32_t)(i * n / l->n);
    for (atn_idx k = 0; k < n; k++) {
        snprintf(name, sizeof name, "%lld-%lld", (long long)((k * l->n + n - 1) / n),
                 (long long)(((k + 1) * l->n + n - 1) / n - 1));
        ATN_TRY(set_name(cx, l, k, name));
    }
done:
    return st;
}

static atn_status by_segment(atn_ctx *cx, const char *const *texts, atn_token_labels *l)
{
    atn_status st = ATN_OK;
    int32_t line = 0;
    bool any = false; /* the line has a token */
    char name[NAME];

    if (!texts)
        ATN_FAIL(ATN_DATA, "--labels segment: the capture has no texts of its tokens "
                           "(give --labels token, position or a file)");
    for (atn_idx i = 0; i < l->n; i++) {
        const char *s = texts[i] ? texts[i] : "";

        l->label[i] = is_special(s) ? -1 : line;
        any = any || l->label[i] >= 0;
        if (strchr(s, '\n')) line++;
        if (strchr(s, '\n')) any = false;
    }
    ATN_TRY(begin_names(cx, l, line + any));
    for (atn_idx k = 0; k < l->classes; k++) {
        snprintf(name, sizeof name, "line %lld", (long long)k + 1);
        ATN_TRY(set_name(cx, l, k, name));
    }
done:
    return st;
}

/* ---- a file ---- */

static atn_status no_label(atn_ctx *cx, const char *path, const atn_table *t)
{
    const int n = atn_table_cols(t);
    const atn_arena_mark mark = atn_arena_save(cx);
    const char **names = NULL, *near = NULL;
    atn_status st = ATN_OK;
    int at;

    ATN_TAKE(names, n);
    for (int c = 0; c < n; c++) names[c] = atn_table_col_name(t, c);
    at = atn_nearest("label", names, n);
    if (at >= 0) near = names[at];
    ATN_FAIL(ATN_DATA,
             "%s: there is no column label%s%.40s%s (the first line must name it)",
             path, near ? ", the nearest is '" : "", near ? near : "", near ? "'" : "");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Other columns may stand beside these. */
static atn_status find_columns(atn_ctx *cx, const char *path, const atn_table *t,
                               int *label, int *position)
{
    atn_status st = ATN_OK;

    *label = atn_table_find_col(t, "label");
    *position = atn_table_find_col(t, "position");
    if (*label < 0) ATN_TRY(no_label(cx, path, t));
    if (*position >= 0 && atn_table_col_type(t, *position) != ATN_COL_I64)
        ATN_FAIL(ATN_DATA, "%s: positions are whole numbers from 0 (number the tokens)",
                 path);
done:
    return st;
}

/* at [n] <- the token of every row. */
static atn_status read_places(atn_ctx *cx, const char *path, const atn_table *t,
                              int col, atn_idx n, atn_idx *at)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    bool *taken = NULL;

    ATN_TAKE(taken, n);
    memset(taken, 0, (size_t)n * sizeof *taken);
    for (atn_idx i = 0; i < n; i++) {
        at[i] = i;
        if (col >= 0 && !atn_table_has(t, i, col))
            ATN_FAIL(ATN_DATA,
                     "%s: row %lld: the position is empty (number the tokens)", path,
                     (long long)i + 2);
        if (col >= 0) at[i] = atn_table_get_i64(t, i, col);
        if (at[i] < 0 || at[i] >= n || taken[at[i]])
            ATN_FAIL(ATN_DATA,
                     "%s: row %lld: position %lld %s (every token from 0 to %lld has "
                     "one row)",
                     path, (long long)i + 2, (long long)at[i],
                     at[i] < 0 || at[i] >= n ? "is outside the text" : "is there twice",
                     (long long)n - 1);
        taken[at[i]] = true;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A label as the file has it. */
typedef struct word {
    const char *text; /* of numbers in JSON: the arena's */
    int64_t whole;
    bool is_number, is_whole, none;
    atn_idx at;
} word;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const word *)a)->text, ((const word *)b)->text);
}

static void understand(word *w)
{
    char *end = NULL;

    if (strchr("+-.0123456789", w->text[0]) && w->text[0]) {
        (void)strtod(w->text, &end);
        w->is_number = end != w->text && !*end;
        errno = 0;
        w->whole = strtoll(w->text, &end, 10);
        w->is_whole = w->is_number && !*end && errno == 0;
    }
    w->none = strcmp(w->text, "none") == 0 || (w->is_whole && w->whole < 0);
}

/* JSON has numbers and flags of their own. */
static atn_status text_of(atn_ctx *cx, const atn_table *t, atn_idx row, int col,
                          const char **out)
{
    const atn_col_type type = atn_table_col_type(t, col);
    atn_status st = ATN_OK;
    char *text = NULL;

    *out = type == ATN_COL_STR                   ? atn_table_get_str(t, row, col)
           : atn_table_get_f64(t, row, col) != 0 ? "true"
                                                 : "false";
    if (type != ATN_COL_I64 && type != ATN_COL_F64) return ATN_OK;
    ATN_TAKE(text, NAME);
    if (type == ATN_COL_I64)
        snprintf(text, NAME, "%lld", (long long)atn_table_get_i64(t, row, col));
    else
        snprintf(text, NAME, "%g", atn_table_get_f64(t, row, col));
    *out = text;
done:
    return st;
}

/* w [n] <- the label of every row. */
static atn_status read_words(atn_ctx *cx, const char *path, const atn_table *t, int col,
                             atn_idx n, word *w)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < n; i++) {
        if (!atn_table_has(t, i, col))
            ATN_FAIL(ATN_DATA,
                     "%s: row %lld: the label is empty (give none, or -1, to a token "
                     "without a label)",
                     path, (long long)i + 2);
        w[i] = (word){.at = i};
        ATN_TRY(text_of(cx, t, i, col, &w[i].text));
        understand(&w[i]);
    }
done:
    return st;
}

/* x [n] <- labels as numbers that sort like them, -1 for none: whole numbers as they
 * are where there is nothing else, texts in the order of the alphabet. Sorts w. */
static atn_status number_words(atn_ctx *cx, const char *path, word *w, atn_idx n,
                               number *x)
{
    bool numbers = true, whole = true;
    atn_status st = ATN_OK;
    int64_t k = 0;

    for (atn_idx i = 0; i < n; i++) {
        numbers = numbers && (w[i].is_number || w[i].none);
        whole = whole && (w[i].is_whole || w[i].none);
    }
    if (numbers && !whole)
        ATN_FAIL(ATN_DATA,
                 "%s: labels are whole numbers or text, not fractions (number the "
                 "classes)",
                 path);
    qsort(w, (size_t)n, sizeof *w, by_text);
    for (atn_idx i = 0; i < n; i++) {
        k += i > 0 && strcmp(w[i].text, w[i - 1].text) != 0;
        x[w[i].at].value = w[i].none ? -1 : whole ? w[i].whole : k;
    }
done:
    return st;
}

static atn_status name_classes(atn_ctx *cx, const atn_table *t, int col,
                               const atn_idx *row_of, const atn_idx *name_of,
                               atn_token_labels *l)
{
    atn_status st = ATN_OK;
    const char *name;

    for (atn_idx k = 0; k < l->classes; k++) {
        ATN_TRY(text_of(cx, t, row_of[name_of[k]], col, &name));
        ATN_TRY(set_name(cx, l, k, name));
    }
done:
    return st;
}

static atn_status label_rows(atn_ctx *cx, const char *path, const atn_table *t,
                             atn_token_labels *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_idx *at = NULL, *row_of = NULL, *name_of = NULL;
    atn_status st = ATN_OK;
    int label, position;
    number *x = NULL;
    word *w = NULL;

    ATN_TRY(find_columns(cx, path, t, &label, &position));
    if (atn_table_rows(t) != l->n)
        ATN_FAIL(ATN_DATA,
                 "%s: %lld labels for a text of %lld tokens (give one row a token)",
                 path, (long long)atn_table_rows(t), (long long)l->n);
    ATN_TAKE(at, l->n);
    ATN_TAKE(row_of, l->n);
    ATN_TAKE(name_of, l->n);
    ATN_TAKE(x, l->n);
    ATN_TAKE(w, l->n);
    ATN_TRY(read_places(cx, path, t, position, l->n, at));
    ATN_TRY(read_words(cx, path, t, label, l->n, w));
    ATN_TRY(number_words(cx, path, w, l->n, x));
    for (atn_idx i = 0; i < l->n; i++) {
        x[i].at = at[i];
        row_of[at[i]] = i;
    }
    ATN_TRY(by_numbers(cx, x, 1, l, name_of));
    ATN_TRY(name_classes(cx, t, label, row_of, name_of, l));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status by_file(atn_ctx *cx, const char *path, atn_token_labels *l)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    if (atn_dir_exists(path))
        ATN_FAIL(ATN_NOINPUT, "--labels %s: is a directory (give a CSV file)", path);
    if (!atn_file_exists(path))
        ATN_FAIL(ATN_NOINPUT,
                 "--labels %s: there is no such file, and it is none of class, token, "
                 "position[:N], segment",
                 path);
    ATN_TRY(atn_table_load_text(cx, path, "label", &t));
    ATN_TRY(label_rows(cx, path, t, l));
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- all of them ---- */

/* Where stacks have tokens each, labels are of one of them. */
static atn_status check_one_stack(atn_ctx *cx, const atn_capture *c,
                                  const atn_selection *sel)
{
    const char *stack = atn_capture_layer(c, sel->at[0])->stack;

    for (int i = 1; i < sel->n; i++)
        if (strcmp(atn_capture_layer(c, sel->at[i])->stack, stack) != 0)
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--labels: the stacks of this capture have tokens of their "
                            "own, and layers of several are chosen (choose with "
                            "--stack)");
    return ATN_OK;
}

atn_status atn_token_labels_make(atn_ctx *cx, const atn_capture *c,
                                 const atn_selection *sel, const char *what,
                                 atn_token_labels *out)
{
    const char *const *texts = NULL;
    const int32_t *ids = NULL;
    const char *colon = strchr(what, ':');
    atn_status st = ATN_OK;

    *out = (atn_token_labels){.n = atn_capture_tokens(c, &ids, &texts)};
    if (out->n == 0) {
        atn_tokens queries, keys;

        ATN_TRY(check_one_stack(cx, c, sel));
        atn_capture_layer_tokens(c, sel->at[0], &queries, &keys);
        out->n = atn_capture_layer(c, sel->at[0])->nk;
        ids = keys.ids;
        texts = keys.texts;
    }
    out->what = atn_strdup(cx, what);
    if (!out->what) ATN_TRY(cx->err.code);
    ATN_NEW(out->label, out->n);
    if (strcmp(what, "class") == 0)
        ATN_TRY(by_class(cx, texts, out));
    else if (strcmp(what, "token") == 0)
        ATN_TRY(by_token(cx, ids, texts, out));
    else if (strcmp(what, "segment") == 0)
        ATN_TRY(by_segment(cx, texts, out));
    else if (strncmp(what, "position", 8) == 0 && (!what[8] || what[8] == ':'))
        ATN_TRY(by_position(cx, colon ? colon + 1 : NULL, out));
    else
        ATN_TRY(by_file(cx, what, out));
done:
    if (st != ATN_OK) atn_token_labels_release(cx, out);
    return st;
}

atn_status atn_token_labels_layer(atn_ctx *cx, const atn_token_labels *l,
                                  const atn_layer_info *info, bool own, int32_t **key,
                                  atn_idx *classes, atn_idx **of)
{
    atn_status st = ATN_OK;
    int32_t *seen = NULL;

    *key = NULL;
    *classes = 0;
    *of = NULL;
    if (!own || info->nk > l->n) {
        atn_log(cx, ATN_LOG_WARN,
                "%s: what needs labels stays empty, its queries and keys are not "
                "the %lld tokens with labels",
                atn_layer_name(info).text, (long long)l->n);
        return ATN_OK;
    }
    ATN_TAKE(*of, l->classes);
    ATN_TAKE(seen, l->classes);
    memset(seen, 0, (size_t)l->classes * sizeof *seen);
    for (atn_idx j = info->sight.key_first; j < ATN_MIN(info->sight.key_last, info->nk);
         j++)
        if (l->label[j] >= 0) seen[l->label[j]] = 1;
    for (atn_idx k = 0; k < l->classes; k++) {
        if (!seen[k]) continue;
        (*of)[*classes] = k;
        seen[k] = (int32_t)++ * classes;
    }
    ATN_TAKE(*key, info->nk);
    for (atn_idx j = 0; j < info->nk; j++) {
        const bool in = j >= info->sight.key_first && j < info->sight.key_last;

        (*key)[j] = in && l->label[j] >= 0 ? seen[l->label[j]] - 1 : -1;
    }
    if (*classes == 0)
        atn_log(cx, ATN_LOG_WARN,
                "%s: what needs labels stays empty, none of its keys has a label",
                atn_layer_name(info).text);
done:
    return st;
}
