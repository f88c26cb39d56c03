"""Requests and responses that mean different things to different readers, judged by the exact bytes at the other end.

Each request vector is either refused (a status, one reason out of a set, the connection closed, no byte at the origin) or
forwarded as exactly one request that a strict parser accepts, with not a byte beside it. Every vector is sent both in one
segment and byte by byte, and every refused one drags a well-formed request behind it that must never be looked at.
"""

import json

import pytest

from harness import (CHUNKED, OK, End, RawOrigin, Sluice, answering, assert_problem, chunked, proxy_config, proxying,
                     request, response)

STATUS = {"bad_method": 501, "bad_version": 505, "method_not_allowed": 405, "body_too_large": 413, "expectation_failed": 417,
          "request_line_too_long": 414, "header_too_large": 431}  # all others: 400

LENGTH = {"bad_length"}
CODING = {"bad_transfer_encoding", "bad_length"}
HEADER = {"bad_header", "bad_line_end"}
LINE = {"bad_request_line", "bad_line_end"}
VERSION = {"bad_version", "bad_request_line"}
HOST = {"bad_host"}
TARGET = {"bad_target", "bad_path", "bad_request_line"}
PATH = {"bad_path"}
METHOD = {"bad_method", "method_not_allowed", "bad_target"}
CHUNK = {"bad_chunk"}

SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"


def head(first_line, *fields, host="Host: a.test"):
    return "\r\n".join([first_line, *([host] if host else []), *fields]) + "\r\n\r\n"


def get(*fields, target="/x", version="HTTP/1.1", **more):
    return head(f"GET {target} {version}", *fields, **more)


def post(*fields, body="", version="HTTP/1.1"):
    return head(f"POST /x {version}", *fields) + body


def post_chunks(body):
    return post("Transfer-Encoding: chunked", body=body)


ZERO = "0\r\n\r\n"
FIVE = "5\r\nAAAAA\r\n"

