#!js name=lib

// Logs every entry of every stream whose name starts with "stream".
//
//   redis-cli -x RG.FUNCTION LOAD < examples/quickstart.js
//   redis-cli XADD stream:1 '*' foo1 bar1
//   redis-cli RG.FUNCTION LIST LIBRARY lib vvv
//
// Each entry gives one line of the server's log:
//   ... <redisgears_2> [lib/consumer] {"id":["1657030402506","0"],"stream_name":"stream:1","record":[["foo1","bar1"]]}

redis.register_stream_consumer(
    "consumer", // the consumer's name, unique in this library
    "stream", // streams whose names start with this
    1, // window: one entry of a stream at a time
    false, // trim: leave processed entries in the stream
    function(c, data) {
        // The two halves of an ID are BigInts, which JSON does not know: write them as strings.
        redis.log(JSON.stringify(data, (key, value) =>
            typeof value === 'bigint'
                ? value.toString()
                : value
        ));
    }
);
