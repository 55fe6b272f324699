#include "script/pattern.h"

#include <ctype.h>

#define CAPTURES_MAX 32
#define DEPTH_MAX 200 /* Lua's own limit; deeper patterns it refuses */
#define CAPTURE_OPEN (-1)
#define CAPTURE_POSITION (-2)

struct capture {
    const char *begin;
    ptrdiff_t len;
};

struct walk {
    const char *subject, *subject_end, *pattern_end;
    uint64_t steps_left;
    int depth, captures;
    bool out_of_steps;
    bool gave_up; /* malformed or too deep */
    struct capture capture[CAPTURES_MAX];
};

static const char *match(struct walk *w, const char *s, const char *p);

static bool step(struct walk *w, uint64_t n)
{
    if (w->steps_left < n) {
        w->out_of_steps = true;
        return false;
    }
    w->steps_left -= n;
    return true;
}

static const char *give_up(struct walk *w)
{
    w->gave_up = true;
    return NULL;
}

static bool stopped(const struct walk *w)
{
    return w->out_of_steps || w->gave_up;
}

/* The end of the single-character item at p; NULL when it is malformed. */
static const char *item_end(struct walk *w, const char *p)
{
    if (*p == '%')
        return p + 1 < w->pattern_end ? p + 2 : give_up(w);
    if (*p != '[')
        return p + 1;
    p++;
    if (p < w->pattern_end && *p == '^')
        p++;
    do { /* the first "]" stands for itself */
        if (p >= w->pattern_end)
            return give_up(w);
        if (*p++ == '%') {
            if (p >= w->pattern_end)
                return give_up(w);
            p++;
        }
    } while (p >= w->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int letter)
{
    bool yes;

    switch (tolower(letter)) {
    case 'a':
        yes = isalpha(c);
        break;
    case 'c':
        yes = iscntrl(c);
        break;
    case 'd':
        yes = isdigit(c);
        break;
    case 'g':
        yes = isgraph(c);
        break;
    case 'l':
        yes = islower(c);
        break;
    case 'p':
        yes = ispunct(c);
        break;
    case 's':
        yes = isspace(c);
        break;
    case 'u':
        yes = isupper(c);
        break;
    case 'w':
        yes = isalnum(c);
        break;
    case 'x':
        yes = isxdigit(c);
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !yes : yes;
}

/* p is behind "[", last is the closing "]". */
static bool in_set(int c, const char *p, const char *last)
{
    bool negated = *p == '^';

    for (p += negated; p < last; p++) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return !negated;
        } else if (p + 2 < last && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
                return !negated;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return !negated;
        }
    }
    return negated;
}

