"""What a callback reports as failed, and how the failing entry of a batch is found."""

import pytest

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    add_at_once,
    command,
    done,
    each_kind,
    info,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    sync_and_async,
    tries,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
)

BY_HAND = {"on_failure": "retry", "retry_interval": AN_HOUR}
REPORTED = "the callback reported it as failed"

# How an entry can be named.
FORMS = {"id": "data.id", "text": "id_of(data)"}

# A callback that reports what is in the set `bad`; STARTS has the beginnings it may have.
REPORTING = """{
    const batch = [given].flat();
    redis.log(`try ${text_of(given)}`);
    const failed = batch.filter(data => ask(client, 'SISMEMBER', 'bad', value(data)) == 1).map(data => FORM);
    return RESULT;
}"""
STARTS = {
    "sync": "(client, given) => %s",
    "promise": "(client, given) => (result => new Promise(resolve => resolve(result)))((() => %s)())",
    "async": "async (client, given) => %s",
    "async after await": "async (client, given) => { await null; return (() => %s)(); }",
}


def reporting(kind="sync", form="id", result="{ failed }", window=1, **options):
    """A consumer that reports what is in the set ``bad``."""
    body = REPORTING.replace("FORM", FORMS.get(form, form)).replace("RESULT", result)
    return consumer(window=window, callback=STARTS[kind] % body, options=options)


# --- {failed: [...]} ------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("form", FORMS)
def test_only_the_entries_that_the_callback_names_have_failed(server, kind, form):
    server.load(*policy(reporting(kind, form, batch=4, **BY_HAND)))
    make_fail(server, 1, 3)
    ids = add_at_once(server, "stream", range(8))
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting", pending=[ids[1], ids[3]])
    assert info(server, "stream")["last_error"] == REPORTED
    pass_marker(server)
    assert tries(server) == ["0,1,2,3"]
    make_succeed(server, 1)
    command(server, "RETRY", "STREAM", "stream")
    wait_tries(server, 2)
    wait_info(server, "stream", state="waiting", pending=[ids[3]])
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    server.wait_stream(pending_ids=[])
    wait_tries(server, 4)
    assert tries(server) == ["0,1,2,3", "1,3", "3", "4,5,6,7"]


@each_kind
@pytest.mark.parametrize("form", FORMS)
def test_a_callback_for_single_entries_may_report_its_entry_as_well(server, kind, form):
    options = {"on_failure": "retry", "retry_interval": 10, "max_attempts": 2, "dead_letter": "dead"}
    server.load(*policy(reporting(kind, form, **options)))
    make_fail(server, 1)
    server.add("stream", 0, 1, 2)
    wait_tries(server, 4)
    assert tries(server) == ["0", "1", "1", "2"]
    [dead_letter] = wait_dead_letters(server, 1)
    assert (dead_letter["attempts"], dead_letter["error"]) == ("2", REPORTED)


def test_both_forms_may_stand_side_by_side(server):
    form = "(value(data) % 2 ? data.id : id_of(data))"
    server.load(*policy(reporting(form=form, batch=4, **BY_HAND)))
    make_fail(server, 0, 1)
    ids = add_at_once(server, "stream", range(4))
    wait_info(server, "stream", state="waiting", pending=ids[:2])


@pytest.mark.parametrize("order", ["failed.reverse()", "[...failed, ...failed]"], ids=["backwards", "twice"])
def test_the_order_of_the_report_does_not_matter(server, order):
    server.load(*policy(reporting(result=f"{{ failed: {order} }}", batch=4, dead_letter="dead")))
    make_fail(server, 1, 2)
    add_at_once(server, "stream", range(4))
    wait_dead_letters(server, 1, 2)
    server.wait_stream(total_record_processed=4)


@sync_and_async
def test_the_report_may_bring_its_own_error(server, kind):
    server.load(*policy(reporting(kind, result="{ failed, error: 'out of stock' }", batch=3, dead_letter="dead")))
    make_fail(server, 2)
    add_at_once(server, "stream", range(3))
    [dead_letter] = wait_dead_letters(server, 2)
    assert dead_letter["error"] == "out of stock"
    assert server.stream("stream")["last_error"] == "out of stock"


@pytest.mark.parametrize("result", ["{ failed: [] }", "{}", "[]", "null", "'failed'", "{ error: 'no' }", "true", "7n"])
@sync_and_async
def test_a_result_that_names_nothing_is_no_failure(server, kind, result):
    server.load(*policy(reporting(kind, result=result, batch=2, dead_letter="dead", **BY_HAND)))
    add_at_once(server, "stream", range(4))
    server.wait_stream(pending_ids=[], total_record_processed=4, last_error="None")
    assert tries(server) == ["0,1", "2,3"]
    assert server.run("EXISTS", "dead") == 0


@pytest.mark.parametrize("foreign", ["'7-7'", "[7n, 7n]"])
@sync_and_async
def test_an_id_that_is_not_of_the_batch_makes_the_whole_batch_failed(server, kind, foreign):
    server.load(*policy(reporting(kind, result=f"{{ failed: [...failed, {foreign}] }}", batch=3, **BY_HAND)))
    make_fail(server, 1)
    ids = add_at_once(server, "stream", range(6))
    wait_info(server, "stream", state="waiting", pending=ids[:3])
    error = info(server, "stream")["last_error"]
    assert "7-7" in error and "batch" in error
    command(server, "RETRY", "STREAM", "stream")
    wait_tries(server, 2)
    assert tries(server) == ["0,1,2", "0,1,2"]


