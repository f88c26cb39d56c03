"""The PROXY protocol: what load balancers tell listeners of the client, and what the gateway tells endpoints of it."""

import itertools
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
from concurrent import futures

import pytest

from harness import (DEADLINE, OK, Authority, End, RawOrigin, Sluice, answering, assert_problem, free_port, milliseconds,
                     proxy_config, proxying, request, response, wait_until)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n"
INET = bytes([192, 0, 2, 7, 198, 51, 100, 9]) + struct.pack(">HH", 4711, 443)
CLOSED = "sluice_downstream_connections_closed_total"
FROM_LOOPBACK = {"proxy_protocol": ["127.0.0.0/8"]}
GET = request("GET", "/")


def field(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def binary(rest, command=0x21, family=0x11):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


def tls_field(client, verified, **texts):
    kinds = {"version": 0x21, "name": 0x22, "cipher": 0x23}
    return field(0x20, struct.pack(">BI", client, 0 if verified else 1) +
                 b"".join(field(kinds[kind], text.encode()) for kind, text in texts.items()))


V2 = binary(INET)
V6 = binary(bytes.fromhex("20010db8000000000000000000000007") + bytes(15) + b"\1" + struct.pack(">HH", 4711, 443), family=0x21)


def behind(listener=None, **config):
    return proxying(listener={**FROM_LOOPBACK, **(listener or {})}, **config)


def forwarded_for(gateway, origin, sent, **options):
    """What the origin is told of a request behind these bytes."""
    client = gateway.client(**options).send(sent + GET)
    _, seen = origin.answer(OK)
    assert client.read_response().status == 200
    return seen.get("x-forwarded-for")


def logged_client(gateway, count=1):
    """Without the port."""
    return gateway.access_log(count)[0]["client"].rpartition(":")[0].strip("[]") or "unix"


# --- from load balancers ---

@pytest.mark.parametrize("header, address", [
    (V1, "192.0.2.7"), (V2, "192.0.2.7"), (V6, "2001:db8::7"),
    (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", "2001:db8::7"),
    (binary(INET + field(4, bytes(4065))), "192.0.2.7"),  # as long as it may be
    (binary(bytes(216), family=0x31), "unix"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", "127.0.0.1"),
    (binary(b"", command=0x20, family=0), "127.0.0.1"),
    (binary(INET, command=0x20), "127.0.0.1"),
    (binary(b"", family=0), "127.0.0.1"),
], ids=lambda value: value if isinstance(value, str) else value[:20].decode("latin-1"))
def test_the_address_in_the_header_is_the_clients(header, address):
    with behind() as (gateway, origin):
        assert forwarded_for(gateway, origin, header) == address
        assert logged_client(gateway) == address
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("header", [V1, binary(INET + tls_field(1, False, version="TLSv1.3"))], ids=["v1", "v2"])
def test_a_header_may_come_in_pieces_and_what_follows_is_left_alone(header):
    with behind() as (gateway, origin):
        client = gateway.client().send(*(header[at:at + 1] for at in range(len(header))))
        client.send(GET)
        upstream, seen = origin.answer(OK)
        assert seen.get("x-forwarded-for") == "192.0.2.7"
        assert client.read_response().status == 200
        gateway.client().send(header[:7], header[7:] + GET[:10], GET[10:])
        assert upstream.answer(OK).get("x-forwarded-for") == "192.0.2.7"


def test_a_header_comes_once_and_concerns_all_requests_of_its_connection():
    with behind() as (gateway, origin):
        client = gateway.client().send(V2 + GET + GET)
        upstream, first = origin.answer(OK)
        second = upstream.answer(OK)
        assert [seen.get("x-forwarded-for") for seen in (first, second)] == ["192.0.2.7"] * 2
        assert [client.read_response().status for _ in range(2)] == [200, 200]
        client.send(V1 + GET)
        assert_problem(client.read_response(), 400, "bad_request_line")


@pytest.mark.parametrize("sent, reason", [
    (b"PROXY TCP4 192.0.2.7 198.51.100.9 4711\r\n", "proxy_protocol_bad"),
    (b"PROXY TCP4 " + b"1" * 100, "proxy_protocol_bad"),
    (b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n\r\n", "proxy_protocol_bad"),
    (binary(INET[:11]), "proxy_protocol_bad"),
    (binary(INET + field(3, b"abcd")), "proxy_protocol_bad"),
    (SIGNATURE + b"\x21\x11\xff\xff", "proxy_protocol_bad"),
    (SIGNATURE + b"\x31\x11\x00\x00", "proxy_protocol_bad"),
    (b"\r\n\r\n\0\r\nQUIX", "proxy_protocol_missing"),
    (b"\x16\x03\x01", "proxy_protocol_missing"),
], ids=lambda value: value if isinstance(value, str) else value[:24].decode("latin-1"))
def test_what_is_no_header_ends_the_connection_and_is_counted(sent, reason):
    with behind() as (gateway, origin):
        client = gateway.client().send(sent)
        data, _ = client.read_to_end()
        assert (b"proxy_protocol_missing" in data) == (reason == "proxy_protocol_missing")
        gateway.wait_for_metric(CLOSED, 1, reason=reason)
        assert not origin.connections
        gateway.wait_gauges_zero()


def test_who_should_send_a_header_and_sends_a_request_is_told_so():
    with behind() as (gateway, _):
        client = gateway.client().send(GET)
        assert_problem(client.read_response(), 400, "proxy_protocol_missing")
        client.wait_closed()


def test_somebody_else_is_a_client_like_any_other():
    with behind({"proxy_protocol": ["192.0.2.0/24"]}) as (gateway, origin):
        assert forwarded_for(gateway, origin, b"") == "127.0.0.1"
        client = gateway.client().send(V1 + GET)
        assert_problem(client.read_response(), 400, "bad_request_line")


def test_a_header_that_does_not_come_has_the_time_of_a_request_head():
    with behind({"timeouts": {"request_header": milliseconds(200)}}) as (gateway, _):
        silent, slow = gateway.client(), gateway.client().send(V2[:14])
        silent.wait_closed()
        slow.wait_closed()
        gateway.wait_for_metric(CLOSED, 2, reason="proxy_protocol_timeout")


def test_who_connects_and_leaves_is_no_fault():
    with behind() as (gateway, _):
        gateway.client().half_close()
        gateway.client().send(V1[:20]).half_close()
        gateway.wait_for_metric(CLOSED, 1, reason="keepalive_done")
        gateway.wait_for_metric(CLOSED, 1, reason="client_closed")
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("trusted, believed", [(["192.0.2.7"], True), (["127.0.0.1"], False)])
def test_whether_forwarding_headers_are_believed_is_decided_by_the_address_in_the_header(trusted, believed):
    with behind(trusted_proxies=trusted) as (gateway, origin):
        gateway.client().send(V1 + request("GET", "/", [("X-Forwarded-For", "203.0.113.5")]))
        _, seen = origin.answer(OK)
        assert seen.get("x-forwarded-for") == ("203.0.113.5, 192.0.2.7" if believed else "192.0.2.7")
        assert gateway.access_log()[0]["client"] == ("203.0.113.5" if believed else "192.0.2.7:4711")


def test_trust_follows_a_reload():
    with behind() as (gateway, origin):
        client = gateway.client().send(V1 + GET)
        upstream, _ = origin.answer(OK)
        client.read_response()
        assert gateway.reload(trusted_proxies=["192.0.2.7"])["accepted"]
        client.send(request("GET", "/", [("X-Forwarded-For", "203.0.113.5")]))
        assert upstream.answer(OK).get("x-forwarded-for") == "203.0.113.5, 192.0.2.7"


def test_plugins_see_the_address_in_the_header():
    plugins = {"office": {"module": "ip-filter", "config": {"allow": ["192.0.2.0/24"]}}}
    with proxying(answering(OK), listener={**FROM_LOOPBACK, "plugins": ["office"]}, plugins=plugins) as (gateway, _):
        assert gateway.client().send(V1 + GET).read_response().status == 200
        assert gateway.client().send(V1.replace(b"192.0.2.7", b"192.0.3.7") + GET).read_response().status == 403


def test_what_the_load_balancer_knows_of_tls_is_what_routes_tell_upstreams():
    edits = {"request": {"set": {"x-tls": "{tls_version} {tls_cipher} {tls_server_name} {tls_client_subject} {scheme}"}}}
    about = field(2, b"example.com") + tls_field(3, True, version="TLSv1.3", name="app, inc", cipher="TLS_AES_128_GCM_SHA256")
    with behind(route={"headers": edits}) as (gateway, origin):
        gateway.client().send(binary(INET + about) + GET)
        _, seen = origin.answer(OK)
        assert seen.get("x-tls") == "TLSv1.3 TLS_AES_128_GCM_SHA256 example.com CN=app\\, inc https"
        assert seen.get("x-forwarded-proto") == "https"
        assert gateway.access_log()[0]["tls"] == "TLSv1.3"


def test_a_unix_socket_expects_headers_of_everybody(tmp_path):
    with RawOrigin() as origin, Sluice(proxy_config(origin, listener={**FROM_LOOPBACK, "address": f"unix:{tmp_path}/s"})) as gateway:
        assert forwarded_for(gateway, origin, V1) == "192.0.2.7"
        assert_problem(gateway.client().send(GET).read_response(), 400, "proxy_protocol_missing")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("server", "DNS:app.test", "IP:127.0.0.1")


def https(identity, **more):
    return {**FROM_LOOPBACK, "tls": {"certificates": [{"cert_file": identity[0], "key_file": identity[1]}], **more}}


def trusting(authority, identity=None):
    context = ssl.create_default_context(cafile=authority.certificate)
    if identity:
        context.load_cert_chain(*identity)
    return context


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_a_header_comes_before_tls(authority, identity, pieces):
    with proxying(listener=https(identity)) as (gateway, origin):
        client = gateway.client()
        about = tls_field(1, False, version="SSLv3")  # the listener's own TLS is what counts
        header = binary(INET + about)
        client.send(*([header] if pieces == "whole" else (header[at:at + 1] for at in range(len(header)))))
        client.socket = trusting(authority).wrap_socket(client.socket, server_hostname="app.test")
        client.send(GET)
        _, seen = origin.answer(OK)
        assert client.read_response().status == 200
        assert (seen.get("x-forwarded-for"), seen.get("x-forwarded-proto")) == ("192.0.2.7", "https")
        assert gateway.access_log()[0]["tls"] == client.socket.version()


def test_a_header_and_the_clients_hello_may_come_in_one_segment(authority, identity):
    with proxying(listener=https(identity)) as (gateway, origin):
        client = gateway.client()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="app.test")

        def advance(step, first=b""):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    client.send(first + outgoing.read())
                    first = b""
                    client.receive()
                    incoming.write(client.take(len(client.buffer)))

        advance(session.do_handshake, V2)
        session.write(GET)
        client.send(outgoing.read())
        _, seen = origin.answer(OK)
        assert seen.get("x-forwarded-for") == "192.0.2.7"
        assert advance(lambda: session.read(12)) == b"HTTP/1.1 200"


def test_tls_without_a_header_is_refused(authority, identity):
    with proxying(listener=https(identity)) as (gateway, _):
        with pytest.raises(OSError):
            gateway.client(tls=trusting(authority), server_name="app.test")
        gateway.wait_for_metric(CLOSED, 1, reason="proxy_protocol_missing")


@pytest.mark.parametrize("header", [b"", V1[:10]], ids=["silent", "begun"])
def test_a_drain_waits_for_a_header_no_longer_than_its_time(header):
    with behind({"timeouts": {"request_header": milliseconds(300)}}, process={"shutdown_grace": "20s"}) as (gateway, _):
        client = gateway.client().send(header)
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="handshake")
        gateway.stop(signal.SIGTERM)
        client.wait_closed()


def test_a_connection_whose_header_comes_while_the_gateway_drains_is_still_served():
    with behind(process={"shutdown_grace": "20s"}) as (gateway, origin):
        client = gateway.client().send(V1[:10])
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="handshake")
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: gateway.admin("/readyz")[0] == 503, "it drains")
        client.send(V1[10:] + GET)
        _, seen = origin.answer(OK)
        assert seen.get("x-forwarded-for") == "192.0.2.7"
        answer = client.read_response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert gateway.process.wait(DEADLINE) == 0


