/* simulators/kernel_read.c -- reading kernel files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <string.h>

#include "simulators/files.h"
#include "simulators/kernel_internal.h"

/* What is being read, for messages. */
typedef struct place {
    const char *what;
    char text[ATN_ERR_TEXT - 256];
} place;

static void place_at(place *p, const char *what, const char *list, size_t i)
{
    snprintf(p->text, sizeof p->text, "%s: %s[%zu]", what, list, i);
    p->what = p->text;
}

/* ---- members ---- */

static atn_status wrong_word(atn_ctx *cx, const char *what, const char *key,
                             const char *word, atn_words w)
{
    char known[200];

    atn_known(word, w.name, w.n, known, sizeof known);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: \"%s\" is \"%.40s\" %s",
                    what, key, word, known);
}

static int find_word(const char *word, atn_words w)
{
    for (int i = 0; i < w.n; i++)
        if (strcmp(w.name[i], word) == 0) return i;
    return -1;
}

/* One of the words; -1 where it is missing and def is -1, which is an error. */
static atn_status get_word(atn_ctx *cx, const char *what, const json_t *obj,
                           const char *key, atn_words w, int def, int *out)
{
    atn_status st = ATN_OK;
    const char *word = NULL;

    *out = def;
    ATN_TRY(atn_json_get_str(cx, what, obj, key, NULL, &word));
    if (!word && def < 0) ATN_FAIL(ATN_DATA, "%s: \"%s\" is missing", what, key);
    if (!word) return ATN_OK;
    *out = find_word(word, w);
    if (*out < 0) ATN_TRY(wrong_word(cx, what, key, word, w));
done:
    return st;
}

/* A list of words as bits; it must be there and hold one. */
static atn_status get_bits(atn_ctx *cx, const char *what, const json_t *obj,
                           const char *key, atn_words w, unsigned *out)
{
    const json_t *list = json_object_get(obj, key), *item;
    atn_status st = ATN_OK;
    size_t i;

    *out = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" must be a list of words such as [\"%s\"]", what,
                 key, w.name[0]);
    json_array_foreach(list, i, item)
    {
        const int bit =
            json_is_string(item) ? find_word(json_string_value(item), w) : -1;

        if (bit < 0)
            ATN_TRY(wrong_word(cx, what, key,
                               json_is_string(item) ? json_string_value(item) : "?",
                               w));
        if (*out & 1u << bit)
            ATN_FAIL(ATN_DATA, "%s: \"%s\" has \"%s\" twice", what, key, w.name[bit]);
        *out |= 1u << bit;
    }
done:
    return st;
}

/* Up to ATN_KERNEL_NAMES ids. */
static atn_status get_names(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, bool needed,
                            char out[ATN_KERNEL_NAMES][ATN_DEVICE_ID])
{
    const json_t *list = json_object_get(obj, key), *item;
    atn_status st = ATN_OK;
    size_t i;

    if (!list && !needed) return ATN_OK;
    if (!json_is_array(list) || json_array_size(list) > ATN_KERNEL_NAMES ||
        (needed && json_array_size(list) == 0))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" must be a list of %d to %d names", what, key,
                 needed ? 1 : 0, ATN_KERNEL_NAMES);
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(item);

        if (!name || !atn_sim_id_valid(name, ATN_DEVICE_ID))
            ATN_FAIL(ATN_DATA,
                     "%s: \"%s\", item %zu is no name of a-z, 0-9, '.', '_' "
                     "and '-'",
                     what, key, i);
        memcpy(out[i], name, strlen(name) + 1);
    }
done:
    return st;
}

/* A number of [lo, hi]. */
static atn_status get_between(atn_ctx *cx, const char *what, const json_t *obj,
                              const char *key, const double range[3], double *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, what, obj, key, range[0], out));
    if (!isnan(*out) && !(*out >= range[1] && *out <= range[2]))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is %g, outside %g..%g", what, key, *out,
                 range[1], range[2]);
done:
    return st;
}

/* ---- tiles ---- */

