/* cli/cmd_tokenize.c -- attnscope tokenize: the token ids of a text, or a check of
 * them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "analysis/describe.h"
#include "capture/token_ids.h"
#include "capture/tokenizer.h"
#include "cli/output.h"
#include "core/io/file.h"

typedef struct words {
    atn_tokenizer *tokenizer;
    char *text;
    size_t size;
    int32_t *ids, *wanted;
    atn_idx n, n_wanted;
} words;

/* The readable text of a token in heap memory; an id without one becomes <id>. */
static atn_status text_of(atn_ctx *cx, const words *w, atn_idx i, char **out)
{
    atn_status st = ATN_OK;

    if (atn_tokenizer_text(cx, w->tokenizer, w->ids[i], i == 0, out) == ATN_OK)
        return ATN_OK;
    atn_err_clear(cx);
    ATN_NEW(*out, 24);
    snprintf(*out, 24, "<%d>", w->ids[i]);
done:
    return st;
}

static atn_status token_table(atn_ctx *cx, const words *w, atn_table *t)
{
    atn_status st = ATN_OK;
    int position, id, text;
    char *spelling = NULL;

    ATN_TRY(atn_table_add_col(cx, t, "position", ATN_COL_I64, "", NULL, &position));
    ATN_TRY(atn_table_add_col(cx, t, "id", ATN_COL_I64, "", NULL, &id));
    ATN_TRY(atn_table_add_col(cx, t, "text", ATN_COL_STR, "", NULL, &text));
    for (atn_idx i = 0; i < w->n; i++) {
        ATN_TRY(text_of(cx, w, i, &spelling));
        ATN_TRY(atn_table_add_row(cx, t));
        atn_table_set_i64(t, position, i);
        atn_table_set_i64(t, id, w->ids[i]);
        ATN_TRY(atn_table_set_str(cx, t, text, spelling));
        atn_free(cx, spelling);
        spelling = NULL;
    }
done:
    atn_free(cx, spelling);
    return st;
}

/* CHECK at the first position where the ids differ. */
static atn_status compare(atn_ctx *cx, const words *w, const char *path)
{
    const atn_idx both = ATN_MIN(w->n, w->n_wanted);
    atn_status st = ATN_OK;
    char *spelling = NULL;
    atn_idx i = 0;

    while (i < both && w->ids[i] == w->wanted[i]) i++;
    if (i == w->n && i == w->n_wanted) return ATN_OK;
    if (i == w->n)
        ATN_FAIL(ATN_CHECK,
                 "%s: has %lld ids, the tokenizer gives %lld (equal up there)", path,
                 (long long)w->n_wanted, (long long)w->n);
    ATN_TRY(text_of(cx, w, i, &spelling));
    if (i == w->n_wanted)
        ATN_FAIL(ATN_CHECK,
                 "%s: ends after %lld ids, the tokenizer gives %lld; the next is %d "
                 "'%.40s'",
                 path, (long long)i, (long long)w->n, w->ids[i], spelling);
    ATN_FAIL(ATN_CHECK,
             "%s: has id %d at position %lld, the tokenizer gives %d '%.40s'", path,
             w->wanted[i], (long long)i, w->ids[i], spelling);
done:
    atn_free(cx, spelling);
    return st;
}

static atn_status verify(atn_ctx *cx, atn_run *run, words *w, const char *path,
                         atn_table **facts)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_token_ids_load(cx, path, &w->wanted, &w->n_wanted));
    ATN_TRY(atn_run_add_input(cx, run, path));
    ATN_TRY(compare(cx, w, path));
    ATN_TRY(atn_facts_create(cx, facts));
    ATN_TRY(atn_facts_add(cx, *facts, "tokens", "%lld", (long long)w->n));
    ATN_TRY(atn_facts_add(cx, *facts, "verified", "equal to the ids of %s", path));
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *text = atn_opt_text(cli, "text", NULL),
               *ids = atn_opt_text(cli, "verify", NULL);
    const size_t max_text = (size_t)1 << 30;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_run record = {0};
    words w = {0};

    if (!text) ATN_FAIL(ATN_USAGE, "tokenize: give --text FILE");
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(atn_tokenizer_load(cx, cli->args[0], &w.tokenizer));
    ATN_TRY(atn_tokenizer_inputs(cx, cli->args[0], &record));
    ATN_TRY(atn_file_read(cx, text, max_text, &w.text, &w.size));
    if (text[0] != '-' || text[1]) ATN_TRY(atn_run_add_input(cx, &record, text));
    ATN_TRY(atn_tokenizer_encode(cx, w.tokenizer, w.text, w.size,
                                 !atn_opt_given(cli, "no-special"), &w.ids, &w.n));
    if (ids) {
        ATN_TRY(verify(cx, &record, &w, ids, &t));
    } else {
        ATN_TRY(atn_table_create(cx, "tokens", &t));
        ATN_TRY(token_table(cx, &w, t));
    }
    ATN_TRY(atn_cli_emit(cli, &record, t, NULL));
done:
    atn_table_destroy(cx, t);
    atn_tokenizer_destroy(cx, w.tokenizer);
    atn_free(cx, w.text);
    atn_free(cx, w.ids);
    atn_free(cx, w.wanted);
    atn_run_release(&record);
    return st;
}

static const atn_option options[] = {
    {"text", 0, ATN_OPT_FILE, "FILE", "the text, UTF-8; - is standard input", 0, 0},
    {"verify", 0, ATN_OPT_FILE, "FILE",
     "compare with these ids: .json, .npy, or integers between blanks", 0, 0},
    {"no-special", 0, ATN_OPT_FLAG, NULL, "without the special tokens around the text",
     0, 0},
    ATN_OPTION_END,
};

static const char *const examples[] = {
    "tokenize MODEL --text story.txt", "tokenize MODEL --text story.txt --format csv",
    "tokenize MODEL --text story.txt --no-special -o tokens.csv", NULL};

const atn_command atn_command_tokenize = {
    .id = "tokenize",
    .summary = "the token ids of a text, and their check against other ids",
    .args = "MODEL --text FILE",
    .examples = examples,
    .text = "One line a token: position, id, text. MODEL has a tokenizer.json, or "
            "vocab.json with merges.txt, a SentencePiece model or vocab.txt. --verify "
            "reads the ids that another program made of the same text (a list, or "
            "an object with input_ids, in .json) and says whether they are equal; exit "
            "code 1 names the first difference.",
    .options = options,
    .uses = ATN_USE_TABLE,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
