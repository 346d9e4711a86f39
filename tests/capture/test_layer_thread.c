/* tests/capture/test_layer_thread.c -- layers are visited once, in order, on another thread;
 * failures come back, and nothing is visited after one. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <pthread.h>
#include <unistd.h>

#include "capture/layer_thread.h"
#include "core/backend.h"

enum { LAYERS = 20, WIDTH = 1000 };

typedef struct seen {
    pthread_t maker;
    atn_idx fail_at, visited;
    double sums[LAYERS];
    bool here; /* something ran on the maker's thread, or with a device */
} seen;

static atn_status look(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    seen *s = state;

    s->here |= pthread_equal(pthread_self(), s->maker) || cx->threads != 1 ||
               cx->backend != &atn_backend_cpu;
    if (s->visited++ != d->layer) s->here = true;
    if (d->layer == s->fail_at)
        return atn_fail(cx, ATN_IO, __FILE__, __LINE__, "layer %d: the disk is full",
                        (int)d->layer);
    usleep(100);
    for (atn_idx i = 0; i < WIDTH; i++) s->sums[d->layer] += (double)d->q[i];
    return ATN_OK;
}

/* Two buffers in turn, as the forward pass has them; returns the first failure. */
static atn_status hand_all(atn_ctx *cx, atn_layer_thread *t, atn_idx n)
{
    static float q[2][WIDTH];
    atn_status st = ATN_OK;

    for (atn_idx l = 0; l < n && st == ATN_OK; l++) {
        const atn_layer_dump d = {.layer = l, .n = 1, .q = q[l % 2]};
        for (int i = 0; i < WIDTH; i++) q[l % 2][i] = (float)l;
        st = atn_layer_thread_hand(cx, t, &d);
    }
    return st;
}

static void every_layer_in_order(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = -1};
    atn_layer_thread *t = NULL;

    CHECK_OK(atn_layer_thread_create(cx, look, &s, &t));
    CHECK_OK(hand_all(cx, t, LAYERS));
    CHECK_OK(atn_layer_thread_wait(cx, t));
    CHECK(!s.here);
    CHECK_EQ(s.visited, LAYERS);
    for (int l = 0; l < LAYERS; l++) CHECK_NEAR(s.sums[l], l * WIDTH, 0);
    atn_layer_thread_destroy(cx, t);
}

static void failure_comes_back(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = 7};
    atn_layer_thread *t = NULL;

    CHECK_OK(atn_layer_thread_create(cx, look, &s, &t));
    CHECK_FAILS(hand_all(cx, t, LAYERS), ATN_IO, "layer 7: the disk is full");
    CHECK_FAILS(atn_layer_thread_wait(cx, t), ATN_IO, "layer 7: the disk is full");
    CHECK_EQ(s.visited, 8);
    CHECK(!s.here);
    atn_layer_thread_destroy(cx, t);
}

static void destroy_finishes_what_it_holds(atn_ctx *cx)
{
    seen s = {.maker = pthread_self(), .fail_at = -1};
    atn_layer_thread *t = NULL;

    CHECK_OK(atn_layer_thread_create(cx, look, &s, &t));
    CHECK_OK(hand_all(cx, t, 1));
    atn_layer_thread_destroy(cx, t);
    CHECK_EQ(s.visited, 1);
    CHECK_OK(atn_layer_thread_create(cx, look, &s, &t)); /* and holds nothing */
    atn_layer_thread_destroy(cx, t);
    atn_layer_thread_destroy(cx, NULL);
}

CHECK_MAIN({"every layer in order", every_layer_in_order},
           {"failure comes back", failure_comes_back},
           {"destroy finishes what it holds", destroy_finishes_what_it_holds})
