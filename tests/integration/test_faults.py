"""Each side ends or breaks off in each phase of an exchange; too many clients, too few descriptors; endpoints, disks and
pipes that fail. Nothing is left over, and what need not stop goes on."""

import fcntl
import json
import os
import re
import signal
import subprocess
import threading
from contextlib import contextmanager

import pytest

from harness import (BINARY, CHUNKED, DEADLINE, OK, SANITIZER, SLOW, PeerEnded, RawClient, RawOrigin, Sluice, answering,
                     assert_problem, free_port, in_background, milliseconds, proxy_config, proxying, request, response,
                     wait_until)

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


# --- phases: each brings an exchange to a point and returns (upstream or None, what the upstream would say next) ---
def in_head(client, _origin):
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    return None, b""


def between_requests(client, origin):
    client.send(request())
    upstream, _ = origin.answer(OK)
    client.read_response()
    return upstream, b""


def in_body(client, origin):
    client.send(request("POST", "/", [("Content-Length", "10")]), b"part")
    upstream = origin.accept()
    upstream.read_request_head()
    upstream.read_exactly(4)
    return upstream, OK


def in_chunk(client, origin):
    client.send(request("POST", "/", CHUNKED), b"a\r\npart")
    upstream = origin.accept()
    upstream.read_request_head()
    upstream.read_through(b"part")
    return upstream, OK


def waiting(client, origin):
    client.send(request())
    upstream, _ = origin.answer()
    return upstream, OK


def in_response_head(client, origin):
    client.send(request())
    upstream, _ = origin.answer(OK[:20])
    return upstream, OK[20:]


def after_interim(client, origin):
    client.send(request())
    upstream, _ = origin.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    client.read_through(b"\r\n\r\n")
    return upstream, OK


def in_response_body(client, origin):
    client.send(request())
    upstream, _ = origin.answer(response(headers=[("Content-Length", "10")], framed=False), b"part1")
    client.read_through(b"part1")
    return upstream, b"part2"


def in_response_chunk(client, origin):
    client.send(request())
    upstream, _ = origin.answer(response(headers=CHUNKED, framed=False), b"a\r\npart1")
    client.read_through(b"part1")
    return upstream, b"part2\r\n0\r\n\r\n"


def both_bodies(client, origin):
    client.send(request("POST", "/", [("Content-Length", "10")]), b"part")
    upstream = origin.accept()
    upstream.read_request_head()
    upstream.send(response(headers=[("Content-Length", "10")], framed=False), b"part1")
    client.read_through(b"part1")
    return upstream, b"part2"


def in_tunnel(client, origin):
    client.send(request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "echo")]))
    upstream, _ = origin.answer(SWITCH)
    client.read_through(b"\r\n\r\n")
    return upstream, b"bye"


PHASES = [in_head, between_requests, in_body, in_chunk, waiting, in_response_head, after_interim, in_response_body,
          in_response_chunk, both_bodies, in_tunnel]


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.workers)], ids=["one worker", "two workers"])
def pair(request):
    with proxying(process={"workers": request.param}) as gateway_and_origin:
        yield gateway_and_origin


def still_serves(gateway, origin):
    gateway.wait_gauges_zero()
    with gateway.client() as client:
        client.send(request("GET", "/after"))
        upstream, sent = origin.answer(OK)
        assert sent.target == "/after"
        assert client.read_response().body == b"ok"
        upstream.close()
    gateway.wait_for_metric("sluice_upstream_connections_idle", 0)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_ends_leaves_nothing_behind(pair, phase, how):
    gateway, origin = pair
    client = gateway.client()
    upstream, rest = phase(client, origin)
    getattr(client, how)()
    if upstream is not None:
        upstream.send_if_open(rest)  # a client that only said FIN may still be waiting for it
        upstream.half_close()
        upstream.drain()
        upstream.close()
    still_serves(gateway, origin)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase is not in_head])
def test_an_upstream_that_ends_leaves_nothing_behind(pair, phase, how):
    gateway, origin = pair
    client = gateway.client()
    upstream, _ = phase(client, origin)
    getattr(upstream, how)()
    if phase is not between_requests:
        try:
            answer = client.read_response()
            assert answer.status == 502 or answer.end.name != "complete", "half an answer must not look whole"
        except PeerEnded:
            pass
    still_serves(gateway, origin)


