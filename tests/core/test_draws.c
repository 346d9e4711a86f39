/* tests/core/test_draws.c -- draws depend on their names alone, come back from a file
 * as they were written, and a file that does not fit is refused. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/draws.h"
#include "core/io/file.h"
#include "core/rng.h"

static const char *path_of(const char *scratch)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch(scratch));
    return path;
}

static atn_draw draw(const char *what, atn_idx head, atn_idx rows, atn_idx cols)
{
    return (atn_draw){what, "test/draws", 2, head, rows, cols};
}

/* The numbers are those of the stream, in order, kept or not. */
static void streams(atn_ctx *cx)
{
    const atn_draw w = draw("projections", 1, 3, 4);
    atn_rng r = atn_rng_stream(7, "test/draws", 2, 1);
    atn_draws *d = NULL;
    float alone[12], kept[12];

    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK_OK(atn_draw_normal(cx, NULL, 7, &w, alone));
    CHECK_OK(atn_draw_normal(cx, d, 7, &w, kept));
    for (int i = 0; i < 12; i++) {
        CHECK(alone[i] == (float)atn_rng_normal(&r));
        CHECK(kept[i] == alone[i]);
    }
    CHECK_OK(atn_draw_normal(cx, NULL, 8, &w, kept));
    CHECK(kept[0] != alone[0]);
    atn_draws_close(cx, d);
}

/* Lent from memory as from a file: taken, checked, and what is not there is missed. */
static void lent(atn_ctx *cx)
{
    static const float x[] = {3, -1, 2, 8};
    static const int32_t n[] = {4, 0};
    const atn_st_out two[] = {{"centroids.layer-002.head-000", ATN_F32, 2, {2, 2}, x},
                              {"slots.layer-002", ATN_I32, 1, {2}, n}};
    const atn_draw w = draw("centroids", 0, 2, 2), other = draw("centroids", 0, 4, 0),
                   s = draw("slots", -1, 2, 0), none = draw("planes", 0, 2, 2);
    atn_draws *d = NULL;
    int32_t counts[2] = {9, 9};
    float out[4] = {0};

    CHECK_OK(atn_draws_lend(cx, two, 2, &d));
    CHECK(atn_draws_have(d, &w) && !atn_draws_have(d, &none));
    CHECK_OK(atn_draw_normal(cx, d, 3, &w, out));
    CHECK_OK(atn_draw_given_counts(cx, d, &s, 5, counts));
    for (int e = 0; e < 4; e++) CHECK(out[e] == x[e]);
    CHECK_EQ(counts[0], 4);
    CHECK_EQ(counts[1], 0);
    CHECK_FAILS(atn_draw_normal(cx, d, 3, &none, out), ATN_DATA, "no tensor");
    CHECK_FAILS(atn_draw_given(cx, d, &other, out), ATN_DATA, "shape [2, 2]");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &s, 4, counts), ATN_DATA, "is 4");
    atn_draws_close(cx, d);
}

