//! Tests of the slots of a backend, in simulated time.

use super::*;
use AdminState::{Drain, Maint, Ready};
use Presence::{Alive, Failed, Leaving, Left, Suspect};
use sprat::service::servers::candidate::{Desired, Ignored, Presence, Unfit};
use std::net::SocketAddr;
use std::time::Duration;

fn at(millis: u64) -> Time {
    Time::from_nanos(1 + millis * 1_000_000)
}

fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8], 3000))
}

fn member(n: usize, presence: Presence) -> Candidate {
    Candidate {
        name: format!("web-{n}").into(),
        presence,
        addr: Ok(addr(n)),
        weight: 100,
        desired: Desired::Ready,
        ignored: Vec::new(),
    }
}

fn asking_for(n: usize, desired: Desired) -> Candidate {
    Candidate {
        desired,
        ..member(n, Alive)
    }
}

/// Creates a backend of `n` live members in twice as many slots.
fn pool(n: usize) -> Balance {
    let mut balance = Balance::new(Limits::default(), 2 * n);
    balance.observe(at(0), &all(n, |_| Alive));
    assert_eq!(count(&balance, Ready), n);
    balance.take_assignments();
    balance
}

fn all(n: usize, presence: impl Fn(usize) -> Presence) -> Vec<Candidate> {
    (0..n).map(|i| member(i, presence(i))).collect()
}

fn count(balance: &Balance, state: AdminState) -> usize {
    let slots = balance.assignments();
    let of_members = slots.iter().filter(|(it, _)| it.name.is_some());
    of_members.filter(|(it, _)| it.state == state).count()
}

fn slot_of(balance: &Balance, n: usize) -> usize {
    let name = format!("web-{n}");
    let found = balance.assignments().into_iter().map(|(it, _)| it);
    let mut found = found.filter(|it| it.name.as_deref() == Some(&name));
    found
        .next()
        .unwrap_or_else(|| panic!("{name} has no slot"))
        .slot
}

fn state_of(balance: &Balance, n: usize) -> AdminState {
    balance.assignments()[slot_of(balance, n)].0.state
}

fn hold_of(balance: &Balance, n: usize) -> Option<Hold> {
    balance.assignments()[slot_of(balance, n)].1
}

#[test]
fn a_member_that_joins_gets_a_slot_and_each_change_is_returned_once() {
    let mut balance = Balance::new(Limits::default(), 4);
    assert_eq!(
        balance.take_assignments().len(),
        4,
        "at first every slot has changed"
    );
    balance.observe(at(0), &[member(1, Alive)]);
    let changes = balance.take_assignments();
    let [change] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (change.name.as_deref(), change.addr),
        (Some("web-1"), Some(addr(1)))
    );
    assert_eq!((change.weight, change.state), (100, Ready));
    balance.observe(at(1), &[member(1, Alive)]);
    assert!(balance.take_assignments().is_empty());
}

#[test]
fn a_slot_is_kept_over_failures_and_freed_when_its_member_is_forgotten() {
    let mut balance = pool(4);
    let slot = slot_of(&balance, 2);
    balance.observe(at(10), &all(4, |n| if n == 2 { Failed } else { Alive }));
    assert_eq!((slot_of(&balance, 2), state_of(&balance, 2)), (slot, Maint));
    balance.observe(at(20), &all(4, |_| Alive));
    assert_eq!((slot_of(&balance, 2), state_of(&balance, 2)), (slot, Ready));
    let mut others = all(4, |n| if n == 2 { Failed } else { Alive });
    balance.observe(at(30), &others);
    others.remove(2);
    balance.observe(at(40), &others);
    assert_eq!(balance.assignments()[slot].0.name, None);
}

#[test]
fn two_balancers_assign_mostly_the_same_slots_in_any_order_of_arrival() {
    let mut first = Balance::new(Limits::default(), 64);
    let mut second = Balance::new(Limits::default(), 64);
    let members = all(8, |_| Alive);
    first.observe(at(0), &members);
    for n in (0..8).rev() {
        second.observe(at(0), &members[n..]);
    }
    let same = (0..8)
        .filter(|&n| slot_of(&first, n) == slot_of(&second, n))
        .count();
    assert!(same >= 6, "{same} of 8");
}

#[test]
fn a_member_that_moves_or_changes_its_weight_keeps_its_slot() {
    let mut balance = pool(2);
    let slot = slot_of(&balance, 1);
    let mut moved = member(1, Alive);
    (moved.addr, moved.weight) = (Ok(addr(9)), 7);
    balance.observe(at(5), &[member(0, Alive), moved]);
    let changes = balance.take_assignments();
    assert_eq!(changes.len(), 1);
    let change = &changes[0];
    assert_eq!(
        (change.slot, change.addr, change.weight),
        (slot, Some(addr(9)), 7)
    );
    assert_eq!(change.state, Ready);
}

#[test]
fn a_member_without_a_slot_is_reported_and_gets_one_when_another_goes() {
    let mut balance = Balance::new(Limits::default(), 2);
    balance.observe(at(0), &all(3, |_| Alive));
    assert_eq!(balance.complaints(), [("web-2".into(), Complaint::Full)]);
    balance.observe(at(1), &[member(1, Alive), member(2, Alive)]);
    assert!(balance.complaints().is_empty());
    assert_eq!(count(&balance, Ready), 2);
}

