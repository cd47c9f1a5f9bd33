/* An HTTP/2 client of event streams (RFC 9113), which reads only the status and DATA. */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITY = 0x20 };

/* Windows have their initial size of 65,535 bytes, and frames at most 16,384 bytes: an update for this many
 * bytes is sent before half of a window is used. */
enum { UPDATE_BYTES = 16384, MAX_FRAME_BYTES = 16384 };

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void put_number(uint8_t *at, uint32_t value) {
    for (int index = 0; index < 4; index++) at[index] = (uint8_t)(value >> (24 - 8 * index));
}

static uint32_t get_number(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_frame(struct connection *connection, int type, int flags, uint32_t id, const void *payload,
                       size_t length) {
    uint8_t frame[9 + 4096];
    frame[0] = 0;
    frame[1] = (uint8_t)(length >> 8);
    frame[2] = (uint8_t)length;
    frame[3] = (uint8_t)type;
    frame[4] = (uint8_t)flags;
    put_number(frame + 5, id);
    if (length) memcpy(frame + 9, payload, length);
    connection_send(connection, frame, 9 + length);
}

/* HPACK (RFC 7541): a literal field without indexing and without Huffman; its name is in the static table. */
static uint8_t *put_field(uint8_t *at, int name, const char *value) {
    size_t length = strlen(value);
    if (name < 15) {
        *at++ = (uint8_t)name;
    } else {
        *at++ = 15;
        *at++ = (uint8_t)(name - 15);
    }
    if (length < 127) {
        *at++ = (uint8_t)length;
    } else {
        size_t rest = length - 127;
        *at++ = 127;
        for (; rest >= 128; rest /= 128) *at++ = (uint8_t)(rest % 128 | 128);
        *at++ = (uint8_t)rest;
    }
    memcpy(at, value, length);
    return at + length;
}

void http2_begin(struct connection *connection) {
    enum { AUTHORITY = 1, METHOD = 2, PATH = 4, SCHEME = 6, ACCEPT = 19 };
    static const uint8_t settings[] = {0, 2, 0, 0, 0, 0}; /* ENABLE_PUSH 0 */
    const struct options *options = &load.options;
    char authority[300];
    uint8_t block[4096];
    snprintf(authority, sizeof authority, "%s:%s", options->host, options->port);
    if (strlen(options->path) > 3500) fail("the path is too long");
    uint8_t *end = put_field(block, METHOD, "GET");
    end = put_field(end, SCHEME, options->tls ? "https" : "http");
    end = put_field(end, AUTHORITY, authority);
    end = put_field(end, PATH, options->path);
    end = put_field(end, ACCEPT, "text/event-stream");
    connection_send(connection, PREFACE, sizeof PREFACE - 1);
    send_frame(connection, SETTINGS, 0, 0, settings, sizeof settings);
    for (int index = 0; index < options->streams; index++)
        send_frame(connection, HEADERS, END_STREAM | END_HEADERS, (uint32_t)(2 * index + 1), block,
                   (size_t)(end - block));
}

/* Find the stream of the current frame; NULL: an unknown one. */
static struct stream *current_stream(struct connection *connection) {
    uint32_t id = get_number(connection->http2.header + 5) & 0x7fffffff, index = (id - 1) / 2;
    return id % 2 && index < (uint32_t)load.options.streams ? &connection->streams[index] : NULL;
}

static void give_back(struct connection *connection, uint32_t id, uint32_t *consumed, uint32_t length) {
    uint8_t payload[4];
    *consumed += length;
    if (*consumed < UPDATE_BYTES) return;
    put_number(payload, *consumed);
    send_frame(connection, WINDOW_UPDATE, 0, id, payload, sizeof payload);
    *consumed = 0;
}

/* Check the status, which is the first field of the block. In the static table 8 is ":status: 200", and 9 to
 * 14 are other statuses; a literal has an index as its name. */
static void check_status(const uint8_t *block, const uint8_t *end) {
    while (block < end && (*block & 0xe0) == 0x20) block++; /* an update of the table's size, below 31 */
    if (block >= end) return;
    int index = *block & 0x80 ? *block & 0x7f : *block & 0x40 ? *block & 0x3f : *block & 0x0f;
    bool literal = !(*block & 0x80);
    if (index < 8 || index > 14 || (index == 8 && !literal)) return;
    if (literal && end - block >= 5 && memcmp(block + 1, "\003200", 4) == 0) return;
    fail("the server answered with a status other than 200 (HPACK 0x%02x)", *block);
}

static void take_headers(struct connection *connection, struct stream *stream) {
    struct http2 *http2 = &connection->http2;
    uint8_t flags = http2->header[4];
    size_t skip = (flags & PADDED ? 1 : 0) + (flags & PRIORITY ? 5 : 0);
    if (!stream) return;
    if (!stream->opened) {
        check_status(http2->start + skip, http2->start + http2->start_length);
        connection_opened(connection, stream);
    }
    if (flags & END_STREAM) stream_ended(stream);
}

/* Process a frame other than DATA, of which the first bytes have been collected. */
static void take_frame(struct connection *connection) {
    struct http2 *http2 = &connection->http2;
    struct stream *stream = current_stream(connection);
    uint32_t last;
    switch (http2->header[3]) {
    case HEADERS:
        take_headers(connection, stream);
        break;
    case RST_STREAM:
        if (stream && !stream->opened) fail("the server reset a stream: error %u", get_number(http2->start));
        if (stream) stream_ended(stream);
        break;
    case SETTINGS:
        if (!(http2->header[4] & ACK)) send_frame(connection, SETTINGS, ACK, 0, NULL, 0);
        break;
    case PING:
        if (!(http2->header[4] & ACK)) send_frame(connection, PING, ACK, 0, http2->start, 8);
        break;
    case GOAWAY: /* streams up to the last id go on until they end */
        last = get_number(http2->start) & 0x7fffffff;
        for (int index = 0; index < load.options.streams; index++)
            if (2 * (uint32_t)index + 1 > last) stream_ended(&connection->streams[index]);
        break;
    }
}

/* Finish the current frame. */
static void end_frame(struct connection *connection) {
    struct http2 *http2 = &connection->http2;
    struct stream *stream = current_stream(connection);
    uint32_t length = get_number(http2->header) >> 8;
    http2->header_length = 0;
    if (http2->header[3] != DATA) {
        take_frame(connection);
        return;
    }
    give_back(connection, 0, &http2->consumed, length);
    if (!stream || stream->ended) return;
    if (http2->header[4] & END_STREAM)
        stream_ended(stream);
    else
        give_back(connection, get_number(http2->header + 5), &stream->consumed, length);
}

/* Process payload of the current frame. */
static void take_payload(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns) {
    struct http2 *http2 = &connection->http2;
    if (http2->header[3] != DATA) {
        size_t room = sizeof http2->start - http2->start_length, kept = length < room ? length : room;
        memcpy(http2->start + http2->start_length, data, kept);
        http2->start_length += (uint8_t)kept;
        http2->left -= (uint32_t)length;
        return;
    }
    if (http2->padding < 0) {
        http2->padding = *data++;
        length--;
        http2->left--;
        if ((uint32_t)http2->padding > http2->left) fail("an HTTP/2 frame has more padding than payload");
    }
    struct stream *stream = current_stream(connection);
    uint32_t content = http2->left - (uint32_t)http2->padding;
    http2->left -= (uint32_t)length;
    if (length > content) { /* the rest is padding */
        http2->padding -= (int)(length - content);
        length = content;
    }
    if (stream && !stream->ended) stream_receive(stream, data, length, now_ns);
}

void http2_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns) {
    struct http2 *http2 = &connection->http2;
    const uint8_t *end = data + length;
    while (data < end) {
        if (http2->header_length < sizeof http2->header) {
            http2->header[http2->header_length++] = *data++;
            if (http2->header_length < sizeof http2->header) continue;
            http2->left = get_number(http2->header) >> 8;
            http2->start_length = 0;
            http2->padding = http2->header[3] == DATA && http2->header[4] & PADDED ? -1 : 0;
            if (http2->left > MAX_FRAME_BYTES || (http2->padding < 0 && http2->left == 0))
                fail("an HTTP/2 frame has a wrong length: %u", http2->left);
        } else {
            size_t here = (size_t)(end - data);
            if (here > http2->left) here = http2->left;
            take_payload(connection, data, here, now_ns);
            data += here;
        }
        if (http2->left == 0) end_frame(connection);
    }
}