/* Saved in one run, taken in the next under another seed; names as documented. */
static void round_trip(atn_ctx *cx)
{
    const char *path = path_of("draws-round");
    const atn_draw p = draw("projections", 11, 5, 3), c = draw("columns", -1, 20, 0),
                   m = draw("centroids", 0, 2, 2), l = draw("labels", 1000, 4, 0);
    float drawn[15], again[15], means[4] = {4, 3, 2, 1}, taken[4] = {0};
    int32_t columns[20], back[20] = {0}, labels[4] = {2, 0, 1, 2}, others[4] = {0};
    atn_draws *d = NULL, *e = NULL;
    atn_st *f = NULL;

    for (int i = 0; i < 20; i++) columns[i] = 7 * i % 6;
    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK(!atn_draws_have(d, &p) && !atn_draws_have(NULL, &p));
    CHECK_OK(atn_draws_save(cx, d, path, false)); /* nothing yet: no file */
    CHECK(!atn_file_exists(path));
    CHECK_OK(atn_draw_normal(cx, d, 1, &p, drawn));
    CHECK_OK(atn_draw_normal(cx, d, 1, &p, drawn)); /* twice: kept once */
    CHECK_OK(atn_draw_given_counts(cx, d, &c, 6, columns));
    CHECK_OK(atn_draw_given(cx, d, &m, means));
    CHECK_OK(atn_draw_given_counts(cx, d, &l, 3, labels));
    CHECK_OK(atn_draws_save(cx, d, path, false));
    CHECK_FAILS(atn_draws_save(cx, d, path, false), ATN_CANTCREATE, "--force");
    CHECK_OK(atn_draws_save(cx, d, path, true));
    CHECK_EQ(means[0], 4);

    CHECK_OK(atn_st_open(cx, path, &f));
    CHECK_EQ(atn_st_count(f), 4);
    CHECK_STR(atn_st_find(f, "columns.layer-002")->dtype, "I32");
    CHECK_EQ(atn_st_find(f, "columns.layer-002")->rank, 1);
    CHECK_STR(atn_st_find(f, "projections.layer-002.head-011")->dtype, "F32");
    CHECK_EQ(atn_st_find(f, "projections.layer-002.head-011")->shape[1], 3);
    CHECK(atn_st_find(f, "labels.layer-002.head-1000") != NULL);
    CHECK(atn_st_find(f, "centroids.layer-002.head-000") != NULL);
    atn_st_close(cx, f);

    CHECK_OK(atn_draws_open(cx, path, &e));
    CHECK(atn_draws_have(e, &p) && atn_draws_have(e, &m));
    CHECK_OK(atn_draw_normal(cx, e, 99, &p, again));
    CHECK_OK(atn_draw_given_counts(cx, e, &c, 6, back));
    CHECK_OK(atn_draw_given(cx, e, &m, taken));
    CHECK_OK(atn_draw_given_counts(cx, e, &l, 3, others));
    CHECK(memcmp(drawn, again, sizeof drawn) == 0);
    CHECK(memcmp(columns, back, sizeof columns) == 0);
    CHECK(memcmp(means, taken, sizeof means) == 0);
    CHECK(memcmp(labels, others, sizeof labels) == 0);
    /* What was taken is written too; what was forgotten is not. */
    CHECK_OK(atn_draws_save(cx, e, path_of("draws-taken"), false));
    CHECK(atn_file_exists(path));
    atn_draws_forget(cx, e);
    CHECK_OK(atn_draws_save(cx, e, path_of("draws-taken"), false));
    CHECK(!atn_file_exists(path));
    CHECK_OK(atn_draw_normal(cx, e, 99, &p, again));
    CHECK(memcmp(drawn, again, sizeof drawn) == 0);
    atn_draws_close(cx, e);
    atn_draws_close(cx, d);
}

/* Other types that hold the same numbers. */
static void other_types(atn_ctx *cx)
{
    static const double wide[2] = {0.5, -3};
    static const int64_t longs[2] = {4, 0};
    static const unsigned char bytes[2] = {1, 3};
    static const uint16_t halves[2] = {0x3c00, 0xc000}; /* 1, -2 */
    const atn_st_out tensors[] = {
        {"a.layer-002", ATN_F64, 1, {2}, wide},
        {"b.layer-002", ATN_I64, 1, {2}, longs},
        {"c.layer-002", ATN_U8, 1, {2}, bytes},
        {"d.layer-002", ATN_F16, 2, {1, 2}, halves},
    };
    const char *path = path_of("draws-types");
    const atn_draw a = draw("a", -1, 2, 0), b = draw("b", -1, 2, 0),
                   c = draw("c", -1, 2, 0), e = draw("d", -1, 1, 2);
    atn_draws *d = NULL;
    float x[2];
    int32_t n[2];

    CHECK_OK(atn_st_save(cx, path, tensors, 4, NULL, false, NULL));
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK_OK(atn_draw_normal(cx, d, 0, &a, x));
    CHECK(x[0] == 0.5f && x[1] == -3);
    CHECK_OK(atn_draw_given(cx, d, &e, x));
    CHECK(x[0] == 1 && x[1] == -2);
    CHECK_OK(atn_draw_given_counts(cx, d, &b, 5, n));
    CHECK(n[0] == 4 && n[1] == 0);
    CHECK_OK(atn_draw_given_counts(cx, d, &c, 4, n));
    CHECK(n[0] == 1 && n[1] == 3);
    atn_draws_close(cx, d);
}

