//! The merge rule: how a message about a member changes the facts that are held about that member.
//! This is the heart of SWIM.
//!
//! The rule is a pure function with an exhaustive match over (held, offered). Higher incarnations
//! win; at equal incarnations, `dead > suspect > alive`. Only the node itself may raise its
//! incarnation, so a suspect or dead node comes back with a higher one. In two cases the
//! incarnation does not decide: suspect and dead messages about a member that is dead or has left
//! are ignored, and an alive message with another address is refused, or takes over the name.
//!
//! The rules are those of memberlist 0.2.2, with three exceptions. First, an alive message of
//! incarnation 0 about an unknown name is ignored, not stored as dead. Second, if this node
//! receives an outdated accusation of itself, it repeats its refutation, which evidently did not
//! reach every member. memberlist stays silent then, so a node whose few refutations were all lost
//! is declared dead although it sends acks. Third, a dead member that says that it has left has
//! left: it left while this node could not reach it. memberlist ignores the message.

use crate::swim::NodeState;

/// The kind of a message about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum Offer {
    Alive,
    Suspect,
    Dead,
    /// A dead message in which a member accuses itself: it has left.
    Left,
}

/// The result of comparing the address in an alive message with the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum AddressMatch {
    Same,
    /// The addresses differ. `reclaimable` is true if the member has been in its state for longer
    /// than `dead_reclaim`, and `dead_reclaim` is not 0: another node may then take the name of a
    /// dead member.
    Other {
        reclaimable: bool,
    },
}

/// The facts held about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) struct Held {
    pub state: NodeState,
    pub incarnation: u32,
}

/// The change that a message makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum Verdict {
    /// Nothing changes: the message is old or meaningless.
    Ignore,
    /// The member is new.
    Create,
    /// The member is alive, with the incarnation, address, meta and versions of the message.
    Refresh,
    /// The name is claimed at another address: nothing changes, and the conflict is reported.
    Conflict,
    /// An alive member becomes suspect.
    Suspect,
    /// A suspect is accused again.
    Confirm,
    /// An alive or suspect member becomes dead or left, or a dead member becomes left.
    MarkDead,
}

/// The rule for every node but this one.
pub(in crate::swim) fn merge(
    held: Option<Held>,
    offer: Offer,
    incarnation: u32,
    address: AddressMatch,
) -> Verdict {
    let Some(held) = held else {
        return match offer {
            Offer::Alive if incarnation > 0 => Verdict::Create,
            Offer::Alive | Offer::Suspect | Offer::Dead | Offer::Left => Verdict::Ignore,
        };
    };
    let newer = incarnation > held.incarnation;
    let current = incarnation >= held.incarnation;
    match (held.state, offer) {
        (NodeState::Left, Offer::Alive) => match address {
            AddressMatch::Other { .. } => Verdict::Refresh,
            AddressMatch::Same => verdict_if(newer, Verdict::Refresh),
        },
        (NodeState::Dead, Offer::Alive) => match address {
            AddressMatch::Other { reclaimable: true } => Verdict::Refresh,
            AddressMatch::Other { reclaimable: false } => Verdict::Conflict,
            AddressMatch::Same => verdict_if(newer, Verdict::Refresh),
        },
        (NodeState::Alive | NodeState::Suspect, Offer::Alive) => match address {
            AddressMatch::Other { .. } => Verdict::Conflict,
            AddressMatch::Same => verdict_if(newer, Verdict::Refresh),
        },
        (NodeState::Alive, Offer::Suspect) => verdict_if(current, Verdict::Suspect),
        (NodeState::Suspect, Offer::Suspect) => verdict_if(current, Verdict::Confirm),
        (NodeState::Dead | NodeState::Left, Offer::Suspect) => Verdict::Ignore,
        (NodeState::Alive | NodeState::Suspect, Offer::Dead | Offer::Left) => {
            verdict_if(current, Verdict::MarkDead)
        }
        (NodeState::Dead, Offer::Left) => verdict_if(current, Verdict::MarkDead),
        (NodeState::Dead, Offer::Dead) | (NodeState::Left, Offer::Dead | Offer::Left) => {
            Verdict::Ignore
        }
    }
}

fn verdict_if(condition: bool, verdict: Verdict) -> Verdict {
    if condition { verdict } else { Verdict::Ignore }
}

/// The answer to a message about this node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum OwnVerdict {
    /// This node does nothing.
    Ignore,
    /// This node refutes the message with a higher incarnation.
    Refute,
    /// This node repeats its last refutation, which did not reach every member.
    Repeat,
    /// The name is claimed at another address.
    Conflict,
}

