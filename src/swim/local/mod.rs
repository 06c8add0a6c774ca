//! This node as a member of its cluster.
//!
//! | file | contents |
//! | --- | --- |
//! | [`identity`], [`address`] | its name, meta and address |
//! | [`local_node`] | announces this node, refutes accusations, leaves and returns |
//! | [`announcement`] | the alive message of this node that goes along with a ping |
//! | [`leaving`] | tells members of this node's leave until they acknowledge it |
//! | [`name_conflict`] | finds out whether another node has this node's name |

pub(in crate::swim) mod address;
pub(in crate::swim) mod announcement;
pub(in crate::swim) mod identity;
pub(in crate::swim) mod leaving;
pub(in crate::swim) mod local_node;
pub(in crate::swim) mod name_conflict;
