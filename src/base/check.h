/* CHECK states an invariant of our own code and stays on in release builds; nothing from outside
 * may be able to trip one. DCHECK is for debug builds. Any thread. */
#pragma once

#include "base/base.h"

#define CHECK(fact)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(fact), 0))                                                          \
            panic("%s:%d: %s does not hold", __FILE__, __LINE__, #fact);                           \
    } while (0)

#ifdef NDEBUG
#define DCHECK(fact) ((void)sizeof(fact))
#else
#define DCHECK(fact) CHECK(fact)
#endif

/* Prints the message to stderr and aborts. */
NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);
