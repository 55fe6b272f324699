/* perigee genconfig: writes a commented config.lua with random secrets. argv[0] is the subcommand.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

int cli_genconfig(int argc, char **argv); /* exit code: 0 written, 1 failed, 2 wrong usage */

/* The text of a new configuration with fresh secrets. */
void genconfig_text(struct buf *out);
/* Writes text to a new file of mode 0600. ERR_EXISTS: there is one already, it is left alone. */
enum err genconfig_write(const char *path, struct str text) NODISCARD;
