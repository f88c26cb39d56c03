"""DelayProxy: a far-away server. It passes bytes on, both ways, each piece half a round trip after it came, however many are under way.

A process of its own, so that nothing in the test's process delays it further. It sleeps in select(), whose timeout has microseconds where
epoll's has milliseconds, and so is meant for a handful of connections."""

import collections
import ctypes
import select
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
PR_SET_TIMERSLACK = 29


class DelayProxy:
    """`with DelayProxy(redis.address, 0.050) as far: ... far.address`"""

    def __init__(self, target, round_trip):
        self.command = [sys.executable, __file__, target, str(round_trip / 2)]
        self.process = None
        self.address = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.address = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Direction:
    """What goes from one socket to the other, each piece with the time at which it is due; an empty one is the end."""

    def __init__(self, source, sink, delay):
        self.source, self.sink, self.delay = source, sink, delay
        self.under_way = collections.deque()
        self.ended = False

    def read(self, now):
        try:
            piece = self.source.recv(262144)
        except ConnectionError:
            piece = b""
        self.ended = not piece
        self.under_way.append((now + self.delay, piece))

    def deliver(self, now):
        while self.under_way and self.under_way[0][0] <= now:
            piece = self.under_way.popleft()[1]
            try:
                if piece:
                    self.sink.sendall(piece)
                else:
                    self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                self.ended = True
                self.under_way.clear()

    @property
    def over(self):
        return self.ended and not self.under_way


def serve(target, delay):
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)  # nanoseconds, where 50 us are usual
    host, port = target.rsplit(":", 1)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    directions = []
    while True:
        now = time.monotonic()
        for direction in directions:
            direction.deliver(now)
        for pair in zip(directions[::2], directions[1::2]):
            if all(direction.over for direction in pair):
                pair[0].source.close()
                pair[0].sink.close()
        directions = [direction for direction in directions if direction.source.fileno() >= 0]
        due = min((direction.under_way[0][0] for direction in directions if direction.under_way), default=now + 3600)
        open_ones = {direction.source: direction for direction in directions if not direction.ended}
        ready, _, _ = select.select([listener, *open_ones], [], [], max(0.0, due - time.monotonic()))
        now = time.monotonic()
        for source in ready:
            if source is not listener:
                open_ones[source].read(now)
                continue
            near, _ = listener.accept()
            far = socket.create_connection((host, int(port)))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            directions += [Direction(near, far, delay), Direction(far, near, delay)]


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
