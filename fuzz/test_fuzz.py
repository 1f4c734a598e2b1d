"""The generator gives the same operations for the same seed, of every kind; the shrinker finds what is needed."""

import json

from fuzz.operations import KINDS, generate
from fuzz.shrink import shrink

WAYS = {"command", "multi", "leave", "listen", "pick", "reload", "restore", "roles", "wait"}


def test_the_same_seed_gives_the_same_operations():
    assert generate("7/1", 300) == generate("7/1", 300)
    assert generate("7/1", 300) != generate("7/2", 300)


def test_there_are_at_least_44_kinds_and_each_comes():
    found = {one["kind"] for seed in range(20) for one in generate(seed, 300)}
    assert len(KINDS) >= 44
    assert found >= set(KINDS)


def test_a_file_keeps_operations_as_they_are():
    made = generate(3, 500)
    assert json.loads(json.dumps(made)) == made


def test_each_operation_can_be_carried_out():
    for one in generate(5, 2000):
        assert one["do"] in WAYS, one
        words = [one.get("words", ["x"]), *one.get("commands", [])]
        assert all(isinstance(word, str) for line in words for word in line), one


def test_what_is_needed_stays_and_the_rest_goes():
    needed = {3, 40, 77}
    shorter, left = shrink(range(100), lambda some: needed <= set(some), 1000)
    assert shorter == sorted(needed)
    assert left > 0


def test_the_order_stays():
    shorter, _ = shrink([9, 1, 8, 2, 7], lambda some: [one for one in some if one in {9, 2}] == [9, 2], 100)
    assert shorter == [9, 2]


def test_no_more_is_tried_than_is_allowed():
    tried = []

    def fails(some):
        tried.append(some)
        return False

    shorter, left = shrink(range(50), fails, 7)
    assert (len(tried), left, shorter) == (7, 0, list(range(50)))


def test_a_single_operation_is_left_alone():
    assert shrink(["only"], lambda _some: True, 10) == (["only"], 10)
