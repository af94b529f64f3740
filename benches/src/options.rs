//! The command line.

use att_core::{DeviceSpec, Result};
use burn::tensor::Device;

/// What the benchmarks read of their command line; all else is criterion's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--backend flex,ndarray`: where to run; without it, wherever this program can.
    pub backends: Option<String>,
    /// `--serve`: time what is asked for on standard input; see [`serve`](crate::serve).
    pub serve: bool,
    /// What is left for criterion: a filter, `--list`, `--baseline`, ..
    pub rest: Vec<String>,
}

impl Options {
    /// What the help says before criterion's.
    pub const HELP: &str = "\
Options of these benchmarks, before those of criterion:
      --backend <DEVICE,..>  Run on these devices only (--backend flex,ndarray)
      --serve                Time what standard input asks for: lines of a name and seconds
";

    /// Parses the arguments after the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--backend" {
                options.backends = Some(arguments.next().unwrap_or_default());
            } else if let Some(backends) = argument.strip_prefix("--backend=") {
                options.backends = Some(backends.into());
            } else if argument == "--serve" {
                options.serve = true;
            } else {
                options.rest.push(argument);
            }
        }
        options
    }

    /// The devices to run on.
    ///
    /// # Errors
    ///
    /// If one is unknown, not compiled in or not on this machine; the message lists those that are.
    pub fn devices(&self) -> Result<Vec<(DeviceSpec, Device)>> {
        if let Some(backends) = &self.backends {
            let init = |name: &str| {
                let spec: DeviceSpec = name.parse()?;
                Ok((spec, spec.init()?))
            };
            return backends.split(',').map(init).collect();
        }
        let all = [
            DeviceSpec::Flex,
            DeviceSpec::NdArray,
            DeviceSpec::Wgpu(None),
            DeviceSpec::Cuda(0),
        ];
        let there = all
            .into_iter()
            .filter_map(|spec| Some((spec, spec.init().ok()?)));
        Ok(there.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::parse(line.split_whitespace().map(String::from))
    }

    fn names(options: &Options) -> Vec<String> {
        let devices = options.devices().unwrap();
        devices.iter().map(|(spec, _)| spec.to_string()).collect()
    }

    #[test]
    fn takes_its_own_and_leaves_the_rest() {
        for line in [
            "--backend ndarray,flex lstm --list",
            "lstm --backend=ndarray,flex --list",
        ] {
            let options = parse(line);
            assert_eq!(options.rest, ["lstm", "--list"], "{line}");
            assert_eq!(names(&options), ["ndarray", "flex"], "{line}");
        }
        assert!(parse("--serve").serve);
    }

    #[test]
    fn runs_everywhere_unless_told() {
        let names = names(&parse("--bench"));
        assert!(names.starts_with(&["flex".into(), "ndarray".into()]));
    }

    #[test]
    fn an_unknown_backend_is_an_error_that_lists_those_there_are() {
        for line in ["--backend gpu", "--backend flex,", "--backend"] {
            let message = parse(line).devices().unwrap_err().to_string();
            assert!(message.contains("flex, ndarray"), "{line}: {message}");
        }
    }
}
