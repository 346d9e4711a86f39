/* tests/capture/test_parity.c -- the forward pass against Hugging Face transformers.
 *
 * Every directory of tests/fixtures/parity is a tiny random model with an
 * oracle.safetensors (see make_parity.py): q, k, v, attention, hidden states, logits
 * and loss agree within 1e-5 of the largest reference value. Real small models of the
 * shared folder where it is there. With ATN_TEST_DEVICE the same on a GPU, or on the
 * shim (see device.h).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <dirent.h>

#include "capture/forward.h"
#include "device.h"

/* What an oracle file holds beside q, k, v; a tensor that is not there fails the
 * test. */
typedef enum oracle_kind {
    ORACLE_FIXTURE, /* attn, hidden (enters the layer), logits and loss of a language model */
    ORACLE_SHARED,   /* attn, hidden (leaves the layer), logits */
    ORACLE_EMBEDDED, /* attn and logits of the last row, a loss a token */
} oracle_kind;

typedef struct comparing {
    atn_st *oracle;
    const atn_config *config;
    const char *what;
    double tolerance;
    oracle_kind kind;
    atn_idx layers; /* seen: places */
} comparing;

/* max |x - y| <= tolerance max |y| for plane `at` of the stacked oracle tensor
 * `name`. */
static void compare(const comparing *c, const char *name, atn_idx at, const float *x,
                    atn_idx count)
{
    const atn_st_tensor *t = atn_st_find(c->oracle, name);
    double worst = 0, largest = 0;

    if (!t) fail_msg("%s: the oracle lacks %s", c->what, name);
    CHECK_EQ(t->count % count, 0);
    CHECK(t->count >= (at + 1) * count);
    for (atn_idx i = 0; i < count; i++) {
        float y;
        memcpy(&y, (const char *)t->data + 4 * (at * count + i), 4);
        largest = check_worst(largest, fabs((double)y));
        worst = check_worst(worst, fabs((double)x[i] - (double)y));
    }
    if (!(worst <= c->tolerance * largest))
        fail_msg("%s: %s of layer %d: off by %g of %g", c->what, name, (int)at, worst,
                 largest);
}

/* The same of "encoder.<name>" and so on, where the place is of a stack with a name. */
static void compare_place(const comparing *c, const atn_place *at, const char *name,
                          atn_idx plane, const float *x, atn_idx count)
{
    char full[64];

    snprintf(full, sizeof full, "%s%s%s", at->stack, *at->stack ? "." : "", name);
    compare(c, full, plane, x, count);
}

/* The last row of every head. */
static void compare_last(const comparing *c, const atn_layer_dump *d)
{
    const atn_idx n = d->place->nq, heads = c->config->heads;
    float *rows = calloc((size_t)(heads * n), sizeof *rows);

    for (atn_idx h = 0; h < heads; h++)
        memcpy(rows + h * n, d->p + (h * n + n - 1) * n, (size_t)n * sizeof *rows);
    compare(c, "attn.last", d->place->layer, rows, heads * n);
    free(rows);
}

static atn_status on_layer(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    comparing *c = state;
    const atn_place *at = d->place;
    const atn_idx l = at->step * c->config->layers + at->layer,
                  entered = c->kind == ORACLE_SHARED ? l - 1 : l;

    (void)cx;
    c->layers++;
    compare_place(c, at, "q", l, d->q, at->heads * at->nq * at->d);
    compare_place(c, at, "k", l, d->k, at->kv_heads * at->nk * at->d);
    compare_place(c, at, "v", l, d->v, at->kv_heads * at->nk * at->dv);
    if (c->kind == ORACLE_EMBEDDED) {
        compare_last(c, d);
        return ATN_OK;
    }
    compare_place(c, at, "attn", l, d->p, at->heads * at->nq * at->nk);
    if (entered >= 0)
        compare_place(c, at, "hidden", entered, d->h, at->nq * c->config->width);
    return ATN_OK;
}

static void compare_logits(const comparing *c, const atn_forward_args *args)
{
    const atn_idx vocab = c->config->vocab,
                  rows = args->input.n_target ? args->input.n_target : args->input.n;

    if (c->kind == ORACLE_EMBEDDED)
        compare(c, "logits.last", 0, args->logits + (args->input.n - 1) * vocab, vocab);
    else
        compare(c, "logits", 0, args->logits, rows * vocab);
}

