/* tests/capture/test_tokenizer_pieces.c -- Unigram, SentencePiece's table of
 * characters and files, and directories without tokenizer.json. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <math.h>

#include "capture/tokenizer_internal.h"
#include "core/io/file.h"
#include "core/rng.h"

#define FIXTURE(name) ATN_TEST_FIXTURES "/tokenizers/" name

static void write_file(const char *dir, const char *name, const void *data, size_t n)
{
    char path[1200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    write_file(dir, name, text, strlen(text));
}

static char *read_all(atn_ctx *cx, const char *path, size_t *size)
{
    char *text = NULL;

    CHECK_OK(atn_file_read(cx, path, (size_t)1 << 26, &text, size));
    return text;
}

static void check_ids(atn_ctx *cx, const char *dir, const char *text, const char *want)
{
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;
    char got[512] = "";
    size_t used = 0;

    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, text, strlen(text), false, &ids, &n));
    for (atn_idx i = 0; i < n && used + 16 < sizeof got; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%d", i ? " " : "",
                                 ids[i]);
    CHECK_STR(got, want);
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, t);
}

/* ---- Unigram ---- */

/* Ties, fused unknowns, bytes in place of them, texts given twice; ids of Hugging Face
 * tokenizers 0.23.3. Fused unknowns that are a text of the vocabulary are that text:
 * with a smallest score of 30 two unknowns (20 each) beat it on the way there. */
static void unigram_rules(atn_ctx *cx)
{
#define MODEL(rest) "{\"model\": {\"type\": \"Unigram\", " rest "}}"
    static const char ties[] =
        MODEL("\"unk_id\": 0, \"vocab\": [[\"u\", 0], [\"a\", -1], [\"b\", -1], "
              "[\"ab\", -2], [\"ba\", -2]]");
    static const char high[] =
        MODEL("\"unk_id\": 0, \"vocab\": [[\"u\", 30], [\"a\", 30], [\"xy\", 30]]");
    static const char bytes[] =
        MODEL("\"unk_id\": 0, \"byte_fallback\": true, \"vocab\": [[\"u\", 0], "
              "[\"<0x78>\", -1], [\"<0xC3>\", -1], [\"<0xA9>\", -1]]");
    static const char twice[] =
        MODEL("\"unk_id\": 0, \"vocab\": [[\"u\", 0], [\"a\", -1], [\"a\", -3], "
              "[\"aa\", -5]]");
    static const struct {
        const char *json, *text, *ids;
    } cases[] = {
        {ties, "ab", "3"},
        {ties, "aba", "1 4"},
        {ties, "abab", "3 3"},
        {ties, "xxya", "0 1"},
        {ties, "uxa", "0 1"},
        {ties, "xux", "0"},
        {ties, "", ""},
        {high, "xy", "2"},
        {high, "axy", "1 2"},
        {bytes, "xy", "0"},
        {bytes, "\xc3\xa9x", "2 3 1"},
        {bytes, "y\xc3\xa9", "0"},
        {twice, "aa", "3"},
    };
    static const char none[] = MODEL("\"vocab\": [[\"a\", -1]]");
#undef MODEL
    char dir[512];
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    snprintf(dir, sizeof dir, "%s", check_scratch("unigram-rules"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        print_message("%zu %s\n", i, cases[i].text);
        write_text(dir, "tokenizer.json", cases[i].json);
        check_ids(cx, dir, cases[i].text, cases[i].ids);
    }
    write_text(dir, "tokenizer.json", none);
    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, "aa", 2, true, &ids, &n));
    CHECK_EQ(n, 2);
    atn_free(cx, ids);
    CHECK_FAILS(atn_tokenizer_encode(cx, t, "a\xe2\x82\xac", 4, true, &ids, &n),
                ATN_DATA, "'\xe2\x82\xac' of the text");
    atn_tokenizer_destroy(cx, t);
}

