"""WebSocket over HTTP/2 (RFC 8441): the extended CONNECT of a client becomes an Upgrade for an endpoint that speaks HTTP/1.1. The
client is python3-h2 with frames of RFC 6455 made here; the server is a real one."""

import asyncio
import contextlib
import http
import os
import random
import socket
import struct

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import websockets

from harness import DEADLINE, End, Sluice, in_background, proxy_config, proxying, wait_until
from harness.http2 import head, headers

TEXT, BINARY, CLOSE = 1, 2, 8


class Http2Socket:
    """One WebSocket as a stream of a connection of its own."""

    def __init__(self, address, path="/chat", protocol="websocket", more=()):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), DEADLINE)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.data, self.ended, self.reset, self.headers = bytearray(), False, None, None
        self._flush()
        while not self.connection.remote_settings.enable_connect_protocol:
            self._read()
        self.stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(self.stream, [
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path), (":authority", "chat.test"),
            ("sec-websocket-version", "13"), *more])
        self._flush()
        while self.headers is None and self.reset is None:
            self._read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def _read(self):
        received = self.socket.recv(65536)
        assert received, "the connection ended"
        for event in self.connection.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.data += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset = event.error_code
        self._flush()

    def send(self, kind, payload):
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | kind])
        head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size) if size < 65536 else bytes([0x80 | 127]) + struct.pack(">Q", size)
        masked = bytes(a ^ b for a, b in zip(payload, mask * (size // 4 + 1)))
        self.send_bytes(head + mask + masked)

    def send_bytes(self, data, end=False):
        while data:
            room = min(self.connection.local_flow_control_window(self.stream), self.connection.max_outbound_frame_size, len(data))
            if room == 0:
                self._read()
                continue
            self.connection.send_data(self.stream, data[:room])
            data = data[room:]
            self._flush()
        if end:
            self.connection.end_stream(self.stream)
            self._flush()

    def _take(self, count):
        while len(self.data) < count:
            assert not self.ended and self.reset is None, (self.ended, self.reset)
            self._read()
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def receive(self):
        first, size = self._take(2)
        size &= 0x7f
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        return first & 0xf, self._take(size)

    def wait_end(self):
        while not self.ended and self.reset is None:
            self._read()


def chatting(talk, seen=None):
    """Runs `talk(gateway)` before a server that echoes; `seen` gets each socket's path and close code."""

    async def serve(server):
        asked = server.request_headers
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in server:
                await server.send(message)
        if seen is not None:
            seen.append((server.path, asked, server.close_code))

    async def main():
        async with websockets.serve(serve, "127.0.0.1", 0, max_size=None, compression=None, subprotocols=["chat"]) as serving:
            port = serving.sockets[0].getsockname()[1]
            with Sluice(proxy_config(f"127.0.0.1:{port}")) as gateway:
                await asyncio.wait_for(asyncio.to_thread(talk, gateway), 60)
                await asyncio.to_thread(gateway.wait_gauges_zero)

    asyncio.run(main())


def chat_and_close(gateway):
    with Http2Socket(gateway.address(), "/chat?room=1", more=[("sec-websocket-protocol", "chat")]) as client:
        assert client.headers[":status"] == "200"
        assert client.headers["sec-websocket-protocol"] == "chat"
        assert not {"upgrade", "connection", "sec-websocket-accept"} & client.headers.keys()
        for message in (b"", b"hello", random.Random(1).randbytes(70_000), random.Random(2).randbytes(1 << 20)):
            client.send(BINARY, message)
            assert client.receive() == (BINARY, message)
        client.send(CLOSE, struct.pack(">H", 1000))
        assert client.receive() == (CLOSE, struct.pack(">H", 1000))
        client.send_bytes(b"", end=True)
        client.wait_end()
        assert client.ended and client.reset is None


def test_messages_pass_and_the_socket_closes_as_agreed():
    seen = []

    def talk(gateway):
        chat_and_close(gateway)
        assert gateway.metrics().total("sluice_tunnels_opened_total") == 1

    chatting(talk, seen)
    (path, asked, code), = seen
    assert (path, code) == ("/chat?room=1", 1000)
    assert asked["Host"] == "chat.test" and asked["Upgrade"] == "websocket" and len(asked["Sec-WebSocket-Key"]) == 24


def test_a_client_that_resets_is_gone_for_the_server_too():
    seen = []

    def talk(gateway):
        with Http2Socket(gateway.address()) as client:
            client.send(TEXT, b"hello")
            assert client.receive() == (TEXT, b"hello")
            client.connection.reset_stream(client.stream)
            client._flush()
            wait_until(lambda: gateway.metrics().total("sluice_tunnels_open") == 0, "the tunnel to end")

    chatting(talk, seen)
    assert [code for _, _, code in seen] == [1006]


def test_bytes_that_come_before_the_answer_wait_for_the_tunnel():
    def talk(gateway):
        class Eager(Http2Socket):
            def _read(self):
                if not self.eager and hasattr(self, "stream"):
                    self.eager = True
                    self.send(TEXT, b"early")
                super()._read()
            eager = False
        with Eager(gateway.address()) as client:
            assert client.receive() == (TEXT, b"early")

    chatting(talk)


def test_other_protocols_than_websocket_are_refused():
    def talk(gateway):
        with Http2Socket(gateway.address(), protocol="connect-udp") as client:
            assert client.headers[":status"] == "501"

    chatting(talk)


def test_an_endpoint_that_does_not_switch_answers_in_its_own_words():
    def talk(gateway):
        with Http2Socket(gateway.address(), more=[("origin", "http://a.test"), ("sec-websocket-extensions", "x" * 10)]) as client:
            client.wait_end()
            assert client.headers[":status"] == "400" and client.ended

    async def main():
        async def refuse(path, headers):
            return (http.HTTPStatus.BAD_REQUEST, [], b"no")
        async with websockets.serve(lambda _: None, "127.0.0.1", 0, process_request=refuse) as serving:
            with Sluice(proxy_config(f"127.0.0.1:{serving.sockets[0].getsockname()[1]}")) as gateway:
                await asyncio.wait_for(asyncio.to_thread(talk, gateway), 60)

    asyncio.run(main())


@pytest.mark.workers
def test_fifty_sockets_on_connections_of_their_own():
    def talk(gateway):
        clients = [Http2Socket(gateway.address()) for _ in range(50)]
        for client in clients:
            client.send(TEXT, b"hello")
        assert [client.receive() for client in clients] == [(TEXT, b"hello")] * 50
        for client in clients:
            client.socket.close()

    chatting(talk)


def opened(gateway, origin):
    """A tunnel whose endpoint plays the test: (client, stream, the endpoint's connection)."""
    client = gateway.http2()
    stream = client.open()
    client.send(headers(stream, [(":protocol", "websocket"), *head("CONNECT", "/chat")], end_stream=False))
    endpoint = origin.accept()
    endpoint.answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    client.wait_for(lambda: client.answer(stream).status == 200)
    return client, stream, endpoint


TAIL = random.Random(3).randbytes(1 << 20)  # more than all windows and buffers hold


def test_what_the_endpoint_says_behind_the_clients_end_arrives():
    with proxying() as (gateway, origin):
        client, stream, endpoint = opened(gateway, origin)
        client.send_data(stream, b"last words")
        assert endpoint.read_to_end() == (b"last words", End.eof)
        endpoint.send_in_background(TAIL)
        client.wait_for(lambda: len(client.answers[stream].body) == len(TAIL))
        assert not client.answers[stream].over
        endpoint.close()
        answer = client.wait(stream)
        assert answer.body == TAIL and answer.complete and answer.reset is None
        assert gateway.logged(status=101)["reason"] == "tunnel_done"
        client.ping()


def test_what_the_client_says_behind_the_endpoints_end_arrives():
    with proxying() as (gateway, origin):
        client, stream, endpoint = opened(gateway, origin)
        endpoint.send(b"last words").half_close()
        assert client.wait(stream).body == b"last words"
        assert client.answers[stream].complete
        sent = []

        def send_tail():
            client.answers[stream].complete = False  # what is sent now is sent behind the end
            client.send_data(stream, TAIL)
            sent.append(True)

        with in_background(1, lambda _: send_tail()):
            assert endpoint.read_to_end() == (TAIL, End.eof)
        assert sent
        assert gateway.logged(status=101)["reason"] == "tunnel_done"
        client.ping()
