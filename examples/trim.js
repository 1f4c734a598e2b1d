#!js name=visits

// Uses streams as queues: what both consumers are done with is removed from the stream.
// One consumer asks for trimming, which is enough; the other one still sees every entry, because
// a stream is never trimmed beyond its slowest consumer.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/trim.js
//   redis-cli XADD visits:eu '*' page /home
//   redis-cli XADD visits:eu '*' page /prices
//   redis-cli XLEN visits:eu
//
// The log shows the running counts. XLEN answers 0 as soon as the worker has seen both entries.

/** Visits by page. It lives as long as the library: loading it anew starts from nothing. */
const counts = new Map();

redis.register_stream_consumer("count", "visits:", 1, true, function(client, data) {
    for (const [field, value] of data.record) {
        if (field === "page") {
            counts.set(value, (counts.get(value) ?? 0) + 1);
            redis.log(`${value}: ${counts.get(value)} visits`);
        }
    }
});

redis.register_stream_consumer("audit", "visits:", 10, false, async function(client, data) {
    const [ms, seq] = data.id;
    redis.log(`audit: ${data.stream_name} ${ms}-${seq}`);
});