@pytest.mark.parametrize("phase", PHASES)
def test_sigterm_in_any_phase_ends_cleanly(phase):
    with proxying(process={"shutdown_grace": milliseconds(200)}) as (gateway, origin):
        client = gateway.client()
        phase(client, origin)
        gateway.stop()
        client.read_to_end()


def test_two_thousand_connections_that_never_speak_are_timed_out():
    with proxying(answering(OK), listener={"timeouts": {"request_header": f"{1 * SLOW:.0f}s"}}) as (gateway, _):
        silent = [gateway.client() for _ in range(2000)]
        assert gateway.get("/").status == 200, "others are served meanwhile"
        gateway.wait_for_metric("sluice_downstream_connections_accepted_total", 2001)
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 2001)
        assert gateway.busy_gauges() == {}
        for client in silent:
            client.read_to_end()
        assert gateway.get("/").status == 200


def test_two_thousand_requests_at_once_are_all_answered():
    pool = {"max_open": 64, "max_pending": 5000, "pending_timeout": "60s"}
    with proxying(answering(OK), upstream_settings={"pool": pool}) as (gateway, origin):
        clients = [gateway.client() for _ in range(2000)]
        for client in clients:
            client.send(request())
        assert all(client.read_response().status == 200 for client in clients)
        assert len(origin.connections) <= 64
        gateway.wait_gauges_zero()


needs_no_pipe = pytest.mark.skipif(
    "undefined" in SANITIZER, reason="UBSan looks at objects through a pipe, and takes it for an error if it cannot make one")


def answers(gateway):
    try:
        return gateway.get("/").status == 200
    except (PeerEnded, OSError):
        return False


@needs_no_pipe
def test_without_descriptors_the_gateway_neither_spins_nor_dies_and_recovers():
    with RawOrigin(answering(OK)) as origin, Sluice(proxy_config(origin), descriptors=64) as gateway:
        crowd = [gateway.client() for _ in range(200)]
        wait_until(lambda: gateway.open_descriptors() >= 60, "the descriptors are used up")
        before = gateway.cpu_seconds()
        assert not origin.stopping.wait(1.0)  # a second without descriptors
        assert gateway.cpu_seconds() - before < 0.5, "it spins"
        for client in crowd:
            client.close()
        wait_until(lambda: answers(gateway), "the gateway serves again")
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_downstream_connections_closed_total", reason="out_of_descriptors") > 0


@needs_no_pipe
def test_without_a_descriptor_for_the_upstream_a_request_is_a_503_and_its_client_stays():
    settings = {"pool": {"max_requests": 1}}  # each request needs a descriptor
    with RawOrigin(answering(OK)) as origin, Sluice(proxy_config(origin, upstream_settings=settings), descriptors=64) as gateway:
        speaker = gateway.client()
        crowd = []
        while (answer := speaker.get("/")).status == 200:
            assert len(crowd) < 100, "there is no end to the descriptors"
            crowd.append(gateway.client())
        assert_problem(answer, 503, "out_of_descriptors")
        for client in crowd:
            client.close()
        wait_until(lambda: speaker.get("/").status == 200, "the same client is served again")


def test_a_garbage_client_is_refused_and_forgotten():
    with proxying(answering(OK)) as (gateway, origin):
        for number in range(100):
            with RawClient(gateway.address()) as client:
                client.send_if_open(bytes((number * octet) % 256 for octet in range(1000)))
                client.half_close()
                client.read_to_end()
        gateway.wait_gauges_zero()
        assert gateway.get("/").status == 200 and len(origin.requests) == 1


@pytest.mark.workers
def test_clients_that_come_and_go_on_two_workers_leave_every_gauge_at_0():
    with proxying(answering(OK), process={"workers": 2}) as (gateway, _):

        def come_and_go(seed):
            for number in range(100):
                with RawClient(gateway.address()) as client:
                    client.send(request("POST", "/", body=b"x" * (number * 100)))
                    if (number + seed) % 3 == 0:
                        client.reset()
                    elif (number + seed) % 3 == 1:
                        client.read_response()

        threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE * 3)
        gateway.wait_gauges_zero()
        assert gateway.get("/").status == 200


