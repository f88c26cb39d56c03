"""HTTP/1.x as bytes on a socket, with no library that would tidy anything up.

Peer is one end of a TCP connection: it sends exactly the bytes given and tells a clean end (FIN) from a reset (RST).
RawClient is a Peer that reads responses; harness.origin has the one that reads requests. The parser is deliberately
stricter than HTTP asks: it is the judge of what the gateway writes, so anything odd raises NotHttp.
"""

import contextlib
import enum
import re
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

from .deadline import DEADLINE


class NotHttp(AssertionError):
    """The peer wrote something that a strict reader of RFC 9112 refuses."""


class End(enum.Enum):
    complete = "the message ended where its framing says"
    eof = "the peer sent FIN"
    reset = "the peer sent RST"
    cut = "the peer sent FIN where TLS asks for a close_notify"


class PeerEnded(Exception):
    """The peer ended the connection where more bytes were needed."""

    def __init__(self, end, received):
        super().__init__(f"{end.value}, after {len(received)} bytes: {received[:200]!r}")
        self.end = end
        self.received = received


TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
REQUEST_LINE = re.compile(rb"(%b) ([\x21-\xff]+) HTTP/1\.1" % TOKEN.pattern)
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
VISIBLE = rb"[\x21-\x7e\x80-\xff]"
FIELD_LINE = re.compile(rb"(%b): ?((?:%b(?:[\t\x20-\x7e\x80-\xff]*%b)?)?)" % (TOKEN.pattern, VISIBLE, VISIBLE))
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})")


@dataclass
class Message:
    first_line: str
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)
    end: End = End.complete
    interim: list = field(default_factory=list)  # responses: the 1xx before it

    def get(self, name):
        """The field's value, None without one; a field that is there twice fails the test."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def names(self):
        return {key.lower() for key, _ in self.headers}

    @property
    def chunked(self):
        return self.get("transfer-encoding") == "chunked"

    # requests
    @property
    def method(self):
        return self.first_line.split(" ")[0]

    @property
    def target(self):
        return self.first_line.split(" ")[1]

    # responses
    @property
    def status(self):
        return int(self.first_line.split(" ")[1])


def parse_fields(lines):
    fields = []
    for line in lines:
        match = FIELD_LINE.fullmatch(line)
        if not match:
            raise NotHttp(f"not a field line: {line!r}")
        fields.append((match[1].decode(), match[2].decode("latin-1")))
    return fields


def parse_head(block, first_line):
    """`block` is a head without its empty line; `first_line` the pattern that its first line must match."""
    lines = block.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines):
        raise NotHttp(f"bare CR, LF or NUL in a head: {block!r}")
    if not first_line.fullmatch(lines[0]):
        raise NotHttp(f"not a first line: {lines[0]!r}")
    return Message(lines[0].decode("latin-1"), parse_fields(lines[1:]))


def family_and_place(address):
    """What the socket module calls "127.0.0.1:80", "[::1]:80" and "unix:/run/x.sock"."""
    if address.startswith("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    host, port = address.rsplit(":", 1)
    return (socket.AF_INET6 if host.startswith("[") else socket.AF_INET), (host.strip("[]"), int(port))


def address_of(place):
    """The other way round; a unix socket without a name has an empty place."""
    if isinstance(place, (str, bytes)):
        return f"unix:{place}"
    host, port = place[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Peer:
    """One end of a connection. Every wait has the harness's deadline."""

    def __init__(self, connected):
        self.socket = connected
        self.socket.settimeout(DEADLINE)
        if connected.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()  # received, not yet taken by a read

    # --- writing ---
    def send(self, *pieces):
        """Each piece leaves in a write of its own."""
        for piece in pieces:
            self.socket.sendall(piece.encode("latin-1") if isinstance(piece, str) else piece)
        return self

    def send_if_open(self, *pieces):
        """As send(), for bytes that the other side may refuse half-way; False if it did."""
        try:
            self.send(*pieces)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def send_in_background(self, data):
        """For more than the socket buffers hold; the thread returned ends with the connection, whoever ends that."""

        def send():
            with contextlib.suppress(OSError):
                self.send(data)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread

    def half_close(self):
        """Sends FIN; nothing if the connection is over already."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # --- reading ---
    def receive(self):
        """Some more bytes into the buffer; PeerEnded if there are no more."""
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            raise PeerEnded(End.reset, bytes(self.buffer)) from None
        if not data:
            raise PeerEnded(End.eof, bytes(self.buffer))
        self.on_received(data)
        self.buffer += data

    def on_received(self, data):
        """Sees every byte that arrives; for recording."""

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_exactly(self, count):
        while len(self.buffer) < count:
            self.receive()
        return self.take(count)

    def read_through(self, marker):
        """Everything up to and with `marker`."""
        searched = 0
        while (at := self.buffer.find(marker, searched)) < 0:
            searched = max(0, len(self.buffer) - len(marker) + 1)
            self.receive()
        return self.take(at + len(marker))

    def read_to_end(self):
        """All that still comes, and how it ended."""
        try:
            while True:
                self.receive()
        except PeerEnded as ended:
            self.buffer.clear()
            return ended.received, ended.end

    def wait_closed(self):
        """Waits for the end of the connection; fails if a byte comes before it."""
        data, end = self.read_to_end()
        assert data == b"", f"bytes before the end: {data[:300]!r}"
        return end

    def is_silent(self):
        """True if at this moment neither bytes nor an end have arrived."""
        if self.buffer:
            return False
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.socket.settimeout(DEADLINE)

    def read_head(self, first_line):
        return parse_head(self.read_through(b"\r\n\r\n")[:-4], first_line)

    def read_chunk(self):
        """The payload of one chunk; b"" for the last one, whose trailer section is still to be read."""
        match = CHUNK_LINE.fullmatch(line := self.read_through(b"\r\n")[:-2])
        if not match:
            raise NotHttp(f"not a chunk size: {line!r}")
        size = int(match[1], 16)
        if size == 0:
            return b""
        data = self.read_exactly(size + 2)
        if data[-2:] != b"\r\n":
            raise NotHttp(f"no CR LF after a chunk: {data[-20:]!r}")
        return data[:-2]

    def read_trailers(self):
        lines = []
        while (line := self.read_through(b"\r\n")[:-2]) != b"":
            lines.append(line)
        return parse_fields(lines)

    def read_body(self, message, otherwise):
        """Fills in body, trailers and end by the message's framing; `otherwise` is what no framing field means."""
        body = bytearray()
        try:
            self._read_body(message, otherwise, body)
        except PeerEnded as ended:
            message.end = ended.end
            if message.get("content-length") is not None or otherwise == "until_close":
                body += self.take(len(self.buffer))
        message.body = bytes(body)
        return message

    def _read_body(self, message, otherwise, body):
        length = message.get("content-length")
        coding = message.get("transfer-encoding")
        if coding is not None:
            if coding != "chunked" or length is not None:
                raise NotHttp(f"framing of a body: {message.headers}")
            while chunk := self.read_chunk():
                body += chunk
            message.trailers = self.read_trailers()
        elif length is not None:
            if not length.isdecimal():
                raise NotHttp(f"content-length: {length!r}")
            while len(body) < int(length):
                if not self.buffer:
                    self.receive()
                body += self.take(int(length) - len(body))
        elif otherwise == "until_close":
            while True:
                body += self.take(len(self.buffer))
                self.receive()


