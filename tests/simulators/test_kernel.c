/* tests/simulators/test_kernel.c -- kernel files: the built-in ones, choosing, writing
 * and reading back, hostile files. */
#include "check.h"

#include "core/rng.h"
#include "simulators/files.h"
#include "simulators/kernel.h"

/* ---- built-in ---- */

/* Every kernel has a tile for every pass it has, every architecture and every kind of
 * mask that it takes at its least head dim. */
static void loads_all(atn_ctx *cx)
{
    int n = 0;

    for (const char *id; (id = atn_kernel_id(n)); n++) {
        atn_kernel k;

        if (n > 0) CHECK(strcmp(atn_kernel_id(n - 1), id) < 0);
        CHECK_OK(atn_kernel_read(cx, id, &k));
        CHECK_STR(k.id, id);
        CHECK(k.sources[ATN_TOPIC_TILES][0] && k.sources[ATN_TOPIC_MASK][0]);
        for (int a = 0; a < ATN_KERNEL_NAMES && k.architectures[a][0]; a++) {
            atn_kernel on;

            CHECK(atn_architecture_flop(k.architectures[a]) > 0);
            CHECK_OK(atn_kernel_read(cx, id, &on));
            atn_kernel_settle(&on, k.architectures[a]);
            for (int pass = 0; pass < ATN_PASSES; pass++)
                for (unsigned bit = 0; bit < 6; bit++)
                    if (k.passes & 1u << pass && k.takes & 1u << bit)
                        CHECK(atn_kernel_tile_of(&on, 64, (atn_pass)pass, 1u << bit, 1,
                                                 0));
            atn_kernel_release(cx, &on);
        }
        atn_kernel_release(cx, &k);
    }
    CHECK_EQ(n, 10);
}

typedef struct want {
    const char *kernel, *architecture;
    int head_dim, pass;
    unsigned takes;
    int rank, index;
    const char *q, *k; /* NULL = no such tile */
} want;

/* Tiles of card 1.4 and 2.1, and what was read in the kernels' own files. */
static void tiles(atn_ctx *cx)
{
    static const want rows[] = {
        {"fa3", "sm90", 64, 0, ATN_TAKES_CAUSAL, 1, 0, "192", "128"},
        {"fa3", "sm90", 32, 0, ATN_TAKES_FULL, 1, 0, "192", "192"},
        {"fa3", "sm90", 65, 0, ATN_TAKES_WINDOW, 1, 0, "192", "128"},
        {"fa3", "sm90", 96, 0, ATN_TAKES_CAUSAL, 1, 0, "192", "144"},
        {"fa3", "sm90", 128, 0, ATN_TAKES_WINDOW, 1, 0, "128", "128"},
        {"fa3", "sm90", 128, 0, ATN_TAKES_FULL, 1, 0, "128", "176"},
        {"fa3", "sm90", 128, 0, ATN_TAKES_FULL, 1, 1, NULL, NULL},
        {"fa3", "sm90", 128, 0, ATN_TAKES_FULL, 2, 0, NULL, NULL},
        {"fa3", "sm90", 192, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "96"},
        {"fa3", "sm90", 256, 2, ATN_TAKES_WINDOW, 1, 0, "128", "64"},
        {"fa3", "sm90", 257, 0, ATN_TAKES_WINDOW, 1, 0, NULL, NULL},
        {"fa3", "sm90", 128, 1, ATN_TAKES_CAUSAL, 1, 0, "64", "128"},
        {"fa3", "sm90", 128, 0, ATN_TAKES_GRID, 1, 0, NULL, NULL},
        {"fa3_sm80", "sm80", 128, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "64"},
        {"fa3_sm80", "sm89", 128, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "128"},
        {"fa3_sm80", "sm86", 128, 0, ATN_TAKES_WINDOW, 1, 0, "128", "96"},
        {"fa3_sm80", "sm80", 64, 0, ATN_TAKES_WINDOW, 1, 0, "128", "96"},
        {"fa2", "sm80", 128, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "64"},
        {"fa2", "sm86", 128, 0, ATN_TAKES_CAUSAL, 1, 0, "64", "64"},
        {"fa2", "sm86", 128, 0, ATN_TAKES_FULL, 1, 0, "128", "32"},
        {"fa2", "sm86", 128, 0, ATN_TAKES_FULL, 1, 1, NULL, NULL},
        {"fa2", "sm80", 256, 0, ATN_TAKES_FULL, 1, 0, "128", "64"},
        {"fa2", "sm90", 256, 0, ATN_TAKES_FULL, 1, 0, "64", "64"},
        {"fa2", "sm80", 128, 2, ATN_TAKES_FULL, 1, 0, "64", "128"},
        {"trtllm", "sm90", 64, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "128"},
        {"trtllm", "sm100", 64, 0, ATN_TAKES_CAUSAL, 1, 0, "256", "128"},
        {"trtllm", "sm100", 128, 2, ATN_TAKES_WINDOW, 1, 0, "256", "128"},
        {"trtllm", "sm100", 256, 0, ATN_TAKES_CAUSAL, 1, 0, "128", "128"},
        {"fna_hopper", "sm90", 128, 0, ATN_TAKES_GRID, 3, 0, "4x4x8", "4x4x8"},
        {"fna_hopper", "sm90", 128, 0, ATN_TAKES_GRID, 3, 1, "2x8x8", "2x8x8"},
        {"fna_hopper", "sm90", 128, 0, ATN_TAKES_GRID, 2, 0, "16x8", "16x8"},
        {"fna_hopper", "sm90", 32, 0, ATN_TAKES_GRID, 2, 1, "8x8", "8x16"},
        {"fna_hopper", "sm90", 256, 0, ATN_TAKES_GRID, 1, 0, "128", "64"},
        {"fna_hopper", "sm90", 128, 1, ATN_TAKES_GRID, 3, 3, "1x8x8", "2x8x8"},
        {"fna_blackwell", "sm100", 128, 0, ATN_TAKES_GRID, 3, 0, "8x4x8", "4x4x8"},
        {"fna_blackwell", "sm100", 128, 0, ATN_TAKES_GRID, 3, 6, "4x8x8", "2x8x8"},
        {"fna_blackwell", "sm100", 64, 0, ATN_TAKES_GRID, 2, 3, "8x32", "4x32"},
        {"fna_blackwell", "sm100", 128, 0, ATN_TAKES_CAUSAL, 1, 0, "256", "128"},
        {"fna_cutlass2", "sm80", 128, 0, ATN_TAKES_GRID, 3, 0, "4x4x4", "4x4x4"},
        {"fna_cutlass2", "sm80", 128, 0, ATN_TAKES_GRID, 2, 0, "8x8", "8x8"},
        {"fna_cutlass2", "sm80", 128, 0, ATN_TAKES_GRID, 1, 1, "32", "128"},
        {"flex", "sm80", 128, 0, ATN_TAKES_BLOCKS, 1, 0, "128", "128"},
        {"flex", "sm80", 128, 0, ATN_TAKES_WINDOW, 1, 1, "64", "64"},
        {"block_sparse", "sm90", 64, 0, ATN_TAKES_BLOCKS, 1, 0, "128", "128"},
    };

    for (size_t i = 0; i < ATN_LEN(rows); i++) {
        const want *w = &rows[i];
        const atn_kernel_tile *t;
        char q[64], key[64];
        atn_kernel k;

        CHECK_OK(atn_kernel_read(cx, w->kernel, &k));
        atn_kernel_settle(&k, w->architecture);
        atn_kernel_settle(&k, w->architecture);
        t = atn_kernel_tile_of(&k, w->head_dim, (atn_pass)w->pass, w->takes, w->rank,
                               w->index);
        if (!t != !w->q) fail_msg("row %zu: %s", i, t ? "a tile" : "no tile");
        if (t) {
            atn_list_text(&t->q, q, sizeof q);
            atn_list_text(&t->k, key, sizeof key);
            CHECK_STR(q, w->q);
            CHECK_STR(key, w->k);
        }
        atn_kernel_release(cx, &k);
    }
}

