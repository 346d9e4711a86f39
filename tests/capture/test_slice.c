/* tests/capture/test_slice.c -- projections within tensors. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "capture/slice.h"

static const atn_arch apart = {
    .names = {.q = "q", .k = "k", .v = "v", .gate = "gate", .up = "up"}};
static const atn_arch blocks = {.names = {.qkv = "qkv", .gate_up = "both"},
                                .fused = ATN_FUSED_BLOCKS};
static const atn_arch heads = {.names = {.qkv = "qkv", .up = "up"},
                               .fused = ATN_FUSED_HEADS};

/* 4 query heads and 2 of keys, 3 wide, MLP 5: [Q 0..11; K 12..17; V 18..23]. */
static void golden(atn_ctx *cx)
{
    static const struct {
        const atn_arch *arch;
        atn_part part;
        atn_idx kv_heads;
        const char *name;
        atn_idx heads, first, step, outputs;
    } cases[] = {{&apart, ATN_PART_Q, 2, "q", 4, 0, 3, 12},
                 {&apart, ATN_PART_K, 2, "k", 2, 0, 3, 6},
                 {&apart, ATN_PART_V, 2, "v", 2, 0, 3, 6},
                 {&apart, ATN_PART_GATE, 2, "gate", 1, 0, 5, 5},
                 {&blocks, ATN_PART_Q, 2, "qkv", 4, 0, 3, 24},
                 {&blocks, ATN_PART_K, 2, "qkv", 2, 12, 3, 24},
                 {&blocks, ATN_PART_V, 2, "qkv", 2, 18, 3, 24},
                 {&blocks, ATN_PART_GATE, 2, "both", 1, 0, 5, 10},
                 {&blocks, ATN_PART_UP, 2, "both", 1, 5, 5, 10},
                 {&heads, ATN_PART_Q, 4, "qkv", 4, 0, 9, 36},
                 {&heads, ATN_PART_K, 4, "qkv", 4, 3, 9, 36},
                 {&heads, ATN_PART_V, 4, "qkv", 4, 6, 9, 36},
                 {&heads, ATN_PART_UP, 4, "up", 1, 0, 5, 5}};

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_config c = {.arch = cases[i].arch,
                              .heads = 4,
                              .kv_heads = cases[i].kv_heads,
                              .head_dim = 3,
                              .ffn = 5};
        const atn_slice s = atn_slice_of(&c, &c.arch->names, cases[i].part);

        CHECK_STR(s.name, cases[i].name);
        CHECK_EQ(s.heads, cases[i].heads);
        CHECK_EQ(s.first, cases[i].first);
        CHECK_EQ(s.step, cases[i].step);
        CHECK_EQ(s.outputs, cases[i].outputs);
    }
    CHECK(
        !atn_slice_of(&(atn_config){.arch = &heads}, &heads.names, ATN_PART_GATE).name);
}

/* Every output of a fused tensor belongs to one of q, k, v. */
static void parts_cover_the_tensor(atn_ctx *cx)
{
    const atn_config c = {
        .arch = &heads, .heads = 4, .kv_heads = 4, .head_dim = 3, .ffn = 5};

    (void)cx;
    for (atn_idx at = 0; at < 36; at++)
        for (int part = ATN_PART_Q; part <= ATN_PART_V; part++) {
            const atn_slice s = atn_slice_of(&c, &heads.names, (atn_part)part);
            const bool wanted = at % 9 / 3 == part;
            atn_idx head, e;

            CHECK_EQ(atn_slice_has(&s, at, &head, &e), wanted);
            if (!wanted) continue;
            CHECK_EQ(head, at / 9);
            CHECK_EQ(e, at % 3);
        }
}

/* Two heads, 1 wide, outputs [q0 k0 v0 q1 k1 v1] of 2 inputs: k is outputs 1 and 4. */
static void copies(atn_ctx *cx)
{
    const atn_slice k = {.heads = 2, .d = 1, .first = 1, .step = 3, .outputs = 6};
    const float rows[] = {7, 3, 9, 1, 4, 8, 2, 6, 5, 0, 11, 10}; /* [6, 2] */
    float out[4];

    (void)cx;
    atn_slice_copy(&k, rows, ATN_F32, 2, false, out);
    CHECK(out[0] == 9 && out[1] == 1 && out[2] == 5 && out[3] == 0);
    atn_slice_copy(&k, rows, ATN_F32, 2, true, out); /* as [2, 6] */
    CHECK(out[0] == 3 && out[1] == 4 && out[2] == 6 && out[3] == 11);
    atn_slice_copy(&k, rows, ATN_F32, 1, false, out); /* a bias */
    CHECK(out[0] == 3 && out[1] == 4);
}

CHECK_MAIN({"golden", golden}, {"parts cover the tensor", parts_cover_the_tensor},
           {"copies", copies})
