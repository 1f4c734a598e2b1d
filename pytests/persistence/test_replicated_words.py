"""The words of what the module tells itself, on replicas and in the append-only file: every release reads those of the
releases before it, so they stay what they are."""

import io

from testing.libraries import RELEASE, consumer, library

AOF = ("--appendonly", "yes", "--appendfsync", "no")


def internal_commands(server):
    """The commands of the module in the append-only file, each a list of words, without their name."""
    [path] = server.appended()
    file = io.BytesIO(path.read_bytes())
    for head in file:
        # There may be annotations, too.
        if head.startswith(b"*"):
            words = [file.read(int(file.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
            if words[0].lower() == b"_rg_internals":
                yield words[1:]


def test_libraries_progress_delivery_states_and_deletions_have_the_words_that_they_always_had(start_server):
    server = start_server(*AOF)
    code = library(consumer(window=3, callback="holding"), RELEASE)
    server.run("RG.FUNCTION", "LOAD", code)
    for number in (1, 2, 3):
        server.run("XADD", "stream", f"{number}-0", "n", number)
    server.wait_message("start ", 3)
    server.release(2)
    server.wait_stream(pending_ids=["1-0", "3-0"])
    server.run("RG.CONSUMER", "PAUSE", "lib", "consumer")
    server.run("RG.CONSUMER", "PAUSE", "lib", "consumer", "STREAM", "stream")
    server.run("RG.CONSUMER", "RESUME", "lib", "consumer")
    server.run("RG.CONSUMER", "RESUME", "lib", "consumer", "STREAM", "stream")
    server.release(1, 3)
    server.wait_stream(pending_ids=[])
    server.run("RG.FUNCTION", "DEL", "lib")

    commands = list(internal_commands(server))
    assert commands[0][0] == b"library" and len(commands[0]) == 2
    # The form's number, then the name and the code.
    assert commands[0][1].startswith(b"\x05\x03lib") and code.encode() in commands[0][1]
    assert commands[-1] == [b"delete", b"lib"]
    # The other consumer has entries released.
    between = [words for words in commands[1:-1] if words[1:3] == [b"lib", b"consumer"]]
    assert {words[0] for words in between} == {b"cursor", b"hold"}
    paused = b"\x01\x00\x00\x00\x00\x00"
    states = [words[3:] for words in between if words[0] == b"hold"]
    assert states == [[paused], [b""]]
    cursors = [words[3:] for words in between if words[0] == b"cursor"]
    pending = b"\x02\x01\x00\x02\x00"
    assert [b"stream", b"3-0", pending] in cursors
    assert [b"stream", b"3-0", pending, paused] in cursors
    assert cursors[-1] == [b"stream", b"3-0", b""]
