#!js name=payments

// Books payments. While the ledger is closed they wait, with pauses that grow, and nothing is lost.
// A payment that can never be booked is put aside at once.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/retries.js
//   redis-cli SET ledger:closed yes EX 30
//   redis-cli XADD payment:web '*' account anna amount 100
//   redis-cli XADD payment:web '*' account anna amount much
//   redis-cli RG.CONSUMER INFO payments book STREAM payment:web
//   redis-cli DEL ledger:closed
//   redis-cli RG.CONSUMER RETRY payments book STREAM payment:web
//   redis-cli HGETALL ledger
//   redis-cli RG.CONSUMER LETTERS payments book
//
// Before RETRY the stream is "waiting": the callback has said that 30 seconds are to pass. Then the
// first payment is booked, and the second one is in the stream "unbooked", with its error. Payments
// that were given up only because the ledger was closed for too long can be handed over once more:
//
//   redis-cli RG.CONSUMER REDRIVE payments book ERROR '*ledger is closed*'
//   redis-cli RG.CONSUMER REDRIVES payments book
//
// One that stops the stream is put aside with RG.CONSUMER SKIP, and RG.CONSUMER DROP deletes letters.

redis.register_stream_consumer("book", "payment:", 1, false, function(client, data) {
    const fields = new Map(data.record);
    const account = fields.get("account");
    const amount = fields.get("amount");
    // Not Number() alone: of "" and of bytes that are no text it makes 0.
    if (account == null || amount == null || !/^-?\d{1,15}$/.test(amount)) {
        // No further attempt can help.
        throw Object.assign(new Error("a payment is an account and a whole number"), { fatal: true });
    }
    // Look first, write last: what is written before an error stays, and comes again with the retry.
    if (client.call("EXISTS", "ledger:closed") === 1n) {
        const closed = new Error("the ledger is closed");
        const ms = Number(client.call("PTTL", "ledger:closed"));
        throw ms > 0 ? Object.assign(closed, { retry_after: ms }) : closed;
    }
    client.call("HINCRBY", "ledger", account, amount);
}, {
    on_failure: "retry",
    backoff: {
        initial: 200, // milliseconds before the first retry; then 400, 800, ...
        factor: 2,
        max: 60_000, // but never more than a minute
        jitter: 0.2, // and up to a fifth less, so that not everybody comes back at the same time
    },
    max_attempts: 10, // given up after so many failures,
    max_age: 24 * 60 * 60 * 1000, // or at the first one a day after the first attempt
    dead_letter: "unbooked", // where given-up payments go
    scope: "consumer", // there is one ledger: while one stream waits, all of them do
});
