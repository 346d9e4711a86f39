/* capture/worker.c -- one thread, one job, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/worker.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/backend.h"

struct atn_worker {
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below; cx is the thread's while busy */
    pthread_cond_t changed;
    atn_ctx cx;
    atn_job *job;
    void *state;
    bool busy, ending;
    atn_status failure; /* of the first job that failed */
};

static void *run(void *arg)
{
    atn_worker *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        atn_status st;

        while (!w->busy && !w->ending) pthread_cond_wait(&w->changed, &w->lock);
        if (!w->busy) break;
        pthread_mutex_unlock(&w->lock);
        st = w->job(&w->cx, w->state);
        pthread_mutex_lock(&w->lock);
        w->failure = st;
        w->busy = false;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals go to the threads that compute: they are the ones to look whether to stop. */
static int start(atn_worker *w)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

/* What the thread had; it has ended or never was. */
static void forget(atn_ctx *cx, atn_worker *w)
{
    if (!w) return;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    atn_ctx_release(&w->cx);
    atn_free(cx, w);
}

atn_status atn_worker_create(atn_ctx *cx, int threads, atn_worker **out)
{
    atn_status st = ATN_OK;
    atn_worker *w = NULL;
    int failed;

    *out = NULL;
    ATN_NEW(w, 1);
    atn_ctx_fork(cx, &w->cx);
    w->cx.threads = threads;
    w->cx.backend = &atn_backend_cpu;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    failed = start(w);
    if (failed)
        ATN_FAIL(ATN_OS, "no further thread can be started: %s", strerror(failed));
    *out = w;
done:
    if (st != ATN_OK) forget(cx, w);
    return st;
}

/* With the lock: until the thread is idle. */
static atn_status wait_idle(atn_ctx *cx, atn_worker *w)
{
    while (w->busy) pthread_cond_wait(&w->changed, &w->lock);
    if (w->failure != ATN_OK) atn_ctx_adopt_err(cx, &w->cx);
    return w->failure;
}

atn_status atn_worker_hand(atn_ctx *cx, atn_worker *w, atn_job *job, void *state)
{
    atn_status st;

    pthread_mutex_lock(&w->lock);
    st = wait_idle(cx, w);
    if (st == ATN_OK) {
        w->job = job;
        w->state = state;
        w->busy = true;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return st;
}

atn_status atn_worker_wait(atn_ctx *cx, atn_worker *w)
{
    atn_status st;

    pthread_mutex_lock(&w->lock);
    st = wait_idle(cx, w);
    pthread_mutex_unlock(&w->lock);
    return st;
}

void atn_worker_destroy(atn_ctx *cx, atn_worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    forget(cx, w);
}
