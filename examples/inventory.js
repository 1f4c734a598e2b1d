#!js name=inventory

// Takes an order: reserves the goods, checks the payment, and gives the goods back if that fails.
// Each `block` is atomic. Between them the server goes on, so what the first one did is undone by
// another one, not rolled back.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/inventory.js
//   redis-cli HSET stock lamp 5
//   redis-cli RG.FCALL inventory order 2 stock order:1 lamp 2 4111111111111111
//   redis-cli RG.FCALL inventory order 2 stock order:2 lamp 2 4111111111111112
//   redis-cli HGETALL stock
//   redis-cli HGETALL order:2
//
// The first order answers with what it is now; the second one with an error, since that is no
// card's number. Then there are 3 lamps in stock, and the state of order:2 is "refused".
//
// A crash, or the end of the library, may come between two blocks. The order then stays "reserved",
// and the second function gives its goods back:
//
//   redis-cli RG.FCALL inventory release 2 stock order:3

/**
 * Stands for whatever takes long: it runs on a worker, without the server's lock.
 * @param {string} card
 */
async function check_payment(card) {
    let sum = 0;
    [...card].reverse().forEach((digit, at) => {
        const value = Number(digit) * (at % 2 === 0 ? 1 : 2);
        sum += value > 9 ? value - 9 : value;
    });
    if (card === "" || sum % 10 !== 0) {
        throw new Error("the payment was refused");
    }
}

/**
 * Gives back what an order has reserved; does nothing where it has not.
 * @param {RedisGears.Client} client
 * @param {string} stock
 * @param {string} order
 */
function release(client, stock, order) {
    const fields = client.call("HMGET", order, "state", "item", "count");
    const [state, item, count] = /** @type {(string | null)[]} */ (fields);
    if (state !== "reserved" || item == null) {
        return false;
    }
    client.call("HINCRBY", stock, item, Number(count));
    client.call("HSET", order, "state", "refused");
    return true;
}

redis.register_function("order", async function(client, stock, order, item, count, card) {
    const wanted = Number(count);
    if (!Number.isSafeInteger(wanted) || wanted < 1) {
        throw new Error("the count must be a positive whole number");
    }
    client.block((locked) => {
        if (locked.call("EXISTS", order) !== 0n) {
            throw new Error("there is such an order already");
        }
        const left = Number(locked.call("HGET", stock, item));
        if (left < wanted) {
            throw new Error(`only ${left} of ${item} left`);
        }
        locked.call("HINCRBY", stock, item, -wanted);
        locked.call("HSET", order, "item", item, "count", wanted, "state", "reserved");
    });
    try {
        await check_payment(card);
    } catch (error) {
        client.block((locked) => release(locked, stock, order));
        throw error;
    }
    return client.block((locked) => {
        // What was true in the first block need not be any more.
        if (locked.call("HGET", order, "state") !== "reserved") {
            throw new Error("the order was released meanwhile");
        }
        locked.call("HSET", order, "state", "paid");
        return locked.call("HGETALL", order);
    });
});

redis.register_function("release", release);
