/* tests/simulators/test_device.c -- device files: the built-in ones, the rule for wrong
 * peaks, hostile files. */
#include "check.h"

#include "core/rng.h"
#include "simulators/device.h"
#include "simulators/files.h"

/* ---- built-in ---- */

static void loads_all(atn_ctx *cx)
{
    int n = 0;

    for (const char *id; (id = atn_device_id(n)); n++) {
        atn_device d;

        CHECK_OK(atn_device_read(cx, id, &d));
        CHECK_STR(d.id, id);
        CHECK(atn_architecture_flop(d.architecture) > 0);
        for (int k = 0; k < ATN_DEVICE_NUMBERS; k++) {
            CHECK(!atn_device_numbers[k].needed || d.number[k].value > 0);
            CHECK(isnan(d.number[k].value) || d.number[k].source[0]);
        }
        if (n > 0) CHECK(strcmp(atn_device_id(n - 1), id) < 0);
    }
    CHECK_EQ(n, 15);
}

/* The table of card section 3: SMs, 16-bit, tf32, HBM, memory, L2, NVLink (-1 = not
 * known), by any name. */
static void golden(atn_ctx *cx)
{
    static const struct {
        const char *name, *id, *architecture;
        double sms, peak, tf32, hbm, memory, l2, nvlink;
    } rows[] = {
        {"A100-SXM4-80", "a100", "sm80", 108, 312, 156, 2039, 80, 40, 600},
        {"a100-40", "a100-40gb", "sm80", 108, 312, 156, 1555, 40, 40, 600},
        {"H100-SXM", "h100", "sm90", 132, 989, 494.5, 3350, 80, 50, 900},
        {"h100_pcie", "h100-pcie", "sm90", 114, 756, 378, 2000, 80, 50, 600},
        {"H200", "h200", "sm90", 132, 989, 494.5, 4800, 141, 50, 900},
        {"b200_sxm", "b200", "sm100", 148, 2250, 1125, 8000, 180, 126, 1800},
        {"gb200", "gb200", "sm100", 148, 2500, 1250, 8000, 186, 126, 1800},
        {"l40s", "l40s", "sm89", 142, 362, 183, 864, 48, 96, 0},
        {"L4", "l4", "sm89", 58, 121, 60, 300, 24, 48, 0},
        {"RTX-4090", "rtx4090", "sm89", 128, 165, 82.6, 1008, 24, 72, 0},
        {"3090", "rtx3090", "sm86", 82, 71, 35.6, 936, 24, 6, -1},
        {"v100", "v100", "sm70", 80, 125, -1, 900, 16, 6, 300},
        {"t4", "t4", "sm75", 40, 65, -1, 320, 16, 4, 0},
        {"a10g", "a10g", "sm86", 80, 70, 35, 600, 24, 6, 0},
        {"mi300x", "mi300x", "gfx942", 304, 1307, 653.7, 5300, 192, 32, 896},
    };

    for (size_t i = 0; i < ATN_LEN(rows); i++) {
        const double want[] = {rows[i].sms,    rows[i].peak, rows[i].tf32,  rows[i].hbm,
                               rows[i].memory, rows[i].l2,   rows[i].nvlink};
        const atn_device_number at[] = {ATN_DEVICE_SMS,         ATN_DEVICE_TFLOPS_16,
                                        ATN_DEVICE_TFLOPS_TF32, ATN_DEVICE_HBM_GBS,
                                        ATN_DEVICE_MEMORY_GB,   ATN_DEVICE_L2_MB,
                                        ATN_DEVICE_NVLINK_GBS};
        atn_device d;

        CHECK_OK(atn_device_read(cx, rows[i].name, &d));
        CHECK_STR(d.id, rows[i].id);
        CHECK_STR(d.architecture, rows[i].architecture);
        for (size_t k = 0; k < ATN_LEN(at); k++)
            if (want[k] < 0)
                CHECK(isnan(atn_device_get(&d, at[k])));
            else
                CHECK_NEAR(atn_device_get(&d, at[k]), want[k], 0);
    }
}

