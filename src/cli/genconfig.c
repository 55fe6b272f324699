#include "cli/genconfig.h"

#include "base/random.h"
#include "cli/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SECRET_LEN 48 /* letters, 273 bits */
#define TEXT_MAX 16384
#define CONVERTED_MAX ((size_t)16 << 20)

static void add_secret(struct buf *out)
{
    char letters[SECRET_LEN];

    random_letters(letters, sizeof letters);
    buf_add_char(out, '"');
    buf_add(out, letters, sizeof letters);
    buf_add_char(out, '"');
}

void genconfig_text(struct buf *out)
{
    buf_add_lit(out, "-- Configuration of Perigee: a Lua program that returns one table.\n"
                     "-- Every option is in docs/configuration.md; `perigee check -c config.lua`\n"
                     "-- says what is wrong with a file. This one holds secrets: keep it private.\n"
                     "\n"
                     "return {\n"
                     "  http_server = { address = \"127.0.0.1\", port = 8000 },\n"
                     "\n"
                     "  client = {\n"
                     "    -- Web pages that may connect, such as \"https://example.com\".\n"
                     "    allowed_origins = { \"http://localhost:*\" },\n"
                     "    -- Your backend signs the tokens of its users with this key.\n"
                     "    token = { hmac_secret_key = ");
    add_secret(out);
    buf_add_lit(out, " },\n"
                     "  },\n"
                     "\n"
                     "  -- Your backend sends this key as X-API-Key when it publishes.\n"
                     "  http_api = { key = ");
    add_secret(out);
    buf_add_lit(out, " },\n"
                     "\n"
                     "  health = { enabled = true },\n"
                     "\n"
                     "  channel = {\n"
                     "    -- Channels without a colon in their name.\n"
                     "    without_namespace = { allow_subscribe_for_client = true },\n"
                     "    namespaces = {\n"
                     "      -- Channels chat:…\n"
                     "      chat = {\n"
                     "        allow_subscribe_for_client = true,\n"
                     "        allow_publish_for_subscriber = true,\n"
                     "        presence = true, join_leave = true, force_push_join_leave = true,\n"
                     "        allow_presence_for_subscriber = true,\n"
                     "        history_size = 100, history_ttl = \"10m\", force_recovery = true,\n"
                     "        hooks = {\n"
                     "          -- Called for every publication of a client; nil lets it pass.\n"
                     "          publish = function(client, req)\n"
                     "            return nil\n"
                     "          end,\n"
                     "        },\n"
                     "      },\n"
                     "    },\n"
                     "  },\n"
                     "}\n");
}

enum err genconfig_write(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t done = 0;

    if (fd < 0)
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    while (done < text.len) {
        ssize_t n = write(fd, text.ptr + done, text.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            unlink(path); /* half a file would be taken for a whole one */
            return ERR_IO;
        }
        done += (size_t)n;
    }
    return close(fd) == 0 ? OK : ERR_IO;
}

static int refuse_existing(const char *path)
{
    fprintf(stderr, "perigee genconfig: %s exists already and is left as it is\n", path);
    return 1;
}

static int write_out(const char *path, struct str text)
{
    enum err err = genconfig_write(path, text);

    if (err == ERR_EXISTS)
        return refuse_existing(path);
    if (err != OK)
        fprintf(stderr, "perigee genconfig: %s cannot be written: %s\n", path,
                strerrordesc_np(errno));
    else
        printf("%s: written\n", path);
    return err == OK ? 0 : 1;
}

static void print_indented(struct str lines)
{
    while (lines.len > 0) {
        ptrdiff_t end = str_find(lines, '\n');
        size_t len = end < 0 ? lines.len : (size_t)end;

        printf("  %.*s\n", (int)len, lines.ptr);
        lines = str_cut(lines, MIN(len + 1, lines.len));
    }
}

static int convert_from(const char *from, const char *path)
{
    struct buf text = BUF_INIT(CONVERTED_MAX), message = BUF_INIT(CONVERTED_MAX);
    int code = 1;

    if (access(path, F_OK) == 0) {
        code = refuse_existing(path);
    } else if (!convert(from, path, &text, &message)) {
        fprintf(stderr, "perigee genconfig: %s: %.*s\n", from, STR_ARGS(buf_str(&message)));
    } else {
        code = write_out(path, buf_str(&text));
        if (code == 0 && message.len > 0) {
            printf("\nNot carried over:\n");
            print_indented(buf_str(&message));
        }
        if (code == 0)
            printf(
                "\nVariables CENTRIFUGO_… of the environment are not looked at; here their names "
                "begin with PERIGEE_.\nSee what is weak: perigee check -c %s\n",
                path);
    }
    buf_deinit(&text);
    buf_deinit(&message);
    return code;
}

int cli_genconfig(int argc, char **argv)
{
    const char *path = "config.lua", *from = NULL;
    struct buf text = BUF_INIT(TEXT_MAX);
    int code;

    for (int i = 1; i < argc; i++) {
        struct str arg = str_from(argv[i]);

        if (i + 1 < argc && (str_eq(arg, STR("-o")) || str_eq(arg, STR("-c")))) {
            path = argv[++i];
        } else if (i + 1 < argc && str_eq(arg, STR("--from"))) {
            from = argv[++i];
        } else {
            fprintf(stderr, "perigee genconfig: unexpected argument: %s (perigee help genconfig)\n",
                    argv[i]);
            return 2;
        }
    }
    if (from)
        return convert_from(from, path);
    genconfig_text(&text);
    code = write_out(path, buf_str(&text));
    buf_deinit(&text);
    return code;
}
