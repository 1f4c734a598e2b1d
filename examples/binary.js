#!js name=sensors

// Reads values that are not text: a temperature as a 32-bit big-endian float.
// Bytes that are no UTF-8 are null in `record`; `record_raw` always has them.
//
//   redis-cli -x RG.FUNCTION LOAD < examples/binary.js
//   redis-cli --quoted-input XADD sensor:1 '*' sample '"\x42\xf6\xe9\x79"'
//
// The log gets the line: sensor:1 sample 123.456

redis.register_stream_consumer("decode", "sensor:", 1, false, function(client, data) {
    data.record_raw.forEach(([, bytes], at) => {
        const field = data.record[at]?.[0] ?? "(a name that is not text)";
        if (bytes.byteLength !== 4) {
            throw new Error(`${field}: 4 bytes expected, ${bytes.byteLength} found`);
        }
        const value = new DataView(bytes).getFloat32(0);
        redis.log(`${data.stream_name ?? "(binary name)"} ${field} ${value.toFixed(3)}`);
    });
});
