"""The rows of the tables: who reads a stream, which function is called, which trigger fires, and what each is compared with."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

from benches.consumers import (
    COUNT_IT,
    EMPTY,
    EMPTY_ASYNC,
    FILTER,
    INCR,
    INCR_ASYNC,
    INCR_WANTED,
    INCR_WANTED_ASYNC,
    INCRBY,
    INCRBY_ASYNC,
    TO_JSON,
    Library,
    LibraryOfMany,
    Nobody,
    NobodyOfMany,
    Worker,
)
from benches.functions import Command, JavaScript, Lua, Native
from benches.triggers import Set, Trigger

CLIENTS = 50
PIPELINE = 16


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    key: str
    title: str
    # What the clients meet.
    consumer: Callable[[], Nobody] = Nobody
    module: bool = True
    # Whether that is the one in native/ instead: a command without JavaScript.
    native: bool = False
    # The row it is compared with, by key. It comes first.
    baseline: str = "bare"
    # And a second one, by key, that differs in the option alone. It comes first, too.
    twin: str | None = None
    pipeline: int = PIPELINE
    # Whether the clock runs on until the consumer has processed everything. Where it does not,
    # everything has to be processed by the time of the last answer.
    drain: bool = False
    # Whether all entries are there before the consumer is; the clock starts with the consumer.
    backlog: bool = False
    # A slow consumer gets fewer entries: the rate is what counts.
    max_requests: int | None = None
    # Full batches only: a batch that is not full waits.
    multiple: int = 1


# fmt: off
STREAM_ROWS = [
    Row("bare", "bare XADD, no module", module=False),
    Row("idle", "module loaded, no library"),
    Row("other-prefix", "library whose prefix does not match",
        lambda: Library(EMPTY, prefix="other:")),
    Row("sync", "sync consumer, empty",
        lambda: Library(EMPTY)),
    Row("sync-trim", "sync consumer, empty, trim",
        lambda: Library(EMPTY, trim=True)),
    Row("sync-json", "sync consumer, entry to JSON",
        lambda: Library(TO_JSON)),
    Row("sync-incr", "sync consumer, INCR",
        lambda: Library(INCR)),
    Row("async-1", "async consumer, empty, window 1; drained",
        lambda: Library(EMPTY_ASYNC, window=1), drain=True),
    Row("async-50", "async consumer, empty, window 50; drained",
        lambda: Library(EMPTY_ASYNC, window=50), drain=True),
    Row("async-50-trim", "async consumer, empty, window 50, trim; drained",
        lambda: Library(EMPTY_ASYNC, window=50, trim=True), drain=True),
    Row("async-50-json", "async consumer, entry to JSON, window 50; drained",
        lambda: Library(f"async {TO_JSON}", window=50), drain=True),
    Row("async-50-incr", "async consumer, INCR, window 50; drained",
        lambda: Library(INCR_ASYNC, window=50), drain=True),
    Row("rust-100", "Rust XREADGROUP worker, COUNT 100, trim; drained",
        lambda: Worker(100, language="Rust"), module=False, drain=True),
    Row("rust-100-incr", "Rust XREADGROUP worker, INCR, COUNT 100, trim; drained",
        lambda: Worker(100, effect=COUNT_IT, language="Rust"), module=False, drain=True),
    Row("node-100", "Node.js XREADGROUP worker, COUNT 100, trim; drained",
        lambda: Worker(100, language="Node.js"), module=False, drain=True),
    Row("node-100-incr", "Node.js XREADGROUP worker, INCR, COUNT 100, trim; drained",
        lambda: Worker(100, effect=COUNT_IT, language="Node.js"), module=False, drain=True),
    Row("worker-100", "Python XREADGROUP worker, COUNT 100, trim; drained",
        lambda: Worker(100), module=False, drain=True),
    Row("worker-100-incr", "Python XREADGROUP worker, INCR, COUNT 100, trim; drained",
        lambda: Worker(100, effect=COUNT_IT), module=False, drain=True),
    Row("worker-1", "Python XREADGROUP worker, COUNT 1, trim; drained",
        lambda: Worker(1), module=False, drain=True, max_requests=20_000),
    Row("worker-1-incr", "Python XREADGROUP worker, INCR, COUNT 1, trim; drained",
        lambda: Worker(1, effect=COUNT_IT), module=False, drain=True, max_requests=20_000),
]
BATCHES = (1, 10, 100, 1000)
# Batches come out even, and so do redis-benchmark's pipelines.
EVEN = math.lcm(*BATCHES, PIPELINE)


def batch_rows(key: str, title: str, callback: str, window: int, how: str = "", **options) -> list[Row]:
    """A row for each size, compared with the first one."""

    def row(size: int) -> Row:
        return Row(f"{key}-{size}", f"{title}, batch {size}{how}",
            lambda: Library(callback, window=window, options=f"{{ batch: {size} }}"),
            twin=f"{key}-{BATCHES[0]}", multiple=EVEN, **options)

    return [row(size) for size in BATCHES]


DRAIN = {"how": "; drained", "drain": True}
BACKLOG = {"how": "; backlog", "backlog": True}
RETRY = '{ on_failure: "retry" }'
ORDER = '{ order_by: "field" }'
OPTION_ROWS = [
    *batch_rows("sync-batch", "sync, empty", EMPTY, 1),
    *batch_rows("sync-incrby", "sync, INCRBY", INCRBY, 1),
    *batch_rows("async-batch", "async, empty, window 50", EMPTY_ASYNC, 50, **DRAIN),
    *batch_rows("async-incrby", "async, INCRBY, window 50", INCRBY_ASYNC, 50, **DRAIN),
    *batch_rows("backlog-batch", "async, empty, window 50", EMPTY_ASYNC, 50, **BACKLOG),
    *batch_rows("backlog-incrby", "async, INCRBY, window 50", INCRBY_ASYNC, 50, **BACKLOG),
    Row("bare-many", "bare XADD of one of 100 values, no module",
        NobodyOfMany, module=False),
    Row("sync-js-filter", "sync, INCR for 1 %, condition in JavaScript",
        lambda: LibraryOfMany(INCR_WANTED), baseline="bare-many"),
    Row("sync-filter", "sync, INCR for 1 %, `filter`",
        lambda: LibraryOfMany(INCR, options=FILTER), baseline="bare-many", twin="sync-js-filter"),
    Row("async-js-filter", "async, INCR for 1 %, window 50, condition in JavaScript; drained",
        lambda: LibraryOfMany(INCR_WANTED_ASYNC, window=50), baseline="bare-many", drain=True),
    Row("async-filter", "async, INCR for 1 %, window 50, `filter`; drained",
        lambda: LibraryOfMany(INCR_ASYNC, window=50, options=FILTER),
        baseline="bare-many", twin="async-js-filter", drain=True),
    Row("backlog-js-filter", "async, INCR for 1 %, window 50, condition in JavaScript; backlog",
        lambda: LibraryOfMany(INCR_WANTED_ASYNC, window=50), baseline="bare-many", backlog=True),
    Row("backlog-filter", "async, INCR for 1 %, window 50, `filter`; backlog",
        lambda: LibraryOfMany(INCR_ASYNC, window=50, options=FILTER),
        baseline="bare-many", twin="backlog-js-filter", backlog=True),
    Row("sync-plain", "sync, empty, no options",
        lambda: Library(EMPTY)),
    Row("sync-retry", 'sync, empty, `on_failure: "retry"`',
        lambda: Library(EMPTY, options=RETRY), twin="sync-plain"),
    Row("async-plain", "async, empty, window 32, no options; drained",
        lambda: Library(EMPTY_ASYNC, window=32), drain=True),
    Row("async-retry", 'async, empty, window 32, `on_failure: "retry"`; drained',
        lambda: Library(EMPTY_ASYNC, window=32, options=RETRY), twin="async-plain", drain=True),
    Row("async-many", "async, empty, window 32, 100 values, no options; drained",
        lambda: LibraryOfMany(EMPTY_ASYNC, window=32), baseline="bare-many", drain=True),
    Row("async-order", "async, empty, window 32, 100 values, `order_by`; drained",
        lambda: LibraryOfMany(EMPTY_ASYNC, window=32, options=ORDER),
        baseline="bare-many", twin="async-many", drain=True),
]
# Without a pipeline there are fewer calls per second.
SINGLE = {"pipeline": 1, "max_requests": 200_000}
WAITING = {"max_requests": 200_000}
FUNCTION_ROWS = [
    Row("ping-1", "PING, pipeline 1",
        lambda: Command("PING"), module=False, baseline="ping-1", **SINGLE),
    Row("lua-empty-1", "Lua, empty, pipeline 1",
        lambda: Lua("empty"), module=False, baseline="ping-1", **SINGLE),
    Row("js-empty-1", "JavaScript, empty, pipeline 1",
        lambda: JavaScript("empty"), baseline="lua-empty-1", **SINGLE),
    Row("js-async-1", "JavaScript, async, empty, pipeline 1",
        lambda: JavaScript("async_empty"), baseline="lua-empty-1", **SINGLE),
    Row("ping", "PING",
        lambda: Command("PING"), module=False, baseline="ping"),
    Row("lua-empty", "Lua, empty",
        lambda: Lua("empty"), module=False, baseline="ping"),
    Row("native-empty", "a module's command, empty",
        lambda: Native("empty"), native=True, baseline="lua-empty"),
    Row("js-empty", "JavaScript, empty",
        lambda: JavaScript("empty"), baseline="lua-empty", twin="native-empty"),
    Row("js-async", "JavaScript, async, empty",
        lambda: JavaScript("async_empty"), baseline="lua-empty", **WAITING),
    Row("lua-get", "Lua, one GET of 100 bytes",
        lambda: Lua("get"), module=False, baseline="ping"),
    Row("native-get", "a module's command, one GET of 100 bytes",
        lambda: Native("get"), native=True, baseline="lua-get"),
    Row("js-get", "JavaScript, one GET of 100 bytes",
        lambda: JavaScript("get"), baseline="lua-get", twin="native-get"),
    Row("lua-set", "Lua, one SET of 100 bytes",
        lambda: Lua("set"), module=False, baseline="ping"),
    Row("native-set", "a module's command, one SET of 100 bytes",
        lambda: Native("set"), native=True, baseline="lua-set"),
    Row("js-set", "JavaScript, one SET of 100 bytes",
        lambda: JavaScript("set"), baseline="lua-set", twin="native-set"),
    Row("lua-incr", "Lua, one INCR",
        lambda: Lua("incr"), module=False, baseline="ping"),
    Row("native-incr", "a module's command, one INCR",
        lambda: Native("incr"), native=True, baseline="lua-incr"),
    Row("js-incr", "JavaScript, one INCR",
        lambda: JavaScript("incr"), baseline="lua-incr", twin="native-incr"),
    Row("js-async-incr", "JavaScript, async, one INCR",
        lambda: JavaScript("async_incr"), baseline="lua-incr", **WAITING),
    Row("js-background-incr", "JavaScript, one INCR in the background",
        lambda: JavaScript("background_incr"), baseline="lua-incr", **WAITING),
    Row("lua-get-10", "Lua, ten GETs",
        lambda: Lua("get10"), module=False, baseline="ping"),
    Row("native-get-10", "a module's command, ten GETs",
        lambda: Native("get10"), native=True, baseline="lua-get-10"),
    Row("js-get-10", "JavaScript, ten GETs",
        lambda: JavaScript("get10"), baseline="lua-get-10", twin="native-get-10"),
    Row("lua-incr-10", "Lua, ten INCRs",
        lambda: Lua("incr10"), module=False, baseline="ping"),
    Row("native-incr-10", "a module's command, ten INCRs",
        lambda: Native("incr10"), native=True, baseline="lua-incr-10"),
    Row("js-incr-10", "JavaScript, ten INCRs",
        lambda: JavaScript("incr10"), baseline="lua-incr-10", twin="native-incr-10"),
]
OTHER_EVENT = '{ event_types: ["del", "expired"] }'
OTHER_TYPE = '{ key_types: ["hash"] }'
WITH_VALUE = "{ read_value: true }"
TRIGGER_ROWS = [
    Row("set", "bare SET, no module",
        Set, module=False, baseline="set"),
    Row("set-idle", "module loaded, no library",
        Set, baseline="set"),
    Row("set-other-prefix", "trigger whose prefix does not match",
        lambda: Trigger(prefix="other:", fires=False), baseline="set"),
    Row("set-other-event", "trigger for other events",
        lambda: Trigger(options=OTHER_EVENT, fires=False), baseline="set"),
    Row("set-other-type", "trigger for keys of another type",
        lambda: Trigger(options=OTHER_TYPE, fires=False), baseline="set"),
    Row("set-sync", "sync trigger, empty",
        Trigger, baseline="set"),
    Row("set-sync-value", "sync trigger, empty, with the value",
        lambda: Trigger(options=WITH_VALUE), baseline="set"),
    Row("set-async", "async trigger, empty; drained",
        lambda: Trigger(EMPTY_ASYNC), baseline="set", drain=True),
]
# fmt: on
ROWS = STREAM_ROWS + OPTION_ROWS + FUNCTION_ROWS + TRIGGER_ROWS
GROUPS = {"streams": STREAM_ROWS, "options": OPTION_ROWS, "functions": FUNCTION_ROWS, "triggers": TRIGGER_ROWS}
BY_KEY = {row.key: row for row in ROWS}


def chosen_rows(text: str) -> list[Row]:
    """The rows of a comma-separated list, in the table's order, with those they are compared with.

    `streams`, `options`, `functions` and `triggers` stand for all rows of a table."""
    wanted = {row.key for word in text.split(",") for row in GROUPS.get(word, ())}
    wanted |= set(text.split(",")) - set(GROUPS)
    unknown = wanted - set(BY_KEY)
    if unknown:
        known = ", ".join([*GROUPS, *BY_KEY])
        raise argparse.ArgumentTypeError(f"no row {', '.join(sorted(unknown))}; there are: {known}")
    for row in reversed(ROWS):
        if row.key in wanted:
            wanted |= {row.baseline, row.twin or row.key}
    return [row for row in ROWS if row.key in wanted]
