/* SHA-1 (the WebSocket handshake), HMAC-SHA256 and base64 (tokens) for the bench programs, so that
 * they need nothing but libc. Small and slow on purpose: both run before anything is measured.
 * No state, callable from anywhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_BLOCK 64

static inline uint32_t digest_rol(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static inline uint32_t digest_ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static inline uint32_t digest_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void digest_sha1_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++) {
        w[i] = digest_be32(block + 4 * i);
    }
    for (int i = 16; i < 80; i++) {
        w[i] = digest_rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d), k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d, k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d, k = 0xca62c1d6;
        }
        uint32_t t = digest_rol(a, 5) + f + e + k + w[i];
        e = d, d = c, c = digest_rol(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* SHA-256's constants are the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t digest_k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline void digest_sha256_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        w[i] = digest_be32(block + 4 * i);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (digest_ror(x, 7) ^ digest_ror(x, 18) ^ x >> 3) + w[i - 7] +
               (digest_ror(y, 17) ^ digest_ror(y, 19) ^ y >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (digest_ror(e, 6) ^ digest_ror(e, 11) ^ digest_ror(e, 25)) +
                      ((e & s[5]) ^ (~e & s[6])) + digest_k256[i] + w[i];
        uint32_t t2 = (digest_ror(a, 2) ^ digest_ror(a, 13) ^ digest_ror(a, 22)) +
                      ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += s[i];
    }
}

/* Feeds data with the padding both hashes share: 0x80, zeros, the length in bits. */
static inline void digest_feed(uint32_t *h, void (*block_fn)(uint32_t *, const uint8_t *),
                               const void *data, size_t len)
{
    const uint8_t *p = data;
    uint8_t tail[2 * DIGEST_BLOCK] = {0};
    size_t whole = len / DIGEST_BLOCK * DIGEST_BLOCK, rest = len - whole;
    size_t tail_len = rest < DIGEST_BLOCK - 8 ? DIGEST_BLOCK : 2 * DIGEST_BLOCK;

    for (size_t i = 0; i < whole; i += DIGEST_BLOCK) {
        block_fn(h, p + i);
    }
    if (rest > 0) {
        memcpy(tail, p + whole, rest);
    }
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++) {
        tail[tail_len - 1 - (size_t)i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    }
    for (size_t i = 0; i < tail_len; i += DIGEST_BLOCK) {
        block_fn(h, tail + i);
    }
}

static inline void digest_store(uint8_t *out, const uint32_t *h, int words)
{
    for (int i = 0; i < 4 * words; i++) {
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    }
}

static inline void digest_sha1(const void *data, size_t len, uint8_t out[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    digest_feed(h, digest_sha1_block, data, len);
    digest_store(out, h, 5);
}

static inline void digest_sha256(const void *data, size_t len, uint8_t out[32])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    digest_feed(h, digest_sha256_block, data, len);
    digest_store(out, h, 8);
}

#define DIGEST_HMAC_DATA_MAX 1024

/* data is at most DIGEST_HMAC_DATA_MAX bytes: tokens of a load generator are short. */
static inline bool digest_hmac_sha256(const char *key, const void *data, size_t len,
                                      uint8_t out[32])
{
    uint8_t pad[DIGEST_BLOCK] = {0}, inner[DIGEST_BLOCK + DIGEST_HMAC_DATA_MAX];
    uint8_t outer[DIGEST_BLOCK + 32];
    size_t key_len = strlen(key);

    if (len > DIGEST_HMAC_DATA_MAX) {
        return false;
    }
    if (key_len > DIGEST_BLOCK) {
        digest_sha256(key, key_len, pad);
    } else {
        memcpy(pad, key, key_len);
    }
    for (int i = 0; i < DIGEST_BLOCK; i++) {
        inner[i] = pad[i] ^ 0x36;
        outer[i] = pad[i] ^ 0x5c;
    }
    memcpy(inner + DIGEST_BLOCK, data, len);
    digest_sha256(inner, DIGEST_BLOCK + len, outer + DIGEST_BLOCK);
    digest_sha256(outer, sizeof outer, out);
    return true;
}

/* Writes at most 4 * (len + 2) / 3 characters and a NUL; url: the unpadded URL alphabet. */
static inline size_t digest_base64(const void *data, size_t len, char *out, bool url)
{
    const char *alphabet = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                               : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    size_t n = 0;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        size_t digits = left > 2 ? 4 : left + 1;
        for (size_t k = 0; k < digits; k++) {
            out[n++] = alphabet[v >> (18 - 6 * k) & 63];
        }
        for (size_t k = digits; k < 4 && !url; k++) {
            out[n++] = '=';
        }
    }
    out[n] = '\0';
    return n;
}

/* An HS256 connection token for user, good until exp (Unix seconds). False: it does not fit. */
static inline bool digest_token(char *out, size_t cap, const char *secret, const char *user,
                                long exp)
{
    char claims[256], signed_part[512];
    uint8_t mac[32];
    int len = snprintf(claims, sizeof claims, "{\"sub\":\"%s\",\"exp\":%ld}", user, exp);

    if (len < 0 || len >= (int)sizeof claims) {
        return false;
    }
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    size_t n = digest_base64(header, sizeof header - 1, signed_part, true);
    signed_part[n++] = '.';
    n += digest_base64(claims, (size_t)len, signed_part + n, true);
    if (n + 48 > cap || !digest_hmac_sha256(secret, signed_part, n, mac)) {
        return false;
    }
    memcpy(out, signed_part, n);
    out[n++] = '.';
    digest_base64(mac, sizeof mac, out + n, true);
    return true;
}
