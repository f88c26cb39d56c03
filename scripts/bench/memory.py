"""Figures about memory: what an idle connection costs, and what a large body costs when its reader is slow."""

import resource
import socket
import threading
import time
from contextlib import ExitStack

from load import Client
from peers import BenchError
from progress import progress, result
from rounds import SCENARIOS

BODY_BYTES = 64 << 20
SLOW_PIECE_BYTES = 256 << 10
SLOW_PAUSE_SECONDS = 0.01  # a piece, a pause: 64 MiB take about three seconds
SAMPLE_SECONDS = 0.02


def idle(bench, connections):
    """Mode `idle`: private memory that each of many idle keep-alive connections adds, after one request each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if connections > hard - 2000:
        print(f"The descriptor limit is {hard}, so {hard - 2000} connections must do.")
        connections = hard - 2000
    rows = [f"| {connections:,} idle connections | bytes each | private memory before, KiB | after, KiB |", "|---|---|---|---|"]
    scenario = SCENARIOS[0]
    with ExitStack() as running:
        running.enter_context(bench.origin())
        for make in (bench.sluice, bench.nginx):
            with make() as peer, ExitStack() as clients:
                with Client(peer.port, scenario, 64) as warm:
                    warm.run(64 * 20)
                before = peer.memory_kib("Private_Dirty")
                for opened in range(0, connections, 100):
                    client = clients.enter_context(Client(peer.port, scenario, min(100, connections - opened)))
                    client.run(len(client.sockets))
                    if opened % 1000 == 0:
                        progress(f"idle: {peer.name}, {opened} connections")
                after = peer.memory_kib("Private_Dirty")
            rows.append(f"| {peer.name} | {(after - before) * 1024 / connections:,.0f} | {before:,} | {after:,} |")
    result(*rows)
    return True


class PeakMemory:
    """Samples a peer's RSS in a thread while its `with` block runs; `growth_kib` afterwards."""

    def __init__(self, peer):
        self.peer = peer
        self.growth_kib = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def __enter__(self):
        self.before = self.peer.memory_kib("Rss")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _sample(self):
        while not self.done.wait(SAMPLE_SECONDS):
            try:
                self.growth_kib = max(self.growth_kib, self.peer.memory_kib("Rss") - self.before)
            except (ProcessLookupError, FileNotFoundError):
                return  # it died; Peer says so


def large(bench):
    """Mode `memory`: how far RSS grows while 64 MiB pass through to a reader slower than the sender."""
    rows = ["| growth of RSS, 64 MiB through a slow reader | download, KiB | upload, KiB |", "|---|---|---|"]
    with ExitStack() as running:
        running.enter_context(bench.origin())
        listener = running.enter_context(socket.create_server(("127.0.0.1", bench.slow_port)))
        for make in (bench.sluice, bench.nginx, bench.haproxy):
            with make() as peer:
                with Client(peer.port, SCENARIOS[0], 64) as warm:
                    warm.run(64 * 20)
                progress(f"memory: {peer.name}")
                with PeakMemory(peer) as down:
                    _download_slowly(peer.port)
                with PeakMemory(peer) as up:
                    _upload_to_slow_origin(peer.port, listener)
            rows.append(f"| {peer.name} | {down.growth_kib:,} | {up.growth_kib:,} |")
    result(*rows)
    return True


def _read_slowly(connection, want):
    """Reads until `want` bytes have come after the head of a message; returns how many came."""
    received, body = b"", None
    while body is None or body < want:
        piece = connection.recv(SLOW_PIECE_BYTES)
        if not piece:
            break
        if body is None:
            received += piece
            end = received.find(b"\r\n\r\n")
            body = None if end < 0 else len(received) - end - 4
        else:
            body += len(piece)
        time.sleep(SLOW_PAUSE_SECONDS)
    return body


def _download_slowly(port):
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(f"GET /bytes/{BODY_BYTES} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        came = _read_slowly(connection, BODY_BYTES)
    if came != BODY_BYTES:
        raise BenchError(f"the slow download brought {came} of {BODY_BYTES} bytes")


def _upload_to_slow_origin(port, listener):
    outcome = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            outcome.append(_read_slowly(connection, BODY_BYTES))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    origin = threading.Thread(target=serve, daemon=True)
    origin.start()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        head = f"POST /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
        connection.sendall(head.encode())
        piece = bytes(1 << 20)
        for _ in range(BODY_BYTES // len(piece)):
            connection.sendall(piece)
        answer = connection.recv(65536)
    origin.join(120)
    if outcome != [BODY_BYTES] or not answer.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"the slow upload brought {outcome} of {BODY_BYTES} bytes; the answer was {answer[:80]!r}")
