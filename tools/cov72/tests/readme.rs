//! Every command of the README exists, with the flags that are shown.

use std::process::Command;

#[test]
fn every_command_of_the_readme_is_one_that_cov72_knows() {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut commands = 0;
    for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("cov72 ")) {
        let typed = line.split('#').next().unwrap_or_default();
        let arguments: Vec<_> = typed.split_whitespace().skip(1).chain(["--help"]).collect();
        // Flags are read from the left, so that an unknown one is met before --help.
        let output = Command::new(env!("CARGO_BIN_EXE_cov72")).args(&arguments).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        commands += 1;
    }
    assert!(commands >= 5, "the README shows {commands} commands");
}