/* The largest sum over every way to cut text[at..n), by trying them all. */
static double best_sum(const char (*vocab)[4], const double *score, int n_vocab,
                       double unknown, const char *text)
{
    double best = -INFINITY;
    bool single = false;

    if (!*text) return 0;
    for (int v = 0; v < n_vocab; v++) {
        const size_t size = strlen(vocab[v]);

        if (strncmp(text, vocab[v], size) != 0) continue;
        single |= size == 1;
        best = fmax(best,
                    score[v] + best_sum(vocab, score, n_vocab, unknown, text + size));
    }
    if (!single)
        best = fmax(best, unknown + best_sum(vocab, score, n_vocab, unknown, text + 1));
    return best;
}

enum { VOCAB = 9 };

/* Distinct texts of 1 to 3 letters of abc, scores that are multiples of 1/8. */
static void random_model(atn_rng *r, char (*vocab)[4], double *score)
{
    for (int v = 0; v < VOCAB; v++) {
        bool again = true;

        while (again) {
            const int n = 1 + (int)(3 * atn_rng_uniform(r));

            memset(vocab[v], 0, 4);
            for (int i = 0; i < n; i++)
                vocab[v][i] = (char)('a' + (int)(3 * atn_rng_uniform(r)));
            again = false;
            for (int w = 0; w < v; w++) again |= strcmp(vocab[v], vocab[w]) == 0;
        }
        score[v] = -(int)(40 * atn_rng_uniform(r)) / 8.0;
    }
}

static void write_model(const char *dir, const char (*vocab)[4], const double *score)
{
    char json[1024];
    size_t used = (size_t)snprintf(
        json, sizeof json,
        "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"?\", 0]");

    for (int v = 0; v < VOCAB; v++)
        used += (size_t)snprintf(json + used, sizeof json - used, ", [\"%s\", %.4f]",
                                 vocab[v], score[v]);
    snprintf(json + used, sizeof json - used, "]}}");
    write_text(dir, "tokenizer.json", json);
}

/* No cut of the text has a larger sum. A fused unknown counts once a letter. */
static void unigram_is_best(atn_ctx *cx)
{
    char dir[512], vocab[VOCAB][4];
    atn_rng r = atn_rng_stream(0, "test/unigram", 0, 0);
    double score[VOCAB];

    snprintf(dir, sizeof dir, "%s", check_scratch("unigram-best"));
    for (int trial = 0; trial < 60; trial++) {
        atn_tokenizer *t = NULL;
        char text[11] = "";
        int32_t *ids = NULL;
        double least = 0, sum = 0;
        atn_idx n = 0, known = 0;

        random_model(&r, vocab, score);
        write_model(dir, (const char(*)[4])vocab, score);
        for (int v = 0; v < VOCAB; v++) least = fmin(least, score[v]);
        for (int i = 0; i < 10; i++)
            text[i] = (char)('a' + (int)(3.3 * atn_rng_uniform(&r)));
        CHECK_OK(atn_tokenizer_load(cx, dir, &t));
        CHECK_OK(atn_tokenizer_encode(cx, t, text, 10, true, &ids, &n));
        for (atn_idx i = 0; i < n; i++) {
            if (ids[i] == 0) continue;
            sum += score[ids[i] - 1];
            known += (atn_idx)strlen(vocab[ids[i] - 1]);
        }
        sum += (double)(10 - known) * (least - 10);
        CHECK_NEAR(sum,
                   best_sum((const char(*)[4])vocab, score, VOCAB, least - 10, text),
                   1e-9);
        atn_free(cx, ids);
        atn_tokenizer_destroy(cx, t);
    }
}

/* Metaspace first marks a text whose first character is the document's: not behind a
 * step that took that one away. Ids of Hugging Face tokenizers 0.23.3; u 0,
 * mark 1, a 2, b 3. */