#[test]
fn one_address_serves_under_one_name() {
    let mut balance = pool(2);
    let mut double = member(7, Alive);
    double.addr = Ok(addr(1));
    let crowd = [member(0, Alive), member(1, Alive), double.clone()];
    balance.observe(at(1), &crowd);
    assert_eq!(
        balance.complaints(),
        [("web-7".into(), Complaint::SameAddress)]
    );
    // The first member fails: its application was restarted under a new name.
    balance.observe(
        at(2),
        &[member(0, Alive), member(1, Failed), double.clone()],
    );
    assert_eq!(
        (state_of(&balance, 7), state_of(&balance, 1)),
        (Ready, Maint)
    );
    // The first member returns and does not get the address back; then the newer one fails.
    balance.observe(at(3), &[member(0, Alive), member(1, Alive), double.clone()]);
    assert_eq!(state_of(&balance, 1), Maint);
    double.presence = Failed;
    balance.observe(at(4), &[member(0, Alive), member(1, Alive), double]);
    assert_eq!(
        (state_of(&balance, 1), state_of(&balance, 7)),
        (Ready, Maint)
    );
}

/// Two clusters are merged, and a host is a member of both, under two names.
#[test]
fn a_host_with_two_names_has_one_server_until_both_members_are_gone() {
    for slots in [1, 4] {
        let mut balance = Balance::new(Limits::default(), slots);
        let twin = |presence| Candidate {
            name: "a-twin".into(), // first by name
            ..member(0, presence)
        };
        let servers = |balance: &Balance| {
            let slots = balance.assignments().into_iter().map(|(it, _)| it);
            let ready = slots.filter(|it| it.state == Ready);
            ready
                .map(|it| (it.name.unwrap().to_string(), it.addr.unwrap()))
                .collect::<Vec<_>>()
        };
        balance.observe(at(0), &[member(0, Alive)]);
        balance.observe(at(1), &[twin(Alive), member(0, Alive)]);
        assert_eq!(servers(&balance), [("web-0".to_owned(), addr(0))]);
        let refused = ("a-twin".into(), Complaint::SameAddress);
        assert_eq!(balance.complaints(), [refused]);
        balance.observe(at(2), &[twin(Alive), member(0, Left)]);
        assert_eq!(servers(&balance), [("a-twin".to_owned(), addr(0))]);
        balance.observe(at(3), &[twin(Alive), member(0, Alive)]);
        balance.observe(at(4), &[twin(Failed), member(0, Alive)]);
        assert_eq!(servers(&balance), [("web-0".to_owned(), addr(0))]);
    }
}

#[test]
fn a_member_that_cannot_be_a_server_is_reported_and_stopped() {
    let mut balance = pool(3);
    let mut broken = member(1, Alive);
    broken.addr = Err(Unfit::NoPort);
    balance.observe(at(1), &[member(0, Alive), broken, member(2, Alive)]);
    assert_eq!(
        balance.complaints(),
        [("web-1".into(), Complaint::Unfit(Unfit::NoPort))]
    );
    assert_eq!(state_of(&balance, 1), Maint);
}

#[test]
fn an_invalid_tag_is_reported_and_its_member_still_serves() {
    let mut balance = pool(3);
    let mut odd = member(1, Alive);
    odd.ignored = vec![Ignored::State("drian".into())];
    let complaint = Complaint::Ignored(odd.ignored[0].clone());
    balance.observe(at(1), &[member(0, Alive), odd.clone()]);
    assert_eq!(balance.complaints(), [("web-1".into(), complaint)]);
    assert_eq!(state_of(&balance, 1), Ready);
    odd.presence = Failed;
    balance.observe(at(2), &[member(0, Alive), odd]);
    assert!(
        balance.complaints().is_empty(),
        "a failed member is not reported"
    );
}

#[test]
fn a_member_drains_stops_and_returns_as_its_tag_says() {
    let mut balance = pool(3);
    for (desired, state) in [
        (Desired::Drain, Drain),
        (Desired::Maint, Maint),
        (Desired::Ready, Ready),
    ] {
        balance.observe(
            at(1),
            &[member(0, Alive), asking_for(1, desired), member(2, Alive)],
        );
        assert_eq!(state_of(&balance, 1), state);
    }
}

#[test]
fn a_member_that_has_left_drains_and_is_then_stopped() {
    let mut balance = pool(3);
    let left = all(3, |n| if n == 1 { Left } else { Alive });
    balance.observe(at(1_000), &left);
    assert_eq!(state_of(&balance, 1), Drain);
    assert_eq!(balance.next_timeout(at(1_000)), Some(at(31_000)));
    balance.advance(at(30_999));
    assert_eq!(state_of(&balance, 1), Drain);
    balance.advance(at(31_000));
    assert_eq!(state_of(&balance, 1), Maint);
}