/* The oracle has the mean, or the loss of every token. */
static void compare_loss(const comparing *c, const atn_forward_result *result)
{
    const atn_st_tensor *t = atn_st_find(c->oracle, "loss");
    double want = 0;

    if (!t) fail_msg("%s: the oracle lacks loss", c->what);
    for (atn_idx i = 0; i < t->count; i++) {
        float one;
        memcpy(&one, (const char *)t->data + 4 * i, 4);
        want += (double)one / (double)t->count;
    }
    CHECK(result->has_loss);
    CHECK_NEAR(result->loss, want, 1e-5 * fabs(want));
}

/* Ids of the oracle, I32 or I64; NULL when it has none of that name. */
static int32_t *oracle_ids(const atn_st *oracle, const char *name, atn_idx *n)
{
    const atn_st_tensor *t = atn_st_find(oracle, name);
    int32_t *ids;

    *n = 0;
    if (!t) return NULL;
    ids = calloc((size_t)t->count, sizeof *ids);
    for (atn_idx i = 0; i < t->count; i++) {
        int64_t wide = 0;
        memcpy(t->type == ATN_I64 ? (void *)&wide : (void *)&ids[i],
               (const char *)t->data + i * (atn_idx)atn_dtype_size(t->type),
               atn_dtype_size(t->type));
        if (t->type == ATN_I64) ids[i] = (int32_t)wide;
    }
    *n = t->count;
    return ids;
}

/* Floats of a tensor that the oracle may have. */
static float *oracle_floats(const atn_st *oracle, const char *name)
{
    const atn_st_tensor *t = atn_st_find(oracle, name);
    float *x = t ? calloc((size_t)t->count, sizeof *x) : NULL;

    if (t) memcpy(x, t->data, (size_t)t->count * sizeof *x);
    return x;
}

/* What the model reads: token ids, an image, or latents with timesteps and classes. */
static atn_input oracle_input(const atn_st *oracle)
{
    const atn_st_tensor *steps = atn_st_find(oracle, "timesteps");
    atn_input in = {.image = oracle_floats(oracle, "pixels"),
                    .latents = oracle_floats(oracle, "latents"),
                    .timesteps = oracle_floats(oracle, "timesteps"),
                    .classes = (const int32_t *)oracle_floats(oracle, "classes"),
                    .steps = steps ? steps->count : 0};

    in.ids = oracle_ids(oracle, "ids", &in.n);
    in.target = oracle_ids(oracle, "target_ids", &in.n_target);
    CHECK(in.ids || in.image || in.latents);
    return in;
}

static void release_input(const atn_input *in)
{
    free((void *)(uintptr_t)in->ids);
    free((void *)(uintptr_t)in->target);
    free((void *)(uintptr_t)in->image);
    free((void *)(uintptr_t)in->latents);
    free((void *)(uintptr_t)in->timesteps);
    free((void *)(uintptr_t)in->classes);
}

/* Logits of the classes of an image, and the likeliest. */
static void compare_labels(const comparing *c, const atn_model *m,
                           const atn_forward_args *args,
                           const atn_forward_result *result)
{
    compare(c, "logits", 0, args->logits, m->labels);
    CHECK(result->has_label);
    for (atn_idx i = 0; i < m->labels; i++)
        CHECK(args->logits[i] <= args->logits[result->label]);
    CHECK(result->label_probability > 1.0 / (double)m->labels);
}

static atn_idx count_places(atn_ctx *cx, const atn_model *m, const atn_input *in)
{
    atn_place *places = NULL;
    atn_idx n = 0;

    CHECK_OK(atn_model_places(cx, m, in, &places, &n));
    atn_free(cx, places);
    return n;
}

