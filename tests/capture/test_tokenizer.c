/* tests/capture/test_tokenizer.c -- ids against Hugging Face tokenizers, and hostile
 * files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <dirent.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"

static char *read_all(atn_ctx *cx, const char *path)
{
    char *text = NULL;
    size_t size = 0;

    CHECK_OK(atn_file_read(cx, path, (size_t)1 << 26, &text, &size));
    return text;
}

/* The next line of *at, cut off; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    if (!*line || !end) return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static void print_ids(const int32_t *ids, atn_idx n, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (atn_idx i = 0; i < n && used + 16 < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%d", i ? " " : "", ids[i]);
}

/* Compares the lines that expected.ids.txt has; their number goes to *lines. */
static int check_lines(atn_ctx *cx, const char *dir, const char *name, int *n)
{
    static const char lines_path[] = ATN_TEST_FIXTURES "/tokenizers/lines.txt";
    char path[1200], *expected, *lines, *e, *l, *line;
    atn_tokenizer *t = NULL;
    int wrong = 0;

    *n = 0;
    snprintf(path, sizeof path, "%s/expected.ids.txt", dir);
    expected = e = read_all(cx, path);
    lines = l = read_all(cx, lines_path);
    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    for (const char *want; (want = next_line(&e)); (*n)++) {
        char got[8192];
        int32_t *ids = NULL;
        atn_idx count = 0;

        line = next_line(&l);
        CHECK(line != NULL);
        CHECK_OK(atn_tokenizer_encode(cx, t, line, strlen(line), true, &ids, &count));
        print_ids(ids, count, got, sizeof got);
        if (strcmp(got, want) != 0 && ++wrong <= 3)
            print_message("%s line %d \"%s\"\n   got  %s\n   want %s\n", name, *n + 1,
                          line, got, want);
        atn_free(cx, ids);
    }
    atn_tokenizer_destroy(cx, t);
    atn_free(cx, expected);
    atn_free(cx, lines);
    return wrong;
}

static void a_thousand_lines(atn_ctx *cx)
{
    DIR *d = opendir(ATN_TEST_FIXTURES "/tokenizers");
    const struct dirent *e;
    int cases = 0, whole = 0, wrong = 0;

    CHECK(d != NULL);
    while ((e = readdir(d))) {
        char dir[1100];
        int here, n;

        snprintf(dir, sizeof dir, "%s/tokenizers/%s", ATN_TEST_FIXTURES, e->d_name);
        if (e->d_name[0] == '.' || !atn_dir_exists(dir)) continue;
        here = check_lines(cx, dir, e->d_name, &n);
        if (here) print_message("%s: %d of %d lines differ\n", e->d_name, here, n);
        CHECK(n == 1000 || n == 300);
        wrong += here;
        whole += n == 1000;
        cases++;
    }
    closedir(d);
    CHECK_EQ(wrong, 0);
    CHECK_LE(15, whole);
    CHECK_LE(34, cases);
}

/* Pieces of the oracle text under the expressions of three families, counted by
 * hand. */
static void oracle_pieces(atn_ctx *cx)
{
    static const char text[] =
        "Hello  world's 12345 caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd\n\n  "
        "x\xe2\x80\x83y\xc2\x85z";
    static const struct {
        const char *dir;
        atn_idx pieces;
    } cases[] = {{"gpt2", 13}, {"llama3", 14}, {"qwen2", 17}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        char dir[1100];
        atn_tokenizer *t = NULL;
        tok_pieces pieces = {0};

        snprintf(dir, sizeof dir, "%s/tokenizers/%s", ATN_TEST_FIXTURES, cases[i].dir);
        CHECK_OK(atn_tokenizer_load(cx, dir, &t));
        CHECK_OK(tok_split_text(cx, t, text, strlen(text), true, &pieces));
        CHECK_EQ(pieces.n, cases[i].pieces);
        /* the byte map: space is U+0120, newline U+010A */
        CHECK(memcmp(pieces.text.data + pieces.items[2].at, "\xc4\xa0world", 7) == 0);
        tok_pieces_release(cx, &pieces);
        atn_tokenizer_destroy(cx, t);
    }
}

/* No white space to the reference's expressions, so one piece; PCRE2 would make it
 * two. */
static void mongolian_separator(atn_ctx *cx)
{
    static const char *const dirs[] = {"gpt2", "llama3"};

    for (size_t i = 0; i < ATN_LEN(dirs); i++) {
        char dir[1100];
        atn_tokenizer *t = NULL;
        tok_pieces pieces = {0};

        snprintf(dir, sizeof dir, "%s/tokenizers/%s", ATN_TEST_FIXTURES, dirs[i]);
        CHECK_OK(atn_tokenizer_load(cx, dir, &t));
        CHECK_OK(tok_split_text(cx, t, "!\xe1\xa0\x8e", 4, true, &pieces));
        CHECK_EQ(pieces.n, 1);
        tok_pieces_release(cx, &pieces);
        atn_tokenizer_destroy(cx, t);
    }
}

