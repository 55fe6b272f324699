/* Clocks, latency histograms, what /proc says of a server, and the machine's facts: everything a
 * result line is made of. One thread; the caller owns each struct. */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MEASURE_SECOND UINT64_C(1000000000)

static inline uint64_t measure_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * MEASURE_SECOND + (uint64_t)ts.tv_nsec;
}

/* Log-linear buckets, 128 per power of two: at most 0.8 % off, whatever the value. */
#define HIST_BITS 7
#define HIST_SUB (1 << HIST_BITS)

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[(64 - HIST_BITS + 1) * HIST_SUB];
};

static inline void hist_add(struct hist *h, uint64_t value)
{
    int shift = value < HIST_SUB ? 0 : 63 - __builtin_clzll(value) - HIST_BITS;
    size_t row = value < HIST_SUB ? 0 : (size_t)shift + 1;
    h->bucket[row * HIST_SUB + ((value >> shift) & (HIST_SUB - 1))]++;
    h->count++;
    if (value > h->max) {
        h->max = value;
    }
}

static inline uint64_t hist_percentile(const struct hist *h, double percent)
{
    uint64_t rank = (uint64_t)((double)h->count * percent / 100.0 + 0.5), seen = 0;

    for (size_t i = 0; i < sizeof h->bucket / sizeof *h->bucket; i++) {
        seen += h->bucket[i];
        if (seen > 0 && seen >= rank) {
            return i < HIST_SUB ? i : (HIST_SUB + i % HIST_SUB) << (i / HIST_SUB - 1);
        }
    }
    return h->max;
}

/* {"p50":…,"p99":…,"max":…} in microseconds. */
static inline void hist_print(FILE *out, const struct hist *h)
{
    if (h->count == 0) {
        fputs("null", out);
        return;
    }
    fprintf(out, "{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", (double)hist_percentile(h, 50) / 1e3,
            (double)hist_percentile(h, 99) / 1e3, (double)h->max / 1e3);
}

#define MEASURE_PIDS_MAX 16

/* The processes that are "the server"; their figures are summed. */
struct measure_server {
    pid_t pid[MEASURE_PIDS_MAX];
    int pids;
};

/* user and sys come in the kernel's ticks (10 ms); cpu is exact. */
struct measure_cpu {
    uint64_t cpu_ns;
    uint64_t user_ns;
    uint64_t sys_ns;
    bool gone; /* a process of the server ended */
};

static inline bool measure_ticks(pid_t pid, struct measure_cpu *cpu)
{
    char path[64], line[1024];
    unsigned long user, sys;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    const char *p = strrchr(line, ')'); /* the name may hold spaces; what follows may not */
    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2) {
        return false;
    }
    uint64_t tick = MEASURE_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
    cpu->user_ns += user * tick;
    cpu->sys_ns += sys * tick;
    return true;
}

static inline struct measure_cpu measure_server_cpu(const struct measure_server *s)
{
    struct measure_cpu cpu = {0};
    for (int i = 0; i < s->pids; i++) {
        clockid_t clock;
        struct timespec ts;
        if (clock_getcpuclockid(s->pid[i], &clock) != 0 || clock_gettime(clock, &ts) != 0 ||
            !measure_ticks(s->pid[i], &cpu)) {
            cpu.gone = true;
            continue;
        }
        cpu.cpu_ns += (uint64_t)ts.tv_sec * MEASURE_SECOND + (uint64_t)ts.tv_nsec;
    }
    return cpu;
}

static inline struct measure_cpu measure_cpu_since(const struct measure_cpu *a,
                                                   const struct measure_cpu *b)
{
    return (struct measure_cpu){.cpu_ns = b->cpu_ns - a->cpu_ns,
                                .user_ns = b->user_ns - a->user_ns,
                                .sys_ns = b->sys_ns - a->sys_ns,
                                .gone = a->gone || b->gone};
}

static inline uint64_t measure_own_cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * MEASURE_SECOND + (uint64_t)ts.tv_nsec;
}

/* Resident bytes; smaps_rollup is exact, statm (a kernel without it) may lag by a few pages. */
static inline uint64_t measure_rss(const struct measure_server *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < s->pids; i++) {
        char path[64], line[256];
        uint64_t kib = 0, size, pages;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)s->pid[i]);
        FILE *f = fopen(path, "r");
        while (f != NULL && kib == 0 && fgets(line, sizeof line, f) != NULL) {
            if (sscanf(line, "Rss: %" SCNu64, &kib) != 1) {
                kib = 0;
            }
        }
        if (f != NULL) {
            fclose(f);
        }
        if (kib == 0) {
            snprintf(path, sizeof path, "/proc/%d/statm", (int)s->pid[i]);
            f = fopen(path, "r");
            if (f != NULL && fscanf(f, "%" SCNu64 " %" SCNu64, &size, &pages) == 2) {
                kib = pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
            }
            if (f != NULL) {
                fclose(f);
            }
        }
        sum += kib * 1024;
    }
    return sum;
}

static inline void measure_json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') {
            fputc('\\', out);
        }
        fputc((unsigned char)*s < 0x20 ? ' ' : *s, out);
    }
    fputc('"', out);
}

static inline void measure_print_machine(FILE *out)
{
    char line[256], model[200] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "model name : %199[^\n]", model) == 1) {
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    struct utsname name;
    uname(&name);
    fputs("{\"cpu\":", out);
    measure_json_string(out, model);
    fprintf(out, ",\"cores\":%ld,\"kernel\":", sysconf(_SC_NPROCESSORS_ONLN));
    measure_json_string(out, name.release);
    fputc('}', out);
}
