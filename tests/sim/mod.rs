//! The simulator, the checkers, and the tests that use them.
//!
//! | file | contents |
//! | --- | --- |
//! | `rng`, `queue`, `clock` | random numbers, the order of events, the time at each host |
//! | `net`, `tcp` | the faults of the network, for datagrams and for streams |
//! | `host`, `world` | a process with a core in it, and all of them together |
//! | `scenario` | the language of the tests |
//! | `checker` | conditions that must hold at every step |
//! | `life`, `leaving`, `faults`, `healing`, `campaign`, `bootstrap` | the tests |

mod bootstrap;
mod campaign;
mod checker;
mod clock;
mod faults;
mod healing;
mod host;
mod leaving;
mod life;
mod net;
mod queue;
mod rng;
mod scenario;
mod tcp;
mod world;
