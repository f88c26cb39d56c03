"""The clients of the soak test: each asks again and again in its own manner, checks every answer, and counts."""

import asyncio
import random
import time

HOST = b"Host: soak.local\r\n"
PATIENCE = 30


class Lost(Exception):
    """The gateway did not do what it owes a client."""


class Wire:
    """A connection; reads whole answers."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.last = False  # the gateway said that this was the last answer

    @classmethod
    async def open(cls, address):
        host, port = address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port), limit=1 << 20))

    async def close(self):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    def reset(self):
        self.writer.transport.abort()

    async def ask(self, target, method="GET", headers=b"", body=()):
        self.writer.write(b"%s %s HTTP/1.1\r\n%s%s\r\n" % (method.encode(), target.encode(), HOST, headers))
        for piece in body:
            self.writer.write(piece)
            await self.writer.drain()
        return await self.answer()

    async def answer(self, slowly=False):
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        self.last = b"\r\nconnection: close\r\n" in head
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            return status, await self.chunked()
        length = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        left = length
        while left:
            piece = await self.reader.read(min(left, 65536))
            if not piece:
                raise Lost(f"an answer of {length} bytes ended {left} bytes early")
            left -= len(piece)
            if slowly:
                await asyncio.sleep(0.01)
        return status, length

    async def chunked(self):
        length = 0
        while size := int(await self.reader.readline(), 16):
            length += len(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return length


async def keep(client):
    await client.expect(128, "/bytes/128")


async def fresh(client):
    await client.expect(128, "/bytes/128", keep=False)


async def download(client):
    await client.expect(1 << 20, "/bytes/1048576")


async def chunked_download(client):
    await client.expect(100_000, "/chunked/100000")


async def upload(client):
    size = random.choice([10, 4096, 200_000])
    await client.expect(None, "/upload", method="POST", headers=b"Content-Length: %d\r\n" % size, body=[b"u" * size])


async def chunked_upload(client):
    pieces = [b"%x\r\n%s\r\n" % (n, b"c" * n) for n in (1, 1000, 60_000)]
    await client.expect(None, "/upload", method="POST", headers=b"Transfer-Encoding: chunked\r\n", body=[*pieces, b"0\r\n\r\n"])


async def delayed(client):
    await client.expect(None, f"/delay/{random.randint(1, 200)}")


async def changing_upstream(client):
    """Through an upstream that every reload changes."""
    await client.expect(None, "/status/200")


async def reset_in_body(client):
    """Ends by RST in the middle of an upload, or while the answer comes; nothing is owed to it."""
    wire = await Wire.open(client.address)
    if random.random() < 0.5:
        wire.writer.write(b"POST /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n" + b"r" * 10_000)
    else:
        wire.writer.write(b"GET /bytes/10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        await wire.reader.read(1000)
    await asyncio.sleep(random.uniform(0, 0.05))
    wire.reset()
    client.answered += 1


async def silent(client):
    """Connects, says nothing or half a head, and goes."""
    wire = await Wire.open(client.address)
    if random.random() < 0.5:
        wire.writer.write(b"GET /half HTTP/1.1\r\nHo")
    await asyncio.sleep(random.uniform(0, 0.3))
    await wire.close()
    client.answered += 1


KINDS = {each.__name__: each for each in (keep, fresh, download, chunked_download, upload, chunked_upload, delayed,
                                          changing_upstream, reset_in_body, silent)}


class Client:
    def __init__(self, address, kind):
        self.address = address
        self.kind = kind
        self.wire = None
        self.stopping = False
        self.answered = 0
        self.failures = []
        self.slowest = 0.0  # seconds from the request to its whole answer

    async def run(self):
        while not self.stopping:
            try:
                await asyncio.wait_for(KINDS[self.kind](self), PATIENCE)
            except Exception as failure:  # noqa: BLE001 every failure is a figure of the test
                self.failures.append(f"{time.strftime('%X')} {failure!r}")
                await self.hang_up()
            await asyncio.sleep(random.uniform(0, 0.02))
        await self.hang_up()

    async def expect(self, length, target, keep=True, **request):
        """Asks, on the connection kept from before if there is one, and checks the answer."""
        if self.wire is None:
            self.wire = await Wire.open(self.address)
        began = time.monotonic()
        status, received = await self.wire.ask(target, **request)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if status != 200 or (length is not None and received != length):
            raise Lost(f"{target}: {status} with {received} bytes")
        self.answered += 1
        if self.wire.last or not keep:
            await self.hang_up()

    async def hang_up(self):
        if self.wire is not None:
            wire, self.wire = self.wire, None
            await wire.close()
