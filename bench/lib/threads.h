/* Which thread of the server worked how long, from /proc/PID/task/TID/schedstat. One
 * thread; reading allocates nothing. */
#pragma once

#include "measure.h"
#include "net.h"

#include <dirent.h>

#define THREADS_MAX 128
#define THREADS_SHOWN_SHARE 0.01 /* a thread below it did not carry the load */

struct threads {
    size_t count;
    struct {
        pid_t tid;
        uint64_t cpu_ns;
        char name[16];
    } row[THREADS_MAX];
};

static inline bool threads_file(pid_t pid, const char *tid, const char *file, char *out, size_t cap)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/%s", (int)pid, tid, file);
    FILE *f = fopen(path, "r");
    bool ok = f != NULL && fgets(out, (int)cap, f) != NULL;
    if (f != NULL) {
        fclose(f);
    }
    return ok;
}

static inline void threads_read(struct threads *t, const struct measure_server *s)
{
    t->count = 0;
    for (int i = 0; i < s->pids; i++) {
        char path[64], line[128];
        snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid[i]);
        DIR *dir = opendir(path);
        const struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL && t->count < THREADS_MAX) {
            if (entry->d_name[0] == '.' ||
                !threads_file(s->pid[i], entry->d_name, "schedstat", line, sizeof line)) {
                continue;
            }
            t->row[t->count].tid = (pid_t)strtol(entry->d_name, NULL, 10);
            t->row[t->count].cpu_ns = strtoull(line, NULL, 10);
            if (threads_file(s->pid[i], entry->d_name, "comm", line, sizeof line)) {
                snprintf(t->row[t->count].name, sizeof t->row->name, "%.*s",
                         (int)strcspn(line, "\n"), line);
            }
            t->count++;
        }
        if (dir != NULL) {
            closedir(dir);
        }
    }
}

/* What after has more than before, thread by thread; one that is new counts whole. */
static inline void threads_since(const struct threads *before, struct threads *after)
{
    for (size_t i = 0; i < after->count; i++) {
        for (size_t k = 0; k < before->count; k++) {
            if (before->row[k].tid == after->row[i].tid) {
                after->row[i].cpu_ns -= before->row[k].cpu_ns;
            }
        }
    }
}

static inline uint64_t threads_busiest(const struct threads *t)
{
    uint64_t most = 0;
    for (size_t i = 0; i < t->count; i++) {
        most = t->row[i].cpu_ns > most ? t->row[i].cpu_ns : most;
    }
    return most;
}

/* {"NAME":share,…} of those that carried the load. */
static inline void threads_print(FILE *out, const struct threads *t)
{
    uint64_t sum = 0;
    const char *comma = "";
    for (size_t i = 0; i < t->count; i++) {
        sum += t->row[i].cpu_ns;
    }
    fputc('{', out);
    for (size_t i = 0; i < t->count; i++) {
        double share = sum > 0 ? (double)t->row[i].cpu_ns / (double)sum : 0;
        if (share >= THREADS_SHOWN_SHARE) {
            fprintf(out, "%s\"%s-%d\":%.4f", comma, t->row[i].name, (int)t->row[i].tid, share);
            comma = ",";
        }
    }
    fputc('}', out);
}
