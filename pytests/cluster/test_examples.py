"""The examples that are about other shards do on a real cluster what their first lines say."""

import re
import shlex

import pytest
from redis import ResponseError
from redis.exceptions import MovedError

from testing.examples import EXAMPLES, fcall, load

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
