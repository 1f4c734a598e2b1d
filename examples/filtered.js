#!js name=alarms

// Logs what is urgent, and nothing else. The server looks at the fields itself: entries that do not
// match never reach the script.
//
//   redis-cli XADD events '*' level error source web text 'too late'
//   redis-cli -x RG.FUNCTION LOAD < examples/filtered.js
//   redis-cli XADD events '*' level error source web text 'no answer'
//   redis-cli XADD events '*' level info source web text 'a visit'
//   redis-cli XADD events '*' level fatal source test-7 text 'on purpose'
//   redis-cli XADD events '*' level fatal source db text 'disk full' muted yes
//   redis-cli XADD events:old '*' level fatal source db text 'another stream'
//   redis-cli RG.CONSUMER INFO alarms alarm
//
// The log gets one line: error: no answer
// Three entries count as `filtered`. The first one was there before the library, the last one is in
// a stream that is not consumed.

redis.register_stream_consumer("alarm", "events", 1, false, function(client, data) {
    const fields = new Map(data.record);
    redis.log(`${fields.get("level")}: ${fields.get("text")}`);
}, {
    exact: true, // the stream "events" alone, not all whose names start like that
    start: "latest", // what was there before is of no interest
    filter: { // all of it must hold
        level: ["error", "fatal"], // one of these
        source: { not: { prefix: "test-" } }, // holds without a source, too
        muted: { exists: false },
    },
});
