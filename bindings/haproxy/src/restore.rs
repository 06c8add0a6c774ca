//! The assignments of a snapshot that the backends of a new configuration take over.
//!
//! A server keeps its member unless the server was renamed. The member of a renamed server moves to
//! a free slot, and a renamed backend takes over the members of the old one: a new name is no
//! reason to begin without servers.

use crate::backend::{Backend, BackendKey};
use crate::balance::Assignment;
use crate::snapshot::{SavedServer, Snapshot};
use std::collections::BTreeSet;

/// Returns the key under which the snapshot knows a backend. If the snapshot does not have the key
/// of the backend, returns that of a backend that has the same tag and is no longer configured.
pub fn known_as<'a>(
    snapshot: &'a Snapshot,
    key: &BackendKey,
    configured: &[BackendKey],
) -> Option<&'a BackendKey> {
    let servers = snapshot.servers.iter().map(|it| &it.backend);
    let keys = servers.chain(snapshot.orders.iter().map(|it| &it.backend));
    let is_gone =
        |it: &&BackendKey| it.tag == key.tag && !configured.iter().any(|all| all.name == it.name);
    let mut own = keys.clone().filter(|it| *it == key);
    own.next().or_else(|| keys.clone().find(is_gone))
}

/// Returns the servers of the snapshot that belong to a backend.
pub fn servers_of<'a>(
    snapshot: &'a Snapshot,
    key: &BackendKey,
    configured: &[BackendKey],
) -> Vec<&'a SavedServer> {
    let key = known_as(snapshot, key, configured);
    let servers = snapshot.servers.iter();
    servers.filter(|it| Some(&it.backend) == key).collect()
}

/// Returns the assignments that the backends take over, each with the number of its backend. No
/// member, address or slot of a backend appears twice.
pub fn assignments(snapshot: &Snapshot, backends: &[Backend]) -> Vec<(usize, Assignment)> {
    let configured: Vec<BackendKey> = backends.iter().map(Backend::key).collect();
    let mut all = Vec::new();
    for (number, backend) in backends.iter().enumerate() {
        let servers = servers_of(snapshot, &configured[number], &configured);
        all.extend(
            of_backend(backend, servers)
                .into_iter()
                .map(|it| (number, it)),
        );
    }
    all
}

fn of_backend(backend: &Backend, mut servers: Vec<&SavedServer>) -> Vec<Assignment> {
    let slot_of = |it: &SavedServer| backend.servers.iter().position(|name| *name == it.server);
    // Servers that still exist come first, so that their members keep their slots. Among these, and
    // among the others, states that admit more requests come first. Of two entries for a member,
    // the first one counts.
    servers.sort_by_key(|it| (slot_of(it).is_none(), it.state));
    let (mut names, mut addrs, mut slots) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut found = Vec::new();
    for saved in servers {
        let mut free = (0..backend.slots()).filter(|it| !slots.contains(it));
        let Some(slot) = slot_of(saved).or_else(|| free.next()) else {
            continue;
        };
        let assignment = Assignment {
            slot,
            name: Some(saved.name.clone()),
            addr: Some(saved.addr),
            weight: saved.weight,
            state: saved.state,
            order: 0,
            is_unguarded: false,
        };
        let is_known = names.contains(&saved.name) || addrs.contains(&saved.addr);
        if is_known || slots.contains(&slot) || !backend.accepts(&assignment) {
            continue;
        }
        names.insert(saved.name.clone());
        addrs.insert(saved.addr);
        slots.insert(slot);
        found.push(assignment);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{AdminState, Limits};
    use sprat::service::servers::candidate::Rules;
    use std::net::SocketAddr;

    fn saved(backend: &str, server: &str, n: u8, state: AdminState) -> SavedServer {
        SavedServer {
            backend: BackendKey::new(backend, "role", "web"),
            server: server.into(),
            state,
            weight: 7,
            addr: SocketAddr::from(([10, 0, 0, n], 80)),
            name: format!("web-{n}").into(),
        }
    }

    fn backend(name: &str, servers: &[&str]) -> Backend {
        Backend {
            name: name.to_owned(),
            rules: Rules {
                tag: ("role".to_owned(), "web".to_owned()),
                ..Rules::default()
            },
            servers: servers.iter().map(|it| (*it).into()).collect(),
            limits: Limits::default(),
        }
    }

    fn restored(snapshot: &Snapshot, backends: &[Backend]) -> Vec<(usize, usize, String)> {
        let all = assignments(snapshot, backends).into_iter();
        all.map(|(backend, it)| (backend, it.slot, it.name.unwrap().to_string()))
            .collect()
    }

    fn snapshot(servers: Vec<SavedServer>) -> Snapshot {
        Snapshot {
            servers,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_server_keeps_its_member_and_the_member_of_a_renamed_one_gets_a_free_slot() {
        let ready = AdminState::Ready;
        let before = snapshot(vec![
            saved("a", "old1", 1, ready),
            saved("a", "app2", 2, ready),
        ]);
        let after = [backend("a", &["app1", "app2"])];
        let wanted = [(0, 1, "web-2".to_owned()), (0, 0, "web-1".to_owned())];
        assert_eq!(restored(&before, &after), wanted);
    }

    #[test]
    fn a_renamed_backend_takes_over_the_members_of_the_old_one() {
        let before = snapshot(vec![saved("old", "app1", 1, AdminState::Ready)]);
        let renamed = [backend("new", &["app1"])];
        assert_eq!(restored(&before, &renamed), [(0, 0, "web-1".to_owned())]);
        let both = [backend("new", &["app1"]), backend("old", &["app1"])];
        assert_eq!(restored(&before, &both), [(1, 0, "web-1".to_owned())]);
        let mut other = backend("new", &["app1"]);
        other.rules.tag.1 = "api".to_owned();
        assert!(restored(&before, &[other]).is_empty());
    }

    #[test]
    fn no_member_or_address_is_restored_twice() {
        let mut same_addr = saved("a", "app3", 1, AdminState::Ready);
        same_addr.name = "other".into();
        let before = snapshot(vec![
            saved("a", "app1", 1, AdminState::Maint),
            saved("a", "app2", 1, AdminState::Ready),
            same_addr,
        ]);
        let after = [backend("a", &["app1", "app2", "app3"])];
        assert_eq!(restored(&before, &after), [(0, 1, "web-1".to_owned())]);
    }
}
