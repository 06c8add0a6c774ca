//! Members as servers of a load balancer: which members can be servers, and which one gets a key.
//!
//! Every way in which HAProxy learns about the members uses these rules: SPOE, the module that
//! HAProxy loads, and `sprat-hap`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`candidate`] | the rules for servers, and a member as a server |
//! | [`index`] | the members at one time, indexed for questions about them |
//! | `rendezvous` | the choice of a member for a key |

pub mod candidate;
pub mod index;
mod rendezvous;
