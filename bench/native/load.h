/* Shared declarations of the load program: options, connections, streams, and the parts' functions.
 *
 *   load.c        options, the event loop, standard input and output
 *   connection.c  one TCP or TLS connection: connecting, reading, writing
 *   http1.c, http2.c, websocket.c   parsing of protocols into event streams
 *   tally.c       parsing of event streams, and counting of events
 */
#ifndef LOAD_H
#define LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kept beginning of a line or message that arrives in pieces, which must contain the mark "bench ". */
enum { KEPT_BYTES = 512 };

enum protocol { HTTP1, HTTP2, WEBSOCKET };

struct options {
    const char *host, *port, *path, *header;
    enum protocol protocol;
    bool tls, connect_only;
    int clients, streams; /* streams: on each connection */
    int64_t events;       /* for each stream */
    double deadline_seconds;
    int stalled, ramp;
    size_t read_bytes; /* maximum size of a read */
};

/* A growing buffer; all zero is an empty one. */
struct buffer {
    uint8_t *data;
    size_t length, capacity;
};

/* One event stream. */
struct stream {
    bool opened;       /* the head of its answer has arrived */
    bool ended;        /* by the server */
    bool counted;      /* its events are tallied */
    uint64_t *seen;    /* one bit for each number */
    int64_t last;      /* the number before, -1 at first */
    int64_t distinct;  /* different numbers so far */
    bool pending;      /* an event has been read except for its empty line: */
    int64_t number, sent_ns;
    uint32_t consumed; /* HTTP/2: bytes not yet returned to the window */
    uint32_t kept_length;
    char kept[KEPT_BYTES]; /* the beginning of an unfinished line or message */
};

enum chunk_state { WHOLE_BODY, CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF };

struct http1 {
    enum chunk_state state;
    int digits; /* of the chunk size, so far */
    uint64_t left; /* remaining bytes of this chunk */
};

struct http2 {
    uint8_t header[9], header_length;
    uint8_t start[24], start_length; /* the first bytes of a frame that is not DATA */
    uint32_t left;                   /* remaining payload bytes of this frame */
    int padding;                     /* of this DATA frame; -1: its length is not known yet */
    uint32_t consumed;               /* bytes not yet returned to the connection's window */
};

struct websocket {
    char accept[32]; /* the expected answer to our key */
    uint8_t header[10], header_length;
    uint64_t left; /* remaining payload bytes of this frame */
    uint8_t control[125], control_length;
};

struct connection {
    int fd;  /* -1: closed */
    SSL *ssl; /* NULL: plain TCP */
    bool connected, secured; /* the handshakes of TCP and TLS are complete */
    bool wants_write;        /* continue when the socket is writable */
    bool stalled;            /* reads only the heads */
    uint32_t interest;       /* the epoll events asked for */
    int opened;              /* streams whose heads have arrived */
    struct stream *streams;  /* options.streams of them */
    struct buffer out;       /* not yet written */
    struct buffer head;      /* the incomplete head of the answer */
    union {
        struct http1 http1;
        struct http2 http2;
        struct websocket websocket;
    };
};

/* CONNECTING: waiting for heads; READING: for events; HOLDING: discarding until a command on stdin. */
enum phase { CONNECTING, READING, HOLDING };

struct load {
    struct options options;
    enum phase phase;
    int epoll;
    int64_t in_flight; /* connections whose heads have not all arrived */
    int64_t opened;    /* streams whose heads have arrived */
    int64_t waiting;   /* counted streams with missing events */
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

/* Each protocol: queue the request; process received bytes, with the time of the read. */
void http1_begin(struct connection *connection);
void http1_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);
void websocket_begin(struct connection *connection);
void websocket_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);
void http2_begin(struct connection *connection);
void http2_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns);

/* http1.c, also for WebSocket: process bytes of the head and return their number; `*head` is the complete head
 * with a status that has been checked, valid until the connection's head buffer is released. */
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
