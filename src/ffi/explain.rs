//! Hints to the failure detector, and its explanations: the state of a member, and the health of
//! this node.

use super::operation::OperationId;
use super::types::{sprat_explanation, sprat_health, sprat_helper, sprat_node};
use super::{args, entry, handle};
use crate::swim::{ConflictVerdict, Explanation, Health, HelperReport, ProbeAnswer, ProbeReport};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;

/// Tells the node that the program could not reach a member: the node probes that member at once
/// instead of waiting for its turn. An event of kind SPRAT_EVENT_DONE reports the result: its
/// status is SPRAT_OK if the member answered, and SPRAT_ERR_UNREACHABLE if it did not and is now
/// suspected. The number of the operation is stored before the probe begins, as for
/// sprat_node_join_async().
///
/// @param node     the node
/// @param name     the name of the member
/// @param op_data  any pointer, which the event hands back; the library never follows it
/// @param id       receives the number of the operation, or 0 after a failure; may be NULL
/// @return SPRAT_OK once the probe has begun; SPRAT_ERR_NOT_FOUND if there is no such member, or a
///         filter hides it; SPRAT_ERR_STATE if it has failed or left, if it is this node itself, if
///         a hint already probes it, if 16 hints are under way, or after sprat_node_leave();
///         SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_hint(
    node: *mut sprat_node,
    name: *const c_char,
    op_data: *mut c_void,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_hint", || {
        // SAFETY: the program passes NULL or a place for a number.
        let id = unsafe { OperationId::new(id) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let name = unsafe { args::string("name", name)? };
        id.begin(&slot.node, op_data, |operation| {
            slot.node.hint(operation, name)
        })
    })
}

/// Explains why a member is in its state, as far as this node knows.
///
/// @param node  the node
/// @param name  the name of the member
/// @param out   receives the explanation, to be freed with sprat_explanation_free(); NULL after a
///              failure
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member, if a filter hides it, or if
///         it failed or left more than `gossip_to_the_dead_ms` ago and the node has forgotten the
///         reasons; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8;
///         SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_explain(
    node: *const sprat_node,
    name: *const c_char,
    out: *mut *mut sprat_explanation,
) -> c_int {
    entry::status("sprat_node_explain", || {
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let slot = handle::get(node)?;
        // SAFETY: the program passes NULL or a NUL-terminated string.
        let explanation = slot.node.explain(unsafe { args::string("name", name)? })?;
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(ExplanationRecord::new(&explanation)).cast()) };
        Ok(())
    })
}

/// Returns the explanation as one paragraph for a person.
///
/// @param explanation  the explanation
/// @return the paragraph, which lives as long as the explanation; "" if explanation is NULL. Never
///         NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_explanation_text(
    explanation: *const sprat_explanation,
) -> *const c_char {
    entry::quiet("sprat_explanation_text", c"".as_ptr(), || {
        // SAFETY: the program passes NULL or an explanation that it has not freed.
        let record = unsafe { explanation.cast::<ExplanationRecord>().as_ref() };
        record.map_or(c"".as_ptr(), |record| record.text.as_ptr())
    })
}

/// Frees an explanation.
///
/// @param explanation  the explanation; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_explanation_free(explanation: *mut sprat_explanation) {
    // SAFETY: the program passes NULL or an explanation that it has not freed, and no longer uses.
    unsafe {
        entry::free(
            "sprat_explanation_free",
            explanation.cast::<ExplanationRecord>(),
        )
    }
}

/// Reads the health of this node.
///
/// @param node  the node
/// @param out   receives the health, to be freed with sprat_health_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_CLOSED; SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_NULL.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_health(
    node: *const sprat_node,
    out: *mut *mut sprat_health,
) -> c_int {
    entry::status("sprat_node_health", || {
        // SAFETY: the program passes NULL or a place for a pointer.
        unsafe { args::out("out", out, ptr::null_mut())? };
        let record = HealthRecord::new(&handle::get(node)?.node.health()?);
        // SAFETY: `args::out` above returned an error for NULL, and the program promises a place.
        unsafe { out.write(Box::into_raw(record).cast()) };
        Ok(())
    })
}

/// Frees the result of sprat_node_health().
///
/// @param health  the health; NULL is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_health_free(health: *mut sprat_health) {
    // SAFETY: the program passes NULL or a health that it has not freed, and no longer uses.
    unsafe { entry::free("sprat_health_free", health.cast::<HealthRecord>()) }
}

/// An explanation for C: the struct of the header, then everything that it points to.
#[repr(C)]
struct ExplanationRecord {
    c_view: sprat_explanation,
    text: CString,
    /// The other strings, in any order.
    _strings: Vec<CString>,
    _confirmations: Box<[*const c_char]>,
    _helpers: Box<[sprat_helper]>,
    /// The helpers are reached through pointers, because their struct may grow.
    _helper_pointers: Box<[*const sprat_helper]>,
}

