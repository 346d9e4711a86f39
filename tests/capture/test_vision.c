/* tests/capture/test_vision.c -- images and latents on their way into the model: what
 * does not fit is refused, the gate of a diffusion transformer is in its output
 * projection, work is counted. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "capture/forward.h"
#include "capture/vision.h"
#include "core/io/npy.h"
#include "model_checks.h"

static const char DIT[] = ATN_TEST_FIXTURES "/parity/dit_original";
static const char VIT[] = ATN_TEST_FIXTURES "/parity/vit";

static const char *scratch_file(const char *name)
{
    static char dir[700], path[900];

    if (!*dir) snprintf(dir, sizeof dir, "%s", check_scratch("vision"));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *save_latents(atn_ctx *cx, int rank, const atn_idx *shape)
{
    atn_idx n = 1;
    float *x;

    for (int i = 0; i < rank; i++) n *= shape[i];
    x = calloc((size_t)n, sizeof *x);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)((i * 37) % 19) / 9 - 1;
    CHECK_OK(atn_npy_save_f32(cx, scratch_file("l.npy"), x, rank, shape, true));
    free(x);
    return scratch_file("l.npy");
}

static void one_for_all_steps(atn_ctx *cx)
{
    const char *path = save_latents(cx, 3, (atn_idx[]){4, 8, 8});
    atn_latents l;
    atn_model m;

    CHECK_OK(atn_model_open(cx, DIT, &m));
    CHECK_OK(atn_vision_latents(cx, &m, path, "500,2.5,0", "5", &l));
    CHECK_EQ(l.steps, 3);
    CHECK(l.timesteps[0] == 500 && l.timesteps[1] == 2.5f && l.timesteps[2] == 0);
    CHECK(l.classes[0] == 5 && l.classes[2] == 5);
    CHECK(memcmp(l.values, l.values + 2 * 256, 256 * sizeof(float)) == 0);
    atn_latents_release(cx, &l);
    path = save_latents(cx, 4, (atn_idx[]){2, 4, 8, 8});
    CHECK_OK(atn_vision_latents(cx, &m, path, "7", "6,0", &l));
    CHECK_EQ(l.steps, 2);
    CHECK(l.timesteps[1] == 7 && l.classes[0] == 6 && l.classes[1] == 0);
    CHECK(memcmp(l.values, l.values + 256, 256 * sizeof(float)) != 0);
    atn_latents_release(cx, &l);
    atn_model_close(cx, &m);
}

static void what_does_not_fit(atn_ctx *cx)
{
    static const struct {
        const char *times, *classes;
        atn_status code;
        const char *part;
    } cases[] = {{"1,2,3", "1,2", ATN_USAGE, "do not fit one another"},
                 {"1", "7", ATN_USAGE, "0 to 6 (the last is none)"},
                 {"1", "-1", ATN_USAGE, "no class"},
                 {"1", "1.5", ATN_USAGE, "no class"},
                 {"-3", "1", ATN_USAGE, "--timesteps"},
                 {"nan", "1", ATN_USAGE, "--timesteps"},
                 {"x", "1", ATN_USAGE, "--timesteps"},
                 {"1,,2", "1", ATN_USAGE, "--timesteps"},
                 {"absent.npy", "1", ATN_NOINPUT, "absent.npy"}};
    const char *path = save_latents(cx, 3, (atn_idx[]){4, 8, 8});
    atn_latents l;
    atn_model m;

    CHECK_OK(atn_model_open(cx, DIT, &m));
    for (size_t i = 0; i < ATN_LEN(cases); i++)
        CHECK_FAILS(
            atn_vision_latents(cx, &m, path, cases[i].times, cases[i].classes, &l),
            cases[i].code, cases[i].part);
    path = save_latents(cx, 3, (atn_idx[]){4, 8, 9});
    CHECK_FAILS(atn_vision_latents(cx, &m, path, "1", "1", &l), ATN_DATA, "[4, 8, 8]");
    path = save_latents(cx, 4, (atn_idx[]){2, 4, 8, 8});
    CHECK_FAILS(atn_vision_latents(cx, &m, path, "1,2,3", "1", &l), ATN_USAGE,
                "2 latents, 3 timesteps and 1 classes");
    atn_model_close(cx, &m);
}

static void images_of_the_model(atn_ctx *cx)
{
    float *x = NULL;
    atn_model m;

    CHECK_OK(atn_model_open(cx, VIT, &m));
    CHECK_OK(atn_vision_image(cx, &m, ATN_TEST_FIXTURES "/parity/vit/photo.png", &x));
    atn_free(cx, x);
    CHECK_OK(atn_vision_image(cx, &m, save_latents(cx, 3, (atn_idx[]){3, 24, 32}), &x));
    atn_free(cx, x);
    CHECK_FAILS(
        atn_vision_image(cx, &m, save_latents(cx, 3, (atn_idx[]){3, 32, 24}), &x),
        ATN_DATA, "the model takes 3x24x32");
    CHECK_STR(atn_model_label(&m, 6), "thing 6");
    CHECK(atn_model_label(&m, 7) == NULL);
    atn_model_close(cx, &m);
}

/* sum_h O_h W_O[h] times the gate is what the layer adds. */
static atn_status adds_up(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    const atn_model *m = state;
    const atn_place *at = d->place;
    const atn_idx width = m->config.width;
    const atn_st_tensor *b =
        atn_model_tensor(m, "blocks.%d.attn.proj.weight", at->layer, true);
    float *w = NULL, *bias = calloc((size_t)width, sizeof *bias);

    CHECK(d->gate != NULL);
    atn_widen(b->data, b->type, width, bias);
    CHECK_OK(atn_model_w_o(cx, m, at, &w));
    for (atn_idx i = 0; i < at->nq; i += 3)
        for (atn_idx col = 0; col < width; col += 5) {
            double sum = bias[col];
            for (atn_idx h = 0; h < at->heads; h++)
                for (atn_idx j = 0; j < at->nk; j++)
                    for (atn_idx e = 0; e < at->dv; e++)
                        sum += (double)d->p[(h * at->nq + i) * at->nk + j] *
                               d->v[(h * at->nk + j) * at->dv + e] *
                               w[(h * at->dv + e) * width + col];
            CHECK_NEAR(sum * d->gate[col], d->attn_out[i * width + col], 1e-4);
        }
    atn_free(cx, w);
    free(bias);
    return ATN_OK;
}