# --- refused at the head: the origin must not see a byte ---
REFUSED = {
    # two framings
    "CL.TE": (post("Content-Length: 6", "Transfer-Encoding: chunked", body=ZERO + "G"), CODING),
    "TE.CL": (post("Transfer-Encoding: chunked", "Content-Length: 4", body="5c\r\n" + SMUGGLED), CODING),
    "CL 0 beside chunked": (post("Content-Length: 0", "Transfer-Encoding: chunked", body=ZERO), CODING),
    "CL beside identity": (post("Content-Length: 5", "Transfer-Encoding: identity", body="AAAAA"), CODING),
    "CL.TE with Expect": (post("Expect: 100-continue", "Content-Length: 6", "Transfer-Encoding: chunked", body=ZERO), CODING),
    "CL.TE in a GET": (get("Content-Length: 5", "Transfer-Encoding: chunked") + ZERO, CODING),
    "CL.TE with TE named by Connection": (
        post("Connection: transfer-encoding", "Content-Length: 5", "Transfer-Encoding: chunked", body=ZERO), CODING),
    "two TE": (post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=ZERO), CODING),
    "two TE, one identity": (post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=ZERO), CODING),
    "two TE in different case": (post("transfer-encoding: chunked", "TRANSFER-ENCODING: x", body=ZERO), CODING),
    "TE in HTTP/1.0": (post("Transfer-Encoding: chunked", version="HTTP/1.0", body=ZERO), CODING),
    **{f"TE {value!r}": (post("Transfer-Encoding: " + value, body=ZERO), CODING) for value in [
        "", "identity", "gzip", "gzip, chunked", "chunked, chunked", "chunked, identity", "chunked, gzip", "xchunked", "chunkedx",
        '"chunked"', "chunked;q=1", "chunked x", "x chunked", ", chunked", "chunked,", "chun ked", "ch\xfcnked", "\xa0chunked",
        "'chunked'", "chunked;", "cow, chunked"]},
    **{f"TE with control {value!r}": (post("Transfer-Encoding:" + value, body=ZERO), HEADER | CODING) for value in [
        "\x0bchunked", "chunked\x00", "\x00chunked", "chunked\x0b", "\x0cchunked", "\x7fchunked", "chunked\x1f"]},
    "TE folded": (post("Transfer-Encoding:\r\n chunked", body=ZERO), HEADER),
    "TE folded by tab": (post("Transfer-Encoding:\r\n\tchunked", body=ZERO), HEADER),
    "TE folded into another field": (post("X: y\r\n Transfer-Encoding: chunked", "Content-Length: 5", body=ZERO), HEADER),
    "TE behind a bare LF": (post("X: y\nTransfer-Encoding: chunked", "Content-Length: 5", body=ZERO), HEADER),
    "TE behind a bare CR": (post("X: y\rTransfer-Encoding: chunked", "Content-Length: 5", body=ZERO), HEADER),
    "TE with a space before the colon": (post("Transfer-Encoding : chunked", "Content-Length: 5", body=ZERO), HEADER),
    "TE with a tab before the colon": (post("Transfer-Encoding\t: chunked", "Content-Length: 5", body=ZERO), HEADER),
    "TE with a leading space": (post("X: y", " Transfer-Encoding: chunked", body=ZERO), HEADER),
    "TE with a NUL in its name": (post("Transfer-Encoding\x00: chunked", body=ZERO), HEADER),
    "TE without a colon": (post("Transfer-Encoding chunked", body=ZERO), HEADER),
    # Content-Length alone
    "two CL that differ": (post("Content-Length: 5", "Content-Length: 0", body="AAAAA"), LENGTH),
    "two CL that agree": (post("Content-Length: 5", "Content-Length: 5", body="AAAAA"), LENGTH),
    "two CL in different case": (post("content-length: 5", "CONTENT-LENGTH: 6", body="AAAAA"), LENGTH),
    **{f"CL {value!r}": (post("Content-Length: " + value, body="AAAAA"), LENGTH) for value in [
        "", "5, 5", "5,6", "5,", ",5", "+5", "-5", "-0", "0x5", "5 5", "5;", "5.0", "1e1", "5_0", "five", "\xef\xbc\x95", "\xb2",
        "5\xa0", '"5"', "18446744073709551616", "18446744073709551621", "99999999999999999999999999"]},
    "CL of 2^63": (post("Content-Length: 9223372036854775808"), LENGTH | {"body_too_large"}),
    "CL of 2^64 - 1": (post("Content-Length: 18446744073709551615"), LENGTH | {"body_too_large"}),
    "CL with a vertical tab": (post("Content-Length: 5\x0b", body="AAAAA"), HEADER | LENGTH),
    "CL with a space before the colon": (post("Content-Length : 5", body="AAAAA"), HEADER),
    "CL with a leading space": (post("X: y", " Content-Length: 5", body="AAAAA"), HEADER),
    "CL folded": (post("Content-Length:\r\n 5", body="AAAAA"), HEADER),
    # line ends and control characters
    "only bare LF": ("GET /x HTTP/1.1\nHost: a.test\n\n", LINE),
    "request line ends in a bare LF": ("GET /x HTTP/1.1\nHost: a.test\r\n\r\n", LINE),
    "field line ends in a bare LF": (get("X: y\nZ: 1"), HEADER),
    "head ends in LF LF": ("GET /x HTTP/1.1\r\nHost: a.test\n\n", LINE | HEADER),
    "head ends in CR LF LF": ("GET /x HTTP/1.1\r\nHost: a.test\r\n\n", LINE | HEADER),
    "head ends in CR CR LF": ("GET /x HTTP/1.1\r\nHost: a.test\r\r\n\r\n", HEADER),
    "bare CR in a value": (get("X: a\rb"), HEADER),
    "bare CR in the request line": ("GET /x\r HTTP/1.1\r\nHost: a.test\r\n\r\n", LINE | TARGET),
    "LF before the request line": ("\n" + get(), LINE),
    "two empty lines before the request line": ("\r\n\r\n" + get(), LINE),
    "three empty lines before the request line": ("\r\n\r\n\r\n" + get(), LINE),
    **{f"control {octet:#04x} in a value": (get(f"X: a{chr(octet)}b"), HEADER) for octet in
       [0x00, 0x01, 0x07, 0x08, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f]},
    **{f"control {octet:#04x} in the target": (get(target=f"/a{chr(octet)}b"), LINE | TARGET) for octet in
       [0x00, 0x01, 0x09, 0x0b, 0x0c, 0x1f, 0x7f]},
    "folded field": (get("X: a", " b"), HEADER),
    "folded by tab": (get("X: a", "\tb"), HEADER),
    "fold right after the request line": ("GET /x HTTP/1.1\r\n Host: a.test\r\nHost: a.test\r\n\r\n", HEADER | LINE),
    "fold of spaces only": (get("X: a", "  "), HEADER),
    # field names
    **{f"name {name!r}": (get(f"{name}: 1"), HEADER) for name in [
        "", "X ", "X\t", "X Y", "X(", "X)", "X<", "X@", "X,", "X;", 'X"', "X/", "X[", "X]", "X?", "X=", "X{", "X}", "X\\",
        "X\x80", "X\xff", "X\x00Y", "\x01"]},
    "a line without a colon": (get("X"), HEADER),
    # Host
    "no Host": (get(host=None), HOST),
    "two Hosts that agree": (get("Host: a.test"), HOST),
    "two Hosts that differ": (get("Host: b.test"), HOST),
    "two Hosts in different case": (get("hOST: b.test"), HOST),
    "two Hosts in HTTP/1.0": (get("Host: b.test", version="HTTP/1.0"), HOST),
    **{f"Host {value!r}": (get(host="Host: " + value), HOST) for value in [
        "", "a b", "a, b", "u@a.test", "u:p@a.test", "a/b", "a?b", "a#b", "a\\b", "a:x", "a:65536", "a:99999999999", "a:-1",
        "a:80:80", "a: 80", "[::1", "::1", "[::1]x", "[::g]", "a..b", ".", "a\tb", "<a>", "a\xe9", "http://a.test", "a%00"]},
    "Host with a space before the colon": (get(host="Host : a.test"), HEADER),
    "no Host beside an absolute target": (get(target="http://a.test/", host=None), HOST),
    # targets
    **{f"target {target!r}": (get(target=target), TARGET) for target in [
        "x", "?x", "*", "x/y", "a.test:80", "a.test/x", "http:/x", "http:///x", "http://", "http://u@a.test/",
        "http://u:p@a.test/", "http://a.test:99999/", "http://a.test:x/", "http://a b/", "http://[::1/", "ftp://a.test/",
        "file:///etc/passwd", "://a/", "/a#b", "/a\xe9", "/a\xff", '/a"b', "/a<b", "/a>b", "/a`b", "/a{b}", "/x?a=<b>",
        "/x?a\xe9", "/x?a#b", "http://a.test/#b"]},
    **{f"path {path!r}": (get(target=path), PATH | {"bad_target"}) for path in [
        "/..", "/../x", "/%2e%2e/x", "/%2E./x", "/.%2e/x", "/a/../../x", "/a/%2e%2e/%2e%2e/x", "/a%2fb", "/a%2Fb", "/a%5cb",
        "/a\\b", "/..\\x", "/..;/x", "/a/.;b/x", "/a%00", "/%00", "/a%", "/a%2", "/a%zz", "/a%u0041", "/%-1"]},
    # request lines
    **{f"request line {line!r}": (head(line), LINE | TARGET | VERSION) for line in [
        "GET  /x HTTP/1.1", "GET /x  HTTP/1.1", "GET /x HTTP/1.1 ", " GET /x HTTP/1.1", "GET\t/x HTTP/1.1", "GET /x\tHTTP/1.1",
        "GET /x y HTTP/1.1", "GET /x HTTP/1.1 HTTP/1.1", "GET HTTP/1.1", "GET", "/x HTTP/1.1", "GET /x", "GET /x ",
        "GET\xa0/x HTTP/1.1", "GET /x\xa0HTTP/1.1", ": /x HTTP/1.1", "G:ET /x HTTP/1.1", "G(T /x HTTP/1.1", "\x00GET /x HTTP/1.1",
        "GET /x\x00 HTTP/1.1"]},
    **{f"version {version!r}": (get(version=version), VERSION) for version in [
        "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/3", "HTTP/0.9", "HTTP/1.1x", "http/1.1", "Http/1.1", "HTTP/01.1", "HTTP/1.01",
        "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10", "HTTP/1,1", "HTTP/-1.1", "HTTP/+1.1", "HTTPS/1.1", "RTSP/1.0",
        "ICE/1.0", "FTP/1.1", "HTTP1.1", "HTTP/ 1.1", "HTTP\\1.1"]},
    "version with a vertical tab": (get(version="HTTP/1.1\x0b"), LINE),
    "HTTP/2 preface in HTTP/1.1": (head("PRI * HTTP/1.1"), TARGET | METHOD),
    **{f"method {method!r}": (head(f"{method} /x HTTP/1.1"), METHOD) for method in [
        "get", "Get", "FOO", "GETX", "GE", "TRACE", "CONNECT", "A" * 200]},
    "CONNECT to an authority": (head("CONNECT a.test:443 HTTP/1.1"), METHOD),
    "CONNECT with a body": (head("CONNECT a.test:443 HTTP/1.1", "Content-Length: 5") + "AAAAA", METHOD),
    # bytes of other protocols
    "a TLS client hello": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", LINE),
    "an SSH banner": ("SSH-2.0-OpenSSH_9.2\r\n", LINE | VERSION),
    "a PROXY header": ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(), LINE | VERSION | METHOD | TARGET),
    # Upgrade and Expect
    "an upgrade with a body": (
        post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5", body="AAAAA"), {"bad_upgrade"}),
    "an upgrade with chunks": (
        post("Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked", body=ZERO), {"bad_upgrade"}),
    "an unknown expectation": (post("Expect: 200-ok", "Content-Length: 5", body="AAAAA"), {"expectation_failed"}),
}