static void first_mark(atn_ctx *cx)
{
#define REPLACE(kind, from, to)                                                        \
    "{\"type\": \"Replace\", \"pattern\": {\"" kind "\": \"" from                      \
    "\"}, \"content\": \"" to "\"}"
#define BOTH(a, b) "{\"type\": \"Sequence\", \"normalizers\": [" a ", " b "]}"
    static const char marks[] =
        BOTH("{\"type\": \"NFKC\"}", "{\"type\": \"StripAccents\"}");
    static const char bert[] = "{\"type\": \"BertNormalizer\"}";
    static const struct {
        const char *normalizer, *splitter, *text, *ids;
    } cases[] = {
        {marks, NULL,
         "\xcc\x81"
         "a",
         "2"},
        {marks, NULL,
         "\xe0\xb8\xb3"
         "a",
         "1 0 2"}, /* of one character a mark goes */
        {marks, NULL, "a\xcc\x81", "1 0"},
        {marks, NULL, " a", "1 2"},
        {"{\"type\": \"Strip\", \"strip_right\": false}", NULL, " a", "2"},
        {"{\"type\": \"Strip\", \"strip_right\": false}", NULL, "a", "1 2"},
        {REPLACE("String", "b", ""), NULL, "ba", "2"},
        {REPLACE("String", "b", ""), NULL, "ab", "1 2"},
        {REPLACE("String", "bb", "a"), NULL, "bba", "2 2"},
        {REPLACE("String", "b", "aa"), NULL, "ba", "1 2 2 2"},
        {BOTH(REPLACE("String", "b", ""),
              "{\"type\": \"Prepend\", \"prepend\": \"a\"}"),
         NULL, "ba", "2 2"},
        {REPLACE("Regex", "b+", "a"), NULL, "bb", "2"},
        {REPLACE("Regex", "b+", "a"), NULL, "b", "1 2"},
        {bert, NULL,
         "\x01"
         "a",
         "2"},
        {bert, NULL,
         "\xcc\x81"
         "a",
         "2"},
        {bert, NULL, "\xe4\xb8\x80", "1 0 1"},
        {"null", "{\"type\": \"WhitespaceSplit\"}, ", " a", "2"},
        {"null", "{\"type\": \"WhitespaceSplit\"}, ", "a a", "1 2 2"},
        {"null",
         "{\"type\": \"Split\", \"pattern\": {\"String\": \"b\"}, \"behavior\": "
         "\"Removed\"}, ",
         "ba", "2"},
    };
#undef REPLACE
#undef BOTH
    char dir[512], json[1024];

    snprintf(dir, sizeof dir, "%s", check_scratch("first-mark"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        print_message("%zu\n", i);
        snprintf(json, sizeof json,
                 "{\"normalizer\": %s, \"pre_tokenizer\": {\"type\": \"Sequence\", "
                 "\"pretokenizers\": [%s{\"type\": \"Metaspace\", \"prepend_scheme\": "
                 "\"first\"}]}, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, "
                 "\"vocab\": [[\"u\", 0], [\"\xe2\x96\x81\", -1], [\"a\", -1], [\"b\", "
                 "-1]]}}",
                 cases[i].normalizer, cases[i].splitter ? cases[i].splitter : "");
        write_text(dir, "tokenizer.json", json);
        check_ids(cx, dir, cases[i].text, cases[i].ids);
    }
}

static void refuses(atn_ctx *cx, const char *dir, const char *text, const char *part)
{
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_FAILS(atn_tokenizer_encode(cx, t, text, strlen(text), false, &ids, &n),
                ATN_DATA, part);
    CHECK(ids == NULL);
    atn_tokenizer_destroy(cx, t);
}

/* Steps that multiply a text, an expression without end, a piece of a megabyte. */
static void work_is_bounded(atn_ctx *cx)
{
    static const char tail[] =
        "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": "
        "[[\"u\", 0], [\"a\", -1]]}}";
    static const char step[] =
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, "
        "\"content\": \"aaaaaaaaaa\"}";
    char dir[512], *json = malloc(1 << 16), *text = malloc((1 << 18) + 1);
    atn_tokenizer *t = NULL;
    size_t at;

    snprintf(dir, sizeof dir, "%s", check_scratch("bounded"));
    at = (size_t)sprintf(
        json, "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    for (int i = 0; i < 12; i++)
        at += (size_t)sprintf(json + at, "%s%s", i ? ", " : "", step);
    sprintf(json + at, "]}, %s", tail);
    write_text(dir, "tokenizer.json", json);
    refuses(cx, dir, "a", "grow to more than 65792 bytes");

    at = (size_t)sprintf(
        json, "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; i < 40; i++)
        at += (size_t)sprintf(json + at,
                              "%s{\"type\": \"ByteLevel\", \"use_regex\": false}",
                              i ? ", " : "");
    sprintf(json + at, "]}, %s", tail);
    write_text(dir, "tokenizer.json", json);
    refuses(cx, dir, "\xc3\xa9", "grow to more than");

    sprintf(json,
            "{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": "
            "\"(?:(a)|b)*[cd]\"}, \"content\": \"\"}, %s",
            tail);
    write_text(dir, "tokenizer.json", json);
    memset(text, 'a', 1 << 18);
    text[1 << 18] = '\0';
    refuses(cx, dir, text, "too many steps");

    text[5000] = '\0';
    sprintf(
        json,
        "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"u\", 0], "
        "[\"%s\", -1]]}}",
        text);
    write_text(dir, "tokenizer.json", json);
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "vocab[1] has 5000 bytes");
    sprintf(json, "{\"added_tokens\": [{\"id\": 2, \"content\": \"%s\"}], %s", text,
            tail);
    write_text(dir, "tokenizer.json", json);
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "added_tokens holds a text");
    write_text(
        dir, "tokenizer.json",
        "{\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"  \"}, "
        "\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "not one character");
    free(json);
    free(text);
}

/* A text of one piece and a million letters ends at once: linear, not quadratic. */
static void long_text(atn_ctx *cx)
{
    enum { N = 1 << 20 };
    char *text = malloc(N);
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    for (int i = 0; i < N; i++) text[i] = "attention "[i % 10];
    CHECK_OK(atn_tokenizer_load(cx, FIXTURE("unigram_whole"), &t));
    CHECK_OK(atn_tokenizer_encode(cx, t, text, N, false, &ids, &n));
    CHECK_LE(N / 10, n);
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, t);
    free(text);
}

/* ---- the table of characters ---- */

/* T5's own map; the last three by Hugging Face tokenizers 0.23.3. */
static void charsmap_oracles(atn_ctx *cx)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"\xe2\x84\xa2\x1eg", "TMg"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"\xef\xac\x81", "fi"},
        {"\xe3\x81\x8b\xe3\x82\x99", "\xe3\x81\x8b\xe3\x82\x99"}, /* 6 bytes */
        {"A\xcc\x8a\xcc\x81", "\xc3\x85"}, /* the acute is lost */
        {"\r\n", " "},
        {"\xc2\xad", "\xc2\xad"},
        {"", ""},
    };
    atn_tokenizer *t = NULL;
    tok_text in = {0}, out = {0};

    CHECK_OK(atn_tokenizer_load(cx, FIXTURE("spm_t5"), &t));
    CHECK_EQ(t->normals[0].kind, TOK_PRECOMPILED);
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        in.size = out.size = 0;
        CHECK_OK(tok_append(cx, &in, cases[i].text, strlen(cases[i].text)));
        CHECK_OK(tok_append(cx, &out, "", 0));
        CHECK_OK(tok_map_chars(cx, &t->normals[0].map, &in, &out));
        CHECK_STR(out.data, cases[i].want);
    }
    atn_free(cx, in.data);
    atn_free(cx, out.data);
    atn_tokenizer_destroy(cx, t);
}

