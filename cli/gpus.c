/* cli/gpus.c -- devices and kernels of the simulator: listings and help. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/gpus.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/help.h"
#include "simulators/choose.h"

/* ---- devices ---- */

/* "989", or "142?" where it was not checked, or "-". */
static const char *number(const atn_device *d, atn_device_number n, char out[32])
{
    const atn_device_value *v = &d->number[n];

    if (isnan(v->value))
        snprintf(out, 32, "-");
    else
        snprintf(out, 32, "%.6g%s", v->value, v->verified ? "" : "?");
    return out;
}

/* The names of numbers that were not checked, "sms l2_mb". */
static void unchecked(const atn_device *d, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int n = 0; n < ATN_DEVICE_NUMBERS && used < size; n++)
        if (!isnan(d->number[n].value) && !d->number[n].verified)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     atn_device_numbers[n].name);
}

static atn_status device_row(atn_ctx *cx, atn_table *t, const char *id, int first)
{
    atn_status st = ATN_OK;
    char names[256];
    atn_device d;

    ATN_TRY(atn_device_read(cx, id, &d));
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, d.id));
    ATN_TRY(atn_table_set_str(cx, t, 1, d.title));
    ATN_TRY(atn_table_set_str(cx, t, 2, d.architecture));
    for (int n = 0; n < ATN_DEVICE_NUMBERS; n++)
        if (!isnan(d.number[n].value))
            atn_table_set_f64(t, first + n, d.number[n].value);
    unchecked(&d, names, sizeof names);
    if (*names) ATN_TRY(atn_table_set_str(cx, t, first + ATN_DEVICE_NUMBERS, names));
done:
    return st;
}

atn_status atn_devices_fill(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;
    int first = 0;

    ATN_TRY(atn_table_add_col(cx, t, "architecture", ATN_COL_STR, "",
                              "what kernels are built for", NULL));
    for (int n = 0; n < ATN_DEVICE_NUMBERS; n++)
        ATN_TRY(atn_table_add_col(cx, t, atn_device_numbers[n].name, ATN_COL_F64, "",
                                  atn_device_numbers[n].text, n ? NULL : &first));
    ATN_TRY(atn_table_add_col(cx, t, "unchecked", ATN_COL_STR, "",
                              "numbers without a source that was read", NULL));
    for (int i = 0; atn_device_id(i); i++)
        ATN_TRY(device_row(cx, t, atn_device_id(i), first));
done:
    return st;
}

atn_status atn_devices_print(atn_ctx *cx)
{
    atn_status st = ATN_OK;

    for (int i = 0; atn_device_id(i); i++) {
        char kernels[256];
        char sms[32], peak[32], hbm[32], memory[32], l2[32];
        atn_device d;

        ATN_TRY(atn_device_read(cx, atn_device_id(i), &d));
        ATN_TRY(atn_kernels_on(cx, d.architecture, ~0U, kernels, sizeof kernels));
        printf(
            "%-12s %s [%s]: %s SMs, %s TFLOP/s in 16 bits, %s GB/s, %s GB, L2 %s "
            "MB%s\n",
            d.id, d.title, d.architecture, number(&d, ATN_DEVICE_SMS, sms),
            number(&d, ATN_DEVICE_TFLOPS_16, peak), number(&d, ATN_DEVICE_HBM_GBS, hbm),
            number(&d, ATN_DEVICE_MEMORY_GB, memory), number(&d, ATN_DEVICE_L2_MB, l2),
            *kernels ? "" : "; no kernel is built in for it");
    }
    printf("  ? = not checked; attnscope help device NAME has the source of every "
           "number\n");
done:
    return st;
}

/* The first kernel that runs on the architecture; "" = none. */
static atn_status find_kernel(atn_ctx *cx, const char *architecture,
                              char out[ATN_DEVICE_ID])
{
    atn_status st = ATN_OK;
    atn_kernel k = {0};

    out[0] = '\0';
    for (int i = 0; !out[0] && atn_kernel_id(i); i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        if (!k.by_name && atn_kernel_runs_on(&k, architecture))
            memcpy(out, k.id, sizeof k.id);
        atn_kernel_release(cx, &k);
    }
done:
    atn_kernel_release(cx, &k);
    return st;
}