static void gate_is_in_the_output(atn_ctx *cx)
{
    float x[512];
    const float times[] = {900, 3};
    const int32_t classes[] = {2, 6};
    atn_model m;
    const atn_forward_args args = {
        .input = {.latents = x, .timesteps = times, .classes = classes, .steps = 2},
        .visit = adds_up,
        .state = &m,
        .want_p = true,
        .want_attn_out = true,
        .last_place = 99};
    atn_forward_result result;

    for (int i = 0; i < 512; i++) x[i] = (float)((i * 31) % 23) / 11 - 1;
    CHECK_OK(atn_model_open(cx, DIT, &m));
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    atn_model_close(cx, &m);
}

typedef struct copies {
    float q[8][2048], out[8][2048];
    int n;
} copies;

static atn_status keep_q(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    copies *c = state;

    (void)cx;
    memcpy(c->q[c->n], d->q,
           (size_t)(d->place->heads * d->place->nq * d->place->d) * sizeof(float));
    memcpy(c->out[c->n++], d->attn_out, (size_t)(d->place->nq * 32) * sizeof(float));
    return ATN_OK;
}

/* Three steps at 4 threads and each alone at 1 thread, bit by bit: steps know nothing
 * of one another. */
static void check_steps(atn_ctx *cx, const char *dir, int layers)
{
    static copies together, alone;
    static float x[256];
    const float times[] = {900, 3, 3};
    const int32_t classes[] = {2, 6, 1};
    float *all = calloc(3 * 256, sizeof *all);
    atn_forward_args args = {.visit = keep_q, .want_attn_out = true, .last_place = 99};
    atn_forward_result result;
    atn_model m;

    for (int i = 0; i < 256; i++) x[i] = (float)((i * 31) % 23) / 11 - 1;
    for (int s = 0; s < 3; s++) memcpy(all + 256 * s, x, sizeof x);
    CHECK_OK(atn_model_open(cx, dir, &m));
    cx->threads = 4;
    together.n = alone.n = 0;
    args.state = &together;
    args.input =
        (atn_input){.latents = all, .timesteps = times, .classes = classes, .steps = 3};
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    cx->threads = 1;
    args.state = &alone;
    for (int s = 0; s < 3; s++) {
        args.input = (atn_input){
            .latents = x, .timesteps = &times[s], .classes = &classes[s], .steps = 1};
        CHECK_OK(atn_forward(cx, &m, &args, &result));
    }
    CHECK(together.n == 3 * layers && alone.n == 3 * layers);
    CHECK(memcmp(together.q, alone.q, sizeof alone.q) == 0);
    CHECK(memcmp(together.out, alone.out, sizeof alone.out) == 0);
    CHECK(memcmp(alone.q[0], alone.q[layers], sizeof alone.q[0]) != 0);
    CHECK(memcmp(alone.q[layers], alone.q[2 * layers], sizeof alone.q[0]) != 0);
    free(all);
    atn_model_close(cx, &m);
}

