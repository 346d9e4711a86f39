/* analysis/experiments/golden_outputs.c -- methods and statistics of rows on the fixed
 * inputs of 8 tokens, against what another implementation gave.
 *
 * Math    n = 8, d = dv = 4, scale 1/2, zero-based i, l:
 *             q_il = sin(.1 (i+1)(l+1)), k_il = cos(.07 (i+1)(l+2)),
 *             v_il = sin(.05 (i+2)(l+3))
 *         compared are o_00, o_31, o_73 and the Frobenius norm. Random objects are
 *         formulas too, and lent to the methods as draws. Heads hold floats, so the two
 *         sides agree to 2e-5 and not to the digits of doubles; 1e-3 where a matrix of
 *         condition 2.7e4 is inverted.
 * Source  cards/kernel-theory.md, G8 and G8-b.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/method_run.h"
#include "analysis/experiments/worst.h"
#include "approx/tensor.h"

extern const atn_experiment atn_experiment_golden_outputs;

enum { N = 8, D = 4, TENSORS_MOST = 2, NUMBERS_MOST = 24 };
static const double FLOATS = 2e4; /* times 1e-9 of a check in double */
static const double INVERSE = 1e6;

/* ---- random objects ---- */

typedef struct objects {
    atn_idx n;
    atn_st_out tensor[TENSORS_MOST];
    float x[TENSORS_MOST][NUMBERS_MOST];
} objects;

/* The next tensor [rows, cols], or [rows] of cols 0; of numbers unless there are counts
 * to give. */
static float *add_object(objects *o, const char *name, atn_idx rows, atn_idx cols,
                         const int32_t *counts)
{
    float *x = o->x[o->n];

    o->tensor[o->n++] = (atn_st_out){.name = name,
                                     .type = counts ? ATN_I32 : ATN_F32,
                                     .rank = cols > 0 ? 2 : 1,
                                     .shape = {rows, cols},
                                     .data = counts ? (const void *)counts : x};
    return x;
}

static const char PROJECTIONS[] = "projections.layer-000";
static const char SAMPLES[] = "samples.layer-000.head-000";

static void give_twos(objects *o)
{
    float *x = add_object(o, PROJECTIONS, D, D, NULL);

    for (int e = 0; e < D * D; e++) x[e] = e / D == e % D ? 2 : 0;
}

static void give_cosines(objects *o)
{
    float *x = add_object(o, PROJECTIONS, 6, D, NULL);

    for (int e = 0; e < 6 * D; e++) x[e] = (float)cos(.9 * (e / D + 1) * (e % D + 1));
}

/* Hyperplanes by columns, and slots of the sorted keys. */
static const int32_t slots[] = {0, 4, 4, 7};

static void give_planes(objects *o)
{
    static const float planes[D * 3] = {0, -1, -1, -1, -2, 2, -1, 2, -1, -1, 2, -2};

    memcpy(add_object(o, PROJECTIONS, D, 3, NULL), planes, sizeof planes);
}

static void give_calls(objects *o)
{
    give_planes(o);
    add_object(o, SAMPLES, 1, 4, slots);
}

static void give_slots(objects *o)
{
    give_planes(o);
    add_object(o, SAMPLES, 4, 0, slots);
}

/* The method divides what it draws by sqrt(3). */
static void give_mixtures(objects *o)
{
    float *e = add_object(o, "mix_keys.layer-000", N, 3, NULL);
    float *f = add_object(o, "mix_values.layer-000", N, 3, NULL);

    for (int x = 0; x < N * 3; x++) {
        e[x] = (float)sin(.3 * (x / 3 + 1) * (x % 3 + 1));
        f[x] = (float)cos(.2 * (x / 3 + 1) * (x % 3 + 1));
    }
}

static void give_rotations(objects *o)
{
    float *a = add_object(o, "rotations-000.layer-000.head-000", D, 2, NULL);
    float *b = add_object(o, "rotations-001.layer-000.head-000", D, 2, NULL);

    for (int x = 0; x < D * 2; x++) {
        a[x] = (float)cos(1.1 * (x / 2 + 1) * (x % 2 + 1));
        b[x] = (float)sin(1.7 * (x / 2 + 1) * (x % 2 + 1));
    }
}