atn_status atn_device_help(atn_ctx *cx, const char *name)
{
    atn_status st = ATN_OK;
    char kernel[ATN_DEVICE_ID], kernels[256];
    bool doubt = false;
    char text[32];
    atn_device d;

    ATN_TRY(atn_device_read(cx, name, &d));
    ATN_TRY(find_kernel(cx, d.architecture, kernel));
    if (*kernel)
        printf("attnscope simulate causal --tokens 4k --gpu %s\n\n", name);
    else
        printf(
            "attnscope simulate causal --tokens 4k --gpu %s --kernel FILE  # none is "
            "built in for it\n\n",
            name);
    ATN_TRY(atn_kernels_on(cx, d.architecture, ~0U, kernels, sizeof kernels));
    printf("%s (%s), architecture %s\nkernels: ", d.title, d.id, d.architecture);
    atn_help_wrap(*kernels ? kernels : "none is built in (give --kernel FILE)", 9, 9,
                  stdout);
    printf("\n");
    for (int n = 0; n < ATN_DEVICE_NUMBERS; n++) {
        if (isnan(d.number[n].value)) continue;
        doubt |= !d.number[n].verified;
        printf("  %-14s %8s  ", atn_device_numbers[n].name,
               number(&d, (atn_device_number)n, text));
        atn_help_wrap(atn_device_numbers[n].text, 27, 27, stdout);
        printf("%27s", "");
        atn_help_wrap(d.number[n].source, 27, 27, stdout);
    }
    printf("\n%.0f flop a clock and SM follow from the peak; %s does %.0f%s\n",
           atn_device_get(&d, ATN_DEVICE_TFLOPS_16) * 1e6 /
               (atn_device_get(&d, ATN_DEVICE_SMS) *
                atn_device_get(&d, ATN_DEVICE_CLOCK_MHZ)),
           d.architecture, atn_architecture_flop(d.architecture),
           strcmp(d.architecture, "sm89") == 0 ? ", or half of it (GeForce)" : "");
    if (doubt) printf("? = not checked\n");
done:
    return st;
}

/* ---- kernels ---- */

static void words(unsigned set, const char *const *names, int n, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < n && used < size; i++)
        if (set & 1u << i)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     names[i]);
}

static void architectures(const atn_kernel *k, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < ATN_KERNEL_NAMES && k->architectures[i][0] && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                 k->architectures[i]);
}

/* The GPUs that it was calibrated on, each once. */
static void calibrated(const atn_kernel *k, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < k->fits && used < size; i++) {
        bool seen = false;

        for (int j = 0; j < i; j++) seen |= strcmp(k->fit[j].gpu, k->fit[i].gpu) == 0;
        if (!seen)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     k->fit[i].gpu);
    }
}

static int head_dim_most(const atn_kernel *k)
{
    int most = 0;

    for (int i = 0; i < k->tiles; i++) most = ATN_MAX(most, k->tile[i].head_dim);
    return most;
}

typedef struct kernel_texts {
    char on[256], takes[128], passes[64], gpus[256];
} kernel_texts;

static void kernel_words(const atn_kernel *k, kernel_texts *x)
{
    architectures(k, x->on, sizeof x->on);
    words(k->takes, atn_takes_names, (int)ATN_LEN(atn_takes_names), x->takes,
          sizeof x->takes);
    words(k->passes, atn_pass_names, ATN_PASSES, x->passes, sizeof x->passes);
    calibrated(k, x->gpus, sizeof x->gpus);
}

