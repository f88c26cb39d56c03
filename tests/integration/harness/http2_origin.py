"""Http2Origin: an upstream server that speaks HTTP/2, by python3-h2, and does what the test says.

The test plays it step by step: `asked = origin.request()` is the next request whose head has come, and `asked.respond(...)`,
`asked.reset(...)`, `asked.connection.goaway(...)` are what it gets. With a script, a function of one request, each request runs it
in a thread of its own.
"""

import queue
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes

from .deadline import DEADLINE, wait_until
from .wire import address_of


def frames_of(data):
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        yield data[:size]
        data = data[size:]


class Http2Request:
    def __init__(self, connection, stream, headers):
        self.connection = connection
        self.stream = stream
        self.headers = headers    # pseudo-header fields too, in order
        self.body = bytearray()
        self.trailers = None
        self.complete = threading.Event()
        self.cancelled = threading.Event()  # the gateway sent RST_STREAM
        self.cancel_code = None

    def get(self, name):
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def target(self):
        return self.get(":path")

    def read(self):
        """The whole body."""
        assert self.complete.wait(DEADLINE), f"the request's body did not end: {len(self.body)} bytes"
        return bytes(self.body)

    def head(self, status=200, fields=(), end=False):
        with self.connection.speaking() as speaker:
            speaker.send_headers(self.stream, [(":status", str(status)), *fields], end_stream=end)
        return self

    def data(self, body=b"", end=False):
        """As the gateway's windows allow it."""
        left = memoryview(body)
        while left:
            with self.connection.speaking() as speaker:
                assert self.connection.changed.wait_for(
                    lambda: self.connection.over or self.cancelled.is_set() or speaker.local_flow_control_window(self.stream) > 0, DEADLINE), "no window"
                if self.connection.over:
                    raise ConnectionError("the gateway closed the connection")
                size = min(len(left), speaker.local_flow_control_window(self.stream), speaker.max_outbound_frame_size)
                speaker.send_data(self.stream, bytes(left[:size]))
            left = left[size:]
        if end:
            with self.connection.speaking() as speaker:
                speaker.end_stream(self.stream)
        return self

    def data_until_over(self, body):
        """As data(), until the gateway cancels the stream or is gone."""
        try:
            self.data(body, end=True)
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass

    def trail(self, fields):
        with self.connection.speaking() as speaker:
            speaker.send_headers(self.stream, fields, end_stream=True)

    def respond(self, body=b"", status=200, fields=()):
        if not body:
            return self.head(status, fields, end=True)
        return self.head(status, fields).data(body, end=True)

    def reset(self, code=ErrorCodes.INTERNAL_ERROR):
        with self.connection.speaking() as speaker:
            speaker.reset_stream(self.stream, code)