def test_an_id_of_the_batch_before_is_not_of_the_batch(server):
    result = "{ failed: last.splice(0, 1, id_of(batch[0])) }"
    server.load(*policy("const last = [];", reporting(result=result, batch=2, dead_letter="dead")))
    add_at_once(server, "stream", range(4))
    dead_letters = wait_dead_letters(server, 2, 3)
    assert all("batch" in dead_letter["error"] for dead_letter in dead_letters)


def test_under_continue_only_what_was_named_goes_to_the_dead_letters(server):
    server.load(*policy(reporting(batch=4, dead_letter="dead")))
    make_fail(server, 0, 2)
    add_at_once(server, "stream", range(8))
    wait_dead_letters(server, 0, 2)
    server.wait_stream(pending_ids=[], total_record_processed=8)
    assert tries(server) == ["0,1,2,3", "4,5,6,7"]


def test_under_abort_only_what_was_named_is_handed_over_again(server):
    server.load(*policy(reporting(batch=4, on_failure="abort")))
    make_fail(server, 2)
    ids = add_at_once(server, "stream", range(8))
    wait_info(server, "stream", state="aborted", pending=[ids[2]])
    make_succeed(server)
    command(server, "RESUME")
    wait_tries(server, 3)
    assert tries(server) == ["0,1,2,3", "2", "4,5,6,7"]


def test_attempts_are_counted_for_each_entry_that_is_named(server):
    server.load(*policy(reporting(batch=2, on_failure="retry", retry_interval=10, max_attempts=3, dead_letter="dead")))
    make_fail(server, 1)
    add_at_once(server, "stream", range(4))
    [dead_letter] = wait_dead_letters(server, 1)
    assert dead_letter["attempts"] == "3"
    wait_tries(server, 4)
    assert tries(server) == ["0,1", "1", "1", "2,3"]


# --- bisect ---------------------------------------------------------------------------------------------------------

BISECT = {"on_failure": "retry", "retry_interval": 10, "bisect": True, "dead_letter": "dead"}


@each_kind
def test_a_failing_batch_is_halved_until_the_failing_entry_is_found(server, kind):
    load_attempting(server, kind, **BISECT, batch=8, max_attempts=3)
    make_fail(server, 5)
    add_at_once(server, "stream", range(16))
    wait_done(server, "0,1,2,3", "4", "6,7", "8,9,10,11,12,13,14,15")
    assert tries(server) == [
        "0,1,2,3,4,5,6,7",
        "0,1,2,3",
        "4,5,6,7",
        "4,5",
        "4",
        "5",
        "5",
        "5",
        "6,7",
        "8,9,10,11,12,13,14,15",
    ]
    [dead_letter] = wait_dead_letters(server, 5)
    assert dead_letter["attempts"] == "3"
    server.wait_stream(pending_ids=[], total_record_processed=16)


def test_several_failing_entries_are_found(server):
    load_attempting(server, **BISECT, batch=10, max_attempts=1)
    make_fail(server, 0, 4, 5, 9)
    add_at_once(server, "stream", range(10))
    wait_dead_letters(server, 0, 4, 5, 9)
    server.wait_stream(pending_ids=[])
    assert sorted(value for text in done(server) for value in text.split(",")) == ["1", "2", "3", "6", "7", "8"]


def test_without_a_limit_the_halves_are_tried_until_the_cause_is_gone(server):
    load_attempting(server, **BISECT, batch=4)
    make_fail(server, 2)
    add_at_once(server, "stream", range(8))
    server.wait(lambda: tries(server).count("2") >= 4, lambda: tries(server))
    assert done(server) == ["0,1"]
    make_succeed(server)
    wait_done(server, "0,1", "2", "3", "4,5,6,7")


# Who does what is asked counts what came through.
COUNTED = """{
    const values = batch.map(value);
    for (const one of values) if (one === '537') throw new Error(`poison ${one}`);
    ask(client, 'SADD', 'processed', ...values);
}"""


@sync_and_async
def test_a_poisonous_entry_among_a_thousand_is_found_and_all_others_are_processed(server, kind):
    start = {"sync": "(client, batch)", "async": "async (client, batch)"}[kind]
    options = BISECT | {"batch": 100, "max_attempts": 3}
    server.load(*policy(consumer(callback=f"{start} => {COUNTED}", options=options)))
    ids = add_at_once(server, "stream", range(1000))
    server.wait(lambda: server.run("SCARD", "processed") >= 999, lambda: info(server, "stream"))
    assert server.run("SISMEMBER", "processed", 537) == 0
    [dead_letter] = wait_dead_letters(server, 537)
    assert (dead_letter["id"], dead_letter["attempts"]) == (ids[537], "3")
    assert "poison 537" in dead_letter["error"]
    wait_info(server, "stream", position=ids[-1], pending=[], given_up=1, dead_letters=1)
    server.wait_stream(id_to_read_from=ids[-1], pending_ids=[])