/* 32/128, 64/64, 64/128 in every factorisation: of 2^e C(e+1,1) boxes of rank 2 and
 * C(e+2,2) of rank 3: rank 2 6*8 + 7*7 + 7*8 = 153, rank 3 21*36 + 28*28 + 28*36 =
 * 2548; each once. */
static void factorised(atn_ctx *cx)
{
    static const int ranks[] = {3, 153, 2548};
    atn_kernel k;

    CHECK_OK(atn_kernel_read(cx, "fna_cutlass2", &k));
    for (int rank = 1; rank <= 3; rank++) {
        const atn_kernel_tile *t;
        bool best = false;
        int n = 0;

        for (; (t = atn_kernel_tile_of(&k, 128, ATN_PASS_FORWARD, ATN_TAKES_GRID, rank,
                                       n));
             n++) {
            int64_t q = 1, key = 1;

            for (int i = 0; i < rank; i++) {
                q *= t->q.at[i];
                key *= t->k.at[i];
            }
            CHECK((q == 64 && (key == 64 || key == 128)) || (q == 32 && key == 128));
            best |= rank == 3 && t->q.at[0] == 2 && t->q.at[1] == 8 &&
                    t->q.at[2] == 4 && t->k.at[0] == 2 && t->k.at[1] == 8 &&
                    t->k.at[2] == 8;
        }
        CHECK_EQ(n, ranks[rank - 1]);
        CHECK(rank < 3 || best);
    }
    atn_kernel_release(cx, &k);
}

/* ---- choosing ---- */

static void names(atn_ctx *cx)
{
    atn_kernel k;

    CHECK_OK(atn_kernel_read(cx, "FA3", &k));
    CHECK(atn_kernel_is_called(&k, "fa3"));
    CHECK(atn_kernel_is_called(&k, "vllm-0.24.0-fa3"));
    CHECK(atn_kernel_is_called(&k, "fa3-x"));
    CHECK(!atn_kernel_is_called(&k, "vllm-0.24.0-fa30"));
    CHECK(!atn_kernel_is_called(&k, "xfa3"));
    CHECK(!atn_kernel_is_called(&k, ""));
    CHECK(atn_kernel_runs_on(&k, "sm90") && !atn_kernel_runs_on(&k, "sm80"));
    atn_kernel_release(cx, &k);
    CHECK_OK(atn_kernel_read(cx, "trtllm", &k));
    CHECK(atn_kernel_is_called(&k, "trtllm-1.3.0rc20"));
    atn_kernel_release(cx, &k);
    CHECK_FAILS(atn_kernel_read(cx, "fa33", &k), ATN_USAGE, "nearest: fa3");
    CHECK_FAILS(atn_kernel_read(cx, "no/such.json", &k), ATN_NOINPUT, "no/such.json");
}

