#!js name=webhooks

// Checks incoming webhooks on a worker, so that a large payload never delays the server's clients.
// Up to eight entries of a stream are in hand at once. One that is not valid fails on its own: its
// error shows as `last_error`, the entries after it go on.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/async-window.js
//   redis-cli XADD webhook:shop '*' payload '{"event":"order.paid","amount":1250}'
//   redis-cli XADD webhook:shop '*' payload '{"event":'
//   redis-cli RG.FUNCTION LIST LIBRARY webhooks vvv
//
// The log gets one line for the first entry; the list then shows two entries processed and the
// error of the second.

/**
 * The value of the first field of that name.
 * @param {RedisGears.StreamRecord} record
 * @param {string} name
 */
function field(record, name) {
    const pair = record.record.find(([key]) => key === name);
    if (pair === undefined || pair[1] === null) {
        throw new Error(`no text in the field "${name}"`);
    }
    return pair[1];
}

redis.register_stream_consumer(
    "check",
    "webhook:",
    8, // window: eight entries of each stream at once
    false,
    async function(client, data) {
        const payload = JSON.parse(field(data, "payload"));
        if (typeof payload.event !== "string") {
            throw new Error("the payload names no event");
        }
        redis.log(`${data.stream_name}: ${payload.event}`);
    }
);
