/* cli/simulation.h -- a GPU, kernels and a launch as options of a command line, and the
 * patterns that are simulated: words, pattern files, captured heads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/head_plans.h"
#include "cli/output.h"
#include "cli/patterns.h"
#include "simulators/simulate.h"

#define ATN_OPTION_GPU                                                                 \
    {                                                                                  \
        "gpu", 0, ATN_OPT_TEXT, "NAME|FILE",                                           \
            "a device of attnscope list devices, or a file of one", 0, 0               \
    }
#define ATN_OPTION_KERNEL                                                              \
    {                                                                                  \
        "kernel", 0, ATN_OPT_TEXT, "LIST",                                             \
            "kernels of attnscope list kernels, or files of them (the one that suits " \
            "GPU and pattern)",                                                        \
            0, 0                                                                       \
    }
/* The rows of a launch, which --gpu and --kernel come before. */
#define ATN_OPTIONS_LAUNCH                                                             \
    {"dense-kernel",                                                                   \
     0,                                                                                \
     ATN_OPT_TEXT,                                                                     \
     "NAME|FILE",                                                                      \
     "what it is compared with (the same kernel)",                                     \
     0,                                                                                \
     0},                                                                               \
        {"num-heads", 0,    ATN_OPT_COUNT, "N", "query heads (32, or the capture's)",  \
         1,           65536},                                                          \
        {"num-kv-heads", 0, ATN_OPT_COUNT, "N", "heads of keys (as many)", 1, 65536},  \
        {"head-dim", 0, ATN_OPT_COUNT, "D", "numbers of a query (128)", 1, 4096},      \
        {"batch", 0, ATN_OPT_COUNT, "N", "sequences (1)", 1, 1e6},                     \
        {"dtype", 0, ATN_OPT_CHOICE, "bf16|fp16|fp8|fp32", "of all tensors (bf16)",    \
         0,       0},                                                                  \
        {"pass",                                                                       \
         0,                                                                            \
         ATN_OPT_CHOICE,                                                               \
         "forward|backward|decode",                                                    \
         "forward, its gradient, or one query a sequence (forward)",                   \
         0,                                                                            \
         0},                                                                           \
        {"tile",                                                                       \
         0,                                                                            \
         ATN_OPT_TEXT,                                                                 \
         "AxB/CxD",                                                                    \
         "queries/keys of a tile, along 1 to 3 axes, as 128/128 or 2x8x8/2x8x8 (the "  \
         "kernel's)",                                                                  \
         0,                                                                            \
         0},                                                                           \
        {"layout",                                                                     \
         0,                                                                            \
         ATN_OPT_CHOICE,                                                               \
         "auto|plain|grid|stride",                                                     \
         "how tokens are ordered before they are cut into tiles (auto)",               \
         0,                                                                            \
         0},                                                                           \
        {"grid",                                                                       \
         0,                                                                            \
         ATN_OPT_TEXT,                                                                 \
         "AxBxC",                                                                      \
         "of --layout grid and for --from, row-major (the pattern's, or the "          \
         "capture's)",                                                                 \
         0,                                                                            \
         0},                                                                           \
        {"residues",                                                                   \
         0,                                                                            \
         ATN_OPT_COUNT,                                                                \
         "N",                                                                          \
         "of --layout stride: tokens by position modulo N",                            \
         2,                                                                            \
         0x1p31},                                                                      \
        {"mask-policy",                                                                \
         0,                                                                            \
         ATN_OPT_CHOICE,                                                               \
         "kernel|skip|partial|all",                                                    \
         "which tiles pay for the mask: none, those that it cuts, all (kernel)",       \
         0,                                                                            \
         0},                                                                           \
    {                                                                                  \
        "dense", 0, ATN_OPT_CHOICE, "auto|causal|full",                                \
            "the dense mask it is compared with (auto: causal where no key ahead is "  \
            "seen)",                                                                   \
            0, 0                                                                       \
    }

/* Passes beside the kernel. */
#define ATN_OPTIONS_PASSES                                                             \
    {"permute",                                                                        \
     0,                                                                                \
     ATN_OPT_CHOICE,                                                                   \
     "auto|yes|no",                                                                    \
     "count bringing tokens of a grid or of --residues into tiles, and back (auto: "   \
     "where the kernel needs it; yes: always)",                                        \
     0,                                                                                \
     0},                                                                               \
    {                                                                                  \
        "harness", 0, ATN_OPT_FLAG, NULL,                                              \
            "with what was timed along with the kernel: writing keys and values to a " \
            "cache",                                                                   \
            0, 0                                                                       \
    }