static atn_status get_box(atn_ctx *cx, const char *what, const json_t *obj,
                          const char *key, atn_list *out)
{
    const json_t *list = json_object_get(obj, key), *item;
    atn_status st = ATN_OK;
    int64_t cells = 1;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > 3)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" must be a list of 1 to 3 sizes", what, key);
    json_array_foreach(list, i, item)
    {
        const int64_t size = json_is_integer(item) ? json_integer_value(item) : 0;

        if (size < 1 || size > 65536)
            ATN_FAIL(ATN_DATA, "%s: \"%s\", item %zu is no size of 1..65536", what, key,
                     i);
        out->at[out->n++] = size;
        cells *= size;
    }
    if (cells > 65536)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" holds %lld tokens, more than 65536", what, key,
                 (long long)cells);
done:
    return st;
}

static bool is_power(int64_t n)
{
    return (n & (n - 1)) == 0;
}

static atn_status read_tile(atn_ctx *cx, const char *what, const json_t *obj,
                            atn_kernel_tile *t)
{
    static const char *const keys[] = {"architecture", "head_dim", "pass",
                                       "takes",        "q",        "k",
                                       "usual",        "overlap",  "factorised"};
    static const double share[] = {NAN, 0, 1};
    atn_status st = ATN_OK;
    int64_t head_dim;
    int pass;

    if (!json_is_object(obj)) ATN_FAIL(ATN_DATA, "%s: must be an object", what);
    ATN_TRY(atn_json_check_keys(cx, what, obj, keys, (int)ATN_LEN(keys)));
    ATN_TRY(atn_sim_id(cx, what, obj, "architecture", false, t->architecture,
                       sizeof t->architecture));
    ATN_TRY(atn_json_need_i64(cx, what, obj, "head_dim", 1, 4096, &head_dim));
    ATN_TRY(get_word(cx, what, obj, "pass", atn_words_of_passes(), ATN_PASS_FORWARD,
                     &pass));
    ATN_TRY(get_bits(cx, what, obj, "takes", atn_words_of_takes(), &t->takes));
    ATN_TRY(get_box(cx, what, obj, "q", &t->q));
    ATN_TRY(get_box(cx, what, obj, "k", &t->k));
    if (t->q.n != t->k.n)
        ATN_FAIL(ATN_DATA, "%s: \"q\" has %d sizes and \"k\" has %d", what, t->q.n,
                 t->k.n);
    ATN_TRY(atn_json_get_bool(cx, what, obj, "usual", false, &t->usual));
    ATN_TRY(atn_json_get_bool(cx, what, obj, "factorised", false, &t->factorised));
    if (t->factorised && (t->q.n > 1 || !is_power(t->q.at[0]) || !is_power(t->k.at[0])))
        ATN_FAIL(ATN_DATA, "%s: \"factorised\" is for one size each, a power of two",
                 what);
    ATN_TRY(get_between(cx, what, obj, "overlap", share, &t->overlap));
    t->head_dim = (int)head_dim;
    t->pass = (atn_pass)pass;
done:
    return st;
}

/* The i-th box of powers of two with so many cells; false = no more. */
static bool box_at(int rank, int64_t cells, int i, atn_list *out)
{
    int n = 0;

    *out = (atn_list){.n = rank};
    for (int64_t a = 1; a <= cells; a *= 2)
        for (int64_t b = 1; b <= (rank > 2 ? cells / a : 1); b *= 2, n++)
            if (n == i) {
                out->at[0] = a;
                out->at[rank - 1] = cells / a / b;
                if (rank > 2) out->at[1] = b;
                return true;
            }
    return false;
}

static bool same_list(const atn_list *a, const atn_list *b)
{
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof a->at[0]) == 0;
}

static bool listed(const atn_kernel *k, const atn_kernel_tile *t)
{
    for (int i = 0; i < k->tiles; i++) {
        const atn_kernel_tile *o = &k->tile[i];

        if (o->head_dim == t->head_dim && o->pass == t->pass &&
            strcmp(o->architecture, t->architecture) == 0 && same_list(&o->q, &t->q) &&
            same_list(&o->k, &t->k))
            return true;
    }
    return false;
}

