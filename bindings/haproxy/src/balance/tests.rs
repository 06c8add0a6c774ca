//! A pool of slots under simulated time.

use super::*;
use Mode::{Drain, Maintenance, Ready};
use Presence::{Alive, Failed, Left, Suspect};
use sprat::service::spoe::candidate::{Desired, Ignored, Presence, Unfit};

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

fn wishing(n: usize, desired: Desired) -> Candidate {
    Candidate {
        desired,
        ..member(n, Alive)
    }
}

/// As many members, all alive, in twice as many slots.
fn pool(n: usize) -> Balance {
    let mut balance = Balance::new(Limits::default(), 2 * n);
    balance.observe(at(0), &all(n, |_| Alive));
    assert_eq!(count(&balance, Ready), n);
    balance.take_orders();
    balance
}

fn all(n: usize, presence: impl Fn(usize) -> Presence) -> Vec<Candidate> {
    (0..n).map(|i| member(i, presence(i))).collect()
}

fn count(balance: &Balance, mode: Mode) -> usize {
    let slots = balance.picture();
    let of_members = slots.iter().filter(|(order, _)| order.name.is_some());
    of_members.filter(|(order, _)| order.mode == mode).count()
}

fn slot_of(balance: &Balance, n: usize) -> usize {
    let name = format!("web-{n}");
    let found = balance.picture().into_iter().map(|(order, _)| order);
    let mut found = found.filter(|order| order.name.as_deref() == Some(&name));
    found
        .next()
        .unwrap_or_else(|| panic!("{name} has no slot"))
        .slot
}

fn mode_of(balance: &Balance, n: usize) -> Mode {
    balance.picture()[slot_of(balance, n)].0.mode
}

fn hold_of(balance: &Balance, n: usize) -> Option<Hold> {
    balance.picture()[slot_of(balance, n)].1
}

#[test]
fn who_joins_gets_a_slot_and_each_change_is_ordered_once() {
    let mut balance = Balance::new(Limits::default(), 4);
    assert_eq!(
        balance.take_orders().len(),
        4,
        "at first every slot is told"
    );
    balance.observe(at(0), &[member(1, Alive)]);
    let orders = balance.take_orders();
    let [order] = &orders[..] else {
        panic!("{orders:?}")
    };
    assert_eq!(
        (order.name.as_deref(), order.addr),
        (Some("web-1"), Some(addr(1)))
    );
    assert_eq!((order.weight, order.mode), (100, Ready));
    balance.observe(at(1), &[member(1, Alive)]);
    assert!(balance.take_orders().is_empty());
}

#[test]
fn a_slot_is_kept_over_failures_and_given_away_when_its_member_is_forgotten() {
    let mut balance = pool(4);
    let slot = slot_of(&balance, 2);
    balance.observe(at(10), &all(4, |n| if n == 2 { Failed } else { Alive }));
    assert_eq!(
        (slot_of(&balance, 2), mode_of(&balance, 2)),
        (slot, Maintenance)
    );
    balance.observe(at(20), &all(4, |_| Alive));
    assert_eq!((slot_of(&balance, 2), mode_of(&balance, 2)), (slot, Ready));
    let mut others = all(4, |n| if n == 2 { Failed } else { Alive });
    balance.observe(at(30), &others);
    others.remove(2);
    balance.observe(at(40), &others);
    assert_eq!(balance.picture()[slot].0.name, None);
}

#[test]
fn two_balancers_give_the_same_slots_whatever_the_order_of_arrival() {
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
    let orders = balance.take_orders();
    assert_eq!(orders.len(), 1);
    let order = &orders[0];
    assert_eq!(
        (order.slot, order.addr, order.weight),
        (slot, Some(addr(9)), 7)
    );
    assert_eq!(order.mode, Ready);
}

#[test]
fn more_members_than_slots_are_told_and_find_one_when_another_goes() {
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
    // The other is gone: a restart under a new name.
    balance.observe(
        at(2),
        &[member(0, Alive), member(1, Failed), double.clone()],
    );
    assert_eq!(
        (mode_of(&balance, 7), mode_of(&balance, 1)),
        (Ready, Maintenance)
    );
    // It returns, and may not have it; then the newer one goes.
    balance.observe(at(3), &[member(0, Alive), member(1, Alive), double.clone()]);
    assert_eq!(mode_of(&balance, 1), Maintenance);
    double.presence = Failed;
    balance.observe(at(4), &[member(0, Alive), member(1, Alive), double]);
    assert_eq!(
        (mode_of(&balance, 1), mode_of(&balance, 7)),
        (Ready, Maintenance)
    );
}

