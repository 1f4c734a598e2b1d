#!js name=write_behind

// Carries products over to a table that may be out of reach for a while. The trigger only notes each
// change in a stream, in the same moment as the change itself; the stream is what survives a crash. Its
// consumer tries until it comes through, in order, and takes what is done out of the stream.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/write-behind.js
//   redis-cli SET table:closed yes
//   redis-cli HSET product:1 name lamp price 20
//   redis-cli HSET product:1 price 18
//   redis-cli XRANGE changes - +
//   redis-cli DEL table:closed
//   redis-cli HGETALL table
//   redis-cli DEL product:1
//   redis-cli HGETALL table
//
// The stream has both changes while the table is closed. A moment after it is opened, the table has the
// product with the price 18; at the end it has none. Keys may be any bytes; fields and values are text,
// as in the JSON of the table: those that are not come as null, or not at all.
//
// What functions and callbacks of libraries write fires no triggers: they would have to note it as well.

redis.register_notifications_consumer("note", "product:", function(client, data) {
    // A read that found nothing is an event as well, and no change.
    if (data.event === "keymiss") {
        return;
    }
    // A key that is deleted, or holds something else, is no product any more.
    const now = data.type === "hash" ? JSON.stringify(data.value) : "";
    client.call("XADD", "changes", "*", "key", data.key_raw, "now", now);
}, {
    read_value: true, // as of the event, although the key may change again before this runs
});

redis.register_stream_consumer("carry", "changes", 1, true, function(client, data) {
    // Stands for whatever is slow, or fails at times.
    if (client.call("EXISTS", "table:closed") === 1n) {
        throw new Error("the table is closed");
    }
    const key = data.record_raw[0]?.[1] ?? new ArrayBuffer(0);
    const now = data.record[1]?.[1] ?? "";
    if (now === "") {
        client.call("HDEL", "table", key);
    } else {
        client.call("HSET", "table", key, now);
    }
}, {
    exact: true,
    on_failure: "retry",
    backoff: { initial: 50, max: 1000 },
});
