"""Random libraries: consumers of every policy, sync and async, with batches, filters, order and dead letters; triggers with
and without a function at the event; background parts; registrations of GearsBuilder; functions that callers leave.

What they write is bounded, begins with `o`, and nobody consumes it: all comes to rest by itself. Callbacks fail as the
entry says (field `bad`), so that retries come to their end or go on as the policy says.
"""

import json

PREFIXES = ("s", "s:", "s:1", "s:2", "t:")
KEY_PREFIXES = ("k", "k:", "k:1", "s:", "")
EVENTS = ("set", "del", "expired", "hset", "rename_to", "evicted", "keymiss", "xadd", "restore", "copy_to", "move_to")
KEY_TYPES = ("string", "hash", "list", "stream", "empty")

HELPERS = """\
const all = data => Array.isArray(data) ? data : [data];
const bad = data => all(data).some(one => one.record.some(([name, value]) => name === 'bad' && value === '1'));
const fail = data => { if (bad(data)) throw new Error('as intended'); };
const part = data => ({ failed: all(data).filter(bad).map(one => one.id) });
const write = (client, name) => {
    client.call('INCR', `o:count:${name}`);
    client.call('XADD', `o:stream:${name}`, 'MAXLEN', '20', '*', 'by', name);
};
const more = (client, name) => {
    client.call('SET', `o:key:${name}`, 'v', 'PX', '30');
    client.call('PUBLISH', 'channel', name);
    client.call('DEL', `o:stream:${name}`);
    client.call('HSET', `o:hash:${name}`, 'f', 'v');
};
"""

# What a callback does, by the name NAME of its consumer.
SYNC = (
    "(c, d) => { fail(d); write(c, 'NAME'); }",
    "(c, d) => { write(c, 'NAME'); fail(d); }",
    "(c, d) => { more(c, 'NAME'); fail(d); }",
    "(c, d) => { c.call('GET', 'k:1'); }",
    "(c, d) => { c.call('INCR', 'k:counter'); try { c.call('NOSUCH'); } catch {} }",
)
PROMISES = (
    "(c, d) => c.run_on_background(async b => { fail(d); b.block(l => write(l, 'NAME')); })",
    "(c, d) => { write(c, 'NAME'); return c.run_on_background(async b => { await null; fail(d); }); }",
    "(c, d) => Promise.resolve().then(() => fail(d))",
)
ASYNC = (
    "async (c, d) => { fail(d); c.block(l => write(l, 'NAME')); }",
    "async (c, d) => { for (let i = 0; i < 3; i++) { await null; c.block(l => write(l, 'NAME')); } fail(d); }",
    "async (c, d) => { c.block(l => more(l, 'NAME')); await null; fail(d); c.block(l => l.call('INCR', 'k:counter')); }",
    "async (c, d) => { await null; fail(d); }",
    "async (c, d) => { const b = new Array(2000).fill({}).map(() => ({ d })); c.block(l => write(l, 'NAME')); return b && undefined; }",
)
HOOKS = (
    "(c, d) => { d.seen = 1; }",
    "(c, d) => { d.seen = c.call('EXISTS', d.key_raw); }",
    "(c, d) => { d.seen = c.call('DBSIZE'); }",
    "(c, d) => { if (d.event === 'del') throw new Error('as intended'); }",
)
FUNCTIONS = """\
redis.register_function('sync', (c, ...a) => { write(c, 'sync'); return a; });
redis.register_function('reads', (c, ...a) => c.call('DBSIZE'), ['no-writes']);
redis.register_function('async', async (c, ...a) => { await null; return c.block(l => { write(l, 'async'); return a; }); });
redis.register_function('promise', (c, ...a) => c.run_on_background(async b => b.block(l => l.call('INCR', 'o:promise'))));
redis.register_function('hops', async c => {
    for (let i = 0; i < 20; i++) { c.block(l => write(l, 'hops')); await null; }
    return 'done';
});
redis.register_function('never', async c => new Promise(() => {}));
redis.register_function('late', async c => new Promise(() => {}), { timeout: 30 });
redis.register_function('as_owner', async (c, ...a) => { await null; return c.block(l => { write(l, 'owner'); return a; }); }, { run_as: 'owner' });
redis.register_function('as_owner_sync', (c, ...a) => { write(c, 'owner'); return a; }, { run_as: 'owner' });
redis.register_function('throws', c => { throw new Error('as intended'); });
redis.register_function('loops', c => { for (;;) ; });
redis.register_function('garbage', c => { let a = []; for (let i = 0; i < 20000; i++) a.push({ i }); return a.length; });
redis.register_function('adds', (c, k) => { for (let i = 0; i < 10; i++) c.call('XADD', k, '*', 'n', `${i}`); return 10; });
redis.register_function('adds_async', async (c, k) => c.block(l => l.call('XADD', k, '*', 'n', 'async')));
"""
CALLED = ("sync", "reads", "async", "promise", "hops", "never", "late", "throws", "garbage", "adds", "adds_async")
CALLED += ("as_owner", "as_owner_sync")

