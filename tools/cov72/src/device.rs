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
    /// A GPU by its number.
    Cuda(usize),
}

impl DeviceName {
    /// The device called `name`, or what there is to choose from.
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        let ordinal = name.strip_prefix("cuda").map(|rest| match rest {
            "" => Some(0),
            rest => rest.strip_prefix(':')?.parse().ok(),
        });
        match (name, ordinal) {
            ("cpu", _) => Ok(DeviceName::Cpu),
            ("emulated", _) => Ok(DeviceName::Emulated),
            (_, Some(Some(ordinal))) => Ok(DeviceName::Cuda(ordinal)),
            _ => Err(Failure::usage(format!(
                "node.device = {name:?}, but it must be \"cpu\", \"cuda\", \"cuda:1\" and so on, \
                 or for tests \"emulated\""
            ))),
        }
    }

    /// The GPU, or none for the CPU, which needs no opening.
    pub(crate) fn open_gpu(self) -> Result<Option<Device>, Failure> {
        let gpu = match self {
            DeviceName::Cpu => return Ok(None),
            DeviceName::Emulated => Device::emulated(),
            DeviceName::Cuda(ordinal) => Device::cuda(ordinal),
        };
        gpu.map(Some).map_err(|error| model::ModelError::from(error).into())
    }

    /// What a run keeps to, for it shows in the bits of inner steps.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            DeviceName::Cpu => "cpu",
            DeviceName::Emulated => "emulated",
            DeviceName::Cuda(_) => "cuda",
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            name => f.write_str(name.kind()),
        }
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
        assert_eq!(parse("cuda"), Ok(DeviceName::Cuda(0)));
        assert_eq!(parse("cuda:3"), Ok(DeviceName::Cuda(3)));
        for wrong in ["cuda:", "cuda3", "cuda:-1", "gpu", ""] {
            let message = parse(wrong).unwrap_err();
            assert!(
                message.contains(&format!("{wrong:?}")) && message.contains("cpu"),
                "{message}"
            );
        }
    }
}
