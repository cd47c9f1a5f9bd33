/* Many clients of event streams in one process: options, the event loop, standard input and output.
 *
 * load --host H --port P --protocol h1|h2|ws [--tls] --path PATH --clients N [--streams S] --events E
 *      --deadline SECONDS [--stalled K] [--ramp R] [--connect-only] [--read-bytes B]
 *
 * Prints {"event":"connected",...} once every stream has the head of its answer, and {"event":"done",...}
 * once every stream has all its events, or has ended, or the deadline has passed. Then it reads and discards until
 * stdin ends; a line "again" on stdin makes it close all connections and connect again.
 *
 *   --streams     on each connection, for h2          --ramp        maximum number of unanswered connections
 *   --deadline    from the start, and from "again"    --stalled     number of clients that read only the head
 *   --read-bytes  maximum size of a read, to test the parsers with any split
 *
 * "done" counts the numbers on streams that are not stalled: deliveries are distinct numbers, missing did not
 * arrive, repeated had arrived before, disordered are smaller than the one before or not its successor; closed
 * counts streams that ended before their last event. Delays are from an event's own time to just after the read
 * that completed it; null without deliveries. cpu_seconds is the CPU time of this process from "connected" on.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SPARE_FILES = 20, MAX_READ_BYTES = 262144, EVENTS_A_WAIT = 1024 };

struct load load;

static struct connection *connections;
static int begun; /* connections, in this round of connecting */
static int64_t began_ns, deadline_ns;
static double cpu_before; /* at "connected" */
static int agains;        /* requested on stdin, not done yet */
static bool stdin_ended;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void append(struct buffer *buffer, const void *data, size_t length) {
    if (buffer->length + length > buffer->capacity) {
        buffer->capacity = 2 * buffer->length + length;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (!buffer->data) fail("no memory");
    }
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int64_t number(const char *name, const char *text, int64_t least, int64_t most) {
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        fail("--%s takes a number from %" PRId64 " to %" PRId64, name, least, most);
    return value;
}

static enum protocol protocol(const char *text) {
    if (strcmp(text, "h1") == 0) return HTTP1;
    if (strcmp(text, "h2") == 0) return HTTP2;
    if (strcmp(text, "ws") == 0) return WEBSOCKET;
    fail("--protocol is h1, h2 or ws");
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"host", 1, NULL, 'h'},       {"port", 1, NULL, 'p'},    {"protocol", 1, NULL, 'x'},
        {"path", 1, NULL, 'u'},       {"clients", 1, NULL, 'c'}, {"streams", 1, NULL, 's'},
        {"events", 1, NULL, 'e'},     {"stalled", 1, NULL, 'k'}, {"deadline", 1, NULL, 'd'},
        {"ramp", 1, NULL, 'r'},       {"tls", 0, NULL, 't'},     {"connect-only", 0, NULL, 'o'},
        {"read-bytes", 1, NULL, 'b'}, {"header", 1, NULL, 'a'},  {0}};
    struct options *options = &load.options;
    *options = (struct options){.header = "", .protocol = HTTP1, .streams = 1, .ramp = 64, .read_bytes = MAX_READ_BYTES};
    for (int at = 0, option; (option = getopt_long(count, arguments, "", known, &at)) != -1;) {
        const char *name = option == '?' ? "" : known[at].name;
        switch (option) {
        case 'h': options->host = optarg; break;
        case 'p': options->port = optarg; break;
        case 'u': options->path = optarg; break;
        case 'a': options->header = optarg; break;
        case 'x': options->protocol = protocol(optarg); break;
        case 'c': options->clients = (int)number(name, optarg, 1, 1000000); break;
        case 's': options->streams = (int)number(name, optarg, 1, 1000); break;
        case 'e': options->events = number(name, optarg, 1, 100000000); break;
        case 'd': options->deadline_seconds = strtod(optarg, NULL); break;
        case 'k': options->stalled = (int)number(name, optarg, 0, 1000000); break;
        case 'r': options->ramp = (int)number(name, optarg, 1, 1000000); break;
        case 'b': options->read_bytes = (size_t)number(name, optarg, 1, MAX_READ_BYTES); break;
        case 't': options->tls = true; break;
        case 'o': options->connect_only = true; break;
        default: fail("unknown option: see the comment at the top of bench/native/load.c");
        }
    }
    if (optind < count || !options->host || !options->port || !options->path || !options->clients ||
        !(options->deadline_seconds > 0) || (!options->events && !options->connect_only))
        fail("--host, --port, --protocol, --path, --clients, --events and --deadline are needed");
    if (options->streams > 1 && options->protocol != HTTP2) fail("--streams needs --protocol h2");
    if (options->stalled > options->clients) fail("--stalled is more than --clients");
}

