"""The libraries in examples/: each is loaded as its first lines say, and does what they say."""

import json
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import ResponseError

from testing.launch import REPOSITORY
from testing.replies import fields

EXAMPLES = REPOSITORY / "examples"
CARD = "4111111111111111"
NO_CARD = "4111111111111112"


def load(server, name, *options):
    """Loads an example; gives the name of its library."""
    code = (EXAMPLES / f"{name}.js").read_text()
    assert server.run("RG.FUNCTION", "LOAD", *options, code) == "OK"
    return code.splitlines()[0].removeprefix("#!js name=")


def fcall(server, *words):
    """Calls a function."""
    return server.run("RG.FCALL", *words)


def at_once(server, *batches):
    """Sends each batch of commands on a connection of its own, all at the same time; the replies of each."""

    def send(commands):
        pipeline = server.connect().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)

    with ThreadPoolExecutor(len(batches)) as threads:
        return list(threads.map(send, batches))


# --- every one of them


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.js")), ids=lambda path: path.stem)
def test_every_example_is_tested_here_and_says_how_to_try_it(path):
    assert f'load(server, "{path.stem}"' in Path(__file__).read_text()
    text = path.read_text()
    assert "//   redis-cli -x RG.FUNCTION LOAD" in text
    assert f"< examples/{path.name}\n" in text


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


# --- rate-limiter


def test_a_caller_is_allowed_as_often_as_the_limit_says(server):
    library = load(server, "rate-limiter")
    replies = [fcall(server, library, "allow", 1, "limit:anna", 3, 60) for _ in range(5)]
    assert [reply[:2] for reply in replies] == [[1, 2], [1, 1], [1, 0], [0, 0], [0, 0]]
    assert [reply[2] for reply in replies[:3]] == [0, 0, 0]
    assert all(0 < reply[2] <= 60_000 for reply in replies[3:])
    assert server.run("ZCARD", "limit:anna") == 3
    assert 0 < server.run("PTTL", "limit:anna") <= 60_000


def test_callers_have_limits_of_their_own(server):
    library = load(server, "rate-limiter")
    assert fcall(server, library, "allow", 1, "limit:anna", 1, 60)[0] == 1
    assert fcall(server, library, "allow", 1, "limit:anna", 1, 60)[0] == 0
    assert fcall(server, library, "allow", 1, "limit:bert", 1, 60)[0] == 1


def test_a_caller_may_come_back_when_the_window_has_passed(server):
    library = load(server, "rate-limiter")
    assert fcall(server, library, "allow", 1, "limit:anna", 1, 1)[0] == 1
    refused = fcall(server, library, "allow", 1, "limit:anna", 1, 1)
    assert refused[0] == 0 and 0 < refused[2] <= 1000
    server.wait(lambda: fcall(server, library, "allow", 1, "limit:anna", 1, 1)[0] == 1, "still refused")


def test_no_caller_is_let_through_between_looking_and_counting(server):
    library = load(server, "rate-limiter")
    calls = [("RG.FCALL", library, "allow", 1, "limit:all", 30, 60)] * 20
    replies = sum(at_once(server, *[calls] * 4), [])
    assert sum(reply[0] for reply in replies) == 30


@pytest.mark.parametrize("arguments", [["0", "60"], ["3", "x"], ["1.5", "60"], ["3"], []])
def test_a_limit_that_is_none_is_refused_and_nothing_counted(server, arguments):
    library = load(server, "rate-limiter")
    with pytest.raises(ResponseError, match="must be a positive whole number"):
        fcall(server, library, "allow", 1, "limit:anna", *arguments)
    assert server.run("EXISTS", "limit:anna") == 0


def test_the_limiter_answers_with_a_boolean_to_a_client_of_resp3(server):
    library = load(server, "rate-limiter")
    client = server.connect(protocol=3)
    assert client.execute_command("RG.FCALL", library, "allow", 1, "limit:anna", 2, 60) == [True, 1, 0]


# --- inventory


