/* Load generator for any Centrifugo-compatible server (and, with --raw, plain WebSocket ones):
 * connects clients, publishes over the HTTP API, books every delivery, reads the server's CPU and
 * memory from /proc, and prints one JSON line. One thread; bounded by count and by --seconds.
 *
 *     bench_load --url 127.0.0.1:8000 --api-key KEY --hmac-secret SECRET --pid PID --mode fanout
 *
 * Modes: fanout, publish, batch (one engine: publishers × depth × batch), command, idle, connect.
 * bench/README.md says what each measures and how to read it. Exit: 0; 1 setup failed; 2 wrong
 * usage; 3 something was lost, refused or not in time (the line says what).
 */
#include "lib/commander.h"
#include "lib/mark.h"
#include "lib/options.h"
#include "lib/publisher.h"
#include "lib/threads.h"

#include <signal.h>

#define EVENTS_MAX 512
#define EXPIRE_EVERY_NS (100 * UINT64_C(1000000))
#define CLOSE_WAIT_NS (3 * MEASURE_SECOND)
#define WITNESS_SHARE 100 /* --mode connect --witness: publications in the quiet part */
#define WITNESS_GAP_NS (5 * UINT64_C(1000000))

/* One measured stretch of time. */
struct span {
    uint64_t from, to;
    struct measure_cpu before, server;
    uint64_t own_before, own;
    struct threads threads_before, threads;
};

static int ep;
static uint64_t deadline;
static struct account books;
static struct subscribers subs;
static struct publishers pubs;
static struct commander commands;
static struct mark mark;

static struct sockaddr_in parse_url(const char *url)
{
    static char host[128];
    struct sockaddr_in to = {.sin_family = AF_INET};
    url = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "ws://", 5) == 0 ? url + 5 : url;
    const char *colon = strchr(url, ':');
    unsigned long port = colon == NULL ? 8000 : strtoul(colon + 1, NULL, 10);
    int len = colon == NULL ? (int)strcspn(url, "/") : (int)(colon - url);

    snprintf(host, sizeof host, "%.*s", len, url);
    if (strcmp(host, "localhost") == 0) {
        snprintf(host, sizeof host, "127.0.0.1");
    }
    to.sin_port = htons((uint16_t)port);
    if (port == 0 || port > 65535 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        ntohl(to.sin_addr.s_addr) >> 24 != 127) {
        fprintf(stderr, "the server must be on a loopback IPv4 address: %s\n", url);
        exit(2);
    }
    size_t n = strlen(host);
    snprintf(host + n, sizeof host - n, ":%lu", port);
    subs.host = pubs.host = host;
    return to;
}

/* ---- the loop ---- */

static void turn(int timeout_ms)
{
    static uint64_t next_expiry;
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(ep, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < n; i++) {
        uint64_t tag = events[i].data.u64 & ~(uint64_t)UINT32_MAX;
        size_t index = (uint32_t)events[i].data.u64;
        if (tag == SUBSCRIBER_TAG) {
            subscriber_event(&subs, index, events[i].events);
        } else {
            publisher_event(&pubs, index, events[i].events);
        }
    }
    uint64_t now = measure_now();
    if (now >= next_expiry) {
        account_expire(&books, now);
        next_expiry = now + EXPIRE_EVERY_NS;
    }
}

static bool time_left(void)
{
    return measure_now() < deadline;
}

static void run_until(uint64_t when)
{
    uint64_t now;
    while ((now = measure_now()) < when) {
        turn((int)((when - now) / 1000000) + 1);
    }
}

/* Two marks at the beginning: what lies between them is the price of a mark. */
static void span_begin(struct span *s)
{
    if (opt.mark != NULL) {
        mark_set(&mark);
        mark_set(&mark);
    }
    threads_read(&s->threads_before, &opt.server);
    s->before = measure_server_cpu(&opt.server);
    s->own_before = measure_own_cpu();
    s->from = measure_now();
}

static void span_end(struct span *s)
{
    struct measure_cpu after = measure_server_cpu(&opt.server);
    s->to = measure_now();
    s->own = measure_own_cpu() - s->own_before;
    s->server = measure_cpu_since(&s->before, &after);
    threads_read(&s->threads, &opt.server);
    threads_since(&s->threads_before, &s->threads);
    if (opt.mark != NULL) {
        mark_set(&mark);
    }
}

static double span_seconds(const struct span *s)
{
    return (double)(s->to - s->from) / 1e9;
}

/* Starts clients up to the total, keeping at most ramp in progress and to the rate; between turns
 * it calls tick, if there is one. */
