//! Where a node trains, as its configuration names it.

use std::fmt;

use runtime::Device;

use crate::failure::Failure;

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    /// Host cores.
    Cpu,
    /// The GPU path on host cores, for tests.
    Emulated,
}

impl DeviceName {
    /// The device called `name`, or what there is to choose from.
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        match name {
            "cpu" => Ok(DeviceName::Cpu),
            "emulated" => Ok(DeviceName::Emulated),
            _ => Err(Failure::usage(format!(
                "node.device = {name:?}, but it must be \"cpu\", or for tests \"emulated\""
            ))),
        }
    }

    /// The GPU, or none for the CPU, which needs no opening.
    pub(crate) fn open_gpu(self) -> Result<Option<Device>, Failure> {
        let gpu = match self {
            DeviceName::Cpu => return Ok(None),
            DeviceName::Emulated => Device::emulated(),
        };
        gpu.map(Some).map_err(|error| model::ModelError::from(error).into())
    }

    /// What a run keeps to, for it shows in the bits of inner steps.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            DeviceName::Cpu => "cpu",
            DeviceName::Emulated => "emulated",
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[test]
    fn devices_are_called_by_kind_and_number() {
        let parse = |name| DeviceName::parse(name).map_err(|failure| failure.message);
        assert_eq!(parse("cpu"), Ok(DeviceName::Cpu));
        assert_eq!(parse("emulated"), Ok(DeviceName::Emulated));
        for wrong in ["cuda:", "cuda3", "cuda:-1", "gpu", ""] {
            let message = parse(wrong).unwrap_err();
            assert!(
                message.contains(&format!("{wrong:?}")) && message.contains("cpu"),
                "{message}"
            );
        }
    }
}
