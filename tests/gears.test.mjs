// Tests of gears.js and its parts with natives that are made up here: node --test gears.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { deserialize, serialize } from "node:v8";
import vm from "node:vm";

const source = (name) => (0, eval)(readFileSync(new URL(`../crates/gears-v8/src/js/${name}`, import.meta.url), "utf8"));
const make_flow = source("gears_flow.js");
const make_builder = source("gears.js");
const parts = ["readers", "shards", "cluster", "functions"].map((part) => source(`gears_${part}.js`));
const make_gears = (native) => make_builder(native, make_flow(), undefined, ...parts);
const AsyncFunction = (async () => {}).constructor;
const tick = () => new Promise((resolve) => setImmediate(resolve));
const status = (text) => Object.assign(new String(text), { __reply_type: "status" });

class RedisError extends Error {
  toString() {
    return this.message;
  }
}

// A server of a few commands, and the natives on top of it.
function world({ loading = true, locked = false, keys = {}, config = {}, cluster = null, natives = {} } = {}) {
  const w = {
    loading, locked, keys: new Map(Object.entries(keys)), commands: [], logged: [], labels: [], streams: [], notifications: [],
    begun: [], ended: [], scheduled: [], aborted: new Set(), sections: [], outside: 0, scan_twice: false, page: 10,
  };
  const taken = new Set();
  const type_of = (value) => {
    if (value === undefined) return "none";
    if (typeof value === "string") return "string";
    return value.type;
  };
  const commands = {
    ping: () => status("PONG"),
    type: (key) => status(type_of(w.keys.get(key))),
    get: (key) => {
      if (type_of(w.keys.get(key)) !== "string") throw new RedisError("WRONGTYPE Operation against a key");
      return w.keys.get(key);
    },
    hgetall: (key) => w.keys.get(key).value,
    lrange: (key) => w.keys.get(key).value,
    smembers: (key) => new Set(w.keys.get(key).value),
    zrange: (key, from, to, withscores) => (assert.equal(withscores, "WITHSCORES"), w.keys.get(key).value),
    exists: (key) => (w.keys.has(key) ? 1n : 0n),
    set: (key, value) => (w.keys.set(key, value), status("OK")),
    del: (key) => (w.keys.delete(key) ? 1n : 0n),
    scan: (cursor, match, pattern, count, size) => {
      assert.deepEqual([match, count], ["MATCH", "COUNT"]);
      w.scan_count = size;
      const names = [...w.keys.keys()];
      const from = Number(cursor);
      const to = from + w.page;
      const start = w.scan_twice ? Math.max(0, from - 2) : from;
      const regexp = new RegExp(`^${pattern.replace(/[*]/g, ".*").replace(/[?]/g, ".")}$`);
      return [to >= names.length ? "0" : String(to), names.slice(start, to).filter((name) => regexp.test(name))];
    },
    xrange: (key, from, to, count, size) => {
      assert.deepEqual([to, count], ["+", "COUNT"]);
      assert.match(from, /^\(/);
      const id = (text) => {
        const match = /^(\d+)(?:-(\d+))?$/.exec(text);
        if (match === null) throw new RedisError("ERR Invalid stream ID specified as stream command argument");
        return BigInt(match[1]) * 2n ** 64n + BigInt(match[2] ?? 0);
      };
      const entries = w.keys.get(key)?.value ?? [];
      const after = id(from.slice(1));
      return entries.filter((entry) => id(entry[0]) > after).slice(0, size);
    },
    cluster: () => {
      if (cluster === null) throw new RedisError("ERR This instance has cluster support disabled");
      return Object.assign(new String(cluster), { __reply_type: "verbatim" });
    },
    boom: () => {
      throw new RedisError("ERR boom");
    },
  };
  const native = {
    config,
    is_async_function: (f) => f instanceof AsyncFunction,
    is_locked: () => w.locked,
    is_loading: () => w.loading,
    redis_log: (message, level) => w.logged.push([message, level]),
    label: (desc, mode) => w.labels.push([desc, mode]),
    execute(words) {
      w.commands.push(words);
      if (!w.locked) w.outside += 1;
      for (const word of words) {
        assert.ok(["string", "number"].includes(typeof word) || ArrayBuffer.isView(word) || word instanceof ArrayBuffer);
      }
      const command = commands[words[0].toLowerCase()];
      if (command === undefined) throw new RedisError(`ERR unknown command '${words[0]}'`);
      w.section?.push(words);
      return command(...words.slice(1));
    },
    atomic(work) {
      if (w.locked) return work();
      w.locked = true;
      w.sections.push((w.section = []));
      try {
        return work();
      } finally {
        w.locked = false;
        w.section = undefined;
      }
    },
    register_stream_consumer(...args) {
      const [name, , , , callback, options] = args;
      if (!w.loading) throw new Error("Called 'register_stream_consumer' out of context");
      if (w.streams.length >= 100) throw new Error("A library can register at most 100 stream consumers");
      if (taken.has(`s${name}`)) throw new Error("Stream registration already exists");
      taken.add(`s${name}`);
      const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
      w.streams.push({ args: [...args.slice(0, 4), given], callback, given, is_async: callback instanceof AsyncFunction });
    },
    register_notifications_consumer(...args) {
      const [name, , callback, options] = args;
      if (!w.loading) throw new Error("Called 'register_notifications_consumer' out of context");
      if (taken.has(`n${name}`)) throw new Error("Notification consumer already exists");
      taken.add(`n${name}`);
      const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
      w.notifications.push({ args: [...args.slice(0, 2), given], callback, given, is_async: callback instanceof AsyncFunction });
    },
    schedule(f, plan) {
      if (w.no_schedule) throw new Error("'run' cannot be used here");
      w.scheduled.push({ f, plan });
    },
    is_in_cluster: () => false,
    on_stage: (f) => (w.on_stage = f),
    execution_begin: (plan) => w.begun.push(plan),
    execution_is_aborted: (id) => w.aborted.has(id),
    execution_end: (...args) => w.ended.push(args),
    ...natives,
  };
  w.native = native;
  w.gears = make_gears(native);
  return Object.assign(w, w.gears);
}

// The records that steps give for an input, by a run over a reader that is made of it.
async function through(input, build, options) {
  const w = world({ loading: false });
  const gb = new w.GearsBuilder("ShardsIDReader").flatmap(() => [...input].reverse());
  return build(gb, w).run("*", options);
}
const results = async (input, build, options) => {
  const [found, errors] = await through(input, build, options);
  assert.deepEqual(errors, []);
  return found;
};
const entry = (id, pairs, name = "s1") => ({
  id: id.split("-").map(BigInt),
  stream_name: name,
  record: pairs,
  get record_raw() {
    return pairs.map(([field, value]) => [field, value].map((text) => new TextEncoder().encode(text ?? "\xff").buffer));
  },
});

describe("operators", () => {
  it("map gives what the function gives, null too", async () => {
    assert.deepEqual(await results([1, 2], (gb) => gb.map((x) => (x === 1 ? null : x * 2))), [null, 4]);
  });
  it("filter keeps what is truthy", async () => {
    assert.deepEqual(await results([0, 1, "", "a", null], (gb) => gb.filter((x) => x)), [1, "a"]);
  });
  it("flatmap gives arrays from their ends, and nothing else element by element", async () => {
    const set = new Set([1]);
    const found = await results([1, 2, 3, 4, 5], (gb) => gb.flatmap((x) => [, [1, 2, 3], [], [9], set, "ab"][x]));
    assert.deepEqual(found, [3, 2, 1, 9, set, "ab"]);
  });
  it("flatmap within flatmap keeps each one's place", async () => {
    const found = await results([1], (gb) => gb.flatmap(() => ["a", "b"]).flatmap((x) => [`${x}1`, `${x}2`]));
    assert.deepEqual(found, ["b2", "b1", "a2", "a1"]);
  });
  it("foreach passes the same object on", async () => {
    const record = { a: 1 };
    const found = await results([record], (gb) => gb.foreach((x) => ((x.b = 2), "ignored")));
    assert.equal(found[0], record);
    assert.deepEqual(record, { a: 1, b: 2 });
  });
  it("limit takes the length first, then the start, and then ends what is before it", async () => {
    let seen = 0;
    const count = (gb) => gb.foreach(() => seen++);
    assert.deepEqual(await results([1, 2, 3, 4, 5], (gb) => count(gb).limit(2)), [1, 2]);
    assert.equal(seen, 2);
    seen = 0;
    assert.deepEqual(await results([1, 2, 3, 4, 5], (gb) => count(gb).limit(2, 1)), [2, 3]);
    assert.equal(seen, 3);
    assert.deepEqual(await results([1, 2, 3], (gb) => gb.limit(0)), []);
    assert.deepEqual(await results([1, 2, 3], (gb) => gb.limit(5, 2)), [3]);
  });
  it("limit behind what gathers, and gathering behind a limit", async () => {
    assert.deepEqual(await results([3, 1, 2], (gb) => gb.sort().limit(2)), [1, 2]);
    assert.deepEqual(await results([3, 1, 2], (gb) => gb.limit(2).count()), [2]);
    let gathered = 0;
    const found = await results([1, 2], (gb) => gb.flatmap((x) => [x, x]).limit(1).accumulate(() => ++gathered));
    assert.deepEqual(found, [1]);
  });
  it("a limit ends the reading", async () => {
    const w = world({ loading: false, keys: Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`k${at}`, "v"])) });
    const [found] = await w.GB().limit(3).run();
    assert.equal(found.length, 3);
    assert.equal(w.commands.filter(([name]) => name === "SCAN").length, 1);
  });
  it("accumulate starts from null, and gives nothing for nothing", async () => {
    const firsts = [];
    const add = (a, r) => (firsts.push(a), (a ?? 0) + r);
    assert.deepEqual(await results([1, 2, 3], (gb) => gb.accumulate(add)), [6]);
    assert.deepEqual(firsts, [null, 1, 3]);
    assert.deepEqual(await results([], (gb) => gb.accumulate(add)), []);
    assert.deepEqual(await results([1], (gb) => gb.accumulate(() => undefined)), [undefined]);
  });
  it("localgroupby and groupby fold by key, in order of first appearance", async () => {
    for (const name of ["localgroupby", "groupby", "localGroupBy", "groupBy"]) {
      const found = await results(["b1", "a1", "b2"], (gb) => gb[name]((x) => x[0], (k, a, r) => [...(a ?? [k]), r]));
      assert.deepEqual(found, [{ key: "b", value: ["b", "b1", "b2"] }, { key: "a", value: ["a", "a1"] }]);
    }
  });
  it("keys are text: strings as they are, objects as JSON, the rest by String", async () => {
    const values = ["x", 100, null, { a: 1n }, [1, "b"], new String("s"), new Set([1]), new Uint8Array([1]).buffer, true, "100"];
    const found = await results(values, (gb) => gb.groupby((x) => x, (_k, a) => (a ?? 0) + 1));
    const keys = ["x", "100", "null", '{"a":"1"}', '[1,"b"]', "s", "[1]", '{"0":1}', "true"];
    assert.deepEqual(found, keys.map((key) => ({ key, value: key === "100" ? 2 : 1 })));
  });
  it("batchgroupby gives lists, keys in reverse order of first appearance", async () => {
    for (const name of ["batchgroupby", "batchGroupBy"]) {
      const calls = [];
      const found = await results(["b1", "a1", "b2"], (gb) => gb[name]((x) => x[0], (k, all) => (calls.push([k, all]), all.length)));
      assert.deepEqual(found, [{ key: "a", value: 1 }, { key: "b", value: 2 }]);
      assert.deepEqual(calls, [["a", ["a1"]], ["b", ["b1", "b2"]]]);
    }
    const found = await results([1, 2], (gb) => gb.batchgroupby((x) => x, async (_, all) => all[0] * 10));
    assert.deepEqual(found, [{ key: "2", value: 20 }, { key: "1", value: 10 }]);
  });
  it("aggregate folds, then combines into a fresh zero", async () => {
    const zero = { sum: [0] };
    const seen = [];
    const sequence = (a, r) => ((a.sum[0] += r), a);
    const combine = (a, r) => (seen.push(structuredClone(a)), { total: a.sum[0] + r.sum[0] });
    const build = (gb) => gb.aggregate(zero, sequence, combine);
    assert.deepEqual(await results([1, 2, 3], build), [{ total: 6 }]);
    assert.deepEqual(await results([1, 2, 3], build), [{ total: 6 }]);
    assert.deepEqual(zero, { sum: [0] });
    assert.deepEqual(seen[0], zero);
    assert.deepEqual(await results([], build), []);
  });
  it("aggregate's accumulator is zero again where it is nothing", async () => {
    const seen = [];
    await results([1, 2, 3], (gb) => gb.aggregate([7], (a) => (seen.push(a), seen.length === 1 ? null : 0), (_, r) => r));
    assert.deepEqual(seen, [[7], [7], 0]);
  });
  it("zeros may be sets and maps, and objects with any name", async () => {
    const zero = JSON.parse('{"__proto__": [1]}');
    const add = (a, r) => (a.__proto__.push(r), a);
    const found = await results([2, 3], (gb) => gb.aggregate(zero, add, (_, r) => r));
    assert.deepEqual(Object.getOwnPropertyDescriptor(found[0], "__proto__").value, [1, 2, 3]);
    const union = (gb) => gb.aggregate(new Set([[0]]), (a, r) => a.add(r), (_, r) => r);
    assert.deepEqual(await results([1], union), [new Set([[0], 1])]);
    const map = (gb) => gb.aggregate(new Map(), (a, r) => a.set(r, 1), (_, r) => r);
    assert.deepEqual(await results([1], map), [new Map([[1, 1]])]);
    assert.deepEqual(await results([1], map), [new Map([[1, 1]])]);
  });
  it("aggregateby folds by key, then combines the values", async () => {
    for (const name of ["aggregateby", "aggregateBy"]) {
      const seen = [];
      const found = await results([1, 2, 3], (gb) =>
        gb[name]((x) => (x % 2 ? "odd" : "even"), 0, (k, a, r) => a + r, (k, a, r) => (seen.push([k, a, r]), a + r)));
      assert.deepEqual(found, [{ key: "odd", value: 4 }, { key: "even", value: 2 }]);
      assert.deepEqual(seen, [["odd", 0, 4], ["even", 0, 2]]);
    }
  });
  it("count counts, and gives nothing for nothing", async () => {
    assert.deepEqual(await results(["a", null, "a"], (gb) => gb.count()), [3]);
    assert.deepEqual(await results([], (gb) => gb.count()), []);
  });
  it("countby counts by value, or by what the extractor gives", async () => {
    assert.deepEqual(await results([1, "1", "b"], (gb) => gb.countby()), [{ key: "1", value: 2 }, { key: "b", value: 1 }]);
    assert.deepEqual(await results(["a1", "a2"], (gb) => gb.countBy((x) => x[0])), [{ key: "a", value: 2 }]);
  });
  it("sort is ascending, sort(false) descending", async () => {
    assert.deepEqual(await results([10, 9, 1, 2n, 100], (gb) => gb.sort()), [1, 2n, 9, 10, 100]);
    assert.deepEqual(await results([10, 9, 100], (gb) => gb.sort(true)), [9, 10, 100]);
    assert.deepEqual(await results([10, 9, 100], (gb) => gb.sort(false)), [100, 10, 9]);
    assert.deepEqual(await results([10, 9, 100], (gb) => gb.sort({ reverse: false })), [100, 10, 9]);
    assert.deepEqual(await results(["b", "a", new String("aa")].map(String), (gb) => gb.sort()), ["a", "aa", "b"]);
    assert.deepEqual(await results([[2, "a"], [1, "b"], [1], [1, "a"]], (gb) => gb.sort()), [[1], [1, "a"], [1, "b"], [2, "a"]]);
    assert.deepEqual(await results([], (gb) => gb.sort()), []);
  });
  it("sort keeps the order of what is equal, and does not compare what has no order", async () => {
    assert.deepEqual(await results([[1], 1, "x"].slice(1, 2), (gb) => gb.sort()), [1]);
    for (const mixed of [[1, "a"], [{}, {}], [null, 1], [1, [1]]]) {
      const [found, errors] = await through(mixed, (gb) => gb.sort());
      assert.deepEqual(found, []);
      assert.match(errors[0], /^TypeError: sort: records must be/);
    }
  });
  it("distinct goes by value", async () => {
    const input = [1, "1", 1, { a: 1 }, { a: 1 }, '{"a":1}', NaN, NaN, 0, -0, [1], [1], null, undefined, "o1", new String("1")];
    const found = await results(input, (gb) => gb.distinct());
    assert.deepEqual(found, [1, "1", { a: 1 }, '{"a":1}', NaN, 0, [1], null, undefined, "o1"]);
  });
  it("avg is the mean of numbers", async () => {
    assert.deepEqual(await results([1, "2", 6n], (gb) => gb.avg()), [3]);
    assert.deepEqual(await results([{ v: 1 }, { v: 2 }], (gb) => gb.avg((x) => x.v)), [1.5]);
    assert.deepEqual(await results([], (gb) => gb.avg()), []);
    const [found, errors] = await through([1, "x", 3], (gb) => gb.avg());
    assert.deepEqual([found, errors], [[2], ["TypeError: avg: x is not a number"]]);
  });
  it("collect and repartition change nothing", async () => {
    assert.deepEqual(await results([2, 1], (gb) => gb.repartition((x) => x).collect()), [2, 1]);
  });
  it("operators return the builder, and refuse what is no function", () => {
    const w = world();
    const gb = w.GB();
    assert.equal(gb.map((x) => x), gb);
    const cases = {
      map: [[], "f"], filter: [[1], "f"], flatMap: [["x"], "f"], forEach: [[null], "f"], accumulate: [[{}], "accumulator"],
      groupby: [[(x) => x], "reducer"], localgroupby: [[1, (x) => x], "extractor"], batchgroupby: [[(x) => x, 1], "reducer"],
      aggregate: [[0, 1, (x) => x], "seqOp"], aggregateby: [[(x) => x, 0, (x) => x], "combOp"], countby: [[5], "extractor"],
      avg: [[5], "extractor"], repartition: [[], "extractor"],
    };
    for (const [name, [args, argument]] of Object.entries(cases)) {
      const message = `Argument '${argument}' of '${name.toLowerCase()}' must be a function`;
      assert.throws(() => gb[name](...args), { name: "TypeError", message });
    }
    assert.throws(() => gb.map(function* () {}), /must be a function/);
    for (const length of [-1, 1.5, "1", undefined]) assert.throws(() => gb.limit(length), /'length' of 'limit'/);
    assert.throws(() => gb.limit(1, -1), /'start' of 'limit'/);
    assert.throws(() => gb.sort("up"), /'reverse' of 'sort' must be a boolean/);
  });
  it("waits for async functions wherever one may be, in order", async () => {
    const later = (f) => async (...args) => (await tick(), f(...args));
    const seen = [];
    const found = await results([1, 2, 3, 4], (gb) => gb
      .map(later((x) => x + 1)).filter(later((x) => x !== 3)).flatmap(later((x) => [x, x * 10]))
      .foreach(later((x) => seen.push(x))).groupby(later((x) => x % 2), later((_k, a, r) => (a ?? 0) + r)));
    assert.deepEqual(seen, [20, 2, 40, 4, 50, 5]);
    assert.deepEqual(found, [{ key: "0", value: 116 }, { key: "1", value: 5 }]);
    assert.deepEqual(await results([1, 2], (gb) => gb.accumulate(later((a, r) => (a ?? 0) + r))), [3]);
    assert.deepEqual(await results([1, 3], (gb) => gb.avg(later((x) => x))), [2]);
  });
});

