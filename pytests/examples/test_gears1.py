"""The examples of GearsBuilder do what their first lines say."""

from testing.examples import EXAMPLES, fcall, load
from testing.replies import fields

# --- gears1-deny


def test_what_is_denied_is_deleted_and_nothing_else(server):
    load(server, "gears1-deny")
    server.run("SET", "allowed:1", "value")
    server.run("SET", "denied:1", "value")
    server.wait(lambda: server.run("EXISTS", "denied:1") == 0, "it is still there")
    server.run("HSET", "denied:2", "a", 1)
    server.wait(lambda: server.run("EXISTS", "denied:2") == 0, "it is still there")
    assert server.run("KEYS", "*") == ["allowed:1"]
    [registration] = server.run("RG.DUMPREGISTRATIONS")
    assert fields(fields(registration)["RegistrationData"])["numTriggered"] == 2


# --- gears1-stream


def test_an_entry_is_kept_under_its_id(server):
    load(server, "gears1-stream")
    server.run("XADD", "s1", "5-1", "a", "1", "b", "2")
    server.run("XADD", "s10", "5-2", "a", "1")
    server.wait(lambda: server.run("XLEN", "s1") == 0, "it is not trimmed")
    assert server.run("GET", "5-1") == '{"streamId":"5-1","a":"1","b":"2"}'
    assert (server.run("EXISTS", "5-2"), server.run("XLEN", "s10")) == (0, 1)


# --- gears1-wordcount


def test_the_most_frequent_words_come_first(server):
    library = load(server, "gears1-wordcount")
    server.run("SET", "text:1", "to be or not to be")
    server.run("SET", "text:2", "to do")
    server.run("RPUSH", "text:3", "to", "to")
    assert fcall(server, library, "top", 0, "text:*", 2) == [[3, "to"], [2, "be"]]
    assert fcall(server, library, "top", 0, "none:*", 2) == []
    server.run("DEL", "text:3")
    script = (EXAMPLES / "gears1-wordcount.js").read_text().split('RG.JSEXECUTE "')[1].split('"\n')[0]
    [counted, errors] = server.run("RG.JSEXECUTE", script)
    assert (sorted(fields(one)["value"] for one in counted), errors) == ([1, 1, 1, 2, 3], [])