/* The rest of a model. */
#define ATN_OPTIONS_WHOLE                                                              \
    {"attention-share",                                                                \
     0,                                                                                \
     ATN_OPT_F64,                                                                      \
     "SHARE",                                                                          \
     "of the dense model's time that attention takes, for the gain end to end",        \
     0,                                                                                \
     1},                                                                               \
        {"parameters",                                                                 \
         0,                                                                            \
         ATN_OPT_F64,                                                                  \
         "N",                                                                          \
         "of the model, as 8.03e9: the rest of its work, in place of "                 \
         "--attention-share",                                                          \
         0,                                                                            \
         1e15},                                                                        \
        {"num-layers", 0, ATN_OPT_COUNT, "N", "attention layers of the model (1)", 1,  \
         4096},                                                                        \
    {                                                                                  \
        "dense-share", 0, ATN_OPT_F64, "SHARE",                                        \
            "of layers, steps or heads that stay dense (0)", 0, 1                      \
    }

typedef struct atn_simulation {
    atn_device device;
    atn_kernel *kernel; /* [kernels] asked for; 0: one suits each pattern */
    int kernels;
    atn_kernel dense;  /* id "" = the same */
    atn_sim_opts opts; /* device, launch, tiling; kernel NULL */
    int layout;        /* 0 auto, 1 + atn_layout_kind */
    int against;       /* 0 auto, 1 causal, 2 full */
    int permute;       /* 0 auto, 1 yes, 2 no */
    double parameters; /* of the model; 0 = unknown */
} atn_simulation;

/* The device of --gpu. USAGE where it is missing, naming devices. */
atn_status atn_gpu_read(atn_cli *cli, atn_device *out) ATN_WARN_UNUSED;
/* As above. Release it also on failure. */
atn_status atn_simulation_read(atn_cli *cli, atn_simulation *out) ATN_WARN_UNUSED;
/* Passes beside the kernel, the rest of a model. */
void atn_simulation_read_rest(const atn_cli *cli, atn_simulation *s);
void atn_simulation_release(atn_ctx *cx, atn_simulation *s);
/* Device and kernel files that are no built-in ones, to the inputs of the run. */
atn_status atn_simulation_record(atn_cli *cli, atn_run *run) ATN_WARN_UNUSED;

/* One pattern under one kernel. */
typedef struct atn_sim_item {
    char *name;
    const atn_pattern *pattern;  /* of all heads, or of the first of */
    const atn_head_plans *heads; /* a captured layer; NULL = none */
    atn_sim_opts opts;
    const atn_kernel *kernel;
    atn_sim sim;
    bool done;
} atn_sim_item;

typedef struct atn_sim_list {
    atn_sim_item *item; /* [n] */
    int n;
    atn_stack *stack; /* [stacks] of words */
    int stacks;
    atn_head_plans *plans; /* [captured] of layers of a capture */
    int captured;
    atn_kernel *own; /* [n_own] kernels that were chosen */
    int n_own;
} atn_sim_list;

/* Every word (and file) under every kernel asked for. */
atn_status atn_sim_list_words(atn_cli *cli, const atn_simulation *s,
                              const char *const *words, int n,
                              atn_sim_list *out) ATN_WARN_UNUSED;
/* Every selected layer: what its mask shows or, with from, what a method keeps, whose
 * index is an extra pass. */
atn_status atn_sim_list_capture(atn_cli *cli, const atn_simulation *s,
                                const atn_subject *subject, const atn_from *from,
                                atn_sim_list *out) ATN_WARN_UNUSED;
/* Patterns of its heads, as atn_simulate takes them. */
const atn_pattern *const *atn_sim_item_heads(const atn_sim_item *item, atn_idx *n);
/* Simulates all of them. */
atn_status atn_sim_list_run(atn_ctx *cx, atn_sim_list *l) ATN_WARN_UNUSED;
/* The cases, for tables; [n] in the arena. */
atn_status atn_sim_list_cases(atn_ctx *cx, const atn_sim_list *l,
                              atn_sim_case **out) ATN_WARN_UNUSED;
/* GPU, kernels and launch, as far as all cases share them, as the subtitle of t. */
atn_status atn_sim_list_subtitle(atn_ctx *cx, const atn_sim_list *l,
                                 atn_table *t) ATN_WARN_UNUSED;
void atn_sim_list_release(atn_ctx *cx, atn_sim_list *l);
