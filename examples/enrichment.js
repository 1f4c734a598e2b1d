#!js name=enrichment

// Copies each entry of a stream to another one, with what is known about its user added.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/enrichment.js
//   redis-cli HSET user:7 name Anna country SE
//   redis-cli XADD purchase:web '*' user 7 item lamp
//   redis-cli XRANGE enriched:purchase:web - +
//
// The new stream has an entry with the fields user, item, name, country, and the ID of the entry it was
// made of. It is there when XADD is answered, and replicated in one transaction. The consumer acts as the
// user who loaded the library, who must be allowed to use all the keys.
//
// An entry that could not be copied, since its user is no hash for instance, is kept in the stream
// "not-enriched". When the cause is gone, it is copied behind the others:
//
//   redis-cli RG.CONSUMER REDRIVE enrichment enrich STREAM purchase:web

/** For how many seconds an entry that comes again is recognised: a week. */
const REMEMBERED = 7 * 24 * 60 * 60;

/**
 * Does the work for an entry, unless it was done before: entries come again after a retry or a seek, and
 * to a library that is loaded anew. To be called where nobody comes in between: in a plain callback, or in
 * a `block`. What was done is noted *behind* the work: an attempt that fails in between is repeated,
 * while a note without its work would lose the entry.
 * @param {RedisGears.Client} client
 * @param {RedisGears.StreamRecord} data
 * @param {() => void} work
 */
function once(client, data, work) {
    // IDs are unique in a stream alone. Its name is a member, which may be any bytes.
    const done = `done:enrich:${data.id.join("-")}`;
    if (client.call("SISMEMBER", done, data.stream_name_raw) === 1n) {
        return;
    }
    work();
    client.call("SADD", done, data.stream_name_raw);
    client.call("EXPIRE", done, REMEMBERED);
}

redis.register_stream_consumer("enrich", "purchase:", 1, false, function(client, data) {
    if (data.stream_name === null) {
        throw new Error("a stream whose name is not text");
    }
    const user = data.record.find(([field]) => field === "user")?.[1];
    const known = client.call("HMGET", `user:${user}`, "name", "country");
    const [name, country] = /** @type {(string | null)[]} */ (known);
    once(client, data, () => {
        client.call(
            "XADD", `enriched:${data.stream_name}`, "*",
            ...data.record_raw.flat(), // bytes, so that values need not be text
            "name", name ?? "unknown",
            "country", country ?? "unknown",
            "id", data.id.join("-"),
        );
    });
}, {
    dead_letter: "not-enriched",
});