# --- refused in the body: the origin may have seen the head, never the end of a message ---
CUT_OFF = {
    **{f"chunk size {size!r}": (post_chunks(f"{size}\r\nAAAAA\r\n" + ZERO), CHUNK) for size in [
        "", "0x5", "0X5", "+5", "-5", "5_0", " 5", "5 ", "5\t", "\t5", "g", "5g", "5h", "5.", "5,5", "5 5", "\x005", "5\x00",
        "5\x0b", "\xef\xbc\x95", "00000000000000005", "10000000000000005", "fffffffffffffffff", "-1", "5\xa0", "5:a", "'5'"]},
    "chunk size ends in LF": (post_chunks("5\nAAAAA\r\n" + ZERO), CHUNK),
    "chunk size ends in CR": (post_chunks("5\rAAAAA\r\n" + ZERO), CHUNK),
    "chunk size ends in CR CR LF": (post_chunks("5\r\r\nAAAAA\r\n" + ZERO), CHUNK),
    "chunk ends in LF": (post_chunks("5\r\nAAAAA\n" + ZERO), CHUNK),
    "chunk ends in CR": (post_chunks("5\r\nAAAAA\r" + ZERO), CHUNK),
    "chunk ends in nothing": (post_chunks("5\r\nAAAAA" + ZERO), CHUNK),
    "chunk longer than its size": (post_chunks("5\r\nAAAAAB\r\n" + ZERO), CHUNK),
    "chunk shorter than its size": (post_chunks("6\r\nAAAAA\r\n" + ZERO), CHUNK),
    "chunk ends in other bytes": (post_chunks("5\r\nAAAAAXX" + ZERO), CHUNK),
    "extension with a bare LF": (post_chunks("5;a\nb\r\nAAAAA\r\n" + ZERO), CHUNK),
    "extension with a bare CR": (post_chunks("5;a\rb\r\nAAAAA\r\n" + ZERO), CHUNK),
    "extension with a NUL": (post_chunks("5;a\x00b\r\nAAAAA\r\n" + ZERO), CHUNK),
    "extension with a LF in quotes": (post_chunks('5;a="\nb"\r\nAAAAA\r\n' + ZERO), CHUNK),
    "extension of 10 KiB": (post_chunks("5;" + "a" * 10240 + "\r\nAAAAA\r\n" + ZERO), CHUNK),
    "last chunk ends in LF LF": (post_chunks(FIVE + "0\n\n"), CHUNK),
    "last chunk ends in CR LF LF": (post_chunks(FIVE + "0\r\n\n"), CHUNK),
    "last chunk with a space": (post_chunks(FIVE + "0 \r\n\r\n"), CHUNK),
    "negative last chunk": (post_chunks(FIVE + "-0\r\n\r\n"), CHUNK),
    "trailer without a colon": (post_chunks(FIVE + "0\r\nX\r\n\r\n"), CHUNK | HEADER),
    "trailer with a space before the colon": (post_chunks(FIVE + "0\r\nX : 1\r\n\r\n"), CHUNK | HEADER),
    "trailer that folds": (post_chunks(FIVE + "0\r\nX: 1\r\n 2\r\n\r\n"), CHUNK | HEADER),
    "trailer that ends in LF": (post_chunks(FIVE + "0\r\nX: 1\n\r\n"), CHUNK | HEADER),
    "trailer with a bare CR": (post_chunks(FIVE + "0\r\nX: 1\r2\r\n\r\n"), CHUNK | HEADER),
    "trailer with a NUL": (post_chunks(FIVE + "0\r\nX: \x00\r\n\r\n"), CHUNK | HEADER),
    "trailer with an odd name": (post_chunks(FIVE + "0\r\nX@Y: 1\r\n\r\n"), CHUNK | HEADER),
    "a request where a trailer should be": (post_chunks(FIVE + "0\r\n" + SMUGGLED), CHUNK | HEADER),
    "trailers of 32 KiB": (post_chunks(FIVE + "0\r\nX: " + "a" * 32768 + "\r\n\r\n"), CHUNK | {"header_too_large"}),
}


