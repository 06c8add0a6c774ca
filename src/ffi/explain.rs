//! Doubts, reasons and health: what a program tells the failure detector, and what it may ask it.

use super::numbers::sprat_answer;
use super::types::{sprat_explanation, sprat_health, sprat_helper, sprat_node};
use super::{args, entry, handle};
use crate::member::MemberState;
use crate::swim::{Answer, Explanation, Health, NameConflict, NodeState, ProbeReport};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

/// "I could not reach NAME just now": has the node probe a member at once, without waiting for its
/// turn. The verdict comes as an event of kind SPRAT_EVENT_DONE: its status is SPRAT_OK if the
/// member answered and SPRAT_ERR_UNREACHABLE if it did not, in which case it is suspected.
///
/// @param node  the node
/// @param name  name of the member
/// @param id    where the number of the operation goes; may be NULL
/// @return SPRAT_OK once the probe has begun; SPRAT_ERR_NOT_FOUND if there is no such member, or a
///         filter hides it; SPRAT_ERR_STATE if it has failed or left, if it is this node itself, if
///         too many hints came at once, or after sprat_node_leave(); SPRAT_ERR_CLOSED;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_node_hint(
    node: *mut sprat_node,
    name: *const c_char,
    id: *mut u64,
) -> c_int {
    entry::status("sprat_node_hint", || {
        // SAFETY: the program passes NULL or a place for a number.
        unsafe { args::give(id, 0) };
        let slot = handle::get(node)?;
        // SAFETY: the program passes a string.
        let number = slot.node.hint(unsafe { args::string("name", name)? })?;
        // SAFETY: as above.
        unsafe { args::give(id, number) };
        Ok(())
    })
}

/// Why a member is in its state, as far as this node knows.
///
/// @param node  the node
/// @param name  name of the member
/// @param out   where the reasons go, to be freed with sprat_explanation_free(); NULL after a failure
/// @return SPRAT_OK; SPRAT_ERR_NOT_FOUND if there is no such member; SPRAT_ERR_CLOSED;
///         SPRAT_ERR_HANDLE; SPRAT_ERR_FORKED; SPRAT_ERR_UTF8; SPRAT_ERR_NULL. Thread-safe.
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
        // SAFETY: the program passes a string.
        let reasons = slot.node.explain(unsafe { args::string("name", name)? })?;
        // SAFETY: not NULL, and the program's promise.
        unsafe { out.write(Box::into_raw(ExplanationRecord::new(&reasons)).cast()) };
        Ok(())
    })
}

/// The reasons as one paragraph for a person.
///
/// @param reasons  the reasons
/// @return the paragraph, which lives as long as they do; "" if reasons is NULL. Never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_explanation_text(
    reasons: *const sprat_explanation,
) -> *const c_char {
    entry::quiet("sprat_explanation_text", c"".as_ptr(), || {
        // SAFETY: the program passes NULL or reasons that it has not freed.
        let record = unsafe { reasons.cast::<ExplanationRecord>().as_ref() };
        record.map_or(c"".as_ptr(), |record| record.text.as_ptr())
    })
}

/// Ends reasons.
///
/// @param reasons  the reasons; NULL does nothing
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_explanation_free(reasons: *mut sprat_explanation) {
    entry::quiet("sprat_explanation_free", (), || {
        if !reasons.is_null() {
            // SAFETY: the program passes reasons that it has not freed, and uses them no more.
            drop(unsafe { Box::from_raw(reasons.cast::<ExplanationRecord>()) });
        }
    });
}

/// How this node itself is doing.
///
/// @param node  the node
/// @param out   where the answer goes, to be freed with sprat_health_free(); NULL after a failure
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
        // SAFETY: not NULL, and the program's promise.
        unsafe { out.write(Box::into_raw(record).cast()) };
        Ok(())
    })
}

/// Ends an answer of sprat_node_health().
///
/// @param health  the answer; NULL does nothing
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_health_free(health: *mut sprat_health) {
    entry::quiet("sprat_health_free", (), || {
        if !health.is_null() {
            // SAFETY: the program passes an answer that it has not freed, and uses it no more.
            drop(unsafe { Box::from_raw(health.cast::<HealthRecord>()) });
        }
    });
}

/// Explanation for C, with what they point to.
#[repr(C)]
struct ExplanationRecord {
    face: sprat_explanation,
    text: CString,
    /// Every other string, in no order that matters.
    _strings: Vec<CString>,
    _confirmations: Box<[*const c_char]>,
    _helpers: Box<[sprat_helper]>,
}

