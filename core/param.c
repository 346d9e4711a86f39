/* core/param.c -- parameter tables, numbers with suffixes, lists, head selections. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/io/file.h"

/* ---- numbers ---- */

/* strtod plus a suffix: *rest is what follows the number; false when there is no
 * number. */
static bool number(const char *text, double *value, const char **rest)
{
    char *end = NULL;

    if (!isdigit((unsigned char)text[0]) && !strchr("+-.", text[0])) return false;
    errno = 0;
    *value = strtod(text, &end);
    *rest = end;
    return end != text && errno == 0 && isfinite(*value);
}

atn_status atn_parse_f64(atn_ctx *cx, const char *what, const char *text, double *out)
{
    const char *rest = NULL;

    if (number(text, out, &rest) && *rest == '\0') return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: '%s' is not a finite number (give for example 0.5 or 1e-3)",
                    what, text);
}

/* Multiplier of a unit, 0 when it is none; counts know k, m, g and bytes add B and
 * iB. */
static double unit_of(const char *text, bool bytes)
{
    static const char letters[] = "kmgt";
    const char *at = *text ? strchr(letters, tolower((unsigned char)*text)) : NULL;
    const double factor = at ? pow(1024, (double)(at - letters + 1)) : 1;
    const char *rest = at ? text + 1 : text;

    if (*rest == '\0') return factor;
    if (bytes && (strcasecmp(rest, "b") == 0 || (at && strcasecmp(rest, "ib") == 0)))
        return factor;
    return 0;
}

static bool scaled(const char *text, bool bytes, double *value)
{
    const char *rest = NULL;
    double unit;

    if (!number(text, value, &rest) || *value < 0) return false;
    unit = unit_of(rest, bytes);
    *value *= unit;
    if (bytes) *value = floor(*value); /* "7.9MiB" is no whole number of them */
    return unit > 0 && *value < 9e15 && *value == floor(*value);
}

atn_status atn_parse_count(atn_ctx *cx, const char *what, const char *text,
                           atn_idx *out)
{
    double value;

    if (!scaled(text, false, &value))
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' is not a count (give for example 512, 4k or 1m)",
                        what, text);
    *out = (atn_idx)value;
    return ATN_OK;
}

atn_status atn_parse_bytes(atn_ctx *cx, const char *what, const char *text, size_t *out)
{
    double value;

    if (!scaled(text, true, &value))
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' is not a size (give for example 256MiB or 2GiB)",
                        what, text);
    *out = (size_t)value;
    return ATN_OK;
}

/* ---- "did you mean" ---- */

enum { WORD_MAX = 64 };

static int edit_distance(const char *a, const char *b)
{
    const int n = (int)strlen(b);
    int row[WORD_MAX + 1];

    if (n > WORD_MAX || strlen(a) > WORD_MAX) return WORD_MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = ATN_MIN(change, 1 + ATN_MIN(row[j], row[j - 1]));
        }
    }
    return row[n];
}

int atn_nearest(const char *text, const char *const *candidates, int count)
{
    const size_t n = strlen(text);
    int best = -1, least = (int)n / 3 + 1;

    /* a word that was only begun is not misspelt */
    for (int i = 0; n >= 2 && i < count; i++)
        if (strncmp(text, candidates[i], n) == 0) return i;

    for (int i = 0; i < count; i++) {
        const int distance = edit_distance(text, candidates[i]);
        if (distance <= least && (best < 0 || distance < least)) {
            best = i;
            least = distance;
        }
    }
    return best;
}

void atn_name_add(char *list, size_t size, const char *name)
{
    const size_t used = strlen(list), length = strlen(name);

    for (const char *at = list; length && (at = strstr(at, name)) != NULL; at++)
        if ((at == list || at[-1] == ' ') && (at[length] == ',' || at[length] == '\0'))
            return;
    if (used + length + 3 > size) return;
    snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

void atn_known(const char *text, const char *const *candidates, int count, char *out,
               size_t size)
{
    const int near = atn_nearest(text, candidates, count);
    size_t used =
        (size_t)snprintf(out, size, "(%s%s%sknown: ", near < 0 ? "" : "nearest: ",
                         near < 0 ? "" : candidates[near], near < 0 ? "" : "; ");

    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", candidates[i],
                                 i + 1 < count ? ", " : ")");
}

