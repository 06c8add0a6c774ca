//! The controller: a thread between a node and HAProxy. It reads the members from the node, keeps
//! the slots of every backend, and leaves changes where HAProxy's threads find them without
//! waiting.
//!
//! ```text
//! node --events--> controller thread --changes--> shared state <--poll-- HAProxy's threads
//!                        ^                                                     |
//!                        +---------------------- commands ---------------------+
//! ```
//!
//! If the node or the controller thread hangs or dies, no more changes of members arrive, and
//! HAProxy keeps its servers. This works even if nothing detects the fault.
//!
//! | file | contents |
//! | --- | --- |
//! | `config` | the settings of a controller |
//! | `handle` | the calls that HAProxy's threads or `sprat-hap` make |
//! | `shared` | the state that both sides share, and the commands |
//! | `thread` | the controller's thread, which wires the parts below |
//! | `pools` | the backends with their slots |
//! | `peers` | the addresses of members, which are also the seeds of the next start |
//! | `snapshot_writer` | writes the snapshot, and limits how often |
//! | `isolation` | decides whether this node is cut off from the cluster |
//! | `join_diagnosis` | finds out why no seed answers |
//! | `own_listeners` | the addresses at which this process listens |
//! | `handover` | hands the port over to a successor process |
//! | `report`, `report_text`, `report_json` | the content of `show sprat`, and its two forms |
//! | `round_trips` | the round-trip times to the other members |
//! | `user_events` | user events that wait for the script in HAProxy |
//! | `notices` | the log lines |

mod config;
mod handle;
mod handover;
mod isolation;
mod join_diagnosis;
mod notices;
mod own_listeners;
mod peers;
mod pools;
mod report;
mod report_json;
mod report_text;
mod round_trips;
mod shared;
mod snapshot_writer;
mod thread;
mod user_events;

pub use config::ControllerConfig;
pub use handle::Controller;
pub use notices::{Level, Notice};
pub use shared::NodePhase;
pub use user_events::UserEvent;
