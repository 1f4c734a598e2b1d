"""Clients change libraries at once while nodes die: the beginning of what `chaos/shared_libraries.py` does for minutes."""

from chaos.shared_libraries import Change, Rounds, judge
from testing.launch import REDIS_SERVER

SECONDS = 20


def test_all_shards_have_the_same_libraries_in_the_end_whoever_died(tmp_path_factory, measured):
    rounds = Rounds(lambda: tmp_path_factory.mktemp("node"), SECONDS, 7, REDIS_SERVER)
    try:
        figures = rounds.run()
    finally:
        rounds.close()
    measured(f"libraries of a cluster: {figures}")
    assert figures.get("UPGRADE made", 0) > 0


def change(digest, asked, told, is_made=True):
    return Change("lib", digest, "UPGRADE", asked, "node", told, is_made)


def test_what_was_done_last_or_may_have_been_is_right():
    first, second = change("a", 1, 2), change("b", 3, 4)
    assert judge("lib", [first, second], None, "b") is None
    assert judge("lib", [first, second], None, "a") is not None
    assert judge("lib", [first, second], None, None) is not None
    meanwhile = change("c", 1, 5)
    assert judge("lib", [first, second, meanwhile], None, "c") is None
    open_one = change(None, 1, float("inf"), None)
    assert judge("lib", [first, second, open_one], None, None) is None


def test_what_was_refused_is_wrong():
    refused = change("a", 1, 2, False)
    assert judge("lib", [refused], "before", "a") is not None
    assert judge("lib", [refused], "before", "before") is None
    assert judge("other", [refused], "before", None) is not None
