"""What a call of a remote function costs: against a client that goes to the right shard itself, or is sent there.

    python -m benches.remote
    python -m benches.remote --rounds 5 --calls 5000 --json remote.json

A cluster of three shards without replicas on this machine. First one client, one command after another: how long each
takes. Then fifty clients at once: how many commands there are per second. Prints a Markdown table.

    direct      GET on the shard that has the key
    redirect    GET on another one, whose answer is MOVED; then on the right one
    owner       RG.FCALL of a function that does the GET, on the shard that has the key
    local       RG.FCALL of a function that calls a remote function there by the key: that is this shard
    remote      the same on another shard than the key's: what `run_on_key` is for
    all         RG.FCALL of a function that calls a remote function on all three shards
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benches.latency import Connection, summary, words
from testing.cluster import Cluster, directories_in
from testing.launch import HOST, find_program
from testing.libraries import function
from testing.waits import HarnessError

WARM_UP = 200
CLIENTS = 50
LIBRARY = (
    "redis.register_remote_function('get', async (client, key) => client.block(locked => locked.call('GET', key)), { flags: ['no-writes'] });",
    function("get", "async (client, key) => client.block(locked => locked.call('GET', key))"),
    function("on_key", "async (client, key) => client.run_on_key(key, { name: 'get', timeout: 60000 }, key)"),
    function(
        "on_all",
        "async (client, key) => { const [results, errors] = await client.run_on_all_shards({ name: 'one', timeout: 60000 });"
        " if (errors.length > 0) throw errors[0]; return results.length; }",
    ),
    "redis.register_remote_function('one', async () => 1, { flags: ['no-writes'] });",
)


def ways(shard, other, key):
    """What is measured: for each way its steps, each a port, a command, and the lines of its reply."""
    call = lambda name: ("RG.FCALL", "lib", name, "0", key)  # noqa: E731
    get = ("GET", key)
    return {
        "direct": [(shard.port, get, 2)],
        "redirect": [(other.port, get, 1), (shard.port, get, 2)],
        "owner": [(shard.port, call("get"), 2)],
        "local": [(shard.port, call("on_key"), 2)],
        "remote": [(other.port, call("on_key"), 2)],
        "all": [(shard.port, call("on_all"), 1)],
    }


class Step:
    """A command to a port, and its reply."""

    def __init__(self, port, command, lines, deadline):
        self._connection = Connection(port, deadline)
        self._command = words(*command)
        self._lines = lines

    def run(self):
        self._connection.send(self._command)
        if self._lines == 1:
            self._connection.skip(b"\r\n")
        else:
            self._connection.receive(self._lines)

    def close(self):
        self._connection.close()


def latency(steps, calls, deadline):
    """Microseconds of one command after another, as percentiles."""
    all_steps = [Step(*step, deadline) for step in steps]
    samples = []
    try:
        for _ in range(WARM_UP + calls):
            start = time.perf_counter()
            for step in all_steps:
                step.run()
            samples.append(time.perf_counter() - start)
    finally:
        for step in all_steps:
            step.close()
    return summary(samples[WARM_UP:])


def rate(program, step, calls, deadline):
    """Commands per second of many clients; `redis-benchmark` says so."""
    port, command, _ = step
    run = subprocess.run(
        [program, "-h", HOST, "-p", str(port), "-c", str(CLIENTS), "-n", str(calls), "--csv", *command],
        capture_output=True, text=True, timeout=deadline, check=False,
    )  # fmt: skip
    lines = run.stdout.strip().splitlines()
    if run.returncode or not lines:
        raise HarnessError(f"redis-benchmark failed: {run.stdout}{run.stderr}")
    return float(lines[-1].split('","')[1].strip('"'))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured (3)")
    parser.add_argument("--calls", type=int, default=3000, help="commands of a round and way (3000)")
    parser.add_argument("--deadline", type=float, default=120, help="seconds that a step may take (120)")
    parser.add_argument("--json", type=Path, help="a file for every figure")
    options = parser.parse_args()
    program = find_program("REDIS_BENCHMARK", "redis-benchmark")
    latencies, rates = {}, {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        cluster = Cluster(directories_in(directory), replicas=0)
        try:
            cluster.load(*LIBRARY)
            shard, other, *_ = cluster.primaries()
            key = shard.key("key")
            shard.run("SET", key, "x" * 100)
            cluster.wait(lambda: _answers(other, key), "there is no way")
            for _ in range(options.rounds):
                for name, steps in ways(shard, other, key).items():
                    latencies.setdefault(name, []).append(latency(steps, options.calls, options.deadline))
                    if name != "redirect":
                        found = rate(program, steps[0], options.calls * 5, options.deadline)
                        rates.setdefault(name, []).append(found)
        finally:
            cluster.kill()
    print("| way | p50, µs | p99, µs | per second, 50 clients |\n|---|---:|---:|---:|")
    for name, rounds in latencies.items():
        [p50, p99] = [statistics.median(one[part] for one in rounds) for part in ("p50", "p99")]
        of_many = f"{statistics.median(rates[name]):,.0f}" if name in rates else ""
        print(f"| {name} | {p50:,.0f} | {p99:,.0f} | {of_many} |")
    if options.json:
        options.json.write_text(json.dumps({"latency_us": latencies, "rates": rates}, indent=2) + "\n")


def _answers(node, key):
    try:
        return node.call("on_key", key) and node.call("on_all", key) == 3
    except Exception as error:  # the shards are not connected yet
        if "not run" not in str(error):
            raise
        return False


if __name__ == "__main__":
    main()