# --- forwarded: (bytes, method, target, body, fields that must be there, fields that must not) ---
def forwarded(data, method="GET", target="/x", body="", has=None, lacks=()):
    return data, method, target, body, {"host": "a.test", **(has or {})}, set(lacks)



FORWARDED = {
    "an empty line before the request line": forwarded("\r\n" + get()),
    "a request in the body of a GET": forwarded(get(f"Content-Length: {len(SMUGGLED)}") + SMUGGLED, body=SMUGGLED),
    "a request in the body of a POST": forwarded(post(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED), "POST", body=SMUGGLED),
    "a request in a chunk": forwarded(
        post_chunks(f"{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n" + ZERO), "POST", body=SMUGGLED),
    "a last chunk in a body of known length": forwarded(post("Content-Length: 5", body=ZERO), "POST", body=ZERO),
    "a request in the value of a field": forwarded(get("X: GET /smuggled HTTP/1.1"), has={"x": "GET /smuggled HTTP/1.1"}),
    "CL with leading zeros": forwarded(post("Content-Length: 005", body="AAAAA"), "POST", body="AAAAA"),
    "CL between spaces and tabs": forwarded(post("Content-Length: \t5\t ", body="AAAAA"), "POST", body="AAAAA"),
    "TE between spaces and tabs": forwarded(post("Transfer-Encoding:\t chunked \t", body=FIVE + ZERO), "POST", body="AAAAA"),
    "TE in capitals": forwarded(post("TRANSFER-ENCODING: CHUNKED", body=FIVE + ZERO), "POST", body="AAAAA"),
    "an underscore is not a dash": forwarded(
        post("Transfer_Encoding: chunked", "Content_Length: 9", "Content-Length: 5", body="AAAAA"), "POST", body="AAAAA",
        has={"transfer_encoding": "chunked", "content_length": "9"}),
    "TE is not Transfer-Encoding": forwarded(post("TE: chunked", "Content-Length: 5", body="AAAAA"), "POST", body="AAAAA",
                                             lacks=["te"]),
    # chunks that are legal
    "chunk sizes in both cases and with leading zeros": forwarded(
        post_chunks("00a\r\nAAAAAAAAAA\r\n0B\r\nBBBBBBBBBBB\r\n000\r\n\r\n"), "POST", body="A" * 10 + "B" * 11),
    "extensions are dropped": forwarded(post_chunks('5;a=b;c="d;e";f\r\nAAAAA\r\n0;last\r\n\r\n'), "POST", body="AAAAA"),
    "trailers that frame are dropped": forwarded(
        post_chunks(FIVE + "0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: evil\r\n\r\n"), "POST", body="AAAAA"),
    # what Connection may name
    "Connection names Content-Length": forwarded(
        post("Connection: content-length", "Content-Length: 5", body="AAAAA"), "POST", body="AAAAA"),
    "Connection names Transfer-Encoding": forwarded(
        post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body=FIVE + ZERO), "POST", body="AAAAA"),
    "Connection names Host": forwarded(get("Connection: Host")),
    "Connection names X-Forwarded-For": forwarded(
        get("X-Forwarded-For: 6.6.6.6", "Connection: close, X-Forwarded-For"), has={"x-forwarded-for": "127.0.0.1"}),
    "Connection names the request id": forwarded(get("Connection: X-Request-Id, traceparent"),
                                                 has={"x-request-id": ..., "traceparent": ...}),
    "Connection with empty elements": forwarded(get("Connection: ,,, X-Mine,,", "X-Mine: 1"), lacks=["x-mine"]),
    "Connection names a field that another line carries": forwarded(
        get("X-Mine: 1", "Connection: a", "Connection: x-MINE"), lacks=["x-mine"]),
    # upgrades that are not tunnels
    "h2c is not passed on": forwarded(
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        lacks=["upgrade", "http2-settings"]),
    "Upgrade without Connection is dropped": forwarded(get("Upgrade: websocket"), lacks=["upgrade"]),
    "Connection: upgrade without Upgrade means nothing": forwarded(get("Connection: upgrade"), lacks=["upgrade"]),
    "Expect in HTTP/1.0 is not understood": forwarded(
        post("Expect: 100-continue", "Content-Length: 5", version="HTTP/1.0", body="AAAAA"), "POST", body="AAAAA"),
    # targets
    **{f"target {target!r}": forwarded(get(target=target), target=sent) for target, sent in {
        "/a/../x": "/x", "/a/./x": "/a/x", "/a/b/../../x": "/x", "/%2e/x": "/x", "/a/%2E%2e/x": "/x", "/a/..": "/", "/.": "/",
        "/a/.": "/a/", "/%41%7e%2d": "/A~-", "/%c3%a9": "/%C3%A9", "/a%20b": "/a%20b", "/a%0d%0aX:%20y": "/a%0D%0AX:%20y",
        "/a%252fb": "/a%252fb", "/a%252e%252e/b": "/a%252e%252e/b", "//a//b/": "//a//b/", "/a|b^c[d]": "/a|b^c[d]",
        "/a;b=c,d": "/a;b=c,d", "/...": "/...", "/x?a=%2f%00../": "/x?a=%2f%00../", "/x?": "/x?", "/x??a": "/x??a",
        "/x?../../b": "/x?../../b", "/a:b@c!$&'()*+,=": "/a:b@c!$&'()*+,=", "//evil.test/x": "//evil.test/x",
        "http://a.test": "/", "http://a.test?q": "/?q", "HTTP://a.test/x": "/x", "https://a.test/a/../x": "/x"}.items()},
    "an absolute target over another Host": forwarded(get(target="http://a.test/x", host="Host: evil.test")),
    "an absolute target with a port": forwarded(get(target="http://a.test:81/x"), has={"host": "a.test:81"}),
    "an IPv6 host": forwarded(get(host="Host: [::1]:8080"), has={"host": "[::1]:8080"}),
}