def stock(server):
    """How many lamps there are."""
    return int(server.run("HGET", "stock", "lamp"))


@pytest.fixture
def inventory(server):
    """A server with the library and five lamps."""
    assert load(server, "inventory") == "inventory"
    server.run("HSET", "stock", "lamp", 5)
    return server


def order(server, name, count, card=CARD, item="lamp"):
    """Orders so many of an item."""
    return fcall(server, "inventory", "order", 2, "stock", name, item, count, card)


def test_an_order_that_is_paid_takes_its_goods(inventory):
    reply = order(inventory, "order:1", 2)
    assert fields(reply) == {"item": "lamp", "count": "2", "state": "paid"}
    assert stock(inventory) == 3
    assert inventory.run("HGET", "order:1", "state") == "paid"


def test_an_order_whose_payment_is_refused_gives_its_goods_back(inventory):
    with pytest.raises(ResponseError, match="^Error: the payment was refused$"):
        order(inventory, "order:2", 2, NO_CARD)
    assert stock(inventory) == 5
    assert inventory.run("HGET", "order:2", "state") == "refused"


@pytest.mark.parametrize(
    ("name", "count", "item", "error"),
    [
        ("order:1", 6, "lamp", "only 5 of lamp left"),
        ("order:1", 1, "chair", "only 0 of chair left"),
        ("order:0", 1, "lamp", "there is such an order already"),
        ("order:1", 0, "lamp", "the count must be a positive whole number"),
    ],
)
def test_an_order_that_cannot_be_reserved_changes_nothing(inventory, name, count, item, error):
    order(inventory, "order:0", 5)
    inventory.run("HSET", "stock", "lamp", 5)
    with pytest.raises(ResponseError, match=error):
        order(inventory, name, count, item=item)
    assert stock(inventory) == 5
    assert inventory.run("EXISTS", "order:1") == 0
    assert inventory.run("HGET", "order:0", "state") == "paid"


def test_the_goods_of_an_order_that_was_left_reserved_are_given_back_once(inventory):
    inventory.run("HSET", "order:3", "item", "lamp", "count", 2, "state", "reserved")
    inventory.run("HINCRBY", "stock", "lamp", -2)
    assert fcall(inventory, "inventory", "release", 2, "stock", "order:3") == 1
    assert fcall(inventory, "inventory", "release", 2, "stock", "order:3") == 0
    assert stock(inventory) == 5
    assert inventory.run("HGET", "order:3", "state") == "refused"


def test_many_orders_at_once_sell_no_more_than_there_is(inventory):
    inventory.run("HSET", "stock", "lamp", 10)
    names = [[f"order:{client}-{number}" for number in range(10)] for client in range(3)]
    cards = [NO_CARD if number % 3 == 0 else CARD for number in range(10)]
    at_once(
        inventory,
        *[
            [
                ("RG.FCALL", "inventory", "order", 2, "stock", name, "lamp", 1, card)
                for name, card in zip(batch, cards, strict=True)
            ]
            for batch in names
        ],
    )
    states = [inventory.run("HGET", name, "state") for batch in names for name in batch]
    assert stock(inventory) >= 0
    assert states.count("paid") == 10 - stock(inventory) > 0
    assert states.count("reserved") == 0


# --- enrichment


def entries(server, stream):
    """All entries of a stream."""
    return server.run("XRANGE", stream, "-", "+")


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


# --- options of consumers: batches, retries, poison, ordered, filtered


def add_at_once(server, stream, *entries):
    """Adds entries, each a dict, in one transaction; gives their IDs."""
    pipeline = server.client.pipeline(transaction=True)
    for entry in entries:
        pipeline.xadd(stream, entry)
    return pipeline.execute()


def info(server, *words):
    """What RG.CONSUMER INFO says."""
    return fields(server.run("RG.CONSUMER", "INFO", *words))


# --- batches


