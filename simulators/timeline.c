/* simulators/timeline.c -- schedules and tiles as tables, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/timeline.h"

#include <stdio.h>

enum { SM, HEAD, TILE, BEGIN, END, VISITS, MASKED, COLUMNS };

typedef struct column {
    const char *name;
    atn_col_type type;
    const char *unit, *text;
} column;

static const column columns[COLUMNS] = {
    {"sm", ATN_COL_I64, "", "multiprocessor"},
    {"head", ATN_COL_I64, "", "sequence * heads + head; of packed groups, of keys"},
    {"tile", ATN_COL_I64, "", "stationary tile of the head"},
    {"begin_ms", ATN_COL_F64, "ms", "since the launch"},
    {"end_ms", ATN_COL_F64, "ms", "since the launch"},
    {"visits", ATN_COL_I64, "", "tiles that the CTA visits"},
    {"masked", ATN_COL_I64, "", "those with a masked pair"},
};

static atn_status add_columns(atn_ctx *cx, const column *c, int n, atn_table *t)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < n; k++)
        ATN_TRY(
            atn_table_add_col(cx, t, c[k].name, c[k].type, c[k].unit, c[k].text, NULL));
done:
    return st;
}

/* ---- timeline ---- */

static atn_status check_length(atn_ctx *cx, const char *name, const atn_sim_opts *o,
                               const atn_sim *s)
{
    const double bytes = s->work.ctas * 160; /* slots, and rows of the table */
    atn_status st = ATN_OK;

    if (o->shape.pass == ATN_PASS_DECODE)
        ATN_FAIL(ATN_USAGE,
                 "a decode step has no schedule of CTAs (give --pass forward)");
    if (s->work.ctas > ATN_TIMELINE_MOST)
        ATN_FAIL(ATN_MEMORY,
                 "the schedule of %.80s has %.0f CTAs, more than the %d that are kept "
                 "(give fewer --num-heads, a smaller --batch, or fewer --tokens)",
                 name, s->work.ctas, ATN_TIMELINE_MOST);
    ATN_TRY(atn_mem_check(cx, bytes, "the schedule of the CTAs"));
done:
    return st;
}

static atn_status add_slots(atn_ctx *cx, const atn_work *w, atn_table *t)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < w->slots; i++) {
        const atn_slot *s = &w->slot[i];

        ATN_TRY(atn_table_add_row(cx, t));
        atn_table_set_i64(t, SM, s->sm);
        atn_table_set_i64(t, HEAD, s->head);
        atn_table_set_i64(t, TILE, s->tile);
        atn_table_set_f64(t, BEGIN, s->begin);
        atn_table_set_f64(t, END, s->end);
        atn_table_set_i64(t, VISITS, s->visits);
        atn_table_set_i64(t, MASKED, s->masked);
    }
done:
    return st;
}

/* What is drawn below the title. */
static atn_status set_subtitle(atn_ctx *cx, const char *name, const atn_sim_opts *o,
                               atn_table *t)
{
    char text[640];

    snprintf(text, sizeof text, "%.400s, kernel %s on %s", name, o->kernel->id,
             o->device->id);
    return atn_table_set_meta(cx, t, "subtitle", text);
}

