//! Who changed what: a line of the server's log for each command that changes libraries, consumers,
//! triggers, functions or settings.
//!
//! ```text
//! audit: SEEK by user 'alice' (client 7 at 127.0.0.1:50312): consumer 'lib/c', stream 'orders', to 0-0
//! ```
//!
//! Who did it stands before all that a client may have named, so no name can say that somebody else
//! did; and lines of scripts begin with `[`, so no script writes one. It is written once the change
//! is made, and where it was asked for: a replica takes it over without a line.

use std::fmt;

use super::ffi::context::{Client, Context};

/// Notes what the client of this command has done. `what` is the command's own word; `details`
/// say to what, and how: names in it go through [`gears_core::quoted`].
pub(crate) fn audit(context: &Context, what: &str, details: impl fmt::Display) {
    let user = context.user();
    let user = user.as_deref().unwrap_or("default");
    match context.client() {
        Some(client) => log::info!("audit: {what} by user '{user}' ({client}): {details}"),
        None => log::info!("audit: {what} by user '{user}' (no connection): {details}"),
    }
}

impl fmt::Display for Client {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "client {}", self.id)?;
        match (self.is_local, self.address.contains(':')) {
            (true, _) => write!(to, " at a Unix socket"),
            (false, true) => write!(to, " at [{}]:{}", self.address, self.port),
            (false, false) => write!(to, " at {}:{}", self.address, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str, is_local: bool) -> String {
        let client = Client {
            id: 7,
            address: address.to_owned(),
            port: 50312,
            is_local,
        };
        client.to_string()
    }

    #[test]
    fn a_client_is_shown_with_its_address() {
        assert_eq!(shown("127.0.0.1", false), "client 7 at 127.0.0.1:50312");
        assert_eq!(shown("::1", false), "client 7 at [::1]:50312");
        assert_eq!(shown("/tmp/socket", true), "client 7 at a Unix socket");
    }
}
