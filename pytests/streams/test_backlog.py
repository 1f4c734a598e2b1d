"""Long backlogs: complete, in order, and without standing in other clients' way."""

import contextlib
import itertools
import socket
import threading
import time

import pytest

from testing.libraries import consumer

TOTAL = 100_000
PARTS = 20

# At the end of each part the log says how many times the other client has been served by then.
COUNTING = """
const all = TOTAL;
const next = new Map();
let total = 0, disorder = 0;
const look = client => redis.log(`served ${client.call('GET', 'served') ?? 0}`);
const count = data => {
    const expected = next.get(data.stream_name) ?? 0;
    if (value(data) !== String(expected)) disorder += 1;
    next.set(data.stream_name, expected + 1);
    total += 1;
    if (total === all) redis.log(`counted ${total} in ${next.size} streams, ${disorder} out of order`);
    if (total > all) redis.log(`counted one too many: ${data.stream_name} ${value(data)}`);
    return total % (all / PARTS) === 0;
};
""".replace("TOTAL", str(TOTAL)).replace("PARTS", str(PARTS))
CALLBACKS = {
    "sync": consumer(callback="(client, data) => { if (count(data)) look(client); }"),
    "async": consumer(callback="async (client, data) => { if (count(data)) client.block(look); }", window=50),
}

FILL = """
for s = 1, ARGV[1] do
    for i = 0, ARGV[2] - 1 do redis.call('XADD', 'stream:' .. s, '*', 'n', i) end
end
"""


class Steady:
    """A client whose commands, which count up, are always there before the server asks for them: how often it is served
    says nothing of when this process has its turn."""

    COMMAND = b"*2\r\n$4\r\nINCR\r\n$6\r\nserved\r\n"

    def __init__(self, server):
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def _send(self):
        with contextlib.suppress(OSError):
            while True:
                self._socket.sendall(self.COMMAND * 1000)

    def _receive(self):
        with contextlib.suppress(OSError):
            while self._socket.recv(1 << 20):
                pass

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()


class Other:
    """A client that notes how long each reply took, in milliseconds."""

    def __init__(self, server):
        self._client = server.connect()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took = []

    def _run(self):
        while not self._stop.is_set():
            start = time.perf_counter()
            self._client.ping()
            self.took.append((time.perf_counter() - start) * 1000)

    def __enter__(self):
        self._client.ping()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.took.sort()

    def percentile(self, percent):
        """After the run."""
        return self.took[min(len(self.took) - 1, len(self.took) * percent // 100)]


@pytest.mark.parametrize("streams", [1, 10_000], ids=lambda streams: f"{streams}_streams")
@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_backlog_is_handled_in_order_while_others_are_served(server, measured, streams, kind):
    server.run("EVAL", FILL, 0, streams, TOTAL // streams)
    start = time.perf_counter()
    with Other(server) as other, Steady(server):
        server.wait(lambda: server.client.get("served"))
        server.load(COUNTING, CALLBACKS[kind])
        server.wait(lambda: server.messages("counted "), lambda: server.consumer()["num_streams"])
    took = time.perf_counter() - start
    server.add("stream:1", TOTAL // streams)
    server.wait_message("counted ", 2)
    assert server.messages("counted ") == [
        f"{TOTAL} in {streams} streams, 0 out of order",
        f"one too many: stream:1 {TOTAL // streams}",
    ]
    served = [int(count) for count in server.messages("served ")][:PARTS]
    during = sum(before < after for before, after in itertools.pairwise(served))
    measured(
        f"backlog of {TOTAL} in {streams} streams, {kind}: {took:.2f} s, {served[-1]} replies, in {during} of {PARTS - 1} parts,"
        f" p50 {other.percentile(50):.2f} ms, p99 {other.percentile(99):.2f} ms, worst {other.took[-1]:.2f} ms"
    )
    # Where the backlog is handled in one go there is none.
    assert during >= PARTS // 4, served
