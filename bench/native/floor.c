/* A minimal server of event streams: one process, one thread, epoll, one write() for each client.
 *
 * floor --port P      prints "listening on http://127.0.0.1:PORT"; SIGTERM or SIGINT ends it
 *
 *   GET /events...    an event stream (chunked) of all events from now on
 *   POST /events      application/json: one event; application/x-ndjson: one on each line; both are
 *                     {"topic":"...","data":"..."}; the data is copied unchanged from between its quotes
 *
 * An event is "id: <13 digits>-<6 digits>\ndata: <data>\n\n" as one chunk. The events of one read are joined,
 * at most BATCH_EVENTS or BATCH_BYTES of them, and written to each client in one call. A POST is answered before
 * the fan-out of the read that completed it. Bytes that a client's socket does not take are buffered without
 * limit, and flushed in order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_EVENTS = 256, BATCH_BYTES = 256 * 1024, READ_BYTES = 256 * 1024 };
enum { BACKLOG = 4096, EVENTS_A_WAIT = 1024 };

/* A growing buffer, whose bytes before `begin` have been processed. All zero is an empty one. */
struct buffer {
    char *data;
    size_t begin, end, capacity;
};

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, STREAM };

struct client {
    int fd;
    enum state state;
    bool lines;         /* the body is NDJSON */
    uint64_t left;      /* of the body, or of its chunk */
    struct buffer in;   /* received, not parsed yet */
    struct buffer body; /* the body, or its unfinished line */
    struct buffer out;  /* bytes that the socket did not take */
    size_t index;       /* in `streams` */
};

static int epoll;
static struct client **streams;
static size_t stream_count, stream_room;
static struct buffer batch; /* events to send, as chunks */
static int batch_events;
static char last_id[32];

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static size_t waiting(const struct buffer *buffer) {
    return buffer->end - buffer->begin;
}

static void append(struct buffer *buffer, const void *data, size_t length) {
    if (!length) return;
    if (buffer->end + length > buffer->capacity) {
        size_t kept = waiting(buffer);
        if (kept) memmove(buffer->data, buffer->data + buffer->begin, kept);
        buffer->begin = 0;
        buffer->end = kept;
        if (2 * (kept + length) > buffer->capacity) {
            buffer->capacity = 2 * (kept + length);
            if (!(buffer->data = realloc(buffer->data, buffer->capacity))) fail("no memory");
        }
    }
    memcpy(buffer->data + buffer->end, data, length);
    buffer->end += length;
}

/* Remove `length` processed bytes; an empty buffer is freed. */
static void drop(struct buffer *buffer, size_t length) {
    buffer->begin += length;
    if (buffer->begin < buffer->end) return;
    free(buffer->data);
    *buffer = (struct buffer){0};
}

