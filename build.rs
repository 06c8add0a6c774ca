//! Sets the soname of the shared library and writes its C header with include/header.rs. Without
//! the C interface, this script has nothing to do, and cbindgen is not built.

#[cfg(feature = "capi")]
#[path = "include/header.rs"]
mod header;
#[cfg(feature = "capi")]
#[path = "src/vocabulary.rs"]
#[allow(dead_code)] // only the tables are read here
mod vocabulary;

fn main() {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=include/header.rs");
    println!("cargo:rerun-if-changed=src/vocabulary.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SPRAT_WRITE_HEADER");
    #[cfg(feature = "capi")]
    {
        // Only the C library may have this soname, not a module for another language that contains
        // this crate. A dlclose must not unmap the library, because its threads and its fork
        // handlers go on running.
        let soname = format!("libsprat.so.{}", header::ABI);
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        header::write();
    }
}