def test_sales_are_added_up_in_full_batches_and_one_that_is_short(server):
    load(server, "batches")
    sales = [{"product": "lamp" if number % 2 else "chair", "count": 1} for number in range(250)]
    add_at_once(server, "sales:web", *sales)
    expected = [f"{count} entries, 2 products, 0 failed" for count in (100, 100, 50)]
    server.wait_for(expected, server.messages)
    assert server.run("HGETALL", "sold") == {"lamp": "125", "chair": "125"}


def test_a_sale_that_is_no_good_fails_alone(server):
    library = load(server, "batches")
    for count in ("2", "many", "3"):
        server.run("XADD", "sales:web", "*", "product", "lamp", "count", count)
    server.wait(lambda: server.stream("sales:web", "add", library)["total_record_processed"] == 3)
    assert server.run("HGETALL", "sold") == {"lamp": "5"}
    assert "a sale is a product and a whole number" in server.stream("sales:web", "add", library)["last_error"]
    assert sum(int(message.split()[-2]) for message in server.messages()) == 1


@pytest.mark.parametrize("count", ["", b"\xff", "0x10", "1e3", " 1"])
def test_what_is_no_whole_number_is_no_sale_of_0(server, count):
    library = load(server, "batches")
    server.run("XADD", "sales:web", "*", "product", "lamp", "count", count)
    server.wait(lambda: server.stream("sales:web", "add", library)["total_record_processed"] == 1)
    assert server.run("EXISTS", "sold") == 0
    assert "a sale is a product and a whole number" in server.stream("sales:web", "add", library)["last_error"]


# --- retries


PAYMENT = ["payments", "book", "STREAM", "payment:web"]


def pay(server, amount, stream="payment:web"):
    """Adds a payment to Anna's account; its ID."""
    return server.run("XADD", stream, "*", "account", "anna", "amount", amount)


def test_a_payment_is_booked_when_its_writer_has_the_reply(server):
    load(server, "retries")
    pay(server, 100)
    assert server.run("HGETALL", "ledger") == {"anna": "100"}


def test_payments_of_all_streams_wait_while_the_ledger_is_closed(server):
    load(server, "retries")
    server.run("SET", "ledger:closed", "yes", "EX", 600)
    first = pay(server, 100)
    server.wait(lambda: info(server, *PAYMENT)["state"] == "waiting", lambda: info(server, *PAYMENT))
    found = info(server, *PAYMENT)
    assert found["pending"] == [first]
    assert 500_000 < found["retry_in_ms"] <= 600_000
    assert "the ledger is closed" in found["last_error"]

    # The pause goes on, although the ledger is open.
    server.run("DEL", "ledger:closed")
    pay(server, 20)
    pay(server, 3, "payment:shop")
    assert server.run("EXISTS", "ledger") == 0

    assert server.run("RG.CONSUMER", "RETRY", *PAYMENT) == "OK"
    server.wait(lambda: server.run("HGET", "ledger", "anna") == "123", lambda: server.run("HGETALL", "ledger"))
    assert server.run("EXISTS", "unbooked") == 0
    server.wait(lambda: info(server, *PAYMENT)["state"] == "running", lambda: info(server, *PAYMENT))


def test_payments_are_booked_by_themselves_when_the_ledger_is_open_again(server):
    load(server, "retries")
    server.run("SET", "ledger:closed", "yes")
    for amount in (100, 20, 3):
        pay(server, amount)
    server.wait(lambda: info(server, *PAYMENT)["state"] == "waiting", lambda: info(server, *PAYMENT))
    assert server.run("EXISTS", "ledger") == 0
    server.run("DEL", "ledger:closed")
    server.wait(lambda: server.run("HGET", "ledger", "anna") == "123", lambda: server.run("HGETALL", "ledger"))
    assert server.run("EXISTS", "unbooked") == 0