static void connect_up_to(size_t total, void (*tick)(void))
{
    uint64_t from = measure_now();
    size_t already = subs.begun;
    while (subs.ready + subs.failed + subs.dropped < total && time_left()) {
        uint64_t now = measure_now();
        size_t due = opt.rate == 0
                         ? total
                         : already + (size_t)((double)(now - from) / 1e9 * (double)opt.rate) + 1;
        /* A handful per turn, so that starting them does not keep the answers waiting. */
        for (int k = 0; k < 64 && subs.begun < total && subs.begun < due && subs.waiting < opt.ramp;
             k++) {
            subscriber_start(&subs);
        }
        bool more = subs.begun < total && subs.waiting < opt.ramp && opt.rate == 0;
        turn(more ? 0 : 1);
        if (tick != NULL) {
            tick();
        }
    }
}

/* Publishes total publications and waits until everybody has them, or the time is over. In lock
 * step each handful is sent at once, when the one before is over: the server's turns then do not
 * depend on who was faster. */
static void publish_all(uint64_t total)
{
    uint64_t sent = 0;
    while ((sent < total || books.open > 0) && time_left() && pubs.failed < pubs.count) {
        if (sent < total && (!opt.lockstep || books.open == 0)) {
            sent += publisher_fill(&pubs, total - sent);
        }
        turn(10);
    }
}

/* ---- the result line ---- */

static void print_counts(void)
{
    printf("\"loss\":{\"published\":%" PRIu64 ",\"expected\":%" PRIu64 ",\"delivered\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"reordered\":%" PRIu64
           ",\"stale\":%" PRIu64 ",\"given_up\":%" PRIu64 "},",
           books.started, books.expected, books.delivered,
           books.expected > books.delivered ? books.expected - books.delivered : 0,
           books.duplicates, books.reordered, books.stale, books.given_up);
    printf("\"clients\":{\"ready\":%zu,\"failed\":%zu,\"dropped\":%zu,\"pings\":%" PRIu64
           ",\"api_refused\":%" PRIu64 ",\"api_ended\":%" PRIu64 ",\"first_failure\":",
           subs.ready, subs.failed, subs.dropped, subs.pings, pubs.refused, pubs.failed);
    const char *failure = subs.failure[0] != '\0' ? subs.failure : pubs.failure;
    measure_json_string(stdout, failure);
    fputs("},", stdout);
}

static bool all_well(const struct span *s)
{
    return books.delivered == books.expected && books.duplicates == 0 && books.reordered == 0 &&
           books.stale == 0 && books.given_up == 0 && subs.failed == 0 && subs.dropped == 0 &&
           pubs.refused == 0 && pubs.failed == 0 && commands.refused == 0 && !s->server.gone;
}

static void print_head(void)
{
    fputs("{\"label\":", stdout);
    measure_json_string(stdout, opt.label);
    fputs(",\"mode\":", stdout);
    measure_json_string(stdout, opt.mode);
    printf(",\"scenario\":{\"connections\":%" PRIu64 ",\"channels\":%" PRIu64
           ",\"payload\":%" PRIu64 ",\"publishes\":%" PRIu64 ",\"publishers\":%" PRIu64
           ",\"depth\":%" PRIu64 ",\"batch\":%" PRIu64 "},\"results\":{",
           opt.connections, opt.channels, opt.payload, opt.publishes, opt.publishers, opt.depth,
           opt.batch);
}

static int print_tail(const struct span *s)
{
    bool ok = all_well(s);
    fputs("},", stdout);
    print_counts();
    printf("\"seconds\":%.6f,", span_seconds(s));
    if (opt.server.pids > 0) {
        printf("\"server\":{\"cpu_s\":%.6f,\"user_s\":%.2f,\"sys_s\":%.2f,\"cpu_share\":%.3f,"
               "\"gone\":%s},",
               (double)s->server.cpu_ns / 1e9, (double)s->server.user_ns / 1e9,
               (double)s->server.sys_ns / 1e9, (double)s->server.cpu_ns / (double)(s->to - s->from),
               s->server.gone ? "true" : "false");
        fputs("\"threads\":", stdout);
        threads_print(stdout, &s->threads);
        fputc(',', stdout);
    }
    printf("\"load\":{\"cpu_s\":%.6f,\"cpu_share\":%.3f},\"machine\":", (double)s->own / 1e9,
           (double)s->own / (double)(s->to - s->from));
    measure_print_machine(stdout);
    fputs(",\"commit\":", stdout);
    measure_json_string(stdout, opt.commit);
    printf(",\"ok\":%s}\n", ok ? "true" : "false");
    return ok ? 0 : 3;
}

