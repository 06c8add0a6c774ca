//! Messages, states, acks and name conflicts of programs built on memberlist, as Python sees them.

use crate::base_event::Event;
use crate::event_class::{event_class, shown};
use crate::messages::payload_of;
use pyo3::prelude::*;
use sprat::EventKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

event_class! {
    /// A message that a program built on memberlist sent to this node, in ``mode="memberlist"``.
    pub struct Message {
        /// The name of the member at `address`. Empty if no member is there, or, for a message that
        /// was sent with `reliable`, if several members have this IP address.
        sender: String,
        /// The content.
        payload: Arc<[u8]>,
        /// The address from which it came. For a message that was sent with `reliable`, the port is
        /// not that at which the sender listens.
        address: String,
    }
    hidden {}
    patterns (sender, payload)
    hash |it| (&it.sender, &it.payload, &it.address);
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (sender, payload, address=String::new(), seq=0, time=0.0))]
        fn new(
            sender: String,
            payload: &Bound<'_, PyAny>,
            address: String,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload_of(payload)?.into();
            let message = Message {
                sender,
                payload,
                address,
            };
            Ok(Event::with(EventKind::Message, seq, time).add_subclass(message))
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            shown(py, "Message", &self.sender, &self.payload)
        }
    }
}

impl Message {
    pub fn of(sender: &str, address: SocketAddr, payload: &Arc<[u8]>) -> Message {
        Message {
            sender: sender.to_owned(),
            payload: payload.clone(),
            address: address.to_string(),
        }
    }
}

event_class! {
    /// The state of a program built on memberlist, received in a push/pull, in
    /// ``mode="memberlist"``.
    pub struct RemoteState {
        /// The name of the member at `address`. Empty if no member is there, or, if the other side
        /// dialled, if several members have this IP address.
        sender: String,
        /// The state.
        payload: Arc<[u8]>,
        /// True if one of the two sides is joining, false for a regular exchange.
        join: bool,
        /// The address of the other side. If it dialled, the port is not that at which it listens.
        address: String,
    }
    hidden {}
    patterns (sender, payload)
    hash |it| (&it.sender, it.payload.len(), it.join);
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (sender, payload, join=false, address=String::new(), seq=0, time=0.0))]
        fn new(
            sender: String,
            payload: &Bound<'_, PyAny>,
            join: bool,
            address: String,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload_of(payload)?.into();
            let state = RemoteState {
                sender,
                payload,
                join,
                address,
            };
            Ok(Event::with(EventKind::RemoteState, seq, time).add_subclass(state))
        }

        /// Leaves out the payload, which may be megabytes long.
        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            let sender = (&*self.sender).into_pyobject(py)?.repr()?.to_string();
            let len = self.payload.len();
            Ok(format!("RemoteState({sender}, <{len} bytes>)"))
        }
    }
}

impl RemoteState {
    pub fn of(sender: &str, address: SocketAddr, join: bool, payload: &Arc<[u8]>) -> RemoteState {
        RemoteState {
            sender: sender.to_owned(),
            payload: payload.clone(),
            join,
            address: address.to_string(),
        }
    }
}

event_class! {
    /// Two nodes claim the name of a member, in ``mode="memberlist"``. A conflict about the name of
    /// this node itself is a `NodeFailed`.
    pub struct MemberConflict {
        /// The name.
        name: String,
        /// The address at which the member is known.
        known: String,
        /// The address of the other node.
        claimed: String,
    }
    hidden {}
    patterns (name, known, claimed)
    hash |it| (&it.name, &it.known, &it.claimed);
    /// Return the fields as a new dict of plain values.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (name, known, claimed, seq=0, time=0.0))]
        fn new(
            name: String,
            known: String,
            claimed: String,
            seq: u64,
            time: f64,
        ) -> PyClassInitializer<Self> {
            let conflict = MemberConflict {
                name,
                known,
                claimed,
            };
            Event::with(EventKind::MemberConflict, seq, time).add_subclass(conflict)
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            let name = (&*self.name).into_pyobject(py)?.repr()?.to_string();
            Ok(format!(
                "MemberConflict({name}, '{}', '{}')",
                self.known, self.claimed
            ))
        }
    }
}

impl MemberConflict {
    pub fn of(name: &str, known: SocketAddr, claimed: SocketAddr) -> MemberConflict {
        MemberConflict {
            name: name.to_owned(),
            known: known.to_string(),
            claimed: claimed.to_string(),
        }
    }
}

event_class! {
    /// A member has answered a ping of this node, which has the setting ``ping_acks``.
    pub struct PingAck {
        /// The name of the member.
        member: String,
        /// The bytes that the other program has given to `Node.set_ack_payload`, empty if it has
        /// given none. In ``mode="serf"`` the network coordinate of the member, as on the wire.
        payload: Box<[u8]>,
        /// The seconds between the ping and its ack.
        rtt: f64,
    }
    hidden {}
    patterns (member, payload, rtt)
    hash |it| (&it.member, &it.payload, it.rtt.to_bits());
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (member, payload, rtt, seq=0, time=0.0))]
        fn new(
            member: String,
            payload: &Bound<'_, PyAny>,
            rtt: f64,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload_of(payload)?.into();
            let ack = PingAck {
                member,
                payload,
                rtt,
            };
            Ok(Event::with(EventKind::PingAck, seq, time).add_subclass(ack))
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            let member = (&*self.member).into_pyobject(py)?.repr()?.to_string();
            Ok(format!("PingAck({member}, {:.6} s)", self.rtt))
        }
    }
}

impl PingAck {
    pub fn of(member: &str, rtt: Duration, payload: &[u8]) -> PingAck {
        PingAck {
            member: member.to_owned(),
            payload: payload.into(),
            rtt: rtt.as_secs_f64(),
        }
    }
}

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Message>()?;
    module.add_class::<RemoteState>()?;
    module.add_class::<PingAck>()?;
    module.add_class::<MemberConflict>()
}
