"""DnsServer: a DNS server on loopback whose names the test changes while it runs, and which remembers every question."""

import socket
import struct
import threading
import time
from collections import namedtuple

A, AAAA = 1, 28
NO_ERROR, NO_SUCH_NAME = 0, 3

Question = namedtuple("Question", "when name kind")


class DnsServer:
    """Answers A and AAAA questions by UDP; who is not in `names` does not exist. Leaving the `with` block ends it, and so
    does stop(), after which questions are refused by the kernel."""

    def __init__(self):
        self.names = {}      # name: (IPv4 addresses, ttl)
        self.questions = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def set(self, name, *addresses, ttl=1):
        self.names[name] = (addresses, ttl)

    def stop(self):
        if self.socket.fileno() < 0:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def asked(self, name, kind=A):
        """When the name was asked for."""
        return [question.when for question in list(self.questions) if (question.name, question.kind) == (name, kind)]

    def _serve(self):
        while True:
            query, peer = self.socket.recvfrom(512)
            if not query:
                return
            self.socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind, = struct.unpack_from("!H", query, at + 1)
        name = ".".join(labels).lower()
        self.questions.append(Question(time.monotonic(), name, kind))
        known = self.names.get(name)
        addresses, ttl = known or ((), 0)
        records = [struct.pack("!HHHIH4s", 0xc00c, A, 1, ttl, 4, socket.inet_aton(address))
                   for address in addresses if kind == A]
        flags = 0x8180 | (NO_ERROR if known else NO_SUCH_NAME)
        return (query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + query[12:at + 5] + b"".join(records))