static void raise_open_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)load.options.clients + SPARE_FILES > limit.rlim_max)
        fail("%d clients need more open files than the %ju that are allowed (ulimit -Hn)",
             load.options.clients, (uintmax_t)limit.rlim_max);
}

static void make_connections(void) {
    const struct options *options = &load.options;
    connections = calloc((size_t)options->clients, sizeof *connections);
    struct stream *streams = calloc((size_t)options->clients * (size_t)options->streams, sizeof *streams);
    if (!connections || !streams) fail("no memory for %d clients", options->clients);
    for (int index = 0; index < options->clients; index++) {
        connections[index].fd = -1;
        connections[index].stalled = index < options->stalled;
        connections[index].streams = streams + (size_t)index * (size_t)options->streams;
    }
    tally_prepare(streams);
}

static void begin_round(void) {
    load.phase = CONNECTING;
    load.opened = load.in_flight = begun = 0;
    began_ns = monotonic_ns();
    deadline_ns = began_ns + (int64_t)(load.options.deadline_seconds * 1e9);
}

/* Close all connections, and reset them and their streams, which are not counted any more. */
static void reconnect(void) {
    for (int index = 0; index < load.options.clients; index++) {
        struct connection *connection = &connections[index];
        connection_close(connection);
        for (int at = 0; at < load.options.streams; at++) connection->streams[at] = (struct stream){0};
        bool stalled = connection->stalled;
        *connection = (struct connection){.fd = -1, .stalled = stalled, .streams = connection->streams};
    }
    begin_round();
}

/* Process stdin: "again" lines, or its end. */
static void read_commands(void) {
    static char line[64];
    static size_t length;
    ssize_t result = read(STDIN_FILENO, line + length, sizeof line - length);
    if (result < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (result <= 0) {
        stdin_ended = true;
        epoll_ctl(load.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        return;
    }
    length += (size_t)result;
    for (char *end; (end = memchr(line, '\n', length));) {
        *end = '\0';
        if (strcmp(line, "again") != 0) fail("the only command on stdin is \"again\"");
        agains++;
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length);
    }
    if (length == sizeof line) fail("the only command on stdin is \"again\"");
}

static void watch_stdin(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    /* epoll cannot watch a file or /dev/null, which count as ended. */
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) stdin_ended = true;
}

/* Advance from phase to phase as far as possible; false: exit. */
static bool advance(void) {
    static bool tallied;
    const struct options *options = &load.options;
    int64_t streams = (int64_t)options->clients * options->streams;
    while (load.phase == CONNECTING && begun < options->clients && load.in_flight < options->ramp)
        connection_begin(&connections[begun++]);
    if (load.phase == CONNECTING && load.opened == streams) {
        double seconds = (double)(monotonic_ns() - began_ns) / 1e9;
        printf("{\"event\":\"connected\",\"seconds\":%.6f,\"streams\":%" PRId64 "}\n", seconds, streams);
        fflush(stdout);
        cpu_before = cpu_seconds();
        load.phase = tallied || options->connect_only ? HOLDING : READING;
    }
    bool late = monotonic_ns() >= deadline_ns;
    if (load.phase == CONNECTING && late)
        fail("%" PRId64 " of %" PRId64 " streams were not answered in time", streams - load.opened, streams);
    if (load.phase == READING && (load.waiting == 0 || late)) {
        load.phase = HOLDING;
        tallied = true;
        tally_print(cpu_seconds() - cpu_before);
    }
    if (load.phase == HOLDING && agains > 0) {
        agains--;
        reconnect();
        return advance();
    }
    return !(load.phase == HOLDING && stdin_ended);
}

int main(int count, char **arguments) {
    static struct epoll_event events[EVENTS_A_WAIT];
    read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    raise_open_files();
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.epoll < 0) fail("epoll_create1: %s", strerror(errno));
    connections_prepare();
    make_connections();
    watch_stdin();
    begin_round();
    while (advance()) {
        int64_t left_ms = (deadline_ns - monotonic_ns()) / 1000000 + 1;
        int timeout = load.phase == HOLDING ? -1 : left_ms < 0 ? 0 : (int)left_ms;
        int ready = epoll_wait(load.epoll, events, EVENTS_A_WAIT, timeout);
        if (ready < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
        for (int index = 0; index < ready; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection) connection_ready(connection, events[index].events);
            else read_commands();
        }
    }
    return 0;
}
