// Assertions about the declarations, made by the compiler: nothing here is ever run.
// A line below `@ts-expect-error` is a wrong use; the check fails if the compiler accepts it.

/** True only for types that are the same, `any` included. */
type Same<A, B> =
    (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
declare function assert_type<_ extends true>(): void;

// --- the record ---------------------------------------------------------------------------------

redis.register_stream_consumer("record", "stream", 1, false, (client, data) => {
    assert_type<Same<typeof client, RedisGears.EitherClient>>();
    assert_type<Same<typeof data, RedisGears.StreamRecord>>();

    const [ms, seq] = data.id;
    assert_type<Same<typeof ms, bigint>>();
    assert_type<Same<typeof seq, bigint>>();
    assert_type<Same<typeof data.stream_name, string | null>>();
    assert_type<Same<typeof data.stream_name_raw, ArrayBuffer>>();
    for (const [field, value] of data.record) {
        assert_type<Same<typeof field, string | null>>();
        assert_type<Same<typeof value, string | null>>();
    }
    for (const [field, value] of data.record_raw) {
        assert_type<Same<typeof field, ArrayBuffer>>();
        assert_type<Same<typeof value, ArrayBuffer>>();
    }

    // @ts-expect-error an ID is no number
    const number: number = ms;
    // @ts-expect-error an ID has two halves
    data.id[2];
    // @ts-expect-error a name may be bytes that are no text
    data.stream_name.length;
    // @ts-expect-error so may a value
    data.record.map(([, value]) => value.length);
    // @ts-expect-error an entry may have fewer pairs
    data.record[0][1];
    // @ts-expect-error pairs, not an object by field
    data.record.temperature;
    // @ts-expect-error bytes are read through a view
    data.record_raw.map(([, value]) => value[0]);
    data.record.push(["field", "value"]);
    // @ts-expect-error the views of bytes are made by the module
    data.stream_name_raw = new ArrayBuffer(1);
    // @ts-expect-error there is no such member
    data.key;
    return number;
});

// --- callbacks ----------------------------------------------------------------------------------

redis.register_stream_consumer("plain", "stream", 1, false, () => {});
redis.register_stream_consumer("value", "stream", 1, false, () => 42);
redis.register_stream_consumer("promise", "stream", 1, false, () => Promise.resolve());
redis.register_stream_consumer("async", "stream", 50, true, async (_client, data) => {
    await Promise.all(data.record.map(async ([field]) => field));
});
const named: RedisGears.StreamCallback = function (_client, data) {
    redis.log(String(data.stream_name));
};
redis.register_stream_consumer("named", "", 1, false, named);
redis.register_stream_consumer("buffer", new Uint8Array([0xff, 0x00]).buffer, 1, false, named);
redis.register_stream_consumer("view", new Uint8Array([0xff, 0x00]), 1n, false, named);

// @ts-expect-error a callback gets two arguments
redis.register_stream_consumer("c", "stream", 1, false, (_client, _data, _third) => {});
// @ts-expect-error the record comes second
redis.register_stream_consumer("c", "stream", 1, false, (data: RedisGears.StreamRecord) => data.id);
// @ts-expect-error a function, not its name
redis.register_stream_consumer("c", "stream", 1, false, "named");

// --- the client of a callback -------------------------------------------------------------------

// Where nothing says what it is, it has the members of both.
redis.register_stream_consumer("c", "stream", 1, false, (client) => client.call("PING"));
redis.register_stream_consumer("c", "stream", 1, false, async (client) => client.block(() => 1));
redis.register_function("f", (client) => client.call("PING"));
redis.register_function("f", async (client) => client.block((locked) => locked.call("PING")));
// @ts-expect-error what neither has
redis.register_function("f", (client) => client.execute("PING"));

// Where it is said, wrong use is found.
redis.register_stream_consumer("c", "stream", 1, false, (client: RedisGears.Client, data) => {
    assert_type<Same<typeof data, RedisGears.StreamRecord>>();
    client.call("XLEN", data.stream_name_raw);
    // @ts-expect-error a plain callback has the lock already
    client.block(() => {});
});
redis.register_stream_consumer("c", "stream", 1, false, async (client: RedisGears.AsyncClient, data) => {
    assert_type<Same<typeof data, RedisGears.StreamRecord>>();
    // @ts-expect-error without the lock there are no commands
    client.call("PING");
    // @ts-expect-error nor is it known whether somebody could be kept waiting
    client.allow_block();
    // @ts-expect-error it is in the background
    client.run_on_background(async () => {});
    client.block((locked) => {
        assert_type<Same<typeof locked, RedisGears.Client>>();
        // @ts-expect-error the lock is not taken twice
        locked.block(() => {});
    });
});
// @ts-expect-error a function that gets an async client is async
redis.register_stream_consumer("c", "stream", 1, false, (client: RedisGears.AsyncClient) => {});
// @ts-expect-error likewise
redis.register_function("f", (client: RedisGears.AsyncClient) => 1);
const plain: RedisGears.FunctionCallback<RedisGears.Client> = (client, key) => client.call("GET", key);
redis.register_function("f", plain);
const background: RedisGears.FunctionCallback<RedisGears.AsyncClient> = async (client, key) =>
    client.block((locked) => locked.call("GET", key));
redis.register_function("f", background);
// @ts-expect-error a string is no client
redis.register_function("f", (client: string) => client);

// --- functions ----------------------------------------------------------------------------------

redis.register_function("f", () => {});
redis.register_function("f", (_client, key, limit) => {
    assert_type<Same<typeof key, string>>();
    return Number(limit);
});
redis.register_function("f", (_client, ...words) => words.length, ["no-writes", "allow-oom"]);
redis.register_function("f", (_client, key) => {
    assert_type<Same<typeof key, ArrayBuffer>>();
    return key.byteLength;
}, ["raw-arguments"]);
redis.register_function("f", (_client, key) => key.byteLength, ["no-writes", "allow-oom", "raw-arguments"]);
redis.register_function("f", (_client, key?: string) => key ?? "nothing was given");

redis.register_function("f", () => 1, {});
redis.register_function("f", (_client, key) => {
    assert_type<Same<typeof key, string>>();
    return key;
}, { flags: ["no-writes"], timeout: 500, run_as: "owner" });
redis.register_function("f", (_client, key) => {
    assert_type<Same<typeof key, ArrayBuffer>>();
    return key.byteLength;
}, { flags: ["raw-arguments"], run_as: "caller" });
redis.register_async_function("f", async (client) => client.block((locked) => locked.call("PING")), { timeout: 500 });
// @ts-expect-error there is no such option
redis.register_function("f", () => 1, { timeouts: 500 });
// @ts-expect-error a time is a number
redis.register_function("f", () => 1, { timeout: "500" });
// @ts-expect-error no user is named
redis.register_function("f", () => 1, { run_as: "anna" });
// @ts-expect-error with the flag they are no text
redis.register_function("f", (_client, key: string) => key.length, { flags: ["raw-arguments"] });

// @ts-expect-error there is no such flag
redis.register_function("f", () => 1, ["no-write"]);
// @ts-expect-error flags are a list
redis.register_function("f", () => 1, "no-writes");
// @ts-expect-error arguments are strings
redis.register_function("f", (_client, count: number) => count);
// @ts-expect-error without the flag they are no bytes
redis.register_function("f", (_client, key: ArrayBuffer) => key.byteLength, ["no-writes"]);
// @ts-expect-error with it they are no text
redis.register_function("f", (_client, key: string) => key.length, ["raw-arguments"]);
// Of flags that are only known when it runs, the arguments may be either.
const flags: RedisGears.FunctionFlag[] = ["no-writes"];
redis.register_function("f", (_client, key) => {
    assert_type<Same<typeof key, string | ArrayBuffer>>();
}, flags);
const of_function: RedisGears.FunctionOptions = { timeout: 5 };
redis.register_function("f", (_client, key) => key.length, of_function);

// @ts-expect-error the function is missing
redis.register_function("f");
// @ts-expect-error the name is a string
redis.register_function(1, () => 1);
// @ts-expect-error there is no fourth argument
redis.register_function("f", () => 1, [], {});

// Results.
redis.register_function("f", () => 1n);
redis.register_function("f", () => [1, "two", null, undefined, [true, new Set(["x"])], new Map([["a", 1]])]);
redis.register_function("f", () => ({ name: "x", nested: { at: new Date() } }));
redis.register_function("f", () => new Uint8Array([1, 2]));
redis.register_function("f", () => new Error("replied as an error"));
redis.register_function("f", async () => ({ late: true }));
redis.register_function("f", () => Promise.all([Promise.resolve(1)]));
redis.register_function("f", (client) => client.call("GET", "key"));
redis.register_function("f", (client) => client.call_raw("GET", "key"));
// @ts-expect-error a function cannot be sent
redis.register_function("f", () => () => 1);
// @ts-expect-error a symbol neither
redis.register_function("f", () => Symbol("x"));
// @ts-expect-error nor a promise of one
redis.register_function("f", async () => Symbol("x"));
// @ts-expect-error nor what only looks like a promise: it is not waited for
redis.register_function("f", () => ({ then: () => 1 }));

redis.register_async_function("f", async (client, key) => {
    assert_type<Same<typeof client, RedisGears.AsyncClient>>();
    assert_type<Same<typeof key, string>>();
    // @ts-expect-error known to be async: no commands without the lock
    client.call("GET", key);
    return client.block((locked) => locked.call("GET", key));
}, ["no-writes"]);
redis.register_async_function("f", async (_client, key) => key.byteLength, ["no-writes", "raw-arguments"]);
// @ts-expect-error it is for async functions
redis.register_async_function("f", () => 1);

// --- remote functions ---------------------------------------------------------------------------

redis.register_remote_function("count", async (client, key: string, by: bigint) => {
    assert_type<Same<typeof client, RedisGears.AsyncClient>>();
    client.block((locked) => locked.call("INCRBY", key, by));
}, { flags: ["allow-oom"] });
// @ts-expect-error a plain function cannot be one
redis.register_remote_function("plain", () => 1);
// @ts-expect-error nor can a function be sent
redis.register_remote_function("function", async () => () => 1);
// @ts-expect-error it gets values, and no bytes
redis.register_remote_function("raw", async () => 1, { flags: ["raw-arguments"] });

redis.register_async_function("call", async (client, key) => {
    const one = await client.run_on_key<number>(key, { name: "count", timeout: 100 }, 1n, new Map([["a", [1, null]]]));
    assert_type<Same<typeof one, number>>();
    const [results, errors] = await client.run_on_all_shards<string>("count", new Uint8Array(1), { deep: { list: [1] } });
    assert_type<Same<typeof errors, unknown[]>>();
    results.shards.map((shard) => shard.length);
    // @ts-expect-error a function cannot be sent
    client.run_on_key(key, "count", () => 1);
    // @ts-expect-error there is no such option
    client.run_on_key(key, { name: "count", retries: 1 });
    // @ts-expect-error a key is needed
    client.run_on_key("count");
    return results[0] ?? "";
});
// What can be cloned may be declared in any way.
interface Item {
    name: string;
    price?: number;
    readonly tags: readonly string[];
}
interface Order {
    id: string;
    items: Item[];
    by_name: Map<string, Item>;
    all: ReadonlySet<Item>;
    at: Date;
    before?: Order;
}
class Point {
    x = 1;
}
class Person {
    name = "";
    greet() {
        return this.name;
    }
}
declare const order: Order;
declare const item: Item;
declare const of_any_type: any;
declare const unknown_value: unknown;

redis.register_remote_function("interface", async (_client, given: Order): Promise<Order> => given);
redis.register_remote_function("list", async (_client, given: Order) => [given, { given }]);
redis.register_remote_function("some", async (_client, given: Order | undefined) => {
    if (given === undefined) return;
    return new Map([[1, { given }]]);
});
redis.register_remote_function("record", async (): Promise<RedisGears.StreamRecord[]> => []);
redis.register_remote_function("reply", async (client) => client.block((locked) => locked.call("PING")));
redis.register_remote_function("config", async () => redis.config);
redis.register_remote_function("data", async () => new Point());
redis.register_remote_function("any", async (_client, given: any) => given);
redis.register_remote_function("throws", async () => { throw new Error("always"); });
// @ts-expect-error methods do not come along
redis.register_remote_function("class", async () => new Person());
// @ts-expect-error nor does a function within something
redis.register_remote_function("within", async () => [{ run() {} }]);
// @ts-expect-error nor one in a map
redis.register_remote_function("map", async () => new Map([["run", () => 1]]));
// @ts-expect-error a symbol
redis.register_remote_function("symbol", async () => Symbol());
// @ts-expect-error a promise within something
redis.register_remote_function("promise", async () => ({ one: Promise.resolve(1) }));
// @ts-expect-error a client
redis.register_remote_function("client", async (client) => client);
// @ts-expect-error shared memory
redis.register_remote_function("shared", async () => new SharedArrayBuffer(1));
// @ts-expect-error nobody knows what it is
redis.register_remote_function("unknown", async () => unknown_value);

redis.register_stream_consumer("sends", "s", 1, false, async (client: RedisGears.AsyncClient, data) => {
    await client.run_on_key("k", "f", order, [order], [[item]], { order, pair: [item, 1] as const });
    await client.run_on_key("k", "f", new Map([["a", order]]), new Set([item]), data, data.record, data.record_raw);
    await client.run_on_key("k", "f", new Point(), null, undefined, 1n, new Error(""), redis.config, of_any_type);
    await client.run_on_key("k", "f", ...(of_any_type as Order[]));
    await client.run_on_key<Order>("k", "f", order, data, [order], new Map([["a", item]]), { deep: { list: [1] } });
    await client.run_on_all_shards("f", order, data);
    await client.run_on_all_shards<Order>("f", order, data);
    const inferred: number = await client.run_on_key("k", "f", order);
    // @ts-expect-error a function within an object
    client.run_on_key("k", "f", order, { run: () => 1 });
    // @ts-expect-error a promise in a list
    client.run_on_key("k", "f", [Promise.resolve()]);
    // @ts-expect-error a symbol in a map
    client.run_on_key("k", "f", new Map([["a", Symbol()]]));
    // @ts-expect-error a client within an object
    client.run_on_key("k", "f", { client });
    // @ts-expect-error an object with methods
    client.run_on_key("k", "f", new Person());
    // @ts-expect-error a class
    client.run_on_key("k", "f", Person);
    // @ts-expect-error a weak reference
    client.run_on_key("k", "f", new WeakRef({}));
    // @ts-expect-error nobody knows what it is
    client.run_on_key("k", "f", unknown_value);
    // @ts-expect-error a function
    client.run_on_all_shards("f", () => 1);
    // Where the result's type is named, each argument is looked at, and what is in lists.
    // @ts-expect-error a function
    client.run_on_key<number>("k", "f", () => 1);
    // @ts-expect-error a list of functions
    client.run_on_key<number>("k", "f", [() => 1]);
    // @ts-expect-error a symbol
    client.run_on_key<number>("k", "f", Symbol());
    // @ts-expect-error a promise
    client.run_on_key<number>("k", "f", Promise.resolve(1));
    // @ts-expect-error a client
    client.run_on_key<number>("k", "f", client);
    // @ts-expect-error the other client
    client.block((locked) => client.run_on_key<number>("k", "f", locked));
    // @ts-expect-error a class
    client.run_on_key<number>("k", "f", Person);
    // @ts-expect-error a function
    client.run_on_all_shards<number>("f", () => 1);
    return inferred;
});
redis.register_function("sync", (client: RedisGears.Client) => {
    // @ts-expect-error plain code cannot call one
    client.run_on_key("key", "count");
});

// --- commands -----------------------------------------------------------------------------------

redis.register_function("commands", (client: RedisGears.Client, key) => {
    const reply = client.call("OBJECT", "ENCODING", key);
    assert_type<Same<typeof reply, RedisGears.Reply>>();
    if (typeof reply === "bigint") {
        assert_type<Same<typeof reply, bigint>>();
    }
    if (Array.isArray(reply)) {
        assert_type<Same<typeof reply, RedisGears.Reply[]>>();
    }
    if (reply instanceof Set) {
        assert_type<Same<typeof reply, Set<RedisGears.Reply>>>();
    }
    client.call("SET", key, 1);
    client.call("SET", key, 1.5, "PX", 10n);
    client.call("SET", key, true);
    client.call("SET", key, new String("text"));
    client.call(new String("SET"), key, new ArrayBuffer(1));
    client.call("SET", new Uint8Array([0xff]), new DataView(new ArrayBuffer(1)));
    client.call("SET", key, new SharedArrayBuffer(1));
    const status = client.call("PING") as RedisGears.StatusReply;
    assert_type<Same<typeof status.__reply_type, "status">>();
    client.call("SET", key, status);
    const text = client.call("LOLWUT") as RedisGears.VerbatimReply;
    assert_type<Same<typeof text.__format, string>>();
    const raw = client.call_raw("GET", key);
    assert_type<Same<typeof raw, RedisGears.RawReply>>();
    if (raw instanceof ArrayBuffer) {
        client.call("SET", key, raw);
    }
    assert_type<Same<ReturnType<typeof client.allow_block>, boolean>>();

    // @ts-expect-error a command is missing
    client.call();
    // @ts-expect-error its name is a string
    client.call(new ArrayBuffer(3), key);
    // @ts-expect-error null is no word of a command
    client.call("SET", key, null);
    // @ts-expect-error neither is undefined
    client.call("SET", key, undefined);
    // @ts-expect-error an array is not spread
    client.call("DEL", [key]);
    // @ts-expect-error an object is not made text
    client.call("SET", key, { a: 1 });
    // @ts-expect-error there may be nothing
    reply.length;
    // @ts-expect-error integers are BigInts, and a reply may be something else
    const count: number = client.call("INCR", key);
    // @ts-expect-error bytes, where bytes were asked for
    const bytes: string = client.call_raw("GET", key);
    // @ts-expect-error it takes nothing
    client.allow_block(true);
    return [count, bytes];
});

redis.register_function("background", (client: RedisGears.Client) => {
    const later = client.run_on_background(async (worker) => {
        assert_type<Same<typeof worker, RedisGears.AsyncClient>>();
        return worker.block((locked) => locked.allow_block());
    });
    assert_type<Same<typeof later, Promise<boolean>>>();
    // @ts-expect-error the function is async
    client.run_on_background(() => 1);
    // @ts-expect-error and has no lock
    client.run_on_background(async (worker) => worker.call("PING"));
    return later;
});

redis.register_function("errors", (client: RedisGears.Client, key) => {
    try {
        return client.call("INCR", key);
    } catch (error) {
        const refused = error as RedisGears.RedisError;
        assert_type<Same<typeof refused.name, "RedisError">>();
        assert_type<Same<typeof refused.message, string>>();
        // @ts-expect-error the code is the first word of the message
        refused.code;
        // @ts-expect-error there is no global of this name
        return error instanceof RedisError;
    }
});

// --- the other arguments ------------------------------------------------------------------------

// @ts-expect-error the callback is missing
redis.register_stream_consumer("c", "stream", 1, false);
// @ts-expect-error there is no seventh argument
redis.register_stream_consumer("c", "stream", 1, false, named, {}, {});
// @ts-expect-error the name is a string
redis.register_stream_consumer(1, "stream", 1, false, named);
// @ts-expect-error the prefix is a string or bytes
redis.register_stream_consumer("c", /stream/, 1, false, named);
// @ts-expect-error an array of numbers is no bytes
redis.register_stream_consumer("c", [0xff, 0x00], 1, false, named);
// @ts-expect-error the window is a number
redis.register_stream_consumer("c", "stream", "1", false, named);
// @ts-expect-error and has to be given
redis.register_stream_consumer("c", "stream", undefined, false, named);
// @ts-expect-error trim is a boolean
redis.register_stream_consumer("c", "stream", 1, "disabled", named);

// --- options of a consumer ----------------------------------------------------------------------

redis.register_stream_consumer("c", "stream", 1, false, named, {});
redis.register_stream_consumer("c", "stream", 1, false, named, undefined);
redis.register_stream_consumer("c", "stream", 10, false, named, {
    on_failure: "retry",
    backoff: { initial: 100, factor: 1.5, max: 60_000, jitter: 0.2 },
    max_attempts: 5,
    max_age: 3_600_000,
    dead_letter: "dead",
    scope: "consumer",
    timeout: 5000,
    start: "1657030402506-0",
    order_by: "customer",
    filter: { level: ["error", "fatal"], source: { not: { prefix: "test" } }, muted: { exists: false } },
    exact: true,
});
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", retry_interval: 0 });
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", backoff: { initial: 1 } });
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "continue", dead_letter: "dead" });
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "abort", start: "latest" });
redis.register_stream_consumer("c", "stream", 1, false, named, {
    dead_letter: new ArrayBuffer(1),
    order_by: new ArrayBuffer(1),
    filter: { f: new ArrayBuffer(1), g: { prefix: new ArrayBuffer(1) }, h: [{ exists: true }, "", []] },
});
const shared: RedisGears.StreamOptions = { on_failure: "retry", max_attempts: 3 };
redis.register_stream_consumer("c", "stream", 1, false, named, shared);

