#!js name=cities

// Keeps an index: which users live in a city. Whatever changes a user's hash, the index has followed when
// the command is answered.
//
//   redis-cli HSET user:1 name Anna city Lund
//   redis-cli -x RG.FUNCTION LOAD < examples/secondary-index.js
//   redis-cli HSET user:2 name Bert city Lund
//   redis-cli RG.FCALL cities find 0 Lund
//   redis-cli HSET user:2 city Oslo
//   redis-cli DEL user:1
//   redis-cli RG.FCALL cities find 0 Lund
//   redis-cli RG.FCALL cities find 0 Oslo
//
// First there are two users in Lund: the one that was there before the library is found when it is
// loaded. Then there is none in Lund, and one in Oslo.

/**
 * Puts a user into the set of a city, and out of the one before.
 * @param {RedisGears.Client} client
 * @param {string} user
 * @param {string | null} city
 */
function file(client, user, city) {
    const before = /** @type {string | null} */ (client.call("HGET", "city:of", user));
    if (before === city) {
        return;
    }
    if (before !== null) {
        client.call("SREM", `city:${before}`, user);
        client.call("HDEL", "city:of", user);
    }
    if (city !== null) {
        client.call("SADD", `city:${city}`, user);
        client.call("HSET", "city:of", user, city);
    }
}

redis.register_notifications_consumer("follow", "user:", function(client, data) {
    // A key that is not text is left out. A read that found nothing changes nothing.
    if (data.key !== null && data.event !== "keymiss") {
        file(client, data.key, data.type === "hash" ? data.value.city ?? null : null);
    }
}, {
    // A key that is deleted, expires or is overwritten has no city any more.
    read_value: true,
    // Users that are there already: a hundred at a time, so that nobody waits for long. This is called
    // after each restart, too.
    on_registered: async (client) => {
        let cursor = "0";
        do {
            cursor = client.block((locked) => {
                const reply = locked.call("SCAN", cursor, "MATCH", "user:*", "COUNT", 100, "TYPE", "hash");
                const [next, users] = /** @type {[string, string[]]} */ (reply);
                for (const user of users) {
                    file(locked, user, /** @type {string | null} */ (locked.call("HGET", user, "city")));
                }
                return next;
            });
        } while (cursor !== "0");
    },
});

redis.register_function("find", (client, city) => client.call("SMEMBERS", `city:${city}`), ["no-writes"]);
