#include "core/publication.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

struct publication *publication_new(const struct publication_source *source)
{
    const struct publication_info *info = &source->info;
    size_t size = source->channel.len + source->data.len + source->tags.len + info->user.len +
                  info->client.len + info->conn_info.len + info->chan_info.len;
    struct publication *p = mem_alloc(sizeof *p + size);
    char *at = p->bytes;

    *p = (struct publication){
        .type = (uint8_t)source->type,
        .has_info = source->has_info,
        .data_is_json = source->data_is_json,
        .delta = source->delta,
        .version = source->version,
        .hash = map_hash(source->channel),
        .time_ms = clock_wall_tick_ms(),
    };
    atomic_init(&p->refs, 1);
    p->channel = str_put(&at, source->channel);
    p->data = str_put(&at, source->data);
    p->tags = str_put(&at, source->tags);
    p->info.user = str_put(&at, info->user);
    p->info.client = str_put(&at, info->client);
    p->info.conn_info = str_put(&at, info->conn_info);
    p->info.chan_info = str_put(&at, info->chan_info);
    return p;
}

struct publication *publication_ref(struct publication *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void publication_unref(struct publication *p)
{
    /* Who holds the only reference shares it with nobody: no locked instruction. */
    if (atomic_load_explicit(&p->refs, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        mem_free(p);
}

void publication_set_position(struct publication *p, uint64_t offset, struct str epoch)
{
    CHECK(epoch.len <= EPOCH_LEN_MAX);
    p->offset = offset;
    p->epoch_len = (uint8_t)epoch.len;
    if (epoch.len > 0)
        memcpy(p->epoch_text, epoch.ptr, epoch.len);
}