def curl(*arguments):
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=DEADLINE)


def test_curl_speaks_it():
    with proxying(answering(OK), listener=FROM_LOOPBACK) as (gateway, _):
        url = f"http://{gateway.address()}/"
        done = curl("--haproxy-protocol", url, url)
        assert (done.returncode, done.stdout) == (0, "okok"), done.stderr
        assert logged_client(gateway, 2) == "127.0.0.1"


def test_http2_comes_behind_a_header():
    with proxying(answering(lambda message: response(message.get("x-forwarded-for").encode())), listener=FROM_LOOPBACK) as (gateway, _):
        done = curl("--http2-prior-knowledge", "--haproxy-protocol", "-w", " %{http_version} ", f"http://{gateway.address()}/")
        assert (done.returncode, done.stdout) == (0, "127.0.0.1 2 "), done.stderr
        assert gateway.access_log()[0]["protocol"] == "HTTP/2"


# --- to endpoints ---

def towards(version, **settings):
    return {"upstream_settings": {"proxy_protocol": version, "retry": {"attempts": 0}, **settings}}


def ports_of(client):
    return client.socket.getsockname()[1], client.socket.getpeername()[1]


def test_version_1_is_written_before_the_request():
    with proxying(**towards("v1")) as (gateway, origin):
        client = gateway.client().send(GET)
        upstream = origin.accept()
        line = upstream.read_through(b"\r\n")
        assert line == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports_of(client)
        upstream.answer(OK)
        assert client.read_response().body == b"ok"


