/* One TCP or TLS connection: connecting, reading, writing. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct addrinfo *address;
static SSL_CTX *context;

void connections_prepare(void) {
    const struct options *options = &load.options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(options->host, options->port, &hints, &address);
    if (error) fail("%s: %s", options->host, gai_strerror(error));
    if (!options->tls) return;
    context = SSL_CTX_new(TLS_client_method());
    if (!context) fail("OpenSSL does not start");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* one read for a record's header and body */
    const char *protocol = options->protocol == HTTP2 ? "\002h2" : "\010http/1.1";
    SSL_CTX_set_alpn_protos(context, (const uint8_t *)protocol, (unsigned)strlen(protocol));
}

static void watch(struct connection *connection, int operation, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = connection};
    if (epoll_ctl(load.epoll, operation, connection->fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
    connection->interest = interest;
}

void connection_begin(struct connection *connection) {
    int one = 1;
    unsigned char host[sizeof(struct in6_addr)];
    const struct options *options = &load.options;
    connection->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(connection->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    if (context) {
        if (!(connection->ssl = SSL_new(context))) fail("no memory for TLS");
        SSL_set_fd(connection->ssl, connection->fd);
        SSL_set_connect_state(connection->ssl);
        if (inet_pton(address->ai_family, options->host, host) != 1)
            SSL_set_tlsext_host_name(connection->ssl, options->host);
    }
    watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    load.in_flight++;
    if (options->protocol == HTTP1) http1_begin(connection);
    else if (options->protocol == HTTP2) http2_begin(connection);
    else websocket_begin(connection);
}

void connection_close(struct connection *connection) {
    if (connection->fd < 0) return;
    SSL_free(connection->ssl);
    close(connection->fd);
    free(connection->out.data);
    free(connection->head.data);
    connection->ssl = NULL;
    connection->fd = -1;
    connection->out = connection->head = (struct buffer){0};
}

void connection_send(struct connection *connection, const void *data, size_t length) {
    append(&connection->out, data, length);
}

void connection_opened(struct connection *connection, struct stream *stream) {
    stream->opened = true;
    load.opened++;
    if (++connection->opened < load.options.streams) return;
    load.in_flight--;
    free(connection->head.data);
    connection->head = (struct buffer){0};
    if (connection->stalled) watch(connection, EPOLL_CTL_DEL, 0);
}

static bool has_stalled(const struct connection *connection) {
    return connection->stalled && connection->opened == load.options.streams;
}

/* End a connection that the server closed, or that broke. */
static void ended(struct connection *connection) {
    for (int index = 0; index < load.options.streams; index++) stream_ended(&connection->streams[index]);
    connection_close(connection);
}

/* Evaluate a result of SSL_read, SSL_write or SSL_do_handshake: -1: the connection is over, 0: it must wait. */
static int tls_result(struct connection *connection, int result) {
    int error = SSL_get_error(connection->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_WRITE) connection->wants_write = true;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Read available bytes: their number, 0: none now, -1: the end. */
static ssize_t read_some(struct connection *connection, uint8_t *data, size_t size) {
    if (connection->ssl) {
        int result = SSL_read(connection->ssl, data, (int)size);
        return result > 0 ? result : tls_result(connection, result);
    }
    ssize_t result = recv(connection->fd, data, size, 0);
    if (result > 0) return result;
    return result < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void receive(struct connection *connection) {
    static uint8_t data[262144];
    do {
        ssize_t length = read_some(connection, data, load.options.read_bytes);
        if (length == 0) return;
        if (length < 0) {
            ended(connection);
            return;
        }
        int64_t now_ns = monotonic_ns();
        if (load.options.protocol == HTTP1) http1_receive(connection, data, (size_t)length, now_ns);
        else if (load.options.protocol == HTTP2) http2_receive(connection, data, (size_t)length, now_ns);
        else websocket_receive(connection, data, (size_t)length, now_ns);
        /* Bytes that OpenSSL has buffered do not wake epoll. */
    } while (connection->ssl && !has_stalled(connection) && SSL_has_pending(connection->ssl));
}

static bool write_all(struct connection *connection) {
    struct buffer *out = &connection->out;
    size_t done = 0;
    while (done < out->length) {
        ssize_t result;
        if (connection->ssl) {
            result = SSL_write(connection->ssl, out->data + done, (int)(out->length - done));
            if (result <= 0) result = tls_result(connection, (int)result);
        } else {
            result = send(connection->fd, out->data + done, out->length - done, MSG_NOSIGNAL);
            if (result < 0 && (errno == EAGAIN || errno == EINTR)) {
                connection->wants_write = true;
                result = 0;
            }
        }
        if (result < 0) return false;
        if (result == 0) break;
        done += (size_t)result;
    }
    out->length -= done;
    if (out->length) memmove(out->data, out->data + done, out->length);
    return true;
}

/* Continue the handshakes of TCP, then TLS; true once both are complete. */
static bool handshake(struct connection *connection, uint32_t events) {
    if (!connection->connected) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return false;
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) fail("connect: %s", strerror(error));
        connection->connected = true;
    }
    if (connection->ssl && !connection->secured) {
        int result = SSL_do_handshake(connection->ssl);
        if (result != 1) {
            if (tls_result(connection, result) < 0) fail("the TLS handshake failed");
            return false;
        }
        const uint8_t *agreed;
        unsigned length;
        SSL_get0_alpn_selected(connection->ssl, &agreed, &length);
        if (load.options.protocol == HTTP2 && (length != 2 || memcmp(agreed, "h2", 2) != 0))
            fail("the server did not agree on HTTP/2");
    }
    return connection->secured = true;
}

/* Handle an epoll event of a connection. */
void connection_ready(struct connection *connection, uint32_t events) {
    connection->wants_write = false;
    if (handshake(connection, events)) {
        if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(connection);
        if (connection->fd < 0) return;
        if (!write_all(connection)) {
            ended(connection);
            return;
        }
        if (has_stalled(connection)) return;
    } else if (!connection->connected) {
        return;
    }
    uint32_t interest = EPOLLIN | (connection->wants_write ? EPOLLOUT : 0);
    if (interest != connection->interest) watch(connection, EPOLL_CTL_MOD, interest);
}
