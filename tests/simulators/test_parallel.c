/* tests/simulators/test_parallel.c -- context parallelism: who meets whom by counting
 * all pairs, volumes by sending every message, and the closed forms of both. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern.h"
#include "check.h"
#include "core/rng.h"
#include "simulators/parallel.h"

static atn_rng rng;

static long below(long n)
{
    return (long)atn_rng_below(&rng, n);
}

static atn_pattern *make(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    const atn_layout l = atn_layout_square(n, 1, 0);
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_make(cx, id, params, &l, &p));
    return p;
}

/* ---- the definition, pair by pair ---- */

static long owner(int order, long n, long ranks, long i)
{
    long c;

    if (order == ATN_CP_STRIPE) return i % ranks;
    if (order == ATN_CP_CONTIGUOUS) return i * ranks / n;
    c = 2 * i * ranks / n;
    return c < ranks ? c : 2 * ranks - 1 - c;
}

/* see [n, n] <- what the pattern lets see. */
static void dense(const atn_pattern *p, atn_idx head, bool *see)
{
    const atn_idx n = p->frame.nk;
    atn_span *x = malloc((size_t)p->room * sizeof *x);

    memset(see, 0, (size_t)(p->frame.nq * n) * sizeof *see);
    for (atn_idx i = 0; i < p->frame.nq; i++) {
        const atn_idx k = atn_pattern_keys(p, head, p->frame.first + i, x);

        for (atn_idx s = 0; s < k; s++)
            for (atn_idx j = x[s].lo; j < x[s].hi; j++) see[i * n + j] = true;
    }
    free(x);
}

