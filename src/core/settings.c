#include "core/settings.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdatomic.h>

/* Apart from the settings, so that those can be const everywhere. */
struct settings_count {
    _Atomic uint32_t refs;
};

const struct setting_field settings_fields[] = {SETTINGS_FIELDS};
const size_t settings_fields_count = ARRAY_LEN(settings_fields);
const struct setting_field settings_channel_fields[] = {CHANNEL_FIELDS};
const size_t settings_channel_fields_count = ARRAY_LEN(settings_channel_fields);

struct settings *settings_new(size_t namespaces_count)
{
    struct settings *s = mem_zalloc(sizeof *s);

    CHECK(namespaces_count > 0);
    s->count = mem_zalloc(sizeof *s->count);
    atomic_init(&s->count->refs, 1);
    s->namespaces = mem_zalloc(namespaces_count * sizeof *s->namespaces);
    s->namespaces_count = namespaces_count;
    return s;
}

struct settings *settings_ref(const struct settings *s)
{
    atomic_fetch_add_explicit(&s->count->refs, 1, memory_order_relaxed);
    return (struct settings *)s;
}

static void free_fields(void *base, const struct setting_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *member = (char *)base + fields[i].offset;

        if (fields[i].type == SETTING_STR) {
            str_free(member);
        } else if (fields[i].type == SETTING_LIST) {
            struct str_list *list = member;

            for (size_t j = 0; j < list->count; j++)
                str_free(&list->items[j]);
            mem_free(list->items);
        }
    }
}

static void free_reasons(struct settings_reasons *reasons)
{
    for (size_t i = 0; i < reasons->count; i++) {
        str_free(&reasons->items[i].option);
        str_free(&reasons->items[i].cause);
    }
    mem_free(reasons->items);
}

void ns_clear(struct ns *ns)
{
    free_fields(&ns->opt, settings_channel_fields, settings_channel_fields_count);
    settings_regex_free(ns->regex);
    str_free(&ns->name);
    if (ns->computed)
        free_reasons(&ns->computed->reasons);
}

const struct ns *ns_ref(const struct ns *ns)
{
    if (ns->computed)
        ns->computed->refs++;
    else
        settings_ref(ns->settings);
    return ns;
}

void ns_unref(const struct ns *ns)
{
    if (ns == NULL)
        return;
    if (ns->computed == NULL)
        settings_unref(ns->settings);
    else if (--ns->computed->refs == 0)
        ns->computed->gone((struct ns *)ns);
}

/* In the map of namespaces. */
struct ns_name {
    struct map_node node;
    size_t index;
    char name[];
};

static void add_name(struct settings *s, const struct ns *ns)
{
    struct ns_name *n = mem_alloc(sizeof *n + ns->name.len);

    n->index = ns->index;
    memcpy(n->name, ns->name.ptr, ns->name.len);
    map_add(&s->namespaces_by_name, &n->node, str_of(n->name, ns->name.len));
}

static void free_names(struct settings *s)
{
    struct map_iter it;

    map_each (&s->namespaces_by_name, &it, node)
        mem_free(container_of(node, struct ns_name, node));
    map_deinit(&s->namespaces_by_name);
}

void settings_unref(const struct settings *const_s)
{
    struct settings *s = (struct settings *)const_s;

    if (!s || atomic_fetch_sub_explicit(&s->count->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_names(s);
    for (size_t i = 0; i < s->namespaces_count; i++)
        ns_clear(&s->namespaces[i]);
    mem_free(s->namespaces);
    free_reasons(&s->reasons);
    free_fields(s, settings_fields, settings_fields_count);
    str_free(&s->source);
    str_free(&s->path);
    mem_free(s->count);
    mem_free(s);
}

const struct ns *settings_ns(const struct settings *s, struct str name)
{
    struct map_node *node;

    if (name.len == 0)
        return &s->namespaces[0];
    node = map_get(&s->namespaces_by_name, name);
    return node ? &s->namespaces[container_of(node, struct ns_name, node)->index] : NULL;
}

static const struct settings_reason *reason_of(const struct ns *ns, unsigned who,
                                               enum action action)
{
    const struct settings_reasons *all =
        ns->computed ? &ns->computed->reasons : &ns->settings->reasons;
    size_t index = ns->reason[action][who & (WHO_COUNT - 1)];

    CHECK(index < all->count);
    return &all->items[index];
}

struct str settings_denied_option(const struct ns *ns, unsigned who, enum action action)
{
    return reason_of(ns, who, action)->option;
}

struct str settings_denied_cause(const struct ns *ns, unsigned who, enum action action)
{
    return reason_of(ns, who, action)->cause;
}

void settings_add_namespace(struct settings *s, size_t index, struct str name)
{
    struct ns *ns = &s->namespaces[index];

    CHECK(index < s->namespaces_count);
    ns->settings = s;
    ns->index = index;
    ns->name = str_dup(name);
    if (name.len > 0)
        add_name(s, ns);
}

void settings_add_reason(struct settings_reasons *reasons, struct str option, struct str cause)
{
    reasons->items = mem_realloc(reasons->items, (reasons->count + 1) * sizeof *reasons->items);
    reasons->items[reasons->count++] = (struct settings_reason){str_dup(option), str_dup(cause)};
}

static bool lists_equal(const struct str_list *a, const struct str_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!str_eq(a->items[i], b->items[i]))
            return false;
    }
    return true;
}

bool settings_field_equal(const struct setting_field *f, const struct settings *a,
                          const struct settings *b)
{
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;

    switch (f->type) {
    case SETTING_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case SETTING_INT:
        return *(const int64_t *)x == *(const int64_t *)y;
    case SETTING_ENUM:
        return *(const int *)x == *(const int *)y;
    case SETTING_STR:
        return str_eq(*(const struct str *)x, *(const struct str *)y);
    case SETTING_LIST:
        return lists_equal((const struct str_list *)x, (const struct str_list *)y);
    case SETTING_BUCKETS:
        return memcmp(x, y, sizeof(struct rate_buckets)) == 0;
    }
    return false;
}
