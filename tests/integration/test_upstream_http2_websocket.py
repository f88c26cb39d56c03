"""WebSocket to endpoints that speak HTTP/2: the Upgrade of a client, or its extended CONNECT, becomes an extended CONNECT (RFC 8441). The
endpoints are python3-h2 with frames of RFC 6455 read here; the clients are python3-websockets, raw sockets and python3-h2."""

import asyncio
import contextlib
import os
import random
import ssl
import struct

import pytest
import websockets
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from test_http2_websocket import CLOSE, TEXT, Http2Socket, chat_and_close

from harness import (DEADLINE, Authority, End, Http2Origin, Sluice, assert_problem, merged, milliseconds, proxy_config, request,
                     wait_until)

# A plugin holds each answer for a while.
HOLDING = {"process": {"plugin_dir": os.environ.get("SLUICE_TEST_PLUGINS", "")}, "route": {"plugins": ["a"]},
           "plugins": {"a": {"module": "probe", "config": {"tag": "a", "pause": ["response"], "delay": "500ms"}}}}
CONNECTS = {"settings": {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # to that key, by RFC 6455 §1.3
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}


@contextlib.contextmanager
def tunnelling(script=None, origin=None, upstream_settings=None, **config):
    """A gateway before one endpoint that speaks HTTP/2 and takes extended CONNECTs: yields (gateway, origin)."""
    with Http2Origin(script, **{**CONNECTS, **(origin or {})}) as server:
        settings = merged({"protocol": "http2"}, upstream_settings or {})
        with Sluice(proxy_config(server, upstream_settings=settings, **config)) as gateway:
            yield gateway, server


def take(asked, count):
    """`count` bytes of what came on the stream."""
    with asked.connection.changed:
        assert asked.connection.changed.wait_for(
            lambda: len(asked.body) >= count or asked.complete.is_set() or asked.cancelled.is_set(), DEADLINE)
        if len(asked.body) < count:
            raise EOFError
        taken = bytes(asked.body[:count])
        del asked.body[:count]
        return taken


def receive(asked):
    """One frame: (opcode, payload)."""
    first, size = take(asked, 2)
    size &= 127
    if size > 125:
        size = int.from_bytes(take(asked, 2 if size == 126 else 8), "big")
    mask = take(asked, 4)
    payload = int.from_bytes(take(asked, size), "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return first & 15, payload.to_bytes(size, "big")


def send(asked, kind, payload):
    size = len(payload)
    head = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)
    asked.data(bytes([128 | kind]) + head + payload)


def echo(asked):
    """Chats until the client closes, and then ends its way first, as a server does (RFC 6455 §7.1.1)."""
    asked.head(200, [("sec-websocket-protocol", "chat")] if asked.get("sec-websocket-protocol") else [])
    kind = None
    while kind != CLOSE:
        kind, payload = receive(asked)
        send(asked, kind, payload)
    asked.data(end=True)


def open_tunnel(gateway, origin, eager=b""):
    """Both ends of a tunnel, without a word of RFC 6455: (client, asked)."""
    client = gateway.client().send(request("GET", "/raw", UPGRADE) + eager)
    asked = origin.request().head(200)
    assert client.read_response().status == 101
    return client, asked


def shown(authority, *alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "IP:127.0.0.1"))
    context.set_alpn_protocols(list(alpn))
    return context


def chat(gateway, path="/chat?room=1"):
    """A real client of HTTP/1.1, which looks at the answer's Sec-WebSocket-Accept."""
    async def main():
        async with websockets.connect(f"ws://{gateway.address()}{path}", subprotocols=["chat"], max_size=None, ping_interval=None) as client:
            assert client.subprotocol == "chat"
            for message in ("", "hello", random.Random(1).randbytes(70_000), random.Random(2).randbytes(1 << 20)):
                await client.send(message)
                assert await client.recv() == message
        assert client.close_code == 1000

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_client_of_http1_chats_and_closes_as_agreed():
    def script(asked):
        if asked.get(":method") == "CONNECT":
            echo(asked)

    with tunnelling(script) as (gateway, origin):
        chat(gateway)
        asked, = origin.requests
        assert [asked.get(name) for name in (":method", ":protocol", ":scheme", ":path")] == ["CONNECT", "websocket", "http", "/chat?room=1"]
        assert asked.get(":authority")
        assert asked.get("sec-websocket-version") == "13"
        assert asked.get("sec-websocket-protocol") == "chat"
        assert "permessage-deflate" in asked.get("sec-websocket-extensions")
        assert not {"connection", "upgrade", "host", "sec-websocket-key", "content-length"} & {name for name, _ in asked.headers}
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_tunnels_opened_total") == 1
        assert gateway.logged(path="/chat?room=1")["reason"] == "tunnel_done"
        # The connection goes on.
        client = gateway.client().send(request("GET", "/next"))
        wait_until(lambda: len(origin.requests) == 2, "the next request came")
        assert origin.requests[1].connection is asked.connection
        origin.requests[1].respond(b"ok")
        assert client.read_response().body == b"ok"


