"""Who reads the stream while it is written: nobody, a JavaScript library, or a worker of its own."""

from benches import workers
from testing.replies import fields
from testing.throw_away import ThrowAway
from testing.waits import HarnessError, wait_for

STREAM = "stream:bench"
GROUP = "bench"
# What consumers with an effect count in.
PROCESSED = "processed"
COUNT_IT = ("INCR", PROCESSED)
# redis-benchmark writes a number of twelve digits in place of the word, one of so many.
RANDOM = "__rand_int__"
VALUES = 100
# One of them.
WANTED = "000000000042"

EMPTY = "function () {}"
EMPTY_ASYNC = "async function () {}"
INCR = f'function (client) {{ client.call("INCR", "{PROCESSED}"); }}'
INCR_ASYNC = f'async function (client) {{ client.block(locked => locked.call("INCR", "{PROCESSED}")); }}'
INCRBY = f'function (client, batch) {{ client.call("INCRBY", "{PROCESSED}", batch.length); }}'
INCRBY_ASYNC = f"""async function (client, batch) {{
    client.block(locked => locked.call("INCRBY", "{PROCESSED}", batch.length));
}}"""
# What a filter does, in JavaScript.
ONLY_WANTED = f'if (data.record.find(([field]) => field === "field")?.[1] !== "{WANTED}") return;'
INCR_WANTED = f'function (client, data) {{ {ONLY_WANTED} client.call("INCR", "{PROCESSED}"); }}'
INCR_WANTED_ASYNC = f"""async function (client, data) {{
    {ONLY_WANTED}
    client.block(locked => locked.call("INCR", "{PROCESSED}"));
}}"""
FILTER = f'{{ filter: {{ field: "{WANTED}" }} }}'
# Counts the entries with that value, in the server.
COUNT_WANTED = """
local count, from = 0, '-'
while true do
    local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1000)
    if #entries == 0 then return count end
    for _, entry in ipairs(entries) do
        if entry[2][2] == ARGV[1] then count = count + 1 end
    end
    from = '(' .. entries[#entries][1]
end
"""
# What the first example of the documentation does with an entry, less the logging.
TO_JSON = """function (client, data) {
    JSON.stringify(data, (key, value) =>
        typeof value === "bigint" ? value.toString() : value
    );
}"""


class Nobody:
    """No reader; and what every reader has to offer."""

    # What the clients send.
    command: tuple[str, ...] = ("XADD", STREAM, "*", "field", "value")
    # How many numbers stand in for `RANDOM`.
    values = VALUES

    def count(self, server: ThrowAway) -> int:
        """How often the server has done it."""
        return server.client.xinfo_stream(STREAM)["entries-added"]

    def start(self, server: ThrowAway, deadline: float) -> None:
        """Is ready for entries when this returns."""

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        """Whether all that was sent, that many times, is processed; called after the last answer."""
        return True

    def check(self, server: ThrowAway) -> None:
        """Raises `HarnessError` if something else was done than should be; called when the clock has stopped."""

    def stop(self) -> None:
        """Leaves nothing running."""


class NobodyOfMany(Nobody):
    """No reader; entries hold one of many values."""

    command = ("XADD", STREAM, "*", "field", RANDOM)


class Library(Nobody):
    """A library with one stream consumer; `options` are its sixth argument, in JavaScript."""

    def __init__(
        self,
        callback: str,
        window: int = 1,
        trim: bool = False,
        prefix: str = "stream:",
        options: str | None = None,
    ):
        trim_flag = "true" if trim else "false"
        rest = f", {options}" if options else ""
        self._code = (
            "#!js name=bench\n"
            f'redis.register_stream_consumer("c", "{prefix}", {window}, {trim_flag}, {callback}{rest});'
        )
        self._matches = STREAM.startswith(prefix)
        self._effect_of_each = PROCESSED in self._code

    def start(self, server: ThrowAway, deadline: float) -> None:
        server.client.execute_command("RG.FUNCTION", "LOAD", self._code)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        reply = server.client.execute_command("RG.FUNCTION", "LIST", "vv", "LIBRARY", "bench")
        consumer = fields(fields(reply[0])["stream_consumers"][0])
        streams = [fields(stream) for stream in consumer["streams"]]
        for stream in streams:
            if stream["last_error"] != "None":
                raise HarnessError(f"the callback failed: {stream['last_error']}")
            if stream.get("failures", 0) != 0:
                raise HarnessError(f"the callback failed {stream['failures']} times")
        processed = sum(stream["total_record_processed"] + stream.get("filtered", 0) for stream in streams)
        expected = entries if self._matches else 0
        if processed > expected:
            raise HarnessError(f"{processed} entries were processed, expected {expected}")
        if processed == expected and self._effect_of_each and count_processed(server) != entries:
            raise HarnessError(f"{entries} entries were processed, {count_processed(server)} effects are there")
        return processed == expected


class LibraryOfMany(Library):
    """A library with one stream consumer, for entries that hold one of many values.

    If the callback has an effect, then for those with the wanted value only."""

    command = NobodyOfMany.command

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._effect_of_wanted = self._effect_of_each
        self._effect_of_each = False

    def check(self, server: ThrowAway) -> None:
        if not self._effect_of_wanted:
            return
        wanted = server.client.eval(COUNT_WANTED, 1, STREAM, WANTED)
        if not wanted or count_processed(server) != wanted:
            raise HarnessError(f"{wanted} entries should have an effect, {count_processed(server)} effects are there")


class Worker(Nobody):
    """A process of its own that reads through a consumer group, `count` entries at a time.

    `effect`: the command that it runs for each."""

    def __init__(self, count: int, effect: tuple[str, ...] = (), language: str = "Python"):
        self._count = count
        self._effect = effect
        self._language = language

    def start(self, server: ThrowAway, deadline: float) -> None:
        server.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        arguments = (str(server.port), STREAM, GROUP, str(self._count), *self._effect)
        self._process = workers.start(self._language, *arguments)
        wait_for("the worker's first XREADGROUP", lambda: self._waits_for_entries(server), deadline)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        self._check_alive()
        last_added = server.client.xinfo_stream(STREAM)["last-generated-id"]
        [group] = server.client.xinfo_groups(STREAM)
        if group["last-delivered-id"] != last_added or group["pending"] != 0:
            return False
        if self._effect == COUNT_IT and count_processed(server) != entries:
            raise HarnessError(f"{entries} entries were processed, {count_processed(server)} effects are there")
        return True

    def stop(self) -> None:
        process = getattr(self, "_process", None)
        if process:
            process.kill()
            process.wait()

    def _waits_for_entries(self, server: ThrowAway) -> bool:
        self._check_alive()
        return server.client.info("clients")["blocked_clients"] == 1

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            raise HarnessError(f"the worker ended with code {self._process.returncode}")


def count_processed(server: ThrowAway) -> int:
    """How many effects there are."""
    return int(server.client.get(PROCESSED) or 0)
