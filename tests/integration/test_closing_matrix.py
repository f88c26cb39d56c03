"""The closing matrix: whatever ends an exchange, in whatever phase, is told as what it was, and leaves every gauge at 0.

Each phase brings an exchange to a point, each event ends it there, and TOLD says for each cell what the clients see, what the
access log says, and why connections ended according to /metrics. Every test is one cell.
"""

import signal
from collections import Counter
from dataclasses import dataclass
from typing import Callable

import pytest

from harness import DEADLINE, OK, End, PeerEnded, RawOrigin, Sluice, merged, milliseconds, proxy_config, request, response

pytestmark = pytest.mark.workers

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "echo")]
TEN_BYTES = [("Content-Length", "10")]
SHORT, LONG = milliseconds(150), "60s"


@dataclass
class Scene:
    gateway: Sluice
    origin: RawOrigin
    clients: list       # the last one is whose exchange, or idle connection, it is about
    upstream: object    # the endpoint's side of it
    complete: Callable  # (scene): all that is missing for a good end is said, by every side

    @property
    def client(self):
        return self.clients[-1]

    def serving(self):
        """The connection that the next request comes by."""
        if self.upstream.socket.fileno() < 0:
            self.upstream = self.origin.accept()
        return self.upstream

    def seen(self):
        """What each client gets: a status, with "cut" if its body is not whole, or the "end" of the connection."""
        return [self._seen_by(client) for client in self.clients if client.socket.fileno() >= 0]

    @staticmethod
    def _seen_by(client):
        try:
            answer = client.read_response()
        except PeerEnded:
            return "end"
        return answer.status if answer.end.name == "complete" else f"{answer.status}, cut"


def holds(peer, data):
    """Waits until the bytes have arrived, and leaves them to be read."""
    while data not in peer.buffer:
        peer.receive()


# --- phases ---
def idle(gateway, origin):
    """A request was served: its client's connection and the endpoint's are kept."""
    client = gateway.client().send(request("GET", "/before"))
    upstream, _ = origin.answer(OK)
    client.read_response()
    gateway.wait_for_metric("sluice_upstream_connections_idle", 1)

    def complete(scene):
        client.send(request("GET", "/after"))
        if "origin" in gateway.config["upstreams"]:
            scene.serving().answer(OK)

    return Scene(gateway, origin, [client], upstream, complete)


def request_head(gateway, origin):
    """Half a head has arrived from a client whose first request left a pooled connection to the endpoint."""
    scene = idle(gateway, origin)
    scene.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    gateway.wait_for_metric("sluice_downstream_connections", 1, state="reading")

    def complete(scene):
        scene.client.send(b"\r\n")
        scene.serving().answer(OK)

    scene.complete = complete
    return scene


def response_head(gateway, origin):
    """Half a response head has arrived from the endpoint."""
    client = gateway.client().send(request())
    upstream, _ = origin.answer(OK[:20])
    return Scene(gateway, origin, [client], upstream, lambda _: upstream.send(OK[20:]))


def upload(gateway, origin):
    """Half a request body has arrived at the endpoint."""
    client = gateway.client().send(request("POST", "/", TEN_BYTES), b"part1")
    upstream = origin.accept()
    upstream.read_request_head()
    upstream.read_exactly(5)

    def complete(_):
        client.send(b"part2")
        assert upstream.read_exactly(5) == b"part2"
        upstream.send(OK)

    return Scene(gateway, origin, [client], upstream, complete)


def download(gateway, origin):
    """Half a response body has arrived at the client."""
    client = gateway.client().send(request())
    upstream, _ = origin.answer(response(headers=TEN_BYTES, framed=False), b"part1")
    holds(client, b"part1")
    return Scene(gateway, origin, [client], upstream, lambda _: upstream.send(b"part2"))


