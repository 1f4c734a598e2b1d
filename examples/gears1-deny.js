#!js name=deny

// Nothing can be put under "denied:": whatever is written there is deleted. It is the first Gear of the
// page about streaming of RedisGears 1, which denied every key; here it is a prefix.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/gears1-deny.js
//   redis-cli SET denied:1 value
//   redis-cli GET denied:1
//   redis-cli SET allowed:1 value
//   redis-cli RG.DUMPREGISTRATIONS
//
// GET finds nothing, a moment after SET. The deletion is an event of the key as well, but what libraries
// write fires no triggers: so there is one of them for each SET, and no loop.

GearsBuilder().foreach(x => execute('del', x['key'])).register('denied:*');