static atn_status kernel_row(atn_ctx *cx, atn_table *t, const char *id)
{
    atn_status st = ATN_OK;
    kernel_texts x;
    atn_kernel k;

    ATN_TRY(atn_kernel_read(cx, id, &k));
    kernel_words(&k, &x);
    ATN_TRY(atn_table_add_row(cx, t));
    {
        const char *cells[] = {k.id,
                               k.title,
                               x.on,
                               x.takes,
                               x.passes,
                               atn_mask_policy_names[k.policy],
                               atn_cta_order_names[k.order],
                               atn_split_rule_names[k.split],
                               *x.gpus ? x.gpus : NULL,
                               *k.like ? k.like : NULL,
                               k.source};

        for (int i = 0; i < (int)ATN_LEN(cells); i++)
            if (cells[i]) ATN_TRY(atn_table_set_str(cx, t, i, cells[i]));
        atn_table_set_i64(t, (int)ATN_LEN(cells), head_dim_most(&k));
    }
done:
    atn_kernel_release(cx, &k);
    return st;
}

atn_status atn_kernels_fill(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {
        {"architectures", "it runs on"},
        {"takes", "masks that it takes"},
        {"passes", "forward, backward, decode"},
        {"policy", "which visited tiles pay for a mask"},
        {"order", "of the query tiles"},
        {"split", "rule by which keys are split over CTAs"},
        {"calibrated", "GPUs that it was calibrated on"},
        {"like", "the kernel whose coefficients stand in for its own"},
        {"source", "where it is from"}};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
    ATN_TRY(atn_table_add_col(cx, t, "head_dim_max", ATN_COL_I64, "",
                              "largest head dim that it has tiles for", NULL));
    for (int i = 0; atn_kernel_id(i); i++) ATN_TRY(kernel_row(cx, t, atn_kernel_id(i)));
done:
    return st;
}

atn_status atn_kernels_print(atn_ctx *cx)
{
    atn_status st = ATN_OK;
    kernel_texts x;
    atn_kernel k = {0};

    for (int i = 0; atn_kernel_id(i); i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        kernel_words(&k, &x);
        printf("%-14s %s (%s): %s%s%s\n", k.id, k.title, x.on, x.takes,
               *x.gpus ? "; calibrated on " : "", x.gpus);
        atn_kernel_release(cx, &k);
    }
    printf("  attnscope help kernel NAME has tiles, rules, coefficients and sources\n");
done:
    atn_kernel_release(cx, &k);
    return st;
}

/* ---- help of a kernel ---- */

/* "[where it is from]" */
static void print_bracketed(const char *source)
{
    char text[1024];

    snprintf(text, sizeof text, "[%s]", source);
    printf("    ");
    atn_help_wrap(text, 4, 4, stdout);
}

/* A line that is indented, as are those that it wraps to. */
static void print_line(const char *text)
{
    printf("  ");
    atn_help_wrap(text, 2, 2, stdout);
}

static void print_source(const atn_kernel *k, atn_kernel_topic topic)
{
    if (k->sources[topic][0]) print_bracketed(k->sources[topic]);
}

static const char *mask_words(atn_mask_policy policy)
{
    return policy == ATN_MASK_SKIP ? "no tile pays for a mask"
           : policy == ATN_MASK_PARTIAL
               ? "tiles that hold a masked pair pay for the mask"
               : "all visited tiles pay for the mask, unless none holds a masked pair";
}

static const char *order_words(atn_cta_order order)
{
    return order == ATN_ORDER_FIRST  ? "query tiles from the first on"
           : order == ATN_ORDER_LAST ? "query tiles from the last on"
                                     : "query tiles by decreasing cost";
}

static const char *split_words(atn_split_rule split)
{
    static const char *const text[] = {
        "keys are not split over CTAs",
        "keys are split where CTAs do not fill twice the SMs (FlashAttention-2)",
        "keys are split where CTAs do not fill the SMs (FlashAttention-3)",
        "keys are split as FlashAttention-3 does it for variable lengths",
        "in decoding, keys are split so that CTAs fill the SMs"};

    return text[split];
}