def test_a_client_of_http2_chats_and_closes_as_agreed():
    with tunnelling(echo) as (gateway, origin):
        chat_and_close(gateway)
        asked, = origin.requests
        assert asked.get(":protocol") == "websocket"
        assert "sec-websocket-key" not in dict(asked.headers)
        gateway.wait_gauges_zero()


def test_auto_takes_the_way_of_what_the_endpoint_chose(tmp_path):
    authority = Authority(tmp_path)
    settings = {"protocol": "auto", "tls": {"ca_file": authority.certificate}}
    with tunnelling(echo, {"tls": shown(authority, "h2")}, settings) as (gateway, origin):
        chat(gateway)
        assert origin.requests[0].get(":scheme") == "https"


def test_many_sockets_and_requests_share_a_connection():
    def script(asked):
        echo(asked) if asked.get(":method") == "CONNECT" else asked.respond(b"ok")

    with tunnelling(script) as (gateway, origin):
        with contextlib.ExitStack() as open_ones:
            clients = [open_ones.enter_context(Http2Socket(gateway.address())) for _ in range(20)]
            for number, client in enumerate(clients):
                client.send(TEXT, b"%d" % number)
            assert gateway.get("/").body == b"ok"
            assert [client.receive() for client in clients] == [(TEXT, b"%d" % number) for number in range(20)]
        assert len(origin.connections) == 1


def test_the_answer_says_what_http1_asks_for_and_nothing_of_a_length():
    with tunnelling() as (gateway, origin):
        client = gateway.client().send(request("GET", "/", UPGRADE))
        asked = origin.request()
        asked.head(200, [("x-more", "1"), ("sec-websocket-extensions", "permessage-deflate"), ("sec-websocket-accept", "nonsense")])
        answer = client.read_response()
        assert answer.status == 101
        assert answer.get("Sec-WebSocket-Accept") == ACCEPT
        assert answer.get("Upgrade") == "websocket"
        assert answer.get("Sec-WebSocket-Extensions") == "permessage-deflate"
        assert answer.get("X-More") == "1"
        assert answer.get("Content-Length") is None and answer.get("Transfer-Encoding") is None
        asked.data(b"down")
        assert client.read_exactly(4) == b"down"
        client.send(b"up")
        assert take(asked, 2) == b"up"


def test_each_side_may_end_its_way_first():
    with tunnelling() as (gateway, origin):
        client, asked = open_tunnel(gateway, origin)
        client.send(b"last")
        client.half_close()
        assert asked.read() == b"last"
        asked.data(b"still here", end=True)
        assert client.read_exactly(10) == b"still here"
        assert client.wait_closed() is End.eof

        client, asked = open_tunnel(gateway, origin)
        asked.data(b"bye", end=True)
        assert client.read_exactly(3) == b"bye"
        assert client.wait_closed() is End.eof
        client.send(b"still here")
        client.half_close()
        assert asked.read() == b"still here"
        gateway.wait_gauges_zero()
        assert not asked.cancelled.is_set()


def fill(asked):
    """Sends to a client that does not read, until the gateway takes no more: what that was."""
    body = b""
    while room := asked.connection.protocol.local_flow_control_window(asked.stream):
        piece = random.Random(len(body)).randbytes(room)
        body += piece
        asked.data(piece)
        asked.connection.settle()
    return body


def gone(asked):
    asked.connection.goaway(asked.stream)
    asked.connection.close()


LEAVES = {"it resets the stream, well": lambda asked: asked.reset(ErrorCodes.NO_ERROR), "it resets the stream": lambda asked: asked.reset(ErrorCodes.CANCEL),
          "it closes the connection": lambda asked: asked.connection.close(), "it says goodbye": gone}


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
def test_an_endpoint_that_leaves_behind_its_end_ends_the_tunnel(leave):
    with tunnelling() as (gateway, origin):
        client, asked = open_tunnel(gateway, origin)
        asked.data(b"bye", end=True)
        assert client.read_exactly(3) == b"bye"
        assert client.wait_closed() is End.eof
        leave(asked)
        assert gateway.logged(path="/raw")["reason"] == "tunnel_done"
        gateway.wait_gauges_zero()