# --- endpoints that are processes ---
class OriginProcess:
    """`sluice origin` on an address that it keeps when it is killed and started anew."""

    def __init__(self):
        self.address = f"127.0.0.1:{free_port()}"
        self.start()

    def start(self):
        self.process = subprocess.Popen([BINARY, "origin", "--listen", self.address], stdout=subprocess.DEVNULL)
        wait_until(self._serves, "the origin answers")

    def _serves(self):
        try:
            with RawClient(self.address) as client:
                return client.get("/").status == 200
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    @contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def test_an_endpoint_killed_under_load_costs_what_cannot_be_repeated_and_is_used_again_when_it_is_back():
    """GETs go to the other endpoint, all of them; a POST that was on its way may have been done, so it is a 502."""
    settings = {"balance": "round_robin", "retry": {"on": ["connect", "reset"], "budget": "100%"}}
    with OriginProcess() as dying, OriginProcess() as steady:
        config = proxy_config(dying.address, steady.address, upstream_settings=settings)
        with Sluice(config) as gateway:
            posts = []
            for count in range(1, 5):  # two to each
                posts.append(gateway.client().send(request("POST", "/delay/60000", body=b"x")))
                gateway.wait_for_metric("sluice_upstream_connections_active", count)
            answers = []

            def keep_asking(over):
                with RawClient(gateway.address()) as client:
                    while not over.is_set():
                        answers.append(client.get("/bytes/100").status)

            def wait_for_more():
                seen = len(answers)
                wait_until(lambda: len(answers) >= seen + 50, "requests go on")

            def opened():
                return gateway.metrics().total("sluice_upstream_connections_opened_total", endpoint=dying.address)

            with in_background(4, keep_asking):
                wait_for_more()
                dying.kill()
                wait_for_more()
                before = opened()
                dying.start()
                wait_until(lambda: opened() > before, "the endpoint that is back is used")
                wait_for_more()
            assert set(answers) == {200}
            failed = [post for post in posts if not post.is_silent()]
            assert len(failed) == 2
            for post in failed:
                assert_problem(post.read_response(), 502, "upstream_reset")
            for _ in failed:
                line = gateway.logged(reason="upstream_reset")
                assert (line["endpoint"], line["attempts"]) == (dying.address, 1)
            for post in posts:
                post.reset()  # an end by FIN would wait for the answer
            gateway.wait_gauges_zero()


def test_an_endpoint_that_is_stopped_is_waited_for_as_long_as_configured_and_serves_when_it_goes_on():
    timeouts = {"response_header": milliseconds(300)}
    with OriginProcess() as origin, Sluice(proxy_config(origin.address, upstream_settings={"timeouts": timeouts})) as gateway:
        client = gateway.client()
        assert client.get("/").status == 200
        with origin.stopped():
            for attempt in ("pooled", "fresh"):  # the kernel accepts in its place
                assert_problem(client.get(f"/{attempt}"), 504, "upstream_timeout")
                assert gateway.logged(path=f"/{attempt}")["reason"] == "upstream_timeout"
        wait_until(lambda: client.get("/").status == 200, "the endpoint serves again")
        gateway.wait_gauges_zero()


# --- logs that cannot be written ---
def test_a_full_disk_costs_the_access_logs_lines_which_are_counted_and_told_once():
    with proxying(answering(OK), access_log={"path": "/dev/full"}) as (gateway, _):
        client = gateway.client()
        for _ in range(200):
            assert client.get("/").status == 200
        gateway.wait_for_metric("sluice_access_log_dropped_total", 200)
        assert gateway.output().count("No space left on device") == 1


class UnreadPipe:
    """A pipe of one page whose reader does not read yet."""

    def __init__(self):
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.reading, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.reading)
        os.close(self.writing)

    def fill(self):
        """By an open file of our own: that of the pipe's other writers blocks, as it would anywhere."""
        own = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            for piece in (b"." * 1024, b"."):
                while True:
                    os.write(own, piece)
        except BlockingIOError:
            pass
        finally:
            os.close(own)

    def read(self):
        """What is in it now."""
        data = b""
        try:
            while piece := os.read(self.reading, 65536):
                data += piece
        except BlockingIOError:
            pass
        return data


