/* tests/cli/test_ranks.c -- what the environment says of a launcher of MPI. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "cli/ranks.h"
#include "tests/check.h"

/* Sets up to three pairs of name and value; the others of the list are not there. */
static int launched(const char *const *words)
{
    static const char *const all[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK",
                                      "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};

    for (size_t i = 0; i < ATN_LEN(all); i++) unsetenv(all[i]);
    for (; words[0]; words += 2) setenv(words[0], words[1], 1);
    return atn_ranks_launched();
}

static void how_many(atn_ctx *cx)
{
    static const struct {
        const char *words[8];
        int n;
    } cases[] = {
        {{NULL}, 0},
        {{"SLURM_NTASKS", "8", NULL}, 0}, /* an allocation, no launcher */
        {{"OMPI_COMM_WORLD_SIZE", "3", NULL}, 3},
        {{"PMI_SIZE", "2", "SLURM_NTASKS", "8", NULL}, 2},
        {{"PMIX_RANK", "0", NULL}, -1},
        {{"PMIX_RANK", "0", "SLURM_NTASKS", "8", NULL}, 8},
        {{"PMIX_RANK", "1", "SLURM_NTASKS", "8", "SLURM_STEP_NUM_TASKS", "1", NULL}, 1},
        {{"PMIX_RANK", "1", "OMPI_COMM_WORLD_SIZE", "4", NULL}, 4},
    };

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(cases); i++)
        CHECK_EQ(launched(cases[i].words), cases[i].n);
}

static void whose_words(atn_ctx *cx)
{
    (void)cx;
    CHECK(atn_ranks_is_launchers("OMPI_COMM_WORLD_SIZE=2"));
    CHECK(atn_ranks_is_launchers("PMI_RANK=0"));
    CHECK(atn_ranks_is_launchers("PMIX_NAMESPACE=x"));
    CHECK(!atn_ranks_is_launchers("PATH=/OMPI_"));
    CHECK(!atn_ranks_is_launchers("SLURM_NTASKS=2"));
}

CHECK_MAIN({"how many a launcher started", how_many},
           {"words of launchers", whose_words})