GEARS = (
    "GB('StreamReader').foreach(r => execute('INCR', 'o:gears')).register({prefix: PREFIX, batch: BATCH, duration: 20,"
    " mode: MODE, onFailedPolicy: POLICY, onFailedRetryInterval: 0.05, trimStream: TRIM});",
    "GB('StreamReader').map(async r => { await null; return r; }).foreach(r => atomic(() => execute('INCR', 'o:gears')))"
    ".register({prefix: PREFIX, mode: 'async', trimStream: TRIM});",
    "GB('KeysReader').foreach(r => { execute('SET', 'o:gears:key', '1'); }).register({prefix: KEYS, mode: MODE});",
)
RUNS = (
    "GB().count().run('*')",
    "GB().map(r => r.type).countby().run('*')",
    "GB().foreach(r => execute('INCR', 'o:run')).count().run('k:*')",
    "GB('KeysOnlyReader').map(async k => { await null; return k; }).sort().run('*')",
    "GB('StreamReader').count().run('s:1')",
    "GB().map(async r => new Promise(() => {})).run('k:*')",
    "GB().map(r => { throw new Error('as intended'); }).run('*')",
)


def library(random, name):
    """The text of a library of that name."""
    lines = [f"#!js name={name}", HELPERS, FUNCTIONS]
    lines += [consumer(random, f"c{number}") for number in range(random.randrange(4))]
    lines += [trigger(random, f"t{number}") for number in range(random.randrange(3))]
    if random.random() < 0.3:
        lines.append(gears(random))
    return "\n".join(lines)


def consumer(random, name):
    """The registration of a stream consumer."""
    kind = random.choice(("sync", "promise", "async", "async"))
    callback = random.choice({"sync": SYNC, "promise": PROMISES, "async": ASYNC}[kind]).replace("NAME", name)
    window = random.choice((1, 1, 2, 10, 100))
    options = {} if random.random() < 0.4 else consumer_options(random, kind, window)
    trim = json.dumps(random.random() < 0.3)
    prefix = random.choice(PREFIXES)
    tail = f", {json.dumps(options)}" if options else ""
    return f"redis.register_stream_consumer('{name}', '{prefix}', {window}, {trim}, {callback}{tail});"


def consumer_options(random, kind, window):
    """Options that go together."""
    options = {}
    if random.random() < 0.5:
        options |= {"batch": random.choice((2, 5, 100)), "duration": random.choice((5, 50))}
    if random.random() < 0.3:
        options["filter"] = random.choice(({"n": ["1", "2", "3"]}, {"bad": {"exists": False}}, {"n": {"prefix": "1"}}))
    if kind != "sync" and window > 1 and random.random() < 0.4:
        options["order_by"] = "n"
    if random.random() < 0.2:
        options["start"] = random.choice(("earliest", "latest", "0-5"))
    policy = random.choice(("continue", "retry", "retry", "abort"))
    options["on_failure"] = policy
    if policy == "retry":
        options["max_attempts"] = random.choice((1, 2, 4))
        if random.random() < 0.5:
            options["retry_interval"] = random.choice((0, 10, 100))
        else:
            options["backoff"] = {"initial": 5, "factor": 2, "max": 50, "jitter": 0.5}
        if "batch" in options and random.random() < 0.5:
            options["bisect"] = True
    if policy != "continue" and random.random() < 0.3:
        options["scope"] = "consumer"
    if policy != "abort" and random.random() < 0.5:
        options["dead_letter"] = "dead"
    return options


def trigger(random, name):
    """The registration of a key-space trigger."""
    kind = random.choice(("sync", "promise", "async"))
    body = {
        "sync": "(c, d) => { write(c, 'NAME'); }",
        "promise": "(c, d) => c.run_on_background(async b => b.block(l => write(l, 'NAME')))",
        "async": "async (c, d) => { await null; c.block(l => write(l, 'NAME')); }",
    }[kind].replace("NAME", name)
    options = {}
    if random.random() < 0.6:
        options["event_types"] = random.sample(EVENTS, 3)
    if random.random() < 0.2:
        options["key_types"] = random.sample(KEY_TYPES, 2)
    if random.random() < 0.4:
        options["read_value"] = True
    text = json.dumps(options)
    if random.random() < 0.4:
        text = text[:-1] + (", " if options else "") + f'"on_trigger_fired": {random.choice(HOOKS)}' + "}"
    return f"redis.register_notifications_consumer('{name}', '{random.choice(KEY_PREFIXES)}', {body}, {text});"


def gears(random):
    """A registration as RedisGears 1 has it."""
    words = {
        "PREFIX": json.dumps(random.choice(("s:*", "s:1", "t:*"))),
        "KEYS": json.dumps(random.choice(("k:*", "s:*"))),
        "BATCH": str(random.choice((1, 3, 20))),
        "MODE": json.dumps(random.choice(("sync", "async"))),
        "POLICY": json.dumps(random.choice(("continue", "retry", "abort"))),
        "TRIM": json.dumps(random.random() < 0.3),
    }
    text = random.choice(GEARS)
    for word, value in words.items():
        text = text.replace(word, value)
    return text