/* Rows of [Q; K]: some, and all of them. */
static void give_some(objects *o)
{
    static const int32_t rows[] = {0, 3, 6, 9, 12, 15};

    add_object(o, SAMPLES, 6, 0, rows);
}

static void give_all(objects *o)
{
    static const int32_t rows[] = {0, 1, 2,  3,  4,  5,  6,  7,
                                   8, 9, 10, 11, 12, 13, 14, 15};

    add_object(o, SAMPLES, 16, 0, rows);
}

static void give_gates(objects *o)
{
    float *x = add_object(o, "gates.layer-000.head-000", N, 0, NULL);

    for (int i = 0; i < N; i++) x[i] = (float)((i + 1) / 10.);
}

static void give_rates(objects *o)
{
    float *eta = add_object(o, "eta.layer-000.head-000", N, 0, NULL);
    float *alpha = add_object(o, "alpha.layer-000.head-000", N, 0, NULL);

    for (int i = 0; i < N; i++) {
        eta[i] = (float)(.9 / (i + 1));
        alpha[i] = (float)(.05 * i);
    }
}

/* ---- outputs ---- */

/* The head of a row; in one of them a matrix of condition 2.7e4 is inverted. */
enum { FULL, CAUSAL, INVERTED };

static const struct {
    const char *id, *params;
    void (*give)(objects *o);
    int head;
    double first, middle, last, norm; /* o_00, o_31, o_73, Frobenius */
} rows[] = {
    {"topp", "p=1", NULL, FULL, .6358548731, .6640836118, .7938103550, 4.0211511133},
    {"topp", "p=1", NULL, CAUSAL, .2955202067, .5822712292, .7938103550, 3.5731485139},
    {"linear", "", NULL, FULL, .6251505154, .7412891715, .7924843864, 4.2072240197},
    {"linear", "", NULL, CAUSAL, .2955202067, .6116494002, .7924843864, 3.7090857030},
    {"lightning", "slope=.25", NULL, CAUSAL, .2786701350, 3.7353423092, 2.6813885051,
     17.0391485186},
    {"cosformer", "m=8", NULL, FULL, .4806718020, .6561554434, .8460863485,
     4.0259245193},
    {"cosformer", "m=8", NULL, CAUSAL, .2955202067, .5969410573, .8460863485,
     3.7290371137},
    {"flow", "", NULL, FULL, .4546854001, .5661677409, .5919985868, 3.1613634260},
    {"flow", "clamp=none", NULL, FULL, .4464314855, .5592565834, .5961238417,
     3.1443292133},
    {"flow", "", NULL, CAUSAL, .2160419489, .4542036930, .5410925965, 2.6803163399},
    {"flow", "clamp=10", NULL, CAUSAL, .2160419489, .4542035419, .5410924427,
     2.6803155657},
    {"combiner", "block=4,pool=max", NULL, CAUSAL, .2955202067, .5822712292,
     .7810060785, 3.7494546135},
    {"rat", "chunk=4,gate=.5", NULL, CAUSAL, .1477601033, .6949934707, .7644059836,
     3.5799537943},
    {"titans", "eta=.5,theta=.1,alpha=.1,chunk=1", NULL, CAUSAL, .0557340270,
     .8175789771, 1.0826895399, 4.7729882317},
    {"titans", "eta=.5,theta=.1,alpha=.1,chunk=4", NULL, CAUSAL, .0557340270,
     1.4239902010, 1.6762957385, 7.8143693880},
    {"aaren", "query=0", NULL, CAUSAL, .2955202067, .6118334832, .7870938911,
     3.7098891087},
    {"combiner", "form=logsparse,pool=max", NULL, CAUSAL, .2955202067, .6285207685,
     .7526588726, 3.7575018339},
    {"nystrom", "landmarks=4,iterations=0", NULL, INVERTED, .6344568980, .6633609003,
     .7934273669, 4.0202556577},
    {"nystrom", "landmarks=4", NULL, FULL, .6327486669, .6636206651, .7919114946,
     4.0210122573},
    {"nystrom", "landmarks=3", NULL, FULL, .6346117117, .6638671501, .7909584256,
     4.0216176438},
    {"skyformer", "samples=16,ridge=0,iterations=0", give_all, FULL, 3.7314343512,
     3.4934750387, 4.8662504607, 22.8229913209},
    {"skyformer", "samples=6,iterations=0", give_some, FULL, 3.7012264547, 3.4925406745,
     4.7307332186, 22.5973105368},
    {"skyformer", "samples=6", give_some, FULL, 3.7025373390, 3.4908684996,
     4.7400519241, 22.6124615078},
    {"combiner", "block=4,pool=max,own=no", NULL, FULL, .5402724487, .6194611159,
     .7810060785, 4.0958957063},
    {"combiner", "form=columns,m=2,pool=max", NULL, CAUSAL, .2955202067, .5822712292,
     .7414374928, 3.5861854885},
    {"shiftadd", "", NULL, FULL, .3545150484, .4629310976, .5202403066, 2.8284271247},
    {"performer", "kind=hyperbolic,features=8", give_twos, FULL, .6699145805,
     .7527594114, .8046351522, 4.3146251268},
    {"scatterbrain", "window=3,features=8", give_twos, FULL, .6362239488, .7600352222,
     .7985684106, 4.2949165249},
    {"performer", "features=6", give_cosines, FULL, .7749415086, .8513595515,
     .7493434017, 4.6187535057},
    {"performer", "kind=hyperbolic,features=12", give_cosines, CAUSAL, .2955202067,
     .6371284615, .7771103434, 3.8932012555},
    {"performer", "kind=trig,features=12", give_cosines, FULL, .5986687062, .6689633582,
     .7753962187, 4.0032630487},
    {"scatterbrain", "window=3,features=8", give_twos, CAUSAL, .2955202067, .6680196101,
     .7985684106, 3.8804396158},
    {"hyper", "projections=3,block=3,samples=4,min=1", give_calls, FULL, .6960104234,
     .7521095122, .8741810824, 4.5600198545},
    {"hyper", "projections=3,block=3,samples=4,min=1,order=table", give_calls, FULL,
     .6926926034, .7366822306, .8999547500, 4.4795923158},
    {"kdeformer", "projections=3,block=3,samples=4", give_slots, FULL, .6906525033,
     .7364750396, .8984513245, 4.4720453260},
    {"linformer", "rank=3", give_mixtures, FULL, -.5170920355, -.7464037680,
     .7272767693, 2.7182742726},
    {"reformer", "bucket=2,n_hashes=2,shared=yes", give_rotations, CAUSAL, .2955202067,
     .5574734657, .8311402686, 4.0827179322},
    {"polynomial", "degree=4", NULL, CAUSAL, .2955202067, .5832774121, .7939963837,
     3.5772764572},
    {"rat", "chunk=3", give_gates, CAUSAL, .2659681860, .6074045296, .7340141745,
     3.6885066133},
    {"titans", "theta=.1,chunk=3", give_rates, CAUSAL, .0557340270, .9424266165,
     .3890559701, 4.0159255811},
};

