"""Lines of the log: where scripts' ones come from, and those of the module that come again and again."""

import itertools
import re

import pytest

from testing.libraries import consumer, function
from testing.servers import SLOW
from testing.triggers import trigger

LOGS = "redis.log('here');"


def lines(server):
    """What stands behind the mark in the log, but for the lines that say who changed what, or what is slow."""
    found = re.findall(r"^\d+:.*? <redisgears_2> (.*)$", server.log_text(), re.MULTILINE)
    return [line for line in found if not line.startswith(("audit: ", SLOW))]


def wait_lines(server, *expected):
    server.wait(lambda: len(lines(server)) >= len(expected), lambda: lines(server))
    assert lines(server) == list(expected)


# --- where lines come from ------------------------------------------------------------------------------------------

AWAITS = "await null; await new Promise(resolve => resolve());"
CALLBACKS = {
    "sync": f"() => {{ {LOGS} }}",
    "behind an await of a plain function": f"() => (async () => {{ {AWAITS} {LOGS} }})()",
    "async": f"async () => {{ {LOGS} }}",
    "behind an await": f"async () => {{ {AWAITS} {LOGS} }}",
    "in a block": f"async client => {{ client.block(() => {{ {LOGS} }}); }}",
    "behind a block": f"async client => {{ client.block(() => {{}}); {AWAITS} {LOGS} }}",
}
BACKGROUND = {
    "background": f"client => client.run_on_background(async () => {{ {AWAITS} {LOGS} }})",
    "background of a block": f"async client => {{ await client.block(c => c.run_on_background(async () => {{ {LOGS} }})); }}",
}


@pytest.mark.parametrize("way", CALLBACKS)
def test_a_line_names_the_consumer(server, way):
    server.load(consumer("other"), consumer("eats", "food", callback=CALLBACKS[way]))
    server.add("food", 1)
    wait_lines(server, "[lib/eats] here")


@pytest.mark.parametrize("way", CALLBACKS | BACKGROUND)
def test_a_line_names_the_function(server, way):
    server.load(function("f", (CALLBACKS | BACKGROUND)[way]), function("g"), name="shop")
    server.run("RG.FCALL", "shop", "f", 0)
    wait_lines(server, "[shop/f] here")


@pytest.mark.parametrize("way", CALLBACKS)
def test_a_line_names_the_trigger(server, way):
    server.load(trigger("watches", callback=CALLBACKS[way]))
    server.run("SET", "key", 1)
    wait_lines(server, "[lib/watches] here")


def test_lines_of_a_batch_of_a_hook_and_of_an_event_itself_name_their_registration(server):
    options = f"{{ batch: 2, on_registered: () => {{ {LOGS} }} }}"
    server.load(
        consumer("eats", "food", callback=CALLBACKS["sync"], options=options),
        trigger("watches", callback="() => {}", options=f"{{ on_trigger_fired: () => {{ {LOGS} }} }}"),
    )
    wait_lines(server, "[lib/eats] here")
    server.add("food", 1, 2)
    wait_lines(server, *["[lib/eats] here"] * 2)
    server.run("SET", "key", 1)
    wait_lines(server, *["[lib/eats] here"] * 2, "[lib/watches] here")


def test_callbacks_that_take_turns_are_told_apart(server):
    """Each has its own name again behind every await, whoever ran in between."""
    turns = "async () => {{ for (let n = 0; n < 3; n++) {{ redis.log('{0}'); await null; }} }}"
    both = f"const one = {turns.format('f')}; const two = {turns.format('g')};"
    server.load(
        both, function("f", "async client => { await one(); }"), function("g", "async client => { await two(); }")
    )
    sent = [server.send("RG.FCALLASYNC", "lib", name, 0) for name in "fgfg"]
    for one in sent:
        one.reply()
        one.disconnect()
    assert sorted(lines(server)) == ["[lib/f] f"] * 6 + ["[lib/g] g"] * 6


def test_lines_at_load_name_the_library(server):
    server.load(LOGS, function("f"))
    assert lines(server) == ["[lib] here"]


def test_the_names_of_an_upgrade_are_those_of_the_new_code(server):
    server.load(function("f", CALLBACKS["sync"]))
    server.upgrade(function("first"), function("g", CALLBACKS["sync"]))
    server.call("g")
    assert lines(server) == ["[lib/g] here"]


@pytest.mark.parametrize("code", ["print('here')", "import sys\nsys.stderr.write('here\\n')", "log('here')"])
def test_what_python_prints_names_library_and_callback(server, code):
    text = f"#!py name=snake\nGB('StreamReader').foreach(lambda x: log('fed')).register('food')\n{code}\n"
    server.run("RG.FUNCTION", "LOAD", text)
    [line] = lines(server)
    assert re.fullmatch(r"\[snake\] (GEARS: )?here", line)
    server.add("food", 1)
    server.wait(lambda: len(lines(server)) == 2, lambda: lines(server))
    assert re.fullmatch(r"\[snake/.+\] GEARS: fed", lines(server)[1])


