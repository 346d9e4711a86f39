/* Choosing the heads that a report shows first. */
#include "analysis/highlights.h"
#include "check.h"

static atn_table *stats_table(atn_ctx *cx)
{
    /* layer, head, previous, sink; unsorted, the sink winner is the previous winner too */
    static const double rows[][4] = {
        {0, 0, .10, .20}, {0, 1, .90, .80}, {1, 0, .30, .70}, {1, 1, NAN, NAN}};
    static const char *const names[] = {"layer", "head", "previous_mass", "sink_mass"};
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "stats", &t));
    for (int c = 0; c < 4; c++)
        CHECK_OK(atn_table_add_col(cx, t, names[c], c < 2 ? ATN_COL_I64 : ATN_COL_F64,
                                   "", NULL, NULL));
    for (int r = 0; r < 4; r++) {
        CHECK_OK(atn_table_add_row(cx, t));
        for (int c = 0; c < 4; c++)
            if (c < 2)
                atn_table_set_i64(t, c, (int64_t)rows[r][c]);
            else if (!isnan(rows[r][c]))
                atn_table_set_f64(t, c, rows[r][c]);
    }
    return t;
}

/* previous: head 0.1 with .9. sink: 0.1 has .8 but is shown already, so 1.0 with .7. */
static void a_head_is_shown_once(atn_ctx *cx)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    atn_table *t = stats_table(cx);

    CHECK_EQ(atn_highlights(t, picks), 2);
    CHECK_STR(picks[0].id, "previous");
    CHECK_EQ(picks[0].layer * 10 + picks[0].head, 1);
    CHECK_NEAR(picks[0].value, .9, 0);
    CHECK_STR(picks[1].id, "sink");
    CHECK_EQ(picks[1].layer * 10 + picks[1].head, 10);
    CHECK_NEAR(picks[1].value, .7, 0);
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

CHECK_MAIN({"a head is shown once", a_head_is_shown_once},
           {"other tables give nothing", other_tables_give_nothing})
