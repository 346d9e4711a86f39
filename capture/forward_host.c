/* capture/forward_host.c -- values that go to the host and back, see
 * forward_internal.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"
#include "core/kernels/kernels.h"

enum { TASK_VALUES = 1 << 14 };

typedef struct map_job {
    float *x;
    atn_idx n;
    atn_host_map *f;
    double by;
} map_job;

static atn_status map_task(atn_ctx *cx, atn_idx i, void *state)
{
    const map_job *j = state;
    const atn_idx first = i * TASK_VALUES;

    (void)cx;
    j->f(j->x + first, ATN_MIN((atn_idx)TASK_VALUES, j->n - first), j->by);
    return ATN_OK;
}

atn_status atn_pass_map(atn_ctx *cx, atn_buf x, atn_idx count, atn_host_map *f,
                        double by)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    map_job j = {.f = f, .by = by};
    atn_status st = ATN_OK;

    ATN_TAKE(j.x, ATN_MIN(count, (atn_idx)ATN_HOST_PIECE));
    for (atn_idx at = 0; at < count; at += j.n) {
        j.n = ATN_MIN((atn_idx)ATN_HOST_PIECE, count - at);
        ATN_TRY(cx->backend->download(cx, atn_buf_at(x, at, j.n), j.x));
        ATN_TRY(atn_parallel(cx, (j.n + TASK_VALUES - 1) / TASK_VALUES, map_task, &j,
                             "values"));
        ATN_TRY(cx->backend->upload(cx, atn_buf_at(x, at, j.n), j.x));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_host_scale(float *x, atn_idx n, double by)
{
    for (atn_idx i = 0; i < n; i++) x[i] *= (float)by;
}

void atn_host_softcap(float *x, atn_idx n, double cap)
{
    atn_row_softcap(x, n, (float)cap);
}
