//! A member as the application sees it.

use crate::wire::serf_message::Tags;
use std::net::SocketAddr;
use std::sync::Arc;

pub use crate::vocabulary::MemberState;

/// A member. The value is shared and never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: Arc<str>,
    /// The address at which it is reached.
    pub addr: SocketAddr,
    /// Its tags; empty in memberlist mode. A tag that is not text is shown escaped, as `\xff`.
    pub tags: Arc<Tags>,
    /// Its meta as on the wire: in Serf mode the encoded tags.
    pub meta: Arc<[u8]>,
    /// Its state.
    pub state: MemberState,
    /// The incarnation that it last announced.
    pub incarnation: u32,
    /// The minimum, maximum and spoken version of the memberlist protocol.
    pub protocol: [u8; 3],
    /// The minimum, maximum and spoken version of the Serf protocol; zeros for a bare memberlist
    /// node.
    pub delegate: [u8; 3],
}