describe("errors", () => {
  const fail_on = (bad) => (x) => {
    if (x === bad) throw new Error(`no ${x}`);
    return x;
  };
  it("a failing step makes an error of its record, and what is read goes on", async () => {
    assert.deepEqual(await through([1, 2, 3], (gb) => gb.map(fail_on(2))), [[1, 3], ["Error: no 2"]]);
    assert.deepEqual(await through([1, 2], (gb) => gb.map(async (x) => fail_on(1)(x))), [[2], ["Error: no 1"]]);
  });
  it("nothing is read behind an error", async () => {
    const w = world({ loading: false, keys: { s: { type: "stream", value: [["1-0", []], ["2-0", []], ["3-0", []]] } } });
    const seen = [];
    const [found, errors] = await w.GB("StreamReader").foreach((x) => seen.push(x.streamId)).map((x) => fail_on("2-0")(x.streamId)).run("s");
    assert.deepEqual([found, errors, seen], [["1-0"], ["Error: no 2-0"], ["1-0", "2-0"]]);
  });
  it("what was gathered before is given all the same", async () => {
    assert.deepEqual(await through([1, 2, 3], (gb) => gb.map(fail_on(2)).count()), [[2], ["Error: no 2"]]);
  });
  it("a failing accumulator is discarded", async () => {
    assert.deepEqual(await through([1, 2], (gb) => gb.accumulate((_, r) => fail_on(2)(r))), [[], ["Error: no 2"]]);
  });
  it("a failing group is discarded, the others stay", async () => {
    const build = (gb) => gb.groupby((x) => x[0], (_k, _a, r) => fail_on("a2")(r));
    assert.deepEqual(await through(["a1", "b1", "a2"], build), [[{ key: "b", value: "b1" }], ["Error: no a2"]]);
    const late = (gb) => gb.groupby((x) => x[0], async (_k, _a, r) => fail_on("a2")(r));
    assert.deepEqual(await through(["a1", "b1", "a2"], late), [[{ key: "b", value: "b1" }], ["Error: no a2"]]);
  });
  it("a failing extractor discards nothing", async () => {
    for (const extract of [fail_on(2), async (x) => fail_on(2)(x)]) {
      const found = await through([1, 2], (gb) => gb.groupby(extract, () => "x"));
      assert.deepEqual(found, [[{ key: "1", value: "x" }], ["Error: no 2"]]);
    }
  });
  it("a failing batch reducer loses its key", async () => {
    const build = (gb) => gb.batchgroupby((x) => x, (k) => fail_on("2")(k));
    assert.deepEqual(await through([1, 2, 3], build), [[{ key: "3", value: "3" }, { key: "1", value: "1" }], ["Error: no 2"]]);
  });
  it("texts of errors", async () => {
    const thrown = ["text", new RedisError("ERR x"), new TypeError("t"), null, Symbol("s"), Object.create(null)];
    const [, errors] = await through(thrown, (gb) => gb.map((x) => {
      throw x;
    }));
    assert.deepEqual(errors, ["text", "ERR x", "TypeError: t", "null", "Symbol(s)", "an exception that has no text"]);
  });
  it("a reader that fails is an error", async () => {
    const w = world({ loading: false });
    assert.deepEqual(await w.GB("StreamReader").run("s", { fromId: "x" }), [
      [], ["ERR Invalid stream ID specified as stream command argument"],
    ]);
    w.native.atomic = () => {
      throw new RedisError("LOADING no");
    };
    const { GB } = make_gears(w.native);
    assert.deepEqual(await GB().count().run(), [[], ["LOADING no"]]);
  });
});