def test_an_end_in_the_head_and_a_reset_behind_it_end_the_tunnel():
    with tunnelling() as (gateway, origin):
        client = gateway.client().send(request("GET", "/raw", UPGRADE))
        asked = origin.request()
        with asked.connection.lock:
            asked.head(200, end=True)
            asked.reset(ErrorCodes.NO_ERROR)
        assert client.read_response().status == 101
        assert client.wait_closed() is End.eof
        assert gateway.logged(path="/raw")["reason"] == "tunnel_done"


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
def test_what_came_before_an_endpoint_left_reaches_a_slow_client(leave):
    with tunnelling() as (gateway, origin):
        client = gateway.client(receive_buffer=4096).send(request("GET", "/raw", UPGRADE))
        asked = origin.request().head(200)
        body = fill(asked)
        asked.data(end=True)
        leave(asked)
        assert client.read_response().status == 101
        assert client.read_exactly(len(body)) == body
        assert client.wait_closed() is End.eof
        assert gateway.logged(path="/raw")["reason"] == "tunnel_done"
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
def test_an_endpoint_that_leaves_while_a_plugin_holds_its_answer_has_answered(leave):
    with tunnelling(**HOLDING) as (gateway, origin):
        client = gateway.client().send(request("GET", "/raw", UPGRADE))
        asked = origin.request().head(200)
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        asked.data(b"bye", end=True)
        leave(asked)
        assert client.read_response().status == 101
        assert client.read_exactly(3) == b"bye"
        assert client.wait_closed() is End.eof
        assert gateway.logged(path="/raw")["reason"] == "tunnel_done"
        gateway.wait_gauges_zero()


def test_an_answer_that_refuses_reaches_a_slow_client_whole():
    with tunnelling() as (gateway, origin):
        client = gateway.client(receive_buffer=4096).send(request("GET", "/raw", UPGRADE))
        asked = origin.request().head(403)
        body = fill(asked)
        asked.data(end=True)
        asked.reset(ErrorCodes.NO_ERROR)
        asked.connection.settle()
        answer = client.read_response()
        assert (answer.status, answer.body, answer.end) == (403, body, End.complete)


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
def test_what_nobody_takes_any_more_does_not_hold_a_tunnel_open(leave):
    with tunnelling() as (gateway, origin):
        origin.holds_windows = True
        client, asked = open_tunnel(gateway, origin)
        client.send_in_background(bytes(8 << 20))
        gateway.wait_until_full()
        asked.data(b"enough", end=True)
        assert client.read_exactly(6) == b"enough"
        leave(asked)
        assert gateway.logged(path="/raw")["reason"] == "tunnel_done"
        gateway.wait_gauges_zero()


def test_what_a_client_sends_before_the_answer_is_not_lost():
    with tunnelling() as (gateway, origin):
        client, asked = open_tunnel(gateway, origin, eager=b"eager")
        assert take(asked, 5) == b"eager"
        client.reset()
        client = gateway.client().send(request("GET", "/ended", UPGRADE) + b"eager")
        client.half_close()
        asked = origin.request().head(200)
        assert asked.read() == b"eager"
        asked.data(end=True)
        assert client.read_response().status == 101
        assert client.wait_closed() is End.eof
        gateway.wait_gauges_zero()


def test_what_a_client_sends_while_a_plugin_holds_the_answer_is_not_lost():
    with tunnelling(**HOLDING) as (gateway, origin):
        client = gateway.client().send(request("GET", "/raw", UPGRADE))
        asked = origin.request().head(200)
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        client.send(b"early ")
        assert client.read_response().status == 101
        client.send(b"late")
        assert take(asked, 10) == b"early late"
        client.half_close()
        assert asked.read() == b""
        asked.data(b"bye", end=True)
        assert client.read_exactly(3) == b"bye"
        assert client.wait_closed() is End.eof
        gateway.wait_gauges_zero()


def test_what_one_side_cuts_is_no_good_end_for_the_other():
    with tunnelling() as (gateway, origin):
        client, asked = open_tunnel(gateway, origin)
        client.reset()
        assert asked.cancelled.wait(DEADLINE)
        assert asked.cancel_code == ErrorCodes.CANCEL
        assert not asked.complete.is_set()

        client, asked = open_tunnel(gateway, origin)
        asked.reset(ErrorCodes.INTERNAL_ERROR)
        assert client.wait_closed() is End.reset
        gateway.wait_gauges_zero()