// @ts-expect-error there is no such option
redis.register_stream_consumer("c", "stream", 1, false, named, { bach: 10 });
// @ts-expect-error there is no such policy
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "ignore" });
// @ts-expect-error there is no such scope
redis.register_stream_consumer("c", "stream", 1, false, named, { scope: "library" });
// @ts-expect-error an ID has two halves
redis.register_stream_consumer("c", "stream", 1, false, named, { start: "1657030402506" });
// @ts-expect-error nor is that one
redis.register_stream_consumer("c", "stream", 1, false, named, { start: "$" });
// @ts-expect-error a number of milliseconds
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", max_age: "1h" });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, named, { timeout: "5s" });
// @ts-expect-error a boolean
redis.register_stream_consumer("c", "stream", 1, false, named, { exact: "yes" });
// @ts-expect-error one field
redis.register_stream_consumer("c", "stream", 1, false, named, { order_by: ["a", "b"] });
// @ts-expect-error a name
redis.register_stream_consumer("c", "stream", 1, false, named, { dead_letter: true });

// Retries.
// @ts-expect-error nothing is retried
redis.register_stream_consumer("c", "stream", 1, false, named, { retry_interval: 100 });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "abort", backoff: { initial: 1 } });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "continue", max_attempts: 3 });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, named, { max_age: 1000 });
const backoff: RedisGears.Backoff = { initial: 1 };
// @ts-expect-error one of the two
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", retry_interval: 1, backoff });
// @ts-expect-error the first pause has to be given
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", backoff: { factor: 2 } });
// @ts-expect-error there is no such part of it
const unknown: RedisGears.Backoff = { initial: 1, maximum: 10 };
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", backoff: unknown });

