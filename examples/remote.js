#!js name=accounts

// Moves money between accounts that may be on different shards.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/remote.js
//   redis-cli -c HSET account:anna balance 100
//   redis-cli RG.FCALL accounts transfer 0 account:anna account:bert t-1 30
//   redis-cli RG.FCALL accounts total 0
//
// It may be called on any shard. The accounts are not named as keys of the call, since those would have to be of one slot.
//
// Each account is a hash with the field "balance", and one field for each transfer that it took part in: so a part that
// comes twice acts once. What may have happened is said, and not guessed.

// Runs on the shard of the account, in the name of whoever called "transfer".
redis.register_remote_function("change", async (client, account, transfer, amount) =>
    client.block((locked) => {
        if (locked.call("HEXISTS", account, transfer) === 1n) {
            return Number(locked.call("HGET", account, "balance"));
        }
        const balance = Number(locked.call("HGET", account, "balance") ?? 0) + amount;
        if (balance < 0) {
            throw new RangeError(`${account} has too little`);
        }
        locked.call("HSET", account, "balance", balance, transfer, amount);
        return balance;
    }));

// Runs on every shard.
redis.register_remote_function("sum", async (client) =>
    client.block((locked) => {
        let [cursor, sum] = ["0", 0];
        do {
            const reply = locked.call("SCAN", cursor, "MATCH", "account:*", "COUNT", 1000);
            const [next, keys] = /** @type {[string, string[]]} */ (reply);
            for (const key of keys) {
                sum += Number(locked.call("HGET", key, "balance") ?? 0);
            }
            cursor = next;
        } while (cursor !== "0");
        return sum;
    }), { flags: ["no-writes"] });

redis.register_function("transfer", async (client, from, to, transfer, amount) => {
    const change = { name: "change", timeout: 2000 };
    const left = await client.run_on_key(from, change, from, transfer, -Number(amount));
    try {
        await client.run_on_key(to, change, to, transfer, Number(amount));
    } catch (error) {
        const { code } = /** @type {RedisGears.RemoteError} */ (error);
        if (code === "not_sent") {
            // It certainly has not arrived: it goes back.
            await client.run_on_key(from, change, from, `${transfer}:back`, Number(amount));
        }
        throw error;
    }
    return left;
});

redis.register_function("total", async (client) => {
    const [results, errors] = await client.run_on_all_shards("sum");
    if (errors.length > 0) {
        throw errors[0];
    }
    return results.reduce((sum, one) => sum + one, 0);
}, ["no-writes"]);
