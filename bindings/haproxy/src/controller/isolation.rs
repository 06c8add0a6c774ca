//! Decides whether this node is cut off from the cluster. The node counts as cut off from the
//! moment when its health report says that it is isolated or gives the worst score. It counts as
//! connected again once the report no longer does so and more than half of the members that were
//! present before are alive.
//!
//! The node itself reports an isolation only for a while, because it ignores members that were lost
//! long ago. For a load balancer, even an old loss is a reason not to remove servers.

/// The decision whether this node is cut off.
#[derive(Default)]
pub(super) struct Isolation {
    /// The number of other members that were present before the isolation, less those that are not
    /// expected back.
    before: usize,
    cut_off: bool,
}

impl Isolation {
    /// Returns true if this node is cut off. `isolated` is true while the node's own health report
    /// suggests an isolation. `present` is the number of other members that have neither failed nor
    /// left, and `alive` is the number of other members in the state `Alive`.
    pub fn update(&mut self, isolated: bool, present: usize, alive: usize) -> bool {
        self.cut_off = isolated || (self.cut_off && 2 * alive <= self.before);
        if !self.cut_off {
            self.before = present;
        }
        self.cut_off
    }

    /// Lowers the number of members to wait for, because some have left, or because an operator
    /// says that no more will come.
    pub fn expect_at_most(&mut self, others: usize) {
        self.before = self.before.min(others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isolation_lasts_until_most_members_are_heard_from_again() {
        let mut isolation = Isolation::default();
        assert!(!isolation.update(false, 4, 4));
        assert!(
            !isolation.update(false, 4, 2),
            "two suspects are not an isolation"
        );
        assert!(isolation.update(true, 4, 1));
        assert!(
            isolation.update(false, 1, 1),
            "the node itself no longer reports an isolation"
        );
        assert!(isolation.update(false, 2, 2));
        assert!(!isolation.update(false, 3, 3));
    }

    #[test]
    fn members_that_are_not_expected_back_do_not_count() {
        let mut isolation = Isolation::default();
        isolation.update(false, 4, 4);
        isolation.update(true, 4, 1);
        assert!(isolation.update(false, 1, 1));
        isolation.expect_at_most(1);
        assert!(!isolation.update(false, 1, 1));
    }

    #[test]
    fn a_node_without_other_members_is_not_cut_off() {
        assert!(!Isolation::default().update(false, 0, 0));
    }
}
