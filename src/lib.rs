//! Programmable streaming inside Redis and Valkey: JavaScript stream consumers on V8.
//!
//! This is the module's entry: what is registered with the server, and nothing else. The rooms:
//!
//! * [`gears_core`] decides: which entry goes to which consumer, which event of a key to which
//!   trigger.
//! * [`gears_v8`] runs scripts.
//! * [`dispatcher`] carries decisions out; [`executor`] runs scripts for it, on the main thread and
//!   on workers.
//! * [`cluster`] talks to the other nodes of a cluster.
//! * [`library`] knows what is loaded.
//! * [`replication`] is what the module tells itself on replicas and after a restart; [`calls`] is
//!   what calls of functions take; [`stats`] is what is shown of all that.
//! * [`server`] is the server; [`app`] is the state; [`commands`] answers users.

mod app;
mod calls;
mod cluster;
mod commands;
mod dispatcher;
mod executor;
mod library;
mod remote;
mod replication;
mod server;
mod stats;

use crate::app::{App, AppHooks};
use crate::server::{Context, Settings};

/// Of the module.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[global_allocator]
static ALLOCATOR: server::ServerAllocator = server::ServerAllocator;

/// Ends what was started when the module was loaded; false where it was used since.
fn unload() -> bool {
    App::end()
}

/// Registers everything with the server that has just loaded the module.
fn load(context: &Context, arguments: &[&[u8]]) -> Result<(), String> {
    server::install_log(context);
    let refused = |what: &str| format!("the server refuses: {what}");
    server::register_settings(context).map_err(refused)?;
    server::apply_arguments(arguments)?;
    commands::register(context).map_err(refused)?;
    server::register_dumps(context).map_err(refused)?;
    server::register_info(context).map_err(refused)?;
    App::start(context, Settings::new())?;
    server::listen(context, Box::new(AppHooks)).map_err(refused)?;
    log::info!("RedisGears v{VERSION} is ready");
    Ok(())
}