def test_a_script_cannot_forge_a_line_of_another_one(server):
    name = "f\n2:M 01 Jan 2020 * <redisgears_2> [x/y] z"
    server.load(function(name.replace("\n", "\\n"), CALLBACKS["sync"]))
    server.call(name)
    assert lines(server) == [r"[lib/f\n2:M 01 Jan 2020 * <redisgears_2> [x/y] z] here"]


def test_the_setting_leaves_the_names_out(server):
    server.load(LOGS, function("f", CALLBACKS["sync"]))
    with server.setting("redisgears_2.script-log-prefix", "no"):
        server.call("f")
    server.call("f")
    assert lines(server) == ["[lib] here", "here", "[lib/f] here"]


# --- lines that come again and again --------------------------------------------------------------------------------

LOST = "library 'lib': unhandled rejection: lost"
REJECTS = function("f", "() => { Promise.reject('lost'); }")


def counts(server):
    """How many times each line stands for, in order."""
    found = [re.fullmatch(rf"{LOST}(?: \((\d+) more\))?", line) for line in lines(server)]
    return [int(one.group(1) or 1) for one in found if one]


def test_the_same_warning_is_written_at_once_and_then_with_how_many_more(server):
    server.load(REJECTS)
    for _ in range(300):
        server.call("f")
    assert lines(server)[0] == LOST
    server.wait(lambda: sum(counts(server)) == 300, lambda: lines(server))
    # At once, and at most one a second.
    stamps = re.findall(rf"(\d\d):(\d\d):(\d\d)\.(\d{{3}}) # <redisgears_2> {LOST}", server.log_text())
    times = [((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms) for h, m, s, ms in stamps]
    assert 2 <= len(times) <= 4
    assert all(later - earlier >= 990 for earlier, later in itertools.pairwise(times)), times


def test_another_warning_is_not_held_back(server):
    server.load(REJECTS, function("g", "() => { Promise.reject('other'); }"))
    server.call("f")
    server.call("f")
    server.call("g")
    assert lines(server)[:2] == [LOST, "library 'lib': unhandled rejection: other"]


def test_a_load_has_the_same_warning_written_at_once_again(server):
    server.load(REJECTS)
    server.call("f")
    server.call("f")
    server.upgrade(REJECTS)
    server.call("f")
    assert lines(server) == [LOST, f"{LOST} (1 more)", LOST]


def test_what_is_still_to_be_said_is_said_before_the_server_ends(start_server):
    server = start_server()
    server.load(REJECTS)
    for _ in range(5):
        server.call("f")
    server.stop()
    assert sum(counts(server)) == 5


def test_lines_of_scripts_are_never_held_back(server):
    server.load(function("f", "() => { for (let n = 0; n < 500; n++) redis.log('same', 'warning'); }"))
    server.call("f")
    assert lines(server) == ["[lib/f] same"] * 500


def test_dead_letters_that_are_written_are_counted(server):
    server.load(consumer(callback="() => { throw new Error('no'); }", options={"dead_letter": "dead"}))
    server.add("stream", *range(50))
    line = "consumer 'lib/consumer' gave up an entry: its dead letter is in 'dead'"
    assert lines(server)[0] == line
    server.wait(lambda: server.times_logged(line) == 50, lambda: lines(server))


# --- failures of stream consumers -------------------------------------------------------------------------------------

FAILED = r"consumer 'lib/eats' failed at entry (\S+) of stream '(\w+)'(.*)$"


def failures(server):
    return [found.groups() for line in lines(server) if (found := re.match(FAILED, line))]


@pytest.mark.parametrize("kind", ["", "async "])
def test_a_callback_that_fails_is_told_with_entry_error_and_place(server, kind):
    server.load(consumer("eats", "food", callback=f"{kind}() => {{ throw new TypeError('too hot'); }}"))
    server.run("XADD", "food", "1-1", "a", 1)
    server.wait(lambda: failures(server), lambda: lines(server))
    [(entry, stream, rest)] = failures(server)
    assert (entry, stream) == ("1-1", "food")
    assert re.fullmatch(r": TypeError: too hot at .*\(?lib:\d+:\d+\)?", rest), rest


def test_many_failures_of_a_consumer_are_few_lines_with_their_number(server):
    server.load(consumer("eats", "food", window=5, callback="async (client, item) => { throw new Error(item.id); }"))
    for number in range(1, 1001):
        server.run("XADD", "food", f"{number}-1", "a", 1)
    server.wait(lambda: failures(server) and sum(map(told, failures(server))) == 1000, lambda: lines(server))
    assert len(failures(server)) < 20


def told(failure):
    """How many failures a line tells of."""
    more = re.search(r" \((\d+) more\)$", failure[2])
    return 1 + (int(more[1]) if more else 0)


def test_what_stops_a_stream_is_told_as_that(server):
    server.load(consumer("eats", "food", callback="async () => { throw new Error('no'); }", options={"on_failure": "abort"}))
    server.run("XADD", "food", "1-1", "a", 1)
    server.wait(lambda: failures(server), lambda: lines(server))
    [(entry, _, rest)] = failures(server)
    assert entry == "1-1" and rest.startswith(", and stops until RG.CONSUMER RESUME: Error: no at ")
