#!js name=gears
// A registration as RedisGears 1 has it. Entries fail as the field `bad` says: so many times. With them fail those of
// their batch; all are tried again, in place. An entry has its effect in the end, and before those that came later.

const begin = record => redis.log(`H gears ${record.key} ${record.id}`);

const fails = ({ key, id, value: { bad } }) =>
    bad !== undefined && execute("HINCRBY", `at:${key}`, id, 1) <= Number(bad);

const effect = ({ key, id }) => atomic(() => {
    execute("HINCRBY", `fx:${key}`, id, 1);
    execute("RPUSH", `ord:${key}`, id);
});

GearsBuilder("StreamReader")
    .foreach(begin)
    .accumulate((all, record) => [...(all ?? []), record])
    .foreach(async all => {
        if (atomic(() => all.filter(fails)).length > 0) {
            throw new Error("as intended");
        }
        await null;
        all.forEach(effect);
    })
    .register({
        prefix: "gears:*",
        batch: 3,
        duration: 5,
        onFailedPolicy: "retry",
        onFailedRetryInterval: 0.02,
        trimStream: false,
        recordFormat: "nested",
    });
