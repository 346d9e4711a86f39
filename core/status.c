/* core/status.c -- names, texts and exit codes of the status map. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/status.h"

#include <stddef.h>

static const struct {
    const char *name, *text;
    int exit_code;
} map[] = {
#define ATN_STATUS_ROW(name, code, text) {#name, text, code},
    ATN_STATUS_MAP(ATN_STATUS_ROW)
#undef ATN_STATUS_ROW
};

const char *atn_status_name(atn_status st)
{
    return (unsigned)st < ATN_STATUS_COUNT ? map[st].name : "?";
}

const char *atn_status_text(atn_status st)
{
    return (unsigned)st < ATN_STATUS_COUNT ? map[st].text : "unknown status";
}

int atn_status_exit(atn_status st)
{
    return (unsigned)st < ATN_STATUS_COUNT ? map[st].exit_code : 2;
}