/* A random pattern: intervals of rows; blocks below the diagonal; a window. */
static atn_pattern *draw(atn_ctx *cx, long n)
{
    const long kind = below(3), block = kind == 1 ? 1 + below(6) : 1;
    const atn_frame f = atn_frame_square(n, block, kind == 1 && below(2));
    const long rows = (n + block - 1) / block;
    atn_pattern *p = NULL;
    atn_span *spans, one;
    int64_t *ptr;

    if (kind == 2) {
        one.lo = below(2 * n) - n;
        one.hi = one.lo + 1 + below(n);
        CHECK_OK(atn_pattern_shift(cx, &f, &one, 1, below(2) ? 0 : below(4), &p));
        return p;
    }
    ptr = atn_alloc(cx, rows + 1, sizeof *ptr);
    spans = atn_alloc(cx, rows * rows + 1, sizeof *spans);
    CHECK(ptr && spans);
    for (long a = 0; a < rows; a++) {
        const long end = f.causal ? a + 1 : rows;
        long at = below(3) ? below(end + 1) : 0;

        ptr[a + 1] = ptr[a];
        while (at < end) {
            const long hi = ATN_MIN(end, at + 1 + below(7));

            spans[ptr[a + 1]++] = (atn_span){at, hi};
            at = hi + 1 + below(9);
        }
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

static void count_pairs(const bool *see, int order, long n, long ranks, int64_t *a)
{
    memset(a, 0, (size_t)(ranks * ranks) * sizeof *a);
    for (long i = 0; i < n; i++)
        for (long j = 0; j < n; j++)
            a[owner(order, n, ranks, i) * ranks + owner(order, n, ranks, j)] +=
                see[i * n + j];
}

static double count_redundant(const bool *see, int order, long n, long ranks)
{
    long received = 0, seen = 0;

    for (long q = 0; q < ranks; q++)
        for (long j = 0; j < n; j++) {
            bool any = false;

            if (owner(order, n, ranks, j) == q) continue;
            for (long i = 0; i < n; i++)
                any = any || (owner(order, n, ranks, i) == q && see[i * n + j]);
            received++;
            seen += any;
        }
    return 1 - (double)seen / (double)received;
}

static void pairs_are_counted(atn_ctx *cx)
{
    rng = atn_rng_stream(1, "test/parallel", 0, 0);
    for (int trial = 0; trial < 3000; trial++) {
        const long n = 1 + below(50), ranks = 1 + below(ATN_MIN(n, 11));
        const int order = (int)below(3);
        atn_pattern *p = draw(cx, n);
        int64_t got[121], want[121];
        bool see[2500];
        double share;

        dense(p, 0, see);
        count_pairs(see, order, n, ranks, want);
        CHECK_OK(atn_cp_pairs(cx, p, 0, (atn_cp_order)order, ranks, got));
        for (long i = 0; i < ranks * ranks; i++) CHECK_EQ(got[i], want[i]);
        CHECK_OK(atn_cp_redundant(cx, p, 0, (atn_cp_order)order, ranks, &share));
        if (ranks > 1)
            CHECK_NEAR(share, count_redundant(see, order, n, ranks), 1e-12);
        else
            CHECK(isnan(share));
        atn_pattern_destroy(cx, p);
    }
}

/* Rank q's queries and rank k's keys in the order in which they stand there. */
static void chunks_are_cut_out(atn_ctx *cx)
{
    rng = atn_rng_stream(2, "test/parallel", 0, 0);
    for (int trial = 0; trial < 3000; trial++) {
        const long n = 1 + below(48), ranks = 1 + below(ATN_MIN(n, 7));
        const int order = (int)below(3);
        const long q = below(ranks), k = below(ranks);
        const atn_cp_share qs = atn_cp_share_of((atn_cp_order)order, n, ranks, q);
        const atn_cp_share ks = atn_cp_share_of((atn_cp_order)order, n, ranks, k);
        atn_pattern *p = draw(cx, n), *c = NULL;
        const atn_cp_head head = {p, 0};
        bool see[2304], want[2304], got[2304];
        long rows[48], cols[48], nr = 0, nc = 0, r0 = 48, r1 = 0, c0 = 48, c1 = 0;

        dense(p, 0, see);
        for (long i = 0; i < n; i++)
            if (owner(order, n, ranks, i) == q) rows[nr++] = i;
        for (long j = 0; j < n; j++)
            if (owner(order, n, ranks, j) == k) cols[nc++] = j;
        CHECK_EQ(atn_cp_share_size(&qs), nr);
        for (long i = 0; i < nr; i++)
            for (long j = 0; j < nc; j++) {
                const bool x = want[i * nc + j] = see[rows[i] * n + cols[j]];

                if (!x) continue;
                r0 = ATN_MIN(r0, i);
                r1 = ATN_MAX(r1, i + 1);
                c0 = ATN_MIN(c0, j);
                c1 = ATN_MAX(c1, j + 1);
            }
        CHECK_OK(atn_cp_chunk(cx, &head, 1, &qs, &ks, &c));
        CHECK((c == NULL) == (r1 == 0));
        if (c) {
            if (c->frame.block > 1) { /* whole blocks are cut off */
                const long b = (long)c->frame.block;

                r0 = c->frame.causal ? 0 : r0 / b * b;
                c0 = c->frame.causal ? 0 : c0 / b * b;
            }
            CHECK(c->frame.nq >= r1 - r0 && c->frame.nk >= c1 - c0);
            if (c->frame.block == 1)
                CHECK(c->frame.nq == r1 - r0 && c->frame.nk == c1 - c0);
            dense(c, 0, got);
            for (long i = 0; i < c->frame.nq; i++)
                for (long j = 0; j < c->frame.nk; j++)
                    CHECK_EQ(got[i * c->frame.nk + j], want[(r0 + i) * nc + c0 + j]);
        }
        atn_pattern_destroy(cx, c);
        atn_pattern_destroy(cx, p);
    }
}

/* A causal ring's chunks are what kernels are made for: causal where it meets itself,
 * whole or nothing elsewhere; of stripes causal everywhere, one token shorter ahead. */
static void causal_chunks(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "causal", NULL, 64);
    const atn_cp_head head = {p, 0};

    for (int order = 0; order < 3; order++)
        for (atn_idx q = 0; q < 4; q++)
            for (atn_idx k = 0; k < 4; k++) {
                const atn_cp_share a = atn_cp_share_of((atn_cp_order)order, 64, 4, q);
                const atn_cp_share b = atn_cp_share_of((atn_cp_order)order, 64, 4, k);
                atn_pattern *c = NULL;
                int64_t pairs;

                CHECK_OK(atn_cp_chunk(cx, &head, 1, &a, &b, &c));
                CHECK((c == NULL) == (order == ATN_CP_CONTIGUOUS && k > q));
                if (!c) continue;
                CHECK(c->shift && c->n_offsets == 1 && c->prefix == 0);
                CHECK_EQ(c->frame.causal, order == ATN_CP_STRIPE || q == k);
                CHECK_EQ(c->frame.nq, order == ATN_CP_STRIPE   ? 16 - (k > q)
                                      : order == ATN_CP_ZIGZAG ? (k > q ? 8 : 16)
                                                               : 16);
                CHECK_OK(atn_pattern_pairs(cx, c, 0, &pairs));
                if (!c->frame.causal) CHECK_EQ(pairs, c->frame.nq * c->frame.nk);
                atn_pattern_destroy(cx, c);
            }
    atn_pattern_destroy(cx, p);
}

/* Contiguous: step 0 takes c (c + 1) / 2, the others c^2, of L (L + 1) / 2 / P. Zigzag:
 * even but for half a diagonal. Stripe: (L + 1) / (L + P). */
static void causal_balance(atn_ctx *cx)
{
    static const struct {
        atn_idx n, ranks;
    } cases[] = {{1048576, 64}, {65536, 8}, {96, 3}, {40, 5}, {7, 7}, {64, 1}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_idx n = cases[i].n, ranks = cases[i].ranks;
        const double L = (double)n, P = (double)ranks, c = L / P;
        atn_pattern *p = make(cx, "causal", NULL, n);
        int64_t *a = malloc((size_t)(ranks * ranks) * sizeof *a);

        CHECK_OK(atn_cp_pairs(cx, p, 0, ATN_CP_CONTIGUOUS, ranks, a));
        if (n % ranks == 0) {
            const double steps = c * (c + 1) / 2 + (P - 1) * c * c;

            CHECK_NEAR(atn_cp_ring_balance(a, ranks), L * (L + 1) / 2 / P / steps,
                       1e-12);
            CHECK_NEAR(atn_cp_ring_balance(a, ranks), P / (2 * P - 1), P / L);
            CHECK_NEAR(atn_cp_gather_balance(a, ranks), P / (2 * P - 1), P / L);
        }
        CHECK_OK(atn_cp_pairs(cx, p, 0, ATN_CP_STRIPE, ranks, a));
        CHECK_NEAR(atn_cp_ring_balance(a, ranks), (L + 1) / (L + P), 1e-12);
        if (n % (2 * ranks) == 0) {
            CHECK_OK(atn_cp_pairs(cx, p, 0, ATN_CP_ZIGZAG, ranks, a));
            CHECK_NEAR(atn_cp_ring_balance(a, ranks), 1, P / L);
            CHECK_NEAR(atn_cp_gather_balance(a, ranks), 1, 1e-12);
        }
        free(a);
        atn_pattern_destroy(cx, p);
    }
}

/* Contiguous: rank q receives P - 1 chunks and needs q of them: 1/2. Zigzag: of rank
 * k's later half-chunk 2P-1-k only ranks whose own later one comes after it have use,
 * half of the ordered pairs of ranks have not: 1/4. Stripe: ranks that are ahead lack
 * the last token only. Two-sided masks waste nothing. A million tokens of a thousand
 * ranks are no more work than their rows. */
static void causal_redundancy(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "causal", NULL, 65536),
                *full = make(cx, "full", NULL, 512),
                *large = make(cx, "causal", NULL, 1 << 20);
    double share;

    CHECK_OK(atn_cp_redundant(cx, large, 0, ATN_CP_ZIGZAG, 4096, &share));
    CHECK_NEAR(share, 0.25, 1e-12);
    CHECK_OK(atn_cp_redundant(cx, large, 0, ATN_CP_STRIPE, 4096, &share));
    CHECK_NEAR(share, 4096 * 4095 / 2 / 4095.0 / (1 << 20), 1e-12);
    atn_pattern_destroy(cx, large);

    CHECK_OK(atn_cp_redundant(cx, p, 0, ATN_CP_CONTIGUOUS, 8, &share));
    CHECK_NEAR(share, 0.5, 1e-12);
    CHECK_OK(atn_cp_redundant(cx, p, 0, ATN_CP_ZIGZAG, 8, &share));
    CHECK_NEAR(share, 0.25, 1e-12);
    CHECK_OK(atn_cp_redundant(cx, p, 0, ATN_CP_STRIPE, 8, &share));
    CHECK_NEAR(share, 28 / (65536 * 7.0), 1e-12);
    CHECK_OK(atn_cp_redundant(cx, full, 0, ATN_CP_ZIGZAG, 8, &share));
    CHECK_NEAR(share, 0, 0);
    atn_pattern_destroy(cx, full);
    atn_pattern_destroy(cx, p);
}