class Http2Connection:
    def __init__(self, origin, accepted):
        self.origin = origin
        self.socket = accepted
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.requests = {}
        self.over = False
        self.pings = 0           # of the gateway's
        self.pongs = 0           # its answers to ours
        self.goaway_code = None  # of the gateway's
        self.protocol = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=True))
        self.protocol.local_settings = h2.settings.Settings(client=False, initial_values=origin.settings)
        self.most_at_once = 0

    class _Speaking:
        def __init__(self, connection):
            self.connection = connection

        def __enter__(self):
            self.connection.lock.acquire()
            return self.connection.protocol

        def __exit__(self, *_):
            try:
                self.connection.flush()
            finally:
                self.connection.lock.release()

    def speaking(self):
        return self._Speaking(self)

    def flush(self):
        data = self.protocol.data_to_send()
        if not self.origin.answers_pings:
            data = b"".join(frame for frame in frames_of(data) if frame[3] != 6)
        if data:
            self.raw(data)

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.over = True

    def goaway(self, last, code=0):
        """Streams above `last` were not processed; those up to it may go on."""
        frame = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last.to_bytes(4, "big") + code.to_bytes(4, "big")
        with self.lock:
            self.raw(frame)

    def change(self, **settings):
        """For example MAX_CONCURRENT_STREAMS=1."""
        with self.speaking() as speaker:
            speaker.update_settings({getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()})

    def settle(self):
        """What was sent has come to the gateway, and had its effect."""
        with self.speaking() as speaker:
            awaited = self.pongs + 1
            speaker.ping(b"settling")
        with self.changed:
            assert self.changed.wait_for(lambda: self.pongs >= awaited, DEADLINE), "no answer to a PING"

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self):
        with self.speaking() as speaker:
            speaker.initiate_connection()
        try:
            while self.origin.reads.wait(DEADLINE) and (data := self.socket.recv(65536)):
                if self.origin.read_pause:
                    self.origin.stopping.wait(self.origin.read_pause)
                with self.speaking() as speaker:
                    for event in speaker.receive_data(data):
                        self.on_event(event)
                    self.changed.notify_all()
        except (OSError, h2.exceptions.ProtocolError) as failure:
            if isinstance(failure, h2.exceptions.ProtocolError) and not self.origin.lax:
                self.origin.failures.append(failure)
        finally:
            with self.lock:
                self.over = True
                self.changed.notify_all()
            self.socket.close()

    def on_event(self, event):
        asked = self.requests.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            asked = self.requests[event.stream_id] = Http2Request(self, event.stream_id, event.headers)
            self.most_at_once = max(self.most_at_once, self.protocol.open_inbound_streams)
            self.origin.on_request(asked)
        elif isinstance(event, h2.events.DataReceived):
            asked.body += event.data
            self.origin.body_bytes += len(event.data)
            if event.flow_controlled_length and not self.origin.holds_windows:
                self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            asked.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            asked.complete.set()
        elif isinstance(event, h2.events.StreamReset):
            asked.cancel_code = event.error_code
            asked.cancelled.set()
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway_code = event.error_code


class Http2Origin:
    """`settings`: {SettingCodes.X: value}, said at the start. `tls`: an ssl.SSLContext. `lax`: the gateway may be told nonsense."""

    def __init__(self, script=None, settings=None, tls=None, lax=False, raw=None, receive_buffer=0, answers_pings=True,
                 read_pause=0):
        self.script = script
        self.raw = raw          # instead of HTTP/2: what is sent to each connection, before all else
        self.settings = settings or {}
        self.tls = tls
        self.lax = lax
        self.answers_pings = answers_pings
        self.read_pause = read_pause  # seconds between reads, each of 64 KiB: a slow link
        self.stopping = threading.Event()
        self.holds_windows = False
        self.reads = threading.Event()  # cleared: what is sent stays in the sockets
        self.reads.set()
        self.body_bytes = 0
        self.requests = []
        self.arrived = queue.Queue()
        self.connections = []
        self.protocols = []     # what ALPN chose, by connection
        self.failures = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.endpoint = address_of(self.listener.getsockname())

    def on_request(self, asked):
        self.requests.append(asked)
        self.arrived.put(asked)
        if self.script:
            self.start(self.run_script, asked)

    def run_script(self, asked):
        try:
            self.script(asked)
        except Exception as failure:  # pylint: disable=broad-except
            if not asked.connection.over and not asked.cancelled.is_set():
                self.failures.append(failure)

    def request(self):
        """The next request whose head came."""
        return self.arrived.get(timeout=DEADLINE)

    def wait_for_connections(self, count):
        wait_until(lambda: len(self.connections) >= count, f"{count} connections are there")

    def refuse(self):
        self.listener.close()

    def start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept_all(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            self.start(self.serve, accepted)

    def serve(self, accepted):
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            try:
                accepted = self.tls.wrap_socket(accepted, server_side=True)
            except OSError:
                return
            self.protocols.append(accepted.selected_alpn_protocol())
        connection = Http2Connection(self, accepted)
        self.connections.append(connection)
        if self.raw is None:
            return connection.run()
        connection.raw(self.raw)
        try:
            while accepted.recv(65536):
                pass
        except OSError:
            pass
        connection.over = True

    def __enter__(self):
        self.start(self.accept_all)
        return self

    def __exit__(self, kind, *_):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.reads.set()
        self.stopping.set()
        for connection in self.connections:
            connection.close()
        for thread in self.threads:
            thread.join(DEADLINE)
        if kind is None and self.failures:
            raise self.failures[0]
