/* tests/approx/test_masks.c -- the masks of the Long-Context Attention Benchmark (Bu et
 * al., arXiv 2510.17896) as specs of ours, against its own lists of parts. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern_dense.h"
#include "core/rng.h"

enum { MOST = 64, TRIALS = 400 };

static atn_rng rng;

static long below(long n)
{
    return (long)atn_rng_below(&rng, n);
}

/* One mask, drawn: documents with borders c[0] = 0 .. c[docs] = n, a prefix or
 * window. */
typedef struct mask {
    long n, docs, c[9], u, block;
    char spec[400];
    uint8_t see[MOST * MOST];
} mask;

/* A part of the list: rows [q0, q1), keys [k0, k1); type 0 full, 1 causal, aligned at
 * the lower right corner. */
static void part(mask *m, long q0, long q1, long k0, long k1, int type)
{
    for (long i = q0; i < q1; i++)
        for (long j = k0; j < k1; j++)
            if (!type || k1 - 1 - j >= q1 - 1 - i) m->see[i * m->n + j] = 1;
}

static void say(mask *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(mask *m, const char *format, ...)
{
    const size_t used = strlen(m->spec);
    va_list args;

    va_start(args, format);
    vsnprintf(m->spec + used, sizeof m->spec - used, format, args);
    va_end(args);
}

static void say_lengths(mask *m)
{
    for (long d = 0; d < m->docs; d++)
        say(m, "%s%ld", d ? "x" : "lengths=", (m->c[d + 1] - m->c[d]) / m->block);
}

static const char *full(mask *m)
{
    part(m, 0, m->n, 0, m->n, 0);
    return "full";
}

static const char *causal(mask *m)
{
    part(m, 0, m->n, 0, m->n, 1);
    return "causal";
}

static const char *documents(mask *m, int type)
{
    for (long d = 0; d < m->docs; d++)
        part(m, m->c[d], m->c[d + 1], m->c[d], m->c[d + 1], type);
    say_lengths(m);
    return "documents";
}

static const char *full_document(mask *m)
{
    say(m, "kind=full,");
    return documents(m, 0);
}

static const char *causal_document(mask *m)
{
    return documents(m, 1);
}

static const char *sliding_window(mask *m)
{
    for (long i = 0; i < m->n; i++)
        part(m, i, i + 1, ATN_MAX(0, i - m->u), ATN_MIN(m->n, i + m->u + 1), 0);
    say(m, "two_sided=yes,window=%ld", m->u + 1);
    return "window";
}

static const char *sliding_window_causal(mask *m)
{
    for (long i = 0; i < m->n; i++) part(m, i, i + 1, ATN_MAX(0, i - m->u), i + 1, 0);
    say(m, "window=%ld", m->u + 1);
    return "window";
}

static const char *global_sliding_window(mask *m)
{
    const long w = ATN_MIN(m->u, m->n);

    part(m, 0, m->n, 0, w, 0);
    part(m, 0, w, w, m->n, 0);
    for (long i = w; i < m->n; i++)
        part(m, i, i + 1, ATN_MAX(w, i - m->u), ATN_MIN(m->n, i + m->u + 1), 0);
    say(m, "window=%ld,first=%ld", m->u, m->u);
    return "longformer";
}

static const char *prefix_lm_causal(mask *m)
{
    const long u = ATN_MIN(m->u, m->n);

    part(m, 0, u, 0, u, 0);
    part(m, u, m->n, 0, m->n, 1);
    say(m, "prefix=%ld", u);
    return "prefix_lm";
}

static const char *prefix_lm_document(mask *m)
{
    const long u = ATN_MIN(m->u, m->c[1]);

    for (long d = 0; d < m->docs; d++) {
        const long a = m->c[d], b = m->c[d + 1];

        if (u < b - a) {
            part(m, a, a + u, a, a + u, 0);
            part(m, a + u, b, a, b, 1);
        } else {
            part(m, a, b, a, b, 1);
        }
    }
    say(m, "prefix=%ld,", u);
    say_lengths(m);
    return "prefix_lm";
}

static const char *share_question(mask *m)
{
    const long two = m->docs > 1 ? 2 : 1;

    part(m, 0, m->c[two], 0, m->c[two], 1);
    for (long d = 2; d < m->docs; d++) {
        part(m, m->c[d], m->c[d + 1], m->c[d], m->c[d + 1], 1);
        part(m, m->c[d], m->c[d + 1], 0, m->c[1], 0);
    }
    say(m, "kind=shared_question,");
    say_lengths(m);
    return "documents";
}

static const char *causal_blockwise(mask *m)
{
    const long last = m->docs - 1;

    for (long d = 0; d < last; d++)
        part(m, m->c[d], m->c[d + 1], m->c[d], m->c[d + 1], 1);
    part(m, m->c[last], m->n, 0, m->n, 1);
    say(m, "kind=last_sees_all,");
    say_lengths(m);
    return "documents";
}

static const char *block_causal_document(mask *m)
{
    for (long d = 0; d < m->docs; d++)
        for (long a = m->c[d]; a < m->c[d + 1]; a += m->block)
            part(m, a, a + m->block, m->c[d], a + m->block, 0);
    say(m, "kind=block_causal,block=%ld,", m->block);
    say_lengths(m);
    return "documents";
}

static const struct {
    const char *name; /* the benchmark's */
    const char *(*draw)(mask *m);
    bool blocks; /* documents of whole blocks */
} masks[] = {
    {"full", full, false},
    {"causal", causal, false},
    {"full_document", full_document, false},
    {"causal_document", causal_document, false},
    {"sliding_window", sliding_window, false},
    {"sliding_window_causal", sliding_window_causal, false},
    {"global_sliding_window", global_sliding_window, false},
    {"prefix_lm_causal", prefix_lm_causal, false},
    {"prefix_lm_document", prefix_lm_document, false},
    {"share_question", share_question, false},
    {"causal_blockwise", causal_blockwise, false},
    {"block_causal_document", block_causal_document, true},
};

static mask begin(bool blocks)
{
    mask m = {.block = blocks ? 1 + below(4) : 1, .docs = 1 + below(7)};

    for (long d = 0; d < m.docs; d++)
        m.c[d + 1] = m.c[d] + m.block * (1 + below(9) / 4);
    m.n = m.c[m.docs];
    if (m.docs == 1 && !blocks) m.n = m.c[1] = 1 + below(MOST);
    m.u = 1 + below(m.n);
    return m;
}

static void parts_are_seen(atn_ctx *cx)
{
    rng = atn_rng_stream(1, "test/masks", 0, 0);
    for (size_t k = 0; k < ATN_LEN(masks); k++)
        for (int trial = 0; trial < TRIALS; trial++) {
            mask m = begin(masks[k].blocks);
            const atn_layout l = atn_layout_square(m.n, 1, 0);
            const char *id = masks[k].draw(&m);
            atn_pattern *p = dense_make(cx, id, m.spec, &l);
            uint8_t *see = dense_tokens(p, 0);
            int64_t pairs, area = 0;

            for (long i = 0; i < m.n * m.n; i++) {
                area += m.see[i];
                if (see[i] != m.see[i])
                    fail_msg("%s = %s:%s, n %ld: query %ld, key %ld", masks[k].name, id,
                             m.spec, m.n, i / m.n, i % m.n);
            }
            CHECK_OK(atn_pattern_pairs(cx, p, 0, &pairs));
            CHECK_EQ(pairs, area);
            free(see);
            atn_pattern_destroy(cx, p);
        }
}

/* n = 8192: n^2; n (n + 1) / 2; windows of 1024 and self, n (w + 1) - w (w + 1) / 2 and
 * n (2 w + 1) - w (w + 1). 16 of 128 blocks of 64: 128 16 64^2 * .1 -> 13 blocks. */
static void areas(atn_ctx *cx)
{
    static const struct {
        const char *id, *params;
        int64_t pairs;
    } cases[] = {
        {"full", NULL, 67108864},
        {"causal", NULL, 33558528},
        {"window", "window=1025", 7872000},
        {"window", "window=1025,two_sided=yes", 15735808},
        {"random_blocks", "density=.1,block=64", 128 * 13 * 4096},
        {"random_blocks", "density=.5,block=128", 64 * 32 * 16384},
        {"random_blocks", "density=1,block=128", 67108864},
        {"random_blocks", "density=1,causal=yes", 33558528},
        {"random_blocks", "density=1,variable=yes", 67108864},
        {"random_blocks", "density=1,variable=yes,causal=yes", 33558528},
    };
    const atn_layout l = atn_layout_square(8192, 1, 0);

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_pattern *p = dense_make(cx, cases[i].id, cases[i].params, &l);
        int64_t pairs;

        CHECK_OK(atn_pattern_pairs(cx, p, 0, &pairs));
        CHECK_EQ(pairs, cases[i].pairs);
        atn_pattern_destroy(cx, p);
    }
}