@pytest.fixture(scope="module")
def judged():
    """A gateway that opens a new upstream connection for each request, so that one connection shows one vector's bytes."""
    with RawOrigin(answering(OK)) as origin:
        config = proxy_config(origin, upstream_settings={"pool": {"max_requests": 1}})
        with Sluice(config) as gateway:
            yield gateway, origin


class Arrived:
    """What reached the origin on behalf of one vector: everything that came between two of the test's own requests."""

    def __init__(self, gateway, origin):
        self.gateway, self.origin = gateway, origin
        self.connections_before = len(origin.connections)
        self.requests_before = len(origin.requests)

    def settle(self):
        """After this everything that the vector caused is there: the sentinel's connection was accepted behind it."""
        assert self.gateway.get("/sentinel").status == 200
        *connections, _ = self.origin.connections[self.connections_before:]
        self.requests = [sent for sent in self.origin.requests[self.requests_before:] if sent.target != "/sentinel"]
        self.received = [bytes(connection.received) for connection in connections]
        return self


def deliver(client, data, delivery):
    octets = data.encode("latin-1")
    if delivery == "one segment":
        client.send_if_open(octets)
    else:
        client.send_if_open(*(octets[at:at + 1] for at in range(len(octets))))


def deliveries(vectors):
    return [pytest.param(data, delivery, id=f"{name}, {delivery}") for name, data in vectors.items()
            for delivery in ("one segment", "byte by byte")]


