#!js name=audit

// Writes down which sessions ran out, and when. The server picks the events: a session that is changed
// or deleted costs no script.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/expiry-audit.js
//   redis-cli SET session:anna data EX 1
//   redis-cli SET session:bert data EX 1
//   redis-cli DEL session:bert
//   redis-cli XRANGE expired - +
//
// A second later the stream has one entry, for Anna's session; its ID is the time. A key expires when the
// server notices: when somebody looks at it, or a little later by itself.

redis.register_notifications_consumer("note", "session:", function(client, data) {
    client.call("XADD", "expired", "MAXLEN", "~", 10_000, "*", "key", data.key_raw);
}, {
    event_types: ["expired"],
});
