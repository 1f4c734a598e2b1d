#!js name=again
// Consumers with policies: batches, and callbacks that fail as the field `bad` of an entry says: so many times, or
// always ("poison"), or so that nobody tries it again ("fatal"). Attempts are counted in Redis, so that a failure that
// is to pass does so however often the server dies. An entry has its effect in the end, or one dead letter.

const text = id => `${id[0]}-${id[1]}`;
const field = (data, name) => data.record.find(([key]) => key === name)?.[1];

const begin = (kind, data) => redis.log(`H ${kind} ${data.stream_name} ${text(data.id)}`);

// Behind the effects of the entries in front, as far as there is an order.
const effect = (locked, data) => {
    locked.call("HINCRBY", `fx:${data.stream_name}`, text(data.id), "1");
    locked.call("RPUSH", `ord:${data.stream_name}`, text(data.id));
};

const fails = (locked, data) => {
    const bad = field(data, "bad");
    if (bad === undefined) {
        return false;
    }
    const attempt = locked.call("HINCRBY", `at:${data.stream_name}`, text(data.id), "1");
    return bad === "poison" || bad === "fatal" || attempt <= Number(bad);
};

const ERROR = "as intended";
const failure = bad => Object.assign(new Error(ERROR), { fatal: bad.some(data => field(data, "bad") === "fatal") });

// Goes to the end of the library's queue, up to so many times.
const turns = async (client, most) => {
    for (let left = Math.floor(Math.random() * (most + 1)); left > 0; left -= 1) {
        await client.block(locked => locked.run_on_background(async () => {}));
    }
};

// Callbacks of one entry, and of many: all of them are looked at, then all have their effects or none.
const plain = kind => (client, found) => {
    const all = [found].flat();
    all.forEach(data => begin(kind, data));
    const bad = all.filter(data => fails(client, data));
    if (bad.length > 0) {
        throw failure(bad);
    }
    all.forEach(data => effect(client, data));
};

// A failure, or an effect, is there before the promise is settled: the kill may come in between.
const slow = kind => async (client, found) => {
    const all = [found].flat();
    all.forEach(data => begin(kind, data));
    await turns(client, 2);
    const bad = client.block(locked => all.filter(data => fails(locked, data)));
    if (bad.length > 0) {
        await turns(client, 2);
        throw failure(bad);
    }
    for (const data of all) {
        client.block(locked => effect(locked, data));
        await turns(client, 1);
    }
};

// Says which entries failed; the others have their effects.
const telling = kind => (client, all) => {
    all.forEach(data => begin(kind, data));
    const bad = new Set(all.filter(data => fails(client, data)));
    all.filter(data => !bad.has(data)).forEach(data => effect(client, data));
    return { failed: [...bad].map(data => data.id), error: ERROR };
};

const consume = (kind, callback, window, options, trim = false) =>
    redis.register_stream_consumer(kind, `${kind}:`, window, trim, callback(kind), options);

const again = (kind, max_attempts, more) =>
    ({ on_failure: "retry", max_attempts, dead_letter: `dead:${kind}`, ...more });

consume("batch", plain, 1, { batch: 5, duration: 5 });
consume("batch-async", slow, 2, { batch: 5, duration: 5 });
consume("letter", plain, 1, { dead_letter: "dead:letter" });
consume("retry", plain, 1, again("retry", 3, { retry_interval: 20 }));
consume("retry-async", slow, 4, again("retry-async", 3, { backoff: { initial: 6, max: 20, jitter: 0.5 } }));
consume("retry-trim", slow, 3, again("retry-trim", 3, { retry_interval: 20 }), true);
consume("named", telling, 1, again("named", 3, { batch: 5, duration: 5, retry_interval: 8 }));
consume("bisect", plain, 1, again("bisect", 2, { batch: 8, duration: 10, retry_interval: 4, bisect: true }));
consume("bisect-async", slow, 2, again("bisect-async", 2, { batch: 4, duration: 5, retry_interval: 4, bisect: true }));
// Somebody comes along: for those that were given up too early, or for those that stopped.
consume("redriven", plain, 1, again("redriven", 2, { retry_interval: 5 }));
consume("stopping", plain, 1, { on_failure: "abort" });
consume("ordered", slow, 5, again("ordered", 3, { retry_interval: 15, order_by: "user" }));
