/* tests/approx/test_topp.c -- a share of the weight, by the card's fixture and against
 * sums by definition. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"
#include "tests/approx/oracle_twin.h"

/* Weights of row 7: .470739 .173175 .173175 .063708 .063708 ..; the first four have
 * .880797, five .944505. Row 6: 2, 6, 3 have .8558, 4 comes before none. */
static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "topp:p=.9", 0, 7, "0,1,3-5", .944505, 3.147495);
    zoo_golden(cx, &z, "topp:p=.9", 0, 6, "2-4,6", .932881, 3.145845);
    zoo_free(&z);
}

/* All of it is softmax attention: the rows of G8. */
static void golden_outputs(atn_ctx *cx)
{
    const g8 x = g8_exact();

    for (int causal = 0; causal < 2; causal++) {
        const char *row = causal ? "softmax causal" : "softmax";
        double o[G8_N * G8_D] = {0}, w[G8_N * G8_N];
        zoo z;

        for (int i = 0; i < G8_N; i++) {
            double sum = 0;

            for (int j = 0; j < (causal ? i + 1 : G8_N); j++) {
                double s = 0;

                for (int c = 0; c < G8_D; c++) s += x.q[i][c] * x.k[j][c];
                s = exp(G8_SCALE * s);
                sum += s;
                for (int c = 0; c < G8_D; c++) o[i * G8_D + c] += s * x.v[j][c];
            }
            for (int c = 0; c < G8_D; c++) o[i * G8_D + c] /= sum;
        }
        g8_check(row, o, 1e-9);
        g8_zoo(&z, causal);
        g8_run(cx, &z, "topp:p=1", o, w);
        g8_check(row, o, 2e-5);
        g8_same(&z, w, o, 1e-6);
        zoo_free(&z);
    }
}

/* `before` is what stands before an entry in its order, of `mass`: is it kept? -1: too
 * near to say. The first one is, unless the variant is `under`. */
static int kept(const char *variant, double p, double before, double w, double mass)
{
    const bool crosses = before + w > p * mass; /* and all after it */

    if (before == 0 && *variant != 'u') return 1;
    if (fabs(before - p * mass) < 1e-9 || fabs(before + w - p * mass) < 1e-9) return -1;
    if (*variant == 'u') return !crosses;
    return before < p * mass;
}

static void against_sums(atn_ctx *cx)
{
    static const char *const variants[] = {"least", "over", "under"};
    static const double ps[] = {0, .3, .8, .97, 1};

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(variants) * ATN_LEN(ps); s++) {
            const char *const variant = variants[s % ATN_LEN(variants)];
            const double p = ps[s / ATN_LEN(variants)];
            twin t;
            const atn_idx nq = twin_make(&t, kind, 11), nk = t.z.head[0].nk;
            bool *keep = malloc((size_t)(nq * nk));
            char spec[64];

            snprintf(spec, sizeof spec, "topp:p=%g,variant=%s", p, variant);
            twin_kept(cx, &t, spec, keep);
            for (atn_idx i = 0; i < nq; i++) {
                const double *x = t.s + i * nk, *w = t.w + i * nk;
                double mass = 0, before;

                for (atn_idx j = 0; j < nk; j++) mass += w[j];
                for (atn_idx j = 0; j < nk; j++) {
                    int is;

                    twin_rank(x, w, nk, j, &before);
                    is = x[j] > -INFINITY ? kept(variant, p, before, w[j], mass) : 0;
                    if (is >= 0 && keep[i * nk + j] != is)
                        fail_msg("kind %d, %s, row %lld, key %lld", kind, spec,
                                 (long long)i, (long long)j);
                }
            }
            free(keep);
            twin_free(&t);
        }
}

/* All entries of all rows in one order. */
static void of_the_head(atn_ctx *cx)
{
    static const char *const variants[] = {"least", "over", "under"};

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(variants); s++) {
            twin t;
            const atn_idx nq = twin_make(&t, kind, 12), nk = t.z.head[0].nk,
                          n = nq * nk;
            bool *keep = malloc((size_t)n);
            double mass = 0, before;
            char spec[64];

            for (atn_idx e = 0; e < n; e++) {
                mass += t.w[e];
                if (t.s[e] > -INFINITY) t.s[e] = t.w[e]; /* across rows weights count */
            }
            snprintf(spec, sizeof spec, "topp:p=.7,level=head,variant=%s", variants[s]);
            twin_kept(cx, &t, spec, keep);
            for (atn_idx e = 0; e < n; e++) {
                int is;

                twin_rank(t.s, t.w, n, e, &before);
                is = t.s[e] > -INFINITY ? kept(variants[s], .7, before, t.w[e], mass)
                                        : 0;
                if (is >= 0) CHECK_EQ(keep[e], is);
            }
            free(keep);
            twin_free(&t);
        }
}

