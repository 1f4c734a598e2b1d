"""RG.CONSUMER LETTERS: what dead letters there are, page by page."""

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.policies import (
    add_at_once,
    command,
    dead_letters,
    load_attempting,
    make_fail,
    policy,
    wait_dead_letters,
)
from testing.replication import settle
from testing.replies import fields
from testing.users import People

TO_DEAD = {"dead_letter": "dead"}
# Each entry fails with its first field's value.
FAILS = "(client, data) => { throw data.record.map(pair => pair[1])[0]; }"


@pytest.fixture
def people(server):
    """Users, who are gone after the test."""
    found = People(server)
    yield found
    found.close()
    for name in ("anna", "owner"):
        server.run("ACL", "DELUSER", name)


def letters(node, *more, **named):
    """A page: its cursor and its letters."""
    cursor, found = command(node, "LETTERS", *more, **named)
    return cursor, [fields(one) for one in found]


def next_letters(node, count, cursor="0"):
    """So many letters, and the cursor behind them: a page is shorter where finding them takes long."""
    found = []
    while True:
        cursor, page = letters(node, "CURSOR", cursor, "COUNT", count - len(found))
        found += page
        if len(found) == count or cursor == "0":
            return cursor, found


def all_letters(node, *more):
    """The values of the entries of all pages."""
    cursor, found = "0", []
    while True:
        cursor, page = letters(node, *more, "CURSOR", cursor)
        found += [one["fields"][-1] for one in page]
        if cursor == "0":
            return found


def load_failing(node, *more, **options):
    node.load(*policy(consumer(callback=FAILS, options=TO_DEAD | options), *more))


def test_a_letter_is_shown_with_what_went_wrong_and_the_entry(server):
    load_attempting(server, **TO_DEAD, on_failure="retry", retry_interval=1, max_attempts=2)
    make_fail(server, 1)
    before = server.client.time()[0] * 1000
    server.run("XADD", "stream", "7-3", "n", 1, "other", "ü", "n", "again", "", "")
    server.wait(lambda: dead_letters(server), "no letter")
    [(letter, pairs)] = dead_letters(server)
    cursor, [found] = letters(server)
    assert cursor == "0"
    assert list(found) == [
        *("letter", "dead_letter_stream", "stream", "id", "error", "attempts", "time", "first_time", "redrives"),
        "fields",
        "stack",
    ]
    assert found["letter"] == letter
    assert (found["dead_letter_stream"], found["stream"], found["id"]) == ("dead", "stream", "7-3")
    assert "no 1" in found["error"]
    assert (found["attempts"], found["redrives"]) == (2, 0)
    assert found["time"] == int(dict(pairs)["last_time"])
    assert before <= found["first_time"] <= found["time"]
    assert found["fields"] == ["n", "1", "other", "ü", "n", "again", "", ""]


def test_resp3_clients_get_maps_and_bytes_stay_as_they_are(server):
    load_failing(server)
    client = server.connect(protocol=3, decode_responses=False)
    client.execute_command("XADD", b"stream\xfe", "1-1", b"n", b"\xc3\x28")
    server.wait(lambda: server.run("XLEN", "dead") == 1, "no letter")
    cursor, [found] = client.execute_command("RG.CONSUMER", "LETTERS", "lib", "consumer")
    assert cursor == b"0"
    assert found[b"stream"] == b"stream\xfe"
    assert found[b"fields"] == [b"n", b"\xc3\x28"]


def test_pages_hold_every_letter_once_and_in_order(server):
    load_attempting(server, **TO_DEAD)
    make_fail(server, *range(25))
    add_at_once(server, "stream", range(25))
    wait_dead_letters(server, *range(25))
    cursor, first = next_letters(server, 10)
    assert [one["fields"] for one in first] == [["n", str(n)] for n in range(10)]
    assert cursor == first[-1]["letter"]
    server.run("XDEL", "dead", cursor)
    cursor, second = next_letters(server, 15, cursor)
    assert [one["fields"] for one in second] == [["n", str(n)] for n in range(10, 25)]
    assert cursor == "0"
    assert len(next_letters(server, 1000)[1]) == 24


def test_those_of_one_stream_or_of_one_error_are_found_among_others(server):
    other = consumer("other", "stream", callback="() => { throw new Error('other'); }", options=TO_DEAD)
    load_failing(server, other)
    errors = {"stream:1": ["time out", "no such user: 3"], "stream:2": ["no such user: 4", "no such thing"]}
    for stream, some in errors.items():
        for error in some:
            server.run("XADD", stream, "*", "error", error)
    server.run("XADD", "dead", "*", "no", "letter")
    server.wait(lambda: server.run("XLEN", "dead") == 9, lambda: dead_letters(server))
    assert all_letters(server) == [*errors["stream:1"], *errors["stream:2"]]
    assert all_letters(server, "STREAM", "stream:2") == errors["stream:2"]
    assert all_letters(server, "ERROR", "*no such user*") == ["no such user: 3", "no such user: 4"]
    assert all_letters(server, "stream", "stream:2", "error", "*no such user*") == ["no such user: 4"]
    assert all_letters(server, "ERROR", "nothing") == []
    server.run("DEL", "stream:2")
    assert all_letters(server, "STREAM", "stream:2") == errors["stream:2"]
    assert all_letters(server, "STREAM", "nosuch") == []


