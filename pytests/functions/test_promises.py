"""Promises of scripts, rejections that nobody handles, errors, and the log."""

import re

import pytest

from testing.functions import call_error
from testing.libraries import consumer, function

# --- promises -------------------------------------------------------------------------------------------------------

PROMISES = {
    "all": (
        "await Promise.all([1, Promise.resolve(2), client.block(c => c.call('INCR', 'n'))])",
        [1, 2, 1],
    ),
    "race": ("await Promise.race([new Promise(() => {}), Promise.resolve('first')])", "first"),
    "allSettled": (
        "(await Promise.allSettled([1, Promise.reject('no')])).map(r => `${r.status} ${r.value ?? r.reason}`)",
        ["fulfilled 1", "rejected no"],
    ),
    "any": ("await Promise.any([Promise.reject('no'), Promise.resolve('yes')])", "yes"),
    "any of none": (
        "await Promise.any([Promise.reject('no')]).catch(e => [e.constructor.name, e.errors[0]])",
        ["AggregateError", "no"],
    ),
    "resolve": ("await Promise.resolve('value')", "value"),
    "resolve of a promise": ("(p => Promise.resolve(p) === p)(Promise.resolve())", 1),
    "reject": ("await Promise.reject('no').catch(reason => `caught ${reason}`)", "caught no"),
    "withResolvers": (
        "await (({ promise, resolve }) => (resolve('value'), promise))(Promise.withResolvers())",
        "value",
    ),
    "then, catch and finally": (
        "await (log => Promise.reject('a').catch(e => log.push(e)).finally(() => log.push('b')).then(() => log))([])",
        ["a", "b"],
    ),
    "instanceof": ("[(async () => {})() instanceof Promise, Promise.resolve() instanceof Promise]", [1, 1]),
    "an executor that throws": ("await new Promise(() => { throw 'no'; }).catch(e => `caught ${e}`)", "caught no"),
    "settling twice": ("await new Promise((yes, no) => { yes(1); yes(2); no(3); })", 1),
    "subclasses": ("await (class Mine extends Promise {}).resolve('value')", "value"),
    "for await": (
        "await (async () => { const seen = []; for await (const n of [1, Promise.resolve(2)]) seen.push(n);"
        " return seen; })()",
        [1, 2],
    ),
    "background parts at once": (
        "await client.block(c => Promise.all([1, 2, 3].map(n => c.run_on_background(async b => n * 2))))",
        [2, 4, 6],
    ),
    "the first of two background parts": (
        "await client.block(c => Promise.race(['a', 'b'].map(n => c.run_on_background(async b => n))))",
        "a",
    ),
}


@pytest.mark.parametrize("what", PROMISES)
def test_promises_are_those_of_the_language(server, what):
    expression, expected = PROMISES[what]
    server.load(function("f", f"async client => {{ return {expression}; }}"))
    assert server.call("f") == expected


def test_a_redis_error_inside_block_is_caught_around_the_await(server):
    server.load(
        function(
            "f",
            """async client => {
                try {
                    await client.block(c => { c.call('SET', 'text', 'a'); return c.call('LPUSH', 'text', 'b'); });
                } catch (error) {
                    const again = client.block(c => c.call('GET', 'text'));
                    return [error instanceof Error, String(error), again];
                }
            }""",
        )
    )
    text = "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert server.call("f") == [1, text, "a"]


def test_what_a_block_throws_comes_out_of_it_unchanged(server):
    server.load(
        function(
            "f",
            """async client => {
                const thrown = { me: 1 };
                try { client.block(() => { throw thrown; }); } catch (error) { return error === thrown; }
            }""",
        )
    )
    assert server.call("f") == 1


def test_a_promise_that_block_gives_is_a_promise(server):
    server.load(
        function(
            "f", "async client => client.block(async c => { const n = c.call('INCR', 'n'); await null; return n; })"
        ),
        function(
            "g",
            "async client => { const p = client.block(() => Promise.reject(new Error('no')));"
            " try { await p; } catch (error) { return `caught ${error.message}`; } }",
        ),
    )
    assert server.call("f") == 1
    assert server.call("g") == "caught no"


# --- rejections that nobody handles ---------------------------------------------------------------------------------

UNHANDLED = "library 'lib': unhandled rejection: "
REJECTS = {
    "sync function": function("f", "() => { breaks(); }"),
    "continuation": function("f", "() => { Promise.resolve().then(() => { breaks(); }); }"),
    "async function": function("f", "async () => { breaks(); await null; }"),
    "block": function("f", "async client => { client.block(() => { breaks(); }); }"),
    "background part": function(
        "f", "client => { client.run_on_background(async () => { await null; throw new Error('lost'); }); }"
    ),
    "background part of its own": function("f", "client => { client.run_on_background(async () => { breaks(); }); }"),
}
BREAKS = "async function breaks() { throw new Error('lost'); }"


@pytest.mark.parametrize("where", REJECTS)
def test_a_rejection_that_nobody_handles_is_in_the_log_with_its_stack(server, where):
    server.load(BREAKS, REJECTS[where])
    server.call("f")
    server.wait_message(UNHANDLED)
    [text] = server.messages(UNHANDLED)
    assert text.startswith("Error: lost|")
    assert re.search(r"at .*lib:\d+:\d+", text)
    [line] = [line for line in server.log_text().splitlines() if UNHANDLED in line]
    assert re.match(r"\d+:M .* # <redisgears_2> ", line)


def test_a_consumers_lost_promise_is_in_the_log_and_does_not_fail_the_entry(server):
    server.load(BREAKS, consumer(callback="(client, data) => { breaks(); }"))
    server.add("stream", 1)
    server.wait_message(UNHANDLED)
    assert server.last_error() == "None"


