/* capture/arch.c -- the registry of model families. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

#include <string.h>

#define ATN_ARCH(id) extern const atn_arch atn_arch_##id;
#include "capture/archs.def"
#undef ATN_ARCH

const atn_arch *const atn_archs[] = {
#define ATN_ARCH(id) &atn_arch_##id,
#include "capture/archs.def"
#undef ATN_ARCH
    NULL,
};

const atn_arch *atn_arch_find(const char *model_type)
{
    for (const atn_arch *const *a = atn_archs; *a; a++) {
        if (strcmp((*a)->id, model_type) == 0) return *a;
        for (int i = 0; i < 3 && (*a)->class_names[i]; i++)
            if (strcmp((*a)->class_names[i], model_type) == 0) return *a;
    }
    return NULL;
}
