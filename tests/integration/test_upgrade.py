"""Upgraded connections: a tunnel that passes bytes both ways, ends half by half, and is counted."""

import asyncio
import random
import threading
from pathlib import Path

import pytest
import websockets

from harness import (OK, SLOW, End, Sluice, assert_problem, milliseconds, proxy_config, proxying, request, response,
                     wait_until)

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
       ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"


def open_tunnel(gateway, origin, first_bytes=b""):
    """Both ends of a tunnel: (client, upstream)."""
    client = gateway.client().send(request("GET", "/ws", ASK))
    upstream, sent = origin.answer(SWITCH + first_bytes)
    assert (sent.get("upgrade"), sent.get("connection").lower()) == ("websocket", "upgrade")
    answer = client.read_response()
    assert (answer.status, answer.get("upgrade"), answer.get("connection").lower()) == (101, "websocket", "upgrade")
    return client, upstream


def both_ways(left, right):
    for sender, receiver, data in [(left, right, b"\x00there"), (right, left, b"\xffback")]:
        sender.send(data)
        assert receiver.read_exactly(len(data)) == data


def test_bytes_pass_both_ways_as_they_come():
    with proxying() as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        for _ in range(50):
            both_ways(client, upstream)


def test_bytes_behind_the_101_in_the_same_segment_are_not_lost():
    with proxying() as (gateway, origin):
        client, _ = open_tunnel(gateway, origin, first_bytes=b"hello")
        assert client.read_exactly(5) == b"hello"


def test_bytes_that_a_client_sends_before_the_101_are_not_lost():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", ASK) + b"eager")
        upstream, _ = origin.answer(SWITCH)
        assert client.read_response().status == 101
        assert upstream.read_exactly(5) == b"eager"


@pytest.mark.parametrize("eager", [b"", b"eager"])
def test_a_client_that_ended_before_the_101_ends_its_half_of_the_tunnel(eager):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", ASK) + eager)
        client.half_close()
        upstream, _ = origin.answer(SWITCH)
        assert client.read_response().status == 101
        assert upstream.read_to_end() == (eager, End.eof)
        upstream.send(b"late")
        upstream.half_close()
        assert client.read_to_end() == (b"late", End.eof)
        gateway.wait_gauges_zero()


def test_eight_mebibytes_pass_both_ways_at_once():
    there, back = random.Random(1).randbytes(8 << 20), random.Random(2).randbytes(8 << 20)
    with proxying() as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        client.send_in_background(there)
        upstream.send_in_background(back)
        arrived = {}
        reading = threading.Thread(target=lambda: arrived.update(there=upstream.read_exactly(len(there))))
        reading.start()
        assert client.read_exactly(len(back)) == back
        reading.join()
        assert arrived["there"] == there


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_one_side_may_end_while_the_other_still_speaks(first):
    with proxying() as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        both_ways(client, upstream)
        ending, speaking = (client, upstream) if first == "client" else (upstream, client)
        ending.send(b"last words")
        ending.half_close()
        assert speaking.read_to_end() == (b"last words", End.eof)
        speaking.send(b"still here")
        assert ending.read_exactly(10) == b"still here"
        speaking.half_close()
        assert ending.wait_closed() is End.eof
        logged = gateway.access_log()[0]
        assert (logged["status"], logged["reason"]) in [(101, "none"), (101, "tunnel_done")]
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_a_reset_of_one_side_ends_the_other(first):
    with proxying() as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        resetting, other = (client, upstream) if first == "client" else (upstream, client)
        resetting.reset()
        other.wait_closed()
        gateway.wait_gauges_zero()


def test_a_tunnel_is_counted_while_it_is_open_and_its_bytes_are_logged():
    with proxying() as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="tunnel")
        client.send(b"x" * 1000)
        upstream.read_exactly(1000)
        upstream.send(b"y" * 3000)
        client.read_exactly(3000)
        client.close()
        upstream.wait_closed()
        upstream.close()
        logged = gateway.access_log()[0]
        assert logged["bytes_in"] == len(request("GET", "/ws", ASK)) + 1000
        assert 3000 < logged["bytes_out"] < 3000 + 1000
        gateway.wait_gauges_zero()


def test_a_silent_tunnel_is_closed_after_its_timeout():
    with proxying(listener={"timeouts": {"tunnel": milliseconds(200)}}) as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        client.wait_closed()
        upstream.wait_closed()
        assert gateway.access_log()[0]["reason"] == "tunnel_idle"
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("speaker", ["client", "upstream"])
def test_a_tunnel_in_which_one_side_speaks_is_not_idle(speaker):
    with proxying(listener={"timeouts": {"tunnel": milliseconds(400)}}) as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        sender, receiver = (client, upstream) if speaker == "client" else (upstream, client)
        for _ in range(12):  # an eighth of a second each: longer than the timeout in all
            assert not origin.stopping.wait(0.125)
            sender.send(b"a")
            assert receiver.read_exactly(1) == b"a"


