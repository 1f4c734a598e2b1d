"""Each example of Python does what its first lines say, for clients of both protocols."""

import json
import time
from pathlib import Path

import pytest
from redis import ResponseError

from testing.recipes import RECIPES, Recipes

NOON = 1_700_000_000_000
NAMES = sorted(path.stem for path in RECIPES.glob("*.py"))


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def gears(request, server):
    """A server without data, and a client of each protocol."""
    with server.connect(protocol=request.param) as client:
        yield Recipes(server, client)


# --- every one of them


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_tested_here_and_says_how_to_try_it(name):
    assert f'("{name}")' in Path(__file__).read_text()
    text = (RECIPES / f"{name}.py").read_text()
    assert text.startswith(f"#!py name={name}\n\n# ")
    assert f'#   redis-cli RG.PYEXECUTE "$(cat examples/python/{name}.py)"\n' in text


@pytest.mark.parametrize("name", NAMES)
def test_what_registers_is_a_library_as_well_and_what_runs_is_none(server, name):
    code = (RECIPES / f"{name}.py").read_text()
    if ".run(" in code:
        with pytest.raises(ResponseError, match="'run' can only be used"):
            server.run("RG.FUNCTION", "LOAD", code)
        assert server.libraries() == []
    else:
        assert server.run("RG.FUNCTION", "LOAD", code) == "OK"
        assert server.libraries() == [name]


# --- the two of the page about streaming


def test_deny(gears):
    gears.register("deny")
    gears.run("SET", "allowed:1", "value")
    gears.run("SET", "denied:1", "value")
    gears.run("HSET", "denied:2", "a", 1)
    gears.waits_for(["allowed:1"], "KEYS", "*")


def test_keep_entries(gears):
    gears.register("keep_entries")
    gears.add("s1", entry="5-1", a=1, b=2)
    gears.waits_for(str({"streamId": "5-1", "a": "1", "b": "2"}), "GET", "5-1")
    gears.waits_for(0, "XLEN", "s1")


# --- streams


def test_write_behind(gears):
    gears.register("write_behind")
    gears.run("HSET", "person:7", "name", "Miles O'Brien", "age", 38)
    gears.run("HINCRBY", "person:7", "age", 1)
    gears.run("DEL", "person:7")
    head = "REPLACE INTO person (id, age, name) VALUES"
    expected = [
        f"{head} ('7', '38', 'Miles O''Brien');",
        f"{head} ('7', '39', 'Miles O''Brien');",
        "DELETE FROM person WHERE id = '7';",
    ]
    gears.waits_for(expected, "LRANGE", "sql", 0, -1)
    gears.waits_for(0, "XLEN", "changes")


def test_counters(gears):
    gears.register("counters")
    for number, (page, user) in enumerate([("/home", "anna"), ("/home", "bert"), ("/home", "anna"), ("/about", "anna")]):
        gears.add("view", entry=f"{NOON + number}-0", page=page, user=user)
    gears.add("view", entry=f"{NOON + 86_400_000}-0", page="/home", user="carla")
    gears.waits_for({"/home": "4", "/about": "1"}, "HGETALL", "views")
    gears.waits_for(2, "PFCOUNT", "visitors:2023-11-14")
    gears.waits_for(1, "PFCOUNT", "visitors:2023-11-15")


def test_leaderboard(gears):
    gears.register("leaderboard")
    for points, player in enumerate(["anna", "bert", "carla", "dora", "emil", "finn"], 1):
        gears.add("game:1", player=player, points=points)
    gears.waits_for(["finn", "emil", "dora", "carla", "bert"], "LRANGE", "top", 0, -1)
    gears.add("game:2", player="anna", points=9)
    gears.waits_for(["anna", "finn", "emil", "dora", "carla"], "LRANGE", "top", 0, -1)
    news = [found["text"] for found in gears.entries("news")]
    assert news == [f"{name} is number 1" for name in ("anna", "bert", "carla", "dora", "emil", "finn", "anna")]


def test_dedup(gears):
    gears.register("dedup")
    for number in (17, 17, 18, 17):
        gears.add("order", number=number, item="lamp")
    gears.waits_for("2", "GET", "repeated")
    gears.waits_for_entries("unique", {"number": "17", "item": "lamp"}, {"number": "18", "item": "lamp"})
    gears.server.wait_message("GEARS: order 18 is new")
    assert gears.server.messages("GEARS: ") == ["order 17 is new", "order 18 is new"]


