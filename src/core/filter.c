/* The tree lies in one array, parents before children; `behind` jumps over a node with all that is
 * under it. */
#include "core/filter.h"

#include "base/mem.h"

#define NUMBER_LEN_MAX 200
#define FRACTION_LEN_MAX 19

enum operation {
    AND,
    OR,
    NOT, /* of nodes */
    EQ,
    NEQ,
    IN,
    NIN,
    EX,
    NEX,
    SW,
    EW,
    CT,
    LT,
    LTE,
    GT,
    GTE, /* of a tag */
};

struct node {
    uint16_t operation;
    uint16_t behind; /* index of the first node that is not under this one */
    uint16_t first;  /* index of its first value */
    uint16_t count;  /* of values */
    struct str key;
};

struct filter {
    struct node *nodes;
    struct str *values;
    char bytes[]; /* nodes, values, texts */
};

/* --- making it -------------------------------------------------------------------------------- */

struct size {
    size_t nodes, values, bytes;
};

static const struct {
    struct str name;
    enum operation operation;
} logic[] = {{STR("and"), AND}, {STR("or"), OR}, {STR("not"), NOT}},
  comparisons[] = {
      {STR("eq"), EQ},   {STR("neq"), NEQ}, {STR("in"), IN},   {STR("nin"), NIN}, {STR("ex"), EX},
      {STR("nex"), NEX}, {STR("sw"), SW},   {STR("ew"), EW},   {STR("ct"), CT},   {STR("lt"), LT},
      {STR("lte"), LTE}, {STR("gt"), GT},   {STR("gte"), GTE},
};

