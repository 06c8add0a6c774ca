//! This node as a member of its cluster.
//!
//! | file | contents |
//! | --- | --- |
//! | [`local_node`] | announces this node, refutes accusations, leaves and returns |
//! | [`announcement`] | the alive message of this node that goes along with pings and queries |
//! | [`leaving`] | tells members of this node's leave until they acknowledge it |
//! | [`spreading`] | waits until a change of this node has been gossiped |
//! | [`name_conflict`] | finds out whether another node has this node's name |

pub(in crate::swim) mod announcement;
pub(in crate::swim) mod leaving;
pub(in crate::swim) mod local_node;
pub(in crate::swim) mod name_conflict;
pub(in crate::swim) mod spreading;
