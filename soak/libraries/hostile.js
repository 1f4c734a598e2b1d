#!js name=NAME
// What must not harm anything else. Each of these deeds ends with an error. NAME is the name of one of several such
// libraries, and the prefix of its streams and keys.

const deeds = {
    throw() { throw null; },
    loop() { for (;;); },
    heap() { for (const all = [];;) all.push(new Array(1000).fill(all.length)); },
    buffers() { for (const all = [];;) all.push(new ArrayBuffer(1 << 20)); },
    strings() { for (let text = "x";;) text += text; },
    promises() { for (const all = [];;) all.push(new Promise(() => {})); },
    recursion() { return deeds.recursion() + 1; },
    regexp() { return /^(a+)+$/.test("a".repeat(60) + "b"); },
    getter() { return { get value() { for (;;); } }.value; },
    text() { return `${{ toString() { for (;;); } }}`; },
    proxy() { return new Proxy({}, { get() { for (;;); } }).value; },
};

redis.register_function("sync", (client, deed) => deeds[deed]());
redis.register_function("promise", (client, deed) => Promise.resolve().then(() => deeds[deed]()));
redis.register_function("background", (client, deed) => client.run_on_background(async () => deeds[deed]()));
redis.register_function("async", async (client, deed) => deeds[deed]());
redis.register_function("await", async (client, deed) => { await null; return deeds[deed](); });
redis.register_function("block", async (client, deed) => client.block(() => deeds[deed]()));
redis.register_function("microtasks", async () => { for (;;) await null; });
redis.register_async_function("never", async () => new Promise(() => {}));
// Whether the library is still good.
redis.register_function("echo", (client, word) => word);
redis.register_function("echo_async", async (client, word) => word);

const consume = data => {
    const deed = data.record[0][1];
    return deed === "nothing" ? null : deeds[deed]();
};
redis.register_stream_consumer("sync", "NAME", 1, true, (client, data) => consume(data));
redis.register_stream_consumer("async", "NAME", 3, true, async (client, data) => { await null; return consume(data); });

// Triggers: after the change of a key, later, or in the middle of it.
const react = data => data.value === "nothing" ? null : deeds[data.value]();
const of = { event_types: ["set"], read_value: true };
redis.register_notifications_consumer("sync", "NAME-key", (client, data) => react(data), of);
redis.register_notifications_consumer("async", "NAME-key",
    async (client, data) => { await null; return react(data); }, of);
redis.register_notifications_consumer("hook", "NAME-hook", () => null,
    { ...of, on_trigger_fired: (client, data) => { react(data); } });
