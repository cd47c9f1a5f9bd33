"""The heads of HTTP/2 requests: a head that is malformed or too large is refused on its stream.

The ``h2`` library ends the connection for both, and for a stream above SETTINGS_MAX_CONCURRENT_STREAMS,
although its other streams are in order (RFC 9113 sections 5.1.2, 8.1.1 and 10.5.1). This module and
:mod:`.http2_frames` are the only ones that touch private parts of h2. Written against 4.4; when h2 moves,
check ``_receive_headers_frame``, which this extends, and what ``H2Stream.receive_headers`` does besides the
checks of fields, which are in :mod:`.http2_fields`.

====================================================  ==================================================
a request                                             is answered
====================================================  ==================================================
has a malformed head                                  400, then RST_STREAM, PROTOCOL_ERROR
has a body beyond the window of its stream            RST_STREAM, FLOW_CONTROL_ERROR
has a head above the limit, or more than 100 fields   431, on its stream
has malformed trailers, or a body of another size     RST_STREAM, PROTOCOL_ERROR
has a head of eight times these limits, or more       GOAWAY, ENHANCE_YOUR_CALM
comes while the maximum number of streams is open     RST_STREAM, REFUSED_STREAM
is refused while the budget of refusals is used up    GOAWAY, ENHANCE_YOUR_CALM
has a head that cannot be decoded, or is interrupted  GOAWAY, COMPRESSION_ERROR or PROTOCOL_ERROR
====================================================  ==================================================

All heads are decoded, also those that are refused: the state of HPACK belongs to the connection.
"""

from typing import Any, Final

import attrs
from h2.connection import AllowedStreamIDs, ConnectionInputs, _decode_headers
from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import DenialOfServiceError, FlowControlError, InvalidBodyLengthError, ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream
from hyperframe.frame import DataFrame, Frame, HeadersFrame

from ..refusals import RequestRefused, malformed
from .hpack_decoder import FIELDS_MAX
from .http2_fields import check_fields, combine_cookies
from .http2_frames import BoundedConnection

_FIELD_BYTES: Final = 32  # added to each field (RFC 9113 section 6.5.2)
_PLACEHOLDER: Final = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"-")]

_MALFORMED: Final = malformed(
    "the head of the request is malformed: its fields, or their order, break the rules of HTTP/2"
)


@attrs.frozen
class RefusedHead:
    """A head that the application does not see.

    Attributes:
        error: answered on the stream; None: the stream is reset, and may be tried again.
        is_head: the method is HEAD, so that the answer has no body.
    """

    error: RequestRefused | None
    is_head: bool = False