describe("the builder", () => {
  it("is called with and without new", () => {
    const { GearsBuilder, GB } = world();
    assert.equal(GB, GearsBuilder);
    assert.ok(GB() instanceof GearsBuilder);
    assert.ok(new GB() instanceof GearsBuilder);
    assert.equal(GB().constructor, GearsBuilder);
  });
  it("knows its readers", () => {
    const { GB } = world();
    for (const name of ["KeysReader", "KeysOnlyReader", "StreamReader", "ShardsIDReader"]) GB(name);
    for (const name of ["PythonReader", "", null, "toString", "__proto__", 5, {}]) {
      assert.throws(() => GB(name), /reader does not exists/);
    }
    assert.throws(() => GB("KeysReader", "*", 5), /'desc' of 'GearsBuilder'/);
    assert.throws(() => GB("KeysReader", "*", "x".repeat(1001)), /'desc' of 'GearsBuilder'/);
  });
});

describe("run", () => {
  const keys = {
    str: "v",
    hash: { type: "hash", value: { a: "1" } },
    list: { type: "list", value: ["a", "b"] },
    set: { type: "set", value: ["m"] },
    zset: { type: "zset", value: [["m", 1.5]] },
    stream: { type: "stream", value: [["1-0", ["a", "1"]]] },
    json: { type: "ReJSON-RL" },
  };
  it("KeysReader gives keys with values and types", async () => {
    const w = world({ loading: false, keys });
    const [found, errors] = await w.GB().run();
    assert.deepEqual(errors, []);
    const event = null;
    assert.deepEqual(found, [
      { key: "str", value: "v", type: "string", event },
      { key: "hash", value: { a: "1" }, type: "hash", event },
      { key: "list", value: ["a", "b"], type: "list", event },
      { key: "set", value: ["m"], type: "set", event },
      { key: "zset", value: [["m", 1.5]], type: "zset", event },
      { key: "stream", value: null, type: "stream", event },
      { key: "json", value: null, type: "module", event },
    ]);
    assert.equal(w.outside, 0);
    assert.equal(w.locked, false);
  });
  it("takes a pattern, or its default", async () => {
    const w = world({ loading: false, keys: { a1: "x", b1: "y" } });
    assert.deepEqual(await w.GB().map((x) => x.key).run("a*"), [["a1"], []]);
    assert.deepEqual(await w.GB("KeysReader", "b*").map((x) => x.key).run(), [["b1"], []]);
    assert.deepEqual(await w.GB("KeysReader", "b*").map((x) => x.key).run(null, { readValue: false }), [["b1"], []]);
  });
  it("readValue false asks for no value", async () => {
    const w = world({ loading: false, keys });
    const [found] = await w.GB().run("s*", { readValue: false });
    assert.deepEqual(found, ["str", "set", "stream"].map((key) => ({ key, event: null })));
    assert.deepEqual(new Set(w.commands.map(([name]) => name)), new Set(["SCAN"]));
  });
  it("noScan reads that key, if it is there or not", async () => {
    const w = world({ loading: false, keys: { "a*": "x", ab: "y" } });
    assert.deepEqual(await w.GB().run("a*", { noScan: true }), [[{ key: "a*", value: "x", type: "string", event: null }], []]);
    assert.deepEqual(await w.GB().run("no", { noScan: true }), [[{ key: "no", value: null, type: "empty", event: null }], []]);
    assert.deepEqual(await w.GB("KeysOnlyReader").run("a*", { noScan: true }), [["a*"], []]);
    assert.deepEqual(await w.GB("KeysOnlyReader").run("no", { noScan: true }), [[], []]);
  });
  it("gives no key twice", async () => {
    const many = Object.fromEntries(Array.from({ length: 45 }, (_, at) => [`k${at}`, "v"]));
    const w = world({ loading: false, keys: many });
    w.scan_twice = true;
    assert.deepEqual(await w.GB("KeysOnlyReader").run("*", { count: 7 }), [Object.keys(many), []]);
    assert.equal(w.scan_count, 7);
    assert.deepEqual(await w.GB().count().run(), [[45], []]);
  });
  it("reads few values under one lock, steps run without it", async () => {
    const many = Object.fromEntries(Array.from({ length: 950 }, (_, at) => [`k${at}`, "v"]));
    const w = world({ loading: false, keys: many });
    w.page = 1000;
    const [found] = await w.GB().foreach(() => assert.equal(w.locked, false)).count().run();
    assert.deepEqual(found, [950]);
    assert.ok(w.sections.length >= 10);
    for (const section of w.sections) assert.ok(section.length <= 201);
    assert.equal(w.commands.filter(([name]) => name === "SCAN").length, 1);
  });
  it("values that take long are read in more slices", async () => {
    const w = world({ loading: false, keys: { a: "1", b: "2", c: "3" } });
    const { execute } = w.native;
    w.native.execute = (words) => {
      if (words[0] === "GET") for (const end = Date.now() + 25; Date.now() < end; );
      return execute(words);
    };
    const { GB } = make_gears(w.native);
    assert.deepEqual(await GB().map((x) => x.key).run(), [["a", "b", "c"], []]);
    assert.equal(w.sections.filter((section) => section.some(([name]) => name === "GET")).length, 3);
  });
  it("a key that goes away in between is not given", async () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`k${at}`, "v"]));
    const w = world({ loading: false, keys: many });
    w.page = 1000;
    const [found] = await w.GB().foreach(() => w.keys.delete("k150")).count().run();
    assert.deepEqual(found, [199]);
  });
  it("StreamReader gives the entries behind an ID, page by page", async () => {
    const value = Array.from({ length: 250 }, (_, at) => [`${at + 1}-0`, ["n", String(at + 1)]]);
    const w = world({ loading: false, keys: { s: { type: "stream", value } } });
    const [found] = await w.GB("StreamReader").run("s");
    assert.deepEqual(found, value.map(([id, [, n]]) => ({ streamId: id, n })));
    assert.deepEqual(w.commands[1].slice(0, 3), ["XRANGE", "s", "(100-0"]);
    assert.deepEqual(await w.GB("StreamReader").map((x) => x.n).run("s", { fromId: "248-0" }), [["249", "250"], []]);
    assert.deepEqual(await w.GB("StreamReader", "s").limit(1).run(null, { recordFormat: "nested" }), [
      [{ key: "s", id: "1-0", value: { n: "1" } }], [],
    ]);
    assert.deepEqual(await w.GB("StreamReader").run("nothing"), [[], []]);
  });
  it("ShardsIDReader gives one record", async () => {
    assert.deepEqual(await world({ loading: false }).GB("ShardsIDReader").run(), [["1"], []]);
  });
  it("convertToStr makes text of results, unless it does not", async () => {
    const values = [1, "a", { a: 1 }, null, [1n]];
    assert.deepEqual(await results(values, (gb) => gb, { convertToStr: true }), ["1", "a", '{"a":1}', "null", '["1"]']);
    assert.deepEqual(await results(values, (gb) => gb, { collect: true }), values);
  });
  it("tells of the execution, and of its plan", async () => {
    const w = world({ loading: false, keys: { a: "1" } });
    function twice(x) {
      return x.value * 2;
    }
    const promise = w.GB().map(twice).groupBy((x) => x, (_k, a) => a).collect().limit(2).run("*", { convertToStr: true });
    assert.deepEqual(JSON.parse(w.begun[0]), {
      reader: "KeysReader",
      arg: "*",
      steps: [["map", "twice", ""], ["groupby", "", ""], ["collect", "", ""], ["limit", "", ""], ["map", "String", ""]],
    });
    assert.deepEqual(w.ended, []);
    const [found, errors] = await promise;
    assert.deepEqual(w.ended, [[1, found, errors]]);
  });
  it("steps added later are not part of it", async () => {
    const w = world({ loading: false });
    const gb = w.GB("ShardsIDReader");
    const promise = gb.run();
    gb.map(() => "changed");
    assert.deepEqual(await promise, [["1"], []]);
  });
  it("ends when it is aborted", async () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`k${at}`, "v"]));
    for (const build of [(gb, f) => gb.foreach(f), (gb, f) => gb.foreach(async (x) => f(x))]) {
      const w = world({ loading: false, keys: many });
      w.page = 1000;
      let seen = 0;
      const [found, errors] = await build(w.GB(), () => ++seen === 150 && w.aborted.add(1)).run();
      assert.ok(seen >= 150 && seen <= 250, String(seen));
      assert.deepEqual(errors, ["Error: The execution was aborted"]);
      assert.ok(found.length <= seen);
      assert.equal(w.ended.length, 1);
    }
  });
  it("ends when it is aborted amid what one record gave", async () => {
    const w = world({ loading: false });
    let seen = 0;
    const gb = w.GB("ShardsIDReader").flatmap(() => Array(10_000).fill(1)).foreach(() => ++seen === 5 && w.aborted.add(1));
    assert.deepEqual((await gb.run())[1], ["Error: The execution was aborted"]);
    assert.ok(seen <= 200, String(seen));
  });
  it("gives other promises a turn", async () => {
    const w = world({ loading: false });
    let done = false;
    let turns = 0;
    const other = (async () => {
      while (!done) {
        await null;
        turns += 1;
      }
    })();
    await w.GB("ShardsIDReader").flatmap(() => Array(10_000).fill(1)).count().run();
    done = true;
    await other;
    assert.ok(turns >= 90, String(turns));
  });
  it("keeps no record that no step needs", async () => {
    const w = world({ loading: false });
    let live = 0;
    let most = 0;
    const registry = new FinalizationRegistry(() => live--);
    const value = Array.from({ length: 5000 }, (_, at) => [`${at + 1}-0`, ["n", "1"]]);
    w.keys.set("s", { type: "stream", value });
    const [found] = await w.GB("StreamReader").foreach((x) => {
      registry.register(x, 0);
      most = Math.max(most, ++live);
    }).foreach(async (x) => {
      if (x.streamId.endsWith("00-0")) {
        globalThis.gc?.();
        await tick();
      }
    }).count().run("s");
    assert.deepEqual(found, [5000]);
    if (globalThis.gc !== undefined) assert.ok(most < 1000, String(most));
  });
  it("runs within steps", async () => {
    const w = world({ loading: false, keys: { a: "1", b: "2" } });
    const found = await w.GB("ShardsIDReader").map(async () => (await w.GB().count().run())[0][0]).run();
    assert.deepEqual(found, [[2], []]);
    assert.equal(w.begun.length, 2);
  });
  it("at the top level it is scheduled, once", async () => {
    const w = world({ keys: { a: "1" } });
    const promise = w.GB().map((x) => x.key).run();
    assert.equal(w.scheduled.length, 1);
    assert.throws(() => w.GB().run(), /more then 1/);
    assert.equal(JSON.parse(w.scheduled[0].plan).reader, "KeysReader");
    assert.ok(w.native.is_async_function(w.scheduled[0].f));
    w.loading = false;
    assert.deepEqual(await w.scheduled[0].f(undefined, "id"), [["a"], []]);
    assert.deepEqual(await promise, [["a"], []]);
    assert.deepEqual([w.begun, w.ended], [[], []]);
  });
  it("throws where it is not possible", () => {
    const w = world();
    w.no_schedule = true;
    assert.throws(() => w.GB().run(), /cannot be used here/);
    const locked = world({ loading: false, locked: true });
    assert.throws(() => locked.GB().run(), /lock is not held/);
  });
  it("refuses wrong arguments", () => {
    const w = world({ loading: false });
    assert.throws(() => w.GB().run(5), { name: "TypeError", message: "Argument 'arg' of 'run' must be a string" });
    assert.throws(() => w.GB("KeysReader", 5).run(), /'arg' of 'run'/);
    assert.throws(() => w.GB().run("*", { fromId: "0" }), { message: "Unknown argument 'fromId' of 'run'" });
    assert.throws(() => w.GB().run("*", { noScan: 1 }), { message: "Argument 'noScan' of 'run' must be a boolean" });
    assert.throws(() => w.GB().run("*", "x"), /takes one argument/);
    assert.throws(() => w.GB("KeysOnlyReader").run("*", { count: 0 }), /'count' of 'run' must be a whole number between 1/);
    assert.throws(() => w.GB("StreamReader").run("s", { fromId: 1 }), /'fromId' of 'run' must be a string/);
    assert.throws(() => w.GB("StreamReader").run("s", { recordFormat: "x" }), /must be one of flat, nested/);
    assert.deepEqual(w.begun, []);
  });
});

