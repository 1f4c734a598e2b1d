#!js name=near
// Consumers that run on the server's main thread. The effect is written in the callback itself, so it and the cursor
// are one unit: whatever happens to the server, each entry has its effect exactly once.

const text = id => `${id[0]}-${id[1]}`;

const consume = (kind, trim) => redis.register_stream_consumer(kind, `${kind}:`, 1, trim, (client, data) => {
    const id = text(data.id);
    redis.log(`H ${kind} ${data.stream_name} ${id}`);
    client.call("HINCRBY", `fx:${data.stream_name}`, id, "1");
});

consume("sync", false);
consume("sync-trim", true);
