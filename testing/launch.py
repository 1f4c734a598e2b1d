"""Starting servers: where programs are, ports, and processes. Every server that a program here needs begins in `launch`."""

import contextlib
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from testing.waits import HarnessError

HOST = "127.0.0.1"
# The bus of a server in cluster mode has a port that is so much higher.
BUS = 10_000
# They and their buses lie apart from each other, and below the ports that systems give to clients: any connection
# could have such a port by the time the server asks for it.
PORTS = range(10_000, 19_000)
# So many at a time belong to one program alone, as long as it runs: a server that is down has its port still when it
# comes back.
BLOCK = 100
REPOSITORY = Path(__file__).resolve().parent.parent
# What is tested and measured, unless a command line names others.
MODULE = os.path.abspath(os.environ.get("MODULE") or REPOSITORY / "target/release/libredisgears.so")
REDIS_SERVER = os.environ.get("REDIS_SERVER") or "redis-server"


def find_program(variable: str, *candidates: str | Path) -> str:
    """The program that the environment variable names, else the first candidate there is."""
    wanted = [os.environ[variable]] if os.environ.get(variable) else candidates
    for program in wanted:
        found = shutil.which(program)
        if found:
            return found
    raise HarnessError(f"no such program: {', '.join(map(str, wanted))} (set {variable})")


@functools.cache
def _own_ports() -> tuple[socket.socket, Iterator[int]]:
    """What tells other programs that a block of ports is taken, and the ports of it, again and again."""
    blocks = list(range(PORTS.start, PORTS.stop, BLOCK))
    random.shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            # A name of the system's, not of a file. It is free again when the program has ended.
            claim.bind(f"\0redisgears-test-ports-{first}")
            return claim, itertools.cycle(range(first, first + BLOCK))
        claim.close()
    raise HarnessError("other programs have all ports that are for tests")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that have just ended are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now, nor on its bus port; each time another one."""
    _, ports = _own_ports()
    return next(port for port in ports if _is_free(port) and _is_free(port + BUS))


def launch(
    program: str,
    directory: Path,
    log: Path,
    *options: str,
    configuration: str | None = None,
    settings: Sequence[str] = (),
    module: str | Path | None = None,
    port: int | None = None,
) -> tuple[subprocess.Popen, int]:
    """A new server in that directory, and its port, which is a free one if none is given; it need not answer yet.

    `settings` come in front of the module, `options` behind it: so they may begin with arguments of the module.
    """
    port = port or free_port()
    command = [
        program,
        *((configuration,) if configuration else ()),
        *("--bind", HOST, "--port", str(port)),
        *("--dir", str(directory), "--logfile", str(log)),
        *settings,
        *(("--loadmodule", str(module)) if module else ()),
        *options,
    ]
    # A process group of its own: what the server forks can be ended with it.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    return process, port


def end(process: subprocess.Popen, patience: float = 10) -> None:
    """Asks a server to end, and kills it if it does not."""
    process.terminate()
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, to the children that write files too: one would put its file in the place of a later one."""
    # The group is there as long as its leader is not waited for.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