def tunnel(gateway, origin):
    """Bytes pass both ways."""
    client = gateway.client().send(request("GET", "/", UPGRADE))
    upstream, _ = origin.answer(SWITCH)
    assert client.read_response().status == 101

    def both_ways():
        for sender, receiver in [(client, upstream), (upstream, client)]:
            sender.send(b"bytes")
            assert receiver.read_exactly(5) == b"bytes"

    def complete(_):
        both_ways()
        client.half_close()
        upstream.drain()
        upstream.close()

    both_ways()
    return Scene(gateway, origin, [client], upstream, complete)


def pending(gateway, origin):
    """A second client waits for the only connection, which serves the first one."""
    first = gateway.client().send(request("GET", "/first"))
    upstream, _ = origin.answer()
    second = gateway.client().send(request("GET", "/second"))
    gateway.wait_for_metric("sluice_upstream_pending_requests", 1)

    def complete(scene):
        if upstream.socket.fileno() >= 0:
            upstream.send(OK)
        if scene.client.socket.fileno() >= 0:
            scene.serving().answer(OK)

    return Scene(gateway, origin, [first, second], upstream, complete)


# --- events ---
def client_closes(scene, phase):
    """By FIN where that ends the connection; by RST where a FIN would only say that no further request comes."""
    if phase in (request_head, upload, idle):
        scene.client.close()
    else:
        scene.client.reset()
    if phase is pending:
        scene.gateway.wait_for_metric("sluice_upstream_pending_requests", 0)
        scene.complete(scene)


def upstream_closes(scene, phase):
    """The connection that serves the exchange, would serve it (request_head, idle), or is waited for (pending)."""
    scene.upstream.close()
    if phase in (request_head, idle):
        scene.gateway.wait_for_metric("sluice_upstream_connections_idle", 0)
    if phase in (request_head, idle, pending):
        scene.complete(scene)


def timeout(scene, phase):
    """The timeout of the phase; what it bounds does not come. In pending, the first client is answered afterwards."""
    if phase is pending:
        scene.gateway.wait_for_metric("sluice_upstream_pending_requests", 0)
        scene.upstream.send(OK)


def reload(scene, phase):
    """Route and upstream are gone; what began goes on with them, and what begins gets the new configuration."""
    gone = [{"name": "new", "match": {"path": "/{rest...}"}, "respond": {"status": 410}}]
    scene.gateway.reload(routes=gone, upstreams={"origin": None})
    if phase in (request_head, idle):
        scene.upstream.wait_closed()
        scene.upstream.close()
    scene.complete(scene)


def drain(scene, phase):
    """By POST /drain, so that the process lives on and its gauges can be read."""
    scene.gateway.admin("/drain", "POST")
    if phase is not idle:
        scene.complete(scene)


TIMEOUTS = {
    request_head: {"listeners": {"public": {"timeouts": {"request_header": SHORT}}}},
    response_head: {"upstreams": {"origin": {"timeouts": {"response_header": SHORT}}}},
    upload: {"listeners": {"public": {"timeouts": {"request_body": SHORT}}}},
    download: {"upstreams": {"origin": {"timeouts": {"idle": SHORT}}}},
    tunnel: {"listeners": {"public": {"timeouts": {"tunnel": SHORT}}}},
    idle: {"listeners": {"public": {"timeouts": {"idle": SHORT}}}, "upstreams": {"origin": {"pool": {"idle_timeout": SHORT}}}},
    pending: {"upstreams": {"origin": {"pool": {"pending_timeout": SHORT}}}},
}


def settings(event, phase):
    config = {"process": {"workers": 2, "shutdown_grace": SHORT}}
    if phase is pending:  # each worker has a pool of its own
        config = {"process": {"workers": 1, "shutdown_grace": SHORT},
                  "upstreams": {"origin": {"pool": {"max_open": 1, "pending_timeout": LONG}}}}
    return merged(config, TIMEOUTS[phase]) if event is timeout else config


# --- what is told ---
@dataclass
class Told:
    seen: list       # by each client that is still there
    log: list        # (status, reason) of each request
    clients: dict    # {reason: how many} of the client connections that ended
    upstreams: dict  # and of the connections to the endpoint, before the endpoint ends those that are left


