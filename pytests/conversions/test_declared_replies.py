"""Replies of common commands are of the types that the declarations give them: CommonReplies in js_api/index.d.ts."""

import json
import re

import pytest

from testing.launch import REPOSITORY

SETUP = [
    *(("SET", "text", "value"), ("SET", "count", 1), ("HSET", "hash", "field", "value"), ("HSET", "hash", "count", 1)),
    *(("RPUSH", "list", "a", "b"), ("SADD", "members", "a"), ("ZADD", "scores", 1.5, "a"), ("XADD", "entries", "1-1", "f", "v")),
]
# Each with one call that finds something, and where null is declared one that finds nothing.
CALLS = {
    "string | null": "get text|get no|getdel text|getdel no|hget hash field|hget hash no|lindex list 0|lindex list 9"
    "|rpoplpush list other|rpoplpush no other|lmove list other left left|lmove no other left left|getex text|getex no",
    "string": "incrbyfloat count 1.5|hincrbyfloat hash count 1.5|getrange text 0 1",
    "bigint": "incr count|incrby count 2|decr count|decrby count 2|append text a|strlen text|setnx text a|del text|unlink text"
    "|exists text|expire text 9|pexpire text 9000|persist text|ttl text|pttl text|hset hash a b|hdel hash field"
    "|hexists hash field|hlen hash|hincrby hash count 1|lpush list a|rpush list a|llen list|lrem list 0 a|sadd members b"
    "|srem members a|scard members|sismember members a|zrem scores a|zcard scores|zcount scores 0 9|xlen entries"
    "|xdel entries 1-1|xtrim entries maxlen 0|publish channel text",
    "number | null": "zscore scores a|zscore scores no",
    "number": "zincrby scores 1 a",
    "string[]": "lrange list 0 -1|hkeys hash|hvals hash|keys *",
    "(string | null)[]": "mget text no|hmget hash field no",
    "Set<string>": "smembers members|sinter members members|sunion members no|sdiff members no",
    "{ [field: string]: string }": "hgetall hash|hgetall no",
    "[id: string, fields: string[]][]": "xrange entries - +|xrevrange entries + -",
}
# What a reply looks like, written down by the script that got it.
SHAPES = {
    "string | null": r"s|null",
    "string": r"s",
    "bigint": r"i",
    "number | null": r"n|null",
    "number": r"n",
    "string[]": r"\[(s,?)+\]",
    "(string | null)[]": r"\[s,null\]",
    "Set<string>": r"Set\[(s,?)+\]",
    "{ [field: string]: string }": r"\{(s,?)*\}",
    "[id: string, fields: string[]][]": r"\[\[s,\[s,s\]\]\]",
}
LIBRARY = """#!js name=lib
const shape = reply =>
    reply === null ? 'null'
    : Array.isArray(reply) ? `[${reply.map(shape)}]`
    : reply instanceof Set ? `Set[${[...reply].map(shape)}]`
    : reply.__reply_type ?? (typeof reply === 'object' ? `{${Object.values(reply).map(shape)}}`
    : { string: 's', bigint: 'i', number: 'n' }[typeof reply]);
redis.register_function('shape', (client, words) => shape(client.call(...JSON.parse(words))));
"""


def declared():
    """The declared type of each command."""
    page = (REPOSITORY / "js_api/index.d.ts").read_text()
    rows = re.search(r"interface CommonReplies \{\n(.*?)\n    \}", page, re.S).group(1)
    return dict(re.fullmatch(r"\s*(\w+): (.*);", row).groups() for row in rows.splitlines())


def test_each_declared_command_is_tried():
    tried = {call.split()[0]: of for of, calls in CALLS.items() for call in calls.split("|")}
    assert tried == declared()


@pytest.mark.parametrize("of", CALLS)
def test_replies_are_of_the_declared_type(server, of):
    server.run("RG.FUNCTION", "LOAD", LIBRARY)
    seen = set()
    for call in CALLS[of].split("|"):
        server.run("DEL", *{words[1] for words in SETUP})
        for words in SETUP:
            server.run(*words)
        found = server.run("RG.FCALL", "lib", "shape", 0, json.dumps(call.split()))
        assert re.fullmatch(SHAPES[of], found), (call, found)
        seen.add(found)
    if of.endswith("| null"):
        assert "null" in seen and len(seen) == 2
