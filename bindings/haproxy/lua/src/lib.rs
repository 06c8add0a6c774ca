//! The Lua module that HAProxy loads: `require("sprat")`.
//!
//! One file serves Lua 5.3 and 5.4: it imports only functions that both versions have with the same
//! meaning, and links no Lua library, because HAProxy contains one. Three rules hold:
//!
//! - No call waits once HAProxy serves. The node runs on threads of its own; a call reads what
//!   these threads have published.
//! - No panic leaves a call, and a call that fails raises no error: it returns `nil` and a message.
//! - When memory runs out, Lua leaves a call by a jump that skips all destructors. All results of a
//!   call are therefore complete, in memory that is never freed, before the first one is pushed.
//!
//! | file | contents |
//! | --- | --- |
//! | `lua_api` | the functions of Lua that are used |
//! | `call` | reads arguments and pushes results |
//! | `state` | the settings, and then the running controller |
//! | `module` | the functions of the module |
//! | `changes` | those about what someone else has set in HAProxy |

mod call;
mod changes;
mod lua_api;
mod module;
mod state;