def test_a_payment_that_can_never_be_booked_is_put_aside_at_once(server):
    load(server, "retries")
    failed = pay(server, "much")
    pay(server, 100)
    server.wait(lambda: server.run("HGET", "ledger", "anna") == "100", "the next payment is not booked")
    [(_, letter)] = entries(server, "unbooked")
    first_eight = ["library", "consumer", "stream", "id", "attempts", "error", "first_time", "last_time"]
    assert list(letter) == [*first_eight, "account", "amount"]
    expected = {"library": "payments", "consumer": "book", "stream": "payment:web", "id": failed, "attempts": "1"}
    assert {name: letter[name] for name in expected} == expected
    assert "a payment is an account and a whole number" in letter["error"]
    assert int(failed.split("-")[0]) - 1000 <= int(letter["first_time"]) <= int(letter["last_time"])
    assert (letter["account"], letter["amount"]) == ("anna", "much")


@pytest.mark.parametrize("amount", ["", b"\xff"])
def test_a_payment_without_an_amount_is_not_booked_as_0(server, amount):
    load(server, "retries")
    pay(server, amount)
    server.wait(lambda: server.run("XLEN", "unbooked") == 1, "it is not put aside")
    assert server.run("EXISTS", "ledger") == 0


def test_a_payment_that_was_given_up_is_booked_when_it_is_handed_over_once_more(server):
    load(server, "retries")
    server.run("SET", "ledger:closed", "yes", "EX", 600)
    given_up = pay(server, 100)

    def is_given_up():
        if server.run("XLEN", "unbooked") == 0:
            server.run("RG.CONSUMER", "RETRY", *PAYMENT)
            return False
        return True

    server.wait(is_given_up, lambda: info(server, *PAYMENT))
    [(_, letter)] = entries(server, "unbooked")
    assert (letter["id"], letter["attempts"]) == (given_up, "10")
    assert "the ledger is closed" in letter["error"]

    server.run("DEL", "ledger:closed")
    assert server.run("RG.CONSUMER", "REDRIVE", *PAYMENT) == 1
    server.wait(lambda: server.run("XLEN", "unbooked") == 0, "the letter stays")
    assert server.run("HGETALL", "ledger") == {"anna": "100"}


# --- poison


def test_one_bad_document_keeps_no_other_out(server):
    load(server, "poison")
    documents = [{"json": f'{{"name":"{number}"}}'} for number in range(64)]
    documents[17] = {"json": '{"name":'}
    ids = add_at_once(server, "import:web", *documents)
    server.wait(lambda: server.run("XLEN", "not-imported") == 1, "the bad one is not found")
    server.wait(lambda: server.run("HLEN", "documents") == 63, lambda: server.run("HLEN", "documents"))
    [(_, letter)] = entries(server, "not-imported")
    assert letter["id"] == ids[17]
    assert letter["json"] == '{"name":'
    assert "SyntaxError" in letter["error"]
    assert server.run("HEXISTS", "documents", "17") == 0


def test_a_document_without_a_name_is_not_stored_under_another(server):
    load(server, "poison")
    add_at_once(server, "import:web", {"json": "{}"}, {"json": '{"name":"a"}'}, {"json": '{"name":null}'})
    server.wait(lambda: server.run("XLEN", "not-imported") == 2, "they are not put aside")
    assert server.run("HGETALL", "documents") == {"a": '{"name":"a"}'}


# --- ordered


def asked(server):
    """The orders that were asked for."""
    return [entry["order"] for _, entry in entries(server, "questions")]


def wait_asked(server, *orders):
    """Waits until these orders were asked for."""
    server.wait(lambda: len(asked(server)) >= len(orders), lambda: asked(server))
    assert asked(server) == list(orders)


def decide(server, number, decision):
    """Answers a question."""
    server.run("XADD", "answers", "*", "order", number, "answer", decision)


@pytest.fixture
def approvals(server):
    """A server with the library and three orders, two of them Anna's."""
    assert load(server, "ordered") == "approvals"
    for number, customer in (("1", "anna"), ("2", "anna"), ("3", "bert")):
        server.run("XADD", "orders:web", "*", "customer", customer, "order", number)
    wait_asked(server, "1", "3")
    return server


