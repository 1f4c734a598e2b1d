#!js name=words

// Counts the words in all strings whose keys match a pattern, and gives the most frequent ones.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/gears1-wordcount.js
//   redis-cli SET text:1 'to be or not to be'
//   redis-cli SET text:2 'to do'
//   redis-cli RG.FCALL words top 0 'text:*' 2
//
// That is 3 for "to" and 2 for "be". The server goes on meanwhile: the keys are read some at a time, and the
// steps run on a worker. In a cluster the words of all shards are counted, whichever is asked: each shard reads its own
// keys, and the counts of a word meet on the shard that has the slot of that word. For this the plan is made where the
// library is loaded, so that all shards have it. As a script, without a library:
//
//   redis-cli RG.JSEXECUTE "GB().flatmap(x => x.value.split(' ')).countby().run('text:*')"

const WORDS = GearsBuilder()
    .filter((x) => x.type === "string")
    .flatmap((x) => String(x.value).toLowerCase().split(/\W+/).filter((word) => word !== ""))
    .countby()
    .map((word) => [word.value, word.key])
    .sort(false);

redis.register_function("top", async function(client, pattern, count) {
    const [words, errors] = await WORDS.run(pattern);
    if (errors.length > 0) {
        throw new Error(errors[0]);
    }
    return words.slice(0, Number(count));
}, ["no-writes"]);
