/* Allocation that cannot fail: out of memory ends the process, which is sound because every size
 * that comes from outside was limited before it got here. Any thread. */
#pragma once

#include "base/base.h"

void *mem_alloc(size_t size);  /* uninitialised; free with mem_free */
void *mem_zalloc(size_t size); /* zeroed */
void *mem_realloc(void *ptr, size_t size);
void *mem_dup(const void *ptr, size_t size); /* a copy of size bytes */
void mem_free(void *ptr);                    /* NULL is fine */