static void check_model(atn_ctx *cx, const char *dir, const char *what,
                        oracle_kind kind)
{
    char path[1200];
    atn_model m;
    comparing c = {.what = what, .tolerance = 1e-5, .kind = kind};
    atn_forward_result result;
    atn_forward_args args = {.visit = on_layer,
                             .state = &c,
                             .want_p = true,
                             .want_h = true,
                             .want_loss = true,
                             .want_label = true,
                             .last_place = INT32_MAX};
    atn_backend *device = NULL;

    snprintf(path, sizeof path, "%s/oracle.safetensors", dir);
    CHECK_OK(atn_st_open(cx, path, &c.oracle));
    CHECK_OK(atn_model_open(cx, dir, &m));
    c.config = &m.config;
    args.input = oracle_input(c.oracle);
    if (m.labels > 0) args.logits = calloc((size_t)m.labels, sizeof(float));
    if (m.has_head)
        args.logits =
            calloc((size_t)(atn_model_tokens_most(&m, &args.input) * m.config.vocab),
                   sizeof(float));
    if (device_wanted()) cx->backend = device = device_open(cx, ATN_MATH_F32);
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    cx->backend = &atn_backend_cpu;
    atn_cuda_close(cx, device);
    CHECK_EQ(c.layers, count_places(cx, &m, &args.input));
    if (m.labels > 0) compare_labels(&c, &m, &args, &result);
    if (m.has_head) compare_logits(&c, &args);
    if (m.has_head && kind != ORACLE_SHARED) compare_loss(&c, &result);
    release_input(&args.input);
    free(args.logits);
    atn_model_close(cx, &m);
    atn_st_close(cx, c.oracle);
}

static void every_fixture(atn_ctx *cx)
{
    DIR *d = opendir(ATN_TEST_FIXTURES "/parity");
    const struct dirent *e;
    int cases = 0;

    CHECK(d != NULL);
    while ((e = readdir(d))) {
        char dir[1100];

        if (e->d_name[0] == '.') continue;
        snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, e->d_name);
        check_model(cx, dir, e->d_name, ORACLE_FIXTURE);
        cases++;
    }
    closedir(d);
    CHECK_LE(42, cases);
}

static void threads_agree(atn_ctx *cx)
{
    static const char dir[] = ATN_TEST_FIXTURES "/parity/llama_gqa_tied";
    const int32_t ids[] = {5, 9, 11, 40, 5, 9, 60};
    float *logits[2];
    atn_model m;

    CHECK_OK(atn_model_open(cx, dir, &m));
    for (int i = 0; i < 2; i++) {
        atn_forward_args args = {.input = {.ids = ids, .n = 7}, .last_place = 99};
        atn_forward_result result;

        cx->threads = 1 + 3 * i;
        args.logits = logits[i] = calloc((size_t)(7 * m.config.vocab), sizeof(float));
        CHECK_OK(atn_forward(cx, &m, &args, &result));
    }
    CHECK(memcmp(logits[0], logits[1], (size_t)(7 * m.config.vocab) * sizeof(float)) ==
          0);
    free(logits[0]);
    free(logits[1]);
    atn_model_close(cx, &m);
}

/* C_h = O_h W_O[h]: summed over heads, with the bias, it is the layer's attention
 * output. */
typedef struct out_check {
    const atn_model *m;
} out_check;

static atn_status heads_sum_to_output(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    const out_check *o = state;
    const atn_config *c = &o->m->config;
    const atn_idx n = d->place->nq, dim = c->head_dim, group = c->heads / c->kv_heads;
    const atn_st_tensor *bias =
        c->bias_o ? atn_model_tensor(o->m, c->arch->names.o, d->place->layer, true)
                  : NULL;
    float *w = NULL;

    CHECK_OK(atn_model_w_o(cx, o->m, d->place, &w));
    for (atn_idx i = 0; i < n; i += 5)
        for (atn_idx col = 0; col < c->width; col += 7) {
            double sum = 0;
            float shift = 0;

            if (bias)
                atn_widen((const char *)bias->data +
                              (size_t)col * atn_dtype_size(bias->type),
                          bias->type, 1, &shift);
            sum = shift;
            for (atn_idx h = 0; h < c->heads; h++)
                for (atn_idx j = 0; j < n; j++)
                    for (atn_idx e = 0; e < dim; e++)
                        sum += (double)d->p[(h * n + i) * n + j] *
                               d->v[((h / group) * n + j) * dim + e] *
                               w[(h * dim + e) * c->width + col];
            CHECK_NEAR(sum, d->attn_out[i * c->width + col], 1e-4);
        }
    atn_free(cx, w);
    return ATN_OK;
}

