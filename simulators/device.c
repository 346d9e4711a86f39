/* simulators/device.c -- device files: reading, and the rule that finds a wrong
 * peak. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/device.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/param.h"
#include "simulators/files.h"

#define SCHEMA "attnscope/device/1"
#define FOLDER "devices"

const atn_device_number_info atn_device_numbers[ATN_DEVICE_NUMBERS] = {
    [ATN_DEVICE_SMS] = {"sms", "streaming multiprocessors", true},
    [ATN_DEVICE_TFLOPS_16] = {"tflops_16", "dense fp16/bf16 peak, TFLOP/s", true},
    [ATN_DEVICE_TFLOPS_TF32] = {"tflops_tf32", "dense tf32 peak, TFLOP/s", false},
    [ATN_DEVICE_TFLOPS_FP32] = {"tflops_fp32", "fp32 peak, TFLOP/s", false},
    [ATN_DEVICE_TFLOPS_FP8] = {"tflops_fp8", "dense fp8 peak, TFLOP/s", false},
    [ATN_DEVICE_ACHIEVABLE_16] = {"achievable_16",
                                  "fp16/bf16 rate that large products reach, TFLOP/s",
                                  false},
    [ATN_DEVICE_HBM_GBS] = {"hbm_gbs", "memory bandwidth, GB/s", true},
    [ATN_DEVICE_MEMORY_GB] = {"memory_gb", "memory, GB", true},
    [ATN_DEVICE_L2_MB] = {"l2_mb", "L2 cache, MB", true},
    [ATN_DEVICE_SMEM_KB] = {"smem_kb", "shared memory of an SM, KiB", true},
    [ATN_DEVICE_CLOCK_MHZ] = {"clock_mhz", "clock of the fp16/bf16 peak, MHz", true},
    [ATN_DEVICE_MUFU] = {"mufu", "exponentials a clock and SM", true},
    [ATN_DEVICE_SMEM_BYTES] = {"smem_bytes", "bytes of shared memory a clock and SM",
                               true},
    [ATN_DEVICE_NVLINK_GBS] = {"nvlink_gbs",
                               "links to other GPUs, both ways together, GB/s (0 = "
                               "none)",
                               false},
};

/* ---- architectures ---- */

/* Tensor flop a clock and SM in 16 bits; sm89 has half of it in GeForce cards. */
static const struct {
    const char *id;
    double flop, other; /* other: 0 = none */
    double tf32, fp8;   /* of it; tf32 0 = has none */
} architectures[] = {
    {"sm70", 1024, 0, 0, 1},   {"sm75", 1024, 0, 0, 1},    {"sm80", 2048, 0, .5, 1},
    {"sm86", 512, 0, .5, 1},   {"sm89", 1024, 512, .5, 2}, {"sm90", 4096, 0, .5, 2},
    {"sm100", 8192, 0, .5, 2}, {"gfx942", 2048, 0, .5, 2},
};

static int find_architecture(const char *id)
{
    for (int i = 0; i < (int)ATN_LEN(architectures); i++)
        if (strcmp(architectures[i].id, id) == 0) return i;
    return -1;
}

double atn_architecture_flop(const char *architecture)
{
    const int i = find_architecture(architecture);

    return i < 0 ? 0 : architectures[i].flop;
}

static atn_status check_architecture(atn_ctx *cx, const char *what, const atn_device *d)
{
    const char *ids[ATN_LEN(architectures)];
    char known[200];

    if (find_architecture(d->architecture) >= 0) return ATN_OK;
    for (size_t i = 0; i < ATN_LEN(ids); i++) ids[i] = architectures[i].id;
    atn_known(d->architecture, ids, (int)ATN_LEN(ids), known, sizeof known);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: \"architecture\" is \"%s\", which is unknown %s", what,
                    d->architecture, known);
}

/* ---- the rule ---- */

/* |log2(implied / flop)| < 0.5 */
static bool near(double implied, double flop)
{
    return fabs(log2(implied / flop)) < 0.5;
}

/* What a wrong peak looks like. */
static const char *looks(double ratio)
{
    return near(ratio, 2)    ? "this looks like the sparse peak"
           : near(ratio, .5) ? "this looks like the peak of a wider number"
           : ratio > 1       ? "this is too much"
                             : "this is too little";
}

