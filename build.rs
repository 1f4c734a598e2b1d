//! Link options of the shared object.

fn main() {
    // V8 and the workers have threads that run its code: it must stay mapped even where the server
    // gives up loading it half-way.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
