"""The examples of key-space triggers do what their first lines say."""

import json

from testing.examples import entries, fcall, load
from testing.replies import fields

# --- write-behind


def table(server):
    """What was carried over."""
    return {key: json.loads(now) for key, now in server.run("HGETALL", "table").items()}


def test_a_change_is_carried_over_when_its_writer_has_the_reply(server):
    load(server, "write-behind")
    server.run("HSET", "product:1", "name", "lamp", "price", 20)
    assert table(server) == {"product:1": {"name": "lamp", "price": "20"}}
    server.run("RENAME", "product:1", "product:2")
    assert table(server) == {"product:2": {"name": "lamp", "price": "20"}}
    server.run("HDEL", "product:2", "name", "price")
    server.run("HGETALL", "product:none")
    assert table(server) == {}
    server.wait(lambda: server.run("XLEN", "changes") == 0, "the stream is not emptied")


def test_changes_wait_in_order_while_the_table_is_closed(server):
    load(server, "write-behind")
    server.run("SET", "table:closed", "yes")
    for price in (20, 19, 18):
        server.run("HSET", "product:1", "price", price)
    assert [json.loads(change["now"])["price"] for _, change in entries(server, "changes")] == ["20", "19", "18"]
    assert table(server) == {}
    server.run("DEL", "table:closed")
    server.wait(lambda: table(server) == {"product:1": {"price": "18"}}, lambda: table(server))
    server.wait(lambda: server.run("XLEN", "changes") == 0, "the stream is not emptied")


def test_changes_that_waited_are_carried_over_after_a_crash(start_server):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    load(server, "write-behind")
    server.run("SET", "table:closed", "yes")
    server.run("HSET", "product:1", "price", 20)
    server.run("DEL", "product:1")
    server.run("HSET", "product:2", "price", 7)
    server.restart()
    assert table(server) == {}
    server.run("DEL", "table:closed")
    server.wait(lambda: table(server) == {"product:2": {"price": "7"}}, lambda: table(server))


def test_a_product_that_is_overwritten_is_none_any_more(server):
    load(server, "write-behind")
    server.run("HSET", "product:1", "price", 20)
    assert table(server) == {"product:1": {"price": "20"}}
    server.run("SET", "product:1", "a string")
    assert table(server) == {}


# --- secondary-index


def live_in(server, city):
    """Who lives there."""
    return set(fcall(server, "cities", "find", 0, city))


def test_the_index_has_followed_when_the_writer_has_the_reply(server):
    assert load(server, "secondary-index") == "cities"
    server.run("HSET", "user:1", "name", "Anna", "city", "Lund")
    server.run("HSET", "user:2", "name", "Bert", "city", "Lund")
    assert live_in(server, "Lund") == {"user:1", "user:2"}
    server.run("HSET", "user:2", "city", "Oslo")
    assert (live_in(server, "Lund"), live_in(server, "Oslo")) == ({"user:1"}, {"user:2"})
    server.run("RENAME", "user:2", "user:3")
    assert live_in(server, "Oslo") == {"user:3"}
    server.run("HDEL", "user:3", "city")
    assert live_in(server, "Oslo") == set()
    server.run("DEL", "user:1")
    server.run("HGETALL", "user:1")
    assert live_in(server, "Lund") == set()
    assert server.run("KEYS", "city:*") == []


def test_the_index_forgets_users_that_expire_or_are_overwritten(server):
    load(server, "secondary-index")
    for number in (1, 2):
        server.run("HSET", f"user:{number}", "city", "Lund")
    server.run("SET", "user:1", "a string")
    assert live_in(server, "Lund") == {"user:2"}
    server.run("PEXPIRE", "user:2", 1)
    server.wait(lambda: live_in(server, "Lund") == set(), "it does not expire")


def test_within_a_transaction_the_last_city_counts(server):
    load(server, "secondary-index")
    pipeline = server.client.pipeline(transaction=True)
    for city in ("Lund", "Oslo", "Lund", "Bergen"):
        pipeline.hset("user:1", "city", city)
    pipeline.execute()
    assert (live_in(server, "Lund"), live_in(server, "Oslo"), live_in(server, "Bergen")) == (set(), set(), {"user:1"})