/* With a single layer the weights of a step are those of the one before, but not the
 * gates. */
static void steps_and_threads(atn_ctx *cx)
{
    char dir[800], command[2400];

    snprintf(dir, sizeof dir, "%s", check_scratch("vision-flat"));
    snprintf(command, sizeof command,
             "cp '%s'/model.safetensors '%s' && "
             "sed 's/\"depth\": 2/\"depth\": 1/' '%s'/config.json >'%s'/config.json",
             DIT, dir, DIT, dir);
    CHECK_EQ(system(command), 0);
    check_steps(cx, DIT, 2);
    check_steps(cx, dir, 1);
}

/* ViT 24x32, p 8, D 32, F 48, 2 layers, n = 13: patches 2 12 192 32 = 147456; a layer
 * 2 13 (4 32^2 + 2 32 48) + 4 32 13^2 = 208000; in all 563456.
 * DiT 8x8, p 2, D 32, F 128, 2 layers, n = 16: patches 2 16 16 32 = 16384; timestep
 * once 2 32 (256 + 32) = 18432; modulation 2 layers of 12 32^2 = 24576; a layer 2 16 (4
 * 32^2 + 2 32 128) + 4 32 16^2 = 425984; in all 911360 a step. */
static void work(atn_ctx *cx)
{
    const atn_input image = {.image = (float[]){0}}, latents = {.steps = 3};
    atn_model m;

    CHECK_OK(atn_model_open(cx, VIT, &m));
    CHECK_EQ(atn_model_flops(&m, &image), 563456);
    CHECK_EQ(atn_model_tokens(&m, &image), 13);
    atn_model_close(cx, &m);
    CHECK_OK(atn_model_open(cx, DIT, &m));
    CHECK_EQ(atn_model_flops(&m, &latents), 3 * 911360);
    atn_model_close(cx, &m);
}

static void no_memory(atn_ctx *cx)
{
    static float x[256];
    const float time = 3;
    const int32_t class = 2;
    const atn_forward_args args = {
        .input = {.latents = x, .timesteps = &time, .classes = &class, .steps = 1},
        .last_place = 99};

    (void)cx;
    forward_allocations_fail(DIT, &args);
}

CHECK_MAIN({"one for all steps", one_for_all_steps},
           {"what does not fit", what_does_not_fit},
           {"images of the model", images_of_the_model},
           {"gate is in the output", gate_is_in_the_output},
           {"steps and threads", steps_and_threads}, {"work", work},
           {"no memory", no_memory})
