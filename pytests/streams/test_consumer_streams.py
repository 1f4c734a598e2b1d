"""RG.CONSUMER STREAMS: the streams of a consumer, a page at a time."""

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.policies import command, load_attempting, make_fail, wait_info
from testing.replies import fields
from testing.wire import Wire

FIELDS = ["name", "db", "state", "position", "pending", "behind_ms", "processed", "last_error"]
NAMES = [f"stream:{number}" for number in range(25)]


def page(server, *words, client=None):
    """The cursor, and the streams as dictionaries."""
    run = client.execute_command if client else server.run
    cursor, rows = run("RG.CONSUMER", "STREAMS", "lib", "consumer", *words)
    return int(cursor), [fields(row) for row in rows]


def names(rows):
    return [row["name"] for row in rows]


def pages(server, *words):
    """The streams of all pages together."""
    cursor, found = 0, []
    while True:
        cursor, rows = page(server, "CURSOR", cursor, *words)
        found += rows
        if cursor == 0:
            return found


@pytest.fixture
def many(server):
    server.load(consumer())
    for name in NAMES:
        server.add(name, 1)
    wait_info(server, processed=len(NAMES))
    return server


def test_pages_show_every_stream_once_the_latest_first(many):
    cursor, rows = page(many, "COUNT", 10)
    assert names(rows) == NAMES[:14:-1] and cursor > 0
    assert names(pages(many, "COUNT", 10)) == NAMES[::-1]
    assert names(pages(many, "COUNT", 1)) == NAMES[::-1]
    assert page(many, "COUNT", len(NAMES))[0] == 0
    assert names(page(many)[1]) == NAMES[::-1]


def test_what_comes_and_goes_between_pages_does_not_disturb_the_others(many):
    cursor, rows = page(many, "COUNT", 10)
    many.client.delete(NAMES[0], rows[-1]["name"], NAMES[20])
    many.add("stream:new", 1)
    many.client.rename(NAMES[3], "stream:other")
    found = names(rows)
    while cursor:
        cursor, rows = page(many, "CURSOR", cursor, "COUNT", 4)
        found += names(rows)
    expected = [name for name in NAMES[::-1] if name != NAMES[0]]
    assert found == ["stream:other" if name == NAMES[3] else name for name in expected]


def test_a_row_says_how_it_stands(many):
    (row,) = [row for row in page(many)[1] if row["name"] == NAMES[7]]
    assert list(row) == FIELDS
    assert (row["db"], row["state"], row["pending"], row["processed"]) == (0, "running", 0, 1)
    assert (row["behind_ms"], row["last_error"]) == (0, "None")
    assert row["position"] == many.client.xinfo_stream(NAMES[7])["last-generated-id"]


def test_streams_of_all_databases_are_shown(many):
    client = many.connect(db=3)
    client.xadd("stream:far", {"a": 1})
    wait_info(many, processed=len(NAMES) + 1)
    assert page(many, "COUNT", 1)[1][0]["db"] == 3


def test_rows_are_maps_in_resp3(many):
    for protocol, row in ((3, b"%8"), (2, b"*16")):
        with Wire(many.port, protocol) as wire:
            sent = wire.call("RG.CONSUMER", "STREAMS", "lib", "consumer", "COUNT", "1")
            head = sent.split(b"\r\n")
            assert head[0] == b"*2" and head[1].startswith(b"$") and head[3:5] == [b"*1", row]


def test_match_takes_the_servers_patterns(many):
    assert names(pages(many, "MATCH", "*:1?")) == [f"stream:1{digit}" for digit in range(9, -1, -1)]
    assert names(pages(many, "MATCH", "stream:[1-3]", "COUNT", 2)) == ["stream:3", "stream:2", "stream:1"]
    assert pages(many, "MATCH", "nothing") == []