def assert_refused(client, reasons):
    answer = client.read_response()
    problem = json.loads(answer.body)
    assert problem["reason"] in reasons, problem
    assert answer.status == STATUS.get(problem["reason"], 400)
    assert answer.get("connection") == "close"
    assert client.wait_closed()


@pytest.mark.parametrize("vector, delivery", deliveries(REFUSED))
def test_a_doubtful_head_is_refused_and_nothing_reaches_the_origin(judged, vector, delivery):
    data, reasons = vector
    arrived = Arrived(*judged)
    with judged[0].client() as client:
        deliver(client, data + SMUGGLED, delivery)
        assert_refused(client, reasons)
    assert arrived.settle().received == []


@pytest.mark.parametrize("vector, delivery", deliveries(CUT_OFF))
def test_a_doubtful_body_is_refused_and_never_becomes_a_whole_request(judged, vector, delivery):
    data, reasons = vector
    arrived = Arrived(*judged)
    with judged[0].client() as client:
        deliver(client, data + SMUGGLED, delivery)
        assert_refused(client, reasons)
    arrived.settle()
    assert arrived.requests == []
    for received in filter(None, arrived.received):  # a connection that was made before the body was refused may bring nothing
        head_bytes, _, body = received.partition(b"\r\n\r\n")
        assert head_bytes.startswith(b"POST /x HTTP/1.1\r\n") and b"smuggled" not in received and b"0\r\n\r\n" not in body


@pytest.mark.parametrize("vector, delivery", deliveries(FORWARDED))
def test_a_legal_oddity_is_forwarded_as_exactly_one_clean_request(judged, vector, delivery):
    data, method, target, body, has, lacks = vector
    arrived = Arrived(*judged)
    with judged[0].client() as client:
        deliver(client, data, delivery)
        assert client.read_response().body == b"ok"
    sent, = arrived.settle().requests
    assert (sent.method, sent.target, sent.body.decode("latin-1")) == (method, target, body)
    assert not sent.connection.buffer, "bytes after the request"
    for name, value in has.items():
        assert sent.get(name) is not None if value is ... else sent.get(name) == value
    assert not sent.names & lacks
    framing = sent.names & {"content-length", "transfer-encoding"}
    assert len(framing) == (1 if body else 0) or (method == "POST" and len(framing) == 1)


@pytest.mark.parametrize("first, rest, reason", [
    ("\r", "\n" + get(), None), ("\r\n", get(), None), ("\r\nG", get()[1:], None),
    ("\r\n", "\r\n" + get(), LINE), ("\r\n\r", "\n" + get(), LINE), ("\r", get(), LINE)])
def test_an_empty_line_before_a_request_means_the_same_in_whatever_pieces_it_comes(first, rest, reason):
    with proxying(answering(OK)) as (gateway, _):
        client = gateway.client().send(first)
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="reading")
        client.send(rest)
        if reason:
            assert_refused(client, reason)
        else:
            assert client.read_response().body == b"ok"


def test_there_are_more_than_a_hundred_vectors():
    assert len(REFUSED) + len(CUT_OFF) + len(FORWARDED) >= 250


def test_a_body_that_ends_early_never_looks_whole_to_the_origin(judged):
    gateway, origin = judged
    for data in (post("Content-Length: 10", body="AAAAA"), post_chunks(FIVE), post_chunks(FIVE + "0\r\n"), post_chunks("5\r\nAA"),
                 post_chunks("ffffffffffffffff\r\nAAAAA\r\n" + ZERO), post_chunks("8000000000000000\r\nAAAAA\r\n" + ZERO)):
        arrived = Arrived(gateway, origin)
        with gateway.client() as client:
            client.send(data)
            client.half_close()
            client.read_to_end()
        assert arrived.settle().requests == []


def test_requests_behind_a_smuggling_attempt_of_another_client_get_their_own_answers():
    with proxying(answering(lambda asked: response(asked.target.encode()))) as (gateway, origin):
        client = gateway.client()
        for number in range(20):
            with gateway.client() as attacker:
                attacker.send_if_open(post("Content-Length: 60", "Transfer-Encoding: chunked", body=ZERO + SMUGGLED))
                attacker.read_to_end()
            assert client.get(f"/{number}").body == b"/%d" % number
        assert "/smuggled" not in origin.targets