/* ---- volumes: every message is sent ---- */

enum { RANKS_MOST = 64 };

typedef struct post {
    double sent[RANKS_MOST], outer[RANKS_MOST]; /* bytes */
    long node;
} post;

static void send(post *m, long from, long to, double bytes)
{
    m->sent[from] += bytes;
    if (from / m->node != to / m->node) m->outer[from] += bytes;
}

/* Rank r hands what it holds to next[r] until every rank has had everything. grad:
 * bytes of the gradient that goes along with a chunk and has to come home. */
static void send_round(post *m, const long *next, long ranks, double kv, double grad)
{
    long holds[RANKS_MOST], then[RANKS_MOST];

    for (long r = 0; r < ranks; r++) holds[r] = r;
    for (long step = 0; step < ranks; step++) {
        for (long r = 0; r < ranks; r++) {
            if (step + 1 < ranks) send(m, r, next[r], kv);
            if (grad > 0) send(m, r, next[r], grad);
            then[next[r]] = holds[r];
        }
        memcpy(holds, then, sizeof holds);
    }
    for (long r = 0; r < ranks; r++) CHECK_EQ(holds[r], r);
}

static double worst(const double *x, long n)
{
    double most = 0;

    for (long i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static atn_cp_sizes draw_sizes(void)
{
    atn_cp_sizes s = {.bytes = below(2) ? 2 : 4, .inner = 1};

    s.ulysses = 1L << below(3);
    s.gpus = s.ulysses << below(4);
    s.batch = 1 + below(3);
    s.tokens = s.gpus * (1 + below(9));
    s.kv_heads = 1L << below(6);
    s.heads = s.gpus * s.kv_heads;
    s.head_dim = 8 + below(9);
    s.value_dim = 8 + below(9);
    return s;
}

/* Heads are dealt out: rank i of the group has heads [i h / g, ..) and the KV heads
 * that these read. Every other rank of the group sends it its rows of them. */
static double send_heads(const atn_cp_sizes *s, long group)
{
    const double rows = (double)(s->batch * (s->tokens / s->gpus)) * s->bytes;
    const long per = (long)s->heads / group, share = (long)(s->heads / s->kv_heads);
    double sent = 0;

    for (long to = 1; to < group; to++) { /* rank 0 of the group sends */
        long first = to * per / share, last = ((to + 1) * per - 1) / share;

        sent += rows * (double)per * (double)(s->head_dim + s->value_dim);
        sent +=
            rows * (double)(last - first + 1) * (double)(s->head_dim + s->value_dim);
    }
    return sent;
}

static void volumes_are_messages(atn_ctx *cx)
{
    (void)cx;
    rng = atn_rng_stream(3, "test/parallel", 0, 0);
    for (int trial = 0; trial < 500; trial++) {
        const atn_cp_sizes s = draw_sizes();
        const long p = (long)s.gpus, u = (long)s.ulysses;
        const double width = (double)(s.batch * (s.head_dim + s.value_dim));
        const double numbers = (double)(s.tokens / s.gpus * s.kv_heads) * width;
        const double state = (double)(s.batch * s.heads * s.head_dim * s.value_dim);
        const double more = (double)ATN_MAX(s.kv_heads, u) / (double)s.kv_heads;
        long next[RANKS_MOST];

        for (int back = 0; back < 2; back++) {
            post ring = {.node = 8}, usp = {.node = 8}, gather = {.node = 8};
            atn_cp_volume v;

            for (long r = 0; r < p; r++) next[r] = (r + 1) % p;
            send_round(&ring, next, p, numbers * s.bytes, back ? 4 * numbers : 0);
            v = atn_cp_volume_of(ATN_CP_RING, &s, back);
            CHECK_NEAR(v.total, worst(ring.sent, p), 1e-6);
            for (long r = 0; r < p / u; r++) next[r] = (r + 1) % (p / u);
            send_round(&usp, next, p / u, numbers * more * s.bytes,
                       back ? 4 * numbers * more : 0);
            v = atn_cp_volume_of(ATN_CP_USP, &s, back);
            CHECK_NEAR(v.ring, worst(usp.sent, p / u), 1e-6);
            CHECK_NEAR(v.exchange, send_heads(&s, u), 1e-6);
            v = atn_cp_volume_of(ATN_CP_EXCHANGE, &s, back);
            CHECK_NEAR(v.total, send_heads(&s, p), 1e-6);
            for (long r = 0; r < p; r++)
                for (long to = 0; to < p; to++)
                    if (to != r) send(&gather, r, to, numbers * s.bytes);
            v = atn_cp_volume_of(ATN_CP_GATHER, &s, back);
            CHECK_NEAR(v.total, (1 + back) * worst(gather.sent, p), 1e-6);
            v = atn_cp_volume_of(ATN_CP_LASP2, &s, back);
            CHECK_NEAR(v.total, (double)(p - 1) * state * s.bytes, 1e-6);
            v = atn_cp_volume_of(ATN_CP_LASP, &s, back);
            CHECK_NEAR(v.total, p > 1 ? state * s.bytes : 0, 1e-6);
        }
    }
}

/* m ranks of a node send round; after m - 1 steps all hand on to the next node. */
static void double_ring_crosses_nodes(atn_ctx *cx)
{
    (void)cx;
    for (long nodes = 1; nodes <= 4; nodes++)
        for (long m = 1; m <= 8; m *= 2) {
            atn_cp_sizes s = {.gpus = nodes * m,
                              .ulysses = 1,
                              .inner = m,
                              .tokens = 64,
                              .batch = 2,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_dim = 8,
                              .value_dim = 8,
                              .bytes = 2};
            const double kv = 64.0 / (double)s.gpus * 2 * 2 * 16 * 2;
            const long p = nodes * m;
            long holds[RANKS_MOST], then[RANKS_MOST], had[RANKS_MOST] = {0};
            post mail = {.node = m};
            atn_cp_volume v;

            for (long r = 0; r < p; r++) holds[r] = r;
            for (long step = 0; step < p; step++) {
                const bool out = step % m == m - 1;

                for (long r = 0; r < p; r++) {
                    const long in = r / m * m + (r + 1) % m;
                    const long to = out ? (r + m) % p / m * m + in % m : in;

                    had[r] |= holds[r] < 62 ? 1L << holds[r] : 0;
                    if (step + 1 < p) send(&mail, r, to, kv);
                    then[to] = holds[r];
                }
                memcpy(holds, then, sizeof holds);
            }
            for (long r = 0; r < p; r++) CHECK_EQ(had[r], (1L << p) - 1);
            v = atn_cp_volume_of(ATN_CP_DOUBLE_RING, &s, false);
            CHECK_NEAR(v.total, worst(mail.sent, p), 1e-9);
            CHECK_NEAR(v.outer, worst(mail.outer, p), 1e-9);
            v = atn_cp_volume_of(ATN_CP_DOUBLE_RING, &s, true);
            CHECK_NEAR(v.outer,
                       nodes == 1 ? 0
                                  : ((double)nodes - 1) * kv + (double)nodes * kv * 2,
                       1e-9);
        }
}

/* 600 TFLOP/s, 450 GB/s, 16 bits, as many KV heads: (600e12 / 450e9) 2/2 = 1333.3. A
 * fourth of the KV heads, a fourth; chunks half empty, twice as many. */
static void ring_is_hidden(atn_ctx *cx)
{
    atn_cp_sizes s = {.heads = 32, .kv_heads = 32, .bytes = 2};

    (void)cx;
    CHECK_NEAR(atn_cp_hidden_tokens(&s, 600, 450, 1), 4000.0 / 3, 1e-9);
    s.kv_heads = 8;
    CHECK_NEAR(atn_cp_hidden_tokens(&s, 600, 450, 0.5), 2000.0 / 3, 1e-9);
}

/* ---- time ---- */

typedef struct scene {
    atn_pattern *p;
    atn_device device;
    atn_kernel kernel;
    atn_sim_opts sim;
    atn_cp_opts cp;
} scene;

static void open_scene(atn_ctx *cx, scene *s, const char *pattern, const char *params,
                       atn_idx tokens, const char *gpu, const char *kernel)
{
    memset(s, 0, sizeof *s);
    s->p = make(cx, pattern, params, tokens);
    CHECK_OK(atn_device_read(cx, gpu, &s->device));
    CHECK_OK(atn_kernel_read(cx, kernel, &s->kernel));
    atn_sim_defaults(&s->sim);
    s->sim.device = &s->device;
    s->sim.kernel = &s->kernel;
    s->sim.shape.kv_heads = 8;
    atn_cp_defaults(&s->cp);
}

static void close_scene(atn_ctx *cx, scene *s)
{
    atn_kernel_release(cx, &s->kernel);
    atn_pattern_destroy(cx, s->p);
}

static atn_cp_result run(atn_ctx *cx, scene *s, const char *scheme)
{
    const atn_pattern *p = s->p;
    atn_cp cp;

    CHECK_OK(atn_cp_scheme_find(cx, scheme, &s->cp.scheme));
    CHECK_OK(atn_cp_run(cx, &p, 1, &s->sim, &s->cp, &cp));
    CHECK_EQ(cp.n, 1);
    return cp.result[0];
}

/* us of a launch of the kernel on all pairs of nq queries and nk keys. */
static double full_ms(atn_ctx *cx, const scene *s, atn_idx nq, atn_idx nk,
                      atn_idx heads, atn_idx kv)
{
    const atn_frame f = {nk, nq, 0, 1, false};
    const atn_span all = {-nk, nq + nk};
    atn_sim_opts o = s->sim;
    atn_pattern *p = NULL;
    const atn_pattern *lent;
    double ms;
    atn_sim sim;

    CHECK_OK(atn_pattern_shift(cx, &f, &all, 1, 0, &p));
    lent = p;
    o.shape.heads = heads;
    o.shape.kv_heads = kv;
    o.bare = true;
    CHECK_OK(atn_simulate(cx, &lent, 1, &o, &sim));
    ms = sim.time_ms;
    atn_sim_release(cx, &sim);
    atn_pattern_destroy(cx, p);
    return ms;
}

/* Full attention, 4096 tokens on 4 GPUs: c is a launch of 1024 by 1024. Link 100 GB/s,
 * 10 us: a chunk of K and V is 1024 * 8 * 128 * 2 * 2 = 4 MiB, 41.9 + 10 us. A merge
 * reads and writes fp32 and reads 16 bits, 1024 * 32 * (128 * 10 + 12) bytes at
 * .8 * 3350 GB/s, + 3 us. The last step sends nothing. */
static void ring_by_hand(atn_ctx *cx)
{
    const double kv = 4194304, net = 5, hbm = 0.8 * 3350e6;
    const double merge = 1024.0 * 32 * 1292 / hbm + 0.003;
    const double dq = 1024.0 * 32 * 128 * 10 / hbm + 0.003;
    const double dkv = 1024.0 * 8 * 256 * 10 / hbm + 0.003;
    double c, near, far, back, want;
    atn_cp_result r;
    scene s;

    open_scene(cx, &s, "full", NULL, 4096, "h100", "fa2");
    s.cp.gpus = 4;
    s.cp.link_gbs = 100;
    s.cp.network_gbs = net;
    c = full_ms(cx, &s, 1024, 1024, 32, 8);
    near = kv / 100e6 + 0.01;
    far = kv / (net * 1e6) + 0.01;
    r = run(cx, &s, "ring");
    CHECK_NEAR(r.compute_ms, 4 * c + 3 * merge, 1e-9);
    CHECK_NEAR(r.time_ms, fmax(c, near) + 2 * fmax(c + merge, near) + c + merge, 1e-9);
    CHECK_NEAR(r.single_ms, full_ms(cx, &s, 4096, 4096, 32, 8), 1e-9);
    CHECK_NEAR(r.balance, 1, 1e-12);
    s.cp.node = 2;
    CHECK_NEAR(run(cx, &s, "ring").time_ms,
               fmax(c, far) + 2 * fmax(c + merge, far) + c + merge, 1e-9);
    want = fmax(fmax(c, near) + c + merge, far) + fmax(c + merge, near) + c + merge;
    r = run(cx, &s, "double-ring");
    CHECK_NEAR(r.time_ms, want, 1e-9);
    CHECK_NEAR(r.exposed_ms, want - 4 * c - 3 * merge, 1e-9);
    /* back: K, V and, from step 1 on, gradients of twice the bytes; these come home */
    s.cp.node = 8;
    s.cp.backward = true;
    back = 2.5 * c + dq + dkv;
    want = fmax(c, near) + 2 * fmax(c + merge, near) + c + merge;
    want += fmax(back, near) + 2 * fmax(back, 3 * kv / 100e6 + 0.01) +
            fmax(back, 2 * kv / 100e6 + 0.01) + 2 * kv / 100e6 + 0.01;
    CHECK_NEAR(run(cx, &s, "ring").time_ms, want, 1e-9);
    close_scene(cx, &s);
}

/* The same by collectives. All-gather: three chunks come in. Ulysses: 8 heads and 2 KV
 * heads a GPU; Q, K, V, O all to all, 3/4 of each sent. USP, U = 2: a ring of two. */
static void collectives_by_hand(atn_ctx *cx)
{
    const double kv = 4194304, q = 1024.0 * 32 * 128 * 2, hbm = 0.8 * 3350e6;
    double once, c, merge;
    atn_cp_result r;
    scene s;

    open_scene(cx, &s, "full", NULL, 4096, "h100", "fa2");
    s.cp.gpus = 4;
    s.cp.link_gbs = 100;
    s.cp.order = ATN_CP_CONTIGUOUS;
    r = run(cx, &s, "all-gather");
    CHECK_NEAR(r.compute_ms, full_ms(cx, &s, 1024, 4096, 32, 8), 1e-9);
    CHECK_NEAR(r.exposed_ms, 3 * kv / 100e6 + 0.01, 1e-9);
    r = run(cx, &s, "ulysses");
    CHECK_NEAR(r.compute_ms, full_ms(cx, &s, 4096, 4096, 8, 2), 1e-9);
    CHECK_NEAR(r.exposed_ms, 0.75 * (2 * q + kv) / 100e6 + 0.04, 1e-9);
    s.cp.ulysses = 2;
    r = run(cx, &s, "usp");
    c = full_ms(cx, &s, 2048, 2048, 16, 4);
    merge = 2048.0 * 16 * 1292 / hbm + 0.003;
    once = 0.5 * (2 * q + kv) / 100e6 + 0.04;
    CHECK_NEAR(r.time_ms, fmax(c, kv / 100e6 + 0.01) + c + merge + once, 1e-9);
    CHECK_EQ(r.ulysses, 2);
    close_scene(cx, &s);
}

/* One GPU is itself; smaller chunks are less efficient; even orders beat uneven ones;
 * slower links cost; what is sent does not depend on the mask. */
static void times_make_sense(atn_ctx *cx)
{
    double last = 1.0001;
    atn_cp_result ring, zigzag;
    scene s;

    open_scene(cx, &s, "causal", NULL, 32768, "h100", "fa3");
    s.cp.gpus = 1;
    for (int i = 0; i < 5; i++) {
        const atn_cp_result r = run(cx, &s, atn_cp_schemes[i].name);

        CHECK_NEAR(r.efficiency, 1, 1e-9);
        CHECK_NEAR(r.exposed_ms, 0, 1e-12);
        CHECK(r.volume.total == 0 && isnan(r.redundant) && isnan(r.hidden_tokens));
        CHECK_STR(r.limited_by, "attention");
    }
    for (s.cp.gpus = 2; s.cp.gpus <= 64; s.cp.gpus *= 2) {
        zigzag = run(cx, &s, "zigzag");
        CHECK_LE(zigzag.efficiency, last);
        last = zigzag.efficiency;
        ring = run(cx, &s, "ring");
        if (s.cp.gpus <= 16) CHECK_LE(ring.efficiency, zigzag.efficiency);
        CHECK_NEAR(ring.volume.total, zigzag.volume.total, 1e-9);
        CHECK_NEAR(ring.time_ms, ring.compute_ms + ring.exposed_ms, 1e-9);
    }
    s.cp.gpus = 8;
    ring = run(cx, &s, "ring");
    CHECK_STR(ring.limited_by, "balance");
    CHECK_NEAR(ring.balance, 8.0 / 15, 1e-3);
    s.cp.link_gbs = 1;
    CHECK_STR(run(cx, &s, "zigzag").limited_by, "link");
    close_scene(cx, &s);
}

/* What choosing takes is shared, its launch is not: bytes at 0.8 of the HBM, and 3 us.
 * Linear attention chooses nothing. */
static void choosing_is_shared(atn_ctx *cx)
{
    atn_cp_result with, without;
    double all, part;
    scene s;

    open_scene(cx, &s, "causal", NULL, 32768, "h100", "fa3");
    s.cp.gpus = 4;
    for (int i = 0; i < 2; i++) {
        const char *scheme = i ? "ulysses" : "zigzag";

        s.sim.extra = (atn_extra_work){0};
        without = run(cx, &s, scheme);
        s.sim.extra = (atn_extra_work){.bytes = 2e9, .launches = 1};
        with = run(cx, &s, scheme);
        all = .003 + 2e9 / (.8e6 * atn_device_get(&s.device, ATN_DEVICE_HBM_GBS));
        part = .003 + (all - .003) / 4;
        CHECK_NEAR(with.single_ms - without.single_ms, all, 1e-9);
        CHECK_NEAR(with.time_ms - without.time_ms, part, 1e-9);
        CHECK_NEAR(with.compute_ms - without.compute_ms, part, 1e-9);
        CHECK_NEAR(with.efficiency, with.single_ms / with.time_ms / 4, 1e-12);
    }
    with = run(cx, &s, "lasp2");
    s.sim.extra = (atn_extra_work){0};
    CHECK_NEAR(run(cx, &s, "lasp2").time_ms, with.time_ms, 0);
    close_scene(cx, &s);
}

/* Two kinds of heads: the GPU with the full ones is the slowest of Ulysses. */
static void heads_may_differ(atn_ctx *cx)
{
    const atn_pattern *p[32];
    atn_pattern *window;
    atn_cp cp;
    int64_t some, all;
    double mean;
    scene s;

    open_scene(cx, &s, "causal", NULL, 2048, "h100", "flex");
    window = make(cx, "window", "window=128", 2048);
    for (int h = 0; h < 32; h++) p[h] = h < 8 ? s.p : window;
    CHECK_OK(atn_pattern_pairs(cx, s.p, 0, &all));
    CHECK_OK(atn_pattern_pairs(cx, window, 0, &some));
    s.cp.gpus = 4;
    CHECK_OK(atn_cp_scheme_find(cx, "all", &s.cp.scheme));
    CHECK_OK(atn_cp_run(cx, p, 32, &s.sim, &s.cp, &cp));
    CHECK_EQ(cp.n, ATN_CP_SCHEMES);
    mean = (double)(all + 3 * some) / 4 / (double)all;
    for (int i = 0; i < cp.n; i++) {
        const atn_cp_result *r = &cp.result[i];

        CHECK(!*r->note && r->time_ms > 0 && r->limited_by);
        if (atn_cp_schemes[r->scheme].kind == ATN_CP_EXCHANGE)
            CHECK_NEAR(r->balance, mean, 1e-12);
    }
    atn_pattern_destroy(cx, window);
    close_scene(cx, &s);
}

/* Rows of two kernels, shapes or passes differ in a column; the interval is around the
 * time, of the compute alone, and a roofline has none. */
static void says_what_it_is_of(const atn_table *t, const atn_cp *cp)
{
    static const struct {
        const char *name, *text;
        int64_t number;
    } of[] = {{"kernel", "fa3", 0},      {"pass", "forward", 0},
              {"batch", NULL, 1},        {"num_heads", NULL, 32},
              {"num_kv_heads", NULL, 8}, {"head_dim", NULL, 128},
              {"gpus", NULL, 64}};
    const int model = atn_table_find_col(t, "model");

    for (size_t i = 0; i < ATN_LEN(of); i++) {
        const int col = atn_table_find_col(t, of[i].name);

        if (of[i].text)
            CHECK_STR(atn_table_get_str(t, 0, col), of[i].text);
        else
            CHECK_NEAR(atn_table_get_f64(t, 0, col), (double)of[i].number, 0);
    }
    CHECK(strstr(atn_table_get_str(t, 0, model), "h100") &&
          !atn_table_has(t, 4, model));
    for (int i = 0; i < cp->n; i++) {
        const atn_cp_result *r = &cp->result[i];
        const double low = (r->time_low_ms - r->exposed_ms) / r->compute_ms,
                     high = (r->time_high_ms - r->exposed_ms) / r->compute_ms;

        if (*r->note) continue;
        CHECK_EQ(isnan(r->time_low_ms), r->scheme >= 7);
        if (r->scheme >= 7) continue;
        CHECK(low < 1 && low > 0.8 && high > 1 && high < 1.3);
        CHECK_LE(r->time_low_ms, r->time_ms);
        CHECK_LE(r->time_ms, r->time_high_ms);
    }
}

static void what_cannot_be(atn_ctx *cx)
{
    const atn_pattern *p;
    atn_table *t = NULL;
    atn_cp cp;
    scene s;

    open_scene(cx, &s, "causal", NULL, 4096, "h100", "fa3");
    p = s.p;
    s.cp.gpus = 64;
    CHECK_OK(atn_cp_scheme_find(cx, "ulysses", &s.cp.scheme));
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE,
                "32 heads and 8 KV heads cannot be dealt out to 64 GPUs");
    s.cp.scheme = ATN_CP_ALL;
    CHECK_OK(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp));
    CHECK(strstr(cp.result[4].note, "cannot be dealt out"));
    CHECK_OK(
        atn_cp_table(cx, &(atn_cp_case){"causal", 4096, &s.sim, &s.cp, &cp}, 1, &t));
    CHECK_EQ(atn_table_rows(t), ATN_CP_SCHEMES);
    CHECK(!atn_table_has(t, 4, atn_table_find_col(t, "time_ms")));
    CHECK(atn_table_has(t, 4, atn_table_find_col(t, "note")));
    CHECK(atn_table_get_f64(t, 1, atn_table_find_col(t, "efficiency")) > 0);
    says_what_it_is_of(t, &cp);
    atn_table_destroy(cx, t);
    s.cp.scheme = 5;
    s.cp.ulysses = 5;
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE,
                "64 GPUs are no groups of 5");
    s.cp.ulysses = 65;
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE,
                "65 in a group of 64");
    s.cp.ulysses = 0;
    s.cp.gpus = 5000;
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE, "5000 GPUs");
    s.cp.gpus = 8;
    s.cp.latency_us = (double)NAN;
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE, "latency");
    s.cp.latency_us = 10;
    s.sim.shape.pass = ATN_PASS_DECODE;
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE,
                "decode pass has one");
    s.sim.shape.pass = ATN_PASS_FORWARD;
    CHECK_OK(atn_device_read(cx, "l40s", &s.device));
    atn_kernel_release(cx, &s.kernel);
    CHECK_OK(atn_kernel_read(cx, "fa2", &s.kernel));
    CHECK_FAILS(atn_cp_run(cx, &p, 1, &s.sim, &s.cp, &cp), ATN_USAGE, "has no NVLink");
    close_scene(cx, &s);
}

