"""The operators of GearsBuilder: what each makes of the records it gets."""

import pytest
from redis import ResponseError

from testing.gears1 import by_key, each_way_to_run, execute, logged, results
from testing.replies import fields

NUMBERS = "GB('StreamReader').map(x => Number(x.n))"


def of(node, operators, *values, source=NUMBERS):
    """What the operators make of these values, in their order."""
    node.run("DEL", "s")
    if values:
        node.add("s", *values)
    return results(node, f"{source}.{operators}.run('s')")


# What the operators make of 3, 1, 2, 3 and of nothing.
OPERATORS = {
    "map(x => x * 2)": ([6, 2, 4, 6], []),
    "map(() => null)": ([None] * 4, []),
    "filter(x => x > 1)": ([3, 2, 3], []),
    "filter(x => x - 1)": ([3, 2, 3], []),
    "flatmap(x => [x, 'a', x])": ([3, "a", 3, 1, "a", 1, 2, "a", 2, 3, "a", 3], []),
    "flatmap(x => [1, 2])": ([2, 1] * 4, []),
    "flatmap(x => [])": ([], []),
    "flatmap(x => [[x, x]])": ([[3, 3], [1, 1], [2, 2], [3, 3]], []),
    "flatMap(x => x)": ([3, 1, 2, 3], []),
    "foreach(x => x * 2)": ([3, 1, 2, 3], []),
    "forEach(x => x * 2)": ([3, 1, 2, 3], []),
    "map(x => [x]).foreach(x => x.push(0))": ([[3, 0], [1, 0], [2, 0], [3, 0]], []),
    "limit(2)": ([3, 1], []),
    "limit(2, 1)": ([1, 2], []),
    "limit(10, 3)": ([3], []),
    "limit(0)": ([], []),
    "accumulate((a, x) => (a ?? 10) + x)": ([19], []),
    "accumulate((a, x) => a === null ? [x] : [...a, x])": ([[3, 1, 2, 3]], []),
    "aggregate(0, (a, x) => a + x, (a, x) => a + x)": ([9], []),
    "aggregate([], (a, x) => [...a, x], (a, x) => [...a, x.length])": ([[4]], []),
    "aggregate([], (a, x) => { a.push(x); return a; }, (a, x) => { a.push(...x); return a; })": ([[3, 1, 2, 3]], []),
    "count()": ([4], []),
    "sort()": ([1, 2, 3, 3], []),
    "sort(true)": ([1, 2, 3, 3], []),
    "sort(false)": ([3, 3, 2, 1], []),
    "sort({ reverse: false })": ([3, 3, 2, 1], []),
    "map(x => [x, -x]).sort()": ([[1, -1], [2, -2], [3, -3], [3, -3]], []),
    "map(x => ['c', 'b', 'ä', 'a'][x]).sort()": (["a", "a", "b", "ä"], []),
    "distinct()": ([3, 1, 2], []),
    "map(x => ({ x })).distinct().map(x => x.x)": ([3, 1, 2], []),
    "avg()": (["2.25"], []),
    "avg(x => x * 10)": (["22.5"], []),
    "map(x => String(x)).avg()": (["2.25"], []),
    "collect()": ([3, 1, 2, 3], []),
    "repartition(x => x)": ([3, 1, 2, 3], []),
    "collect().repartition(x => x).map(x => x + 1).filter(x => x > 2).limit(1)": ([4], []),
}


@each_way_to_run
@pytest.mark.parametrize("operators", OPERATORS)
def test_of_records_and_of_none(server, way, operators):
    for values, expected in zip(((3, 1, 2, 3), ()), OPERATORS[operators], strict=True):
        server.run("DEL", "s")
        if values:
            server.add("s", *values)
        assert way(server, f"{NUMBERS}.{operators}.run('s')") == [expected, []]


