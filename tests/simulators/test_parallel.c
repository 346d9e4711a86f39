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

/* Contiguous: rank q receives P - 1 chunks and needs q of them: 1/2. Zigzag: of rank k's
 * later half-chunk 2P-1-k only ranks whose own later one comes after it have use, half
 * of the ordered pairs of ranks have not: 1/4. Stripe: ranks that are ahead lack the
 * last token only. Two-sided masks waste nothing. */
static void causal_redundancy(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "causal", NULL, 65536),
                *full = make(cx, "full", NULL, 512);
    double share;

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

/* Heads are dealt out: rank i of the group has heads [i h / g, ..) and the KV heads that
 * these read. Every other rank of the group sends it its rows of them. */
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
           {"ring is hidden", ring_is_hidden}, {"names", names}, {"refusals", refusals},
           {"memory fails", memory_fails})