# --- lying upstreams ---
def answer_head(*fields, status_line="HTTP/1.1 200 OK"):
    return ("\r\n".join([status_line, *fields]) + "\r\n\r\n").encode("latin-1")


BAD_RESPONSE = {"upstream_bad_response"}
TOO_LARGE = {"upstream_head_too_large", "upstream_bad_response"}
LYING_HEADS = {
    "two CL that differ": (answer_head("Content-Length: 2", "Content-Length: 3") + b"abc", BAD_RESPONSE),
    "CL and TE": (answer_head("Content-Length: 3", "Transfer-Encoding: chunked") + chunked(b"abc"), BAD_RESPONSE),
    "two TE": (answer_head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(b"abc"), BAD_RESPONSE),
    **{f"CL {value!r}": (answer_head("Content-Length: " + value) + b"abc", BAD_RESPONSE) for value in
       ["", "-1", "+3", "0x3", "3 3", "2, 3", "three", "18446744073709551616"]},
    **{f"TE {value!r}": (answer_head("Transfer-Encoding: " + value) + chunked(b"abc"), BAD_RESPONSE) for value in
       ["", "identity", "xchunked", "chunked, gzip", "chunked, chunked", "gzip, chunked"]},
    **{f"status line {line!r}": (answer_head("Content-Length: 0", status_line=line), BAD_RESPONSE) for line in
       ["HTTP/1.1 2000 OK", "HTTP/1.1 20 OK", "HTTP/1.1 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/2.0 200 OK",
        "HTTP/2 200 OK", "HTTP/1.2 200 OK", "http/1.1 200 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK", "HTTP/1.1 -20 OK",
        "HTTP/1.1 2 0 OK", "HTTP/1.1 0x1 OK", "ICY 200 OK", "200 OK", " HTTP/1.1 200 OK", "HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\rK",
        "GET / HTTP/1.1", "SSH-2.0-OpenSSH_9.2"]},
    **{f"field {field!r}": (answer_head(field, "Content-Length: 0"), BAD_RESPONSE) for field in
       ["X : 1", "X", ": 1", "X Y: 1", "X: a\x00b", "X: a\nb", "X: a\rb", "X: a\r\n b", " X: 1", "X\x80: 1", "X: \x7f"]},
    "only LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", BAD_RESPONSE),
    "binary bytes": (bytes(range(256)) * 4, BAD_RESPONSE),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", BAD_RESPONSE | {"upstream_reset"}),
    "a page without a head": (b"<html>no head</html>\r\n\r\n", BAD_RESPONSE),
    "an empty line first": (b"\r\n\r\n" + OK, BAD_RESPONSE),
    "101 that nobody asked for": (answer_head("Upgrade: x", "Connection: Upgrade", status_line="HTTP/1.1 101 Switching"),
                                  BAD_RESPONSE),
    "a field of 1 MiB": (answer_head("X: " + "a" * (1 << 20), "Content-Length: 0"), TOO_LARGE),
    "20,000 fields": (answer_head(*["X: 1"] * 20000, "Content-Length: 0"), TOO_LARGE),
    "a status line of 1 MiB": (answer_head(status_line="HTTP/1.1 200 " + "a" * (1 << 20)), TOO_LARGE),
    "a head that never ends": (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200000, TOO_LARGE),
}


@pytest.fixture(scope="module")
def before_a_liar():
    """A gateway whose origin tells each connection what `lie` holds, and closes if the lie is told."""
    lie = {}

    def tell(connection):
        while True:
            asked = connection.read_request()
            if asked.target == "/honest":
                connection.send(OK)
                continue
            connection.send_if_open(lie["bytes"])
            connection.half_close()  # a lie may be a beginning only
            lie["end"] = connection.drain()
            return

    with proxying(tell) as (gateway, _):
        yield gateway, lie


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", LYING_HEADS)
def test_a_lying_response_head_is_a_502_and_its_connection_is_not_used_again(before_a_liar, name, method):
    gateway, lie = before_a_liar
    lie["bytes"], reasons = LYING_HEADS[name]
    with gateway.client() as client:
        client.send(request(method, "/lie", body=b"x" if method == "POST" else None))
        answer = client.read_response()
        assert answer.status == 502
        assert json.loads(answer.body)["reason"] in reasons
        assert client.get("/honest").body == b"ok", "the client's connection is not to blame"


LYING_BODIES = {
    "chunk size": chunked(b"abc")[:-5] + b"xyz\r\n",
    "chunk size 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size ends in LF": b"3\nabc\r\n0\r\n\r\n",
    "chunk end": b"3\r\nabcXX0\r\n\r\n",
    "chunk longer than its size": b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk of 2^68": b"fffffffffffffffff\r\nabc",
    "extension of 1 MiB": b"3;" + b"a" * (1 << 20) + b"\r\nabc\r\n0\r\n\r\n",
    "trailer without a colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
    "trailer that folds": b"3\r\nabc\r\n0\r\nX: 1\r\n 2\r\n\r\n",
    "trailers of 1 MiB": b"3\r\nabc\r\n0\r\n" + b"X: 1\r\n" * 200000 + b"\r\n",
    "a response where a trailer should be": b"3\r\nabc\r\n0\r\n" + OK,
}


