"""What a soak run watches and checks of key-space triggers, and of runs over keys."""

import re

from soak.checks import numbers
from soak.keys import EXECUTIONS, TRIGGERS
from soak.load import HOSTILE
from testing.replies import fields

# Fields of LIST, by those of INFO.
SHARED = {"triggered": "num_triggered", "finished": "num_finished", "failed": "num_failed", "dropped": "num_dropped"}


class Triggers:
    """Ledgers, and what the server says."""

    def __init__(self, soak):
        self._record = soak.record
        self._client = soak.connect()

    def look(self):
        """INFO and LIST agree, nothing is dropped, no event is counted twice, executions do not pile up."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.info("redisgears_2_triggers")
        pipeline.execute_command("RG.FUNCTION", "LIST", "vv")
        pipeline.execute_command("RG.DUMPEXECUTIONS")
        pipeline.hgetall("written")
        for name in TRIGGERS:
            pipeline.hgetall(f"fired:{name}")
        info, listed, executions, written, *fired = pipeline.execute()
        found = triggers(listed)
        if (shown := {name.removeprefix("redisgears_2_trigger_") for name in info}) != found.keys():
            self._record.violation("INFO", f"shows triggers {sorted(shown)}, LIST has {sorted(found)}")
        for name, one in found.items():
            self._check(name, info.get(f"redisgears_2_trigger_{name}"), one)
        over = [one for one in map(fields, executions) if one["status"] != "running"]
        if len(over) > EXECUTIONS:
            self._record.violation("executions", f"{len(over)} that are over are kept")
        for name, ledger in zip(TRIGGERS, fired, strict=True):
            for field, count in ledger.items():
                if int(count) > int(written.get(field, 0)):
                    self._record.violation("events", f"{name} has {count} of {written.get(field)} for {field}")

    def _check(self, name, shown, one):
        """What INFO shows of a trigger, and what LIST does right behind it, while workers go on."""
        if shown and any(shown[field] > one[of_list] for field, of_list in SHARED.items()):
            self._record.violation("INFO", f"{name} is {shown}, then {one}")
        if one["num_triggered"] < one["num_finished"] + one["num_dropped"]:
            self._record.violation("triggers", f"{name} has ended more than there was: {one}")
        # The writers wait for them.
        if one["num_dropped"]:
            self._record.violation("triggers", f"{name} has dropped events: {one}")
        if name.startswith("keys_") and one["num_failed"]:
            self._record.violation("triggers", f"{name} failed: {one['last_error']}, {one}")

    def events(self):
        """What is wrong with the ledgers; nothing, once each trigger has counted every event of its own once."""
        written, wrong = numbers(self._client.hgetall("written")), []
        for name, events in TRIGGERS.items():
            wanted = {field: count for field, count in written.items() if field.split("|")[0] in events}
            fired = numbers(self._client.hgetall(f"fired:{name}"))
            for field in wanted.keys() | fired.keys():
                if fired.get(field, 0) != wanted.get(field, 0):
                    wrong.append(f"{name} {field}: written {wanted.get(field, 0)}, counted {fired.get(field, 0)}")
        return "; ".join(wrong) or None

    def unfinished(self):
        """What does not add up; nothing, once all that triggers were called for is done, and INFO says so too."""
        info = self._client.info("redisgears_2_triggers")
        wrong = []
        for name, one in triggers(self._client.execute_command("RG.FUNCTION", "LIST", "vv")).items():
            shown = info[f"redisgears_2_trigger_{name}"]
            ended = one["num_finished"] + one["num_dropped"]
            if one["num_waiting"] or shown["waiting"] or one["num_triggered"] != ended:
                wrong.append(f"{name} is not done: {one}")
            if one["num_finished"] != one["num_success"] + one["num_failed"]:
                wrong.append(f"{name} does not add up: {one}")
            if any(shown[field] != one[of_list] for field, of_list in SHARED.items()):
                wrong.append(f"{name} is {shown} in INFO, {one} in LIST")
        return "; ".join(wrong) or None

    def running(self):
        """Executions that are not over."""
        listed = map(fields, self._client.execute_command("RG.DUMPEXECUTIONS"))
        return [one["executionId"] for one in listed if one["status"] == "running"] or None

    def end(self):
        """The figures."""
        found = triggers(self._client.execute_command("RG.FUNCTION", "LIST", "vv"))
        counts = ", ".join(f"{name} {one['num_triggered']:,}" for name, one in sorted(found.items()))
        hostile = sum(one["num_failed"] for name, one in found.items() if name.startswith(tuple(HOSTILE)))
        return [f"events of triggers: {counts}; {hostile:,} of the hostile ones failed"]


def triggers(listed):
    """What LIST says of each trigger, named as in INFO."""
    return {
        re.sub(r"[^\w.-]", "_", f"{library['name']}_{one['name']}"): one
        for library in map(fields, listed)
        for one in map(fields, library["notifications_consumers"])
    }
