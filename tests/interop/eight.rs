//! Clusters of eight nodes: four agents and four sprat nodes.
//!
//! The nodes start in any order, with and without encryption and compression. Two are killed, two
//! leave, and all four return. Another test changes tags for half a minute, during which no node
//! may fail.

use super::agent::{Agent, Block, Setup, agent_sees, all_see_alive};
use super::departure::{MAX_LOST, Watchers};
use super::ours::{self, Ours};
use super::wait::until;
use sprat::EventKind;
use sprat::serf::MemberState;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The nodes that compress.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    All,
    None,
    Half,
}

/// The settings of the eight nodes.
struct Plan {
    /// Determines the order of the starts, the node through which each node joins, and the nodes
    /// that are killed or leave.
    seed: u64,
    encrypted: bool,
    compression: Compression,
}

enum Kind {
    Agent(Agent),
    Ours(Ours),
}

/// The eight nodes. The first four places are those of the agents.
struct Eight {
    plan: Plan,
    block: Block,
    /// The state of the random number generator.
    random_state: u64,
    running: [Option<Kind>; 8],
}

fn name(place: usize) -> String {
    match place {
        0..4 => format!("agent{}", place + 1),
        _ => format!("ours{}", place - 3),
    }
}

impl Eight {
    fn new(plan: Plan) -> Eight {
        let random_state = plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Eight {
            plan,
            block: Block::new(),
            random_state,
            running: [const { None }; 8],
        }
    }

    /// Draws a number below `below`. The numbers are the same in every run.
    fn draw(&mut self, below: usize) -> usize {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        (self.random_state >> 16) as usize % below
    }

    fn shuffled(&mut self, mut places: Vec<usize>) -> Vec<usize> {
        for i in (1..places.len()).rev() {
            let j = self.draw(i + 1);
            places.swap(i, j);
        }
        places
    }

    fn addr(&self, place: usize) -> SocketAddr {
        SocketAddr::new(self.block.ip(place as u8 + 1), super::agent::PORT)
    }

    /// Starts a node, which joins through another one if one is given.
    fn start(&mut self, place: usize, through: Option<usize>) {
        let compress = match self.plan.compression {
            Compression::All => true,
            Compression::None => false,
            Compression::Half => place % 2 == 0,
        };
        let (name, ip) = (name(place), self.addr(place).ip());
        self.running[place] = Some(if place < 4 {
            let mut setup = Setup::new(&name, ip).tag("fill", &"x".repeat(200));
            if self.plan.encrypted {
                setup = setup.key(KEY);
            }
            if !compress {
                setup = setup.arg("-disable-compression");
            }
            Kind::Agent(match through {
                Some(other) => setup.join(self.addr(other)).start(),
                None => setup.start(),
            })
        } else {
            let mut config = ours::config(&name, ip);
            config.set("compression", &compress.to_string()).unwrap();
            config.set_tag("fill", Some(&"y".repeat(200))).unwrap();
            if self.plan.encrypted {
                config.set("encrypt", KEY).unwrap();
            }
            let ours = Ours::with(&config);
            if let Some(other) = through {
                ours.join(self.addr(other));
            }
            Kind::Ours(ours)
        });
    }

    /// Starts nodes in a random order. Each joins through a running node, if there is one.
    fn start_all(&mut self, places: Vec<usize>) {
        for place in self.shuffled(places) {
            let there: Vec<usize> = (0..8).filter(|at| self.running[*at].is_some()).collect();
            let through = (!there.is_empty()).then(|| there[self.draw(there.len())]);
            self.start(place, through);
        }
    }

    /// Starts a node again, makes it join through a running node, and waits until all see it alive.
    /// Callers bring nodes back one at a time. While the return of one node is still spreading, an
    /// agent may tell the next node that the first one is leaving, with a Lamport time that is not
    /// below that of the first node's join.
    fn comes_back(&mut self, place: usize) {
        let there: Vec<usize> = (0..8).filter(|at| self.running[*at].is_some()).collect();
        let through = there[self.draw(there.len())];
        self.start(place, Some(through));
        let back = name(place);
        for ours in self.ours() {
            ours.sees(&back, MemberState::Alive);
        }
        for agent in self.agents() {
            agent_sees(agent, &back, "alive");
        }
    }

