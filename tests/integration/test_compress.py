"""compress: which answers are encoded, how, and that what comes out is what went in."""

import ctypes
import os
import threading
import zlib

import pytest

from harness import End, RawOrigin, Sluice, answering, proxy_config, proxying, request, response, sluice
from harness.wire import STATUS_LINE

TEXT = b"".join(b"line %d of a text that repeats itself\n" % i for i in range(5000))
ALL = {"Accept-Encoding": "gzip, deflate, br, zstd"}


def decoded(coding, data):
    if coding == "gzip":
        return zlib.decompress(data, 31)
    out = ctypes.create_string_buffer(64 << 20)
    if coding == "zstd":
        zstd = ctypes.CDLL("libzstd.so.1").ZSTD_decompress
        zstd.restype = ctypes.c_size_t
        size = zstd(out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)))
        assert size <= len(out), "not zstd"
        return out.raw[:size]
    size = ctypes.c_size_t(len(out))
    assert ctypes.CDLL("libbrotlidec.so.1").BrotliDecoderDecompress(ctypes.c_size_t(len(data)), data, ctypes.byref(size), out) == 1
    return out.raw[:size.value]


def compressing(script=None, config=None, **rest):
    """A gateway whose only route compresses, before an origin that answers with TEXT."""
    script = script or answering(response(TEXT, headers=[("Content-Type", "text/plain; charset=utf-8"), ("ETag", '"v1"')]))
    return proxying(script, plugins={"squeeze": {"module": "compress", "config": config or {}}}, route={"plugins": ["squeeze"]}, **rest)


