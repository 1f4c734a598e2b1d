"""The clients of a soak run that have to do with key-space triggers and with runs over keys."""

import json
import time

from soak.load import BACKLOG, Task, short
from testing.replies import fields

# What the writers write; each event has its place in the ledger `written`, as in those of the triggers.
NAMES = 40
LONGEST_LIST = 10
# Milliseconds that some keys live.
LIFE = (1, 10, 50, 300)
# Keys that stay as they are, for runs over them.
FIXED = {f"key:fixed:{number}": number * number for number in range(50)}
FIXED_ALL = "key:fixed:*"
# The triggers of the library `keys`, and the events that each gets.
EVENTS = ("set", "hset", "rpush", "del", "rename_from", "rename_to", "expired", "keymiss")
TRIGGERS = {
    "sync": EVENTS,
    "promise": EVENTS,
    "async": EVENTS,
    "hook": ("set",),
    "filtered": ("hset", "rpush"),
}
# Runs that are kept when they are over.
EXECUTIONS = 100


class KeyWriter(Task):
    """Changes keys that have triggers, in several ways; each way notes in the ledger `written` what happens, with what
    it happens or before."""

    def step(self):
        deeds = (self.transaction, self.pipeline, self.script, self.script, self.expiring, self.missed)
        self.random.choice(deeds)()
        if self.random.random() < 0.05:
            self.wait_for_triggers()

    def key(self, kind):
        """One that others change too."""
        return f"key:{kind}:{self.random.randrange(NAMES)}"

    def weight(self):
        """What a key is set to."""
        return self.random.randrange(1, 1 << 20)

    @staticmethod
    def noted(event, weight=0):
        """The commands that put an event into the ledger."""
        return [("HINCRBY", "written", event, 1), ("HINCRBY", "written", f"{event}|weight", weight)]

    def write(self):
        """A write of one event, with its notes in front."""
        weight = self.weight()
        event, *words = self.random.choice((
            ("set", "SET", self.key("text"), weight),
            ("set", "SET", self.key("text"), weight),
            ("hset", "HSET", self.key("hash"), "weight", weight, "more", self.name),
        ))  # fmt: skip
        return [*self.noted(event, weight), tuple(words)]

    def send(self, what, commands, transaction):
        """All of these, none of which may fail."""
        for answer in self.ask_all(what, commands, transaction):
            if isinstance(answer, Exception):
                self.record.violation("unexpected error", f"{self.name}: {what}: {answer}")

    def transaction(self):
        """With its own MULTI: several changes of a key, of which the trigger has to see each."""
        writes = self.random.choice((1, 5, 30))
        self.send("writes in MULTI", sum((self.write() for _ in range(writes)), []), transaction=True)
        self.record.count("keys written", writes)

    def pipeline(self):
        """One after the other."""
        writes = self.random.choice((1, 10))
        self.send("writes in a pipeline", sum((self.write() for _ in range(writes)), []), transaction=False)
        self.record.count("keys written", writes)

    def script(self):
        """From Lua; what happens depends on what is there."""
        note = """local function note(event, weight)
                redis.call('HINCRBY', 'written', event, 1)
                redis.call('HINCRBY', 'written', event .. '|weight', weight)
            end """
        push = """redis.call('RPUSH', KEYS[1], ARGV[1]) note('rpush', ARGV[1])
            if redis.call('LLEN', KEYS[1]) > tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) note('del', 0) end"""
        rename = """redis.call('SET', KEYS[1], ARGV[1]) note('set', ARGV[1])
            redis.call('RENAME', KEYS[1], KEYS[2]) note('rename_from', 0) note('rename_to', ARGV[1])"""
        delete = "for _, key in ipairs(KEYS) do if redis.call('DEL', key) == 1 then note('del', 0) end end"
        text, keys = self.random.choice((
            (push, [self.key("list")]),
            (rename, [self.key("text"), self.key("renamed")]),
            (delete, [self.key("text"), self.key("hash"), self.key("renamed")]),
        ))  # fmt: skip
        self.ask("writes from Lua", "EVAL", note + text, len(keys), *keys, self.weight(), LONGEST_LIST)
        self.record.count("keys written")

    def expiring(self):
        """A key that nobody touches again, and that is not there for long."""
        weight = self.weight()
        self.send("writes of keys that expire", [
            *self.noted("set", weight), *self.noted("expired"),
            ("SET", f"key:gone:{self.token()}", weight, "PX", self.random.choice(LIFE)),
        ], transaction=True)  # fmt: skip
        self.record.count("keys that expire")

    def missed(self):
        """A read of a key that is not there."""
        self.send("reads of no key", [*self.noted("keymiss"), ("GET", "key:none")], transaction=True)

    def wait_for_triggers(self):
        """Does not write more than they get through."""
        while not self.record.stop.is_set():
            ledgers = [("HGET", ledger, "set") for ledger in ("written", "fired:promise", "fired:async")]
            written, *fired = (int(count or 0) for count in self.ask_all("HGET", ledgers, transaction=False))
            if written - min(fired) < BACKLOG:
                break
            self.record.stop.wait(0.05)


