/* tests/analysis/test_token_labels.c -- labels of tokens, from texts, ids, places and
 * files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/token_labels.h"
#include "stored_model.h"

enum { SPECIAL, SPACE, DIGIT, PUNCTUATION, CONTINUATION, WORD_START };

/* ---- classes of texts ---- */

static void classes_of_texts(atn_ctx *cx)
{
    static const struct {
        const char *text;
        int want;
    } tokens[] = {{"<s>", SPECIAL},
                  {"Once", WORD_START},
                  {" up", WORD_START},
                  {"on", CONTINUATION},
                  {" a", WORD_START},
                  {",", PUNCTUATION},
                  {" \"", PUNCTUATION},
                  {"Hi", WORD_START}, /* behind a mark a word begins */
                  {"\n\n", SPACE},
                  {"  ", SPACE},
                  {"Then", WORD_START},
                  {" 19", DIGIT},
                  {"84", DIGIT},
                  {"th", CONTINUATION}, /* behind a number it goes on */
                  {"3rd", CONTINUATION},
                  {"\xe2\x96\x81time", WORD_START},    /* SentencePiece's mark */
                  {"\xc4\xa0there", WORD_START},       /* byte-level BPE's */
                  {"\xc3\xa9t\xc3\xa9", CONTINUATION}, /* letters beyond ASCII */
                  {"\xe2\x80\x94", PUNCTUATION},       /* a dash */
                  {"[MASK]", SPECIAL},
                  {"[a]", WORD_START},
                  {"", SPACE},
                  {"<|im_end|>", SPECIAL},
                  {"<", PUNCTUATION},
                  {"\xff", WORD_START}}; /* no UTF-8 */
    enum { N = sizeof tokens / sizeof *tokens };
    const char *text[N];
    int32_t label[N];

    (void)cx;
    for (int i = 0; i < N; i++) text[i] = tokens[i].text;
    atn_token_classes(text, N, label);
    for (int i = 0; i < N; i++)
        if (label[i] != tokens[i].want)
            fail_msg("'%s' is %s, wanted %s", text[i], atn_token_class_names[label[i]],
                     atn_token_class_names[tokens[i].want]);
}

/* ---- a capture ---- */

enum { N = 7 };
static const float P7[N * N] = {
    [0] = 1, [7] = 1, [14] = 1, [21] = 1, [28] = 1, [35] = 1, [42] = 1};
static const int32_t IDS[N] = {9, 4, 9, 2, 4, 9, 5};

static void store(atn_ctx *cx, stored_model *m, const char *name, bool ids)
{
    *m = (stored_model){.layers = 1, .ids = ids ? IDS : NULL, .n_ids = ids ? N : 0};
    m->layer[0] = (stored_layer){.heads = 1,
                                 .kv_heads = 1,
                                 .nq = N,
                                 .nk = N,
                                 .d = 1,
                                 .dv = 1,
                                 .sight = {.causal = true},
                                 .p = P7};
    store_model(cx, m, name);
}

static void expect(const atn_token_labels *l, const int32_t *want, atn_idx classes)
{
    CHECK_EQ(l->n, N);
    CHECK_EQ(l->classes, classes);
    for (int i = 0; i < N; i++) CHECK_EQ(l->label[i], want[i]);
}

static void ids_and_places(atn_ctx *cx)
{
    static const int32_t ids[] = {1, 0, 1, -1, 0, 1, -1},
                         thirds[] = {0, 0, 0, 1, 1, 2, 2};
    stored_model m;
    atn_token_labels l;

    store(cx, &m, "labels/ids", true);
    CHECK_OK(atn_token_labels_make(cx, m.capture, &m.selection, "token", &l));
    expect(&l, ids, 2); /* 4 and 9 repeat, in that order */
    CHECK_STR(l.name[0], "4");
    CHECK_STR(l.name[1], "9");
    CHECK_STR(l.what, "token");
    atn_token_labels_release(cx, &l);
    CHECK_OK(atn_token_labels_make(cx, m.capture, &m.selection, "position:3", &l));
    expect(&l, thirds, 3);
    CHECK_STR(l.name[0], "0-2");
    CHECK_STR(l.name[1], "3-4");
    CHECK_STR(l.name[2], "5-6");
    atn_token_labels_release(cx, &l);
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "position:8", &l),
                ATN_USAGE, "there are 7 tokens");
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "position", &l),
                ATN_USAGE, "there are 7 tokens"); /* 8 by default */
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "position:x", &l),
                ATN_USAGE, "'x'");
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "class", &l),
                ATN_DATA, "no texts");
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "segment", &l),
                ATN_DATA, "no texts");
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "tokens", &l),
                ATN_NOINPUT, "none of class");
    drop_stored(cx, &m);
    store(cx, &m, "labels/none", false);
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, "token", &l),
                ATN_DATA, "no token ids");
    drop_stored(cx, &m);
}