def test_version_2_is_written_before_the_request():
    with proxying(**towards("v2")) as (gateway, origin):
        client = gateway.client().send(GET)
        upstream = origin.accept()
        expected = binary(bytes([127, 0, 0, 1] * 2) + struct.pack(">HH", *ports_of(client)))
        assert upstream.read_exactly(len(expected)) == expected
        upstream.answer(OK)
        assert client.read_response().body == b"ok"


def tells_the_line(connection):
    """A script: each answer is the PROXY header that the connection began with, and how many requests it has had."""
    line = connection.read_through(b"\r\n")
    for number in itertools.count(1):
        connection.read_request()
        connection.send(response(b"%s %d" % (line.strip(), number)))


def line_of(client, version="TCP4"):
    return b"PROXY %s 127.0.0.1 127.0.0.1 %d %d" % (version.encode(), *ports_of(client))


def test_the_requests_of_a_client_share_a_connection_that_ends_with_the_client():
    with proxying(tells_the_line, **towards("v1")) as (gateway, origin):
        client = gateway.client()
        for number in range(1, 4):
            assert client.ask("GET", "/").body == line_of(client) + b" %d" % number
        gateway.wait_for_metric("sluice_upstream_connections_idle", 1)
        metrics = gateway.metrics()
        assert metrics.total("sluice_upstream_connections_opened_total") == 1
        assert metrics.total("sluice_upstream_connections_reused_total") == 2
        client.close()
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 1, reason="keepalive_done")
        wait_until(lambda: origin.connections[0].ended is End.eof, "the endpoint hears of it")
        gateway.wait_gauges_zero(pooled=True)


