"""What happens to keys while clients set them: nothing, or a trigger."""

from benches.consumers import EMPTY, Nobody
from testing.replies import fields
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

KEY = "key:bench"
# More than any run has, so that no event is dropped however slow the worker is.
QUEUE = {"trigger-queue-length": "100000000", "trigger-queue-memory": "64gb"}


class Set(Nobody):
    """Nobody."""

    command = ("SET", KEY, "value")

    def start(self, server: ThrowAway, deadline: float) -> None:
        server.client.config_resetstat()

    def count(self, server: ThrowAway) -> int:
        errors = server.client.info("errorstats")
        if errors:
            raise HarnessError(f"SET was answered with errors: {errors}")
        return server.client.info("commandstats").get("cmdstat_set", {}).get("calls", 0)


class Trigger(Set):
    """A library with one trigger; `options` are its fourth argument, in JavaScript.

    `fires`: whether a SET concerns it."""

    def __init__(self, callback: str = EMPTY, prefix: str = "key:", options: str = "{}", fires: bool = True):
        self._code = f'#!js name=bench\nredis.register_notifications_consumer("t", "{prefix}", {callback}, {options});'
        self._fires = fires

    def start(self, server: ThrowAway, deadline: float) -> None:
        for name, value in QUEUE.items():
            server.client.config_set(f"redisgears_2.{name}", value)
        server.client.execute_command("RG.FUNCTION", "LOAD", self._code)
        super().start(server, deadline)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        [reply] = server.client.execute_command("RG.FUNCTION", "LIST", "v", "LIBRARY", "bench")
        [trigger] = map(fields, fields(reply)["notifications_consumers"])
        expected = entries if self._fires else 0
        if trigger["num_triggered"] != expected:
            raise HarnessError(f"{trigger['num_triggered']} events were counted, expected {expected}")
        if trigger["last_error"] != "None" or trigger["num_dropped"] != 0:
            raise HarnessError(f"events were lost: {trigger}")
        return trigger["num_success"] == expected
