//! The simulator, the checkers, and the tests that use them.
//!
//! | file | contents |
//! | --- | --- |
//! | `rng`, `queue`, `clock` | random numbers, the order of events, the time at each host |
//! | `net`, `tcp` | the faults of the network, for datagrams and for streams |
//! | `host`, `world` | one process with its core, and all hosts with their network |
//! | `scenario` | the functions with which tests build, break and watch clusters |
//! | `checker` | conditions that must hold at every step |
//! | `life`, `leaving`, `faults`, `healing`, `campaign`, `bootstrap`, `scale` | the tests |

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
mod scale;
mod scenario;
mod tcp;
mod world;
