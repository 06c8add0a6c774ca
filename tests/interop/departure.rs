//! The leave of a stock agent, which may be lost.
//!
//! An agent announces its leave by gossip alone, and then its process ends. About once in several
//! hundred leaves, no other node receives the announcement, and all of them report the agent as
//! failed. If at least one node has received it, push/pulls bring it to all the others. So the
//! tests accept that a leave is lost at every node, but not that it arrives at some of them only.

use super::agent::{Agent, Setup, agent_sees};
use super::ours::Ours;
use super::wait::until;
use sprat::serf::MemberState;

/// The maximum number of leaves in a row that may be lost. If more are lost, the cause is not bad
/// luck.
pub const MAX_LOST: usize = 3;

/// The nodes that watch an agent leave. At least one of them is an agent.
pub struct Watchers<'a> {
    pub agents: &'a [&'a Agent],
    pub nodes: &'a [&'a Ours],
}

impl Watchers<'_> {
    /// Makes the agent leave until its leave arrives: after a leave that was lost, the agent joins
    /// again. Returns its settings, and the number of leaves that were lost.
    pub fn see_leave(&self, agent: Agent) -> (Setup, usize) {
        let name = agent.name().to_owned();
        self.see_leave_as(agent, &name)
    }

    /// Does the same for an agent that the sprat nodes list under a name other than its own.
    pub fn see_leave_as(&self, mut agent: Agent, listed: &str) -> (Setup, usize) {
        let mut lost = 0;
        loop {
            let setup = agent.leave();
            if self.know_it_left(&setup.name, listed) {
                return (setup, lost);
            }
            lost += 1;
            assert!(lost <= MAX_LOST, "{lost} leaves of {listed} were lost");
            agent = setup.start();
            agent.join(self.agents[0].addr());
            self.see_alive(agent.name(), listed);
        }
    }

    fn see_alive(&self, name: &str, listed: &str) {
        for node in self.nodes {
            node.sees(listed, MemberState::Alive);
        }
        for watcher in self.agents {
            agent_sees(watcher, name, "alive");
        }
    }

    /// Waits until all watchers agree about an agent that has ended. Returns true if they list it
    /// as left, and false if they list it as failed.
    pub fn know_it_left(&self, name: &str, listed: &str) -> bool {
        let mut has_left = false;
        until(&format!("all agree on the end of {name}"), || {
            let by_agents = self.agents.iter().map(|watcher| {
                let members = watcher.members();
                members.get(name).map(|seen| seen.status.clone())
            });
            let by_nodes = self.nodes.iter().map(|node| {
                let state = node.state(listed)?;
                Some(format!("{state:?}").to_lowercase())
            });
            let states: Vec<Option<String>> = by_agents.chain(by_nodes).collect();
            let all = |wanted| states.iter().all(|it| it.as_deref() == Some(wanted));
            has_left = all("left");
            match has_left || all("failed") {
                true => Ok(()),
                false => Err(format!("{states:?}")),
            }
        });
        has_left
    }
}
