//! What one writes in Rust without the module: a loop around XREADGROUP that acknowledges and trims.
//!
//! Usage: worker PORT STREAM GROUP COUNT [COMMAND ...]. A command is run once for each entry.
//! Runs until it is killed.

use std::hint::black_box;

use redis::streams::{StreamId, StreamReadReply};

/// The callback; empty, as the JavaScript ones are that it is compared with.
fn process(entry: &StreamId) {
    black_box(entry);
}

/// The smallest ID above the given one.
fn id_after(id: &str) -> String {
    let (milliseconds, sequence) = id.split_once('-').expect("an ID");
    let sequence: u64 = sequence.parse().expect("an ID");
    format!("{milliseconds}-{}", sequence + 1)
}

/// Reads, processes, acknowledges, trims; two round trips for `count` entries.
fn main() -> redis::RedisResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, stream, group, count, effect @ ..] = &arguments[..] else {
        panic!("usage: worker PORT STREAM GROUP COUNT [COMMAND ...]");
    };
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let mut connection = client.get_connection()?;
    let mut read = redis::cmd("XREADGROUP");
    read.arg(&["GROUP", group, "worker", "COUNT", count, "BLOCK", "0"]);
    read.arg(&["STREAMS", stream, ">"]);
    loop {
        let reply: StreamReadReply = read.query(&mut connection)?;
        let entries = &reply.keys[0].ids;
        let mut pipeline = redis::pipe();
        for entry in entries {
            process(entry);
            if !effect.is_empty() {
                pipeline.add_command(redis::cmd(&effect[0]).arg(&effect[1..]).clone()).ignore();
            }
        }
        let ids: Vec<&str> = entries.iter().map(|entry| &entry.id[..]).collect();
        let last = ids.last().expect("there is an entry");
        pipeline.cmd("XACK").arg(stream).arg(group).arg(&ids).ignore();
        pipeline.cmd("XTRIM").arg(&[stream, "MINID", "~", &id_after(last)[..]]).ignore();
        pipeline.query::<()>(&mut connection)?;
    }
}