static bool item_fits(struct walk *w, const char *s, const char *p, const char *end)
{
    int c;

    /* A long set costs what it is long. */
    if (s >= w->subject_end || !step(w, 1 + (uint64_t)(end - p) / 8))
        return false;
    c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p + 1, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* As many as fit, then fewer and fewer. */
static const char *longest(struct walk *w, const char *s, const char *p, const char *end)
{
    ptrdiff_t n = 0;

    while (item_fits(w, s + n, p, end))
        n++;
    for (; n >= 0 && !stopped(w); n--) {
        const char *found = match(w, s + n, end + 1);

        if (found)
            return found;
    }
    return NULL;
}

static const char *shortest(struct walk *w, const char *s, const char *p, const char *end)
{
    for (; !stopped(w); s++) {
        const char *found = match(w, s, end + 1);

        if (found)
            return found;
        if (!item_fits(w, s, p, end))
            return NULL;
    }
    return NULL;
}

static const char *open_capture(struct walk *w, const char *s, const char *p, ptrdiff_t len)
{
    const char *found;

    if (w->captures == CAPTURES_MAX)
        return give_up(w);
    w->capture[w->captures++] = (struct capture){s, len};
    found = match(w, s, p);
    if (!found)
        w->captures--;
    return found;
}

static const char *close_capture(struct walk *w, const char *s, const char *p)
{
    for (int i = w->captures - 1; i >= 0; i--) {
        if (w->capture[i].len == CAPTURE_OPEN) {
            const char *found;

            w->capture[i].len = s - w->capture[i].begin;
            found = match(w, s, p);
            if (!found)
                w->capture[i].len = CAPTURE_OPEN;
            return found;
        }
    }
    return give_up(w);
}

/* %bxy: the end of the balanced text at s. */
static const char *balanced(struct walk *w, const char *s, const char *p)
{
    int depth = 0;

    if (p + 1 >= w->pattern_end)
        return give_up(w);
    if (s >= w->subject_end || *s != p[0])
        return NULL;
    for (depth = 1, s++; s < w->subject_end && step(w, 1); s++) {
        if (*s == p[1]) {
            if (--depth == 0)
                return s + 1;
        } else if (*s == p[0]) {
            depth++;
        }
    }
    return NULL;
}

static bool at_frontier(const struct walk *w, const char *s, const char *p, const char *end)
{
    int before = s == w->subject ? 0 : (unsigned char)s[-1];
    int after = s == w->subject_end ? 0 : (unsigned char)*s;

    return !in_set(before, p + 1, end - 1) && in_set(after, p + 1, end - 1);
}

/* %1 … %9: the end of a repeated capture. */
static const char *repeated(struct walk *w, const char *s, int digit)
{
    int i = digit - '1';
    size_t len;

    if (i < 0 || i >= w->captures || w->capture[i].len < 0)
        return give_up(w);
    len = (size_t)w->capture[i].len;
    if (!step(w, 1 + len / 16) || len > (size_t)(w->subject_end - s))
        return NULL;
    return memcmp(w->capture[i].begin, s, len) == 0 ? s + len : NULL;
}

/* The pattern's special items; *handled says whether p was one. Those that end in the rest of the
 * pattern leave the new position in *next. */
static const char *special(struct walk *w, const char *s, const char *p, const char **next,
                           bool *handled)
{
    const char *end;

    *handled = true;
    *next = NULL;
    if (*p == '(') {
        bool position = p + 1 < w->pattern_end && p[1] == ')';

        return open_capture(w, s, p + 1 + position, position ? CAPTURE_POSITION : CAPTURE_OPEN);
    }
    if (*p == ')')
        return close_capture(w, s, p + 1);
    if (*p == '$' && p + 1 == w->pattern_end)
        return s == w->subject_end ? s : NULL;
    if (*p == '%' && p + 1 < w->pattern_end) {
        if (p[1] == 'b') {
            *next = p + 4;
            return balanced(w, s, p + 2);
        }
        if (p[1] == 'f') {
            if (p + 2 >= w->pattern_end || p[2] != '[')
                return give_up(w);
            end = item_end(w, p + 2);
            *next = end;
            return end && at_frontier(w, s, p + 2, end) ? s : NULL;
        }
        if (isdigit((unsigned char)p[1])) {
            *next = p + 2;
            return repeated(w, s, p[1]);
        }
    }
    *handled = false;
    return NULL;
}

/* Where the match of p at s ends; NULL when there is none (or the walk stopped). */
static const char *match(struct walk *w, const char *s, const char *p)
{
    const char *found = NULL;

    if (++w->depth > DEPTH_MAX)
        give_up(w);
    while (!stopped(w) && step(w, 1)) {
        const char *next, *end;
        bool handled;

        if (p == w->pattern_end) {
            found = s;
            break;
        }
        found = special(w, s, p, &next, &handled);
        if (handled) {
            if (!found || !next)
                break;
            s = found;
            p = next;
            found = NULL;
            continue;
        }
        end = item_end(w, p);
        if (!end)
            break;
        if (end < w->pattern_end && *end == '*') {
            found = longest(w, s, p, end);
            break;
        }
        if (end < w->pattern_end && *end == '-') {
            found = shortest(w, s, p, end);
            break;
        }
        if (end < w->pattern_end && *end == '+') {
            found = item_fits(w, s, p, end) ? longest(w, s + 1, p, end) : NULL;
            break;
        }
        if (end < w->pattern_end && *end == '?') {
            if (item_fits(w, s, p, end) && (found = match(w, s + 1, end + 1)) != NULL)
                break;
            p = end + 1;
            continue;
        }
        if (!item_fits(w, s, p, end))
            break;
        s++;
        p = end;
    }
    w->depth--;
    return stopped(w) ? NULL : found;
}

/* An upper bound without looking at the subject: every repetition may try every length. */
static bool cheap_at_sight(struct str subject, struct str pattern)
{
    uint64_t work = subject.len + 1 + pattern.len;

    for (size_t i = 0; i < pattern.len && work <= 1000000; i++) {
        if (memchr("*+-?%", pattern.ptr[i], 5))
            work *= subject.len + 1;
    }
    return work <= 1000000;
}

bool pattern_is_cheap(struct str subject, struct str pattern, bool all, uint64_t budget)
{
    struct walk w = {.subject = subject.ptr,
                     .subject_end = subject.ptr + subject.len,
                     .pattern_end = pattern.ptr + pattern.len,
                     .steps_left = budget};
    bool anchored = pattern.len > 0 && pattern.ptr[0] == '^';
    const char *s = subject.ptr, *last = NULL;

    if (cheap_at_sight(subject, pattern))
        return true;
    do {
        const char *end;

        w.depth = w.captures = 0;
        end = match(&w, s, pattern.ptr + anchored);
        if (end && !all)
            break;
        if (end && end != last) /* like gsub: an empty match right behind one does not count */
            s = last = end;
        else if (s < w.subject_end)
            s++;
        else
            break;
    } while (s <= w.subject_end && !anchored && !stopped(&w));
    return !w.out_of_steps;
}
