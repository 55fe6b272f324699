/* Whatever is logged, a line stays one line, in JSON a valid object with its fields. */
#include "base/log.h"

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char line[16384];
static size_t line_len;

/* Logs into a file of its own and reads it again. */
static void write_line(enum log_format format, struct str message, const struct log_field *fields,
                       size_t n)
{
    char path[] = "/tmp/perigee-log-XXXXXX";
    int fd = mkstemp(path);
    ssize_t got;

    assert_true(fd >= 0);
    assert_int_equal(log_setup(LOG_INFO, format, path), OK);
    log_write(LOG_INFO, message, fields, n);
    got = read(fd, line, sizeof line);
    assert_true(got > 1 && got <= 8192);
    line_len = (size_t)got - 1;
    assert_int_equal(line[line_len], '\n');
    assert_null(memchr(line, '\n', line_len));
    assert_int_equal(log_setup(LOG_NONE, LOG_AUTO, NULL), OK);
    close(fd);
    unlink(path);
}

/* The text of a member of the JSON line. */
static struct str member(struct arena *a, const char *name)
{
    struct str object = str_of(line, line_len), value, text = STR_NONE;

    assert_true(json_valid(object));
    assert_int_equal(json_get(object, str_from(name), a, &value), OK);
    if (json_string(value, a, &text) != OK)
        text = value;
    return text;
}

static void assert_member(const char *name, const char *expected)
{
    struct arena a = ARENA_INIT;
    struct str text = member(&a, name);

    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.ptr, expected, text.len);
    arena_deinit(&a);
}

static void what_is_not_utf8_is_replaced(void **state)
{
    const struct log_field fields[] = {LOG_Z("origin", "\xff\xc3\xa9\xed\xa0\x80x\xe2\x82")};

    write_line(LOG_JSON, STR("a \"b\" \xe2\x82\xac\n\x01\x7f\\"), fields, 1);
    assert_member("message", "a \"b\" \xe2\x82\xac\n\x01\x7f\\");
    assert_member("origin", "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx"
                            "\xef\xbf\xbd\xef\xbf\xbd");
}

static void names_cannot_forge_a_line(void **state)
{
    const struct log_field fields[] = {LOG_I("x\":1,\"level\":\"boo", 1), LOG_I("a\nb", 2)};

    write_line(LOG_JSON, STR("m"), fields, 2);
    assert_member("level", "info");
    assert_member("a\nb", "2");
    write_line(LOG_TEXT, STR("m"), fields, 2);
}

static void long_texts_are_cut_and_later_fields_stay(void **state)
{
    static char text[20000], name[5000];
    struct log_field fields[17];
    struct arena a = ARENA_INIT;
    struct str cut;

    memset(text, '\x01', sizeof text - 1);
    memset(name, '"', sizeof name - 1);
    write_line(LOG_JSON, str_from(text), &LOG_Z("last", "here"), 1);
    assert_member("last", "here");
    write_line(LOG_JSON, STR("m"),
               (const struct log_field[]){LOG_Z("long", text), LOG_Z("last", "here")}, 2);
    assert_member("last", "here");
    cut = member(&a, "long");
    assert_true(cut.len > 1000);
    assert_memory_equal(cut.ptr + cut.len - 3, "…", 3);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        fields[i] = LOG_Z(name, text);
    fields[16] = LOG_I("last", INT64_MIN);
    write_line(LOG_JSON, str_from(text), fields, ARRAY_LEN(fields));
    assert_member("last", "-9223372036854775808");
    write_line(LOG_TEXT, str_from(text), fields, ARRAY_LEN(fields));
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(names_cannot_forge_a_line),
        cmocka_unit_test(long_texts_are_cut_and_later_fields_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
