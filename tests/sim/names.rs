//! Two clusters that each have a node of the same name become one: one of the two nodes keeps the
//! name, and every member agrees on which.

use super::net::Link;
use super::scenario::{by_test_level, each_random_seed, secs, settings};
use super::world::World;
use sprat::serf::{CoreEvent, MemberState};
use sprat::time::Time;

/// Two clusters, and the two hosts that have one name.
struct Clusters {
    world: World,
    sizes: [usize; 2],
    twins: [usize; 2],
}

impl Clusters {
    /// Makes two clusters. The last host of each has the name of the last host of the first.
    fn new(random_seed: u64, sizes: [usize; 2]) -> Clusters {
        let [first, second] = sizes;
        let twins = [first - 1, first + second - 1];
        let mut world = World::new(random_seed);
        while world.hosts.len() < first + second {
            world.add_host(settings());
        }
        world.hosts[twins[1]].name = world.hosts[twins[0]].name.clone();
        for host in 0..first + second {
            world.boot(host);
        }
        for host in 1..first {
            world.join(host, &[0]);
        }
        for host in first + 1..first + second {
            world.join(host, &[first]);
        }
        world.run(secs(60));
        Clusters {
            world,
            sizes,
            twins,
        }
    }

    /// The first host of one cluster joins that of the other. From now on, the members of one of
    /// the clusters may declare the node failed whose name they share.
    fn join(&mut self) {
        for twin in self.twins {
            self.world.hosts[twin].leaving = true;
        }
        self.world.join(0, &[self.sizes[0]]);
    }

    fn has_lost(&self, host: usize) -> bool {
        let lost = |it: &CoreEvent| matches!(it, CoreEvent::NameConflict { .. });
        self.world.count_events(host, Time::ZERO, lost) > 0
    }

    /// Returns true if every node but `loser` lists all nodes as alive, and the name that two had
    /// at the address of `winner`.
    fn agree(&self, winner: usize, loser: usize) -> bool {
        let world = &self.world;
        let members = || (0..world.hosts.len()).filter(|host| *host != loser);
        let lists = |viewer: usize, of: usize| {
            let core = world.hosts[viewer].core.as_ref();
            let member = core.and_then(|core| core.member(&world.hosts[of].name));
            member
                .is_some_and(|it| it.state == MemberState::Alive && it.addr == world.hosts[of].addr)
        };
        let lists_winner = |viewer: usize| lists(viewer, winner);
        members().all(|viewer| lists_winner(viewer) && members().all(|of| lists(viewer, of)))
    }

    /// Runs until one of the two nodes has lost the name and all others agree. Checks that it stays
    /// so, and that few votes were needed.
    fn settle(&mut self, winner: usize, loser: usize) {
        let patience = self.world.convergence() + secs(300);
        let end = self.world.now + patience;
        while !(self.has_lost(loser) && self.agree(winner, loser)) {
            if self.world.now > end {
                self.world
                    .fail(loser, "no node gave the name up, or members disagree");
            }
            self.world.run(secs(1));
        }
        for _ in 0..120 {
            self.world.run(secs(1));
            if !self.agree(winner, loser) {
                self.world
                    .fail(winner, "a member has lost the node with the name");
            }
        }
        assert!(!self.has_lost(winner), "both nodes gave the name up");
        let votes = self.twins.map(|it| self.world.counter(it, "votes_called"));
        assert!(votes.iter().all(|it| *it <= 6), "{votes:?}");
    }
}

#[test]
fn the_node_of_the_larger_cluster_keeps_the_name() {
    each_random_seed(by_test_level(3, 100), |seed| {
        for sizes in [[12, 7], [7, 12], [5, 4], [30, 3]] {
            let mut clusters = Clusters::new(seed, sizes);
            clusters.join();
            let [first, second] = clusters.twins;
            match sizes[0] > sizes[1] {
                true => clusters.settle(first, second),
                false => clusters.settle(second, first),
            }
        }
    });
}

#[test]
fn the_node_of_the_larger_cluster_keeps_the_name_in_a_lossy_network() {
    each_random_seed(by_test_level(3, 100), |seed| {
        let mut clusters = Clusters::new(seed, [12, 7]);
        clusters.world.every_link(Link::lossy(0.1));
        clusters.join();
        let [first, second] = clusters.twins;
        clusters.settle(first, second);
    });
}

#[test]
fn one_of_two_nodes_keeps_the_name_if_the_clusters_have_one_size() {
    each_random_seed(by_test_level(3, 100), |seed| {
        let mut clusters = Clusters::new(seed, [8, 8]);
        clusters.join();
        let [first, second] = clusters.twins;
        let (lower, higher) = match clusters.world.addr(first) < clusters.world.addr(second) {
            true => (first, second),
            false => (second, first),
        };
        clusters.settle(lower, higher);
    });
}
