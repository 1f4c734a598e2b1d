"""The names that GearsBuilder brings into every library, beside those that a library has itself."""

import pytest

from testing.gears1 import execute, results, wait_counts, wait_logged
from testing.libraries import function

NAMES = ["GearsBuilder", "GB", "execute", "atomic", "log", "hashtag", "gearsConfigGet", "configGet"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "form",
    [
        "function {name}() {{ return 'mine'; }}",
        "var {name} = () => 'mine';",
        "let {name} = () => 'mine';",
        "const {name} = () => 'mine';",
        "{name} = () => 'mine';",
        "globalThis.{name} = () => 'mine';",
        "typeof {name}; {name} = () => 'mine';",
        "delete globalThis.{name}; globalThis.{name} = () => 'mine';",
        "Object.defineProperty(globalThis, '{name}', {{ value: () => 'mine' }});",
    ],
    ids=["function", "var", "let", "const", "assigned", "member", "used before", "deleted", "defined"],
)
def test_a_library_may_have_such_names_of_its_own(server, name, form):
    server.load(form.format(name=name), function("f", f"() => {name}()"))
    assert server.call("f") == "mine"


def test_what_a_library_names_as_it_likes_the_others_keep(server):
    server.load("const log = 5, execute = 6;", function("f", "() => [log, execute, typeof GB, typeof atomic]"))
    assert server.call("f") == [5, 6, "function", "function"]
    steps = "foreach(x => redis.log(`${log}`)).count()"
    code = f"const log = 5, atomic = 6, execute = 7; GB('ShardsIDReader').{steps}.run()"
    assert execute(server, code) == [[1], []]
    assert server.messages() == ["5"]


def test_the_names_are_not_listed_and_both_builders_are_one(server):
    code = """() => [
        Object.keys(globalThis).join(), GB === GearsBuilder, GB() instanceof GB, new GB() instanceof GearsBuilder,
        GB().map(x => x) instanceof GB, GB().constructor === GB, GB.name,
    ]"""
    server.load(function("f", code))
    assert server.call("f") == ["", 1, 1, 1, 1, 1, "GearsBuilder"]


def test_what_a_library_does_to_the_globals_afterwards_does_no_harm(server):
    globals_ = "['Map', 'Set', 'JSON', 'Object', 'Array', 'Promise', 'String', 'Number', 'Date', 'Math', 'ArrayBuffer']"
    harm = f"GB; for (const name of {globals_}) globalThis[name] = undefined;"
    server.add("s", 3, 1, 2)
    plan = "GB('StreamReader').map(x => x.n).sort().countby(x => [x]).distinct()"
    assert len(results(server, f"{harm} {plan}.run('s')")) == 3
    execute(server, f"{harm} GB().foreach(x => log(x.key)).register('k*')")
    server.run("SET", "k", 1)
    wait_logged(server, "k")
    wait_counts(server, 1, 1, 0, 0)


def test_libraries_do_not_see_each_others(server):
    server.load("GB.mine = 5; GB.prototype.map = 5;", function("f", "() => GB.mine"), name="one")
    server.load(function("f", "() => [GB.mine ?? null, typeof GB().map]"), name="two")
    assert server.call("f", library="one") == 5
    assert server.call("f", library="two") == [None, "function"]