/// The rule for this node. `identical` is true if an alive message has the same meta and versions
/// as this node.
pub(in crate::swim) fn merge_own(
    left: bool,
    own_incarnation: u32,
    offer: Offer,
    incarnation: u32,
    address: AddressMatch,
    identical: bool,
) -> OwnVerdict {
    if left {
        return OwnVerdict::Ignore;
    }
    match (offer, address) {
        (Offer::Alive, AddressMatch::Other { .. }) => OwnVerdict::Conflict,
        (Offer::Alive, AddressMatch::Same) => {
            let harmless =
                incarnation < own_incarnation || (incarnation == own_incarnation && identical);
            if harmless {
                OwnVerdict::Ignore
            } else {
                OwnVerdict::Refute
            }
        }
        (Offer::Suspect | Offer::Dead | Offer::Left, _) => {
            if incarnation < own_incarnation {
                OwnVerdict::Repeat
            } else {
                OwnVerdict::Refute
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NodeState::{Alive, Dead, Left, Suspect};
    use Verdict::{Confirm, Conflict, Create, Ignore, MarkDead, Refresh};

    const STATES: [NodeState; 4] = [Alive, Suspect, Dead, Left];
    const OFFERS: [Offer; 4] = [Offer::Alive, Offer::Suspect, Offer::Dead, Offer::Left];

    /// The verdicts for a lower, an equal and a higher incarnation at the same address, written
    /// out.
    fn expected(state: NodeState, offer: Offer) -> [Verdict; 3] {
        match (state, offer) {
            (Alive, Offer::Alive) => [Ignore, Ignore, Refresh],
            (Alive, Offer::Suspect) => [Ignore, Verdict::Suspect, Verdict::Suspect],
            (Alive, Offer::Dead) => [Ignore, MarkDead, MarkDead],
            (Alive, Offer::Left) => [Ignore, MarkDead, MarkDead],
            (Suspect, Offer::Alive) => [Ignore, Ignore, Refresh],
            (Suspect, Offer::Suspect) => [Ignore, Confirm, Confirm],
            (Suspect, Offer::Dead) => [Ignore, MarkDead, MarkDead],
            (Suspect, Offer::Left) => [Ignore, MarkDead, MarkDead],
            (Dead, Offer::Alive) => [Ignore, Ignore, Refresh],
            (Dead, Offer::Suspect) => [Ignore, Ignore, Ignore],
            (Dead, Offer::Dead) => [Ignore, Ignore, Ignore],
            (Dead, Offer::Left) => [Ignore, MarkDead, MarkDead],
            (Left, Offer::Alive) => [Ignore, Ignore, Refresh],
            (Left, Offer::Suspect) => [Ignore, Ignore, Ignore],
            (Left, Offer::Dead) => [Ignore, Ignore, Ignore],
            (Left, Offer::Left) => [Ignore, Ignore, Ignore],
        }
    }

    #[test]
    fn every_state_offer_and_incarnation_gives_the_verdict_of_the_table() {
        for state in STATES {
            for offer in OFFERS {
                for (i, incarnation) in [4, 5, 6].into_iter().enumerate() {
                    let held = Some(Held {
                        state,
                        incarnation: 5,
                    });
                    let verdict = merge(held, offer, incarnation, AddressMatch::Same);
                    assert_eq!(
                        verdict,
                        expected(state, offer)[i],
                        "held {state:?} 5, offered {offer:?} {incarnation}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_can_only_be_created_alive_and_above_incarnation_zero() {
        for offer in OFFERS {
            for incarnation in [0, 1, u32::MAX] {
                let create = offer == Offer::Alive && incarnation > 0;
                let verdict = merge(None, offer, incarnation, AddressMatch::Same);
                assert_eq!(verdict, if create { Create } else { Ignore });
            }
        }
    }

    #[test]
    fn another_address_is_a_conflict_unless_the_member_has_left_or_is_long_dead() {
        for incarnation in [4, 5, 6] {
            for reclaimable in [false, true] {
                let address = AddressMatch::Other { reclaimable };
                let verdict = |state| {
                    merge(
                        Some(Held {
                            state,
                            incarnation: 5,
                        }),
                        Offer::Alive,
                        incarnation,
                        address,
                    )
                };
                assert_eq!(verdict(Alive), Conflict);
                assert_eq!(verdict(Suspect), Conflict);
                assert_eq!(verdict(Dead), if reclaimable { Refresh } else { Conflict });
                assert_eq!(verdict(Left), Refresh);
            }
        }
    }

    #[test]
    fn a_message_about_this_node_is_refuted_when_it_is_current_and_wrong() {
        let own = |offer, incarnation, identical| {
            merge_own(false, 5, offer, incarnation, AddressMatch::Same, identical)
        };
        for offer in [Offer::Suspect, Offer::Dead, Offer::Left] {
            assert_eq!(own(offer, 4, false), OwnVerdict::Repeat);
            assert_eq!(own(offer, 5, false), OwnVerdict::Refute);
            assert_eq!(own(offer, 6, false), OwnVerdict::Refute);
        }
        assert_eq!(own(Offer::Alive, 4, false), OwnVerdict::Ignore);
        assert_eq!(own(Offer::Alive, 5, true), OwnVerdict::Ignore);
        assert_eq!(own(Offer::Alive, 5, false), OwnVerdict::Refute);
        assert_eq!(own(Offer::Alive, 6, true), OwnVerdict::Refute);
    }

    #[test]
    fn a_node_that_has_left_refutes_nothing() {
        for offer in OFFERS {
            let verdict = merge_own(
                true,
                5,
                offer,
                9,
                AddressMatch::Other { reclaimable: false },
                false,
            );
            assert_eq!(verdict, OwnVerdict::Ignore);
        }
    }

    #[test]
    fn this_nodes_name_at_another_address_is_a_conflict() {
        let verdict = merge_own(
            false,
            5,
            Offer::Alive,
            1,
            AddressMatch::Other { reclaimable: false },
            false,
        );
        assert_eq!(verdict, OwnVerdict::Conflict);
    }
}