/* The peak against `flop` a clock and SM. */
static atn_status check_peak(atn_ctx *cx, const char *what, const atn_device *d,
                             atn_device_number n, double flop)
{
    const double sms = atn_device_get(d, ATN_DEVICE_SMS);
    const double mhz = atn_device_get(d, ATN_DEVICE_CLOCK_MHZ);
    const double peak = atn_device_get(d, n), implied = peak * 1e6 / (sms * mhz);

    if (near(implied, flop)) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: \"%s\" is %g: %g SMs at %g MHz would do %.10g flop a clock "
                    "each, and those of %s do %g; %s: give the dense one, near %.4g",
                    what, atn_device_numbers[n].name, peak, sms, mhz, round(implied),
                    d->architecture, flop, looks(implied / flop),
                    flop * sms * mhz / 1e6);
}

static atn_status check_peaks(atn_ctx *cx, const char *what, const atn_device *d)
{
    const int a = find_architecture(d->architecture);
    const double implied =
        atn_device_get(d, ATN_DEVICE_TFLOPS_16) * 1e6 /
        (atn_device_get(d, ATN_DEVICE_SMS) * atn_device_get(d, ATN_DEVICE_CLOCK_MHZ));
    const double other = architectures[a].other;
    const double flop =
        other > 0 && near(implied, other) ? other : architectures[a].flop;
    const double tf32 = atn_device_get(d, ATN_DEVICE_TFLOPS_TF32);
    atn_status st = ATN_OK;

    ATN_TRY(check_peak(cx, what, d, ATN_DEVICE_TFLOPS_16, flop));
    if (!isnan(tf32) && !(architectures[a].tf32 > 0))
        ATN_FAIL(ATN_DATA,
                 "%s: \"tflops_tf32\" is %g, and %s has no tf32: leave it out", what,
                 tf32, d->architecture);
    if (!isnan(tf32))
        ATN_TRY(check_peak(cx, what, d, ATN_DEVICE_TFLOPS_TF32,
                           flop * architectures[a].tf32));
    if (!isnan(atn_device_get(d, ATN_DEVICE_TFLOPS_FP8)))
        ATN_TRY(check_peak(cx, what, d, ATN_DEVICE_TFLOPS_FP8,
                           flop * architectures[a].fp8));
    if (atn_device_get(d, ATN_DEVICE_ACHIEVABLE_16) >
        atn_device_get(d, ATN_DEVICE_TFLOPS_16))
        ATN_FAIL(ATN_DATA,
                 "%s: \"achievable_16\" is %g, more than the peak \"tflops_16\" of %g",
                 what, atn_device_get(d, ATN_DEVICE_ACHIEVABLE_16),
                 atn_device_get(d, ATN_DEVICE_TFLOPS_16));
done:
    return st;
}

/* ---- reading ---- */

static atn_status read_value(atn_ctx *cx, const char *what, atn_device_number n,
                             const json_t *obj, atn_device_value *out)
{
    static const char *const keys[] = {"value", "source", "verified"};
    const char *name = atn_device_numbers[n].name;
    const bool none = n == ATN_DEVICE_NVLINK_GBS; /* 0 = none */
    const double least = 1e-3;                    /* in the unit of any of them */
    atn_status st = ATN_OK;
    char place[ATN_ERR_TEXT - 192];

    snprintf(place, sizeof place, "%s: %s", what, name);
    if (!json_is_object(obj))
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" must be an object {\"value\": .., \"source\": \"..\"}",
                 what, name);
    ATN_TRY(atn_json_check_keys(cx, place, obj, keys, (int)ATN_LEN(keys)));
    ATN_TRY(atn_json_get_f64(cx, place, obj, "value", NAN, &out->value));
    if (isnan(out->value)) ATN_FAIL(ATN_DATA, "%s: \"value\" is missing", place);
    if (!(out->value >= least || (none && out->value == 0)) || out->value > 1e7)
        ATN_FAIL(ATN_DATA, "%s: \"value\" is %g, it must be of %g to 1e7%s", place,
                 out->value, least, none ? ", or 0 for none" : "");
    if (n == ATN_DEVICE_SMS && (out->value != floor(out->value) || out->value > 65536))
        ATN_FAIL(ATN_DATA, "%s: \"value\" is %g, it must be a whole number to 65536",
                 place, out->value);
    ATN_TRY(
        atn_sim_text(cx, place, obj, "source", true, out->source, sizeof out->source));
    ATN_TRY(atn_json_get_bool(cx, place, obj, "verified", true, &out->verified));
done:
    return st;
}

static atn_status read_numbers(atn_ctx *cx, const char *what, const json_t *root,
                               atn_device *out)
{
    atn_status st = ATN_OK;

    for (int n = 0; n < ATN_DEVICE_NUMBERS; n++) {
        const char *name = atn_device_numbers[n].name;
        const json_t *obj = json_object_get(root, name);

        out->number[n].value = NAN;
        if (obj)
            ATN_TRY(read_value(cx, what, (atn_device_number)n, obj, &out->number[n]));
        else if (atn_device_numbers[n].needed)
            ATN_FAIL(ATN_DATA, "%s: \"%s\" (%s) is missing", what, name,
                     atn_device_numbers[n].text);
    }
done:
    return st;
}

