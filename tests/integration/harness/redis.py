"""Redis: a real redis-server on a free loopback port, its data in a temporary folder, stopped by its process id."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

from .deadline import DEADLINE, wait_until
from .gateway import free_port


class Redis:
    def __init__(self, port=None, tls=None, durable=False):
        """`tls`: (authority, certificate, key) paths; then `tls_address` speaks TLS and asks its clients for a certificate.
        `durable`: what it confirmed is still there after kill() and start()."""
        self.port = port or free_port()
        self.persistence = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self.address = f"127.0.0.1:{self.port}"
        self.options = []
        if tls:
            port = free_port()
            self.tls_address = f"127.0.0.1:{port}"
            self.options = ["--tls-port", str(port), "--tls-ca-cert-file", tls[0], "--tls-cert-file", tls[1], "--tls-key-file",
                            tls[2]]
        self.directory = None
        self.process = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sluice-redis-")
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.persistence, "--dir",
             self.directory, *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "redis-server answers")

    def kill(self):
        """Without a word, as a crash would; what it held is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(DEADLINE)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        """The raw reply to one command, for looking at what is stored."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as connection:
            connection.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w) for w in
                                                                   (word.encode() for word in words))]))
            connection.shutdown(socket.SHUT_WR)
            reply = b""
            while piece := connection.recv(65536):
                reply += piece
            return reply

    def _answers(self):
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False


def redis_store(redis, **settings):
    """The configuration of the stores of a gateway that keeps everything there."""
    return {"default": {"type": "redis", "address": [redis.address], "timeout": "5s", **settings}}
