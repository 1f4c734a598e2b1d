"""What clients call: nothing, a function in Lua, or its twins: in JavaScript, and a module's command without it."""

from typing import ClassVar

from benches.consumers import Nobody
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

LUA = """#!lua name=bench
local function once(command)
    return function(keys, args) return redis.call(command, keys[1], unpack(args)) end
end
local function ten_times(command)
    return function(keys, args)
        local last
        for _ = 1, 10 do last = redis.call(command, keys[1], unpack(args)) end
        return last
    end
end
redis.register_function('empty', function() end)
redis.register_function('incr', once('INCR'))
redis.register_function('incr10', ten_times('INCR'))
redis.register_function('get', once('GET'))
redis.register_function('get10', ten_times('GET'))
redis.register_function('set', once('SET'))
"""

JAVASCRIPT = """#!js name=bench
const once = command => (client, ...args) => client.call(command, ...args);
const ten_times = command => (client, ...args) => {
    let last;
    for (let at = 0; at < 10; at += 1) last = client.call(command, ...args);
    return last;
};
redis.register_function("empty", () => {});
redis.register_function("incr", once("INCR"));
redis.register_function("incr10", ten_times("INCR"));
redis.register_function("get", once("GET"));
redis.register_function("get10", ten_times("GET"));
redis.register_function("set", once("SET"));
redis.register_function("async_empty", async () => {});
redis.register_function("async_incr", async (client, key) => client.block(locked => locked.call("INCR", key)));
redis.register_function("background_incr", (client, key) =>
    client.run_on_background(async free => free.block(locked => locked.call("INCR", key))));
"""

COUNTER = "counter"
TEXT = "text"
VALUE = "x" * 100
ARGUMENTS = {
    "incr": (1, COUNTER),
    "incr10": (1, COUNTER),
    "get": (1, TEXT),
    "get10": (1, TEXT),
    "set": (1, TEXT, VALUE),
    "async_incr": (1, COUNTER),
    "background_incr": (1, COUNTER),
}


class Command(Nobody):
    """A command, that nobody but the server deals with."""

    def __init__(self, *command: str):
        self.command = command

    def start(self, server: ThrowAway, deadline: float) -> None:
        server.client.set(TEXT, VALUE)
        self._load(server)
        server.client.execute_command(*self.command)
        server.client.delete(COUNTER)
        server.client.config_resetstat()

    def count(self, server: ThrowAway) -> int:
        """How often it was called."""
        errors = server.client.info("errorstats")
        if errors:
            raise HarnessError(f"{' '.join(self.command)} was answered with errors: {errors}")
        name = f"cmdstat_{self.command[0].lower()}"
        return server.client.info("commandstats").get(name, {}).get("calls", 0)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        per_call = {"incr": 1, "incr10": 10, "async_incr": 1, "background_incr": 1}.get(self._function(), 0)
        return int(server.client.get(COUNTER) or 0) == entries * per_call

    def _function(self) -> str | None:
        return None

    def _load(self, server: ThrowAway) -> None:
        """Nothing to load."""


class Lua(Command):
    """A function of the server's own."""

    def __init__(self, function: str):
        super().__init__("FCALL", function, *map(str, ARGUMENTS.get(function, (0,))))

    def _function(self) -> str | None:
        return self.command[1]

    def _load(self, server: ThrowAway) -> None:
        server.client.function_load(LUA)


class Native(Command):
    """A command of a module without JavaScript: what any function of a module can reach at best."""

    TIMES: ClassVar = {"empty": ("0", "PING"), "get10": ("10", "GET"), "incr10": ("10", "INCR")}

    def __init__(self, function: str):
        times, command = self.TIMES.get(function, ("1", function.upper()))
        super().__init__("NATIVE.CALL", times, command, *map(str, ARGUMENTS.get(function, (0,))))
        self._name = function

    def _function(self) -> str | None:
        return self._name


class JavaScript(Command):
    """A function of the module's."""

    def __init__(self, function: str):
        super().__init__("RG.FCALL", "bench", function, *map(str, ARGUMENTS.get(function, (0,))))

    def _function(self) -> str | None:
        return self.command[2]

    def _load(self, server: ThrowAway) -> None:
        server.client.execute_command("RG.FUNCTION", "LOAD", JAVASCRIPT)
