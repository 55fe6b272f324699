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

void settings_unref(const struct settings *const_s)
{
    struct settings *s = (struct settings *)const_s;

    if (!s || atomic_fetch_sub_explicit(&s->count->refs, 1, memory_order_acq_rel) != 1)
        return;
    map_deinit(&s->namespaces_by_name);
    for (size_t i = 0; i < s->namespaces_count; i++) {
        free_fields(&s->namespaces[i].opt, settings_channel_fields, settings_channel_fields_count);
        settings_regex_free(s->namespaces[i].regex);
        str_free(&s->namespaces[i].name);
    }
    mem_free(s->namespaces);
    for (size_t i = 0; i < s->reasons_count; i++) {
        str_free(&s->reasons[i].option);
        str_free(&s->reasons[i].cause);
    }
    mem_free(s->reasons);
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
    return node ? container_of(node, struct ns, node) : NULL;
}

static const struct settings_reason *reason_of(const struct settings *s, const struct ns *ns,
                                               unsigned who, enum action action)
{
    size_t index = ns->reason[action][who & (WHO_COUNT - 1)];

    CHECK(index < s->reasons_count);
    return &s->reasons[index];
}

struct str settings_denied_option(const struct settings *s, const struct ns *ns, unsigned who,
                                  enum action action)
{
    return reason_of(s, ns, who, action)->option;
}

struct str settings_denied_cause(const struct settings *s, const struct ns *ns, unsigned who,
                                 enum action action)
{
    return reason_of(s, ns, who, action)->cause;
}

void settings_add_namespace(struct settings *s, size_t index, struct str name)
{
    struct ns *ns = &s->namespaces[index];

    CHECK(index < s->namespaces_count);
    ns->index = index;
    ns->name = str_dup(name);
    if (name.len > 0)
        map_add(&s->namespaces_by_name, &ns->node, ns->name);
}

void settings_add_reason(struct settings *s, struct str option, struct str cause)
{
    s->reasons = mem_realloc(s->reasons, (s->reasons_count + 1) * sizeof *s->reasons);
    s->reasons[s->reasons_count++] = (struct settings_reason){str_dup(option), str_dup(cause)};
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