static bool operation_of(const struct wire_filter_node *n, enum operation *out)
{
    for (size_t i = 0; i < ARRAY_LEN(logic); i++) {
        if (str_eq(n->op, logic[i].name)) {
            *out = logic[i].operation;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(comparisons) && n->op.len == 0; i++) {
        if (str_eq(n->cmp, comparisons[i].name)) {
            *out = comparisons[i].operation;
            return true;
        }
    }
    return false;
}

static enum err check_leaf(const struct wire_filter_node *n, enum operation operation,
                           struct size *size)
{
    bool existence = operation == EX || operation == NEX;
    bool list = operation == IN || operation == NIN;

    if ((n->key.len == 0 && !existence) || n->nodes.count > 0 ||
        (n->val.len > 0) != (!existence && !list) || (n->vals.count > 0) != list)
        return ERR_SYNTAX;
    size->values += list ? n->vals.count : 1;
    size->bytes += n->key.len + n->val.len;
    for (size_t i = 0; i < n->vals.count; i++)
        size->bytes += n->vals.ptr[i].len;
    return OK;
}

static bool has_leaf_fields(const struct wire_filter_node *n)
{
    return n->key.len > 0 || n->cmp.len > 0 || n->val.len > 0 || n->vals.count > 0;
}

/* Counts what the tree needs and checks all of it. */
static enum err check(const struct wire_filter_node *n, unsigned depth, struct size *size)
{
    enum operation operation;
    enum err err = OK;

    if (depth == FILTER_DEPTH_MAX || size->nodes == FILTER_NODES_MAX)
        return ERR_LIMIT;
    size->nodes++;
    if (!operation_of(n, &operation))
        return ERR_SYNTAX;
    if (operation > NOT)
        err = check_leaf(n, operation, size);
    else if (has_leaf_fields(n) || n->nodes.count == 0 || (operation == NOT && n->nodes.count > 1))
        err = ERR_SYNTAX;
    if (size->values > FILTER_VALUES_MAX || size->bytes > FILTER_BYTES_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < n->nodes.count && err == OK; i++)
        err = check(&n->nodes.ptr[i], depth + 1, size);
    return err;
}

struct place { /* where the next of each goes */
    uint16_t node, value;
    char *text;
};

static void build(struct filter *f, const struct wire_filter_node *n, struct place *at)
{
    struct node *node = &f->nodes[at->node++];
    enum operation operation = AND;

    (void)operation_of(n, &operation);
    *node = (struct node){.operation = (uint16_t)operation, .first = at->value};
    if (operation > NOT) {
        node->key = str_put(&at->text, n->key);
        node->count = (uint16_t)(n->vals.count > 0 ? n->vals.count : 1);
        f->values[at->value] = str_put(&at->text, n->val);
        for (size_t i = 0; i < n->vals.count; i++)
            f->values[at->value + i] = str_put(&at->text, n->vals.ptr[i]);
        at->value = (uint16_t)(at->value + node->count);
    }
    for (size_t i = 0; i < n->nodes.count; i++)
        build(f, &n->nodes.ptr[i], at);
    node->behind = at->node;
}

enum err filter_new(const struct wire_filter_node *root, struct filter **out)
{
    struct size size = {0};
    enum err err = check(root, 0, &size);
    struct place at = {0};
    struct filter *f;

    if (err != OK)
        return err;
    f = mem_alloc(sizeof *f + size.nodes * sizeof *f->nodes + size.values * sizeof *f->values +
                  size.bytes);
    f->nodes = (struct node *)f->bytes;
    f->values = (struct str *)(f->nodes + size.nodes);
    at.text = (char *)(f->values + size.values);
    build(f, root, &at);
    *out = f;
    return OK;
}

void filter_free(struct filter *f)
{
    mem_free(f);
}

/* --- numbers ---------------------------------------------------------------------------------- */

struct decimal {
    bool negative;
    struct str whole;    /* digits without leading zeros */
    struct str fraction; /* digits without trailing zeros */
};

static size_t digits_at(struct str s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

static bool read_decimal(struct str s, struct decimal *out)
{
    size_t n;

    *out = (struct decimal){0};
    if (s.len == 0 || s.len > NUMBER_LEN_MAX)
        return false;
    if (s.ptr[0] == '-' || s.ptr[0] == '+') {
        out->negative = s.ptr[0] == '-';
        s = str_cut(s, 1);
    }
    n = digits_at(s);
    if (n == 0)
        return false;
    out->whole = str_of(s.ptr, n);
    s = str_cut(s, n);
    if (s.len > 0) {
        if (s.ptr[0] != '.')
            return false;
        s = str_cut(s, 1);
        if (s.len == 0 || s.len > FRACTION_LEN_MAX || digits_at(s) != s.len)
            return false;
        out->fraction = s;
    }
    while (out->whole.len > 0 && out->whole.ptr[0] == '0')
        out->whole = str_cut(out->whole, 1);
    while (out->fraction.len > 0 && out->fraction.ptr[out->fraction.len - 1] == '0')
        out->fraction.len--;
    if (out->whole.len == 0 && out->fraction.len == 0)
        out->negative = false; /* there is one zero */
    return true;
}

bool filter_compare_numbers(struct str a, struct str b, int *order)
{
    struct decimal x, y;

    if (!read_decimal(a, &x) || !read_decimal(b, &y))
        return false;
    if (x.negative != y.negative) {
        *order = x.negative ? -1 : 1;
        return true;
    }
    if (x.whole.len != y.whole.len)
        *order = x.whole.len < y.whole.len ? -1 : 1;
    else
        *order = str_cmp(x.whole, y.whole);
    if (*order == 0) /* a shorter fraction that is the other's beginning is the smaller one */
        *order = str_cmp(x.fraction, y.fraction);
    if (x.negative)
        *order = -*order;
    return true;
}

/* --- matching --------------------------------------------------------------------------------- */

static const struct str *find_tag(struct wire_pairs tags, struct str key)
{
    for (size_t i = tags.count; i-- > 0;) {
        if (str_eq(tags.ptr[i].key, key))
            return &tags.ptr[i].value;
    }
    return NULL;
}

static bool ends_with(struct str s, struct str end)
{
    return s.len >= end.len && str_eq(str_cut(s, s.len - end.len), end);
}

static bool contains(struct str s, struct str part)
{
    return s.len >= part.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

static bool is_among(struct str s, const struct str *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(s, values[i]))
            return true;
    }
    return false;
}

static bool compares(enum operation operation, struct str tag, struct str value)
{
    int order;

    if (!filter_compare_numbers(tag, value, &order))
        return false;
    switch (operation) {
    case LT:
        return order < 0;
    case LTE:
        return order <= 0;
    case GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool match_leaf(const struct filter *f, const struct node *n, struct wire_pairs tags)
{
    const struct str *found = find_tag(tags, n->key);
    const struct str *values = &f->values[n->first];
    struct str tag = found ? *found : STR_NONE;

    switch ((enum operation)n->operation) {
    case EQ:
        return found && str_eq(tag, values[0]);
    case NEQ:
        return !found || !str_eq(tag, values[0]);
    case IN: /* an absent tag is an empty one here */
        return is_among(tag, values, n->count);
    case NIN:
        return !is_among(tag, values, n->count);
    case EX:
        return found != NULL;
    case NEX:
        return found == NULL;
    case SW:
        return found && str_starts(tag, values[0]);
    case EW:
        return found && ends_with(tag, values[0]);
    case CT:
        return found && contains(tag, values[0]);
    case LT:
    case LTE:
    case GT:
    case GTE:
        return found && compares((enum operation)n->operation, tag, values[0]);
    case AND:
    case OR:
    case NOT:
        break;
    }
    return false;
}

/* As deep as the filter at most. */
static bool match(const struct filter *f, uint16_t index, struct wire_pairs tags)
{
    const struct node *n = &f->nodes[index];
    bool wanted = n->operation == AND;

    if (n->operation > NOT)
        return match_leaf(f, n, tags);
    if (n->operation == NOT)
        return !match(f, (uint16_t)(index + 1), tags);
    for (uint16_t i = (uint16_t)(index + 1); i < n->behind; i = f->nodes[i].behind) {
        if (match(f, i, tags) != wanted)
            return !wanted;
    }
    return wanted;
}

bool filter_match(const struct filter *f, struct wire_pairs tags)
{
    return match(f, 0, tags);
}