def test_orders_of_one_customer_wait_for_each_other(approvals):
    decide(approvals, 3, "yes")
    approvals.wait(lambda: approvals.run("HGETALL", "decided") == {"3": "yes"}, "the other customer waits")
    assert asked(approvals) == ["1", "3"]
    decide(approvals, 1, "no")
    wait_asked(approvals, "1", "3", "2")
    decide(approvals, 2, "yes")
    expected = {"1": "no", "2": "yes", "3": "yes"}
    approvals.wait(lambda: approvals.run("HGETALL", "decided") == expected, lambda: approvals.run("HGETALL", "decided"))


@pytest.mark.leaves_pending("orders whose approval the test does not give")
def test_an_order_that_fails_stops_its_stream_until_somebody_goes_on(approvals):
    words = ["approvals", "orders", "STREAM", "orders:web"]
    decide(approvals, 1, "perhaps")
    approvals.wait(lambda: info(approvals, *words)["state"] == "aborted", lambda: info(approvals, *words))
    assert approvals.stream("orders:web", "orders", "approvals")["state"] == "aborted"
    assert 'order 1: the answer was "perhaps"' in info(approvals, *words)["last_error"]

    # What was with the callback ends; nothing else begins.
    approvals.run("XADD", "orders:web", "*", "customer", "cleo", "order", 4)
    decide(approvals, 3, "yes")
    approvals.wait(lambda: approvals.run("HGETALL", "decided") == {"3": "yes"}, "what was running does not end")
    assert asked(approvals) == ["1", "3"]

    assert approvals.run("RG.CONSUMER", "RESUME", *words) == "OK"
    approvals.wait(lambda: "4" in asked(approvals), lambda: asked(approvals))
    assert asked(approvals) == ["1", "3", "1", "4"]
    decide(approvals, 1, "yes")
    wait_asked(approvals, "1", "3", "1", "4", "2")


@pytest.mark.leaves_pending("orders whose approval the test does not give")
def test_an_order_that_was_sent_twice_is_answered_for_both(approvals):
    approvals.run("XADD", "orders:shop", "*", "customer", "cleo", "order", 1)
    wait_asked(approvals, "1", "3", "1")
    decide(approvals, 1, "yes")
    streams = (["STREAM", "orders:shop"], ["STREAM", "orders:web"])

    def done():
        return [info(approvals, "approvals", "orders", *stream)["processed"] for stream in streams]

    approvals.wait(lambda: done() == [1, 1], done)


# --- filtered


def test_only_urgent_events_reach_the_script(server):
    event = ["XADD", "events", "*", "source", "web", "level"]
    server.run(*event, "error", "text", "too late")
    library = load(server, "filtered")
    server.wait(lambda: server.stream("events", "alarm", library), "the stream is not found")
    server.run(*event, "error", "text", "no answer")
    server.run(*event, "info", "text", "a visit")
    server.run("XADD", "events", "*", "level", "fatal", "source", "test-7", "text", "on purpose")
    server.run(*event, "fatal", "text", "disk full", "muted", "yes")
    server.run("XADD", "events:old", "*", "level", "fatal", "source", "db", "text", "another stream")
    server.run("XADD", "events", "*", "level", "fatal", "text", "no source")
    server.wait_for(["error: no answer", "fatal: no source"], server.messages)
    assert info(server, library, "alarm")["filtered"] == 3
    assert list(server.consumer("alarm", library)["streams"]) == ["events"]


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


def test_changes_that_waited_are_carried_over_after_a_crash(keep):
    server = keep("--appendonly", "yes", "--appendfsync", "always")
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


# --- gears1-deny


def test_what_is_denied_is_deleted_and_nothing_else(server):
    load(server, "gears1-deny")
    server.run("SET", "allowed:1", "value")
    server.run("SET", "denied:1", "value")
    server.wait(lambda: server.run("EXISTS", "denied:1") == 0, "it is still there")
    server.run("HSET", "denied:2", "a", 1)
    server.wait(lambda: server.run("EXISTS", "denied:2") == 0, "it is still there")
    assert server.run("KEYS", "*") == ["allowed:1"]
    [registration] = server.run("RG.DUMPREGISTRATIONS")
    assert fields(fields(registration)["RegistrationData"])["numTriggered"] == 2