/* Counts (k->tile of no room) or adds the boxes that a row stands for. */
static atn_status add_boxes(atn_ctx *cx, const char *what, const atn_kernel_tile *row,
                            int *room, atn_kernel *k)
{
    for (int rank = 2; rank <= 3; rank++) {
        atn_kernel_tile t = *row;

        t.factorised = t.usual = false;
        t.made = true;
        for (int i = 0; box_at(rank, row->q.at[0], i, &t.q); i++)
            for (int j = 0; box_at(rank, row->k.at[0], j, &t.k); j++) {
                if (listed(k, &t)) continue;
                if (k->tiles == ATN_KERNEL_BOXES)
                    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                    "%s: \"tiles\" stands for more than %d tiles", what,
                                    ATN_KERNEL_BOXES);
                if (k->tiles == *room) {
                    atn_kernel_tile *more =
                        atn_realloc(cx, k->tile, 2 * *room, sizeof *more);

                    if (!more) return cx->err.code;
                    k->tile = more;
                    *room *= 2;
                }
                k->tile[k->tiles++] = t;
            }
    }
    return ATN_OK;
}

static atn_status read_tiles(atn_ctx *cx, const char *what, const json_t *root,
                             atn_kernel *k)
{
    const json_t *list = json_object_get(root, "tiles"), *item;
    const size_t n = json_array_size(list);
    atn_status st = ATN_OK;
    int room = (int)n;
    size_t i;
    place at;

    if (!json_is_array(list) || n < 1 || n > ATN_KERNEL_TILES)
        ATN_FAIL(ATN_DATA, "%s: \"tiles\" must be a list of 1 to %d tiles, not %zu",
                 what, ATN_KERNEL_TILES, n);
    ATN_NEW(k->tile, (atn_idx)n);
    json_array_foreach(list, i, item)
    {
        place_at(&at, what, "tiles", i);
        k->tile[i].overlap = NAN;
        ATN_TRY(read_tile(cx, at.what, item, &k->tile[i]));
        if (k->tile[i].architecture[0] &&
            !atn_kernel_runs_on(k, k->tile[i].architecture))
            ATN_FAIL(ATN_DATA,
                     "%s: \"architecture\" is %s, which the kernel does not "
                     "run on",
                     at.what, k->tile[i].architecture);
        ATN_TRY(atn_kernel_check_tile(cx, at.what, k, (int)i));
        k->tiles++;
    }
    for (i = 0; i < n; i++)
        if (k->tile[i].factorised) {
            const atn_kernel_tile row = k->tile[i];

            ATN_TRY(add_boxes(cx, what, &row, &room, k));
        }
done:
    return st;
}

/* ---- fits ---- */

static atn_status read_coefficients(atn_ctx *cx, const char *what, const json_t *obj,
                                    atn_time_fit *f)
{
    static const double range[] = {0, 0, 1e9};
    const json_t *c = json_object_get(obj, "coefficients");
    atn_status st = ATN_OK;

    if (!json_is_object(c))
        ATN_FAIL(ATN_DATA, "%s: \"coefficients\" must be an object such as {\"t0\": 8}",
                 what);
    ATN_TRY(atn_json_check_keys(cx, what, c, atn_term_names, ATN_TERMS));
    for (int i = 0; i < ATN_TERMS; i++)
        ATN_TRY(get_between(cx, what, c, atn_term_names[i], range, &f->c[i]));
    ATN_TRY(atn_kernel_check_terms(cx, what, c, f));
done:
    return st;
}

