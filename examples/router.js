#!js name=router

// Hands each entry of a stream over to the shard of its customer: orders come in by shop, and each customer gets a
// stream of their own, in whatever slot that is.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/router.js
//   redis-cli -c XADD orders:web '*' customer anna item lamp
//   redis-cli -c XADD orders:web '*' customer bert item chair
//   redis-cli -c XRANGE 'customer:{anna}' - +
//
// An order may be handed over twice: its call may have run although it failed, and after a crash the consumer gets it
// again. It is there once all the same, as the shard of the customer notes beside it that it is:
//
//   redis-cli -c RG.CONSUMER SEEK router route STREAM orders:web earliest
//   redis-cli -c XLEN 'customer:{anna}'
//
// While that shard cannot be reached, the stream waits behind the first order for it. An order that names no customer is
// kept in the stream "not-routed:{orders:web}". All is done as the user who loaded the library, on the other shard, too.

/** For how many seconds an order that comes again is recognised: a week. */
const REMEMBERED = 7 * 24 * 60 * 60;

// Runs on the shard of the customer. The note has the hash tag of the stream, so it is in the same slot, and both are
// written in one block: both are there, or neither.
redis.register_remote_function("add", async (client, customer, stream, id, pairs) =>
    client.block((locked) => {
        const note = `routed:{${customer}}:${id}`;
        if (locked.call("SISMEMBER", note, stream) === 1n) {
            return;
        }
        locked.call("XADD", `customer:{${customer}}`, "*", ...pairs);
        locked.call("SADD", note, stream);
        locked.call("EXPIRE", note, REMEMBERED);
    }));

redis.register_stream_consumer("route", "orders:", 16, false, async function(client, data) {
    const customer = data.record.find(([field]) => field === "customer")?.[1] ?? "";
    // It becomes a hash tag.
    if (!/^\w+$/.test(customer)) {
        throw Object.assign(new Error("the order names no customer"), { fatal: true });
    }
    await client.run_on_key(
        `{${customer}}`,
        { name: "add", timeout: 2000 },
        customer,
        data.stream_name_raw,
        data.id.join("-"),
        data.record_raw.flat(), // bytes, so that values need not be text
    );
}, {
    order_by: "customer", // up to 16 calls at a time, and one after another for each customer
    on_failure: "retry",
    backoff: { initial: 100, max: 10_000 },
    dead_letter: "not-routed:{}",
});