/* Implied F over F: 0.92 to 1.00 in all rows. */
static void ratios(atn_ctx *cx)
{
    double least = 9, most = 0;

    for (int i = 0; atn_device_id(i); i++) {
        double ratio;
        atn_device d;

        CHECK_OK(atn_device_read(cx, atn_device_id(i), &d));
        ratio = d.number[ATN_DEVICE_TFLOPS_16].value * 1e6 /
                (d.number[ATN_DEVICE_SMS].value * d.number[ATN_DEVICE_CLOCK_MHZ].value *
                 atn_architecture_flop(d.architecture));
        if (strcmp(d.architecture, "sm89") == 0 && ratio < .75) ratio *= 2;
        least = fmin(least, ratio);
        most = fmax(most, ratio);
    }
    CHECK_NEAR(least, 3778.0 / 4096, 1e-3);
    CHECK_LE(most, 1.005);
}

/* What a card marks as unchecked is so marked, and no more. */
static void unverified(atn_ctx *cx)
{
    atn_device d;

    CHECK_OK(atn_device_read(cx, "l40s", &d));
    CHECK(!d.number[ATN_DEVICE_SMS].verified && !d.number[ATN_DEVICE_L2_MB].verified);
    CHECK(d.number[ATN_DEVICE_TFLOPS_16].verified);
    CHECK_OK(atn_device_read(cx, "h100", &d));
    for (int k = 0; k < ATN_DEVICE_NUMBERS; k++) CHECK(d.number[k].verified);
}

/* ---- files of one's own ---- */

/* The built-in file of an id with its first `from` replaced by `to`; static memory. */
static const char *changed(const char *id, const char *from, const char *to)
{
    static char text[16384];
    const atn_embedded *e = atn_embedded_find("devices", id);
    const char *at = strstr(e->text, from);

    CHECK(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - e->text), e->text, to,
             at + strlen(from));
    return text;
}

static atn_status parse(atn_ctx *cx, const char *text)
{
    atn_device d;

    return atn_device_parse(cx, "my.json", text, strlen(text), &d);
}

/* Implied F by hand: 1979e12 / (132 x 1.83e9) = 8193; 4500e12 / (148 x 1.855e9) =
 * 16391; 624e12 / (108 x 1.41e9) = 4098; 242e12 / (58 x 2.04e9) = 2045; 156e12 / (132 x
 * 1.83e9) = 646; tf32: 989e12 / .. = 4094 against 2048, 156e12: 646. */
static void wrong_peaks(atn_ctx *cx)
{
    static const struct {
        const char *id, *from, *to, *implied;
    } rows[] = {
        {"h100", "\"tflops_16\": {\"value\": 989", "\"tflops_16\": {\"value\": 1979",
         "would do 8193 flop a clock each, and those of sm90 do 4096; this looks like "
         "the sparse peak: give the dense one, near 989"},
        {"b200", "\"tflops_16\": {\"value\": 2250", "\"tflops_16\": {\"value\": 4500",
         "would do 16391 flop"},
        {"a100", "\"tflops_16\": {\"value\": 312", "\"tflops_16\": {\"value\": 624",
         "would do 4098 flop"},
        {"l4", "\"tflops_16\": {\"value\": 121", "\"tflops_16\": {\"value\": 242",
         "would do 2045 flop"},
        {"h100", "\"tflops_16\": {\"value\": 989", "\"tflops_16\": {\"value\": 156",
         "would do 646 flop"},
        {"h100", "\"value\": 494.5", "\"value\": 989", "would do 4094 flop"},
        {"h100", "\"value\": 494.5", "\"value\": 156", "would do 646 flop"},
        {"h100", "\"tflops_fp8\": {\"value\": 1979", "\"tflops_fp8\": {\"value\": 3958",
         "would do 16385 flop"},
        {"h100", "\"value\": 794.5", "\"value\": 1000", "more than the peak"},
        {"rtx4090", "\"tflops_fp8\": {\"value\": 330",
         "\"tflops_fp8\": {\"value\": 660", "would do 2046 flop"},
    };

    for (size_t i = 0; i < ATN_LEN(rows); i++)
        CHECK_FAILS(parse(cx, changed(rows[i].id, rows[i].from, rows[i].to)), ATN_DATA,
                    rows[i].implied);
}