def test_users_that_were_there_before_the_library_are_found(server):
    for number in range(1000):
        server.run("HSET", f"user:{number}", "city", f"city {number % 3}")
    server.run("SET", "user:none", "a string")
    load(server, "secondary-index")
    expected = {f"user:{number}" for number in range(1, 1000, 3)}
    server.wait(lambda: live_in(server, "city 1") == expected, lambda: len(live_in(server, "city 1")))


def test_what_is_not_text_keeps_no_other_user_out_of_the_index(server):
    server.run("HSET", b"user:\xff", "city", "Lund")
    server.run("HSET", "user:1", "city", b"\xff")
    server.run("HSET", "user:2", "city", "Lund")
    load(server, "secondary-index")
    server.wait(lambda: live_in(server, "Lund") == {"user:2"}, lambda: live_in(server, "Lund"))


def test_what_changed_while_there_was_no_library_is_found(server):
    load(server, "secondary-index")
    for number in range(300):
        server.run("HSET", f"user:{number}", "city", "Lund")
    server.run("RG.FUNCTION", "DEL", "cities")
    server.run("DEL", *[f"user:{number}" for number in range(298)])
    server.run("HSET", "user:298", "city", "Oslo")
    load(server, "secondary-index")
    server.wait(lambda: live_in(server, "Lund") == {"user:299"}, lambda: live_in(server, "Lund"))
    assert live_in(server, "Oslo") == {"user:298"}


def test_primary_and_replica_have_the_same_index(pair):
    load(pair, "secondary-index")
    for number in range(100):
        pair.run("HSET", f"user:{number % 20}", "city", f"city {number % 7}")
    pair.wait(lambda: pair.run("DEBUG", "DIGEST") == pair.replica.run("DEBUG", "DIGEST"), "they differ")
    assert live_in(pair.replica, "city 1") == live_in(pair, "city 1") != set()


# --- expiry-audit


def test_only_sessions_that_ran_out_are_written_down(server):
    library = load(server, "expiry-audit")
    server.run("SET", "session:anna", "data", "PX", 1)
    server.run("SET", "session:bert", "data", "EX", 100)
    server.run("DEL", "session:bert")
    server.run("SET", "other", "data", "PX", 1)
    server.wait(lambda: server.run("DBSIZE") == 1, "they do not expire")
    server.wait(lambda: server.run("EXISTS", "expired") == 1, "nothing is written down")
    assert [entry for _, entry in entries(server, "expired")] == [{"key": "session:anna"}]
    [reply] = server.run("RG.FUNCTION", "LIST", "v", "LIBRARY", library)
    assert fields(fields(reply)["notifications_consumers"][0])["num_triggered"] == 1


def test_the_name_of_a_session_need_not_be_text(server):
    load(server, "expiry-audit")
    client = server.connect(decode_responses=False)
    client.set(b"session:\xff", "data", px=1)
    server.wait(lambda: client.exists("expired") == 1, "nothing is written down")
    [(_, entry)] = client.xrange("expired")
    assert entry == {b"key": b"session:\xff"}


# --- expired-values


def test_values_of_sessions_that_expired_are_written_down_and_of_no_others(server):
    load(server, "expired-values")
    server.run("SET", "session:anna", "cart:17", "PX", 100)
    server.run("SET", "session:bert", "cart:18", "PX", 100_000)
    server.run("SET", "session:carl", "cart:19", "EX", 100)
    server.run("SET", "session:dora", "cart:20", "EX", 100)
    server.run("DEL", "session:bert")
    server.run("PERSIST", "session:carl")
    server.run("APPEND", "session:dora", "0")
    server.run("PEXPIRE", "session:dora", 100)
    server.wait(lambda: len(entries(server, "ended")) == 2, lambda: entries(server, "ended"))
    found = sorted((entry["key"], entry["value"]) for _, entry in entries(server, "ended"))
    assert found == [("session:anna", "cart:17"), ("session:dora", "cart:200")]
    assert server.run("KEYS", "copy:*") == []
