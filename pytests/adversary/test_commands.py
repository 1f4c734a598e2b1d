"""Hostile uses of commands."""

import re

import pytest
from redis import ResponseError

from testing.adversary import IN_TIME, LIMITED, LONG_MS, PLACES, define

MODULE_ARGS = LIMITED

WORDS = [
    define("(client, ...words) => client.call(...words)", "function"),
    define("async (outer, ...words) => outer.block(client => client.call(...words))", "block"),
]

# Commands that would end, stop or take over the server, or hold the client of a script.
NOT_FOR_SCRIPTS = """
SHUTDOWN|SHUTDOWN NOSAVE|SHUTDOWN ABORT|DEBUG SEGFAULT|DEBUG SLEEP 10|DEBUG RELOAD|DEBUG PANIC|SAVE|BGSAVE|BGREWRITEAOF
SUBSCRIBE a|PSUBSCRIBE *|SSUBSCRIBE a|UNSUBSCRIBE|MULTI|EXEC|DISCARD|WATCH a|UNWATCH|MONITOR|RESET|QUIT|HELLO 3|AUTH default x
EVAL return 0|EVALSHA a 0|EVAL_RO return 0|FCALL a 0|FCALL_RO a 0|SCRIPT FLUSH|SCRIPT KILL|FUNCTION FLUSH|FUNCTION LIST
CONFIG GET *|CONFIG SET maxmemory 1|CONFIG REWRITE|CONFIG RESETSTAT|ACL SETUSER default off|ACL LIST|ACL WHOAMI
CLIENT KILL TYPE normal|CLIENT PAUSE 10000|CLIENT REPLY OFF|CLIENT LIST|CLIENT TRACKING ON|CLIENT NO-EVICT ON|CLIENT ID
REPLICAOF 127.0.0.1 1|SLAVEOF 127.0.0.1 1|REPLCONF listening-port 1|SYNC|PSYNC ? -1|FAILOVER|ROLE|CLUSTER RESET
MODULE LIST|MODULE LOAD /tmp/x|MODULE UNLOAD redisgears_2|LATENCY RESET|SELECT 1
RG.FUNCTION LIST|RG.FUNCTION DEL bystander|RG.FUNCTION LOAD x|RG.FCALL lib function 0 PING|RG.FCALLASYNC lib function 0 PING
RG.CONFIG SET lock-redis-timeout 1000000|RG.CONFIG GET lock-redis-timeout
"""


@pytest.mark.parametrize("place", ["function", "block"])
def test_commands_that_are_not_for_scripts_are_refused(hostile, place):
    server = hostile.server
    server.load(*WORDS)
    server.run("SET", "key", "kept")
    hostile.limit(500)
    for line in NOT_FOR_SCRIPTS.strip().splitlines():
        for command in line.split("|"):
            error = hostile.fails(*command.split(), function=place)
            assert re.search("not allowed|disabled", error), (command, error)
    assert server.run("CONFIG", "GET", "maxmemory") == ["maxmemory", "0"]
    assert server.client.info("replication")["role"] == "master"
    assert server.libraries() == ["bystander", "lib"]
    assert server.run("GET", "key") == "kept"


# What would wait returns at once, or is refused.
WAITING = """
BLPOP nothing 0|BRPOP nothing 0|BLMOVE nothing other LEFT LEFT 0|BLMPOP 0 1 nothing LEFT|BZPOPMIN nothing 0|BZMPOP 0 1 nothing MIN
XREAD BLOCK 0 STREAMS nothing $|XREADGROUP GROUP g c BLOCK 0 STREAMS nothing >|WAIT 1 0|WAITAOF 1 0 0|BRPOPLPUSH nothing other 0
"""


@pytest.mark.parametrize("place", ["function", "block"])
def test_commands_that_wait_do_not_wait_in_a_script(hostile, place):
    hostile.server.load(*WORDS)
    hostile.limit(LONG_MS)
    hostile.patience = IN_TIME
    for line in WAITING.strip().splitlines():
        for command in line.split("|"):
            try:
                assert hostile.call(*command.split(), function=place) in (None, [], 0, [0, 0]), command
            except ResponseError as error:
                assert re.search("not allowed|NOGROUP|unknown command|WAITAOF", str(error)), command


NO_COMMANDS = {
    "no arguments": ("", "Wrong number of arguments to 'call' function"),
    "NUL in the name": ("'GE\\0T', 'x'", "NUL"),
    "NUL at the end": ("'GET\\0', 'x'", "NUL"),
    "no name": ("''", "unknown command"),
    "an unknown command": ("'NOSUCH', 'x'", "unknown command"),
    "two words in the name": ("'CONFIG GET', 'maxmemory'", "unknown command"),
    "line ends in the name": ("'x\\r\\n+OK\\r\\n'", "unknown command"),
    "a long name": ("'x'.repeat(1e7)", "unknown command"),
    "a name in bytes that are no text": ("'\\ud800'", "unknown command"),
    "too few arguments": ("'GET'", "wrong number of arguments"),
    "too many arguments": ("'GET', 'a', 'b'", "wrong number of arguments"),
    "a number as the name": ("1, 'x'", "First argument to 'command' must be a string"),
    "undefined": ("'ECHO', undefined", "Bad argument was given to 'call'"),
    "null": ("'ECHO', null", "Bad argument was given to 'call'"),
    "an object": ("'ECHO', {}", "Bad argument was given to 'call'"),
    "a list": ("'ECHO', ['x']", "Bad argument was given to 'call'"),
    "a symbol": ("'ECHO', Symbol('x')", "Bad argument was given to 'call'"),
    "a function": ("'ECHO', () => 1", "Bad argument was given to 'call'"),
    "a Proxy that loops": ("'ECHO', new Proxy(new String('x'), { get() { for (;;); } })", "Bad argument was given to 'call'"),
    "a text that throws": ("'ECHO', Object.assign(new String('x'), { toString() { throw null; } })", "null"),
    "a text that throws a symbol": (
        "'ECHO', Object.assign(new String('x'), { toString() { throw Symbol('x'); } })",
        "Symbol",
    ),
}


@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", NO_COMMANDS)
def test_what_is_no_command_is_an_error(hostile, what, place, method):
    words, error = NO_COMMANDS[what]
    hostile.limit(500)
    hostile.server.load(PLACES[place].replace("CODE", f"return client.{method}({words});"))
    message = hostile.fails()
    assert error in message
    assert len(message) < 1000


def test_a_buffer_that_changes_while_its_words_are_read_does_no_harm(hostile):
    hostile.server.load(
        define(
            """client => {
                const buffer = new ArrayBuffer(1 << 20);
                const word = new String('x');
                word.toString = () => { buffer.transfer(); return 'second'; };
                client.call('MSET', 'first', buffer, word, buffer);
            }"""
        )
    )
    assert "The ArrayBuffer was detached" in hostile.fails()
    assert hostile.server.run("EXISTS", "first", "second") == 0