def test_clients_take_turns_and_each_has_its_own():
    with proxying(tells_the_line, **towards("v1")) as (gateway, origin):
        clients = [gateway.client() for _ in range(3)]
        for number in range(1, 6):
            for client in clients:
                assert client.ask("GET", "/").body == line_of(client) + b" %d" % number
        assert len(origin.connections) == 3


def test_a_client_with_the_port_of_one_that_left_gets_a_connection_of_its_own():
    with proxying(tells_the_line, **towards("v1")) as (gateway, origin):
        port, answers = free_port(), []
        for _ in range(2):
            client = gateway.client(source=("127.0.0.1", port))
            answers.append(client.ask("GET", "/").body)
            client.reset()
        assert answers == [b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %s 1" % (port, gateway.address().split(":")[1].encode())] * 2
        assert len(origin.connections) == 2


def test_many_clients_over_few_connections_mix_nothing_up():
    with proxying(tells_the_line, **towards("v1", pool={"max_open": 3, "pending_timeout": "60s"})) as (gateway, origin):
        def ask(_):
            with gateway.client() as client:
                return [client.ask("GET", "/").body.rsplit(b" ", 1)[0] == line_of(client) for _ in range(20)]

        with futures.ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(40))) == [[True] * 20] * 40
        gateway.wait_gauges_zero(pooled=True)


