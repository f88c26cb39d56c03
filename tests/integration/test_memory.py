"""Bodies stream: a reader that is slower than its writer costs a bounded amount of memory."""

import select

import pytest

from harness import SANITIZER, Sluice, answering, proxying, request, response, wait_until

pytestmark = pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory grows with what is allocated")

SIZE = 64 << 20
PIECE = bytes(256 * 1024)
SMALL = response(bytes(30_000))
ALLOWED = 8 << 20
OPEN = {"listener": {"limits": {"body": "1GiB"}}}


def read_slowly(peer, count, gateway, baseline):
    """Reads `count` bytes with the sender always ahead, and watches the gateway's memory meanwhile."""
    peak = 0
    left = count
    while left > 0:
        left -= len(peer.read_exactly(min(left, len(PIECE))))
        if left % (8 << 20) == 0:
            peak = max(peak, gateway.rss_bytes() - baseline)
    return peak


def warm_up(gateway, origin):
    """One small exchange, so that what is allocated once is not counted; returns the memory used then."""
    client = gateway.client().send(request("POST", "/", body=b"x" * 65536))
    upstream, _ = origin.answer(response(b"y" * 65536))
    client.read_response()
    upstream.close()
    return gateway.rss_bytes()


def test_a_download_of_64_mib_to_a_slow_reader_takes_less_than_8_mib():
    with proxying(**OPEN) as (gateway, origin):
        baseline = warm_up(gateway, origin)
        client = gateway.client(receive_buffer=16384).send(request())
        upstream, _ = origin.answer(response(headers=[("Content-Length", str(SIZE))], framed=False))
        upstream.send_in_background(bytes(SIZE))
        client.read_through(b"\r\n\r\n")
        assert read_slowly(client, SIZE, gateway, baseline) < ALLOWED
        gateway.wait_gauges_zero()


def is_writable(peer):
    return bool(select.select([], [peer.socket], [], 0)[1])


def fill(gateway, origin, count):
    """Answers up to `count` small requests of a client that does not read; returns (client, upstream, answered before it was full)."""
    client, upstream = gateway.client(receive_buffer=4096), None
    for number in range(count):
        client.send(request())
        upstream = upstream or origin.accept()
        upstream.answer(SMALL)
        wait_until(lambda: (now := gateway.metrics()).total("sluice_requests_in_flight") == 0
                   or now.total("sluice_downstream_connections", state="writing") == 1, "the answer is out, or held")
        if gateway.metrics().total("sluice_requests_in_flight") != 0:
            return client, upstream, number
    return client, upstream, count


def test_a_large_body_behind_a_head_that_the_client_does_not_take_yet_arrives_whole():
    large = response(bytes(4 << 20))
    with proxying(**OPEN) as (gateway, origin):
        client, upstream, room = fill(gateway, origin, 1000)
        client.close()
        upstream.close()
        gateway.wait_gauges_zero()
        gateway.wait_for_metric("sluice_upstream_connections_idle", 0)
        client, upstream, answered = fill(gateway, origin, room)
        client.send(request())
        upstream.answer(large[:len(SMALL)])  # held, if there is as little room as before
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="writing")
        sending = upstream.send_in_background(large[len(SMALL):])
        wait_until(lambda: not is_writable(upstream) or not sending.is_alive(), "the gateway takes no more")
        for _ in range(answered):
            client.read_response()
        assert len(client.read_response().body) == 4 << 20


def test_ten_thousand_pipelined_requests_that_arrive_at_once_take_less_than_8_mib():
    asked = request("OPTIONS", "*", host="a") * 1000
    with proxying(**OPEN) as (gateway, origin):
        warm_up(gateway, origin)
        clients = [gateway.client() for _ in range(10)]
        gateway.wait_for_metric("sluice_downstream_connections_accepted_total", 11)
        with gateway.stopped():
            before = gateway.peak_rss_bytes()
            for client in clients:
                client.send(asked)
        for client in clients:
            assert [client.read_response().status for _ in range(1000)] == [204] * 1000
        assert gateway.peak_rss_bytes() - before < ALLOWED