typedef struct inputs {
    float q[N * D], k[N * D], v[N * D];
} inputs;

static atn_head make_head(inputs *x, bool causal)
{
    for (int i = 0; i < N; i++)
        for (int l = 0; l < D; l++) {
            x->q[i * D + l] = (float)sin(.1 * (i + 1) * (l + 1));
            x->k[i * D + l] = (float)cos(.07 * (i + 1) * (l + 2));
            x->v[i * D + l] = (float)sin(.05 * (i + 2) * (l + 3));
        }
    return (atn_head){.q = {x->q, N, D, D},
                      .k = {x->k, N, D, D},
                      .v = {x->v, N, D, D},
                      .nq = N,
                      .nk = N,
                      .scale = .5,
                      .sight = {.causal = causal, .key_last = N}};
}

/* The four numbers of o against the wanted ones. */
static atn_status check_output(atn_ctx *cx, const double *o, const double *want,
                               double scale, const char *variant, atn_checks *out)
{
    double got[4] = {o[0], o[3 * D + 1], o[7 * D + 3], 0};
    atn_worst worst = {0};
    atn_check c;

    for (int e = 0; e < N * D; e++) got[3] += o[e] * o[e];
    got[3] = sqrt(got[3]);
    for (int k = 0; k < 4; k++)
        atn_worst_take(&worst, ATN_EQUAL, want[k], got[k], scale);
    c = atn_worst_check(&worst, &atn_bound_golden, variant);
    snprintf(c.note, sizeof c.note, "heads hold floats: equal to %g", 1e-9 * scale);
    return atn_checks_add(cx, out, &c);
}

