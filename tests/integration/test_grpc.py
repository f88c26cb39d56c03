"""gRPC through the gateway, with the real client and the real server of python3-grpcio: HTTP/2 on both sides. Messages are plain
bytes; no .proto is needed for that."""

import collections
import concurrent.futures
import contextlib
import itertools
import signal
import struct
import threading

import grpc
import pytest

from harness import DEADLINE, Authority, Http2Origin, Sluice, free_port, proxy_config
from harness.http2 import Code

LARGE = 3 << 20
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]


class Service(grpc.GenericRpcHandler):
    """/test/Echo, /test/Join, /test/Count, /test/Chat: one for each kind of call."""

    def __init__(self):
        self.calls = []
        self.left = threading.Event()  # a client left Chat
        self.failures = itertools.repeat(None)

    def service(self, details):
        kinds = {
            "/test/Echo": (grpc.unary_unary_rpc_method_handler, self.echo),
            "/test/Join": (grpc.stream_unary_rpc_method_handler, lambda messages, _: b"".join(messages)),
            "/test/Count": (grpc.unary_stream_rpc_method_handler, lambda message, _: (b"%d" % i for i in range(int(message)))),
            "/test/Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
            "/test/Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
        }
        make, behaviour = kinds[details.method]
        return make(behaviour)

    def echo(self, message, context):
        self.calls.append((message, context.time_remaining(), dict(context.invocation_metadata())))
        context.send_initial_metadata([("x-initial", "first")])
        context.set_trailing_metadata([("x-trailing", "last"), ("x-bytes-bin", b"\x00\xff")])
        return message

    def chat(self, messages, context):
        context.add_callback(self.left.set)
        for message in messages:
            yield message.upper()

    def fail(self, message, context):
        self.calls.append(message)
        code = next(self.failures)
        if code is not None:
            context.abort(code, "a ü message, 100 %")
        return b"fine"


@contextlib.contextmanager
def served(**config):
    service = Service()
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        server = grpc.server(threads, handlers=[service], options=OPTIONS)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        upstream = {"protocol": "http2", **config.pop("upstream_settings", {})}
        with Sluice(proxy_config(f"127.0.0.1:{port}", upstream_settings=upstream, **config)) as gateway:
            try:
                yield gateway, service
            finally:
                server.stop(0).wait(DEADLINE)


@contextlib.contextmanager
def channel_to(gateway, credentials=None):
    options = [*OPTIONS, ("grpc.ssl_target_name_override", "a.test")]
    make = grpc.insecure_channel(gateway.address(), OPTIONS) if credentials is None else grpc.secure_channel(gateway.address(), credentials, options)
    with make as channel:
        yield channel


@pytest.fixture(scope="module")
def world():
    with served() as (gateway, service), channel_to(gateway) as channel:
        yield gateway, service, channel


def failure(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("size", [0, 1, 70_000, LARGE])
def test_a_call_brings_its_message_and_all_metadata(world, size):
    gateway, service, channel = world
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    answer, call = channel.unary_unary("/test/Echo").with_call(message, timeout=DEADLINE, metadata=[("x-asked", "yes")])
    assert answer == message
    assert ("x-initial", "first") in call.initial_metadata()
    assert {("x-trailing", "last"), ("x-bytes-bin", b"\x00\xff")} <= set(call.trailing_metadata())
    _, remaining, asked = service.calls[-1]
    assert asked["x-asked"] == "yes" and asked["x-forwarded-for"] == "127.0.0.1"
    assert 0 < remaining < 2 * DEADLINE  # grpc-timeout came through


def test_messages_stream_up(world):
    assert world[2].stream_unary("/test/Join")(iter([b"piece %d " % i for i in range(500)]), timeout=DEADLINE) == b"".join(b"piece %d " % i for i in range(500))


def test_messages_stream_down(world):
    assert list(world[2].unary_stream("/test/Count")(b"2000", timeout=DEADLINE)) == [b"%d" % i for i in range(2000)]


def test_each_message_of_a_conversation_is_answered_before_the_next_is_sent(world):
    answered = threading.Semaphore(1)

    def ask():
        for i in range(100):
            assert answered.acquire(timeout=DEADLINE)
            yield b"word %d" % i

    for i, answer in enumerate(world[2].stream_stream("/test/Chat")(ask(), timeout=DEADLINE)):
        assert answer == b"WORD %d" % i
        answered.release()
    assert i == 99


def test_a_client_that_cancels_is_heard_of_by_the_server(world):
    _, service, channel = world
    service.left.clear()
    forever = threading.Event()
    call = channel.stream_stream("/test/Chat")(itertools.chain([b"hello"], iter(forever.wait, True)), timeout=DEADLINE)
    assert next(call) == b"HELLO"
    call.cancel()
    assert service.left.wait(DEADLINE)
    forever.set()


def test_the_status_of_the_server_comes_as_it_is(world):
    _, service, channel = world
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE):
        service.failures = iter([code])
        assert failure(lambda: channel.unary_unary("/test/Fail")(b"", timeout=DEADLINE)) == (code, "a ü message, 100 %")


