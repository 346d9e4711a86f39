/* tests/capture/test_experts.c -- a mixture of experts: against a dense reference over
 * many rows, what is read of it, counts, and what is refused. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/forward.h"

/* Sizes of tests/fixtures/parity/gpt_oss. */
enum { WIDTH = 32, FFN = 12, EXPERTS = 4, CHOSEN = 2, LAYERS = 2, VOCAB = 72 };

static const char MODEL[] = ATN_TEST_FIXTURES "/parity/gpt_oss";

static float *weight_of(const atn_model *m, const char *name, atn_idx layer)
{
    const atn_st_tensor *t = atn_model_tensor(m, name, layer, false);
    float *w = calloc((size_t)t->count, sizeof *w);

    atn_widen(t->data, t->type, t->count, w);
    return w;
}

typedef struct reference {
    const atn_model *m;
    atn_idx n;
    float *before, *after; /* [n, WIDTH] of layer 0, and what enters layer 1 */
} reference;

static atn_status keep_rows(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    reference *r = state;
    const size_t bytes = (size_t)(r->n * WIDTH) * sizeof(float);

    (void)cx;
    if (d->place->layer == 1) {
        memcpy(r->after, d->h, bytes);
        return ATN_OK;
    }
    memcpy(r->before, d->h, bytes);
    for (atn_idx i = 0; i < r->n * WIDTH; i++) r->before[i] += d->attn_out[i];
    return ATN_OK;
}

/* The experts of one row x of layer 0, with loops and in double. */
static void dense_row(float *const w[7], const float *x, double *out)
{
    double t[WIDTH], logit[EXPERTS], sum = 0, square = 0;
    int order[EXPERTS] = {0, 1, 2, 3};

    for (int i = 0; i < WIDTH; i++) square += (double)x[i] * x[i];
    for (int i = 0; i < WIDTH; i++) {
        t[i] = x[i] / sqrt(square / WIDTH + 1e-5) * w[0][i];
        out[i] = 0;
    }
    for (int e = 0; e < EXPERTS; e++) {
        logit[e] = w[2][e];
        for (int i = 0; i < WIDTH; i++) logit[e] += t[i] * w[1][e * WIDTH + i];
    }
    for (int a = 0; a < EXPERTS; a++)
        for (int b = a + 1; b < EXPERTS; b++)
            if (logit[order[b]] > logit[order[a]]) {
                const int swap = order[a];
                order[a] = order[b];
                order[b] = swap;
            }
    for (int s = 0; s < CHOSEN; s++) sum += exp(logit[order[s]]);
    for (int s = 0; s < CHOSEN; s++) {
        const int e = order[s];
        const float *g = w[3] + e * WIDTH * 2 * FFN, *d = w[5] + e * FFN * WIDTH;
        const double share = exp(logit[e]) / sum;

        for (int f = 0; f < FFN; f++) {
            double gate = w[4][e * 2 * FFN + 2 * f], up = w[4][e * 2 * FFN + 2 * f + 1];

            for (int i = 0; i < WIDTH; i++) {
                gate += t[i] * g[i * 2 * FFN + 2 * f];
                up += t[i] * g[i * 2 * FFN + 2 * f + 1];
            }
            gate = gate > 7 ? 7 : gate;
            up = up > 7 ? 7 : up < -7 ? -7 : up;
            for (int i = 0; i < WIDTH; i++)
                out[i] += share * (up + 1) * gate / (1 + exp(-1.702 * gate)) *
                          d[f * WIDTH + i];
        }
        for (int i = 0; i < WIDTH; i++) out[i] += share * w[6][e * WIDTH + i];
    }
}

/* More rows an expert than it takes at once (1024): 3000 rows, 2 of 4 experts each. */
static void dense_reference(atn_ctx *cx)
{
    enum { N = 3000 };
    int32_t *ids = calloc(N, sizeof *ids);
    atn_model m;
    reference r = {&m, N, calloc(N * WIDTH, sizeof(float)),
                   calloc(N * WIDTH, sizeof(float))};
    const atn_forward_args args = {.input = {.ids = ids, .n = N},
                                   .visit = keep_rows,
                                   .state = &r,
                                   .want_h = true,
                                   .want_attn_out = true,
                                   .last_place = 1};
    atn_forward_result result;
    float *w[7];

    for (int i = 0; i < N; i++) ids[i] = (i * 37 + i / 72) % VOCAB;
    CHECK_OK(atn_model_open(cx, MODEL, &m));
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    w[0] = weight_of(&m, m.config.arch->names.mlp_norm, 0);
    w[1] = weight_of(&m, m.config.arch->names.router, 0);
    w[2] = weight_of(&m, "layers.%d.mlp.router.bias", 0);
    w[3] = weight_of(&m, m.config.arch->names.expert_gate_up, 0);
    w[4] = weight_of(&m, m.config.arch->names.expert_gate_up_bias, 0);
    w[5] = weight_of(&m, m.config.arch->names.expert_down, 0);
    w[6] = weight_of(&m, m.config.arch->names.expert_down_bias, 0);
    for (int i = 0; i < N; i++) {
        double want[WIDTH];

        dense_row(w, r.before + i * WIDTH, want);
        for (int c = 0; c < WIDTH; c++)
            CHECK_NEAR(r.after[i * WIDTH + c], r.before[i * WIDTH + c] + want[c], 2e-3);
    }
    for (int i = 0; i < 7; i++) free(w[i]);
    atn_model_close(cx, &m);
    free(ids);
    free(r.before);
    free(r.after);
}

