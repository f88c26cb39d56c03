"""Redis: a real redis-server on a free loopback port, its data in a temporary folder, stopped by its process id; SentinelTrio and
RedisCluster: some of them that belong together."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

from .deadline import DEADLINE, wait_until
from .gateway import free_port


class Redis:
    def __init__(self, port=None, tls=None, durable=False, options=()):
        """`tls`: (authority, certificate, key) paths; then `tls_address` speaks TLS and asks its clients for a certificate.
        `durable`: what it confirmed is still there after kill() and start(). `options`: more of redis-server's."""
        self.port = port or free_port()
        self.persistence = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self.address = f"127.0.0.1:{self.port}"
        self.options = [*options]
        if tls:
            port = free_port()
            self.tls_address = f"127.0.0.1:{port}"
            self.options += ["--tls-port", str(port), "--tls-ca-cert-file", tls[0], "--tls-cert-file", tls[1], "--tls-key-file",
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
        self._start(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.persistence, "--dir",
                     self.directory, *self.options])

    def _start(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
        with contextlib.suppress(OSError):
            return self.command("PING") == b"+PONG\r\n"


class Sentinel(Redis):
    """Watches one master under the name "main". Its word alone is enough."""

    def __init__(self, master):
        super().__init__()
        self.master = master

    def start(self):
        file = os.path.join(self.directory, "sentinel.conf")  # which it writes to itself
        with open(file, "w") as config:
            config.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
                         f"sentinel monitor main 127.0.0.1 {self.master.port} 1\n"
                         "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n")
        self._start(["redis-server", file, "--sentinel"])


class SentinelTrio:
    """A master, its replica, and a sentinel that knows both, so that the replica can take over."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            at_once = ["--repl-diskless-sync-delay", "0"]
            self.master = stack.enter_context(Redis(options=at_once))
            self.replica = stack.enter_context(Redis(options=[*at_once, "--replicaof", f"127.0.0.1 {self.master.port}"]))
            self.wait_replicated()  # it says that it is in step some time before it gets the first command
            self.sentinel = stack.enter_context(Sentinel(self.master))
            wait_until(lambda: b"master-link-status\r\n$2\r\nok" in self.sentinel.command("SENTINEL", "replicas", "main"),
                       "the sentinel knows the replica", 3 * DEADLINE)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *what):
        return self.stack.__exit__(*what)

    def wait_replicated(self):
        """Until the replica has all that the master was told before."""
        mark = str(uuid.uuid4())
        self.master.command("SET", "mark", mark)
        wait_until(lambda: mark.encode() in self.replica.command("GET", "mark"), "the replica has what the master has")

    def has_failed_over(self):
        """The sentinel names the replica now."""
        return str(self.replica.port).encode() in self.sentinel.command("SENTINEL", "get-master-addr-by-name", "main")

    def store(self, **settings):
        return redis_store(self.sentinel, mode="sentinel", master_name="main", **settings)


class RedisCluster:
    """Three masters with a third of the slots each, and a fourth one that has none."""

    SLOTS = 16384
    MASTERS = 3

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.nodes = []
            for _ in range(self.MASTERS + 1):
                bus = str(free_port())
                node = Redis(options=["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000"])
                self.nodes.append(stack.enter_context(node))
                assert node.command("CLUSTER", "SET-CONFIG-EPOCH", str(len(self.nodes))) == b"+OK\r\n"
                assert self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port), bus) == b"+OK\r\n"
            first = [self.SLOTS * i // self.MASTERS for i in range(self.MASTERS + 1)]
            for node, begin, end in zip(self.nodes, first, first[1:]):
                assert node.command("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end - 1)) == b"+OK\r\n"
            wait_until(self._settled, "the cluster serves", 3 * DEADLINE)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *what):
        return self.stack.__exit__(*what)

    def _settled(self):
        return all(b"cluster_state:ok" in node.command("CLUSTER", "INFO")
                   and node.command("CLUSTER", "NODES").count(b" connected") == len(self.nodes) for node in self.nodes)

    def owner_of(self, key):
        return next(node for node in self.nodes if not node.command("EXISTS", key).startswith(b"-MOVED"))

    def move(self, key):
        """The slot of this key, with all that is in it, to the fourth node."""
        owner, target = self.owner_of(key), self.nodes[-1]
        slot = self.nodes[0].command("CLUSTER", "KEYSLOT", key)[1:-2].decode()
        assert target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(owner)) == b"+OK\r\n"
        assert owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target)) == b"+OK\r\n"
        while keys := owner.command("CLUSTER", "GETKEYSINSLOT", slot, "100").split(b"\r\n")[2::2]:
            owner.command("MIGRATE", "127.0.0.1", str(target.port), "", "0", "5000", "KEYS", *(key.decode() for key in keys))
        for node in (target, owner, *self.nodes):
            assert node.command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target)) == b"+OK\r\n"

    @staticmethod
    def id_of(node):
        return node.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()

    def reshard(self, slots):
        """Begins to move so many slots, a third from each, to the fourth node; the process that does it."""
        return subprocess.Popen(["redis-cli", "--cluster", "reshard", self.nodes[0].address, "--cluster-from", "all", "--cluster-to",
                                 self.id_of(self.nodes[-1]), "--cluster-slots", str(slots), "--cluster-yes"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def store(self, **settings):
        return redis_store(self.nodes[0], mode="cluster", **settings)


def redis_store(redis, **settings):
    """The configuration of the stores of a gateway that keeps everything there."""
    return {"default": {"type": "redis", "address": [redis.address], "timeout": "5s", **settings}}