def test_an_idle_connection_makes_room_for_another_client():
    with proxying(tells_the_line, **towards("v1", pool={"max_open": 1})) as (gateway, origin):
        clients = [gateway.client() for _ in range(2)]
        for _ in range(2):
            for client in clients:
                assert client.ask("GET", "/").body == line_of(client) + b" 1"
        assert len(origin.connections) == 4


def test_a_connection_that_went_stale_is_replaced_by_one_with_the_same_header():
    with proxying(**towards("v1")) as (gateway, origin):
        client = gateway.client().send(GET)
        upstream = origin.accept()
        line = upstream.read_through(b"\r\n")
        upstream.answer(OK)
        assert client.read_response().status == 200
        with gateway.stopped():
            client.send(GET)
            upstream.close()
        upstream = origin.accept()
        assert upstream.read_through(b"\r\n") == line
        upstream.answer(OK)
        assert client.read_response().status == 200


def test_clients_without_an_address_share_nothing_though_their_headers_are_the_same():
    with tempfile.TemporaryDirectory() as directory:
        listener = {"address": f"unix:{directory}/s"}
        with proxying(tells_the_line, listener=listener, **towards("v1")) as (gateway, origin):
            first, second = gateway.client(), gateway.client()
            for client, number in ((first, 1), (second, 1), (first, 2), (second, 2)):
                assert client.ask("GET", "/").body == b"PROXY UNKNOWN %d" % number
            assert len(origin.connections) == 2


def test_streams_of_a_client_share_its_connections():
    with proxying(tells_the_line, **towards("v1")) as (gateway, origin):
        clients = [gateway.http2() for _ in range(2)]
        for number in range(1, 6):
            for client in clients:
                assert bytes(client.get().body) == line_of(client) + b" %d" % number
        for client in clients:
            streams = [client.begin() for _ in range(20)]
            assert {bytes(client.wait(stream).body).rsplit(b" ", 1)[0] for stream in streams} == {line_of(client)}
        before = len(origin.connections)
        for client in clients:
            assert bytes(client.get().body).startswith(line_of(client))
        assert len(origin.connections) == before
        gateway.wait_gauges_zero(pooled=True)


def told_ports(origin, count):
    """(connection, the client's port that it told of) of the next connections."""
    connections = [origin.accept() for _ in range(count)]
    return [(connection, int(connection.read_through(b"\r\n").split()[4])) for connection in connections]


