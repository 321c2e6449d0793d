//! Lays out the released program.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=KEYVAULT_LINK_ORDER");
    // The order in which code lies in the program, as .cargo/config.toml names it for a linker that can follow it. An
    // installation from a registry has none and is linked as always.
    let set = |name| std::env::var(name).ok();
    let linux = set("CARGO_CFG_TARGET_OS").as_deref() == Some("linux")
        && set("CARGO_CFG_TARGET_ENV").as_deref() == Some("gnu");
    if let Some(order) =
        set("KEYVAULT_LINK_ORDER").filter(|_| linux && set("PROFILE").as_deref() == Some("release"))
    {
        println!("cargo:rerun-if-changed={order}");
        println!("cargo:rustc-link-arg-bin=keyvault=-Wl,-T,{order}");
    }
}