# What the operators make of the numbers 0 to 6, by their remainder, as pairs in their order.
GROUPS = {
    "groupby(x => x % 3, (k, a, x) => (a ?? 0) + x)": [["0", 9], ["1", 5], ["2", 7]],
    "groupBy(x => `k${x % 3}`, (k, a, x) => k)": [["k0", "k0"], ["k1", "k1"], ["k2", "k2"]],
    "localgroupby(x => x % 3, (k, a, x) => (a ?? 0) + x)": [["0", 9], ["1", 5], ["2", 7]],
    "localGroupBy(x => x % 3, (k, a, x) => (a ?? []).concat(x))": [["0", [0, 3, 6]], ["1", [1, 4]], ["2", [2, 5]]],
    "batchgroupby(x => x % 3, (k, all) => all)": [["2", [2, 5]], ["1", [1, 4]], ["0", [0, 3, 6]]],
    "batchGroupBy(x => x % 3, (k, all) => all.length)": [["2", 2], ["1", 2], ["0", 3]],
    "aggregateby(x => x % 3, 0, (k, a, x) => a + x, (k, a, x) => a + x)": [["0", 9], ["1", 5], ["2", 7]],
    "aggregateBy(x => x % 3, [], (k, a, x) => [...a, x], (k, a, x) => [...a, ...x])": [
        ["0", [0, 3, 6]],
        ["1", [1, 4]],
        ["2", [2, 5]],
    ],
    "countby(x => x % 3)": [["0", 3], ["1", 2], ["2", 2]],
    "map(x => x % 3).countBy()": [["0", 3], ["1", 2], ["2", 2]],
    "countby(x => [x % 2, null])": [["[0,null]", 4], ["[1,null]", 3]],
    "countby(x => ({ a: x % 2 }))": [['{"a":0}', 4], ['{"a":1}', 3]],
    "countby(x => x % 2 ? true : 'true')": [["true", 7]],
}


@pytest.mark.parametrize("operators", GROUPS)
def test_of_groups(server, operators):
    found = of(server, operators, *range(7))
    assert [[one["key"], one["value"]] for one in map(fields, found)] == GROUPS[operators]
    assert of(server, operators) == []


def test_steps_follow_each_other_in_their_order(server):
    server.run("HSET", "person:1", "city", "Rome", "age", 20)
    server.run("HSET", "person:2", "city", "Oslo", "age", 30)
    server.run("HSET", "person:3", "city", "Rome", "age", 40)
    server.run("HSET", "person:4", "city", "Bern", "age", 5)
    plan = """
        GB().map(x => x.value)
            .filter(x => Number(x.age) >= 10)
            .groupby(x => x.city, (city, sum, x) => (sum ?? 0) + Number(x.age))
            .run('person:*')
    """
    assert by_key(results(server, plan)) == {"Rome": 60, "Oslo": 30}


def test_words_are_counted(server):
    server.run("SET", "text:1", "to be or not")
    server.run("SET", "text:2", "to be")
    found = results(server, "GB().flatmap(x => x.value.split(' ')).countby().run('text:*')")
    assert by_key(found) == {"to": 2, "be": 2, "or": 1, "not": 1}


def test_limit_ends_the_reading(server):
    server.add("s", *range(1000))
    step = "foreach(x => log(x.n))"
    assert len(results(server, f"GB('StreamReader').{step}.limit(3).run('s')")) == 3
    assert logged(server) == ["0", "1", "2"]


def test_what_comes_behind_a_limit_counts_the_records_that_passed(server):
    assert of(server, "limit(3).count()", *range(10)) == [3]
    assert of(server, "limit(3).sort(false).limit(1)", *range(10)) == [2]


def test_the_zero_of_an_aggregation_is_copied(server):
    plan = f"""
        const zero = {{ all: [] }};
        {NUMBERS}.aggregateby(x => x % 2, zero, (k, a, x) => {{ a.all.push(x); return a; }},
            (k, a, x) => {{ a.all.push(...x.all); return a; }}).map(x => [x.key, x.value.all, zero.all.length]).run('s')
    """
    server.add("s", *range(4))
    assert results(server, plan) == [["0", [0, 2], 0], ["1", [1, 3], 0]]


