//! The functions of Lua that this module uses, declared by hand. They have the same name, arguments
//! and meaning in Lua 5.3 and 5.4. They raise an error only when memory runs out, provided that
//! `lua_setfield` gets a table without metamethods.

use std::ffi::{c_char, c_int, c_longlong, c_void};

/// A Lua state (`lua_State`).
#[repr(C)]
pub struct LuaState {
    _private: [u8; 0],
}

/// A function that Lua calls. It takes its arguments from the stack, and leaves its results there.
pub type Function = unsafe extern "C" fn(*mut LuaState) -> c_int;

/// The type numbers that `lua_type` returns.
pub const BOOLEAN: c_int = 1;
pub const NUMBER: c_int = 3;
pub const STRING: c_int = 4;

unsafe extern "C" {
    pub fn lua_createtable(state: *mut LuaState, array: c_int, hash: c_int);
    pub fn lua_setfield(state: *mut LuaState, index: c_int, key: *const c_char);
    pub fn lua_pushcclosure(state: *mut LuaState, function: Function, upvalues: c_int);
    pub fn lua_pushinteger(state: *mut LuaState, number: c_longlong);
    pub fn lua_pushboolean(state: *mut LuaState, flag: c_int);
    pub fn lua_pushnil(state: *mut LuaState);
    pub fn lua_pushlstring(state: *mut LuaState, bytes: *const c_char, len: usize)
    -> *const c_void;
    pub fn lua_tolstring(state: *mut LuaState, index: c_int, len: *mut usize) -> *const c_char;
    pub fn lua_tointegerx(state: *mut LuaState, index: c_int, is_number: *mut c_int) -> c_longlong;
    pub fn lua_toboolean(state: *mut LuaState, index: c_int) -> c_int;
    pub fn lua_type(state: *mut LuaState, index: c_int) -> c_int;
}