#[test]
fn what_cannot_be_a_server_is_told_and_one_that_was_gets_no_more_requests() {
    let mut balance = pool(3);
    let mut broken = member(1, Alive);
    broken.addr = Err(Unfit::NoPort);
    balance.observe(at(1), &[member(0, Alive), broken, member(2, Alive)]);
    assert_eq!(
        balance.complaints(),
        [("web-1".into(), Complaint::Unfit(Unfit::NoPort))]
    );
    assert_eq!(mode_of(&balance, 1), Maintenance);
}

#[test]
fn what_makes_no_sense_is_told_of_a_member_that_serves_nevertheless() {
    let mut balance = pool(3);
    let mut odd = member(1, Alive);
    odd.ignored = vec![Ignored::State("drian".into())];
    let complaint = Complaint::Ignored(odd.ignored[0].clone());
    balance.observe(at(1), &[member(0, Alive), odd.clone()]);
    assert_eq!(balance.complaints(), [("web-1".into(), complaint)]);
    assert_eq!(mode_of(&balance, 1), Ready);
    odd.presence = Failed;
    balance.observe(at(2), &[member(0, Alive), odd]);
    assert!(balance.complaints().is_empty(), "it says nothing any more");
}

#[test]
fn a_member_drains_stops_and_returns_by_its_own_wish() {
    let mut balance = pool(3);
    for (desired, mode) in [
        (Desired::Drain, Drain),
        (Desired::Maint, Maintenance),
        (Desired::Ready, Ready),
    ] {
        balance.observe(
            at(1),
            &[member(0, Alive), wishing(1, desired), member(2, Alive)],
        );
        assert_eq!(mode_of(&balance, 1), mode);
    }
}

#[test]
fn who_has_left_drains_and_is_stopped_after_a_while() {
    let mut balance = pool(3);
    let left = all(3, |n| if n == 1 { Left } else { Alive });
    balance.observe(at(1_000), &left);
    assert_eq!(mode_of(&balance, 1), Drain);
    assert_eq!(balance.next_timeout(at(1_000)), Some(at(31_000)));
    balance.advance(at(30_999));
    assert_eq!(mode_of(&balance, 1), Drain);
    balance.advance(at(31_000));
    assert_eq!(mode_of(&balance, 1), Maintenance);
}

#[test]
fn a_suspect_keeps_its_requests_unless_haproxy_doubts_it_too() {
    let mut balance = pool(4);
    let suspected = all(4, |n| if n == 1 { Suspect } else { Alive });
    balance.observe(at(1), &suspected);
    assert_eq!(mode_of(&balance, 1), Ready);
    let slot = slot_of(&balance, 1);
    balance.doubt(at(2), slot, true);
    assert_eq!(mode_of(&balance, 1), Drain, "two witnesses");
    balance.doubt(at(3), slot, false);
    assert_eq!(mode_of(&balance, 1), Ready, "HAProxy reaches it again");
    balance.doubt(at(4), slot, true);
    balance.observe(at(5), &all(4, |_| Alive));
    assert_eq!(mode_of(&balance, 1), Ready, "the cluster reaches it again");
    balance.doubt(at(6), slot_of(&balance, 0), true);
    assert_eq!(
        mode_of(&balance, 0),
        Ready,
        "HAProxy alone has its own checks"
    );
}

#[test]
fn failures_below_the_floor_are_held_and_let_go_when_others_join() {
    let mut balance = pool(4);
    balance.observe(at(1), &all(4, |n| if n < 3 { Failed } else { Alive }));
    assert_eq!(
        (count(&balance, Ready), count(&balance, Maintenance)),
        (2, 2)
    );
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
        "the new ones and the one that lives"
    );
    assert!((0..4).all(|n| hold_of(&balance, n).is_none()));
}

#[test]
fn the_last_one_is_never_taken_away_whatever_it_wishes() {
    let mut balance = pool(1);
    for last in [
        wishing(0, Desired::Drain),
        member(0, Failed),
        member(0, Left),
    ] {
        balance.observe(at(1), &[last]);
        assert_eq!(
            (mode_of(&balance, 0), hold_of(&balance, 0)),
            (Ready, Some(Hold::Last))
        );
    }
    balance.observe(at(2), &[]);
    assert_eq!(
        mode_of(&balance, 0),
        Ready,
        "even when nobody speaks of it any more"
    );
    balance.observe(at(3), &[member(1, Alive)]);
    assert_eq!(mode_of(&balance, 1), Ready);
    assert_eq!(count(&balance, Ready), 1, "another is there: it may go");
}

