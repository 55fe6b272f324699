#include "cli/genconfig.h"

#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SECRET_LEN 48 /* letters, 273 bits */
#define TEXT_MAX 16384

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

int cli_genconfig(int argc, char **argv)
{
    const char *path = "config.lua";
    struct buf text = BUF_INIT(TEXT_MAX);
    enum err err;

    for (int i = 1; i < argc; i++) {
        struct str arg = str_from(argv[i]);

        if (i + 1 < argc && (str_eq(arg, STR("-o")) || str_eq(arg, STR("-c")))) {
            path = argv[++i];
        } else {
            fprintf(stderr,
                    "perigee genconfig: unexpected argument: %s\n"
                    "usage: perigee genconfig [-o config.lua]\n",
                    argv[i]);
            return 2;
        }
    }
    genconfig_text(&text);
    err = genconfig_write(path, buf_str(&text));
    buf_deinit(&text);
    if (err == ERR_EXISTS)
        fprintf(stderr, "perigee genconfig: %s exists already and is left as it is\n", path);
    else if (err != OK)
        fprintf(stderr, "perigee genconfig: %s cannot be written: %s\n", path,
                strerrordesc_np(errno));
    else
        printf("%s: written\n", path);
    return err == OK ? 0 : 1;
}
