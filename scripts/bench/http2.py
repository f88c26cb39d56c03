"""What HTTP/2 costs: CPU time per request under h2load, over TLS 1.3, with upstreams that speak HTTP/1.1 and with such that speak
HTTP/2, in interleaved rounds; and the memory of connections that idle after one request."""

import re
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack

from load import Client, Scenario
from peers import BenchError
from progress import progress, result
from rounds import HEADER, TLS, Figure, check_log, row
from rounds import run_scenario as run_wrk

CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"  # of TLS 1.2, for h2load to offer 1.3 too
SCENARIOS = [
    (TLS._replace(name="h2", title="HTTP/2, 128-byte GET, 8 connections of 32 streams", target=0.7), ("-c8", "-m32")),
    (TLS._replace(name="h2-one", title="HTTP/2, 128-byte GET, 64 connections of one stream", target=0.85), ("-c64", "-m1")),
    (TLS._replace(name="h2-16k", title="HTTP/2, 16 KiB response, 8 connections of 32 streams", path="/bytes/16384", expect=16384,
                  target=0.85), ("-c8", "-m32")),
    (TLS._replace(name="h2-h2", title="HTTP/2 on both sides, 128-byte GET, 8 connections of 4 streams", path="/http2", target=0.85),
     ("-c8", "-m4")),
]  # fmt: skip
IDLE_SECONDS = 2  # before memory is looked at
TO_HTTP2 = Scenario("h1-h2", "HTTP/1.1 to upstreams of HTTP/2, 128-byte GET, 64 connections", "/http2", 64, 128, 0.85)
IDLE_CONNECTIONS = 2000
FINISHED = re.compile(r"finished in ([\d.]+)(m?s),")
COUNTED = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


def h2load(peer, scenario, shape, requests):
    """Seconds that `requests` took; each was answered well, or there is no figure."""
    url = f"https://127.0.0.1:{peer.tls_port}{scenario.path}"
    command = ["h2load", *shape, "-n", str(requests), f"--ciphers={CIPHER}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    finished, counted = FINISHED.search(done.stdout), COUNTED.search(done.stdout)
    if finished is None or counted is None or int(counted[1]) != requests or "Application protocol: h2" not in done.stdout:
        raise BenchError(f"{peer.name}: h2load says\n{done.stdout}{done.stderr}")
    return float(finished[1]) / (1000 if finished[2] == "ms" else 1)


def run_scenario(peers, scenario, shape, rounds, seconds):
    """As that of rounds.py. How many requests a round has is what the slowest peer does in its time."""
    figures = {peer.name: [] for peer in peers}
    rate = min(4000 / h2load(peer, scenario, shape, 4000) for peer in peers)
    requests = max(4000, int(rate * seconds))
    for number in range(rounds):
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            peer.forget_logs()
            before = peer.cpu_seconds()
            took = h2load(peer, scenario, shape, requests)
            figures[peer.name].append(Figure(peer.cpu_seconds() - before, requests, took))
            check_log(peer, requests)
        line = "  ".join(f"{name} {of[-1].micros:.2f} µs" for name, of in figures.items())
        progress(f"{scenario.name}: round {number + 1}/{rounds}  {line}")
    result()
    return figures


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def ask(port, client):
    """A connection of HTTP/2 that has asked for one thing, and got it."""
    connection = client.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname="localhost")
    # HPACK by hand (RFC 7541): GET, https, and the path and authority as literals that are not indexed.
    path, authority = TLS.path.encode(), b"localhost"
    block = b"\x82\x87" + b"\x04" + bytes([len(path)]) + path + b"\x01" + bytes([len(authority)]) + authority
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, block) + frame(4, 1, 0))
    received, ended = b"", False
    while not ended:
        while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3], "big"):
            piece = connection.recv(65536)
            if not piece:
                raise BenchError("a connection of HTTP/2 ended before its answer")
            received += piece
        ended = received[3] == 0 and received[4] & 1 == 1  # DATA with END_STREAM
        received = received[9 + int.from_bytes(received[:3], "big") :]
    return connection


def memory(bench):
    """Private memory that each of many connections adds, in bytes."""
    rows = [f"| {IDLE_CONNECTIONS:,} idle TLS connections, bytes each | HTTP/1.1 | HTTP/2 |", "|---|---|---|"]
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2"])
    for make in (bench.sluice, bench.nginx):
        cells = []
        for http2 in (False, True):
            with make() as peer, ExitStack() as clients:
                with Client(peer.tls_port, TLS, 64) as warm:
                    warm.run(64 * 20)
                progress(f"h2: {peer.name}, {IDLE_CONNECTIONS} connections")
                before = peer.memory_kib("Private_Dirty")
                for _ in range(IDLE_CONNECTIONS // 50):
                    if http2:
                        for _ in range(50):
                            clients.enter_context(ask(peer.tls_port, client))
                    else:
                        clients.enter_context(Client(peer.tls_port, TLS, 50)).run(50)
                time.sleep(IDLE_SECONDS)
                cells.append(f"{(peer.memory_kib('Private_Dirty') - before) * 1024 / IDLE_CONNECTIONS:,.0f}")
        rows.append(f"| {peer.name} | {' | '.join(cells)} |")
    result(*rows)


def http2(bench, rounds, seconds):
    """Mode `h2`."""
    rows = []
    with ExitStack() as running:
        running.enter_context(bench.origin())
        running.enter_context(bench.http2_origin())
        peers = [running.enter_context(peer) for peer in bench.proxies()]
        for scenario, shape in SCENARIOS:
            rows.append(row(scenario, run_scenario(peers, scenario, shape, rounds, seconds)))
        rows.append(row(TO_HTTP2, run_wrk(peers, TO_HTTP2, rounds, seconds, bench.load_core)))
        result(f"\nMedians of {rounds} interleaved rounds of some {seconds} s each; one core for the proxy.\n", HEADER, *rows)
    with bench.origin():
        memory(bench)
    return True