#[test]
fn an_isolated_balancer_keeps_everybody_and_takes_them_away_one_by_one_afterwards() {
    let mut balance = pool(10);
    balance.set_isolated(at(0), true);
    balance.observe(at(1), &all(10, |n| if n < 4 { Failed } else { Alive }));
    assert_eq!(count(&balance, Ready), 10);
    assert_eq!(hold_of(&balance, 0), Some(Hold::Frozen));
    assert_eq!(balance.frozen(), Some("this node may be cut off"));
    let mut joined = all(10, |n| if n < 4 { Failed } else { Alive });
    joined.push(member(11, Alive));
    balance.observe(at(2), &joined);
    assert_eq!(
        count(&balance, Ready),
        11,
        "who joins is served all the same"
    );
    balance.set_isolated(at(1_000), false);
    assert_eq!(count(&balance, Ready), 10, "one at once");
    let mut now = at(1_000);
    for ready in [9, 8, 7] {
        let next = balance.next_timeout(now).unwrap();
        assert_eq!(next.since(now), Duration::from_millis(100));
        now = next;
        balance.advance(now);
        assert_eq!(count(&balance, Ready), ready);
    }
    balance.observe(now, &all(12, |n| if n < 6 { Failed } else { Alive }));
    assert!(
        count(&balance, Ready) <= 6,
        "afterwards they go together again"
    );
}

#[test]
fn who_was_taken_for_dead_during_an_isolation_is_never_touched() {
    let mut balance = pool(3);
    balance.set_isolated(at(0), true);
    balance.observe(at(1), &all(3, |_| Failed));
    balance.observe(at(9_000), &all(3, |_| Alive));
    balance.set_isolated(at(9_001), false);
    assert!(balance.take_orders().is_empty());
}

#[test]
fn an_operator_can_freeze_and_thaw() {
    let mut balance = pool(4);
    balance.freeze(at(1), true);
    balance.observe(at(2), &all(4, |n| if n == 0 { Failed } else { Alive }));
    assert_eq!(
        (count(&balance, Ready), balance.frozen()),
        (4, Some("an operator froze it"))
    );
    balance.freeze(at(3), false);
    assert_eq!((count(&balance, Ready), balance.frozen()), (3, None));
}

#[test]
fn ten_of_fifty_that_fail_together_go_together() {
    let mut balance = pool(50);
    balance.observe(at(1), &all(50, |n| if n % 5 == 0 { Failed } else { Alive }));
    let orders = balance.take_orders();
    assert_eq!(orders.len(), 10);
    assert!(orders.iter().all(|order| order.mode == Maintenance));
}

#[test]
fn long_dead_members_are_no_reason_to_hold_others() {
    let mut balance = pool(4);
    balance.observe(at(1), &all(4, |n| if n < 2 { Failed } else { Alive }));
    let third = all(4, |n| if n < 3 { Failed } else { Alive });
    balance.observe(at(2), &third);
    assert_eq!(hold_of(&balance, 2), Some(Hold::Floor));
    let later = balance.next_timeout(at(2)).unwrap();
    balance.advance(later);
    balance.advance(at(300_002));
    assert_eq!(mode_of(&balance, 2), Maintenance);
    assert_eq!(mode_of(&balance, 3), Ready);
}

#[test]
fn a_place_that_was_only_kept_is_given_to_one_that_needs_it() {
    let mut balance = Balance::new(Limits::default(), 4);
    let mut all = all(4, |_| Alive);
    balance.observe(at(0), &all);
    (all[1].presence, all[2].presence) = (Left, Failed);
    balance.observe(at(1), &all);
    balance.advance(at(3_600_000));
    assert_eq!(mode_of(&balance, 1), Maintenance);
    assert_eq!(mode_of(&balance, 2), Maintenance);
    let (left, failed) = (slot_of(&balance, 1), slot_of(&balance, 2));
    all.push(member(5, Alive));
    balance.observe(at(3_600_001), &all);
    assert_eq!(slot_of(&balance, 5), left, "who failed may return");
    all.push(member(6, Alive));
    balance.observe(at(3_600_002), &all);
    assert_eq!(slot_of(&balance, 6), failed);
    all.push(member(7, Alive));
    balance.observe(at(3_600_003), &all);
    assert_eq!(balance.complaints(), [("web-7".into(), Complaint::Full)]);
}