def test_a_rejection_while_loading_is_in_the_log(server):
    server.load("Promise.reject(new Error('lost')); 0;", function())
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED)[0].startswith("Error: lost|")


HANDLED = {
    "at once": "() => { Promise.reject('no').catch(() => {}); }",
    "behind the call": "() => { const p = Promise.reject('no'); Promise.resolve().then(() => p.catch(() => {})); }",
    "behind several awaits": "async () => { const p = Promise.reject('no');"
    " for (let n = 0; n < 5; n++) await null; p.catch(() => {}); }",
    "by await": "async () => { try { await Promise.reject('no'); } catch (error) {} }",
    "by all": "async () => { await Promise.all([Promise.reject('no'), Promise.reject('no')]).catch(() => {}); }",
    "behind a block": "async client => { const p = Promise.reject('no');"
    " client.block(c => c.call('PING')); p.catch(() => {}); }",
    "behind a function's result": "client => Promise.resolve(client.run_on_background(async () => { throw 'no'; }))"
    ".catch(() => 'fine')",
}


@pytest.mark.parametrize("when", HANDLED)
def test_a_rejection_that_is_handled_is_not_in_the_log(server, when):
    server.load(function("f", HANDLED[when]), function("lost", "() => { Promise.reject('seen'); }"))
    server.call("f")
    # What follows it shows that the log is up to date.
    server.call("lost")
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED) == ["seen"]


def test_a_rejection_that_a_caller_or_an_entry_is_told_of_is_not_in_the_log(server):
    server.load(
        function("f", "async () => { throw new Error('told'); }"),
        function("g", "() => Promise.reject(new Error('told'))"),
        consumer(callback="async (client, data) => { await null; throw new Error('told'); }"),
        function("lost", "async () => { Promise.reject('seen'); }"),
    )
    assert call_error(server, "f") == call_error(server, "g") == "Error: told"
    server.add("stream", 1)
    server.wait_stream(last_error="Error: told")
    server.call("lost")
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED) == ["seen"]


@pytest.mark.parametrize("thrown", ["null", "Symbol('s')", "new Proxy({}, { get() { throw 1; } })", "'a\\nb'"])
def test_whatever_is_rejected_makes_one_line_in_the_log(server, thrown):
    server.load(function("f", f"() => {{ Promise.reject({thrown}); }}"))
    server.call("f")
    server.wait_message(UNHANDLED)
    assert len(server.messages(UNHANDLED)) == 1
    assert server.call("f") is None


def test_many_lost_rejections_do_not_fill_the_log(server):
    server.load(function("f", "() => { for (let n = 0; n < 500; n++) Promise.reject(n); }"))
    server.call("f")
    server.wait_message("library 'lib': ", 9)
    assert server.messages(UNHANDLED) == [str(n) for n in range(8)]
    assert server.messages("library 'lib': ")[-1] == "492 more unhandled rejections in the same run"


# --- errors ---------------------------------------------------------------------------------------------------------

FAILS = {
    "sync": "client => { breaks(client); }",
    "async": "async client => { breaks(client); }",
    "pending": "async client => { await client.block(c => c.run_on_background(async () => {})); breaks(client); }",
    "background": "client => client.run_on_background(async b => { breaks(b); })",
}


@pytest.mark.parametrize("kind", FAILS)
def test_the_stack_shows_on_one_line_of_the_error_and_only_when_asked_for(server, kind):
    server.load("function breaks() { throw new TypeError('of this kind'); }", function("f", FAILS[kind]))
    assert call_error(server, "f") == "TypeError: of this kind"
    with server.setting("redisgears_2.error-verbosity", 2):
        text = call_error(server, "f")
    assert re.match(r"TypeError: of this kind\|.*at breaks \(lib:\d+:\d+\)\|", text)
    assert "<redisgears>" not in text
    assert call_error(server, "f") == "TypeError: of this kind"


def test_an_error_of_a_command_keeps_its_code_also_with_the_stack(server):
    """Clients tell errors apart by their first word."""
    server.load(function("f", "client => { client.call('LPUSH', 'text', 'a'); }"))
    server.run("SET", "text", "a")
    with server.setting("redisgears_2.error-verbosity", 2):
        text = call_error(server, "f")
    assert text.startswith("WRONGTYPE Operation against a key holding the wrong kind of value|")
    assert re.search(r"lib:\d+:\d+", text)


# --- the log --------------------------------------------------------------------------------------------------------

LEVELS = {"debug": ".", "verbose": "-", "notice": "*", "warning": "#"}


@pytest.mark.parametrize("loglevel", LEVELS)
def test_messages_have_levels_and_show_as_the_server_is_told(server, loglevel):
    server.load(
        function(
            "f",
            "() => { for (const level of ['debug', 'verbose', 'notice', 'warning'])"
            " redis.log(`level ${level}`, level); redis.log('level none'); redis.log('end', 'warning'); }",
        ),
    )
    with server.setting("loglevel", loglevel):
        server.call("f")
    server.wait_message("end")
    shown = list(LEVELS)[list(LEVELS).index(loglevel) :]
    lines = re.findall(r"(\S) <redisgears_2> \[lib/f\] level (\w+)", server.log_text())
    expected = [(LEVELS[name], name) for name in shown]
    assert lines == expected + ([("*", "none")] if loglevel != "warning" else [])


@pytest.mark.parametrize("where", ["async", "background"])
def test_messages_of_background_parts_show_too(server, where):
    code = "async () => { redis.log('from there', 'warning'); }"
    server.load(function("f", code if where == "async" else f"client => client.run_on_background({code})"))
    server.call("f")
    assert server.messages("from ") == ["there"]
