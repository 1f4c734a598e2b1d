#!js name=far
// Consumers that run on workers. Each effect is in the ledger of its consumer: once per entry.

const weight = data => data.record[0][1];

const note = (client, ledger, data) => {
    client.call("HINCRBY", ledger, data.stream_name, 1);
    client.call("HINCRBY", ledger, `${data.stream_name}|weight`, weight(data));
};

// Window 1: IDs ascend.
const last = new Map();
const check_order = (client, consumer, data) => {
    const [ms, seq] = data.id;
    const [last_ms, last_seq] = last.get(data.stream_name) ?? [-1n, 0n];
    if (ms < last_ms || (ms === last_ms && seq <= last_seq)) client.call("HINCRBY", "disorder", consumer, 1);
    last.set(data.stream_name, data.id);
};

redis.register_stream_consumer("one", "in:", 1, false, async (client, data) => {
    client.block(locked => {
        check_order(locked, "one", data);
        note(locked, "done:one", data);
    });
    await null;
    if (weight(data) % 50 == 0) throw new Error("one in fifty fails, its effects stay");
});

redis.register_stream_consumer("many", "in:", redis.config.window ?? 20, false, async (client, data) => {
    await null;
    const promise = client.block(locked => locked.run_on_background(async free => {
        await null;
        free.block(again => note(again, "done:many", data));
    }));
    await promise;
});

redis.register_stream_consumer("echo", "out:", redis.config.window ?? 5, true, async (client, data) => {
    client.block(locked => note(locked, "done:echo", data));
});
