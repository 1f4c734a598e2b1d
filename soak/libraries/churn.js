#!js name=NAME
// Comes and goes. NAME is the name of one of several such libraries.

const ballast = new Array(10000).fill(0).map((_, at) => ({ at, text: `ballast ${at}` }));
const buffer = new ArrayBuffer(1 << 18);

redis.register_function("hello", (client, token) => token);
redis.register_function("wait", async (client, token) => {
    for (let turn = 0; turn < 10; turn += 1) {
        await client.block(locked => locked.run_on_background(async () => ballast[turn].text));
    }
    return token;
});
redis.register_stream_consumer("sync", "scratch:", 1, false, (client, data) => {
    client.call("INCR", "scratch-sync");
});
redis.register_stream_consumer("async", "scratch:", 5, false, async (client, data) => {
    client.block(locked => locked.call("INCR", "scratch-async"));
});