static void w_o_is_oriented(atn_ctx *cx)
{
    static const char *const models[] = {"llama_headdim", "gpt2", "bloom"};
    const int32_t ids[] = {5, 9, 11, 40, 5, 9, 46, 3, 3, 8, 12};
    atn_model m;
    out_check o = {&m};
    const atn_forward_args args = {.input = {.ids = ids, .n = 11},
                                   .visit = heads_sum_to_output,
                                   .state = &o,
                                   .want_p = true,
                                   .want_attn_out = true,
                                   .last_place = 99};
    atn_forward_result result;

    for (size_t i = 0; i < ATN_LEN(models); i++) {
        char dir[1000];

        snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, models[i]);
        CHECK_OK(atn_model_open(cx, dir, &m));
        CHECK_OK(atn_forward(cx, &m, &args, &result));
        atn_model_close(cx, &m);
    }
}

/* The card of the model: mean row entropies and the oracle's tensors (float64
 * reference). */
static void stories260k(atn_ctx *cx)
{
    char dir[1024];

    snprintf(dir, sizeof dir, "%s", check_shared("models/stories260k/config.json"));
    *strrchr(dir, '/') = '\0';
    check_model(cx, dir, "stories260k", ORACLE_SHARED);
}

/* One block used twelve times; its card's cosines are of the oracle's attention. */
static void rxnmapper(atn_ctx *cx)
{
    char dir[1024];

    snprintf(dir, sizeof dir, "%s",
             check_shared("models/rxnmapper-albert/config.json"));
    *strrchr(dir, '/') = '\0';
    check_model(cx, dir, "rxnmapper-albert", ORACLE_SHARED);
}

/* The authors' intermediates of block 0: a batch of three token sequences. */
static atn_status on_sort_block(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    const comparing *c = state;
    const atn_place *p = d->place;
    const atn_idx qkv = p->heads * p->nq * p->d;

    (void)cx;
    compare(c, "q", c->layers, d->q, qkv);
    compare(c, "k", c->layers, d->k, qkv);
    compare(c, "v", c->layers, d->v, qkv);
    compare(c, "attSm", c->layers, d->p, p->heads * p->nq * p->nk);
    compare(c, "yProj", c->layers, d->attn_out, p->nq * c->config->width);
    compare(c, "x", c->layers, d->h, p->nq * c->config->width);
    return ATN_OK;
}

static void gpt_nano_sort(atn_ctx *cx)
{
    static const int32_t ids[3][11] = {
        {0, 0, 2, 1, 0, 1}, {0, 1, 2, 2, 2, 0}, {1, 0, 2, 1, 2, 2}};
    char dir[1024], path[1200];
    float logits[33];
    comparing c = {.what = "gpt-nano-sort", .tolerance = 1e-5};
    atn_model m;

    snprintf(dir, sizeof dir, "%s", check_shared("models/gpt-nano-sort/config.json"));
    *strrchr(dir, '/') = '\0';
    snprintf(path, sizeof path, "%s/oracle.safetensors", dir);
    CHECK_OK(atn_st_open(cx, path, &c.oracle));
    CHECK_OK(atn_model_open(cx, dir, &m));
    c.config = &m.config;
    for (c.layers = 0; c.layers < 3; c.layers++) {
        const bool first[3] = {true};
        const atn_forward_args args = {.input = {.ids = ids[c.layers], .n = 11},
                                       .visit = on_sort_block,
                                       .visit_place = first,
                                       .state = &c,
                                       .want_p = true,
                                       .want_h = true,
                                       .want_attn_out = true,
                                       .logits = logits};
        atn_forward_result result;

        CHECK_OK(atn_forward(cx, &m, &args, &result));
        compare(&c, "lm_head", c.layers, logits, 33);
    }
    atn_model_close(cx, &m);
    atn_st_close(cx, c.oracle);
}

static void embedded_model(atn_ctx *cx)
{
    char command[2400];
    const char *scratch = check_scratch("parity-tinytales");

    snprintf(command, sizeof command,
             "cp '%s'/datasets/tinytales/model/* '%s' && cp "
             "'%s'/tinytales/oracle.safetensors '%s'",
             ATN_TEST_SOURCE, scratch, ATN_TEST_FIXTURES, scratch);
    CHECK_EQ(system(command), 0);
    check_model(cx, scratch, "tinytales", ORACLE_EMBEDDED);
}

CHECK_MAIN({"every fixture", every_fixture}, {"threads agree", threads_agree},
           {"w_o is oriented", w_o_is_oriented}, {"stories260k", stories260k},
           {"rxnmapper", rxnmapper}, {"gpt nano sort", gpt_nano_sort},
           {"embedded model", embedded_model})
