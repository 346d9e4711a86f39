/* tests/capture/test_token_ids.c -- token ids from text, .json and .npy, and what is no
 * token id. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/token_ids.h"
#include "core/io/npy.h"

static const char *file(const char *content, size_t n)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/ids.txt", check_scratch("token-ids"));
    f = fopen(path, "wb");
    CHECK(f != NULL);
    fwrite(content, 1, n, f);
    fclose(f);
    return path;
}

static void text(atn_ctx *cx)
{
    static const char content[] = "\n 5\t17\r\n0 2147483647   9";
    static const int32_t want[] = {5, 17, 0, 2147483647, 9};
    int32_t *ids;
    atn_idx n;

    CHECK_OK(atn_token_ids_load(cx, file(content, strlen(content)), &ids, &n));
    CHECK_EQ(n, 5);
    CHECK(memcmp(ids, want, sizeof want) == 0);
    atn_free(cx, ids);
}

static void what_is_no_id(atn_ctx *cx)
{
    static const struct {
        const char *content, *part;
    } cases[] = {
        {"1 2 -3\n", "ids.txt: '-3' at position 2"},
        {"1 2.0", "'2.0' at position 1"},
        {"[1, 2]", "'[1,' at position 0"},
        {"2147483648", "position 0"},
        {"1 99999999999999999999", "position 1"},
        {"0x10", "position 0"},
        {"", "no token id"},
        {" \n\t ", "no token id"},
        {"1,2", "'1,2' at position 0"},
    };
    int32_t *ids;
    atn_idx n;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(atn_token_ids_load(
                        cx, file(cases[i].content, strlen(cases[i].content)), &ids, &n),
                    ATN_DATA, cases[i].part);
        CHECK(ids == NULL);
    }
    CHECK_FAILS(atn_token_ids_load(cx, file("1 \0 2", 5), &ids, &n), ATN_DATA,
                "NUL at byte 2");
    CHECK_FAILS(atn_token_ids_load(cx, "/nowhere/ids.txt", &ids, &n), ATN_NOINPUT,
                "nowhere");
}

/* .npy of int64 written by hand: version 1, header of 118 bytes. */
static const char *npy(const char *descr, const void *data, size_t bytes, int count)
{
    static char content[400];
    const char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
    static char path[600];
    char header[119];
    FILE *f;

    snprintf(header, sizeof header,
             "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }", descr, count);
    memset(content, ' ', sizeof content);
    memcpy(content, magic, 10);
    memcpy(content + 10, header, strlen(header));
    content[127] = '\n';
    memcpy(content + 128, data, bytes);
    snprintf(path, sizeof path, "%s/ids.npy", check_scratch("token-ids-npy"));
    f = fopen(path, "wb");
    CHECK(f != NULL);
    fwrite(content, 1, 128 + bytes, f);
    fclose(f);
    return path;
}

static void lists(atn_ctx *cx)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[3, 0, 2147483647]", NULL},
        {"[[3, 0, 2147483647]]", NULL},
        {"{\"input_ids\": [3, 0, 2147483647], \"ids\": 1}", NULL},
        {"{\"ids\": [[3, 0, 2147483647]]}", NULL},
        {"[]", "no token id"},
        {"[3, -1]", "position 1"},
        {"[3, 2147483648]", "position 1"},
        {"[3, 1.0]", "position 1"},
        {"[[3], [1]]", "position 0"},
        {"{\"tokens\": [3]}", "neither a list"},
        {"[3", "no valid JSON"},
    };
    char path[600];
    int32_t *ids;
    atn_idx n;

    snprintf(path, sizeof path, "%s/ids.json", check_scratch("token-ids-json"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        FILE *f = fopen(path, "wb");

        CHECK(f != NULL);
        fputs(cases[i].json, f);
        fclose(f);
        if (cases[i].message) {
            CHECK_FAILS(atn_token_ids_load(cx, path, &ids, &n), ATN_DATA,
                        cases[i].message);
            continue;
        }
        CHECK_OK(atn_token_ids_load(cx, path, &ids, &n));
        CHECK_EQ(n, 3);
        CHECK(ids[0] == 3 && ids[1] == 0 && ids[2] == 2147483647);
        atn_free(cx, ids);
    }
}

static void arrays(atn_ctx *cx)
{
    const int64_t good[] = {4, 0, 77}, negative[] = {4, -1}, huge[] = {4294967296};
    const float real[] = {1, 2};
    int32_t *ids;
    atn_idx n;

    CHECK_OK(atn_token_ids_load(cx, npy("<i8", good, sizeof good, 3), &ids, &n));
    CHECK_EQ(n, 3);
    CHECK_EQ(ids[0], 4);
    CHECK_EQ(ids[2], 77);
    atn_free(cx, ids);
    CHECK_FAILS(
        atn_token_ids_load(cx, npy("<i8", negative, sizeof negative, 2), &ids, &n),
        ATN_DATA, "value -1 at position 1");
    CHECK_FAILS(atn_token_ids_load(cx, npy("<i8", huge, sizeof huge, 1), &ids, &n),
                ATN_DATA, "value 4294967296");
    CHECK_FAILS(atn_token_ids_load(cx, npy("<f4", real, sizeof real, 2), &ids, &n),
                ATN_DATA, "must be integers");
    CHECK_FAILS(atn_token_ids_load(cx, npy("<i8", good, 0, 0), &ids, &n), ATN_DATA,
                "no token id");
}

CHECK_MAIN({"text", text}, {"what is no id", what_is_no_id}, {"lists", lists},
           {"arrays", arrays})