static bool same_row(const uint8_t *m, long n, long i, long k, bool causal)
{
    for (long j = 0; j < (causal ? ATN_MIN(i, k) + 1 : n); j++)
        if (m[i * n + j] != m[k * n + j]) return false;
    return true;
}

/* Rows are alike within pieces, of which there are n / block; where a row of keys
 * begins or ends, a piece does. A row has round(density m) pieces. */
static void pieces_of_random_size(atn_ctx *cx)
{
    rng = atn_rng_stream(2, "test/masks", 0, 0);
    for (int trial = 0; trial < 300; trial++) {
        const long n = 1 + below(MOST), block = 1 + below(12), heads = 1 + below(3);
        const long pieces = (n + block - 1) / block, causal = below(2);
        const atn_layout l = atn_layout_square(n, heads, (uint64_t)trial);
        atn_pattern *p;
        char params[99];

        snprintf(params, sizeof params, "variable=1,density=.4,block=%ld,causal=%ld",
                 block, causal);
        p = dense_make(cx, "random_blocks", params, &l);
        for (long h = 0; h < p->heads; h++) {
            uint8_t *m = dense_tokens(p, h), border[MOST + 1] = {0};
            long borders = 0;

            for (long i = 0; i < n; i++)
                for (long j = 1; j < n; j++)
                    if (m[i * n + j] != m[i * n + j - 1] && !(causal && j == i + 1))
                        border[j] = 1;
            for (long i = 1; i < n; i++)
                if (!same_row(m, n, i - 1, i, causal)) border[i] = 1;
            for (long i = 1; i < n; i++) borders += border[i];
            CHECK_LE(borders, pieces - 1);
            for (long i = 0; i < n; i++) {
                CHECK(!causal || m[i * n + i]);
                for (long j = i + 1; causal && j < n; j++) CHECK(!m[i * n + j]);
            }
            free(m);
        }
        atn_pattern_destroy(cx, p);
    }
}

CHECK_MAIN({"parts are seen", parts_are_seen}, {"areas", areas},
           {"pieces of random size", pieces_of_random_size})