// Filters.
// @ts-expect-error values are text
redis.register_stream_consumer("c", "stream", 1, false, named, { filter: { count: 3 } });
// @ts-expect-error conditions by field
redis.register_stream_consumer("c", "stream", 1, false, named, { filter: "level" });
// @ts-expect-error there is no such condition
redis.register_stream_consumer("c", "stream", 1, false, named, { filter: { level: { suffix: "r" } } });
// @ts-expect-error one condition in an object
redis.register_stream_consumer("c", "stream", 1, false, named, { filter: { level: { prefix: "e", exists: true } } });
// @ts-expect-error and not none
redis.register_stream_consumer("c", "stream", 1, false, named, { filter: { level: {} } });

// --- batches ------------------------------------------------------------------------------------

redis.register_stream_consumer("c", "stream", 1, false, (client, records) => {
    assert_type<Same<typeof client, RedisGears.EitherClient>>();
    assert_type<Same<typeof records, RedisGears.StreamRecord[]>>();
    // @ts-expect-error an array of entries, not one
    records.stream_name;
}, { batch: 100 });
redis.register_stream_consumer("c", "stream", 1, false, async (client: RedisGears.AsyncClient, records) => {
    assert_type<Same<typeof records, RedisGears.StreamRecord[]>>();
    // @ts-expect-error without the lock there are no commands
    client.call("PING");
}, { batch: 100, duration: 50, on_failure: "retry", retry_interval: 10, bisect: true, max_attempts: 2 });
redis.register_stream_consumer("c", "stream", 1, false, (_client, record) => {
    assert_type<Same<typeof record, RedisGears.StreamRecord>>();
}, { on_failure: "retry" });
const batch: RedisGears.BatchCallback = (_client, records) => ({ failed: records.map((record) => record.id) });
redis.register_stream_consumer("c", "stream", 1, false, batch, { batch: 10_000, dead_letter: "dead" });