class RawClient(Peer):
    """A client of the gateway that says exactly what it is told to say."""

    def __init__(self, address, receive_buffer=None, tls=None, server_name=None, source=None):
        """`address` as a configuration writes it; `tls`: an ssl.SSLContext, to speak it; `source`: (host, port) to come from."""
        family, place = family_and_place(address)
        connecting = socket.socket(family)
        if source:
            connecting.bind(source)
        if receive_buffer:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connecting.settimeout(DEADLINE)
        connecting.connect(place)
        if tls:
            tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # a cut end must not look like a good one
        try:
            super().__init__(tls.wrap_socket(connecting, server_hostname=server_name, suppress_ragged_eofs=False) if tls else connecting)
        except BaseException:
            connecting.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return address_of(self.socket.getsockname())

    def read_response(self, to="GET"):
        """The next final response (its 1xx in .interim). A body cut short shows in .end; no head at all is PeerEnded."""
        interim = []
        while (response := self.read_head(STATUS_LINE)).status < 200 and response.status != 101:
            interim.append(response)
        response.interim = interim
        if to == "HEAD" or response.status in (101, 204, 304):
            return response
        self.read_body(response, "until_close")
        framed = response.get("content-length") is not None or response.get("transfer-encoding") is not None
        if not framed and response.end is End.eof:
            response.end = End.complete  # that is how such a body ends
        return response

    def ask(self, method, path, headers=(), body=None, version="1.1", host="test.local"):
        """Sends one well-formed request and reads its answer."""
        self.send(request(method, path, headers, body, version, host))
        return self.read_response(to=method)

    def get(self, path, headers=()):
        return self.ask("GET", path, headers)


def fields_of(headers):
    return headers.items() if isinstance(headers, dict) else headers


def request(method="GET", path="/", headers=(), body=None, version="1.1", host="test.local"):
    """A well-formed request; a body brings its Content-Length unless the headers frame it."""
    lines = [f"{method} {path} HTTP/{version}"] + ([f"Host: {host}"] if host is not None else [])
    lines += [f"{name}: {value}" for name, value in fields_of(headers)]
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields_of(headers))
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def response(body=b"", status=200, headers=(), phrase="OK", framed=True):
    """A well-formed response; `framed=False` leaves out Content-Length."""
    lines = [f"HTTP/1.1 {status} {phrase}"] + [f"{name}: {value}" for name, value in fields_of(headers)]
    if framed:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(*pieces, trailers=()):
    """The pieces in the chunked coding, complete."""
    tail = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + tail.encode() + b"\r\n"


CHUNKED = (("Transfer-Encoding", "chunked"),)
