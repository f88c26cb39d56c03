"""HTTP/2 to endpoints: many requests on one connection, and what becomes of them when it ends."""

from contextlib import contextmanager

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from harness import Http2Origin, Sluice, assert_problem, merged, proxy_config, request


@contextmanager
def proxying2(script=None, origin=None, upstream_settings=None, **config):
    """A gateway before one endpoint that speaks HTTP/2: yields (gateway, origin)."""
    settings = merged({"protocol": "http2"}, upstream_settings or {})
    with Http2Origin(script, **(origin or {})) as server:
        with Sluice(proxy_config(server, upstream_settings=settings, **config)) as gateway:
            yield gateway, server


def ok(asked):
    asked.read()
    asked.respond(b"ok")


def test_a_request_and_its_answer_cross_http2():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request("GET", "/a?b=c", headers=[("X-Thing", "Value"), ("Cookie", "a=1")]))
        asked = origin.request()
        assert asked.get(":method") == "GET"
        assert asked.get(":path") == "/a?b=c"
        assert asked.get(":scheme") == "http"
        assert asked.get(":authority")
        assert asked.get("x-thing") == "Value"
        assert asked.get("cookie") == "a=1"
        names = [name for name, _ in asked.headers]
        assert not {"host", "connection", "transfer-encoding"} & set(names)
        asked.respond(b"hello", fields=[("x-answer", "yes"), ("content-length", "5")])
        answer = client.read_response()
        assert answer.status == 200
        assert answer.body == b"hello"
        assert answer.get("x-answer") == "yes"
        assert answer.get("content-length") == "5"
