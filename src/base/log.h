/* One line per event: level, time, message, fields. Readable on a terminal, JSON lines otherwise.
 * Values are escaped, so nothing from outside can forge a line; secrets must not be passed in.
 * Any thread; a line is written with one system call. */
#pragma once

#include "base/str.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

/* A field: LOG_S("user", str), LOG_I("code", int64), LOG_Z("error", "c string"). */
struct log_field {
    const char *key;
    struct str text;
    int64_t number;
    bool is_number;
};
#define LOG_S(k, v) ((struct log_field){.key = (k), .text = (v)})
#define LOG_Z(k, v) ((struct log_field){.key = (k), .text = str_from(v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v), .is_number = true})

/* The file is opened for appending (path NULL or "": stderr). ERR_IO (enum err) leaves everything
 * as it was. */
int log_setup(enum log_level level, enum log_format format, const char *path) NODISCARD;
/* fn takes every line of any level in place of the file: for tools, before any thread starts. */
typedef void log_sink_fn(void *arg, enum log_level level, struct str message,
                         const struct log_field *fields, size_t n);
void log_set_sink(log_sink_fn *fn, void *arg);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, struct str message, const struct log_field *fields, size_t n);

#define LOG_WITH(level, message, ...)                                                              \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write(level, str_from(message), log_fields_, ARRAY_LEN(log_fields_));              \
        }                                                                                          \
    } while (0)
#define LOG(level, message) log_write(level, str_from(message), NULL, 0)