def test_requests_that_wait_for_a_connection_each_get_their_own():
    with proxying(**towards("v1", pool={"max_open": 2, "pending_timeout": "10s"})) as (gateway, origin):
        clients = {}
        for number in range(6):
            client = gateway.client().send(request("GET", f"/{number}"))
            clients[ports_of(client)[0]] = (client, f"/{number}")
        served = []
        while len(served) < 6:
            for upstream, port in told_ports(origin, 1):
                client, target = clients[port]
                assert upstream.read_request().target == target
                upstream.send(OK)
                assert client.read_response().status == 200
                served.append(port)
        assert set(served) == set(clients)
        gateway.wait_gauges_zero()


def test_the_connection_of_a_client_that_left_is_nobody_elses():
    with proxying(**towards("v1", pool={"max_open": 1, "pending_timeout": "10s"})) as (gateway, origin):
        first = gateway.client().send(request("GET", "/first"))
        upstream = origin.accept()
        gateway.client().send(request("GET", "/left")).reset()
        last = gateway.client().send(request("GET", "/last"))
        gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
        assert b"PROXY" in upstream.read_through(b"\r\n")
        upstream.answer(OK)
        assert first.read_response().status == 200
        upstream = origin.accept()
        assert int(upstream.read_through(b"\r\n").split()[4]) == ports_of(last)[0]
        assert upstream.answer(OK).target == "/last"
        assert last.read_response().status == 200


def test_an_endpoint_that_is_down_is_502():
    with Sluice(proxy_config(f"127.0.0.1:{free_port()}", **towards("v2"))) as gateway:
        assert_problem(gateway.get("/"), 502, "connect_failed")
        gateway.wait_gauges_zero()


def test_a_retry_tells_it_again():
    with proxying(**towards("v1", retry={"attempts": 1, "on": ["reset"]})) as (gateway, origin):
        client = gateway.client().send(GET)
        upstream = origin.accept()
        line = upstream.read_through(b"\r\n")
        upstream.read_request()
        upstream.reset()
        upstream = origin.accept()
        assert upstream.read_through(b"\r\n") == line
        upstream.answer(OK)
        assert client.read_response().status == 200


class TlsBehindHeader:
    """An origin's connection that reads a header of version 2, and then speaks TLS."""

    def __init__(self, origin, context=None):
        self.upstream = origin.accept()
        fixed = self.upstream.socket.recv(16, socket.MSG_WAITALL)  # and nothing of what stands behind
        self.header = fixed + self.upstream.socket.recv(struct.unpack(">H", fixed[14:])[0], socket.MSG_WAITALL)
        self.port = struct.unpack(">H", self.header[24:26])[0]
        if context:
            self.secure(context)

    def secure(self, context):
        self.upstream.socket = context.wrap_socket(self.upstream.socket, server_side=True)


