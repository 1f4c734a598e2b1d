#!js name=approvals

// Has orders approved from outside, up to ten of a stream at a time. Orders of one customer wait for
// each other; those of other customers go by.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/ordered.js
//   redis-cli XADD orders:web '*' customer anna order 1
//   redis-cli XADD orders:web '*' customer anna order 2
//   redis-cli XADD orders:web '*' customer bert order 3
//   redis-cli XRANGE questions - +
//   redis-cli XADD answers '*' order 3 answer yes
//   redis-cli XADD answers '*' order 1 answer no
//   redis-cli XRANGE questions - +
//   redis-cli HGETALL decided
//
// First it asks for the orders 1 and 3, and for order 2 when order 1 is decided. An answer that is
// neither yes nor no stops the stream, so that no later order overtakes that one. Then
//
//   redis-cli RG.CONSUMER RESUME approvals orders STREAM orders:web
//
// asks for the same order again. So does a restart: what was asked for may be asked for twice.

/**
 * What tells those who wait for an answer, by the order's number: several where it was sent twice. It
 * lives as long as the library.
 * @type {Map<string, ((answer: string) => void)[]>}
 */
const waiting = new Map();

/**
 * The value of the first field of that name.
 * @param {RedisGears.StreamRecord} record
 * @param {string} name
 */
function field(record, name) {
    return record.record.find(([key]) => key === name)?.[1] ?? "";
}

redis.register_stream_consumer(
    "orders",
    "orders:",
    10, // window: ten orders of a stream at once, of as many customers
    false,
    async function(client, data) {
        const order = field(data, "order");
        // Listened for first: the answer may be there before `block` comes back.
        /** @type {Promise<string>} */
        const answered = new Promise((resolve) => {
            waiting.set(order, [...(waiting.get(order) ?? []), resolve]);
        });
        client.block((locked) => locked.call("XADD", "questions", "*", "order", order));
        const answer = await answered;
        if (answer !== "yes" && answer !== "no") {
            throw new Error(`order ${order}: the answer was "${answer}"`);
        }
        client.block((locked) => locked.call("HSET", "decided", order, answer));
    },
    {
        order_by: "customer",
        on_failure: "abort",
    },
);

redis.register_stream_consumer("answers", "answers", 1, false, function(client, data) {
    const order = field(data, "order");
    const asked = waiting.get(order) ?? [];
    waiting.delete(order);
    asked.forEach((tell) => tell(field(data, "answer")));
});