static void head_dims(atn_ctx *cx)
{
    atn_kernel k;
    int nearest;

    CHECK_OK(atn_kernel_read(cx, "block_sparse", &k));
    CHECK(atn_kernel_has_head_dim(&k, 80, ATN_PASS_FORWARD, &nearest));
    CHECK(!atn_kernel_has_head_dim(&k, 192, ATN_PASS_FORWARD, &nearest));
    CHECK_EQ(nearest, 128);
    CHECK(!atn_kernel_has_head_dim(&k, 0, ATN_PASS_FORWARD, &nearest));
    atn_kernel_release(cx, &k);
    CHECK_OK(atn_kernel_read(cx, "fna_hopper", &k));
    CHECK(atn_kernel_has_head_dim(&k, 256, ATN_PASS_FORWARD, &nearest));
    CHECK(!atn_kernel_has_head_dim(&k, 256, ATN_PASS_BACKWARD, &nearest));
    CHECK_EQ(nearest, 128);
    atn_kernel_release(cx, &k);
}

/* max + (1 - o) min of MMA and exponentials over their sum, times by card 2.1: head dim
 * 128: both 1; 64: MMA 1, exponentials 2. */
static void overlaps(atn_ctx *cx)
{
    atn_kernel k;

    CHECK_OK(atn_kernel_read(cx, "trtllm", &k));
    atn_kernel_settle(&k, "sm100");
    CHECK_NEAR((1 + 1 - atn_kernel_overlap(&k, 128, ATN_PASS_FORWARD)) / 2, .75, 1e-12);
    CHECK_NEAR((2 + 1 - atn_kernel_overlap(&k, 64, ATN_PASS_DECODE)) / 3, .90, 1e-12);
    CHECK_NEAR(atn_kernel_overlap(&k, 256, ATN_PASS_FORWARD), 0, 0);
    atn_kernel_release(cx, &k);
    CHECK_OK(atn_kernel_read(cx, "trtllm", &k));
    atn_kernel_settle(&k, "sm90");
    CHECK_NEAR(atn_kernel_overlap(&k, 128, ATN_PASS_FORWARD), 0, 0);
    atn_kernel_release(cx, &k);
}

/* ---- files of one's own ---- */

static const char form[] =
    "{\"schema\": \"attnscope/kernel/1\", \"id\": \"mine\", \"title\": \"Mine\","
    " \"source\": \"test\", \"architectures\": [\"sm90\", \"sm100\"],"
    " \"timings\": [\"my\"], \"takes\": [\"causal\", \"grid\"],"
    " \"passes\": [\"forward\", \"decode\"], \"policy\": \"all\","
    " \"window_rule\": true, \"order\": \"longest\", \"packs_gqa\": true,"
    " \"sections\": true, \"bare\": true, \"by_name\": true, \"permutes\": true, "
    "\"split\": \"fa3\","
    " \"ctas_per_sm\": 2, \"overlap\": 0.25, \"offload\": 0.1,"
    " \"mask_factor\": [1.4, 0, 1.7], \"like\": \"fa3\", \"like_low\": 0.9,"
    " \"like_high\": 1.2, \"reach\": {\"sm90\": 0.5}, \"sources\": {\"tiles\": "
    "\"here\", \"split\": \"there\"},"
    " \"tiles\": [{\"head_dim\": 128, \"takes\": [\"causal\", \"grid\"],"
    " \"q\": [16], \"k\": [8], \"factorised\": true},"
    " {\"architecture\": \"sm90\", \"head_dim\": 64, \"pass\": \"backward\","
    " \"takes\": [\"any\"], \"q\": [2, 8, 4], \"k\": [2, 8, 8], \"usual\": true,"
    " \"overlap\": 0.3}],"
    " \"fits\": [{\"model\": \"full\", \"gpu\": \"h200\", \"head_dim\": 128,"
    " \"pass\": \"forward\", \"coefficients\": {\"t0\": 8.41, \"tile\": 1.59,"
    " \"kv_64\": 0.83, \"kv_8192\": 19.0}, \"slow\": 0.15, \"theta_ms\": 8,"
    " \"low\": 0.96, \"high\": 1.04, \"rows\": 731, \"mape\": 0.019,"
    " \"source\": \"card\"},"
    " {\"model\": \"full\", \"gpu\": \"mygpu\", \"architecture\": \"sm90\","
    " \"head_dim\": 64, \"coefficients\": {\"cta\": 0.1}, \"power\": 4,"
    " \"source\": \"s\"},"
    " {\"model\": \"four\", \"gpu\": \"b200\", \"head_dim\": 100,"
    " \"pass\": \"decode\", \"coefficients\": {\"t0\": 5}, \"source\": \"s\"}]}";

