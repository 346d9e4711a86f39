/* tests/approx/test_pattern_twin.c -- every generator against its predicate.
 *
 * Each has a function here that draws parameters and one that says, for a head, a query
 * and a key, whether the definition lets it see; loops of their own, no shared code.
 * What the pattern yields as blocks, as keys and as counts is compared with it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern_dense.h"
#include "core/rng.h"

enum { TRIALS = 1000, NO = 0, YES = 1, MAYBE = 2 };

typedef struct trial {
    char params[320];
    atn_layout l;
    long n, block;
    bool causal, whole; /* of the pattern; whole: only square layouts */
    long x[8];          /* numbers of the generator */
    double share;       /* random blocks of a row: of those that it may see */
    long list[5][8];    /* lists of it */
    int len[5];
} trial;

static atn_rng rng;

static long below(long n)
{
    return (long)atn_rng_below(&rng, n);
}

/* lo .. hi, small ones more often */
static long some(long lo, long hi)
{
    return lo + below(below(hi - lo + 1) + 1);
}

static void say(trial *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(trial *t, const char *format, ...)
{
    const size_t used = strlen(t->params);
    va_list args;

    va_start(args, format);
    vsnprintf(t->params + used, sizeof t->params - used, format, args);
    va_end(args);
}

static void say_list(trial *t, const char *name, int k)
{
    say(t, "%s%s=", *t->params ? "," : "", name);
    for (int i = 0; i < t->len[k]; i++) say(t, "%s%ld", i ? "x" : "", t->list[k][i]);
}

static void draw_block(trial *t)
{
    t->block = below(2) ? 1 : some(1, 12);
    say(t, "%sblock=%ld", *t->params ? "," : "", t->block);
}

static long blocks(const trial *t)
{
    return (t->n + t->block - 1) / t->block;
}

/* ---- one draw and one predicate a generator; a, c are blocks, D = a - c ---- */

static void draw_plain(trial *t)
{
    draw_block(t);
}

static int sees_full(const trial *t, long h, long i, long j)
{
    (void)t, (void)h, (void)i, (void)j;
    return YES;
}

static void draw_causal(trial *t)
{
    draw_block(t);
    t->causal = true;
}

static void draw_window(trial *t)
{
    t->x[0] = some(1, 80);
    t->x[1] = below(2);
    t->causal = !t->x[1];
    say(t, "window=%ld,two_sided=%ld", t->x[0], t->x[1]);
    draw_block(t);
}

static int sees_window(const trial *t, long h, long i, long j)
{
    const long D = i / t->block - j / t->block;

    (void)h;
    return labs(D) < t->x[0];
}

static void draw_stream(trial *t)
{
    draw_block(t);
    t->x[0] = below(blocks(t) + 3);
    t->x[1] = some(1, 80);
    t->causal = true;
    say(t, ",sink=%ld,window=%ld", t->x[0], t->x[1]);
}

static int sees_stream(const trial *t, long h, long i, long j)
{
    (void)h;
    return j / t->block < t->x[0] || i / t->block - j / t->block < t->x[1];
}

static void draw_dilated(trial *t)
{
    t->x[0] = some(1, 40);
    t->x[1] = some(1, 20);
    t->x[2] = below(2);
    t->causal = !t->x[2];
    say(t, "window=%ld,dilation=%ld,two_sided=%ld", t->x[0], t->x[1], t->x[2]);
    draw_block(t);
}

static int sees_dilated(const trial *t, long h, long i, long j)
{
    const long D = labs(i / t->block - j / t->block);

    (void)h;
    return D % t->x[1] == 0 && D / t->x[1] < t->x[0];
}

static const char *const forms[] = {"merged", "heads", "layers"};

static void draw_form(trial *t, int at)
{
    t->x[at] = below(t->l.heads > 1 ? 3 : 2) * (t->l.heads > 1 ? 1 : 2);
    say(t, ",form=%s", forms[t->x[at]]);
}

/* 0 both halves, 1 the first, 2 the second */
static int which(const trial *t, int form, long h)
{
    if (form == 0) return 0;
    return 1 + (int)((form == 1 ? h : (long)t->l.layer) & 1);
}

static void draw_strided(trial *t)
{
    draw_block(t);
    t->x[0] = some(1, 40);
    t->x[1] = below(2) ? 0 : some(1, 40);
    t->x[2] = below(2) ? 0 : below(blocks(t) + 3);
    t->causal = true;
    say(t, ",stride=%ld,local=%ld,sink=%ld", t->x[0], t->x[1], t->x[2]);
    draw_form(t, 3);
}

static int sees_strided(const trial *t, long h, long i, long j)
{
    const long D = i / t->block - j / t->block;
    const int half = which(t, (int)t->x[3], h);
    const bool local = D < (t->x[1] ? t->x[1] : t->x[0]);

    return j / t->block < t->x[2] || (half != 2 && local) ||
           (half != 1 && D % t->x[0] == 0);
}

static void draw_fixed(trial *t)
{
    t->x[0] = some(1, 40);                /* stride */
    t->x[2] = some(1, t->x[0]);           /* sets */
    t->x[1] = some(1, t->x[0] / t->x[2]); /* summary */
    t->causal = true;
    say(t, "stride=%ld,summary=%ld,sets=%ld", t->x[0], t->x[1], t->x[2]);
    draw_form(t, 3);
    draw_block(t);
}

static int sees_fixed(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block, l = t->x[0];
    const int half = which(t, (int)t->x[3], h);
    const long set = (t->x[3] == 1 ? h / 2 : h) % t->x[2];
    const long end = l - set * t->x[1]; /* of the summary columns in a segment */
    const bool summary = c % l >= end - t->x[1] && c % l < end;

    return (half != 2 && a / l == c / l) || (half != 1 && summary);
}

static void draw_logsparse(trial *t)
{
    t->x[0] = some(1, 30);
    t->x[1] = below(2) ? 0 : some(1, 70);
    t->causal = true;
    say(t, "window=%ld,restart=%ld", t->x[0], t->x[1]);
    draw_block(t);
}

static bool is_power(long D)
{
    return D > 0 && (D & (D - 1)) == 0;
}

static int sees_logsparse(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block, R = t->x[1];

    (void)h;
    if (R && c < a / R * R) return NO;
    return a - c < t->x[0] || is_power(a - c);
}

static void draw_longnet(trial *t)
{
    t->len[0] = t->len[1] = 1 + (int)below(4);
    for (int k = 0; k < t->len[0]; k++) {
        t->list[0][k] = some(1, 70);
        t->list[1][k] = some(1, t->list[0][k]);
    }
    t->x[0] = below(2);
    t->causal = below(2);
    say_list(t, "segments", 0);
    say_list(t, "dilations", 1);
    say(t, ",phase=%s,causal=%s", t->x[0] ? "zero" : "head", t->causal ? "on" : "off");
    draw_block(t);
}

static int sees_longnet(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block;

    if (a == c) return YES;
    for (int k = 0; k < t->len[0]; k++) {
        const long W = t->list[0][k], r = t->list[1][k];
        const long s = t->x[0] ? 0 : h % r;

        if (a / W == c / W && a % W % r == s && c % W % r == s) return YES;
    }
    return NO;
}

static void draw_bigbird(trial *t)
{
    static const char *const names[] = {"encoder", "causal", "plain"};

    draw_block(t);
    t->x[3] = below(3);
    t->x[0] = t->x[3] == 2 ? some(1, 12) : 1 + 2 * some(0, 6);
    t->x[1] = some(0, ATN_MIN(blocks(t), 8));
    t->x[2] = some(0, 20);
    t->causal = t->x[3] != 0;
    say(t, ",window=%ld,global=%ld,random=%ld,form=%s", t->x[0], t->x[1], t->x[2],
        names[t->x[3]]);
}

static int sees_bigbird(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block, nb = blocks(t), g = t->x[1];

    (void)h;
    if (t->x[3] == 2) return a - c < t->x[0] || c < g ? YES : MAYBE;
    if (a < g || a >= nb - g || c < g || c >= nb - g) return YES;
    return labs(a - c) <= (t->x[0] - 1) / 2 ? YES : MAYBE;
}

static void draw_random_blocks(trial *t)
{
    draw_block(t);
    t->share = (double)below(101) / 100;
    t->causal = below(2);
    say(t, ",density=%.2f,causal=%d", t->share, t->causal);
}

static int sees_random_blocks(const trial *t, long h, long i, long j)
{
    (void)h;
    return t->causal && i / t->block == j / t->block ? YES : MAYBE;
}

static void draw_longformer(trial *t)
{
    draw_block(t);
    t->x[0] = some(0, 40);
    t->x[1] = some(1, 12);
    t->x[2] = below(2) ? 0 : below(blocks(t) + 3);
    t->len[0] = (int)below(5);
    for (int k = 0; k < t->len[0]; k++) t->list[0][k] = below(blocks(t));
    t->causal = below(2);
    say(t, ",window=%ld,dilation=%ld,first=%ld,causal=%d", t->x[0], t->x[1], t->x[2],
        t->causal);
    say_list(t, "global", 0);
}

static bool listed(const trial *t, int k, long x)
{
    for (int i = 0; i < t->len[k]; i++)
        if (t->list[k][i] == x) return true;
    return false;
}

static int sees_longformer(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block, D = labs(a - c);

    (void)h;
    if (a < t->x[2] || c < t->x[2] || listed(t, 0, a) || listed(t, 0, c)) return YES;
    return D <= t->x[0] * t->x[1] && D % t->x[1] == 0;
}

static void draw_power(trial *t)
{
    draw_block(t);
    t->x[0] = some(1, 80);
    t->x[1] = below(blocks(t) + 3);
    t->causal = true;
    say(t, ",window=%ld,sink=%ld", t->x[0], t->x[1]);
}

static int sees_power(const trial *t, long h, long i, long j)
{
    const long D = i / t->block - j / t->block;

    (void)h;
    return D < t->x[0] || (D & (D - 1)) == 0 || j / t->block < t->x[1];
}

static void draw_s2(trial *t)
{
    t->x[0] = some(0, 20);
    t->x[1] = some(1, 20);
    t->x[2] = below(2);
    t->x[3] = t->x[2] || below(2) ? 0 : some(1, 30);
    t->causal = true;
    say(t, "local=%ld,stride=%ld,homo=%ld,step=%ld", t->x[0], t->x[1], t->x[2],
        t->x[3]);
    draw_block(t);
}

static int sees_s2(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block, v = t->x[1];
    const long rule = v / t->l.heads > 1 ? v / t->l.heads : 1;
    const long step = t->x[2] ? 0 : t->x[3] ? t->x[3] : rule;

    return a - c < t->x[0] || (c + h * step + 1) % v == 0;
}

static void draw_block_diagonal(trial *t)
{
    draw_block(t);
    t->causal = below(2);
    say(t, ",causal=%d", t->causal);
}

static int sees_block_diagonal(const trial *t, long h, long i, long j)
{
    (void)h;
    return i / t->block == j / t->block;
}

/* Documents that fill n blocks, as list 0; one length, repeated, in a third of all. */
static void draw_lengths(trial *t, long n)
{
    t->len[0] = 1;
    t->list[0][0] = some(1, 80);
    if (n < 2 || below(3) == 0) return;
    t->len[0] = (int)(2 + below(ATN_MIN(n - 1, 6)));
    for (int k = 0; k < t->len[0]; k++) t->list[0][k] = 1;
    for (long rest = n - t->len[0]; rest > 0; rest--) t->list[0][below(t->len[0])]++;
}

/* Document of block a. */
static int document(const trial *t, long a)
{
    int d = 0;

    if (t->len[0] == 1) return (int)(a / t->list[0][0]);
    while (a >= t->list[0][d]) a -= t->list[0][d++];
    return d;
}

static void draw_documents(trial *t)
{
    static const char *const kinds[] = {"causal", "full", "block_causal",
                                        "last_sees_all", "shared_question"};

    draw_block(t);
    draw_lengths(t, blocks(t));
    t->x[0] = below(5);
    t->causal = t->x[0] != 1 && t->x[0] != 2;
    say_list(t, "lengths", 0);
    say(t, ",kind=%s", kinds[t->x[0]]);
}

static int sees_documents(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block;
    const int da = document(t, a), dc = document(t, c);

    (void)h;
    if (t->x[0] == 2 && c > a) return NO;
    if (t->x[0] == 3 && da == document(t, blocks(t) - 1)) return YES;
    if (t->x[0] == 4 && dc == 0) return YES;
    return da == dc;
}

static void draw_vertical_slash(trial *t)
{
    draw_block(t);
    t->len[0] = (int)below(6);
    t->len[1] = (int)below(6);
    for (int k = 0; k < 2; k++)
        for (int m = 0; m < t->len[k]; m++) t->list[k][m] = below(blocks(t));
    t->x[0] = below(6); /* beyond the text in short ones */
    t->x[1] = below(5);
    t->causal = true;
    say_list(t, "columns", 0);
    say_list(t, "diagonals", 1);
    say(t, ",sink=%ld,window=%ld", t->x[0], t->x[1]);
}

static int sees_vertical_slash(const trial *t, long h, long i, long j)
{
    const long a = i / t->block, c = j / t->block;

    (void)h;
    return c < t->x[0] || a - c < t->x[1] || listed(t, 0, c) || listed(t, 1, a - c);
}

static void draw_prefix_lm(trial *t)
{
    t->block = 1;
    t->x[0] = below(t->n + 5);
    say(t, "prefix=%ld", t->x[0]);
    if (below(2)) {
        draw_lengths(t, t->n);
        say_list(t, "lengths", 0);
    }
}

static int sees_prefix_lm(const trial *t, long h, long i, long j)
{
    long start = 0, end = t->n;

    (void)h;
    if (t->len[0] == 0) return j <= i || (i < t->x[0] && j < t->x[0]);
    if (document(t, i) != document(t, j)) return NO;
    if (t->len[0] == 1) {
        start = i / t->list[0][0] * t->list[0][0];
        end = ATN_MIN(start + t->list[0][0], t->n);
    } else {
        for (int d = 0; d < document(t, i); d++) start += t->list[0][d];
        end = start + t->list[0][document(t, i)];
    }
    if (j <= i) return YES;
    return t->x[0] < end - start && i - start < t->x[0] && j - start < t->x[0];
}

/* Lists 0..4: shape, window, stride, dilation, causal. */
static void draw_gna(trial *t)
{
    static const char *const names[] = {"shape", "window", "stride", "dilation",
                                        "causal"};
    const int rank = 1 + (int)below(3);
    const long most[] = {70, 8, 4};
    bool any = false;

    t->whole = true;
    t->block = 1;
    t->n = 1;
    for (int k = 0; k < 5; k++) t->len[k] = rank;
    for (int x = 0; x < rank; x++) {
        const long L = 1 + below(most[rank - 1]), w = 1 + below(L);

        t->list[0][x] = L;
        t->list[1][x] = w;
        t->list[2][x] = 1 + below(w);
        t->list[3][x] = 1 + below(L / w);
        t->list[4][x] = below(3) == 0;
        any |= t->list[4][x] != 0;
        t->n *= L;
    }
    t->causal = rank == 1 && any;
    for (int k = 0; k < 5; k++) {
        bool same = true;

        for (int x = 1; x < rank; x++) same &= t->list[k][x] == t->list[k][0];
        if (k == 0 && rank == 1 && below(2)) continue; /* the one axis of all tokens */
        if (k > 0 && same) t->len[k] = 1;              /* one for all */
        say_list(t, names[k], k);
        t->len[k] = rank;
    }
}

/* As NATTEN's reference mask has it, on the group of the coordinate. */
static bool along(const trial *t, int x, long i, long j)
{
    const long L = t->list[0][x], w = t->list[1][x], s = t->list[2][x];
    const long d = t->list[3][x], left = w / 2, right = w - 1 - w / 2;
    long members = 0, leader, start;

    if (i % d != j % d) return false;
    for (long y = i % d; y < L; y += d) members++;
    i /= d;
    j /= d;
    if (t->list[4][x]) {
        leader = ATN_MIN(i / s * s + s - 1, members - 1);
        start = leader - (w - 1) > 0 ? leader - (w - 1) : 0;
        return j >= start && j <= i;
    }
    leader = ATN_MIN(i / s * s + s / 2, members - 1);
    start = leader - left > 0 ? leader - left : 0;
    if (leader + right >= members) start += members - right - leader - 1;
    return j >= start && j < start + w;
}

static int sees_gna(const trial *t, long h, long i, long j)
{
    (void)h;
    for (int x = t->len[0] - 1; x >= 0; x--) {
        const long L = t->list[0][x];

        if (!along(t, x, i % L, j % L)) return NO;
        i /= L;
        j /= L;
    }
    return YES;
}

static const struct {
    const char *id;
    void (*draw)(trial *t);
    int (*sees)(const trial *t, long h, long i, long j);
} twins[] = {
    {"bigbird", draw_bigbird, sees_bigbird},
    {"block_diagonal", draw_block_diagonal, sees_block_diagonal},
    {"causal", draw_causal, sees_full},
    {"dilated", draw_dilated, sees_dilated},
    {"documents", draw_documents, sees_documents},
    {"fixed", draw_fixed, sees_fixed},
    {"full", draw_plain, sees_full},
    {"gna", draw_gna, sees_gna},
    {"logsparse", draw_logsparse, sees_logsparse},
    {"longformer", draw_longformer, sees_longformer},
    {"longnet", draw_longnet, sees_longnet},
    {"power", draw_power, sees_power},
    {"prefix_lm", draw_prefix_lm, sees_prefix_lm},
    {"random_blocks", draw_random_blocks, sees_random_blocks},
    {"s2", draw_s2, sees_s2},
    {"stream", draw_stream, sees_stream},
    {"strided", draw_strided, sees_strided},
    {"vertical_slash", draw_vertical_slash, sees_vertical_slash},
    {"window", draw_window, sees_window},
};

/* ---- comparing ---- */

static trial begin(int w, int nth)
{
    trial t = {.block = 1, .share = -1};

    t.n = nth < 8 ? nth + 1 : 1 + below(70);
    t.l = atn_layout_square(0, 1 + below(4), (uint64_t)nth);
    t.l.layer = below(3);
    twins[w].draw(&t);
    t.l.nk = t.l.nq = t.n;
    if (!t.whole && below(4) == 0) { /* a chunk of the queries */
        t.l.first = below(t.n);
        t.l.nq = 1 + below(t.n - t.l.first);
    }
    return t;
}

/* Random keys of a row: of the candidates, as many as asked for or all. */
static void check_random(const trial *t, const uint8_t *row, const uint8_t *maybe,
                         long i)
{
    const long may = t->causal ? i / t->block + 1 : blocks(t);
    long candidates = 0, drawn = 0, wanted = t->x[2];

    if (t->share >= 0) { /* the own block of a causal row counts */
        wanted = (long)(t->share * (double)may + 0.5);
        wanted = (wanted < 1 ? 1 : wanted) - t->causal;
    }
    for (long c = 0; c * t->block < t->n; c++) {
        const long j = c * t->block;

        if (maybe[j] != MAYBE || (t->causal && c > i / t->block)) continue;
        candidates++;
        drawn += row[j];
    }
    CHECK_EQ(drawn, ATN_MIN(candidates, wanted));
}

/* Row of the query at i; returns its keys. */
static long check_row(const trial *t, int w, long h, long i, const uint8_t *row)
{
    uint8_t wanted[600];
    bool random = false;
    long keys = 0;

    for (long j = 0; j < t->n; j++) {
        wanted[j] = t->causal && j > i ? NO : (uint8_t)twins[w].sees(t, h, i, j);
        random |= wanted[j] == MAYBE;
        keys += row[j];
        if (wanted[j] != MAYBE && wanted[j] != row[j])
            fail_msg("%s:%s, n %ld, block %ld, head %ld of %ld, layer %ld: query %ld "
                     "%s key %ld",
                     twins[w].id, t->params, t->n, t->block, h, (long)t->l.heads,
                     (long)t->l.layer, i, row[j] ? "sees" : "does not see", j);
    }
    if (random) check_random(t, row, wanted, i);
    return keys;
}

/* Blocks of the pattern are those with a pair that is seen. */
static long check_blocks(const atn_pattern *p, const uint8_t *tokens, atn_idx head)
{
    const long rows = (long)(p->row1 - p->row0), cols = (long)p->cols;
    const long b = (long)p->frame.block, nk = (long)p->frame.nk;
    uint8_t *blocked = dense_blocks(p, head), *seen = calloc((size_t)(rows * cols), 1);
    long count = 0;

    for (long r = 0; r < p->frame.nq; r++)
        for (long j = 0; j < nk; j++)
            if (tokens[r * nk + j])
                seen[((p->frame.first + r) / b - p->row0) * cols + j / b] = 1;
    for (long k = 0; k < rows * cols; k++) {
        CHECK_EQ(blocked[k], seen[k]);
        count += seen[k];
    }
    free(blocked);
    free(seen);
    return count;
}

static void check_counts(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                         const long *keys, long blocks_seen)
{
    const long nq = (long)p->frame.nq, nk = (long)p->frame.nk;
    long pairs = 0, most = 0, least = nk, empty = 0, visible_pairs = 0;
    atn_pattern_counts c;
    int64_t closed = 0;
    double mean = 0;

    for (long r = 0; r < nq; r++) {
        const long visible =
            p->frame.causal ? ATN_MIN((long)p->frame.first + r + 1, nk) : nk;

        pairs += keys[r];
        most = ATN_MAX(most, keys[r]);
        least = ATN_MIN(least, keys[r]);
        empty += keys[r] == 0;
        visible_pairs += visible;
        mean += (double)keys[r] / (double)visible / (double)nq;
    }
    CHECK_OK(atn_pattern_pairs(cx, p, head, &closed));
    CHECK_EQ(closed, pairs);
    CHECK_OK(atn_pattern_count(cx, p, head, &c));
    CHECK_EQ(c.pairs, pairs);
    CHECK_EQ(c.blocks, blocks_seen);
    CHECK_EQ(c.row_most, most);
    CHECK_EQ(c.row_least, least);
    CHECK_EQ(c.empty_rows, empty);
    CHECK_NEAR(c.full, (double)pairs / (double)(nq * nk), 1e-12);
    CHECK_NEAR(c.kv, (double)most / (double)nk, 1e-12);
    CHECK_NEAR(c.mean, mean, 1e-12);
    CHECK(p->frame.causal != isnan(c.causal));
    if (p->frame.causal)
        CHECK_NEAR(c.causal, (double)pairs / (double)visible_pairs, 1e-12);
}

static void one_trial(atn_ctx *cx, int w, int nth)
{
    const trial t = begin(w, nth);
    atn_pattern *p = dense_make(cx, twins[w].id, t.params, &t.l);
    long keys[600];

    CHECK(t.n <= 600);
    CHECK(p->heads == 1 || p->heads == t.l.heads);
    CHECK(p->frame.causal || !t.causal); /* a prefix of none is causal */
    CHECK_EQ(p->frame.block, t.block);
    CHECK_EQ(p->frame.nk, t.l.nk);
    CHECK_EQ(p->frame.nq, t.l.nq);
    CHECK_EQ(p->frame.first, t.l.first);
    for (long h = 0; h < t.l.heads; h++) {
        const atn_idx head = p->heads == 1 ? 0 : h;
        uint8_t *m = dense_tokens(p, head);

        for (long r = 0; r < t.l.nq; r++)
            keys[r] = check_row(&t, w, h, (long)t.l.first + r, m + r * t.n);
        check_counts(cx, p, head, keys, check_blocks(p, m, head));
        free(m);
    }
    atn_pattern_destroy(cx, p);
}

static void all_generators(atn_ctx *cx)
{
    rng = atn_rng_stream(5, "tests/patterns", 0, 0);
    for (int w = 0; w < (int)ATN_LEN(twins); w++)
        for (int nth = 0; nth < TRIALS; nth++) one_trial(cx, w, nth);
    CHECK(TRIALS * ATN_LEN(twins) >= 5000);
}

/* Nobody is left out. */
static void every_one_has_a_twin(atn_ctx *cx)
{
    size_t n = 0;

    (void)cx;
    for (; atn_generators[n]; n++)
        CHECK_STR(n < ATN_LEN(twins) ? twins[n].id : "", atn_generators[n]->id);
    CHECK_EQ(n, ATN_LEN(twins));
}

/* A chunk of the queries has the rows that the whole has: random ones, too. */
static void chunks_have_the_rows_of_the_whole(atn_ctx *cx)
{
    rng = atn_rng_stream(6, "tests/patterns", 0, 0);
    for (int nth = 0; nth < 50; nth++) {
        trial t = begin(0, 8 + nth);
        atn_pattern *part = dense_make(cx, "bigbird", t.params, &t.l), *whole;

        const atn_layout l = t.l;
        t.l.first = 0;
        t.l.nq = t.n;
        whole = dense_make(cx, "bigbird", t.params, &t.l);
        for (atn_idx h = 0; h < part->heads; h++) {
            uint8_t *a = dense_tokens(part, h), *b = dense_tokens(whole, h);

            CHECK(memcmp(a, b + l.first * t.n, (size_t)(l.nq * t.n)) == 0);
            free(a);
            free(b);
        }
        atn_pattern_destroy(cx, part);
        atn_pattern_destroy(cx, whole);
    }
}

CHECK_MAIN({"every one has a twin", every_one_has_a_twin},
           {"all generators", all_generators},
           {"chunks have the rows of the whole", chunks_have_the_rows_of_the_whole})
