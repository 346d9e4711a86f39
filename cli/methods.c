/* cli/methods.c -- the listing and the help of methods. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/methods.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned bit;
    const char *word, *text;
} needs[] = {
    {ATN_READS_QK, "qk", "queries and keys"},
    {ATN_READS_V, "v", "values"},
    {ATN_READS_WEIGHTS, "weights", "the weights of dense attention"},
    {ATN_READS_GRID, "grid", "a grid of tokens (--grid AxBxC)"},
    {ATN_READS_STEPS, "steps", "several steps of a layer (import --steps)"},
    {ATN_READS_DRAWS, "draws", "numbers drawn or given (--seed, --draws FILE)"},
    {ATN_READS_GIVEN, "given",
     "numbers of every token, from a file that has them (--draws FILE)"},
    {ATN_READS_TURN, "turn", "how the model turns queries by position"},
    {ATN_READS_PLACE, "place", "where queries stand among the keys: self-attention"},
    {ATN_READS_PAST, "past", "earlier steps, of a capture that has them"},
    {ATN_READS_STORED, "stored",
     "the weights of dense attention, stored whole: up to 4096 tokens"},
};

/* The head of which ranks are stated. */
enum { RANK_TOKENS = 4096, RANK_SIZE = 64 };

static atn_idx stated_rank(const atn_choice *c)
{
    const atn_cmat x = {NULL, RANK_TOKENS, RANK_SIZE, RANK_SIZE};
    const atn_head h = {.q = x,
                        .k = x,
                        .v = x,
                        .nq = RANK_TOKENS,
                        .nk = RANK_TOKENS,
                        .scale = 1,
                        .sight = {.key_last = RANK_TOKENS}};

    return atn_choice_rank(c, &h);
}

/* "not below 0, rows sum to 1" */
static void weight_words(unsigned weights, char *out, size_t size)
{
    snprintf(out, size, "%s, rows sum to %s%s",
             weights & ATN_WEIGHTS_SIGNED ? "of either sign" : "not below 0",
             weights & ATN_WEIGHTS_FREE ? "anything" : "1",
             weights & ATN_WEIGHTS_VALUES ? ", depend on the values" : "");
}

/* "qk draws" */
static void need_words(unsigned reads, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < ATN_LEN(needs) && used < size; i++)
        if (reads & needs[i].bit)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     needs[i].word);
}

static const char *side_word(unsigned sides)
{
    return sides == ATN_CAUSAL          ? "causal"
           : sides == ATN_BIDIRECTIONAL ? "bidirectional"
                                        : "both";
}

