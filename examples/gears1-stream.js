#!js name=keep

// Keeps each entry of the stream "s1" under a key of its ID, and takes it out of the stream. It is the
// second Gear of the page about streaming of RedisGears 1.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/gears1-stream.js
//   redis-cli XADD s1 5-1 a 1 b 2
//   redis-cli GET 5-1
//   redis-cli XLEN s1
//
// The key 5-1 has {"streamId":"5-1","a":"1","b":"2"}. Another stream does not trigger it, one called
// "s10" neither: that would be the prefix "s1*".

GearsBuilder('StreamReader').foreach(x => execute('set', x['streamId'], JSON.stringify(x))).register('s1');
