/* Bytes ready for the wire, shared by every connection that gets the same ones. The count is
 * plain: a frame never leaves its worker. */
#pragma once

#include "base/mem.h"
#include "base/str.h"

struct frame {
    uint32_t refs;
    uint32_t len;
    char bytes[];
};

static inline struct frame *frame_new(size_t len)
{
    struct frame *f = mem_alloc(sizeof *f + len);

    f->refs = 1;
    f->len = (uint32_t)len;
    return f;
}

static inline struct frame *frame_of(struct str bytes)
{
    struct frame *f = frame_new(bytes.len);

    if (bytes.len > 0)
        memcpy(f->bytes, bytes.ptr, bytes.len);
    return f;
}

static inline struct str frame_bytes(const struct frame *f)
{
    return str_of(f->bytes, f->len);
}

static inline struct frame *frame_ref(struct frame *f)
{
    f->refs++;
    return f;
}

static inline void frame_unref(struct frame *f)
{
    if (--f->refs == 0)
        mem_free(f);
}
