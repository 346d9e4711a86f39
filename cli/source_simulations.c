/* cli/source_simulations.c -- tables of simulations for their figures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/source_simulations.h"

#include <string.h>

#include "cli/simulation.h"
#include "cli/source_patterns.h"
#include "simulators/density.h"
#include "simulators/roofline.h"
#include "simulators/timeline.h"

enum { CELLS = 512 };

static bool is(const char *figure, const char *id)
{
    return strcmp(figure, id) == 0;
}

static bool shows_one(const char *figure)
{
    return is(figure, "tile_map") || is(figure, "cta_timeline");
}

bool atn_draws_simulations(const char *figure)
{
    return is(figure, "waterfall") || is(figure, "speedup") || is(figure, "roofline") ||
           shows_one(figure);
}

const char *atn_sim_source_option(int i)
{
    static const char *const names[] = {
        "gpu",          "kernel",      "dense-kernel", "num-heads",
        "num-kv-heads", "batch",       "dtype",        "pass",
        "tile",         "layout",      "dense",        "head-dim",
        "residues",     "mask-policy", "permute",      "harness"};

    return i < (int)ATN_LEN(names) ? names[i] : NULL;
}

/* Head and pattern of a tile map. */
static atn_status find_head(atn_ctx *cx, const atn_sim_source *s,
                            const atn_sim_item *item, const atn_pattern **pattern,
                            atn_idx *head)
{
    atn_status st = ATN_OK;
    atn_idx n;

    *pattern = atn_sim_item_heads(item, &n)[0];
    *head = 0;
    if (item->heads) {
        if (n > 1)
            ATN_FAIL(ATN_USAGE,
                     "plot: tile_map shows one head, and %lld are selected (give "
                     "--heads H)",
                     (long long)n);
        goto done;
    }
    ATN_TRY(atn_pattern_one(cx, "--heads", s->head, (*pattern)->heads, head));
done:
    return st;
}

/* There are several launches, what makes them one? */
static atn_status too_many(atn_ctx *cx, const atn_sim_source *s, int launches)
{
    atn_narrower layers = {""};

    if (!s->subject)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "plot: %s shows one launch, and there are %d, a pattern and "
                        "kernel each (give one PATTERN of one layer and --kernel)",
                        s->figure, launches);
    layers =
        atn_selection_narrower(s->subject->capture, &s->subject->selection,
                               ATN_NARROW_STACK | ATN_NARROW_STEP | ATN_NARROW_LAYER);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "plot: %s shows one launch, and there are %d, a layer and kernel "
                    "each (give%s)",
                    s->figure, launches, *layers.text ? layers.text : " one --kernel");
}

/* A figure of one launch. */
static atn_status one_launch(atn_ctx *cx, const atn_sim_source *s, atn_sim_list *l,
                             atn_table **out)
{
    const atn_sim_item *item = &l->item[0];
    const atn_pattern *pattern;
    atn_status st = ATN_OK;
    atn_idx head, n;

    if (l->n != 1) ATN_TRY(too_many(cx, s, l->n));
    if (is(s->figure, "cta_timeline")) {
        const atn_pattern *const *p = atn_sim_item_heads(item, &n);

        ATN_TRY(atn_timeline_table(cx, item->name, p, n, &item->opts, out));
        goto done;
    }
    if (item->opts.shape.pass == ATN_PASS_DECODE)
        ATN_FAIL(ATN_USAGE, "plot: a decode step has one query and no map of tiles "
                            "(give --pass forward)");
    ATN_TRY(find_head(cx, s, item, &pattern, &head));
    ATN_TRY(atn_sim_list_run(cx, l));
    ATN_TRY(atn_tile_table(cx, &(atn_sim_case){item->name, &item->opts, &item->sim},
                           pattern, head, s->cells > 0 ? s->cells : CELLS, out));
done:
    return st;
}

static atn_status make_table(atn_ctx *cx, const atn_sim_source *s, atn_sim_list *l,
                             atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_sim_case *c;

    if (shows_one(s->figure)) return one_launch(cx, s, l, out);
    ATN_TRY(atn_sim_list_run(cx, l));
    ATN_TRY(atn_sim_list_cases(cx, l, &c));
    if (is(s->figure, "waterfall"))
        ATN_TRY(atn_sim_waterfall(cx, c, l->n, out));
    else if (is(s->figure, "speedup"))
        ATN_TRY(atn_density_table(cx, c, l->n, out));
    else
        ATN_TRY(atn_roofline_table(cx, c, l->n, out));
    ATN_TRY(atn_sim_list_subtitle(cx, l, *out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of the layers of a capture, by their masks or by what a method keeps. */
static atn_status list_capture(atn_cli *cli, const atn_simulation *sim,
                               const atn_sim_source *s, atn_sim_list *l)
{
    const char *from = atn_opt_text(cli, "from", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_from method;

    if (s->n > 0)
        ATN_FAIL(ATN_USAGE,
                 "plot: a capture is simulated alone (leave %s out, or the capture)",
                 s->words[0]);
    if (from) {
        ATN_TRY(atn_from_read(cx, from, &method));
        method.grid = sim->opts.tiling.grid;
        method.prompt = atn_opt_i64(cli, "prompt", 0);
    }
    ATN_TRY(atn_sim_list_capture(cli, sim, s->subject, from ? &method : NULL, l));
done:
    return st;
}

atn_status atn_sim_source_table(atn_cli *cli, const atn_sim_source *s, atn_table **out)
{
    atn_ctx *cx = cli->cx;
    atn_simulation sim = {0};
    atn_status st = ATN_OK;
    atn_sim_list l = {0};

    ATN_TRY(atn_simulation_read(cli, &sim));
    atn_simulation_read_rest(cli, &sim);
    ATN_TRY(atn_simulation_record(cli, s->run));
    if (s->subject)
        ATN_TRY(list_capture(cli, &sim, s, &l));
    else
        ATN_TRY(atn_sim_list_words(cli, &sim, s->words, s->n, &l));
    for (int i = 0; i < l.stacks; i++)
        ATN_TRY(atn_stack_record(cx, s->run, &l.stack[i]));
    ATN_TRY(make_table(cx, s, &l, out));
done:
    atn_sim_list_release(cx, &l);
    atn_simulation_release(cx, &sim);
    return st;
}
