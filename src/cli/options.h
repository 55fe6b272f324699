/* What several subcommands take on the command line: -c FILE and --set key.path=value. */
#pragma once

#include "core/settings.h"

struct options {
    const char *config; /* NULL: not given */
    const char **set;   /* ends with NULL */
    size_t set_count;
    const char *command; /* for messages */
};

void options_init(struct options *o, const char *command, int argc);
void options_deinit(struct options *o);
/* Takes argv[*i] if it is one of these (moving *i over its value). */
bool options_take(struct options *o, int argc, char **argv, int *i);
/* The value of flag at argv[*i], also as flag=value; NULL: argv[*i] is something else. Missing
 * values are reported and give "". */
const char *options_value(const struct options *o, int argc, char **argv, int *i, const char *flag,
                          const char *short_flag);
/* Loads the configuration; NULL: what is wrong was printed to stderr. defaults may be NULL. */
struct settings *options_load(const struct options *o, const char *const *defaults);
struct remote;
/* The same again later; what is wrong is added to problems. source: see struct config_request. */
struct settings *options_reload(const struct options *o, const struct remote *source,
                                struct buf *problems);
/* Prints what is wrong with an argument; the exit code for it. */
int options_unexpected(const struct options *o, const char *argument);