static bool same_fit(const atn_time_fit *a, const atn_time_fit *b)
{
    return a->model == b->model && a->head_dim == b->head_dim && a->pass == b->pass &&
           strcmp(a->gpu, b->gpu) == 0 &&
           strcmp(a->architecture, b->architecture) == 0 &&
           memcmp(a->c, b->c, sizeof a->c) == 0 && a->slow == b->slow &&
           a->theta_ms == b->theta_ms && a->power == b->power && a->low == b->low &&
           a->high == b->high && a->rows == b->rows && a->mape == b->mape &&
           strcmp(a->source, b->source) == 0;
}

static bool same_tile(const atn_kernel_tile *a, const atn_kernel_tile *b)
{
    return strcmp(a->architecture, b->architecture) == 0 &&
           a->head_dim == b->head_dim && a->pass == b->pass && a->takes == b->takes &&
           a->usual == b->usual && a->made == b->made &&
           a->factorised == b->factorised && memcmp(&a->q, &b->q, sizeof a->q) == 0 &&
           memcmp(&a->k, &b->k, sizeof a->k) == 0 &&
           (a->overlap == b->overlap || (isnan(a->overlap) && isnan(b->overlap)));
}

static void check_same(const atn_kernel *a, const atn_kernel *b)
{
    CHECK_STR(a->id, b->id);
    CHECK_STR(a->title, b->title);
    CHECK_STR(a->source, b->source);
    CHECK(memcmp(a->architectures, b->architectures, sizeof a->architectures) == 0);
    CHECK(memcmp(a->timings, b->timings, sizeof a->timings) == 0);
    CHECK(memcmp(a->sources, b->sources, sizeof a->sources) == 0);
    CHECK(memcmp(a->reach, b->reach, sizeof a->reach) == 0);
    CHECK(memcmp(a->mask_factor, b->mask_factor, sizeof a->mask_factor) == 0);
    CHECK(a->takes == b->takes && a->passes == b->passes && a->policy == b->policy);
    CHECK(a->window_rule == b->window_rule && a->order == b->order);
    CHECK(a->packs_gqa == b->packs_gqa && a->sections == b->sections);
    CHECK(a->by_name == b->by_name && a->bare == b->bare);
    CHECK(a->permutes == b->permutes && a->split == b->split);
    CHECK(a->ctas_per_sm == b->ctas_per_sm && a->overlap == b->overlap);
    CHECK(a->offload == b->offload && a->like_low == b->like_low);
    CHECK(a->like_high == b->like_high);
    CHECK_STR(a->like, b->like);
    CHECK_EQ(a->tiles, b->tiles);
    for (int i = 0; i < a->tiles; i++) CHECK(same_tile(&a->tile[i], &b->tile[i]));
    CHECK_EQ(a->fits, b->fits);
    for (int i = 0; i < a->fits; i++) CHECK(same_fit(&a->fit[i], &b->fit[i]));
}

static void parses(atn_ctx *cx)
{
    atn_kernel k;

    CHECK_OK(atn_kernel_parse(cx, "mine", form, sizeof form - 1, &k));
    CHECK_EQ(k.tiles, 2 + 5 * 4 + 15 * 10); /* 16 and 8: 5 and 4, 15 and 10 boxes */
    CHECK(k.tile[0].factorised && !k.tile[0].made && k.tile[2].made);
    CHECK_EQ(k.takes, ATN_TAKES_CAUSAL | ATN_TAKES_GRID);
    CHECK_EQ(k.passes, 1u << ATN_PASS_FORWARD | 1u << ATN_PASS_DECODE);
    CHECK_EQ(k.policy, ATN_MASK_ALL);
    CHECK_EQ(k.order, ATN_ORDER_LONGEST);
    CHECK_EQ(k.split, ATN_SPLIT_FA3);
    CHECK_NEAR(k.mask_factor[2], 1.7, 0);
    CHECK_STR(k.sources[ATN_TOPIC_SPLIT], "there");
    CHECK_EQ(k.fits, 3);
    CHECK_NEAR(k.fit[0].c[ATN_TERM_KV + 5], 19, 0);
    CHECK_NEAR(k.fit[0].c[ATN_TERM_TILE], 1.59, 0);
    CHECK_STR(k.fit[0].architecture, "sm90"); /* of a built-in GPU */
    CHECK_STR(k.fit[2].architecture, "sm100");
    CHECK_NEAR(k.fit[1].power, 4, 0);
    CHECK_EQ(k.fit[1].pass, ATN_PASS_FORWARD);
    atn_kernel_release(cx, &k);
}

/* ---- another tile ---- */

/* A kernel before and after on one architecture. */
typedef struct both {
    atn_kernel before, after;
} both;

static void open_both(atn_ctx *cx, const char *id, const char *path,
                      const char *architecture, both *b)
{
    CHECK_OK(atn_kernel_read(cx, id, &b->before));
    CHECK_OK(atn_kernel_read(cx, path, &b->after));
    atn_kernel_settle(&b->before, architecture);
    atn_kernel_settle(&b->after, architecture);
}

static bool same_sizes(const atn_kernel_tile *a, const atn_kernel_tile *b)
{
    if (!a || !b) return a == b;
    return a->q.n == b->q.n &&
           memcmp(a->q.at, b->q.at, (size_t)a->q.n * sizeof a->q.at[0]) == 0 &&
           memcmp(a->k.at, b->k.at, (size_t)a->k.n * sizeof a->k.at[0]) == 0;
}

