"""Where the server refuses to tell of key events, a library is not loaded: all or nothing."""

import pytest
from redis import ResponseError

from testing.gears1 import execute
from testing.libraries import consumer, function
from testing.replies import fields

REFUSED = "the server refuses key-space notifications"
TRIGGER = "redis.register_notifications_consumer('t', 'k', (client, data) => redis.log(`event ${data.event}`)"
HOOKS = f"{TRIGGER}, {{ on_trigger_fired: () => {{}} }});"
MISSES = f"{TRIGGER}, {{ event_types: ['keymiss'] }});"


def refuse(node):
    """The server refuses the next listener."""
    node.run("RG.FUNCTION", "DEBUG", "refuse_listener")


@pytest.mark.parametrize("how", ["LOAD", "JSEXECUTE"])
def test_a_library_whose_key_events_are_refused_is_not_there(start_server, how):
    server = start_server(module_args="enable-debug-command yes")
    refuse(server)
    with pytest.raises(ResponseError, match=REFUSED):
        if how == "LOAD":
            server.load(consumer(), function("f", "() => 1"))
        else:
            execute(server, "GB('StreamReader').foreach(x => {}).register('stream');")
    assert server.libraries() == []
    server.add("stream", 1)
    with pytest.raises(ResponseError, match="Unknown library"):
        server.call("f")
    server.load(consumer(), function("f", "() => 1"))
    server.wait_seen("stream 1")


@pytest.mark.parametrize("added", [HOOKS, MISSES], ids=["on_trigger_fired", "keymiss"])
def test_an_upgrade_whose_key_events_are_refused_leaves_the_library_as_it_was(start_server, added):
    server = start_server(module_args="enable-debug-command yes", replica=True)
    server.load(consumer(callback="(client, data) => saw(data, 'old')"), function("f", "() => 'old'"))
    refuse(server)
    before = server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE")
    new = [consumer(callback="(client, data) => saw(data, 'new')"), function("f", "() => 'new'"), added]
    with pytest.raises(ResponseError, match=REFUSED):
        server.upgrade(*new)
    assert server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE") == before
    server.add("stream", 1)
    assert (server.call("f"), server.seen("old"), server.seen("new")) == ("old", ["stream 1"], [])
    assert server.client.wait(1, 10000) == 1
    [kept] = server.replica.run("RG.FUNCTION", "LIST", "WITHCODE")
    assert "'old'" in fields(kept)["code"]
    server.upgrade(*new)
    assert server.call("f") == "new"


def test_a_library_from_the_primary_is_kept_in_quarantine_where_its_key_events_are_refused(start_server):
    primary, replica = start_server(), start_server("--redisgears_2.enable-debug-command", "yes")
    primary.load(function("f", "() => 'old'", ["no-writes"]))
    replica.follow(primary)
    refuse(replica)
    code = [consumer(), function("f", "() => 'new'", ["no-writes"])]
    primary.upgrade(*code)
    assert primary.client.wait(1, 10000) == 1
    with pytest.raises(ResponseError, match=f"quarantine.*{REFUSED}"):
        replica.call("f")
    primary.upgrade(*code)
    assert primary.client.wait(1, 10000) == 1
    assert replica.call("f") == "new"


def test_a_script_without_registrations_runs_where_key_events_are_refused(start_server):
    server = start_server(module_args="enable-debug-command yes")
    refuse(server)
    assert execute(server, "GB('ShardsIDReader').count().run()")[0] == [1]