/* Every allocation of a run fails in turn. */
static void run_out_of_memory(atn_ctx *cx)
{
    const atn_pattern *p;
    scene s;

    open_scene(cx, &s, "causal", NULL, 256, "h100", "fa2");
    p = s.p;
    s.cp.gpus = 4;
    CHECK_OK(atn_cp_scheme_find(cx, "zigzag", &s.cp.scheme));
    for (long left = 0;; left++) {
        check_failing f = {left};
        atn_table *t = NULL;
        atn_status st;
        atn_ctx lean;
        atn_cp cp;

        atn_ctx_init(&lean);
        lean.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_cp_run(&lean, &p, 1, &s.sim, &s.cp, &cp);
        if (st == ATN_OK)
            st = atn_cp_table(&lean, &(atn_cp_case){"x", 256, &s.sim, &s.cp, &cp}, 1,
                              &t);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !t));
        atn_table_destroy(&lean, t);
        atn_ctx_release(&lean);
        if (st == ATN_OK) break;
    }
    close_scene(cx, &s);
}

/* ---- against measurements ---- */

/* README of zhuzilin/ring-flash-attention: 8 GPUs, causal, 8,192 tokens on each, 32
 * heads, 8 KV heads of 128; share of eight times the rate of one GPU on 8,192 tokens,
 * which is `rate` iterations a second. */
