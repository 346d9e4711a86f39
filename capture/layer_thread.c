/* capture/layer_thread.c -- one thread, one layer in its hands, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/layer_thread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/backend.h"

struct atn_layer_thread {
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below; cx is the thread's while busy */
    pthread_cond_t changed;
    atn_ctx cx;
    atn_layer_visit *visit;
    void *state;
    atn_layer_dump dump;
    bool busy, ending;
    atn_status failure; /* of the first visitor that failed */
};

static void *run(void *arg)
{
    atn_layer_thread *t = arg;

    pthread_mutex_lock(&t->lock);
    for (;;) {
        atn_status st;

        while (!t->busy && !t->ending) pthread_cond_wait(&t->changed, &t->lock);
        if (!t->busy) break;
        pthread_mutex_unlock(&t->lock);
        st = t->visit(&t->cx, &t->dump, t->state);
        pthread_mutex_lock(&t->lock);
        t->failure = st;
        t->busy = false;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Signals go to the threads that compute: they are the ones to look whether to stop. */
static int start(atn_layer_thread *t)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

atn_status atn_layer_thread_create(atn_ctx *cx, atn_layer_visit *visit, void *state,
                                   atn_layer_thread **out)
{
    atn_status st = ATN_OK;
    atn_layer_thread *t = NULL;
    int failed;

    *out = NULL;
    ATN_NEW(t, 1);
    t->visit = visit;
    t->state = state;
    atn_ctx_fork(cx, &t->cx);
    t->cx.backend = &atn_backend_cpu;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    failed = start(t);
    if (failed)
        ATN_FAIL(ATN_OS, "no thread to write layers with: %s", strerror(failed));
    *out = t;
    t = NULL;
done:
    atn_free(cx, t);
    return st;
}

/* With the lock: until the thread is idle. */
static atn_status wait_idle(atn_ctx *cx, atn_layer_thread *t)
{
    while (t->busy) pthread_cond_wait(&t->changed, &t->lock);
    if (t->failure != ATN_OK) atn_ctx_adopt_err(cx, &t->cx);
    return t->failure;
}

atn_status atn_layer_thread_hand(atn_ctx *cx, atn_layer_thread *t,
                                 const atn_layer_dump *dump)
{
    atn_status st;

    pthread_mutex_lock(&t->lock);
    st = wait_idle(cx, t);
    if (st == ATN_OK) {
        t->dump = *dump;
        t->busy = true;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    return st;
}

atn_status atn_layer_thread_wait(atn_ctx *cx, atn_layer_thread *t)
{
    atn_status st;

    pthread_mutex_lock(&t->lock);
    st = wait_idle(cx, t);
    pthread_mutex_unlock(&t->lock);
    return st;
}

void atn_layer_thread_destroy(atn_ctx *cx, atn_layer_thread *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->ending = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    atn_ctx_release(&t->cx);
    atn_free(cx, t);
}
