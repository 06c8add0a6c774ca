//! Events: what a node tells the application that uses it.
//!
//! An [`Event`] is an [`EventBody`], one variant per kind with its payload, together with its
//! number in the queue and the time at which it was queued. The Serf layer makes the bodies of
//! events about members, user events, queries and messages, and the driver makes the others. The
//! application gets these values unchanged; only the C ABI and the Python binding turn them into
//! their own records.
//!
//! The kinds are listed in one table, [`event_table`](crate::event_table), which also defines
//! [`EventKind`].

use crate::error::{Error, Result};
use crate::key_report::KeyReport;
use crate::member::Member;
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use crate::vocabulary::{EventKind, Level};

macro_rules! event_bodies {
    (
        members {
            $($(#[doc = $doc:literal])*
            $Member:ident = $number:literal, $name:literal, $class:ident;)*
        }
        others {
            $($(#[doc = $odoc:literal])*
            $Other:ident $payload:tt = $onumber:literal, $oname:literal;)*
        }
    ) => {
        /// One event with its payload.
        ///
        /// For one member the order is: join first; then any number of suspect, alive and update
        /// events; then leave or fail; then join again, or reap, after which the name is unknown. A
        /// fail event may be followed by a leave event, if the failed member is removed or if its
        /// leave becomes known only later. The leave event comes when the member is gone. When a
        /// member begins to leave, its state becomes `Leaving`, and no event is emitted. If a
        /// filter is set, a member whose new tags it rejects is reaped at once, and joins again
        /// when its tags fit. A member that is alive but has never answered this node is reaped at
        /// once if a full table needs its place.
        #[derive(Clone, Debug, PartialEq)]
        pub enum EventBody {
            $($(#[doc = $doc])* $Member(Member),)*
            $($(#[doc = $odoc])* $Other $payload,)*
        }

        impl EventBody {
            /// The kind of the event.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(EventBody::$Member(_) => EventKind::$Member,)*
                    $(EventBody::$Other { .. } => EventKind::$Other,)*
                }
            }

            /// The member that the event is about, as it was at the time of the event.
            pub fn member(&self) -> Option<&Member> {
                match self {
                    $(EventBody::$Member(member) => Some(member),)*
                    $(EventBody::$Other { .. } => None,)*
                }
            }
        }

        /// A pattern for all bodies of member events, for code that has already handled the member.
        #[allow(unused_macros)] // without the C ABI nothing needs it
        macro_rules! any_member_event {
            () => { $($crate::event::EventBody::$Member(_))|* };
        }
    };
}

crate::event_table!(event_bodies);
#[allow(unused_imports, clippy::single_component_path_imports)] // gives the macro a path
pub(crate) use any_member_event;

/// Whether the nodes that receive several user events with one name may deliver only the last of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coalescing {
    /// Every event is delivered.
    #[default]
    Forbidden,
    /// A node may leave out events that are followed by another one with the same name, as an agent
    /// of Serf does.
    Allowed,
}

/// An event, as a reader takes it from its queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The number of the event: one more than that of the previous event of the same reader. A
    /// larger step means that events were lost.
    pub seq: u64,
    /// The time at which the event was queued, by the monotonic clock.
    pub time: Time,
    /// The event itself: its kind and its payload.
    pub body: EventBody,
}

impl Event {
    /// The kind of the event.
    pub fn kind(&self) -> EventKind {
        self.body.kind()
    }

    /// The member that the event is about, as it was at the time of the event.
    pub fn member(&self) -> Option<&Member> {
        self.body.member()
    }
}