static void watch(struct client *client, int operation, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = client};
    if (epoll_ctl(epoll, operation, client->fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

/* Write, and buffer the bytes that the socket does not take. A broken connection is closed at its epoll event. */
static void send_client(struct client *client, const char *data, size_t length) {
    if (!waiting(&client->out)) {
        ssize_t taken = write(client->fd, data, length);
        if (taken < 0 && errno != EAGAIN) return;
        if (taken < 0) taken = 0;
        if ((size_t)taken == length) return;
        data += taken;
        length -= (size_t)taken;
        watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    append(&client->out, data, length);
}

static void flush(struct client *client) {
    if (!waiting(&client->out)) return;
    ssize_t taken = write(client->fd, client->out.data + client->out.begin, waiting(&client->out));
    if (taken > 0) drop(&client->out, (size_t)taken);
    if (!waiting(&client->out)) watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

static void fan_out(void) {
    if (!batch_events) return;
    for (size_t index = 0; index < stream_count; index++) send_client(streams[index], batch.data, batch.end);
    batch.begin = batch.end = 0;
    batch_events = 0;
}

/* The next id: milliseconds since 1970 and a number within the millisecond. */
static void next_id(void) {
    static int64_t last_ms;
    static int sequence;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
    sequence = ms > last_ms ? 0 : sequence + 1;
    if (ms > last_ms) last_ms = ms;
    snprintf(last_id, sizeof last_id, "%013jd-%06d", (intmax_t)last_ms, sequence);
}

/* Append {"topic":"...","data":"..."} to the batch; false: it has no data. */
static bool take_event(const char *text, size_t length) {
    static const char NAME[] = "\"data\":";
    const char *end = text + length, *data, *quote;
    if (!length || !(data = memmem(text, length, NAME, sizeof NAME - 1))) return false;
    for (data += sizeof NAME - 1; data < end && *data == ' ';) data++;
    if (data == end || *data++ != '"' || !(quote = memchr(data, '"', (size_t)(end - data)))) return false;
    char head[64], id[64];
    next_id();
    int id_length = snprintf(id, sizeof id, "id: %s\ndata: ", last_id);
    size_t data_length = (size_t)(quote - data);
    int head_length = snprintf(head, sizeof head, "%zx\r\n%s", (size_t)id_length + data_length + 2, id);
    bool full = batch_events == BATCH_EVENTS || batch.end + data_length + sizeof head > BATCH_BYTES;
    if (full) fan_out();
    append(&batch, head, (size_t)head_length);
    append(&batch, data, data_length);
    append(&batch, "\n\n\r\n", 4);
    batch_events++;
    return true;
}

static void answer(struct client *client, const char *status, const char *body) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          status, strlen(body), body);
    send_client(client, text, (size_t)length);
}

/* Process the complete lines of an NDJSON body, and the last one at its end. */
static void take_lines(struct buffer *body, bool last) {
    while (waiting(body)) {
        char *line = body->data + body->begin, *end = memchr(line, '\n', waiting(body));
        if (!end && !last) return;
        size_t length = end ? (size_t)(end - line) : waiting(body);
        bool taken = length < 2 || take_event(line, length);
        if (!taken) fputs("floor: a line without data was dropped\n", stderr);
        drop(body, end ? length + 1 : length);
    }
}

static void end_body(struct client *client) {
    char text[64];
    struct buffer *body = &client->body;
    client->state = HEAD;
    if (client->lines) {
        answer(client, "201 Created", "{}");
        take_lines(body, true);
    } else if (take_event(body->data + body->begin, waiting(body))) {
        snprintf(text, sizeof text, "{\"id\":\"%s\"}", last_id);
        answer(client, "201 Created", text);
    } else {
        answer(client, "400 Bad Request", "{}");
    }
    drop(body, waiting(body));
    fan_out();
}

static void begin_stream(struct client *client) {
    static const char HEAD_TEXT[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                    "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
    client->state = STREAM;
    if (stream_count == stream_room) {
        stream_room = 2 * stream_room + 64;
        if (!(streams = realloc(streams, stream_room * sizeof *streams))) fail("no memory");
    }
    client->index = stream_count;
    streams[stream_count++] = client;
    send_client(client, HEAD_TEXT, sizeof HEAD_TEXT - 1);
}

/* Process a request's head, which ends with a NUL in place of its last line feed. */
static void take_head(struct client *client, const char *head) {
    const char *length = strcasestr(head, "\ncontent-length:"), *type = strcasestr(head, "\ncontent-type:");
    if (strncmp(head, "GET /events", 11) == 0) {
        begin_stream(client);
    } else if (strncmp(head, "POST /events ", 13) == 0) {
        const char *ndjson = type ? strcasestr(type, "application/x-ndjson") : NULL;
        client->lines = ndjson && ndjson < type + 1 + strcspn(type + 1, "\n");
        client->left = length ? strtoull(length + strlen("\ncontent-length:"), NULL, 10) : 0;
        client->state = strcasestr(head, "\ntransfer-encoding: chunked") ? CHUNK_SIZE : BODY;
    } else {
        answer(client, "404 Not Found", "{}");
    }
}

/* Process the next part of the received bytes; false: it is incomplete. */
static bool take_part(struct client *client) {
    struct buffer *in = &client->in;
    char *begin = in->data + in->begin, *end;
    size_t length;
    if (!waiting(in) && (client->state != BODY || client->left)) return false;
    switch (client->state) {
    case HEAD:
        if (!(end = memmem(begin, waiting(in), "\r\n\r\n", 4))) return false;
        end[3] = '\0';
        take_head(client, begin);
        drop(in, (size_t)(end + 4 - begin));
        return true;
    case BODY:
    case CHUNK_DATA:
        length = waiting(in) < client->left ? waiting(in) : client->left;
        append(&client->body, begin, length);
        drop(in, length);
        client->left -= length;
        if (client->left) return false;
        if (client->state == BODY) end_body(client);
        else client->state = CHUNK_END;
        return true;
    case CHUNK_SIZE:
    case CHUNK_END:
    case TRAILER:
        if (!(end = memchr(begin, '\n', waiting(in)))) return false;
        if (client->state == TRAILER) {
            if (end - begin <= 1) end_body(client);
        } else if (client->state == CHUNK_END) {
            client->state = CHUNK_SIZE;
        } else {
            client->left = strtoull(begin, NULL, 16);
            client->state = client->left ? CHUNK_DATA : TRAILER;
        }
        drop(in, (size_t)(end + 1 - begin));
        return true;
    case STREAM: /* further bytes are ignored */
        drop(in, waiting(in));
        return false;
    }
    return false;
}

static void close_client(struct client *client) {
    if (client->state == STREAM) {
        struct client *last = streams[--stream_count];
        streams[client->index] = last;
        last->index = client->index;
    }
    close(client->fd);
    free(client->in.data);
    free(client->body.data);
    free(client->out.data);
    free(client);
}

static void client_ready(struct client *client, uint32_t events) {
    static char data[READ_BYTES];
    if (events & EPOLLOUT) flush(client);
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
    ssize_t length = read(client->fd, data, sizeof data);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) {
        close_client(client);
        return;
    }
    append(&client->in, data, (size_t)length);
    while (take_part(client)) continue;
    if (client->lines && client->state != HEAD) take_lines(&client->body, false);
    fan_out();
}

static void accept_clients(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        if (!client) fail("no memory");
        client->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(client, EPOLL_CTL_ADD, EPOLLIN);
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) fail("accept: %s", strerror(errno));
}

static int listen_on(uint16_t port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0)
        fail("listen: %s", strerror(errno));
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **arguments) {
    static struct epoll_event events[EVENTS_A_WAIT];
    static struct client listener, ending; /* identified by their address */
    struct rlimit limit;
    sigset_t signals;
    if (count != 3 || strcmp(arguments[1], "--port") != 0) fail("usage: floor --port PORT");
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    ending.fd = signalfd(-1, &signals, SFD_CLOEXEC);
    listener.fd = listen_on((uint16_t)atoi(arguments[2]));
    watch(&ending, EPOLL_CTL_ADD, EPOLLIN);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_A_WAIT, -1);
        for (int index = 0; index < ready; index++) {
            struct client *client = events[index].data.ptr;
            if (client == &ending) return 0;
            if (client == &listener) accept_clients(listener.fd);
            else client_ready(client, events[index].events);
        }
    }
}
