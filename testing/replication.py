"""Primaries and their replicas."""


def digest(node):
    return node.run("DEBUG", "DIGEST")


def wait_equal(pair):
    """Waits until the replica holds what the primary holds."""
    pair.wait(lambda: digest(pair) == digest(pair.replica), lambda: (digest(pair), digest(pair.replica)))


def settle(primary, *replicas):
    """Waits until the replicas have heard everything and hold the same."""
    digest = ("DEBUG", "DIGEST")
    for replica in replicas:
        primary.wait(lambda node=replica: node.run(*digest) == primary.run(*digest), "they differ")

    def offset(node):
        return node.client.info("replication")["master_repl_offset"]

    primary.wait(lambda: all(offset(node) == offset(primary) for node in replicas), "a replica lags")


def promote(node):
    node.run("REPLICAOF", "NO", "ONE")


def fail_over(primary, replica):
    """The primary dies, and its replica takes over."""
    settle(primary, replica)
    primary.kill()
    promote(replica)
