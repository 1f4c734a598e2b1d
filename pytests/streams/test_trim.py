"""Trimming: what no consumer needs any more goes, and nothing else."""

from testing.libraries import RELEASE, consumer, library


def length(server, stream="stream"):
    return server.run("XLEN", stream)


def wait_length(server, expected, stream="stream"):
    server.wait(lambda: length(server, stream) == expected, lambda: length(server, stream))


def test_a_stream_is_empty_after_its_sync_consumer_is_done(server):
    server.load(consumer(trim=True))
    for number in range(20):
        server.add("stream", number)
        assert length(server) == 0
    assert len(server.seen()) == 20


def test_a_stream_is_empty_after_its_async_consumer_is_done(server):
    server.load(consumer(trim=True, window=3, callback="async (client, data) => saw(data)"))
    server.add("stream", *range(100))
    wait_length(server, 0)
    assert len(server.seen()) == 100


def test_without_trim_everything_stays(server):
    server.load(consumer())
    server.add("stream", *range(20))
    assert len(server.seen()) == 20
    assert length(server) == 20


def test_a_backlog_is_trimmed_too(server):
    server.add("stream", *range(1000))
    server.load(consumer(trim=True))
    wait_length(server, 0)
    assert server.seen() == [f"stream {number}" for number in range(1000)]


def test_a_stream_that_no_trimming_consumer_matches_stays(server):
    server.load(consumer(trim=True), consumer("other", "elsewhere"))
    server.add("elsewhere", *range(5))
    server.add("stream", 1)
    assert length(server) == 0
    assert length(server, "elsewhere") == 5


def test_a_slow_consumer_holds_back_the_trim(server):
    server.load(consumer("quick", trim=True))
    server.load(consumer("slow", callback="holding"), RELEASE, name="slow")
    server.add("stream", *range(4))
    assert len(server.seen()) == 4
    for number in range(4):
        server.wait_message(f"start {number} ")
        assert length(server) == 4 - number
        server.release(number)
        wait_length(server, 3 - number)


def test_the_slow_consumer_may_be_the_one_that_trims(server):
    server.load(consumer("quick"))
    server.load(consumer("slow", trim=True, callback="holding"), RELEASE, name="slow")
    server.add("stream", *range(2))
    server.wait_message("start 0 ")
    assert length(server) == 2
    server.release(0)
    wait_length(server, 1)
    server.wait_message("start 1 ")
    server.release(1)
    wait_length(server, 0)


def test_a_consumer_that_has_read_nothing_yet_holds_back_the_trim(server):
    server.load(consumer("quick"), name="quick")
    server.add("stream", *range(5))
    # In one go: the new consumer had no time to read when the other one wants to trim.
    pipe = server.client.pipeline(transaction=False)
    pipe.execute_command("RG.FUNCTION", "LOAD", library(consumer("late", callback="holding"), RELEASE, name="late"))
    pipe.execute_command("RG.FUNCTION", "LOAD", "UPGRADE", library(consumer("quick", trim=True), name="quick"))
    pipe.execute_command("XADD", "stream", "*", "n", 5)
    pipe.execute()
    server.wait_seen(*(f"stream {number}" for number in range(6)))
    for number in range(6):
        server.wait_message(f"start {number} ")
        assert length(server) == 6 - number
        server.release(number)
    wait_length(server, 0)
    server.wait_for([str(number) for number in range(6)], lambda: server.messages("end "))


def test_finished_out_of_order_the_oldest_unfinished_entry_stays(server):
    server.load(consumer(window=3, trim=True, callback="holding"), RELEASE)
    ids = server.add("stream", 1, 2, 3)
    server.wait_message("start ", 3)
    for ended, left in ((2, [ids[0], ids[2]]), (3, [ids[0]])):
        server.release(ended)
        server.wait_stream(pending_ids=left)
        assert [entry for entry, _ in server.client.xrange("stream")] == ids
    server.release(1)
    wait_length(server, 0)
    stream = server.stream("stream")
    assert (stream["pending_ids"], stream["total_record_processed"]) == ([], 3)


def test_another_consumers_trim_respects_an_entry_that_is_finished_out_of_order(server):
    server.load(consumer(window=3, callback="holding"), RELEASE)
    server.load(consumer("quick", trim=True), name="quick")
    ids = server.add("stream", 1, 2, 3)
    server.wait_message("start ", 3)
    server.release(2)
    server.wait_stream(pending_ids=[ids[0], ids[2]])
    ids += server.add("stream", 4)
    assert server.seen()[-1] == "stream 4"
    assert [entry for entry, _ in server.client.xrange("stream")] == ids
    for ended in (3, 4, 1):
        server.wait_message(f"start {ended} ")
        server.release(ended)
    wait_length(server, 0)


def test_a_failing_callback_does_not_stop_the_trim(server):
    server.load(consumer(trim=True, callback="(client, data) => { throw new Error('no') }"))
    server.add("stream", *range(3))
    assert length(server) == 0
    assert server.stream("stream")["total_record_processed"] == 3


def test_a_deleted_slow_consumer_no_longer_holds_back_the_trim(server):
    server.load(consumer("quick", trim=True))
    server.load(consumer("slow", callback="holding"), RELEASE, name="slow")
    server.add("stream", *range(3))
    assert length(server) == 3
    server.run("RG.FUNCTION", "DEL", "slow")
    server.add("stream", 3)
    wait_length(server, 0)


def test_each_stream_is_trimmed_on_its_own(server):
    server.load(consumer("quick", trim=True))
    server.load(consumer("slow", "stream:slow", callback="holding"), RELEASE, name="slow")
    ids = server.add("stream:slow", 1)
    server.add("stream:quick", 1)
    assert length(server, "stream:quick") == 0
    server.wait(lambda: server.stream("stream:slow", "slow", "slow")["pending_ids"] == ids)
    assert length(server, "stream:slow") == 1
    server.release(1)
    wait_length(server, 0, "stream:slow")
