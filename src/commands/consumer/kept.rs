//! `RG.CONSUMER KEPT [library]`: what is kept of libraries that were deleted.

use super::CATEGORIES;
use crate::app::App;
use crate::commands::{COMMAND, entry, subcommand, text, wrong_arity};
use crate::library::KeptProgress;
use crate::server::{Arg, Command, Context};
use gears_core::delivery::Delivery;
use gears_v8::ports::Reply;

pub(super) const KEPT: Command = Command {
    name: "kept",
    entry: entry!(subcommand, kept),
    flags: "deny-script",
    categories: CATEGORIES,
    summary: "Shows whose progress is kept of libraries that were deleted",
    complexity: "O(N) where N is the number of their consumers",
    args: &[Arg {
        optional: true,
        ..text("library")
    }],
    help: &[
        "KEPT [<library>]",
        "    Show the consumers whose progress is kept of libraries that were deleted.",
    ],
    ..COMMAND
};

fn kept(app: &App, _context: &Context, arguments: &[&[u8]]) -> Reply {
    let wanted = match arguments {
        [] => None,
        [name] => Some(*name),
        _ => return wrong_arity("rg.consumer|kept"),
    };
    app.dispatcher.catch_up();
    let all = app.libraries.kept();
    let all = all.iter();
    let shown = all.filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name.as_bytes()));
    app.dispatcher.inspect(|delivery| {
        let shown = shown.map(|(name, kept)| describe(name, kept, delivery));
        Reply::Array(shown.collect())
    })
}

fn describe(library: &str, kept: &KeptProgress, delivery: &Delivery) -> Reply {
    let consumers = kept.consumers.iter().map(|(name, consumer)| {
        Reply::record(vec![
            ("name", Reply::text(name.as_str())),
            ("prefix", Reply::Bulk(consumer.prefix.to_vec())),
            ("streams", Reply::count(delivery.stream_count(consumer.key))),
        ])
    });
    Reply::record(vec![
        ("library", Reply::text(library)),
        ("owner", Reply::text(&*kept.user)),
        ("deleted_at", Reply::count(kept.deleted_ms)),
        ("deleted_by", Reply::text(kept.deleted_by.as_str())),
        ("consumers", Reply::Array(consumers.collect())),
    ])
}
