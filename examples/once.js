#!js name=billing

// Adds up what orders bring in, each order once: also where the server is killed in the middle, or where an order is
// tried again. The sum and the note that the order is in it are one transaction.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/once.js
//   redis-cli XADD order:1 '*' amount 5
//   redis-cli XADD order:1 '*' amount 7
//   redis-cli GET revenue
//
// The sum is 12, and stays 12 if the consumer gets all of it again:
//
//   redis-cli RG.CONSUMER SEEK billing bill STREAM order:1 earliest
//
// The notes are in rg.once:{order:1}:billing:bill.

redis.register_stream_consumer("bill", "order:", 16, false, async function(client, data) {
    const amount = data.record[0]?.[1] ?? "";
    if (!/^[0-9]+$/.test(amount)) {
        throw new Error("the first field must be the amount");
    }
    client.once(data, (locked) => {
        locked.call("INCRBY", "revenue", amount);
    });
}, {
    on_failure: "retry",
    max_attempts: 3,
    dead_letter: "bad-orders",
});
