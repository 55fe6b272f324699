/* The command line of the load generator. One program includes it once: the options are its only
 * state. */
#pragma once

#include "account.h"
#include "kind.h"

struct options {
    const char *url, *key, *token, *secret, *channel, *mode, *label, *commit, *ws_path, *api_path;
    const char *mark, *to;
    uint64_t connections, channels, payload, publishes, warmup, inflight, publishers, depth, batch;
    uint64_t seconds, timeout, ramp, rate, settle, witness;
    bool raw, lockstep;
    enum kind kind;
    struct measure_server server;
};

static struct options opt = {
    .key = "",
    .channel = "bench",
    .mode = "fanout",
    .label = "server",
    .commit = "",
    .ws_path = "/connection/websocket",
    .api_path = "/api/",
    .connections = UINT64_MAX,
    .channels = 1,
    .payload = 128,
    .publishes = 100,
    .warmup = UINT64_MAX,
    .inflight = 1,
    .publishers = 1,
    .depth = UINT64_MAX,
    .batch = 1,
    .seconds = 60,
    .timeout = 5,
    .ramp = 256,
    .settle = 1,
};

static void usage(void)
{
    fputs("usage: bench_load --url HOST:PORT [--mode fanout|publish|batch|command|idle|connect]\n"
          "  --api-key KEY  --token JWT | --hmac-secret SECRET  --pid PID[,PID…]\n"
          "  --connections N  --channels N  --channel NAME  --payload BYTES\n"
          "  --publishes N  --warmup N  --inflight K  --publishers N  --depth N  --batch N\n"
          "  --ramp N (connects in progress)  --rate N (connects per second)  --witness N\n"
          "  --seconds N (bound; idle: how long)  --timeout N (per publication)  --settle N\n"
          "  --kind json|protobuf|deflate|delta (of the clients)  --to CHANNEL (mode command)\n"
          "  --lockstep (the next only when all in flight are done)  --mark PATH\n"
          "  --raw --ws-path PATH --api-path PATH  --label NAME  --commit ID\n",
          stderr);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value > 100000000) {
        fprintf(stderr, "not a number in range: %s\n", text);
        usage();
    }
    return value;
}

static void parse_pids(const char *text)
{
    while (*text != '\0' && opt.server.pids < MEASURE_PIDS_MAX) {
        char *end;
        long pid = strtol(text, &end, 10);
        if (end == text || pid <= 0) {
            usage();
        }
        opt.server.pid[opt.server.pids++] = (pid_t)pid;
        text = *end == ',' ? end + 1 : end;
    }
}

struct option_row {
    const char *name;
    const char **text;
    uint64_t *value;
};

static const struct option_row option_rows[] = {
    {"url", &opt.url, NULL},
    {"mode", &opt.mode, NULL},
    {"api-key", &opt.key, NULL},
    {"token", &opt.token, NULL},
    {"hmac-secret", &opt.secret, NULL},
    {"channel", &opt.channel, NULL},
    {"label", &opt.label, NULL},
    {"commit", &opt.commit, NULL},
    {"mark", &opt.mark, NULL},
    {"to", &opt.to, NULL},
    {"ws-path", &opt.ws_path, NULL},
    {"api-path", &opt.api_path, NULL},
    {"connections", NULL, &opt.connections},
    {"channels", NULL, &opt.channels},
    {"payload", NULL, &opt.payload},
    {"publishes", NULL, &opt.publishes},
    {"warmup", NULL, &opt.warmup},
    {"inflight", NULL, &opt.inflight},
    {"publishers", NULL, &opt.publishers},
    {"depth", NULL, &opt.depth},
    {"batch", NULL, &opt.batch},
    {"ramp", NULL, &opt.ramp},
    {"rate", NULL, &opt.rate},
    {"witness", NULL, &opt.witness},
    {"seconds", NULL, &opt.seconds},
    {"timeout", NULL, &opt.timeout},
    {"settle", NULL, &opt.settle},
};

static bool mode_is(const char *name)
{
    return strcmp(opt.mode, name) == 0;
}

static const struct option_row *find_option(const char *name)
{
    for (size_t k = 0; k < sizeof option_rows / sizeof *option_rows; k++) {
        if (strcmp(option_rows[k].name, name) == 0) {
            return &option_rows[k];
        }
    }
    return NULL;
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--raw") == 0 || strcmp(argv[i], "--lockstep") == 0) {
            *(argv[i][2] == 'r' ? &opt.raw : &opt.lockstep) = true;
            continue;
        }
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc) {
            usage();
        }
        const char *name = argv[i] + 2, *value = argv[++i];
        const struct option_row *row = find_option(name);
        if (row != NULL && row->text != NULL) {
            *row->text = value;
        } else if (row != NULL) {
            *row->value = number(value);
        } else if (strcmp(name, "pid") == 0) {
            parse_pids(value);
        } else if (strcmp(name, "kind") != 0 || !kind_of(value, &opt.kind)) {
            usage();
        }
    }
}

static void parse_options(int argc, char **argv)
{
    read_options(argc, argv);
    bool publishing = mode_is("publish") || mode_is("batch");
    if (opt.url == NULL || (!publishing && !mode_is("fanout") && !mode_is("command") &&
                            !mode_is("idle") && !mode_is("connect"))) {
        usage();
    }
    if (opt.connections == UINT64_MAX) {
        opt.connections = publishing ? 0 : 1000;
    }
    if (mode_is("batch") && opt.batch == 1) {
        opt.batch = 1000;
    }
    if (opt.depth == UINT64_MAX) {
        opt.depth = opt.inflight;
    }
    if (opt.warmup == UINT64_MAX) {
        opt.warmup = opt.publishes / 10 + 1;
    }
    if (mode_is("command") && opt.to == NULL) {
        fprintf(stderr, "--mode command publishes --to a channel that nobody needs to hear\n");
        exit(2);
    }
    if (opt.witness > 0 && (!mode_is("connect") || opt.witness >= opt.connections)) {
        fprintf(stderr, "--witness: in mode connect, and fewer than --connections\n");
        exit(2);
    }
    if (opt.payload < ACCOUNT_PAYLOAD_MIN || opt.payload > (1u << 20) || opt.channels == 0 ||
        opt.publishers == 0 || opt.depth == 0 || opt.batch == 0 || opt.ramp == 0 ||
        opt.publishers * opt.channels > 65535 ||
        opt.publishers * opt.depth * opt.batch > 1u << 20) {
        fprintf(stderr, "an option is out of range (payload: %d at least)\n", ACCOUNT_PAYLOAD_MIN);
        exit(2);
    }
}