static void refused(atn_ctx *cx)
{
    static const float numbers[6] = {1, 2, NAN, 4, INFINITY, 6};
    static const double huge[2] = {1, 1e60};
    static const int32_t counts[3] = {0, 5, -1};
    static const int64_t longs[1] = {(int64_t)1 << 32};
    const atn_st_out tensors[] = {
        {"n.layer-002", ATN_F32, 2, {2, 3}, numbers},
        {"c.layer-002", ATN_I32, 1, {3}, counts},
        {"h.layer-002", ATN_F64, 1, {2}, huge},
        {"l.layer-002", ATN_I64, 1, {1}, longs},
    };
    const char *path = path_of("draws-refused");
    const atn_draw right = draw("n", -1, 2, 3), turned = draw("n", -1, 3, 2),
                   flat = draw("n", -1, 6, 0), c = draw("c", -1, 3, 0),
                   tall = draw("c", -1, 3, 1), h = draw("h", -1, 2, 0),
                   l = draw("l", -1, 1, 0), most = draw("z", 0, INT64_MAX, 2);
    atn_draws *d = NULL;
    float x[6];
    int32_t n[6];

    CHECK_FAILS(atn_draws_open(cx, "/nonexistent/draws", &d), ATN_NOINPUT,
                "cannot be opened");
    CHECK(d == NULL);
    CHECK_OK(atn_st_save(cx, path, tensors, 4, NULL, false, NULL));
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK_FAILS(atn_draw_normal(cx, d, 0, &right, x), ATN_DATA, "number 2 is nan");
    CHECK_FAILS(atn_draw_given(cx, d, &h, x), ATN_DATA, "number 1 is inf");
    CHECK_FAILS(atn_draw_normal(cx, d, 0, &turned, x), ATN_DATA,
                "\"n.layer-002\": shape [2, 3], needed is [3, 2]");
    CHECK_FAILS(atn_draw_given(cx, d, &flat, x), ATN_DATA, "needed is [6]");
    CHECK_FAILS(atn_draw_normal(cx, d, 0, &c, x), ATN_DATA, "type I32");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &h, 9, n), ATN_DATA, "type F64");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &c, 5, n), ATN_DATA,
                "number 1 is 5, all must be in 0..4");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &c, 6, n), ATN_DATA, "number 2 is -1");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &tall, 6, n), ATN_DATA, "[3, 1]");
    CHECK_FAILS(atn_draw_given_counts(cx, d, &l, 9, n), ATN_DATA, "4294967296");
    CHECK_FAILS(atn_draw_normal(cx, NULL, 0, &most, x), ATN_MEMORY, "too many");
    atn_draws_forget(cx, d);
    CHECK_OK(atn_draws_save(cx, d, path_of("draws-none"), false));
    atn_draws_close(cx, d);
    atn_draws_close(cx, NULL);
}

/* A file of [2, 3] and 3 counts: read at these shapes, absent at others once it is
 * loose; types and values stay checked. */