// @ts-expect-error the callback of a batch gets an array
redis.register_stream_consumer("c", "stream", 1, false, named, { batch: 10 });
// @ts-expect-error and only that of a batch
redis.register_stream_consumer("c", "stream", 1, false, batch, { on_failure: "retry" });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, batch);
// @ts-expect-error a number of entries
redis.register_stream_consumer("c", "stream", 1, false, batch, { batch: "10" });
// @ts-expect-error there is no batch to wait for
redis.register_stream_consumer("c", "stream", 1, false, named, { duration: 50 });
// @ts-expect-error nor one to halve
redis.register_stream_consumer("c", "stream", 1, false, named, { on_failure: "retry", bisect: true });
// @ts-expect-error a half is another attempt
redis.register_stream_consumer("c", "stream", 1, false, batch, { batch: 10, bisect: true });
// @ts-expect-error likewise
redis.register_stream_consumer("c", "stream", 1, false, batch, { batch: 10, on_failure: "abort", bisect: true });

// --- failures -----------------------------------------------------------------------------------

redis.register_stream_consumer("c", "stream", 1, false, (_client, records) => {
    const bad = records.filter((record) => record.record.length > 1);
    return { failed: bad.map((record) => record.id), error: "too many fields" };
}, { batch: 10 });
redis.register_stream_consumer("c", "stream", 1, false, async (_client, records) => {
    return { failed: records.map((record) => record.id.join("-")) };
}, { batch: 10 });
redis.register_stream_consumer("c", "stream", 1, false, (_client, records) =>
    records.length > 3 ? { failed: ["1-1"] } : undefined, { batch: 10 });