class HTTP2Connection(BoundedConnection):
    """The protocol state of one connection, which reports refused heads as requests.

    Args:
        max_head_bytes: maximum size of a head, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
        max_streams: maximum number of open streams.

    Attributes:
        refused: heads to refuse, by stream id; the receiver of their events removes them.
    """

    def __init__(self, max_head_bytes: int, max_streams: int) -> None:
        super().__init__(max_head_bytes)
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: max_head_bytes,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            },
        )
        self._max_head_bytes = max_head_bytes
        self.refused: dict[int, RefusedHead] = {}

    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        """Receive a head, or trailers.

        Raises:
            ProtocolError: the connection must be ended.
        """
        stream_id = frame.stream_id
        known = self.streams.get(stream_id)
        if known is not None and not known.closed:
            return self._receive_trailers(frame, known)
        if stream_id <= self.highest_inbound_stream_id or stream_id % 2 == 0:
            return super()._receive_headers_frame(frame)  # which finds the error
        has_room = self.open_inbound_streams < self.local_settings.max_concurrent_streams
        headers: Any = self._decode(frame)
        events = self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        stream = self._get_or_create_stream(stream_id, AllowedStreamIDs.ODD)
        refused = self._check(headers, has_room)
        is_end = "END_STREAM" in frame.flags
        try:
            received = _receive(stream, _PLACEHOLDER if refused else headers, is_end=is_end)
            _check_length(stream, is_end=is_end)
        except ProtocolError:
            if stream.closed:
                raise
            received = _as_request(stream_id, is_end)
            refused = RefusedHead(_MALFORMED, _is_head(headers))
        if "PRIORITY" in frame.flags:
            self._receive_priority_frame(frame)  # which checks it; priorities are ignored (section 5.3)
        self.incoming_buffer.pause()  # others get their turn before the next request
        if refused is not None:
            self.refused[stream_id] = refused
        self.charge_head(len(frame.data), is_refused=refused is not None)
        return [], events + received

    def _decode(self, frame: HeadersFrame) -> Any:
        try:
            return _decode_headers(self.decoder, frame.data)
        except DenialOfServiceError:
            raise
        except ProtocolError as error:
            raise _CompressionError(str(error)) from error

    def _receive_trailers(self, frame: HeadersFrame, stream: H2Stream) -> tuple[list[Frame], list[Event]]:
        headers = self._decode(frame)
        events = self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        length = stream._expected_content_length
        is_end = "END_STREAM" in frame.flags
        try:
            received = _receive(stream, headers, is_end=is_end, is_trailer=True)
            stream._expected_content_length = length  # h2 took that of the trailers
            _check_length(stream, is_end=is_end)
        except ProtocolError:
            if stream.closed:
                raise
            return [], events + self._reset(frame.stream_id)
        return [], events + received

    def _receive_data_frame(self, frame: DataFrame) -> tuple[list[Frame], list[Event]]:
        """Receive a part of a body; one beyond its window or its Content-Length resets its stream alone.

        Raises:
            ProtocolError: the connection must be ended, as for one beyond the connection's window.
        """
        try:
            return super()._receive_data_frame(frame)
        except InvalidBodyLengthError:
            error_code = ErrorCodes.PROTOCOL_ERROR
        except FlowControlError:
            if self.inbound_flow_control_window < 0:
                raise
            error_code = ErrorCodes.FLOW_CONTROL_ERROR
        self.acknowledge_on_connection(frame.flow_controlled_length)
        return [], self._reset(frame.stream_id, error_code)

    def _reset(self, stream_id: int, error_code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> list[Event]:
        """Reset a stream whose request turned out to be malformed: it may be in the middle of its answer."""
        self.reset_stream(stream_id, error_code)
        return [StreamReset(stream_id=stream_id, error_code=error_code, remote_reset=False)]

    def _check(self, headers: list[tuple[bytes, bytes]], has_room: bool) -> RefusedHead | None:
        if not has_room:
            return RefusedHead(None)
        size = sum([len(name) + len(value) for name, value in headers]) + _FIELD_BYTES * len(headers)
        if size > self._max_head_bytes:
            detail = f"the head of a request may have at most {self._max_head_bytes} bytes"
        elif len(headers) > FIELDS_MAX and sum([name[:1] != b":" for name, _ in headers]) > FIELDS_MAX:
            detail = f"the head of a request may have at most {FIELDS_MAX} fields"
        else:
            return None
        return RefusedHead(RequestRefused(431, "head-too-large", detail), _is_head(headers))


class _CompressionError(ProtocolError):
    """A head cannot be decoded, so that the tables of HPACK differ from now on (RFC 9113 section 4.3)."""

    error_code = ErrorCodes.COMPRESSION_ERROR


def _receive(stream: H2Stream, headers: Any, *, is_end: bool, is_trailer: bool = False) -> list[Event]:
    """Give a stream its head, or its trailers.

    Raises:
        ProtocolError: they are malformed, or come in a wrong state.
    """
    combined = combine_cookies(headers)
    _, received = stream.receive_headers(combined, is_end, None)
    check_fields(combined, is_trailer=is_trailer)
    return received


def _check_length(stream: H2Stream, *, is_end: bool) -> None:
    """Check that a body that ends with a head or trailers has its Content-Length; h2 checks DATA alone.

    Raises:
        InvalidBodyLengthError: it has another length (RFC 9113 section 8.1.1).
    """
    if is_end and not stream.closed:
        stream._track_content_length(0, end_stream=True)


def _as_request(stream_id: int, is_end: bool) -> list[Event]:
    events: list[Event] = [RequestReceived(stream_id=stream_id, headers=[])]
    return [*events, StreamEnded(stream_id=stream_id)] if is_end else events


def _is_head(headers: list[tuple[bytes, bytes]]) -> bool:
    return (b":method", b"HEAD") in [(name, value) for name, value in headers]
