#!js name=alerts

// One source, several installations: what differs is given when the library is loaded.
//
//   redis-cli -x RG.FUNCTION LOAD CONFIG '{"prefix":"meter:","limit":90}' < examples/config.js
//   redis-cli XADD meter:boiler '*' degrees 71
//   redis-cli XADD meter:boiler '*' degrees 95
//   redis-cli RG.FUNCTION LIST LIBRARY alerts
//
// The log gets one line: meter:boiler: degrees is 95, above 90
// Another limit: the first command with UPGRADE before CONFIG. Another prefix would be refused:
// that of a consumer cannot change.

const prefix = redis.config.prefix ?? "meter:";
const limit = redis.config.limit ?? 100;

// A wrong configuration is found now, not at the first entry: LOAD answers with the error.
if (typeof prefix !== "string") {
    throw new TypeError('the configuration\'s "prefix" must be a string');
}
if (typeof limit !== "number") {
    throw new TypeError('the configuration\'s "limit" must be a number');
}

redis.register_stream_consumer("watch", prefix, 1, false, function(client, data) {
    for (const [field, value] of data.record) {
        if (Number(value) > limit) {
            redis.log(`${data.stream_name}: ${field} is ${value}, above ${limit}`);
        }
    }
});