static void threads_agree(atn_ctx *cx)
{
    const int32_t ids[] = {5, 9, 11, 40, 5, 9, 60};
    float logits[2][7 * VOCAB];
    atn_model m;

    CHECK_OK(atn_model_open(cx, MODEL, &m));
    for (int i = 0; i < 2; i++) {
        const atn_forward_args args = {
            .input = {.ids = ids, .n = 7}, .last_place = 9, .logits = logits[i]};
        atn_forward_result result;

        cx->threads = 1 + 3 * i;
        CHECK_OK(atn_forward(cx, &m, &args, &result));
    }
    CHECK(memcmp(logits[0], logits[1], sizeof logits[0]) == 0);
    atn_model_close(cx, &m);
}

static int poisoned = -1; /* expert with a NaN in layer 0 */
static bool never_chosen; /* and a router that keeps away from it */

static bool poison(atn_st_out *t, char *data, char name[256])
{
    const uint16_t nan = 0x7fc0, low = 0xc6c8; /* BF16: NaN, -25600 */

    if (strcmp(name, "model.layers.0.mlp.experts.down_proj") == 0)
        memcpy(data + 2 * (poisoned * FFN * WIDTH + 3 * WIDTH + 7), &nan, 2);
    if (never_chosen && strcmp(name, "model.layers.0.mlp.router.bias") == 0)
        memcpy(data + 2 * poisoned, &low, 2);
    (void)t;
    return true;
}

static void only_chosen_are_read(atn_ctx *cx)
{
    int32_t ids[40];
    const atn_forward_args args = {
        .input = {.ids = ids, .n = 40}, .last_place = 9, .want_loss = true};

    for (int i = 0; i < 40; i++) ids[i] = i;
    for (int i = 0; i < 2; i++) {
        const char *dir = copy_model("experts-nan", "gpt_oss");
        atn_forward_result result;
        atn_model m;

        poisoned = 2;
        never_chosen = i == 1;
        edit_weights(cx, dir, poison);
        CHECK_OK(atn_model_open(cx, dir, &m));
        if (never_chosen)
            CHECK_OK(atn_forward(cx, &m, &args, &result));
        else
            CHECK_FAILS(
                atn_forward(cx, &m, &args, &result), ATN_DATA,
                "weight \"model.layers.0.mlp.experts.down_proj[2]\" holds NaN or "
                "infinity in row 3");
        atn_model_close(cx, &m);
    }
}

static const char *edited;

static bool to_blocks(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    if (strcmp(name, edited) == 0) strcat(name, "_blocks");
    return true;
}

static bool drop(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    return strcmp(name, edited) != 0;
}

static bool merge_axes(atn_st_out *t, char *data, char name[256])
{
    (void)data;
    if (strcmp(name, edited) != 0) return true;
    t->rank = 2;
    t->shape[0] *= t->shape[1];
    t->shape[1] = t->shape[2];
    return true;
}

static void refused_by_name(atn_ctx *cx)
{
    static const struct {
        const char *name, *part;
        edit_tensor *edit;
    } cases[] = {
        {"model.layers.0.mlp.experts.gate_up_proj",
         "gate_up_proj_blocks\" holds MXFP4 blocks, which are not read", to_blocks},
        {"model.layers.1.mlp.experts.down_proj", "Mxfp4Config(dequantize=True)",
         to_blocks},
        {"model.layers.1.mlp.experts.down_proj",
         "\"model.layers.1.mlp.experts.down_proj\" is missing", drop},
        {"model.layers.0.mlp.experts.gate_up_proj_bias",
         "gate_up_proj_bias\" is missing", drop},
        {"model.layers.0.mlp.router.bias", "router.bias\" is missing", drop},
        {"model.layers.0.self_attn.sinks", "self_attn.sinks\" is missing", drop},
        {"model.layers.0.mlp.experts.gate_up_proj",
         "has shape 128x24, the configuration implies 4x32x24", merge_axes},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *dir = copy_model("experts-refused", "gpt_oss");
        atn_model m;

        edited = cases[i].name;
        edit_weights(cx, dir, cases[i].edit);
        CHECK_FAILS(atn_model_open(cx, dir, &m), ATN_DATA, cases[i].part);
    }
}

/* By hand: 4 heads of 8 on 2; a token meets the router and 2 of 4 experts. The memory
 * holds one expert, however many there are. */
static void counts(atn_ctx *cx)
{
    const double linear = WIDTH * (2 * 32 + 2 * 16), expert = 3 * WIDTH * FFN,
                 router = WIDTH * EXPERTS, n = 6;
    const double rows = 2 * 64 * (4 * 16 + 48); /* of attention, as in test_model.c */
    const atn_forward_args a = {.input = {.n = 6}};
    const double on_backend =
        linear + router + expert +
        n * (2 * 32 + 2 * 32 + 2 * 16 + 8 + EXPERTS + 3 * FFN + WIDTH);
    const double on_host =
        n * (2 + 2 * WIDTH + EXPERTS + 2 * CHOSEN + 2 + 3 * FFN + WIDTH);
    double visible = 0;
    atn_model m;

    CHECK_OK(atn_model_open(cx, MODEL, &m));
    for (int i = 1; i <= 6; i++) visible += i; /* no more than the window of 6 */
    CHECK_NEAR(
        atn_model_flops(&m, &a.input),
        LAYERS * (2 * n * (linear + router + CHOSEN * expert) + 4 * 32 * visible), 0);
    CHECK_NEAR(atn_forward_memory(cx, &m, &a), rows + 4 * (on_backend + on_host), 0);
    atn_model_close(cx, &m);
}

CHECK_MAIN({"dense reference", dense_reference}, {"threads agree", threads_agree},
           {"only chosen are read", only_chosen_are_read},
           {"refused by name", refused_by_name}, {"counts", counts})
