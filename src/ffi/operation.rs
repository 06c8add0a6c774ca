//! Beginning an operation for a program that does not wait for its end.
//!
//! Before the operation begins, its number is stored where the program wants it. So the number is
//! there before any thread can read the event that reports the end. Once the operation has begun,
//! the place is not touched any more: the handler of the event may free its memory.

use crate::driver::{Node, Operation};
use crate::error::Result;
use std::ffi::c_void;

/// The place where a program wants the number of an operation.
pub(super) struct OperationId(*mut u64);

impl OperationId {
    /// Takes the place, and stores 0 there until an operation has a number.
    ///
    /// # Safety
    /// `at` is NULL or valid for writes until `begin` returns or the operation has begun.
    pub(super) unsafe fn new(at: *mut u64) -> OperationId {
        let id = OperationId(at);
        id.store(0);
        id
    }

    /// Begins an operation with `begin`. If that fails, the place holds 0 again.
    pub(super) fn begin(
        self,
        node: &Node,
        op_data: *mut c_void,
        begin: impl FnOnce(Operation) -> Result<()>,
    ) -> Result<()> {
        let operation = node.operation(op_data.expose_provenance());
        self.store(operation.id);
        begin(operation).inspect_err(|_| self.store(0))
    }

    fn store(&self, id: u64) {
        if !self.0.is_null() {
            // SAFETY: the place is valid, as the caller of `new` promises. This function runs
            // before the operation has begun, or when it has failed to begin.
            unsafe { self.0.write(id) };
        }
    }
}