@pytest.mark.workers
@pytest.mark.parametrize("where", ["stdout", "a named pipe"])
def test_an_access_log_that_nobody_reads_costs_its_lines_and_no_request(where):
    asked, agent = 1000, [("User-Agent", "a" * 4000)]
    with UnreadPipe() as pipe, RawOrigin(answering(OK), recording=False) as origin:
        path = "stdout" if where == "stdout" else f"/proc/{os.getpid()}/fd/{pipe.writing}"
        config = proxy_config(origin, process={"workers": 2}, access_log={"path": path})
        with Sluice(config, stdout=pipe.writing) as gateway:
            client = gateway.client()

            def ask(count):
                for _ in range(count):
                    assert client.get("/", agent).status == 200

            ask(asked // 2)  # the worker's ring, which holds a mebibyte, is full
            before = gateway.rss_bytes()
            ask(asked // 2)
            assert SANITIZER or gateway.rss_bytes() < before + (1 << 20)
            dropped = gateway.metrics().total("sluice_access_log_dropped_total")
            assert asked / 2 < dropped < asked
            received = bytearray()

            def read_all():
                received.extend(pipe.read())
                return received.count(b"\n") >= asked - dropped

            wait_until(read_all, "the other lines")
            client.get("/after")
            wait_until(lambda: received.extend(pipe.read()) or b'"/after"' in received, "the lines that come now")
            lines = [json.loads(line) for line in received.splitlines()]
            assert len(lines) == asked - dropped + 1
            assert gateway.metrics().total("sluice_access_log_dropped_total") == dropped
            pipe.fill()
            client.get("/left")
            gateway.stop()  # nor is the end held up


@pytest.mark.workers
def test_an_application_log_that_nobody_reads_costs_its_lines_and_holds_nothing_up():
    with UnreadPipe() as pipe, RawOrigin(answering(OK)) as origin:
        with Sluice(proxy_config(origin, process={"workers": 2}), stderr=pipe.writing) as gateway:
            pipe.read()
            pipe.fill()
            for number in range(5):
                assert gateway.reload(routes=[*gateway.config["routes"], {
                    "name": f"r{number}", "match": {"path": f"/r{number}"}, "respond": {}}])["accepted"]
            assert gateway.get("/").status == 200
            lost = gateway.metrics().total("sluice_application_log_dropped_total")
            assert lost >= 5
            pipe.read()
            assert not gateway.reload(surprise=1)["accepted"]
            told = pipe.read().decode().splitlines()
            assert re.fullmatch(rf"\d{{4}}-\S+ warning standard error .*: {lost:.0f} lines of this log lost since .*", told[0])
            assert re.fullmatch(r"\d{4}-\S+ error .*unknown key.*", told[1])
            pipe.fill()
            gateway.stop()


# --- the admin listener, flooded ---
@pytest.mark.workers
def test_a_flood_of_admin_connections_is_bounded_and_counted_and_does_not_concern_requests():
    with proxying(answering(OK), process={"workers": 2}) as (gateway, _):
        answers, crowd = [], []

        def keep_asking(over):
            with RawClient(gateway.address()) as client:
                while not over.is_set():
                    answers.append(client.get("/").status)

        with in_background(2, keep_asking):
            for number in range(1000):
                crowd.append(RawClient(gateway.config["admin"]["listen"]))
                crowd[-1].send_if_open([b"", b"GET /metrics HTTP/1.1\r\nHo", bytes(range(256))][number % 3])
            assert gateway.open_descriptors() < 64 + 50
            seen = len(answers)
            wait_until(lambda: len(answers) > seen, "requests are answered")
            for client in crowd:
                client.close()
            wait_until(lambda: gateway.admin("/readyz")[0] == 200, "the admin listener answers again")
        assert set(answers) == {200}
        assert gateway.metrics().total("sluice_admin_connections_refused_total") > 500
        gateway.wait_gauges_zero()
