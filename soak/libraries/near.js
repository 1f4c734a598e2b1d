#!js name=near
// Consumers that run on the server's main thread. Each effect is in the ledger of its consumer: once per entry.

const weight = data => data.record[0][1];

const note = (client, ledger, stream, weight) => {
    client.call("HINCRBY", ledger, stream, 1);
    client.call("HINCRBY", ledger, `${stream}|weight`, weight);
};

// Window 1: IDs ascend.
const last = new Map();
const check_order = (client, consumer, data) => {
    const [ms, seq] = data.id;
    const [last_ms, last_seq] = last.get(data.stream_name) ?? [-1n, 0n];
    if (ms < last_ms || (ms === last_ms && seq <= last_seq)) client.call("HINCRBY", "disorder", consumer, 1);
    last.set(data.stream_name, data.id);
};

redis.register_stream_consumer("plain", "in:", 1, true, (client, data) => {
    check_order(client, "plain", data);
    note(client, "done:plain", data.stream_name, weight(data));
    if (weight(data) % 50 == 0) throw new Error("one in fifty fails, its effects stay");
});

// What this one adds is processed in the same turn.
redis.register_stream_consumer("forward", "in:", 1, false, (client, data) => {
    const stream = data.stream_name.replace("in:", "out:");
    client.call("XADD", stream, "*", "weight", weight(data));
    note(client, "added", stream, weight(data));
    note(client, "done:forward", data.stream_name, weight(data));
});
redis.register_stream_consumer("receive", "out:", 1, true, (client, data) => {
    check_order(client, "receive", data);
    note(client, "done:receive", data.stream_name, weight(data));
});

// Begins here, goes on in the background.
redis.register_stream_consumer("promise", "in:", redis.config.window ?? 4, false, (client, data) =>
    client.run_on_background(async free =>
        free.block(locked => note(locked, "done:promise", data.stream_name, weight(data)))));