def server_context(identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    return context


def test_the_header_comes_before_tls_with_the_endpoint(authority, identity):
    with proxying(**towards("v2", tls={"ca_file": authority.certificate})) as (gateway, origin):
        client = gateway.client().send(GET)
        connection = TlsBehindHeader(origin, server_context(identity))
        assert connection.header[16:24] == bytes([127, 0, 0, 1] * 2)
        connection.upstream.answer(OK)
        assert client.read_response().status == 200
        gateway.wait_gauges_zero()


def test_a_handshake_that_fails_is_the_failure_of_its_own_request(authority, identity):
    with proxying(**towards("v2", tls={"ca_file": authority.certificate, "server_name": "other.test"})) as (gateway, origin):
        client = gateway.client().send(GET)
        with pytest.raises(ssl.SSLError):
            TlsBehindHeader(origin, server_context(identity)).upstream.read_request()
        assert_problem(client.read_response(), 502, "tls_handshake_failed")
        gateway.wait_gauges_zero()


def test_handshakes_that_end_in_another_order_mix_nothing_up(authority, identity):
    with proxying(**towards("v2", tls={"ca_file": authority.certificate}, timeouts={"connect": "10s"})) as (gateway, origin):
        clients = {}
        for target in ("/a", "/b", "/c"):
            client = gateway.client().send(request("GET", target))
            clients[ports_of(client)[0]] = (client, target)
        connections = [TlsBehindHeader(origin) for _ in clients]
        for connection in reversed(connections):
            connection.secure(server_context(identity))
            client, target = clients.pop(connection.port)
            assert connection.upstream.answer(OK).target == target
            assert client.read_response().status == 200


def test_a_client_that_leaves_during_the_endpoints_handshake_takes_its_connection_along(authority, identity):
    with proxying(**towards("v2", tls={"ca_file": authority.certificate})) as (gateway, origin):
        client = gateway.client().send(request("GET", "/left"))
        upstream = origin.accept()
        assert upstream.socket.recv(28, socket.MSG_WAITALL).startswith(SIGNATURE)
        client.reset()
        gateway.wait_for_metric("sluice_upstream_pending_requests", 0)
        try:
            upstream.socket = server_context(identity).wrap_socket(upstream.socket, server_side=True)
            upstream.socket.recv(1)
        except OSError:
            pass
        other = gateway.client().send(request("GET", "/other"))
        connection = TlsBehindHeader(origin, server_context(identity))
        assert connection.upstream.answer(OK).target == "/other"
        assert other.read_response().status == 200
        gateway.wait_gauges_zero()


def test_version_2_tells_what_the_client_agreed_on_by_tls(authority, identity):
    app = authority.issue("app")
    listener = https(identity, client_ca_file=authority.certificate)
    listener.pop("proxy_protocol")
    with proxying(listener=listener, **towards("v2")) as (gateway, origin):
        client = gateway.client(tls=trusting(authority, app), server_name="app.test").send(GET)
        upstream = origin.accept()
        fixed = upstream.read_exactly(16)
        rest = upstream.read_exactly(struct.unpack(">H", fixed[14:])[0])
        assert field(2, b"app.test") in rest
        version, cipher = client.socket.version(), client.socket.cipher()[0]
        assert tls_field(3, True, version=version, name="authority-app", cipher=cipher) in rest
        upstream.answer(OK)
        assert client.read_response().status == 200


def test_one_gateway_tells_another():
    edits = {"request": {"set": {"x-tls": "{tls_version}|{tls_server_name}|{tls_client_subject}"}}}
    about = field(2, b"example.com") + tls_field(3, True, version="TLSv1.2", name="app")
    for version in ("v1", "v2"):
        with RawOrigin() as origin, Sluice(proxy_config(origin, listener=FROM_LOOPBACK, route={"headers": edits})) as inner:
            with Sluice(proxy_config(inner.address(), listener=FROM_LOOPBACK, **towards(version))) as outer:
                client = outer.client().send(binary(INET + about) + GET)
                _, seen = origin.answer(OK)
                assert seen.get("x-forwarded-for") == "192.0.2.7"
                assert seen.get("x-tls") == ("TLSv1.2|example.com|CN=app" if version == "v2" else "||")
                assert client.read_response().status == 200
                outer.wait_gauges_zero()


def test_a_tunnel_has_a_header_too():
    ask = request("GET", "/ws", [("Connection", "Upgrade"), ("Upgrade", "x")])
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    with proxying(**towards("v1")) as (gateway, origin):
        client = gateway.client().send(ask)
        upstream = origin.accept()
        assert upstream.read_through(b"\r\n").startswith(b"PROXY TCP4 127.0.0.1 ")
        upstream.answer(switch)
        assert client.read_response().status == 101
        upstream.send(b"hello")
        assert client.read_exactly(5) == b"hello"
