#!js name=imports

// Stores documents, a batch at a time and each batch as a whole. One bad document must not keep the
// others out: a batch that fails is halved until the bad one is alone, and that one is put aside.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/poison.js
//   redis-cli XADD import:web '*' json '{"name":"a","size":1}'
//   redis-cli XADD import:web '*' json '{"name":'
//   redis-cli XADD import:web '*' json '{"name":"c","size":3}'
//   redis-cli HGETALL documents
//   redis-cli XRANGE not-imported - +
//
// The hash has the documents a and c as soon as the second entry was found, in less than a second.
// That entry is in the stream "not-imported", behind eight fields that say why and where it came
// from. Nobody had to say which entry it is; a callback that knows returns it, as in batches.js.

redis.register_stream_consumer("store", "import:", 1, false, function(client, records) {
    // All are read before anything is written: a bad one leaves nothing of its batch behind.
    const documents = records.flatMap(({ record }) => {
        const json = record.find(([field]) => field === "json")?.[1];
        const { name } = JSON.parse(json ?? "");
        if (typeof name !== "string") {
            throw new Error("a document without a name");
        }
        return [name, String(json)];
    });
    client.call("HSET", "documents", ...documents);
}, {
    batch: 64,
    duration: 50,
    on_failure: "retry",
    retry_interval: 20, // milliseconds before each retry, and so before each halving
    bisect: true,
    max_attempts: 2, // of an entry that is alone; batches are halved instead
    dead_letter: "not-imported",
});