describe("register on streams", () => {
  const register = (...args) => {
    const w = world();
    w.GB("StreamReader").foreach(() => {}).register(...args);
    return w.streams[0];
  };
  it("has the defaults of the original", () => {
    const one = register("s1");
    const options = { exact: true, on_failure: "retry", retry_interval: 1000, scope: "consumer" };
    assert.deepEqual(one.args, ["gears:1", "s1", 1, true, options]);
    assert.ok(one.is_async);
  });
  it("takes a prefix, by position or name", () => {
    assert.deepEqual([register().args[1], register().given.exact], ["", false]);
    assert.deepEqual([register("s*").args[1], register("s*").given.exact], ["s", false]);
    assert.deepEqual(register("*s*").args[1], "*s");
    assert.equal(register({ prefix: "s1" }).args[1], "s1");
    assert.equal(register({ regex: "s*" }).args[1], "s");
    assert.equal(register(null, { prefix: "s1" }).args[1], "s1");
    assert.equal(register(undefined, undefined).args[1], "");
    assert.throws(() => register("s1", { prefix: "s2" }), /'prefix' of 'register' was given more than once/);
    assert.throws(() => register({ prefix: "s", regex: "s" }), /'prefix' of 'register' was given more than once/);
    assert.throws(() => register(5), { name: "TypeError", message: "Argument 'prefix' of 'register' must be a string" });
    assert.throws(() => register({ prefix: 5 }), /Argument 'prefix' of 'register' must be a string/);
    assert.throws(() => register("s1", "sync"), /takes one argument/);
  });
  it("gives only options that go together", () => {
    const given = (args) => register("s1", args).given;
    const base = { exact: true };
    const retry = { ...base, on_failure: "retry", retry_interval: 1000, scope: "consumer" };
    assert.deepEqual(given({ batch: 3, duration: 100 }), { ...retry, batch: 3, duration: 100 });
    assert.deepEqual(given({ batch: 3 }), { ...retry, batch: 3 });
    assert.deepEqual(given({ batch: 1, duration: 100 }), retry);
    assert.deepEqual(given({ onFailedRetryInterval: 0.25 }), { ...retry, retry_interval: 250 });
    assert.deepEqual(given({ onFailedPolicy: "RETRY", onFailedRetryInterval: 0 }), { ...retry, retry_interval: 0 });
    assert.deepEqual(given({ onFailedPolicy: "Continue", onFailedRetryInterval: 5 }), { ...base, on_failure: "continue" });
    assert.deepEqual(given({ onFailedPolicy: "abort" }), { ...base, on_failure: "abort", scope: "consumer" });
    assert.equal(register("s1", { trimStream: false }).args[3], false);
    assert.deepEqual(given({ convertToStr: true, collect: false, batch: null, mode: undefined }), retry);
  });
  it("mode sync continues, and refuses to wait", () => {
    const one = register("s1", { mode: "sync" });
    assert.deepEqual(one.given, { exact: true, on_failure: "continue" });
    assert.equal(one.is_async, false);
    register("s1", { mode: "sync", onFailedPolicy: "continue" });
    for (const onFailedPolicy of ["retry", "ABORT"]) {
      assert.throws(() => register("s1", { mode: "sync", onFailedPolicy }), /'onFailedPolicy' of 'register' cannot be/);
    }
    assert.ok(register("s1", { mode: "async_local" }).is_async);
  });
  it("refuses wrong arguments by name", () => {
    const bad = {
      mode: "x", batch: 0, duration: -1, onFailedPolicy: "x", onFailedRetryInterval: "1", trimStream: 1, convertToStr: "x",
      collect: 1, onRegistered: 1, OnRegistered: {}, recordFormat: "x", regex: 1,
    };
    for (const [name, value] of Object.entries(bad)) {
      const message = new RegExp(`^Argument '${name}' of 'register' must be `);
      assert.throws(() => register("s1", { [name]: value }), { name: "TypeError", message }, name);
    }
    assert.throws(() => register("s1", { batch: 10_001 }), /between 1 and 10000/);
    assert.throws(() => register("s1", { onFailedRetryInterval: Infinity }), /a number of seconds/);
    for (const name of ["eventTypes", "window", "toString", "__proto__x"]) {
      assert.throws(() => register("s1", { [name]: 1 }), { message: `Unknown argument '${name}' of 'register'` });
    }
  });
  it("records are flat unless nested ones are wanted", async () => {
    const seen = [];
    const w = world();
    const gb = w.GB("StreamReader").foreach((x) => seen.push(x));
    gb.register("s1");
    gb.register("s1", { recordFormat: "nested" });
    const pairs = [["a", "1"], ["b", "2"], ["a", "3"], ["__proto__", "p"]];
    await w.streams[0].callback({}, entry("5-1", pairs));
    await w.streams[1].callback({}, entry("5-1", pairs));
    const fields = JSON.parse('{"a": "3", "b": "2", "__proto__": "p"}');
    assert.deepEqual(seen[0], JSON.parse('{"streamId": "5-1", "a": "3", "b": "2", "__proto__": "p"}'));
    assert.ok(Object.hasOwn(seen[0], "__proto__"));
    assert.deepEqual(seen[1], { key: "s1", id: "5-1", value: fields });
    await w.streams[0].callback({}, entry("5-1", [["streamId", "mine"]]));
    assert.deepEqual(seen[2], { streamId: "mine" });
  });
  it("bytes that are not UTF-8 stay bytes", async () => {
    const seen = [];
    const w = world();
    w.GB("StreamReader").foreach((x) => seen.push(x)).register({ recordFormat: "nested" });
    const data = entry("1-0", [["a", null], [null, "b"]], null);
    data.stream_name_raw = new ArrayBuffer(1);
    await w.streams[0].callback({}, data);
    assert.ok(seen[0].key instanceof ArrayBuffer && seen[0].value.a instanceof ArrayBuffer);
    assert.deepEqual(Object.keys(seen[0].value), ["a"]);
  });
  it("a batch is one execution", async () => {
    const seen = [];
    const w = world();
    w.GB("StreamReader").map((x) => Number(x.n)).accumulate((a, r) => (a ?? 0) + r).foreach((x) => seen.push(x)).register("s", { batch: 3 });
    await w.streams[0].callback({}, [1, 2, 3].map((n) => entry(`${n}-0`, [["n", String(n)]])));
    await w.streams[0].callback({}, [4].map((n) => entry(`${n}-0`, [["n", String(n)]])));
    assert.deepEqual(seen, [6, 4]);
  });
  it("throws the first error itself; the rest of the batch is left, unless the policy is to continue", async () => {
    for (const [mode, onFailedPolicy, expected] of [
      ["async", "retry", ["1-0"]],
      ["async", "abort", ["1-0"]],
      ["async", "Continue", ["1-0", "2-0", "3-0"]],
      ["sync", undefined, ["1-0", "2-0", "3-0"]],
    ]) {
      const seen = [];
      const error = Object.assign(new Error("busy"), { retry_after: 5 });
      const w = world();
      w.GB("StreamReader").foreach((x) => seen.push(x.streamId)).foreach(() => {
        throw error;
      }).register("s", { batch: 3, mode, onFailedPolicy });
      const call = async () => w.streams[0].callback({}, [1, 2, 3].map((n) => entry(`${n}-0`, [])));
      await assert.rejects(call, (thrown) => thrown === error);
      assert.deepEqual(seen, expected);
    }
  });
  it("sync callbacks end at once, and cannot wait for promises", () => {
    const seen = [];
    const w = world();
    w.GB("StreamReader").map((x) => x.n).foreach((x) => seen.push(x)).register("s", { mode: "sync" });
    assert.equal(w.streams[0].callback({}, entry("1-0", [["n", "1"]])), undefined);
    assert.deepEqual(seen, ["1"]);
    for (const name of ["map", "filter", "foreach", "flatmap", "accumulate"]) {
      const other = world();
      other.GB("StreamReader")[name](async () => 1).register("s", { mode: "sync" });
      assert.throws(() => other.streams[0].callback({}, entry("1-0", [])), {
        message: "a step returned a promise, which mode 'sync' cannot wait for",
      });
    }
  });
  it("one execution knows nothing of the other", async () => {
    const seen = [];
    const w = world();
    w.GB("StreamReader").foreach(() => tick()).count().foreach((x) => seen.push(x)).register("s");
    const { callback } = w.streams[0];
    await Promise.all([1, 2, 3].map((n) => callback({}, entry(`${n}-0`, []))));
    assert.deepEqual(seen, [1, 1, 1]);
  });
});