static atn_status check_aliases(atn_ctx *cx, const char *what, const json_t *list)
{
    size_t i;
    const json_t *item;

    if (!list) return ATN_OK;
    if (!json_is_array(list))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"aliases\" must be a list of names", what);
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item) ||
            !atn_sim_id_valid(json_string_value(item), ATN_DEVICE_ID))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: \"aliases\", item %zu is no name of a-z, 0-9, '.', "
                            "'_' and '-'",
                            what, i);
    }
    return ATN_OK;
}

/* The keys of a file: these, then the numbers. */
enum { KEYS_FIRST = 5, KEYS = KEYS_FIRST + ATN_DEVICE_NUMBERS };

static void all_keys(const char *keys[KEYS])
{
    static const char *const first[KEYS_FIRST] = {"schema", "id", "title", "aliases",
                                                  "architecture"};

    memcpy(keys, first, sizeof first);
    for (int n = 0; n < ATN_DEVICE_NUMBERS; n++)
        keys[KEYS_FIRST + n] = atn_device_numbers[n].name;
}

static atn_status read_all(atn_ctx *cx, const char *what, const json_t *root,
                           atn_device *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_id(cx, what, root, "id", true, out->id, sizeof out->id));
    ATN_TRY(atn_sim_text(cx, what, root, "title", true, out->title, sizeof out->title));
    ATN_TRY(check_aliases(cx, what, json_object_get(root, "aliases")));
    ATN_TRY(atn_sim_id(cx, what, root, "architecture", true, out->architecture,
                       sizeof out->architecture));
    ATN_TRY(check_architecture(cx, what, out));
    ATN_TRY(read_numbers(cx, what, root, out));
    ATN_TRY(check_peaks(cx, what, out));
done:
    return st;
}

static atn_status parse(atn_ctx *cx, const char *what, const char *text, size_t size,
                        json_t **root)
{
    const char *keys[KEYS];
    const atn_sim_form form = {SCHEMA, keys, KEYS};

    all_keys(keys);
    return atn_sim_file_parse(cx, what, text, size, &form, root);
}

atn_status atn_device_parse(atn_ctx *cx, const char *what, const char *text,
                            size_t size, atn_device *out)
{
    atn_status st = ATN_OK;
    json_t *root = NULL;

    *out = (atn_device){0};
    ATN_TRY(parse(cx, what, text, size, &root));
    ATN_TRY(read_all(cx, what, root, out));
done:
    json_decref(root);
    return st;
}

/* ---- by name ---- */

const char *atn_device_id(int i)
{
    const atn_embedded *e = atn_embedded_at(FOLDER, i);

    return e ? e->id : NULL;
}

/* The built-in file that has the name among its aliases; *out NULL = none. */
static atn_status find_alias(atn_ctx *cx, const char *name, const atn_embedded **out)
{
    const atn_embedded *e;
    atn_status st = ATN_OK;
    json_t *root = NULL;

    *out = NULL;
    for (int i = 0; !*out && (e = atn_embedded_at(FOLDER, i)); i++) {
        const json_t *item;
        size_t k;

        ATN_TRY(parse(cx, e->name, e->text, e->size, &root));
        json_array_foreach(json_object_get(root, "aliases"), k, item)
        {
            if (strcasecmp(json_string_value(item), name) == 0) *out = e;
        }
        json_decref(root);
        root = NULL;
    }
done:
    json_decref(root);
    return st;
}

atn_status atn_device_find(atn_ctx *cx, const char *name, char *id)
{
    const atn_embedded *e = atn_embedded_find(FOLDER, name);
    atn_status st = ATN_OK;

    if (!e) ATN_TRY(find_alias(cx, name, &e));
    snprintf(id, ATN_DEVICE_ID, "%s", e ? e->id : name);
done:
    return st;
}

atn_status atn_device_read(atn_ctx *cx, const char *name, atn_device *out)
{
    const atn_embedded *e = atn_embedded_find(FOLDER, name);
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *out = (atn_device){0};
    if (!e) ATN_TRY(find_alias(cx, name, &e));
    if (e) {
        ATN_TRY(atn_device_parse(cx, e->name, e->text, e->size, out));
        goto done;
    }
    ATN_TRY(atn_sim_file_read(cx, name, &text, &size));
    if (!text) ATN_TRY(atn_sim_file_unknown(cx, "device", FOLDER, name));
    ATN_TRY(atn_device_parse(cx, name, text, size, out));
done:
    atn_free(cx, text);
    return st;
}