/* ---- files ---- */

static atn_status read_file(atn_ctx *cx, const stored_model *m, const char *text,
                            atn_token_labels *l)
{
    static char path[700];
    FILE *f;

    snprintf(path, sizeof path, "%s/../labels.csv", m->path);
    f = fopen(path, "wb");
    CHECK(f);
    fputs(text, f);
    fclose(f);
    return atn_token_labels_make(cx, m->capture, &m->selection, path, l);
}

static void files(atn_ctx *cx)
{
    static const int32_t numbers[] = {1, 0, 1, -1, 2, 0, 1},
                         words[] = {0, 1, 1, -1, 0, 0, 1};
    static const int32_t flags[] = {1, 0, 1, 0, 0, 1, 1};
    stored_model m;
    atn_token_labels l;

    store(cx, &m, "labels/files", false);
    CHECK_OK(read_file(cx, &m, "label\n5\n0\n5\n-1\n70\n0\n5\n", &l));
    expect(&l, numbers, 3);
    CHECK_STR(l.name[2], "70");
    atn_token_labels_release(cx, &l);
    CHECK_OK(
        read_file(cx, &m, "label\nnoun\nverb\nverb\nnone\nnoun\nnoun\nverb\n", &l));
    expect(&l, words, 2);
    CHECK_STR(l.name[1], "verb");
    atn_token_labels_release(cx, &l);
    CHECK_OK(
        read_file(cx, &m, "label\ntrue\nfalse\ntrue\nfalse\nfalse\ntrue\ntrue\n", &l));
    expect(&l, flags, 2);
    CHECK_STR(l.name[1], "true");
    atn_token_labels_release(cx, &l);
    CHECK_OK(
        read_file(cx, &m, "position,label\n6,5\n5,0\n4,70\n3,-1\n2,5\n1,0\n0,5\n", &l));
    expect(&l, numbers, 3);
    atn_token_labels_release(cx, &l);
    drop_stored(cx, &m);
}

/* No label, whatever the others are; other columns; lines that end anyhow. */
static void none_in_any_column(atn_ctx *cx)
{
    static const struct {
        const char *text;
        int32_t want[N];
        atn_idx classes;
        const char *last;
    } cases[] = {
        {"label\n5\nnone\n5\n-2\n70\n6\n5\n", {0, -1, 0, -1, 2, 1, 0}, 3, "70"},
        {"label\nnone\n9\n10\nnone\nnone\nnone\nnone\n",
         {-1, 0, 1, -1, -1, -1, -1},
         2,
         "10"}, /* mostly texts, but numbers */
        {"label\nb\n-1\na\nnone\nb\n-30\nb\n", {1, -1, 0, -1, 1, -1, 1}, 2, "b"},
        {"label\nb\n7\na\n7\nb\n10\nb\n", {3, 1, 2, 1, 3, 0, 3}, 4, "b"},
        {"head,label,text\n0,b,x\n.5,a,x\n0,b,\n0,b,x\n0,b,x\n0,b,x\n0,a,2\n",
         {1, 0, 1, 1, 1, 1, 0},
         2,
         "b"},
        {"label\r\n3\r\n3\r\n3\r\n3\r\n4\r\n4\r\n4\r\n\r\n\r\n",
         {0, 0, 0, 0, 1, 1, 1},
         2,
         "4"},
        {"label\nnone\nnone\nnone\n-1\n-1\nnone\nnone\n",
         {-1, -1, -1, -1, -1, -1, -1},
         0,
         NULL},
        {"{\"schema\":\"attnscope/table/1\",\"label\":3}\n"
         "{\"label\":3}\n{\"label\":-1}\n{\"label\":8}\n{\"label\":3}\n"
         "{\"label\":3}\n{\"label\":3}\n",
         {0, 0, -1, 1, 0, 0, 0},
         2,
         "8"},
    };
    stored_model m;
    atn_token_labels l;

    store(cx, &m, "labels/any", false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(read_file(cx, &m, cases[i].text, &l));
        expect(&l, cases[i].want, cases[i].classes);
        if (cases[i].last) CHECK_STR(l.name[l.classes - 1], cases[i].last);
        atn_token_labels_release(cx, &l);
    }
    CHECK_FAILS(atn_token_labels_make(cx, m.capture, &m.selection, ".", &l),
                ATN_NOINPUT, "is a directory");
    drop_stored(cx, &m);
}

