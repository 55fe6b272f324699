/* The only source of randomness: a simulator replaces it. Any thread. */
#pragma once

#include "base/base.h"

void random_bytes(void *out, size_t n); /* fit for secrets */
uint64_t random_u64(void);

/* Version 4: sixteen bytes, or their text, which is not zero-terminated. */
#define UUID_LEN 36
struct uuid {
    unsigned char bytes[16];
};
struct uuid uuid_new(void);
void uuid_write(const struct uuid *id, char out[UUID_LEN]);
void random_uuid(char out[UUID_LEN]); /* the text of a new one */

void random_letters(char *out, size_t n); /* n of a-zA-Z */

void random_set_source(void (*fill)(void *out, size_t n)); /* before any thread starts */
