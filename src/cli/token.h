/* perigee gentoken, gensubtoken, checktoken, checksubtoken. argv[0] is the subcommand; exit codes:
 * 0 fine, 1 bad token or no key, 2 wrong usage or configuration. */
#pragma once

#include "core/settings.h"

int cli_gentoken(int argc, char **argv);
int cli_gensubtoken(int argc, char **argv);
int cli_checktoken(int argc, char **argv);
int cli_checksubtoken(int argc, char **argv);

/* Adds an HS256 connection token of user; ttl_s <= 0: it never expires. */
void token_make(struct buf *out, struct str secret, struct str user, int64_t ttl_s);
/* The key of HS256 tokens of connections or subscriptions; empty: there is none. */
struct str token_secret(const struct settings *s, bool subscription);