/* Random units: nothing outside of the arrays is read, whatever they say. */
static void charsmap_random(atn_ctx *cx)
{
    const atn_tokenizer t = {.path = (char *)(uintptr_t) "map"};
    static const char text[] = "a\xc3\xa9 \xe2\x84\xa2 xyz\xf0\x9f\x98\x80";
    atn_rng r = atn_rng_stream(0, "test/charsmap", 0, 0);

    for (int trial = 0; trial < 400; trial++) {
        unsigned char blob[4 + 4 * 64 + 3] = {4 * 64 & 255, 4 * 64 >> 8};
        tok_charsmap m = {0};
        tok_text in = {0}, out = {0};

        for (size_t i = 4; i < 4 + 4 * 64; i++) {
            /* half of the labels are letters of the text, half of the offsets small */
            const bool likely = atn_rng_uniform(&r) < 0.5;
            blob[i] = (unsigned char)(256 * atn_rng_uniform(&r));
            if (likely && i % 4 == 0)
                blob[i] = (unsigned char)text[(int)(12 * atn_rng_uniform(&r))];
            if (likely && i % 4 >= 2) blob[i] = 0;
        }
        memcpy(blob + 4 + 4 * 64, "q\0r", 3);
        CHECK_OK(tok_read_charsmap(cx, &t, blob, sizeof blob, &m));
        CHECK_OK(tok_append(cx, &in, text, sizeof text - 1));
        CHECK_OK(tok_map_chars(cx, &m, &in, &out));
        tok_charsmap_release(cx, &m);
        atn_free(cx, in.data);
        atn_free(cx, out.data);
    }
}

