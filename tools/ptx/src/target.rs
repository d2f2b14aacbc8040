//! The architectures that PTX is made for, each with the lowest PTX version that says all it needs.

/// An architecture. Which kernels it gets is decided in their source, by
/// `cfg(target_feature = "sm_90a")` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// As `ptxas -arch` and `rustc -C target-cpu` call it; also the name of the committed files.
    pub name: &'static str,
    /// PTX version; a driver must be at least as new.
    pub version: &'static str,
}

/// sm_80 for everything that needs no Hopper and sm_90a for all; sm_100a for what is portable,
/// since `wgmma` ends with Hopper.
pub const TARGETS: [Target; 3] = [
    Target { name: "sm_80", version: "7.0" },
    Target { name: "sm_90a", version: "8.0" },
    Target { name: "sm_100a", version: "8.6" },
];

impl Target {
    /// The compiler's name of the PTX version.
    pub(crate) fn feature(&self) -> String {
        format!("+ptx{}", self.version.replace('.', ""))
    }
}
