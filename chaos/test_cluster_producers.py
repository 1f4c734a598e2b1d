"""What was acknowledged by a primary that is gone counts as far as its replica had it."""

import socket

import pytest

from chaos.cluster_producers import Acknowledged, Route

STREAM = "sync:{1}:0"


def acknowledged(*entries):
    found = Acknowledged()
    for entry, route, confirmed in entries:
        found.add(STREAM, entry, route, confirmed)
    return found


def test_all_counts_while_the_primary_is_one():
    route = Route(1)
    found = acknowledged(("5-0", route, False), ("6-0", route, True))
    assert found.kept(STREAM) == ["5-0", "6-0"]
    assert found.lost(STREAM) == ([], [])


def test_what_the_replica_did_not_have_is_lost_also_where_later_entries_came_behind():
    old, new = Route(1), Route(2)
    old.lasts = {STREAM: "5-1"}
    found = acknowledged(("5-0", old, True), ("5-1", old, False), ("5-2", old, False), ("9-0", new, False))
    assert found.kept(STREAM) == ["5-0", "5-1", "9-0"]
    assert found.lost(STREAM) == (["5-2"], [])


def test_what_the_replica_had_confirmed_must_not_be_lost():
    old = Route(1)
    old.lasts = {STREAM: "0-0"}
    assert acknowledged(("5-0", old, True), ("6-0", old, False)).lost(STREAM) == (["5-0", "6-0"], ["5-0"])


def test_what_several_clients_know_is_put_together():
    route = Route(1)
    one, other = acknowledged(("5-0", route, False)), acknowledged(("6-0", route, False))
    other.refused.append("no")
    one.take(other)
    assert (one.kept(STREAM), one.refused) == (["5-0", "6-0"], ["no"])


def test_nobody_connects_to_a_primary_that_is_one_no_more(start_listener):
    route = Route(start_listener)
    connection = route.connect(5)
    route.close()
    assert connection.recv(1) == b""
    with pytest.raises(ConnectionError):
        route.connect(5)


@pytest.fixture
def start_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
