"""What a script could try to have more rights: none of it helps."""

import pytest
from redis import ResponseError

from testing.rights import FUNCTIONS, STEPS, WAYS, call, came_of, go, outcome, waits
from testing.users import is_denied

# With `client` of an async function of a user without rights: gives a client that has more.
FORGERIES = {
    "the class of the client": "new client.constructor('default', 0, 0)",
    "the class of its prototype": "new (Object.getPrototypeOf(client).constructor)('default', 0, 0)",
    "Reflect.construct": "Reflect.construct(client.constructor, ['default', 0, 0], client.constructor)",
    "a class that extends the client's": "new (class extends client.constructor {})('default', 0, 0)",
    "an object with the client's prototype": "Object.create(client)",
    "a Proxy of the client": "new Proxy(client, { get: (target, name) => name === 'block' ? target.block : 'default' })",
    "properties that look like the client's": "Object.assign(client, { user: 'default', db: 0, flags: 0 })",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_script_cannot_make_a_client_of_another_user(server, people, forgery):
    server.load(
        f"""
        redis.register_function('forge', async client => {{
            const forged = {FORGERIES[forgery]};
            forged.block(inside => inside.call('SET', 'other:1', 'stolen'));
        }});
        """
    )
    user = people.make("user", "+set", "~mine:*")
    assert outcome(lambda: call(user, "forge")) != "ok"
    assert server.run("GET", "other:1") == "1"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_script_cannot_make_a_client_without_the_flags_of_its_function(server, people, forgery):
    server.load(
        f"""
        redis.register_function('forge', async client => {{
            const forged = {FORGERIES[forgery]};
            forged.block(inside => inside.call('SET', 'mine:1', 'written'));
        }}, ['no-writes']);
        """
    )
    assert outcome(lambda: call(server.client, "forge")) != "ok"
    assert server.run("GET", "mine:1") == "1"


def test_a_script_cannot_use_the_client_of_another_call(server, people):
    server.load(
        """
        let kept, kept_inside;
        redis.register_function('keep', client => { kept = client; });
        redis.register_function('keep inside', async client => client.block(inside => { kept_inside = inside; }));
        redis.register_function('use', (client, ...words) => kept.call(...words));
        redis.register_function('use inside', async (client, ...words) => client.block(() => kept_inside.call(...words)));
        redis.register_function('use class', (client, ...words) => client.call.call(kept, ...words));
        """
    )
    call(server.client, "keep")
    call(server.client, "keep inside")
    user = people.make("user", "+set", "~mine:*")
    for function in ("use", "use inside", "use class"):
        with pytest.raises(ResponseError, match="Used on invalid client"):
            call(user, function, "SET", "other:1", "stolen")
    assert server.run("GET", "other:1") == "1"


def test_a_continuation_on_the_main_thread_keeps_its_own_user(server, people):
    # The promise of `later` is settled by a sync function of someone else, which holds the server's lock.
    server.load(STEPS)
    low = people.make("low", "+set", "~mine:*")
    call(low, "begin", "more", "SET", "other:1", "stolen")
    call(server.client, "begin", "less", "SET", "other:1", "by default")
    waits(server, "more")
    waits(server, "less")
    go(server, "more")
    assert is_denied(came_of(server, "more"))
    people.make("helper", "~*")
    assert call(people.connect("helper"), "go", "less")
    assert came_of(server, "less") == "done"
    assert server.run("GET", "other:1") == "by default"


@pytest.mark.parametrize("command", ["ACL SETUSER user +@all", "AUTH default", "RESET", "HELLO 3", "CONFIG SET maxmemory 1"])
def test_a_script_of_a_powerful_user_has_no_command_that_changes_rights(server, people, command):
    server.load(*FUNCTIONS)
    user = people.make("user", "+get", "~mine:*")
    for way in WAYS:
        with pytest.raises(ResponseError):
            call(server.client, way, *command.split())
    assert outcome(lambda: user.execute_command("SET", "mine:1", "2")) == "denied"
