"""The clients of a soak run that do not behave: hostile code, and clients that leave."""

import re
import time

import redis

from soak.keys import FIXED_ALL
from soak.load import HOSTILE, REPLACED, Task

# Code of a library that is ended takes what else is pending there with it.
ENDED = f"terminated due to OOM or timeout|is busy|{REPLACED}"
DEEDS = {
    "throw": f"null|{ENDED}",
    "loop": ENDED,
    "heap": ENDED,
    "buffers": f"RangeError|{ENDED}",
    "strings": f"RangeError|{ENDED}",
    "promises": ENDED,
    "recursion": f"RangeError|{ENDED}",
    "regexp": ENDED,
    "getter": ENDED,
    "text": ENDED,
    "proxy": ENDED,
}
WAYS = ("sync", "promise", "background", "async", "await", "block")


class Troublemaker(Task):
    """Runs what does not end, or takes all memory; and sees that it is answered with an error."""

    pause = 3.0

    def __init__(self, name, soak):
        super().__init__(name, soak)
        self.library = HOSTILE[0]

    def step(self):
        self.library = self.random.choice(HOSTILE)
        deed = self.random.choice((*[self.call] * 4, self.microtasks, self.add, self.set, self.set))
        self.noted(deed)
        self.noted(self.look_after)

    def noted(self, deed):
        """Does something, and notes when."""
        begin = time.monotonic()
        what = None
        try:
            what = deed()
        finally:
            self.record.trouble(begin, time.monotonic(), f"{self.name}: {self.library} {what}")

    def call(self):
        """A function."""
        way, deed = self.random.choice(WAYS), self.random.choice(list(DEEDS))
        words = ("RG.FCALL", self.library, way, 0, deed)
        answer = self.ask(f"hostile {deed}", *words, may_fail=DEEDS[deed])
        self.expect_error(f"{way} {deed}", answer, DEEDS[deed])
        return f"{way} {deed}"

    def microtasks(self):
        """A chain of promises without end."""
        words = ("RG.FCALL", self.library, "microtasks", 0)
        self.expect_error("microtasks", self.ask("hostile microtasks", *words, may_fail=ENDED), ENDED)
        return "async microtasks"

    def add(self):
        """An entry whose callbacks do not end, or fail, between some of which nothing is to be feared."""
        hostile = self.random.choice(list(DEEDS))
        for deed in [*["nothing"] * 20, hostile, *["nothing"] * 20]:
            self.ask("XADD of a hostile entry", "XADD", self.library, "*", "deed", deed)
        return f"entry {hostile}"

    def set(self):
        """A key with triggers that do the same; whatever becomes of them, it is set."""
        key, hostile = f"{self.library}-{self.random.choice(('key', 'hook'))}", self.random.choice(list(DEEDS))
        for deed in [*["nothing"] * 20, hostile, *["nothing"] * 20]:
            self.expect("SET", self.ask("SET of a hostile key", "SET", key, deed), True)
        return f"{key} {hostile}"

    def look_after(self):
        """The library is as good as before."""
        end = time.monotonic() + self.soak.deadline
        for function in ("echo", "echo_async"):
            token = self.token()
            while time.monotonic() < end and not self.record.stop.is_set():
                # Another troublemaker's code may be at it.
                answer = self.ask("hostile library, after it", "RG.FCALL", self.library, function, 0, token,
                                  may_fail=ENDED)  # fmt: skip
                if answer == token:
                    break
                self.record.stop.wait(0.05)
            else:
                if not self.record.stop.is_set():
                    self.record.violation("library lost", f"{self.name}: {function} gives {answer!r}")
        return "afterwards"


class Deserter(Task):
    """Leaves while it waits, or is killed; its connections are new ones each time."""

    pause = 0.1

    def step(self):
        deed = self.random.choice((self.is_killed, self.leaves, self.is_killed_in_pipeline, self.leaves_midway))
        try:
            with self.connect() as other:
                deed(other)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.lost(deed.__name__, error)
        self.record.count(deed.__doc__.rstrip("."))

    def waiting(self):
        """A call that has its client wait, for ever or for a while."""
        library = self.random.choice(("calls", *HOSTILE))
        script = f"GB().map(async r => {{ await null; return r.value; }}).run('{FIXED_ALL}')"
        return self.random.choice((
            ("RG.JSEXECUTE", script),
            ("RG.FCALL", library, "never", 0),
            ("RG.FCALL", "calls", "count_hops", 0, "deserted", 200),
            ("RG.FCALL", "churn0", "wait", 0, "token"),
        ))  # fmt: skip

    def is_killed(self, other):
        """CLIENT KILL of a client that waits."""
        number = other.client_id()
        other.connection.send_command(*self.waiting())
        self.record.stop.wait(self.random.choice((0, 0.01, 0.5)))
        self.ask("CLIENT KILL", "CLIENT", "KILL", "ID", number)
        self.expect_end(other)

    def is_killed_in_pipeline(self, other):
        """CLIENT KILL of a client with a pipeline."""
        number = other.client_id()
        calls = [self.waiting() for _ in range(20)]
        other.connection.send_packed_command(other.connection.pack_commands(calls))
        self.ask("CLIENT KILL", "CLIENT", "KILL", "ID", number)
        self.expect_end(other)

    def leaves(self, other):
        """Disconnect of a client that waits."""
        other.connection.send_command(*self.waiting())
        self.record.stop.wait(self.random.choice((0, 0, 0.01, 0.5)))

    def leaves_midway(self, other):
        """Disconnect in the middle of a command."""
        calls = [self.waiting() for _ in range(5)]
        packed = b"".join(other.connection.pack_commands(calls))
        other.connection.send_packed_command([packed[: self.random.randrange(1, len(packed))]])

    def expect_end(self, other):
        """The connection is closed, after answers that were on their way."""
        while True:
            try:
                other.connection.read_response()
            except redis.ResponseError as error:
                if not re.search(f"Unknown library|{ENDED}", str(error)):
                    self.record.violation("unexpected error", f"{self.name}: {error}")
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                return