/* The mask shares the row of causal masks or of windows. */
static bool shares(const atn_kernel *k, int head_dim, atn_pass pass, unsigned takes)
{
    const atn_kernel_tile *of = atn_kernel_tile_of(k, head_dim, pass, takes, 1, 0);

    return of && (of == atn_kernel_tile_of(k, head_dim, pass, ATN_TAKES_CAUSAL, 1, 0) ||
                  of == atn_kernel_tile_of(k, head_dim, pass, ATN_TAKES_WINDOW, 1, 0));
}

/* Of architecture `on` and a pass everything is what it was but for D, if `mine` is the
 * tile there. */
static void compare(const both *b, atn_pass pass, int head_dim,
                    const atn_kernel_tile *mine)
{
    const int dims[] = {1,   32,  64,  65,           96,       128,
                        200, 256, 300, head_dim - 1, head_dim, head_dim + 1};

    for (size_t d = 0; d < ATN_LEN(dims); d++)
        for (unsigned takes = 1; takes <= ATN_TAKES_ANY; takes *= 2)
            for (int rank = 1; rank <= 3; rank++)
                for (int i = 0; i < 3; i++) {
                    const atn_kernel_tile *x = atn_kernel_tile_of(&b->before, dims[d],
                                                                  pass, takes, rank, i),
                                          *y = atn_kernel_tile_of(&b->after, dims[d],
                                                                  pass, takes, rank, i);
                    const bool changed = mine && dims[d] == head_dim && rank == 1 &&
                                         shares(&b->before, head_dim, pass, takes);

                    if (!changed)
                        CHECK(same_sizes(x, y));
                    else if (i == 0)
                        CHECK(same_sizes(y, mine));
                }
}

static bool has_pass(const atn_kernel *k, atn_pass pass)
{
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].pass == pass) return true;
    return false;
}

/* Puts a tile into a kernel, twice, writes it, and looks at all that it says. */
static void put_one(atn_ctx *cx, const char *id, const char *architecture,
                    atn_pass pass, int head_dim)
{
    atn_kernel_tile mine = {
        .head_dim = head_dim, .pass = pass, .q = {1, {48}}, .k = {1, {80}}};
    char path[700];
    atn_kernel k;
    both b;

    CHECK_OK(atn_kernel_read(cx, id, &k));
    if (!has_pass(&k, pass)) {
        CHECK_FAILS(atn_kernel_put_tile(cx, &k, architecture, &mine), ATN_USAGE,
                    "tiles of its own");
        atn_kernel_release(cx, &k);
        return;
    }
    CHECK_OK(atn_kernel_put_tile(cx, &k, architecture, &mine));
    mine.q.at[0] = 24;
    CHECK_OK(atn_kernel_put_tile(cx, &k, architecture, &mine));
    snprintf(path, sizeof path, "%s/put.json", check_scratch("kernel_put"));
    CHECK_OK(atn_kernel_save(cx, &k, path, true));
    for (int a = 0; a < ATN_KERNEL_NAMES && k.architectures[a][0]; a++) {
        const bool here = strcmp(k.architectures[a], architecture) == 0;

        open_both(cx, id, path, k.architectures[a], &b);
        for (int p = 0; p < ATN_PASSES; p++) {
            const bool follows = p == ATN_PASS_DECODE && pass == ATN_PASS_FORWARD &&
                                 !has_pass(&k, ATN_PASS_DECODE);

            compare(&b, (atn_pass)p, head_dim,
                    here && (p == (int)pass || follows) ? &mine : NULL);
        }
        atn_kernel_release(cx, &b.before);
        atn_kernel_release(cx, &b.after);
    }
    atn_kernel_release(cx, &k);
}

static void another_tile(atn_ctx *cx)
{
    static const char *const ids[] = {"fa2", "fa3", "attnscope", "flex",
                                      "fna_blackwell"};
    static const int dims[] = {64, 100, 128, 192, 256};
    atn_kernel_tile mine = {.head_dim = 512, .q = {1, {8}}, .k = {1, {8}}};
    atn_kernel k;

    for (size_t i = 0; i < ATN_LEN(ids); i++) {
        CHECK_OK(atn_kernel_read(cx, ids[i], &k));
        for (int a = 0; a < ATN_KERNEL_NAMES && k.architectures[a][0]; a++)
            for (int pass = 0; pass < ATN_PASSES; pass++)
                for (size_t d = 0; d < ATN_LEN(dims); d++)
                    if (atn_kernel_tile_of(&k, dims[d], (atn_pass)pass,
                                           ATN_TAKES_CAUSAL, 1, 0))
                        put_one(cx, ids[i], k.architectures[a], (atn_pass)pass,
                                dims[d]);
        atn_kernel_release(cx, &k);
    }
    CHECK_OK(atn_kernel_read(cx, "fa3", &k));
    CHECK_FAILS(atn_kernel_put_tile(cx, &k, "sm80", &mine), ATN_USAGE, "not run on");
    CHECK_FAILS(atn_kernel_put_tile(cx, &k, "sm90", &mine), ATN_USAGE,
                "no forward tiles of its own for head dim 512");
    atn_kernel_release(cx, &k);
}