@pytest.mark.parametrize("timing", ["with the head", "after the head"])
@pytest.mark.parametrize("name", LYING_BODIES)
def test_a_lying_chunked_body_never_ends_cleanly(name, timing):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream = origin.accept()
        upstream.read_request()
        head_bytes = response(headers=CHUNKED, framed=False)
        if timing == "with the head":
            upstream.send_if_open(head_bytes + LYING_BODIES[name])
        else:
            upstream.send(head_bytes)
            client.read_through(b"\r\n\r\n")
            upstream.send_if_open(LYING_BODIES[name])
        received, _ = client.read_to_end() if timing == "after the head" else read_502_or_part(client)
        assert b"0\r\n\r\n" not in received
        assert gateway.access_log()[0]["reason"] == "upstream_bad_body"
        upstream.drain()
        gateway.wait_gauges_zero()


def read_502_or_part(client):
    """The lie came in one read with the head: the gateway may still say 502, or have begun to pass the answer on."""
    answer = client.read_response()
    if answer.status == 502:
        assert_problem(answer, 502, "upstream_bad_body")
        return b"", End.complete
    assert answer.end is not End.complete
    return answer.body, answer.end


POISON = response(b"poison")
SURPLUS = {
    "bytes after a body of known length": ("GET", OK + b"surplus"),
    "a second response": ("GET", OK + POISON),
    "bytes after the last chunk": ("GET", response(headers=CHUNKED, framed=False) + chunked(b"ok") + b"surplus"),
    "a second response after the last chunk": ("GET", response(headers=CHUNKED, framed=False) + chunked(b"ok") + POISON),
    "a body in the answer to HEAD": ("HEAD", response(b"poison")),
    "a body in a 204": ("GET", answer_head(status_line="HTTP/1.1 204 No Content") + POISON),
    "a body in a 304": ("GET", answer_head("Content-Length: 9", status_line="HTTP/1.1 304 Not Modified") + POISON),
}


@pytest.mark.parametrize("name", SURPLUS)
def test_surplus_bytes_of_an_upstream_are_nobody_s_answer(name):
    method, data = SURPLUS[name]
    with proxying() as (gateway, origin):
        client = gateway.client().send(request(method, "/1"))
        upstream, _ = origin.answer(data)
        answer = client.read_response(to=method)
        assert answer.status in (200, 204, 304) and answer.body in (b"ok", b"")
        client.send(request("GET", "/2"))
        second, sent = origin.answer(OK)
        assert sent.target == "/2"
        assert client.read_response().body == b"ok"
        assert upstream.drain()
        assert upstream.received.count(b"HTTP/1.1") == 1


def test_surplus_bytes_that_come_later_are_nobody_s_answer():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/1"))
        upstream, _ = origin.answer(OK)
        assert client.read_response().body == b"ok"
        upstream.send(POISON)
        assert upstream.drain()
        client.send(request("GET", "/2"))
        origin.answer(OK)
        assert client.read_response().body == b"ok"
        assert gateway.metrics().total("sluice_upstream_connections_closed_total") == 1


def test_a_connection_whose_request_was_not_finished_is_not_used_again():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("POST", "/1", [("Content-Length", "100")]), b"first")
        upstream = origin.accept()
        upstream.read_request_head()
        upstream.send(OK)
        assert client.read_response().body == b"ok"
        with gateway.client() as other:
            other.send(request("GET", "/2"))
            assert origin.answer(OK)[1].target == "/2"
            assert other.read_response().body == b"ok"


@pytest.mark.parametrize("interim, most, reason", [
    (b"HTTP/1.1 103 Early Hints\r\n\r\n", 16, "upstream_bad_response"),
    (b"HTTP/1.1 100 Continue\r\n\r\n", 16, "upstream_bad_response"),
    (b"HTTP/1.1 199 X\r\nA: b\r\n\r\n", 16, "upstream_bad_response"),
    (b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 3, "upstream_head_too_large"),
], ids=["103", "100", "199", "large"])
def test_a_flood_of_1xx_is_cut_off(interim, most, reason):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream = origin.accept()
        upstream.read_request()
        upstream.send_in_background(interim * 1000)
        answer = client.read_response()
        assert_problem(answer, 502, reason)
        assert len(answer.interim) == most
        assert gateway.access_log()[0]["reason"] == reason
        assert upstream.drain()


def test_a_1xx_cannot_carry_a_body():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        origin.answer(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 6\r\n\r\npoison" + OK)
        answer = client.read_response()
        assert answer.body != b"poison"
        assert_problem(answer, 502, "upstream_bad_response")
