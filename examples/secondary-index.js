#!js name=cities

// Keeps an index: which users live in a city. Whatever clients change in a user's hash, the index has
// followed when the command is answered. What functions and callbacks of libraries write fires no triggers:
// these would have to call `file` themselves.
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
// loaded. Then there is none in Lund, and one in Oslo. Each database has an index of its own; what was there
// before is looked for in database 0.

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

/**
 * Files a user by what is there now; nothing where that is not text, or is not to be read.
 * @param {RedisGears.Client} client
 * @param {string} user
 */
function look(client, user) {
    try {
        const is_hash = client.call("TYPE", user) == "hash";
        const city = is_hash ? client.call("HGET", user, "city") : null;
        file(client, user, /** @type {string | null} */ (city));
    } catch (error) {
        // One of them keeps no other out.
        redis.log(`${user}: ${error}`);
    }
}

/**
 * The text of bytes in UTF-8, or null where they are none.
 * @param {ArrayBuffer} bytes
 */
function text(bytes) {
    const coded = Array.from(new Uint8Array(bytes), (byte) => `%${byte.toString(16).padStart(2, "0")}`);
    try {
        return decodeURIComponent(coded.join(""));
    } catch {
        return null;
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
    // Users that are there already, and those that were in the index and are gone: a hundred at a time, so
    // that nobody waits for long. This is called after each restart, too.
    on_registered: async (client) => {
        for (const command of ["SCAN", "HSCAN"]) {
            let cursor = "0";
            do {
                cursor = client.block((locked) => {
                    // As bytes: a name that is not text must not end all of it.
                    const reply = command === "SCAN"
                        ? locked.call_raw("SCAN", cursor, "MATCH", "user:*", "COUNT", 100)
                        : locked.call_raw("HSCAN", "city:of", cursor, "COUNT", 100);
                    const [next, found] = /** @type {[ArrayBuffer, ArrayBuffer[]]} */ (reply);
                    // HSCAN gives users and cities in turn.
                    const users = command === "SCAN" ? found : found.filter((_, at) => at % 2 === 0);
                    for (const user of users.map(text)) {
                        if (user !== null) {
                            look(locked, user);
                        }
                    }
                    return text(next) ?? "0";
                });
            } while (cursor !== "0");
        }
    },
});

redis.register_function("find", (client, city) => client.call("SMEMBERS", `city:${city}`), ["no-writes"]);
