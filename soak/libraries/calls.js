#!js name=calls
// Functions that clients call. Those that count do so once per call: the soak's clients know which number is next.

const later = Promise.resolve();

redis.register_function("echo", (client, ...words) => words);
redis.register_function("raw", (client, ...words) => words, ["raw-arguments"]);
redis.register_function("shape", () => ({ list: [1, 2.5, "text", null, true, 10n], version: redis.config.version }));
redis.register_function("throw", (client, token) => { throw new Error(token); });
redis.register_function("reject", async (client, token) => { await later; throw new Error(token); });
redis.register_function("write", (client, key) => client.call("INCR", key), ["no-writes"]);

redis.register_function("count", (client, key) => client.call("INCR", key));
redis.register_function("count_async", async (client, key) => {
    await later;
    return client.block(locked => locked.call("INCR", key));
});
redis.register_function("count_background", (client, key) =>
    client.run_on_background(async free => free.block(locked => locked.call("INCR", key))));
redis.register_function("count_hops", async (client, key, hops) => {
    const hop = (free, left) => free.block(locked =>
        left === 0 ? locked.call("INCR", key) : locked.run_on_background(async next => hop(next, left - 1)));
    return hop(client, Number(hops));
});

// A promise that nobody settles: its client leaves before.
redis.register_async_function("never", async () => new Promise(() => {}));

// Adds an entry to a stream, and to the ledger of what was added.
const add = (client, stream, weight) => {
    client.call("XADD", stream, "*", "weight", weight);
    client.call("HINCRBY", "added", stream, 1);
    client.call("HINCRBY", "added", `${stream}|weight`, weight);
};
redis.register_function("add", add);
redis.register_function("add_async", async (client, stream, weight) =>
    client.block(locked => add(locked, stream, weight)));
