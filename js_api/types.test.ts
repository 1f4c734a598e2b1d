// Assertions about the declarations, made by the compiler: nothing here is ever run.
// A line below `@ts-expect-error` is a wrong use; the check fails if the compiler accepts it.

/** True only for types that are the same, `any` included. */
type Same<A, B> =
    (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
declare function assert_type<_ extends true>(): void;

// --- the record ---------------------------------------------------------------------------------

redis.register_stream_consumer("record", "stream", 1, false, (client, data) => {
    assert_type<Same<typeof client, RedisGears.StreamClient>>();
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
    // @ts-expect-error callbacks cannot run Redis commands yet
    client.call("PING");
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

// --- the other arguments ------------------------------------------------------------------------

// @ts-expect-error the callback is missing
redis.register_stream_consumer("c", "stream", 1, false);
// @ts-expect-error there is no sixth argument
redis.register_stream_consumer("c", "stream", 1, false, named, {});
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

// --- the rest of redis --------------------------------------------------------------------------

redis.log("text");
// @ts-expect-error a message is missing
redis.log();
// @ts-expect-error only strings
redis.log(42);
// @ts-expect-error one message
redis.log("one", "two");

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

// @ts-expect-error not in this release
redis.register_function("f", () => count);

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