# --- gears1-stream


def test_an_entry_is_kept_under_its_id(server):
    load(server, "gears1-stream")
    server.run("XADD", "s1", "5-1", "a", "1", "b", "2")
    server.run("XADD", "s10", "5-2", "a", "1")
    server.wait(lambda: server.run("XLEN", "s1") == 0, "it is not trimmed")
    assert server.run("GET", "5-1") == '{"streamId":"5-1","a":"1","b":"2"}'
    assert (server.run("EXISTS", "5-2"), server.run("XLEN", "s10")) == (0, 1)


# --- gears1-wordcount


def test_the_most_frequent_words_come_first(server):
    library = load(server, "gears1-wordcount")
    server.run("SET", "text:1", "to be or not to be")
    server.run("SET", "text:2", "to do")
    server.run("RPUSH", "text:3", "to", "to")
    assert fcall(server, library, "top", 0, "text:*", 2) == [[3, "to"], [2, "be"]]
    assert fcall(server, library, "top", 0, "none:*", 2) == []
    server.run("DEL", "text:3")
    script = (EXAMPLES / "gears1-wordcount.js").read_text().split('RG.JSEXECUTE "')[1].split('"\n')[0]
    [counted, errors] = server.run("RG.JSEXECUTE", script)
    assert (sorted(fields(one)["value"] for one in counted), errors) == ([1, 1, 1, 2, 3], [])


# --- the one in the papers


@pytest.mark.parametrize("paper", ["README.md", "docs/functions.md"])
def test_the_first_function_does_what_the_paper_says(server, paper):
    [code] = re.findall(r"```js\n(#!js name=shop\n.*?)```", (REPOSITORY / paper).read_text(), re.DOTALL)
    assert server.run("RG.FUNCTION", "LOAD", code) == "OK"
    server.run("SET", "tickets", 10)
    assert fcall(server, "shop", "take", 1, "tickets", 8) == 2
    with pytest.raises(ResponseError, match="^Error: only 2 left$"):
        fcall(server, "shop", "take", 1, "tickets", 8)
    assert server.run("GET", "tickets") == "2"


def load_from(server, paper, name):
    """Loads a library that stands in a paper."""
    [code] = re.findall(rf"```js\n(#!js name={name}\n.*?)```", (REPOSITORY / paper).read_text(), re.DOTALL)
    assert server.run("RG.FUNCTION", "LOAD", code) == "OK"


def test_the_first_trigger_does_what_the_readme_says(server):
    load_from(server, "README.md", "history")
    server.run("MSET", "price:lamp", 20, "price:chair", 45)
    server.run("SET", "price:lamp", 18)
    assert server.run("LRANGE", "history:price:lamp", 0, -1) == ["20", "18"]


def test_the_first_trigger_does_what_its_page_says(server):
    load_from(server, "docs/key-space-triggers.md", "audit")
    server.run("SET", "session:anna", "data")
    server.run("DEL", "session:anna")
    found = [entry for _, entry in entries(server, "log")]
    assert found == [{"event": event, "key": "session:anna"} for event in ("set", "del")]


def test_a_trigger_may_look_while_the_event_happens_as_its_page_says(server):
    page = (REPOSITORY / "docs/key-space-triggers.md").read_text()
    [code] = re.findall(r"```js\n(redis\.register_notifications_consumer\(\"history\".*?)```", page, re.DOTALL)
    server.run("RG.FUNCTION", "LOAD", f"#!js name=history\n{code}")
    script = "for i, name in ipairs(ARGV) do redis.call('SET', KEYS[2], name); redis.call('SET', KEYS[1], i) end"
    server.run("EVAL", script, 2, "price:lamp", "current:seller", "anna", "bert")
    assert server.run("LRANGE", "history:price:lamp", 0, -1) == ["anna 1", "bert 2"]
