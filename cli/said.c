/* cli/said.c -- messages of several processes, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/said.h"

#include <stdio.h>
#include <string.h>

enum { OF_MESSAGE = 1000 }; /* no kind of a command's own notes */

/* Two are the same up to here: one process gives the first of several reasons. */
static size_t key_size(const char *text)
{
    const char *why = strstr(text, " is left out: ");

    return why ? (size_t)(why - text) + 14 : strlen(text) + 1;
}

static bool is_known(const atn_said *s, atn_log_level level, const char *text)
{
    const size_t n = key_size(text);

    for (size_t at = 0; at < s->texts.size;) {
        const char *one = (const char *)s->texts.data + at + 1;

        if (s->texts.data[at] == level && strncmp(one, text, n) == 0) return true;
        at += strlen(one) + 2;
    }
    return false;
}

/* Without memory for it a message may come twice. */
static void keep(atn_said *s, atn_log_level level, const char *text)
{
    const unsigned char of = (unsigned char)level;
    const size_t size = s->texts.size;

    if (atn_bytes_add(&s->own, &s->texts, &of, 1) == ATN_OK &&
        atn_bytes_add(&s->own, &s->texts, text, strlen(text) + 1) == ATN_OK)
        return;
    s->texts.size = size;
    atn_err_clear(&s->own);
}

/* Threads may speak at once: the lock is that of the stream. */
static void hear(void *user, atn_log_level level, const char *text)
{
    const bool once = level == ATN_LOG_WARN || level == ATN_LOG_INFO;
    atn_said *s = user;

    flockfile(stderr);
    if (!once || !is_known(s, level, text)) {
        if (once) keep(s, level, text);
        if (!s->silent || level == ATN_LOG_ERROR) atn_log(&s->own, level, "%s", text);
    }
    funlockfile(stderr);
}

void atn_said_open(atn_said *s, atn_cli *cli, bool silent)
{
    atn_ctx *cx = cli->cx;

    *s = (atn_said){.cx = cx, .level = cx->log_level, .silent = silent};
    atn_ctx_fork(cx, &s->own);
    cx->log_sink = hear;
    cx->log_user = s;
    if (atn_shard_is_part(cli->shard)) /* for the notes */
        cx->log_level = ATN_MAX(cx->log_level, ATN_LOG_WARN);
    cli->said = s;
}

void atn_said_close(atn_said *s)
{
    if (!s->cx) return;
    s->cx->log_sink = s->own.log_sink;
    s->cx->log_user = s->own.log_user;
    s->cx->log_level = s->level;
    atn_bytes_release(&s->own, &s->texts);
    atn_ctx_release(&s->own);
    *s = (atn_said){.cx = NULL};
}

void atn_said_tell(atn_said *s)
{
    for (size_t at = 0; at < s->texts.size;) {
        const char *one = (const char *)s->texts.data + at + 1;

        atn_log(&s->own, (atn_log_level)s->texts.data[at], "%s", one);
        at += strlen(one) + 2;
    }
}

atn_status atn_said_note(atn_cli *cli)
{
    const atn_said *s = cli->said;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    for (size_t at = 0; s && at < s->texts.size;) {
        const char *one = (const char *)s->texts.data + at + 1;

        b.size = 0;
        if (s->texts.data[at] == ATN_LOG_WARN) {
            ATN_TRY(atn_bytes_text(cx, &b, one));
            ATN_TRY(atn_shard_note(cx, cli->shard, OF_MESSAGE, 0, &b));
        }
        at += strlen(one) + 2;
    }
done:
    atn_bytes_release(cx, &b);
    return st;
}

static atn_status say(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    const char *text = atn_read_text(r);

    (void)user;
    (void)unit;
    if (text) atn_log(cx, ATN_LOG_WARN, "%s", text);
    return ATN_OK;
}

atn_status atn_said_replay(atn_ctx *cx, const atn_shard *s)
{
    return atn_shard_each(cx, s, OF_MESSAGE, say, NULL);
}
