"""The examples that are about other shards do on a real cluster what their first lines say."""

import re
import shlex

import pytest
from redis import ResponseError
from redis.exceptions import MovedError

from testing.examples import EXAMPLES, entries, fcall, load

# --- remote


def as_said(cluster, node, name):
    """Runs the commands that an example's first lines name, on a node; gives the replies. `-c` follows redirections."""
    text = (EXAMPLES / f"{name}.js").read_text()
    for follows, line in re.findall(r"^//   redis-cli (-c )?((?!-x).*)$", text, re.MULTILINE):
        words = shlex.split(line)
        try:
            yield node.run(*words)
        except MovedError as moved:
            if not follows:
                raise
            yield next(one for one in cluster.primaries() if one.port == moved.port).run(*words)


def test_what_the_remote_example_says_can_be_done_on_each_shard(cluster):
    cluster.change(lambda: load(cluster.primaries()[0], "remote"))
    for node in cluster.primaries():
        assert list(as_said(cluster, node, "remote"))[1:] == [70, 100]
        cluster.client().delete("account:anna", "account:bert")


def test_money_is_moved_between_accounts_of_different_shards(cluster):
    node, *_ = nodes = cluster.primaries()
    cluster.change(lambda: load(node, "remote"))
    source, target = (other.key("account:") for other in nodes[1:])
    nodes[1].run("HSET", source, "balance", 100)
    for asked in nodes:
        assert fcall(asked, "accounts", "transfer", 0, source, target, "t-1", 30) == 70
        assert fcall(asked, "accounts", "total", 0) == 100
    with pytest.raises(ResponseError, match="RangeError: .* has too little"):
        fcall(node, "accounts", "transfer", 0, source, target, "t-2", 71)
    assert (nodes[1].run("HGET", source, "balance"), nodes[2].run("HGET", target, "balance")) == ("70", "30")


# --- router


def items_of(node, customer):
    """What the stream of a customer has, whose slot the node has."""
    return [entry["item"] for _, entry in entries(node, f"customer:{{{customer}}}")]


@pytest.fixture
def router(cluster):
    """The primaries, which have the library; a stream of the first one, and a customer of each."""
    nodes = cluster.primaries()
    cluster.change(lambda: load(nodes[0], "router"))
    return nodes, nodes[0].key("orders:"), [node.key("customer_") for node in nodes]


def add(node, stream, customers, count):
    """Adds so many orders, for each customer in turn."""
    for number in range(count):
        node.run("XADD", stream, "*", "customer", customers[number % len(customers)], "item", number)


def expected(customers, count):
    """What each customer's stream has then."""
    return [[str(number) for number in range(start, count, len(customers))] for start in range(len(customers))]


def test_orders_get_to_the_shards_of_their_customers_once_and_in_order(cluster, router):
    nodes, stream, customers = router
    add(nodes[0], stream, customers, 30)

    def routed():
        return list(map(items_of, nodes, customers))

    def processed():
        return nodes[0].stream(stream, "route", "router")["total_record_processed"]

    cluster.wait(lambda: routed() == expected(customers, 30), routed)
    # What has not ended when it is told to begin anew is not counted.
    cluster.wait(lambda: processed() == 30, processed)
    nodes[0].run("RG.CONSUMER", "SEEK", "router", "route", "STREAM", stream, "earliest")
    cluster.wait(lambda: processed() == 60, processed)
    assert routed() == expected(customers, 30)


def test_an_order_comes_once_although_its_first_call_has_run_when_it_had_failed(cluster, router):
    nodes, stream, customers = router
    figures = "redisgears_2_remote_functions", "redisgears_2_remote_calls_known"
    nodes[1].run("CLIENT", "PAUSE", 100_000, "WRITE")
    try:
        add(nodes[0], stream, customers, 9)
        cluster.wait(lambda: nodes[1].client.info(figures[0])[figures[1]] >= 2, "there is no second call")
        assert "may have run" in nodes[0].stream(stream, "route", "router")["last_error"]
        assert items_of(nodes[1], customers[1]) == []
        # Those of other customers had begun.
        cluster.wait(lambda: [items_of(nodes[place], customers[place]) for place in (0, 2)] == expected(customers, 9)[::2])
    finally:
        nodes[1].run("CLIENT", "UNPAUSE")
    cluster.wait(lambda: nodes[0].stream(stream, "route", "router")["total_record_processed"] == 9)
    cluster.wait(lambda: nodes[1].client.info(figures[0])[figures[1]] == 0, "there are calls still")
    assert list(map(items_of, nodes, customers)) == expected(customers, 9)