static void charsmap_hostile(atn_ctx *cx)
{
    static const struct {
        const char *map, *message;
    } cases[] = {
        {"", "array"},
        {"AAAA", "array"},
        {"BAAAAA==", "array"},     /* announces 4 bytes, has none */
        {"AwAAAAAAAA==", "array"}, /* 3 bytes are no unit */
        {"/////wAAAAA=", "array"}, /* 4 GiB */
        {"BAAAAAAAAAD/", "UTF-8"}, /* one unit, text FF */
        {"B!AAAAAAAAA=", "base64"},
        {"BAAAA", "base64"},
    };
    char dir[512], json[400];
    atn_tokenizer *t = NULL;

    snprintf(dir, sizeof dir, "%s", check_scratch("charsmap-hostile"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        snprintf(json, sizeof json,
                 "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}, "
                 "\"normalizer\": {\"type\": \"Precompiled\", "
                 "\"precompiled_charsmap\": \"%s\"}}",
                 cases[i].map);
        write_text(dir, "tokenizer.json", json);
        CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, cases[i].message);
    }
}

/* ---- SentencePiece files ---- */

/* Every tenth prefix of a sound file is refused or loads; none crashes. */
static void spm_truncated(atn_ctx *cx)
{
    char dir[512], *data;
    size_t n = 0;
    int refused = 0;

    data = read_all(cx, FIXTURE("spm_llama/tokenizer.model"), &n);
    snprintf(dir, sizeof dir, "%s", check_scratch("spm-truncated"));
    write_text(dir, "config.json", "{\"model_type\": \"llama\"}");
    for (size_t cut = 0; cut < n; cut += 97) {
        atn_tokenizer *t = NULL;
        char *copy = malloc(cut + 1); /* its end is the end of the memory */

        memcpy(copy, data, cut);
        write_file(dir, "tokenizer.model", copy, cut);
        if (atn_tokenizer_load(cx, dir, &t) != ATN_OK) {
            CHECK_EQ(cx->err.code, ATN_DATA);
            atn_err_clear(cx);
            refused++;
        }
        atn_tokenizer_destroy(cx, t);
        free(copy);
    }
    CHECK_LE((int)(n / 97) * 9 / 10, refused);
    atn_free(cx, data);
}

