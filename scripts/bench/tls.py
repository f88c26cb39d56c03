"""What TLS 1.3 costs: CPU time per keep-alive request and per handshake, full and resumed, in interleaved rounds; and the
memory of connections that idle and of handshakes that stand still. All show the same certificate (ECDSA, P-256)."""

import socket
import ssl
import statistics
import time
from contextlib import ExitStack

from load import Client, request_bytes, tls_client
from peers import BenchError
from progress import progress, result
from rounds import HEADER, TLS, Figure, ratio, row, run_scenario

AT_ONCE = 32
IDLE_CONNECTIONS = 2000
STALLED_BYTES = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"  # of a ClientHello, which never goes on
CLOSING = request_bytes(TLS._replace(close=True))


class Visitor:
    """One connection for one request. Its steps are apart, so that many visitors can be at the same one: the server finds many
    sockets ready in one turn, as it does under load."""

    def __init__(self, client, port, session):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost", session=session)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)

    def greet(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()

    def ask(self):
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._receive()
        self.tls.write(CLOSING)
        self._send()

    def leave(self):
        """Reads the answer; returns the session that was offered before it."""
        answer = b""
        while True:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._receive()
                continue
            except ssl.SSLZeroReturnError:
                break
            if not piece:
                break
            answer += piece
        self.socket.close()
        if not answer.startswith(b"HTTP/1.1 200 ") or len(answer.partition(b"\r\n\r\n")[2]) != TLS.expect:
            raise BenchError(f"a connection brought no good answer:\n{answer[:200]!r}")
        return self.tls.session

    def _send(self):
        self.socket.sendall(self.outgoing.read())

    def _receive(self):
        piece = self.socket.recv(65536)
        if piece:
            self.incoming.write(piece)
        else:
            self.incoming.write_eof()


def visit(client, peer, seconds, sessions):
    """Waves of visitors for a while. `sessions`: what they resume, replaced by what they are offered; None: full handshakes."""
    connections = 0
    began, before = time.monotonic(), peer.cpu_seconds()
    while time.monotonic() < began + seconds:
        visitors = [Visitor(client, peer.tls_port, sessions[i] if sessions else None) for i in range(AT_ONCE)]
        for step in (Visitor.greet, Visitor.ask):
            for visitor in visitors:
                step(visitor)
        offered = [visitor.leave() for visitor in visitors]
        for visitor in visitors:
            if visitor.tls.session_reused != bool(sessions):
                raise BenchError(f"{peer.name}: a session was {'not ' if sessions else ''}resumed")
        sessions = sessions and offered
        connections += AT_ONCE
    return Figure(peer.cpu_seconds() - before, connections, time.monotonic() - began), offered


def handshakes(peers, rounds, seconds, resumed):
    figures = {peer.name: [] for peer in peers}
    client, sessions = tls_client(), {}
    for peer in peers:
        _, sessions[peer.name] = visit(client, peer, 1, None)
    for number in range(rounds):
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            figure, offered = visit(client, peer, seconds, sessions[peer.name] if resumed else None)
            figures[peer.name].append(figure)
            sessions[peer.name] = offered
        line = "  ".join(f"{name} {of[-1].micros:.0f} µs" for name, of in figures.items())
        progress(f"{'resumed' if resumed else 'full'} handshakes: round {number + 1}/{rounds}  {line}")
    result()
    return figures


def stalled(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(STALLED_BYTES)
    return connection


def memory(bench):
    """Private memory that each of many connections adds, in bytes."""
    rows = [f"| {IDLE_CONNECTIONS:,} TLS connections, bytes each | idle after one request | stalled in the handshake |", "|---|---|---|"]
    for make in (bench.sluice, bench.nginx):
        cells = []
        with make() as peer, ExitStack() as clients:
            with Client(peer.tls_port, TLS, 64) as warm:
                warm.run(64 * 20)
            for opens in (_idle, _stalled):
                progress(f"tls: {peer.name}, {IDLE_CONNECTIONS} connections")
                before = peer.memory_kib("Private_Dirty")
                opens(peer, clients)
                cells.append(f"{(peer.memory_kib('Private_Dirty') - before) * 1024 / IDLE_CONNECTIONS:,.0f}")
        rows.append(f"| {peer.name} | {' | '.join(cells)} |")
    result(*rows)


def _idle(peer, clients):
    for _ in range(IDLE_CONNECTIONS // 50):
        clients.enter_context(Client(peer.tls_port, TLS, 50)).run(50)


def _stalled(peer, clients):
    for _ in range(IDLE_CONNECTIONS):
        clients.enter_context(stalled(peer.tls_port))
    used = peer.cpu_seconds()
    while True:  # until it has read what they sent
        time.sleep(0.2)
        before, used = used, peer.cpu_seconds()
        if used - before < 0.001:
            return


def tls(bench, rounds, seconds):
    """Mode `tls`."""
    rows = []
    with ExitStack() as running:
        running.enter_context(bench.origin())
        peers = [running.enter_context(peer) for peer in bench.proxies()]
        rows.append(row(TLS, run_scenario(peers, TLS, rounds, seconds, bench.load_core)))
        for title, resumed in (("one connection per request, full handshake", False), ("the same, resumed", True)):
            figures = handshakes(peers, rounds, seconds, resumed)
            rows.append(row(TLS._replace(title=title, target=1.0), figures))
            medians = ", ".join(f"{name} {1e6 / statistics.median(f.micros for f in of):,.0f}" for name, of in figures.items())
            result(f"{title}: connections per second of CPU: {medians}; against nginx {ratio(figures, 'sluice', 'nginx'):.2f}")
        result(f"\nMedians of {rounds} interleaved rounds of {seconds} s each; one core for the proxy.\n", HEADER, *rows)
        memory(bench)
    return True