class Runner(Task):
    """Runs scripts over keys that stay as they are, while all the others come and go."""

    pause = 0.1

    def __init__(self, name, soak):
        super().__init__(name, soak)
        self.touched = 0

    def step(self):
        deeds = (self.total, self.total, self.sorted, self.touch, self.everything, self.fail, self.abort, self.register)
        self.random.choice(deeds)()

    def run_script(self, script, may_fail=None):
        """What it gives: at once, or as an execution of its own, which may be forgotten by its client."""
        what = "RG.JSEXECUTE"
        if may_fail or self.random.random() < 0.5:
            return self.ask(what, what, script, may_fail=may_fail)
        execution = self.begin(script)
        answer = self.ask("RG.GETRESULTSBLOCKING", "RG.GETRESULTSBLOCKING", execution)
        if self.random.random() < 0.5:
            self.expect("drop", self.ask("RG.DROPEXECUTION", "RG.DROPEXECUTION", execution), "OK")
        return answer

    def begin(self, script):
        """The ID of an execution."""
        return self.ask("RG.JSEXECUTE UNBLOCKING", "RG.JSEXECUTE", script, "UNBLOCKING")

    def check(self, script, results, errors=()):
        """A run that has to give just that."""
        self.expect(short([script]), self.run_script(script), [list(results), list(errors)])

    def total(self):
        """Of all values, in one of two ways."""
        self.check(self.random.choice((
            f"GB().map(r => Number(r.value)).aggregate(0, (a, n) => a + n, (a, n) => a + n).run('{FIXED_ALL}')",
            f"GB().map(async r => {{ await null; return +r.value; }}).accumulate((a, n) => a + n).run('{FIXED_ALL}')",
        )), [sum(FIXED.values())])  # fmt: skip

    def sorted(self):
        """Names."""
        script = f"GearsBuilder('KeysOnlyReader').filter(k => k.endsWith('7')).sort().run('{FIXED_ALL}')"
        self.check(script, sorted(key for key in FIXED if key.endswith("7")))

    def touch(self):
        """A run that writes: once per key; also to keys with triggers, which are not to hear of it."""
        key = f"touched:{self.name}"
        self.check(
            f"GB().foreach(r => {{ execute('INCR', '{key}'); execute('SET', 'key:quiet', r.value); }})"
            f".count().run('{FIXED_ALL}')",
            [len(FIXED)],
        )
        self.touched += len(FIXED)
        self.expect("keys touched", int(self.ask("GET", "GET", key)), self.touched)

    def everything(self):
        """All keys that come and go."""
        answer = self.run_script("GB().countby(r => r.type).run('key:*')")
        if not isinstance(answer, Exception):
            self.expect("errors", answer[1], [])

    def fail(self):
        """Errors of steps are told, those of the script are the answer."""
        token = self.token()
        self.check(f"GB().map(r => {{ throw new Error('{token}'); }}).run('{FIXED_ALL}')", [], [f"Error: {token}"])
        self.expect_error("script", self.run_script(f"throw new Error('{token}')", may_fail=token), token)

    def abort(self):
        """A run that never ends."""
        execution = self.begin(f"GB().map(async () => new Promise(() => {{}})).run('{FIXED_ALL}')")
        self.expect("abort", self.ask("RG.ABORTEXECUTION", "RG.ABORTEXECUTION", execution), "OK")
        _, errors = self.ask("RG.GETRESULTSBLOCKING", "RG.GETRESULTSBLOCKING", execution)
        self.expect("abort", errors, ["The execution was aborted"])

    def register(self):
        """A registration of keys, which comes and goes."""
        prefix = f"registered:{self.name}:"
        options = {"prefix": f"{prefix}*", "mode": "sync", "eventTypes": ["set"]}
        script = f"GB().foreach(r => execute('RPUSH', 'of:{self.name}', r.value)).register({json.dumps(options)})"
        self.expect("register", self.ask("RG.JSEXECUTE ID", "RG.JSEXECUTE", script, "ID", self.name, "UPGRADE"), "OK")
        values, to = [self.token() for _ in range(5)], f"of:{self.name}"
        self.ask_all("SET", [("SET", f"{prefix}{value}", value) for value in values], transaction=True)
        # It may be put off where something hostile is at work in the same moment.
        end = time.monotonic() + self.soak.deadline
        while self.ask("LLEN", "LLEN", to) < len(values) and time.monotonic() < end:
            self.record.stop.wait(0.01)
        self.expect("values of the registration", self.ask("LRANGE", "LRANGE", to, 0, -1), values)
        listed = self.ask("RG.DUMPREGISTRATIONS", "RG.DUMPREGISTRATIONS")
        ours = [one["id"] for one in map(fields, listed) if one["PD"].startswith(f"{self.name}.")]
        for registration in ours:
            self.expect("unregister", self.ask("RG.UNREGISTER", "RG.UNREGISTER", registration), "OK")
        self.expect("registrations", len(ours), 1)
        self.ask("UNLINK", "UNLINK", to, *(f"{prefix}{value}" for value in values))
