"""WebSocket (RFC 6455) with a real client and a real server on both sides of the gateway: messages, ends, reloads, and what is
counted. What a tunnel does with bytes as such is in test_upgrade.py."""

import asyncio
import http
import os
import random
import signal
import socket
import ssl

import pytest
import websockets

from harness import DEADLINE, Authority, End, RawOrigin, Sluice, milliseconds, proxy_config, proxying, request, upstream

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
SIXTEEN_MEBIBYTES = 16 << 20
OPENED, OPEN = "sluice_tunnels_opened_total", "sluice_tunnels_open"


async def echo(socket):
    async for message in socket:
        await socket.send(message)


def chatting(talk, serve=echo, config=None, **server):
    """Runs `talk(gateway, url)` before a server that does `serve`; `config`: that of the gateway, as proxy_config takes it."""

    # asyncio's own backlog is 100: of more at once some would wait a second for their second SYN
    options = {"max_size": None, "backlog": 512, **server}

    async def main():
        async with websockets.serve(serve, "127.0.0.1", 0, **options) as serving:
            port = serving.sockets[0].getsockname()[1]
            with Sluice(proxy_config(f"127.0.0.1:{port}", **(config or {}))) as gateway:
                await asyncio.wait_for(talk(gateway, f"ws://{gateway.address()}/chat"), 60)
                await asyncio.to_thread(gateway.wait_gauges_zero)

    asyncio.run(main())


def connect(url, **options):
    return websockets.connect(url, max_size=None, **options)


# --- messages ---

@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_pass_whole_in_both_directions(compression):
    async def talk(gateway, url):
        async with connect(url, compression=compression) as socket:
            # Whether messages are compressed is agreed on by both ends; the gateway passes it on.
            assert [extension.name for extension in socket.extensions] == (["permessage-deflate"] if compression else [])
            for message in ("", "text", "ä" * 1000, b"", bytes(125), bytes(126), bytes(65535), bytes(65536), random.Random(1).randbytes(1 << 20)):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(iter(["in ", "three ", "fragments"]))
            assert await socket.recv() == "in three fragments"

    chatting(talk)


def test_large_messages_pass_both_ways_at_once():
    message = random.Random(2).randbytes(SIXTEEN_MEBIBYTES)

    async def talk(gateway, url):
        async with connect(url, compression=None) as socket:
            for _ in range(2):
                await socket.send(message)
            assert [await socket.recv() == message for _ in range(2)] == [True, True]

    chatting(talk, compression=None)


@pytest.mark.workers
def test_two_hundred_sockets_talk_at_once_and_are_counted():
    async def talk(gateway, url):
        sockets = await asyncio.gather(*(connect(url) for _ in range(200)))
        metrics = await asyncio.to_thread(gateway.metrics)
        assert (metrics.total(OPEN, listener="public"), metrics.total(OPENED, listener="public")) == (200, 200)

        async def converse(socket, number):
            for turn in range(10):
                await socket.send(f"{number}: {turn}")
                assert await socket.recv() == f"{number}: {turn}"
            await socket.close()

        await asyncio.gather(*(converse(socket, number) for number, socket in enumerate(sockets)))
        await asyncio.to_thread(gateway.wait_for_metric, "sluice_tunnel_duration_seconds_count", 200)
        metrics = await asyncio.to_thread(gateway.metrics)
        assert (metrics.total(OPEN), metrics.total(OPENED)) == (0, 200)
        assert metrics.total("sluice_request_duration_seconds_count") == 0  # how long a socket lives is no latency
        assert metrics.total("sluice_tunnel_received_bytes_total") > 2000 * 8
        assert metrics.total("sluice_tunnel_sent_bytes_total") > 2000 * 4
        for line in await asyncio.to_thread(gateway.access_log, 200):
            assert (line["status"], line["reason"]) == (101, "tunnel_done")

    chatting(talk, config={"process": {"workers": 2}})


def test_a_subprotocol_is_chosen_by_the_server():
    async def talk(gateway, url):
        async with connect(url, subprotocols=["chat.v2", "chat.v1"]) as socket:
            assert socket.subprotocol == "chat.v1"

    chatting(talk, subprotocols=["chat.v1"])


def test_pings_and_pongs_pass_both_ways():
    async def serve(socket):
        await asyncio.wait_for(await socket.ping(b"from the server"), 10)
        await socket.send("ponged")
        await socket.wait_closed()

    async def talk(gateway, url):
        async with connect(url, ping_interval=None) as socket:
            await asyncio.wait_for(await socket.ping(b"from the client"), 10)
            assert await socket.recv() == "ponged"

    chatting(talk, serve, ping_interval=None)


def test_a_server_that_speaks_first_is_heard():
    async def serve(socket):
        for number in range(100):
            await socket.send(str(number))

    async def talk(gateway, url):
        for _ in range(20):
            async with connect(url) as socket:
                assert [await socket.recv() for _ in range(100)] == [str(number) for number in range(100)]

    chatting(talk, serve)