describe("register on keys", () => {
  it("has the defaults of the original", () => {
    const w = world();
    w.GB().foreach(() => {}).register();
    assert.deepEqual(w.notifications[0].args, ["gears:1", "", { exact: false, read_value: true }]);
    assert.ok(w.notifications[0].is_async);
  });
  it("passes its filters on", () => {
    const w = world();
    w.GB().register("k", { eventTypes: ["set", "del"], keyTypes: ["hash", "empty"], readValue: false, mode: "sync", noScan: true });
    assert.deepEqual(w.notifications[0].args, [
      "gears:1", "k", { exact: true, read_value: false, event_types: ["set", "del"], key_types: ["hash", "empty"] },
    ]);
    assert.equal(w.notifications[0].is_async, false);
    const bad = { eventTypes: ["set", 5], keyTypes: ["set", "tree"], readValue: "no", noScan: 1 };
    for (const [name, value] of Object.entries(bad)) {
      assert.throws(() => w.GB().register("k", { [name]: value }), new RegExp(`^TypeError: Argument '${name}' of 'register' must be`));
    }
    for (const value of ["set", []]) assert.throws(() => w.GB().register({ eventTypes: value }), /'eventTypes'/);
    assert.throws(() => w.GB().register({ batch: 5 }), { message: "Unknown argument 'batch' of 'register'" });
  });
  it("gives the record of an event", async () => {
    const seen = [];
    const w = world();
    const gb = w.GB().foreach((x) => seen.push(x));
    gb.register();
    gb.register({ readValue: false });
    gb.register({ mode: "sync" });
    const data = { event: "hset", key: "h", type: "hash", value: { a: "1" } };
    for (const { callback } of w.notifications) await callback({}, data);
    const record = { key: "h", value: { a: "1" }, type: "hash", event: "hset" };
    assert.deepEqual(seen, [record, { key: "h", event: "hset" }, record]);
    seen.length = 0;
    await w.notifications[0].callback({}, { event: "del", key: "k", type: "empty", value: null });
    const bytes = new ArrayBuffer(2);
    await w.notifications[0].callback({}, { event: "set", key: null, key_raw: bytes, type: "string", value: null, value_raw: bytes });
    assert.deepEqual(seen[0], { key: "k", value: null, type: "empty", event: "del" });
    assert.equal(seen[1].key, bytes);
    assert.equal(seen[1].value, bytes);
  });
  it("the first snippet of the seed", async () => {
    const w = world({ keys: { x: "1" } });
    w.GearsBuilder().foreach((x) => w.execute("del", x.key)).register();
    await w.notifications[0].callback({}, { event: "set", key: "x", type: "string", value: "1" });
    assert.equal(w.keys.has("x"), false);
  });
});

