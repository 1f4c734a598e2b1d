"""The examples of stream consumers do what their first lines say."""

import struct

import pytest
from redis import ResponseError

from testing.examples import entries, load

# --- quickstart


def test_the_quick_start_logs_each_entry(server):
    load(server, "quickstart")
    entry_id = server.run("XADD", "stream:1", "*", "foo1", "bar1")
    ms, seq = entry_id.split("-")
    assert server.messages() == [f'{{"id":["{ms}","{seq}"],"stream_name":"stream:1","record":[["foo1","bar1"]]}}']


# --- async-window


def test_a_webhook_that_is_not_valid_fails_on_its_own(server):
    library = load(server, "async-window")
    for payload in ('{"event":"order.paid","amount":1250}', '{"event":', '{"event":1}', '{"event":"order.sent"}'):
        server.run("XADD", "webhook:shop", "*", "payload", payload)
    server.wait(lambda: server.stream("webhook:shop", "check", library)["total_record_processed"] == 4)
    assert server.messages() == ["webhook:shop: order.paid", "webhook:shop: order.sent"]
    assert server.stream("webhook:shop", "check", library)["last_error"] == "Error: the payload names no event"


# --- binary


def test_a_sensors_sample_is_read_from_its_bytes(server):
    library = load(server, "binary")
    server.run("XADD", "sensor:1", "*", "sample", struct.pack(">f", 123.456))
    assert server.messages() == ["sensor:1 sample 123.456"]
    server.run("XADD", "sensor:1", "*", "sample", b"\x00")
    error = server.stream("sensor:1", "decode", library)["last_error"]
    assert error == "Error: sample: 4 bytes expected, 1 found"


# --- config


def test_the_configuration_says_what_is_watched(server):
    load(server, "config", "CONFIG", '{"prefix":"meter:","limit":90}')
    server.run("XADD", "meter:boiler", "*", "degrees", 71)
    server.run("XADD", "meter:boiler", "*", "degrees", 95)
    assert server.messages() == ["meter:boiler: degrees is 95, above 90"]


def test_a_wrong_configuration_is_found_when_the_library_is_loaded(server):
    with pytest.raises(ResponseError, match='"limit" must be a number'):
        load(server, "config", "CONFIG", '{"limit":"much"}')
    assert server.libraries() == []


# --- trim


def test_a_queue_is_emptied_when_both_consumers_are_done(server):
    load(server, "trim")
    server.run("XADD", "visits:eu", "*", "page", "/home")
    server.run("XADD", "visits:eu", "*", "page", "/home")
    server.wait(lambda: server.run("XLEN", "visits:eu") == 0, "the trim is missing")
    counts = [message for message in server.messages() if not message.startswith("audit")]
    assert counts == ["/home: 1 visits", "/home: 2 visits"]
    assert len(server.messages("audit: visits:eu ")) == 2


# --- enrichment


def test_an_entry_is_enriched_when_its_writer_has_the_reply(server):
    load(server, "enrichment")
    server.run("HSET", "user:7", "name", "Anna", "country", "SE")
    entry_id = server.run("XADD", "purchase:web", "*", "user", 7, "item", "lamp")
    expected = {"user": "7", "item": "lamp", "name": "Anna", "country": "SE", "id": entry_id}
    assert [copied for _, copied in entries(server, "enriched:purchase:web")] == [expected]


def test_an_entry_of_somebody_unknown_is_copied_all_the_same(server):
    load(server, "enrichment")
    entry_id = server.run("XADD", "purchase:web", "*", "item", "lamp")
    [(_, copied)] = entries(server, "enriched:purchase:web")
    assert copied == {"item": "lamp", "name": "unknown", "country": "unknown", "id": entry_id}


def test_values_that_are_not_text_are_copied_as_they_are(server):
    load(server, "enrichment")
    client = server.connect(decode_responses=False)
    client.execute_command("XADD", "purchase:web", "*", "user", 7, b"\xff\x00", b"\x00\xfe")
    [(_, copied)] = client.xrange("enriched:purchase:web")
    assert copied[b"\xff\x00"] == b"\x00\xfe"


def copied_from(server):
    """The IDs of the entries that were copied, in the order of the copies."""
    return [copied["id"] for _, copied in entries(server, "enriched:purchase:web")]


def test_entries_that_come_again_are_not_copied_twice(server):
    library = load(server, "enrichment")
    ids = [server.run("XADD", "purchase:web", "*", "user", user, "item", "lamp") for user in range(3)]
    server.run("RG.FUNCTION", "DEL", library)
    load(server, "enrichment")
    server.wait(lambda: server.stream("purchase:web", "enrich", library).get("total_record_processed") == 3)
    assert copied_from(server) == ids
    assert server.stream("purchase:web", "enrich", library)["last_error"] == "None"


