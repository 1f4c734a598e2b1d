"""The examples of functions do what their first lines say."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import ResponseError

from testing.examples import fcall, load
from testing.replies import fields

CARD = "4111111111111111"
NO_CARD = "4111111111111112"


def at_once(server, *batches):
    """Sends each batch of commands on a connection of its own, all at the same time; the replies of each."""

    def send(commands):
        pipeline = server.connect().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)

    with ThreadPoolExecutor(len(batches)) as threads:
        return list(threads.map(send, batches))


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


# --- remote


def test_money_is_moved_once_and_never_lost(server):
    library = load(server, "remote")
    server.run("HSET", "account:anna", "balance", 100)
    assert fcall(server, library, "transfer", 0, "account:anna", "account:bert", "t-1", 30) == 70
    assert fcall(server, library, "transfer", 0, "account:anna", "account:bert", "t-1", 30) == 70
    with pytest.raises(ResponseError, match="RangeError: account:anna has too little"):
        fcall(server, library, "transfer", 0, "account:anna", "account:bert", "t-2", 71)
    assert [server.run("HGET", f"account:{who}", "balance") for who in ("anna", "bert")] == ["70", "30"]
    assert fcall(server, library, "total", 0) == 100