def test_what_others_have_in_the_stream_is_passed_over_in_slices(server):
    load_failing(server)
    pipe = server.client.pipeline(transaction=False)
    for at in range(20_000):
        pipe.execute_command("XADD", "dead", "*", "no", at)
    pipe.execute()
    server.run("XADD", "stream", "*", "error", "the one")
    server.wait(lambda: server.run("XLEN", "dead") == 20_001, "no letter")
    assert all_letters(server) == ["the one"]


def test_a_page_of_large_entries_ends_early(server):
    load_failing(server)
    for at in range(4):
        server.run("XADD", "stream", "*", "error", f"e{at}", "large", "x" * 600_000)
    server.wait(lambda: server.run("XLEN", "dead") == 4, "no letters")
    cursor, sizes = "0", []
    while not sizes or cursor != "0":
        cursor, page = letters(server, "CURSOR", cursor)
        sizes.append(len(page))
    assert sum(sizes) == 4
    assert max(sizes) <= 2


def test_a_replica_shows_them_too(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load_failing(primary)
    primary.run("XADD", "stream", "*", "error", "one")
    primary.wait(lambda: primary.run("XLEN", "dead") == 1, "no letter")
    settle(primary, replica)
    assert letters(replica) == letters(primary)


def test_letters_are_those_of_the_selected_database(server):
    load_failing(server)
    other = server.connect(db=3)
    other.execute_command("XADD", "stream", "*", "error", "three")
    server.wait(lambda: other.xlen("dead") == 1, "no letter")
    assert letters(server)[1] == []
    assert letters(server, client=other)[1][0]["fields"] == ["error", "three"]


def test_who_may_not_read_the_dead_letter_stream_sees_none(server, people):
    load_failing(server)
    server.run("XADD", "stream", "*", "error", "one")
    server.wait(lambda: server.run("XLEN", "dead") == 1, "no letter")
    anna = people.make("anna", "+rg.consumer", "~stream*")
    for rights in ([], ["+xrange"], ["-xrange", "%R~dead"]):
        people.change("anna", *rights)
        with pytest.raises(ResponseError, match="NOPERM|No permissions|no permissions") as error:
            letters(server, client=anna)
        assert "anna" in str(error.value) and "dead" in str(error.value) and "XRANGE" in str(error.value)
    people.change("anna", "+xrange")
    assert len(letters(server, client=anna)[1]) == 1
    assert len(letters(server, "STREAM", "stream", client=anna)[1]) == 1
    with pytest.raises(ResponseError, match="(?i)noperm|no permissions"):
        letters(server, "STREAM", "secret", client=anna)


WRONG = {
    "a cursor that is no ID": (["CURSOR", "x"], "^invalid cursor"),
    "a cursor that is negative": (["CURSOR", "-1"], "^invalid cursor"),
    "a binary cursor": (["CURSOR", b"\xff"], "^invalid cursor"),
    "a cursor that is too large": (["CURSOR", "18446744073709551616"], "^invalid cursor"),
    "no value": (["CURSOR"], "^syntax error"),
    "no pattern": (["ERROR"], "^syntax error"),
    "COUNT 0": (["COUNT", 0], "^COUNT must be between 1 and 1000"),
    "COUNT 1001": (["COUNT", 1001], "^COUNT must be between 1 and 1000"),
    "a COUNT that is none": (["COUNT", "+5"], "^COUNT must be between 1 and 1000"),
    "a pattern that is too long": (["ERROR", "*" * 1025], "^a pattern has at most 1024 bytes"),
    "another word": (["NOSUCH", 1], "^syntax error"),
    "a STREAM behind other words": (["COUNT", 1, "STREAM", "stream"], "^syntax error"),
    "a key hidden behind a pattern": (["ERROR", "stream", "STREAM", "secret"], "^syntax error"),
    "a STREAM without key": (["STREAM"], "wrong number of arguments"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_words_are_told(server, what):
    load_failing(server)
    more, error = WRONG[what]
    with pytest.raises(ResponseError, match=error):
        command(server, "LETTERS", *more)


def test_without_such_a_stream_there_is_an_error(server):
    server.load(consumer("plain", callback="() => {}"))
    with pytest.raises(ResponseError, match="^consumer 'plain' has no dead letter stream"):
        command(server, "LETTERS", name="plain")
    with pytest.raises(ResponseError, match="^no such library 'nosuch'"):
        command(server, "LETTERS", library="nosuch")
    with pytest.raises(ResponseError, match="^library 'lib' has no stream consumer 'nosuch'"):
        command(server, "LETTERS", name="nosuch")


def test_a_pattern_that_backtracks_ends(server):
    server.load(*policy(consumer(callback="() => { throw 'a'.repeat(4000); }", options=TO_DEAD)))
    server.add("stream", 1)
    server.wait(lambda: server.run("XLEN", "dead") == 1, "no letter")
    assert letters(server, "ERROR", "*a" * 200 + "*b") == ("0", [])
