//! Reads arguments from Lua's stack as Rust values, and pushes results onto it.

use super::lua_api::{self as lua, LuaState};
use std::ffi::{CStr, c_int};
use std::ptr;

/// The maximum number of results of one call. Lua guarantees room for twenty.
const RESULTS: usize = 9;

/// One result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    Flag(bool),
    Number(i64),
    Text(String),
    Bytes(Box<[u8]>),
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Nil, T::into)
    }
}

/// The results of a function, or a message about the failure.
pub type CallResult = Result<Vec<Value>, String>;

/// Returns the result of a call that has nothing else to return.
pub fn done() -> CallResult {
    Ok(vec![true.into()])
}

/// The arguments of a call.
pub struct Arguments {
    state: *mut LuaState,
}

impl Arguments {
    /// Returns a string argument. A number is refused, because reading it as a string would change
    /// it in place.
    pub fn text(&self, index: c_int, name: &str) -> Result<String, String> {
        // SAFETY: `state` is the state that runs this call; `lua_type` accepts any index.
        if unsafe { lua::lua_type(self.state, index) } != lua::STRING {
            return Err(format!("argument {index}, {name}, must be a string"));
        }
        let mut len = 0;
        // SAFETY: the value at `index` is a string, so `lua_tolstring` returns a pointer to `len`
        // bytes, which stay in place while the string is on the stack, that is during this call.
        let bytes = unsafe {
            let start = lua::lua_tolstring(self.state, index, &mut len);
            std::slice::from_raw_parts(start.cast::<u8>(), len)
        };
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| format!("argument {index}, {name}, is not UTF-8"))
    }

    /// Returns an argument that is a whole number from `min` to `max`.
    pub fn number(&self, index: c_int, name: &str, min: i64, max: i64) -> Result<i64, String> {
        let mut is_number = 0;
        // SAFETY: `state` is the state that runs this call, both functions accept any index, and
        // `is_number` is live.
        let number = unsafe {
            let has_type = lua::lua_type(self.state, index) == lua::NUMBER;
            let number = lua::lua_tointegerx(self.state, index, &mut is_number);
            (has_type && is_number != 0).then_some(number)
        };
        let number = number.filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| {
            format!("argument {index}, {name}, must be a whole number from {min} to {max}")
        })
    }

    /// Returns an argument that is true or false.
    pub fn flag(&self, index: c_int, name: &str) -> Result<bool, String> {
        // SAFETY: `state` is the state that runs this call; both functions accept any index.
        let (kind, flag) = unsafe {
            let kind = lua::lua_type(self.state, index);
            (kind, lua::lua_toboolean(self.state, index))
        };
        if kind != lua::BOOLEAN {
            return Err(format!("argument {index}, {name}, must be true or false"));
        }
        Ok(flag != 0)
    }
}

/// The results of a call that have not been pushed yet.
struct PendingResults {
    values: Vec<Value>,
}

thread_local! {
    /// The results of the current call on this thread, in memory that is never freed. A raw pointer
    /// has no destructor that a jump could skip or that would run at the end of the thread.
    static PENDING: *mut PendingResults = new_pending();
}

fn new_pending() -> *mut PendingResults {
    Box::into_raw(Box::new(PendingResults { values: Vec::new() }))
}

/// Runs a function for Lua. No value with a destructor is live here while results are pushed,
/// because an error inside Lua jumps past destructors.
pub fn run(state: *mut LuaState, function: fn(&Arguments) -> CallResult) -> c_int {
    let pending = prepare(state, function);
    let mut pushed = 0;
    // SAFETY: `prepare` returned a pointer that is never freed and that only this thread uses, and
    // no other reference to the results exists during this loop.
    unsafe {
        let values = &raw const (*pending).values;
        while pushed < (*values).len() {
            push(state, (*values).as_ptr().add(pushed));
            pushed += 1;
        }
    }
    pushed as c_int
}

fn prepare(state: *mut LuaState, function: fn(&Arguments) -> CallResult) -> *mut PendingResults {
    let result = sprat::guarded(|| function(&Arguments { state }));
    let mut values = match result {
        Ok(Ok(values)) => values,
        Ok(Err(message)) => vec![Value::Nil, Value::Text(message)],
        Err(panic) => {
            let text = format!("internal error: {}", panic.message);
            vec![Value::Nil, Value::Text(text)]
        }
    };
    values.truncate(RESULTS);
    let pending = PENDING.try_with(|pending| *pending);
    // At the end of a thread, its thread-local storage may be gone. In this case the memory for
    // this call is leaked.
    let pending = pending.unwrap_or(ptr::null_mut());
    let pending = if pending.is_null() {
        new_pending()
    } else {
        pending
    };
    // SAFETY: the pointer comes from a box that is never freed, and only this thread has it.
    unsafe { (*pending).values = values };
    pending
}

/// Pushes a value onto Lua's stack.
///
/// # Safety
/// `state` runs this call and has room for a value; `value` points to a live value.
unsafe fn push(state: *mut LuaState, value: *const Value) {
    // SAFETY: the caller promises a running state with room, and a live value.
    unsafe {
        match &*value {
            Value::Nil => lua::lua_pushnil(state),
            Value::Flag(flag) => lua::lua_pushboolean(state, (*flag).into()),
            Value::Number(number) => lua::lua_pushinteger(state, *number),
            Value::Text(text) => {
                lua::lua_pushlstring(state, text.as_ptr().cast(), text.len());
            }
            Value::Bytes(bytes) => {
                lua::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
            }
        }
    }
}

/// Pushes the table of a module.
///
/// # Safety
/// `state` is loading the module.
pub unsafe fn push_module(state: *mut LuaState, functions: &[(&CStr, lua::Function)]) -> c_int {
    // SAFETY: the caller promises a state that is loading a module, so its stack has room for a
    // table and a function; the names end with NUL; no value here has a destructor.
    unsafe {
        lua::lua_createtable(state, 0, functions.len() as c_int);
        for (name, function) in functions {
            lua::lua_pushcclosure(state, *function, 0);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}
