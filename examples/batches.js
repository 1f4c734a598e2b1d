#!js name=totals

// Adds up sales, a batch of entries at a time: however many of them are of one product, one command
// adds them to its total. What is no good is named, and fails alone.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/batches.js
//   redis-cli XADD sales:web '*' product lamp count 2
//   redis-cli XADD sales:web '*' product lamp count many
//   redis-cli XADD sales:web '*' product lamp count 3
//   redis-cli HGETALL sold
//   redis-cli RG.FUNCTION LIST LIBRARY totals vvv
//
// A batch that is not full is handed over 200 milliseconds after its first entry was seen. Then 5
// lamps are sold, and the list shows the error of the second entry.

redis.register_stream_consumer("add", "sales:", 1, false, function(client, records) {
    /** @type {Map<string, number>} */
    const sums = new Map();
    const failed = [];
    for (const { id, record } of records) {
        const product = record.find(([field]) => field === "product")?.[1];
        const count = record.find(([field]) => field === "count")?.[1];
        // Not Number() alone: of "" and of bytes that are no text it makes 0.
        if (product == null || count == null || !/^-?\d{1,15}$/.test(count)) {
            failed.push(id);
        } else {
            sums.set(product, (sums.get(product) ?? 0) + Number(count));
        }
    }
    for (const [product, sum] of sums) {
        client.call("HINCRBY", "sold", product, sum);
    }
    redis.log(`${records.length} entries, ${sums.size} products, ${failed.length} failed`);
    // Only these have failed, the others are done. To throw would mean all of them.
    return failed.length > 0 ? { failed, error: "a sale is a product and a whole number" } : undefined;
}, {
    batch: 100, // up to so many entries for one call
    duration: 200, // milliseconds that the first one of them waits for the others, at most
});
