//! Network coordinates, and the round-trip times that are estimated from them.

use super::types::{sprat_coordinate, sprat_node};
use super::{args, entry, handle};
use crate::driver::Node;
use crate::error::Result;
use crate::serf::Coordinate;
use crate::wire::coordinate::DIMENSIONS;
use std::ffi::{c_char, c_int};

/// Reads the network coordinate of a member (Vivaldi, as in Serf). It is the one that the member
/// sent with its last answer to a ping from this node. A node pings one member in each
/// `probe_interval_ms`, so it takes a while until the coordinates of all members are known.
///
/// @param node  the node
/// @param name  the name of the member; NULL for this node itself
/// @param out   receives the coordinate; zeros after a failure
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member, if a filter hides it, or if
///         it has not sent a coordinate yet; SPRAT_ERR_STATE in memberlist mode or if the setting
///         `coordinates` is false; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED;
///         SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_coordinate(
    node: *const sprat_node,
    name: *const c_char,
    out: *mut sprat_coordinate,
) -> c_int {
    entry::status("sprat_node_coordinate", || {
        // SAFETY: the program passes NULL or a place for a coordinate.
        unsafe { args::out("out", out, NOTHING)? };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let name = unsafe { args::optional("name", name)? };
        let coordinate = of(&slot.node, name)?;
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(record(&coordinate)) };
        Ok(())
    })
}

/// Estimates the round-trip time between two members from their coordinates. They need not have
/// measured it themselves. sprat_explanation has the round-trip time that this node measured last.
///
/// @param node    the node
/// @param from    the name of a member; NULL for this node itself
/// @param to      the name of another member; NULL for this node itself
/// @param rtt_us  receives the time in microseconds; -1 after a failure
/// @return the same as sprat_node_coordinate(). Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_rtt(
    node: *const sprat_node,
    from: *const c_char,
    to: *const c_char,
    rtt_us: *mut i64,
) -> c_int {
    entry::status("sprat_node_rtt", || {
        // SAFETY: the program passes NULL or a place for a number.
        unsafe { args::out("rtt_us", rtt_us, -1)? };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let from = unsafe { args::optional("from", from)? };
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let to = unsafe { args::optional("to", to)? };
        let rtt = of(&slot.node, from)?.rtt_to(&of(&slot.node, to)?);
        let micros = i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { rtt_us.write(micros) };
        Ok(())
    })
}

/// The coordinate after a failure.
const NOTHING: sprat_coordinate = sprat_coordinate {
    vec: [0.0; DIMENSIONS],
    error: 0.0,
    adjustment: 0.0,
    height: 0.0,
};

/// Returns the coordinate of a member, or that of this node for `None`.
fn of(node: &Node, name: Option<&str>) -> Result<Coordinate> {
    node.coordinate(name.unwrap_or(node.name()))
}

fn record(coordinate: &Coordinate) -> sprat_coordinate {
    sprat_coordinate {
        vec: coordinate.vec,
        error: coordinate.error,
        adjustment: coordinate.adjustment,
        height: coordinate.height,
    }
}