static atn_status check_row(atn_ctx *cx, size_t r, atn_checks *out)
{
    char variant[ATN_CHECK_TEXT], refused[ATN_CHECK_TEXT];
    atn_draws *draws = NULL;
    atn_status st = ATN_OK;
    objects lent = {0};
    const double want[4] = {rows[r].first, rows[r].middle, rows[r].last, rows[r].norm};
    double o[N * D];
    atn_plan p = {0};
    inputs x;
    const atn_head h = make_head(&x, rows[r].head == CAUSAL);
    atn_input in = {.head = &h, .heads = 1, .group = 1};

    snprintf(variant, sizeof variant, "%s%s%s%s", rows[r].id,
             *rows[r].params ? ":" : "", rows[r].params,
             rows[r].head == CAUSAL ? " causal" : "");
    if (rows[r].give) {
        rows[r].give(&lent);
        ATN_TRY(atn_draws_lend(cx, lent.tensor, lent.n, &draws));
        in.draws = draws;
    }
    ATN_TRY(atn_method_try_on(cx, &in, rows[r].id, rows[r].params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, "golden", variant, refused));
        goto done;
    }
    ATN_TRY(atn_method_output(cx, &h, &p, o));
    ATN_TRY(check_output(cx, o, want, rows[r].head == INVERTED ? INVERSE : FLOATS,
                         variant, out));
done:
    atn_plan_release(cx, &p);
    atn_draws_close(cx, draws);
    return st;
}

/* ---- third order ---- */

/* Keys and values a second time, rolled down by a row; logits / d. Degree 0: exact. */
static const struct {
    const char *variant;
    bool causal;
    int degree;
    double want[4];
} tensors[] = {
    {"tensor", false, 0, {.4749156280, .6190059694, .6142340882, 3.3725991888}},
    {"tensor causal", true, 0, {.2883459683, .3764828388, .6142340882, 2.6512739878}},
    {"tensor:degree=2",
     false,
     2,
     {.4749502263, .6203534301, .6143031207, 3.3766594774}},
};

static atn_status check_tensors(atn_ctx *cx, atn_checks *out)
{
    float k2[N * D], v2[N * D];
    atn_status st = ATN_OK;
    double o[N * D];
    inputs x;

    (void)make_head(&x, false);
    for (int e = 0; e < N * D; e++) {
        k2[(e + D) % (N * D)] = x.k[e];
        v2[(e + D) % (N * D)] = x.v[e];
    }
    for (size_t r = 0; r < ATN_LEN(tensors); r++) {
        const atn_tensor t = {.keys = 2,
                              .nq = N,
                              .nk = N,
                              .d = D,
                              .dv = D,
                              .q = {.narrow = x.q},
                              .k = {{.narrow = x.k}, {.narrow = k2}},
                              .v = {{.narrow = x.v}, {.narrow = v2}},
                              .scale = 1. / D,
                              .causal = tensors[r].causal};

        if (tensors[r].degree > 0)
            ATN_TRY(atn_tensor_features(cx, &t, tensors[r].degree, o, NULL));
        else
            ATN_TRY(atn_tensor_exact(cx, &t, &(atn_tensor_out){.o = o}));
        ATN_TRY(check_output(cx, o, tensors[r].want, FLOATS, tensors[r].variant, out));
    }
done:
    return st;
}

