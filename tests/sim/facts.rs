//! The facts about members, shared by all nodes of a thread.
//!
//! In a cluster of N nodes, each node holds N facts. Nearly all of them are equal to those of the
//! other nodes, so sharing them takes less memory and keeps them in the cache of the processor.
//! Shared facts never change: a core that changes the facts about a member copies them first.

use sprat::serf::NodeFacts;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

thread_local! {
    /// The facts that were last seen under each name.
    static LATEST: RefCell<HashMap<Arc<str>, Arc<NodeFacts>>> = RefCell::default();
}

/// Returns shared facts equal to these.
pub fn share(facts: NodeFacts) -> Arc<NodeFacts> {
    LATEST.with_borrow_mut(|latest| match latest.get(&facts.name) {
        Some(known) if **known == facts => known.clone(),
        Some(_) | None => {
            let facts = Arc::new(facts);
            latest.insert(facts.name.clone(), facts.clone());
            facts
        }
    })
}

/// Forgets the facts of an earlier world of this thread.
pub fn forget() {
    LATEST.take();
}

#[test]
fn equal_facts_are_shared_and_different_ones_are_not() {
    let facts = |incarnation| NodeFacts {
        incarnation,
        ..NodeFacts::new("n1", "10.0.0.2:7946".parse().unwrap())
    };
    let (first, second) = (share(facts(1)), share(facts(1)));
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(*share(facts(2)), facts(2));
    assert_eq!(*first, facts(1));
}
