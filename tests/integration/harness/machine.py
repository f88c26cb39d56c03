"""Machine: Debian's own systemd as process 1 in namespaces of its own, over a copy-on-write view of this machine.

What is installed, started or broken inside is gone with the machine; nothing of it reaches the system or the network
outside. Needs root, and a kernel that lets us; `Machine.missing()` says what is in the way.
"""

import os
import shutil
import signal
import subprocess

from .deadline import DEADLINE, wait_until

TOOLS = ("unshare", "nsenter", "systemctl", "mount", "ip")
NAMESPACES = ("--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc", "--fork", "--kill-child")
# $1: a folder. The upper layer is in memory: a root that is an overlay itself, as in a container, cannot carry one.
VIEW = """
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
"""
BOOT = VIEW + """
mount -t proc proc proc
mount -t sysfs sysfs sys
mountpoint -q sys/fs/cgroup || mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
rm -f usr/sbin/policy-rc.d
ip link set lo up
exec chroot . env -i container=test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --system --unit=basic.target --show-status=no
"""


class Machine:
    def __init__(self, directory):
        self.directory = str(directory)
        self.outer = None
        self.init = None

    @staticmethod
    def missing(directory):
        """Why there can be no machine here; an empty text if there can."""
        if os.geteuid() != 0:
            return "needs root"
        if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
            return f"needs {', '.join(absent)}"
        tried = subprocess.run(["unshare", *NAMESPACES, "sh", "-ec", VIEW, "sh", str(directory)], capture_output=True,
                               text=True, timeout=DEADLINE)
        return f"this machine allows no namespaces or overlays: {tried.stderr}" if tried.returncode != 0 else ""

    def __enter__(self):
        with open(os.path.join(self.directory, "..", "console"), "wb") as console:
            self.outer = subprocess.Popen(["unshare", *NAMESPACES, "sh", "-ec", BOOT, "sh", self.directory],
                                          stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self.init = wait_until(self._booting, "systemd is process 1")
            wait_until(self._up, "the machine is up", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _booting(self):
        assert self.outer.poll() is None, "the machine could not be started"
        children = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.outer.pid)], capture_output=True, text=True)
        pid, _, name = children.stdout.strip().partition(" ")
        return int(pid) if name.strip() == "systemd" else None

    def _up(self):
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")  # a unit of this machine that fails is none of ours

    def __exit__(self, *_):
        if self.init:
            os.kill(self.init, signal.SIGKILL)  # the kernel ends all others with it
        else:
            self.outer.kill()
        self.outer.wait()

    def run(self, command, check=True, timeout=60):
        """Runs a shell command inside; returns the CompletedProcess with text output."""
        ended = subprocess.run(["nsenter", "--target", str(self.init), "--all", "--root", "--wd", "sh", "-c", command],
                               capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, cwd="/")
        assert not check or ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended

    def put(self, source, target):
        """Copies a file into the machine."""
        shutil.copyfile(source, f"/proc/{self.init}/root{target}")

    def write(self, path, text):
        with open(f"/proc/{self.init}/root{path}", "w", encoding="utf-8") as file:
            file.write(text)