/* What could not be read is not written: nothing is there afterwards. */
static void not_written(atn_ctx *cx)
{
    char path[700];
    atn_kernel k;

    snprintf(path, sizeof path, "%s/not.json", check_scratch("kernel_not"));
    CHECK_OK(atn_kernel_read(cx, "fa3", &k));
    strcpy(k.fit[0].source, "a\nb");
    CHECK_FAILS(atn_kernel_save(cx, &k, path, false), ATN_DATA, "control character");
    strcpy(k.fit[0].source, "a\xff");
    CHECK_FAILS(atn_kernel_save(cx, &k, path, false), ATN_DATA, "no UTF-8");
    strcpy(k.fit[0].source, "here");
    k.tile[0].q.at[0] = 1000000;
    CHECK_FAILS(atn_kernel_save(cx, &k, path, false), ATN_DATA, "1..65536");
    k.tile[0].q.at[0] = 128;
    CHECK_OK(atn_kernel_save(cx, &k, path, false));
    atn_kernel_release(cx, &k);
}

static void names_hold(atn_ctx *cx)
{
    (void)cx;
    CHECK(atn_kernel_name_holds("vllm-fa3-bf16", "fa3"));
    CHECK(atn_kernel_name_holds("vllm-fa3-bf16", "fa3-bf16"));
    CHECK(atn_kernel_name_holds("fa3", "fa3"));
    CHECK(!atn_kernel_name_holds("vllm-fa3x", "fa3"));
    CHECK(!atn_kernel_name_holds("xfa3-fa", "fa3"));
    CHECK(!atn_kernel_name_holds("a-", ""));
}

/* Ada is of Ampere's generation, whatever the numbers; sm75 is nearer to sm80 than to
 * sm90; of another maker nothing was measured. */
static void nearest_reach(atn_ctx *cx)
{
    static const struct {
        const char *architecture, *measured;
        double share;
    } cases[] = {{"sm80", "sm80", .87}, {"sm86", "sm80", .87}, {"sm89", "sm80", .87},
                 {"sm90", "sm90", .56}, {"sm75", "sm80", .87}, {"sm100", "sm90", .56},
                 {"gfx942", NULL, .75}};
    atn_kernel k;

    CHECK_OK(atn_kernel_read(cx, "fa2", &k));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_reach r = atn_kernel_reach(&k, cases[i].architecture);

        CHECK_NEAR(r.share, cases[i].share, 0);
        CHECK_EQ(r.measured == NULL, cases[i].measured == NULL);
        if (r.measured) CHECK_STR(r.measured, cases[i].measured);
        CHECK_EQ(r.here, r.measured && strcmp(r.measured, cases[i].architecture) == 0);
    }
    atn_kernel_release(cx, &k);
}

static void round_trip(atn_ctx *cx)
{
    const char *folder = check_scratch("kernel");
    char path[700];
    atn_kernel a, b;

    snprintf(path, sizeof path, "%s/mine.json", folder);
    CHECK_OK(atn_kernel_parse(cx, "mine", form, sizeof form - 1, &a));
    CHECK_OK(atn_kernel_save(cx, &a, path, false));
    CHECK_FAILS(atn_kernel_save(cx, &a, path, false), ATN_CANTCREATE, "--force");
    CHECK_OK(atn_kernel_read(cx, path, &b));
    check_same(&a, &b);
    CHECK(atn_kernel_reach(&b, "sm90").share == 0.5 &&
          atn_kernel_reach(&b, "sm90").here);
    CHECK(atn_kernel_reach(&b, "sm100").share == 0.5);
    CHECK(!atn_kernel_reach(&b, "sm100").here);
    CHECK_STR(atn_kernel_reach(&b, "sm100").measured, "sm90");
    atn_kernel_release(cx, &a);
    atn_kernel_release(cx, &b);
    for (int i = 0; atn_kernel_id(i); i++) {
        CHECK_OK(atn_kernel_read(cx, atn_kernel_id(i), &a));
        CHECK_OK(atn_kernel_save(cx, &a, path, true));
        CHECK_OK(atn_kernel_read(cx, path, &b));
        check_same(&a, &b);
        atn_kernel_release(cx, &a);
        atn_kernel_release(cx, &b);
    }
}

/* form with its first `from` replaced by `to`. */
static atn_status changed(atn_ctx *cx, const char *from, const char *to)
{
    const char *at = strstr(form, from);
    static char text[16384];
    atn_kernel k;
    atn_status st;

    CHECK(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - form), form, to,
             at + strlen(from));
    st = atn_kernel_parse(cx, "my.json", text, strlen(text), &k);
    atn_kernel_release(cx, &k);
    return st;
}