redis.register_stream_consumer("c", "stream", 1, false, (_client, record) => ({ failed: [record.id] }), {
    on_failure: "retry",
});
redis.register_stream_consumer("c", "stream", 1, false, (client) => client.call("HGETALL", "key"));

// @ts-expect-error a list of IDs
redis.register_stream_consumer("c", "stream", 1, false, () => ({ failed: true }), { batch: 10 });
// @ts-expect-error IDs, not entries
redis.register_stream_consumer("c", "stream", 1, false, (_client, records) => ({ failed: records }), { batch: 10 });
// @ts-expect-error a number is no ID
redis.register_stream_consumer("c", "stream", 1, false, () => ({ failed: [1, 2] }), { batch: 10 });
// @ts-expect-error in a promise likewise
redis.register_stream_consumer("c", "stream", 1, false, async () => ({ failed: [1, 2] }), { batch: 10 });
// @ts-expect-error the error is a text
redis.register_stream_consumer("c", "stream", 1, false, () => ({ failed: ["1-1"], error: 1 }), { batch: 10 });

const busy: RedisGears.Failure = Object.assign(new Error("busy"), { retry_after: 60_000 });
const wrong: RedisGears.Failure = Object.assign(new TypeError("wrong"), { fatal: true });
redis.register_stream_consumer("c", "stream", 1, false, (_client, record) => {
    throw record.record.length > 1 ? busy : wrong;
}, shared);
// @ts-expect-error a number of milliseconds
const later: RedisGears.Failure = Object.assign(new Error("busy"), { retry_after: "60s" });
// @ts-expect-error a boolean
const never: RedisGears.Failure = Object.assign(new Error("wrong"), { fatal: "yes" });
// @ts-expect-error an error
const plainly: RedisGears.Failure = { fatal: true };
redis.register_function("failures", () => [later, never, plainly].length);