/* ---- statistics of rows ---- */

enum { SQUARES, ENTROPY, ALPHA, SIGMA, STABLE_RANK = SIGMA + 3, TAU, STATISTICS };

static const char *const statistic_names[STATISTICS] = {"sum of squares of P",
                                                        "mean entropy",
                                                        "alpha",
                                                        "sigma_1",
                                                        "sigma_2",
                                                        "sigma_3",
                                                        "stable rank",
                                                        "coefficient of Dobrushin"};
static const double statistics[2][STATISTICS] = {
    {1.2867905488, 1.9332375908, 3.4782626291, 1.1271832806, .1266933290, .0139690393,
     1.0127885570, .1878766946},
    {2.8542568327, 1.2746331339, 14.4964628569, 1.5158533698, .6363326210, .3181686406,
     1.2421632100, .8055657525}};

/* Half the largest sum of absolute differences of two rows of p. */
static double tau_of(const double *p)
{
    double most = 0;

    for (int i = 0; i < N; i++)
        for (int l = 0; l < i; l++) {
            double sum = 0;

            for (int j = 0; j < N; j++) sum += fabs(p[i * N + j] - p[l * N + j]);
            most = fmax(most, sum / 2);
        }
    return most;
}

static void find_statistics(const atn_head_facts *f, double got[STATISTICS])
{
    memset(got, 0, STATISTICS * sizeof *got);
    for (int j = 0; j < N; j++) {
        double column = 0;

        for (int i = 0; i < N; i++) column += f->p[i * N + j] * f->p[i * N + j];
        got[SQUARES] += column;
        got[ALPHA] = fmax(got[ALPHA], N * column);
        got[ENTROPY] += f->entropy[j] / N;
    }
    for (int k = 0; k < 3; k++) got[SIGMA + k] = f->sigma[k];
    got[STABLE_RANK] = got[SQUARES] / (f->sigma[0] * f->sigma[0]);
    got[TAU] = tau_of(f->p);
}

static atn_status check_statistics(atn_ctx *cx, bool causal, atn_checks *out)
{
    double got[STATISTICS];
    atn_status st = ATN_OK;
    atn_head_facts f = {0};
    inputs x;
    const atn_head h = make_head(&x, causal);

    ATN_TRY(atn_head_facts_make(cx, &h, N, &f));
    ATN_TRY(atn_head_facts_spectrum(cx, &f, false));
    find_statistics(&f, got);
    for (int k = 0; k < STATISTICS; k++) {
        char variant[ATN_CHECK_TEXT];
        atn_worst worst = {0};
        atn_check c;

        snprintf(variant, sizeof variant, "%s%s", statistic_names[k],
                 causal ? " causal" : "");
        atn_worst_take(&worst, ATN_EQUAL, statistics[causal][k], got[k], FLOATS);
        c = atn_worst_check(&worst, &atn_bound_golden, variant);
        snprintf(c.note, sizeof c.note, "heads hold floats: equal to 2e-5");
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    atn_head_facts_release(cx, &f);
    return st;
}

static atn_status once(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    (void)t;
    for (size_t r = 0; r < ATN_LEN(rows); r++) ATN_TRY(check_row(cx, r, out));
    ATN_TRY(check_tensors(cx, out));
    for (int causal = 0; causal < 2; causal++)
        ATN_TRY(check_statistics(cx, causal, out));
done:
    return st;
}

const atn_experiment atn_experiment_golden_outputs = {
    .id = "golden_outputs",
    .label = "V21",
    .title = "Methods on fixed inputs",
    .text = "outputs and statistics of rows of 8 tokens that formulas give, against "
            "those of "
            "another implementation",
    .source = "own computation",
    .sides = ATN_BOTH_WAYS,
    .once = once,
    .bounds = "golden",
};
