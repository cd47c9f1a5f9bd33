/* What the parts of load share: its options, its connections and streams, and who does what.
 *
 *   load.c        options, the event loop, what is said on stdout and heard on stdin
 *   connection.c  one TCP or TLS connection: connecting, reading, writing
 *   http1.c, http2.c, websocket.c   protocol bytes into the bytes of event streams
 *   tally.c       event streams into events, and what is counted of them
 */
#ifndef LOAD_H
#define LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a line or message that came in pieces so much is kept; the mark "bench " must be within it. */
enum { KEPT_BYTES = 512 };

enum protocol { HTTP1, HTTP2, WEBSOCKET };

struct options {
    const char *host, *port, *path;
    enum protocol protocol;
    bool tls, connect_only;
    int clients, streams; /* streams: on each connection */
    int64_t events;       /* for each stream */
    double deadline_seconds;
    int stalled, ramp;
    size_t read_bytes; /* at most so many a read */
};

/* Bytes that grow; all zero is an empty one. */
struct buffer {
    uint8_t *data;
    size_t length, capacity;
};

/* One event stream. */
struct stream {
    bool opened;       /* the head of its answer has come */
    bool ended;        /* by the server */
    bool counted;      /* its events are tallied */
    uint64_t *seen;    /* one bit for each number */
    int64_t last;      /* the number before, -1 at first */
    int64_t distinct;  /* different numbers so far */
    bool pending;      /* an event has been read but for its empty line: */
    int64_t number, sent_ns;
    uint32_t consumed; /* HTTP/2: bytes not yet given back to the window */
    uint32_t kept_length;
    char kept[KEPT_BYTES]; /* the beginning of an unfinished line or message */
};

enum chunk_state { WHOLE_BODY, CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF };

struct http1 {
    enum chunk_state state;
    int digits; /* of the chunk size, so far */
    uint64_t left; /* bytes of this chunk still to come */
};

struct http2 {
    uint8_t header[9], header_length;
    uint8_t start[24], start_length; /* the first bytes of a frame that is not DATA */
    uint32_t left;                   /* payload bytes of this frame still to come */
    int padding;                     /* of this DATA frame; -1: its length is still to come */
    uint32_t consumed;               /* bytes not yet given back to the connection's window */
};

struct websocket {
    char accept[32]; /* what the server must answer to our key */
    uint8_t header[10], header_length;
    uint64_t left; /* payload bytes of this frame still to come */
    uint8_t control[125], control_length;
};

struct connection {
    int fd;  /* -1: closed */
    SSL *ssl; /* NULL: plain TCP */
    bool connected, secured; /* TCP and TLS are through their handshakes */
    bool wants_write;        /* go on when the socket takes bytes */
    bool stalled;            /* reads its heads and no more */
    uint32_t interest;       /* the epoll events asked for */
    int opened;              /* streams whose heads have come */
    struct stream *streams;  /* options.streams of them */
    struct buffer out;       /* not yet written */
    struct buffer head;      /* the answer's head, as long as it is unfinished */
    union {
        struct http1 http1;
        struct http2 http2;
        struct websocket websocket;
    };
};

/* CONNECTING: heads are to come; READING: events are; HOLDING: reading and dropping until told otherwise. */
enum phase { CONNECTING, READING, HOLDING };

struct load {
    struct options options;
    enum phase phase;
    int epoll;
    int64_t in_flight; /* connections begun whose heads have not all come */
    int64_t opened;    /* streams whose heads have come */
    int64_t waiting;   /* counted streams from which events are still to come */
};
extern struct load load;

/* load.c */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn)); /* exits 1 */
int64_t monotonic_ns(void);
void append(struct buffer *buffer, const void *data, size_t length);

/* connection.c */
void connections_prepare(void); /* once: the server's address, the TLS context */
void connection_begin(struct connection *connection);
void connection_ready(struct connection *connection, uint32_t events);
void connection_send(struct connection *connection, const void *data, size_t length); /* queues */
void connection_opened(struct connection *connection, struct stream *stream);
void connection_close(struct connection *connection);

/* Each protocol: queue the request; take what was read, at the time it was read. */
void http1_begin(struct connection *connection);
void http1_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);
void websocket_begin(struct connection *connection);
void websocket_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);
void http2_begin(struct connection *connection);
void http2_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);

/* http1.c, for WebSocket too: take bytes of the head and return how many; `*head` is the head once it is
 * complete, with its status checked, until the connection's head buffer is released. */
size_t head_receive(struct connection *connection, const uint8_t *data, size_t length, int status,
                    const char **head);
bool head_value(const char *head, const char *name, char *value, size_t size);

/* tally.c */
void tally_prepare(struct stream *streams); /* options.clients * options.streams of them */
void stream_receive(struct stream *stream, const uint8_t *data, size_t length, int64_t now_ns);
void stream_keep(struct stream *stream, const uint8_t *data, size_t length);
void stream_message(struct stream *stream, const uint8_t *data, size_t length, int64_t now_ns);
void stream_ended(struct stream *stream);
void tally_print(double cpu_seconds);

#endif