def test_a_server_may_refuse():
    async def refuse(path, headers):
        return http.HTTPStatus.FORBIDDEN, [], b"no"

    async def talk(gateway, url):
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            await connect(url)
        assert refused.value.status_code == 403
        assert (await asyncio.to_thread(gateway.metrics)).total(OPENED) == 0

    chatting(talk, process_request=refuse)


# --- ends ---

def test_close_codes_and_reasons_pass_both_ways():
    heard = []

    async def serve(socket):
        if await socket.recv() == "you":
            await socket.close(4002, "as you wish")
        await socket.wait_closed()
        heard.append((socket.close_code, socket.close_reason))

    async def talk(gateway, url):
        async with connect(url) as socket:
            await socket.send("you")
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (4002, "as you wish")
        async with connect(url) as socket:
            await socket.send("me")
            await socket.close(4001, "enough")
        for line in await asyncio.to_thread(gateway.access_log, 2):
            assert (line["status"], line["reason"]) == (101, "tunnel_done")

    chatting(talk, serve)
    assert heard == [(4002, "as you wish"), (4001, "enough")]


def test_a_server_that_dies_is_no_good_end():
    async def serve(socket):
        await socket.recv()
        socket.transport.abort()

    async def talk(gateway, url):
        async with connect(url) as socket:
            await socket.send("die")
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()
            assert socket.close_code == 1006
        assert (await asyncio.to_thread(gateway.access_log))[0]["status"] == 101

    chatting(talk, serve)


def test_a_client_that_dies_is_no_good_end():
    heard = asyncio.Queue()

    async def serve(socket):
        await socket.wait_closed()
        heard.put_nowait(socket.close_code)

    async def talk(gateway, url):
        socket = await connect(url)
        socket.transport.abort()
        assert await asyncio.wait_for(heard.get(), 10) == 1006

    chatting(talk, serve)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("server", "DNS:app.test", "IP:127.0.0.1")


def https(identity):
    return {"tls": {"certificates": [{"cert_file": identity[0], "key_file": identity[1]}]}}