    fn agents(&self) -> Vec<&Agent> {
        let agent = |kind: &'_ Kind| matches!(kind, Kind::Agent(_));
        let all = self.running.iter().flatten().filter(|kind| agent(kind));
        all.filter_map(|kind| match kind {
            Kind::Agent(agent) => Some(agent),
            Kind::Ours(_) => None,
        })
        .collect()
    }

    fn ours(&self) -> Vec<&Ours> {
        let all = self.running.iter().flatten();
        all.filter_map(|kind| match kind {
            Kind::Ours(ours) => Some(ours),
            Kind::Agent(_) => None,
        })
        .collect()
    }

    /// Waits until every node sees all eight alive. A node that missed some gossip catches up by a
    /// push/pull; each node begins one every 30 s, but its partner may have missed the same gossip.
    fn all_see_all(&self) {
        let names: Vec<String> = (0..8).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for ours in self.ours() {
            ours.sees_alive(&names);
        }
        self.nobody_is_leaving();
        all_see_alive(&self.agents(), &names);
    }

    /// Waits until no agent sees a node as leaving. An agent that reads of an earlier leave in the
    /// state of another agent gives it a later Lamport time; on a busy machine, that can be later
    /// than the time of the node's return. The node then seems to be leaving until it announces its
    /// join again.
    fn nobody_is_leaving(&self) {
        until("no agent sees a node as leaving", || {
            for agent in self.agents() {
                for (name, seen) in agent.members() {
                    if seen.status == "leaving" {
                        self.joins_again(&name, agent.addr());
                        return Err(format!("{} sees {name} leaving", agent.name()));
                    }
                }
            }
            Ok(())
        });
    }

    /// Makes a running node announce its join again.
    fn joins_again(&self, again: &str, through: SocketAddr) {
        let place = (0..8).find(|place| name(*place) == again);
        match place.and_then(|place| self.running[place].as_ref()) {
            Some(Kind::Agent(agent)) => agent.try_run(&["join", &through.to_string()]).unwrap(),
            Some(Kind::Ours(ours)) => ours.join(through),
            None => panic!("{again} is not running"),
        }
    }

    /// Waits until every running node sees this node in this state.
    fn all_see(&self, place: usize, state: MemberState, word: &str) {
        let gone = name(place);
        for ours in self.ours() {
            ours.sees(&gone, state);
        }
        for agent in self.agents() {
            agent_sees(agent, &gone, word);
        }
    }

    /// Waits until every running node sees an agent that has left as left. If the leave was lost,
    /// the agent comes back and leaves again.
    fn all_see_leave_of_agent(&mut self, place: usize) {
        let gone = name(place);
        let has_left = |eight: &Eight| {
            let (agents, nodes) = (eight.agents(), eight.ours());
            let watchers = Watchers {
                agents: &agents,
                nodes: &nodes,
            };
            watchers.know_it_left(&gone, &gone)
        };
        let mut lost = 0;
        while !has_left(self) {
            lost += 1;
            assert!(lost <= MAX_LOST, "{lost} leaves of {gone} were lost");
            self.comes_back(place);
            if let Some(Kind::Agent(agent)) = self.running[place].take() {
                agent.leave();
            }
        }
    }

    /// Ends two nodes at the same time.
    fn end_both(&mut self, places: [usize; 2], go: impl Fn(Kind) + Sync) {
        // Both run: all eight nodes have started, and no test ends a node twice.
        let kinds = places.map(|place| self.running[place].take().unwrap());
        std::thread::scope(|scope| {
            for kind in kinds {
                scope.spawn(|| go(kind));
            }
        });
    }

    /// The names that any running node has ever reported as failed.
    fn called_failed(&self) -> BTreeSet<String> {
        let mut failed = BTreeSet::new();
        for ours in self.ours() {
            let heard = ours.heard().into_iter();
            failed.extend(
                heard
                    .filter(|it| it.kind == EventKind::MemberFail)
                    .map(|it| it.name),
            );
        }
        for line in self.agents().iter().flat_map(|agent| agent.log()) {
            if let Some((_, rest)) = line.split_once("EventMemberFailed: ") {
                failed.extend(rest.split_whitespace().next().map(str::to_owned));
            }
        }
        failed
    }

    fn nothing_was_refused(&self) {
        for ours in self.ours() {
            assert_eq!(ours.refusals(), [], "{}", ours.node().name());
        }
        for agent in self.agents() {
            assert_eq!(agent.complaints(), Vec::<String>::new());
        }
    }