describe("registrations", () => {
  it("are named by description or ordinal, and labelled", () => {
    const w = world();
    w.GB("StreamReader").register("a");
    w.GB("KeysReader", "*", "mine").register();
    w.GB("StreamReader").register("b", { mode: "async_local" });
    w.GB("StreamReader", "*", "mine").register("c", { mode: "sync" });
    w.GB("StreamReader", "*", "mine").register("d");
    w.GB("StreamReader", "*", "mine").register("e");
    assert.deepEqual(w.streams.map(({ args }) => args[0]), ["gears:1", "gears:3", "mine", "mine:2", "mine:3"]);
    assert.deepEqual(w.notifications.map(({ args }) => args[0]), ["mine"]);
    assert.deepEqual(w.labels.slice(0, 4), [
      [undefined, "async"], ["mine", "async"], [undefined, "async_local"], ["mine", "sync"],
    ]);
  });
  it("find another name where the library has taken it", () => {
    const w = world();
    w.native.register_stream_consumer("gears:1", "", 1, false, () => {}, {});
    w.GB("StreamReader").register("a");
    assert.equal(w.streams[1].args[0], "gears:1:2");
  });
  it("that fail do not count, and other errors come through", () => {
    const w = world();
    assert.throws(() => w.GB("StreamReader").register("s", { batch: -1 }));
    for (let at = 0; at < 100; at++) w.GB("StreamReader", "*", "same").register("s");
    assert.throws(() => w.GB("StreamReader", "*", "same").register("s"), /at most 100/);
    w.GB().register("s");
    assert.equal(w.notifications[0].args[0], "gears:101");
  });
  it("of one builder are copies", async () => {
    const seen = [];
    const w = world();
    const gb = w.GB("StreamReader").map(() => "one");
    gb.register("a");
    gb.foreach((x) => seen.push(x));
    gb.register("b");
    await w.streams[0].callback({}, entry("1-0", []));
    assert.deepEqual(seen, []);
    await w.streams[1].callback({}, entry("1-0", []));
    assert.deepEqual(seen, ["one"]);
  });
  it("call onRegistered, in either spelling, without arguments", async () => {
    const calls = [];
    const w = world();
    w.GB().register({ OnRegistered: (...args) => calls.push(args) });
    w.GB("StreamReader").register("s", { onRegistered: async (...args) => calls.push(args) });
    const [plain, later] = [w.notifications[0].given.on_registered, w.streams[0].given.on_registered];
    assert.deepEqual([plain, later].map(w.native.is_async_function), [false, true]);
    plain({});
    await later({});
    assert.deepEqual(calls, [[], []]);
    const both = { onRegistered() {}, OnRegistered() {} };
    assert.throws(() => w.GB().register(both), /'onRegistered' of 'register' was given more than once/);
  });
  it("are only possible while loading, and with some readers", () => {
    const w = world();
    assert.throws(() => w.GB("ShardsIDReader").register(), /'register' is not possible with the ShardsIDReader/);
    assert.throws(() => w.GB("KeysOnlyReader").register(), /KeysOnlyReader/);
    w.loading = false;
    assert.throws(() => w.GB().register(), /only be used while the library is loaded/);
  });
});

describe("functions", () => {
  it("execute runs commands", () => {
    const w = world({ locked: true });
    assert.equal(String(w.execute("ping")), "PONG");
    assert.deepEqual(w.execute(), []);
    const buffer = new ArrayBuffer(1);
    const view = new Uint8Array(1);
    w.execute("set", buffer, view);
    assert.deepEqual(w.commands.at(-1), ["set", buffer, view]);
    w.execute("set", 5, null);
    assert.deepEqual(w.commands.at(-1), ["set", "5", "null"]);
    w.execute("set", { a: 1 }, 2n ** 70n);
    assert.deepEqual(w.commands.at(-1), ["set", "[object Object]", "1180591620717411303424"]);
    assert.throws(() => w.execute("boom"), { message: "ERR boom" });
    for (const bad of [5, null, undefined, ["set"]]) assert.throws(() => w.execute(bad), /'execute' must be a string/);
  });
  it("atomic holds the lock", () => {
    const w = world();
    assert.equal(w.atomic(() => (assert.ok(w.locked), w.execute("set", "a", "1"), "done")), "done");
    assert.equal(w.locked, false);
    assert.throws(() => w.atomic(() => w.atomic(() => 1)), /inside of 'atomic'/);
    assert.throws(() => w.atomic(() => Promise.resolve()), /returned a promise/);
    assert.throws(() => w.atomic(async () => 1), /async function/);
    assert.throws(() => w.atomic(5), { name: "TypeError", message: "Argument to 'atomic' must be a function" });
    assert.throws(() => w.atomic(() => {
      throw new Error("mine");
    }), /mine/);
    assert.equal(w.atomic(() => 1), 1);
  });
  it("atomic works in sync code, where the lock is held already", () => {
    const w = world({ locked: true });
    assert.equal(w.atomic(() => 1), 1);
    assert.throws(() => w.atomic(() => w.atomic(() => 1)), /inside of 'atomic'/);
    assert.equal(w.atomic(() => 1), 1);
  });
  it("atomic recovers from code that was ended", () => {
    const w = world();
    const context = vm.createContext({ atomic: w.atomic });
    // What is ended from outside runs no `finally`.
    const endless = () => vm.runInContext("atomic(() => { for (;;); })", context, { timeout: 20 });
    assert.throws(endless, { code: "ERR_SCRIPT_EXECUTION_TIMEOUT" });
    w.locked = false;
    assert.equal(w.atomic(() => 1), 1);
    assert.throws(endless, { code: "ERR_SCRIPT_EXECUTION_TIMEOUT" });
    w.locked = true;
    // Sync code cannot tell: once it fails for nothing.
    assert.throws(() => w.atomic(() => 1), /inside of 'atomic'/);
    assert.equal(w.atomic(() => 1), 1);
  });
  it("log writes marked lines", () => {
    const w = world();
    w.log("hello");
    w.log("careful", "warning");
    assert.deepEqual(w.logged, [["GEARS: hello", "notice"], ["GEARS: careful", "warning"]]);
    assert.throws(() => w.log(5), { name: "TypeError", message: "First argument to 'log' must be a string" });
  });
  it("configuration", () => {
    const w = world({ config: { text: "a", number: 5, list: [1], none: null } });
    assert.equal(w.configGet("text"), "a");
    assert.equal(w.gearsConfigGet("number"), "5");
    assert.equal(w.configGet("list"), "[1]");
    assert.equal(w.configGet("missing"), null);
    assert.equal(w.gearsConfigGet("missing", "d"), "d");
    assert.equal(w.gearsConfigGet("none", "d"), "d");
    assert.equal(w.configGet("toString"), null);
    assert.throws(() => w.configGet(5), /must be a string/);
  });

  // As the server does it, by a table.
  const slot_of = (key) => {
    let crc = 0;
    for (const byte of Buffer.from(key)) {
      let part = ((crc >> 8) ^ byte) << 8;
      for (let bit = 0; bit < 8; bit++) part = ((part << 1) ^ (part & 0x8000 ? 0x1021 : 0)) & 0xffff;
      crc = ((crc << 8) & 0xffff) ^ part;
    }
    return crc & 16383;
  };
  it("hashtag is of the lowest slot of the node", () => {
    assert.equal(slot_of("123456789"), 0x31c3 & 16383);
    assert.equal(slot_of("06S"), 0);
    assert.equal(world({ locked: true }).hashtag(), "06S");
    const nodes = (flags, slots, master = "-") => [
      "aa 127.0.0.1:1@1,host master - 0 1 1 connected 0-100 5461-10922",
      `bb 127.0.0.1:2@2 ${flags} ${master} 0 1 2 connected${slots}`,
      "",
    ].join("\n");
    const tag = (...args) => world({ locked: true, cluster: nodes(...args) }).hashtag();
    assert.equal(slot_of(tag("myself,master", " 10923-16383 300 [93->-aa]")), 300);
    assert.equal(slot_of(tag("myself,master", " 16383")), 16383);
    assert.equal(tag("myself,slave", "", "aa"), "06S");
    assert.throws(() => tag("myself,master", ""), /'hashtag' needs a slot, and this node has none/);
    assert.throws(() => {
      const w = world({ locked: true });
      w.native.execute = () => {
        throw new RedisError("NOPERM no");
      };
      make_gears(w.native).hashtag();
    }, /NOPERM/);
  });
  it("there is a hashtag for every slot, found in no time", () => {
    let cluster = "";
    const w = world({ locked: true });
    w.native.execute = () => cluster;
    const { hashtag } = make_gears(w.native);
    let slowest = 0;
    for (let slot = 0; slot < 16384; slot += 41) {
      cluster = `aa 127.0.0.1:1@1 myself,master - 0 1 1 connected ${slot}-16383\n`;
      const begin = performance.now();
      const tag = hashtag();
      slowest = Math.max(slowest, performance.now() - begin);
      assert.equal(slot_of(tag), slot);
      assert.ok(tag.length <= 4);
    }
    assert.ok(slowest < 200, `${slowest} ms`);
  });
});

