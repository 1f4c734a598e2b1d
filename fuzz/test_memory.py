"""Growth from round to round is told from what goes up and down."""


from fuzz.memory import GROWTH, WARM_UP, Memory

MB = 1 << 20


def judged(samples):
    """What is said after each of these rounds of a server: pairs of RSS and data, in bytes."""
    memory, said = Memory(), []
    for rss, data in samples:
        sample = {"one": {"rss": rss, "data": data}}
        if memory.end_round():
            said.append(memory.grown(sample))
        else:
            memory.learn(sample)
    return said


def test_what_goes_up_and_down_is_no_growth():
    samples = [(47 * MB + (number % 3) * MB, 2 * MB + (number % 4) * 1000) for number in range(25)]
    assert judged(samples) == [[]] * (25 - WARM_UP)


def test_the_warm_up_may_grow():
    samples = [(number * 50 * MB, number * 2 * MB) for number in range(WARM_UP)]
    assert judged([*samples, samples[-1]]) == [[]]


def test_a_library_that_is_kept_each_round_is_found_within_a_life():
    said = judged([(47 * MB + number * 2 * MB, 2 * MB) for number in range(25)])
    assert said[0] == []
    assert any("one: rss" in line for line in said[-1])


def test_data_that_is_kept_each_round_is_found_within_a_life():
    said = judged([(47 * MB, 2 * MB + number * (64 << 10)) for number in range(25)])
    assert said[0] == []
    assert any("one: data" in line for line in said[-1])


def test_what_grew_once_and_stays_is_told_by_its_size():
    bounds = {kind: growth >> 10 for kind, growth in GROWTH.items()}
    samples = [(0, 0)] * WARM_UP + [(GROWTH["rss"], GROWTH["data"]), (GROWTH["rss"] + 1024, GROWTH["data"] + 1024)]
    assert judged(samples) == [[], [f"one: {kind} {size + 1} KB, was 0 KB" for kind, size in bounds.items()]]