#[test]
fn a_suspect_keeps_its_requests_unless_haproxy_cannot_reach_it_either() {
    let mut balance = pool(4);
    let suspected = all(4, |n| if n == 1 { Suspect } else { Alive });
    balance.observe(at(1), &suspected);
    assert_eq!(state_of(&balance, 1), Ready);
    let slot = slot_of(&balance, 1);
    balance.set_reach(at(2), slot, "web-1", Reach::Down);
    assert_eq!(
        state_of(&balance, 1),
        Drain,
        "neither the cluster nor HAProxy can reach it"
    );
    balance.set_reach(at(3), slot, "web-1", Reach::Reached);
    assert_eq!(state_of(&balance, 1), Ready, "HAProxy reaches it again");
    balance.set_reach(at(4), slot, "web-1", Reach::Down);
    balance.observe(at(5), &all(4, |_| Alive));
    assert_eq!(state_of(&balance, 1), Ready, "the cluster reaches it again");
    balance.set_reach(at(6), slot_of(&balance, 0), "web-0", Reach::Down);
    assert_eq!(
        state_of(&balance, 0),
        Ready,
        "without a suspicion HAProxy's own checks decide"
    );
}

#[test]
fn failed_members_are_held_while_too_few_others_are_ready() {
    let mut balance = pool(4);
    balance.observe(at(1), &all(4, |n| if n < 3 { Failed } else { Alive }));
    assert_eq!((count(&balance, Ready), count(&balance, Maint)), (2, 2));
    let held = (0..4)
        .filter(|&n| hold_of(&balance, n) == Some(Hold::Floor))
        .count();
    assert_eq!(held, 1);
    let mut more = all(4, |n| if n < 3 { Failed } else { Alive });
    more.push(member(5, Alive));
    more.push(member(6, Alive));
    balance.observe(at(2), &more);
    assert_eq!(
        count(&balance, Ready),
        3,
        "the two new members and the old one that is alive"
    );
    assert!((0..4).all(|n| hold_of(&balance, n).is_none()));
}

#[test]
fn the_last_ready_server_stays_until_another_is_ready() {
    let mut balance = pool(1);
    for last in [
        asking_for(0, Desired::Drain),
        member(0, Failed),
        member(0, Left),
    ] {
        balance.observe(at(1), &[last]);
        assert_eq!(
            (state_of(&balance, 0), hold_of(&balance, 0)),
            (Ready, Some(Hold::Last))
        );
    }
    balance.observe(at(2), &[]);
    assert_eq!(
        state_of(&balance, 0),
        Ready,
        "the last server stays ready even when the cluster no longer lists its member"
    );
    balance.observe(at(3), &[member(1, Alive)]);
    assert_eq!(state_of(&balance, 1), Ready);
    assert_eq!(
        count(&balance, Ready),
        1,
        "another server is ready, so the old one may go"
    );
}

#[test]
fn an_isolated_balancer_keeps_every_server_and_paces_removals_afterwards() {
    let mut balance = pool(10);
    balance.set_isolated(at(0), true);
    balance.observe(at(1), &all(10, |n| if n < 4 { Failed } else { Alive }));
    assert_eq!(count(&balance, Ready), 10);
    assert_eq!(hold_of(&balance, 0), Some(Hold::Frozen));
    assert_eq!(balance.frozen_reason(), Some("this node may be isolated"));
    let mut joined = all(10, |n| if n < 4 { Failed } else { Alive });
    joined.push(member(11, Alive));
    balance.observe(at(2), &joined);
    assert_eq!(
        count(&balance, Ready),
        11,
        "a member that joins gets a ready server in spite of the freeze"
    );
    balance.set_isolated(at(1_000), false);
    assert_eq!(
        count(&balance, Ready),
        10,
        "the first removal is not delayed"
    );
    let mut now = at(1_000);
    for ready in [9, 8, 7] {
        let next = balance.next_timeout(now).unwrap();
        assert_eq!(next.since(now), Duration::from_millis(100));
        now = next;
        balance.advance(now);
        assert_eq!(count(&balance, Ready), ready);
    }
    balance.observe(now, &all(12, |n| if n < 6 { Failed } else { Alive }));
    assert!(count(&balance, Ready) <= 6, "later removals are not paced");
}

#[test]
fn a_member_that_failed_only_during_an_isolation_is_never_touched() {
    let mut balance = pool(3);
    balance.set_isolated(at(0), true);
    balance.observe(at(1), &all(3, |_| Failed));
    balance.observe(at(9_000), &all(3, |_| Alive));
    balance.set_isolated(at(9_001), false);
    assert!(balance.take_assignments().is_empty());
}

#[test]
fn an_operator_can_freeze_and_thaw_removals() {
    let mut balance = pool(4);
    balance.set_frozen(at(1), true);
    balance.observe(at(2), &all(4, |n| if n == 0 { Failed } else { Alive }));
    assert_eq!(
        (count(&balance, Ready), balance.frozen_reason()),
        (4, Some("an operator froze removals"))
    );
    balance.set_frozen(at(3), false);
    assert_eq!((count(&balance, Ready), balance.frozen_reason()), (3, None));
}

#[test]
fn ten_of_fifty_members_that_fail_together_are_removed_together() {
    let mut balance = pool(50);
    balance.observe(at(1), &all(50, |n| if n % 5 == 0 { Failed } else { Alive }));
    let changes = balance.take_assignments();
    assert_eq!(changes.len(), 10);
    assert!(changes.iter().all(|it| it.state == Maint));
}