/* Every architecture: its F passes, twice of it and half of it do not. */
static void architectures(atn_ctx *cx)
{
    static const struct {
        const char *id;
        double flop, other;
    } rows[] = {{"sm70", 1024, 0}, {"sm75", 1024, 0},  {"sm80", 2048, 0},
                {"sm86", 512, 0},  {"sm89", 1024, 0},  {"sm89", 512, 0},
                {"sm90", 4096, 0}, {"sm100", 8192, 0}, {"gfx942", 2048, 0}};
    static const char form[] =
        "{\"schema\": \"attnscope/device/1\", \"id\": \"x\", \"title\": \"X\", "
        "\"architecture\": \"%s\", \"tflops_16\": {\"value\": %g, \"source\": \"s\"}, "
        "\"sms\": {\"value\": 100, \"source\": \"s\"}, "
        "\"hbm_gbs\": {\"value\": 100, \"source\": \"s\"}, "
        "\"memory_gb\": {\"value\": 10, \"source\": \"s\"}, "
        "\"l2_mb\": {\"value\": 4, \"source\": \"s\"}, "
        "\"smem_kb\": {\"value\": 100, \"source\": \"s\"}, "
        "\"mufu\": {\"value\": 16, \"source\": \"s\"}, "
        "\"smem_bytes\": {\"value\": 128, \"source\": \"s\"}, "
        "\"clock_mhz\": {\"value\": 1000, \"source\": \"s\"}}";
    char text[1024];

    for (size_t i = 0; i < ATN_LEN(rows); i++) {
        const double peak = rows[i].flop * 100 * 1e9 / 1e12;

        snprintf(text, sizeof text, form, rows[i].id, peak);
        CHECK_OK(parse(cx, text));
        snprintf(text, sizeof text, form, rows[i].id, peak * 1.40);
        CHECK_OK(parse(cx, text));
        snprintf(text, sizeof text, form, rows[i].id, peak * 4);
        CHECK_FAILS(parse(cx, text), ATN_DATA, "flop a clock");
        snprintf(text, sizeof text, form, rows[i].id, peak / 4);
        CHECK_FAILS(parse(cx, text), ATN_DATA, "flop a clock");
        if (strcmp(rows[i].id, "sm89") == 0) continue;
        snprintf(text, sizeof text, form, rows[i].id, peak * 2);
        CHECK_FAILS(parse(cx, text), ATN_DATA, "the sparse peak");
        snprintf(text, sizeof text, form, rows[i].id, peak * 1.42);
        CHECK_FAILS(parse(cx, text), ATN_DATA, "flop a clock");
    }
    snprintf(text, sizeof text, form, "sm91", 989.0);
    CHECK_FAILS(parse(cx, text), ATN_DATA, "is \"sm91\", which is unknown (nearest: ");
}

