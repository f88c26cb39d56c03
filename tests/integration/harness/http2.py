"""Http2Client: HTTP/2 frame by frame. It sends exactly what it is told to, and reads with a strict eye; every wait has the harness's
deadline. What is sent is encoded by literals only (RFC 7541 §6.2.2), so that any bytes can stand in a field.

It answers SETTINGS and PING, and gives windows back as it reads, unless it was told not to.
"""

import enum
import struct
import time
from dataclasses import dataclass, field

import hpack

from .deadline import DEADLINE
from .wire import PeerEnded, RawClient, fields_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Frame(enum.IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(enum.IntFlag):
    ACK = 1
    END_STREAM = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


class Setting(enum.IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(enum.IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """`length`: what the frame says of itself, if that is not to be the truth."""
    return struct.pack(">I", len(payload) if length is None else length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(values, **more):
    return frame(Frame.SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in values.items()), **more)


def window_update(stream, increment):
    return frame(Frame.WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def rst_stream(stream, code=Code.CANCEL):
    return frame(Frame.RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def goaway(last=0, code=Code.NO_ERROR):
    return frame(Frame.GOAWAY, payload=struct.pack(">II", last, code))


def integer(value, prefix_bits, first=0):
    """RFC 7541 §5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out = bytearray([first | most])
    value -= most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def raw(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def literal(name, value, first=0x00):
    """`first`: 0x00 without indexing; 0x40, which adds it to the table, has a prefix of its own but the same form for new names."""
    name, value = raw(name), raw(value)
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields):
    return b"".join(literal(name, value) for name, value in fields_of(fields))


def head(method="GET", path="/", headers=(), scheme="http", authority="test.local"):
    """The fields of a well-formed request; None leaves a pseudo-header out."""
    pseudo = {":method": method, ":scheme": scheme, ":path": path, ":authority": authority}
    return [*((name, value) for name, value in pseudo.items() if value is not None), *fields_of(headers)]


def headers(stream, fields, end_stream=True, end_headers=True, flags=0):
    """A HEADERS frame. `fields`: as head() makes them, or a header block."""
    payload = fields if isinstance(fields, bytes) else block(fields)
    flags |= (Flag.END_STREAM if end_stream else 0) | (Flag.END_HEADERS if end_headers else 0)
    return frame(Frame.HEADERS, flags, stream, payload)


def data(stream, payload=b"", end_stream=False, padding=None):
    flags = Flag.END_STREAM if end_stream else 0
    if padding is not None:
        payload = bytes([padding]) + payload + bytes(padding)
        flags |= Flag.PADDED
    return frame(Frame.DATA, flags, stream, payload)


@dataclass
class Answer:
    """What came on one stream."""
    status: int = 0
    headers: list = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # of (status, headers)
    complete: bool = False
    reset: int | None = None  # the code of RST_STREAM

    @property
    def over(self):
        return self.complete or self.reset is not None

    def get(self, name):
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def first_line(self):
        return f":status {self.status}"


class GoneAway(AssertionError):
    """The gateway sent GOAWAY where an answer was waited for."""


class Http2Client(RawClient):
    def __init__(self, address, initial={}, gives_windows=True, greets=True, **options):
        """`initial`: the settings that it begins with. `options`: as for RawClient."""
        if options.get("tls"):
            options["tls"].set_alpn_protocols(["h2"])
        super().__init__(address, **options)
        self.scheme = "https" if options.get("tls") else "http"
        self.gives_windows = gives_windows
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.answers = {}
        self.settings = {}       # the gateway's
        self.goaways = []        # (last stream, code)
        self.pongs = []
        self.settings_acks = 0
        self.windows = {}        # what was given to us, by stream
        self.next_stream = 1
        self.stream_of_block = None
        if greets:
            self.send(PREFACE + settings(initial))

    # --- sending ---
    def open(self):
        """The next stream's number."""
        self.next_stream += 2
        return self.next_stream - 2

    def begin(self, method="GET", path="/", fields=(), end_stream=True, authority="test.local"):
        """Sends a request's head on a new stream, whose number it returns."""
        stream = self.open()
        self.send(headers(stream, head(method, path, fields, self.scheme, authority), end_stream))
        return stream

    def send_data(self, stream, payload, end_stream=True):
        """In frames of the usual size, and within the windows."""
        view = memoryview(payload)
        while True:
            room = min(self.window(stream), self.window(0), 16384)
            if room <= 0 and len(view) > 0:
                if stream in self.answers and self.answers[stream].over:
                    return
                self.receive_frame()
                continue
            piece, view = view[:room], view[room:]
            self.windows[stream] -= len(piece)
            self.windows[0] -= len(piece)
            self.send(data(stream, bytes(piece), end_stream and len(view) == 0))
            if len(view) == 0:
                return

    def window(self, stream):
        while Setting.INITIAL_WINDOW_SIZE not in self.settings:
            self.receive_frame()
        return self.windows.setdefault(stream, 65535 if stream == 0 else self.settings[Setting.INITIAL_WINDOW_SIZE])

    def ask(self, method, path="/", headers=(), body=None, authority="test.local"):
        """One well-formed request and its answer."""
        stream = self.begin(method, path, headers, end_stream=body is None, authority=authority)
        if body is not None:
            self.send_data(stream, body)
        return self.wait(stream)

    def get(self, path="/", headers=()):
        return self.ask("GET", path, headers)

    # --- receiving ---
    def receive_frame(self):
        """The next frame, acted upon: (kind, flags, stream, payload)."""
        length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + self.read_exactly(9))
        payload = self.read_exactly(length)
        assert length <= 16384, "longer than SETTINGS_MAX_FRAME_SIZE"
        assert self.stream_of_block is None or (kind, stream) == (Frame.CONTINUATION, self.stream_of_block[0]), "a block is interrupted"
        getattr(self, f"_on_{Frame(kind).name.lower()}")(flags, stream, payload)
        return Frame(kind), flags, stream, payload

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def _on_data(self, flags, stream, payload):
        assert not flags & Flag.PADDED
        answer = self.answers[stream]
        assert answer.status and not answer.over, "DATA outside an answer"
        answer.body += payload
        answer.complete = bool(flags & Flag.END_STREAM)
        if self.gives_windows and payload:
            self.send_if_open(window_update(0, len(payload)) + (b"" if answer.complete else window_update(stream, len(payload))))

    def _on_headers(self, flags, stream, payload):
        assert not flags & (Flag.PADDED | Flag.PRIORITY)
        self.stream_of_block = (stream, flags, payload)
        self._end_block(flags)

    def _on_continuation(self, flags, stream, payload):
        stream, first_flags, before = self.stream_of_block
        self.stream_of_block = (stream, first_flags, before + payload)
        self._end_block(flags)

    def _end_block(self, flags):
        if not flags & Flag.END_HEADERS:
            return
        stream, first_flags, payload = self.stream_of_block
        self.stream_of_block = None
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.decoder.decode(payload, raw=True)]
        assert all(name == name.lower() for name, _ in fields), fields
        assert not {"connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"} & {name for name, _ in fields}, fields
        answer = self.answer(stream)
        assert not answer.over, "HEADERS behind the end"
        if answer.status:
            assert first_flags & Flag.END_STREAM and not any(name.startswith(":") for name, _ in fields), "not trailers"
            answer.trailers = fields
        else:
            assert [name for name, _ in fields if name.startswith(":")] == [":status"] == [fields[0][0]], fields
            status = int(fields[0][1])
            if status < 200:
                return answer.interim.append((status, fields[1:]))
            answer.status, answer.headers = status, fields[1:]
        answer.complete = bool(first_flags & Flag.END_STREAM)

    def _on_rst_stream(self, flags, stream, payload):
        answer = self.answer(stream)
        assert answer.reset is None
        answer.reset = struct.unpack(">I", payload)[0]

    def _on_settings(self, flags, stream, payload):
        if flags & Flag.ACK:
            self.settings_acks += 1
            return
        for at in range(0, len(payload), 6):
            key, value = struct.unpack_from(">HI", payload, at)
            self.settings[key] = value
        self.settings.setdefault(Setting.INITIAL_WINDOW_SIZE, 65535)
        self.send_if_open(frame(Frame.SETTINGS, Flag.ACK))

    def _on_ping(self, flags, stream, payload):
        if flags & Flag.ACK:
            self.pongs.append(payload)
        else:
            self.send_if_open(frame(Frame.PING, Flag.ACK, payload=payload))

    def _on_goaway(self, flags, stream, payload):
        self.goaways.append(struct.unpack(">II", payload[:8]))

    def _on_window_update(self, flags, stream, payload):
        increment = struct.unpack(">I", payload)[0]
        assert increment > 0
        if stream == 0 or stream in self.windows:
            self.windows[stream] = self.window(stream) + increment

    # --- waiting ---
    def wait(self, stream):
        """The answer on that stream, once it is over."""
        return self.wait_for(lambda: stream in self.answers and self.answers[stream].over and self.answers[stream])

    def wait_for(self, condition):
        """Reads until the condition holds; returns what it says."""
        end = time.monotonic() + DEADLINE
        while not (value := condition()):
            assert time.monotonic() < end, f"not within {DEADLINE} s"
            if any(code != Code.NO_ERROR for _, code in self.goaways):
                raise GoneAway(f"{self.goaways}")
            self.receive_frame()
        return value

    def ping(self):
        """Returns when the gateway has looked at all that was sent before."""
        self.payload = struct.pack(">Q", len(self.pongs) + 1)
        self.send(frame(Frame.PING, payload=self.payload))
        self.wait_for(lambda: self.payload in self.pongs)

    def read_goaway(self):
        """Reads up to the connection's end, and returns the code of the last GOAWAY, None without one."""
        try:
            while True:
                self.receive_frame()
        except PeerEnded as ended:
            assert not ended.received, f"half a frame at the end: {ended.received!r}"
        return self.goaways[-1][1] if self.goaways else None
