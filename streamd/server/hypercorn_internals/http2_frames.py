"""The frames of one HTTP/2 connection: bounds on what a client may let the server do.

The ``h2`` library processes all frames that it is given before it returns, whatever they cost. Here it
processes a few at a time, so that others get their turn, and each frame is charged to a budget of the
connection (:mod:`..http2_budgets`). This module and :mod:`.http2_heads` are the only ones that touch private
parts of h2, hpack and hyperframe. Written against h2 4.4 and hpack 4.2; when they move, check

- that ``receive_data`` iterates over ``incoming_buffer``, and calls ``_receive_frame`` for each frame;
- that ``_data`` begins with the next frame, and ``_validate_frame_length`` checks the length of one;
- ``_update_header_buffer``;
- ``process_bytes`` and ``acknowledge_received_data``, which make WINDOW_UPDATE frames;
- what ``send_headers`` and ``send_data`` check and change, and ``_data_to_send``, to which they add frames;
- that ``encoder`` is used by its ``encode`` and ``header_table_size`` alone.
"""

import struct
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, StreamReset
from h2.exceptions import DenialOfServiceError, FrameDataMissingError, ProtocolError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes
from h2.stream import StreamInputs, StreamState
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from ..http2_budgets import FrameBudgets
from .hpack_decoder import MARGIN, FieldDecoder
from .hpack_encoder import FieldEncoder

_BYTES_EACH_TOKEN: Final = 1_024  # of a head that costs tokens for its size: decoding as many takes 0.1 ms
_FREE_HEAD_BYTES: Final = 16_384  # of an encoded head that is served: few servers accept more
_ENCODED_BYTES_MAX: Final = 131_072  # of a head, unless the limit is larger: decoding as many takes 10 ms
_FRAMES_EACH_CALL: Final = 16  # a frame takes 20 to 60 µs
_HEADER: Final = struct.Struct(">HBBBL")  # of a frame: the length in two parts, type, flags, stream
_HEADER_BYTES: Final = 9
_DATA: Final = DataFrame.type
_END_STREAM: Final = 0x1  # flags of HEADERS
_END_HEADERS: Final = 0x4
_ACK: Final = 0x1  # the flag of a SETTINGS frame
_KNOWN_SETTINGS: Final = frozenset(SettingCodes)

# Looked up once, because an access to a member of an enum takes 0.2 µs on Python 3.11.
_CONNECTION_OPEN: Final = ConnectionState.SERVER_OPEN
_STREAM_OPEN: Final = StreamState.OPEN
_REQUEST_ENDED: Final = StreamState.HALF_CLOSED_REMOTE
_SEND_HEADERS: Final = StreamInputs.SEND_HEADERS
_SEND_INFORMATIONAL: Final = StreamInputs.SEND_INFORMATIONAL_HEADERS
_SEND_END_STREAM: Final = StreamInputs.SEND_END_STREAM


class FrameReader(FrameBuffer):
    """The received bytes as frames, a few at a time.

    Args:
        max_head_bytes: the limit of a decoded head. It bounds the size of an encoded one, too, which may
            come in several frames (CONTINUATION).
        budgets: of the connection.

    Attributes:
        has_paused: there may be further frames; they are read by the next call of ``receive_data``.
    """

    def __init__(self, max_head_bytes: int, budgets: FrameBudgets) -> None:
        super().__init__(server=True)
        self.has_paused = False
        self._budgets = budgets
        self._max_bytes = max(max_head_bytes, min(MARGIN * max_head_bytes, _ENCODED_BYTES_MAX))
        self._head_bytes = 0
        self._frames_left = _FRAMES_EACH_CALL

    def add_data(self, data: Any) -> None:
        """Add received bytes, possibly none, and let a few frames be read."""
        super().add_data(data)
        self.has_paused = False
        self._frames_left = _FRAMES_EACH_CALL

    def pause(self) -> None:
        """Let no further frame be read by this call of ``receive_data``."""
        self._frames_left = 0

    def __next__(self) -> Frame:
        if self._frames_left <= 0:
            self.has_paused = True
            raise StopIteration
        self._frames_left -= 1
        self._check_header(self._data[:_HEADER_BYTES])
        return super().__next__()

    def _check_header(self, header: bytearray) -> None:
        """Check the header of the next frame, because h2 would receive 16 MB before it looked at its length.

        Raises:
            FrameTooLargeError: the frame is larger than was agreed (RFC 9113 section 4.2).
            FrameDataMissingError: an acknowledgement of settings has content (section 6.5).
        """
        if len(header) < _HEADER_BYTES:
            return
        length = int.from_bytes(header[:3], "big")
        self._validate_frame_length(length)
        if length and header[3] == SettingsFrame.type and header[4] & _ACK:
            raise FrameDataMissingError("An acknowledgement of settings must be empty")

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        """Add a frame to a head that is not complete.

        Raises:
            DenialOfServiceError: the head is too large, or its parts are empty.
        """
        complete = super()._update_header_buffer(f)
        if not self._headers_buffer:
            self._head_bytes = 0
            return complete
        size = len(self._headers_buffer[-1].data)
        if not size and not self._budgets.empty.take(1):
            raise DenialOfServiceError("Too many frames without content")
        self._head_bytes += size
        if self._head_bytes > self._max_bytes:
            raise DenialOfServiceError("The head of a request is too large")
        return complete


