"""Dumps that are written while workers run JavaScript, and dumps of many streams.

``DUMPS_SECONDS`` is for how long dumps are written in a loop (4); the figures in docs/guarantees.md are of 300.
"""

import os
import re
import shutil
import time

from testing.libraries import consumer, function

SECONDS = float(os.environ.get("DUMPS_SECONDS", "4"))
STREAMS = 100_000
AOF = ("--appendonly", "yes")

# Callbacks that hold the isolate, make garbage, and take the server's lock in between.
BUSY = """async (client, data) => {
    const end = Date.now() + 3;
    let bag = [];
    while (Date.now() < end) { bag.push(new Array(100).fill(data.stream_name)); if (bag.length > 500) bag = []; }
    await client.block(c => c.call('INCR', 'done'));
}"""


def restored(start_server, server, *options):
    """Another server, on a copy of the first one's files."""
    copy = start_server(*options)
    copy.kill()
    for file in ("dump.rdb", "appendonlydir"):
        target = copy.directory / file
        shutil.rmtree(target, ignore_errors=True)
        source = server.directory / file
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy(source, target)
    copy.start()
    return copy


def test_dumps_and_rewrites_go_well_while_all_workers_run_javascript(start_server, measured):
    server = start_server(*AOF, "--redisgears_2.execution-threads", "4")
    for name in "abcd":
        server.load(consumer(window=20, prefix=f"{name}:", trim=True, callback=BUSY), name=name)
    end = time.monotonic() + SECONDS
    number = dumps = 0
    while time.monotonic() < end:
        server.run("CONFIG", "SET", "aof-use-rdb-preamble", ("yes", "no")[dumps // 2 % 2])
        pipe = server.client.pipeline(transaction=False)
        for _ in range(100):
            number += 1
            pipe.execute_command("XADD", f"{'abcd'[number % 4]}:{number % 7}", "*", "n", number)
        pipe.execute()
        if dumps % 2:
            server.rewrite()
        else:
            server.run("BGSAVE")
            server.wait(lambda: not server.persistence("rdb_bgsave_in_progress"), "the dump does not end")
            assert server.persistence("rdb_last_bgsave_status") == "ok"
        dumps += 1
        if dumps % 10 == 1 or SECONDS < 10:
            for options in ((), AOF):
                copy = restored(start_server, server, *options)
                assert copy.libraries() == ["a", "b", "c", "d"]
                copy.kill()
    server.wait(lambda: int(server.run("GET", "done") or 0) >= number, lambda: (server.run("GET", "done"), number))
    assert server.run("GET", "done") == str(number)
    measured(f"{dumps} dumps and rewrites in {SECONDS:.0f} s under load, {number} entries processed")


def test_progress_in_a_hundred_thousand_streams_is_kept_and_costs_little(start_server, measured):
    server = start_server("--maxmemory", "0")
    server.load(consumer(prefix="s:", callback="(client, data) => {}"), function("f"))
    for first in range(0, STREAMS, 10_000):
        pipe = server.client.pipeline(transaction=False)
        for number in range(first, first + 10_000):
            pipe.execute_command("XADD", f"s:{number}", "*", "n", number)
        pipe.execute()
    assert server.consumer()["num_streams"] == STREAMS
    sizes, times = {}, {}
    for what in ("with", "without"):
        began = time.monotonic()
        server.run("SAVE")
        saving = time.monotonic() - began
        sizes[what] = (server.directory / "dump.rdb").stat().st_size
        copy = restored(start_server, server)
        [loading] = re.findall(r"DB loaded from disk: ([0-9.]+) seconds", copy.log_text())[-1:]
        times[what] = f"saved in {saving:.2f} s, loaded in {loading} s"
        if what == "with":
            assert copy.consumer()["num_streams"] == STREAMS
            last = copy.stream("s:77777")["id_to_read_from"]
            assert last == server.stream("s:77777")["id_to_read_from"] != "None"
            copy.add("s:77777", "next")
            copy.wait_stream("s:77777", total_record_processed=1)
            server.run("RG.FUNCTION", "DEL", "lib")
        copy.kill()
    more = (sizes["with"] - sizes["without"]) / STREAMS
    for what in sizes:
        measured(f"dump of {STREAMS} streams {what} progress: {sizes[what] / 1e6:.2f} MB, {times[what]}")
    assert more < 40, "bytes a stream"
