//! The simulator, the checkers, and the tests that use them.
//!
//! | file | its idea |
//! | --- | --- |
//! | `rng`, `queue`, `clock` | chance, order, and what time it is at each host |
//! | `net`, `tcp` | what the network does to datagrams, and to streams |
//! | `host`, `world` | a process with a core in it, and all of them together |
//! | `scenario` | the language of the tests |
//! | `checker` | what must hold at every step, whatever happens |
//! | `life`, `faults`, `healing`, `campaign`, `bootstrap` | the tests |

mod bootstrap;
mod campaign;
mod checker;
mod clock;
mod faults;
mod healing;
mod host;
mod life;
mod net;
mod queue;
mod rng;
mod scenario;
mod tcp;
mod world;
