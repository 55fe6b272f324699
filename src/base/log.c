#include "base/log.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 8192
#define KEY_BYTES_MAX 100
#define FIELD_BYTES_MIN 160 /* kept free for each field to come: its name and a number or "…" */
#define END_BYTES 8         /* of a line: quote, brace, line feed */

static _Atomic int level_min = LOG_INFO;
static _Atomic int fd = STDERR_FILENO;
static _Atomic bool as_json = true;
static log_sink_fn *sink; /* NULL: lines are written */
static void *sink_arg;

static const char *const names[] = {"trace", "debug", "info", "warn", "error", "none"};
static const char *const colours[] = {"\033[2m", "\033[2m", "\033[36m", "\033[33m", "\033[31m", ""};

int log_setup(enum log_level level, enum log_format format, const char *path)
{
    int target = STDERR_FILENO;

    if (path && *path) {
        target = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (target < 0)
            return ERR_IO;
    }
    atomic_store(&level_min, (int)level);
    atomic_store(&as_json, format == LOG_JSON || (format == LOG_AUTO && !isatty(target)));
    target = atomic_exchange(&fd, target);
    if (target != STDERR_FILENO)
        close(target);
    return OK;
}

void log_set_sink(log_sink_fn *fn, void *arg)
{
    sink = fn;
    sink_arg = arg;
}

bool log_enabled(enum log_level level)
{
    return sink || (int)level >= atomic_load_explicit(&level_min, memory_order_relaxed);
}

/* Adds the text, of which nothing can end or forge the line: at most room bytes, the mark of what
 * was cut off included. What is not UTF-8 would make the line invalid JSON. */
static void add_escaped(struct buf *b, struct str s, size_t room)
{
    size_t end = b->len + room;

    while (s.len > 0) {
        unsigned char c = (unsigned char)s.ptr[0];
        size_t n = utf8_char(s);

        if (end - b->len < 6 + 3) { /* the longest escape, and the mark */
            buf_add_lit(b, "…");
            return;
        }
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_add_lit(b, "\\n");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(b, "\\u%04x", c);
        else if (n == 0)
            buf_add_lit(b, "\\ufffd");
        else
            buf_add(b, s.ptr, n);
        s = str_of(s.ptr + MAX(n, 1), s.len - MAX(n, 1));
    }
}

/* What the next text may take, with left fields behind it. */
static size_t room_for(const struct buf *b, size_t left)
{
    size_t kept = b->len + END_BYTES + left * FIELD_BYTES_MIN;

    return kept < LINE_BYTES_MAX ? LINE_BYTES_MAX - kept : 0;
}

static void add_time(struct buf *b, bool json)
{
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm parts;
    char text[40];

    if (json) {
        gmtime_r(&seconds, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        buf_printf(b, "%s.%03dZ", text, (int)(now % 1000));
    } else {
        localtime_r(&seconds, &parts);
        strftime(text, sizeof text, "%H:%M:%S", &parts);
        buf_printf(b, "%s.%03d", text, (int)(now % 1000));
    }
}

static void add_json(struct buf *b, enum log_level level, struct str message,
                     const struct log_field *fields, size_t n)
{
    buf_printf(b, "{\"level\":\"%s\",\"time\":\"", names[level]);
    add_time(b, true);
    buf_add_lit(b, "\",\"message\":\"");
    add_escaped(b, message, room_for(b, n));
    buf_add_char(b, '"');
    for (size_t i = 0; i < n; i++) {
        buf_add_lit(b, ",\"");
        add_escaped(b, str_from(fields[i].key), KEY_BYTES_MAX);
        buf_add_lit(b, "\":");
        if (fields[i].is_number) {
            buf_add_i64(b, fields[i].number);
        } else {
            buf_add_char(b, '"');
            add_escaped(b, fields[i].text, room_for(b, n - i - 1));
            buf_add_char(b, '"');
        }
    }
    buf_add_lit(b, "}\n");
}

static void add_text(struct buf *b, enum log_level level, struct str message,
                     const struct log_field *fields, size_t n)
{
    bool colour = isatty(atomic_load(&fd));

    add_time(b, false);
    buf_printf(b, " %s%-5s%s ", colour ? colours[level] : "", names[level],
               colour ? "\033[0m" : "");
    add_escaped(b, message, room_for(b, n));
    for (size_t i = 0; i < n; i++) {
        buf_add_lit(b, "  ");
        add_escaped(b, str_from(fields[i].key), KEY_BYTES_MAX);
        buf_add_char(b, '=');
        if (fields[i].is_number) {
            buf_add_i64(b, fields[i].number);
        } else {
            bool quoted = fields[i].text.len == 0 || str_find(fields[i].text, ' ') >= 0;

            if (quoted)
                buf_add_char(b, '"');
            add_escaped(b, fields[i].text, room_for(b, n - i - 1));
            if (quoted)
                buf_add_char(b, '"');
        }
    }
    buf_add_char(b, '\n');
}

void log_write(enum log_level level, struct str message, const struct log_field *fields, size_t n)
{
    struct buf line = BUF_INIT(LINE_BYTES_MAX);

    if (!log_enabled(level))
        return;
    if (sink) {
        sink(sink_arg, level, message, fields, n);
        return;
    }
    if (atomic_load_explicit(&as_json, memory_order_relaxed))
        add_json(&line, level, message, fields, n);
    else
        add_text(&line, level, message, fields, n);
    CHECK(!line.overflow);
    if (write(atomic_load(&fd), line.ptr, line.len) < 0) {
        /* nowhere left to complain */
    }
    buf_deinit(&line);
}
