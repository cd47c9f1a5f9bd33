/* Parsing of event streams, and counting of events. */
#define _GNU_SOURCE
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MARK[] = "bench ";

static struct {
    int64_t *delays_ns; /* of first deliveries */
    int64_t deliveries, expected, repeated, disordered, closed;
    int64_t first_ns, last_ns;
} tally;

void tally_prepare(struct stream *streams) {
    const struct options *options = &load.options;
    int64_t first = (int64_t)options->stalled * options->streams;
    int64_t counted = (int64_t)options->clients * options->streams - first;
    size_t words = (size_t)(options->events + 63) / 64;
    uint64_t *seen = calloc((size_t)counted * words + 1, sizeof *seen);
    tally.expected = counted * options->events;
    tally.delays_ns = calloc((size_t)tally.expected + 1, sizeof *tally.delays_ns);
    if (!seen || !tally.delays_ns) fail("no memory for %" PRId64 " deliveries", tally.expected);
    for (int64_t index = 0; index < counted; index++) {
        struct stream *stream = &streams[first + index];
        stream->counted = true;
        stream->seen = seen + (size_t)index * words;
        stream->last = -1;
    }
    load.waiting = options->events > 0 ? counted : 0;
}

/* Count a complete event. */
static void tally_event(struct stream *stream, int64_t number, int64_t sent_ns, int64_t now_ns) {
    if (!stream->counted || load.phase == HOLDING) return;
    tally.disordered += number < stream->last || number > stream->last + 1;
    stream->last = number;
    if (number >= load.options.events) return;
    uint64_t bit = UINT64_C(1) << (number % 64), *word = &stream->seen[number / 64];
    if (*word & bit) {
        tally.repeated++;
        return;
    }
    *word |= bit;
    if (tally.deliveries == 0) tally.first_ns = now_ns;
    tally.last_ns = now_ns;
    tally.delays_ns[tally.deliveries++] = now_ns - sent_ns;
    if (++stream->distinct == load.options.events) load.waiting--;
}

/* Parse a decimal number of at most 18 digits and the space after it; -1: there is none. */
static int64_t take_number(const char **at, const char *end) {
    int64_t value = 0;
    const char *begin = *at;
    while (*at < end && **at >= '0' && **at <= '9' && *at - begin < 18) value = value * 10 + *(*at)++ - '0';
    if (*at == begin || *at == end || *(*at)++ != ' ') return -1;
    return value;
}

/* Find "bench <number> <ns> " in a line or message. */
static bool find_event(const char *text, size_t length, int64_t *number, int64_t *sent_ns) {
    if (length > KEPT_BYTES) length = KEPT_BYTES;
    const char *end = text + length, *at = memmem(text, length, MARK, sizeof MARK - 1);
    if (!at) return false;
    at += sizeof MARK - 1;
    return (*number = take_number(&at, end)) >= 0 && (*sent_ns = take_number(&at, end)) >= 0;
}

void stream_keep(struct stream *stream, const uint8_t *data, size_t length) {
    size_t room = KEPT_BYTES - stream->kept_length;
    if (length > room) length = room;
    memcpy(stream->kept + stream->kept_length, data, length);
    stream->kept_length += (uint32_t)length;
}

/* Process one line of an event stream, without its line feed. An empty one ends the event. */
static void take_line(struct stream *stream, const char *line, size_t length, int64_t now_ns) {
    if (length && line[length - 1] == '\r') length--;
    if (length == 0) {
        if (stream->pending) tally_event(stream, stream->number, stream->sent_ns, now_ns);
        stream->pending = false;
    } else if (length > 5 && memcmp(line, "data:", 5) == 0 && !stream->pending) {
        stream->pending = find_event(line, length, &stream->number, &stream->sent_ns);
    }
}

/* Process bytes of an event stream; lines end with LF or CR LF. */
void stream_receive(struct stream *stream, const uint8_t *data, size_t length, int64_t now_ns) {
    const uint8_t *end = data + length, *line_end;
    for (; (line_end = memchr(data, '\n', (size_t)(end - data))); data = line_end + 1) {
        if (stream->kept_length) {
            stream_keep(stream, data, (size_t)(line_end - data));
            take_line(stream, stream->kept, stream->kept_length, now_ns);
            stream->kept_length = 0;
        } else {
            take_line(stream, (const char *)data, (size_t)(line_end - data), now_ns);
        }
    }
    stream_keep(stream, data, (size_t)(end - data));
}

/* Process the last, or only, bytes of a WebSocket message. */
void stream_message(struct stream *stream, const uint8_t *data, size_t length, int64_t now_ns) {
    int64_t number, sent_ns;
    const char *text = (const char *)data;
    if (stream->kept_length) {
        stream_keep(stream, data, length);
        text = stream->kept, length = stream->kept_length;
        stream->kept_length = 0;
    }
    if (find_event(text, length, &number, &sent_ns)) tally_event(stream, number, sent_ns, now_ns);
}

void stream_ended(struct stream *stream) {
    if (stream->ended) return;
    if (!stream->opened) fail("the server ended a stream before its answer");
    stream->ended = true;
    if (stream->counted && load.phase != HOLDING && stream->distinct < load.options.events) {
        tally.closed++;
        load.waiting--;
    }
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Print a JSON member; null without deliveries. */
static void print_ns(const char *name, int64_t value) {
    if (tally.deliveries)
        printf("\"%s\":%" PRId64 ",", name, value);
    else
        printf("\"%s\":null,", name);
}

void tally_print(double cpu_seconds) {
    int64_t count = tally.deliveries, *delays = tally.delays_ns;
    qsort(delays, (size_t)count, sizeof *delays, compare);
    printf("{\"event\":\"done\",\"deliveries\":%" PRId64 ",\"missing\":%" PRId64 ",\"repeated\":%" PRId64
           ",\"disordered\":%" PRId64 ",\"closed\":%" PRId64 ",",
           count, tally.expected - count, tally.repeated, tally.disordered, tally.closed);
    print_ns("first_ns", tally.first_ns);
    print_ns("last_ns", tally.last_ns);
    print_ns("p50_ns", delays[count / 2]);
    print_ns("p99_ns", delays[count * 99 / 100]);
    print_ns("p999_ns", delays[count * 999 / 1000]);
    print_ns("max_ns", delays[count ? count - 1 : 0]);
    printf("\"cpu_seconds\":%.6f}\n", cpu_seconds);
    fflush(stdout);
    free(delays);
    tally.delays_ns = NULL;
}