def test_an_accumulator_may_become_zero_or_empty(server):
    """The first RedisGears began anew there."""
    assert of(server, "aggregate(5, (a, x) => a - x, (a, x) => x)", 5, 1) == [-1]
    assert of(server, "accumulate((a, x) => a === null ? 0 : a + x)", 5, 1) == [1]


def test_equal_values_are_told_apart_by_their_type(server):
    values = "[1, '1', true, 'true', null, 'null', [1], '[1]', { a: 1 }]"
    server.add("s", 1, 2)
    found = results(server, f"GB('StreamReader').flatmap(() => {values}).distinct().count().run('s')")
    assert found == [9]


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ("map(x => x === 2 ? 'a' : x).sort()", "sort: records must be all numbers, all strings, or all arrays of such"),
        ("map(x => ({ x })).sort()", "sort: records must be all numbers, all strings, or all arrays of such"),
        ("map(x => `${x}a`).avg()", "avg: 3a is not a number"),
        ("avg(x => null)", "avg: null is not a number"),
    ],
)
def test_what_an_operator_cannot_take_is_an_error(server, operators, message):
    server.add("s", 3, 1, 2)
    [found, [error]] = execute(server, f"{NUMBERS}.{operators}.run('s')")
    assert found == []
    assert error == f"TypeError: {message}"


WRONG = {
    "map()": "Argument 'f' of 'map' must be a function",
    "map(5)": "Argument 'f' of 'map' must be a function",
    "filter('x')": "Argument 'f' of 'filter' must be a function",
    "flatmap({})": "Argument 'f' of 'flatmap' must be a function",
    "foreach(null)": "Argument 'f' of 'foreach' must be a function",
    "foreach(function* () {})": "Argument 'f' of 'foreach' must be a function",
    "limit()": "Argument 'length' of 'limit' must be a whole number",
    "limit(-1)": "Argument 'length' of 'limit' must be a whole number",
    "limit('5')": "Argument 'length' of 'limit' must be a whole number",
    "limit(5, 1.5)": "Argument 'start' of 'limit' must be a whole number",
    "accumulate(5)": "Argument 'accumulator' of 'accumulate' must be a function",
    "groupby(x => x)": "Argument 'reducer' of 'groupby' must be a function",
    "groupby('a', () => 1)": "Argument 'extractor' of 'groupby' must be a function",
    "localgroupby()": "Argument 'extractor' of 'localgroupby' must be a function",
    "batchgroupby(x => x)": "Argument 'reducer' of 'batchgroupby' must be a function",
    "aggregate(0, x => x)": "Argument 'combOp' of 'aggregate' must be a function",
    "aggregate(0)": "Argument 'seqOp' of 'aggregate' must be a function",
    "aggregateby(5, 0, x => x, x => x)": "Argument 'extractor' of 'aggregateby' must be a function",
    "countby(5)": "Argument 'extractor' of 'countby' must be a function",
    "avg('n')": "Argument 'extractor' of 'avg' must be a function",
    "sort(1)": "Argument 'reverse' of 'sort' must be a boolean",
    "repartition()": "Argument 'extractor' of 'repartition' must be a function",
}


@pytest.mark.parametrize("operator", WRONG)
def test_a_wrong_argument_is_named(server, operator):
    with pytest.raises(ResponseError) as error:
        execute(server, f"GB().{operator}")
    assert f"TypeError: {WRONG[operator]}" in str(error.value)


def test_steps_of_a_registration_are_the_same_operators(server):
    steps = """
        map(x => Number(x.n)).filter(n => n % 2).flatmap(n => [n, -n]).limit(3).sort()
            .accumulate((a, n) => `${a ?? ''}${n} `)
    """.strip()
    execute(
        server, f"GB('StreamReader').{steps}.foreach(text => log(text)).register('s', {{ batch: 5, mode: 'sync' }})"
    )
    server.add("s", *range(1, 11))
    assert logged(server) == ["-3 -1 1 ", "-9 -7 7 "]