#[test]
fn members_that_failed_long_ago_do_not_hold_others() {
    let mut balance = pool(4);
    balance.observe(at(1), &all(4, |n| if n < 2 { Failed } else { Alive }));
    let third = all(4, |n| if n < 3 { Failed } else { Alive });
    balance.observe(at(2), &third);
    assert_eq!(hold_of(&balance, 2), Some(Hold::Floor));
    let later = balance.next_timeout(at(2)).unwrap();
    balance.advance(later);
    balance.advance(at(300_002));
    assert_eq!(state_of(&balance, 2), Maint);
    assert_eq!(state_of(&balance, 3), Ready);
}

#[test]
fn a_slot_kept_for_a_return_is_given_to_a_member_that_needs_it() {
    let mut balance = Balance::new(Limits::default(), 4);
    let mut all = all(4, |_| Alive);
    balance.observe(at(0), &all);
    (all[1].presence, all[2].presence) = (Left, Failed);
    balance.observe(at(1), &all);
    balance.advance(at(3_600_000));
    assert_eq!(state_of(&balance, 1), Maint);
    assert_eq!(state_of(&balance, 2), Maint);
    let (left, failed) = (slot_of(&balance, 1), slot_of(&balance, 2));
    all.push(member(5, Alive));
    balance.observe(at(3_600_001), &all);
    assert_eq!(
        slot_of(&balance, 5),
        left,
        "a failed member is more likely to return"
    );
    all.push(member(6, Alive));
    balance.observe(at(3_600_002), &all);
    assert_eq!(slot_of(&balance, 6), failed);
    all.push(member(7, Alive));
    balance.observe(at(3_600_003), &all);
    assert_eq!(balance.complaints(), [("web-7".into(), Complaint::Full)]);
}

#[test]
fn a_member_that_neither_the_cluster_nor_haproxy_reaches_gives_its_slot_to_one_that_waits() {
    let mut balance = Balance::new(Limits::default(), 2);
    let now = |presence| [member(0, Alive), member(1, presence), member(2, Alive)];
    balance.observe(at(0), &now(Alive));
    let slot = slot_of(&balance, 1);
    balance.set_reach(at(1), slot, "web-1", Reach::Down);
    assert_eq!(slot_of(&balance, 1), slot, "the cluster reaches it");
    balance.observe(at(2), &now(Suspect));
    assert_eq!((slot_of(&balance, 2), state_of(&balance, 2)), (slot, Ready));
    let waiting = [("web-1".into(), Complaint::Full)];
    assert_eq!(balance.complaints(), waiting);
    balance.observe(at(3), &now(Alive));
    assert_eq!(slot_of(&balance, 2), slot, "web-1 waits like any other");
}

/// Creates a backend with two slots whose members are web-0 and web-1, while web-2 waits. The
/// health checks find web-1 down from 1 s on. Returns the slot of web-1 as well.
fn one_down_and_one_waiting() -> (Balance, usize) {
    let mut balance = Balance::new(Limits::default(), 2);
    balance.observe(at(0), &all(3, |_| Alive));
    let slot = slot_of(&balance, 1);
    balance.set_reach(at(1_000), slot, "web-1", Reach::Down);
    (balance, slot)
}

#[test]
fn a_server_that_is_down_for_long_gives_its_slot_to_a_member_that_waits() {
    let (mut balance, slot) = one_down_and_one_waiting();
    assert_eq!(balance.next_timeout(at(30_000)), Some(at(31_000)));
    balance.advance(at(30_999));
    assert_eq!(slot_of(&balance, 1), slot);
    balance.advance(at(31_000));
    assert_eq!((slot_of(&balance, 2), state_of(&balance, 2)), (slot, Ready));
    assert_eq!(balance.complaints(), [("web-1".into(), Complaint::Full)]);
}

#[test]
fn a_server_that_is_down_keeps_its_slot_unless_another_has_served_for_as_long() {
    // The other server was down as well until a moment ago: HAProxy itself had no network.
    let (mut balance, slot) = one_down_and_one_waiting();
    let other = slot_of(&balance, 0);
    balance.set_reach(at(20_000), other, "web-0", Reach::Down);
    assert_eq!(
        state_of(&balance, 2),
        Ready,
        "web-2 has a slot, as no server serves"
    );
    let down = if slot_of(&balance, 2) == slot {
        other
    } else {
        slot
    };
    let name = if down == slot { "web-1" } else { "web-0" };
    let waits = if down == slot { "web-0" } else { "web-1" };
    assert_eq!(balance.complaints(), [(waits.into(), Complaint::Full)]);
    balance.advance(at(49_999));
    assert_eq!(balance.assignments()[down].0.name.as_deref(), Some(name));
    balance.advance(at(50_000)); // web-2 has served for 30 s
    assert_eq!(balance.assignments()[down].0.name.as_deref(), Some(waits));
}

#[test]
fn a_freeze_and_an_isolation_keep_the_slot_of_a_server_that_is_down_and_its_time_begins_anew() {
    let freeze: fn(&mut Balance, Time, bool) = |it, now, yes| it.set_frozen(now, yes);
    let isolate: fn(&mut Balance, Time, bool) = |it, now, yes| it.set_isolated(now, yes);
    for set in [freeze, isolate] {
        let (mut balance, slot) = one_down_and_one_waiting();
        set(&mut balance, at(2_000), true);
        assert_eq!(balance.next_timeout(at(3_000)), None);
        balance.advance(at(100_000));
        set(&mut balance, at(100_000), false);
        balance.advance(at(129_999));
        assert_eq!(slot_of(&balance, 1), slot);
        balance.advance(at(130_000));
        assert_eq!(slot_of(&balance, 2), slot);
    }
    let (mut balance, slot) = one_down_and_one_waiting();
    balance.set_broken(at(2_000));
    balance.advance(at(100_000));
    assert_eq!(slot_of(&balance, 1), slot);
}

