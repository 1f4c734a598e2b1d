"""Of a stream that comes into being while a consumer with ``start: "latest"`` exists every entry is new, whatever
happens before it is handed over; what was there before is not."""

import time

import pytest

from testing.libraries import consumer, library
from testing.policies import AN_HOUR, PERSISTENCE, command, each_persistence, info, kill_and_restart, policy
from testing.replication import promote, settle
from testing.waits import eventually

LATEST = {"start": "latest"}
OPTIONS = {
    "start alone": LATEST,
    "a policy": LATEST | {"on_failure": "retry", "retry_interval": AN_HOUR},
    "batches": LATEST | {"batch": 2, "duration": 1},
}
SAW = "(client, data) => [data].flat().forEach(one => saw(one))"
CALLBACKS = {"sync": SAW, "async": f"async {SAW}"}

each_options = pytest.mark.parametrize("options", OPTIONS)
each_kind = pytest.mark.parametrize("kind", CALLBACKS)


def beginning(options, kind="sync"):
    """A consumer that begins with what is new, and trims."""
    return consumer(callback=CALLBACKS[kind], trim=True, options=OPTIONS[options])


def load_paused(node, options, kind="sync"):
    """A library whose consumer is paused, beside a stream that was there before."""
    node.add("stream:old", 0)
    node.load(*policy(beginning(options, kind)))
    node.wait(lambda: node.stream("stream:old"), "the stream that is there is found")
    command(node, "PAUSE")


def goes_on(node):
    """What came in the pause is handed over, and nothing else."""
    command(node, "RESUME")
    node.wait(lambda: len(node.seen()) >= 3, node.seen)
    assert sorted(node.seen()) == ["stream:new 1", "stream:new 2", "stream:old 3"]


def add_new(node):
    node.add("stream:new", 1, 2)
    node.add("stream:old", 3)


@each_persistence
@each_kind
@each_options
def test_what_came_in_a_pause_is_handed_over_after_a_kill(start_server, persistence, kind, options):
    server = start_server(*PERSISTENCE[persistence])
    load_paused(server, options, kind)
    add_new(server)
    kill_and_restart(server)
    goes_on(server)


@each_options
def test_what_is_dumped_with_the_command_that_adds_it_is_handed_over_after_a_kill(start_server, options):
    server = start_server()
    load_paused(server, options)
    pipe = server.client.pipeline(transaction=False)
    for stream, value in (("new", 1), ("new", 2), ("old", 3)):
        pipe.execute_command("XADD", f"stream:{stream}", "*", "n", value)
    pipe.execute_command("SAVE")
    pipe.execute()
    server.restart()
    goes_on(server)


@each_options
def test_what_came_in_a_pause_is_handed_over_after_a_rewrite(start_server, options):
    server = start_server(*PERSISTENCE["append-only file"], "--aof-use-rdb-preamble", "no")
    load_paused(server, options)
    add_new(server)
    server.rewrite()
    server.restart()
    goes_on(server)


@each_options
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_came_in_a_pause_is_handed_over_by_a_replica_that_is_promoted(start_server, options, when):
    primary, replica = start_server(), start_server()
    load_paused(primary, options)
    if when == "before":
        replica.follow(primary)
    add_new(primary)
    if when == "after":
        replica.follow(primary)
    settle(primary, replica)
    primary.kill()
    promote(replica)
    goes_on(replica)


@each_options
def test_what_came_in_quarantine_is_handed_over_to_the_code_that_ends_it(start_server, options):
    server = start_server()
    server.add("stream:old", 0)
    end = time.time() + 1
    broken = f"if (Date.now() > {end * 1000}) throw new Error('not any more');"
    server.load(broken, *policy(beginning(options)))
    server.wait(lambda: server.stream("stream:old"), "the stream that is there is found")
    eventually(lambda: time.time() > end)
    kill_and_restart(server)
    assert info(server)["state"] == "quarantined"
    add_new(server)
    kill_and_restart(server)
    server.upgrade(*policy(beginning(options)))
    server.wait(lambda: len(server.seen()) >= 3, server.seen)
    assert sorted(server.seen()) == ["stream:new 1", "stream:new 2", "stream:old 3"]


@each_options
def test_what_came_while_the_owner_may_not_have_it_is_handed_over_when_they_may(start_server, options):
    server = start_server()

    def allow(*rules):
        server.run("ACL", "SETUSER", "owner", "reset", "on", ">secret", "+@all", *rules)

    server.add("stream:old", 0)
    allow("allkeys", "allchannels")
    owner = server.connect(username="owner", password="secret")
    owner.execute_command("RG.FUNCTION", "LOAD", library(*policy(beginning(options))))
    server.wait(lambda: server.stream("stream:old"), "the stream that is there is found")
    allow("~other")
    add_new(server)
    kill_and_restart(server)
    allow("~other")
    assert server.seen() == []
    allow("allkeys", "allchannels")
    server.wait(lambda: len(server.seen()) >= 3, server.seen)
    assert sorted(server.seen()) == ["stream:new 1", "stream:new 2", "stream:old 3"]