TOLD = {
    # A request that was never whole is not in the log. In pending, the first client is served, and its connection stays.
    (client_closes, request_head): Told([], [], {"client_closed": 1}, {}),
    (client_closes, response_head): Told([], [(499, "client_closed")], {"client_closed": 1}, {"client_closed": 1}),
    (client_closes, upload): Told([], [(499, "client_closed")], {"client_closed": 1}, {"client_closed": 1}),
    (client_closes, download): Told([], [(200, "client_closed")], {"client_closed": 1}, {"client_closed": 1}),
    (client_closes, tunnel): Told([], [(101, "client_closed")], {"client_closed": 1}, {"client_closed": 1}),
    (client_closes, idle): Told([], [], {"keepalive_done": 1}, {}),
    (client_closes, pending): Told([200], [(499, "client_closed"), (200, "none")],
                                   {"client_closed": 1, "keepalive_done": 1}, {}),

    # A pooled connection that ends concerns nobody. A client that was answered before its body was whole breaks off itself.
    (upstream_closes, request_head): Told([200], [(200, "none")], {"keepalive_done": 1}, {"upstream_closed_idle": 1}),
    (upstream_closes, response_head): Told([502], [(502, "upstream_reset")], {"keepalive_done": 1}, {"upstream_reset": 1}),
    (upstream_closes, upload): Told([502], [(502, "upstream_reset")], {"client_closed": 1}, {"upstream_reset": 1}),
    (upstream_closes, download): Told(["200, cut"], [(200, "upstream_truncated")], {"upstream_truncated": 1},
                                      {"upstream_truncated": 1}),
    (upstream_closes, tunnel): Told(["end"], [(101, "tunnel_done")], {"tunnel_done": 1}, {"tunnel_done": 1}),
    (upstream_closes, idle): Told([200], [(200, "none")], {"keepalive_done": 1}, {"upstream_closed_idle": 1}),
    (upstream_closes, pending): Told([502, 200], [(502, "upstream_reset"), (200, "none")], {"keepalive_done": 2},
                                     {"upstream_reset": 1}),

    (timeout, request_head): Told([408], [(408, "request_header_timeout")], {"request_header_timeout": 1}, {}),
    (timeout, response_head): Told([504], [(504, "upstream_timeout")], {"keepalive_done": 1}, {"upstream_timeout": 1}),
    (timeout, upload): Told([408], [(408, "request_body_timeout")], {"request_body_timeout": 1}, {"request_body_timeout": 1}),
    (timeout, download): Told(["200, cut"], [(200, "upstream_idle_timeout")], {"upstream_idle_timeout": 1},
                              {"upstream_idle_timeout": 1}),
    (timeout, tunnel): Told(["end"], [(101, "tunnel_idle")], {"tunnel_idle": 1}, {"tunnel_idle": 1}),
    (timeout, idle): Told(["end"], [], {"idle_timeout": 1}, {"pool_idle": 1}),
    (timeout, pending): Told([200, 503], [(503, "pool_wait_timeout"), (200, "none")], {"keepalive_done": 2}, {}),

    # What had begun goes on, by connections that are not kept. The request whose head was half there had no connection yet.
    (reload, request_head): Told([200], [(200, "none")], {"keepalive_done": 1}, {"pool_surplus": 2}),
    (reload, response_head): Told([200], [(200, "none")], {"keepalive_done": 1}, {"pool_surplus": 1}),
    (reload, upload): Told([200], [(200, "none")], {"keepalive_done": 1}, {"pool_surplus": 1}),
    (reload, download): Told([200], [(200, "none")], {"keepalive_done": 1}, {"pool_surplus": 1}),
    (reload, tunnel): Told(["end"], [(101, "tunnel_done")], {"tunnel_done": 1}, {"tunnel_done": 1}),
    (reload, idle): Told([410], [(410, "none")], {"keepalive_done": 1}, {"pool_surplus": 1}),
    (reload, pending): Told([200, 200], [(200, "none"), (200, "none")], {"keepalive_done": 2}, {"pool_surplus": 1}),

    (drain, request_head): Told([200], [(200, "none")], {"drained": 1}, {}),
    (drain, response_head): Told([200], [(200, "none")], {"drained": 1}, {}),
    (drain, upload): Told([200], [(200, "none")], {"drained": 1}, {}),
    (drain, download): Told([200], [(200, "none")], {"drained": 1}, {}),
    (drain, tunnel): Told(["end"], [(101, "tunnel_done")], {"tunnel_done": 1}, {"tunnel_done": 1}),
    (drain, idle): Told(["end"], [], {"drained": 1}, {}),
    (drain, pending): Told([200, 200], [(200, "none"), (200, "none")], {"drained": 2}, {}),
}
CELLS = [pytest.param(event, phase, told, id=f"{event.__name__} in {phase.__name__}") for (event, phase), told in TOLD.items()]


