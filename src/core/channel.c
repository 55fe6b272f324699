#include "core/channel.h"

/* The index right behind the first (or last) occurrence of mark, or 0 when there is none; a mark
 * set to "" is switched off. */
static size_t behind_first(struct str s, struct str mark)
{
    for (size_t i = 0; mark.len > 0 && i + mark.len <= s.len; i++) {
        if (s.ptr[i] == mark.ptr[0] && memcmp(s.ptr + i, mark.ptr, mark.len) == 0)
            return i + mark.len;
    }
    return 0;
}

static size_t behind_last(struct str s, struct str mark)
{
    if (mark.len == 0)
        return 0;
    for (size_t i = s.len; i >= mark.len; i--) {
        if (memcmp(s.ptr + i - mark.len, mark.ptr, mark.len) == 0)
            return i;
    }
    return 0;
}

enum err channel_resolve(const struct settings *s, struct str channel, struct channel_parts *out)
{
    struct str name = channel;
    size_t behind;

    out->is_private =
        s->channel_private_prefix.len > 0 && str_starts(channel, s->channel_private_prefix);
    if (out->is_private)
        name = str_cut(name, s->channel_private_prefix.len);
    behind = behind_first(name, s->channel_namespace_boundary);
    if (behind == 0) {
        out->ns = settings_ns(s, STR_NONE);
        out->rest = channel;
    } else {
        out->ns = settings_ns(s, str_of(name.ptr, behind - s->channel_namespace_boundary.len));
        out->rest = str_cut(name, behind);
    }
    if (out->ns == NULL)
        return ERR_NOT_FOUND;
    channel_use(out->ns, channel, out);
    return OK;
}

void channel_use(const struct ns *ns, struct str channel, struct channel_parts *parts)
{
    parts->ns = ns;
    parts->user_limited = ns->opt.allow_user_limited_channels &&
                          behind_last(channel, ns->settings->channel_user_boundary) > 0;
}

bool channel_name_valid(const struct settings *s, struct str channel,
                        const struct channel_parts *parts)
{
    if (parts->ns->regex)
        return settings_regex_match(parts->ns->regex, parts->rest);
    for (size_t i = 0; i < channel.len; i++) {
        if ((unsigned char)channel.ptr[i] > 127)
            return false;
    }
    return true;
}

struct stream_options channel_stream(const struct ns *ns)
{
    const struct channel_options *o = &ns->opt;

    return (struct stream_options){
        .size = o->history_ttl_ms > 0 ? (uint32_t)o->history_size : 0,
        .ttl_ms = o->history_ttl_ms,
        .meta_ttl_ms = o->history_meta_ttl_ms > 0 ? o->history_meta_ttl_ms
                                                  : ns->settings->channel_history_meta_ttl_ms,
    };
}

bool channel_lists_user(const struct settings *s, struct str channel, struct str user)
{
    struct str separator = s->channel_user_separator;
    size_t behind = behind_last(channel, s->channel_user_boundary);
    struct str list;

    if (behind == 0)
        return false;
    list = str_cut(channel, behind);
    for (;;) {
        size_t next = behind_first(list, separator);

        if (str_eq(str_of(list.ptr, next ? next - separator.len : list.len), user))
            return true;
        if (next == 0)
            return false;
        list = str_cut(list, next);
    }
}
