/* tests/capture/test_worker.c -- jobs are done once, in order, on another thread; failures come back,
 * and nothing is begun after one. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <pthread.h>
#include <unistd.h>

#include "capture/worker.h"
#include "core/backend.h"

enum { JOBS = 20, WIDTH = 1000 };

typedef struct seen {
    pthread_t maker;
    int fail_at, done;
    double sums[JOBS];
    bool here; /* something ran on the maker's thread, or with a device */
} seen;

typedef struct work {
    seen *s;
    int number;
    float x[WIDTH];
} work;

static atn_status add_up(atn_ctx *cx, void *state)
{
    const work *w = state;
    seen *s = w->s;

    s->here |= pthread_equal(pthread_self(), s->maker) || cx->threads != 3 ||
               cx->backend != &atn_backend_cpu;
    if (s->done++ != w->number) s->here = true;
    if (w->number == s->fail_at)
        return atn_fail(cx, ATN_IO, __FILE__, __LINE__, "job %d: the disk is full",
                        w->number);
    usleep(100);
    for (int i = 0; i < WIDTH; i++) s->sums[w->number] += (double)w->x[i];
    return ATN_OK;
}

/* Two pieces of work in turn, as the forward pass has them; returns the first failure. */
static atn_status hand_all(atn_ctx *cx, atn_worker *w, seen *s, int n)
{
    static work all[2];
    atn_status st = ATN_OK;

    for (int l = 0; l < n && st == ATN_OK; l++) {
        work *next = &all[l % 2];
        next->s = s;
        next->number = l;
        for (int i = 0; i < WIDTH; i++) next->x[i] = (float)l;
        st = atn_worker_hand(cx, w, add_up, next);
    }
    return st;
}

static void every_job_in_order(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = -1};
    atn_worker *w = NULL;

    CHECK_OK(atn_worker_create(cx, 3, &w));
    CHECK_OK(hand_all(cx, w, &s, JOBS));
    CHECK_OK(atn_worker_wait(cx, w));
    CHECK(!s.here);
    CHECK_EQ(s.done, JOBS);
    for (int l = 0; l < JOBS; l++) CHECK_NEAR(s.sums[l], l * WIDTH, 0);
    atn_worker_destroy(cx, w);
}

static void failure_comes_back(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = 7};
    atn_worker *w = NULL;

    CHECK_OK(atn_worker_create(cx, 3, &w));
    CHECK_FAILS(hand_all(cx, w, &s, JOBS), ATN_IO, "job 7: the disk is full");
    CHECK_FAILS(atn_worker_wait(cx, w), ATN_IO, "job 7: the disk is full");
    CHECK_EQ(s.done, 8);
    CHECK(!s.here);
    atn_worker_destroy(cx, w);
}

static void destroy_finishes_what_it_has(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = -1};
    atn_worker *w = NULL;

    CHECK_OK(atn_worker_create(cx, 3, &w));
    CHECK_OK(hand_all(cx, w, &s, 1));
    atn_worker_destroy(cx, w);
    CHECK_EQ(s.done, 1);
    CHECK_OK(atn_worker_create(cx, 3, &w)); /* and has nothing */
    atn_worker_destroy(cx, w);
    atn_worker_destroy(cx, NULL);
}

CHECK_MAIN({"every job in order", every_job_in_order},
           {"failure comes back", failure_comes_back},
           {"destroy finishes what it has", destroy_finishes_what_it_has})
