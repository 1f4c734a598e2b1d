//! Where a slot is that the server does not serve, as errors say it.

use std::fmt;

use super::nodes::{Node, Topology};

/// Where a slot is, seen from a node that may not serve its keys now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Another node has it: address and port.
    At(String),
    /// It is on its way from here to that node.
    LeavingFor(String),
    /// The table does not tell: no node has it, or the table is older than the move.
    Unknown,
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(node) => write!(to, "is served by {node}, not by this node"),
            Self::LeavingFor(node) => write!(to, "is on its way to {node}"),
            Self::Unknown => to.write_str("is not served by this node"),
        }
    }
}

impl Topology {
    /// Where a slot is.
    #[must_use]
    pub fn whereabouts(&self, slot: u16) -> Whereabouts {
        let place = |id| self.node(id).and_then(place_of);
        let me = self.myself();
        let target = me.and_then(|me| me.migrating.iter().find(|(one, _)| *one == slot));
        if let Some(node) = target.and_then(|(_, target)| place(*target)) {
            return Whereabouts::LeavingFor(node);
        }
        let owner = self.owner_of(slot).filter(|owner| *owner != self.me);
        owner
            .and_then(place)
            .map_or(Whereabouts::Unknown, Whereabouts::At)
    }
}

/// Address and port, as clients write them; `None` where nobody knows them.
fn place_of(node: &Node) -> Option<String> {
    let Node { address, port, .. } = node;
    match address.as_str() {
        "" => None,
        address if address.contains(':') => Some(format!("[{address}]:{port}")),
        address => Some(format!("{address}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_said_to_be_where_the_table_has_it_or_where_it_goes() {
        let [a, b, c] = ["a", "b", "c"].map(|name| name.repeat(40));
        let table = format!(
            "{a} 10.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-99 300 [50->-{b}] [101-<-{b}]\n\
             {b} 10.0.0.2:7002@17002 master - 0 0 2 connected 100-199\n\
             {c} ::1:7003@17003 master - 0 0 3 connected 200-299\n"
        );
        let table = Topology::parse(&table).expect("it is one");
        let said = |slot| table.whereabouts(slot).to_string();
        assert_eq!(said(50), "is on its way to 10.0.0.2:7002");
        for slot in [100, 101] {
            assert_eq!(said(slot), "is served by 10.0.0.2:7002, not by this node");
        }
        assert_eq!(said(200), "is served by [::1]:7003, not by this node");
        // The table says that it is ours: it is old.
        for slot in [0, 300, 400] {
            assert_eq!(said(slot), "is not served by this node");
        }
    }
}
