"""What Python's standard library sees of the world in the sandbox of orchestrators: one orchestrator a way to look.

Each looks, calls an activity with what it saw, looks again, and completes with both. What the host's tests expect of each is in
`host/tests/world/python.rs`.
"""

import asyncio
import datetime
import encodings.idna  # noqa: F401, what sockets import when they are given a name
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid

from binding import exports
from wit_world.imports import environment


def told(work):
    """What a function returns, or the exception that it raises."""
    try:
        return work()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def read_file():
    with open("/etc/hostname") as file:
        return file.read()


def write_file():
    with open("/tmp/file", "w") as file:
        return file.write("text")


def read_environment_again():
    os.reload_environ()
    return dict(os.environ)


def thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return "ran"


def leave():
    os._exit(3)


class Key:
    pass


LOOKS = {
    "datetime.now": lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(),
    "datetime.now, local": lambda: datetime.datetime.now().isoformat(),
    "date.today": lambda: datetime.date.today().isoformat(),
    "time.time": lambda: time.time(),
    "time.time_ns": lambda: time.time_ns(),
    "time.monotonic_ns": lambda: time.monotonic_ns(),
    "time.perf_counter_ns": lambda: time.perf_counter_ns(),
    "time.process_time_ns": lambda: time.process_time_ns(),
    "time.localtime": lambda: list(time.localtime()),
    "time.tzname": lambda: list(time.tzname),
    "time.sleep": lambda: time.sleep(0.01),
    "random.random": lambda: random.random(),
    "random.SystemRandom": lambda: random.SystemRandom().random(),
    "os.urandom": lambda: os.urandom(8).hex(),
    "secrets.token_hex": lambda: secrets.token_hex(8),
    "uuid.uuid4": lambda: str(uuid.uuid4()),
    "uuid.uuid1": lambda: told(lambda: str(uuid.uuid1())),
    "set order": lambda: list({"a", "b", "c", "d", "e", "f"}),
    "set order by address": lambda: [id(key) for key in {Key() for _ in range(5)}],
    "hash": lambda: hash("a text"),
    "id": lambda: id(Key()),
    "environment": lambda: dict(os.environ),
    "environment, read again": read_environment_again,
    "environment, imported": lambda: dict(environment.get_environment()),
    "arguments": lambda: sys.argv,
    "os.getpid": lambda: told(lambda: os.getpid()),
    "os.cpu_count": lambda: told(lambda: os.cpu_count()),
    "read a file": lambda: told(read_file),
    "write a file": lambda: told(write_file),
    "list a folder": lambda: told(lambda: os.listdir("/")),
    "temporary file": lambda: told(lambda: tempfile.mkstemp()[1]),
    "socket.create_connection": lambda: told(lambda: str(socket.create_connection(("127.0.0.1", 80), 1))),
    "socket.getaddrinfo": lambda: told(lambda: str(socket.getaddrinfo("localhost", 80))),
    "urllib": lambda: told(lambda: urllib.request.urlopen("http://127.0.0.1/").read().decode()),
    "subprocess": lambda: told(lambda: subprocess.run(["true"]).returncode),
    "threading": lambda: told(thread),
    "asyncio.sleep": lambda: told(lambda: asyncio.run(asyncio.sleep(0.01))),
    "input": lambda: told(lambda: input()),
    "print": lambda: print("a line"),
    "sys.exit": lambda: told(lambda: sys.exit(3)),
    "os._exit": leave,
    "memory": lambda: sys.getallocatedblocks(),
}


def twice(look):
    async def orchestrator(context, _):
        first = look()
        await context.call_activity("note", first)
        return [first, look()]

    return orchestrator


def generator(context, name):
    """The same in the other style."""
    greeting = yield context.call_activity("note", name)
    return f"Hello, {greeting}!"


async def cities(context, names):
    """Five activities, one after the other."""
    return [await context.call_activity("greet", name) for name in names]


Component, Orchestrator, Queries, _ = exports(
    "python-world",
    "1.0.0",
    orchestrators={**{name: twice(look) for name, look in LOOKS.items()}, "generator": generator, "cities": cities},
)