def answers(**headers):
    """A script: each request gets TEXT with these fields."""
    fields = {"Content-Type": "text/plain", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return answering(response(TEXT, headers=fields))


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_text_is_encoded_as_the_client_wants_it(coding):
    with compressing() as (gateway, _):
        client = gateway.client()
        sent = 0
        for _ in range(3):
            answer = client.get("/", {"Accept-Encoding": coding})
            sent += len(answer.body)
            assert answer.get("content-encoding") == coding
            assert decoded(coding, answer.body) == TEXT and len(answer.body) < len(TEXT) / 5
            assert (answer.get("etag"), answer.get("vary")) == ('W/"v1"', "Accept-Encoding")
            assert answer.get("content-length") is None and answer.chunked
        plain = client.get("/")
        assert (plain.body, plain.get("content-encoding"), plain.get("etag"), plain.get("vary")) == (TEXT, None, '"v1"', "Accept-Encoding")
        metrics = gateway.metrics()
        assert metrics.total("sluice_plugin_events_total", plugin="squeeze", event=coding) == 3
        assert metrics.total("sluice_plugin_events_total", plugin="squeeze", event="bytes_in") == 3 * len(TEXT)
        assert metrics.total("sluice_plugin_events_total", plugin="squeeze", event="bytes_out") == sent


def test_the_order_of_algorithms_decides_between_equals():
    with compressing() as (gateway, _):
        assert gateway.get("/", ALL).get("content-encoding") == "zstd"
        assert gateway.get("/", {"Accept-Encoding": "zstd;q=0.5, br;q=0.7"}).get("content-encoding") == "br"
        assert gateway.get("/", [("Accept-Encoding", "zstd;q=0.5"), ("Accept-Encoding", "gzip")]).get("content-encoding") == "gzip"
        gateway.reload(plugins={"squeeze": {"module": "compress", "config": {"algorithms": ["gzip", "br"]}}})
        assert gateway.get("/", ALL).get("content-encoding") == "gzip"
        assert gateway.get("/", {"Accept-Encoding": "zstd"}).get("content-encoding") is None


@pytest.mark.parametrize("script", [
    answers(Content_Encoding="br"),
    answers(Cache_Control="max-age=5, No-Transform"),
    answers(Repr_Digest="sha-256=:abc=:"),
    answers(Content_Type="image/png"),
    answering(response(TEXT)),
    answering(response(TEXT[:1000], headers=[("Content-Type", "text/plain")])),
    answering(response(TEXT, status=206, headers=[("Content-Type", "text/plain"), ("Content-Range", f"bytes 0-{len(TEXT) - 1}/*")])),
])
def test_what_is_left_as_it_is(script):
    with compressing(script) as (gateway, _):
        answer = gateway.get("/", ALL)
        assert answer.get("content-encoding") in (None, "br")
        assert int(answer.get("content-length")) == len(answer.body) and answer.body == TEXT[:len(answer.body)]
        assert answer.get("vary") is None


def test_a_client_that_wants_nothing_changed_gets_it_so():
    with compressing() as (gateway, _):
        for headers in ({**ALL, "Cache-Control": "no-transform"}, {"Accept-Encoding": "identity, gzip;q=0.5"}):
            answer = gateway.get("/", headers)
            assert (answer.body, answer.get("content-encoding"), answer.get("vary")) == (TEXT, None, "Accept-Encoding")
        old = gateway.get("/", ALL, version="1.0")
        assert (old.body, old.get("content-encoding")) == (TEXT, None)


def test_answers_without_a_body_stay_so():
    def script(connection):
        while True:
            message = connection.read_request()
            fields = [("Content-Type", "text/plain"), ("ETag", '"v1"')]
            if message.method == "HEAD":
                connection.send(response(b"", headers=[*fields, ("Content-Length", str(len(TEXT)))], framed=False))
            else:
                connection.send(response(status=int(message.target[1:]), headers=fields, framed=False))

    with compressing(script, config={"min_length": 0}) as (gateway, _):
        client = gateway.client()
        for status in (204, 304):
            answer = client.get(f"/{status}", ALL)
            assert (answer.status, answer.get("etag"), answer.get("content-encoding")) == (status, '"v1"', None)
        head = client.ask("HEAD", "/", ALL)
        assert (head.get("content-length"), head.get("content-encoding"), head.get("vary")) == (str(len(TEXT)), None, "Accept-Encoding")


def test_vary_is_not_said_twice_and_a_weak_etag_stays():
    with compressing(answers(Vary="Origin, accept-encoding", ETag='W/"v1"', Accept_Ranges="bytes")) as (gateway, _):
        answer = gateway.get("/", ALL)
        assert (answer.get("vary"), answer.get("etag"), answer.get("accept-ranges")) == ("Origin, accept-encoding", 'W/"v1"', None)
    with compressing(answers(Vary="Origin")) as (gateway, _):
        assert gateway.get("/", ALL).all("vary") == ["Origin", "Accept-Encoding"]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("slow", [False, True])
def test_large_bodies_of_both_kinds_pass_slow_clients_too(coding, slow):
    noise = os.urandom(3 << 20)
    body = noise + TEXT * 20 + noise

    def script(connection):
        while True:
            target = connection.read_request().target
            if target == "/length":
                connection.send(response(body, headers=[("Content-Type", "text/plain")]))
                continue
            connection.send(response(headers=[("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")], framed=False))
            for at in range(0, len(body), 10007):
                piece = body[at:at + 10007]
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")

    with compressing(script) as (gateway, _):
        client = gateway.client(receive_buffer=8192 if slow else None)
        for target in ("/length", "/chunked"):
            answer = client.get(target, {"Accept-Encoding": coding})
            assert answer.end is End.complete and decoded(coding, answer.body) == body
        gateway.wait_gauges_zero()


def test_server_sent_events_are_not_stuck():
    """The origin sends an event once the client has read the one before."""
    with RawOrigin() as origin, Sluice(proxy_config(origin, plugins={"squeeze": {"module": "compress"}}, route={"plugins": ["squeeze"]})) as gateway:
        client = gateway.client()
        client.send(request("GET", "/", {"Accept-Encoding": "gzip"}))
        connection = origin.accept()
        connection.answer(response(headers=[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")], framed=False))
        decoder, text = zlib.decompressobj(31), b""
        head = None
        for i in range(20):
            connection.send(b"b\r\ndata: %03d\n\n\r\n" % i)
            head = head or client.read_head(STATUS_LINE)
            while not text.endswith(b"%03d\n\n" % i):
                text += decoder.decompress(client.read_chunk())
        assert head.get("content-encoding") == "gzip"
        connection.send(b"0\r\n\r\n")
        text += decoder.decompress(client.read_chunk())
        assert text == b"".join(b"data: %03d\n\n" % i for i in range(20))


def test_many_tiny_events_at_once_do_not_overflow_anything():
    storm = b"".join(b"1\r\n%c\r\n" % (97 + i % 26) for i in range(20000)) + b"0\r\n\r\n"
    head = response(headers=[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")], framed=False)
    with compressing(answering(head + storm)) as (gateway, _):
        client = gateway.client()
        for coding in ("gzip", "br", "zstd"):
            answer = client.get("/", {"Accept-Encoding": coding})
            assert len(decoded(coding, answer.body)) == 20000


def test_files_and_answers_of_the_gateway_are_encoded_too(tmp_path):
    (tmp_path / "page.html").write_bytes(TEXT * 10)
    (tmp_path / "pixel.png").write_bytes(TEXT)
    with Sluice({"listeners": {"public": {"plugins": ["squeeze"]}}, "plugins": {"squeeze": {"module": "compress"}},
                 "routes": [{"name": "fixed", "match": {"path": "/fixed"}, "respond": {"body": TEXT.decode(), "status": 200}},
                            {"name": "files", "match": {"path": "/{rest...}"}, "static": {"root": str(tmp_path)}}]}) as gateway:
        client = gateway.client()
        page = client.get("/page.html", ALL)
        assert decoded("zstd", page.body) == TEXT * 10
        assert page.get("etag").startswith('W/"') and page.get("accept-ranges") is None
        assert client.get("/page.html", {**ALL, "If-None-Match": page.get("etag")}).status == 304
        part = client.get("/page.html", {**ALL, "Range": "bytes=0-9"})
        assert (part.status, part.body) == (206, TEXT[:10])
        pixel = client.get("/pixel.png", ALL)
        assert (pixel.body, pixel.get("accept-ranges")) == (TEXT, "bytes")
        assert decoded("zstd", client.get("/fixed", ALL).body) == TEXT


def test_more_bodies_than_max_streams_pass_as_they_are():
    text = response(TEXT, headers=[("Content-Type", "text/plain")])
    config = {"squeeze": {"module": "compress", "config": {"max_streams": 1}}}
    with RawOrigin() as origin, Sluice(proxy_config(origin, plugins=config, route={"plugins": ["squeeze"]})) as gateway:
        first = gateway.client()
        first.send(request("GET", "/", ALL))
        connection, _ = origin.answer(text[:-1])
        while b"\r\n\r\n" not in first.buffer:
            first.receive()
        second = gateway.client()
        second.send(request("GET", "/", ALL))
        origin.answer(text)
        other = second.read_response()
        assert (other.body, other.get("content-encoding")) == (TEXT, None)
        connection.send(text[-1:])
        assert decoded("zstd", first.read_response().body) == TEXT
        assert gateway.metrics().total("sluice_plugin_events_total", event="max_streams_reached") == 1
        second.send(request("GET", "/", ALL))
        connection.answer(text)
        assert decoded("zstd", second.read_response().body) == TEXT


def test_a_client_that_leaves_gives_its_encoder_back():
    with compressing(answering(response(TEXT * 100, headers=[("Content-Type", "text/plain")])), config={"max_streams": 1}) as (gateway, _):
        for _ in range(3):
            client = gateway.client(receive_buffer=4096)
            client.send(request("GET", "/", {"Accept-Encoding": "gzip"}))
            client.read_exactly(100)
            client.reset()
            gateway.wait_gauges_zero()
        assert gateway.get("/", ALL).get("content-encoding") == "zstd"


def test_an_origin_that_breaks_off_is_not_made_whole():
    def script(connection):
        connection.read_request()
        connection.send(response(TEXT, headers=[("Content-Type", "text/plain")])[:-1])

    with compressing(script) as (gateway, _):
        assert gateway.get("/", ALL).end is not End.complete


def test_mistakes_in_the_configuration_are_told_with_their_places(tmp_path):
    config = tmp_path / "x.yaml"
    config.write_text("""version: 1
listeners: {a: {address: "127.0.0.1:1", plugins: [c]}}
plugins:
  c:
    module: compress
    config:
      algorithms: [br, deflate, br]
      types: [text]
      levels: {gzip: 10, lzma: 1}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ['7:24: error: "deflate" is not one of zstd, br, gzip', "7:33: error: stands in this list already",
                   '8:14: error: types: "text" is not a media type; write text/html, text/* or application/*+json',
                   '9:22: error: gzip: "10" is not between 1 and 9', '9:26: error: unknown key "lzma"']:
        assert wanted in told, told