def test_popup_store(gears):
    gears.register("popup_store")
    for number in range(1, 26):
        gears.add(f"sale:{number % 2}", product="lamp", units=number, price="19.90")
        gears.add("sale:3", product="chair", units=1, price="45")
    units = sum(range(1, 26))
    lamps = {"units": str(units), "cents": str(units * 1990), "largest": str(25 * 1990)}
    gears.waits_for(lamps, "HGETALL", "product:lamp")
    gears.waits_for({"units": "25", "cents": str(25 * 4500), "largest": "4500"}, "HGETALL", "product:chair")
    assert gears.run("GET", "turnover") == str(units * 1990 + 25 * 4500)
    # Ten at a time: a batch each for what is full.
    assert gears.registration("sales")["numTriggered"] < 50


def test_confirm(gears):
    gears.register("confirm")
    gears.add("purchase:anna", order=17)
    gears.add("purchase:bert", order=18)
    gears.waits_for({"17", "18"}, "SMEMBERS", "waiting")
    gears.add("payment", order=17, euros=20)
    gears.waits_for_entries("paid", {"order": "17", "euros": "20"})
    gears.waits_for(0, "XLEN", "purchase:anna")
    assert gears.run("XLEN", "purchase:bert") == 1
    gears.add("payment", order=18, euros=0)
    gears.waits_for_entries("cancelled", {"order": "18"})
    gears.waits_for_registration("purchases", numSuccess=1, numFailures=1)
    assert "order 18 was cancelled" in gears.registration("purchases")["lastError"]
    gears.add("payment", order=19, euros=1)
    gears.waits_for_registration("payments", numSuccess=2, numFailures=1)
    assert "no order 19 waits" in gears.registration("payments")["lastError"]
    assert len(gears.entries("paid")) == 1


def test_rate_limiter(gears):
    gears.register("rate_limiter")
    for number in range(7):
        gears.add("request", entry=f"{NOON + number}-0", user="anna", what=number)
    gears.add("request", entry=f"{NOON + 8}-0", user="bert", what="x")
    assert [found["what"] for found in gears.entries("accepted")] == [*"01234", "x"]
    assert [found["what"] for found in gears.entries("refused")] == [*"56"]
    gears.add("request", entry=f"{NOON + 10_002}-0", user="anna", what="later")
    assert gears.entries("accepted")[-1] == {"user": "anna", "what": "later"}


def test_enrich(gears):
    gears.register("enrich")
    gears.run("HSET", "sensor:s8", "place", "hall", "unit", "F")
    gears.add("reading", sensor="s7", measured="21.5")
    gears.add("reading", sensor="s8", measured="70")
    gears.waits_for_registration("readings", status="WAITING_FOR_RETRY_ON_FAILURE")
    assert "there is no sensor s7 yet" in gears.registration("readings")["lastError"]
    assert gears.entries("enriched") == []
    gears.run("HSET", "sensor:s7", "place", "kitchen", "unit", "C")
    gears.waits_for_entries(
        "enriched",
        {"sensor": "s7", "place": "kitchen", "text": "21.50 C"},
        {"sensor": "s8", "place": "hall", "text": "70.00 F"},
    )


def test_outliers(gears):
    gears.register("outliers")
    for degrees in (20, 21, 20, 22, 21, 20, 21, 22, 20, 21, 90, 21):
        gears.add("measured:oven", degrees=degrees)
        gears.add("measured:room", degrees=90)
    gears.waits_for(0, "XLEN", "measured:oven")
    gears.waits_for(0, "XLEN", "measured:room")
    assert gears.entries("alarm") == [{"where": "measured:oven", "degrees": "90.0"}]


def test_downsample(gears):
    gears.register("downsample")
    for seconds, degrees in ((0, "20.5"), (5, "21.5"), (60, "3")):
        gears.add("temperature", entry=f"{NOON + 1000 * seconds}-0", degrees=degrees)
    gears.waits_for({"count": "2", "sum": "42", "min": "20.5", "max": "21.5"}, "HGETALL", "minute:2023-11-14T22:13")
    gears.waits_for({"count": "1", "sum": "3", "min": "3.0", "max": "3.0"}, "HGETALL", "minute:2023-11-14T22:14")