describe("independence of the library", () => {
  it("goes on where globals are replaced after it was made", async () => {
    const w = world({ keys: { a: "1" } });
    const seen = [];
    w.GB("StreamReader").groupby((x) => x.a, (_k, a) => (a ?? 0) + 1).foreach((x) => seen.push(x)).register("s");
    const kept = {};
    for (const name of ["Array", "Object", "Map", "Set", "Promise", "String", "Number", "JSON", "Math", "Date", "ArrayBuffer"]) {
      kept[name] = globalThis[name];
      globalThis[name] = undefined;
    }
    let promise;
    try {
      promise = w.streams[0].callback({}, { id: [1n, 0n], stream_name: "s", record: [["a", "x"]] });
      w.execute("del", 5);
    } finally {
      kept.Object.assign(globalThis, kept);
    }
    await promise;
    assert.deepEqual(seen, [{ key: "x", value: 1 }]);
    assert.deepEqual(w.commands, [["del", "5"]]);
  });
});

// A cluster of worlds: each shard has the keys of its slots and the same library. What they say to each other is
// cloned; `fails(shard, request)` may throw in place of the answer.
const SLOTS = 16_384;
const slot_of = (key) => {
  const bytes = new TextEncoder().encode(typeof key === "string" ? key : "");
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc % SLOTS;
};
function shards(count, keys, library) {
  const c = { fails: () => {}, asked: [], told: [], plans: {}, tables: (table) => table, bytes: 1 << 30 };
  const bounds = Array.from({ length: count + 1 }, (_, at) => Math.floor((SLOTS * at) / count));
  const names = Array.from({ length: count }, (_, at) => `shard${at}`);
  const ranges = names.map((name, at) => [name, [[bounds[at], bounds[at + 1] - 1]]]);
  const owner = (key) => ranges.findIndex(([, [[first, last]]]) => first <= slot_of(key) && slot_of(key) <= last);
  c.worlds = names.map((name, at) => {
    const own = Object.fromEntries(Object.entries(keys).filter(([key]) => owner(key) === at));
    return world({
      keys: own,
      natives: {
        is_in_cluster: () => true,
        execution_bytes: () => c.bytes,
        digest: () => "same",
        slot_of,
        pack: (value) => Uint8Array.from(serialize(value)).buffer,
        unpack: (chunk) => deserialize(Buffer.from(chunk)),
        table: (resolve) =>
          resolve(JSON.stringify(c.tables({ me: name, shards: ranges, moving: [], is_complete: true }, at))),
        execution_shards: (id, text) => c.told.push((c.notes = JSON.parse(text))),
        execution_plan: (id, text) => (c.plans[name] = JSON.parse(text)),
        ask(to, id, resolve, reject, ...given) {
          assert.equal(id, given[0].id);
          c.asked.push([name, to, given[0].at]);
          const there = c.worlds[names.indexOf(to)];
          const arrived = structuredClone(given);
          Promise.resolve()
            .then(() => (c.fails(to, arrived[0]), there.on_stage({}, ...arrived)))
            .then((came) => resolve(structuredClone(came)), reject);
        },
      },
    });
  });
  c.made = c.worlds.map((w) => {
    const found = library(w);
    w.loading = false;
    return found;
  });
  c.owner = owner;
  return c;
}