#[test]
fn a_server_keeps_its_slot_if_it_was_up_in_between_or_a_person_has_taken_it_away() {
    let (mut balance, slot) = one_down_and_one_waiting();
    balance.set_reach(at(30_000), slot, "web-1", Reach::Reached);
    balance.set_reach(at(30_001), slot, "web-1", Reach::Down);
    balance.advance(at(60_000));
    assert_eq!(slot_of(&balance, 1), slot);
    balance.set_reach(at(60_000), slot, "web-1", Reach::TakenAway);
    balance.advance(at(200_000));
    assert_eq!(slot_of(&balance, 1), slot);
    let (mut balance, slot) = one_down_and_one_waiting();
    balance.set_order(at(2_000), "web-1", Some(Ready));
    balance.advance(at(200_000));
    assert_eq!(slot_of(&balance, 1), slot, "an operator keeps it ready");
}

#[test]
fn members_that_haproxy_did_not_reach_take_turns_at_most_once_in_the_same_time() {
    let (mut balance, slot) = one_down_and_one_waiting();
    let mut changes = Vec::new();
    for now in (2_000..=200_000).step_by(1_000) {
        balance.advance(at(now));
        let name = balance.assignments()[slot].0.name.clone().unwrap();
        // The member that has the slot is found down a second later.
        balance.set_reach(at(now), slot, &name, Reach::Down);
        if changes.last().is_none_or(|(_, last)| *last != name) {
            changes.push((now / 1_000, name));
        }
    }
    let changes: Vec<_> = changes.iter().map(|(at, name)| (*at, &**name)).collect();
    let wanted = [
        (2, "web-1"),
        (31, "web-2"),
        (61, "web-1"),
        (91, "web-2"),
        (121, "web-1"),
        (151, "web-2"),
        (181, "web-1"),
    ];
    assert_eq!(changes, wanted);
}

#[test]
fn an_unreachable_server_does_not_count_as_the_last_ready_one() {
    let mut balance = pool(3);
    let dead = slot_of(&balance, 0);
    balance.set_reach(at(1), dead, "web-0", Reach::Down);
    let members = [
        member(0, Alive),
        asking_for(1, Desired::Drain),
        asking_for(2, Desired::Drain),
    ];
    balance.observe(at(2), &members);
    assert_eq!(
        count(&balance, Ready),
        2,
        "the unreachable server and one that serves are ready"
    );
    assert_eq!(count(&balance, Drain), 1);
    balance.set_reach(at(3), dead, "web-0", Reach::Reached);
    assert_eq!(count(&balance, Drain), 2);
}

#[test]
fn of_the_draining_servers_the_one_is_recalled_whose_member_left_last() {
    for (first, last) in [(0, 1), (1, 0)] {
        let mut balance = pool(3);
        let left = |gone: &[usize]| all(3, |n| if gone.contains(&n) { Left } else { Alive });
        balance.observe(at(1), &left(&[first]));
        balance.observe(at(2), &left(&[first, last]));
        let slot = slot_of(&balance, 2);
        balance.set_reach(at(3), slot, "web-2", Reach::Down);
        assert_eq!(state_of(&balance, last), Ready);
        assert_eq!(state_of(&balance, first), Drain);
    }
    let mut balance = pool(3);
    let mut members = vec![
        asking_for(0, Desired::Drain),
        member(1, Alive),
        member(2, Alive),
    ];
    balance.observe(at(1), &members);
    members[1] = member(1, Left);
    balance.observe(at(2), &members);
    let slot = slot_of(&balance, 2);
    balance.set_reach(at(3), slot, "web-2", Reach::Down);
    assert_eq!(state_of(&balance, 0), Ready, "its member is present");
    assert_eq!(state_of(&balance, 1), Drain);
}

#[test]
fn members_remembered_late_are_kept_for_the_same_time() {
    let mut balance = pool(2);
    let late = at(1_000_000);
    balance.remember(late, &remembered(2, 2, Ready));
    balance.advance(late);
    assert_eq!(state_of(&balance, 2), Ready);
    assert_eq!(balance.next_timeout(late), Some(at(1_030_000)));
    balance.advance(at(1_030_000));
    assert_eq!(state_of(&balance, 2), Maint);
}

#[test]
fn of_two_snapshot_entries_of_a_member_the_state_that_admits_more_requests_wins() {
    let mut balance = Balance::new(Limits::default(), 4);
    balance.remember(at(0), &remembered(0, 0, Maint));
    balance.remember(at(0), &remembered(1, 1, Ready));
    balance.remember(at(0), &remembered(0, 0, Ready));
    balance.remember(at(0), &remembered(1, 1, Maint));
    balance.remember(at(0), &remembered(2, 1, Drain));
    balance.advance(at(0));
    let states = [0, 1, 2].map(|n| state_of(&balance, n));
    assert_eq!(states, [Ready, Ready, Drain]);
    assert_eq!(slot_of(&balance, 2), 2, "the remembered slot was taken");
}