def test_what_goes_wrong_while_an_entry_is_enriched_is_noted(server):
    library = load(server, "enrichment")
    server.run("SET", "user:7", "no hash")
    server.run("XADD", "purchase:web", "*", "user", 7)
    assert server.stream("purchase:web", "enrich", library)["last_error"].startswith("WRONGTYPE ")
    assert server.run("EXISTS", "enriched:purchase:web") == 0


def test_an_entry_that_failed_is_copied_behind_later_ones_when_it_is_handed_over_once_more(server):
    library = load(server, "enrichment")
    server.run("SET", "user:7", "no hash")
    server.run("XADD", "purchase:web", "1-1", "user", 7)
    server.run("XADD", "purchase:web", "2-1", "user", 8)
    server.wait(lambda: server.run("XLEN", "not-enriched") == 1, "there is no letter")
    assert copied_from(server) == ["2-1"]
    server.run("DEL", "user:7")
    assert server.run("RG.CONSUMER", "REDRIVE", library, "enrich", "STREAM", "purchase:web") == 1
    server.wait(lambda: server.run("XLEN", "not-enriched") == 0, "the letter stays")
    assert copied_from(server) == ["2-1", "1-1"]


def test_streams_have_entries_of_the_same_id_and_both_are_copied(server):
    load(server, "enrichment")
    for name in ("purchase:web", "purchase:shop"):
        server.run("XADD", name, "1-1", "user", 7)
        assert [copied["id"] for _, copied in entries(server, f"enriched:{name}")] == ["1-1"]


def test_who_goes_back_in_a_stream_gets_what_is_missing_and_nothing_twice(server):
    library = load(server, "enrichment")
    for number in (1, 2, 3):
        server.run("XADD", "purchase:web", f"{number}-1", "user", number)
    [_, (second, _), _] = entries(server, "enriched:purchase:web")
    assert server.run("RG.CONSUMER", "SEEK", library, "enrich", "STREAM", "purchase:web", "earliest") == "OK"
    server.wait(lambda: server.stream("purchase:web", "enrich", library)["total_record_processed"] == 6)
    assert copied_from(server) == ["1-1", "2-1", "3-1"]

    server.run("XDEL", "enriched:purchase:web", second)
    server.run("DEL", "done:enrich:2-1")
    server.run("RG.CONSUMER", "SEEK", library, "enrich", "STREAM", "purchase:web", "earliest")
    server.wait(lambda: server.stream("purchase:web", "enrich", library)["total_record_processed"] == 9)
    assert copied_from(server) == ["1-1", "3-1", "2-1"]


def test_the_enriched_stream_reaches_a_replica(pair):
    load(pair, "enrichment")
    pair.run("HSET", "user:7", "name", "Anna", "country", "SE")
    pair.run("XADD", "purchase:web", "*", "user", 7)
    expected = entries(pair, "enriched:purchase:web")
    assert len(expected) == 1
    pair.wait(lambda: entries(pair.replica, "enriched:purchase:web") == expected, "the replica has no such entry")


def test_once_bills_each_order_once_whatever_comes_again(server):
    assert load(server, "once") == "billing"
    for amount in [5, 7, "much"]:
        server.run("XADD", "order:1", "*", "amount", amount)
    server.wait(lambda: server.run("XLEN", "bad-orders") == 1, lambda: server.run("GET", "revenue"))
    assert server.run("GET", "revenue") == "12"
    server.run("RG.CONSUMER", "SEEK", "billing", "bill", "STREAM", "order:1", "earliest")
    server.wait(lambda: server.run("XLEN", "bad-orders") == 2, lambda: server.run("GET", "revenue"))
    assert server.run("GET", "revenue") == "12"
    assert server.run("ZCARD", "rg.once:{order:1}:billing:bill") == 2


# --- router


def customers_order(server, customer, item):
    """Adds an order; gives its ID."""
    return server.run("XADD", "orders:web", "*", "customer", customer, "item", item)


def items_of(server, customer):
    """What the stream of a customer has."""
    return [entry["item"] for _, entry in entries(server, f"customer:{{{customer}}}")]


def test_orders_are_handed_over_to_their_customers_once_and_in_order(server):
    load(server, "router")
    for number in range(20):
        customers_order(server, ("anna", "bert")[number % 2], number)
    even, odd = ([str(number) for number in range(start, 20, 2)] for start in (0, 1))
    server.wait(lambda: (items_of(server, "anna"), items_of(server, "bert")) == (even, odd))
    server.run("RG.CONSUMER", "SEEK", "router", "route", "STREAM", "orders:web", "earliest")
    server.wait(lambda: server.stream("orders:web", "route", "router")["total_record_processed"] == 40)
    assert (items_of(server, "anna"), items_of(server, "bert")) == (even, odd)


def test_an_order_that_names_no_customer_is_kept_and_the_others_go_on(server):
    load(server, "router")
    for customer in ("", "a}b"):
        customers_order(server, customer, "lamp")
    customers_order(server, "anna", "chair")
    server.wait(lambda: items_of(server, "anna") == ["chair"])
    server.wait(lambda: server.run("XLEN", "not-routed:{orders:web}") == 2)