describe("over the shards of a cluster", () => {
  const words = ["a", "b", "a c", "d d d", "a b c d", "e", "", "a a"];
  const keys = Object.fromEntries(Array.from({ length: 97 }, (_, at) => [`k${at}`, words[at % words.length]]));
  const sum = (_key, total, { value }) => (total ?? 0) + value;
  const split = (x) => x.value.split(" ");
  const PLANS = {
    records: (gb) => gb.map((x) => x.key),
    count: (gb) => gb.count(),
    "count of nothing": (gb) => gb.filter(() => false).count(),
    countby: (gb) => gb.flatmap(split).countby(),
    "countby, sorted": (gb) => gb.flatmap(split).countby().map((x) => [x.value, x.key]).sort(),
    groupby: (gb) => gb.flatmap(split).groupby((x) => x, (_k, n) => (n ?? 0) + 1),
    "groupby, async": (gb) => gb.flatmap(split).groupby(async (x) => x, async (_k, n) => (n ?? 0) + 1),
    "groupby of groups": (gb) => gb.flatmap(split).groupby((x) => x, (_k, n) => (n ?? 0) + 1).groupby((x) => x.value % 3, sum),
    batchgroupby: (gb) => gb.map((x) => x.key).batchgroupby((x) => x.length, (_k, all) => all.sort().join()),
    aggregate: (gb) => gb.aggregate({ n: 0 }, (a) => ({ n: a.n + 1 }), (a, b) => ({ n: a.n + b.n })),
    aggregateby: (gb) => gb.aggregateby((x) => x.value, 0, (_k, n) => n + 1, (_k, a, b) => a + b),
    avg: (gb) => gb.avg((x) => x.value.length),
    distinct: (gb) => gb.map((x) => x.value).distinct().sort(),
    "distinct, counted": (gb) => gb.flatmap(split).distinct().count(),
    sort: (gb) => gb.map((x) => x.key).sort(false),
    "sort and limit": (gb) => gb.map((x) => x.key).sort().limit(7, 2),
    "collect and limit": (gb) => gb.map(() => 1).collect().limit(5),
    "repartition and group": (gb) => gb.map((x) => x.value).repartition((x) => x).localgroupby((x) => x, (_k, n) => (n ?? 0) + 1),
    "values of all kinds": (gb) => gb.map((x) => [x.key, new Map([[x.key, 5n]]), new Set([1]), null, undefined, 1.5]).collect(),
  };
  const order = (records) => records.map((one) => JSON.stringify(one, (_, value) => (typeof value === "bigint" ? `${value}` : value))).sort();

  for (const [name, build] of Object.entries(PLANS)) {
    it(`${name}: the same as on one shard, whoever is asked`, async () => {
      const alone = world({ keys, loading: false });
      const [expected, none] = await build(alone.GB()).run();
      assert.deepEqual(none, []);
      for (const count of [1, 2, 5]) {
        const c = shards(count, keys, (w) => build(w.GB()));
        for (const gb of c.made) {
          const [found, errors] = await gb.run();
          assert.deepEqual(errors, []);
          if (/sort|distinct$/.test(name)) assert.deepEqual(found, expected);
          else assert.deepEqual(order(found), order(expected));
        }
      }
    });
  }
  it("random chains of operators give what they give on one shard", async () => {
    let seed = 7;
    const random = (below) => ((seed = (seed * 48_271) % 2_147_483_647), seed % below);
    const steps = [
      (gb) => gb.map((x) => `${x}!`), (gb) => gb.filter((x) => String(x).length % 2 === 0), (gb) => gb.flatmap((x) => [x, `${x}x`]),
      (gb) => gb.repartition((x) => x), (gb) => gb.collect(), (gb) => gb.groupby((x) => String(x).length, (_k, n) => (n ?? 0) + 1).map((x) => `${x.key}=${x.value}`),
      (gb) => gb.countby().map((x) => `${x.key}:${x.value}`), (gb) => gb.distinct(), (gb) => gb.sort(), (gb) => gb.count().map((n) => `n${n}`),
    ];
    for (let round = 0; round < 150; round++) {
      const chain = Array.from({ length: 1 + random(5) }, () => steps[random(steps.length)]);
      const build = (w) => chain.reduce((gb, one) => one(gb), w.GB().map((x) => x.value));
      const [expected] = await build(world({ keys, loading: false })).run();
      const c = shards(1 + random(4), keys, build);
      const [found, errors] = await c.made[random(c.made.length)].run();
      assert.deepEqual([order(found), errors], [order(expected), []], String(chain));
    }
  });
  it("steps behind repartition and groupby run on the shard that has the key", async () => {
    const seen = [];
    const c = shards(3, keys, (w) => w.GB().map((x) => x.value).repartition((x) => x).foreach((x) => seen.push([x, w])));
    await c.made[0].run();
    assert.equal(seen.length, 97);
    for (const [x, w] of seen) assert.equal(w, c.worlds[c.owner(x)]);
  });
  it("one key is read where it is, and only there", async () => {
    const c = shards(3, keys, (w) => w.GB().map((x) => x.value));
    assert.deepEqual(await c.made[0].run("k5", { noScan: true }), [["e"], []]);
    assert.deepEqual(c.worlds.map((w) => w.commands.length > 0), c.worlds.map((_, at) => at === c.owner("k5")));
  });
  it("async_local stays on this shard", async () => {
    const c = shards(3, keys, (w) => w.GB().count());
    const counts = await Promise.all(c.made.map(async (gb) => (await gb.run("*", { mode: "async_local" }))[0][0]));
    assert.deepEqual([counts.reduce((a, b) => a + b), c.asked], [97, []]);
  });
  it("each shard has its ID", async () => {
    const c = shards(3, {}, (w) => w.GB("ShardsIDReader").sort());
    assert.deepEqual(await c.made[1].run(), [["shard0", "shard1", "shard2"], []]);
  });
  it("errors of all shards come back, and the rest goes on", async () => {
    const refuse = (x) => {
      if (x.value === "e") throw new Error(`no ${x.key}`);
      return 1;
    };
    const c = shards(3, keys, (w) => w.GB().map(refuse).count());
    const [[found], errors] = await c.made[0].run();
    assert.ok(found < 97);
    assert.equal(errors.length, 3);
    for (const error of errors) assert.match(error, /^Error: no k/);
  });
  it("a shard that fails is an error with its name, in each stage", async () => {
    for (const stage of [0, 1]) {
      const c = shards(3, keys, (w) => w.GB().flatmap(split).countby());
      c.fails = (shard, { at }) => {
        if (shard === "shard2" && at === stage) throw new Error("it is gone");
      };
      const [found, errors] = await c.made[0].run();
      assert.ok(found.length > 0);
      assert.deepEqual(errors, ["ERR shard shard2: it is gone"]);
    }
  });
  it("the code of a shard's error comes first, and once", async () => {
    const c = shards(2, keys, (w) => w.GB().count());
    const texts = ["ERR no", "Err no", "Error: ERR no", "Error: no", "NOPERM no", "TypeError: no", "ERRCLUSTER no", "Errors"];
    const shown = ["no", "no", "no", "no", "NOPERM no", "TypeError: no", "ERRCLUSTER no", "Errors"];
    for (const [at, text] of texts.entries()) {
      c.fails = () => {
        throw new RedisError(text);
      };
      assert.deepEqual((await c.made[0].run())[1], [`ERR shard shard1: ${shown[at]}`]);
    }
  });
  it("slots that move while they are read are named, with the shard", async () => {
    const c = shards(2, keys, (w) => w.GB().count());
    let read = 0;
    c.tables = (table, at) =>
      at === 1 && read++ > 0 ? { ...table, shards: [["shard0", [[0, 8191], [9000, 9001]]], ["shard1", [[8192, 8999], [9002, 16383]]]] } : table;
    const [, errors] = await c.made[0].run();
    assert.deepEqual(errors, ["ERRCLUSTER slots 9000-9001 moved while shard shard1 read: what is in them may be missing, or there twice"]);
    const moving = shards(2, keys, (w) => w.GB().count());
    moving.tables = (table, at) => ({ ...table, moving: at === 1 ? [7, 9000] : [] });
    assert.match((await moving.made[0].run())[1][0], /slots 7, 9000 moved while shard shard1/);
  });
  it("nothing is read where slots have no shard", async () => {
    const c = shards(2, keys, (w) => w.GB().count());
    c.tables = (table) => ({ ...table, is_complete: false });
    assert.deepEqual(await c.made[0].run(), [[], ["ERRCLUSTER some slots have no shard: nothing was read"]]);
  });
  it("a shard with another version of the library is an error", async () => {
    const c = shards(2, keys, (w) => w.GB().count());
    c.worlds[1].native.digest = () => "other";
    assert.deepEqual((await c.made[0].run())[1], ["ERR shard shard1 has another version of the library"]);
  });
  it("what cannot be sent is an error of its record", async () => {
    const c = shards(2, keys, (w) => w.GB().map((x) => (x.key === "k3" ? () => {} : x.key)).collect().count());
    const [[found], errors] = await c.made[1 - c.owner("k3")].run();
    assert.equal(found, 96);
    assert.match(errors[0], /could not be cloned/);
  });
  it("records between two stages are bounded", async () => {
    const c = shards(2, keys, (w) => w.GB().collect());
    c.bytes = 100;
    assert.match((await c.made[0].run())[1][0], /^ERR the records between two stages take \d+ bytes, of execution-memory, 100, at most/);
  });
  it("a builder with steps of a function runs here alone, and says so otherwise", async () => {
    const c = shards(2, keys, (w) => w.GB());
    assert.throws(() => c.made[0].map((x) => x).run(), /make the GearsBuilder at the top level/);
    assert.throws(() => c.worlds[0].GB().run(), /make the GearsBuilder at the top level/);
    const [found] = await c.worlds[0].GB().count().run("*", { mode: "async_local" });
    assert.ok(found[0] < 97);
  });
  it("what each shard does is noted", async () => {
    const refuse = (x) => {
      throw new Error(`no ${x.key}`);
    };
    const c = shards(2, keys, (w) => w.GB().map(refuse).count());
    await c.made[1].run();
    const [[first, status, stages, ms, errors], [second, ...rest]] = c.notes;
    assert.deepEqual([first, status, stages], ["shard0", "done", 1]);
    assert.match(errors[0], /^Error: no k/);
    assert.ok(ms >= 0);
    assert.deepEqual([second, rest[0]], ["shard1", "done"]);
  });
  it("what runs elsewhere is noted with the time that it has had", async () => {
    const wait = () => new Promise((resolve) => setTimeout(resolve, 20));
    const c = shards(2, keys, (w) => w.GB("ShardsIDReader").map(async (shard) => (shard === "shard0" ? wait() : wait().then(wait))).collect().map((x) => x));
    await c.made[0].run();
    const [[, own], [, other, , ms]] = c.told[2];
    assert.deepEqual([own, other], ["done", "running"]);
    assert.ok(ms >= 15, `${ms} ms`);
  });
  it("each shard knows what the run does that it has a stage of", async () => {
    const c = shards(3, keys, (w) => w.GB().map(function f(x) { return x; }).count());
    await c.made[0].run("k*");
    const plan = { reader: "KeysReader", arg: "k*", steps: [["map", "f", ""], ["count", "", ""]] };
    assert.deepEqual(c.plans, { shard1: plan, shard2: plan });
  });
  it("a stage of an aborted run ends on every shard", async () => {
    const c = shards(2, keys, (w) => w.GB().map((x) => x.key));
    c.worlds[1].aborted = { has: () => true };
    const [, errors] = await c.made[0].run();
    assert.deepEqual(errors, ["ERR shard shard1: The execution was aborted"]);
    const [, [shard, status, , , own]] = c.notes;
    assert.deepEqual([shard, status, own], ["shard1", "aborted", []]);
  });
  it("an aborted run gives nothing", async () => {
    const c = shards(2, keys, (w) => w.GB().count());
    c.worlds[0].aborted = { has: () => true };
    assert.deepEqual(await c.made[0].run(), [[], ["Error: The execution was aborted"]]);
  });
  it("what an event leads to goes where the records belong, from where it happened", async () => {
    const seen = [];
    const c = shards(3, keys, (w) => {
      w.GB().map((x) => x.key).flatmap((key) => [`${key}:1`, `${key}:2`]).repartition((key) => key)
        .foreach((key) => seen.push([key, w])).register("*", { readValue: false });
      w.GB().repartition((x) => x.key).register("*", { mode: "async_local", readValue: false });
    });
    await c.worlds[1].notifications[0].callback({}, { key: "x", event: "set" });
    assert.deepEqual(seen.map(([key]) => key).sort(), ["x:1", "x:2"]);
    for (const [key, w] of seen) assert.equal(w, c.worlds[c.owner(key)]);
    const before = c.asked.length;
    await c.worlds[1].notifications[1].callback({}, { key: "x", event: "set" });
    assert.equal(c.asked.length, before);
    c.fails = () => {
      throw new Error("gone");
    };
    const elsewhere = c.worlds.findIndex((_, at) => at !== c.owner("x:1"));
    await assert.rejects(c.worlds[elsewhere].notifications[0].callback({}, { key: "x", event: "set" }), /^ERR shard shard\d: gone$/);
  });
});