/* ---- shapes ---- */

bool atn_shape_read(const char *text, int most, atn_list *out)
{
    const long long largest = (long long)1 << 31;

    out->n = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;

        if (out->n == most || !isdigit((unsigned char)*at)) return false;
        errno = 0;
        out->at[out->n] = strtoll(at, &end, 10);
        if (errno != 0 || out->at[out->n] < 1 || out->at[out->n] > largest)
            return false;
        out->n++;
        at = end;
        if (*at == '\0') return true;
        if (*at != 'x') return false;
    }
}

atn_idx atn_list_product(const atn_list *list)
{
    atn_idx n = 1;

    for (int i = 0; i < list->n; i++) n *= list->at[i];
    return n;
}

bool atn_list_same(const atn_list *a, const atn_list *b)
{
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof a->at[0]) == 0;
}

size_t atn_list_text(const atn_list *list, char *out, size_t size)
{
    size_t used = 0;

    if (size) out[0] = '\0';
    for (int i = 0; i < list->n; i++)
        used += (size_t)snprintf(used < size ? out + used : NULL,
                                 used < size ? size - used : 0, "%s%lld", i ? "x" : "",
                                 (long long)list->at[i]);
    return used;
}

/* ---- parameter tables ---- */

static void set(const atn_param *row, void *params, double value)
{
    char *at = (char *)params + row->offset;

    switch (row->type) {
    case ATN_PARAM_I64_T:
        *(int64_t *)(void *)at = (int64_t)value;
        break;
    case ATN_PARAM_F64_T:
        *(double *)(void *)at = value;
        break;
    case ATN_PARAM_BOOL_T:
        *(bool *)(void *)at = value != 0;
        break;
    case ATN_PARAM_CHOICE_T:
        *(int *)(void *)at = (int)value;
        break;
    case ATN_PARAM_LIST_T: {
        atn_list *list = (void *)at;

        list->at[list->n++] = (int64_t)value;
        break;
    }
    case ATN_PARAM_TEXT_T:
        *at = '\0';
        break;
    }
}

static double get(const atn_param *row, const void *params)
{
    const char *at = (const char *)params + row->offset;

    switch (row->type) {
    case ATN_PARAM_I64_T:
        return (double)*(const int64_t *)(const void *)at;
    case ATN_PARAM_F64_T:
        return *(const double *)(const void *)at;
    case ATN_PARAM_BOOL_T:
        return *(const bool *)(const void *)at;
    case ATN_PARAM_CHOICE_T:
        return *(const int *)(const void *)at;
    case ATN_PARAM_LIST_T:
    case ATN_PARAM_TEXT_T:
        break;
    }
    return 0;
}

static const char *text_of(const atn_param *row, const void *params)
{
    return (const char *)params + row->offset;
}

static atn_list *list_of(const atn_param *row, void *params)
{
    return (void *)((char *)params + row->offset);
}

void atn_param_defaults(const atn_param *table, void *params)
{
    for (const atn_param *row = table; row->name; row++) {
        if (row->type != ATN_PARAM_LIST_T) {
            set(row, params, row->def);
            continue;
        }
        list_of(row, params)->n = 0;
        for (const char *at = row->choices; *at; at += *at == 'x') {
            char *end;

            set(row, params, (double)strtol(at, &end, 10));
            at = end;
        }
    }
}