static atn_status method_row(atn_ctx *cx, atn_table *t, const char *id)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char reads[128], params[512], weights[80], rank[32];
    const atn_param *budget;
    atn_status st = ATN_OK;
    atn_choice_facts f;
    atn_choice c;
    bool falls;

    ATN_TRY(atn_choice_read(cx, id, NULL, &c));
    f = atn_choice_describe(&c);
    budget = atn_choice_budget(&c, &falls);
    need_words(f.reads, reads, sizeof reads);
    weight_words(f.weights, weights, sizeof weights);
    snprintf(rank, sizeof rank, "%lld", (long long)stated_rank(&c));
    atn_param_print(c.params, c.values, params, sizeof params);
    {
        const char *of = !c.preset ? NULL : c.method ? c.method->id : c.generator->id;
        const char *cells[] = {id,
                               c.preset ? c.preset->text : f.title,
                               f.family,
                               of,
                               budget ? budget->name : NULL,
                               *reads ? reads : NULL,
                               side_word(f.sides),
                               f.publishes ? "yes" : "no",
                               f.oracle ? "yes" : "no",
                               weights,
                               *rank == '-' ? NULL : rank,
                               f.exact,
                               *params ? params : NULL,
                               f.text,
                               f.source};

        ATN_TRY(atn_table_add_row(cx, t));
        for (int i = 0; i < (int)ATN_LEN(cells); i++)
            if (cells[i]) ATN_TRY(atn_table_set_str(cx, t, i, cells[i]));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_methods_fill(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {
        {"family", "static: the pattern of this id; else what it chooses by"},
        {"preset_of", "the method that a preset is a setting of"},
        {"budget", "the parameter that --budget fits"},
        {"reads", "what it needs of a layer beside the mask"},
        {"masks", "heads that it is for"},
        {"as_published", "does --as-published change it?"},
        {"oracle", "does it, as it is set here, choose by what only dense attention or "
                   "later rows tell?"},
        {"weights", "their sign, and what a row of them sums to (0 where it sees "
                    "nothing, less than 1 where a sink takes some)"},
        {"rank", "of the weights at most, of 4096 tokens of 64 numbers without a mask"},
        {"exact", "with these it is dense attention; # is the number of keys"},
        {"parameters", "with their defaults, or as the preset sets them"},
        {"keys", "what a query attends to"},
        {"source", "where it is from"}};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
    for (int i = 0; atn_method_id(i); i++) ATN_TRY(method_row(cx, t, atn_method_id(i)));
done:
    return st;
}

atn_status atn_methods_print(atn_ctx *cx)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    for (int i = 0; atn_method_id(i); i++) {
        atn_choice_facts f;
        atn_choice c;

        ATN_TRY(atn_choice_read(cx, atn_method_id(i), NULL, &c));
        f = atn_choice_describe(&c);
        if (c.preset)
            printf("%-16s   %s:%s: %s\n", atn_method_id(i),
                   c.method ? c.method->id : c.generator->id, c.preset->params,
                   c.preset->text);
        else
            printf("%-16s %s [%s]: %s\n", atn_method_id(i), f.title, f.family, f.text);
        atn_arena_rewind(cx, mark);
    }
    printf("attnscope help method NAME has parameters and needs\n");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void print_param(const atn_choice *c, const atn_param *p)
{
    const atn_param one[] = {*p, ATN_PARAM_END};
    char text[512], range[256];

    atn_param_print(one, c->values, text, sizeof text);
    atn_param_range(p, range, sizeof range);
    printf("  %-28s %s (%s)\n", text, p->text, range);
}

static void print_facts(const atn_choice *c, const atn_choice_facts *f)
{
    const atn_idx rank = stated_rank(c);
    char text[80];

    weight_words(f->weights, text, sizeof text);
    printf("\nWeights\n  %s\n", text);
    if (rank >= 0)
        printf(
            "  of rank %lld at most, as it is set, on %d tokens of %d numbers without "
            "a mask\n",
            (long long)rank, RANK_TOKENS, RANK_SIZE);
    if (f->exact)
        printf("  dense attention with %s%s\n", f->exact,
               strchr(f->exact, '#') ? ", # the number of keys" : "");
}

static void print_needs(const atn_choice *c, const atn_choice_facts *f)
{
    bool falls;
    const atn_param *budget = atn_choice_budget(c, &falls);

    printf("\nNeeds\n");
    for (size_t i = 0; i < ATN_LEN(needs); i++)
        if (f->reads & needs[i].bit) printf("  %s\n", needs[i].text);
    if (f->reads == 0) printf("  nothing but the mask\n");
    printf("  heads that are %s\n",
           f->sides == ATN_BOTH_WAYS ? "causal or bidirectional" : side_word(f->sides));
    printf("\nBudget\n  ");
    if (budget)
        printf("--budget fits %s%s\n", budget->name,
               falls ? "; a larger one keeps less" : "");
    else
        printf("no parameter is fitted: it runs as it is set\n");
    if (f->oracle)
        printf("\nOracle\n  %s chooses by what only dense attention or later rows "
               "tell: it says what\n  could be had, and stands apart in pareto and "
               "best\n",
               c->method->oracle == atn_always ? "it" : "as it is set here, it");
    if (f->publishes)
        printf("\nAs published\n  --as-published repeats what is wrong in the "
               "reference code; the card says what\n");
}

atn_status atn_method_help(atn_ctx *cx, const char *id)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const char *facts, *mask;
    atn_status st = ATN_OK;
    atn_choice_facts f;
    atn_choice c;

    ATN_TRY(atn_choice_read(cx, id, NULL, &c));
    f = atn_choice_describe(&c);
    facts = f.reads & ATN_READS_GRID ? " --grid AxBxC" : "";
    mask = f.sides == ATN_BIDIRECTIONAL ? " --unmasked" : "";
    printf("attnscope approx RUN --method %s%s%s\n", id, facts, mask);
    /* weights of a low rank, or below 0, make no pattern */
    if (stated_rank(&c) < 0 && !(f.weights & ATN_WEIGHTS_SIGNED))
        printf("attnscope plot pattern RUN --from %s%s --layers 0 -o FILE.svg%s\n", id,
               facts, *mask ? "  # RUN of bidirectional heads" : "");
    printf("\n");
    printf("%s: %s\n", f.title, f.text);
    if (c.preset)
        printf("%s is the preset %s:%s (%s)\n", id,
               c.method ? c.method->id : c.generator->id, c.preset->params,
               c.preset->text);
    printf("Source: %s\n", f.source);
    if (c.params->name) printf("\nParameters\n");
    for (const atn_param *p = c.params; p->name; p++) print_param(&c, p);
    print_facts(&c, &f);
    print_needs(&c, &f);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