static void byte_alphabet(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(tok_byte_char(' '), 0x120);
    CHECK_EQ(tok_byte_char('\n'), 0x10a);
    CHECK_EQ(tok_byte_char(0), 0x100);
    for (int b = 0; b < 256; b++)
        CHECK_EQ(tok_char_byte(tok_byte_char((unsigned char)b)), b);
    CHECK_EQ(tok_char_byte(0x400), -1);
}

/* The shared Llama: its greedy continuation, detokenised by its authors. */
static void stories260k(atn_ctx *cx)
{
    char dir[1024], path[1100], *text, *expected, got[8192];
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    snprintf(dir, sizeof dir, "%s", check_shared("models/stories260k/greedy-200.txt"));
    *strrchr(dir, '/') = '\0';
    snprintf(path, sizeof path, "%s/greedy-200.txt", dir);
    text = read_all(cx, path);
    snprintf(path, sizeof path, "%s/greedy-200.ids.txt", dir);
    expected = read_all(cx, path);
    text[strcspn(text, "\n")] = '\0';
    expected[strcspn(expected, "\n")] = '\0';
    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, text, strlen(text), true, &ids, &n));
    print_ids(ids, n, got, sizeof got);
    CHECK(strncmp(got, expected, 200) == 0);
    atn_free(cx, ids);
    atn_free(cx, text);
    atn_free(cx, expected);
    atn_tokenizer_destroy(cx, t);
}

static void token_texts(atn_ctx *cx)
{
    static const struct {
        const char *dir, *text, *first, *last;
    } cases[] = {{"gpt2", "one of", "on", " of"}, {"llama2", "one of", "on", " of"}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        char dir[1100], *text = NULL;
        atn_tokenizer *t = NULL;
        int32_t *ids = NULL;
        atn_idx n = 0;

        snprintf(dir, sizeof dir, "%s/tokenizers/%s", ATN_TEST_FIXTURES, cases[i].dir);
        CHECK_OK(atn_tokenizer_load(cx, dir, &t));
        CHECK_OK(atn_tokenizer_encode(cx, t, cases[i].text, strlen(cases[i].text),
                                      false, &ids, &n));
        CHECK_OK(atn_tokenizer_text(cx, t, ids[n - 1], false, &text));
        CHECK_STR(text, cases[i].last);
        atn_free(cx, text);
        CHECK_OK(atn_tokenizer_text(cx, t, ids[0], true, &text));
        CHECK(strncmp(text, cases[i].first, 1) == 0);
        atn_free(cx, text);
        atn_free(cx, ids);
        CHECK_FAILS(atn_tokenizer_text(cx, t, 1 << 25, true, &text), ATN_DATA,
                    "not in the vocab");
        atn_tokenizer_destroy(cx, t);
    }
}

static void bad_text(atn_ctx *cx)
{
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    CHECK_OK(atn_tokenizer_load(cx, ATN_TEST_FIXTURES "/tokenizers/gpt2", &t));
    CHECK_FAILS(atn_tokenizer_encode(cx, t, "ab\xff", 3, true, &ids, &n), ATN_DATA,
                "byte 2");
    CHECK_OK(atn_tokenizer_encode(cx, t, "", 0, true, &ids, &n));
    CHECK_EQ(n, 0);
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, t);
}

static void write_tokenizer(const char *dir, const char *json)
{
    char path[1100];
    FILE *f;

    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    f = fopen(path, "wb");
    CHECK(f != NULL);
    fputs(json, f);
    fclose(f);
}