fn remembered(n: usize, slot: usize, state: AdminState) -> Assignment {
    Assignment {
        slot,
        name: Some(format!("web-{n}").into()),
        addr: Some(addr(n)),
        weight: 50,
        state,
        order: 0,
        is_unguarded: false,
    }
}

#[test]
fn remembered_members_are_kept_until_others_are_heard_from_and_the_grace_is_over() {
    let mut balance = Balance::new(Limits::default(), 8);
    for n in 0..4 {
        balance.remember(at(0), &remembered(n, n, if n == 3 { Drain } else { Ready }));
    }
    balance.remember(at(0), &remembered(0, 5, Ready));
    balance.remember(at(0), &remembered(9, 99, Ready));
    balance.advance(at(0));
    let states = (0..4).map(|n| state_of(&balance, n));
    assert_eq!(states.collect::<Vec<_>>(), [Ready, Ready, Ready, Drain]);
    assert_eq!(balance.next_timeout(at(0)), None);
    balance.observe(at(3_600_000), &[]);
    assert_eq!(count(&balance, Ready), 3, "an empty list proves nothing");
    balance.observe(at(3_600_001), &[member(0, Alive), member(1, Alive)]);
    assert_eq!(count(&balance, Ready), 3);
    assert_eq!((slot_of(&balance, 0), slot_of(&balance, 1)), (0, 1));
    balance.advance(at(3_630_001));
    assert_eq!(
        state_of(&balance, 2),
        Maint,
        "the cluster has not mentioned the member for 30 s"
    );
    assert_eq!(count(&balance, Ready), 2);
}

#[test]
fn members_that_the_cluster_does_not_list_after_a_restart_count_as_failed_until_forgotten() {
    for (min_ready, ready) in [(50, 5), (100, 10)] {
        let limits = Limits {
            min_ready,
            ..Limits::default()
        };
        let mut balance = Balance::new(limits, 10);
        for n in 0..10 {
            balance.remember(at(0), &remembered(n, n, Ready));
        }
        balance.observe(at(0), &[member(0, Alive)]);
        assert_eq!(count(&balance, Ready), 10);
        for now in [30_000, 30_001, 329_999] {
            balance.observe(at(now), &[member(0, Alive)]);
            assert_eq!(count(&balance, Ready), ready, "after {now} ms");
        }
        assert_eq!(balance.next_timeout(at(329_999)), Some(at(330_000)));
        balance.advance(at(330_000));
        balance.observe(at(330_001), &[member(0, Alive)]);
        assert_eq!(count(&balance, Ready), 1);
        assert_eq!(balance.roster().len(), 1, "they are forgotten");
    }
}

/// In any sequence of events without orders of an operator, each address has at most one ready
/// slot, and once any server has been ready, at least one server is ready at all times.
#[test]
fn in_any_sequence_of_events_a_server_is_ready_and_no_address_serves_twice() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..200 {
        let mut balance = Balance::new(Limits::default(), 6);
        let mut now = 0;
        let mut any_ready = false;
        for _ in 0..200 {
            now += random(20_000);
            let mut members = Vec::new();
            for n in 0..8 {
                let presence = [Alive, Alive, Suspect, Failed, Left][random(5) as usize];
                let mut it = member(n, presence);
                it.addr = Ok(addr(random(8) as usize));
                it.desired = [Desired::Ready, Desired::Ready, Desired::Drain][random(3) as usize];
                if random(4) > 0 {
                    members.push(it);
                }
            }
            match random(6) {
                0 => balance.set_isolated(at(now), random(2) == 0),
                1 => balance.set_frozen(at(now), random(2) == 0),
                2 => {
                    let (slot, name) = (random(6) as usize, format!("web-{}", random(8)));
                    let reach = [Reach::Reached, Reach::TakenAway, Reach::Down][random(3) as usize];
                    balance.set_reach(at(now), slot, &name, reach);
                }
                3 => balance.advance(at(now)),
                _ => balance.observe(at(now), &members),
            }
            let slots = balance.assignments();
            let ready = slots.iter().filter(|(it, _)| it.state == Ready);
            let mut addrs: Vec<_> = ready.map(|(it, _)| it.addr.unwrap()).collect();
            any_ready |= !addrs.is_empty();
            assert!(
                !any_ready || !addrs.is_empty(),
                "no server is ready: {slots:?}"
            );
            let all = addrs.len();
            addrs.sort_unstable();
            addrs.dedup();
            assert_eq!(addrs.len(), all, "an address serves twice: {slots:?}");
        }
    }
}

