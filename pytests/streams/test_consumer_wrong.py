"""Wrong uses of RG.CONSUMER, and who may use it: a clear error each, and nothing changed."""

import re

import pytest
from redis import ResponseError
from redis.exceptions import NoPermissionError, ReadOnlyError

from testing.libraries import consumer
from testing.policies import command, info, policy
from testing.wire import Wire

STREAM = ["STREAM", "stream"]
WORDS = {
    "pause": [],
    "resume": [],
    "seek": [*STREAM, "earliest"],
    "retry": STREAM,
    "redrive": STREAM,
    "info": [],
}


def arity(word):
    return re.escape(f"wrong number of arguments for 'rg.consumer|{word}' command")


WRONG = {
    "no subcommand": ([], "wrong number of arguments for 'rg.consumer' command"),
    "an unknown subcommand": (["NOSUCH", "lib", "consumer"], "(?i:unknown subcommand)"),
    **{f"{word} alone": ([word], arity(word)) for word in WORDS},
    **{f"{word} without a consumer": ([word, "lib"], arity(word)) for word in WORDS},
    **{f"{word} without a stream": ([word, "lib", "consumer"], arity(word)) for word in ("seek", "retry")},
    "seek without a place": (["seek", "lib", "consumer", *STREAM], arity("seek")),
    **{
        f"{word} in no library": ([word, "x", "consumer", *more], "no such library 'x'")
        for word, more in WORDS.items()
    },
    **{
        f"{word} of no consumer": ([word, "lib", "y", *more], "library 'lib' has no stream consumer 'y'")
        for word, more in WORDS.items()
    },
    **{
        f"{word} of no stream": (
            [word, "lib", "consumer", "STREAM", "stream:z", *more[2:]],
            "consumer 'consumer' knows no stream 'stream:z'",
        )
        for word, more in WORDS.items()
    },
    **{
        f"{word} of a stream that does not match": (
            [word, "lib", "consumer", "STREAM", "elsewhere", *more[2:]],
            "consumer 'consumer' knows no stream 'elsewhere'",
        )
        for word, more in WORDS.items()
    },
    **{
        f"{word} of a key that is no stream": (
            [word, "lib", "consumer", "STREAM", "stream:text", *more[2:]],
            "consumer 'consumer' knows no stream 'stream:text'",
        )
        for word, more in WORDS.items()
    },
    **{
        f"{word} with another word": ([word, "lib", "consumer", "KEY", "stream", *more[2:]], "syntax error")
        for word, more in WORDS.items()
    },
    **{
        f"{word} with STREAM and no key": ([word, "lib", "consumer", "STREAM"], f"syntax error|{arity(word)}")
        for word in ("pause", "resume", "info")
    },
    **{
        f"{word} with more behind": ([word, "lib", "consumer", *STREAM, "more"], f"syntax error|{arity(word)}")
        for word in ("pause", "resume", "info", "retry", "redrive")
    },
    "seek with more behind": (["seek", "lib", "consumer", *STREAM, "earliest", "x"], f"syntax error|{arity('seek')}"),
    **{
        f"seek to {place}": (["seek", "lib", "consumer", *STREAM, place], f"invalid stream ID '{re.escape(place)}'")
        for place in ("q", "", "5-", "-5", "5-1-1", "5-x", "18446744073709551616-0")
    },
    "redrive COUNT without a number": (["redrive", "lib", "consumer", *STREAM, "COUNT"], "syntax error|wrong number"),
    "redrive without dead letters": (
        ["redrive", "lib", "other", "STREAM", "elsewhere"],
        "consumer 'other' has no dead letter stream",
    ),
}


@pytest.fixture
def standing(server):
    """A server with a consumer that must be as it was, and work, after the wrong use."""
    server.load(*policy(consumer(options={"dead_letter": "dead"}), consumer("other", "elsewhere")))
    server.add("stream", "before")
    server.add("elsewhere", 1)
    server.run("SET", "stream:text", 1)
    before = server.run("RG.FUNCTION", "LIST", "vvv")
    yield server
    assert server.run("RG.FUNCTION", "LIST", "vvv") == before
    server.add("stream", "after")
    assert [text for text in server.seen() if text.startswith("stream ")] == ["stream before", "stream after"]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_use_is_refused_and_changes_nothing(standing, what):
    words, error = WRONG[what]
    with pytest.raises(ResponseError, match=f"^({error})"):
        standing.run("RG.CONSUMER", *words)


@pytest.mark.parametrize("count", ["0", "-1", "10001", "x", "1.5", ""])
def test_a_wrong_count_is_refused(server, count):
    server.load(*policy(consumer(options={"dead_letter": "dead"})))
    server.add("stream", 1)
    with pytest.raises(ResponseError, match="(?i)count|syntax error|integer|range"):
        command(server, "REDRIVE", "STREAM", "stream", "COUNT", count)
    assert server.seen() == ["stream 1"]


def test_errors_begin_with_err(standing):
    with Wire(standing.port) as wire:
        assert wire.call("RG.CONSUMER", "PAUSE", "x", "consumer") == b"-ERR no such library 'x'\r\n"


def test_help_has_a_line_for_each_subcommand(server):
    lines = server.run("RG.CONSUMER", "HELP")
    assert all(isinstance(line, str) for line in lines)
    text = "\n".join(lines)
    for word in ("PAUSE", "RESUME", "SEEK", "RETRY", "SKIP", "REDRIVE", "REDRIVES", "LETTERS", "DROP", "INFO", "STREAMS", "HELP", "STREAM", "COUNT"):
        assert word in text


@pytest.mark.parametrize("word", [word for word in WORDS if word != "info"])
def test_a_replica_refuses_what_changes_something(pair, word):
    pair.load(*policy(consumer(options={"dead_letter": "dead"})))
    pair.add("stream", 1)
    pair.wait(lambda: pair.replica.run("EXISTS", "stream") == 1, "it does not arrive")
    pair.wait(lambda: pair.replica.libraries() == ["lib"], "it does not arrive")
    with pytest.raises(ReadOnlyError, match="You can't write against a read only replica"):
        command(pair.replica, word.upper(), *WORDS[word])
    assert info(pair.replica)["name"] == "consumer"
    assert info(pair.replica, "stream")["name"] == "stream"
    assert "PAUSE" in "\n".join(pair.replica.run("RG.CONSUMER", "HELP"))


def test_rights_can_be_given_for_each_subcommand(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 1)
    server.run("ACL", "SETUSER", "watcher", "reset", "on", ">pw", "~*", "+rg.consumer|info")
    try:
        watcher = server.connect(username="watcher", password="pw")
        assert info(server, client=watcher)["state"] == "running"
        for word, more in WORDS.items():
            if word != "info":
                with pytest.raises(NoPermissionError):
                    command(server, word, *more, client=watcher)
        with pytest.raises(NoPermissionError):
            command(server, "STREAMS", client=watcher)
        server.run("ACL", "SETUSER", "watcher", "+rg.consumer|streams")
        assert command(server, "STREAMS", client=watcher)
        # Redis 7.0 has no categories for subcommands of modules.
        if "rg.consumer|pause" in server.run("ACL", "CAT", "write"):
            server.run("ACL", "SETUSER", "watcher", "+@all", "-@write")
            with pytest.raises(NoPermissionError):
                command(server, "PAUSE", client=watcher)
    finally:
        server.run("ACL", "DELUSER", "watcher")
    assert info(server)["state"] == "running"