static void refused(atn_ctx *cx)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"sms\": {\"value\": 132", "\"sms\": {\"value\": 132.5", "a whole number"},
        {"\"sms\": {\"value\": 132", "\"sms\": {\"value\": -1", "sms: \"value\" is -1"},
        {"\"sms\": {\"value\": 132", "\"sms\": {\"value\": 0", "sms: \"value\" is 0"},
        {"\"value\": 3350", "\"value\": 1e300", "is 1e+300"},
        {"\"value\": 3350", "\"value\": 1e-300",
         "is 1e-300, it must be of 0.001 to 1e7"},
        {"\"value\": 3350", "\"value\": 0.0009", "it must be of 0.001 to 1e7"},
        {"\"value\": 900", "\"value\": 0.0009", "or 0 for none"},
        {"\"clock_mhz\": {\"value\": 1830", "\"clock_mhz\": {\"value\": 0.001",
         "would do 7492424242 flop"},
        {"\"value\": 3350", "\"value\": 1e999", "no valid JSON"},
        {"\"value\": 3350", "\"value\": NaN", "no valid JSON"},
        {"\"value\": 3350", "\"value\": \"3350\"", "must be a number, not a string"},
        {"\"value\": 3350", "\"value\": null", "\"value\" is missing"},
        {"\"value\": 3350, ", "", "\"value\" is missing"},
        {"\"value\": 3350", "\"value\": 3350, \"value\": 3351", "duplicate"},
        {"\"value\": 3350", "\"valeu\": 3350", "\"valeu\" is no key (nearest: value"},
        {"\"value\": 3350, \"source\"", "\"value\": 3350, \"x\"", "is no key"},
        {"\"hbm_gbs\"", "\"hbm_gb\"", "\"hbm_gb\" is no key (nearest: hbm_gbs"},
        {"\"hbm_gbs\": {", "\"hbm_gbs\": 3350, \"title2\": {", "is no key"},
        {"\"id\": \"h100\"", "\"id\": \"h 100\"", "it must be of a-z"},
        {"\"id\": \"h100\"", "\"id\": \"\"", "it must have 1 to 63"},
        {"\"title\": \"NVIDIA", "\"title\": \"\\u001b[31m", "a control character"},
        {"\"title\": \"NVIDIA", "\"title\": \"\\u0000", "a control character"},
        {"attnscope/device/1", "attnscope/device/2",
         "\"attnscope/device/1\" is needed"},
        {"[\"h100-sxm\"", "[7, \"h100-sxm\"", "\"aliases\", item 0"},
        {"[\"h100-sxm\", \"h100-sxm5\", \"h100-80gb\", \"h100_sxm\"]", "7",
         "must be a list"},
    };

    for (size_t i = 0; i < ATN_LEN(rows); i++)
        CHECK_FAILS(parse(cx, changed("h100", rows[i].from, rows[i].to)), ATN_DATA,
                    rows[i].says);
    CHECK_FAILS(parse(cx, "[]"), ATN_DATA, "no JSON object");
    CHECK_FAILS(parse(cx, "{}"), ATN_DATA, "\"schema\" is missing");
    CHECK_FAILS(parse(cx, ""), ATN_DATA, "no valid JSON");
    CHECK_FAILS(parse(cx, changed("t4", "\"tflops_fp32\"", "\"tflops_tf32\"")),
                ATN_DATA, "sm75 has no tf32");
}

static void by_name(atn_ctx *cx)
{
    const char *folder = check_scratch("device");
    char path[700];
    atn_device d;
    FILE *f;

    CHECK_FAILS(atn_device_read(cx, "h10", &d), ATN_USAGE, "nearest: h100");
    CHECK_FAILS(atn_device_read(cx, "h20", &d), ATN_USAGE, "nearest: h200");
    CHECK_FAILS(atn_device_read(cx, "./none.json", &d), ATN_NOINPUT, "none.json");
    snprintf(path, sizeof path, "%s/mine.json", folder);
    f = fopen(path, "wb");
    CHECK(f);
    fputs(changed("h100", "\"value\": 3350", "\"value\": 1234"), f);
    fclose(f);
    CHECK_OK(atn_device_read(cx, path, &d));
    CHECK_NEAR(d.number[ATN_DEVICE_HBM_GBS].value, 1234, 0);
    f = fopen(path, "wb"); /* 100 MB, of which none is read */
    CHECK(f && fseek(f, 100 << 20, SEEK_SET) == 0 && fputc('}', f) == '}');
    fclose(f);
    CHECK_FAILS(atn_device_read(cx, path, &d), ATN_DATA, "mine.json");
}

static void fuzz(atn_ctx *cx)
{
    static const char bytes[] = "\"{}[]:,0123456789.-eE truefalsenull\\u\x01\xff";
    const atn_embedded *e = atn_embedded_find("devices", "h200");
    atn_rng r = atn_rng_stream(8, "fuzz", 0, 0);
    char *text = malloc(e->size);

    CHECK(text);
    for (int i = 0; i < 4000; i++) {
        const size_t size =
            i % 2 ? e->size : (size_t)atn_rng_below(&r, (atn_idx)e->size);
        atn_device d;

        memcpy(text, e->text, e->size);
        for (int k = 0; k <= i % 4; k++)
            text[atn_rng_below(&r, (atn_idx)e->size)] =
                bytes[atn_rng_below(&r, sizeof bytes - 1)];
        if (atn_device_parse(cx, "fuzz", text, size, &d) != ATN_OK) atn_err_clear(cx);
    }
    free(text);
}

CHECK_MAIN({"loads all", loads_all}, {"golden", golden}, {"ratios", ratios},
           {"unverified", unverified}, {"wrong peaks", wrong_peaks},
           {"architectures", architectures}, {"refused", refused}, {"by name", by_name},
           {"fuzz", fuzz})