/* Single bytes changed at random. */
static void spm_flipped(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(0, "test/spm", 0, 0);
    char dir[512], *data;
    size_t n = 0;

    data = read_all(cx, FIXTURE("spm_albert/spiece.model"), &n);
    snprintf(dir, sizeof dir, "%s", check_scratch("spm-flipped"));
    write_text(dir, "config.json", "{\"model_type\": \"albert\"}");
    for (int trial = 0; trial < 300; trial++) {
        const size_t at = (size_t)((double)n * atn_rng_uniform(&r));
        const char kept = data[at];
        atn_tokenizer *t = NULL;
        int32_t *ids = NULL;
        atn_idx count = 0;

        data[at] = (char)(256 * atn_rng_uniform(&r));
        write_file(dir, "spiece.model", data, n);
        data[at] = kept;
        if (atn_tokenizer_load(cx, dir, &t) != ATN_OK ||
            atn_tokenizer_encode(cx, t, "The matrix\xc2\xa0 of 7, heads", 25, true,
                                 &ids, &count) != ATN_OK) {
            CHECK_EQ(cx->err.code, ATN_DATA);
            atn_err_clear(cx);
        }
        atn_free(cx, ids);
        atn_tokenizer_destroy(cx, t);
    }
    atn_free(cx, data);
}

/* Pieces by hand: "\n" tag 1 of the model, then the fields of a piece. */
static void spm_hostile(atn_ctx *cx)
{
    static const struct {
        const char *data;
        size_t size;
        const char *message;
    } cases[] = {
        {"", 0, "no SentencePiece"},
        {"\n\x03\n\x01"
         "a",
         5, NULL},
        {"\n\x7f\n\x01"
         "a",
         5, "cut off"}, /* longer than the file */
        {"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "cut off"},
        {"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, "cut off"},
        {"\n\x02\n\0", 4, "is empty"},
        {"\n\x03\n\x01\xff", 5, "no UTF-8"},
        {"\n\x04\n\x02"
         "a\0",
         6, "no UTF-8"},
        {"\n\x08\n\x01"
         "a\x15\0\0\xc0\x7f",
         10, "finite"},
        {"\n\x03\n\x01"
         "a\n\x03\n\x01"
         "a",
         10, "twice"},
        {"\n\x03\n\x01"
         "a\x12\x02\x18\x03",
         9, "neither a unigram nor a BPE"},
    };
    char dir[512];

    snprintf(dir, sizeof dir, "%s", check_scratch("spm-hostile"));
    write_text(dir, "config.json", "{\"model_type\": \"t5\"}");
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_tokenizer *t = NULL;

        print_message("%zu\n", i);
        write_file(dir, "spiece.model", cases[i].data, cases[i].size);
        if (cases[i].message)
            CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, cases[i].message);
        else
            CHECK_OK(atn_tokenizer_load(cx, dir, &t));
        atn_tokenizer_destroy(cx, t);
    }
}

/* ---- directories ---- */

