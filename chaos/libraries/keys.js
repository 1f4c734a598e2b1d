#!js name=keys
// Triggers. A key is set to one number after the other, and each has its effect: in the transaction of its cause where
// the trigger writes it, some time later where it goes through a stream, and fails now and then on its way.

const ERROR = "as intended";

const effect = (client, key, number) => {
    client.call("HINCRBY", `fx:${key}`, `${number}-0`, "1");
    client.call("RPUSH", `ord:${key}`, `${number}-0`);
};

const hear = (kind, callback) => redis.register_notifications_consumer(kind, `${kind}:`, callback,
    { event_types: ["set"], key_types: ["string"], read_value: true });

hear("trigger", (client, data) => effect(client, data.key, data.value));
hear("trigger-many", (client, data) => effect(client, data.key, data.value));
hear("behind", (client, data) => client.call("XADD", "behind", "*", "key", data.key, "number", data.value));

redis.register_stream_consumer("carry", "behind", 1, true, async (client, data) => {
    const [[, key], [, number]] = data.record;
    client.block(locked => {
        // One in twenty, at first. That is counted in Redis: the server may die at any time.
        if (number % 20 === 0 && locked.call("HINCRBY", `at:${key}`, `${number}-0`, "1") < 2) {
            throw new Error(ERROR);
        }
        effect(locked, key, number);
    });
    await null;
}, { exact: true, on_failure: "retry", retry_interval: 5 });