static atn_status read_fit_numbers(atn_ctx *cx, const char *what, const json_t *obj,
                                   atn_time_fit *f)
{
    static const double slow[] = {0, 0, 10}, theta[] = {1, 1e-6, 1e6},
                        power[] = {1, 1, 64}, ratio[] = {1, 1e-6, 1e6},
                        mape[] = {0, 0, 1e6};
    atn_status st = ATN_OK;

    ATN_TRY(get_between(cx, what, obj, "slow", slow, &f->slow));
    ATN_TRY(get_between(cx, what, obj, "theta_ms", theta, &f->theta_ms));
    ATN_TRY(get_between(cx, what, obj, "power", power, &f->power));
    ATN_TRY(get_between(cx, what, obj, "low", ratio, &f->low));
    ATN_TRY(get_between(cx, what, obj, "high", ratio, &f->high));
    if (f->low > f->high)
        ATN_FAIL(ATN_DATA, "%s: \"low\" is %g, above \"high\", %g", what, f->low,
                 f->high);
    ATN_TRY(atn_json_get_i64(cx, what, obj, "rows", 0, 0, INT64_MAX, &f->rows));
    ATN_TRY(get_between(cx, what, obj, "mape", mape, &f->mape));
    ATN_TRY(read_coefficients(cx, what, obj, f));
done:
    return st;
}

static atn_status read_fit(atn_ctx *cx, const char *what, const json_t *obj,
                           atn_time_fit *f)
{
    static const char *const keys[] = {
        "model",        "gpu",  "architecture", "head_dim", "pass",
        "coefficients", "slow", "theta_ms",     "power",    "low",
        "high",         "rows", "mape",         "source"};
    atn_status st = ATN_OK;
    int model, pass;
    int64_t head_dim;

    if (!json_is_object(obj)) ATN_FAIL(ATN_DATA, "%s: must be an object", what);
    ATN_TRY(atn_json_check_keys(cx, what, obj, keys, (int)ATN_LEN(keys)));
    ATN_TRY(get_word(cx, what, obj, "model", atn_words_of_models(), -1, &model));
    ATN_TRY(atn_sim_id(cx, what, obj, "gpu", true, f->gpu, sizeof f->gpu));
    ATN_TRY(atn_sim_id(cx, what, obj, "architecture", false, f->architecture,
                       sizeof f->architecture));
    ATN_TRY(atn_json_need_i64(cx, what, obj, "head_dim", 1, 4096, &head_dim));
    ATN_TRY(get_word(cx, what, obj, "pass", atn_words_of_passes(), ATN_PASS_FORWARD,
                     &pass));
    f->model = (atn_time_kind)model;
    f->head_dim = (int)head_dim;
    f->pass = (atn_pass)pass;
    ATN_TRY(read_fit_numbers(cx, what, obj, f));
    ATN_TRY(atn_sim_text(cx, what, obj, "source", true, f->source, sizeof f->source));
    ATN_TRY(atn_kernel_fill_architecture(cx, what, f));
done:
    return st;
}

static atn_status read_fits(atn_ctx *cx, const char *what, const json_t *root,
                            atn_kernel *k)
{
    const json_t *list = json_object_get(root, "fits"), *item;
    const size_t n = json_array_size(list);
    atn_status st = ATN_OK;
    size_t i;
    place at;

    if (!list) return ATN_OK;
    if (!json_is_array(list) || n > ATN_KERNEL_FITS)
        ATN_FAIL(ATN_DATA, "%s: \"fits\" must be a list of at most %d fits", what,
                 ATN_KERNEL_FITS);
    ATN_NEW(k->fit, (atn_idx)n);
    json_array_foreach(list, i, item)
    {
        place_at(&at, what, "fits", i);
        ATN_TRY(read_fit(cx, at.what, item, &k->fit[i]));
        ATN_TRY(atn_kernel_check_fit(cx, at.what, k, (int)i));
        k->fits++;
    }
done:
    return st;
}

/* ---- the kernel ---- */

static atn_status read_factors(atn_ctx *cx, const char *what, const json_t *root,
                               atn_kernel *k)
{
    const json_t *list = json_object_get(root, "mask_factor"), *item;
    size_t i;

    if (!list) return ATN_OK;
    if (!json_is_array(list) || json_array_size(list) != 3)
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "%s: \"mask_factor\" must be a list of 3 numbers, of ranks 1, 2 "
            "and 3 (0 = none)",
            what);
    json_array_foreach(list, i, item)
    {
        k->mask_factor[i] = json_is_number(item) ? json_number_value(item) : -1;
        if (k->mask_factor[i] == 0 ||
            (k->mask_factor[i] >= 1 && k->mask_factor[i] <= 100))
            continue;
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "%s: \"mask_factor\", item %zu must be a number of 1..100, or 0 "
            "for none",
            what, i);
    }
    return ATN_OK;
}