#[test]
fn an_order_of_an_operator_outlasts_tags_and_failures_until_it_is_withdrawn() {
    let mut balance = pool(3);
    let members = all(3, |_| Alive);
    for (order, state) in [
        (Drain, Drain),
        (Maint, Maint),
        (Ready, Ready),
        (Maint, Maint),
    ] {
        balance.set_order(at(1), "web-1", Some(order));
        balance.observe(at(1), &members);
        assert_eq!(state_of(&balance, 1), state);
        balance.observe(at(2), &[member(0, Alive), asking_for(1, Desired::Drain)]);
        assert_eq!(state_of(&balance, 1), state, "the tag has no effect");
    }
    balance.observe(at(3), &all(3, |n| if n == 1 { Failed } else { Alive }));
    balance.observe(at(4), &members);
    assert_eq!(
        state_of(&balance, 1),
        Maint,
        "the order still holds after the member has returned"
    );
    balance.observe(at(5), &[member(0, Alive)]);
    balance.observe(at(6), &members);
    assert_eq!(
        state_of(&balance, 1),
        Maint,
        "the order still holds after the member was forgotten"
    );
    let orders: Vec<_> = balance.orders().map(|(name, it)| (&**name, it)).collect();
    assert_eq!(orders, [("web-1", Maint)]);
    balance.set_order(at(1), "web-1", None);
    balance.observe(at(7), &members);
    assert_eq!(state_of(&balance, 1), Ready);
    assert_eq!(balance.orders().count(), 0);
}

#[test]
fn an_order_is_carried_out_without_the_guard_and_a_waiting_member_takes_the_place() {
    let mut balance = Balance::new(Limits::default(), 1);
    balance.observe(at(0), &[member(0, Alive)]);
    balance.set_order(at(1), "web-0", Some(Drain));
    balance.observe(at(1), &[member(0, Alive)]);
    assert_eq!(
        state_of(&balance, 0),
        Drain,
        "even the last ready server is drained, and it is not recalled"
    );
    balance.observe(at(2), &all(2, |_| Alive));
    assert_eq!(state_of(&balance, 1), Ready);
}

/// The operator has taken all servers away, and the member that waits would serve if it had a slot:
/// it is then the last one.
#[test]
fn a_member_that_asks_to_drain_and_waits_serves_if_all_slots_drain_by_order() {
    let mut balance = Balance::new(Limits::default(), 2);
    let mut members = all(2, |_| Alive);
    balance.observe(at(0), &members);
    members.push(asking_for(2, Desired::Drain));
    balance.observe(at(1), &members);
    balance.set_order(at(2), "web-0", Some(Drain));
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Drain, Ready)
    );
    balance.set_order(at(3), "web-1", Some(Drain));
    assert_eq!(
        (state_of(&balance, 2), hold_of(&balance, 2)),
        (Ready, Some(Hold::Last))
    );
    assert_eq!((count(&balance, Ready), count(&balance, Drain)), (1, 1));
    // The member whose order is withdrawn takes the place of the one that asks to drain.
    balance.set_order(at(4), "web-0", None);
    balance.set_order(at(4), "web-1", None);
    assert_eq!(count(&balance, Ready), 2);
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Ready, Ready)
    );
}

#[test]
fn a_member_that_waits_and_is_ordered_to_stop_takes_no_slot_from_one_that_is_unreachable() {
    for order in [Drain, Maint] {
        let mut balance = Balance::new(Limits::default(), 1);
        balance.observe(at(0), &all(2, |_| Alive));
        balance.set_order(at(1), "web-1", Some(order));
        balance.set_reach(at(2), 0, "web-0", Reach::Down);
        assert_eq!((slot_of(&balance, 0), balance.is_unreachable(0)), (0, true));
        balance.set_order(at(3), "web-1", None);
        assert_eq!(
            state_of(&balance, 1),
            Ready,
            "web-1 takes the place of web-0"
        );
    }
}

#[test]
fn a_member_that_waits_at_an_address_of_haproxy_takes_no_slot_from_one_that_is_unreachable() {
    let mut balance = Balance::new(Limits::default(), 1);
    balance.observe(at(0), &all(2, |_| Alive));
    balance.set_own_listeners(at(1), &[addr(1)]);
    balance.set_reach(at(2), 0, "web-0", Reach::Down);
    assert_eq!((slot_of(&balance, 0), balance.is_unreachable(0)), (0, true));
}

#[test]
fn a_withdrawn_order_makes_a_server_ready_before_the_cluster_is_heard_from() {
    for order in [Drain, Maint] {
        let mut balance = Balance::new(Limits::default(), 4);
        for (n, state) in [order, Drain, Ready].into_iter().enumerate() {
            balance.remember(at(0), &remembered(n, n, state));
        }
        balance.set_order(at(0), "web-0", Some(order));
        assert_eq!(state_of(&balance, 0), order);
        balance.set_order(at(1), "web-0", None);
        balance.set_order(at(1), "web-1", None);
        let states = [0, 1].map(|n| state_of(&balance, n));
        assert_eq!(
            states,
            [Ready, Drain],
            "no order was the reason for the drain"
        );
    }
}

#[test]
fn the_reason_of_a_change_before_the_cluster_is_heard_from_is_the_order_or_the_silence() {
    let mut balance = Balance::new(Limits::default(), 4);
    for n in 0..2 {
        balance.remember(at(0), &remembered(n, n, Ready));
    }
    balance.take_assignments();
    let reasons = |balance: &mut Balance| {
        balance.take_assignments();
        let log = balance.take_log().into_iter();
        log.filter_map(|it| it.reason).collect::<Vec<_>>()
    };
    balance.set_order(at(1), "web-0", Some(Drain));
    assert_eq!(reasons(&mut balance), ["an operator ordered this state"]);
    balance.set_order(at(2), "web-0", None);
    let silent = "not listed by the cluster since the start";
    assert_eq!(reasons(&mut balance), [silent]);
    balance.observe(at(3), &[member(0, Alive)]);
    reasons(&mut balance);
    let grace = Limits::default().grace.as_millis() as u64;
    balance.advance(at(3 + grace));
    assert_eq!(
        (reasons(&mut balance), state_of(&balance, 1)),
        (vec![silent], Maint),
        "nobody has reported a failure"
    );
}

