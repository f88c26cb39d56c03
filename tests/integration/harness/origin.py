"""RawOrigin: an upstream server that records the exact bytes of each connection and does what the test says.

Two ways to use it. Without a script the test plays the origin itself, step by step: `connection = origin.accept()`,
`connection.read_request()`, `connection.send(...)`. With a script, a function of one connection, every connection
runs it in a thread of its own; a script that ends closes its connection, and a script that fails fails the test.
"""

import queue
import socket
import ssl
import threading

from .deadline import DEADLINE
from .wire import End, Peer, PeerEnded, REQUEST_LINE, address_of, family_and_place, response


class OriginConnection(Peer):
    def __init__(self, origin, accepted, number):
        super().__init__(accepted)
        self.origin = origin
        self.number = number
        self.received = bytearray()  # every byte, as it came
        self.ended = None            # an End, once the gateway's end was read

    def on_received(self, data):
        if self.origin.recording:
            self.received += data

    def secure(self):
        """The TLS handshake; PeerEnded if it fails."""
        origin = self.origin
        try:
            self.socket = origin.tls.wrap_socket(self.socket, server_side=True, suppress_ragged_eofs=False)
        except OSError as failure:  # an SSLError is one
            origin.refusals.append(failure)
            raise PeerEnded(End.reset, b"") from failure
        origin.handshakes.append((self.socket.version(), self.socket.session_reused, self.socket.selected_alpn_protocol()))

    def say_end(self):
        """Sends close_notify and goes on reading. Over TLS close() alone says nothing: it cuts the connection."""
        self.socket.settimeout(0)
        try:
            self.socket.unwrap()
        except ssl.SSLWantReadError:
            pass  # it would wait for the gateway's
        finally:
            self.socket.settimeout(DEADLINE)

    def receive(self):
        try:
            super().receive()
        except PeerEnded as ended:
            self.ended = ended.end
            raise
        except ssl.SSLZeroReturnError:  # an end, after say_end()
            self.ended = End.eof
            raise PeerEnded(End.eof, bytes(self.buffer)) from None
        except ssl.SSLError as failure:
            if failure.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise
            self.ended = End.cut
            raise PeerEnded(End.cut, bytes(self.buffer)) from None

    def read_request_head(self):
        message = self.read_head(REQUEST_LINE)
        message.connection = self
        return message

    def read_request(self):
        """The next request with its body; PeerEnded if none comes."""
        message = self.read_body(self.read_request_head(), "none")
        if message.end is not End.complete:
            raise PeerEnded(message.end, message.body)
        with self.origin.lock:
            self.origin.requests.append(message)
        return message

    def answer(self, *pieces):
        """Reads one request, sends the pieces, returns the request."""
        message = self.read_request()
        self.send(*pieces)
        return message

    def drain(self):
        """Reads up to the gateway's end of the connection; returns how it ended."""
        return self.read_to_end()[1]


class RawOrigin:
    def __init__(self, script=None, recording=True, backlog=512, address="127.0.0.1:0", tls=None):
        """`tls`: an ssl.SSLContext; without one it speaks in the clear."""
        self.script = script
        self.tls = tls
        if tls:
            tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # to Python a cut is an end, if nobody says this
        self.handshakes = []   # those that succeeded: (version, whether a session was taken up again, ALPN's protocol)
        self.refusals = []     # the errors of those that did not
        self.recording = recording
        self.lock = threading.Lock()
        self.requests = []     # every complete request, in order of arrival
        self.connections = []  # every connection accepted
        self.failures = []
        self.accepted = queue.Queue()
        self.stopping = threading.Event()  # scripts that wait for something wait for this too
        family, place = family_and_place(address)
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(place)
        self.listener.listen(backlog)
        self.endpoint = address_of(self.listener.getsockname())
        self.threads = [threading.Thread(target=self._accept_all, daemon=True)]

    @property
    def targets(self):
        with self.lock:
            return [message.target for message in self.requests]

    def __enter__(self):
        self.threads[0].start()
        return self

    def refuse(self):
        """From now on connections are refused; those that are open stay."""
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.refuse()
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(DEADLINE)
        for connection in self.connections:
            connection.close()
        if kind is None and self.failures:
            raise self.failures[0]

    def accept(self):
        """The next connection that nobody has taken yet; for origins without a script."""
        try:
            connection = self.accepted.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError("the gateway opened no connection to the origin") from None
        if self.tls:
            connection.secure()
        return connection

    def answer(self, *pieces):
        """Accepts the next connection and answers its first request; returns (connection, request)."""
        connection = self.accept()
        return connection, connection.answer(*pieces)

    def _accept_all(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            connection = OriginConnection(self, accepted, len(self.connections))
            self.connections.append(connection)
            if self.script is None:
                self.accepted.put(connection)
            else:
                thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _run(self, connection):
        try:
            if self.tls:
                connection.secure()
            connection.socket.settimeout(None)  # it may idle as long as the test runs; __exit__ ends it
            self.script(connection)
        except (PeerEnded, BrokenPipeError, ConnectionResetError):
            pass  # the gateway ended it: what it means is the test's business
        except Exception as failure:  # noqa: BLE001 a script's failure is the test's failure, told at the end
            if not self.stopping.is_set():
                self.failures.append(failure)
        finally:
            if connection.socket.fileno() >= 0:
                connection.close()


def answering(*pieces):
    """A script: each request gets these bytes, or what the function given returns for it, and the connection lives on."""

    def script(connection):
        while True:
            message = connection.read_request()
            for piece in pieces:
                connection.send(piece(message) if callable(piece) else piece)

    return script


def echo(message):
    """What the origin saw, as the body of its answer."""
    return response(message.body, headers=[("X-Method", message.method), ("X-Target", message.target)])


def greeting(name):
    """A script: each request gets `name` as its body."""
    return answering(response(name.encode() if isinstance(name, str) else name))


OK = response(b"ok")