@pytest.mark.workers
def test_many_calls_at_once(world):
    _, _, channel = world
    echo = channel.unary_unary("/test/Echo")
    calls = [echo.future(b"%d" % i, timeout=DEADLINE) for i in range(500)]
    assert [call.result() for call in calls] == [b"%d" % i for i in range(500)]


def test_calls_pass_over_tls(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "DNS:a.test")[:2]
    with served(listener={"tls": {"certificates": [{"cert_file": str(cert), "key_file": str(key)}]}}) as (gateway, _):
        trusted = grpc.ssl_channel_credentials(open(authority.certificate, "rb").read())
        with channel_to(gateway, trusted) as channel:
            assert channel.unary_unary("/test/Echo")(b"hello", timeout=DEADLINE) == b"hello"


# --- what the gateway itself has to say ---

def test_an_endpoint_that_is_away_is_unavailable():
    with Sluice(proxy_config(f"127.0.0.1:{free_port()}", upstream_settings={"protocol": "http2"})) as gateway, channel_to(gateway) as channel:
        code, details = failure(lambda: channel.unary_unary("/test/Echo")(b"", timeout=DEADLINE))
        assert code == grpc.StatusCode.UNAVAILABLE and "cannot be reached" in details
        assert gateway.metrics().total("sluice_request_failures_total", reason="connect_failed") == 1


def test_a_call_without_a_route_is_unimplemented():
    routes = [{"name": "other", "match": {"path": "/other"}, "respond": {"status": 200}}]
    with Sluice(proxy_config(f"127.0.0.1:{free_port()}", routes=routes)) as gateway, channel_to(gateway) as channel:
        code, details = failure(lambda: channel.unary_unary("/test/Echo")(b"", timeout=DEADLINE))
        assert code == grpc.StatusCode.UNIMPLEMENTED and details.startswith("No route matches")


def test_a_message_larger_than_the_limit_exhausts_resources():
    with served(listener={"limits": {"body": "1KiB"}}) as (gateway, _), channel_to(gateway) as channel:
        code, _ = failure(lambda: channel.unary_unary("/test/Echo")(bytes(5000), timeout=DEADLINE))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_call_that_is_retried_reaches_the_server_again():
    retry = {"attempts": 2, "on": ["grpc_unavailable"]}
    with served(upstream_settings={"retry": retry}) as (gateway, service), channel_to(gateway) as channel:
        call = channel.unary_unary("/test/Fail")
        service.failures = iter([grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, None])
        assert call(b"again", timeout=DEADLINE) == b"fine"
        assert service.calls == [b"again"] * 3
        service.failures = iter([grpc.StatusCode.INTERNAL, None])  # not among those
        assert failure(lambda: call(b"once", timeout=DEADLINE))[0] == grpc.StatusCode.INTERNAL
        assert service.calls.count(b"once") == 1


# --- what the gateway has to say of an answer that has begun ---

GRPC = [("content-type", "application/grpc")]


def framed(payload):
    return struct.pack(">BI", 0, len(payload)) + payload


def lost(asked):
    asked.connection.close()


def reset(asked):
    asked.reset()


