//! Keeps the module mapped: HAProxy closes its Lua state at its end, while threads of the module
//! still run.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