/* What a reader says of a file in which `to` stands for `from`. */
static const struct {
    const char *from, *to, *says;
} refusals[] = {
    {"\"policy\"", "\"polici\"", "\"polici\" is no key (nearest: policy"},
    {"\"policy\": \"all\",", "", "\"policy\" is missing"},
    {"\"all\"", "\"al\"", "\"policy\" is \"al\" (nearest: all; known: skip"},
    {"\"all\"", "7", "must be a string"},
    {"\"longest\"", "\"largest\"", "\"order\" is \"largest\" (nearest: longest"},
    {"[\"causal\", \"grid\"],", "[],", "\"takes\" must be a list"},
    {"[\"causal\", \"grid\"],", "[\"causal\", \"causal\"],", "\"causal\" twice"},
    {"[\"causal\", \"grid\"],", "[3],", "\"takes\" is \"?\""},
    {"[\"sm90\", \"sm100\"]", "[]", "a list of 1 to 8 names"},
    {"[\"sm90\", \"sm100\"]", "[\"sm100\"]", "which the kernel does not run on"},
    {"\"ctas_per_sm\": 2", "\"ctas_per_sm\": 0", "outside 1..32"},
    {"\"overlap\": 0.25", "\"overlap\": 1.5", "outside 0..1"},
    {"\"overlap\": 0.25", "\"overlap\": NaN", "no valid JSON"},
    {"[1.4, 0, 1.7]", "[1.4, 0.5, 1.7]", "\"mask_factor\", item 1"},
    {"[1.4, 0, 1.7]", "[1.4, 0]", "a list of 3 numbers"},
    {"{\"sm90\": 0.5}", "{\"sm90\": 3}", "\"reach\" of sm90"},
    {"{\"sm90\": 0.5}", "0.5", "\"reach\" must be an object"},
    {"\"like_low\": 0.9", "\"like_low\": 1.9", "above \"like_high\""},
    {"\"like\": \"fa3\"", "\"like\": \"mine\"", "the kernel itself"},
    {"\"head_dim\": 128", "\"head_dim\": 0", "tiles[0]: \"head_dim\" is 0"},
    {"\"head_dim\": 128,", "", "tiles[0]: \"head_dim\" is missing"},
    {"\"q\": [16]", "\"q\": []", "a list of 1 to 3 sizes"},
    {"\"q\": [16]", "\"q\": [1, 2, 3, 4]", "a list of 1 to 3 sizes"},
    {"\"q\": [16]", "\"q\": [0]", "no size of 1..65536"},
    {"\"q\": [16]", "\"q\": [16.5]", "no size of 1..65536"},
    {"\"q\": [16]", "\"q\": [9223372036854775807]", "no size of 1..65536"},
    {"\"q\": [16]", "\"q\": [92233720368547758070]", "no valid JSON"},
    {"\"q\": [16]", "\"q\": [16, 4]", "has 2 sizes and \"k\" has 1"},
    {"\"q\": [16]", "\"q\": [24]", "a power of two"},
    {"\"q\": [16], \"k\": [8]", "\"q\": [65536], \"k\": [65536]", "more than 8192"},
    {"\"q\": [2, 8, 4]", "\"q\": [4096, 4096, 4]", "more than 65536"},
    {"\"t0\": 8.41", "\"t0\": -1", "\"t0\" is -1, outside"},
    {"\"t0\": 8.41", "\"t00\": 1", "\"t00\" is no key (nearest: t0"},
    {"\"coefficients\": {\"t0\": 5}", "\"coefficients\": []", "must be an object"},
    {"{\"t0\": 5}", "{}", "fits[2]: \"coefficients\" has none above 0"},
    {"{\"t0\": 5}", "{\"t0\": 0}", "none above 0"},
    {"{\"t0\": 5}", "{\"t0\": 5, \"gqa\": 1}",
     "\"gqa\", which the model four of decode has not"},
    {"{\"t0\": 5}", "{\"t0\": 5, \"tile\": 1}", "\"tile\", which the model four"},
    {"{\"cta\": 0.1}", "{\"byte\": 0.1}",
     "fits[1]: \"coefficients\" has \"byte\", which the model full of forward"},
    {"\"mygpu\", \"architecture\": \"sm90\"", "\"mygpu\", \"architecture\": \"sm91\"",
     "\"architecture\" is \"sm91\", which is unknown"},
    {"\"mygpu\", \"architecture\": \"sm90\"", "\"b200\", \"architecture\": \"sm90\"",
     "and b200 is sm100"},
    {" {\"model\": \"full\", \"gpu\": \"mygpu\"",
     " {\"model\": \"full\", \"gpu\": \"h200\", \"head_dim\": 128,"
     " \"coefficients\": {\"t0\": 1}, \"source\": \"s\"},"
     " {\"model\": \"full\", \"gpu\": \"mygpu\"",
     "fits[1]: \"gpu\", \"head_dim\", \"pass\" and \"model\" are those of fits[0]"},
    {" {\"architecture\": \"sm90\",",
     " {\"head_dim\": 128, \"takes\": [\"grid\"], \"q\": [16], \"k\": [8]},"
     " {\"architecture\": \"sm90\",",
     "tiles[1]: \"q\" and \"k\" are those of tiles[0]"},
    {" {\"architecture\": \"sm90\",",
     " {\"head_dim\": 32, \"takes\": [\"any\"], \"q\": [64], \"k\": [64],"
     " \"usual\": true}, {\"head_dim\": 32, \"takes\": [\"any\", \"grid\"],"
     " \"q\": [32], \"k\": [64], \"usual\": true}, {\"architecture\": \"sm90\",",
     "tiles[2]: \"usual\" is true, as of tiles[1]"},
    {"\"like\": \"fa3\"", "\"like\": \"fa33\"",
     "\"like\" is \"fa33\", which is no kernel (nearest: fa3"},
    {"{\"sm90\": 0.5}", "{\"sm91\": 0.5}",
     "\"reach\" has \"sm91\", which is no architecture"},
    {"\"model\": \"four\"", "\"model\": \"machine\"", "(known: four, full)"},
    {"\"gpu\": \"mygpu\"", "\"gpu\": \"my gpu\"", "it must be of a-z"},
    {"\"low\": 0.96", "\"low\": 2", "above \"high\""},
    {"\"rows\": 731", "\"rows\": -1", "\"rows\" is -1"},
    {"\"source\": \"card\"", "\"x\": 1", "fits[0]: \"x\" is no key"},
    {"\"tiles\": \"here\"", "\"tils\": \"here\"", "\"tils\" is no key"},
};