static void loose(atn_ctx *cx)
{
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    static const int32_t counts[3] = {0, 5, 1};
    const atn_st_out tensors[] = {{"n.layer-002", ATN_F32, 2, {2, 3}, numbers},
                                  {"c.layer-002", ATN_I32, 1, {3}, counts}};
    const char *path = path_of("draws-loose");
    const atn_draw right = draw("n", -1, 2, 3), wide = draw("n", -1, 2, 4),
                   other = draw("m", -1, 2, 3), flat = draw("n", -1, 6, 0),
                   c = draw("c", -1, 3, 0), tall = draw("c", -1, 3, 1);
    float drawn[8], x[8], given[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    int32_t n[3] = {4, 4, 4};
    atn_draws *d = NULL;

    CHECK_OK(atn_st_save(cx, path, tensors, 2, NULL, false, NULL));
    CHECK_OK(atn_draw_normal(cx, NULL, 3, &wide, drawn));
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK(atn_draws_have(d, &wide)); /* though it will be refused */
    CHECK_FAILS(atn_draw_normal(cx, d, 3, &wide, x), ATN_DATA, "needed is [2, 4]");
    CHECK_FAILS(atn_draw_normal(cx, d, 3, &other, x), ATN_DATA,
                "no tensor \"m.layer-002\" [2, 3]");
    CHECK_FAILS(atn_draws_need(cx, d, &other), ATN_DATA, "no tensor");
    CHECK_OK(atn_draws_need(cx, d, &right));
    CHECK_OK(atn_draws_need(cx, NULL, &other));
    CHECK_OK(atn_draw_given(cx, d, &other, given)); /* may be given, need not */
    CHECK_EQ(given[0], 9);
    atn_draws_forget(cx, d);
    atn_draws_loosen(d);
    CHECK_OK(atn_draws_need(cx, d, &other));
    CHECK(atn_draws_have(d, &right) && !atn_draws_have(d, &wide) &&
          !atn_draws_have(d, &flat));
    CHECK_OK(atn_draw_normal(cx, d, 3, &wide, x));
    CHECK(memcmp(x, drawn, sizeof x) == 0);
    atn_draws_forget(cx, d);
    CHECK_OK(atn_draw_given(cx, d, &flat, given));
    CHECK(given[0] == 9 && given[5] == 4);
    atn_draws_forget(cx, d);
    CHECK_OK(atn_draw_normal(cx, d, 3, &right, x));
    CHECK(memcmp(x, numbers, sizeof numbers) == 0);
    CHECK_OK(atn_draw_given_counts(cx, d, &tall, 5, n));
    CHECK_EQ(n[1], 4);
    CHECK_FAILS(atn_draw_given_counts(cx, d, &c, 5, n), ATN_DATA, "number 1 is 5");
    atn_draws_close(cx, d);
    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK_OK(atn_draws_miss(cx, d, "lost.safetensors"));
    CHECK_FAILS(atn_draw_normal(cx, d, 3, &right, x), ATN_DATA,
                "lost.safetensors: is not there");
    atn_draws_close(cx, d);
}

/* What is found about a run comes back bit by bit, NaN too; other types and shapes are
 * refused. */
static void doubles(atn_ctx *cx)
{
    static const float narrow[2] = {1, 2};
    const double x[6] = {0.1, 1e300, NAN, -0.0, 16777217, 3};
    const atn_st_out wrong = {"fitted.layer-002", ATN_F32, 1, {2}, narrow};
    const char *path = path_of("draws-doubles");
    const atn_draw w = draw("fitted", -1, 3, 2), tall = draw("fitted", -1, 6, 0),
                   none = draw("other", -1, 3, 2), flat = draw("fitted", -1, 2, 0);
    double back[6] = {7};
    atn_draws *d = NULL;
    bool found = true;

    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK_OK(atn_draws_read(cx, d, &w, back, &found));
    CHECK(!found && back[0] == 7);
    CHECK_OK(atn_draws_keep(cx, d, &w, x));
    CHECK_OK(atn_draws_save(cx, d, path, false));
    atn_draws_close(cx, d);
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK_OK(atn_draws_read(cx, d, &none, back, &found));
    CHECK(!found);
    CHECK_FAILS(atn_draws_read(cx, d, &tall, back, &found), ATN_DATA, "needed is [6]");
    CHECK_OK(atn_draws_read(cx, d, &w, back, &found));
    CHECK(found && memcmp(back, x, sizeof x) == 0);
    CHECK_OK(atn_draws_read(cx, NULL, &w, back, &found));
    CHECK(!found);
    CHECK_OK(atn_draws_keep(cx, NULL, &w, x));
    atn_draws_close(cx, d);
    CHECK_OK(atn_st_save(cx, path, &wrong, 1, NULL, true, NULL));
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK_FAILS(atn_draws_read(cx, d, &flat, back, &found), ATN_DATA, "type F32");
    atn_draws_close(cx, d);
}

/* Whichever allocation fails: MEMORY, nothing lost, the next call works. */
static void no_memory(atn_ctx *cx)
{
    const atn_draw p = draw("p", 0, 4, 4), c = draw("c", 0, 4, 0),
                   e = draw("e", 0, 2, 0);
    const char *path = path_of("draws-memory");
    const double wide[2] = {1, 2};
    bool done = false;

    for (long k = 0; !done; k++) {
        check_failing f = {k};
        const atn_st_out one = {"q.layer-002", ATN_F64, 1, {2}, wide};
        atn_draws *d = NULL, *l = NULL;
        atn_ctx frail;
        atn_status st;
        float x[16];
        int32_t n[4] = {0, 2, 1, 2};

        CHECK(k < 200);
        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_draws_open(&frail, NULL, &d);
        if (st == ATN_OK) st = atn_draw_normal(&frail, d, 0, &p, x);
        if (st == ATN_OK) st = atn_draw_given_counts(&frail, d, &c, 3, n);
        if (st == ATN_OK) st = atn_draws_keep(&frail, d, &e, wide);
        if (st == ATN_OK) st = atn_draws_save(&frail, d, path, true);
        if (st == ATN_OK) st = atn_draws_lend(&frail, &one, 1, &l);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        done = st == ATN_OK;
        f.left = 1000;
        if (d) CHECK(atn_draw_normal(&frail, d, 0, &p, x) == ATN_OK);
        atn_draws_close(&frail, d);
        atn_draws_close(&frail, l);
        atn_ctx_release(&frail);
    }
    (void)cx;
}

/* What was asked for, by name alone; and names as they are made. */
static void asked(atn_ctx *cx)
{
    static const float x[] = {1, 2};
    const atn_st_out two[] = {{"gates.layer-002.head-000", ATN_F32, 1, {2}, x},
                              {"gates.layer-002.head-001", ATN_F32, 1, {2}, x}};
    const atn_draw first = draw("gates", 0, 2, 0), none = draw("gates", 7, 2, 0);
    const char *path = path_of("asked");
    atn_draws *d = NULL;
    atn_draw w;
    bool was = true;

    CHECK_OK(atn_st_save(cx, path, two, 2, NULL, true, NULL));
    CHECK_OK(atn_draws_open(cx, path, &d));
    CHECK(strcmp(atn_draws_tensor(d, 0, &was), two[0].name) == 0 && !was);
    CHECK(atn_draws_have(d, &first) && !atn_draws_have(d, &none));
    CHECK(atn_draws_tensor(d, 0, &was) && was);
    CHECK(atn_draws_tensor(d, 1, &was) && !was);
    CHECK(!atn_draws_tensor(d, 2, &was));
    atn_draws_close(cx, d);
    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK(!atn_draws_tensor(d, 0, &was));
    atn_draws_close(cx, d);
    CHECK(atn_draw_parse("gates.layer-002.head-013", &w));
    CHECK(w.layer == 2 && w.head == 13);
    CHECK(atn_draw_parse("rules.layer-1024", &w) && w.layer == 1024 && w.head == -1);
    CHECK(!atn_draw_parse("gates.layer-2.head-013", &w));
    CHECK(!atn_draw_parse("gates.layer-002.head-013x", &w));
    CHECK(!atn_draw_parse("gates.layer--02", &w) && !atn_draw_parse("gates", &w));
    CHECK(!atn_draw_parse("", &w) && !atn_draw_parse(".layer-", &w));
}

CHECK_MAIN({"asked", asked}, {"streams", streams}, {"lent", lent},
           {"round trip", round_trip}, {"other types", other_types},
           {"refused", refused}, {"loose", loose}, {"doubles", doubles},
           {"no memory", no_memory})
