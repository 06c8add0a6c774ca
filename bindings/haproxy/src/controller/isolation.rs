//! Whether this node is cut off: from when most of the cluster is out of sight until as many as
//! most of those before are heard again.
//!
//! The node itself calls itself isolated for a while only: what failed long ago is an old loss for
//! it. For a load balancer it is a reason not to act, however old it is.

/// See the head of this file.
#[derive(Default)]
pub(super) struct Isolation {
    /// Others that were there when this node was last well.
    before: usize,
    cut_off: bool,
}

impl Isolation {
    /// What the node says of itself, and how many others are there (suspects included), and how
    /// many of them without doubt. Gives whether to believe that others are gone.
    pub fn look(&mut self, isolated: bool, there: usize, alive: usize) -> bool {
        self.cut_off = isolated || (self.cut_off && 2 * alive <= self.before);
        if !self.cut_off {
            self.before = there;
        }
        self.cut_off
    }

    /// Some have said goodbye, or an operator says that all is well.
    pub fn count_on(&mut self, others: usize) {
        self.before = self.before.min(others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_until_most_are_heard_again_however_long_that_takes() {
        let mut isolation = Isolation::default();
        assert!(!isolation.look(false, 4, 4));
        assert!(!isolation.look(false, 4, 2), "two suspects");
        assert!(isolation.look(true, 4, 1));
        assert!(isolation.look(false, 1, 1), "the node has got used to it");
        assert!(isolation.look(false, 2, 2));
        assert!(!isolation.look(false, 3, 3));
    }

    #[test]
    fn others_that_have_left_or_that_nobody_waits_for_do_not_count() {
        let mut isolation = Isolation::default();
        isolation.look(false, 4, 4);
        isolation.look(true, 4, 1);
        assert!(isolation.look(false, 1, 1));
        isolation.count_on(1);
        assert!(!isolation.look(false, 1, 1));
    }

    #[test]
    fn who_never_knew_anybody_is_not_cut_off() {
        assert!(!Isolation::default().look(false, 0, 0));
    }
}