static void blocks_against_sums(atn_ctx *cx)
{
    enum { B = 4 };

    for (int kind = 0; kind < TWIN_KINDS; kind++) {
        twin t;
        const atn_idx nq = twin_make(&t, kind, 13), nk = t.z.head[0].nk,
                      nb = (nk + B - 1) / B;
        const atn_idx first = t.z.head[0].sight.offset;
        bool *keep = malloc((size_t)(nq * nk));

        twin_kept(cx, &t, "topp:p=.8,block=4", keep);
        for (atn_idx i = 0; i < nq; i++) {
            const atn_idx from = (i + first) / B * B - first;
            double x[TWIN_N], w[TWIN_N], mass = 0, before;

            twin_blocks(&t, ATN_MAX(from, 0), ATN_MIN(from + B, nq), B, "sum", x);
            for (atn_idx c = 0; c < nb; c++) mass += w[c] = fmax(x[c], 0);
            for (atn_idx j = 0; j < nk; j++) {
                int is;

                twin_rank(x, w, nb, j / B, &before);
                is = kept("least", .8, before, w[j / B], mass);
                if (is >= 0)
                    CHECK_EQ(keep[i * nk + j], is && t.s[i * nk + j] > -INFINITY);
            }
        }
        free(keep);
        twin_free(&t);
    }
}

/* The head whose rows are uniform: of m keys ceil(p m), floor(p m) + 1, floor(p m) are
 * kept, and of weights given in float32 as many, although 1 / m is rounded there. */
static void uniform_rows(atn_ctx *cx)
{
    static const char *const specs[] = {"topp:p=.5", "topp:p=.5,variant=over",
                                        "topp:p=.5,variant=under", "topp:p=.9"};
    enum { N = 70 };

    for (int given = 0; given < 2; given++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            static float p[N * N];
            bool keep[N * N];
            twin t = {0};

            zoo_random(&t.z, 1, 1, N, N, 1);
            memset(t.z.q, 0, N * 8 * sizeof *t.z.q);
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++)
                    p[i * N + j] = j <= i ? 1 / (float)(i + 1) : 0;
            if (given) {
                t.z.head[0].p = (atn_cmat){p, N, N, N};
                t.z.head[0].q = t.z.head[0].k = (atn_cmat){0};
            }
            twin_kept(cx, &t, specs[s], keep);
            for (int i = 0; i < N; i++) {
                const int m = i + 1;
                const int want[] = {(m + 1) / 2, m / 2 + 1, m / 2, (9 * m + 9) / 10};

                for (int j = 0; j < N; j++)
                    CHECK_EQ(keep[i * N + j], j <= i && j < want[s]);
            }
            zoo_free(&t.z);
        }
}

/* One key of every row at p = 0, and wherever the largest weight holds the share; of
 * all rows together one entry; of blocks one. */
static void one_at_least(atn_ctx *cx)
{
    static const struct {
        const char *spec;
        int per_row, block; /* per_row 0: one of all */
    } cases[] = {{"topp:p=0", 1, 1},
                 {"topp:p=1e-12", 1, 1},
                 {"topp:p=0,variant=over", 1, 1},
                 {"topp:p=0.02", 1, 1}, /* some weight of 23 is larger */
                 {"topp:p=0,level=head", 0, 1},
                 {"topp:p=0,block=4", 1, 4}};

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(cases); s++) {
            bool keep[(TWIN_N + 6) * TWIN_N];
            const int b = cases[s].block;
            atn_idx nq, nk, all = 0;
            twin t;

            nq = twin_make(&t, kind, 21);
            nk = t.z.head[0].nk;
            twin_kept(cx, &t, cases[s].spec, keep);
            for (atn_idx i = 0; i < nq; i++) {
                atn_idx n = 0, sees = 0, last = -1;

                for (atn_idx j = 0; j < nk; j++) {
                    sees += t.s[i * nk + j] > -INFINITY;
                    if (!keep[i * nk + j]) continue;
                    n += j / b != last;
                    last = j / b;
                }
                all += n;
                if (cases[s].per_row && b == 1) CHECK_EQ(n, sees > 0);
                if (cases[s].per_row && b > 1) CHECK_LE(n, 1);
            }
            CHECK(all > 0);
            if (!cases[s].per_row) CHECK_EQ(all, 1);
            twin_free(&t);
        }
}

/* 4096 rows of 4097 entries on average are too many to sort. */
static void too_many_entries(atn_ctx *cx)
{
    enum { N = 5800 };
    atn_plan plan;
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, N, N, 1);
    CHECK_OK(atn_choice_read(cx, "topp", "level=head", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &plan), ATN_USAGE, "larger blocks");
    CHECK_OK(atn_choice_read(cx, "topp", "level=head,block=512", &c));
    CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, &plan));
    atn_plan_release(cx, &plan);
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    static const char *const params[] = {"", "level=head", "level=head,block=8"};
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 30, 30, 2);
    for (size_t s = 0; s < ATN_LEN(params); s++) zoo_failing(&z, "topp", params[s]);
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"golden outputs", golden_outputs},
           {"against sums", against_sums}, {"of the head", of_the_head},
           {"blocks against sums", blocks_against_sums}, {"uniform rows", uniform_rows},
           {"one at least", one_at_least}, {"too many entries", too_many_entries},
           {"memory runs out", memory_runs_out})