static void print_per(const char *name, double value, double per)
{
    if (per > 0) {
        printf(",\"%s\":%.4f", name, value / per);
    } else {
        printf(",\"%s\":null", name);
    }
}

/* ---- modes ---- */

/* fanout, publish, batch. */
static int mode_publishing(void)
{
    struct span s;
    connect_up_to(opt.connections, NULL);
    publish_all(opt.warmup);
    account_measure(&books);
    uint64_t reads = subs.reads;
    span_begin(&s);
    publish_all(opt.publishes);
    span_end(&s);

    double seconds = span_seconds(&s);
    double cpu_us = opt.server.pids > 0 ? (double)s.server.cpu_ns / 1e3 : 0;
    print_head();
    printf("\"publishes_per_s\":%.1f,\"deliveries_per_s\":%.1f",
           (double)books.measured_started / seconds, (double)books.measured / seconds);
    if (opt.server.pids > 0) {
        print_per("cpu_us_per_publish", cpu_us, (double)books.measured_started);
        print_per("cpu_us_per_delivery", cpu_us, (double)books.measured);
        print_per("busiest_us_per_delivery", (double)threads_busiest(&s.threads) / 1e3,
                  (double)books.measured);
    }
    fputs(",\"delivery_us\":", stdout);
    hist_print(stdout, &books.latency);
    fputs(",\"until_all_us\":", stdout);
    hist_print(stdout, &books.until_all);
    fputs(",\"answer_us\":", stdout);
    hist_print(stdout, &pubs.answering);
    if (books.measured_expected > 0) {
        double until_all = (double)hist_percentile(&books.until_all, 50);
        print_per("reached_200ms", (double)books.reached, (double)books.measured_expected);
        print_per("deliveries_per_read", (double)books.measured, (double)(subs.reads - reads));
        print_per("all_reached_200ms", (double)books.reached_all, (double)books.measured_started);
        /* How many one message would reach in 200 ms at this pace: an estimate. */
        if (until_all > 0) {
            printf(",\"clients_in_200ms\":%.0f",
                   (double)subs.ready * (double)ACCOUNT_REACH_NS / until_all);
        }
    }
    return print_tail(&s);
}

static void run_commands(uint64_t total)
{
    uint64_t until = commands.done + commands.refused + total;
    commands.left = total;
    for (size_t i = 0; i < subs.begun; i++) {
        if (subs.sub[i].state == SUB_READY) {
            commander_send(&commands, i);
        }
    }
    while (commands.done + commands.refused < until && subs.dropped == 0 && time_left()) {
        turn(10);
    }
}

static int mode_command(void)
{
    struct span s;
    connect_up_to(opt.connections, NULL);
    run_commands(opt.warmup);
    memset(&commands.answering, 0, sizeof commands.answering);
    uint64_t done = commands.done;
    span_begin(&s);
    run_commands(opt.publishes);
    span_end(&s);

    double count = (double)(commands.done - done);
    print_head();
    printf("\"commands_per_s\":%.1f", count / span_seconds(&s));
    if (opt.server.pids > 0) {
        print_per("cpu_ns_per_command", (double)s.server.cpu_ns, count);
    }
    fputs(",\"answer_us\":", stdout);
    hist_print(stdout, &commands.answering);
    int rc = print_tail(&s);
    return count == (double)opt.publishes ? rc : 3;
}

static int mode_idle(void)
{
    struct span s;
    uint64_t before = measure_rss(&opt.server);
    connect_up_to(opt.connections, NULL);
    run_until(measure_now() + opt.settle * MEASURE_SECOND);

    uint64_t full = measure_rss(&opt.server), pings = subs.pings;
    size_t ready = subs.ready;
    span_begin(&s);
    run_until(measure_now() + opt.seconds * MEASURE_SECOND);
    span_end(&s);
    uint64_t later = measure_rss(&opt.server);
    pings = subs.pings - pings;
    bool well = all_well(&s) && ready == opt.connections;
    subscriber_close_all(&subs);
    run_until(measure_now() + CLOSE_WAIT_NS);
    uint64_t after = measure_rss(&opt.server);
    subs.ready = ready; /* as it was while they were counted */

    print_head();
    printf("\"rss_before\":%" PRIu64 ",\"rss_connected\":%" PRIu64 ",\"rss_idle\":%" PRIu64
           ",\"rss_closed\":%" PRIu64,
           before, full, later, after);
    print_per("bytes_per_connection", (double)later - (double)before, (double)ready);
    print_per("rss_closed_ratio", (double)after, (double)before);
    print_per("cpu_us_per_connection_second", (double)s.server.cpu_ns / 1e3,
              (double)ready * span_seconds(&s));
    print_per("pings_per_connection", (double)pings, (double)ready);
    int rc = print_tail(&s);
    return well ? rc : 3;
}