static void refused(atn_ctx *cx)
{
    atn_kernel k;

    CHECK_OK(changed(cx, "\"mine\"", "\"mine2\""));
    for (size_t i = 0; i < ATN_LEN(refusals); i++)
        CHECK_FAILS(changed(cx, refusals[i].from, refusals[i].to), ATN_DATA,
                    refusals[i].says);
    CHECK_FAILS(atn_kernel_parse(cx, "x", "{", 1, &k), ATN_DATA, "no valid JSON");
    CHECK_FAILS(atn_kernel_parse(cx, "x", form, (size_t)2 << 20, &k), ATN_DATA,
                "more than the 1048576");
}

/* 0 and 65 tiles. */
static void tile_counts(atn_ctx *cx)
{
    static const char one[] =
        "{\"head_dim\": %d, \"takes\": [\"any\"], \"q\": [64], \"k\": [64]}";
    char text[16384];

    for (int n = 64; n <= 65; n++) {
        int used = snprintf(text, sizeof text, "\"tiles\": [");

        for (int i = 0; i < n; i++) {
            if (i) text[used++] = ',';
            used += snprintf(text + used, sizeof text - (size_t)used, one, i + 1);
        }
        snprintf(text + used, sizeof text - (size_t)used, "], \"fits\": [");
        {
            const char *tiles = strstr(form, "\"tiles\": [");
            const char *end = strstr(form, "\"fits\": [");
            char from[2048];

            snprintf(from, sizeof from, "%.*s\"fits\": [", (int)(end - tiles), tiles);
            if (n == 64)
                CHECK_OK(changed(cx, from, text));
            else
                CHECK_FAILS(changed(cx, from, text), ATN_DATA, "1 to 64 tiles, not 65");
            CHECK_FAILS(changed(cx, from, "\"tiles\": [], \"fits\": ["), ATN_DATA,
                        "not 0");
        }
    }
}

/* JSON has no infinity: said as that, not as missing memory. */
static void not_finite(atn_ctx *cx)
{
    char path[700];
    atn_kernel k;

    snprintf(path, sizeof path, "%s/inf.json", check_scratch("kernel_inf"));
    CHECK_OK(atn_kernel_parse(cx, "mine", form, sizeof form - 1, &k));
    k.fit[0].c[ATN_TERM_TILE] = (double)INFINITY;
    CHECK_FAILS(atn_kernel_save(cx, &k, path, true), ATN_DATA, "not finite");
    k.fit[0].c[ATN_TERM_TILE] = 1;
    k.fit[0].high = (double)NAN;
    CHECK_FAILS(atn_kernel_save(cx, &k, path, true), ATN_DATA, "not finite");
    atn_kernel_release(cx, &k);
}

static void fuzz(atn_ctx *cx)
{
    static const char bytes[] = "\"{}[]:,0123456789.-eE truefalsenull\\u\x01\xff";
    atn_rng r = atn_rng_stream(8, "fuzz", 0, 0);
    const size_t all = sizeof form - 1;
    char text[sizeof form];

    for (int i = 0; i < 6000; i++) {
        const size_t size = i % 2 ? all : (size_t)atn_rng_below(&r, (atn_idx)all);
        atn_kernel k;

        memcpy(text, form, sizeof form);
        for (int n = 0; n <= i % 4; n++)
            text[atn_rng_below(&r, (atn_idx)all)] =
                bytes[atn_rng_below(&r, sizeof bytes - 1)];
        if (atn_kernel_parse(cx, "fuzz", text, size, &k) != ATN_OK) atn_err_clear(cx);
        atn_kernel_release(cx, &k);
    }
}

/* The k-th allocation fails, for every k. */
static void no_memory(atn_ctx *cx)
{
    bool done = false;

    for (long left = 0; !done && left < 100; left++) {
        check_failing f = {left};
        atn_kernel k;
        atn_ctx mine;

        atn_ctx_init(&mine);
        mine.alloc = (atn_allocator){check_failing_resize, &f};
        done = atn_kernel_parse(&mine, "mine", form, sizeof form - 1, &k) == ATN_OK;
        CHECK(done || mine.err.code == ATN_MEMORY);
        atn_kernel_release(&mine, &k);
        atn_ctx_release(&mine);
    }
    CHECK(done);
    (void)cx;
}

CHECK_MAIN({"loads all", loads_all}, {"tiles", tiles}, {"factorised", factorised},
           {"names", names}, {"head dims", head_dims}, {"overlaps", overlaps},
           {"parses", parses}, {"another tile", another_tile},
           {"not written", not_written}, {"names hold", names_hold},
           {"nearest reach", nearest_reach}, {"round trip", round_trip},
           {"refused", refused}, {"tile counts", tile_counts},
           {"not finite", not_finite}, {"fuzz", fuzz}, {"no memory", no_memory})
