//! The simulator, the checkers, and the tests that use them.
//!
//! | file | contents |
//! | --- | --- |
//! | `rng`, `queue`, `clock` | random numbers, the order of events, the time at each host |
//! | `net`, `tcp` | the faults of the network, for datagrams and for streams |
//! | `facts` | the facts about members, which all nodes share |
//! | `host`, `world` | one process with its core, and all hosts with their network |
//! | `scenario` | the functions with which tests build, break and watch clusters |
//! | `hostile` | a member that knows the keys and lies |
//! | `checker` | conditions that must hold at every step |
//! | `life`, `leaving`, `coordinates`, `messages`, `keys` | tests in which no node is faulty |
//! | `faults`, `healing`, `campaign` | tests of faults |
//! | `bootstrap`, `scale` | tests of simultaneous starts, and of large clusters |
//! | `restart`, `reaping` | tests of nodes that return, and of nodes that do not |
//! | `names` | tests of two nodes with one name |
//! | `crowd` | thousands of nodes: how they are started, and a test of them |

mod bootstrap;
mod campaign;
mod checker;
mod clock;
mod coordinates;
mod crowd;
mod facts;
mod faults;
mod healing;
mod host;
mod hostile;
mod keys;
mod leaving;
mod life;
mod messages;
mod names;
mod net;
mod queue;
mod reaping;
mod restart;
mod rng;
mod scale;
mod scenario;
mod tcp;
mod world;