/* The i-th of "a|b|c" into word; false past the end. */
static bool choice_at(const char *choices, int i, char word[WORD_MAX])
{
    const char *at = choices;
    size_t n;

    for (; i > 0 && at; i--) {
        at = strchr(at, '|');
        if (at) at++;
    }
    if (!at) return false;
    n = ATN_MIN(strcspn(at, "|"), (size_t)WORD_MAX - 1);
    memcpy(word, at, n);
    word[n] = '\0';
    return true;
}

static int find_choice(const char *choices, const char *value)
{
    char word[WORD_MAX];

    for (int i = 0; choice_at(choices, i, word); i++)
        if (strcmp(word, value) == 0) return i;
    return -1;
}

/* A number of the row's range; a whole one unless the row is F64. */
static atn_status number_from_text(atn_ctx *cx, const char *what, const atn_param *row,
                                   const char *value, double *x)
{
    const bool whole = row->type == ATN_PARAM_I64_T || row->type == ATN_PARAM_LIST_T;
    char usual[WORD_MAX] = "";
    atn_status st = ATN_OK;

    if (whole && value[0] != '-') {
        atn_idx n = 0;
        ATN_TRY(atn_parse_count(cx, what, value, &n));
        *x = (double)n;
    } else {
        ATN_TRY(atn_parse_f64(cx, what, value, x));
        if (whole && *x != floor(*x))
            ATN_FAIL(ATN_USAGE, "%s: '%s' is not a whole number", what, value);
    }
    if (row->type != ATN_PARAM_LIST_T)
        snprintf(usual, sizeof usual, " (default %.10g)", row->def);
    if (*x < row->min)
        ATN_FAIL(ATN_USAGE, "%s = %s is below its minimum %.10g%s", what, value,
                 row->min, usual);
    if (*x > row->max)
        ATN_FAIL(ATN_USAGE, "%s = %s is above its maximum %.10g%s", what, value,
                 row->max, usual);
done:
    return st;
}

/* "AxBxC" into the list of the row. */
static atn_status list_from_text(atn_ctx *cx, const char *what, const atn_param *row,
                                 const char *value, void *params)
{
    char piece[WORD_MAX];
    atn_status st = ATN_OK;
    double x;

    list_of(row, params)->n = 0;
    for (const char *at = value; *at; at += *at == 'x') {
        const size_t n = strcspn(at, "x");

        if (list_of(row, params)->n == ATN_LIST_MOST)
            ATN_FAIL(ATN_USAGE, "%s: more than %d numbers", what, ATN_LIST_MOST);
        if (n == 0 || n >= sizeof piece || (at[n] == 'x' && !at[n + 1]))
            ATN_FAIL(ATN_USAGE,
                     "%s: '%s' is no list of numbers (give for example 16 "
                     "or 16x44x80)",
                     what, value);
        memcpy(piece, at, n);
        piece[n] = '\0';
        ATN_TRY(number_from_text(cx, what, row, piece, &x));
        set(row, params, x);
        at += n;
    }
done:
    return st;
}

/* A text is shown in tables and messages as it is, so it must be fit to be shown. */
static atn_status copy_text(atn_ctx *cx, const char *what, const atn_param *row,
                            const char *value, void *params)
{
    const size_t n = strlen(value), most = (size_t)row->max - 1;
    atn_status st = ATN_OK;
    size_t bad = 0;

    if (n > most)
        ATN_FAIL(ATN_USAGE, "%s: '%.40s...' has %zu bytes, at most %zu are taken", what,
                 value, n, most);
    if (!atn_utf8_valid(value, n, &bad))
        ATN_FAIL(ATN_USAGE, "%s: the text is not UTF-8 at byte %zu", what, bad);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            ATN_FAIL(ATN_USAGE, "%s: the text has a control character at byte %zu",
                     what, i);
    memcpy((char *)params + row->offset, value, n + 1);
done:
    return st;
}

