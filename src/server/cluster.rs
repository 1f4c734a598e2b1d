//! The server as a node of a cluster: its table, its bus, and how nodes are talked to.

use gears_core::cluster::NodeId;

use super::context::Context;
use super::ffi::bus::{self, BusListener};
use super::ffi::call::{CallOptions, call_options};
use super::hooks::HOOKS;

/// As every call (`!`); errors are replies (`E`).
const OPTIONS: CallOptions = call_options!("!E");

/// The server's own files for TLS, as it uses them towards other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// What it shows, and the key to that; empty where it shows nothing.
    pub(crate) certificate: String,
    /// The key.
    pub(crate) key: String,
    /// Whom it trusts: a file, or a folder of files.
    pub(crate) trusted_file: String,
    /// The folder.
    pub(crate) trusted_folder: String,
}

impl Context {
    /// The server's table of the cluster. In a client's command its ports are those for that client.
    pub(crate) fn cluster_table(&self) -> Option<String> {
        let reply = self.call(c"CLUSTER", OPTIONS, &[b"NODES"])?;
        let text = reply.text().filter(|_| !reply.is_error())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Whether the server takes its cluster for down.
    pub(crate) fn is_cluster_down(&self) -> bool {
        let reply = self.call(c"CLUSTER", OPTIONS, &[b"INFO"]);
        let text = reply.as_ref().and_then(|reply| reply.text());
        text.is_some_and(|text| text.starts_with(b"cluster_state:fail"))
    }

    /// The files for TLS, if nodes talk to each other in TLS.
    pub(crate) fn cluster_tls(&self) -> Option<TlsFiles> {
        let found = self.call_for_texts(c"CONFIG", &[b"GET", b"tls-*"]);
        let value = |name: &str| {
            let mut pairs = found.chunks_exact(2);
            let pair = pairs.find(|pair| pair[0] == name);
            pair.map(|pair| pair[1].clone()).unwrap_or_default()
        };
        if value("tls-cluster") != "yes" {
            return None;
        }
        let own = |client: &str, server: &str| {
            let client = value(client);
            if client.is_empty() {
                value(server)
            } else {
                client
            }
        };
        Some(TlsFiles {
            certificate: own("tls-client-cert-file", "tls-cert-file"),
            key: own("tls-client-key-file", "tls-key-file"),
            trusted_file: value("tls-ca-cert-file"),
            trusted_folder: value("tls-ca-cert-dir"),
        })
    }

    /// Has the module hear of what other nodes send to it over the cluster bus. To be called once.
    #[expect(clippy::unused_self, reason = "a context is had under the lock only")]
    pub(crate) fn listen_to_bus(&self) {
        bus::listen::<Listener>(&Self::detached());
    }
}

struct Listener;

impl BusListener for Listener {
    fn on_message(from: NodeId, bytes: &[u8]) {
        if let Some(hooks) = HOOKS.get() {
            hooks.on_bus_message(from, bytes);
        }
    }
}
