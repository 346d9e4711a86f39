/* Choosing the heads that a report shows first. */
#include "analysis/highlights.h"
#include "check.h"

static atn_table *stats_table(atn_ctx *cx)
{
    /* layer, head, previous, sink, induction; unsorted */
    static const double rows[][5] = {{0, 0, .10, .20, 0},
                                     {0, 1, .90, .80, 0},
                                     {1, 0, .30, .70, 0},
                                     {1, 1, NAN, NAN, NAN}};
    static const char *const names[] = {"layer", "head", "previous_mass", "sink_mass",
                                        "induction_score"};
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "stats", &t));
    for (int c = 0; c < 5; c++)
        CHECK_OK(atn_table_add_col(cx, t, names[c], c < 2 ? ATN_COL_I64 : ATN_COL_F64,
                                   "", NULL, NULL));
    for (int r = 0; r < 4; r++) {
        CHECK_OK(atn_table_add_row(cx, t));
        for (int c = 0; c < 5; c++)
            if (c < 2)
                atn_table_set_i64(t, c, (int64_t)rows[r][c]);
            else if (!isnan(rows[r][c]))
                atn_table_set_f64(t, c, rows[r][c]);
    }
    return t;
}

/* Head 0.1 has the most of both, and is named for both: a runner-up is no winner. Nobody has an
 * induction score above 0. */
static void every_winner_is_the_true_one(atn_ctx *cx)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    atn_table *t = stats_table(cx);

    CHECK_EQ(atn_highlights(t, picks), 2);
    CHECK_STR(picks[0].id, "previous");
    CHECK_EQ(picks[0].layer * 10 + picks[0].head, 1);
    CHECK_NEAR(picks[0].value, .9, 0);
    CHECK_STR(picks[1].id, "sink");
    CHECK(atn_highlight_same_head(&picks[0], &picks[1]));
    CHECK_NEAR(picks[1].value, .8, 0);
    picks[1].head = 0;
    CHECK(!atn_highlight_same_head(&picks[0], &picks[1]));
    atn_table_destroy(cx, t);
}

static void other_tables_give_nothing(atn_ctx *cx)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "facts", &t));
    CHECK_EQ(atn_highlights(t, picks), 0);
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"every winner is the true one", every_winner_is_the_true_one},
           {"other tables give nothing", other_tables_give_nothing})
