#!js name=sessions

// Writes down what was in the sessions that ran out. When a server says that a key has expired, its value is gone: so
// this library keeps a copy of each session beside it, and takes that when the session expires.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/expired-values.js
//   redis-cli SET session:anna cart:17 EX 1
//   redis-cli SET session:bert cart:18 EX 1
//   redis-cli DEL session:bert
//   redis-cli XRANGE ended - +
//
// A second later the stream has one entry, with Anna's value. Sessions without a time to live have no copy.

const PREFIX = "session:";
/** How long a copy outlives its session, where the server is long in noticing that this has expired. */
const LONGER = 24 * 3600 * 1000;

redis.register_notifications_consumer("copy", PREFIX, function(client, data) {
    const copy = `copy:${data.key}`;
    if (data.event === "expired") {
        const value = client.call("GETDEL", copy);
        if (value !== null) {
            client.call("XADD", "ended", "MAXLEN", "~", 10_000, "*", "key", String(data.key), "value", String(value));
        }
        return;
    }
    const left = Number(client.call("PTTL", String(data.key)));
    if (left < 0) {
        client.call("DEL", copy); // deleted, or it does not expire
    } else {
        client.call("COPY", String(data.key), copy, "REPLACE");
        client.call("PEXPIRE", copy, left + LONGER);
    }
}, {
    event_types: ["set", "setrange", "append", "incrby", "expire", "persist", "del", "rename_from", "rename_to", "expired"],
    description: "keeps what sessions held until they expire",
});