def unread_by_gateway(connection):
    """How many bytes of an origin's connection wait in the gateway's socket: its end of the pair, in /proc/net/tcp."""
    ports = [f"{place[1]:04X}" for place in (connection.socket.getpeername(), connection.socket.getsockname())]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        if [local[-4:], remote[-4:]] == ports:
            return int(queues.split(":")[1], 16)
    raise AssertionError("the gateway's end of the connection is gone")


def send_until_held(gateway, upstream):
    """Sends until the gateway has read all of it, but its client's socket did not take all; returns how much that is."""
    def taken_after(size):
        upstream.send(bytes(size))
        wait_until(lambda: unread_by_gateway(upstream) == 0, "the gateway has read all")
        return gateway.metrics().total("sluice_downstream_sent_bytes_total") - head

    head, sent = 0, 0
    head = taken_after(0)
    while True:
        sent += 60_000  # less than what makes the gateway pause
        if (taken := taken_after(60_000)) < sent:
            sent += 1  # once this is read too, the callback that read the last piece is over
            if taken_after(1) == taken:
                return sent


def test_a_tunnel_whose_reader_catches_up_is_not_idle():
    idle = 2 * SLOW
    with proxying(listener={"timeouts": {"tunnel": f"{int(idle * 1000)}ms"}}) as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        sent = send_until_held(gateway, upstream)
        assert not origin.stopping.wait(0.6 * idle)
        client.read_exactly(sent)  # now the gateway can write what it holds; there is nothing to read
        assert not origin.stopping.wait(0.6 * idle)
        both_ways(client, upstream)


def test_other_timeouts_do_not_concern_a_tunnel():
    short = milliseconds(100)
    timeouts = {"request_header": short, "request_body": short, "write": short, "idle": short}
    with proxying(listener={"timeouts": timeouts},
                  upstream_settings={"timeouts": {"response_header": short, "idle": short}}) as pair:
        client, upstream = open_tunnel(*pair)
        assert not pair[1].stopping.wait(0.5)
        both_ways(client, upstream)


def test_a_tunnel_whose_reader_was_slow_once_has_no_other_timeouts_either():
    with proxying(upstream_settings={"timeouts": {"idle": milliseconds(100)}}) as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        sending = upstream.send_in_background(bytes(16 << 20))
        assert not origin.stopping.wait(0.2)  # more than the kernel keeps: the upstream is paused
        client.read_exactly(16 << 20)
        sending.join()
        assert not origin.stopping.wait(0.5)
        both_ways(client, upstream)


@pytest.mark.parametrize("status", [200, 403, 426])
def test_a_refused_upgrade_is_an_ordinary_answer(status):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", ASK))
        upstream, _ = origin.answer(response(b"no", status=status))
        assert client.read_response().body == b"no"
        client.send(request("GET", "/next"))
        assert upstream.answer(OK).target == "/next"
        assert client.read_response().body == b"ok"


def test_an_upgrade_whose_upstream_dies_is_a_502():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", ASK))
        upstream, _ = origin.answer()
        upstream.reset()
        assert assert_problem(client.read_response(), 502, "upstream_reset")
        gateway.wait_gauges_zero()


def test_http_10_cannot_upgrade():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", ASK, version="1.0"))
        assert origin.answer(OK)[1].get("upgrade") is None
        assert client.read_response().status == 200


def test_sigterm_ends_an_open_tunnel_within_the_grace_time():
    with proxying(process={"shutdown_grace": milliseconds(200)}) as (gateway, origin):
        client, upstream = open_tunnel(gateway, origin)
        gateway.stop()
        client.wait_closed()
        upstream.wait_closed()


@pytest.mark.workers
def test_websocket_clients_and_servers_talk_through_the_gateway():
    async def echo(socket, _path=None):
        async for message in socket:
            await socket.send(message)

    async def converse(gateway, number):
        async with websockets.connect(f"ws://{gateway.address()}/chat", max_size=None) as socket:
            for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
                message = bytes([number]) * size
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send("text")
            assert await socket.recv() == "text"

    async def main():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            with Sluice(proxy_config(f"127.0.0.1:{port}", process={"workers": 2})) as gateway:
                await asyncio.gather(*(converse(gateway, number) for number in range(8)))
                gateway.wait_gauges_zero()

    asyncio.run(main())
