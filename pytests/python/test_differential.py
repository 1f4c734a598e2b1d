"""What Python scripts print, compared with CPython. docs/python-differences.md lists where they differ, and why."""

import pytest

from testing.differential import Generator, by_cpython, cases, evaluate, whole
from testing.python import execute

# What is known to differ; each has its line in docs/python-differences.md.
KNOWN = {
    "a name of except is gone afterwards": "the name stays",
    "finally runs when a generator is dropped half way": "there is no count of references that would end it",
    "async functions run to their end": "their coroutines are promises, which cannot be driven by hand",
}

# How long a script may take, which is not what is tested here: a hundred expressions take a quarter of a second.
SCRIPT_MS = 10_000
# Expressions in a script, and scripts.
CHUNK = 100
CHUNKS = 30


@pytest.fixture(autouse=True)
def time_for_scripts(server):
    server.set_timeout(SCRIPT_MS)


def parameters():
    for topic, name, script in cases():
        marks = [pytest.mark.xfail(reason=KNOWN[name], strict=True)] if name in KNOWN else []
        yield pytest.param(script, id=f"{topic}: {name}", marks=marks)


def by_library(server, script):
    """What a library prints for it."""
    [[printed], errors] = execute(server, whole(script))
    assert errors == []
    return printed


@pytest.mark.parametrize("script", list(parameters()))
def test_a_script_prints_what_cpython_prints(server, script):
    assert by_library(server, script) == by_cpython(script)


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_expressions_have_the_values_that_cpython_gives_them(server, seed, measured):
    expressions = Generator(seed).expressions(CHUNK)
    script = evaluate(expressions)
    expected = by_cpython(script).splitlines()
    found = by_library(server, script).splitlines()
    assert len(expected) == len(found) == CHUNK
    different = [
        f"{expression}: {one}, not {other}"
        for expression, one, other in zip(expressions, found, expected, strict=True)
        if one != other
    ]
    measured(f"{len(different)} of {CHUNK} expressions differ from CPython")
    assert len(different) <= CHUNK * 0.03, "\n".join(different)


def test_nearly_all_cases_print_what_cpython_prints():
    names = [name for _, name, _ in cases()]
    assert len(names) >= 120 and len(set(names)) == len(names)
    assert set(KNOWN) <= set(names)
    assert len(KNOWN) <= len(names) * 0.03