static atn_status read_reach(atn_ctx *cx, const char *what, const json_t *root,
                             atn_kernel *k)
{
    json_t *obj = json_object_get(root, "reach"), *item;
    atn_status st = ATN_OK;
    const char *key;
    int n = 0;

    if (!obj) return ATN_OK;
    if (!json_is_object(obj) || json_object_size(obj) > ATN_KERNEL_NAMES)
        ATN_FAIL(ATN_DATA,
                 "%s: \"reach\" must be an object of at most %d architectures", what,
                 ATN_KERNEL_NAMES);
    json_object_foreach(obj, key, item)
    {
        const double x = json_is_number(item) ? json_number_value(item) : NAN;

        if (!(x >= 0.01 && x <= 2))
            ATN_FAIL(ATN_DATA, "%s: \"reach\" of %.40s must be a number of 0.01..2",
                     what, key);
        if (strlen(key) == 0 || strlen(key) >= sizeof k->reach[0].architecture)
            ATN_FAIL(ATN_DATA, "%s: \"reach\": %.40s is no architecture", what, key);
        if (!(atn_architecture_flop(key) > 0))
            ATN_FAIL(ATN_DATA,
                     "%s: \"reach\" has \"%.40s\", which is no architecture "
                     "that is known (as sm90)",
                     what, key);
        strcpy(k->reach[n].architecture, key);
        k->reach[n++].share = x;
    }
done:
    return st;
}

static atn_status read_choices(atn_ctx *cx, const char *what, const json_t *root,
                               atn_kernel *k)
{
    atn_status st = ATN_OK;
    int policy, order, split;

    ATN_TRY(get_word(cx, what, root, "policy", atn_words_of_policies(), -1, &policy));
    ATN_TRY(get_word(cx, what, root, "order", atn_words_of_orders(), ATN_ORDER_FIRST,
                     &order));
    ATN_TRY(get_word(cx, what, root, "split", atn_words_of_splits(), ATN_SPLIT_NONE,
                     &split));
    k->policy = (atn_mask_policy)policy;
    k->order = (atn_cta_order)order;
    k->split = (atn_split_rule)split;
    ATN_TRY(atn_json_get_bool(cx, what, root, "window_rule", false, &k->window_rule));
    ATN_TRY(atn_json_get_bool(cx, what, root, "packs_gqa", false, &k->packs_gqa));
    ATN_TRY(atn_json_get_bool(cx, what, root, "sections", false, &k->sections));
    ATN_TRY(atn_json_get_bool(cx, what, root, "by_name", false, &k->by_name));
    ATN_TRY(atn_json_get_bool(cx, what, root, "bare", false, &k->bare));
    ATN_TRY(atn_json_get_bool(cx, what, root, "permutes", false, &k->permutes));
done:
    return st;
}

static atn_status read_settings(atn_ctx *cx, const char *what, const json_t *root,
                                atn_kernel *k)
{
    static const double share[] = {0, 0, 1}, ratio[] = {1, 1e-3, 1e3};
    atn_status st = ATN_OK;
    int64_t ctas;

    ATN_TRY(read_choices(cx, what, root, k));
    ATN_TRY(atn_json_get_i64(cx, what, root, "ctas_per_sm", 1, 1, 32, &ctas));
    k->ctas_per_sm = (int)ctas;
    ATN_TRY(get_between(cx, what, root, "overlap", share, &k->overlap));
    ATN_TRY(get_between(cx, what, root, "offload", share, &k->offload));
    ATN_TRY(read_factors(cx, what, root, k));
    ATN_TRY(read_reach(cx, what, root, k));
    ATN_TRY(atn_sim_id(cx, what, root, "like", false, k->like, sizeof k->like));
    ATN_TRY(get_between(cx, what, root, "like_low", ratio, &k->like_low));
    ATN_TRY(get_between(cx, what, root, "like_high", ratio, &k->like_high));
    if (k->like_low > k->like_high)
        ATN_FAIL(ATN_DATA, "%s: \"like_low\" is %g, above \"like_high\", %g", what,
                 k->like_low, k->like_high);
    if (k->like[0] && strcmp(k->like, k->id) != 0)
        ATN_TRY(atn_kernel_check_like(cx, what, k->like));
    if (strcmp(k->like, k->id) == 0)
        ATN_FAIL(ATN_DATA, "%s: \"like\" is the kernel itself", what);
done:
    return st;
}