def served_by(identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    return context


def raw_tunnel(gateway, origin, authority=None):
    """Both ends, raw: (client, upstream); with an authority the client speaks TLS."""
    options = {"tls": ssl.create_default_context(cafile=authority.certificate), "server_name": "app.test"} if authority else {}
    client = gateway.client(**options).send(request("GET", "/ws", ASK))
    endpoint, _ = origin.answer(SWITCH)
    assert client.read_response().status == 101
    return client, endpoint


def raw_end(peer):
    """How the connection below a peer's TLS, if it speaks that, has ended."""
    below = socket.socket(fileno=os.dup(peer.socket.fileno()))
    with below:
        below.settimeout(DEADLINE)
        try:
            return below.recv(1) or End.eof
        except ConnectionResetError:
            return End.reset


CUTS = [(first, cut, client_tls, upstream_tls) for first in ("client", "upstream") for cut in ("reset", "close")
        for client_tls in (False, True) for upstream_tls in (False, True)
        if cut == "reset" or (client_tls if first == "client" else upstream_tls)]  # else it is a good end


@pytest.mark.parametrize("first, cut, client_tls, upstream_tls", CUTS)
def test_a_tunnel_that_one_side_cuts_is_cut_for_the_other(authority, identity, first, cut, client_tls, upstream_tls):
    """Cut: a reset, or over TLS an end without close_notify. FIN or close_notify would say that all was said."""
    settings = {"tls": {"ca_file": authority.certificate}} if upstream_tls else {}
    with RawOrigin(tls=served_by(identity) if upstream_tls else None) as origin:
        config = proxy_config(origin, upstream_settings=settings, listener=https(identity) if client_tls else None)
        with Sluice(config) as gateway:
            client, endpoint = raw_tunnel(gateway, origin, authority if client_tls else None)
            ending, other = (client, endpoint) if first == "client" else (endpoint, client)
            getattr(ending, cut)()
            assert raw_end(other) is End.reset
            gateway.wait_gauges_zero()


def test_a_tunnel_that_the_gateway_breaks_off_is_cut_for_both():
    with proxying(process={"shutdown_grace": milliseconds(200)}) as (gateway, origin):
        client, endpoint = raw_tunnel(gateway, origin)
        gateway.stop()
        assert (client.wait_closed(), endpoint.wait_closed()) == (End.reset, End.reset)
        assert gateway.access_log()[0]["reason"] == "shutting_down"


# --- TLS ---

@pytest.mark.parametrize("client_tls, upstream_tls", [(True, False), (False, True), (True, True)])
def test_sockets_over_tls(authority, identity, client_tls, upstream_tls):
    config = {"upstream_settings": {"tls": {"ca_file": authority.certificate}} if upstream_tls else {},
              "listener": https(identity) if client_tls else None}
    message = random.Random(3).randbytes(SIXTEEN_MEBIBYTES)

    async def talk(gateway, url):
        if client_tls:
            url = url.replace("ws:", "wss:")
        context = ssl.create_default_context(cafile=authority.certificate) if client_tls else None
        async with connect(url, ssl=context, compression=None) as socket:
            for each in ("hello", message, b"x" * 16384):
                await socket.send(each)
                assert await socket.recv() == each
            await socket.close(4001, "enough")
        line = (await asyncio.to_thread(gateway.access_log))[0]
        assert (line["status"], line["reason"], bool(line["tls"])) == (101, "tunnel_done", client_tls)
        assert line["bytes_in"] > SIXTEEN_MEBIBYTES and line["bytes_out"] > SIXTEEN_MEBIBYTES

    chatting(talk, config=config, ssl=served_by(identity) if upstream_tls else None, compression=None)


# --- what happens to the gateway meanwhile ---

def test_sockets_outlive_reloads_of_other_routes():
    async def talk(gateway, url):
        async with connect(url) as socket, connect(url) as silent:
            for turn in range(20):
                talking = asyncio.create_task(socket.send(f"turn {turn}"))
                routes = [{"name": f"other-{turn}", "match": {"path": f"/other/{turn}"}, "respond": {"body": "ok"}}, *gateway.config["routes"][-1:]]
                gateway.write_config(routes=routes, upstreams={"other": upstream(f"127.0.0.1:{9000 + turn}")})
                before = (await asyncio.to_thread(gateway.metrics)).total("sluice_config_generation")
                gateway.process.send_signal(signal.SIGHUP)
                await asyncio.to_thread(gateway.wait_for_metric, "sluice_config_generation", before + 1)
                await talking
                assert await socket.recv() == f"turn {turn}"
            await silent.send("still here")
            assert await silent.recv() == "still here"
            assert (await asyncio.to_thread(gateway.metrics)).total(OPEN, listener="public") == 2

    chatting(talk)


def test_sockets_outlive_reloads_that_change_their_own_route_upstream_and_listener():
    async def talk(gateway, url):
        async with connect(url) as socket:
            moved = {"routes": [{"name": "moved", "match": {"path": "/elsewhere"}, "upstream": "origin"}],
                     "upstreams": {"origin": {"balance": "random"}}}
            assert (await asyncio.to_thread(lambda: gateway.reload(**moved)))["accepted"]
            listeners = {"public": None, "other": {}}
            assert (await asyncio.to_thread(lambda: gateway.reload(listeners=listeners)))["accepted"]
            await socket.send("still here")
            assert await socket.recv() == "still here"

    chatting(talk)


def test_a_drain_leaves_sockets_their_grace_time():
    async def talk(gateway, url):
        async with connect(url) as socket:
            gateway.process.send_signal(signal.SIGTERM)
            while True:  # a new connection shows that it drains
                try:
                    await (await connect(url)).close()
                except (OSError, websockets.InvalidHandshake):
                    break
            await socket.send("last words")
            assert await socket.recv() == "last words"

    async def main():
        async with websockets.serve(echo, "127.0.0.1", 0) as serving:
            port = serving.sockets[0].getsockname()[1]
            with Sluice(proxy_config(f"127.0.0.1:{port}", process={"shutdown_grace": "20s"})) as gateway:
                await asyncio.wait_for(talk(gateway, f"ws://{gateway.address()}/chat"), 30)
                assert await asyncio.to_thread(gateway.process.wait, 10) == 0

    asyncio.run(main())


def test_a_new_binary_gets_new_sockets_and_the_old_one_serves_its_own():
    async def talk(gateway, url):
        async with connect(url) as old:
            successor = await asyncio.to_thread(gateway.begin_upgrade)
            async with connect(url) as new:
                for socket in (old, new):
                    await socket.send("hello")
                    assert await socket.recv() == "hello"
            assert os.getpgid(successor.pid)
        assert await asyncio.to_thread(gateway.process.wait, 10) == 0
        gateway.process = successor

    chatting(talk, config={"process": {"shutdown_grace": "20s"}})


# --- how long silence may last ---

def test_a_silent_socket_ends_after_its_own_timeout_and_pings_keep_it():
    listener = {"timeouts": {"idle": milliseconds(50), "tunnel": milliseconds(400)}}

    async def talk(gateway, url):
        async with connect(url, ping_interval=0.1) as pinging, connect(url, ping_interval=None) as silent:
            await asyncio.wait_for(silent.wait_closed(), 10)
            assert silent.close_code == 1006
            line = (await asyncio.to_thread(gateway.access_log))[0]
            assert (line["status"], line["reason"]) == (101, "tunnel_idle")
            await pinging.send("hello")
            assert await pinging.recv() == "hello"

    chatting(talk, config={"listener": listener}, ping_interval=None)