def logged(gateway):
    """All but the request with which idle() begins; after the gateway's end."""
    return [(line["status"], line["reason"]) for line in gateway.access_log(0) if line["path"] != "/before"]


def by_reason(gateway, counter):
    """{reason: how many} of a counter with reasons."""
    counts = Counter()
    for (name, labels), value in gateway.metrics().items():
        if name == counter:
            counts[dict(labels)["reason"]] += int(value)
    return counts


@pytest.mark.parametrize("event, phase, told", CELLS)
def test_the_cause_is_told_and_every_gauge_is_back_at_0(event, phase, told):
    with RawOrigin() as origin, Sluice(proxy_config(origin, **settings(event, phase))) as gateway:
        scene = phase(gateway, origin)
        event(scene, phase)
        assert scene.seen() == told.seen
        if event is drain:
            assert [client.wait_closed() for client in scene.clients] == [End.eof] * len(scene.clients)
        gateway.wait_gauges_zero(pooled=event is reload)
        assert by_reason(gateway, "sluice_downstream_connections_closed_total") == told.clients
        assert by_reason(gateway, "sluice_upstream_connections_closed_total") == told.upstreams
        assert by_reason(gateway, "sluice_request_failures_total") == Counter(
            reason for _, reason in told.log if reason not in ("none", "tunnel_done"))
        for connection in origin.connections:
            connection.close()
        gateway.wait_gauges_zero(pooled=True)
        gateway.stop()
        assert logged(gateway) == told.log


# By SIGTERM, when nobody completes anything and shutdown_grace runs out: (what clients see, what is logged). The gauges end
# with the process.
BROKEN_OFF = {
    request_head: (["end"], []),
    response_head: ([503], [(503, "shutting_down")]),
    upload: ([503], [(503, "shutting_down")]),
    download: (["200, cut"], [(200, "shutting_down")]),
    tunnel: (["end"], [(101, "shutting_down")]),
    idle: (["end"], []),
    pending: ([503, 503], [(503, "shutting_down"), (503, "shutting_down")]),
}


@pytest.mark.parametrize("phase", BROKEN_OFF, ids=lambda phase: phase.__name__)
def test_what_outlasts_a_sigterm_is_told_why_and_the_gateway_ends_with_0(phase):
    with RawOrigin() as origin, Sluice(proxy_config(origin, **settings(None, phase))) as gateway:
        scene = phase(gateway, origin)
        gateway.process.send_signal(signal.SIGTERM)
        seen, log = BROKEN_OFF[phase]
        assert scene.seen() == seen
        assert gateway.process.wait(DEADLINE) == 0, gateway.output()
        assert logged(gateway) == log


def test_who_waits_for_a_connection_hears_that_the_endpoint_refuses():
    """The other meaning of "upstream closes" while requests wait: the one that served them is gone, and there is no new one."""
    with RawOrigin() as origin, Sluice(proxy_config(origin, **settings(None, pending))) as gateway:
        scene = pending(gateway, origin)
        origin.refuse()
        scene.upstream.close()
        assert scene.seen() == [502, 502]
        gateway.wait_gauges_zero(pooled=True)
        gateway.stop()
        assert logged(gateway) == [(502, "upstream_reset"), (502, "connect_failed")]