def test_json_to_hash(gears):
    gears.register("json_to_hash")
    gears.add("document", json='{"id": 7, "name": {"first": "Zoë"}, "tags": ["a", "b"], "active": true, "none": null, "n": 1.50}')
    for wrong in ('{"id": ', "[1, 2]", '"text"'):
        gears.add("document", json=wrong)
    gears.add("document", other="x")
    gears.waits_for(0, "XLEN", "document")
    assert gears.run("HGETALL", "document:7") == {
        "name.first": "Zoë", "tags.0": "a", "tags.1": "b", "active": "true", "none": "null", "n": "1.5",
    }  # fmt: skip
    assert [(found["json"], found["why"]) for found in gears.entries("rejected")] == [
        ('{"id": ', "JSONDecodeError"), ("[1, 2]", "KeyError"), ('"text"', "KeyError"), ("", "KeyError"),
    ]  # fmt: skip


def test_stock(gears):
    gears.run("HSET", "stock", "lamp", 3, "chair", 1)
    gears.register("stock")
    first = gears.add("basket", lamp=2, chair=2)
    second = gears.add("basket", lamp=1)
    gears.waits_for_registration("baskets", status="WAITING_FOR_RETRY_ON_FAILURE")
    assert "OutOfStock: 1 of chair left, 2 wanted" in gears.registration("baskets")["lastError"]
    assert gears.run("HGETALL", "stock") == {"lamp": "3", "chair": "1"}
    gears.run("HINCRBY", "stock", "chair", 5)
    gears.waits_for([first, second], "LRANGE", "shipped", 0, -1)
    assert gears.run("HGETALL", "stock") == {"lamp": "0", "chair": "4"}


def test_dead_letters(gears):
    gears.register("dead_letters")
    gears.add("job", a=12, b=4)
    bad = gears.add("job", a=1, b=0)
    gears.add("job", a=9, b=2)
    gears.waits_for(["3.0", "4.5"], "LRANGE", "quotients", 0, -1)
    job = str({"streamId": bad, "a": "1", "b": "0"})
    gears.waits_for_entries("dead", {"job": job, "error": "ZeroDivisionError: division by zero", "tries": "3"})
    gears.waits_for([], "KEYS", "tries:*")


def test_timelines(gears):
    gears.run("SADD", "followers:anna", "bert", "carla")
    gears.run("SADD", "followers:bert", "carla")
    gears.register("timelines")
    gears.add("post", author="anna", text="hello")
    gears.add("post", author="bert", text="you too")
    gears.add("post", author="nobody", text="hm")
    gears.waits_for(["bert: you too", "anna: hello"], "LRANGE", "timeline:carla", 0, -1)
    gears.waits_for(0, "XLEN", "post")
    assert gears.run("LRANGE", "timeline:bert", 0, -1) == ["anna: hello"]
    assert sorted(gears.run("KEYS", "timeline:*")) == ["timeline:bert", "timeline:carla"]


def test_fraud(gears):
    gears.register("fraud")
    hour = 3_600_000
    for at, country, euros in ((0, "IT", 20), (1000, "NO", 20), (2000, "IT", 500), (3 * hour, "NO", 30)):
        gears.add("card", entry=f"{NOON + at}-0", number=1234, country=country, euros=euros)
    gears.waits_for_entries(
        "suspicious",
        {"number": "1234", "why": "IT and NO within an hour"},
        {"number": "1234", "why": "500.00 euros, usually 20.00"},
    )
    gears.waits_for_entries("cleared", *[{"number": "1234", "why": "-"}] * 2)
    assert gears.run("HMGET", "card:1234", "country", "usual") == ["NO", "21.0"]


def test_hashtags(gears):
    gears.register("hashtags")
    gears.add("message", entry=f"{NOON}-0", text="Streams in #Redis are #fun, #redis is too")
    gears.add("message", entry=f"{NOON + 1}-0", text="#FUN, # and nothing#else")
    gears.waits_for(0, "XLEN", "message")
    key = f"tags:{NOON // 3_600_000}"
    scores = {tag: float(gears.run("ZSCORE", key, tag)) for tag in gears.run("ZRANGE", key, 0, -1)}
    assert scores == {"redis": 1, "fun": 2, "else": 1}
    assert 0 < gears.run("TTL", key) <= 86_400


