/* Allocation that cannot fail: out of memory ends the process, which is sound because every size
 * that comes from outside was limited before it got here. Any thread. */
#pragma once

#include "base/base.h"

void *mem_alloc(size_t size);  /* uninitialised; free with mem_free */
void *mem_zalloc(size_t size); /* zeroed */
void *mem_realloc(void *ptr, size_t size);
void *mem_dup(const void *ptr, size_t size); /* a copy of size bytes */
void mem_free(void *ptr);                    /* NULL is fine */
/* Gives what is free back to the system, page by page. malloc itself does so only at the end of its
 * heaps, where one small block in use keeps all before it. Takes about 0.1 ms for each MiB given
 * back, during which others may wait for their memory: for after a mass of frees. */
void mem_trim(void);