// --- triggers -----------------------------------------------------------------------------------

redis.register_notifications_consumer("t", "key", (client, data) => {
    assert_type<Same<typeof client, RedisGears.EitherClient>>();
    assert_type<Same<typeof data.event, RedisGears.EventName>>();
    assert_type<Same<typeof data.key, string | null>>();
    assert_type<Same<typeof data.key_raw, ArrayBuffer>>();
    client.call("DEL", data.key_raw);
    // @ts-expect-error a key may be bytes that are no text
    client.call("DEL", data.key);
    // @ts-expect-error it was not asked for
    data.value;
    // @ts-expect-error nor was the type
    data.type;
    // @ts-expect-error the view of bytes is made by the module
    data.key_raw = new ArrayBuffer(1);
    // @ts-expect-error there is no such member
    data.db;
});
redis.register_notifications_consumer("t", "", () => 42);
redis.register_notifications_consumer("t", new Uint8Array([0xff]), () => Promise.resolve(), {});
redis.register_notifications_consumer("t", new ArrayBuffer(1), async () => {}, undefined);
redis.register_notifications_consumer("t", "key", async (client: RedisGears.AsyncClient, data) => {
    assert_type<Same<typeof data.event, RedisGears.EventName>>();
    client.block((locked) => locked.call("DEL", data.key_raw));
    // @ts-expect-error without the lock there are no commands
    client.call("DEL", data.key_raw);
});
redis.register_notifications_consumer("t", "key", (client: RedisGears.Client, data) => {
    client.call("DEL", data.key_raw);
    // @ts-expect-error a plain callback has the lock already
    client.block(() => {});
});
redis.register_notifications_consumer("t", "key", () => {}, {
    event_types: ["set", "DEL"],
    key_types: ["string", "hash", "module", "empty"],
    exact: true,
    read_value: false,
    timeout: 5000,
    on_registered: (client: RedisGears.Client) => client.call("PING"),
    description: "keeps the index",
});
const trigger: RedisGears.TriggerCallback = (_client, data) => redis.log(data.event);
const of_trigger: RedisGears.TriggerOptions = { exact: true, on_registered: async (client) => client.block(() => 1) };
redis.register_notifications_consumer("t", "key", trigger, of_trigger);

// With its value.
redis.register_notifications_consumer("t", "key", (client, data) => {
    assert_type<Same<typeof client, RedisGears.EitherClient>>();
    assert_type<Same<typeof data.type, RedisGears.KeyType>>();
    switch (data.type) {
        case "string":
            assert_type<Same<typeof data.value, string | null>>();
            assert_type<Same<typeof data.value_raw, ArrayBuffer>>();
            break;
        case "list":
        case "set":
            assert_type<Same<typeof data.value, (string | null)[]>>();
            assert_type<Same<typeof data.value_raw, ArrayBuffer[]>>();
            break;
        case "hash": {
            const value = data.value.field;
            assert_type<Same<typeof value, string | null | undefined>>();
            for (const [field, raw] of data.value_raw) {
                assert_type<Same<typeof field, ArrayBuffer>>();
                assert_type<Same<typeof raw, ArrayBuffer>>();
            }
            break;
        }
        case "zset":
            for (const [member, score] of data.value) {
                assert_type<Same<typeof member, string | null>>();
                assert_type<Same<typeof score, number>>();
            }
            break;
        default:
            assert_type<Same<typeof data.value, null>>();
            assert_type<Same<typeof data.value_raw, null>>();
            assert_type<Same<typeof data.type, "stream" | "module" | "empty">>();
    }
    // @ts-expect-error it depends on the type
    data.value.length;
}, { read_value: true, key_types: ["string", "empty"] });
redis.register_notifications_consumer("t", "key", async (client: RedisGears.AsyncClient, data) => {
    if (data.type === "hash") {
        const { value } = data;
        client.block((locked) => locked.call("SET", "email", value.email ?? ""));
    }
}, { read_value: true });

// With what was added at the event.
redis.register_notifications_consumer(
    "t",
    "key",
    (client: RedisGears.Client, data: RedisGears.KeyEvent & { old: string }) => {
        client.call("SET", "old", data.old);
        // @ts-expect-error nobody added that
        data.new;
    },
    {
        on_trigger_fired: (client, data) => {
            assert_type<Same<typeof client, RedisGears.Client>>();
            assert_type<Same<typeof data.old, string | undefined>>();
            data.old = String(client.call("GET", "key"));
            // @ts-expect-error it is a text
            data.old = 1;
            // @ts-expect-error the value was not asked for
            data.value;
        },
    },
);
redis.register_notifications_consumer(
    "t",
    "key",
    (_client: RedisGears.Client, data: RedisGears.KeyEventWithValue & { ttl: number }) => data.ttl + 1,
    {
        read_value: true,
        on_trigger_fired: (client, data) => {
            data.ttl = data.type === "empty" ? -2 : Number(client.call("PTTL", data.key_raw));
        },
    },
);