static atn_status read_sources(atn_ctx *cx, const char *what, const json_t *root,
                               atn_kernel *k)
{
    const json_t *obj = json_object_get(root, "sources");
    atn_status st = ATN_OK;

    if (!obj) return ATN_OK;
    if (!json_is_object(obj))
        ATN_FAIL(ATN_DATA, "%s: \"sources\" must be an object of texts", what);
    ATN_TRY(atn_json_check_keys(cx, what, obj, atn_kernel_topic_names, ATN_TOPICS));
    for (int i = 0; i < ATN_TOPICS; i++)
        ATN_TRY(atn_sim_text(cx, what, obj, atn_kernel_topic_names[i], false,
                             k->sources[i], sizeof k->sources[i]));
done:
    return st;
}

static atn_status read_all(atn_ctx *cx, const char *what, const json_t *root,
                           atn_kernel *k)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_id(cx, what, root, "id", true, k->id, sizeof k->id));
    ATN_TRY(atn_sim_text(cx, what, root, "title", true, k->title, sizeof k->title));
    ATN_TRY(atn_sim_text(cx, what, root, "source", true, k->source, sizeof k->source));
    ATN_TRY(get_names(cx, what, root, "architectures", true, k->architectures));
    ATN_TRY(get_names(cx, what, root, "timings", false, k->timings));
    ATN_TRY(get_bits(cx, what, root, "takes", atn_words_of_takes(), &k->takes));
    ATN_TRY(get_bits(cx, what, root, "passes", atn_words_of_passes(), &k->passes));
    ATN_TRY(read_settings(cx, what, root, k));
    ATN_TRY(read_sources(cx, what, root, k));
    ATN_TRY(read_tiles(cx, what, root, k));
    ATN_TRY(read_fits(cx, what, root, k));
done:
    return st;
}

atn_status atn_kernel_parse(atn_ctx *cx, const char *what, const char *text,
                            size_t size, atn_kernel *out)
{
    static const char *const keys[] = {
        "schema",      "id",        "title",       "source",    "architectures",
        "timings",     "takes",     "passes",      "policy",    "window_rule",
        "order",       "packs_gqa", "sections",    "by_name",   "bare",
        "permutes",    "split",     "ctas_per_sm", "overlap",   "offload",
        "mask_factor", "like",      "like_low",    "like_high", "reach",
        "sources",     "tiles",     "fits"};
    static const atn_sim_form form = {ATN_KERNEL_SCHEMA, keys, (int)ATN_LEN(keys)};
    atn_status st = ATN_OK;
    json_t *root = NULL;

    *out = (atn_kernel){0};
    ATN_TRY(atn_sim_file_parse(cx, what, text, size, &form, &root));
    ATN_TRY(read_all(cx, what, root, out));
done:
    json_decref(root);
    if (st != ATN_OK) atn_kernel_release(cx, out);
    return st;
}

atn_status atn_kernel_read(atn_ctx *cx, const char *name, atn_kernel *out)
{
    const atn_embedded *e = atn_embedded_find("kernels", name);
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *out = (atn_kernel){0};
    if (e) {
        ATN_TRY(atn_kernel_parse(cx, e->name, e->text, e->size, out));
        goto done;
    }
    ATN_TRY(atn_sim_file_read(cx, name, &text, &size));
    if (!text) ATN_TRY(atn_sim_file_unknown(cx, "kernel", "kernels", name));
    ATN_TRY(atn_kernel_parse(cx, name, text, size, out));
done:
    atn_free(cx, text);
    return st;
}