#[test]
fn one_that_haproxy_does_not_reach_is_not_the_one_that_is_left() {
    let mut balance = pool(3);
    let dead = slot_of(&balance, 0);
    balance.doubt(at(1), dead, true);
    let wishes = [
        member(0, Alive),
        wishing(1, Desired::Drain),
        wishing(2, Desired::Drain),
    ];
    balance.observe(at(2), &wishes);
    assert_eq!(
        count(&balance, Ready),
        2,
        "the dead one, and one that serves"
    );
    assert_eq!(count(&balance, Drain), 1);
    balance.doubt(at(3), dead, false);
    assert_eq!(count(&balance, Drain), 2);
}

#[test]
fn what_is_remembered_late_is_believed_for_as_long() {
    let mut balance = pool(2);
    let late = at(1_000_000);
    balance.remember(late, 2, &remembered(2, 2, Ready));
    balance.advance(late);
    assert_eq!(mode_of(&balance, 2), Ready);
    assert_eq!(balance.next_timeout(late), Some(at(1_030_000)));
    balance.advance(at(1_030_000));
    assert_eq!(mode_of(&balance, 2), Maintenance);
}

#[test]
fn what_two_earlier_lives_knew_is_taken_from_the_better() {
    let mut balance = Balance::new(Limits::default(), 4);
    balance.remember(at(0), 0, &remembered(0, 0, Maintenance));
    balance.remember(at(0), 1, &remembered(1, 1, Ready));
    balance.remember(at(0), 0, &remembered(0, 0, Ready));
    balance.remember(at(0), 1, &remembered(1, 1, Maintenance));
    balance.remember(at(0), 1, &remembered(2, 1, Drain));
    balance.advance(at(0));
    let modes = [0, 1, 2].map(|n| mode_of(&balance, n));
    assert_eq!(modes, [Ready, Ready, Drain]);
    assert_eq!(slot_of(&balance, 2), 2, "its own was taken");
}

fn remembered(n: usize, slot: usize, mode: Mode) -> Order {
    Order {
        slot,
        name: Some(format!("web-{n}").into()),
        addr: Some(addr(n)),
        weight: 50,
        mode,
    }
}

#[test]
fn an_earlier_life_is_believed_until_others_are_heard_and_have_had_their_time() {
    let mut balance = Balance::new(Limits::default(), 8);
    for n in 0..4 {
        balance.remember(
            at(0),
            n,
            &remembered(n, n, if n == 3 { Drain } else { Ready }),
        );
    }
    balance.remember(at(0), 5, &remembered(0, 5, Ready));
    balance.remember(at(0), 99, &remembered(9, 99, Ready));
    balance.advance(at(0));
    let modes = (0..4).map(|n| mode_of(&balance, n));
    assert_eq!(modes.collect::<Vec<_>>(), [Ready, Ready, Ready, Drain]);
    assert_eq!(balance.next_timeout(at(0)), None);
    balance.observe(at(3_600_000), &[]);
    assert_eq!(count(&balance, Ready), 3, "alone it says nothing");
    balance.observe(at(3_600_001), &[member(0, Alive), member(1, Alive)]);
    assert_eq!(count(&balance, Ready), 3);
    assert_eq!((slot_of(&balance, 0), slot_of(&balance, 1)), (0, 1));
    balance.advance(at(3_630_001));
    assert_eq!(
        mode_of(&balance, 2),
        Maintenance,
        "nobody spoke of it for 30 s"
    );
    assert_eq!(count(&balance, Ready), 2);
}

/// Whatever happens: a slot has one owner, an address one ready slot, and somebody is always
/// ready who was ever there.
#[test]
fn whatever_happens_somebody_is_ready_and_nothing_is_served_twice() {
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
        let mut anybody = false;
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
                1 => balance.freeze(at(now), random(2) == 0),
                2 => drop(balance.doubt(at(now), random(6) as usize, random(2) == 0)),
                3 => balance.advance(at(now)),
                _ => balance.observe(at(now), &members),
            }
            let picture = balance.picture();
            let ready = picture.iter().filter(|(order, _)| order.mode == Ready);
            let mut addrs: Vec<_> = ready.map(|(order, _)| order.addr.unwrap()).collect();
            anybody |= !addrs.is_empty();
            assert!(
                !anybody || !addrs.is_empty(),
                "nobody is ready: {picture:?}"
            );
            let all = addrs.len();
            addrs.sort_unstable();
            addrs.dedup();
            assert_eq!(addrs.len(), all, "an address is served twice: {picture:?}");
        }
    }
}