// @ts-expect-error the callback is missing
redis.register_notifications_consumer("t", "key");
// @ts-expect-error there is no fifth argument
redis.register_notifications_consumer("t", "key", trigger, {}, {});
// @ts-expect-error the name is a string
redis.register_notifications_consumer(1, "key", trigger);
// @ts-expect-error no pattern
redis.register_notifications_consumer("t", /key/, trigger);
// @ts-expect-error a function, not its name
redis.register_notifications_consumer("t", "key", "trigger");
// @ts-expect-error the event comes second
redis.register_notifications_consumer("t", "key", (data: RedisGears.KeyEvent) => data.key);
// @ts-expect-error a callback gets two arguments
redis.register_notifications_consumer("t", "key", (_client, _data, _third) => {});
// @ts-expect-error a function that gets an async client is async
redis.register_notifications_consumer("t", "key", (client: RedisGears.AsyncClient) => {});
// @ts-expect-error an entry of a stream is something else
redis.register_notifications_consumer("t", "key", (_client, data: RedisGears.StreamRecord) => data.id);
// @ts-expect-error the value was not asked for
redis.register_notifications_consumer("t", "key", (_client, data: RedisGears.KeyEventWithValue) => data.value);
// @ts-expect-error there is no such option
redis.register_notifications_consumer("t", "key", trigger, { event_type: ["set"] });
// @ts-expect-error a list
redis.register_notifications_consumer("t", "key", trigger, { event_types: "set" });
// @ts-expect-error of names
redis.register_notifications_consumer("t", "key", trigger, { event_types: [1] });
// @ts-expect-error there is no such type
redis.register_notifications_consumer("t", "key", trigger, { key_types: ["json"] });
// @ts-expect-error a list
redis.register_notifications_consumer("t", "key", trigger, { key_types: "hash" });
// @ts-expect-error a number of milliseconds
redis.register_notifications_consumer("t", "key", trigger, { timeout: "5s" });
// @ts-expect-error a boolean
redis.register_notifications_consumer("t", "key", trigger, { exact: "yes" });
// @ts-expect-error a boolean
redis.register_notifications_consumer("t", "key", trigger, { read_value: 1 });
// @ts-expect-error a function
redis.register_notifications_consumer("t", "key", trigger, { on_trigger_fired: "f" });
// @ts-expect-error that is not async: the command waits for it
redis.register_notifications_consumer("t", "key", trigger, { on_trigger_fired: async () => {} });
// @ts-expect-error it has the lock
redis.register_notifications_consumer("t", "key", trigger, { on_trigger_fired: (client) => client.block(() => {}) });
// @ts-expect-error a text
redis.register_notifications_consumer("t", "key", trigger, { description: 1 });
// @ts-expect-error options of stream consumers are no options of triggers
redis.register_notifications_consumer("t", "key", trigger, { on_failure: "retry" });

redis.register_stream_consumer("c", "stream", 1, false, named, {
    on_registered: (client) => client.call("PING"),
    description: "counts visits",
});
// @ts-expect-error a function
redis.register_stream_consumer("c", "stream", 1, false, named, { on_registered: true });

// --- the rest of redis --------------------------------------------------------------------------

redis.log("text");
redis.log("text", "warning");
redis.log("text", undefined);
// @ts-expect-error there is no such level
redis.log("text", "error");
// @ts-expect-error a message is missing
redis.log();
// @ts-expect-error only strings
redis.log(42);
// @ts-expect-error one message
redis.log("one", "notice", "two");

assert_type<Same<ReturnType<typeof redis.v8_version>, string>>();
// @ts-expect-error it takes no argument
redis.v8_version(1);

const retries = redis.config.retries;
assert_type<Same<typeof retries, RedisGears.JsonValue | undefined>>();
if (typeof retries === "number") {
    assert_type<Same<typeof retries, number>>();
}
// @ts-expect-error it may be missing, or something else
const count: number = redis.config.retries;
// @ts-expect-error it is there to be read
redis.config.retries = 3;
// @ts-expect-error nor can it be replaced
redis.config = {};

redis.register_function("count", () => count);
// @ts-expect-error commands are run through a client
redis.call("PING");

// --- GearsBuilder -------------------------------------------------------------------------------

GearsBuilder().foreach((x) => execute("del", x.key)).register();
void GearsBuilder().count().run("*", { mode: "async_local" });
// @ts-expect-error -- a run is never sync.
void GearsBuilder().count().run("*", { mode: "sync" });
GearsBuilder("StreamReader").foreach((x) => execute("set", x.streamId, JSON.stringify(x))).register("s1");
new GB("KeysReader", "*", "mine").forEach((x) => {
    assert_type<Same<typeof x.event, string | null>>();
    if (x.type === "hash") assert_type<Same<typeof x.value, { [field: string]: RedisGears.Bytes | null }>>();
    if (x.type === "empty") assert_type<Same<typeof x.value, null>>();
}).register({ prefix: "k*", mode: "sync", eventTypes: ["set"], keyTypes: ["string", "empty"] });
GB<RedisGears.KeyNote>().foreach((x) => {
    // @ts-expect-error values are not read
    x.value;
}).register("k", { readValue: false });
GB<RedisGears.NestedEntry>("StreamReader").foreach((x) => x.value["a"]).register({
    regex: "s*", recordFormat: "nested", batch: 3, duration: 100, onFailedPolicy: "RETRY", onFailedRetryInterval: 0.5,
    trimStream: false, onRegistered: async () => {},
});
GB("StreamReader").register("s", { mode: "sync", onFailedPolicy: "Continue" });
GB("StreamReader").register(null, { mode: "async_local" });
// @ts-expect-error who waits for the reply cannot wait for a retry
GB("StreamReader").register("s", { mode: "sync", onFailedPolicy: "retry" });
// @ts-expect-error no batches of events
GB().register("s", { batch: 3 });
// @ts-expect-error no events of streams
GB("StreamReader").register({ eventTypes: ["set"] });
// @ts-expect-error one prefix
GB("StreamReader").register({ prefix: "a", regex: "b" });
// @ts-expect-error no type of keys
GB().register({ keyTypes: ["tree"] });
// @ts-expect-error nothing that happens
GB("ShardsIDReader").register();
// @ts-expect-error nor here
GB("KeysOnlyReader").register("s");
// @ts-expect-error no such reader
GB("PythonReader");
// @ts-expect-error no functions
GB().map(5);

