//! Two nodes with one name: the node that the cluster knew first keeps it, and of two clusters that
//! become one, the node of the larger one.

use super::agent::{Agent, Block, Seen, Setup, agent_sees};
use super::ours::{Ours, config};
use super::wait::until;
use sprat::{EventKind, Status};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An agent starts a vote when it learns of another node with its name, and quits if it loses. The
/// votes of sprat nodes count like those of agents.
#[test]
fn an_agent_that_takes_the_name_of_a_sprat_node_loses_the_vote_and_quits() {
    let block = Block::new();
    let first = Setup::new("web1", block.ip(1))
        .provoked("Conflicting address")
        .provoked("Name conflict")
        .start();
    let [owner, voter] = [("twin", 2), ("voter", 3)].map(|(name, host)| {
        let node = Ours::start(name, block.ip(host));
        node.join(first.addr());
        node
    });
    owner.sees_alive(&["twin", "voter", "web1"]);
    agent_sees(&first, "voter", "alive");
    let mut newcomer = Setup::new("twin", block.ip(4))
        .provoked("Conflicting address")
        .provoked("ame conflict") // "Name conflict" and "minority in name conflict"
        .start();
    // The join is refused or succeeds, depending on how soon the vote is over.
    let _ = newcomer.try_run(&["join", &first.addr().to_string()]);
    until("the newcomer quits", || match newcomer.has_ended() {
        true => Ok(()),
        false => Err(newcomer.log().join("\n")),
    });
    let log = newcomer.log().join("\n");
    assert!(
        log.contains("minority in name conflict resolution"),
        "{log}"
    );
    assert_eq!(first.members()["twin"].addr, owner.addr().to_string());
    agent_sees(&first, "twin", "alive");
    assert_eq!(voter.count(EventKind::MemberFail, "twin"), 0);
    assert_eq!(owner.count(EventKind::Fatal, ""), 0);
}

#[test]
fn a_sprat_node_that_takes_the_name_of_an_agent_is_told_so_and_disturbs_nobody() {
    let block = Block::new();
    let first = Setup::new("web1", block.ip(1)).start();
    let owner = Setup::new("twin", block.ip(2)).join(first.addr()).start();
    agent_sees(&first, "twin", "alive");
    let newcomer = Ours::start("twin", block.ip(3));
    let to = first.addr().to_string();
    let refused = newcomer.node().join(&[&to], Some(Duration::from_secs(60)));
    match refused.map_err(|why| why.status) {
        Err(why) => assert_eq!(why, Status::NameConflict),
        // On a busy machine, the join ends before the owner has answered.
        Ok(_) => newcomer.hears(EventKind::Fatal, "", 1),
    }
    agent_sees(&first, "twin", "alive");
    assert_eq!(first.members()["twin"].addr, owner.addr().to_string());
    assert_eq!(owner.logged("Name conflict"), 0, "no vote was provoked");
}

/// Two clusters that each have a node `twin`. The larger one has two more agents, the smaller one
/// has one more, `db1`.
struct Two {
    large: [Agent; 2],
    small: Agent,
}

impl Two {
    /// Starts all members but the two nodes `twin`, which join `large[0]` and `small`.
    fn start(block: &Block) -> Two {
        let agent = |name, host| {
            Setup::new(name, block.ip(host))
                .provoked("Conflicting address")
                .provoked("Name conflict")
        };
        let web1 = agent("web1", 1).start();
        let web2 = agent("web2", 2).join(web1.addr()).start();
        Two {
            large: [web1, web2],
            small: agent("db1", 3).start(),
        }
    }

    fn agents(&self) -> [&Agent; 3] {
        let [web1, web2] = &self.large;
        [web1, web2, &self.small]
    }

    /// Makes one cluster of the two, once each agent knows the `twin` of its own cluster.
    fn unite(&self, twin_of_large: SocketAddr, twin_of_small: SocketAddr) {
        for agent in &self.large {
            knows_twin(agent, twin_of_large);
        }
        knows_twin(&self.small, twin_of_small);
        self.small.join(self.large[0].addr());
    }

    /// Waits until each agent lists `twin` as alive at this address, and no other member.
    fn agree_on(&self, twin: SocketAddr) {
        for agent in self.agents() {
            knows_twin(agent, twin);
            let members = agent.members();
            let alive = members.values().filter(|seen| seen.status == "alive");
            assert_eq!(alive.count(), 4, "{members:?}");
        }
    }
}

/// Waits until the agent lists `twin` as alive at this address.
fn knows_twin(agent: &Agent, twin: SocketAddr) {
    until(&format!("{} lists twin at {twin}", agent.name()), || {
        let members = agent.members();
        let is_alive = |seen: &Seen| seen.status == "alive";
        match members.get("twin") {
            Some(seen) if is_alive(seen) && seen.addr == twin.to_string() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// An agent quits if it loses the vote.
#[test]
fn a_sprat_node_of_a_larger_cluster_keeps_the_name_that_an_agent_of_a_smaller_one_has() {
    let block = Block::new();
    let two = Two::start(&block);
    let ours = logging("twin", block.ip(4));
    ours.join(two.large[0].addr());
    let mut other = Setup::new("twin", block.ip(5))
        .provoked("Conflicting address")
        .provoked("ame conflict")
        .join(two.small.addr())
        .start();
    two.unite(ours.addr(), other.addr());
    let to = two.large[0].addr().to_string();
    until("the agent quits", || match other.has_ended() {
        true => Ok(()),
        false => {
            // The agent learns of the other node in a push/pull, and a join begins one.
            let _ = other.try_run(&["join", &to]);
            Err(other.log().join("\n"))
        }
    });
    let quits = "minority in name conflict resolution, quitting [1 / 3]";
    assert_eq!(other.logged(quits), 1, "{}", other.log().join("\n"));
    two.agree_on(ours.addr());
    assert_eq!(ours.count(EventKind::Fatal, ""), 0);
    assert_eq!(ours.counter("votes_lost"), 0);
    if ours.counter("votes_called") > 0 {
        let kept = "this node keeps the name \"twin\"";
        let logged = ours.logged();
        assert!(logged.iter().any(|line| line.contains(kept)), "{logged:?}");
    }
}

#[test]
fn a_sprat_node_of_a_smaller_cluster_gives_up_the_name_that_an_agent_of_a_larger_one_has() {
    let block = Block::new();
    let two = Two::start(&block);
    let owner = Setup::new("twin", block.ip(4))
        .provoked("Conflicting address")
        .provoked("ame conflict")
        .join(two.large[0].addr())
        .start();
    let ours = logging("twin", block.ip(5));
    ours.join(two.small.addr());
    two.unite(owner.addr(), ours.addr());
    ours.hears(EventKind::Fatal, "", 1);
    assert_eq!(ours.counter("votes_lost"), 1);
    let lost = "1 of 3 members list it at";
    let logged = ours.logged();
    assert!(logged.iter().any(|line| line.contains(lost)), "{logged:?}");
    two.agree_on(owner.addr());
    // A leave of the loser does not harm the winner.
    ours.leave();
    two.agree_on(owner.addr());
    assert_eq!(owner.logged("minority in name conflict"), 0);
    for agent in &two.large {
        for event in ["EventMemberFailed: twin", "EventMemberLeave: twin"] {
            assert_eq!(agent.logged(event), 0, "{}", agent.log().join("\n"));
        }
    }
}

/// A node whose log can be read.
fn logging(name: &str, ip: IpAddr) -> Ours {
    let mut config = config(name, ip);
    config.set("log_level", "info").unwrap();
    Ours::with(&config)
}