static void hostile_files(atn_ctx *cx)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"", "no valid JSON"},
        {"[1]", "no JSON object"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}", "empty"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}",
         "outside"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4000000000}, \"merges\": "
         "[]}}",
         "outside"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": \"x\"}, \"merges\": []}}",
         "outside"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": "
         "[]}}",
         "two tokens"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a "
         "b\"]}}",
         "vocabulary"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": "
         "[\"ab\"]}}",
         "neither"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [1]}}",
         "neither"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": 3}}",
         "no array"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [], "
         "\"unk_token\": \"u\"}}",
         "unk_token"},
        {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}}}", "unk_token"},
        {"{\"model\": {\"type\": \"WordLevel\", \"vocab\": {}}}", "WordLevel"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", "empty"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}}", "pair"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", \"b\"]]}}", "pair"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], \"unk_id\": 1}}",
         "unk_id"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, "
         "\"normalizer\": {\"type\": \"Precompiled\"}}",
         "Precompiled"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, "
         "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", "
         "\"pattern\": {\"Regex\": \"(\"}}}",
         "compiled"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, "
         "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", "
         "\"pattern\": {\"Regex\": \"\\\\w+\"}}}",
         "--token-ids"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, "
         "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
         "[{\"SpecialToken\": {\"id\": \"x\"}}]}}",
         "special token"},
        {"{\"added_tokens\": [{\"id\": 1}], \"model\": {\"type\": \"BPE\", \"vocab\": "
         "{\"a\": 0}, \"merges\": []}}",
         "added_tokens"},
    };
    char dir[512];

    snprintf(dir, sizeof dir, "%s", check_scratch("tokenizer-hostile"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_tokenizer *t = NULL;

        write_tokenizer(dir, cases[i].json);
        CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, cases[i].message);
        CHECK(t == NULL);
    }
    CHECK_FAILS(atn_tokenizer_load(cx, check_scratch("tokenizer-none"),
                                   &(atn_tokenizer *){NULL}),
                ATN_NOINPUT, "--token-ids");
}

static void check_ids(atn_ctx *cx, const char *dir, const char *text, const char *want)
{
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;
    char got[256];

    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, text, strlen(text), false, &ids, &n));
    print_ids(ids, n, got, sizeof got);
    CHECK_STR(got, want);
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, t);
}

/* Rules that take one word each to see; ids of Hugging Face tokenizers 0.23.3. A token
 * that was added is no part of the model's vocabulary: not as a whole piece, not as a
 * first symbol, not as a piece of a word. */
static void small_rules(atn_ctx *cx)
{
#define ADDED(id, text)                                                                \
    "{\"added_tokens\": [{\"id\": " id ", \"content\": \"" text                        \
    "\", \"single_word\": true}], \"model\": "
    static const char leftmost[] =
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"aa\": 1}, \"merges\": "
        "[\"a a\"]}}";
    static const char symbol[] = ADDED(
        "2",
        "z") "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"u\": 1}, \"merges\": [], "
             "\"unk_token\": \"u\"}}";
    static const char subword[] = ADDED(
        "3", "zz") "{\"type\": \"WordPiece\", \"vocab\": {\"[UNK]\": 0, \"a\": 1, "
                   "\"##z\": 2}, \"unk_token\": \"[UNK]\"}}";
    static const char limit[] =
        "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[UNK]\": 0, "
        "\"\xc3\xa9\": 1, \"##\xc3\xa9\": 2}, \"unk_token\": \"[UNK]\", "
        "\"max_input_chars_per_word\": 3}}";
    static const struct {
        const char *json, *text, *ids;
    } cases[] = {
        {leftmost, "aaa", "1 0"},
        {symbol, "az", "0 1"},
        {symbol, "z", "2"},
        {subword, "zzz", "0"},
        {subword, "azz", "1 2 2"},
        {limit, "\xc3\xa9\xc3\xa9\xc3\xa9", "1 2 2"},
        {limit, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "0"},
    };
    char dir[512];
#undef ADDED

    snprintf(dir, sizeof dir, "%s", check_scratch("tokenizer-rules"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        print_message("%s\n", cases[i].text);
        write_tokenizer(dir, cases[i].json);
        check_ids(cx, dir, cases[i].text, cases[i].ids);
    }
    check_ids(cx, ATN_TEST_FIXTURES "/tokenizers/llama3", "425956255attention",
              "20 18 21 25 21 22 18 21 21 324 399");
}

#define LETTERS                                                                        \
    "\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"a\": 0, \"b\": 1, "  \
    "\"c\": "                                                                          \
    "2, \"d\": 3, \"e\": 4, \"f\": 5, \"x\": 23, \"y\": 24, \"z\": 25, \" \": 26, "    \
    "\"\\n\": 27}}"

/* White space on the sides of added tokens, which two of them may both take; ids of
 * Hugging Face tokenizers 0.23.3. */
static void added_flags(atn_ctx *cx)
{
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 23, \"content\": \"x\", \"lstrip\": true, "
        "\"rstrip\": true}, {\"id\": 24, \"content\": \"y\", \"rstrip\": true}, "
        "{\"id\": 29, \"content\": \"  \"}, {\"id\": 26, \"content\": \" \"}, "
        "{\"id\": 30, \"content\": \"zz\", \"single_word\": true}, "
        "{\"id\": 25, \"content\": \"z\"}], " LETTERS "}";
    static const struct {
        const char *text, *ids;
    } cases[] = {
        {"x  x", "23 29 23"},    {"y  a", "24 29 0"},  {"y a", "24 26 0"},
        {"y   a", "24 29 26 0"}, {"a  x", "0 29 23"},  {"y  x", "24 29 23"},
        {"zza", "25 25 0"},      {"zz", "30"},         {"a zz", "0 26 30"},
        {"azzz", "0 25 25 25"},  {"zz z", "30 26 25"},
    };
    char dir[512];

    snprintf(dir, sizeof dir, "%s", check_scratch("tokenizer-flags"));
    write_tokenizer(dir, json);
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        print_message("%s\n", cases[i].text);
        check_ids(cx, dir, cases[i].text, cases[i].ids);
    }
}

