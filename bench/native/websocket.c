/* A WebSocket client without extensions (RFC 6455). */
#include "load.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void websocket_begin(struct connection *connection) {
    const struct options *options = &load.options;
    uint8_t nonce[16], digest[SHA_DIGEST_LENGTH];
    char key[64], request[4096];
    RAND_bytes(nonce, sizeof nonce);
    int length = EVP_EncodeBlock((uint8_t *)key, nonce, sizeof nonce);
    memcpy(key + length, GUID, sizeof GUID);
    SHA1((const uint8_t *)key, strlen(key), digest);
    EVP_EncodeBlock((uint8_t *)connection->websocket.accept, digest, sizeof digest);
    key[length] = '\0';
    length = snprintf(request, sizeof request,
                      "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                      options->path, options->host, options->port, key);
    if (length >= (int)sizeof request) fail("the path is too long");
    connection_send(connection, request, (size_t)length);
}

/* Send a control frame, masked with a random key as a client's frames are. */
static void send_control(struct connection *connection, uint8_t opcode, const uint8_t *payload,
                         size_t length) {
    uint8_t frame[6 + 125] = {0x80 | opcode, (uint8_t)(0x80 | length)};
    RAND_bytes(frame + 2, 4);
    for (size_t index = 0; index < length; index++) frame[6 + index] = payload[index] ^ frame[2 + index % 4];
    connection_send(connection, frame, 6 + length);
}

/* Collect the header of a frame; true once it is complete. */
static bool take_header(struct websocket *websocket, uint8_t byte) {
    uint8_t *header = websocket->header;
    header[websocket->header_length++] = byte;
    if (websocket->header_length < 2) return false;
    uint8_t length = header[1];
    if (header[0] & 0x70) fail("a WebSocket frame uses an extension that was not agreed");
    if (length & 0x80) fail("the server masked a WebSocket frame");
    int extended = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (websocket->header_length < 2 + extended) return false;
    websocket->left = extended ? 0 : length;
    for (int index = 0; index < extended; index++) websocket->left = websocket->left << 8 | header[2 + index];
    if (header[0] & 0x08 && (websocket->left > 125 || !(header[0] & 0x80)))
        fail("a WebSocket control frame is too long or in fragments");
    websocket->control_length = 0;
    return true;
}

static void take_control(struct connection *connection) {
    struct websocket *websocket = &connection->websocket;
    uint8_t opcode = websocket->header[0] & 0x0f;
    if (opcode == PING) {
        send_control(connection, PONG, websocket->control, websocket->control_length);
    } else if (opcode == CLOSE) {
        /* The answer repeats the status code without the reason. */
        send_control(connection, CLOSE, websocket->control, websocket->control_length >= 2 ? 2 : 0);
        stream_ended(connection->streams);
    }
}

/* Process payload of the current frame, none if it is empty. */
static void take_payload(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns) {
    struct websocket *websocket = &connection->websocket;
    bool complete = (websocket->left -= length) == 0;
    if (websocket->header[0] & 0x08) {
        memcpy(websocket->control + websocket->control_length, data, length);
        websocket->control_length += (uint8_t)length;
        if (complete) take_control(connection);
    } else if (complete && websocket->header[0] & 0x80) {
        stream_message(connection->streams, data, length, now_ns);
    } else {
        stream_keep(connection->streams, data, length);
    }
    if (complete) websocket->header_length = 0;
}

void websocket_receive(struct connection *connection, const uint8_t *data, size_t length, int64_t now_ns) {
    struct websocket *websocket = &connection->websocket;
    struct stream *stream = connection->streams;
    const uint8_t *end = data + length;
    if (!stream->opened) {
        const char *head;
        char accept[sizeof websocket->accept];
        data += head_receive(connection, data, length, 101, &head);
        if (!head) return;
        if (!head_value(head, "sec-websocket-accept", accept, sizeof accept) ||
            strcmp(accept, websocket->accept) != 0)
            fail("the server did not accept the WebSocket key");
        connection_opened(connection, stream);
    }
    bool in_payload = websocket->left > 0;
    while (data < end && !stream->ended) {
        if (!in_payload && !take_header(websocket, *data++)) continue;
        size_t here = (size_t)(end - data);
        if (here > websocket->left) here = websocket->left;
        take_payload(connection, data, here, now_ns);
        data += here;
        in_payload = websocket->left > 0;
    }
}
