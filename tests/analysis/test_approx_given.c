/* What a budget fitted, from one run to the next: the same number of pairs takes it,
 * another does not, and a file of nonsense is refused. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/approx_given.h"

enum { HEADS = 3 };

static const char *path_of(const char *scratch)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch(scratch));
    return path;
}

static atn_given given_of(const atn_choice *c)
{
    return (atn_given){.choice = c, .layer = 5, .heads = HEADS};
}

/* Heads 0 and 1 in one unit, head 2 was not fitted. */
static void round_trip(atn_ctx *cx)
{
    const char *path = path_of("given-round");
    const atn_fitted f = {.value = 16777217, .fit = ATN_FIT_MOST, .n = 2};
    const atn_fitted none = {.value = NAN, .fit = ATN_FIT_FIXED, .n = 1};
    atn_draws *d = NULL;
    atn_fit_given got;
    atn_choice c;
    atn_given g;

    CHECK_OK(atn_choice_read(cx, "reformer", NULL, &c));
    g = given_of(&c);
    CHECK_OK(atn_draws_open(cx, NULL, &d));
    CHECK_OK(atn_given_read(cx, d, &g));
    CHECK(!atn_given_of(&g, 0, 100, &got));
    CHECK_OK(atn_given_keep(cx, d, &g)); /* nothing */
    atn_given_note(&g, &f, 0, 100.25);
    atn_given_note(&g, &none, 2, 100.25);
    CHECK_OK(atn_given_keep(cx, d, &g));
    CHECK_OK(atn_draws_save(cx, d, path, false));
    atn_draws_close(cx, d);
    CHECK_OK(atn_draws_open(cx, path, &d));
    g = given_of(&c);
    CHECK_OK(atn_given_read(cx, d, &g));
    for (int h = 0; h < 2; h++) {
        CHECK(atn_given_of(&g, h, 100.25, &got));
        CHECK_NEAR(got.value, 16777217, 0);
        CHECK_EQ(got.fit, ATN_FIT_MOST);
        CHECK(!atn_given_of(&g, h, 100.5, &got));
        CHECK(!atn_given_of(&g, h, NAN, &got)); /* no budget */
    }
    CHECK(!atn_given_of(&g, 2, 100.25, &got));
    /* another method, another layer: their own names */
    CHECK_OK(atn_choice_read(cx, "routing", NULL, &c));
    g = given_of(&c);
    CHECK_OK(atn_given_read(cx, d, &g));
    CHECK(!atn_given_of(&g, 0, 100.25, &got));
    /* a method without such a parameter has none */
    CHECK_OK(atn_choice_read(cx, "causal", NULL, &c));
    g = given_of(&c);
    CHECK_OK(atn_given_read(cx, d, &g));
    CHECK(!atn_given_of(&g, 0, 100.25, &got));
    atn_draws_close(cx, d);
}

static void nonsense(atn_ctx *cx)
{
    static const struct {
        const char *id;
        double value, kind;
    } bad[] = {{"reformer", 2.5, 0}, {"reformer", 0, 0},  {"reformer", 1e300, 1},
               {"reformer", 8, 3},   {"reformer", 8, .5}, {"reformer", 8, NAN},
               {"moa", -.25, 0},     {"moa", INFINITY, 0}};
    const char *path = path_of("given-nonsense");

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const double x[3 * HEADS] = {8,   100, 0, bad[i].value, 100, bad[i].kind,
                                     NAN, NAN, 7};
        char name[64];
        const atn_st_out t = {name, ATN_F64, 2, {HEADS, 3}, x};
        atn_draws *d = NULL;
        atn_choice c;
        atn_given g;

        snprintf(name, sizeof name, "fitted-%s.layer-005", bad[i].id);
        CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, true, NULL));
        CHECK_OK(atn_draws_open(cx, path, &d));
        CHECK_OK(atn_choice_read(cx, bad[i].id, NULL, &c));
        g = given_of(&c);
        CHECK_FAILS(atn_given_read(cx, d, &g), ATN_DATA,
                    i < 6 ? "for head 1" : "density is a number");
        g.heads++;
        CHECK_FAILS(atn_given_read(cx, d, &g), ATN_DATA, "needed is [4, 3]");
        atn_draws_close(cx, d);
    }
}

CHECK_MAIN({"round trip", round_trip}, {"nonsense", nonsense})