static atn_status set_from_text(atn_ctx *cx, const char *owner, const atn_param *row,
                                const char *value, void *params)
{
    char what[2 * WORD_MAX];
    double x = -1;
    atn_status st = ATN_OK;

    snprintf(what, sizeof what, "%s: %s", owner, row->name);
    if (row->type == ATN_PARAM_LIST_T)
        return list_from_text(cx, what, row, value, params);
    if (row->type == ATN_PARAM_TEXT_T) return copy_text(cx, what, row, value, params);
    if (row->type == ATN_PARAM_CHOICE_T) {
        x = find_choice(row->choices, value);
        if (x < 0)
            ATN_FAIL(ATN_USAGE, "%s: '%s' is not one of %s", what, value, row->choices);
    } else if (row->type == ATN_PARAM_BOOL_T) {
        x = find_choice("0|1|no|yes|false|true|off|on", value);
        if (x < 0) ATN_FAIL(ATN_USAGE, "%s: '%s' is neither yes nor no", what, value);
        x = (int)x % 2;
    } else {
        ATN_TRY(number_from_text(cx, what, row, value, &x));
    }
    set(row, params, x);
done:
    return st;
}

static const atn_param *find_row(const atn_param *table, const char *name)
{
    for (const atn_param *row = table; row->name; row++)
        if (strcmp(row->name, name) == 0) return row;
    return NULL;
}

/* Bounds that no one reaches are left open: no text has so many tokens, nothing is so
 * large. */
static const double TOKENS_SHOWN = 0x1p31, NUMBER_SHOWN = 0x1p40;

static size_t print_numbers(const atn_param *row, char *out, size_t size)
{
    const double most = row->type == ATN_PARAM_F64_T ? NUMBER_SHOWN : TOKENS_SHOWN;
    const bool low = row->min > -most, high = row->max < most;
    int n;

    if (low && high)
        n = snprintf(out, size, "%.10g..%.10g", row->min, row->max);
    else if (low || high)
        n = snprintf(out, size, "%.10g or %s", low ? row->min : row->max,
                     low ? "more" : "less");
    else
        n = snprintf(out, size, "any number");
    return (size_t)n;
}

size_t atn_param_range(const atn_param *row, char *out, size_t size)
{
    char numbers[WORD_MAX];

    switch (row->type) {
    case ATN_PARAM_CHOICE_T:
        return (size_t)snprintf(out, size, "%s", row->choices);
    case ATN_PARAM_BOOL_T:
        return (size_t)snprintf(out, size, "yes|no");
    case ATN_PARAM_TEXT_T:
        return (size_t)snprintf(out, size, "text");
    case ATN_PARAM_LIST_T:
        print_numbers(row, numbers, sizeof numbers);
        return (size_t)snprintf(out, size, "AxBxC of %s", numbers);
    case ATN_PARAM_I64_T:
    case ATN_PARAM_F64_T:
        break;
    }
    return print_numbers(row, out, size);
}

/* "k (1..64), kind (a|b)"; the ranges are left out when they do not fit. */
static void print_known(const atn_param *table, bool ranges, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (const atn_param *row = table; row->name && used < size; row++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s%s", used ? ", " : "",
                                 row->name, ranges ? " (" : "");
        if (!ranges || used >= size) continue;
        used += atn_param_range(row, out + used, size - used);
        if (used < size) used += (size_t)snprintf(out + used, size - used, ")");
    }
    if (used < size) return;
    if (ranges)
        print_known(table, false, out, size);
    else
        strcpy(out + size - 4, "...");
}

static int nearest_key(const atn_param *table, const char *key)
{
    const char *names[WORD_MAX];
    int n = 0;

    for (const atn_param *row = table; row->name && n < WORD_MAX; row++)
        names[n++] = row->name;
    return atn_nearest(key, names, n);
}

/* Said after a text, as the comma may have been meant as part of it. */
static const char *after_text(const atn_param *last)
{
    return last && last->type == ATN_PARAM_TEXT_T
               ? "; a comma ends a file name, rename the file if it has one"
               : "";
}