class BoundedConnection(H2Connection):
    """The protocol state of one connection, whose frames are charged to its budgets.

    Args:
        max_head_bytes: maximum size of a head.

    Attributes:
        budgets: of the connection.
        incoming_buffer: its frames; see :class:`FrameReader`.
    """

    incoming_buffer: FrameReader

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,  # see http2_fields
                normalize_inbound_headers=False,
            )
        )
        self.budgets = FrameBudgets()
        self.encoder: Any = FieldEncoder()
        self.decoder = FieldDecoder(MARGIN * max_head_bytes)
        self.incoming_buffer = FrameReader(max_head_bytes, self.budgets)

    @property
    def has_paused(self) -> bool:
        """There may be further frames, which ``receive_data(b"")`` processes."""
        return self.incoming_buffer.has_paused

    @property
    def unsent_bytes(self) -> int:
        """The size of the frames that ``data_to_send`` would return (bytes)."""
        return len(self._data_to_send)

    def release(self) -> None:
        """End the use of the connection: h2's table of methods refers to it in cycles."""
        self._frame_dispatch_table.clear()

    # --- sending ----------------------------------------------------------------------------------

    def send_headers(
        self, stream_id: int, headers: Any, end_stream: bool = False, *_: Any, **__: Any
    ) -> None:
        """Add the frames of a head, or of trailers.

        Args:
            stream_id: of a request.
            headers: fields, with ``:status`` as the first one of a head.
            end_stream: there is no body.

        Raises:
            ProtocolError: the stream is over, or a field must not be sent.
        """
        stream = self._get_stream_by_id(stream_id)
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        name, value = headers[0]
        is_informational = name == b":status" and value.startswith(b"1")
        machine = stream.state_machine
        machine.process_input(_SEND_INFORMATIONAL if is_informational else _SEND_HEADERS)
        block = self.encoder.encode(headers)
        if end_stream:
            machine.process_input(_SEND_END_STREAM)
        elif machine.trailers_sent:
            raise ProtocolError("Trailers must end their stream")
        kind, flags, frame_bytes = (
            HeadersFrame.type,
            _END_STREAM if end_stream else 0,
            self.max_outbound_frame_size,
        )
        while len(block) > frame_bytes:
            self._add_frame(kind, flags, stream_id, block[:frame_bytes])
            kind, flags, block = ContinuationFrame.type, 0, block[frame_bytes:]
        self._add_frame(kind, flags | _END_HEADERS, stream_id, block)

    def _add_frame(self, kind: int, flags: int, stream_id: int, content: bytes) -> None:
        size = len(content)
        self._data_to_send += _HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + content

    def try_send_data(self, stream_id: int, data: bytes) -> bool:
        """Add DATA frames for all of the data, if that is allowed; otherwise add nothing, and return False.

        The work of h2's ``send_data`` for the usual case alone: the windows of the connection and the stream
        have room, and neither has ended, so that their states do not change.
        """
        stream, size = self.streams.get(stream_id), len(data)
        if (
            stream is None
            or size > self.outbound_flow_control_window
            or size > stream.outbound_flow_control_window
            or self.state_machine.state is not _CONNECTION_OPEN
        ):
            return False
        state = stream.state_machine.state
        if state is not _REQUEST_ENDED and state is not _STREAM_OPEN:
            return False
        frame_bytes = self.max_outbound_frame_size
        if size <= frame_bytes:
            self._data_to_send += _HEADER.pack(size >> 8, size & 0xFF, _DATA, 0, stream_id) + data
        else:
            for start in range(0, size, frame_bytes):
                self._add_frame(_DATA, 0, stream_id, data[start : start + frame_bytes])
        self.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        return True

    # --- flow control: the connection's window apart from that of a stream ------------------------

    def acknowledge_on_connection(self, size: int) -> None:
        """Return credit to the connection's window, whose bytes a stream's own window bounds."""
        increment = self._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            frame = WindowUpdateFrame(0)
            frame.window_increment = increment
            self._prepare_for_sending([frame])

    def acknowledge_on_stream(self, size: int, stream_id: int) -> None:
        """Return credit to the window of a stream; does nothing where it is over."""
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self._prepare_for_sending(stream.acknowledge_received_data(size))

    # --- frames -----------------------------------------------------------------------------------

    def _receive_frame(self, frame: Frame) -> list[Event]:
        """Charge a frame, and process it.

        Raises:
            DenialOfServiceError: the client has overdrawn a budget.
            ProtocolError: the connection must be ended.
        """
        if isinstance(frame, RstStreamFrame) and frame.stream_id > self.highest_inbound_stream_id:
            raise ProtocolError("RST_STREAM of an idle stream")  # section 6.4; h2 ignores it
        if isinstance(frame, ContinuationFrame):
            raise ProtocolError("CONTINUATION without a head")  # section 6.10; h2 resets a closed stream
        is_open = self._is_open(frame.stream_id)
        self._charge(frame, is_open=is_open)
        events = super()._receive_frame(frame)
        if is_open and any(isinstance(event, StreamReset) and not event.remote_reset for event in events):
            self.charge_reset()
        return events

    def charge_head(self, encoded_bytes: int, *, is_refused: bool) -> None:
        """Charge a head by its size: one that is refused, or that is large.

        Raises:
            DenialOfServiceError: there were too many.
        """
        if not is_refused:
            self.budgets.note_request()
        if is_refused or encoded_bytes > _FREE_HEAD_BYTES:
            self.charge_reset(1 + encoded_bytes // _BYTES_EACH_TOKEN)

    def charge_reset(self, tokens: int = 1) -> None:
        """Charge a request that came to nothing.

        Raises:
            DenialOfServiceError: there were too many.
        """
        if not self.budgets.resets.take(tokens):
            raise DenialOfServiceError("Too many requests were reset or refused")

    def _charge(self, frame: Frame, *, is_open: bool) -> None:
        budgets, tokens = self.budgets, 1
        if isinstance(frame, HeadersFrame):
            if frame.stream_id <= self.highest_inbound_stream_id and not is_open:
                self.charge_reset(1 + len(frame.data) // _BYTES_EACH_TOKEN)
            return
        if isinstance(frame, RstStreamFrame) and is_open:
            self.charge_reset()
            return
        if isinstance(frame, DataFrame) and is_open:
            if not frame.data and "END_STREAM" not in frame.flags and not budgets.empty.take(1):
                raise DenialOfServiceError("Too many frames without content")
            return
        if isinstance(frame, SettingsFrame):
            tokens += len(self.streams)  # each of them may get another window
        if not budgets.take_control(tokens):
            raise DenialOfServiceError("Too many control frames")

    def _is_open(self, stream_id: int) -> bool:
        stream = self.streams.get(stream_id)
        return stream is not None and not stream.closed

    def _receive_settings_frame(self, frame: SettingsFrame) -> tuple[list[Frame], list[Event]]:
        """Receive settings; unknown ones are ignored (RFC 9113 section 6.5.2), and not kept."""
        frame.settings = {code: value for code, value in frame.settings.items() if code in _KNOWN_SETTINGS}
        return super()._receive_settings_frame(frame)


def error_of(error: Exception) -> str | None:
    """Return what a client has done too often; None for another error."""
    is_flood = getattr(error, "error_code", None) is ErrorCodes.ENHANCE_YOUR_CALM
    return str(error) if is_flood else None
