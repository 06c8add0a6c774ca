//! Arguments in, answers out.

use super::lua::{self, State};
use std::ffi::{CStr, c_int};
use std::ptr;

/// Most answers of one call.
const ANSWERS: usize = 8;

/// What a function gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    Flag(bool),
    Number(i64),
    Text(String),
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

/// The answers of a function, or a sentence about what is wrong.
pub type Answer = Result<Vec<Value>, String>;

/// The arguments of a call.
pub struct Arguments {
    state: *mut State,
}

impl Arguments {
    /// A text. Numbers are none: reading one would change it in place.
    pub fn text(&self, index: c_int, name: &str) -> Result<String, String> {
        // SAFETY: a state that runs this call; a wrong index is of no type.
        if unsafe { lua::lua_type(self.state, index) } != lua::STRING {
            return Err(format!("argument {index}, {name}, must be a string"));
        }
        let mut len = 0;
        // SAFETY: as above; a string stays where it is while it is on the stack.
        let bytes = unsafe {
            let start = lua::lua_tolstring(self.state, index, &mut len);
            std::slice::from_raw_parts(start.cast::<u8>(), len)
        };
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| format!("argument {index}, {name}, is not UTF-8"))
    }

    /// A whole number in a range.
    pub fn number(&self, index: c_int, name: &str, min: i64, max: i64) -> Result<i64, String> {
        let mut is_number = 0;
        // SAFETY: as above.
        let number = unsafe {
            let fits = lua::lua_type(self.state, index) == lua::NUMBER;
            let number = lua::lua_tointegerx(self.state, index, &mut is_number);
            (fits && is_number != 0).then_some(number)
        };
        let number = number.filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| {
            format!("argument {index}, {name}, must be a whole number from {min} to {max}")
        })
    }

    /// True or false.
    pub fn flag(&self, index: c_int, name: &str) -> Result<bool, String> {
        // SAFETY: as above.
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

/// Answers that wait to be pushed, in memory of the thread that nobody frees.
struct Ready {
    values: Vec<Value>,
}

thread_local! {
    /// A raw pointer: it has no destructor that a jump could pass, or the end of a thread run.
    static READY: *mut Ready = Box::into_raw(Box::new(Ready { values: Vec::new() }));
}

/// Runs a function for Lua. Nothing with a destructor lives here while values are pushed.
pub fn run(state: *mut State, function: fn(&Arguments) -> Answer) -> c_int {
    let ready = prepare(state, function);
    let mut pushed = 0;
    // SAFETY: made by this thread's `prepare`, and only used by this thread, in this call.
    unsafe {
        let values = &raw const (*ready).values;
        while pushed < (*values).len() {
            push(state, (*values).as_ptr().add(pushed));
            pushed += 1;
        }
    }
    pushed as c_int
}

fn prepare(state: *mut State, function: fn(&Arguments) -> Answer) -> *mut Ready {
    let answer = sprat::guarded(|| function(&Arguments { state }));
    let mut values = match answer {
        Ok(Ok(values)) => values,
        Ok(Err(wrong)) => vec![Value::Nil, Value::Text(wrong)],
        Err(panic) => {
            let text = format!("internal error: {}", panic.message);
            vec![Value::Nil, Value::Text(text)]
        }
    };
    values.truncate(ANSWERS); // Lua promises room for twenty
    let ready = READY.try_with(|ready| *ready).unwrap_or(ptr::null_mut());
    let ready = if ready.is_null() {
        Box::into_raw(Box::new(Ready { values: Vec::new() })) // this thread ends: leaked
    } else {
        ready
    };
    // SAFETY: never freed, and only this thread has it.
    unsafe { (*ready).values = values };
    ready
}

/// # Safety
/// A state that runs this call, and a value that stays where it is.
unsafe fn push(state: *mut State, value: *const Value) {
    // SAFETY: the caller's promise.
    unsafe {
        match &*value {
            Value::Nil => lua::lua_pushnil(state),
            Value::Flag(flag) => lua::lua_pushboolean(state, (*flag).into()),
            Value::Number(number) => lua::lua_pushinteger(state, *number),
            Value::Text(text) => {
                lua::lua_pushlstring(state, text.as_ptr().cast(), text.len());
            }
        }
    }
}

/// Makes the table of a module.
///
/// # Safety
/// A state that is loading a module.
pub unsafe fn module(state: *mut State, functions: &[(&CStr, lua::Function)]) -> c_int {
    // SAFETY: the caller's promise; nothing here has a destructor.
    unsafe {
        lua::lua_createtable(state, 0, functions.len() as c_int);
        for (name, function) in functions {
            lua::lua_pushcclosure(state, *function, 0);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}
