"""A conversation over WebSocket, held by Python's `websockets`, which shares no line with the program.

The binary is the one named by ENCKE, else the release build, else the debug build; it is started on a free
port and ended again by this test.
"""

import asyncio
import json
import os
import re
import struct
import subprocess
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 10  # seconds; nothing here waits for a time to pass


def binary():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    choices = [target / "release/encke", target / "debug/encke"]
    if "ENCKE" in os.environ:
        choices = [Path(os.environ["ENCKE"])]
    for path in choices:
        if path.exists():
            return path
    raise FileNotFoundError(f"no program at {choices}; run cargo build --release")


def masked(first, payload):
    """A client's frame with any first byte: the library itself would refuse to send a wrong one."""
    mask = os.urandom(4)
    body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return struct.pack("!BB", first, 0x80 | len(payload)) + mask + body


class Clients(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen(
            [binary(), "--port", "0", "--history", "2000"], stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(cls.end)
        said = ""
        for line in cls.process.stdout:
            said += line
            found = re.search(r"http://(127\.0\.0\.1:\d+)", line)
            if found:
                cls.address = found[1]
                return
        raise RuntimeError(f"the program ended without an address: {said}")

    @classmethod
    def end(cls):
        cls.process.terminate()
        try:
            cls.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            cls.process.wait()
            raise
        finally:
            cls.process.stdout.close()

    def connect(self, path="/ws?ch=lobby", **options):
        return connect(f"ws://{self.address}{path}", **options)

    async def hear(self, socket, fits):
        """The next object that fits; others are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await socket.recv()
                self.assertIsInstance(frame, str, "objects go in text frames")
                heard = json.loads(frame)
                if fits(heard):
                    return heard

    async def test_a_conversation(self):
        for compression in ("deflate", None):
            with self.subTest(compression=compression):
                async with self.connect(compression=compression) as socket:
                    welcome = json.loads(await socket.recv())
                    self.assertEqual(welcome["type"], "welcome")
                    self.assertRegex(welcome["cursor"], r"^[0-9a-f]{8}-\d+$")

                    await socket.send(json.dumps({"op": "subscribe", "ref": 1, "ch": "second"}))
                    reply = await self.hear(socket, lambda o: o.get("ref") == 1)
                    self.assertTrue(reply["ok"])

                    data = {"text": "grüße 🌠 " * 1000, "n": 12345678901234567890}
                    await socket.send(json.dumps({"op": "publish", "ref": 2, "ch": "second", "data": data}))
                    both = [
                        await self.hear(socket, lambda o: o["type"] in ("reply", "message")) for _ in range(2)
                    ]
                    kinds = {o["type"]: o for o in both}
                    self.assertTrue(kinds["reply"]["ok"])
                    self.assertEqual(kinds["message"]["ch"], "second")
                    self.assertEqual(kinds["message"]["data"], data)
                self.assertEqual(socket.close_code, 1000)

    async def test_two_clients_hear_each_other(self):
        async with self.connect() as one, self.connect() as two:
            for socket in (one, two):
                await self.hear(socket, lambda o: o["type"] == "welcome")
            await one.send(json.dumps({"op": "login", "ref": 1, "nick": "snake"}))
            self.assertTrue((await self.hear(one, lambda o: o.get("ref") == 1))["ok"])
            await one.send(json.dumps({"op": "publish", "ref": 2, "ch": "lobby", "data": {"text": "hiss"}}))
            heard = await self.hear(two, lambda o: o["type"] == "message")
            self.assertEqual((heard["from"], heard["data"]), ("snake", {"text": "hiss"}))

    async def test_published_by_post(self):
        async with self.connect() as socket:
            await self.hear(socket, lambda o: o["type"] == "welcome")
            request = urllib.request.Request(f"http://{self.address}/publish/lobby", data=b"hello")
            with await asyncio.to_thread(urllib.request.urlopen, request, timeout=PATIENCE) as response:
                self.assertLess(response.status, 300)
            heard = await self.hear(socket, lambda o: o["type"] == "message")
            self.assertEqual((heard["from"], heard["data"]), (None, "hello"))

    async def test_ping_and_pong(self):
        async with self.connect() as socket:
            async with asyncio.timeout(PATIENCE):
                await (await socket.ping(b"are you there"))
                await socket.pong(b"nobody asked")
                await (await socket.ping(b"still"))

    async def test_bad_frames_are_closed_with_the_right_code(self):
        bad = {
            "a reserved opcode": (masked(0x83, b""), 1002),
            "a reserved bit": (masked(0xC1, b"{}"), 1002),
            "a fragmented ping": (masked(0x09, b""), 1002),
            "a continuation of nothing": (masked(0x80, b"x"), 1002),
            "an unmasked frame": (b"\x81\x02{}", 1002),
            "a close of one byte": (masked(0x88, b"\x03"), 1002),
            "a close code nobody may send": (masked(0x88, struct.pack("!H", 1005)), 1002),
            "text that is not UTF-8": (masked(0x81, b"\xc3\x28"), 1007),
        }
        for name, (frame, code) in bad.items():
            with self.subTest(name):
                socket = await self.connect(compression=None)
                await self.hear(socket, lambda o: o["type"] == "welcome")
                socket.transport.write(frame)
                async with asyncio.timeout(PATIENCE):
                    await socket.wait_closed()
                self.assertEqual(socket.close_code, code)


class Echo(unittest.IsolatedAsyncioTestCase):
    """Messages of every length form there and back again, over examples/echo.rs, which `cargo test` builds."""

    SIZES = [0, 1, 125, 126, 127, 256, 65_535, 65_536, 1 << 20]
    # What is offered, and the name of what is to be agreed on.
    OFFERS = {
        "no deflate": None,
        "any": [Deflate(client_max_window_bits=True)],
        "no context": [Deflate(server_no_context_takeover=True, client_no_context_takeover=True)],
        **{f"{bits} bits": [Deflate(server_max_window_bits=bits)] for bits in range(8, 16)},
    }

    @classmethod
    def setUpClass(cls):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = target / "debug/examples/echo"
        if not program.exists():
            raise FileNotFoundError(f"no program at {program}; run cargo build --examples")
        cls.process = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.end)
        cls.address = re.search(r"http://(\S+)", cls.process.stdout.readline())[1]

    end = Clients.__dict__["end"]

    async def asyncSetUp(self):
        # It would tell of every megabyte that it took long.
        asyncio.get_running_loop().set_debug(False)

    async def test_messages_of_all_sizes(self):
        for name, extensions in self.OFFERS.items():
            with self.subTest(name):
                options = {"extensions": extensions, "compression": None, "max_size": None}
                async with connect(f"ws://{self.address}/", **options) as socket:
                    agreed = [extension.name for extension in socket.protocol.extensions]
                    self.assertEqual(agreed, ["permessage-deflate"] if extensions else [])
                    for size in self.SIZES:
                        await self.there_and_back(socket, ("[1, 2, \u00fc] " * (size // 8 + 1))[:size])
                        await self.there_and_back(socket, os.urandom(size))
                self.assertEqual(socket.close_code, 1000)

    async def there_and_back(self, socket, message):
        pieces = [message[: len(message) // 3], message[len(message) // 3 :], message[:0]]
        async with asyncio.timeout(PATIENCE):
            await socket.send(message)
            self.assertTrue(await socket.recv() == message, f"{len(message)} come back as they were")
            await socket.send(pieces)
            self.assertTrue(await socket.recv() == message, f"{len(message)} in three fragments")


class Keys(unittest.TestCase):
    """Who is told the key that the program draws: whoever sits at its terminal, and no log."""

    def start(self, stdout):
        program = [binary(), "--port", "0", "--log", "trace"]
        process = subprocess.Popen(program, stdout=stdout, stderr=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def status(self, address, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{address}/admin/users", headers=headers)) as answer:
                return answer.status
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def test_a_terminal_is_told_the_key(self):
        ours, theirs = os.openpty()
        process = self.start(theirs)
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            said = b""
            while b"--publish-key-file" not in said:
                said += terminal.read(1024)
            address = re.search(rb"http://127\.0\.0\.1:\d+", said)[0].decode()
            key = re.search(rb"until it ends: (\S+)", said)[1].decode()
            self.assertEqual(self.status(address), 401)
            self.assertEqual(self.status(address, key + "x"), 401)
            self.assertEqual(self.status(address, key), 200)
            process.terminate()
            self.assertNotIn(key.encode(), process.communicate()[1])

    def test_what_is_no_terminal_is_told_no_key(self):
        process = self.start(subprocess.PIPE)
        first = process.stdout.readline().decode()
        address = re.search(r"http://\S+", first)[0]
        self.assertEqual(self.status(address), 401)
        process.terminate()
        rest, log = process.communicate()
        self.assertEqual(rest, b"")
        self.assertNotIn(b"until it ends", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
