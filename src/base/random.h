/* The only source of randomness: a simulator replaces it. Any thread. */
#pragma once

#include "base/base.h"

void random_bytes(void *out, size_t n); /* fit for secrets */
uint64_t random_u64(void);

#define UUID_LEN 36
void random_uuid(char out[UUID_LEN]);     /* version 4, not zero-terminated */
void random_letters(char *out, size_t n); /* n of a-zA-Z */

void random_set_source(void (*fill)(void *out, size_t n)); /* before any thread starts */