static atn_status unknown_key(atn_ctx *cx, const char *owner, const atn_param *table,
                              const char *key, const atn_param *last)
{
    char known[ATN_ERR_TEXT - 192];
    const int near = nearest_key(table, key);

    print_known(table, true, known, sizeof known);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s has no parameter '%.40s' (%s%s%sknown: %s%s)", owner, key,
                    near < 0 ? "" : "nearest: ", near < 0 ? "" : table[near].name,
                    near < 0 ? "" : "; ", *known ? known : "none", after_text(last));
}

atn_status atn_param_parse(atn_ctx *cx, const char *owner, const atn_param *table,
                           const char *text, void *params)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char *copy = NULL, *save = NULL;
    const atn_param *row = NULL, *last = NULL;
    uint64_t given = 0; /* bit i: row i, of the first 64 */

    if (!text || !*text) return ATN_OK;
    ATN_TAKE(copy, strlen(text) + 1);
    strcpy(copy, text);
    for (char *piece = strtok_r(copy, ",", &save); piece;
         piece = strtok_r(NULL, ",", &save)) {
        char *value = strchr(piece, '=');

        last = row;
        if (!value)
            ATN_FAIL(ATN_USAGE, "%s: '%.80s' is no key=value (give %s:key=value,...%s)",
                     owner, piece, owner, after_text(last));
        *value++ = '\0';
        row = find_row(table, piece);
        if (!row) ATN_TRY(unknown_key(cx, owner, table, piece, last));
        if (row - table < 64 && given >> (row - table) & 1)
            ATN_FAIL(ATN_USAGE, "%s: %s is given twice (leave one out)", owner, piece);
        if (row - table < 64) given |= (uint64_t)1 << (row - table);
        ATN_TRY(set_from_text(cx, owner, row, value, params));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A comma is followed by another parameter of the same spec, key=value, or by the next
 * spec, id or id:key=value. */
static bool begins_spec(const char *piece)
{
    return piece[strcspn(piece, ",=:")] != '=';
}

bool atn_spec_next(char **rest, char **id, char **params)
{
    char *at = *rest, *end;

    *params = NULL;
    while (*at == ',') at++;
    if (!*at) return false;
    *id = at;
    end = at + strcspn(at, ",");
    if (memchr(at, ':', (size_t)(end - at)))
        while (*end && !begins_spec(end + 1)) end += 1 + strcspn(end + 1, ",");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    at = strchr(*id, ':');
    if (!at) return true;
    *at = '\0';
    *params = at + 1;
    return true;
}

/* The shortest decimal that reads back as x. */
static void print_number(double x, char *out, size_t size)
{
    if (x == floor(x) && fabs(x) < 1e15) {
        snprintf(out, size, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, x);
        if (strtod(out, NULL) == x) return;
    }
}

/* The value of one row; returns the bytes that it needs, as snprintf does. */
static size_t print_value(const atn_param *row, const void *params, char *out,
                          size_t size)
{
    char word[WORD_MAX] = "";
    const double x = get(row, params);

    if (row->type == ATN_PARAM_LIST_T)
        return atn_list_text((const void *)((const char *)params + row->offset), out,
                             size);
    if (row->type == ATN_PARAM_TEXT_T)
        return (size_t)snprintf(out, size, "%s", text_of(row, params));
    if (row->type != ATN_PARAM_CHOICE_T || !choice_at(row->choices, (int)x, word))
        print_number(x, word, sizeof word);
    return (size_t)snprintf(out, size, "%s", word);
}

void atn_param_print(const atn_param *table, const void *params, char *out, size_t size)
{
    size_t used = 0;

    if (size) out[0] = '\0';
    for (const atn_param *row = table; row->name && used + 1 < size; row++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s=", used ? "," : "",
                                 row->name);
        if (used + 1 < size) used += print_value(row, params, out + used, size - used);
    }
}

/* ---- lists ---- */

/* One whole number, maybe negative, ending at *end. */
static bool whole(const char *text, const char **end, atn_idx *out)
{
    char *stop = NULL;
    long long v;

    if (!isdigit((unsigned char)text[text[0] == '-'])) return false;
    errno = 0;
    v = strtoll(text, &stop, 10);
    *end = stop;
    *out = v;
    return errno == 0;
}