def test_priority_queue(gears):
    gears.register("priority_queue")
    for name, urgency in (("tidy", 1), ("phone", 5), ("fire", 9), ("letter", 5), ("water", 8)):
        gears.add("task", name=name, urgency=urgency)
    gears.waits_for(["fire", "water", "phone"], "LRANGE", "next", 0, -1)


# --- keys


def test_session_expiry(gears):
    gears.register("session_expiry")
    gears.run("HSET", "session:1", "user", "anna")
    gears.run("HSET", "session:2", "user", "bert")
    assert 0 < gears.run("TTL", "session:1") <= 1800
    gears.run("DEL", "session:2")
    gears.run("PEXPIRE", "session:1", 1)
    gears.waits_for_entries("ended", {"user": "bert", "why": "left"}, {"user": "anna", "why": "expired"})
    assert gears.run("EXISTS", "users-of-sessions") == 0


def test_secondary_index(gears):
    gears.register("secondary_index")
    gears.run("HSET", "user:1", "name", "anna", "city", "Rome")
    gears.run("HSET", "user:2", "name", "bert", "city", "rome")
    assert gears.run("SMEMBERS", "people-in:ROME") == {"user:1", "user:2"}
    gears.run("HSET", "user:1", "city", "Oslo")
    assert gears.run("SMEMBERS", "people-in:ROME") == {"user:2"}
    gears.run("RENAME", "user:2", "user:3")
    assert gears.run("SMEMBERS", "people-in:ROME") == {"user:3"}
    gears.run("HDEL", "user:3", "city")
    assert gears.run("EXISTS", "people-in:ROME") == 0
    gears.run("SET", "user:1", "no hash")
    assert gears.run("KEYS", "people-in:*") == []
    assert gears.run("EXISTS", "cities") == 0


def test_versions(gears):
    gears.register("versions")
    before = int(time.time())
    for value in ("one", "two", "three"):
        gears.run("SET", "page:home", value)
    gears.run("APPEND", "page:home", " and a half")
    gears.run("LPUSH", "page:list", "x")
    kept = [json.loads(text) for text in gears.run("LRANGE", "versions:page:home", 0, -1)]
    assert [one["value"] for one in kept] == ["three and a half", "three", "two"]
    assert all(before <= one["at"] <= time.time() for one in kept)
    assert gears.run("EXISTS", "versions:page:list") == 0


def test_audit(gears):
    gears.register("audit")
    gears.run("SET", "account:1", 100)
    gears.run("INCRBY", "account:1", -30)
    gears.run("DEL", "account:1")
    assert gears.run("LRANGE", "audit", 0, -1) == [
        "1. set    account:1: None -> '100'",
        "2. incrby account:1: '100' -> '70'",
        "3. del    account:1: '70' -> None",
    ]


# --- runs


def test_word_count(gears):
    gears.run("SET", "text:1", "To be, or not to be")
    gears.run("SET", "text:2", "to do")
    gears.run("RPUSH", "text:3", "to", "to")
    assert gears.load("word_count") == [[[["to", 3], ["be", 2], ["do", 1]]], []]
    assert gears.server.libraries() == []


def test_delete_by_pattern(gears):
    for number in range(500):
        gears.run("SET", f"temporary:{number}", "x")
    gears.run("SET", "other", "x")
    assert gears.load("delete_by_pattern") == [[500], []]
    assert gears.run("KEYS", "*") == ["other"]


def test_keys_by_type(gears):
    gears.run("SET", "a", "four")
    gears.run("SET", "b", "x" * 2000)
    gears.run("RPUSH", "c", 1, 2, 3)
    gears.run("XADD", "d", "*", "a", 1)
    [lines, errors] = gears.load("keys_by_type")
    assert errors == []
    expected = ["string: 2 keys, 2,004 elements", "  list: 1 keys, 3 elements", "stream: 1 keys, 1 elements"]
    assert lines == sorted(expected)


def test_mean_price(gears):
    for euros in ("20", "45.5"):
        gears.add("price", euros=euros)
    assert gears.load("mean_price") == [["32.75"], []]
    assert gears.run("XLEN", "price") == 2