impl ExplanationRecord {
    fn new(reasons: &Explanation) -> Box<ExplanationRecord> {
        let mut strings = Vec::new();
        // The text of a CString does not move when the CString does.
        let mut keep = |text: &str| {
            let text = args::text(text);
            let at = text.as_ptr();
            strings.push(text);
            at
        };
        let confirmations: Box<[_]> = reasons
            .confirmations
            .iter()
            .map(|name| keep(name))
            .collect();
        let probe = reasons.probe.as_ref();
        let asked = probe.map_or(&[][..], |probe| &probe.helpers);
        let helpers: Box<[_]> = asked
            .iter()
            .map(|(name, answer)| sprat_helper {
                name: keep(name),
                answer: answer_number(*answer),
            })
            .collect();
        let direct = |of: fn(&ProbeReport) -> Answer| probe.map_or(Answer::NotAsked, of);
        let face = sprat_explanation {
            name: keep(&reasons.name),
            addr: keep(&reasons.addr.to_string()),
            state: member_state(reasons.state).number(),
            incarnation: reasons.incarnation,
            since_ms: millis(reasons.since),
            accuser: reasons.accuser.as_deref().map_or(ptr::null(), &mut keep),
            confirmations: first(&confirmations),
            nconfirmations: confirmations.len() as u32,
            confirmations_wanted: reasons.confirmations_wanted,
            time_left_ms: reasons.time_left.map_or(-1, millis),
            probe_ago_ms: probe.map_or(-1, |probe| millis(probe.ago)),
            probe_direct: answer_number(direct(|probe| probe.direct)),
            probe_stream: answer_number(direct(|probe| probe.stream)),
            rtt_us: probe.and_then(|probe| probe.rtt).map_or(-1, micros),
            helpers: first(&helpers),
            nhelpers: helpers.len() as u32,
        };
        Box::new(ExplanationRecord {
            face,
            text: args::text(&reasons.to_string()),
            _strings: strings,
            _confirmations: confirmations,
            _helpers: helpers,
        })
    }
}

/// Health for C.
#[repr(C)]
struct HealthRecord {
    face: sprat_health,
    _summary: CString,
    _name_conflict: Option<CString>,
}

impl HealthRecord {
    fn new(health: &Health) -> Box<HealthRecord> {
        let summary = args::text(health.summary);
        let name_conflict = health.name_conflict;
        let addr = name_conflict.map(|(addr, _)| args::text(&addr.to_string()));
        let face = sprat_health {
            score: health.score,
            score_max: health.score_max,
            live: health.live as u32,
            known: health.known as u32,
            isolated: health.isolated,
            datagrams_work: health.datagrams_work,
            streams_work: health.streams_work,
            name_conflict: addr.as_deref().map_or(ptr::null(), CStr::as_ptr),
            name_conflict_answers: name_conflict.is_some_and(|(_, who)| who == NameConflict::Alive),
            summary: summary.as_ptr(),
        };
        Box::new(HealthRecord {
            face,
            _summary: summary,
            _name_conflict: addr,
        })
    }
}

/// Where a list begins; NULL for an empty one.
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

fn member_state(state: NodeState) -> MemberState {
    match state {
        NodeState::Alive => MemberState::Alive,
        NodeState::Suspect => MemberState::Suspect,
        NodeState::Dead => MemberState::Failed,
        NodeState::Left => MemberState::Left,
    }
}

fn answer_number(answer: Answer) -> i32 {
    (match answer {
        Answer::NotAsked => sprat_answer::SPRAT_ANSWER_NOT_ASKED,
        Answer::Waiting => sprat_answer::SPRAT_ANSWER_WAITING,
        Answer::Answered => sprat_answer::SPRAT_ANSWER_ANSWERED,
        Answer::Nack => sprat_answer::SPRAT_ANSWER_NACK,
        Answer::Silent => sprat_answer::SPRAT_ANSWER_SILENT,
    }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_show_all_their_fields_to_c() {
        let record = ExplanationRecord::new(&Explanation::of_a_suspect());
        let text = |at: *const c_char| {
            // SAFETY: the record lives.
            unsafe { CStr::from_ptr(at) }.to_str().unwrap()
        };
        let face = &record.face;
        assert_eq!((text(face.name), text(face.addr)), ("db1", "10.0.0.3:7946"));
        assert_eq!((face.state, face.incarnation, face.since_ms), (2, 4, 2340));
        assert_eq!((text(face.accuser), face.time_left_ms), ("web1", 1800));
        assert_eq!(
            (
                face.nconfirmations,
                face.confirmations_wanted,
                face.nhelpers
            ),
            (1, 2, 2)
        );
        // SAFETY: one confirmation and two helpers.
        let (by, helpers) = unsafe {
            (
                *face.confirmations,
                std::slice::from_raw_parts(face.helpers, 2),
            )
        };
        assert_eq!(text(by), "web2");
        assert_eq!((text(helpers[0].name), helpers[0].answer), ("web2", 4));
        assert_eq!((text(helpers[1].name), helpers[1].answer), ("web3", 3));
        assert_eq!((face.probe_direct, face.probe_stream), (5, 2));
        assert_eq!((face.probe_ago_ms, face.rtt_us), (600, 1045));
    }
}
