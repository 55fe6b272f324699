/* What several subcommands take on the command line: -c FILE and --set key.path=value. */
#pragma once

#include "core/settings.h"

#define OPTIONS_PROBLEMS_MAX 262144
#define OPTIONS_PLACES_MAX ((size_t)16 << 20)

struct options {
    const char *config; /* NULL: not given */
    const char **set;   /* ends with NULL */
    size_t set_count, set_cap;
    const char *command; /* for messages */
    /* Of the last configuration that was read: struct config_request. */
    struct buf warnings, places;
};

void options_init(struct options *o, const char *command, int argc);
void options_deinit(struct options *o);
/* Takes argv[*i] if it is one of these (moving *i over its value). */
bool options_take(struct options *o, int argc, char **argv, int *i);
/* Adds one more "key=value" of --set; it must live as long as o. */
void options_set(struct options *o, const char *assignment);
/* The value of flag at argv[*i], also as flag=value; NULL: argv[*i] is something else. Missing
 * values are reported and give "". */
const char *options_value(const struct options *o, int argc, char **argv, int *i, const char *flag,
                          const char *short_flag);
/* Loads the configuration; NULL: what is wrong was printed to stderr. */
struct settings *options_load(struct options *o);
struct remote;
/* The same; NULL: what is wrong was added to problems. watch: see struct config_request; may be
 * NULL. */
struct settings *options_read(struct options *o, const struct remote *watch, struct buf *problems);
/* A log line of level warn for each of the warnings. */
void options_log_warnings(const struct options *o);
/* Prints what is wrong with an argument; the exit code for it. */
int options_unexpected(const struct options *o, const char *argument);
