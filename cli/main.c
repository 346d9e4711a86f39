/* cli/main.c -- the program; everything else of the command line is the library
 * atn_cli. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/command.h"

int main(int argc, char **argv)
{
    return atn_cli_main(argc, (const char *const *)argv);
}