static void bad_files(atn_ctx *cx)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"label\n1\n2\n", "labels.csv: 2 labels for a text of 7 tokens"},
        {"kind\n1\n1\n1\n1\n1\n1\n1\n", "there is no column label (the first line"},
        {"labels,pos\n1,0\n1,1\n1,2\n1,3\n1,4\n1,5\n1,6\n",
         "there is no column label, the nearest is 'labels'"},
        {"position\n0\n1\n2\n3\n4\n5\n6\n", "no column label"},
        {"label\n1\n1\n\n1\n1\n1\n1\n", "row 4: the label is empty"},
        {"label\r\n\r\na\r\na\r\na\r\na\r\na\r\na\r\n", "row 2: the label is empty"},
        {"label\n1\n1\n\n\n1\n1\n1\n1\n", "8 labels for a text of 7"},
        {"label\n1.5\n1\nnone\n1\n1\n1\n1\n", "not fractions"},
        {"position,label\n0,1\n1,1\n2,\n3,1\n4,1\n5,1\n6,1\n",
         "row 4: the label is empty"},
        {"label\n.5\n1\n1\n1\n1\n1\n1\n", "not fractions"},
        {"position,label\n0,1\n1,1\n2,1\n2,1\n4,1\n5,1\n6,1\n",
         "row 5: position 2 is there twice"},
        {"position,label\n0,1\n1,1\n2,1\n7,1\n4,1\n5,1\n6,1\n",
         "row 5: position 7 is outside the text"},
        {"position,label\n0,1\n1,1\n,1\n3,1\n4,1\n5,1\n6,1\n",
         "row 4: the position is empty"},
        {"position,label\na,1\nb,1\nc,1\nd,1\ne,1\nf,1\ng,1\n", "whole numbers from 0"},
    };
    stored_model m;
    atn_token_labels l;

    store(cx, &m, "labels/bad", false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(read_file(cx, &m, cases[i].text, &l), ATN_DATA, cases[i].error);
        CHECK(!l.label && !l.name && l.classes == 0);
    }
    drop_stored(cx, &m);
}

/* Of the first five tokens, one of them padding, class 2 is not there: 0 and 1 move up.
 * */
static void layers_take_a_part(atn_ctx *cx)
{
    int32_t label[] = {1, 3, -1, 3, 2, 0, 1};
    const atn_token_labels l = {.n = N, .label = label, .classes = 4};
    atn_layer_info info = {
        .stack = "", .nk = 5, .sight = {.key_first = 1, .key_last = 5}};
    const int32_t want[] = {-1, 1, -1, 1, 0};
    atn_idx classes, *of;
    int32_t *key;

    CHECK_OK(atn_token_labels_layer(cx, &l, &info, true, &key, &classes, &of));
    CHECK_EQ(classes, 2);
    CHECK_EQ(of[0], 2);
    CHECK_EQ(of[1], 3);
    for (int j = 0; j < 5; j++) CHECK_EQ(key[j], want[j]);
    cx->log_level = ATN_LOG_ERROR;
    CHECK_OK(atn_token_labels_layer(cx, &l, &info, false, &key, &classes, &of));
    CHECK(!key);
    info.nk = 8;
    CHECK_OK(atn_token_labels_layer(cx, &l, &info, true, &key, &classes, &of));
    CHECK(!key);
    info.nk = 5; /* only padding has a label */
    for (int j = 1; j < 5; j++) label[j] = -1;
    CHECK_OK(atn_token_labels_layer(cx, &l, &info, true, &key, &classes, &of));
    CHECK(key);
    CHECK_EQ(classes, 0);
}

static void allocations_may_fail(atn_ctx *cx)
{
    static const char *const what[] = {"token", "position:2"};
    stored_model m;

    store(cx, &m, "labels/memory", true);
    for (int i = 0; i < 2; i++) {
        atn_status st = ATN_MEMORY;

        for (long k = 0; st != ATN_OK; k++) {
            check_failing fail = {k};
            atn_token_labels l;
            atn_ctx c;

            CHECK(k < 100);
            atn_ctx_init(&c);
            c.alloc = (atn_allocator){check_failing_resize, &fail};
            st = atn_token_labels_make(&c, m.capture, &m.selection, what[i], &l);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            atn_token_labels_release(&c, &l);
            atn_ctx_release(&c);
        }
    }
    drop_stored(cx, &m);
}

CHECK_MAIN({"classes of texts", classes_of_texts}, {"ids and places", ids_and_places},
           {"files", files}, {"none in any column", none_in_any_column},
           {"bad files", bad_files}, {"layers take a part", layers_take_a_part},
           {"allocations may fail", allocations_may_fail})
