//! The functions of the module about what someone else has set in HAProxy. The script tells which
//! assignments it carries out and what it finds; [`sprat_haproxy::others`] has the rule.

use super::call::{Arguments, CallResult, done};
use super::state::module;
use sprat_haproxy::actual_servers;
use sprat_haproxy::balance::AdminState;
use sprat_haproxy::others::{Goal, Parts};
use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

/// Returns the key of a server in the changes of others, and the goal of an assignment for it. The
/// arguments from `first` on are backend, slot, name, order, state, weight, ip and port.
fn goal(arguments: &Arguments, first: c_int) -> Result<(Arc<str>, Goal), String> {
    let server = server(arguments, first)?;
    let member = arguments.text(first + 2, "name")?.into();
    let order = arguments.number(first + 3, "order", 0, u32::MAX.into())? as u32;
    let word = arguments.text(first + 4, "state")?;
    let state = AdminState::from_name(&word);
    let weight = arguments.number(first + 5, "weight", 0, 256)? as u16;
    let ip = arguments.text(first + 6, "ip")?;
    let port = arguments.number(first + 7, "port", 1, 65_535)? as u16;
    let goal = Goal {
        member,
        order,
        state: state.ok_or_else(|| format!("the state is {word:?}"))?,
        weight,
        addr: SocketAddr::new(
            ip.parse()
                .map_err(|_| format!("{ip:?} is not an IP address"))?,
            port,
        ),
    };
    Ok((server, goal))
}

/// Returns the key of a server in the changes of others: the arguments are backend and slot.
fn server(arguments: &Arguments, first: c_int) -> Result<Arc<str>, String> {
    let backend = arguments.number(first, "backend", 1, 10_000)?;
    let slot = arguments.number(first + 1, "slot", 1, 10_000)?;
    Ok(format!("{backend}/{slot}").into())
}

/// `find_changes(state, weight, address, is_weight_refused, backend, slot, name, order, ...)`:
/// compares a server with the assignment that was last carried out for it ([`goal`]), and returns
/// what someone else has set: state, weight and address, each nil if they have not set it; true if
/// the server gets no requests because of that; and how the server differs, as text, "" if it does
/// not. The first three arguments are as HAProxy has them: the state and the address are "", and
/// the weight is -1, if that is not known. A weight that HAProxy has refused is nobody's change,
/// but part of the text.
pub fn find_changes(arguments: &Arguments) -> CallResult {
    let weight = arguments.number(2, "weight", -1, 256)?;
    let found = Parts {
        state: AdminState::from_name(&arguments.text(1, "state")?),
        weight: u16::try_from(weight).ok(),
        addr: actual_servers::address(&arguments.text(3, "address")?),
    };
    let is_weight_refused = arguments.flag(4, "is_weight_refused")?;
    let (server, goal) = goal(arguments, 5)?;
    let mut module = module();
    let others = module.others();
    others.compare(&server, &goal, Some(found));
    let kept = others.kept(&server);
    let refused = found.weight.filter(|_| is_weight_refused);
    let shown = Parts {
        weight: kept.weight.or(refused),
        ..kept
    };
    let text = match shown == Parts::default() {
        true => String::new(),
        false => format!("HAProxy has {shown}"),
    };
    Ok(vec![
        kept.state.map(AdminState::name).into(),
        kept.weight.map(i64::from).into(),
        kept.addr.map(|it| it.to_string()).into(),
        kept.stops_requests().into(),
        text.into(),
    ])
}

/// `begin_changes(backend, slot)`: notes that HAProxy is told to change a server.
pub fn begin_changes(arguments: &Arguments) -> CallResult {
    let server = server(arguments, 1)?;
    module().others().begin(&server);
    done()
}

/// `end_changes(is_weight_refused, backend, slot, name, order, ...)`: notes that HAProxy has
/// carried out an assignment ([`goal`]), except that it may have refused the weight.
pub fn end_changes(arguments: &Arguments) -> CallResult {
    let is_weight_refused = arguments.flag(1, "is_weight_refused")?;
    let (server, goal) = goal(arguments, 2)?;
    let mut module = module();
    module
        .others()
        .finish(&server, Some(goal), is_weight_refused);
    done()
}

/// `forget_changes(backend, slot)`: forgets what someone else has set, because the slot is free or
/// its server was deleted.
pub fn forget_changes(arguments: &Arguments) -> CallResult {
    let server = server(arguments, 1)?;
    module().others().forget(&server);
    done()
}
