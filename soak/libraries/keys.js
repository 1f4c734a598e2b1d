#!js name=keys
// Key-space triggers. Each event is in the ledger of each trigger that gets it, once, with what the key held then.

const weigh = ({ type, value }) => Number(type === "hash" ? value.weight : type === "list" ? value.at(-1) : value);

const note = (client, ledger, data, weight = weigh(data)) => {
    client.call("HINCRBY", ledger, data.event, 1);
    client.call("HINCRBY", ledger, `${data.event}|weight`, weight);
};

// Of reads, all get only those that the writers mean.
const event_types = ["set", "hset", "rpush", "del", "rename_from", "rename_to", "expired", "keymiss"];
const all = { event_types, read_value: true };

redis.register_notifications_consumer("sync", "key:", (client, data) => note(client, "fired:sync", data), all);

// Begins here, goes on in the background.
redis.register_notifications_consumer("promise", "key:", (client, data) =>
    client.run_on_background(async free => free.block(locked => note(locked, "fired:promise", data))), all);

redis.register_notifications_consumer("async", "key:", async (client, data) => {
    await null;
    client.block(locked => note(locked, "fired:async", data));
}, all);

// Reads the key at the event itself: in the callback it may be another one's already, or gone.
redis.register_notifications_consumer("hook", "key:", (client, data) => note(client, "fired:hook", data, data.weight), {
    event_types: ["set"],
    on_trigger_fired: (client, data) => { data.weight = Number(client.call("GET", data.key)); },
});

redis.register_notifications_consumer("filtered", "key:", (client, data) => note(client, "fired:filtered", data), {
    event_types: ["RPUSH", "hset", "del"],
    key_types: ["hash", "list"],
    read_value: true,
});
