#include "base/mem.h"

#include "base/check.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *ptr, size_t size)
{
    if (ptr == NULL && size > 0)
        panic("out of memory: %zu bytes", size);
    return ptr;
}

void *mem_alloc(size_t size)
{
    return must(malloc(size), size);
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size), size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return must(realloc(ptr, size), size);
}

void *mem_dup(const void *ptr, size_t size)
{
    void *copy = mem_alloc(size);

    if (size > 0)
        memcpy(copy, ptr, size);
    return copy;
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_trim(void)
{
    malloc_trim(0);
}
