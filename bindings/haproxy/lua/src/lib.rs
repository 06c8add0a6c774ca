//! The Lua module that HAProxy loads: `require("sprat")`.
//!
//! One file for Lua 5.3 and 5.4: it imports the fourteen functions that both have with the same
//! meaning, and is linked with no Lua; the host has them. Three rules:
//!
//! - No call waits. The node lives on threads of its own; calls look at what they have left.
//! - No panic and no Lua error leaves a call: what goes wrong is `nil` and a sentence.
//! - Lua may leave a call by a jump when memory runs out, past all destructors. So an answer is
//!   complete, in memory that nobody frees, before the first value is pushed.
//!
//! | file | its idea |
//! | --- | --- |
//! | `lua` | the functions of Lua that are used |
//! | `call` | arguments in, answers out |
//! | `module` | what each function of the module does |

mod call;
mod lua;
mod module;
