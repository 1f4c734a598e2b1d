#!js name=enrichment

// Copies each entry of a stream to another one, with what is known about its user added.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/enrichment.js
//   redis-cli HSET user:7 name Anna country SE
//   redis-cli XADD purchase:web '*' user 7 item lamp
//   redis-cli XRANGE enriched:purchase:web - +
//
// The new stream has an entry with the same ID and the fields user, item, name and country. It is
// there when XADD is answered, and replicated in one transaction. The consumer acts as the user who
// loaded the library, who must be allowed to use all three keys.

redis.register_stream_consumer("enrich", "purchase:", 1, false, function(client, data) {
    if (data.stream_name === null) {
        throw new Error("a stream whose name is not text");
    }
    const user = data.record.find(([field]) => field === "user")?.[1];
    const known = client.call("HMGET", `user:${user}`, "name", "country");
    const [name, country] = /** @type {(string | null)[]} */ (known);
    try {
        client.call(
            "XADD", `enriched:${data.stream_name}`, data.id.join("-"),
            ...data.record_raw.flat(), // bytes, so that values need not be text
            "name", name ?? "unknown",
            "country", country ?? "unknown",
        );
    } catch (error) {
        // Entries come again after a restart. Their IDs say that they are there already.
        if (!String(error).includes("equal or smaller")) {
            throw error;
        }
    }
});
