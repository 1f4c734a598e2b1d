#!js name=far
// Consumers that run on workers. The effect is written in a block, and what is known of the entry's end comes behind
// it, so a kill between the two makes up to a window of effects come twice. None may be missing.

const text = id => `${id[0]}-${id[1]}`;
const window = redis.config.window;

const begin = (kind, data) => redis.log(`H ${kind} ${data.stream_name} ${text(data.id)}`);
const effect = (client, data) =>
    client.block(locked => locked.call("HINCRBY", `fx:${data.stream_name}`, text(data.id), "1"));

redis.register_stream_consumer("async-1", "async-1:", 1, false, async (client, data) => {
    begin("async-1", data);
    await Promise.resolve();
    await new Promise(resolve => resolve());
    effect(client, data);
});

// Goes to the end of the library's queue, so many times: entries that came later overtake this one.
const turns = async (client, count) => {
    for (let left = count; left > 0; left -= 1) {
        await client.block(locked => locked.run_on_background(async () => {}));
    }
};

// Callbacks that wait for a later one.
const parked = new Set();

const out_of_order = (kind, trim) => redis.register_stream_consumer(kind, `${kind}:`, window, trim,
    async (client, data) => {
        begin(kind, data);
        const dice = Math.random();
        if (dice < 0.2) {
            // Until a later callback lets it go, or, if none comes, for some turns.
            let release;
            const later = new Promise(resolve => { release = resolve; });
            parked.add(release);
            await Promise.race([later, turns(client, 5)]);
            parked.delete(release);
        } else if (dice < 0.5) {
            await turns(client, 1 + Math.floor(Math.random() * 4));
        } else if (dice < 0.75) {
            parked.forEach(release => release());
            parked.clear();
        }
        effect(client, data);
    });

out_of_order("async-10", false);
out_of_order("async-10-trim", true);

// Writes nothing: what is left of it is in the log.
redis.register_stream_consumer("async-idle", "async-idle:", 1, false, async (client, data) => {
    begin("async-idle", data);
});
