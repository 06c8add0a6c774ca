//! Links the module so that it is never unloaded: when HAProxy ends, it closes its Lua state while
//! threads of the module still run.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
