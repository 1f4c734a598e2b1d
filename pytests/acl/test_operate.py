"""The users of docs/operate.md: each can do its work with the rights given there, and none of the others' work."""

import re

import pytest
import redis

from testing.launch import REPOSITORY

LIBRARY = """#!js name=shop
redis.register_stream_consumer('book', 'orders:', 1, true, (client, data) => {
    const fields = Object.fromEntries(data.record);
    if (fields.amount === 'bad') {
        throw new Error('no amount');
    }
    client.call('HINCRBYFLOAT', 'totals', fields.customer, fields.amount);
}, { dead_letter: 'orders-dead' });
"""


@pytest.fixture
def users(server):
    """Clients of the page's users, by what stands behind `shop-` in their names."""
    rules = re.findall(r"^```acl\n(.*?)\n```$", (REPOSITORY / "docs/operate.md").read_text(), re.M)
    clients = {}
    for rule in rules:
        words = rule.split()
        assert server.run(*words) == "OK"
        name, secret = words[2], next(word[1:] for word in words if word.startswith(">"))
        clients[name.removeprefix("shop-")] = redis.Redis(
            port=server.port, username=name, password=secret, decode_responses=True, protocol=3
        )
    assert set(clients) == {"owner", "producer", "operator", "dashboard"}
    yield clients
    for client in clients.values():
        client.close()
    for rule in rules:
        server.run("ACL", "DELUSER", rule.split()[2])


def letters(client):
    """The dead letters that the client sees."""
    return client.execute_command("RG.CONSUMER", "LETTERS", "shop", "book")[1]


def test_each_user_of_the_page_can_do_its_work(server, users):
    assert users["owner"].execute_command("RG.FUNCTION", "LOAD", LIBRARY) == "OK"
    users["producer"].execute_command("XADD", "orders:web", "*", "customer", "anna", "amount", "20")
    server.wait(lambda: server.run("HGET", "totals", "anna") == "20")
    server.wait(lambda: server.run("XLEN", "orders:web") == 0)
    users["producer"].execute_command("XADD", "orders:web", "*", "customer", "anna", "amount", "bad")
    server.wait(lambda: len(letters(users["operator"])) == 1)

    operator = users["operator"]
    assert operator.execute_command("RG.CONSUMER", "PAUSE", "shop", "book") == "OK"
    assert operator.execute_command("RG.CONSUMER", "RESUME", "shop", "book") == "OK"
    # The cause is mended by an upgrade, as the page says.
    mended = LIBRARY.replace("throw new Error('no amount')", "return")
    assert users["owner"].execute_command("RG.FUNCTION", "LOAD", "UPGRADE", mended) == "OK"
    assert operator.execute_command("RG.CONSUMER", "REDRIVE", "shop", "book", "COUNT", 1) == 1
    server.wait(lambda: letters(operator) == [])
    assert operator.execute_command("RG.CONSUMER", "REDRIVES", "shop", "book")["ok"] == 1
    assert operator.execute_command("RG.CONSUMER", "DROP", "shop", "book", "ERROR", "*SyntaxError*") == 0

    dashboard = users["dashboard"]
    assert dashboard.execute_command("RG.FUNCTION", "LIST", "LIBRARY", "shop", "vvv")
    assert dashboard.execute_command("RG.CONSUMER", "INFO", "shop", "book")
    assert dashboard.execute_command("RG.CONSUMER", "STREAMS", "shop", "book")
    assert "consumer_shop_book" in str(dashboard.info("redisgears_2_consumers"))
    assert users["owner"].execute_command("RG.FUNCTION", "DEL", "shop") == "OK"


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("owner", ("CONFIG", "GET", "maxmemory")),
        ("owner", ("GET", "other")),
        ("producer", ("RG.FUNCTION", "LIST")),
        ("producer", ("XADD", "orders-dead", "*", "a", "b")),
        ("operator", ("RG.FUNCTION", "LOAD", LIBRARY)),
        ("operator", ("XADD", "orders:web", "*", "a", "b")),
        ("dashboard", ("RG.CONSUMER", "PAUSE", "shop", "book")),
        ("dashboard", ("RG.CONSUMER", "LETTERS", "shop", "book")),
        ("dashboard", ("XRANGE", "orders:web", "-", "+")),
    ],
)
def test_no_user_of_the_page_can_do_more(users, user, words):
    with pytest.raises(redis.exceptions.NoPermissionError):
        users[user].execute_command(*words)
