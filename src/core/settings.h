/* Typed settings: config.lua, the environment and the command line after every check. Immutable
 * once built, so any worker may read them; counted, so a reload can swap them while commands still
 * hold the old ones. Everything they point to is owned by them and lives as long. */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

struct str_list {
    struct str *items;
    size_t count;
};

#define RATE_BUCKETS_MAX 4

/* At most rate commands per interval, in every bucket. No bucket: no limit. */
struct rate_bucket {
    int64_t interval_ms, rate;
};
struct rate_buckets {
    struct rate_bucket items[RATE_BUCKETS_MAX];
    size_t count;
};

#include "settings_gen.h"

/* Who asks, as bits: the index into struct ns's tables. */
enum who {
    WHO_ANONYMOUS = 1,     /* the user id is empty */
    WHO_SUBSCRIBED = 2,    /* this connection is subscribed to the channel */
    WHO_INSECURE = 4,      /* client.insecure is on */
    WHO_PRIVATE = 8,       /* the channel begins with channel.private_prefix */
    WHO_USER_LIMITED = 16, /* the channel has a user list and the namespace looks at it */
    WHO_USER_LISTED = 32,  /* the user is on that list */
    WHO_COUNT = 64,
};

enum action { ACTION_SUBSCRIBE, ACTION_PUBLISH, ACTION_PRESENCE, ACTION_HISTORY, ACTION_COUNT };

enum allow {
    ALLOW_SUBSCRIBE = 1 << ACTION_SUBSCRIBE,
    ALLOW_PUBLISH = 1 << ACTION_PUBLISH,
    ALLOW_PRESENCE = 1 << ACTION_PRESENCE,
    ALLOW_HISTORY = 1 << ACTION_HISTORY,
};

/* Why a decision is what it is, computed by lua/perigee/rules.lua. */
struct settings_reason {
    struct str option; /* full path of the option that allowed it, or would allow it */
    struct str cause;  /* in words */
};
struct settings_reasons {
    struct settings_reason *items;
    size_t count;
};

/* The options of a channel: a namespace's, which the settings own, or what the hook channel_options
 * computed for some channels of it. What rules.lua decided for every combination of `enum who` is
 * cached here, so a permission check is one byte. */
struct ns {
    const struct settings *settings; /* whose namespace it is */
    struct str name;                 /* empty: channel.without_namespace */
    size_t index;                    /* the namespace's row, also of the worker's hooks */
    struct channel_options opt;
    struct settings_regex *regex;             /* opt.channel_regex compiled; NULL without one */
    uint8_t allow[WHO_COUNT];                 /* of enum allow */
    uint32_t reason[ACTION_COUNT][WHO_COUNT]; /* index into computed's or settings' reasons */
    struct ns_computed *computed;             /* NULL: owned by the settings */
};

/* Of a row that lives on its own: one worker's, counted by ns_ref and ns_unref. */
struct ns_computed {
    struct settings_reasons reasons;
    uint32_t refs;
    void (*gone)(struct ns *ns); /* the last reference is: ns_clear, and free it */
};

struct settings {
    SETTINGS_MEMBERS

    /* The rest is read through the functions below. */
    struct ns *namespaces; /* row 0: channel.without_namespace */
    size_t namespaces_count;
    struct map namespaces_by_name;
    struct settings_reasons reasons;
    struct str source;    /* text of config.lua, for the workers; empty without a file */
    struct str path;      /* its path as it was given; empty without a file */
    uint64_t remote_hash; /* of what came from config_source (core/remote.h); 0: nothing */
    struct settings_count *count;
};

/* All zero with one reference; core's callers get finished ones from script/config.h. */
struct settings *settings_new(size_t namespaces_count);
struct settings *settings_ref(const struct settings *s);
void settings_unref(const struct settings *s); /* NULL is fine */

/* The row of a namespace, NULL when there is none; the empty name is row 0. */
const struct ns *settings_ns(const struct settings *s, struct str name);

/* Keeps a row alive, and its settings. A computed one on its worker only. */
const struct ns *ns_ref(const struct ns *ns);
void ns_unref(const struct ns *ns); /* NULL is fine */
/* Frees what a row owns. */
void ns_clear(struct ns *ns);

static inline bool settings_allows(const struct ns *ns, unsigned who, enum action action)
{
    return ns->allow[who & (WHO_COUNT - 1)] & (1u << action);
}

/* For the log line of a refusal: the option to change, and the cause in words. Of what is allowed:
 * the option that allows it. */
struct str settings_denied_option(const struct ns *ns, unsigned who, enum action action);
struct str settings_denied_cause(const struct ns *ns, unsigned who, enum action action);

/* channel_regex: the syntax of POSIX extended expressions plus \d \w \s and (?:…), searched
 * anywhere in the text, bytewise. NULL: not a regular expression (or one with back-references). */
struct settings_regex *settings_regex_new(struct str pattern);
void settings_regex_free(struct settings_regex *regex); /* NULL is fine */
/* A text of more than 1024 bytes matches nothing. */
bool settings_regex_match(const struct settings_regex *regex, struct str text);
/* What the named group (?P<name>…) holds in text, which must match; a slice of it. Alternatives
 * match as POSIX has it: the longest wins. False: no match, or no such group. */
bool settings_regex_group(const struct settings_regex *regex, struct str text, struct str name,
                          struct str *value) NODISCARD;
bool settings_regex_has_group(const struct settings_regex *regex, struct str name);

/* Used while they are built, before anybody else sees them. The strings are copied. */
void settings_add_namespace(struct settings *s, size_t index, struct str name);
void settings_add_reason(struct settings_reasons *reasons, struct str option, struct str cause);

/* How the generated table describes a member. */
enum setting_type {
    SETTING_BOOL,
    SETTING_INT,
    SETTING_ENUM,
    SETTING_STR,
    SETTING_LIST,
    SETTING_BUCKETS
};
struct setting_field {
    const char *path;
    enum setting_type type;
    size_t offset;
};
/* Has the option the same value in both? */
bool settings_field_equal(const struct setting_field *f, const struct settings *a,
                          const struct settings *b);
extern const struct setting_field settings_fields[];
extern const size_t settings_fields_count;
extern const struct setting_field settings_channel_fields[];
extern const size_t settings_channel_fields_count;
