//! The functions of Lua that are used, declared by hand. They have the same name, arguments and
//! meaning in 5.3 and 5.4; none of them raises an error but for want of memory.

use std::ffi::{c_char, c_int, c_longlong, c_void};

/// A state of Lua.
#[repr(C)]
pub struct State {
    _private: [u8; 0],
}

/// A function that Lua calls: takes its arguments from the stack, leaves its answers there.
pub type Function = unsafe extern "C" fn(*mut State) -> c_int;

/// Numbers of types, as `lua_type` gives them.
pub const BOOLEAN: c_int = 1;
pub const NUMBER: c_int = 3;
pub const STRING: c_int = 4;

unsafe extern "C" {
    pub fn lua_createtable(state: *mut State, array: c_int, hash: c_int);
    pub fn lua_setfield(state: *mut State, index: c_int, key: *const c_char);
    pub fn lua_pushcclosure(state: *mut State, function: Function, upvalues: c_int);
    pub fn lua_pushinteger(state: *mut State, number: c_longlong);
    pub fn lua_pushboolean(state: *mut State, flag: c_int);
    pub fn lua_pushnil(state: *mut State);
    pub fn lua_pushlstring(state: *mut State, bytes: *const c_char, len: usize) -> *const c_void;
    pub fn lua_tolstring(state: *mut State, index: c_int, len: *mut usize) -> *const c_char;
    pub fn lua_tointegerx(state: *mut State, index: c_int, is_number: *mut c_int) -> c_longlong;
    pub fn lua_toboolean(state: *mut State, index: c_int) -> c_int;
    pub fn lua_type(state: *mut State, index: c_int) -> c_int;
}