@pytest.mark.parametrize("at_a_time", [1, 50])
def test_ten_thousand_streams_of_a_connection_leave_nothing_behind(at_a_time):
    with proxying(answering(SMALL)) as (gateway, _):
        client = gateway.http2()

        def ask(count):
            for _ in range(count // at_a_time):
                for stream in [client.begin("POST", end_stream=False) for _ in range(at_a_time)]:
                    client.send_data(stream, b"body")
                    assert client.wait(stream).status == 200
                client.answers.clear()
                client.windows = {0: client.windows[0]}
            return gateway.rss_bytes()

        settled = ask(1000)
        assert ask(10_000) - settled < 1 << 20


def test_an_upload_of_64_mib_to_a_slow_origin_takes_less_than_8_mib():
    with proxying(**OPEN) as (gateway, origin):
        origin.recording = False
        baseline = warm_up(gateway, origin)
        client = gateway.client()
        client.send_in_background(request("POST", "/", [("Content-Length", str(SIZE))]) + bytes(SIZE))
        upstream = origin.accept()
        upstream.read_request_head()
        assert read_slowly(upstream, SIZE, gateway, baseline) < ALLOWED
        upstream.send(response(b"ok"))
        assert client.read_response().body == b"ok"
        gateway.wait_gauges_zero()


def test_a_chunked_download_to_a_slow_reader_takes_less_than_8_mib():
    with proxying(**OPEN) as (gateway, origin):
        baseline = warm_up(gateway, origin)
        client = gateway.client(receive_buffer=16384).send(request())
        upstream, _ = origin.answer(response(headers=[("Transfer-Encoding", "chunked")], framed=False))
        upstream.send_in_background((b"%x\r\n%b\r\n" % (len(PIECE), PIECE)) * (SIZE // len(PIECE)) + b"0\r\n\r\n")
        client.read_through(b"\r\n\r\n")
        peak, received = 0, 0
        while chunk := client.read_chunk():
            received += len(chunk)
            peak = max(peak, gateway.rss_bytes() - baseline)
        assert received == SIZE and peak < ALLOWED


def test_a_tunnel_whose_reader_stops_takes_less_than_8_mib():
    ask = [("Connection", "Upgrade"), ("Upgrade", "echo")]
    with proxying() as (gateway, origin):
        baseline = warm_up(gateway, origin)
        client = gateway.client(receive_buffer=16384).send(request("GET", "/", ask))
        upstream, _ = origin.answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        client.read_response()
        upstream.send_in_background(bytes(SIZE))
        assert read_slowly(client, SIZE, gateway, baseline) < ALLOWED


def test_a_thousand_connections_leave_their_memory_when_they_go():
    with proxying(lambda connection: connection.drain()) as (gateway, _):

        def crowd():
            clients = [gateway.client() for _ in range(1000)]
            gateway.wait_for_metric("sluice_downstream_connections", 1000)
            for client in clients:
                client.close()
            gateway.wait_for_metric("sluice_downstream_connections", 0)

        crowd()
        before = gateway.rss_bytes()
        for _ in range(5):
            crowd()
        assert gateway.rss_bytes() - before < 2 << 20


def test_memory_does_not_grow_with_the_number_of_reloads():
    routes = [{"name": f"r{i}", "match": {"path": f"/r{i}/{{id}}"}, "respond": {"body": "x" * 50}} for i in range(300)]
    with Sluice({"routes": routes}) as gateway:

        def reload_often(times):
            for i in range(times):
                assert gateway.reload(routes=[*routes, {"match": {"path": "/last"}, "respond": {"body": str(i)}}])["accepted"]
            return gateway.rss_bytes()

        settled = reload_often(15)
        assert reload_often(40) < settled * 1.1


def wait_for_memory(gateway, limit):
    wait_until(lambda: gateway.rss_bytes() < limit,
               lambda: f"resident memory, {gateway.rss_bytes() >> 10} KiB, is below {int(limit) >> 10} KiB", seconds=60)


def test_the_memory_of_a_peak_of_slow_downloads_is_given_back_within_thirty_seconds():
    slow = 300
    body = b"%x\r\n" % SIZE + bytes(8 << 20)
    with proxying(upstream_settings={"pool": {"max_open": slow}}) as (gateway, origin):
        warm_up(gateway, origin)
        before = gateway.rss_bytes()
        clients = []
        for _ in range(slow):
            clients.append(gateway.client(receive_buffer=4096).send(request()))
            upstream, _ = origin.answer(response(headers=[("Transfer-Encoding", "chunked")], framed=False))
            upstream.send_in_background(body)
        wait_until(lambda: gateway.rss_bytes() > before * 2, "the gateway holds much of what the clients do not read")
        for client in clients:
            client.reset()
        gateway.wait_gauges_zero()
        assert gateway.rss_bytes() > before * 1.2  # what may be needed again at once is kept
        wait_for_memory(gateway, before * 1.2)


def test_the_memory_of_a_large_configuration_is_given_back_when_a_small_one_takes_its_place():
    small = [{"name": "small", "match": {"path": "/"}, "respond": {"body": "x"}}]
    large = [{"match": {"path": f"/r{i}/{{id}}"}, "respond": {"body": "x" * 500}} for i in range(10000)]
    with Sluice({"routes": small}) as gateway:
        before = gateway.rss_bytes()
        assert gateway.reload(routes=large)["accepted"]
        peak = gateway.rss_bytes()
        assert peak > before * 2
        assert gateway.reload(routes=small)["accepted"]
        wait_for_memory(gateway, before * 1.2)


def test_names_that_change_with_every_reload_leave_neither_series_nor_memory():
    many = range(5)

    def rename(gateway, number):
        public = gateway.config["listeners"]["public"]
        gateway.config |= {"upstreams": {}, "listeners": {"public": public}}
        assert gateway.reload(
            listeners={f"l{number}": {"address": f"unix:{gateway.directory}/side.sock"}},
            upstreams={f"u{number}-{i}": {"endpoints": [f"127.0.{number % 200}.{i + 1}:9"]} for i in many},
            routes=[{"name": f"r{number}-{i}", "match": {"path": f"/{number}/{i}"}, "upstream": f"u{number}-{i}"}
                    for i in many])["accepted"]
        assert gateway.get(f"/{number}/0").status == 502  # nobody listens there

    def series(gateway):
        lines = gateway.admin("/metrics")[1].splitlines()
        return {line.split(" ")[0] for line in lines if line.startswith("sluice_") and "reason=" not in line}

    with Sluice({}) as gateway:

        rename(gateway, 1000)
        # The answer comes before it is counted; a histogram is shown once something is.
        wait_until(lambda: gateway.metrics().total("sluice_requests_in_flight") == 0, "the request to be counted")
        names = len(series(gateway))
        for number in range(1001, 1020):
            rename(gateway, number)
        settled = gateway.rss_bytes()
        for number in range(1020, 1220):
            rename(gateway, number)
        wait_until(lambda: len(series(gateway)) == names, lambda: f"{len(series(gateway))} series are {names}", seconds=60)
        wait_for_memory(gateway, settled * 1.05)


def test_a_thousand_reloads_that_make_plugins_anew_leak_nothing():
    def made_for(number):
        return {
            "tokens": {"module": "jwt", "config": {"keys": [{"secret": f"{number:032}"}], "cache": {"max_bytes": "1MiB"}}},
            "session": {"module": "session", "config": {"cookie": {"name": f"s{number}", "secure": False}}},
            "once": {"module": "idempotency", "config": {"lease": f"{1000 + number}ms"}},
            "limit": {"module": "ratelimit", "config": {"requests": 1000 + number}},
            "squeeze": {"module": "compress", "config": {"min_length": number}},
        }

    route = {"match": {"path": "/"}, "respond": {"body": "hello"}, "plugins": list(made_for(0))}
    with Sluice({"stores": {"default": {"type": "memory"}}, "plugins": made_for(0), "routes": [route]}) as gateway:

        def reload_often(numbers):
            for number in numbers:
                assert gateway.reload(plugins=made_for(number))["accepted"]
                assert gateway.get("/").status == 401
            return gateway.rss_bytes()

        settled = reload_often(range(1, 101))
        descriptors = gateway.open_descriptors()
        reload_often(range(101, 1001))
        wait_for_memory(gateway, settled * 1.05)
        # The last client's connection may still be on its way out.
        wait_until(lambda: gateway.open_descriptors() <= descriptors,
                   lambda: f"{gateway.open_descriptors()} descriptors are {descriptors}, as after 100 reloads")