    /// Kills two nodes at the same time, makes two others leave at the same time, and brings all
    /// four back.
    fn come_and_go(mut self) {
        self.all_see_all();
        let dead = [self.draw(4), 4 + self.draw(4)];
        self.end_both(dead, |kind| match kind {
            Kind::Agent(agent) => drop(agent.kill()),
            Kind::Ours(ours) => ours.kill(),
        });
        for place in dead {
            self.all_see(place, MemberState::Failed, "failed");
        }
        let dead_names: BTreeSet<String> = dead.into_iter().map(name).collect();
        assert_eq!(self.called_failed(), dead_names);
        let leaving = [(dead[0] + 1) % 4, 4 + (dead[1] - 4 + 1) % 4];
        self.end_both(leaving, |kind| match kind {
            Kind::Agent(agent) => drop(agent.leave()),
            Kind::Ours(ours) => ours.leave(),
        });
        self.all_see(leaving[1], MemberState::Left, "left");
        self.all_see_leave_of_agent(leaving[0]);
        for place in [dead, leaving].concat() {
            self.comes_back(place);
        }
        self.all_see_all();
        self.nothing_was_refused();
    }
}

fn any_order(seed: u64, encrypted: bool, compression: Compression) {
    let mut eight = Eight::new(Plan {
        seed,
        encrypted,
        compression,
    });
    eight.start_all((0..8).collect());
    eight.come_and_go();
}

/// Runs several clusters at the same time, because they mostly wait.
fn at_once(clusters: &[fn()]) {
    std::thread::scope(|scope| {
        for cluster in clusters {
            scope.spawn(cluster);
        }
    });
}

#[test]
fn eight_in_any_order_come_and_go_plain() {
    at_once(&[
        || any_order(1, false, Compression::All),
        || any_order(2, false, Compression::None),
    ]);
}

#[test]
fn eight_in_any_order_come_and_go_encrypted() {
    at_once(&[
        || any_order(3, true, Compression::Half),
        || any_order(9, true, Compression::All),
        all_alone,
    ]);
}

/// Starts each of the eight nodes alone, joins them afterwards, and then lets them come and go.
fn all_alone() {
    let mut eight = Eight::new(Plan {
        seed: 4,
        encrypted: true,
        compression: Compression::None,
    });
    let order = eight.shuffled((0..8).collect());
    for place in &order {
        eight.start(*place, None);
    }
    for ours in eight.ours() {
        ours.sees_alive(&[ours.node().name()]);
    }
    for agent in eight.agents() {
        all_see_alive(&[agent], &[agent.name()]);
    }
    for (at, place) in order.iter().enumerate().skip(1) {
        let through = order[eight.draw(at)];
        match &eight.running[*place] {
            Some(Kind::Agent(agent)) => agent.join(eight.addr(through)),
            Some(Kind::Ours(ours)) => ours.join(eight.addr(through)),
            None => unreachable!("all were started"),
        }
    }
    eight.come_and_go();
}

/// All nodes change their tags again and again. No node may be reported as failed, no message may
/// be refused, and in the end all nodes agree.
#[test]
fn half_a_minute_of_changes_causes_no_failure_and_all_agree_in_the_end() {
    let mut eight = Eight::new(Plan {
        seed: 5,
        encrypted: true,
        compression: Compression::Half,
    });
    eight.start_all((0..8).collect());
    eight.all_see_all();
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < Duration::from_secs(30) {
        rounds += 1;
        let value = rounds.to_string();
        for kind in eight.running.iter().flatten() {
            match kind {
                Kind::Agent(agent) => agent.set_tag("round", &value),
                Kind::Ours(ours) => ours.node().set_tag("round", Some(&value)).unwrap(),
            }
        }
        // The pauses differ, so that rounds overlap in different ways.
        std::thread::sleep(Duration::from_millis(200 * (rounds % 3)));
    }
    let last = Some(rounds.to_string());
    until("all agree on the last round", || {
        for changed in (0..8).map(name) {
            for ours in eight.ours() {
                if ours.tag(&changed, "round") != last {
                    let own = ours.node().name();
                    return Err(format!("{own} has not seen the last change of {changed}"));
                }
            }
            for agent in eight.agents() {
                if agent.members()[&changed].tags.get("round") != last.as_ref() {
                    let own = agent.name();
                    return Err(format!("{own} has not seen the last change of {changed}"));
                }
            }
        }
        Ok(())
    });
    assert_eq!(eight.called_failed(), BTreeSet::new());
    eight.all_see_all();
    eight.nothing_was_refused();
}
