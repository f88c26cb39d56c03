"""Two kinds of load. wrk: as much as goes, for a time; used where CPU time is measured. Client: a counted number of requests
over a fixed set of keep-alive connections; used where something is counted per request. Both check every answer's length."""

import json
import os
import pathlib
import socket
import ssl
import subprocess
from typing import NamedTuple

from peers import BenchError

SCRIPT = str(pathlib.Path(__file__).resolve().parent / "wrk.lua")


class Scenario(NamedTuple):
    """One kind of request. `expect` is the length of the body that must come back; `target` the ratio of CPU time per request
    against the better peer that the project has set itself."""

    name: str
    title: str
    path: str
    connections: int
    expect: int
    target: float
    method: str = "GET"
    body_bytes: int = 0
    close: bool = False
    paths: int = 1
    headers: tuple = ()
    tls: bool = False


def request_bytes(scenario):
    head = f"{scenario.method} {scenario.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if scenario.body_bytes:
        head += f"Content-Length: {scenario.body_bytes}\r\n"
    if scenario.close:
        head += "Connection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in scenario.headers)
    return head.encode() + b"\r\n" + b"x" * scenario.body_bytes


def tls_client():
    """TLS 1.3 with whoever answers."""
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    return client


class Client:
    """Sends `count` requests in waves: one on each connection, then reads all the answers. The server therefore finds many
    sockets ready in one turn of its loop, as it does under load, and the number of requests is exact."""

    def __init__(self, port, scenario, connections):
        self.request = request_bytes(scenario)
        self.expect = scenario.expect
        self.response_bytes = 0
        self.sockets = []
        client = tls_client() if scenario.tls else None
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port), timeout=120)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets.append(client.wrap_socket(connection) if client else connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.sockets:
            connection.close()

    def run(self, count):
        for start in range(0, count, len(self.sockets)):
            wave = self.sockets[: count - start]
            for connection in wave:
                connection.sendall(self.request)
            for connection in wave:
                self._read_response(connection)

    def _read_response(self, connection):
        received = bytearray()
        while (head_end := received.find(b"\r\n\r\n")) < 0:
            self._receive(connection, received)
        head = bytes(received[:head_end]).lower()
        status = head.split(b" ", 2)[1]
        length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        if status != b"200" or len(length) != 1 or int(length[0]) != self.expect:
            raise BenchError(f"an answer is not a 200 with {self.expect} bytes:\n{head.decode(errors='replace')}")
        self.response_bytes = head_end + 4 + self.expect
        while len(received) < self.response_bytes:
            self._receive(connection, received)

    @staticmethod
    def _receive(connection, into):
        piece = connection.recv(1 << 20)
        if not piece:
            raise BenchError("the proxy closed a connection in the middle of an answer")
        into += piece


def response_bytes(port, scenario):
    """The length of one whole answer, head included, after looking at it closely."""
    with Client(port, scenario, 1) as client:
        client.run(1)
        return client.response_bytes


def wrk(port, scenario, seconds, core, refused=False):
    """Runs wrk and returns its summary, or raises BenchError if anything about the answers was wrong. `refused`: answers that are
    errors are expected, and nothing is said of lengths."""
    each = 0 if refused else response_bytes(port, scenario if scenario.paths == 1 else scenario._replace(path=f"/svc-0{scenario.path}"))
    command = [
        "wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--timeout", "10s", "-s", SCRIPT,
        f"{'https' if scenario.tls else 'http'}://127.0.0.1:{port}{scenario.path}", "--",
        scenario.method, str(scenario.body_bytes), "close" if scenario.close else "keep", str(scenario.paths),
        *(word for field in scenario.headers for word in field),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {done.stdout}{done.stderr}")
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    kinds = ("connect", "read", "write", "timeout") + (() if refused else ("status",))
    errors = {kind: summary[kind] for kind in kinds if summary[kind]}
    if errors or summary["requests"] == 0:
        raise BenchError(f"{summary['requests']} requests with errors {errors}")
    # wrk counts bytes as they arrive, so at its end each connection may be in the middle of an answer. Routes with a
    # number in their name vary the length of nothing but the request.
    if not refused and abs(summary["bytes"] - summary["requests"] * each) > (scenario.connections + 1) * each:
        raise BenchError(f"{summary['bytes']} bytes came for {summary['requests']} requests of {each} bytes")
    return summary