/* Marks keep[first..last] for a piece "5", "5-8" or "-1". */
static atn_status mark_piece(atn_ctx *cx, const char *what, const char *piece,
                             atn_idx n, bool *keep)
{
    const char *rest = piece;
    atn_idx first = 0, last = 0;
    bool ok = whole(piece, &rest, &first);

    last = first;
    if (ok && *rest == '-') ok = whole(rest + 1, &rest, &last);
    if (!ok || *rest)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' is no index or range (give for example 0,5-8,-1)",
                        what, piece);
    if (first < 0) first += n;
    if (last < 0) last += n;
    if (first > last && first < n && last >= 0)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' runs backwards (give %lld-%lld)", what, piece,
                        (long long)last, (long long)first);
    if (first < 0 || last >= n || first > last)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' is outside 0..%lld (negative counts from the end)",
                        what, piece, (long long)n - 1);
    for (atn_idx i = first; i <= last; i++) keep[i] = true;
    return ATN_OK;
}

atn_status atn_parse_list(atn_ctx *cx, const char *what, const char *text, atn_idx n,
                          atn_idx **items, atn_idx *count)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool all = !text || strcmp(text, "all") == 0;
    atn_status st = ATN_OK;
    bool *keep = NULL;
    char *copy = NULL, *save = NULL;

    *items = NULL;
    *count = 0;
    ATN_TAKE(keep, n);
    memset(keep, all, (size_t)n);
    if (!all) {
        ATN_TAKE(copy, strlen(text) + 1);
        strcpy(copy, text);
        for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
            ATN_TRY(mark_piece(cx, what, p, n, keep));
    }
    ATN_NEW(*items, n);
    for (atn_idx i = 0; i < n; i++)
        if (keep[i]) (*items)[(*count)++] = i;
    if (*count == 0) {
        atn_free(cx, *items);
        *items = NULL;
        ATN_FAIL(ATN_USAGE, "%s: '%s' selects nothing", what, text ? text : "");
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status mark_head(atn_ctx *cx, const char *piece, atn_idx layers,
                            atn_idx heads, bool *keep)
{
    const char *dot = strchr(piece, '.'), *rest = piece;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx layer = 0, head = 0;
    bool *one = NULL;

    if (dot) {
        if (!whole(piece, &rest, &layer) || rest != dot ||
            !whole(dot + 1, &rest, &head) || *rest)
            ATN_FAIL(ATN_USAGE,
                     "--heads: '%s' is no layer.head pair (give for example 2.3)",
                     piece);
        if (layer < 0) layer += layers;
        if (head < 0) head += heads;
        if (layer < 0 || layer >= layers || head < 0 || head >= heads)
            ATN_FAIL(ATN_USAGE,
                     "--heads: '%s' is outside layers 0..%lld, heads 0..%lld", piece,
                     (long long)layers - 1, (long long)heads - 1);
        keep[layer * heads + head] = true;
    } else {
        ATN_TAKE(one, heads);
        memset(one, 0, (size_t)heads);
        ATN_TRY(mark_piece(cx, "--heads", piece, heads, one));
        for (atn_idx l = 0; l < layers; l++)
            for (atn_idx h = 0; h < heads; h++)
                if (one[h]) keep[l * heads + h] = true;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_parse_heads(atn_ctx *cx, const char *text, atn_idx layers, atn_idx heads,
                           bool *keep)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool all = !text || strcmp(text, "all") == 0;
    atn_status st = ATN_OK;
    char *copy = NULL, *save = NULL;

    memset(keep, all, (size_t)(layers * heads));
    if (all) return ATN_OK;
    ATN_TAKE(copy, strlen(text) + 1);
    strcpy(copy, text);
    for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
        ATN_TRY(mark_head(cx, p, layers, heads, keep));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