def test_an_endpoint_that_does_not_want_to_answers_in_its_own_words():
    with tunnelling() as (gateway, origin):
        client = gateway.client().send(request("GET", "/", UPGRADE))
        asked = origin.request()
        asked.respond(b"not you", status=403, fields=[("x-why", "1")])
        answer = client.read_response()
        assert (answer.status, answer.body, answer.get("X-Why")) == (403, b"not you", "1")
        assert asked.cancelled.wait(DEADLINE)  # our way of the stream is open still
        client.send(request("GET", "/next"))
        assert origin.request().connection is asked.connection


@pytest.mark.parametrize("length, body", [("300", b"short"), ("2", b"noHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")])
def test_an_answer_of_another_length_than_it_says_does_not_reach_into_the_next_one(length, body):
    with tunnelling() as (gateway, origin):
        client = gateway.client().send(request("GET", "/", UPGRADE) + request("GET", "/next"))
        asked = origin.request()
        with asked.connection.lock:  # the gateway's RST_STREAM is read behind it
            asked.respond(body, status=403, fields=[("content-length", length)])
        answer = client.read_response()
        assert (answer.status, answer.end, body.startswith(answer.body)) == (403, End.eof, True)
        assert client.wait_closed() is End.eof
        assert gateway.logged(path="/")["reason"] == "upstream_http2_error"
        # The connection goes on, and lengths that are right do.
        assert asked.cancelled.wait(DEADLINE)
        client = gateway.client().send(request("GET", "/", UPGRADE))
        again = origin.request()
        again.respond(b"not you", status=403, fields=[("content-length", "7")])
        assert client.read_response().body == b"not you"
        assert again.connection is asked.connection
        client.send(request("GET", "/next"))
        origin.request().respond(b"next")
        assert client.read_response().body == b"next"


def test_without_the_setting_it_is_501_still():
    with tunnelling(origin={"settings": {SettingCodes.ENABLE_CONNECT_PROTOCOL: 0}}) as (gateway, origin):
        assert_problem(gateway.client().send(request("GET", "/", UPGRADE)).read_response(), 501, "upstream_no_upgrade")
        assert not origin.requests


@pytest.mark.parametrize("method, changes, status, reason", [
    ("GET", {"Upgrade": "other"}, 501, "upstream_no_upgrade"),
    ("GET", {"Upgrade": "websocket, other"}, 501, "upstream_no_upgrade"),
    ("POST", {}, 501, "upstream_no_upgrade"),
    ("GET", {"Sec-WebSocket-Key": None}, 400, "bad_upgrade"),
])
def test_what_is_no_websocket_is_refused(method, changes, status, reason):
    with tunnelling() as (gateway, origin):
        headers = {name: value for name, value in {**UPGRADE, **changes}.items() if value is not None}
        assert_problem(gateway.client().send(request(method, "/", headers)).read_response(), status, reason)
        assert not origin.requests


def test_neither_side_is_read_faster_than_the_other_takes():
    body = random.Random(3).randbytes(8 << 20)
    with tunnelling() as (gateway, origin):
        origin.holds_windows = True
        client, asked = open_tunnel(gateway, origin)
        client.send_in_background(body)
        gateway.wait_until_full()
        assert len(asked.body) == 65535
        origin.holds_windows = False
        with asked.connection.speaking() as speaker:
            speaker.acknowledge_received_data(len(asked.body), asked.stream)
        assert take(asked, len(body)) == body
        origin.start(asked.data, body)
        assert client.read_exactly(len(body)) == body


def test_a_silent_tunnel_outlives_the_timeouts_of_responses_and_ends_with_its_own():
    timeouts = {"timeouts": {"ping": milliseconds(500), "idle": milliseconds(100), "response_header": milliseconds(300)}}
    with tunnelling(upstream_settings=timeouts, listener={"timeouts": {"tunnel": milliseconds(2000)}}) as (gateway, origin):
        client, asked = open_tunnel(gateway, origin)
        asked.data(b"x")
        assert client.read_exactly(1) == b"x"
        assert client.wait_closed()
        assert gateway.logged(path="/raw")["reason"] == "tunnel_idle"
        assert asked.connection.pings == 1


def test_a_tunnel_whose_endpoint_vanishes_is_cut():
    with tunnelling(origin={"answers_pings": False}, upstream_settings={"timeouts": {"ping": milliseconds(500)}}) as (gateway, origin):
        client, _ = open_tunnel(gateway, origin)
        assert client.wait_closed() is End.reset
        assert gateway.logged(path="/raw")["reason"] == "upstream_silent"
