/* The texts of a client that most have few of: one allocation together, none when all are empty. */
#include "client/client.h"

#include "base/mem.h"

struct client_texts {
    uint32_t len[CLIENT_TEXT_COUNT];
    char bytes[];
};

struct str client_text(const struct client *cl, enum client_text which)
{
    const struct client_texts *t = cl->texts;
    size_t from = 0;

    if (t == NULL || t->len[which] == 0)
        return STR_NONE;
    for (int i = 0; i < (int)which; i++)
        from += t->len[i];
    return str_of(t->bytes + from, t->len[which]);
}

void client_set_text(struct client *cl, enum client_text which, struct str text)
{
    struct str all[CLIENT_TEXT_COUNT];
    struct client_texts *t = NULL;
    size_t size = 0;
    char *at;

    for (int i = 0; i < CLIENT_TEXT_COUNT; i++) {
        all[i] = i == (int)which ? text : client_text(cl, i);
        size += all[i].len;
    }
    if (size > 0) {
        t = mem_alloc(sizeof *t + size);
        at = t->bytes;
        for (int i = 0; i < CLIENT_TEXT_COUNT; i++) {
            t->len[i] = (uint32_t)all[i].len;
            str_put(&at, all[i]);
        }
    }
    mem_free(cl->texts);
    cl->texts = t;
}