atn_status atn_timeline_table(atn_ctx *cx, const char *name,
                              const atn_pattern *const *p, atn_idx n,
                              const atn_sim_opts *o, atn_table **out)
{
    atn_sim_opts with = *o;
    atn_table *t = NULL;
    atn_status st = ATN_OK;
    atn_sim sim = {0};
    char sms[32];

    with.slots = false;
    ATN_TRY(atn_simulate(cx, p, n, &with, &sim));
    ATN_TRY(check_length(cx, name, o, &sim));
    atn_sim_release(cx, &sim);
    with.slots = true;
    ATN_TRY(atn_simulate(cx, p, n, &with, &sim));
    ATN_TRY(atn_table_create(cx, "timeline", &t));
    ATN_TRY(add_columns(cx, columns, COLUMNS, t));
    ATN_TRY(add_slots(cx, &sim.work, t));
    snprintf(sms, sizeof sms, "%.0f", atn_device_get(o->device, ATN_DEVICE_SMS));
    ATN_TRY(atn_table_set_meta(cx, t, "sms", sms));
    ATN_TRY(set_subtitle(cx, name, o, t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    atn_sim_release(cx, &sim);
    return st;
}

/* ---- tiles ---- */

static const column facts[] = {
    {"pattern", ATN_COL_STR, "", "what is simulated"},
    {"head", ATN_COL_I64, "", "head that is shown"},
    {"tile", ATN_COL_STR, "", "queries/keys of a tile"},
    {"pairs", ATN_COL_I64, "", "allowed pairs of the head"},
    {"visited_tiles", ATN_COL_I64, "", "of the head"},
    {"full_tiles", ATN_COL_I64, "", "without a masked pair"},
    {"partial_tiles", ATN_COL_I64, "", "with one"},
    {"padding_tiles", ATN_COL_I64, "", "visits of tiles of padding"},
    {"max_tiles", ATN_COL_I64, "", "most visits of a CTA"},
};

static atn_status add_facts(atn_ctx *cx, const char *name, atn_idx head,
                            const atn_tiling *tiling, const atn_tiles *c, atn_table *t)
{
    const int64_t counts[] = {c->pairs,   c->visited, c->full,
                              c->partial, c->padding, c->max};
    char q[96], k[96], tile[200];
    atn_status st = ATN_OK;

    atn_list_text(&tiling->q, q, sizeof q);
    atn_list_text(&tiling->k, k, sizeof k);
    snprintf(tile, sizeof tile, "%s/%s", q, k);
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, name));
    atn_table_set_i64(t, 1, head);
    ATN_TRY(atn_table_set_str(cx, t, 2, tile));
    for (int i = 0; i < (int)ATN_LEN(counts); i++)
        atn_table_set_i64(t, 3 + i, counts[i]);
done:
    return st;
}

static atn_status set_length(atn_ctx *cx, const char *key, atn_idx tiles, atn_table *t)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)tiles);
    return atn_table_set_meta(cx, t, key, text);
}

static atn_status add_image(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                            const atn_tiling *tiling, atn_mat image, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_tiles_image(cx, p, head, tiling, image));
    ATN_TRY(atn_table_set_matrix(
        cx, t, (atn_cmat){image.data, image.rows, image.cols, image.ld}, "query",
        "key"));
done:
    return st;
}

atn_status atn_tile_table(atn_ctx *cx, const atn_sim_case *c, const atn_pattern *p,
                          atn_idx head, atn_idx cells, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_tiling *tiling = &c->sim->tiling;
    atn_tiles tiles = {0};
    atn_table *t = NULL;
    atn_status st = ATN_OK;
    atn_mat image = {0};
    atn_idx down, across, join;

    ATN_TRY(atn_tiles_count(cx, p, head, tiling, &tiles));
    down = tiling->backward ? tiles.other : tiles.ctas;
    across = tiling->backward ? tiles.ctas : tiles.other;
    ATN_TRY(atn_table_create(cx, "tiles", &t));
    ATN_TRY(add_columns(cx, facts, (int)ATN_LEN(facts), t));
    ATN_TRY(add_facts(cx, c->pattern, head, tiling, &tiles, t));
    join = (ATN_MAX(down, across) + cells - 1) / cells; /* whole tiles a cell */
    image.rows = atn_ceil_div(down, join);
    image.cols = image.ld = atn_ceil_div(across, join);
    ATN_TAKE(image.data, image.rows * image.cols);
    ATN_TRY(add_image(cx, p, head, tiling, image, t));
    ATN_TRY(set_length(cx, "queries", down, t));
    ATN_TRY(set_length(cx, "keys", across, t));
    ATN_TRY(set_subtitle(cx, "full, partial and empty tiles", c->opts, t));
    *out = t;
    t = NULL;
done:
    atn_tiles_release(cx, &tiles);
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}
