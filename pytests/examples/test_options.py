"""The examples of options of consumers do what their first lines say."""

import pytest

from testing.examples import entries, load
from testing.replies import fields

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
    [(_, dead_letter)] = entries(server, "unbooked")
    first_eight = ["library", "consumer", "stream", "id", "attempts", "error", "first_time", "last_time"]
    assert list(dead_letter) == [*first_eight, "account", "amount"]
    expected = {"library": "payments", "consumer": "book", "stream": "payment:web", "id": failed, "attempts": "1"}
    assert {name: dead_letter[name] for name in expected} == expected
    assert "a payment is an account and a whole number" in dead_letter["error"]
    assert int(failed.split("-")[0]) - 1000 <= int(dead_letter["first_time"]) <= int(dead_letter["last_time"])
    assert (dead_letter["account"], dead_letter["amount"]) == ("anna", "much")


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
    [(_, dead_letter)] = entries(server, "unbooked")
    assert (dead_letter["id"], dead_letter["attempts"]) == (given_up, "10")
    assert "the ledger is closed" in dead_letter["error"]

    server.run("DEL", "ledger:closed")
    consumer = PAYMENT[:2]
    [letter] = server.run("RG.CONSUMER", "LETTERS", *consumer)[1]
    assert fields(letter)["id"] == given_up
    assert server.run("RG.CONSUMER", "REDRIVE", *consumer, "ERROR", "*ledger is closed*") == 1
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
    [(_, dead_letter)] = entries(server, "not-imported")
    assert dead_letter["id"] == ids[17]
    assert dead_letter["json"] == '{"name":'
    assert "SyntaxError" in dead_letter["error"]
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