impl ExplanationRecord {
    fn new(explanation: &Explanation) -> Box<ExplanationRecord> {
        let mut strings = Vec::new();
        // The text of a CString stays where it is when the CString moves.
        let mut keep = |text: &str| {
            let text = args::text(text);
            let at = text.as_ptr();
            strings.push(text);
            at
        };
        let confirmations: Box<[_]> = explanation
            .confirmations
            .iter()
            .map(|name| keep(name))
            .collect();
        let probe = explanation.probe.as_ref();
        let asked = probe.map_or(&[][..], |probe| &probe.helpers);
        let helpers: Box<[_]> = asked
            .iter()
            .map(|HelperReport { name, answer }| sprat_helper {
                name: keep(name),
                answer: answer.number(),
            })
            .collect();
        let helper_pointers: Box<[_]> = helpers.iter().map(ptr::from_ref).collect();
        let answer = |of: fn(&ProbeReport) -> ProbeAnswer| probe.map_or(ProbeAnswer::NotAsked, of);
        let c_view = sprat_explanation {
            name: keep(&explanation.name),
            addr: keep(&explanation.addr.to_string()),
            state: explanation.state.number(),
            incarnation: explanation.incarnation,
            since_ms: millis(explanation.since),
            accuser: explanation
                .accuser
                .as_deref()
                .map_or(ptr::null(), &mut keep),
            confirmations: first(&confirmations),
            nconfirmations: confirmations.len() as u32,
            confirmations_wanted: explanation.confirmations_wanted,
            time_left_ms: explanation.time_left.map_or(-1, millis),
            probe_ago_ms: probe.map_or(-1, |probe| millis(probe.ago)),
            probe_direct: answer(|probe| probe.direct).number(),
            probe_stream: answer(|probe| probe.stream).number(),
            rtt_us: probe.and_then(|probe| probe.rtt).map_or(-1, micros),
            helpers: first(&helper_pointers),
            nhelpers: helpers.len() as u32,
        };
        Box::new(ExplanationRecord {
            c_view,
            text: args::text(&explanation.to_string()),
            _strings: strings,
            _confirmations: confirmations,
            _helpers: helpers,
            _helper_pointers: helper_pointers,
        })
    }
}

/// The health of a node for C: the struct of the header, then the strings that it points to.
#[repr(C)]
struct HealthRecord {
    c_view: sprat_health,
    _summary: CString,
    _name_conflict: Option<CString>,
}

impl HealthRecord {
    fn new(health: &Health) -> Box<HealthRecord> {
        let summary = args::text(health.summary);
        let name_conflict = health.name_conflict;
        let addr = name_conflict.map(|it| args::text(&it.addr.to_string()));
        let c_view = sprat_health {
            score: health.score,
            score_max: health.score_max,
            live: health.live as u32,
            known: health.known as u32,
            isolated: health.isolated,
            datagrams_work: health.datagrams_work,
            streams_work: health.streams_work,
            name_conflict: addr.as_deref().map_or(ptr::null(), CStr::as_ptr),
            name_conflict_alive: name_conflict
                .is_some_and(|it| it.verdict == ConflictVerdict::Alive),
            summary: summary.as_ptr(),
        };
        Box::new(HealthRecord {
            c_view,
            _summary: summary,
            _name_conflict: addr,
        })
    }
}

/// Returns a pointer to the first item of a list; NULL for an empty list.
fn first<T>(list: &[T]) -> *const T {
    if list.is_empty() {
        ptr::null()
    } else {
        list.as_ptr()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_shows_all_its_fields_to_c() {
        let record = ExplanationRecord::new(&Explanation::of_a_suspect());
        let text = |at: *const c_char| {
            // SAFETY: `record` owns the string until the end of this test.
            unsafe { CStr::from_ptr(at) }.to_str().unwrap()
        };
        let c_view = &record.c_view;
        assert_eq!(
            (text(c_view.name), text(c_view.addr)),
            ("db1", "10.0.0.3:7946")
        );
        assert_eq!(
            (c_view.state, c_view.incarnation, c_view.since_ms),
            (2, 4, 2340)
        );
        assert_eq!((text(c_view.accuser), c_view.time_left_ms), ("web1", 1800));
        assert_eq!(
            (
                c_view.nconfirmations,
                c_view.confirmations_wanted,
                c_view.nhelpers
            ),
            (1, 2, 2)
        );
        // SAFETY: the lists have one confirmation and two helpers, as asserted above.
        let (by, helpers) = unsafe {
            let helpers = [0, 1].map(|i| &**c_view.helpers.add(i));
            (*c_view.confirmations, helpers)
        };
        assert_eq!(text(by), "web2");
        assert_eq!((text(helpers[0].name), helpers[0].answer), ("web2", 4));
        assert_eq!((text(helpers[1].name), helpers[1].answer), ("web3", 3));
        assert_eq!((c_view.probe_direct, c_view.probe_stream), (5, 1));
        assert_eq!((c_view.probe_ago_ms, c_view.rtt_us), (600, 1045));
    }
}