def silent(_):
    pass


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE, "The endpoint closed before its response body was complete"
HOW = {  # how the call fails: what the endpoint does, what is configured, what the client hears, the reason in the log
    "lost": (lost, {}, {}, *UNAVAILABLE, "upstream_truncated"),
    "reset": (reset, {}, {}, *UNAVAILABLE, "upstream_truncated"),
    "idle": (silent, {"timeouts": {"idle": "100ms"}}, {}, grpc.StatusCode.DEADLINE_EXCEEDED, "The endpoint's response body stalled",
             "upstream_idle_timeout"),
    "route": (silent, {}, {"timeout": "300ms"}, grpc.StatusCode.DEADLINE_EXCEEDED, "The exchange took longer than the route's timeout",
              "route_timeout"),
}
SENT = {  # what of the answer was sent before: its bytes, the messages in them
    "nothing": (b"", []),
    "half a prefix": (b"\0\0", []),
    "half a message": (framed(bytes(LARGE))[:LARGE // 2], []),
    "a message": (framed(b"one"), [b"one"]),
    "a message and half a prefix": (framed(b"one") + b"\0\0", [b"one"]),
    "a message and half of another": (framed(b"one") + framed(b"second")[:-2], [b"one"]),
}


@contextlib.contextmanager
def begun(how, sent, begin):
    """A call that fails when its answer has begun: yields what `begin` returned, once the endpoint has failed."""
    fail, upstream_settings, route, code, details, reason = HOW[how]
    with Http2Origin(lax=True) as origin:
        config = proxy_config(origin, upstream_settings={"protocol": "http2", **upstream_settings}, route=route)
        with Sluice(config) as gateway, channel_to(gateway) as channel:
            call = begin(channel)
            asked = origin.request()
            asked.read()
            asked.head(200, GRPC).data(SENT[sent][0])
            fail(asked)
            yield call, code, details
            assert gateway.logged(reason=reason)["status"] == 200
            assert gateway.metrics().total("sluice_request_failures_total", reason=reason) == 1


# A call for one message that begins to get a second one: there python3-grpcio waits for the deadline, also behind an endpoint that
# ends the call well.
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("sent", [sent for sent in SENT if "and" not in sent])
def test_the_client_hears_why_its_call_ended_in_the_middle(how, sent):
    with begun(how, sent, lambda channel: channel.unary_unary("/test/Echo").future(b"", timeout=DEADLINE)) as (call, code, details):
        told, sentence = failure(call.result)
        assert (told, sentence[:len(details)]) == (code, details)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("sent", SENT)
def test_the_messages_before_the_failure_arrive(how, sent):
    messages = []
    with begun(how, sent, lambda channel: channel.unary_stream("/test/Count")(b"", timeout=DEADLINE)) as (call, code, details):
        told, sentence = failure(lambda: collections.deque(map(messages.append, call)))
        assert (told, sentence[:len(details)]) == (code, details)
    assert messages == SENT[sent][1]


def test_calls_that_a_shutdown_cuts_are_unavailable():
    with Http2Origin(lax=True) as origin:
        config = proxy_config(origin, upstream_settings={"protocol": "http2"}, process={"shutdown_grace": "1ms"})
        with Sluice(config) as gateway, channel_to(gateway) as channel:
            call = channel.unary_stream("/test/Count")(b"", timeout=DEADLINE)
            origin.request().head(200, GRPC).data(framed(b"one"))
            assert next(call) == b"one"
            gateway.process.send_signal(signal.SIGTERM)
            code, details = failure(lambda: next(call))
            assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "The gateway is shutting down.")
            assert gateway.process.wait(DEADLINE) == 0


def cut_answer(fields, asks=GRPC):
    """What a client gets of an answer with these fields whose endpoint is lost in its middle."""
    with Http2Origin(lax=True) as origin, Sluice(proxy_config(origin, upstream_settings={"protocol": "http2"})) as gateway:
        client = gateway.http2()
        stream = client.begin("POST", "/test/Echo", [*asks, ("te", "trailers")])
        asked = origin.request()
        asked.head(200, fields).data(framed(b"one"))
        asked.connection.close()
        return client.wait(stream)


def test_the_trailers_of_a_call_that_failed_stand_behind_all_that_came():
    answer = cut_answer(GRPC)
    assert bytes(answer.body) == framed(b"one") and answer.complete and answer.reset is None
    assert [name for name, _ in answer.trailers] == ["grpc-status", "grpc-message"] and answer.trailers[0][1] == "14"


@pytest.mark.parametrize("fields, asks", [
    ([*GRPC, ("content-length", "100")], GRPC),  # its end would be an error of its own
    ([("content-type", "text/plain")], GRPC),
    (GRPC, []),  # who did not call does not read grpc-status
])
def test_other_answers_break_off(fields, asks):
    answer = cut_answer(fields, asks)
    assert answer.reset == Code.INTERNAL_ERROR and not answer.complete and not answer.trailers