static void layouts_refused(atn_ctx *cx)
{
    char dir[512];
    atn_tokenizer *t = NULL;

    snprintf(dir, sizeof dir, "%s", check_scratch("layout-refused"));
    write_text(dir, "vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_NOINPUT, "--token-ids");
    write_text(dir, "merges.txt", "#version: 0.2\na b\n");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "model_type ? of");
    write_text(dir, "config.json", "{\"model_type\": \"mamba\"}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "model_type mamba of");
    write_text(dir, "config.json", "{\"model_type\": \"llama\"}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "model_type llama of");
    write_text(dir, "config.json", "{\"model_type\": \"gpt2\"}");
    check_ids(cx, dir, "ab<|endoftext|>ba", "2 3 1 0"); /* the next id is the token's */
    write_text(dir, "merges.txt", "a b\r\n\nb \xff\n");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "line 3 is no UTF-8");
    write_text(dir, "merges.txt", "a b\r\n");
    check_ids(cx, dir, "ab", "2");
    write_text(dir, "added_tokens.json", "{\"ba\": 9, \"<|endoftext|>\": 7}");
    check_ids(cx, dir, "aba<|endoftext|>", "0 9 7");
    write_text(dir, "added_tokens.json", "{\"ba\": -1}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "added_tokens.json");
    write_text(dir, "added_tokens.json", "{}");
    write_text(dir, "tokenizer_config.json",
               "{\"added_tokens_decoder\": {\"x\": {\"content\": \"c\"}}}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "added_tokens_decoder");
    write_text(dir, "vocab.json", "{\"a\": \"0\"}");
    write_text(dir, "tokenizer_config.json", "{}");
    CHECK_FAILS(atn_tokenizer_load(cx, dir, &t), ATN_DATA, "outside");
}

/* A vocab.txt of another model labels ids, and no more. */
static void foreign_vocabulary(atn_ctx *cx)
{
    char dir[512], *text = NULL;
    atn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    atn_idx n = 0;

    snprintf(dir, sizeof dir, "%s", check_scratch("layout-foreign"));
    write_text(dir, "vocab.txt", "[CLS]\n[SEP]\n[UNK]\nCl\n");
    write_text(dir, "config.json", "{\"model_type\": \"albert\"}");
    CHECK_OK(atn_tokenizer_load(cx, dir, &t));
    CHECK_OK(atn_tokenizer_text(cx, t, 3, false, &text));
    CHECK_STR(text, "Cl");
    CHECK_FAILS(atn_tokenizer_encode(cx, t, "Cl", 2, true, &ids, &n), ATN_DATA,
                "model_type albert");
    atn_free(cx, text);
    atn_tokenizer_destroy(cx, t);
    write_text(dir, "config.json", "{\"model_type\": \"bert\"}");
    check_ids(cx, dir, "Cl", "2"); /* lower-cased, so unknown */
}

/* Every allocation of loading and encoding fails once. */
static void memory_fails(atn_ctx *cx)
{
    static const char *const dirs[] = {FIXTURE("spm_albert"), FIXTURE("spm_llama"),
                                       FIXTURE("dir_opt"), FIXTURE("unigram_bytes")};

    (void)cx;

    for (size_t d = 0; d < ATN_LEN(dirs); d++) {
        bool done = false;

        for (long left = 0; !done; left += 1 + left / 8) {
            check_failing f = {left};
            atn_tokenizer *t = NULL;
            int32_t *ids = NULL;
            atn_idx n = 0;
            atn_ctx here;

            atn_ctx_init(&here);
            here.alloc = (atn_allocator){check_failing_resize, &f};
            done = atn_tokenizer_load(&here, dirs[d], &t) == ATN_OK &&
                   atn_tokenizer_encode(&here, t, "a </s>key \xc3\xa9", 12, true, &ids,
                                        &n) == ATN_OK;
            if (!done) CHECK_EQ(here.err.code, ATN_MEMORY);
            atn_free(&here, ids);
            atn_tokenizer_destroy(&here, t);
            atn_ctx_release(&here);
        }
    }
}

CHECK_MAIN({"unigram rules", unigram_rules}, {"unigram is best", unigram_is_best},
           {"long text", long_text}, {"first mark", first_mark},
           {"work is bounded", work_is_bounded}, {"charsmap oracles", charsmap_oracles},
           {"charsmap random", charsmap_random}, {"charsmap hostile", charsmap_hostile},
           {"spm truncated", spm_truncated}, {"spm flipped", spm_flipped},
           {"spm hostile", spm_hostile}, {"layouts refused", layouts_refused},
           {"foreign vocabulary", foreign_vocabulary}, {"memory fails", memory_fails})