#[test]
fn an_order_keeps_the_server_of_a_failed_member_ready() {
    let mut balance = pool(3);
    balance.set_order(at(1), "web-1", Some(Ready));
    balance.observe(at(1), &all(3, |n| if n == 1 { Failed } else { Alive }));
    assert_eq!((state_of(&balance, 1), hold_of(&balance, 1)), (Ready, None));
}

#[test]
fn an_order_for_the_present_state_is_returned_as_a_change() {
    let mut balance = pool(3);
    balance.set_order(at(1), "web-1", Some(Ready));
    balance.observe(at(1), &all(3, |_| Alive));
    assert_eq!(balance.take_assignments().len(), 1);
    balance.observe(at(2), &all(3, |_| Alive));
    assert!(balance.take_assignments().is_empty());
}

#[test]
fn a_withdrawn_order_brings_back_the_state_that_the_member_asks_for() {
    let mut balance = pool(3);
    let mut members = all(3, |_| Alive);
    members[1] = asking_for(1, Desired::Drain);
    balance.observe(at(1), &members);
    balance.set_order(at(2), "web-1", Some(Maint));
    balance.observe(at(2), &members);
    assert_eq!(state_of(&balance, 1), Maint);
    balance.set_order(at(3), "web-1", None);
    assert_eq!(
        state_of(&balance, 1),
        Drain,
        "even before the members are listed again"
    );
}

#[test]
fn a_member_that_has_announced_its_leave_drains_unless_it_is_the_last_one() {
    let mut balance = pool(2);
    balance.observe(at(1), &[member(0, Leaving), member(1, Alive)]);
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Drain, Ready)
    );
    balance.observe(at(2), &[member(0, Leaving), member(1, Leaving)]);
    assert_eq!(
        (state_of(&balance, 1), hold_of(&balance, 1)),
        (Ready, Some(Hold::Last))
    );
    balance.observe(at(3), &[member(0, Alive), member(1, Leaving)]);
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Ready, Drain)
    );
}

#[test]
fn a_server_at_an_address_of_haproxy_is_stopped_even_if_it_is_the_last() {
    let mut balance = pool(1);
    let own = |n| Candidate {
        addr: Err(Unfit::Own(addr(n))),
        ..member(n, Alive)
    };
    balance.observe(at(1), &[own(0)]);
    assert_eq!(
        (state_of(&balance, 0), hold_of(&balance, 0)),
        (Ready, Some(Hold::Last)),
        "the member claims an address of HAProxy, but its server has another one"
    );
    balance.set_own_listeners(at(2), &[addr(0)]); // a shared address has moved to this host
    assert_eq!((state_of(&balance, 0), hold_of(&balance, 0)), (Maint, None));
    balance.set_order(at(3), "web-0", Some(Ready));
    assert_eq!(state_of(&balance, 0), Maint);
    balance.set_own_listeners(at(4), &[]);
    balance.observe(at(4), &[member(0, Alive)]);
    assert_eq!(state_of(&balance, 0), Ready);
}

#[test]
fn while_the_node_is_broken_servers_change_only_by_orders() {
    let mut balance = pool(4);
    balance.remember(at(0), &remembered(9, 7, Ready));
    let mut members = all(4, |n| if n == 0 { Left } else { Alive });
    balance.observe(at(1), &members);
    members[1] = asking_for(1, Desired::Drain);
    balance.set_frozen(at(2), true);
    balance.observe(at(2), &members);
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Drain, Drain)
    );
    balance.set_broken(at(3));
    assert_eq!(balance.frozen_reason(), Some("the node is broken"));
    balance.take_assignments();
    // The drain of web-0 and the grace of web-9 end, an operator lifts the freeze and gives an
    // order.
    balance.set_frozen(at(40_000), false);
    balance.set_order(at(40_000), "web-2", Some(Maint));
    let changes = balance.take_assignments();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(
        (changes[0].name.as_deref(), changes[0].state),
        (Some("web-2"), Maint)
    );
    balance.set_order(at(50_000), "web-2", None);
    assert_eq!(state_of(&balance, 2), Ready);
}

#[test]
fn while_the_node_is_broken_a_draining_server_is_made_ready_if_no_other_serves() {
    let mut balance = pool(2);
    balance.observe(at(1), &[asking_for(0, Desired::Drain), member(1, Alive)]);
    balance.set_broken(at(2));
    let slot = slot_of(&balance, 1);
    balance.set_reach(at(3), slot, "web-1", Reach::Down);
    assert_eq!(
        (state_of(&balance, 0), state_of(&balance, 1)),
        (Ready, Ready)
    );
    balance.set_reach(at(4), slot, "web-1", Reach::Reached);
    assert_eq!(
        (state_of(&balance, 0), hold_of(&balance, 0)),
        (Ready, Some(Hold::Frozen))
    );
}