/* One publication at a time, a little apart: what the witnesses of a connect storm see. */
static void witness_tick(void)
{
    static uint64_t next;
    uint64_t now = measure_now();
    if (books.open == 0 && now >= next) {
        pubs.pub[0].next_channel = 0;
        publisher_fill(&pubs, 1);
        next = now + WITNESS_GAP_NS;
    }
}

static int mode_connect(void)
{
    struct span s;
    struct hist quiet = {0};
    size_t witnesses = opt.witness;

    if (witnesses > 0) {
        connect_up_to(witnesses, NULL);
        account_measure(&books);
        while (books.measured_started < WITNESS_SHARE && time_left()) {
            witness_tick();
            turn(1);
        }
        while (books.open > 0 && time_left()) {
            turn(1);
        }
        quiet = books.latency;
        memset(&books.latency, 0, sizeof books.latency);
        memset(&subs.join, 0, sizeof subs.join);
    }
    span_begin(&s);
    connect_up_to(opt.connections, witnesses > 0 ? witness_tick : NULL);
    span_end(&s);
    while (books.open > 0 && time_left()) {
        turn(1);
    }

    double arrived = (double)subs.ready - (double)witnesses;
    print_head();
    printf("\"connected\":%.0f,\"connects_per_s\":%.1f", arrived, arrived / span_seconds(&s));
    if (opt.server.pids > 0) {
        print_per("cpu_us_per_connection", (double)s.server.cpu_ns / 1e3, arrived);
    }
    fputs(",\"join_us\":", stdout);
    hist_print(stdout, &subs.join);
    if (witnesses > 0) {
        fputs(",\"witness_quiet_us\":", stdout);
        hist_print(stdout, &quiet);
        fputs(",\"witness_storm_us\":", stdout);
        hist_print(stdout, &books.latency);
    }
    int rc = print_tail(&s);
    return subs.ready == opt.connections ? rc : 3;
}

static bool publishes(void)
{
    return !mode_is("idle") && !mode_is("command") && (!mode_is("connect") || opt.witness > 0);
}

static void prepare(const struct sockaddr_in *to)
{
    ep = subs.ep = pubs.ep = epoll_create1(EPOLL_CLOEXEC);
    if (opt.witness > 0) {
        opt.channels = 2;
    }
    account_init(&books, opt.connections, opt.publishers, opt.channels,
                 opt.publishers * opt.depth * opt.batch, opt.timeout * MEASURE_SECOND);
    books.witnesses = opt.witness;
    subs.to = *to;
    subs.kind = opt.kind;
    subs.path = opt.ws_path, subs.channel = opt.channel, subs.raw = opt.raw;
    subs.token = opt.token, subs.secret = opt.secret;
    subscriber_init(&subs, opt.connections, &books);
    pubs.account = &books;
    pubs.count = opt.publishers, pubs.depth = opt.depth, pubs.batch = opt.batch;
    pubs.payload = opt.payload, pubs.path = opt.api_path, pubs.key = opt.key;
    pubs.channel = opt.channel, pubs.raw = opt.raw;
    if (publishes()) {
        publisher_init(&pubs, to);
    }
    if (mode_is("command")) {
        commander_init(&commands, &subs, opt.inflight, opt.to, opt.payload);
        subs.on_reply = commander_reply, subs.reply_arg = &commands;
    }
    if (opt.mark != NULL) {
        mark_open(&mark, to, subs.host, opt.mark);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    size_t files = net_raise_files();
    if (opt.connections + opt.publishers + 16 > files) {
        NET_DIE("%" PRIu64 " connections need more open files than %zu", opt.connections, files);
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in to = parse_url(opt.url);
    prepare(&to);
    deadline = measure_now() + opt.seconds * MEASURE_SECOND;
    if (mode_is("idle")) {
        deadline += 60 * MEASURE_SECOND; /* there, seconds is the idle time; this is for joining */
        return mode_idle();
    }
    return mode_is("connect")   ? mode_connect()
           : mode_is("command") ? mode_command()
                                : mode_publishing();
}