/* What an expression takes out of a text, where PCRE2 would read it otherwise; pieces
 * left over by Hugging Face tokenizers 0.23.3. */
static void expressions(atn_ctx *cx)
{
    static const struct {
        const char *regex, *text, *ids; /* NULL = refused */
    } cases[] = {
        {"^a|b$", "ab\nab\ncab", "27 27 2 0"},
        {"^a|b$", "aa", "0"},
        {"[a[bc]]+", "abcdef", "3 4 5"},
        {"[^a[b]c]", "abcdef", "0 1 2"},
        {"[[:alpha:]x]", "abcdef", ""},
        {"[\\\\[\\\\]a]", "abcdef", "1 2 3 4 5"},
        {"[^(\\\\s|[.a]b)]+", "abcdef", "0 1"},
        {"[a&&b]", "abcdef", NULL},
        {"[a[^b]]", "abcdef", NULL},
    };
    char dir[512], json[1024];

    snprintf(dir, sizeof dir, "%s", check_scratch("tokenizer-expressions"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        print_message("%s\n", cases[i].regex);
        snprintf(json, sizeof json,
                 "{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Removed\", "
                 "\"pattern\": {\"Regex\": \"%s\"}}, " LETTERS "}",
                 cases[i].regex);
        write_tokenizer(dir, json);
        if (cases[i].ids)
            check_ids(cx, dir, cases[i].text, cases[i].ids);
        else
            CHECK_FAILS(atn_tokenizer_load(cx, dir, &(atn_tokenizer *){NULL}), ATN_DATA,
                        "class");
    }
}
#undef LETTERS

/* BERT's limit where the file states none: a word of 100 characters, not of 101. */
static void word_limit(atn_ctx *cx)
{
    char text[102] = "";
    atn_tokenizer *t = NULL;

    CHECK_OK(
        atn_tokenizer_load(cx, ATN_TEST_FIXTURES "/tokenizers/bert_vocab_txt", &t));
    memset(text, 'a', 101);
    for (size_t n = 100; n <= 101; n++) {
        int32_t *ids = NULL;
        atn_idx count = 0;

        CHECK_OK(atn_tokenizer_encode(cx, t, text, n, false, &ids, &count));
        CHECK_EQ(count == 1 && ids[0] == t->unk, n == 101);
        atn_free(cx, ids);
    }
    atn_tokenizer_destroy(cx, t);
}

/* Every tenth prefix of a sound file is refused, none crashes. */
static void truncated_file(atn_ctx *cx)
{
    char dir[512],
        *text = read_all(cx, ATN_TEST_FIXTURES "/tokenizers/llama3/tokenizer.json");
    const size_t n = strlen(text);

    snprintf(dir, sizeof dir, "%s", check_scratch("tokenizer-truncated"));
    for (size_t cut = 0; cut < n; cut += 101) {
        const char kept = text[cut];
        atn_tokenizer *t = NULL;

        text[cut] = '\0';
        write_tokenizer(dir, text);
        text[cut] = kept;
        CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "JSON");
    }
    atn_free(cx, text);
}

/* Merging 200,000 symbols of one word: every candidate is made once, so this ends at
 * once; a quadratic merge would take minutes. */
static void long_word(atn_ctx *cx)
{
    enum { N = 200000 };
    char *text = malloc(N);
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    memset(text, 'o', N);
    for (int i = 0; i < N; i += 2) text[i] = 'n';
    CHECK_OK(atn_tokenizer_load(cx, ATN_TEST_FIXTURES "/tokenizers/llama2", &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, text, N, false, &ids, &n));
    CHECK_LE(1, n);
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, t);
    free(text);
}

CHECK_MAIN({"a thousand lines", a_thousand_lines}, {"oracle pieces", oracle_pieces},
           {"U+180E", mongolian_separator}, {"small rules", small_rules},
           {"added flags", added_flags}, {"expressions", expressions},
           {"word limit", word_limit}, {"byte alphabet", byte_alphabet},
           {"stories260k", stories260k}, {"token texts", token_texts},
           {"bad text", bad_text}, {"hostile files", hostile_files},
           {"truncated file", truncated_file}, {"long word", long_word})