static void print_rules(const atn_kernel *k)
{
    char text[256];

    snprintf(text, sizeof text, "%s%s%s", order_words(k->order),
             k->packs_gqa ? "; query heads of a group share a tile" : "",
             k->sections ? "; heads in sections whose keys fit in L2" : "");
    printf("\nRules\n");
    print_line(text);
    print_source(k, ATN_TOPIC_ORDER);
    print_line(mask_words(k->policy));
    if (k->window_rule) printf("  of windows by the kernel's own rule\n");
    for (int i = 0; i < 3; i++)
        if (k->mask_factor[i] > 0)
            printf("  a masked tile of rank %d costs %.4g of a plain one\n", i + 1,
                   k->mask_factor[i]);
    print_source(k, ATN_TOPIC_MASK);
    print_line(split_words(k->split));
    print_source(k, ATN_TOPIC_SPLIT);
    if (k->permutes)
        print_line("tokens of a grid are brought into tiles, and back, by passes of "
                   "their own");
    snprintf(text, sizeof text,
             "of MMA and exponentials %.4g of the shorter is hidden, but where a tile "
             "says otherwise",
             k->overlap);
    print_line(text);
    print_source(k, ATN_TOPIC_OVERLAP);
}

static void print_tile(const atn_kernel_tile *t)
{
    char q[64], key[64], takes[64];

    atn_list_text(&t->q, q, sizeof q);
    atn_list_text(&t->k, key, sizeof key);
    words(t->takes, atn_takes_names, (int)ATN_LEN(atn_takes_names), takes,
          sizeof takes);
    printf("  %-8s to %-4d %8s / %-8s %s%s%s%s", atn_pass_names[t->pass], t->head_dim,
           q, key, takes, t->usual ? "; usual" : "", *t->architecture ? "; on " : "",
           t->architecture);
    if (t->factorised) printf("; and as boxes of powers of two");
    if (!isnan(t->overlap)) printf("; %.4g hidden", t->overlap);
    printf("\n");
}

static void print_fit(const atn_time_fit *f)
{
    char text[1024];
    size_t n = 0;

    snprintf(text, sizeof text,
             "%s, head dim %d, %s: %s model, %lld rows, mean error %.1f %%, measured / "
             "predicted %.3g to %.3g",
             f->gpu, f->head_dim, atn_pass_names[f->pass],
             atn_time_kind_names[f->model], (long long)f->rows, 100 * f->mape, f->low,
             f->high);
    print_line(text);
    text[0] = '\0';
    for (int i = 0; i < ATN_TERMS; i++)
        if (f->c[i] > 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %.4g", n ? " " : "",
                                  atn_term_names[i], f->c[i]);
    if (f->slow > 0)
        n += (size_t)snprintf(text + n, sizeof text - n, " slow %.4g theta_ms %.4g",
                              f->slow, f->theta_ms);
    if (f->pass == ATN_PASS_DECODE)
        snprintf(text + n, sizeof text - n, " power %.4g", f->power);
    printf("    ");
    atn_help_wrap(text, 4, 4, stdout);
    print_bracketed(f->source);
}

static void print_fits(const atn_kernel *k)
{
    printf("\nCoefficients (us; kv_* ns a token, byte us a MB)\n");
    for (int i = 0; i < k->fits; i++) print_fit(&k->fit[i]);
    if (*k->like)
        printf("  %s of %s, which were off by %.4g to %.4g\n",
               k->fits ? "elsewhere those" : "those", k->like, k->like_low,
               k->like_high);
    else
        printf("  %s the machine model, from the data sheet\n",
               k->fits ? "elsewhere" : "none:");
    print_source(k, ATN_TOPIC_LIKE);
}

atn_status atn_kernel_help(atn_ctx *cx, const char *name)
{
    atn_status st = ATN_OK;
    kernel_texts x;
    atn_kernel k;

    ATN_TRY(atn_kernel_read(cx, name, &k));
    kernel_words(&k, &x);
    printf("attnscope simulate causal --tokens 4k --kernel %s --gpu NAME\n\n", name);
    printf("%s (%s)\nSource: ", k.title, k.id);
    atn_help_wrap(k.source, 8, 8, stdout);
    printf("Runs on: %s\nTakes: %s\nPasses: %s\n", x.on, x.takes, x.passes);
    print_rules(&k);
    printf("\nTiles, queries / keys\n");
    for (int i = 0; i < k.tiles; i++)
        if (!k.tile[i].made) print_tile(&k.tile[i]);
    print_source(&k, ATN_TOPIC_TILES);
    print_fits(&k);
done:
    atn_kernel_release(cx, &k);
    return st;
}