async function runs() {
    const strings = GB().filter((x) => x.type === "string");
    const [numbers, errors] = await strings.map(async (x) => Number(x.value)).sort().run("a*");
    assert_type<Same<typeof numbers, number[]>>();
    assert_type<Same<typeof errors, string[]>>();
    const [texts] = await GB("KeysOnlyReader").count().run("*", { convertToStr: true, count: 10 });
    assert_type<Same<typeof texts, string[]>>();
    const grouped = GB("StreamReader").groupBy((x) => x["a"], (_key, sum: number | null) => (sum ?? 0) + 1);
    const [groups] = await grouped.run("s", { fromId: "5-0" });
    assert_type<Same<typeof groups, RedisGears.Group<number>[]>>();
    const [flat] = await GB("ShardsIDReader").flatMap((x) => [x.length]).run();
    assert_type<Same<typeof flat, number[]>>();
    const [sums] = await GB().aggregate(0, (a, x) => a + x.key.slice.length, (a, b) => a + b).run();
    assert_type<Same<typeof sums, number[]>>();
    const [by] = await GB().aggregateby((x) => x.type, 0, (_k, a) => a + 1, async (_k, a, b) => a + b).run();
    assert_type<Same<typeof by, RedisGears.Group<number>[]>>();
    const batches = GB().batchGroupBy((x) => x.type, (_k, all) => all.length);
    const [lists] = await batches.limit(3).distinct().collect().run(null, { noScan: true });
    assert_type<Same<typeof lists, RedisGears.Group<number>[]>>();
    const [all] = await GB().accumulate((a: string[] | null, x) => [...(a ?? []), x.type]).run();
    assert_type<Same<typeof all, string[][]>>();
    await GB().countBy().avg((x) => x.value).repartition((x) => x).run();
    await GB().sort(false).sort({ reverse: false }).run();
    // @ts-expect-error keys have no IDs
    await GB().run("*", { fromId: "0-0" });
    // @ts-expect-error a pattern
    await GB().run(5);
}
redis.register_function("runs", runs);

// --- functions ----------------------------------------------------------------------------------

const gears_reply = execute("get", "k", 5, null, new Uint8Array(1));
assert_type<Same<typeof gears_reply, RedisGears.EitherReply>>();
if (gears_reply instanceof ArrayBuffer) {
    execute("set", "copy", gears_reply);
}
const nothing: unknown[] = execute();
// @ts-expect-error a name
execute(5);
const done = atomic(() => execute("incr", "x"));
assert_type<Same<typeof done, RedisGears.EitherReply>>();
const many: number = atomic(() => 5);
// @ts-expect-error nothing can be waited for
atomic(async () => 5);
log("text", "warning");
// @ts-expect-error no such level
log("text", "loud");
const tag: string = hashtag();
const value: string | null = configGet("a");
const text: string = gearsConfigGet("a", "b");
const either = gearsConfigGet("a", 5);
assert_type<Same<typeof either, string | 5>>();
atomic(() => {});
const objects: { a: number } = atomic(() => ({ a: 1 }));
const maybe: string | null = atomic(() => null as string | null);

// --- what scripts do not have -------------------------------------------------------------------

// @ts-expect-error redis.log is there instead
console.log("text");
// @ts-expect-error no timers
setTimeout(() => {}, 0);
// @ts-expect-error no network
fetch("http://localhost");
// @ts-expect-error no modules
require("fs");
// @ts-expect-error no process
process.exit();

// --- once ----------------------------------------------------------------------------------------

redis.register_stream_consumer("c", "stream", 1, false, async (client: RedisGears.AsyncClient, data) => {
    const added = client.once(data, (locked) => {
        assert_type<Same<typeof locked, RedisGears.Client>>();
        return 1;
    }, { keep: 100, forgotten: "skip" });
    assert_type<Same<typeof added, number | undefined>>();
});
redis.register_stream_consumer("c", "stream", 1, false, (client: RedisGears.Client, data) => {
    client.once(data, (same) => same.call("INCR", "n"));
    // @ts-expect-error the entry, not its ID
    client.once(data.id, () => 1);
    // @ts-expect-error no such choice
    client.once(data, () => 1, { forgotten: "maybe" });
});

// --- replies of common commands, and names of events -------------------------------------------------

redis.register_function("common", client => {
    if (!("call" in client)) {
        return null;
    }
    assert_type<Same<ReturnType<typeof get>, string | null>>();
    function get(one: RedisGears.Client) {
        return one.call("get", "key");
    }
    const plain = client as RedisGears.Client;
    const added = plain.call("INCRBY", "key", 2);
    assert_type<Same<typeof added, bigint>>();
    const fields = plain.call("hgetall", "key");
    assert_type<Same<typeof fields, { [field: string]: string }>>();
    const members = plain.call("SMEMBERS", "key");
    assert_type<Same<typeof members, Set<string>>>();
    const other = plain.call("object", "encoding", "key");
    assert_type<Same<typeof other, RedisGears.Reply>>();
    // @ts-expect-error there may be nothing
    plain.call("GET", "key").length;
    // @ts-expect-error integers are BigInts
    plain.call("incr", "key") + 1;
    return added;
});
declare const event_name: RedisGears.EventName;
const any_text: string = event_name;
const of_a_module: RedisGears.EventName = `json.${any_text}`;
redis.register_notifications_consumer("events", "key", () => {}, { event_types: ["set", "EXPIRED", of_a_module] });
// @ts-expect-error an async client runs no commands: take the lock with `block`
redis.register_function("no_call", async (client: RedisGears.AsyncClient) => client.call("get", "key"));