def test_state_shows_the_streams_that_are_held_up_so(server):
    load_attempting(server, on_failure="abort")
    make_fail(server, "bad")
    for name in NAMES:
        server.add(name, "good")
    wait_info(server, processed=len(NAMES))
    server.add(NAMES[4], "bad")
    server.add(NAMES[9], "bad")
    server.wait(lambda: len(pages(server, "STATE", "aborted")) == 2, lambda: pages(server))
    command(server, "PAUSE", "STREAM", NAMES[11])
    wait_info(server, state="aborted")
    aborted = pages(server, "STATE", "aborted", "COUNT", 1)
    assert names(aborted) == [NAMES[9], NAMES[4]]
    assert all("no bad" in row["last_error"] for row in aborted)
    assert names(pages(server, "STATE", "paused")) == [NAMES[11]]
    assert pages(server, "STATE", "waiting") == []
    assert len(pages(server, "STATE", "RUNNING", "COUNT", 3)) == len(NAMES) - 3
    command(server, "RESUME")
    assert names(pages(server, "STATE", "paused", "MATCH", "*1")) == [NAMES[11]]


def test_a_stream_that_waits_for_a_retry_is_found(server):
    load_attempting(server, on_failure="retry", retry_interval=3_600_000)
    make_fail(server, "bad")
    for name in NAMES:
        server.add(name, "good")
    server.add(NAMES[5], "bad")
    wait_info(server, state="waiting")
    (row,) = pages(server, "STATE", "waiting")
    assert (row["name"], row["pending"]) == (NAMES[5], 1)


def test_by_lag_those_furthest_behind_come_first(many):
    order = [NAMES[8], NAMES[15], NAMES[2]]
    for name in order:
        command(many, "PAUSE", "STREAM", name)
    for number, name in enumerate(order):
        many.add(name, 2)
        many.wait(lambda number=number: [row["behind_ms"] > 1 for row in page(many, "BYLAG")[1]] == [True] * (number + 1))
    cursor, rows = page(many, "BYLAG")
    assert (cursor, names(rows)) == (0, order)
    lags = [row["behind_ms"] for row in rows]
    assert lags == sorted(lags, reverse=True)
    assert names(page(many, "BYLAG", "COUNT", 1)[1]) == [NAMES[8]]
    assert names(page(many, "MATCH", "*5", "BYLAG")[1]) == [NAMES[15]]
    for name in order:
        command(many, "RESUME", "STREAM", name)
    many.wait(lambda: page(many, "BYLAG")[1] == [], lambda: page(many, "BYLAG"))


def test_a_stream_that_has_caught_up_is_not_behind(many):
    command(many, "PAUSE")
    many.add(NAMES[1], 2)
    assert names(page(many, "BYLAG")[1]) == [NAMES[1]]
    command(many, "RESUME")
    wait_info(many, processed=len(NAMES) + 1)
    many.wait(lambda: page(many, "BYLAG")[1] == [], lambda: page(many, "BYLAG"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["CURSOR"], "syntax error"),
        (["CURSOR", "x"], "invalid cursor"),
        (["CURSOR", "-1"], "invalid cursor"),
        (["CURSOR", "99999999999999999999"], "invalid cursor"),
        (["COUNT", "0"], "COUNT must be between 1 and 1000"),
        (["COUNT", "1001"], "COUNT must be between 1 and 1000"),
        (["COUNT", "+5"], "COUNT must be between 1 and 1000"),
        (["STATE", "well"], "no such state 'well'"),
        (["MATCH"], "syntax error"),
        (["STREAM", "stream:1"], "syntax error"),
        (["BYLAG", "CURSOR", "0"], "BYLAG takes no CURSOR"),
    ],
)
def test_wrong_arguments_are_refused(many, words, message):
    with pytest.raises(ResponseError, match=message):
        page(many, *words)


def test_what_is_not_there_is_refused(many):
    for names_, message in (
        (("none", "consumer"), "no such library"),
        (("lib", "none"), "has no stream consumer"),
    ):
        with pytest.raises(ResponseError, match=message):
            many.run("RG.CONSUMER", "STREAMS", *names_)
    with pytest.raises(ResponseError, match="wrong number of arguments"):
        many.run("RG.CONSUMER", "STREAMS", "lib")


def test_a_cursor_that_no_page_gave_leads_to_what_is_before(many):
    assert names(page(many, "CURSOR", 2**63)[1]) == NAMES[::-1]
    assert page(many, "CURSOR", 1) == (0, [])
