#!js name=limiter

// Lets a caller do something so many times within a sliding window of time.
// A plain function runs like one command: nobody comes in between looking and counting.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/rate-limiter.js
//   redis-cli RG.FCALL limiter allow 1 limit:anna 3 60
//
// Arguments: the key that keeps the count, how many, in how many seconds. The first three calls
// answer 1 (allowed), how many more may follow, and 0; the fourth answers 0, 0, and in how many
// milliseconds to come back. A call that is not allowed does not count.

/**
 * An argument as a positive whole number.
 * @param {string} name
 * @param {string} text
 */
function whole(name, text) {
    const number = Number(text);
    if (!Number.isSafeInteger(number) || number < 1) {
        throw new Error(`${name} must be a positive whole number`);
    }
    return number;
}

/** Tells calls of the same millisecond apart. */
let calls = 0;

redis.register_function("allow", function(client, key, count, seconds) {
    const limit = whole("the limit", count);
    const window = whole("the number of seconds", seconds) * 1000;
    const now = Date.now();

    // A sorted set with one member for each call that was allowed; its score is the time.
    client.call("ZREMRANGEBYSCORE", key, "-inf", now - window);
    const used = Number(client.call("ZCARD", key));
    if (used >= limit) {
        const first = client.call("ZRANGE", key, 0, 0, "WITHSCORES");
        const [[, time]] = /** @type {[[string, number]]} */ (first);
        return [false, 0, time + window - now];
    }
    calls += 1;
    client.call("ZADD", key, now, `${now}-${calls}`);
    client.call("PEXPIRE", key, window);
    return [true, limit - used - 1, 0];
});