static const struct {
    const char *name, *gpu;
    double link, rate;
    double measured[2][3]; /* forward, both passes: ring, zigzag, stripe */
    double gather;
} measured[] = {
    /* H100, but for an NVLink of 400 GB/s */
    {"H800", "h100", 160, 591.5, {{52.1, 85.2, 74.4}, {53.9, 90.2, 82.9}}, 57.0},
    {"A100", "a100", 240, 373.4, {{51.4, 81.7, 69.6}, {52.5, 89.8, 82.6}}, 51.6},
};

/* The text of the guide. */
static char *guide(void)
{
    FILE *f = fopen(ATN_TEST_SOURCE "/docs/guide/context-parallelism.md", "rb");
    char *text = calloc(1, 1 << 16);

    CHECK(f && text);
    CHECK(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void check_line(const char *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void check_line(const char *text, const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (!strstr(text, line))
        fail_msg("docs/guide/context-parallelism.md lacks the line\n%s", line);
}

static double time_of(atn_ctx *cx, const scene *s, const atn_pattern *p)
{
    atn_sim_opts o = s->sim;
    double ms;
    atn_sim sim;

    o.bare = true;
    CHECK_OK(atn_simulate(cx, &p, 1, &o, &sim));
    ms = sim.time_ms;
    atn_sim_release(cx, &sim);
    return ms;
}

/* Per cent; + 0.0 for the sign of what rounds to nothing. */
static double off(double predicted, double found)
{
    return round(100 * (predicted / found - 1)) + 0.0;
}

static void rings_as_measured(atn_ctx *cx)
{
    char *text = guide();

    for (size_t i = 0; i < ATN_LEN(measured); i++) {
        atn_pattern *one = make(cx, "causal", NULL, 8192);
        double ms;
        scene s;

        open_scene(cx, &s, "causal", NULL, 65536, measured[i].gpu, "fa2");
        s.cp.link_gbs = measured[i].link;
        ms = time_of(cx, &s, one);
        check_line(text, "| %s | %.2f | %.2f |", measured[i].name,
                   1000 / measured[i].rate, ms);
        for (int k = 0; k < 6; k++) {
            const double found = measured[i].measured[k / 3][k % 3];
            const double ideal = 8 * ms * (k / 3 ? 3.5 : 1);
            double fused, chain;

            s.cp.backward = k / 3;
            s.cp.merge_bytes = 0;
            fused = 100 * ideal / run(cx, &s, atn_cp_schemes[k % 3].name).time_ms;
            s.cp.merge_bytes = 55;
            chain = 100 * ideal / run(cx, &s, atn_cp_schemes[k % 3].name).time_ms;
            check_line(text, "| %s | %s | %s | %.1f | %.1f | %.1f | %+.0f %% |",
                       measured[i].name, k / 3 ? "both" : "forward",
                       atn_cp_schemes[k % 3].name, found, fused, chain,
                       off(chain, found));
            CHECK_LE(fabs(off(chain, found)), 12);
        }
        atn_pattern_destroy(cx, one);
        close_scene(cx, &s);
    }
    free(text);
}

/* The four sets of texts of its benchmark, one after the other. Contiguous order. */
static void gather_as_measured(atn_ctx *cx)
{
    static const char *const sets[2][4] = {
        {"lengths=8192", "lengths=256x7392x544", "lengths=4096x4096",
         "lengths=3104x3200x1600x160x128"},
        {"lengths=65536", "lengths=2048x59136x4352", "lengths=32768x32768",
         "lengths=24832x25600x12800x1280x1024"}};
    char *text = guide();

    for (size_t i = 0; i < ATN_LEN(measured); i++) {
        double one = 0, all = 0, got;
        scene s;

        open_scene(cx, &s, "documents", sets[1][0], 65536, measured[i].gpu, "fa2");
        s.cp.link_gbs = measured[i].link;
        s.cp.order = ATN_CP_CONTIGUOUS;
        for (int k = 0; k < 4; k++) {
            atn_pattern *p = make(cx, "documents", sets[0][k], 8192);

            one += time_of(cx, &s, p) / 4;
            atn_pattern_destroy(cx, p);
        }
        for (int k = 0; k < 4; k++) {
            atn_pattern_destroy(cx, s.p);
            s.p = make(cx, "documents", sets[1][k], 65536);
            all += run(cx, &s, "all-gather").time_ms / 4;
        }
        got = 100 * 8 * one / all;
        check_line(
            text, "| %s | forward | all-gather, texts | %.1f | | %.1f | %+.0f %% |",
            measured[i].name, measured[i].gather, got, off(got, measured[i].gather));
        CHECK_LE(fabs(off(got, measured[i].gather)), 20);
        close_scene(cx, &s);
    }
    free(text);
}

static void names(atn_ctx *cx)
{
    int i;

    CHECK_OK(atn_cp_scheme_find(cx, "double-ring", &i));
    CHECK_EQ(atn_cp_schemes[i].kind, ATN_CP_DOUBLE_RING);
    CHECK_OK(atn_cp_scheme_find(cx, "zigzag", &i));
    CHECK(atn_cp_schemes[i].kind == ATN_CP_RING &&
          atn_cp_schemes[i].order == ATN_CP_ZIGZAG);
    CHECK_OK(atn_cp_scheme_find(cx, "all", &i));
    CHECK_EQ(i, ATN_CP_ALL);
    CHECK_FAILS(atn_cp_scheme_find(cx, "zigzig", &i), ATN_USAGE, "nearest: zigzag");
    CHECK_OK(atn_cp_order_find(cx, "stripe", &i));
    CHECK_EQ(i, ATN_CP_STRIPE);
    CHECK_FAILS(atn_cp_order_find(cx, "random", &i), ATN_USAGE, "contiguous");
}

static void refusals(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "causal", NULL, 16);
    const atn_layout l = {.nk = 16, .nq = 8, .first = 8, .heads = 1};
    atn_pattern *part = NULL;
    int64_t a[400];
    double share;

    CHECK_OK(atn_pattern_make(cx, "causal", NULL, &l, &part));
    CHECK_FAILS(atn_cp_pairs(cx, p, 0, ATN_CP_STRIPE, 17, a), ATN_USAGE,
                "17 GPUs for 16 tokens");
    CHECK_FAILS(atn_cp_pairs(cx, p, 0, ATN_CP_STRIPE, 0, a), ATN_USAGE, "0 GPUs");
    CHECK_FAILS(atn_cp_redundant(cx, part, 0, ATN_CP_ZIGZAG, 2, &share), ATN_USAGE,
                "8 queries from 8 on of 16 keys");
    atn_pattern_destroy(cx, part);
    atn_pattern_destroy(cx, p);
}

/* Every allocation fails in turn; nothing is lost. */
static void memory_fails(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "documents", "lengths=9x30x21", 60);
    const atn_cp_head head = {p, 0};
    const atn_cp_share a = atn_cp_share_of(ATN_CP_ZIGZAG, 60, 3, 1);
    const atn_cp_share b = atn_cp_share_of(ATN_CP_ZIGZAG, 60, 3, 0);

    for (long left = 0;; left++) {
        check_failing f = {left};
        atn_pattern *c = NULL;
        int64_t pairs[9];
        double share;
        atn_status st;
        atn_ctx lean;

        atn_ctx_init(&lean);
        lean.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_cp_pairs(&lean, p, 0, ATN_CP_STRIPE, 3, pairs);
        if (st == ATN_OK) st = atn_cp_redundant(&lean, p, 0, ATN_CP_STRIPE, 3, &share);
        if (st == ATN_OK) st = atn_cp_chunk(&lean, &head, 1, &a, &b, &c);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !c));
        atn_pattern_destroy(&lean, c);
        atn_ctx_release(&lean);
        if (st == ATN_OK) break;
    }
    atn_pattern_destroy(cx, p);
}

CHECK_MAIN({"pairs are counted", pairs_are_counted},
           {"chunks are cut out", chunks_are_cut_out}, {"causal chunks", causal_chunks},
           {"causal balance", causal_balance}, {"causal redundancy", causal_redundancy},
           {"volumes are messages", volumes_are_messages},
           {"double ring crosses nodes", double_ring_crosses_nodes},
           {"ring is hidden", ring_is_hidden}, {"ring by hand", ring_by_hand},
           {"collectives by hand", collectives_by_hand},
           {"times make sense", times_make_sense},
           {"choosing is shared", choosing_is_shared},
           {"heads may differ", heads_may_differ},
           {"rings as measured", rings_as_measured},
           {"gather as measured", gather_as_measured},
           {"what cannot be", what_cannot_be}, {"run out of memory", run_out_of_memory},
           {"names", names}, {"refusals", refusals}, {"memory fails", memory_fails})
