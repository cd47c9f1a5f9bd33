/* HTTP/1.1: heads of answers, and the chunked transfer coding (RFC 9112). */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEAD_BYTES = 65536, MAX_SIZE_DIGITS = 15 };

void http1_begin(struct connection *connection) {
    char request[4096];
    const struct options *options = &load.options;
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: %s:%s\r\nAccept: text/event-stream\r\n%s%s\r\n",
                          options->path, options->host, options->port, options->header,
                          *options->header ? "\r\n" : "");
    if (length >= (int)sizeof request) fail("the path or the header is too long");
    connection_send(connection, request, (size_t)length);
}

size_t head_receive(struct connection *connection, const uint8_t *data, size_t length, int status,
                    const char **head) {
    struct buffer *buffer = &connection->head;
    size_t before = buffer->length, from = before < 3 ? 0 : before - 3;
    *head = NULL;
    append(buffer, data, length);
    const char *text = (const char *)buffer->data;
    const char *end = memmem(text + from, buffer->length - from, "\r\n\r\n", 4);
    if (!end) {
        if (buffer->length > MAX_HEAD_BYTES) fail("the head of an answer does not end");
        return length;
    }
    size_t head_length = (size_t)(end - text) + 4;
    buffer->data[head_length - 1] = '\0';
    int answered = 0;
    if (sscanf(text, "HTTP/1.%*c %d", &answered) != 1 || answered != status)
        fail("the server answered: %.*s", (int)strcspn(text, "\r\n"), text);
    *head = text;
    return head_length - before;
}

/* Find the value of a header field, without surrounding spaces; false: there is none, or it is too long. */
bool head_value(const char *head, const char *name, char *value, size_t size) {
    size_t name_length = strlen(name);
    for (const char *line = strchr(head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':') continue;
        const char *begin = line + name_length + 1;
        begin += strspn(begin, " \t");
        size_t length = strcspn(begin, "\r\n");
        while (length && (begin[length - 1] == ' ' || begin[length - 1] == '\t')) length--;
        if (length >= size) return false;
        memcpy(value, begin, length);
        value[length] = '\0';
        return true;
    }
    return false;
}

static int hexadecimal(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Process one byte of chunk framing; false after the last chunk. */
static bool take_framing(struct http1 *http1, uint8_t byte) {
    int digit;
    switch (http1->state) {
    case CHUNK_SIZE:
        if ((digit = hexadecimal(byte)) >= 0 && http1->digits < MAX_SIZE_DIGITS) {
            http1->left = http1->left * 16 + (uint64_t)digit;
            http1->digits++;
            return true;
        }
        if (http1->digits == 0) break;
        if (byte == '\r') http1->state = CHUNK_SIZE_LF;
        else if (byte == ';' || byte == ' ' || byte == '\t') http1->state = CHUNK_EXTENSION;
        else break;
        return true;
    case CHUNK_EXTENSION:
        if (byte == '\r') http1->state = CHUNK_SIZE_LF;
        return true;
    case CHUNK_SIZE_LF:
        if (byte != '\n') break;
        http1->state = CHUNK_DATA;
        return http1->left > 0;
    case CHUNK_CR:
        if (byte != '\r') break;
        http1->state = CHUNK_LF;
        return true;
    case CHUNK_LF:
        if (byte != '\n') break;
        http1->state = CHUNK_SIZE;
        http1->digits = 0;
        return true;
    default:
        break;
    }
    fail("the chunked coding is broken at byte 0x%02x, state %d", byte, http1->state);
}

void http1_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns) {
    struct http1 *http1 = &connection->http1;
    struct stream *stream = connection->streams;
    const uint8_t *end = data + length;
    if (!stream->opened) {
        const char *head;
        char coding[64];
        data += head_receive(connection, data, length, 200, &head);
        if (!head) return;
        bool coded = head_value(head, "transfer-encoding", coding, sizeof coding);
        http1->state = coded && strcasestr(coding, "chunked") ? CHUNK_SIZE : WHOLE_BODY;
        connection_opened(connection, stream);
    }
    while (data < end && !stream->ended) {
        size_t here = (size_t)(end - data);
        if (http1->state == WHOLE_BODY) {
            stream_receive(stream, data, here, now_ns);
            return;
        }
        if (http1->state == CHUNK_DATA) {
            if (here > http1->left) here = http1->left;
            stream_receive(stream, data, here, now_ns);
            data += here;
            http1->left -= here;
            if (http1->left == 0) http1->state = CHUNK_CR;
        } else if (!take_framing(http1, *data++)) {
            stream_ended(stream);
        }
    }
}
